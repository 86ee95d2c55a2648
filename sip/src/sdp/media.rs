//! Media sections, `m=` and the lines that follow it (RFC 8866 5.14).

use super::{
    Attribute, Bandwidth, Candidate, Codec, Connection, Defaults, Direction, Fmtp, Line, Lines, Rtcp, Rtpmap,
    StaticPayload, line::word, static_payload,
};
use crate::view::scan;

/// One media section. Fields of `m=` that are missing are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// The whole section: `m=` and all lines up to the next `m=`.
    pub raw: &'a [u8],
    /// The `m=` line.
    pub line: Line<'a>,
    /// `audio`, `video`, `application`, `image`, …
    pub kind: &'a [u8],
    /// The port; 0 for a stream that is refused or ended; `None` where it is no port.
    pub port: Option<u16>,
    /// The port as it is written, without the count.
    pub port_text: &'a [u8],
    /// How many ports, where it is stated (`49170/2`).
    pub port_count: Option<u32>,
    /// The transport, such as `RTP/AVP`.
    pub proto: &'a [u8],
    /// The formats as they are written.
    pub formats: &'a [u8],
    /// What the session level says where the section says nothing.
    defaults: Defaults<'a>,
}

impl<'a> Media<'a> {
    pub(super) fn new(raw: &'a [u8], defaults: Defaults<'a>) -> Media<'a> {
        let empty = scan::before(raw, 0);
        let line = Lines::new(raw).next().unwrap_or(Line {
            whole: empty,
            text: empty,
            kind: None,
            value: empty,
        });
        let mut rest = line.value;
        let (kind, ports, proto) = (word(&mut rest), word(&mut rest), word(&mut rest));
        let (port_text, count) = scan::split_once(ports, b'/');
        Media {
            raw,
            line,
            kind,
            port: scan::number(port_text),
            port_text,
            port_count: count.and_then(scan::number),
            proto,
            formats: scan::trim(rest),
            defaults,
        }
    }

    /// All lines of the section, `m=` first.
    pub const fn lines(&self) -> Lines<'a> {
        Lines::new(self.raw)
    }

    /// The formats one by one.
    pub fn formats(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.formats
            .split(|b| scan::is_lws(*b))
            .filter(|format| !format.is_empty())
    }

    /// The port is 0.
    pub fn is_disabled(&self) -> bool {
        self.port == Some(0)
    }

    /// `c=` of the section itself.
    pub fn own_connection(&self) -> Option<Connection<'a>> {
        self.lines().of(b'c').map(Connection::new)
    }

    /// `c=` of the section, else of the session.
    pub fn connection(&self) -> Option<Connection<'a>> {
        self.own_connection().or(self.defaults.connection)
    }

    /// The attributes of the section.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.lines().attributes()
    }

    /// The first attribute called `name` of the section.
    pub fn attribute(&self, name: impl AsRef<[u8]>) -> Option<Attribute<'a>> {
        self.lines().attribute(name)
    }

    /// `b=` of the section.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'a>> + use<'a> {
        self.lines().filter_map(Bandwidth::new)
    }

    /// The direction: of the section, else of the session, else `sendrecv`.
    pub fn direction(&self) -> Direction {
        self.lines()
            .direction()
            .or(self.defaults.direction)
            .unwrap_or_default()
    }

    /// The stream is in use and holds the peer: `sendonly`, `inactive`, or an address of zeros.
    pub fn is_on_hold(&self) -> bool {
        let silent = || self.direction().holds() || self.connection().is_some_and(|c| c.is_unspecified());
        !self.is_disabled() && silent()
    }

    /// `a=rtcp`
    pub fn rtcp(&self) -> Option<Rtcp<'a>> {
        self.attributes().find_map(|attribute| Rtcp::new(&attribute))
    }

    /// `a=rtcp-mux` (RFC 5761)
    pub fn has_rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some()
    }

    /// The ICE candidates.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
        self.attributes()
            .filter_map(|attribute| Candidate::new(&attribute))
    }

    /// `a=ice-ufrag` of the section, else of the session.
    pub fn ice_ufrag(&self) -> Option<&'a [u8]> {
        let own = self.attribute("ice-ufrag").and_then(|attribute| attribute.value);
        own.or(self.defaults.ice_ufrag)
    }

    /// The section offers ICE (RFC 8839).
    pub fn has_ice(&self) -> bool {
        self.attributes()
            .any(|attribute| attribute.is("candidate") || attribute.is("ice-ufrag"))
    }

    /// The transport carries RTP.
    pub fn is_rtp(&self) -> bool {
        self.proto_parts().any(is_profile)
    }

    /// The transport is SRTP (`SAVP`, `SAVPF`, with or without DTLS).
    pub fn is_secure(&self) -> bool {
        self.proto_parts()
            .any(|part| is_profile(part) && matches!(part, [b'S' | b's', ..]))
    }

    /// The profile has early feedback (`AVPF`, `SAVPF`; RFC 4585).
    pub fn has_feedback(&self) -> bool {
        self.proto_parts()
            .any(|part| is_profile(part) && matches!(part, [.., b'F' | b'f']))
    }

    fn proto_parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.proto.split(|b| *b == b'/')
    }

    /// The `a=rtpmap` of a format; the first where there are several.
    pub fn rtpmap(&self, format: &[u8]) -> Option<Rtpmap<'a>> {
        let mut maps = self.attributes().filter_map(|attribute| Rtpmap::new(&attribute));
        maps.find(|map| map.format == format)
    }

    /// The `a=fmtp` of a format; the first where there are several.
    pub fn fmtp(&self, format: &[u8]) -> Option<Fmtp<'a>> {
        let mut all = self.attributes().filter_map(|attribute| Fmtp::new(&attribute));
        all.find(|fmtp| fmtp.format == format)
    }

    /// The codecs in the order of the `m=` line.
    pub fn codecs(&self) -> Vec<Codec<'a>> {
        let encodings = Encodings::of(self);
        self.formats().map(|format| encodings.codec(format)).collect()
    }

    /// The codec of the format `format`, where the `m=` line has it.
    pub fn codec(&self, format: &[u8]) -> Option<Codec<'a>> {
        let found = self.formats().find(|known| *known == format)?;
        Some(Encodings::of(self).codec(found))
    }

    /// The first codec called `name`, in any case.
    pub fn codec_named(&self, name: impl AsRef<[u8]>) -> Option<Codec<'a>> {
        self.codecs()
            .into_iter()
            .find(|codec| codec.name.eq_ignore_ascii_case(name.as_ref()))
    }
}

fn is_profile(part: &[u8]) -> bool {
    ["AVP", "SAVP", "AVPF", "SAVPF"]
        .iter()
        .any(|name| part.eq_ignore_ascii_case(name.as_bytes()))
}

/// The payload types of RTP have seven bits.
const PAYLOAD_TYPES: usize = 128;

/// What `a=rtpmap` says about a payload type, or the static table.
#[derive(Clone, Copy)]
struct Encoding<'a> {
    name: &'a [u8],
    clock: Option<u32>,
    channels: Option<u32>,
}

/// The encodings of a section by payload type, so that many formats and many maps cost one pass.
struct Encodings<'a> {
    mapped: [Option<Encoding<'a>>; PAYLOAD_TYPES],
    rtp: bool,
}

impl<'a> Encodings<'a> {
    fn of(media: &Media<'a>) -> Encodings<'a> {
        let mut mapped = [None; PAYLOAD_TYPES];
        for map in media.attributes().filter_map(|attribute| Rtpmap::new(&attribute)) {
            if let Some(place) = scan::number(map.format).and_then(|number: usize| mapped.get_mut(number)) {
                place.get_or_insert(Encoding {
                    name: map.codec,
                    clock: map.clock,
                    channels: map.channels,
                });
            }
        }
        Encodings {
            mapped,
            rtp: media.is_rtp(),
        }
    }

    fn codec(&self, format: &'a [u8]) -> Codec<'a> {
        let number: Option<u8> = scan::number(format);
        let mapped = || number.and_then(|number| *self.mapped.get(usize::from(number))?);
        let fixed = || number.filter(|_| self.rtp).and_then(static_payload).map(fixed);
        let Encoding {
            name,
            clock,
            channels,
        } = mapped().or_else(fixed).unwrap_or(Encoding {
            name: if self.rtp {
                scan::after(format, format.len())
            } else {
                format
            },
            clock: None,
            channels: None,
        });
        Codec {
            format,
            name,
            clock,
            channels,
        }
    }
}

fn fixed(known: StaticPayload) -> Encoding<'static> {
    Encoding {
        name: known.name.as_bytes(),
        clock: Some(known.clock),
        channels: known.channels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(text: &str) -> Media<'_> {
        let mut defaults = Defaults::default();
        Lines::new(b"a=ice-ufrag:sess\nc=IN IP4 192.0.2.7\na=inactive\n")
            .for_each(|line| defaults.take(line));
        Media::new(text.as_bytes(), defaults)
    }

    #[test]
    fn the_session_says_what_the_section_leaves_out() {
        let bare = media(
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 9 77 x\na=rtpmap:111 a/1\na=rtpmap:111 b/2\na=rtpmap:300 c/3\n",
        );
        assert_eq!(
            (bare.direction(), bare.ice_ufrag()),
            (Direction::Inactive, Some(&b"sess"[..]))
        );
        assert_eq!(bare.connection().unwrap().address, b"192.0.2.7");
        assert!(bare.is_secure() && bare.has_feedback() && bare.is_on_hold() && !bare.has_ice());
        let names: Vec<_> = bare.codecs().iter().map(|codec| codec.name).collect();
        assert_eq!(names, [&b"a"[..], b"G722", b"", b""]);
    }

    #[test]
    fn odd_lines() {
        let odd = media("m=audio  70000/x  RTP/AVP ");
        assert_eq!(
            (odd.port, odd.port_text, odd.port_count),
            (None, &b"70000"[..], None)
        );
        assert_eq!((odd.proto, odd.formats), (&b"RTP/AVP"[..], &b""[..]));
        assert!(odd.is_rtp() && !odd.is_secure() && !odd.has_feedback());
        let message = media("m=message 7654 TCP/MSRP *");
        assert_eq!(message.codecs()[0].name, b"*");
        assert!(!message.is_rtp());
    }
}
