//! What the workers that read sockets look at in a message, before anyone parses it: enough to keep the order of a
//! Call-ID, and to tell who is let in last.

use std::hash::BuildHasher;

/// A first look at the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// The Call-ID; empty where none was seen.
    pub call_id: &'a [u8],
    /// A request outside of a dialog: its To has no tag.
    pub begins: bool,
}

impl<'a> Glance<'a> {
    /// Reads header lines until both are known. Folded lines and odd spellings are not worth more: what is not seen
    /// only loses its order.
    pub fn of(data: &'a [u8]) -> Glance<'a> {
        let mut glance = Glance {
            call_id: b"",
            begins: false,
        };
        let (mut seen_to, is_request) = (false, !data.starts_with(b"SIP/"));
        let mut rest = data;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, next) = rest.split_at(end);
            rest = next.get(1..).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() && !glance.call_id.is_empty() {
                break;
            }
            let Some(colon) = line.iter().take(LONGEST_NAME).position(|byte| *byte == b':') else {
                continue;
            };
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            match name.trim_ascii() {
                name if is(name, b"call-id", b"i") => glance.call_id = value,
                name if is(name, b"to", b"t") => {
                    seen_to = true;
                    glance.begins = is_request && !has_tag(value);
                }
                _ => continue,
            }
            if seen_to && !glance.call_id.is_empty() {
                break;
            }
        }
        glance
    }

    /// A hash of its Call-ID.
    pub fn call_hash(&self, hasher: &impl BuildHasher) -> Option<u64> {
        (!self.call_id.is_empty()).then(|| hasher.hash_one(self.call_id))
    }
}

/// Of the names that are looked for, with room for blanks.
const LONGEST_NAME: usize = 16;

fn is(name: &[u8], long: &[u8], short: &[u8]) -> bool {
    name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
}

fn has_tag(value: &[u8]) -> bool {
    value.split(|byte| *byte == b';').skip(1).any(|parameter| {
        let name = parameter.trim_ascii_start();
        name.get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"tag="))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_spelling() {
        let request = b"INVITE sip:b@c SIP/2.0\r\nt: <sip:b@c>\r\nCALL-id : one\r\n\r\nbody";
        let glance = Glance::of(request);
        assert_eq!((glance.call_id, glance.begins), (&b"one"[..], true));
        let within = Glance::of(b"BYE sip:b SIP/2.0\nTo: <sip:b> ;TAG=1\ni:two\n\n");
        assert_eq!((within.call_id, within.begins), (&b"two"[..], false));
        let reply = Glance::of(b"SIP/2.0 200 OK\r\nTo: <sip:b>\r\nCall-ID: three\r\n\r\n");
        assert_eq!((reply.call_id, reply.begins), (&b"three"[..], false));
    }

    #[test]
    fn garbage_has_no_order() {
        for bytes in [&b""[..], b"\r\n\r\n", b"x", b"INVITE", b":\n:\n", b"i:\n\n"] {
            assert_eq!(Glance::of(bytes).call_id, b"");
        }
    }
}
