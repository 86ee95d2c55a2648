//! Module corex: functions on what lies below the script: branches, raw sending, sockets, flags, Via parameters, files,
//! and the bytes on the wire (`event_route[network:msg]`).

mod branches;
mod files;
mod flags;
mod forward;
mod myself;
mod network;
mod records;
mod replies;
mod rpc;
mod send;
mod sockets;
mod vars;
mod via;

pub use self::vars::TypeKeyValue;

use kahea_module::{Decl, Env, InitError, Module, Str};

/// The module.
pub struct Corex;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    alias_subdomains: Vec<myself::Subdomains>,
    dns_records: Vec<kahea_module::static_dns::StaticRecord>,
    dns_files: Vec<Str>,
    network: network::Settings,
    evcb_reply_out: Option<Str>,
}

impl Module for Corex {
    const NAME: &'static str = "corex";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        parameters(d);
        branches::declare(d);
        send::declare(d);
        forward::declare(d);
        sockets::declare(d);
        flags::declare(d);
        via::declare(d);
        files::declare(d);
        network::declare(d);
        vars::declare(d);
        rpc::declare(d);
        replies::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Corex, InitError> {
        myself::register(params.alias_subdomains, env);
        records::register(params.dns_records, &params.dns_files, env)?;
        network::register(params.network, env)?;
        replies::register(params.evcb_reply_out, env);
        Ok(Corex)
    }
}

fn parameters(d: &mut Decl<Corex>) {
    d.param_fn(
        "alias_subdomains",
        "string",
        |params, value, _| {
            let text = value.str_or_empty();
            params.alias_subdomains.push(myself::Subdomains::parse(&text)?);
            Ok(())
        },
        "A domain that is \"myself\" with all its subdomains, `[proto:]domain[:port]`; may be given several times.",
    );
    d.param_fn(
        "dns_cache",
        "string",
        |params, value, _| {
            let text = value.str_or_empty();
            params.dns_records.push(records::parse(&text.text())?);
            Ok(())
        },
        "A record for the DNS cache, `type=A;name=example.com;addr=192.0.2.1;ttl=3600;flags=2`; may be given several times.",
    );
    d.param(
        "dns_file",
        |params| &mut params.dns_files,
        "A file with records for the DNS cache, one a line in the form of dns_cache; `#` begins a comment.",
    );
    d.param(
        "network_io_intercept",
        |params| &mut params.network.intercept,
        "Runs event_route[network:msg] on the bytes of every message that comes or leaves, where not 0.",
    )
    .alias("nio_intercept");
    d.param(
        "min_msg_len",
        |params| &mut params.network.min_len,
        "Messages of fewer bytes pass without event_route[network:msg].",
    )
    .alias("nio_min_msg_len");
    d.param(
        "msg_avp",
        |params| &mut params.network.avp,
        "The variable, such as `$avp(msg)`, in which event_route[network:msg] leaves the bytes to go on with.",
    )
    .alias("nio_msg_avp");
    d.param(
        "evcb_reply_out",
        |params| &mut params.evcb_reply_out,
        "The function of an embedded language to run instead of event_route[corex:reply-out].",
    );
}
