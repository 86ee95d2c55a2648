//! The running server: worker threads, and the swap of configurations under them.

use std::{
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc as blocking,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use kahea_diag::{Diagnostic, Diagnostics, Origin, SourceMap, Span, codes};
use kahea_module::{
    Config, Cx, Flow, RouteKind, Str, Worker, config::Shared, globals::Globals, latency::Latency, log,
    registry::Registry, ret::LocalFuture,
};
use kahea_net::{Inherited, Net};
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{
    auto_alias::OwnNames,
    boot::Loaded,
    generation::{Generation, Prepared, prepare},
    logging::prefix::Prefix,
    net_config::net_config,
    net_host::NetHost,
    receive::{Current, Receiver},
    runner::Runner,
    scratch,
    script::{Crew, Entrance, Queue},
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
    /// The process cannot be brought into the state that it is to run in.
    Process(String),
}

/// Workers take a configuration between two messages, so this is far more than they need.
const SWAP_LIMIT: Duration = Duration::from_secs(5);

/// Script workers at most, whatever `children` says: each has an interpreter.
const MOST_SCRIPT_WORKERS: usize = 256;

/// Work for a worker thread, with the configuration that is in force there.
pub type Job = Box<dyn FnOnce(Rc<Worker>) -> LocalFuture<'static, ()> + Send>;

/// How to start a server.
pub struct Setup<'a> {
    /// Worker threads.
    pub workers: usize,
    /// Sockets that were opened by someone else.
    pub inherited: Inherited,
    /// Most bytes of values that one message may make, where less than usual (`-M`).
    pub message_bytes: Option<u64>,
    /// Runs once all listeners are open and before any thread starts: the place to give up privileges.
    pub opened: &'a mut dyn FnMut(&Net) -> Result<(), String>,
}

/// A running server.
pub struct Server {
    net: Arc<Net>,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    workers: Vec<Handle>,
    /// Once a configuration had a script that holds its thread.
    crew: OnceLock<Crew>,
    /// The configuration in force runs on script workers.
    scripted: AtomicBool,
    generation: Mutex<u64>,
    /// Of the configuration in force.
    config: Mutex<Option<Arc<Config>>>,
    names: OwnNames,
    message_bytes: Option<u64>,
    /// Closed once every worker has ended.
    ended: Mutex<blocking::Receiver<()>>,
}

struct Handle {
    thread: Mutex<Option<JoinHandle<()>>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What a worker is told between messages.
enum Order {
    /// Take this configuration, and drop the sender when that is done.
    Swap(Arc<Generation>, blocking::Sender<()>),
    /// Hand messages to the script workers, and drop the sender when that is so.
    Relay(Arc<Queue>, blocking::Sender<()>),
    Run(Job),
}

/// What a worker begins with.
enum Role {
    /// It runs scripts itself.
    Runs(Arc<Generation>),
    /// Script workers do.
    Relays(Arc<Queue>),
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
        let opened = &mut |_: &Net| Ok(());
        Server::start_with(
            loaded,
            registry,
            shared,
            Setup {
                workers,
                inherited,
                message_bytes: None,
                opened,
            },
        )
    }

    /// The same with more to say about how.
    ///
    /// # Errors
    /// As [`Server::start`], and what `setup.opened` says.
    pub fn start_with(
        loaded: Loaded,
        registry: Arc<Registry>,
        shared: Arc<Shared>,
        setup: Setup<'_>,
    ) -> Result<Server, StartError> {
        let Setup {
            workers,
            inherited,
            message_bytes,
            opened,
        } = setup;
        let prepared = ready(loaded, 1, &shared)?;
        let net =
            Net::bind(net_config(prepared.globals()), workers, inherited).map_err(StartError::Listeners)?;
        opened(&net).map_err(StartError::Process)?;
        let (alive, ended) = blocking::channel();
        let mut server = Server {
            net,
            shared,
            registry,
            workers: Vec::new(),
            crew: OnceLock::new(),
            scripted: AtomicBool::new(false),
            generation: Mutex::new(1),
            config: Mutex::default(),
            names: OwnNames::default(),
            message_bytes,
            ended: Mutex::new(ended),
        };
        let generation = server.complete(prepared)?;
        *server.config.lock() = Some(generation.config.clone());
        let queue = server.crew_for(&generation).map_err(StartError::Thread)?;
        for index in 0..workers {
            let role = match &queue {
                Some(queue) => Role::Relays(queue.clone()),
                None => Role::Runs(generation.clone()),
            };
            let (net, alive) = (server.net.clone(), alive.clone());
            let latency = generation.config.shared.stats.latencies.of("dns", &[]);
            let handle = spawn(index, net, role, latency, alive).map_err(StartError::Thread)?;
            server.workers.push(handle);
        }
        Ok(server)
    }

    /// The queue of the script workers, where the configuration needs them; they are started where they are not there.
    fn crew_for(&self, generation: &Arc<Generation>) -> std::io::Result<Option<Arc<Queue>>> {
        let languages = &generation.config.hooks.languages;
        let scripted = languages.iter().any(|language| language.holds_its_thread());
        self.scripted.store(scripted, Relaxed);
        if !scripted {
            return Ok(None);
        }
        if let Some(crew) = self.crew.get() {
            return Ok(Some(crew.queue().clone()));
        }
        let count = usize::try_from(generation.config.globals.children).unwrap_or(1);
        let count = count.clamp(1, MOST_SCRIPT_WORKERS);
        let crew = Crew::start(count, &self.net, &self.shared, generation)?;
        Ok(Some(self.crew.get_or_init(|| crew).queue().clone()))
    }

    /// Adds what is known only once the listeners are open.
    fn complete(&self, prepared: Prepared) -> Result<Arc<Generation>, StartError> {
        let mut generation = prepared.with_listeners(&self.net);
        let Some(config) = Arc::get_mut(&mut generation.config) else {
            return Ok(Arc::new(generation));
        };
        if config.globals.auto_aliases {
            config.identity.aliases.extend(self.names.of(&self.net));
        }
        if let Some(bytes) = self.message_bytes {
            config.limits.bytes = config.limits.bytes.min(bytes);
        }
        match Prefix::of(&config.globals, &*config.bind) {
            Ok(Some(prefix)) => {
                let prefix = Arc::new(prefix);
                let for_replies = prefix.clone();
                generation.prefix = Some(prefix.clone());
                config
                    .hooks
                    .request
                    .insert(0, Arc::new(move |cx| entered(&prefix, cx)));
                config
                    .hooks
                    .reply
                    .insert(0, Arc::new(move |cx| entered(&for_replies, cx)));
            }
            Ok(None) => {}
            Err(error) => return Err(prefix_error(&config.globals, &error)),
        }
        let generation = Arc::new(generation);
        try_languages(&generation)?;
        Ok(generation)
    }

    /// Swaps the configuration: new messages use it, those under way end on theirs. Nothing changes on an error.
    ///
    /// Blocks while modules start and listeners open, and until every worker has taken it; not to be called on a
    /// worker.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn reload(&self, loaded: Loaded) -> Result<u64, StartError> {
        let mut current = self.generation.lock();
        let next = current.saturating_add(1);
        let prepared = ready(loaded, next, &self.shared)?;
        let before = (*self.net.config()).clone();
        self.net
            .replace(net_config(prepared.globals()))
            .map_err(StartError::Listeners)?;
        let level = prepared.globals().debug;
        let generation = match self.complete(prepared) {
            Ok(generation) => generation,
            Err(error) => {
                // The listeners of a configuration that worked a moment ago.
                let _ = self.net.replace(before);
                return Err(error);
            }
        };
        log::set_level(level);
        let (taken, all_taken) = blocking::channel();
        let had_crew = self.crew.get().is_some();
        let queue = self.crew_for(&generation).map_err(StartError::Thread)?;
        if let (Some(_), Some(crew), true) = (&queue, self.crew.get(), had_crew) {
            crew.swap(&generation, &taken);
        }
        for worker in &self.workers {
            let order = match &queue {
                Some(queue) => Order::Relay(queue.clone(), taken.clone()),
                None => Order::Swap(generation.clone(), taken.clone()),
            };
            // A worker that has ended takes no configuration; the server is stopping then.
            let _ = worker.orders.send(order);
        }
        drop(taken);
        // Nobody sends: it ends when the last worker has dropped its part.
        let _ = all_taken.recv_timeout(SWAP_LIMIT);
        *self.config.lock() = Some(generation.config.clone());
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

    /// How many worker threads there are that run scripts.
    pub fn workers(&self) -> usize {
        self.script_workers().map_or(self.workers.len(), Crew::count)
    }

    /// Where the configuration in force runs on them.
    fn script_workers(&self) -> Option<&Crew> {
        self.crew.get().filter(|_| self.scripted.load(Relaxed))
    }

    /// Counts configurations: 1 after the start, more with each reload.
    pub fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    /// Runs something on a worker that runs scripts, between its messages; false where that worker has ended.
    pub fn on_worker(&self, index: usize, job: Job) -> bool {
        if let Some(crew) = self.script_workers() {
            return crew.run(index, job);
        }
        self.workers
            .get(index)
            .is_some_and(|worker| worker.orders.send(Order::Run(job)).is_ok())
    }

    /// Stops: no more messages are taken, what is queued is sent, threads end.
    pub fn stop(self) {
        self.stop_within(None);
    }

    /// The same with a limit of time; false where workers were still busy then, and were left alone. Modules write out
    /// what they keep either way.
    pub fn stop_within(&self, limit: Option<Duration>) -> bool {
        let scripts_ended = self.crew.get().is_none_or(|crew| crew.stop(limit));
        self.net.shutdown();
        let ended = self.ended.lock();
        let in_time = match limit {
            Some(limit) => !matches!(
                ended.recv_timeout(limit),
                Err(blocking::RecvTimeoutError::Timeout)
            ),
            None => ended.recv().is_err(),
        };
        if in_time {
            for worker in &self.workers {
                if let Some(thread) = worker.thread.lock().take() {
                    // A worker that panicked has said so itself.
                    let _ = thread.join();
                }
            }
        }
        let config = self.config.lock().take();
        for hook in config.iter().flat_map(|config| &config.hooks.stop) {
            hook();
        }
        in_time && scripts_ended
    }
}

fn entered(prefix: &Arc<Prefix>, cx: &mut Cx) -> Flow {
    prefix.enter(cx);
    Flow::Continue
}

/// Loads the scripts of embedded languages on trial, so that a broken one changes nothing.
fn try_languages(generation: &Arc<Generation>) -> Result<(), StartError> {
    let languages = &generation.config.hooks.languages;
    if languages.is_empty() {
        return Ok(());
    }
    let worker = scratch::worker(generation);
    for language in languages {
        language.check(&worker).map_err(|error| {
            let help = error.help.map_or(String::new(), |help| format!("; {help}"));
            StartError::Process(format!("{}{help}", error.message))
        })?;
    }
    Ok(())
}

fn prefix_error(globals: &Globals, error: &kahea_module::BindError) -> StartError {
    let text = globals.log_prefix.clone().unwrap_or_default();
    let mut sources = SourceMap::new();
    let file = sources.add("log_prefix", &*text, Origin::Root);
    let span = Span::new(file, 0, u32::try_from(text.len()).unwrap_or(0));
    let problem = Diagnostic::error(
        codes::START_FAILED,
        span,
        format!("log_prefix: {}", error.message),
    );
    StartError::Module(Box::new((problem, sources)))
}

fn ready(loaded: Loaded, number: u64, shared: &Arc<Shared>) -> Result<Prepared, StartError> {
    if loaded.diagnostics.has_errors() {
        return Err(StartError::Config(Box::new((loaded.diagnostics, loaded.sources))));
    }
    let mut loaded = loaded;
    let sources = std::mem::take(&mut loaded.sources);
    match prepare(loaded, number, shared) {
        Ok(prepared) => Ok(prepared),
        Err(problem) => Err(StartError::Module(Box::new((*problem, sources)))),
    }
}

fn spawn(
    index: usize,
    net: Arc<Net>,
    role: Role,
    latency: Latency,
    alive: blocking::Sender<()>,
) -> std::io::Result<Handle> {
    let (orders, taken) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            log::set_worker(index.saturating_add(1));
            if let Err(error) = work(index, &net, role, latency, taken) {
                kahea_module::error!("<core>", "Worker {index} cannot run: {error}.");
            }
            drop(alive);
        })?;
    Ok(Handle {
        thread: Mutex::new(Some(thread)),
        orders,
    })
}

fn work(
    index: usize,
    net: &Arc<Net>,
    role: Role,
    latency: Latency,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let host = Rc::new(NetHost::new(net.worker(index), latency));
        let mut timers = Timers::default();
        let entrance = match role {
            Role::Runs(generation) => {
                let first = current(index, &generation, &host);
                if index == 0 {
                    tokio::task::spawn_local(started(first.worker.clone()));
                    timers.restart(&first.worker);
                }
                Entrance::own(Rc::new(Receiver::new(first)))
            }
            Role::Relays(queue) => Entrance::queue(queue),
        };
        let entrance = Rc::new(entrance);
        let (sink, own_host) = (entrance.clone(), host.clone());
        let clerk = tokio::task::spawn_local(async move {
            while let Some(order) = orders.recv().await {
                obey(index, order, &entrance, &mut timers, &own_host);
            }
        });
        let result = host.worker().run(sink).await;
        clerk.abort();
        result
    })
}

fn obey(index: usize, order: Order, entrance: &Entrance, timers: &mut Timers, host: &Rc<NetHost>) {
    match order {
        Order::Swap(generation, taken) => {
            let next = current(index, &generation, host);
            if index == 0 {
                timers.restart(&next.worker);
            }
            match entrance.receiver() {
                Some(receiver) => receiver.replace(next),
                None => entrance.replace(Entrance::own(Rc::new(Receiver::new(next)))),
            }
            drop(taken);
        }
        Order::Relay(queue, taken) => {
            *timers = Timers::default();
            entrance.replace(Entrance::queue(queue));
            drop(taken);
        }
        Order::Run(job) => {
            if let Some(receiver) = entrance.receiver() {
                drop(tokio::task::spawn_local(job(receiver.current().worker.clone())));
            }
        }
    }
}

/// Runs what the script has for the start of the process, as Kamailio's first worker does.
pub(crate) async fn started(worker: Rc<Worker>) {
    for name in ["core:modinit-before", "core:worker-one-init"] {
        let Some(route) = worker.config.event_route(name) else {
            continue;
        };
        match Cx::faked(worker.clone()) {
            Ok(mut cx) => {
                cx.route = RouteKind::Event;
                cx.route_name = Str::from_static(name);
                worker.engine.run(&mut cx, route).await;
                cx.finish();
            }
            Err(fault) => kahea_module::error!("<core>", "event_route[{name}] did not run: {fault}."),
        }
    }
}

/// The timers of one configuration; they end with this.
#[derive(Default)]
pub(crate) struct Timers(tokio::task::JoinSet<()>);

impl Timers {
    /// Ends what runs and starts the periodic hooks of this worker, each for the first time after its interval.
    pub(crate) fn restart(&mut self, worker: &Rc<Worker>) {
        self.0 = tokio::task::JoinSet::new();
        for periodic in &worker.config.hooks.periodic {
            let (periodic, worker) = (periodic.clone(), worker.clone());
            self.0.spawn_local(async move {
                let mut ticks = tokio::time::interval(periodic.every.max(SHORTEST));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                // The first tick is at once.
                ticks.tick().await;
                loop {
                    ticks.tick().await;
                    (periodic.run)(&worker);
                }
            });
        }
    }
}

/// Between two runs of a timer, at least.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a worker runs messages of that generation with.
pub(crate) fn current(index: usize, generation: &Arc<Generation>, host: &Rc<NetHost>) -> Rc<Current> {
    let runner = Rc::new(Runner::new(
        generation.program.clone(),
        generation.prefix.clone(),
        &generation.config.shared.stats.latencies,
    ));
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
    if let Some(language) = &generation.language {
        match language.interpreter(&worker) {
            Ok(interpreter) => runner.speak(interpreter),
            Err(error) => kahea_module::error!("<core>", "Worker {index}: {error}."),
        }
    }
    for hook in &generation.config.hooks.worker_start {
        hook(&worker);
    }
    Rc::new(Current {
        worker,
        runner,
        entries: generation.entries,
        limits: generation.limits,
    })
}

fn seed(index: usize, started: Instant) -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one((index, started))
}
