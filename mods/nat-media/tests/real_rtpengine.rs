//! A call through Debian's rtpengine, in user space, over each of its transports.
//!
//! Without the program the test says so and passes, but where `CI` is set: there it has to be installed.

#![allow(clippy::panic, clippy::print_stderr)] // reason: a test

use std::{
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use kahea_mods_nat_media::RtpEngine;
use kahea_module::{
    ArgSource, Cx, Env, Ret, Str, Value,
    config::{Hooks, Identity},
    registry::{ModuleDecl, Services},
    testing::{FakeBind, Server},
};

/// Ends with the test.
struct Engine {
    child: Child,
    udp: u16,
    tcp: u16,
    http: u16,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_tcp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn free_udp() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address").port()
}

impl Engine {
    /// `None` where the program is not there.
    fn start() -> Option<Engine> {
        let (udp, tcp, http) = (free_udp(), free_tcp(), free_tcp());
        let child = Command::new("rtpengine")
            .args([
                "--table=-1",
                "--foreground",
                "--log-stderr",
                "--interface=127.0.0.1",
            ])
            .arg("--config-file=none")
            .arg(format!("--listen-ng=127.0.0.1:{udp}"))
            .arg(format!("--listen-tcp-ng=127.0.0.1:{tcp}"))
            .arg(format!("--listen-http=127.0.0.1:{http}"))
            .args(["--port-min=40000", "--port-max=40100"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Some(Engine {
                child,
                udp,
                tcp,
                http,
            }),
            Err(error) if std::env::var_os("CI").is_none() => {
                eprintln!(
                    "rtpengine cannot be started ({error}): install the package rtpengine-daemon to run this test"
                );
                None
            }
            Err(error) => {
                panic!("rtpengine cannot be started: {error}; install the package rtpengine-daemon")
            }
        }
    }
}

impl Engine {
    /// Waits until it takes connections.
    async fn ready(&self) {
        for _ in 0..200 {
            let [tcp, http] =
                [self.tcp, self.http].map(|port| tokio::net::TcpStream::connect(("127.0.0.1", port)));
            if tcp.await.is_ok() && http.await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("rtpengine does not listen after ten seconds");
    }
}

/// The module with one engine, as a configuration starts it.
struct Module {
    decl: ModuleDecl,
    slot: Arc<dyn std::any::Any + Send + Sync>,
    server: Server,
}

impl Module {
    fn start(url: &str) -> Module {
        let server = Server::default();
        let config = server.worker.config.clone();
        let (mut hooks, mut identity, mut services) =
            (Hooks::default(), Identity::default(), Services::default());
        let mut env = Env {
            bind: config.bind.clone(),
            globals: &config.globals,
            shared: config.shared.clone(),
            hooks: &mut hooks,
            identity: &mut identity,
            settings: &config.settings,
            services: &mut services,
            module: "rtpengine",
            read_file: &|path| std::fs::read(path),
        };
        let decl = ModuleDecl::of::<RtpEngine>();
        let mut pending = decl.prepare();
        let bind = FakeBind::default();
        let mut set = |name: &str, value: Value| decl.set(&mut pending, name, &value, &bind).expect(name);
        set("rtpengine_sock", Value::from(url.to_owned()));
        set("rtpengine_tout_ms", Value::Int(500));
        set("rtpengine_retr", Value::Int(10));
        let slot = pending.slot().clone();
        decl.init(pending, &mut env).expect("the module starts");
        Module { decl, slot, server }
    }

    async fn call(&self, cx: &mut Cx, name: &str, flags: &str) -> i64 {
        let func = self.decl.func(name, 1).expect(name);
        let bind = cx.bind();
        let args = [ArgSource::Text(Str::from(flags))];
        let bound = func.bind(&self.slot, &args, &*bind).expect("the arguments fit");
        match bound(cx) {
            Ret::Wait(later) => match later(cx).await {
                Ret::Code(code) => code,
                other => panic!("{name}: {other:?}"),
            },
            other => panic!("{name}: {other:?}"),
        }
    }

    /// The body as it will leave.
    fn body(cx: &Cx) -> String {
        let edit = cx
            .edits
            .iter()
            .next()
            .expect("the body was replaced")
            .1
            .insert
            .clone();
        match edit {
            Some(kahea_sip::Insert::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

const ANSWER: &str = "SIP/2.0 200 OK
Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776asdhds
From: <sip:alice@example.org>;tag=1928301774
To: <sip:bob@example.com>;tag=314
Call-ID: a84b4c76e66710@127.0.0.1
CSeq: 314159 INVITE
Content-Type: application/sdp

v=0\r
o=bob 1 1 IN IP4 127.0.0.1\r
s=-\r
c=IN IP4 127.0.0.1\r
t=0 0\r
m=audio 50000 RTP/AVP 0\r
a=rtpmap:0 PCMU/8000\r
";

async fn a_call(url: &str) {
    let module = Module::start(url);
    let mut invite = module.server.invite();
    assert_eq!(
        module
            .call(&mut invite, "rtpengine_offer", "replace-origin ICE=remove")
            .await,
        1,
        "{url}"
    );
    let offered = Module::body(&invite);
    assert!(
        offered.contains("m=audio 400") && !offered.contains("m=audio 49170"),
        "{offered}"
    );
    let mut answer = module.server.message(ANSWER);
    assert_eq!(module.call(&mut answer, "rtpengine_answer", "").await, 1, "{url}");
    let answered = Module::body(&answer);
    assert!(
        answered.contains("m=audio 400") && answered.contains("a=rtpmap:0 PCMU/"),
        "{answered}"
    );
    let mut query = module.server.invite();
    assert_eq!(module.call(&mut query, "rtpengine_query", "").await, 1, "{url}");
    let mut bye = module.server.invite();
    assert_eq!(
        module.call(&mut bye, "rtpengine_delete", "delete-delay=0").await,
        1,
        "{url}"
    );
}

#[tokio::test]
async fn a_call_goes_through_a_real_engine_over_udp_tcp_and_websocket() {
    let Some(engine) = Engine::start() else { return };
    engine.ready().await;
    a_call(&format!("udp:127.0.0.1:{}", engine.udp)).await;
    a_call(&format!("tcp:127.0.0.1:{}", engine.tcp)).await;
    a_call(&format!("ws://127.0.0.1:{}/ng", engine.http)).await;
}
