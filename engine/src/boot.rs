//! From a configuration file to something that can start.

use std::{io, ops::Range, sync::Arc};

use kahea_diag::{Diagnostics, SourceMap};
use kahea_lang::{
    compile::{Compiled, compile},
    parser,
    source::{Options, Pattern, Sources},
};
use kahea_module::{Regex, registry::Registry};

/// A configuration that was read and compiled.
pub type Loaded = Compiled;

/// What checking a configuration found.
pub struct Checked {
    /// All findings.
    pub diagnostics: Diagnostics,
    /// The texts they point into.
    pub sources: SourceMap,
}

/// Reads files and the environment for the language.
pub struct Files;

impl Sources for Files {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if path == "-" {
            let mut text = Vec::new();
            io::Read::read_to_end(&mut io::stdin(), &mut text)?;
            return Ok(text);
        }
        std::fs::read(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Box<dyn Pattern>, String> {
        match Regex::with(pattern.as_bytes(), ignore_case, false) {
            Ok(regex) => Ok(Box::new(Posix(regex))),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct Posix(Regex);

impl Pattern for Posix {
    fn find(&self, text: &[u8], start: usize) -> Option<Vec<Option<Range<usize>>>> {
        let groups = self.0.captures_at(text, start)?;
        Some(
            groups
                .into_iter()
                .map(|group| group.map(|(from, to)| from..to))
                .collect(),
        )
    }
}

/// Reads and compiles a configuration.
pub fn load(path: &str, options: &Options, registry: &Arc<Registry>) -> Loaded {
    compile(parser::parse(path, &Files, options), registry)
}

/// The same over texts from elsewhere (an embedded default, an editor).
pub fn load_from(path: &str, sources: &dyn Sources, options: &Options, registry: &Arc<Registry>) -> Loaded {
    compile(parser::parse(path, sources, options), registry)
}

/// Reads and compiles a configuration for its findings alone.
pub fn check(path: &str, options: &Options, registry: &Arc<Registry>) -> Checked {
    let Compiled {
        diagnostics, sources, ..
    } = load(path, options, registry);
    Checked { diagnostics, sources }
}
