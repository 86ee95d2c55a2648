//! Addresses behind NATs.

use std::net::{IpAddr, Ipv4Addr};

/// Which ranges count as private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ranges {
    /// RFC 1918, carrier-grade NAT (RFC 6598) and the service continuity prefix (RFC 7335).
    Private,
    /// Those and all of 192.0.0.0/24 (IETF protocol assignments).
    #[default]
    Reserved,
}

/// First address and length of the prefix.
const PRIVATE: [(Ipv4Addr, u32); 5] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(192, 0, 0, 0), 29),
];

const RESERVED: (Ipv4Addr, u32) = (Ipv4Addr::new(192, 0, 0, 0), 24);

impl Ranges {
    /// Of `nat_addr_mode`.
    pub fn of_mode(mode: i64) -> Ranges {
        match mode {
            0 => Ranges::Private,
            _ => Ranges::Reserved,
        }
    }

    /// The address lies in one of them; never for IPv6.
    pub fn has(self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip else { return false };
        let within = |(net, length): &(Ipv4Addr, u32)| {
            let shift = 32_u32.saturating_sub(*length);
            u32::from(ip).checked_shr(shift) == u32::from(*net).checked_shr(shift)
        };
        PRIVATE.iter().any(within) || self == Ranges::Reserved && within(&RESERVED)
    }

    /// The text is an address in one of them.
    pub fn has_text(self, text: &[u8]) -> bool {
        parse(text).is_some_and(|ip| self.has(ip))
    }
}

/// An address without brackets. Kamailio reads `10.0.0` as 10.0.0.0, and so does this.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse()
        .ok()
        .or_else(|| format!("{text}.0").parse::<Ipv4Addr>().ok().map(IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_and_reserved_ranges_have_their_edges() {
        let all = |text: &str| {
            let text = text.as_bytes();
            (Ranges::Private.has_text(text), Ranges::Reserved.has_text(text))
        };
        for ip in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.9.9",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.7",
            "10.1.2",
        ] {
            assert_eq!(all(ip), (true, true), "{ip}");
        }
        for ip in ["192.0.0.8", "192.0.0.255"] {
            assert_eq!(all(ip), (false, true), "{ip}");
        }
        for ip in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.0.1",
            "172.32.0.0",
            "192.169.0.0",
            "100.63.0.1",
            "100.128.0.0",
            "192.0.1.0",
            "127.0.0.1",
            "fc00::1",
            "010.1.2.3",
            "10.0.0.256",
            "10.0.0.1:5060",
            "",
            "x",
            "10.0",
        ] {
            assert_eq!(all(ip), (false, false), "{ip}");
        }
    }
}
