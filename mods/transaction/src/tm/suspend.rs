//! Transactions that wait: `t_suspend()`, and what goes on with them later.
//!
//! A request waits as a branch that nobody was asked for: its timers end the transaction where nothing goes on with it.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Decl, Fault, Outcome, Ret, RouteId, RouteKind, Worker, debug, route::ScriptStep};
use kahea_sip::Method;
use kahea_tx::{Actions, BranchId, Client};

use super::{
    Tm, answer,
    attached::{self, Attached, Role},
    cell::{Branch, Cell, Context, Held, State, Switches, Work},
    core::{Core, now},
    create::{self, Began},
    failure,
    kept::{SavedTarget, SentRequest, Snapshot},
    replies, timer, turn,
};

/// What a transaction waits with.
pub enum Suspended {
    /// Its request, in the place of this branch.
    Request(BranchId),
    /// A reply of this branch.
    Reply {
        /// The branch.
        branch: BranchId,
        /// The reply's status.
        status: u16,
        /// The reply, once its route has ended.
        held: Option<Box<Held>>,
    },
}

/// Where the script goes on.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// In a route of its own.
    Route(RouteId),
    /// Behind the step that suspended it, to the end of that step's block.
    Behind(ScriptStep),
}

/// What is done to the message before it goes on.
pub type Prepare = Box<dyn FnOnce(&mut Cx) + Send>;

/// Declares what belongs to it in module `tm`.
pub fn declare(d: &mut Decl<Tm>) {
    d.func(
        "t_is_retr_async_reply",
        [],
        is_repeated_reply,
        "The reply repeats one that t_suspend() holds back.",
    )
    .routes(RouteKind::Reply.set())
    .kemi(0, "t_is_retr_async_reply");
}

fn is_repeated_reply(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let cell = attached::cell(cx).ok_or_else(|| Fault::script("the reply has no transaction"))?;
    let Role::Reply(branch) = attached::role(cx) else {
        return Ok(false);
    };
    let status = cx.msg.status().unwrap_or(0);
    let repeats = cell.state.lock().waits_with_reply(branch, status);
    Ok(repeats)
}

impl State {
    /// A reply of this branch and status is held back.
    fn waits_with_reply(&self, branch: BranchId, status: u16) -> bool {
        matches!(
            &self.suspended,
            Some(waiting) if matches!(**waiting, Suspended::Reply { branch: of, status: at, held: Some(_) } if of == branch && at == status)
        )
    }

    fn waits_with_request(&self) -> Option<BranchId> {
        match self.suspended.as_deref()? {
            Suspended::Request(branch) => Some(*branch),
            Suspended::Reply { .. } => None,
        }
    }

    fn wake(&mut self) -> Option<Suspended> {
        self.switches.set(Switches::SUSPENDED, false);
        self.suspended.take().map(|waiting| *waiting)
    }
}

/// Sets the message aside in its transaction, which is begun where there is none; the script goes on.
///
/// # Errors
/// It is answered, cannot have a transaction, or is a reply to a request of which another one waits.
pub fn suspend(core: &Arc<Core>, cx: &mut Cx) -> Result<Ret, Fault> {
    match attached::role(cx) {
        Role::Reply(branch) => suspend_reply(branch, cx),
        Role::Branch(_) => Err(Fault::script(
            "a branch cannot be suspended while it is being built",
        )),
        _ if !cx.msg.is_request() => Err(Fault::script(
            "only replies in an onreply_route that t_on_reply() armed can be suspended",
        )),
        _ if cx.msg.method() == Method::Ack => Err(Fault::script("an ACK cannot be suspended")),
        _ => suspend_request(core, cx),
    }
}

fn suspend_request(core: &Arc<Core>, cx: &mut Cx) -> Result<Ret, Fault> {
    let cell = match attached::cell(cx) {
        Some(cell) => cell,
        None => match create::begin(core, cx)? {
            Began::New(cell) => cell,
            Began::Repeated => return Ok(Ret::EXIT),
        },
    };
    {
        let state = cell.state.lock();
        if state.tx.server().is_final() {
            return Err(Fault::script(
                "the transaction is answered already: it cannot wait",
            ));
        }
        if state.suspended.is_some() {
            // Once is enough.
            return Ok(Ret::TRUE);
        }
    }
    let role = attached::role(cx);
    answer::trying(&cell, cx)?;
    let worker = cx.worker.clone();
    let mut state = cell.state.lock();
    let branch = blind_branch(&cell, &mut state, cx)?;
    state.tx.sent(now(&worker), branch, true);
    if matches!(role, Role::Failure(_)) && state.drop_replies != 0 {
        state.tx.count_from(branch);
    }
    if role == Role::Request {
        *state.context = Context::copy(cx);
    }
    state.snapshot.get_or_insert_with(|| Box::new(Snapshot::of(cx)));
    state.switches.set(Switches::SUSPENDED, true);
    state.suspended = Some(Box::new(Suspended::Request(branch)));
    timer::arm(&cell, &mut state, &worker);
    drop(state);
    let attached = cx.extra::<Attached>();
    attached.settled = true;
    attached.suspended = true;
    Ok(Ret::TRUE)
}

/// A branch without a request.
pub fn blind_branch(cell: &Cell, state: &mut State, cx: &Cx) -> Result<BranchId, Fault> {
    let to = state
        .reply_to
        .ok_or_else(|| Fault::script("the request of this server itself cannot be suspended"))?;
    let limit = usize::try_from(cell.config.globals.max_branches).unwrap_or(12);
    if state.branches.len() >= limit {
        return Err(Fault::limit(format!(
            "the request has {limit} branches already (max_branches)"
        )));
    }
    let mut target = SavedTarget::from(&cx.target);
    target.flags = 0;
    let failed = attached::role(cx).branch();
    let failed = failed.and_then(|branch| state.branches.get(branch.index()));
    let on_reply = state
        .arms
        .reply
        .or_else(|| failed.and_then(|known| known.on_reply));
    state.branches.push(Branch {
        to,
        sent: SentRequest::NONE,
        target,
        rest: Vec::new(),
        on_reply,
        on_failure: state.arms.failure,
        on_branch_failure: None,
        held: None,
        cancel: None,
    });
    Ok(state.tx.add_branch())
}

fn suspend_reply(branch: BranchId, cx: &mut Cx) -> Result<Ret, Fault> {
    let cell = attached::cell(cx).ok_or_else(|| Fault::script("the reply has no transaction"))?;
    let mut state = cell.state.lock();
    if state.suspended.is_some() {
        return Err(Fault::script("the transaction is suspended already"));
    }
    let status = cx.msg.status().unwrap_or(0);
    let open = state.tx.client(branch).is_some_and(Client::is_pending);
    if open && status >= 200 {
        // The request has been answered: nobody has to repeat it, nor to wait for a first sign of life.
        state.tx.reply(now(&cx.worker), branch, 100, &mut Actions::new());
    }
    state.suspended = Some(Box::new(Suspended::Reply {
        branch,
        status,
        held: None,
    }));
    drop(state);
    cx.extra::<Attached>().suspended = true;
    Ok(Ret::TRUE)
}

/// The request route that suspended its message has ended. The transaction takes over the values that were set since,
/// unless somebody has gone on with it.
pub fn request_left(cell: &Cell, cx: &mut Cx) {
    let mut state = cell.state.lock();
    if state.switches.has(Switches::SUSPENDED) {
        state.context.swap_values(cx);
    }
}

/// The reply route has ended: gives the reply back unless it is to wait, or repeats one that waits.
pub fn reply_left(cell: &Arc<Cell>, branch: BranchId, mut cx: Cx) -> Option<Cx> {
    let asked = cx
        .extra_ref::<Attached>()
        .is_some_and(|attached| attached.suspended);
    let worker = cx.worker.clone();
    let mut state = cell.state.lock();
    let repeats = state.waits_with_reply(branch, cx.msg.status().unwrap_or(0));
    match state.suspended.as_deref_mut() {
        Some(Suspended::Reply { held, .. }) if asked && held.is_none() => {
            *held = Some(Box::new(Held::of(&mut cx)));
        }
        _ if repeats => debug!("tm", "A reply repeats one that is suspended."),
        _ => return Some(cx),
    }
    drop(state);
    cx.finish();
    turn::done(cell, &worker);
    None
}

/// Branches ended for want of an answer: a request that waits in their place waits no longer.
pub fn given_up(cell: &Cell, branches: &[BranchId]) {
    let mut state = cell.state.lock();
    if state
        .waits_with_request()
        .is_some_and(|branch| branches.contains(&branch))
    {
        state.wake();
    }
}

/// Goes on with a transaction that waits; false where it does not.
pub fn resume(cell: &Arc<Cell>, worker: &Rc<Worker>, entry: Entry, prepare: Option<Prepare>) -> bool {
    {
        let state = cell.state.lock();
        let waits = match state.suspended.as_deref() {
            Some(Suspended::Request(_)) => !state.tx.server().is_final(),
            Some(Suspended::Reply { .. }) => true,
            None => false,
        };
        if !waits {
            return false;
        }
    }
    let worker = timer::worker_of(cell, worker);
    let work = move |cell: Arc<Cell>, worker: &Rc<Worker>| go_on(cell, worker, entry, prepare);
    turn::take(cell, &worker, Work::Do(Box::new(work)));
    true
}

fn go_on(cell: Arc<Cell>, worker: &Rc<Worker>, entry: Entry, prepare: Option<Prepare>) {
    let waiting = cell.state.lock().wake();
    match waiting {
        Some(Suspended::Request(branch)) => again(cell, worker, branch, entry, prepare),
        Some(Suspended::Reply {
            branch,
            held: Some(held),
            ..
        }) => reply_again(cell, branch, held.into_cx(worker.clone()), entry, prepare),
        Some(Suspended::Reply { held: None, .. }) | None => turn::done(&cell, worker),
    }
}

fn run(cx: Cx, entry: Entry, then: impl FnOnce(Cx, Outcome) + 'static) {
    let engine = cx.worker.engine.clone();
    match entry {
        Entry::Route(route) => engine.run_then(cx, route, Box::new(then)),
        Entry::Behind(step) => engine.run_behind(cx, step, Box::new(then)),
    }
}

/// Runs the script on the request again. As in Kamailio it is in the place of a failure route.
fn again(cell: Arc<Cell>, worker: &Rc<Worker>, branch: BranchId, entry: Entry, prepare: Option<Prepare>) {
    let mut cx = match cell.request_cx(worker.clone()) {
        Ok(cx) => cx,
        Err(fault) => {
            kahea_module::error!("tm", "{fault}");
            return turn::done(&cell, worker);
        }
    };
    let before = {
        let mut state = cell.state.lock();
        state.tx.withdraw(branch);
        let on_reply = state
            .branches
            .get(branch.index())
            .and_then(|known| known.on_reply);
        state.arms.reply = state.arms.reply.or(on_reply);
        state.context.swap(&mut cx);
        state.branches.len()
    };
    cx.target.flags = 0;
    cx.route = RouteKind::Failure;
    let attached = cx.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = Role::Resumed;
    attached.settled = true;
    if let Some(prepare) = prepare {
        prepare(&mut cx);
    }
    run(cx, entry, move |cx, _| after_again(cell, before, cx));
}

fn after_again(cell: Arc<Cell>, before: usize, mut cx: Cx) {
    let worker = cx.worker.clone();
    let more = {
        let mut state = cell.state.lock();
        let more = state.branches.len() > before;
        if more && !state.switches.has(Switches::SUSPENDED) {
            // Failure routes of these branches begin from here.
            state.snapshot = Some(Box::new(Snapshot::of(&cx)));
        }
        state.context.swap(&mut cx);
        if state.tx.server().is_final() || state.switches.has(Switches::SUSPENDED) {
            drop(state);
            cx.finish();
            return turn::done(&cell, &worker);
        }
        more || state.tx.has_pending()
    };
    cx.finish();
    if more {
        return failure::choose(cell, &worker, None);
    }
    answer::in_place(&cell, &worker, 500, UNANSWERED);
    turn::done(&cell, &worker);
}

/// What the caller gets where the script went on with a request and did nothing about it.
const UNANSWERED: &[u8] = b"I'm terribly sorry, server error occurred (1/TM)";

fn reply_again(cell: Arc<Cell>, branch: BranchId, mut cx: Cx, entry: Entry, prepare: Option<Prepare>) {
    cell.state.lock().context.swap(&mut cx);
    cx.route = RouteKind::Reply;
    let attached = cx.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = Role::Reply(branch);
    if let Some(prepare) = prepare {
        prepare(&mut cx);
    }
    run(cx, entry, move |cx, outcome| {
        replies::routed(cell, branch, cx, outcome);
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kahea_module::{Str, testing::INVITE};
    use parking_lot::Mutex;

    use super::*;
    use crate::tm::{relay, testing::Bench};

    const RESUME: RouteId = RouteId(7);
    const FLAG_BEFORE: u32 = 1 << 2;
    const FLAG_AFTER: u32 = 1 << 3;

    /// An INVITE that was suspended, its script ended.
    fn suspended(bench: &Bench) -> Arc<Cell> {
        let mut cx = bench.server.invite();
        cx.flags = FLAG_BEFORE;
        assert!(matches!(suspend(&bench.core, &mut cx), Ok(Ret::Code(1))));
        cx.flags = FLAG_AFTER;
        let cell = attached::cell(&cx).expect("a transaction");
        relay::request_ended(&mut cx);
        cx.finish();
        cell
    }

    fn go_on(bench: &Bench, cell: &Arc<Cell>) -> bool {
        resume(cell, &bench.server.worker, Entry::Route(RESUME), None)
    }

    #[test]
    fn a_request_goes_on_once_and_is_answered_where_the_script_does_nothing() {
        let bench = Bench::default();
        let cell = suspended(&bench);
        assert_eq!(
            bench.sent(),
            ["SIP/2.0 100 trying -- your call is important to us"]
        );
        assert!(go_on(&bench, &cell));
        assert_eq!(*bench.server.engine.ran.borrow(), [RESUME]);
        assert_eq!(
            bench.sent(),
            ["SIP/2.0 500 I'm terribly sorry, server error occurred (1/TM)"]
        );
        assert!(!go_on(&bench, &cell), "it is not suspended any more");
    }

    #[test]
    fn it_has_the_flags_of_the_moment_and_the_role_of_a_failed_request() {
        let bench = Bench::default();
        let cell = suspended(&bench);
        let seen = Arc::new(Mutex::new(None));
        let note = seen.clone();
        let prepare: Prepare = Box::new(move |cx: &mut Cx| {
            *note.lock() = Some((cx.flags, cx.route, attached::role(cx)));
        });
        resume(
            &cell,
            &bench.server.worker,
            Entry::Behind(ScriptStep::start(RESUME)),
            Some(prepare),
        );
        assert_eq!(
            *seen.lock(),
            Some((FLAG_BEFORE, RouteKind::Failure, Role::Resumed))
        );
    }

    #[test]
    fn nobody_goes_on_with_it_and_the_caller_gets_a_408() {
        let bench = Bench::default();
        let cell = suspended(&bench);
        bench.sent();
        bench.server.engine.advance(Duration::from_secs(30));
        turn::take(&cell, &bench.server.worker, Work::Tick);
        assert_eq!(bench.sent(), ["SIP/2.0 408 Request Timeout"]);
        assert!(!go_on(&bench, &cell));
    }

    #[test]
    fn it_is_cancelled_while_it_waits() {
        let bench = Bench::default();
        let cell = suspended(&bench);
        bench.sent();
        turn::take(&cell, &bench.server.worker, Work::Cancel(Str::EMPTY));
        assert_eq!(bench.sent(), ["SIP/2.0 487 Request canceled"]);
        assert!(!go_on(&bench, &cell));
    }

    #[test]
    fn a_second_time_changes_nothing_and_a_message_without_a_transaction_is_refused() {
        let bench = Bench::default();
        let mut cx = bench.server.invite();
        assert!(suspend(&bench.core, &mut cx).is_ok());
        assert!(matches!(suspend(&bench.core, &mut cx), Ok(Ret::Code(1))));
        let cell = attached::cell(&cx).expect("a transaction");
        assert_eq!(cell.state.lock().branches.len(), 1, "once is enough");
        let ack = INVITE.replace("INVITE", "ACK");
        assert!(suspend(&bench.core, &mut bench.server.message(&ack)).is_err());
        let reply = INVITE.replace(
            "INVITE sip:bob@example.com:5070;transport=udp SIP/2.0",
            "SIP/2.0 200 OK",
        );
        assert!(suspend(&bench.core, &mut bench.server.message(&reply)).is_err());
    }

    #[test]
    fn a_reply_waits_and_its_repetition_goes_nowhere() {
        let bench = Bench::default();
        let mut request = bench
            .server
            .message(&INVITE.replace("example.com:5070", "127.0.0.1:5071"));
        assert!(matches!(
            relay::relay(&bench.core, &mut request, relay::How::default()),
            Ret::Code(1)
        ));
        let cell = attached::cell(&request).expect("a transaction");
        relay::request_ended(&mut request);
        request.finish();
        bench.sent();
        let branch = BranchId(0);
        let reply = || {
            let text = INVITE
                .replace(
                    "INVITE sip:bob@example.com:5070;transport=udp SIP/2.0",
                    "SIP/2.0 200 OK",
                )
                .replace("Via:", "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK0\nVia:");
            let mut cx = bench.server.message(&text);
            let attached = cx.extra::<Attached>();
            attached.cell = Some(cell.clone());
            attached.role = Role::Reply(branch);
            cx
        };
        let mut first = reply();
        assert!(suspend(&bench.core, &mut first).is_ok());
        cell.state.lock().busy = true;
        assert!(reply_left(&cell, branch, first).is_none());
        assert!(cell.state.lock().waits_with_reply(branch, 200));
        cell.state.lock().busy = true;
        assert!(reply_left(&cell, branch, reply()).is_none(), "a repetition");
        assert_eq!(bench.sent(), Vec::<String>::new());
        assert!(go_on(&bench, &cell));
        assert_eq!(bench.sent(), ["SIP/2.0 200 OK"]);
    }
}
