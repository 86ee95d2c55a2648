//! The core's statistics of messages, group `core`: the engine counts with them, module kex shows them.

use std::collections::HashMap;

use kahea_sip::Method;

use crate::stats::{Counter, Stats};

/// The group of the statistics.
pub const GROUP: &str = "core";

/// Requests by method, with the ending of the statistic's name.
const METHODS: [(Method, &str); 15] = [
    (Method::Ack, "ack"),
    (Method::Bye, "bye"),
    (Method::Cancel, "cancel"),
    (Method::Info, "info"),
    (Method::Invite, "invite"),
    (Method::Kdmq, "kdmq"),
    (Method::Message, "message"),
    (Method::Notify, "notify"),
    (Method::Options, "options"),
    (Method::Prack, "prack"),
    (Method::Publish, "publish"),
    (Method::Refer, "refer"),
    (Method::Register, "register"),
    (Method::Subscribe, "subscribe"),
    (Method::Update, "update"),
];

/// Methods whose replies are counted by class.
const REPLY_METHODS: [(Method, &str); 8] = [
    (Method::Invite, "invite"),
    (Method::Cancel, "cancel"),
    (Method::Bye, "bye"),
    (Method::Register, "reg"),
    (Method::Message, "message"),
    (Method::Prack, "prack"),
    (Method::Update, "update"),
    (Method::Refer, "refer"),
];

/// Replies that are counted by their code.
const CODES: [u16; 28] = [
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 414, 415, 420, 480, 481, 482, 483, 484,
    485, 486, 487, 488, 489, 491, 493,
];

/// Counters of messages. All handles count the same figures.
#[derive(Clone)]
pub struct CoreStats {
    /// Requests received.
    pub rcv_requests: Counter,
    /// Replies received.
    pub rcv_replies: Counter,
    /// Requests sent on.
    pub fwd_requests: Counter,
    /// Replies sent on.
    pub fwd_replies: Counter,
    /// Requests that were dropped.
    pub drop_requests: Counter,
    /// Replies that were dropped.
    pub drop_replies: Counter,
    /// Requests whose work failed.
    pub err_requests: Counter,
    /// Replies whose work failed.
    pub err_replies: Counter,
    /// Messages with a header that cannot be read.
    pub bad_msg_hdr: Counter,
    /// URIs that cannot be read.
    pub bad_uris_rcvd: Counter,
    /// Requests of a method that this server does not know.
    pub unsupported_methods: Counter,
    methods: Vec<(Method, Counter)>,
    classes: Vec<Counter>,
    class_methods: Vec<(u16, Method, Counter)>,
    codes: HashMap<u16, Counter>,
    ringing: Counter,
}

impl CoreStats {
    /// The counters, made where they are new.
    pub fn new(stats: &Stats) -> CoreStats {
        let counter = |name: &str, doc: &str| stats.counter(GROUP, name, doc);
        CoreStats {
            rcv_requests: counter("rcv_requests", "Requests received."),
            rcv_replies: counter("rcv_replies", "Replies received."),
            fwd_requests: counter("fwd_requests", "Requests sent on."),
            fwd_replies: counter("fwd_replies", "Replies sent on."),
            drop_requests: counter("drop_requests", "Requests that were dropped."),
            drop_replies: counter("drop_replies", "Replies that were dropped."),
            err_requests: counter("err_requests", "Requests whose work failed."),
            err_replies: counter("err_replies", "Replies whose work failed."),
            bad_msg_hdr: counter("bad_msg_hdr", "Messages with a header that cannot be read."),
            bad_uris_rcvd: counter("bad_URIs_rcvd", "URIs that cannot be read."),
            unsupported_methods: counter("unsupported_methods", "Requests of an unknown method."),
            methods: METHODS
                .into_iter()
                .map(|(method, name)| {
                    let name = format!("rcv_requests_{name}");
                    (method, counter(&name, "Requests of this method received."))
                })
                .collect(),
            classes: (1..=6)
                .map(|class| {
                    counter(
                        &format!("rcv_replies_{class}xx"),
                        "Replies of this class received.",
                    )
                })
                .collect(),
            class_methods: (1..=6)
                .flat_map(|class| REPLY_METHODS.map(|(method, name)| (class, method, name)))
                .map(|(class, method, name)| {
                    let name = format!("rcv_replies_{class}xx_{name}");
                    (
                        class,
                        method,
                        counter(&name, "Replies of this class to this method received."),
                    )
                })
                .collect(),
            codes: CODES
                .into_iter()
                .map(|code| {
                    (
                        code,
                        counter(&format!("rcv_replies_{code}"), "Replies with this code received."),
                    )
                })
                .collect(),
            ringing: counter("rcv_replies_18x", "Replies from 180 to 189 received."),
        }
    }

    /// Counts a received request.
    pub fn request(&self, method: Method) {
        self.rcv_requests.inc();
        match self.methods.iter().find(|(known, _)| *known == method) {
            Some((_, counter)) => counter.inc(),
            None => self.unsupported_methods.inc(),
        }
    }

    /// Counts a received reply by its status and the method of its CSeq.
    pub fn reply(&self, status: u16, method: Method) {
        self.rcv_replies.inc();
        let class = status.checked_div(100).unwrap_or(0);
        let place = usize::from(class).checked_sub(1);
        if let Some(counter) = place.and_then(|at| self.classes.get(at)) {
            counter.inc();
        }
        let of_method = |entry: &&(u16, Method, Counter)| entry.0 == class && entry.1 == method;
        if let Some((.., counter)) = self.class_methods.iter().find(of_method) {
            counter.inc();
        }
        if (180..190).contains(&status) {
            self.ringing.inc();
        }
        if let Some(counter) = self.codes.get(&status) {
            counter.inc();
        }
    }

    /// Names of all statistics of the group.
    pub fn names() -> Vec<String> {
        let stats = Stats::default();
        CoreStats::new(&stats);
        let all = stats.group(GROUP.as_bytes()).unwrap_or_default();
        all.into_iter()
            .map(|(name, _)| name.text().into_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(stats: &Stats, name: &str) -> i64 {
        stats.get(b"core", name.as_bytes()).unwrap().get()
    }

    #[test]
    fn requests_count_by_method() {
        let stats = Stats::default();
        let core = CoreStats::new(&stats);
        core.request(Method::Invite);
        core.request(Method::Other);
        assert_eq!(count(&stats, "rcv_requests"), 2);
        assert_eq!(count(&stats, "rcv_requests_invite"), 1);
        assert_eq!(count(&stats, "unsupported_methods"), 1);
    }

    #[test]
    fn replies_count_by_class_code_and_method() {
        let stats = Stats::default();
        let core = CoreStats::new(&stats);
        for (status, method) in [
            (180, Method::Invite),
            (183, Method::Invite),
            (404, Method::Register),
            (412, Method::Subscribe),
            (999, Method::Invite),
        ] {
            core.reply(status, method);
        }
        for (name, want) in [
            ("rcv_replies", 5),
            ("rcv_replies_18x", 2),
            ("rcv_replies_1xx", 2),
            ("rcv_replies_1xx_invite", 2),
            ("rcv_replies_4xx", 2),
            ("rcv_replies_404", 1),
            ("rcv_replies_4xx_reg", 1),
            ("rcv_replies_6xx", 0),
        ] {
            assert_eq!(count(&stats, name), want, "{name}");
        }
    }

    #[test]
    fn handles_share_their_figures() {
        let stats = Stats::default();
        let (one, other) = (CoreStats::new(&stats), CoreStats::new(&stats));
        one.fwd_requests.inc();
        other.fwd_requests.inc();
        assert_eq!(count(&stats, "fwd_requests"), 2);
        assert!(CoreStats::names().contains(&"bad_URIs_rcvd".to_owned()));
    }
}
