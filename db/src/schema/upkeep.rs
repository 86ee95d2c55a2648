//! What `kahea db` does: makes tables, finds what is wrong with them, and repairs it where no row can be hurt.

use std::{collections::HashMap, fmt, fs, io, path::Path};

use kahea_module::Str;

use super::{Set, Table, tables, text_versions};
use crate::{Database, Error, Query, Value, sql::Dialect};

/// Something that is wrong with a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Problem {
    /// It is not there.
    NoTable,
    /// The table `version` has no row for it.
    NoVersion,
    /// It was made for another version of Kamailio.
    Version {
        /// The one that it has.
        found: i64,
        /// The one that is needed.
        needed: i64,
    },
    /// A column is not there.
    NoColumn {
        /// Its name.
        column: &'static str,
        /// It can be added without rows losing their sense.
        can_be_added: bool,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table;
        match &self.problem {
            Problem::NoTable => write!(f, "table {table} is missing; kahea db upgrade makes it"),
            Problem::NoVersion => write!(
                f,
                "table {table} has no row in table version; kahea db upgrade adds it"
            ),
            Problem::Version { found, needed } if found < needed => write!(
                f,
                "table {table} has version {found}, {needed} is needed; kahea db upgrade raises it once its columns are there"
            ),
            Problem::Version { found, needed } => write!(
                f,
                "table {table} has version {found}, made for a newer server than this one, which needs {needed}; \
                 use a database of its own, or a newer server"
            ),
            Problem::NoColumn {
                column,
                can_be_added: true,
            } => {
                write!(
                    f,
                    "table {table} has no column {column}; kahea db upgrade adds it"
                )
            }
            Problem::NoColumn {
                column,
                can_be_added: false,
            } => write!(
                f,
                "table {table} has no column {column}, and no value that old rows could have in it; \
                 add it by hand, or make the table anew"
            ),
        }
    }
}

/// A table as the database has it.
struct Found {
    table: &'static Table,
    /// In lower case; `None` where the table is missing.
    columns: Option<Vec<String>>,
    version: Option<i64>,
}

impl Found {
    fn is_there(&self) -> bool {
        self.columns.is_some()
    }

    fn missing_columns(&self) -> impl Iterator<Item = &'static super::Column> {
        let there = self.columns.as_deref().unwrap_or_default();
        self.table
            .columns
            .iter()
            .filter(|column| !there.iter().any(|name| name == &column.name.to_lowercase()))
    }

    fn findings(&self, dialect: Dialect) -> Vec<Finding> {
        let finding = |problem| Finding {
            table: self.table.name,
            problem,
        };
        if !self.is_there() {
            return vec![finding(Problem::NoTable)];
        }
        let missing = self.missing_columns().map(|column| Problem::NoColumn {
            column: column.name,
            can_be_added: self.table.add_column(dialect, column).is_some(),
        });
        let version = match self.version {
            None => Some(Problem::NoVersion),
            Some(found) if self.table.accepts(found) => None,
            Some(found) => Some(Problem::Version {
                found,
                needed: self.table.version,
            }),
        };
        missing.chain(version).map(finding).collect()
    }
}

/// The dialect of a database of tables.
fn dialect(database: &Database) -> Result<Dialect, Error> {
    database
        .features()
        .dialect
        .ok_or(Error::Unsupported("tables that could be made or changed by SQL"))
}

fn look(database: &Database) -> Result<Vec<Found>, Error> {
    let versions = Query::select("version", &["table_name", "table_version"]).build();
    let rows = match database.run_blocking(&versions, Vec::new()) {
        Ok(found) => found.rows,
        Err(Error::Refused(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let named = rows.iter().filter_map(|row| match row.as_slice() {
        [name, version] => Some((name.text()?.text().into_owned(), version.int()?)),
        _ => None,
    });
    let versions: HashMap<String, i64> = named.collect();
    let mut all = Vec::new();
    for table in tables() {
        let none = Query::select(table.name, &[]).limit(0).build();
        let columns = match database.run_blocking(&none, Vec::new()) {
            Ok(rows) => Some(
                rows.columns
                    .iter()
                    .map(|name| name.text().to_lowercase())
                    .collect(),
            ),
            Err(Error::Refused(_)) => None,
            Err(error) => return Err(error),
        };
        all.push(Found {
            table,
            columns,
            version: versions.get(table.name).copied(),
        });
    }
    Ok(all)
}

/// The tables that a database should have: the standard ones, and those of every group that it has one of.
fn expected(all: &[Found]) -> Vec<&Found> {
    let begun = |group: &str| {
        all.iter()
            .any(|found| found.table.group == group && found.is_there())
    };
    all.iter()
        .filter(|found| found.table.set == Set::Standard || begun(found.table.group))
        .collect()
}

/// Finds what is wrong with the tables of a database.
///
/// # Errors
/// The database cannot be asked, or has no tables of its own kind.
pub fn check(database: &Database) -> Result<Vec<Finding>, Error> {
    let dialect = dialect(database)?;
    let all = look(database)?;
    Ok(expected(&all)
        .into_iter()
        .flat_map(|found| found.findings(dialect))
        .collect())
}

/// Makes these tables, with their rows in table `version`; gives the names of those that were not there before.
///
/// # Errors
/// The database refuses a statement; tables before it are made.
pub fn create(database: &Database, wanted: &[&'static Table]) -> Result<Vec<&'static str>, Error> {
    let dialect = dialect(database)?;
    let all = look(database)?;
    let mut made = Vec::new();
    for found in all.iter().filter(|found| !found.is_there()) {
        let table = found.table;
        // Without the table of versions no other could be noted.
        if table.name == "version" || wanted.iter().any(|wanted| wanted.name == table.name) {
            make(database, dialect, found)?;
            made.push(table.name);
        }
    }
    Ok(made)
}

fn make(database: &Database, dialect: Dialect, found: &Found) -> Result<(), Error> {
    for statement in found.table.create(dialect) {
        database.sql_blocking(&statement)?;
    }
    note_version(database, found)
}

fn note_version(database: &Database, found: &Found) -> Result<(), Error> {
    let statement = match found.version {
        Some(_) => found.table.update_version(),
        None => found.table.insert_version(),
    };
    database.sql_blocking(&statement).map(drop)
}

/// Repairs what can be repaired without hurting a row; gives what was done, a sentence each.
///
/// # Errors
/// The database refuses a statement; what came before it is done.
pub fn upgrade(database: &Database) -> Result<Vec<String>, Error> {
    let dialect = dialect(database)?;
    let all = look(database)?;
    let mut done = Vec::new();
    for found in expected(&all) {
        let table = found.table;
        if !found.is_there() {
            make(database, dialect, found)?;
            done.push(format!("made table {}", table.name));
            continue;
        }
        let newer = found
            .version
            .is_some_and(|version| version > table.version && !table.accepts(version));
        if newer {
            continue;
        }
        let mut complete = true;
        for column in found.missing_columns() {
            match table.add_column(dialect, column) {
                Some(statement) => {
                    database.sql_blocking(&statement)?;
                    done.push(format!("added column {} to table {}", column.name, table.name));
                }
                None => complete = false,
            }
        }
        if complete && found.version != Some(table.version) {
            note_version(database, found)?;
            let version = table.version;
            done.push(format!("noted version {version} of table {}", table.name));
        }
    }
    Ok(done)
}

/// Makes the files of these tables in a folder of db_text, and gives the names of those that were not there before.
///
/// # Errors
/// A file cannot be written.
pub fn create_text(folder: &Path, wanted: &[&'static Table]) -> io::Result<Vec<&'static str>> {
    fs::create_dir_all(folder)?;
    let mut made = Vec::new();
    for table in wanted.iter().filter(|table| table.name != "version") {
        let file = folder.join(table.name);
        if !file.exists() {
            fs::write(file, table.text_header() + "\n")?;
            made.push(*table);
        }
    }
    let versions = folder.join("version");
    match fs::read_to_string(&versions) {
        Ok(text) => {
            let rows: String = made
                .iter()
                .map(|table| format!("0:{}:{}\n", table.name, table.version))
                .collect();
            let gap = if text.ends_with('\n') { "" } else { "\n" };
            fs::write(versions, format!("{text}{gap}{rows}"))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::write(versions, text_versions(made.iter().copied()))?
        }
        Err(error) => return Err(error),
    }
    Ok(made.iter().map(|table| table.name).collect())
}

/// Notes the versions of these tables in a database that knows no others (db_redis).
///
/// # Errors
/// The database refuses it.
pub fn note_versions(database: &Database, wanted: &[&'static Table]) -> Result<(), Error> {
    let row = Query::replace("version", &["table_name", "table_version"], &["table_name"]).build();
    for table in wanted {
        database.run_blocking(
            &row,
            vec![Value::Text(Str::from(table.name)), Value::Int(table.version)],
        )?;
    }
    Ok(())
}

/// The tables of these sets (`standard`, `presence`, `extra`, `dbuid`, `other`, `all`), groups (`usrloc`) or names; the
/// table of versions always.
///
/// # Errors
/// The first name that means nothing.
pub fn named(names: &[String]) -> Result<Vec<&'static Table>, String> {
    let fits = |table: &Table, name: &str| {
        name == "all" || Set::named(name) == Some(table.set) || table.group == name || table.name == name
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !tables().iter().any(|table| fits(table, name)))
    {
        return Err(unknown.clone());
    }
    let wanted = |table: &&Table| table.name == "version" || names.iter().any(|name| fits(table, name));
    Ok(tables().iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_groups_and_tables_can_be_named() {
        let names = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            named(&words).map(|tables| tables.iter().map(|table| table.name).collect::<Vec<_>>())
        };
        assert_eq!(
            names("usrloc").ok(),
            Some(vec!["version", "location", "location_attrs"])
        );
        assert_eq!(names("xcap htable").ok(), Some(vec!["version", "xcap", "htable"]));
        assert_eq!(names("all").map(|all| all.len()), Ok(83));
        assert_eq!(names("standard nosuch"), Err("nosuch".to_owned()));
    }

    #[test]
    fn folders_of_text_files_are_made_once() {
        let folder = std::env::temp_dir().join(format!("kahea-text-{}", std::process::id()));
        let htable = named(&["htable".to_owned()]).expect("it is a group");
        assert_eq!(create_text(&folder, &htable).expect("it is written"), ["htable"]);
        let acc = named(&["acc".to_owned(), "htable".to_owned()]).expect("they are groups");
        assert_eq!(
            create_text(&folder, &acc).expect("it is written"),
            ["acc", "acc_cdrs", "missed_calls"]
        );
        let versions = fs::read_to_string(folder.join("version")).expect("it is there");
        assert!(versions.ends_with("0:htable:2\n0:acc:5\n0:acc_cdrs:3\n0:missed_calls:4\n"));
        fs::remove_dir_all(folder).expect("it is there");
    }
}
