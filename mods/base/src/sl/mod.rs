//! Module `sl`: replies without a transaction, and the filter for the ACKs that come back to them.

mod ack;
mod redirect;
mod reply;
mod service;
mod stats;

use std::sync::Arc;

use kahea_module::{
    Bind, BindError, Cx, Decl, EVENT, Env, FAILURE, Index, InitError, Module, Named, Naming, REPLY, REQUEST,
    Ret, RouteId, Str, Value, proxy,
};
use kahea_sip::{Limits, Message};

use self::stats::Counters;

pub use self::{
    redirect::{Rich, contact},
    reply::status,
    service::{SlReply, Stateful},
};

/// The module's instance.
pub struct Sl {
    default_code: u16,
    default_reason: Str,
    rich: Rich,
    counters: Arc<Counters>,
    /// The transaction layer, where it is loaded and `bind_tm` allows.
    stateful: Option<Arc<Stateful>>,
}

/// Its parameters.
pub struct Params {
    default_code: i64,
    default_reason: Str,
    bind_tm: bool,
    rich_redirect: i64,
    event_callback_fl_ack: Option<Str>,
    event_callback_lres_sent: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            default_code: 500,
            default_reason: Str::from_static("Internal Server Error"),
            bind_tm: true,
            rich_redirect: 0,
            event_callback_fl_ack: None,
            event_callback_lres_sent: None,
        }
    }
}

impl Module for Sl {
    const NAME: &'static str = "sl";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_functions(d);
        d.var_named(
            "ltt",
            Naming::Required,
            Named { parse: parse_ltt, get: ltt, set: None, raw: false },
            "The To-tag of a reply made here: s of a stateless one, t of the transaction's, x of the transaction's or else stateless.",
        );
        d.rpc("sl.stats", stats::rpc, "Counts of the stateless replies by code.");
        d.event(
            "sl:filtered-ack",
            "The ACK to a reply made here came and is absorbed.",
        );
        d.event("sl:local-response", "A stateless reply was sent.");
        stats::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Sl, InitError> {
        let default_code = u16::try_from(params.default_code)
            .ok()
            .filter(|code| (100..700).contains(code));
        let default_code = default_code.ok_or_else(|| {
            InitError::new(format!(
                "default_code is {}, which is no status code",
                params.default_code
            ))
            .help("give a code from 100 to 699")
        })?;
        let counters = Arc::new(Counters::new(&env.shared.stats));
        let filtered = event(env, "sl:filtered-ack", params.event_callback_fl_ack);
        let sent = event(env, "sl:local-response", params.event_callback_lres_sent);
        let stateful = params.bind_tm.then(|| Stateful::of(env));
        ack::filter(env, counters.clone(), filtered);
        if let Some(route) = sent {
            env.hooks
                .local_reply
                .push(Arc::new(move |cx: &mut Cx| local_response(cx, route)));
        }
        Ok(Sl {
            default_code,
            default_reason: params.default_reason,
            rich: Rich::from_bits(params.rich_redirect),
            counters,
            stateful,
        })
    }
}

/// Runs the route on the reply that was sent, in place of its request.
fn local_response(cx: &mut Cx, route: RouteId) -> Ret {
    let reply = cx.sending.as_ref().map(|sending| sending.data.clone());
    let Some(Ok(reply)) = reply.map(|data| Message::parse(data, &Limits::default())) else {
        return Ret::TRUE;
    };
    let request = std::mem::replace(&mut cx.msg, reply);
    let edits = std::mem::take(&mut cx.edits);
    let outcome = cx.worker.clone().engine.run_now(cx, route);
    cx.msg = request;
    cx.edits = edits;
    outcome.code.into()
}

/// The event route, or the function of an embedded language that the parameter names, where it is known as one.
fn event(env: &Env<'_>, name: &str, callback: Option<Str>) -> Option<RouteId> {
    match callback {
        Some(function) => env
            .event_route(&function.text())
            .or_else(|| env.event_route(name)),
        None => env.event_route(name),
    }
}

fn declare_params(d: &mut Decl<Sl>) {
    d.param(
        "default_code",
        |p| &mut p.default_code,
        "The code of replies for which the script gives none.",
    );
    d.param(
        "default_reason",
        |p| &mut p.default_reason,
        "The reason of replies for which the script gives none.",
    );
    d.param(
        "bind_tm",
        |p| &mut p.bind_tm,
        "send_reply() uses the transaction where there is one.",
    );
    d.param(
        "rich_redirect",
        |p| &mut p.rich_redirect,
        "What the contacts of a redirection carry: 1 branch flags, 2 the path as a Route header.",
    );
    d.param(
        "event_callback_fl_ack",
        |p| &mut p.event_callback_fl_ack,
        "The function of an embedded language to run in place of event_route[sl:filtered-ack].",
    );
    d.param(
        "event_callback_lres_sent",
        |p| &mut p.event_callback_lres_sent,
        "The function of an embedded language to run in place of event_route[sl:local-response].",
    );
}

fn declare_functions(d: &mut Decl<Sl>) {
    let anywhere = REQUEST | FAILURE | REPLY | EVENT;
    d.func(
        "sl_send_reply",
        ["code", "reason"],
        reply::sl_send_reply,
        "Replies without a transaction.",
    )
    .routes(REQUEST | EVENT)
    .kemi(2, "sl_send_reply")
    .example("sl_send_reply(\"404\", \"Not found\");");
    d.func(
        "sl_reply",
        ["code", "reason"],
        reply::sl_send_reply,
        "Replies without a transaction.",
    )
    .routes(REQUEST | EVENT);
    d.func(
        "send_reply",
        ["code", "reason"],
        reply::send_reply,
        "Replies: in the transaction where there is one.",
    )
    .routes(anywhere)
    .kemi(2, "send_reply")
    .example("send_reply(\"403\", \"Not $rU\");");
    d.func(
        "send_reply_mode",
        ["code", "reason", "mode"],
        reply::send_reply_mode,
        "Replies as send_reply(); mode 1: opens no connection for it, 2: closes the connection behind it.",
    )
    .routes(anywhere)
    .kemi(3, "send_reply_mode");
    d.func(
        "sl_reply_error",
        [],
        reply::sl_reply_error,
        "Replies with an error, without a transaction.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "sl_reply_error");
    d.func(
        "send_reply_error",
        [],
        reply::send_reply_error,
        "Replies with an error: in the transaction where there is one.",
    )
    .routes(anywhere)
    .kemi(0, "send_reply_error");
    d.func(
        "sl_forward_reply",
        ["code", "reason"],
        reply::sl_forward_reply,
        "Sends the reply on, with another code of the same class and another reason where given.",
    )
    .routes(REPLY)
    .kemi(2, "sl_forward_reply")
    .waits();
}

/// The kinds of `$ltt()`.
enum Ltt {
    Stateless,
    Transaction,
    Either,
}

fn parse_ltt(name: &str, _: &dyn Bind) -> Result<Ltt, BindError> {
    match name {
        "s" => Ok(Ltt::Stateless),
        "t" => Ok(Ltt::Transaction),
        "x" => Ok(Ltt::Either),
        _ => Err(BindError::new(format!("$ltt has no kind '{name}'"))
            .help("write s (stateless), t (transaction) or x (transaction, or else stateless)")),
    }
}

fn ltt(m: &Sl, cx: &mut Cx, kind: &Ltt, _: Index) -> Value {
    if !cx.msg.is_request() {
        return Value::Null;
    }
    if let Some(tag) = cx.to().ok().and_then(|to| to.tag()) {
        return Value::Str(cx.msg.buffer().share(tag));
    }
    let transaction = m.service().and_then(|tm| tm.local_tag(cx));
    match kind {
        Ltt::Stateless => Value::Str(proxy::local_tag(cx)),
        Ltt::Transaction => transaction.into(),
        Ltt::Either => Value::Str(transaction.unwrap_or_else(|| proxy::local_tag(cx))),
    }
}

impl Sl {
    fn service(&self) -> Option<&dyn SlReply> {
        self.stateful.as_ref().and_then(|slot| slot.get())
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{registry::ModuleDecl, testing::Server};

    use super::*;

    /// A module as `init` leaves it, without a transaction layer.
    pub(super) fn module(server: &Server) -> Sl {
        Sl {
            default_code: 500,
            default_reason: Str::from_static("Internal Server Error"),
            rich: Rich::from_bits(3),
            counters: Arc::new(Counters::new(&server.worker.config.shared.stats)),
            stateful: None,
        }
    }

    #[test]
    fn the_tag_of_replies_is_known_before_they_are_sent() {
        let server = Server::default();
        let (m, mut cx) = (module(&server), server.invite());
        let tag = ltt(&m, &mut cx, &Ltt::Either, Index::None);
        assert_eq!(tag, Value::Str(proxy::local_tag(&cx)));
        assert_eq!(ltt(&m, &mut cx, &Ltt::Transaction, Index::None), Value::Null);
        let mut cx = server.message("BYE sip:a@b SIP/2.0\nTo: <sip:a@b>;tag=x7\n\n");
        assert_eq!(ltt(&m, &mut cx, &Ltt::Stateless, Index::None), "x7".into());
        assert!(parse_ltt("y", &*cx.bind()).is_err());
    }

    #[test]
    fn every_statistic_and_function_is_declared() {
        let decl = ModuleDecl::of::<Sl>();
        assert_eq!(decl.stats.len(), 24);
        assert!(decl.func("sl_forward_reply", 0).is_some() && decl.func("sl_forward_reply", 2).is_some());
    }
}
