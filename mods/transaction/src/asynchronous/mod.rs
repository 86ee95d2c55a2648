//! Module `async`: requests that go on later, and tasks.
//!
//! Kamailio hands waiting requests to processes of their own. Here a request that waits costs no worker: a timer of the
//! worker that it came to takes it up again.

mod events;
mod tasks;
mod waits;

use std::sync::Arc;

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Named, Naming, Str, Value};

use crate::tm::core::Core;

/// The module.
pub struct Async {
    core: Arc<Core>,
    /// `ms_timer` is on.
    milliseconds: bool,
    /// What functions return that suspend the request; 0 ends the script.
    code: i64,
}

/// Its parameters.
pub struct Params {
    workers: i64,
    ms_timer: i64,
    code: i64,
    mode: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            workers: 1,
            ms_timer: 0,
            code: 0,
            mode: 0,
        }
    }
}

/// What `$async(name)` gives in a route that was run as a task.
#[derive(Clone, Default)]
struct Task {
    data: Option<Str>,
    group: Option<Str>,
}

impl Module for Async {
    const NAME: &'static str = "async";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "workers",
            |p| &mut p.workers,
            "Kamailio's processes for requests that wait; no meaning here, where they wait without one.",
        );
        d.param(
            "ms_timer",
            |p| &mut p.ms_timer,
            "Above 0 async_ms_route() and async_ms_sleep() work; timers here are exact to about a millisecond, whatever \
             the number.",
        );
        d.param(
            "return",
            |p| &mut p.code,
            "What functions return that suspend the request; 0 ends the script.",
        );
        d.param(
            "mode",
            |p| &mut p.mode,
            "How Kamailio's processes share requests that wait; no meaning here, where there is one process.",
        );
        waits::declare(d);
        tasks::declare(d);
        events::declare(d);
        d.var_named(
            "async",
            Naming::Required,
            Named {
                parse: |text, _| match text {
                    "data" => Ok(true),
                    "gname" => Ok(false),
                    _ => Err(kahea_module::BindError::new(format!("$async has no '{text}'"))
                        .help("write $async(data) or $async(gname)")),
                },
                get: |_, cx, data, _| of_task(cx, *data),
                set: None,
                raw: false,
            },
            "Of the task that runs the route: its data, its group of workers.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Async, InitError> {
        let core = env.service::<Core>().filter(|_| env.bind.has_module("tmx"));
        let core = core.ok_or_else(|| {
            InitError::new("async needs the tm and tmx modules").help("load tm.so and tmx.so before async.so")
        })?;
        Ok(Async {
            core,
            milliseconds: params.ms_timer > 0,
            code: params.code,
        })
    }
}

fn of_task(cx: &Cx, data: bool) -> Value {
    let task = cx.extra_ref::<Task>();
    let value = task.and_then(|task| {
        if data {
            task.data.clone()
        } else {
            task.group.clone()
        }
    });
    value.into()
}

/// The group of workers of that name. There is a `default` as soon as there are workers in any group.
///
/// # Errors
/// There is none.
fn group(cx: &Cx, name: &Str) -> Result<(), Fault> {
    let globals = &cx.config().globals;
    let groups = &globals.async_workers_group;
    let default = **name == *b"default" && (globals.async_workers > 0 || !groups.is_empty());
    if default || groups.iter().any(|group| group.name == *name) {
        return Ok(());
    }
    Err(Fault::script(format!(
        "there is no group of workers '{name}': set async_workers, or async_workers_group=\"name={name};workers=1\""
    )))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn a_group_has_to_be_there() {
        let bare = Server::default().invite();
        assert!(group(&bare, &Str::from_static("default")).is_err());
        let server = Server::new(|config| config.globals.async_workers = 2);
        let cx = server.invite();
        assert_eq!(group(&cx, &Str::from_static("default")), Ok(()));
        let fault = group(&cx, &Str::from_static("abc")).expect_err("no such group");
        assert!(fault.text.text().contains("async_workers_group"), "{fault}");
    }

    #[test]
    fn a_task_shows_its_data_and_group() {
        let mut cx = Server::default().invite();
        assert_eq!(of_task(&cx, true), Value::Null);
        *cx.extra::<Task>() = Task {
            data: Some(Str::from_static("d")),
            group: Some(Str::from_static("g")),
        };
        assert_eq!(
            (of_task(&cx, true), of_task(&cx, false)),
            (Value::from("d"), Value::from("g"))
        );
    }
}
