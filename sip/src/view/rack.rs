//! RSeq and RAck of reliable provisional responses, RFC 3262 7.1 and 7.2.

use std::fmt;

use super::{CSeq, Malformed, scan};

/// The number of a reliable provisional response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RSeq(
    /// RFC 3262 3 allows 1 to 2^32 - 1; 0 is taken.
    pub u32,
);

impl RSeq {
    /// Reads a number.
    ///
    /// # Errors
    /// No number, or one beyond 32 bits.
    pub fn parse(text: &[u8]) -> Result<RSeq, Malformed> {
        let digits = scan::trim(text);
        scan::number(digits).map(RSeq).ok_or(Malformed::new(
            "RSeq that is no number",
            scan::offset(text, digits),
        ))
    }
}

impl fmt::Display for RSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which provisional response a PRACK acknowledges: `776656 1 INVITE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RAck<'a> {
    /// The RSeq of the response.
    pub rseq: RSeq,
    /// The CSeq of the response.
    pub cseq: CSeq<'a>,
}

impl<'a> RAck<'a> {
    /// Reads `rseq cseq method`.
    ///
    /// # Errors
    /// A number or the method is missing or wrong.
    pub fn parse(text: &'a [u8]) -> Result<RAck<'a>, Malformed> {
        let value = scan::trim_start(text);
        let start = scan::offset(text, value);
        let end = value.iter().position(|b| scan::is_lws(*b)).unwrap_or(value.len());
        let rseq = RSeq::parse(scan::before(value, end)).map_err(|e| e.shifted(start))?;
        let cseq = CSeq::parse(scan::after(value, end)).map_err(|e| e.shifted(start + end))?;
        Ok(RAck { rseq, cseq })
    }
}

impl fmt::Display for RAck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let rack = RAck::parse(b" 776656\r\n 1  INVITE ").unwrap();
        assert_eq!(
            (rack.rseq, rack.cseq.number, rack.cseq.method),
            (RSeq(776_656), 1, &b"INVITE"[..])
        );
        assert_eq!(rack.to_string(), "776656 1 INVITE");
        assert_eq!(RSeq::parse(b" 988789 "), Ok(RSeq(988_789)));
        assert_eq!(RSeq::parse(b" 4294967296").unwrap_err().at, 1);
        assert_eq!(RAck::parse(b"1 2").unwrap_err().at, 3);
        assert_eq!(RAck::parse(b"x 2 INVITE").unwrap_err().at, 0);
        assert_eq!(RAck::parse(b"1 y INVITE").unwrap_err().at, 2);
    }
}
