//! The variables of a transaction: `$T_branch_idx`, `$T_reply_code`, `$T(name)`, `$T_req(x)` and their kin.

use std::sync::Arc;

use kahea_module::{Bind, BindError, Cx, Decl, Index, Named, Naming, Str, Value, Var};
use kahea_sip::Method;
use kahea_tx::BranchId;

use super::Tmx;
use crate::tm::{
    answer, asking,
    attached::{self, Role},
    cancel,
    cell::{Branch, Cell, State},
    replies, replying,
};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.var(
        "T_branch_idx",
        branch_idx,
        "The number of the branch that the route is about; in request and failure routes how many there are.",
    );
    d.var(
        "T_reply_code",
        reply_code,
        "The status that the route is about; in request routes that of the last reply to the caller, 0 before any.",
    );
    d.var(
        "T_reply_reason",
        reply_reason,
        "The reason of the reply that the route is about.",
    );
    d.var(
        "T_reply_last",
        reply_last,
        "In onreply_route[X] the status of the reply.",
    );
    d.var(
        "T_reply_ruid",
        reply_ruid,
        "The ruid of the branch whose reply the route is about.",
    );
    views(d);
    d.var_named(
        "T",
        Naming::Required,
        Named {
            parse: Part::parse,
            get: |m, cx, part, _| part.value(m, cx),
            set: None,
            raw: false,
        },
        "Parts of the transaction: id_index and id_label (for t_continue()), reply_code, reply_reason, reply_type, \
         branch_index, uri, flags, ruid.",
    );
    d.var_named(
        "T_branch",
        Naming::Required,
        Named {
            parse: Part::parse,
            get: |m, cx, part, _| part.value(m, cx),
            set: None,
            raw: false,
        },
        "Parts of the branch that the route is about: uri, flags, ruid.",
    );
}

fn views(d: &mut Decl<Tmx>) {
    let parse: fn(&str, &dyn Bind) -> Result<Var, BindError> = |text, bind| bind.var(text);
    d.var_named(
        "T_req",
        Naming::Required,
        Named {
            parse,
            get: |m, cx, var, _| view(m, cx, var, View::Request),
            set: None,
            raw: true,
        },
        "In reply routes: the variable, of the transaction's request.",
    );
    d.var_named(
        "T_rpl",
        Naming::Required,
        Named {
            parse,
            get: |m, cx, var, _| view(m, cx, var, View::Reply),
            set: None,
            raw: true,
        },
        "In failure routes: the variable, of the reply that led there.",
    );
    d.var_named(
        "T_inv",
        Naming::Required,
        Named {
            parse,
            get: |m, cx, var, _| view(m, cx, var, View::Invite),
            set: None,
            raw: true,
        },
        "In the request route of a CANCEL: the variable, of the INVITE that it is about.",
    );
}

fn count(cx: &Cx) -> usize {
    attached::cell(cx).map_or(0, |cell| cell.state.lock().branches.len())
}

fn branch_idx(_: &Tmx, cx: &mut Cx, _: Index) -> Value {
    if let Some(branch) = attached::reported(cx).and_then(|reported| reported.branch) {
        return Value::Int(branch.0.into());
    }
    let number = match attached::role(cx) {
        Role::Branch(branch) | Role::Reply(branch) | Role::BranchFailure(branch) => branch.index(),
        Role::Failure(_) | Role::Resumed => count(cx),
        Role::Request if !cx.msg.is_request() => return Value::Int(-1),
        Role::Request if attached::cell(cx).is_some() => cx.branches.len(),
        Role::Request => 0,
    };
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The status that the route is about; 0 without any.
fn status(m: &Tmx, cx: &mut Cx) -> u16 {
    let known = asking::status(cx);
    if known.is_some() || attached::role(cx) != Role::Request || !cx.msg.is_request() {
        return known.unwrap_or(0);
    }
    replying::known(&m.core, cx).map_or(0, |cell| cell.state.lock().tx.server().status())
}

fn reply_code(m: &Tmx, cx: &mut Cx, _: Index) -> Value {
    Value::Int(status(m, cx).into())
}

fn reply_reason(_: &Tmx, cx: &mut Cx, _: Index) -> Value {
    if let Some(reported) = attached::reported(cx) {
        return reported.reason.clone().into();
    }
    let reason = match attached::role(cx) {
        Role::Failure(branch) | Role::BranchFailure(branch) => reason_of_branch(cx, branch),
        _ => cx.msg.reason().map(|reason| cx.msg.buffer().share(reason)),
    };
    reason.unwrap_or(Str::EMPTY).into()
}

fn reason_of_branch(cx: &Cx, branch: BranchId) -> Option<Str> {
    let cell = attached::cell(cx)?;
    let state = cell.state.lock();
    if let Some(held) = &state.branches.get(branch.index())?.held {
        return held.msg.reason().map(|reason| held.msg.buffer().share(reason));
    }
    let status = state.tx.client(branch)?.outcome().status()?;
    Some(Str::copy(answer::reason_of(status)))
}

fn reply_last(_: &Tmx, cx: &mut Cx, _: Index) -> Value {
    match (attached::role(cx), cx.msg.status()) {
        (Role::Reply(_), Some(status)) => Value::Int(status.into()),
        _ => Value::Str(Str::EMPTY),
    }
}

fn with_branch<T>(cx: &Cx, read: impl FnOnce(&State, BranchId, &Branch) -> T) -> Option<T> {
    let cell = attached::cell(cx)?;
    let branch = attached::role(cx).branch()?;
    let state = cell.state.lock();
    let known = state.branches.get(branch.index())?;
    Some(read(&state, branch, known))
}

fn ruid(cx: &Cx) -> Option<Str> {
    with_branch(cx, |_, _, branch| branch.target.ruid().cloned())?
}

fn reply_ruid(_: &Tmx, cx: &mut Cx, _: Index) -> Value {
    let ruid = match attached::role(cx) {
        Role::Branch(_) => None,
        _ => ruid(cx),
    };
    ruid.unwrap_or(Str::EMPTY).into()
}

/// A part of a transaction or of one of its branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    IdIndex,
    IdLabel,
    ReplyCode,
    ReplyReason,
    ReplyType,
    BranchIndex,
    Uri,
    Flags,
    Ruid,
}

impl Part {
    fn parse(text: &str, _: &dyn Bind) -> Result<Part, BindError> {
        Ok(match text {
            "id_index" | "id_index_n" => Part::IdIndex,
            "id_label" | "id_label_n" => Part::IdLabel,
            "reply_code" => Part::ReplyCode,
            "reply_reason" => Part::ReplyReason,
            "reply_type" => Part::ReplyType,
            "branch_index" => Part::BranchIndex,
            "uri" => Part::Uri,
            "flags" => Part::Flags,
            "ruid" => Part::Ruid,
            _ => {
                return Err(BindError::new(format!("a transaction has no '{text}'")).help(
                    "write id_index, id_label, reply_code, reply_reason, reply_type, branch_index, uri, flags or ruid",
                ));
            }
        })
    }

    fn value(self, m: &Tmx, cx: &mut Cx) -> Value {
        match self {
            Part::IdIndex => cell(m, cx).map(|cell| i64::from(cell.id.index)).into(),
            Part::IdLabel => cell(m, cx).map(|cell| i64::from(cell.id.short_label())).into(),
            Part::ReplyCode => reply_code(m, cx, Index::None),
            Part::ReplyReason => reply_reason(m, cx, Index::None),
            Part::ReplyType => reply_type(cx),
            Part::BranchIndex => branch_idx(m, cx, Index::None),
            Part::Uri => match attached::role(cx) {
                Role::Reply(_) => with_branch(cx, |_, _, branch| branch.target.ruri.clone())
                    .flatten()
                    .into(),
                _ => Value::Null,
            },
            Part::Flags => match attached::role(cx) {
                Role::Reply(_) | Role::Failure(_) | Role::BranchFailure(_) => {
                    with_branch(cx, |_, _, branch| i64::from(branch.target.flags)).into()
                }
                _ => Value::Null,
            },
            Part::Ruid => ruid(cx).into(),
        }
    }
}

fn cell(m: &Tmx, cx: &mut Cx) -> Option<Arc<Cell>> {
    replying::known(&m.core, cx)
}

/// 1 where this server made the reply up, 0 where it came.
fn reply_type(cx: &Cx) -> Value {
    match attached::role(cx) {
        Role::Failure(_) | Role::BranchFailure(_) => with_branch(cx, |state, at, _| {
            state
                .tx
                .client(at)
                .map(|client| i64::from(client.outcome().is_faked()))
        })
        .flatten()
        .into(),
        _ if cx.msg.is_request() => Value::Null,
        _ => Value::Int(0),
    }
}

/// Another message that belongs to the one in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    Request,
    Reply,
    Invite,
}

/// Messages that were looked at before in this route: each is read once.
#[derive(Default)]
struct Views(Vec<(View, Box<Cx>)>);

/// The value of a variable on another message.
fn view(m: &Tmx, cx: &mut Cx, var: &Var, which: View) -> Value {
    let known = &mut cx.extra::<Views>().0;
    let known = known
        .iter()
        .position(|(view, _)| *view == which)
        .map(|at| known.swap_remove(at).1);
    let Some(mut other) = known.or_else(|| make(m, cx, which).map(Box::new)) else {
        return Value::Null;
    };
    // Values are those of the route in work, whatever message is looked at.
    share(cx, &mut other);
    let value = var.get(&mut other);
    share(cx, &mut other);
    cx.extra::<Views>().0.push((which, other));
    value
}

fn share(cx: &mut Cx, other: &mut Cx) {
    std::mem::swap(&mut cx.vars, &mut other.vars);
    std::mem::swap(&mut cx.avps, &mut other.avps);
    std::mem::swap(&mut cx.xavps, &mut other.xavps);
    std::mem::swap(&mut cx.xavus, &mut other.xavus);
    std::mem::swap(&mut cx.xavis, &mut other.xavis);
}

fn make(m: &Tmx, cx: &Cx, which: View) -> Option<Cx> {
    let worker = cx.worker.clone();
    match which {
        View::Request => {
            if cx.msg.is_request() {
                return None;
            }
            let cell = match attached::cell(cx) {
                Some(cell) => cell,
                None => replies::find(&m.core, cx)?.0,
            };
            cell.request_cx(worker).ok()
        }
        View::Reply if attached::reported(cx).is_some() => attached::reported(cx)?.view(worker),
        View::Reply => {
            let (Role::Failure(branch) | Role::BranchFailure(branch)) = attached::role(cx) else {
                return None;
            };
            let cell = attached::cell(cx)?;
            let state = cell.state.lock();
            let held = state.branches.get(branch.index())?.held.as_ref()?;
            Some(held.view(worker))
        }
        View::Invite => {
            if !cx.msg.is_request() || cx.msg.method() != Method::Cancel {
                return None;
            }
            cancel::invite_of(&m.core, cx)?.request_cx(worker).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::FakeBind;

    use super::*;

    #[test]
    fn every_documented_part_is_known() {
        let bind = FakeBind::default();
        for name in [
            "id_index",
            "id_label",
            "id_index_n",
            "id_label_n",
            "reply_code",
            "reply_reason",
            "reply_type",
            "branch_index",
            "uri",
            "flags",
            "ruid",
        ] {
            assert!(Part::parse(name, &bind).is_ok(), "{name}");
        }
        let error = Part::parse("label", &bind).expect_err("no such part");
        assert!(error.help.is_some());
    }
}
