//! A database for unit tests: it answers what the test says.

use std::sync::Arc;

use kahea_module::stats::Stats;

use crate::{
    BoxFuture, Connection, Database, Databases, Done, Driver, Error, Features, Limits, Rows, Sink, Statement,
    Url, sql::Dialect,
};

type Script = dyn Fn(&Statement) -> Result<Rows, Error> + Send + Sync;

/// A database that answers every statement by this function. It claims to speak SQLite's SQL.
///
/// # Panics
/// Where this machine cannot start a thread.
pub fn fake(answer: impl Fn(&Statement) -> Result<Rows, Error> + Send + Sync + 'static) -> Database {
    let databases = Databases::default();
    databases.register("fake", Arc::new(Fake(Arc::new(answer))));
    let opened = databases.open("fake://", Limits::default(), &Stats::default());
    // The thread must outlive the test's handle.
    std::mem::forget(databases);
    opened.expect("the fake database opens")
}

struct Fake(Arc<Script>);

impl Driver for Fake {
    fn module(&self) -> &'static str {
        "db_fake"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            dialect: Some(Dialect::Sqlite),
            replaces: true,
            counts: true,
            last_id: true,
            connections: 1,
        }
    }

    fn connect<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        let connection = FakeConnection(self.0.clone());
        Box::pin(async { Ok(Box::new(connection) as Box<dyn Connection>) })
    }
}

struct FakeConnection(Arc<Script>);

impl Connection for FakeConnection {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let rows = (self.0)(statement)?;
            sink.columns(&rows.columns);
            rows.rows.into_iter().for_each(|row| sink.row(row));
            Ok(Done {
                affected: rows.affected,
                last_id: rows.last_id,
            })
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }
}
