//! Captured messages as rows: into one table of several, chosen at random, in turn, or by what the message says.
#![allow(clippy::disallowed_methods)] // reason: rows are tried again on the thread of databases; only the end of the server waits

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_db::{Database, Query, Statement, Value};
use kahea_module::{InitError, Str, stats::Counter};
use parking_lot::Mutex;

/// Rows that wait for the database at most.
const WAITING: usize = 10_000;
/// Queries for tables whose names are made at run time.
const KEPT: usize = 64;

/// How one of several tables is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Any.
    Random,
    /// One after the other.
    InTurn,
    /// By what the message says.
    Hash(Source),
}

/// What the hash is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The Call-ID.
    CallId,
    /// The user in From.
    FromUser,
    /// The user in To.
    ToUser,
}

impl Choice {
    /// From `mt_mode` and `hash_source`.
    ///
    /// # Errors
    /// There is no such mode or source.
    pub fn parse(mode: &[u8], source: &[u8]) -> Result<Choice, InitError> {
        Ok(match mode {
            b"rand" => Choice::Random,
            b"round_robin" => Choice::InTurn,
            b"hash" => Choice::Hash(match source {
                b"call_id" => Source::CallId,
                b"from_user" => Source::FromUser,
                b"to_user" => Source::ToUser,
                other => {
                    let other = String::from_utf8_lossy(other);
                    return Err(InitError::new(format!("hash_source: there is no '{other}'"))
                        .help("write call_id, from_user or to_user"));
                }
            }),
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(InitError::new(format!("mt_mode: there is no '{other}'"))
                    .help("write rand, round_robin or hash"));
            }
        })
    }
}

/// How often and how long a row is tried.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Again so many times.
    pub times: i64,
    /// Within that time.
    pub within: Duration,
}

/// What one message gives the choice of its table.
pub struct Pick<'a> {
    /// The Call-ID.
    pub call_id: &'a [u8],
    /// The user in From.
    pub from_user: &'a [u8],
    /// The user in To.
    pub to_user: &'a [u8],
    /// A random number.
    pub random: u64,
}

/// A database with tables of one layout.
pub struct Tables {
    database: Database,
    columns: Vec<Str>,
    fixed: Vec<Arc<Query>>,
    choice: Choice,
    next: AtomicUsize,
    made: Mutex<Vec<(Str, Arc<Query>)>>,
    waiting: Arc<AtomicUsize>,
    retries: Retries,
    dropped: Counter,
}

fn query(table: &str, columns: &[Str]) -> Arc<Query> {
    let names: Vec<_> = columns.iter().map(Str::text).collect();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    Query::insert(table, &names).build()
}

impl Tables {
    /// `names` are separated by bars.
    pub fn new(
        database: Database,
        names: &Str,
        columns: Vec<Str>,
        choice: Choice,
        retries: Retries,
        dropped: Counter,
    ) -> Tables {
        let names = names.text();
        let names = names.split('|').map(str::trim).filter(|name| !name.is_empty());
        Tables {
            fixed: names.map(|name| query(name, &columns)).collect(),
            database,
            columns,
            choice,
            next: AtomicUsize::new(0),
            made: Mutex::default(),
            waiting: Arc::default(),
            retries,
            dropped,
        }
    }

    fn at(&self, pick: &Pick<'_>) -> usize {
        let count = u64::try_from(self.fixed.len()).unwrap_or(1).max(1);
        let n = match self.choice {
            Choice::Random => pick.random,
            Choice::InTurn => u64::try_from(self.next.fetch_add(1, Relaxed)).unwrap_or(0),
            Choice::Hash(source) => hash(match source {
                Source::CallId => pick.call_id,
                Source::FromUser => pick.from_user,
                Source::ToUser => pick.to_user,
            }),
        };
        usize::try_from(n.checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }

    fn named(&self, table: &Str) -> Arc<Query> {
        let mut made = self.made.lock();
        if let Some((_, known)) = made.iter().find(|(name, _)| name == table) {
            return known.clone();
        }
        if made.len() >= KEPT {
            made.remove(0);
        }
        let new = query(&table.text(), &self.columns);
        made.push((table.detach(), new.clone()));
        new
    }

    /// Writes a row that nobody waits for, into `table` or one of its own. False where there is no table or too many wait.
    pub fn write(&self, table: Option<&Str>, pick: &Pick<'_>, values: Vec<Value>) -> bool {
        let query = match table {
            Some(table) => Some(self.named(table)),
            None => self.fixed.get(self.at(pick)).cloned(),
        };
        let Some(query) = query else { return false };
        self.insert(query, values)
    }

    fn insert(&self, query: Arc<Query>, values: Vec<Value>) -> bool {
        if self.waiting.fetch_add(1, Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.inc();
            return false;
        }
        Row {
            database: self.database.clone(),
            query,
            values,
            left: self.retries.times,
            until: Instant::now().checked_add(self.retries.within),
            waiting: self.waiting.clone(),
            dropped: self.dropped.clone(),
        }
        .submit();
        true
    }

    /// Waits until what was handed over is written, for a few seconds.
    pub fn finish(&self) {
        for _ in 0..250 {
            if self.waiting.load(Relaxed) == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Stable over restarts, so that a call stays in its table.
fn hash(text: &[u8]) -> u64 {
    // FNV-1a, which has no seed.
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A row on its way.
struct Row {
    database: Database,
    query: Arc<Query>,
    values: Vec<Value>,
    left: i64,
    until: Option<Instant>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl Row {
    fn submit(mut self) {
        let database = self.database.clone();
        let statement = Statement::Query(self.query.clone(), self.values.clone());
        database.run_later(statement, move |done| {
            let Err(error) = done else {
                self.waiting.fetch_sub(1, Relaxed);
                return;
            };
            let in_time = self.until.is_some_and(|until| Instant::now() < until);
            if self.left > 0 && in_time {
                self.left = self.left.saturating_sub(1);
                return self.submit();
            }
            self.waiting.fetch_sub(1, Relaxed);
            self.dropped.inc();
            kahea_module::info!("sipcapture", "A captured message was not written: {error}.");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read() {
        assert_eq!(Choice::parse(b"rand", b"").unwrap(), Choice::Random);
        assert_eq!(
            Choice::parse(b"hash", b"to_user").unwrap(),
            Choice::Hash(Source::ToUser)
        );
        assert!(Choice::parse(b"hash", b"ruri").is_err());
        assert!(Choice::parse(b"any", b"call_id").is_err());
    }

    #[test]
    fn a_hash_is_stable_and_spreads() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        let mut counts = [0; 4];
        for n in 0..1000 {
            counts[usize::try_from(hash(format!("call-{n}").as_bytes()) % 4).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| *count > 150), "{counts:?}");
    }
}
