//! The module `KSR`, and `Router.Logger` of older scripts.

use std::{
    collections::HashMap,
    ffi::{CStr, CString},
    sync::Arc,
};

use kahea_kemi::{Entry, Returns, Table, held};
use kahea_module::{
    Value,
    log::{self, Level},
    rpc::RpcValue,
    state::DropRequested,
};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PySystemExit, PyTypeError},
    prelude::*,
    types::{PyCFunction, PyDict, PyModule, PyTuple},
};

use crate::{value, visits::Visits, watchdog};

pub use kahea_kemi::EXIT;

/// Makes `KSR` and its modules from a table.
///
/// Threads without a message call by `visits`.
pub fn make<'py>(
    py: Python<'py>,
    table: &Arc<Table>,
    visits: &Arc<Visits>,
) -> PyResult<Bound<'py, PyModule>> {
    let root = PyModule::new(py, "KSR")?;
    let mut x = None;
    for group in table.groups() {
        let place = match group.name {
            "" => root.clone(),
            name => {
                let place = PyModule::new(py, &format!("KSR.{name}"))?;
                root.add(name, &place)?;
                place
            }
        };
        if group.name == "x" {
            x = Some(place.clone());
        }
        for at in &group.entries {
            let Some(entry) = table.entries().get(*at) else {
                continue;
            };
            let named = Named {
                table: table.clone(),
                at: *at,
                visits: visits.clone(),
            };
            let run = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| named.call(args);
            place.add(entry.name, function(py, entry.name, run)?)?;
        }
    }
    let x = match x {
        Some(x) => x,
        None => {
            let x = PyModule::new(py, "KSR.x")?;
            root.add("x", &x)?;
            x
        }
    };
    for (name, drops) in [("exit", false), ("drop", true)] {
        let run = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<Py<PyAny>> {
            if drops {
                held::current(|cx| cx.extra::<DropRequested>().0 = true);
            }
            Err(PySystemExit::new_err(EXIT))
        };
        x.add(name, function(py, name, run)?)?;
    }
    Ok(root)
}

type Run = dyn Fn(&Bound<'_, PyTuple>, Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>>;

fn function<'py, F>(py: Python<'py>, name: &'static str, run: F) -> PyResult<Bound<'py, PyCFunction>>
where
    F: Fn(&Bound<'_, PyTuple>, Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> + Send + Sync + 'static,
{
    let _: &Run = &run;
    PyCFunction::new_closure(py, Some(interned(name)), None, run)
}

/// A name as C wants it, made once in the life of the process.
fn interned(name: &'static str) -> &'static CStr {
    static NAMES: Mutex<Option<HashMap<&'static str, &'static CStr>>> = Mutex::new(None);
    let mut names = NAMES.lock();
    let names = names.get_or_insert_default();
    names.entry(name).or_insert_with(|| match CString::new(name) {
        Ok(text) => Box::leak(text.into_boxed_c_str()),
        Err(_) => c"function",
    })
}

/// A function of the table.
pub struct Named {
    /// Where it is.
    pub table: Arc<Table>,
    /// Its place there.
    pub at: usize,
    /// For threads without a message.
    pub visits: Arc<Visits>,
}

impl Named {
    /// Calls it with the arguments of a script.
    ///
    /// # Errors
    /// They do not fit.
    pub fn call(&self, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let py = args.py();
        let Some(entry) = self.table.entries().get(self.at) else {
            return Ok(py.None());
        };
        let values = values(entry, args)?;
        match self.run(py, entry, values) {
            Ok(_) if entry.returns == Returns::Nothing => Ok(py.None()),
            Ok(given) => Ok(value::result(py, given)?.unbind()),
            Err(text) => Err(PyTypeError::new_err(text)),
        }
    }

    /// Python's lock is released while it waits.
    fn run(&self, py: Python<'_>, entry: &Entry, values: Vec<Value>) -> Result<RpcValue, String> {
        if held::has_current() {
            return held::call(entry, values, |wait| released(py, wait));
        }
        let (thread, at) = (watchdog::thread(py), self.at);
        py.detach(|| self.visits.call(thread, &self.table, at, values))
    }
}

fn values(entry: &Entry, args: &Bound<'_, PyTuple>) -> PyResult<Vec<Value>> {
    let mut values = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        values.push(value::argument(&arg).map_err(|kind| {
            let at = at.saturating_add(1);
            PyTypeError::new_err(format!(
                "{}: argument {at} must be a string or a number, not {kind}; write {}",
                entry.full_name(),
                entry.signatures().join(" or ")
            ))
        })?);
    }
    Ok(values)
}

/// Runs something on this thread without Python's lock.
pub fn released(py: Python<'_>, run: &mut dyn FnMut()) {
    struct Here<'a>(&'a mut dyn FnMut());
    // SAFETY: `detach` runs the closure on the thread that calls it. The bound is there to keep references to Python
    // objects out; what waits holds none.
    #[expect(unsafe_code, reason = "the message stays on this thread")]
    unsafe impl Send for Here<'_> {}
    impl Here<'_> {
        fn run(self) {
            (self.0)();
        }
    }
    let here = Here(run);
    py.detach(move || here.run());
}

/// Puts `Router.Logger` and its like among the modules, for scripts of older versions.
pub fn install_router(py: Python<'_>) -> PyResult<()> {
    const LEVELS: [(&str, Level); 9] = [
        ("LM_ALERT", Level::Alert),
        ("LM_CRIT", Level::Critical),
        ("LM_ERR", Level::Error),
        ("LM_WARN", Level::Warning),
        ("LM_NOTICE", Level::Notice),
        ("LM_INFO", Level::Info),
        ("LM_DBG", Level::Debug),
        ("LM_GEN1", Level::Info),
        ("LM_GEN2", Level::Info),
    ];
    let router = PyModule::new(py, "Router")?;
    let logger = PyModule::new(py, "Router.Logger")?;
    for (name, level) in LEVELS {
        // The generic ones have the level as their first argument.
        let stated = name.starts_with("LM_GEN");
        let write = move |args: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| -> PyResult<Py<PyAny>> {
            let (level, at) = match stated {
                true => (Level::from_number(args.get_item(0)?.extract()?), 1),
                false => (level, 0),
            };
            let text: String = args.get_item(at)?.extract()?;
            log::write(
                level,
                "app_python3",
                format_args!("{}", text.trim_end_matches(['\r', '\n'])),
            );
            Ok(args.py().None())
        };
        logger.add(name, function(py, name, write)?)?;
    }
    let ranks = PyModule::new(py, "Router.Ranks")?;
    for (name, rank) in [
        ("PROC_MAIN", 0),
        ("PROC_TIMER", -1),
        ("PROC_RPC", -2),
        ("PROC_TCP_MAIN", -4),
        ("PROC_INIT", -127),
    ] {
        ranks.add(name, rank)?;
    }
    let core = PyModule::new(py, "Router.Core")?;
    let modules = py.import("sys")?.getattr("modules")?;
    for (name, module) in [("Logger", &logger), ("Ranks", &ranks), ("Core", &core)] {
        router.add(name, module)?;
        modules.set_item(format!("Router.{name}"), module)?;
    }
    modules.set_item("Router", router)
}
