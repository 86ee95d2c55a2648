//! Traced messages as rows of a table.
#![allow(clippy::disallowed_methods)] // reason: only the end of the server waits

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::SystemTime,
};

use kahea_db::{Database, Query, Statement, Value};
use kahea_module::{Str, stats::Counter};
use kahea_sip::HeaderId;
use parking_lot::Mutex;

use super::Order;
use crate::shot::{Shot, end_text, method, tag};

/// Rows that wait for the database at most; more are thrown away and counted.
const WAITING: usize = 10_000;
/// Queries for tables whose names are made at run time.
const KEPT: usize = 64;

/// The names of the columns, in the order of the values.
#[derive(Clone, Debug)]
pub struct Columns(pub [Str; 12]);

impl Default for Columns {
    fn default() -> Columns {
        Columns(
            [
                "time_stamp",
                "time_us",
                "callid",
                "traced_user",
                "msg",
                "method",
                "status",
                "fromip",
                "toip",
                "fromtag",
                "totag",
                "direction",
            ]
            .map(Str::from_static),
        )
    }
}

/// Writes rows; nobody waits for them.
pub struct Rows {
    database: Database,
    columns: Columns,
    fixed: Arc<Query>,
    made: Mutex<HashMap<Str, Arc<Query>>>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl Rows {
    /// Into this table.
    pub fn new(database: Database, table: &Str, columns: Columns, dropped: Counter) -> Rows {
        Rows {
            fixed: query(table, &columns),
            database,
            columns,
            made: Mutex::default(),
            waiting: Arc::default(),
            dropped,
        }
    }

    fn query(&self, table: Option<&Str>) -> Arc<Query> {
        let Some(table) = table else {
            return self.fixed.clone();
        };
        let mut made = self.made.lock();
        if let Some(known) = made.get(table) {
            return known.clone();
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let new = query(table, &self.columns);
        made.insert(table.detach(), new.clone());
        new
    }

    /// Writes a message, for nobody and once for each traced user.
    pub fn write(&self, shot: &Shot, order: &Order, local: Option<&Str>) {
        let Some(values) = values(shot, local) else {
            return;
        };
        let query = self.query(order.table.as_ref());
        // One row is for nobody, as in Kamailio.
        for user in std::iter::once(&Str::EMPTY).chain(&order.users) {
            let mut values = values.clone();
            if let Some(place) = values.get_mut(3) {
                *place = Value::Text(user.detach());
            }
            self.insert(&query, values);
        }
    }

    fn insert(&self, query: &Arc<Query>, values: Vec<Value>) {
        if self.waiting.fetch_add(1, Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.inc();
            return;
        }
        let (waiting, dropped) = (self.waiting.clone(), self.dropped.clone());
        self.database
            .run_later(Statement::Query(query.clone(), values), move |done| {
                waiting.fetch_sub(1, Relaxed);
                if let Err(error) = done {
                    dropped.inc();
                    kahea_module::info!("siptrace", "A traced message was not written: {error}.");
                }
            });
    }

    /// Waits until what was handed over is written, for a few seconds.
    pub fn finish(&self) {
        for _ in 0..250 {
            if self.waiting.load(Relaxed) == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn query(table: &Str, columns: &Columns) -> Arc<Query> {
    let names: Vec<_> = columns.0.iter().map(Str::text).collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    Query::insert(&table.text(), &names).build()
}

/// In the order of the columns, without the user. `None` for what is no SIP message.
fn values(shot: &Shot, local: Option<&Str>) -> Option<Vec<Value>> {
    let message = shot.message()?;
    let since = shot.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let status = message
        .status()
        .map(|status| status.to_string())
        .unwrap_or_default();
    let text = |text: Str| Value::Text(text.detach());
    let out = shot.direction == crate::shot::Direction::Out;
    let end = |own: bool, address| match local.filter(|_| own) {
        Some(local) => local.clone(),
        None => Str::from(end_text(shot.transport, address)),
    };
    Some(vec![
        Value::Time(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
        Value::Int(since.subsec_micros().into()),
        text(Str::copy(message.call_id().unwrap_or_default())),
        Value::Text(Str::EMPTY),
        text(shot.data.clone()),
        text(method(&message)),
        text(Str::from(status)),
        text(end(out, shot.from)),
        text(end(!out, shot.to)),
        text(tag(&message, HeaderId::From)),
        text(tag(&message, HeaderId::To)),
        Value::Text(Str::from_static(shot.direction.name())),
    ])
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn values_stand_in_the_order_of_the_columns() {
        let server = Server::default();
        let cx = server.invite();
        let values = values(&Shot::of(&cx), None).unwrap();
        assert_eq!(values.len(), Columns::default().0.len());
        let text = |at: usize| values[at].clone();
        assert_eq!(text(2), Value::Text(Str::from("a84b4c76e66710@127.0.0.1")));
        assert_eq!(text(5), Value::Text(Str::from("INVITE")));
        assert_eq!(text(7), Value::Text(Str::from("udp:127.0.0.1:5061")));
        assert_eq!(
            (text(9), text(10)),
            (Value::Text(Str::from("1928301774")), Value::Text(Str::EMPTY))
        );
        assert_eq!(text(11), Value::Text(Str::from("in")));
    }
}
