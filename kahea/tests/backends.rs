//! Backends that are slow, silent or dead cost the calls that need them, and nothing else: meanwhile requests without a
//! transaction are answered as fast as ever.
//!
//! Needs the package mariadb-server; `cargo xtask ci` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use common::{Phone, Place, Running, status, wait_for};
use kahea_db_testing::{Gate, MariaDb, Traffic};
use md5::{Digest, Md5};

/// How much later an OPTIONS may be answered than one of an idle server: far less than any backend here takes, far more
/// than a busy machine makes of it.
const SLACK: Duration = Duration::from_millis(100);

fn config(place: &Place, modules: &str, script: &str) {
    let text = format!(
        "debug=2\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\nloadmodule \"sl\"\nloadmodule \"pv\"\n\
         {modules}\nrequest_route {{\n    if ($rm == \"OPTIONS\") {{ sl_send_reply(\"200\", \"Alive\"); exit; }}\n{script}\n}}\n",
        place.port
    );
    fs::write(place.config(), text).unwrap();
}

/// A server with one worker: whatever holds it shows.
fn start(place: &Place) -> Running {
    let mut command = common::kahea();
    command.arg("-f").arg(place.config()).arg("-Y").arg(place.path());
    command.args(["--workers", "1", "-DD", "-E"]);
    place.run(command)
}

/// The time within which 99 of 100 OPTIONS are answered, of 500 at 2 ms after one another.
fn p99(place: &Place) -> Duration {
    let phone = Phone::of(place.port);
    let mut times: Vec<Duration> = (0..500)
        .map(|n| {
            thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            let reply = phone.ask("OPTIONS", "alice", &format!("o{n}-{}", phone.port()), "");
            assert_eq!(status(&reply), "200");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[494]
}

fn hex(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// An Authorization header that answers the challenge of a reply.
fn authorization(reply: &str, uri: &str) -> String {
    let nonce = reply.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let (ha1, ha2) = (hex("alice:127.0.0.1:secret"), hex(&format!("REGISTER:{uri}")));
    let response = hex(&format!("{ha1}:{nonce}:{ha2}"));
    format!(
        "Authorization: Digest username=\"alice\", realm=\"127.0.0.1\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"\r\n"
    )
}

#[test]
fn a_slow_database_delays_only_those_who_ask_it() {
    let server = MariaDb::start();
    let gate = Gate::to(server.port());
    server.sql(
        "create table kamailio.version (table_name varchar(32), table_version int); \
         insert into kamailio.version values ('subscriber', 7); \
         create table kamailio.subscriber (username varchar(64), domain varchar(64), password varchar(64)); \
         insert into kamailio.subscriber values ('alice', '127.0.0.1', 'secret');",
    );
    let place = Place::new();
    let url = server.url(gate.port());
    config(
        &place,
        &format!(
            "loadmodule \"db_mysql\"\nloadmodule \"auth\"\nloadmodule \"auth_db\"\n\
             modparam(\"auth_db\", \"db_url\", \"{url}\")\nmodparam(\"auth_db\", \"calculate_ha1\", 1)\n\
             modparam(\"auth_db\", \"password_column\", \"password\")\nmodparam(\"auth_db\", \"load_credentials\", \"\")"
        ),
        "    if (!www_authenticate(\"127.0.0.1\", \"subscriber\")) { www_challenge(\"127.0.0.1\", \"0\"); exit; }\n\
         \x20   sl_send_reply(\"200\", \"Known\");",
    );
    let _server = start(&place);
    let idle = p99(&place);
    let delay = Duration::from_millis(200);
    gate.set(Traffic::Slow(delay));
    let (ended, waits) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let phones: Vec<JoinHandle<()>> = (0..8)
        .map(|phone| {
            let (ended, waits, own) = (ended.clone(), waits.clone(), Phone::of(place.port));
            thread::spawn(move || register(phone, &own, &ended, &waits))
        })
        .collect();
    wait_for("phones that wait", || {
        (waits.lock().unwrap().len() > 8).then_some(())
    });
    let busy = p99(&place);
    ended.store(true, Relaxed);
    phones.into_iter().for_each(|phone| phone.join().unwrap());
    let waits = waits.lock().unwrap();
    assert!(
        waits.iter().all(|wait| *wait >= delay),
        "they asked the slow database: {waits:?}"
    );
    assert!(
        busy < idle + SLACK,
        "{busy:?} with a slow database, {idle:?} without"
    );
}

/// Registers again and again, and notes how long each took.
fn register(phone: usize, own: &Phone, ended: &AtomicBool, waits: &Mutex<Vec<Duration>>) {
    for n in 0.. {
        if ended.load(Relaxed) {
            return;
        }
        let refused = own.ask("REGISTER", "alice", &format!("r{phone}-{n}"), "");
        assert_eq!(status(&refused), "401");
        let header = authorization(&refused, "sip:127.0.0.1");
        let start = Instant::now();
        let reply = own.ask("REGISTER", "alice", &format!("r{phone}-{n}a"), &header);
        assert_eq!(status(&reply), "200", "{reply}");
        waits.lock().unwrap().push(start.elapsed());
    }
}

/// A media engine that knows the commands of a call.
struct Engine {
    port: u16,
    silent: Arc<AtomicBool>,
    offers: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    fn start() -> Engine {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let mut engine = Engine {
            port: socket.local_addr().unwrap().port(),
            silent: Arc::default(),
            offers: Arc::default(),
            ended: Arc::default(),
            thread: None,
        };
        let (silent, offers, ended) = (engine.silent.clone(), engine.offers.clone(), engine.ended.clone());
        engine.thread = Some(thread::spawn(move || {
            while !ended.load(Relaxed) {
                answer(&socket, &silent, &offers);
            }
        }));
        engine
    }

    /// Its socket is closed, as when the process is killed.
    fn kill(&mut self) {
        self.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Answers the next command, where one is there and the engine speaks.
fn answer(socket: &UdpSocket, silent: &AtomicBool, offers: &AtomicUsize) {
    let mut buffer = [0; 8192];
    let Ok((length, from)) = socket.recv_from(&mut buffer) else {
        return;
    };
    if silent.load(Relaxed) {
        return;
    }
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let (cookie, command) = text.split_once(' ').unwrap();
    let reply = if command.contains("4:ping") {
        format!("{cookie} d6:result4:ponge")
    } else {
        offers.fetch_add(1, Relaxed);
        let sdp = SDP.replace("10.0.0.1", "192.0.2.1");
        format!("{cookie} d6:result2:ok3:sdp{}:{sdp}e", sdp.len())
    };
    socket.send_to(reply.as_bytes(), from).unwrap();
}

const SDP: &str =
    "v=0\r\no=a 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

/// Milliseconds that an engine may take, and how often it is asked.
const TIMEOUT: u64 = 300;
const ATTEMPTS: u64 = 2;

fn media_server(engines: [&Engine; 2]) -> (Place, Running) {
    let place = Place::new();
    let [first, second] = engines.map(|engine| engine.port);
    config(
        &place,
        &format!(
            "loadmodule \"rtpengine\"\nmodparam(\"rtpengine\", \"rtpengine_sock\", \"udp:127.0.0.1:{first}=50 udp:127.0.0.1:{second}=50\")\n\
             modparam(\"rtpengine\", \"rtpengine_tout_ms\", {TIMEOUT})\nmodparam(\"rtpengine\", \"rtpengine_retr\", {ATTEMPTS})\n\
             modparam(\"rtpengine\", \"rtpengine_disable_tout\", 60)"
        ),
        "    if (!rtpengine_offer()) { sl_send_reply(\"503\", \"No engine\"); exit; }\n    sl_send_reply(\"486\", \"Busy\");",
    );
    let server = start(&place);
    (place, server)
}

/// A call: how it ends, and how long that takes.
fn call(phone: &Phone, name: &str) -> (String, Duration) {
    let start = Instant::now();
    let reply = phone.ask(
        "INVITE",
        "alice",
        name,
        &format!("Content-Type: application/sdp\r\n\r\n{SDP}"),
    );
    (status(&reply).to_owned(), start.elapsed())
}

/// Calls go on from eight phones, each with its own, while `fault` happens to the first engine and OPTIONS are counted;
/// the calls that began before and after the fault all find an engine.
fn fails_over(fault: impl FnOnce(&mut Engine)) {
    let (mut first, second) = (Engine::start(), Engine::start());
    let (place, _server) = media_server([&first, &second]);
    let idle = p99(&place);
    let (ended, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let phones: Vec<JoinHandle<()>> = (0..8)
        .map(|phone| {
            let (ended, calls, own) = (ended.clone(), calls.clone(), Phone::of(place.port));
            thread::spawn(move || {
                for n in 0.. {
                    if ended.load(Relaxed) {
                        return;
                    }
                    let done = call(&own, &format!("c{phone}-{n}"));
                    calls.lock().unwrap().push(done);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        })
        .collect();
    let offers = first.offers.clone();
    wait_for("calls at both engines", || {
        (offers.load(Relaxed) > 20 && second.offers.load(Relaxed) > 20).then_some(())
    });
    fault(&mut first);
    let (before, taken) = (offers.load(Relaxed), second.offers.load(Relaxed));
    let busy = p99(&place);
    wait_for("calls at the second engine", || {
        (second.offers.load(Relaxed) > taken + 40).then_some(())
    });
    ended.store(true, Relaxed);
    phones.into_iter().for_each(|phone| phone.join().unwrap());
    let calls = calls.lock().unwrap();
    assert!(
        calls.iter().all(|(status, _)| status == "486"),
        "each call found an engine"
    );
    let longest = calls.iter().map(|(_, time)| *time).max().unwrap();
    let limit = Duration::from_millis(TIMEOUT * ATTEMPTS) + Duration::from_millis(400);
    assert!(longest < limit, "{longest:?} for a call that failed over");
    assert_eq!(offers.load(Relaxed), before, "the first engine is left alone");
    assert!(
        busy < idle + SLACK,
        "{busy:?} with an engine away, {idle:?} before"
    );
}

#[test]
fn calls_fail_over_when_an_engine_falls_silent() {
    fails_over(|engine| engine.silent.store(true, Relaxed));
}

#[test]
fn calls_fail_over_when_an_engine_is_killed() {
    fails_over(Engine::kill);
}
