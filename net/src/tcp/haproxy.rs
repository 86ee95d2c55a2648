//! The PROXY protocol, versions 1 and 2 (`tcp_accept_haproxy`): who is behind the load balancer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses of a header; `None` where the balancer speaks for itself (LOCAL, UNKNOWN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The real peer and the address that it connected to.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// Bytes that the header took.
    pub length: usize,
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LONGEST_V1: usize = 107;
const LONGEST_V2: usize = 1024;

/// Reads a header at the start of a connection: `Ok(None)` needs more bytes; an error is no PROXY header.
pub fn parse(data: &[u8]) -> Result<Option<Header>, &'static str> {
    if data.starts_with(SIGNATURE) {
        return version_2(data);
    }
    if data.len() < SIGNATURE.len() && SIGNATURE.starts_with(data) {
        return Ok(None);
    }
    version_1(data)
}

fn version_1(data: &[u8]) -> Result<Option<Header>, &'static str> {
    const PREFIX: &[u8] = b"PROXY ";
    let common = data.len().min(PREFIX.len());
    if data.get(..common) != PREFIX.get(..common) {
        return Err("the connection does not begin with a PROXY header");
    }
    let head = data.get(..data.len().min(LONGEST_V1)).unwrap_or_default();
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if data.len() < LONGEST_V1 {
            Ok(None)
        } else {
            Err("the PROXY line does not end")
        };
    };
    let line = head
        .get(..end)
        .and_then(|l| std::str::from_utf8(l).ok())
        .ok_or("the PROXY line is not text")?;
    let length = end.saturating_add(2);
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Some(Header {
            addresses: None,
            length,
        }));
    }
    let mut next = || words.next().ok_or("the PROXY line lacks a field");
    let (source, target) = (next()?, next()?);
    let (source_port, target_port) = (next()?, next()?);
    let address = |ip: &str, port: &str| -> Option<SocketAddr> {
        let ip: IpAddr = ip.parse().ok()?;
        let fits = matches!(
            (family, ip),
            (Some("TCP4"), IpAddr::V4(_)) | (Some("TCP6"), IpAddr::V6(_))
        );
        fits.then(|| Some(SocketAddr::new(ip, port.parse().ok()?)))?
    };
    let bad = "the PROXY line has a bad address";
    let source = address(source, source_port).ok_or(bad)?;
    let target = address(target, target_port).ok_or(bad)?;
    if words.next().is_some() {
        return Err("the PROXY line has too many fields");
    }
    Ok(Some(Header {
        addresses: Some((source, target)),
        length,
    }))
}

fn version_2(data: &[u8]) -> Result<Option<Header>, &'static str> {
    let Some(&[command, family, high, low]) = data.get(12..16) else {
        return Ok(None);
    };
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > LONGEST_V2 {
        return Err("the PROXY header is too long");
    }
    if command >> 4 != 2 {
        return Err("unknown version of the PROXY protocol");
    }
    let length = body.saturating_add(16);
    let Some(body) = data.get(16..length) else {
        return Ok(None);
    };
    let addresses = match (command & 0xf, family) {
        (0, _) => None,
        (1, 0x11) => Some(pair::<4>(body).ok_or("the PROXY header is too short")?),
        (1, 0x21) => Some(pair::<16>(body).ok_or("the PROXY header is too short")?),
        (1, _) => None,
        _ => return Err("unknown command of the PROXY protocol"),
    };
    Ok(Some(Header { addresses, length }))
}

/// Two addresses of `N` bytes, then two ports.
fn pair<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (target, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let target_port = rest.first_chunk::<2>()?;
    let ip = |bytes: &[u8]| -> Option<IpAddr> {
        match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
            _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        }
    };
    let source = SocketAddr::new(ip(source)?, u16::from_be_bytes(*source_port));
    Some((
        source,
        SocketAddr::new(ip(target)?, u16::from_be_bytes(*target_port)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(family: u8, body: &[u8]) -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0x21, family]);
        data.extend((body.len() as u16).to_be_bytes());
        data.extend(body);
        data
    }

    #[test]
    fn both_versions_give_the_addresses_at_any_split() {
        let one = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 5060\r\n".to_vec();
        let body = [192, 0, 2, 1, 198, 51, 100, 2, 220, 4, 19, 196];
        let two = v2(0x11, &body);
        for data in [one, two] {
            for cut in 0..data.len() {
                assert_eq!(parse(&data[..cut]), Ok(None), "{cut} of {data:?}");
            }
            let header = parse(&[&data[..], b"OPTIONS"].concat()).unwrap().unwrap();
            let (source, target) = header.addresses.unwrap();
            assert_eq!(source.to_string(), "192.0.2.1:56324");
            assert_eq!(target.to_string(), "198.51.100.2:5060");
            assert_eq!(header.length, data.len());
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bad in [
            &b"OPTIONS sip:a@b SIP/2.0\r\n"[..],
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            &[b'P'; 200],
            &v2(0x11, &[1, 2, 3]),
            &v2(0x11, &[0; 2000]),
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_balancer_may_speak_for_itself() {
        assert_eq!(parse(b"PROXY UNKNOWN\r\n").unwrap().unwrap().addresses, None);
        let mut local = v2(0x00, &[]);
        local[12] = 0x20;
        assert_eq!(
            parse(&local),
            Ok(Some(Header {
                addresses: None,
                length: 16
            }))
        );
    }
}
