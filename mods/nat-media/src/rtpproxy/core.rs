//! Asking a proxy: which one, and what happens when it does not answer.

use std::{
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_mods_transaction::tm::service::Transactions;
use kahea_module::{Cx, Fault, Format, Str, Value, Var, Worker, notice, warning};
use parking_lot::Mutex;

use super::answer;
use crate::relay::{
    health::{Event, Health, Use},
    nodes::{Node, Nodes, pick},
    wire::{self, Address, Manner, Silence},
};

/// The code of a command for which no proxy is in use.
pub const NO_PROXY: i64 = -3;

/// Parameters.
pub struct Options {
    pub mark: Str,
    pub pause: Duration,
    pub timeout: Duration,
    pub attempts: u32,
    pub timeout_socket: Str,
    pub timeout_tag: Option<Format>,
    pub ice: Option<Var>,
    pub extra_id: Option<Format>,
    pub instance_var: Option<Var>,
    /// The script reads `$rtpstat`: proxies are asked for figures before a session is deleted.
    pub wants_figures: bool,
}

/// What a proxy can do besides the basics; asked once it was silent or is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// Repacketization (`z`).
    pub repacketize: bool,
    /// Codecs in commands.
    pub codecs: bool,
}

/// The questions, by the dates that rtpproxy gives to its extensions.
const REPACKETIZE: &[u8] = b"VF 20071116\n";
const CODECS: &[u8] = b"VF 20081102\n";

/// The proxies of a module, and its parameters.
pub struct Core {
    pub nodes: Arc<Nodes>,
    pub options: Options,
    pub tm: Option<Arc<Transactions>>,
    abilities: Mutex<HashMap<usize, Abilities>>,
    cookies: AtomicU64,
}

/// The set that the script chose for this message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen(pub Option<i64>);

/// A proxy that was chosen, and how it was told apart.
pub struct Proxy {
    pub node: Arc<Node>,
    pub abilities: Abilities,
}

impl Core {
    pub fn new(nodes: Arc<Nodes>, options: Options, tm: Option<Arc<Transactions>>, seed: u64) -> Core {
        Core {
            nodes,
            options,
            tm,
            abilities: Mutex::default(),
            cookies: AtomicU64::new(seed),
        }
    }

    /// Asks one proxy and notes whether it answered.
    async fn ask(&self, worker: &Rc<Worker>, node: &Node, question: &[u8]) -> Result<Str, Silence> {
        let number = self.cookies.fetch_add(1, Relaxed);
        let cookie = format!("{}_{:x}_{number:x}", worker.index, worker.config.shared.pid);
        let manner = Manner {
            timeout: self.options.timeout,
            attempts: self.options.attempts,
            ..Manner::default()
        };
        let asked = wire::ask(worker, &node.address, &manner, &cookie, question, |_| Some(true)).await;
        let event = match &asked {
            Ok(_) => Event::Answered,
            Err(_) => Event::Silent {
                now: worker.engine.now(),
                pause: self.options.pause,
            },
        };
        match (node.tell(event), asked.as_ref().err()) {
            ((Health::Untested | Health::Up, Health::Down { .. }), Some(Silence(why))) => {
                self.abilities.lock().remove(&node.index);
                warning!(
                    "rtpproxy",
                    "{} does not answer and is left alone for a while: {why}.",
                    node.url
                );
            }
            ((Health::Down { .. }, Health::Up), _) => notice!("rtpproxy", "{} answers again.", node.url),
            _ => {}
        }
        asked
    }

    /// Asks a proxy who it is; what it can do is asked again afterwards.
    pub async fn ping(&self, worker: &Rc<Worker>, node: &Node) -> bool {
        let answer = self.ask(worker, node, b"V\n").await;
        if !answer.is_ok_and(|answer| answer::is_proxy(&answer)) {
            return false;
        }
        self.learn(worker, node).await.is_ok()
    }

    async fn learn(&self, worker: &Rc<Worker>, node: &Node) -> Result<Abilities, Silence> {
        let known = self.abilities.lock().get(&node.index).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let abilities = Abilities {
            repacketize: answer::can(&self.ask(worker, node, REPACKETIZE).await?),
            codecs: answer::can(&self.ask(worker, node, CODECS).await?),
        };
        self.abilities.lock().insert(node.index, abilities);
        Ok(abilities)
    }

    async fn probe(&self, worker: &Rc<Worker>, node: &Node) -> bool {
        node.tell(Event::Silent {
            now: worker.engine.now(),
            pause: self.options.pause,
        });
        self.ping(worker, node).await
    }

    /// A proxy of the set, by the Call-ID; those that are silent are asked where no other is in use.
    async fn choose(&self, worker: &Rc<Worker>, set: i64, hash: u32, tried: &[usize]) -> Option<Proxy> {
        let all = self.nodes.of_set(set);
        for forced in [false, true] {
            let mut usable = Vec::with_capacity(all.len());
            for node in all
                .iter()
                .filter(|node| node.is_shown() && !tried.contains(&node.index))
            {
                let fits = match node.usage(worker.engine.now()) {
                    Use::Ask => true,
                    Use::Probe => self.probe(worker, node).await,
                    Use::Skip => {
                        let silent = matches!(node.health(), Health::Down { .. });
                        forced && silent && self.probe(worker, node).await
                    }
                };
                if fits {
                    usable.push(node.clone());
                }
            }
            if let Some(node) = pick(&usable, hash).cloned() {
                let abilities = self.learn(worker, &node).await.ok()?;
                return Some(Proxy { node, abilities });
            }
        }
        None
    }

    /// Asks a proxy of the message's set what `question` makes of it, the next where one does not answer.
    ///
    /// # Errors
    /// None answers; with code -3 where none is in use.
    pub async fn command(
        &self,
        cx: &mut Cx,
        call_id: &[u8],
        question: impl Fn(&Proxy) -> Vec<u8>,
    ) -> Result<(Str, Proxy), Fault> {
        let worker = cx.worker.clone();
        let set = cx.extra_ref::<Chosen>().and_then(|chosen| chosen.0).unwrap_or(0);
        let hash = call_id
            .iter()
            .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)) & 0xff);
        let mut tried = Vec::new();
        while let Some(proxy) = self.choose(&worker, set, hash, &tried).await {
            tried.push(proxy.node.index);
            let Ok(answer) = self.ask(&worker, &proxy.node, &question(&proxy)).await else {
                continue;
            };
            if let Some(var) = &self.options.instance_var {
                var.set(cx, Value::Str(proxy.node.url.clone()))?;
            }
            return Ok((answer, proxy));
        }
        Err(Fault::backend(format!("no proxy of set {set} answers")).code(NO_PROXY))
    }
}

/// The proxy's own address, for answers that state none: that of the listener for one on this machine.
pub async fn own_address(cx: &Cx, node: &Node) -> Option<IpAddr> {
    match &node.address {
        Address::Udp(place) | Address::Tcp(place) | Address::Ws(place, _) => {
            Some(place.resolve(&cx.worker).await.ok()?.ip())
        }
        Address::Unix(_) => Some(cx.received.local.ip()),
    }
}
