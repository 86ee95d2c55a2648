//! HEP, the Homer encapsulation protocol, versions 1 to 3: a captured message with where it came from and went to.

mod chunks;
mod fixed;

use std::{fmt, net::SocketAddr, time::SystemTime};

use kahea_module::Str;

pub use self::chunks::Chunk;

/// The IP protocol number of UDP.
pub const UDP: u8 = 17;
/// The IP protocol number of TCP.
pub const TCP: u8 = 6;
/// The IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// What a packet carries, by HEP's numbers.
pub mod kind {
    /// A SIP message.
    pub const SIP: u8 = 1;
    /// A line of a log.
    pub const LOG: u8 = 100;
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Version {
    /// Addresses and ports alone.
    #[default]
    One,
    /// With the time and the number of the agent.
    Two,
    /// Chunks of any kind.
    Three,
}

impl Version {
    /// Its number.
    pub const fn number(self) -> i64 {
        match self {
            Version::One => 1,
            Version::Two => 2,
            Version::Three => 3,
        }
    }

    /// By its number.
    pub const fn from_number(n: i64) -> Option<Version> {
        Some(match n {
            1 => Version::One,
            2 => Version::Two,
            3 => Version::Three,
            _ => return None,
        })
    }
}

/// A captured message.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The version that it came in; encoders are told theirs.
    pub version: Version,
    /// Where it came from. The family is that of both addresses.
    pub source: SocketAddr,
    /// Where it went to.
    pub destination: SocketAddr,
    /// The IP protocol, as in an IP header.
    pub protocol: u8,
    /// When: seconds since 1970; 0 where the version has no time.
    pub seconds: u32,
    /// When: microseconds of the second.
    pub micros: u32,
    /// What it carries, see [`kind`].
    pub kind: u8,
    /// The agent that captured it; 16 bits in version 2, 0 in version 1.
    pub capture_id: u32,
    /// The key of the agent, version 3 alone.
    pub auth_key: Option<Str>,
    /// What it belongs to, version 3 alone.
    pub correlation: Option<Str>,
    /// The message.
    pub payload: Str,
    /// All chunks of a decoded packet of version 3, in their order.
    pub chunks: Vec<Chunk>,
}

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is none of HEP.
    NotHep,
    /// It ends too soon, or a length in it is wrong.
    Truncated,
    /// An address family that HEP does not have, or addresses of two.
    Family,
    /// A chunk has another length than its kind has.
    Chunk(u16),
    /// There is no payload.
    Empty,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NotHep => f.write_str("no packet of HEP"),
            Malformed::Truncated => f.write_str("it ends before its length says"),
            Malformed::Family => f.write_str("addresses of no, an unknown, or two families"),
            Malformed::Chunk(kind) => write!(f, "chunk {kind} has a wrong length"),
            Malformed::Empty => f.write_str("nothing was captured in it"),
        }
    }
}

impl std::error::Error for Malformed {}

impl Packet {
    /// A packet of now; IPv4 addresses that are mapped into IPv6 become IPv4.
    pub fn new(source: SocketAddr, destination: SocketAddr, protocol: u8, payload: Str) -> Packet {
        Packet {
            version: Version::Three,
            source: plain(source),
            destination: plain(destination),
            protocol,
            seconds: 0,
            micros: 0,
            kind: kind::SIP,
            capture_id: 0,
            auth_key: None,
            correlation: None,
            payload,
            chunks: Vec::new(),
        }
    }

    /// Of this moment.
    pub fn at(mut self, time: SystemTime) -> Packet {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        self.micros = since.subsec_micros();
        self
    }

    /// Its bytes; `None` where its parts do not fit the version: too long, or addresses of two families.
    pub fn encode(&self, version: Version) -> Option<Vec<u8>> {
        if self.source.is_ipv4() != self.destination.is_ipv4() {
            return None;
        }
        match version {
            Version::One | Version::Two => Some(fixed::encode(self, version)),
            Version::Three => chunks::encode(self),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn decode(data: &Str) -> Result<Packet, Malformed> {
        match data.as_bytes() {
            [b'H', b'E', b'P', b'3', ..] | [b'E', b'E', b'P', b'1', ..] => chunks::decode(data),
            [1, ..] => fixed::decode(data, Version::One),
            [2, ..] => fixed::decode(data, Version::Two),
            _ => Err(Malformed::NotHep),
        }
    }

    /// The bytes begin as a packet of HEP does; SIP never does.
    pub fn is_likely(data: &[u8]) -> bool {
        matches!(data, [b'H', b'E', b'P', b'3', ..] | [b'E', b'E', b'P', b'1', ..])
            || matches!(
                data,
                [1, 16 | 40, 2 | 10, ..] | [2, 16 | 26 | 28 | 40 | 50 | 52, 2 | 10, ..]
            )
    }
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Takes bytes off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Truncated)
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn packet(source: &str, destination: &str) -> Packet {
        Packet {
            seconds: 1_700_000_000,
            micros: 999_999,
            capture_id: 234,
            auth_key: Some(Str::from("key")),
            correlation: Some(Str::from("c1@here")),
            ..Packet::new(
                source.parse().unwrap(),
                destination.parse().unwrap(),
                UDP,
                Str::from("OPTIONS sip:a SIP/2.0\r\n\r\n"),
            )
        }
    }

    fn address() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<([u8; 4], u16, [u8; 4], u16)>()
            .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
        // Mapped addresses are IPv4 and would come back as such.
        let v6 = any::<([u8; 15], u16, [u8; 15], u16)>().prop_map(|(a, p, b, q)| {
            let whole = |rest: [u8; 15]| {
                let mut all = [0x20; 16];
                all[1..].copy_from_slice(&rest);
                all
            };
            (SocketAddr::from((whole(a), p)), SocketAddr::from((whole(b), q)))
        });
        prop_oneof![v4, v6]
    }

    fn any_packet() -> impl Strategy<Value = Packet> {
        let text = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
        let payload = prop::collection::vec(any::<u8>(), 1..200);
        let numbers = (
            any::<u8>(),
            any::<u32>(),
            0..1_000_000_u32,
            any::<u8>(),
            any::<u32>(),
        );
        (address(), numbers, text(), text(), payload).prop_map(|(ends, numbers, key, id, payload)| Packet {
            version: Version::Three,
            source: ends.0,
            destination: ends.1,
            protocol: numbers.0,
            seconds: numbers.1,
            micros: numbers.2,
            kind: numbers.3,
            capture_id: numbers.4,
            auth_key: key.map(Str::from),
            correlation: id.map(Str::from),
            payload: Str::from(payload),
            chunks: Vec::new(),
        })
    }

    proptest! {
        #[test]
        fn packets_come_back_as_they_were(packet in any_packet()) {
            let bytes = Str::from(packet.encode(Version::Three).unwrap());
            let mut back = Packet::decode(&bytes).unwrap();
            prop_assert!(!back.chunks.is_empty());
            back.chunks.clear();
            prop_assert_eq!(&back, &packet);
            let bytes = Str::from(packet.encode(Version::Two).unwrap());
            let back = Packet::decode(&bytes).unwrap();
            prop_assert_eq!((back.source, back.destination), (packet.source, packet.destination));
            prop_assert_eq!((back.seconds, back.micros), (packet.seconds, packet.micros));
            prop_assert_eq!(u64::from(back.capture_id), u64::from(packet.capture_id) & 0xffff);
            let bytes = Str::from(packet.encode(Version::One).unwrap());
            let back = Packet::decode(&bytes).unwrap();
            prop_assert_eq!((back.protocol, &back.payload), (packet.protocol, &packet.payload));
        }

        #[test]
        fn cut_anywhere_a_packet_of_version_3_is_refused(packet in any_packet()) {
            let bytes = packet.encode(Version::Three).unwrap();
            for at in 0..bytes.len() {
                prop_assert!(Packet::decode(&Str::copy(&bytes[..at])).is_err(), "at {}", at);
            }
            for version in [Version::One, Version::Two] {
                let bytes = packet.encode(version).unwrap();
                let head = bytes.len() - packet.payload.len();
                for at in 0..=head {
                    prop_assert!(Packet::decode(&Str::copy(&bytes[..at])).is_err(), "at {}", at);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Packet::decode(&Str::from(bytes.clone()));
            for head in [&b"HEP3"[..], &[1, 16, 2], &[2, 16, 2]] {
                let _ = Packet::decode(&Str::from([head, &bytes].concat()));
            }
        }

        #[test]
        fn a_changed_byte_is_no_panic(packet in any_packet(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            for version in [Version::One, Version::Two, Version::Three] {
                let mut bytes = packet.encode(version).unwrap();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                let _ = Packet::decode(&Str::from(bytes));
            }
        }
    }

    #[test]
    fn two_families_do_not_fit_one_packet() {
        let packet = packet("10.0.0.1:1", "[2001:db8::1]:2");
        assert!(
            [Version::One, Version::Two, Version::Three]
                .iter()
                .all(|v| packet.encode(*v).is_none())
        );
        let mapped = Packet::new(
            "[::ffff:10.0.0.1]:5".parse().unwrap(),
            "10.0.0.2:6".parse().unwrap(),
            TCP,
            Str::from("x"),
        );
        assert_eq!(mapped.source, "10.0.0.1:5".parse().unwrap());
    }

    #[test]
    fn what_begins_as_hep_is_known() {
        for version in [Version::One, Version::Two, Version::Three] {
            for (a, b) in [("1.2.3.4:1", "5.6.7.8:2"), ("[2001::1]:1", "[2001::2]:2")] {
                assert!(Packet::is_likely(&packet(a, b).encode(version).unwrap()));
            }
        }
        assert!(!Packet::is_likely(b"OPTIONS sip:a SIP/2.0\r\n"));
        assert!(!Packet::is_likely(b"\x01\x01\x00\x2c"), "STUN");
    }
}
