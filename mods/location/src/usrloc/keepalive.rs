//! Keepalives (`ka_*`): small requests to contacts in memory, and what their answers tell.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use kahea_module::{
    Cx, Env, Format, InitError, Listener, Str, Worker,
    config::{Flow, Periodic},
    log::{self, Level},
    proxy,
};
use kahea_sip::{
    Destination, SendFlags,
    view::{Addrs, Uri, user_escape},
};

use super::{
    Domain, Mode, Params, Service,
    contact::Contact,
    params::{KeepaliveParams, out_of_range},
};

/// Requests sent between two pauses.
const STEP: usize = 50;
const PAUSE: Duration = Duration::from_millis(1);
/// What the Call-IDs of keepalives begin with.
const CALL_ID: &str = "ksrulka-";
/// `ka_mode`: to contacts behind NAT only.
const NATTED: i64 = 2;
/// `ka_mode`: over UDP only.
const UDP: i64 = 4;

/// The keepalives of one configuration.
struct Keepalive {
    service: Arc<Service>,
    mode: i64,
    from: Str,
    domain: Str,
    method: Str,
    own_only: bool,
    interval: u32,
    spread: u32,
    timeout: u32,
    log: Option<(Level, Format)>,
    codes: Vec<u16>,
    busy: AtomicBool,
    /// When the last pass began.
    last: AtomicU32,
    sent: AtomicU64,
}

/// Starts them, where `ka_mode` says so.
pub(super) fn begin(params: &Params, service: &Arc<Service>, env: &mut Env<'_>) -> Result<(), InitError> {
    let ka = &params.keepalive;
    if ka.mode == 0 {
        return Ok(());
    }
    if service.settings().mode == Mode::DatabaseOnly {
        return Err(
            InitError::new("ka_mode needs contacts in memory, which db_mode 3 does not have")
                .help("use nathelper for keepalives, or another db_mode"),
        );
    }
    let seconds =
        |name, value: i64| u32::try_from(value).map_err(|_| out_of_range(name, value, "seconds, or 0"));
    let keepalive = Arc::new(Keepalive {
        service: service.clone(),
        mode: ka.mode,
        from: checked("ka_from", &ka.from)?,
        domain: checked("ka_domain", &ka.domain)?,
        method: checked("ka_method", &ka.method)?,
        own_only: ka.filter & 1 != 0,
        interval: seconds("ka_interval", ka.interval)?.max(1),
        spread: seconds("ka_randomize", ka.randomize)?,
        timeout: seconds("ka_timeout", ka.timeout)?,
        log: log_line(ka, env)?,
        codes: codes(&ka.reply_codes)?,
        busy: AtomicBool::new(false),
        last: AtomicU32::new(0),
        sent: AtomicU64::new(0),
    });
    let timer = keepalive.clone();
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("usrloc keepalives"),
        every: Duration::from_secs(u64::try_from(params.timer_interval).unwrap_or(60)),
        run: Arc::new(move |worker| timer.begin(worker)),
    });
    let answers = keepalive.clone();
    env.hooks.reply.push(Arc::new(move |cx| answers.answer(cx)));
    Ok(())
}

/// A text that stands in the header of a request.
fn checked(name: &str, text: &Str) -> Result<Str, InitError> {
    match text.is_empty() || text.iter().any(u8::is_ascii_control) {
        true => Err(InitError::new(format!(
            "{name} is empty or holds a control character"
        ))),
        false => Ok(text.clone()),
    }
}

fn log_line(ka: &KeepaliveParams, env: &Env<'_>) -> Result<Option<(Level, Format)>, InitError> {
    if ka.loglevel == 255 {
        return Ok(None);
    }
    let level = Level::from_number(ka.loglevel);
    Ok(Some((level, env.bind.format(&ka.logmsg.text())?)))
}

/// `ka_reply_codes`; none for all.
fn codes(text: &Str) -> Result<Vec<u16>, InitError> {
    let text = text.text();
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    let codes: Result<Vec<u16>, _> = words.map(str::parse).collect();
    let codes = codes.map_err(|_| {
        InitError::new(format!("ka_reply_codes '{text}' is no list of codes"))
            .help("give codes separated by commas, or 0 for all")
    })?;
    Ok(codes.into_iter().filter(|code| *code != 0).collect())
}

struct Busy(Arc<Keepalive>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Relaxed);
    }
}

impl Keepalive {
    fn begin(self: &Arc<Self>, worker: &Rc<Worker>) {
        if self.busy.swap(true, Relaxed) {
            return;
        }
        let busy = Busy(self.clone());
        let (keepalive, on) = (self.clone(), worker.clone());
        worker.engine.spawn(Box::pin(async move {
            let now = super::now(&on);
            let last = keepalive.last.swap(now, Relaxed);
            for domain in keepalive.service.domains() {
                keepalive.pass(&on, &domain, last, now).await;
            }
            drop(busy);
        }));
    }

    async fn pass(&self, worker: &Rc<Worker>, domain: &Arc<Domain>, last: u32, now: u32) {
        for at in 0..domain.slices() {
            let wanted = domain.slice(at, |contact| contact.is_valid(now) && self.wants(contact));
            for contacts in wanted.chunks(STEP) {
                for contact in contacts {
                    if self.is_silent(contact, now) {
                        domain.end(contact, now);
                    } else if self.is_due(domain, contact, last, now) {
                        self.send(worker, contact).await;
                    }
                }
                worker.engine.sleep(PAUSE).await;
            }
        }
    }

    fn wants(&self, contact: &Contact) -> bool {
        let settings = self.service.settings();
        let natted = self.mode & NATTED == 0 || contact.cflags() & settings.nat_flag != 0;
        let udp = self.mode & UDP == 0 || contact.connection().is_none();
        let own = !self.own_only || contact.server_id() == settings.server_id;
        natted && udp && own
    }

    /// It has not answered for too long.
    fn is_silent(&self, contact: &Contact, now: u32) -> bool {
        self.timeout != 0 && now.saturating_sub(contact.last_answer()) > self.timeout
    }

    /// It registered since the last pass, or another interval has gone by since then. The first interval is longer by a
    /// share of `ka_randomize`, so that contacts which came together part.
    fn is_due(&self, domain: &Domain, contact: &Contact, last: u32, now: u32) -> bool {
        let since = |time: u32| {
            let spread = domain.hash(contact.ruid()).checked_rem(self.spread).unwrap_or(0);
            let age = time.checked_sub(contact.modified())?;
            Some(age.saturating_sub(spread) / self.interval)
        };
        since(now) != since(last) || contact.modified() >= last
    }

    async fn send(&self, worker: &Rc<Worker>, contact: &Contact) {
        let Some(next) = next_hop(contact) else { return };
        // From a database or a command, where no parser has seen it.
        let plain = |text: &[u8]| !text.iter().any(u8::is_ascii_control);
        if !plain(contact.address()) || !plain(contact.path().unwrap_or_default()) {
            return;
        }
        let Ok(hop) = proxy::hop_of_uri(&next) else { return };
        let targets = match worker.net.resolve_now(&hop) {
            Some(targets) => targets,
            None => worker.net.resolve(hop).await,
        };
        let Some((to, transport)) = targets.ok().and_then(|all| all.first().copied()) else {
            return;
        };
        let identity = &worker.config.identity;
        let socket = contact.socket().unwrap_or_default();
        let own = identity
            .listeners
            .iter()
            .find(|listener| *listener.text == *socket);
        let preferred = own.map(|listener| listener.id);
        let listener = worker.net.listener_for(to, transport, preferred);
        let Some(listener) = listener.and_then(|id| identity.listener(id)) else {
            return;
        };
        let destination = Destination {
            to,
            transport,
            listener: Some(listener.id),
            connection: contact.connection(),
            flags: SendFlags {
                no_connect: transport.is_stream(),
                ..SendFlags::default()
            },
        };
        let request = self.request(worker, contact, listener);
        if let Err(fault) = proxy::send_raw(worker, &destination, Str::from(request)) {
            log::write(
                Level::Debug,
                "usrloc",
                format_args!("no keepalive to {to}: {fault}"),
            );
        }
    }

    fn request(&self, worker: &Rc<Worker>, contact: &Contact, listener: &Listener) -> Vec<u8> {
        let number = self.sent.fetch_add(1, Relaxed).wrapping_add(1);
        let sent = worker
            .engine
            .time()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut out = Vec::with_capacity(512);
        let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        push(&[&self.method, b" ", contact.address(), b" SIP/2.0\r\n"]);
        let near = match &listener.advertised {
            Some((host, 0)) => host.to_string(),
            Some((host, port)) => format!("{host}:{port}"),
            None => listener.address.to_string(),
        };
        let via = format!(
            "Via: SIP/2.0/{} {near};branch=z9hG4bKka{:016x}\r\nMax-Forwards: 70\r\n",
            listener.transport.via_name(),
            worker.random()
        );
        push(&[via.as_bytes()]);
        if let Some(path) = contact.path() {
            push(&[b"Route: ", path, b"\r\n"]);
        }
        let micros = format!(".{:x}\r\n", sent.as_micros());
        push(&[
            b"From: <",
            &self.from,
            b">;tag=",
            contact.ruid(),
            micros.as_bytes(),
        ]);
        let (user, domain) = match contact.aor().iter().rposition(|byte| *byte == b'@') {
            Some(at) => contact.aor().split_at(at),
            None => (contact.aor(), &b""[..]),
        };
        let domain = domain.strip_prefix(b"@").unwrap_or(&self.domain);
        // An address of record is free of escapes, and may hold anything.
        push(&[b"To: <sip:", &user_escape(user), b"@", &user_escape(domain)]);
        let call_id = format!(
            ">\r\nCall-ID: {CALL_ID}{:08x}-{:x}-{number:x}\r\nCSeq: 80 ",
            worker.random() >> 32,
            worker.config.shared.pid
        );
        push(&[call_id.as_bytes(), &self.method, b"\r\nContent-Length: 0\r\n\r\n"]);
        out
    }

    /// An answer to a keepalive goes no further.
    fn answer(&self, cx: &mut Cx) -> Flow {
        let own = cx
            .msg
            .call_id()
            .is_some_and(|id| id.starts_with(CALL_ID.as_bytes()));
        if !own {
            return Flow::Continue;
        }
        let status = cx.msg.status().unwrap_or(0);
        if status < 200 || !(self.codes.is_empty() || self.codes.contains(&status)) {
            return Flow::Stop;
        }
        let tag = cx.from().ok().and_then(|from| from.tag()).map(Str::copy);
        let Some((ruid, sent)) = tag.as_deref().and_then(parts_of_tag) else {
            return Flow::Stop;
        };
        let time = cx.time().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(time.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_sub(sent);
        let round_trip = u32::try_from(micros).unwrap_or(u32::MAX);
        let now = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let domains = self.service.domains();
        let known = domains
            .iter()
            .any(|domain| domain.answered(ruid, now, round_trip));
        if let Some((level, more)) = self.log.as_ref().filter(|_| known) {
            let more = more.text(cx);
            log::write(
                *level,
                "usrloc",
                format_args!(
                    "keepalive roundtrip: {}.{:06} sec - ruid [{}]{more}",
                    round_trip / 1_000_000,
                    round_trip % 1_000_000,
                    String::from_utf8_lossy(ruid)
                ),
            );
        }
        Flow::Stop
    }
}

/// Where a keepalive to the contact goes: where its REGISTER came from, or the first hop of its Path, or its URI.
fn next_hop(contact: &Contact) -> Option<Str> {
    if let Some(path) = contact.path() {
        let first = Addrs::new(path).next()?.ok()?;
        return Some(Str::copy(first.uri));
    }
    let uri = contact.received().unwrap_or(contact.address());
    Uri::parse(uri).ok().map(|_| Str::copy(uri))
}

/// Identifier of the contact, and microseconds since 1970 when the keepalive was sent.
fn parts_of_tag(tag: &[u8]) -> Option<(&[u8], u64)> {
    let at = tag.iter().rposition(|byte| *byte == b'.')?;
    let sent = std::str::from_utf8(tag.get(at.checked_add(1)?..)?).ok()?;
    Some((tag.get(..at)?, u64::from_str_radix(sent, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_say_which_contact_and_when() {
        assert_eq!(parts_of_tag(b"uloc-1-2-3.ff"), Some((&b"uloc-1-2-3"[..], 255)));
        assert_eq!(parts_of_tag(b"uloc-1-2-3"), None);
        assert_eq!(parts_of_tag(b"uloc."), None);
        assert_eq!(parts_of_tag(b"a.xyz"), None);
    }

    #[test]
    fn codes_are_read_and_nonsense_is_refused() {
        assert_eq!(codes(&Str::from("0")).unwrap(), [0u16; 0]);
        assert_eq!(codes(&Str::from("200, 404")).unwrap(), [200, 404]);
        assert!(codes(&Str::from("2xx")).is_err());
    }
}
