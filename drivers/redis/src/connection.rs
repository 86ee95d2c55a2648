//! A connection, and what queries become on it.
//!
//! A row is the hash `TABLE:entry::VALUE:VALUE`. Sets (or hashes) `TABLE:MAP::VALUE:VALUE` hold the keys of rows that
//! are alike in some columns, and `TABLE::index::MAP` the keys of those sets. A query looks rows up by the entry key or
//! by a map where its conditions name all of their columns; otherwise it goes through all rows of the table.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kahea_db::{BoxFuture, Connection, Done, Error, Kind as What, Op, Query, Sink, Statement, Value};
use kahea_module::Str;
use redis::{Pipeline, aio::MultiplexedConnection};

use crate::{
    driver::{Settings, of_statement},
    keys::{Keys, Map},
    row::{self, Fields, Test},
    schema::Columns,
};

/// Keys that are asked for at once when a table is gone through.
const SCANNED: usize = 500;

/// A connection.
pub(crate) struct Wire {
    connection: MultiplexedConnection,
    settings: Arc<Settings>,
    columns: HashMap<String, Arc<Columns>>,
}

/// Where rows that fit are found.
enum Lookup {
    /// Under this key.
    Entry(Vec<u8>),
    /// Under the keys that this one leads to.
    Map(Vec<u8>),
    /// Anywhere in the table.
    Everything,
}

/// A query on its table.
struct Asked<'a> {
    query: &'a Query,
    table: String,
    columns: Arc<Columns>,
    keys: Keys,
    tests: Vec<Test>,
    /// What is written, by column.
    written: Vec<(String, &'a Value)>,
}

impl Asked<'_> {
    /// The value that a condition demands of a column.
    fn demanded(&self, column: &str) -> Option<Vec<u8>> {
        let test = self
            .tests
            .iter()
            .find(|test| test.column == column && test.op == Op::Eq)?;
        row::to_field(&test.value)
    }

    /// `TABLE:NAME::VALUE:VALUE`, where all values are known.
    fn key(
        &self,
        name: &str,
        columns: &[String],
        value: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let mut key = format!("{}:{name}::", self.table).into_bytes();
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                key.push(b':');
            }
            key.extend(value(column)?);
        }
        Some(key)
    }

    /// Where rows that fit are found.
    fn lookup(&self) -> Lookup {
        let demanded = |column: &str| self.demanded(column);
        if !self.keys.entry.is_empty()
            && let Some(key) = self.key("entry", &self.keys.entry, demanded)
        {
            return Lookup::Entry(key);
        }
        let usable = |map: &Map| match map.columns.is_empty() {
            true => None,
            false => self.key(&map.name, &map.columns, demanded),
        };
        self.keys
            .maps
            .iter()
            .find_map(usable)
            .map_or(Lookup::Everything, Lookup::Map)
    }

    fn index(&self, map: &Map) -> String {
        format!("{}::index::{}", self.table, map.name)
    }

    fn fits(&self, fields: &Fields) -> bool {
        self.tests.iter().all(|test| test.fits(fields))
    }
}

fn refused<T>(why: String) -> Result<T, Error> {
    Err(Error::Refused(why))
}

impl Wire {
    pub(crate) fn new(connection: MultiplexedConnection, settings: Arc<Settings>) -> Wire {
        Wire {
            connection,
            settings,
            columns: HashMap::new(),
        }
    }

    fn asked<'a>(&mut self, query: &'a Query, values: &'a [Value]) -> Result<Asked<'a>, Error> {
        if values.len() != query.value_count() {
            return refused(format!(
                "the statement takes {} values, {} were given",
                query.value_count(),
                values.len()
            ));
        }
        let table = query.table().text().into_owned();
        let columns = match self.columns.get(&table) {
            Some(columns) => columns.clone(),
            None => {
                let unknown = || {
                    Error::Refused(format!(
                        "there is no table {table} in Kamailio's schema or schema_path"
                    ))
                };
                let columns = Arc::new(self.settings.columns(&table).ok_or_else(unknown)?);
                self.columns.insert(table.clone(), columns.clone());
                columns
            }
        };
        let missing = |name: String| Error::Refused(format!("table {table} has no column {name}"));
        let count = match query.kind() {
            What::Select | What::Delete => 0,
            _ => query.columns().len(),
        };
        let (written, tested) = values.split_at_checked(count).unwrap_or((values, &[]));
        let tests = row::tests(query, &columns, tested).map_err(missing)?;
        let named = query.columns().iter().map(|name| name.text().into_owned());
        if let Some(unknown) = named.clone().find(|name| row::kind_of(&columns, name).is_none()) {
            return Err(missing(unknown));
        }
        let keys = self.settings.keys.get(&table).cloned().unwrap_or_default();
        Ok(Asked {
            query,
            table,
            columns,
            keys,
            tests,
            written: named.zip(written).collect(),
        })
    }

    async fn send<T: redis::FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Error> {
        pipeline
            .query_async(&mut self.connection)
            .await
            .map_err(|problem| of_statement(&problem))
    }

    async fn perform(&mut self, query: &Query, values: &[Value], sink: &mut dyn Sink) -> Result<u64, Error> {
        let asked = self.asked(query, values)?;
        match query.kind() {
            What::Select => self.select(&asked, sink).await,
            What::Insert => self.add(&asked).await,
            What::Update => self.update(&asked).await,
            What::Delete => self.delete(&asked).await,
            What::Replace | What::Upsert => self.replace(&asked).await,
        }
    }

    /// The rows that fit, with their keys.
    async fn found(&mut self, asked: &Asked<'_>) -> Result<Vec<(Vec<u8>, Fields)>, Error> {
        let keys = match asked.lookup() {
            Lookup::Entry(key) => vec![key],
            Lookup::Map(key) => self.members(&key).await?,
            Lookup::Everything => self.scan(&asked.table).await?,
        };
        let mut found = Vec::new();
        for some in keys.chunks(SCANNED) {
            let mut pipeline = redis::pipe();
            for key in some {
                pipeline.cmd("HGETALL").arg(key);
            }
            let rows: Vec<Fields> = self.send(&pipeline).await?;
            for (key, fields) in some.iter().zip(rows) {
                if !fields.is_empty() && asked.fits(&fields) {
                    found.push((key.clone(), fields));
                }
            }
        }
        Ok(found)
    }

    async fn members(&mut self, key: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut pipeline = redis::pipe();
        pipeline
            .cmd(if self.settings.hashes { "HKEYS" } else { "SMEMBERS" })
            .arg(key);
        let mut all: Vec<Vec<Vec<u8>>> = self.send(&pipeline).await?;
        Ok(all.pop().unwrap_or_default())
    }

    /// All rows of a table.
    async fn scan(&mut self, table: &str) -> Result<Vec<Vec<u8>>, Error> {
        let pattern = format!("{table}:entry::*");
        // A key may come twice.
        let mut keys = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut pipeline = redis::pipe();
            pipeline
                .cmd("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(SCANNED);
            let mut answers: Vec<(String, Vec<Vec<u8>>)> = self.send(&pipeline).await?;
            let Some((next, some)) = answers.pop() else {
                break;
            };
            keys.extend(some);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        Ok(keys.into_iter().collect())
    }

    async fn select(&mut self, asked: &Asked<'_>, sink: &mut dyn Sink) -> Result<u64, Error> {
        let mut found = self.found(asked).await?;
        if let Some((column, descending)) = asked.query.order() {
            let column = column.text().into_owned();
            let Some(kind) = row::kind_of(&asked.columns, &column) else {
                return refused(format!("table {} has no column {column}", asked.table));
            };
            found.sort_by(|(_, one), (_, two)| {
                let value = |fields: &Fields| row::from_field(fields.get(&column), kind);
                let ordering = row::sorted(&value(one), &value(two), kind);
                if descending { ordering.reverse() } else { ordering }
            });
        }
        if let Some(most) = asked.query.most() {
            found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        }
        let shown: Vec<&(String, crate::schema::Kind)> = match asked.query.columns() {
            [] => asked.columns.iter().collect(),
            some => some
                .iter()
                .filter_map(|name| {
                    asked
                        .columns
                        .iter()
                        .find(|(known, _)| known.as_bytes() == name.as_bytes())
                })
                .collect(),
        };
        let names: Vec<Str> = shown.iter().map(|(name, _)| Str::from(name.as_str())).collect();
        sink.columns(&names);
        for (_, fields) in &found {
            sink.row(
                shown
                    .iter()
                    .map(|(name, kind)| row::from_field(fields.get(name), *kind))
                    .collect(),
            );
        }
        Ok(0)
    }

    /// The fields that are written, NULL among them.
    fn written(asked: &Asked<'_>) -> HashMap<String, Option<Vec<u8>>> {
        asked
            .written
            .iter()
            .map(|(name, value)| (name.clone(), row::to_field(value)))
            .collect()
    }

    fn entry_key(&self, asked: &Asked<'_>, fields: &Fields) -> Result<Vec<u8>, Error> {
        if asked.keys.entry.is_empty() {
            return refused(format!(
                "rows of table {} have no keys; write modparam(\"db_redis\", \"keys\", \"{0}=entry:COLUMN\")",
                asked.table
            ));
        }
        let key = asked.key("entry", &asked.keys.entry, |column| fields.get(column).cloned());
        let Some(key) = key else {
            let needed = asked.keys.entry.join(", ");
            return refused(format!(
                "the key of a row of table {} needs values for {needed}",
                asked.table
            ));
        };
        match self.settings.longest_key {
            Some(most) if key.len() > most => refused(format!(
                "a key of table {} is longer than max_key_length",
                asked.table
            )),
            _ => Ok(key),
        }
    }

    /// Leads a row's maps to it.
    fn map(&self, asked: &Asked<'_>, entry: &[u8], fields: &Fields, pipeline: &mut Pipeline) {
        for map in &asked.keys.maps {
            let Some(key) = asked.key(&map.name, &map.columns, |column| fields.get(column).cloned()) else {
                continue;
            };
            if self.settings.hashes {
                pipeline
                    .cmd("HSET")
                    .arg(&key)
                    .arg(entry)
                    .arg(self.settings.hash_value.as_bytes())
                    .ignore();
                if let Some(seconds) = self.settings.hash_expires {
                    pipeline
                        .cmd("HEXPIRE")
                        .arg(&key)
                        .arg(seconds)
                        .arg("FIELDS")
                        .arg(1)
                        .arg(entry)
                        .ignore();
                }
            } else {
                pipeline.cmd("SADD").arg(&key).arg(entry).ignore();
            }
            pipeline.cmd("SADD").arg(asked.index(map)).arg(&key).ignore();
        }
    }

    /// Takes a row out of its maps; gives the maps that may be empty now, with their index.
    fn unmap(
        &self,
        asked: &Asked<'_>,
        entry: &[u8],
        fields: &Fields,
        pipeline: &mut Pipeline,
    ) -> Vec<(Vec<u8>, String)> {
        let mut left = Vec::new();
        for map in &asked.keys.maps {
            let key = asked.key(&map.name, &map.columns, |column| fields.get(column).cloned());
            if let Some(key) = key {
                pipeline
                    .cmd(if self.settings.hashes { "HDEL" } else { "SREM" })
                    .arg(&key)
                    .arg(entry)
                    .ignore();
                left.push((key, asked.index(map)));
            }
        }
        left
    }

    /// Takes empty maps out of their index.
    async fn tidy(&mut self, left: Vec<(Vec<u8>, String)>) -> Result<(), Error> {
        if left.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for (key, _) in &left {
            pipeline.cmd("EXISTS").arg(key);
        }
        let there: Vec<i64> = self.send(&pipeline).await?;
        let mut pipeline = redis::pipe();
        let mut empty = 0usize;
        for ((key, index), _) in left.iter().zip(there).filter(|(_, there)| *there == 0) {
            pipeline.cmd("SREM").arg(index).arg(key).ignore();
            empty = empty.saturating_add(1);
        }
        match empty {
            0 => Ok(()),
            _ => self.send(&pipeline).await,
        }
    }

    /// Adds a row. As with Kamailio, one with the same entry key is overwritten.
    async fn add(&mut self, asked: &Asked<'_>) -> Result<u64, Error> {
        let written = Self::written(asked);
        let fields: Fields = written
            .into_iter()
            .filter_map(|(name, field)| Some((name, field?)))
            .collect();
        let entry = self.entry_key(asked, &fields)?;
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let command = pipeline.cmd("HSET").arg(&entry);
        for (name, field) in &fields {
            command.arg(name).arg(field);
        }
        command.ignore();
        self.map(asked, &entry, &fields, &mut pipeline);
        let () = self.send(&pipeline).await?;
        Ok(1)
    }

    async fn update(&mut self, asked: &Asked<'_>) -> Result<u64, Error> {
        let found = self.found(asked).await?;
        let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
        for (entry, fields) in found {
            self.change(asked, entry, fields).await?;
        }
        Ok(count)
    }

    async fn change(&mut self, asked: &Asked<'_>, entry: Vec<u8>, before: Fields) -> Result<(), Error> {
        let mut after = before.clone();
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let written = Self::written(asked);
        let moves = asked.keys.entry.iter().any(|column| written.contains_key(column));
        let mapped = |map: &Map| map.columns.iter().any(|column| written.contains_key(column));
        let remaps = moves || asked.keys.maps.iter().any(mapped);
        let left = if remaps {
            self.unmap(asked, &entry, &before, &mut pipeline)
        } else {
            Vec::new()
        };
        for (name, field) in written {
            match field {
                Some(field) => {
                    pipeline.cmd("HSET").arg(&entry).arg(&name).arg(&field).ignore();
                    after.insert(name, field);
                }
                None => {
                    pipeline.cmd("HDEL").arg(&entry).arg(&name).ignore();
                    after.remove(&name);
                }
            }
        }
        let moved = if moves {
            self.entry_key(asked, &after)?
        } else {
            entry.clone()
        };
        if moved != entry {
            pipeline.cmd("RENAME").arg(&entry).arg(&moved).ignore();
        }
        if remaps {
            self.map(asked, &moved, &after, &mut pipeline);
        }
        let () = self.send(&pipeline).await?;
        self.tidy(left).await
    }

    async fn delete(&mut self, asked: &Asked<'_>) -> Result<u64, Error> {
        let found = self.found(asked).await?;
        for some in found.chunks(SCANNED) {
            let mut pipeline = redis::pipe();
            pipeline.atomic();
            let mut left = Vec::new();
            for (entry, fields) in some {
                pipeline.cmd("DEL").arg(entry).ignore();
                left.extend(self.unmap(asked, entry, fields, &mut pipeline));
            }
            let () = self.send(&pipeline).await?;
            self.tidy(left).await?;
        }
        Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
    }

    /// Changes the row with the same entry key, or adds one.
    async fn replace(&mut self, asked: &Asked<'_>) -> Result<u64, Error> {
        let written = Self::written(asked);
        let fields: Fields = written
            .into_iter()
            .filter_map(|(name, field)| Some((name, field?)))
            .collect();
        let entry = self.entry_key(asked, &fields)?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(&entry);
        let mut there: Vec<Fields> = self.send(&pipeline).await?;
        match there.pop().filter(|fields| !fields.is_empty()) {
            Some(before) => {
                self.change(asked, entry, before).await?;
                Ok(1)
            }
            None => self.add(asked).await,
        }
    }

    async fn ask(&mut self, word: &str) -> Result<(), Error> {
        let mut pipeline = redis::pipe();
        pipeline.cmd(word).ignore();
        self.send(&pipeline).await
    }
}

impl Connection for Wire {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            match statement {
                Statement::Query(query, values) => {
                    let affected = self.perform(query, values, sink).await?;
                    Ok(Done {
                        affected,
                        last_id: None,
                    })
                }
                Statement::Sql(..) => Err(Error::Unsupported(
                    "SQL: it is db_redis; ndb_redis runs Redis commands",
                )),
            }
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.ask("PING"))
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        // Each statement is whole by itself; several are not.
        Box::pin(async { Ok(()) })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }
}
