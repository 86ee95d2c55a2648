//! The proxy under test: a [`Transaction`] with as little around it as it takes to carry messages.

use kahea_tx::{Action, Actions, BranchId, Choice, Policy, Time, Timing, Transaction};

use crate::network::{Message, Method, NEVER, Network, Node, PROXY_TAG};

/// How the proxy treats its callees.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub policy: Policy,
    pub timing: Timing,
    /// One callee after the other, each when the one before has refused.
    pub serial: bool,
}

pub struct Proxy {
    method: Method,
    manner: Manner,
    /// Callees that nothing can be sent to.
    refused: Vec<bool>,
    transaction: Option<Transaction>,
    /// Status and tag of what the caller got last.
    last: (u16, u16),
    /// The final reply that each branch had first: status and tag.
    finals: Vec<Option<(u16, u16)>>,
    pub began: bool,
    /// Callees it has turned to.
    pub branches: usize,
    pub deletes: u32,
    /// What went wrong.
    pub faults: Vec<&'static str>,
}

impl Proxy {
    pub fn new(method: Method, manner: Manner, refused: Vec<bool>) -> Proxy {
        Proxy {
            method,
            manner,
            finals: vec![None; refused.len()],
            refused,
            transaction: None,
            last: (0, 0),
            began: false,
            branches: 0,
            deletes: 0,
            faults: Vec::new(),
        }
    }

    pub fn deadline(&self) -> u64 {
        self.transaction
            .as_ref()
            .map_or(NEVER, |transaction| transaction.deadline().0)
    }

    pub fn is_gone(&self) -> bool {
        self.transaction.is_none()
    }

    pub fn on(&mut self, network: &mut Network, from: Node, message: Message) {
        match (from, message) {
            (Node::Callee(id), Message::Reply(method, status, tag)) => {
                self.answered(network, id, method, status, tag)
            }
            (_, Message::Request(Method::AckTo2xx(id))) => {
                network.send(
                    Node::Proxy,
                    Node::Callee(id),
                    Message::Request(Method::AckTo2xx(id)),
                );
            }
            (_, Message::Request(Method::Ack)) => {
                self.tell(network, |transaction, now, actions| transaction.ack(now, actions))
            }
            (_, Message::Request(Method::Cancel)) => {
                let status = if self.is_gone() { 481 } else { 200 };
                network.send(
                    Node::Proxy,
                    Node::Caller,
                    Message::Reply(Method::Cancel, status, PROXY_TAG),
                );
                self.tell(network, |transaction, now, actions| {
                    transaction.cancel(now, actions)
                });
            }
            (_, Message::Request(_)) if !self.began => self.begin(network),
            (_, Message::Request(_)) => {
                if self.is_gone() {
                    self.faults.push("a repeated request came after the end");
                }
                self.tell(network, |transaction, now, actions| {
                    transaction.repeated(now, actions)
                });
            }
            (Node::Caller | Node::Proxy, Message::Reply(..)) => {}
        }
    }

    fn begin(&mut self, network: &mut Network) {
        self.began = true;
        let invite = self.method == Method::Invite;
        let now = Time(network.now);
        self.transaction = Some(Transaction::new(
            now,
            invite,
            self.manner.timing,
            self.manner.policy,
        ));
        if invite {
            self.answer(network, 100, PROXY_TAG, true);
        }
        let first = if self.manner.serial { 1 } else { self.refused.len() };
        self.branches(network, first);
    }

    /// Adds so many branches and sends them once all are there, so that none is the last too early.
    fn branches(&mut self, network: &mut Network, count: usize) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let added: Vec<BranchId> = (0..count).map(|_| transaction.add_branch()).collect();
        for branch in added {
            self.send_branch(network, branch);
        }
    }

    fn send_branch(&mut self, network: &mut Network, branch: BranchId) {
        self.branches += 1;
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let callee = Node::Callee(branch.0);
        let now = Time(network.now);
        if self.refused[branch.index()] {
            self.tell(network, |transaction, now, actions| {
                transaction.unsent(now, branch, 503, actions)
            });
        } else {
            transaction.sent(now, branch, network.is_reliable(callee));
            network.send(Node::Proxy, callee, Message::Request(self.method));
        }
    }

    fn answered(&mut self, network: &mut Network, id: u16, method: Method, status: u16, tag: u16) {
        if method == Method::Cancel {
            if let Some(transaction) = &mut self.transaction {
                transaction.cancel_answered(Time(network.now), BranchId(id));
            }
            return;
        }
        let Some(transaction) = &mut self.transaction else {
            // Without a transaction replies pass; a refusal would find nobody.
            if method == Method::Invite && (200..300).contains(&status) {
                network.send(Node::Proxy, Node::Caller, Message::Reply(method, status, tag));
            }
            return;
        };
        let known = &mut self.finals[usize::from(id)];
        if status >= 200 && known.is_none() {
            *known = Some((status, tag));
        }
        let mut actions = Actions::new();
        transaction.reply(Time(network.now), BranchId(id), status, &mut actions);
        self.obey(network, &actions, Some((status, tag)));
    }

    pub fn wake(&mut self, network: &mut Network) {
        if self.deadline() <= network.now {
            self.tell(network, |transaction, now, actions| {
                transaction.tick(now, actions)
            });
            if self.deadline() <= network.now {
                self.faults.push("a deadline in the past after tick");
            }
        }
    }

    fn tell(&mut self, network: &mut Network, what: impl FnOnce(&mut Transaction, Time, &mut Actions)) {
        if let Some(transaction) = &mut self.transaction {
            let mut actions = Actions::new();
            what(transaction, Time(network.now), &mut actions);
            self.obey(network, &actions, None);
        }
    }

    fn obey(&mut self, network: &mut Network, actions: &Actions, reply: Option<(u16, u16)>) {
        for action in actions {
            network.log(|| format!("         {action:?}"));
            match *action {
                Action::Resend(branch) => self.request(network, branch, self.method),
                Action::Ack(branch) => self.request(network, branch, Method::Ack),
                Action::Cancel(branch) | Action::CancelAgain(branch) => {
                    self.request(network, branch, Method::Cancel)
                }
                Action::ResendReply => {
                    let (status, tag) = self.last;
                    network.send(
                        Node::Proxy,
                        Node::Caller,
                        Message::Reply(self.method, status, tag),
                    );
                }
                Action::Relay(_) => match reply {
                    Some((status, tag)) => self.answer(network, status, tag, false),
                    None => self.faults.push("nothing to relay"),
                },
                Action::Ended(_) => self.ended(network),
                Action::Rest => {}
                Action::Delete => {
                    self.deletes += 1;
                    if self
                        .transaction
                        .take()
                        .is_some_and(|gone| gone.deadline() != Time::NEVER)
                    {
                        self.faults.push("a deadline after the end");
                    }
                }
            }
        }
    }

    fn request(&self, network: &mut Network, branch: BranchId, method: Method) {
        network.send(Node::Proxy, Node::Callee(branch.0), Message::Request(method));
    }

    /// What a failure route does: the next callee, or else the best answer.
    fn ended(&mut self, network: &mut Network) {
        let Some(transaction) = &self.transaction else {
            return;
        };
        let Choice::Best(best) = transaction.choose() else {
            return;
        };
        let outcome = transaction.client(best).map(kahea_tx::Client::outcome);
        let Some(status) = outcome.and_then(kahea_tx::Outcome::status) else {
            self.faults.push("the best branch has no result");
            return;
        };
        let more = transaction.clients().len() < self.refused.len();
        let hunt = status < 600 && !transaction.is_cancelled() && !transaction.is_expired(Time(network.now));
        if more && hunt {
            self.branches(network, 1);
            return;
        }
        let real = self.finals[best.index()].filter(|_| outcome.is_some_and(|outcome| !outcome.is_faked()));
        let (status, tag) = real.unwrap_or((status, PROXY_TAG));
        self.answer(network, status, tag, real.is_none());
    }

    fn answer(&mut self, network: &mut Network, status: u16, tag: u16, local: bool) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let before = transaction.server().is_final();
        let mut actions = Actions::new();
        let reliable = network.is_reliable(Node::Caller);
        if transaction.answer(Time(network.now), status, local, reliable, &mut actions) {
            if !before {
                self.last = (status, tag);
            }
            network.send(
                Node::Proxy,
                Node::Caller,
                Message::Reply(self.method, status, tag),
            );
        }
        self.obey(network, &actions, None);
    }
}
