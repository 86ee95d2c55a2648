//! Subnets in CIDR notation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kahea_module::{Cx, Str};

use super::{IpOps, address::pure};

/// The first `bits` of two addresses of one family are equal.
fn same_prefix(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => v4_prefix(a, b, bits),
        (IpAddr::V6(a), IpAddr::V6(b)) => v6_prefix(a, b, bits),
        _ => false,
    }
}

/// As [`same_prefix`]; false for more than 32 bits.
pub(super) fn v4_prefix(a: Ipv4Addr, b: Ipv4Addr, bits: u32) -> bool {
    let rest = 32u32.checked_sub(bits);
    rest.is_some_and(|rest| (a.to_bits() ^ b.to_bits()).checked_shr(rest).unwrap_or(0) == 0)
}

/// As [`same_prefix`]; false for more than 128 bits.
pub(super) fn v6_prefix(a: Ipv6Addr, b: Ipv6Addr, bits: u32) -> bool {
    let rest = 128u32.checked_sub(bits);
    rest.is_some_and(|rest| (a.to_bits() ^ b.to_bits()).checked_shr(rest).unwrap_or(0) == 0)
}

/// The address is in the one subnet; false where that is none.
fn holds(subnet: &[u8], ip: IpAddr) -> bool {
    let mut parts = subnet.splitn(2, |b| *b == b'/');
    let Some(base) = parts.next().and_then(pure) else {
        return false;
    };
    let Some(bits) = parts.next() else {
        return base == ip;
    };
    let digits = bits.iter().all(u8::is_ascii_digit);
    let bits = std::str::from_utf8(bits).ok().and_then(|text| text.parse().ok());
    bits.is_some_and(|bits| digits && same_prefix(base, ip, bits))
}

pub(super) fn is_in(_: &IpOps, _: &mut Cx, ip: Str, subnets: Str) -> bool {
    pure(&ip).is_some_and(|ip| {
        let mut list = subnets.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        list.any(|subnet| holds(subnet, ip))
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    #[test]
    fn lists_of_subnets() {
        let (m, cx) = (&started(), &mut Server::default().invite());
        for (ip, list, wanted) in [
            ("10.0.123.123", "10.0.123.1/24", true),
            ("10.0.124.123", "10.0.123.1/24", false),
            ("192.168.0.9", "10.0.0.0/16, 192.168.0.0/24", true),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.4/32", true),
            ("1.2.3.4", "0.0.0.0/0", true),
            ("1.2.3.4", "1.2.3.4/33", false),
            ("1.2.3.4", "junk,1.2.3.0/24", true),
            ("1.2.3.4", "1.2.3.0/255.255.255.0", false),
            ("1.2.3.4", "1.2.3.4/", false),
            ("1.2.3.4", "1.2.3.4/+32", false),
            ("1.2.3.4", "", false),
            ("::1", "::/0", true),
            ("2001:db8::5", "2001:db8::/32", true),
            ("2001:db9::5", "2001:db8::/32", false),
            ("::1", "1.2.3.0/24", false),
            ("::1", "::/129", false),
            ("[::1]", "::/64", false),
            ("junk", "1.2.3.0/24", false),
        ] {
            assert_eq!(
                is_in(m, cx, Str::from(ip), Str::from(list)),
                wanted,
                "{ip} {list}"
            );
        }
    }
}
