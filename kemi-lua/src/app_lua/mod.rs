//! Module `app_lua`.

mod engine;
mod functions;
mod rpc;

use std::{
    rc::Rc,
    sync::{Arc, OnceLock},
};

use kahea_kemi::Table;
use kahea_module::{Config, Cx, Decl, Env, Fault, InitError, Module, Str, Worker, language::Call};
use parking_lot::RwLock;

use self::engine::{Local, Lua};
use crate::{
    call::{LuaCall, What},
    state::{Limits, Sources, State},
};

/// Module `app_lua`.
pub struct AppLua {
    shared: Arc<Scripts>,
}

/// The scripts of one configuration, for all its workers.
pub struct Scripts {
    sources: RwLock<Arc<Sources>>,
    /// The version of `sources`, to be asked for by each message.
    version: std::sync::atomic::AtomicU64,
    limits: Limits,
    may_reload: bool,
    table: OnceLock<Arc<Table>>,
}

/// Parameters.
pub struct Params {
    load: Vec<Str>,
    reload: bool,
    log_mode: i64,
    script_timeout: i64,
    script_memory: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            load: Vec::new(),
            reload: true,
            log_mode: 0,
            script_timeout: 2000,
            script_memory: 256,
        }
    }
}

impl Module for AppLua {
    const NAME: &'static str = "app_lua";
    type Params = Params;

    fn declare(d: &mut Decl<AppLua>) {
        declare_params(d);
        functions::declare(d);
        rpc::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<AppLua, InitError> {
        let mut files = Vec::with_capacity(params.load.len());
        for path in &params.load {
            let name = path.text();
            let text = (env.read_file)(&name).map_err(|error| {
                InitError::new(format!("cannot read the Lua script {name}: {error}"))
                    .help("correct modparam(\"app_lua\", \"load\", …)")
            })?;
            files.push((path.clone(), Str::from(text)));
        }
        let bytes = usize::try_from(params.script_memory)
            .unwrap_or(1)
            .saturating_mul(1 << 20);
        let scripts = Arc::new(Scripts {
            sources: RwLock::new(Arc::new(Sources { version: 1, files })),
            version: std::sync::atomic::AtomicU64::new(1),
            limits: Limits {
                memory: bytes,
                time: u64::try_from(params.script_timeout).unwrap_or(1),
            },
            may_reload: params.reload,
            table: OnceLock::new(),
        });
        env.hooks.languages.push(Arc::new(Lua(scripts.clone())));
        Ok(AppLua { shared: scripts })
    }
}

fn declare_params(d: &mut Decl<AppLua>) {
    d.param_fn(
        "load",
        "string",
        |params: &mut Params, value, bind| {
            params
                .load
                .push(Str::from(bind.beside(&value.str_or_empty().text())));
            Ok(())
        },
        "A Lua script that is loaded at start; may be given several times.",
    );
    d.param(
        "reload",
        |p| &mut p.reload,
        "app_lua.reload may load the scripts again.",
    );
    d.param(
        "log_mode",
        |p| &mut p.log_mode,
        "How errors of KSR functions were logged; it has no meaning here, for they always name file and line.",
    );
    d.param(
        "script_timeout",
        |p| &mut p.script_timeout,
        "Milliseconds that a script may run between two waits before it is stopped with an error.",
    );
    d.param(
        "script_memory",
        |p| &mut p.script_memory,
        "Megabytes that the values of the scripts may take in each worker.",
    );
}

impl Scripts {
    fn table(&self, config: &Config) -> Arc<Table> {
        self.table.get_or_init(|| Arc::new(Table::of(config))).clone()
    }

    fn current(&self) -> Arc<Sources> {
        self.sources.read().clone()
    }

    /// A fresh interpreter.
    fn load(&self, worker: &Rc<Worker>, sources: &Sources) -> Result<State, InitError> {
        State::new(worker, &self.table(&worker.config), sources, self.limits)
    }

    /// The interpreter of a worker, made at its first use.
    fn local(self: &Arc<Self>, worker: &Rc<Worker>) -> Result<Rc<Local>, InitError> {
        worker.keep(|| Local::new(self.clone(), worker))
    }
}

impl AppLua {
    fn state(&self, cx: &Cx) -> Result<Rc<State>, Fault> {
        let local = self
            .shared
            .local(&cx.worker)
            .map_err(|error| Fault::script(error.message))?;
        Ok(local.state(&cx.worker))
    }

    /// A call of something in the interpreter of this worker.
    fn call(&self, cx: &Cx, what: What, args: Vec<Str>) -> Result<Box<dyn Call>, Fault> {
        Ok(Box::new(LuaCall::new(self.state(cx)?, what, args)))
    }
}
