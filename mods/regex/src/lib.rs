//! Module `regex`: Perl-compatible regular expressions (PCRE2), alone and in groups from a file.
#![forbid(unsafe_code)]

mod file;
mod matching;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::matching::RegexModule;

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![RegexModule]
}
