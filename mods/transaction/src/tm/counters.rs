//! The statistics of `tm` (named in the group of `tmx`, as in Kamailio).

use kahea_module::stats::{Counter, Stats};

/// The counters.
pub struct Counters {
    /// Transactions begun by received requests.
    pub uas: Counter,
    /// Transactions begun by this server.
    pub uac: Counter,
    /// Transactions that ended with 2xx to 6xx.
    pub completed: [Counter; 5],
    /// Transactions not answered yet.
    pub active: Counter,
    /// Transactions in memory.
    pub inuse: Counter,
    /// Replies received for transactions.
    pub received: Counter,
    /// Replies relayed.
    pub relayed: Counter,
    /// Replies made here.
    pub generated: Counter,
    /// Replies sent: relayed and made.
    pub sent: Counter,
    /// Replies that went no further.
    pub absorbed: Counter,
}

/// Their names and what they count, in the order of the fields; `completed` in its places.
pub const NAMES: [(&str, &str); 14] = [
    ("UAS_transactions", "Transactions begun by received requests."),
    ("UAC_transactions", "Transactions begun by this server."),
    ("2xx_transactions", "Transactions that ended with a 2xx."),
    ("3xx_transactions", "Transactions that ended with a 3xx."),
    ("4xx_transactions", "Transactions that ended with a 4xx."),
    ("5xx_transactions", "Transactions that ended with a 5xx."),
    ("6xx_transactions", "Transactions that ended with a 6xx."),
    (
        "active_transactions",
        "Transactions without a final reply so far.",
    ),
    ("inuse_transactions", "Transactions in memory."),
    ("rpl_received", "Replies received for transactions."),
    ("rpl_relayed", "Replies passed on."),
    ("rpl_generated", "Replies made here."),
    ("rpl_sent", "Replies sent."),
    ("rpl_absorbed", "Replies that went no further."),
];

impl Counters {
    /// Of the process; they go on over reloads.
    pub fn new(stats: &Stats) -> Counters {
        let counter = |name| stats.counter("tmx", name, "");
        Counters {
            uas: counter("UAS_transactions"),
            uac: counter("UAC_transactions"),
            completed: [
                counter("2xx_transactions"),
                counter("3xx_transactions"),
                counter("4xx_transactions"),
                counter("5xx_transactions"),
                counter("6xx_transactions"),
            ],
            active: counter("active_transactions"),
            inuse: counter("inuse_transactions"),
            received: counter("rpl_received"),
            relayed: counter("rpl_relayed"),
            generated: counter("rpl_generated"),
            sent: counter("rpl_sent"),
            absorbed: counter("rpl_absorbed"),
        }
    }

    /// A transaction got its final reply.
    pub fn completed(&self, status: u16) {
        let class = usize::from(status / 100).checked_sub(2);
        if let Some(counter) = class.and_then(|class| self.completed.get(class)) {
            counter.inc();
        }
        self.active.add(-1);
    }
}
