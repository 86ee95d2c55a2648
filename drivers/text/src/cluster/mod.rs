//! Module `db_cluster`: one database made of several, to read and write one after the other, in turn, or all at once.

mod config;
mod driver;
mod members;

use std::{sync::Arc, time::Duration};

use kahea_db::Databases;
use kahea_module::{
    Decl, Env, InitError, Module,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

pub use self::driver::ClusterDriver;
use self::{
    config::{Definition, Given},
    members::{Cluster, Limits},
};

/// The module.
pub struct DbCluster {
    clusters: Vec<Arc<Cluster>>,
}

/// Its parameters.
pub struct Params {
    connections: Vec<Given>,
    clusters: Vec<Definition>,
    inactive_interval: i64,
    max_query_length: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            connections: Vec::new(),
            clusters: Vec::new(),
            inactive_interval: 300,
            max_query_length: 0,
        }
    }
}

impl Module for DbCluster {
    const NAME: &'static str = "db_cluster";
    const FIRST: bool = true;
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "connection",
            "string",
            |params, value, _| {
                params
                    .connections
                    .push(config::connection(&value.str_or_empty().text())?);
                Ok(())
            },
            "A database, ID=>URL. May be given several times.",
        );
        d.param_fn("cluster", "string", |params, value, _| {
            let definition = config::cluster(&value.str_or_empty().text(), &params.connections)?;
            params.clusters.push(definition);
            Ok(())
        }, "A cluster, ID=>CONNECTION=9s8p;CONNECTION=…: priority and mode (s, r) for reading, then (s, r, p) for \
            writing. May be given several times.");
        d.param(
            "inactive_interval",
            |p| &mut p.inactive_interval,
            "Seconds that a connection is left alone after it failed.",
        );
        d.param(
            "max_query_length",
            |p| &mut p.max_query_length,
            "Seconds that a failed statement must have taken for its connection to be left alone.",
        );
        d.rpc("dbcl.list_clusters", list_clusters, "The clusters.");
        d.rpc(
            "dbcl.list_connections",
            list_connections,
            "The connections of a cluster and whether they are used.",
        );
        d.rpc(
            "dbcl.disable_connection",
            disable,
            "Leaves a connection of a cluster alone for so many seconds.",
        );
        d.rpc(
            "dbcl.enable_connection",
            enable,
            "Uses a connection of a cluster again.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let seconds = |n: i64| Duration::from_secs(u64::try_from(n).unwrap_or(0));
        let limits = Limits {
            inactive: seconds(params.inactive_interval),
            longest: seconds(params.max_query_length),
            started: env.shared.started_at,
        };
        let clusters: Vec<Arc<Cluster>> = params
            .clusters
            .into_iter()
            .map(|definition| Arc::new(Cluster::new(definition, limits)))
            .collect();
        let databases = Databases::of(env);
        let driver = ClusterDriver::new(clusters.clone(), &databases, &env.shared);
        databases.register("cluster", Arc::new(driver));
        Ok(DbCluster { clusters })
    }
}

impl DbCluster {
    fn cluster(&self, call: &mut RpcCall, missing: &str) -> Result<&Arc<Cluster>, RpcFault> {
        let name = call.optional_text()?.ok_or_else(|| RpcFault::new(500, missing))?;
        let found = self
            .clusters
            .iter()
            .find(|cluster| cluster.name.as_bytes() == name.as_bytes());
        found.ok_or_else(|| RpcFault::new(500, "Cluster not found"))
    }
}

/// The newest comes first, as in Kamailio.
fn list_clusters(module: &DbCluster, _: &mut RpcCall) -> RpcResult {
    let row = |cluster: &Arc<Cluster>| RpcValue::members([("cluster", cluster.name.as_str().into())]);
    Ok(module.clusters.iter().rev().map(row).collect())
}

fn list_connections(module: &DbCluster, call: &mut RpcCall) -> RpcResult {
    let cluster = module.cluster(call, "Not enough parameters (cluster)")?;
    let rows = cluster.members.iter().rev().map(|member| {
        let paused = cluster.is_paused(member);
        RpcValue::members([
            ("connection", member.name.as_str().into()),
            // Without the password, which is nobody's business.
            ("url", member.url.to_string().into()),
            ("flags", RpcValue::Int(0)),
            ("state", if paused { "disabled" } else { "active" }.into()),
            ("ticks", RpcValue::Int(cluster.paused_until(member))),
            ("ref", RpcValue::Int(i64::from(member.is_open()))),
        ])
    });
    Ok(rows.collect())
}

fn disable(module: &DbCluster, call: &mut RpcCall) -> RpcResult {
    const MISSING: &str = "Not enough parameters (cluster) (connection) (seconds)";
    let missing = |_| RpcFault::new(500, MISSING);
    if call.remaining() < 3 {
        return Err(missing(()));
    }
    let cluster = module.cluster(call, MISSING)?;
    let name = call.text()?;
    let member = cluster
        .member(&name)
        .ok_or_else(|| RpcFault::new(500, "Cluster connection not found"))?;
    let seconds = u64::try_from(call.int()?).map_err(|_| RpcFault::new(500, MISSING))?;
    match cluster.pause_by_hand(member, Duration::from_secs(seconds)) {
        true => Ok(vec!["Ok. Cluster connection disabled.".into()]),
        false => Err(RpcFault::new(
            500,
            "Cannot disable last active connection in a cluster",
        )),
    }
}

fn enable(module: &DbCluster, call: &mut RpcCall) -> RpcResult {
    const MISSING: &str = "Not enough parameters (cluster) (connection)";
    let cluster = module.cluster(call, MISSING)?;
    let name = call.optional_text()?.ok_or_else(|| RpcFault::new(500, MISSING))?;
    let member = cluster
        .member(&name)
        .ok_or_else(|| RpcFault::new(500, "Cluster connection not found"))?;
    cluster.resume(member);
    Ok(vec!["Ok. Cluster connection enabled.".into()])
}
