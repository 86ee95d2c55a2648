//! A database, as a module holds it.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use kahea_module::{InitError, Str, registry::Env};
use tokio::sync::oneshot;

use crate::{
    Databases, Error, Features, Limits, Query, Row, Rows, Sink, State, Statement, Url, Value,
    pool::{Job, Pool, Waiter, Work},
};

/// What a statement gave.
pub type Answer = Result<Rows, Error>;

/// A database. Cloning gives another handle to the same connections.
#[derive(Clone)]
pub struct Database {
    pool: Arc<Pool>,
}

impl Database {
    pub(crate) fn new(pool: Arc<Pool>) -> Database {
        Database { pool }
    }

    /// Opens the database of a `db_url` parameter, and makes sure that it answers.
    ///
    /// # Errors
    /// The URL is wrong, its driver is not loaded, or the database cannot be reached.
    pub fn open(env: &Env<'_>, url: &str) -> Result<Database, InitError> {
        Databases::of(env).open(url, Limits::default(), &env.shared.stats)
    }

    /// The same, but a database that is away is only asked when it is needed.
    ///
    /// # Errors
    /// The URL is wrong, or its driver is not loaded.
    pub fn open_later(env: &Env<'_>, url: &str) -> Result<Database, InitError> {
        Databases::of(env).open_later(url, Limits::default(), &env.shared.stats)
    }

    /// Where it is; prints without its password.
    pub fn url(&self) -> &Url {
        self.pool.url()
    }

    /// What it can do.
    pub fn features(&self) -> Features {
        self.pool.driver().features(self.pool.url())
    }

    /// Whether it is asked at present.
    pub fn state(&self) -> State {
        self.pool.state()
    }

    /// Statements that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// Runs a query.
    ///
    /// # Errors
    /// See [`Error`]; it comes within the deadline of the pool, at once where the database is known to be away.
    pub async fn run(&self, query: &Arc<Query>, values: Vec<Value>) -> Answer {
        self.wait_for(Work::One(Statement::Query(query.clone(), values)))
            .await
    }

    /// Runs SQL as a script wrote it.
    ///
    /// # Errors
    /// As [`Database::run`]; [`Error::Unsupported`] where the database speaks no SQL.
    pub async fn sql(&self, text: Str, values: Vec<Value>) -> Answer {
        self.wait_for(Work::One(Statement::Sql(text, values))).await
    }

    /// Runs all of these, or none, where the database has transactions; one after the other elsewhere.
    ///
    /// # Errors
    /// That of the first statement that failed.
    pub async fn run_all(&self, statements: Vec<Statement>) -> Answer {
        self.wait_for(Work::All(statements)).await
    }

    /// Runs a statement that nobody waits for; `done` is called on another thread and must not block.
    pub fn run_later(&self, statement: Statement, done: impl FnOnce(Answer) + Send + 'static) {
        self.submit(Work::One(statement), Waiter::Call(Box::new(done)), None);
    }

    /// As [`Database::run_all`], with nobody waiting; `done` is called on another thread and must not block.
    pub fn run_all_later(&self, statements: Vec<Statement>, done: impl FnOnce(Answer) + Send + 'static) {
        self.submit(Work::All(statements), Waiter::Call(Box::new(done)), None);
    }

    /// Runs a query while this thread stands still: at start, at reload and at the end, never for a message.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub fn run_blocking(&self, query: &Arc<Query>, values: Vec<Value>) -> Answer {
        self.block_for(Work::One(Statement::Query(query.clone(), values)), None)
    }

    /// SQL, as [`Database::run_blocking`].
    ///
    /// # Errors
    /// As [`Database::run`].
    pub fn sql_blocking(&self, text: &str) -> Answer {
        self.block_for(Work::One(Statement::Sql(Str::from(text), Vec::new())), None)
    }

    /// As [`Database::run_all`], while this thread stands still.
    ///
    /// # Errors
    /// As [`Database::run_all`].
    pub fn run_all_blocking(&self, statements: Vec<Statement>) -> Answer {
        self.block_for(Work::All(statements), None)
    }

    /// Hands every row to `each` as it comes, so that a large table needs no room twice; while this thread stands still.
    /// `each` runs on another thread. There is no deadline but `within`.
    ///
    /// # Errors
    /// As [`Database::run`]; rows may have come before.
    pub fn load(
        &self,
        query: &Arc<Query>,
        values: Vec<Value>,
        within: Duration,
        each: impl FnMut(Row) + Send + 'static,
    ) -> Result<(), Error> {
        let statement = Statement::Query(query.clone(), values);
        self.block_for(Work::Stream(statement, Box::new(Each(each))), Some(within))
            .map(drop)
    }

    /// Makes sure that it can be reached.
    pub(crate) fn reach(&self) -> Result<(), Error> {
        // An empty transaction opens a connection and asks for nothing.
        self.run_all_blocking(Vec::new()).map(drop)
    }

    fn submit(&self, work: Work, waiter: Waiter, deadline: Option<Duration>) {
        self.pool.submit(Job {
            work,
            waiter,
            deadline,
        });
    }

    async fn wait_for(&self, work: Work) -> Answer {
        let (sender, receiver) = oneshot::channel();
        self.submit(work, Waiter::Task(sender), None);
        let limits = self.pool.limits();
        let patience = limits.statement.saturating_add(limits.connect);
        match tokio::time::timeout(patience, receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Unavailable("its connections were closed".to_owned())),
            Err(_) => Err(Error::Timeout(patience)),
        }
    }

    fn block_for(&self, work: Work, deadline: Option<Duration>) -> Answer {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.submit(work, Waiter::Thread(sender), deadline);
        receiver
            .recv()
            .unwrap_or_else(|_| Err(Error::Unavailable("its connections were closed".to_owned())))
    }
}

struct Each<F>(F);

impl<F: FnMut(Row) + Send> Sink for Each<F> {
    fn columns(&mut self, _names: &[Str]) {}

    fn row(&mut self, row: Row) {
        (self.0)(row);
    }
}
