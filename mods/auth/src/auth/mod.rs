//! Module `auth`: digest authentication of requests (RFC 3261 section 22, RFC 7616, RFC 8760).
//!
//! [`Service`] is what the modules that know passwords build on.

mod challenge;
mod counts;
mod functions;
mod nonce;
mod params;
mod service;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use kahea_module::{Decl, Env, FAILURE, InitError, Module, REPLY, REQUEST};

pub use self::{
    params::Params,
    service::{How, Secret, Service, Shown, Side, Verdict},
};

/// The module's instance.
pub struct Auth {
    pub(crate) service: Arc<Service>,
}

impl Module for Auth {
    const NAME: &'static str = "auth";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        checks(d);
        challenges(d);
        credentials(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Auth, InitError> {
        let service = Arc::new(params.service(env)?);
        env.provide(service.clone());
        Ok(Auth { service })
    }
}

fn checks(d: &mut Decl<Auth>) {
    let text = "Checks the credentials of Authorization against a password or, with flag 1, an HA1: 1, -1 failed, -2 wrong password, -4 stale nonce, -5 no credentials, -6 nonce used.";
    d.func(
        "pv_www_authenticate",
        ["realm", "password", "flags", "method"],
        functions::pv_www,
        text,
    )
    .routes(REQUEST)
    .kemi(3, "pv_www_authenticate")
    .kemi(4, "pv_www_authenticate_method")
    .example(
        "if (!pv_www_authenticate(\"$td\", \"123abc\", \"0\")) { www_challenge(\"$td\", \"1\"); exit; }",
    );
    d.func(
        "pv_www_authorize",
        ["realm", "password", "flags", "method"],
        functions::pv_www,
        text,
    )
    .routes(REQUEST);
    let text =
        "Checks the credentials of Proxy-Authorization as pv_www_authenticate() does those of Authorization.";
    d.func(
        "pv_proxy_authenticate",
        ["realm", "password", "flags"],
        functions::pv_proxy,
        text,
    )
    .routes(REQUEST)
    .kemi(3, "pv_proxy_authenticate");
    d.func(
        "pv_proxy_authorize",
        ["realm", "password", "flags"],
        functions::pv_proxy,
        text,
    )
    .routes(REQUEST);
    d.func(
        "pv_auth_check",
        ["realm", "password", "flags", "checks"],
        functions::pv_auth_check,
        "Checks the credentials: those of a registrar for REGISTER, else of a proxy; -8 where checks is 1 and the user is not the one of From (and To).",
    )
    .routes(REQUEST)
    .kemi(4, "pv_auth_check")
    .example("pv_auth_check(\"$fd\", \"$var(password)\", \"0\", \"1\");");
    d.func(
        "auth_algorithm",
        ["algorithms"],
        challenge::auth_algorithm,
        "Sets the algorithms for the rest of this message in place of the parameter algorithm; a list is offered in its order.",
    )
    .routes(REQUEST)
    .kemi(1, "auth_algorithm")
    .example("auth_algorithm(\"SHA-256\");");
}

fn challenges(d: &mut Decl<Auth>) {
    let routes = REQUEST | FAILURE | REPLY;
    d.func(
        "www_challenge",
        ["realm", "flags", "algorithms"],
        challenge::www_challenge,
        "Replies 401 with a challenge; flags: 1 qop=auth, 2 qop=auth-int, 4 no 500 where it fails, 16 stale=true; with a list of algorithms one challenge for each.",
    )
    .routes(routes)
    .kemi(2, "www_challenge")
    .example("www_challenge(\"$td\", \"1\");");
    d.func(
        "proxy_challenge",
        ["realm", "flags", "algorithms"],
        challenge::proxy_challenge,
        "Replies 407 with a challenge; its arguments are those of www_challenge().",
    )
    .routes(routes)
    .kemi(2, "proxy_challenge");
    d.func(
        "auth_challenge",
        ["realm", "flags", "algorithms"],
        challenge::auth_challenge,
        "Replies 401 to REGISTER and 407 to others, with a challenge; its arguments are those of www_challenge().",
    )
    .routes(routes)
    .kemi(2, "auth_challenge");
    d.func(
        "auth_get_www_authenticate",
        ["realm", "flags", "variable"],
        functions::auth_get_www_authenticate,
        "Puts the challenge of www_challenge() into a variable instead of sending it.",
    )
    .routes(REQUEST)
    .example("auth_get_www_authenticate(\"$fd\", \"0\", \"$var(wauth)\");");
    d.kemi_func(
        "auth",
        "auth_get_www_authenticate",
        ["realm", "flags", "variable"],
        functions::kemi_get_www_authenticate,
        "Puts the challenge of www_challenge() into a variable instead of sending it.",
    );
}

fn credentials(d: &mut Decl<Auth>) {
    d.func(
        "has_credentials",
        ["realm"],
        functions::has_credentials,
        "The request has credentials for this realm, be they right or not.",
    )
    .routes(REQUEST)
    .kemi(1, "has_credentials");
    d.func(
        "consume_credentials",
        [],
        functions::consume_credentials,
        "Takes the credentials that were checked here out of the request that goes on.",
    )
    .routes(REQUEST)
    .kemi(0, "consume_credentials");
}
