//! Version 3: `HEP3`, the whole length, and chunks of vendor, kind, length and value.

use std::net::{IpAddr, SocketAddr};

use kahea_module::Str;

use super::{Malformed, Packet, Reader, Version, kind};

const V4: u8 = 2;
const V6: u8 = 10;
/// The mark and the whole length.
const HEAD: usize = 6;
/// Vendor, kind and length of a chunk.
const CHUNK: usize = 6;

/// The kinds of chunks of the vendor 0 that are read and written.
mod id {
    pub const FAMILY: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const SOURCE_4: u16 = 3;
    pub const DESTINATION_4: u16 = 4;
    pub const SOURCE_6: u16 = 5;
    pub const DESTINATION_6: u16 = 6;
    pub const SOURCE_PORT: u16 = 7;
    pub const DESTINATION_PORT: u16 = 8;
    pub const SECONDS: u16 = 9;
    pub const MICROS: u16 = 10;
    pub const KIND: u16 = 11;
    pub const CAPTURE_ID: u16 = 12;
    pub const AUTH_KEY: u16 = 14;
    pub const PAYLOAD: u16 = 15;
    pub const CORRELATION: u16 = 17;
}

/// A chunk of a decoded packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// 0 for those of the protocol itself.
    pub vendor: u16,
    /// Its kind.
    pub id: u16,
    /// Its bytes.
    pub value: Str,
}

/// The bytes of a packet; `None` where it is longer than its length can say.
pub fn encode(packet: &Packet) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(packet.payload.len().saturating_add(160));
    out.extend_from_slice(b"HEP3\0\0");
    let mut chunk = |id: u16, value: &[u8]| -> Option<()> {
        let length = u16::try_from(value.len().checked_add(CHUNK)?).ok()?;
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
        Some(())
    };
    let family = if packet.source.is_ipv4() { V4 } else { V6 };
    chunk(id::FAMILY, &[family])?;
    chunk(id::PROTOCOL, &[packet.protocol])?;
    for (address, id4, id6) in [
        (packet.source, id::SOURCE_4, id::SOURCE_6),
        (packet.destination, id::DESTINATION_4, id::DESTINATION_6),
    ] {
        match address.ip() {
            IpAddr::V4(ip) => chunk(id4, &ip.octets())?,
            IpAddr::V6(ip) => chunk(id6, &ip.octets())?,
        }
    }
    chunk(id::SOURCE_PORT, &packet.source.port().to_be_bytes())?;
    chunk(id::DESTINATION_PORT, &packet.destination.port().to_be_bytes())?;
    chunk(id::SECONDS, &packet.seconds.to_be_bytes())?;
    chunk(id::MICROS, &packet.micros.to_be_bytes())?;
    chunk(id::KIND, &[packet.kind])?;
    chunk(id::CAPTURE_ID, &packet.capture_id.to_be_bytes())?;
    if let Some(correlation) = &packet.correlation {
        chunk(id::CORRELATION, correlation)?;
    }
    if let Some(key) = &packet.auth_key {
        chunk(id::AUTH_KEY, key)?;
    }
    chunk(id::PAYLOAD, &packet.payload)?;
    let length = u16::try_from(out.len()).ok()?;
    let place = out.get_mut(4..HEAD)?;
    place.copy_from_slice(&length.to_be_bytes());
    Some(out)
}

#[derive(Default)]
struct Parts {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    source_port: u16,
    destination_port: u16,
    protocol: u8,
    seconds: u32,
    micros: u32,
    kind: Option<u8>,
    capture_id: u32,
    auth_key: Option<Str>,
    correlation: Option<Str>,
    payload: Option<Str>,
}

/// Reads a packet.
pub fn decode(data: &Str) -> Result<Packet, Malformed> {
    let mut reader = Reader(data);
    reader.take(4)?;
    let length = usize::from(reader.short()?);
    let inside = length.checked_sub(HEAD).ok_or(Malformed::Truncated)?;
    let mut reader = Reader(reader.take(inside)?);
    let mut parts = Parts::default();
    let mut chunks = Vec::new();
    while !reader.0.is_empty() {
        let (vendor, id, length) = (reader.short()?, reader.short()?, reader.short()?);
        let length = usize::from(length)
            .checked_sub(CHUNK)
            .ok_or(Malformed::Chunk(id))?;
        let value = data.share(reader.take(length)?);
        if vendor == 0 {
            parts.take(id, &value)?;
        }
        chunks.push(Chunk { vendor, id, value });
    }
    parts.packet(chunks)
}

impl Parts {
    fn take(&mut self, id: u16, value: &Str) -> Result<(), Malformed> {
        match id {
            id::FAMILY => match fixed::<1>(id, value)? {
                [V4 | V6] => {}
                _ => return Err(Malformed::Family),
            },
            id::PROTOCOL => [self.protocol] = fixed(id, value)?,
            id::SOURCE_4 => self.source = Some(fixed::<4>(id, value)?.into()),
            id::DESTINATION_4 => self.destination = Some(fixed::<4>(id, value)?.into()),
            id::SOURCE_6 => self.source = Some(fixed::<16>(id, value)?.into()),
            id::DESTINATION_6 => self.destination = Some(fixed::<16>(id, value)?.into()),
            id::SOURCE_PORT => self.source_port = u16::from_be_bytes(fixed(id, value)?),
            id::DESTINATION_PORT => self.destination_port = u16::from_be_bytes(fixed(id, value)?),
            id::SECONDS => self.seconds = u32::from_be_bytes(fixed(id, value)?),
            id::MICROS => self.micros = u32::from_be_bytes(fixed(id, value)?),
            id::KIND => self.kind = Some(fixed::<1>(id, value)?).map(|[kind]| kind),
            id::CAPTURE_ID => self.capture_id = u32::from_be_bytes(fixed(id, value)?),
            id::AUTH_KEY => self.auth_key = Some(value.clone()),
            id::CORRELATION => self.correlation = Some(value.clone()),
            id::PAYLOAD => self.payload = Some(value.clone()),
            _ => {}
        }
        Ok(())
    }

    fn packet(self, chunks: Vec<Chunk>) -> Result<Packet, Malformed> {
        let (Some(source), Some(destination)) = (self.source, self.destination) else {
            return Err(Malformed::Family);
        };
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(Malformed::Family);
        }
        let payload = self.payload.filter(|payload| !payload.is_empty());
        Ok(Packet {
            version: Version::Three,
            source: SocketAddr::new(source, self.source_port),
            destination: SocketAddr::new(destination, self.destination_port),
            protocol: self.protocol,
            seconds: self.seconds,
            micros: self.micros,
            kind: self.kind.unwrap_or(kind::SIP),
            capture_id: self.capture_id,
            auth_key: self.auth_key,
            correlation: self.correlation,
            payload: payload.ok_or(Malformed::Empty)?,
            chunks,
        })
    }
}

fn fixed<const N: usize>(id: u16, value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::Chunk(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_kamailios() {
        let packet = super::super::tests::packet("127.0.0.1:5061", "127.0.0.1:5060");
        let bytes = Str::from(encode(&packet).unwrap());
        let order: Vec<u16> = decode(&bytes)
            .unwrap()
            .chunks
            .iter()
            .map(|chunk| chunk.id)
            .collect();
        assert_eq!(order, [1, 2, 3, 4, 7, 8, 9, 10, 11, 12, 17, 14, 15]);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])), bytes.len());
    }

    #[test]
    fn what_does_not_fit_is_not_sent() {
        let mut packet = super::super::tests::packet("127.0.0.1:5061", "127.0.0.1:5060");
        packet.payload = Str::from(vec![b'x'; 65_600]);
        assert_eq!(encode(&packet), None);
    }

    #[test]
    fn chunks_of_others_are_kept_and_wrong_lengths_refused() {
        let packet = super::super::tests::packet("127.0.0.1:5061", "127.0.0.1:5060");
        let mut bytes = encode(&packet).unwrap();
        bytes.extend_from_slice(&[0, 9, 0, 7, 0, 8, 1, 2]);
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        let back = decode(&Str::from(bytes.clone())).unwrap();
        assert_eq!(
            back.chunks.last().unwrap(),
            &Chunk {
                vendor: 9,
                id: 7,
                value: Str::copy(&[1, 2])
            }
        );
        assert_eq!(back.source.port(), 5061, "chunk 7 of another vendor is no port");
        // A port of three bytes.
        bytes.extend_from_slice(&[0, 0, 0, 7, 0, 9, 1, 2, 3]);
        let length = u16::try_from(bytes.len()).unwrap();
        bytes[4..6].copy_from_slice(&length.to_be_bytes());
        assert_eq!(decode(&Str::from(bytes)), Err(Malformed::Chunk(7)));
    }
}
