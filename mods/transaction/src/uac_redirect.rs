//! Module `uac_redirect`: following 3xx replies (RFC 3261 section 8.1.3.4).

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, Fault, InitError, Lit, Module, Ret, Str, Target, Value, arg::Literal,
    regex::Regex, ret::Later, route::FAILURE, warning,
};
use kahea_sip::{
    HeaderId, Message,
    view::{Contacts, NameAddr},
};

use crate::tm::attached;

/// More filters than this are refused.
const MOST_FILTERS: usize = 6;

/// The module.
pub struct UacRedirect {
    accepts: bool,
    accept: Option<Regex>,
    deny: Option<Regex>,
    flags: u32,
    flags_mode: i64,
    q: u16,
    acc_function: Str,
    acc_table: Str,
    warned: AtomicBool,
}

/// Its parameters.
pub struct Params {
    default_filter: Str,
    accept_filter: Option<Str>,
    deny_filter: Option<Str>,
    acc_function: Str,
    acc_db_table: Str,
    bflags: i64,
    flags_hdr_mode: i64,
    q_value: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            default_filter: Str::from_static("accept"),
            accept_filter: None,
            deny_filter: None,
            acc_function: Str::from_static("acc_log_request"),
            acc_db_table: Str::from_static("acc"),
            bflags: 0,
            flags_hdr_mode: 0,
            q_value: 10,
        }
    }
}

impl Module for UacRedirect {
    const NAME: &'static str = "uac_redirect";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        parameters(d);
        d.func("get_redirects", ["max", "reason"], get_redirects, "Adds the contacts of the 3xx replies as branches, by q: at most max = total[:each reply], 0 or * for any number; with a reason they are accounted.")
            .routes(FAILURE)
            .waits()
            .example("if (t_check_status(\"3[0-9][0-9]\") && get_redirects(\"3:1\")) { t_relay(); }");
        for (name, kind) in [
            ("set_accept_filter", Kind::Accept),
            ("set_deny_filter", Kind::Deny),
        ] {
            match kind {
                Kind::Accept => d.func(name, ["filter", "reset"], set_accept_filter, "Adds a filter for contacts to accept in this route; reset_all, reset_default or reset_added takes others away before."),
                Kind::Deny => d.func(name, ["filter", "reset"], set_deny_filter, "Adds a filter for contacts to refuse in this route; reset_all, reset_default or reset_added takes others away before."),
            }
            .routes(FAILURE);
        }
        d.kemi_func(
            "uac_redirect",
            "get_redirects_all",
            [],
            |m: &UacRedirect, cx: &mut Cx| add(m, cx, Most::default(), None),
            "Adds the contacts of the 3xx replies as branches.",
        )
        .routes(FAILURE);
        d.kemi_func(
            "uac_redirect",
            "get_redirects",
            ["total", "each"],
            |m: &UacRedirect, cx: &mut Cx, total: i64, each: i64| add(m, cx, Most::of(total, each), None),
            "Adds the contacts of the 3xx replies as branches.",
        )
        .routes(FAILURE);
        d.kemi_func(
            "uac_redirect",
            "get_redirects_acc",
            ["total", "each", "reason"],
            |m: &UacRedirect, cx: &mut Cx, total: i64, each: i64, reason: Str| {
                add(m, cx, Most::of(total, each), Some(reason))
            },
            "Adds the contacts of the 3xx replies as branches and accounts them.",
        )
        .routes(FAILURE)
        .waits();
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<UacRedirect, InitError> {
        let accepts = match params.default_filter.as_bytes() {
            b"accept" => true,
            b"deny" => false,
            other => {
                let other = String::from_utf8_lossy(other);
                return Err(
                    InitError::new(format!("default_filter is '{other}'")).help("give accept or deny")
                );
            }
        };
        let in_range = |name: &str, value: i64, most: u16| {
            u16::try_from(value)
                .ok()
                .filter(|value| *value <= most)
                .ok_or_else(|| {
                    InitError::new(format!("{name} is {value}"))
                        .help(format!("give a number from 0 to {most}"))
                })
        };
        Ok(UacRedirect {
            accepts,
            accept: expression(params.accept_filter)?,
            deny: expression(params.deny_filter)?,
            flags: u32::try_from(params.bflags).map_err(|_| {
                InitError::new(format!("bflags is {}, which is no mask of flags", params.bflags))
            })?,
            flags_mode: in_range("flags_hdr_mode", params.flags_hdr_mode, 2)?.into(),
            q: in_range("q_value", params.q_value, 1000)?,
            acc_function: params.acc_function,
            acc_table: params.acc_db_table,
            warned: AtomicBool::new(false),
        })
    }
}

enum Kind {
    Accept,
    Deny,
}

fn parameters(d: &mut Decl<UacRedirect>) {
    d.param(
        "default_filter",
        |p| &mut p.default_filter,
        "What becomes of contacts that no filter fits: accept or deny.",
    );
    d.param(
        "accept_filter",
        |p| &mut p.accept_filter,
        "Contacts that fit this expression are accepted.",
    );
    d.param(
        "deny_filter",
        |p| &mut p.deny_filter,
        "Contacts that fit this expression, and no accept filter, are refused.",
    );
    d.param(
        "acc_function",
        |p| &mut p.acc_function,
        "The function of acc that accounts redirections: acc_log_request, acc_db_request or acc_request.",
    );
    d.param(
        "acc_db_table",
        |p| &mut p.acc_db_table,
        "The table that redirections are accounted in.",
    );
    d.param(
        "bflags",
        |p| &mut p.bflags,
        "The branch flags of the new branches, as a mask.",
    );
    d.param(
        "flags_hdr_mode",
        |p| &mut p.flags_hdr_mode,
        "The parameter flags of a contact: 0 is ignored, 1 stands for bflags, 2 is added to them.",
    );
    d.param(
        "q_value",
        |p| &mut p.q_value,
        "The q, in thousandths, of contacts that have none.",
    );
}

fn compiled(text: &[u8]) -> Result<Regex, BindError> {
    Regex::with(text, true, true).map_err(|error| {
        BindError::new(format!(
            "the filter '{}' is no expression: {error}",
            String::from_utf8_lossy(text)
        ))
    })
}

fn expression(text: Option<Str>) -> Result<Option<Regex>, InitError> {
    Ok(text
        .filter(|text| !text.is_empty())
        .map(|text| compiled(&text))
        .transpose()?)
}

/// An expression of the script.
struct Filter(Regex);

impl Literal for Filter {
    const WHAT: &'static str = "a regular expression";

    fn parse(text: &str, _: &dyn Bind) -> Result<Filter, BindError> {
        compiled(text.as_bytes()).map(Filter)
    }
}

/// Which filters go before another comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    No,
    All,
    Default,
    Added,
}

impl Literal for Reset {
    const WHAT: &'static str = "reset_all, reset_default, reset_added or an empty text";

    fn parse(text: &str, _: &dyn Bind) -> Result<Reset, BindError> {
        match text {
            "" => Ok(Reset::No),
            "reset_all" => Ok(Reset::All),
            "reset_default" => Ok(Reset::Default),
            "reset_added" => Ok(Reset::Added),
            _ => Err(BindError::new(format!("'{text}' resets nothing"))
                .help("write reset_all, reset_default, reset_added, or an empty text")),
        }
    }
}

/// Filters of one kind for the message in work.
#[derive(Default)]
struct Added {
    list: Vec<Regex>,
    without_default: bool,
}

impl Added {
    fn add(&mut self, filter: Regex, reset: Reset) -> Result<bool, Fault> {
        self.without_default |= matches!(reset, Reset::All | Reset::Default);
        if matches!(reset, Reset::All | Reset::Added) {
            self.list.clear();
        }
        if self.list.len() >= MOST_FILTERS {
            return Err(Fault::script(format!(
                "more than {MOST_FILTERS} filters cannot be combined"
            )));
        }
        self.list.push(filter);
        Ok(true)
    }

    fn fits(&self, default: Option<&Regex>, uri: &[u8]) -> bool {
        let default = default.filter(|_| !self.without_default);
        default
            .into_iter()
            .chain(&self.list)
            .any(|filter| filter.is_match(uri))
    }
}

/// The filters of the message in work.
#[derive(Default)]
struct Filters {
    accept: Added,
    deny: Added,
}

fn set_accept_filter(
    _: &UacRedirect,
    cx: &mut Cx,
    filter: Lit<Filter>,
    reset: Lit<Reset>,
) -> Result<bool, Fault> {
    cx.extra::<Filters>().accept.add(filter.0.clone(), *reset)
}

fn set_deny_filter(
    _: &UacRedirect,
    cx: &mut Cx,
    filter: Lit<Filter>,
    reset: Lit<Reset>,
) -> Result<bool, Fault> {
    cx.extra::<Filters>().deny.add(filter.0.clone(), *reset)
}

/// How many contacts; `None`: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Most {
    total: Option<usize>,
    each: Option<usize>,
}

impl Most {
    fn of(total: i64, each: i64) -> Most {
        let limit = |number: i64| usize::try_from(number).ok().filter(|number| *number > 0);
        Most {
            total: limit(total),
            each: limit(each),
        }
    }
}

impl Literal for Most {
    const WHAT: &'static str = "a number of contacts, total[:each reply]";

    fn parse(text: &str, _: &dyn Bind) -> Result<Most, BindError> {
        let limit = |part: &str| match part.trim() {
            "*" | "" => Ok(0),
            digits => digits.parse::<u16>().map(i64::from).map_err(|_| {
                BindError::new(format!("'{part}' is no number of contacts"))
                    .help("write total[:each reply], * for any")
            }),
        };
        let (total, each) = text.split_once(':').unwrap_or((text, "*"));
        Ok(Most::of(limit(total)?, limit(each)?))
    }
}

fn get_redirects(m: &UacRedirect, cx: &mut Cx, max: Lit<Most>, reason: Option<Value>) -> Ret {
    add(m, cx, *max, reason.and_then(|reason| reason.str()))
}

fn add(m: &UacRedirect, cx: &mut Cx, most: Most, reason: Option<Str>) -> Ret {
    let found = match redirects(m, cx, most) {
        Ok(found) => found,
        Err(fault) => return fault.into(),
    };
    if found.is_empty() {
        return Ret::FALSE;
    }
    let rest = reason.map_or(Vec::new(), |reason| account(m, cx, &reason, &found));
    cx.branches.extend(found);
    if rest.is_empty() {
        return Ret::TRUE;
    }
    Ret::wait(move |cx| {
        Box::pin(async move {
            for one in rest {
                one(cx).await;
            }
            Ret::TRUE
        })
    })
}

/// Has each contact accounted by the function of `acc_function`; gives what has to be waited for.
fn account(m: &UacRedirect, cx: &mut Cx, reason: &Str, found: &[Target]) -> Vec<Later> {
    let config = cx.config().clone();
    let name = m.acc_function.text();
    let arguments = if name == "acc_log_request" { 1 } else { 2 };
    let known = config
        .registry
        .module("acc")
        .and_then(|acc| acc.func(&name, arguments));
    let (Some(function), Some(slot)) = (known, config.modules.slot("acc")) else {
        if !m.warned.swap(true, Relaxed) {
            warning!(
                "uac_redirect",
                "Redirections are followed, but not accounted: module acc is not loaded, or has no function {name}."
            );
        }
        return Vec::new();
    };
    let values = [reason.clone(), m.acc_table.clone()].map(Value::Str);
    let mut rest = Vec::new();
    for contact in found {
        let before = std::mem::replace(&mut cx.target.ruri, contact.ruri.clone());
        let values = values.iter().take(arguments).cloned().collect();
        match function.call(slot, cx, values) {
            Ret::Wait(later) => rest.push(later),
            Ret::Fault(fault) => warning!("uac_redirect", "A redirection was not accounted: {fault}."),
            Ret::Code(_) | Ret::Route(_) => {}
        }
        cx.target.ruri = before;
    }
    rest
}

/// The contacts to follow.
fn redirects(m: &UacRedirect, cx: &mut Cx, most: Most) -> Result<Vec<Target>, Fault> {
    let cell = attached::cell(cx).ok_or_else(|| Fault::script("the message has no transaction"))?;
    let limit = usize::try_from(cx.config().globals.max_branches).unwrap_or(12);
    let mut left = most.total.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    {
        let state = cell.state.lock();
        let leg = state.branches.iter().skip(state.tx.counts_from().index());
        for held in leg.filter_map(|branch| branch.held.as_deref()) {
            if !held
                .msg
                .status()
                .is_some_and(|status| (300..400).contains(&status))
            {
                continue;
            }
            let mut contacts = contacts(m, &held.msg);
            let filters = cx.extra::<Filters>();
            contacts.retain(|contact| m.accepted(filters, contact.ruri.as_deref().unwrap_or_default()));
            contacts.truncate(most.each.unwrap_or(usize::MAX).min(left));
            left = left.saturating_sub(contacts.len());
            // The least preferred becomes the first branch.
            found.extend(contacts.into_iter().rev());
        }
    }
    found.truncate(limit.saturating_sub(cx.branches.len()));
    Ok(found)
}

/// The contacts of a reply, the highest q first.
fn contacts(m: &UacRedirect, reply: &Message) -> Vec<Target> {
    let mut out = Vec::new();
    for header in reply.all(HeaderId::Contact) {
        let value = reply.value_text(header);
        if let Contacts::List(list) = Contacts::parse(&value) {
            out.extend(list.flatten().map(|contact| m.target(&value, &contact)));
        }
    }
    out.retain(|contact| kahea_sip::view::Uri::parse(contact.ruri.as_deref().unwrap_or_default()).is_ok());
    out.sort_by_key(|contact| std::cmp::Reverse(contact.q));
    out
}

impl UacRedirect {
    fn target(&self, value: &Str, contact: &NameAddr<'_>) -> Target {
        let stated = contact
            .params
            .value("flags")
            .and_then(kahea_module::value::parse_int);
        let stated = stated.and_then(|flags| u32::try_from(flags).ok());
        let flags = match (self.flags_mode, stated) {
            (1, Some(stated)) => stated,
            (2, Some(stated)) => stated | self.flags,
            _ => self.flags,
        };
        Target {
            ruri: Some(value.share(contact.uri)),
            q: Some(contact.q().ok().flatten().unwrap_or(self.q)),
            flags,
            ..Target::default()
        }
    }

    fn accepted(&self, filters: &Filters, uri: &[u8]) -> bool {
        if filters.accept.fits(self.accept.as_ref(), uri) {
            return true;
        }
        !filters.deny.fits(self.deny.as_ref(), uri) && self.accepts
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::Limits;

    use super::*;

    fn module(accepts: bool) -> UacRedirect {
        UacRedirect {
            accepts,
            accept: None,
            deny: Some(compiled(b"EVIL").unwrap()),
            flags: 4,
            flags_mode: 2,
            q: 10,
            acc_function: Str::from_static("acc_log_request"),
            acc_table: Str::from_static("acc"),
            warned: AtomicBool::new(false),
        }
    }

    fn uris(targets: &[Target]) -> Vec<String> {
        let uri = |target: &Target| target.ruri.as_ref().unwrap().text().into_owned();
        targets.iter().map(uri).collect()
    }

    #[test]
    fn contacts_come_by_q() {
        let text = "SIP/2.0 302 Moved\r\nContact: <sip:a@h>;q=0.1, <sip:b@h>;q=0.7;flags=1\r\nContact: sip:c@h, <tel:>\r\n\r\n";
        let reply = Message::parse(Str::from(text), &Limits::default()).unwrap();
        let found = contacts(&module(true), &reply);
        assert_eq!(uris(&found)[..3], ["sip:b@h", "sip:a@h", "sip:c@h"]);
        assert_eq!((found[0].flags, found[1].flags, found[2].q), (5, 4, Some(10)));
    }

    #[test]
    fn accept_goes_before_deny_and_that_before_the_default() {
        let (mut filters, m) = (Filters::default(), module(true));
        assert!(m.accepted(&filters, b"sip:a@h") && !m.accepted(&filters, b"sip:a@evil"));
        filters
            .accept
            .add(compiled(b"^sip:a").unwrap(), Reset::No)
            .unwrap();
        assert!(m.accepted(&filters, b"sip:a@evil") && !m.accepted(&filters, b"sip:b@evil"));
        filters.deny.add(compiled(b"other").unwrap(), Reset::All).unwrap();
        assert!(m.accepted(&filters, b"sip:b@evil") && !m.accepted(&filters, b"sip:b@other"));
        assert!(!module(false).accepted(&Filters::default(), b"sip:a@h"));
    }

    #[test]
    fn limits_are_read() {
        let cx = Server::default().invite();
        let bind = cx.bind();
        let of = |text: &str| Most::parse(text, &*bind);
        assert_eq!(of("*"), Ok(Most::default()));
        assert_eq!(of("3:2"), Ok(Most::of(3, 2)));
        assert_eq!(of("*:2"), Ok(Most::of(0, 2)));
        assert!(of("x").is_err());
        assert!(Reset::parse("reset", &*bind).is_err());
    }
}
