//! ACK and CANCEL made from the request as it was received (`reparse_invite=0`), not as it was sent.

use kahea_module::Str;
use kahea_sip::{HeaderId, Message};

use super::{
    cell::{Cell, State, Switches},
    hop::is_mark,
};

/// The received request, where hop-by-hop requests are to be made from it.
pub fn wanted(cell: &Cell, state: &State) -> Option<Message> {
    let from_sent = cell.core.options().further.reparse_invite || state.switches.has(Switches::UAC_HEADERS);
    if from_sent || state.tx.is_local() {
        return None;
    }
    cell.message().ok()
}

/// The request `method` about `sent`, a branch's INVITE, with From, Call-ID, To, CSeq and Route of `received`; `to` is
/// the whole To header of the reply that is acknowledged.
pub fn request(
    received: &Message,
    sent: &Message,
    method: &str,
    to: Option<&[u8]>,
    user_agent: &[u8],
    extra: &[u8],
) -> Str {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(sent.uri().unwrap_or_default());
    out.extend_from_slice(b" SIP/2.0\r\n");
    if let Some(hop) = sent.vias().next() {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(sent.bytes(hop.span).trim_ascii());
        out.extend_from_slice(b"\r\n");
    }
    let line = |id: HeaderId| received.first(id).map(|header| received.bytes(header.line));
    out.extend_from_slice(line(HeaderId::From).unwrap_or_default());
    out.extend_from_slice(line(HeaderId::CallId).unwrap_or_default());
    out.extend_from_slice(to.or_else(|| line(HeaderId::To)).unwrap_or_default());
    let number = received.cseq().map_or(0, |(number, _)| number);
    out.extend_from_slice(format!("CSeq: {number} {method}\r\nMax-Forwards: 70\r\n").as_bytes());
    for route in received.all(HeaderId::Route) {
        out.extend_from_slice(received.bytes(route.line));
    }
    let marks = received
        .headers()
        .iter()
        .filter(|header| is_mark(received.bytes(header.name)));
    marks.for_each(|mark| out.extend_from_slice(received.bytes(mark.line)));
    out.extend_from_slice(extra);
    out.extend_from_slice(user_agent);
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    Str::from(out)
}

#[cfg(test)]
mod tests {
    use kahea_sip::Limits;

    use super::*;

    #[test]
    fn headers_are_those_of_the_received_request() {
        let text = "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP u;branch=z9hG4bK2\r\nf: <sip:a@y>;tag=1\r\n\
                    t: <sip:b@x>\r\ni: c\r\nCSeq: 7   INVITE\r\nRoute: <sip:r;lr>\r\nX: 1\r\n\r\n";
        let parse = |text: &str| Message::parse(Str::from(text), &Limits::default()).unwrap();
        let received = parse(text);
        let sent = parse(
            &text
                .replace("sip:b@x SIP", "sip:new@x SIP")
                .replace("Via: SIP/2.0/UDP u", "Via: SIP/2.0/UDP p"),
        );
        let cancel = request(
            &received,
            &sent,
            "CANCEL",
            None,
            b"User-Agent: kahea\r\n",
            b"Reason: SIP\r\n",
        );
        assert_eq!(
            cancel.text(),
            "CANCEL sip:new@x SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK2\r\nf: <sip:a@y>;tag=1\r\ni: c\r\n\
             t: <sip:b@x>\r\nCSeq: 7 CANCEL\r\nMax-Forwards: 70\r\nRoute: <sip:r;lr>\r\nReason: SIP\r\n\
             User-Agent: kahea\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
