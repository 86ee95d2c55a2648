//! Commands that the script runs: `jsonrpc_exec()` and what it leaves behind.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use kahea_module::{
    Cx, Fault, Given, Ret, Str, Value,
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

/// `jsonrpc_dispatch()`: only HTTP requests have a connection that takes the answer.
pub fn dispatch(_: &Jsonrpcs, _: &mut Cx) -> Result<bool, Fault> {
    Err(Fault::script(
        "jsonrpc_dispatch() answers HTTP requests: call it in event_route[xhttp:request]; \
         jsonrpc_exec() runs commands elsewhere",
    ))
}

type Running = Pin<Box<dyn Future<Output = Option<RpcAnswer>>>>;

fn run(m: &Jsonrpcs, cx: &mut Cx, document: &Str, judge: fn(&Reply) -> Ret) -> Result<Ret, Fault> {
    let Request { method, args, id, .. } = text::read(document)
        .map_err(|wrong| Fault::script(format!("jsonrpc_exec(): {}", wrong.fault.text)))?;
    let (worker, pretty) = (cx.worker.clone(), m.pretty);
    let mut running: Running = Box::pin(async move { rpc::run(worker, &method, args, RpcVia::Json).await });
    // Most commands answer at once, and then the message need not wait.
    match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Ok(judge(keep(cx, done, id.as_ref(), pretty))),
        Poll::Pending => Ok(Ret::wait(move |cx| {
            Box::pin(async move {
                let done = running.await;
                judge(keep(cx, done, id.as_ref(), pretty))
            })
        })),
    }
}

fn keep<'a>(cx: &'a mut Cx, done: Option<RpcAnswer>, id: Option<&Json>, pretty: bool) -> &'a Reply {
    let done = done.ok_or_else(text::unknown);
    let (code, text) = match &done {
        Ok(RpcAnswer { result: Ok(_), .. }) => (200, Str::from_static("OK")),
        Ok(RpcAnswer {
            result: Err(RpcFault { code, text }),
            ..
        })
        | Err(RpcFault { code, text }) => (*code, text.clone()),
    };
    let body = text::answer(done, id, pretty);
    cx.extra::<Last>().0.insert(Reply { code, text, body })
}
