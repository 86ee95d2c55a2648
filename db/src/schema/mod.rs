//! Kamailio's tables as data: names, versions, columns and indexes of every table that one of its modules has, and what
//! makes them in each kind of database.
//!
//! The data is `tables.txt`, one line for each group, table, column and index. A group is a module's set of tables, as
//! in the files `GROUP-create.sql` of Kamailio; sets of groups are what `kamdbctl create`, `presence`, `extra` and
//! `dbuid` install.

mod ddl;
mod text;
pub mod upkeep;

use std::sync::LazyLock;

pub use self::text::text_versions;

/// Every table, group by group in the order in which `kamdbctl` makes them; `version` is the first.
pub fn tables() -> &'static [Table] {
    static TABLES: LazyLock<Vec<Table>> =
        LazyLock::new(|| read(include_str!("tables.txt")).expect("the table file of this build can be read"));
    &TABLES
}

/// The table of that name.
pub fn table(name: &str) -> Option<&'static Table> {
    tables().iter().find(|table| table.name == name)
}

/// Which command of `kamdbctl` makes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// `create`
    Standard,
    /// `presence`
    Presence,
    /// `extra`
    Extra,
    /// `dbuid`
    Uid,
    /// None: its tables are made by hand (IMS, matrix).
    Other,
}

impl Set {
    /// By the word of `kamdbctl`.
    pub fn named(name: &str) -> Option<Set> {
        Some(match name {
            "standard" => Set::Standard,
            "presence" => Set::Presence,
            "extra" => Set::Extra,
            "dbuid" => Set::Uid,
            "other" => Set::Other,
            _ => return None,
        })
    }
}

/// A table.
#[derive(Debug, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The version that `version.table_version` holds for it.
    pub version: i64,
    /// Older versions whose columns do as well.
    pub also: Vec<i64>,
    /// The group that it belongs to.
    pub group: &'static str,
    /// The set of the group.
    pub set: Set,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Its indexes besides the primary key.
    pub indexes: Vec<Index>,
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether modules can work with a table of that version.
    pub fn accepts(&self, version: i64) -> bool {
        self.version == version || self.also.contains(&version)
    }
}

/// A column.
#[derive(Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Characters, digits, or digits and decimals, as MySQL writes them in brackets.
    pub size: Option<&'static str>,
    /// The primary key, numbered by the database.
    pub key: bool,
    /// May hold NULL.
    pub null: bool,
    /// The default, as SQL writes it.
    pub default: Option<&'static str>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 8 bits.
    Char,
    /// 8 bits without a sign.
    UnsignedChar,
    /// 16 bits.
    Short,
    /// 16 bits without a sign.
    UnsignedShort,
    /// 32 bits.
    Int,
    /// 32 bits without a sign.
    UnsignedInt,
    /// A fraction.
    Float,
    /// Text of limited length.
    String,
    /// Text up to 64 kB.
    Text,
    /// Text up to 16 MB.
    LargeText,
    /// Bytes up to 64 kB.
    Binary,
    /// Bytes up to 16 MB.
    LargeBinary,
    /// Date and time.
    DateTime,
}

impl Kind {
    fn named(name: &str) -> Option<Kind> {
        Some(match name {
            "char" => Kind::Char,
            "uchar" => Kind::UnsignedChar,
            "short" => Kind::Short,
            "ushort" => Kind::UnsignedShort,
            "int" => Kind::Int,
            "uint" => Kind::UnsignedInt,
            "float" => Kind::Float,
            "string" => Kind::String,
            "text" => Kind::Text,
            "largetext" => Kind::LargeText,
            "binary" => Kind::Binary,
            "largebinary" => Kind::LargeBinary,
            "datetime" => Kind::DateTime,
            _ => return None,
        })
    }

    /// A whole number.
    pub fn is_integer(self) -> bool {
        matches!(
            self,
            Kind::Char
                | Kind::UnsignedChar
                | Kind::Short
                | Kind::UnsignedShort
                | Kind::Int
                | Kind::UnsignedInt
        )
    }
}

/// An index.
#[derive(Debug, PartialEq)]
pub struct Index {
    /// Its name; PostgreSQL and SQLite put the table's name before it.
    pub name: &'static str,
    /// No two rows are alike in its columns.
    pub unique: bool,
    /// Its columns, in order.
    pub columns: Vec<&'static str>,
}

/// Reads the table file.
fn read(text: &'static str) -> Result<Vec<Table>, String> {
    let mut tables: Vec<Table> = Vec::new();
    let mut group = ("", Set::Other);
    for (number, line) in text.lines().enumerate() {
        let wrong = || format!("line {}: {line}", number.saturating_add(1));
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            return Err(wrong());
        };
        match (line.starts_with(' '), first) {
            (false, "group") => {
                let set = words.next().map_or(Some(Set::Other), Set::named);
                group = (second, set.ok_or_else(wrong)?);
            }
            (false, "table") => {
                let versions: Result<Vec<i64>, _> = words.map(str::parse).collect();
                let (version, also) = match versions.as_deref() {
                    Ok([version, also @ ..]) => (*version, also.to_vec()),
                    _ => return Err(wrong()),
                };
                let (name, (group, set)) = (second, group);
                tables.push(Table {
                    name,
                    version,
                    also,
                    group,
                    set,
                    columns: Vec::new(),
                    indexes: Vec::new(),
                });
            }
            (true, "index" | "unique") => {
                let table = tables.last_mut().ok_or_else(wrong)?;
                table.indexes.push(Index {
                    name: second,
                    unique: first == "unique",
                    columns: words.collect(),
                });
            }
            (true, _) => {
                let table = tables.last_mut().ok_or_else(wrong)?;
                table.columns.push(column(line).ok_or_else(wrong)?);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(tables)
}

/// `NAME KIND(SIZE) [key] [null] [= DEFAULT]`
fn column(line: &'static str) -> Option<Column> {
    let (declared, default) = match line.split_once(" = ") {
        Some((declared, default)) => (declared, Some(default)),
        None => (line, None),
    };
    let mut words = declared.split_whitespace();
    let (name, kind) = (words.next()?, words.next()?);
    let (kind, size) = match kind.strip_suffix(')').and_then(|kind| kind.split_once('(')) {
        Some((kind, size)) => (kind, Some(size)),
        None => (kind, None),
    };
    let mut column = Column {
        name,
        kind: Kind::named(kind)?,
        size,
        key: false,
        null: false,
        default,
    };
    for word in words {
        match word {
            "key" => column.key = true,
            "null" => column.null = true,
            _ => return None,
        }
    }
    Some(column)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_file_holds_every_table_of_kamailio() {
        assert_eq!(tables().len(), 83);
        assert_eq!(tables().first().map(|table| table.name), Some("version"));
        let names: HashSet<_> = tables().iter().map(|table| table.name).collect();
        assert_eq!(names.len(), 83, "no name twice");
        let location = table("location").expect("location is there");
        assert_eq!(
            (location.version, location.group, location.set),
            (9, "usrloc", Set::Standard)
        );
        let expires = location.column("expires").expect("it has the column");
        assert_eq!((expires.kind, expires.null), (Kind::DateTime, false));
        assert_eq!(expires.default, Some("'2030-05-28 21:32:15'"));
    }

    #[test]
    fn tables_are_whole() {
        for table in tables() {
            let keys = table.columns.iter().filter(|column| column.key).count();
            assert_eq!(keys, 1, "{}: one primary key", table.name);
            let names: HashSet<_> = table.columns.iter().map(|column| column.name).collect();
            assert_eq!(
                names.len(),
                table.columns.len(),
                "{}: no column twice",
                table.name
            );
            for index in &table.indexes {
                assert!(!index.columns.is_empty());
                assert!(
                    index.columns.iter().all(|column| names.contains(column)),
                    "{}.{}",
                    table.name,
                    index.name
                );
            }
        }
    }

    #[test]
    fn older_versions_that_do_as_well_are_accepted() {
        let cdrs = table("acc_cdrs").expect("acc_cdrs is there");
        assert!(cdrs.accepts(3) && cdrs.accepts(2) && !cdrs.accepts(1));
    }

    #[test]
    fn a_broken_line_is_named() {
        for text in [
            "table",
            "  id uint(10)",
            "table t x",
            "table t 1\n  id what",
            "table t 1\n  id int sometimes",
            "group g s",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
