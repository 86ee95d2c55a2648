//! `dst_blocklist.*`: destinations that are avoided for a while.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use kahea_net::dns::BlockEntry;
use kahea_sip::Transport;

use super::{int, is_on};
use crate::core_module::{Core, NetControl};

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc(
        "dst_blocklist.mem_info",
        mem_info,
        "Bytes that the list takes, about, and bytes that it may take.",
    );
    d.rpc(
        "dst_blocklist.view",
        view,
        "The destinations on the list, as lines of text.",
    );
    d.rpc(
        "dst_blocklist.debug",
        debug,
        "The destinations on the list, one figure after the other.",
    );
    d.rpc(
        "dst_blocklist.stats_get",
        stats_get,
        "Figures of the list, where there are any.",
    );
    d.rpc(
        "dst_blocklist.delete_all",
        delete_all,
        "Takes all destinations off the list.",
    );
    let doc = "Puts a destination on the list: address, port, transport as a number (UDP 1, TCP 2, TLS 3, SCTP 4), flags.";
    d.rpc("dst_blocklist.add", add, doc);
}

fn list(core: &Core, call: &RpcCall) -> Result<Arc<dyn NetControl>, RpcFault> {
    let configured = call.worker.config.globals.use_dst_blocklist;
    if !is_on(call, "use_dst_blocklist", configured) {
        return Err(RpcFault::new(500, "dst blocklist support disabled"));
    }
    core.net.get()
}

fn mem_info(core: &Core, call: &mut RpcCall) -> RpcResult {
    let entries = list(core, call)?.blocklist().len();
    let used = entries.saturating_mul(size_of::<BlockEntry>());
    let most = call.worker.config.globals.dst_blocklist_mem.saturating_mul(1024);
    Ok(vec![int(used), int(most)])
}

fn view(core: &Core, call: &mut RpcCall) -> RpcResult {
    let lines = |entry: BlockEntry| {
        [
            "{".to_owned(),
            format!("    protocol: {}", entry.transport),
            format!("    ip: {}", entry.address.ip()),
            format!("    port: {}", entry.address.port()),
            format!("    expires in (s): {}", seconds(&entry)),
            format!("    flags: {}", entry.reason as i64),
            "}".to_owned(),
        ]
    };
    let entries = list(core, call)?.blocklist().into_iter();
    Ok(entries.flat_map(lines).map(RpcValue::from).collect())
}

/// What is left of its time, begun seconds counted.
fn seconds(entry: &BlockEntry) -> u64 {
    let begun = u64::from(entry.remaining.subsec_nanos() > 0);
    entry.remaining.as_secs().saturating_add(begun)
}

fn debug(core: &Core, call: &mut RpcCall) -> RpcResult {
    let row = |entry: BlockEntry| {
        [
            RpcValue::from(entry.transport.name()),
            entry.address.ip().to_string().into(),
            int(entry.address.port()),
            int(seconds(&entry)),
            int(entry.reason as i64),
        ]
    };
    Ok(list(core, call)?.blocklist().into_iter().flat_map(row).collect())
}

fn stats_get(core: &Core, call: &mut RpcCall) -> RpcResult {
    list(core, call)?;
    super::figures(call, b"dst_blocklist")
}

fn delete_all(core: &Core, call: &mut RpcCall) -> RpcResult {
    list(core, call)?.clear_blocklist();
    Ok(Vec::new())
}

/// The flags are Kamailio's reasons; here the reason is always that an operator said so.
fn add(core: &Core, call: &mut RpcCall) -> RpcResult {
    let net = list(core, call)?;
    let (ip, port, transport, _flags) = (call.text()?, call.int()?, call.int()?, call.int()?);
    let wrong = |what: &str| RpcFault::new(400, format!("Not {what}"));
    let bare = ip.text();
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = bare.parse().map_err(|_| wrong("an IP address"))?;
    let port = u16::try_from(port).map_err(|_| wrong("a port"))?;
    let transport = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Sctp]
        .into_iter()
        .find(|known| known.number() == transport)
        .ok_or_else(|| wrong("a transport: UDP 1, TCP 2, TLS 3, SCTP 4"))?;
    match net.block(SocketAddr::new(ip, port), transport) {
        true => Ok(Vec::new()),
        false => Err(RpcFault::new(400, "The list is full")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    #[test]
    fn destinations_are_listed_as_kamailio_does() {
        let client = Client::new(FakeControl::default());
        assert_eq!(client.run("dst_blocklist.add 10.0.0.1 5060 2 16"), Ok(vec![]));
        let lines = client.run("dst_blocklist.view").expect("lines");
        assert_eq!(lines.get(1), Some(&RpcValue::from("    protocol: tcp")));
        assert_eq!(lines.get(4), Some(&RpcValue::from("    expires in (s): 60")));
        let figures = client.run("dst_blocklist.debug").expect("figures");
        assert_eq!(figures.get(2), Some(&RpcValue::Int(5060)));
        let memory = client.run("dst_blocklist.mem_info").expect("figures");
        assert_eq!(memory.get(1), Some(&RpcValue::Int(256_000)));
        assert_eq!(client.run("dst_blocklist.delete_all"), Ok(vec![]));
        assert_eq!(client.run("dst_blocklist.view"), Ok(vec![]));
    }

    #[test]
    fn without_the_list_there_is_nothing_to_tell() {
        let worker = kahea_module::testing::Server::default().worker;
        let client = Client::with(Core::for_tests(), worker, Default::default());
        for line in ["dst_blocklist.view", "dst_blocklist.add 10.0.0.1 5060 1 64"] {
            let text = client.run(line).map_err(|fault| fault.text);
            assert_eq!(text, Err("dst blocklist support disabled".into()));
        }
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        let client = Client::new(FakeControl::default());
        for line in [
            "dst_blocklist.add 10.0.0.1 5060 udp 0",
            "dst_blocklist.add 10.0.0.1 5060 9 0",
            "dst_blocklist.add host 5060 1 0",
            "dst_blocklist.add 10.0.0.1",
        ] {
            assert_eq!(client.run(line).map_err(|fault| fault.code), Err(400), "{line}");
        }
    }
}
