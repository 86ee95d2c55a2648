//! Replies that this server makes by itself, without a transaction.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    net::SocketAddr,
    sync::LazyLock,
};

use kahea_sip::{
    Destination, HeaderId, Limits, Message, Method,
    build::{LocalReply, ViaFix, local_reply},
    view::{NameAddr, Via},
};

use super::{
    send::deliver,
    via::{hex, xavp_params},
};
use crate::{Cx, Fault, MessageFlags, ReplyExtra, Ret, Str, Target};

/// Drawn once in a process: makes its tags its own.
static SEED: LazyLock<u64> = LazyLock::new(|| {
    let seed = foldhash::quality::RandomState::default();
    seed.hash_one(std::process::id())
});

/// The To-tag of this server's stateless replies to the request: the same for its retransmissions and for the ACK of
/// its transaction; the ACK to a 2xx has a branch of its own (RFC 3261 section 17.1.1.3) and another tag.
pub fn local_tag(cx: &Cx) -> Str {
    let mut tag = Vec::with_capacity(33);
    tag.extend_from_slice(&hex(*SEED));
    tag.push(b'.');
    tag.extend_from_slice(&suffix(cx));
    Str::from(tag)
}

/// The message carries, as its To-tag, the tag that a stateless reply of this process gave: it is the ACK to it.
pub fn is_local_tag(cx: &Cx, tag: &[u8]) -> bool {
    let Some((prefix, rest)) = tag.split_at_checked(16) else {
        return false;
    };
    *prefix == hex(*SEED) && rest.strip_prefix(b".").is_some_and(|own| *own == suffix(cx))
}

fn suffix(cx: &Cx) -> [u8; 16] {
    let mut hash = foldhash::quality::FixedState::with_seed(*SEED).build_hasher();
    branch_of_sender(cx).hash(&mut hash);
    cx.msg.call_id().hash(&mut hash);
    cx.msg.cseq().map(|(number, _)| number).hash(&mut hash);
    let from = cx
        .msg
        .first(HeaderId::From)
        .and_then(|header| NameAddr::parse(cx.msg.value(header)).ok());
    from.and_then(|from| from.tag()).hash(&mut hash);
    hex(hash.finish())
}

/// The branch of the topmost Via where it names a transaction (RFC 3261 section 8.1.1.7).
fn branch_of_sender(cx: &Cx) -> Option<&[u8]> {
    let hop = cx.msg.vias().next()?;
    let branch = Via::parse(cx.msg.bytes(hop.span)).ok()?.branch()?;
    branch.starts_with(b"z9hG4bK").then_some(branch)
}

/// The Contact line of a redirection: every branch of the destination set with its q.
pub struct Redirect;

impl Redirect {
    /// The line with its end; `None` without branches.
    pub fn contact(branches: &[Target]) -> Option<Str> {
        let mut out = b"Contact: ".to_vec();
        let mut any = false;
        for branch in branches {
            let Some(uri) = &branch.ruri else { continue };
            if any {
                out.extend_from_slice(b", ");
            }
            any = true;
            out.push(b'<');
            out.extend_from_slice(uri);
            out.push(b'>');
            if let Some(q) = branch.q {
                out.extend_from_slice(b";q=");
                push_q(q, &mut out);
            }
        }
        out.extend_from_slice(b"\r\n");
        any.then(|| Str::from(out))
    }
}

/// Thousandths as `0.5`, `1`, `0.125`.
fn push_q(thousandths: u16, out: &mut Vec<u8>) {
    if thousandths >= 1000 {
        return out.push(b'1');
    }
    let digits = format!("{thousandths:03}");
    let digits = digits.trim_end_matches('0');
    out.push(b'0');
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits.as_bytes());
    }
}

/// Answers the request without a transaction. True when the reply went out; an ACK is not answered.
pub fn reply(cx: &mut Cx, status: u16, reason: Str) -> Ret {
    reply_to(cx, status, &reason).map(|()| true).into()
}

/// The same with the fault at hand.
///
/// # Errors
/// The request cannot be answered, or the network refuses the reply.
pub fn reply_to(cx: &mut Cx, status: u16, reason: &[u8]) -> Result<(), Fault> {
    if cx.msg.is_http() {
        return super::http::answer(cx, status, reason);
    }
    if cx.msg.method() == Method::Ack {
        return Err(Fault::script("an ACK is never answered"));
    }
    let to = reply_destination(cx)?;
    let tag = (status != 100).then(|| local_tag(cx));
    let data = build_reply(cx, status, reason, tag.as_deref())?;
    let through_route = cx.config().globals.onsend_route_reply != 0;
    deliver(cx, to, data.clone(), through_route)?;
    if status >= 200 {
        crate::state::Settled::note(cx);
    }
    let hooks = cx.config().hooks.local_reply.clone();
    if !hooks.is_empty() {
        let from = cx.received.local;
        let before = cx.sending.replace(crate::Sending { to, from, data });
        for hook in &hooks {
            hook(cx);
        }
        cx.sending = before;
    }
    Ok(())
}

/// A reply of this server to the request in work, with `tag` where To has none.
///
/// # Errors
/// The request cannot be answered.
pub fn build_reply(cx: &mut Cx, status: u16, reason: &[u8], tag: Option<&[u8]>) -> Result<Str, Fault> {
    let config = cx.worker.config.clone();
    let mut server = Vec::new();
    if config.globals.server_signature {
        server.extend_from_slice(&config.server_header);
    }
    let mut extra: Vec<Str> = Vec::new();
    if (300..400).contains(&status) {
        extra.extend(Redirect::contact(&cx.branches));
    }
    let mut body = None;
    for item in &cx.reply_extra {
        match item {
            ReplyExtra::Header(line) => extra.push(line.clone()),
            ReplyExtra::Body {
                content_type,
                content,
            } => body = Some((&**content_type, &**content)),
        }
    }
    let warning = config.globals.sip_warning.then(|| warning(cx));
    let reply = LocalReply {
        status,
        reason,
        to_tag: tag,
        server: (!server.is_empty()).then_some(&server),
        extra: &extra,
        body,
        warning: warning.as_deref().map(str::as_bytes),
        via_fix: Some(via_fix(cx)),
    };
    let headers = usize::try_from(cx.msg.headers_end()).unwrap_or(0);
    let mut out = Vec::with_capacity(headers.saturating_add(192));
    match local_reply(&cx.msg, &reply, &mut out) {
        Ok(()) => Ok(with_via_params(cx, Str::from(out))),
        Err(error) => Err(Fault::peer(error.to_string())),
    }
}

/// Adds the fields of `xavp_via_reply_params` to the topmost Via, where the script wants it.
fn with_via_params(cx: &Cx, reply: Str) -> Str {
    let name = cx.config().globals.xavp_via_reply_params.as_ref();
    let wanted = cx.iflags.has(MessageFlags::ADD_XAVP_VIA_REPLY_PARAMS);
    let Some(name) = name.filter(|_| wanted) else {
        return reply;
    };
    let Ok(parsed) = Message::parse(reply.clone(), &Limits::default()) else {
        return reply;
    };
    let end = parsed.vias().next().map(|hop| hop.span.end());
    let parts = end.and_then(|end| reply.split_at_checked(usize::try_from(end).ok()?));
    let Some((before, after)) = parts else {
        return reply;
    };
    let mut out = before.to_vec();
    xavp_params(cx, name, &mut out);
    out.extend_from_slice(after);
    Str::from(out)
}

/// The value of the Warning header (`sip_warning`), as Kamailio words it.
fn warning(cx: &Cx) -> String {
    let (source, local) = (cx.received.source, cx.received.local);
    format!(
        "392 {}:{} \"Noisy feedback tells:  pid={} req_src_ip={} req_src_port={} in_uri={} out_uri={} via_cnt=={}\"",
        local.ip(),
        local.port(),
        cx.config().shared.pid,
        source.ip(),
        source.port(),
        String::from_utf8_lossy(cx.msg.uri().unwrap_or_default()),
        cx.ruri(),
        cx.msg.vias().count(),
    )
}

/// What the topmost Via of a request gets noted.
pub(super) fn via_fix(cx: &Cx) -> ViaFix {
    ViaFix {
        source: cx.received.source,
        force_rport: cx.force_rport || cx.config().globals.force_rport,
    }
}

/// Back to the source address; to its port where `rport` says so, else to the port of the Via (RFC 3261 section
/// 18.2.2, RFC 3581). With `reply_to_via` to the Via's address instead.
///
/// # Errors
/// The topmost Via is missing or cannot be read.
pub fn reply_destination(cx: &Cx) -> Result<Destination, Fault> {
    let source = cx.received.source;
    let hop = cx
        .msg
        .vias()
        .next()
        .ok_or_else(|| Fault::peer("the request has no Via"))?;
    let via = Via::parse(cx.msg.bytes(hop.span))
        .map_err(|error| Fault::peer(format!("the Via cannot be read: {error}")))?;
    let fix = via_fix(cx);
    let ip = match via.host_ip() {
        Some(ip) if cx.config().globals.reply_to_via => ip,
        _ => source.ip(),
    };
    let port = match via.rport() {
        Some(_) => source.port(),
        _ if fix.force_rport || cx.received.transport.is_stream() => source.port(),
        _ => via.port.unwrap_or_else(|| cx.received.transport.default_port()),
    };
    Ok(Destination {
        to: SocketAddr::new(ip, port),
        transport: cx.received.transport,
        listener: Some(cx.target.send_socket.unwrap_or(cx.received.listener)),
        connection: cx.received.connection,
        flags: cx.reply_flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{INVITE, Server};

    #[test]
    fn the_reply_goes_to_the_source_and_its_ack_is_known() {
        let server = Server::default();
        let mut cx = server.invite();
        reply_to(&mut cx, 404, b"Not Found").unwrap();
        let sent = server.net.sent.borrow();
        let (to, data) = &sent[0];
        assert_eq!(to.to.to_string(), "127.0.0.1:5061");
        let text = data.text();
        assert!(text.starts_with("SIP/2.0 404 Not Found\r\nVia: "), "{text}");
        let tag = text
            .split("To: ")
            .nth(1)
            .unwrap()
            .split(";tag=")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        let ack = server.message(
            &INVITE
                .replace("INVITE sip", "ACK sip")
                .replace("159 INVITE", "159 ACK"),
        );
        assert!(is_local_tag(&ack, tag.as_bytes()) && !is_local_tag(&ack, b"other"));
    }

    #[test]
    fn without_rport_the_port_of_the_via_counts() {
        let server = Server::default();
        let mut cx = server.message(
            &INVITE
                .replace("127.0.0.1:5061;branch", "127.0.0.1:5099;branch")
                .replace(";rport", ""),
        );
        reply_to(&mut cx, 200, b"OK").unwrap();
        assert_eq!(server.net.sent.borrow()[0].0.to.port(), 5099);
    }

    #[test]
    fn redirections_list_the_branches() {
        let branch = |uri: &str, q| Target {
            ruri: Some(Str::from(uri)),
            q,
            ..Target::default()
        };
        let line = Redirect::contact(&[
            branch("sip:a@b", Some(500)),
            branch("sip:c@d", None),
            branch("sip:e@f", Some(1000)),
        ]);
        assert_eq!(
            line.unwrap(),
            "Contact: <sip:a@b>;q=0.5, <sip:c@d>, <sip:e@f>;q=1\r\n"
        );
        assert!(Redirect::contact(&[]).is_none());
    }
}
