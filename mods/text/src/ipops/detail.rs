//! Kinds of addresses: RFC 5735 and 6598 for IPv4, IANA's registries for IPv6, with Kamailio's names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kahea_module::{Cx, Fault, Str, Value, VarRef};

use super::{
    IpOps,
    address::{self, reference},
    subnet::{v4_prefix, v6_prefix},
};

/// The first that fits counts.
const V4: [([u8; 4], u32, &str); 17] = [
    ([10, 0, 0, 0], 8, "PRIVATE"),
    ([172, 16, 0, 0], 12, "PRIVATE"),
    ([192, 168, 0, 0], 16, "PRIVATE"),
    ([0, 0, 0, 0], 8, "PRIVATE"),
    ([100, 64, 0, 0], 10, "SHARED"),
    ([127, 0, 0, 0], 8, "LOOPBACK"),
    ([169, 254, 0, 0], 16, "LINK-LOCAL"),
    ([192, 0, 0, 0], 24, "RESERVED"),
    ([192, 0, 2, 0], 24, "TEST-NET"),
    ([192, 88, 99, 0], 24, "6TO4-RELAY"),
    ([198, 18, 0, 0], 15, "RESERVED"),
    ([198, 51, 100, 0], 24, "TEST-NET"),
    ([203, 0, 113, 0], 24, "TEST-NET"),
    ([224, 0, 0, 0], 4, "MULTICAST"),
    ([255, 255, 255, 255], 32, "BROADCAST"),
    ([240, 0, 0, 0], 4, "RESERVED"),
    ([0, 0, 0, 0], 0, "PUBLIC"),
];

/// The first four groups, all others 0; the first that fits counts.
const V6: [([u16; 4], u32, &str); 11] = [
    ([0x0100, 0, 0, 0], 64, "DISCARD"),
    ([0x2001, 0, 0, 0], 32, "TEREDO"),
    ([0x2001, 2, 0, 0], 48, "BMWG"),
    ([0x2001, 0x0db8, 0, 0], 32, "DOCUMENTATION"),
    ([0x2001, 0x0010, 0, 0], 28, "ORCHID"),
    ([0x2002, 0, 0, 0], 16, "6TO4"),
    ([0x2000, 0, 0, 0], 3, "GLOBAL-UNICAST"),
    ([0xfc00, 0, 0, 0], 7, "UNIQUE-LOCAL-UNICAST"),
    ([0xfe80, 0, 0, 0], 10, "LINK-LOCAL-UNICAST"),
    ([0xff00, 0, 0, 0], 8, "MULTICAST"),
    ([0, 0, 0, 0], 0, "RESERVED"),
];

fn kind_v4(ip: Ipv4Addr) -> &'static str {
    let mut kinds = V4.iter();
    kinds
        .find(|(net, bits, _)| v4_prefix(Ipv4Addr::from(*net), ip, *bits))
        .map_or("PUBLIC", |(_, _, name)| name)
}

fn kind_v6(ip: Ipv6Addr) -> &'static str {
    if ip.is_unspecified() {
        return "UNSPECIFIED";
    }
    if ip.is_loopback() {
        return "LOOPBACK";
    }
    if ip.to_ipv4_mapped().is_some() {
        return "IPV4MAP";
    }
    let base = |net: [u16; 4]| Ipv6Addr::new(net[0], net[1], net[2], net[3], 0, 0, 0, 0);
    let mut kinds = V6.iter();
    kinds
        .find(|(net, bits, _)| v6_prefix(base(*net), ip, *bits))
        .map_or("RESERVED", |(_, _, name)| name)
}

fn store(cx: &mut Cx, result: &VarRef, kind: Option<&'static str>) -> Result<bool, Fault> {
    match kind {
        Some(kind) => result.set(cx, Value::from(kind)).map(|()| true),
        None => Ok(false),
    }
}

pub(super) fn any(_: &IpOps, cx: &mut Cx, ip: Str, result: VarRef) -> Result<bool, Fault> {
    let kind = address::any(&ip).map(|ip| match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    });
    store(cx, &result, kind)
}

pub(super) fn v4(_: &IpOps, cx: &mut Cx, ip: Str, result: VarRef) -> Result<bool, Fault> {
    store(cx, &result, address::v4(&ip).map(kind_v4))
}

pub(super) fn v6(_: &IpOps, cx: &mut Cx, ip: Str, result: VarRef) -> Result<bool, Fault> {
    let pure = match address::pure(&ip) {
        Some(IpAddr::V6(ip)) => Some(ip),
        _ => reference(&ip),
    };
    store(cx, &result, pure.map(kind_v6))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    #[test]
    fn addresses_of_the_oracle() {
        for (text, kind) in [
            ("0.1.2.3", "PRIVATE"),
            ("100.127.255.255", "SHARED"),
            ("100.128.0.0", "PUBLIC"),
            ("127.0.0.1", "LOOPBACK"),
            ("169.254.1.1", "LINK-LOCAL"),
            ("172.31.255.255", "PRIVATE"),
            ("172.32.0.1", "PUBLIC"),
            ("192.0.0.170", "RESERVED"),
            ("192.0.2.1", "TEST-NET"),
            ("192.88.99.1", "6TO4-RELAY"),
            ("198.19.255.255", "RESERVED"),
            ("239.1.1.1", "MULTICAST"),
            ("240.0.0.1", "RESERVED"),
            ("255.255.255.255", "BROADCAST"),
        ] {
            assert_eq!(kind_v4(text.parse().unwrap()), kind, "{text}");
        }
        for (text, kind) in [
            ("::", "UNSPECIFIED"),
            ("::1", "LOOPBACK"),
            ("::ffff:1.2.3.4", "IPV4MAP"),
            ("100::1", "DISCARD"),
            ("2001::1", "TEREDO"),
            ("2001:2::1", "BMWG"),
            ("2001:db8::1", "DOCUMENTATION"),
            ("2001:10::1", "ORCHID"),
            ("2001:20::1", "GLOBAL-UNICAST"),
            ("2002::1", "6TO4"),
            ("3fff::1", "GLOBAL-UNICAST"),
            ("fd00::1", "UNIQUE-LOCAL-UNICAST"),
            ("fe80::1", "LINK-LOCAL-UNICAST"),
            ("fec0::1", "RESERVED"),
            ("ff02::1", "MULTICAST"),
            ("4000::1", "RESERVED"),
            ("::2", "RESERVED"),
        ] {
            assert_eq!(kind_v6(text.parse().unwrap()), kind, "{text}");
        }
    }

    #[test]
    fn each_function_takes_its_family() {
        type Detail = fn(&IpOps, &mut Cx, Str, VarRef) -> Result<bool, Fault>;
        let cx = &mut Server::default().invite();
        let var = cx.bind().var("$var(t)").unwrap();
        let rows: [(Detail, &str, &str); 7] = [
            (any, "10.0.0.1", "PRIVATE"),
            (any, "[fe80::1]", "LINK-LOCAL-UNICAST"),
            (any, "junk", ""),
            (v4, "::1", ""),
            (v4, "8.8.8.8", "PUBLIC"),
            (v6, "[::1]", "LOOPBACK"),
            (v6, "1.2.3.4", ""),
        ];
        for (detail, ip, kind) in rows {
            var.set(cx, Value::EMPTY).unwrap();
            assert_eq!(
                detail(&started(), cx, Str::from(ip), var.clone()),
                Ok(!kind.is_empty())
            );
            assert_eq!(var.get(cx).str_or_empty(), kind, "{ip}");
        }
    }
}
