//! What a database driver has to give.

use std::{future::Future, pin::Pin, sync::Arc};

use kahea_module::Str;

use crate::{Error, Row, Rows, Statement, Url, sql::Dialect};

/// A future that any thread may run.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a kind of database can do.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// The SQL that it speaks; `None` where it speaks none and takes [`Statement::Query`] only.
    pub dialect: Option<Dialect>,
    /// It takes [`Kind::Replace`](crate::Kind::Replace) and [`Kind::Upsert`](crate::Kind::Upsert).
    pub replaces: bool,
    /// It tells how many rows a statement changed.
    pub counts: bool,
    /// It tells the number of an inserted row.
    pub last_id: bool,
    /// How many connections are worth having, at most.
    pub connections: usize,
}

/// A kind of database, chosen by the scheme of a URL.
pub trait Driver: Send + Sync + 'static {
    /// The module that it belongs to: `db_mysql`.
    fn module(&self) -> &'static str;

    /// What it can do, behind this URL.
    fn features(&self, url: &Url) -> Features;

    /// Opens a connection. The pool sets the deadline: dropping the future gives up.
    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>>;
}

/// Takes rows as they come.
pub trait Sink: Send {
    /// Told once, before the first row, where the statement gives rows at all.
    fn columns(&mut self, names: &[Str]);

    /// A row.
    fn row(&mut self, row: Row);
}

/// What a statement did, besides its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that it changed.
    pub affected: u64,
    /// The number of the inserted row, where the database tells.
    pub last_id: Option<i64>,
}

/// A connection. One statement at a time; a future that is dropped before its end ends the connection too.
pub trait Connection: Send {
    /// Runs a statement.
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>>;

    /// Asks whether the server is there.
    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>>;

    /// Begins a transaction; a database without them does nothing.
    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>>;

    /// Makes what happened since [`Connection::begin`] last.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>>;

    /// Takes back what happened since [`Connection::begin`], as far as the database can.
    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>>;
}

/// Keeps all rows.
#[derive(Default)]
pub(crate) struct Collect(Rows);

impl Collect {
    pub(crate) fn finish(mut self, done: Done) -> Rows {
        self.0.affected = done.affected;
        self.0.last_id = done.last_id;
        self.0
    }
}

impl Sink for Collect {
    fn columns(&mut self, names: &[Str]) {
        self.0.columns = Arc::from(names);
    }

    fn row(&mut self, row: Row) {
        self.0.rows.push(row);
    }
}
