//! Statements, made once and run often.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use kahea_module::Str;

use crate::{Value, sql::Dialect};

/// How a column is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
    /// Has bits in common with.
    Bits,
    /// Is NULL; takes no value.
    IsNull,
    /// Is not NULL; takes no value.
    NotNull,
}

impl Op {
    /// Takes a value.
    pub fn takes_value(self) -> bool {
        !matches!(self, Op::IsNull | Op::NotNull)
    }
}

/// What a query does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reads rows.
    Select,
    /// Adds a row.
    Insert,
    /// Changes rows.
    Update,
    /// Takes rows away.
    Delete,
    /// Adds a row, in place of one with the same key.
    Replace,
    /// Adds a row, or changes the columns of the one with the same key.
    Upsert,
}

/// A statement on one table, without its values: made once, run with values for each message.
///
/// Values are given in the order: columns that are written, then conditions.
#[derive(Debug)]
pub struct Query {
    id: u64,
    kind: Kind,
    table: Str,
    columns: Vec<Str>,
    conditions: Vec<(Str, Op)>,
    keys: Vec<Str>,
    order: Option<(Str, bool)>,
    limit: Option<u64>,
    texts: [OnceLock<Arc<str>>; Dialect::COUNT],
}

impl Query {
    fn new(kind: Kind, table: &str, columns: &[&str]) -> Query {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Query {
            id: NEXT.fetch_add(1, Relaxed),
            kind,
            table: Str::from(table),
            columns: columns.iter().map(|name| Str::from(*name)).collect(),
            conditions: Vec::new(),
            keys: Vec::new(),
            order: None,
            limit: None,
            texts: Default::default(),
        }
    }

    /// Reads these columns; all of them where none are named.
    pub fn select(table: &str, columns: &[&str]) -> Query {
        Query::new(Kind::Select, table, columns)
    }

    /// Adds a row with these columns.
    pub fn insert(table: &str, columns: &[&str]) -> Query {
        Query::new(Kind::Insert, table, columns)
    }

    /// Changes these columns.
    pub fn update(table: &str, columns: &[&str]) -> Query {
        Query::new(Kind::Update, table, columns)
    }

    /// Takes rows away.
    pub fn delete(table: &str) -> Query {
        Query::new(Kind::Delete, table, &[])
    }

    /// Adds a row, in place of one with the same `keys`, which are columns under a unique index.
    pub fn replace(table: &str, columns: &[&str], keys: &[&str]) -> Query {
        Query::new(Kind::Replace, table, columns).keyed(keys)
    }

    /// Adds a row, or changes the one with the same `keys`, which are columns under a unique index.
    pub fn upsert(table: &str, columns: &[&str], keys: &[&str]) -> Query {
        Query::new(Kind::Upsert, table, columns).keyed(keys)
    }

    fn keyed(mut self, keys: &[&str]) -> Query {
        self.keys = keys.iter().map(|name| Str::from(*name)).collect();
        self
    }

    /// Only rows where the column compares so; all conditions must hold.
    pub fn when(mut self, column: &str, op: Op) -> Query {
        self.conditions.push((Str::from(column), op));
        self
    }

    /// Only rows where the column equals the value.
    pub fn when_eq(self, column: &str) -> Query {
        self.when(column, Op::Eq)
    }

    /// Ordered by this column, ascending.
    pub fn order_by(mut self, column: &str) -> Query {
        self.order = Some((Str::from(column), false));
        self
    }

    /// Ordered by this column, descending.
    pub fn order_by_desc(mut self, column: &str) -> Query {
        self.order = Some((Str::from(column), true));
        self
    }

    /// At most so many rows.
    pub fn limit(mut self, rows: u64) -> Query {
        self.limit = Some(rows);
        self
    }

    /// Ready to run.
    pub fn build(self) -> Arc<Query> {
        Arc::new(self)
    }

    /// Names this query among all of the process: what connections keep prepared statements under.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its table.
    pub fn table(&self) -> &Str {
        &self.table
    }

    /// Columns that are read or written.
    pub fn columns(&self) -> &[Str] {
        &self.columns
    }

    /// Conditions.
    pub fn conditions(&self) -> &[(Str, Op)] {
        &self.conditions
    }

    /// Columns under the unique index, of a replacing query.
    pub fn keys(&self) -> &[Str] {
        &self.keys
    }

    /// The column that orders the rows, and whether descending.
    pub fn order(&self) -> Option<(&Str, bool)> {
        self.order.as_ref().map(|(column, desc)| (column, *desc))
    }

    /// The most rows.
    pub fn most(&self) -> Option<u64> {
        self.limit
    }

    /// How many values it takes.
    pub fn value_count(&self) -> usize {
        let written = match self.kind {
            Kind::Select | Kind::Delete => 0,
            _ => self.columns.len(),
        };
        written + self.conditions.iter().filter(|(_, op)| op.takes_value()).count()
    }

    /// As SQL with placeholders; made once.
    pub fn sql(&self, dialect: Dialect) -> &Arc<str> {
        let [sqlite, mysql, postgres] = &self.texts;
        let text = match dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Mysql => mysql,
            Dialect::Postgres => postgres,
        };
        text.get_or_init(|| Arc::from(dialect.render(self)))
    }

    /// Doing it twice is as good as doing it once, so that it may be tried again on another connection.
    pub fn is_repeatable(&self) -> bool {
        self.kind != Kind::Insert
    }
}

/// Something to be done.
#[derive(Clone, Debug)]
pub enum Statement {
    /// A query with its values.
    Query(Arc<Query>, Vec<Value>),
    /// SQL as a script wrote it, with values for its placeholders (`?`, or `$1` in PostgreSQL).
    Sql(Str, Vec<Value>),
}

impl Statement {
    /// Doing it twice is as good as doing it once.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Statement::Query(query, _) => query.is_repeatable(),
            Statement::Sql(text, _) => text
                .as_bytes()
                .trim_ascii_start()
                .get(..6)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"select")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted() {
        let query = Query::update("location", &["expires", "cseq"])
            .when_eq("ruid")
            .when("partition", Op::NotNull);
        assert_eq!(query.value_count(), 3);
        assert_eq!(
            Query::select("version", &["table_version"])
                .when_eq("table_name")
                .value_count(),
            1
        );
    }

    #[test]
    fn only_inserts_must_not_be_repeated() {
        assert!(!Query::insert("acc", &["method"]).is_repeatable());
        assert!(Query::upsert("location", &["ruid"], &["ruid"]).is_repeatable());
        assert!(Statement::Sql(Str::from(" SELECT 1"), vec![]).is_repeatable());
        assert!(!Statement::Sql(Str::from("update t set n=n+1"), vec![]).is_repeatable());
    }
}
