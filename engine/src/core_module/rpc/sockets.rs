//! Own addresses and names: `core.sockets_list`, `core.aliases_list`, `core.udp4_raw_info`.

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcResult, RpcValue},
};
use kahea_sip::Transport;

use super::{int, members, named, yes_no};
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc("core.sockets_list", sockets_list, "The listeners.");
    d.rpc(
        "core.aliases_list",
        aliases_list,
        "The names that count as this server besides its listeners.",
    );
    d.rpc(
        "core.udp4_raw_info",
        udp4_raw_info,
        "The parameters of raw sockets, which are not used here.",
    );
}

fn sockets_list(_: &Core, call: &mut RpcCall) -> RpcResult {
    let listeners = call.worker.config.identity.listeners.iter();
    let row = |listener: &kahea_module::Listener| {
        let socket = members(vec![
            ("proto", listener.transport.name().into()),
            ("address", listener.address.ip().to_string().into()),
            ("ipaddress", listener.address.ip().to_string().into()),
            ("port", int(listener.address.port())),
            ("mcast", yes_no(listener.multicast)),
            ("mhomed", yes_no(false)),
            ("virtual", yes_no(listener.is_virtual)),
        ]);
        ("socket", socket)
    };
    Ok(vec![named(listeners.map(row).collect())])
}

fn aliases_list(_: &Core, call: &mut RpcCall) -> RpcResult {
    let identity = &call.worker.config.identity;
    let row = |alias: &kahea_module::config::Alias| {
        let proto = match alias.transport {
            Transport::None => "*",
            transport => transport.name(),
        };
        let port = match alias.port {
            0 => RpcValue::from("*"),
            port => int(port),
        };
        let alias = members(vec![
            ("proto", proto.into()),
            ("address", alias.host.clone().into()),
            ("port", port),
        ]);
        ("alias", alias)
    };
    Ok(vec![members(vec![
        ("myself_callbacks", yes_no(!identity.tests.is_empty())),
        ("aliases", named(identity.aliases.iter().rev().map(row).collect())),
    ])])
}

fn udp4_raw_info(_: &Core, call: &mut RpcCall) -> RpcResult {
    let globals = &call.worker.config.globals;
    Ok(vec![members(vec![
        ("udp4_raw", int(globals.udp4_raw)),
        ("udp4_raw_mtu", int(globals.udp4_raw_mtu)),
        ("udp4_raw_ttl", int(raw_ttl(globals.udp4_raw_ttl))),
    ])])
}

/// Below 0 the system's own counts, which is 64.
fn raw_ttl(configured: i64) -> i64 {
    if configured < 0 { 64 } else { configured }
}

#[cfg(test)]
mod tests {
    use kahea_module::{Str, config::Alias, testing::Server};

    use super::{super::testing::Client, *};

    #[test]
    fn listeners_and_aliases_are_listed_as_kamailio_does() {
        let server = Server::new(|config| {
            config.identity.aliases.push(Alias {
                transport: Transport::None,
                host: Str::from_static("example.com"),
                port: 5060,
            });
        });
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        let socket = |name| client.member("core.sockets_list", &["socket", name]);
        assert_eq!(socket("proto"), RpcValue::from("udp"));
        assert_eq!(socket("port"), RpcValue::Int(5060));
        assert_eq!(socket("virtual"), RpcValue::from("no"));
        let alias = |name| client.member("core.aliases_list", &["aliases", "alias", name]);
        assert_eq!(alias("proto"), RpcValue::from("*"));
        assert_eq!(alias("port"), RpcValue::Int(5060));
        let raw = client.member("core.udp4_raw_info", &["udp4_raw_mtu"]);
        assert_eq!(raw, RpcValue::Int(1500));
    }
}
