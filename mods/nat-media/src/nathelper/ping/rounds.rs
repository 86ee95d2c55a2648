//! The timer that pings one part of the contacts after the other, and what became of the pings.

use std::{
    collections::HashMap,
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_module::{
    Cx, Env, InitError, Str, Worker,
    config::{Flow, Periodic},
    debug, info, proxy,
    stats::Counter,
    warning,
};
use kahea_sip::{Destination, HeaderId, SendFlags, Transport, view::NameAddr};
use parking_lot::Mutex;

use super::{
    Enabled, Params,
    build::{Bound, Options, Ping},
    raw::RawSocket,
};

/// Between two parts.
const TICK: Duration = Duration::from_millis(250);
const TICKS_PER_SECOND: u64 = 4;

/// The four zero bytes.
const ZEROS: Str = Str::from_static("\0\0\0\0");

/// Begins the tags of our pings.
const TAG: &str = "nhk";

/// Where the contacts are.
pub(super) trait Contacts: Send + Sync {
    /// The contacts of part `part` of `parts`.
    fn due(&self, worker: &Rc<Worker>, part: u64, parts: u64) -> Vec<Bound>;
    /// usrloc's flag for contacts behind NATs, as a bit.
    fn nat_flag(&self) -> u32;
    /// Notes that a contact answered.
    fn answered(&self, worker: &Rc<Worker>, ruid: &Str);
    /// Removes a contact by its identifier.
    fn remove(&self, worker: &Rc<Worker>, ruid: &Str);
}

/// When a contact was last heard of.
#[derive(Clone, Copy)]
struct Heard {
    answered: Instant,
    pinged: Instant,
}

struct Figures {
    sent: Counter,
    answered: Counter,
    lost: Counter,
}

/// The pings of one configuration.
pub(super) struct Rounds {
    options: Options,
    source: Arc<dyn Contacts>,
    enabled: Arc<Enabled>,
    parts: u64,
    next: AtomicU64,
    /// Removes contacts that are silent for longer.
    patience: Option<Duration>,
    heard: Arc<Table>,
    raw: Option<RawSocket>,
    figures: Figures,
}

/// Answers by contact; survives reloads, as does the key that seals the tags.
#[derive(Default)]
pub(super) struct Table {
    by_ruid: Mutex<HashMap<Str, Heard>>,
    key: RandomState,
}

impl Rounds {
    /// Begins to ping.
    ///
    /// # Errors
    /// Raw sockets are asked for and cannot be had.
    pub fn start(
        options: Options,
        params: &Params,
        enabled: Arc<Enabled>,
        source: Arc<dyn Contacts>,
        env: &mut Env<'_>,
    ) -> Result<(), InitError> {
        let raw = match options.spoofed.is_some() || options.from_path {
            true => Some(raw_socket()?),
            false => None,
        };
        let seconds = u64::try_from(params.interval).unwrap_or(1);
        let rounds = Arc::new(Rounds {
            options,
            source,
            enabled,
            parts: seconds.saturating_mul(TICKS_PER_SECOND).max(1),
            next: AtomicU64::new(0),
            patience: u64::try_from(params.keepalive_timeout)
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            heard: env.shared.keep(Table::default),
            raw,
            figures: Figures {
                sent: env.counter("pings_sent"),
                answered: env.counter("pings_answered"),
                lost: env.counter("pings_lost"),
            },
        });
        let here = rounds.clone();
        env.hooks.periodic.push(Periodic {
            name: Str::from_static("nathelper"),
            every: TICK,
            run: Arc::new(move |worker| here.tick(worker)),
        });
        env.hooks.reply.push(Arc::new(move |cx| {
            rounds.note_answer(cx);
            Flow::Continue
        }));
        Ok(())
    }

    fn tick(self: &Arc<Self>, worker: &Rc<Worker>) {
        if !self.enabled.0.load(Relaxed) {
            return;
        }
        let part = self.next.fetch_add(1, Relaxed) % self.parts;
        let nat = self.source.nat_flag();
        for contact in self.source.due(worker, part, self.parts) {
            if let Some(ping) = self.options.ping(&contact, nat) {
                self.send(worker, contact, ping);
            }
        }
        if part == 0 {
            self.forget_gone(worker.engine.now());
        }
    }

    fn send(self: &Arc<Self>, worker: &Rc<Worker>, contact: Bound, ping: Ping) {
        if matches!(ping, Ping::Request(_)) && self.is_lost(worker, &contact) {
            return;
        }
        let to = match &ping {
            Ping::Zeros(to) | Ping::Request(to) | Ping::Spoofed { to, .. } => to,
        };
        let hop = match proxy::hop_of_uri(to) {
            Ok(hop) => hop,
            Err(fault) => return debug!("nathelper", "Contact {} is not pinged: {fault}.", contact.uri),
        };
        if let Some(known) = worker.net.resolve_now(&hop) {
            return self.send_to(
                worker,
                &contact,
                &ping,
                known.ok().and_then(|all| all.first().copied()),
            );
        }
        let (here, worker, engine) = (self.clone(), worker.clone(), worker.engine.clone());
        engine.spawn(Box::pin(async move {
            let found = worker.net.resolve(hop).await.ok();
            here.send_to(
                &worker,
                &contact,
                &ping,
                found.and_then(|all| all.first().copied()),
            );
        }));
    }

    fn send_to(
        &self,
        worker: &Rc<Worker>,
        contact: &Bound,
        ping: &Ping,
        target: Option<(SocketAddr, Transport)>,
    ) {
        let Some((to, transport)) = target else {
            return debug!("nathelper", "Contact {} has no address to ping.", contact.uri);
        };
        let sent = match ping {
            Ping::Zeros(_) => match self.options.spoofed {
                Some(from) => self.send_raw(SocketAddr::V4(from), to),
                None => self.send_zeros(worker, contact, to),
            },
            Ping::Spoofed { from, .. } => self.send_from_edge(worker, from, to),
            Ping::Request(_) => self.send_request(worker, contact, to, transport),
        };
        match sent {
            Ok(()) => self.figures.sent.inc(),
            Err(why) => debug!("nathelper", "Contact {} is not pinged: {why}.", contact.uri),
        }
    }

    fn destination(&self, contact: &Bound, to: SocketAddr, transport: Transport) -> Destination {
        Destination {
            to,
            transport,
            listener: self.options.listener.or(contact.listener),
            connection: contact.connection,
            flags: SendFlags {
                // A connection that the client does not hold any more cannot be opened through its NAT.
                no_connect: transport.is_stream(),
                ..SendFlags::default()
            },
        }
    }

    fn send_zeros(&self, worker: &Rc<Worker>, contact: &Bound, to: SocketAddr) -> Result<(), String> {
        let destination = self.destination(contact, to, Transport::Udp);
        worker
            .net
            .send(&destination, ZEROS)
            .map_err(|fault| fault.text.to_string())
    }

    fn send_raw(&self, from: SocketAddr, to: SocketAddr) -> Result<(), String> {
        match (&self.raw, from, to) {
            (Some(raw), SocketAddr::V4(from), SocketAddr::V4(to)) => {
                raw.send(from, to, &ZEROS).map_err(|error| error.to_string())
            }
            _ => Err("only IPv4 addresses can be claimed".to_owned()),
        }
    }

    fn send_from_edge(&self, worker: &Rc<Worker>, edge: &Str, to: SocketAddr) -> Result<(), String> {
        let hop = proxy::hop_of_uri(edge).map_err(|fault| fault.text.to_string())?;
        let known = worker.net.resolve_now(&hop).and_then(Result::ok);
        let from = known.and_then(|all| all.first().copied());
        match from {
            Some((from, _)) => self.send_raw(from, to),
            None => Err(format!("the Path address {edge} is not known")),
        }
    }

    fn send_request(
        &self,
        worker: &Rc<Worker>,
        contact: &Bound,
        to: SocketAddr,
        transport: Transport,
    ) -> Result<(), String> {
        let mut destination = self.destination(contact, to, transport);
        let listener = worker
            .net
            .listener_for(to, transport, destination.listener)
            .and_then(|id| worker.config.identity.listener(id))
            .ok_or_else(|| format!("no {transport} socket of this server reaches {to}"))?;
        destination.listener = Some(listener.id);
        let (host, port) = match &listener.advertised {
            Some((host, port)) if *port != 0 => (host.to_string(), *port),
            Some((host, _)) => (host.to_string(), listener.address.port()),
            None => (host_text(listener.address), listener.address.port()),
        };
        let random = worker.random();
        let via = format!(
            "Via: SIP/2.0/{} {host}:{port};branch=z9hG4bK{random:016x}",
            transport.via_name()
        );
        let call_id = format!("{:016x}-{random:08x}@{host}", worker.random());
        let tag = self.heard.tag(&contact.ruid);
        let request = self.options.request(contact, via.as_bytes(), &tag, &call_id);
        proxy::send_raw(worker, &destination, request).map_err(|fault| fault.text.to_string())
    }

    /// Notes a ping, and removes a contact that has been silent for too long.
    fn is_lost(&self, worker: &Rc<Worker>, contact: &Bound) -> bool {
        let Some(patience) = self.patience else {
            return false;
        };
        let now = worker.engine.now();
        let fresh = Heard {
            answered: now,
            pinged: now,
        };
        let mut heard = self.heard.by_ruid.lock();
        let known = heard.entry(contact.ruid.clone()).or_insert(fresh);
        known.pinged = now;
        if now.saturating_duration_since(known.answered) <= patience {
            return false;
        }
        heard.remove(&contact.ruid);
        drop(heard);
        info!(
            "nathelper",
            "Contact {} is removed: it has answered no keepalive for {} s.",
            contact.uri,
            patience.as_secs()
        );
        self.figures.lost.inc();
        self.source.remove(worker, &contact.ruid);
        true
    }

    fn note_answer(&self, cx: &mut Cx) {
        let Some(ruid) = self.answered(cx) else { return };
        self.figures.answered.inc();
        self.source.answered(&cx.worker, &ruid);
        let now = cx.worker.engine.now();
        if let Some(known) = self.heard.by_ruid.lock().get_mut(&ruid) {
            known.answered = now;
        }
    }

    /// The contact whose ping this reply answers.
    fn answered(&self, cx: &Cx) -> Option<Str> {
        let header = cx.msg.first(HeaderId::From)?;
        let value = cx.msg.value(header);
        // Nearly every reply is another's: looked for before it is parsed.
        memchr_tag(value)?;
        let from = NameAddr::parse(value).ok()?;
        let tag = std::str::from_utf8(from.tag()?).ok()?;
        let ruid = tag.splitn(3, '.').nth(2)?;
        (self.heard.tag(&Str::from(ruid)) == tag).then(|| Str::from(ruid))
    }

    /// Forgets contacts that were not pinged in the last two rounds.
    fn forget_gone(&self, now: Instant) {
        let rounds = self.parts.saturating_mul(2);
        let limit = TICK.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        let mut heard = self.heard.by_ruid.lock();
        heard.retain(|_, heard| now.saturating_duration_since(heard.pinged) <= limit);
    }
}

fn memchr_tag(value: &[u8]) -> Option<usize> {
    value
        .windows(TAG.len().saturating_add(1))
        .position(|window| window.starts_with(TAG.as_bytes()) && window.ends_with(b"."))
}

impl Table {
    /// A tag that names a contact and that nobody else can make.
    fn tag(&self, ruid: &Str) -> String {
        let mut out = String::with_capacity(ruid.len().saturating_add(24));
        // Writing to a String cannot fail.
        let _ = write!(out, "{TAG}.{:016x}.{ruid}", self.key.hash_one(ruid.as_bytes()));
        out
    }
}

fn raw_socket() -> Result<RawSocket, InitError> {
    RawSocket::open().map_err(|error| {
        warning!("nathelper", "No raw socket: {error}.");
        InitError::new(format!(
            "natping_socket and udpping_from_path need a raw socket, and the system refuses one: {error}"
        ))
        .help("give the server the capability CAP_NET_RAW, or take the parameters out")
    })
}

fn host_text(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use kahea_module::testing::Server;

    use super::*;

    struct Fixed {
        contacts: Vec<Bound>,
        removed: Mutex<Vec<Str>>,
        answered: Mutex<Vec<Str>>,
    }

    impl Contacts for Fixed {
        fn due(&self, _: &Rc<Worker>, part: u64, parts: u64) -> Vec<Bound> {
            let turn = |at: usize| at as u64 % parts == part;
            let all = self.contacts.iter().enumerate();
            all.filter(|(at, _)| turn(*at))
                .map(|(_, contact)| contact.clone())
                .collect()
        }

        fn answered(&self, _: &Rc<Worker>, ruid: &Str) {
            self.answered.lock().push(ruid.clone());
        }

        fn nat_flag(&self) -> u32 {
            1
        }

        fn remove(&self, _: &Rc<Worker>, ruid: &Str) {
            self.removed.lock().push(ruid.clone());
        }
    }

    fn rounds(count: usize, sip: bool, patience: u64) -> (Arc<Rounds>, Arc<Fixed>) {
        let contacts = (0..count)
            .map(|n| Bound {
                uri: format!("sip:u{n}@127.0.0.1:{}", 6000 + n).into(),
                ruid: format!("uloc-{n}").into(),
                ..Bound::default()
            })
            .collect();
        let source = Arc::new(Fixed {
            contacts,
            removed: Mutex::default(),
            answered: Mutex::default(),
        });
        let rounds = Rounds {
            options: Options {
                sip: sip.then_some(2),
                from: "sip:p@h".into(),
                method: "OPTIONS".into(),
                ..Options::default()
            },
            source: source.clone(),
            enabled: Arc::new(Enabled(AtomicBool::new(true))),
            parts: 8,
            next: AtomicU64::new(0),
            patience: (patience > 0).then(|| Duration::from_secs(patience)),
            heard: Arc::default(),
            raw: None,
            figures: Figures {
                sent: Counter::default(),
                answered: Counter::default(),
                lost: Counter::default(),
            },
        };
        (Arc::new(rounds), source)
    }

    #[test]
    fn pings_are_spread_evenly_over_the_interval() {
        let server = Server::default();
        let (rounds, _) = rounds(80, false, 0);
        for tick in 1..=8 {
            rounds.tick(&server.worker);
            assert_eq!(server.net.sent.borrow().len(), tick * 10);
        }
        assert!(server.net.sent.borrow().iter().all(|(_, data)| *data == ZEROS));
        rounds.enabled.0.store(false, Relaxed);
        rounds.tick(&server.worker);
        assert_eq!(server.net.sent.borrow().len(), 80);
    }

    #[test]
    fn contacts_that_answer_stay_and_others_go() {
        let server = Server::default();
        let (rounds, source) = rounds(2, true, 3);
        let round = || (0..8).for_each(|_| rounds.tick(&server.worker));
        round();
        let sent = server.net.sent.borrow()[0].1.to_string();
        let tag = sent
            .split(";tag=")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap()
            .to_owned();
        let answer = |tag: &str| {
            let mut cx = server.message(&format!("SIP/2.0 200 OK\nFrom: sip:p@h;tag={tag}\n\n"));
            rounds.note_answer(&mut cx);
        };
        for _ in 0..4 {
            server.engine.advance(Duration::from_secs(1));
            answer(&tag);
            answer("nhk.0000000000000000.uloc-1");
            round();
        }
        assert_eq!(*source.removed.lock(), [Str::from("uloc-1")]);
        assert_eq!(*source.answered.lock(), [const { Str::from_static("uloc-0") }; 4]);
        assert_eq!(rounds.figures.answered.get(), 4);
        assert_eq!(rounds.figures.lost.get(), 1);
    }
}
