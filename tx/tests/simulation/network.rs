//! A network that loses, doubles, delays and reorders, and the queue of what is to come.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A timer that does not run.
pub const NEVER: u64 = u64::MAX;

/// T1 and T2 of RFC 3261, and 64 times T1, in milliseconds.
pub const T1: u64 = 500;
pub const T2: u64 = 4_000;
pub const T1X64: u64 = 32_000;

/// The tag of replies that the proxy makes.
pub const PROXY_TAG: u16 = 1_000;

/// Splitmix64: the same seed gives the same schedule.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).expect("small")]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    Caller,
    Proxy,
    Callee(u16),
}

/// The method of a request, or that of the request that a reply answers. Only `Invite` or `Other` begins a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    Invite,
    Other,
    Cancel,
    /// To a refusal, on the same hop.
    Ack,
    /// To the 2xx of the callee with this number, all the way.
    AckTo2xx(u16),
}

/// A message; each hop has one request besides its CANCEL and ACK, so that no branch need be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Message {
    Request(Method),
    /// Method, status, tag.
    Reply(Method, u16, u16),
}

impl Message {
    /// What counts as the same message when losses in a row are counted.
    fn kind(self) -> (Method, Option<u16>) {
        match self {
            Message::Reply(method, status, tag) if status >= 200 => (method, Some(tag)),
            Message::Request(method) | Message::Reply(method, ..) => (method, None),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Arrives { from: Node, to: Node, message: Message },
    Wake(Node),
}

/// The manners of a network.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Percent of messages that are lost.
    pub loss: u64,
    /// Percent of messages that come twice.
    pub doubling: u64,
    /// Milliseconds on the way, and up to how many more.
    pub delay: u64,
    pub jitter: u64,
}

impl Manners {
    /// Everything arrives once and in order.
    pub fn orderly(&self) -> bool {
        self.loss == 0 && self.doubling == 0 && self.jitter == 0
    }
}

struct Link {
    ends: (Node, Node),
    kind: (Method, Option<u16>),
    lost_in_a_row: u32,
}

pub struct Network {
    pub now: u64,
    pub random: Random,
    pub trace: bool,
    manners: Manners,
    /// Hops over TCP, by the callee's number, and that of the caller.
    reliable: Vec<Node>,
    links: Vec<Link>,
    last_arrival: Vec<((Node, Node), u64)>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    /// Callees of whom a provisional reply has arrived.
    pub heard: Vec<u16>,
}

impl Network {
    /// A message is lost at most so often in a row, so that what is repeated long enough arrives.
    const LOST_IN_A_ROW: u32 = 2;

    pub fn new(random: Random, manners: Manners, reliable: Vec<Node>, trace: bool) -> Network {
        Network {
            now: 1_000,
            random,
            trace,
            manners,
            reliable,
            links: Vec::new(),
            last_arrival: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            heard: Vec::new(),
        }
    }

    pub fn is_reliable(&self, node: Node) -> bool {
        self.reliable.contains(&node)
    }

    pub fn wake(&mut self, node: Node, at: u64) {
        if at != NEVER {
            self.push(at, Event::Wake(node));
        }
    }

    pub fn send(&mut self, from: Node, to: Node, message: Message) {
        let reliable = self.is_reliable(from) || self.is_reliable(to);
        if reliable {
            let at = self.in_order(from, to);
            self.arrive(at, from, to, message);
            return;
        }
        if self.loses(from, to, message) {
            self.log(|| format!("{from:?} -> {to:?} {message:?} LOST"));
            return;
        }
        let copies = if self.random.percent(self.manners.doubling) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let at = self.now + self.manners.delay + self.random.below(self.manners.jitter + 1);
            self.arrive(at, from, to, message);
        }
    }

    /// TCP: nothing overtakes.
    fn in_order(&mut self, from: Node, to: Node) -> u64 {
        let at = self.now + self.manners.delay + self.random.below(self.manners.jitter + 1);
        match self.last_arrival.iter_mut().find(|(ends, _)| *ends == (from, to)) {
            Some((_, last)) => {
                *last = at.max(*last);
                *last
            }
            None => {
                self.last_arrival.push(((from, to), at));
                at
            }
        }
    }

    fn loses(&mut self, from: Node, to: Node, message: Message) -> bool {
        let (ends, kind) = ((from, to), message.kind());
        let at = self
            .links
            .iter()
            .position(|link| link.ends == ends && link.kind == kind);
        let at = at.unwrap_or_else(|| {
            self.links.push(Link {
                ends,
                kind,
                lost_in_a_row: 0,
            });
            self.links.len() - 1
        });
        let link = &mut self.links[at];
        let lost = link.lost_in_a_row < Self::LOST_IN_A_ROW && self.random.percent(self.manners.loss);
        link.lost_in_a_row = if lost { link.lost_in_a_row + 1 } else { 0 };
        lost
    }

    fn arrive(&mut self, at: u64, from: Node, to: Node, message: Message) {
        self.push(at, Event::Arrives { from, to, message });
    }

    fn push(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    /// The next event, with the clock moved to it.
    pub fn next(&mut self) -> Option<Event> {
        let Reverse((at, _, event)) = self.queue.pop()?;
        self.now = self.now.max(at);
        if let Event::Arrives {
            from: Node::Callee(id),
            message: Message::Reply(Method::Invite, status, _),
            ..
        } = event
            && status < 200
            && !self.heard.contains(&id)
        {
            self.heard.push(id);
        }
        if let Event::Arrives { from, to, message } = event {
            self.log(|| format!("{from:?} -> {to:?} {message:?}"));
        }
        Some(event)
    }

    pub fn log(&self, line: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>7} {}", self.now, line());
        }
    }
}

/// A message that is sent again at growing intervals.
#[derive(Clone, Copy, Debug)]
pub struct Repeat {
    pub at: u64,
    interval: u64,
    longest: u64,
}

impl Repeat {
    pub const STOPPED: Repeat = Repeat {
        at: NEVER,
        interval: 0,
        longest: 0,
    };

    pub fn start(now: u64, longest: u64) -> Repeat {
        Repeat {
            at: now + T1,
            interval: T1,
            longest,
        }
    }

    /// True where it is due; the next time is set.
    pub fn due(&mut self, now: u64) -> bool {
        if self.at > now {
            return false;
        }
        self.interval = (self.interval * 2).min(self.longest);
        self.at = now + self.interval;
        true
    }

    pub fn slow(&mut self) {
        if self.at != NEVER {
            self.interval = T2;
        }
    }
}
