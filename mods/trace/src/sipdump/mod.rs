//! Module `sipdump`: all that passes on the wire, and what the script names, in files: text, packet captures, or both.

mod files;
mod pcap;

use std::{
    path::PathBuf,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_module::{
    BindError, Cx, Decl, Env, Given, InitError, Module, Named, Naming, RouteId, RouteKind, Str, Value,
    Worker,
    rpc::{RpcCall, RpcResult, RpcValue},
};
use kahea_sip::{Limits, Message};

use self::files::{Files, Item, Plan};
use crate::shot::{End, Part, Shot};

/// Bits of the parameter `mode`.
mod mode {
    pub const TEXT: i64 = 1;
    pub const EVENT: i64 = 2;
    pub const PCAP: i64 = 4;
    pub const HEADER: i64 = 8;
}

/// The message of the event while it is about bytes: scripts see them by `$sipdump(buf)`.
const STAND_IN: Str = Str::from_static(
    "OPTIONS sip:you@kahea.invalid SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nFrom: <sip:you@kahea.invalid>;tag=1\r\n\
      To: <sip:you@kahea.invalid>\r\nCall-ID: sipdump\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
);

/// Parameters; see their declarations.
pub struct Params {
    enable: i64,
    wait: i64,
    wait_mode: i64,
    rotate: i64,
    folder: Str,
    fprefix: Str,
    fage: i64,
    fagex: Option<Str>,
    mode: i64,
    event_callback: Option<Str>,
    parse_call_id: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            enable: 0,
            wait: 100,
            wait_mode: 0,
            rotate: 7200,
            folder: Str::from_static("/tmp"),
            fprefix: Str::from_static("kamailio-sipdump-"),
            fage: 0,
            fagex: None,
            mode: mode::TEXT,
            event_callback: None,
            parse_call_id: 0,
        }
    }
}

/// The module.
pub struct Sipdump {
    core: Arc<Core>,
}

struct Core {
    enabled: Arc<Enabled>,
    files: Option<Files>,
    event: Option<RouteId>,
}

/// `enable`, which a command changes; survives reloads.
struct Enabled(AtomicI64);

/// What the event is about.
#[derive(Default)]
struct Seen(Option<(Shot, Str)>);

/// What `$sipdump(…)` says.
enum Field {
    Buffer,
    Tag,
    Length,
    Family,
    Part(Part),
}

impl Module for Sipdump {
    const NAME: &'static str = "sipdump";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        parameters(d);
        let doc = "Writes the message to the file under a tag.";
        d.func("sipdump_send", ["tag"], send, doc)
            .kemi(1, "send")
            .example("sipdump_send(\"checked\");");
        getters(d);
        d.var_named(
            "sipdump",
            Naming::Required,
            Named {
                parse: Field::parse,
                get: |_, cx, field: &Field, _| field.of(cx),
                set: None,
                raw: false,
            },
            "Of the message that event_route[sipdump:msg] is about: buf, len, tag, af, proto, src_ip, src_port, dst_ip, dst_port, sproto, dproto.",
        );
        d.event(
            "sipdump:msg",
            "Runs for each message that passes, with mode 2; drop leaves it out of the files.",
        );
        let doc = "Says whether messages are dumped, and with a number turns it on (1) or off (0).";
        d.rpc("sipdump.enable", enable, doc);
        d.stat(
            "dropped",
            "Messages that were not written: too many waited, or the disk did not take them.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let bits = params.mode;
        let enabled = env.shared.keep(|| Enabled(AtomicI64::new(params.enable)));
        let callback = params.event_callback.as_ref().filter(|name| !name.is_empty());
        let event = match bits & mode::EVENT != 0 {
            true => env.event_route(&callback.map_or_else(|| "sipdump:msg".into(), |name| name.text())),
            false => None,
        };
        let files = match bits & (mode::TEXT | mode::PCAP) != 0 {
            true => Some(open(&params, env)?),
            false => None,
        };
        let core = Arc::new(Core {
            enabled,
            files,
            event,
        });
        let own = core.clone();
        env.hooks.wire_in.push(Arc::new(move |worker, received, data| {
            if own.is_on() {
                own.passes(worker, Shot::incoming(data.clone(), received), "rcv");
            }
            Some(data)
        }));
        let own = core.clone();
        env.hooks.wire_out.push(Arc::new(move |worker, to, data| {
            if own.is_on() {
                own.passes(worker, Shot::outgoing(worker, to, data.clone()), "snd");
            }
            Some(data)
        }));
        Ok(Sipdump { core })
    }
}

/// What embedded languages have in place of `$sipdump(…)`.
fn getters(d: &mut Decl<Sipdump>) {
    fn give(cx: &mut Cx, field: &Field) -> bool {
        let value = field.of(cx);
        Given::set(cx, value);
        true
    }
    let doc = "The bytes of the message that the event is about.";
    d.kemi_func(
        "sipdump",
        "get_buf",
        [],
        |_: &Sipdump, cx: &mut Cx| give(cx, &Field::Buffer),
        doc,
    );
    let doc = "The tag of the message that the event is about.";
    d.kemi_func(
        "sipdump",
        "get_tag",
        [],
        |_: &Sipdump, cx: &mut Cx| give(cx, &Field::Tag),
        doc,
    );
    let source = |_: &Sipdump, cx: &mut Cx| give(cx, &Field::Part(Part::Host(End::Source)));
    d.kemi_func(
        "sipdump",
        "get_src_ip",
        [],
        source,
        "Where the message that the event is about comes from.",
    );
    let destination = |_: &Sipdump, cx: &mut Cx| give(cx, &Field::Part(Part::Host(End::Destination)));
    d.kemi_func(
        "sipdump",
        "get_dst_ip",
        [],
        destination,
        "Where the message that the event is about goes to.",
    );
}

fn parameters(d: &mut Decl<Sipdump>) {
    d.param("enable", |p| &mut p.enable, "Messages are dumped from the start.");
    let doc = "How long the writer waits when there is nothing, in microseconds; has no meaning here, where it is woken.";
    d.param("wait", |p| &mut p.wait, doc);
    let doc = "How the writer waits; has no meaning here, where it is woken.";
    d.param("wait_mode", |p| &mut p.wait_mode, doc);
    d.param(
        "rotate",
        |p| &mut p.rotate,
        "Seconds until a new file is begun; 0: never.",
    );
    d.param("folder", |p| &mut p.folder, "Where the files are.");
    d.param(
        "fprefix",
        |p| &mut p.fprefix,
        "What the names of files begin with.",
    );
    d.param(
        "fage",
        |p| &mut p.fage,
        "Files older than that many seconds are removed; 0: none.",
    );
    let doc = "What the names of files begin with that fage removes, where that is not fprefix.";
    d.param("fagex", |p| &mut p.fagex, doc);
    let doc = "What is done: 1 text files, 2 the event route, 4 packet captures, 8 a header P-KSR-SIPDump in these.";
    d.param("mode", |p| &mut p.mode, doc);
    let doc = "The event route, or function of an embedded language, in place of sipdump:msg.";
    d.param("event_callback", |p| &mut p.event_callback, doc);
    let doc = "The Call-ID is read for the event; has no meaning here, where $sipdump(buf) has it.";
    d.param("parse_call_id", |p| &mut p.parse_call_id, doc);
}

fn open(params: &Params, env: &Env<'_>) -> Result<Files, InitError> {
    let seconds = |n: i64| u64::try_from(n).map(Duration::from_secs).unwrap_or_default();
    let folder = params.folder.text().into_owned();
    let plan = Plan {
        folder: PathBuf::from(&folder),
        prefix: params.fprefix.text().into_owned(),
        clean_prefix: params.fagex.as_ref().map(|text| text.text().into_owned()),
        rotate: seconds(params.rotate),
        age: (params.fage > 0).then(|| seconds(params.fage)),
        text: params.mode & mode::TEXT != 0,
        pcap: params.mode & mode::PCAP != 0,
        header: params.mode & mode::HEADER != 0,
        version: format!("kahea {}", env!("CARGO_PKG_VERSION")),
    };
    Files::start(plan, env.counter("dropped")).map_err(|error| {
        InitError::new(format!("messages cannot be written in {folder}: {error}"))
            .help("set the parameter folder to a folder that this server may write to")
    })
}

impl Field {
    fn parse(name: &str, _: &dyn kahea_module::Bind) -> Result<Field, BindError> {
        Ok(match name {
            "buf" => Field::Buffer,
            "len" => Field::Length,
            "tag" => Field::Tag,
            "af" => Field::Family,
            "proto" | "sproto" | "dproto" => Field::Part(Part::Protocol),
            "src_ip" => Field::Part(Part::Host(End::Source)),
            "dst_ip" => Field::Part(Part::Host(End::Destination)),
            "src_port" => Field::Part(Part::Port(End::Source)),
            "dst_port" => Field::Part(Part::Port(End::Destination)),
            _ => {
                return Err(BindError::new(format!("$sipdump has no '{name}'"))
                    .help("write buf, len, tag, af, proto, src_ip, src_port, dst_ip or dst_port"));
            }
        })
    }

    fn of(&self, cx: &Cx) -> Value {
        let Some((shot, tag)) = cx.extra_ref::<Seen>().and_then(|seen| seen.0.as_ref()) else {
            return Value::Null;
        };
        match self {
            Field::Buffer => Value::Str(shot.data.clone()),
            Field::Tag => Value::Str(tag.clone()),
            Field::Length => Value::Int(i64::try_from(shot.data.len()).unwrap_or(i64::MAX)),
            Field::Family => Value::from(if shot.from.ip().to_canonical().is_ipv4() {
                "ipv4"
            } else {
                "ipv6"
            }),
            Field::Part(part) => part.of(shot),
        }
    }
}

impl Core {
    fn is_on(&self) -> bool {
        self.enabled.0.load(Relaxed) != 0
    }

    fn passes(&self, worker: &Rc<Worker>, shot: Shot, tag: &'static str) {
        let tag = Str::from_static(tag);
        if let Some(route) = self.event
            && is_dropped(worker, &shot, &tag, route)
        {
            return;
        }
        self.put(worker, shot, tag);
    }

    fn put(&self, worker: &Worker, shot: Shot, tag: Str) -> bool {
        let worker = worker.index;
        self.files
            .as_ref()
            .is_some_and(|files| files.put(Item { shot, tag, worker }))
    }
}

/// Runs the event route; it dropped the message.
fn is_dropped(worker: &Rc<Worker>, shot: &Shot, tag: &Str, route: RouteId) -> bool {
    let Ok(message) = Message::parse(STAND_IN, &Limits::default()) else {
        return false;
    };
    let mut cx = Cx::new(message, shot.received(), worker.clone());
    cx.faked = true;
    cx.route = RouteKind::Event;
    cx.route_name = Str::from_static("sipdump:msg");
    cx.extra::<Seen>().0 = Some((shot.clone(), tag.clone()));
    let outcome = worker.engine.run_now(&mut cx, route);
    cx.finish();
    outcome.drop
}

fn send(m: &Sipdump, cx: &mut Cx, tag: Str) -> bool {
    // Turned off, the function does nothing, and that is no failure.
    !m.core.is_on() || m.core.put(&cx.worker, Shot::of(cx), tag.detach())
}

fn enable(m: &Sipdump, call: &mut RpcCall) -> RpcResult {
    let place = &m.core.enabled.0;
    let old = place.load(Relaxed);
    if let Some(new) = call.optional_int()? {
        place.store(i64::from(new != 0), Relaxed);
    }
    Ok(vec![RpcValue::members([
        ("oldval", old.into()),
        ("newval", place.load(Relaxed).into()),
    ])])
}
