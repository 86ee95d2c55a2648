//! What Kamailio 6.x has and this module must have: `inventory.txt`, one row a line.

use std::{any::Any, collections::BTreeSet, sync::Arc, sync::OnceLock};

use kahea_module::{
    Index, Naming,
    registry::ModuleDecl,
    testing::FakeBind,
    var::{IndexSource, VarDecl, VarUse},
};

use super::{CoreVars, Pv, select};

const ROWS: &str = include_str!("inventory.txt");

fn rows(kind: &str) -> impl Iterator<Item = Vec<&'static str>> {
    ROWS.lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(move |row| row[0] == kind)
}

fn fits(var: &VarDecl, naming: &str, mode: &str) -> bool {
    let takes_name = var.naming != Naming::None;
    takes_name == (naming == "named") && (mode == "ro" || var.writable)
}

#[test]
fn every_variable_is_declared() {
    let (pv, core) = (ModuleDecl::of::<Pv>(), ModuleDecl::of::<CoreVars>());
    for (kind, module) in [("var", &pv), ("core", &core)] {
        for row in rows(kind) {
            let [_, name, mode, naming, ..] = row[..] else {
                panic!("a row of four words: {row:?}");
            };
            let var = module.vars.iter().find(|var| var.name == name);
            let var = var.unwrap_or_else(|| panic!("${name} is missing"));
            assert!(fits(var, naming, mode), "${name} is not {mode} {naming}");
        }
    }
}

#[test]
fn every_inner_name_is_known() {
    let pv = ModuleDecl::of::<Pv>();
    let slot: Arc<dyn Any + Send + Sync> = Arc::new(OnceLock::<Pv>::new());
    for row in rows("var") {
        let Some(inner) = row.get(4) else { continue };
        let var = pv.vars.iter().find(|var| var.name == row[1]).expect("declared");
        for name in inner.split(',') {
            let usage = VarUse {
                text: row[1],
                inner: Some(name),
                index: IndexSource::Fixed(Index::None),
                bind: &FakeBind::default(),
            };
            assert!(var.bind(&slot, &usage).is_ok(), "${}({name})", row[1]);
        }
    }
}

#[test]
fn every_function_parameter_and_command_is_declared() {
    let pv = ModuleDecl::of::<Pv>();
    for row in rows("func") {
        let count = row[2].parse().expect("a count");
        assert!(pv.func(row[1], count).is_some(), "{}/{count}", row[1]);
    }
    for row in rows("param") {
        assert!(pv.params.iter().any(|param| param.name == row[1]), "{}", row[1]);
    }
    for row in rows("rpc") {
        assert!(pv.rpcs.iter().any(|rpc| rpc.name == row[1]), "{}", row[1]);
    }
    let kemi: BTreeSet<String> = pv
        .funcs
        .iter()
        .flat_map(|func| &func.kemi)
        .map(|kemi| format!("KSR.{}.{} {}", kemi.module, kemi.name, kemi.count))
        .collect();
    for row in rows("kemi") {
        assert!(kemi.contains(&format!("{} {}", row[1], row[2])), "{}", row[1]);
    }
}

/// Rows of the list that stand for more to follow, which Kamailio refuses alone.
const INCOMPLETE: [&str; 5] = ["@branch", "@dst", "@received", "@src", "@sys"];

#[test]
fn every_select_is_known() {
    for row in rows("select") {
        let text = row[1];
        if INCOMPLETE.contains(&text) {
            continue;
        }
        let text = if text.starts_with("@cfg_") {
            text.replacen("<name>", "core.debug", 1)
        } else {
            text.to_owned()
        };
        // A header is named before its index; the list writes the name's place as [n].
        let text = text.replace("header[n]", "header.x").replace(".h[n]", ".h.x");
        let text = text
            .replace("nameaddr.<name>", "nameaddr")
            .replace("uri.<name>", "uri");
        let text = text.replace("<name>", "x").replace("[n]", "[0]");
        assert!(
            select::parse(&text, &FakeBind::default()).is_ok(),
            "{} as {text}",
            row[1]
        );
    }
}
