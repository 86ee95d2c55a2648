//! Global parameters to the configuration of the network layer.

use kahea_module::globals::{Globals, ListenHost, ListenSpec};
use kahea_net::{ListenAddress, NetConfig};
use kahea_sip::Transport;

/// What the network layer is to do.
pub fn net_config(globals: &Globals) -> NetConfig {
    NetConfig {
        listen: globals.listen.iter().map(listen).collect(),
        disable_tcp: globals.disable_tcp,
        mhomed: globals.mhomed,
        ..NetConfig::default()
    }
}

fn listen(spec: &ListenSpec) -> kahea_net::ListenSpec {
    let address = match &spec.host {
        ListenHost::Ip(ip) => ListenAddress::Ip(*ip),
        ListenHost::Name(name) => ListenAddress::Name(name.text().into_owned()),
        ListenHost::Any => ListenAddress::Any,
    };
    kahea_net::ListenSpec {
        advertise: spec
            .advertise
            .as_ref()
            .map(|own| (own.host.text().into_owned(), own.port)),
        name: spec.name.as_ref().map(|name| name.text().into_owned()),
        r#virtual: spec.is_virtual,
        agname: spec.agname.as_ref().map(|name| name.text().into_owned()),
        workers: spec.workers.and_then(|count| u32::try_from(count).ok()),
        vrf: spec.vrf.as_ref().map(|name| name.text().into_owned()),
        ..kahea_net::ListenSpec::new(spec.transport.unwrap_or(Transport::None), address, spec.port)
    }
}
