//! Module `ctl`: commands over BINRPC, for `kamcmd`, and over the older line protocol.

mod guests;
mod serve;

use std::sync::Arc;

use kahea_module::{
    Decl, Env, InitError, Module, Str,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue, RpcVia},
};
use parking_lot::Mutex;

use self::{guests::Guests, serve::Protocol};
use crate::{
    binrpc::Sizes,
    desk::Desk,
    door::{Access, Account, Address, Bare, Door, Doors},
};

/// The module.
pub struct Ctl {
    house: Arc<House>,
    doors: Vec<(Protocol, Arc<Door>)>,
}

/// What outlives a reload: clients go on, under the settings of the configuration in force.
struct House {
    desk: Arc<Desk>,
    guests: Arc<Guests>,
    settings: Mutex<Settings>,
}

#[derive(Clone, Copy)]
struct Settings {
    convert: bool,
    sizes: Sizes,
}

#[derive(Default)]
struct Kept(Mutex<Option<Arc<House>>>);

/// Its parameters.
pub struct Params {
    binrpc: Vec<Str>,
    fifo: Vec<Str>,
    mode: i64,
    user: Account,
    group: Account,
    convert: bool,
    print_buffer: Str,
    body: i64,
    group_body: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            binrpc: Vec::new(),
            fifo: Vec::new(),
            mode: 0o600,
            user: Account::default(),
            group: Account::default(),
            convert: false,
            print_buffer: Str::EMPTY,
            body: 32,
            group_body: 8,
        }
    }
}

impl Module for Ctl {
    const NAME: &'static str = "ctl";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.rpc("ctl.connections", connections, "The number of open connections.");
        d.rpc(
            "ctl.listen",
            listen,
            "Where commands are taken: protocol, kind, address, port.",
        );
        let doc =
            "The open connections: protocol, kind, the client's address and port, the own address and port.";
        d.rpc("ctl.who", who, doc);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let settings = Settings {
            convert: params.convert,
            sizes: Sizes {
                body: kilobytes("binrpc_max_body_size", params.body)?,
                group: kilobytes("binrpc_struct_max_body_size", params.group_body)?,
            },
        };
        let access = Access::new(params.mode, &params.user, &params.group, env.globals)?;
        let doors = open(&params, &access, env)?;
        let house = House::of(env, settings)?;
        let (own, opened) = (house.clone(), doors.clone());
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index == 0 {
                own.desk.attach(worker);
                *own.settings.lock() = settings;
                own.serve(&opened, &worker.config.shared.keep(Doors::default));
            }
        }));
        let closing = doors.clone();
        env.hooks.stop.push(Arc::new(move || {
            closing.iter().for_each(|(_, door)| door.close())
        }));
        Ok(Ctl { house, doors })
    }
}

fn params(d: &mut Decl<Ctl>) {
    let doc = "Where BINRPC is taken, unixs:PATH, unixd:PATH, udp:HOST:PORT or tcp:HOST:PORT; may be given several times. \
               Without it unixs:RUNDIR/kamailio_ctl.";
    d.param("binrpc", |p| &mut p.binrpc, doc);
    let doc = "Where the line protocol is taken, fifo:PATH, unixs:PATH, unixd:PATH, udp:HOST:PORT or tcp:HOST:PORT; may be \
               given several times.";
    d.param("fifo", |p| &mut p.fifo, doc);
    let doc = "The mode of sockets and pipes, 0600; others can never write, whatever it says.";
    d.param("mode", |p| &mut p.mode, doc);
    let doc =
        "The owner of sockets and pipes, by name or number; without it the user that the server runs as.";
    d.param("user", |p| &mut p.user, doc);
    let doc =
        "The group of sockets and pipes, by name or number; without it the group that the server runs as.";
    d.param("group", |p| &mut p.group, doc);
    let doc = "Takes numbers for texts and texts for numbers in the arguments of commands.";
    d.param("autoconversion", |p| &mut p.convert, doc);
    let doc =
        "Has no meaning here: values are not printed into a buffer, and binrpc_max_body_size bounds them.";
    d.param_fn(
        "binrpc_buffer_size",
        "int",
        |p, value, _| {
            p.print_buffer = value.str_or_empty();
            Ok(())
        },
        doc,
    );
    d.param(
        "binrpc_max_body_size",
        |p| &mut p.body,
        "The longest answer in kilobytes, 32.",
    );
    let doc = "The longest struct of an answer in kilobytes, 8.";
    d.param("binrpc_struct_max_body_size", |p| &mut p.group_body, doc);
}

/// Answers beyond this are no answers to a terminal any more.
const MOST_KILOBYTES: i64 = 1 << 20;

fn kilobytes(name: &str, n: i64) -> Result<usize, InitError> {
    let fits = (1..=MOST_KILOBYTES).contains(&n);
    let bytes = usize::try_from(n).ok().filter(|_| fits).map(|n| n << 10);
    bytes.ok_or_else(|| {
        InitError::new(format!(
            "{name} is {n}, but a number of kilobytes from 1 to {MOST_KILOBYTES}"
        ))
    })
}

fn open(params: &Params, access: &Access, env: &Env<'_>) -> Result<Vec<(Protocol, Arc<Door>)>, InitError> {
    let known = env.shared.keep(Doors::default);
    let rundir = env.globals.rundir.text();
    let default = [Str::from_static("unixs:kamailio_ctl")];
    let binrpc = match &*params.binrpc {
        [] => &default[..],
        stated => stated,
    };
    let binrpc = binrpc.iter().map(|text| (Protocol::Binrpc, Bare::Socket, text));
    let fifo = params.fifo.iter().map(|text| (Protocol::Lines, Bare::Fifo, text));
    binrpc
        .chain(fifo)
        .map(|(protocol, bare, text)| {
            let name = protocol.name();
            let wrong = |error| InitError::new(format!("{name} {text}: {error}"));
            let address = Address::read(&text.text(), bare, &rundir).map_err(wrong)?;
            match (protocol, &address) {
                (Protocol::Binrpc, Address::Fifo(_)) => Err(wrong("BINRPC needs a socket".to_owned())),
                _ => Ok((protocol, known.open(name, &address, access)?)),
            }
        })
        .collect()
}

impl House {
    fn of(env: &Env<'_>, settings: Settings) -> Result<Arc<House>, InitError> {
        let kept = env.shared.keep(Kept::default);
        let mut place = kept.0.lock();
        if let Some(house) = &*place {
            return Ok(house.clone());
        }
        let desk = Desk::of(&env.shared).map_err(|error| InitError::new(format!("cannot start: {error}")))?;
        let house = Arc::new(House {
            desk,
            guests: Arc::default(),
            settings: Mutex::new(settings),
        });
        *place = Some(house.clone());
        Ok(house)
    }

    /// Opens what is new, closes what is no more.
    fn serve(self: &Arc<House>, doors: &[(Protocol, Arc<Door>)], known: &Doors) {
        for protocol in [Protocol::Binrpc, Protocol::Lines] {
            let own: Vec<_> = doors
                .iter()
                .filter(|(of, _)| *of == protocol)
                .map(|(_, door)| door.clone())
                .collect();
            known.keep_only(protocol.name(), &own);
            own.iter().for_each(|door| serve::open(self, door, protocol));
        }
    }
}

/// These commands tell of the transport itself, and are for its own clients.
fn refuse_others(call: &RpcCall) -> Result<(), RpcFault> {
    match call.via {
        RpcVia::Json | RpcVia::Xml { .. } | RpcVia::Html => {
            Err(RpcFault::new(606, "rpc available only over binrpc (ctl)"))
        }
        RpcVia::Control | RpcVia::Binrpc { .. } | RpcVia::Lines => Ok(()),
    }
}

fn connections(ctl: &Ctl, call: &mut RpcCall) -> RpcResult {
    refuse_others(call)?;
    let count = i64::try_from(ctl.house.guests.count()).unwrap_or(i64::MAX);
    Ok(vec![RpcValue::Int(count)])
}

fn listen(ctl: &Ctl, call: &mut RpcCall) -> RpcResult {
    refuse_others(call)?;
    let row = |(protocol, door): &(Protocol, Arc<Door>)| {
        let (address, port) = door.address.parts();
        [
            protocol.name().into(),
            door.address.kind().into(),
            address.into(),
            port.into(),
        ]
    };
    Ok(ctl.doors.iter().flat_map(row).collect())
}

fn who(ctl: &Ctl, call: &mut RpcCall) -> RpcResult {
    refuse_others(call)?;
    let mut rows: Vec<RpcValue> = Vec::new();
    ctl.house.guests.each(|guest| {
        let (address, port) = guest.door.parts();
        let (peer, peer_port) = guest.peer.clone();
        rows.extend([
            guest.protocol.into(),
            guest.door.kind().into(),
            peer.into(),
            peer_port.into(),
            address.into(),
            port.into(),
        ]);
    });
    match rows.is_empty() {
        true => Err(RpcFault::new(400, "no open stream connection")),
        false => Ok(rows),
    }
}
