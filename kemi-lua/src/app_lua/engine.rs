//! Lua as the language of `cfgengine`, and the interpreter of each worker.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering::Acquire},
};

use kahea_module::{
    Cx, InitError, Ret, RouteKind, Worker, error,
    language::{Call, Callback, Interpreter, Language, Step},
};

use super::Scripts;
use crate::{
    call::{LuaCall, What},
    state::State,
};

/// The language.
pub struct Lua(pub Arc<Scripts>);

impl Language for Lua {
    fn names(&self) -> &'static [&'static str] {
        &["lua"]
    }

    fn interpreter(&self, worker: &Rc<Worker>) -> Result<Rc<dyn Interpreter>, InitError> {
        let local = self.0.local(worker)?;
        Ok(Rc::new(OnWorker {
            local,
            worker: Rc::downgrade(worker),
        }))
    }

    fn check(&self, worker: &Rc<Worker>) -> Result<(), InitError> {
        self.0.load(worker, &self.0.current()).map(drop)
    }
}

/// The interpreter of one worker; replaced as a whole when the scripts are loaded again.
pub struct Local {
    scripts: Arc<Scripts>,
    state: RefCell<(u64, Rc<State>)>,
}

impl Local {
    /// Loads the scripts.
    pub fn new(scripts: Arc<Scripts>, worker: &Rc<Worker>) -> Result<Local, InitError> {
        let sources = scripts.current();
        let state = Rc::new(scripts.load(worker, &sources)?);
        Ok(Local {
            scripts,
            state: RefCell::new((sources.version, state)),
        })
    }

    /// The interpreter with the newest scripts.
    pub fn state(&self, worker: &Rc<Worker>) -> Rc<State> {
        let known = self.state.borrow().clone();
        if self.scripts.version.load(Acquire) == known.0 {
            return known.1;
        }
        let sources = self.scripts.current();
        let state = match self.scripts.load(worker, &sources) {
            Ok(state) => Rc::new(state),
            Err(problem) => {
                let number = worker.index;
                error!("app_lua", "Worker {number} keeps the old scripts: {problem}.");
                known.1
            }
        };
        self.state.replace((sources.version, state.clone()));
        state
    }
}

/// What the engine holds of it: weakly as to the worker, which holds the interpreter.
struct OnWorker {
    local: Rc<Local>,
    worker: Weak<Worker>,
}

impl Interpreter for OnWorker {
    fn call(&self, callback: &Arc<Callback>) -> Box<dyn Call> {
        let what = What::Named {
            name: callback.name.clone(),
            optional: callback.optional,
        };
        let Some(worker) = self.worker.upgrade() else {
            return Box::new(Gone);
        };
        let call = LuaCall::new(self.local.state(&worker), what, Vec::new());
        match callback.kind {
            RouteKind::Event => Box::new(call.with_event()),
            _ => Box::new(call),
        }
    }
}

/// A call on a worker that has ended.
struct Gone;

impl Call for Gone {
    fn run(&mut self, _: &mut Cx) -> Step {
        Step::Stopped(kahea_module::Fault::script("the worker has ended"))
    }

    fn resume(&mut self, cx: &mut Cx, _: Ret) -> Step {
        self.run(cx)
    }

    fn position(&self) -> String {
        "Lua".to_owned()
    }
}
