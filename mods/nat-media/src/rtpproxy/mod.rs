//! Module `rtpproxy`: media through Sippy rtpproxy, over its text protocol.
//!
//! `$rtpstat` cannot ask a proxy, since reading a variable never waits: where the script reads it, proxies are asked for
//! their figures before `rtpproxy_destroy()` ends a session, and the variable has them from then on.

mod answer;
mod core;
mod flags;
mod functions;
mod rewrite;

use std::{sync::Arc, time::Duration};

use kahea_db::{Database, Query, TableVersion, check_table};
use kahea_mods_transaction::tm::service::Transactions;
use kahea_module::{
    Bind, BindError, Decl, Env, Format, InitError, Module, Named, Naming, Piece, Str, Value, Var,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use self::core::{Core, Options};
use crate::relay::{
    health::{Event, Health},
    nodes::{Nodes, Row, parse_sockets},
    wire::Address,
};

/// The module's instance.
pub struct RtpProxy {
    core: Arc<Core>,
}

/// Its parameters.
pub struct Params {
    sockets: Vec<Str>,
    mark: Str,
    disable_tout: i64,
    retr: i64,
    tout: i64,
    timeout_socket: Str,
    timeout_tag: Option<Var>,
    ice: Option<Var>,
    extra_id: Option<Var>,
    db_url: Option<Str>,
    table: Str,
    instance: Option<Var>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            sockets: Vec::new(),
            mark: Str::from_static("a=nortpproxy:yes\r\n"),
            disable_tout: 60,
            retr: 5,
            tout: 1,
            timeout_socket: Str::EMPTY,
            timeout_tag: None,
            ice: None,
            extra_id: None,
            db_url: None,
            table: Str::from_static("rtpproxy"),
            instance: None,
        }
    }
}

/// The proxies, kept over reloads apart from the engines of another module.
#[derive(Default)]
struct Proxies(Arc<Nodes>);

/// What the script notes where it reads the figures of a session.
const FIGURES: &str = "rtpproxy.figures";

impl Module for RtpProxy {
    const NAME: &'static str = "rtpproxy";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        functions::declare(d);
        for name in ["rtpstat", "rtppstat"] {
            d.var_named(
                name,
                Naming::Optional,
                Named {
                    parse: note_use,
                    get: functions::stat,
                    set: None,
                    raw: false,
                },
                "The figures of the session: seconds left and packets, asked for as rtpproxy_destroy() ends it.",
            );
        }
        d.rpc(
            "rtpproxy.list",
            list,
            "Shows all proxies: set, weight, whether they are in use.",
        );
        d.rpc_waits(
            "rtpproxy.enable",
            enable,
            "Switches a proxy, by its URL, on (1) or off (0).",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<RtpProxy, InitError> {
        let rows = proxies(&params, env)?;
        let options = options(params, env)?;
        let nodes = env.shared.keep(Proxies::default).0.clone();
        nodes.update(&rows, env.shared.started_at);
        let tm = env.service::<Transactions>();
        let seed = u64::from(env.shared.pid);
        let core = Arc::new(Core::new(nodes, options, tm, seed));
        let here = core.clone();
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index != 0 {
                return;
            }
            for node in here
                .nodes
                .shown()
                .into_iter()
                .filter(|node| node.health() != Health::Off)
            {
                let (core, on) = (here.clone(), worker.clone());
                worker.engine.spawn(Box::pin(async move {
                    core.ping(&on, &node).await;
                }));
            }
        }));
        Ok(RtpProxy { core })
    }
}

fn note_use(name: &str, bind: &dyn Bind) -> Result<(), BindError> {
    if !name.is_empty() {
        return Err(BindError::new("$rtpstat takes no name"));
    }
    bind.note(FIGURES, "used");
    Ok(())
}

fn variable(value: &Value, bind: &dyn Bind) -> Result<Option<Var>, BindError> {
    bind.var(&value.str_or_empty().text()).map(Some)
}

fn declare_params(d: &mut Decl<RtpProxy>) {
    d.param(
        "rtpproxy_sock",
        |p| &mut p.sockets,
        "Proxies: \"SET == URL=WEIGHT URL …\" with URLs udp:, udp6: HOST:PORT, unix:PATH or a path.",
    );
    d.param(
        "nortpproxy_str",
        |p| &mut p.mark,
        "The line that marks a rewritten session description, with its line end; empty for none.",
    );
    d.param(
        "rtpproxy_disable_tout",
        |p| &mut p.disable_tout,
        "Seconds that a proxy which does not answer is left alone.",
    );
    d.param(
        "rtpproxy_retr",
        |p| &mut p.retr,
        "How often a command is sent before its proxy counts as silent.",
    );
    d.param(
        "rtpproxy_tout",
        |p| &mut p.tout,
        "Seconds that an answer may take.",
    );
    d.param(
        "timeout_socket",
        |p| &mut p.timeout_socket,
        "Where proxies report sessions without media; empty: to nobody.",
    );
    d.param_fn(
        "timeout_tag_pv",
        "string",
        |p, value, bind| {
            p.timeout_tag = variable(value, bind)?;
            Ok(())
        },
        "The variable whose value names the session in such reports.",
    );
    d.param_fn("ice_candidate_priority_avp", "string", |p, value, bind| { p.ice = variable(value, bind)?; Ok(()) }, "The variable that asks for ICE relay candidates: 0 none, 1 before all others, 2 or no value behind them.");
    d.param_fn(
        "extra_id_pv",
        "string",
        |p, value, bind| {
            p.extra_id = variable(value, bind)?;
            Ok(())
        },
        "The variable whose value follows the Call-ID with flag b.",
    );
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database with the table of proxies, in place of rtpproxy_sock.",
    );
    d.param("table_name", |p| &mut p.table, "The table of proxies.");
    d.param_fn(
        "rtp_inst_pvar",
        "string",
        |p, value, bind| {
            let var = bind.var(&value.str_or_empty().text())?;
            if !var.is_writable() {
                return Err(BindError::new(format!("{} cannot be assigned", var.text())));
            }
            p.instance = Some(var);
            Ok(())
        },
        "The variable that gets the URL of the proxy.",
    );
}

fn options(params: Params, env: &Env<'_>) -> Result<Options, InitError> {
    let seconds = |name: &str, number: i64| {
        let time = u64::try_from(number).ok().map(Duration::from_secs);
        time.ok_or_else(|| InitError::new(format!("{name} {number} is no number of seconds")))
    };
    if params.timeout_socket.iter().any(u8::is_ascii_whitespace) {
        return Err(InitError::new("timeout_socket cannot hold spaces"));
    }
    let format = |var: Var| Format::new(vec![Piece::Var(var)]);
    Ok(Options {
        mark: params.mark,
        pause: seconds("rtpproxy_disable_tout", params.disable_tout)?,
        timeout: seconds("rtpproxy_tout", params.tout)?.max(Duration::from_millis(100)),
        attempts: u32::try_from(params.retr).unwrap_or(1).clamp(1, 100),
        timeout_socket: params.timeout_socket,
        timeout_tag: params.timeout_tag.map(format),
        ice: params.ice,
        extra_id: params.extra_id.map(format),
        instance_var: params.instance,
        wants_figures: !env.bind.noted(FIGURES).is_empty(),
    })
}

/// The proxies of the database, else those of the parameters.
fn proxies(params: &Params, env: &Env<'_>) -> Result<Vec<Row>, InitError> {
    if let Some(url) = &params.db_url {
        return from_database(env, &url.text(), &params.table.text());
    }
    let mut rows = Vec::new();
    for line in &params.sockets {
        let parsed = parse_sockets(&line.text(), 0, Address::parse_rtpproxy);
        rows.extend(parsed.map_err(|why| {
            InitError::new(format!("rtpproxy_sock '{line}': {why}"))
                .help("write it as \"udp:127.0.0.1:7722\", or \"1 == udp:127.0.0.1:7722=2 unix:/run/rtpproxy.sock\"")
        })?);
    }
    Ok(rows)
}

fn from_database(env: &Env<'_>, url: &str, table: &str) -> Result<Vec<Row>, InitError> {
    let database = Database::open(env, url)?;
    let versions = TableVersion {
        versions: "version",
        table,
        accepted: &[1],
    };
    check_table(&database, versions)?;
    let query = Query::select(table, &["setid", "url", "flags", "weight"]).build();
    let found = database
        .run_blocking(&query, Vec::new())
        .map_err(|error| InitError::new(format!("table {table} cannot be read: {error}")))?;
    let wrong = |why: String| InitError::new(format!("table {table}: {why}"));
    let row = |row: &Vec<kahea_db::Value>| {
        let [set, url, flags, weight] = row.as_slice() else {
            return Err(wrong("a row has another number of columns".to_owned()));
        };
        let url = url.text().unwrap_or_default();
        let set = set.int().filter(|set| *set >= 0);
        Ok(Row {
            set: set.ok_or_else(|| wrong(format!("'{url}' has no number of a set")))?,
            address: Address::parse_rtpproxy(&url.text()).map_err(wrong)?,
            weight: weight
                .int()
                .and_then(|weight| weight.try_into().ok())
                .unwrap_or(1),
            disabled: flags.int().unwrap_or(0) & 1 != 0,
            url,
        })
    };
    found.rows.iter().map(row).collect()
}

fn list(m: &RtpProxy, call: &mut RpcCall) -> RpcResult {
    let now = call.worker.engine.now();
    let nodes = m.core.nodes.shown();
    Ok(nodes
        .iter()
        .map(|node| {
            let health = node.health();
            let (disabled, recheck) = match health {
                Health::Untested | Health::Up => (0, 0),
                Health::Down { .. } => (1, i64::try_from(health.seconds_left(now)).unwrap_or(i64::MAX)),
                Health::Off => (1, -1),
            };
            RpcValue::members([
                ("setid", RpcValue::Int(node.set)),
                ("url", RpcValue::Str(node.url.clone())),
                ("index", RpcValue::Int(i64::try_from(node.index).unwrap_or(0))),
                ("disabled", RpcValue::Int(disabled)),
                ("weight", RpcValue::Int(node.weight().into())),
                ("recheck", RpcValue::Int(recheck)),
            ])
        })
        .collect())
}

fn enable<'a>(m: &'a RtpProxy, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let too_few = |_| RpcFault::new(500, "Not enough parameters");
        let url = call.text().map_err(too_few)?;
        let on = call.int().map_err(too_few)? != 0;
        let nodes = m.core.nodes.shown();
        let named: Vec<_> = nodes.iter().filter(|node| node.url == url).collect();
        if named.is_empty() {
            return Err(RpcFault::new(404, "RTPProxy not found"));
        }
        for node in named {
            if !on {
                node.tell(Event::SwitchedOff);
                continue;
            }
            node.tell(Event::SwitchedOn {
                now: call.worker.engine.now(),
            });
            m.core.ping(&call.worker, node).await;
        }
        Ok(Vec::new())
    })
}
