//! Base64 with the alphabet for URLs (RFC 4648 section 5), without padding.

const ALPHABET: [u8; 64] = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The text of `bytes`.
pub(super) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for shift in [18, 12, 6, 0].into_iter().take(chunk.len().saturating_add(1)) {
            let at = usize::try_from(word >> shift & 63).unwrap_or(0);
            out.extend(ALPHABET.get(at));
        }
    }
    out
}

/// The bytes of `text`, with or without padding; `None` where it is none.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text
        .iter()
        .rposition(|b| *b != b'=')
        .map_or(0, |at| at.saturating_add(1));
    let (text, padding) = text.split_at_checked(end)?;
    if padding.len() > 2 || text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.chunks(4) {
        let mut word = 0u32;
        for at in 0..4usize {
            let value = match chunk.get(at) {
                Some(byte) => ALPHABET.iter().position(|known| known == byte)?,
                None => 0,
            };
            word = word << 6 | u32::try_from(value).ok()?;
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        out.extend(bytes.into_iter().take(chunk.len().saturating_sub(1)));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        assert_eq!(encode(b"sip:b@c"), b"c2lwOmJAYw");
        for text in [&b""[..], b"a", b"ab", b"abc", b"\xff\xfe\xfd\xfc"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        assert_eq!(decode(b"c2lwOmJAYw==").as_deref(), Some(&b"sip:b@c"[..]));
        assert!(decode(b"a").is_none() && decode(b"a+b/").is_none() && decode(b"ab===").is_none());
    }
}
