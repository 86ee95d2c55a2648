//! Parameters that change while the server runs (`cfg.set_now_int tm fr_timer 5000`, `$sel(cfg_get.tm.fr_timer)`).
//!
//! Timers hold for transactions that begin afterwards, everything else for whatever happens next.

use std::sync::{Arc, Weak};

use kahea_module::{Env, Str, Value, error, settings::Settings};
use kahea_tx::CancelMethod;

use super::core::{Core, Options};

/// One parameter: its name, what it means, its value, and how that is changed, unless it is out of range.
type Row = (
    &'static str,
    &'static str,
    fn(&Options) -> Value,
    fn(&mut Options, &Value) -> Option<()>,
);

/// A number of milliseconds.
macro_rules! time {
    ($name:literal, $doc:literal, $($field:ident).+) => {
        (
            $name,
            $doc,
            |o: &Options| Value::Int(o.$($field).+.into()),
            |o: &mut Options, value: &Value| {
                o.$($field).+ = u32::try_from(value.int()?).ok()?;
                Some(())
            },
        )
    };
}

/// A number that is not negative.
macro_rules! number {
    ($name:literal, $doc:literal, $($field:ident).+) => {
        (
            $name,
            $doc,
            |o: &Options| Value::Int(i64::try_from(o.$($field).+).unwrap_or(i64::MAX)),
            |o: &mut Options, value: &Value| {
                o.$($field).+ = value.int()?.try_into().ok()?;
                Some(())
            },
        )
    };
}

/// 0 or another number.
macro_rules! switch {
    ($name:literal, $doc:literal, $($field:ident).+) => {
        (
            $name,
            $doc,
            |o: &Options| Value::Int(o.$($field).+.into()),
            |o: &mut Options, value: &Value| {
                o.$($field).+ = value.int()? != 0;
                Some(())
            },
        )
    };
}

/// A text.
macro_rules! text {
    ($name:literal, $doc:literal, $($field:ident).+) => {
        (
            $name,
            $doc,
            |o: &Options| Value::Str(o.$($field).+.clone()),
            |o: &mut Options, value: &Value| {
                o.$($field).+ = value.str()?;
                Some(())
            },
        )
    };
}

const TIMERS: [Row; 8] = [
    time!(
        "fr_timer",
        "Milliseconds for the first reply to an INVITE, or the final one to anything else.",
        timing.fr_timer
    ),
    time!(
        "fr_inv_timer",
        "Milliseconds for the final reply to an INVITE that rings.",
        timing.fr_inv_timer
    ),
    time!(
        "wt_timer",
        "Milliseconds for which an answered transaction is kept.",
        timing.wt_timer
    ),
    time!(
        "retr_timer1",
        "Milliseconds before the first retransmission.",
        timing.retr_timer1
    ),
    time!(
        "retr_timer2",
        "Milliseconds of the longest interval between retransmissions.",
        timing.retr_timer2
    ),
    time!(
        "max_inv_lifetime",
        "Milliseconds after which an INVITE without a final reply ends.",
        timing.max_inv_lifetime
    ),
    time!(
        "max_noninv_lifetime",
        "Milliseconds after which any other request without a final reply ends.",
        timing.max_noninv_lifetime
    ),
    switch!(
        "restart_fr_on_each_reply",
        "Each provisional reply starts fr_inv_timer anew.",
        timing.restart_fr_on_each_reply
    ),
];

const MATCHING: [Row; 5] = [
    switch!(
        "ruri_matching",
        "Old requests are told apart by their Request-URI.",
        matching.ruri
    ),
    switch!(
        "via1_matching",
        "Old requests are told apart by their topmost Via.",
        matching.via1
    ),
    switch!(
        "callid_matching",
        "The Call-ID has to fit besides the branch.",
        matching.callid
    ),
    switch!(
        "callid_cseq_matching",
        "Call-ID and CSeq alone name a transaction.",
        matching.callid_cseq
    ),
    number!(
        "unmatched_cancel",
        "A CANCEL without an INVITE: 0 stateful, 1 stateless, 2 dropped.",
        unmatched_cancel
    ),
];

const ANSWERS: [Row; 11] = [
    switch!(
        "auto_inv_100",
        "INVITEs are answered with 100 before they are relayed.",
        auto_inv_100
    ),
    text!(
        "auto_inv_100_reason",
        "The reason of that reply.",
        auto_inv_100_reason
    ),
    (
        "default_code",
        "The code of t_reply() where the script gives no usable one.",
        |o| Value::Int(o.default_code.into()),
        |o, value| {
            let code = u16::try_from(value.int()?).ok();
            o.default_code = code.filter(|code| (400..700).contains(code))?;
            Some(())
        },
    ),
    text!(
        "default_reason",
        "The reason of t_reply() where the script gives none.",
        default_reason
    ),
    switch!(
        "aggregate_challenges",
        "A 401 or 407 carries the challenges of all branches.",
        aggregate_challenges
    ),
    switch!("relay_100", "Passes 100 on.", policy.relay_100),
    switch!(
        "pass_provisional_replies",
        "Who asked for the answers of local requests hears of provisional ones too.",
        further.pass_provisional
    ),
    switch!(
        "enable_uac_fr",
        "Requests of this server have failure routes.",
        further.enable_uac_fr
    ),
    switch!(
        "local_cancel_reason",
        "CANCELs say in Reason which reply caused them.",
        local_cancel_reason
    ),
    switch!(
        "e2e_cancel_reason",
        "CANCELs carry the Reason headers of the caller's.",
        e2e_cancel_reason
    ),
    text!(
        "ac_extra_hdrs",
        "Headers whose names begin so are copied to ACK and CANCEL.",
        ac_extra_hdrs
    ),
];

const BRANCHES: [Row; 11] = [
    (
        "cancel_b_method",
        "A branch that nobody answered is cancelled by: 0 giving it up, 1 on its first reply, 2 at once.",
        |o| {
            Value::Int(match o.policy.cancel {
                CancelMethod::Fake => 0,
                CancelMethod::OnReply => 1,
                CancelMethod::AtOnce => 2,
            })
        },
        |o, value| {
            o.policy.cancel = CancelMethod::from_number(value.int()?)?;
            Some(())
        },
    ),
    (
        "disable_6xx_block",
        "A 6xx ends no other branch.",
        |o| Value::Int((!o.policy.stop_at_6xx).into()),
        |o, value| {
            o.policy.stop_at_6xx = value.int()? == 0;
            Some(())
        },
    ),
    switch!(
        "reparse_invite",
        "ACK and CANCEL are made from the INVITE as it was sent.",
        further.reparse_invite
    ),
    (
        "local_ack_mode",
        "Where own ACKs go: 0 by route set, 1 where the INVITE went, 2 where the 2xx came from.",
        |o| Value::Int(o.further.ack_to.number()),
        |o, value| {
            o.further.ack_to = super::further::AckTo::from_number(value.int()?)?;
            Some(())
        },
    ),
    (
        "unix_tx_timeout",
        "Milliseconds that a program may take to read what t_write_unix() sends it.",
        |o| Value::Int(i64::try_from(o.further.unix_tx_timeout.as_millis()).unwrap_or(i64::MAX)),
        |o, value| {
            let time = u64::try_from(value.int()?).ok()?;
            o.further.unix_tx_timeout = std::time::Duration::from_millis(time);
            Some(())
        },
    ),
    switch!(
        "blst_503",
        "A 503 puts its sender on the blocklist.",
        further.blocklist.on_503
    ),
    number!(
        "blst_503_def_timeout",
        "Seconds for a 503 without Retry-After.",
        further.blocklist.default
    ),
    number!(
        "blst_503_min_timeout",
        "The fewest seconds for a 503.",
        further.blocklist.min
    ),
    number!(
        "blst_503_max_timeout",
        "The most seconds for a 503.",
        further.blocklist.max
    ),
    number!(
        "blst_methods_add",
        "Methods whose timeout puts a destination on the list.",
        further.blocklist.add
    ),
    number!(
        "blst_methods_lookup",
        "Methods that are not sent to a destination on it.",
        further.blocklist.lookup
    ),
];

/// Named by Kamailio's tools; their documentation says why they change nothing.
const WITHOUT_EFFECT: [(&str, i64, &str); 3] = [
    (
        "fr_inv_timer_next",
        30_000,
        "No effect: every leg of a call has the time of fr_inv_timer, or of t_set_fr().",
    ),
    (
        "noisy_ctimer",
        0,
        "No effect: an INVITE whose time is over is always cancelled and answered with 408.",
    ),
    (
        "reparse_on_dns_failover",
        1,
        "No effect: a request to the next address is made from the one that was sent.",
    ),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [&TIMERS[..], &MATCHING, &ANSWERS, &BRANCHES]
        .into_iter()
        .flatten()
}

/// Declares them with what the configuration says, and takes over what is changed.
pub fn declare(core: &Arc<Core>, env: &Env<'_>) {
    let options = core.options();
    for (name, doc, value, _) in rows() {
        env.settings.declare("tm", name, value(&options), doc, false);
    }
    for (name, value, doc) in WITHOUT_EFFECT {
        env.settings.declare("tm", name, Value::Int(value), doc, false);
    }
    let core = Arc::downgrade(core);
    env.settings
        .on_change("tm", move |settings, _| apply(&core, settings));
}

fn apply(core: &Weak<Core>, settings: &Settings) {
    let Some(core) = core.upgrade() else { return };
    let mut options = Options::clone(&core.options());
    for (name, _, _, put) in rows() {
        let value = settings.get(b"tm", name.as_bytes()).unwrap_or_default();
        if put(&mut options, &value).is_none() {
            let value = value.str().unwrap_or(Str::EMPTY);
            error!("tm", "tm.{name} stays as it was: {value} is out of its range.");
        }
    }
    core.set_options(options);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tm::testing::Bench;

    #[test]
    fn every_setting_says_what_holds_and_changes_it() {
        let bench = Bench::default();
        let settings = &bench.server.worker.config.settings;
        let before = bench.core.options();
        for (name, _, value, _) in rows() {
            assert_eq!(
                settings.get(b"tm", name.as_bytes()),
                Some(value(&before)),
                "{name}"
            );
            let other = match value(&before) {
                Value::Int(1) => Value::Int(0),
                Value::Int(0) => Value::Int(1),
                Value::Int(number) => Value::Int(number + 1),
                _ => Value::Str(Str::from_static("other")),
            };
            assert!(settings.set(b"tm", name.as_bytes(), other.clone()), "{name}");
            assert_eq!(value(&bench.core.options()), other, "{name}");
        }
        assert!(settings.reset(b"tm"));
        for (name, _, value, _) in rows() {
            assert_eq!(value(&bench.core.options()), value(&before), "{name}");
        }
    }

    #[test]
    fn a_value_out_of_range_changes_nothing() {
        let bench = Bench::default();
        let settings = &bench.server.worker.config.settings;
        for (name, value) in [
            ("default_code", 200),
            ("cancel_b_method", 3),
            ("fr_timer", -1),
            ("local_ack_mode", 9),
        ] {
            settings.set(b"tm", name.as_bytes(), Value::Int(value));
        }
        let options = bench.core.options();
        assert_eq!((options.default_code, options.timing.fr_timer), (500, 30_000));
        assert_eq!(options.policy.cancel, CancelMethod::OnReply);
    }
}
