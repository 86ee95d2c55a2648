//! Authorization and Proxy-Authorization, RFC 3261 20.7 and 22.4, RFC 7616 3.4.

use super::{
    Algorithm, Malformed, Params, Qop,
    auth::{Split, inner, set_once},
    scan,
};

/// What a client shows to prove who it is.
///
/// Values come without their quotes and with their escapes, as they enter the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// The scheme, `Digest` or another.
    pub scheme: &'a [u8],
    /// All after the scheme: the token of `Basic` and `Bearer`.
    pub rest: &'a [u8],
    /// All parameters of a digest, known or not.
    pub params: Params<'a>,
    /// `username`
    pub username: Option<&'a [u8]>,
    /// `realm`
    pub realm: Option<&'a [u8]>,
    /// `nonce`
    pub nonce: Option<&'a [u8]>,
    /// `uri`
    pub uri: Option<&'a [u8]>,
    /// `response`
    pub response: Option<&'a [u8]>,
    /// `algorithm` as it is written.
    pub algorithm_text: Option<&'a [u8]>,
    /// `cnonce`
    pub cnonce: Option<&'a [u8]>,
    /// `opaque`
    pub opaque: Option<&'a [u8]>,
    /// `qop` as it is written.
    pub qop_text: Option<&'a [u8]>,
    /// `nc` as it is written: it enters the hash in this form.
    pub nc_text: Option<&'a [u8]>,
    /// `auts` of AKA (RFC 3310 3.4).
    pub auts: Option<&'a [u8]>,
}

impl<'a> Credentials<'a> {
    /// Reads `Scheme name=value, …`. What is missing is told by [`Credentials::check`].
    ///
    /// # Errors
    /// No scheme, a quote that does not close, or a known parameter with two different values.
    pub fn parse(text: &'a [u8]) -> Result<Credentials<'a>, Malformed> {
        let Split { raw, scheme, rest } = Split::parse(text)?;
        let mut found = Credentials {
            raw,
            scheme,
            rest,
            params: Params::auth(rest),
            username: None,
            realm: None,
            nonce: None,
            uri: None,
            response: None,
            algorithm_text: None,
            cnonce: None,
            opaque: None,
            qop_text: None,
            nc_text: None,
            auts: None,
        };
        if found.is_digest() {
            for param in found.params {
                if let Some(field) = found.field(param.name) {
                    set_once(field, inner(&param), text)?;
                }
            }
        }
        Ok(found)
    }

    /// The field that the parameter `name` fills.
    fn field(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(match name.len() {
            2 if is("nc") => &mut self.nc_text,
            3 if is("uri") => &mut self.uri,
            3 if is("qop") => &mut self.qop_text,
            4 if is("auts") => &mut self.auts,
            5 if is("realm") => &mut self.realm,
            5 if is("nonce") => &mut self.nonce,
            6 if is("cnonce") => &mut self.cnonce,
            6 if is("opaque") => &mut self.opaque,
            8 if is("username") => &mut self.username,
            8 if is("response") => &mut self.response,
            9 if is("algorithm") => &mut self.algorithm_text,
            _ => return None,
        })
    }

    /// The scheme is `Digest`.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case(b"Digest")
    }

    /// The algorithm; MD5 where none is stated.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm_text.map(Algorithm::parse).unwrap_or_default()
    }

    /// The quality of protection; `None` where none is stated (RFC 2069).
    pub fn qop(&self) -> Option<Qop> {
        self.qop_text.map(Qop::parse)
    }

    /// The nonce count: `nc` as a hexadecimal number of at most eight digits.
    pub fn nc(&self) -> Option<u32> {
        let text = std::str::from_utf8(self.nc_text?).ok()?;
        let digits = (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u32::from_str_radix(text, 16).ok()).flatten()
    }

    /// The part of the user name before `@`, where it has one.
    pub fn user(&self) -> Option<&'a [u8]> {
        Some(scan::split_once(self.username?, b'@').0)
    }

    /// The part of the user name after `@`, where it has one.
    pub fn domain(&self) -> Option<&'a [u8]> {
        scan::split_once(self.username?, b'@').1
    }

    /// Digest credentials have what RFC 7616 3.4 demands, so that a response can be computed.
    ///
    /// # Errors
    /// The first thing that is missing, empty or wrong: 400 is due, or a challenge for the first REGISTER of an IMS
    /// client, which has an empty nonce and response (3GPP TS 24.229 5.1.1.2).
    pub fn check(&self) -> Result<(), Malformed> {
        let end = self.raw.len();
        let qop = self.qop_text.is_some();
        let has = |value: Option<&[u8]>| value.is_some_and(|value| !value.is_empty());
        let demands = [
            (self.is_digest(), "credentials that are no digest"),
            (has(self.username), "credentials without username"),
            (self.realm.is_some(), "credentials without realm"),
            (has(self.nonce), "credentials without nonce"),
            (has(self.uri), "credentials without uri"),
            (has(self.response), "credentials without response"),
            (
                !qop || has(self.cnonce),
                "credentials with qop but without cnonce",
            ),
            (
                !qop || self.nc().is_some(),
                "credentials with qop but without a nonce count",
            ),
        ];
        demands
            .into_iter()
            .find(|(met, _)| !met)
            .map_or(Ok(()), |(_, what)| Err(Malformed::new(what, end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "Digest username=\"bob@x\",\r\n realm = \"bil\\\"oxi,com\", nonce=\"dcd98b\",uri=\"sip:bob@biloxi.com\", \
        qop=auth, nc=0000000A, cnonce=\"0a4f113b\", response=\"6629fae4\", opaque=\"5ccc\", algorithm=sha-512-256, \
        auts=\"x\", new=\"y\"";

    #[test]
    fn reads_a_digest() {
        let shown = Credentials::parse(FULL.as_bytes()).unwrap();
        assert_eq!(shown.check(), Ok(()));
        assert_eq!(
            (shown.user(), shown.domain()),
            (Some(&b"bob"[..]), Some(&b"x"[..]))
        );
        assert_eq!(
            (shown.realm, shown.nonce),
            (Some(&b"bil\\\"oxi,com"[..]), Some(&b"dcd98b"[..]))
        );
        assert_eq!(
            (shown.uri, shown.response),
            (Some(&b"sip:bob@biloxi.com"[..]), Some(&b"6629fae4"[..]))
        );
        assert_eq!(
            (shown.qop(), shown.nc(), shown.cnonce),
            (Some(Qop::Auth), Some(10), Some(&b"0a4f113b"[..]))
        );
        assert_eq!(
            (shown.algorithm(), shown.opaque),
            (Algorithm::Sha512_256, Some(&b"5ccc"[..]))
        );
        assert_eq!(
            (shown.auts, shown.params.get("new").unwrap().unquoted().as_ref()),
            (Some(&b"x"[..]), &b"y"[..])
        );
    }

    #[test]
    fn other_schemes_and_faults() {
        let basic = Credentials::parse(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert_eq!(basic.rest, b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic.check().unwrap_err().what, "credentials that are no digest");
        assert_eq!(
            Credentials::parse(b"Digest username=\"a, realm=b")
                .unwrap_err()
                .at,
            16
        );
        assert_eq!(
            Credentials::parse(b"Digest realm=\"a\",realm=\"b\"")
                .unwrap_err()
                .what,
            "parameter with two values"
        );
        assert!(Credentials::parse(b"Digest realm=\"a\",realm=a").is_ok());
        assert!(Credentials::parse(b"").is_err() && Credentials::parse(b"Digest\"a\"").is_err());
        let with_qop = Credentials::parse(
            b"digest username=\"a\",realm=,nonce=n,uri=u,response=r,qop=auth,cnonce=c,nc=xyz",
        )
        .unwrap();
        assert_eq!(
            (with_qop.username, with_qop.realm),
            (Some(&b"a"[..]), Some(&b""[..]))
        );
        assert_eq!(
            with_qop.check().unwrap_err().what,
            "credentials with qop but without a nonce count"
        );
    }

    #[test]
    fn truncated_at_every_byte() {
        // A cut inside of a value is refused or found incomplete, until all that is needed is there.
        let needed = FULL.find(", opaque").unwrap();
        for end in 0..needed {
            let cut = Credentials::parse(&FULL.as_bytes()[..end]);
            assert!(cut.is_err() || cut.unwrap().check().is_err(), "{end}");
        }
    }
}
