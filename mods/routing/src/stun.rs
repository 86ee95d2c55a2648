//! Module `stun`: answers binding requests at SIP ports, the keep-alive of RFC 5626 section 4.4.2 (RFC 5389; clients of
//! RFC 3489, which have no magic cookie, too).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use kahea_module::{Decl, Env, InitError, Module, Str, Value, debug};
use kahea_sip::{Destination, Received, SendFlags};

/// The module.
pub struct Stun;

impl Module for Stun {
    const NAME: &'static str = "stun";
    type Params = ();

    fn declare(_: &mut Decl<Self>) {}

    fn init((): (), env: &mut Env<'_>) -> Result<Stun, InitError> {
        env.settings.declare(
            "stun",
            "stun_enabled",
            Value::Int(1),
            "STUN binding requests are answered.",
            true,
        );
        env.hooks.wire_in.push(Arc::new(|worker, received, data| {
            if !is_stun(&data) {
                return Some(data);
            }
            if let Some(answer) = answer(&data, received, &worker.config.server_header) {
                let back = Destination {
                    to: received.source,
                    transport: received.transport,
                    listener: Some(received.listener),
                    connection: received.connection,
                    flags: SendFlags::default(),
                };
                if let Err(fault) = worker.net.send(&back, Str::from(answer)) {
                    debug!("stun", "No answer to {}: {fault}.", received.source);
                }
            }
            None
        }));
        Ok(Stun)
    }
}

/// The two top bits of a STUN message are 0, as those of no SIP message are.
fn is_stun(data: &[u8]) -> bool {
    data.len() >= HEADER && data.first().is_some_and(|byte| *byte < 4)
}

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const SOFTWARE: u16 = 0x8022;

/// Attributes below 0x8000 must be understood; these are, in so far as an open server may pass them over.
const KNOWN: [u16; 8] = [
    MAPPED_ADDRESS,
    0x0006, // USERNAME
    0x0008, // MESSAGE-INTEGRITY
    ERROR_CODE,
    UNKNOWN_ATTRIBUTES,
    0x0014, // REALM
    0x0015, // NONCE
    XOR_MAPPED_ADDRESS,
];

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// The answer to a binding request. Indications, answers and what is not well formed get none (RFC 5389 section 7.3).
fn answer(data: &[u8], received: &Received, software: &[u8]) -> Option<Vec<u8>> {
    if number(data, 0)? != BINDING {
        return None;
    }
    let length = usize::from(number(data, 2)?);
    let attributes = data.get(HEADER..)?;
    if attributes.len() != length || !length.is_multiple_of(4) {
        return None;
    }
    let transaction = data.get(4..HEADER)?;
    let modern = transaction.starts_with(&COOKIE);
    let unknown = if modern { unknown(attributes)? } else { Vec::new() };
    let mut out = Answer::new(if unknown.is_empty() { SUCCESS } else { FAILURE }, transaction);
    if !unknown.is_empty() {
        out.attribute(ERROR_CODE, &[&[0, 0, 4, 20], &b"Unknown Attribute"[..]].concat());
        out.attribute(UNKNOWN_ATTRIBUTES, &unknown);
    } else if modern {
        out.attribute(XOR_MAPPED_ADDRESS, &address(received.source, transaction));
    } else {
        out.attribute(MAPPED_ADDRESS, &address(received.source, &[0; 16]));
    }
    if modern && !software.is_empty() {
        out.attribute(SOFTWARE, software.get(..127).unwrap_or(software));
    }
    Some(out.0)
}

/// The types of the attributes that must be understood and are not; `None` where the list is broken.
fn unknown(mut attributes: &[u8]) -> Option<Vec<u8>> {
    let mut list = Vec::new();
    while !attributes.is_empty() {
        let kind = number(attributes, 0)?;
        let padded = usize::from(number(attributes, 2)?).checked_next_multiple_of(4)?;
        if kind < 0x8000 && !KNOWN.contains(&kind) {
            list.extend_from_slice(&kind.to_be_bytes());
        }
        attributes = attributes.get(padded.checked_add(4)?..)?;
    }
    Some(list)
}

/// The value of an address attribute, mixed with the transaction (RFC 5389 section 15.2).
fn address(source: SocketAddr, mix: &[u8]) -> Vec<u8> {
    let (family, ip) = match source.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mixed = |bytes: &[u8]| -> Vec<u8> { bytes.iter().zip(mix).map(|(one, other)| one ^ other).collect() };
    let port = mixed(&source.port().to_be_bytes());
    [&[0, family], &port[..], &mixed(&ip)[..]].concat()
}

/// An answer under construction; its length is kept right.
struct Answer(Vec<u8>);

impl Answer {
    fn new(kind: u16, transaction: &[u8]) -> Answer {
        let mut out = kind.to_be_bytes().to_vec();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(transaction);
        Answer(out)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let whole = u16::try_from(self.0.len().saturating_sub(HEADER)).unwrap_or(u16::MAX);
        for (place, byte) in self.0.iter_mut().skip(2).zip(whole.to_be_bytes()) {
            *place = byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap();
        [
            &[0, 1],
            &length.to_be_bytes()[..],
            &COOKIE,
            b"abcdefghijkl",
            attributes,
        ]
        .concat()
    }

    fn ask(data: &[u8]) -> Option<Vec<u8>> {
        answer(data, &Server::default().invite().received, b"test")
    }

    /// As Kamailio answers, but for the name of the software.
    #[test]
    fn a_binding_request_learns_its_address() {
        let answer = ask(&request(b"")).unwrap();
        assert_eq!(
            answer,
            b"\x01\x01\x00\x14!\x12\xA4Babcdefghijkl\x00\x20\x00\x08\x00\x012\xD7^\x12\xA4C\x80\x22\x00\x04test"
        );
        let old = b"\x00\x01\x00\x00mnopabcdefghijkl";
        assert_eq!(
            ask(old).unwrap(),
            b"\x01\x01\x00\x0cmnopabcdefghijkl\x00\x01\x00\x08\x00\x01\x13\xC5\x7F\x00\x00\x01"
        );
    }

    #[test]
    fn an_address_of_ipv6_is_mixed_with_the_transaction() {
        let mix = [&COOKIE[..], b"abcdefghijkl"].concat();
        let source: SocketAddr = "[2001:db8::1]:5061".parse().unwrap();
        let value = address(source, &mix);
        assert_eq!(value.len(), 20);
        assert_eq!(&value[..8], &[0, 2, 0x32, 0xd7, 0x01, 0x13, 0xa9, 0xfa]);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let answer = ask(&request(b"\x00\x7f\x00\x03xxx\x00\x80\x7f\x00\x00")).unwrap();
        assert_eq!(&answer[..2], b"\x01\x11");
        let named = b"\x00\x0a\x00\x02\x00\x7f\x00\x00";
        assert!(answer.windows(8).any(|window| window == named));
        assert_eq!(answer.len() % 4, 0);
        assert_eq!(usize::from(number(&answer, 2).unwrap()), answer.len() - HEADER);
    }

    #[test]
    fn broken_messages_indications_and_answers_get_none() {
        for data in [
            &b"\x00\x01\x00\x20\x21\x12\xa4\x42abcdefghijkl"[..],
            b"\x00\x11\x00\x00\x21\x12\xa4\x42abcdefghijkl",
            b"\x01\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
            b"\x00\x01\x00\x04\x21\x12\xa4\x42abcdefghijkl\x00\x06\x00\x09",
            b"\x00\x01\x00\x02\x21\x12\xa4\x42abcdefghijkl\x00\x06",
            b"\x00\x01",
        ] {
            assert_eq!(ask(data), None);
        }
        assert!(!is_stun(b"\x00\x01\x00\x00!\x12\xa4Babc") && !is_stun(b"OPTIONS sip:a@b SIP/2.0\r\n"));
    }
}
