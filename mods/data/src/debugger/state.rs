//! What is traced and held, by worker.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// What is done with a message that is held.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// Runs the action and holds at the next.
    Next,
    /// Goes on; nothing of this message is held again.
    Move,
    /// Tells where it is held.
    Show,
    /// Tells the value of a variable.
    Eval(String),
    /// Logs the value of a variable.
    Log(String),
}

/// A command with where its answer goes.
pub(super) type Asked = (Command, oneshot::Sender<String>);

/// One worker. Commands name it by its column in the log.
#[derive(Debug, Default)]
pub(super) struct WorkerState {
    pub trace: bool,
    pub breakpoints: bool,
    /// The messages that it holds, oldest first.
    pub held: Vec<(u64, mpsc::UnboundedSender<Asked>)>,
}

/// All workers.
pub(super) struct State {
    workers: Mutex<BTreeMap<usize, WorkerState>>,
    /// Some worker traces or holds: the fast answer.
    any: AtomicBool,
    default: (bool, bool),
    /// How long a command waits for an answer.
    pub patience: Duration,
}

/// `step_usleep` so many times.
pub(super) fn patience(usleep: i64, loops: i64) -> Duration {
    let whole = usleep.max(0).saturating_mul(loops.max(0));
    Duration::from_micros(u64::try_from(whole).unwrap_or(0))
}

impl State {
    pub fn new(trace: bool, breakpoints: bool, patience: Duration) -> State {
        State {
            workers: Mutex::default(),
            any: AtomicBool::new(trace || breakpoints),
            default: (trace, breakpoints),
            patience,
        }
    }

    /// A worker begins.
    pub fn add_worker(&self, index: usize) {
        let (trace, breakpoints) = self.default;
        let mut workers = self.workers.lock();
        workers.insert(
            number(index),
            WorkerState {
                trace,
                breakpoints,
                held: Vec::new(),
            },
        );
    }

    /// What a worker does: traces, holds.
    pub fn of(&self, index: usize) -> (bool, bool) {
        if !self.any.load(Relaxed) {
            return (false, false);
        }
        let workers = self.workers.lock();
        workers
            .get(&number(index))
            .map_or((false, false), |worker| (worker.trace, worker.breakpoints))
    }

    /// Works on the worker of that number, or on all.
    pub fn each(&self, wanted: Option<usize>, mut work: impl FnMut(usize, &mut WorkerState)) -> bool {
        let mut workers = self.workers.lock();
        let mut found = false;
        for (number, worker) in workers.iter_mut() {
            if wanted.is_none_or(|wanted| wanted == *number) {
                found = true;
                work(*number, worker);
            }
        }
        let any = workers.values().any(|worker| worker.trace || worker.breakpoints);
        self.any.store(any, Relaxed);
        found
    }
}

/// A worker's column in the log.
pub(super) fn number(index: usize) -> usize {
    index.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_switched_one_by_one() {
        let state = State::new(false, false, patience(100_000, 200));
        assert_eq!(state.patience, Duration::from_secs(20));
        state.add_worker(0);
        state.add_worker(1);
        assert_eq!(state.of(1), (false, false));
        assert!(state.each(Some(2), |_, worker| worker.trace = true));
        assert_eq!((state.of(0), state.of(1)), ((false, false), (true, false)));
        assert!(!state.each(Some(9), |_, _| {}));
        assert!(state.each(None, |_, worker| worker.trace = false));
        assert_eq!(state.of(1), (false, false));
    }
}
