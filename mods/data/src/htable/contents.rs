//! What a table holds: shards of items, each with a queue of those that will expire.

use std::{cmp::Reverse, collections::BinaryHeap, hash::BuildHasher};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};
use kahea_module::{Str, Value};
use parking_lot::Mutex;

/// Milliseconds since the server started; 0 is no moment.
pub(super) type Moment = u64;

const SHARDS: usize = 64;
/// Queue entries beyond twice the items, after which the queue is made anew.
const SLACK: usize = 64;

/// A key with its hash.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub text: &'a Str,
    pub hash: u64,
}

/// One item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub key: Str,
    pub value: Value,
    /// When it expires; 0: never.
    pub expires: Moment,
    hash: u64,
    /// The moment under which it stands in the queue; 0: it does not.
    queued: Moment,
}

impl Item {
    /// Counts as gone, although nobody has taken it away yet.
    pub fn is_expired(&self, now: Moment) -> bool {
        self.expires != 0 && self.expires <= now
    }
}

/// How long what is written lives.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    /// An item that is new expires then; one that is there keeps its moment.
    New(Moment),
    /// It expires then; 0: never.
    Until(Moment),
}

#[derive(Default)]
struct Shard {
    items: HashTable<Item>,
    /// Moments and hashes of items that expire. An item has at most one entry that counts, that of its `queued`.
    queue: BinaryHeap<Reverse<(Moment, u64)>>,
}

impl Shard {
    fn find(&self, key: Key<'_>) -> Option<&Item> {
        self.items.find(key.hash, |item| item.key == *key.text)
    }

    fn find_mut(&mut self, key: Key<'_>) -> Option<&mut Item> {
        self.items.find_mut(key.hash, |item| item.key == *key.text)
    }

    /// Puts an item that is there into the queue where its moment is sooner than the one it stands under.
    fn enqueue(&mut self, key: Key<'_>) {
        let Some(item) = self.find_mut(key) else { return };
        if item.expires == 0 || (item.queued != 0 && item.queued <= item.expires) {
            return;
        }
        item.queued = item.expires;
        let entry = Reverse((item.expires, item.hash));
        self.queue.push(entry);
        if self.queue.len() > self.items.len().saturating_mul(2).saturating_add(SLACK) {
            self.rebuild();
        }
    }

    fn rebuild(&mut self) {
        self.queue.clear();
        for item in self.items.iter_mut() {
            item.queued = item.expires;
            if item.expires != 0 {
                self.queue.push(Reverse((item.expires, item.hash)));
            }
        }
    }

    fn remove(&mut self, key: Key<'_>) -> Option<Item> {
        let entry = self.items.find_entry(key.hash, |item| item.key == *key.text);
        entry.ok().map(|entry| entry.remove().0)
    }

    /// Takes one expired item away.
    fn pop(&mut self, now: Moment) -> Option<Item> {
        loop {
            let Reverse((moment, hash)) = *self.queue.peek().filter(|first| first.0.0 <= now)?;
            self.queue.pop();
            let Ok(entry) = self
                .items
                .find_entry(hash, |item| item.hash == hash && item.queued == moment)
            else {
                continue;
            };
            if entry.get().is_expired(now) {
                return Some(entry.remove().0);
            }
            let item = entry.into_mut();
            item.queued = item.expires;
            if item.expires != 0 {
                self.queue.push(Reverse((item.expires, hash)));
            }
        }
    }
}

/// The items of one table; they outlive reloads.
pub(super) struct Contents {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

impl Default for Contents {
    fn default() -> Contents {
        Contents {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
        }
    }
}

impl Contents {
    /// The hash of a key in this table.
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A key with its hash.
    pub fn key<'a>(&self, text: &'a Str) -> Key<'a> {
        Key {
            text,
            hash: self.hash(text),
        }
    }

    fn with<R>(&self, hash: u64, work: impl FnOnce(&mut Shard) -> R) -> R {
        // The low bits choose within a shard.
        let at = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        #[expect(
            clippy::expect_used,
            reason = "there are as many shards as the remainder counts"
        )]
        let shard = self.shards.get(at).expect("a shard");
        work(&mut shard.lock())
    }

    /// The value of a key.
    pub fn get(&self, key: Key<'_>, now: Moment) -> Option<Value> {
        self.with(key.hash, |shard| {
            let item = shard.find(key).filter(|item| !item.is_expired(now))?;
            Some(item.value.clone())
        })
    }

    /// A whole item.
    pub fn item(&self, key: Key<'_>, now: Moment) -> Option<Item> {
        self.with(key.hash, |shard| {
            shard.find(key).filter(|item| !item.is_expired(now)).cloned()
        })
    }

    /// Sets a value. Key and value must not hold on to a message.
    pub fn set(&self, key: Key<'_>, value: Value, life: Life, now: Moment) {
        self.change(key, life, now, |_| Some(value));
    }

    /// Sets the value that `next` makes of the old one, in one step; `None` leaves it as it is. Returns the new value.
    pub fn change(
        &self,
        key: Key<'_>,
        life: Life,
        now: Moment,
        next: impl FnOnce(Option<&Value>) -> Option<Value>,
    ) -> Option<Value> {
        self.with(key.hash, |shard| {
            let entry = shard
                .items
                .entry(key.hash, |item| item.key == *key.text, |item| item.hash);
            let value = match entry {
                Entry::Occupied(mut entry) => {
                    let item = entry.get_mut();
                    let fresh = item.is_expired(now);
                    let value = next((!fresh).then_some(&item.value))?;
                    item.value = value.clone();
                    match life {
                        Life::New(moment) if fresh => item.expires = moment,
                        Life::New(_) => {}
                        Life::Until(moment) => item.expires = moment,
                    }
                    value
                }
                Entry::Vacant(entry) => {
                    let value = next(None)?;
                    let (Life::New(expires) | Life::Until(expires)) = life;
                    entry.insert(Item {
                        key: key.text.detach(),
                        value: value.clone(),
                        expires,
                        hash: key.hash,
                        queued: 0,
                    });
                    value
                }
            };
            shard.enqueue(key);
            Some(value)
        })
    }

    /// Sets when a key expires; false where it is not there.
    pub fn expire(&self, key: Key<'_>, moment: Moment, now: Moment) -> bool {
        self.with(key.hash, |shard| {
            let Some(item) = shard.find_mut(key).filter(|item| !item.is_expired(now)) else {
                return false;
            };
            item.expires = moment;
            shard.enqueue(key);
            true
        })
    }

    /// Takes an item away; false where it was not there.
    pub fn remove(&self, key: Key<'_>, now: Moment) -> bool {
        self.with(key.hash, |shard| shard.remove(key))
            .is_some_and(|item| !item.is_expired(now))
    }

    /// Takes everything away.
    pub fn clear(&self) {
        for shard in &self.shards {
            *shard.lock() = Shard::default();
        }
    }

    /// Takes what `other` holds in place of what is there.
    pub fn replace_with(&self, other: Vec<(Str, Value, Moment)>, now: Moment) {
        self.clear();
        for (key, value, expires) in other {
            self.set(self.key(&key), value, Life::Until(expires), now);
        }
    }

    /// Takes items away that `gone` picks.
    pub fn remove_if(&self, mut gone: impl FnMut(&Item) -> bool) {
        for shard in &self.shards {
            shard.lock().items.retain(|item| !gone(item));
        }
    }

    /// Looks at items until `look` says false.
    pub fn visit(&self, now: Moment, mut look: impl FnMut(&Item) -> bool) {
        for shard in &self.shards {
            for item in shard.lock().items.iter() {
                if !item.is_expired(now) && !look(item) {
                    return;
                }
            }
        }
    }

    /// All items, in no order.
    pub fn all(&self, now: Moment) -> Vec<Item> {
        let mut out = Vec::new();
        self.visit(now, |item| {
            out.push(item.clone());
            true
        });
        out
    }

    /// Takes at most `most` items away that have expired. Costs nothing for those that have not.
    pub fn take_expired(&self, now: Moment, most: usize) -> Vec<Item> {
        let mut out = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            while out.len() < most {
                match shard.pop(now) {
                    Some(item) => out.push(item),
                    None => break,
                }
            }
        }
        out
    }

    #[cfg(test)]
    fn queued(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().queue.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(contents: &Contents, key: &str, n: i64, life: Life, now: Moment) {
        let key = Str::from(key);
        contents.set(contents.key(&key), Value::Int(n), life, now);
    }

    fn get(contents: &Contents, key: &str, now: Moment) -> Option<i64> {
        let key = Str::from(key);
        contents
            .get(contents.key(&key), now)
            .and_then(|value| value.int())
    }

    #[test]
    fn an_item_is_gone_at_its_moment_and_swept_later() {
        let contents = Contents::default();
        set(&contents, "a", 1, Life::Until(100), 0);
        set(&contents, "b", 2, Life::Until(0), 0);
        assert_eq!(
            (get(&contents, "a", 99), get(&contents, "a", 100)),
            (Some(1), None)
        );
        let gone = contents.take_expired(100, 10);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].key, "a");
        assert_eq!(get(&contents, "b", u64::MAX), Some(2));
        assert!(contents.take_expired(u64::MAX, 10).is_empty());
    }

    #[test]
    fn an_update_moves_the_moment_or_not() {
        let contents = Contents::default();
        set(&contents, "a", 1, Life::New(100), 0);
        set(&contents, "a", 2, Life::New(200), 50);
        assert_eq!(get(&contents, "a", 100), None);
        // It has expired, though nobody took it away: a new item.
        set(&contents, "a", 3, Life::New(300), 150);
        assert_eq!(get(&contents, "a", 299), Some(3));
        set(&contents, "a", 4, Life::Until(250), 200);
        assert_eq!(contents.take_expired(250, 10).len(), 1);
    }

    #[test]
    fn updates_do_not_grow_the_queue() {
        let contents = Contents::default();
        for n in 0..100_000_u64 {
            set(&contents, "hot", 1, Life::Until(1_000_000 + n), n);
        }
        assert_eq!(contents.queued(), 1);
        for n in 0..100_000_u64 {
            let key = Str::from("come and go");
            contents.set(contents.key(&key), Value::Int(1), Life::Until(9_000_000), n);
            contents.remove(contents.key(&key), n);
        }
        assert!(contents.queued() <= SLACK + 3, "{}", contents.queued());
        assert_eq!(get(&contents, "hot", 1_099_998), Some(1));
        assert!(contents.take_expired(1_099_998, 10).is_empty());
        assert_eq!(contents.take_expired(1_099_999, 10).len(), 1);
    }

    #[test]
    fn a_hundred_thousand_expire_in_portions() {
        let contents = Contents::default();
        for n in 0..100_000_u32 {
            set(&contents, &n.to_string(), 1, Life::Until(10), 0);
        }
        let mut taken = 0;
        loop {
            let portion = contents.take_expired(10, 500).len();
            assert!(portion <= 500);
            if portion == 0 {
                break;
            }
            taken += portion;
        }
        assert_eq!(taken, 100_000);
    }

    #[test]
    fn adding_is_one_step() {
        let contents = std::sync::Arc::new(Contents::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let contents = contents.clone();
                std::thread::spawn(move || {
                    let text = Str::from("n");
                    for _ in 0..1000 {
                        contents.change(contents.key(&text), Life::New(0), 0, |old| {
                            Some(Value::Int(old.and_then(Value::int).unwrap_or(0) + 1))
                        });
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it ends");
        }
        assert_eq!(get(&contents, "n", 0), Some(4000));
    }
}
