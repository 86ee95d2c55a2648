//! Telling tracers what the interpreter does.

use std::sync::Arc;

use kahea_lang::program::{Op, Program, Route};
use kahea_module::{
    Cx, Var,
    ret::Later,
    route::ScriptStep,
    trace::{Action, Block, Left, Tracer},
};

use crate::machine::index;

/// The tracers that want to be told of the message in work; mostly none.
#[derive(Default)]
pub struct Tracing(Vec<Arc<dyn Tracer>>);

impl Tracing {
    /// Those of a message.
    pub fn of(cx: &Cx) -> Tracing {
        let all = &cx.config().hooks.tracers;
        match all.is_empty() {
            true => Tracing::default(),
            false => Tracing(all.iter().filter(|tracer| tracer.is_on(cx)).cloned().collect()),
        }
    }

    /// Nobody wants to be told.
    pub fn is_off(&self) -> bool {
        self.0.is_empty()
    }

    /// The step is about to run. What is given back is waited for first.
    #[cold]
    pub fn step(&self, program: &Program, step: ScriptStep, cx: &mut Cx) -> Option<Later> {
        let route = program.routes.get(index(step.route.0))?;
        let block = block(route, step);
        if step.at == 0 {
            for tracer in &self.0 {
                tracer.entered(cx, &block);
            }
        }
        let mut wait = None;
        let first = route.marks.partition_point(|mark| mark.at < step.at);
        let marks = route
            .marks
            .iter()
            .skip(first)
            .take_while(|mark| mark.at == step.at);
        for mark in marks {
            let action = Action {
                name: mark.name,
                arguments: None,
                route: &block,
                line: mark.line,
            };
            self.tell(cx, &action, &mut wait);
        }
        let line = route.lines.get(index(step.at)).copied().unwrap_or(0);
        if let Some((name, arguments)) = call(program, *route.code.get(index(step.at))?) {
            let action = Action {
                name,
                arguments,
                route: &block,
                line,
            };
            self.tell(cx, &action, &mut wait);
        }
        wait
    }

    fn tell(&self, cx: &mut Cx, action: &Action<'_>, wait: &mut Option<Later>) {
        for tracer in &self.0 {
            if let Some(later) = tracer.action(cx, action) {
                *wait = Some(match wait.take() {
                    None => later,
                    Some(before) => Box::new(move |cx: &mut Cx| {
                        Box::pin(async move {
                            before(cx).await;
                            later(cx).await
                        })
                    }),
                });
            }
        }
    }

    /// A variable was assigned.
    pub fn assigned(&self, cx: &mut Cx, var: &Var) {
        for tracer in &self.0 {
            tracer.assigned(cx, var);
        }
    }

    /// A route block was left.
    pub fn left(&self, program: &Program, step: ScriptStep, cx: &mut Cx, how: Left) {
        if self.is_off() {
            return;
        }
        if let Some(route) = program.routes.get(index(step.route.0)) {
            let block = block(route, step);
            for tracer in &self.0 {
                tracer.left(cx, &block, how);
            }
        }
    }
}

fn block(route: &Route, step: ScriptStep) -> Block<'_> {
    Block {
        id: step.route,
        kind: route.kind,
        name: &route.name,
        file: &route.file,
    }
}

fn call(program: &Program, op: Op) -> Option<(&'static str, Option<usize>)> {
    match op {
        Op::Call(id) => program
            .calls
            .get(index(id))
            .map(|call| (call.name, Some(call.arguments))),
        Op::Action(id) => program.calls.get(index(id)).map(|call| (call.name, None)),
        Op::Route(_) | Op::RouteNamed(_) => Some(("route", None)),
        _ => None,
    }
}
