//! A script under way, be it native or of an embedded language.

use kahea_module::{
    Cx, Ret, RouteId,
    language::{Call, Step},
};

use crate::machine::Machine;

/// What runs a message.
pub enum Running {
    /// The native script.
    Native(Machine),
    /// A function of an embedded language.
    Callback(Box<dyn Call>),
    /// A function of a language whose interpreter is not there (its scripts failed after they had been checked).
    Missing(RouteId),
}

impl Running {
    /// Runs until the end or a wait.
    pub fn run(&mut self, cx: &mut Cx) -> Step {
        match self {
            Running::Native(machine) => machine.run(cx),
            Running::Callback(call) => call.run(cx),
            Running::Missing(_) => Step::Stopped(kahea_module::Fault::script(
                "the scripts of the embedded language could not be loaded on this worker",
            )),
        }
    }

    /// Goes on with the answer of the function that had to wait.
    pub fn resume(&mut self, cx: &mut Cx, ret: Ret) -> Step {
        match self {
            Running::Native(machine) => machine.resume(cx, ret),
            Running::Callback(call) => call.resume(cx, ret),
            Running::Missing(_) => self.run(cx),
        }
    }

    /// Where the script is, for messages about a panic.
    pub fn position(&self) -> String {
        match self {
            Running::Native(machine) => machine.position(),
            Running::Callback(call) => call.position(),
            Running::Missing(route) => format!("{route:?}"),
        }
    }
}
