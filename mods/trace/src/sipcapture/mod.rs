//! Module `sipcapture`: messages that agents send by HEP, or that reach this server, written to tables.

mod functions;
mod params;
mod row;
mod tables;
mod wire;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use kahea_db::Database;
use kahea_module::{
    BindError, Cx, Decl, Env, InitError, Module, Named, Naming, Str, Value,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use self::{
    params::Params,
    row::{COLUMNS, Captured, Extras, REPORT},
    tables::{Choice, Retries, Tables},
};
use crate::{courier::Courier, hep};

/// The module.
pub struct Sipcapture {
    on: Arc<On>,
    extras: Extras,
    modes: Vec<Mode>,
    reports: Option<Arc<Tables>>,
    courier: Arc<Courier>,
}

/// `capture_on`, which a command changes; survives reloads.
struct On(AtomicBool);

/// A named set of tables; that of the parameters has no name.
struct Mode {
    name: Str,
    tables: Arc<Tables>,
}

/// What `$hep(…)` names.
enum Field {
    Version,
    Source,
    SourcePort,
    Destination,
    DestinationPort,
    Chunk(u16),
}

impl Module for Sipcapture {
    const NAME: &'static str = "sipcapture";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions::declare(d);
        d.var_named(
            "hep",
            Naming::Required,
            Named {
                parse: Field::parse,
                get: |_, cx, field: &Field, _| field.of(cx),
                set: None,
                raw: false,
            },
            "Of the packet of HEP that the message came in: version, src_ip, src_port, dst_ip, dst_port, or a chunk by its number (0x00f).",
        );
        let doc = "Runs for each packet of HEP with nonsip_hook; return 0 or drop end work on it.";
        d.event("sipcapture:request", doc);
        d.rpc(
            "sipcapture.status",
            status,
            "Turns capturing on or off, or says whether it is: on, off, check.",
        );
        d.stat(
            "dropped_rows",
            "Captured messages that the database did not take.",
        );
        d.stat("bad_packets", "Packets of HEP that could not be read.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        params.refuse_raw()?;
        let on = env.shared.keep(|| On(AtomicBool::new(params.capture_on != 0)));
        let columns = params.columns();
        let modes = modes(&params, &columns, env)?;
        let courier = Courier::of(&env.shared).map_err(|error| {
            InitError::new(format!("the thread for collectors cannot be started: {error}"))
        })?;
        if params.hep_capture_on != 0 {
            wire::register(&params, env)?;
        }
        let reports = reports(&params, &columns, env)?;
        let mut all: Vec<Arc<Tables>> = modes.iter().map(|mode| mode.tables.clone()).collect();
        all.extend(reports.clone());
        env.hooks
            .stop
            .push(Arc::new(move || all.iter().for_each(|tables| tables.finish())));
        Ok(Sipcapture {
            on,
            extras: params.extras(),
            modes,
            reports,
            courier,
        })
    }
}

fn modes(params: &Params, columns: &[Str], env: &Env<'_>) -> Result<Vec<Mode>, InitError> {
    let retries = params.retries()?;
    let make = |name: &Str, url: &Str, tables: &Str, choice: Choice, retries: Retries| {
        let database = Database::open(env, &url.text())?;
        let dropped = env.counter("dropped_rows");
        Ok::<Mode, InitError>(Mode {
            name: name.clone(),
            tables: Arc::new(Tables::new(
                database,
                tables,
                columns.to_vec(),
                choice,
                retries,
                dropped,
            )),
        })
    };
    let mut modes = Vec::new();
    if !params.db_url.is_empty() {
        let choice = Choice::parse(&params.mt_mode, &params.hash_source)?;
        modes.push(make(
            &Str::EMPTY,
            &params.db_url,
            &params.table_name,
            choice,
            retries,
        )?);
    }
    for written in &params.capture_mode {
        let parts = params::CaptureMode::parse(written)?;
        let source = if parts.hash_source.is_empty() {
            &params.hash_source
        } else {
            &parts.hash_source
        };
        let choice = Choice::parse(&parts.mt_mode, source)?;
        modes.push(make(
            &parts.name,
            &parts.db_url,
            &parts.table_name,
            choice,
            retries,
        )?);
    }
    Ok(modes)
}

/// The tables of reports, which scripts name.
fn reports(params: &Params, columns: &[Str], env: &Env<'_>) -> Result<Option<Arc<Tables>>, InitError> {
    if params.db_url.is_empty() {
        return Ok(None);
    }
    let columns = REPORT.iter().filter_map(|at| columns.get(*at).cloned()).collect();
    let database = Database::open(env, &params.db_url.text())?;
    let (retries, dropped) = (params.retries()?, env.counter("dropped_rows"));
    let tables = Tables::new(database, &Str::EMPTY, columns, Choice::Random, retries, dropped);
    Ok(Some(Arc::new(tables)))
}

impl Sipcapture {
    fn is_on(&self) -> bool {
        self.on.0.load(Relaxed)
    }

    fn tables(&self, mode: &[u8]) -> Option<&Arc<Tables>> {
        let found = self.modes.iter().find(|known| *known.name == *mode);
        found.map(|mode| &mode.tables)
    }
}

impl Field {
    fn parse(name: &str, _: &dyn kahea_module::Bind) -> Result<Field, BindError> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        Ok(match name {
            "version" => Field::Version,
            "src_ip" => Field::Source,
            "src_port" => Field::SourcePort,
            "dst_ip" => Field::Destination,
            "dst_port" => Field::DestinationPort,
            other => Field::Chunk(number(other).ok_or_else(|| {
                BindError::new(format!("$hep has no '{other}'"))
                    .help("write version, src_ip, src_port, dst_ip, dst_port, or the number of a chunk such as 0x00f")
            })?),
        })
    }

    fn of(&self, cx: &Cx) -> Value {
        let Some(packet) = cx
            .extra_ref::<Captured>()
            .and_then(|captured| captured.0.as_ref())
        else {
            return Value::Null;
        };
        let ip = |address: std::net::SocketAddr| Value::Str(Str::from(address.ip().to_string()));
        match self {
            Field::Version => Value::Int(packet.version.number()),
            Field::Source => ip(packet.source),
            Field::SourcePort => Value::Int(packet.source.port().into()),
            Field::Destination => ip(packet.destination),
            Field::DestinationPort => Value::Int(packet.destination.port().into()),
            Field::Chunk(id) => chunk(packet, *id),
        }
    }
}

/// Numbers as numbers, addresses in words, the rest as text. Versions 1 and 2 have no chunks but say the same things.
fn chunk(packet: &hep::Packet, id: u16) -> Value {
    match id {
        1 => Value::Int(if packet.source.is_ipv4() { 2 } else { 10 }),
        2 => Value::Int(packet.protocol.into()),
        3 | 5 => Value::Str(Str::from(packet.source.ip().to_string())),
        4 | 6 => Value::Str(Str::from(packet.destination.ip().to_string())),
        7 => Value::Int(packet.source.port().into()),
        8 => Value::Int(packet.destination.port().into()),
        9 => Value::Int(packet.seconds.into()),
        10 => Value::Int(packet.micros.into()),
        11 => Value::Int(packet.kind.into()),
        12 => Value::Int(packet.capture_id.into()),
        15 => Value::Str(packet.payload.clone()),
        id => {
            let found = packet
                .chunks
                .iter()
                .find(|chunk| chunk.vendor == 0 && chunk.id == id);
            found.map_or(Value::Null, |chunk| Value::Str(chunk.value.clone()))
        }
    }
}

fn status(m: &Sipcapture, call: &mut RpcCall) -> RpcResult {
    let wanted = call.optional_text()?;
    match wanted.as_deref() {
        None => return Err(RpcFault::new(500, "Not enough parameters (on, off or check)")),
        Some(b"on") => m.on.0.store(true, Relaxed),
        Some(b"off") => m.on.0.store(false, Relaxed),
        Some(b"check") => {}
        Some(_) => return Err(RpcFault::new(500, "Bad parameter (on, off or check)")),
    }
    Ok(vec![RpcValue::from(if m.is_on() {
        "Enabled"
    } else {
        "Disabled"
    })])
}

/// The default names of the columns.
fn default_columns() -> Vec<Str> {
    COLUMNS.iter().map(|(_, name)| Str::from_static(name)).collect()
}
