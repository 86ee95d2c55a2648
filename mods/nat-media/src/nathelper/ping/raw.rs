//! UDP datagrams with another source address than ours (IPv4, RFC 791 and 768), for `natping_socket` and
//! `udpping_from_path`. The system allows it to the superuser only.

use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// `IPPROTO_RAW`: the packet comes with its IP header.
const RAW: i32 = 255;
/// `IPPROTO_UDP`.
const UDP: u8 = 17;
const IP_HEADER: u16 = 20;
const UDP_HEADER: u16 = 8;

/// A raw socket.
pub(super) struct RawSocket(Socket);

impl RawSocket {
    /// Opens it.
    ///
    /// # Errors
    /// The process may not (`CAP_NET_RAW`), or the system has none.
    pub fn open() -> io::Result<RawSocket> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        socket.set_nonblocking(true)?;
        Ok(RawSocket(socket))
    }

    /// Sends a datagram at once or not at all.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn send(&self, from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> io::Result<()> {
        let packet = packet(from, to, data).ok_or(io::ErrorKind::InvalidInput)?;
        let to = SockAddr::from(SocketAddr::V4(to));
        self.0.send_to(&packet, &to).map(|_| ())
    }
}

/// IP header, UDP header without a checksum (which IPv4 allows), data. The system fills in the IP checksum.
fn packet(from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(data.len()).ok()?.checked_add(UDP_HEADER)?;
    let total = length.checked_add(IP_HEADER)?;
    let mut out = Vec::with_capacity(usize::from(total));
    // Version 4, five words of header, no type of service.
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&total.to_be_bytes());
    // Identification and fragment: none.
    out.extend_from_slice(&[0, 0, 0, 0]);
    // Time to live, protocol, checksum by the system.
    out.extend_from_slice(&[64, UDP, 0, 0]);
    out.extend_from_slice(&from.ip().octets());
    out.extend_from_slice(&to.ip().octets());
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(data);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_has_both_headers() {
        let (from, to) = ("192.0.2.1:5060".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
        let packet = packet(from, to, &[0; 4]).unwrap();
        assert_eq!(packet.len(), 32);
        assert_eq!(packet[2..4], [0, 32]);
        assert_eq!(packet[12..16], [192, 0, 2, 1]);
        assert_eq!(packet[20..26], [0x13, 0xc4, 0, 9, 0, 12]);
        assert!(super::packet(from, to, &vec![0; 65_536]).is_none());
    }
}
