//! `t_relay()`: a request goes on in its transaction.

use std::sync::Arc;

use kahea_module::{
    Cx, Fault, Hop, Outcome, Ret, RouteKind, Str, Target, Targets, proxy, state::Settled, warning,
};
use kahea_sip::{EditId, EditTag, HeaderId, Method, Place, Transport};
use kahea_tx::{Actions, BranchId};
use smallvec::SmallVec;

use super::{
    answer,
    attached::{Attached, Role, UsedTarget},
    cancel,
    cell::{Branch, Cell, Context, Switches, Work},
    core::{Core, now},
    create::{self, Began},
    failover,
    kept::{SavedTarget, SentRequest, Snapshot},
    replies::branch_text,
    suspend, timer, turn,
    watch::{self, Events},
};

/// How to relay.
#[derive(Clone, Default)]
pub struct How {
    /// Send there, whatever `$du` and `$ru` say.
    pub hop: Option<Hop>,
    /// Over this transport; [`Transport::None`]: as the URI says.
    pub transport: Option<Transport>,
    /// No 100 to an INVITE.
    pub no_100: bool,
    /// No reply where relaying fails.
    pub no_reply: bool,
    /// A copy whose replies nobody gets.
    pub replica: bool,
}

/// What went wrong with a branch: the script's return code and the reply to the caller.
struct Failed {
    code: i64,
    status: u16,
    reason: &'static str,
    fault: Fault,
}

impl Failed {
    fn unresolved(fault: Fault) -> Failed {
        Failed {
            code: -478,
            status: 478,
            reason: "Unresolvable destination (478/TM)",
            fault,
        }
    }

    fn no_socket(fault: Fault) -> Failed {
        Failed {
            code: -7,
            status: 500,
            reason: "I'm terribly sorry, server error occurred (7/TM)",
            fault,
        }
    }

    fn not_sent(fault: Fault) -> Failed {
        Failed {
            code: -1,
            status: 477,
            reason: "Unfortunately error on sending to next hop occurred (477/TM)",
            fault,
        }
    }

    fn no_branch() -> Failed {
        Failed {
            code: -6,
            status: 500,
            reason: "I'm terribly sorry, server error occurred (6/TM)",
            fault: Fault::script("the request has no branch to go to"),
        }
    }
}

/// Relays the request of a script.
pub fn relay(core: &Arc<Core>, cx: &mut Cx, how: How) -> Ret {
    if cx.msg.method() == Method::Ack {
        return acknowledge(core, cx, &how);
    }
    let attached = cx.extra::<Attached>();
    if let Role::Request | Role::Resumed | Role::Failure(_) | Role::BranchFailure(_) = attached.role
        && let Some(cell) = attached.cell.clone()
    {
        return go(&cell, cx, how);
    }
    if cx.msg.method() == Method::Cancel
        && let Some(ret) = cancel::relay(core, cx)
    {
        return ret;
    }
    match create::begin(core, cx) {
        Ok(Began::New(cell)) => go(&cell, cx, how),
        Ok(Began::Repeated) => Ret::TRUE,
        Err(fault) => Ret::Fault(fault),
    }
}

/// An ACK to a refusal ends here; any other goes on without a transaction.
fn acknowledge(core: &Arc<Core>, cx: &mut Cx, how: &How) -> Ret {
    cx.extra::<Attached>().settled = true;
    if let Some(cell) = create::find(core, cx)
        && create::acknowledged(&cell, cx)
    {
        return Ret::TRUE;
    }
    if core.watchers.wants(Events::ACKNOWLEDGED)
        && let Some(cell) = create::answered_call(core, cx)
    {
        watch::acknowledged(&cell, cx);
    }
    if create::own_2xx_acknowledged(core, cx) {
        return Ret::TRUE;
    }
    proxy::forward(cx, how.hop.clone())
}

fn go(cell: &Arc<Cell>, cx: &mut Cx, how: How) -> Ret {
    let first = {
        let mut state = cell.state.lock();
        if state.tx.server().is_final() {
            // Answered by the script before: nobody waits for another answer.
            return Ret::TRUE;
        }
        if state.tx.is_cancelled() || (state.switches.has(Switches::REPLICA) && !how.replica) {
            return Ret::FALSE;
        }
        if how.replica {
            state.switches.set(Switches::REPLICA, true);
        }
        state.branches.is_empty()
    };
    cx.extra::<Attached>().settled = true;
    if first
        && !how.no_100
        && let Err(fault) = answer::trying(cell, cx)
    {
        return Ret::Fault(fault);
    }
    let targets = targets(cx);
    if targets.is_empty() && first {
        // clear_branches() left nothing to go to.
        let failed = Failed {
            code: -1,
            ..Failed::no_branch()
        };
        return fail(cell, cx, &how, failed);
    }
    if targets.is_empty() {
        warning!("tm", "The request was not relayed: its destinations are used up.");
        return Ret::FALSE;
    }
    let route = cell.state.lock().arms.branch;
    if route.is_none()
        && let Some(known) = resolved(cx, &targets, &how)
    {
        return at_once(cell, cx, known, &how);
    }
    let cell = cell.clone();
    Ret::wait(move |cx| Box::pin(async move { in_turn(&cell, cx, targets, how).await }))
}

/// The destination set: the first branch unless it was used up, and those that the script added.
fn targets(cx: &mut Cx) -> SmallVec<[Target; 2]> {
    let fresh = is_fresh(cx);
    let mut targets = SmallVec::new();
    if fresh {
        targets.push(cx.target.clone());
    }
    targets.extend(std::mem::take(&mut cx.branches));
    let used = UsedTarget::of(cx);
    cx.extra::<Attached>().used = Some(used);
    targets
}

/// The Request-URI is a branch: it was neither relayed to nor cleared since it was set.
pub fn is_fresh(cx: &mut Cx) -> bool {
    let relayed = cx.extra::<Attached>().used.take();
    let cleared = cx.extra::<Option<UsedTarget>>().take();
    let mut used = relayed.into_iter().chain(cleared);
    used.all(|used| used.has_changed(cx))
}

fn hop(cx: &Cx, target: &Target, how: &How) -> Result<Hop, Fault> {
    if let Some(hop) = &how.hop {
        return Ok(hop.clone());
    }
    let mut hop = match (&target.dst_uri, &target.ruri) {
        (Some(uri), _) | (None, Some(uri)) => proxy::hop_of_uri(uri)?,
        (None, None) => proxy::hop_of_uri(&cx.ruri())?,
    };
    if let Some(transport) = how.transport {
        hop.transport = transport;
        hop.secure = transport == Transport::Tls;
    }
    Ok(hop)
}

type Known = SmallVec<[(Target, Result<Targets, Fault>); 2]>;

/// Every target with its addresses, where nobody has to be asked for them.
fn resolved(cx: &Cx, targets: &[Target], how: &How) -> Option<Known> {
    targets
        .iter()
        .map(|target| match hop(cx, target, how) {
            Ok(hop) => Some((target.clone(), cx.worker.net.resolve_now(&hop)?)),
            Err(fault) => Some((target.clone(), Err(fault))),
        })
        .collect()
}

fn at_once(cell: &Arc<Cell>, cx: &mut Cx, known: Known, how: &How) -> Ret {
    let mut added = Added::default();
    let first = cx.target.clone();
    for (target, addresses) in known {
        cx.target = target;
        added.take(add(cell, cx, addresses));
    }
    cx.target = first;
    finish(cell, cx, added, how)
}

/// Runs the branch route for each target and asks for addresses.
async fn in_turn(cell: &Arc<Cell>, cx: &mut Cx, targets: SmallVec<[Target; 2]>, how: How) -> Ret {
    let route = cell.state.lock().arms.branch.take();
    let first = cx.target.clone();
    let others = std::mem::replace(&mut cx.branches, targets.iter().skip(1).cloned().collect());
    let role = super::attached::role(cx);
    let kind = cx.route;
    let mut added = Added::default();
    for target in targets {
        let (edits, late) = (cx.edits.clone(), cx.late.clone());
        cx.target = target;
        let mut dropped = false;
        if let Some(route) = route {
            let branch = BranchId::at(cell.state.lock().branches.len());
            cx.extra::<Attached>().role = Role::Branch(branch);
            cx.route = RouteKind::Branch;
            let engine = cx.worker.engine.clone();
            let Outcome { drop, .. } = engine.run(cx, route).await;
            dropped = drop;
            cx.extra::<Attached>().role = role;
            cx.route = kind;
        }
        if !dropped {
            let addresses = match hop(cx, &cx.target, &how) {
                Ok(hop) => match cx.worker.net.resolve_now(&hop) {
                    Some(known) => known,
                    None => cx.worker.net.resolve(hop).await,
                },
                Err(fault) => Err(fault),
            };
            added.take(add(cell, cx, addresses));
        }
        (cx.edits, cx.late) = (edits, late);
        if let Some(msg) = cx.extra::<Attached>().unchanged.take() {
            cx.msg = msg;
        }
    }
    cx.target = first;
    cx.branches = others;
    finish(cell, cx, added, &how)
}

/// Branches that were added, and what became of the others.
#[derive(Default)]
struct Added {
    /// With their requests.
    branches: SmallVec<[(BranchId, Str); 2]>,
    failed: Option<Failed>,
}

impl Added {
    fn take(&mut self, result: Result<(BranchId, Str), Failed>) {
        match result {
            Ok(branch) => self.branches.push(branch),
            Err(failed) => self.failed = Some(failed),
        }
    }
}

/// Builds the branch for `cx.target` and puts it in; it is not sent yet.
fn add(cell: &Arc<Cell>, cx: &mut Cx, addresses: Result<Targets, Fault>) -> Result<(BranchId, Str), Failed> {
    let mut addresses = addresses.map_err(Failed::unresolved)?;
    if addresses.is_empty() {
        return Err(Failed::unresolved(Fault::backend(
            "the destination has no address",
        )));
    }
    let limit = usize::try_from(cell.config.globals.max_branches).unwrap_or(12);
    let number = cell.state.lock().branches.len();
    if number >= limit {
        return Err(Failed {
            code: -1,
            status: 500,
            reason: "I'm terribly sorry, server error occurred (1/TM)",
            fault: Fault::limit(format!("the request has {limit} branches already (max_branches)")),
        });
    }
    let branch = BranchId::at(number);
    let text = branch_text(cell.id, branch);
    let rules = &cell.core.options().further.blocklist;
    let may = |to, transport| !rules.forbid(&cx.worker, cell.method, to, transport);
    let (to, transport) = failover::allowed(&mut addresses, may).ok_or_else(|| {
        Failed::not_sent(Fault::backend(
            "the destination is on the blocklist, because it did not answer or was overloaded",
        ))
    })?;
    let path = route_by_path(cx);
    let built = proxy::build_request(cx, to, transport, None, &text);
    if let Some(path) = path {
        cx.edits.undo(path);
    }
    let (destination, data) = built.map_err(Failed::no_socket)?;
    let mut state = cell.state.lock();
    let arms = state.arms;
    let mut target = SavedTarget::from(&cx.target);
    target.ruri.get_or_insert_with(|| cx.ruri());
    state.branches.push(Branch {
        to: destination,
        sent: SentRequest::of(&data, &cell.request),
        target,
        rest: addresses,
        on_reply: arms.reply,
        on_failure: arms.failure,
        on_branch_failure: arms.branch_failure,
        held: None,
        cancel: None,
    });
    Ok((state.tx.add_branch(), data))
}

/// The path of the branch's contact as Route headers (RFC 3327), for this branch alone.
fn route_by_path(cx: &mut Cx) -> Option<EditId> {
    let path = cx.target.path.clone().filter(|path| !path.is_empty())?;
    let at = match cx.msg.first(HeaderId::Route) {
        Some(route) => route.line.start(),
        None => {
            let last = cx.msg.all(HeaderId::Via).last();
            last.map_or(cx.msg.headers_start(), |via| via.line.end())
        }
    };
    let line = [b"Route: ", &*path, b"\r\n"].concat();
    Some(cx.edits.insert(
        at,
        Place::Before,
        Str::from(line),
        EditTag::Header(HeaderId::Route),
    ))
}

/// Sends the branches that were added.
fn finish(cell: &Arc<Cell>, cx: &mut Cx, added: Added, how: &How) -> Ret {
    let worker = cx.worker.clone();
    let is_request = super::attached::role(cx) == Role::Request;
    {
        let mut state = cell.state.lock();
        if is_request {
            // Failure routes and late replies begin from here.
            state.snapshot.get_or_insert_with(|| Box::new(Snapshot::of(cx)));
            *state.context = Context::copy(cx);
        }
    }
    let mut sent = false;
    let mut failed = added.failed;
    let last = added.branches.last().map(|(branch, _)| *branch);
    for (branch, data) in added.branches {
        let to = {
            let mut state = cell.state.lock();
            let Some(known) = state.branches.get(branch.index()) else {
                continue;
            };
            let to = known.to;
            state.tx.sent(now(&worker), branch, to.transport.is_stream());
            timer::arm(cell, &mut state, &worker);
            to
        };
        match proxy::deliver(cx, to, data, true) {
            Ok(()) => {
                sent = true;
                cx.config().counts.fwd_requests.inc();
            }
            Err(fault) => {
                let mut actions = Actions::new();
                let mut state = cell.state.lock();
                state.tx.unsent(now(&worker), branch, 477, &mut actions);
                drop(state);
                failed = Some(Failed::not_sent(fault));
            }
        }
    }
    if sent {
        Settled::note(cx);
        return Ret::TRUE;
    }
    if cell.core.options().failure_exec_mode
        && let Some(branch) = last
    {
        turn::take(cell, &worker, Work::Unsent(branch));
        return Ret::TRUE;
    }
    fail(cell, cx, how, failed.unwrap_or_else(Failed::no_branch))
}

/// Nothing could be sent: the caller is told, now or at the end of the script.
fn fail(cell: &Arc<Cell>, cx: &mut Cx, how: &How, failed: Failed) -> Ret {
    warning!("tm", "The request was not relayed: {}.", failed.fault);
    let is_request = super::attached::role(cx) == Role::Request;
    let silent = cell.state.lock().switches.has(Switches::NO_INTERNAL_REPLY);
    if !is_request {
        return Ret::FALSE;
    }
    if silent {
        return Ret::Code(-4);
    }
    if !how.no_reply && !how.replica {
        if cell.core.options().delayed_reply {
            cx.extra::<Attached>().failed = Some((failed.status, failed.reason));
        } else if let Err(fault) = answer::local(cell, cx, failed.status, failed.reason.as_bytes()) {
            return Ret::Fault(fault);
        }
    }
    Ret::Code(failed.code)
}

/// The request route has ended: what is due to the transaction that it leaves behind.
pub fn request_ended(cx: &mut Cx) {
    let Some(attached) = cx.extra_ref::<Attached>() else {
        return;
    };
    let Some(cell) = attached.cell.clone() else {
        return;
    };
    let attached = cx.extra::<Attached>();
    if attached.suspended {
        return suspend::request_left(&cell, cx);
    }
    let (failed, settled) = (attached.failed.take(), attached.settled);
    if let Some((status, reason)) = failed
        && let Err(fault) = answer::local(&cell, cx, status, reason.as_bytes())
    {
        kahea_module::debug!("tm", "No {status} to the caller: {fault}.");
    }
    let worker = cx.worker.clone();
    let mut state = cell.state.lock();
    state.context.swap_values(cx);
    let nothing_due = state.branches.is_empty()
        && !state.tx.server().is_final()
        && !state.switches.has(Switches::SUSPENDED);
    if nothing_due {
        if !settled {
            warning!(
                "tm",
                "The script neither relayed nor answered the request whose transaction it began."
            );
        }
        let mut actions = Actions::new();
        state.tx.release(now(&worker), &mut actions);
    }
    timer::arm(&cell, &mut state, &worker);
}

/// A stateless reply went out: the transaction adds none of its own at the end.
pub fn answered_without(cx: &mut Cx) {
    if cx.extra_ref::<Attached>().is_some() {
        cx.extra::<Attached>().failed = None;
    }
}
