//! Transactions that this server begins: sending, and what becomes of the replies.

use std::{cell::Cell as Flag, rc::Rc, sync::Arc};

use kahea_module::{
    Cx, Decl, Fault, Outcome as RouteOutcome, Ret, RouteId, RouteKind, Str, Worker, debug, proxy, route::ANY,
};
use kahea_sip::{HeaderId, Limits, ListenerId, Message, Method, Received, Transport};
use kahea_tx::{Actions, BranchId, Key, Outcome, Timing, Transaction};
use parking_lot::Mutex;

use super::{
    Tm, ack,
    attached::{Attached, Role},
    cell::{Cell, Held, State, Switches, Work},
    core::{Core, now},
    relay::{self, How},
    table::Id,
    timer, turn,
    uac::{Answer, LocalRequest, OnAnswer, pair},
    watch::{self, Reply},
    wire::{self, carry_out},
};

/// A repeated 2xx to an INVITE is acknowledged for as long as its sender may repeat it (RFC 3261 section 13.2.2.4).
const REPEATED_2XX: u32 = 32_000;

/// Requests whose own event route sends requests, and so on: more than this many are a loop.
const DEEPEST: u8 = 4;

/// How many requests of this server's own led to the message in work.
#[derive(Default)]
struct Depth(u8);

thread_local! {
    /// `event_route[tm:local-response]` runs: what it answers does not run it again.
    static ANSWERING: Flag<bool> = const { Flag::new(false) };
}

/// What a transaction that this server began keeps besides.
pub struct Local {
    answered: Option<OnAnswer>,
    provisional: bool,
    /// The last 2xx to an INVITE that the script acknowledges itself, and its branch.
    pub unacknowledged: Option<(BranchId, Box<Held>)>,
}

/// Declares the function.
pub fn declare(d: &mut Decl<Tm>) {
    d.func(
        "t_uac_send",
        ["method", "ruri", "nexthop", "socket", "headers", "body"],
        t_uac_send,
        "Sends a request of this server's own; the headers need From and To, and Content-Type where there is a body.",
    )
    .routes(ANY)
    .waits()
    .kemi(6, "t_uac_send")
    .example("t_uac_send(\"OPTIONS\", \"sip:alice@example.com\", \"\", \"\", \"From: <sip:me@example.com>\\r\\nTo: <sip:alice@example.com>\\r\\n\", \"\");");
}

/// The listener of this name or address; `None` for an empty text.
///
/// # Errors
/// There is none.
pub fn socket(worker: &Worker, text: &Str) -> Result<Option<ListenerId>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let identity = &worker.config.identity;
    let known = identity.listeners.iter().find(|one| one.text == *text);
    match known.or_else(|| identity.listener_named(text)) {
        Some(listener) => Ok(Some(listener.id)),
        None => Err(Fault::script(format!(
            "there is no listener '{text}': name one as proto:address:port"
        ))),
    }
}

fn t_uac_send(
    m: &Tm,
    cx: &mut Cx,
    method: Str,
    ruri: Str,
    next_hop: Str,
    from: Str,
    headers: Str,
    body: Str,
) -> Result<Ret, Fault> {
    let mut request = LocalRequest::with_headers(method, ruri, &headers, body)?;
    request.next_hop = (!next_hop.is_empty()).then_some(next_hop);
    request.socket = socket(&cx.worker, &from)?;
    let core = m.core.clone();
    let depth = cx.extra::<Depth>().0;
    if depth >= DEEPEST {
        return Err(Fault::limit(
            "event_route[tm:local-request] sends requests that send requests: test for its own with $rm or $ru",
        ));
    }
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let worker = cx.worker.clone();
            // $var() belongs to the worker, so the routes of the new request see what this one has set, and it them.
            *worker.vars.borrow_mut() = cx.vars.clone();
            let sent = send_nested(&core, &worker, request, depth.saturating_add(1)).await;
            let vars = std::mem::take(&mut *worker.vars.borrow_mut());
            if !vars.is_empty() {
                cx.vars = vars;
            }
            sent.map(|_| true).map_err(|fault| fault.code(-1)).into()
        })
    }))
}

/// Sends a request in a transaction of its own.
///
/// # Errors
/// It is none, its destination does not resolve, or the network refuses it.
pub async fn send(core: &Arc<Core>, worker: &Rc<Worker>, request: LocalRequest) -> Result<Id, Fault> {
    send_nested(core, worker, request, 0).await
}

async fn send_nested(
    core: &Arc<Core>,
    worker: &Rc<Worker>,
    request: LocalRequest,
    depth: u8,
) -> Result<Id, Fault> {
    let to = request.next_hop.clone().unwrap_or_else(|| request.ruri.clone());
    let hop = proxy::hop_of_uri(&to)?;
    let targets = match worker.net.resolve_now(&hop) {
        Some(known) => known?,
        None => worker.net.resolve(hop).await?,
    };
    let (address, transport) = *targets
        .first()
        .ok_or_else(|| Fault::backend(format!("'{to}' has no address")))?;
    let received = sender(worker, &request, address, transport)?;
    let host = received.local.ip().to_string();
    let text = request.text(core, &worker.config, &host, worker.random())?;
    let cell = begin(core, worker, &request, text, received)?;
    let mut cx = cell.request_cx(worker.clone())?;
    cx.target.dst_uri = Some(to);
    cx.target.send_socket = request.socket;
    cx.extra::<Depth>().0 = depth;
    let attached = cx.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = Role::Request;
    let sent = route_and_send(core, &cell, &mut cx).await;
    cx.finish();
    if sent.is_err() {
        release(&cell, worker);
    }
    sent.map(|()| cell.id)
}

/// As if the request had come to the listener that it leaves from.
fn sender(
    worker: &Rc<Worker>,
    request: &LocalRequest,
    to: std::net::SocketAddr,
    transport: Transport,
) -> Result<Received, Fault> {
    let id = worker.net.listener_for(to, transport, request.socket);
    let listener = id.and_then(|id| worker.config.identity.listener(id));
    let listener = listener.ok_or_else(|| {
        Fault::script(format!(
            "there is no {transport} listener to send from: add listen={transport}:…"
        ))
    })?;
    Ok(Received {
        source: listener.address,
        local: listener.address,
        transport,
        listener: listener.id,
        connection: None,
        at: worker.engine.time(),
    })
}

fn begin(
    core: &Arc<Core>,
    worker: &Rc<Worker>,
    request: &LocalRequest,
    text: Str,
    received: Received,
) -> Result<Arc<Cell>, Fault> {
    let msg = Message::parse(text.clone(), &Limits::default())
        .map_err(|error| Fault::script(format!("that is no request: {error}")))?;
    let method = msg.method();
    let mut timing = Timing {
        fr_timer: request.fr_timer.unwrap_or(core.options().timing.fr_timer),
        fr_inv_timer: request.fr_inv_timer.unwrap_or(core.options().timing.fr_inv_timer),
        ..core.options().timing
    };
    if method == Method::Invite {
        timing.wt_timer = timing.wt_timer.max(REPEATED_2XX);
    }
    let tx = Transaction::local(
        now(worker),
        method == Method::Invite,
        timing,
        core.options().policy,
    );
    let mut state = State::new(tx, core.options().failure_reply_mode);
    state.switches.set(Switches::NO_AUTO_ACK, request.no_ack);
    state.local = Some(Box::new(Local {
        answered: request.answered.clone(),
        provisional: request.provisional || core.options().further.pass_provisional,
        unacknowledged: None,
    }));
    let number = msg.cseq().map_or(0, |(number, _)| number);
    let call = Key::of_call(msg.call_id().unwrap_or_default(), number, &core.table.seed);
    // No request from outside belongs to it: only the Via branch and the call lead here.
    let key = Key(worker.random());
    let make = |id| Cell {
        id,
        key,
        call,
        method,
        request: text,
        received,
        config: worker.config.clone(),
        core: core.clone(),
        state: Mutex::new(state),
    };
    let cell = match core.table.insert(key, call, |_| false, make) {
        Ok(cell) | Err(cell) => cell,
    };
    core.began();
    core.counters.uac.inc();
    core.counters.active.inc();
    core.counters.inuse.inc();
    Ok(cell)
}

/// Runs `event_route[tm:local-request]`, then lets the request leave unless that dropped it.
async fn route_and_send(core: &Arc<Core>, cell: &Arc<Cell>, cx: &mut Cx) -> Result<(), Fault> {
    if let Some(route) = core.options().further.local_request {
        cx.route = RouteKind::Event;
        let engine = cx.worker.engine.clone();
        let RouteOutcome { drop, .. } = engine.run(cx, route).await;
        if drop {
            debug!("tm", "event_route[tm:local-request] kept a request back.");
            release(cell, &cx.worker);
            return Ok(());
        }
    }
    cx.route = RouteKind::Request;
    if !core.options().further.enable_uac_fr {
        cell.state.lock().arms.failure = None;
    }
    let how = How {
        no_100: true,
        no_reply: true,
        ..How::default()
    };
    let ret = match relay::relay(core, cx, how) {
        Ret::Wait(rest) => rest(cx).await,
        ret => ret,
    };
    match ret {
        Ret::Code(code) if code > 0 => Ok(()),
        Ret::Fault(fault) => Err(fault),
        _ => Err(Fault::backend("the request could not be sent")),
    }
}

/// Nobody waits for an answer any more.
fn release(cell: &Arc<Cell>, worker: &Rc<Worker>) {
    let mut state = cell.state.lock();
    let mut actions = Actions::new();
    state.local = None;
    state.tx.release(now(worker), &mut actions);
    timer::arm(cell, &mut state, worker);
}

/// Ends an INVITE of this server, or one that it relays.
pub fn cancel(cell: &Arc<Cell>, worker: &Rc<Worker>) {
    turn::take(cell, &timer::worker_of(cell, worker), Work::Cancel(Str::EMPTY));
}

/// A provisional reply or a 2xx came for a request of this server.
pub fn replied(cell: &Arc<Cell>, branch: BranchId, cx: &mut Cx) {
    let status = cx.msg.status().unwrap_or(0);
    let first = settle(cell, &cx.worker, status);
    if cell.method == Method::Invite && (200..300).contains(&status) {
        ack::send(cell, branch, cx);
    }
    if first {
        let reason = cx.msg.reason().unwrap_or_default();
        let reply = Reply {
            received: Some((&cx.msg, &cx.received)),
            ..Reply::of(branch, status, reason)
        };
        tell(cell, &cx.worker, &reply);
    }
}

/// A request of this server ended without a 2xx: with the reply that this branch got, or with none.
pub fn ended(cell: &Arc<Cell>, worker: &Rc<Worker>, branch: BranchId) {
    let options = &cell.core.options();
    let (outcome, held) = {
        let mut state = cell.state.lock();
        let outcome = state
            .tx
            .client(branch)
            .map_or(Outcome::Pending, |client| client.outcome());
        let known = state.branches.get_mut(branch.index());
        (outcome, known.and_then(|known| known.held.take()))
    };
    let status = match outcome {
        Outcome::TimedOut => options.reply_408_code,
        outcome => outcome.status().unwrap_or(408),
    };
    if !settle(cell, worker, status) {
        return;
    }
    let reply = match (outcome, held.as_deref()) {
        (Outcome::Reply(status), Some(Held { msg, received, .. })) => Reply {
            received: Some((msg, received)),
            ..Reply::of(branch, status, msg.reason().unwrap_or_default())
        },
        (Outcome::TimedOut, _) => Reply::of(branch, status, &options.reply_408_reason),
        _ => Reply::of(branch, status, super::answer::reason_of(status)),
    };
    tell(cell, worker, &reply);
}

/// Notes the status; true unless the transaction had its final reply before.
fn settle(cell: &Arc<Cell>, worker: &Rc<Worker>, status: u16) -> bool {
    let mut actions = Actions::new();
    let (settled, left) = {
        let mut state = cell.state.lock();
        let settled = state.tx.answer(now(worker), status, false, true, &mut actions);
        let left = carry_out(cell, &mut state, actions, None);
        timer::arm(cell, &mut state, worker);
        (settled, left)
    };
    if settled && status >= 200 {
        cell.core.counters.completed(status);
    }
    wire::send(worker, left.packets);
    settled
}

fn tell(cell: &Arc<Cell>, worker: &Rc<Worker>, reply: &Reply<'_>) {
    let answered = {
        let mut state = cell.state.lock();
        match &mut state.local {
            Some(local) if reply.status >= 200 => local.answered.take(),
            Some(local) if local.provisional => local.answered.clone(),
            _ => None,
        }
    };
    if reply.status >= 200 {
        watch::completed(cell, worker, reply);
    }
    if let Some(answered) = answered {
        answered(
            worker,
            &Answer {
                status: reply.status,
                reason: reply.reason,
                message: reply.received,
                id: pair(cell.id),
            },
        );
    }
}

/// A reply made here was sent: `event_route[tm:local-response]` sees it in place of its request.
pub fn response_sent(core: &Core, cx: &mut Cx, data: &Str) {
    if core.options().further.local_response.is_empty() || ANSWERING.replace(true) {
        return;
    }
    if let Ok(reply) = Message::parse(data.clone(), &Limits::default()) {
        run_on(cx, reply, &core.options().further.local_response);
    }
    ANSWERING.set(false);
}

/// Runs routes on another message in this one's place.
pub fn run_on(cx: &mut Cx, msg: Message, routes: &[RouteId]) {
    let msg = std::mem::replace(&mut cx.msg, msg);
    let edits = std::mem::take(&mut cx.edits);
    let target = std::mem::take(&mut cx.target);
    let kind = std::mem::replace(&mut cx.route, RouteKind::Event);
    let engine = cx.worker.engine.clone();
    for route in routes {
        engine.run_now(cx, *route);
    }
    cx.msg = msg;
    cx.edits = edits;
    cx.target = target;
    cx.route = kind;
}

/// The value of a header of the request as it was sent, for commands.
pub fn header(msg: &Message, id: HeaderId) -> Str {
    msg.first(id).map_or(Str::EMPTY, |header| msg.text(header.line))
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
        time::Duration,
    };

    use super::*;
    use crate::tm::{replies, testing::Bench};

    type Heard = Arc<Mutex<Vec<(u16, String)>>>;

    /// Sends a request; what its answers were is noted.
    fn sent(bench: &Bench, method: &'static str, provisional: bool) -> (Arc<Cell>, Heard) {
        let heard = Heard::default();
        let told = heard.clone();
        let request = LocalRequest {
            method: method.into(),
            ruri: "sip:b@127.0.0.1:5071".into(),
            from: "<sip:me@h>".into(),
            to: "<sip:b@h>".into(),
            provisional,
            answered: Some(Arc::new(move |_, answer: &Answer<'_>| {
                let reason = String::from_utf8_lossy(answer.reason).into_owned();
                told.lock().push((answer.status, reason));
            })),
            ..LocalRequest::default()
        };
        let mut sending = pin!(send(&bench.core, &bench.server.worker, request));
        let Poll::Ready(Ok(id)) = sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the request was not sent at once");
        };
        (bench.core.table.get(id).expect("a transaction"), heard)
    }

    /// Lets a reply to the first branch come.
    fn reply(bench: &Bench, cell: &Arc<Cell>, method: &str, status: &str) {
        let data = cell.sent_on(&cell.state.lock().branches[0]);
        let request = Message::parse(data, &Limits::default()).unwrap();
        let via = header(&request, HeaderId::Via);
        let call_id = header(&request, HeaderId::CallId);
        let text = format!(
            "SIP/2.0 {status}\n{}\nFrom: <sip:me@h>;tag=1\nTo: <sip:b@h>;tag=2\n{}\nCSeq: 10 {method}\n\
             Contact: <sip:b@127.0.0.1:5072>\n",
            via.text().trim_end(),
            call_id.text().trim_end()
        );
        let cx = bench.server.message(&text);
        assert!(replies::take(&bench.core, cx).is_none(), "the reply is taken");
    }

    #[test]
    fn the_final_reply_is_told_once_and_goes_no_further() {
        let bench = Bench::default();
        let (cell, heard) = sent(&bench, "OPTIONS", true);
        assert_eq!(bench.sent(), ["OPTIONS sip:b@127.0.0.1:5071 SIP/2.0"]);
        reply(&bench, &cell, "OPTIONS", "180 Hm");
        reply(&bench, &cell, "OPTIONS", "200 Fine");
        reply(&bench, &cell, "OPTIONS", "200 Fine");
        assert_eq!(*heard.lock(), [(180, "Hm".into()), (200, "Fine".into())]);
        assert!(bench.sent().is_empty());
    }

    #[test]
    fn every_2xx_to_an_invite_is_acknowledged() {
        let bench = Bench::default();
        let (cell, heard) = sent(&bench, "INVITE", false);
        bench.sent();
        reply(&bench, &cell, "INVITE", "180 Ringing");
        reply(&bench, &cell, "INVITE", "200 OK");
        reply(&bench, &cell, "INVITE", "200 OK");
        assert_eq!(*heard.lock(), [(200, "OK".into())]);
        assert_eq!(bench.sent(), ["ACK sip:b@127.0.0.1:5072 SIP/2.0"; 2]);
    }

    #[test]
    fn a_refusal_is_acknowledged_hop_by_hop() {
        let bench = Bench::default();
        let (cell, heard) = sent(&bench, "INVITE", false);
        bench.sent();
        reply(&bench, &cell, "INVITE", "486 Busy");
        assert_eq!(*heard.lock(), [(486, "Busy".into())]);
        assert_eq!(bench.sent(), ["ACK sip:b@127.0.0.1:5071 SIP/2.0"]);
    }

    #[test]
    fn silence_is_told_as_408() {
        let bench = Bench::default();
        let (cell, heard) = sent(&bench, "OPTIONS", false);
        bench.server.engine.advance(Duration::from_secs(31));
        turn::take(&cell, &bench.server.worker, Work::Tick);
        assert_eq!(*heard.lock(), [(408, "Request Timeout".into())]);
    }

    #[test]
    fn a_ringing_invite_can_be_cancelled() {
        let bench = Bench::default();
        let (cell, heard) = sent(&bench, "INVITE", false);
        reply(&bench, &cell, "INVITE", "180 Ringing");
        bench.sent();
        cancel(&cell, &bench.server.worker);
        assert_eq!(bench.sent(), ["CANCEL sip:b@127.0.0.1:5071 SIP/2.0"]);
        reply(&bench, &cell, "INVITE", "487 Ended");
        assert_eq!(*heard.lock(), [(487, "Ended".into())]);
    }

    #[test]
    fn nothing_leaves_for_a_name_that_does_not_resolve() {
        let bench = Bench::default();
        let request = LocalRequest {
            method: "OPTIONS".into(),
            ruri: "sip:b@nowhere.invalid".into(),
            from: "<sip:me@h>".into(),
            to: "<sip:b@h>".into(),
            ..LocalRequest::default()
        };
        let mut sending = pin!(send(&bench.core, &bench.server.worker, request));
        let polled = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Err(_))));
        assert!(bench.sent().is_empty() && bench.core.table.len() == 0);
    }
}
