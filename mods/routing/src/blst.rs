//! Module `blst`: the script's hand on the destination blocklist (`use_dst_blocklist`).

use std::time::Duration;

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module};
use kahea_sip::{HeaderId, SendFlags, view::RetryAfter};

/// The module.
pub struct Blst;

impl Module for Blst {
    const NAME: &'static str = "blst";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        declare_list(d);
        declare_ignoring(d);
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Blst, InitError> {
        Ok(Blst)
    }
}

fn declare_list(d: &mut Decl<Blst>) {
    d.func(
        "blst_add",
        ["seconds"],
        blst_add,
        "Lists the source of the message as a destination to avoid; without a time, or with 0, for \
         dst_blocklist_expire seconds.",
    )
    .kemi(0, "blst_add_default")
    .kemi(1, "blst_add")
    .example("blst_add(30);");
    d.func(
        "blst_add_retry_after",
        ["min", "max"],
        blst_add_retry_after,
        "Lists the source for the time of its Retry-After header, within these bounds in seconds; false without the header.",
    )
    .kemi(2, "blst_add_retry_after")
    .example("blst_add_retry_after(30, 3600);");
    d.func(
        "blst_del",
        [],
        blst_del,
        "Takes the source of the message off the list; false where it was not on it.",
    )
    .kemi(0, "blst_del");
    d.func(
        "blst_is_blocklisted",
        [],
        blst_is_blocklisted,
        "The source of the message is on the list.",
    )
    .kemi(0, "blst_is_blocklisted");
}

fn declare_ignoring(d: &mut Decl<Blst>) {
    d.func(
        "blst_set_ignore",
        ["flags"],
        |_: &Blst, cx: &mut Cx, flags: Option<i64>| set(&mut cx.forward_flags, flags),
        "Errors that do not list the next hop of this message: 2 sending, 4 connecting, 8 ICMP, 16 timeout, 32 a 503; \
         without flags all.",
    )
    .kemi(0, "blst_set_ignore_all")
    .kemi(1, "blst_set_ignore")
    .example("blst_set_ignore(6);");
    d.func(
        "blst_clear_ignore",
        ["flags"],
        |_: &Blst, cx: &mut Cx, flags: Option<i64>| clear(&mut cx.forward_flags, flags),
        "Takes back flags of blst_set_ignore(); without flags all.",
    )
    .kemi(0, "blst_clear_ignore_all")
    .kemi(1, "blst_clear_ignore");
    d.func(
        "blst_rpl_set_ignore",
        ["flags"],
        |_: &Blst, cx: &mut Cx, flags: Option<i64>| set(&mut cx.reply_flags, flags),
        "Errors that do not list the peer when a reply to this message cannot be sent; flags as of blst_set_ignore().",
    )
    .kemi(0, "blst_rpl_set_ignore_all")
    .kemi(1, "blst_rpl_set_ignore");
    d.func(
        "blst_rpl_clear_ignore",
        ["flags"],
        |_: &Blst, cx: &mut Cx, flags: Option<i64>| clear(&mut cx.reply_flags, flags),
        "Takes back flags of blst_rpl_set_ignore(); without flags all.",
    )
    .kemi(0, "blst_rpl_clear_ignore_all")
    .kemi(1, "blst_rpl_clear_ignore");
}

fn is_on(cx: &Cx) -> bool {
    let setting = cx.config().settings.get(b"core", b"use_dst_blocklist");
    let now = setting.and_then(|value| value.int()).map(|on| on != 0);
    let on = now.unwrap_or(cx.config().globals.use_dst_blocklist);
    if !on {
        kahea_module::debug!(
            "blst",
            "The blocklist is off: use_dst_blocklist=on makes it work."
        );
    }
    on
}

fn add(cx: &Cx, seconds: u64) -> bool {
    let life = (seconds > 0).then_some(Duration::from_secs(seconds));
    let received = &cx.received;
    cx.worker.net.block(received.source, received.transport, life)
}

/// True too where the list is off, as scripts of Kamailio know it.
fn blst_add(_: &Blst, cx: &mut Cx, seconds: Option<i64>) -> Result<bool, Fault> {
    let seconds = u64::try_from(seconds.unwrap_or(0))
        .map_err(|_| Fault::script("a time to stay on the blocklist cannot be below 0"))?;
    Ok(!is_on(cx) || add(cx, seconds))
}

fn blst_add_retry_after(_: &Blst, cx: &mut Cx, min: i64, max: i64) -> Result<bool, Fault> {
    if !is_on(cx) {
        return Ok(true);
    }
    let Some(header) = cx.msg.first(HeaderId::RetryAfter) else {
        return Ok(false);
    };
    let wanted = RetryAfter::parse(cx.msg.value(header))
        .map_err(|error| Fault::peer(format!("the Retry-After header cannot be read: {error}")))?
        .seconds;
    let bounded = i64::from(wanted).max(min).min(max);
    Ok(add(cx, u64::try_from(bounded).unwrap_or(0)))
}

fn blst_del(_: &Blst, cx: &mut Cx) -> bool {
    is_on(cx) && cx.worker.net.unblock(cx.received.source, cx.received.transport)
}

fn blst_is_blocklisted(_: &Blst, cx: &mut Cx) -> bool {
    is_on(cx)
        && cx
            .worker
            .net
            .is_blocked(cx.received.source, cx.received.transport)
}

/// The flags given, or all; those above the eighth bit mean nothing.
fn bits(flags: Option<i64>) -> u8 {
    u8::try_from(flags.unwrap_or(0xff) & 0xff).unwrap_or(0)
}

fn set(on: &mut SendFlags, flags: Option<i64>) -> bool {
    on.ignored_errors |= bits(flags);
    true
}

fn clear(on: &mut SendFlags, flags: Option<i64>) -> bool {
    on.ignored_errors &= !bits(flags);
    true
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::*;

    fn server(on: bool) -> Server {
        Server::new(|config| config.globals.use_dst_blocklist = on)
    }

    #[test]
    fn a_source_is_listed_and_taken_off() {
        let server = server(true);
        let cx = &mut server.invite();
        assert!(!blst_is_blocklisted(&Blst, cx));
        assert_eq!(blst_add(&Blst, cx, Some(30)), Ok(true));
        let life = server
            .net
            .blocked
            .borrow()
            .get(&(cx.received.source, cx.received.transport))
            .copied();
        assert_eq!(life, Some(Some(Duration::from_secs(30))));
        assert!(blst_is_blocklisted(&Blst, cx) && blst_del(&Blst, cx) && !blst_del(&Blst, cx));
        assert!(blst_add(&Blst, cx, Some(-1)).is_err());
    }

    #[test]
    fn without_the_list_only_adding_is_true() {
        let server = server(false);
        let cx = &mut server.invite();
        assert_eq!(blst_add(&Blst, cx, None), Ok(true));
        assert_eq!(blst_add_retry_after(&Blst, cx, 1, 2), Ok(true));
        assert!(!blst_is_blocklisted(&Blst, cx) && !blst_del(&Blst, cx));
    }

    #[test]
    fn retry_after_counts_within_its_bounds() {
        let server = server(true);
        for (value, min, max, want) in [
            ("60", 30, 3600, Some(60)),
            ("5 (busy)", 30, 3600, Some(30)),
            ("9999", 30, 3600, Some(3600)),
            ("nonsense", 30, 3600, None),
        ] {
            let cx = &mut server.message(&INVITE.replacen("Via:", &format!("Retry-After: {value}\nVia:"), 1));
            let added = blst_add_retry_after(&Blst, cx, min, max);
            assert_eq!(added.is_ok(), want.is_some(), "{value}");
            let life = server
                .net
                .blocked
                .borrow_mut()
                .remove(&(cx.received.source, cx.received.transport));
            assert_eq!(life.flatten(), want.map(Duration::from_secs), "{value}");
        }
        assert_eq!(blst_add_retry_after(&Blst, &mut server.invite(), 1, 2), Ok(false));
    }

    #[test]
    fn flags_of_both_directions_are_kept_apart() {
        let mut cx = server(true).invite();
        set(&mut cx.forward_flags, Some(6));
        set(&mut cx.reply_flags, None);
        clear(&mut cx.forward_flags, Some(4));
        assert_eq!(
            (cx.forward_flags.ignored_errors, cx.reply_flags.ignored_errors),
            (2, 0xff)
        );
        clear(&mut cx.reply_flags, None);
        assert_eq!(cx.reply_flags.ignored_errors, 0);
    }
}
