//! Items that have expired are taken away in portions, and the script is told; routes that run at start and reload.

use std::{
    rc::Rc,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    time::Duration,
};

use kahea_module::{Cx, Env, RouteId, Value, Worker, config::Periodic, error};

use super::{
    contents::Item,
    table::{Table, moment_of},
    vars::Record,
};

/// So many are taken at once; then other work has its turn.
const PORTION: usize = 256;

/// Starts the timer that sweeps the tables whose items expire.
pub(super) fn start(env: &mut Env<'_>, tables: &[Arc<Table>], every: Duration) {
    let tables: Arc<[Swept]> = tables
        .iter()
        .filter(|table| !table.is_lasting())
        .map(|table| Swept {
            table: table.clone(),
            route: env.event_route(&format!("htable:expired:{}", table.name())),
        })
        .collect();
    if tables.is_empty() {
        return;
    }
    let busy = Arc::new(AtomicBool::new(false));
    let run = move |worker: &Rc<Worker>| {
        // A sweep that takes longer than the interval is not overtaken by the next.
        if busy.swap(true, AcqRel) {
            return;
        }
        let (tables, busy, worker) = (tables.clone(), busy.clone(), worker.clone());
        let engine = worker.engine.clone();
        engine.spawn(Box::pin(async move {
            for swept in tables.iter() {
                sweep(&worker, swept).await;
            }
            busy.store(false, Release);
        }));
    };
    env.hooks.periodic.push(Periodic {
        name: kahea_module::Str::from_static("htable"),
        every,
        run: Arc::new(run),
    });
}

struct Swept {
    table: Arc<Table>,
    route: Option<RouteId>,
}

async fn sweep(worker: &Rc<Worker>, swept: &Swept) {
    loop {
        let gone = swept.table.contents.take_expired(moment_of(worker), PORTION);
        let more = gone.len() == PORTION;
        if let Some(route) = swept.route {
            for item in gone {
                tell(worker, route, item).await;
            }
        }
        if !more {
            return;
        }
        worker.engine.sleep(Duration::from_millis(1)).await;
    }
}

async fn tell(worker: &Rc<Worker>, route: RouteId, item: Item) {
    match Cx::faked(worker.clone()) {
        Ok(mut cx) => {
            *cx.extra::<Record>() = Record {
                key: Value::Str(item.key),
                value: item.value,
            };
            worker.engine.run(&mut cx, route).await;
            cx.finish();
        }
        Err(fault) => error!("htable", "The route for expired items did not run: {fault}."),
    }
}

/// Runs a route that belongs to no message.
pub(super) async fn run_route(worker: &Rc<Worker>, route: RouteId) {
    match Cx::faked(worker.clone()) {
        Ok(mut cx) => {
            worker.engine.run(&mut cx, route).await;
            cx.finish();
        }
        Err(fault) => error!("htable", "A route of htable did not run: {fault}."),
    }
}

/// That `event_route[htable:mod-init]` has run, in the life of the process.
pub(super) struct Begun(Once);

impl Default for Begun {
    fn default() -> Begun {
        Begun(Once::new())
    }
}

/// Runs `event_route[htable:mod-init]` once, before the first worker reads. With `waits` it may wait, for a database
/// say, and other messages may come before it has ended.
pub(super) fn at_start(env: &mut Env<'_>, waits: bool) {
    let Some(route) = env.event_route("htable:mod-init") else {
        return;
    };
    let begun = env.shared.keep(Begun::default);
    env.hooks.worker_start.push(Arc::new(move |worker| {
        // Other workers stand still here until the first has filled the tables.
        begun.0.call_once(|| match waits {
            true => {
                let task = worker.clone();
                worker
                    .engine
                    .spawn(Box::pin(async move { run_route(&task, route).await }));
            }
            false => match Cx::faked(worker.clone()) {
                Ok(mut cx) => {
                    worker.engine.run_now(&mut cx, route);
                    cx.finish();
                }
                Err(fault) => error!("htable", "event_route[htable:mod-init] did not run: {fault}."),
            },
        });
    }));
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use kahea_module::{Str, testing::Server};

    use super::*;
    use crate::htable::tests::htable;

    #[test]
    fn every_expired_item_is_told_once() {
        let m = htable(&["a=>size=4;autoexpire=1"]);
        let server = Server::default();
        let table = m.tables[0].clone();
        for n in 0..1000 {
            let key = Str::from(n.to_string());
            table.set(table.contents.key(&key), Value::Int(n), 1);
        }
        server.engine.advance(Duration::from_secs(3));
        let swept = Swept {
            table,
            route: Some(RouteId(7)),
        };
        let mut sweeping = pin!(sweep(&server.worker, &swept));
        let polled = sweeping.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(())));
        assert_eq!(server.engine.ran.borrow().len(), 1000);
    }
}
