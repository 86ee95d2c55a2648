//! What kind of address a text is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kahea_module::{Cx, Str};

use super::IpOps;

/// An address without brackets.
pub(super) fn pure(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An IPv6 address in brackets.
pub(super) fn reference(text: &[u8]) -> Option<Ipv6Addr> {
    let inner = text.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inner).ok()?.parse().ok()
}

/// Any address, an IPv6 one with or without brackets.
pub(super) fn any(text: &[u8]) -> Option<IpAddr> {
    pure(text).or_else(|| reference(text).map(IpAddr::V6))
}

/// An IPv4 address.
pub(super) fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    match pure(text)? {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

pub(super) fn is_ip(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    any(&text).is_some()
}

pub(super) fn is_pure_ip(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    pure(&text).is_some()
}

pub(super) fn is_ipv4(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    v4(&text).is_some()
}

pub(super) fn is_ipv6(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    pure(&text).is_some_and(|ip| ip.is_ipv6())
}

pub(super) fn is_ipv6_reference(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    reference(&text).is_some()
}

pub(super) fn ip_type(_: &IpOps, _: &mut Cx, text: Str) -> i64 {
    match (pure(&text), reference(&text)) {
        (Some(IpAddr::V4(_)), _) => 1,
        (Some(IpAddr::V6(_)), _) => 2,
        (None, Some(_)) => 3,
        (None, None) => -1,
    }
}

pub(super) fn is_rfc1918(_: &IpOps, _: &mut Cx, text: Str) -> bool {
    v4(&text).is_some_and(|ip| ip.is_private())
}

pub(super) fn compare(_: &IpOps, _: &mut Cx, a: Str, b: Str) -> bool {
    any(&a).is_some_and(|ip| any(&b) == Some(ip))
}

pub(super) fn compare_pure(_: &IpOps, _: &mut Cx, a: Str, b: Str) -> bool {
    pure(&a).is_some_and(|ip| pure(&b) == Some(ip))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    #[test]
    fn kinds_as_kamailio_tells_them() {
        let (m, cx) = (&started(), &mut Server::default().invite());
        for (text, kind) in [
            ("1.2.3.4", 1),
            ("::1", 2),
            ("[::1]", 3),
            ("1.2.3", -1),
            ("1.2.3.256", -1),
            ("01.2.3.4", -1),
            ("1080::8:800:200C:417A", 2),
            ("::ffff:1.2.3.4", 2),
            ("fe80::1%eth0", -1),
            ("[1.2.3.4]", -1),
            ("", -1),
        ] {
            let text = || Str::from(text);
            assert_eq!(ip_type(m, cx, text()), kind, "{}", text());
            assert_eq!(is_ip(m, cx, text()), kind > 0);
            assert_eq!(is_pure_ip(m, cx, text()), kind == 1 || kind == 2);
            assert_eq!(is_ipv4(m, cx, text()), kind == 1);
            assert_eq!(is_ipv6(m, cx, text()), kind == 2);
            assert_eq!(is_ipv6_reference(m, cx, text()), kind == 3);
        }
        for (text, private) in [
            ("10.0.0.1", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("100.64.0.1", false),
            ("fc00::1", false),
        ] {
            assert_eq!(is_rfc1918(m, cx, Str::from(text)), private, "{text}");
        }
    }

    #[test]
    fn one_address_in_two_spellings() {
        let (m, cx) = (&started(), &mut Server::default().invite());
        for (a, b, same, pure) in [
            ("1.2.3.4", "1.2.3.4", true, true),
            ("1.2.3.4", "1.2.3.5", false, false),
            (
                "1080:0000:0000:0000:0008:0800:200C:417A",
                "[1080::8:800:200C:417A]",
                true,
                false,
            ),
            ("::1", "::0001", true, true),
            ("[::1]", "[::1]", true, false),
            ("junk", "junk", false, false),
            ("1.2.3.4", "::ffff:1.2.3.4", false, false),
        ] {
            assert_eq!(compare(m, cx, Str::from(a), Str::from(b)), same, "{a} {b}");
            assert_eq!(compare_pure(m, cx, Str::from(a), Str::from(b)), pure, "{a} {b}");
        }
    }
}
