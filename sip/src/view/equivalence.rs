//! When two URIs name the same resource: RFC 3261 19.1.4, RFC 3966 section 4, RFC 8141 section 3.

use super::{Params, Scheme, Uri, percent_decode};

impl Uri<'_> {
    /// Names the same resource by the rules of its scheme: RFC 3261 19.1.4, RFC 3966 section 4, else the same text.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        if self.raw == other.raw {
            return true;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => same_sip(self, other),
            Scheme::Tel | Scheme::Tels => same_tel(self, other),
            Scheme::Urn => same_urn(self, other),
            Scheme::Other => {
                self.scheme_text.eq_ignore_ascii_case(other.scheme_text) && self.rest == other.rest
            }
        }
    }
}

/// RFC 3261 19.1.4.
fn same_sip(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let hosts = match (a.host_ip(), b.host_ip()) {
        (Some(a), Some(b)) => a == b,
        _ => a.host.eq_ignore_ascii_case(b.host),
    };
    hosts
        && a.port == b.port
        && same_text(a.user, b.user)
        && same_text(a.password.unwrap_or_default(), b.password.unwrap_or_default())
        && a.password.is_some() == b.password.is_some()
        && params_agree(a.params, b.params)
        && params_agree(b.params, a.params)
        && all_in(a.header_list(), b.header_list())
        && all_in(b.header_list(), a.header_list())
}

/// Equal once escapes are undone, letters by case.
fn same_text(a: &[u8], b: &[u8]) -> bool {
    a == b || percent_decode(a) == percent_decode(b)
}

/// Equal once escapes are undone, letters in any case.
fn same_text_any_case(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b) || percent_decode(a).eq_ignore_ascii_case(&percent_decode(b))
}

/// How many parameters of a URI are compared: a comparison looks each up in the other URI.
const COMPARED: usize = 64;

/// What stands in both is the same, and what must stand in both does.
fn params_agree(a: Params<'_>, b: Params<'_>) -> bool {
    const BOTH: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];
    a.iter().count() <= COMPARED
        && a.iter().all(|param| match b.get(param.name) {
            Some(found) => {
                same_text_any_case(param.value.unwrap_or_default(), found.value.unwrap_or_default())
            }
            None => !BOTH.iter().any(|name| param.name.eq_ignore_ascii_case(name)),
        })
}

/// Everything of `a` stands in `b` too.
fn all_in(a: Params<'_>, b: Params<'_>) -> bool {
    a.iter().count() <= COMPARED
        && a.iter().all(|x| {
            b.iter().any(|y| {
                x.name.eq_ignore_ascii_case(y.name)
                    && same_text_any_case(x.value.unwrap_or_default(), y.value.unwrap_or_default())
            })
        })
}

/// RFC 8141 section 3: the string counts by letter, but that of services in any case (RFC 5031 4.2).
fn same_urn(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let strings = if a.user.eq_ignore_ascii_case(b"service") {
        a.host.eq_ignore_ascii_case(b.host)
    } else {
        a.host == b.host
    };
    strings && a.user.eq_ignore_ascii_case(b.user) && a.params == b.params
}

/// RFC 3966 section 4: visual separators do not count, parameters do.
fn same_tel(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let digits = |uri: &Uri<'_>| -> Vec<u8> {
        let kept = uri
            .user
            .iter()
            .filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'));
        kept.map(u8::to_ascii_lowercase).collect()
    };
    digits(a) == digits(b) && all_in(a.params, b.params) && all_in(b.params, a.params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The examples of RFC 3261 19.1.4.
    #[test]
    fn equivalence() {
        for (a, b) in [
            (
                "sip:%61lice@atlanta.com;transport=TCP",
                "sip:alice@AtLanTa.CoM;Transport=tcp",
            ),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;newparam=5",
            ),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ] {
            assert!(
                uri(a).equivalent(&uri(b)) && uri(b).equivalent(&uri(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [
            (
                "SIP:ALICE@AtLanTa.CoM;Transport=udp",
                "sip:alice@AtLanTa.CoM;Transport=UDP",
            ),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            (
                "sip:carol@chicago.com",
                "sip:carol@chicago.com?Subject=next%20meeting",
            ),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            (
                "sip:carol@chicago.com;security=on",
                "sip:carol@chicago.com;security=off",
            ),
            ("sip:a@b", "sips:a@b"),
            ("sip:a:@b", "sip:a@b"),
        ] {
            assert!(
                !uri(a).equivalent(&uri(b)) && !uri(b).equivalent(&uri(a)),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn numbers_and_names() {
        assert!(uri("tel:+1(201)555").equivalent(&uri("tel:+1201-555")));
        assert!(!uri("tel:+1;ext=2").equivalent(&uri("tel:+1")));
        assert!(uri("urn:service:sos").equivalent(&uri("URN:Service:SOS")));
        assert!(!uri("urn:gsma:imei:1").equivalent(&uri("urn:gsma:IMEI:1")));
        assert!(uri("HTTP:x").equivalent(&uri("http:x")) && !uri("http:x").equivalent(&uri("http:X")));
    }
}
