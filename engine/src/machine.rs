//! The interpreter: runs the steps of route blocks, with a frame stack of its own, so that it can stop at any function
//! that has to wait and go on later.

use std::{ops::Range, sync::Arc};

use kahea_lang::program::{
    Call, CaseTest, Op, Program,
    eval::{binary, is_true, to_int, unary},
};
pub use kahea_module::language::Step;
use kahea_module::{
    Blame, Cx, Fault, Outcome, Ret, RouteId, RouteKind, Value, log,
    route::{ScriptPlace, ScriptStep},
    trace::Left,
};

use crate::{latency::Timed, logging::prefix, tracing::Tracing};

/// A script under way.
pub struct Machine {
    program: Arc<Program>,
    frames: Vec<Frame>,
    stack: Vec<Value>,
    /// The code of the last step: what a route without `return` returns.
    acc: i64,
    /// The function in work, where it is timed.
    timed: Option<Timed>,
    /// The steps of the outermost route that may run; the script ends where it leaves them.
    fence: Option<Range<u32>>,
    tracing: Tracing,
    /// A tracer holds the step that comes next.
    held: bool,
}

struct Frame {
    /// The step to come.
    next: ScriptStep,
    /// Each loop that is under way.
    rounds: Vec<Rounds>,
    stack: usize,
    /// The call that led here, where it is timed.
    timed: Option<Timed>,
}

/// A loop under way.
struct Rounds {
    begun: i64,
    /// The code of the last whole round.
    code: i64,
}

impl Machine {
    /// A machine at the start of a route.
    pub fn new(program: Arc<Program>, route: RouteId) -> Machine {
        let mut machine = Machine {
            program,
            frames: Vec::with_capacity(4),
            stack: Vec::new(),
            acc: 1,
            timed: None,
            fence: None,
            tracing: Tracing::default(),
            held: false,
        };
        machine.enter(route, None);
        machine
    }

    /// A machine behind a step, which runs to the end of the block that the step stands in.
    pub fn behind(program: Arc<Program>, step: ScriptStep) -> Machine {
        let fence = program
            .routes
            .get(index(step.route.0))
            .map(|route| route.block_of(step.at));
        let mut machine = Machine::new(program, step.route);
        machine.fence = fence;
        machine.jump(step.at.saturating_add(1));
        machine
    }

    fn enter(&mut self, route: RouteId, timed: Option<Timed>) {
        self.acc = 1;
        self.frames.push(Frame {
            next: ScriptStep::start(route),
            rounds: Vec::new(),
            stack: self.stack.len(),
            timed,
        });
    }

    /// Goes on with the answer of the function that had to wait.
    pub fn resume(&mut self, cx: &mut Cx, ret: Ret) -> Step {
        if self.held {
            return self.run(cx);
        }
        match self.answer(cx, ret, true) {
            Some(step) => step,
            None => self.run(cx),
        }
    }

    /// Runs until the end or a wait.
    pub fn run(&mut self, cx: &mut Cx) -> Step {
        let program = self.program.clone();
        self.tracing = Tracing::of(cx);
        loop {
            match cx.budget.steps.checked_sub(1) {
                Some(left) => cx.budget.steps = left,
                None => return Step::Stopped(self.fault_here(Fault::limit(OUT_OF_STEPS))),
            }
            if self.is_outside() {
                return self.done(cx, true, false);
            }
            let Some(frame) = self.frames.last_mut() else {
                return self.done(cx, false, false);
            };
            let route = program.routes.get(index(frame.next.route.0));
            let Some(op) = route
                .and_then(|route| route.code.get(index(frame.next.at)))
                .copied()
            else {
                return Step::Stopped(Fault::new(Blame::Ours, "a route block without an end"));
            };
            cx.step = frame.next;
            let (step, held) = (frame.next, std::mem::take(&mut self.held));
            if !self.tracing.is_off()
                && !held
                && let Some(later) = self.tracing.step(&program, step, cx)
            {
                self.held = true;
                return Step::Wait(later);
            }
            self.advance();
            if cx.config().globals.log_prefix_mode == 1 {
                prefix::resume(cx);
            }
            if let Some(step) = self.step(&program, op, cx) {
                return step;
            }
        }
    }

    fn advance(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.next.at = frame.next.at.saturating_add(1);
        }
    }

    /// The outermost route has left its fence.
    fn is_outside(&self) -> bool {
        let (Some(fence), [outermost]) = (&self.fence, self.frames.as_slice()) else {
            return false;
        };
        !fence.contains(&outermost.next.at)
    }

    fn step(&mut self, program: &Program, op: Op, cx: &mut Cx) -> Option<Step> {
        match op {
            Op::Call(id) => {
                let ret = self.call(program.calls.get(index(id))?, cx);
                return self.answer(cx, ret, true);
            }
            Op::Action(id) => {
                let ret = self.call(program.calls.get(index(id))?, cx);
                return self.answer(cx, ret, false);
            }
            Op::Route(id) => return self.call_route(cx, id),
            Op::RouteNamed(id) => return self.call_named(program, cx, id),
            Op::Test(id) => match program.exprs.get(index(id))?.truth(cx) {
                Ok(truth) => self.acc = truth.into(),
                Err(fault) => self.failed(&fault),
            },
            Op::Truth => self.acc = i64::from(self.acc > 0),
            Op::Not => self.acc = i64::from(self.acc <= 0),
            Op::Push(id) => self.push_expr(program, id, cx),
            Op::PushAcc => self.stack.push(Value::Int(self.acc)),
            Op::PopTest => {
                let value = self.pop();
                self.acc = is_true(&value).into();
            }
            Op::Binary(op) => {
                let (right, left) = (self.pop(), self.pop());
                match binary(op, &left, &right, cx) {
                    Ok(value) => self.stack.push(value),
                    Err(fault) => {
                        self.failed(&fault);
                        self.stack.push(Value::Null);
                    }
                }
            }
            Op::Unary(op) => {
                let value = self.pop();
                self.stack.push(unary(op, &value));
            }
            Op::Assign(target, id) => match program.exprs.get(index(id))?.value(cx) {
                Ok(value) => self.assign(program, target, value, cx),
                Err(fault) => self.failed(&fault),
            },
            Op::AssignPop(target) => {
                let value = self.pop();
                self.assign(program, target, value, cx);
            }
            Op::Jump(to) => self.jump(to),
            Op::JumpFalse(to) if self.acc <= 0 => self.jump(to),
            Op::JumpUnless(to) if self.acc <= 0 => {
                self.acc = 1;
                self.jump(to);
            }
            Op::JumpTrue(to) if self.acc > 0 => self.jump(to),
            Op::JumpFalse(_) | Op::JumpUnless(_) | Op::JumpTrue(_) => {}
            Op::Switch(id) => self.switch(program, id)?,
            Op::LoopEnter => self.with_rounds(|rounds| rounds.push(Rounds { begun: 0, code: 1 })),
            Op::LoopNext(to) => {
                let code = self.acc;
                self.with_rounds(|rounds| {
                    if let Some(round) = rounds.last_mut() {
                        round.code = code;
                    }
                });
                self.jump(to);
            }
            Op::LoopLeave => {
                let left = self.frames.last_mut().and_then(|frame| frame.rounds.pop());
                self.acc = left.map_or(1, |round| round.code);
            }
            Op::LoopCount(to) => self.count_round(to, cx),
            Op::Return(id) => {
                let code = self.code(program, id, cx);
                return self.leave(cx, code, true);
            }
            Op::ReturnPop => {
                let code = to_int(&self.pop());
                return self.leave(cx, code, true);
            }
            Op::Exit(id) => {
                self.acc = self.code(program, id, cx);
                return Some(self.done(cx, true, false));
            }
            Op::Drop(id) => {
                self.acc = self.code(program, id, cx);
                return Some(self.done(cx, true, true));
            }
            Op::Break => return self.leave(cx, 0, false),
            Op::End => return self.leave(cx, self.acc, false),
        }
        None
    }

    fn call(&mut self, call: &Call, cx: &mut Cx) -> Ret {
        self.timed = Timed::start(cx, call.name);
        (call.run)(cx)
    }

    /// Takes a function's answer; `None`: go on.
    fn answer(&mut self, cx: &mut Cx, ret: Ret, sets_rc: bool) -> Option<Step> {
        if !matches!(ret, Ret::Wait(_))
            && let Some(timed) = self.timed.take()
        {
            timed.end(cx, self.place());
        }
        let code = match ret {
            Ret::Code(code) => code,
            Ret::Route(id) => return self.call_route(cx, id),
            Ret::Wait(later) => return Some(Step::Wait(later)),
            Ret::Fault(fault) => {
                self.report(&fault);
                fault.code
            }
        };
        self.acc = code;
        if sets_rc {
            cx.rc = code;
        }
        (code == 0 && sets_rc).then(|| self.done(cx, true, false))
    }

    fn call_route(&mut self, cx: &mut Cx, route: RouteId) -> Option<Step> {
        let deepest = usize::try_from(cx.config().globals.max_recursive_level).unwrap_or(usize::MAX);
        if self.frames.len() > deepest {
            let text = format!("routes call each other more than {deepest} deep (max_recursive_level)");
            return Some(Step::Stopped(self.fault_here(Fault::limit(text))));
        }
        self.enter(route, Timed::start(cx, "route"));
        None
    }

    fn call_named(&mut self, program: &Program, cx: &mut Cx, id: u32) -> Option<Step> {
        let name = match program.exprs.get(index(id))?.value(cx) {
            Ok(name) => name.str_or_empty(),
            Err(fault) => {
                self.failed(&fault);
                return None;
            }
        };
        // The empty name is that of `request_route`, which nothing calls.
        let route = program.names.get(RouteKind::Request, &name);
        match route.filter(|_| !name.is_empty()) {
            Some(route) => self.call_route(cx, route),
            None => {
                self.failed(&Fault::script(format!("there is no route[{name}]")));
                None
            }
        }
    }

    /// Leaves the route in work.
    fn leave(&mut self, cx: &mut Cx, code: i64, stated: bool) -> Option<Step> {
        // `return 0` ends the script, unless return_mode says that only `exit` does.
        let ends = code == 0 && stated && cx.config().globals.return_mode == 0;
        self.acc = code;
        self.tell_left(cx, Left::Return);
        self.pop_frame(cx);
        cx.rc = code;
        (ends || self.frames.is_empty()).then(|| self.done(cx, ends, false))
    }

    fn tell_left(&self, cx: &mut Cx, how: Left) {
        if let Some(frame) = self.frames.last() {
            self.tracing.left(&self.program, frame.next, cx, how);
        }
    }

    fn pop_frame(&mut self, cx: &Cx) {
        let Some(frame) = self.frames.pop() else { return };
        self.stack.truncate(frame.stack);
        if let Some(timed) = frame.timed {
            timed.end(cx, self.place());
        }
    }

    fn done(&mut self, cx: &mut Cx, exit: bool, drop: bool) -> Step {
        self.tell_left(cx, if drop { Left::Drop } else { Left::Exit });
        while !self.frames.is_empty() {
            self.pop_frame(cx);
        }
        Step::Done(Outcome {
            code: self.acc,
            exit,
            drop,
        })
    }

    fn push_expr(&mut self, program: &Program, id: u32, cx: &mut Cx) {
        let value = program
            .exprs
            .get(index(id))
            .map_or(Ok(Value::Null), |expr| expr.value(cx));
        match value {
            Ok(value) => self.stack.push(value),
            Err(fault) => {
                self.failed(&fault);
                self.stack.push(Value::Null);
            }
        }
    }

    fn assign(&mut self, program: &Program, target: u32, value: Value, cx: &mut Cx) {
        let Some(var) = program.targets.get(index(target)) else {
            return;
        };
        match var.set(cx, value) {
            Ok(()) => {
                self.acc = 1;
                self.tracing.assigned(cx, var);
            }
            Err(fault) => self.failed(&fault),
        }
    }

    fn code(&mut self, program: &Program, id: u32, cx: &mut Cx) -> i64 {
        match program.exprs.get(index(id)).map(|expr| expr.value(cx)) {
            Some(Ok(value)) => to_int(&value),
            Some(Err(fault)) => {
                self.failed(&fault);
                -1
            }
            None => 1,
        }
    }

    fn switch(&mut self, program: &Program, id: u32) -> Option<()> {
        let value = self.pop();
        let table = program.switches.get(index(id))?;
        let text = value.str_or_empty();
        let hit = table.cases.iter().find(|(test, _)| match test {
            CaseTest::Int(n) => to_int(&value) == *n && value.int().is_some(),
            CaseTest::Str(wanted) => text == *wanted,
            CaseTest::Regex(regex) => !value.is_null() && regex.is_match(&text),
        });
        self.jump(hit.map_or(table.otherwise, |(_, at)| *at));
        self.acc = 1;
        Some(())
    }

    fn count_round(&mut self, out: u32, cx: &mut Cx) {
        let most = cx.config().globals.max_while_loops;
        let mut over = false;
        self.with_rounds(|rounds| {
            if let Some(round) = rounds.last_mut() {
                round.begun = round.begun.saturating_add(1);
                over = most > 0 && round.begun > most;
            }
        });
        if over {
            self.failed(&Fault::limit(format!(
                "a while loop ends after {most} rounds (max_while_loops)"
            )));
            self.jump(out);
        }
    }

    fn with_rounds(&mut self, change: impl FnOnce(&mut Vec<Rounds>)) {
        if let Some(frame) = self.frames.last_mut() {
            change(&mut frame.rounds);
        }
    }

    fn jump(&mut self, to: u32) {
        if let Some(frame) = self.frames.last_mut() {
            frame.next.at = to;
        }
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or_default()
    }

    fn failed(&mut self, fault: &Fault) {
        self.report(fault);
        self.acc = fault.code;
    }

    /// Where the step in work stands.
    fn place(&self) -> Option<ScriptPlace> {
        let next = self.frames.last()?.next;
        let at = next.at.checked_sub(1)?;
        place(&self.program, ScriptStep { at, ..next })
    }

    fn fault_here(&self, fault: Fault) -> Fault {
        match self.place() {
            Some(ScriptPlace { file, line, .. }) => Fault {
                text: format!("{file}:{line}: {}", fault.text).into(),
                ..fault
            },
            None => fault,
        }
    }

    /// Where the script is, for messages about a panic.
    pub fn position(&self) -> String {
        match self.place() {
            Some(ScriptPlace { file, line, .. }) => format!("{file}:{line}"),
            None => "outside of a route".to_owned(),
        }
    }

    fn report(&self, fault: &Fault) {
        let level = fault.blame.level();
        if log::shows(level) {
            let place = self.place();
            log::write_at(
                level,
                "<core>",
                place.as_ref().map(|place| (&*place.file, place.line)),
                format_args!("{}", self.fault_here(fault.clone()).text),
            );
        }
    }
}

/// Where a step of a program stands in the configuration.
pub fn place(program: &Program, step: ScriptStep) -> Option<ScriptPlace> {
    let route = program.routes.get(index(step.route.0))?;
    let line = route.lines.get(index(step.at)).copied()?;
    Some(ScriptPlace {
        file: route.file.clone(),
        line,
        route: route.name.clone(),
    })
}

const OUT_OF_STEPS: &str = "the message has used up its budget of steps: a loop that does not end?";

pub(crate) fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
