//! CSeq, RFC 3261 20.16.

use std::fmt;

use super::{Malformed, scan};

/// The number and method of a request within its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// The whole value.
    pub raw: &'a [u8],
    /// The number: RFC 3261 8.1.1.5 allows less than 2^31, all of a `u32` is taken.
    pub number: u32,
    /// The number as it is written, leading zeros included.
    pub number_text: &'a [u8],
    /// The method, case-sensitive.
    pub method: &'a [u8],
}

impl<'a> CSeq<'a> {
    /// Reads `number method`.
    ///
    /// # Errors
    /// No number, one beyond 32 bits, no method, or text after it.
    pub fn parse(raw: &'a [u8]) -> Result<CSeq<'a>, Malformed> {
        let text = scan::trim(raw);
        let end = text.iter().position(|b| scan::is_lws(*b)).unwrap_or(text.len());
        let number_text = scan::before(text, end);
        let number = scan::number(number_text).ok_or(Malformed::new(
            "CSeq without a number below 2^32",
            scan::offset(raw, text),
        ))?;
        let method = scan::trim_start(scan::after(text, end));
        if method.is_empty() || !method.iter().all(|b| scan::is_token(*b)) {
            return Err(Malformed::new("CSeq without a method", scan::offset(raw, method)));
        }
        Ok(CSeq {
            raw,
            number,
            number_text,
            method,
        })
    }
}

impl fmt::Display for CSeq<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, String::from_utf8_lossy(self.method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_methods_and_folding() {
        // RFC 4475 3.1.1.1 (wsinv) and 3.1.1.2 (intmeth).
        let cseq = CSeq::parse(b" 0009\r\n  INVITE ").unwrap();
        assert_eq!(
            (cseq.number, cseq.number_text, cseq.method),
            (9, &b"0009"[..], &b"INVITE"[..])
        );
        let cseq = CSeq::parse(b"1 !interesting-Method0123456789_*+`.%indeed'~").unwrap();
        assert_eq!(cseq.to_string(), "1 !interesting-Method0123456789_*+`.%indeed'~");
        assert_eq!(CSeq::parse(b"4294967295 ACK").unwrap().number, u32::MAX);
    }

    #[test]
    fn refuses_what_has_no_number_or_method() {
        for (bad, at) in [
            ("", 0),
            ("INVITE", 0),
            ("36893488147419103232 REGISTER", 0),
            ("-1 ACK", 0),
            (" 8", 2),
        ] {
            assert_eq!(CSeq::parse(bad.as_bytes()).unwrap_err().at, at, "{bad}");
        }
        assert_eq!(CSeq::parse(b"1 INVITE x").unwrap_err().at, 2);
    }
}
