//! The running server: worker threads, and the swap of configurations under them.

use std::{rc::Rc, sync::Arc, thread::JoinHandle, time::Instant};

use kahea_diag::{Diagnostic, Diagnostics, SourceMap};
use kahea_module::{config::Shared, log, registry::Registry};
use kahea_net::{Inherited, Net};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    boot::Loaded,
    generation::{Generation, prepare},
    net_config::net_config,
    net_host::NetHost,
    receive::{Current, Receiver},
    runner::Runner,
};

/// Why a server does not start, or keeps its old configuration.
pub enum StartError {
    /// The configuration is wrong.
    Config(Box<(Diagnostics, SourceMap)>),
    /// A module refuses.
    Module(Box<(Diagnostic, SourceMap)>),
    /// Listeners that cannot be opened.
    Listeners(Vec<kahea_net::BindError>),
    /// A thread cannot be started.
    Thread(std::io::Error),
}

/// A running server.
pub struct Server {
    net: Arc<Net>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    workers: Vec<Handle>,
    generation: Mutex<u64>,
}

struct Handle {
    thread: Option<JoinHandle<()>>,
    swap: mpsc::UnboundedSender<Arc<Generation>>,
}

impl Server {
    /// Starts `workers` worker threads on a configuration.
    ///
    /// # Errors
    /// The configuration is wrong, a module refuses, or a listener cannot be opened.
    pub fn start(
        loaded: Loaded,
        registry: Arc<Registry>,
        shared: Arc<Shared>,
        workers: usize,
        inherited: Inherited,
    ) -> Result<Server, StartError> {
        let (prepared, sources) = ready(loaded, 1, &shared)?;
        drop(sources);
        let net =
            Net::bind(net_config(prepared.globals()), workers, inherited).map_err(StartError::Listeners)?;
        let generation = Arc::new(prepared.with_listeners(&net));
        let mut server = Server {
            net,
            shared,
            registry,
            workers: Vec::new(),
            generation: Mutex::new(1),
        };
        for index in 0..workers {
            let handle = spawn(index, server.net.clone(), generation.clone()).map_err(StartError::Thread)?;
            server.workers.push(handle);
        }
        Ok(server)
    }

    /// Swaps the configuration: new messages use it, those under way end on theirs. Nothing changes on an error.
    ///
    /// Blocks while modules start and listeners open; not to be called on a worker.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn reload(&self, loaded: Loaded) -> Result<u64, StartError> {
        let mut current = self.generation.lock();
        let next = current.saturating_add(1);
        let (prepared, _) = ready(loaded, next, &self.shared)?;
        self.net
            .replace(net_config(prepared.globals()))
            .map_err(StartError::Listeners)?;
        log::set_level(prepared.globals().debug);
        let generation = Arc::new(prepared.with_listeners(&self.net));
        for worker in &self.workers {
            // A worker that has ended takes no configuration; the server is stopping then.
            let _ = worker.swap.send(generation.clone());
        }
        *current = next;
        Ok(next)
    }

    /// Every module there is.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// What outlives configurations.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The network.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// Stops: no more messages are taken, what is queued is sent, threads end.
    pub fn stop(mut self) {
        self.net.shutdown();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A worker that panicked has said so itself.
                let _ = thread.join();
            }
        }
    }
}

fn ready(
    loaded: Loaded,
    number: u64,
    shared: &Arc<Shared>,
) -> Result<(crate::generation::Prepared, SourceMap), StartError> {
    if loaded.diagnostics.has_errors() {
        return Err(StartError::Config(Box::new((loaded.diagnostics, loaded.sources))));
    }
    let mut loaded = loaded;
    let sources = std::mem::take(&mut loaded.sources);
    match prepare(loaded, number, shared) {
        Ok(prepared) => Ok((prepared, sources)),
        Err(problem) => Err(StartError::Module(Box::new((problem, sources)))),
    }
}

fn spawn(index: usize, net: Arc<Net>, generation: Arc<Generation>) -> std::io::Result<Handle> {
    let (swap, swaps) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            log::set_worker(index.saturating_add(1));
            if let Err(error) = work(index, &net, generation, swaps) {
                kahea_module::error!("<core>", "Worker {index} cannot run: {error}.");
            }
        })?;
    Ok(Handle {
        thread: Some(thread),
        swap,
    })
}

fn work(
    index: usize,
    net: &Arc<Net>,
    generation: Arc<Generation>,
    mut swaps: mpsc::UnboundedReceiver<Arc<Generation>>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let host = Rc::new(NetHost::new(net.worker(index)));
        let receiver = Rc::new(Receiver::new(current(index, &generation, &host)));
        drop(generation);
        let (sink, swap_host) = (receiver.clone(), host.clone());
        let swapper = tokio::task::spawn_local(async move {
            while let Some(generation) = swaps.recv().await {
                receiver.replace(current(index, &generation, &swap_host));
            }
        });
        let result = host.worker().run(sink).await;
        swapper.abort();
        result
    })
}

/// What a worker runs messages of that generation with.
fn current(index: usize, generation: &Arc<Generation>, host: &Rc<NetHost>) -> Rc<Current> {
    let runner = Rc::new(Runner::new(generation.program.clone()));
    let seed = seed(index, generation.config.shared.started_at);
    let worker = kahea_module::Worker::new(
        index,
        generation.config.clone(),
        host.clone(),
        runner.clone(),
        seed,
    );
    let worker = Rc::new(worker);
    runner.bind(&worker);
    for hook in &generation.config.hooks.worker_start {
        hook(&worker);
    }
    Rc::new(Current {
        worker,
        runner,
        entries: generation.entries,
        limits: generation.limits.clone(),
    })
}

fn seed(index: usize, started: Instant) -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one((index, started))
}
