//! Engines from the database.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kahea_db::{Database, Query, Rows, TableVersion, check_table};
use kahea_module::{Env, InitError, Str};
use parking_lot::Mutex;

use crate::relay::{nodes::Row, wire::Address};

/// The names of table and columns.
#[derive(Clone, Debug)]
pub struct Table {
    pub table: Str,
    pub set: Str,
    pub url: Str,
    pub weight: Str,
    pub disabled: Str,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            table: Str::from_static("rtpengine"),
            set: Str::from_static("setid"),
            url: Str::from_static("url"),
            weight: Str::from_static("weight"),
            disabled: Str::from_static("disabled"),
        }
    }
}

/// Between two reloads.
const RELOAD: Duration = Duration::from_secs(10);
/// The version of the table.
const VERSION: i64 = 1;

/// The table of engines.
pub struct Source {
    database: Database,
    query: Arc<Query>,
    reloaded: Mutex<Option<Instant>>,
}

impl Source {
    /// Opens the database and reads the engines.
    ///
    /// # Errors
    /// It cannot be opened or read, or a row names no engine.
    pub fn open(env: &Env<'_>, url: &str, names: &Table) -> Result<(Source, Vec<Row>), InitError> {
        let database = Database::open(env, url)?;
        let table = names.table.text();
        let versions = TableVersion {
            versions: "version",
            table: &table,
            accepted: &[VERSION],
        };
        check_table(&database, versions)?;
        let columns = [&names.set, &names.url, &names.weight, &names.disabled].map(|name| name.text());
        let columns = columns.each_ref().map(|name| name.as_ref());
        let query = Query::select(&table, &columns).build();
        let rows = database
            .run_blocking(&query, Vec::new())
            .map_err(|error| InitError::new(format!("table {table} cannot be read: {error}")))?;
        let rows = engines(&rows).map_err(|why| InitError::new(format!("table {table}: {why}")))?;
        let source = Source {
            database,
            query,
            reloaded: Mutex::new(None),
        };
        Ok((source, rows))
    }

    /// Enough time has passed since the last reload; notes this one.
    pub fn may_reload(&self, now: Instant) -> bool {
        let mut reloaded = self.reloaded.lock();
        let soon = reloaded.is_some_and(|last| now.saturating_duration_since(last) < RELOAD);
        if !soon {
            *reloaded = Some(now);
        }
        !soon
    }

    /// Reads the engines again.
    ///
    /// # Errors
    /// Says why the table cannot be read, or which row names no engine.
    pub async fn read(&self) -> Result<Vec<Row>, String> {
        let rows = self.database.run(&self.query, Vec::new()).await;
        engines(&rows.map_err(|error| error.to_string())?)
    }
}

/// Set, URL, weight, disabled.
fn engines(rows: &Rows) -> Result<Vec<Row>, String> {
    let engine = |row: &Vec<kahea_db::Value>| {
        let [set, url, weight, disabled] = row.as_slice() else {
            return Err("a row has another number of columns".to_owned());
        };
        let url = url.text().unwrap_or_default();
        let set = set.int().filter(|set| *set >= 0);
        Ok(Row {
            set: set.ok_or_else(|| format!("'{url}' has no number of a set"))?,
            address: Address::parse_ng(&url.text())?,
            weight: weight
                .int()
                .and_then(|weight| weight.try_into().ok())
                .unwrap_or(1),
            disabled: disabled.int().unwrap_or(0) != 0,
            url,
        })
    };
    rows.rows.iter().map(engine).collect()
}

#[cfg(test)]
mod tests {
    use kahea_db::Value;

    use super::*;

    #[test]
    fn rows_are_engines() {
        let rows =
            |url: &str, set: Value| Rows::from(vec![vec![set, Value::from(url), Value::Null, Value::Int(1)]]);
        let all = engines(&rows("udp:h:1", Value::Int(3))).unwrap();
        assert_eq!((all[0].set, all[0].weight, all[0].disabled), (3, 1, true));
        assert!(engines(&rows("h:1", Value::Int(3))).is_err());
        assert!(engines(&rows("udp:h:1", Value::Null)).is_err());
    }
}
