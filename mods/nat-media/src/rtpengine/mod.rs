//! Module `rtpengine`: media through Sipwise rtpengine, over its ng protocol.
//!
//! `$rtpstat` cannot ask an engine, since reading a variable never waits: it has the totals of the last answer to
//! `rtpengine_query()` or `rtpengine_delete()` of the message.

mod bencode;
mod calls;
mod command;
mod core;
mod database;
mod events;
mod flags;
mod functions;
mod json;
mod mos;
mod params;
mod rpc;

use std::sync::Arc;

use kahea_mods_transaction::tm::service::Transactions;
use kahea_module::{Decl, Env, InitError, Module, Str, Value, config::Periodic};

use self::{
    calls::Calls,
    core::{Core, LIVE},
    database::Source,
    params::Params,
};
use crate::relay::{
    nodes::{Nodes, Row, parse_sockets},
    wire::Address,
};

/// The module's instance.
pub struct RtpEngine {
    core: Arc<Core>,
    database: Option<Source>,
}

/// The engines, kept over reloads apart from those of other modules.
#[derive(Default)]
struct Engines(Arc<Nodes>);

struct KnownCalls(Arc<Calls>);

impl Module for RtpEngine {
    const NAME: &'static str = "rtpengine";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions::declare(d);
        rpc::declare(d);
        d.var(
            "rtpstat",
            functions::stat,
            "Bytes, packets and errors of the call, of the last rtpengine_query() or rtpengine_delete() of this message.",
        );
        d.var("rtpestat", functions::stat, "The same as $rtpstat.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<RtpEngine, InitError> {
        for ((name, _, doc), value) in LIVE.into_iter().zip(params.live) {
            env.settings
                .declare("rtpengine", name, Value::Int(value), doc, false);
        }
        let options = params.options(env)?;
        let now = env.shared.started_at;
        let (database, rows) = engines(&params, env)?;
        let nodes = env.shared.keep(Engines::default).0.clone();
        nodes.update(&rows, now);
        let size = usize::try_from(params.hash_size).unwrap_or(1);
        let calls = env
            .shared
            .keep(|| KnownCalls(Arc::new(Calls::new(size, now))))
            .0
            .clone();
        let tm = env.service::<Transactions>();
        let core = Arc::new(Core::new(nodes, calls, options, tm, seed(env)));
        if let Some(address) = &params.events {
            events::start(address, params.event_vars, env)?;
        }
        watch(&core, env);
        Ok(RtpEngine { core, database })
    }
}

/// Cookies of a server that was started again differ from those before.
fn seed(env: &Env<'_>) -> u64 {
    env.shared
        .started
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().wrapping_shl(20))
}

/// The engines of the database, else those of the parameters.
fn engines(params: &Params, env: &Env<'_>) -> Result<(Option<Source>, Vec<Row>), InitError> {
    if let Some(url) = &params.db_url {
        let (source, rows) = Source::open(env, &url.text(), &params.table)?;
        return Ok((Some(source), rows));
    }
    let mut rows = Vec::new();
    for line in &params.sockets {
        let parsed = parse_sockets(&line.text(), params.default_set, Address::parse_ng);
        rows.extend(parsed.map_err(|why| {
            InitError::new(format!("rtpengine_sock '{line}': {why}")).help(
                "write it as \"udp:127.0.0.1:2223\", or \"1 == udp:127.0.0.1:2223=2 udp:127.0.0.1:2224\"",
            )
        })?);
    }
    Ok((None, rows))
}

/// Pings at start and at intervals.
fn watch(core: &Arc<Core>, env: &mut Env<'_>) {
    if core.options.ping_at_start {
        let here = core.clone();
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index == 0 {
                core::ping_all(&here, worker);
            }
        }));
    }
    if let Some(every) = core.options.ping_every {
        let here = core.clone();
        env.hooks.periodic.push(Periodic {
            name: Str::from_static("rtpengine pings"),
            every,
            run: Arc::new(move |worker| core::ping_all(&here, worker)),
        });
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for the test's clock")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use super::{
        calls::HashAlgorithm,
        core::{AllowOp, Options},
        mos::{Mos, Named},
    };

    /// Without engines.
    pub(super) fn core() -> Core {
        let options = Options {
            hash: HashAlgorithm::Legacy,
            call_life: Duration::from_secs(60),
            allow_op: AllowOp::None,
            default_set: 0,
            set_var: None,
            extra_id: None,
            instance_var: None,
            read_sdp: None,
            write_sdp: None,
            write_both: false,
            duration_var: None,
            mos: Mos::of(&Named::default()),
            tos: None,
            from: None,
            ping_at_start: false,
            ping_every: None,
        };
        let calls = Arc::new(Calls::new(4, Instant::now()));
        Core::new(Arc::new(Nodes::default()), calls, options, None, 1)
    }
}
