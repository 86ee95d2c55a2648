//! The commands `rtpengine.*`.

use std::sync::Arc;

use kahea_module::{
    Decl, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::RtpEngine;
use crate::relay::{
    health::{Event, Health},
    nodes::Node,
};

pub(super) fn declare(d: &mut Decl<RtpEngine>) {
    d.rpc(
        "rtpengine.show",
        show,
        "Shows an engine by its URL, or all of them: set, weight, whether it is in use.",
    );
    d.rpc_waits(
        "rtpengine.enable",
        enable,
        "Switches an engine, or all of them, on (1) or off (0).",
    );
    d.rpc_waits("rtpengine.ping", ping, "Pings an engine, or all of them.");
    d.rpc_waits(
        "rtpengine.reload",
        reload,
        "Reads the engines from the database again; not more often than every ten seconds.",
    );
    d.rpc(
        "rtpengine.get_hash_total",
        |m, _| {
            Ok(vec![RpcValue::Int(
                i64::try_from(m.core.calls.len()).unwrap_or(i64::MAX),
            )])
        },
        "The number of calls whose engine is known.",
    );
}

fn too_few(_: RpcFault) -> RpcFault {
    RpcFault::new(500, "Not enough parameters")
}

/// The engines that an argument names. `::` before a URL keeps clients from reading it as a number.
fn named(m: &RtpEngine, url: &Str) -> Result<Vec<Arc<Node>>, RpcFault> {
    let bare = url.strip_prefix(b"::").unwrap_or(url);
    let all = m.core.nodes.shown();
    let found: Vec<_> = match bare {
        b"all" => all,
        url => all.into_iter().filter(|node| *node.url == *url).collect(),
    };
    match found.is_empty() {
        true => Err(RpcFault::new(404, "Instance not found")),
        false => Ok(found),
    }
}

fn show(m: &RtpEngine, call: &mut RpcCall) -> RpcResult {
    let url = call.text().map_err(too_few)?;
    let now = call.worker.engine.now();
    let row = |node: &Arc<Node>| {
        let health = node.health();
        let ticks = i64::try_from(health.seconds_left(now)).unwrap_or(i64::MAX);
        let (disabled, ticks) = match health {
            Health::Untested | Health::Up => (RpcValue::Int(0), RpcValue::Int(0)),
            Health::Down { .. } => (RpcValue::Int(1), RpcValue::Int(ticks)),
            Health::Off => (RpcValue::from("1(permanent)"), RpcValue::from("N/A")),
        };
        RpcValue::members([
            ("url", RpcValue::Str(node.url.clone())),
            ("set", RpcValue::Int(node.set)),
            ("index", RpcValue::Int(i64::try_from(node.index).unwrap_or(0))),
            ("weight", RpcValue::Int(node.weight().into())),
            ("disabled", disabled),
            ("recheck_ticks", ticks),
        ])
    };
    Ok(named(m, &url)?.iter().map(row).collect())
}

fn answer(url: Str, status: &str) -> RpcResult {
    Ok(vec![RpcValue::members([
        ("url", RpcValue::Str(url)),
        ("status", RpcValue::from(status)),
    ])])
}

fn enable<'a>(m: &'a RtpEngine, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let url = call.text().map_err(too_few)?;
        let on = call.int().map_err(too_few)? != 0;
        let mut status = if on { "enable" } else { "disable" };
        for node in named(m, &url)? {
            if !on {
                node.tell(Event::SwitchedOff);
                continue;
            }
            let now = call.worker.engine.now();
            node.tell(Event::SwitchedOn { now });
            if !m.core.ping(&call.worker, &node).await {
                status = "fail";
            }
        }
        answer(url, status)
    })
}

fn ping<'a>(m: &'a RtpEngine, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let url = call.text().map_err(too_few)?;
        let mut status = "success";
        for node in named(m, &url)? {
            if !m.core.ping(&call.worker, &node).await {
                status = "fail";
            }
        }
        answer(url, status)
    })
}

fn reload<'a>(m: &'a RtpEngine, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let Some(source) = &m.database else {
            return Err(RpcFault::new(500, "No Database URL"));
        };
        let now = call.worker.engine.now();
        if !source.may_reload(now) {
            return Err(RpcFault::new(500, "Reload was done less than 10 seconds ago"));
        }
        let rows = source.read().await.map_err(|why| RpcFault::new(500, why))?;
        m.core.nodes.update(&rows, now);
        super::core::ping_all(&m.core, &call.worker);
        Ok(vec![RpcValue::from("Success")])
    })
}
