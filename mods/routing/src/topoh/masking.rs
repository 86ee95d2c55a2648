//! The masked forms of URIs, Vias and Call-IDs, and messages masked and unmasked as a whole.

use std::net::{IpAddr, SocketAddr};

use kahea_module::{Listener, Str, config::Identity};
use kahea_sip::{
    HeaderId, Message, Method, Span,
    view::{Addrs, NameAddr, Scheme, Uri, Via},
};

use super::{
    codec::{Codec, Kind},
    cookie::{self, Way},
    patches::Patches,
};

/// Masks and unmasks; also what modules that keep topology otherwise (`topos`) take Call-IDs from.
pub struct Masking {
    /// The key.
    pub(super) codec: Codec,
    /// `mask_ip`; none: the address of the listener.
    pub(super) host: Option<Str>,
    /// `mask_callid`.
    pub(super) call_ids: bool,
    /// `mask_mode` 1: Contacts of 3xx replies stay.
    pub(super) plain_redirects: bool,
    /// `uparam_name`, `uparam_prefix`.
    pub(super) uri: Place,
    /// `vparam_name`, `vparam_prefix`.
    pub(super) via: Place,
    /// `callid_prefix`.
    pub(super) call_id_prefix: Str,
    /// `uri_prefix_checks`.
    pub(super) whole_prefix: bool,
}

/// A parameter that holds a masked form.
pub(super) struct Place {
    /// The parameter's name.
    pub name: Str,
    /// What its value begins with.
    pub prefix: Str,
}

/// Requests and replies of these methods stay as they are: their Contacts are bindings and state, not routes.
pub fn is_spared(msg: &Message) -> bool {
    matches!(msg.method(), Method::Register | Method::Publish)
}

impl Masking {
    /// The masked form of a Call-ID.
    pub fn mask_call_id(&self, id: &[u8]) -> Str {
        Str::from([&*self.call_id_prefix, &self.codec.seal(Kind::CallId, id)].concat())
    }

    /// The Call-ID whose masked form this is; `None` where it is no such form.
    pub fn unmask_call_id(&self, id: &[u8]) -> Option<Str> {
        let form = id.strip_prefix(self.call_id_prefix.as_bytes())?;
        self.codec.open(Kind::CallId, form).map(Str::from)
    }

    /// `sip:127.0.0.8;line=sr-`
    fn uri_head(&self, secure: bool, host: &[u8]) -> Vec<u8> {
        let scheme: &[u8] = if secure { b"sips:" } else { b"sip:" };
        [scheme, host, b";", &*self.uri.name, b"=", &*self.uri.prefix].concat()
    }

    /// What stands as the host in masked forms: `mask_ip`, else what the listener is known by.
    pub(super) fn host(&self, listener: Option<&Listener>, local: SocketAddr) -> Str {
        let advertised = || listener.and_then(|listener| listener.advertised.as_ref());
        let address = || match local.ip() {
            IpAddr::V4(ip) => Str::from(ip.to_string()),
            IpAddr::V6(ip) => Str::from(format!("[{ip}]")),
        };
        let known = self.host.clone();
        known
            .or_else(|| advertised().map(|(host, _)| host.clone()))
            .unwrap_or_else(address)
    }

    /// The masked form of a URI; none for one that shows no place in the network.
    fn mask_uri(&self, uri: &[u8], host: &[u8]) -> Option<Vec<u8>> {
        let secure = match Uri::parse(uri).ok()?.scheme {
            Scheme::Sip => false,
            Scheme::Sips => true,
            _ => return None,
        };
        let mut text = self.uri_head(secure, host);
        text.extend(self.codec.seal(Kind::Uri, uri));
        Some(text)
    }

    fn unmask_uri(&self, text: &[u8], host: &[u8]) -> Option<Vec<u8>> {
        if self.whole_prefix && !self.has_whole_prefix(text, host) {
            return None;
        }
        let value = Uri::parse(text).ok()?.params.value(&self.uri.name)?;
        let form = value.strip_prefix(self.uri.prefix.as_bytes())?;
        let uri = self.codec.open(Kind::Uri, form)?;
        Uri::parse(&uri).is_ok().then_some(uri)
    }

    fn has_whole_prefix(&self, text: &[u8], host: &[u8]) -> bool {
        [false, true]
            .into_iter()
            .any(|secure| text.starts_with(&self.uri_head(secure, host)))
    }

    fn mask_via(&self, hop: &[u8], host: &[u8]) -> Vec<u8> {
        [
            b"SIP/2.0/UDP ",
            host,
            b";",
            &*self.via.name,
            b"=",
            &*self.via.prefix,
            &self.codec.seal(Kind::Via, hop),
        ]
        .concat()
    }

    fn unmask_via(&self, hop: &[u8]) -> Option<Vec<u8>> {
        let value = Via::parse(hop).ok()?.params.value(&self.via.name)?;
        let form = value.strip_prefix(self.via.prefix.as_bytes())?;
        let text = self.codec.open(Kind::Via, form)?;
        Via::parse(&text).is_ok().then_some(text)
    }

    /// A message that came, as the script is to see it; `host` is that of masked forms.
    pub fn incoming(&self, msg: &Message, identity: &Identity, host: &[u8]) -> Str {
        let mut patches = Patches::default();
        let unmasked_id = self.unmask_id(msg, &mut patches);
        if msg.is_request() {
            let initial = tag(msg, HeaderId::To).is_none();
            let way = if unmasked_id {
                Way::Up
            } else {
                direction(msg, identity)
            };
            self.unmask_request(msg, host, &mut patches);
            // The direction is in the route set, which may itself have been masked for a peer behind.
            cookie::add(msg, way, initial, &mut patches);
        } else {
            let asked = self.unmask_vias(msg, &mut patches).unwrap_or(Way::Down);
            self.unmask_record_routes(msg, identity, host, &mut patches);
            cookie::add(msg, asked.flipped(), false, &mut patches);
        }
        patches.apply(msg)
    }

    fn unmask_id(&self, msg: &Message, patches: &mut Patches) -> bool {
        let header = msg.first(HeaderId::CallId).filter(|_| self.call_ids);
        let plain = header.and_then(|header| Some((header, self.unmask_call_id(msg.value(header))?)));
        if let Some((header, id)) = &plain {
            patches.replace(header.value, id.as_bytes().to_vec());
        }
        plain.is_some()
    }

    /// Request-URI, Route and Refer-To: where the peer gives back what it was told.
    fn unmask_request(&self, msg: &Message, host: &[u8], patches: &mut Patches) {
        if let Some(text) = msg.uri()
            && let Some(span) = Span::within(msg.buffer(), text)
            && let Some(uri) = self.unmask_uri(text, host)
        {
            patches.replace(span, uri);
        }
        for id in [HeaderId::Route, HeaderId::ReferTo] {
            for (span, addr) in addresses(msg, id) {
                if let Some(uri) = self.unmask_uri(addr.uri, host) {
                    put(span, &addr, uri, patches);
                }
            }
        }
    }

    /// The hops behind the first, which is this server's own; answers with which way the request went.
    fn unmask_vias(&self, msg: &Message, patches: &mut Patches) -> Option<Way> {
        let mut way = None;
        for (at, hop) in msg.vias().skip(1).enumerate() {
            let text = msg.bytes(hop.span);
            let plain = self.unmask_via(text);
            if at == 0 {
                let shown = plain.as_deref().unwrap_or(text);
                way = Via::parse(shown).ok().as_ref().and_then(cookie::of_via);
            }
            if let Some(plain) = plain {
                patches.replace(hop.span, plain);
            }
        }
        way
    }

    /// Those below this server's own: they were masked when the request went out.
    fn unmask_record_routes(&self, msg: &Message, identity: &Identity, host: &[u8], patches: &mut Patches) {
        let list: Vec<_> = addresses(msg, HeaderId::RecordRoute).collect();
        let first = list
            .iter()
            .position(|(_, addr)| is_own(addr, identity))
            .unwrap_or(0);
        for (span, addr) in list.into_iter().skip(first) {
            if let Some(uri) = self.unmask_uri(addr.uri, host) {
                put(span, &addr, uri, patches);
            }
        }
    }

    /// A message that leaves, as the peer is to see it.
    pub fn outgoing(&self, msg: &Message, identity: &Identity, host: &[u8]) -> Str {
        let mut patches = Patches::default();
        cookie::strip(msg, &mut patches);
        let relayed = cookie::in_header(msg);
        if msg.is_request() {
            self.mask_request(msg, relayed, identity, host, &mut patches);
        } else {
            // The topmost Via is that of the peer: which way its request went.
            if cookie::in_via(msg) == Some(Way::Up) {
                self.mask_id(msg, &mut patches);
            }
            if relayed.is_some() {
                self.mask_reply(msg, identity, host, &mut patches);
            }
        }
        patches.apply(msg)
    }

    fn mask_request(
        &self,
        msg: &Message,
        relayed: Option<Way>,
        identity: &Identity,
        host: &[u8],
        patches: &mut Patches,
    ) {
        let Some(way) = relayed else {
            // Made here for a request that went down before.
            if matches!(msg.method(), Method::Cancel | Method::Ack) {
                self.mask_id(msg, patches);
            }
            return;
        };
        if way == Way::Down {
            self.mask_id(msg, patches);
        }
        for hop in msg.vias().skip(1) {
            patches.replace(hop.span, self.mask_via(msg.bytes(hop.span), host));
        }
        for (span, addr) in addresses(msg, HeaderId::RecordRoute) {
            if !is_own(&addr, identity) {
                self.mask_address(span, &addr, host, patches);
            }
        }
        self.mask_contacts(msg, host, patches);
    }

    /// Contacts, and the route set on the far side: what stands above this server's own Record-Route.
    fn mask_reply(&self, msg: &Message, identity: &Identity, host: &[u8], patches: &mut Patches) {
        let redirect = msg.status().is_some_and(|status| (300..400).contains(&status));
        if !(redirect && self.plain_redirects) {
            self.mask_contacts(msg, host, patches);
        }
        let list: Vec<_> = addresses(msg, HeaderId::RecordRoute).collect();
        let last = list.iter().rposition(|(_, addr)| is_own(addr, identity));
        for (span, addr) in list.into_iter().take(last.unwrap_or(0)) {
            if !is_own(&addr, identity) {
                self.mask_address(span, &addr, host, patches);
            }
        }
    }

    fn mask_id(&self, msg: &Message, patches: &mut Patches) {
        if let Some(header) = msg.first(HeaderId::CallId).filter(|_| self.call_ids) {
            let id = self.mask_call_id(msg.value(header));
            patches.replace(header.value, id.as_bytes().to_vec());
        }
    }

    fn mask_contacts(&self, msg: &Message, host: &[u8], patches: &mut Patches) {
        for (span, addr) in addresses(msg, HeaderId::Contact) {
            self.mask_address(span, &addr, host, patches);
        }
    }

    fn mask_address(&self, span: Span, addr: &NameAddr<'_>, host: &[u8], patches: &mut Patches) {
        if let Some(uri) = self.mask_uri(addr.uri, host) {
            put(span, addr, uri, patches);
        }
    }
}

/// Puts a URI in the place of another; without brackets its parameters would be the header's.
fn put(span: Span, addr: &NameAddr<'_>, uri: Vec<u8>, patches: &mut Patches) {
    let text = if addr.bracketed {
        uri
    } else {
        [b"<", &*uri, b">"].concat()
    };
    patches.replace(span, text);
}

/// The addresses of all headers of one kind that can be read, each with the place of its URI.
fn addresses(msg: &Message, id: HeaderId) -> impl Iterator<Item = (Span, NameAddr<'_>)> {
    msg.all(id).flat_map(move |header| {
        let list = msg.value(header);
        Addrs::new(list)
            .map_while(Result::ok)
            .filter_map(move |addr| Some((cookie::within(msg, header.value, addr.uri)?, addr)))
    })
}

fn is_own(addr: &NameAddr<'_>, identity: &Identity) -> bool {
    addr.parse_uri()
        .is_ok_and(|uri| identity.is_myself(uri.host, uri.port.unwrap_or(0), uri.transport()))
}

fn tag(msg: &Message, id: HeaderId) -> Option<&[u8]> {
    let header = msg.first(id)?;
    let tag = NameAddr::parse(msg.value(header)).ok()?.tag()?;
    (!tag.is_empty()).then_some(tag)
}

/// By the From tag of the dialog's first request, which rr leaves in this server's Route.
fn direction(msg: &Message, identity: &Identity) -> Way {
    let first_tag = addresses(msg, HeaderId::Route)
        .filter(|(_, addr)| is_own(addr, identity))
        .find_map(|(_, addr)| addr.parse_uri().ok()?.param("ftag"));
    match first_tag {
        Some(first) if tag(msg, HeaderId::From) != Some(first) => Way::Up,
        _ => Way::Down,
    }
}
