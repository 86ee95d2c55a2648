//! Looks through scripts for calls of `KSR` functions that are not there, or do not take that many arguments.
//!
//! It reads words, strings, comments and brackets, not whole languages: a call whose arguments cannot be counted so is
//! passed over.

use kahea_diag::{Diagnostic, FileId, Span, closest, codes};

use crate::{Entry, Table};

/// How a language writes comments and strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Lua.
    Lua,
    /// Python.
    Python,
    /// JavaScript.
    JavaScript,
    /// Ruby.
    Ruby,
    /// Squirrel.
    Squirrel,
}

/// Findings about the calls in a script.
pub fn calls(text: &[u8], dialect: Dialect, file: FileId, table: &Table) -> Vec<Diagnostic> {
    let mut reader = Reader { text, at: 0, dialect };
    let mut findings = Vec::new();
    while reader.at < text.len() {
        if reader.skip_quoted() {
            continue;
        }
        match reader.word() {
            Some(b"KSR") if !reader.is_member() => {
                if let Some(call) = reader.call() {
                    findings.extend(wrong(&call, file, table));
                }
            }
            Some(_) => {}
            None => reader.at = reader.at.saturating_add(1),
        }
    }
    findings
}

/// A call of a function under `KSR`.
struct Call {
    /// The names behind `KSR`.
    path: Vec<String>,
    start: usize,
    end: usize,
    /// How many arguments, where they can be counted; the last may stand for several.
    count: Option<Count>,
}

#[derive(Clone, Copy)]
struct Count {
    given: usize,
    open: bool,
}

fn wrong(call: &Call, file: FileId, table: &Table) -> Option<Diagnostic> {
    let span = |start: usize, end: usize| {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span::new(file, offset(start), offset(end))
    };
    let (module, name) = match call.path.as_slice() {
        [name] => ("", name.as_str()),
        [module, name] => (module.as_str(), name.as_str()),
        _ => return None,
    };
    if module.eq_ignore_ascii_case("x") && matches!(name, "exit" | "drop") {
        return None;
    }
    let is_group = |entry: &&Entry| entry.module.eq_ignore_ascii_case(module);
    let Some(entry) = table
        .entries()
        .iter()
        .filter(is_group)
        .find(|entry| entry.name == name)
    else {
        let problem = Diagnostic::error(
            codes::UNKNOWN_FUNCTION,
            span(call.start, call.end),
            format!("there is no KSR.{}", call.path.join(".")),
        );
        let all: Vec<String> = table.entries().iter().map(Entry::full_name).collect();
        let close = closest(
            &format!("KSR.{}", call.path.join(".")),
            all.iter().map(String::as_str),
        );
        let known = table
            .groups()
            .iter()
            .any(|group| group.name.eq_ignore_ascii_case(module));
        return Some(match known {
            true => problem.did_you_mean(close),
            false => problem.help(format!("load the module that has KSR.{module}")),
        });
    };
    let (counts, count) = (entry.counts()?, call.count?);
    let fits = |takes: &usize| match count.open {
        true => *takes >= count.given.saturating_sub(1),
        false => *takes == count.given,
    };
    if counts.iter().any(fits) {
        return None;
    }
    let (given, s) = (count.given, if count.given == 1 { "" } else { "s" });
    let problem = Diagnostic::error(
        codes::WRONG_ARGUMENT_COUNT,
        span(call.start, call.end),
        format!("{} does not take {given} argument{s}", entry.full_name()),
    );
    Some(problem.help(format!("write {}", entry.signatures().join(" or "))))
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
}

fn in_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn forward(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    /// The word that begins here, passed.
    fn word(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| in_word(**byte)).count();
        let word = rest.get(..length).filter(|word| !word.is_empty())?;
        self.forward(length);
        Some(word)
    }

    /// The word just passed follows a point: a member of something else.
    fn is_member(&self) -> bool {
        let before = self.at.checked_sub(4).and_then(|at| self.text.get(at));
        before.is_some_and(|byte| matches!(byte, b'.' | b':' | b'$'))
    }

    fn blanks(&mut self) {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        self.forward(length);
    }

    /// Passes a comment or a string that begins here.
    fn skip_quoted(&mut self) -> bool {
        let rest = self.rest();
        let line = || rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let length = match (self.dialect, rest) {
            (Dialect::Lua, [b'-', b'-', behind @ ..]) => match long_bracket(behind) {
                Some(length) => length.saturating_add(2),
                None => line(),
            },
            (Dialect::Lua, [b'[', b'[' | b'=', ..]) => match long_bracket(rest) {
                Some(length) => length,
                None => return false,
            },
            (Dialect::Python | Dialect::Ruby | Dialect::Squirrel, [b'#', ..]) => line(),
            (Dialect::JavaScript | Dialect::Squirrel, [b'/', b'/', ..]) => line(),
            (Dialect::JavaScript | Dialect::Squirrel, [b'/', b'*', behind @ ..]) => {
                until(behind, b"*/").saturating_add(2)
            }
            (Dialect::Python, [b'"', b'"', b'"', behind @ ..]) => until(behind, b"\"\"\"").saturating_add(3),
            (Dialect::Python, [b'\'', b'\'', b'\'', behind @ ..]) => until(behind, b"'''").saturating_add(3),
            (Dialect::JavaScript | Dialect::Ruby, [b'`', ..]) => string(rest),
            (_, [b'"' | b'\'', ..]) => string(rest),
            _ => return false,
        };
        self.forward(length);
        true
    }

    /// The call behind `KSR`, where it is one.
    fn call(&mut self) -> Option<Call> {
        let start = self.at.saturating_sub(3);
        let mut path = Vec::new();
        loop {
            self.blanks();
            match self.rest() {
                [b':', b':', ..] => self.forward(2),
                [b'.', b'.', ..] => break,
                [b'.', ..] => self.forward(1),
                _ => break,
            }
            self.blanks();
            path.push(String::from_utf8_lossy(self.word()?).into_owned());
        }
        let end = self.at;
        let count = match self.rest() {
            [b'(', ..] => {
                let inside = Reader {
                    at: self.at.saturating_add(1),
                    ..*self
                };
                inside.arguments()
            }
            [b'"' | b'\'', ..] if self.dialect == Dialect::Lua => Some(Count {
                given: 1,
                open: false,
            }),
            _ => return None,
        };
        (!path.is_empty()).then_some(Call {
            path,
            start,
            end,
            count,
        })
    }

    /// How many arguments stand before the closing parenthesis.
    fn arguments(mut self) -> Option<Count> {
        let (mut depth, mut commas, mut any, mut last) = (0usize, 0usize, false, b' ');
        loop {
            let from = self.at;
            if self.skip_quoted() {
                // A comment is no argument.
                let comment =
                    matches!(self.text.get(from)?, b'#' | b'/') || self.text.get(from..)?.starts_with(b"--");
                any |= !comment;
                last = if comment { last } else { b'"' };
                continue;
            }
            if let Some(word) = self.word() {
                if depth == 0 && matches!(word, b"function" | b"lambda") {
                    return None;
                }
                (any, last) = (true, b'a');
                continue;
            }
            let byte = *self.text.get(self.at)?;
            self.forward(1);
            match byte {
                b')' if depth == 0 => {
                    let given = if any { commas.saturating_add(1) } else { 0 };
                    // What a call returns at the end of a list may be several values, or none.
                    let open = matches!(last, b')' | b'.');
                    return Some(Count { given, open });
                }
                b'(' | b'[' | b'{' => depth = depth.saturating_add(1),
                b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
                b',' if depth == 0 => commas = commas.saturating_add(1),
                b'*' if depth == 0 && matches!(last, b' ' | b',') => return None,
                b'=' if depth == 0 => return None,
                _ => {}
            }
            if !byte.is_ascii_whitespace() {
                (any, last) = (true, byte);
            }
        }
    }
}

/// The length of `[==[ … ]==]`.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let level = text.get(1..)?.iter().take_while(|byte| **byte == b'=').count();
    let open = level.checked_add(2)?;
    if text.first() != Some(&b'[') || text.get(open.checked_sub(1)?) != Some(&b'[') {
        return None;
    }
    let mut close = vec![b']'];
    close.resize(level.saturating_add(1), b'=');
    close.push(b']');
    Some(open.saturating_add(until(text.get(open..)?, &close)))
}

/// The length up to and with `end`, or of all.
fn until(text: &[u8], end: &[u8]) -> usize {
    let found = text.windows(end.len()).position(|window| window == end);
    found.map_or(text.len(), |at| at.saturating_add(end.len()))
}

/// The length of a string with its quotes.
fn string(text: &[u8]) -> usize {
    let Some((quote, inner)) = text.split_first() else {
        return 0;
    };
    let mut escaped = false;
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == quote => return at.saturating_add(2),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Cx, Decl, Env, InitError, Module, Str,
        registry::{ModuleDecl, Registry},
    };

    use super::*;

    struct Sample;

    impl Module for Sample {
        const NAME: &'static str = "pv";
        type Params = ();

        fn declare(d: &mut Decl<Sample>) {
            d.kemi_func(
                "",
                "info",
                ["text"],
                |_: &Sample, _: &mut Cx, _: Str| (),
                "Writes.",
            );
            d.kemi_func(
                "pv",
                "sets",
                ["name", "value"],
                |_: &Sample, _: &mut Cx, _: Str, _: Str| (),
                "Sets.",
            );
        }

        fn init((): (), _: &mut Env<'_>) -> Result<Sample, InitError> {
            Ok(Sample)
        }
    }

    fn found(text: &str, dialect: Dialect) -> Vec<String> {
        let table = Table::of_all(&Registry::new(vec![ModuleDecl::of::<Sample>()]));
        let findings = calls(text.as_bytes(), dialect, FileId::ROOT, &table);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn what_is_right_is_passed_over() {
        let text = r#"
            KSR.info("a, b") -- KSR.nope()
            --[[ KSR.nope() ]] KSR.pv.sets("$var(x)", f(1, 2)) KSR.pv.sets("x", ...)
            local t = [[ KSR.nope() ]] .. 'KSR.nope()'
            KSR.x.exit() KSR.x.modf("f", 1, 2, 3) KSR.info "plain"
            if KSR.tm and other.KSR.nope() then KSR.info(t[1], nil and 2) end
        "#;
        assert_eq!(found(text, Dialect::Lua), ["KSR.info does not take 2 arguments"]);
        let text = "import KSR as KSR\n'''KSR.nope()'''\nKSR.info('x') # KSR.nope()\nKSR.pv.sets(*args)\n";
        assert!(found(text, Dialect::Python).is_empty());
        assert!(
            found(
                "/* KSR.nope() */ KSR.info(`a`); // KSR.nope()",
                Dialect::JavaScript
            )
            .is_empty()
        );
        assert!(found("KSR::PV.sets(\"a\", \"b\") # KSR.nope()", Dialect::Ruby).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = "KSR.inof('x')\nKSR.pv.sets('x')\nKSR.tm.t_relay()\nKSR.info()\nKSR.info(f(), f())\n";
        assert_eq!(
            found(text, Dialect::Lua),
            [
                "there is no KSR.inof",
                "KSR.pv.sets does not take 1 argument",
                "there is no KSR.tm.t_relay",
                "KSR.info does not take 0 arguments",
            ]
        );
        // Broken texts end somewhere.
        for text in [
            "KSR.info(",
            "KSR.",
            "KSR.info(\"",
            "--[[",
            "[==[",
            "KSR.info([",
            "'",
        ] {
            assert!(found(text, Dialect::Lua).len() <= 1, "{text}");
        }
    }
}
