//! `app_jsdt`.

use std::{
    cell::{Cell, RefCell},
    path::Path,
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kahea_kemi::{Table, held::Held};
use kahea_module::{
    Config, Cx, Decl, Env, Fault, InitError, Module, Outcome, Ret, RouteKind, Str, Worker,
    language::{Call, Callback, Interpreter as Speaks, Language},
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    state::DropRequested,
};
use parking_lot::Mutex;

use crate::interpreter::{Called, Failure, Interpreter, Limits, Source};

/// The module.
pub struct AppJsdt {
    scripts: Arc<Scripts>,
}

/// Parameters of `app_jsdt`.
pub struct Params {
    load: Option<Str>,
    loaddir: Option<Str>,
    mode: i64,
    memory: i64,
    time: i64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            load: None,
            loaddir: None,
            mode: 1,
            memory: 64,
            time: 5000,
        }
    }
}

/// The scripts of one configuration, for all its workers.
struct Scripts {
    file: String,
    source: Mutex<Arc<Source>>,
    /// Counts reloads.
    version: AtomicU64,
    limits: Limits,
    with_require: bool,
    table: OnceLock<Arc<Table>>,
}

/// The interpreter of one worker.
struct Place {
    interpreter: RefCell<Option<Rc<Interpreter>>>,
    /// Of the scripts that it has, or could not load.
    version: Cell<u64>,
}

impl Module for AppJsdt {
    const NAME: &'static str = "app_jsdt";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param("load", |p| &mut p.load, "The JavaScript file to load.");
        d.param(
            "loaddir",
            |p| &mut p.loaddir,
            "The folder that the path in load starts from, where that is no absolute one.",
        );
        d.param("mode", |p| &mut p.mode, "1: scripts have require().");
        d.param(
            "memory",
            |p| &mut p.memory,
            "Megabytes that the objects of one interpreter may take.",
        );
        d.param(
            "time",
            |p| &mut p.time,
            "Milliseconds on the processor after which a run of a script is stopped.",
        );
        functions(d);
        d.rpc(
            "app_jsdt.reload",
            reload,
            "Reads the script again; one that fails changes nothing.",
        );
        d.rpc("app_jsdt.list", list, "The loaded script.");
        d.rpc(
            "app_jsdt.api_list",
            api_list,
            "The functions that scripts can call.",
        )
        .list();
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let scripts = Arc::new(Scripts::new(&params, env)?);
        env.hooks.languages.push(Arc::new(Jsdt(scripts.clone())));
        Ok(AppJsdt { scripts })
    }
}

fn functions(d: &mut Decl<AppJsdt>) {
    let doc = "Runs a function of the loaded script, with up to three texts as arguments.";
    d.func("jsdt_run", ["function", "a", "b", "c"], run, doc)
        .kemi(1, "run")
        .kemi(2, "run_p1")
        .kemi(3, "run_p2")
        .kemi(4, "run_p3")
        .example(r#"jsdt_run("greet", "$rU");"#)
        .waits();
    d.func(
        "jsdt_runstring",
        ["script"],
        run_string,
        "Runs a text where the loaded script is.",
    )
    .kemi(1, "runstring")
    .waits();
    d.func(
        "jsdt_dostring",
        ["script"],
        do_string,
        "Runs a text apart from the loaded script.",
    )
    .kemi(1, "dostring")
    .waits();
    d.func(
        "jsdt_dofile",
        ["path"],
        do_file,
        "Runs a file apart from the loaded script.",
    )
    .kemi(1, "dofile")
    .waits();
}

impl Scripts {
    fn new(params: &Params, env: &Env<'_>) -> Result<Scripts, InitError> {
        let load = params.load.as_ref().map(|file| file.text().into_owned());
        let folder = params.loaddir.as_ref().map(|folder| folder.text().into_owned());
        let file = match (load, folder) {
            (Some(file), Some(folder)) => Path::new(&folder).join(file).to_string_lossy().into_owned(),
            (file, _) => file.unwrap_or_default(),
        };
        let text = match file.is_empty() {
            true => Vec::new(),
            false => (env.read_file)(&file).map_err(|error| {
                InitError::new(format!("cannot read {file}: {error}"))
                    .help("name the script with the parameter load")
            })?,
        };
        let megabytes = usize::try_from(params.memory).unwrap_or(0).clamp(1, 1 << 16);
        let time = u64::try_from(params.time).unwrap_or(0).max(1);
        Ok(Scripts {
            source: Mutex::new(Arc::new(Source {
                file: file.clone(),
                text,
            })),
            file,
            version: AtomicU64::new(0),
            limits: Limits {
                memory: megabytes.saturating_mul(1 << 20),
                time: Duration::from_millis(time),
            },
            with_require: params.mode != 0,
            table: OnceLock::new(),
        })
    }

    fn table(&self, config: &Config) -> &Arc<Table> {
        self.table.get_or_init(|| Arc::new(Table::of(config)))
    }

    /// A new interpreter on this thread.
    fn make(&self, worker: &Rc<Worker>, source: &Source) -> Result<Rc<Interpreter>, Failure> {
        let mut cx = Cx::faked(worker.clone()).map_err(|fault| Failure(fault.to_string()))?;
        let table = self.table(&worker.config);
        let made = Interpreter::new(source, table, self.limits, self.with_require, &mut cx);
        cx.finish();
        made.map(Rc::new)
    }

    fn place(worker: &Rc<Worker>) -> Rc<Place> {
        let made: Result<_, std::convert::Infallible> = worker.keep(|| {
            Ok(Place {
                interpreter: RefCell::default(),
                version: Cell::new(0),
            })
        });
        match made {
            Ok(place) => place,
            Err(never) => match never {},
        }
    }

    /// The interpreter of a worker, with the scripts in force.
    fn interpreter(&self, worker: &Rc<Worker>) -> Result<Rc<Interpreter>, Failure> {
        let place = Scripts::place(worker);
        let version = self.version.load(Relaxed);
        let known = place.interpreter.borrow().clone();
        if let Some(known) = known.clone().filter(|_| place.version.get() == version) {
            return Ok(known);
        }
        place.version.set(version);
        let source = self.source.lock().clone();
        match (self.make(worker, &source), known) {
            (Ok(made), _) => {
                place.interpreter.replace(Some(made.clone()));
                Ok(made)
            }
            // It was tried before it came into force; it depends on more than its text.
            (Err(failure), Some(known)) => {
                kahea_module::error!("app_jsdt", "The script before goes on: {failure}.");
                Ok(known)
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// Does something with the interpreter of the worker that the message is on.
    fn work(
        self: &Arc<Scripts>,
        cx: &mut Cx,
        work: impl FnOnce(&Interpreter, &mut Cx) -> Result<Called, Failure> + 'static,
    ) -> Ret {
        let scripts = self.clone();
        let run = move |cx: &mut Cx| {
            let interpreter = scripts.interpreter(&cx.worker.clone());
            match interpreter.and_then(|interpreter| work(&interpreter, cx)) {
                Ok(Called::Ended) => Ret::TRUE,
                Ok(Called::Missing) => {
                    Fault::script("there is no such function in the JavaScript file").into()
                }
                Err(failure) => Fault::script(failure.0).into(),
            }
        };
        cx.worker.engine.clone().standing(cx, Box::new(run))
    }
}

fn run(m: &AppJsdt, cx: &mut Cx, name: Str, a: Option<Str>, b: Option<Str>, c: Option<Str>) -> Ret {
    let arguments: Vec<Str> = [a, b, c].into_iter().flatten().collect();
    m.scripts.work(cx, move |interpreter, cx| {
        interpreter.call(cx, &name.text(), &arguments)
    })
}

fn run_string(m: &AppJsdt, cx: &mut Cx, text: Str) -> Ret {
    let run =
        move |interpreter: &Interpreter, cx: &mut Cx| interpreter.run_text(cx, &text).map(|()| Called::Ended);
    m.scripts.work(cx, run)
}

fn do_string(m: &AppJsdt, cx: &mut Cx, text: Str) -> Ret {
    let run = move |interpreter: &Interpreter, cx: &mut Cx| {
        interpreter
            .run_apart(cx, &text, "jsdt_dostring")
            .map(|()| Called::Ended)
    };
    m.scripts.work(cx, run)
}

fn do_file(m: &AppJsdt, cx: &mut Cx, path: Str) -> Ret {
    let run = move |interpreter: &Interpreter, cx: &mut Cx| {
        let path = path.text();
        // Script workers may wait for a file.
        let text = std::fs::read(&*path).map_err(|error| Failure(format!("cannot read {path}: {error}")))?;
        interpreter.run_apart(cx, &text, &path).map(|()| Called::Ended)
    };
    m.scripts.work(cx, run)
}

fn reload(m: &AppJsdt, call: &mut RpcCall) -> RpcResult {
    let scripts = &m.scripts;
    if scripts.file.is_empty() {
        return Err(RpcFault::new(500, "no script is loaded: set the parameter load"));
    }
    let text = std::fs::read(&scripts.file)
        .map_err(|error| RpcFault::new(500, format!("cannot read {}: {error}", scripts.file)))?;
    let source = Arc::new(Source {
        file: scripts.file.clone(),
        text,
    });
    let made = scripts
        .make(&call.worker, &source)
        .map_err(|failure| RpcFault::new(500, failure.0))?;
    *scripts.source.lock() = source;
    let old = scripts.version.fetch_add(1, Relaxed);
    let new = old.wrapping_add(1);
    let place = Scripts::place(&call.worker);
    place.interpreter.replace(Some(made));
    place.version.set(new);
    let number = |version: u64| RpcValue::Int(i64::try_from(version).unwrap_or(i64::MAX));
    Ok(vec![RpcValue::members([
        ("old", number(old)),
        ("new", number(new)),
    ])])
}

fn list(m: &AppJsdt, call: &mut RpcCall) -> RpcResult {
    let scripts = &m.scripts;
    let version = i64::try_from(scripts.version.load(Relaxed)).unwrap_or(i64::MAX);
    let memory = Scripts::place(&call.worker)
        .interpreter
        .borrow()
        .as_ref()
        .map_or(0, |interpreter| interpreter.memory());
    Ok(vec![RpcValue::members([
        ("script", scripts.file.as_str().into()),
        ("version", RpcValue::Int(version)),
        ("memory", RpcValue::Int(memory)),
    ])])
}

fn api_list(m: &AppJsdt, call: &mut RpcCall) -> RpcResult {
    Ok(vec![kahea_kemi::api_list(m.scripts.table(&call.worker.config))])
}

/// The language of `cfgengine "jsdt"`.
struct Jsdt(Arc<Scripts>);

impl Language for Jsdt {
    fn names(&self) -> &'static [&'static str] {
        &["jsdt", "js"]
    }

    fn holds_its_thread(&self) -> bool {
        true
    }

    fn interpreter(&self, worker: &Rc<Worker>) -> Result<Rc<dyn Speaks>, InitError> {
        self.0
            .interpreter(worker)
            .map_err(|failure| refused(&self.0, &failure))?;
        Ok(Rc::new(Speaker(self.0.clone())))
    }
}

fn refused(scripts: &Scripts, failure: &Failure) -> InitError {
    InitError::new(format!("app_jsdt: {} does not load: {failure}", scripts.file))
}

/// Calls the functions that stand for routes.
struct Speaker(Arc<Scripts>);

impl Speaks for Speaker {
    fn call(&self, callback: &Arc<Callback>) -> Box<dyn Call> {
        let scripts = self.0.clone();
        let run = move |callback: &Callback, cx: &mut Cx| route(&scripts, callback, cx);
        Box::new(Held::new(callback.clone(), Rc::new(run)))
    }
}

/// Runs a function in place of a route. What it returns has no meaning, as in Kamailio; `KSR.set_drop()` and
/// `KSR.x.drop()` say that the message goes no further.
fn route(scripts: &Scripts, callback: &Callback, cx: &mut Cx) -> Result<Outcome, Fault> {
    let failed = |failure: Failure| Fault::script(format!("app_jsdt: {}(): {failure}", callback.name));
    let interpreter = scripts.interpreter(&cx.worker.clone()).map_err(failed)?;
    let event = (callback.kind == RouteKind::Event).then(|| cx.route_name.clone());
    let called = interpreter
        .call(cx, &callback.name.text(), event.as_slice())
        .map_err(failed)?;
    if called == Called::Missing && !callback.optional {
        return Err(Fault::script(format!(
            "app_jsdt: there is no function {} in {}",
            callback.name, scripts.file
        )));
    }
    Ok(Outcome {
        code: 1,
        exit: false,
        drop: std::mem::take(&mut cx.extra::<DropRequested>().0),
    })
}
