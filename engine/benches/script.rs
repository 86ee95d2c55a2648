//! What a script costs for each message: real lexer, compiler, interpreter and modules over a network that only keeps
//! what is sent. `cargo bench -p kahea-engine --bench script [-- [NAME] [ROUNDS]]` prints times, `cargo xtask counts` counts
//! instructions. `empty` is a message that a script leaves at once: what the others take beyond it is their script's.
#![expect(
    clippy::print_stdout,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints it, and fails where it does not run"
)]

use std::{
    hint::black_box,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use kahea_diag::render;
use kahea_engine::{boot, core_module::Core, generation::prepare, machine::Step, runner::Runner};
use kahea_lang::source::{Memory, Options};
use kahea_module::{
    Cx, Decl, Env, InitError, Listener, Module, RouteId, Worker, config::Shared, modules, registry::Registry,
    testing::FakeNet,
};
use kahea_sip::{Limits, ListenerId, Message, Received, Str, Transport};

/// The request route of the `calls` workload.
const CALLS: &str = r#"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
request_route {
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483","Too Many Hops"); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        sl_send_reply("404","Not here"); exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    t_check_trans();
    if (is_method("INVITE|SUBSCRIBE")) record_route();
    $du = "sip:127.0.0.1:5070";
    t_relay();
}
"#;

/// The `options` workload.
const OPTIONS: &str = r#"
loadmodule "pv.so"
loadmodule "sl.so"
loadmodule "textops.so"
request_route {
    if (is_method("OPTIONS")) { sl_send_reply("200","OK"); exit; }
}
"#;

const EMPTY: &str = "request_route { exit; }";

fn main() {
    let invite = request("INVITE");
    measure("empty", &Bench::new(EMPTY, &invite));
    measure("calls", &Bench::new(CALLS, &invite));
    measure("options", &Bench::new(OPTIONS, &request("OPTIONS")));
}

fn request(method: &str) -> String {
    format!(
        "{method} sip:bob@biloxi.example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776asdhds;rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
         To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
         Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
         CSeq: 314159 {method}\r\n\
         Contact: <sip:alice@127.0.0.1:5061;transport=udp>\r\n\
         Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO\r\n\
         User-Agent: Softphone 3.2.1 (build 10472)\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Stands for `tm`, which is not there yet: its functions answer at once.
struct Transactions;

impl Module for Transactions {
    const NAME: &'static str = "tm";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        d.func("t_relay", [], |_: &Self, _: &mut Cx| true, "Does nothing.");
        d.func("t_check_trans", [], |_: &Self, _: &mut Cx| false, "Does nothing.");
    }

    fn init(_: (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(Transactions)
    }
}

/// Stands for `rr`.
struct Routing;

impl Module for Routing {
    const NAME: &'static str = "rr";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        d.func("record_route", [], |_: &Self, _: &mut Cx| true, "Does nothing.");
        d.func("loose_route", [], |_: &Self, _: &mut Cx| false, "Does nothing.");
    }

    fn init(_: (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(Routing)
    }
}

/// A script that is ready, and the message that it is given.
struct Bench {
    worker: Rc<Worker>,
    runner: Rc<Runner>,
    net: Rc<FakeNet>,
    route: RouteId,
    message: Message,
    received: Received,
}

impl Bench {
    fn new(config: &str, request: &str) -> Bench {
        let mut modules = modules![Core, Transactions, Routing];
        modules.extend(kahea_mods_base::modules());
        modules.extend(kahea_mods_text::modules());
        let registry = Arc::new(Registry::new(modules));
        let sources = Memory::with("bench.cfg", config);
        let compiled = boot::load_from("bench.cfg", &sources, &Options::default(), &registry);
        if let Some(problem) = compiled.diagnostics.sorted(&compiled.sources).first() {
            panic!("{}", render::full(problem, &compiled.sources));
        }
        let shared = Arc::new(Shared::new(SystemTime::now(), Instant::now(), Vec::new()));
        let Ok(prepared) = prepare(compiled, 1, &shared) else {
            panic!("a module does not start")
        };
        let generation = prepared.listening(vec![listener()]);
        let runner = Rc::new(Runner::new(
            generation.program.clone(),
            None,
            &shared.stats.latencies,
        ));
        let net = Rc::new(FakeNet::default());
        let worker = Rc::new(Worker::new(
            0,
            generation.config.clone(),
            net.clone(),
            runner.clone(),
            42,
        ));
        runner.bind(&worker);
        let Some(route) = generation.entries.request else {
            panic!("no request_route")
        };
        let Ok(message) = Message::parse(Str::from(request), &Limits::default()) else {
            panic!("no SIP message")
        };
        Bench {
            worker,
            runner,
            net,
            route,
            message,
            received: received(),
        }
    }

    /// One message through the script.
    fn round(&self) {
        let mut cx = Cx::new(self.message.clone(), self.received, self.worker.clone());
        let step = self.runner.machine(self.route).run(&mut cx);
        assert!(
            matches!(black_box(step), Step::Done(_)),
            "the script did not come to its end"
        );
        self.net.sent.borrow_mut().clear();
    }
}

fn listener() -> Listener {
    Listener {
        id: ListenerId(0),
        transport: Transport::Udp,
        address: SocketAddr::from(([127, 0, 0, 1], 5060)),
        text: Str::from_static("udp:127.0.0.1:5060"),
        name: None,
        group: None,
        advertised: None,
        is_virtual: false,
        multicast: false,
    }
}

fn received() -> Received {
    Received {
        source: SocketAddr::from(([127, 0, 0, 1], 5061)),
        local: SocketAddr::from(([127, 0, 0, 1], 5060)),
        transport: Transport::Udp,
        listener: ListenerId(0),
        connection: None,
        at: SystemTime::UNIX_EPOCH,
    }
}

/// The fastest of a hundred batches: what other programs on the machine take is not ours.
fn measure(name: &str, bench: &Bench) {
    const BATCHES: u32 = 100;
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let rounds = words
        .iter()
        .find_map(|word| word.parse().ok())
        .unwrap_or(500_000u32);
    if words
        .iter()
        .any(|word| word != name && word.parse::<u32>().is_err())
    {
        return;
    }
    let batch = (rounds / BATCHES).max(1);
    let fastest = (0..BATCHES).map(|_| {
        let start = Instant::now();
        (0..batch).for_each(|_| bench.round());
        start.elapsed()
    });
    let fastest = fastest.min().unwrap_or_default();
    println!(
        "{name:10} {:6.0} ns a message",
        fastest.as_secs_f64() * 1e9 / f64::from(batch)
    );
}
