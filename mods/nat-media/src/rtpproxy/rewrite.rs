//! A session description as it looks through the proxy.

use std::net::IpAddr;

use kahea_module::{Cx, Str};
use kahea_sip::{
    EditTag, Place, Span,
    sdp::{Line, Media, Sdp},
    view::range_in,
};

use super::answer::Relayed;

/// The priority of the candidates that `ice_candidate_priority_avp` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// None are added.
    None,
    /// Before all others.
    High,
    /// Behind all others.
    Low,
}

/// A change of the text: what leaves, by its place, and what comes in.
#[derive(Debug, PartialEq)]
struct Change {
    start: usize,
    end: usize,
    new: String,
}

/// One stream and where the proxy takes it.
pub struct Stream {
    pub relayed: Relayed,
    /// Its description held it with the address 0.0.0.0, and goes on to.
    pub held: bool,
}

/// Puts the proxy's addresses and ports into the description at `place`, and the mark behind it.
pub fn apply(cx: &mut Cx, place: Span, streams: &[Stream], candidates: Candidates, mark: &Str) {
    let Some(sdp) = crate::body::read(&cx.msg, place) else {
        return;
    };
    let text = cx.msg.bytes(place);
    let spans: Vec<(Span, Str)> = changes(text, &sdp, streams, candidates)
        .into_iter()
        .filter_map(|change| {
            let piece = text.get(change.start..change.end)?;
            Some((Span::within(cx.msg.buffer(), piece)?, Str::from(change.new)))
        })
        .collect();
    drop(sdp);
    for (span, new) in spans {
        match span.is_empty() {
            true => cx.edits.insert(span.start(), Place::After, new, EditTag::Body),
            false => cx.edits.replace(span, new, EditTag::Body),
        };
    }
    if !mark.is_empty() {
        crate::body::append_line(cx, place, mark);
    }
}

fn changes(text: &[u8], sdp: &Sdp<'_>, streams: &[Stream], candidates: Candidates) -> Vec<Change> {
    let mut out = Vec::new();
    let first = streams.first();
    for kind in [b'o', b'c'] {
        let line = sdp.session_lines().of(kind);
        out.extend(
            line.zip(first)
                .and_then(|(line, stream)| address(text, line, stream)),
        );
    }
    for (media, stream) in sdp.media().zip(streams) {
        stream_changes(text, &media, stream, candidates, &mut out);
    }
    out
}

fn stream_changes(
    text: &[u8],
    media: &Media<'_>,
    stream: &Stream,
    candidates: Candidates,
    out: &mut Vec<Change>,
) {
    let port = stream.relayed.port;
    if media.port != Some(0) {
        out.extend(ports(text, media, port));
    }
    if let Some(connection) = media.own_connection() {
        out.extend(address(text, connection.line, stream));
    }
    if let Some(rtcp) = media.rtcp() {
        let new = format!("a=rtcp:{}", port.saturating_add(1));
        out.extend(replace(text, rtcp.line.text, new));
    }
    let priority = match candidates {
        Candidates::None => return,
        Candidates::High => 130,
        Candidates::Low => 0,
    };
    if let Some(candidate) = media.candidates().next() {
        let at = range_in(text, candidate.line.whole).map(|range| range.end);
        out.extend(at.map(|at| Change {
            start: at,
            end: at,
            new: relay_candidates(&stream.relayed, priority),
        }));
    }
}

/// The port with its count.
fn ports(text: &[u8], media: &Media<'_>, port: u16) -> Option<Change> {
    let start = range_in(text, media.port_text)?.start;
    let rest = text.get(start..)?;
    let length = rest.iter().position(|byte| byte.is_ascii_whitespace())?;
    Some(Change {
        start,
        end: start.checked_add(length)?,
        new: port.to_string(),
    })
}

fn replace(text: &[u8], piece: &[u8], new: String) -> Option<Change> {
    let range = range_in(text, piece)?;
    Some(Change {
        start: range.start,
        end: range.end,
        new,
    })
}

/// The address type and the address of an `o=` or `c=` line.
fn address(text: &[u8], line: Line<'_>, stream: &Stream) -> Option<Change> {
    let mut words = line
        .text
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let kind = words.find(|word| matches!(*word, b"IP4" | b"IP6"))?;
    let old = words.next()?;
    let new = match (stream.held, stream.relayed.address) {
        (true, _) => "IP4 0.0.0.0".to_owned(),
        (false, IpAddr::V4(ip)) => format!("IP4 {ip}"),
        (false, IpAddr::V6(ip)) => format!("IP6 {ip}"),
    };
    Some(Change {
        start: range_in(text, kind)?.start,
        end: range_in(text, old)?.end,
        new,
    })
}

/// RFC 8839 section 5.1, with the priorities of RFC 8445 section 5.1.2.1; the second component (RTCP) first, as
/// Kamailio has it.
fn relay_candidates(relayed: &Relayed, type_preference: u32) -> String {
    let foundation: String = relayed
        .address
        .to_string()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let line = |component: u16| {
        let priority = (type_preference << 24) | (65_535 << 8) | 256_u32.saturating_sub(component.into());
        format!(
            "a=candidate:{foundation} {component} UDP {priority} {} {} typ relay\r\n",
            relayed.address,
            relayed.port.saturating_add(component).saturating_sub(1)
        )
    };
    line(2) + &line(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, address: &str, held: bool, candidates: Candidates) -> String {
        let sdp = Sdp::parse(text.as_bytes()).unwrap();
        let streams: Vec<Stream> = (0..sdp.media().len())
            .map(|n| Stream {
                relayed: Relayed {
                    port: 35_000 + n as u16 * 2,
                    address: address.parse().unwrap(),
                },
                held,
            })
            .collect();
        let mut out = text.to_owned();
        let mut all = changes(text.as_bytes(), &sdp, &streams, candidates);
        all.sort_by_key(|change| std::cmp::Reverse(change.start));
        for change in all {
            out.replace_range(change.start..change.end, &change.new);
        }
        out
    }

    #[test]
    fn addresses_and_ports_change_and_the_rest_stays() {
        let text = "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000/2 RTP/AVP 0\r\nc=IN IP4 10.0.0.2/127\r\na=rtcp:4001 IN IP4 10.0.0.1\r\nm=video 0 RTP/AVP 96\r\n";
        assert_eq!(
            run(text, "192.0.2.9", false, Candidates::None),
            "v=0\r\no=a 1 1 IN IP4 192.0.2.9\r\nc=IN IP4 192.0.2.9\r\nm=audio 35000 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\na=rtcp:35001\r\nm=video 0 RTP/AVP 96\r\n"
        );
        assert!(run(text, "2001:db8::1", false, Candidates::None).contains("c=IN IP6 2001:db8::1\r\n"));
        assert!(run(text, "192.0.2.9", true, Candidates::None).contains("c=IN IP4 0.0.0.0\r\n"));
    }

    #[test]
    fn candidates_come_behind_the_first() {
        let text = "v=0\r\nm=audio 4000 RTP/AVP 0\r\na=candidate:1 1 UDP 5 10.0.0.1 4000 typ host\r\na=x\r\n";
        let out = run(text, "127.0.0.1", false, Candidates::High);
        assert!(out.ends_with(
            "typ host\r\na=candidate:127001 2 UDP 2197815294 127.0.0.1 35001 typ relay\r\na=candidate:127001 1 UDP 2197815295 127.0.0.1 35000 typ relay\r\na=x\r\n"
        ), "{out}");
        assert!(run(text, "127.0.0.1", false, Candidates::Low).contains("UDP 16777215 "));
    }
}
