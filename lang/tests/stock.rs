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

/// Files that Kamailio refuses too, with the reason.
const BROKEN: &[&str] = &[
    // a modules' configuration in another format
    "tls.cfg",
];

#[test]
fn stock_configurations_parse() {
    let mut files = Vec::new();
    walk(Path::new("/etc/kamailio"), &mut files);
    walk(Path::new("/usr/share/doc/kamailio/examples"), &mut files);
    files.sort();
    let mut failures = Vec::new();
    for file in files {
        if BROKEN.iter().any(|name| file.ends_with(name)) {
            continue;
        }
        let path = file.to_str().unwrap();
        let parsed = parser::parse(path, &Disk, &Options::default());
        let errors = parsed
            .diagnostics
            .iter()
            .filter(|item| item.severity == kahea_diag::Severity::Error);
        failures.extend(errors.map(|error| render::line(error, &parsed.sources)));
    }
    assert!(
        failures.is_empty(),
        "{} errors:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
