//! What the parameters say about single files.

use std::{collections::HashMap, time::Duration};

use kahea_db::Url;

/// How SQLite keeps changes until they are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Journal {
    Delete,
    Truncate,
    Persist,
    Memory,
    /// Readers and a writer do not wait for each other, and nothing is lost when a process is killed.
    #[default]
    Wal,
    Off,
}

impl Journal {
    pub(crate) fn named(name: &str) -> Option<Journal> {
        let all = [
            Journal::Delete,
            Journal::Truncate,
            Journal::Persist,
            Journal::Memory,
            Journal::Wal,
            Journal::Off,
        ];
        all.into_iter()
            .find(|mode| mode.name().eq_ignore_ascii_case(name))
    }

    /// As SQLite spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Journal::Delete => "DELETE",
            Journal::Truncate => "TRUNCATE",
            Journal::Persist => "PERSIST",
            Journal::Memory => "MEMORY",
            Journal::Wal => "WAL",
            Journal::Off => "OFF",
        }
    }
}

/// What a parameter says about a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FileSettings {
    pub(crate) readonly: bool,
    pub(crate) journal: Option<Journal>,
    /// In milliseconds.
    pub(crate) busy_timeout: Option<u32>,
}

/// Below the deadline of a statement, so that the answer names the reason.
const BUSY_TIMEOUT: u32 = 4_000;

/// The settings of all files.
#[derive(Debug, Default)]
pub struct Settings {
    files: HashMap<String, FileSettings>,
}

impl Settings {
    pub(crate) fn of(&mut self, file: &str) -> &mut FileSettings {
        self.files.entry(plain(file)).or_default()
    }

    /// How the file of this URL is to be opened; `?readonly=1&journal_mode=…&busy_timeout=…&foreign_keys=1` in the URL
    /// count before the parameters of the module.
    pub(crate) fn opening(&self, url: &Url) -> Opening {
        let file = self.files.get(&plain(url.path())).cloned().unwrap_or_default();
        let switch = |name| url.param(name).map(|value| value != "0");
        let journal = url
            .param("journal_mode")
            .and_then(Journal::named)
            .or(file.journal);
        let busy = url.param("busy_timeout").and_then(|time| time.parse().ok());
        let busy = busy.or(file.busy_timeout).unwrap_or(BUSY_TIMEOUT);
        Opening {
            path: url.path().to_owned(),
            readonly: switch("readonly").unwrap_or(file.readonly),
            journal: journal.unwrap_or_default(),
            busy_timeout: Duration::from_millis(u64::from(busy)),
            foreign_keys: switch("foreign_keys").unwrap_or(false),
        }
    }
}

/// The path as it is compared: what stands in a parameter may have more or fewer slashes in front than the URL.
fn plain(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

/// How a file is opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Opening {
    pub(crate) path: String,
    pub(crate) readonly: bool,
    pub(crate) journal: Journal,
    pub(crate) busy_timeout: Duration,
    pub(crate) foreign_keys: bool,
}

impl Opening {
    /// The database lives in the memory of one connection.
    pub(crate) fn in_memory(&self) -> bool {
        self.path == ":memory:"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_find_the_file_of_the_url() {
        let mut settings = Settings::default();
        settings.of("/var/my.db").readonly = true;
        settings.of("/var/my.db").journal = Some(Journal::Truncate);
        for text in ["sqlite:///var/my.db", "sqlite:////var/my.db"] {
            let opening = settings.opening(&Url::parse(text).unwrap());
            assert!(opening.readonly);
            assert_eq!(opening.journal, Journal::Truncate);
        }
        let other = settings.opening(&Url::parse("sqlite:///var/other.db").unwrap());
        assert_eq!((other.readonly, other.journal), (false, Journal::Wal));
        assert_eq!(other.busy_timeout, Duration::from_secs(4));
    }

    #[test]
    fn the_url_counts_before_the_parameters() {
        let mut settings = Settings::default();
        settings.of("/my.db").busy_timeout = Some(10);
        let url =
            Url::parse("sqlite:///my.db?busy_timeout=20&journal_mode=off&readonly=1&foreign_keys=1").unwrap();
        let opening = settings.opening(&url);
        assert_eq!(opening.path, "/my.db");
        assert_eq!(opening.busy_timeout, Duration::from_millis(20));
        assert_eq!(opening.journal, Journal::Off);
        assert!(opening.readonly && opening.foreign_keys);
    }
}
