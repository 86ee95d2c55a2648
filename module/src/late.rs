//! Texts of a message that are known only when it is built for one destination, such as a Record-Route header with the
//! address that the message leaves from.
//!
//! A function records an edit with a [`LateId`] in place of a text; whoever builds the message says where it goes with
//! [`Outgoing`], and [`Lates::resolve`] writes the text. One message may be built many times, once for each branch.

use std::{
    any::Any,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use kahea_sip::{
    LateId, ListenerId, Received, Transport,
    build::{RequestParts, edited, request},
};

use crate::{Config, Cx, Fault, Listener, Str, value::push_int};

/// One way out of this server, for one message.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// The configuration of the message.
    pub config: &'a Config,
    /// The listener that the message leaves from.
    pub listener: &'a Listener,
    /// Over which transport.
    pub transport: Transport,
    /// Where it goes.
    pub to: SocketAddr,
    /// How it came.
    pub received: &'a Received,
    /// `set_advertised_address()`.
    pub advertised_host: Option<&'a Str>,
    /// `set_advertised_port()`.
    pub advertised_port: Option<u16>,
}

/// The message in work with its changes, the Request-URI included; what depends on the way out is written for the source
/// and this listener.
pub fn built(cx: &Cx, listener: ListenerId) -> Str {
    let mut out = Vec::with_capacity(cx.msg.buffer().len().saturating_add(256));
    let listener = cx.config().identity.listener(listener);
    let way = listener.map(|listener| Outgoing::new(cx, listener, listener.transport, cx.received.source));
    let late = &mut |id, out: &mut Vec<u8>| {
        if let Some(way) = &way {
            cx.late.resolve(id, way, out);
        }
    };
    match cx.msg.is_request() {
        true => {
            let parts = RequestParts {
                ruri: cx.target.ruri.as_deref(),
                ..RequestParts::default()
            };
            request(&cx.msg, &cx.edits, &parts, late, &mut out);
        }
        false => edited(&cx.msg, &cx.edits, late, &mut out),
    }
    Str::from(out)
}

impl<'a> Outgoing<'a> {
    /// The message in work, as it leaves from `listener`.
    pub fn new(cx: &'a Cx, listener: &'a Listener, transport: Transport, to: SocketAddr) -> Outgoing<'a> {
        Outgoing {
            config: cx.config(),
            listener,
            transport,
            to,
            received: &cx.received,
            advertised_host: cx.advertised_host.as_ref(),
            advertised_port: cx.advertised_port,
        }
    }

    /// The listener that the message came to, unless the configuration lost it since.
    pub fn arrival(&self) -> Option<&'a Listener> {
        self.config.identity.listener(self.received.listener)
    }

    /// The message leaves by another address, port or transport than it came by: then a route set must name both
    /// sides (RFC 3261 section 16.7 step 8, RFC 5658).
    pub fn crosses(&self) -> bool {
        self.transport != self.received.transport
            || match self.arrival() {
                Some(arrival) => arrival.address != self.listener.address,
                None => self.received.local != self.listener.address,
            }
    }

    /// Adds the host and, where it is not the default, the port at which this server is reached from the side that the
    /// message goes to. What the listener advertises goes before what the script says, and that before the globals.
    pub fn push_near(&self, out: &mut Vec<u8>) {
        let stated = self.own_advertised(self.listener);
        let globals = &self.config.globals;
        let host = stated
            .map(|(host, _)| host)
            .or(self.advertised_host)
            .or(globals.advertised_address.as_ref());
        let port = stated
            .map(|(_, port)| *port)
            .filter(|port| *port != 0)
            .or(self.advertised_port)
            .or(globals.advertised_port.and_then(|port| u16::try_from(port).ok()));
        push_address(host, port, self.listener.address, self.transport, out);
    }

    /// What the listener advertises by itself: listeners without `advertise` have the global address in its place.
    fn own_advertised(&self, listener: &'a Listener) -> Option<&'a (Str, u16)> {
        let global = self.config.globals.advertised_address.as_ref();
        listener
            .advertised
            .as_ref()
            .filter(|(host, _)| global != Some(host))
    }

    /// The same from the side that it came from; what the script and the globals advertise is about the other one.
    pub fn push_far(&self, out: &mut Vec<u8>) {
        let arrival = self.arrival();
        let stated = arrival.and_then(|listener| self.own_advertised(listener));
        let bound = arrival.map(|listener| listener.address);
        let own = bound
            .filter(|bound| !bound.ip().is_unspecified())
            .unwrap_or(self.received.local);
        let port = stated.map(|(_, port)| *port).filter(|port| *port != 0);
        push_address(
            stated.map(|(host, _)| host),
            port,
            own,
            self.received.transport,
            out,
        );
    }
}

fn push_address(
    host: Option<&Str>,
    port: Option<u16>,
    own: SocketAddr,
    transport: Transport,
    out: &mut Vec<u8>,
) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = match (host, own.ip()) {
        (Some(host), _) => out.write_all(host),
        (None, IpAddr::V4(ip)) => write!(out, "{ip}"),
        (None, IpAddr::V6(ip)) => write!(out, "[{ip}]"),
    };
    let port = port.unwrap_or(own.port());
    if port != transport.default_port() {
        out.push(b':');
        push_int(port.into(), out);
    }
}

/// Writes a text once the way out is known; nothing where none is due.
pub type LateText = Arc<dyn Fn(&Outgoing<'_>, &mut Vec<u8>) + Send + Sync>;

/// The late texts of one message. Without any it costs nothing; a copy shares the texts, so that a transaction keeps it
/// beside the edits that name them.
#[derive(Clone, Default)]
pub struct Lates {
    list: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    text: LateText,
    note: Option<Arc<dyn Any + Send + Sync>>,
}

impl Lates {
    /// Adds a text; an edit with the id puts it into the message.
    ///
    /// # Errors
    /// The message has 65,535 of them.
    pub fn add(&mut self, text: LateText) -> Result<LateId, Fault> {
        self.push(Entry { text, note: None })
    }

    /// The same with what the text was made of, for the module that wants to change it later; see [`Lates::note`].
    ///
    /// # Errors
    /// As [`Lates::add`].
    pub fn add_noted<T: Send + Sync + 'static>(
        &mut self,
        text: LateText,
        note: Arc<T>,
    ) -> Result<LateId, Fault> {
        let note = Some(note as Arc<dyn Any + Send + Sync>);
        self.push(Entry { text, note })
    }

    fn push(&mut self, entry: Entry) -> Result<LateId, Fault> {
        let id = u16::try_from(self.list.len())
            .ok()
            .filter(|id| *id < u16::MAX)
            .ok_or_else(|| Fault::limit("the message has too many headers that depend on the way out"))?;
        self.list.push(entry);
        Ok(LateId(id))
    }

    /// What [`Lates::add_noted`] kept with the text, where it is of that type.
    pub fn note<T: Send + Sync + 'static>(&self, id: LateId) -> Option<Arc<T>> {
        let entry = self.list.get(usize::from(id.0))?;
        entry.note.clone()?.downcast().ok()
    }

    /// Writes the text of `id` for this way out.
    pub fn resolve(&self, id: LateId, way: &Outgoing<'_>, out: &mut Vec<u8>) {
        if let Some(entry) = self.list.get(usize::from(id.0)) {
            (entry.text)(way, out);
        }
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forgets them; the edits that name them must go too.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(test)]
mod tests {
    use kahea_sip::ListenerId;

    use super::*;
    use crate::testing::Server;

    fn two_listeners() -> Server {
        Server::new(|config| {
            let mut other = config.identity.listeners[0].clone();
            other.id = ListenerId(1);
            other.address = SocketAddr::from(([127, 0, 0, 2], 5062));
            other.advertised = Some((Str::from("edge.example.com"), 0));
            config.identity.listeners.push(other);
        })
    }

    fn sides(cx: &Cx, listener: usize) -> (String, String, bool) {
        let way = Outgoing::new(
            cx,
            &cx.config().identity.listeners[listener],
            Transport::Udp,
            SocketAddr::from(([127, 0, 0, 9], 5060)),
        );
        let (mut near, mut far) = (Vec::new(), Vec::new());
        way.push_near(&mut near);
        way.push_far(&mut far);
        (
            String::from_utf8(near).unwrap(),
            String::from_utf8(far).unwrap(),
            way.crosses(),
        )
    }

    #[test]
    fn each_side_has_its_address_and_the_script_advertises_the_near_one() {
        let server = two_listeners();
        let mut cx = server.invite();
        assert_eq!(sides(&cx, 0), ("127.0.0.1".into(), "127.0.0.1".into(), false));
        cx.advertised_host = Some("set.example.com".into());
        cx.advertised_port = Some(5099);
        assert_eq!(
            sides(&cx, 0),
            ("set.example.com:5099".into(), "127.0.0.1".into(), false)
        );
        assert_eq!(
            sides(&cx, 1),
            ("edge.example.com:5099".into(), "127.0.0.1".into(), true)
        );
    }

    #[test]
    fn a_late_text_is_written_for_each_way_out() {
        let server = two_listeners();
        let mut cx = server.invite();
        let id = cx.late.add(Arc::new(|way, out| way.push_near(out))).unwrap();
        let kept = cx.late.clone();
        let listeners = &cx.config().identity.listeners;
        let to = SocketAddr::from(([127, 0, 0, 9], 5060));
        let texts: Vec<String> = listeners
            .iter()
            .map(|listener| {
                let mut out = Vec::new();
                kept.resolve(id, &Outgoing::new(&cx, listener, Transport::Udp, to), &mut out);
                kept.resolve(
                    LateId(9),
                    &Outgoing::new(&cx, listener, Transport::Udp, to),
                    &mut out,
                );
                String::from_utf8(out).unwrap()
            })
            .collect();
        assert_eq!(texts, ["127.0.0.1", "edge.example.com:5062"]);
    }
}
