//! The worker: what a running message can reach besides itself.

use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use kahea_sip::{ConnectionId, Destination, ListenerId, Transport};

use crate::{
    Blame, Config, Cx, Fault, Ret, RouteId, Str, Value,
    regex::Regex,
    ret::{Later, LocalFuture},
    route::{ScriptPlace, ScriptStep},
};

/// A SIP hop to be resolved after RFC 3263.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// A host name, an IP address, or an IPv6 reference in brackets.
    pub host: Str,
    /// Stated port.
    pub port: Option<u16>,
    /// Stated transport; [`Transport::None`] lets NAPTR or the default decide.
    pub transport: Transport,
    /// From a `sips:` URI.
    pub secure: bool,
}

/// The addresses of a hop, best first.
pub type Targets = Vec<(SocketAddr, Transport)>;

/// A DNS question of the script or of an RPC command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Service.
    Srv,
    /// Naming authority pointer.
    Naptr,
    /// Name of an address.
    Ptr,
    /// Text.
    Txt,
}

/// An answer of DNS.
#[derive(Clone, Debug, PartialEq)]
pub enum DnsRecord {
    /// A or AAAA.
    Address(IpAddr),
    /// SRV.
    Srv {
        /// Lower first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// Port.
        port: u16,
        /// Host.
        target: Str,
    },
    /// NAPTR.
    Naptr {
        /// Lower first.
        order: u16,
        /// Lower first within an order.
        preference: u16,
        /// `S`, `A`, `U`, …
        flags: Str,
        /// `SIP+D2U`, …
        services: Str,
        /// Substitution expression.
        regexp: Str,
        /// Next name.
        replacement: Str,
    },
    /// PTR.
    Name(Str),
    /// TXT.
    Text(Str),
}

/// The network, as functions see it. Nothing in it blocks.
pub trait Net {
    /// Sends one message; queues where the socket or connection is busy.
    ///
    /// # Errors
    /// No such connection, queue full, address of a family without listener.
    fn send(&self, to: &Destination, data: Str) -> Result<(), Fault>;

    /// The listener that a message to this address would leave from, `preferred` where it fits.
    fn listener_for(
        &self,
        to: SocketAddr,
        transport: Transport,
        preferred: Option<ListenerId>,
    ) -> Option<ListenerId>;

    /// The addresses of a hop, where they are known without asking anyone.
    fn resolve_now(&self, hop: &Hop) -> Option<Result<Targets, Fault>>;

    /// The addresses of a hop.
    fn resolve(&self, hop: Hop) -> LocalFuture<'static, Result<Targets, Fault>>;

    /// A plain DNS question, answered from the cache.
    fn lookup_now(&self, name: &[u8], kind: DnsType) -> Option<Result<Vec<DnsRecord>, Fault>>;

    /// A plain DNS question.
    fn lookup(&self, name: Str, kind: DnsType) -> LocalFuture<'static, Result<Vec<DnsRecord>, Fault>>;

    /// The open connection to this address.
    fn connection_to(&self, peer: SocketAddr, transport: Transport) -> Option<ConnectionId>;

    /// The connection is still open. Where nothing is known of connections every one is taken to be.
    fn is_open(&self, _connection: ConnectionId) -> bool {
        true
    }

    /// Lets requests to `port` of the connection's peer use the connection (RFC 5923).
    fn add_alias(&self, connection: ConnectionId, port: u16) -> bool;

    /// Closes a connection once its queue is sent.
    fn close(&self, connection: ConnectionId);

    /// Puts a destination on the blocklist for that time, or for `dst_blocklist_expire`; false where the list is full.
    fn block(&self, to: SocketAddr, transport: Transport, life: Option<Duration>) -> bool;

    /// Takes a destination off the blocklist; false where it was not on it.
    fn unblock(&self, to: SocketAddr, transport: Transport) -> bool;

    /// The destination is on the blocklist.
    fn is_blocked(&self, to: SocketAddr, transport: Transport) -> bool;
}

/// How a route ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The return code.
    pub code: i64,
    /// By `exit` (or a function that returned 0): callers stop too.
    pub exit: bool,
    /// By `drop`: the message goes no further.
    pub drop: bool,
}

/// What to do with a message once its route has ended.
pub type Then = Box<dyn FnOnce(Cx, Outcome)>;

/// Work on a message that may let its thread stand still.
pub type Work = Box<dyn FnOnce(&mut Cx) -> Ret>;

/// Something for a worker of its own.
pub type OwnTask = Box<dyn FnOnce(Rc<Worker>) -> LocalFuture<'static, ()> + Send>;

/// Runs routes; the interpreter, and later the embedded languages.
pub trait Engine {
    /// Runs a route and hands the message on when it has ended: before this returns where nothing in it waits, else
    /// from a task of this worker.
    fn run_then(&self, cx: Cx, route: RouteId, then: Then);

    /// Goes on behind a step, to the end of the block of statements that it stands in, and hands the message on as
    /// [`Engine::run_then`] does.
    fn run_behind(&self, cx: Cx, step: ScriptStep, then: Then);

    /// Runs a route from a place that cannot wait (`onsend_route`, `event_route[network:msg]`). A function in it that
    /// has to wait fails with a fault.
    fn run_now(&self, cx: &mut Cx, route: RouteId) -> Outcome;

    /// Runs a route.
    fn run<'a>(&'a self, cx: &'a mut Cx, route: RouteId) -> LocalFuture<'a, Outcome>;

    /// Where a step of the program stands in the configuration.
    fn place(&self, step: ScriptStep) -> Option<ScriptPlace>;

    /// Does work that may let this thread stand still, as a call into a language that cannot be suspended does: at once
    /// where the thread may, else as a wait. Script workers alone may, which there are where a language
    /// [holds its thread](crate::language::Language::holds_its_thread).
    fn standing(&self, _cx: &mut Cx, _work: Work) -> Ret {
        Ret::Fault(Fault::new(Blame::Ours, NO_SCRIPT_WORKER))
    }

    /// Waits on the spot for the rest of a function, from inside of such work. This thread stands still; the timers and
    /// tasks of its worker go on, other messages are not begun.
    fn stand(&self, _cx: &mut Cx, _later: Later) -> Ret {
        Ret::Fault(Fault::new(Blame::Ours, NO_SCRIPT_WORKER))
    }

    /// Starts a task for as long as the server runs, which may let its thread stand still without end: on a thread of
    /// its own where scripts do that, else on this worker.
    fn apart(&self, worker: &Rc<Worker>, task: OwnTask) {
        self.spawn(task(worker.clone()));
    }

    /// Starts a task on this worker.
    fn spawn(&self, task: LocalFuture<'static, ()>);

    /// Waits.
    fn sleep(&self, time: Duration) -> LocalFuture<'static, ()>;

    /// Monotonic time.
    fn now(&self) -> Instant;

    /// Wall clock.
    fn time(&self) -> SystemTime;
}

const NO_SCRIPT_WORKER: &str = "this thread may not stand still for a script: it is no script worker";

/// One worker thread of one configuration. Messages hold it until they end, so a reload does not pull it away.
pub struct Worker {
    /// From 0.
    pub index: usize,
    /// What this generation of the configuration says.
    pub config: Arc<Config>,
    /// The network.
    pub net: Rc<dyn Net>,
    /// The interpreter and the clock.
    pub engine: Rc<dyn Engine>,
    /// `$var()` values between messages: as in Kamailio they belong to the worker, not to the message.
    pub vars: RefCell<Vec<Value>>,
    regexes: RefCell<HashMap<Str, Regex>>,
    random: Cell<u64>,
    kept: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
}

impl Worker {
    /// A worker; `seed` starts its random numbers.
    pub fn new(
        index: usize,
        config: Arc<Config>,
        net: Rc<dyn Net>,
        engine: Rc<dyn Engine>,
        seed: u64,
    ) -> Worker {
        Worker {
            index,
            config,
            net,
            engine,
            vars: RefCell::default(),
            regexes: RefCell::default(),
            random: Cell::new(seed | 1),
            kept: RefCell::default(),
        }
    }

    /// State of this worker under this configuration, such as an interpreter: made once, gone with the worker.
    ///
    /// # Errors
    /// What `make` says; then nothing is kept.
    pub fn keep<T: 'static, E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Rc<T>, E> {
        let id = TypeId::of::<T>();
        let known = self
            .kept
            .borrow()
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, any)| any.clone());
        if let Some(known) = known.and_then(|any| any.downcast::<T>().ok()) {
            return Ok(known);
        }
        let made = Rc::new(make()?);
        self.kept.borrow_mut().push((id, made.clone()));
        Ok(made)
    }

    /// A random number (splitmix64); not for secrets.
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A regular expression that is known only at run time, from a bounded cache.
    ///
    /// # Errors
    /// It is no valid expression.
    pub fn regex(&self, pattern: &[u8]) -> Result<Regex, Fault> {
        const KEPT: usize = 256;
        let mut cache = self.regexes.borrow_mut();
        if let Some(regex) = cache.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = Regex::new(pattern).map_err(|error| Fault::script(error.to_string()))?;
        if cache.len() >= KEPT {
            cache.clear();
        }
        cache.insert(Str::copy(pattern), regex.clone());
        Ok(regex)
    }

    /// Seconds since 1970.
    pub fn unix_time(&self) -> i64 {
        let since = self
            .engine
            .time()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }
}
