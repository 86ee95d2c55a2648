//! Table versions: whether a table is laid out as a module expects.

use kahea_module::{InitError, Str};

use crate::{Database, Error, Query, Value};

/// A table, and the versions of it that a module can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableVersion<'a> {
    /// The table that holds the versions of all others; `version` unless the global parameter `version_table` says otherwise.
    pub versions: &'a str,
    /// The table in question.
    pub table: &'a str,
    /// The versions that will do, best first.
    pub accepted: &'a [i64],
}

/// Checks that a table has the version that a module is written for.
///
/// # Errors
/// It has another one, or none, or the database cannot be asked.
pub fn check_table(database: &Database, wanted: TableVersion<'_>) -> Result<(), InitError> {
    let TableVersion {
        versions,
        table,
        accepted,
    } = wanted;
    let url = database.url();
    let query = Query::select(versions, &["table_version"])
        .when_eq("table_name")
        .build();
    let found = match database.run_blocking(&query, vec![Value::Text(Str::from(table))]) {
        // Files that rows are only added to (db_flatstore) have no versions.
        Err(Error::Unsupported(_)) => return Ok(()),
        found => found.map_err(|error| {
            InitError::new(format!(
                "{url}: the version of table {table} cannot be read: {error}"
            ))
            .help(format!("make the tables with `kahea db create {url}`"))
        })?,
    };
    match found.single().and_then(Value::int) {
        Some(known) if accepted.contains(&known) => Ok(()),
        Some(known) => Err(InitError::new(format!(
            "{url}: table {table} has version {known}, this server needs {}",
            needed(accepted)
        ))
        .help(format!("bring it up to date with `kahea db upgrade {url}`"))),
        None => Err(InitError::new(format!(
            "{url}: table {versions} has no row for table {table}, so its version is not known"
        ))
        .help(format!("see what is missing with `kahea db check {url}`"))),
    }
}

fn needed(accepted: &[i64]) -> String {
    accepted
        .iter()
        .map(i64::to_string)
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rows, testing::fake};

    fn versions(answer: impl Fn() -> Result<Rows, Error> + Send + Sync + 'static) -> Result<(), String> {
        let database = fake(move |_| answer());
        let wanted = TableVersion {
            versions: "version",
            table: "location",
            accepted: &[9],
        };
        check_table(&database, wanted)
            .map_err(|error| format!("{error}; {}", error.help.clone().unwrap_or_default()))
    }

    fn one(n: i64) -> Rows {
        Rows::from(vec![vec![Value::Int(n)]])
    }

    #[test]
    fn the_right_version_passes() {
        assert_eq!(versions(|| Ok(one(9))), Ok(()));
    }

    #[test]
    fn databases_that_cannot_be_asked_have_no_versions() {
        assert_eq!(versions(|| Err(Error::Unsupported("SELECT"))), Ok(()));
    }

    #[test]
    fn others_are_refused_with_the_remedy() {
        let old = versions(|| Ok(one(8))).unwrap_err();
        assert_eq!(
            old,
            "fake://: table location has version 8, this server needs 9; bring it up to date with `kahea db upgrade fake://`"
        );
        assert!(
            versions(|| Ok(Rows::default()))
                .unwrap_err()
                .contains("has no row for table location")
        );
        let missing = versions(|| Err(Error::Refused("no such table: version".into()))).unwrap_err();
        assert!(missing.contains("no such table") && missing.contains("kahea db create"));
    }
}
