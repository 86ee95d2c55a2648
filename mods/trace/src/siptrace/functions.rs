//! The functions of `siptrace`.

use std::sync::Arc;

use kahea_module::{Cx, Decl, Fault, Str};

use super::{Following, Siptrace, address};
use crate::{
    courier::Address,
    hep::{self, kind},
    shot::{Direction, Shot, protocol, read_end},
};

/// How much is traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Message,
    Transaction,
    Call,
}

pub(super) fn declare(d: &mut Decl<Siptrace>) {
    let doc = "Writes the message, as it was received, to the table and sends it to the collector; with mode t those of its transaction too, with d those of its call.";
    d.func(
        "sip_trace",
        [],
        |m: &Siptrace, cx: &mut Cx| trace(m, cx, None, None, None),
        doc,
    )
    .kemi(0, "sip_trace");
    let to = |m: &Siptrace, cx: &mut Cx, to: Str| trace(m, cx, Some(to), None, None);
    d.func("sip_trace", ["to"], to, doc).kemi(1, "sip_trace_dst");
    let to = |m: &Siptrace, cx: &mut Cx, to: Str, id: Str| trace(m, cx, Some(to), Some(id), None);
    d.func("sip_trace", ["to", "correlation"], to, doc)
        .kemi(2, "sip_trace_dst_cid")
        .example("sip_trace(\"sip:127.0.0.1:9060\", \"$ci\");");
    let to =
        |m: &Siptrace, cx: &mut Cx, to: Str, id: Str, mode: Str| trace(m, cx, Some(to), Some(id), Some(mode));
    d.func("sip_trace", ["to", "correlation", "mode"], to, doc)
        .kemi(3, "sip_trace_dst_cid_type");
    let mode = |m: &Siptrace, cx: &mut Cx, mode: Str| trace(m, cx, None, None, Some(mode));
    let doc = "Traces the message (m), its transaction (t) or its call (d) to where the parameters say.";
    d.func("sip_trace_mode", ["mode"], mode, doc)
        .kemi(1, "sip_trace_mode")
        .example("sip_trace_mode(\"t\");");
    let doc = "Sends a line of a log to the collector, by HEP 3, as belonging to the message's call.";
    d.func(
        "hlog",
        ["text"],
        |m: &Siptrace, cx: &mut Cx, text: Str| hlog(m, cx, None, text),
        doc,
    )
    .kemi(1, "hlog");
    let with_id = |m: &Siptrace, cx: &mut Cx, id: Str, text: Str| hlog(m, cx, Some(id), text);
    d.func(
        "hlog",
        ["correlation", "text"],
        with_id,
        "Sends a line of a log as belonging to something.",
    )
    .kemi(2, "hlog_cid")
    .example("hlog(\"$ci\", \"a line\");");
    let doc = "Sends any message to a collector by HEP: its text, from where and to where it went (proto:address:port), the collector's URI, the correlation.";
    d.func(
        "sip_trace_msg",
        ["message", "from", "to", "collector", "correlation"],
        any_message,
        doc,
    )
    .kemi(5, "sip_trace_msg");
}

fn extent(mode: Option<&Str>) -> Result<Option<Extent>, Fault> {
    let Some(mode) = mode.filter(|mode| !mode.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(match mode.first() {
        Some(b'm' | b'M') => Extent::Message,
        Some(b't' | b'T') => Extent::Transaction,
        Some(b'd' | b'D') => Extent::Call,
        _ => {
            let text =
                format!("the mode of a trace is m (message), t (transaction) or d (dialog), not '{mode}'");
            return Err(Fault::script(text));
        }
    }))
}

fn trace(
    m: &Siptrace,
    cx: &mut Cx,
    to: Option<Str>,
    correlation: Option<Str>,
    mode: Option<Str>,
) -> Result<i64, Fault> {
    let core = &m.core;
    let extent = extent(mode.as_ref())?;
    let to = destination(m, to.as_ref())?;
    if !core.is_on() {
        return Ok(-1);
    }
    let flagged = core.flag != 0 && cx.flags & core.flag != 0;
    let extent = extent.unwrap_or(if flagged {
        Extent::Transaction
    } else {
        Extent::Message
    });
    let correlation = correlation.filter(|id| !id.is_empty());
    let order = core.order(cx, to, correlation);
    let shot = Shot::of(cx);
    core.trace(&shot, &order);
    if extent == Extent::Message {
        return Ok(1);
    }
    if !cx.msg.is_request() {
        return Err(Fault::script(
            "a transaction or call is traced from its request on",
        ));
    }
    let call = extent == Extent::Call;
    let now = cx.worker.engine.now();
    let begun = core.followed.0.begin(&cx.msg, Arc::new(order), call, now);
    cx.extra::<Following>().0 = begun;
    Ok(if begun { 1 } else { -1 })
}

/// `None`: where the parameters say.
fn destination(m: &Siptrace, to: Option<&Str>) -> Result<Option<Arc<Address>>, Fault> {
    match to.filter(|uri| !uri.is_empty()) {
        Some(uri) => match address(uri, m.core.from) {
            Ok(address) => Ok(Some(Arc::new(address))),
            Err(error) => Err(Fault::script(error.message)),
        },
        None => Ok(None),
    }
}

fn hlog(m: &Siptrace, cx: &mut Cx, correlation: Option<Str>, text: Str) -> Result<bool, Fault> {
    let core = &m.core;
    let Some(to) = &core.duplicate else {
        return Err(Fault::script("hlog needs the parameter duplicate_uri"));
    };
    if !core.hep {
        return Ok(false);
    }
    let id = match correlation {
        Some(id) => id,
        None => Str::copy(cx.msg.call_id().unwrap_or_default()),
    };
    let shot = Shot::of(cx);
    let own = match shot.direction {
        Direction::In => shot.to,
        Direction::Out => shot.from,
    };
    // The collector's port, where its address is one; a name is not asked for here.
    let port = to.port;
    let collector = to
        .host
        .parse()
        .ok()
        .filter(|ip: &std::net::IpAddr| ip.is_ipv4() == own.is_ipv4());
    let collector = std::net::SocketAddr::new(collector.unwrap_or_else(|| own.ip()), port);
    let packet = hep::Packet {
        kind: kind::LOG,
        correlation: Some(id),
        ..hep::Packet::new(own, collector, hep::UDP, text).at(cx.time())
    };
    Ok(core.send_as(to, packet, hep::Version::Three))
}

fn any_message(
    m: &Siptrace,
    cx: &mut Cx,
    message: Str,
    from: Str,
    to: Str,
    collector: Str,
    correlation: Str,
) -> Result<bool, Fault> {
    let wrong = |text: &Str| Fault::script(format!("'{text}' is not of the form proto:address:port"));
    let (transport, source) = read_end(&from).ok_or_else(|| wrong(&from))?;
    let (_, destination_address) = read_end(&to).ok_or_else(|| wrong(&to))?;
    let given = destination(m, Some(&collector))?;
    let Some(collector) = given.as_ref().or(m.core.duplicate.as_ref()) else {
        return Err(Fault::script(
            "there is no collector: none is given, and duplicate_uri is not set",
        ));
    };
    if !m.core.is_on() {
        return Ok(false);
    }
    let packet = hep::Packet {
        correlation: Some(correlation).filter(|id| !id.is_empty()),
        ..hep::Packet::new(source, destination_address, protocol(transport), message).at(cx.time())
    };
    Ok(m.core.send_as(collector, packet, m.core.version))
}
