//! Module `nathelper`: recognising clients behind NATs, rewriting what they say about themselves, and keepalives.

mod alias;
mod contact;
mod ping;
mod received;
mod sdp;
mod uac_test;
mod vars;

use std::sync::Arc;

use kahea_module::{
    BRANCH, Decl, EVENT, Env, FAILURE, InitError, Module, REPLY, REQUEST, RouteKinds, Str, Var,
};

use crate::address::Ranges;

/// The module's instance.
pub struct NatHelper {
    ranges: Ranges,
    alias_name: Str,
    received_avp: Option<Var>,
    /// A whole line with its end; empty where no mark is set.
    mark: Str,
    old_address: bool,
    pings: Arc<ping::Pings>,
}

/// Its parameters.
pub struct Params {
    nat_addr_mode: i64,
    alias_name: Str,
    received_avp: Option<Var>,
    nortpproxy_str: Str,
    append_sdp_oldmediaip: bool,
    ping: ping::Params,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            nat_addr_mode: 1,
            alias_name: Str::from_static("alias"),
            received_avp: None,
            nortpproxy_str: Str::from_static("a=nortpproxy:yes\r\n"),
            append_sdp_oldmediaip: true,
            ping: ping::Params::default(),
        }
    }
}

impl Module for NatHelper {
    const NAME: &'static str = "nathelper";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        ping::declare(d);
        declare_tests(d);
        declare_contact(d);
        declare_alias(d);
        declare_body(d);
        d.var(
            "rr_count",
            vars::record_routes,
            "The number of Record-Route values of the message as it came.",
        );
        d.var(
            "rr_top_count",
            vars::topmost_record_routes,
            "2 where the topmost Record-Route is one of a pair (r2), 1 where it is not, 0 where there is none.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<NatHelper, InitError> {
        if params.alias_name.is_empty() || !params.alias_name.iter().all(|byte| is_token_byte(*byte)) {
            return Err(InitError::new(format!(
                "alias_name '{}' is no name of a parameter",
                params.alias_name
            )));
        }
        if let Some(var) = &params.received_avp
            && !var.is_writable()
        {
            return Err(
                InitError::new(format!("received_avp {} cannot be assigned", var.text()))
                    .help("name an AVP, the same as for the module registrar: \"$avp(RECEIVED)\""),
            );
        }
        let pings = ping::start(params.ping, env)?;
        Ok(NatHelper {
            ranges: Ranges::of_mode(params.nat_addr_mode),
            alias_name: params.alias_name,
            received_avp: params.received_avp,
            mark: params.nortpproxy_str,
            old_address: params.append_sdp_oldmediaip,
            pings,
        })
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

fn declare_params(d: &mut Decl<NatHelper>) {
    d.param(
        "nat_addr_mode",
        |p| &mut p.nat_addr_mode,
        "Which addresses nat_uac_test() and is_rfc1918() take for private: 0 private and carrier-grade ranges, 1 also 192.0.0.0/24.",
    );
    d.param(
        "alias_name",
        |p| &mut p.alias_name,
        "The name of the URI parameter that holds the real address of a contact.",
    );
    d.param_fn(
        "received_avp",
        "string",
        |p, value, bind| {
            p.received_avp = Some(bind.var(&value.str_or_empty().text())?);
            Ok(())
        },
        "The variable that fix_nated_register() fills; the same as that of registrar.",
    );
    d.param(
        "nortpproxy_str",
        |p| &mut p.nortpproxy_str,
        "The line that marks a rewritten session description, with its line end; empty for none.",
    );
    d.param(
        "append_sdp_oldmediaip",
        |p| &mut p.append_sdp_oldmediaip,
        "Keeps replaced addresses in lines a=oldmediaip.",
    );
}

/// Wherever a message is about to leave.
fn on_the_way() -> RouteKinds {
    REQUEST | REPLY | BRANCH | FAILURE | EVENT
}

fn declare_tests(d: &mut Decl<NatHelper>) {
    d.func(
        "nat_uac_test",
        ["flags"],
        uac_test::nat_uac_test,
        "Any of these tests finds a NAT: 1 private Contact, 2 Via address is not the source, 4 private Via, 8 private SDP, 16 Via port is not the source's, 32 private source, 64 WebSocket, 128 Contact port is not the source's, 256 SDP address is not the source, 512 the targets differ.",
    )
    .routes(on_the_way())
    .kemi(1, "nat_uac_test")
    .example("if (nat_uac_test(\"19\")) { force_rport(); }");
    d.func(
        "is_rfc1918",
        ["address"],
        uac_test::is_rfc1918,
        "The address is a private one; -2 for an empty text.",
    )
    .kemi(1, "is_rfc1918");
}

fn declare_contact(d: &mut Decl<NatHelper>) {
    d.func(
        "fix_nated_contact",
        [],
        contact::fix_nated_contact,
        "Puts the source address and port into the Contact.",
    )
    .routes(on_the_way())
    .kemi(0, "fix_nated_contact")
    .example("fix_nated_contact();");
    d.func(
        "add_rcv_param",
        ["into_uri"],
        received::add_rcv_param,
        "Adds a parameter \"received\" with the source address to every contact, or to its URI where the argument is not 0.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "add_rcv_param");
    d.func(
        "fix_nated_register",
        [],
        received::fix_nated_register,
        "Leaves the source address in received_avp for registrar to store.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "fix_nated_register");
}

fn declare_alias(d: &mut Decl<NatHelper>) {
    d.func(
        "set_contact_alias",
        ["trim"],
        alias::set_contact_alias,
        "Adds the source address to the Contact URI as its alias; with 1 an alias that is there already goes.",
    )
    .routes(on_the_way())
    .kemi(0, "set_contact_alias")
    .example("set_contact_alias();");
    d.kemi_func(
        "nathelper",
        "set_contact_alias_trim",
        [],
        alias::set_contact_alias_trim,
        "As set_contact_alias(1).",
    );
    d.func(
        "add_contact_alias",
        [],
        alias::add_contact_alias,
        "Adds the source address to the Contact URI as its alias unless the URI has it already (2).",
    )
    .routes(on_the_way())
    .kemi(0, "add_contact_alias");
    d.func(
        "add_contact_alias",
        ["address", "port", "protocol"],
        alias::add_contact_alias_of,
        "Adds this address to the Contact URI as its alias; 2 without a Contact.",
    )
    .routes(on_the_way())
    .kemi(3, "add_contact_alias_addr");
    d.func(
        "handle_ruri_alias",
        ["mode"],
        alias::handle_ruri_alias,
        "Takes the first alias off the Request-URI, with a mode other than 0 the last, and sends the request there; 2 where there is none.",
    )
    .routes(REQUEST | BRANCH | FAILURE | EVENT)
    .kemi(0, "handle_ruri_alias")
    .kemi(1, "handle_ruri_alias_mode")
    .example("handle_ruri_alias();");
    d.func(
        "set_alias_to_pv",
        ["target"],
        alias::set_alias_to_pv,
        "Puts the alias of the Contact into a variable, as a SIP URI.",
    )
    .routes(on_the_way())
    .kemi(1, "set_alias_to_pv");
}

fn declare_body(d: &mut Decl<NatHelper>) {
    d.func(
        "fix_nated_sdp",
        ["flags", "address"],
        sdp::fix_nated_sdp,
        "Rewrites the session description: 1 adds a=direction:active, 2 media addresses, 4 adds the mark, 8 the origin's address; 2 where no address was replaced.",
    )
    .routes(on_the_way())
    .kemi(1, "fix_nated_sdp")
    .kemi(2, "fix_nated_sdp_ip")
    .example("fix_nated_sdp(\"10\");");
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn module() -> NatHelper {
        NatHelper {
            ranges: Ranges::default(),
            alias_name: "alias".into(),
            received_avp: None,
            mark: Str::EMPTY,
            old_address: true,
            pings: Arc::new(ping::Pings::for_tests()),
        }
    }
}
