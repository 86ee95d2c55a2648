//! Reason, RFC 3326: `SIP;cause=200;text="Call completed elsewhere"`, `Q.850;cause=16`.

use std::borrow::Cow;

use super::{
    Malformed, Params,
    scan::{self, Nesting},
};

/// Why a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// `SIP`, `Q.850` or another, compared in any case.
    pub protocol: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> Reason<'a> {
    /// Reads one reason.
    ///
    /// # Errors
    /// No protocol, or one that is no token.
    pub fn parse(text: &'a [u8]) -> Result<Reason<'a>, Malformed> {
        let (raw, protocol, params) = scan::token_and_params(text, "reason without a protocol")?;
        Ok(Reason {
            raw,
            protocol,
            params,
        })
    }

    /// `;cause=`: a status code or a Q.850 cause; `None` where it is absent or no number.
    pub fn cause(&self) -> Option<u32> {
        scan::number(self.params.value("cause")?)
    }

    /// `;text=` without its quotes.
    pub fn text(&self) -> Option<Cow<'a, [u8]>> {
        self.params.get("text").map(|param| param.unquoted())
    }
}

/// Walks the reasons of one header.
#[derive(Clone, Debug)]
pub struct Reasons<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reasons<'a> {
    /// The reasons of `text`.
    pub const fn new(text: &'a [u8]) -> Reasons<'a> {
        Reasons { text, at: 0 }
    }
}

impl<'a> Iterator for Reasons<'a> {
    type Item = Result<Reason<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = scan::next_element(self.text, &mut self.at, Nesting::Header)?;
        Some(element.and_then(|(start, piece)| Reason::parse(piece).map_err(|e| e.shifted(start))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_reasons() {
        let text = b"Q.850 ;cause=16 ;text=\"Terminated, \\\"ok\\\"\", SIP;cause=x, ;cause=1";
        let reasons: Vec<_> = Reasons::new(text).collect();
        let q850 = reasons[0].unwrap();
        assert_eq!((q850.protocol, q850.cause()), (&b"Q.850"[..], Some(16)));
        assert_eq!(q850.text().unwrap().as_ref(), b"Terminated, \"ok\"");
        assert_eq!(
            (reasons[1].unwrap().cause(), reasons[1].unwrap().text()),
            (None, None)
        );
        assert_eq!(reasons[2].unwrap_err().at, 57);
    }
}
