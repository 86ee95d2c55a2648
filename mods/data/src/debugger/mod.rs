//! Module `debugger`: traces of the script, breakpoints, dumps, and log levels of modules.

mod breakpoints;
mod levels;
mod message;
mod rpc;
mod state;
mod tracing;

use std::sync::Arc;

use kahea_module::{
    Arg, ArgKind, ArgSource, Bind, BindError, Cx, Decl, Env, Fault, InitError, Module, REPLY, REQUEST, Str,
    Value,
    log::{self, Level},
};

pub(crate) use self::tracing::block_name;
use self::{state::State, tracing::Shown};
use crate::dump;

/// The module.
pub struct Debugger {
    state: Arc<State>,
    shown: Arc<Shown>,
    reset_msgid: bool,
}

/// Its parameters.
pub struct Params {
    cfgtrace: bool,
    cfgtrace_format: i64,
    breakpoint: bool,
    log_level: i64,
    log_level_name: Option<Str>,
    log_facility: Option<Str>,
    log_prefix: Str,
    log_assign: bool,
    step_usleep: i64,
    step_loops: i64,
    mod_hash_size: i64,
    mod_level_mode: bool,
    mod_level: Vec<(String, i64)>,
    mod_facility_mode: bool,
    mod_facility: Vec<(String, i32)>,
    cfgpkgcheck: i64,
    reset_msgid: bool,
    cfgtest: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            cfgtrace: false,
            cfgtrace_format: 0,
            breakpoint: false,
            log_level: -1,
            log_level_name: None,
            log_facility: None,
            log_prefix: Str::from_static("*** cfgtrace:"),
            log_assign: false,
            step_usleep: 100_000,
            step_loops: 200,
            mod_hash_size: 0,
            mod_level_mode: false,
            mod_level: Vec::new(),
            mod_facility_mode: false,
            mod_facility: Vec::new(),
            cfgpkgcheck: 0,
            reset_msgid: false,
            cfgtest: false,
        }
    }
}

impl Module for Debugger {
    const NAME: &'static str = "debugger";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        trace_params(d);
        module_params(d);
        d.func(
            "dbg_breakpoint",
            ["mode"],
            breakpoints::anchor,
            "Holds the message here, with mode 1, until dbg.bp lets it go on.",
        )
        .waits();
        d.func(
            "dbg_pv_dump",
            ["mask", "level"],
            pv_dump,
            "Logs variables as JSON: 1 those without value too, 2 AVPs, 4 $var, 8 xavps, 16 others; all of these and DEBUG by default.",
        )
        .kemi(0, "dbg_pv_dump")
        .kemi(2, "dbg_pv_dump_ex");
        d.func(
            "dbg_sip_msg",
            ["level", "facility"],
            message::sip_msg,
            "Logs the message as it would leave now, with its changes.",
        )
        .routes(REQUEST | REPLY);
        rpc::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let facility = match &params.log_facility {
            Some(name) => Some(levels::facility(&name.text()).ok_or_else(|| {
                InitError::new(format!("{name} is no syslog facility"))
                    .help("write LOG_LOCAL0 or another name of syslog(3)")
            })?),
            None => None,
        };
        let shown = Arc::new(Shown {
            level: Level::from_number(params.log_level),
            level_name: params.log_level_name.map(|name| name.text().into_owned()),
            facility,
            prefix: params.log_prefix,
            with_file: params.cfgtrace_format != 1,
            assignments: params.log_assign,
        });
        let wait = state::patience(params.step_usleep, params.step_loops);
        let state = Arc::new(State::new(params.cfgtrace, params.breakpoint, wait));
        let workers = state.clone();
        env.hooks
            .worker_start
            .push(Arc::new(move |worker| workers.add_worker(worker.index)));
        env.hooks
            .tracers
            .push(Arc::new(tracing::Trace::new(state.clone(), shown.clone())));
        levels::start(
            env,
            params.mod_level_mode,
            params.mod_level,
            params.mod_facility_mode,
            params.mod_facility,
        );
        env.settings.declare(
            "dbg",
            "mod_hash_size",
            Value::Int(params.mod_hash_size),
            "Without meaning here: any number of modules may have levels.",
            true,
        );
        if params.cfgtest {
            let service = env.service::<crate::cfgt::Switch>().ok_or_else(|| {
                InitError::new("cfgtest needs module cfgt")
                    .help("add a line before this one: loadmodule \"cfgt.so\"")
            })?;
            service.on();
        }
        Ok(Debugger {
            state,
            shown,
            reset_msgid: params.reset_msgid,
        })
    }
}

fn trace_params(d: &mut Decl<Debugger>) {
    d.param(
        "cfgtrace",
        |p| &mut p.cfgtrace,
        "Trace the actions of scripts from the start; dbg.trace switches later.",
    );
    d.param(
        "cfgtrace_format",
        |p| &mut p.cfgtrace_format,
        "1: traces do not name the file.",
    );
    d.param(
        "breakpoint",
        |p| &mut p.breakpoint,
        "Hold each message before each action from the start; dbg.bp switches later.",
    );
    d.param(
        "log_level",
        |p| &mut p.log_level,
        "The level of traces, -1 for ERR.",
    );
    d.param(
        "log_level_name",
        |p| &mut p.log_level_name,
        "What traces show in place of their level's name.",
    );
    d.param(
        "log_facility",
        |p| &mut p.log_facility,
        "The syslog facility of traces.",
    );
    d.param(
        "log_prefix",
        |p| &mut p.log_prefix,
        "What stands before each trace.",
    );
    d.param(
        "log_assign",
        |p| &mut p.log_assign,
        "Log what traced assignments set, at DEBUG.",
    );
    d.param(
        "step_usleep",
        |p| &mut p.step_usleep,
        "Microseconds; with step_loops times as many, how long a command waits for the answer of a message that is held. Nothing sleeps meanwhile.",
    );
    d.param("step_loops", |p| &mut p.step_loops, "See step_usleep.");
}

fn module_params(d: &mut Decl<Debugger>) {
    d.param(
        "mod_hash_size",
        |p| &mut p.mod_hash_size,
        "Without meaning here: any number of modules may have levels.",
    );
    d.param(
        "mod_level_mode",
        |p| &mut p.mod_level_mode,
        "Levels of modules are in force.",
    );
    d.param_fn(
        "mod_level",
        "string",
        |params, value, _| {
            let (module, level) = levels::pair(&value.str_or_empty().text())?;
            let level = levels::level(&level)?;
            params.mod_level.push((module, level));
            Ok(())
        },
        "The log level of a module, MODULE=LEVEL; core for the core.",
    );
    d.param(
        "mod_facility_mode",
        |p| &mut p.mod_facility_mode,
        "Facilities of modules are in force.",
    );
    d.param_fn(
        "mod_facility",
        "string",
        |params, value, _| {
            let (module, name) = levels::pair(&value.str_or_empty().text())?;
            let facility = levels::facility(&name).ok_or_else(|| {
                BindError::new(format!("{name} is no syslog facility"))
                    .help("write LOG_LOCAL0 or another name of syslog(3)")
            })?;
            params.mod_facility.push((module, facility));
            Ok(())
        },
        "The syslog facility of a module, MODULE=FACILITY; core for the core.",
    );
    d.param(
        "cfgpkgcheck",
        |p| &mut p.cfgpkgcheck,
        "Without meaning here: there is no private memory that an action could overrun.",
    );
    d.param("reset_msgid", |p| &mut p.reset_msgid, "Allow dbg.reset_msgid.");
    d.param(
        "cfgtest",
        |p| &mut p.cfgtest,
        "Have module cfgt write its reports; it must be loaded before.",
    );
}

/// A level as an argument: `L_ERR`, `-1`.
pub(super) struct LevelArg(pub Level);

impl Arg for LevelArg {
    const KIND: ArgKind = ArgKind::Literal("a log level such as L_ERR");
    type Fixed = Level;

    fn fix(source: Option<&ArgSource>, _: &dyn Bind) -> Result<Level, BindError> {
        match source {
            Some(ArgSource::Text(text)) => parse_level(text),
            Some(ArgSource::Int(n)) => Ok(Level::from_number(*n)),
            _ => Err(BindError::new("a log level is needed here").help("write L_ERR, L_INFO or L_DBG")),
        }
    }

    fn get(fixed: &Level, _: &mut Cx) -> Result<Self, Fault> {
        Ok(LevelArg(*fixed))
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<Self, Fault> {
        match value {
            Some(Value::Int(n)) => Ok(LevelArg(Level::from_number(n))),
            other => parse_level(&other.unwrap_or_default().str_or_empty())
                .map(LevelArg)
                .map_err(|error| Fault::script(error.message)),
        }
    }
}

fn parse_level(text: &Str) -> Result<Level, BindError> {
    Level::parse(&text.text()).ok_or_else(|| {
        BindError::new(format!("'{text}' is no log level")).help("write L_ERR, L_INFO or L_DBG")
    })
}

/// All kinds but `cfgt`'s.
const MASK: i64 = dump::NULLS | dump::AVPS | dump::SCRIPT | dump::XAVPS | dump::OTHER;

fn pv_dump(_: &Debugger, cx: &mut Cx, mask: Option<i64>, level: Option<LevelArg>) -> bool {
    let level = level.map_or(Level::Debug, |level| level.0);
    if log::shows_of(level, "debugger") {
        let text = dump::variables(cx, mask.unwrap_or(MASK)).to_string();
        log::write(level, "debugger", format_args!("dbg_dump_json(): {text}"));
    }
    true
}
