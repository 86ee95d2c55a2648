//! The path of a message: from bytes through hooks and routes to its end.

use std::{cell::RefCell, rc::Rc};

use kahea_module::{
    Cx, Fault, Flow, Outcome, Ret, RouteId, RouteKind, Str, Worker, log::Level, proxy, state::Settled,
};
use kahea_net::{NetEvent, Sink};
use kahea_sip::{HeaderId, Limits, Message, ParseError, Received, view::Via};

use crate::{
    latency,
    machine::Step,
    runner::{Runner, begin, finish, guarded, in_its_name, wait},
    running::Running,
};

/// What one worker runs messages with: swapped as a whole at a reload.
pub struct Current {
    /// Handed to each message.
    pub worker: Rc<Worker>,
    /// The interpreter.
    pub runner: Rc<Runner>,
    /// Where messages enter the script.
    pub entries: Entries,
    /// Bounds of what is read.
    pub limits: Limits,
}

/// The routes that messages enter by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entries {
    /// `request_route`.
    pub request: Option<RouteId>,
    /// `reply_route`.
    pub reply: Option<RouteId>,
    /// `event_route[core:msg-received]`, where `received_route_mode` asks for it.
    pub received: Option<RouteId>,
    /// `event_route[core:pre-routing]`.
    pub pre_routing: Option<RouteId>,
    /// `event_route[core:receive-parse-error]`.
    pub parse_error: Option<RouteId>,
}

/// Takes what the sockets of one worker give.
pub struct Receiver {
    current: RefCell<Rc<Current>>,
    count: std::cell::Cell<u64>,
    /// The resets of the count that were seen.
    resets: std::cell::Cell<u64>,
}

impl Receiver {
    /// On a configuration.
    pub fn new(current: Rc<Current>) -> Receiver {
        Receiver {
            current: RefCell::new(current),
            count: std::cell::Cell::new(0),
            resets: std::cell::Cell::new(0),
        }
    }

    /// New messages use this from now on; those under way keep what they have.
    pub fn replace(&self, current: Rc<Current>) {
        self.current.replace(current);
    }

    /// The configuration in force.
    pub fn current(&self) -> Rc<Current> {
        self.current.borrow().clone()
    }

    fn number(&self) -> u64 {
        let shared = &self.current.borrow().worker.config.shared;
        let resets = shared.number_resets.load(std::sync::atomic::Ordering::Relaxed);
        if resets != self.resets.replace(resets) {
            self.count.set(0);
        }
        let next = self.count.get().wrapping_add(1);
        self.count.set(next);
        next
    }
}

impl Sink for Receiver {
    fn message(&self, data: Str, received: Received) {
        let current = self.current();
        if is_keepalive(&data) {
            return;
        }
        let mut data = data;
        for hook in &current.worker.config.hooks.wire_in {
            match hook(&current.worker, &received, data) {
                Some(changed) => data = changed,
                None => return,
            }
        }
        match Message::parse(data.clone(), &current.limits) {
            Ok(msg) => {
                let mut cx = Cx::new(msg, received, current.worker.clone());
                cx.number = self.number();
                route(current, cx);
            }
            Err(error) => refuse(&current, data, received, &error, self.number()),
        }
    }

    fn event(&self, event: NetEvent) {
        match event {
            NetEvent::BadFrame {
                head,
                received,
                reason,
                reply,
            } => {
                let current = self.current();
                current.worker.config.counts.bad_msg_hdr.inc();
                kahea_module::log_at!(
                    core_log(&current),
                    "<core>",
                    "Closed the connection from {}: {reason}.",
                    received.source
                );
                match reply {
                    Some(reply) if is_http_head(&head) => {
                        proxy::http::refuse(&current.worker, &received, reply)
                    }
                    Some(reply) => answer_salvaged(&current, head, received, reply, self.number()),
                    None => {}
                }
            }
            NetEvent::SendFailed {
                destination,
                data,
                error,
            } => {
                kahea_module::info!("<core>", "Could not send to {}: {error}.", destination.to);
                let current = self.current();
                for hook in &current.worker.config.hooks.send_failed {
                    hook(&current.worker, &destination, &data);
                }
            }
            // The stun module answers in a hook; without it there is nobody to answer.
            NetEvent::Stun { data, received } => {
                let current = self.current();
                let mut data = data;
                for hook in &current.worker.config.hooks.wire_in {
                    match hook(&current.worker, &received, data) {
                        Some(changed) => data = changed,
                        None => return,
                    }
                }
            }
            NetEvent::Connected { .. } | NetEvent::Closed { .. } | NetEvent::Keepalive { .. } => {}
        }
    }
}

/// A stream broke off in a request of HTTP.
fn is_http_head(head: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n')
        .next()
        .is_some_and(kahea_sip::http::is_request_line)
}

/// Line ends, NULs or nothing: phones send these to keep NAT bindings.
pub fn is_keepalive(data: &[u8]) -> bool {
    data.len() <= 4 && data.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0 | b' '))
}

/// A message that cannot be read: logged, told to the script, answered where an answer is due.
fn refuse(current: &Rc<Current>, data: Str, received: Received, error: &ParseError, number: u64) {
    current.worker.config.counts.bad_msg_hdr.inc();
    log_bad(current, &data, &received, error);
    if let Some(route) = current.entries.parse_error
        && let Some(mut cx) = salvaged(current, data.clone(), received, number)
    {
        cx.route = RouteKind::Event;
        cx.route_name = Str::from_static("core:receive-parse-error");
        kahea_module::Engine::run_now(&*current.runner, &mut cx, route);
        cx.finish();
    }
    if let Some((status, reason)) = error.reply() {
        answer_salvaged(current, data, received, (status, reason), number);
    }
}

/// At the level of `sip_parser_log`; with the message, where `sip_parser_log_oneline` asks for it.
fn log_bad(current: &Current, data: &Str, received: &Received, error: &ParseError) {
    let globals = &current.worker.config.globals;
    let (source, transport) = (received.source, received.transport);
    let level = Level::from_number(globals.sip_parser_log);
    if globals.sip_parser_log_oneline != 0 {
        // Line ends are made visible by the log.
        let shown = data.get(..MOST_SHOWN).unwrap_or(data);
        let text = String::from_utf8_lossy(shown);
        kahea_module::log_at!(
            level,
            "<core>",
            "Bad message from {source} ({transport}): {error}: {text}"
        );
    } else {
        kahea_module::log_at!(
            level,
            "<core>",
            "Bad message from {source} ({transport}): {error}."
        );
    }
}

/// Bytes of a bad message that are shown at most.
const MOST_SHOWN: usize = 2048;

/// The level of lines about what a peer did wrong.
fn core_log(current: &Current) -> Level {
    Level::from_number(current.worker.config.globals.corelog)
}

fn salvaged(current: &Rc<Current>, data: Str, received: Received, number: u64) -> Option<Cx> {
    let msg = Message::salvage(data, &current.limits)?;
    let mut cx = Cx::new(msg, received, current.worker.clone());
    cx.number = number;
    Some(cx)
}

fn answer_salvaged(current: &Rc<Current>, data: Str, received: Received, reply: (u16, &str), number: u64) {
    let Some(mut cx) = salvaged(current, data, received, number) else {
        return;
    };
    if cx.msg.is_request()
        && let Err(fault) = proxy::reply_to(&mut cx, reply.0, reply.1.as_bytes())
    {
        kahea_module::debug!("<core>", "No reply to the bad message: {fault}.");
    }
    cx.finish();
}

/// Takes a message that was read through hooks and routes.
fn route(current: Rc<Current>, mut cx: Cx) {
    if is_http(&cx) {
        return http(cx);
    }
    cx.force_rport = current.worker.config.globals.force_rport;
    accept_alias(&cx);
    let events = [
        (current.entries.received, "core:msg-received"),
        (current.entries.pre_routing, "core:pre-routing"),
    ];
    for (entry, name) in events {
        let Some(entry) = entry else { continue };
        cx.route = RouteKind::Event;
        cx.route_name = Str::from_static(name);
        if kahea_module::Engine::run_now(&*current.runner, &mut cx, entry).drop {
            return cx.finish();
        }
    }
    cx.route_name = Str::EMPTY;
    if cx.msg.is_request() {
        current.worker.config.counts.request(cx.msg.method());
        if let Some(fault) = missing_via(&cx) {
            let source = cx.received.source;
            kahea_module::log_at!(
                core_log(&current),
                "<core>",
                "Bad request from {source}: {fault}."
            );
            return cx.finish();
        }
        if let Some(reason) = unusable(&cx) {
            return refuse_request(&current, cx, &reason);
        }
        request(current, cx);
    } else {
        current
            .worker
            .config
            .counts
            .reply(cx.msg.status().unwrap_or(0), cx.msg.method());
        if !has_cseq(&cx) {
            let source = cx.received.source;
            kahea_module::log_at!(
                core_log(&current),
                "<core>",
                "Dropped a reply from {source}: it has no readable CSeq."
            );
            return cx.finish();
        }
        reply(current, cx);
    }
}

/// HTTP comes over streams only.
fn is_http(cx: &Cx) -> bool {
    cx.msg.is_http() && cx.received.transport.is_stream()
}

/// HTTP is for the modules that ask for it; its replies are for nobody.
fn http(mut cx: Cx) {
    if cx.msg.is_request() {
        let config = cx.worker.config.clone();
        for take in &config.hooks.take_http {
            match take(cx) {
                Some(back) => cx = back,
                None => return,
            }
        }
    }
    kahea_module::debug!(
        "<core>",
        "Nobody takes the HTTP message from {}.",
        cx.received.source
    );
    cx.finish();
}

fn missing_via(cx: &Cx) -> Option<Fault> {
    (!cx.msg.has(HeaderId::Via)).then(|| Fault::peer("it has no Via, so nobody knows where to answer"))
}

/// The headers that a request has exactly once.
const ONCE: [HeaderId; 4] = [HeaderId::From, HeaderId::To, HeaderId::CallId, HeaderId::CSeq];

/// Why no element can handle the request (RFC 3261 section 8.1.1, RFC 4475 sections 3.3.1 and 3.3.8): the reason of the
/// 400.
fn unusable(cx: &Cx) -> Option<String> {
    let missing = ONCE.into_iter().find(|id| !cx.msg.has(*id));
    if let Some(id) = missing {
        return Some(format!("Missing {} Header", id.name()));
    }
    let via = cx.msg.vias().next().map(|hop| cx.msg.bytes(hop.span));
    if via.is_none_or(|via| Via::parse(via).is_err()) {
        return Some("Bad Via Header".to_owned());
    }
    if cx.config().globals.sip_parser_mode == 0 {
        return None;
    }
    let single = ONCE
        .iter()
        .fold(HeaderId::MaxForwards.bit(), |all, id| all | id.bit());
    let mut seen = 0;
    for header in cx.msg.headers() {
        let bit = header.id.bit() & single;
        if seen & bit != 0 {
            return Some(format!("Repeated {} Header", header.id.name()));
        }
        seen |= bit;
    }
    if cx.to().is_err() {
        return Some("Bad To Header".to_owned());
    }
    (!has_cseq(cx)).then(|| "Bad CSeq Header".to_owned())
}

/// Two words, number and method; whether the number is one, module `sanity` judges, as in Kamailio.
fn has_cseq(cx: &Cx) -> bool {
    let value = cx.msg.first(HeaderId::CSeq).map(|header| cx.msg.value(header));
    let mut words = value
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    words.next().is_some() && words.next().is_some()
}

fn refuse_request(current: &Current, mut cx: Cx, reason: &str) {
    cx.config().counts.bad_msg_hdr.inc();
    let source = cx.received.source;
    kahea_module::log_at!(
        core_log(current),
        "<core>",
        "Bad request from {source}: {reason}."
    );
    if let Err(fault) = proxy::reply_to(&mut cx, 400, reason.as_bytes()) {
        kahea_module::debug!("<core>", "No reply to the bad request: {fault}.");
    }
    cx.finish();
}

/// `;alias` in the Via of a stream's request (RFC 5923), where `tcp_accept_aliases` allows it.
fn accept_alias(cx: &Cx) {
    let (Some(connection), true) = (cx.received.connection, cx.config().globals.tcp_accept_aliases) else {
        return;
    };
    if !cx.msg.is_request() {
        return;
    }
    let Some(hop) = cx.msg.vias().next() else { return };
    if let Ok(via) = Via::parse(cx.msg.bytes(hop.span))
        && via.alias()
    {
        cx.worker.net.add_alias(connection, via.port.unwrap_or(5060));
    }
}

fn request(current: Rc<Current>, mut cx: Cx) {
    let config = cx.worker.config.clone();
    for hook in &config.hooks.request {
        if hook(&mut cx) == Flow::Stop {
            return cx.finish();
        }
    }
    let Some(entry) = current.entries.request else {
        return cx.finish();
    };
    cx.route = RouteKind::Request;
    run(current, cx, entry, after_request);
}

fn reply(current: Rc<Current>, mut cx: Cx) {
    let config = cx.worker.config.clone();
    for hook in &config.hooks.reply {
        if hook(&mut cx) == Flow::Stop {
            return cx.finish();
        }
    }
    cx.route = RouteKind::CoreReply;
    match current.entries.reply {
        Some(entry) => run(current, cx, entry, |current, cx, result| {
            latency::script(&cx, "reply-route");
            measure(&current, current.entries.reply, &cx);
            after_reply(current, cx, result);
        }),
        None => after_reply(
            current,
            cx,
            Ok(Outcome {
                code: 1,
                exit: false,
                drop: false,
            }),
        ),
    }
}

/// The route that the message entered by has ended.
fn measure(current: &Current, entry: Option<RouteId>, cx: &Cx) {
    if let Some(latency) = entry.and_then(|entry| current.runner.latency(entry)) {
        latency.record(cx.worker.engine.now().saturating_duration_since(cx.started));
    }
}

type After = fn(Rc<Current>, Cx, Result<Outcome, Fault>);

/// Runs a route, as a task from the first wait on.
fn run(current: Rc<Current>, mut cx: Cx, entry: RouteId, after: After) {
    let mut machine = current.runner.machine(entry);
    match guarded(&mut cx, &mut machine, |cx, machine| machine.run(cx)) {
        Ok(Step::Done(outcome)) => after(current, cx, Ok(outcome)),
        Ok(Step::Stopped(fault)) | Err(fault) => after(current, cx, Err(fault)),
        Ok(step @ Step::Wait(_)) => suspend(current, cx, machine, step, after),
    }
}

fn suspend(current: Rc<Current>, mut cx: Cx, mut machine: Running, step: Step, after: After) {
    // While this message waits, others on this worker start with variables of their own.
    begin(Box::pin(async move {
        let result = finish(&mut cx, &mut machine, step).await;
        in_its_name(cx, |cx| after(current, cx, result));
    }));
}

fn after_request(current: Rc<Current>, mut cx: Cx, result: Result<Outcome, Fault>) {
    latency::script(&cx, "request-route");
    measure(&current, current.entries.request, &cx);
    match result {
        Ok(outcome) if outcome.drop => current.worker.config.counts.drop_requests.inc(),
        Ok(_) => {}
        Err(fault) => {
            current.worker.config.counts.err_requests.inc();
            kahea_module::log_at!(Level::Error, "<core>", "The script failed: {fault}.");
            let (status, reason) = fault.reply();
            if Settled::is(&cx) {
                kahea_module::debug!(
                    "<core>",
                    "No {status} for the request: it was answered or sent on."
                );
            } else if let Err(fault) = proxy::reply_to(&mut cx, status, reason.as_bytes()) {
                kahea_module::debug!("<core>", "No reply to the request: {fault}.");
            }
        }
    }
    let config = cx.worker.config.clone();
    for hook in &config.hooks.request_end {
        hook(&mut cx);
    }
    cx.finish();
}

fn after_reply(current: Rc<Current>, mut cx: Cx, result: Result<Outcome, Fault>) {
    match result {
        // As in Kamailio, a reply goes on only behind a route whose last code is true.
        Ok(outcome) if outcome.drop || outcome.code <= 0 => {
            if !outcome.drop {
                let (source, code) = (cx.received.source, outcome.code);
                kahea_module::info!(
                    "<core>",
                    "Dropped a reply from {source}: the reply route ended with {code}."
                );
            }
            current.worker.config.counts.drop_replies.inc();
            return cx.finish();
        }
        Ok(_) => {}
        Err(fault) => kahea_module::log_at!(
            Level::Error,
            "<core>",
            "The script failed: {fault}; the reply goes on."
        ),
    }
    let config = cx.worker.config.clone();
    for hook in &config.hooks.take_reply {
        match hook(cx) {
            Some(back) => cx = back,
            None => return,
        }
    }
    match proxy::forward_reply(&mut cx) {
        Ret::Wait(later) => {
            begin(Box::pin(async move {
                let ret = wait(&mut cx, later).await;
                forwarded(&current, cx, &ret);
            }));
        }
        ret => forwarded(&current, cx, &ret),
    }
}

fn forwarded(current: &Current, cx: Cx, ret: &Ret) {
    match ret {
        Ret::Fault(fault) => {
            current.worker.config.counts.err_replies.inc();
            let source = cx.received.source;
            kahea_module::log_at!(
                core_log(current),
                "<core>",
                "Dropped a reply from {source}: {fault}."
            );
        }
        _ => current.worker.config.counts.fwd_replies.inc(),
    }
    cx.finish();
}
