//! Lines of a session description and the ones with fields: `o=`, `c=`, `b=` (RFC 8866 5).

use std::net::IpAddr;

use super::{Attribute, Direction};
use crate::view::scan;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line with its line end: what an edit removes.
    pub whole: &'a [u8],
    /// The line without its line end.
    pub text: &'a [u8],
    /// The letter before `=`; `None` for a line that is not of that form.
    pub kind: Option<u8>,
    /// What follows the `=`; the text of a line that has none.
    pub value: &'a [u8],
}

/// Walks lines that end in CRLF or LF; the last one may end without.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The lines of `text`.
    pub const fn new(text: &'a [u8]) -> Lines<'a> {
        Lines { rest: text }
    }

    /// The next line of the given kind.
    pub fn of(mut self, kind: u8) -> Option<Line<'a>> {
        self.find(|line| line.kind == Some(kind))
    }

    /// The attributes among the lines.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        self.filter_map(Attribute::new)
    }

    /// The next attribute called `name`, in any case.
    pub fn attribute(self, name: impl AsRef<[u8]>) -> Option<Attribute<'a>> {
        self.attributes().find(|attribute| attribute.is(name.as_ref()))
    }

    /// The direction that the lines state.
    pub fn direction(self) -> Option<Direction> {
        self.attributes()
            .find_map(|attribute| Direction::parse(attribute.name))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
        let whole = scan::before(self.rest, end);
        self.rest = scan::after(self.rest, end);
        let text = whole.strip_suffix(b"\n").unwrap_or(whole);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let (kind, value) = match text {
            [kind, b'=', value @ ..] => (Some(*kind), value),
            _ => (None, text),
        };
        Some(Line {
            whole,
            text,
            kind,
            value,
        })
    }
}

/// Takes the next word of `rest`; an empty piece at its end where there is none.
pub(super) fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = scan::trim_start(rest);
    let end = text.iter().position(|b| scan::is_lws(*b)).unwrap_or(text.len());
    *rest = scan::after(text, end);
    scan::before(text, end)
}

/// `o=`: who made the session. Fields that are missing are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The user, `-` for none.
    pub username: &'a [u8],
    /// The session id.
    pub id: &'a [u8],
    /// The session version, a number that grows with every change.
    pub version: &'a [u8],
    /// `IN`
    pub net_type: &'a [u8],
    /// `IP4` or `IP6`
    pub address_type: &'a [u8],
    /// The host that made the session.
    pub address: &'a [u8],
}

impl<'a> Origin<'a> {
    pub(super) fn new(line: Line<'a>) -> Origin<'a> {
        let mut rest = line.value;
        let mut word = || word(&mut rest);
        Origin {
            line,
            username: word(),
            id: word(),
            version: word(),
            net_type: word(),
            address_type: word(),
            address: word(),
        }
    }
}

/// `c=`: where media go. Fields that are missing are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection<'a> {
    /// The line.
    pub line: Line<'a>,
    /// `IN`
    pub net_type: &'a [u8],
    /// `IP4` or `IP6`
    pub address_type: &'a [u8],
    /// The address or host, without what follows a `/`.
    pub address: &'a [u8],
    /// TTL and number of addresses of a multicast address, without the first `/`.
    pub suffix: &'a [u8],
}

impl<'a> Connection<'a> {
    pub(super) fn new(line: Line<'a>) -> Connection<'a> {
        let mut rest = line.value;
        let (net_type, address_type, place) = (word(&mut rest), word(&mut rest), word(&mut rest));
        let (address, suffix) = scan::split_once(place, b'/');
        let suffix = suffix.unwrap_or(scan::after(place, place.len()));
        Connection {
            line,
            net_type,
            address_type,
            address,
            suffix,
        }
    }

    /// The address, where it is none of a host by name.
    pub fn ip(&self) -> Option<IpAddr> {
        std::str::from_utf8(self.address).ok()?.parse().ok()
    }

    /// 4 or 6 by the address type; `None` for another.
    pub fn family(&self) -> Option<u8> {
        match self.address_type {
            kind if kind.eq_ignore_ascii_case(b"IP4") => Some(4),
            kind if kind.eq_ignore_ascii_case(b"IP6") => Some(6),
            _ => None,
        }
    }

    /// `0.0.0.0` or `::`: hold as RFC 2543 had it (RFC 3264 8.4), or an address that is not known yet.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }
}

/// `b=`: a bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth<'a> {
    /// The line.
    pub line: Line<'a>,
    /// `AS`, `CT`, `TIAS` or another.
    pub kind: &'a [u8],
    /// Kilobits per second, bits for `TIAS`; `None` where it is no number.
    pub number: Option<u64>,
}

impl<'a> Bandwidth<'a> {
    /// The bandwidth that `line` states; `None` for a line of another kind.
    pub(super) fn new(line: Line<'a>) -> Option<Bandwidth<'a>> {
        let (kind, number) = scan::split_once(line.value, b':');
        let number = scan::decimal(scan::trim(number.unwrap_or_default()));
        (line.kind == Some(b'b')).then_some(Bandwidth { line, kind, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds() {
        let lines: Vec<_> = Lines::new(b"v=0\r\n\r\nx\ny=\rz\n=\na=")
            .map(|l| (l.kind, l.value))
            .collect();
        assert_eq!(
            lines,
            [
                (Some(b'v'), &b"0"[..]),
                (None, b""),
                (None, b"x"),
                (Some(b'y'), b"\rz"),
                (None, b"="),
                (Some(b'a'), b"")
            ]
        );
    }

    #[test]
    fn fields_that_are_missing_are_empty() {
        let connection = Connection::new(Lines::new(b"c=IN  IP6").next().unwrap());
        assert_eq!(
            (connection.family(), connection.address, connection.ip()),
            (Some(6), &b""[..], None)
        );
        let origin = Origin::new(Lines::new(b"o=- 1").next().unwrap());
        assert_eq!((origin.id, origin.version), (&b"1"[..], &b""[..]));
    }
}
