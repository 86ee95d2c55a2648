//! The reference manual: one page for each module, one for the core, one for the global parameters, all made from the
//! declarations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
};

use serde_json::Value;

use crate::{
    listing::{self, rows, text},
    shell::{Outcome, root, say, write},
};

const FOLDER: &str = "docs/reference";
const MADE: &str = "<!-- Made by `cargo xtask reference` from the declarations; do not edit. -->\n\n";

/// Writes the pages, or with `check` says which are not as they would be written.
pub fn run(check: bool) -> Outcome {
    let pages = pages(&listing::load()?);
    let there: BTreeSet<String> = fs::read_dir(root().join(FOLDER))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    if check {
        return compare(&pages, &there);
    }
    for gone in there.iter().filter(|name| !pages.contains_key(*name)) {
        let path = root().join(FOLDER).join(gone);
        fs::remove_file(path).map_err(|error| format!("{FOLDER}/{gone}: {error}"))?;
    }
    for (name, page) in &pages {
        write(&format!("{FOLDER}/{name}"), page)?;
    }
    say(format!("reference: {} pages", pages.len()));
    Ok(())
}

fn compare(pages: &BTreeMap<String, String>, there: &BTreeSet<String>) -> Outcome {
    let differs = |name: &String| {
        let path = root().join(FOLDER).join(name);
        fs::read_to_string(path).ok().as_ref() != pages.get(name)
    };
    let names: BTreeSet<&String> = pages.keys().chain(there).collect();
    let old: Vec<&str> = names
        .into_iter()
        .filter(|name| differs(name))
        .map(String::as_str)
        .collect();
    match old.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{FOLDER}: not as declared: {}\nrun `cargo xtask reference` and commit what it writes",
            old.join(", ")
        )),
    }
}

fn pages(listing: &Value) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut contents = String::from(MADE);
    contents.push_str("# Reference\n\n- [Global parameters](globals.md)\n");
    for module in rows(listing, "modules") {
        let name = text(module, "name");
        let _ = writeln!(contents, "- [{name}]({name}.md): {}", summary(module));
        pages.insert(format!("{name}.md"), page(module));
    }
    pages.insert("README.md".to_owned(), contents);
    pages.insert("globals.md".to_owned(), globals(listing));
    pages
}

/// The parts of a module's page: member, heading, and how a row is written.
type Part = (&'static str, &'static str, fn(&Value) -> String);

const PARTS: &[Part] = &[
    ("functions", "functions", function),
    ("params", "parameters", param),
    ("pvs", "variables", variable),
    ("transformations", "transformations", transformation),
    ("rpc", "RPC commands", plain),
    ("events", "event routes", event),
    ("stats", "statistics", stat),
];

fn summary(module: &Value) -> String {
    let parts = PARTS.iter().filter_map(|(member, heading, _)| {
        let count = rows(module, member).count();
        (count > 0).then(|| format!("{count} {heading}"))
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() {
        "nothing a script can name".to_owned()
    } else {
        parts.join(", ")
    }
}

fn page(module: &Value) -> String {
    let mut out = format!("{MADE}# Module `{}`\n", text(module, "name"));
    for (member, heading, row) in PARTS {
        let mut written: Vec<String> = rows(module, member).map(row).collect();
        if written.is_empty() {
            continue;
        }
        written.sort();
        let mut letters = heading.chars();
        let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        let _ = writeln!(out, "\n## {first}{}\n", letters.as_str());
        out.push_str(&written.concat());
    }
    out
}

fn function(function: &Value) -> String {
    let kemi: Vec<String> = rows(function, "kemi")
        .map(|name| format!("`{}` ({} arguments)", text(name, "path"), name["arguments"]))
        .collect();
    let mut out = match function["native"] == true {
        true => format!(
            "### `{}`\n\n{}\n\n",
            text(function, "signature"),
            text(function, "doc")
        ),
        false => format!("### {}\n\n{}\n\n", kemi.join(", "), text(function, "doc")),
    };
    for parameter in rows(function, "parameters") {
        let optional = if parameter["optional"] == true {
            ", optional"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "- `{}`: {}{optional}",
            text(parameter, "name"),
            text(parameter, "type")
        );
    }
    let _ = writeln!(out, "- Routes: {}", routes(function));
    if function["native"] == true && !kemi.is_empty() {
        let _ = writeln!(out, "- Embedded languages: {}", kemi.join(", "));
    }
    if function["waits"] == true {
        out.push_str("- Can wait: other messages go on meanwhile\n");
    }
    for example in rows(function, "examples").filter_map(Value::as_str) {
        let _ = writeln!(out, "\n```\n{example}\n```");
    }
    out.push('\n');
    out
}

fn routes(function: &Value) -> String {
    const ALL: usize = 7;
    let routes: Vec<&str> = rows(function, "routes").filter_map(Value::as_str).collect();
    if routes.len() == ALL {
        "all".to_owned()
    } else {
        routes.join(", ")
    }
}

fn param(param: &Value) -> String {
    let aliases: Vec<String> = rows(param, "aliases")
        .filter_map(Value::as_str)
        .map(|alias| format!(", also `{alias}`"))
        .collect();
    let live = if param["live"] == true {
        ", changes with a reload"
    } else {
        ""
    };
    let (name, kind) = (text(param, "name"), text(param, "type"));
    format!(
        "- `{name}`{} ({kind}{live}): {}\n",
        aliases.concat(),
        text(param, "doc")
    )
}

fn variable(variable: &Value) -> String {
    let name = text(variable, "name");
    let form = match text(variable, "naming") {
        "required" => format!("`{name}(name)`"),
        "optional" => format!("`{name}`, `{name}(name)`"),
        _ => format!("`{name}`"),
    };
    let writable = if variable["writable"] == true {
        " (can be assigned)"
    } else {
        ""
    };
    format!("- {form}{writable}: {}\n", text(variable, "doc"))
}

fn transformation(transformation: &Value) -> String {
    let arguments: Vec<String> = rows(transformation, "arguments")
        .filter_map(Value::as_str)
        .map(|name| format!(",{name}"))
        .collect();
    let name = text(transformation, "name").trim_end_matches('}');
    format!(
        "- `{name}{}}}`: {}\n",
        arguments.concat(),
        text(transformation, "doc")
    )
}

fn plain(row: &Value) -> String {
    format!("- `{}`: {}\n", text(row, "name"), text(row, "doc"))
}

fn event(row: &Value) -> String {
    format!("- `event_route[{}]`: {}\n", text(row, "name"), text(row, "doc"))
}

fn stat(row: &Value) -> String {
    format!(
        "- `{}:{}`: {}\n",
        text(row, "group"),
        text(row, "name"),
        text(row, "doc")
    )
}

fn globals(listing: &Value) -> String {
    let mut out = format!(
        "{MADE}# Global parameters\n\nWhat may stand as `name = value` at the top of a configuration.\n\n"
    );
    let mut written: Vec<String> = rows(listing, "globals").map(global).collect();
    written.sort();
    out.push_str(&written.concat());
    out
}

fn global(row: &Value) -> String {
    let aliases: Vec<String> = rows(row, "aliases")
        .filter_map(Value::as_str)
        .map(|alias| format!(", also `{alias}`"))
        .collect();
    let default = match &row["default"] {
        Value::String(text) if !text.is_empty() => format!(", default `{text}`"),
        Value::Number(n) => format!(", default {n}"),
        _ => String::new(),
    };
    let effect = match (text(row, "effect"), text(row, "why")) {
        ("works", _) => String::new(),
        ("later", part) => format!(" Accepted; works once this server has {part}."),
        (_, why) => format!(" Accepted without effect: {why}."),
    };
    let (name, kind) = (text(row, "name"), text(row, "type"));
    format!(
        "- `{name}`{} ({kind}{default}): {}{effect}\n",
        aliases.concat(),
        text(row, "doc")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_shows_each_kind_of_row() {
        let module = json!({
            "name": "sample",
            "functions": [{
                "name": "dig", "native": true, "signature": "dig(where[, depth])", "doc": "Digs.", "waits": true,
                "parameters": [
                    { "name": "where", "type": "string", "optional": false },
                    { "name": "depth", "type": "int", "optional": true },
                ],
                "routes": ["request_route"],
                "kemi": [{ "path": "KSR.sample.dig", "arguments": 2 }],
                "examples": ["dig(\"here\");"],
            }],
            "pvs": [{ "name": "$hole", "naming": "required", "writable": true, "doc": "A hole." }],
            "transformations": [{ "name": "{s.dig}", "arguments": ["depth"], "doc": "Digs." }],
        });
        let expected = format!(
            "{MADE}# Module `sample`

## Functions

### `dig(where[, depth])`

Digs.

- `where`: string
- `depth`: int, optional
- Routes: request_route
- Embedded languages: `KSR.sample.dig` (2 arguments)
- Can wait: other messages go on meanwhile

```
dig(\"here\");
```


## Variables

- `$hole(name)` (can be assigned): A hole.

## Transformations

- `{{s.dig,depth}}`: Digs.
"
        );
        assert_eq!(page(&module), expected);
    }

    #[test]
    fn there_is_a_page_for_each_module_and_one_for_the_globals() {
        let listing = json!({ "modules": [{ "name": "sl" }], "globals": [{
            "name": "children", "type": "int", "default": 8, "effect": "later", "why": "script workers", "doc": "Workers.",
            "aliases": [],
        }] });
        let pages = pages(&listing);
        assert_eq!(Vec::from_iter(pages.keys()), ["README.md", "globals.md", "sl.md"]);
        let row =
            "- `children` (int, default 8): Workers. Accepted; works once this server has script workers.\n";
        assert!(pages["globals.md"].ends_with(row), "{}", pages["globals.md"]);
    }
}
