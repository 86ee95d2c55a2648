//! Location tables spread over several databases, each row in two of them.
//!
//! A table of the master database (`locdb`) names the databases by group. The checksum of an address of record chooses
//! its group; rows are written to both databases of the group and read from one. A database that fails too often is
//! turned off there, for all servers; the timer turns it on again once it answers, and it is read again once every
//! contact had the time to be written to it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering::Relaxed},
    },
};

use kahea_db::{BoxFuture, Database, Databases, Error, Limits, Query, Row, Value};
use kahea_module::{Str, config::Shared, error, notice};
use parking_lot::RwLock;

use super::crc::crc32;
use crate::usrloc::{Backend, Contact, Count, Layout, Store, Unwritten};

/// The names of the master table and its columns.
#[derive(Clone, Debug)]
pub(super) struct Master {
    pub table: Str,
    pub id: Str,
    pub number: Str,
    pub url: Str,
    pub status: Str,
    pub failover: Str,
    pub spare: Str,
    pub errors: Str,
    pub risk: Str,
}

impl Default for Master {
    fn default() -> Master {
        let name = Str::from_static;
        Master {
            table: name("locdb"),
            id: name("id"),
            number: name("no"),
            url: name("url"),
            status: name("status"),
            failover: name("failover"),
            spare: name("spare"),
            errors: name("errors"),
            risk: name("rg"),
        }
    }
}

/// Whether a database is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It failed; the timer tries it again.
    Off,
    /// It is in use.
    On,
    /// Somebody took it out of use.
    Maintenance,
}

impl Status {
    fn from_number(number: i64) -> Status {
        match number {
            1 => Status::On,
            2 => Status::Maintenance,
            _ => Status::Off,
        }
    }
}

/// The second that Kamailio writes where a database has never failed.
const NEVER: i64 = 0;

/// A database of the cluster.
pub(super) struct Node {
    id: i64,
    number: i64,
    status: Status,
    /// When it was turned off or on; [`NEVER`] where all is as it should be.
    failover: i64,
    spare: bool,
    risk: i64,
    errors: AtomicI64,
    store: Store,
}

impl Node {
    /// It has had the time to hear of every contact since it was turned on.
    fn is_complete(&self, now: i64, expire_time: i64) -> bool {
        self.failover <= NEVER.saturating_add(86_400) || self.failover.saturating_add(expire_time) <= now
    }
}

/// What changes at run time.
#[derive(Debug, Default)]
pub(super) struct Tuning {
    pub expire_time: AtomicI64,
    pub threshold: AtomicI64,
    pub failover_level: AtomicI64,
    /// Seconds since 1970, as of the last timer.
    pub now: AtomicU32,
}

/// The cluster.
pub(super) struct Cluster {
    pub master: Master,
    pub read: Database,
    pub write: Option<Database>,
    /// `write_on_db`.
    pub writes: bool,
    /// `use_domain_crc32`.
    pub domain_counts: bool,
    pub layout: Layout,
    pub tuning: Tuning,
    pub databases: Arc<Databases>,
    pub shared: Arc<Shared>,
    nodes: RwLock<Arc<Vec<Arc<Node>>>>,
}

/// What a [`Cluster`] is made of.
pub(super) struct Parts {
    pub master: Master,
    pub read: Database,
    pub write: Option<Database>,
    pub writes: bool,
    pub domain_counts: bool,
    pub layout: Layout,
    pub tuning: Tuning,
    pub databases: Arc<Databases>,
    pub shared: Arc<Shared>,
}

impl Cluster {
    pub fn new(parts: Parts) -> Cluster {
        Cluster {
            master: parts.master,
            read: parts.read,
            write: parts.write,
            writes: parts.writes,
            domain_counts: parts.domain_counts,
            layout: parts.layout,
            tuning: parts.tuning,
            databases: parts.databases,
            shared: parts.shared,
            nodes: RwLock::default(),
        }
    }

    /// The query for the master table.
    pub fn query(&self) -> Query {
        let master = &self.master;
        let columns = [
            &master.id,
            &master.number,
            &master.url,
            &master.status,
            &master.errors,
            &master.failover,
            &master.spare,
            &master.risk,
        ];
        let names = columns.map(|name| name.text());
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        Query::select(&master.table.text(), &names)
    }

    /// Takes the rows of the master table as what there is; how many databases that are.
    pub fn take(&self, rows: Vec<Row>) -> usize {
        let before: HashMap<(i64, i64), Arc<Node>> = {
            let nodes = self.nodes.read();
            nodes
                .iter()
                .map(|node| ((node.id, node.number), node.clone()))
                .collect()
        };
        let mut nodes: Vec<Arc<Node>> = rows.iter().filter_map(|row| self.node(row, &before)).collect();
        nodes.sort_by_key(|node| (node.id, node.number));
        let count = nodes.len();
        *self.nodes.write() = Arc::new(nodes);
        count
    }

    fn node(&self, row: &Row, before: &HashMap<(i64, i64), Arc<Node>>) -> Option<Arc<Node>> {
        let [id, number, url, status, errors, failover, spare, risk] = &**row else {
            return None;
        };
        let (id, number) = (id.int()?, number.int()?);
        let url = url.text()?;
        let database = self
            .databases
            .open_later(&url.text(), Limits::default(), &self.shared.stats)
            .map_err(|error| {
                error!(
                    "p_usrloc",
                    "Database {number} of group {id} cannot be used: {error}."
                );
            })
            .ok()?;
        let known = before
            .get(&(id, number))
            .map_or(0, |node| node.errors.load(Relaxed));
        Some(Arc::new(Node {
            id,
            number,
            status: Status::from_number(status.int().unwrap_or(0)),
            failover: failover.time().unwrap_or(NEVER),
            spare: spare.int().unwrap_or(0) != 0,
            risk: risk.int().unwrap_or(0),
            errors: AtomicI64::new(errors.int().unwrap_or(0).max(known)),
            store: Store::new(database, self.layout.clone()),
        }))
    }

    /// The two databases of the group of an address of record; fewer where there are not so many.
    fn of_aor(&self, aor: &[u8]) -> Vec<Arc<Node>> {
        let key = match aor.iter().rposition(|byte| *byte == b'@') {
            Some(at) if !self.domain_counts => aor.get(..at).unwrap_or_default(),
            _ => aor,
        };
        let nodes = self.nodes.read().clone();
        let mut groups: Vec<i64> = nodes
            .iter()
            .filter(|node| !node.spare)
            .map(|node| node.id)
            .collect();
        groups.dedup();
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let Some(at) = crc32(key).checked_rem(count) else {
            return Vec::new();
        };
        let group = groups.get(usize::try_from(at).unwrap_or(0)).copied();
        let own = nodes.iter().filter(|node| Some(node.id) == group && !node.spare);
        own.take(2).cloned().collect()
    }

    /// One database of each group, for what concerns all contacts.
    fn of_all(&self) -> Vec<Vec<Arc<Node>>> {
        let nodes = self.nodes.read().clone();
        let mut groups: Vec<Vec<Arc<Node>>> = Vec::new();
        for node in nodes.iter().filter(|node| !node.spare) {
            match groups.last_mut() {
                Some(group) if group.first().is_some_and(|first| first.id == node.id) => {
                    group.push(node.clone())
                }
                _ => groups.push(vec![node.clone()]),
            }
        }
        groups
    }

    /// Those that may be read, the complete ones first.
    fn readable(&self, mut nodes: Vec<Arc<Node>>) -> Vec<Arc<Node>> {
        nodes.retain(|node| node.status == Status::On);
        let (now, expire) = (
            i64::from(self.tuning.now.load(Relaxed)),
            self.tuning.expire_time.load(Relaxed),
        );
        nodes.sort_by_key(|node| !node.is_complete(now, expire));
        nodes
    }

    /// Asks one database of the group after the other.
    async fn ask<T>(
        &self,
        nodes: Vec<Arc<Node>>,
        ask: impl for<'a> Fn(&'a Store) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut failures: Vec<(Arc<Node>, Error)> = Vec::new();
        for node in self.readable(nodes) {
            match ask(&node.store).await {
                Ok(answer) => {
                    for (node, error) in &failures {
                        self.failed(node, error, true).await;
                    }
                    return Ok(answer);
                }
                Err(error) => failures.push((node, error)),
            }
        }
        for (node, error) in &failures {
            self.failed(node, error, false).await;
        }
        Err(failures.pop().map_or_else(out_of_use, |(_, error)| error))
    }

    /// Counts a failure, and turns the database off where there were too many; true where it is off now. A statement that
    /// is refused is the fault of the database only where another one took it.
    async fn failed(&self, node: &Node, error: &Error, taken_elsewhere: bool) -> bool {
        if !error.is_passing() && !taken_elsewhere {
            return false;
        }
        let errors = node.errors.fetch_add(1, Relaxed).saturating_add(1);
        let off = errors >= self.tuning.threshold.load(Relaxed);
        error!(
            "p_usrloc",
            "Database {} of group {}: {error} ({errors} errors).", node.number, node.id
        );
        if off {
            self.turn(node, Status::Off, errors).await;
            if self.tuning.failover_level.load(Relaxed) == 2 {
                self.put_in_spare(node).await;
            }
        } else if let Some(write) = &self.write {
            let query = self.update(&[&self.master.errors]);
            let told = write.run(
                &query,
                vec![Value::Int(errors), Value::Int(node.id), Value::Int(node.number)],
            );
            // The master is told again at the next error.
            let _ = told.await;
        }
        off
    }

    fn update(&self, columns: &[&Str]) -> Arc<Query> {
        let names: Vec<_> = columns.iter().map(|name| name.text()).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        Query::update(&self.master.table.text(), &names)
            .when_eq(&self.master.id.text())
            .when_eq(&self.master.number.text())
            .build()
    }

    /// Changes the status of a database here, and in the master table where that may be written.
    async fn turn(&self, node: &Node, status: Status, errors: i64) {
        let now = i64::from(self.tuning.now.load(Relaxed));
        notice!(
            "p_usrloc",
            "Database {} of group {} is turned {}.",
            node.number,
            node.id,
            if status == Status::On { "on" } else { "off" }
        );
        self.replace(node, |changed| {
            changed.status = status;
            changed.failover = now;
            changed.errors = AtomicI64::new(errors);
        });
        let Some(write) = &self.write else { return };
        let master = &self.master;
        let query = self.update(&[&master.status, &master.failover, &master.errors]);
        let number = i64::from(status == Status::On);
        let values = vec![
            Value::Int(number),
            Value::Time(now),
            Value::Int(errors),
            Value::Int(node.id),
            Value::Int(node.number),
        ];
        if let Err(error) = write.run(&query, values).await {
            error!("p_usrloc", "The master table is not changed: {error}.");
        }
    }

    fn replace(&self, node: &Node, change: impl FnOnce(&mut Node)) {
        let mut nodes = self.nodes.write();
        let mut list = Vec::clone(&nodes);
        let place = list
            .iter_mut()
            .find(|known| known.id == node.id && known.number == node.number);
        if let Some(place) = place {
            let mut changed = Node {
                id: place.id,
                number: place.number,
                status: place.status,
                failover: place.failover,
                spare: place.spare,
                risk: place.risk,
                errors: AtomicI64::new(place.errors.load(Relaxed)),
                store: Store::new(place.store.database().clone(), self.layout.clone()),
            };
            change(&mut changed);
            *place = Arc::new(changed);
        }
        *nodes = Arc::new(list);
    }

    /// `failover_level` 2: a spare of another risk group takes the place of the database.
    async fn put_in_spare(&self, node: &Node) {
        let nodes = self.nodes.read().clone();
        let spare = nodes
            .iter()
            .find(|spare| spare.spare && spare.risk != node.risk && spare.status == Status::On);
        let (Some(spare), Some(write)) = (spare, &self.write) else {
            return;
        };
        let master = &self.master;
        let query = self.update(&[&master.id, &master.number, &master.spare]);
        let values = vec![
            Value::Int(node.id),
            Value::Int(node.number.saturating_add(100)),
            Value::Int(0),
            Value::Int(spare.id),
            Value::Int(spare.number),
        ];
        match write.run(&query, values).await {
            Ok(_) => notice!("p_usrloc", "A spare database stands in for group {}.", node.id),
            Err(error) => error!("p_usrloc", "No spare database is put in: {error}."),
        }
    }

    /// The timer: reads the master table, and turns on what answers again.
    pub async fn check(&self, now: u32) {
        self.tuning.now.store(now, Relaxed);
        match self.read.run(&self.query().build(), Vec::new()).await {
            Ok(rows) => {
                self.take(rows.rows);
            }
            Err(error) => error!("p_usrloc", "The master table cannot be read: {error}."),
        }
        if self.write.is_none() {
            return;
        }
        let off: Vec<_> = {
            let nodes = self.nodes.read();
            nodes
                .iter()
                .filter(|node| node.status == Status::Off)
                .cloned()
                .collect()
        };
        for node in off {
            if node.store.database().run_all(Vec::new()).await.is_ok() {
                self.turn(&node, Status::On, 0).await;
            }
        }
    }
}

impl Backend for Cluster {
    fn fetch<'a>(&'a self, table: &'a Str, aor: &'a [u8]) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move {
            let (table, key) = (table.clone(), Str::copy(aor));
            self.ask(self.of_aor(aor), move |store| {
                let (table, key) = (table.clone(), key.clone());
                Box::pin(async move { store.fetch(&table, &key).await })
            })
            .await
        })
    }

    fn fetch_ruid<'a>(
        &'a self,
        table: &'a Str,
        ruid: &'a Str,
    ) -> BoxFuture<'a, Result<Option<Contact>, Error>> {
        Box::pin(async move {
            for group in self.of_all() {
                let (table, key) = (table.clone(), ruid.clone());
                let found = self
                    .ask(group, move |store| {
                        let (table, key) = (table.clone(), key.clone());
                        Box::pin(async move { store.fetch_ruid(&table, &key).await })
                    })
                    .await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    fn fetch_all<'a>(
        &'a self,
        table: &'a Str,
        flags: u32,
        now: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for group in self.of_all() {
                let table = table.clone();
                let some = self.ask(group, move |store| {
                    let table = table.clone();
                    Box::pin(async move { store.fetch_all(&table, flags, now).await })
                });
                all.extend(some.await?);
            }
            Ok(all)
        })
    }

    fn fetch_expired<'a>(
        &'a self,
        table: &'a Str,
        before: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for group in self.of_all() {
                let table = table.clone();
                let some = self.ask(group, move |store| {
                    let table = table.clone();
                    Box::pin(async move { store.fetch_expired(&table, before).await })
                });
                all.extend(some.await?);
            }
            Ok(all)
        })
    }

    fn clean<'a>(&'a self, table: &'a Str, before: u32) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if !self.writes {
                return Ok(());
            }
            for node in self.of_all().into_iter().flatten() {
                if node.status == Status::On
                    && let Err(error) = node.store.clean(table, before).await
                {
                    self.failed(&node, &error, false).await;
                }
            }
            Ok(())
        })
    }

    fn write_all<'a>(&'a self, table: &'a Str, unwritten: &'a Unwritten) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            if !self.writes {
                return Err(Error::Refused(
                    "write_on_db is 0, so that no location is written; set it to 1".to_owned(),
                ));
            }
            let all = unwritten.contacts.iter().chain(&unwritten.gone);
            let mut groups: Vec<(Vec<Arc<Node>>, Unwritten)> = Vec::new();
            for (at, contact) in all.enumerate() {
                let nodes = self.of_aor(contact.aor());
                let id = nodes.first().map(|node| node.id);
                let known = groups
                    .iter()
                    .position(|(group, _)| group.first().map(|node| node.id) == id);
                if known.is_none() {
                    groups.push((nodes, Unwritten::default()));
                }
                let place = known.unwrap_or(groups.len().saturating_sub(1));
                if let Some((_, part)) = groups.get_mut(place) {
                    match at < unwritten.contacts.len() {
                        true => part.contacts.push(contact.clone()),
                        false => part.gone.push(contact.clone()),
                    }
                }
            }
            for (nodes, part) in groups {
                self.write_group(table, nodes, &part).await?;
            }
            Ok(())
        })
    }

    fn count<'a>(&'a self, table: &'a Str, what: Count, now: u32) -> BoxFuture<'a, Result<i64, Error>> {
        Box::pin(async move {
            let mut sum = 0i64;
            for group in self.of_all() {
                let table = table.clone();
                let some = self.ask(group, move |store| {
                    let table = table.clone();
                    Box::pin(async move { store.count(&table, what, now).await })
                });
                sum = sum.saturating_add(some.await?);
            }
            Ok(sum)
        })
    }
}

impl Cluster {
    /// Writes to each database of the group that is in use. All of them have to take it, as any of them is read next; one
    /// that does not may be off then, so that the others are enough.
    async fn write_group(&self, table: &Str, nodes: Vec<Arc<Node>>, part: &Unwritten) -> Result<(), Error> {
        let mut written = false;
        let mut failures: Vec<(&Arc<Node>, Error)> = Vec::new();
        for node in nodes.iter().filter(|node| node.status == Status::On) {
            match node.store.write_all(table, part).await {
                Ok(()) => written = true,
                Err(error) => failures.push((node, error)),
            }
        }
        let mut missing = (!written).then(out_of_use);
        for (node, error) in failures {
            let is_off = self.failed(node, &error, written).await;
            if !is_off || !written {
                missing = Some(error);
            }
        }
        missing.map_or(Ok(()), Err)
    }
}

fn out_of_use() -> Error {
    Error::Unavailable("no database of the group is in use".to_owned())
}

#[cfg(test)]
mod tests;
