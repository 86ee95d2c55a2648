//! The parameters of module `tm`.

use std::ops::RangeInclusive;

use kahea_module::{Decl, Env, InitError, RouteKind, Str};
use kahea_tx::{CancelMethod, Matching, Policy, Priorities, Timing};

use super::{Tm, core::Options};

/// The parameters, with Kamailio's defaults.
pub struct Params {
    numbers: Numbers,
    switches: OnOff,
    texts: Texts,
    /// Those of contacts, local requests and older versions.
    pub further: super::further::Params,
}

/// Milliseconds, codes and modes.
struct Numbers {
    fr_timer: i64,
    fr_inv_timer: i64,
    wt_timer: i64,
    retr_timer1: i64,
    retr_timer2: i64,
    max_inv_lifetime: i64,
    max_noninv_lifetime: i64,
    unmatched_cancel: i64,
    default_code: i64,
    cancel_b_method: i64,
    failure_reply_mode: i64,
    faked_reply_prio: i64,
    rich_redirect: i64,
    reply_408_code: i64,
}

struct OnOff {
    restart_fr_on_each_reply: bool,
    ruri_matching: bool,
    via1_matching: bool,
    callid_matching: bool,
    callid_cseq_matching: bool,
    auto_inv_100: bool,
    aggregate_challenges: bool,
    disable_6xx_block: bool,
    remap_503_500: bool,
    failure_exec_mode: bool,
    local_cancel_reason: bool,
    e2e_cancel_reason: bool,
    relay_100: bool,
    delayed_reply: bool,
}

struct Texts {
    auto_inv_100_reason: Str,
    default_reason: Str,
    ac_extra_hdrs: Str,
    on_sl_reply: Option<Str>,
    failover_reply_codes: Str,
    reply_408_reason: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            numbers: Numbers {
                fr_timer: 30_000,
                fr_inv_timer: 120_000,
                wt_timer: 5_000,
                retr_timer1: 500,
                retr_timer2: 4_000,
                max_inv_lifetime: 180_000,
                max_noninv_lifetime: 32_000,
                unmatched_cancel: 0,
                default_code: 500,
                cancel_b_method: 1,
                failure_reply_mode: 3,
                faked_reply_prio: 0,
                rich_redirect: 0,
                reply_408_code: 408,
            },
            switches: OnOff {
                restart_fr_on_each_reply: true,
                ruri_matching: true,
                via1_matching: true,
                callid_matching: false,
                callid_cseq_matching: false,
                auto_inv_100: true,
                aggregate_challenges: true,
                disable_6xx_block: false,
                remap_503_500: true,
                failure_exec_mode: false,
                local_cancel_reason: true,
                e2e_cancel_reason: true,
                relay_100: false,
                delayed_reply: true,
            },
            texts: Texts {
                auto_inv_100_reason: Str::from_static("trying -- your call is important to us"),
                default_reason: Str::from_static("Server Internal Error"),
                ac_extra_hdrs: Str::EMPTY,
                on_sl_reply: None,
                failover_reply_codes: Str::EMPTY,
                reply_408_reason: Str::from_static("Request Timeout"),
            },
            further: super::further::Params::default(),
        }
    }
}

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    timers(d);
    matching(d);
    answers(d);
    branches(d);
    super::further::declare(d);
}

fn timers(d: &mut Decl<Tm>) {
    d.param(
        "fr_timer",
        |p| &mut p.numbers.fr_timer,
        "Milliseconds for the first reply to an INVITE, the final reply to any other request, and the ACK.",
    );
    d.param(
        "fr_inv_timer",
        |p| &mut p.numbers.fr_inv_timer,
        "Milliseconds for the final reply to an INVITE once a provisional one came.",
    );
    d.param(
        "wt_timer",
        |p| &mut p.numbers.wt_timer,
        "Milliseconds for which an answered transaction is kept to absorb repetitions.",
    );
    d.param(
        "retr_timer1",
        |p| &mut p.numbers.retr_timer1,
        "Milliseconds before the first retransmission; each interval is twice the one before.",
    );
    d.param(
        "retr_timer2",
        |p| &mut p.numbers.retr_timer2,
        "Milliseconds of the longest interval between retransmissions.",
    );
    d.param(
        "max_inv_lifetime",
        |p| &mut p.numbers.max_inv_lifetime,
        "Milliseconds after which an INVITE without a final reply ends, whatever else happens.",
    );
    d.param(
        "max_noninv_lifetime",
        |p| &mut p.numbers.max_noninv_lifetime,
        "Milliseconds after which any other request without a final reply ends.",
    );
    d.param(
        "restart_fr_on_each_reply",
        |p| &mut p.switches.restart_fr_on_each_reply,
        "Each provisional reply starts fr_inv_timer anew, not only one with a higher code.",
    );
}

fn matching(d: &mut Decl<Tm>) {
    d.param(
        "ruri_matching",
        |p| &mut p.switches.ruri_matching,
        "Requests of senders before RFC 3261 are told apart by their Request-URI too.",
    );
    d.param(
        "via1_matching",
        |p| &mut p.switches.via1_matching,
        "Requests of senders before RFC 3261 are told apart by their topmost Via too.",
    );
    d.param(
        "callid_matching",
        |p| &mut p.switches.callid_matching,
        "The Call-ID has to fit besides the branch.",
    );
    d.param(
        "callid_cseq_matching",
        |p| &mut p.switches.callid_cseq_matching,
        "Call-ID and CSeq alone name a transaction, in place of the branch.",
    );
    d.param(
        "unmatched_cancel",
        |p| &mut p.numbers.unmatched_cancel,
        "A CANCEL without an INVITE: 0 is relayed with a transaction, 1 without one, 2 is dropped.",
    );
    d.param(
        "on_sl_reply",
        |p| &mut p.texts.on_sl_reply,
        "The reply route for replies that belong to no transaction; one that it drops goes no further.",
    );
}

fn answers(d: &mut Decl<Tm>) {
    d.param(
        "auto_inv_100",
        |p| &mut p.switches.auto_inv_100,
        "INVITEs are answered with 100 before they are relayed.",
    );
    d.param(
        "auto_inv_100_reason",
        |p| &mut p.texts.auto_inv_100_reason,
        "The reason of that reply.",
    );
    d.param(
        "default_code",
        |p| &mut p.numbers.default_code,
        "The code of t_reply() where the script gives no usable one, from 400 to 699.",
    );
    d.param(
        "default_reason",
        |p| &mut p.texts.default_reason,
        "The reason of t_reply() where the script gives none.",
    );
    d.param(
        "aggregate_challenges",
        |p| &mut p.switches.aggregate_challenges,
        "A 401 or 407 to the caller carries the challenges of all branches.",
    );
    d.param(
        "remap_503_500",
        |p| &mut p.switches.remap_503_500,
        "A 503 is passed on as 500 (RFC 3261 section 16.7).",
    );
    d.param(
        "relay_100",
        |p| &mut p.switches.relay_100,
        "Passes 100 on, against RFC 3261.",
    );
    d.param(
        "rich_redirect",
        |p| &mut p.numbers.rich_redirect,
        "What the contacts of a redirection carry: 1 branch flags, 2 the path as a Route header.",
    );
    d.param(
        "reply_408_code",
        |p| &mut p.numbers.reply_408_code,
        "The code of the reply where no branch answered.",
    );
    d.param(
        "reply_408_reason",
        |p| &mut p.texts.reply_408_reason,
        "The reason of that reply.",
    );
    d.param("delayed_reply", |p| &mut p.switches.delayed_reply, "The reply to a request that cannot be relayed leaves when the route has ended, unless that answered itself.");
}

fn branches(d: &mut Decl<Tm>) {
    d.param("cancel_b_method", |p| &mut p.numbers.cancel_b_method, "A branch that was not answered at all is cancelled by: 0 giving it up, 1 a CANCEL on its first provisional reply, 2 a CANCEL at once.");
    d.param(
        "disable_6xx_block",
        |p| &mut p.switches.disable_6xx_block,
        "A 6xx is like any other reply and ends no other branch.",
    );
    d.param("failure_reply_mode", |p| &mut p.numbers.failure_reply_mode, "The results that new branches of a failure route replace: 0 none, 1 all, 2 those of the last leg, 3 all earlier ones.");
    d.param("faked_reply_prio", |p| &mut p.numbers.faked_reply_prio, "Added to the rank of results without a reply, such as a timeout: above 0 puts them behind received replies.");
    d.param(
        "failure_exec_mode",
        |p| &mut p.switches.failure_exec_mode,
        "A request that could not be sent is left to the failure route.",
    );
    d.param(
        "local_cancel_reason",
        |p| &mut p.switches.local_cancel_reason,
        "CANCELs say in Reason which reply caused them (RFC 3326).",
    );
    d.param(
        "e2e_cancel_reason",
        |p| &mut p.switches.e2e_cancel_reason,
        "CANCELs carry the Reason headers of the caller's.",
    );
    d.param(
        "ac_extra_hdrs",
        |p| &mut p.texts.ac_extra_hdrs,
        "Headers whose names begin so are copied to ACK and CANCEL.",
    );
    d.param(
        "failover_reply_codes",
        |p| &mut p.texts.failover_reply_codes,
        "Codes besides 503 on which the next address of a hop is tried: code=502;code=504-506;class=4.",
    );
}

fn milliseconds(name: &str, value: i64) -> Result<u32, InitError> {
    u32::try_from(value).map_err(|_| {
        InitError::new(format!("{name} is {value}, which is no time"))
            .help("give milliseconds from 0 to 4294967295")
    })
}

fn code(name: &str, value: i64, low: u16) -> Result<u16, InitError> {
    let code = u16::try_from(value).ok().filter(|code| (low..700).contains(code));
    code.ok_or_else(|| {
        InitError::new(format!("{name} is {value}, which is no status code"))
            .help(format!("give a code from {low} to 699"))
    })
}

/// What they mean together.
///
/// # Errors
/// A value is out of range.
pub fn options(params: Params, env: &Env<'_>) -> Result<Options, InitError> {
    let Params {
        numbers,
        switches,
        texts,
        further,
    } = params;
    let timing = Timing {
        retr_timer1: milliseconds("retr_timer1", numbers.retr_timer1)?,
        retr_timer2: milliseconds("retr_timer2", numbers.retr_timer2)?,
        fr_timer: milliseconds("fr_timer", numbers.fr_timer)?,
        fr_inv_timer: milliseconds("fr_inv_timer", numbers.fr_inv_timer)?,
        wt_timer: milliseconds("wt_timer", numbers.wt_timer)?,
        max_inv_lifetime: milliseconds("max_inv_lifetime", numbers.max_inv_lifetime)?,
        max_noninv_lifetime: milliseconds("max_noninv_lifetime", numbers.max_noninv_lifetime)?,
        restart_fr_on_each_reply: switches.restart_fr_on_each_reply,
    };
    let cancel = CancelMethod::from_number(numbers.cancel_b_method).ok_or_else(|| {
        InitError::new(format!("cancel_b_method is {}", numbers.cancel_b_method)).help("give 0, 1 or 2")
    })?;
    let faked = i32::try_from(numbers.faked_reply_prio)
        .map_err(|_| InitError::new("faked_reply_prio is out of range"))?;
    let policy = Policy {
        priorities: Priorities { faked },
        stop_at_6xx: !switches.disable_6xx_block,
        cancel,
        relay_100: switches.relay_100,
    };
    let mode = u8::try_from(numbers.failure_reply_mode)
        .ok()
        .filter(|mode| *mode <= 3);
    Ok(Options {
        matching: Matching {
            ruri: switches.ruri_matching,
            via1: switches.via1_matching,
            callid: switches.callid_matching,
            callid_cseq: switches.callid_cseq_matching,
        },
        timing,
        policy,
        auto_inv_100: switches.auto_inv_100,
        auto_inv_100_reason: texts.auto_inv_100_reason,
        unmatched_cancel: numbers.unmatched_cancel,
        default_code: code("default_code", numbers.default_code, 400)?,
        default_reason: texts.default_reason,
        aggregate_challenges: switches.aggregate_challenges,
        local_cancel_reason: switches.local_cancel_reason,
        e2e_cancel_reason: switches.e2e_cancel_reason,
        remap_503_500: switches.remap_503_500,
        failure_exec_mode: switches.failure_exec_mode,
        failure_reply_mode: mode.ok_or_else(|| {
            InitError::new(format!("failure_reply_mode is {}", numbers.failure_reply_mode))
                .help("give a number from 0 to 3")
        })?,
        reply_408_code: code("reply_408_code", numbers.reply_408_code, 300)?,
        reply_408_reason: texts.reply_408_reason,
        delayed_reply: switches.delayed_reply,
        ac_extra_hdrs: texts.ac_extra_hdrs,
        failover_codes: failover_codes(&texts.failover_reply_codes)?,
        on_sl_reply: on_sl_reply(texts.on_sl_reply, env)?,
        rich_redirect: numbers.rich_redirect,
        further: further.options(env)?,
    })
}

fn failover_codes(text: &Str) -> Result<Vec<RangeInclusive<u16>>, InitError> {
    let text = text.text();
    let parts = text
        .split([';', ','])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let wrong = |part: &str| {
        InitError::new(format!("failover_reply_codes has '{part}', which is no code"))
            .help("write codes as code=502;code=504-506;class=4")
    };
    parts.map(|part| codes(part).ok_or_else(|| wrong(part))).collect()
}

/// `class=4`, `code=502`, `code=502-504`, or the number alone.
fn codes(part: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| {
        let code = text.trim().parse::<u16>().ok();
        code.filter(|code| (300..700).contains(code))
    };
    if let Some(class) = part.strip_prefix("class=") {
        let class = class.trim().parse::<u16>().ok();
        let first = class.filter(|class| (3..7).contains(class))?.checked_mul(100)?;
        return Some(first..=first.checked_add(99)?);
    }
    let text = part.strip_prefix("code=").unwrap_or(part);
    match text.split_once('-') {
        Some((low, high)) => Some(status(low)?..=status(high)?),
        None => status(text).map(|code| code..=code),
    }
}

fn on_sl_reply(name: Option<Str>, env: &Env<'_>) -> Result<Option<kahea_module::RouteId>, InitError> {
    let Some(name) = name else { return Ok(None) };
    match env.bind.route(RouteKind::Reply, &name.text()) {
        Some(route) => Ok(Some(route)),
        None => Err(
            InitError::new(format!("there is no onreply_route[{name}] for on_sl_reply"))
                .help("add the route, or take the parameter out"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failover_codes_are_codes_ranges_and_classes() {
        let read = |text: &str| failover_codes(&Str::from(text)).ok();
        assert_eq!(
            read("code=502; code=504-506;class=4,600"),
            Some(vec![502..=502, 504..=506, 400..=499, 600..=600])
        );
        assert_eq!(read(""), Some(Vec::new()));
        for wrong in ["class=2", "class=x", "code=200", "code=5x", "502-", "code=1000"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
