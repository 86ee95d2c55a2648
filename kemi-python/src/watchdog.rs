//! Stops scripts that run for too long: a thread looks at the processor time of those that run, and raises an exception
//! in one that is over its budget.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_kemi::held;
use parking_lot::Mutex;
use pyo3::{Python, ffi};

pyo3::create_exception!(
    KSR,
    BudgetExceeded,
    pyo3::exceptions::PyBaseException,
    "The script ran for too long."
);

/// Between two looks.
const STEP: Duration = Duration::from_millis(100);

/// A thread that runs scripts.
struct Watched {
    /// As Python names it.
    ident: std::ffi::c_long,
    /// Of its processor time.
    clock: libc::clockid_t,
    /// In nanoseconds of that clock; 0: nothing runs, or without end.
    until: AtomicU64,
    /// An exception was raised.
    stopped: AtomicBool,
}

static ALL: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());

/// This thread's place, until the thread ends.
struct Own(Arc<Watched>);

impl Drop for Own {
    fn drop(&mut self) {
        ALL.lock().retain(|one| !Arc::ptr_eq(one, &self.0));
    }
}

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

/// A run of a script; ends when it is dropped.
pub struct Run {
    watched: Option<Arc<Watched>>,
    before: u64,
}

/// A run begins that may take so much of the processor; `None`: without end.
pub fn begin(_: Python<'_>, time: Option<Duration>) -> Run {
    let watched = OWN.with_borrow_mut(|own| match own {
        Some(own) => Some(own.0.clone()),
        None => {
            let watched = Arc::new(this_thread()?);
            ALL.lock().push(watched.clone());
            *own = Some(Own(watched.clone()));
            start();
            Some(watched)
        }
    });
    let until = time.map_or(0, |time| nanos(held::thread_time().saturating_add(time)));
    let before = watched
        .as_ref()
        .map_or(0, |watched| watched.until.swap(until, Relaxed));
    Run { watched, before }
}

impl Run {
    /// The script was stopped. Ends the run.
    pub fn end(self, _: Python<'_>) -> bool {
        let Some(watched) = &self.watched else {
            return false;
        };
        watched.until.store(self.before, Relaxed);
        let stopped = watched.stopped.swap(false, Relaxed);
        if stopped {
            // SAFETY: Python's lock is held. One that was raised and not yet seen must not end the next script.
            #[expect(unsafe_code, reason = "PyO3 has no function for it")]
            unsafe {
                ffi::PyThreadState_SetAsyncExc(watched.ident, std::ptr::null_mut());
            }
        }
        stopped
    }
}

/// This thread, as Python names it.
#[expect(unsafe_code, reason = "the name of a thread is Python's")]
pub fn thread(_: Python<'_>) -> u64 {
    // SAFETY: it needs nothing.
    unsafe { ffi::PyThread_get_thread_ident() }
}

#[expect(
    unsafe_code,
    reason = "the clock and the name of a thread are the C library's and Python's"
)]
fn this_thread() -> Option<Watched> {
    let mut clock = 0;
    // SAFETY: the pointer is to a live clock id, and the thread is this one.
    let done = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    // SAFETY: it needs nothing.
    let ident = unsafe { ffi::PyThread_get_thread_ident() };
    (done == 0).then(|| Watched {
        ident: ident.cast_signed(),
        clock,
        until: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
    })
}

/// Starts the thread that looks, once in the life of the process.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which does nothing but look now and then"
)]
fn start() {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Relaxed) {
        return;
    }
    let watch = || {
        loop {
            std::thread::sleep(STEP);
            look();
        }
    };
    let started = std::thread::Builder::new()
        .name("python-budget".to_owned())
        .spawn(watch);
    if let Err(error) = started {
        STARTED.store(false, Relaxed);
        kahea_module::error!(
            "app_python3",
            "Scripts that run for ever cannot be stopped: {error}."
        );
    }
}

fn look() {
    let over: Vec<_> = ALL.lock().iter().filter(|one| is_over(one)).cloned().collect();
    if over.is_empty() {
        return;
    }
    Python::attach(|py| {
        let exception = py.get_type::<BudgetExceeded>();
        // Again under Python's lock: the script may have ended since.
        for one in over.iter().filter(|one| is_over(one)) {
            one.stopped.store(true, Relaxed);
            // SAFETY: Python's lock is held, and the class lives as long as this process.
            #[expect(unsafe_code, reason = "PyO3 has no function for it")]
            unsafe {
                ffi::PyThreadState_SetAsyncExc(one.ident, exception.as_ptr());
            }
        }
    });
}

fn is_over(one: &Watched) -> bool {
    let until = one.until.load(Relaxed);
    until != 0 && clock(one.clock).is_some_and(|now| nanos(now) > until)
}

/// The time of a clock; `None` where its thread has ended.
#[expect(
    unsafe_code,
    reason = "the clock of another thread can only be had from the C library"
)]
fn clock(id: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let done = unsafe { libc::clock_gettime(id, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let rest = u32::try_from(time.tv_nsec).ok()?;
    (done == 0).then(|| Duration::new(seconds, rest))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
