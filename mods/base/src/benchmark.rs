//! Module `benchmark`: how long parts of the script take, in microseconds.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::Instant,
};

use kahea_module::{
    BRANCH, Cx, Decl, Env, FAILURE, Index, InitError, Module, REPLY, REQUEST, Str, Value, log,
    log::Level,
    log_at,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use parking_lot::Mutex;

/// The module.
pub struct Benchmark {
    enable: AtomicI64,
    granularity: AtomicI64,
    level: AtomicI64,
    /// In the order of registration, which numbers them.
    timers: Mutex<Vec<Timer>>,
}

struct Timer {
    name: Str,
    enabled: bool,
    /// Since the last log line.
    running: Sums,
    /// The last period that is complete.
    period: Sums,
    all: Sums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    calls: i64,
    sum: i64,
    min: i64,
    max: i64,
}

/// What timers know of one message.
#[derive(Default)]
struct Running {
    started: HashMap<Str, Instant>,
    last: i64,
}

/// Its parameters.
pub struct Params {
    enable: i64,
    granularity: i64,
    level: i64,
    register: Vec<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            enable: 0,
            granularity: 1,
            level: Level::Info.number(),
            register: Vec::new(),
        }
    }
}

impl Module for Benchmark {
    const NAME: &'static str = "benchmark";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "enable",
            |p| &mut p.enable,
            "-1: no timer runs, 0: those that benchmark.enable_timer enables, 1: all.",
        );
        d.param(
            "granularity",
            |p| &mut p.granularity,
            "Every how many calls a timer is logged.",
        );
        d.param("loglevel", |p| &mut p.level, "The level of its log lines.");
        d.param(
            "register",
            |p| &mut p.register,
            "A timer that is known from the start. May be given several times.",
        );
        let routes = REQUEST | FAILURE | REPLY | BRANCH;
        d.func("bm_start_timer", ["name"], start, "Starts a timer.")
            .routes(routes)
            .kemi(1, "bm_start_timer");
        d.func(
            "bm_log_timer",
            ["name"],
            stop,
            "Takes the time since the timer's start and logs it where it is due.",
        )
        .routes(routes)
        .kemi(1, "bm_log_timer");
        d.var(
            "BM_time_diff",
            |_, cx: &mut Cx, _: Index| Value::Int(cx.extra::<Running>().last),
            "The time that bm_log_timer() took last in this message, in microseconds.",
        );
        d.rpc(
            "benchmark.enable_global",
            |m, call| set(&m.enable, call, -1, 1),
            "Sets the parameter enable.",
        );
        d.rpc(
            "benchmark.granularity",
            |m, call| set(&m.granularity, call, 1, i64::MAX),
            "Sets the parameter granularity.",
        );
        d.rpc(
            "benchmark.loglevel",
            |m, call| set(&m.level, call, -5, 9),
            "Sets the parameter loglevel.",
        );
        d.rpc(
            "benchmark.enable_timer",
            enable_timer,
            "Enables (1) or disables (0) a timer: name, number.",
        );
        d.rpc("benchmark.timer_list", list, "The figures of all timers.");
        d.rpc("benchmark.timer_name_list", show, "The figures of a timer.");
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Self, InitError> {
        if params.granularity < 1 || !(-1..=1).contains(&params.enable) {
            return Err(
                InitError::new("enable or granularity of benchmark is out of range")
                    .help("enable is -1, 0 or 1, granularity 1 or more"),
            );
        }
        let module = Benchmark {
            enable: params.enable.into(),
            granularity: params.granularity.into(),
            level: params.level.into(),
            timers: Mutex::default(),
        };
        let mut timers = module.timers.lock();
        timers.extend(
            params
                .register
                .into_iter()
                .map(|name| Timer::new(name, params.enable > 0)),
        );
        drop(timers);
        Ok(module)
    }
}

impl Timer {
    fn new(name: Str, enabled: bool) -> Timer {
        let (running, period, all) = Default::default();
        Timer {
            name,
            enabled,
            running,
            period,
            all,
        }
    }
}

impl Sums {
    fn add(&mut self, time: i64) {
        self.min = if self.calls == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.sum = self.sum.saturating_add(time);
        self.calls = self.calls.saturating_add(1);
    }

    fn mean(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            self.sum as f64 / self.calls as f64
        }
    }

    fn text(&self) -> String {
        format!(
            "{}/{}/{}/{}/{:.6}",
            self.calls,
            self.sum,
            self.min,
            self.max,
            self.mean()
        )
    }
}

fn start(_: &Benchmark, cx: &mut Cx, name: Str) -> bool {
    let now = cx.worker.engine.now();
    cx.extra::<Running>().started.insert(name.detach(), now);
    true
}

fn stop(m: &Benchmark, cx: &mut Cx, name: Str) -> bool {
    let now = cx.worker.engine.now();
    let running = cx.extra::<Running>();
    let Some(started) = running.started.get(&name) else {
        return true;
    };
    let time = i64::try_from(now.saturating_duration_since(*started).as_micros()).unwrap_or(i64::MAX);
    running.last = time;
    m.record(&name, time);
    true
}

impl Benchmark {
    fn record(&self, name: &Str, time: i64) {
        let enable = self.enable.load(Relaxed);
        let mut timers = self.timers.lock();
        if !timers.iter().any(|timer| timer.name == *name) {
            timers.push(Timer::new(name.detach(), enable > 0));
        }
        let Some((id, timer)) = timers
            .iter_mut()
            .enumerate()
            .find(|(_, timer)| timer.name == *name)
        else {
            return;
        };
        if enable < 0 || (enable == 0 && !timer.enabled) {
            return;
        }
        timer.running.add(time);
        timer.all.add(time);
        if timer.running.calls < self.granularity.load(Relaxed) {
            return;
        }
        timer.period = std::mem::take(&mut timer.running);
        let line = format!(
            "benchmark (timer {name} [{id}]): {time} [ msgs/total/min/max/avg - LR: {} | GB: {}]",
            timer.period.text(),
            timer.all.text()
        );
        drop(timers);
        let level = Level::from_number(self.level.load(Relaxed));
        if log::shows(level) {
            log_at!(level, "benchmark", "{line}");
        }
    }
}

fn invalid() -> RpcFault {
    RpcFault::new(500, "Invalid Parameters")
}

fn number(call: &mut RpcCall, least: i64, most: i64) -> Result<i64, RpcFault> {
    let n = call.optional_int().ok().flatten().ok_or_else(invalid)?;
    match (least..=most).contains(&n) {
        true => Ok(n),
        false => Err(RpcFault::new(500, "Invalid Parameter Value")),
    }
}

fn set(place: &AtomicI64, call: &mut RpcCall, least: i64, most: i64) -> RpcResult {
    place.store(number(call, least, most)?, Relaxed);
    Ok(Vec::new())
}

fn enable_timer(m: &Benchmark, call: &mut RpcCall) -> RpcResult {
    let name = call.text().map_err(|_| invalid())?;
    let enabled = number(call, 0, 1)? == 1;
    let mut timers = m.timers.lock();
    let timer = timers.iter_mut().find(|timer| timer.name == name);
    timer
        .ok_or_else(|| RpcFault::new(500, "Register timer failure"))?
        .enabled = enabled;
    Ok(Vec::new())
}

fn figures(m: &Benchmark, id: usize, timer: &Timer) -> RpcValue {
    let state = if timer.enabled { "enabled" } else { "disabled" };
    RpcValue::members([
        ("name", timer.name.clone().into()),
        ("state", state.into()),
        ("id", RpcValue::Int(i64::try_from(id).unwrap_or(i64::MAX))),
        ("granularity", RpcValue::Int(m.granularity.load(Relaxed))),
        ("period_sum", RpcValue::Int(timer.period.sum)),
        ("period_min", RpcValue::Int(timer.period.min)),
        ("period_max", RpcValue::Int(timer.period.max)),
        ("period_media", RpcValue::Double(timer.period.mean())),
        ("calls", RpcValue::Int(timer.all.calls)),
        ("sum", RpcValue::Int(timer.all.sum)),
        ("global_min", RpcValue::Int(timer.all.min)),
        ("global_max", RpcValue::Int(timer.all.max)),
        ("global_media", RpcValue::Double(timer.all.mean())),
    ])
}

fn list(m: &Benchmark, _: &mut RpcCall) -> RpcResult {
    Ok(m.timers
        .lock()
        .iter()
        .enumerate()
        .map(|(id, timer)| figures(m, id, timer))
        .collect())
}

fn show(m: &Benchmark, call: &mut RpcCall) -> RpcResult {
    let name = call.text().map_err(|_| invalid())?;
    let timers = m.timers.lock();
    let found = timers.iter().enumerate().find(|(_, timer)| timer.name == name);
    let (id, timer) = found.ok_or_else(|| RpcFault::new(500, "Register timer failure"))?;
    Ok(vec![figures(m, id, timer)])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kahea_module::testing::Server;

    use super::*;

    fn module(enable: i64) -> Benchmark {
        Benchmark {
            enable: enable.into(),
            granularity: 2.into(),
            level: 3.into(),
            timers: Mutex::default(),
        }
    }

    fn measure(m: &Benchmark, server: &Server, micros: u64) -> i64 {
        let mut cx = server.invite();
        start(m, &mut cx, Str::from("t"));
        server.engine.advance(Duration::from_micros(micros));
        stop(m, &mut cx, Str::from("t"));
        cx.extra::<Running>().last
    }

    #[test]
    fn a_period_ends_after_so_many_calls() {
        let (m, server) = (module(1), Server::default());
        assert_eq!(measure(&m, &server, 8), 8);
        assert_eq!(m.timers.lock()[0].period, Sums::default());
        measure(&m, &server, 1);
        let want = Sums {
            calls: 2,
            sum: 9,
            min: 1,
            max: 8,
        };
        assert_eq!(m.timers.lock()[0].period, want);
        assert_eq!(m.timers.lock()[0].all, want);
        assert_eq!(want.text(), "2/9/1/8/4.500000");
    }

    #[test]
    fn a_disabled_timer_counts_nothing_until_enabled() {
        let (m, server) = (module(0), Server::default());
        measure(&m, &server, 5);
        assert_eq!(m.timers.lock()[0].all.calls, 0);
        let args = vec![RpcValue::from("t"), RpcValue::Int(1)];
        assert_eq!(
            enable_timer(&m, &mut RpcCall::new(server.worker.clone(), args)),
            Ok(vec![])
        );
        measure(&m, &server, 5);
        assert_eq!(m.timers.lock()[0].all.calls, 1);
        let none = vec![RpcValue::from("none"), RpcValue::Int(1)];
        assert!(enable_timer(&m, &mut RpcCall::new(server.worker.clone(), none)).is_err());
    }
}
