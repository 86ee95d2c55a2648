//! `lock()`, `trylock()`, `unlock()`: a set of locks over all workers that no worker blocks on.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use kahea_module::{Cx, Fault, Ret, Str, ret::LocalFuture};
use parking_lot::Mutex;

use super::Cfgutils;
use crate::transforms::core_hash;

/// How long `lock()` waits before it gives up: a lock that long taken means two messages wait for each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The locks of every size that a configuration had; a reload goes on with the same ones.
#[derive(Default)]
pub(super) struct Sets(Mutex<HashMap<u32, Arc<Set>>>);

impl Sets {
    /// `bits`: the size as a power of two.
    pub(super) fn get(&self, bits: u32) -> Arc<Set> {
        let new = || Arc::new(Set((0..1_u32 << bits).map(|_| Mutex::default()).collect()));
        self.0.lock().entry(bits).or_insert_with(new).clone()
    }
}

/// A set of locks.
pub(super) struct Set(Vec<Mutex<State>>);

#[derive(Default)]
struct State {
    taken: bool,
    waiting: Vec<Waker>,
}

impl Set {
    fn try_take(&self, at: usize) -> bool {
        let Some(lock) = self.0.get(at) else { return false };
        let mut state = lock.lock();
        !std::mem::replace(&mut state.taken, true)
    }

    fn wait(&self, at: usize, waker: &Waker) {
        if let Some(lock) = self.0.get(at) {
            lock.lock().waiting.push(waker.clone());
        }
    }

    fn release(&self, at: usize) {
        let Some(lock) = self.0.get(at) else { return };
        let waiting = {
            let mut state = lock.lock();
            state.taken = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The locks that a message holds; they are released when it ends.
#[derive(Default)]
struct Held(Vec<(Arc<Set>, usize)>);

impl Drop for Held {
    fn drop(&mut self) {
        for (set, at) in self.0.drain(..) {
            set.release(at);
        }
    }
}

/// Waits for a lock or the end of patience.
struct Acquire {
    set: Arc<Set>,
    at: usize,
    patience: LocalFuture<'static, ()>,
}

impl Future for Acquire {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        if self.set.try_take(self.at) {
            return Poll::Ready(true);
        }
        self.set.wait(self.at, context.waker());
        // It may have been released between the two steps.
        if self.set.try_take(self.at) {
            return Poll::Ready(true);
        }
        self.patience.as_mut().poll(context).map(|()| false)
    }
}

fn place(m: &Cfgutils, key: &Str, second: Option<&Str>) -> Result<(Arc<Set>, usize), Fault> {
    let Some(set) = &m.locks else {
        return Err(Fault::script(
            "there are no locks: set the parameter lock_set_size of module cfgutils, such as 4",
        ));
    };
    let size = u32::try_from(set.0.len()).unwrap_or(1);
    let at = core_hash(key, second.map_or(b"", |key| key), size);
    Ok((set.clone(), usize::try_from(at).unwrap_or(0)))
}

fn holds(cx: &mut Cx, set: &Arc<Set>, at: usize) -> Option<usize> {
    let held = &cx.extra::<Held>().0;
    held.iter()
        .position(|(own, place)| Arc::ptr_eq(own, set) && *place == at)
}

pub(super) fn lock(m: &Cfgutils, cx: &mut Cx, key: Str, second: Option<Str>) -> Result<Ret, Fault> {
    let (set, at) = place(m, &key, second.as_ref())?;
    if holds(cx, &set, at).is_some() {
        return Err(Fault::script(format!(
            "the lock of '{key}' is held by this message already, perhaps under another key: raise lock_set_size"
        )));
    }
    if set.try_take(at) {
        cx.extra::<Held>().0.push((set, at));
        return Ok(Ret::TRUE);
    }
    let patience = cx.worker.engine.sleep(PATIENCE);
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            if !(Acquire {
                set: set.clone(),
                at,
                patience,
            })
            .await
            {
                return Fault::limit(format!(
                    "the lock of '{key}' was not released within {} s",
                    PATIENCE.as_secs()
                ))
                .into();
            }
            cx.extra::<Held>().0.push((set, at));
            Ret::TRUE
        })
    }))
}

pub(super) fn trylock(m: &Cfgutils, cx: &mut Cx, key: Str, second: Option<Str>) -> Result<bool, Fault> {
    let (set, at) = place(m, &key, second.as_ref())?;
    let taken = set.try_take(at);
    if taken {
        cx.extra::<Held>().0.push((set, at));
    }
    Ok(taken)
}

/// A lock that this message does not hold stays as it is.
pub(super) fn unlock(m: &Cfgutils, cx: &mut Cx, key: Str, second: Option<Str>) -> Result<bool, Fault> {
    let (set, at) = place(m, &key, second.as_ref())?;
    if let Some(held) = holds(cx, &set, at) {
        cx.extra::<Held>().0.swap_remove(held);
        set.release(at);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn a_lock_belongs_to_one_message_until_it_ends() {
        let m = Cfgutils::for_tests(4);
        let server = Server::default();
        let (mut one, mut other) = (server.invite(), server.invite());
        let key = || Str::from("a");
        assert!(matches!(lock(&m, &mut one, key(), None), Ok(Ret::Code(1))));
        assert!(lock(&m, &mut one, key(), None).is_err());
        assert_eq!(trylock(&m, &mut other, key(), None), Ok(false));
        assert!(matches!(lock(&m, &mut other, key(), None), Ok(Ret::Wait(_))));
        assert_eq!(unlock(&m, &mut other, key(), None), Ok(true));
        assert_eq!(trylock(&m, &mut other, key(), None), Ok(false));
        drop(one);
        assert_eq!(trylock(&m, &mut other, key(), None), Ok(true));
        assert_eq!(unlock(&m, &mut other, key(), None), Ok(true));
        assert_eq!(trylock(&m, &mut other, key(), None), Ok(true));
    }
}
