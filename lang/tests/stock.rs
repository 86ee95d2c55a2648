//! The configurations that come with Kamailio, where they are installed: all parse without an error, and fast.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kahea_diag::render;
use kahea_lang::{
    parser,
    source::{Options, Sources},
};

struct Disk;

impl Sources for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "cfg") {
            found.push(path);
        }
    }
}

/// What these files have wrong themselves: the start of the message, by the end of the path.
const KNOWN: &[(&str, &str)] = &[
    // No semicolon before `else`.
    ("exec_s5.cfg", "missing `;`"),
    ("exec_s5b.cfg", "missing `;`"),
    // They include files that are not part of the package, and use what those define.
    ("icscf/kamailio.cfg", ""),
    ("scscf/kamailio.cfg", ""),
    ("kamailio-basic-kemi.cfg", "cannot read"),
    // One `#!endif` too many, one too few.
    ("sip-router-basic.cfg", "`#!endif` without"),
    ("sip-router-oob.cfg", "condition is never closed"),
    // An attribute of SER 2, `%name`.
    ("full-no-failover.cfg", "expected a value, found `%`"),
    // The settings of a module, in a format of their own.
    ("tls.cfg", ""),
];

fn is_known(path: &str, message: &str) -> bool {
    KNOWN
        .iter()
        .any(|(end, start)| path.ends_with(end) && message.starts_with(start))
}

#[test]
fn stock_configurations_parse() {
    let mut files = Vec::new();
    walk(Path::new("/etc/kamailio"), &mut files);
    walk(Path::new("/usr/share/doc/kamailio/examples"), &mut files);
    files.sort();
    let mut failures = Vec::new();
    for file in files {
        let path = file.to_str().unwrap();
        let parsed = parser::parse(path, &Disk, &Options::default());
        let errors = parsed
            .diagnostics
            .iter()
            .filter(|item| item.severity == kahea_diag::Severity::Error && !is_known(path, &item.message));
        failures.extend(errors.map(|error| render::line(error, &parsed.sources)));
    }
    assert!(
        failures.is_empty(),
        "{} errors:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The newest stock configuration parses fast enough for an editor to check it at each key.
#[test]
fn largest_stock_configuration_is_fast() {
    let path = "/etc/kamailio/kamailio.cfg";
    if !Path::new(path).exists() {
        return;
    }
    let mut times: Vec<_> = (0..5)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "this test measures time")]
            let start = std::time::Instant::now();
            parser::parse(path, &Disk, &Options::default());
            start.elapsed()
        })
        .collect();
    times.sort();
    assert!(times[0] < std::time::Duration::from_millis(10), "{times:?}");
}
