//! The driver: one thread for each connection, so that the disk holds up nobody else.

use kahea_db::{BoxFuture, Connection, Done, Driver, Error, Features, Sink, Statement, Url, sql::Dialect};
use rusqlite::InterruptHandle;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Settings,
    file::{self, Command, Opened, Part},
    settings::Journal,
};

/// The driver of `sqlite:///path`.
#[derive(Debug, Default)]
pub struct SqliteDriver {
    settings: Settings,
}

impl SqliteDriver {
    /// With the settings of its module.
    pub fn new(settings: Settings) -> SqliteDriver {
        SqliteDriver { settings }
    }
}

impl Driver for SqliteDriver {
    fn module(&self) -> &'static str {
        "db_sqlite"
    }

    fn features(&self, url: &Url) -> Features {
        let opening = self.settings.opening(url);
        // With a write-ahead log a long reading does not hold up the writing.
        let together = opening.journal == Journal::Wal && !opening.in_memory();
        Features {
            dialect: Some(Dialect::Sqlite),
            replaces: true,
            counts: true,
            last_id: true,
            connections: if together { 2 } else { 1 },
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        let opening = self.settings.opening(url);
        let readonly = opening.readonly;
        Box::pin(async move {
            let Opened { commands, interrupt } = file::open(opening).await?;
            Ok(Box::new(File {
                commands,
                interrupt,
                readonly,
            }) as Box<dyn Connection>)
        })
    }
}

/// The thread of a file, as the pool sees it.
struct File {
    commands: mpsc::UnboundedSender<Command>,
    interrupt: InterruptHandle,
    readonly: bool,
}

/// Parts of an answer that may wait to be taken.
const PARTS: usize = 4;

impl File {
    fn gone() -> Error {
        Error::Lost("the thread of the file ended".to_owned())
    }

    fn ask(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Self::gone())
    }

    async fn plain(&self, sql: &'static str) -> Result<(), Error> {
        let (sender, done) = oneshot::channel();
        self.ask(Command::Plain(sql, sender))?;
        done.await.unwrap_or_else(|_| Err(Self::gone()))
    }
}

/// A statement that nobody waits for any more is broken off.
impl Drop for File {
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}

impl Connection for File {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let (sender, mut parts) = mpsc::channel(PARTS);
            self.ask(Command::Run(statement.clone(), sender))?;
            while let Some(Part { columns, rows, end }) = parts.recv().await {
                if let Some(columns) = columns {
                    sink.columns(&columns);
                }
                rows.into_iter().for_each(|row| sink.row(row));
                if let Some(end) = end {
                    return end;
                }
            }
            Err(Self::gone())
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("SELECT 1"))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        // Taking the lock at once leaves nobody with a transaction that can no longer become a writing one.
        Box::pin(self.plain(if self.readonly { "BEGIN" } else { "BEGIN IMMEDIATE" }))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("COMMIT"))
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("ROLLBACK"))
    }
}
