//! Module `permissions`: who may call, register and send without a password, by rule files, addresses and tables.

mod addresses;
mod files;
mod params;
mod rpc;
mod rules;
mod table;
mod trusted;

use std::{sync::Arc, time::Instant};

use kahea_module::{ANY, Decl, Env, FAILURE, InitError, Module, REQUEST, Var};
use parking_lot::Mutex;

use self::{addresses::Addresses, files::Files, trusted::Trusted};

pub use self::params::Params;
pub(crate) use self::table::address;

/// The module's instance.
pub struct Permissions {
    files: Files,
    check_all_branches: bool,
    addresses: Addresses,
    trusted: Arc<Trusted>,
    peer_tag: Option<Var>,
    /// Seconds between two reloads by command, and when the last one was.
    reload_delta: u64,
    reloaded: Mutex<Option<Instant>>,
}

impl Module for Permissions {
    const NAME: &'static str = "permissions";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        file_functions(d);
        address_functions(d);
        rpc::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Permissions, InitError> {
        let peer_tag = params
            .peer_tag_avp
            .as_ref()
            .map(|text| env.bind.var(&text.text()))
            .transpose()?;
        let allow = params
            .loads(Params::ALLOW_FILE)
            .then_some(&params.default_allow_file);
        let deny = params
            .loads(Params::DENY_FILE)
            .then_some(&params.default_deny_file);
        let suffixes = [params.allow_suffix.clone(), params.deny_suffix.clone()];
        Ok(Permissions {
            files: Files::read(env, [allow, deny], &suffixes),
            check_all_branches: params.check_all_branches,
            addresses: Addresses::load(&params, env)?,
            trusted: Arc::new(Trusted::load(&params, env, peer_tag.clone())?),
            peer_tag,
            reload_delta: u64::try_from(params.reload_delta).map_err(|_| {
                InitError::new("reload_delta is below 0").help("give seconds, 0 for no limit")
            })?,
            reloaded: Mutex::default(),
        })
    }
}

fn file_functions(d: &mut Decl<Permissions>) {
    d.func(
        "allow_routing",
        ["base"],
        files::allow_routing,
        "The rules allow From and the Request-URI of every branch; with a name those of its two files.",
    )
    .routes(ANY)
    .example("if (!allow_routing()) { exit; }");
    d.func(
        "allow_routing",
        ["allow_file", "deny_file"],
        files::allow_routing_files,
        "The same with the names of both files.",
    )
    .routes(ANY);
    let text = "The rules allow To and every Contact, compared without ports.";
    d.func("allow_register", ["base"], files::allow_register, text)
        .routes(REQUEST | FAILURE);
    d.func(
        "allow_register",
        ["allow_file", "deny_file"],
        files::allow_register_files,
        text,
    )
    .routes(REQUEST | FAILURE);
    let text = "The rules allow To and every Contact, compared with their ports.";
    d.func(
        "allow_register_include_port",
        ["base"],
        files::allow_register_port,
        text,
    )
    .routes(REQUEST | FAILURE);
    d.func(
        "allow_register_include_port",
        ["allow_file", "deny_file"],
        files::allow_register_port_files,
        text,
    )
    .routes(REQUEST | FAILURE);
    d.func(
        "allow_uri",
        ["base", "uri"],
        files::allow_uri,
        "The rules allow From and the URI given.",
    )
    .routes(REQUEST | FAILURE)
    .example("if (!allow_uri(\"base\", \"$rt\")) { exit; }");
}

fn address_functions(d: &mut Decl<Permissions>) {
    d.func(
        "allow_address",
        ["group", "address", "port"],
        addresses::allow_address,
        "The address or name with this port is in the group.",
    )
    .routes(ANY)
    .kemi(3, "allow_address")
    .example("if (!allow_address(\"1\", \"$si\", \"$sp\")) { exit; }");
    d.func(
        "allow_source_address",
        ["group"],
        addresses::allow_source_address,
        "The source of the message is in the group; in group 1 where none is given.",
    )
    .routes(ANY)
    .kemi(1, "allow_source_address");
    d.func(
        "allow_source_address_group",
        [],
        addresses::allow_source_address_group,
        "The group that the source of the message is in; -1 for none.",
    )
    .routes(ANY)
    .kemi(0, "allow_source_address_group")
    .example("$var(group) = allow_source_address_group();");
    d.func(
        "allow_address_group",
        ["address", "port"],
        addresses::allow_address_group,
        "The group that the address or name with this port is in; -1 for none.",
    )
    .routes(ANY)
    .kemi(2, "allow_address_group");
    d.func(
        "allow_trusted",
        [],
        trusted::allow_trusted,
        "A rule trusts the source, transport and From of the request.",
    )
    .routes(ANY)
    .kemi(0, "allow_trusted")
    .waits();
    d.func(
        "allow_trusted",
        ["address", "transport", "from"],
        trusted::allow_trusted_source,
        "A rule trusts this address and transport, and From or the URI given.",
    )
    .routes(ANY)
    .waits()
    .example("allow_trusted(\"$si\", \"any\", \"$fu\");");
}
