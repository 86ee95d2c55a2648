//! Databases of this family's modules: how they are opened, and queries on tables that a script names.

use std::{collections::HashMap, sync::Arc};

use kahea_db::{Database, Error, Query, TableVersion, check_table};
use kahea_module::{Env, Fault, InitError, Str};
use parking_lot::Mutex;

/// Where Kamailio looks for a database that is only read.
pub const READ_ONLY_URL: &str = "mysql://kamailioro:kamailioro@localhost/kamailio";

/// More tables than this are prepared again and again.
const KEPT: usize = 128;

/// Opens the database of a module and checks the versions of its tables.
///
/// # Errors
/// The database cannot be reached, or a table has another version.
pub fn open(env: &Env<'_>, url: &Str, tables: &[(&Str, i64)]) -> Result<Database, InitError> {
    let database = Database::open(env, &url.text())?;
    for (table, version) in tables {
        let wanted = TableVersion {
            versions: &env.globals.version_table.text(),
            table: &table.text(),
            accepted: &[*version],
        };
        check_table(&database, wanted)?;
    }
    Ok(database)
}

/// A query of one form on whichever table the script names.
pub struct ByTable {
    make: Box<dyn Fn(&str) -> Query + Send + Sync>,
    made: Mutex<HashMap<Str, Arc<Query>>>,
}

impl ByTable {
    /// Made so.
    pub fn new(make: impl Fn(&str) -> Query + Send + Sync + 'static) -> ByTable {
        ByTable {
            make: Box::new(make),
            made: Mutex::default(),
        }
    }

    /// On this table.
    ///
    /// # Errors
    /// The table has no name.
    pub fn on(&self, table: &Str) -> Result<Arc<Query>, Fault> {
        if table.is_empty() {
            return Err(Fault::script("the name of the table is empty"));
        }
        let mut made = self.made.lock();
        if let Some(known) = made.get(table) {
            return Ok(known.clone());
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let query = (self.make)(&table.text()).build();
        made.insert(table.detach(), query.clone());
        Ok(query)
    }
}

/// What a script sees of a query that failed.
pub fn failed(database: &Database, error: &Error) -> Fault {
    Fault::backend(format!("{}: {error}", database.url()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_prepared_once_and_not_without_bound() {
        let by_table = ByTable::new(|table| Query::select(table, &["a"]));
        let first = by_table.on(&"t".into()).unwrap();
        assert_eq!(by_table.on(&"t".into()).unwrap().id(), first.id());
        assert!(by_table.on(&Str::EMPTY).is_err());
        for n in 0..1000 {
            by_table.on(&Str::from(format!("t{n}"))).unwrap();
        }
        assert!(by_table.made.lock().len() <= KEPT);
    }
}
