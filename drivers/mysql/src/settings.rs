//! What the parameters of the module say.

use std::{path::PathBuf, time::Duration};

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TlsMode {
    #[default]
    Disabled,
    /// Where the server has it, without looking at its certificate.
    Preferred,
    /// Always, without looking at the certificate.
    Required,
    VerifyAuthority,
    VerifyIdentity,
}

impl TlsMode {
    /// By the numbers of `mysql_ssl_mode` of libmysqlclient.
    pub(crate) fn of(number: i64) -> Option<TlsMode> {
        Some(match number {
            0 | 1 => TlsMode::Disabled,
            2 => TlsMode::Preferred,
            3 => TlsMode::Required,
            4 => TlsMode::VerifyAuthority,
            5 => TlsMode::VerifyIdentity,
            _ => return None,
        })
    }
}

/// A positive number of seconds; other numbers mean none.
pub(crate) fn seconds(n: i64) -> Option<Duration> {
    u64::try_from(n).ok().filter(|n| *n > 0).map(Duration::from_secs)
}

/// The settings of all connections.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) connect: Option<Duration>,
    /// For an answer, and for each further row of it.
    pub(crate) statement: Option<Duration>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) server_timezone: bool,
    pub(crate) insert_delayed: bool,
    pub(crate) found_rows: bool,
    pub(crate) tls: TlsMode,
    pub(crate) tls_authorities: Option<PathBuf>,
    /// Where groups of options (`mysql://[group]/database`) are looked for, in this order.
    pub(crate) option_files: Vec<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        let mut option_files: Vec<PathBuf> = vec!["/etc/my.cnf".into(), "/etc/mysql/my.cnf".into()];
        for (variable, file) in [("MYSQL_HOME", "my.cnf"), ("HOME", ".my.cnf")] {
            option_files.extend(std::env::var_os(variable).map(|folder| PathBuf::from(folder).join(file)));
        }
        Settings {
            connect: None,
            statement: None,
            keepalive: None,
            server_timezone: false,
            insert_delayed: false,
            found_rows: false,
            tls: TlsMode::default(),
            tls_authorities: None,
            option_files,
        }
    }
}

impl Settings {
    /// The same with this file of options alone.
    pub fn with_option_file(self, file: impl Into<PathBuf>) -> Settings {
        Settings {
            option_files: vec![file.into()],
            ..self
        }
    }

    /// The same, counting the rows that an UPDATE finds.
    pub fn with_found_rows(self) -> Settings {
        Settings {
            found_rows: true,
            ..self
        }
    }

    /// The same, with dates made by the server.
    pub fn with_server_timezone(self) -> Settings {
        Settings {
            server_timezone: true,
            ..self
        }
    }

    /// The same, encrypted as `opt_ssl_mode` and `opt_ssl_ca` say; `None` where there is no such mode.
    pub fn with_tls(self, mode: i64, authorities: Option<PathBuf>) -> Option<Settings> {
        let tls = TlsMode::of(mode)?;
        Some(Settings {
            tls,
            tls_authorities: authorities,
            ..self
        })
    }

    /// The same, with this time for an answer.
    pub fn with_statement_timeout(self, time: Duration) -> Settings {
        Settings {
            statement: Some(time),
            ..self
        }
    }
}
