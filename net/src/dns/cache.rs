//! The cache of answers, good and bad, with the bounds of the `dns_cache_*` parameters.

use std::{borrow::Cow, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use tokio::time::Instant;

use super::{CacheEntry, Record, RecordKind, ResolveError};
use crate::DnsConfig;

/// What a look-up comes to.
pub type Answer = Result<Arc<[Record]>, ResolveError>;

/// A name in lower case without the final dot, and a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The name.
    pub name: Arc<str>,
    /// The kind.
    pub kind: RecordKind,
}

#[derive(Hash)]
struct Borrowed<'a> {
    name: &'a str,
    kind: RecordKind,
}

impl Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.kind == key.kind && *self.name == *key.name
    }
}

/// The form of a name that keys have.
pub fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    Cow::Borrowed(name)
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    /// `None`: added by hand for good.
    until: Option<Instant>,
}

/// Answers by name and kind. Time is tokio's, so that tests can move it.
#[derive(Debug, Default)]
pub struct Cache {
    entries: RwLock<HashMap<Key, Entry, RandomState>>,
    swept: RwLock<Option<Instant>>,
}

/// What an entry costs in memory, on average; turns `dns_cache_mem` into a count.
const ENTRY_BYTES: usize = 256;

impl Cache {
    /// The answer, where it is known and not expired.
    pub fn find(&self, name: &str, kind: RecordKind) -> Option<Answer> {
        let entries = self.entries.read();
        let entry = entries.get(&Borrowed { name, kind })?;
        entry
            .until
            .is_none_or(|until| until > Instant::now())
            .then(|| entry.answer.clone())
    }

    /// Keeps an answer for its time: the shortest of its records within the bounds, or the negative one.
    pub fn insert(&self, key: Key, answer: Answer, config: &DnsConfig) {
        let life = match &answer {
            Ok(records) => {
                let shortest = records
                    .iter()
                    .map(|record| i64::from(record.ttl))
                    .min()
                    .unwrap_or(0);
                let most = if config.cache_max_ttl < 0 {
                    i64::MAX
                } else {
                    config.cache_max_ttl
                };
                shortest.max(config.cache_min_ttl).min(most)
            }
            Err(_) => config.cache_negative_ttl,
        };
        let life = Duration::from_secs(u64::try_from(life).unwrap_or(0)).min(LONGEST);
        if life.is_zero() {
            return;
        }
        let now = Instant::now();
        self.sweep(now, config);
        let mut entries = self.entries.write();
        let limit = config.cache_mem.saturating_mul(1024) / ENTRY_BYTES;
        let fixed = entries.get(&key).is_some_and(|old| old.until.is_none());
        if fixed || (!entries.contains_key(&key) && !make_room(&mut entries, limit, now, config)) {
            return;
        }
        entries.insert(
            key,
            Entry {
                answer,
                until: Some(now + life),
            },
        );
    }

    /// Adds by hand; `ttl` of `None` is for good.
    pub fn add(&self, key: Key, answer: Answer, ttl: Option<u32>) {
        let until = ttl.map(|ttl| Instant::now() + Duration::from_secs(ttl.into()));
        self.entries.write().insert(key, Entry { answer, until });
    }

    /// Takes an entry out; false where there is none.
    pub fn remove(&self, name: &str, kind: RecordKind) -> bool {
        self.entries.write().remove(&Borrowed { name, kind }).is_some()
    }

    /// Empties the cache, sparing what was added for good unless `permanent`.
    pub fn clear(&self, permanent: bool) {
        let mut entries = self.entries.write();
        entries.retain(|_, entry| !permanent && entry.until.is_none());
        entries.shrink_to_fit();
    }

    /// Everything that is valid.
    pub fn list(&self) -> Vec<CacheEntry> {
        let now = Instant::now();
        let entries = self.entries.read();
        let live = entries
            .iter()
            .filter(|(_, entry)| entry.until.is_none_or(|until| until > now));
        live.map(|(key, entry)| CacheEntry {
            name: key.name.clone(),
            kind: key.kind,
            answer: entry.answer.clone(),
            expires_in: entry.until.map(|until| until.duration_since(now).as_secs()),
        })
        .collect()
    }

    /// Drops expired entries once in `dns_cache_gc_interval`.
    fn sweep(&self, now: Instant, config: &DnsConfig) {
        let interval = Duration::from_secs(
            u64::try_from(config.cache_gc_interval)
                .unwrap_or(120)
                .clamp(1, 86_400),
        );
        if self
            .swept
            .read()
            .is_some_and(|last| now.duration_since(last) < interval)
        {
            return;
        }
        *self.swept.write() = Some(now);
        let mut entries = self.entries.write();
        entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
        let wanted = entries.len().saturating_mul(2);
        entries.shrink_to(wanted);
    }
}

/// A week: no server means more, and an operator can add an entry for good.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

fn make_room(
    entries: &mut HashMap<Key, Entry, RandomState>,
    limit: usize,
    now: Instant,
    config: &DnsConfig,
) -> bool {
    if entries.len() < limit {
        return true;
    }
    entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
    if entries.len() >= limit && config.cache_del_nonexp {
        let soonest = entries
            .iter()
            .filter_map(|(key, entry)| Some((entry.until?, key)))
            .min_by_key(|(at, _)| *at);
        if let Some(key) = soonest.map(|(_, key)| key.clone()) {
            entries.remove(&key);
        }
    }
    entries.len() < limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::RecordData;

    fn key(name: &str) -> Key {
        Key {
            name: name.into(),
            kind: RecordKind::A,
        }
    }

    fn answer(ttl: u32) -> Answer {
        Ok(Arc::new([Record {
            ttl,
            data: RecordData::A([192, 0, 2, 1].into()),
        }]))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_live_within_the_bounds() {
        let config = DnsConfig {
            cache_min_ttl: 10,
            cache_max_ttl: 20,
            ..DnsConfig::default()
        };
        let cache = Cache::default();
        cache.insert(key("short"), answer(0), &config);
        cache.insert(key("long"), answer(1000), &config);
        cache.insert(key("bad"), Err(ResolveError::NotFound("bad".into())), &config);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(cache.find("short", RecordKind::A).is_some());
        assert!(cache.find("short", RecordKind::Aaaa).is_none());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(cache.find("short", RecordKind::A).is_none());
        assert!(cache.find("long", RecordKind::A).is_some());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(cache.find("long", RecordKind::A).is_none());
        assert!(matches!(
            cache.find("bad", RecordKind::A),
            Some(Err(ResolveError::NotFound(_)))
        ));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.find("bad", RecordKind::A).is_none());
        assert!(cache.list().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_cache_is_bounded_and_what_was_added_for_good_stays() {
        let config = DnsConfig {
            cache_mem: 1,
            ..DnsConfig::default()
        };
        let cache = Cache::default();
        cache.add(key("fixed"), answer(1), None);
        for i in 0..10 {
            cache.insert(key(&format!("host{i}")), answer(100), &config);
        }
        assert_eq!(cache.list().len(), 4);
        let config = DnsConfig {
            cache_del_nonexp: true,
            ..config
        };
        cache.insert(key("newest"), answer(100), &config);
        assert!(cache.find("newest", RecordKind::A).is_some());
        cache.insert(key("fixed"), Err(ResolveError::NotFound("fixed".into())), &config);
        assert!(cache.find("fixed", RecordKind::A).unwrap().is_ok());
        cache.clear(false);
        assert_eq!(cache.list().len(), 1);
        assert!(cache.remove("fixed", RecordKind::A));
    }

    #[test]
    fn names_have_one_form() {
        assert_eq!(normal("Example.COM."), "example.com");
        assert!(matches!(normal("example.com"), Cow::Borrowed(_)));
    }
}
