//! An open database file, on the thread that waits for the disk.

use std::thread;

use kahea_db::{Done, Error, Kind, Row, Statement, sql::Dialect};
use kahea_module::{Str, warning};
use rusqlite::{
    Batch, Connection, ErrorCode, InterruptHandle, OpenFlags, Statement as Prepared,
    fallible_iterator::FallibleIterator,
};
use tokio::sync::{mpsc, oneshot};

use crate::{
    error,
    settings::{Journal, Opening},
    value,
};

/// Statements kept prepared in each connection.
const KEPT: usize = 256;
/// Rows that are handed over at once.
const ROWS: usize = 256;

/// What the thread is asked to do.
pub(crate) enum Command {
    Run(Statement, mpsc::Sender<Part>),
    /// SQL without values and rows.
    Plain(&'static str, oneshot::Sender<Result<(), Error>>),
}

/// A part of an answer.
#[derive(Default)]
pub(crate) struct Part {
    /// In the first part of an answer with rows.
    pub(crate) columns: Option<Vec<Str>>,
    pub(crate) rows: Vec<Row>,
    /// In the last part.
    pub(crate) end: Option<Result<Done, Error>>,
}

/// A thread with an open file; it ends when the sender is dropped.
pub(crate) struct Opened {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) interrupt: InterruptHandle,
}

/// Opens the file on a thread of its own.
pub(crate) async fn open(opening: Opening) -> Result<Opened, Error> {
    let (ready, opened) = oneshot::channel();
    let started = thread::Builder::new()
        .name("db_sqlite".to_owned())
        .spawn(move || {
            let connection = match connect(&opening) {
                Ok(connection) => connection,
                // Whoever gave up waiting does not want to know.
                Err(error) => return drop(ready.send(Err(error))),
            };
            let (commands, asked) = mpsc::unbounded_channel();
            let interrupt = connection.get_interrupt_handle();
            if ready.send(Ok(Opened { commands, interrupt })).is_ok() {
                serve(&connection, asked);
            }
        });
    started.map_err(|error| Error::Unavailable(format!("no thread for the file: {error}")))?;
    opened
        .await
        .unwrap_or_else(|_| Err(Error::Unavailable("the thread of the file ended".to_owned())))
}

fn connect(opening: &Opening) -> Result<Connection, Error> {
    let access = match opening.readonly {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let failed = |problem: &rusqlite::Error| match error::of(problem) {
        Error::Refused(why) => Error::Unavailable(why),
        other => other,
    };
    let connection = Connection::open_with_flags(&opening.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|problem| failed(&problem))?;
    prepare(&connection, opening).map_err(|problem| failed(&problem))?;
    Ok(connection)
}

fn prepare(connection: &Connection, opening: &Opening) -> rusqlite::Result<()> {
    connection.busy_timeout(opening.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(KEPT);
    // Kamailio's builds of SQLite leave foreign keys alone.
    connection.pragma_update(None, "foreign_keys", opening.foreign_keys)?;
    if opening.readonly || opening.in_memory() {
        return Ok(());
    }
    journal(connection, opening)
}

/// A file whose journal cannot be changed now, because another process holds it, is used as it is.
fn journal(connection: &Connection, opening: &Opening) -> rusqlite::Result<()> {
    let (path, wanted) = (&opening.path, opening.journal.name());
    let change = format!("PRAGMA journal_mode={wanted}");
    let is: String = match connection.query_row(&change, [], |row| row.get(0)) {
        Ok(is) => is,
        Err(problem)
            if matches!(
                problem.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            warning!(
                "db_sqlite",
                "{path}: the journal mode {wanted} has to wait: {problem}\n"
            );
            return Ok(());
        }
        Err(problem) => return Err(problem),
    };
    if !is.eq_ignore_ascii_case(wanted) {
        warning!(
            "db_sqlite",
            "{path}: the journal mode stays {is}, {wanted} is not possible\n"
        );
    }
    if opening.journal == Journal::Wal && is.eq_ignore_ascii_case("wal") {
        // Safe against a killed process; only a power cut can take the last transactions.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
    }
    Ok(())
}

fn serve(connection: &Connection, mut asked: mpsc::UnboundedReceiver<Command>) {
    while let Some(command) = asked.blocking_recv() {
        match command {
            Command::Plain(sql, done) => {
                let outcome = connection
                    .execute_batch(sql)
                    .map_err(|problem| error::of(&problem));
                drop(done.send(outcome));
            }
            Command::Run(statement, answer) => {
                let mut last = Part::default();
                last.end = Some(run(connection, &statement, &answer, &mut last));
                drop(answer.blocking_send(last));
            }
        }
    }
}

/// Runs a statement; what does not fit into `last` is sent before.
fn run(
    connection: &Connection,
    statement: &Statement,
    answer: &mpsc::Sender<Part>,
    last: &mut Part,
) -> Result<Done, Error> {
    let failed = |problem: rusqlite::Error| error::of(&problem);
    match statement {
        Statement::Query(query, values) => {
            let sql = query.sql(Dialect::Sqlite);
            // Kept, "all columns" would mean those of the day when the statement was made.
            if query.kind() == Kind::Select && query.columns().is_empty() {
                let mut prepared = connection.prepare(sql).map_err(failed)?;
                return rows(connection, &mut prepared, values, answer, last);
            }
            let mut prepared = connection.prepare_cached(sql).map_err(failed)?;
            let mut done = rows(connection, &mut prepared, values, answer, last)?;
            if !matches!(query.kind(), Kind::Insert | Kind::Replace | Kind::Upsert) {
                done.last_id = None;
            }
            Ok(done)
        }
        Statement::Sql(text, values) => {
            let sql = text
                .as_utf8()
                .ok_or_else(|| Error::Refused("the statement is no UTF-8 text".to_owned()))?;
            if !values.is_empty() {
                let mut prepared = connection.prepare(sql).map_err(failed)?;
                return rows(connection, &mut prepared, values, answer, last);
            }
            // As with Kamailio, what follows the first statement is not run.
            let mut statements = Batch::new(connection, sql);
            match FallibleIterator::next(&mut statements).map_err(failed)? {
                Some(mut first) => rows(connection, &mut first, values, answer, last),
                None => Err(Error::Refused("there is no statement in the text".to_owned())),
            }
        }
    }
}

fn rows(
    connection: &Connection,
    prepared: &mut Prepared<'_>,
    values: &[kahea_db::Value],
    answer: &mpsc::Sender<Part>,
    last: &mut Part,
) -> Result<Done, Error> {
    let failed = |problem: rusqlite::Error| error::of(&problem);
    if prepared.parameter_count() != values.len() {
        let (takes, given) = (prepared.parameter_count(), values.len());
        return Err(Error::Refused(format!(
            "the statement takes {takes} values, {given} were given"
        )));
    }
    for (at, value) in values.iter().enumerate() {
        prepared
            .raw_bind_parameter(at.saturating_add(1), value::to_sql(value))
            .map_err(failed)?;
    }
    let changes = !prepared.readonly();
    let columns = prepared
        .columns()
        .map(|column| (Str::from(column.name()), value::is_time(column.decl_type())));
    let (names, times): (Vec<Str>, Vec<bool>) = columns.unzip();
    last.columns = (!names.is_empty()).then_some(names);
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        if last.rows.len() >= ROWS && answer.blocking_send(std::mem::take(last)).is_err() {
            return Err(Error::Lost("nobody waits for the rows any more".to_owned()));
        }
        let mut out = Row::with_capacity(times.len());
        for (at, is_time) in times.iter().enumerate() {
            out.push(value::from_sql(row.get_ref(at).map_err(failed)?, *is_time));
        }
        last.rows.push(out);
    }
    Ok(match changes {
        true => Done {
            affected: connection.changes(),
            last_id: Some(connection.last_insert_rowid()),
        },
        false => Done::default(),
    })
}
