//! Selects that are not about the message's text: addresses, clock, process, run-time parameters.

use std::{net::SocketAddr, sync::Arc};

use kahea_module::{Bind, Cx, Str, TimerName, value::int_text};

use super::{Read, Word, addr, message, name, uri};
use crate::pv::clock::Calendar;

/// The select of that name.
pub fn root(first: &str, rest: &[Word], _: &dyn Bind) -> Option<Read> {
    match (first, rest) {
        ("src", [word]) => address(name(word)?, |cx| cx.received.source),
        ("dst", [word]) => address(name(word)?, |cx| cx.received.local),
        ("received", [word]) => received(name(word)?),
        ("sys", [word, rest @ ..]) => system(name(word)?, rest),
        ("cfg_get" | "cfg_selected", [group, parameter, rest @ ..]) => {
            setting(name(group)?, name(parameter)?, rest)
        }
        ("timer", [word]) if name(word)? == "executed" => Some(Arc::new(|cx| {
            cx.extra_ref::<TimerName>().map(|timer| timer.0.clone())
        })),
        ("timer", [kind, timer, part]) if name(kind)? == "timer" && name(part)? == "enabled" => {
            setting("timer", name(timer)?, &[])
        }
        _ => None,
    }
}

fn address(part: &str, of: fn(&Cx) -> SocketAddr) -> Option<Read> {
    let show: fn(SocketAddr) -> String = match part {
        "ip" => |address| address.ip().to_string(),
        "port" => |address| address.port().to_string(),
        "ip_port" => |address| address.to_string(),
        _ => return None,
    };
    Some(Arc::new(move |cx| Some(Str::from(show(of(cx))))))
}

fn received(part: &str) -> Option<Read> {
    match part {
        "proto" => Some(Arc::new(|cx| {
            Some(message::transport_name(cx.received.transport))
        })),
        "proto_ip_port" => Some(Arc::new(|cx| {
            Some(Str::from(format!(
                "{}:{}",
                cx.received.transport, cx.received.local
            )))
        })),
        part => address(part, |cx| cx.received.local),
    }
}

fn system(part: &str, rest: &[Word]) -> Option<Read> {
    match (part, rest) {
        ("pid", []) => Some(Arc::new(|cx| Some(int_text(cx.config().shared.pid.into())))),
        ("server_id", []) => Some(Arc::new(|cx| Some(int_text(cx.config().globals.server_id)))),
        ("unique", []) => Some(Arc::new(|cx| Some(unique(cx)))),
        ("now", []) => Some(Arc::new(|cx| Some(int_text(cx.worker.unix_time())))),
        ("now", [zone, format @ ..]) => {
            let calendar: fn(i64) -> Calendar = match name(zone)? {
                "local" => Calendar::local,
                "gmt" | "utc" => Calendar::utc,
                _ => return None,
            };
            let format = match format {
                [] => "%a %b %e %H:%M:%S %Y".to_owned(),
                [format] => name(format)?.to_owned(),
                _ => return None,
            };
            Some(Arc::new(move |cx| {
                Some(Str::from(calendar(cx.worker.unix_time()).format(&format)))
            }))
        }
        _ => None,
    }
}

/// A text that no other call yields.
fn unique(cx: &Cx) -> Str {
    let random = cx.worker.random();
    Str::from(format!(
        "{:x}-{:x}-{:x}",
        cx.config().shared.pid,
        cx.worker.unix_time(),
        random
    ))
}

/// A run-time parameter, and what it holds where that is an address or a URI.
fn setting(group: &str, parameter: &str, rest: &[Word]) -> Option<Read> {
    let (group, parameter) = (Str::from(group), Str::from(parameter));
    let value: Read = Arc::new(move |cx: &mut Cx| cx.config().settings.get(&group, &parameter)?.str());
    match rest {
        [] => Some(value),
        [word, rest @ ..] => match (name(word)?, rest) {
            ("nameaddr", rest) => addr::of(value, rest, false),
            ("uri", rest) => uri::of(value, rest),
            ("params", rest) => message::header_params(value, rest),
            _ => None,
        },
    }
}
