//! Module pv: the pseudo-variables of every script, and the functions that work on them.
//!
//! One file per group of variables; [`core`] holds those that need no module. Transformations have a folder of their own.

mod address;
pub mod avps;
pub(crate) mod branches;
pub mod clock;
pub mod core;
pub(crate) mod functions;
mod headers;
mod identity;
#[cfg(test)]
mod inventory;
mod message;
mod misc;
mod parties;
mod script_vars;
pub mod select;
mod text;
mod time;
mod uri;
mod via;
mod xavp;

use std::sync::Arc;

use kahea_module::{Decl, Env, InitError, Module, Str, Value};

pub use self::{core::CoreVars, identity::AuthorizedUser, message::ScriptFlags};

/// The module.
#[derive(Default)]
pub struct Pv {
    shared: Arc<script_vars::Shared>,
    aliases: avps::Aliases,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    shvset: Vec<(Str, Value)>,
    varset: Vec<(Str, Value)>,
    aliases: avps::Aliases,
}

impl Pv {
    /// Other names for AVPs (`avp_aliases`).
    pub(crate) fn aliases(&self) -> &avps::Aliases {
        &self.aliases
    }
}

impl Module for Pv {
    const NAME: &'static str = "pv";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        parameters(d);
        uri::declare(d);
        parties::declare(d);
        headers::declare(d);
        message::declare(d);
        address::declare(d);
        via::declare(d);
        time::declare(d);
        script_vars::declare(d);
        avps::declare(d);
        xavp::declare(d);
        branches::declare(d);
        identity::declare(d);
        misc::declare(d);
        functions::declare(d);
        crate::transforms::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let shared = env.shared.keep(script_vars::Shared::default);
        for (name, value) in params.shvset {
            if shared.find(&name).is_none() {
                shared.set(&name, value);
            }
        }
        let settings = script_vars::slots(params.varset, &env.bind)?;
        if !settings.is_empty() {
            env.hooks
                .worker_start
                .push(Arc::new(move |worker| script_vars::fill(worker, &settings)));
        }
        Ok(Pv {
            shared,
            aliases: params.aliases,
        })
    }
}

fn parameters(d: &mut Decl<Pv>) {
    d.param_fn(
        "shvset",
        "string",
        |params, value, _| {
            params.shvset.push(script_vars::parse_setting(value)?);
            Ok(())
        },
        "Gives `$shv(name)` its first value: `name=i:1` or `name=s:text`; may be given several times. A reload keeps values that are there.",
    );
    d.param_fn(
        "varset",
        "string",
        |params, value, _| {
            params.varset.push(script_vars::parse_setting(value)?);
            Ok(())
        },
        "Gives `$var(name)` its first value in every worker: `name=i:1` or `name=s:text`; may be given several times.",
    );
    d.param_fn(
        "avp_aliases",
        "string",
        |params, value, _| {
            params
                .aliases
                .extend(avps::parse_aliases(&value.str_or_empty().text())?);
            Ok(())
        },
        "Other names for AVPs, `email=s:email_addr;tmp=i:100`.",
    );
}
