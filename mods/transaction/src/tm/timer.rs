//! The timers of transactions: each worker has a wheel of those that it set.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use kahea_module::Worker;
use kahea_tx::{Time, Wheel};

use super::{
    cell::{Cell, State, Work},
    core::{Core, now},
    table::{Id, Table},
    turn,
};

/// Between two looks at the wheel.
const STEP: Duration = Duration::from_millis(10);

/// What one worker thread keeps over reloads.
#[derive(Default)]
struct Local {
    wheel: Option<Wheel<Id>>,
    /// A task turns the wheel.
    turning: bool,
    /// This thread's part of every configuration that is in force or has transactions left.
    workers: Vec<(Rc<Worker>, Arc<Core>)>,
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

/// Notes this thread's worker of a new configuration.
pub fn begin(worker: &Rc<Worker>, core: &Arc<Core>) {
    LOCAL.with_borrow_mut(|local| {
        // A message under way on the configuration before may still begin a transaction.
        let kept = local.workers.len().saturating_sub(1);
        let mut at = 0_usize;
        local.workers.retain(|(worker, core)| {
            at = at.saturating_add(1);
            at > kept || !core.is_idle() || Rc::strong_count(worker) > 1
        });
        local.workers.push((worker.clone(), core.clone()));
    });
}

/// This thread's worker of the configuration that the transaction runs under; `other` where this thread has none, which
/// then must not run the transaction's routes: see [`runs`].
pub fn worker_of(cell: &Cell, other: &Rc<Worker>) -> Rc<Worker> {
    let generation = cell.config.generation;
    if other.config.generation == generation {
        return other.clone();
    }
    LOCAL.with_borrow(|local| {
        let known = local
            .workers
            .iter()
            .find(|(worker, _)| worker.config.generation == generation);
        known.map_or_else(|| other.clone(), |(worker, _)| worker.clone())
    })
}

/// The worker has the program that the transaction's routes are part of.
pub fn runs(worker: &Worker, cell: &Cell) -> bool {
    worker.config.generation == cell.config.generation
}

/// Sees to it that the transaction is looked at in time. Called with its state locked, after each change.
pub fn arm(cell: &Cell, state: &mut State, worker: &Rc<Worker>) {
    let deadline = state.tx.deadline();
    if deadline < state.armed {
        push(cell, state, worker, deadline);
    }
}

/// The first look at a transaction that begins: soon, when most have a nearer deadline than that of their whole life,
/// which so needs no place in the wheel.
pub fn arm_first(cell: &Cell, worker: &Rc<Worker>) {
    let mut state = cell.state.lock();
    let soon = now(worker).after(cell.core.options().timing.retr_timer1.max(1));
    let first = soon.min(state.tx.deadline());
    push(cell, &mut state, worker, first);
}

fn push(cell: &Cell, state: &mut State, worker: &Rc<Worker>, deadline: Time) {
    state.armed = deadline;
    let start = LOCAL.with_borrow_mut(|local| {
        let wheel = local.wheel.get_or_insert_with(|| Wheel::new(now(worker)));
        wheel.push(deadline, cell.id);
        !std::mem::replace(&mut local.turning, true)
    });
    if start {
        worker
            .engine
            .spawn(Box::pin(turn_wheel(worker.clone(), cell.core.table.clone())));
    }
}

/// Runs while there is something in the wheel.
async fn turn_wheel(worker: Rc<Worker>, table: Arc<Table>) {
    let engine = worker.engine.clone();
    loop {
        engine.sleep(STEP).await;
        let moment = now(&worker);
        let due = LOCAL.with_borrow_mut(|local| {
            let mut due = Vec::new();
            if let Some(wheel) = &mut local.wheel {
                wheel.take_due(moment, |id| due.push(id));
                local.turning = !wheel.is_empty() || !due.is_empty();
            }
            (local.turning).then_some(due)
        });
        let Some(due) = due else {
            return;
        };
        for id in due {
            if let Some(cell) = table.get(id) {
                look(&cell, moment, &worker);
            }
        }
    }
}

fn look(cell: &Arc<Cell>, moment: Time, worker: &Rc<Worker>) {
    let worker = worker_of(cell, worker);
    {
        let mut state = cell.state.lock();
        if state.armed > moment {
            return;
        }
        state.armed = Time::NEVER;
        if state.tx.deadline() > moment {
            return arm(cell, &mut state, &worker);
        }
    }
    turn::take(cell, &worker, Work::Tick);
}
