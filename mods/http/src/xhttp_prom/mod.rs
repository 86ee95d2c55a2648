//! Module `xhttp_prom`: figures for Prometheus, the server's statistics and those of the script.

mod functions;
mod metrics;
mod page;

use std::sync::Arc;

use kahea_module::{
    ANY, BindError, Decl, EVENT, Env, InitError, Module, REQUEST, Str,
    config::{Periodic, Shared},
    rpc::{RpcCall, RpcResult},
};

use self::{
    metrics::{Definition, Kind, Metrics},
    page::{Choice, Stamps, Style},
};

/// The module.
pub struct XhttpProm {
    metrics: Arc<Metrics>,
    style: Style,
    shared: Arc<Shared>,
}

/// Its parameters.
pub struct Params {
    buf_size: i64,
    timeout: i64,
    stats: Str,
    beginning: Str,
    tags: Str,
    definitions: Vec<Definition>,
    uptime: bool,
    pkg: i64,
    metadata: i64,
    timestamp: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            buf_size: 0,
            timeout: 60,
            stats: Str::EMPTY,
            beginning: Str::from_static("kamailio_"),
            tags: Str::EMPTY,
            definitions: Vec::new(),
            uptime: false,
            pkg: 0,
            metadata: 0,
            timestamp: Str::from_static("ms"),
        }
    }
}

impl Module for XhttpProm {
    const NAME: &'static str = "xhttp_prom";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        definitions(d);
        functions::declare(d);
        let doc = "Answers the HTTP request with all figures, and ends the script.";
        d.func("prom_dispatch", [], functions::dispatch, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "dispatch");
        let doc = "The target of the HTTP request is /metrics.";
        d.func("prom_check_uri", [], functions::check_uri, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "check_uri")
            .example("if (prom_check_uri()) prom_dispatch();");
        rpcs(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.timeout < 0 {
            return Err(InitError::new("xhttp_prom_timeout is below 0").help("0 keeps figures for ever"));
        }
        let kept = env.shared.keep(metrics::Kept::default);
        let minutes = u64::try_from(params.timeout).unwrap_or(0);
        let metrics = Arc::new(Metrics::new(params.definitions, minutes, &kept)?);
        let stamps = Stamps::read(&params.timestamp)
            .ok_or_else(|| InitError::new("timestamp_format is none of ms, s and none"))?;
        let own = metrics.clone();
        env.hooks.periodic.push(Periodic {
            name: Str::from_static("xhttp_prom"),
            every: std::time::Duration::from_secs(60),
            run: Arc::new(move |worker| own.forget_unused(worker.engine.time())),
        });
        Ok(XhttpProm {
            metrics,
            style: Style {
                beginning: params.beginning.text().into_owned(),
                tags: params.tags.text().trim().trim_matches(['{', '}']).to_owned(),
                stamps,
                metadata: params.metadata & 1 != 0,
                choice: Choice::read(&params.stats.text()),
                uptime: params.uptime,
                most: usize::try_from(params.buf_size).unwrap_or(0),
            },
            shared: env.shared.clone(),
        })
    }
}

fn params(d: &mut Decl<XhttpProm>) {
    let doc = "The most bytes of an answer; 0 without a limit.";
    d.param("xhttp_prom_buf_size", |p| &mut p.buf_size, doc);
    let doc = "Figures that nobody changed for so many minutes are forgotten; 0 keeps them.";
    d.param("xhttp_prom_timeout", |p| &mut p.timeout, doc);
    let doc = "The server's statistics to show: all, a group as GROUP:, or one statistic by its name.";
    d.param("xhttp_prom_stats", |p| &mut p.stats, doc);
    let doc = "What the names of all figures begin with.";
    d.param("xhttp_prom_beginning", |p| &mut p.beginning, doc);
    let doc = "Labels that all figures get, as in name=\"value\", name2=\"value2\".";
    d.param("xhttp_prom_tags", |p| &mut p.tags, doc);
    let doc = "1: how long the server runs is shown, in seconds.";
    d.param("xhttp_prom_uptime_stat", |p| &mut p.uptime, doc);
    let doc = "Has no meaning here: there is no memory of Kamailio's processes (pkg).";
    d.param("xhttp_prom_pkg_stats", |p| &mut p.pkg, doc);
    let doc = "Bit 1: each figure is preceded by its type (# TYPE).";
    d.param("xhttp_prom_metadata_flags", |p| &mut p.metadata, doc);
    let doc = "When a figure was changed: ms (milliseconds since 1970), s (seconds), or none.";
    d.param("timestamp_format", |p| &mut p.timestamp, doc);
}

fn definitions(d: &mut Decl<XhttpProm>) {
    fn add(params: &mut Params, kind: Kind, value: &kahea_module::Value) -> Result<(), BindError> {
        let kahea_module::Value::Str(text) = value else {
            return Err(BindError::new("the parameter takes a string, not a number"));
        };
        params.definitions.push(Definition::read(kind, &text.text())?);
        Ok(())
    }
    let doc = "Defines a counter: name=NAME; label=L0:L1:L2, three labels at most.";
    d.param_fn(
        "prom_counter",
        "string",
        |p, value, _| add(p, Kind::Counter, value),
        doc,
    );
    let doc = "Defines a gauge: name=NAME; label=L0:L1:L2, three labels at most.";
    d.param_fn(
        "prom_gauge",
        "string",
        |p, value, _| add(p, Kind::Gauge, value),
        doc,
    );
    let doc = "Defines a histogram: name=NAME; label=L0:L1:L2; buckets=0.1:0.5:2, rising.";
    d.param_fn(
        "prom_histogram",
        "string",
        |p, value, _| add(p, Kind::Histogram, value),
        doc,
    );
}

fn rpcs(d: &mut Decl<XhttpProm>) {
    use functions::{rpc_add, rpc_gauge_add, rpc_observe, rpc_reset_counter, rpc_reset_gauge, rpc_set};
    d.rpc(
        "xhttp_prom.counter_reset",
        rpc_reset_counter,
        "Sets a counter to 0: name, labels.",
    );
    d.rpc(
        "xhttp_prom.counter_inc",
        rpc_add,
        "Adds to a counter: name, number, labels.",
    );
    d.rpc(
        "xhttp_prom.gauge_reset",
        rpc_reset_gauge,
        "Sets a gauge to 0: name, labels.",
    );
    d.rpc(
        "xhttp_prom.gauge_set",
        rpc_set,
        "Sets a gauge: name, number, labels.",
    );
    d.rpc(
        "xhttp_prom.gauge_inc",
        rpc_gauge_add,
        "Adds to a gauge: name, number, labels.",
    );
    d.rpc(
        "xhttp_prom.histogram_observe",
        rpc_observe,
        "Counts a value in a histogram: name, number, labels.",
    );
    d.rpc(
        "xhttp_prom.metric_list_print",
        list,
        "The script's figures, as Prometheus reads them.",
    );
}

fn list(m: &XhttpProm, _: &mut RpcCall) -> RpcResult {
    Ok(vec![page::own(&m.metrics, &m.style).into()])
}

/// Where the functions may be called.
const EVERYWHERE: kahea_module::RouteKinds = ANY;
