//! Expires and Min-Expires (RFC 3261 20.19, 20.23), Max-Forwards (20.22), Retry-After (20.33).

use super::{Malformed, Params, scan};

/// Seconds until something ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expires(
    /// Seconds; what is written beyond 32 bits counts as the largest number.
    pub u32,
);

impl Expires {
    /// Reads seconds; parameters after them, which no RFC knows but phones send, are passed over.
    ///
    /// # Errors
    /// No number.
    pub fn parse(text: &[u8]) -> Result<Expires, Malformed> {
        let (value, _) = scan::value_and_params(scan::trim(text));
        scan::delta_seconds(value).map(Expires).ok_or(Malformed::new(
            "expires that is no number",
            scan::offset(text, value),
        ))
    }
}

/// How many hops a request may still take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxForwards(
    /// RFC 3261 20.22 allows up to 255; all of a `u32` is taken.
    pub u32,
);

impl MaxForwards {
    /// Reads the number.
    ///
    /// # Errors
    /// No number, or one beyond 32 bits.
    pub fn parse(text: &[u8]) -> Result<MaxForwards, Malformed> {
        let digits = scan::trim(text);
        scan::number(digits).map(MaxForwards).ok_or(Malformed::new(
            "Max-Forwards that is no number",
            scan::offset(text, digits),
        ))
    }
}

/// When to try again: `120 (In a meeting);duration=3600`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter<'a> {
    /// The whole value.
    pub raw: &'a [u8],
    /// Seconds to wait; what is written beyond 32 bits counts as the largest number.
    pub seconds: u32,
    /// The comment, parentheses included.
    pub comment: Option<&'a [u8]>,
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> RetryAfter<'a> {
    /// Reads `seconds [(comment)] [;params]`.
    ///
    /// # Errors
    /// No number, a comment that does not close, or text that is neither comment nor parameter.
    pub fn parse(raw: &'a [u8]) -> Result<RetryAfter<'a>, Malformed> {
        let text = scan::trim(raw);
        let end = text
            .iter()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(text.len());
        let seconds = scan::delta_seconds(scan::before(text, end)).ok_or(Malformed::new(
            "Retry-After that is no number",
            scan::offset(raw, text),
        ))?;
        let rest = scan::trim_start(scan::after(text, end));
        let fault = |error: Malformed| error.shifted(scan::offset(raw, rest));
        let (comment, rest) = if rest.starts_with(b"(") {
            let end = scan::comment_end(rest, 0).map_err(fault)?;
            (
                Some(scan::before(rest, end)),
                scan::trim_start(scan::after(rest, end)),
            )
        } else {
            (None, rest)
        };
        match rest {
            [] => Ok(RetryAfter {
                raw,
                seconds,
                comment,
                params: Params::header(rest),
            }),
            [b';', list @ ..] => Ok(RetryAfter {
                raw,
                seconds,
                comment,
                params: Params::header(list),
            }),
            _ => Err(Malformed::new("text after the seconds", scan::offset(raw, rest))),
        }
    }

    /// `;duration=`: for how many seconds the peer can be reached then.
    pub fn duration(&self) -> Option<u32> {
        scan::delta_seconds(self.params.value("duration")?)
    }
}

/// The seconds of a session timer with its parameters (RFC 4028 4 and 5): Session-Expires and Min-SE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires<'a> {
    /// The whole value.
    pub raw: &'a [u8],
    /// Seconds between refreshes; what is written beyond 32 bits counts as the largest number.
    pub seconds: u32,
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> SessionExpires<'a> {
    /// Reads `seconds[;params]`.
    ///
    /// # Errors
    /// No number.
    pub fn parse(raw: &'a [u8]) -> Result<SessionExpires<'a>, Malformed> {
        let (value, params) = scan::value_and_params(scan::trim(raw));
        let seconds = scan::delta_seconds(value).ok_or(Malformed::new(
            "Session-Expires that is no number",
            scan::offset(raw, value),
        ))?;
        Ok(SessionExpires { raw, seconds, params })
    }

    /// `;refresher=`, `uac` or `uas`, as it is written.
    pub fn refresher(&self) -> Option<&'a [u8]> {
        self.params.value("refresher")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds() {
        assert_eq!(Expires::parse(b" 3600 "), Ok(Expires(3600)));
        assert_eq!(Expires::parse(b"99999999999"), Ok(Expires(u32::MAX)));
        assert_eq!(Expires::parse(b"60;x=1"), Ok(Expires(60)));
        assert_eq!(Expires::parse(b" -1").unwrap_err().at, 1);
        assert!(Expires::parse(b"").is_err());
        let timer = SessionExpires::parse(b"1800 ; refresher=uas").unwrap();
        assert_eq!((timer.seconds, timer.refresher()), (1800, Some(&b"uas"[..])));
        assert!(SessionExpires::parse(b";refresher=uas").is_err());
    }

    #[test]
    fn hops() {
        assert_eq!(MaxForwards::parse(b"  0068 "), Ok(MaxForwards(68)));
        assert!(MaxForwards::parse(b"-1").is_err() && MaxForwards::parse(b"4294967296").is_err());
    }

    #[test]
    fn retry_after() {
        let full = RetryAfter::parse(b" 120 (I'm (in) a meeting) ;duration=3600").unwrap();
        assert_eq!((full.seconds, full.duration()), (120, Some(3600)));
        assert_eq!(full.comment, Some(&b"(I'm (in) a meeting)"[..]));
        assert_eq!(RetryAfter::parse(b"5").unwrap().comment, None);
        for (bad, at) in [("", 0), ("soon", 0), ("5 (x", 2), ("5 x", 2), ("5 (x) y", 6)] {
            assert_eq!(RetryAfter::parse(bad.as_bytes()).unwrap_err().at, at, "{bad}");
        }
    }
}
