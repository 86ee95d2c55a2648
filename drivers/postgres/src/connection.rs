//! A connection to a server.

use std::{
    collections::HashMap,
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use futures_core::Stream;
use kahea_db::{BoxFuture, Connection, Done, Error, Query, Sink, Statement, Value, sql::Dialect};
use kahea_module::Str;
use tokio_postgres::{Client, Error as Postgres, Statement as Prepared, error::SqlState};

use crate::{
    error,
    value::{Bound, Read},
};

/// Statements that are kept prepared; all are given up when there are more.
const KEPT: usize = 512;

/// A connection; it keeps the statements of queries prepared.
pub(crate) struct Wire {
    client: Client,
    limit: Option<Duration>,
    prepared: HashMap<u64, Prepared>,
}

/// Why an answer did not come.
enum Failure {
    Postgres(Postgres),
    Late(Duration),
}

impl Failure {
    fn has_code(&self, code: &SqlState) -> bool {
        matches!(self, Failure::Postgres(error) if error.code() == Some(code))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Postgres(error) => error::of_statement(&error),
            Failure::Late(after) => Error::Timeout(after),
        }
    }
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Postgres>>,
) -> Result<T, Failure> {
    match limit {
        None => work.await.map_err(Failure::Postgres),
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome.map_err(Failure::Postgres),
            Err(_) => Err(Failure::Late(limit)),
        },
    }
}

impl Wire {
    pub(crate) fn new(client: Client, limit: Option<Duration>) -> Wire {
        Wire {
            client,
            limit,
            prepared: HashMap::new(),
        }
    }

    async fn prepare(&mut self, query: &Query) -> Result<Prepared, Failure> {
        if let Some(prepared) = self.prepared.get(&query.id()) {
            return Ok(prepared.clone());
        }
        let prepared = within(self.limit, self.client.prepare(query.sql(Dialect::Postgres))).await?;
        if self.prepared.len() >= KEPT {
            self.prepared.clear();
        }
        self.prepared.insert(query.id(), prepared.clone());
        Ok(prepared)
    }

    async fn query(&mut self, query: &Query, values: &[Value], sink: &mut dyn Sink) -> Result<Done, Error> {
        let known = self.prepared.contains_key(&query.id());
        let outcome = match self.prepare(query).await {
            Ok(prepared) => self.execute(&prepared, values, sink).await,
            Err(failure) => Err(failure),
        };
        match outcome {
            // The table was changed since the statement was prepared.
            Err(failure) if known && failure.has_code(&SqlState::FEATURE_NOT_SUPPORTED) => {
                self.prepared.remove(&query.id());
                let prepared = self.prepare(query).await?;
                Ok(self.execute(&prepared, values, sink).await?)
            }
            Err(failure)
                if failure.has_code(&SqlState::INVALID_COLUMN_REFERENCE) && !query.keys().is_empty() =>
            {
                self.replace_by_hand(query, values, sink).await
            }
            outcome => Ok(outcome?),
        }
    }

    /// Replaces a row of a table that has no unique index for it: changes the rows of the key, or adds one.
    async fn replace_by_hand(
        &mut self,
        query: &Query,
        values: &[Value],
        sink: &mut dyn Sink,
    ) -> Result<Done, Error> {
        let table = query.table().text();
        let columns: Vec<String> = query
            .columns()
            .iter()
            .map(|name| name.text().into_owned())
            .collect();
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let key = |name: &&str| query.keys().iter().any(|key| key.as_bytes() == name.as_bytes());
        let (keys, others): (Vec<(&str, &Value)>, Vec<_>) =
            names.iter().copied().zip(values).partition(|(name, _)| key(name));
        let changed: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        let mut update = Query::update(&table, if changed.is_empty() { &names } else { &changed });
        let mut bound: Vec<Value> = match changed.is_empty() {
            true => values.to_vec(),
            false => others.iter().map(|(_, value)| (*value).clone()).collect(),
        };
        for (name, value) in keys {
            update = update.when_eq(name);
            bound.push(value.clone());
        }
        let update = within(
            self.limit,
            self.client.prepare(update.build().sql(Dialect::Postgres)),
        )
        .await?;
        let done = self.execute(&update, &bound, sink).await?;
        if done.affected > 0 {
            return Ok(done);
        }
        let insert = Query::insert(&table, &names).build();
        let insert = within(self.limit, self.client.prepare(insert.sql(Dialect::Postgres))).await?;
        Ok(self.execute(&insert, values, sink).await?)
    }

    async fn execute(
        &self,
        prepared: &Prepared,
        values: &[Value],
        sink: &mut dyn Sink,
    ) -> Result<Done, Failure> {
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let rows = within(self.limit, self.client.query_raw(prepared, &bound)).await?;
        let columns = prepared.columns();
        if !columns.is_empty() {
            let names: Vec<Str> = columns.iter().map(|column| Str::from(column.name())).collect();
            sink.columns(&names);
        }
        let mut rows = pin!(rows);
        while let Some(row) = within(self.limit, next(rows.as_mut())).await? {
            let values = (0..columns.len()).map(|at| row.try_get::<_, Read>(at).map(|read| read.0));
            sink.row(values.collect::<Result<_, _>>().map_err(Failure::Postgres)?);
        }
        Ok(Done {
            affected: rows.rows_affected().unwrap_or(0),
            last_id: None,
        })
    }

    async fn plain(&self, sql: &'static str) -> Result<(), Error> {
        Ok(within(self.limit, self.client.batch_execute(sql)).await?)
    }
}

async fn next<T, S: Stream<Item = Result<T, Postgres>>>(
    mut rows: Pin<&mut S>,
) -> Result<Option<T>, Postgres> {
    poll_fn(|cx| rows.as_mut().poll_next(cx)).await.transpose()
}

impl Connection for Wire {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            match statement {
                Statement::Query(query, values) => self.query(query, values, sink).await,
                Statement::Sql(text, values) => {
                    let sql = text
                        .as_utf8()
                        .ok_or_else(|| Error::Refused("the statement is no UTF-8 text".to_owned()))?;
                    // Prepared, a text is one statement: nothing can be appended to it.
                    let prepared = within(self.limit, self.client.prepare(sql)).await?;
                    Ok(self.execute(&prepared, values, sink).await?)
                }
            }
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain(""))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("BEGIN"))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("COMMIT"))
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("ROLLBACK"))
    }
}
