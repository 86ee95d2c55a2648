//! `sht_lock()` and `sht_unlock()`: a lock for each slot of a table that messages wait for, and workers never.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use kahea_module::{Cx, Fault, Lit, Ret, Str, ret::LocalFuture};
use parking_lot::Mutex;

use super::{
    Htable,
    table::{ItemName, Table, TableArg},
};

/// How long `sht_lock()` waits: a lock that long taken means that two messages wait for each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The locks of one table that are taken at present, by slot.
#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<u64, Vec<Waker>>>);

impl Locks {
    fn try_take(&self, slot: u64) -> bool {
        let mut taken = self.0.lock();
        match taken.contains_key(&slot) {
            true => false,
            false => taken.insert(slot, Vec::new()).is_none(),
        }
    }

    /// Takes it, or has the task woken when it is released.
    fn take_or_wait(&self, slot: u64, waker: &Waker) -> bool {
        let mut taken = self.0.lock();
        match taken.get_mut(&slot) {
            Some(waiting) => {
                if !waiting.iter().any(|known| known.will_wake(waker)) {
                    waiting.push(waker.clone());
                }
                false
            }
            None => taken.insert(slot, Vec::new()).is_none(),
        }
    }

    fn release(&self, slot: u64) {
        let waiting = self.0.lock().remove(&slot).unwrap_or_default();
        waiting.into_iter().for_each(Waker::wake);
    }
}

struct Holding {
    locks: Arc<Locks>,
    slot: u64,
    depth: u32,
}

/// The locks that a message holds. They are released when it ends, wherever it ends.
#[derive(Default)]
struct Held(Vec<Holding>);

impl Held {
    fn find(&mut self, locks: &Arc<Locks>, slot: u64) -> Option<usize> {
        self.0
            .iter()
            .position(|held| held.slot == slot && Arc::ptr_eq(&held.locks, locks))
    }

    fn push(&mut self, locks: Arc<Locks>, slot: u64) {
        self.0.push(Holding {
            locks,
            slot,
            depth: 1,
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for held in self.0.drain(..) {
            held.locks.release(held.slot);
        }
    }
}

struct Acquire {
    locks: Arc<Locks>,
    slot: u64,
    patience: LocalFuture<'static, ()>,
}

impl Future for Acquire {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if self.locks.take_or_wait(self.slot, context.waker()) {
            return Poll::Ready(true);
        }
        self.patience.as_mut().poll(context).map(|()| false)
    }
}

fn lock_key(cx: &mut Cx, table: &Table, key: &Str) -> Ret {
    let (locks, slot) = (table.locks.clone(), table.slot(key));
    let held = cx.extra::<Held>();
    if let Some(holding) = held.find(&locks, slot).and_then(|at| held.0.get_mut(at)) {
        holding.depth = holding.depth.saturating_add(1);
        return Ret::TRUE;
    }
    if locks.try_take(slot) {
        held.push(locks, slot);
        return Ret::TRUE;
    }
    let patience = cx.worker.engine.sleep(PATIENCE);
    let what = format!("{}=>{key}", table.name());
    Ret::wait(move |cx| {
        Box::pin(async move {
            let acquire = Acquire {
                locks: locks.clone(),
                slot,
                patience,
            };
            if !acquire.await {
                let seconds = PATIENCE.as_secs();
                return Fault::limit(format!(
                    "the lock of {what} was not released within {seconds} s: two messages may wait for each other"
                ))
                .into();
            }
            cx.extra::<Held>().push(locks, slot);
            Ret::TRUE
        })
    })
}

/// A lock that this message does not hold stays as it is.
fn unlock_key(cx: &mut Cx, table: &Table, key: &Str) {
    let slot = table.slot(key);
    let held = cx.extra::<Held>();
    let Some(at) = held.find(&table.locks, slot) else {
        return;
    };
    let Some(holding) = held.0.get_mut(at) else { return };
    holding.depth = holding.depth.saturating_sub(1);
    if holding.depth == 0 {
        held.0.swap_remove(at);
        table.locks.release(slot);
    }
}

pub(super) fn lock(m: &Htable, cx: &mut Cx, name: Lit<ItemName>) -> Result<Ret, Fault> {
    let key = name.key_text(cx);
    Ok(lock_key(cx, name.table(m)?, &key))
}

pub(super) fn unlock(m: &Htable, cx: &mut Cx, name: Lit<ItemName>) -> Result<bool, Fault> {
    let key = name.key_text(cx);
    unlock_key(cx, name.table(m)?, &key);
    Ok(true)
}

pub(super) fn lock_in(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<Ret, Fault> {
    Ok(lock_key(cx, table.resolve(m)?, &key))
}

pub(super) fn unlock_in(m: &Htable, cx: &mut Cx, table: TableArg, key: Str) -> Result<bool, Fault> {
    unlock_key(cx, table.resolve(m)?, &key);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;
    use crate::htable::tests::htable;

    #[test]
    fn a_lock_is_of_one_message_as_often_as_it_takes_it() {
        let m = htable(&["a=>size=4"]);
        let server = Server::default();
        let (mut one, mut other) = (server.invite(), server.invite());
        let (table, key) = (m.tables[0].clone(), Str::from("x"));
        let lock = |cx: &mut Cx| lock_key(cx, &table, &key);
        assert!(matches!(lock(&mut one), Ret::Code(1)));
        assert!(matches!(lock(&mut one), Ret::Code(1)));
        assert!(matches!(lock(&mut other), Ret::Wait(_)));
        unlock_key(&mut one, &table, &key);
        unlock_key(&mut other, &table, &key);
        assert!(matches!(lock(&mut other), Ret::Wait(_)));
        unlock_key(&mut one, &table, &key);
        assert!(matches!(lock(&mut other), Ret::Code(1)));
    }

    #[test]
    fn a_message_that_ends_releases_its_locks() {
        let m = htable(&["a=>size=4"]);
        let server = Server::default();
        let (mut one, mut other) = (server.invite(), server.invite());
        let (table, key) = (m.tables[0].clone(), Str::from("x"));
        assert!(matches!(lock_key(&mut one, &table, &key), Ret::Code(1)));
        drop(one);
        assert!(matches!(lock_key(&mut other, &table, &key), Ret::Code(1)));
        assert!(table.locks.0.lock().len() == 1);
    }
}
