//! Forwarding on demand: replies, and requests as if this server had made them.

use kahea_module::{Cx, Decl, Fault, Hop, Listener, REPLY, REQUEST, Ret, Str, Targets, proxy};
use kahea_sip::{
    Destination, EditTag, HeaderId, Transport,
    build::{RequestParts, request},
};

use super::Corex;

/// Declares the functions.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "forward_reply",
        [],
        forward_reply,
        "Sends the reply on to where its second Via points, now.",
    )
    .routes(REPLY)
    .waits();
    d.func(
        "forward_uac",
        ["branch"],
        forward_uac,
        "Sends the request to where $du or $ru points as if this server had made it: with its own Via alone, whose branch ends in the given number.",
    )
    .routes(REQUEST)
    .kemi(0, "forward_uac")
    .kemi(1, "forward_uac_branch")
    .waits();
    d.func(
        "forward_uac_uri",
        ["uri", "branch"],
        forward_uac_uri,
        "As forward_uac(), to where the URI points.",
    )
    .routes(REQUEST)
    .kemi(1, "forward_uac_uri")
    .kemi(2, "forward_uac_uri_branch")
    .waits();
    d.kemi_func(
        "corex",
        "has_ruri_user",
        [],
        has_ruri_user,
        "True where the Request-URI has a user.",
    );
    d.kemi_func(
        "corex",
        "has_user_agent",
        [],
        has_user_agent,
        "True where the message has a User-Agent header.",
    );
}

fn forward_reply(_: &Corex, cx: &mut Cx) -> Ret {
    if cx.msg.is_request() {
        return Fault::script("this is a request: only a reply goes back by its Vias").into();
    }
    proxy::forward_reply(cx)
}

fn forward_uac(_: &Corex, cx: &mut Cx, branch: Option<i64>) -> Ret {
    match proxy::next_hop(cx) {
        Ok(hop) => as_client(cx, hop, branch),
        Err(fault) => Ret::Fault(fault),
    }
}

fn forward_uac_uri(_: &Corex, cx: &mut Cx, uri: Str, branch: Option<i64>) -> Ret {
    match proxy::hop_of_uri(&uri) {
        Ok(hop) => as_client(cx, hop, branch),
        Err(fault) => Ret::Fault(fault.code(-1)),
    }
}

fn as_client(cx: &mut Cx, hop: Hop, branch: Option<i64>) -> Ret {
    if !cx.msg.is_request() {
        return Fault::script("only a request can be forwarded: this is a reply").into();
    }
    let branch = match u32::try_from(branch.unwrap_or(0)) {
        Ok(branch) => branch,
        Err(_) => return Fault::script("the number of the branch is out of range").into(),
    };
    proxy::resolve_then(cx, hop, move |cx, targets| send(cx, &targets, branch).into())
}

/// To the first address that takes it.
fn send(cx: &mut Cx, targets: &Targets, branch: u32) -> Result<bool, Fault> {
    let mut last = Fault::backend("the destination has no address");
    for (to, transport) in targets {
        let net = cx.worker.net.clone();
        let preferred = cx
            .target
            .send_socket
            .or((cx.received.transport == *transport).then_some(cx.received.listener));
        let config = cx.worker.config.clone();
        let listener = net
            .listener_for(*to, *transport, preferred)
            .and_then(|id| config.identity.listener(id));
        let Some(listener) = listener else {
            last = Fault::script(format!("there is no {transport} listener to reach {to} from"));
            continue;
        };
        let data = build(cx, listener, *transport, branch);
        let destination = Destination {
            to: *to,
            transport: *transport,
            listener: Some(listener.id),
            connection: None,
            flags: cx.forward_flags,
        };
        match proxy::deliver(cx, destination, data, true) {
            Ok(()) => return Ok(true),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// The request with its changes, the received Vias replaced by this server's own.
fn build(cx: &Cx, from: &Listener, transport: Transport, branch: u32) -> Str {
    let mut via = Vec::with_capacity(96);
    proxy::own_via_branch(cx, from, transport, branch, &mut via);
    let mut edits = cx.edits.clone();
    for header in cx.msg.all(HeaderId::Via) {
        edits.remove(header.line, EditTag::Header(HeaderId::Via));
    }
    let parts = RequestParts {
        ruri: cx.target.ruri.as_deref(),
        new_via: Some(&via),
        via_fix: None,
        stream: transport.is_stream(),
    };
    let mut out = Vec::with_capacity(cx.msg.buffer().len().saturating_add(160));
    request(&cx.msg, &edits, &parts, &mut |_, _| {}, &mut out);
    Str::from(out)
}

fn has_ruri_user(_: &Corex, cx: &mut Cx) -> bool {
    cx.with_ruri(|uri| uri.is_ok_and(|uri| !uri.user.is_empty()))
}

fn has_user_agent(_: &Corex, cx: &mut Cx) -> bool {
    cx.msg.has(HeaderId::UserAgent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{INVITE, Server};

    #[test]
    fn the_only_via_is_our_own() {
        let server = Server::default();
        let mut cx = server.message(&INVITE.replace(
            "Max-Forwards",
            "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKold\nMax-Forwards",
        ));
        let uri = Str::from("sip:127.0.0.9:5072");
        assert!(matches!(
            forward_uac_uri(&Corex, &mut cx, uri, Some(3)),
            Ret::Code(1)
        ));
        let sent = server.net.sent.borrow();
        assert_eq!(sent[0].0.to.to_string(), "127.0.0.9:5072");
        let text = sent[0].1.text();
        let vias: Vec<&str> = text.lines().filter(|line| line.starts_with("Via:")).collect();
        assert_eq!(vias.len(), 1, "{text}");
        assert!(
            vias[0].starts_with("Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK") && vias[0].ends_with(".3"),
            "{text}"
        );
    }

    #[test]
    fn only_requests_are_forwarded_as_a_client() {
        let server = Server::default();
        let mut cx = server.message("SIP/2.0 200 OK\nVia: SIP/2.0/UDP a\nCSeq: 1 INVITE\n");
        let uri = Str::from("sip:127.0.0.9");
        assert!(matches!(
            forward_uac_uri(&Corex, &mut cx, uri, None),
            Ret::Fault(_)
        ));
        let mut cx = server.invite();
        assert!(matches!(forward_reply(&Corex, &mut cx), Ret::Fault(_)));
        assert!(has_ruri_user(&Corex, &mut cx) && has_user_agent(&Corex, &mut cx));
    }
}
