//! The script workers of a server, and the way to them from the workers that read sockets.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc as blocking,
    },
    thread::JoinHandle,
    time::Duration,
};

use kahea_module::{Str, Worker, config::Shared, latency::Latency, log, worker::OwnTask};
use kahea_net::{Net, NetEvent, Sink};
use kahea_sip::Received;
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::mpsc};

use super::{
    queue::{Item, Queue},
    still::Still,
};
use crate::{
    generation::Generation,
    logging::prefix,
    net_host::NetHost,
    receive::{Receiver, is_keepalive},
    server::{Job, Timers, current, started},
};

/// All script workers.
pub struct Crew {
    queue: Arc<Queue>,
    launcher: Arc<Launcher>,
    members: Vec<Member>,
    /// Closed once every one has ended.
    ended: Mutex<blocking::Receiver<()>>,
}

struct Member {
    thread: Mutex<Option<JoinHandle<()>>>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What a script worker is told between messages.
enum Order {
    /// Take this configuration, and drop the sender when that is done.
    Swap(Arc<Generation>, blocking::Sender<()>),
    Run(Job),
    /// End once the queue is empty.
    Stop,
}

/// Starts workers of their own for tasks that may stand still without end.
pub struct Launcher {
    net: Arc<Net>,
    generation: Mutex<Arc<Generation>>,
    next: AtomicUsize,
    /// For what no thread may hold up.
    errands: Handle,
    /// Of names that are asked for.
    latency: Latency,
}

/// Messages that a script worker takes in a row before it looks at its timers and tasks.
const ROW: usize = 8;

impl Crew {
    /// Starts so many.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        count: usize,
        net: &Arc<Net>,
        shared: &Shared,
        generation: &Arc<Generation>,
    ) -> std::io::Result<Crew> {
        let full = shared.stats.counter(
            "core",
            "script_queue_full",
            "Messages dropped because too many waited for a script worker.",
        );
        let queue = Arc::new(Queue::new(count, full));
        let launcher = Arc::new(Launcher {
            net: net.clone(),
            generation: Mutex::new(generation.clone()),
            next: AtomicUsize::new(count),
            errands: errands()?,
            latency: shared.stats.latencies.of("dns", &[]),
        });
        let (alive, ended) = blocking::channel();
        let members = (0..count)
            .map(|index| {
                let (orders, taken) = mpsc::unbounded_channel();
                let place = Place {
                    index,
                    launcher: launcher.clone(),
                    queue: queue.clone(),
                    orders: taken,
                };
                let (generation, alive) = (generation.clone(), alive.clone());
                let thread = std::thread::Builder::new()
                    .name(format!("script-{index}"))
                    .stack_size(STACK)
                    .spawn(move || {
                        log::set_worker(index.saturating_add(1));
                        place.serve(generation);
                        drop(alive);
                    })?;
                let thread = Mutex::new(Some(thread));
                Ok(Member { thread, orders })
            })
            .collect::<std::io::Result<_>>()?;
        let ended = Mutex::new(ended);
        Ok(Crew {
            queue,
            launcher,
            members,
            ended,
        })
    }

    /// Where messages for it go.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// How many script workers there are.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Has every script worker take a configuration; those that did drop their part of `taken`.
    pub fn swap(&self, generation: &Arc<Generation>, taken: &blocking::Sender<()>) {
        *self.launcher.generation.lock() = generation.clone();
        for member in &self.members {
            // One that has ended takes no configuration.
            let _ = member.orders.send(Order::Swap(generation.clone(), taken.clone()));
        }
    }

    /// Runs something on a script worker, between its messages; false where it has ended.
    pub fn run(&self, index: usize, job: Job) -> bool {
        self.members
            .get(index)
            .is_some_and(|member| member.orders.send(Order::Run(job)).is_ok())
    }

    /// Takes no more messages and ends once those that wait are dealt with; false where that took longer than `limit`.
    pub fn stop(&self, limit: Option<Duration>) -> bool {
        self.queue.close();
        for member in &self.members {
            let _ = member.orders.send(Order::Stop);
        }
        let ended = self.ended.lock();
        let in_time = match limit {
            Some(limit) => !matches!(
                ended.recv_timeout(limit),
                Err(blocking::RecvTimeoutError::Timeout)
            ),
            None => ended.recv().is_err(),
        };
        if in_time {
            for member in &self.members {
                if let Some(thread) = member.thread.lock().take() {
                    // One that panicked has said so itself.
                    let _ = thread.join();
                }
            }
        }
        in_time
    }
}

/// How long a worker stays whose task has ended: longer than transactions live.
const AFTERMATH: Duration = Duration::from_secs(120);

/// Interpreters are written for the stack of a main thread.
const STACK: usize = 8 << 20;

/// Starts the thread that resolves names for all of them; it lasts as long as the process.
fn errands() -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("script-errands".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}

/// What a script worker works with.
struct Place {
    index: usize,
    launcher: Arc<Launcher>,
    queue: Arc<Queue>,
    orders: mpsc::UnboundedReceiver<Order>,
}

/// Why a script worker looks up.
enum Event {
    Order(Option<Order>),
    Again,
}

impl Place {
    fn serve(mut self, generation: Arc<Generation>) {
        let (index, launcher) = (self.index, self.launcher.clone());
        let served = Still::with(launcher, |still| {
            let host = self.launcher.host(index);
            let first = current(index, &generation, &host);
            drop(generation);
            let mut timers = Timers::default();
            if index == 0 {
                drop(tokio::task::spawn_local(started(first.worker.clone())));
                timers.restart(&first.worker);
            }
            let receiver = Rc::new(Receiver::new(first));
            let mut ends = false;
            loop {
                let row = (0..ROW)
                    .take_while(|_| still.work() || self.one(&receiver))
                    .count();
                if row == ROW {
                    still.block_on(tokio::task::yield_now());
                    if let Ok(order) = self.orders.try_recv() {
                        ends |= self.obey(order, &receiver, &mut timers, &host);
                    }
                    continue;
                }
                if ends {
                    break;
                }
                match still.block_on(self.next(still)) {
                    Event::Again => {}
                    Event::Order(Some(order)) => ends |= self.obey(order, &receiver, &mut timers, &host),
                    Event::Order(None) => ends = true,
                }
            }
        });
        if let Err(error) = served {
            kahea_module::error!("<core>", "Script worker {index} cannot run: {error}.");
        }
    }

    async fn next(&mut self, still: &Still) -> Event {
        tokio::select! {
            order = self.orders.recv() => Event::Order(order),
            () = still.posted() => Event::Again,
            () = self.queue.wait(self.index) => Event::Again,
        }
    }

    /// Handles the next item; false where there is none.
    fn one(&self, receiver: &Rc<Receiver>) -> bool {
        let Some(taken) = self.queue.take(self.index) else {
            return false;
        };
        let (item, call) = taken.into_parts();
        let handled = catch_unwind(AssertUnwindSafe(|| match item {
            Item::Message(data, received) => receiver.message(data, received),
            Item::Event(event) => receiver.event(event),
        }));
        if handled.is_err() {
            kahea_module::error!(
                "<core>",
                "A message was lost to a defect of this server; please report it."
            );
        }
        prefix::leave();
        self.queue.done(call);
        true
    }

    /// True: it is to end.
    fn obey(&self, order: Order, receiver: &Rc<Receiver>, timers: &mut Timers, host: &Rc<NetHost>) -> bool {
        match order {
            Order::Swap(generation, taken) => {
                let next = current(self.index, &generation, host);
                *timers = Timers::default();
                if self.index == 0 {
                    timers.restart(&next.worker);
                }
                receiver.replace(next);
                drop(taken);
            }
            Order::Run(job) => drop(tokio::task::spawn_local(job(receiver.current().worker.clone()))),
            Order::Stop => return true,
        }
        false
    }
}

impl Launcher {
    /// The network for a worker that reads no socket.
    fn host(&self, index: usize) -> Rc<NetHost> {
        let reader = index.checked_rem(self.net.workers()).unwrap_or(0);
        let (latency, errands) = (self.latency.clone(), self.errands.clone());
        Rc::new(NetHost::standing(self.net.worker(reader), latency, errands))
    }

    /// Starts a worker of its own under the configuration in force, and the task on it.
    pub fn launch(self: &Arc<Launcher>, worker: &Rc<Worker>, task: OwnTask) {
        let index = self.next.fetch_add(1, Relaxed);
        let generation = self.generation.lock().clone();
        if generation.config.generation != worker.config.generation {
            // The next configuration starts its own.
            return;
        }
        let launcher = self.clone();
        let thread = std::thread::Builder::new()
            .name(format!("script-{index}"))
            .stack_size(STACK)
            .spawn(move || {
                log::set_worker(index.saturating_add(1));
                Still::with(launcher.clone(), |still| {
                    let host = launcher.host(index);
                    let current = current(index, &generation, &host);
                    drop(generation);
                    let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
                    let task = task(current.worker.clone());
                    drop(tokio::task::spawn_local(async move {
                        task.await;
                        // Transactions that it began go on for a while.
                        tokio::time::sleep(AFTERMATH).await;
                        drop(ended);
                    }));
                    let mut goes_on = true;
                    while goes_on {
                        while still.work() {}
                        goes_on = still.block_on(async {
                            tokio::select! {
                                () = still.posted() => true,
                                _ = &mut end => false,
                            }
                        });
                    }
                })
            });
        if let Err(error) = thread {
            kahea_module::error!("<core>", "A task of its own did not start: {error}.");
        }
    }
}

/// Takes what the sockets of one worker give: to its own script, or to the script workers.
pub struct Entrance {
    inner: RefCell<Inner>,
}

enum Inner {
    Own(Rc<Receiver>),
    Queue(Arc<Queue>),
}

impl Entrance {
    /// To the worker's own script.
    pub fn own(receiver: Rc<Receiver>) -> Entrance {
        let inner = RefCell::new(Inner::Own(receiver));
        Entrance { inner }
    }

    /// To the script workers.
    pub fn queue(queue: Arc<Queue>) -> Entrance {
        let inner = RefCell::new(Inner::Queue(queue));
        Entrance { inner }
    }

    /// From now on as `other`.
    pub fn replace(&self, other: Entrance) {
        self.inner.replace(other.inner.into_inner());
    }

    /// The own script, where messages go there.
    pub fn receiver(&self) -> Option<Rc<Receiver>> {
        match &*self.inner.borrow() {
            Inner::Own(receiver) => Some(receiver.clone()),
            Inner::Queue(_) => None,
        }
    }
}

impl Sink for Entrance {
    fn message(&self, data: Str, received: Received) {
        let queue = match &*self.inner.borrow() {
            Inner::Own(receiver) => Err(receiver.clone()),
            Inner::Queue(queue) => Ok(queue.clone()),
        };
        match queue {
            Ok(_) if is_keepalive(&data) => {}
            Ok(queue) => queue.message(data, received),
            Err(receiver) => {
                receiver.message(data, received);
                prefix::leave();
            }
        }
    }

    fn event(&self, event: NetEvent) {
        let queue = match &*self.inner.borrow() {
            Inner::Own(receiver) => Err(receiver.clone()),
            Inner::Queue(queue) => Ok(queue.clone()),
        };
        match queue {
            Ok(queue) => match event {
                NetEvent::Connected { .. } | NetEvent::Closed { .. } | NetEvent::Keepalive { .. } => {}
                event => queue.event(event),
            },
            Err(receiver) => {
                receiver.event(event);
                prefix::leave();
            }
        }
    }
}
