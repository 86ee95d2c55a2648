//! Module `timer`: runs routes at intervals of milliseconds, switched on and off by the script.
//!
//! Whether a timer is on is the run-time parameter `timer.NAME`, so that `cfg.set` changes it too.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release},
    },
    time::Duration,
};

use kahea_module::{
    BindError, Cx, Decl, Env, Fault, InitError, Module, RouteId, RouteKind, Str, TimerName, Value, Worker,
    config::Periodic, error,
};

/// The module.
pub struct Timer;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    timers: Vec<Declared>,
}

#[derive(Debug, PartialEq)]
struct Declared {
    name: Str,
    route: Str,
    every: Duration,
    enabled: bool,
}

impl Module for Timer {
    const NAME: &'static str = "timer";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "declare_timer",
            "string",
            |params, value, _| {
                params.timers.push(declared(&value.str_or_empty().text())?);
                Ok(())
            },
            "A timer, NAME=ROUTE,MILLISECONDS,slow or fast,enable; slow and fast mean the same here: no route holds \
             another up.",
        );
        d.func(
            "timer_enable",
            ["timer", "enable"],
            timer_enable,
            "Switches a timer on (1) or off (0).",
        )
        .kemi(2, "timer_enable");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Timer, InitError> {
        for timer in params.timers {
            let name = timer.route.text();
            let route = env.bind.route(RouteKind::Request, &name).ok_or_else(|| {
                InitError::new(format!("there is no route[{name}] for the timer {}", timer.name))
                    .help("add the route")
            })?;
            env.settings.declare(
                "timer",
                &timer.name.text(),
                Value::Int(timer.enabled.into()),
                "The timer runs its route.",
                false,
            );
            env.hooks.periodic.push(periodic(timer, route));
        }
        Ok(Timer)
    }
}

/// A run that takes longer than the interval is not overtaken by the next.
fn periodic(timer: Declared, route: RouteId) -> Periodic {
    let busy = Arc::new(AtomicBool::new(false));
    let name = timer.name.clone();
    let run = move |worker: &Rc<Worker>| {
        let on = worker.config.settings.get(b"timer", &timer.name) == Some(Value::Int(1));
        if !on || busy.swap(true, AcqRel) {
            return;
        }
        let (busy, worker, name) = (busy.clone(), worker.clone(), timer.name.clone());
        let engine = worker.engine.clone();
        engine.spawn(Box::pin(async move {
            match Cx::faked(worker.clone()) {
                Ok(mut cx) => {
                    cx.extra::<TimerName>().0 = name;
                    worker.engine.run(&mut cx, route).await;
                    cx.finish();
                }
                Err(fault) => error!("timer", "A timer route did not run: {fault}."),
            }
            busy.store(false, Release);
        }));
    };
    Periodic {
        name,
        every: timer.every,
        run: Arc::new(run),
    }
}

fn timer_enable(_: &Timer, cx: &mut Cx, timer: Str, enable: i64) -> Result<bool, Fault> {
    let on = Value::Int((enable != 0).into());
    match cx.config().settings.set(b"timer", &timer, on) {
        true => Ok(true),
        false => Err(Fault::script(format!(
            "there is no timer '{timer}': declare it with the parameter declare_timer"
        ))),
    }
}

fn declared(text: &str) -> Result<Declared, BindError> {
    let form = || {
        BindError::new(format!("'{text}' declares no timer"))
            .help("write NAME=ROUTE,MILLISECONDS or NAME=ROUTE,MILLISECONDS,slow,enable")
    };
    let (name, rest) = text.split_once('=').ok_or_else(form)?;
    let parts: Vec<&str> = rest.split(',').map(str::trim).collect();
    let (name, route) = (name.trim(), parts.first().copied().unwrap_or_default());
    let word = |at: usize| parts.get(at).copied().unwrap_or_default();
    let every = word(1).parse().ok().filter(|n| *n > 0).map(Duration::from_millis);
    let enabled = match word(3) {
        "" => false,
        "enable" => true,
        _ => return Err(form()),
    };
    if name.is_empty() || route.is_empty() || !matches!(word(2), "" | "slow" | "fast") || parts.len() > 4 {
        return Err(form());
    }
    Ok(Declared {
        name: Str::from(name),
        route: Str::from(route),
        every: every.ok_or_else(form)?,
        enabled,
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn declarations_are_read_and_nonsense_refused() {
        let timer = declared("tmr1 = ONTIMER, 2000, slow, enable").unwrap();
        assert_eq!(
            timer,
            Declared {
                name: "tmr1".into(),
                route: "ONTIMER".into(),
                every: Duration::from_secs(2),
                enabled: true
            }
        );
        assert!(!declared("a=B,10").unwrap().enabled && declared("a=B,10,,enable").unwrap().enabled);
        for text in [
            "",
            "a",
            "a=B",
            "a=B,0",
            "a=B,x",
            "=B,10",
            "a=,10",
            "a=B,10,medium",
            "a=B,10,slow,on",
            "a=B,1,,,",
        ] {
            assert!(declared(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_timer_that_is_on_runs() {
        let server = Server::default();
        let settings = &server.worker.config.settings;
        settings.declare("timer", "one", Value::Int(0), "", false);
        let one = periodic(declared("one=ONE,10").unwrap(), RouteId(3));
        (one.run)(&server.worker);
        assert!(server.engine.ran.borrow().is_empty());
        let mut cx = server.invite();
        assert_eq!(timer_enable(&Timer, &mut cx, "one".into(), 1), Ok(true));
        assert_eq!(settings.get(b"timer", b"one"), Some(Value::Int(1)));
        assert!(timer_enable(&Timer, &mut cx, "two".into(), 1).is_err());
    }
}
