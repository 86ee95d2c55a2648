//! Module `registrar`: takes REGISTER requests, and finds the contacts of users.

mod aor;
mod live;
mod lookup;
mod methods;
mod params;
mod refusal;
mod registered;
mod reply;
mod request;
mod save;
mod socket;
mod table;
mod ulc;
mod xavps;

use std::sync::Arc;

use kahea_mods_base::sl::Stateful;
use kahea_module::{
    Decl, EVENT, Env, FAILURE, InitError, Module, Named, Naming, REPLY, REQUEST, stats::Counter,
};

use self::{
    live::LiveCache,
    params::{Fixed, Params},
};
use crate::usrloc::Service;

/// The module's instance.
pub struct Registrar {
    inner: Arc<Inner>,
}

/// What calls that wait hold on to.
pub(crate) struct Inner {
    service: Arc<Service>,
    fixed: Fixed,
    live: Arc<LiveCache>,
    stateful: Arc<Stateful>,
    counters: Counters,
}

struct Counters {
    accepted: Counter,
    rejected: Counter,
}

impl Module for Registrar {
    const NAME: &'static str = "registrar";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        declare_save(d);
        declare_lookup(d);
        declare_questions(d);
        declare_profiles(d);
        d.stat("accepted_regs", "Registrations that were taken.");
        d.stat("rejected_regs", "Registrations that were refused.");
        for (name, doc) in live::GAUGES {
            d.stat(name, doc);
        }
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Registrar, InitError> {
        let service = env.service::<Service>().ok_or_else(|| {
            InitError::new("registrar needs the module usrloc, or p_usrloc").help("load it before registrar")
        })?;
        let fixed = params.fixed(&*env.bind)?;
        live::declare(&params, env);
        let callback = params.event_callback.as_ref().filter(|name| !name.is_empty());
        if let Some(route) = callback.and_then(|name| env.event_route(&name.text())) {
            service.on_expired(route);
        }
        Ok(Registrar {
            inner: Arc::new(Inner {
                service,
                fixed,
                live: LiveCache::new(&env.shared.stats, env.settings),
                stateful: Stateful::of(env),
                counters: Counters {
                    accepted: env.counter("accepted_regs"),
                    rejected: env.counter("rejected_regs"),
                },
            }),
        })
    }
}

fn declare_save(d: &mut Decl<Registrar>) {
    d.func(
        "save",
        ["domain", "flags", "uri"],
        save::save,
        "Takes a REGISTER and answers it; flags: 1 in memory only, 2 without an answer, 4 one contact for the user, \
         8 without chance in the expiry, 16 with the answer's headers kept. 1 inserted, 2 updated, 3 deleted, 4 listed, \
         -1 refused, -2 too many contacts.",
    )
    .routes(REQUEST | FAILURE | REPLY | EVENT)
    .kemi(2, "save")
    .kemi(3, "save_uri")
    .waits()
    .example("if (!save(\"location\")) sl_reply_error();");
    d.func(
        "reg_send_reply",
        [],
        save::reg_send_reply,
        "Sends the answer that save() with flag 2 did not.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(0, "reg_send_reply")
    .example("save(\"location\", \"0x02\"); reg_send_reply();");
    d.func(
        "add_sock_hdr",
        ["hdr_name"],
        socket::add_sock_hdr,
        "Adds a header with the socket that the request came to, for another registrar.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "add_sock_hdr")
    .example("add_sock_hdr(\"Sock-Info\");");
    d.kemi_func(
        "registrar",
        "set_q_override",
        ["new_q"],
        save::set_q_override,
        "The q of the contacts that save() takes with this message.",
    );
}

fn declare_lookup(d: &mut Decl<Registrar>) {
    d.func(
        "lookup",
        ["domain", "uri"],
        lookup::lookup,
        "Makes the contacts of the Request-URI, or of this URI, the destination; -1 none, -2 none that allows the method, \
         -3 an error.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(1, "lookup")
    .kemi(2, "lookup_uri")
    .waits()
    .example("if (!lookup(\"location\")) sl_send_reply(\"404\", \"Not Found\");");
    d.func(
        "lookup_to_dset",
        ["domain", "uri"],
        lookup::lookup_to_dset,
        "Adds the contacts of the Request-URI, or of this URI, as branches; return codes as lookup().",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(2, "lookup_to_dset")
    .waits();
    d.func(
        "lookup_branches",
        ["domain"],
        lookup::lookup_branches,
        "As lookup(), and for each branch that has nothing but a URI.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(1, "lookup_branches")
    .waits();
    d.func(
        "lookup_xavp",
        ["domain", "uri", "rxname", "cxname"],
        ulc::lookup_xavp,
        "Gives the record of a user as one xavp and its contacts as others, with the attributes of $ulc(); the message is \
         not changed.",
    )
    .kemi(4, "lookup_xavp")
    .waits();
}

fn declare_questions(d: &mut Decl<Registrar>) {
    d.func(
        "registered",
        ["domain", "uri", "match_option", "match_action"],
        registered::registered,
        "The user has a contact; match_option: 1 of that Call-ID, 2 received address, 4 URI, which xavp_cfg names; \
         match_action: 1 gives the fields of xavp_contact, 2 no details in xavp_rcd.",
    )
    .kemi(1, "registered")
    .kemi(2, "registered_uri")
    .kemi(3, "registered_flags")
    .kemi(4, "registered_action")
    .waits()
    .example("if (registered(\"location\", \"$fu\")) xlog(\"known\\n\");");
    d.func(
        "unregister",
        ["domain", "uri", "ruid"],
        registered::unregister,
        "Removes the contacts of a user, or the one with that identifier; -1 no address of record, -2 an error, -3 no such \
         contact.",
    )
    .kemi(2, "unregister")
    .kemi(3, "unregister_ruid")
    .waits()
    .example("unregister(\"location\", \"$ru\");");
    d.func(
        "reg_from_user",
        ["domain", "uri", "mode"],
        registered::reg_from_user,
        "The message came from the address of one of the user's contacts; mode: 0, or the sum of 1 from any port, 2 over any \
         transport.",
    )
    .kemi(3, "reg_from_user")
    .waits();
}

fn declare_profiles(d: &mut Decl<Registrar>) {
    d.func(
        "reg_fetch_contacts",
        ["domain", "uri", "profile"],
        ulc::reg_fetch_contacts,
        "Fills a profile of $ulc() with the contacts of a user; -1 where there are none.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(3, "reg_fetch_contacts")
    .waits()
    .example("if (reg_fetch_contacts(\"location\", \"$fu\", \"caller\")) xlog(\"$ulc(caller=>count)\\n\");");
    d.func(
        "reg_free_contacts",
        ["profile"],
        ulc::reg_free_contacts,
        "Empties a profile of $ulc().",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .kemi(1, "reg_free_contacts");
    d.var_named(
        "ulc",
        Naming::Required,
        Named {
            parse: ulc::parse,
            get: ulc::get,
            set: Some(ulc::set),
            raw: false,
        },
        "An attribute of the contacts in a profile, $(ulc(profile=>attribute)[n]).",
    );
    d.kemi_func(
        "registrar",
        "ulc_rget",
        ["profile", "attribute"],
        ulc::ulc_rget,
        "An attribute of a profile of $ulc().",
    );
    d.kemi_func(
        "registrar",
        "ulc_cget",
        ["profile", "attribute", "index"],
        ulc::ulc_cget,
        "An attribute of a contact in a profile of $ulc().",
    );
}
