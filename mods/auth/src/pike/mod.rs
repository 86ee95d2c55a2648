//! Module `pike`: tells the sources that send more requests than they should.

mod tree;

use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_module::{
    Cx, Decl, Env, Fault, InitError, Module, REPLY, REQUEST, Ret, Str, Worker,
    config::Periodic,
    log,
    log::Level,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use self::tree::{Now, Source, Tree, Verdict};

/// The module's instance.
pub struct Pike {
    tree: Arc<Tree>,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    unit: Duration,
    density: u32,
    latency: Duration,
    level: Level,
    started: Instant,
}

impl Limits {
    fn now(&self, at: Instant) -> Now {
        let since = at.saturating_duration_since(self.started).as_millis();
        let unit = since.checked_div(self.unit.as_millis()).unwrap_or(0);
        Now {
            at,
            unit: u64::try_from(unit).unwrap_or(u64::MAX),
        }
    }
}

/// Its parameters.
pub struct Params {
    sampling_time_unit: i64,
    reqs_density_per_unit: i64,
    remove_latency: i64,
    pike_log_level: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            sampling_time_unit: 2,
            reqs_density_per_unit: 30,
            remove_latency: 120,
            pike_log_level: 0,
        }
    }
}

impl Module for Pike {
    const NAME: &'static str = "pike";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "sampling_time_unit",
            |p| &mut p.sampling_time_unit,
            "Seconds over which requests are counted.",
        );
        d.param(
            "reqs_density_per_unit",
            |p| &mut p.reqs_density_per_unit,
            "Requests of one source in that time above which it is blocked.",
        );
        d.param(
            "remove_latency",
            |p| &mut p.remove_latency,
            "Seconds after which a quiet source is forgotten.",
        );
        d.param(
            "pike_log_level",
            |p| &mut p.pike_log_level,
            "The log level of lines about sources that are blocked and free again; 0 is WARNING.",
        );
        d.func(
            "pike_check_req",
            [],
            check_req,
            "The source of the message is not blocked: -2 where it is from now on, -1 where it was before.",
        )
        .routes(REQUEST | REPLY)
        .kemi(0, "pike_check_req")
        .example("if (!pike_check_req()) { exit; }");
        d.func(
            "pike_check_ip",
            ["address"],
            check_ip,
            "The same for an address; -1 too where it is none.",
        )
        .routes(REQUEST | REPLY)
        .kemi(1, "pike_check_ip")
        .example("if (!pike_check_ip(\"$si\")) { exit; }");
        d.rpc(
            "pike.top",
            top,
            "Lists the sources that are counted: HOT ones, WARM ones or ALL.",
        );
        d.rpc(
            "pike.list",
            top,
            "Lists the sources that are counted: HOT ones, WARM ones or ALL.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Pike, InitError> {
        let above_0 = |name: &str, value: i64| {
            u32::try_from(value)
                .ok()
                .filter(|value| *value > 0)
                .ok_or_else(|| InitError::new(format!("{name} is {value}")).help("give 1 or more"))
        };
        let seconds = |name: &str, value| above_0(name, value).map(|n| Duration::from_secs(u64::from(n)));
        let limits = Limits {
            unit: seconds("sampling_time_unit", params.sampling_time_unit)?,
            density: above_0("reqs_density_per_unit", params.reqs_density_per_unit)?,
            latency: seconds("remove_latency", params.remove_latency)?,
            level: Level::from_number(params.pike_log_level),
            started: env.shared.started_at,
        };
        let tree = env.shared.keep(Tree::default);
        env.hooks.periodic.push(cleaning(tree.clone(), limits));
        Ok(Pike { tree, limits })
    }
}

/// Looks at a few shards each second, so that all have their turn within a unit or 16 seconds, whichever is longer.
fn cleaning(tree: Arc<Tree>, limits: Limits) -> Periodic {
    let next = AtomicUsize::new(0);
    let turns = limits.unit.as_secs().clamp(1, 16);
    let shards = Tree::shards().div_ceil(usize::try_from(turns).unwrap_or(1));
    let run = move |worker: &Rc<Worker>| {
        let now = limits.now(worker.engine.now());
        let from = next.fetch_add(shards, Relaxed);
        for shard in 0..shards {
            for ip in tree.clean(from.wrapping_add(shard), now, limits.density, limits.latency) {
                log::write(
                    limits.level,
                    "pike",
                    format_args!("{ip} sends less again and is blocked no longer"),
                );
            }
        }
    };
    Periodic {
        name: Str::from_static("pike"),
        every: Duration::from_secs(1),
        run: Arc::new(run),
    }
}

fn check(m: &Pike, cx: &Cx, ip: IpAddr) -> Ret {
    let now = m.limits.now(cx.worker.engine.now());
    match m.tree.count(ip, now, m.limits.density) {
        Verdict::Passes => Ret::TRUE,
        Verdict::StillBlocked => Ret::Code(-1),
        Verdict::Blocked => {
            let density = m.limits.density;
            log::write(
                m.limits.level,
                "pike",
                format_args!("{ip} sends more than {density} requests a unit and is blocked"),
            );
            Ret::Code(-2)
        }
    }
}

fn check_req(m: &Pike, cx: &mut Cx) -> Ret {
    check(m, cx, cx.received.source.ip())
}

fn check_ip(m: &Pike, cx: &mut Cx, ip: Str) -> Ret {
    match crate::permissions::address(&ip) {
        Some(ip) => check(m, cx, ip),
        None => Fault::script(format!("'{ip}' is no address")).into(),
    }
}

fn top(m: &Pike, call: &mut RpcCall) -> RpcResult {
    let wanted: fn(&Source) -> bool = match call.optional_text()?.as_deref() {
        None | Some(b"HOT") => |source| source.hot,
        Some(b"WARM") => |source| source.warm && !source.hot,
        Some(b"ALL") => |_| true,
        Some(_) => return Err(RpcFault::new(500, "Bad argument. Select: ALL, HOT or WARM")),
    };
    let now = m.limits.now(call.worker.engine.now());
    let sources = m.tree.sources(now, m.limits.density);
    let list: Vec<RpcValue> = sources
        .iter()
        .filter(|source| wanted(source))
        .map(|source| shown(m, source))
        .collect();
    let count = i64::try_from(list.len()).unwrap_or(i64::MAX);
    Ok(vec![RpcValue::members([
        ("max_hits", RpcValue::Int(i64::from(m.limits.density))),
        ("list", RpcValue::Array(list)),
        ("number_of_rows", RpcValue::Int(count)),
    ])])
}

fn shown(m: &Pike, source: &Source) -> RpcValue {
    let left = m.limits.latency.saturating_sub(source.quiet).as_secs();
    let status = match source {
        Source { hot: true, .. } => "HOT",
        Source { warm: true, .. } => "WARM",
        _ => "",
    };
    RpcValue::members([
        ("ip_addr", source.ip.to_string().into()),
        ("leaf_hits_prev", RpcValue::Int(i64::from(source.before))),
        ("leaf_hits_curr", RpcValue::Int(i64::from(source.current))),
        ("expires", RpcValue::Int(i64::try_from(left).unwrap_or(i64::MAX))),
        ("status", status.into()),
    ])
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{Server, code};

    use super::*;

    fn pike(server: &Server) -> Pike {
        Pike {
            tree: Arc::default(),
            limits: Limits {
                unit: Duration::from_secs(2),
                density: 4,
                latency: Duration::from_secs(120),
                level: Level::Warning,
                started: server.worker.engine.now(),
            },
        }
    }

    #[test]
    fn sources_are_blocked_and_listed() {
        let server = Server::default();
        let (m, mut cx) = (pike(&server), server.invite());
        let codes: Vec<i64> = (0..9).map(|_| code(check_req(&m, &mut cx))).collect();
        assert_eq!(codes, [1, 1, 1, 1, 1, 1, 1, -2, -1]);
        assert_eq!(code(check_ip(&m, &mut cx, "[2001:db8::1]".into())), 1);
        assert_eq!(code(check_ip(&m, &mut cx, "nothing".into())), -1);
        let mut call = RpcCall::new(server.worker.clone(), vec!["HOT".into()]);
        let [RpcValue::Struct(members)] = &top(&m, &mut call).unwrap()[..] else {
            panic!()
        };
        assert_eq!(members[2].1, RpcValue::Int(1));
        let mut call = RpcCall::new(server.worker.clone(), vec!["foo".into()]);
        assert!(top(&m, &mut call).is_err());
        server.engine.advance(Duration::from_secs(4));
        assert_eq!(code(check_req(&m, &mut cx)), 1);
    }
}
