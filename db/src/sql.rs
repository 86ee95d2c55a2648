//! SQL of three dialects.

use std::fmt::Write;

use kahea_module::Str;

use crate::{Kind, Op, Query};

/// A dialect of SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.24 and later.
    Sqlite,
    /// MySQL 5.7 and later, MariaDB.
    Mysql,
    /// PostgreSQL 9.5 and later.
    Postgres,
}

impl Dialect {
    pub(crate) const COUNT: usize = 3;

    /// A name, quoted so that reserved words can be names.
    pub fn quote_name(self, name: &Str) -> String {
        let text = name.text();
        match self {
            Dialect::Mysql => format!("`{}`", text.replace('`', "``")),
            Dialect::Sqlite => format!("\"{}\"", text.replace('"', "\"\"")),
            // Kamailio never quotes, so its tables there have the names that PostgreSQL folds to.
            Dialect::Postgres => format!("\"{}\"", text.to_lowercase().replace('"', "\"\"")),
        }
    }

    /// The text as the inside of a literal between single quotes, such that it cannot end the literal.
    pub fn escape(self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 8);
        for &byte in text {
            match (self, byte) {
                (Dialect::Mysql, b'\'' | b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
                (Dialect::Mysql, 0) => out.extend_from_slice(b"\\0"),
                (Dialect::Mysql, 0x1a) => out.extend_from_slice(b"\\Z"),
                (Dialect::Mysql, b'\n') => out.extend_from_slice(b"\\n"),
                (Dialect::Mysql, b'\r') => out.extend_from_slice(b"\\r"),
                (_, b'\'') => out.extend_from_slice(b"''"),
                // The others have no way to write NUL in a literal: the text would end there.
                (_, 0) => {}
                _ => out.push(byte),
            }
        }
        out
    }

    /// The text can stand between single quotes as it is, and the literal does not end inside it.
    pub fn is_inert(self, text: &[u8]) -> bool {
        let mut rest = text.iter();
        while let Some(&byte) = rest.next() {
            let fine = match (self, byte) {
                (_, 0) => false,
                (_, b'\'') => rest.next() == Some(&b'\''),
                (Dialect::Mysql, b'\\') => rest.next().is_some_and(|next| *next != 0),
                _ => true,
            };
            if !fine {
                return false;
            }
        }
        true
    }

    fn placeholder(self, number: usize) -> String {
        match self {
            Dialect::Postgres => format!("${number}"),
            Dialect::Sqlite | Dialect::Mysql => "?".to_owned(),
        }
    }

    /// A query with placeholders for its values.
    pub fn render(self, query: &Query) -> String {
        let mut sql = Rendering {
            dialect: self,
            text: String::new(),
            values: 0,
        };
        match query.kind() {
            Kind::Select => sql.select(query),
            Kind::Insert => sql.insert(query, "INSERT"),
            Kind::Update => sql.update(query),
            Kind::Delete => {
                sql.text = format!("DELETE FROM {}", self.quote_name(query.table()));
                sql.conditions(query);
            }
            Kind::Replace if self == Dialect::Postgres => sql.upsert(query),
            Kind::Replace => sql.insert(query, "REPLACE"),
            Kind::Upsert => sql.upsert(query),
        }
        sql.text
    }
}

struct Rendering {
    dialect: Dialect,
    text: String,
    values: usize,
}

impl Rendering {
    fn name(&self, name: &Str) -> String {
        self.dialect.quote_name(name)
    }

    fn names(&self, names: &[Str]) -> String {
        names
            .iter()
            .map(|name| self.name(name))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn value(&mut self) -> String {
        self.values += 1;
        self.dialect.placeholder(self.values)
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn select(&mut self, query: &Query) {
        let columns = match query.columns() {
            [] => "*".to_owned(),
            some => self.names(some),
        };
        self.text = format!("SELECT {columns} FROM {}", self.name(query.table()));
        self.conditions(query);
        if let Some((column, descending)) = query.order() {
            let order = format!(
                " ORDER BY {}{}",
                self.name(column),
                if descending { " DESC" } else { "" }
            );
            self.push(&order);
        }
        if let Some(rows) = query.most() {
            // Writing to a String cannot fail.
            let _ = write!(self.text, " LIMIT {rows}");
        }
    }

    fn insert(&mut self, query: &Query, verb: &str) {
        let values: Vec<String> = query.columns().iter().map(|_| self.value()).collect();
        self.text = format!(
            "{verb} INTO {} ({}) VALUES ({})",
            self.name(query.table()),
            self.names(query.columns()),
            values.join(", ")
        );
    }

    fn update(&mut self, query: &Query) {
        let assignments: Vec<String> = query
            .columns()
            .iter()
            .map(|column| format!("{} = {}", self.dialect.quote_name(column), self.value()))
            .collect();
        self.text = format!(
            "UPDATE {} SET {}",
            self.name(query.table()),
            assignments.join(", ")
        );
        self.conditions(query);
    }

    fn upsert(&mut self, query: &Query) {
        self.insert(query, "INSERT");
        let changed: Vec<String> = query
            .columns()
            .iter()
            .filter(|column| !query.keys().contains(column))
            .map(|column| {
                let name = self.name(column);
                match self.dialect {
                    Dialect::Mysql => format!("{name} = VALUES({name})"),
                    Dialect::Sqlite | Dialect::Postgres => format!("{name} = excluded.{name}"),
                }
            })
            .collect();
        let tail = match (self.dialect, changed.is_empty()) {
            (Dialect::Mysql, true) => {
                let first = query
                    .columns()
                    .first()
                    .map(|column| self.name(column))
                    .unwrap_or_default();
                format!(" ON DUPLICATE KEY UPDATE {first} = {first}")
            }
            (Dialect::Mysql, false) => format!(" ON DUPLICATE KEY UPDATE {}", changed.join(", ")),
            (_, true) => format!(" ON CONFLICT ({}) DO NOTHING", self.names(query.keys())),
            (_, false) => format!(
                " ON CONFLICT ({}) DO UPDATE SET {}",
                self.names(query.keys()),
                changed.join(", ")
            ),
        };
        self.push(&tail);
    }

    fn conditions(&mut self, query: &Query) {
        for (at, (column, op)) in query.conditions().iter().enumerate() {
            self.push(if at == 0 { " WHERE " } else { " AND " });
            let name = self.name(column);
            let test = match op {
                Op::Eq => format!("{name} = {}", self.value()),
                Op::Ne => format!("{name} <> {}", self.value()),
                Op::Lt => format!("{name} < {}", self.value()),
                Op::Le => format!("{name} <= {}", self.value()),
                Op::Gt => format!("{name} > {}", self.value()),
                Op::Ge => format!("{name} >= {}", self.value()),
                Op::Bits => format!("({name} & {}) <> 0", self.value()),
                Op::IsNull => format!("{name} IS NULL"),
                Op::NotNull => format!("{name} IS NOT NULL"),
            };
            self.push(&test);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_names_its_conditions() {
        let query = Query::select("address", &["grp", "mask"])
            .when_eq("ip_addr")
            .when("grp", Op::Gt)
            .when("tag", Op::IsNull)
            .order_by_desc("grp")
            .limit(5);
        assert_eq!(
            Dialect::Mysql.render(&query),
            "SELECT `grp`, `mask` FROM `address` WHERE `ip_addr` = ? AND `grp` > ? AND `tag` IS NULL ORDER BY `grp` DESC LIMIT 5"
        );
        assert_eq!(
            Dialect::Postgres.render(&query),
            "SELECT \"grp\", \"mask\" FROM \"address\" WHERE \"ip_addr\" = $1 AND \"grp\" > $2 AND \"tag\" IS NULL ORDER BY \"grp\" DESC LIMIT 5"
        );
        assert_eq!(
            Dialect::Sqlite.render(&Query::select("t", &[])),
            "SELECT * FROM \"t\""
        );
    }

    #[test]
    fn writing_binds_columns_before_conditions() {
        let query = Query::update("location", &["expires"]).when_eq("ruid");
        assert_eq!(
            Dialect::Postgres.render(&query),
            "UPDATE \"location\" SET \"expires\" = $1 WHERE \"ruid\" = $2"
        );
        assert_eq!(
            Dialect::Sqlite.render(&Query::insert("acc", &["method", "time"])),
            "INSERT INTO \"acc\" (\"method\", \"time\") VALUES (?, ?)"
        );
        assert_eq!(
            Dialect::Mysql.render(&Query::delete("aliases")),
            "DELETE FROM `aliases`"
        );
    }

    #[test]
    fn each_dialect_has_its_upsert() {
        let query = Query::upsert("location", &["ruid", "expires"], &["ruid"]);
        assert_eq!(
            Dialect::Mysql.render(&query),
            "INSERT INTO `location` (`ruid`, `expires`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `expires` = VALUES(`expires`)"
        );
        assert_eq!(
            Dialect::Sqlite.render(&query),
            "INSERT INTO \"location\" (\"ruid\", \"expires\") VALUES (?, ?) ON CONFLICT (\"ruid\") DO UPDATE SET \"expires\" = excluded.\"expires\""
        );
        let keys_only = Query::upsert("t", &["k"], &["k"]);
        assert!(
            Dialect::Postgres
                .render(&keys_only)
                .ends_with("ON CONFLICT (\"k\") DO NOTHING")
        );
        assert!(
            Dialect::Mysql
                .render(&keys_only)
                .ends_with("ON DUPLICATE KEY UPDATE `k` = `k`")
        );
        assert!(
            Dialect::Mysql
                .render(&Query::replace("t", &["k"], &["k"]))
                .starts_with("REPLACE INTO")
        );
    }

    #[test]
    fn names_cannot_end_their_quotes() {
        assert_eq!(Dialect::Mysql.quote_name(&Str::from("a`b")), "`a``b`");
        assert_eq!(Dialect::Postgres.quote_name(&Str::from("A\"b")), "\"a\"\"b\"");
    }

    #[test]
    fn escaped_text_is_always_inert() {
        let attacks: [&[u8]; 7] = [
            b"' OR '1'='1",
            b"\\' OR 1=1 -- ",
            b"\\",
            b"x'",
            b"''' --",
            b"nul\0'",
            b"\\\\'",
        ];
        for dialect in [Dialect::Sqlite, Dialect::Mysql, Dialect::Postgres] {
            for text in attacks {
                assert!(dialect.is_inert(&dialect.escape(text)), "{dialect:?} {text:?}");
            }
            assert!(!dialect.is_inert(b"x' OR 1"));
            assert!(dialect.is_inert(b"O''Brien"));
        }
        assert!(Dialect::Mysql.is_inert(b"O\\'Brien"));
        assert!(!Dialect::Postgres.is_inert(b"O\\'Brien"));
        assert!(!Dialect::Mysql.is_inert(b"ends in \\"));
        assert!(Dialect::Sqlite.is_inert(b"ends in \\"));
    }
}
