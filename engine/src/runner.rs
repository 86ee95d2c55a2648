//! Runs routes on a worker: at once where nothing waits, as a task where something does.

use std::{
    cell::{OnceCell, RefCell},
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

use kahea_lang::program::{Program, Route};
use kahea_module::{
    Blame, Cx, Engine, Fault, Outcome, Ret, RouteId, Worker, error,
    language::{Callback, Interpreter},
    latency::{Latencies, Latency},
    ret::{Later, LocalFuture},
    route::{ScriptPlace, ScriptStep},
    worker::{OwnTask, Then, Work},
};

use crate::{
    logging::prefix::{self, Prefix},
    machine::{self, Machine, Step},
    running::Running,
    script,
};

/// The interpreter of one worker and one configuration.
pub struct Runner {
    program: Arc<Program>,
    prefix: Option<Arc<Prefix>>,
    /// By route, while somebody asks for figures.
    latencies: Option<Vec<Latency>>,
    /// For tasks that need the worker they run on.
    worker: RefCell<Weak<Worker>>,
    /// Of the language that `cfgengine` names.
    interpreter: OnceCell<Rc<dyn Interpreter>>,
    /// By their numbers.
    callbacks: RefCell<Vec<Option<Arc<Callback>>>>,
}

impl Runner {
    /// Over a program; `prefix` goes in front of the lines of messages that have none of their own.
    pub fn new(program: Arc<Program>, prefix: Option<Arc<Prefix>>, latencies: &Latencies) -> Runner {
        let of = |route: &Route| {
            let labels = [("kind", route.kind.keyword()), ("route", &*route.name.text())];
            latencies.of("route", &labels)
        };
        let latencies = latencies.is_on().then(|| program.routes.iter().map(of).collect());
        Runner {
            program,
            prefix,
            latencies,
            worker: RefCell::default(),
            interpreter: OnceCell::new(),
            callbacks: RefCell::default(),
        }
    }

    /// The figures of a native route, where somebody asks for them.
    pub fn latency(&self, route: RouteId) -> Option<&Latency> {
        self.latencies.as_ref()?.get(machine::index(route.0))
    }

    /// A script at the start of a route.
    pub fn machine(&self, route: RouteId) -> Running {
        match route.callback() {
            None => Running::Native(Machine::new(self.program.clone(), route)),
            Some(id) => self.callback(id, route),
        }
    }

    fn callback(&self, id: u32, route: RouteId) -> Running {
        let known = self.callbacks.borrow().get(machine::index(id)).cloned().flatten();
        let callback = known.or_else(|| self.note_callback(id, route));
        match (self.interpreter.get(), callback) {
            (Some(interpreter), Some(callback)) => Running::Callback(interpreter.call(&callback)),
            _ => Running::Missing(route),
        }
    }

    /// Asks the configuration what a callback is, once on each worker.
    fn note_callback(&self, id: u32, route: RouteId) -> Option<Arc<Callback>> {
        let callback = self.worker()?.config.bind.callback_of(route)?;
        let mut known = self.callbacks.borrow_mut();
        let at = machine::index(id);
        if known.len() <= at {
            known.resize(at.saturating_add(1), None);
        }
        if let Some(place) = known.get_mut(at) {
            *place = Some(callback.clone());
        }
        Some(callback)
    }

    /// Gives it the interpreter of the embedded language that routes messages.
    pub fn speak(&self, interpreter: Rc<dyn Interpreter>) {
        // There is one for each runner.
        let _ = self.interpreter.set(interpreter);
    }
}

/// A script that failed as a whole.
const FAILED: Outcome = Outcome {
    code: -1,
    exit: true,
    drop: true,
};

/// Does one stretch of work on a message; a panic in it is caught, counted and logged.
pub fn guarded<T>(
    cx: &mut Cx,
    machine: &mut Running,
    work: impl FnOnce(&mut Cx, &mut Running) -> T,
) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(|| work(cx, machine)))
        .map_err(|panic| panicked(cx, &machine.position(), &*panic))
}

fn panicked(cx: &Cx, place: &str, panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    cx.config()
        .shared
        .stats
        .counter("core", "panics", "Panics caught while a message was handled.")
        .inc();
    let fault = Fault::new(
        Blame::Ours,
        format!("a defect of this server near {place}: {text}; please report it"),
    );
    kahea_module::log::write(
        kahea_module::log::Level::Critical,
        "<core>",
        format_args!("{}", fault.text),
    );
    fault
}

/// A future whose panics become faults.
///
/// Lines that it writes begin with the log prefix of the message that waits for it.
pub struct Guard<'a> {
    inner: LocalFuture<'a, Ret>,
    prefix: Arc<[u8]>,
}

impl Future for Guard<'_> {
    type Output = Ret;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ret> {
        let outer = prefix::make_room();
        prefix::enter_text(&self.prefix);
        let inner = &mut self.inner;
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context)));
        outer.restore();
        match polled {
            Ok(poll) => poll,
            Err(_) => {
                let text = "a defect of this server in a function that waits; please report it";
                Poll::Ready(Ret::Fault(Fault::new(Blame::Ours, text)))
            }
        }
    }
}

/// Runs a machine to its end.
pub async fn finish(cx: &mut Cx, machine: &mut Running, first: Step) -> Result<Outcome, Fault> {
    let mut step = first;
    loop {
        match step {
            Step::Done(outcome) => return Ok(outcome),
            Step::Stopped(fault) => return Err(fault),
            Step::Wait(later) => {
                let ret = wait(cx, later).await;
                let outer = prefix::make_room();
                prefix::resume(cx);
                let next = guarded(cx, machine, |cx, machine| machine.resume(cx, ret));
                outer.restore();
                step = next?;
            }
        }
    }
}

/// Waits for the rest of a function; its own further waits included.
pub async fn wait(cx: &mut Cx, later: Later) -> Ret {
    let mut later = later;
    loop {
        let prefix = prefix::text_of(cx);
        let guard = Guard {
            inner: later(cx),
            prefix,
        };
        match guard.await {
            Ret::Wait(next) => later = next,
            ret => return ret,
        }
    }
}

/// Begins a task: what it does before its first wait is done when this returns, and only one that waits is left to the
/// worker. Most functions that may wait do not have to.
pub fn begin(mut task: LocalFuture<'static, ()>) {
    let outer = prefix::make_room();
    let polled = task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    outer.restore();
    if polled.is_pending() {
        // As a task it is polled again, and then leaves its own waker.
        drop(tokio::task::spawn_local(task));
    }
}

/// Goes on with a message in `end` under its own log prefix.
pub fn in_its_name<T>(mut cx: Cx, end: impl FnOnce(Cx) -> T) -> T {
    let outer = prefix::make_room();
    prefix::resume(&mut cx);
    let result = end(cx);
    outer.restore();
    result
}

/// Runs a machine and hands the message on when it has ended.
fn run_machine(
    prefix: Option<&Arc<Prefix>>,
    latency: Option<&Latency>,
    mut cx: Cx,
    mut machine: Running,
    then: Then,
) {
    let timing = latency.map(|latency| (latency.clone(), latency.start()));
    let outer = prefix.map(|prefix| {
        let outer = prefix::make_room();
        prefix::begin(prefix, &mut cx);
        outer
    });
    let caller = cx.step;
    let end = move |mut cx: Cx, result: Result<Outcome, Fault>| {
        cx.step = caller;
        let outcome = result.unwrap_or_else(|fault| {
            error!("<core>", "{fault}");
            FAILED
        });
        if let Some((latency, began)) = timing {
            latency.end(began);
        }
        then(cx, outcome);
    };
    match guarded(&mut cx, &mut machine, |cx, machine| machine.run(cx)) {
        Ok(Step::Done(outcome)) => end(cx, Ok(outcome)),
        Ok(Step::Stopped(fault)) | Err(fault) => end(cx, Err(fault)),
        Ok(step @ Step::Wait(_)) => begin(Box::pin(async move {
            let result = finish(&mut cx, &mut machine, step).await;
            in_its_name(cx, |cx| end(cx, result));
        })),
    }
    if let Some(outer) = outer {
        outer.restore();
    }
}

impl Engine for Runner {
    fn run_then(&self, cx: Cx, route: RouteId, then: Then) {
        run_machine(
            self.prefix.as_ref(),
            self.latency(route),
            cx,
            self.machine(route),
            then,
        );
    }

    fn run_behind(&self, cx: Cx, step: ScriptStep, then: Then) {
        let machine = Running::Native(Machine::behind(self.program.clone(), step));
        run_machine(self.prefix.as_ref(), None, cx, machine, then);
    }

    fn run_now(&self, cx: &mut Cx, route: RouteId) -> Outcome {
        let caller = cx.step;
        let began = self.latency(route).and_then(Latency::start);
        let outcome = script::at_once(|| self.run_to_end(cx, route));
        if let Some(latency) = self.latency(route) {
            latency.end(began);
        }
        cx.step = caller;
        outcome
    }

    fn run<'a>(&'a self, cx: &'a mut Cx, route: RouteId) -> LocalFuture<'a, Outcome> {
        Box::pin(async move {
            let caller = cx.step;
            let began = self.latency(route).and_then(Latency::start);
            let mut machine = self.machine(route);
            let result = match guarded(cx, &mut machine, |cx, machine| machine.run(cx)) {
                Ok(step) => finish(cx, &mut machine, step).await,
                Err(fault) => Err(fault),
            };
            if let Some(latency) = self.latency(route) {
                latency.end(began);
            }
            cx.step = caller;
            result.unwrap_or_else(|fault| {
                error!("<core>", "{fault}");
                FAILED
            })
        })
    }

    fn place(&self, step: ScriptStep) -> Option<ScriptPlace> {
        machine::place(&self.program, step)
    }

    fn standing(&self, cx: &mut Cx, work: Work) -> Ret {
        script::standing(cx, work)
    }

    fn stand(&self, cx: &mut Cx, later: Later) -> Ret {
        script::stand(cx, later)
    }

    fn apart(&self, worker: &Rc<Worker>, task: OwnTask) {
        if let Err(task) = script::apart(worker, task) {
            self.spawn(task(worker.clone()));
        }
    }

    fn spawn(&self, task: LocalFuture<'static, ()>) {
        drop(tokio::task::spawn_local(task));
    }

    fn sleep(&self, time: Duration) -> LocalFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everyone else is handed"
    )]
    fn time(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Runner {
    /// Runs a route; a function in it that waits fails.
    fn run_to_end(&self, cx: &mut Cx, route: RouteId) -> Outcome {
        let mut machine = self.machine(route);
        let mut step = guarded(cx, &mut machine, |cx, machine| machine.run(cx));
        loop {
            match step {
                Ok(Step::Done(outcome)) => return outcome,
                Ok(Step::Wait(_)) => {
                    let fault =
                        Fault::script("this function would have to wait, which this kind of route cannot");
                    step = guarded(cx, &mut machine, |cx, machine| {
                        machine.resume(cx, Ret::Fault(fault))
                    });
                }
                Ok(Step::Stopped(fault)) => {
                    error!("<core>", "{fault}");
                    return FAILED;
                }
                Err(_) => return FAILED,
            }
        }
    }

    /// Tells it the worker whose messages it runs.
    pub fn bind(&self, worker: &Rc<Worker>) {
        self.worker.replace(Rc::downgrade(worker));
    }

    /// That worker; gone once its configuration was replaced and its messages have ended.
    pub fn worker(&self) -> Option<Rc<Worker>> {
        self.worker.borrow().upgrade()
    }
}
