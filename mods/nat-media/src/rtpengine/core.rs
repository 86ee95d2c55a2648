//! Asking an engine: which one, and what happens when it does not answer.

use std::{
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_mods_transaction::tm::service::Transactions;
use kahea_module::{Cx, Fault, Format, Str, Value as Script, Var, Worker, debug, info, notice, warning};

use super::{
    bencode::Value,
    calls::{CallKey, Calls, HashAlgorithm},
    command::Operation,
    mos::Mos,
};
use crate::relay::{
    health::{Event, Health, Use},
    nodes::{Node, Nodes, pick},
    wire::{self, Manner, Silence},
};

/// The engines and calls of a module, and its parameters.
pub struct Core {
    pub nodes: Arc<Nodes>,
    pub calls: Arc<Calls>,
    pub options: Options,
    pub tm: Option<Arc<Transactions>>,
    cookies: AtomicU64,
}

/// Parameters that do not change at run time.
pub struct Options {
    pub hash: HashAlgorithm,
    pub call_life: Duration,
    pub allow_op: AllowOp,
    pub default_set: i64,
    pub set_var: Option<Var>,
    pub extra_id: Option<Format>,
    pub instance_var: Option<Var>,
    pub read_sdp: Option<Var>,
    pub write_sdp: Option<Var>,
    pub write_both: bool,
    pub duration_var: Option<Var>,
    pub mos: Mos,
    pub tos: Option<u8>,
    pub from: Option<IpAddr>,
    pub ping_at_start: bool,
    pub ping_every: Option<Duration>,
}

/// Which commands go to engines that are not in use (`rtpengine_allow_op`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllowOp {
    /// None.
    #[default]
    None,
    /// Those of calls that it has, but for offers.
    All,
    /// The same, where a command switched it off.
    SwitchedOff,
}

/// Parameters that change at run time, as they are now.
pub struct Live {
    pub pause: Duration,
    pub aggressive: bool,
    pub timeout: Duration,
    pub most_nodes: usize,
    pub attempts: u32,
}

/// Names and defaults of the parameters that change at run time.
pub const LIVE: [(&str, i64, &str); 5] = [
    (
        "rtpengine_disable_tout",
        60,
        "Seconds that an engine which does not answer is left alone.",
    ),
    (
        "aggressive_redetection",
        1,
        "Pings all engines of a set where none is in use.",
    ),
    (
        "rtpengine_tout_ms",
        1_000,
        "Milliseconds that an answer may take.",
    ),
    (
        "queried_nodes_limit",
        30,
        "The most engines that are tried for a command.",
    ),
    (
        "rtpengine_retr",
        5,
        "How often a command is sent before its engine counts as silent.",
    ),
];

impl Live {
    pub fn of(worker: &Worker) -> Live {
        let of = |at: usize| {
            let (name, default, _) = LIVE.get(at).copied().unwrap_or(("", 0, ""));
            let set = worker.config.settings.get(b"rtpengine", name.as_bytes());
            u64::try_from(set.and_then(|value| value.int()).unwrap_or(default)).unwrap_or(0)
        };
        Live {
            pause: Duration::from_secs(of(0)),
            aggressive: of(1) != 0,
            timeout: Duration::from_millis(of(2).max(1)),
            most_nodes: usize::try_from(of(3)).unwrap_or(usize::MAX).clamp(1, 30),
            attempts: u32::try_from(of(4)).unwrap_or(u32::MAX).clamp(1, 100),
        }
    }
}

/// The sets that the script chose for this message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen {
    pub first: Option<i64>,
    pub second: Option<i64>,
}

/// The totals of the last answer that told of a call, for `$rtpstat`.
#[derive(Clone, Debug, Default)]
pub struct LastTotals(pub Option<Str>);

impl Core {
    pub fn new(
        nodes: Arc<Nodes>,
        calls: Arc<Calls>,
        options: Options,
        tm: Option<Arc<Transactions>>,
        seed: u64,
    ) -> Core {
        Core {
            nodes,
            calls,
            options,
            tm,
            cookies: AtomicU64::new(seed),
        }
    }

    fn cookie(&self, worker: &Worker) -> String {
        let number = self.cookies.fetch_add(1, Relaxed);
        format!("{}_{:x}_{number:x}", worker.index, worker.config.shared.pid)
    }

    fn manner(&self, live: &Live) -> Manner {
        Manner {
            timeout: live.timeout,
            attempts: live.attempts,
            tos: self.options.tos,
            from: self.options.from,
        }
    }

    /// Asks one engine and notes whether it answered.
    async fn ask(
        &self,
        worker: &Rc<Worker>,
        live: &Live,
        node: &Node,
        question: &[u8],
    ) -> Result<Str, Silence> {
        let cookie = self.cookie(worker);
        let manner = self.manner(live);
        let asked = wire::ask(worker, &node.address, &manner, &cookie, question, Value::is_whole).await;
        let event = match &asked {
            Ok(_) => Event::Answered,
            Err(_) => Event::Silent {
                now: worker.engine.now(),
                pause: live.pause,
            },
        };
        let (before, after) = node.tell(event);
        log_change(node, before, after, asked.as_ref().err());
        asked
    }

    /// Pings an engine.
    pub async fn ping(&self, worker: &Rc<Worker>, node: &Node) -> bool {
        let live = Live::of(worker);
        let answer = self.ask(worker, &live, node, b"d7:command4:pinge").await;
        answer.is_ok_and(|answer| {
            Value::parse_first(&answer)
                .is_ok_and(|answer| answer.text_of("result").is_some_and(|r| *r == "pong"))
        })
    }

    /// Pings an engine that was silent; other messages leave it alone meanwhile.
    async fn probe(&self, worker: &Rc<Worker>, live: &Live, node: &Node) -> bool {
        node.tell(Event::Silent {
            now: worker.engine.now(),
            pause: live.pause,
        });
        self.ping(worker, node).await
    }

    /// The engine for a command. A call that is known stays with its engine.
    async fn choose(
        &self,
        worker: &Rc<Worker>,
        live: &Live,
        target: &Target,
        tried: &[usize],
    ) -> Option<Arc<Node>> {
        let known = self
            .calls
            .node_of(&target.key, worker.engine.now())
            .and_then(|at| self.nodes.at(at))
            .filter(|node| node.set == target.set);
        match known {
            Some(node) if tried.contains(&node.index) => None,
            Some(node) => self.check_known(worker, live, target, node).await,
            None => self.choose_new(worker, live, target, tried).await,
        }
    }

    async fn check_known(
        &self,
        worker: &Rc<Worker>,
        live: &Live,
        target: &Target,
        node: Arc<Node>,
    ) -> Option<Arc<Node>> {
        let usable = match node.usage(worker.engine.now()) {
            Use::Ask => true,
            Use::Probe => self.probe(worker, live, &node).await,
            Use::Skip => match self.options.allow_op {
                _ if target.operation == Operation::Offer => false,
                AllowOp::None => false,
                AllowOp::All => true,
                AllowOp::SwitchedOff => node.health() == Health::Off || !node.is_shown(),
            },
        };
        usable.then_some(node)
    }

    async fn choose_new(
        &self,
        worker: &Rc<Worker>,
        live: &Live,
        target: &Target,
        tried: &[usize],
    ) -> Option<Arc<Node>> {
        let hash = self.options.hash.hash(&target.key.call_id);
        let all = self.nodes.of_set(target.set);
        for forced in [false, true] {
            let mut usable = Vec::with_capacity(all.len());
            for node in all.iter().filter(|node| !tried.contains(&node.index)) {
                let fits = match node.usage(worker.engine.now()) {
                    Use::Ask => true,
                    Use::Probe => self.probe(worker, live, node).await,
                    Use::Skip => {
                        let silent = node.is_shown() && matches!(node.health(), Health::Down { .. });
                        forced && silent && self.probe(worker, live, node).await
                    }
                };
                if fits {
                    usable.push(node.clone());
                }
            }
            if let Some(node) = pick(&usable, hash) {
                return Some(node.clone());
            }
            if !live.aggressive {
                break;
            }
        }
        None
    }

    /// Asks an engine of the set, the next where one does not answer or is full.
    ///
    /// # Errors
    /// None answers, or the answer is a refusal.
    pub async fn command(&self, cx: &mut Cx, target: &Target, question: &[u8]) -> Result<Value, Fault> {
        let worker = cx.worker.clone();
        let live = Live::of(&worker);
        let mut tried = Vec::new();
        while tried.len() < live.most_nodes {
            let Some(node) = self.choose(&worker, &live, target, &tried).await else {
                break;
            };
            tried.push(node.index);
            let Ok(answer) = self.ask(&worker, &live, &node, question).await else {
                continue;
            };
            if let Some(var) = &self.options.instance_var {
                var.set(cx, Script::Str(node.url.clone()))?;
            }
            let answer = Value::parse_first(&answer)
                .map_err(|_| Fault::backend(format!("{} gave an answer that cannot be read", node.url)))?;
            if answer
                .text_of("result")
                .is_some_and(|result| *result == "load limit")
            {
                let why = answer.text_of("message").cloned().unwrap_or_default();
                info!("rtpengine", "{} takes no more calls now: {why}.", node.url);
                continue;
            }
            self.note(&worker, target, &node);
            return accepted(&node, answer);
        }
        Err(Fault::backend(match tried.len() {
            0 => format!("no engine of set {} is in use", target.set),
            count => format!("none of {count} engines of set {} took the command", target.set),
        }))
    }

    /// Remembers which engine has the call, or forgets it.
    fn note(&self, worker: &Worker, target: &Target, node: &Node) {
        match target.operation {
            Operation::Delete => self.calls.remove(&target.key),
            _ => {
                let now = worker.engine.now();
                self.calls
                    .insert(&target.key, node.index, now, self.options.call_life);
            }
        }
    }

    /// The set for this message: that of `setid_avp`, else what the script chose, else the default.
    pub fn set_of(&self, cx: &mut Cx) -> i64 {
        let of_var = self.options.set_var.as_ref().and_then(|var| var.get(cx).int());
        let chosen = cx.extra_ref::<Chosen>().and_then(|chosen| chosen.first);
        of_var.or(chosen).unwrap_or(self.options.default_set)
    }
}

/// Whom a command is for.
#[derive(Clone, Debug)]
pub struct Target {
    pub set: i64,
    pub key: CallKey,
    pub operation: Operation,
}

fn accepted(node: &Node, answer: Value) -> Result<Value, Fault> {
    if let Some(why) = answer.text_of("warning") {
        info!("rtpengine", "{} warns: {why}.", node.url);
    }
    match answer.text_of("result") {
        Some(result) if *result == "ok" => Ok(answer),
        Some(result) => {
            let why = answer.text_of("error-reason").unwrap_or(result);
            Err(Fault::backend(format!("{} refuses: {why}", node.url)))
        }
        None => Err(Fault::backend(format!(
            "{} gave an answer without a result",
            node.url
        ))),
    }
}

fn log_change(node: &Node, before: Health, after: Health, why: Option<&Silence>) {
    match (before, after) {
        (Health::Untested | Health::Up, Health::Down { .. }) => {
            let why = why.map_or("", |Silence(why)| why.as_str());
            warning!(
                "rtpengine",
                "{} does not answer and is left alone for a while: {why}.",
                node.url
            );
        }
        (Health::Down { .. }, Health::Up) => notice!("rtpengine", "{} answers again.", node.url),
        _ => debug!("rtpengine", "{} is {after:?}.", node.url),
    }
}

/// Pings every engine that is not switched off, at start and at intervals, so that calls need not find out.
pub fn ping_all(core: &Arc<Core>, worker: &Rc<Worker>) {
    for node in core.nodes.shown() {
        if node.health() == Health::Off {
            continue;
        }
        let (core, on) = (core.clone(), worker.clone());
        worker.engine.spawn(Box::pin(async move {
            core.ping(&on, &node).await;
        }));
    }
}
