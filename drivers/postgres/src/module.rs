//! Module `db_postgres`.

use std::{sync::Arc, time::Duration};

use kahea_db::Databases;
use kahea_module::{BindError, Decl, Env, InitError, Module};

use crate::{PostgresDriver, Settings};

/// The module.
pub struct DbPostgres;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    retries: i64,
    lockset: i64,
    timeout: i64,
    tcp_keepalive: i64,
    bytea_output_escape: i64,
    connection: Vec<(String, String)>,
}

impl Module for DbPostgres {
    const NAME: &'static str = "db_postgres";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param("retries", |p| &mut p.retries,
            "Read and without effect: a statement is tried once more on a new connection where that cannot do it \
             twice, and a server that is away is tried again in the background.");
        d.param("lockset", |p| &mut p.lockset,
            "Read and without effect: a row is replaced by the server in one statement, so that no locks are needed.");
        d.param(
            "timeout",
            |p| &mut p.timeout,
            "Seconds that a connection or an answer may take; 0 leaves it to the pool.",
        );
        d.param(
            "tcp_keepalive",
            |p| &mut p.tcp_keepalive,
            "Seconds of silence after which TCP asks whether the server is there; 0: never.",
        );
        d.param(
            "bytea_output_escape",
            |p| &mut p.bytea_output_escape,
            "Read and without effect: bytes come as they are, without a spelling that could be chosen.",
        );
        d.param_fn(
            "con_param",
            "string",
            |params, value, _| {
                params.connection.extend(assignments(&value.str_or_empty().text())?);
                Ok(())
            },
            "Connection parameters of PostgreSQL, NAME=VALUE;NAME=VALUE, as in connect_timeout=15. May be given several times.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let seconds = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0).map(Duration::from_secs);
        let settings = Settings {
            timeout: seconds(params.timeout),
            keepalive: seconds(params.tcp_keepalive),
            parameters: params.connection,
        };
        settings.check().map_err(|why| {
            InitError::new(format!("con_param of db_postgres: {why}"))
                .help("write parameters such as connect_timeout=15;application_name=kahea")
        })?;
        let driver = Arc::new(PostgresDriver::new(settings));
        let databases = Databases::of(env);
        databases.register("postgres", driver.clone());
        databases.register("postgresql", driver);
        Ok(DbPostgres)
    }
}

fn assignments(text: &str) -> Result<Vec<(String, String)>, BindError> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let read = parts.map(|part| match part.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err(BindError::new(format!("\"{part}\" is no connection parameter")).help("write NAME=VALUE")),
    });
    read.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let read = assignments("connect_timeout=15; options=-c a=b;").ok();
        let expected = [("connect_timeout", "15"), ("options", "-c a=b")];
        assert_eq!(
            read,
            Some(
                expected
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .to_vec()
            )
        );
        assert!(assignments("connect_timeout").is_err());
    }
}
