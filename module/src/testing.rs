//! For unit tests of modules: a message in work without sockets, a clock that stands still, and what was sent.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use kahea_sip::{ConnectionId, Destination, Limits, ListenerId, Message, Received, Transport};
use parking_lot::Mutex;

use crate::{
    Bind, BindError, Budget, Config, Cx, DnsRecord, DnsType, Engine, Fault, Format, Hop, Listener, Net,
    Outcome, Piece, Ret, RouteId, RouteKind, Str, Targets, Value, Var, Worker,
    config::{Hooks, Identity, Shared},
    globals::Globals,
    registry::{Loaded, Registry},
    ret::LocalFuture,
    route::{ScriptPlace, ScriptStep},
    settings::Settings,
    worker::Then,
};

/// Keeps what was sent; resolves IP addresses and the names it was told.
#[derive(Default)]
pub struct FakeNet {
    /// What was sent, in order.
    pub sent: RefCell<Vec<(Destination, Str)>>,
    /// Names and their addresses.
    pub names: RefCell<HashMap<Str, Vec<SocketAddr>>>,
    /// Answers to plain questions.
    pub records: RefCell<HashMap<(Str, DnsType), Vec<DnsRecord>>>,
    /// Destinations on the blocklist, and for how long.
    pub blocked: RefCell<HashMap<(SocketAddr, Transport), Option<Duration>>>,
}

impl Net for FakeNet {
    fn send(&self, to: &Destination, data: Str) -> Result<(), Fault> {
        self.sent.borrow_mut().push((*to, data));
        Ok(())
    }

    fn listener_for(&self, _: SocketAddr, _: Transport, preferred: Option<ListenerId>) -> Option<ListenerId> {
        preferred.or(Some(ListenerId(0)))
    }

    fn resolve_now(&self, hop: &Hop) -> Option<Result<Targets, Fault>> {
        let port = hop.port.unwrap_or(5060);
        let transport = if hop.transport == Transport::None {
            Transport::Udp
        } else {
            hop.transport
        };
        if let Ok(ip) = hop.host.text().trim_matches(['[', ']']).parse() {
            return Some(Ok(vec![(SocketAddr::new(ip, port), transport)]));
        }
        let names = self.names.borrow();
        let known = names
            .get(&hop.host)
            .map(|all| all.iter().map(|to| (*to, transport)).collect());
        Some(known.ok_or_else(|| Fault::backend(format!("{} does not resolve", hop.host))))
    }

    fn resolve(&self, hop: Hop) -> LocalFuture<'static, Result<Targets, Fault>> {
        let answer = self
            .resolve_now(&hop)
            .unwrap_or_else(|| Err(Fault::backend("no answer")));
        Box::pin(std::future::ready(answer))
    }

    fn lookup_now(&self, name: &[u8], kind: DnsType) -> Option<Result<Vec<DnsRecord>, Fault>> {
        let known = self.records.borrow().get(&(Str::copy(name), kind)).cloned();
        Some(known.ok_or_else(|| Fault::backend("no such name")))
    }

    fn lookup(&self, name: Str, kind: DnsType) -> LocalFuture<'static, Result<Vec<DnsRecord>, Fault>> {
        let answer = self
            .lookup_now(&name, kind)
            .unwrap_or_else(|| Err(Fault::backend("no answer")));
        Box::pin(std::future::ready(answer))
    }

    fn connection_to(&self, _: SocketAddr, _: Transport) -> Option<ConnectionId> {
        None
    }

    fn add_alias(&self, _: ConnectionId, _: u16) -> bool {
        true
    }

    fn close(&self, _: ConnectionId) {}

    fn block(&self, to: SocketAddr, transport: Transport, life: Option<Duration>) -> bool {
        self.blocked.borrow_mut().insert((to, transport), life);
        true
    }

    fn unblock(&self, to: SocketAddr, transport: Transport) -> bool {
        self.blocked.borrow_mut().remove(&(to, transport)).is_some()
    }

    fn is_blocked(&self, to: SocketAddr, transport: Transport) -> bool {
        self.blocked.borrow().contains_key(&(to, transport))
    }
}

/// Runs no routes; its clock moves by hand.
pub struct FakeEngine {
    start: Instant,
    moved: Cell<Duration>,
    /// Routes that were asked for.
    pub ran: RefCell<Vec<RouteId>>,
}

impl FakeEngine {
    /// Moves the clock.
    pub fn advance(&self, time: Duration) {
        self.moved.set(self.moved.get().saturating_add(time));
    }
}

impl Default for FakeEngine {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant can only be had from the clock; it is used as an origin"
    )]
    fn default() -> Self {
        FakeEngine {
            start: Instant::now(),
            moved: Cell::default(),
            ran: RefCell::default(),
        }
    }
}

/// 2026-01-01 00:00:00 UTC.
pub const EPOCH_SECONDS: u64 = 1_767_225_600;

impl Engine for FakeEngine {
    fn run_then(&self, mut cx: Cx, route: RouteId, then: Then) {
        let outcome = self.run_now(&mut cx, route);
        then(cx, outcome);
    }

    /// Counts as a run of the step's route.
    fn run_behind(&self, cx: Cx, step: ScriptStep, then: Then) {
        self.run_then(cx, step.route, then);
    }

    fn run_now(&self, _: &mut Cx, route: RouteId) -> Outcome {
        self.ran.borrow_mut().push(route);
        Outcome {
            code: 1,
            exit: false,
            drop: false,
        }
    }

    fn run<'a>(&'a self, cx: &'a mut Cx, route: RouteId) -> LocalFuture<'a, Outcome> {
        Box::pin(std::future::ready(self.run_now(cx, route)))
    }

    /// Each step stands in a line of its own of `kamailio.cfg`.
    fn place(&self, step: ScriptStep) -> Option<ScriptPlace> {
        (step != ScriptStep::NONE).then(|| ScriptPlace {
            file: Str::from_static("kamailio.cfg"),
            line: step.at,
            route: Str::EMPTY,
        })
    }

    fn spawn(&self, _: LocalFuture<'static, ()>) {}

    fn sleep(&self, time: Duration) -> LocalFuture<'static, ()> {
        self.advance(time);
        Box::pin(std::future::ready(()))
    }

    fn now(&self) -> Instant {
        self.start.checked_add(self.moved.get()).unwrap_or(self.start)
    }

    fn time(&self) -> SystemTime {
        let since = Duration::from_secs(EPOCH_SECONDS).saturating_add(self.moved.get());
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Compiles texts in which the only variables are `$var(name)`.
#[derive(Default)]
pub struct FakeBind {
    slots: Mutex<Vec<String>>,
    /// Event routes that exist.
    pub events: Mutex<Vec<String>>,
}

impl Bind for FakeBind {
    fn format(&self, text: &str) -> Result<Format, BindError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("$var(") {
            let (before, var) = rest.split_at(at);
            let end = var
                .find(')')
                .ok_or_else(|| BindError::new("unclosed variable"))?
                .saturating_add(1);
            let (var, after) = var.split_at(end);
            if !before.is_empty() {
                pieces.push(Piece::Text(Str::from(before)));
            }
            pieces.push(Piece::Var(self.var(var)?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(Str::from(rest)));
        }
        Ok(Format::new(pieces))
    }

    fn var(&self, text: &str) -> Result<Var, BindError> {
        let name = text.strip_prefix("$var(").and_then(|t| t.strip_suffix(')'));
        let Some(name) = name else {
            return Err(BindError::new(format!("unknown variable {text}")));
        };
        let slot = self.var_slot(name);
        let get = move |cx: &mut Cx| cx.vars.get(slot).cloned().unwrap_or(Value::Int(0));
        let set = Arc::new(move |cx: &mut Cx, value| {
            if cx.vars.len() <= slot {
                cx.vars.resize(slot.saturating_add(1), Value::Int(0));
            }
            if let Some(place) = cx.vars.get_mut(slot) {
                *place = value;
            }
            Ok(())
        });
        Ok(Var::new(Str::from(text), get, Some(set)))
    }

    fn route(&self, kind: RouteKind, name: &str) -> Option<RouteId> {
        let events = self.events.lock();
        let at = events.iter().position(|event| event == name)?;
        (kind == RouteKind::Event).then(|| RouteId(u32::try_from(at).unwrap_or(0)))
    }

    fn has_module(&self, _: &str) -> bool {
        true
    }

    fn var_slot(&self, name: &str) -> usize {
        let mut slots = self.slots.lock();
        slots.iter().position(|known| known == name).unwrap_or_else(|| {
            slots.push(name.to_owned());
            slots.len().saturating_sub(1)
        })
    }

    fn define(&self, _: &str) -> Option<Str> {
        None
    }

    fn flag(&self, _: &str) -> Option<u8> {
        None
    }
}

/// The return code of a call, that of its fault too.
///
/// # Panics
/// The call waits, or goes to a route.
#[expect(clippy::panic, reason = "a test that gives such a call is wrong")]
pub fn code(ret: Ret) -> i64 {
    match ret {
        Ret::Code(code) => code,
        Ret::Fault(fault) => fault.code,
        other => panic!("{other:?}"),
    }
}

/// A server without sockets.
pub struct Server {
    /// What was sent.
    pub net: Rc<FakeNet>,
    /// The clock.
    pub engine: Rc<FakeEngine>,
    /// The worker that messages run on.
    pub worker: Rc<Worker>,
}

impl Default for Server {
    fn default() -> Self {
        Server::new(|_| {})
    }
}

impl Server {
    /// With one UDP listener at 127.0.0.1:5060, after `change` has had its way with the configuration.
    pub fn new(change: impl FnOnce(&mut Config)) -> Server {
        let engine = Rc::new(FakeEngine::default());
        let net = Rc::new(FakeNet::default());
        let listener = Listener {
            id: ListenerId(0),
            transport: Transport::Udp,
            address: SocketAddr::from(([127, 0, 0, 1], 5060)),
            text: Str::from_static("udp:127.0.0.1:5060"),
            name: None,
            group: None,
            advertised: None,
            is_virtual: false,
            multicast: false,
        };
        let mut config = Config {
            generation: 1,
            globals: Globals::default(),
            registry: Arc::new(Registry::default()),
            modules: Loaded::default(),
            bind: Arc::new(FakeBind::default()),
            identity: Identity {
                listeners: vec![listener],
                ..Identity::default()
            },
            hooks: Hooks::default(),
            settings: Settings::default(),
            limits: Budget {
                steps: 1_000_000,
                bytes: 64 << 20,
            },
            onsend: None,
            counts: crate::core_stats::CoreStats::new(&crate::stats::Stats::default()),
            server_header: Str::from_static("kahea"),
            shared: Arc::new(Shared::new(engine.time(), engine.now(), Vec::new())),
        };
        change(&mut config);
        let worker = Rc::new(Worker::new(0, Arc::new(config), net.clone(), engine.clone(), 42));
        Server { net, engine, worker }
    }

    /// A message in work, from 127.0.0.1:5061 over UDP. Line ends may be plain LF; they become CRLF.
    ///
    /// # Panics
    /// The text is no SIP message.
    pub fn message(&self, text: &str) -> Cx {
        let (head, body) = text
            .trim_start()
            .split_once("\n\n")
            .unwrap_or((text.trim_start(), ""));
        let text = format!("{}\r\n\r\n{body}", head.trim_end().replace('\n', "\r\n"));
        #[expect(clippy::expect_used, reason = "a test that gives no SIP message is wrong")]
        let msg = Message::parse(Str::from(text), &Limits::default()).expect("a SIP message");
        let received = Received {
            source: SocketAddr::from(([127, 0, 0, 1], 5061)),
            local: SocketAddr::from(([127, 0, 0, 1], 5060)),
            transport: Transport::Udp,
            listener: ListenerId(0),
            connection: None,
            at: self.engine.time(),
        };
        Cx::new(msg, received, self.worker.clone())
    }

    /// An INVITE with SDP.
    pub fn invite(&self) -> Cx {
        self.message(INVITE)
    }
}

/// What [`Server::invite`] receives.
pub const INVITE: &str = "INVITE sip:bob@example.com:5070;transport=udp SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776asdhds;rport
Max-Forwards: 70
From: \"Alice A\" <sip:alice@example.org>;tag=1928301774
To: <sip:bob@example.com>
Call-ID: a84b4c76e66710@127.0.0.1
CSeq: 314159 INVITE
Contact: <sip:alice@127.0.0.1:5061>
User-Agent: phone
Content-Type: application/sdp
Content-Length: 129

v=0\r
o=alice 53655765 2353687637 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 49170 RTP/AVP 0 8\r
a=rtpmap:0 PCMU/8000\r
";
