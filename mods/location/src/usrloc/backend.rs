//! What the service asks of a database, be it one or a cluster of them.

use kahea_db::{BoxFuture, Error};
use kahea_module::Str;

use super::{
    contact::Contact,
    store::{Count, Store},
    table::{Change, Unwritten},
};

/// Location tables in one or several databases.
pub(crate) trait Backend: Send + Sync {
    /// The contacts of an address of record.
    fn fetch<'a>(&'a self, table: &'a Str, aor: &'a [u8]) -> BoxFuture<'a, Result<Vec<Contact>, Error>>;

    /// The contact with that identifier.
    fn fetch_ruid<'a>(
        &'a self,
        table: &'a Str,
        ruid: &'a Str,
    ) -> BoxFuture<'a, Result<Option<Contact>, Error>>;

    /// Every contact that has not ended and has one of the branch flags; 0 for all.
    fn fetch_all<'a>(
        &'a self,
        table: &'a Str,
        flags: u32,
        now: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>>;

    /// Some of the contacts that ended before that time.
    fn fetch_expired<'a>(&'a self, table: &'a Str, before: u32)
    -> BoxFuture<'a, Result<Vec<Contact>, Error>>;

    /// Takes away the rows of contacts that ended before that time.
    fn clean<'a>(&'a self, table: &'a Str, before: u32) -> BoxFuture<'a, Result<(), Error>>;

    /// Writes contacts as they are, and takes away the rows of others.
    fn write_all<'a>(&'a self, table: &'a Str, unwritten: &'a Unwritten) -> BoxFuture<'a, Result<(), Error>>;

    /// Counts in a table.
    fn count<'a>(&'a self, table: &'a Str, what: Count, now: u32) -> BoxFuture<'a, Result<i64, Error>>;
}

/// What changes leave to be written: the last version of each contact that stays, and each that is gone.
pub(crate) fn to_write(changes: &[Change]) -> Unwritten {
    let mut out = Unwritten::default();
    for change in changes {
        let contact = change.contact();
        out.contacts.retain(|known| known.ruid() != contact.ruid());
        match change.is_gone() {
            true => out.gone.push(contact.clone()),
            false => out.contacts.push(contact.clone()),
        }
    }
    out
}

impl Backend for Store {
    fn fetch<'a>(&'a self, table: &'a Str, aor: &'a [u8]) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(Store::fetch(self, table, aor))
    }

    fn fetch_ruid<'a>(
        &'a self,
        table: &'a Str,
        ruid: &'a Str,
    ) -> BoxFuture<'a, Result<Option<Contact>, Error>> {
        Box::pin(Store::fetch_ruid(self, table, ruid))
    }

    fn fetch_all<'a>(
        &'a self,
        table: &'a Str,
        flags: u32,
        now: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(Store::fetch_all(self, table, flags, now))
    }

    fn fetch_expired<'a>(
        &'a self,
        table: &'a Str,
        before: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(Store::fetch_expired(self, table, before))
    }

    fn clean<'a>(&'a self, table: &'a Str, before: u32) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { Store::clean(self, table, before).await.map(drop) })
    }

    fn write_all<'a>(&'a self, table: &'a Str, unwritten: &'a Unwritten) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(Store::write_all(self, table, unwritten))
    }

    fn count<'a>(&'a self, table: &'a Str, what: Count, now: u32) -> BoxFuture<'a, Result<i64, Error>> {
        Box::pin(Store::count(self, table, what, now))
    }
}
