//! Attributes, `a=name[:value]` (RFC 8866 5.13 and 6), with those that a proxy looks into.

use super::line::{Line, word};
use crate::view::scan;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The name; compare without regard to case.
    pub name: &'a [u8],
    /// What follows the colon; `None` for a flag.
    pub value: Option<&'a [u8]>,
}

impl<'a> Attribute<'a> {
    /// The attribute that `line` states; `None` for a line of another kind.
    pub(super) fn new(line: Line<'a>) -> Option<Attribute<'a>> {
        let (name, value) = scan::split_once(line.value, b':');
        (line.kind == Some(b'a')).then_some(Attribute {
            line,
            name: scan::trim(name),
            value,
        })
    }

    /// It is called `name`, in any case.
    pub fn is(&self, name: impl AsRef<[u8]>) -> bool {
        self.name.eq_ignore_ascii_case(name.as_ref())
    }

    /// The value of the attribute called `name`.
    fn value_of(&self, name: &str) -> Option<&'a [u8]> {
        self.value.filter(|_| self.is(name))
    }
}

/// Who sends media (RFC 8866 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both; also where nothing is stated.
    #[default]
    SendRecv,
    /// The one who describes.
    SendOnly,
    /// Its peer.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// By attribute name, in any case.
    pub fn parse(name: &[u8]) -> Option<Direction> {
        use Direction::*;
        [SendRecv, SendOnly, RecvOnly, Inactive]
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.name().as_bytes()))
    }

    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// It puts the peer on hold (RFC 3264 8.4).
    pub const fn holds(self) -> bool {
        matches!(self, Direction::SendOnly | Direction::Inactive)
    }
}

/// `a=rtpmap:96 opus/48000/2` (RFC 8866 6.6). Fields that are missing are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtpmap<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The payload type as it is written.
    pub format: &'a [u8],
    /// The codec's name; compare without regard to case.
    pub codec: &'a [u8],
    /// The clock rate in hertz.
    pub clock: Option<u32>,
    /// The channels.
    pub channels: Option<u32>,
}

impl<'a> Rtpmap<'a> {
    /// Reads the attribute; `None` for another one.
    pub fn new(attribute: &Attribute<'a>) -> Option<Rtpmap<'a>> {
        let mut rest = attribute.value_of("rtpmap")?;
        let (format, encoding) = (word(&mut rest), scan::trim(rest));
        let (codec, rest) = scan::split_once(encoding, b'/');
        let (clock, channels) = scan::split_once(rest.unwrap_or_default(), b'/');
        let channels = scan::number(scan::trim(channels.unwrap_or_default()));
        Some(Rtpmap {
            line: attribute.line,
            format,
            codec,
            clock: scan::number(scan::trim(clock)),
            channels,
        })
    }
}

/// `a=fmtp:96 useinbandfec=1` (RFC 8866 6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fmtp<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The format that it is about.
    pub format: &'a [u8],
    /// Its parameters, in whatever syntax the format has.
    pub params: &'a [u8],
}

impl<'a> Fmtp<'a> {
    /// Reads the attribute; `None` for another one.
    pub fn new(attribute: &Attribute<'a>) -> Option<Fmtp<'a>> {
        let mut rest = attribute.value_of("fmtp")?;
        Some(Fmtp {
            line: attribute.line,
            format: word(&mut rest),
            params: scan::trim(rest),
        })
    }
}

/// `a=rtcp:53020 IN IP4 126.16.64.4` (RFC 3605).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The port.
    pub port: Option<u16>,
    /// The address, where it differs from that of the media.
    pub address: Option<&'a [u8]>,
}

impl<'a> Rtcp<'a> {
    /// Reads the attribute; `None` for another one.
    pub fn new(attribute: &Attribute<'a>) -> Option<Rtcp<'a>> {
        let mut rest = attribute.value_of("rtcp")?;
        let port = scan::number(word(&mut rest));
        let (_net_type, _address_type, address) = (word(&mut rest), word(&mut rest), word(&mut rest));
        Some(Rtcp {
            line: attribute.line,
            port,
            address: Some(address).filter(|text| !text.is_empty()),
        })
    }
}

/// `a=candidate:…` of ICE (RFC 8839 5.1). Fields that are missing are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The line.
    pub line: Line<'a>,
    /// The foundation.
    pub foundation: &'a [u8],
    /// 1 for RTP, 2 for RTCP.
    pub component: Option<u16>,
    /// `UDP`, `TCP` or another.
    pub transport: &'a [u8],
    /// The priority.
    pub priority: Option<u32>,
    /// The address or name.
    pub address: &'a [u8],
    /// The port.
    pub port: Option<u16>,
    /// `host`, `srflx`, `prflx` or `relay`.
    pub kind: &'a [u8],
    /// Pairs of name and value after the type, such as `raddr 10.0.0.1`.
    pub extensions: &'a [u8],
}

impl<'a> Candidate<'a> {
    /// Reads the attribute; `None` for another one.
    pub fn new(attribute: &Attribute<'a>) -> Option<Candidate<'a>> {
        let mut rest = attribute.value_of("candidate")?;
        let mut word = || word(&mut rest);
        let (foundation, component, transport, priority) = (word(), word(), word(), word());
        let (address, port, _typ, kind) = (word(), word(), word(), word());
        Some(Candidate {
            line: attribute.line,
            foundation,
            component: scan::number(component),
            transport,
            priority: scan::number(priority),
            address,
            port: scan::number(port),
            kind,
            extensions: scan::trim(rest),
        })
    }

    /// The value that follows the extension `name`.
    pub fn extension(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.extensions;
        loop {
            let (known, value) = (word(&mut rest), word(&mut rest));
            if known.is_empty() || value.is_empty() {
                return None;
            }
            if known.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lines;
    use super::*;

    fn attribute(text: &str) -> Attribute<'_> {
        Attribute::new(Lines::new(text.as_bytes()).next().unwrap()).unwrap()
    }

    #[test]
    fn names_and_values() {
        assert_eq!(attribute("a=rtcp-mux").value, None);
        assert_eq!(attribute("a=X-y:a:b").value, Some(&b"a:b"[..]));
        assert!(attribute("a=X-y:").is("x-Y") && attribute("a=").name.is_empty());
        assert_eq!(Attribute::new(Lines::new(b"b=AS:1").next().unwrap()), None);
        for direction in [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ] {
            assert_eq!(
                Direction::parse(direction.name().to_uppercase().as_bytes()),
                Some(direction)
            );
        }
    }

    #[test]
    fn odd_values() {
        let map = Rtpmap::new(&attribute("a=rtpmap: 8  PCMA")).unwrap();
        assert_eq!(
            (map.format, map.codec, map.clock),
            (&b"8"[..], &b"PCMA"[..], None)
        );
        assert_eq!(Rtpmap::new(&attribute("a=rtpmap")), None);
        assert_eq!(Fmtp::new(&attribute("a=fmtp:")).unwrap().format, b"");
        assert_eq!(Rtcp::new(&attribute("a=rtcp:70000")).unwrap().port, None);
        let candidate =
            Candidate::new(&attribute("a=candidate:1 1 tcp x y.local 9 typ host tcptype")).unwrap();
        assert_eq!(
            (candidate.priority, candidate.kind, candidate.extension("tcptype")),
            (None, &b"host"[..], None)
        );
    }
}
