//! The server machine of a transaction (RFC 3261 section 17.2, RFC 6026 section 7.1).

use crate::time::{Repeat, Time, Timing};

/// How far the answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Nothing was answered.
    Trying,
    /// A provisional reply was.
    Proceeding,
    /// An INVITE was answered with a 2xx.
    Accepted,
    /// The final reply was sent; that of an INVITE waits for its ACK.
    Completed,
    /// The ACK came.
    Confirmed,
}

/// What happened on the caller's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The request came once more.
    Request,
    /// The ACK came.
    Ack,
    /// A reply is about to leave.
    Reply {
        /// Its status.
        status: u16,
        /// It was made here: nobody else repeats a 2xx to INVITE.
        local: bool,
        /// It leaves over TCP or the like.
        reliable: bool,
    },
    /// The moment handed over has come.
    Tick,
}

/// The answer of the server machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStep {
    /// The event is dealt with.
    Nothing,
    /// The reply may leave.
    Send,
    /// The last reply leaves once more.
    Resend,
    /// The caller has its final reply, and nothing more is expected of it: the transaction may rest.
    Rest,
}

/// The server machine.
#[derive(Clone, Debug)]
pub struct Server {
    state: ServerState,
    invite: bool,
    status: u16,
    repeat: Repeat,
    /// H, or L of RFC 6026 for a 2xx made here.
    give_up: Time,
}

impl Server {
    /// At the arrival of a request.
    pub fn new(invite: bool) -> Server {
        Server {
            state: ServerState::Trying,
            invite,
            status: 0,
            repeat: Repeat::STOPPED,
            give_up: Time::NEVER,
        }
    }

    /// How far it has come.
    pub fn state(&self) -> ServerState {
        self.state
    }

    /// The status of the last reply; 0 before any.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A final reply was sent.
    pub fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// When it has to be looked at again.
    pub fn deadline(&self) -> Time {
        self.repeat.at.min(self.give_up)
    }

    /// A reply that is being sent again goes by other intervals from now on, the shortest first.
    pub fn repeat_anew(&mut self, now: Time, timing: &Timing) {
        self.repeat.anew(now, timing);
    }

    /// Takes an event.
    pub fn on(&mut self, now: Time, event: ServerEvent, timing: &Timing) -> ServerStep {
        match event {
            ServerEvent::Request => self.request(),
            ServerEvent::Ack => self.ack(),
            ServerEvent::Reply {
                status,
                local,
                reliable,
            } => self.reply(now, status, local, reliable, timing),
            ServerEvent::Tick => self.tick(now, timing),
        }
    }

    fn request(&self) -> ServerStep {
        match self.state {
            ServerState::Proceeding | ServerState::Completed => ServerStep::Resend,
            // RFC 6026 section 7.1: a repeated INVITE is absorbed once a 2xx has passed; after the ACK nothing is due.
            ServerState::Trying | ServerState::Accepted | ServerState::Confirmed => ServerStep::Nothing,
        }
    }

    fn ack(&mut self) -> ServerStep {
        match self.state {
            ServerState::Completed if self.invite => {
                self.state = ServerState::Confirmed;
                self.stop();
                ServerStep::Rest
            }
            ServerState::Accepted if self.give_up != Time::NEVER => {
                self.stop();
                ServerStep::Rest
            }
            ServerState::Trying
            | ServerState::Proceeding
            | ServerState::Accepted
            | ServerState::Completed
            | ServerState::Confirmed => ServerStep::Nothing,
        }
    }

    fn reply(&mut self, now: Time, status: u16, local: bool, reliable: bool, timing: &Timing) -> ServerStep {
        let success = (200..300).contains(&status);
        match self.state {
            ServerState::Trying | ServerState::Proceeding => {}
            // Further 2xx of forked calls, and repetitions of the one that was relayed.
            ServerState::Accepted | ServerState::Completed | ServerState::Confirmed => {
                return if self.invite && success && !local {
                    ServerStep::Send
                } else {
                    ServerStep::Nothing
                };
            }
        }
        self.status = status;
        if status < 200 {
            self.state = ServerState::Proceeding;
            return ServerStep::Send;
        }
        if self.invite && success {
            self.state = ServerState::Accepted;
        } else {
            self.state = ServerState::Completed;
        }
        let awaits_ack = self.invite && (!success || local);
        if awaits_ack {
            self.give_up = now.after(timing.fr_timer);
            // A 2xx is repeated over every transport (RFC 3261 section 13.3.1.4).
            if !reliable || success {
                self.repeat = Repeat::start(now, timing);
            }
        }
        ServerStep::Send
    }

    fn tick(&mut self, now: Time, timing: &Timing) -> ServerStep {
        if self.give_up <= now {
            self.stop();
            return ServerStep::Rest;
        }
        if self.repeat.due(now) {
            self.repeat.next(now, timing);
            return ServerStep::Resend;
        }
        ServerStep::Nothing
    }

    /// It waits for the caller's ACK.
    pub fn awaits_ack(&self) -> bool {
        self.give_up != Time::NEVER
    }

    /// Stops every timer.
    pub(crate) fn stop(&mut self) {
        self.repeat = Repeat::STOPPED;
        self.give_up = Time::NEVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, local: bool) -> ServerEvent {
        ServerEvent::Reply {
            status,
            local,
            reliable: false,
        }
    }

    #[test]
    fn a_refusal_of_an_invite_is_repeated_until_its_ack() {
        let timing = Timing::default();
        let mut server = Server::new(true);
        assert_eq!(server.on(Time(0), reply(486, false), &timing), ServerStep::Send);
        assert_eq!(
            server.on(Time(500), ServerEvent::Tick, &timing),
            ServerStep::Resend
        );
        assert_eq!(
            server.on(Time(600), ServerEvent::Request, &timing),
            ServerStep::Resend
        );
        assert_eq!(server.on(Time(700), ServerEvent::Ack, &timing), ServerStep::Rest);
        assert_eq!(server.deadline(), Time::NEVER);
        assert_eq!(
            server.on(Time(800), ServerEvent::Ack, &timing),
            ServerStep::Nothing
        );
    }

    #[test]
    fn without_an_ack_it_ends_after_fr_timer() {
        let timing = Timing::default();
        let mut server = Server::new(true);
        server.on(Time(0), reply(486, false), &timing);
        assert_eq!(
            server.on(Time(30_000), ServerEvent::Tick, &timing),
            ServerStep::Rest
        );
    }

    #[test]
    fn a_relayed_2xx_is_repeated_by_its_sender_and_a_local_one_by_us() {
        let timing = Timing::default();
        let mut relayed = Server::new(true);
        relayed.on(Time(0), reply(200, false), &timing);
        assert_eq!(relayed.deadline(), Time::NEVER);
        assert_eq!(relayed.on(Time(1), reply(200, false), &timing), ServerStep::Send);
        let mut local = Server::new(true);
        local.on(Time(0), reply(200, true), &timing);
        assert_eq!(
            local.on(Time(500), ServerEvent::Tick, &timing),
            ServerStep::Resend
        );
        assert_eq!(local.on(Time(600), ServerEvent::Ack, &timing), ServerStep::Rest);
    }

    #[test]
    fn only_one_final_reply_leaves() {
        let timing = Timing::default();
        let mut server = Server::new(false);
        assert_eq!(server.on(Time(0), reply(404, true), &timing), ServerStep::Send);
        assert_eq!(
            server.on(Time(1), reply(200, false), &timing),
            ServerStep::Nothing
        );
        assert_eq!(
            server.on(Time(2), ServerEvent::Request, &timing),
            ServerStep::Resend
        );
    }
}
