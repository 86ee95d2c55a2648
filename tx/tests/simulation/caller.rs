//! The caller: a client of RFC 3261 with the figures' timers A, B, D, E and F, that may give its call up.

use crate::network::{Message, Method, NEVER, Network, Node, Repeat, T1X64, T2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Ended,
}

#[derive(Clone, Copy, Debug)]
enum Cancel {
    /// To be sent at this moment, if ever.
    Planned(u64),
    /// It waits for a provisional reply.
    Wanted,
    Sent {
        repeat: Repeat,
        until: u64,
    },
    Done,
}

pub struct Caller {
    method: Method,
    state: State,
    repeat: Repeat,
    give_up: u64,
    cancel: Cancel,
    /// Final replies that are no 2xx to INVITE, each once: status and tag.
    pub finals: Vec<(u16, u16)>,
    /// The tags of the 2xx to INVITE, each once.
    pub successes: Vec<u16>,
    pub gave_up: bool,
    pub cancelled: bool,
    /// When it first had a final reply or sent its CANCEL: nobody needs to ring any more.
    pub satisfied: u64,
}

impl Caller {
    pub fn new(method: Method, cancel_at: u64) -> Caller {
        Caller {
            method,
            state: State::Calling,
            repeat: Repeat::STOPPED,
            give_up: NEVER,
            cancel: Cancel::Planned(cancel_at),
            finals: Vec::new(),
            successes: Vec::new(),
            gave_up: false,
            cancelled: false,
            satisfied: NEVER,
        }
    }

    pub fn start(&mut self, network: &mut Network) {
        let now = network.now;
        if !network.is_reliable(Node::Caller) {
            // Timer A has no upper bound, timer E has.
            let longest = if self.method == Method::Invite {
                u64::from(u32::MAX)
            } else {
                T2
            };
            self.repeat = Repeat::start(now, longest);
        }
        self.give_up = now + T1X64;
        self.send(network, self.method);
    }

    pub fn deadline(&self) -> u64 {
        let cancel = match self.cancel {
            Cancel::Planned(at) => at,
            Cancel::Sent { repeat, until } => repeat.at.min(until),
            Cancel::Wanted | Cancel::Done => NEVER,
        };
        self.repeat.at.min(self.give_up).min(cancel)
    }

    pub fn on(&mut self, network: &mut Network, message: Message) {
        match message {
            Message::Reply(Method::Cancel, _, _) => self.cancel = Cancel::Done,
            Message::Reply(_, status, _) if status < 200 => self.provisional(network),
            Message::Reply(Method::Invite, status, tag) if status < 300 => {
                if !self.successes.contains(&tag) {
                    self.successes.push(tag);
                }
                self.satisfied = self.satisfied.min(network.now);
                self.end();
                self.send(network, Method::AckTo2xx(tag));
            }
            Message::Reply(_, status, tag) => self.finished(network, status, tag),
            Message::Request(_) => {}
        }
    }

    fn provisional(&mut self, network: &mut Network) {
        if self.state == State::Ended {
            return;
        }
        self.state = State::Proceeding;
        if self.method == Method::Invite {
            self.repeat = Repeat::STOPPED;
            self.give_up = NEVER;
        } else {
            self.repeat.slow();
        }
        if matches!(self.cancel, Cancel::Wanted) {
            self.send_cancel(network);
        }
    }

    fn finished(&mut self, network: &mut Network, status: u16, tag: u16) {
        if self.gave_up {
            return;
        }
        if !self.finals.contains(&(status, tag)) {
            self.finals.push((status, tag));
        }
        self.satisfied = self.satisfied.min(network.now);
        self.end();
        if self.method == Method::Invite {
            self.send(network, Method::Ack);
        }
    }

    fn end(&mut self) {
        self.state = State::Ended;
        self.repeat = Repeat::STOPPED;
        self.give_up = NEVER;
        self.cancel = Cancel::Done;
    }

    pub fn wake(&mut self, network: &mut Network) {
        let now = network.now;
        if self.give_up <= now {
            self.gave_up = true;
            self.end();
        }
        match &mut self.cancel {
            Cancel::Planned(at) if *at <= now => {
                self.cancelled = true;
                if self.state == State::Proceeding {
                    self.send_cancel(network);
                } else {
                    self.cancel = Cancel::Wanted;
                }
            }
            Cancel::Sent { until, .. } if *until <= now => self.cancel = Cancel::Done,
            Cancel::Sent { repeat, .. } => {
                if repeat.due(now) {
                    self.send(network, Method::Cancel);
                }
            }
            Cancel::Planned(_) | Cancel::Wanted | Cancel::Done => {}
        }
        if self.repeat.due(now) {
            self.send(network, self.method);
        }
    }

    fn send_cancel(&mut self, network: &mut Network) {
        let repeat = if network.is_reliable(Node::Caller) {
            Repeat::STOPPED
        } else {
            Repeat::start(network.now, T2)
        };
        let until = network.now + T1X64;
        self.cancel = Cancel::Sent { repeat, until };
        self.satisfied = self.satisfied.min(network.now);
        self.send(network, Method::Cancel);
    }

    fn send(&self, network: &mut Network, method: Method) {
        network.send(Node::Caller, Node::Proxy, Message::Request(method));
    }
}
