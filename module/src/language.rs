//! Embedded languages: what the engine asks of them. It names none of them; a module brings its language along in
//! [`Hooks::languages`](crate::config::Hooks::languages), and `cfgengine "name"` chooses the one that routes messages.

use std::{rc::Rc, sync::Arc};

use crate::{Cx, Fault, InitError, Outcome, Ret, RouteKind, Str, Worker, ret::Later};

/// A function of a script that stands in place of a route block. Interned for each configuration: a
/// [`RouteId`](crate::RouteId) names it, so that whatever can run a route can run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Its number among the callbacks of the configuration, from 0: an index for what an interpreter keeps of it.
    pub id: u32,
    /// The function's name as the language knows it: `ksr_request_route`.
    pub name: Str,
    /// The kind of route that it stands for.
    pub kind: RouteKind,
    /// A script may do without it (`ksr_reply_route`): then nothing runs, and that is no error.
    pub optional: bool,
}

/// How far a script came.
pub enum Step {
    /// To its end.
    Done(Outcome),
    /// To a function that waits; the script goes on with [`Call::resume`].
    Wait(Later),
    /// It may not go on: it failed as a whole, or its budget is used up.
    Stopped(Fault),
}

/// A callback under way on one message. Dropped before its end where the message is given up.
pub trait Call {
    /// Begins it. Runs until its end or to the first function that waits.
    fn run(&mut self, cx: &mut Cx) -> Step;

    /// Goes on with the answer of the function that had to wait.
    fn resume(&mut self, cx: &mut Cx, ret: Ret) -> Step;

    /// Where it stands, for messages about defects: `file:line`, or the callback's name.
    fn position(&self) -> String;
}

/// The interpreter of a language on one worker, with its scripts loaded. It never leaves its thread.
pub trait Interpreter {
    /// A callback at its start: nothing runs before [`Call::run`]. The call keeps what it needs of the interpreter, so
    /// that a reload of the scripts lets it end on the old ones.
    fn call(&self, callback: &Arc<Callback>) -> Box<dyn Call>;
}

/// An embedded language of one configuration.
pub trait Language: Send + Sync {
    /// Its names in `cfgengine "…"`.
    fn names(&self) -> &'static [&'static str];

    /// A callback that waits keeps its thread: its messages belong to script workers, not to the workers that read
    /// sockets.
    fn holds_its_thread(&self) -> bool {
        false
    }

    /// An interpreter with the scripts loaded: their top level has run.
    ///
    /// # Errors
    /// A script is missing, cannot be read by the language, or fails at its top level.
    fn interpreter(&self, worker: &Rc<Worker>) -> Result<Rc<dyn Interpreter>, InitError>;

    /// Loads the scripts on trial before a configuration is taken: at an error the one in force stays. The worker has
    /// the new configuration and a network that sends nothing.
    ///
    /// # Errors
    /// As [`Language::interpreter`].
    fn check(&self, worker: &Rc<Worker>) -> Result<(), InitError> {
        self.interpreter(worker).map(drop)
    }
}
