//! The old keywords: `method`, `src_ip`, `uri==myself`, `proto==UDP`.

use std::net::IpAddr;

use kahea_module::{Cx, Str, Value, Var};
use kahea_sip::{Transport, view::Uri};

use crate::ast::Keyword;

/// The keyword as a variable.
pub(super) fn variable(keyword: Keyword) -> Var {
    let read: fn(&mut Cx) -> Value = match keyword {
        Keyword::Method => |cx| Value::Str(cx.msg.buffer().share(cx.msg.method_text())),
        Keyword::Uri => |cx| Value::Str(cx.ruri()),
        Keyword::Status => |cx| cx.msg.status().map(i64::from).into(),
        Keyword::FromUri => |cx| cx.from().map(|from| cx.msg.buffer().share(from.uri)).into(),
        Keyword::ToUri => |cx| cx.to().map(|to| cx.msg.buffer().share(to.uri)).into(),
        Keyword::SrcIp => |cx| ip_text(cx.received.source.ip()),
        Keyword::SrcPort => |cx| cx.received.source.port().into(),
        Keyword::DstIp => |cx| ip_text(cx.received.local.ip()),
        Keyword::DstPort => |cx| cx.received.local.port().into(),
        Keyword::SndIp => |cx| {
            cx.sending
                .as_ref()
                .map(|s| s.from.ip())
                .map_or(Value::Null, ip_text)
        },
        Keyword::SndPort => |cx| cx.sending.as_ref().map(|s| s.from.port()).into(),
        Keyword::ToIp => |cx| {
            cx.sending
                .as_ref()
                .map(|s| s.to.to.ip())
                .map_or(Value::Null, ip_text)
        },
        Keyword::ToPort => |cx| cx.sending.as_ref().map(|s| s.to.to.port()).into(),
        Keyword::SndProto => |cx| cx.sending.as_ref().map(|s| s.to.transport.name()).into(),
        Keyword::SndAf => |cx| cx.sending.as_ref().map(|s| family(s.to.to.ip())).into(),
        Keyword::Proto => |cx| cx.received.transport.name().into(),
        Keyword::Af => |cx| family(cx.received.source.ip()).into(),
        Keyword::MsgLen => |cx| message_len(cx),
        Keyword::MaxLen => |_| Value::Int(MAX_LEN),
        Keyword::UriHost => |cx| cx.with_ruri(|uri| uri.map(|uri| Str::copy(uri.host)).into()),
        Keyword::UriPort => |cx| cx.with_ruri(|uri| uri.ok().and_then(|uri| uri.port).into()),
    };
    Var::new(Str::from_static(name(keyword)), read, None)
}

/// The size of the receive buffer, `max_len`.
const MAX_LEN: i64 = 65_535;

fn message_len(cx: &mut Cx) -> Value {
    let len = match (&cx.sending, &cx.raw) {
        (Some(sending), _) => sending.data.len(),
        (None, Some(raw)) => raw.len(),
        (None, None) => cx.msg.buffer().len(),
    };
    Value::Int(i64::try_from(len).unwrap_or(i64::MAX))
}

fn name(keyword: Keyword) -> &'static str {
    match keyword {
        Keyword::Method => "method",
        Keyword::Uri => "uri",
        Keyword::Status => "status",
        Keyword::FromUri => "from_uri",
        Keyword::ToUri => "to_uri",
        Keyword::SrcIp => "src_ip",
        Keyword::SrcPort => "src_port",
        Keyword::DstIp => "dst_ip",
        Keyword::DstPort => "dst_port",
        Keyword::SndIp => "snd_ip",
        Keyword::SndPort => "snd_port",
        Keyword::ToIp => "to_ip",
        Keyword::ToPort => "to_port",
        Keyword::SndProto => "snd_proto",
        Keyword::SndAf => "snd_af",
        Keyword::Proto => "proto",
        Keyword::Af => "af",
        Keyword::MsgLen => "msg:len",
        Keyword::MaxLen => "max_len",
        Keyword::UriHost => "uri:host",
        Keyword::UriPort => "uri:port",
    }
}

fn ip_text(ip: IpAddr) -> Value {
    Value::from(ip.to_string())
}

/// 4 or 6.
fn family(ip: IpAddr) -> i64 {
    if ip.is_ipv4() { 4 } else { 6 }
}

/// Its value is always a number.
pub(super) fn is_number(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::SrcPort
            | Keyword::DstPort
            | Keyword::SndPort
            | Keyword::ToPort
            | Keyword::UriPort
            | Keyword::MsgLen
            | Keyword::MaxLen
    )
}

/// Reads the address of an address keyword.
pub(super) fn address(keyword: Keyword) -> Option<fn(&Cx) -> Option<IpAddr>> {
    Some(match keyword {
        Keyword::SrcIp => |cx| Some(cx.received.source.ip()),
        Keyword::DstIp => |cx| Some(cx.received.local.ip()),
        Keyword::SndIp => |cx| cx.sending.as_ref().map(|s| s.from.ip()),
        Keyword::ToIp => |cx| cx.sending.as_ref().map(|s| s.to.to.ip()),
        _ => return None,
    })
}

/// The keyword's value is one of this server's own addresses or names.
pub(super) fn is_myself(keyword: Keyword, cx: &mut Cx) -> bool {
    match keyword {
        Keyword::Uri => own_uri(cx, &cx.ruri()),
        Keyword::FromUri => cx.from().is_ok_and(|from| own_uri(cx, from.uri)),
        Keyword::ToUri => cx.to().is_ok_and(|to| own_uri(cx, to.uri)),
        Keyword::SrcIp => own_address(cx, cx.received.source.ip(), 0),
        Keyword::DstIp => own_address(cx, cx.received.local.ip(), cx.received.local.port()),
        Keyword::ToIp => match &cx.sending {
            Some(sending) => own_address(cx, sending.to.to.ip(), sending.to.to.port()),
            None => false,
        },
        Keyword::SndIp => cx.sending.is_some(),
        _ => false,
    }
}

/// A variable's value is a URI, or a host, of this server.
pub(super) fn value_is_myself(value: &Value, cx: &Cx) -> bool {
    let text = value.str_or_empty();
    match Uri::parse(&text) {
        Ok(_) => own_uri(cx, &text),
        Err(_) => cx.config().identity.is_myself(&text, 0, Transport::None),
    }
}

fn own_uri(cx: &Cx, uri: &[u8]) -> bool {
    let Ok(uri) = Uri::parse(uri) else { return false };
    // Kamailio leaves the transport out of this test, and with it the 5061 of `sips`.
    let port = uri.port.unwrap_or(5060);
    cx.config().identity.is_myself(uri.host, port, Transport::None)
}

fn own_address(cx: &Cx, ip: IpAddr, port: u16) -> bool {
    let text = match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    cx.config()
        .identity
        .is_myself(text.as_bytes(), port, Transport::None)
}

/// The transport of a `proto` comparison.
pub(super) fn same_transport(value: &Value, name: &str) -> bool {
    value.str_or_empty().eq_ignore_ascii_case(name.as_bytes())
}
