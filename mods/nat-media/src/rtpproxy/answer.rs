//! What a proxy answers.

use std::net::IpAddr;

/// Where the proxy takes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    pub port: u16,
    pub address: IpAddr,
}

impl Relayed {
    /// Reads `PORT [ADDRESS [more]]`; without an address it is the proxy's own.
    pub fn parse(answer: &[u8], own: IpAddr) -> Option<Relayed> {
        let text = std::str::from_utf8(answer).ok()?;
        let mut words = text.split_ascii_whitespace();
        let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
        let address = match words.next() {
            Some(word) => word.parse().ok()?,
            None => own,
        };
        Some(Relayed { port, address })
    }
}

/// Whether an answer to a version question says that the proxy can.
pub fn can(answer: &[u8]) -> bool {
    answer.trim_ascii() == b"1"
}

/// Whether an answer to `V` is that of a proxy whose protocol is spoken here.
pub fn is_proxy(answer: &[u8]) -> bool {
    let number = std::str::from_utf8(answer.trim_ascii());
    number.is_ok_and(|number| number.parse::<u32>().is_ok_and(|version| version >= 20_040_107))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_ports_and_addresses() {
        let own: IpAddr = "192.0.2.1".parse().unwrap();
        let of = |text: &str| {
            Relayed::parse(text.as_bytes(), own).map(|relayed| (relayed.port, relayed.address.to_string()))
        };
        assert_eq!(of("35000\n"), Some((35_000, "192.0.2.1".into())));
        assert_eq!(of("35000 2001:db8::5 6\n"), Some((35_000, "2001:db8::5".into())));
        for bad in ["", "E5", "0", "-1", "70000", "35000 bad", "x"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert!(is_proxy(b"20040107\n") && !is_proxy(b"E1") && can(b"1\n") && !can(b"0"));
    }
}
