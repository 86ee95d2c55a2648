//! The table of transactions that are alive.

use std::{
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use kahea_tx::Key;
use parking_lot::Mutex;

use super::cell::Cell;

/// Shards, a power of two.
pub const SHARDS: u32 = 64;

/// What names a transaction in a Via branch and in `$T(id_index)`, `$T(id_label)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Its place.
    pub index: u32,
    /// Random: nobody can guess a branch, and a later transaction in the same place has another.
    pub label: u64,
}

impl Id {
    /// The part of the label that scripts see.
    pub fn short_label(self) -> u32 {
        u32::try_from(self.label & 0xffff_ffff).unwrap_or(0)
    }
}

#[derive(Default)]
struct Shard {
    slots: Vec<Option<Arc<Cell>>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    by_call: HashTable<u32>,
}

impl Shard {
    fn cell(&self, slot: u32) -> Option<&Arc<Cell>> {
        self.slots.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    fn key_of(&self, slot: u32) -> u64 {
        self.cell(slot).map_or(0, |cell| cell.key.0)
    }

    fn call_of(&self, slot: u32) -> u64 {
        self.cell(slot).map_or(0, |cell| cell.call.0)
    }

    /// As in Kamailio another Call-ID or CSeq number is another transaction, also where a client uses a branch again.
    fn find(&self, key: Key, call: Key, same: &impl Fn(&Cell) -> bool) -> Option<Arc<Cell>> {
        let fits = |slot: &u32| {
            self.cell(*slot)
                .is_some_and(|cell| cell.key == key && cell.call == call && same(cell))
        };
        let slot = self.by_key.find(key.0, fits)?;
        self.cell(*slot).cloned()
    }
}

/// All transactions. It outlives reloads.
pub struct Table {
    shards: Vec<Mutex<Shard>>,
    /// For keys: drawn anew by each process, so that nobody can choose keys that collide.
    pub seed: RandomState,
    labels: std::collections::hash_map::RandomState,
    made: AtomicU64,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
            labels: std::collections::hash_map::RandomState::new(),
            made: AtomicU64::new(0),
        }
    }
}

impl Table {
    fn shard(&self, number: u32) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::try_from(number % SHARDS).ok()?)
    }

    /// Repetitions, ACK and CANCEL of a transaction have its Call-ID and CSeq number, so they find it in one shard.
    fn shard_of(&self, call: Key) -> Option<&Mutex<Shard>> {
        self.shard(u32::try_from(call.0 >> 40).unwrap_or(0))
    }

    /// Puts a transaction in unless there is one already to which the request belongs, which then is the error.
    ///
    /// # Errors
    /// The transaction that is there.
    pub fn insert(
        &self,
        key: Key,
        call: Key,
        same: impl Fn(&Cell) -> bool,
        make: impl FnOnce(Id) -> Cell,
    ) -> Result<Arc<Cell>, Arc<Cell>> {
        let number = u32::try_from(call.0 >> 40).unwrap_or(0) % SHARDS;
        let label = self.labels.hash_one(self.made.fetch_add(1, Relaxed));
        let Some(shard) = self.shard(number) else {
            return Ok(Arc::new(make(Id { index: number, label })));
        };
        let mut shard = shard.lock();
        if let Some(known) = shard.find(key, call, &same) {
            return Err(known);
        }
        let slot = shard.free.pop().unwrap_or_else(|| {
            shard.slots.push(None);
            u32::try_from(shard.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        let index = slot.saturating_mul(SHARDS).saturating_add(number);
        let cell = Arc::new(make(Id { index, label }));
        let shard = &mut *shard;
        if let Some(place) = usize::try_from(slot).ok().and_then(|at| shard.slots.get_mut(at)) {
            *place = Some(cell.clone());
        }
        let mut by_key = std::mem::take(&mut shard.by_key);
        by_key.insert_unique(key.0, slot, |slot| shard.key_of(*slot));
        shard.by_key = by_key;
        let mut by_call = std::mem::take(&mut shard.by_call);
        by_call.insert_unique(call.0, slot, |slot| shard.call_of(*slot));
        shard.by_call = by_call;
        Ok(cell)
    }

    /// The transaction under this key that `same` accepts.
    pub fn find(&self, key: Key, call: Key, same: impl Fn(&Cell) -> bool) -> Option<Arc<Cell>> {
        self.shard_of(call)?.lock().find(key, call, &same)
    }

    /// The transactions with this Call-ID and CSeq number that `fits` accepts.
    pub fn of_call(&self, call: Key, fits: impl Fn(&Cell) -> bool) -> Vec<Arc<Cell>> {
        let Some(shard) = self.shard_of(call) else {
            return Vec::new();
        };
        let shard = shard.lock();
        let same = |slot: &&u32| {
            shard
                .cell(**slot)
                .is_some_and(|cell| cell.call == call && fits(cell))
        };
        let slots = shard.by_call.iter_hash(call.0).filter(same);
        slots.filter_map(|slot| shard.cell(*slot).cloned()).collect()
    }

    /// By what a Via branch names.
    pub fn get(&self, id: Id) -> Option<Arc<Cell>> {
        let cell = self.at(id.index)?;
        (cell.id.label == id.label).then_some(cell)
    }

    /// By what a script names.
    pub fn get_short(&self, index: u32, label: u32) -> Option<Arc<Cell>> {
        let cell = self.at(index)?;
        (cell.id.short_label() == label).then_some(cell)
    }

    fn at(&self, index: u32) -> Option<Arc<Cell>> {
        let shard = self.shard(index % SHARDS)?.lock();
        shard.cell(index / SHARDS).cloned()
    }

    /// Takes a transaction out.
    pub fn remove(&self, cell: &Cell) {
        let Some(shard) = self.shard(cell.id.index % SHARDS) else {
            return;
        };
        let mut shard = shard.lock();
        let slot = cell.id.index / SHARDS;
        if shard.cell(slot).is_none_or(|known| known.id != cell.id) {
            return;
        }
        if let Ok(entry) = shard.by_key.find_entry(cell.key.0, |known| *known == slot) {
            entry.remove();
        }
        if let Ok(entry) = shard.by_call.find_entry(cell.call.0, |known| *known == slot) {
            entry.remove();
        }
        if let Some(place) = usize::try_from(slot).ok().and_then(|at| shard.slots.get_mut(at)) {
            *place = None;
        }
        shard.free.push(slot);
        // Tables do not shrink by themselves: after a burst the memory goes back.
        if shard.by_key.is_empty() && shard.slots.capacity() > 1_024 {
            *shard = Shard::default();
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().by_key.len()).sum()
    }

    /// Every transaction, for commands.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        let cells = |shard: &Mutex<Shard>| shard.lock().slots.iter().flatten().cloned().collect::<Vec<_>>();
        self.shards.iter().flat_map(cells).collect()
    }
}
