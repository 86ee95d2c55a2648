//! Module `db_sqlite`.

use std::sync::Arc;

use kahea_db::Databases;
use kahea_module::{BindError, Decl, Env, InitError, Module, Value};

use crate::{Settings, SqliteDriver, settings::Journal};

/// The module.
pub struct DbSqlite;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    settings: Settings,
}

impl Module for DbSqlite {
    const NAME: &'static str = "db_sqlite";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "db_set_readonly",
            "string",
            |params, value, _| {
                params.settings.of(text(value)?.as_str()).readonly = true;
                Ok(())
            },
            "A database file that is opened for reading only. May be given several times.",
        );
        d.param_fn(
            "db_set_journal_mode",
            "string",
            |params, value, _| {
                let text = text(value)?;
                let (file, mode) = assignment(&text)?;
                let journal = Journal::named(mode).ok_or_else(|| {
                    BindError::new(format!("{mode} is no journal mode of SQLite"))
                        .help("write DELETE, TRUNCATE, PERSIST, MEMORY, WAL or OFF")
                })?;
                params.settings.of(file).journal = Some(journal);
                Ok(())
            },
            "FILE=MODE: how changes to a file are journalled; WAL where it is not given. May be given several times.",
        );
        d.param_fn(
            "db_set_busy_timeout",
            "string",
            |params, value, _| {
                let text = text(value)?;
                let (file, time) = assignment(&text)?;
                let time: u32 = time.parse().map_err(|_| {
                    BindError::new(format!("{time} is no number of milliseconds"))
                        .help("write for example /var/lib/kahea.db=2000")
                })?;
                params.settings.of(file).busy_timeout = Some(time);
                Ok(())
            },
            "FILE=MILLISECONDS: how long a statement waits while another process has the file locked; 4000 where it \
             is not given. May be given several times.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        Databases::of(env).register("sqlite", Arc::new(SqliteDriver::new(params.settings)));
        Ok(DbSqlite)
    }
}

fn text(value: &Value) -> Result<String, BindError> {
    match value {
        Value::Str(text) if !text.is_empty() => Ok(text.text().into_owned()),
        _ => Err(BindError::new("the parameter takes the path of a database file")),
    }
}

/// `FILE=VALUE`, with an optional `;` behind it.
fn assignment(text: &str) -> Result<(&str, &str), BindError> {
    let wrong = || {
        BindError::new(format!("\"{text}\" names no file and value"))
            .help("write FILE=VALUE, as in /var/lib/kahea.db=WAL")
    };
    let (file, value) = text
        .trim()
        .trim_end_matches(';')
        .rsplit_once('=')
        .ok_or_else(wrong)?;
    match file.trim().is_empty() || value.trim().is_empty() {
        true => Err(wrong()),
        false => Ok((file.trim(), value.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_may_end_in_a_semicolon() {
        assert_eq!(assignment("/var/my.db=WAL;").ok(), Some(("/var/my.db", "WAL")));
        assert_eq!(assignment("/var/a=b.db=off").ok(), Some(("/var/a=b.db", "off")));
        assert!(assignment("/var/my.db").is_err());
        assert!(assignment("=WAL").is_err());
    }
}
