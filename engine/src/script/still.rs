//! A thread that may stand still: its script runs outside of the runtime, which is entered whenever something is waited
//! for.
//!
//! What runs inside of the runtime (a timer of tm, the continuation of a wait) must not enter a script, since that could
//! not wait in turn. It leaves the work here and waits for its end: work of a function that the script itself waits for
//! is done by that wait, all other work once the script has ended.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use kahea_module::{
    Blame, Cx, Fault, Ret, Worker,
    ret::{Later, LocalFuture},
    worker::{OwnTask, Work},
};
use tokio::{
    runtime::Runtime,
    sync::{Notify, oneshot},
    task::LocalSet,
};

use crate::{logging::prefix, runner, script::crew::Launcher};

/// Something to be done outside of the runtime.
type Job = Box<dyn FnOnce()>;

/// The thread, with its runtime.
pub struct Still {
    runtime: Runtime,
    local: LocalSet,
    /// The runtime is entered.
    inside: Cell<bool>,
    /// What the script waits for is being polled.
    own: Cell<bool>,
    /// A place that cannot wait runs a script.
    at_once: Cell<bool>,
    /// Work of what the script waits for.
    nested: RefCell<VecDeque<Job>>,
    /// All other work.
    jobs: RefCell<VecDeque<Job>>,
    posted: Notify,
    launcher: Arc<Launcher>,
}

thread_local! {
    static STILL: RefCell<Option<Rc<Still>>> = const { RefCell::new(None) };
}

fn still() -> Option<Rc<Still>> {
    STILL.with_borrow(Clone::clone)
}

impl Still {
    /// Makes this thread one that may stand still, for as long as `body` runs.
    ///
    /// # Errors
    /// The runtime cannot be made.
    pub fn with<T>(launcher: Arc<Launcher>, body: impl FnOnce(&Rc<Still>) -> T) -> std::io::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let still = Rc::new(Still {
            runtime,
            local: LocalSet::new(),
            inside: Cell::new(false),
            own: Cell::new(false),
            at_once: Cell::new(false),
            nested: RefCell::default(),
            jobs: RefCell::default(),
            posted: Notify::new(),
            launcher,
        });
        STILL.set(Some(still.clone()));
        let runtime = still.runtime.enter();
        let local = still.local.enter();
        let result = body(&still);
        drop((local, runtime));
        STILL.set(None);
        Ok(result)
    }

    /// Enters the runtime until the future ends.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let _reset = Reset::to(&self.inside, true);
        self.local.block_on(&self.runtime, future)
    }

    /// Does the oldest work that was left here; false where there is none.
    pub fn work(&self) -> bool {
        let job = self.jobs.borrow_mut().pop_front();
        let is_some = job.is_some();
        if let Some(job) = job {
            job();
        }
        is_some
    }

    /// Waits until work is left here.
    pub async fn posted(&self) {
        self.posted.notified().await;
    }

    /// Waits with the thread standing still, and does the work that the future leaves.
    fn wait<T>(&self, mut future: LocalFuture<'_, T>) -> T {
        // Most functions that may wait do not have to.
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        let before = self.nested.take();
        let _reset = Reset::to(&self.at_once, false);
        let done = loop {
            let step = self.block_on(poll_fn(|context| {
                let polled = {
                    let _reset = Reset::to(&self.own, true);
                    future.as_mut().poll(context)
                };
                match (polled, self.nested.borrow_mut().pop_front()) {
                    (Poll::Ready(done), _) => Poll::Ready(Ok(done)),
                    (Poll::Pending, Some(job)) => Poll::Ready(Err(job)),
                    (Poll::Pending, None) => Poll::Pending,
                }
            }));
            match step {
                Ok(done) => break done,
                Err(job) => {
                    let _reset = Reset::to(&self.own, false);
                    job();
                }
            }
        };
        self.nested.replace(before);
        done
    }

    /// Leaves work for outside of the runtime.
    fn post(&self, job: Job) {
        if self.own.get() {
            self.nested.borrow_mut().push_back(job);
        } else {
            self.jobs.borrow_mut().push_back(job);
            self.posted.notify_one();
        }
    }

    /// Work may be done here and now.
    fn may_work(&self) -> bool {
        !self.inside.get() || self.at_once.get()
    }
}

/// A flag that gets its old value back.
struct Reset<'a> {
    flag: &'a Cell<bool>,
    before: bool,
}

impl Reset<'_> {
    fn to(flag: &Cell<bool>, value: bool) -> Reset<'_> {
        let before = flag.replace(value);
        Reset { flag, before }
    }
}

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// Runs a place that cannot wait: scripts that it enters run even inside of the runtime, and may not wait either.
pub fn at_once<T>(run: impl FnOnce() -> T) -> T {
    match still() {
        Some(still) => {
            let _reset = Reset::to(&still.at_once, true);
            run()
        }
        None => run(),
    }
}

/// [`kahea_module::Engine::standing`].
pub fn standing(cx: &mut Cx, work: Work) -> Ret {
    match still() {
        None => Ret::Fault(Fault::new(
            Blame::Ours,
            "a script that cannot be suspended was to run on a worker that reads sockets",
        )),
        Some(still) if still.may_work() => guarded(cx, work),
        Some(still) => Ret::wait(move |cx| Box::pin(async move { lend(&still, cx, work).await })),
    }
}

/// Lends the message to work outside of the runtime.
async fn lend(still: &Still, cx: &mut Cx, work: Work) -> Ret {
    if still.may_work() {
        return guarded(cx, work);
    }
    let (give, back) = oneshot::channel();
    let mut lent = cx.lend();
    still.post(Box::new(move || {
        let outer = prefix::make_room();
        prefix::resume(&mut lent);
        let ret = guarded(&mut lent, work);
        outer.restore();
        // Nobody waits where the task was given up.
        let _ = give.send((lent, ret));
    }));
    match back.await {
        Ok((lent, ret)) => {
            *cx = lent;
            ret
        }
        Err(_) => Ret::Fault(Fault::new(Blame::Ours, "the work for a script was given up")),
    }
}

/// A panic ends the work, not the thread.
fn guarded(cx: &mut Cx, work: Work) -> Ret {
    catch_unwind(AssertUnwindSafe(|| work(cx))).unwrap_or_else(|panic| Ret::Fault(defect(&*panic)))
}

fn defect(panic: &(dyn Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Fault::new(
        Blame::Ours,
        format!("a defect of this server beside a script: {text}; please report it"),
    )
}

/// [`kahea_module::Engine::stand`].
pub fn stand(cx: &mut Cx, later: Later) -> Ret {
    match still() {
        Some(still) if !still.inside.get() => still.wait(Box::pin(runner::wait(cx, later))),
        Some(_) => Ret::Fault(Fault::script(
            "this function would have to wait, which this kind of route cannot",
        )),
        None => Ret::Fault(Fault::new(
            Blame::Ours,
            "a script was to wait on a worker that reads sockets",
        )),
    }
}

/// [`kahea_module::Engine::apart`]; gives the task back where this is no script worker.
pub fn apart(worker: &Rc<Worker>, task: OwnTask) -> Result<(), OwnTask> {
    match still() {
        Some(still) => {
            still.launcher.launch(worker, task);
            Ok(())
        }
        None => Err(task),
    }
}
