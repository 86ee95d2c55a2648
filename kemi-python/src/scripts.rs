//! The scripts of one configuration, for all its workers: loading, reloading, and running.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use kahea_kemi::{Table, held::Held};
use kahea_module::{
    Config, Cx, Env, Fault, InitError, Outcome, Ret, RouteKind, Str, Worker,
    language::{Call, Callback, Interpreter, Language},
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    state::DropRequested,
};
use parking_lot::Mutex;

use crate::{
    namespace::{Called, Failure, Form, Namespace, Source, describe},
    visits::Visits,
};

/// Scripts of the module with that number (0: `app_python3`, 1: `app_python3s`), so that each has its own on a worker.
pub struct Scripts<const N: usize> {
    file: String,
    form: Form,
    source: Mutex<Arc<Source>>,
    /// Counts reloads.
    version: AtomicU64,
    /// Loaded on trial, for the first worker that asks.
    ready: Mutex<Option<Namespace>>,
    table: OnceLock<Arc<Table>>,
    visits: Arc<Visits>,
}

/// What one worker has loaded.
struct Place<const N: usize> {
    namespace: RefCell<Option<Rc<Namespace>>>,
    /// Of the scripts that it has, or could not load.
    version: Cell<u64>,
}

impl<const N: usize> Scripts<N> {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(file: &Str, form: Form, env: &Env<'_>) -> Result<Arc<Scripts<N>>, InitError> {
        let file = file.text().into_owned();
        let text = (env.read_file)(&file).map_err(|error| {
            InitError::new(format!("cannot read {file}: {error}"))
                .help("name the script with the parameter load")
        })?;
        kahea_module::notice!(form.module, "{}.", describe());
        Ok(Arc::new(Scripts {
            source: Mutex::new(Arc::new(Source {
                file: file.clone(),
                text,
            })),
            file,
            form,
            version: AtomicU64::new(0),
            ready: Mutex::new(None),
            table: OnceLock::new(),
            visits: env.shared.keep(Visits::default),
        }))
    }

    fn table(&self, config: &Config) -> &Arc<Table> {
        self.table.get_or_init(|| Arc::new(Table::of(config)))
    }

    fn load(&self, worker: &Rc<Worker>, source: &Source) -> Result<Namespace, Failure> {
        let mut cx = faked(worker)?;
        let loaded = Namespace::load(
            source,
            self.table(&worker.config),
            &self.visits,
            &self.form,
            &mut cx,
        );
        cx.finish();
        loaded
    }

    fn begin(&self, worker: &Rc<Worker>, namespace: &Namespace) -> Result<(), Failure> {
        let mut cx = faked(worker)?;
        let rank = i64::try_from(worker.index.saturating_add(1)).unwrap_or(i64::MAX);
        let begun = namespace.begin(&mut cx, rank);
        cx.finish();
        begun
    }

    fn place(worker: &Rc<Worker>) -> Rc<Place<N>> {
        let made: Result<_, std::convert::Infallible> = worker.keep(|| {
            Ok(Place {
                namespace: RefCell::default(),
                version: Cell::new(0),
            })
        });
        match made {
            Ok(place) => place,
            Err(never) => match never {},
        }
    }

    /// What a worker runs, with the scripts in force.
    fn namespace(&self, worker: &Rc<Worker>) -> Result<Rc<Namespace>, Failure> {
        let place = Self::place(worker);
        let version = self.version.load(Relaxed);
        let known = place.namespace.borrow().clone();
        if let Some(known) = known.clone().filter(|_| place.version.get() == version) {
            return Ok(known);
        }
        place.version.set(version);
        if is_ordinary(worker) {
            self.visits.start(worker);
        }
        let source = self.source.lock().clone();
        let ready = self.ready.lock().take();
        let made = match ready {
            Some(ready) => Ok(ready),
            None => self.load(worker, &source),
        };
        let made = made.and_then(|made| self.begin(worker, &made).map(|()| made));
        match (made, known) {
            (Ok(made), _) => {
                let made = Rc::new(made);
                place.namespace.replace(Some(made.clone()));
                Ok(made)
            }
            // It was tried before it came into force; it depends on more than its text.
            (Err(failure), Some(known)) => {
                kahea_module::error!(self.form.module, "The script before goes on: {failure}.");
                Ok(known)
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// Runs a function on a message, as the native script asks.
    pub fn exec(self: &Arc<Self>, cx: &mut Cx, name: &Str, argument: Option<Str>) -> Ret {
        let (scripts, name) = (self.clone(), name.clone());
        let run = move |cx: &mut Cx| {
            let called = scripts
                .namespace(&cx.worker.clone())
                .and_then(|namespace| namespace.call(cx, &name.text(), argument.as_slice()));
            match called {
                Ok(Called::Code(code)) => Ret::Code(code),
                Ok(Called::Missing) => {
                    let file = &scripts.file;
                    Fault::script(format!(
                        "{}: there is no function {name} in {file}",
                        scripts.form.module
                    ))
                    .into()
                }
                Err(failure) => Fault::script(format!("{}: {name}(): {failure}", scripts.form.module)).into(),
            }
        };
        cx.worker.engine.clone().standing(cx, Box::new(run))
    }

    /// Runs a function in place of a route.
    fn route(&self, callback: &Callback, cx: &mut Cx) -> Result<Outcome, Fault> {
        let failed = |failure: Failure| {
            let module = self.form.module;
            Fault::script(format!("{module}: {}(): {failure}", callback.name))
        };
        let namespace = self.namespace(&cx.worker.clone()).map_err(failed)?;
        let event = (callback.kind == RouteKind::Event).then(|| cx.route_name.clone());
        let code = match namespace.call(cx, &callback.name.text(), event.as_slice()) {
            Ok(Called::Code(code)) => code,
            Ok(Called::Missing) if callback.optional => 1,
            Ok(Called::Missing) => {
                let (module, file) = (self.form.module, &self.file);
                return Err(Fault::script(format!(
                    "{module}: there is no function {} in {file}",
                    callback.name
                )));
            }
            Err(failure) => return Err(failed(failure)),
        };
        Ok(Outcome {
            code,
            exit: false,
            drop: std::mem::take(&mut cx.extra::<DropRequested>().0),
        })
    }

    /// `*.reload`: reads the file again, loads it on trial, and has every worker load it before its next message.
    ///
    /// # Errors
    /// It does not load; nothing has changed then.
    pub fn reload(&self, call: &RpcCall) -> RpcResult {
        let text = std::fs::read(&self.file)
            .map_err(|error| RpcFault::new(500, format!("cannot read {}: {error}", self.file)))?;
        let source = Arc::new(Source {
            file: self.file.clone(),
            text,
        });
        let made = self
            .load(&call.worker, &source)
            .map_err(|failure| RpcFault::new(500, failure.0))?;
        *self.source.lock() = source;
        *self.ready.lock() = Some(made);
        let old = self.version.fetch_add(1, Relaxed);
        let number = |version: u64| RpcValue::Int(i64::try_from(version).unwrap_or(i64::MAX));
        let new = number(old.wrapping_add(1));
        Ok(vec![RpcValue::members([("old", number(old)), ("new", new)])])
    }

    /// `*.list`.
    pub fn list(&self) -> RpcResult {
        let version = i64::try_from(self.version.load(Relaxed)).unwrap_or(i64::MAX);
        Ok(vec![RpcValue::members([
            ("script", self.file.as_str().into()),
            ("version", RpcValue::Int(version)),
            ("interpreter", describe().into()),
        ])])
    }

    /// `*.api_list`.
    pub fn api_list(&self, call: &RpcCall) -> RpcResult {
        Ok(vec![kahea_kemi::api_list(self.table(&call.worker.config))])
    }
}

/// One of those that `children` counts.
fn is_ordinary(worker: &Worker) -> bool {
    let index = i64::try_from(worker.index).unwrap_or(i64::MAX);
    index < worker.config.globals.children.max(1)
}

fn faked(worker: &Rc<Worker>) -> Result<Cx, Failure> {
    Cx::faked(worker.clone()).map_err(|fault| Failure(fault.to_string()))
}

/// The language of `cfgengine "python"`.
pub struct Python<const N: usize>(pub Arc<Scripts<N>>);

impl<const N: usize> Language for Python<N> {
    fn names(&self) -> &'static [&'static str] {
        match N {
            0 => &["python", "python3"],
            _ => &["python3s", "python"],
        }
    }

    fn holds_its_thread(&self) -> bool {
        true
    }

    fn interpreter(&self, worker: &Rc<Worker>) -> Result<Rc<dyn Interpreter>, InitError> {
        // Workers that stand apart load the script when they first need it.
        if is_ordinary(worker) {
            self.0
                .namespace(worker)
                .map_err(|failure| self.refused(&failure))?;
        }
        Ok(Rc::new(Speaker(self.0.clone())))
    }

    /// What is loaded here is what the first worker runs: a script has its start once in each worker.
    fn check(&self, worker: &Rc<Worker>) -> Result<(), InitError> {
        let source = self.0.source.lock().clone();
        let loaded = self
            .0
            .load(worker, &source)
            .map_err(|failure| self.refused(&failure))?;
        *self.0.ready.lock() = Some(loaded);
        Ok(())
    }
}

impl<const N: usize> Python<N> {
    fn refused(&self, failure: &Failure) -> InitError {
        InitError::new(format!(
            "{}: {} does not load: {failure}",
            self.0.form.module, self.0.file
        ))
    }
}

/// Calls the functions that stand for routes.
struct Speaker<const N: usize>(Arc<Scripts<N>>);

impl<const N: usize> Interpreter for Speaker<N> {
    fn call(&self, callback: &Arc<Callback>) -> Box<dyn Call> {
        let scripts = self.0.clone();
        let run = move |callback: &Callback, cx: &mut Cx| scripts.route(callback, cx);
        Box::new(Held::new(callback.clone(), Rc::new(run)))
    }
}
