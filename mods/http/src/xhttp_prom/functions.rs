//! Functions and commands that change figures.

use kahea_module::{
    Cx, Decl, Fault, Rest, Ret, Str, proxy,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    value::parse_int,
};

use super::{EVERYWHERE, XhttpProm, metrics::Change, page};

/// A function of a name, perhaps a number, and labels.
macro_rules! with_number {
    ($d:ident, $name:literal, $function:ident, $kemi:literal, $doc:literal) => {
        $d.func($name, ["name", "number", "labels"], $function, $doc)
            .routes(EVERYWHERE)
            .kemi(2, concat!($kemi, "_l0"))
            .kemi(3, concat!($kemi, "_l1"))
            .kemi(4, concat!($kemi, "_l2"))
            .kemi(5, concat!($kemi, "_l3"))
    };
}

macro_rules! without_number {
    ($d:ident, $name:literal, $function:ident, $kemi:literal, $doc:literal) => {
        $d.func($name, ["name", "labels"], $function, $doc)
            .routes(EVERYWHERE)
            .kemi(1, concat!($kemi, "_l0"))
            .kemi(2, concat!($kemi, "_l1"))
            .kemi(3, concat!($kemi, "_l2"))
            .kemi(4, concat!($kemi, "_l3"))
    };
}

/// Their declarations.
pub fn declare(d: &mut Decl<XhttpProm>) {
    with_number!(
        d,
        "prom_counter_inc",
        add,
        "counter_inc",
        "Adds to a counter; the number is 0 or more."
    )
    .example(r#"prom_counter_inc("requests", "1", "$rm");"#);
    with_number!(d, "prom_gauge_set", set, "gauge_set", "Sets a gauge.");
    with_number!(
        d,
        "prom_gauge_inc",
        gauge_add,
        "gauge_inc",
        "Adds to a gauge, also below 0."
    );
    with_number!(
        d,
        "prom_histogram_observe",
        observe,
        "histogram_observe",
        "Counts a value in a histogram."
    );
    without_number!(
        d,
        "prom_counter_reset",
        reset_counter,
        "counter_reset",
        "Sets a counter to 0."
    );
    without_number!(
        d,
        "prom_gauge_reset",
        reset_gauge,
        "gauge_reset",
        "Sets a gauge to 0."
    );
}

fn change(m: &XhttpProm, cx: &Cx, name: &Str, labels: &[Str], change: Change) -> Result<bool, Fault> {
    m.metrics.change(name, labels, change, cx.time()).map(|()| true)
}

fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn number(text: &Str) -> Result<f64, Fault> {
    float(text).ok_or_else(|| Fault::script(format!("{text} is no number")))
}

fn add(m: &XhttpProm, cx: &mut Cx, name: Str, by: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    let by = parse_int(&by).and_then(|by| u64::try_from(by).ok());
    let by =
        by.ok_or_else(|| Fault::script("prom_counter_inc(): the number is no whole number from 0 on"))?;
    change(m, cx, &name, &labels.0, Change::Count(by))
}

fn set(m: &XhttpProm, cx: &mut Cx, name: Str, to: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    change(m, cx, &name, &labels.0, Change::Set(number(&to)?))
}

fn gauge_add(m: &XhttpProm, cx: &mut Cx, name: Str, by: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    change(m, cx, &name, &labels.0, Change::Move(number(&by)?))
}

fn observe(m: &XhttpProm, cx: &mut Cx, name: Str, value: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    change(m, cx, &name, &labels.0, Change::Observe(number(&value)?))
}

fn reset_counter(m: &XhttpProm, cx: &mut Cx, name: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    change(m, cx, &name, &labels.0, Change::ResetCount)
}

fn reset_gauge(m: &XhttpProm, cx: &mut Cx, name: Str, labels: Rest<Str>) -> Result<bool, Fault> {
    change(m, cx, &name, &labels.0, Change::ResetLevel)
}

/// `prom_check_uri()`.
pub fn check_uri(_: &XhttpProm, cx: &mut Cx) -> bool {
    cx.msg.is_http() && cx.msg.uri() == Some(b"/metrics")
}

const TYPE: &[u8] = b"text/plain; version=0.0.4";

/// `prom_dispatch()`.
pub fn dispatch(m: &XhttpProm, cx: &mut Cx) -> Result<Ret, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("prom_dispatch(): the message is not HTTP"));
    }
    let now = cx.time();
    match page::whole(&m.metrics, &m.style, &m.shared, now) {
        Ok(text) => proxy::http::respond(cx, 200, b"OK", TYPE, text)?,
        Err(fault) => {
            kahea_module::error!("xhttp_prom", "No figures for Prometheus: {fault}.");
            proxy::http::respond(cx, 500, b"Internal Server Error", TYPE, "Internal Server Error")?;
        }
    }
    Ok(Ret::EXIT)
}

/// What a command says of its arguments.
struct Words {
    kind: &'static str,
    failed: &'static str,
}

fn name(call: &mut RpcCall, kind: &str) -> Result<Str, RpcFault> {
    call.optional_text()
        .ok()
        .flatten()
        .ok_or_else(|| RpcFault::new(400, format!("required {kind} identifier")))
}

fn labels(call: &mut RpcCall) -> Vec<Str> {
    std::iter::from_fn(|| call.optional_plain().ok().flatten())
        .take(3)
        .collect()
}

fn run(m: &XhttpProm, call: &RpcCall, name: &Str, labels: &[Str], of: Change, failed: &str) -> RpcResult {
    let now = call.worker.engine.time();
    m.metrics
        .change(name, labels, of, now)
        .map(|()| Vec::new())
        .map_err(|_| {
            let labels: Vec<_> = labels.iter().map(|label| label.text().into_owned()).collect();
            let labels = if labels.is_empty() {
                String::new()
            } else {
                format!(" ({})", labels.join(", "))
            };
            RpcFault::new(500, format!("Failed to {failed}: {name}{labels}"))
        })
}

/// A number of any type, or a text that is one where the client does not name types.
fn rpc_number(call: &mut RpcCall) -> Result<f64, RpcFault> {
    let number = match call.next_value() {
        Some(RpcValue::Int(n)) => Some(n as f64),
        Some(RpcValue::Double(n)) => Some(n),
        Some(RpcValue::Str(text)) => float(&text),
        _ => None,
    };
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| RpcFault::new(400, "required number argument"))
}

fn with_number(m: &XhttpProm, call: &mut RpcCall, words: &Words, of: fn(f64) -> Change) -> RpcResult {
    let name = name(call, words.kind)?;
    let number = rpc_number(call)?;
    let labels = labels(call);
    let failed = words.failed.replace("%f", &format!("{number:.6}"));
    run(m, call, &name, &labels, of(number), &failed)
}

/// `xhttp_prom.counter_inc`: below 0 nothing happens, as in Kamailio.
pub fn rpc_add(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let name = name(call, "counter")?;
    let by = call.optional_int().ok().flatten();
    let by = by.ok_or_else(|| RpcFault::new(400, "required number argument"))?;
    let labels = labels(call);
    match u64::try_from(by) {
        Ok(count) => run(
            m,
            call,
            &name,
            &labels,
            Change::Count(count),
            &format!("add {by} to counter"),
        ),
        Err(_) => Ok(Vec::new()),
    }
}

/// `xhttp_prom.gauge_set`.
pub fn rpc_set(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let words = Words {
        kind: "gauge",
        failed: "assign %f gauge",
    };
    with_number(m, call, &words, Change::Set)
}

/// `xhttp_prom.gauge_inc`.
pub fn rpc_gauge_add(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let words = Words {
        kind: "gauge",
        failed: "add %f to gauge",
    };
    with_number(m, call, &words, Change::Move)
}

/// `xhttp_prom.histogram_observe`.
pub fn rpc_observe(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let words = Words {
        kind: "histogram",
        failed: "observe %f in histogram",
    };
    with_number(m, call, &words, Change::Observe)
}

/// `xhttp_prom.counter_reset`.
pub fn rpc_reset_counter(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let name = name(call, "counter")?;
    let labels = labels(call);
    run(m, call, &name, &labels, Change::ResetCount, "reset counter")
}

/// `xhttp_prom.gauge_reset`.
pub fn rpc_reset_gauge(m: &XhttpProm, call: &mut RpcCall) -> RpcResult {
    let name = name(call, "gauge")?;
    let labels = labels(call);
    run(m, call, &name, &labels, Change::ResetLevel, "reset gauge")
}
