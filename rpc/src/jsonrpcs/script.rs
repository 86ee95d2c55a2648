//! Commands that the script runs: `jsonrpc_exec()` and what it leaves behind.

use kahea_module::{
    Cx, Fault, Given, Ret, Str, Value, proxy,
    rpc::{self, RpcAnswer, RpcFault, RpcVia},
};
use serde_json::Value as Json;

use super::{
    Jsonrpcs, Part, part,
    text::{self, Request},
};

/// The last answer of a message.
#[derive(Clone)]
pub struct Reply {
    /// 200, or that of the refusal.
    pub code: i64,
    /// A word on the code.
    pub text: Str,
    /// The document.
    pub body: Str,
}

#[derive(Default)]
struct Last(Option<Reply>);

/// A part of the last answer.
pub fn last(cx: &Cx, wanted: Part) -> Value {
    part(cx.extra_ref::<Last>().and_then(|last| last.0.as_ref()), wanted)
}

/// `jsonrpc_exec(request)`: -1 where it is no request.
pub fn exec(m: &Jsonrpcs, cx: &mut Cx, document: Str) -> Result<Ret, Fault> {
    run(m, cx, &document, |_| Ret::Code(1))
}

/// `KSR.jsonrpcs.execx(request)`: fails where the command does, too.
pub fn exec_and_judge(m: &Jsonrpcs, cx: &mut Cx, document: Str) -> Result<Ret, Fault> {
    run(m, cx, &document, |reply| {
        Ret::Code(if reply.code == 200 { 1 } else { -1 })
    })
}

/// `KSR.jsonrpcs.response()`.
pub fn response(_: &Jsonrpcs, cx: &mut Cx) -> bool {
    let body = last(cx, Part::Body);
    Given::set(cx, body);
    true
}

/// `jsonrpc_dispatch()`: runs the body of an HTTP request, and answers with status 200, or that of the refusal.
pub fn dispatch(m: &Jsonrpcs, cx: &mut Cx) -> Result<Ret, Fault> {
    if !m.http {
        return Err(Fault::script(
            "jsonrpc_dispatch() needs 1 in the parameter transport of jsonrpcs",
        ));
    }
    if !cx.msg.is_http() {
        return Err(Fault::script(
            "jsonrpc_dispatch() answers HTTP requests: call it in event_route[xhttp:request]; \
             jsonrpc_exec() runs commands elsewhere",
        ));
    }
    let pretty = m.pretty;
    match text::read(cx.msg.body()) {
        Ok(Request { method, args, id, .. }) => {
            let order = (method, args, RpcVia::Json);
            Ok(rpc::run_for(cx, order, move |cx, done| {
                respond(cx, done.ok_or_else(text::unknown), id.as_ref(), pretty).into()
            }))
        }
        Err(wrong) => {
            respond(cx, Err(wrong.fault), wrong.id.as_ref(), pretty)?;
            Ok(Ret::FALSE)
        }
    }
}

fn respond(
    cx: &mut Cx,
    done: Result<RpcAnswer, RpcFault>,
    id: Option<&Json>,
    pretty: bool,
) -> Result<bool, Fault> {
    let (code, reason) = outcome(&done);
    // Codes of JSON-RPC's own are below 0 (section 5.1).
    let status = u16::try_from(code).ok().filter(|code| (100..700).contains(code));
    let (status, reason) = match status {
        Some(status) => (status, reason),
        None => (400, Str::from_static("Bad Request")),
    };
    // A refusal may quote what the client sent.
    let reason: Vec<u8> = reason
        .iter()
        .map(|byte| if *byte < b' ' { b' ' } else { *byte })
        .collect();
    let body = text::answer(done, id, pretty);
    proxy::http::respond(cx, status, &reason, b"application/json", body).map(|()| true)
}

fn run(m: &Jsonrpcs, cx: &mut Cx, document: &Str, judge: fn(&Reply) -> Ret) -> Result<Ret, Fault> {
    let Request { method, args, id, .. } = text::read(document)
        .map_err(|wrong| Fault::script(format!("jsonrpc_exec(): {}", wrong.fault.text)))?;
    let pretty = m.pretty;
    Ok(rpc::run_for(cx, (method, args, RpcVia::Json), move |cx, done| {
        judge(keep(cx, done, id.as_ref(), pretty))
    }))
}

fn outcome(done: &Result<RpcAnswer, RpcFault>) -> (i64, Str) {
    match done {
        Ok(RpcAnswer { result: Ok(_), .. }) => (200, Str::from_static("OK")),
        Ok(RpcAnswer {
            result: Err(RpcFault { code, text }),
            ..
        })
        | Err(RpcFault { code, text }) => (*code, text.clone()),
    }
}

fn keep<'a>(cx: &'a mut Cx, done: Option<RpcAnswer>, id: Option<&Json>, pretty: bool) -> &'a Reply {
    let done = done.ok_or_else(text::unknown);
    let (code, text) = outcome(&done);
    let body = text::answer(done, id, pretty);
    cx.extra::<Last>().0.insert(Reply { code, text, body })
}
