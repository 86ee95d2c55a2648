//! The recovering parser: from a file to its syntax tree, with all mistakes found.

use kahea_diag::{Diagnostics, SourceMap};

use crate::{
    ast::ConfigFile,
    source::{Options, Sources},
};

/// A configuration as read: always a tree, however many mistakes there are.
#[derive(Debug, Default)]
pub struct Parsed {
    /// What could be understood.
    pub config: ConfigFile,
    /// All texts.
    pub sources: SourceMap,
    /// What was wrong.
    pub diagnostics: Diagnostics,
}

/// Reads the configuration at `path` with everything it includes.
pub fn parse(path: &str, sources: &dyn Sources, options: &Options) -> Parsed {
    let _ = (path, sources, options);
    Parsed::default()
}
