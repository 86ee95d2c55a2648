//! Script workers, with a language whose scripts are functions of this file: what stands still, what goes on, and in which
//! order.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

use std::{
    net::UdpSocket,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use kahea_engine::{Server, boot, core_module::Core};
use kahea_lang::source::{Memory, Options};
use kahea_module::{
    Cx, Decl, Env, InitError, Module, Outcome, Ret, Str, Worker,
    config::Shared,
    language::{Call, Callback, Interpreter, Language, Step},
    modules, proxy,
    registry::Registry,
};
use kahea_net::Inherited;

/// The module that brings the language, with a function that waits.
struct Test;

impl Module for Test {
    const NAME: &'static str = "test";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        let doc = "Runs what the user of the Request-URI says, as a script that holds its thread.";
        d.func("held", [], |_: &Test, cx: &mut Cx| held(cx), doc).waits();
        let doc = "Waits, as a database does.";
        d.func("pause", [], |_: &Test, _: &mut Cx| pause(100), doc)
            .waits();
    }

    fn init((): (), env: &mut Env<'_>) -> Result<Self, InitError> {
        env.hooks.languages.push(Arc::new(Tongue));
        Ok(Test)
    }
}

struct Tongue;

impl Language for Tongue {
    fn names(&self) -> &'static [&'static str] {
        &["test"]
    }

    fn holds_its_thread(&self) -> bool {
        true
    }

    fn interpreter(&self, _: &Rc<Worker>) -> Result<Rc<dyn Interpreter>, InitError> {
        Ok(Rc::new(Mouth))
    }
}

struct Mouth;

impl Interpreter for Mouth {
    fn call(&self, callback: &Arc<Callback>) -> Box<dyn Call> {
        Box::new(Word(callback.clone()))
    }
}

struct Word(Arc<Callback>);

impl Word {
    fn end() -> Step {
        Step::Done(Outcome {
            code: 1,
            exit: false,
            drop: false,
        })
    }
}

impl Call for Word {
    fn run(&mut self, cx: &mut Cx) -> Step {
        if self.0.optional {
            return Word::end();
        }
        match held(cx) {
            Ret::Wait(later) => Step::Wait(later),
            _ => Word::end(),
        }
    }

    fn resume(&mut self, _: &mut Cx, _: Ret) -> Step {
        Word::end()
    }

    fn position(&self) -> String {
        self.0.name.to_string()
    }
}

/// A function that waits.
fn pause(millis: u64) -> Ret {
    Ret::wait(move |cx| {
        let time = cx.worker.engine.sleep(Duration::from_millis(millis));
        Box::pin(async move {
            time.await;
            Ret::TRUE
        })
    })
}

/// Runs the script outside of the runtime.
fn held(cx: &mut Cx) -> Ret {
    let engine = cx.worker.engine.clone();
    engine.standing(cx, Box::new(script))
}

fn script(cx: &mut Cx) -> Ret {
    let engine = cx.worker.engine.clone();
    let user = cx.with_ruri(|uri| uri.map_or(Str::EMPTY, |uri| Str::copy(uri.user)));
    match &*user {
        b"sleep" => std::thread::sleep(Duration::from_millis(1500)),
        b"wait" => {
            let Ret::Wait(later) = pause(200) else {
                return Ret::FALSE;
            };
            engine.stand(cx, later);
        }
        // A function that waits, and runs a script of its own before it is done.
        b"nested" => {
            let Ret::Wait(later) = nested() else {
                return Ret::FALSE;
            };
            engine.stand(cx, later);
        }
        b"panic" => panic!("on purpose"),
        _ => {}
    }
    proxy::reply_to(cx, 200, b"OK").is_ok().into()
}

fn nested() -> Ret {
    Ret::wait(|cx| {
        Box::pin(async move {
            let engine = cx.worker.engine.clone();
            engine.sleep(Duration::from_millis(20)).await;
            let inner = |cx: &mut Cx| {
                // Waits once more, from inside of the nested script.
                let Ret::Wait(later) = pause(20) else {
                    return Ret::FALSE;
                };
                let ret = cx.worker.engine.clone().stand(cx, later);
                cx.flags |= 1;
                ret
            };
            match engine.standing(cx, Box::new(inner)) {
                Ret::Wait(later) => later(cx).await,
                ret => ret,
            }
        })
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the start of a server is the source of its times"
)]
fn start(script: &str, port: u16, children: usize) -> Server {
    let text = format!(
        "debug=-1\nchildren={children}\nlisten=udp:127.0.0.1:{port}\ndisable_tcp=yes\nauto_aliases=no\nloadmodule \"test.so\"\n{script}\n"
    );
    let mut all = modules![Core, Test];
    all.extend(kahea_mods_base::modules());
    let registry = Arc::new(Registry::new(all));
    let sources = Memory::with("t.cfg", &text);
    let loaded = boot::load_from("t.cfg", &sources, &Options::default(), &registry);
    let shared = Arc::new(Shared::new(SystemTime::now(), Instant::now(), Vec::new()));
    match Server::start(loaded, registry, shared, 1, Inherited::default()) {
        Ok(server) => server,
        Err(_) => panic!("the server does not start"),
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

struct Phone {
    socket: UdpSocket,
    server: u16,
}

impl Phone {
    fn new(server: u16) -> Phone {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Phone { socket, server }
    }

    fn ask(&self, user: &str, call: &str, cseq: u32) {
        let own = self.socket.local_addr().unwrap();
        let text = format!(
            "OPTIONS sip:{user}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{call}{cseq}\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: {call}\r\nCSeq: {cseq} OPTIONS\r\nMax-Forwards: 9\r\nContent-Length: 0\r\n\r\n"
        );
        self.socket
            .send_to(text.as_bytes(), ("127.0.0.1", self.server))
            .unwrap();
    }

    /// Call-ID and CSeq of the next answer.
    fn answer(&self) -> (String, u32) {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .trim()
                .to_owned()
        };
        let cseq = value("CSeq:").split(' ').next().unwrap().parse().unwrap();
        (value("Call-ID:"), cseq)
    }
}

#[test]
fn a_script_that_blocks_holds_only_its_own_worker() {
    let port = free_port();
    let server = start("cfgengine \"test\"", port, 3);
    assert_eq!(server.workers(), 3);
    let (slow, quick) = (Phone::new(port), Phone::new(port));
    let begun = Instant::now();
    slow.ask("sleep", "slow", 1);
    slow.ask("ok", "slow", 2);
    let mut times = Vec::new();
    for number in 0..200 {
        let asked = Instant::now();
        quick.ask("ok", &format!("quick{number}"), 1);
        quick.answer();
        times.push(asked.elapsed());
    }
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "the others waited for the one that blocks"
    );
    times.sort();
    assert!(times[197] < Duration::from_millis(500), "p99 {:?}", times[197]);
    assert_eq!(slow.answer(), ("slow".to_owned(), 1));
    assert_eq!(
        slow.answer(),
        ("slow".to_owned(), 2),
        "the order of a Call-ID is kept"
    );
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    server.stop();
}

#[test]
fn a_wait_keeps_the_thread_and_lets_its_timers_go_on() {
    let port = free_port();
    let server = start("cfgengine \"test\"", port, 1);
    let phone = Phone::new(port);
    for (number, user) in ["wait", "nested", "ok", "panic", "ok"].into_iter().enumerate() {
        phone.ask(user, user, u32::try_from(number).unwrap());
    }
    assert_eq!(phone.answer().0, "wait");
    assert_eq!(phone.answer().0, "nested", "one worker, one script at a time");
    assert_eq!(phone.answer().0, "ok");
    assert_eq!(
        phone.answer(),
        ("ok".to_owned(), 4),
        "a panic costs its message alone"
    );
    server.stop();
}

#[test]
fn a_native_script_that_waits_runs_held_functions_outside() {
    let port = free_port();
    let server = start("request_route { pause(); held(); }", port, 1);
    let phone = Phone::new(port);
    let begun = Instant::now();
    for number in 0..10 {
        phone.ask("wait", &format!("call{number}"), 1);
    }
    let mut seen: Vec<String> = (0..10).map(|_| phone.answer().0).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
    let took = begun.elapsed();
    // The pauses of the native script go on side by side, the waits of the held ones one after the other.
    assert!(
        took >= Duration::from_millis(2000) && took < Duration::from_millis(6000),
        "{took:?}"
    );
    server.stop();
}

#[test]
fn what_was_queued_is_handled_before_the_server_ends() {
    let port = free_port();
    let server = start("cfgengine \"test\"", port, 1);
    let phone = Phone::new(port);
    for number in 0..5 {
        phone.ask("wait", &format!("call{number}"), 1);
    }
    assert_eq!(phone.answer().0, "call0");
    server.stop();
    let rest: Vec<String> = (0..4).map(|_| phone.answer().0).collect();
    assert_eq!(rest, ["call1", "call2", "call3", "call4"]);
}
