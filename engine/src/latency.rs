//! Log lines about what took long: `latency_limit_action` for a step of the script, `latency_limit_cfg` for the script as
//! a whole. Times are in microseconds, waits included; the words are Kamailio's, for those who search logs for them.

use std::time::Instant;

use kahea_module::{
    Cx,
    log::{self, Level},
    route::ScriptPlace,
};

/// A function or route in work that is being timed.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    name: &'static str,
    began: Instant,
}

impl Timed {
    /// Begins to time an action, where `latency_limit_action` asks for it.
    pub fn start(cx: &Cx, name: &'static str) -> Option<Timed> {
        (cx.config().globals.latency_limit_action > 0).then(|| Timed {
            name,
            began: cx.worker.engine.now(),
        })
    }

    /// The action has ended; a line at level `latency_log` where it took longer than the limit.
    pub fn end(self, cx: &Cx, place: Option<ScriptPlace>) {
        let globals = &cx.config().globals;
        let level = Level::from_number(globals.latency_log);
        let took = micros(cx, self.began);
        if took <= globals.latency_limit_action || !log::shows(level) {
            return;
        }
        let (file, line) = place.map_or_else(Default::default, |place| (place.file, place.line));
        let name = self.name;
        log::write(
            level,
            "<core>",
            format_args!("alert - action [{name}] cfg [{file}:{line}] took too long [{took} us]"),
        );
    }
}

/// The script has ended for a message: a line at level `latency_cfg_log` where it took `latency_limit_cfg` or longer.
pub fn script(cx: &Cx, route: &str) {
    let globals = &cx.config().globals;
    let level = Level::from_number(globals.latency_cfg_log);
    if !log::shows(level) {
        return;
    }
    let took = micros(cx, cx.started);
    if took >= globals.latency_limit_cfg {
        log::write(level, "<core>", format_args!("{route} executed in: {took} usec"));
    }
}

fn micros(cx: &Cx, since: Instant) -> i64 {
    let took = cx.worker.engine.now().saturating_duration_since(since);
    i64::try_from(took.as_micros()).unwrap_or(i64::MAX)
}
