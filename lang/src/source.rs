//! Where texts come from: this crate opens no files itself.

use std::{collections::HashMap, io, ops::Range, sync::Arc};

/// Reads files and the environment for the preprocessor.
pub trait Sources {
    /// The bytes of a file. `NotFound` is tolerated for `import_file`.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    fn env(&self, name: &str) -> Option<String>;

    /// Compiles a POSIX extended regular expression for `#!subst`.
    ///
    /// Patterns without special characters never come here. The error says what is wrong with the pattern.
    fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Box<dyn Pattern>, String> {
        let _ = (pattern, ignore_case);
        Err(String::from("regular expressions are not available here"))
    }
}

/// A compiled regular expression.
pub trait Pattern {
    /// The first match in `text` that begins at `start` or later: its range and those of its groups.
    fn find(&self, text: &[u8], start: usize) -> Option<Vec<Option<Range<usize>>>>;
}

/// Texts in memory, for tests and for checking what an editor holds.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Contents by path.
    pub files: HashMap<String, Arc<[u8]>>,
    /// Environment by name.
    pub env: HashMap<String, String>,
}

impl Memory {
    /// One file.
    pub fn with(path: impl Into<String>, text: impl AsRef<[u8]>) -> Memory {
        Memory::default().and(path, text)
    }

    /// One more file.
    #[must_use]
    pub fn and(mut self, path: impl Into<String>, text: impl AsRef<[u8]>) -> Memory {
        self.files.insert(path.into(), text.as_ref().into());
        self
    }
}

impl Sources for Memory {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files
            .get(path)
            .map(|text| text.to_vec())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

/// What the command line adds to a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The version of Kamailio whose language this is, for `KAMAILIO_VERSION` and `KAMAILIO_6`.
    pub version: (u16, u16, u16),
    /// The value of `OS_NAME`.
    pub os_name: String,
    /// `-A NAME` and `-A NAME=VALUE`: names defined beforehand.
    pub defines: Vec<(String, Option<String>)>,
    /// `--subst=/regex/replacement/flags`
    pub substs: Vec<String>,
    /// `--substdef=/NAME/value/`: a substitution in strings and a name.
    pub substdefs: Vec<String>,
    /// `--substdefs=/NAME/value/`: the same with the value of the name in quotes.
    pub substdefs_quoted: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: (6, 0, 0),
            os_name: String::from("linux"),
            defines: Vec::new(),
            substs: Vec::new(),
            substdefs: Vec::new(),
            substdefs_quoted: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_reads_what_it_has() {
        let sources = Memory::with("a", "x").and("b", "y");
        assert_eq!(sources.read("b").unwrap(), b"y");
        assert_eq!(sources.read("c").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(sources.env("HOME"), None);
    }
}
