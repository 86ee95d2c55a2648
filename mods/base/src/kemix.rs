//! Module `kemix`: values of the message for embedded languages, `KSR.kx.*`, without a variable's name at run time.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use kahea_module::{
    Bind, Cx, Decl, Env, Index, InitError, Module, Str, Value, Var,
    registry::ModuleDecl,
    ret::Given,
    value::parse_int,
    var::{IndexSource, VarUse},
};

use crate::pv::Pv;

/// The module.
pub struct Kemix {
    /// In the order of [`VALUES`].
    vars: Vec<Var>,
}

/// What stands for a value that is not there.
#[derive(Clone, Copy)]
enum Absent {
    /// Null.
    Null,
    /// The empty text (`gete_`).
    Empty,
    /// `<null>` (`getw_`).
    Shown,
}

/// The functions with the variable that each is; those with a dash exist as `get_` only, others as `gete_` and `getw_`
/// as well.
const VALUES: [(&str, &str, &str); 38] = [
    ("-ruri", "$ru", "The Request-URI."),
    ("ruser", "$rU", "The user of the Request-URI."),
    ("rhost", "$rd", "The host of the Request-URI."),
    ("-ouri", "$ou", "The Request-URI as it was received."),
    ("-furi", "$fu", "The URI in From."),
    ("fuser", "$fU", "The user in From."),
    ("fhost", "$fd", "The host in From."),
    ("-turi", "$tu", "The URI in To."),
    ("tuser", "$tU", "The user in To."),
    ("thost", "$td", "The host in To."),
    ("duri", "$du", "The destination URI."),
    ("cturi", "$ctu", "The URI of the first Contact."),
    ("-nhuri", "$nh(u)", "The URI of the next hop."),
    ("-srcuri", "$su", "Where the message came from, as a URI."),
    (
        "-srcaddr_sock",
        "$sas",
        "Where the message came from, as proto:address:port.",
    ),
    ("ua", "$ua", "The value of User-Agent."),
    ("-srcip", "$si", "The address that the message came from."),
    ("-srcport", "$sp", "The port that the message came from."),
    (
        "-send_sock",
        "$fs",
        "The listener that the message is to leave from.",
    ),
    (
        "-send_sock_name",
        "$fsn",
        "The name of the listener that the message is to leave from.",
    ),
    (
        "-send_sock_port",
        "$fsp",
        "The port of the listener that the message is to leave from.",
    ),
    ("-rcvip", "$Ri", "The address that the message came to."),
    (
        "-rcv_sock_name",
        "$Rn",
        "The name of the listener that the message came to.",
    ),
    ("-rcvport", "$Rp", "The port that the message came to."),
    (
        "-rcvadvip",
        "$RAi",
        "The advertised address of the listener that the message came to.",
    ),
    (
        "-rcvadvport",
        "$RAp",
        "The advertised port of the listener that the message came to.",
    ),
    ("-rcvaddr_sock", "$Ru", "The listener that the message came to."),
    ("-proto", "$proto", "The transport that the message came over."),
    (
        "-protoid",
        "$prid",
        "The number of the transport that the message came over.",
    ),
    ("au", "$au", "The user of the credentials."),
    ("-method", "$rm", "The method."),
    ("body", "$rb", "The body."),
    ("-bodylen", "$bs", "The size of the body."),
    ("-timestamp", "$TS", "Seconds since 1970."),
    ("-callid", "$ci", "The Call-ID."),
    (
        "-conid",
        "$conid",
        "The number of the connection that the message came over.",
    ),
    ("-msgbuf", "$mb", "The message as it was received."),
    ("-msglen", "$ml", "The size of the message as it was received."),
];

impl Module for Kemix {
    const NAME: &'static str = "kemix";
    type Params = ();

    fn declare(d: &mut Decl<Kemix>) {
        for (at, (name, _, doc)) in VALUES.iter().enumerate() {
            match name.strip_prefix('-') {
                Some(alone) => value(d, "get_", alone, at, Absent::Null, doc),
                None => {
                    value(d, "get_", name, at, Absent::Null, doc);
                    value(d, "gete_", name, at, Absent::Empty, doc);
                    value(d, "getw_", name, at, Absent::Shown, doc);
                }
            }
        }
        of_messages(d);
        of_configuration(d);
    }

    fn init((): (), env: &mut Env<'_>) -> Result<Kemix, InitError> {
        let pv = ModuleDecl::of::<Pv>();
        let slot: Arc<dyn Any + Send + Sync> = Arc::new(OnceLock::from(Pv::default()));
        let vars = VALUES
            .iter()
            .map(|(_, text, _)| var(&pv, &slot, text, &*env.bind));
        Ok(Kemix {
            vars: vars.collect::<Result<_, _>>()?,
        })
    }
}

/// A variable of module pv, be that loaded or not.
fn var(
    pv: &ModuleDecl,
    slot: &Arc<dyn Any + Send + Sync>,
    text: &str,
    bind: &dyn Bind,
) -> Result<Var, InitError> {
    let bare = text.trim_start_matches('$');
    let (name, inner) = match bare.split_once('(') {
        Some((name, inner)) => (name, Some(inner.trim_end_matches(')'))),
        None => (bare, None),
    };
    let decl = pv.vars.iter().find(|var| var.name == name);
    let decl = decl.ok_or_else(|| InitError::new(format!("module pv has no {text}")))?;
    let usage = VarUse {
        text,
        inner,
        index: IndexSource::Fixed(Index::None),
        bind,
    };
    Ok(decl.bind(slot, &usage)?)
}

fn value(d: &mut Decl<Kemix>, how: &str, name: &str, at: usize, absent: Absent, doc: &'static str) {
    // Once for each name, for as long as the server runs.
    let name: &'static str = NAMES
        .get_or_init(names)
        .iter()
        .find(|known| known.strip_prefix(how).is_some_and(|rest| rest == name))
        .map_or("", String::as_str);
    d.kemi_func(
        "kx",
        name,
        [],
        move |m: &Kemix, cx: &mut Cx| m.give(cx, at, absent),
        doc,
    );
}

static NAMES: OnceLock<Vec<String>> = OnceLock::new();

fn names() -> Vec<String> {
    let of = |name: &str| match name.strip_prefix('-') {
        Some(alone) => vec![format!("get_{alone}")],
        None => ["get_", "gete_", "getw_"]
            .map(|how| format!("{how}{name}"))
            .to_vec(),
    };
    VALUES.iter().flat_map(|(name, ..)| of(name)).collect()
}

impl Kemix {
    fn give(&self, cx: &mut Cx, at: usize, absent: Absent) -> i64 {
        let value = self.vars.get(at).map_or(Value::Null, |var| var.get(cx));
        let value = match (value, absent) {
            (Value::Null, Absent::Empty) => Value::EMPTY,
            (Value::Null, Absent::Shown) => Value::Str(Str::from_static("<null>")),
            (value, _) => value,
        };
        // Functions of Kamailio that return a number return it as their code.
        let code = value.int().unwrap_or(-1);
        Given::set(cx, value);
        code
    }
}

fn of_messages(d: &mut Decl<Kemix>) {
    let none = [];
    let status = |cx: &Cx| cx.msg.status().map(i64::from);
    d.kemi_func(
        "kx",
        "get_status",
        none,
        move |_: &Kemix, cx: &mut Cx| status(cx).unwrap_or(-1),
        "The status of a reply, or -1.",
    );
    d.kemi_func(
        "kx",
        "gets_status",
        none,
        move |_: &Kemix, cx: &mut Cx| {
            let text = status(cx).map(|status| Value::Str(kahea_module::value::int_text(status)));
            Given::set(cx, text.unwrap_or_default());
        },
        "The status of a reply as a text.",
    );
    d.kemi_func(
        "kx",
        "get_msgtype",
        none,
        |_: &Kemix, cx: &mut Cx| if cx.msg.is_request() { 1i64 } else { 2 },
        "1 for a request, 2 for a reply.",
    );
}

fn of_configuration(d: &mut Decl<Kemix>) {
    let name = ["name"];
    let doc = "The value of #!define NAME.";
    d.kemi_func(
        "kx",
        "get_def",
        name,
        |_: &Kemix, cx: &mut Cx, name: Str| {
            // A name that is not defined gives the empty text, as in Kamailio.
            let text = define(cx, &name).unwrap_or_default();
            give_text(cx, Some(text));
        },
        doc,
    );
    let doc = "The number of #!define NAME, or 0.";
    d.kemi_func(
        "kx",
        "get_defn",
        name,
        |_: &Kemix, cx: &mut Cx, name: Str| number(define(cx, &name)),
        doc,
    );
    let doc = "NAME is defined.";
    d.kemi_func(
        "kx",
        "ifdef",
        name,
        |_: &Kemix, cx: &mut Cx, name: Str| define(cx, &name).is_some(),
        doc,
    );
    let doc = "NAME is not defined.";
    d.kemi_func(
        "kx",
        "ifndef",
        name,
        |_: &Kemix, cx: &mut Cx, name: Str| define(cx, &name).is_none(),
        doc,
    );
    let doc = "The environment variable NAME.";
    d.kemi_func(
        "kx",
        "get_env",
        name,
        |_: &Kemix, cx: &mut Cx, name: Str| give_text(cx, environment(&name)),
        doc,
    );
    let doc = "The number in the environment variable NAME, or 0.";
    d.kemi_func(
        "kx",
        "get_envn",
        name,
        |_: &Kemix, _: &mut Cx, name: Str| number(environment(&name)),
        doc,
    );
}

fn give_text(cx: &mut Cx, text: Option<Str>) {
    Given::set(cx, Value::from(text));
}

fn number(text: Option<Str>) -> i64 {
    text.and_then(|text| parse_int(&text)).unwrap_or(0)
}

fn define(cx: &Cx, name: &Str) -> Option<Str> {
    cx.config().bind.define(&name.text())
}

fn environment(name: &Str) -> Option<Str> {
    std::env::var(&*name.text()).ok().map(Str::from)
}

#[cfg(test)]
mod tests {
    use kahea_module::{rpc::RpcValue, testing::Server};

    use super::*;

    #[test]
    fn values_are_those_of_the_variables() {
        let server = Server::default();
        let pv = ModuleDecl::of::<Pv>();
        let slot: Arc<dyn Any + Send + Sync> = Arc::new(OnceLock::from(Pv::default()));
        let bind = server.worker.config.bind.clone();
        let vars = VALUES
            .iter()
            .map(|(_, text, _)| var(&pv, &slot, text, &*bind).unwrap())
            .collect();
        let (kemix, mut cx) = (Kemix { vars }, server.invite());
        let mut give = |name: &str, absent: Absent| {
            let at = VALUES
                .iter()
                .position(|(known, ..)| known.trim_start_matches('-') == name)
                .unwrap();
            let code = kemix.give(&mut cx, at, absent);
            (code, Given::take(&mut cx))
        };
        assert_eq!(give("fuser", Absent::Null).1, Some(RpcValue::from("alice")));
        assert_eq!(
            give("cturi", Absent::Null).1,
            Some(RpcValue::from("sip:alice@127.0.0.1:5061"))
        );
        assert_eq!(give("duri", Absent::Null).1, Some(RpcValue::Null));
        assert_eq!(give("duri", Absent::Empty).1, Some(RpcValue::from("")));
        assert_eq!(give("duri", Absent::Shown).1, Some(RpcValue::from("<null>")));
        assert_eq!(give("bodylen", Absent::Null).0, 129);
        assert_eq!(give("timestamp", Absent::Null).0, 1_767_225_600);
    }

    #[test]
    fn all_names_of_kamailio_are_there() {
        let decl = ModuleDecl::of::<Kemix>();
        let mut names: Vec<_> = decl.funcs.iter().map(|func| func.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), decl.funcs.len()), (69, 69), "{names:?}");
        assert!(!names.contains(&""));
    }
}
