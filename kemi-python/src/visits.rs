//! Calls of threads that a script started itself (a web server): no message is in work there, and no worker either. A
//! worker of its own carries them out, with a message for each thread as Kamailio has one for each process.

use std::{
    collections::VecDeque,
    rc::Rc,
    sync::{Arc, mpsc as blocking},
};

use kahea_kemi::{Answer, Table};
use kahea_module::{Cx, Ret, Value, Worker, ret::LocalFuture, rpc::RpcValue};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The way to that worker, which is one of the newest configuration; outlives configurations.
#[derive(Default)]
pub struct Visits(Mutex<Option<Way>>);

struct Way {
    generation: u64,
    /// The worker ends when this is dropped.
    orders: mpsc::UnboundedSender<Visit>,
}

/// A call from elsewhere.
struct Visit {
    /// Of the calling thread.
    thread: u64,
    table: Arc<Table>,
    /// The entry of the table.
    at: usize,
    values: Vec<Value>,
    answer: blocking::Sender<Result<RpcValue, String>>,
}

/// Threads whose messages are kept; of more the oldest are forgotten.
const KEPT: usize = 64;

impl Visits {
    /// Starts the worker, once for each configuration. Called on a script worker.
    pub fn start(&self, worker: &Rc<Worker>) {
        let generation = worker.config.generation;
        let mut way = self.0.lock();
        if way.as_ref().is_some_and(|way| way.generation >= generation) {
            return;
        }
        let (orders, taken) = mpsc::unbounded_channel();
        *way = Some(Way { generation, orders });
        drop(way);
        let serve = move |worker: Rc<Worker>| -> LocalFuture<'static, ()> { Box::pin(serve(worker, taken)) };
        worker.engine.apart(worker, Box::new(serve));
    }

    /// Carries out a call; the thread waits meanwhile, and must not hold Python's lock.
    ///
    /// # Errors
    /// The call is wrong, or the worker is not there.
    pub fn call(
        &self,
        thread: u64,
        table: &Arc<Table>,
        at: usize,
        values: Vec<Value>,
    ) -> Result<RpcValue, String> {
        let gone = || "the server does not take calls of this thread now".to_owned();
        let (answer, answered) = blocking::channel();
        let visit = Visit {
            thread,
            table: table.clone(),
            at,
            values,
            answer,
        };
        let sent = self
            .0
            .lock()
            .as_ref()
            .is_some_and(|way| way.orders.send(visit).is_ok());
        if !sent {
            return Err(gone());
        }
        answered.recv().map_err(|_| gone())?
    }
}

async fn serve(worker: Rc<Worker>, mut visits: mpsc::UnboundedReceiver<Visit>) {
    let mut messages: VecDeque<(u64, Cx)> = VecDeque::new();
    while let Some(visit) = visits.recv().await {
        let known = messages.iter().position(|(thread, _)| *thread == visit.thread);
        let message = match known.and_then(|at| messages.remove(at)) {
            Some((_, cx)) => Ok(cx),
            None => Cx::faked(worker.clone()),
        };
        let answer = match message {
            Ok(mut cx) => {
                cx.budget = worker.config.limits;
                let answer = carry_out(&mut cx, &visit.table, visit.at, visit.values).await;
                messages.push_back((visit.thread, cx));
                answer
            }
            Err(fault) => Err(fault.to_string()),
        };
        if messages.len() > KEPT {
            messages.pop_front();
        }
        // The thread waits for it.
        let _ = visit.answer.send(answer);
    }
}

async fn carry_out(cx: &mut Cx, table: &Table, at: usize, values: Vec<Value>) -> Result<RpcValue, String> {
    let entry = table.entries().get(at).ok_or("there is no such function")?;
    let mut answer = entry.call(cx, values).map_err(|error| error.text)?;
    loop {
        let mut later = match answer {
            Answer::Now(value) => return Ok(value),
            Answer::Later(later) => later,
        };
        let ret = loop {
            match later(cx).await {
                Ret::Wait(next) => later = next,
                ret => break ret,
            }
        };
        answer = entry.answer(cx, ret);
    }
}
