//! Module `sqlops`: SQL from scripts.
//!
//! A query waits for its database without holding the worker. What variables bring into a query can never end the
//! literal that they stand in, see [`kahea_db::script`]; `escape_values` says whether such a query fails.

mod connection;
mod query;
mod results;
mod transform;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use kahea_db::{Database, script::Unsafe};
use kahea_module::{BindError, Decl, Env, Fault, InitError, Module, Str};

use self::connection::Connection;

/// The module.
pub struct Sqlops {
    connections: HashMap<Str, Connection, RandomState>,
    /// The most results that a message may hold at once.
    results_maxsize: usize,
    /// So many bytes of a query that failed are logged.
    log_buf_size: usize,
    policy: Unsafe,
}

/// Its parameters.
pub struct Params {
    connections: Vec<(Str, Str)>,
    sqlres: Vec<Str>,
    tr_buf_size: i64,
    log_buf_size: i64,
    connect_mode: i64,
    results_maxsize: i64,
    escape_values: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            connections: Vec::new(),
            sqlres: Vec::new(),
            tr_buf_size: 2048,
            log_buf_size: 128,
            connect_mode: 0,
            results_maxsize: 32,
            escape_values: false,
        }
    }
}

impl Module for Sqlops {
    const NAME: &'static str = "sqlops";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        query::declare(d);
        results::declare(d);
        transform::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let mut connections = HashMap::default();
        for (name, url) in params.connections {
            let database = match params.connect_mode {
                1 => Database::open_later(env, &url.text()),
                _ => Database::open(env, &url.text()),
            };
            let database = database.map_err(|error| InitError {
                message: format!("connection {name}: {}", error.message),
                help: error.help,
            })?;
            connections.insert(name.clone(), Connection::new(name, database));
        }
        Ok(Sqlops {
            connections,
            results_maxsize: usize::try_from(params.results_maxsize).unwrap_or(0),
            log_buf_size: usize::try_from(params.log_buf_size).unwrap_or(0),
            policy: match params.escape_values {
                true => Unsafe::Escape,
                false => Unsafe::Refuse,
            },
        })
    }
}

fn params(d: &mut Decl<Sqlops>) {
    d.param_fn(
        "sqlcon",
        "string",
        |params, value, _| {
            let (name, url) = connection(&value.str_or_empty().text())?;
            if params.connections.iter().any(|(known, _)| *known == name) {
                return Err(BindError::new(format!("connection {name} is defined already"))
                    .help("take one of the two lines out"));
            }
            params.connections.push((name, url));
            Ok(())
        },
        "A connection: NAME=>URL. Messages share a pool of connections to each URL.",
    );
    d.param(
        "sqlres",
        |p| &mut p.sqlres,
        "The name of a result; names need no declaration here.",
    );
    d.param(
        "tr_buf_size",
        |p| &mut p.tr_buf_size,
        "Without meaning here: what {sql.val} makes may have any length.",
    );
    d.param(
        "log_buf_size",
        |p| &mut p.log_buf_size,
        "So many bytes of a query that failed are logged.",
    );
    d.param(
        "connect_mode",
        |p| &mut p.connect_mode,
        "0: the server does not start without its databases; 1: it does, and connects when a query comes.",
    );
    d.param(
        "results_maxsize",
        |p| &mut p.results_maxsize,
        "The most results that a message may hold at once.",
    );
    d.param(
        "escape_values",
        |p| &mut p.escape_values,
        "What becomes of a value that would end the quoted literal that it stands in: 0, the query fails, as it mostly does in Kamailio; 1, the value is escaped. It never ends the literal.",
    );
}

fn connection(text: &str) -> Result<(Str, Str), BindError> {
    match text.split_once("=>").map(|(name, url)| (name.trim(), url.trim())) {
        Some((name, url)) if !name.is_empty() && !url.is_empty() => Ok((Str::from(name), Str::from(url))),
        _ => Err(BindError::new(format!("'{text}' defines no connection"))
            .help("write NAME=>URL, such as ca=>sqlite:///var/lib/kamailio/kamailio.sqlite")),
    }
}

impl Sqlops {
    fn connection(&self, name: &[u8]) -> Result<&Connection, Fault> {
        self.connections.get(name).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            Fault::script(format!(
                "there is no connection {name}: add modparam(\"sqlops\", \"sqlcon\", \"{name}=>URL\")"
            ))
        })
    }

    /// The beginning of a query, for logs.
    fn shown(&self, query: &Str) -> String {
        let head = query.get(..self.log_buf_size).unwrap_or(query);
        let dots = if head.len() < query.len() { "…" } else { "" };
        format!("{}{dots}", String::from_utf8_lossy(head))
    }
}

#[cfg(test)]
mod tests {
    use kahea_db::{Error, Rows, Statement, testing::fake};

    use super::*;

    /// A module with the connection `ca` to a database that answers so.
    pub(super) fn sqlops(
        answer: impl Fn(&Statement) -> Result<Rows, Error> + Send + Sync + 'static,
    ) -> Sqlops {
        let name = Str::from("ca");
        let connection = Connection::new(name.clone(), fake(answer));
        Sqlops {
            connections: [(name, connection)].into_iter().collect(),
            results_maxsize: 2,
            log_buf_size: 16,
            policy: Unsafe::Refuse,
        }
    }

    #[test]
    fn connections_are_read() {
        let read = connection("ca => sqlite:///x.db").expect("a connection");
        assert_eq!(read, (Str::from("ca"), Str::from("sqlite:///x.db")));
        for broken in ["ca", "=>x", "ca=>"] {
            assert!(connection(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn long_queries_are_shown_by_their_beginning() {
        let m = sqlops(|_| Ok(Rows::default()));
        assert_eq!(m.shown(&Str::from("select 1")), "select 1");
        assert_eq!(
            m.shown(&Str::from("select * from subscriber")),
            "select * from su…"
        );
    }
}
