//! One location table in memory: shards of records under short locks, found by the hash of the address of record.
//!
//! Each shard keeps its records' expiry times in a heap with one entry for each record. An entry is left where it is when
//! a contact is refreshed; one that comes up too early is put in again. So a refresh costs nothing there, and expiry
//! looks only at what is due.
#![expect(
    clippy::borrowed_box,
    reason = "the entries of the tables are boxes, and so are what closures see"
)]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use hashbrown::HashTable;
use kahea_module::{Str, stats::Counter};
use smallvec::SmallVec;

use super::{
    connections::Connections,
    contact::{Contact, Contacts, State},
    order::Order,
    ruids::Ruids,
    shards::{Shards, spread},
};

/// What happened to a contact.
#[derive(Clone, Debug)]
pub enum Change {
    /// It is new.
    Inserted(Contact),
    /// It was refreshed or changed; the new version.
    Updated(Contact),
    /// It was removed before its time.
    Deleted(Contact),
    /// Its time was over.
    Expired(Contact),
}

impl Change {
    /// The contact, in its last version.
    pub fn contact(&self) -> &Contact {
        match self {
            Change::Inserted(contact)
            | Change::Updated(contact)
            | Change::Deleted(contact)
            | Change::Expired(contact) => contact,
        }
    }

    /// It is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Change::Deleted(_) | Change::Expired(_))
    }
}

/// Changes of one address of record.
pub type Changes = SmallVec<[Change; 2]>;

/// The contacts of one address of record; never empty in a table.
pub(crate) struct Record {
    hash: u32,
    /// When its entry in the heap comes up; 0 without an entry.
    scheduled: u32,
    /// It is in the list of what is to be written.
    queued: bool,
    contacts: Contacts,
}

impl Record {
    fn aor(&self) -> &[u8] {
        self.contacts.first().map_or(b"", |contact| contact.aor())
    }

    /// When the first of its contacts ends.
    fn ends(&self) -> Option<u32> {
        let times = self.contacts.iter().map(|contact| contact.expires);
        times.filter(|time| *time != 0).min()
    }
}

/// Contacts while they are changed: notes what happens to them.
pub struct Edit<'a> {
    contacts: &'a mut Contacts,
    order: Order,
    /// What is put in stays out of the database.
    local: bool,
    /// What happened.
    pub changes: Changes,
}

impl<'a> Edit<'a> {
    /// Begins to change these contacts.
    pub fn new(contacts: &'a mut Contacts, order: Order) -> Edit<'a> {
        Edit {
            contacts,
            order,
            local: false,
            changes: Changes::new(),
        }
    }

    fn of_table(contacts: &'a mut Contacts, order: Order, writing: Writing) -> Edit<'a> {
        Edit {
            local: writing == Writing::Never,
            ..Edit::new(contacts, order)
        }
    }

    /// The contacts as they are now.
    pub fn contacts(&self) -> &Contacts {
        self.contacts
    }

    /// Adds one.
    pub fn insert(&mut self, mut contact: Contact) {
        contact.local = self.local;
        self.changes.push(Change::Inserted(contact.clone()));
        self.order.insert(self.contacts, contact);
    }

    /// Puts a new version in the place of the old one.
    pub fn replace(&mut self, at: usize, mut contact: Contact) {
        contact.local = self.local;
        if let Some(known) = self.contacts.get(at) {
            contact.state = known.state.changed();
            contact.round_trip = known.round_trip;
        }
        self.changes.push(Change::Updated(contact.clone()));
        self.order.replace(self.contacts, at, contact);
    }

    /// Takes one away.
    pub fn remove(&mut self, at: usize) {
        if at < self.contacts.len() {
            let contact = self.contacts.remove(at);
            self.changes.push(Change::Deleted(contact));
        }
    }

    /// Takes away all that `gone` picks.
    pub fn remove_if(&mut self, gone: impl Fn(&Contact) -> bool) {
        while let Some(at) = self.contacts.iter().position(&gone) {
            self.remove(at);
        }
    }
}

#[derive(Default)]
struct Shard {
    records: HashTable<Box<Record>>,
    /// Time in the upper half, hash of the record in the lower one.
    due: BinaryHeap<Reverse<u64>>,
    /// Hashes of records that have something to be written.
    unwritten: VecDeque<u32>,
    /// Contacts that are gone here, and have a row yet.
    gone: VecDeque<Contact>,
}

/// What is to be written to the database.
#[derive(Default)]
pub(crate) struct Unwritten {
    /// Contacts as they are now.
    pub contacts: Vec<Contact>,
    /// Contacts whose rows are to go.
    pub gone: Vec<Contact>,
}

impl Unwritten {
    /// How many rows it is about.
    pub fn rows(&self) -> usize {
        self.contacts.len().saturating_add(self.gone.len())
    }
}

/// The counters of a table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Addresses of record.
    pub users: Counter,
    /// Contacts.
    pub contacts: Counter,
    /// Contacts whose time was over.
    pub expired: Counter,
}

/// Which records keep what is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// Nothing is written later.
    No,
    /// What is put in is never written (`save()` with flag 1).
    Never,
    /// Changes are kept until they are written.
    Later,
}

/// A location table.
pub(crate) struct Table {
    shards: Shards<Shard>,
    ruids: Ruids,
    pub connections: Connections,
    pub counts: Counts,
}

impl Table {
    /// With 2^`bits` shards.
    pub fn new(bits: u32, counts: Counts) -> Table {
        Table {
            shards: Shards::new(bits),
            ruids: Ruids::new(bits),
            connections: Connections::default(),
            counts,
        }
    }

    /// How many shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The hash of an address of record, as `ul.dump` and `$ulc(x=>aorhash)` show it. Another one after a restart.
    pub fn hash(&self, aor: &[u8]) -> u32 {
        self.shards.hash(aor)
    }

    /// The contacts of an address of record, ended ones too; none where it is not known.
    pub fn get(&self, aor: &[u8]) -> Contacts {
        let hash = self.hash(aor);
        let shard = self.shards.of(hash).lock();
        let found = shard.records.find(spread(hash), |record| record.aor() == aor);
        found.map(|record| record.contacts.clone()).unwrap_or_default()
    }

    /// Changes the contacts of an address of record under one lock, and gives what `change` gives, what happened, and
    /// the contacts as they are then.
    pub fn edit<R>(
        &self,
        aor: &[u8],
        order: Order,
        writing: Writing,
        change: impl FnOnce(&mut Edit<'_>) -> R,
    ) -> (R, Changes, Contacts) {
        let hash = self.hash(aor);
        let mut shard = self.shards.of(hash).lock();
        let shard = &mut *shard;
        let same = |record: &Box<Record>| record.aor() == aor;
        let (result, changes, now) = match shard.records.find_mut(spread(hash), same) {
            Some(record) => {
                let mut edit = Edit::of_table(&mut record.contacts, order, writing);
                let result = change(&mut edit);
                let changes = edit.changes;
                let now = record.contacts.clone();
                settle(record, &changes, writing, &mut shard.due, &mut shard.unwritten);
                (result, changes, now)
            }
            None => {
                let mut contacts = Contacts::new();
                let mut edit = Edit::of_table(&mut contacts, order, writing);
                let result = change(&mut edit);
                let changes = edit.changes;
                let now = contacts.clone();
                if !contacts.is_empty() {
                    let mut record = Box::new(Record {
                        hash,
                        scheduled: 0,
                        queued: false,
                        contacts,
                    });
                    settle(
                        &mut record,
                        &changes,
                        writing,
                        &mut shard.due,
                        &mut shard.unwritten,
                    );
                    let rehash = |record: &Box<Record>| spread(record.hash);
                    shard.records.insert_unique(spread(hash), record, rehash);
                    self.counts.users.inc();
                }
                (result, changes, now)
            }
        };
        if now.is_empty() && !changes.is_empty() {
            self.forget_record(shard, hash);
        }
        self.note(shard, hash, &changes, writing);
        (result, changes, now)
    }

    /// Takes a record without contacts out. Such a one has no address any more, but is the only one of its kind.
    fn forget_record(&self, shard: &mut Shard, hash: u32) {
        let empty = |record: &Box<Record>| record.hash == hash && record.contacts.is_empty();
        if let Ok(found) = shard.records.find_entry(spread(hash), empty) {
            found.remove();
            self.counts.users.add(-1);
        }
    }

    /// Keeps counters, the indexes and the list of gone rows in step.
    fn note(&self, shard: &mut Shard, hash: u32, changes: &Changes, writing: Writing) {
        for change in changes {
            let contact = change.contact();
            match change {
                Change::Inserted(_) => {
                    self.counts.contacts.inc();
                    self.ruids.insert(contact.ruid(), hash);
                    self.connections.insert(contact.connection(), hash);
                }
                Change::Updated(_) => self.connections.insert(contact.connection(), hash),
                Change::Deleted(_) | Change::Expired(_) => {
                    self.counts.contacts.add(-1);
                    self.ruids.remove(contact.ruid(), hash);
                    if matches!(change, Change::Expired(_)) {
                        self.counts.expired.inc();
                    }
                    if writing == Writing::Later && contact.state != State::New {
                        shard.gone.push_back(contact.clone());
                    }
                }
            }
        }
    }

    /// Looks for the contact with that identifier; `found` sees it among those of its address.
    pub fn by_ruid<R>(&self, ruid: &[u8], found: impl Fn(&Contact) -> R) -> Option<R> {
        self.at_ruid(ruid, |contacts, at| contacts.get(at).map(&found))
            .flatten()
    }

    /// Notes an answer to a keepalive; false where no contact has that identifier.
    pub fn answered(&self, ruid: &[u8], now: u32, round_trip: u32) -> bool {
        let noted = self.at_ruid(ruid, |contacts, at| {
            if let Some(contact) = contacts.get_mut(at) {
                contact.last_answer = now;
                contact.round_trip = round_trip;
            }
        });
        noted.is_some()
    }

    fn at_ruid<R>(&self, ruid: &[u8], mut found: impl FnMut(&mut Contacts, usize) -> R) -> Option<R> {
        for hash in self.ruids.find(ruid) {
            let mut shard = self.shards.of(hash).lock();
            let holds = |record: &Box<Record>| record.contacts.iter().any(|c| c.ruid() == ruid);
            if let Some(record) = shard.records.find_mut(spread(hash), holds)
                && let Some(at) = record.contacts.iter().position(|c| c.ruid() == ruid)
            {
                return Some(found(&mut record.contacts, at));
            }
        }
        None
    }

    /// Addresses of record whose hash is this one: mostly one.
    pub fn aors_of(&self, hash: u32) -> Vec<Str> {
        let shard = self.shards.of(hash).lock();
        let records = shard.records.iter_hash(spread(hash));
        let same = records.filter(|record| record.hash == hash);
        same.map(|record| Str::copy(record.aor())).collect()
    }

    /// Every contact of a shard that `wanted` picks.
    pub fn of_shard(&self, at: usize, wanted: impl Fn(&Contact) -> bool) -> Vec<Contact> {
        let Some(shard) = self.shards.get(at) else {
            return Vec::new();
        };
        let shard = shard.lock();
        let all = shard.records.iter().flat_map(|record| &record.contacts);
        all.filter(|contact| wanted(contact)).cloned().collect()
    }

    /// Each record of a shard: its hash and its contacts.
    pub fn records_of(&self, at: usize) -> Vec<(u32, Contacts)> {
        let Some(shard) = self.shards.get(at) else {
            return Vec::new();
        };
        let shard = shard.lock();
        let all = shard.records.iter();
        all.map(|record| (record.hash, record.contacts.clone())).collect()
    }

    /// Records in all, and in the fullest shard.
    pub fn fill(&self) -> (usize, usize) {
        let sizes = self.shards.iter().map(|shard| shard.lock().records.len());
        sizes.fold((0, 0), |(sum, most), size| {
            (sum.saturating_add(size), most.max(size))
        })
    }

    /// Takes away contacts of a shard whose time is over, of at most `most` records; true where more are due.
    pub fn expire(&self, at: usize, now: u32, most: usize, writing: Writing, out: &mut Changes) -> bool {
        let Some(shard) = self.shards.get(at) else {
            return false;
        };
        let mut shard = shard.lock();
        let shard = &mut *shard;
        for _ in 0..most {
            let Some(hash) = shard.next_due(now) else {
                return false;
            };
            for changes in shard.end_records(hash, now) {
                if changes.1 {
                    self.forget_record(shard, hash);
                }
                self.note(shard, hash, &changes.0, writing);
                out.extend(changes.0);
            }
        }
        true
    }

    /// Moves what is to be written of a shard to `out` until that holds about `most`; true where there is more. It is
    /// not on the list any more then: what could not be written goes back by [`Table::put_back`].
    pub fn take_unwritten(&self, at: usize, most: usize, out: &mut Unwritten) -> bool {
        let Some(shard) = self.shards.get(at) else {
            return false;
        };
        let mut shard = shard.lock();
        let shard = &mut *shard;
        let gone = shard.gone.len().min(most.saturating_sub(out.rows()));
        out.gone.extend(shard.gone.drain(..gone));
        while out.rows() < most
            && let Some(hash) = shard.unwritten.pop_front()
        {
            for record in shard.records.iter_hash_mut(spread(hash)) {
                if record.hash == hash && record.queued {
                    record.queued = false;
                    let unwritten = record
                        .contacts
                        .iter()
                        .filter(|c| c.state != State::Synced && !c.local);
                    out.contacts.extend(unwritten.cloned());
                }
            }
        }
        !shard.gone.is_empty() || !shard.unwritten.is_empty()
    }

    /// Notes that a version of a contact has its row.
    pub fn written(&self, contact: &Contact) {
        self.with_version(contact, |known| {
            if known.is_same_version(contact) {
                known.state = State::Synced;
            } else if known.state == State::New {
                known.state = State::Dirty;
            }
        });
    }

    fn with_version(&self, contact: &Contact, then: impl FnOnce(&mut Contact)) {
        let hash = self.hash(contact.aor());
        let mut shard = self.shards.of(hash).lock();
        let same = |record: &Box<Record>| record.aor() == contact.aor();
        let record = shard.records.find_mut(spread(hash), same);
        let known = record.and_then(|record| {
            let mut all = record.contacts.iter_mut();
            all.find(|known| known.ruid() == contact.ruid())
        });
        if let Some(known) = known {
            then(known);
        }
    }

    /// Lets a contact end at `now`.
    pub fn end(&self, contact: &Contact, now: u32) {
        let hash = self.hash(contact.aor());
        let mut shard = self.shards.of(hash).lock();
        let shard = &mut *shard;
        let same = |record: &Box<Record>| record.aor() == contact.aor();
        let Some(record) = shard.records.find_mut(spread(hash), same) else {
            return;
        };
        let mut all = record.contacts.iter_mut();
        if let Some(known) = all.find(|known| known.ruid() == contact.ruid()) {
            known.expires = now.max(1);
            schedule(record, &mut shard.due);
        }
    }

    /// Puts what could not be written on the list again.
    pub fn put_back(&self, unwritten: Unwritten) {
        for contact in unwritten.gone {
            self.shards
                .of(self.hash(contact.aor()))
                .lock()
                .gone
                .push_back(contact);
        }
        for contact in &unwritten.contacts {
            let hash = self.hash(contact.aor());
            let mut shard = self.shards.of(hash).lock();
            let shard = &mut *shard;
            let same = |record: &Box<Record>| record.aor() == contact.aor();
            if let Some(record) = shard.records.find_mut(spread(hash), same)
                && !record.queued
            {
                record.queued = true;
                shard.unwritten.push_back(hash);
            }
        }
    }
}

impl Shard {
    /// The next record with an entry that is due.
    fn next_due(&mut self, now: u32) -> Option<u32> {
        let Reverse(entry) = *self.due.peek()?;
        let (time, hash) = halves(entry);
        if time > now {
            return None;
        }
        self.due.pop();
        Some(hash)
    }

    /// Takes the ended contacts out of the records of this hash, and puts those with further ones into the heap again.
    /// For each: what happened, and whether it is empty now.
    fn end_records(&mut self, hash: u32, now: u32) -> SmallVec<[(Changes, bool); 1]> {
        let mut out = SmallVec::new();
        for record in self.records.iter_hash_mut(spread(hash)) {
            if record.hash != hash || record.scheduled > now {
                continue;
            }
            record.scheduled = 0;
            let mut changes = Changes::new();
            record.contacts.retain(|contact| {
                let valid = contact.is_valid(now);
                if !valid {
                    changes.push(Change::Expired(contact.clone()));
                }
                valid
            });
            schedule(record, &mut self.due);
            out.push((changes, record.contacts.is_empty()));
        }
        out
    }
}

/// Gives the record an entry in the heap where it has none, or only a later one, and a place among what is written.
fn settle(
    record: &mut Record,
    changes: &Changes,
    writing: Writing,
    due: &mut BinaryHeap<Reverse<u64>>,
    unwritten: &mut VecDeque<u32>,
) {
    if changes.is_empty() {
        return;
    }
    schedule(record, due);
    if writing == Writing::Later && !record.queued && changes.iter().any(|change| !change.is_gone()) {
        record.queued = true;
        unwritten.push_back(record.hash);
    }
}

fn schedule(record: &mut Record, due: &mut BinaryHeap<Reverse<u64>>) {
    let Some(ends) = record.ends() else {
        return;
    };
    if record.scheduled == 0 || ends < record.scheduled {
        record.scheduled = ends;
        due.push(Reverse(u64::from(ends) << 32 | u64::from(record.hash)));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
fn halves(entry: u64) -> (u32, u32) {
    ((entry >> 32) as u32, entry as u32)
}

#[cfg(test)]
mod tests;
