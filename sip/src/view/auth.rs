//! What digest credentials and challenges share: algorithms (RFC 2617, 3310, 4169, 7616, 8760) and `qop`.

use super::{
    Malformed, Param,
    scan::{self, Nesting},
};

/// The algorithm of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `MD5`, also where none is stated.
    #[default]
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256` (RFC 8760)
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
    /// `AKAv1-MD5` (RFC 3310)
    AkaV1Md5,
    /// `AKAv2-MD5` (RFC 4169)
    AkaV2Md5,
    /// `AKAv2-SHA-256` (3GPP TS 33.203)
    AkaV2Sha256,
    /// One that is not known.
    Other,
}

impl Algorithm {
    const NAMED: [(&'static str, Algorithm); 9] = [
        ("MD5", Algorithm::Md5),
        ("MD5-sess", Algorithm::Md5Sess),
        ("SHA-256", Algorithm::Sha256),
        ("SHA-256-sess", Algorithm::Sha256Sess),
        ("SHA-512-256", Algorithm::Sha512_256),
        ("SHA-512-256-sess", Algorithm::Sha512_256Sess),
        ("AKAv1-MD5", Algorithm::AkaV1Md5),
        ("AKAv2-MD5", Algorithm::AkaV2Md5),
        ("AKAv2-SHA-256", Algorithm::AkaV2Sha256),
    ];

    /// By name in any case.
    pub fn parse(name: &[u8]) -> Algorithm {
        let known = Self::NAMED
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        known.map_or(Algorithm::Other, |(_, algorithm)| algorithm)
    }

    /// The name as its RFC writes it; empty for [`Algorithm::Other`].
    pub fn name(self) -> &'static str {
        Self::NAMED
            .into_iter()
            .find(|(_, known)| *known == self)
            .map_or("", |(name, _)| name)
    }

    /// The session variant, whose first hash covers nonce and cnonce too.
    pub const fn is_session(self) -> bool {
        matches!(
            self,
            Algorithm::Md5Sess | Algorithm::Sha256Sess | Algorithm::Sha512_256Sess
        )
    }
}

/// The quality of protection of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`
    Auth,
    /// `auth-int`, which covers the body.
    AuthInt,
    /// One that is not known.
    Other,
}

impl Qop {
    /// By name in any case.
    pub fn parse(name: &[u8]) -> Qop {
        match name {
            _ if name.eq_ignore_ascii_case(b"auth") => Qop::Auth,
            _ if name.eq_ignore_ascii_case(b"auth-int") => Qop::AuthInt,
            _ => Qop::Other,
        }
    }
}

/// The value of `param` without its quotes; escapes stay, since peers hash what stands between the quotes.
pub(super) fn inner<'a>(param: &Param<'a>) -> &'a [u8] {
    match param.value {
        Some([b'"', inner @ .., b'"']) => inner,
        Some(value) => value,
        None => scan::after(param.raw, param.raw.len()),
    }
}

/// Credentials or a challenge before its parameters are read.
pub(super) struct Split<'a> {
    /// All, without blanks around it.
    pub(super) raw: &'a [u8],
    pub(super) scheme: &'a [u8],
    /// What follows the scheme.
    pub(super) rest: &'a [u8],
}

impl<'a> Split<'a> {
    /// Splits `Scheme rest` and checks that all quotes close.
    pub(super) fn parse(text: &'a [u8]) -> Result<Split<'a>, Malformed> {
        let raw = scan::trim(text);
        let end = raw.iter().position(|b| !scan::is_token(*b)).unwrap_or(raw.len());
        let (scheme, rest) = (scan::before(raw, end), scan::after(raw, end));
        if scheme.is_empty() || !rest.first().is_none_or(|b| scan::is_lws(*b)) {
            return Err(Malformed::new(
                "authentication scheme that is no token",
                scan::offset(text, raw),
            ));
        }
        let rest = scan::trim_start(rest);
        scan::find(rest, 0, Nesting::Quotes, |_| false).map_err(|e| e.shifted(scan::offset(text, rest)))?;
        Ok(Split { raw, scheme, rest })
    }
}

/// Puts `value` into `field`, unless another one is there already.
pub(super) fn set_once<'a>(
    field: &mut Option<&'a [u8]>,
    value: &'a [u8],
    raw: &[u8],
) -> Result<(), Malformed> {
    match field {
        Some(known) if *known != value => Err(Malformed::new(
            "parameter with two values",
            scan::offset(raw, value),
        )),
        _ => {
            *field = Some(value);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_both_ways() {
        for (name, algorithm) in Algorithm::NAMED {
            assert_eq!(Algorithm::parse(name.to_ascii_lowercase().as_bytes()), algorithm);
            assert_eq!(algorithm.name(), name);
            assert_eq!(algorithm.is_session(), name.ends_with("-sess"));
        }
        assert_eq!(
            (Algorithm::parse(b"SHA-1"), Algorithm::Other.name()),
            (Algorithm::Other, "")
        );
        assert_eq!(
            (Qop::parse(b"AUTH"), Qop::parse(b"auth-int"), Qop::parse(b"")),
            (Qop::Auth, Qop::AuthInt, Qop::Other)
        );
    }
}
