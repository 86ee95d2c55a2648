//! Tables and the database: loading at start, reloading, writing back.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use kahea_db::{Database, Error, Query, Row, Statement, Value as DbValue};
use kahea_module::{Env, InitError, Str, Value, config::Shared, warning};
use parking_lot::Mutex;

use super::{
    contents::{Item, Moment},
    table::Table,
};

/// The longest that loading a table may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names of columns, and what is loaded and stored besides key and value.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub key_name: Str,
    pub key_type: Str,
    pub value_type: Str,
    pub key_value: Str,
    pub expires: Str,
    pub array_suffix: Str,
    /// Moments of expiry are loaded and stored.
    pub with_expires: bool,
}

/// The database of the module.
#[derive(Clone)]
pub(super) struct Store {
    database: Database,
    layout: Arc<Layout>,
    /// When moments began to be counted, in both clocks.
    origin: (Instant, SystemTime),
}

/// An item on its way between table and database.
pub(super) type Loaded = Vec<(Str, Value, Moment)>;

const STRING: i64 = 0;
const NUMBER: i64 = 1;
const ARRAY: i64 = 1;

impl Store {
    /// Opens it.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn open(env: &Env<'_>, url: &str, layout: Layout) -> Result<Store, InitError> {
        Ok(Store {
            database: Database::open(env, url)?,
            layout: Arc::new(layout),
            origin: origin(&env.shared),
        })
    }

    fn query(&self, table: &Table, name: &Str) -> Arc<Query> {
        let cols: Vec<_> = table.definition.cols.iter().map(Str::text).collect();
        let layout = &self.layout;
        let own = [
            &layout.key_name,
            &layout.key_type,
            &layout.value_type,
            &layout.key_value,
            &layout.expires,
        ]
        .map(Str::text);
        let names: Vec<&str> = match cols.as_slice() {
            [] => {
                let count = if self.layout.with_expires { 5 } else { 4 };
                own.iter().take(count).map(|name| &**name).collect()
            }
            cols => cols.iter().map(|name| &**name).collect(),
        };
        Query::select(&name.text(), &names).build()
    }

    /// Fills a table while this thread stands still.
    ///
    /// # Errors
    /// The database cannot be asked, or has no such table.
    pub fn load(&self, table: &Arc<Table>) -> Result<(), InitError> {
        let Some(name) = &table.definition.dbtable else {
            return Ok(());
        };
        let reader = Arc::new(Mutex::new(Reader::new(self.clone(), table.clone())));
        let each = reader.clone();
        self.database
            .load(&self.query(table, name), Vec::new(), PATIENCE, move |row| {
                each.lock().read(&row)
            })
            .map_err(|error| {
                InitError::new(format!(
                    "table {} cannot be loaded from {name}: {error}",
                    table.name()
                ))
                .help("correct dbtable and the columns, or make the table with `kahea db create URL`")
            })?;
        let loaded = std::mem::take(&mut *reader.lock()).finish();
        table.contents.replace_with(loaded, self.now());
        Ok(())
    }

    /// Reads a table anew.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn reload(&self, table: &Arc<Table>, name: &Str) -> Result<(), Error> {
        let rows = self.database.run(&self.query(table, name), Vec::new()).await?;
        let mut reader = Reader::new(self.clone(), table.clone());
        for row in &rows.rows {
            reader.read(row);
        }
        table.contents.replace_with(reader.finish(), self.now());
        Ok(())
    }

    /// Writes a table.
    ///
    /// # Errors
    /// The database refuses; it then holds what it held before, where it has transactions.
    pub async fn save(&self, table: &Table, name: &Str) -> Result<(), Error> {
        self.database
            .run_all(self.statements(table, name))
            .await
            .map(drop)
    }

    /// The same while this thread stands still.
    pub fn save_at_end(&self, table: &Table) {
        let Some(name) = &table.definition.dbtable else {
            return;
        };
        if let Err(error) = self.database.run_all_blocking(self.statements(table, name)) {
            warning!(
                "htable",
                "Table {} was not written to {name}: {error}.",
                table.name()
            );
        }
    }

    fn statements(&self, table: &Table, name: &Str) -> Vec<Statement> {
        let text = name.text();
        let layout = &self.layout;
        let columns = [
            &layout.key_name,
            &layout.key_type,
            &layout.value_type,
            &layout.key_value,
            &layout.expires,
        ]
        .map(Str::text);
        let columns: Vec<&str> = columns.iter().map(|name| &**name).collect();
        let insert = Query::insert(&text, &columns).build();
        let delete = Statement::Query(Query::delete(&text).build(), Vec::new());
        let items = table.contents.all(self.now());
        let rows = items
            .into_iter()
            .map(|item| Statement::Query(insert.clone(), self.row(item)));
        std::iter::once(delete).chain(rows).collect()
    }

    fn row(&self, item: Item) -> Vec<DbValue> {
        let kind = if matches!(item.value, Value::Int(_)) {
            NUMBER
        } else {
            STRING
        };
        let expires = match (self.layout.with_expires, item.expires) {
            (false, _) | (true, 0) => 0,
            (true, moment) => self.unix(moment),
        };
        vec![
            DbValue::Text(item.key),
            DbValue::Int(0),
            DbValue::Int(kind),
            DbValue::Text(item.value.str_or_empty()),
            DbValue::Int(expires),
        ]
    }

    /// The moment of now, where no message tells it.
    pub fn now(&self) -> Moment {
        #[expect(
            clippy::disallowed_methods,
            reason = "at start and at the end no message runs that would bring the time"
        )]
        let since = Instant::now().saturating_duration_since(self.origin.0);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn unix(&self, moment: Moment) -> i64 {
        let time = self.origin.1.checked_add(Duration::from_millis(moment));
        let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
    }

    /// The moment of a time in seconds since 1970; `None` where it was before the server started.
    fn moment(&self, unix: i64) -> Option<Moment> {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(unix).ok()?))?;
        let since = time.duration_since(self.origin.1).ok()?;
        u64::try_from(since.as_millis()).ok()
    }
}

fn origin(shared: &Shared) -> (Instant, SystemTime) {
    (shared.started_at, shared.started)
}

/// Makes items of rows.
#[derive(Default)]
struct Reader {
    of: Option<(Store, Arc<Table>)>,
    items: Loaded,
    /// How many elements each array has so far.
    arrays: HashMap<Str, i64>,
    now: Moment,
}

impl Reader {
    fn new(store: Store, table: Arc<Table>) -> Reader {
        Reader {
            now: store.now(),
            of: Some((store, table)),
            ..Reader::default()
        }
    }

    fn read(&mut self, row: &Row) {
        let Some((store, table)) = self.of.clone() else {
            return;
        };
        let expires = table.default_moment(self.now);
        let item = match table.definition.cols.is_empty() {
            false => packed(&table, row).map(|(key, value)| (key, value, expires)),
            true => self.own(&store, &table, row, expires),
        };
        self.items.extend(item);
    }

    /// A row of the table that the module's parameters describe.
    fn own(
        &mut self,
        store: &Store,
        table: &Table,
        row: &Row,
        default: Moment,
    ) -> Option<(Str, Value, Moment)> {
        let [name, key_type, value_type, value, rest @ ..] = row.as_slice() else {
            return None;
        };
        let expires = match rest.first().and_then(DbValue::int) {
            Some(unix) if unix > 0 && !table.is_lasting() => {
                store.moment(unix).filter(|moment| *moment > self.now)?
            }
            _ => default,
        };
        let name = name.text()?;
        let value = match value_type.int() {
            Some(NUMBER) => Value::Int(value.int().or_else(|| {
                warning!(
                    "htable",
                    "Key {name} of table {} has no number as its value.",
                    table.name()
                );
                None
            })?),
            _ => Value::Str(value.text()?),
        };
        if key_type.int() != Some(ARRAY) {
            return Some((name, value, expires));
        }
        let count = self.arrays.entry(name.clone()).or_default();
        let key = Str::from(format!("{name}[{count}]"));
        *count = count.saturating_add(1);
        Some((key, value, expires))
    }

    /// With the keys that tell how long arrays are.
    fn finish(mut self) -> Loaded {
        let Some((store, table)) = self.of else {
            return self.items;
        };
        let expires = table.default_moment(self.now);
        let suffix = &store.layout.array_suffix;
        let counts = self.arrays.into_iter();
        self.items.extend(
            counts.map(|(name, count)| (Str::from(format!("{name}{suffix}")), Value::Int(count), expires)),
        );
        self.items
    }
}

/// A row of a table with `cols`: one value keeps its type, several become one text with commas.
fn packed(table: &Table, row: &Row) -> Option<(Str, Value)> {
    let null = &table.definition.colnull;
    let (key, values) = row.split_first()?;
    let key = key.text()?;
    let text = |value: &DbValue| value.text().unwrap_or_else(|| null.clone());
    Some(match values {
        [DbValue::Int(n)] => (key, Value::Int(*n)),
        [one] => (key, Value::Str(text(one))),
        many => {
            let parts: Vec<Str> = many.iter().map(text).collect();
            let joined = parts
                .iter()
                .map(|part| part.as_bytes())
                .collect::<Vec<_>>()
                .join(&b',');
            (key, Value::Str(Str::from(joined)))
        }
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::{Rows, testing::fake};

    use super::*;
    use crate::htable::tests::htable;

    fn store(answer: Rows) -> (Store, Arc<Mutex<Vec<Statement>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let database = fake(move |statement| {
            log.lock().push(statement.clone());
            Ok(answer.clone())
        });
        #[expect(clippy::disallowed_methods, reason = "an origin for the test")]
        let origin = (Instant::now(), SystemTime::now());
        let layout = Layout {
            key_name: Str::from("key_name"),
            key_type: Str::from("key_type"),
            value_type: Str::from("value_type"),
            key_value: Str::from("key_value"),
            expires: Str::from("expires"),
            array_suffix: Str::from("::size"),
            with_expires: true,
        };
        let store = Store {
            database,
            layout: Arc::new(layout),
            origin,
        };
        (store, seen)
    }

    fn text(table: &Table, key: &str, now: Moment) -> String {
        let key = Str::from(key);
        table.get(table.contents.key(&key), now).to_string()
    }

    #[test]
    fn arrays_numbers_and_moments_are_loaded() {
        let row = |key: &str, array: i64, number: i64, value: &str, expires: i64| -> Row {
            vec![
                key.into(),
                array.into(),
                number.into(),
                value.into(),
                expires.into(),
            ]
        };
        let rows = vec![
            row("plain", 0, 0, "text", 0),
            row("arr", 1, 0, "a", 0),
            row("other", 1, 0, "x", 0),
            row("arr", 1, 1, "2", 0),
            row("bad", 0, 1, "no number", 0),
            row("past", 0, 0, "gone", 1000),
            row("late", 0, 0, "there", 4_000_000_000),
        ];
        let (store, _) = store(Rows::from(rows));
        let m = htable(&["a=>size=4;autoexpire=100;dbtable=htable"]);
        let table = &m.tables[0];
        store.load(table).expect("it loads");
        let now = store.now();
        let found = [
            "plain",
            "arr[0]",
            "arr[1]",
            "arr::size",
            "other[0]",
            "other::size",
            "bad",
            "past",
            "late",
        ]
        .map(|key| text(table, key, now));
        assert_eq!(
            found,
            ["text", "a", "2", "2", "x", "1", "<null>", "<null>", "there"]
        );
        let plain = Str::from("plain");
        assert_eq!(table.remaining(table.contents.key(&plain), now), 100);
        let late = Str::from("late");
        assert!(table.remaining(table.contents.key(&late), now) > 1_000_000);
    }

    #[test]
    fn columns_are_packed() {
        let rows = vec![
            vec!["k1".into(), "a".into(), DbValue::Int(1), DbValue::Null],
            vec![DbValue::Null, "b".into(), DbValue::Int(2), "c".into()],
        ];
        let (store, _) = store(Rows::from(rows));
        let m = htable(&["a=>size=4;dbtable=t;cols='k,v1,v2,v3';colnull='-'"]);
        store.load(&m.tables[0]).expect("it loads");
        assert_eq!(text(&m.tables[0], "k1", store.now()), "a,1,-");
        assert_eq!(m.tables[0].contents.all(store.now()).len(), 1);
    }

    #[test]
    fn everything_is_written_with_its_type_and_moment() {
        let (store, seen) = store(Rows::default());
        let m = htable(&["a=>size=4;autoexpire=100;dbtable=htable;dbmode=1"]);
        let table = &m.tables[0];
        let key = Str::from("it's");
        table.set(table.contents.key(&key), Value::from("a'b"), store.now());
        store.save_at_end(table);
        let seen = seen.lock();
        let [Statement::Query(delete, _), Statement::Query(insert, values)] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!(delete.kind(), kahea_db::Kind::Delete);
        assert_eq!(insert.kind(), kahea_db::Kind::Insert);
        assert_eq!(
            values[..4],
            ["it's".into(), DbValue::Int(0), DbValue::Int(0), "a'b".into()]
        );
        assert!(values[4].int().expect("a time") > 1_700_000_000);
    }
}
