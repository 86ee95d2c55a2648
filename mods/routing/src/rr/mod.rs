//! Module `rr`: Record-Route headers, and the route sets that come of them (RFC 3261 sections 16.4, 16.6, 16.12).

mod loose;
mod record;
mod routes;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kahea_module::{
    BRANCH, BindError, Cx, Decl, EVENT, Env, FAILURE, Fault, InitError, Module, Named, Naming, REQUEST,
    Regex, Str, Value, Var,
};

pub use self::state::{Direction, RouteHook, Service};
use crate::outbound;

/// The module's instance.
pub struct Rr {
    service: Arc<Service>,
    loose_only: bool,
}

/// When there are two Record-Route headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Double {
    /// `enable_double_rr` 0.
    Never,
    /// 1.
    WhereNeeded,
    /// 2.
    Always,
}

/// What the parameters came to.
struct Setup {
    append_fromtag: bool,
    double: Double,
    full_lr: bool,
    add_username: bool,
    socket_mismatch_warning: bool,
    custom_user_avp: Option<Var>,
    force_send_socket: bool,
    ignore_sips: bool,
    sockname_mode: bool,
    outbound: Option<Arc<outbound::Service>>,
}

/// Its parameters.
pub struct Params {
    append_fromtag: bool,
    enable_double_rr: i64,
    enable_full_lr: bool,
    add_username: bool,
    enable_socket_mismatch_warning: bool,
    custom_user_avp: Option<Str>,
    force_send_socket: bool,
    ignore_sips: bool,
    sockname_mode: bool,
    loose_route_mode: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            append_fromtag: true,
            enable_double_rr: 1,
            enable_full_lr: false,
            add_username: false,
            enable_socket_mismatch_warning: true,
            custom_user_avp: None,
            force_send_socket: false,
            ignore_sips: false,
            sockname_mode: false,
            loose_route_mode: 0,
        }
    }
}

impl Module for Rr {
    const NAME: &'static str = "rr";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_recording(d);
        declare_routing(d);
        declare_vars(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Rr, InitError> {
        let outbound = env.service::<outbound::Service>();
        if outbound.is_some() && params.add_username {
            return Err(InitError::new(
                "add_username and flow tokens both want the user part of Record-Route URIs",
            )
            .help("turn add_username off, or do not load outbound"));
        }
        let custom_user_avp = params.custom_user_avp.map(|name| env.bind.var(&name.text()));
        let setup = Setup {
            append_fromtag: params.append_fromtag,
            double: match params.enable_double_rr {
                0 => Double::Never,
                2 => Double::Always,
                _ => Double::WhereNeeded,
            },
            full_lr: params.enable_full_lr,
            add_username: params.add_username,
            socket_mismatch_warning: params.enable_socket_mismatch_warning,
            custom_user_avp: custom_user_avp.transpose()?,
            force_send_socket: params.force_send_socket,
            ignore_sips: params.ignore_sips,
            sockname_mode: params.sockname_mode,
            outbound,
        };
        let service = Arc::new(Service::new(Arc::new(setup)));
        env.provide(service.clone());
        Ok(Rr {
            service,
            loose_only: params.loose_route_mode == 1,
        })
    }
}

fn declare_params(d: &mut Decl<Rr>) {
    d.param(
        "append_fromtag",
        |p| &mut p.append_fromtag,
        "Puts the From tag into the Record-Route URI, so that later requests show their direction.",
    );
    d.param(
        "enable_double_rr",
        |p| &mut p.enable_double_rr,
        "1 adds two headers where the request leaves by another address or transport than it came by, 2 always, 0 never.",
    );
    d.param(
        "enable_full_lr",
        |p| &mut p.enable_full_lr,
        "Writes \";lr=on\", for user agents that lose parameters without a value.",
    );
    d.param(
        "add_username",
        |p| &mut p.add_username,
        "Puts the user of the Request-URI into the Record-Route URI.",
    );
    d.param(
        "enable_socket_mismatch_warning",
        |p| &mut p.enable_socket_mismatch_warning,
        "Warns where the second of two own Route values names no listener.",
    );
    d.param(
        "custom_user_avp",
        |p| &mut p.custom_user_avp,
        "The AVP whose value add_username takes instead, such as \"$avp(user)\".",
    );
    d.param(
        "force_send_socket",
        |p| &mut p.force_send_socket,
        "Sends by the listener that a single own Route value names, as is always done for two.",
    );
    d.param(
        "ignore_sips",
        |p| &mut p.ignore_sips,
        "Writes \"sip:\" even where the Request-URI is \"sips:\".",
    );
    d.param(
        "sockname_mode",
        |p| &mut p.sockname_mode,
        "Writes the name of the listener as \"sn\", and finds the listener by it.",
    );
    d.param(
        "loose_route_mode",
        |p| &mut p.loose_route_mode,
        "What loose_route() does: 0 looks for strict routers too, 1 does not (loose_route_mode()).",
    );
}

fn declare_recording(d: &mut Decl<Rr>) {
    d.func(
        "record_route",
        ["params"],
        record_route,
        "Adds this server to the route set of the dialog; params such as \";a=1\" go to the end of the URI.",
    )
    .routes(REQUEST | FAILURE | BRANCH | EVENT)
    .kemi(0, "record_route")
    .kemi(1, "record_route_params")
    .example("record_route();");
    d.func(
        "record_route_preset",
        ["near", "far"],
        record_route_preset,
        "Adds Record-Route headers with these addresses: that of the side the request goes to, and that it came from.",
    )
    .routes(REQUEST | FAILURE | BRANCH | EVENT)
    .kemi(1, "record_route_preset_one")
    .kemi(2, "record_route_preset")
    .example("record_route_preset(\"192.0.2.1:5090;transport=tcp\");");
    d.func(
        "record_route_advertised_address",
        ["address"],
        record_route_advertised_address,
        "Adds a Record-Route header with this address, and one more where the transport changes.",
    )
    .routes(REQUEST | FAILURE | BRANCH | EVENT)
    .kemi(1, "record_route_advertised_address")
    .example("record_route_advertised_address(\"proxy.example.com\");");
    d.func(
        "remove_record_route",
        [],
        remove_record_route,
        "Takes back the Record-Route headers that this message was given here.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(0, "remove_record_route");
    d.func(
        "add_rr_param",
        ["param"],
        add_rr_param,
        "Adds a parameter such as \";nat=yes\" to the Record-Route headers of this message, earlier or later ones.",
    )
    .routes(REQUEST | FAILURE | BRANCH | EVENT)
    .kemi(1, "add_rr_param")
    .example("add_rr_param(\";nat=yes\");");
}

fn declare_routing(d: &mut Decl<Rr>) {
    d.func(
        "loose_route",
        [],
        loose_route,
        "Works off the Route headers: 1, 2 by a flow token, -1 without a usable route set, -2 for a forged token, -3 \
         where an initial request named only this server.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "loose_route")
    .example("if (has_totag()) { if (loose_route()) { forward(); exit; } }");
    d.func(
        "loose_route_preloaded",
        [],
        loose_route_preloaded,
        "Does the same; true only for an initial request that named only this server.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "loose_route_preloaded");
    d.func(
        "loose_route_mode",
        ["mode"],
        loose_route_mode,
        "Does the same; with 1 an own Request-URI is not taken for the work of a strict router.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "loose_route_mode")
    .example("loose_route_mode(\"1\");");
    d.func(
        "check_route_param",
        ["pattern"],
        check_route_param,
        "The parameters of the own Route value, from the first \";\" on, match the expression.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "check_route_param")
    .example("if (check_route_param(\"nat=yes\")) setflag(6);");
    d.func(
        "is_direction",
        ["direction"],
        is_direction,
        "The request goes \"downstream\", as the one that created the dialog, or \"upstream\", against it.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "is_direction")
    .example("if (is_direction(\"upstream\")) setflag(7);");
    d.func(
        "rr_next_hop_route",
        [],
        rr_next_hop_route,
        "The next hop is one that a Route header names, behind this server's own.",
    )
    .kemi(0, "next_hop_route");
}

fn declare_vars(d: &mut Decl<Rr>) {
    d.var(
        "route_uri",
        |_, cx, _| routes::first(cx).unwrap_or_default().into(),
        "The URI of the topmost Route value as received; empty without one.",
    );
    d.var(
        "fti",
        |m, cx, _| state::initial_tag(cx, m.setup(), false).into(),
        "The From tag of the request that created the dialog.",
    );
    d.var(
        "tti",
        |m, cx, _| state::initial_tag(cx, m.setup(), true).into(),
        "The To tag of the dialog, as its creating request has it.",
    );
    d.var_named(
        "rdir",
        Naming::Required,
        Named {
            parse: |name, _| match name {
                "id" => Ok(false),
                "name" => Ok(true),
                _ => Err(BindError::new(format!("$rdir({name}) is unknown"))
                    .help("write $rdir(id) or $rdir(name)")),
            },
            get: |m, cx, by_name, _| match (state::direction(cx, m.setup()), by_name) {
                (Direction::Downstream, true) => Value::from("downstream"),
                (Direction::Upstream, true) => Value::from("upstream"),
                (Direction::Downstream, false) => Value::Int(1),
                (Direction::Upstream, false) => Value::Int(2),
            },
            set: None,
            raw: false,
        },
        "The direction of the request: id is 1 for downstream and 2 for upstream.",
    );
}

impl Rr {
    fn setup(&self) -> &Setup {
        &self.service.setup
    }
}

fn record_route(m: &Rr, cx: &mut Cx, params: Option<Str>) -> Result<bool, Fault> {
    record::record_route(&m.service, cx, &params.unwrap_or_default()).map(|()| true)
}

fn record_route_preset(m: &Rr, cx: &mut Cx, near: Str, far: Option<Str>) -> Result<bool, Fault> {
    let addresses = std::iter::once(near).chain(far).collect();
    record::preset(&m.service, cx, addresses).map(|()| true)
}

fn record_route_advertised_address(m: &Rr, cx: &mut Cx, address: Str) -> Result<bool, Fault> {
    record::advertised(&m.service, cx, address).map(|()| true)
}

fn remove_record_route(_: &Rr, cx: &mut Cx) -> bool {
    record::remove(cx);
    true
}

fn add_rr_param(_: &Rr, cx: &mut Cx, param: Str) -> Result<bool, Fault> {
    record::add_param(cx, &param).map(|()| true)
}

fn loose_route(m: &Rr, cx: &mut Cx) -> Result<i64, Fault> {
    loose::loose_route(&m.service, cx, m.loose_only)
}

fn loose_route_preloaded(m: &Rr, cx: &mut Cx) -> Result<bool, Fault> {
    Ok(loose_route(m, cx)? == loose::PRELOADED)
}

fn loose_route_mode(m: &Rr, cx: &mut Cx, mode: i64) -> Result<i64, Fault> {
    loose::loose_route(&m.service, cx, mode == 1)
}

fn check_route_param(m: &Rr, cx: &mut Cx, pattern: Regex) -> bool {
    let params = state::params(cx, m.setup()).filter(|params| !params.is_empty());
    params.is_some_and(|params| pattern.is_match(&[b";", &*params].concat()))
}

fn is_direction(m: &Rr, cx: &mut Cx, direction: Str) -> Result<bool, Fault> {
    let wanted = match direction.to_ascii_lowercase().as_slice() {
        b"downstream" => Direction::Downstream,
        b"upstream" => Direction::Upstream,
        _ => {
            return Err(Fault::script(format!(
                "'{direction}' is no direction: write downstream or upstream"
            )));
        }
    };
    Ok(state::direction(cx, m.setup()) == wanted)
}

fn rr_next_hop_route(_: &Rr, cx: &mut Cx) -> bool {
    state::State::routed(cx).is_some_and(|routed| routed.next_hop)
}
