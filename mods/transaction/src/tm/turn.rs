//! One at a time: replies, timers and cancellations of a transaction never overlap, though their routes may wait.
//! Nobody holds a lock meanwhile; whoever comes second leaves its work in the transaction's queue.

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Worker, warning};
use kahea_tx::BranchId;

use super::{
    cancel,
    cell::{Cell, Held, Work},
    failure, replies, timer,
};

/// More than this and a flood is at work.
const LONGEST_QUEUE: usize = 128;

/// Does the work, now or when its turn comes.
pub fn take(cell: &Arc<Cell>, worker: &Rc<Worker>, work: Work) {
    {
        let mut state = cell.state.lock();
        if state.busy {
            if state.queue.len() < LONGEST_QUEUE {
                state.queue.push_back(work);
            } else {
                warning!(
                    "tm",
                    "A transaction has more than {LONGEST_QUEUE} events waiting; one is lost."
                );
            }
            return;
        }
        state.busy = true;
    }
    run(cell, worker, work);
}

/// The same for a reply in work, which is taken apart only where it has to wait.
pub fn take_reply(cell: &Arc<Cell>, branch: BranchId, mut cx: Cx) {
    {
        let mut state = cell.state.lock();
        if state.busy {
            if state.queue.len() < LONGEST_QUEUE {
                let held = Held::of(&mut cx);
                state.queue.push_back(Work::Reply(branch, Box::new(held)));
            }
            drop(state);
            return cx.finish();
        }
        state.busy = true;
    }
    replies::handle(cell.clone(), branch, cx);
}

fn run(cell: &Arc<Cell>, worker: &Rc<Worker>, work: Work) {
    match work {
        Work::Reply(branch, held) => replies::handle(cell.clone(), branch, held.into_cx(worker.clone())),
        Work::Tick => failure::tick(cell.clone(), worker),
        Work::Cancel(reason) => cancel::cancelled(cell, worker, reason),
        Work::Unsent(branch) => failure::unsent(cell.clone(), worker, branch),
        Work::Do(work) => work(cell.clone(), worker),
    }
}

/// The work is done: the next may begin.
pub fn done(cell: &Arc<Cell>, worker: &Rc<Worker>) {
    let next = {
        let mut state = cell.state.lock();
        timer::arm(cell, &mut state, worker);
        let next = state.queue.pop_front();
        state.busy = next.is_some();
        next
    };
    if let Some(work) = next {
        run(cell, worker, work);
    }
}
