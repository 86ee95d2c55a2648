//! Tasks: `async_task_route()` with the request, `async_task_data()` without one.

use std::time::Duration;

use kahea_module::{
    Cx, Decl, Fault, Lit, Ret, RouteId, RouteKind, Str, error,
    ret::Given,
    route::{EVENT, FAILURE, REQUEST},
    rpc::RpcValue,
};

use super::{Async, Task, group};
use crate::{tm::suspend::Entry, tmx::block::Block};

/// The group of `async_workers`.
pub const DEFAULT: Str = Str::from_static("default");

/// Declares them.
pub fn declare(d: &mut Decl<Async>) {
    let here = REQUEST | FAILURE | EVENT;
    d.func(
        "async_task_route",
        ["route"],
        |m: &Async, cx: &mut Cx, route: Lit<Block>| task_route(m, cx, &route, DEFAULT),
        "Ends the script, and runs route[route] on the request as a task of the group default.",
    )
    .routes(here)
    .kemi_as(1, "async", "task_route");
    d.func(
        "async_task_group_route",
        ["route", "group"],
        |m: &Async, cx: &mut Cx, route: Lit<Block>, name: Str| task_route(m, cx, &route, name),
        "Ends the script, and runs route[route] on the request as a task of a group.",
    )
    .routes(here)
    .kemi_as(2, "async", "task_group_route");
    d.func(
        "async_task_data",
        ["route", "data"],
        |_: &Async, cx: &mut Cx, route: Lit<Block>, data: Str| task_data(cx, &route, DEFAULT, data),
        "Runs route[route] as a task of the group default, with the data in $async(data) and without this message.",
    )
    .kemi_as(2, "async", "task_data");
    d.func(
        "async_task_group_data",
        ["route", "group", "data"],
        |_: &Async, cx: &mut Cx, route: Lit<Block>, name: Str, data: Str| task_data(cx, &route, name, data),
        "Runs route[route] as a task of a group, with the data in $async(data) and without this message.",
    )
    .kemi_as(3, "async", "task_group_data");
    d.kemi_func(
        "async",
        "get_gname",
        [],
        |_: &Async, cx: &mut Cx| give(cx, |task| task.group.clone()),
        "The group of the task that runs the route.",
    );
    d.kemi_func(
        "async",
        "get_data",
        [],
        |_: &Async, cx: &mut Cx| give(cx, |task| task.data.clone()),
        "The data of the task that runs the route.",
    );
}

fn give(cx: &mut Cx, part: fn(&Task) -> Option<Str>) -> bool {
    let value = cx.extra_ref::<Task>().and_then(part);
    let given = value.is_some();
    Given::set(cx, value.map_or(RpcValue::Null, RpcValue::Str));
    given
}

fn task_route(m: &Async, cx: &mut Cx, route: &Block, name: Str) -> Result<Ret, Fault> {
    let route = route.here(cx)?;
    group(cx, &name)?;
    let task = Task {
        data: None,
        group: Some(name),
    };
    let prepare = move |cx: &mut Cx| *cx.extra::<Task>() = task;
    m.later(cx, Duration::ZERO, Entry::Route(route), Some(Box::new(prepare)))
}

fn task_data(cx: &mut Cx, route: &Block, name: Str, data: Str) -> Result<bool, Fault> {
    let route = route.here(cx)?;
    group(cx, &name)?;
    let task = Task {
        data: Some(data),
        group: Some(name),
    };
    alone(cx, route, move |cx| *cx.extra::<Task>() = task);
    Ok(true)
}

/// Runs a route as a task on a message that nobody sent.
pub fn alone(cx: &Cx, route: RouteId, prepare: impl FnOnce(&mut Cx) + 'static) {
    let worker = cx.worker.clone();
    cx.worker.engine.spawn(Box::pin(async move {
        let engine = worker.engine.clone();
        match Cx::faked(worker) {
            Ok(mut cx) => {
                cx.route = RouteKind::Request;
                prepare(&mut cx);
                engine.run_then(cx, route, Box::new(|cx, _| cx.finish()));
            }
            Err(fault) => error!("async", "{fault}"),
        }
    }));
}
