//! A proxy's transaction: one server machine, a client machine for each branch, and what joins them (RFC 3261 section
//! 16).

use smallvec::SmallVec;

use crate::{
    choice::{Choice, Priorities},
    client::{CancelMethod, Client, ClientEvent, ClientSend, ClientState, ClientStep, ClientTell},
    server::{Server, ServerEvent, ServerStep},
    time::{Time, Timing},
};

/// The number of a branch, from 0 in the order of their making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchId(pub u16);

impl BranchId {
    /// The branch at this place.
    pub fn at(index: usize) -> BranchId {
        BranchId(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Its place.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// What the owner of a transaction has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the branch's request once more.
    Resend(BranchId),
    /// Acknowledge the branch's final reply, which was no 2xx.
    Ack(BranchId),
    /// Make and send the branch's CANCEL.
    Cancel(BranchId),
    /// Send the branch's CANCEL once more.
    CancelAgain(BranchId),
    /// Send the last reply to the caller once more.
    ResendReply,
    /// Pass the branch's reply at hand to the caller: a provisional one, or a 2xx.
    Relay(BranchId),
    /// The branch has a final result that is no 2xx. Once its owner has dealt with it, [`Transaction::choose`] tells
    /// whether the caller is to be answered.
    Ended(BranchId),
    /// Nothing is left to do but to absorb repetitions; whatever is not needed for that may go.
    Rest,
    /// Forget the transaction.
    Delete,
}

/// Some actions.
pub type Actions = SmallVec<[Action; 4]>;

/// How a transaction decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How final results compare.
    pub priorities: Priorities,
    /// A 6xx ends the other branches (off: `disable_6xx_block`).
    pub stop_at_6xx: bool,
    /// What becomes of branches that nobody answered (`cancel_b_method`).
    pub cancel: CancelMethod,
    /// 100 is passed on (`relay_100`); RFC 3261 section 16.7 forbids it.
    pub relay_100: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            priorities: Priorities::default(),
            stop_at_6xx: true,
            cancel: CancelMethod::default(),
            relay_100: false,
        }
    }
}

/// The machines of one transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    invite: bool,
    /// This server is the caller: there is nobody upstream.
    local: bool,
    cancelled: bool,
    server: Server,
    clients: SmallVec<[Client; 1]>,
    /// Results before this branch no longer count.
    first: usize,
    timing: Timing,
    policy: Policy,
    /// When it has to have its final reply.
    lifetime: Time,
    /// That moment was dealt with.
    expired: bool,
    /// It has asked to be forgotten.
    gone: bool,
    /// When it may be forgotten, once it rests.
    end: Time,
}

impl Transaction {
    /// For a request that came from the network.
    pub fn new(now: Time, invite: bool, timing: Timing, policy: Policy) -> Transaction {
        Transaction {
            invite,
            local: false,
            cancelled: false,
            server: Server::new(invite),
            clients: SmallVec::new(),
            first: 0,
            timing,
            policy,
            lifetime: timing.lifetime(now, invite),
            expired: false,
            gone: false,
            end: Time::NEVER,
        }
    }

    /// For a request that this server makes itself.
    pub fn local(now: Time, invite: bool, timing: Timing, policy: Policy) -> Transaction {
        Transaction {
            local: true,
            ..Transaction::new(now, invite, timing, policy)
        }
    }

    /// It began with INVITE.
    pub fn is_invite(&self) -> bool {
        self.invite
    }

    /// This server is the caller.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Somebody cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// The server machine.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The client machines, by branch.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// One of them.
    pub fn client(&self, branch: BranchId) -> Option<&Client> {
        self.clients.get(branch.index())
    }

    /// Its timers.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Its rules.
    pub fn policy(&mut self) -> &mut Policy {
        &mut self.policy
    }

    /// Some branch may still answer.
    pub fn has_pending(&self) -> bool {
        self.clients.iter().any(Client::is_pending)
    }

    /// Everything is done; it only absorbs repetitions.
    pub fn is_resting(&self) -> bool {
        self.end != Time::NEVER
    }

    /// Its longest life without a final reply is over.
    pub fn is_expired(&self, now: Time) -> bool {
        self.lifetime <= now
    }

    /// Gives it other timers; those that run are started anew (`t_set_fr`, `t_set_retr`, `t_set_max_lifetime`).
    pub fn set_timing(&mut self, now: Time, timing: Timing) {
        let (old, fresh) = (self.timing, timing);
        self.timing = fresh;
        if old.max_inv_lifetime != fresh.max_inv_lifetime
            || old.max_noninv_lifetime != fresh.max_noninv_lifetime
        {
            self.lifetime = fresh.lifetime(now, self.invite);
            self.expired = false;
        }
        if old.fr_timer != fresh.fr_timer || old.fr_inv_timer != fresh.fr_inv_timer {
            for client in &mut self.clients {
                client.restart(now, &fresh);
            }
        }
        if old.retr_timer1 != fresh.retr_timer1 || old.retr_timer2 != fresh.retr_timer2 {
            self.server.repeat_anew(now, &fresh);
            for client in &mut self.clients {
                client.repeat_anew(now, &fresh);
            }
        }
    }

    /// Adds a branch; it begins when it is sent.
    pub fn add_branch(&mut self) -> BranchId {
        self.clients.push(Client::new(self.invite));
        BranchId::at(self.clients.len().saturating_sub(1))
    }

    /// Ends a branch that stood for a request set aside: nobody was asked, and it is no result.
    pub fn withdraw(&mut self, branch: BranchId) {
        if let Some(client) = self.clients.get_mut(branch.index()) {
            client.withdraw();
        }
    }

    /// Forgets the results of the branches before `branch` (`t_drop_replies`, `failure_reply_mode`).
    pub fn count_from(&mut self, branch: BranchId) {
        self.first = self.first.max(branch.index()).min(self.clients.len());
    }

    /// Results from this branch on count.
    pub fn counts_from(&self) -> BranchId {
        BranchId::at(self.first)
    }

    /// The result that the caller would get now.
    pub fn choose(&self) -> Choice {
        if self.server.is_final() {
            return Choice::None;
        }
        self.policy.priorities.choose(&self.clients, self.first)
    }

    /// The request of a branch was handed to the network.
    pub fn sent(&mut self, now: Time, branch: BranchId, reliable: bool) {
        let _ = self.client_step(now, branch, ClientEvent::Sent { reliable });
    }

    /// The network refused the request of a branch, which counts as answered with `status`.
    pub fn unsent(&mut self, now: Time, branch: BranchId, status: u16, actions: &mut Actions) {
        self.on_client(now, branch, ClientEvent::Unsent(status), actions);
    }

    /// A reply to a branch's request came.
    pub fn reply(&mut self, now: Time, branch: BranchId, status: u16, actions: &mut Actions) {
        let ran = self.runs(branch);
        self.on_client(now, branch, ClientEvent::Reply(status), actions);
        // The reply may come again for want of our ACK: timer D begins now, though the caller was answered before.
        if ran && !self.runs(branch) && self.is_resting() {
            self.end = self.end.max(now.after(self.timing.wt_timer));
        }
    }

    fn runs(&self, branch: BranchId) -> bool {
        self.client(branch)
            .is_some_and(|client| client.deadline() != Time::NEVER)
    }

    /// A final reply to a branch's CANCEL came.
    pub fn cancel_answered(&mut self, now: Time, branch: BranchId) {
        let _ = self.client_step(now, branch, ClientEvent::CancelAnswered);
    }

    /// The request came once more.
    pub fn repeated(&mut self, now: Time, actions: &mut Actions) {
        self.on_server(now, ServerEvent::Request, actions);
    }

    /// The ACK to the final reply came.
    pub fn ack(&mut self, now: Time, actions: &mut Actions) {
        self.on_server(now, ServerEvent::Ack, actions);
    }

    /// A reply is about to leave for the caller; true where it may. A final one ends the branches that are still open.
    pub fn answer(
        &mut self,
        now: Time,
        status: u16,
        local: bool,
        reliable: bool,
        actions: &mut Actions,
    ) -> bool {
        let event = ServerEvent::Reply {
            status,
            local,
            reliable,
        };
        let may = self.server.on(now, event, &self.timing) == ServerStep::Send;
        if may && status >= 200 {
            self.cancel_pending(now, None, actions);
            if self.local {
                self.server.stop();
            }
            if !self.server.awaits_ack() {
                self.rest(now, actions);
            }
        }
        may
    }

    /// The caller, or somebody in its place, gives up.
    pub fn cancel(&mut self, now: Time, actions: &mut Actions) {
        self.cancelled = true;
        if self.invite && !self.server.is_final() {
            self.cancel_pending(now, None, actions);
        }
    }

    /// Ends one branch.
    pub fn cancel_branch(&mut self, now: Time, branch: BranchId, actions: &mut Actions) {
        let method = self.policy.cancel;
        self.on_client(now, branch, ClientEvent::Cancel(method), actions);
    }

    /// Ends the open branches but for `spared`.
    pub fn cancel_pending(&mut self, now: Time, spared: Option<BranchId>, actions: &mut Actions) {
        for branch in (0..self.clients.len()).map(BranchId::at) {
            if Some(branch) != spared {
                self.cancel_branch(now, branch, actions);
            }
        }
    }

    /// When [`Transaction::tick`] is due.
    pub fn deadline(&self) -> Time {
        let machines = self.machines();
        if self.gone {
            return machines;
        }
        let lifetime = if self.may_expire() {
            self.lifetime
        } else {
            Time::NEVER
        };
        // The end waits for branches that are still being cancelled.
        let end = if machines == Time::NEVER {
            self.end
        } else {
            Time::NEVER
        };
        machines.min(lifetime).min(end)
    }

    /// When the first of the machines wants to be looked at.
    fn machines(&self) -> Time {
        let server = self.server.deadline();
        self.clients.iter().map(Client::deadline).fold(server, Time::min)
    }

    fn may_expire(&self) -> bool {
        !self.expired && !self.server.is_final()
    }

    /// Its deadline has come.
    pub fn tick(&mut self, now: Time, actions: &mut Actions) {
        if self.server.deadline() <= now {
            self.on_server(now, ServerEvent::Tick, actions);
        }
        for branch in (0..self.clients.len()).map(BranchId::at) {
            if self.client(branch).is_some_and(|client| client.deadline() <= now) {
                self.on_client(now, branch, ClientEvent::Tick, actions);
            }
        }
        if self.lifetime <= now && self.may_expire() {
            self.end_of_life(now, actions);
        }
        if self.end <= now && !self.gone && self.machines() == Time::NEVER {
            self.gone = true;
            actions.push(Action::Delete);
        }
    }

    /// Whatever is open has no more time.
    fn end_of_life(&mut self, now: Time, actions: &mut Actions) {
        self.expired = true;
        // Without an open branch nothing will happen any more that could bring an answer.
        if !self.has_pending() {
            self.rest(now, actions);
        }
        for branch in (0..self.clients.len()).map(BranchId::at) {
            let Some(client) = self.clients.get_mut(branch.index()) else {
                continue;
            };
            if client.is_pending() {
                let step = client.expire(now, &self.timing);
                self.take(now, branch, step, false, actions);
            }
        }
    }

    /// Lets it end without an answer: nobody waits for one.
    pub fn release(&mut self, now: Time, actions: &mut Actions) {
        self.rest(now, actions);
    }

    fn client_step(&mut self, now: Time, branch: BranchId, event: ClientEvent) -> ClientStep {
        match self.clients.get_mut(branch.index()) {
            Some(client) => client.on(now, event, &self.timing),
            None => ClientStep::default(),
        }
    }

    fn on_client(&mut self, now: Time, branch: BranchId, event: ClientEvent, actions: &mut Actions) {
        let step = self.client_step(now, branch, event);
        let trying = event == ClientEvent::Reply(100);
        self.take(now, branch, step, trying, actions);
    }

    /// `trying`: the step comes from a 100, which goes no further than one hop.
    fn take(&mut self, now: Time, branch: BranchId, step: ClientStep, trying: bool, actions: &mut Actions) {
        match step.send {
            ClientSend::Nothing => {}
            ClientSend::Request => actions.push(Action::Resend(branch)),
            ClientSend::Ack => actions.push(Action::Ack(branch)),
            ClientSend::Cancel => actions.push(Action::Cancel(branch)),
            ClientSend::CancelAgain => actions.push(Action::CancelAgain(branch)),
        }
        let Some(client) = self.client(branch) else {
            return;
        };
        match step.tell {
            ClientTell::Nothing => {}
            ClientTell::Provisional => {
                let shown = !trying || self.policy.relay_100;
                if shown && !self.server.is_final() {
                    actions.push(Action::Relay(branch));
                }
            }
            ClientTell::Final if client.outcome().status().is_some_and(|status| status < 300) => {
                // A late answer to anything but INVITE has nowhere to go.
                if self.invite || !self.server.is_final() {
                    actions.push(Action::Relay(branch));
                }
            }
            ClientTell::Final | ClientTell::GaveUp => {
                let is_6xx = client.last_status() >= 600 && client.state() == ClientState::Completed;
                actions.push(Action::Ended(branch));
                if is_6xx && self.policy.stop_at_6xx {
                    self.cancel_pending(now, Some(branch), actions);
                }
            }
        }
    }

    fn on_server(&mut self, now: Time, event: ServerEvent, actions: &mut Actions) {
        match self.server.on(now, event, &self.timing) {
            ServerStep::Nothing | ServerStep::Send => {}
            ServerStep::Resend => actions.push(Action::ResendReply),
            ServerStep::Rest => self.rest(now, actions),
        }
    }

    fn rest(&mut self, now: Time, actions: &mut Actions) {
        if self.end == Time::NEVER {
            self.end = now.after(self.timing.wt_timer);
            actions.push(Action::Rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_that_was_withdrawn_is_no_result() {
        let mut tx = Transaction::new(Time(0), true, Timing::default(), Policy::default());
        let aside = tx.add_branch();
        tx.sent(Time(0), aside, true);
        assert_eq!(tx.choose(), Choice::Pending);
        tx.withdraw(aside);
        assert!(!tx.has_pending());
        assert_eq!(tx.choose(), Choice::None);
        let asked = tx.add_branch();
        tx.sent(Time(0), asked, true);
        tx.reply(Time(1), asked, 699, &mut Actions::new());
        assert_eq!(tx.choose(), Choice::Best(asked));
    }

    /// The moments at which the branch's request leaves again.
    fn repeats(tx: &mut Transaction, until: u64) -> Vec<u64> {
        let mut moments = Vec::new();
        while tx.deadline() <= Time(until) {
            let now = tx.deadline();
            let mut actions = Actions::new();
            tx.tick(now, &mut actions);
            let again = |action: &Action| matches!(action, Action::Resend(_) | Action::ResendReply);
            moments.extend(actions.iter().filter(|action| again(action)).map(|_| now.0));
        }
        moments
    }

    #[test]
    fn other_intervals_hold_for_what_is_being_sent_again() {
        let mut tx = Transaction::new(Time(0), true, Timing::default(), Policy::default());
        let asked = tx.add_branch();
        tx.sent(Time(0), asked, false);
        assert_eq!(repeats(&mut tx, 2_000), [500, 1_500]);
        let quick = Timing {
            retr_timer1: 100,
            retr_timer2: 200,
            ..Timing::default()
        };
        tx.set_timing(Time(2_000), quick);
        assert_eq!(repeats(&mut tx, 2_750), [2_100, 2_300, 2_500, 2_700]);
        let none = Timing {
            retr_timer1: 0,
            ..quick
        };
        tx.set_timing(Time(2_800), none);
        assert_eq!(repeats(&mut tx, 20_000), Vec::<u64>::new());
        tx.reply(Time(20_000), asked, 486, &mut Actions::new());
        tx.set_timing(Time(20_001), quick);
        tx.answer(Time(20_001), 486, false, false, &mut Actions::new());
        assert_eq!(repeats(&mut tx, 20_310), [20_101, 20_301]);
        tx.set_timing(Time(20_310), Timing::default());
        assert_eq!(repeats(&mut tx, 21_000), [20_810]);
        tx.ack(Time(21_000), &mut Actions::new());
        tx.set_timing(Time(21_001), quick);
        assert_eq!(
            repeats(&mut tx, 24_000),
            Vec::<u64>::new(),
            "what was stopped stays so"
        );
    }

    #[test]
    fn a_transaction_is_small() {
        let size = size_of::<Transaction>();
        assert!(size <= 384, "{size} bytes");
        assert!(size_of::<Client>() <= 96, "{}", size_of::<Client>());
    }
}
