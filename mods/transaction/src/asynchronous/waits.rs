//! Requests that go on after a time: `async_route()`, `async_sleep()` and their kin.

use std::time::Duration;

use kahea_module::{
    Cx, Decl, Fault, Lit, Ret,
    route::{EVENT, FAILURE, REQUEST},
};

use super::{Async, Task, tasks::DEFAULT};
use crate::{
    tm::{
        attached,
        suspend::{self, Entry, Prepare},
        timer,
    },
    tmx::block::Block,
};

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(100);
/// The longest wait given in milliseconds.
const LONGEST_MS: Duration = Duration::from_secs(30);

/// Declares them.
pub fn declare(d: &mut Decl<Async>) {
    let here = REQUEST | FAILURE | EVENT;
    d.func(
        "async_route",
        ["route", "seconds"],
        async_route,
        "Ends the script, and runs route[route] on the request 1 to 100 seconds later.",
    )
    .routes(here)
    .kemi_as(2, "async", "route");
    d.func(
        "async_ms_route",
        ["route", "milliseconds"],
        async_ms_route,
        "Ends the script, and runs route[route] on the request 1 to 30000 milliseconds later; needs ms_timer.",
    )
    .routes(here)
    .kemi_as(2, "async", "ms_route");
    d.func(
        "async_sleep",
        ["seconds"],
        async_sleep,
        "Goes on 1 to 100 seconds later with the next action, to the end of the block that the call stands in.",
    )
    .routes(here)
    .example("async_sleep(\"4\"); exit;");
    d.func(
        "async_ms_sleep",
        ["milliseconds"],
        async_ms_sleep,
        "Goes on 1 to 30000 milliseconds later with the next action, to the end of the block that the call stands in; \
         needs ms_timer.",
    )
    .routes(here);
}

fn seconds(given: i64) -> Result<Duration, Fault> {
    u64::try_from(given)
        .map(Duration::from_secs)
        .ok()
        .filter(|time| !time.is_zero() && *time <= LONGEST)
        .ok_or_else(|| Fault::script(format!("a request cannot wait {given} s: give 1 to 100")))
}

impl Async {
    fn milliseconds(&self, given: i64) -> Result<Duration, Fault> {
        if !self.milliseconds {
            return Err(Fault::script(
                "waits in milliseconds are switched off: set modparam(\"async\", \"ms_timer\", 10)",
            ));
        }
        u64::try_from(given)
            .map(Duration::from_millis)
            .ok()
            .filter(|time| !time.is_zero() && *time <= LONGEST_MS)
            .ok_or_else(|| Fault::script(format!("a request cannot wait {given} ms: give 1 to 30000")))
    }

    /// Sets the request aside and goes on with it after the time.
    pub(super) fn later(
        &self,
        cx: &mut Cx,
        time: Duration,
        entry: Entry,
        prepare: Option<Prepare>,
    ) -> Result<Ret, Fault> {
        if let Ret::Code(0) = suspend::suspend(&self.core, cx)? {
            // It is a repetition, and dealt with.
            return Ok(Ret::EXIT);
        }
        let cell = attached::cell(cx).ok_or_else(|| Fault::script("the request has no transaction"))?;
        let worker = timer::worker_of(&cell, &cx.worker);
        let engine = worker.engine.clone();
        let wait = engine.sleep(time);
        engine.spawn(Box::pin(async move {
            wait.await;
            if !suspend::resume(&cell, &worker, entry, prepare) {
                kahea_module::debug!("async", "The transaction ended while its request waited.");
            }
        }));
        Ok(Ret::Code(self.code))
    }
}

fn async_route(m: &Async, cx: &mut Cx, route: Lit<Block>, time: i64) -> Result<Ret, Fault> {
    let time = seconds(time)?;
    let route = route.here(cx)?;
    m.later(cx, time, Entry::Route(route), None)
}

/// What waits milliseconds goes on as a task, which `$async(gname)` shows.
fn in_default_group() -> Option<Prepare> {
    Some(Box::new(|cx| cx.extra::<Task>().group = Some(DEFAULT)))
}

fn async_ms_route(m: &Async, cx: &mut Cx, route: Lit<Block>, time: i64) -> Result<Ret, Fault> {
    let time = m.milliseconds(time)?;
    let route = route.here(cx)?;
    m.later(cx, time, Entry::Route(route), in_default_group())
}

fn async_sleep(m: &Async, cx: &mut Cx, time: i64) -> Result<Ret, Fault> {
    let time = seconds(time)?;
    m.later(cx, time, Entry::Behind(cx.step), None)
}

fn async_ms_sleep(m: &Async, cx: &mut Cx, time: i64) -> Result<Ret, Fault> {
    let time = m.milliseconds(time)?;
    m.later(cx, time, Entry::Behind(cx.step), in_default_group())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asynchronous::Params, tm::testing::Bench};

    #[test]
    fn milliseconds_need_their_timer() {
        let with = |ms_timer| {
            Bench::new(Params {
                ms_timer,
                ..Params::default()
            })
        };
        assert!(with(0).waits.milliseconds(50).is_err());
        let on = with(10).waits;
        assert_eq!(on.milliseconds(50), Ok(Duration::from_millis(50)));
        for wrong in [0, -1, 30_001] {
            assert!(on.milliseconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_script_ends_where_the_request_waits() {
        let bench = Bench::default();
        let mut cx = bench.server.invite();
        let entry = Entry::Behind(cx.step);
        let ret = bench.waits.later(&mut cx, Duration::from_secs(1), entry, None);
        assert!(matches!(ret, Ok(Ret::Code(0))));
        let cell = attached::cell(&cx).expect("a transaction");
        assert!(cell.state.lock().suspended.is_some());
    }

    #[test]
    fn waits_are_neither_empty_nor_endless() {
        assert_eq!(seconds(100), Ok(Duration::from_secs(100)));
        for wrong in [0, -1, 101, i64::MAX] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
