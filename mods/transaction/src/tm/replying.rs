//! Functions that answer: `t_reply()` and its kin.

use std::sync::Arc;

use kahea_mods_base::sl::{SlReply, status};
use kahea_module::{
    Cx, Decl, Fault, Ret, Str, Value,
    route::{EVENT, FAILURE, REPLY, REQUEST},
};

use super::{
    Tm, answer,
    attached::{self, Attached, Role},
    cell::{Cell, Context},
    core::Core,
    create::{self, Began},
};

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    let anywhere = REQUEST | FAILURE | REPLY | EVENT;
    d.func(
        "t_reply",
        ["code", "reason"],
        t_reply,
        "Answers the request in its transaction; in a failure route in place of what the branches answered.",
    )
    .routes(anywhere)
    .kemi(2, "t_reply")
    .example("t_reply(\"404\", \"Not found\");");
    d.func(
        "t_send_reply",
        ["code", "reason"],
        t_send_reply,
        "Answers the request in its transaction, which is begun where there is none.",
    )
    .routes(anywhere)
    .kemi(2, "t_send_reply");
    d.func(
        "t_reply_error",
        [],
        |m: &Tm, cx: &mut Cx| t_reply(m, cx, Value::Null, Value::Null),
        "Answers the request with the error of default_code and default_reason.",
    )
    .routes(anywhere)
    .kemi(0, "t_reply_error");
    d.func(
        "t_retransmit_reply",
        [],
        t_retransmit_reply,
        "Sends the last reply of the transaction again.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_retransmit_reply");
}

fn no_transaction() -> Fault {
    Fault::script("the request has no transaction: t_newtran() or t_relay() begin one")
}

/// The status and reason that the script means.
fn status_of(core: &Core, code: &Value, reason: &Value) -> Result<(u16, Str), Fault> {
    let options = core.options();
    status(code, reason, (options.default_code, &options.default_reason))
}

/// The transaction of the message, looked up where nobody has so far.
pub fn known(core: &Arc<Core>, cx: &mut Cx) -> Option<Arc<Cell>> {
    if let Some(cell) = attached::cell(cx) {
        return Some(cell);
    }
    if cx.msg.is_request() {
        create::find(core, cx)
    } else {
        super::replies::find(core, cx).map(|(cell, _)| cell)
    }
}

/// Answers in the transaction, from whichever of its routes.
fn answer_in(cell: &Arc<Cell>, cx: &mut Cx, status: u16, reason: &[u8]) -> Result<(), Fault> {
    cx.extra::<Attached>().settled = true;
    cx.extra::<Attached>().failed = None;
    if cx.msg.is_request() {
        return answer::local(cell, cx, status, reason);
    }
    // In a reply route the message is the reply; the request is taken up again.
    let mut request = cell.request_cx(cx.worker.clone())?;
    request.reply_extra.append(&mut cx.reply_extra);
    // Values and flags of the transaction are with the reply while its route runs.
    let mut values = Context::default();
    values.swap(cx);
    values.swap(&mut request);
    request.extra::<Attached>().cell = Some(cell.clone());
    let answered = answer::local(cell, &mut request, status, reason);
    values.swap(&mut request);
    values.swap(cx);
    request.finish();
    answered
}

fn t_reply(m: &Tm, cx: &mut Cx, code: Value, reason: Value) -> Result<bool, Fault> {
    let (status, reason) = status_of(&m.core, &code, &reason)?;
    let cell = attached::cell(cx).ok_or_else(no_transaction)?;
    answer_in(&cell, cx, status, &reason)?;
    Ok(true)
}

fn t_send_reply(m: &Tm, cx: &mut Cx, code: Value, reason: Value) -> Result<Ret, Fault> {
    let (status, reason) = status_of(&m.core, &code, &reason)?;
    let cell = match attached::cell(cx) {
        Some(cell) => cell,
        None => match create::begin(&m.core, cx)? {
            Began::New(cell) => {
                create::share_context(&cell, cx);
                cell
            }
            Began::Repeated => return Ok(Ret::FALSE),
        },
    };
    answer_in(&cell, cx, status, &reason)?;
    Ok(Ret::TRUE)
}

fn t_retransmit_reply(m: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let cell = known(&m.core, cx).ok_or_else(no_transaction)?;
    Ok(answer::repeat(&cell, &cx.worker))
}

/// What `sl` asks of transactions.
pub struct ForSl(pub Arc<Core>);

impl SlReply for ForSl {
    fn reply(&self, cx: &mut Cx, status: u16, reason: &Str) -> Option<Ret> {
        let cell = known(&self.0, cx)?;
        Some(answer_in(&cell, cx, status, reason).map(|()| true).into())
    }

    fn reply_error(&self, cx: &mut Cx) -> Option<Ret> {
        let cell = attached::cell(cx)?;
        let (status, reason) = (
            self.0.options().default_code,
            self.0.options().default_reason.clone(),
        );
        Some(answer_in(&cell, cx, status, &reason).map(|()| true).into())
    }

    fn local_tag(&self, cx: &Cx) -> Option<Str> {
        let cell = attached::cell(cx)?;
        (attached::role(cx) == Role::Request).then(|| answer::tag_of(&cell, cx))
    }
}
