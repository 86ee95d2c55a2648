//! Comparisons of URIs and header names.

use kahea_module::{Cx, Str};
use kahea_sip::{
    HeaderId,
    view::{Scheme, Uri},
};

use super::SipUtils;

pub(super) fn uris(_: &SipUtils, _: &mut Cx, a: Str, b: Str) -> i64 {
    compare(&a, &b, same_uri)
}

pub(super) fn aors(_: &SipUtils, _: &mut Cx, a: Str, b: Str) -> i64 {
    compare(&a, &b, same_aor)
}

fn compare(a: &[u8], b: &[u8], same: fn(&Uri<'_>, &Uri<'_>) -> bool) -> i64 {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => {
            if same(&a, &b) {
                1
            } else {
                -1
            }
        }
        _ => -2,
    }
}

/// RFC 3261 19.1.4 as Kamailio reads it: escapes are compared as they are written, and a transport, `lr` or headers
/// that only one of them has make no difference.
fn same_uri(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    if !matches!(a.scheme, Scheme::Sip | Scheme::Sips) {
        return a.equivalent(b);
    }
    a.scheme == b.scheme
        && a.user == b.user
        && a.password == b.password
        && a.host.eq_ignore_ascii_case(b.host)
        && a.port == b.port
        && agrees(a, b)
        && agrees(b, a)
        && (a.headers == b.headers || a.headers.is_none() || b.headers.is_none())
}

/// What both have has the same value, and what must stand in both does.
fn agrees(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    const BOTH: [&[u8]; 4] = [b"user", b"ttl", b"method", b"maddr"];
    /// Each parameter is looked up in the other URI.
    const COMPARED: usize = 64;
    a.params.iter().count() <= COMPARED
        && a.params.iter().all(|param| match b.params.get(param.name) {
            Some(other) => match (param.value, other.value) {
                (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                (a, b) => a == b,
            },
            None => !BOTH.iter().any(|name| param.name.eq_ignore_ascii_case(name)),
        })
}

/// Same user, host and port; `sips` is no other than `sip`.
fn same_aor(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    let port = |uri: &Uri<'_>| uri.port.unwrap_or(5060);
    a.user == b.user && a.host.eq_ignore_ascii_case(b.host) && port(a) == port(b)
}

pub(super) fn header_names(_: &SipUtils, _: &mut Cx, a: Str, b: Str) -> i64 {
    match (HeaderId::parse(&a), HeaderId::parse(&b)) {
        (HeaderId::Other, HeaderId::Other) => {
            if a.eq_ignore_ascii_case(&b) {
                1
            } else {
                -2
            }
        }
        (a, b) => {
            if a == b {
                1
            } else {
                -1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    fn check(test: fn(&SipUtils, &mut Cx, Str, Str) -> i64, rows: &[(&str, &str, i64)]) {
        let mut cx = Server::default().invite();
        for (a, b, wanted) in rows {
            assert_eq!(
                test(&started(), &mut cx, Str::from(*a), Str::from(*b)),
                *wanted,
                "{a} {b}"
            );
        }
    }

    #[test]
    fn uris_as_kamailio_compares_them() {
        check(
            uris,
            &[
                ("sip:a@B", "sip:a@b", 1),
                ("sip:A@b", "sip:a@b", -1),
                ("sip:a@b:5060", "sip:a@b", -1),
                ("sip:a@b;transport=udp", "sip:a@b", 1),
                ("sip:a@b;x=y", "sip:a@b;x=z", -1),
                ("sip:a@b;maddr=1.1.1.1", "sip:a@b", -1),
                ("sip:a@b", "sips:a@b", -1),
                ("tel:+1", "tel:+1", 1),
                ("junk", "junk", -2),
                ("sip:%61@b", "sip:a@b", -1),
                ("sip:a@b;x", "sip:a@b;x=1", -1),
                ("sip:a@b?h=1", "sip:a@b", 1),
            ],
        );
    }

    #[test]
    fn aors_and_header_names() {
        check(
            aors,
            &[
                ("sip:a@B;x=y", "sips:a@b", 1),
                ("sip:a@b:5070", "sip:a@b", -1),
                ("sip:a@b:5060", "sip:a@b", 1),
                ("sip:a:p@b", "sip:a@b", 1),
                ("tel:+1", "sip:+1@x", -1),
                ("junk", "sip:a@b", -2),
            ],
        );
        check(
            header_names,
            &[
                ("From", "f", 1),
                ("X-A", "x-a", 1),
                ("X-A", "x-b", -2),
                ("From", "To", -1),
                ("From", "X", -1),
            ],
        );
    }
}
