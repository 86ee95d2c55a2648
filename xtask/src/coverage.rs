//! What Kamailio's modules offer and ours lack, row by row, in a list that only shrinks.
//!
//! `xtask/data/inventory.json` holds the names and arities that Kamailio 6.2 offers to a config writer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use serde_json::Value;

use crate::{
    listing::{self, rows, text},
    shell::{Outcome, read, say, write},
};

const INVENTORY: &str = "xtask/data/inventory.json";
const LIST: &str = "docs/coverage/missing.txt";
const HEAD: &str = "\
# What Kamailio 6.2 offers in a module of this build and Kahea does not have yet, one row a line.
# Kept by `cargo xtask coverage --bless`; it only shrinks. A heading says how many rows the module has, of how many.
";

/// Modules that are promised whole: what they lack is listed even where this build does not have them at all.
const DUE: &[&str] = &[
    "avp",
    "avpops",
    "benchmark",
    "blst",
    "cfgutils",
    "corex",
    "counters",
    "diversion",
    "evrexec",
    "ipops",
    "kex",
    "mangler",
    "math",
    "maxfwd",
    "mqueue",
    "outbound",
    "path",
    "pv",
    "pv_headers",
    "regex",
    "rr",
    "rtimer",
    "sanity",
    "sdpops",
    "siputils",
    "sl",
    "sst",
    "statistics",
    "stun",
    "textops",
    "textopsx",
    "timer",
    "topoh",
    "uuid",
    "xlog",
    "xprint",
];

/// The core's own rows stand in these two; they are there without `loadmodule`, so what they have every module has.
const CORE: &[&str] = &["core", "core-pv"];

/// What one module has of what Kamailio has.
struct Module {
    has: usize,
    missing: BTreeSet<String>,
}

/// Compares and, with `bless`, writes the list.
pub fn run(bless: bool) -> Outcome {
    let listing = listing::load()?;
    let inventory: Value =
        serde_json::from_str(&read(INVENTORY)?).map_err(|error| format!("{INVENTORY}: {error}"))?;
    let modules = compare(&listing, &inventory);
    for (name, module) in &modules {
        say(format!(
            "{name:14} {:4}/{}",
            module.has,
            module.has + module.missing.len()
        ));
    }
    let (old, new) = (read(LIST).unwrap_or_default(), render(&modules));
    if bless {
        shrinks(&parse(&old), &modules)?;
        return write(LIST, &new);
    }
    match differences(&parse(&old), &modules) {
        problems if !problems.is_empty() => Err(problems.join("\n")),
        _ if old != new => Err(format!(
            "{LIST}: not as written by `cargo xtask coverage --bless`: run that"
        )),
        _ => Ok(()),
    }
}

/// Every module of this build that Kamailio has too, and those that are due.
fn compare(listing: &Value, inventory: &Value) -> BTreeMap<String, Module> {
    let built: BTreeMap<&str, &Value> = rows(listing, "modules")
        .map(|module| (text(module, "name"), module))
        .collect();
    let core: Vec<&Value> = CORE.iter().filter_map(|name| built.get(name).copied()).collect();
    let mut modules = BTreeMap::new();
    for (name, wanted) in inventory["modules"].as_object().into_iter().flatten() {
        let own = built.get(name.as_str()).copied();
        if own.is_none() && !DUE.contains(&name.as_str()) && name != "core" {
            continue;
        }
        let declared: Vec<Declared<'_>> = own
            .into_iter()
            .chain(core.iter().copied())
            .map(Declared::of)
            .collect();
        let (has, missing): (Vec<_>, Vec<_>) =
            wanted_rows(wanted).partition(|row| declared.iter().any(|module| module.has(row)));
        let missing = missing.iter().map(Row::to_string).collect();
        modules.insert(
            name.clone(),
            Module {
                has: has.len(),
                missing,
            },
        );
    }
    modules
}

/// One row of the inventory: `function append_hf/2`.
struct Row<'a> {
    kind: &'static str,
    name: &'a str,
}

impl std::fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Kinds of rows: their member in both documents, and their name in the list.
const KINDS: &[(&str, &str)] = &[
    ("functions", "function"),
    ("params", "param"),
    ("pvs", "variable"),
    ("transformations", "transformation"),
    ("rpc", "rpc"),
    ("kemi", "kemi"),
    ("events", "event"),
    ("stats", "stat"),
];

fn wanted_rows(module: &Value) -> impl Iterator<Item = Row<'_>> {
    KINDS.iter().flat_map(|(member, kind)| {
        rows(module, member).filter_map(|name| {
            Some(Row {
                kind,
                name: name.as_str()?,
            })
        })
    })
}

/// The names of a module of this build, by kind.
struct Declared<'a> {
    functions: Vec<&'a Value>,
    names: BTreeSet<(&'static str, String)>,
}

impl<'a> Declared<'a> {
    fn of(module: &'a Value) -> Declared<'a> {
        let mut names = BTreeSet::new();
        for (member, kind) in KINDS.iter().filter(|(member, _)| *member != "functions") {
            for row in rows(module, member) {
                names.insert((*kind, text(row, "name").to_owned()));
                names.extend(
                    rows(row, "aliases").filter_map(|alias| Some((*kind, alias.as_str()?.to_owned()))),
                );
            }
        }
        let functions: Vec<&Value> = rows(module, "functions").collect();
        for kemi in functions.iter().flat_map(|function| rows(function, "kemi")) {
            names.insert(("kemi", format!("{}/{}", text(kemi, "path"), kemi["arguments"])));
        }
        Declared { functions, names }
    }

    fn has(&self, row: &Row<'_>) -> bool {
        match row.kind {
            "function" => self.has_function(row.name),
            kind => self.names.contains(&(kind, row.name.to_owned())),
        }
    }

    /// `name/2`; `name/*` takes any number.
    fn has_function(&self, wanted: &str) -> bool {
        let Some((name, count)) = wanted.split_once('/') else {
            return false;
        };
        self.functions
            .iter()
            .filter(|f| f["native"] == true && f["name"] == name)
            .any(|function| {
                let max = function["max"].as_u64();
                match count.parse::<u64>() {
                    Ok(count) => {
                        function["min"].as_u64() <= Some(count) && max.is_none_or(|max| count <= max)
                    }
                    Err(_) => max.is_none(),
                }
            })
    }
}

fn render(modules: &BTreeMap<String, Module>) -> String {
    let mut out = String::from(HEAD);
    for (name, module) in modules {
        let _ = writeln!(
            out,
            "\n## {name} {}/{}",
            module.has,
            module.has + module.missing.len()
        );
        for row in &module.missing {
            let _ = writeln!(out, "{row}");
        }
    }
    out
}

/// The rows of a written list, by module.
fn parse(list: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in list.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading
                .split(' ')
                .next()
                .unwrap_or_default()
                .clone_into(&mut current);
            modules.entry(current.clone()).or_default();
        } else if !line.is_empty() && !line.starts_with('#') {
            modules
                .entry(current.clone())
                .or_default()
                .insert(line.to_owned());
        }
    }
    modules
}

/// A module that the list knows may lose no row; one that is new in this build brings its list along.
fn shrinks(old: &BTreeMap<String, BTreeSet<String>>, new: &BTreeMap<String, Module>) -> Outcome {
    let lost: Vec<String> = new
        .iter()
        .filter_map(|(name, module)| Some((name, module.missing.difference(old.get(name)?))))
        .flat_map(|(name, rows)| rows.map(move |row| format!("{name}: {row} was there and is gone")))
        .collect();
    match lost.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{}\n{LIST} only shrinks: declare these again",
            lost.join("\n")
        )),
    }
}

fn differences(old: &BTreeMap<String, BTreeSet<String>>, new: &BTreeMap<String, Module>) -> Vec<String> {
    let none = BTreeSet::new();
    let mut problems = Vec::new();
    for (name, module) in new {
        let listed = old.get(name).unwrap_or(&none);
        let lacks = module.missing.difference(listed);
        problems.extend(lacks.map(|row| format!("{name}: {row} is missing and not in {LIST}: declare it")));
        let done = listed.difference(&module.missing);
        problems.extend(
            done.map(|row| format!("{name}: {row} is there: `cargo xtask coverage --bless` takes it off")),
        );
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    problems.extend(gone.map(|name| format!("{name}: in {LIST}, but no longer in this build")));
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inventory() -> Value {
        json!({ "modules": {
            "sl": {
                "functions": ["sl_send_reply/2", "sl_forward_reply/0", "sl_forward_reply/2"],
                "params": ["bind_tm"],
                "kemi": ["KSR.sl.sl_send_reply/2"],
                "pvs": ["$x"],
            },
            "acc": { "params": ["log_level"] },
        } })
    }

    fn listing() -> Value {
        json!({ "modules": [
            { "name": "core-pv", "pvs": [{ "name": "$x" }] },
            {
                "name": "sl",
                "functions": [
                    { "name": "sl_send_reply", "native": true, "min": 2, "max": 2,
                      "kemi": [{ "path": "KSR.sl.sl_send_reply", "arguments": 2 }] },
                    { "name": "sl_forward_reply", "native": true, "min": 0, "max": 1, "kemi": [] },
                ],
                "params": [{ "name": "tm", "aliases": ["bind_tm"] }],
            },
        ] })
    }

    fn list(rows: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        parse(&format!("# head\n\n## sl 5/6\n{}\n", rows.join("\n")))
    }

    fn only_sl(mut modules: BTreeMap<String, Module>) -> BTreeMap<String, Module> {
        modules.retain(|name, _| name == "sl");
        modules
    }

    #[test]
    fn arities_aliases_and_the_core_count() {
        let modules = only_sl(compare(&listing(), &inventory()));
        let sl = &modules["sl"];
        assert_eq!(sl.has, 5);
        assert_eq!(Vec::from_iter(&sl.missing), ["function sl_forward_reply/2"]);
    }

    #[test]
    fn modules_that_nobody_promised_are_not_listed() {
        assert!(!compare(&listing(), &inventory()).contains_key("acc"));
    }

    #[test]
    fn the_list_must_name_what_is_missing_and_nothing_else() {
        let modules = only_sl(compare(&listing(), &inventory()));
        assert_eq!(
            differences(&list(&["function sl_forward_reply/2"]), &modules),
            [""; 0]
        );
        let problems = differences(&list(&["param bind_tm"]), &modules);
        assert_eq!(problems.len(), 2);
        assert!(
            problems[0].contains("sl_forward_reply/2 is missing and not in"),
            "{problems:?}"
        );
        assert!(problems[1].contains("param bind_tm is there"), "{problems:?}");
    }

    #[test]
    fn a_blessing_only_shrinks_but_takes_new_modules() {
        let modules = only_sl(compare(&listing(), &inventory()));
        assert!(shrinks(&BTreeMap::new(), &modules).is_ok());
        assert!(shrinks(&list(&["function sl_forward_reply/2", "param bind_tm"]), &modules).is_ok());
        assert!(
            shrinks(&list(&[]), &modules)
                .unwrap_err()
                .contains("sl_forward_reply/2 was there")
        );
        assert_eq!(parse(&render(&modules)), list(&["function sl_forward_reply/2"]));
    }

    #[test]
    fn the_inventory_is_whole() {
        let inventory: Value = serde_json::from_str(&read(INVENTORY).unwrap()).unwrap();
        let modules = inventory["modules"].as_object().unwrap();
        assert_eq!(modules.len(), 258);
        assert!(DUE.iter().all(|name| modules.contains_key(*name)));
        assert!(
            modules
                .values()
                .map(|module| wanted_rows(module).count())
                .sum::<usize>()
                > 7_000
        );
    }
}
