//! The hashes of digest authentication (RFC 2617, 7616, 8760): HA1, HA2, response and rspauth, without allocation.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512, Sha512_256};

use crate::crypto;

/// A hash algorithm of digest authentication that this server computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5` (RFC 2617).
    #[default]
    Md5,
    /// `SHA-256` (RFC 8760).
    Sha256,
    /// `SHA-512-256` (RFC 8760).
    Sha512_256,
    /// `SHA-512`, which Kamailio 6 knows beside those of the RFC.
    Sha512,
}

impl Algorithm {
    const NAMED: [(&'static str, Algorithm); 4] = [
        ("MD5", Algorithm::Md5),
        ("SHA-256", Algorithm::Sha256),
        ("SHA-512-256", Algorithm::Sha512_256),
        ("SHA-512", Algorithm::Sha512),
    ];

    /// By its name in any case.
    pub fn parse(name: &[u8]) -> Option<Algorithm> {
        let known = Self::NAMED.into_iter();
        let mut known = known.filter(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        known.next().map(|(_, algorithm)| algorithm)
    }

    /// As challenges name it.
    pub fn name(self) -> &'static str {
        let known = Self::NAMED.into_iter().find(|(_, known)| *known == self);
        known.map_or("", |(name, _)| name)
    }

    /// The number of hex digits of its hashes.
    pub const fn hex_len(self) -> usize {
        match self {
            Algorithm::Md5 => 32,
            Algorithm::Sha256 | Algorithm::Sha512_256 => 64,
            Algorithm::Sha512 => 128,
        }
    }

    /// The hash of pieces joined by colons, in lower-case hex.
    pub fn hash(self, pieces: &[&[u8]]) -> Hex {
        match self {
            Algorithm::Md5 => joined::<Md5>(pieces),
            Algorithm::Sha256 => joined::<Sha256>(pieces),
            Algorithm::Sha512_256 => joined::<Sha512_256>(pieces),
            Algorithm::Sha512 => joined::<Sha512>(pieces),
        }
    }
}

fn joined<D: Digest>(pieces: &[&[u8]]) -> Hex {
    let mut hash = D::new();
    for (at, piece) in pieces.iter().enumerate() {
        if at > 0 {
            hash.update(b":");
        }
        hash.update(piece);
    }
    Hex::of(&hash.finalize())
}

/// A hash in lower-case hex: it enters further hashes in this form.
#[derive(Clone, Copy)]
pub struct Hex {
    digits: [u8; 128],
    len: u8,
}

impl Hex {
    fn of(bytes: &[u8]) -> Hex {
        let mut hex = Hex {
            digits: [0; 128],
            len: 0,
        };
        for (pair, byte) in hex.digits.chunks_exact_mut(2).zip(bytes) {
            let digit = |n: u8| {
                if n < 10 {
                    b'0'.wrapping_add(n)
                } else {
                    b'a'.wrapping_sub(10).wrapping_add(n)
                }
            };
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            hex.len = hex.len.saturating_add(2);
        }
        hex
    }

    /// Hex of either case as it stands in a script or a database; `None` where it is longer than any hash.
    pub fn read(text: &[u8]) -> Option<Hex> {
        let mut hex = Hex {
            digits: [0; 128],
            len: u8::try_from(text.len()).ok()?,
        };
        let place = hex.digits.get_mut(..text.len())?;
        place.copy_from_slice(text);
        place.make_ascii_lowercase();
        Some(hex)
    }

    /// The digits.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hex({} digits)", self.len)
    }
}

/// The quality of protection, with what it needs.
#[derive(Clone, Copy, Debug)]
pub enum Protection<'a> {
    /// None stated (RFC 2069).
    None,
    /// `auth`, or a name that is not known and counts as such.
    Auth(Count<'a>),
    /// `auth-int`, which covers the body.
    AuthInt(Count<'a>, &'a [u8]),
}

/// The parts of `qop` as they stand in the credentials.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a> {
    /// `qop`
    pub qop: &'a [u8],
    /// `nc`
    pub nc: &'a [u8],
    /// `cnonce`
    pub cnonce: &'a [u8],
}

/// The response to a challenge; an empty `method` gives the `rspauth` of the server's answer (RFC 7616 section 3.5).
pub fn response(
    algorithm: Algorithm,
    ha1: &Hex,
    nonce: &[u8],
    method: &[u8],
    uri: &[u8],
    protection: Protection<'_>,
) -> Hex {
    let (count, ha2) = match protection {
        Protection::None => (None, algorithm.hash(&[method, uri])),
        Protection::Auth(count) => (Some(count), algorithm.hash(&[method, uri])),
        Protection::AuthInt(count, body) => {
            let body = algorithm.hash(&[body]);
            (Some(count), algorithm.hash(&[method, uri, body.as_bytes()]))
        }
    };
    match count {
        None => algorithm.hash(&[ha1.as_bytes(), nonce, ha2.as_bytes()]),
        Some(Count { qop, nc, cnonce }) => {
            algorithm.hash(&[ha1.as_bytes(), nonce, nc, cnonce, qop, ha2.as_bytes()])
        }
    }
}

/// The response given equals the one expected, in either case; takes as long for any two of one length.
pub fn is_response(given: &[u8], expected: &Hex) -> bool {
    Hex::read(given).is_some_and(|given| crypto::same(given.as_bytes(), expected.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 section 3.9.1.
    fn example(algorithm: Algorithm, protection: Protection<'_>) -> String {
        let ha1 = algorithm.hash(&[b"Mufasa", b"http-auth@example.org", b"Circle of Life"]);
        let nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let hex = response(algorithm, &ha1, nonce, b"GET", b"/dir/index.html", protection);
        String::from_utf8(hex.as_bytes().to_vec()).unwrap()
    }

    const COUNT: Count<'_> = Count {
        qop: b"auth",
        nc: b"00000001",
        cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    };

    #[test]
    fn examples_of_the_rfc() {
        assert_eq!(
            example(Algorithm::Md5, Protection::Auth(COUNT)),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            example(Algorithm::Sha256, Protection::Auth(COUNT)),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        // RFC 7616 section 3.9.2 has another user and realm.
        let algorithm = Algorithm::Sha512_256;
        let ha1 = algorithm.hash(&[
            b"488869477bf257147b804c45308cd62ac4e25eb717b12b298c79e62dcea254ec",
            b"api@example.org",
            b"Secret, or not?",
        ]);
        let nonce = b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
        let cnonce = b"NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm";
        let count = Count { cnonce, ..COUNT };
        let hex = response(
            algorithm,
            &ha1,
            nonce,
            b"GET",
            b"/doe.json",
            Protection::Auth(count),
        );
        assert_eq!(hex.as_bytes().len(), 64);
    }

    #[test]
    fn the_body_counts_with_auth_int_only() {
        let with = |body: &[u8]| {
            example(
                Algorithm::Md5,
                Protection::AuthInt(
                    Count {
                        qop: b"auth-int",
                        ..COUNT
                    },
                    body,
                ),
            )
        };
        assert_ne!(with(b"a"), with(b"b"));
        assert_ne!(with(b""), example(Algorithm::Md5, Protection::Auth(COUNT)));
        assert_ne!(
            example(Algorithm::Md5, Protection::None),
            example(Algorithm::Md5, Protection::Auth(COUNT))
        );
    }

    #[test]
    fn responses_compare_in_either_case() {
        let hash = Algorithm::Md5.hash(&[b"x"]);
        let upper = hash.as_bytes().to_ascii_uppercase();
        assert!(is_response(&upper, &hash) && !is_response(b"x", &hash) && !is_response(&[b'0'; 300], &hash));
        assert_eq!(
            Algorithm::Sha512.hash(&[b""]).as_bytes().len(),
            Algorithm::Sha512.hex_len()
        );
        assert_eq!(Algorithm::parse(b"sha-512-256"), Some(Algorithm::Sha512_256));
        assert!(Algorithm::parse(b"MD5-sess").is_none());
    }
}
