//! `udp.proxy.*`: peers behind a UDP proxy, once `udp_accept_proxy` works.

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult},
};

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    let doc = "Peers behind UDP proxies; refused as long as udp_accept_proxy does not work here.";
    d.rpc("udp.proxy.dump", refuse, doc);
    let doc = "Figures of peers behind UDP proxies; refused as long as udp_accept_proxy does not work here.";
    d.rpc("udp.proxy.stats", refuse, doc);
    let doc = "Drops old peers behind UDP proxies; refused as long as udp_accept_proxy does not work here.";
    d.rpc("udp.proxy.clean", refuse, doc);
    let doc = "Drops all peers behind UDP proxies; refused as long as udp_accept_proxy does not work here.";
    d.rpc("udp.proxy.flush", refuse, doc);
}

fn refuse(_: &Core, _: &mut RpcCall) -> RpcResult {
    let text = "PROXY headers over UDP (udp_accept_proxy) are not supported yet";
    Err(RpcFault::new(500, text))
}
