//! Records as rows of database tables.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kahea_db::{Database, Query, Statement, Value};
use kahea_module::{Cx, Fault, Format, Str, error};
use parking_lot::{Condvar, Mutex};

use super::{Backend, Event, Extras, Legs, Record, TimeMode};

/// Queries for tables whose names are made at run time; more of them are made again and again.
const KEPT: usize = 128;

/// The names of the columns that every table of records has.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The method.
    pub method: Str,
    /// The tag in From.
    pub from_tag: Str,
    /// The tag in To.
    pub to_tag: Str,
    /// Call-ID.
    pub call_id: Str,
    /// The status.
    pub code: Str,
    /// The reason phrase.
    pub reason: Str,
    /// When.
    pub time: Str,
}

impl Default for Columns {
    fn default() -> Columns {
        Columns {
            method: Str::from_static("method"),
            from_tag: Str::from_static("from_tag"),
            to_tag: Str::from_static("to_tag"),
            call_id: Str::from_static("callid"),
            code: Str::from_static("sip_code"),
            reason: Str::from_static("sip_reason"),
            time: Str::from_static("time"),
        }
    }
}

/// A table of records.
pub struct Table {
    name: Format,
    fixed: Option<Arc<Query>>,
}

/// Counts records that are not written yet, so that the end of the server can wait for them.
#[derive(Default)]
pub struct Pending {
    count: Mutex<usize>,
    none: Condvar,
}

impl Pending {
    fn begin(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_add(1);
    }

    fn end(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.none.notify_all();
        }
    }

    /// Waits until all are written, or for that long; says how many are not. Stands still meanwhile.
    pub fn wait(&self, most: Duration) -> usize {
        let mut count = self.count.lock();
        self.none.wait_while_for(&mut count, |count| *count > 0, most);
        *count
    }
}

/// Writes each record as a row, or as one for each leg.
pub struct Rows {
    database: Database,
    flag: u32,
    missed_flag: u32,
    answered: Table,
    missed: Table,
    layout: Layout,
    /// For tables whose names have variables.
    made: Mutex<HashMap<Str, Arc<Query>>>,
    pending: Arc<Pending>,
}

/// What stands in which column.
pub struct Layout {
    /// Those of every record.
    pub columns: Columns,
    /// Further values.
    pub extras: Extras,
    /// A further value that is `$null` is written as NULL, not as an empty text.
    pub nullable: bool,
    /// How else the time is written.
    pub time: TimeMode,
    /// The column of the second time.
    pub time_attr: Str,
    /// The column of the microseconds.
    pub time_exten: Str,
    /// The names of the columns of legs.
    pub legs: Vec<Str>,
}

impl Layout {
    fn query(&self, table: &str) -> Arc<Query> {
        let columns = &self.columns;
        let mut names = vec![
            columns.method.text(),
            columns.from_tag.text(),
            columns.to_tag.text(),
            columns.call_id.text(),
            columns.code.text(),
            columns.reason.text(),
            columns.time.text(),
        ];
        match self.time {
            TimeMode::Plain => {}
            TimeMode::Micros => names.extend([self.time_attr.text(), self.time_exten.text()]),
            TimeMode::Millis | TimeMode::Local(_) | TimeMode::Utc(_) => names.push(self.time_attr.text()),
        }
        names.extend(self.extras.names().map(Str::text));
        names.extend(self.legs.iter().map(Str::text));
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        Query::insert(table, &names).build()
    }

    /// The values of each row, in the order of the columns.
    fn values(&self, cx: &mut Cx, record: &Record, legs: &Legs) -> Vec<Vec<Value>> {
        let text = |text: &Str| Value::Text(text.detach());
        let mut values = vec![
            text(&record.method),
            text(&record.from_tag),
            text(&record.to_tag),
            text(&record.call_id),
            text(&record.code),
            text(&record.reason),
            Value::Time(record.at.seconds),
        ];
        match &self.time {
            TimeMode::Plain => {}
            TimeMode::Micros => {
                values.extend([Value::Int(record.at.seconds), Value::Int(record.at.micros.into())]);
            }
            TimeMode::Millis => values.push(Value::Real(record.at.fraction())),
            mode @ (TimeMode::Local(_) | TimeMode::Utc(_)) => {
                values.push(Value::Text(mode.text(record.at).unwrap_or_default().into()));
            }
        }
        for (_, value) in self.extras.values(cx) {
            values.push(self.extra(value));
        }
        if legs.is_empty() {
            return vec![values];
        }
        let with_leg = |leg: Vec<kahea_module::Value>| {
            let leg = leg.into_iter().map(|value| self.extra(value));
            values.iter().cloned().chain(leg).collect()
        };
        legs.rows(cx).into_iter().map(with_leg).collect()
    }

    fn extra(&self, value: kahea_module::Value) -> Value {
        match value {
            kahea_module::Value::Null if self.nullable => Value::Null,
            kahea_module::Value::Int(n) => Value::Int(n),
            value => Value::Text(value.str_or_empty().detach()),
        }
    }
}

impl Rows {
    /// Under these flags, into these tables.
    pub fn new(
        database: Database,
        (flag, missed_flag): (u32, u32),
        (answered, missed): (Format, Format),
        layout: Layout,
    ) -> Rows {
        let table = |name: Format| Table {
            fixed: name.as_constant().map(|text| layout.query(&text.text())),
            name,
        };
        Rows {
            answered: table(answered),
            missed: table(missed),
            database,
            flag,
            missed_flag,
            layout,
            made: Mutex::default(),
            pending: Arc::default(),
        }
    }

    /// Records that are not written yet.
    pub fn pending(&self) -> Arc<Pending> {
        self.pending.clone()
    }

    /// The query that writes into a table named at run time.
    fn query(&self, table: &Str) -> Arc<Query> {
        let mut made = self.made.lock();
        if let Some(known) = made.get(table) {
            return known.clone();
        }
        if made.len() >= KEPT {
            made.clear();
        }
        let query = self.layout.query(&table.text());
        made.insert(table.detach(), query.clone());
        query
    }

    /// The statements that write a record into a table named by the script.
    ///
    /// # Errors
    /// The table has no name.
    pub fn statements(
        &self,
        cx: &mut Cx,
        table: &Str,
        record: &Record,
        legs: &Legs,
    ) -> Result<Vec<Statement>, Fault> {
        if table.is_empty() {
            return Err(Fault::script("the name of the table is empty"));
        }
        let query = self.query(table);
        Ok(self.filled(cx, &query, record, legs))
    }

    fn filled(&self, cx: &mut Cx, query: &Arc<Query>, record: &Record, legs: &Legs) -> Vec<Statement> {
        let rows = self.layout.values(cx, record, legs).into_iter();
        rows.map(|values| Statement::Query(query.clone(), values))
            .collect()
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Backend for Rows {
    fn flag(&self) -> u32 {
        self.flag
    }

    fn missed_flag(&self) -> u32 {
        self.missed_flag
    }

    fn account(&self, cx: &mut Cx, event: Event, record: &Record, legs: &Legs) {
        let table = match event {
            Event::Missed => &self.missed,
            Event::Answered | Event::Acknowledged | Event::Requested => &self.answered,
        };
        let query = match &table.fixed {
            Some(query) => query.clone(),
            None => {
                let name = table.name.text(cx);
                self.query(&name)
            }
        };
        let statements = self.filled(cx, &query, record, legs);
        let call_id = record.call_id.detach();
        let pending = self.pending.clone();
        pending.begin();
        self.database.run_all_later(statements, move |answer| {
            pending.end();
            if let Err(error) = answer {
                error!(
                    "acc",
                    "The record of call {call_id} was not written to {}: {error}.",
                    query.table()
                );
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use kahea_db::testing::fake;
    use kahea_module::testing::{FakeBind, Server};

    use super::*;
    use crate::acc::record::Result;

    fn rows(nullable: bool, database: Database) -> Rows {
        let layout = Layout {
            columns: Columns::default(),
            extras: Extras::parse("db_extra", "a=$var(a);b=$var(b)", 64, &FakeBind::default()).unwrap(),
            nullable,
            time: TimeMode::Millis,
            time_attr: "t".into(),
            time_exten: "x".into(),
            legs: Vec::new(),
        };
        let tables = (Format::constant("acc"), Format::constant("missed_calls"));
        Rows::new(database, (1, 2), tables, layout)
    }

    #[test]
    fn a_row_has_the_fixed_columns_then_times_then_further_ones() {
        let (sender, receiver) = mpsc::channel();
        let database = fake(move |statement| {
            if let Statement::Query(query, values) = statement {
                let _ = sender.send((query.table().clone(), query.columns().to_vec(), values.clone()));
            }
            Ok(kahea_db::Rows::default())
        });
        let mut cx = Server::default().invite();
        cx.vars = vec![kahea_module::Value::Null, kahea_module::Value::Int(7)];
        let record = Record::of(&cx, &Result::own(404, None), false).unwrap();
        rows(true, database).account(&mut cx, Event::Missed, &record, &Legs::default());
        let (table, columns, values) = receiver.recv().unwrap();
        assert_eq!(table, "missed_calls");
        let names: Vec<_> = columns.iter().map(|name| name.text().into_owned()).collect();
        assert_eq!(
            names,
            [
                "method",
                "from_tag",
                "to_tag",
                "callid",
                "sip_code",
                "sip_reason",
                "time",
                "t",
                "a",
                "b"
            ]
        );
        assert_eq!(values.get(6), Some(&Value::Time(1_767_225_600)));
        assert_eq!(values.get(8..), Some([Value::Null, Value::Int(7)].as_slice()));
    }

    #[test]
    fn the_end_waits_for_rows_but_not_for_ever() {
        let pending = Arc::new(Pending::default());
        assert_eq!(pending.wait(Duration::ZERO), 0);
        pending.begin();
        assert_eq!(pending.wait(Duration::from_millis(1)), 1);
        let writer = pending.clone();
        let thread = std::thread::spawn(move || writer.end());
        assert_eq!(pending.wait(Duration::from_secs(60)), 0);
        thread.join().unwrap();
    }

    #[test]
    fn null_is_an_empty_text_unless_it_may_be_null() {
        let database = fake(|_| Ok(kahea_db::Rows::default()));
        let rows = rows(false, database);
        assert_eq!(rows.layout.extra(kahea_module::Value::Null), Value::from(""));
    }

    #[test]
    fn tables_of_the_script_are_known_again() {
        let rows = rows(false, fake(|_| Ok(kahea_db::Rows::default())));
        assert_eq!(rows.query(&"a".into()).id(), rows.query(&"a".into()).id());
        (0..1000).for_each(|n| drop(rows.query(&Str::from(format!("t{n}")))));
        assert!(rows.made.lock().len() <= KEPT);
    }
}
