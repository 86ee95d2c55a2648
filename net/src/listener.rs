//! Listeners: what is bound, under which number, and how others find it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
};

use kahea_sip::{ListenerId, Transport};
use parking_lot::Mutex;
use socket2::Socket;

use crate::{
    ListenAddress, NetConfig,
    bind::{self, Place},
    sys,
    udp::UdpEnd,
};

/// What a script, an RPC or the sending side may know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its number, as in [`kahea_sip::Received::listener`].
    pub id: ListenerId,
    /// Its transport.
    pub transport: Transport,
    /// Its address (`$Ri`); unspecified where all are bound.
    pub address: IpAddr,
    /// Its port (`$Rp`), also where the kernel picked it.
    pub port: u16,
    /// What others are told (`$RAi`, `$RAp`).
    pub advertise: Option<(String, u16)>,
    /// Its name (`$Rn`, `$fsn`).
    pub name: Option<String>,
    /// Its action group.
    pub agname: Option<String>,
    /// The host or interface as the configuration has it, for listings.
    pub written: String,
    /// Bound whether or not the host has the address.
    pub r#virtual: bool,
    /// A multicast group.
    pub mcast: bool,
    /// The host has other addresses of the transport that it may have to send from.
    pub mhomed: bool,
    /// `workers` as written.
    pub workers: Option<u32>,
}

impl ListenerInfo {
    /// Address and port.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for ListenerInfo {
    /// As in `listen=`: `udp:127.0.0.1:5060`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.socket_addr())
    }
}

/// Why a listener is not there: which, why, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The listener as written: `udp:eth7:5060`.
    pub listener: String,
    /// Its place in [`crate::NetConfig::listen`], for the span of the configuration line.
    pub index: Option<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen on {}: {}; {}",
            self.listener, self.cause, self.remedy
        )
    }
}

impl std::error::Error for BindError {}

/// An open listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What others may know.
    pub info: Arc<ListenerInfo>,
    /// Its sockets, which outlive changes of the info.
    pub ends: Arc<Ends>,
    /// What was asked for: port 0 stays 0 here.
    place: Place,
}

/// The sockets of a listener, one for each worker.
#[derive(Debug)]
pub(crate) enum Ends {
    /// Shared with whoever sends.
    Udp(Vec<Arc<UdpEnd>>),
    /// Taken by the worker when it starts to accept.
    Tcp(Vec<Mutex<Option<Socket>>>),
}

impl Listener {
    /// The socket that `worker` sends from; an inherited UDP listener has one for all.
    pub fn udp(&self, worker: usize) -> Option<&UdpEnd> {
        match &*self.ends {
            Ends::Udp(ends) => ends.get(worker).or(ends.first()).map(|end| &**end),
            Ends::Tcp(_) => None,
        }
    }
}

/// The listeners of one configuration. Numbers of closed ones stay known.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// In the order of the configuration.
    open: Vec<Arc<Listener>>,
    /// By number: everything that ever was.
    known: Vec<Arc<ListenerInfo>>,
    /// By number: what is open.
    by_id: Vec<Option<Arc<Listener>>>,
}

impl Listeners {
    /// By number, where it is open.
    pub fn open(&self, id: ListenerId) -> Option<&Arc<Listener>> {
        self.by_id.get(usize::from(id.0))?.as_ref()
    }

    /// By number, open or closed.
    pub fn info(&self, id: ListenerId) -> Option<&Arc<ListenerInfo>> {
        self.known.get(usize::from(id.0))
    }

    /// The open ones, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.open.iter()
    }

    /// The listeners of `config`: those that are open already keep their sockets, the others are opened.
    pub fn with(
        &self,
        config: &NetConfig,
        workers: usize,
        inherited: &mut Vec<OwnedFd>,
    ) -> Result<Listeners, Vec<BindError>> {
        let interfaces = sys::interfaces().unwrap_or_default();
        let (places, mut errors) = bind::places(config, &interfaces);
        let mut next = Listeners {
            open: Vec::new(),
            known: self.known.clone(),
            by_id: Vec::new(),
        };
        for place in places {
            let outcome = match self.open.iter().find(|l| l.keeps(&place)) {
                Some(kept) => next.add(config, place, kept.info.port, kept.ends.clone()),
                None => bind::open(config, &place, workers, inherited).and_then(|(sockets, port)| {
                    let ends = ends(place.transport, sockets);
                    next.add(config, place, port, Arc::new(ends))
                }),
            };
            errors.extend(outcome.err());
        }
        if errors.is_empty() { Ok(next) } else { Err(errors) }
    }

    fn add(&mut self, config: &NetConfig, place: Place, port: u16, ends: Arc<Ends>) -> Result<(), BindError> {
        let mut info = describe(config, &place, port);
        let same = |known: &Arc<ListenerInfo>| {
            known.transport == info.transport && known.socket_addr() == info.socket_addr()
        };
        let at = self.known.iter().position(same).unwrap_or(self.known.len());
        info.id = ListenerId(u16::try_from(at).map_err(|_| BindError {
            listener: info.to_string(),
            index: place.index,
            cause: "65,536 listeners have been opened since the start".into(),
            remedy: "restart the server".into(),
        })?);
        let info = Arc::new(info);
        match self.known.get_mut(at) {
            Some(known) => *known = info.clone(),
            None => self.known.push(info.clone()),
        }
        self.by_id.resize(self.known.len(), None);
        let listener = Arc::new(Listener { info, ends, place });
        self.open.push(listener.clone());
        if let Some(slot) = self.by_id.get_mut(at) {
            *slot = Some(listener);
        }
        Ok(())
    }
}

impl Listener {
    /// The sockets fit `place` too: it differs at most in what is only told to others.
    fn keeps(&self, place: &Place) -> bool {
        let own = &self.place;
        own.transport == place.transport
            && own.address == place.address
            && own.spec.vrf == place.spec.vrf
            && own.spec.r#virtual == place.spec.r#virtual
    }
}

fn ends(transport: Transport, sockets: Vec<Socket>) -> Ends {
    if transport == Transport::Udp {
        return Ends::Udp(
            sockets
                .into_iter()
                .map(|socket| Arc::new(UdpEnd::new(socket)))
                .collect(),
        );
    }
    Ends::Tcp(
        sockets
            .into_iter()
            .map(|socket| Mutex::new(Some(socket)))
            .collect(),
    )
}

fn describe(config: &NetConfig, place: &Place, port: u16) -> ListenerInfo {
    let spec = &place.spec;
    let own = spec
        .advertise
        .clone()
        .map(|(host, own_port)| (host, own_port.unwrap_or(port)));
    let general = || {
        let advertised_port = config.advertised_port.unwrap_or(port);
        let host = config.advertised_address.clone();
        let host = host.or_else(|| config.advertised_port.map(|_| place.address.ip().to_string()))?;
        Some((host, advertised_port))
    };
    ListenerInfo {
        id: ListenerId(0),
        transport: place.transport,
        address: place.address.ip(),
        port,
        advertise: own.or_else(general),
        name: spec.name.clone(),
        agname: spec.agname.clone(),
        written: match (&spec.address, place.index) {
            (ListenAddress::Name(name), Some(_)) => name.clone(),
            _ => place.address.ip().to_string(),
        },
        r#virtual: spec.r#virtual,
        mcast: place.address.ip().is_multicast(),
        mhomed: config.mhomed,
        workers: spec.workers,
    }
}
