//! Every short sequence of events for a transaction of one or two branches, and what must never happen in any of them.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use kahea_tx::{
    Action, Actions, BranchId, CancelMethod, Choice, Policy, ServerState, Time, Timing, Transaction,
};

/// What may happen; branches by number.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A reply from a branch.
    Reply(u16, u16),
    /// The network refuses the branch's request.
    Unsent(u16),
    /// The branch's CANCEL is answered.
    CancelAnswered(u16),
    /// The caller repeats its request, acknowledges, gives up.
    Repeated,
    Ack,
    Cancel,
    /// The script answers without waiting for any branch.
    Answer(u16),
    /// The next timer, in time.
    Timer,
    /// The next timer, much too late: others are due with it.
    Late,
}

/// What one branch has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    provisional: bool,
    final_reply: bool,
    refusals: u32,
    acks: u32,
    cancels: u32,
    /// When its CANCEL was sent.
    cancelled: Option<Time>,
}

#[derive(Clone, Debug)]
struct World {
    transaction: Transaction,
    invite: bool,
    reliable: bool,
    method: CancelMethod,
    now: Time,
    seen: [Seen; 2],
    finals: u32,
    successes: u32,
    refusals_before_success: bool,
    rests: u32,
    deletes: u32,
}

impl World {
    fn new(invite: bool, reliable: bool, branches: u16, method: CancelMethod) -> World {
        let policy = Policy {
            cancel: method,
            ..Policy::default()
        };
        let now = Time(1_000);
        let mut transaction = Transaction::new(now, invite, Timing::default(), policy);
        for _ in 0..branches {
            let branch = transaction.add_branch();
            transaction.sent(now, branch, reliable);
        }
        World {
            transaction,
            invite,
            reliable,
            method,
            now,
            seen: [Seen::default(); 2],
            finals: 0,
            successes: 0,
            refusals_before_success: false,
            rests: 0,
            deletes: 0,
        }
    }

    /// Lets an event happen; false where it cannot happen now.
    fn happen(&mut self, event: Event) -> bool {
        let mut actions = Actions::new();
        match event {
            Event::Reply(branch, status) => {
                let seen = &mut self.seen[usize::from(branch)];
                seen.provisional |= status < 200;
                seen.final_reply |= status >= 200;
                if self.invite && status >= 300 {
                    seen.refusals += 1;
                }
                self.transaction
                    .reply(self.now, BranchId(branch), status, &mut actions);
                self.obey(&actions, Some(status), true);
                self.check();
                return true;
            }
            Event::Unsent(branch) => {
                self.transaction
                    .unsent(self.now, BranchId(branch), 503, &mut actions);
            }
            Event::CancelAnswered(branch) => {
                if self.seen[usize::from(branch)].cancels == 0 {
                    return false;
                }
                self.transaction.cancel_answered(self.now, BranchId(branch));
            }
            Event::Repeated => self.transaction.repeated(self.now, &mut actions),
            Event::Ack => self.transaction.ack(self.now, &mut actions),
            Event::Cancel => self.transaction.cancel(self.now, &mut actions),
            Event::Answer(status) => self.answer(status, true),
            Event::Timer => return self.timer(0),
            Event::Late => return self.timer(40_000),
        }
        self.obey(&actions, None, false);
        self.check();
        true
    }

    /// Moves to the next deadline and `late` milliseconds beyond; false without a timer.
    fn timer(&mut self, late: u32) -> bool {
        let deadline = self.transaction.deadline();
        if deadline == Time::NEVER {
            return false;
        }
        self.now = self.now.max(deadline).after(late);
        let mut actions = Actions::new();
        self.transaction.tick(self.now, &mut actions);
        self.obey(&actions, None, false);
        assert!(
            self.transaction.deadline() > self.now,
            "a deadline in the past after tick"
        );
        self.check();
        true
    }

    /// Does what an owner does.
    fn obey(&mut self, actions: &Actions, reply: Option<u16>, from_network: bool) {
        for action in actions {
            match *action {
                Action::Resend(branch) => self.resend(branch),
                Action::Ack(branch) => {
                    assert!(from_network, "an ACK without a reply");
                    self.seen[branch.index()].acks += 1;
                }
                Action::Cancel(branch) => self.cancel(branch),
                Action::CancelAgain(branch) => {
                    let seen = self.seen[branch.index()];
                    assert!(
                        seen.cancels == 1 && !self.reliable && !seen.final_reply,
                        "a CANCEL too many"
                    );
                }
                Action::ResendReply => {
                    assert!(self.transaction.server().status() > 0, "no reply to send again");
                }
                Action::Relay(_) => {
                    let status = reply.expect("a reply at hand");
                    assert!(status != 100 && status < 300, "{status} is not for the caller");
                    self.answer(status, false);
                }
                Action::Ended(_) => self.choose(),
                Action::Rest => self.rests += 1,
                Action::Delete => self.deletes += 1,
            }
        }
    }

    fn resend(&self, branch: BranchId) {
        let seen = self.seen[branch.index()];
        assert!(!self.reliable, "a repetition over a reliable transport");
        assert!(!seen.final_reply, "a repetition after a final reply");
        assert!(
            !self.invite || !seen.provisional,
            "an INVITE repeated after a reply"
        );
    }

    fn cancel(&mut self, branch: BranchId) {
        let seen = &mut self.seen[branch.index()];
        seen.cancels += 1;
        seen.cancelled = Some(self.now);
        assert!(
            self.invite && seen.cancels == 1,
            "the first CANCEL twice, or for no INVITE"
        );
        assert!(!seen.final_reply, "a CANCEL after a final reply");
        let early = self.method == CancelMethod::AtOnce;
        assert!(seen.provisional || early, "a CANCEL before any reply");
    }

    fn choose(&mut self) {
        let choice = self.transaction.choose();
        match choice {
            Choice::Best(branch) => {
                let outcome = self.transaction.client(branch).expect("it exists").outcome();
                let status = outcome.status().expect("it has ended");
                assert!(
                    !self.transaction.has_pending(),
                    "an answer while a branch is open"
                );
                self.answer(status, outcome.is_faked());
            }
            Choice::Pending => assert!(self.transaction.has_pending(), "it waits for nothing"),
            Choice::None => assert!(self.transaction.server().is_final(), "nothing to choose"),
        }
    }

    fn answer(&mut self, status: u16, local: bool) {
        let mut actions = Actions::new();
        let reliable = self.reliable;
        if self
            .transaction
            .answer(self.now, status, local, reliable, &mut actions)
            && status >= 200
        {
            if status < 300 && self.invite {
                self.refusals_before_success |= self.finals > 0;
                self.successes += 1;
            } else {
                self.finals += 1;
            }
        }
        self.obey(&actions, None, false);
    }

    fn check(&self) {
        assert!(self.finals <= 1, "a second final reply");
        assert!(
            self.finals == 0 || self.successes == 0 || self.refusals_before_success,
            "a refusal after a 2xx"
        );
        assert!(self.rests <= 1 && self.deletes <= 1, "resting or deleted twice");
        for seen in self.seen {
            assert_eq!(seen.acks, seen.refusals, "each refusal of an INVITE has its ACK");
        }
        for (seen, client) in self.seen.iter().zip(self.transaction.clients()) {
            let fr_timer = self.transaction.timing().fr_timer;
            let in_time = |cancelled: Time| client.deadline() <= cancelled.after(fr_timer);
            assert!(
                !client.is_pending() || seen.cancelled.is_none_or(in_time),
                "a cancelled branch may take longer than fr_timer"
            );
        }
        if self.transaction.choose() == Choice::Pending {
            assert!(self.transaction.has_pending(), "it waits for nothing");
        }
    }

    /// Lets all timers run out.
    fn run_out(&mut self) {
        for _ in 0..200 {
            if !self.timer(0) {
                break;
            }
        }
        assert_eq!(self.transaction.deadline(), Time::NEVER, "timers without end");
        assert_eq!(self.deletes, 1, "not forgotten");
        assert!(self.transaction.is_resting() && self.transaction.server().is_final());
        assert!(self.finals + self.successes > 0, "without an answer");
        let state = self.transaction.server().state();
        assert!(!matches!(state, ServerState::Trying | ServerState::Proceeding));
        let before = self.deletes;
        let mut actions = Actions::new();
        self.transaction.tick(self.now.after(1_000_000), &mut actions);
        assert!(
            actions.is_empty() && before == 1,
            "it wants something after its end: {actions:?}"
        );
    }
}

/// Every sequence of `length` of these events, and then all timers; the number of sequences.
fn explore(world: &World, events: &[Event], length: u32, path: &mut Vec<Event>) -> u64 {
    if length == 0 {
        world.clone().run_out();
        return 1;
    }
    let mut count = 0;
    for event in events {
        path.push(*event);
        let mut next = world.clone();
        // An event that cannot happen ends the way there: the shorter sequence stands for it.
        if next.happen(*event) {
            count += explore(&next, events, length - 1, path);
        } else {
            world.clone().run_out();
        }
        path.pop();
    }
    count
}

/// Explores, and names the sequence where something fails.
fn run(invite: bool, reliable: bool, branches: u16, method: CancelMethod, events: &[Event], length: u32) {
    let world = World::new(invite, reliable, branches, method);
    let mut path = Vec::new();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        explore(&world, events, length, &mut path)
    }));
    match outcome {
        Ok(count) => assert!(count > 1_000, "too few sequences: {count}"),
        Err(_) => panic!("invite {invite}, reliable {reliable}, {branches} branches, {method:?}: {path:?}"),
    }
}

const METHODS: [CancelMethod; 3] = [CancelMethod::OnReply, CancelMethod::Fake, CancelMethod::AtOnce];

#[test]
fn one_branch() {
    let events = [
        Event::Reply(0, 100),
        Event::Reply(0, 180),
        Event::Reply(0, 200),
        Event::Reply(0, 486),
        Event::Unsent(0),
        Event::CancelAnswered(0),
        Event::Repeated,
        Event::Ack,
        Event::Cancel,
        Event::Answer(404),
        Event::Timer,
        Event::Late,
    ];
    run(true, false, 1, CancelMethod::OnReply, &events, 6);
    for method in METHODS {
        run(true, true, 1, method, &events, 5);
        run(true, false, 1, method, &events, 5);
    }
    run(false, false, 1, CancelMethod::OnReply, &events, 5);
    run(false, true, 1, CancelMethod::Fake, &events, 5);
}

#[test]
fn two_branches() {
    let events = [
        Event::Reply(0, 180),
        Event::Reply(0, 200),
        Event::Reply(0, 486),
        Event::Reply(0, 603),
        Event::Reply(1, 180),
        Event::Reply(1, 200),
        Event::Reply(1, 404),
        Event::CancelAnswered(1),
        Event::Ack,
        Event::Cancel,
        Event::Timer,
        Event::Late,
    ];
    run(true, false, 2, CancelMethod::OnReply, &events, 6);
    for method in METHODS {
        run(true, true, 2, method, &events, 4);
        run(true, false, 2, method, &events, 5);
    }
    run(false, false, 2, CancelMethod::OnReply, &events, 5);
}

#[test]
fn local_answers_and_unsent_branches() {
    let events = [
        Event::Reply(0, 180),
        Event::Reply(0, 302),
        Event::Unsent(0),
        Event::Unsent(1),
        Event::Answer(183),
        Event::Answer(200),
        Event::Answer(500),
        Event::Ack,
        Event::Repeated,
        Event::Cancel,
        Event::Timer,
        Event::Late,
    ];
    for invite in [true, false] {
        run(invite, false, 2, CancelMethod::OnReply, &events, 5);
        run(invite, true, 2, CancelMethod::Fake, &events, 4);
    }
}

/// This server as the caller: nothing ever leaves upstream.
#[test]
fn a_local_request_ends_by_itself() {
    for (invite, status) in [(true, 486), (true, 200), (false, 404), (false, 200)] {
        let mut transaction = Transaction::local(Time(0), invite, Timing::default(), Policy::default());
        let branch = transaction.add_branch();
        transaction.sent(Time(0), branch, false);
        let mut actions = Actions::new();
        transaction.reply(Time(10), branch, status, &mut actions);
        assert!(transaction.answer(Time(10), status, false, false, &mut actions));
        assert!(actions.contains(&Action::Rest));
        actions.clear();
        assert_eq!(transaction.deadline(), Time(5_010), "only the end is left");
        transaction.tick(Time(5_010), &mut actions);
        assert_eq!(actions[..], [Action::Delete]);
        assert_eq!(transaction.deadline(), Time::NEVER);
    }
}

/// An answered branch whose owner never answers the caller does not keep the transaction for ever.
#[test]
fn a_forgotten_transaction_ends_with_its_lifetime() {
    let timing = Timing::default();
    let mut transaction = Transaction::new(Time(0), true, timing, Policy::default());
    let branch = transaction.add_branch();
    transaction.sent(Time(0), branch, false);
    let mut actions = Actions::new();
    transaction.reply(Time(10), branch, 486, &mut actions);
    actions.clear();
    let end = Time(timing.max_inv_lifetime.into());
    assert_eq!(transaction.deadline(), end);
    transaction.tick(end, &mut actions);
    assert_eq!(actions[..], [Action::Rest]);
    assert!(transaction.is_expired(end));
    actions.clear();
    transaction.tick(transaction.deadline(), &mut actions);
    assert_eq!(actions[..], [Action::Delete]);
}

/// The refusal of a cancelled branch is remembered from when it came: its sender may still miss the ACK.
#[test]
fn a_late_refusal_is_acknowledged_as_long_as_an_early_one() {
    let mut transaction = Transaction::new(Time(0), true, Timing::default(), Policy::default());
    let (first, second) = (transaction.add_branch(), transaction.add_branch());
    let mut actions = Actions::new();
    for branch in [first, second] {
        transaction.sent(Time(0), branch, false);
        transaction.reply(Time(10), branch, 180, &mut actions);
    }
    transaction.reply(Time(20), first, 200, &mut actions);
    assert!(transaction.answer(Time(20), 200, false, false, &mut actions));
    assert!(actions.contains(&Action::Cancel(second)) && actions.contains(&Action::Rest));
    actions.clear();
    transaction.reply(Time(4_000), second, 487, &mut actions);
    assert!(actions.contains(&Action::Ack(second)));
    assert_eq!(transaction.deadline(), Time(9_000));
    transaction.reply(Time(8_000), second, 487, &mut actions);
    assert_eq!(
        transaction.deadline(),
        Time(9_000),
        "a repetition does not prolong it"
    );
}

/// A 100 stays on its hop, whatever came before it (RFC 3261 section 16.7 step 5).
#[test]
fn a_late_100_is_not_relayed() {
    let mut transaction = Transaction::new(Time(0), true, Timing::default(), Policy::default());
    let branch = transaction.add_branch();
    transaction.sent(Time(0), branch, false);
    let mut actions = Actions::new();
    transaction.reply(Time(10), branch, 180, &mut actions);
    assert_eq!(actions[..], [Action::Relay(branch)]);
    actions.clear();
    transaction.reply(Time(20), branch, 100, &mut actions);
    assert!(actions.is_empty());
}
