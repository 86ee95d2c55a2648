//! The pieces of one Via hop that a proxy changes, and where the tag of a To header is.

use crate::{
    Message, Span,
    span::offset,
    via_hops::{position, trim},
};

/// Where the pieces of a Via hop are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ViaParts {
    /// The host, an IPv6 reference with its brackets.
    pub host: Span,
    /// The offset behind host and port, where parameters begin.
    pub sent_by_end: u32,
    /// The value of `received`, empty behind the name where it has none.
    pub received: Option<Param>,
    /// The value of `rport`, empty behind the name where it has none.
    pub rport: Option<Param>,
    /// The offset behind the last parameter.
    pub end: u32,
}

/// One parameter: `name` or `name=value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    pub name: Span,
    /// `None` without an equals sign.
    pub value: Option<Span>,
}

impl ViaParts {
    /// Of the topmost hop of a message.
    pub fn top(message: &Message) -> Option<ViaParts> {
        let hop = message.vias().next()?;
        ViaParts::parse(message.buffer(), hop.span)
    }

    /// Reads `SIP / 2.0 / UDP host : port ; parameters`; `None` where it is not that.
    pub fn parse(buffer: &[u8], hop: Span) -> Option<ViaParts> {
        let sent_by = after_protocol(buffer, hop)?;
        let (sent_by, params) = match find(buffer, sent_by, b';') {
            Some(at) => (
                Span::new(sent_by.start(), at),
                Some(Span::new(at.saturating_add(1), sent_by.end())),
            ),
            None => (sent_by, None),
        };
        let sent_by = trim(buffer, sent_by);
        let host = host(buffer, sent_by)?;
        let mut parts = ViaParts {
            host,
            sent_by_end: sent_by.end(),
            received: None,
            rport: None,
            end: hop.end(),
        };
        for param in params.into_iter().flat_map(|params| Params {
            buffer,
            rest: Some(params),
        }) {
            let name = param.name.of_bytes(buffer);
            if name.eq_ignore_ascii_case(b"received") && parts.received.is_none() {
                parts.received = Some(param);
            } else if name.eq_ignore_ascii_case(b"rport") && parts.rport.is_none() {
                parts.rport = Some(param);
            }
        }
        Some(parts)
    }
}

/// What stands behind `SIP/2.0/UDP` and white space.
fn after_protocol(buffer: &[u8], hop: Span) -> Option<Span> {
    let name_end = find(buffer, hop, b'/')?;
    let rest = Span::new(name_end.saturating_add(1), hop.end());
    let version_end = find(buffer, rest, b'/')?;
    let name = trim(buffer, Span::new(hop.start(), name_end));
    if !name.of_bytes(buffer).eq_ignore_ascii_case(b"SIP") {
        return None;
    }
    let rest = trim(buffer, Span::new(version_end.saturating_add(1), hop.end()));
    let transport = rest.of_bytes(buffer).iter().position(u8::is_ascii_whitespace)?;
    if transport == 0 {
        return None;
    }
    Some(trim(
        buffer,
        Span::new(rest.start().saturating_add(offset(transport)), rest.end()),
    ))
}

/// The host of `host[:port]`; `None` where the host is empty or the port no number.
fn host(buffer: &[u8], sent_by: Span) -> Option<Span> {
    let bytes = sent_by.of_bytes(buffer);
    let length = match bytes.first()? {
        b'[' => bytes.iter().position(|byte| *byte == b']')?.saturating_add(1),
        _ => bytes
            .iter()
            .position(|byte| *byte == b':' || byte.is_ascii_whitespace())
            .unwrap_or(bytes.len()),
    };
    let (host, rest) = bytes.split_at_checked(length)?;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._[]:%".contains(byte);
    if host.is_empty() || !host.iter().all(plain) {
        return None;
    }
    let rest = rest.trim_ascii();
    if let Some(port) = rest.strip_prefix(b":") {
        crate::parse::decimal(port.trim_ascii()).and_then(|port| u16::try_from(port).ok())?;
    } else if !rest.is_empty() {
        return None;
    }
    Some(Span::new(
        sent_by.start(),
        sent_by.start().saturating_add(offset(length)),
    ))
}

/// Iterator over parameters divided by semicolons; empty ones are left out.
struct Params<'a> {
    buffer: &'a [u8],
    rest: Option<Span>,
}

impl Iterator for Params<'_> {
    type Item = Param;

    fn next(&mut self) -> Option<Param> {
        loop {
            let rest = self.rest.take()?;
            let end = find(self.buffer, rest, b';');
            self.rest = end.map(|end| Span::new(end.saturating_add(1), rest.end()));
            let whole = trim(self.buffer, Span::new(rest.start(), end.unwrap_or(rest.end())));
            if !whole.is_empty() {
                return Some(param(self.buffer, whole));
            }
        }
    }
}

fn param(buffer: &[u8], whole: Span) -> Param {
    match find(buffer, whole, b'=') {
        Some(at) => Param {
            name: trim(buffer, Span::new(whole.start(), at)),
            value: Some(trim(buffer, Span::new(at.saturating_add(1), whole.end()))),
        },
        None => Param {
            name: whole,
            value: None,
        },
    }
}

/// The offset of the first `wanted` in `span` outside of quoted strings.
fn find(buffer: &[u8], span: Span, wanted: u8) -> Option<u32> {
    position(span.of_bytes(buffer), wanted).map(|at| span.start().saturating_add(offset(at)))
}

/// What a To header says about its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToTag {
    /// There is none: one goes to the end of the value.
    None,
    /// There is one without a value (`;tag=` or `;tag`).
    Empty(Param),
    /// There is one.
    Some,
}

/// Finds the tag in the value of a To header, whether a name-addr or a bare URI.
pub(crate) fn to_tag(buffer: &[u8], value: Span) -> ToTag {
    let start = match find(buffer, value, b'<') {
        Some(open) => find(buffer, Span::new(open, value.end()), b'>'),
        None => Some(value.start()),
    };
    let params = start.and_then(|start| {
        let rest = Span::new(start, value.end());
        find(buffer, rest, b';').map(|at| Span::new(at.saturating_add(1), value.end()))
    });
    let mut params = params.into_iter().flat_map(|rest| Params {
        buffer,
        rest: Some(rest),
    });
    match params.find(|param| param.name.of_bytes(buffer).eq_ignore_ascii_case(b"tag")) {
        None => ToTag::None,
        Some(tag) if tag.value.is_none_or(Span::is_empty) => ToTag::Empty(tag),
        Some(_) => ToTag::Some,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(hop: &str) -> Option<(String, Option<Option<String>>)> {
        let bytes = hop.as_bytes();
        let found = ViaParts::parse(bytes, Span::of(0, bytes.len()))?;
        let text = |span: Span| String::from_utf8_lossy(span.of_bytes(bytes)).into_owned();
        Some((text(found.host), found.rport.map(|rport| rport.value.map(text))))
    }

    #[test]
    fn a_hop_is_taken_apart_with_space_everywhere() {
        assert_eq!(parts("SIP/2.0/UDP host"), Some(("host".into(), None)));
        assert_eq!(
            parts("SIP / 2.0\r\n / UDP  [2001:db8::1] : 5060 ; rport = 7"),
            Some(("[2001:db8::1]".into(), Some(Some("7".into()))))
        );
        assert_eq!(
            parts("SIP/2.0/UDP a.b;x=\";rport=1\";rport;rport=2"),
            Some(("a.b".into(), Some(None))),
            "a quoted name is none, and the first of two counts"
        );
    }

    #[test]
    fn what_is_no_hop_is_refused() {
        for hop in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP :]",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP a:b",
            "a b c",
        ] {
            assert_eq!(parts(hop), None, "{hop}");
        }
        assert_eq!(parts("SIP/2.0/UDP a:65536"), None);
        assert_eq!(parts("SIP/2.0/UDP [::1"), None);
    }

    #[test]
    fn tags_are_found_outside_of_the_uri_only() {
        let tag = |to: &str| to_tag(to.as_bytes(), Span::of(0, to.len()));
        assert_eq!(tag("<sip:a@b;tag=1>"), ToTag::None);
        assert_eq!(tag("sip:a@b;tag=1"), ToTag::Some);
        assert_eq!(tag("\";tag=1\" <sip:a@b>;x;TAG = 2"), ToTag::Some);
        assert!(matches!(tag("<sip:a@b>;tag="), ToTag::Empty(_)));
        assert!(matches!(tag("<sip:a@b>;tag"), ToTag::Empty(_)));
        assert_eq!(tag("\"open <sip:a@b>;tag=1"), ToTag::None);
    }
}
