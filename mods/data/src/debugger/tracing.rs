//! Traces: a line for each action of a script.

use std::sync::Arc;

use kahea_module::{
    Cx, RouteKind, Str, Value, Var,
    log::{self, Level, Line},
    ret::Later,
    trace::{Action, Block, Tracer},
};

use super::{breakpoints, state::State};

/// How traces look.
pub(super) struct Shown {
    pub level: Level,
    pub level_name: Option<String>,
    pub facility: Option<i32>,
    pub prefix: Str,
    pub with_file: bool,
    pub assignments: bool,
}

impl Shown {
    fn write(&self, text: &str) {
        if !log::shows_of(self.level, "debugger") {
            return;
        }
        let line = Line {
            level: self.level,
            facility: self.facility,
            module: "",
            prefix: b"",
            place: None,
            text: text.as_bytes(),
            script: false,
            worker: log::worker(),
        };
        match &self.level_name {
            Some(name) => log::with_level_name(name, || log::emit(&line)),
            None => log::emit(&line),
        }
    }
}

/// The tracer of this module.
pub(super) struct Trace {
    state: Arc<State>,
    shown: Arc<Shown>,
}

impl Trace {
    pub fn new(state: Arc<State>, shown: Arc<Shown>) -> Trace {
        Trace { state, shown }
    }
}

impl Tracer for Trace {
    fn is_on(&self, cx: &Cx) -> bool {
        self.state.of(cx.worker.index) != (false, false)
    }

    fn action(&self, cx: &mut Cx, action: &Action<'_>) -> Option<Later> {
        let (trace, holds) = self.state.of(cx.worker.index);
        if trace {
            self.shown.write(&format!(
                "{}dbg_cfg_trace(): {}",
                self.shown.prefix,
                line(action, self.shown.with_file)
            ));
        }
        match holds {
            true => breakpoints::hold(&self.state, cx, &place(action)),
            false => None,
        }
    }

    fn assigned(&self, cx: &mut Cx, var: &Var) {
        if !self.shown.assignments || !log::shows_of(Level::Debug, "debugger") {
            return;
        }
        let text = match var.get(cx) {
            Value::Null => " $null".to_owned(),
            Value::Int(n) => n.to_string(),
            Value::Str(text) => format!("\"{text}\""),
        };
        let name = var.text();
        log::write(
            Level::Debug,
            "debugger",
            format_args!("_dbg_log_assign_action_pvar(): {name}:{text}"),
        );
    }
}

/// As in Kamailio: `request_route=[NAME] c=[FILE] l=LINE a=NUMBER n=ACTION`.
fn line(action: &Action<'_>, with_file: bool) -> String {
    let Block { kind, name, file, .. } = action.route;
    let name = block_name(*kind, name);
    let file = match with_file {
        true => format!("c=[{file}] "),
        false => String::new(),
    };
    format!(
        "{}=[{name}] {file}l={} a={} n={}",
        kind.keyword(),
        action.line,
        number(action),
        shown_name(action)
    )
}

/// Where a message is held, as `dbg.bp show` tells it.
fn place(action: &Action<'_>) -> String {
    let file = action.route.file;
    format!(
        "[{file}:{}] a={} n={}",
        action.line,
        number(action),
        shown_name(action)
    )
}

/// `request_route` is Kamailio's DEFAULT_ROUTE.
pub(crate) fn block_name(kind: RouteKind, name: &Str) -> Str {
    match (kind, name.is_empty()) {
        (RouteKind::Request, true) => Str::from_static("DEFAULT_ROUTE"),
        (RouteKind::CoreReply, true) => Str::from_static("DEFAULT_ONREPLY"),
        (RouteKind::OnSend, true) => Str::from_static("DEFAULT_ONSEND"),
        _ => name.clone(),
    }
}

/// Actions of the core with Kamailio's numbers and, where it has another, its name for them.
const ACTIONS: [(&str, &str, u32); 36] = [
    ("forward", "forward", 1),
    ("return", "return", 2),
    ("exit", "exit", 2),
    ("drop", "drop", 2),
    ("break", "exit", 2),
    ("log", "log", 3),
    ("error", "error", 4),
    ("route", "route", 5),
    ("exec", "exec", 6),
    ("rewritehost", "sethost", 7),
    ("sethost", "sethost", 7),
    ("rewritehostport", "sethostport", 8),
    ("sethostport", "sethostport", 8),
    ("rewriteuser", "setuser", 9),
    ("setuser", "setuser", 9),
    ("rewriteuserpass", "setuserpass", 10),
    ("setuserpass", "setuserpass", 10),
    ("rewriteport", "setport", 11),
    ("setport", "setport", 11),
    ("rewriteuri", "seturi", 12),
    ("seturi", "seturi", 12),
    ("rewritehostporttrans", "sethostporttrans", 13),
    ("sethostporttrans", "sethostporttrans", 13),
    ("if", "if", 16),
    ("case", "case", 22),
    ("while", "while", 23),
    ("setflag", "setflag", 39),
    ("resetflag", "resetflag", 40),
    ("isflagset", "isflagset", 41),
    ("prefix", "prefix", 44),
    ("strip", "strip", 45),
    ("strip_tail", "strip_tail", 46),
    ("force_rport", "force_rport", 55),
    ("add_rport", "force_rport", 55),
    ("assign", "assign", 63),
    ("revert_uri", "revert_uri", 43),
];

fn known(action: &Action<'_>) -> Option<&'static (&'static str, &'static str, u32)> {
    match action.arguments {
        None => ACTIONS.iter().find(|(name, ..)| *name == action.name),
        Some(_) => None,
    }
}

fn shown_name<'a>(action: &Action<'a>) -> &'a str {
    known(action).map_or(action.name, |(_, name, _)| name)
}

/// Functions of modules are numbered by their arguments. 0: an action of the core that this list does not have.
fn number(action: &Action<'_>) -> u32 {
    match (action.arguments, known(action)) {
        (Some(count), _) => 24_u32.saturating_add(u32::try_from(count.min(7)).unwrap_or(7)),
        (None, Some((.., number))) => *number,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::RouteId;

    use super::*;

    #[test]
    fn lines_are_those_of_kamailio() {
        let (name, file) = (Str::EMPTY, Str::from("/etc/kamailio.cfg"));
        let block = Block {
            id: RouteId(0),
            kind: RouteKind::Request,
            name: &name,
            file: &file,
        };
        let action = |name: &'static str, arguments| Action {
            name,
            arguments,
            route: &block,
            line: 7,
        };
        assert_eq!(
            line(&action("xlog", Some(1)), true),
            "request_route=[DEFAULT_ROUTE] c=[/etc/kamailio.cfg] l=7 a=25 n=xlog"
        );
        assert_eq!(
            line(&action("if", None), false),
            "request_route=[DEFAULT_ROUTE] l=7 a=16 n=if"
        );
        assert_eq!(
            line(&action("rewritehost", None), false),
            "request_route=[DEFAULT_ROUTE] l=7 a=7 n=sethost"
        );
        assert_eq!(place(&action("route", None)), "[/etc/kamailio.cfg:7] a=5 n=route");
    }
}
