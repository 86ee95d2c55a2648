//! Answers to requests of HTTP that came over SIP's connections (module `xhttp`): RFC 9112 in the form that Kamailio's
//! clients know, `Sia` for the Via and all.

use std::rc::Rc;

use kahea_sip::{Destination, Received, SendFlags};

use super::send::{deliver, send_raw};
use crate::{Cx, Fault, ReplyExtra, Str, Worker};

/// The message was answered: HTTP has one answer to a request.
#[derive(Default)]
struct Answered(bool);

/// Answers the request with a body; no Content-Type where that is empty.
///
/// # Errors
/// It was answered before, or the network refuses the answer.
pub fn respond(
    cx: &mut Cx,
    status: u16,
    reason: &[u8],
    content_type: &[u8],
    body: impl Into<Str>,
) -> Result<(), Fault> {
    cx.reply_extra.push(ReplyExtra::Body {
        content_type: Str::copy(content_type),
        content: body.into(),
    });
    answer(cx, status, reason)
}

/// Answers the request with what was added for replies.
///
/// # Errors
/// It was answered before, or the network refuses the answer.
pub fn answer(cx: &mut Cx, status: u16, reason: &[u8]) -> Result<(), Fault> {
    if cx.extra_ref::<Answered>().is_some_and(|answered| answered.0) {
        return Err(Fault::script("the HTTP request was answered before"));
    }
    let closes = cx.reply_flags.close || ends_connection(cx);
    let data = build(cx, status, reason, closes);
    let mut flags = cx.reply_flags;
    flags.close = closes;
    let to = destination(&cx.received, flags);
    let through_route = cx.config().globals.onsend_route_reply != 0;
    deliver(cx, to, data, through_route)?;
    cx.extra::<Answered>().0 = true;
    Ok(())
}

/// Answers a request that cannot be read; the network closes the connection.
pub fn refuse(worker: &Rc<Worker>, received: &Received, (status, reason): (u16, &str)) {
    let head = format!("HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let to = destination(received, SendFlags::default());
    if let Err(fault) = send_raw(worker, &to, Str::from(head)) {
        crate::debug!("<core>", "No answer to the bad HTTP request: {fault}.");
    }
}

fn destination(received: &Received, flags: SendFlags) -> Destination {
    Destination {
        to: received.source,
        transport: received.transport,
        listener: Some(received.listener),
        connection: received.connection,
        flags,
    }
}

/// The client wants the connection closed, or speaks HTTP/1.0 and does not want it kept (RFC 9112 section 9.3).
pub fn ends_connection(cx: &Cx) -> bool {
    let has = |wanted: &[u8]| {
        cx.msg
            .named(b"Connection")
            .flat_map(|header| cx.msg.value(header).split(|byte| *byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    has(b"close") || is_1_0(cx) && !has(b"keep-alive")
}

fn is_1_0(cx: &Cx) -> bool {
    cx.msg.bytes(cx.msg.version()) == b"HTTP/1.0"
}

fn build(cx: &Cx, status: u16, reason: &[u8], closes: bool) -> Str {
    let (source, transport) = (cx.received.source, cx.received.transport);
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(cx.msg.bytes(cx.msg.version()));
    out.extend_from_slice(format!(" {status} ").as_bytes());
    out.extend_from_slice(reason);
    out.extend_from_slice(format!("\r\nSia: SIP/2.0/{} {source}\r\n", transport.via_name()).as_bytes());
    let mut body: Option<(&[u8], &[u8])> = None;
    for item in &cx.reply_extra {
        match item {
            ReplyExtra::Header(line) => out.extend_from_slice(line),
            ReplyExtra::Body {
                content_type,
                content,
            } => body = Some((content_type, content)),
        }
    }
    let config = cx.config();
    let (content_type, content) = body.unwrap_or_default();
    if !content_type.is_empty() {
        push(&mut out, &[b"Content-Type: ", content_type, b"\r\n"]);
    }
    if config.globals.server_signature && !config.server_header.is_empty() {
        push(&mut out, &[&config.server_header, b"\r\n"]);
    }
    match closes {
        true => out.extend_from_slice(b"Connection: close\r\n"),
        false if is_1_0(cx) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        false => {}
    }
    // RFC 9110 section 8.6.
    let bodiless = status == 204 || status < 200;
    if !bodiless {
        out.extend_from_slice(format!("Content-Length: {}\r\n", content.len()).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if !bodiless && status != 304 && cx.msg.method_text() != b"HEAD" {
        out.extend_from_slice(content);
    }
    Str::from(out)
}

fn push(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    fn sent(request: &str, add: impl FnOnce(&mut Cx)) -> (Destination, String) {
        let server = Server::default();
        let mut cx = server.message(request);
        add(&mut cx);
        let sent = server.net.sent.borrow();
        let (to, data) = &sent[0];
        (*to, data.text().into_owned())
    }

    #[test]
    fn an_answer_has_what_http_asks_for() {
        let (to, text) = sent("GET /a HTTP/1.1\r\nHost: h\r\n\r\n", |cx| {
            respond(cx, 200, b"OK", b"text/plain", "hi").expect("an answer");
            assert!(
                respond(cx, 200, b"OK", b"text/plain", "hi").is_err(),
                "one answer"
            );
        });
        assert!(!to.flags.close);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\nSia: SIP/2.0/"), "{text}");
        assert!(text.ends_with("Content-Length: 2\r\n\r\nhi"), "{text}");
        assert!(
            text.contains("\r\nContent-Type: text/plain\r\nkahea\r\n"),
            "{text}"
        );
    }

    #[test]
    fn connections_are_closed_as_the_client_asks() {
        let closes = |request: &str| {
            sent(request, |cx| answer(cx, 200, b"OK").expect("an answer"))
                .0
                .flags
                .close
        };
        assert!(closes(
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: te, Close\r\n\r\n"
        ));
        assert!(closes("GET / HTTP/1.0\r\n\r\n"));
        assert!(!closes("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
        assert!(!closes("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    }

    #[test]
    fn some_answers_have_no_body() {
        let (_, text) = sent("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", |cx| {
            respond(cx, 200, b"OK", b"", "body").expect("an answer");
        });
        assert!(text.ends_with("Content-Length: 4\r\n\r\n"), "{text}");
        let (_, text) = sent("GET / HTTP/1.1\r\nHost: h\r\n\r\n", |cx| {
            respond(cx, 204, b"No Content", b"", "").expect("an answer");
        });
        assert!(!text.contains("Content-Length"), "{text}");
    }
}
