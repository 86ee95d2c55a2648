//! What one contact is sent, and where to.

use std::net::SocketAddrV4;

use kahea_module::{Listener, Str};
use kahea_sip::{
    ListenerId, Transport,
    view::{Addrs, Uri},
};

/// How contacts are pinged.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub nated_only: bool,
    /// The branch flag for SIP pings, as a bit.
    pub sip: Option<u32>,
    /// The branch flag that turns pings off, as a bit.
    pub off: Option<u32>,
    pub from: Str,
    pub method: Str,
    pub listener: Option<ListenerId>,
    /// The source that UDP pings claim to have.
    pub spoofed: Option<SocketAddrV4>,
    pub from_path: bool,
    pub ignore_path: bool,
}

/// What the pings have to know of a contact.
#[derive(Clone, Debug, Default)]
pub(super) struct Bound {
    pub uri: Str,
    /// Where it registered from; empty where that is not known.
    pub received: Str,
    /// Its Path as one header value; empty without.
    pub path: Str,
    /// Branch flags.
    pub flags: u32,
    pub ruid: Str,
    /// The socket that it registered at.
    pub listener: Option<ListenerId>,
    pub connection: Option<kahea_sip::ConnectionId>,
}

/// A ping that is due.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ping {
    /// Four zero bytes to this URI.
    Zeros(Str),
    /// Four zero bytes to the second URI that claim to come from the first.
    Spoofed { from: Str, to: Str },
    /// A request to this URI.
    Request(Str),
}

impl Options {
    /// The ping for a contact; `nat` is usrloc's flag for NAT.
    pub fn ping(&self, contact: &Bound, nat: u32) -> Option<Ping> {
        let has = |flag: Option<u32>| flag.is_some_and(|flag| contact.flags & flag != 0);
        if has(self.off) || self.nated_only && contact.flags & nat == 0 {
            return None;
        }
        let direct = if contact.received.is_empty() {
            &contact.uri
        } else {
            &contact.received
        };
        let edge = if self.ignore_path {
            None
        } else {
            first_hop(&contact.path)
        };
        if self.sip.is_some() && (!self.nated_only || has(self.sip)) {
            return Some(Ping::Request(edge.unwrap_or_else(|| direct.clone())));
        }
        let over_udp =
            Uri::parse(direct).is_ok_and(|uri| matches!(uri.transport(), Transport::None | Transport::Udp));
        match edge {
            _ if !over_udp => None,
            None => Some(Ping::Zeros(direct.clone())),
            Some(from) if self.from_path => Some(Ping::Spoofed {
                from,
                to: direct.clone(),
            }),
            // The zeros would come from another address than the one that the NAT knows.
            Some(_) => None,
        }
    }

    /// The request for a contact; `via` is its own Via value, `tag` and `call_id` are its identifiers.
    pub fn request(&self, contact: &Bound, via: &[u8], tag: &str, call_id: &str) -> Str {
        let mut out = Vec::with_capacity(400);
        let mut line = |parts: &[&[u8]]| {
            parts.iter().for_each(|part| out.extend_from_slice(part));
            out.extend_from_slice(b"\r\n");
        };
        line(&[&self.method, b" ", &contact.uri, b" SIP/2.0"]);
        line(&[via]);
        if !contact.path.is_empty() && !self.ignore_path {
            line(&[b"Route: ", &contact.path]);
        }
        line(&[b"From: ", &self.from, b";tag=", tag.as_bytes()]);
        line(&[b"To: ", &contact.uri]);
        line(&[b"Call-ID: ", call_id.as_bytes()]);
        line(&[b"CSeq: 1 ", &self.method]);
        line(&[b"Content-Length: 0"]);
        line(&[]);
        Str::from(out)
    }
}

/// The URI of the first Path value.
fn first_hop(path: &Str) -> Option<Str> {
    let first = Addrs::new(path).next()?.ok()?;
    Some(path.share(first.uri))
}

/// The UDP listener that `force_socket` names.
pub(super) fn own_listener(listeners: &[Listener], text: &Str) -> Option<ListenerId> {
    let text = text.text();
    let text = text.strip_prefix("udp:").unwrap_or(&text);
    let wanted = |listener: &&Listener| {
        let address = listener.address;
        listener.transport == Transport::Udp
            && (address.to_string() == text || address.ip().to_string() == text)
    };
    listeners.iter().find(wanted).map(|listener| listener.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(received: &str, path: &str, flags: u32) -> Bound {
        Bound {
            uri: "sip:a@10.0.0.1".into(),
            received: received.into(),
            path: path.into(),
            flags,
            ..Bound::default()
        }
    }

    #[test]
    fn flags_and_paths_choose_the_ping() {
        let mut options = Options::default();
        let zeros = |uri: &str| Some(Ping::Zeros(uri.into()));
        let request = |uri: &str| Some(Ping::Request(uri.into()));
        assert_eq!(options.ping(&contact("", "", 0), 1), zeros("sip:a@10.0.0.1"));
        assert_eq!(
            options.ping(&contact("sip:1.2.3.4:5", "", 0), 1),
            zeros("sip:1.2.3.4:5")
        );
        assert_eq!(
            options.ping(&contact("sip:1.2.3.4;transport=tcp", "", 0), 1),
            None
        );
        assert_eq!(options.ping(&contact("", "<sip:edge;lr>", 0), 1), None);
        options.from_path = true;
        let spoofed = options.ping(&contact("", "<sip:edge;lr>, <sip:two>", 0), 1);
        assert!(matches!(spoofed, Some(Ping::Spoofed { from, .. }) if from == "sip:edge;lr"));
        options.nated_only = true;
        assert_eq!(options.ping(&contact("", "", 2), 1), None);
        options.sip = Some(2);
        assert_eq!(options.ping(&contact("", "", 1), 1), zeros("sip:a@10.0.0.1"));
        assert_eq!(
            options.ping(&contact("", "<sip:edge;lr>", 3), 1),
            request("sip:edge;lr")
        );
        options.ignore_path = true;
        assert_eq!(
            options.ping(&contact("", "<sip:edge;lr>", 3), 1),
            request("sip:a@10.0.0.1")
        );
        options.nated_only = false;
        assert_eq!(
            options.ping(&contact("", "", 0), 1),
            request("sip:a@10.0.0.1"),
            "all of them"
        );
        options.off = Some(4);
        assert_eq!(options.ping(&contact("", "", 7), 1), None);
    }

    #[test]
    fn a_request_is_whole() {
        let options = Options {
            from: "sip:p@h".into(),
            method: "OPTIONS".into(),
            ..Options::default()
        };
        let text = options.request(
            &contact("", "<sip:edge;lr>", 0),
            b"Via: SIP/2.0/UDP x;branch=y",
            "t",
            "c",
        );
        assert_eq!(
            text,
            "OPTIONS sip:a@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=y\r\nRoute: <sip:edge;lr>\r\nFrom: sip:p@h;tag=t\r\nTo: sip:a@10.0.0.1\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
