//! Module `rtimer`: runs routes again and again, on messages that the server makes for itself.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    time::Duration,
};

use kahea_module::{
    BindError, Cx, Decl, Env, Index, InitError, Module, RouteId, RouteKind, Str, Value, Worker,
    config::Periodic, error, value::parse_int,
};

/// The module.
pub struct Rtimer;

/// Its parameters.
pub struct Params {
    default_interval: i64,
    timers: Vec<Timer>,
    routes: Vec<Exec>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            default_interval: 120,
            timers: Vec::new(),
            routes: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Timer {
    name: Str,
    /// How many run at once; each has its own number in `$rtimer_worker`.
    workers: u32,
    every: Duration,
}

#[derive(Debug, PartialEq)]
struct Exec {
    timer: Str,
    route: Str,
}

/// `$rtimer_worker`, kept with the message.
#[derive(Default)]
struct WorkerNumber(u32);

impl Module for Rtimer {
    const NAME: &'static str = "rtimer";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "default_interval",
            |p| &mut p.default_interval,
            "The interval in seconds of timers defined after it without one.",
        );
        d.param_fn("timer", "string", |params, value, _| {
            params.timers.push(timer(&value.str_or_empty().text(), params.default_interval)?);
            Ok(())
        }, "A timer: name=NAME;interval=SECONDS (or MICROSECONDSu);mode=N, where N above 1 runs that many at once.");
        d.param_fn(
            "exec",
            "string",
            |params, value, _| {
                params.routes.push(exec(&value.str_or_empty().text())?);
                Ok(())
            },
            "A route that a timer runs: timer=NAME;route=NAME.",
        );
        d.var(
            "rtimer_worker",
            |_, cx: &mut Cx, _: Index| Value::Int(cx.extra::<WorkerNumber>().0.into()),
            "Which of a timer's concurrent runs this is, from 0.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        for exec in &params.routes {
            if !params.timers.iter().any(|timer| timer.name == exec.timer) {
                return Err(InitError::new(format!("the timer {} is not defined", exec.timer))
                    .help("define it with the parameter timer before exec"));
            }
        }
        for timer in params.timers {
            let mut routes = Vec::new();
            // Kamailio runs the route that was named last first.
            for exec in params.routes.iter().rev().filter(|exec| exec.timer == timer.name) {
                let name = exec.route.text();
                let route = env.bind.route(RouteKind::Request, &name).ok_or_else(|| {
                    InitError::new(format!("there is no route[{name}] for the timer {}", timer.name))
                        .help("add the route")
                })?;
                routes.push(route);
            }
            let routes: Arc<[RouteId]> = routes.into();
            for number in 0..timer.workers {
                env.hooks.periodic.push(periodic(&timer, number, routes.clone()));
            }
        }
        Ok(Rtimer)
    }
}

/// A run that takes longer than the interval is not overtaken by the next.
fn periodic(timer: &Timer, number: u32, routes: Arc<[RouteId]>) -> Periodic {
    let busy = Arc::new(AtomicBool::new(false));
    let run = move |worker: &Rc<Worker>| {
        if busy.swap(true, AcqRel) {
            return;
        }
        let (routes, busy, worker) = (routes.clone(), busy.clone(), worker.clone());
        let engine = worker.engine.clone();
        engine.spawn(Box::pin(async move {
            for route in routes.iter() {
                run_route(&worker, *route, number).await;
            }
            busy.store(false, Release);
        }));
    };
    Periodic {
        name: timer.name.clone(),
        every: timer.every,
        run: Arc::new(run),
    }
}

async fn run_route(worker: &Rc<Worker>, route: RouteId, number: u32) {
    match Cx::faked(worker.clone()) {
        Ok(mut cx) => {
            cx.extra::<WorkerNumber>().0 = number;
            worker.engine.run(&mut cx, route).await;
            cx.finish();
        }
        Err(fault) => error!("rtimer", "A timer route did not run: {fault}."),
    }
}

fn attributes(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| {
        part.split_once('=')
            .map_or((part, ""), |(name, value)| (name.trim(), value.trim()))
    })
}

fn timer(text: &str, default: i64) -> Result<Timer, BindError> {
    let mut out = Timer {
        name: Str::EMPTY,
        workers: 1,
        every: interval(&default.to_string())?,
    };
    for (name, value) in attributes(text) {
        match name {
            "name" => out.name = Str::from(value),
            "interval" => out.every = interval(value)?,
            "mode" => {
                let mode = parse_int(value.as_bytes())
                    .and_then(|n| u32::try_from(n).ok())
                    .filter(|n| *n <= 64);
                out.workers = mode
                    .ok_or_else(|| {
                        BindError::new(format!("mode={value} is out of range")).help("write 0 to 64")
                    })?
                    .max(1);
            }
            _ => {
                return Err(BindError::new(format!("'{name}' is no attribute of a timer"))
                    .help("write name=, interval= or mode="));
            }
        }
    }
    match out.name.is_empty() {
        true => Err(BindError::new("the timer has no name").help("write name=NAME")),
        false => Ok(out),
    }
}

fn interval(text: &str) -> Result<Duration, BindError> {
    let (digits, unit): (&str, fn(u64) -> Duration) = match text.strip_suffix('u') {
        Some(digits) => (digits, Duration::from_micros),
        None => (text, Duration::from_secs),
    };
    match digits.parse::<u64>() {
        Ok(n) if n > 0 => Ok(unit(n)),
        _ => Err(BindError::new(format!("'{text}' is no interval"))
            .help("write seconds, or microseconds with u behind them")),
    }
}

fn exec(text: &str) -> Result<Exec, BindError> {
    let mut out = Exec {
        timer: Str::EMPTY,
        route: Str::EMPTY,
    };
    for (name, value) in attributes(text) {
        match name {
            "timer" => out.timer = Str::from(value),
            "route" => out.route = Str::from(value),
            _ => {
                return Err(BindError::new(format!("'{name}' is no attribute of exec"))
                    .help("write timer=NAME;route=NAME"));
            }
        }
    }
    match out.timer.is_empty() || out.route.is_empty() {
        true => Err(BindError::new("exec needs a timer and a route").help("write timer=NAME;route=NAME")),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_read() {
        let read = timer("name=ta;interval=100000u;mode=2;", 120).expect("a timer");
        assert_eq!(
            read,
            Timer {
                name: Str::from("ta"),
                workers: 2,
                every: Duration::from_millis(100)
            }
        );
        assert_eq!(
            timer("name=ta", 7).expect("a timer").every,
            Duration::from_secs(7)
        );
        for broken in ["interval=1", "name=a;interval=0", "name=a;mode=x", "name=a;x=1"] {
            assert!(timer(broken, 120).is_err(), "{broken}");
        }
        assert_eq!(
            exec("timer=ta;route=R"),
            Ok(Exec {
                timer: Str::from("ta"),
                route: Str::from("R")
            })
        );
        assert!(exec("timer=ta").is_err());
    }
}
