//! What RFC 3261 requires of every message and this one lacks.

use crate::{HeaderId, Message, Method, via_parts::ViaParts};

/// A fault that makes a well-framed message unfit for use. The first one found is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A required header is missing or empty (RFC 3261 section 8.1.1).
    Missing(HeaderId),
    /// A header that may occur once only occurs more often.
    Duplicate(HeaderId),
    /// A Via cannot be read.
    Via,
    /// CSeq is no number below 2^31 with a method behind it.
    CSeq,
    /// CSeq names another method than the request line.
    CSeqMethod,
}

impl Fault {
    /// The reply that a request with this fault deserves. Faulty replies are dropped.
    pub const fn reply(self) -> (u16, &'static str) {
        match self {
            Fault::Missing(HeaderId::Via) => (400, "Missing Via"),
            Fault::Missing(HeaderId::From) => (400, "Missing From"),
            Fault::Missing(HeaderId::To) => (400, "Missing To"),
            Fault::Missing(HeaderId::CallId) => (400, "Missing Call-ID"),
            Fault::Missing(HeaderId::CSeq) => (400, "Missing CSeq"),
            Fault::Missing(_) => (400, "Missing Required Header"),
            Fault::Duplicate(_) => (400, "Header Stated Twice"),
            Fault::Via => (400, "Bad Via"),
            Fault::CSeq => (400, "Bad CSeq"),
            Fault::CSeqMethod => (400, "CSeq Method Differs From Request"),
        }
    }
}

const REQUIRED: [HeaderId; 5] = [
    HeaderId::Via,
    HeaderId::From,
    HeaderId::To,
    HeaderId::CallId,
    HeaderId::CSeq,
];

const SINGLE: [HeaderId; 5] = [
    HeaderId::From,
    HeaderId::To,
    HeaderId::CallId,
    HeaderId::CSeq,
    HeaderId::MaxForwards,
];

impl Message {
    /// The first reason why this message cannot be worked with; `None` where it can.
    ///
    /// Max-Forwards and Content-Length may be missing, as RFC 2543 clients leave them out.
    pub fn fault(&self) -> Option<Fault> {
        let missing = |id: &HeaderId| self.first(*id).is_none_or(|header| header.value.is_empty());
        if let Some(id) = REQUIRED.into_iter().find(missing) {
            return Some(Fault::Missing(id));
        }
        if let Some(id) = SINGLE
            .into_iter()
            .find(|id| self.has(*id) && self.all(*id).nth(1).is_some())
        {
            return Some(Fault::Duplicate(id));
        }
        if !self.vias_are_readable() {
            return Some(Fault::Via);
        }
        let Some((number, method)) = self.cseq() else {
            return Some(Fault::CSeq);
        };
        if number > i32::MAX as u32 {
            return Some(Fault::CSeq);
        }
        let differs = self.is_request() && self.bytes(method) != self.method_text();
        differs.then_some(Fault::CSeqMethod)
    }

    /// Whether every hop of every Via can be read, and no header of them is a list with gaps.
    fn vias_are_readable(&self) -> bool {
        let mut hops = self.vias().peekable();
        hops.peek().is_some() && hops.all(|hop| ViaParts::parse(self.buffer(), hop.span).is_some())
    }

    /// Whether a request is one that nobody may answer: an ACK.
    pub fn is_ack(&self) -> bool {
        self.is_request() && self.method() == Method::Ack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Str};

    fn fault(text: &str) -> Option<Fault> {
        let text = format!("{}\r\n\r\n", text.trim().replace('\n', "\r\n"));
        Message::parse(Str::from(text), &Limits::default())
            .expect("a message")
            .fault()
    }

    const GOOD: &str =
        "BYE sip:a@b SIP/2.0\nv: SIP/2.0/UDP h\nf: <sip:a@b>;tag=1\nt: <sip:b@b>\ni: 1\nCSeq: 1 BYE";

    #[test]
    fn each_requirement_is_told_apart() {
        assert_eq!(fault(GOOD), None);
        assert_eq!(
            fault(&GOOD.replace("i: 1\n", "")),
            Some(Fault::Missing(HeaderId::CallId))
        );
        assert_eq!(
            fault(&GOOD.replace("i: 1\n", "i: \n")),
            Some(Fault::Missing(HeaderId::CallId))
        );
        assert_eq!(
            fault(&format!("{GOOD}\nTo: <sip:c@d>")),
            Some(Fault::Duplicate(HeaderId::To))
        );
        assert_eq!(fault(&GOOD.replace("UDP h", "UDP :]")), Some(Fault::Via));
        assert_eq!(fault(&GOOD.replace("1 BYE", "1 ACK")), Some(Fault::CSeqMethod));
        assert_eq!(fault(&GOOD.replace("1 BYE", "2147483648 BYE")), Some(Fault::CSeq));
        assert_eq!(fault(&GOOD.replace("1 BYE", "2147483647 BYE")), None);
        assert_eq!(Fault::Missing(HeaderId::To).reply(), (400, "Missing To"));
    }
}
