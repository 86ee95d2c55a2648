//! Where commands from outside come together: one thread that talks to clients, so that they cost the workers nothing, and
//! the way from there to the first worker, which runs the commands.

use std::{future::Future, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use kahea_module::{
    Worker,
    config::Shared,
    rpc::{self, RpcAnswer, RpcFault, RpcValue, RpcVia},
};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The thread, and the worker that runs commands now. One for the life of the process.
pub struct Desk {
    tasks: mpsc::UnboundedSender<Task>,
    clerk: Mutex<Option<Clerk>>,
}

/// The worker of the configuration in force.
struct Clerk {
    generation: u64,
    orders: mpsc::UnboundedSender<Order>,
}

struct Order {
    method: String,
    args: Vec<RpcValue>,
    via: RpcVia,
    answer: oneshot::Sender<Option<RpcAnswer>>,
}

/// A command that was not run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// No loaded module has it.
    Unknown,
    /// There is no worker now, or the command broke off.
    Stopped,
    /// It did not end in time.
    Late,
}

impl Undone {
    /// In words; each protocol has its own for an unknown command.
    pub fn fault(self, unknown: impl FnOnce() -> RpcFault) -> RpcFault {
        match self {
            Undone::Unknown => unknown(),
            Undone::Stopped => RpcFault::new(500, "the command ended without an answer"),
            Undone::Late => RpcFault::new(500, format!("no answer within {} seconds", PATIENCE.as_secs())),
        }
    }
}

/// The place of the desk among what outlives reloads.
#[derive(Default)]
struct Kept(Mutex<Option<Arc<Desk>>>);

impl Desk {
    /// The desk of this process; its thread starts at first use.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn of(shared: &Shared) -> std::io::Result<Arc<Desk>> {
        let kept = shared.keep(Kept::default);
        let mut place = kept.0.lock();
        if let Some(desk) = &*place {
            return Ok(desk.clone());
        }
        let desk = Arc::new(Desk::start()?);
        *place = Some(desk.clone());
        Ok(desk)
    }

    fn start() -> std::io::Result<Desk> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (tasks, mut taken) = mpsc::unbounded_channel::<Task>();
        // Ends with the desk, and all that it started with it.
        std::thread::Builder::new()
            .name("rpc".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    while let Some(task) = taken.recv().await {
                        drop(tokio::spawn(task));
                    }
                });
            })?;
        Ok(Desk {
            tasks,
            clerk: Mutex::default(),
        })
    }

    /// Starts a task on the thread of the desk.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // The thread takes tasks as long as the desk is there.
        let _ = self.tasks.send(Box::pin(task));
    }

    /// Lets commands run on this worker from now on; called on it, as a configuration comes into force.
    pub fn attach(&self, worker: &Rc<Worker>) {
        let generation = worker.config.generation;
        let mut clerk = self.clerk.lock();
        if clerk.as_ref().is_some_and(|clerk| clerk.generation == generation) {
            return;
        }
        let (orders, taken) = mpsc::unbounded_channel();
        *clerk = Some(Clerk { generation, orders });
        drop(clerk);
        worker.engine.spawn(Box::pin(serve(worker.clone(), taken)));
    }

    /// Runs a command.
    ///
    /// # Errors
    /// It was not run to its end.
    pub async fn call(&self, method: String, args: Vec<RpcValue>, via: RpcVia) -> Result<RpcAnswer, Undone> {
        let (answer, answered) = oneshot::channel();
        let order = Order {
            method,
            args,
            via,
            answer,
        };
        let sent = match &*self.clerk.lock() {
            Some(clerk) => clerk.orders.send(order).is_ok(),
            None => false,
        };
        if !sent {
            return Err(Undone::Stopped);
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(Undone::Unknown),
            Ok(Err(_)) => Err(Undone::Stopped),
            Err(_) => Err(Undone::Late),
        }
    }
}

/// Runs the orders of one configuration, each as a task of its own. Ends when the next configuration takes over.
async fn serve(worker: Rc<Worker>, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        let own = worker.clone();
        worker.engine.spawn(Box::pin(async move {
            let answer = rpc::run(own, &order.method, order.args, order.via).await;
            // The client may have gone.
            let _ = order.answer.send(answer);
        }));
    }
}
