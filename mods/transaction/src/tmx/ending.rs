//! Branches and transactions that a script ends: `t_cancel_branches()` and its kin, `t_reply_callid()`,
//! `t_uac_ack_local()`.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Str, Worker, arg::Literal, route::REPLY};
use kahea_sip::Method;
use kahea_tx::{Actions, BranchId, Key};

use super::{Tmx, waiting};
use crate::tm::{
    ack::{self, Addition},
    answer, attached,
    cell::{Cell, State, Work},
    core::{Core, now},
    replies, timer, turn,
    wire::{self, Packets, carry_out},
};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_cancel_branches",
        ["which"],
        t_cancel_branches,
        "Cancels the branches that ring: all of them, or the others than the reply's. As in Kamailio, this is all.",
    )
    .routes(REPLY)
    .kemi(1, "t_cancel_branches");
    d.func(
        "t_cancel_branch_idx",
        ["index", "label", "branch"],
        t_cancel_branch_idx,
        "Cancels one branch, by its number, of the transaction with this $T(id_index) and $T(id_label).",
    );
    d.func(
        "t_cancel_callid",
        ["callid", "cseq", "flag", "code"],
        t_cancel_callid,
        "Cancels the branches of the INVITE with this Call-ID and CSeq number, sets a flag of it where that is above \
         0, and names the code in the Reason of the CANCELs.",
    )
    .kemi(3, "t_cancel_callid")
    .kemi(4, "t_cancel_callid_reason");
    d.func(
        "t_reply_callid",
        ["callid", "cseq", "code", "reason"],
        t_reply_callid,
        "Answers the request with this Call-ID and CSeq number.",
    )
    .kemi(4, "t_reply_callid");
    d.func(
        "t_uac_ack_local",
        ["callid", "cseq", "headers", "body"],
        t_uac_ack_local,
        "Acknowledges the 2xx to an INVITE of this server's own, where t_set_no_auto_ack() leaves that to the script.",
    )
    .kemi(4, "t_uac_ack_local");
}

/// Which branches to cancel.
pub enum Which {
    /// Not that of the reply at hand.
    Others,
    /// Every one.
    All,
}

impl Literal for Which {
    const WHAT: &'static str = "all, others or this";

    fn parse(text: &str, _: &dyn Bind) -> Result<Which, BindError> {
        match text {
            "others" => Ok(Which::Others),
            "this" | "all" => Ok(Which::All),
            _ => Err(
                BindError::new(format!("t_cancel_branches() does not know '{text}'"))
                    .help("write all, others or this"),
            ),
        }
    }
}

fn t_cancel_branches(m: &Tmx, cx: &mut Cx, which: Lit<Which>) -> Result<bool, Fault> {
    let at_hand = match (attached::cell(cx), attached::role(cx).branch()) {
        (Some(cell), Some(branch)) => Some((cell, branch)),
        _ => replies::find(&m.core, cx),
    };
    let (cell, branch) = at_hand.ok_or_else(|| Fault::script("the reply belongs to no transaction"))?;
    let spared = match *which {
        Which::Others => Some(branch),
        Which::All => None,
    };
    let worker = timer::worker_of(&cell, &cx.worker);
    cancel_ringing(&cell, &worker, Str::EMPTY, |at| Some(at) != spared);
    Ok(true)
}

fn t_cancel_branch_idx(m: &Tmx, cx: &mut Cx, index: i64, label: i64, branch: i64) -> Result<bool, Fault> {
    let cell = waiting::named(m, index, label)?;
    let wanted = u16::try_from(branch)
        .map(BranchId)
        .ok()
        .filter(|branch| branch.index() < cell.state.lock().branches.len())
        .ok_or_else(|| Fault::script(format!("the transaction has no branch {branch}")))?;
    let worker = timer::worker_of(&cell, &cx.worker);
    cancel_ringing(&cell, &worker, Str::EMPTY, |at| at == wanted);
    Ok(true)
}

/// Cancels branches that have had a provisional reply.
fn cancel_ringing(cell: &Arc<Cell>, worker: &Rc<Worker>, reason: Str, wanted: impl Fn(BranchId) -> bool) {
    let packets = {
        let mut state = cell.state.lock();
        let packets = cancels(cell, &mut state, worker, reason, wanted);
        timer::arm(cell, &mut state, worker);
        packets
    };
    wire::send(worker, packets);
}

fn cancels(
    cell: &Cell,
    state: &mut State,
    worker: &Rc<Worker>,
    reason: Str,
    wanted: impl Fn(BranchId) -> bool,
) -> Packets {
    let rings = |at: &BranchId| {
        let client = state.tx.client(*at);
        client.is_some_and(|client| client.is_pending() && client.had_provisional())
    };
    let all = (0..state.branches.len()).map(BranchId::at);
    let branches: Vec<BranchId> = all.filter(|at| wanted(*at)).filter(rings).collect();
    let mut actions = Actions::new();
    for branch in branches {
        state.tx.cancel_branch(now(worker), branch, &mut actions);
    }
    let before = std::mem::replace(&mut state.cancel_reason, reason);
    let left = carry_out(cell, state, actions, None);
    state.cancel_reason = before;
    left.packets
}

/// The transaction with this Call-ID and CSeq number.
fn of_call(core: &Core, callid: &Str, cseq: &Str, fits: impl Fn(&Cell) -> bool) -> Result<Arc<Cell>, Fault> {
    let number = kahea_module::value::parse_int(cseq)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| Fault::script(format!("'{cseq}' is no CSeq number")))?;
    let key = Key::of_call(callid, number, &core.table.seed);
    let same = |cell: &Cell| {
        fits(cell)
            && cell
                .message()
                .is_ok_and(|known| known.call_id() == Some(&**callid))
    };
    core.table.of_call(key, same).into_iter().next().ok_or_else(|| {
        Fault::new(
            kahea_module::Blame::Peer,
            format!("there is no transaction with Call-ID {callid} and CSeq {number}"),
        )
    })
}

fn t_cancel_callid(
    m: &Tmx,
    cx: &mut Cx,
    callid: Str,
    cseq: Str,
    flag: i64,
    code: Option<i64>,
) -> Result<bool, Fault> {
    let cell = of_call(&m.core, &callid, &cseq, |cell| cell.method == Method::Invite)?;
    let flag = match u32::try_from(flag) {
        Err(_) | Ok(0) => 0,
        Ok(flag) => 1_u32
            .checked_shl(flag)
            .ok_or_else(|| Fault::script(format!("there is no flag {flag}: give a number from 0 to 31")))?,
    };
    let reason = match code {
        Some(code) if code > 0 => Str::from(format!("Reason: SIP;cause={code}\r\n")),
        _ => Str::EMPTY,
    };
    let worker = timer::worker_of(&cell, &cx.worker);
    let work = move |cell: Arc<Cell>, worker: &Rc<Worker>| {
        *cell.state.lock().context.flags_mut() |= flag;
        cancel_ringing(&cell, worker, reason, |_| true);
        turn::done(&cell, worker);
    };
    turn::take(&cell, &worker, Work::Do(Box::new(work)));
    Ok(true)
}

fn t_reply_callid(
    m: &Tmx,
    cx: &mut Cx,
    callid: Str,
    cseq: Str,
    code: i64,
    reason: Str,
) -> Result<bool, Fault> {
    let status = u16::try_from(code)
        .ok()
        .filter(|code| (100..700).contains(code))
        .ok_or_else(|| Fault::script(format!("{code} is no status code: give one from 100 to 699")))?;
    let cell = of_call(&m.core, &callid, &cseq, |_| true)?;
    let worker = timer::worker_of(&cell, &cx.worker);
    let work = move |cell: Arc<Cell>, worker: &Rc<Worker>| {
        answer::in_place(&cell, worker, status, &reason);
        turn::done(&cell, worker);
    };
    turn::take(&cell, &worker, Work::Do(Box::new(work)));
    Ok(true)
}

fn t_uac_ack_local(
    m: &Tmx,
    cx: &mut Cx,
    callid: Str,
    cseq: Str,
    headers: Option<Str>,
    body: Option<Str>,
) -> Result<bool, Fault> {
    let own = |cell: &Cell| cell.method == Method::Invite && cell.state.lock().tx.is_local();
    let cell = of_call(&m.core, &callid, &cseq, own)?;
    let worker = timer::worker_of(&cell, &cx.worker);
    let kept = {
        let state = cell.state.lock();
        let kept = state
            .local
            .as_ref()
            .and_then(|local| local.unacknowledged.as_ref());
        kept.map(|(branch, reply)| (*branch, reply.view(worker)))
    };
    let (branch, mut reply) = kept.ok_or_else(|| {
        Fault::script(
            "there is no 2xx to acknowledge: none came, or t_set_no_auto_ack() did not leave it to the script",
        )
    })?;
    let addition = Addition {
        headers: headers.unwrap_or(Str::EMPTY),
        body: body.unwrap_or(Str::EMPTY),
    };
    ack::acknowledge(&cell, branch, &mut reply, addition);
    reply.finish();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use kahea_module::{Ret, testing::FakeBind};
    use kahea_sip::{Limits, Message};

    use super::*;
    use crate::tm::{
        local,
        relay::{self, How},
        testing::Bench,
        uac::LocalRequest,
    };

    /// An INVITE at a phone that rings, as branch 0.
    fn ringing(bench: &Bench) -> Arc<Cell> {
        let text = kahea_module::testing::INVITE.replace("example.com:5070", "127.0.0.1:5071");
        let mut cx = bench.server.message(&text);
        assert!(matches!(
            relay::relay(&bench.core, &mut cx, How::default()),
            Ret::Code(1)
        ));
        let cell = attached::cell(&cx).expect("a transaction");
        relay::request_ended(&mut cx);
        cx.finish();
        let worker = &bench.server.worker;
        let mut state = cell.state.lock();
        state.tx.reply(now(worker), BranchId(0), 180, &mut Actions::new());
        drop(state);
        bench.sent();
        cell
    }

    fn call() -> (Str, Str) {
        (
            Str::from_static("a84b4c76e66710@127.0.0.1"),
            Str::from_static("314159"),
        )
    }

    #[test]
    fn a_call_is_cancelled_by_its_name_with_a_reason_and_a_flag() {
        let bench = Bench::default();
        let cell = ringing(&bench);
        let mut cx = bench.server.invite();
        let (callid, cseq) = call();
        let found = t_cancel_callid(&bench.tmx, &mut cx, callid, cseq, 21, Some(480));
        assert_eq!(found, Ok(true));
        let packets = bench.server.net.sent.take();
        let [(_, cancel)] = packets.as_slice() else {
            panic!("one CANCEL, not {packets:?}");
        };
        assert!(cancel.starts_with(b"CANCEL "));
        assert!(cancel.text().contains("Reason: SIP;cause=480\r\n"));
        let state = cell.state.lock();
        assert_eq!(state.context.flags() & (1 << 21), 1 << 21);
        assert!(!state.tx.is_cancelled(), "nobody upstream has cancelled it");
    }

    #[test]
    fn the_script_acknowledges_a_2xx_itself() {
        let bench = Bench::default();
        let (cell, reply) = own_invite(&bench);
        let sent = Message::parse(cell.request.clone(), &Limits::default()).unwrap();
        let callid = Str::copy(sent.call_id().unwrap());
        let again = |headers: &'static str, body: &'static str| {
            let mut cx = bench.server.invite();
            t_uac_ack_local(
                &bench.tmx,
                &mut cx,
                callid.clone(),
                Str::from_static("10"),
                Some(headers.into()),
                Some(body.into()),
            )
        };
        assert!(again("", "").is_err(), "there is nothing to acknowledge yet");
        assert!(replies::take(&bench.core, bench.server.message(&reply)).is_none());
        assert_eq!(bench.sent(), Vec::<String>::new(), "this server does not do it");
        assert_eq!(again("X-Own: 1\r\nContent-Type: a/b\r\n", "body"), Ok(true));
        let packets = bench.server.net.sent.take();
        let [(to, ack)] = packets.as_slice() else {
            panic!("one ACK, not {packets:?}");
        };
        assert_eq!(to.to.port(), 5072);
        assert!(ack.starts_with(b"ACK sip:b@127.0.0.1:5072 SIP/2.0\r\n"));
        let end = "X-Own: 1\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\nbody";
        assert!(ack.text().ends_with(end), "{}", ack.text());
    }

    /// An INVITE of this server's own that leaves the ACK to the script, and its 200.
    fn own_invite(bench: &Bench) -> (Arc<Cell>, String) {
        let request = LocalRequest {
            method: "INVITE".into(),
            ruri: "sip:b@127.0.0.1:5071".into(),
            from: "<sip:me@h>".into(),
            to: "<sip:b@h>".into(),
            no_ack: true,
            ..LocalRequest::default()
        };
        let mut sending = pin!(local::send(&bench.core, &bench.server.worker, request));
        let Poll::Ready(Ok(id)) = sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("the request was not sent at once");
        };
        let cell = bench.core.table.get(id).expect("a transaction");
        bench.sent();
        let data = cell.sent_on(&cell.state.lock().branches[0]);
        let sent = data.text().into_owned();
        let line = |name: &str| {
            sent.lines()
                .find(|line| line.starts_with(name))
                .unwrap()
                .to_owned()
        };
        let reply = format!(
            "SIP/2.0 200 OK\n{}\n{}\nTo: <sip:b@h>;tag=2\n{}\nCSeq: 10 INVITE\nContact: <sip:b@127.0.0.1:5072>\n",
            line("Via"),
            line("From"),
            line("Call-ID")
        );
        (cell, reply)
    }

    #[test]
    fn what_does_not_ring_is_left_alone() {
        let bench = Bench::default();
        let cell = ringing(&bench);
        let worker = &bench.server.worker;
        cancel_ringing(&cell, worker, Str::EMPTY, |at| at != BranchId(0));
        assert_eq!(bench.sent(), Vec::<String>::new());
        cancel_ringing(&cell, worker, Str::EMPTY, |_| true);
        assert_eq!(
            bench.sent(),
            ["CANCEL sip:bob@127.0.0.1:5071;transport=udp SIP/2.0"]
        );
    }

    #[test]
    fn a_call_is_answered_by_its_name() {
        let bench = Bench::default();
        ringing(&bench);
        let mut cx = bench.server.invite();
        let (callid, cseq) = call();
        let reason = Str::from_static("By Another");
        let done = t_reply_callid(
            &bench.tmx,
            &mut cx,
            callid.clone(),
            cseq.clone(),
            488,
            reason.clone(),
        );
        assert_eq!(done, Ok(true));
        assert!(bench.sent().contains(&"SIP/2.0 488 By Another".to_owned()));
        for (callid, cseq, code) in [
            (Str::from_static("none"), cseq.clone(), 488),
            (callid.clone(), Str::from_static("x"), 488),
            (callid, cseq, 99),
        ] {
            assert!(
                t_reply_callid(&bench.tmx, &mut cx, callid, cseq, code, reason.clone()).is_err(),
                "{code}"
            );
        }
    }

    #[test]
    fn branches_are_named_by_three_words() {
        let bind = FakeBind::default();
        for word in ["all", "others", "this"] {
            assert!(Which::parse(word, &bind).is_ok(), "{word}");
        }
        assert!(Which::parse("some", &bind).is_err());
    }
}
