//! A connection to a server.

use std::{borrow::Cow, time::Duration};

use kahea_db::{BoxFuture, Connection, Done, Error, Kind, Sink, Statement, Value, sql::Dialect};
use kahea_module::{Str, stats::Counter};
use mysql_async::{
    Conn, Error as Mysql, Params, QueryResult,
    prelude::{Protocol, Queryable},
};

use crate::{Settings, error, value};

/// A connection; it keeps its statements prepared.
pub(crate) struct Wire {
    conn: Conn,
    settings: Settings,
    errors: Counter,
}

impl Wire {
    pub(crate) fn new(conn: Conn, settings: Settings, errors: Counter) -> Wire {
        Wire {
            conn,
            settings,
            errors,
        }
    }

    async fn perform(&mut self, statement: &Statement, sink: &mut dyn Sink) -> Result<Done, Error> {
        let limit = self.settings.statement;
        let (sql, values) = match statement {
            Statement::Query(query, values) => {
                let sql = query.sql(Dialect::Mysql);
                let delayed = self.settings.insert_delayed && query.kind() == Kind::Insert;
                (spelt(sql, values, delayed, self.settings.server_timezone), values)
            }
            Statement::Sql(text, values) => {
                let sql = text
                    .as_utf8()
                    .ok_or_else(|| Error::Refused("the statement is no UTF-8 text".to_owned()))?;
                (Cow::Borrowed(sql), values)
            }
        };
        // Prepared, a text is one statement: nothing can be appended to it.
        let prepared = match within(limit, self.conn.prep(sql.as_ref())).await {
            Err(Failure::Mysql(Mysql::Server(refusal))) if refusal.code == error::NOT_PREPARABLE => {
                let result = within(limit, self.conn.query_iter(sql.as_ref())).await?;
                return read(result, limit, sink).await;
            }
            prepared => prepared?,
        };
        // The library would notice too late, and lose the connection over it.
        if usize::from(prepared.num_params()) != values.len() {
            let (takes, given) = (prepared.num_params(), values.len());
            return Err(Error::Refused(format!(
                "the statement takes {takes} values, {given} were given"
            )));
        }
        let values = values
            .iter()
            .map(|value| value::to_server(value, self.settings.server_timezone))
            .collect();
        let result = within(limit, self.conn.exec_iter(&prepared, positional(values))).await?;
        read(result, limit, sink).await
    }

    async fn plain(&mut self, sql: &'static str) -> Result<(), Error> {
        Ok(within(self.settings.statement, self.conn.query_drop(sql)).await?)
    }

    fn counted<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.as_ref().is_err_and(error::is_ours) {
            self.errors.inc();
        }
        outcome
    }
}

fn positional(values: Vec<mysql_async::Value>) -> Params {
    match values.is_empty() {
        true => Params::Empty,
        false => Params::Positional(values),
    }
}

/// Why an answer did not come.
enum Failure {
    Mysql(Mysql),
    Late(Duration),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Mysql(error) => error::of_statement(error),
            Failure::Late(after) => Error::Timeout(after),
        }
    }
}

async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Mysql>>,
) -> Result<T, Failure> {
    match limit {
        None => work.await.map_err(Failure::Mysql),
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(outcome) => outcome.map_err(Failure::Mysql),
            Err(_) => Err(Failure::Late(limit)),
        },
    }
}

/// Hands the rows of the first answer on; a procedure may give more, which are dropped.
async fn read<P: Protocol>(
    mut result: QueryResult<'_, 'static, P>,
    limit: Option<Duration>,
    sink: &mut dyn Sink,
) -> Result<Done, Error> {
    let columns = result.columns_ref();
    let readers: Vec<value::Reader> = columns.iter().map(value::Reader::of).collect();
    if !columns.is_empty() {
        let names: Vec<Str> = columns
            .iter()
            .map(|column| Str::copy(column.name_ref()))
            .collect();
        sink.columns(&names);
    }
    let done = Done {
        affected: result.affected_rows(),
        last_id: result.last_insert_id().and_then(|id| i64::try_from(id).ok()),
    };
    while let Some(row) = within(limit, result.next()).await? {
        let values = row
            .unwrap_raw()
            .into_iter()
            .map(|value| value.unwrap_or(mysql_async::Value::NULL));
        sink.row(
            values
                .zip(&readers)
                .map(|(value, reader)| reader.read(value))
                .collect(),
        );
    }
    within(limit, result.drop_result()).await?;
    Ok(done)
}

/// The text of a query as the settings want it.
fn spelt<'a>(sql: &'a str, values: &[Value], delayed: bool, server_timezone: bool) -> Cow<'a, str> {
    let mut text = Cow::Borrowed(sql);
    if let Some(rest) = sql.strip_prefix("INSERT").filter(|_| delayed) {
        text = Cow::Owned(format!("INSERT DELAYED{rest}"));
    }
    if server_timezone && values.iter().any(|value| matches!(value, Value::Time(_))) {
        text = Cow::Owned(with_moments(&text, values));
    }
    text
}

/// Wraps the placeholders of moments in `FROM_UNIXTIME`; names stand between backquotes, and texts are not in it.
fn with_moments(sql: &str, values: &[Value]) -> String {
    let mut out = String::with_capacity(sql.len().saturating_add(64));
    let (mut in_name, mut values) = (false, values.iter());
    for letter in sql.chars() {
        in_name ^= letter == '`';
        match (letter, in_name) {
            ('?', false) => match values.next() {
                Some(Value::Time(_)) => out.push_str("FROM_UNIXTIME(?)"),
                _ => out.push('?'),
            },
            _ => out.push(letter),
        }
    }
    out
}

impl Connection for Wire {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let outcome = self.perform(statement, sink).await;
            self.counted(outcome)
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(within(self.settings.statement, self.conn.ping()).await?) })
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("START TRANSACTION"))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("COMMIT"))
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.plain("ROLLBACK"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_turned_by_the_server_where_it_is_asked_to() {
        let sql = "UPDATE `what?` SET `a` = ?, `t` = ? WHERE `t` < ?";
        let values = [Value::Int(1), Value::Time(2), Value::Time(3)];
        assert_eq!(spelt(sql, &values, true, false), sql);
        assert_eq!(
            spelt(sql, &values, false, true),
            "UPDATE `what?` SET `a` = ?, `t` = FROM_UNIXTIME(?) WHERE `t` < FROM_UNIXTIME(?)"
        );
        assert_eq!(
            spelt("INSERT INTO `t` VALUES (?)", &[], true, false),
            "INSERT DELAYED INTO `t` VALUES (?)"
        );
    }
}
