//! The masking itself: a keyed, reversible form of a text that needs no state, and that nobody without the key can make.
//!
//! A synthetic tag over the text is also where the key stream starts, so the same text always gives the same form, as
//! retransmissions and dialogs need, and a form that was not made with this key does not open.

use sha1::{Digest, Sha1};

/// What a text is; the form of one kind does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A URI of Contact or Record-Route.
    Uri,
    /// A Via hop.
    Via,
    /// A Call-ID.
    CallId,
}

/// Bytes of the tag: they become eight characters.
const TAG: usize = 6;
const BLOCK: usize = 64;
/// Kamailio's characters, all of them `token` of RFC 3261.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
/// Fills the last group of four, as Kamailio does.
const FILL: u8 = b'*';
/// Longer forms are not opened; no message is longer.
const LONGEST: usize = 64 << 10;

/// The key, ready for use.
#[derive(Clone)]
pub struct Codec {
    inner: Sha1,
    outer: Sha1,
}

impl Codec {
    /// With the secret of `mask_key`.
    pub fn new(secret: &[u8]) -> Codec {
        let key: [u8; 20] = Sha1::digest(secret).into();
        let pad = |byte: u8| {
            let mut block = [byte; BLOCK];
            for (place, key) in block.iter_mut().zip(key) {
                *place ^= key;
            }
            Sha1::new().chain_update(block)
        };
        Codec {
            inner: pad(0x36),
            outer: pad(0x5c),
        }
    }

    /// The masked form: characters of `token` only.
    pub fn seal(&self, kind: Kind, text: &[u8]) -> Vec<u8> {
        // A folded Via is one line inside.
        let mut data: Vec<u8> = text.iter().map(|byte| printable(*byte)).collect();
        let tag = self.tag(kind, &data);
        self.stream(tag, &mut data);
        encode(&[&tag[..], &data].concat())
    }

    /// The text whose masked form this is; `None` for all else.
    pub fn open(&self, kind: Kind, form: &[u8]) -> Option<Vec<u8>> {
        let bytes = decode(form)?;
        let (tag, data) = bytes.split_first_chunk::<TAG>()?;
        let mut data = data.to_vec();
        self.stream(*tag, &mut data);
        // What seal() never takes in must not come out, even where the key is known to all.
        let whole = data.iter().all(|byte| printable(*byte) == *byte);
        (whole && !data.is_empty() && self.tag(kind, &data) == *tag).then_some(data)
    }

    fn tag(&self, kind: Kind, data: &[u8]) -> [u8; TAG] {
        let mark = match kind {
            Kind::Uri => b'u',
            Kind::Via => b'v',
            Kind::CallId => b'c',
        };
        let mut tag = [0; TAG];
        for (place, byte) in tag.iter_mut().zip(self.hash(&[mark], data)) {
            *place = byte;
        }
        tag
    }

    /// Applies the key stream that begins at `tag`; twice is as never.
    fn stream(&self, tag: [u8; TAG], data: &mut [u8]) {
        for (number, block) in (0u32..).zip(data.chunks_mut(20)) {
            let stream = self.hash(&tag, &number.to_be_bytes());
            for (place, byte) in block.iter_mut().zip(stream) {
                *place ^= byte;
            }
        }
    }

    /// HMAC-SHA1 (RFC 2104) of two pieces.
    fn hash(&self, head: &[u8], data: &[u8]) -> [u8; 20] {
        let inner = self
            .inner
            .clone()
            .chain_update(head)
            .chain_update(data)
            .finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

fn printable(byte: u8) -> u8 {
    if byte < b' ' || byte == 0x7f { b' ' } else { byte }
}

/// Base 64 in Kamailio's characters.
fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let mut three = [0u8; 3];
        for (place, byte) in three.iter_mut().zip(group) {
            *place = *byte;
        }
        let [a, b, c] = three.map(usize::from);
        let four = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
        for (at, six) in four.into_iter().enumerate() {
            let character = ALPHABET.get(six).filter(|_| at <= group.len());
            out.push(character.copied().unwrap_or(FILL));
        }
    }
    out
}

fn decode(form: &[u8]) -> Option<Vec<u8>> {
    if form.len() > LONGEST || !form.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(form.len());
    let groups = form.len() / 4;
    for (at, group) in form.chunks_exact(4).enumerate() {
        let filled = group.iter().rev().take_while(|byte| **byte == FILL).count();
        if filled > 2 || (filled > 0 && at.checked_add(1) != Some(groups)) {
            return None;
        }
        let mut bits = 0u32;
        for (place, byte) in group.iter().enumerate() {
            let is_fill = place >= 4usize.saturating_sub(filled);
            let six = if is_fill { 0 } else { value(*byte)? };
            bits = bits << 6 | six;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        let kept = 3usize.saturating_sub(filled);
        let (kept, rest) = bytes.split_at_checked(kept)?;
        // One text has one form.
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

fn value(character: u8) -> Option<u32> {
    let n = u32::from(character);
    match character {
        b'A'..=b'Z' => n.checked_sub(u32::from(b'A')),
        b'a'..=b'z' => n.checked_sub(u32::from(b'a'))?.checked_add(26),
        b'0'..=b'9' => n.checked_sub(u32::from(b'0'))?.checked_add(52),
        b'.' => Some(62),
        b'-' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const URI: &[u8] = b"sip:alice@127.0.0.1:5061";

    #[test]
    fn the_form_is_a_token_of_kamailios_shape() {
        let form = Codec::new(b"a secret").seal(Kind::Uri, URI);
        // 24 bytes are 32 characters in Kamailio's form, the tag adds 8.
        assert_eq!(form.len(), 40);
        assert!(form.iter().all(|byte| ALPHABET.contains(byte) || *byte == FILL));
        assert_eq!(form, Codec::new(b"a secret").seal(Kind::Uri, URI));
    }

    #[test]
    fn only_the_same_key_and_kind_open_it() {
        let codec = Codec::new(b"a secret");
        let form = codec.seal(Kind::Uri, URI);
        assert_eq!(codec.open(Kind::Uri, &form).as_deref(), Some(URI));
        assert_eq!(codec.open(Kind::Via, &form), None);
        assert_eq!(Codec::new(b"another").open(Kind::Uri, &form), None);
    }

    #[test]
    fn a_changed_form_does_not_open() {
        let codec = Codec::new(b"a secret");
        let form = codec.seal(Kind::CallId, b"c1@case");
        for at in 0..form.len() {
            for byte in [b'A', b'-', FILL, b'@', 0, 0xff] {
                let mut other = form.clone();
                other[at] = byte;
                assert_eq!(codec.open(Kind::CallId, &other).is_some(), other == form);
            }
            assert_eq!(codec.open(Kind::CallId, &form[..at]), None);
        }
    }

    #[test]
    fn a_fold_becomes_blanks() {
        let codec = Codec::new(b"k");
        let form = codec.seal(Kind::Via, b"SIP/2.0/UDP a\r\n\t;branch=b");
        let text = codec.open(Kind::Via, &form).unwrap();
        assert_eq!(text, b"SIP/2.0/UDP a   ;branch=b");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(key in any::<Vec<u8>>(), text in "[ -~]{1,300}") {
            let codec = Codec::new(&key);
            for kind in [Kind::Uri, Kind::Via, Kind::CallId] {
                let form = codec.seal(kind, text.as_bytes());
                prop_assert_eq!(codec.open(kind, &form), Some(text.clone().into_bytes()));
            }
        }

        #[test]
        fn hostile_forms_do_not_open(form in any::<Vec<u8>>(), token in "[A-Za-z0-9.*-]{0,80}") {
            let codec = Codec::new(b"k");
            prop_assert_eq!(codec.open(Kind::Uri, &form), None);
            prop_assert_eq!(codec.open(Kind::Uri, token.as_bytes()), None);
        }
    }
}
