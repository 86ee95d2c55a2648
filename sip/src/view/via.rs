//! Via, RFC 3261 20.42 (with `rport` of RFC 3581 and `alias` of RFC 5923).

use std::net::IpAddr;

use super::{
    Malformed, Params,
    scan::{self, Nesting},
    uri,
};
use crate::Transport;

/// One hop: `SIP/2.0/UDP host:port;branch=z9hG4bK…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// The whole hop, without blanks around it.
    pub raw: &'a [u8],
    /// The protocol's name, `SIP`.
    pub protocol: &'a [u8],
    /// The protocol's version, `2.0`.
    pub version: &'a [u8],
    /// The transport as it is written.
    pub transport_text: &'a [u8],
    /// The transport; [`Transport::None`] for one that is not known.
    pub transport: Transport,
    /// The host of `sent-by`, an IPv6 reference with its brackets.
    pub host: &'a [u8],
    /// The port of `sent-by`, where one is stated.
    pub port: Option<u16>,
    /// The port as it is written; empty and in its place where there is none.
    pub port_text: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
    /// The comment, parentheses included, which RFC 2543 allowed.
    pub comment: Option<&'a [u8]>,
}

/// The `rport` parameter (RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rport {
    /// Without a value: the client asks for the answer at its source port.
    Asked,
    /// The source port that a server saw.
    Port(u16),
}

impl<'a> Via<'a> {
    /// Reads one hop; all of `text` belongs to it.
    ///
    /// # Errors
    /// No protocol, version, transport or host, a port above 65535, or text that is no parameter.
    pub fn parse(text: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let raw = scan::trim(text);
        Via::read(raw).map_err(|error| error.shifted(scan::offset(text, raw)))
    }

    fn read(raw: &'a [u8]) -> Result<Via<'a>, Malformed> {
        let (protocol, rest) = until_slash(raw, raw)?;
        let (version, rest) = until_slash(raw, rest)?;
        let length = scan::token_length(rest);
        let (transport_text, rest) = (scan::before(rest, length), scan::after(rest, length));
        if length == 0 {
            return Err(Malformed::new("Via without a transport", scan::offset(raw, rest)));
        }
        if !rest.first().is_some_and(|b| scan::is_lws(*b)) {
            return Err(Malformed::new("Via without a host", scan::offset(raw, rest)));
        }
        let place = scan::trim_start(rest);
        let at = scan::host_port(place, true).map_err(|e| e.shifted(scan::offset(raw, place)))?;
        let rest = scan::trim_start(at.rest);
        if !matches!(rest.first(), None | Some(b';' | b'(')) {
            return Err(Malformed::new(
                "text after the host that is no parameter",
                scan::offset(raw, rest),
            ));
        }
        let (params, comment) = tail(raw, rest)?;
        Ok(Via {
            raw,
            protocol,
            version,
            transport_text,
            transport: transport(transport_text),
            host: at.host,
            port: at.port,
            port_text: at.port_text,
            params,
            comment,
        })
    }

    /// `;branch=`; `None` where it is absent or empty.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.value("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch begins with the cookie of RFC 3261 8.1.1.7, so it names the transaction by itself.
    pub fn has_cookie(&self) -> bool {
        self.branch()
            .and_then(|branch| branch.get(..7))
            .is_some_and(|head| head.eq_ignore_ascii_case(b"z9hG4bK"))
    }

    /// `;received=` as it is written.
    pub fn received(&self) -> Option<&'a [u8]> {
        self.params.value("received")
    }

    /// `;received=` as an address, IPv6 with or without brackets (RFC 5118 4.5).
    pub fn received_ip(&self) -> Option<IpAddr> {
        uri::host_ip(self.received()?)
    }

    /// `;rport`; a value that is no port counts as absent.
    pub fn rport(&self) -> Option<Rport> {
        match self.params.get("rport")?.value {
            None | Some(b"") => Some(Rport::Asked),
            Some(port) => scan::number(port).map(Rport::Port),
        }
    }

    /// `;maddr=`
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.value("maddr")
    }

    /// `;ttl=`, 0 to 255.
    pub fn ttl(&self) -> Option<u8> {
        scan::number(self.params.value("ttl")?)
    }

    /// `;alias`: the connection may be used for requests in the other direction (RFC 5923).
    pub fn alias(&self) -> bool {
        self.params.has("alias")
    }

    /// `;i=`, Kamailio's note of the connection that the request came over.
    pub fn i(&self) -> Option<&'a [u8]> {
        self.params.value("i")
    }

    /// The host of `sent-by` as an address.
    pub fn host_ip(&self) -> Option<IpAddr> {
        uri::host_ip(self.host)
    }

    /// `sent-by`: host and port as they are written.
    pub fn sent_by(&self) -> &'a [u8] {
        let from = scan::offset(self.raw, self.host);
        let end = if self.port_text.is_empty() {
            self.host
        } else {
            self.port_text
        };
        scan::cut(self.raw, from, scan::offset(self.raw, end) + end.len())
    }
}

/// [`Transport::parse`] with the common spellings first.
fn transport(text: &[u8]) -> Transport {
    match text {
        b"UDP" => Transport::Udp,
        b"TCP" => Transport::Tcp,
        b"TLS" => Transport::Tls,
        _ => Transport::parse(text).unwrap_or_default(),
    }
}

/// `token LWS / LWS`: the token and what follows.
fn until_slash<'a>(raw: &'a [u8], text: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let length = scan::token_length(text);
    let rest = scan::trim_start(scan::after(text, length));
    match rest {
        [b'/', rest @ ..] if length > 0 => Ok((scan::before(text, length), scan::trim_start(rest))),
        _ => Err(Malformed::new(
            "Via without protocol and version",
            scan::offset(raw, rest),
        )),
    }
}

/// `[;params] [(comment)]`
fn tail<'a>(raw: &'a [u8], tail: &'a [u8]) -> Result<(Params<'a>, Option<&'a [u8]>), Malformed> {
    // Without a parenthesis there is no comment, and no need to know which ones stand in quotes.
    let at = match memchr::memchr(b'(', tail) {
        Some(_) => scan::find(tail, 0, Nesting::Header, |b| b == b'(').unwrap_or(tail.len()),
        None => tail.len(),
    };
    let (params, comment) = (scan::before(tail, at), scan::after(tail, at));
    let comment = match comment {
        [] => None,
        _ => {
            let end = scan::comment_end(comment, 0).map_err(|e| e.shifted(scan::offset(raw, comment)))?;
            let rest = scan::trim_start(scan::after(comment, end));
            if !rest.is_empty() {
                return Err(Malformed::new("text after the comment", scan::offset(raw, rest)));
            }
            Some(scan::before(comment, end))
        }
    };
    let params = params.strip_prefix(b";").unwrap_or(params);
    Ok((Params::header(params), comment))
}

/// Walks the hops of one Via header.
#[derive(Clone, Debug)]
pub struct Vias<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Vias<'a> {
    /// The hops of `text`: empty elements are passed over; after an error the walk ends.
    pub const fn new(text: &'a [u8]) -> Vias<'a> {
        Vias { text, at: 0 }
    }
}

impl<'a> Iterator for Vias<'a> {
    type Item = Result<Via<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, piece) = match scan::next_element(self.text, &mut self.at, Nesting::Comments)? {
            Ok(element) => element,
            Err(error) => return Some(Err(error)),
        };
        let parsed = Via::parse(piece).map_err(|error| error.shifted(start));
        if parsed.is_err() {
            self.at = self.text.len();
        }
        Some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::range_in;
    use proptest::prelude::*;

    fn via(text: &str) -> Via<'_> {
        Via::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn takes_a_hop_apart() {
        let text = "SIP/2.0/TLS [2001:db8::9:1]:5061;received=2001:db8::9:255;rport=4444;branch=z9hG4bKas3;alias;i=1a;ttl=16;maddr=a.b";
        let hop = via(text);
        assert_eq!(
            (hop.protocol, hop.version, hop.transport),
            (&b"SIP"[..], &b"2.0"[..], Transport::Tls)
        );
        assert_eq!((hop.host, hop.port), (&b"[2001:db8::9:1]"[..], Some(5061)));
        assert_eq!(hop.host_ip(), Some("2001:db8::9:1".parse().unwrap()));
        assert_eq!(hop.received_ip(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!((hop.branch(), hop.has_cookie()), (Some(&b"z9hG4bKas3"[..]), true));
        assert_eq!(
            (hop.rport(), hop.alias(), hop.ttl()),
            (Some(Rport::Port(4444)), true, Some(16))
        );
        assert_eq!((hop.i(), hop.maddr()), (Some(&b"1a"[..]), Some(&b"a.b"[..])));
        assert_eq!(hop.sent_by(), b"[2001:db8::9:1]:5061");
        assert_eq!(range_in(text.as_bytes(), hop.host), Some(12..27));
    }

    /// RFC 4475 3.1.1.1 (wsinv) and 3.1.1.10 (transports), and comments as RFC 2543 had them.
    #[test]
    fn odd_hops() {
        let hop = via("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw");
        assert_eq!(
            (hop.version, hop.transport, hop.host),
            (&b"2.0"[..], Transport::Udp, &b"192.0.2.2"[..])
        );
        assert!(!hop.has_cookie());
        let hop = via(
            "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,"
                .trim_end_matches(','),
        );
        assert_eq!(
            (hop.host, hop.branch()),
            (&b"spindle.example.com"[..], Some(&b"z9hG4bK9ikj8"[..]))
        );
        let hop = via("SIP/2.0/UNKNOWN t.example : 5070;rport (Acme, \"Inc\" \\))");
        assert_eq!(
            (hop.transport, hop.transport_text),
            (Transport::None, &b"UNKNOWN"[..])
        );
        assert_eq!((hop.port, hop.rport()), (Some(5070), Some(Rport::Asked)));
        assert_eq!(hop.comment, Some(&b"(Acme, \"Inc\" \\))"[..]));
        assert_eq!(hop.sent_by(), b"t.example : 5070");
        assert_eq!(via("SIP/2.0/UDP h;rport=").rport(), Some(Rport::Asked));
        assert_eq!(via("SIP/2.0/UDP h;rport=x").rport(), None);
        assert_eq!(via("SIP/2.0/UDP h;branch=").branch(), None);
        assert_eq!(
            via("SIP/2.0/UDP 192.0.2.1;;,;,,".split(',').next().unwrap()).host,
            b"192.0.2.1"
        );
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP :]",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0 UDP h",
            "SIP/2.0/ h",
            "/2.0/UDP h",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP h h",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h (open",
            "SIP/2.0/UDP h (a) b",
            "SIP/2.0/UDP:h",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_hops() {
        let text = b"SIP/2.0/UDP a;x=\",\" (c,d) ,, SIP/2.0/TCP b:1;branch=2,SIP/2.0/UDP :]";
        let hops: Vec<_> = Vias::new(text).map(|via| via.map(|via| via.host)).collect();
        assert_eq!(hops.len(), 3);
        assert_eq!((hops[0], hops[1]), (Ok(&b"a"[..]), Ok(&b"b"[..])));
        assert!(hops[2].is_err_and(|error| error.at > 50));
    }

    proptest! {
        #[test]
        fn pieces_are_parts_of_the_input(text in "(SIP */ *2.0 */ *UDP )?[ \"\\\\<>;,=a:()\\[\\]\r\n]{0,20}") {
            for hop in Vias::new(text.as_bytes()).flatten() {
                for piece in [hop.raw, hop.host, hop.port_text, hop.params.raw, hop.sent_by()] {
                    prop_assert!(range_in(text.as_bytes(), piece).is_some());
                }
                prop_assert_eq!(Via::parse(hop.raw), Ok(hop));
            }
        }
    }
}
