//! Session descriptions, RFC 8866 (4566, 2327): the text stays, views find lines in it.
//!
//! [`Sdp`] knows where its sections are; everything else is found when asked for. Lines that no grammar has stay lines.

mod attribute;
mod codec;
mod line;
mod media;

use std::net::IpAddr;

use smallvec::SmallVec;

pub use self::{
    attribute::{Attribute, Candidate, Direction, Fmtp, Rtcp, Rtpmap},
    codec::{Codec, StaticPayload, static_payload, static_payloads_named},
    line::{Bandwidth, Connection, Line, Lines, Origin},
    media::Media,
};
use crate::view::{Malformed, scan};

/// A session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sdp<'a> {
    /// The whole text.
    pub raw: &'a [u8],
    /// The session level: all before the first `m=`.
    pub session: &'a [u8],
    /// The media sections, each from its `m=` up to the next or the end.
    sections: SmallVec<[&'a [u8]; 4]>,
    defaults: Defaults<'a>,
}

/// What the session level states for all media sections, found once: a text can have thousands of sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Defaults<'a> {
    connection: Option<Connection<'a>>,
    direction: Option<Direction>,
    ice_ufrag: Option<&'a [u8]>,
}

impl<'a> Defaults<'a> {
    /// Takes what `line` states, unless an earlier line did.
    fn take(&mut self, line: Line<'a>) {
        if line.kind == Some(b'c') {
            self.connection.get_or_insert_with(|| Connection::new(line));
        }
        let Some(attribute) = Attribute::new(line) else {
            return;
        };
        self.direction = self.direction.or_else(|| Direction::parse(attribute.name));
        self.ice_ufrag = self
            .ice_ufrag
            .or(attribute.value.filter(|_| attribute.is("ice-ufrag")));
    }
}

impl<'a> Sdp<'a> {
    /// Finds the sections of `raw`.
    ///
    /// # Errors
    /// No line of the form `x=…` at all.
    pub fn parse(raw: &'a [u8]) -> Result<Sdp<'a>, Malformed> {
        let mut starts: SmallVec<[usize; 4]> = SmallVec::new();
        let mut structured = false;
        let mut defaults = Defaults::default();
        for line in Lines::new(raw) {
            structured |= line.kind.is_some();
            match line.kind {
                Some(b'm') => starts.push(scan::offset(raw, line.whole)),
                Some(_) if starts.is_empty() => defaults.take(line),
                _ => {}
            }
        }
        if !structured {
            return Err(Malformed::new("session description without a line", 0));
        }
        let ends = starts.iter().skip(1).copied().chain([raw.len()]);
        let sections = starts
            .iter()
            .zip(ends)
            .map(|(start, end)| scan::cut(raw, *start, end))
            .collect();
        let session = scan::before(raw, starts.first().copied().unwrap_or(raw.len()));
        Ok(Sdp {
            raw,
            session,
            sections,
            defaults,
        })
    }

    /// All lines.
    pub const fn lines(&self) -> Lines<'a> {
        Lines::new(self.raw)
    }

    /// The lines of the session level.
    pub const fn session_lines(&self) -> Lines<'a> {
        Lines::new(self.session)
    }

    /// The media sections in order.
    pub fn media(&self) -> impl DoubleEndedIterator<Item = Media<'a>> + ExactSizeIterator {
        self.sections
            .iter()
            .map(|section| Media::new(section, self.defaults))
    }

    /// `o=`, the origin.
    pub fn origin(&self) -> Option<Origin<'a>> {
        Some(Origin::new(self.session_lines().of(b'o')?))
    }

    /// `s=`, the session's name.
    pub fn name(&self) -> Option<Line<'a>> {
        self.session_lines().of(b's')
    }

    /// `c=` of the session level.
    pub fn connection(&self) -> Option<Connection<'a>> {
        self.defaults.connection
    }

    /// The attributes of the session level.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> {
        self.session_lines().attributes()
    }

    /// The first attribute called `name` of the session level.
    pub fn attribute(&self, name: impl AsRef<[u8]>) -> Option<Attribute<'a>> {
        self.session_lines().attribute(name)
    }

    /// The direction that the session level states; `sendrecv` where it states none.
    pub fn direction(&self) -> Direction {
        self.defaults.direction.unwrap_or_default()
    }

    /// `b=` of the session level.
    pub fn bandwidths(&self) -> impl Iterator<Item = Bandwidth<'a>> {
        self.session_lines().filter_map(Bandwidth::new)
    }

    /// ICE is offered at any level (RFC 8839).
    pub fn has_ice(&self) -> bool {
        self.lines()
            .attributes()
            .any(|attribute| attribute.is("candidate") || attribute.is("ice-ufrag"))
    }

    /// A media section, or the session where there is none, is on hold: see [`Media::is_on_hold`].
    pub fn is_on_hold(&self) -> bool {
        if self.sections.is_empty() {
            return self.direction().holds() || self.connection().is_some_and(|c| c.is_unspecified());
        }
        self.media().any(|media| media.is_on_hold())
    }

    /// The first address: of the session level, else of the first media section that has one.
    pub fn address(&self) -> Option<IpAddr> {
        let lines = || self.lines().filter(|line| line.kind == Some(b'c'));
        lines().find_map(|line| Connection::new(line).ip())
    }

    /// The family of the first `c=`: 4, 6, or `None` where there is none or another.
    pub fn address_family(&self) -> Option<u8> {
        self.lines()
            .of(b'c')
            .and_then(|line| Connection::new(line).family())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::range_in;
    use proptest::prelude::*;

    const OFFER: &str = "v=0\r\no=alice 2890844526 2890844527 IN IP4 host.example\r\ns= \r\nc=IN IP4 192.0.2.1/127/3\r\nb=AS:128\r\nt=0 0\r\n\
        a=sendonly\r\nm=audio 49170/2 RTP/SAVPF 0 8 96 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:96 useinbandfec=1\r\na=rtcp:49171 IN IP4 192.0.2.9\r\na=rtcp-mux\r\na=ice-ufrag:8hhY\r\n\
        a=candidate:1 1 UDP 2130706431 192.0.2.1 49170 typ srflx raddr 10.0.0.1 rport 8998 generation 0\r\n\
        m=video 0 RTP/AVP 31\nc=IN IP6 2001:db8::1\nx=unknown\nnonsense\na=sendrecv\nm=image 4000 udptl t38";

    fn offer() -> Sdp<'static> {
        Sdp::parse(OFFER.as_bytes()).unwrap()
    }

    #[test]
    fn session_level() {
        let sdp = offer();
        let origin = sdp.origin().unwrap();
        assert_eq!(
            (origin.username, origin.version),
            (&b"alice"[..], &b"2890844527"[..])
        );
        assert_eq!(
            (origin.address_type, origin.address),
            (&b"IP4"[..], &b"host.example"[..])
        );
        let connection = sdp.connection().unwrap();
        assert_eq!(
            (connection.address, connection.suffix),
            (&b"192.0.2.1"[..], &b"127/3"[..])
        );
        assert_eq!(
            (sdp.address(), sdp.address_family()),
            (Some("192.0.2.1".parse().unwrap()), Some(4))
        );
        assert_eq!(
            (sdp.direction(), sdp.name().unwrap().value),
            (Direction::SendOnly, &b" "[..])
        );
        let band = sdp.bandwidths().next().unwrap();
        assert_eq!((band.kind, band.number), (&b"AS"[..], Some(128)));
        assert!(sdp.has_ice() && sdp.is_on_hold());
        assert_eq!((sdp.media().len(), sdp.attributes().count()), (3, 1));
    }

    #[test]
    fn media_level() {
        let media: Vec<_> = offer().media().collect();
        let audio = &media[0];
        assert_eq!(
            (audio.kind, audio.port, audio.port_count),
            (&b"audio"[..], Some(49170), Some(2))
        );
        assert_eq!(
            (audio.proto, audio.formats),
            (&b"RTP/SAVPF"[..], &b"0 8 96 101"[..])
        );
        assert_eq!(audio.connection().unwrap().address, b"192.0.2.1");
        assert!(audio.own_connection().is_none() && audio.is_on_hold() && audio.has_rtcp_mux());
        assert!(audio.is_secure() && audio.has_feedback() && audio.is_rtp() && audio.has_ice());
        let rtcp = audio.rtcp().unwrap();
        assert_eq!((rtcp.port, rtcp.address), (Some(49171), Some(&b"192.0.2.9"[..])));
        let candidate = audio.candidates().next().unwrap();
        assert_eq!(
            (candidate.foundation, candidate.component, candidate.priority),
            (&b"1"[..], Some(1), Some(2_130_706_431))
        );
        assert_eq!(
            (candidate.address, candidate.port, candidate.kind),
            (&b"192.0.2.1"[..], Some(49170), &b"srflx"[..])
        );
        assert_eq!(
            (candidate.extension("raddr"), candidate.extension("generation")),
            (Some(&b"10.0.0.1"[..]), Some(&b"0"[..]))
        );
        let video = &media[1];
        assert!(video.is_disabled() && !video.is_on_hold() && !video.has_ice());
        assert_eq!(
            (video.direction(), video.connection().unwrap().family()),
            (Direction::SendRecv, Some(6))
        );
        assert_eq!(video.lines().count(), 5);
        assert_eq!(
            (media[2].proto, media[2].formats().collect::<Vec<_>>()),
            (&b"udptl"[..], vec![&b"t38"[..]])
        );
        assert!(!media[2].is_rtp());
    }

    #[test]
    fn codecs() {
        let audio = offer().media().next().unwrap();
        let names: Vec<_> = audio
            .codecs()
            .iter()
            .map(|codec| (codec.format, codec.name, codec.clock))
            .collect();
        assert_eq!(
            names,
            [
                (&b"0"[..], &b"PCMU"[..], Some(8000)),
                (b"8", b"PCMA", Some(8000)),
                (b"96", b"opus", Some(48000)),
                (b"101", b"telephone-event", Some(8000))
            ]
        );
        assert_eq!(
            audio.codec_named("Opus").map(|codec| codec.format),
            Some(&b"96"[..])
        );
        assert_eq!(audio.codec(b"96").unwrap().channels, Some(2));
        assert_eq!(audio.fmtp(b"96").unwrap().params, b"useinbandfec=1");
        assert!(audio.codec_named("g729").is_none() && audio.codec(b"9").is_none());
        assert_eq!(
            audio.rtpmap(b"101").unwrap().line.whole,
            b"a=rtpmap:101 telephone-event/8000\r\n"
        );
    }

    #[test]
    fn hold_and_odd_texts() {
        let held = |text: &str| Sdp::parse(text.as_bytes()).unwrap().is_on_hold();
        assert!(held("v=0\nc=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP 0"));
        assert!(held("v=0\nc=IN IP6 ::\nm=audio 1 RTP/AVP 0"));
        assert!(held("m=audio 1 RTP/AVP 0\na=inactive"));
        assert!(!held("v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\na=recvonly"));
        assert!(!held(
            "v=0\nc=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP 0\nc=IN IP4 192.0.2.1\na=sendrecv"
        ));
        assert!(Sdp::parse(b"").is_err() && Sdp::parse(b"no lines\r\nhere =").is_err());
        let empty = Sdp::parse(b"m=").unwrap();
        let media = empty.media().next().unwrap();
        assert_eq!(
            (media.kind, media.port, media.formats().count()),
            (&b""[..], None, 0)
        );
        assert_eq!(
            (empty.session, empty.origin(), empty.address()),
            (&b""[..], None, None)
        );
    }

    proptest! {
        #[test]
        fn sections_and_lines_make_up_the_text(text in "([vocmabx]=[a-z0-9:/. ]{0,12}|junk|)(\r\n|\n)(([mac]=[a-z0-9:/. ]{0,12}|junk|)(\r\n|\n|)){0,8}") {
            if let Ok(sdp) = Sdp::parse(text.as_bytes()) {
                let mut again = sdp.session.to_vec();
                for media in sdp.media() {
                    again.extend_from_slice(media.raw);
                    prop_assert!(range_in(text.as_bytes(), media.formats).is_some());
                    prop_assert!(media.codecs().len() <= text.len());
                }
                prop_assert_eq!(&again[..], text.as_bytes());
                let lines: Vec<u8> = sdp.lines().flat_map(|line| line.whole).copied().collect();
                prop_assert_eq!(&lines[..], text.as_bytes());
            }
        }
    }
}
