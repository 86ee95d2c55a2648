//! Every configuration of Debian's kamailio package, checked where the package installed it: nothing is wrong with the
//! language of any that Kamailio takes, and only modules that are not available yet remain (E0508).
//!
//! `cargo xtask ci` installs the package; a machine without it fails here instead of passing unchecked.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::kahea;

const EXAMPLES: &str = "/usr/share/doc/kamailio/examples/";
/// A module is not available yet: nothing is wrong with the configuration.
const NOT_YET: &str = "E0508";

/// Parts of the file beside them that includes them, which is where they are checked.
const FRAGMENTS: &[&str] = &[
    "ims/pcscf/route/mo.cfg",
    "ims/pcscf/route/mt.cfg",
    "ims/pcscf/route/register.cfg",
    "ims/pcscf/route/rtp.cfg",
    "ims/pcscf/route/websocket.cfg",
    "ims/pcscf/route/xmlrpc.cfg",
    "kemi/kamailio-basic-kemi-native.cfg",
];

/// Files that need another one at a place where the package does not put it.
const PREPARED: &[&str] = &[
    "ims/icscf/kamailio.cfg",
    "ims/pcscf/kamailio.cfg",
    "ims/scscf/kamailio.cfg",
    "kemi/kamailio-basic-kemi.cfg",
];

/// What Kamailio 5.6.3 refuses as well: the file, the errors found here, and what Kamailio says.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "exec/exec_s5.cfg",
        &["E0211"],
        "line 31, no `;` before else: missing ';'?",
    ),
    (
        "exec/exec_s5b.cfg",
        &["E0211"],
        "line 31, no `;` before else: missing ';'?",
    ),
    (
        "kamailio/exec_s5.cfg",
        &["E0211"],
        "line 34, no `;` before else: missing ';'?",
    ),
    (
        "kamailio/msilo.cfg",
        &["E0306"],
        "line 78, no loadmodule of pv: error searching pvar \"avp\"",
    ),
    (
        "mixed/voicemail.cfg",
        &["E0317"],
        "line 22, fifo: unknown config variable; vm() is of SER",
    ),
    (
        "pkg/sip-router-basic.cfg",
        &["E0107", "E0317"],
        "different number of preprocessor directives: 1 more #!endif; save_contacts() and lookup_contacts() of SER",
    ),
    (
        "pkg/sip-router-oob.cfg",
        &["E0105", "E0301", "E0306", "E0309", "E0317"],
        "written for SER 2, with its attributes, selects and functions: failed to find command append_hf_value",
    ),
    (
        "kamailio/nathelper.cfg",
        &["E0317"],
        "written for OpenSER 1: failed to find command force_rtp_proxy",
    ),
    (
        "mixed/nathelper.cfg",
        &["E0317"],
        "written for SER 0.9: failed to find command force_rtp_proxy",
    ),
    (
        "presence/full-no-failover.cfg",
        &["E0210", "E0301", "E0302", "E0309", "E0317", "E0502"],
        "written for SER 2, with its attributes and modules: failed to find command create_via",
    ),
    (
        "presence/no-db.cfg",
        &["E0301", "E0309", "E0317"],
        "written for SER 2, with its modules: failed to find command create_via",
    ),
];

/// The configurations of the installed package.
fn installed() -> Vec<PathBuf> {
    let output = Command::new("dpkg").args(["-L", "kamailio"]).output();
    let list = output.map_or_else(
        |error| panic!("dpkg names the samples: {error}"),
        |output| String::from_utf8(output.stdout).expect("text"),
    );
    let files: Vec<PathBuf> = list
        .lines()
        .filter(|path| path.ends_with(".cfg"))
        .map(PathBuf::from)
        .collect();
    assert!(files.len() >= 60, "no samples: apt-get install kamailio");
    if let Some(missing) = files.iter().find(|path| !path.exists()) {
        panic!(
            "{} is not there: install kamailio with `-o DPkg::Options::=--path-include=/usr/share/doc/kamailio/*`",
            missing.display()
        );
    }
    files
}

fn short(path: &Path) -> &str {
    let path = path.to_str().expect("a name");
    path.strip_prefix(EXAMPLES).unwrap_or(path)
}

/// The codes of the errors of a configuration, without [`NOT_YET`].
fn errors(config: &Path) -> BTreeSet<String> {
    let output = kahea()
        .arg("check")
        .arg(config)
        .args(["--format", "json"])
        .current_dir(config.parent().expect("a folder"))
        .output()
        .expect("kahea runs");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {output:?}", config.display()));
    let list = list.as_array().expect("a list");
    let codes = list
        .iter()
        .filter(|finding| finding["severity"] == "error")
        .map(|finding| finding["code"].as_str().expect("a code").to_owned());
    codes.filter(|code| code != NOT_YET).collect()
}

/// A copy of the file's folder in which what it includes stands where it looks for it.
fn prepared(config: &Path) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a folder");
    copy(config.parent().expect("a folder"), place.path());
    let copied = place.path().join(config.file_name().expect("a name"));
    let text = fs::read_to_string(&copied).expect("text");
    fs::write(&copied, text.replace("/usr/local/etc/kamailio/", "")).expect("written");
    (place, copied)
}

/// Copies a folder; `x.cfg.sample` becomes `x.cfg`.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let target = to.join(name.strip_suffix(".sample").unwrap_or(name));
        if path.is_dir() {
            fs::create_dir(&target).expect("made");
            copy(&path, &target);
        } else {
            fs::write(target, fs::read(&path).expect("read")).expect("written");
        }
    }
}

#[test]
fn every_sample_is_taken_or_refused_as_by_kamailio() {
    let files = installed();
    let mut wrong = Vec::new();
    for config in &files {
        let name = short(config);
        if FRAGMENTS.contains(&name) {
            continue;
        }
        let found = if PREPARED.contains(&name) {
            let (_place, copied) = prepared(config);
            errors(&copied)
        } else {
            errors(config)
        };
        let row = REFUSED.iter().find(|(file, ..)| *file == name);
        let expected = row.map_or(BTreeSet::new(), |(_, codes, _)| {
            codes.iter().map(|code| (*code).to_owned()).collect()
        });
        if found != expected {
            wrong.push(format!("{name}: found {found:?}, expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_tables_is_a_sample() {
    let files = installed();
    let names: Vec<&str> = files.iter().map(|path| short(path)).collect();
    let refused = REFUSED.iter().map(|(file, ..)| file);
    for name in FRAGMENTS.iter().chain(PREPARED).chain(refused) {
        assert!(names.contains(name), "{name} is not in the package");
    }
    for (file, codes, reason) in REFUSED {
        assert!(!codes.is_empty() && !reason.is_empty(), "{file}");
    }
}
