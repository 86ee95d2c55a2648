//! Packet captures: messages as UDP over IP, whatever they came over, as Kamailio writes them.

use std::{net::IpAddr, time::SystemTime};

use crate::shot::Shot;

/// The head of a file: little endian, microseconds, version 2.4, raw IP.
pub const HEAD: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
];
/// What one packet holds at most: the length of IP has 16 bits.
const LONGEST: usize = 65_535 - 40 - 8;

/// A record: the message as a UDP packet.
pub fn packet(shot: &Shot, payload: &[u8]) -> Vec<u8> {
    let payload = payload.get(..LONGEST).unwrap_or(payload);
    let (source, destination) = (shot.from.ip().to_canonical(), shot.to.ip().to_canonical());
    let udp = u16::try_from(payload.len().saturating_add(8)).unwrap_or(u16::MAX);
    let mut ip = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ip4(source.octets(), destination.octets(), udp),
        (source, destination) => ip6(six(source), six(destination), udp),
    };
    ip.extend_from_slice(&shot.from.port().to_be_bytes());
    ip.extend_from_slice(&shot.to.port().to_be_bytes());
    ip.extend_from_slice(&udp.to_be_bytes());
    // No checksum.
    ip.extend_from_slice(&[0, 0]);
    ip.extend_from_slice(payload);
    let since = shot.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let length = u32::try_from(ip.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = Vec::with_capacity(ip.len().saturating_add(16));
    out.extend_from_slice(&u32::try_from(since.as_secs()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&since.subsec_micros().to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&length);
    out.extend_from_slice(&ip);
    out
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

fn ip4(source: [u8; 4], destination: [u8; 4], udp: u16) -> Vec<u8> {
    let [high, low] = udp.saturating_add(20).to_be_bytes();
    let mut head = vec![0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0];
    head.extend_from_slice(&source);
    head.extend_from_slice(&destination);
    let words = head.chunks_exact(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    // Ten words of 16 bits: the sum of the carries fits once more.
    let sum = words.fold(0_u32, u32::saturating_add);
    let sum = (sum & 0xffff).saturating_add(sum >> 16);
    let sum = (sum & 0xffff).saturating_add(sum >> 16);
    let [.., high, low] = (!sum).to_be_bytes();
    if let Some(place) = head.get_mut(10..12) {
        place.copy_from_slice(&[high, low]);
    }
    head
}

fn ip6(source: [u8; 16], destination: [u8; 16], udp: u16) -> Vec<u8> {
    let [high, low] = udp.to_be_bytes();
    let mut head = vec![0x60, 0, 0, 0, high, low, 17, 64];
    head.extend_from_slice(&source);
    head.extend_from_slice(&destination);
    head
}

/// The message with the header `P-KSR-SIPDump`.
pub fn with_header(shot: &Shot, text: &str) -> Vec<u8> {
    let at = shot
        .data
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(0, |at| at.saturating_add(1));
    match shot.data.split_at_checked(at) {
        Some((line, rest)) if at > 0 => [line, b"P-KSR-SIPDump: ", text.as_bytes(), b"\r\n", rest].concat(),
        _ => shot.data.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn packets_are_ip() {
        let server = Server::default();
        let shot = Shot::of(&server.invite());
        let record = packet(&shot, &shot.data);
        assert_eq!(record.len(), 16 + 28 + shot.data.len());
        let head = &record[16..36];
        let sum: u32 = head
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum of the header");
        assert_eq!(&record[36..40], [0x13, 0xc5, 0x13, 0xc4]);
        let six = Shot {
            from: "[2001:db8::1]:5060".parse().unwrap(),
            ..shot.clone()
        };
        assert_eq!(packet(&six, b"x").len(), 16 + 48 + 1);
        assert!(packet(&shot, &vec![b'x'; 70_000]).len() < 65_600);
    }

    #[test]
    fn the_header_is_the_first() {
        let server = Server::default();
        let shot = Shot::of(&server.invite());
        let text = String::from_utf8(with_header(&shot, "pid=1")).unwrap();
        assert_eq!(text.lines().nth(1), Some("P-KSR-SIPDump: pid=1"));
    }
}
