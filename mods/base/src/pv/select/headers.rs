//! Selects that begin with a header: `@from`, `@contact`, `@via`, `@cseq`, `@subject`, …

use std::sync::Arc;

use kahea_module::{Cx, Str};
use kahea_sip::{
    HeaderId,
    view::{Params, Via},
};

use super::{Read, Word, addr, index, name, place};

/// The select of that name.
pub fn root(first: &str, rest: &[Word]) -> Option<Read> {
    if let Some(id) = simple(first) {
        return rest.is_empty().then(|| header(id));
    }
    match (first, rest) {
        ("from" | "f", rest) => addr::of(header(HeaderId::From), rest, true),
        ("to" | "t", rest) => addr::of(header(HeaderId::To), rest, true),
        ("refer_to", rest) => addr::of(header(HeaderId::ReferTo), rest, true),
        ("remote_party_id" | "rpid", rest) => addr::of(header(HeaderId::RemotePartyId), rest, true),
        ("record_route" | "rr", rest) => addr::of(header(HeaderId::RecordRoute), rest, false),
        ("contact" | "m", rest) => contact(rest),
        ("via" | "v", rest) => via(rest),
        ("cseq", []) => Some(header(HeaderId::CSeq)),
        ("cseq", [part]) => cseq(name(part)?),
        ("event", []) => Some(event()),
        _ => None,
    }
}

fn simple(name: &str) -> Option<HeaderId> {
    Some(match name {
        "call_id" => HeaderId::CallId,
        "content_length" => HeaderId::ContentLength,
        "content_type" => HeaderId::ContentType,
        "date" => HeaderId::Date,
        "expires" => HeaderId::Expires,
        "identity" => HeaderId::Identity,
        "identity_info" => HeaderId::IdentityInfo,
        "max_forwards" => HeaderId::MaxForwards,
        "min_se" => HeaderId::MinSe,
        "organization" => HeaderId::Organization,
        "priority" => HeaderId::Priority,
        "session_expires" => HeaderId::SessionExpires,
        "sip_if_match" => HeaderId::SipIfMatch,
        "subject" => HeaderId::Subject,
        "user_agent" => HeaderId::UserAgent,
        _ => return None,
    })
}

/// The value of the first header of this kind.
pub fn header(id: HeaderId) -> Read {
    Arc::new(move |cx| cx.msg.first(id).map(|header| cx.msg.text(header.value)))
}

/// The package of an Event header, without its parameters.
fn event() -> Read {
    Arc::new(|cx| {
        let value = cx.msg.value(cx.msg.first(HeaderId::Event)?);
        let package = value.split(|b| *b == b';').next().unwrap_or_default();
        Some(cx.msg.buffer().share(package.trim_ascii()))
    })
}

fn cseq(part: &str) -> Option<Read> {
    let pick: fn(&mut Cx) -> Option<Str> = match part {
        "num" => |cx| {
            let value = cx.msg.value(cx.msg.first(HeaderId::CSeq)?);
            let number = value.split(u8::is_ascii_whitespace).next()?;
            Some(cx.msg.buffer().share(number))
        },
        "method" => |cx| {
            let (_, method) = cx.msg.cseq()?;
            Some(cx.msg.text(method))
        },
        _ => return None,
    };
    Some(Arc::new(pick))
}

fn contact(rest: &[Word]) -> Option<Read> {
    let source = header(HeaderId::Contact);
    if rest.is_empty() {
        return Some(source);
    }
    let contact = addr::last(source);
    let param = match rest {
        [word] => match name(word)? {
            "q" => "q",
            "expires" => "expires",
            "methods" => "methods",
            "received" => "received",
            "instance" => "+sip.instance",
            _ => return addr::of(contact, rest, false),
        },
        _ => return addr::of(contact, rest, false),
    };
    Some(addr::read(contact, move |text, contact| {
        addr::value(text, contact, param)
    }))
}

fn via(rest: &[Word]) -> Option<Read> {
    let (at, rest) = index(rest);
    let hop: Read = Arc::new(move |cx: &mut Cx| {
        let hops = cx.msg.vias();
        let at = match at {
            // Counting is only needed from the end.
            Some(n) if n < 0 => place(at, hops.clone().count())?,
            at => place(at, usize::MAX.checked_div(2)?)?,
        };
        let hop = cx.msg.vias().nth(at)?;
        Some(cx.msg.text(hop.span))
    });
    let part = match rest {
        [] => return Some(hop),
        [word] => via_part(name(word)?)?,
        [word, param] if name(word)? == "params" => {
            let param = name(param)?.to_owned();
            return Some(Arc::new(move |cx| {
                let text = hop(cx)?;
                let value = Via::parse(&text).ok()?.params.value(&param)?;
                Some(text.share(value))
            }));
        }
        _ => return None,
    };
    Some(Arc::new(move |cx| {
        let text = hop(cx)?;
        let piece = part(&Via::parse(&text).ok()?)?;
        Some(text.share(piece))
    }))
}

type ViaPart = for<'a> fn(&Via<'a>) -> Option<&'a [u8]>;

fn via_part(name: &str) -> Option<ViaPart> {
    fn filled(piece: &[u8]) -> Option<&[u8]> {
        (!piece.is_empty()).then_some(piece)
    }
    fn param<'a>(params: &Params<'a>, name: &str) -> Option<&'a [u8]> {
        params.value(name).and_then(filled)
    }
    Some(match name {
        "name" => |via| filled(via.protocol),
        "version" => |via| filled(via.version),
        "transport" => |via| filled(via.transport_text),
        "host" => |via| filled(via.host),
        "port" => |via| filled(via.port_text),
        "comment" => |via| via.comment,
        "branch" => |via| param(&via.params, "branch"),
        "received" => |via| param(&via.params, "received"),
        "rport" => |via| param(&via.params, "rport"),
        "i" => |via| param(&via.params, "i"),
        "alias" => |via| param(&via.params, "alias"),
        _ => return None,
    })
}
