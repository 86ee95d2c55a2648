//! `fix_nated_sdp()`: a session description as it looks from outside of the NAT.

use std::net::IpAddr;

use kahea_module::{Cx, Fault, Str};
use kahea_sip::{
    EditTag, Span,
    sdp::{Line, Lines},
};

use super::NatHelper;
use crate::body;

/// `a=direction:active` (draft-ietf-mmusic-sdp-comedia).
const DIRECTION: i64 = 1;
/// Addresses of media.
const MEDIA: i64 = 2;
/// The mark of `nortpproxy_str`.
const MARK: i64 = 4;
/// The address of the session's origin.
const ORIGIN: i64 = 8;

pub(super) fn fix_nated_sdp(
    m: &NatHelper,
    cx: &mut Cx,
    flags: i64,
    address: Option<Str>,
) -> Result<i64, Fault> {
    let place = body::find(&cx.msg).ok_or_else(|| Fault::script("the message has no session description"))?;
    let address = match address {
        Some(address) if !is_one_word(&address) => {
            return Err(Fault::script(format!(
                "'{address}' is no address for a session description"
            )));
        }
        Some(address) => address,
        None => Str::from(cx.received.source.ip().to_string()),
    };
    if flags & DIRECTION != 0 {
        add_direction(cx, place);
    }
    if flags & MARK != 0 && !m.mark.is_empty() {
        body::append_line(cx, place, &m.mark);
    }
    let changes = changes(cx.msg.bytes(place), flags, &address);
    let changed = !changes.is_empty();
    for change in changes {
        change.apply(m, cx);
    }
    Ok(if changed { 1 } else { 2 })
}

fn is_one_word(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(|byte| byte.is_ascii_whitespace() || *byte == 0)
}

/// One line behind the attributes of every media section.
fn add_direction(cx: &mut Cx, place: Span) {
    let ends: Vec<Span> = match body::read(&cx.msg, place) {
        Some(sdp) => sdp
            .media()
            .filter_map(|media| Span::within(cx.msg.buffer(), media.raw))
            .collect(),
        None => Vec::new(),
    };
    for section in ends {
        let line = Str::from_static("a=direction:active\r\n");
        body::append_line(cx, section, &line);
    }
}

/// An address that is replaced.
struct Change {
    /// The address with its type, `IP4 10.0.0.1`, in the body.
    start: usize,
    length: usize,
    new: Str,
    /// A line that keeps it.
    old: Str,
}

/// In Kamailio's order: `a=rtcp`, then `c=`, then `o=`.
fn changes(text: &[u8], flags: i64, address: &Str) -> Vec<Change> {
    let mut out = Vec::new();
    let mut of = |wanted: i64, prefix: &str| {
        if flags & wanted != 0 {
            let lines = Lines::new(text).filter(|line| line.text.starts_with(prefix.as_bytes()));
            out.extend(lines.filter_map(|line| change(text, line, address)));
        }
    };
    of(MEDIA | ORIGIN, "a=rtcp:");
    of(MEDIA, "c=");
    of(ORIGIN, "o=");
    out
}

/// The change of one line; `None` where it has no address, that of a held stream (RFC 3264 section 8.4), or this one.
fn change(text: &[u8], line: Line<'_>, address: &Str) -> Option<Change> {
    let words = line
        .text
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.collect();
    let at = words
        .iter()
        .position(|word| matches!(word.to_ascii_uppercase().as_slice(), b"IP4" | b"IP6"))?;
    let (kind, old) = (words.get(at)?, words.get(at.checked_add(1)?)?);
    let held = matches!(parsed(old), Some(ip) if ip.is_unspecified());
    if held || *old == address.as_bytes() {
        return None;
    }
    let from = kahea_sip::view::range_in(text, kind)?.start;
    let to = kahea_sip::view::range_in(text, old)?.end;
    let family = match parsed(address) {
        Some(IpAddr::V4(_)) => b"IP4",
        Some(IpAddr::V6(_)) => b"IP6",
        None => *kind,
    };
    let v6 = matches!(parsed(old), Some(IpAddr::V6(_)));
    let name: &[u8] = if v6 { b"a=oldmediaip6:" } else { b"a=oldmediaip:" };
    Some(Change {
        start: from,
        length: to.checked_sub(from)?,
        new: Str::from([family, b" ".as_slice(), address].concat()),
        old: Str::from([name, old, b"\r\n"].concat()),
    })
}

fn parsed(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

impl Change {
    fn apply(self, m: &NatHelper, cx: &mut Cx) {
        let Some(place) = body::find(&cx.msg) else { return };
        let Some(piece) = cx
            .msg
            .bytes(place)
            .get(self.start..self.start.saturating_add(self.length))
        else {
            return;
        };
        let Some(span) = Span::within(cx.msg.buffer(), piece) else {
            return;
        };
        cx.edits.replace(span, self.new, EditTag::Body);
        if m.old_address {
            body::append_line(cx, place, &self.old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na=rtcp:4001 IN IP4 10.0.0.2\r\na=rtcp:4001\r\n";

    fn new_ones(flags: i64, address: &str) -> Vec<String> {
        let all = changes(TEXT.as_bytes(), flags, &Str::from(address));
        all.iter().map(|change| change.new.to_string()).collect()
    }

    #[test]
    fn each_flag_has_its_lines_and_held_streams_stay() {
        assert_eq!(new_ones(MEDIA, "192.0.2.1").len(), 2);
        assert_eq!(new_ones(ORIGIN, "192.0.2.1").len(), 2, "a=rtcp too");
        assert_eq!(new_ones(MEDIA | ORIGIN, "192.0.2.1").len(), 3);
        assert_eq!(new_ones(DIRECTION | MARK, "192.0.2.1").len(), 0);
        assert_eq!(
            new_ones(MEDIA, "10.0.0.1"),
            ["IP4 10.0.0.1"],
            "one is the same already"
        );
    }

    #[test]
    fn the_family_follows_the_address() {
        assert_eq!(
            new_ones(ORIGIN, "2001:db8::1"),
            ["IP6 2001:db8::1", "IP6 2001:db8::1"]
        );
        assert_eq!(
            new_ones(ORIGIN, "media.example"),
            ["IP4 media.example", "IP4 media.example"]
        );
        let old = changes(b"c=IN IP6 2001:db8::1\r\n", MEDIA, &Str::from("192.0.2.1"));
        assert_eq!(old[0].old, "a=oldmediaip6:2001:db8::1\r\n");
    }
}
