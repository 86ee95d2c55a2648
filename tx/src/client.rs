//! The client machine of one branch (RFC 3261 section 17.1, RFC 6026 section 7.2), with its CANCEL.

use crate::time::{Repeat, Time, Timing};

/// How far a branch has come.
///
/// For requests other than INVITE, `Calling` is the RFC's Trying. A branch that timed out or could not be sent is
/// `Completed` with an [`Outcome`] that says so: replies that come after all still find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// Not sent yet.
    Idle,
    /// Sent; no reply.
    Calling,
    /// A provisional reply came.
    Proceeding,
    /// An INVITE got a 2xx; repetitions of it pass.
    Accepted,
    /// It has its final result.
    Completed,
}

/// What a finished branch stands for in the choice of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// None so far.
    Pending,
    /// A final reply with this status.
    Reply(u16),
    /// No reply in time: counts as 408.
    TimedOut,
    /// Cancelled before anybody answered: counts as 487.
    Cancelled,
    /// The request could not be sent: counts with this status.
    Unsent(u16),
}

impl Outcome {
    /// The status that it counts as; `None` while pending.
    pub fn status(self) -> Option<u16> {
        match self {
            Outcome::Pending => None,
            Outcome::Reply(status) | Outcome::Unsent(status) => Some(status),
            Outcome::TimedOut => Some(408),
            Outcome::Cancelled => Some(487),
        }
    }

    /// No reply was received for it: this server would have to make one.
    pub fn is_faked(self) -> bool {
        matches!(self, Outcome::TimedOut | Outcome::Cancelled | Outcome::Unsent(_))
    }
}

/// What to do about a branch that has not been answered at all when it is to be cancelled (`cancel_b_method`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CancelMethod {
    /// Give it up at once, as if it had answered 487.
    Fake,
    /// Keep calling, and cancel on its first provisional reply.
    #[default]
    OnReply,
    /// Send CANCEL at once (against RFC 3261 section 9.1).
    AtOnce,
}

impl CancelMethod {
    /// By the number of the parameter.
    pub fn from_number(number: i64) -> Option<CancelMethod> {
        match number {
            0 => Some(CancelMethod::Fake),
            1 => Some(CancelMethod::OnReply),
            2 => Some(CancelMethod::AtOnce),
            _ => None,
        }
    }
}

/// What happened to a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The request was handed to the network; over a transport that may lose it unless `reliable`.
    Sent {
        /// TCP and the like.
        reliable: bool,
    },
    /// The network refused the request; it counts as answered with this status.
    Unsent(u16),
    /// A reply came.
    Reply(u16),
    /// Somebody wants the branch ended.
    Cancel(CancelMethod),
    /// The CANCEL was answered.
    CancelAnswered,
    /// The moment handed over has come: look at the timers.
    Tick,
}

/// What has to leave for the branch's destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientSend {
    /// Nothing.
    #[default]
    Nothing,
    /// The request once more.
    Request,
    /// The ACK to a reply from 300 on.
    Ack,
    /// The CANCEL, for the first time.
    Cancel,
    /// The CANCEL once more.
    CancelAgain,
}

/// What the transaction is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientTell {
    /// Nothing: the event is dealt with.
    #[default]
    Nothing,
    /// A provisional reply to pass on.
    Provisional,
    /// The first final reply, or a 2xx to INVITE, which always passes.
    Final,
    /// The branch ended without a reply; see [`Client::outcome`].
    GaveUp,
}

/// The answer of a client machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStep {
    /// For the wire.
    pub send: ClientSend,
    /// For the transaction.
    pub tell: ClientTell,
}

impl ClientStep {
    const NOTHING: ClientStep = ClientStep {
        send: ClientSend::Nothing,
        tell: ClientTell::Nothing,
    };

    const fn send(send: ClientSend) -> ClientStep {
        ClientStep {
            send,
            tell: ClientTell::Nothing,
        }
    }

    const fn tell(tell: ClientTell) -> ClientStep {
        ClientStep {
            send: ClientSend::Nothing,
            tell,
        }
    }
}

/// Where the CANCEL of a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    /// Nobody wants it.
    No,
    /// It waits for a provisional reply.
    Wanted,
    /// It was sent; repeated until answered.
    Sent(Repeat),
    /// It was answered, or there is nothing left to cancel.
    Done,
}

/// The client machine of one branch.
#[derive(Clone, Debug)]
pub struct Client {
    state: ClientState,
    outcome: Outcome,
    invite: bool,
    /// It has left, so that somebody may answer.
    left: bool,
    reliable: bool,
    cancel: Cancel,
    /// The highest status so far.
    last: u16,
    /// A provisional reply came.
    rang: bool,
    /// It counts for nothing.
    withdrawn: bool,
    repeat: Repeat,
    /// B, F or C.
    give_up: Time,
}

impl Client {
    /// A branch that is not sent yet.
    pub fn new(invite: bool) -> Client {
        Client {
            state: ClientState::Idle,
            outcome: Outcome::Pending,
            invite,
            left: false,
            reliable: false,
            cancel: Cancel::No,
            last: 0,
            rang: false,
            withdrawn: false,
            repeat: Repeat::STOPPED,
            give_up: Time::NEVER,
        }
    }

    /// How far it has come.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// Its result.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The status of the last reply that mattered; 0 before any.
    pub fn last_status(&self) -> u16 {
        self.last
    }

    /// A provisional reply came.
    pub fn had_provisional(&self) -> bool {
        self.rang
    }

    /// No final result so far.
    pub fn is_pending(&self) -> bool {
        self.outcome == Outcome::Pending
    }

    /// A CANCEL is wanted or was sent.
    pub fn is_cancelled(&self) -> bool {
        self.cancel != Cancel::No
    }

    /// When it has to be looked at again.
    pub fn deadline(&self) -> Time {
        let cancel = match self.cancel {
            Cancel::Sent(repeat) => repeat.at,
            _ => Time::NEVER,
        };
        self.repeat.at.min(self.give_up).min(cancel)
    }

    /// Gives the branch another bound for its final reply (`t_set_fr`); one that is being cancelled keeps its own.
    pub fn restart(&mut self, now: Time, timing: &Timing) {
        match self.state {
            _ if self.cancel_is_out() => {}
            ClientState::Proceeding if self.invite => self.give_up = now.after(timing.fr_inv_timer),
            ClientState::Calling | ClientState::Proceeding => self.give_up = now.after(timing.fr_timer),
            ClientState::Idle | ClientState::Accepted | ClientState::Completed => {}
        }
    }

    /// What is being sent again goes by other intervals from now on (`t_set_retr`), the shortest first.
    pub fn repeat_anew(&mut self, now: Time, timing: &Timing) {
        if let Cancel::Sent(repeat) = &mut self.cancel {
            repeat.anew(now, timing);
        }
        self.repeat.anew(now, timing);
        if self.state == ClientState::Proceeding {
            self.repeat.slow(timing);
        }
    }

    /// Ends the branch for want of time, whatever its own timers say.
    pub fn expire(&mut self, now: Time, timing: &Timing) -> ClientStep {
        self.out_of_time(now, timing)
    }

    /// Ends a branch that nobody was asked for; it is no result.
    pub fn withdraw(&mut self) {
        self.rest();
        self.state = ClientState::Completed;
        self.outcome = Outcome::Unsent(0);
        self.cancel = Cancel::Done;
        self.withdrawn = true;
    }

    /// It is no result.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn
    }

    /// Takes an event.
    pub fn on(&mut self, now: Time, event: ClientEvent, timing: &Timing) -> ClientStep {
        match event {
            ClientEvent::Sent { reliable } => self.sent(now, reliable, timing),
            ClientEvent::Unsent(status) => self.unsent(status),
            ClientEvent::Reply(_) if !self.left => ClientStep::NOTHING,
            ClientEvent::Reply(status) if status < 200 => self.provisional(now, status, timing),
            ClientEvent::Reply(status) if status < 300 && self.invite => self.accepted(status),
            ClientEvent::Reply(status) => self.finished(status),
            ClientEvent::Cancel(method) => self.cancel(now, method, timing),
            ClientEvent::CancelAnswered => {
                if matches!(self.cancel, Cancel::Sent(_)) {
                    self.cancel = Cancel::Done;
                }
                ClientStep::NOTHING
            }
            ClientEvent::Tick => self.tick(now, timing),
        }
    }

    fn sent(&mut self, now: Time, reliable: bool, timing: &Timing) -> ClientStep {
        if self.state != ClientState::Idle {
            return ClientStep::NOTHING;
        }
        self.state = ClientState::Calling;
        self.left = true;
        self.reliable = reliable;
        self.give_up = now.after(timing.fr_timer);
        if !reliable {
            self.repeat = Repeat::start(now, timing);
        }
        ClientStep::NOTHING
    }

    fn unsent(&mut self, status: u16) -> ClientStep {
        match self.state {
            ClientState::Idle | ClientState::Calling => self.gave_up(Outcome::Unsent(status)),
            ClientState::Proceeding | ClientState::Accepted | ClientState::Completed => ClientStep::NOTHING,
        }
    }

    fn provisional(&mut self, now: Time, status: u16, timing: &Timing) -> ClientStep {
        match self.state {
            ClientState::Calling | ClientState::Proceeding => {}
            // It had been given up: whoever rings now would ring for nobody.
            ClientState::Completed if self.invite && self.outcome.is_faked() => {
                return ClientStep::send(self.send_cancel(now, timing));
            }
            ClientState::Idle | ClientState::Accepted | ClientState::Completed => {
                return ClientStep::NOTHING;
            }
        }
        let first = self.state == ClientState::Calling;
        self.state = ClientState::Proceeding;
        if self.invite {
            self.repeat = Repeat::STOPPED;
            let later = first || status > self.last || timing.restart_fr_on_each_reply;
            if later && !self.cancel_is_out() {
                self.give_up = now.after(timing.fr_inv_timer);
            }
        } else {
            self.repeat.slow(timing);
        }
        self.last = self.last.max(status);
        self.rang = true;
        let send = if self.cancel == Cancel::Wanted {
            self.send_cancel(now, timing)
        } else {
            ClientSend::Nothing
        };
        ClientStep {
            send,
            tell: ClientTell::Provisional,
        }
    }

    fn accepted(&mut self, status: u16) -> ClientStep {
        self.state = ClientState::Accepted;
        self.outcome = Outcome::Reply(status);
        self.last = status;
        self.rest();
        ClientStep::tell(ClientTell::Final)
    }

    fn finished(&mut self, status: u16) -> ClientStep {
        let send = if self.invite {
            ClientSend::Ack
        } else {
            ClientSend::Nothing
        };
        match self.state {
            ClientState::Idle => ClientStep::NOTHING,
            // Whoever refuses after another one behind the same branch has accepted is told to be quiet, too.
            ClientState::Accepted => ClientStep::send(send),
            ClientState::Completed => {
                self.rest();
                self.cancel = Cancel::Done;
                ClientStep::send(send)
            }
            ClientState::Calling | ClientState::Proceeding => {
                self.state = ClientState::Completed;
                self.outcome = Outcome::Reply(status);
                self.last = status;
                self.rest();
                ClientStep {
                    send,
                    tell: ClientTell::Final,
                }
            }
        }
    }

    fn cancel(&mut self, now: Time, method: CancelMethod, timing: &Timing) -> ClientStep {
        if !self.is_pending() || self.cancel_is_out() {
            return ClientStep::NOTHING;
        }
        match (self.state, method) {
            (ClientState::Idle, _) => self.gave_up(Outcome::Cancelled),
            // Only an INVITE can be cancelled usefully (RFC 3261 section 9.1).
            _ if !self.invite => ClientStep::NOTHING,
            (ClientState::Calling, CancelMethod::Fake) => self.gave_up(Outcome::Cancelled),
            (ClientState::Calling, CancelMethod::OnReply) => {
                self.cancel = Cancel::Wanted;
                ClientStep::NOTHING
            }
            _ => ClientStep::send(self.send_cancel(now, timing)),
        }
    }

    /// A CANCEL was sent, or there is nothing left that it could end.
    fn cancel_is_out(&self) -> bool {
        matches!(self.cancel, Cancel::Sent(_) | Cancel::Done)
    }

    /// After CANCEL the final reply has to come within `fr_timer` (RFC 3261 section 9.1).
    fn send_cancel(&mut self, now: Time, timing: &Timing) -> ClientSend {
        if self.cancel_is_out() {
            return ClientSend::Nothing;
        }
        self.repeat = Repeat::STOPPED;
        self.cancel = if self.reliable {
            Cancel::Done
        } else {
            Cancel::Sent(Repeat::start(now, timing))
        };
        self.give_up = self.give_up.min(now.after(timing.fr_timer));
        if !self.is_pending() {
            self.give_up = now.after(timing.fr_timer);
        }
        ClientSend::Cancel
    }

    fn tick(&mut self, now: Time, timing: &Timing) -> ClientStep {
        if self.give_up <= now {
            return self.out_of_time(now, timing);
        }
        if let Cancel::Sent(mut repeat) = self.cancel
            && repeat.due(now)
        {
            repeat.next(now, timing);
            self.cancel = Cancel::Sent(repeat);
            return ClientStep::send(ClientSend::CancelAgain);
        }
        if self.repeat.due(now) {
            self.repeat.next(now, timing);
            return ClientStep::send(ClientSend::Request);
        }
        ClientStep::NOTHING
    }

    fn out_of_time(&mut self, now: Time, timing: &Timing) -> ClientStep {
        if !self.is_pending() {
            self.rest();
            return ClientStep::NOTHING;
        }
        let ringing = self.invite && self.state == ClientState::Proceeding;
        let was_cancelled = self.is_cancelled();
        let mut step = self.gave_up(if was_cancelled {
            Outcome::Cancelled
        } else {
            Outcome::TimedOut
        });
        if ringing && !was_cancelled {
            step.send = self.send_cancel(now, timing);
        }
        step
    }

    fn gave_up(&mut self, outcome: Outcome) -> ClientStep {
        self.state = ClientState::Completed;
        self.outcome = outcome;
        self.rest();
        ClientStep::tell(ClientTell::GaveUp)
    }

    /// Stops every timer. A CANCEL that was wanted stays wanted: a reply that comes after all shows that somebody has
    /// to get it.
    fn rest(&mut self) {
        self.repeat = Repeat::STOPPED;
        self.give_up = Time::NEVER;
        if matches!(self.cancel, Cancel::Sent(_)) {
            self.cancel = Cancel::Done;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calling(invite: bool) -> Client {
        let mut client = Client::new(invite);
        client.on(Time(0), ClientEvent::Sent { reliable: false }, &Timing::default());
        client
    }

    #[test]
    fn an_invite_is_repeated_until_something_comes() {
        let timing = Timing::default();
        let mut client = calling(true);
        assert_eq!(client.deadline(), Time(500));
        let again = client.on(Time(500), ClientEvent::Tick, &timing);
        assert_eq!(again.send, ClientSend::Request);
        assert_eq!(client.deadline(), Time(1_500));
        let ringing = client.on(Time(600), ClientEvent::Reply(180), &timing);
        assert_eq!(ringing.tell, ClientTell::Provisional);
        assert_eq!(client.deadline(), Time(120_600));
    }

    #[test]
    fn other_requests_are_repeated_slowly_after_a_provisional_reply() {
        let timing = Timing::default();
        let mut client = calling(false);
        client.on(Time(100), ClientEvent::Reply(100), &timing);
        assert_eq!(
            client.on(Time(500), ClientEvent::Tick, &timing).send,
            ClientSend::Request
        );
        assert_eq!(client.deadline(), Time(4_500));
    }

    #[test]
    fn a_cancel_waits_for_a_provisional_reply() {
        let timing = Timing::default();
        let mut client = calling(true);
        let now = Time(10);
        let cancel = ClientEvent::Cancel(CancelMethod::OnReply);
        assert_eq!(client.on(now, cancel, &timing), ClientStep::NOTHING);
        let step = client.on(Time(20), ClientEvent::Reply(180), &timing);
        assert_eq!(step.send, ClientSend::Cancel);
        assert_eq!(client.on(now, cancel, &timing), ClientStep::NOTHING);
        assert_eq!(
            client.on(Time(520), ClientEvent::Tick, &timing).send,
            ClientSend::CancelAgain
        );
        client.on(Time(530), ClientEvent::CancelAnswered, &timing);
        assert_eq!(client.deadline(), Time(30_020), "487 is due within fr_timer");
        let end = client.on(Time(540), ClientEvent::Reply(487), &timing);
        assert_eq!((end.send, end.tell), (ClientSend::Ack, ClientTell::Final));
    }

    #[test]
    fn a_phone_that_rings_too_long_is_cancelled_and_counts_as_408() {
        let timing = Timing::default();
        let mut client = calling(true);
        client.on(Time(0), ClientEvent::Reply(180), &timing);
        let step = client.on(Time(120_000), ClientEvent::Tick, &timing);
        assert_eq!((step.send, step.tell), (ClientSend::Cancel, ClientTell::GaveUp));
        assert_eq!(client.outcome(), Outcome::TimedOut);
        let late = client.on(Time(120_100), ClientEvent::Reply(487), &timing);
        assert_eq!((late.send, late.tell), (ClientSend::Ack, ClientTell::Nothing));
        assert_eq!(client.deadline(), Time::NEVER);
    }

    #[test]
    fn a_late_2xx_passes_even_after_a_timeout() {
        let timing = Timing::default();
        let mut client = calling(true);
        client.on(Time(30_000), ClientEvent::Tick, &timing);
        assert_eq!(client.outcome(), Outcome::TimedOut);
        let late = client.on(Time(31_000), ClientEvent::Reply(200), &timing);
        assert_eq!(late.tell, ClientTell::Final);
    }

    #[test]
    fn another_bound_counts_from_now_but_not_for_a_cancelled_branch() {
        let timing = Timing::default();
        for (invite, rings, bound) in [
            (true, false, 30_000),
            (true, true, 120_000),
            (false, false, 30_000),
            (false, true, 30_000),
        ] {
            let mut client = Client::new(invite);
            client.on(Time(0), ClientEvent::Sent { reliable: true }, &timing);
            if rings {
                client.on(Time(0), ClientEvent::Reply(180), &timing);
            }
            client.restart(Time(1_000), &timing);
            assert_eq!(client.deadline(), Time(1_000 + bound));
        }
        let mut client = calling(true);
        client.on(Time(0), ClientEvent::Reply(180), &timing);
        client.on(Time(0), ClientEvent::Cancel(CancelMethod::OnReply), &timing);
        client.on(Time(0), ClientEvent::CancelAnswered, &timing);
        client.restart(Time(1_000), &timing);
        client.on(Time(2_000), ClientEvent::Reply(183), &timing);
        assert_eq!(client.deadline(), Time(30_000));
    }
}
