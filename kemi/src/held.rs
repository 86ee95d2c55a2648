//! What languages share that cannot be suspended: their scripts run on script workers, and keep the thread while a
//! function waits.

use std::{
    cell::{Cell, RefCell},
    ptr::NonNull,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use kahea_module::{
    Cx, Fault, Outcome, Ret, Value,
    language::{Call, Callback, Step},
    rpc::RpcValue,
};

use crate::{Answer, Entry};

/// Runs a callback from its start to its end.
pub type Run = Rc<dyn Fn(&Callback, &mut Cx) -> Result<Outcome, Fault>>;

/// A callback of such a language.
pub struct Held {
    callback: Arc<Callback>,
    run: Run,
    ended: Rc<RefCell<Option<Result<Outcome, Fault>>>>,
}

impl Held {
    /// At its start.
    pub fn new(callback: Arc<Callback>, run: Run) -> Held {
        Held {
            callback,
            run,
            ended: Rc::default(),
        }
    }

    fn end(&self) -> Step {
        match self.ended.take() {
            Some(Ok(outcome)) => Step::Done(outcome),
            Some(Err(fault)) => Step::Stopped(fault),
            None => Step::Stopped(Fault::script("the script was given up")),
        }
    }
}

impl Call for Held {
    fn run(&mut self, cx: &mut Cx) -> Step {
        let (callback, run, ended) = (self.callback.clone(), self.run.clone(), self.ended.clone());
        let work = move |cx: &mut Cx| {
            ended.replace(Some(run(&callback, cx)));
            Ret::TRUE
        };
        match cx.worker.engine.clone().standing(cx, Box::new(work)) {
            Ret::Wait(later) => Step::Wait(later),
            Ret::Fault(fault) => Step::Stopped(fault),
            Ret::Code(_) | Ret::Route(_) => self.end(),
        }
    }

    fn resume(&mut self, _: &mut Cx, ret: Ret) -> Step {
        match ret {
            Ret::Fault(fault) => Step::Stopped(fault),
            _ => self.end(),
        }
    }

    fn position(&self) -> String {
        self.callback.name.text().into_owned()
    }
}

thread_local! {
    /// The message of the script that runs on this thread.
    static CURRENT: Cell<Option<NonNull<Cx>>> = const { Cell::new(None) };
}

/// Puts the old value back.
struct Restore(Option<NonNull<Cx>>);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Runs a script on a message: functions that it calls find the message by [`current`].
pub fn with_current<T>(cx: &mut Cx, run: impl FnOnce() -> T) -> T {
    let _restore = Restore(CURRENT.replace(Some(NonNull::from(cx))));
    run()
}

/// A script runs on this thread, on a message.
pub fn has_current() -> bool {
    CURRENT.get().is_some()
}

/// Works on the message of the script that runs on this thread; `None` where there is none, or where it is being worked
/// on.
pub fn current<T>(work: impl FnOnce(&mut Cx) -> T) -> Option<T> {
    let mut place = CURRENT.take()?;
    let _restore = Restore(Some(place));
    // SAFETY: the pointer was made from a `&mut Cx` that `with_current` holds for as long as the pointer can be found
    // here, and does not use itself. It was taken out just now, so that nobody finds it a second time meanwhile.
    #[expect(
        unsafe_code,
        reason = "interpreters call back without handing the message through"
    )]
    let cx = unsafe { place.as_mut() };
    Some(work(cx))
}

/// Carries out a call of a script on the message in work. `wait` is run around a wait, so that an interpreter's lock can
/// be released.
///
/// # Errors
/// The call is wrong, or no message is in work; a text for the language's own exception.
pub fn call(entry: &Entry, values: Vec<Value>, wait: impl Fn(&mut dyn FnMut())) -> Result<RpcValue, String> {
    let called = current(|cx| {
        let mut answer = entry.call(cx, values).map_err(|error| error.text)?;
        loop {
            let later = match answer {
                Answer::Now(value) => return Ok(value),
                Answer::Later(later) => later,
            };
            let engine = cx.worker.engine.clone();
            let (mut later, mut ret) = (Some(later), Ret::FALSE);
            wait(&mut || {
                if let Some(later) = later.take() {
                    ret = engine.stand(cx, later);
                }
            });
            answer = entry.answer(cx, ret);
        }
    });
    called.unwrap_or_else(|| {
        Err(format!(
            "{}: there is no message to work on; call it from a function that the server runs",
            entry.full_name()
        ))
    })
}

/// The time that this thread has spent on the processor.
#[expect(
    unsafe_code,
    reason = "the clock of a thread can only be had from the C library"
)]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if done != 0 {
        return Duration::ZERO;
    }
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn the_message_is_found_once_and_only_while_a_script_runs() {
        let server = Server::default();
        let (mut outer, mut inner) = (server.invite(), server.invite());
        (outer.flags, inner.flags) = (1, 2);
        assert!(current(|_| ()).is_none());
        let flags = || current(|cx| cx.flags);
        with_current(&mut outer, || {
            assert_eq!(flags(), Some(1));
            let twice = current(|_| current(|_| ()).is_none());
            assert_eq!(twice, Some(true));
            with_current(&mut inner, || assert_eq!(flags(), Some(2)));
            assert_eq!(flags(), Some(1));
        });
        assert!(current(|_| ()).is_none());
    }

    #[test]
    fn time_on_the_processor_grows() {
        let before = thread_time();
        let mut sum = 0_u64;
        while thread_time().saturating_sub(before) < Duration::from_millis(2) {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
    }
}
