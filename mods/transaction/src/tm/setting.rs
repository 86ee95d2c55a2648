//! Timers and switches of one transaction: `t_set_fr()` and its kin.

use kahea_module::{
    Cx, Decl, Fault,
    route::{ANY, BRANCH, EVENT, FAILURE, REPLY, REQUEST},
};
use kahea_tx::Timing;

use super::{
    Tm,
    attached::{self, Attached},
    cell::Switches,
    core::now,
    kept::Snapshot,
    relaying::set_switch,
    timer,
};

/// Declares them.
pub fn declare(d: &mut Decl<Tm>) {
    let most = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "t_set_fr",
        ["inv", "other"],
        t_set_fr,
        "fr_inv_timer and fr_timer of this transaction in milliseconds; 0 leaves one as it is.",
    )
    .routes(most)
    .kemi(1, "t_set_fr_inv")
    .kemi(2, "t_set_fr");
    d.func("t_reset_fr", [], t_reset_fr, "Both timers as the parameters say.")
        .routes(most)
        .kemi(0, "t_reset_fr");
    d.func(
        "t_set_retr",
        ["t1", "t2"],
        t_set_retr,
        "retr_timer1 and retr_timer2 of this transaction in milliseconds; 0 leaves one as it is.",
    )
    .routes(most)
    .kemi(2, "t_set_retr");
    d.func(
        "t_reset_retr",
        [],
        t_reset_retr,
        "Both intervals as the parameters say.",
    )
    .routes(most)
    .kemi(0, "t_reset_retr");
    d.func("t_set_max_lifetime", ["inv", "other"], t_set_max_lifetime, "max_inv_lifetime and max_noninv_lifetime of this transaction in milliseconds; 0 leaves one as it is.")
        .routes(most)
        .kemi(2, "t_set_max_lifetime");
    d.func(
        "t_reset_max_lifetime",
        [],
        t_reset_max_lifetime,
        "Both lifetimes as the parameters say.",
    )
    .routes(most)
    .kemi(0, "t_reset_max_lifetime");
    switches(d);
    d.func(
        "t_save_lumps",
        [],
        t_save_lumps,
        "Failure routes begin with the changes made so far; later ones are not part of them.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_save_lumps");
    d.func(
        "t_drop_replies",
        ["mode"],
        t_drop_replies,
        "Results so far no longer count once there are new branches: a all, l those of the last leg, n none.",
    )
    .routes(FAILURE)
    .kemi(0, "t_drop_replies_all")
    .kemi(1, "t_drop_replies");
    d.func(
        "t_clean",
        [],
        t_clean,
        "Removes transactions that outlived every timer; here none can.",
    )
    .routes(ANY)
    .kemi(0, "t_clean");
}

fn switches(d: &mut Decl<Tm>) {
    let most = REQUEST | FAILURE | REPLY | BRANCH | EVENT;
    d.func(
        "t_set_auto_inv_100",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_AUTO_100, on == 0);
            true
        },
        "Whether this INVITE is answered with 100.",
    )
    .routes(REQUEST | EVENT)
    .kemi(1, "t_set_auto_inv_100");
    d.func(
        "t_set_disable_6xx",
        ["on"],
        t_set_disable_6xx,
        "A 6xx of this transaction is like any other reply.",
    )
    .routes(most)
    .kemi(1, "t_set_disable_6xx");
    d.func(
        "t_set_disable_failover",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_FAILOVER, on != 0);
            true
        },
        "No other address of a hop is tried.",
    )
    .routes(most)
    .kemi(1, "t_set_disable_failover");
    d.func(
        "t_set_no_e2e_cancel_reason",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_CANCEL_REASON, on != 0);
            true
        },
        "CANCELs do not carry the caller's Reason.",
    )
    .routes(most)
    .kemi(1, "t_set_no_e2e_cancel_reason");
    d.func(
        "t_disable_e2e_cancel_reason",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_CANCEL_REASON, on != 0);
            true
        },
        "CANCELs do not carry the caller's Reason.",
    )
    .routes(most);
    d.func(
        "t_set_disable_internal_reply",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_INTERNAL_REPLY, on != 0);
            true
        },
        "No reply of its own where relaying fails.",
    )
    .routes(most)
    .kemi(1, "t_set_disable_internal_reply");
    d.func(
        "t_set_no_auto_ack",
        ["on"],
        |_: &Tm, cx: &mut Cx, on: i64| {
            set_switch(cx, Switches::NO_AUTO_ACK, on != 0);
            true
        },
        "Final replies are not acknowledged by this server.",
    )
    .routes(most)
    .kemi(1, "t_set_no_auto_ack");
}

fn t_set_disable_6xx(_: &Tm, cx: &mut Cx, on: i64) -> bool {
    set_switch(cx, Switches::NO_6XX, on != 0);
    if let Some(cell) = attached::cell(cx) {
        cell.state.lock().tx.policy().stop_at_6xx = on == 0;
    }
    true
}

/// Changes the timers of the transaction, or of the one to come.
fn change(m: &Tm, cx: &mut Cx, change: impl FnOnce(&mut Timing)) -> bool {
    let worker = cx.worker.clone();
    let attached = cx.extra::<Attached>();
    match &attached.cell {
        Some(cell) => {
            let mut state = cell.state.lock();
            let mut timing = *state.tx.timing();
            change(&mut timing);
            state.tx.set_timing(now(&worker), timing);
            timer::arm(cell, &mut state, &worker);
        }
        None => change(attached.timing.get_or_insert(m.core.options().timing)),
    }
    true
}

fn milliseconds(value: i64) -> Result<Option<u32>, Fault> {
    match u32::try_from(value) {
        Ok(0) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(Fault::script(format!("{value} are no milliseconds"))),
    }
}

fn t_set_fr(m: &Tm, cx: &mut Cx, inv: i64, other: Option<i64>) -> Result<bool, Fault> {
    let (inv, other) = (milliseconds(inv)?, milliseconds(other.unwrap_or(0))?);
    Ok(change(m, cx, |timing| {
        timing.fr_inv_timer = inv.unwrap_or(timing.fr_inv_timer);
        timing.fr_timer = other.unwrap_or(timing.fr_timer);
    }))
}

fn t_reset_fr(m: &Tm, cx: &mut Cx) -> bool {
    let standard = m.core.options().timing;
    change(m, cx, |timing| {
        timing.fr_inv_timer = standard.fr_inv_timer;
        timing.fr_timer = standard.fr_timer;
    })
}

fn t_set_retr(m: &Tm, cx: &mut Cx, t1: i64, t2: i64) -> Result<bool, Fault> {
    let (t1, t2) = (milliseconds(t1)?, milliseconds(t2)?);
    Ok(change(m, cx, |timing| {
        timing.retr_timer1 = t1.unwrap_or(timing.retr_timer1);
        timing.retr_timer2 = t2.unwrap_or(timing.retr_timer2);
    }))
}

fn t_reset_retr(m: &Tm, cx: &mut Cx) -> bool {
    let standard = m.core.options().timing;
    change(m, cx, |timing| {
        timing.retr_timer1 = standard.retr_timer1;
        timing.retr_timer2 = standard.retr_timer2;
    })
}

fn t_set_max_lifetime(m: &Tm, cx: &mut Cx, inv: i64, other: i64) -> Result<bool, Fault> {
    let (inv, other) = (milliseconds(inv)?, milliseconds(other)?);
    Ok(change(m, cx, |timing| {
        timing.max_inv_lifetime = inv.unwrap_or(timing.max_inv_lifetime);
        timing.max_noninv_lifetime = other.unwrap_or(timing.max_noninv_lifetime);
    }))
}

fn t_reset_max_lifetime(m: &Tm, cx: &mut Cx) -> bool {
    let standard = m.core.options().timing;
    change(m, cx, |timing| {
        timing.max_inv_lifetime = standard.max_inv_lifetime;
        timing.max_noninv_lifetime = standard.max_noninv_lifetime;
    })
}

fn t_save_lumps(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    let cell = attached::cell(cx)
        .ok_or_else(|| Fault::script("t_save_lumps() needs a transaction: call t_newtran() before"))?;
    cell.state.lock().snapshot = Some(Box::new(Snapshot::of(cx)));
    Ok(true)
}

fn t_drop_replies(_: &Tm, cx: &mut Cx, mode: Option<kahea_module::Str>) -> Result<bool, Fault> {
    let mode = match mode.as_deref().and_then(<[u8]>::first) {
        None | Some(b'a') => 1,
        Some(b'l') => 2,
        Some(b'n') => 0,
        Some(_) => return Err(Fault::script("t_drop_replies() takes a, l or n")),
    };
    let cell = attached::cell(cx).ok_or_else(|| Fault::script("the message has no transaction"))?;
    cell.state.lock().drop_replies = mode;
    Ok(true)
}

fn t_clean(_: &Tm, _: &mut Cx) -> bool {
    true
}
