//! How long things take: histograms with fixed buckets that cost one test while nobody asks for them.
//!
//! Whoever measures makes a [`Latency`] once, when it starts, and records into it without a name or a lock. They are
//! part of [`crate::stats::Stats`] and live as long as the process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::stats::Counter;

/// The upper bounds of the buckets in microseconds; one more has none.
pub const BOUNDS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Names that one family may have: they come from configurations, and reloads may bring others.
const MOST_LABELS: usize = 4096;

/// One histogram; cloning gives another handle to it.
#[derive(Clone, Debug)]
pub struct Latency(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    on: Arc<AtomicBool>,
    /// Sharded by thread, as counters are.
    buckets: [Counter; BUCKETS],
    micros: Counter,
}

/// What a histogram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How many fell into each bucket, the one without a bound last.
    pub counts: [u64; BUCKETS],
    /// The sum in microseconds.
    pub micros: u64,
}

impl Latency {
    fn new(on: Arc<AtomicBool>) -> Latency {
        Latency(Arc::new(Inner {
            on,
            buckets: Default::default(),
            micros: Counter::default(),
        }))
    }

    /// Now, while somebody asks for figures.
    #[expect(
        clippy::disallowed_methods,
        reason = "databases and resolvers have no worker's clock"
    )]
    pub fn start(&self) -> Option<Instant> {
        self.0.on.load(Relaxed).then(Instant::now)
    }

    /// Records the time since [`Latency::start`].
    pub fn end(&self, began: Option<Instant>) {
        if let Some(began) = began {
            self.record(began.elapsed());
        }
    }

    /// Records a time.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.0.buckets.get(at) {
            bucket.inc();
        }
        self.0.micros.add(i64::try_from(micros).unwrap_or(i64::MAX));
    }

    /// What it holds.
    pub fn read(&self) -> Reading {
        let figure = |counter: &Counter| u64::try_from(counter.get()).unwrap_or(0);
        Reading {
            counts: self.0.buckets.each_ref().map(figure),
            micros: figure(&self.0.micros),
        }
    }
}

/// A family of histograms: what they are of, and their labels.
pub type Family = (&'static str, Vec<(&'static str, String)>);

/// All histograms of the process.
#[derive(Debug, Default)]
pub struct Latencies {
    on: Arc<AtomicBool>,
    all: RwLock<BTreeMap<Family, Latency>>,
    /// What had no room.
    refused: AtomicUsize,
}

impl Latencies {
    /// The histogram of a family with these labels, made where it is new. Beyond a bound on their number all share one
    /// with the labels `other`.
    pub fn of(&self, family: &'static str, labels: &[(&'static str, &str)]) -> Latency {
        let own =
            |text: &dyn Fn(&str) -> String| labels.iter().map(|(name, value)| (*name, text(value))).collect();
        let mut key: Family = (family, own(&|value| value.to_owned()));
        let mut all = self.all.write();
        if !all.contains_key(&key) && all.len() >= MOST_LABELS {
            self.refused.fetch_add(1, Relaxed);
            key.1 = own(&|_| "other".to_owned());
        }
        all.entry(key)
            .or_insert_with(|| Latency::new(self.on.clone()))
            .clone()
    }

    /// Somebody asks for figures from now on, or nobody.
    pub fn switch(&self, on: bool) {
        self.on.store(on, Relaxed);
    }

    /// Somebody asks for figures.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// All histograms in the order of their names.
    pub fn read(&self) -> Vec<(Family, Reading)> {
        self.all
            .read()
            .iter()
            .map(|(family, own)| (family.clone(), own.read()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_their_buckets() {
        let all = Latencies::default();
        let own = all.of("route", &[("name", "a")]);
        assert_eq!(own.start(), None);
        own.end(None);
        all.switch(true);
        assert!(own.start().is_some());
        for micros in [1, 50, 51, 20_000_000] {
            all.of("route", &[("name", "a")])
                .record(Duration::from_micros(micros));
        }
        let (family, reading) = all.read().remove(0);
        assert_eq!(family, ("route", vec![("name", "a".to_owned())]));
        assert_eq!(
            (reading.counts[0], reading.counts[1], reading.counts[17]),
            (2, 1, 1)
        );
        assert_eq!(reading.micros, 20_000_102);
    }

    #[test]
    fn names_are_bounded() {
        let all = Latencies::default();
        for n in 0..MOST_LABELS + 10 {
            all.of("db", &[("url", &n.to_string())]).record(Duration::ZERO);
        }
        assert_eq!(all.read().len(), MOST_LABELS + 1);
    }
}
