//! A callback of Lua on one message.

use std::rc::Rc;

use kahea_kemi::{Answer, EXIT, one_line};
use kahea_module::{
    Cx, Fault, Outcome, Ret, Str,
    language::{Call, Step},
    state::DropRequested,
};
use mlua::{Function, MultiValue, Thread};

use crate::state::{Came, State};

/// What is to be run.
pub enum What {
    /// A global function by its name; one that need not be there is run where it is.
    Named {
        /// Its name.
        name: Str,
        /// It need not be there.
        optional: bool,
    },
    /// A function at hand.
    Function(Function),
}

/// A call under way. It keeps its interpreter, which a reload may have replaced meanwhile.
pub struct LuaCall {
    what: What,
    args: Vec<Str>,
    event: bool,
    /// A coroutine in the middle of the script.
    thread: Option<Thread>,
    /// The function that it waits in.
    entry: usize,
    state: Rc<State>,
}

const ENDED: Outcome = Outcome {
    code: 1,
    exit: false,
    drop: false,
};

impl LuaCall {
    /// At its start.
    pub fn new(state: Rc<State>, what: What, args: Vec<Str>) -> LuaCall {
        LuaCall {
            what,
            args,
            event: false,
            thread: None,
            entry: 0,
            state,
        }
    }

    /// The same with the name of the event in work as its argument.
    pub fn with_event(mut self) -> LuaCall {
        self.event = true;
        self
    }

    fn begin(&mut self, cx: &mut Cx) -> mlua::Result<Step> {
        let function = match &self.what {
            What::Function(function) => function.clone(),
            What::Named { name, optional } => match self.state.function(&name.text()) {
                Some(function) => function,
                None if *optional => return Ok(Step::Done(ENDED)),
                None => {
                    return Ok(Step::Stopped(Fault::script(format!(
                        "the Lua scripts have no function {name}()"
                    ))));
                }
            },
        };
        let mut args = MultiValue::with_capacity(self.args.len().saturating_add(1));
        args.push_back(mlua::Value::Function(function));
        if self.event {
            self.args.push(cx.route_name.clone());
        }
        for text in &self.args {
            args.push_back(self.state.text(text)?);
        }
        let thread = self.state.thread()?;
        let came = self.state.resume(cx, &thread, args);
        Ok(self.came(cx, thread, came))
    }

    fn came(&mut self, cx: &mut Cx, thread: Thread, came: Came) -> Step {
        match came {
            Came::Done(result) => {
                self.state.keep(thread);
                let drop = std::mem::take(&mut cx.extra::<DropRequested>().0);
                match result {
                    Ok(()) => Step::Done(Outcome { drop, ..ENDED }),
                    Err(text) if text == EXIT => Step::Done(Outcome {
                        code: 1,
                        exit: true,
                        drop,
                    }),
                    Err(text) => Step::Stopped(one_line(&text)),
                }
            }
            Came::Waits => match self.state.slot.waiting.take() {
                Some(waiting) => {
                    self.thread = Some(thread);
                    self.entry = waiting.entry;
                    Step::Wait(waiting.later)
                }
                None => Step::Stopped(Fault::script("the script yielded without waiting for anything")),
            },
            Came::Broken(text) => Step::Stopped(one_line(&text)),
        }
    }
}

impl Call for LuaCall {
    fn run(&mut self, cx: &mut Cx) -> Step {
        self.begin(cx)
            .unwrap_or_else(|error| Step::Stopped(Fault::limit(crate::state::message(&error))))
    }

    fn resume(&mut self, cx: &mut Cx, ret: Ret) -> Step {
        let state = self.state.clone();
        let (Some(thread), Some(entry)) = (self.thread.take(), state.slot.table.entries().get(self.entry))
        else {
            return Step::Stopped(Fault::script("the script does not wait"));
        };
        match entry.answer(cx, ret) {
            Answer::Later(later) => {
                self.thread = Some(thread);
                Step::Wait(later)
            }
            Answer::Now(value) => {
                state.slot.answer.replace(Some(value));
                let came = state.resume(cx, &thread, ());
                self.came(cx, thread, came)
            }
        }
    }

    fn position(&self) -> String {
        match &self.what {
            What::Named { name, .. } => format!("{name}() in Lua"),
            What::Function(_) => "Lua".to_owned(),
        }
    }
}
