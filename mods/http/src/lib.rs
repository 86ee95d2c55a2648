//! HTTP on SIP's connections: requests for the script, commands over XML-RPC and HTML pages, metrics.
#![forbid(unsafe_code)]

mod html;
pub mod metrics;
mod request;
pub mod xhttp;
pub mod xhttp_pi;
pub mod xhttp_prom;
pub mod xhttp_rpc;
mod xml;
pub mod xmlrpc;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    metrics::Metrics, xhttp::Xhttp, xhttp_pi::XhttpPi, xhttp_prom::XhttpProm, xhttp_rpc::XhttpRpc,
    xmlrpc::Xmlrpc,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Metrics, Xhttp, XhttpPi, XhttpProm, XhttpRpc, Xmlrpc]
}
