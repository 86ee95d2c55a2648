//! The pseudo-module `core`: the actions of the language that are plain functions, the `KSR.*` functions without a
//! module, the `core.*`, `dns.*`, `system.*` commands, and the statistics and events of the server itself.
//!
//! It is always loaded. What touches the network goes through [`NetControl`], which the server attaches with
//! [`NetSlot::attach`].

mod branches;
mod flags;
mod kemi;
mod net_control;
mod rpc;
mod ruri;
mod sending;
mod talk;

use std::sync::Arc;

use kahea_module::{
    Decl, Handler, Module,
    registry::{Env, InitError},
};

pub use self::{
    net_control::{NetControl, NetSlot},
    rpc::{BuildInfo, Defines, ModParams},
};

/// The core.
pub struct Core {
    net: Arc<NetSlot>,
    rpc: rpc::State,
}

impl Module for Core {
    const NAME: &'static str = "core";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        ruri::declare(d);
        flags::declare(d);
        branches::declare(d);
        sending::declare(d);
        talk::declare(d);
        kemi::declare(d);
        rpc::declare(d);
        events(d);
        stats(d);
    }

    fn init(_: (), env: &mut Env<'_>) -> Result<Self, InitError> {
        for setting in env.globals.runtime_settings() {
            env.settings.declare(
                setting.group,
                setting.name,
                setting.value,
                setting.doc,
                setting.read_only,
            );
        }
        for (name, most) in [("force_rport", 1), ("udp_mtu", 65_535), ("udp_mtu_try_proto", 4)] {
            env.settings.bound("core", name, 0, most);
        }
        env.settings.on_change("core", |settings, name| {
            if name == b"debug" {
                let level = settings.get(b"core", name).and_then(|value| value.int());
                kahea_module::log::set_level(level.unwrap_or(0));
            }
        });
        Ok(Core {
            net: env.shared.keep(NetSlot::default),
            rpc: rpc::State::new(env),
        })
    }
}

fn events(d: &mut Decl<Core>) {
    d.event("core:worker-one-init", "Runs once at start, in the first worker.");
    d.event(
        "core:modinit-before",
        "Runs once at start, in the first worker before `core:worker-one-init`.",
    );
    d.event(
        "core:msg-received",
        "Runs for what came from the network before it is parsed, where received_route_mode says so.",
    );
    d.event("core:pre-routing", "Runs before request_route and reply_route.");
    d.event(
        "core:receive-parse-error",
        "Runs for a message that cannot be parsed.",
    );
    d.event(
        "core:tkv",
        "Runs for events of type, key and value (async_tkv_evcb).",
    );
}

/// The network layer counts them.
fn stats(d: &mut Decl<Core>) {
    d.stat_in("tcp", "con_reset", "Connections reset by the peer.");
    d.stat_in("tcp", "con_timeout", "Connections closed because they were idle.");
    d.stat_in("tcp", "connect_failed", "Outgoing connections that failed.");
    d.stat_in("tcp", "connect_success", "Outgoing connections that came up.");
    d.stat_in("tcp", "current_opened_connections", "Connections open now.");
    d.stat_in(
        "tcp",
        "current_write_queue_size",
        "Bytes queued for all connections now.",
    );
    d.stat_in("tcp", "established", "Connections that came up, in and out.");
    d.stat_in("tcp", "local_reject", "Connections refused because of a limit.");
    d.stat_in("tcp", "passive_open", "Incoming connections accepted.");
    d.stat_in(
        "tcp",
        "send_timeout",
        "Connections closed because the peer did not read.",
    );
    d.stat_in(
        "tcp",
        "sendq_full",
        "Connections closed because their queue was full.",
    );
    d.stat_in("dns", "failed_dns_request", "Look-ups that failed.");
    d.stat_in(
        "dns",
        "slow_dns_request",
        "Look-ups slower than dns_slow_query_ms.",
    );
}

/// Declares a function under its name and the names that are older or shorter; the first carries the KEMI name.
fn aliased<Args, H: Handler<Core, Args> + Copy, const N: usize>(
    d: &mut Decl<Core>,
    names: &[&'static str],
    parameters: [&'static str; N],
    handler: H,
    doc: &'static str,
    kemi: Option<(usize, &'static str)>,
) {
    for (at, name) in names.iter().enumerate() {
        let row = d.func(name, parameters, handler, doc);
        if let (0, Some((count, kemi))) = (at, kemi) {
            row.kemi_as(count, "", kemi);
        }
    }
}

#[cfg(test)]
impl Core {
    fn for_tests() -> Core {
        Core {
            net: Arc::default(),
            rpc: rpc::State::for_tests(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use kahea_module::registry::ModuleDecl;

    use super::*;

    /// Names of the core in Kamailio 6.2: `action NAME`, `ksr NAME COUNT`, `rpc NAME`, `stat NAME`, `event NAME`.
    const INVENTORY: &str = include_str!("inventory.txt");

    #[test]
    fn all_of_kamailios_core_is_here_and_nothing_else() {
        let decl = ModuleDecl::of::<Core>();
        let actions = decl
            .funcs
            .iter()
            .filter(|func| func.native)
            .map(|func| format!("action {}", func.name));
        let kemi = decl.funcs.iter().flat_map(|func| {
            func.kemi.iter().map(|row| match row.module {
                "" => format!("ksr {} {}", row.name, row.count),
                module => format!("ksr {module}.{} {}", row.name, row.count),
            })
        });
        let rpc = decl.rpcs.iter().map(|row| format!("rpc {}", row.name));
        let stats = decl.stats.iter().map(|row| format!("stat {}", row.name));
        let events = decl.events.iter().map(|row| format!("event {}", row.name));
        let ours: HashSet<String> = actions
            .chain(kemi)
            .chain(rpc)
            .chain(stats)
            .chain(events)
            .collect();
        let theirs: HashSet<String> = INVENTORY.lines().map(str::to_owned).collect();
        let missing: Vec<_> = theirs.difference(&ours).collect();
        // Kamailio's configuration is read once.
        let own = "rpc core.reload";
        let invented: Vec<_> = ours.difference(&theirs).filter(|name| *name != own).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        assert!(invented.is_empty(), "invented: {invented:?}");
    }

    #[test]
    fn every_row_has_a_sentence() {
        let decl = ModuleDecl::of::<Core>();
        let docs = decl
            .funcs
            .iter()
            .map(|row| (row.name, row.doc))
            .chain(decl.rpcs.iter().map(|row| (row.name, row.doc)))
            .chain(decl.stats.iter().map(|row| (row.name, row.doc)))
            .chain(decl.events.iter().map(|row| (row.name, row.doc)));
        for (name, doc) in docs {
            assert!(doc.len() > 10 && doc.ends_with('.'), "{name}: {doc:?}");
        }
    }
}
