//! Selects on the message as a whole: `@msg`, `@ruri`, `@dst_uri`, `@next_hop`, `@branch`, `@status`, `@method`.

use std::sync::Arc;

use kahea_module::{Cx, Hop, Str, value::int_text};
use kahea_sip::{FirstLine, Span, Transport, view::Uri};

use super::{Read, Word, addr, index, name, place, uri};

/// The select of that name.
pub fn root(first: &str, rest: &[Word]) -> Option<Read> {
    match (first, rest) {
        ("ruri" | "request_uri", rest) => uri::of(read(ruri), rest),
        ("dst_uri", rest) => uri::of(read(|cx| cx.target.dst_uri.clone()), rest),
        ("next_hop", [Word::Name(part)]) if part == "src_ip" => Some(read(source_to_next_hop)),
        ("next_hop", rest) => uri::of(read(next_hop), rest),
        ("method", []) => Some(read(method)),
        ("status" | "code", []) => Some(read(status)),
        ("reason", []) => Some(read(reason)),
        ("version", []) => Some(read(version)),
        ("branch", [word, rest @ ..]) => branch(name(word)?, rest),
        ("msg" | "message", rest) => message(rest),
        _ => None,
    }
}

fn read(pick: fn(&mut Cx) -> Option<Str>) -> Read {
    Arc::new(pick)
}

fn ruri(cx: &mut Cx) -> Option<Str> {
    cx.msg.is_request().then(|| cx.ruri())
}

fn next_hop(cx: &mut Cx) -> Option<Str> {
    cx.target.dst_uri.clone().or_else(|| ruri(cx))
}

/// The address that a request to the next hop would leave from; nothing where the hop's address is not known yet.
fn source_to_next_hop(cx: &mut Cx) -> Option<Str> {
    let text = next_hop(cx)?;
    let uri = Uri::parse(&text).ok()?;
    let hop = Hop {
        host: text.share(uri.host),
        port: uri.port,
        transport: uri.transport(),
        secure: uri.scheme == kahea_sip::view::Scheme::Sips,
    };
    let (to, transport) = *cx.worker.net.resolve_now(&hop)?.ok()?.first()?;
    let id = cx.worker.net.listener_for(to, transport, cx.target.send_socket)?;
    let listener = cx.config().identity.listener(id)?;
    Some(Str::from(listener.address.ip().to_string()))
}

fn method(cx: &mut Cx) -> Option<Str> {
    match cx.msg.first_line() {
        FirstLine::Request { method_text, .. } => Some(cx.msg.text(*method_text)),
        FirstLine::Reply { .. } => None,
    }
}

fn status(cx: &mut Cx) -> Option<Str> {
    match cx.msg.first_line() {
        FirstLine::Reply { status_text, .. } => Some(cx.msg.text(*status_text)),
        FirstLine::Request { .. } => None,
    }
}

fn reason(cx: &mut Cx) -> Option<Str> {
    match cx.msg.first_line() {
        FirstLine::Reply { reason, .. } => Some(cx.msg.text(*reason)),
        FirstLine::Request { .. } => None,
    }
}

fn version(cx: &mut Cx) -> Option<Str> {
    Some(cx.msg.text(cx.msg.version()))
}

/// `@branch.uri[n]` and its like; these indexes count from 0, from the end below 0.
fn branch(part: &str, rest: &[Word]) -> Option<Read> {
    if part == "count" {
        return rest
            .is_empty()
            .then(|| read(|cx| Some(int_text(i64::try_from(cx.branches.len()).ok()?))));
    }
    let (at, rest) = index(rest);
    let at = at.unwrap_or(0);
    let of = move |pick: fn(&kahea_module::Target) -> Option<Str>| -> Read {
        Arc::new(move |cx| {
            let at = if at < 0 { at } else { at.checked_add(1)? };
            let at = place(Some(at), cx.branches.len())?;
            pick(cx.branches.get(at)?)
        })
    };
    match (part, rest) {
        ("uri", rest) => uri::of(of(|branch| branch.ruri.clone()), rest),
        ("dst_uri", rest) => uri::of(of(|branch| branch.dst_uri.clone()), rest),
        ("q", []) => Some(of(|branch| branch.q.map(|q| int_text(q.into())))),
        ("uriq", rest) => addr::of(of(with_quality), rest, false),
        _ => None,
    }
}

/// `uri`, or `<uri>;q=0.5` where the branch has a quality.
fn with_quality(branch: &kahea_module::Target) -> Option<Str> {
    let uri = branch.ruri.clone()?;
    match branch.q {
        None => Some(uri),
        Some(q) => {
            let q = f64::from(q) / 1000.0;
            Some(Str::from(
                [b"<", &uri[..], format!(">;q={q}").as_bytes()].concat(),
            ))
        }
    }
}

fn message(words: &[Word]) -> Option<Read> {
    let Some((word, rest)) = words.split_first() else {
        return Some(read(|cx| Some(cx.msg.buffer().clone())));
    };
    match (name(word)?, rest) {
        ("len", []) => Some(read(|cx| {
            Some(int_text(i64::try_from(cx.msg.buffer().len()).ok()?))
        })),
        ("id", []) => Some(read(|cx| Some(int_text(i64::try_from(cx.number).ok()?)))),
        ("id", [Word::Name(form)]) if form == "hex" => {
            Some(read(|cx| Some(Str::from(format!("{:08x}", cx.number)))))
        }
        ("type", []) => Some(read(|cx| {
            Some(Str::from_static(if cx.msg.is_request() { "1" } else { "2" }))
        })),
        ("flags", []) => Some(read(|cx| Some(int_text(cx.flags.into())))),
        ("first_line", []) => Some(read(|cx| Some(cx.msg.text(cx.msg.first_line_span())))),
        ("req" | "request", rest) => request(rest),
        ("res" | "response", rest) => response(rest),
        ("h" | "header", rest) => header(rest),
        ("body" | "content", rest) => body(rest),
        _ => None,
    }
}

fn request(words: &[Word]) -> Option<Read> {
    match words {
        [] => Some(read(|cx| cx.msg.is_request().then(|| cx.msg.buffer().clone()))),
        [word, rest @ ..] => match (name(word)?, rest) {
            ("method", []) => Some(read(method)),
            ("uri", rest) => uri::of(
                read(|cx| cx.msg.uri().map(|uri| cx.msg.buffer().share(uri))),
                rest,
            ),
            ("version", []) => Some(read(|cx| if cx.msg.is_request() { version(cx) } else { None })),
            _ => None,
        },
    }
}

fn response(words: &[Word]) -> Option<Read> {
    match words {
        [] => Some(read(|cx| cx.msg.is_reply().then(|| cx.msg.buffer().clone()))),
        [word] => match name(word)? {
            "code" | "status" => Some(read(status)),
            "reason" => Some(read(reason)),
            "version" => Some(read(|cx| if cx.msg.is_reply() { version(cx) } else { None })),
            _ => None,
        },
        _ => None,
    }
}

/// `@msg.header["X-Name"][n]`; in a bare name `_` stands for `-`.
fn header(words: &[Word]) -> Option<Read> {
    let Some((word, rest)) = words.split_first() else {
        return Some(read(|cx| {
            Some(
                cx.msg
                    .text(Span::new(cx.msg.headers_start(), cx.msg.headers_end())),
            )
        }));
    };
    let name_text = Str::from(name(word)?.replace('_', "-"));
    let (at, rest) = index(rest);
    let value: Read = Arc::new(move |cx: &mut Cx| {
        let found = match at {
            None => cx.msg.named(&name_text).next(),
            Some(_) => {
                let at = place(at, cx.msg.named(&name_text).count())?;
                cx.msg.named(&name_text).nth(at)
            }
        };
        Some(cx.msg.text(found?.value))
    });
    match rest {
        [] => Some(value),
        [word, rest @ ..] => match (name(word)?, rest) {
            ("nameaddr", rest) => addr::of(value, rest, false),
            ("params", rest) => header_params(value, rest),
            _ => None,
        },
    }
}

/// The parameters of a header that is no address.
pub fn header_params(value: Read, rest: &[Word]) -> Option<Read> {
    let after_value = |text: &Str| -> Option<Str> {
        let at = text.iter().position(|b| *b == b';')?;
        Some(text.share(text.get(at.saturating_add(1)..)?))
    };
    match rest {
        [] => Some(Arc::new(move |cx| after_value(&value(cx)?))),
        // `.params.params.x` is how the list of selects writes it.
        [word, rest @ ..] if name(word)? == "params" && !rest.is_empty() => header_params(value, rest),
        [param] => {
            let param = name(param)?.to_owned();
            Some(Arc::new(move |cx| {
                let params = after_value(&value(cx)?)?;
                let found = kahea_sip::view::Params::header(&params).get(&param)?;
                found.value?;
                Some(params.share(&found.unquoted()))
            }))
        }
        _ => None,
    }
}

/// `@msg.body`, `@msg.body.sdp.line.c`.
fn body(words: &[Word]) -> Option<Read> {
    let whole = read(|cx| Some(cx.msg.text(cx.msg.body_span())));
    match words {
        [] => Some(whole),
        [word, rest @ ..] if name(word)? == "sdp" => match rest {
            [] => Some(read(|cx| {
                let body = cx.msg.body_span();
                (!body.is_empty()).then(|| cx.msg.text(body))
            })),
            [line, kind] if name(line)? == "line" => {
                let kind = name(kind)?.as_bytes().first().copied()?;
                Some(Arc::new(move |cx| {
                    let line = cx
                        .msg
                        .body()
                        .split(|b| *b == b'\n')
                        .find(|line| line.starts_with(&[kind, b'=']))?;
                    let value = line.get(2..)?.trim_ascii_end();
                    Some(cx.msg.buffer().share(value))
                }))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The name of a transport for selects.
pub fn transport_name(transport: Transport) -> Str {
    Str::from_static(transport.name())
}
