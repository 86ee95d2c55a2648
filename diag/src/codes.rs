//! The registry of all kinds of findings. A code keeps its meaning for ever; a code that is no longer given stays free.
//!
//! `E01xx` reading and preprocessor, `E02xx` words and syntax, `E03xx` names and arguments, `E04xx` types,
//! `E05xx` modules and parameters, `E06xx` what holds only while running. Warnings begin with `W`, notes with `N`.

use std::fmt;

/// A kind of finding, such as `E0102`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(&'static str);

impl Code {
    /// The text: a letter and four digits.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Its row in the registry.
    pub fn entry(self) -> Option<&'static Entry> {
        REGISTRY.iter().find(|entry| entry.code == self)
    }

    /// The row of a code that a user typed, such as `e0102`.
    pub fn lookup(text: &str) -> Option<&'static Entry> {
        REGISTRY
            .iter()
            .find(|entry| entry.code.0.eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A row of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// The name of its constant, in capitals.
    pub name: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why it matters and what to do, in one sentence.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $explanation:literal;)*) => {
        $(#[doc = concat!("`", $code, "`: ", $title, ".\n\n```text\n", $explanation, "\n```")]
        pub const $name: Code = Code($code);)*

        /// All codes.
        pub const REGISTRY: &[Entry] = &[
            $(Entry { code: $name, name: stringify!($name), title: $title, explanation: $explanation },)*
        ];
    };
}

codes! {
    FILE_UNREADABLE = "E0101", "file cannot be read", "A file named by include_file has to exist; import_file tolerates a missing one.";
    INCLUDE_DEPTH = "E0102", "includes nested too deeply", "Files include one another at most 32 deep, so a file must not include itself.";
    UNKNOWN_DIRECTIVE = "E0103", "unknown directive", "A line that begins with #! or !! has to be a known directive.";
    BAD_DIRECTIVE = "E0104", "malformed directive", "The directive lacks its argument or has one of the wrong form.";
    UNCLOSED_CONDITION = "E0105", "condition never closed", "Each #!ifdef, #!ifndef and #!ifexp needs an #!endif in the same configuration.";
    STRAY_ELSE = "E0106", "#!else without a condition", "An #!else belongs between an #!ifdef, #!ifndef or #!ifexp and its #!endif, once.";
    STRAY_ENDIF = "E0107", "#!endif without a condition", "There is no #!ifdef, #!ifndef or #!ifexp left to close.";
    DUPLICATE_DEFINE = "E0108", "name defined twice", "Use #!redefine to replace a value, or #!trydefine to keep the first.";
    UNDEFINED_NAME = "E0109", "name is not defined", "Only a defined name can be removed; #!tryundefine tolerates a missing one.";
    ENV_MISSING = "E0110", "environment variable not set", "#!defenv needs the variable; #!trydefenv tolerates a missing one.";
    EXPANSION_LIMIT = "E0111", "definitions expand without end", "A definition must not lead back to its own name, and the expanded text is limited.";
    BAD_SUBST = "E0112", "malformed substitution", "The form is \"/regex/replacement/flags\" with any delimiter and the flags i, s, g.";
    BAD_CONDITION = "E0113", "condition cannot be evaluated", "The expression after #!ifexp or #!defexp has a mistake or an undefined name where a value is needed.";
    TOO_LARGE = "E0114", "configuration too large", "All files together are limited to 64 MiB, a single one to 16 MiB.";
    UNKNOWN_CHARACTER = "E0201", "character has no meaning here", "The character belongs to no word of the language.";
    UNCLOSED_STRING = "E0202", "string never closed", "A string has to end with the quote that it began with.";
    UNCLOSED_COMMENT = "E0203", "comment never closed", "Each /* needs its */; they nest.";
    BAD_NUMBER = "E0204", "number out of range or malformed", "Numbers are 64 bits wide: decimal, 0x hexadecimal, 0 octal or binary ending in b.";
    BAD_VARIABLE = "E0205", "malformed pseudo-variable", "The forms are $name, $name(inner), $(name[index]{class.function,argument}).";
    BAD_SELECT = "E0206", "malformed select", "A select is @name.name[index], with names, quoted names or numbers as indexes.";
    UNEXPECTED_TOKEN = "E0210", "unexpected word", "The grammar allows something else at this place.";
    MISSING_SEMICOLON = "E0211", "missing ;", "A statement ends with a semicolon or a block.";
    UNCLOSED_BRACE = "E0212", "brace never closed", "Each { needs its }.";
    UNCLOSED_PAREN = "E0213", "parenthesis never closed", "Each ( needs its ), and each [ its ].";
    STRAY_CLOSE = "E0214", "closing brace without an opening one", "There are more } than {.";
    BAD_ADDRESS = "E0215", "malformed address", "An address is [proto:]host[:port] with an IP address, a host name, an interface or *.";
    TOO_DEEP = "E0216", "nested too deeply", "Blocks and parentheses nest at most 200 deep.";
    NOT_ASSIGNABLE = "E0217", "cannot be assigned to", "Only pseudo-variables, AVPs and some selects stand at the left of =.";
    UNKNOWN_SETTING = "E0218", "unknown core parameter", "The name is no parameter of the core.";
    BAD_VALUE = "E0219", "value of the wrong form", "The parameter takes another kind of value.";
    BAD_ROUTE_NAME = "E0220", "malformed name of a route block", "Names are words, numbers or strings; event routes are group:name.";
    UNKNOWN_ATTRIBUTE = "E0221", "unknown attribute", "The socket block knows bind, advertise, name, virtual, agname, workers and vrf.";
    MISPLACED_CASE = "E0222", "case outside of a switch", "case and default belong directly into the block of a switch.";
    EMPTY_SWITCH_VALUE = "E0223", "missing value", "case needs a constant, a string or a /regex/.";
    UNKNOWN_FUNCTION = "E0301", "unknown function", "No loaded module exports the function.";
    WRONG_ARGUMENT_COUNT = "E0302", "wrong number of arguments", "The function does not take that many arguments.";
    WRONG_ROUTE_KIND = "E0303", "function not allowed in this route block", "The function needs something that this kind of route block does not have.";
    UNKNOWN_ROUTE = "E0304", "unknown route block", "No route block has that name.";
    DUPLICATE_ROUTE = "E0305", "route block defined twice", "A name belongs to one block of its kind.";
    UNKNOWN_VARIABLE = "E0306", "unknown pseudo-variable", "Neither the core nor a loaded module exports the variable.";
    UNKNOWN_TRANSFORMATION = "E0307", "unknown transformation", "Neither the core nor a loaded module exports the transformation.";
    READ_ONLY_VARIABLE = "E0308", "variable cannot be written", "The variable has a value and takes none.";
    BAD_ARGUMENT = "E0309", "argument cannot be used", "The function takes another form of argument.";
    UNKNOWN_SELECT = "E0310", "unknown select", "Neither the core nor a loaded module exports the select.";
    UNKNOWN_FLAG = "E0311", "unknown flag", "Flags are numbers from 0 to 31 or names declared with flags.";
    UNKNOWN_EVENT = "W0312", "event route never runs", "Nothing raises this event.";
    UNUSED_ROUTE = "W0313", "route block never runs", "Nothing refers to the block.";
    UNREACHABLE = "W0314", "statement never runs", "The statement before it leaves the block in every case.";
    BREAK_OUTSIDE = "W0315", "break outside of while or switch", "It leaves the route block, as in old scripts; return says so.";
    FUNCTION_GONE = "E0317", "function of an earlier version", "No version of Kamailio that is in use has the function; the help names what took its place.";
    RECURSIVE_ROUTE = "W0316", "route block calls itself", "Calls nest at most max_recursive_level deep.";
    BAD_REGEX = "E0401", "malformed regular expression", "The expression is not a POSIX extended regular expression.";
    TYPE_MISMATCH = "E0402", "value of another type", "The operator or function needs a value of another type.";
    CONSTANT_CONDITION = "W0403", "condition always has the same value", "The branch that is not taken never runs.";
    SUSPICIOUS = "W0404", "probably not what was meant", "The construct is valid and rarely intended.";
    DIVISION_BY_ZERO = "W0405", "division by zero", "A constant divisor must not be zero.";
    UNKNOWN_MODULE = "E0501", "unknown module", "This server has no module of that name.";
    MODULE_NOT_LOADED = "E0502", "module not loaded", "A modparam needs the loadmodule of its module before it.";
    UNKNOWN_PARAMETER = "E0503", "unknown module parameter", "The module has no parameter of that name.";
    BAD_PARAMETER = "E0504", "bad value of a module parameter", "The parameter takes another kind of value.";
    MODULE_TWICE = "W0505", "module loaded twice", "The second loadmodule has no effect.";
    MISSING_DEPENDENCY = "E0506", "module needs another module", "Load the other module as well.";
    NO_LONGER_USED = "W0507", "setting has no effect", "The setting belongs to a removed feature or is not needed here.";
    NOT_SUPPORTED = "E0508", "not supported yet", "Kamailio has it and this server does not have it yet.";
    NO_REQUEST_ROUTE = "E0509", "no request_route", "A configuration without a request_route cannot handle requests.";
    LOADED_UNASKED = "W0510", "module loaded for a function of the old core", "The function was part of the core in earlier versions; the module that has it by now is loaded without being named.";
    START_FAILED = "E0601", "start failed", "The configuration is well-formed but its resources are not available.";
    HAS_NO_EFFECT = "W0602", "setting needs a restart", "The value changes only when the server starts anew.";
    CONFIG_TYPE = "N0701", "configuration type line", "The line marks the dialect; all dialects are read alike.";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn registry_is_sound() {
        let mut codes = HashSet::new();
        let mut titles = HashSet::new();
        for entry in REGISTRY {
            let text = entry.code.as_str();
            assert!(codes.insert(text), "{text} is given twice");
            assert!(
                titles.insert(entry.title),
                "the title {} is given twice",
                entry.title
            );
            assert!(text.len() == 5 && text.starts_with(['E', 'W', 'N']), "{text}");
            assert!(text.bytes().skip(1).all(|byte| byte.is_ascii_digit()), "{text}");
            assert!(entry.explanation.ends_with('.'), "{text}: one whole sentence");
            assert!(!entry.title.ends_with('.'), "{text}: no full stop in the title");
        }
        assert_eq!(
            Code::lookup("e0101").map(|entry| entry.name),
            Some("FILE_UNREADABLE")
        );
        assert_eq!(
            FILE_UNREADABLE.entry().map(|entry| entry.title),
            Some("file cannot be read")
        );
        assert!(Code::lookup("E9999").is_none());
    }
}
