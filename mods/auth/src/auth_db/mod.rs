//! Module `auth_db`: digest authentication of users whose passwords are in a database.

mod check;
mod params;
mod table;

use std::sync::Arc;

use kahea_module::{ANY, Decl, Env, InitError, Module, REQUEST};

use self::check::Store;

pub use self::params::Params;
pub(crate) use self::params::loaded;

/// The module's instance.
pub struct AuthDb {
    store: Arc<Store>,
}

impl Module for AuthDb {
    const NAME: &'static str = "auth_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<AuthDb, InitError> {
        Ok(AuthDb {
            store: Arc::new(params.store(env)?),
        })
    }
}

fn functions(d: &mut Decl<AuthDb>) {
    let text = "Checks the credentials of Authorization against a table: 1, -1 failed, -2 wrong password, -3 no such user, -4 stale nonce, -5 no credentials, -6 nonce used.";
    d.func("www_authenticate", ["realm", "table", "method"], check::www, text)
        .routes(REQUEST)
        .kemi(2, "www_authenticate")
        .kemi(3, "www_authenticate_method")
        .waits()
        .example("if (!www_authenticate(\"$td\", \"subscriber\")) { exit; }");
    d.func("www_authorize", ["realm", "table"], check::www_authorize, text)
        .routes(REQUEST)
        .waits();
    let text = "Checks the credentials of Proxy-Authorization against a table.";
    d.func("proxy_authenticate", ["realm", "table"], check::proxy, text)
        .routes(REQUEST)
        .waits();
    d.func("proxy_authorize", ["realm", "table"], check::proxy, text)
        .routes(REQUEST)
        .waits();
    d.func(
        "auth_check",
        ["realm", "table", "flags"],
        check::auth_check,
        "Checks the credentials: those of a registrar for REGISTER, else of a proxy; -8 where flag 1 is set and the user is another than the request is about. Flag 2: not for INVITE, BYE, PRACK, UPDATE and MESSAGE.",
    )
    .routes(REQUEST)
    .kemi(3, "auth_check")
    .waits()
    .example("if (!auth_check(\"$fd\", \"subscriber\", \"1\")) { exit; }");
    d.func(
        "is_subscriber",
        ["uri", "table", "flags"],
        check::is_subscriber,
        "The table has the user of the URI, -2 where not; flags: 1 the domain counts too, 2 nothing is loaded.",
    )
    .routes(ANY)
    .kemi(3, "is_subscriber")
    .waits()
    .example("if (!is_subscriber(\"$ru\", \"subscriber\", \"3\")) { exit; }");
}
