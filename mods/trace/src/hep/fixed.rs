//! Versions 1 and 2: a header of fixed parts. Addresses are in network order; the time and the agent of version 2 are, as
//! Kamailio sends them, in the order of the sender's machine, which for all practical ones is little endian.

use std::net::{IpAddr, SocketAddr};

use kahea_module::Str;

use super::{Malformed, Packet, Reader, Version, kind};

const V4: u8 = 2;
const V6: u8 = 10;
/// The header with ports, before the addresses.
const HEAD: usize = 8;
/// The time and the agent; as C lays them out, with two bytes of nothing.
const TIME: usize = 12;
/// The same packed, as some agents send it.
const TIME_PACKED: usize = 10;

fn addresses_length(family: u8) -> Result<usize, Malformed> {
    match family {
        V4 => Ok(8),
        V6 => Ok(32),
        _ => Err(Malformed::Family),
    }
}

/// The bytes of a packet.
pub fn encode(packet: &Packet, version: Version) -> Vec<u8> {
    let mut addresses = Vec::with_capacity(32);
    for address in [packet.source, packet.destination] {
        match address.ip() {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    // As in Kamailio, the length says nothing of the time of version 2.
    let (family, length) = match packet.source.is_ipv4() {
        true => (V4, HEAD + 8),
        false => (V6, HEAD + 32),
    };
    let mut out = Vec::with_capacity(packet.payload.len().saturating_add(HEAD + 32 + TIME));
    let number = if version == Version::Two { 2 } else { 1 };
    // No length here exceeds 40.
    out.extend_from_slice(&[
        number,
        u8::try_from(length).unwrap_or(u8::MAX),
        family,
        packet.protocol,
    ]);
    out.extend_from_slice(&packet.source.port().to_be_bytes());
    out.extend_from_slice(&packet.destination.port().to_be_bytes());
    out.extend_from_slice(&addresses);
    if version == Version::Two {
        out.extend_from_slice(&packet.seconds.to_le_bytes());
        out.extend_from_slice(&packet.micros.to_le_bytes());
        let [low, high, ..] = packet.capture_id.to_le_bytes();
        out.extend_from_slice(&[low, high, 0, 0]);
    }
    out.extend_from_slice(&packet.payload);
    out
}

/// Reads a packet.
pub fn decode(data: &Str, version: Version) -> Result<Packet, Malformed> {
    let mut reader = Reader(data);
    let [_, length, family, protocol] = reader.array()?;
    let (source, destination) = (reader.short()?, reader.short()?);
    let addresses = addresses_length(family)?;
    let (source, destination) = match family {
        V4 => (
            end::<4>(&mut reader, source)?,
            end::<4>(&mut reader, destination)?,
        ),
        _ => (
            end::<16>(&mut reader, source)?,
            end::<16>(&mut reader, destination)?,
        ),
    };
    let mut packet = Packet {
        version,
        kind: kind::SIP,
        ..Packet::new(source, destination, protocol, Str::EMPTY)
    };
    let fixed = HEAD.saturating_add(addresses);
    if version == Version::Two {
        let packed = usize::from(length) == fixed.saturating_add(TIME_PACKED);
        packet.seconds = u32::from_le_bytes(reader.array()?);
        packet.micros = u32::from_le_bytes(reader.array()?);
        packet.capture_id = u16::from_le_bytes(reader.array()?).into();
        if !packed {
            reader.take(TIME - TIME_PACKED)?;
        }
    }
    if reader.0.is_empty() {
        return Err(Malformed::Empty);
    }
    packet.payload = data.share(reader.0);
    Ok(packet)
}

fn end<const N: usize>(reader: &mut Reader<'_>, port: u16) -> Result<SocketAddr, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    Ok(SocketAddr::new(IpAddr::from(reader.array::<N>()?), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_that_kamailio_sends() {
        let packet = super::super::tests::packet("127.0.0.1:5061", "127.0.0.1:5060");
        let bytes = packet.encode(Version::One).unwrap();
        assert!(
            bytes.starts_with(b"\x01\x10\x02\x11\x13\xc5\x13\xc4\x7f\x00\x00\x01\x7f\x00\x00\x01OPTIONS")
        );
        let bytes = packet.encode(Version::Two).unwrap();
        assert!(bytes.starts_with(
            b"\x02\x10\x02\x11\x13\xc5\x13\xc4\x7f\x00\x00\x01\x7f\x00\x00\x01\x00\xf1\x53\x65"
        ));
        assert_eq!(&bytes[24..28], b"\xea\x00\x00\x00");
    }

    #[test]
    fn packed_times_are_read() {
        let packet = super::super::tests::packet("127.0.0.1:5061", "127.0.0.1:5060");
        let mut bytes = packet.encode(Version::Two).unwrap();
        bytes[1] = 26;
        bytes.drain(26..28);
        let back = Packet::decode(&Str::from(bytes)).unwrap();
        assert_eq!((back.capture_id, back.payload), (234, packet.payload));
    }
}
