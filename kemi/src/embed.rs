//! What language modules have in common: their functions in the native script, and how errors look.

use kahea_module::{
    Cx, Fault, Ret,
    language::{Call, Step},
};

/// The text of the error by which `KSR.x.exit()` and `KSR.x.drop()` leave a script, as in Kamailio.
pub const EXIT: &str = "~~ksr~exit~~";

/// Runs a call as a function of the native script does (`lua_run()`): true where it ends, be it by `KSR.x.exit()`, after
/// which the native script goes on as in Kamailio, and a fault where it fails.
pub fn as_function(cx: &mut Cx, mut call: Box<dyn Call>) -> Ret {
    match call.run(cx) {
        Step::Done(_) => Ret::TRUE,
        Step::Stopped(fault) => Ret::Fault(fault),
        step @ Step::Wait(_) => Ret::wait(move |cx| Box::pin(finish(cx, call, step))),
    }
}

async fn finish(cx: &mut Cx, mut call: Box<dyn Call>, first: Step) -> Ret {
    let mut step = first;
    loop {
        let mut later = match step {
            Step::Done(_) => return Ret::TRUE,
            Step::Stopped(fault) => return Ret::Fault(fault),
            Step::Wait(later) => later,
        };
        step = loop {
            match later(cx).await {
                Ret::Wait(next) => later = next,
                ret => break call.resume(cx, ret),
            }
        };
    }
}

/// An error of a script with its traceback in one line, as a fault.
pub fn one_line(text: &str) -> Fault {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let joined: Vec<&str> = lines.collect();
    Fault::script(joined.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracebacks_become_one_line() {
        let text = "a.lua:3: bad\nstack traceback:\n\ta.lua:3: in function 'f'\n";
        let fault = one_line(text);
        assert_eq!(
            fault.text,
            "a.lua:3: bad; stack traceback:; a.lua:3: in function 'f'"
        );
    }
}
