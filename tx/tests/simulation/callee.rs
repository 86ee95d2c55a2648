//! A callee: a server of RFC 3261 with timers G and H, that follows a plan and may crash.

use crate::network::{Message, Method, NEVER, Network, Node, Random, Repeat, T1X64, T2};

/// What a callee will do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Replies, by milliseconds after the request; one that is final ends it.
    pub replies: Vec<(u64, u16)>,
    /// It is gone from this moment on.
    pub crash_at: u64,
    /// Nothing can be sent to it.
    pub refused: bool,
}

impl Plan {
    const REFUSALS: [u16; 12] = [300, 302, 401, 404, 407, 415, 480, 484, 486, 500, 503, 603];

    pub fn random(random: &mut Random, method: Method) -> Plan {
        let mut plan = Plan {
            replies: Vec::new(),
            crash_at: NEVER,
            refused: random.percent(4),
        };
        if random.percent(12) {
            plan.crash_at = 1_000 + random.below(20_000);
        }
        if random.percent(10) {
            return plan;
        }
        // Something comes within 200 ms (section 17.2.1).
        let mut at = random.below(200);
        if method == Method::Invite {
            for _ in 0..random.below(4) {
                plan.replies.push((at, random.pick(&[100, 180, 183])));
                at += random.below(5_000);
            }
        } else if random.percent(50) {
            plan.replies.push((at, 100));
            at += random.below(5_000);
        }
        let for_ever = method == Method::Invite && !plan.replies.is_empty() && random.percent(10);
        if !for_ever {
            let status = if random.percent(40) {
                200
            } else {
                random.pick(&Plan::REFUSALS)
            };
            plan.replies.push((at, status));
        }
        plan
    }

    pub fn rings_for_ever(&self) -> bool {
        self.replies.iter().all(|(_, status)| *status < 200)
    }

    fn is_silent(&self) -> bool {
        self.replies.is_empty()
    }
}

pub struct Callee {
    id: u16,
    method: Method,
    pub plan: Plan,
    /// When its request came.
    began: Option<u64>,
    next: usize,
    /// The last reply; 0 before any.
    pub status: u16,
    pub acked: bool,
    /// When its final reply left.
    pub answered: u64,
    repeat: Repeat,
    /// H, or the same of a 2xx.
    give_up: u64,
}

impl Callee {
    pub fn new(id: u16, method: Method, plan: Plan) -> Callee {
        Callee {
            id,
            method,
            plan,
            began: None,
            next: 0,
            status: 0,
            acked: false,
            answered: NEVER,
            repeat: Repeat::STOPPED,
            give_up: NEVER,
        }
    }

    pub fn has_crashed(&self, now: u64) -> bool {
        self.plan.crash_at <= now
    }

    /// Its request came.
    fn was_asked(&self) -> bool {
        self.began.is_some()
    }

    pub fn has_answered(&self) -> bool {
        self.status >= 200
    }

    /// It was asked, and neither answered nor was stopped.
    pub fn rings(&self, now: u64) -> bool {
        self.was_asked() && !self.plan.is_silent() && !self.has_answered() && !self.has_crashed(now)
    }

    fn planned(&self) -> u64 {
        match (self.began, self.plan.replies.get(self.next)) {
            (Some(began), Some((after, _))) if !self.has_answered() => began + after,
            _ => NEVER,
        }
    }

    pub fn deadline(&self) -> u64 {
        self.planned().min(self.repeat.at).min(self.give_up)
    }

    pub fn on(&mut self, network: &mut Network, message: Message) {
        if self.has_crashed(network.now) {
            return;
        }
        match message {
            Message::Request(method) if method == self.method => self.asked(network),
            Message::Request(Method::Cancel) => self.cancelled(network),
            Message::Request(Method::Ack) if self.status >= 300 => self.acknowledged(),
            Message::Request(Method::AckTo2xx(_)) if (200..300).contains(&self.status) => self.acknowledged(),
            Message::Request(_) | Message::Reply(..) => {}
        }
    }

    fn asked(&mut self, network: &mut Network) {
        let again = self.began.is_some();
        if !again {
            self.began = Some(network.now);
            return;
        }
        let repeats_itself = self.method == Method::Invite && (200..300).contains(&self.status);
        if self.status > 0 && !self.acked && !repeats_itself {
            self.send(network, self.method, self.status);
        }
    }

    fn cancelled(&mut self, network: &mut Network) {
        if self.began.is_none() {
            self.send(network, Method::Cancel, 481);
            return;
        }
        self.send(network, Method::Cancel, 200);
        if !self.has_answered() && !self.plan.is_silent() {
            self.reply(network, 487);
        }
    }

    fn acknowledged(&mut self) {
        self.acked = true;
        self.repeat = Repeat::STOPPED;
        self.give_up = NEVER;
    }

    fn reply(&mut self, network: &mut Network, status: u16) {
        self.status = status;
        if status >= 200 {
            self.answered = network.now;
        }
        self.send(network, self.method, status);
        if status >= 200 && self.method == Method::Invite {
            self.give_up = network.now + T1X64;
            if status < 300 || !network.is_reliable(Node::Callee(self.id)) {
                self.repeat = Repeat::start(network.now, T2);
            }
        }
    }

    pub fn wake(&mut self, network: &mut Network) {
        let now = network.now;
        if self.has_crashed(now) {
            self.acknowledged();
            self.acked = false;
            self.next = self.plan.replies.len();
            return;
        }
        if self.planned() <= now
            && let Some((_, status)) = self.plan.replies.get(self.next).copied()
        {
            self.next += 1;
            self.reply(network, status);
        }
        if self.give_up <= now {
            self.give_up = NEVER;
            self.repeat = Repeat::STOPPED;
        }
        if self.repeat.due(now) {
            self.send(network, self.method, self.status);
        }
    }

    fn send(&self, network: &mut Network, method: Method, status: u16) {
        network.send(
            Node::Callee(self.id),
            Node::Proxy,
            Message::Reply(method, status, self.id),
        );
    }
}
