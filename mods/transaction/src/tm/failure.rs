//! Branches that ended without a 2xx: other addresses of the same hop, branch failure routes, the choice of the reply,
//! and the failure route.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Outcome as RouteOutcome, ReplyExtra, RouteId, RouteKind, Str, Worker, debug};
use kahea_sip::HeaderId;
use kahea_tx::{Actions, BranchId, Choice, Outcome};
use smallvec::SmallVec;

use super::{
    answer,
    attached::{Attached, Role, UsedTarget},
    cell::{Arms, Cell, State, Switches, Work},
    core::{Core, now},
    failover, local, replies, suspend, timer, turn, watch,
    wire::{self, carry_out},
};

type Ended = SmallVec<[BranchId; 1]>;

/// The transaction's deadline has come, and it is its turn.
pub fn tick(cell: Arc<Cell>, worker: &Rc<Worker>) {
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        state.tx.tick(now(worker), &mut actions);
        carry_out(&cell, &mut state, actions, None)
    };
    wire::send(worker, left.packets);
    if left.delete {
        forget(&cell, worker);
    }
    ended(cell, worker, left.ended, None);
}

fn forget(cell: &Arc<Cell>, worker: &Rc<Worker>) {
    cell.core.table.remove(cell);
    cell.core.counters.inuse.add(-1);
    if !cell.state.lock().tx.server().is_final() {
        cell.core.counters.active.add(-1);
    }
    watch::ended(cell, worker);
    cell.core.ended();
}

/// The network did not deliver this message: where it is the request of a branch, that has failed.
pub fn lost(core: &Arc<Core>, worker: &Rc<Worker>, data: &Str) {
    let Some((cell, branch)) = replies::sender(core, data) else {
        return;
    };
    let worker = timer::worker_of(&cell, worker);
    turn::take(&cell, &worker, Work::Unsent(branch));
}

/// The network did not deliver a branch's request, and it is the transaction's turn.
pub fn unsent(cell: Arc<Cell>, worker: &Rc<Worker>, branch: BranchId) {
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        // It counts as a branch that nobody answers.
        state.tx.unsent(now(worker), branch, 408, &mut actions);
        carry_out(&cell, &mut state, actions, None)
    };
    wire::send(worker, left.packets);
    ended(cell, worker, left.ended, None);
}

/// Sees to branches that ended, then to the transaction; ends the turn. `at_hand` is the branch whose reply is being
/// handled.
pub fn ended(cell: Arc<Cell>, worker: &Rc<Worker>, mut branches: Ended, at_hand: Option<BranchId>) {
    if branches.is_empty() {
        return turn::done(&cell, worker);
    }
    suspend::given_up(&cell, &branches);
    while !branches.is_empty() {
        let branch = branches.remove(0);
        let rules = &cell.core.options().further.blocklist;
        rules.note(worker, &cell, &cell.state.lock(), branch);
        if failover::next_address(&cell, worker, branch) {
            continue;
        }
        let route = {
            let mut state = cell.state.lock();
            // For branches that the route begins, it has to be set again.
            state.arms.branch_failure = None;
            let known = state.branches.get(branch.index());
            known
                .and_then(|known| known.on_branch_failure)
                .filter(|_| timer::runs(worker, &cell))
        };
        let Some(route) = route else { continue };
        let rest = branches.clone();
        if let Some(cx) = request(&cell, worker, branch, Role::BranchFailure(branch), at_hand) {
            let engine = worker.engine.clone();
            let then = move |cx: Cx, _: RouteOutcome| {
                let worker = cx.worker.clone();
                leave(&cell, cx);
                if rest.is_empty() {
                    choose(cell, &worker, at_hand);
                } else {
                    ended(cell, &worker, rest, at_hand);
                }
            };
            return engine.run_then(cx, route, Box::new(then));
        }
    }
    choose(cell, worker, at_hand);
}

/// The caller gets its reply if every branch has ended; the failure route has its say first.
pub fn choose(cell: Arc<Cell>, worker: &Rc<Worker>, at_hand: Option<BranchId>) {
    let (branch, route) = {
        let mut state = cell.state.lock();
        if state.switches.has(Switches::RELEASED) {
            drop(state);
            return turn::done(&cell, worker);
        }
        let Choice::Best(branch) = state.tx.choose() else {
            drop(state);
            return turn::done(&cell, worker);
        };
        let route = state
            .branches
            .get(branch.index())
            .and_then(|known| known.on_failure);
        // What a failure route wants for its branches it sets itself; only the reply route stays.
        state.arms = Arms {
            reply: state.arms.reply,
            ..Arms::default()
        };
        let runs = timer::runs(worker, &cell) && !state.switches.has(Switches::REPLICA);
        (branch, route.filter(|_| runs))
    };
    watch::failed(&cell, worker, branch);
    match route {
        Some(route) => run_failure(cell, worker, branch, route, at_hand),
        None => {
            best(&cell, worker, branch);
            turn::done(&cell, worker);
        }
    }
}

/// The request in work again, for a route about one of its branches.
fn request(
    cell: &Arc<Cell>,
    worker: &Rc<Worker>,
    branch: BranchId,
    role: Role,
    at_hand: Option<BranchId>,
) -> Option<Cx> {
    let mut cx = match cell.request_cx(worker.clone()) {
        Ok(cx) => cx,
        Err(fault) => {
            kahea_module::error!("tm", "{fault}");
            return None;
        }
    };
    let mut state = cell.state.lock();
    state.context.swap(&mut cx);
    if let Some(known) = state.branches.get(branch.index()) {
        cx.target.flags = known.target.flags;
    }
    drop(state);
    cx.route = match role {
        Role::Failure(_) => RouteKind::Failure,
        _ => RouteKind::Event,
    };
    let used = UsedTarget::of(&cx);
    let attached = cx.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = role;
    attached.used = Some(used);
    attached.at_hand = at_hand;
    Some(cx)
}

/// The shared values go back.
fn leave(cell: &Arc<Cell>, mut cx: Cx) {
    cell.state.lock().context.swap(&mut cx);
    cx.finish();
}

fn run_failure(
    cell: Arc<Cell>,
    worker: &Rc<Worker>,
    branch: BranchId,
    route: RouteId,
    at_hand: Option<BranchId>,
) {
    let Some(cx) = request(&cell, worker, branch, Role::Failure(branch), at_hand) else {
        best(&cell, worker, branch);
        return turn::done(&cell, worker);
    };
    let before = cell.state.lock().branches.len();
    let engine = worker.engine.clone();
    let then = move |cx: Cx, _: RouteOutcome| after_failure(cell, branch, before, cx);
    engine.run_then(cx, route, Box::new(then));
}

fn after_failure(cell: Arc<Cell>, branch: BranchId, before: usize, mut cx: Cx) {
    let worker = cx.worker.clone();
    // A leg that could not be sent leaves the caller with the result before it.
    cx.extra::<Attached>().failed = None;
    leave(&cell, cx);
    let more = {
        let mut state = cell.state.lock();
        if state.tx.server().is_final()
            || state.switches.has(Switches::SUSPENDED)
            || released(&cell, &mut state, &worker)
        {
            drop(state);
            return turn::done(&cell, &worker);
        }
        let more = state.branches.len() > before;
        if more && state.drop_replies != 0 {
            state.tx.count_from(BranchId::at(before));
        }
        more
    };
    if more {
        return choose(cell, &worker, None);
    }
    best(&cell, &worker, branch);
    turn::done(&cell, &worker);
}

fn released(cell: &Arc<Cell>, state: &mut State, worker: &Rc<Worker>) -> bool {
    if !state.switches.has(Switches::RELEASED) {
        return false;
    }
    let mut actions = Actions::new();
    state.tx.release(now(worker), &mut actions);
    let _ = carry_out(cell, state, actions, None);
    true
}

/// Gives the caller what this branch ended with.
fn best(cell: &Arc<Cell>, worker: &Rc<Worker>, branch: BranchId) {
    if cell.state.lock().tx.is_local() {
        return local::ended(cell, worker, branch);
    }
    let options = &cell.core.options();
    let (outcome, held) = {
        let mut state = cell.state.lock();
        if state.switches.has(Switches::REPLICA) {
            let mut actions = Actions::new();
            state.tx.release(now(worker), &mut actions);
            let _ = carry_out(cell, &mut state, actions, None);
            return;
        }
        let outcome = state
            .tx
            .client(branch)
            .map_or(Outcome::Pending, |client| client.outcome());
        let challenges = challenges(&state);
        let known = state.branches.get_mut(branch.index());
        let held = known.and_then(|known| known.held.take());
        if let (Outcome::Reply(status @ (401 | 407)), true) =
            (outcome, options.aggregate_challenges && challenges.len() > 1)
        {
            let lines = joined(&state, held.as_deref(), branch, &challenges);
            drop(state);
            return challenge(cell, worker, status, lines);
        }
        (outcome, held)
    };
    match (outcome, held) {
        (Outcome::Reply(503), Some(_)) if options.remap_503_500 => {
            cell.core.counters.absorbed.inc();
            answer::in_place(cell, worker, 500, answer::reason_of(503));
        }
        (Outcome::Reply(_), Some(held)) => {
            let mut cx = held.into_cx(worker.clone());
            answer::relay(cell, branch, &mut cx);
            cx.finish();
        }
        (Outcome::TimedOut | Outcome::Unsent(408), _) => {
            answer::in_place(cell, worker, options.reply_408_code, &options.reply_408_reason);
        }
        (outcome, _) => {
            let status = outcome.status().unwrap_or(500);
            answer::in_place(cell, worker, status, answer::reason_of(status));
        }
    }
}

/// The branches whose result asks for credentials.
fn challenges(state: &State) -> SmallVec<[BranchId; 2]> {
    let first = state.tx.counts_from().index();
    let asks = |outcome: Outcome| matches!(outcome, Outcome::Reply(401 | 407));
    state
        .tx
        .clients()
        .iter()
        .enumerate()
        .skip(first)
        .filter(|(_, client)| asks(client.outcome()))
        .map(|(at, _)| BranchId::at(at))
        .collect()
}

/// The challenges of all these branches, in their order (RFC 3261 section 16.7 step 7).
fn joined(
    state: &State,
    taken: Option<&super::cell::Held>,
    taken_from: BranchId,
    branches: &[BranchId],
) -> Str {
    let mut lines = Vec::new();
    for branch in branches {
        let held = if *branch == taken_from {
            taken
        } else {
            state
                .branches
                .get(branch.index())
                .and_then(|known| known.held.as_deref())
        };
        let Some(held) = held else { continue };
        for header in held.msg.headers() {
            if matches!(header.id, HeaderId::WwwAuthenticate | HeaderId::ProxyAuthenticate) {
                lines.extend_from_slice(held.msg.bytes(header.line));
            }
        }
    }
    Str::from(lines)
}

fn challenge(cell: &Arc<Cell>, worker: &Rc<Worker>, status: u16, lines: Str) {
    let answered = cell.request_cx(worker.clone()).and_then(|mut cx| {
        cx.reply_extra.push(ReplyExtra::Header(lines));
        let answered = answer::local(cell, &mut cx, status, answer::reason_of(status));
        cx.finish();
        answered
    });
    if let Err(fault) = answered {
        debug!("tm", "No {status} to the caller: {fault}.");
    }
}
