//! Questions about the transaction: `t_check_status()` and its kin.

use std::sync::Arc;

use kahea_module::{
    Cx, Decl, Fault, Ret,
    regex::Regex,
    route::{ANY, BRANCH, EVENT, FAILURE, REPLY, REQUEST},
};
use kahea_sip::Method;
use kahea_tx::{BranchId, Outcome};

use super::{
    Tm, answer,
    attached::{self, Attached, Role},
    cancel,
    cell::{Cell, State},
    core::now,
    create, replying,
};

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    d.func(
        "t_check_status",
        ["regex"],
        t_check_status,
        "The status that the route is about fits the expression.",
    )
    .routes(REQUEST | FAILURE | REPLY | EVENT)
    .kemi(1, "t_check_status");
    d.func("t_check_trans", [], t_check_trans, "The message belongs to a transaction; a repetition and the ACK to a refusal are dealt with and end the script.")
        .routes(REQUEST | REPLY | BRANCH | EVENT)
        .kemi(0, "t_check_trans");
    d.func(
        "t_lookup_request",
        [],
        |m: &Tm, cx: &mut Cx| lookup(m, cx),
        "The request belongs to a transaction.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_lookup_request");
    d.func("t_lookup_cancel", ["flags"], t_lookup_cancel, "There is a transaction of the INVITE that the CANCEL is about; with 1 its message flags are taken over.")
        .routes(REQUEST | EVENT)
        .kemi(0, "t_lookup_cancel")
        .kemi(1, "t_lookup_cancel_flags");
    d.func(
        "t_exists",
        [],
        |_: &Tm, cx: &mut Cx| attached::cell(cx).is_some(),
        "The message has a transaction.",
    )
    .routes(ANY)
    .kemi(0, "t_exists");
    about_branches(d);
}

fn about_branches(d: &mut Decl<Tm>) {
    let most = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "t_branch_timeout",
        [],
        t_branch_timeout,
        "The branch that the route is about ended without a final reply.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(0, "t_branch_timeout");
    d.func(
        "t_branch_replied",
        [],
        t_branch_replied,
        "The branch that the route is about got a reply before the one at hand.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(0, "t_branch_replied");
    d.func(
        "t_any_timeout",
        [],
        t_any_timeout,
        "Some branch ended without a final reply.",
    )
    .routes(most)
    .kemi(0, "t_any_timeout");
    d.func(
        "t_any_replied",
        [],
        t_any_replied,
        "Some branch got a reply before the one at hand.",
    )
    .routes(most)
    .kemi(0, "t_any_replied");
    d.func(
        "t_grep_status",
        ["code"],
        t_grep_status,
        "Some branch ended with this code.",
    )
    .routes(most)
    .kemi(1, "t_grep_status");
    d.func(
        "t_is_canceled",
        [],
        t_is_canceled,
        "Somebody cancelled the transaction.",
    )
    .routes(most)
    .kemi(0, "t_is_canceled");
    d.func(
        "t_is_expired",
        [],
        t_is_expired,
        "The longest life of the transaction is over.",
    )
    .routes(most)
    .kemi(0, "t_is_expired");
    d.func(
        "t_get_status_code",
        [],
        t_get_status_code,
        "The status of the last reply to the caller; -1 before any.",
    )
    .routes(most)
    .kemi(0, "t_get_status_code");
    d.kemi_func(
        "tm",
        "t_get_branch_index",
        [],
        t_get_branch_index,
        "The number of the branch that the route is about.",
    )
    .routes(ANY);
}

fn with<T>(cx: &Cx, read: impl FnOnce(&State) -> T) -> Option<T> {
    attached::cell(cx).map(|cell| read(&cell.state.lock()))
}

fn required<T>(cx: &Cx, read: impl FnOnce(&State) -> T) -> Result<T, Fault> {
    with(cx, read).ok_or_else(|| Fault::script("the message has no transaction"))
}

/// The status that the route is about: of the reply at hand, of the branch that failed, or of the last reply sent.
pub fn status(cx: &Cx) -> Option<u16> {
    if let Some(reported) = attached::reported(cx) {
        return Some(reported.status);
    }
    match attached::role(cx) {
        Role::Failure(branch) | Role::BranchFailure(branch) => with(cx, |state| {
            state
                .tx
                .client(branch)
                .and_then(|client| client.outcome().status())
        })?,
        Role::Reply(_) => cx.msg.status(),
        Role::Resumed => None,
        Role::Request | Role::Branch(_) if cx.msg.is_request() => {
            with(cx, |state| state.tx.server().status()).filter(|status| *status != 0)
        }
        Role::Request | Role::Branch(_) => cx.msg.status(),
    }
}

fn t_check_status(_: &Tm, cx: &mut Cx, regex: Regex) -> Result<bool, Fault> {
    let status = status(cx).ok_or_else(|| {
        Fault::script("there is no status to check: the request has no transaction, or no reply so far")
    })?;
    Ok(regex.is_match(status.to_string().as_bytes()))
}

fn t_check_trans(m: &Tm, cx: &mut Cx) -> Ret {
    if !cx.msg.is_request() {
        return super::replies::find(&m.core, cx).is_some().into();
    }
    if cx.msg.method() == Method::Cancel {
        return cancel::invite_of(&m.core, cx).is_some().into();
    }
    if attached::cell(cx).is_some() {
        return Ret::TRUE;
    }
    match create::find(&m.core, cx) {
        Some(cell) if cx.msg.method() == Method::Ack => {
            if create::acknowledged(&cell, cx) {
                Ret::EXIT
            } else {
                Ret::FALSE
            }
        }
        Some(cell) => {
            answer::repeat(&cell, &cx.worker);
            Ret::EXIT
        }
        None if cx.msg.method() == Method::Ack => {
            if create::own_2xx_acknowledged(&m.core, cx) {
                Ret::EXIT
            } else {
                Ret::FALSE
            }
        }
        None => Ret::FALSE,
    }
}

fn lookup(m: &Tm, cx: &mut Cx) -> bool {
    match replying::known(&m.core, cx) {
        Some(cell) => {
            if cx.msg.method() == Method::Ack {
                create::acknowledged(&cell, cx);
            }
            cx.extra::<Attached>().cell = Some(cell);
            cx.extra::<Attached>().settled = true;
            true
        }
        None => false,
    }
}

fn t_lookup_cancel(m: &Tm, cx: &mut Cx, flags: Option<i64>) -> bool {
    if cx.msg.method() != Method::Cancel {
        return false;
    }
    let Some(invite) = cancel::invite_of(&m.core, cx) else {
        return false;
    };
    if flags == Some(1) {
        cx.flags = invite.state.lock().context.flags();
    }
    true
}

/// The branch that the route is about.
fn branch_of(cx: &Cx) -> Option<BranchId> {
    attached::role(cx).branch()
}

/// The branch whose reply is being handled: that reply does not count as one of the past.
fn at_hand(cx: &Cx) -> Option<BranchId> {
    match attached::role(cx) {
        Role::Reply(branch) => Some(branch),
        _ => cx.extra_ref::<Attached>()?.at_hand,
    }
}

fn t_branch_timeout(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let branch = branch_of(cx);
    required(cx, |state| {
        let client = branch.and_then(|branch| state.tx.client(branch));
        client.is_some_and(timed_out)
    })
}

/// The branch had a reply besides the one at hand.
fn replied(state: &State, branch: BranchId, current: Option<BranchId>) -> bool {
    let Some(client) = state.tx.client(branch) else {
        return false;
    };
    if current == Some(branch) {
        client.had_provisional()
    } else {
        client.last_status() != 0
    }
}

fn t_branch_replied(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let (branch, current) = (branch_of(cx), at_hand(cx));
    required(cx, |state| {
        branch.is_some_and(|branch| replied(state, branch, current))
    })
}

/// Nobody answered, or nobody could be reached.
fn timed_out(client: &kahea_tx::Client) -> bool {
    matches!(client.outcome(), Outcome::TimedOut | Outcome::Unsent(408))
}

fn t_any_timeout(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    required(cx, |state| state.tx.clients().iter().any(timed_out))
}

fn t_any_replied(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let current = at_hand(cx);
    required(cx, |state| {
        (0..state.tx.clients().len()).any(|at| replied(state, BranchId::at(at), current))
    })
}

fn t_grep_status(_: &Tm, cx: &mut Cx, code: i64) -> Result<bool, Fault> {
    let current = at_hand(cx);
    required(cx, |state| {
        let mut clients = state.tx.clients().iter().enumerate();
        clients.any(|(at, client)| {
            Some(BranchId::at(at)) != current && client.outcome().status().map(i64::from) == Some(code)
        })
    })
}

fn t_is_canceled(m: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let cell: Arc<Cell> =
        replying::known(&m.core, cx).ok_or_else(|| Fault::script("the message has no transaction"))?;
    let cancelled = cell.state.lock().tx.is_cancelled();
    Ok(cancelled)
}

fn t_is_expired(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let moment = now(&cx.worker);
    required(cx, |state| state.tx.is_expired(moment))
}

fn t_get_status_code(m: &Tm, cx: &mut Cx) -> Ret {
    let status = match attached::role(cx) {
        Role::Request if cx.msg.is_request() => None,
        Role::Branch(_) => None,
        Role::Request if replying::known(&m.core, cx).is_none() => None,
        _ => status(cx),
    };
    status.map_or(Ret::FALSE, |status| Ret::Code(status.into()))
}

fn t_get_branch_index(_: &Tm, cx: &mut Cx) -> i64 {
    branch_of(cx).map_or(-1, |branch| branch.0.into())
}
