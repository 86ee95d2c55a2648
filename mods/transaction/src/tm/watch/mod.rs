//! What other modules are told of transactions (accounting, dialogs): a service that they register with.
//!
//! A [`Watcher`] names the events it wants; nothing is done for the others. Whatever it is told of, it can look at the
//! request as the script left it, and keep values with the transaction.

use std::{
    any::{Any, TypeId},
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use kahea_module::{Cx, Env, Str, Worker};
use kahea_sip::{HeaderId, Limits, Message, Method, Received, view::NameAddr};
use kahea_tx::{BranchId, Outcome};
use parking_lot::Mutex;

use super::{
    answer,
    attached::{self, Attached},
    cell::{Cell, Held},
    timer,
    uac::pair,
};

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u8);

impl Events {
    /// None.
    pub const NONE: Events = Events(0);
    /// [`Watcher::begun`].
    pub const BEGUN: Events = Events(1);
    /// [`Watcher::replied`].
    pub const REPLIED: Events = Events(1 << 1);
    /// [`Watcher::failed`].
    pub const FAILED: Events = Events(1 << 2);
    /// [`Watcher::acknowledged`].
    pub const ACKNOWLEDGED: Events = Events(1 << 3);
    /// [`Watcher::cancelled`].
    pub const CANCELLED: Events = Events(1 << 4);
    /// [`Watcher::completed`].
    pub const COMPLETED: Events = Events(1 << 5);
    /// [`Watcher::ended`].
    pub const ENDED: Events = Events(1 << 6);

    /// Those of both.
    pub const fn and(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }

    /// All of `other` are among them.
    pub const fn has(self, other: Events) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a module wants to be told of transactions.
///
/// The functions run on the worker that the event came to, in the middle of a message: what takes time belongs into a
/// task ([`kahea_module::Engine::spawn`]). No lock is held meanwhile.
pub trait Watcher: Send + Sync {
    /// The events that it wants; asked once, when it registers.
    fn wants(&self) -> Events;

    /// A received request began its transaction; its script runs, and what it sets later is not known yet.
    fn begun(&self, _: &mut Transaction<'_>) {}

    /// A reply left for the caller: passed on or made here, 100 and other provisional ones included.
    ///
    /// Repetitions by this server (by timer, or because the request was repeated) are not told.
    fn replied(&self, _: &mut Transaction<'_>, _: &Reply<'_>) {}

    /// Every branch has ended without a 2xx, and this is the result that was chosen; the failure route, where there is
    /// one, runs next and sees the flags and values that the watcher leaves in the request. With serial forking this
    /// comes once for each leg.
    fn failed(&self, _: &mut Transaction<'_>, _: &Reply<'_>) {}

    /// An ACK to a 2xx of this INVITE is being relayed. It shows the values (`$avp()`, …) of the INVITE's transaction,
    /// and its own flags.
    fn acknowledged(&self, _: &mut Transaction<'_>, _ack: &mut Cx) {}

    /// A CANCEL for this INVITE came and will be answered; its branches are cancelled next.
    fn cancelled(&self, _: &mut Transaction<'_>, _cancel: &mut Cx) {}

    /// A request of this server's own got its final reply, or ended without one.
    fn completed(&self, _: &mut Transaction<'_>, _: &Reply<'_>) {}

    /// The transaction goes out of memory. What it kept is given back for the last time.
    fn ended(&self, _: &mut Transaction<'_>) {}
}

/// A reply, or what stands for one where none came.
pub struct Reply<'a> {
    /// Its status.
    pub status: u16,
    /// Its reason phrase.
    pub reason: &'a [u8],
    /// As it was received, and how; `None` where this server made it or gave up by itself.
    pub received: Option<(&'a Message, &'a Received)>,
    /// As it left, where this server made it.
    pub made: Option<&'a Str>,
    /// The number of the branch that it came from, or that ended without one.
    pub branch: Option<usize>,
    /// A 2xx with this To-tag went to the caller before.
    pub repeated: bool,
}

impl<'a> Reply<'a> {
    /// What a branch ended with, where no reply came.
    pub(super) fn of(branch: BranchId, status: u16, reason: &'a [u8]) -> Reply<'a> {
        Reply {
            status,
            reason,
            received: None,
            made: None,
            branch: Some(branch.index()),
            repeated: false,
        }
    }

    /// Its To-tag; empty without one.
    pub fn to_tag(&self) -> Str {
        match (self.received, self.made) {
            (Some((message, _)), _) => to_tag(message),
            (None, Some(made)) => {
                Message::parse(made.clone(), &Limits::default()).map_or(Str::EMPTY, |made| to_tag(&made))
            }
            (None, None) => Str::EMPTY,
        }
    }
}

fn to_tag(message: &Message) -> Str {
    let value = message.first(HeaderId::To).map(|header| message.value(header));
    let addr = value.and_then(|value| NameAddr::parse(value).ok());
    addr.and_then(|addr| addr.tag().map(Str::copy))
        .unwrap_or(Str::EMPTY)
}

/// The reply that an event is about, for `$T_reply_code`, `$T_rpl()` and their kin while a watcher looks at the request.
#[derive(Clone)]
pub struct Reported {
    /// Its status.
    pub status: u16,
    /// Its reason phrase.
    pub reason: Str,
    /// Where it came from.
    pub branch: Option<BranchId>,
    reply: Option<(Message, Received)>,
}

impl Reported {
    fn of(reply: &Reply<'_>) -> Reported {
        Reported {
            status: reply.status,
            reason: Str::copy(reply.reason),
            branch: reply.branch.map(BranchId::at),
            reply: reply.received.map(|(message, how)| (message.clone(), *how)),
        }
    }

    /// The reply, to be read.
    pub fn view(&self, worker: Rc<Worker>) -> Option<Cx> {
        let (message, received) = self.reply.clone()?;
        Some(Cx::new(message, received, worker))
    }
}

/// Values that watchers keep with a transaction.
#[derive(Default)]
pub struct Kept(Vec<(TypeId, Box<dyn Any + Send>)>);

impl Kept {
    fn of<T: Default + Send + 'static>(&mut self) -> Option<&mut T> {
        let id = TypeId::of::<T>();
        let at = match self.0.iter().position(|(known, _)| *known == id) {
            Some(at) => at,
            None => {
                self.0.push((id, Box::new(T::default())));
                self.0.len().saturating_sub(1)
            }
        };
        self.0.get_mut(at).and_then(|(_, any)| any.downcast_mut())
    }
}

/// The transaction that an event is about.
pub struct Transaction<'a> {
    cell: &'a Arc<Cell>,
    worker: Rc<Worker>,
    at_hand: Option<&'a mut Cx>,
    built: Option<Cx>,
    reported: Option<Reported>,
}

impl<'a> Transaction<'a> {
    fn new(cell: &'a Arc<Cell>, worker: &Rc<Worker>, at_hand: Option<&'a mut Cx>) -> Transaction<'a> {
        Transaction {
            cell,
            worker: timer::worker_of(cell, worker),
            at_hand,
            built: None,
            reported: None,
        }
    }

    /// The worker that the event came to.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// The request's method.
    pub fn method(&self) -> Method {
        self.cell.method
    }

    /// As `$T(id_index)`, `$T(id_label)` name it.
    pub fn id(&self) -> (u32, u32) {
        pair(self.cell.id)
    }

    /// This server made the request.
    pub fn is_local(&self) -> bool {
        self.cell.state.lock().tx.is_local()
    }

    /// The status of the last reply to the caller; 0 before any.
    pub fn status(&self) -> u16 {
        self.cell.state.lock().tx.server().status()
    }

    /// The message flags, as the request has them now.
    pub fn flags(&self) -> u32 {
        match &self.at_hand {
            Some(cx) if has_values(self.cell, cx) => cx.flags,
            _ => self.cell.state.lock().context.flags(),
        }
    }

    /// The Request-URI that a branch was sent with.
    pub fn branch_uri(&self, branch: usize) -> Option<Str> {
        let state = self.cell.state.lock();
        state.branches.get(branch)?.target.ruri.clone()
    }

    /// The branch flags of a branch.
    pub fn branch_flags(&self, branch: usize) -> Option<u32> {
        let state = self.cell.state.lock();
        state.branches.get(branch).map(|known| known.target.flags)
    }

    /// Looks at the request as the script left it, with the values and flags of its transaction: script variables read
    /// it, `$T_reply_code` and `$T_rpl()` the reply that the event is about. Flags and values that are set stay.
    ///
    /// It is read again from its bytes where it is not in work any more, once for all watchers of one event. `None`:
    /// that failed, which would be a defect of this server.
    pub fn request<R>(&mut self, look: impl FnOnce(&mut Cx) -> R) -> Option<R> {
        let cx = match (&mut self.at_hand, &mut self.built) {
            (Some(cx), _) => cx,
            (None, Some(cx)) => cx,
            (None, built) => built.insert(self.cell.request_cx(self.worker.clone()).ok()?),
        };
        let borrowed = !has_values(self.cell, cx);
        if borrowed {
            self.cell.state.lock().context.swap(cx);
        }
        let attached = cx.extra::<Attached>();
        let before = attached.cell.replace(self.cell.clone());
        attached.reported = self.reported.clone().map(Box::new);
        let result = look(cx);
        let attached = cx.extra::<Attached>();
        attached.cell = before;
        attached.reported = None;
        if borrowed {
            self.cell.state.lock().context.swap(cx);
        }
        Some(result)
    }

    /// A value that the watcher keeps with the transaction, one of each type; made by `Default` at first use.
    pub fn keep<T: Default + Send + 'static, R>(&self, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut state = self.cell.state.lock();
        state.kept.get_or_insert_default().of::<T>().map(change)
    }

    /// A value that the watcher kept before.
    pub fn kept<T: Clone + 'static>(&self) -> Option<T> {
        let state = self.cell.state.lock();
        let known = state.kept.as_ref()?.0.iter();
        known
            .filter_map(|(_, any)| any.downcast_ref::<T>())
            .next()
            .cloned()
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if let Some(cx) = self.built.take() {
            cx.finish();
        }
    }
}

/// The message in work has the values of its transaction.
fn has_values(cell: &Arc<Cell>, cx: &Cx) -> bool {
    attached::cell(cx).is_some_and(|known| Arc::ptr_eq(&known, cell))
}

/// A watcher with what it wants to be told.
type Wanting = (Events, Arc<dyn Watcher>);

/// The modules that watch the transactions of one configuration: published by whichever module asks first, so that the
/// order of `loadmodule` does not matter.
#[derive(Default)]
pub struct Watchers {
    starting: Mutex<Vec<Wanting>>,
    /// Complete as soon as the first event comes.
    all: OnceLock<Box<[Wanting]>>,
    wanted: AtomicU8,
    live: OnceLock<()>,
}

impl Watchers {
    /// Those of this configuration.
    pub fn of(env: &mut Env<'_>) -> Arc<Watchers> {
        if let Some(known) = env.service::<Watchers>() {
            return known;
        }
        let made = Arc::new(Watchers::default());
        env.provide(made.clone());
        made
    }

    /// Registers a module, while modules start; false later, when it is of no effect.
    pub fn add(&self, watcher: Arc<dyn Watcher>) -> bool {
        let wants = watcher.wants();
        if self.all.get().is_some() {
            return false;
        }
        self.wanted.fetch_or(wants.0, Relaxed);
        self.starting.lock().push((wants, watcher));
        true
    }

    /// Module `tm` is loaded: without it nothing is ever told. To be asked once all modules have started.
    pub fn is_live(&self) -> bool {
        self.live.get().is_some()
    }

    pub(super) fn begin(&self) {
        let _ = self.live.set(());
    }

    /// Somebody wants this event.
    pub(super) fn wants(&self, event: Events) -> bool {
        Events(self.wanted.load(Relaxed)).has(event)
    }

    fn each(&self, event: Events) -> impl Iterator<Item = &dyn Watcher> {
        let all = self
            .all
            .get_or_init(|| std::mem::take(&mut *self.starting.lock()).into());
        let wanted = all.iter().filter(move |(wants, _)| wants.has(event));
        wanted.map(|(_, watcher)| &**watcher)
    }
}

/// A request began its transaction.
pub fn begun(cell: &Arc<Cell>, cx: &mut Cx) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::BEGUN) {
        return;
    }
    let worker = cx.worker.clone();
    let mut tx = Transaction::new(cell, &worker, Some(cx));
    for watcher in watchers.each(Events::BEGUN) {
        watcher.begun(&mut tx);
    }
}

/// A reply that was made here left; `cx` is the request.
pub fn answered(cell: &Arc<Cell>, cx: &mut Cx, status: u16, reason: &[u8], data: &Str) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::REPLIED) {
        return;
    }
    let reply = Reply {
        status,
        reason,
        received: None,
        made: Some(data),
        branch: None,
        repeated: false,
    };
    let worker = cx.worker.clone();
    tell_replied(Transaction::new(cell, &worker, Some(cx)), &reply);
}

/// A reply was passed on; `cx` is that reply. `before` is what had left for the caller until then.
pub fn passed_on(cell: &Arc<Cell>, branch: BranchId, cx: &Cx, before: Option<&Str>) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::REPLIED) {
        return;
    }
    let before = before.and_then(|data| Message::parse(data.clone(), &Limits::default()).ok());
    let repeated = before.is_some_and(|before| to_tag(&before) == to_tag(&cx.msg));
    let (status, reason) = (cx.msg.status().unwrap_or(0), cx.msg.reason().unwrap_or_default());
    let reply = Reply {
        received: Some((&cx.msg, &cx.received)),
        repeated,
        ..Reply::of(branch, status, reason)
    };
    tell_replied(Transaction::new(cell, &cx.worker, None), &reply);
}

fn tell_replied(mut tx: Transaction<'_>, reply: &Reply<'_>) {
    tx.reported = Some(Reported::of(reply));
    for watcher in tx.cell.core.watchers.each(Events::REPLIED) {
        watcher.replied(&mut tx, reply);
    }
}

/// The result of this branch was chosen for the caller.
pub fn failed(cell: &Arc<Cell>, worker: &Rc<Worker>, branch: BranchId) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::FAILED) || cell.state.lock().tx.is_local() {
        return;
    }
    let (outcome, held) = {
        let state = cell.state.lock();
        let outcome = state
            .tx
            .client(branch)
            .map_or(Outcome::Pending, |client| client.outcome());
        let held = state
            .branches
            .get(branch.index())
            .and_then(|known| known.held.as_deref());
        (
            outcome,
            held.map(|Held { msg, received, .. }| (msg.clone(), *received)),
        )
    };
    let status = match outcome {
        Outcome::TimedOut => cell.core.options().reply_408_code,
        outcome => outcome.status().unwrap_or(500),
    };
    let reason = match &held {
        Some((msg, _)) => msg.reason().unwrap_or_default(),
        None => answer::reason_of(status),
    };
    let reply = Reply {
        received: held.as_ref().map(|(msg, received)| (msg, received)),
        ..Reply::of(branch, status, reason)
    };
    let mut tx = Transaction::new(cell, worker, None);
    tx.reported = Some(Reported::of(&reply));
    for watcher in watchers.each(Events::FAILED) {
        watcher.failed(&mut tx, &reply);
    }
}

/// An ACK to a 2xx of this INVITE is being relayed.
pub fn acknowledged(cell: &Arc<Cell>, ack: &mut Cx) {
    let worker = ack.worker.clone();
    cell.state.lock().context.swap_values(ack);
    let mut tx = Transaction::new(cell, &worker, None);
    for watcher in cell.core.watchers.each(Events::ACKNOWLEDGED) {
        watcher.acknowledged(&mut tx, ack);
    }
    cell.state.lock().context.swap_values(ack);
}

/// A CANCEL for this INVITE came.
pub fn cancelled(cell: &Arc<Cell>, cancel: &mut Cx) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::CANCELLED) {
        return;
    }
    let worker = cancel.worker.clone();
    let mut tx = Transaction::new(cell, &worker, None);
    for watcher in watchers.each(Events::CANCELLED) {
        watcher.cancelled(&mut tx, cancel);
    }
}

/// A request of this server's own has its result.
pub fn completed(cell: &Arc<Cell>, worker: &Rc<Worker>, reply: &Reply<'_>) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::COMPLETED) {
        return;
    }
    let mut tx = Transaction::new(cell, worker, None);
    tx.reported = Some(Reported::of(reply));
    for watcher in watchers.each(Events::COMPLETED) {
        watcher.completed(&mut tx, reply);
    }
}

/// The transaction is over.
pub fn ended(cell: &Arc<Cell>, worker: &Rc<Worker>) {
    let watchers = &cell.core.watchers;
    if !watchers.wants(Events::ENDED) {
        return;
    }
    let mut tx = Transaction::new(cell, worker, None);
    for watcher in watchers.each(Events::ENDED) {
        watcher.ended(&mut tx);
    }
}

#[cfg(test)]
mod tests;
