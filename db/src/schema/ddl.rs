//! The statements that make a table, as Kamailio's `GROUP-create.sql` files write them.

use std::fmt::Write as _;

use super::{Column, Index, Kind, Table};
use crate::sql::Dialect;

impl Dialect {
    fn quoted(self, name: &str) -> String {
        match self {
            Dialect::Mysql => format!("`{name}`"),
            Dialect::Sqlite | Dialect::Postgres => name.to_owned(),
        }
    }

    /// Within a MySQL table the index's own name will do; elsewhere it is unique in the database.
    fn index_name(self, table: &Table, index: &Index) -> String {
        match self {
            Dialect::Mysql => index.name.to_owned(),
            Dialect::Sqlite | Dialect::Postgres => format!("{}_{}", table.name, index.name),
        }
    }

    fn columns(self, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| self.quoted(name)).collect();
        names.join(", ")
    }

    /// The type of a column with its size, default and whether it may be NULL.
    pub fn column_type(self, column: &Column) -> String {
        let mut text = match (self, column.key) {
            (Dialect::Mysql, true) => format!("{} AUTO_INCREMENT PRIMARY KEY", self.kind(column)),
            (Dialect::Postgres, true) => "SERIAL PRIMARY KEY".to_owned(),
            (Dialect::Sqlite, true) => "INTEGER PRIMARY KEY".to_owned(),
            (_, false) => self.kind(column),
        };
        if let Some(default) = column.default {
            let _ = write!(text, " DEFAULT {default}");
        }
        if !column.null {
            text.push_str(" NOT NULL");
        }
        text
    }

    fn kind(self, column: &Column) -> String {
        let sized = |name: &str| match column.size {
            Some(size) => format!("{name}({size})"),
            None => name.to_owned(),
        };
        match (self, column.kind) {
            (Dialect::Mysql, Kind::Char) => sized("TINYINT"),
            (Dialect::Mysql, Kind::UnsignedChar) => sized("TINYINT") + " UNSIGNED",
            (Dialect::Mysql, Kind::Short) => sized("SMALLINT"),
            (Dialect::Mysql, Kind::UnsignedShort) => sized("SMALLINT") + " UNSIGNED",
            (Dialect::Mysql, Kind::Int) => sized("INT"),
            (Dialect::Mysql, Kind::UnsignedInt) => sized("INT") + " UNSIGNED",
            (Dialect::Mysql, Kind::Float) => sized("FLOAT"),
            (Dialect::Mysql, Kind::LargeText) => "MEDIUMTEXT".to_owned(),
            (Dialect::Mysql, Kind::LargeBinary) => "MEDIUMBLOB".to_owned(),
            (Dialect::Mysql, Kind::DateTime) => "DATETIME".to_owned(),
            (_, Kind::Char | Kind::UnsignedChar | Kind::Short | Kind::UnsignedShort) => "SMALLINT".to_owned(),
            (_, Kind::Int | Kind::UnsignedInt) => "INTEGER".to_owned(),
            (_, Kind::Float) => "REAL".to_owned(),
            (_, Kind::String) => sized("VARCHAR"),
            (_, Kind::Text | Kind::LargeText) => "TEXT".to_owned(),
            (Dialect::Postgres, Kind::Binary | Kind::LargeBinary) => "BYTEA".to_owned(),
            (_, Kind::Binary | Kind::LargeBinary) => "BLOB".to_owned(),
            (_, Kind::DateTime) => "TIMESTAMP WITHOUT TIME ZONE".to_owned(),
        }
    }
}

impl Table {
    /// The statements that make the table and its indexes.
    pub fn create(&self, sql: Dialect) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for column in &self.columns {
            lines.push(format!(
                "    {} {}",
                sql.quoted(column.name),
                sql.column_type(column)
            ));
        }
        for index in self.indexes.iter().filter(|index| index.unique) {
            let columns = sql.columns(&index.columns);
            lines.push(format!(
                "    CONSTRAINT {} UNIQUE ({columns})",
                sql.index_name(self, index)
            ));
        }
        let mut out = vec![format!(
            "CREATE TABLE {} (\n{}\n)",
            sql.quoted(self.name),
            lines.join(",\n")
        )];
        for index in self.indexes.iter().filter(|index| !index.unique) {
            let columns = sql.columns(&index.columns);
            out.push(format!(
                "CREATE INDEX {} ON {} ({columns})",
                sql.index_name(self, index),
                self.name
            ));
        }
        out
    }

    /// The statement that notes the table's version.
    pub fn insert_version(&self) -> String {
        format!(
            "INSERT INTO version (table_name, table_version) values ('{}','{}')",
            self.name, self.version
        )
    }

    /// The statement that raises the table's version.
    pub fn update_version(&self) -> String {
        format!(
            "UPDATE version SET table_version={} WHERE table_name='{}'",
            self.version, self.name
        )
    }

    /// The statement that adds a column to a table that has rows already; `None` where these would have no value for it.
    pub fn add_column(&self, sql: Dialect, column: &Column) -> Option<String> {
        if column.key || (!column.null && column.default.is_none()) {
            return None;
        }
        let (table, name) = (sql.quoted(self.name), sql.quoted(column.name));
        Some(format!(
            "ALTER TABLE {table} ADD COLUMN {name} {}",
            sql.column_type(column)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};

    #[test]
    fn each_database_gets_its_own_types() {
        let cdrs = table("acc_cdrs").expect("acc_cdrs is there");
        assert_eq!(
            cdrs.create(Dialect::Mysql),
            [
                "CREATE TABLE `acc_cdrs` (\n    `id` INT(10) UNSIGNED AUTO_INCREMENT PRIMARY KEY NOT NULL,\n    \
                 `start_time` DATETIME DEFAULT '2000-01-01 00:00:00' NOT NULL,\n    \
                 `end_time` DATETIME DEFAULT '2000-01-01 00:00:00' NOT NULL,\n    \
                 `duration` FLOAT(10,3) DEFAULT 0 NOT NULL\n)",
                "CREATE INDEX start_time_idx ON acc_cdrs (`start_time`)",
            ]
        );
        assert_eq!(
            cdrs.create(Dialect::Postgres).first().map(String::as_str),
            Some(
                "CREATE TABLE acc_cdrs (\n    id SERIAL PRIMARY KEY NOT NULL,\n    \
                 start_time TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:00' NOT NULL,\n    \
                 end_time TIMESTAMP WITHOUT TIME ZONE DEFAULT '2000-01-01 00:00:00' NOT NULL,\n    \
                 duration REAL DEFAULT 0 NOT NULL\n)"
            )
        );
        let index = "CREATE INDEX acc_cdrs_start_time_idx ON acc_cdrs (start_time)";
        assert_eq!(
            cdrs.create(Dialect::Sqlite).get(1).map(String::as_str),
            Some(index)
        );
        assert_eq!(
            cdrs.update_version(),
            "UPDATE version SET table_version=3 WHERE table_name='acc_cdrs'"
        );
    }

    #[test]
    fn columns_are_added_only_where_old_rows_get_a_value() {
        let uacreg = table("uacreg").expect("uacreg is there");
        let user = uacreg.column("contact_user").expect("it has the column");
        let added = uacreg.add_column(Dialect::Sqlite, user);
        assert_eq!(
            added.as_deref(),
            Some("ALTER TABLE uacreg ADD COLUMN contact_user VARCHAR(255) DEFAULT '' NOT NULL")
        );
        let acc = table("acc").expect("acc is there");
        let time = acc.column("time").expect("it has the column");
        assert_eq!(acc.add_column(Dialect::Mysql, time), None);
    }

    /// The statements of Kamailio's own files, by table, where Kamailio is installed.
    fn packaged(folder: &str, group: &str) -> Option<String> {
        std::fs::read_to_string(format!("/usr/share/kamailio/{folder}/{group}-create.sql")).ok()
    }

    /// What newer versions of Kamailio write differently from the package of Debian.
    const CHANGED: &[&str] = &["acc_cdrs", "uacreg", "watchers", "htable"];

    #[test]
    fn statements_are_those_of_the_package_where_it_is_installed() {
        for (sql, folder) in [
            (Dialect::Mysql, "mysql"),
            (Dialect::Postgres, "postgres"),
            (Dialect::Sqlite, "db_sqlite"),
        ] {
            for table in super::super::tables() {
                let Some(file) = packaged(folder, table.group) else {
                    continue;
                };
                if CHANGED.contains(&table.name) || table.group.starts_with("ims_") {
                    continue;
                }
                for statement in table.create(sql).into_iter().chain([table.insert_version()]) {
                    assert!(
                        file.contains(&statement),
                        "{folder}/{}:\n{statement}",
                        table.group
                    );
                }
            }
        }
    }
}
