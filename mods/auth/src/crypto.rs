//! What digests, nonces and keys are made of: hex, base64, HMAC (RFC 2104), keyed BLAKE2s (RFC 7693), comparison in
//! constant time.

use blake2::{
    Blake2s256, Blake2sMac256,
    digest::{KeyInit, Mac},
};
use sha2::digest::{Digest, Output, common::BlockSizeUser};

/// Appends bytes in lower-case hex.
pub(crate) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |n: u8| DIGITS.get(usize::from(n & 15)).copied().unwrap_or_default();
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}

/// The two are equal; takes as long for any two of one length.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    let differs = a.iter().zip(b).fold(0u8, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differs) == 0
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends base64 with padding (RFC 4648 section 4).
pub(crate) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let mut three = [0u8; 3];
        for (to, from) in three.iter_mut().zip(chunk) {
            *to = *from;
        }
        let [a, b, c] = three.map(u32::from);
        let group = a << 16 | b << 8 | c;
        for (at, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let digit = usize::try_from(group >> shift & 63).unwrap_or_default();
            let digit = BASE64.get(digit).copied().unwrap_or(b'=');
            out.push(if at > chunk.len() { b'=' } else { digit });
        }
    }
}

fn base64_digit(c: u8) -> Option<u32> {
    let at = match c {
        b'A'..=b'Z' => c.wrapping_sub(b'A'),
        b'a'..=b'z' => c.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => c.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(at))
}

/// Reads base64 without padding that fills `out` exactly.
pub(crate) fn read_base64(text: &[u8], out: &mut [u8]) -> Option<()> {
    let whole = text.len().is_multiple_of(4) && out.len().is_multiple_of(3);
    if !whole || text.len() / 4 != out.len() / 3 {
        return None;
    }
    for (four, three) in text.chunks_exact(4).zip(out.chunks_exact_mut(3)) {
        let mut group = 0u32;
        for c in four {
            group = group << 6 | base64_digit(*c)?;
        }
        let [_, bytes @ ..] = group.to_be_bytes();
        three.copy_from_slice(&bytes);
    }
    Some(())
}

/// A key made ready for many HMACs.
#[derive(Clone)]
pub(crate) struct HmacKey<D> {
    inner: D,
    outer: D,
}

impl<D: Digest + BlockSizeUser + Clone> HmacKey<D> {
    /// Of a key of any length.
    pub(crate) fn new(key: &[u8]) -> HmacKey<D> {
        let hashed;
        let key = if key.len() > D::block_size() {
            hashed = D::digest(key);
            &hashed[..]
        } else {
            key
        };
        let pad = |with: u8| {
            let mut block: Vec<u8> = key.iter().map(|byte| byte ^ with).collect();
            block.resize(D::block_size(), with);
            D::new_with_prefix(block)
        };
        HmacKey {
            inner: pad(0x36),
            outer: pad(0x5c),
        }
    }

    /// Of a text in pieces.
    pub(crate) fn mac(&self, pieces: &[&[u8]]) -> Output<D> {
        let mut inner = self.inner.clone();
        for piece in pieces {
            inner.update(piece);
        }
        self.outer.clone().chain_update(inner.finalize()).finalize()
    }
}

/// A key for what only this server reads again: keyed BLAKE2s, which costs a fifth of HMAC-SHA-256 where the processor
/// has no instructions for SHA.
#[derive(Clone)]
pub(crate) struct OwnKey(Blake2sMac256);

impl OwnKey {
    /// Of a secret of any length.
    pub(crate) fn new(secret: &[u8]) -> OwnKey {
        OwnKey(Blake2sMac256::new(&Blake2s256::digest(secret)))
    }

    /// Of a text in pieces.
    pub(crate) fn mac(&self, pieces: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().into()
    }
}

/// Random bytes of the system, for keys.
pub(crate) fn random_key() -> [u8; 32] {
    let mut key = [0u8; 32];
    for half in key.chunks_exact_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use md5::Md5;
    use sha1::Sha1;
    use sha2::Sha256;

    use super::*;

    #[test]
    fn hex() {
        let mut text = Vec::new();
        push_hex(&[0, 0x1f, 0xab], &mut text);
        assert_eq!(text, b"001fab");
    }

    #[test]
    fn base64_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            push_base64(plain.as_bytes(), &mut out);
            assert_eq!(out, coded.as_bytes());
        }
        let mut back = [0; 6];
        assert_eq!(read_base64(b"Zm9vYmFy", &mut back), Some(()));
        assert_eq!(&back, b"foobar");
        assert!(read_base64(b"Zm9vYm==", &mut back).is_none() && read_base64(b"Zm9v", &mut back).is_none());
    }

    #[test]
    fn hmacs_of_rfc_2202_and_4231() {
        let hex = |bytes: &[u8]| {
            let mut out = Vec::new();
            push_hex(bytes, &mut out);
            String::from_utf8(out).unwrap()
        };
        let data: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
        assert_eq!(
            hex(&HmacKey::<Md5>::new(b"Jefe").mac(data)),
            "750c783e6ab0b503eaa86e310a5db738"
        );
        assert_eq!(
            hex(&HmacKey::<Sha1>::new(b"Jefe").mac(data)),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        let long = HmacKey::<Sha256>::new(&[0xaa; 131]);
        assert_eq!(
            hex(&long.mac(&[b"Test Using Larger Than Block-Size Key - Hash Key First"])),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_mac_depends_on_the_secret_and_every_byte() {
        let key = OwnKey::new(b"secret");
        let mac = key.mac(&[b"ab", b"c"]);
        assert_eq!(mac, key.mac(&[b"abc"]));
        assert_ne!(mac, key.mac(&[b"abd"]));
        assert_ne!(mac, OwnKey::new(&[b's'; 200]).mac(&[b"abc"]));
    }

    #[test]
    fn comparison() {
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab") && same(b"", b""));
        assert_ne!(random_key(), random_key());
    }
}
