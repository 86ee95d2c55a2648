//! WWW-Authenticate and Proxy-Authenticate, RFC 3261 20.44 and 20.27, RFC 7616 3.3, RFC 8760.

use super::{
    Algorithm, Malformed, Params, Qop, Tokens,
    auth::{Split, inner, set_once},
    scan::{self, Nesting},
};

/// What a server asks a client to prove.
///
/// Values come without their quotes and with their escapes, as they enter the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// The whole challenge, without blanks around it.
    pub raw: &'a [u8],
    /// The scheme, `Digest` or another.
    pub scheme: &'a [u8],
    /// All parameters, known or not.
    pub params: Params<'a>,
    /// `realm`
    pub realm: Option<&'a [u8]>,
    /// `nonce`
    pub nonce: Option<&'a [u8]>,
    /// `opaque`
    pub opaque: Option<&'a [u8]>,
    /// `domain`
    pub domain: Option<&'a [u8]>,
    /// `algorithm` as it is written.
    pub algorithm_text: Option<&'a [u8]>,
    /// `qop`: the choices, separated by commas.
    pub qop_text: Option<&'a [u8]>,
    /// `stale` as it is written.
    pub stale_text: Option<&'a [u8]>,
}

impl<'a> Challenge<'a> {
    /// Reads one challenge; [`Challenges`] splits a header with several.
    ///
    /// # Errors
    /// No scheme, a quote that does not close, or a known parameter with two different values.
    pub fn parse(text: &'a [u8]) -> Result<Challenge<'a>, Malformed> {
        let Split { raw, scheme, rest } = Split::parse(text)?;
        let mut found = Challenge {
            raw,
            scheme,
            params: Params::auth(rest),
            realm: None,
            nonce: None,
            opaque: None,
            domain: None,
            algorithm_text: None,
            qop_text: None,
            stale_text: None,
        };
        for param in found.params {
            if let Some(field) = found.field(param.name) {
                set_once(field, inner(&param), text)?;
            }
        }
        Ok(found)
    }

    /// The field that the parameter `name` fills.
    fn field(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        Some(match name.len() {
            3 if is("qop") => &mut self.qop_text,
            5 if is("realm") => &mut self.realm,
            5 if is("nonce") => &mut self.nonce,
            5 if is("stale") => &mut self.stale_text,
            6 if is("opaque") => &mut self.opaque,
            6 if is("domain") => &mut self.domain,
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

    /// `qop` is among the choices.
    pub fn offers(&self, qop: Qop) -> bool {
        Tokens::new(self.qop_text.unwrap_or_default()).any(|name| Qop::parse(name) == qop)
    }

    /// `stale=true`: the credentials were right, only their nonce was too old.
    pub fn is_stale(&self) -> bool {
        self.stale_text
            .is_some_and(|text| text.eq_ignore_ascii_case(b"true"))
    }
}

/// Walks the challenges of one header: `Digest realm="a", nonce="b", Digest realm="c"`.
#[derive(Clone, Debug)]
pub struct Challenges<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Challenges<'a> {
    /// The challenges of `text`; after an error the walk ends.
    pub const fn new(text: &'a [u8]) -> Challenges<'a> {
        Challenges { text, at: 0 }
    }

    /// The end of the challenge that starts at `start`, and where the next one starts.
    fn end(&self, start: usize) -> Result<(usize, usize), Malformed> {
        let mut end = scan::find(self.text, start, Nesting::Quotes, |b| b == b',')?;
        while end < self.text.len() {
            if starts_challenge(scan::trim_start(scan::after(self.text, end + 1))) {
                return Ok((end, end + 1));
            }
            end = scan::find(self.text, end + 1, Nesting::Quotes, |b| b == b',')?;
        }
        Ok((end, end))
    }
}

/// `token LWS token` begins a challenge, `token LWS =` and `token =` a parameter.
fn starts_challenge(text: &[u8]) -> bool {
    let end = text
        .iter()
        .position(|b| !scan::is_token(*b))
        .unwrap_or(text.len());
    let rest = scan::after(text, end);
    let next = scan::trim_start(rest);
    end > 0 && next.len() < rest.len() && next.first().is_some_and(|b| scan::is_token(*b))
}

impl<'a> Iterator for Challenges<'a> {
    type Item = Result<Challenge<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.at;
        if scan::trim_start(scan::after(self.text, start)).is_empty() {
            return None;
        }
        let parsed = self.end(start).and_then(|(end, next)| {
            self.at = next;
            Challenge::parse(scan::cut(self.text, start, end)).map_err(|e| e.shifted(start))
        });
        if parsed.is_err() {
            self.at = self.text.len();
        }
        Some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_challenges() {
        let text = b" Digest realm=\"a, Digest b\", qop=\"auth,auth-int\" , algorithm=SHA-256,\r\n nonce=\"n\", stale=TRUE, \
            domain=\"sip:x\", Digest realm=\"c\" , nonce = \"m\",opaque=\"\", x";
        let found: Vec<_> = Challenges::new(text)
            .map(|challenge| challenge.unwrap())
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].realm, found[0].nonce),
            (Some(&b"a, Digest b"[..]), Some(&b"n"[..]))
        );
        assert!(found[0].offers(Qop::Auth) && found[0].offers(Qop::AuthInt) && found[0].is_stale());
        assert_eq!(
            (found[0].algorithm(), found[0].domain),
            (Algorithm::Sha256, Some(&b"sip:x"[..]))
        );
        assert_eq!(
            (found[1].realm, found[1].opaque),
            (Some(&b"c"[..]), Some(&b""[..]))
        );
        assert_eq!(found[1].algorithm(), Algorithm::Md5);
        assert!(!found[1].is_stale() && !found[1].offers(Qop::Auth));
    }

    #[test]
    fn faults_end_the_walk() {
        let mut broken = Challenges::new(b"Digest realm=\"a\", Basic realm=\"open");
        assert_eq!(broken.next().unwrap().unwrap().realm, Some(&b"a"[..]));
        assert_eq!(broken.next().unwrap().unwrap_err().at, 30);
        assert!(broken.next().is_none());
        assert!(Challenges::new(b"  ").next().is_none());
        assert!(Challenges::new(b"=").next().unwrap().is_err());
    }
}
