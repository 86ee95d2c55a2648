//! Functions that relay: `t_relay()` and its kin.

use kahea_module::{
    Cx, Decl, Fault, Hop, Ret, Str, proxy,
    route::{EVENT, FAILURE, REQUEST},
};
use kahea_sip::Transport;

use super::{
    Tm,
    attached::{self, Attached},
    cancel,
    cell::Switches,
    create::{self, Began},
    relay::{How, relay},
};

/// Relays to a host and port that may be left out.
type Over = fn(&Tm, &mut Cx, Option<Str>, Option<i64>) -> Result<Ret, Fault>;
/// Relays to a host and port.
type To = fn(&Tm, &mut Cx, Str, i64) -> Result<Ret, Fault>;

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    let here = REQUEST | FAILURE | EVENT;
    d.func(
        "t_relay",
        ["host", "port"],
        t_relay,
        "Relays the request in a transaction: to host and port, or where $du or $ru point.",
    )
    .routes(here)
    .waits()
    .kemi(0, "t_relay")
    .example("if (!t_relay()) { sl_reply_error(); }");
    d.func("t_relay_to", ["proxy", "flags"], t_relay_to, "Relays to a proxy (proto:host:port) or, with a number, with flags: 1 no 100, 2 no reply on failure, 4 no other address of the hop.")
        .routes(here).waits();
    d.func(
        "t_relay_to_proxy",
        ["proxy"],
        t_relay_to_proxy,
        "Relays to a proxy, proto:host:port.",
    )
    .routes(here)
    .waits()
    .kemi(1, "t_relay_to_proxy");
    for_languages(d);
    by_transports(d);
}

fn for_languages(d: &mut Decl<Tm>) {
    let here = REQUEST | FAILURE | EVENT;
    d.kemi_func(
        "tm",
        "t_relay_to_flags",
        ["flags"],
        |m: &Tm, cx: &mut Cx, flags: i64| t_relay_to(m, cx, Some(Str::from(flags.to_string())), None),
        "Relays with flags.",
    )
    .routes(here)
    .waits();
    d.kemi_func(
        "tm",
        "t_relay_to_proxy_flags",
        ["proxy", "flags"],
        |m: &Tm, cx: &mut Cx, to: Str, flags: i64| {
            t_relay_to(m, cx, Some(to), Some(Str::from(flags.to_string())))
        },
        "Relays to a proxy with flags.",
    )
    .routes(here)
    .waits();
    d.kemi_func(
        "tm",
        "t_relay_to_proto",
        ["proto"],
        |m: &Tm, cx: &mut Cx, proto: Str| by_transport(m, cx, transport(&proto)?, None, None),
        "Relays over a transport.",
    )
    .routes(here)
    .waits();
    d.kemi_func(
        "tm",
        "t_relay_to_proto_addr",
        ["proto", "host", "port"],
        |m: &Tm, cx: &mut Cx, proto: Str, host: Str, port: i64| {
            by_transport(m, cx, transport(&proto)?, Some(host), Some(port))
        },
        "Relays over a transport to an address.",
    )
    .routes(here)
    .waits();
}

fn by_transports(d: &mut Decl<Tm>) {
    over(
        d,
        "t_relay_to_udp",
        |m: &Tm, cx: &mut Cx, host: Option<Str>, port: Option<i64>| {
            by_transport(m, cx, Transport::Udp, host, port)
        },
    );
    over(
        d,
        "t_relay_to_tcp",
        |m: &Tm, cx: &mut Cx, host: Option<Str>, port: Option<i64>| {
            by_transport(m, cx, Transport::Tcp, host, port)
        },
    );
    over(
        d,
        "t_relay_to_tls",
        |m: &Tm, cx: &mut Cx, host: Option<Str>, port: Option<i64>| {
            by_transport(m, cx, Transport::Tls, host, port)
        },
    );
    over(
        d,
        "t_relay_to_sctp",
        |m: &Tm, cx: &mut Cx, host: Option<Str>, port: Option<i64>| {
            by_transport(m, cx, Transport::Sctp, host, port)
        },
    );
    forwarding(d);
    d.func(
        "t_newtran",
        [],
        t_newtran,
        "Begins the transaction of the request; a repetition is answered from it and ends the script.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_newtran");
    d.func("t_relay_cancel", [], t_relay_cancel, "Cancels the branches of the INVITE that the CANCEL is about and ends the script; true where there is no such INVITE.")
        .routes(REQUEST | EVENT).kemi(0, "t_relay_cancel");
    d.func(
        "t_release",
        [],
        t_release,
        "Lets the transaction end without an answer.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_release");
}

fn over(d: &mut Decl<Tm>, name: &'static str, run: Over) {
    d.func(
        name,
        ["host", "port"],
        run,
        "Relays over this transport: to host and port, or where $du or $ru point.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .waits();
}

fn forwarding(d: &mut Decl<Tm>) {
    let docs = "Relays to an address; not for ACK.";
    let rows: [(&'static str, To); 6] = [
        ("t_forward_nonack", |m, cx, host, port| {
            forward_to(m, cx, cx.received.transport, host, port)
        }),
        ("t_forward_nonack_to", |m, cx, host, port| {
            forward_to(m, cx, cx.received.transport, host, port)
        }),
        ("t_forward_nonack_udp", |m, cx, host, port| {
            forward_to(m, cx, Transport::Udp, host, port)
        }),
        ("t_forward_nonack_tcp", |m, cx, host, port| {
            forward_to(m, cx, Transport::Tcp, host, port)
        }),
        ("t_forward_nonack_tls", |m, cx, host, port| {
            forward_to(m, cx, Transport::Tls, host, port)
        }),
        ("t_forward_nonack_sctp", |m, cx, host, port| {
            forward_to(m, cx, Transport::Sctp, host, port)
        }),
    ];
    for (name, run) in rows {
        d.func(name, ["host", "port"], run, docs)
            .routes(REQUEST | EVENT)
            .waits();
    }
    d.func(
        "t_forward_nonack_uri",
        [],
        |m: &Tm, cx: &mut Cx| match attached::cell(cx) {
            Some(_) => relay(&m.core, cx, How::default()),
            None => Ret::Fault(no_transaction()),
        },
        "Relays to where $du or $ru point; not for ACK.",
    )
    .routes(REQUEST | EVENT)
    .waits();
    replicating(d);
}

fn no_transaction() -> Fault {
    Fault::script("the request has no transaction: t_newtran() begins one")
}

fn forward_to(m: &Tm, cx: &mut Cx, transport: Transport, host: Str, port: i64) -> Result<Ret, Fault> {
    if attached::cell(cx).is_none() {
        return Err(no_transaction());
    }
    let how = How {
        hop: Some(address(host, Some(port), transport)?),
        transport: Some(transport),
        no_100: true,
        ..How::default()
    };
    Ok(relay(&m.core, cx, how))
}

fn replicating(d: &mut Decl<Tm>) {
    let docs = "Sends a copy of the request to an address; its replies go no further.";
    let rows: [(&'static str, To); 5] = [
        ("t_replicate_to", |m, cx, host, port| {
            copy_to(m, cx, cx.received.transport, host, port)
        }),
        ("t_replicate_udp", |m, cx, host, port| {
            copy_to(m, cx, Transport::Udp, host, port)
        }),
        ("t_replicate_tcp", |m, cx, host, port| {
            copy_to(m, cx, Transport::Tcp, host, port)
        }),
        ("t_replicate_tls", |m, cx, host, port| {
            copy_to(m, cx, Transport::Tls, host, port)
        }),
        ("t_replicate_sctp", |m, cx, host, port| {
            copy_to(m, cx, Transport::Sctp, host, port)
        }),
    ];
    for (name, run) in rows {
        d.func(name, ["host", "port"], run, docs)
            .routes(REQUEST | EVENT)
            .waits();
    }
    d.func(
        "t_replicate",
        ["uri", "port"],
        t_replicate,
        "Sends a copy of the request to a URI, a host and port, or where $du or $ru point; its replies go no further.",
    )
    .routes(REQUEST | EVENT)
    .waits()
    .kemi(1, "t_replicate");
}

fn t_replicate(m: &Tm, cx: &mut Cx, uri: Option<Str>, port: Option<i64>) -> Result<Ret, Fault> {
    let hop = match (uri, port) {
        (Some(host), Some(port)) => return copy_to(m, cx, cx.received.transport, host, port),
        (Some(uri), None) => Some(proxy::hop_of_uri(&uri)?),
        (None, _) => None,
    };
    let how = How {
        hop,
        replica: true,
        ..How::default()
    };
    Ok(relay(&m.core, cx, how))
}

fn copy_to(m: &Tm, cx: &mut Cx, transport: Transport, host: Str, port: i64) -> Result<Ret, Fault> {
    let hop = address(host, Some(port), transport)?;
    let how = How {
        hop: Some(hop),
        transport: Some(transport),
        replica: true,
        ..How::default()
    };
    Ok(relay(&m.core, cx, how))
}

fn t_relay(m: &Tm, cx: &mut Cx, host: Option<Str>, port: Option<i64>) -> Result<Ret, Fault> {
    let transport = cx.received.transport;
    match host {
        Some(_) => by_transport(m, cx, transport, host, port),
        None => Ok(relay(&m.core, cx, How::default())),
    }
}

fn by_transport(
    m: &Tm,
    cx: &mut Cx,
    transport: Transport,
    host: Option<Str>,
    port: Option<i64>,
) -> Result<Ret, Fault> {
    let how = How {
        hop: host.map(|host| address(host, port, transport)).transpose()?,
        transport: Some(transport),
        ..How::default()
    };
    Ok(relay(&m.core, cx, how))
}

fn address(host: Str, port: Option<i64>, transport: Transport) -> Result<Hop, Fault> {
    let port = match port {
        None | Some(0) => None,
        Some(port) => Some(u16::try_from(port).map_err(|_| Fault::script(format!("{port} is no port")))?),
    };
    Ok(proxy::hop_of_parts(host, port, transport))
}

fn transport(name: &Str) -> Result<Transport, Fault> {
    Transport::parse(name)
        .ok_or_else(|| Fault::script(format!("'{name}' is no transport: give udp, tcp, tls or sctp")))
}

/// `proto:host:port`, with the transport and port optional.
fn proxy_of(text: &Str, default: Transport) -> Result<Hop, Fault> {
    let whole = text.text().into_owned();
    let (transport, rest) = match whole.split_once(':') {
        Some((proto, rest)) if Transport::parse(proto.as_bytes()).is_some() => {
            (Transport::parse(proto.as_bytes()).unwrap_or(default), rest)
        }
        _ => (default, whole.as_str()),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && port.bytes().all(|digit| digit.is_ascii_digit()) => {
            (host, port.parse::<i64>().ok())
        }
        _ => (rest, None),
    };
    if host.is_empty() {
        return Err(Fault::script(format!(
            "'{text}' names no proxy: write it as proto:host:port"
        )));
    }
    address(Str::from(host), port, transport)
}

fn t_relay_to_proxy(m: &Tm, cx: &mut Cx, to: Str) -> Result<Ret, Fault> {
    let hop = proxy_of(&to, cx.received.transport)?;
    Ok(relay(
        &m.core,
        cx,
        How {
            hop: Some(hop),
            ..How::default()
        },
    ))
}

fn t_relay_to(m: &Tm, cx: &mut Cx, first: Option<Str>, second: Option<Str>) -> Result<Ret, Fault> {
    let is_number = |text: &Str| kahea_module::value::parse_int(text).is_some() || text.starts_with(b"0x");
    let (to, flags) = match (first, second) {
        (Some(one), None) if is_number(&one) => (None, Some(one)),
        (to, flags) => (to.filter(|text| !text.is_empty()), flags),
    };
    let flags = flags.map_or(Ok(0), |text| number(&text))?;
    let hop = to.map(|to| proxy_of(&to, cx.received.transport)).transpose()?;
    if flags & 4 != 0 {
        set_switch(cx, Switches::NO_FAILOVER, true);
    }
    let how = How {
        hop,
        no_100: flags & 1 != 0,
        no_reply: flags & 2 != 0,
        ..How::default()
    };
    Ok(relay(&m.core, cx, how))
}

fn number(text: &Str) -> Result<i64, Fault> {
    let plain = text.text();
    let value = match plain.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => plain.trim().parse().ok(),
    };
    value.ok_or_else(|| Fault::script(format!("'{text}' are no flags: give a number")))
}

/// Sets a switch of the transaction, or of the one to come.
pub fn set_switch(cx: &mut Cx, switch: Switches, on: bool) {
    match attached::cell(cx) {
        Some(cell) => cell.state.lock().switches.set(switch, on),
        None => cx.extra::<Attached>().switches.set(switch, on),
    }
}

fn t_newtran(m: &Tm, cx: &mut Cx) -> Ret {
    if attached::cell(cx).is_some() {
        return Ret::Code(-10);
    }
    if cx.msg.method() == kahea_sip::Method::Ack {
        return match create::find(&m.core, cx) {
            Some(cell) if create::acknowledged(&cell, cx) => Ret::EXIT,
            _ => Ret::FALSE,
        };
    }
    match create::begin(&m.core, cx) {
        Ok(Began::New(cell)) => {
            create::share_context(&cell, cx);
            Ret::TRUE
        }
        Ok(Began::Repeated) => Ret::EXIT,
        Err(fault) => Ret::Fault(fault),
    }
}

fn t_relay_cancel(m: &Tm, cx: &mut Cx) -> Ret {
    if cx.msg.method() != kahea_sip::Method::Cancel || cancel::invite_of(&m.core, cx).is_none() {
        return Ret::TRUE;
    }
    match cancel::relay(&m.core, cx) {
        Some(Ret::Code(code)) if code >= 0 => Ret::EXIT,
        Some(ret) => ret,
        None => Ret::TRUE,
    }
}

fn t_release(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let Some(cell) = attached::cell(cx) else {
        return Err(Fault::script(
            "the request has no transaction: t_newtran() or t_relay() begin one",
        ));
    };
    cell.state.lock().switches.set(Switches::RELEASED, true);
    cx.extra::<Attached>().settled = true;
    Ok(true)
}
