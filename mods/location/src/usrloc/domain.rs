//! Location tables by name. They outlive reloads; how they are used is for each configuration's [`Service`] to say.
//!
//! [`Service`]: super::Service

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use kahea_module::{
    Str,
    config::Shared,
    stats::{Counter, Stats},
};
use parking_lot::RwLock;

use super::{
    contact::{Contact, Contacts},
    order::Order,
    table::{Counts, Table, Writing},
};

/// How many addresses are written to the database at a time; each has its turn.
const TURNS: usize = 256;

/// A location table.
pub struct Domain {
    name: Str,
    pub(crate) table: Table,
    /// Its rows were read.
    pub(crate) loaded: AtomicBool,
    /// One writer at a time for an address of record, so that rows take the order of their contacts.
    turns: Box<[tokio::sync::Mutex<()>]>,
}

impl Domain {
    pub(crate) fn new(name: Str, bits: u32, counts: Counts) -> Domain {
        Domain {
            name,
            table: Table::new(bits, counts),
            loaded: AtomicBool::new(false),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }

    /// Its name, which is that of its table in the database.
    pub fn name(&self) -> &Str {
        &self.name
    }

    /// Into how many parts [`Domain::slice`] divides it.
    pub fn slices(&self) -> usize {
        self.table.shards()
    }

    /// The contacts of one part that `wanted` picks; from 0 to [`Domain::slices`]. Whoever goes through all of them pauses
    /// between, so that no message waits long.
    pub fn slice(&self, at: usize, wanted: impl Fn(&Contact) -> bool) -> Vec<Contact> {
        self.table.of_shard(at, wanted)
    }

    /// The contact with that identifier.
    pub fn by_ruid(&self, ruid: &[u8]) -> Option<Contact> {
        self.table.by_ruid(ruid, Contact::clone)
    }

    /// The hash of an address of record in this table, until the server ends.
    pub fn hash(&self, aor: &[u8]) -> u32 {
        self.table.hash(aor)
    }

    /// Notes the answer to a keepalive, `round_trip` microseconds after it was sent; false where the contact is gone.
    pub fn answered(&self, ruid: &[u8], now: u32, round_trip: u32) -> bool {
        self.table.answered(ruid, now, round_trip)
    }

    /// Lets a contact end at `now`; the next pass of the timer removes it.
    pub fn end(&self, contact: &Contact, now: u32) {
        self.table.end(contact, now);
    }

    /// All contacts of an address of record in memory, ended ones too.
    pub(crate) fn in_memory(&self, aor: &[u8]) -> Contacts {
        self.table.get(aor)
    }

    /// Puts in a contact that the database has.
    pub(crate) fn take_in(&self, contact: Contact, order: Order) {
        let aor = contact.aor().to_vec();
        self.table.edit(&aor, order, Writing::No, |edit| {
            if !edit.contacts().iter().any(|known| known.ruid() == contact.ruid()) {
                edit.insert(contact);
            }
        });
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the remainder is less than the number of turns"
    )]
    pub(crate) async fn turn(&self, aor: &[u8]) -> tokio::sync::MutexGuard<'_, ()> {
        let at = usize::try_from(self.table.hash(aor)).unwrap_or(0) % TURNS;
        self.turns[at].lock().await
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Domain({})", self.name)
    }
}

/// All location tables of the process.
pub(crate) struct Domains {
    by_name: RwLock<BTreeMap<Str, Arc<Domain>>>,
    start: u64,
    pid: u32,
    given: AtomicU64,
    users: Counter,
}

impl Domains {
    pub fn of(shared: &Shared) -> Arc<Domains> {
        shared.keep(|| Domains::new(shared.started, shared.pid))
    }

    pub fn new(started: SystemTime, pid: u32) -> Domains {
        let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        Domains {
            by_name: RwLock::default(),
            start: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
            pid,
            given: AtomicU64::new(0),
            users: Counter::default(),
        }
    }

    /// By name.
    pub fn get(&self, name: &[u8]) -> Option<Arc<Domain>> {
        self.by_name.read().get(name).cloned()
    }

    /// All, by name.
    pub fn all(&self) -> Vec<Arc<Domain>> {
        self.by_name.read().values().cloned().collect()
    }

    /// By name; made with 2^`bits` shards and its statistics where it is new.
    pub fn open(&self, name: &Str, bits: u32, stats: &Stats) -> Arc<Domain> {
        let mut by_name = self.by_name.write();
        let domain = by_name.entry(name.clone()).or_insert_with(|| {
            let counter = |what: &str, doc: &str| stats.counter("usrloc", &format!("{name}_{what}"), doc);
            let counts = Counts {
                users: counter("users", "Addresses of record in the table."),
                contacts: counter("contacts", "Contacts in the table."),
                expired: counter("expires", "Contacts of the table whose time was over."),
            };
            Arc::new(Domain::new(name.detach(), bits, counts))
        });
        domain.clone()
    }

    /// Addresses of record in all tables.
    pub fn users(&self) -> i64 {
        let by_name = self.by_name.read();
        let users = by_name.values().map(|domain| domain.table.counts.users.get());
        users.fold(self.users.get(), i64::wrapping_add)
    }

    /// What identifiers of this process begin with: `uloc-START-PID-`, with the server's id in front where it has one.
    pub fn prefix(&self, kind: &str, server_id: i64) -> String {
        let (start, pid) = (self.start, self.pid);
        match server_id {
            0 => format!("{kind}-{start:x}-{pid:x}-"),
            id => format!("{kind}-{id}-{start:x}-{pid:x}-"),
        }
    }

    /// An identifier that no other contact has.
    pub fn ruid(&self, kind: &str, server_id: i64) -> String {
        use std::fmt::Write;
        let count = self.given.fetch_add(1, Relaxed).wrapping_add(1);
        let mut out = self.prefix(kind, server_id);
        // Writing to a String cannot fail.
        let _ = write!(out, "{count:x}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_once_and_has_statistics() {
        let stats = Stats::default();
        let domains = Domains::new(UNIX_EPOCH, 7);
        let one = domains.open(&Str::from("location"), 2, &stats);
        let again = domains.open(&Str::from("location"), 9, &stats);
        assert!(Arc::ptr_eq(&one, &again));
        assert_eq!(one.slices(), 4);
        assert!(stats.get(b"usrloc", b"location_contacts").is_some());
        assert!(domains.get(b"aliases").is_none());
    }

    #[test]
    fn identifiers_are_given_once() {
        let domains = Domains::new(UNIX_EPOCH, 255);
        assert_eq!(domains.ruid("uloc", 0), "uloc-0-ff-1");
        assert_eq!(domains.ruid("uloc", 3), "uloc-3-0-ff-2");
    }
}
