//! One generation of the configuration, and what outlives it.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::AtomicU64},
    time::{Instant, SystemTime},
};

use kahea_sip::{ListenerId, Received, Transport};
use parking_lot::RwLock;

use crate::{
    Bind, Budget, Cx, Ret, RouteId, RouteKind, Str, Worker, core_stats::CoreStats, globals::Globals,
    language::Language, registry::Registry, settings::Settings, stats::Stats, trace::Tracer,
};

/// A listener, as scripts and commands see it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its number.
    pub id: ListenerId,
    /// Its transport.
    pub transport: Transport,
    /// Bound to.
    pub address: SocketAddr,
    /// `proto:address:port`, as Kamailio prints sockets.
    pub text: Str,
    /// `name "…"`.
    pub name: Option<Str>,
    /// `agname "…"`: the worker group.
    pub group: Option<Str>,
    /// `advertise host[:port]`.
    pub advertised: Option<(Str, u16)>,
    /// `virtual`.
    pub is_virtual: bool,
    /// Receives multicast.
    pub multicast: bool,
}

/// An `alias` or `domain` line: part of "myself".
#[derive(Clone, Debug)]
pub struct Alias {
    /// Any where [`Transport::None`].
    pub transport: Transport,
    /// A name or an address.
    pub host: Str,
    /// Any where 0.
    pub port: u16,
}

type MyselfTest = Arc<dyn Fn(&[u8], u16, Transport) -> bool + Send + Sync>;

/// Who this server is: listeners, aliases and what modules add (`alias_subdomains`).
#[derive(Default)]
pub struct Identity {
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Aliases.
    pub aliases: Vec<Alias>,
    /// Further tests by modules: host, port (0: not given), transport.
    pub tests: Vec<MyselfTest>,
}

impl Identity {
    /// `uri==myself`: the host is an own address or name. Port 0 and [`Transport::None`] match any.
    pub fn is_myself(&self, host: &[u8], port: u16, transport: Transport) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        self.listener_of(host, port, transport).is_some()
            || self.aliases.iter().any(|alias| {
                fits(alias.transport, transport)
                    && fits_port(alias.port, port)
                    && alias.host.eq_ignore_ascii_case(host)
            })
            || self.tests.iter().any(|test| test(host, port, transport))
    }

    /// The listener whose address, or advertised address, is this host.
    pub fn listener_of(&self, host: &[u8], port: u16, transport: Transport) -> Option<&Listener> {
        let bare = host
            .strip_prefix(b"[")
            .and_then(|h| h.strip_suffix(b"]"))
            .unwrap_or(host);
        let ip = std::str::from_utf8(bare).ok().and_then(|text| text.parse().ok());
        self.listeners.iter().find(|listener| {
            let own = ip == Some(listener.address.ip()) && fits_port(listener.address.port(), port);
            let advertised = listener.advertised.as_ref().is_some_and(|(name, at)| {
                name.eq_ignore_ascii_case(host) && (port == 0 || *at == 0 || *at == port)
            });
            fits(listener.transport, transport) && (own || advertised)
        })
    }

    /// By `name "…"`.
    pub fn listener_named(&self, name: &[u8]) -> Option<&Listener> {
        self.listeners
            .iter()
            .find(|listener| listener.name.as_ref().is_some_and(|own| **own == *name))
    }

    /// By its number.
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.id == id)
    }
}

fn fits(own: Transport, wanted: Transport) -> bool {
    own == Transport::None || wanted == Transport::None || own == wanted
}

fn fits_port(own: u16, wanted: u16) -> bool {
    own == 0 || wanted == 0 || own == wanted
}

/// Whether a hook lets the message go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next hook, then to the script.
    Continue,
    /// It is dealt with.
    Stop,
}

type MessageHook = Arc<dyn Fn(&mut Cx) -> Flow + Send + Sync>;
type ReplyHook = Arc<dyn Fn(&mut Cx) -> Ret + Send + Sync>;
type TakeHook = Arc<dyn Fn(Cx) -> Option<Cx> + Send + Sync>;
type EndHook = Arc<dyn Fn(&mut Cx) + Send + Sync>;
type WireInHook = Arc<dyn Fn(&Rc<Worker>, &Received, Str) -> Option<Str> + Send + Sync>;
type WireOutHook = Arc<dyn Fn(&Rc<Worker>, &kahea_sip::Destination, Str) -> Option<Str> + Send + Sync>;
type LostHook = Arc<dyn Fn(&Rc<Worker>, &kahea_sip::Destination, &Str) + Send + Sync>;
type StartHook = Arc<dyn Fn(&Rc<Worker>) + Send + Sync>;
type StopHook = Arc<dyn Fn() + Send + Sync>;

/// A task that runs again and again.
#[derive(Clone)]
pub struct Periodic {
    /// For logs.
    pub name: Str,
    /// Between runs.
    pub every: std::time::Duration,
    /// Runs on worker 0, or on a dedicated timer worker where there are several.
    pub run: StartHook,
}

/// Where modules put themselves into the path of messages. Run in the order of registration.
#[derive(Default, Clone)]
pub struct Hooks {
    /// Requests of HTTP that came over a SIP listener's connection: gives them back unless it deals with them. What
    /// nobody takes is dropped; the script does not see HTTP otherwise.
    pub take_http: Vec<TakeHook>,
    /// Before `request_route`; [`Flow::Stop`] takes the request away from the script.
    pub request: Vec<MessageHook>,
    /// Before `reply_route`.
    pub reply: Vec<MessageHook>,
    /// After `request_route` has ended, however it ended.
    pub request_end: Vec<EndHook>,
    /// After `reply_route`, before the reply is sent on by its Vias: gives it back unless it deals with it.
    pub take_reply: Vec<TakeHook>,
    /// After a reply was made here and sent; `cx.sending` is what went out.
    pub local_reply: Vec<ReplyHook>,
    /// On raw bytes as they came; `None` drops them.
    pub wire_in: Vec<WireInHook>,
    /// On raw bytes as they leave; `None` drops them.
    pub wire_out: Vec<WireOutHook>,
    /// The network took a message for sending and could not deliver it.
    pub send_failed: Vec<LostHook>,
    /// Once in each worker, before it reads.
    pub worker_start: Vec<StartHook>,
    /// Timers.
    pub periodic: Vec<Periodic>,
    /// Embedded languages.
    pub languages: Vec<Arc<dyn Language>>,
    /// Told what scripts do.
    pub tracers: Vec<Arc<dyn Tracer>>,
    /// Once when the server ends, after the last message, on a thread that may wait: what is kept is written out.
    pub stop: Vec<StopHook>,
}

/// What lives as long as the process: figures, and state that modules hand to their successors at a reload.
pub struct Shared {
    /// Statistics.
    pub stats: Stats,
    /// When the server started, wall clock.
    pub started: SystemTime,
    /// When the server started, monotonic.
    pub started_at: Instant,
    /// The process number.
    pub pid: u32,
    /// The command line.
    pub args: Vec<String>,
    /// Grows whenever workers are to count messages (`$mi`) from 1 again.
    pub number_resets: AtomicU64,
    kept: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Shared {
    /// At start.
    pub fn new(started: SystemTime, started_at: Instant, args: Vec<String>) -> Shared {
        Shared {
            stats: Stats::default(),
            started,
            started_at,
            pid: std::process::id(),
            args,
            number_resets: AtomicU64::new(0),
            kept: RwLock::default(),
        }
    }

    /// State that survives reloads (`$shv` values, queues, …): made once in the life of the process.
    pub fn keep<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.kept.write();
        let id = TypeId::of::<T>();
        if let Some(known) = kept.get(&id).cloned().and_then(|any| any.downcast::<T>().ok()) {
            return known;
        }
        let made = Arc::new(make());
        kept.insert(id, made.clone());
        made
    }
}

/// One generation of the configuration. Immutable but for its run-time settings.
pub struct Config {
    /// Counts reloads, from 1.
    pub generation: u64,
    /// Global parameters.
    pub globals: Globals,
    /// Every declaration.
    pub registry: Arc<Registry>,
    /// Loaded modules by name, in load order, with their instances.
    pub modules: crate::registry::Loaded,
    /// Compiles names at run time.
    pub bind: Arc<dyn Bind>,
    /// Who this server is.
    pub identity: Identity,
    /// Modules in the path of messages.
    pub hooks: Hooks,
    /// Parameters that change at run time (`group.name`).
    pub settings: Settings,
    /// What a message may spend.
    pub limits: Budget,
    /// `onsend_route`, where there is one.
    pub onsend: Option<RouteId>,
    /// The value of the Server header; empty where `server_signature=no`.
    pub server_header: Str,
    /// Counts messages.
    pub counts: CoreStats,
    /// Outlives this generation.
    pub shared: Arc<Shared>,
}

impl Config {
    /// An event route, where the script has it.
    pub fn event_route(&self, name: &str) -> Option<RouteId> {
        self.bind.route(RouteKind::Event, name)
    }
}
