//! Stubs of `KSR` for editors, from the same table that runs: completion, signatures and types while a script is written.

use std::fmt::Write;

use kahea_module::ArgKind;

use crate::{Entry, Group, Returns, Table};

/// A language that stubs are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stubs {
    /// A stub file for Python type checkers, `KSR.pyi`.
    Python,
    /// Annotations of the Lua language server, `ksr.lua`.
    Lua,
    /// Declarations of TypeScript for JavaScript, `ksr.d.ts`.
    JavaScript,
    /// Signatures of RBS, `ksr.rbs`.
    Ruby,
}

impl Stubs {
    /// By the name of the command line.
    pub fn named(name: &str) -> Option<Stubs> {
        Some(match name {
            "python" => Stubs::Python,
            "lua" => Stubs::Lua,
            "js" | "javascript" => Stubs::JavaScript,
            "ruby" => Stubs::Ruby,
            _ => return None,
        })
    }

    /// The text.
    pub fn of(self, table: &Table) -> String {
        match self {
            Stubs::Python => python(table),
            Stubs::Lua => lua(table),
            Stubs::JavaScript => java_script(table),
            Stubs::Ruby => ruby(table),
        }
    }
}

/// What leaves the script, which each language has of its own.
const LEAVING: [(&str, &str); 2] = [
    ("exit", "Ends the script."),
    ("drop", "Ends the script; the message goes no further."),
];

/// A form of a function: names and kinds of its parameters.
type Form = Vec<(String, ArgKind)>;

fn forms(entry: &Entry) -> Option<Vec<Form>> {
    let counts = entry.counts()?;
    let form = |count: usize| {
        let named = entry.parameters(count).iter().zip(1..);
        named
            .map(|(parameter, at)| (name(parameter.name, at), parameter.kind))
            .collect()
    };
    Some(counts.into_iter().map(form).collect())
}

/// A parameter's name as all languages can have it.
fn name(given: &str, at: usize) -> String {
    const TAKEN: [&str; 20] = [
        "and", "break", "class", "def", "default", "do", "else", "end", "for", "from", "function", "if",
        "in", "not", "or", "return", "then", "var", "while", "with",
    ];
    let plain: String = given
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    match plain.chars().next() {
        Some(first) if !first.is_ascii_digit() && !TAKEN.contains(&plain.as_str()) => plain,
        _ => format!("a{at}"),
    }
}

fn each(table: &Table, mut write: impl FnMut(&Group, &mut dyn Iterator<Item = &Entry>)) {
    for group in table.groups() {
        write(group, &mut table.members(group));
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

macro_rules! put {
    ($out:expr, $($text:tt)*) => { put($out, format_args!($($text)*)) };
}

fn python(table: &Table) -> String {
    let kind = |kind: ArgKind| match kind {
        ArgKind::Int => "int",
        ArgKind::Value => "int | str | None",
        _ => "str",
    };
    let returns = |returns: Returns| match returns {
        Returns::Code => "int",
        Returns::Bool => "bool",
        Returns::Nothing => "None",
        Returns::Value => "Any",
    };
    let mut out = String::from(
        "# Made by `kahea kemi stubs --lang python`.\nfrom typing import Any, NoReturn, overload\n",
    );
    each(table, |group, entries| {
        let (indent, receiver) = match group.name {
            "" => ("", ""),
            module => {
                put!(&mut out, "\nclass {module}:\n");
                ("    ", "@staticmethod\n")
            }
        };
        for entry in entries {
            let all = forms(entry).unwrap_or_else(|| vec![vec![("function".to_owned(), ArgKind::Str)]]);
            let many = all.len() > 1;
            for form in all {
                let mut params: Vec<String> = form
                    .iter()
                    .map(|(name, of)| format!("{name}: {}", kind(*of)))
                    .collect();
                if entry.counts().is_none() {
                    params.push("*args: int | str".to_owned());
                }
                if many {
                    put!(&mut out, "{indent}@overload\n");
                }
                if !receiver.is_empty() {
                    put!(&mut out, "{indent}{receiver}");
                }
                put!(
                    &mut out,
                    "{indent}def {}({}) -> {}:\n{indent}    \"\"\"{}\"\"\"\n",
                    entry.name,
                    params.join(", "),
                    returns(entry.returns),
                    entry.doc
                );
            }
        }
        if group.name == "x" {
            for (name, doc) in LEAVING {
                put!(
                    &mut out,
                    "    @staticmethod\n    def {name}() -> NoReturn:\n        \"\"\"{doc}\"\"\"\n"
                );
            }
        }
    });
    out
}

fn lua(table: &Table) -> String {
    let kind = |kind: ArgKind| match kind {
        ArgKind::Int => "integer",
        ArgKind::Value => "integer|string|nil",
        _ => "string",
    };
    let returns = |returns: Returns| match returns {
        Returns::Code => Some("integer"),
        Returns::Bool => Some("boolean"),
        Returns::Nothing => None,
        Returns::Value => Some("any"),
    };
    let mut out = String::from("---@meta\n-- Made by `kahea kemi stubs --lang lua`.\n\nKSR = {}\n");
    each(table, |group, entries| {
        if !group.name.is_empty() {
            put!(&mut out, "\nKSR.{} = {{}}\n", group.name);
        }
        for entry in entries {
            put!(&mut out, "\n---{}\n", entry.doc);
            let Some(mut all) = forms(entry) else {
                put!(
                    &mut out,
                    "---@param name string\n---@return integer\nfunction {}(name, ...) end\n",
                    entry.full_name()
                );
                continue;
            };
            let longest = all.pop().unwrap_or_default();
            let result = returns(entry.returns).map_or(String::new(), |of| format!(": {of}"));
            for form in all {
                let params: Vec<String> = form
                    .iter()
                    .map(|(name, of)| format!("{name}: {}", kind(*of)))
                    .collect();
                put!(&mut out, "---@overload fun({}){result}\n", params.join(", "));
            }
            for (name, of) in &longest {
                put!(&mut out, "---@param {name} {}\n", kind(*of));
            }
            if let Some(of) = returns(entry.returns) {
                put!(&mut out, "---@return {of}\n");
            }
            let names: Vec<&str> = longest.iter().map(|(name, _)| name.as_str()).collect();
            put!(
                &mut out,
                "function {}({}) end\n",
                entry.full_name(),
                names.join(", ")
            );
        }
        if group.name == "x" {
            for (name, doc) in LEAVING {
                put!(&mut out, "\n---{doc}\nfunction KSR.x.{name}() end\n");
            }
        }
    });
    out
}

fn java_script(table: &Table) -> String {
    let kind = |kind: ArgKind| match kind {
        ArgKind::Int => "number",
        ArgKind::Value => "number | string | null",
        _ => "string",
    };
    let returns = |returns: Returns| match returns {
        Returns::Code => "number",
        Returns::Bool => "boolean",
        Returns::Nothing => "void",
        Returns::Value => "any",
    };
    let mut out = String::from("// Made by `kahea kemi stubs --lang js`.\ndeclare namespace KSR {\n");
    each(table, |group, entries| {
        let indent = if group.name.is_empty() { "  " } else { "    " };
        if !group.name.is_empty() {
            put!(&mut out, "  namespace {} {{\n", group.name);
        }
        for entry in entries {
            let result = returns(entry.returns);
            put!(&mut out, "{indent}/** {} */\n", entry.doc.replace("*/", "* /"));
            let Some(all) = forms(entry) else {
                put!(
                    &mut out,
                    "{indent}function {}(name: string, ...args: any[]): {result};\n",
                    entry.name
                );
                continue;
            };
            for form in all {
                let params: Vec<String> = form
                    .iter()
                    .map(|(name, of)| format!("{name}: {}", kind(*of)))
                    .collect();
                put!(
                    &mut out,
                    "{indent}function {}({}): {result};\n",
                    entry.name,
                    params.join(", ")
                );
            }
        }
        if group.name == "x" {
            for (name, doc) in LEAVING {
                put!(
                    &mut out,
                    "{indent}/** {doc} */\n{indent}function {name}(): never;\n"
                );
            }
        }
        if !group.name.is_empty() {
            out.push_str("  }\n");
        }
    });
    out.push_str("}\n");
    out
}

fn ruby(table: &Table) -> String {
    let kind = |kind: ArgKind| match kind {
        ArgKind::Int => "Integer",
        ArgKind::Value => "(Integer | String)?",
        _ => "String",
    };
    let returns = |returns: Returns| match returns {
        Returns::Code => "Integer",
        Returns::Bool => "bool",
        Returns::Nothing => "void",
        Returns::Value => "untyped",
    };
    let mut out = String::from("# Made by `kahea kemi stubs --lang ruby`.\nmodule KSR\n");
    each(table, |group, entries| {
        let indent = if group.name.is_empty() { "  " } else { "    " };
        if !group.name.is_empty() {
            // A constant of Ruby begins with a capital letter.
            let mut letters = group.name.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase()).unwrap_or_default();
            put!(&mut out, "  module {first}{}\n", letters.as_str());
        }
        for entry in entries {
            let result = returns(entry.returns);
            put!(
                &mut out,
                "{indent}# {}\n{indent}def self.{}: ",
                entry.doc,
                entry.name
            );
            let Some(all) = forms(entry) else {
                put!(&mut out, "(String name, *untyped args) -> {result}\n");
                continue;
            };
            let each: Vec<String> = all
                .iter()
                .map(|form| {
                    let params: Vec<String> = form
                        .iter()
                        .map(|(name, of)| format!("{} {name}", kind(*of)))
                        .collect();
                    format!("({}) -> {result}", params.join(", "))
                })
                .collect();
            put!(&mut out, "{}\n", each.join(" | "));
        }
        if group.name == "x" {
            for (name, doc) in LEAVING {
                put!(&mut out, "{indent}# {doc}\n{indent}def self.{name}: () -> bot\n");
            }
        }
        if !group.name.is_empty() {
            out.push_str("  end\n");
        }
    });
    out.push_str("end\n");
    out
}
