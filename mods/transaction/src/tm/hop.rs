//! ACK and CANCEL for one branch: requests from this hop to the next (RFC 3261 sections 9.1 and 17.1.1.3).

use kahea_module::Str;
use kahea_sip::{HeaderId, Message};

/// The request `method` about the request `sent`, which is a branch's as it left: the topmost Via alone, the same
/// Request-URI, From, Call-ID, CSeq number and Route; To with `to` as its whole header where that is given.
pub fn request(sent: &Message, method: &str, to: Option<&[u8]>, copied: &[u8], extra: &[u8]) -> Str {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(sent.uri().unwrap_or_default());
    out.extend_from_slice(b" SIP/2.0\r\n");
    let mut has_via = false;
    for header in sent.headers() {
        match header.id {
            HeaderId::Via if !has_via => {
                has_via = true;
                top_via(sent, &mut out);
            }
            HeaderId::To => match to {
                Some(line) => out.extend_from_slice(line),
                None => out.extend_from_slice(sent.bytes(header.line)),
            },
            HeaderId::CSeq => {
                let number = sent.cseq().map_or(0, |(number, _)| number);
                out.extend_from_slice(format!("CSeq: {number} {method}\r\n").as_bytes());
            }
            HeaderId::From | HeaderId::CallId | HeaderId::Route | HeaderId::MaxForwards => {
                out.extend_from_slice(sent.bytes(header.line));
            }
            _ if is_mark(sent.bytes(header.name)) || starts_with(sent.bytes(header.name), copied) => {
                out.extend_from_slice(sent.bytes(header.line));
            }
            _ => {}
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n");
    out.extend_from_slice(extra);
    out.extend_from_slice(b"\r\n");
    Str::from(out)
}

/// The mark that module `topoh` puts into messages and takes out as they leave: it tells which Call-ID the next hop
/// knows.
pub fn is_mark(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"TH")
}

fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
    !prefix.is_empty()
        && name
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn top_via(sent: &Message, out: &mut Vec<u8>) {
    if let Some(hop) = sent.vias().next() {
        out.extend_from_slice(b"Via: ");
        out.extend_from_slice(sent.bytes(hop.span).trim_ascii());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use kahea_sip::Limits;

    use super::*;

    #[test]
    fn only_what_the_next_hop_needs_goes_along() {
        let text = "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1.0, SIP/2.0/UDP u;branch=z9hG4bK2\r\n\
                    Max-Forwards: 69\r\nFrom: <sip:a@y>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
                    Route: <sip:r;lr>\r\nContact: <sip:a@u>\r\nX-Own: 1\r\nTH: uih\r\n\r\n";
        let sent = Message::parse(Str::from(text), &Limits::default()).unwrap();
        let ack = request(&sent, "ACK", Some(b"To: <sip:b@x>;tag=2\r\n"), b"x-", b"");
        assert_eq!(
            ack.text(),
            "ACK sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP p;branch=z9hG4bK1.0\r\nMax-Forwards: 69\r\n\
             From: <sip:a@y>;tag=1\r\nTo: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 7 ACK\r\nRoute: <sip:r;lr>\r\n\
             X-Own: 1\r\nTH: uih\r\nContent-Length: 0\r\n\r\n"
        );
        let cancel = request(&sent, "CANCEL", None, b"", b"Reason: SIP;cause=200\r\n");
        assert!(
            cancel
                .text()
                .ends_with("Content-Length: 0\r\nReason: SIP;cause=200\r\n\r\n")
        );
    }
}
