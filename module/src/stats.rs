//! Statistics: counters that all workers add to and nobody waits for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;

use crate::{Str, latency::Latencies};

const SHARDS: usize = 8;

#[repr(align(64))]
#[derive(Debug, Default)]
struct Shard(AtomicI64);

/// A counter or gauge; cloning gives another handle to the same figure.
///
/// Each thread adds to a shard of its own, so that workers do not share cache lines.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Shards>);

/// One shard for each of the first threads; later threads share them.
#[derive(Debug, Default)]
struct Shards {
    first: Shard,
    rest: [Shard; SHARDS - 1],
}

impl Shards {
    fn iter(&self) -> impl Iterator<Item = &Shard> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % SHARDS
    };
}

impl Counter {
    fn shard(&self) -> &AtomicI64 {
        let at = SHARD.try_with(|at| *at).unwrap_or(0);
        &at.checked_sub(1)
            .and_then(|at| self.0.rest.get(at))
            .unwrap_or(&self.0.first)
            .0
    }

    /// Adds 1.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds, also below 0.
    pub fn add(&self, n: i64) {
        self.shard().fetch_add(n, Relaxed);
    }

    /// The sum over all threads.
    pub fn get(&self) -> i64 {
        self.0
            .iter()
            .map(|shard| shard.0.load(Relaxed))
            .fold(0, i64::wrapping_add)
    }

    /// Back to 0.
    pub fn reset(&self) {
        self.set(0);
    }

    /// To this figure; adds by other threads at the same moment may be lost.
    pub fn set(&self, n: i64) {
        for shard in self.0.iter().skip(1) {
            shard.0.store(0, Relaxed);
        }
        self.0.first.0.store(n, Relaxed);
    }
}

/// Where a statistic's figure comes from.
#[derive(Clone)]
pub enum Source {
    /// Counted.
    Counter(Counter),
    /// Worked out when read; cannot be reset.
    Computed(Arc<dyn Fn() -> i64 + Send + Sync>),
}

/// One statistic.
#[derive(Clone)]
pub struct Stat {
    /// Its figure.
    pub source: Source,
    /// One sentence.
    pub doc: Str,
}

impl Stat {
    /// The figure now.
    pub fn get(&self) -> i64 {
        match &self.source {
            Source::Counter(counter) => counter.get(),
            Source::Computed(read) => read(),
        }
    }

    /// Back to 0 where it is counted.
    pub fn reset(&self) -> bool {
        match &self.source {
            Source::Counter(counter) => {
                counter.reset();
                true
            }
            Source::Computed(_) => false,
        }
    }
}

/// All statistics by group and name. Survives a reload, so that figures go on.
#[derive(Default)]
pub struct Stats {
    groups: RwLock<BTreeMap<Str, BTreeMap<Str, Stat>>>,
    /// How long things take.
    pub latencies: Latencies,
}

impl Stats {
    /// The counter of that name, made where it is new.
    pub fn counter(&self, group: &str, name: &str, doc: &str) -> Counter {
        let mut groups = self.groups.write();
        let stats = groups.entry(Str::from(group)).or_default();
        if let Some(Stat {
            source: Source::Counter(counter),
            ..
        }) = stats.get(name.as_bytes())
        {
            return counter.clone();
        }
        let counter = Counter::default();
        stats.insert(
            Str::from(name),
            Stat {
                source: Source::Counter(counter.clone()),
                doc: Str::from(doc),
            },
        );
        counter
    }

    /// A figure that is worked out when read; replaces an earlier one of the name.
    pub fn computed(&self, group: &str, name: &str, doc: &str, read: Arc<dyn Fn() -> i64 + Send + Sync>) {
        let stat = Stat {
            source: Source::Computed(read),
            doc: Str::from(doc),
        };
        self.groups
            .write()
            .entry(Str::from(group))
            .or_default()
            .insert(Str::from(name), stat);
    }

    /// By group and name.
    pub fn get(&self, group: &[u8], name: &[u8]) -> Option<Stat> {
        self.groups.read().get(group)?.get(name).cloned()
    }

    /// By name alone: the first group that has it.
    pub fn find(&self, name: &[u8]) -> Option<Stat> {
        self.groups
            .read()
            .values()
            .find_map(|stats| stats.get(name))
            .cloned()
    }

    /// The names of the groups.
    pub fn groups(&self) -> Vec<Str> {
        self.groups.read().keys().cloned().collect()
    }

    /// The statistics of a group.
    pub fn group(&self, group: &[u8]) -> Option<Vec<(Str, Stat)>> {
        self.groups.read().get(group).map(|stats| {
            stats
                .iter()
                .map(|(name, stat)| (name.clone(), stat.clone()))
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_count_together() {
        let stats = Stats::default();
        let counter = stats.counter("core", "rcv_requests", "Requests received.");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| counter.inc()));
            }
        });
        assert_eq!(stats.find(b"rcv_requests").map(|s| s.get()), Some(4000));
        assert!(stats.get(b"core", b"rcv_requests").is_some_and(|s| s.reset()));
        assert_eq!(counter.get(), 0);
    }
}
