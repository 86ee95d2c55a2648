//! The driver of `text:///folder`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel},
    },
    time::Duration,
};

use kahea_db::{
    BoxFuture, Connection, Done, Driver, Error, Features, Rows, Sink, Statement, Url, sql::Dialect,
};
use kahea_module::Str;

use super::{
    engine::Request,
    sql,
    store::{Outcome, Store},
    table::{Format, Table},
};

/// Where Kamailio looks for folders that are not given whole.
const CONFIG: &str = "/etc/kamailio";
/// A change is in its file after this time.
const DELAY: Duration = Duration::from_secs(1);

/// The driver of `text:///folder`.
pub struct TextDriver {
    shared: Arc<Tables>,
}

struct Tables {
    store: Arc<Store>,
    format: Format,
    /// Files are looked at before each statement.
    fresh: bool,
    /// Somebody waits to write changes out.
    writing: AtomicBool,
}

impl Default for TextDriver {
    fn default() -> TextDriver {
        TextDriver::new(Arc::default(), Format::default(), false)
    }
}

/// The folder that a URL names.
pub(crate) fn folder_of(url: &Url) -> String {
    let path = url.path();
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{CONFIG}/{path}"),
    }
}

impl TextDriver {
    pub(crate) fn new(store: Arc<Store>, format: Format, fresh: bool) -> TextDriver {
        let writing = AtomicBool::new(false);
        TextDriver {
            shared: Arc::new(Tables {
                store,
                format,
                fresh,
                writing,
            }),
        }
    }

    /// For files of this format, which are read again when they have changed where `fresh` says so.
    pub fn with_format(format: Format, fresh: bool) -> TextDriver {
        TextDriver::new(Arc::default(), format, fresh)
    }

    /// Writes every changed table to its file; waits for the disk.
    pub fn write_out(&self) {
        self.shared.store.write_out();
    }

    /// Runs a statement; waits for the disk where the file was not read yet.
    ///
    /// # Errors
    /// The file cannot be read, or the table refuses the statement.
    pub(crate) fn run(&self, folder: &str, request: &Request) -> Result<Rows, Error> {
        let shared = &self.shared;
        shared
            .store
            .run(folder, request, &shared.format, shared.fresh, false)
            .map(|outcome| outcome.rows)
    }

    /// Looks at a table.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn show<T>(
        &self,
        folder: &str,
        name: &Str,
        look: impl FnOnce(&Table, &Format) -> T,
    ) -> Result<T, Error> {
        let format = &self.shared.format;
        self.shared
            .store
            .show(folder, name, format, |table| look(table, format))
    }
}

impl Driver for TextDriver {
    fn module(&self) -> &'static str {
        "db_text"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            // Its quotes are those of SQLite; of the language it knows little.
            dialect: Some(Dialect::Sqlite),
            replaces: true,
            counts: true,
            last_id: true,
            connections: 1,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        let folder: Arc<str> = Arc::from(folder_of(url));
        let shared = self.shared.clone();
        Box::pin(async move {
            let there = folder.clone();
            match waiting(move || std::path::Path::new(&*there).is_dir()).await? {
                true => Ok(Box::new(Folder {
                    folder,
                    shared,
                    saved: None,
                }) as Box<dyn Connection>),
                false => Err(Error::Unavailable(format!("there is no folder {folder}"))),
            }
        })
    }
}

/// On a thread that may wait for the disk.
async fn waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::Lost("the thread for files ended".to_owned()))
}

struct Folder {
    folder: Arc<str>,
    shared: Arc<Tables>,
    /// Within a transaction: the tables as they were, oldest first.
    saved: Option<Vec<(Str, Table)>>,
}

impl Folder {
    async fn perform(&mut self, statement: &Statement) -> Result<Rows, Error> {
        let request = match statement {
            Statement::Query(query, values) => Request::of(query, values)?,
            Statement::Sql(text, values) => sql::parse(text.as_bytes(), values)?,
        };
        let (folder, shared) = (self.folder.clone(), self.shared.clone());
        let (name, changes) = (request.table.clone(), request.work.changes());
        let in_transaction = self.saved.is_some();
        let outcome = waiting(move || {
            shared
                .store
                .run(&folder, &request, &shared.format, shared.fresh, in_transaction)
        });
        let Outcome { rows, before } = outcome.await??;
        if let (Some(saved), Some(before)) = (&mut self.saved, before)
            && !saved.iter().any(|(table, _)| *table == name)
        {
            saved.push((name, before));
        }
        if changes && rows.affected > 0 {
            self.write_soon();
        }
        Ok(rows)
    }

    fn write_soon(&self) {
        if self.shared.writing.swap(true, AcqRel) {
            return;
        }
        let shared = self.shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(DELAY).await;
            // Before the files are written: what comes later is written later.
            shared.writing.store(false, std::sync::atomic::Ordering::Release);
            drop(waiting(move || shared.store.write_out()).await);
        });
    }
}

impl Connection for Folder {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let rows = self.perform(statement).await?;
            if !rows.columns.is_empty() {
                sink.columns(&rows.columns);
            }
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
        self.saved = Some(Vec::new());
        self.ping()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.saved = None;
        self.ping()
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        let (folder, shared) = (self.folder.clone(), self.shared.clone());
        let saved = self.saved.take().unwrap_or_default();
        Box::pin(waiting(move || {
            saved
                .into_iter()
                .for_each(|(name, table)| shared.store.restore(&folder, &name, table));
        }))
    }
}
