//! The module's own state: its parameters as they are in force, the table, the counters.

use std::{
    ops::RangeInclusive,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, Guard};
use kahea_module::{Env, RouteId, Str, Worker};
use kahea_tx::{Matching, Policy, Time, Timing};

use super::{counters::Counters, further::Options as Further, table::Table, watch::Watchers};

/// What the parameters say.
#[derive(Clone)]
pub struct Options {
    /// How requests find their transaction.
    pub matching: Matching,
    /// The timers of new transactions.
    pub timing: Timing,
    /// Their rules.
    pub policy: Policy,
    /// INVITEs are answered with 100 before they are relayed.
    pub auto_inv_100: bool,
    /// Its reason.
    pub auto_inv_100_reason: Str,
    /// What a CANCEL without an INVITE becomes: 0 stateful, 1 stateless, 2 nothing.
    pub unmatched_cancel: i64,
    /// `t_reply()` without a usable code.
    pub default_code: u16,
    /// Its reason.
    pub default_reason: Str,
    /// A 401 or 407 carries the challenges of all branches.
    pub aggregate_challenges: bool,
    /// Reason headers of our own in CANCELs.
    pub local_cancel_reason: bool,
    /// Reason headers of the caller in CANCELs.
    pub e2e_cancel_reason: bool,
    /// A 503 is passed on as 500 (RFC 3261 section 16.7 step 6).
    pub remap_503_500: bool,
    /// Branches that could not be sent are left to the failure route.
    pub failure_exec_mode: bool,
    /// Which results a failure route's new branches replace.
    pub failure_reply_mode: u8,
    /// What a branch without an answer gives the caller.
    pub reply_408_code: u16,
    /// Its reason.
    pub reply_408_reason: Str,
    /// The reply to a request that could not be relayed waits for the end of the script.
    pub delayed_reply: bool,
    /// Names of headers that ACK and CANCEL copy from the request begin with this.
    pub ac_extra_hdrs: Str,
    /// Statuses besides 503 that make the next address of a hop be tried.
    pub failover_codes: Vec<RangeInclusive<u16>>,
    /// Runs for replies of no transaction.
    pub on_sl_reply: Option<RouteId>,
    /// What the contacts of a redirection carry.
    pub rich_redirect: i64,
    /// Contacts, local requests and what else has files of its own.
    pub further: Further,
}

/// The module in one configuration.
pub struct Core {
    /// Parameters as they are now: some change at run time.
    options: ArcSwap<Options>,
    /// All transactions, of every configuration.
    pub table: Arc<Table>,
    /// Statistics.
    pub counters: Counters,
    /// Transactions of this configuration.
    pub alive: AtomicUsize,
    /// Modules that are told of its transactions.
    pub watchers: Arc<Watchers>,
}

impl Core {
    /// With these parameters.
    pub fn new(options: Options, env: &mut Env<'_>) -> Core {
        Core {
            options: ArcSwap::from_pointee(options),
            table: env.shared.keep(Table::default),
            counters: Counters::new(&env.shared.stats),
            alive: AtomicUsize::new(0),
            watchers: Watchers::of(env),
        }
    }

    /// The parameters as they are now.
    pub fn options(&self) -> Guard<Arc<Options>> {
        self.options.load()
    }

    /// Other parameters hold from now on.
    pub fn set_options(&self, options: Options) {
        self.options.store(Arc::new(options));
    }

    /// A transaction of this configuration began.
    pub fn began(&self) {
        self.alive.fetch_add(1, Relaxed);
    }

    /// One ended.
    pub fn ended(&self) {
        self.alive.fetch_sub(1, Relaxed);
    }

    /// The configuration's transactions are gone.
    pub fn is_idle(&self) -> bool {
        self.alive.load(Relaxed) == 0
    }
}

/// The moment, as the machines count it.
pub fn now(worker: &Rc<Worker>) -> Time {
    let since = worker
        .engine
        .now()
        .saturating_duration_since(worker.config.shared.started_at);
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
