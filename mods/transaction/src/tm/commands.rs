//! The commands `tm.*`.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use kahea_module::{
    Decl, ReplyExtra, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use kahea_sip::{HeaderId, Method};
use kahea_tx::Key;
use parking_lot::Mutex;

use super::{
    Tm, answer,
    cell::Cell,
    core::{Core, now},
    local,
    uac::{LocalRequest, parse_id},
};

/// `tm.t_uac_wait*` gives up after this.
const LONGEST_WAIT: Duration = Duration::from_secs(80);

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    requests(d);
    d.rpc(
        "tm.cancel",
        cancel,
        "Cancels the INVITE of this Call-ID and CSeq number.",
    );
    d.rpc(
        "tm.reply",
        reply,
        "Answers a transaction: code, reason, index:label, To-tag, headers (. for none), body.",
    );
    d.rpc(
        "tm.reply_callid",
        reply_callid,
        "Answers a transaction: code, reason, Call-ID, CSeq number, To-tag, headers (. for none), body.",
    );
    d.rpc(
        "tm.retransmit_reply",
        |m, call| again(m, call, by_id),
        "Sends the last reply of the transaction index:label again.",
    );
    d.rpc(
        "tm.retransmit_reply_callid",
        |m, call| again(m, call, by_call),
        "Sends the last reply of the transaction of this Call-ID and CSeq number again.",
    );
    d.rpc("tm.list", list, "Every transaction in memory.").list();
    d.rpc(
        "tm.stats",
        stats,
        "How many transactions there are and were, and how they ended.",
    );
    d.rpc("tm.hash_stats", table, "How full the table of transactions is.");
    d.rpc(
        "tm.clean",
        |_, _| Ok(Vec::new()),
        "Removes transactions that outlived every timer; here none can.",
    );
}

fn requests(d: &mut Decl<Tm>) {
    const DOC: &str = "Sends a request of this server's own: method, Request-URI, next hop (. for none), socket (. for none), headers, body; start: at once, wait: gives the reply; noack: an INVITE's final reply is not acknowledged; hex: the body in hexadecimal digits.";
    d.rpc_waits("tm.t_uac_start", |m, call| run(m, call, Mode::START), DOC);
    d.rpc_waits(
        "tm.t_uac_start_hex",
        |m, call| run(m, call, Mode::START.hex()),
        DOC,
    );
    d.rpc_waits(
        "tm.t_uac_start_noack",
        |m, call| run(m, call, Mode::START.no_ack()),
        DOC,
    );
    d.rpc_waits(
        "tm.t_uac_start_noack_hex",
        |m, call| run(m, call, Mode::START.no_ack().hex()),
        DOC,
    );
    d.rpc_waits("tm.t_uac_wait", |m, call| run(m, call, Mode::WAIT), DOC);
    d.rpc_waits("tm.t_uac_wait_hex", |m, call| run(m, call, Mode::WAIT.hex()), DOC);
    d.rpc_waits(
        "tm.t_uac_wait_noack",
        |m, call| run(m, call, Mode::WAIT.no_ack()),
        DOC,
    );
    d.rpc_waits(
        "tm.t_uac_wait_noack_hex",
        |m, call| run(m, call, Mode::WAIT.no_ack().hex()),
        DOC,
    );
    d.rpc_waits("tm.t_uac_wait_block", |m, call| run(m, call, Mode::WAIT), DOC);
    d.rpc_waits(
        "tm.t_uac_wait_block_hex",
        |m, call| run(m, call, Mode::WAIT.hex()),
        DOC,
    );
    d.rpc_waits(
        "tm.t_uac_wait_block_noack",
        |m, call| run(m, call, Mode::WAIT.no_ack()),
        DOC,
    );
    d.rpc_waits(
        "tm.t_uac_wait_block_noack_hex",
        |m, call| run(m, call, Mode::WAIT.no_ack().hex()),
        DOC,
    );
    d.rpc_waits("tm.t_uac_attrs", attrs, "Sends a request as tm.t_uac_start, after attributes name=value;…: mode start, wait or block; cbflags noack; rpflags 1 for a hexadecimal body; fr_timeout and fr_inv_timeout in milliseconds.");
}

/// How a request is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mode {
    wait: bool,
    no_ack: bool,
    hex: bool,
    fr_timer: Option<u32>,
    fr_inv_timer: Option<u32>,
}

impl Mode {
    const START: Mode = Mode {
        wait: false,
        no_ack: false,
        hex: false,
        fr_timer: None,
        fr_inv_timer: None,
    };
    const WAIT: Mode = Mode {
        wait: true,
        ..Mode::START
    };

    const fn hex(self) -> Mode {
        Mode { hex: true, ..self }
    }

    const fn no_ack(self) -> Mode {
        Mode { no_ack: true, ..self }
    }

    /// From attributes, `mode=wait;cbflags=noack`.
    fn parse(text: &str) -> Result<Mode, RpcFault> {
        let mut mode = Mode::START;
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let bad = || RpcFault::new(400, format!("Invalid attribute \"{pair}\""));
            let (name, value) = pair.split_once('=').ok_or_else(bad)?;
            let milliseconds = || value.parse().map(Some).map_err(|_| bad());
            match (name, value) {
                ("mode" | "reply", "start") => mode.wait = false,
                ("mode" | "reply", "wait" | "block") => mode.wait = true,
                ("cbflags", "noack") => mode.no_ack = true,
                ("rpflags", "0") => mode.hex = false,
                ("rpflags", "1") => mode.hex = true,
                ("fr_timeout", _) => mode.fr_timer = milliseconds()?,
                ("fr_inv_timeout", _) => mode.fr_inv_timer = milliseconds()?,
                _ => return Err(bad()),
            }
        }
        Ok(mode)
    }
}

fn attrs<'a>(m: &'a Tm, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    match call.text().and_then(|text| Mode::parse(&text.text())) {
        Ok(mode) => run(m, call, mode),
        Err(fault) => Box::pin(std::future::ready(Err(fault))),
    }
}

fn bad(fault: &kahea_module::Fault) -> RpcFault {
    RpcFault::new(400, fault.text.clone())
}

/// An argument for which `.` stands where there is none.
fn given(text: Str) -> Option<Str> {
    (!text.is_empty() && text != ".").then_some(text)
}

fn read(call: &mut RpcCall, mode: Mode) -> Result<LocalRequest, RpcFault> {
    let (method, ruri) = (call.text()?, call.text()?);
    if kahea_sip::view::Uri::parse(&ruri).is_err() {
        return Err(RpcFault::new(400, format!("Invalid request uri \"{ruri}\"")));
    }
    let (next_hop, socket) = (given(call.text()?), given(call.text()?));
    let headers = call.text()?;
    let mut body = call.optional_text()?.unwrap_or_default();
    if mode.hex {
        body = unhex(&body).ok_or_else(|| RpcFault::new(400, "Invalid hexadecimal body"))?;
    }
    let request = LocalRequest::with_headers(method, ruri, &headers, body).map_err(|fault| bad(&fault))?;
    let socket = local::socket(&call.worker, &socket.unwrap_or_default()).map_err(|fault| bad(&fault))?;
    Ok(LocalRequest {
        next_hop,
        socket,
        no_ack: mode.no_ack,
        fr_timer: mode.fr_timer,
        fr_inv_timer: mode.fr_inv_timer,
        ..request
    })
}

/// Hexadecimal digits with blanks between them.
fn unhex(text: &[u8]) -> Option<Str> {
    let digits: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let whole = digits.len().is_multiple_of(2);
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.filter(|_| whole).map(Str::from)
}

/// The reply that a command waits for.
#[derive(Default)]
struct Awaited {
    reply: Option<(u16, Str)>,
    waker: Option<Waker>,
}

fn run<'a>(m: &'a Tm, call: &'a mut RpcCall, mode: Mode) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let mut request = read(call, mode)?;
        let awaited = Arc::new(Mutex::new(Awaited::default()));
        let told = awaited.clone();
        if mode.wait {
            request.answered = Some(Arc::new(move |_, answer| {
                let mut told = told.lock();
                if answer.status >= 200 {
                    told.reply = Some((answer.status, Str::copy(answer.reason)));
                    if let Some(waker) = told.waker.take() {
                        waker.wake();
                    }
                }
            }));
        }
        let sent = local::send(&m.core, &call.worker, request).await;
        sent.map_err(|fault| RpcFault::new(500, fault.text))?;
        if !mode.wait {
            return Ok(Vec::new());
        }
        let (code, text) = wait(call, &awaited)
            .await
            .ok_or_else(|| RpcFault::new(500, "Timeout: no reply was received"))?;
        Ok(vec![RpcValue::members([
            ("code", RpcValue::Int(code.into())),
            ("text", text.into()),
        ])])
    })
}

async fn wait(call: &RpcCall, awaited: &Mutex<Awaited>) -> Option<(u16, Str)> {
    let mut late = pin!(call.worker.engine.sleep(LONGEST_WAIT));
    std::future::poll_fn(move |task| {
        let mut awaited = awaited.lock();
        if let Some(reply) = awaited.reply.take() {
            return Poll::Ready(Some(reply));
        }
        awaited.waker = Some(task.waker().clone());
        late.as_mut().poll(task).map(|()| None)
    })
    .await
}

/// The transactions of a Call-ID and CSeq number.
fn of_call(core: &Core, call_id: &Str, cseq: &Str) -> Vec<Arc<Cell>> {
    let digits = cseq.text();
    let digits = digits.split_whitespace().next().unwrap_or_default();
    let Ok(number) = digits.parse() else {
        return Vec::new();
    };
    let key = Key::of_call(call_id, number, &core.table.seed);
    let fits = |cell: &Cell| {
        cell.message().is_ok_and(|msg| {
            msg.call_id() == Some(call_id.as_bytes()) && msg.cseq().is_some_and(|(known, _)| known == number)
        })
    };
    core.table.of_call(key, fits)
}

fn by_call(m: &Tm, call: &mut RpcCall) -> Result<Arc<Cell>, RpcFault> {
    let (call_id, cseq) = (call.text()?, call.text()?);
    let found = of_call(&m.core, &call_id, &cseq).into_iter().next();
    found.ok_or_else(|| RpcFault::new(404, "Transaction not found"))
}

fn by_id(m: &Tm, call: &mut RpcCall) -> Result<Arc<Cell>, RpcFault> {
    let name = call.text()?;
    let (index, label) = parse_id(&name.text())
        .ok_or_else(|| RpcFault::new(400, "Invalid transaction id: write index:label"))?;
    let found = m.core.table.get_short(index, label);
    found.ok_or_else(|| RpcFault::new(481, "No such transaction"))
}

fn cancel(m: &Tm, call: &mut RpcCall) -> RpcResult {
    let expected = || RpcFault::new(400, "Callid and CSeq expected as parameters");
    let call_id = call.text().map_err(|_| expected())?;
    let cseq = call.text().map_err(|_| expected())?;
    let mut found = of_call(&m.core, &call_id, &cseq);
    found.retain(|cell| cell.method == Method::Invite);
    let cell = found
        .first()
        .ok_or_else(|| RpcFault::new(400, "Transaction not found"))?;
    local::cancel(cell, &call.worker);
    let state = cell.state.lock();
    let open = state
        .tx
        .clients()
        .iter()
        .filter(|client| client.is_pending())
        .count();
    Ok(vec![
        RpcValue::Int(i64::try_from(open).unwrap_or(i64::MAX)),
        RpcValue::from("branches remaining (waiting for timeout)"),
    ])
}

fn status(call: &mut RpcCall) -> Result<(u16, Str), RpcFault> {
    let code = call.int()?;
    let status = u16::try_from(code).ok().filter(|code| (100..700).contains(code));
    let status = status.ok_or_else(|| RpcFault::new(400, format!("Invalid reply code {code}")))?;
    Ok((status, call.text()?))
}

fn reply(m: &Tm, call: &mut RpcCall) -> RpcResult {
    let (status, reason) = status(call)?;
    let cell = by_id(m, call)?;
    answer_with(&cell, call, status, &reason)
}

fn reply_callid(m: &Tm, call: &mut RpcCall) -> RpcResult {
    let (status, reason) = status(call)?;
    let cell = by_call(m, call)?;
    answer_with(&cell, call, status, &reason)
}

fn answer_with(cell: &Arc<Cell>, call: &mut RpcCall, status: u16, reason: &Str) -> RpcResult {
    let (tag, headers, body) = (call.text()?, call.optional_text()?, call.optional_text()?);
    if let Some(tag) = given(tag) {
        cell.state.lock().tag = Some(tag);
    }
    let failed = |fault: kahea_module::Fault| RpcFault::new(500, fault.text);
    let mut cx = cell.request_cx(call.worker.clone()).map_err(failed)?;
    extras(
        &mut cx.reply_extra,
        headers.and_then(given),
        body.filter(|body| !body.is_empty()),
    )?;
    let answered = answer::local(cell, &mut cx, status, reason);
    cx.finish();
    answered.map_err(failed)?;
    Ok(Vec::new())
}

/// Header lines and body as the reply takes them; Content-Type belongs to the body.
fn extras(out: &mut Vec<ReplyExtra>, headers: Option<Str>, body: Option<Str>) -> Result<(), RpcFault> {
    let mut content_type = None;
    let mut lines = Vec::new();
    for line in headers
        .unwrap_or_default()
        .text()
        .lines()
        .filter(|line| !line.trim().is_empty())
    {
        match line.split_once(':') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("Content-Type") => {
                content_type = Some(Str::from(value.trim()));
            }
            Some((name, _)) if name.trim().eq_ignore_ascii_case("Content-Length") => {}
            Some(_) => lines.extend_from_slice(format!("{line}\r\n").as_bytes()),
            None => return Err(RpcFault::new(400, format!("Invalid header \"{line}\""))),
        }
    }
    if !lines.is_empty() {
        out.push(ReplyExtra::Header(Str::from(lines)));
    }
    match (content_type, body) {
        (Some(content_type), Some(content)) => out.push(ReplyExtra::Body {
            content_type,
            content,
        }),
        (None, Some(_)) => return Err(RpcFault::new(400, "Content-Type missing")),
        (Some(content_type), None) => {
            out.push(ReplyExtra::Header(Str::from(format!(
                "Content-Type: {content_type}\r\n"
            ))));
        }
        (None, None) => {}
    }
    Ok(())
}

type Find = fn(&Tm, &mut RpcCall) -> Result<Arc<Cell>, RpcFault>;

fn again(m: &Tm, call: &mut RpcCall, find: Find) -> RpcResult {
    let cell = find(m, call)?;
    if !answer::repeat(&cell, &call.worker) {
        return Err(RpcFault::new(500, "The transaction has no reply yet"));
    }
    Ok(Vec::new())
}

fn list(m: &Tm, call: &mut RpcCall) -> RpcResult {
    let moment = now(&call.worker);
    Ok(m.core
        .table
        .all()
        .iter()
        .filter_map(|cell| row(cell, moment))
        .collect())
}

fn row(cell: &Arc<Cell>, moment: kahea_tx::Time) -> Option<RpcValue> {
    let msg = cell.message().ok()?;
    let state = cell.state.lock();
    let line = |id: HeaderId| RpcValue::from(local::header(&msg, id).text().trim_end().to_owned());
    let count = |number: usize| RpcValue::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let number = msg.cseq().map_or(0, |(number, _)| number);
    let left = state.tx.deadline().0.saturating_sub(moment.0);
    Some(RpcValue::members([
        ("tindex", RpcValue::Int(cell.id.index.into())),
        ("tlabel", RpcValue::Int(cell.id.short_label().into())),
        ("method", Str::copy(msg.method_text()).into()),
        ("from", line(HeaderId::From)),
        ("to", line(HeaderId::To)),
        ("callid", line(HeaderId::CallId)),
        ("cseq", format!("CSeq: {number}").into()),
        (
            "uas_request",
            if state.tx.is_local() { "no" } else { "yes" }.into(),
        ),
        ("tflags", RpcValue::Int(state.switches.0.into())),
        ("outgoings", count(state.branches.len())),
        ("ref_count", count(Arc::strong_count(cell).saturating_sub(1))),
        ("lifetime", RpcValue::Int(i64::try_from(left).unwrap_or(i64::MAX))),
    ]))
}

fn stats(m: &Tm, _: &mut RpcCall) -> RpcResult {
    let counters = &m.core.counters;
    let cells = m.core.table.all();
    let resting = cells
        .iter()
        .filter(|cell| cell.state.lock().tx.is_resting())
        .count();
    let count = |number: usize| RpcValue::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let created = counters.uas.get().saturating_add(counters.uac.get());
    let by_class = |class: usize| {
        let counter = class.checked_sub(2).and_then(|at| counters.completed.get(at));
        RpcValue::Int(counter.map_or(0, kahea_module::stats::Counter::get))
    };
    Ok(vec![RpcValue::members([
        ("current", count(cells.len())),
        ("waiting", count(resting)),
        ("total", RpcValue::Int(created)),
        ("total_local", RpcValue::Int(counters.uac.get())),
        ("rpl_received", RpcValue::Int(counters.received.get())),
        ("rpl_generated", RpcValue::Int(counters.generated.get())),
        ("rpl_sent", RpcValue::Int(counters.sent.get())),
        ("6xx", by_class(6)),
        ("5xx", by_class(5)),
        ("4xx", by_class(4)),
        ("3xx", by_class(3)),
        ("2xx", by_class(2)),
        ("created", RpcValue::Int(created)),
        (
            "freed",
            RpcValue::Int(created.saturating_sub(counters.inuse.get())),
        ),
        ("delayed_free", RpcValue::Int(0)),
    ])])
}

fn table(m: &Tm, _: &mut RpcCall) -> RpcResult {
    let used = i64::try_from(m.core.table.len()).unwrap_or(i64::MAX);
    let shards = i64::from(super::table::SHARDS);
    Ok(vec![RpcValue::members([
        ("hash_size", RpcValue::Int(shards)),
        ("crt_transactions", RpcValue::Int(used)),
        ("average", RpcValue::Int(used.checked_div(shards).unwrap_or(0))),
    ])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_make_a_mode() {
        let mode = Mode::parse("mode=block;cbflags=noack;rpflags=1;fr_timeout=500").unwrap();
        let wanted = Mode {
            fr_timer: Some(500),
            ..Mode::WAIT.no_ack().hex()
        };
        assert_eq!(mode, wanted);
        assert_eq!(Mode::parse(""), Ok(Mode::START));
        assert!(Mode::parse("mode=other").is_err() && Mode::parse("fr_timeout=x").is_err());
    }

    #[test]
    fn bodies_come_in_hexadecimal_digits() {
        assert_eq!(unhex(b"68 69\n").unwrap(), "hi");
        assert_eq!(unhex(b"686"), None);
        assert_eq!(unhex(b"zz"), None);
    }

    #[test]
    fn the_content_type_goes_with_the_body() {
        let mut out = Vec::new();
        let headers = Some(Str::from("X: 1\r\nContent-Type: a/b\r\nContent-Length: 3"));
        extras(&mut out, headers, Some("hey".into())).unwrap();
        assert!(matches!(&out[0], ReplyExtra::Header(line) if *line == "X: 1\r\n"));
        assert!(matches!(&out[1], ReplyExtra::Body { content_type, .. } if *content_type == "a/b"));
        assert!(extras(&mut out, None, Some("hey".into())).is_err());
    }
}
