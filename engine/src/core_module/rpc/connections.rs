//! Connections: `core.tcp_list`, `core.tcp_info`, `core.tcp_options`.

use kahea_module::{
    Decl, Value,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use kahea_net::ConnectionInfo;
use kahea_sip::Transport;

use super::{int, members};
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc("core.tcp_list", list, "The open connections.").list();
    d.rpc("core.tcp_info", info, "Figures of the connections.");
    d.rpc(
        "core.tcp_options",
        options,
        "The parameters of connections as they are now.",
    );
}

fn refuse_without_tcp(call: &RpcCall) -> Result<(), RpcFault> {
    match call.worker.config.globals.disable_tcp {
        true => Err(RpcFault::new(500, "tcp support disabled")),
        false => Ok(()),
    }
}

fn list(core: &Core, call: &mut RpcCall) -> RpcResult {
    refuse_without_tcp(call)?;
    let lifetime = call.worker.config.globals.tcp_connection_lifetime;
    let connections = core.net.get()?.connections();
    Ok(connections.iter().map(|one| row(one, lifetime)).collect())
}

fn row(one: &ConnectionInfo, lifetime: i64) -> RpcValue {
    let state = if one.connecting { "CONN_CONNECT" } else { "CONN_OK" };
    members(vec![
        ("id", int(one.id.0)),
        ("type", one.transport.via_name().into()),
        ("state", state.into()),
        ("timeout", one.expires_in.map_or(RpcValue::Int(-1), int)),
        ("lifetime", int(lifetime)),
        ("ref_count", int(1)),
        ("src_ip", one.peer.ip().to_string().into()),
        ("src_port", int(one.peer.port())),
        ("dst_ip", one.local.ip().to_string().into()),
        ("dst_port", int(one.local.port())),
    ])
}

fn info(core: &Core, call: &mut RpcCall) -> RpcResult {
    refuse_without_tcp(call)?;
    let globals = &call.worker.config.globals;
    let net = core.net.get()?;
    let connections = net.connections();
    let secure = |one: &&ConnectionInfo| matches!(one.transport, Transport::Tls | Transport::Wss);
    let queued: usize = connections.iter().map(|one| one.queued).sum();
    Ok(vec![members(vec![
        ("readers", int(net.workers())),
        ("max_connections", int(globals.tcp_max_connections)),
        ("max_tls_connections", int(globals.tls_max_connections)),
        ("opened_connections", int(connections.len())),
        (
            "opened_tls_connections",
            int(connections.iter().filter(secure).count()),
        ),
        ("write_queued_bytes", int(queued)),
    ])])
}

/// In Kamailio's order: name in the answer, name in the group `tcp`.
const OPTIONS: [(&str, &str); 23] = [
    ("connect_timeout", "connect_timeout"),
    ("send_timeout", "send_timeout"),
    ("connection_lifetime", "connection_lifetime"),
    ("max_connections(soft)", "max_connections"),
    ("max_tls_connections(soft)", "max_tls_connections"),
    ("no_connect", "no_connect"),
    ("fd_cache", "fd_cache"),
    ("async", "async"),
    ("connect_wait", "connect_wait"),
    ("conn_wq_max", "conn_wq_max"),
    ("wq_max", "wq_max"),
    ("defer_accept", "defer_accept"),
    ("delayed_ack", "delayed_ack"),
    ("syncnt", "syncnt"),
    ("linger2", "linger2"),
    ("keepalive", "keepalive"),
    ("keepidle", "keepidle"),
    ("keepintvl", "keepintvl"),
    ("keepcnt", "keepcnt"),
    ("crlf_ping", "crlf_ping"),
    ("accept_aliases", "accept_aliases"),
    ("alias_flags", "alias_flags"),
    ("new_conn_alias_flags", "new_conn_alias_flags"),
];

fn options(_: &Core, call: &mut RpcCall) -> RpcResult {
    refuse_without_tcp(call)?;
    let settings = &call.worker.config.settings;
    let now = |name: &str| {
        let value = settings.get(b"tcp", name.as_bytes()).unwrap_or(Value::Null);
        RpcValue::from(value)
    };
    let rows = OPTIONS.iter().map(|(shown, name)| (*shown, now(name)));
    Ok(vec![members(rows.collect())])
}

#[cfg(test)]
mod tests {
    use kahea_module::{globals::Globals, testing::Server};
    use kahea_sip::ConnectionId;

    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    fn connection() -> ConnectionInfo {
        ConnectionInfo {
            id: ConnectionId(7),
            transport: Transport::Tcp,
            peer: "127.0.0.1:5071".parse().expect("an address"),
            local: "127.0.0.1:5060".parse().expect("an address"),
            accepted_by: None,
            worker: 0,
            connecting: false,
            queued: 10,
            aliases: Vec::new(),
            age: 1,
            expires_in: Some(4),
        }
    }

    #[test]
    fn connections_are_listed_and_counted() {
        let client = Client::new(FakeControl {
            connections: vec![connection()],
            ..FakeControl::default()
        });
        let row = |name| client.member("core.tcp_list", &[name]);
        assert_eq!(row("id"), RpcValue::Int(7));
        assert_eq!(row("type"), RpcValue::from("TCP"));
        assert_eq!(row("state"), RpcValue::from("CONN_OK"));
        assert_eq!(
            (row("timeout"), row("lifetime")),
            (RpcValue::Int(4), RpcValue::Int(120))
        );
        let figure = |name| client.member("core.tcp_info", &[name]);
        assert_eq!(figure("opened_connections"), RpcValue::Int(1));
        assert_eq!(figure("opened_tls_connections"), RpcValue::Int(0));
        assert_eq!(figure("write_queued_bytes"), RpcValue::Int(10));
    }

    #[test]
    fn options_are_those_of_the_moment() {
        let server = Server::new(|config| {
            for setting in Globals::default().runtime_settings() {
                let value = setting.value;
                config
                    .settings
                    .declare(setting.group, setting.name, value, "", false);
            }
        });
        server
            .worker
            .config
            .settings
            .set(b"tcp", b"max_connections", Value::Int(9));
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        let most = client.member("core.tcp_options", &["max_connections(soft)"]);
        assert_eq!(most, RpcValue::Int(9));
        for (name, _) in OPTIONS {
            assert_ne!(
                client.member("core.tcp_options", &[name]),
                RpcValue::Null,
                "{name}"
            );
        }
        assert!(client.run("core.tcp_list").is_err(), "no network is attached");
    }
}
