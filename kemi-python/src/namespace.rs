//! One script loaded in a module of its own. Each worker has one, as each process of Kamailio has: what a script keeps in
//! its variables or its object is not shared, while the modules that it imports are.

use std::{ffi::CString, fmt, path::Path, sync::Arc, time::Duration};

use kahea_kemi::{Table, held};
use kahea_module::{Cx, Str};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PySystemExit,
    prelude::*,
    types::{PyList, PyModule, PyTuple},
};

use crate::{ksr, message, value, visits::Visits, watchdog};

/// A script as it was read.
#[derive(Debug, Default)]
pub struct Source {
    /// Its path.
    pub file: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// What a module's scripts look like.
#[derive(Clone, Debug)]
pub struct Form {
    /// For logs.
    pub module: &'static str,
    /// Functions take the message first, and may be methods of the object that `init` gives.
    pub classic: bool,
    /// Called once when the script is loaded; empty: nothing is.
    pub init: String,
    /// Called on each worker, with its rank.
    pub child_init: String,
    /// Processor time of one run.
    pub time: Duration,
}

/// A script failed: its traceback in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a call of a function ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// With this code.
    Code(i64),
    /// There is no such function.
    Missing,
}

/// A loaded script.
pub struct Namespace {
    form: Form,
    /// The module, or the object that stands for it.
    handler: Py<PyAny>,
    message: Option<Py<PyAny>>,
}

/// One script is loaded at a time: `KSR` is found by its name meanwhile.
static LOADING: Mutex<()> = Mutex::new(());

/// How long another may take to load.
const PATIENCE: Duration = Duration::from_secs(10);

impl Namespace {
    /// Runs the top level of a script and its init function on `cx`.
    ///
    /// # Errors
    /// It is no Python, raises, or has no init function where it needs one.
    pub fn load(
        source: &Source,
        table: &Arc<Table>,
        visits: &Arc<Visits>,
        form: &Form,
        cx: &mut Cx,
    ) -> Result<Namespace, Failure> {
        Python::initialize();
        // Before Python's lock: whoever loads may let that go for a while.
        let Some(_one) = LOADING.try_lock_for(PATIENCE) else {
            return Err(Failure("another script takes long to load; try again".to_owned()));
        };
        held::with_current(cx, || {
            Python::attach(|py| {
                let run = watchdog::begin(py, Some(form.time));
                let loaded = load(py, source, table, visits, form);
                let stopped = run.end(py);
                loaded.map_err(|error| failure(py, &error, stopped.then_some(form.time)))
            })
        })
    }

    /// Calls the function of each worker's start.
    ///
    /// # Errors
    /// It raises.
    pub fn begin(&self, cx: &mut Cx, rank: i64) -> Result<(), Failure> {
        if self.form.child_init.is_empty() {
            return Ok(());
        }
        held::with_current(cx, || {
            Python::attach(|py| {
                let Ok(function) = self.handler.bind(py).getattr(&*self.form.child_init) else {
                    return Ok(());
                };
                let run = watchdog::begin(py, Some(self.form.time));
                let called = function.call1((rank,));
                let stopped = run.end(py);
                called
                    .map(drop)
                    .map_err(|error| failure(py, &error, stopped.then_some(self.form.time)))
            })
        })
    }

    /// Calls a function, behind the message with these arguments.
    ///
    /// # Errors
    /// It raises, or returns what is no code.
    pub fn call(&self, cx: &mut Cx, name: &str, arguments: &[Str]) -> Result<Called, Failure> {
        // A task that may run for ever has steps for that.
        let time = (cx.budget.steps != u64::MAX).then_some(self.form.time);
        held::with_current(cx, || {
            Python::attach(|py| {
                let Some(function) = self.function(py, name) else {
                    return Ok(Called::Missing);
                };
                let run = watchdog::begin(py, time);
                let called = self.arguments(py, arguments).and_then(|all| function.call1(all));
                let code = called.and_then(|given| code(&given));
                let stopped = run.end(py);
                match code {
                    Ok(code) => Ok(Called::Code(code)),
                    Err(error) if is_exit(py, &error) => Ok(Called::Code(1)),
                    Err(error) => Err(failure(py, &error, time.filter(|_| stopped))),
                }
            })
        })
    }

    /// A function by its name; `a.b` is a member.
    fn function<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
        let start = self.handler.bind(py).clone();
        let found = name
            .split('.')
            .try_fold(start, |place, part| place.getattr(part).ok())?;
        found.is_callable().then_some(found)
    }

    fn arguments<'py>(&self, py: Python<'py>, arguments: &[Str]) -> PyResult<Bound<'py, PyTuple>> {
        let mut all = Vec::with_capacity(arguments.len().saturating_add(1));
        if let Some(message) = &self.message {
            all.push(message.bind(py).clone());
        }
        for argument in arguments {
            all.push(value::string(py, argument)?);
        }
        PyTuple::new(py, all)
    }
}

fn load(
    py: Python<'_>,
    source: &Source,
    table: &Arc<Table>,
    visits: &Arc<Visits>,
    form: &Form,
) -> PyResult<Namespace> {
    let path = Path::new(&source.file);
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let sys = py.import("sys")?;
    let modules = sys.getattr("modules")?;
    let folder = path
        .parent()
        .unwrap_or(Path::new("."))
        .to_string_lossy()
        .into_owned();
    let folders = sys.getattr("path")?.cast_into::<PyList>()?;
    if !folders.contains(&folder)? {
        folders.insert(0, &folder)?;
    }
    if !modules.contains("Router")? {
        ksr::install_router(py)?;
    }
    let root = ksr::make(py, table, visits)?;
    for group in table.groups().iter().filter(|group| !group.name.is_empty()) {
        modules.set_item(format!("KSR.{}", group.name), root.getattr(group.name)?)?;
    }
    modules.set_item("KSR", &root)?;
    // A module of that name that is there already would be filled once more, old names and all.
    let before = modules.call_method1("pop", (&name, py.None()))?;
    let loaded = PyModule::from_code(
        py,
        &text(&source.text)?,
        &text(source.file.as_bytes())?,
        &text(name.as_bytes())?,
    );
    let module = match loaded {
        Ok(module) => module,
        Err(error) => {
            if !before.is_none() {
                modules.set_item(&name, before)?;
            }
            return Err(error);
        }
    };
    let handler = init(&module, form)?;
    let message = match form.classic {
        true => Some(message::make(py, table, visits)?.unbind()),
        false => None,
    };
    Ok(Namespace {
        form: form.clone(),
        handler: handler.unbind(),
        message,
    })
}

/// The object that has the functions: the one that the init function of a class form gives, else the module.
fn init<'py>(module: &Bound<'py, PyModule>, form: &Form) -> PyResult<Bound<'py, PyAny>> {
    let whole = module.clone().into_any();
    if form.init.is_empty() || !module.hasattr(&*form.init)? {
        return Ok(whole);
    }
    let made = module.getattr(&*form.init)?.call0()?;
    // A number is a code, as init functions of the module form return it.
    if !form.classic || made.is_none() || made.extract::<i64>().is_ok() {
        return Ok(whole);
    }
    Ok(made)
}

fn text(bytes: &[u8]) -> PyResult<CString> {
    Ok(CString::new(bytes)?)
}

/// What a function returned, as a return code; nothing is true.
fn code(given: &Bound<'_, PyAny>) -> PyResult<i64> {
    if given.is_none() {
        return Ok(1);
    }
    given.extract()
}

fn is_exit(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PySystemExit>(py)
        && error
            .value(py)
            .str()
            .is_ok_and(|text| text.to_string_lossy() == ksr::EXIT)
}

/// The traceback in one line, newest call last.
fn failure(py: Python<'_>, error: &PyErr, over: Option<Duration>) -> Failure {
    let lines = traceback(py, error).unwrap_or_else(|_| error.to_string());
    let lines: Vec<&str> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.bytes().all(|byte| byte == b'^' || byte == b'~'))
        .collect();
    let text = lines.join("; ");
    Failure(match over {
        Some(time) => format!(
            "the script was stopped: it ran for more than {} ms; {text}",
            time.as_millis()
        ),
        None => text,
    })
}

fn traceback(py: Python<'_>, error: &PyErr) -> PyResult<String> {
    let format = py.import("traceback")?.getattr("format_exception")?;
    let lines = format.call1((error.get_type(py), error.value(py), error.traceback(py)))?;
    let lines: Vec<String> = lines.extract()?;
    Ok(lines.concat())
}

/// The interpreter's version, and whether it has a lock.
pub fn describe() -> String {
    Python::initialize();
    Python::attach(|py| {
        let version = Python::version_str()
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned();
        let locked = py
            .import("sys")
            .and_then(|sys| sys.call_method0("_is_gil_enabled")?.extract::<bool>())
            .unwrap_or(true);
        let how = match locked {
            true => "with its lock: scripts of all workers take turns on one processor, waits excepted",
            false => "free-threaded: scripts of all workers run at the same time",
        };
        format!("CPython {version}, {how}")
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn form(classic: bool) -> Form {
        Form {
            module: "app_python3",
            classic,
            init: "mod_init".to_owned(),
            child_init: "child_init".to_owned(),
            time: Duration::from_millis(300),
        }
    }

    fn load(name: &str, text: &str, classic: bool) -> Result<(Namespace, Cx), Failure> {
        let mut cx = Server::default().invite();
        let source = Source {
            file: format!("/tmp/{name}.py"),
            text: text.as_bytes().to_vec(),
        };
        let table = Arc::new(Table::of(cx.config()));
        let namespace = Namespace::load(&source, &table, &Arc::default(), &form(classic), &mut cx)?;
        Ok((namespace, cx))
    }

    #[test]
    fn class_form_and_module_form() {
        let text = "def mod_init():\n    return K()\nclass K:\n    def child_init(self, rank):\n        self.rank = rank\n    \
                    def f(self, msg, a):\n        return len(a) + self.rank\n    def n(self, msg):\n        pass\n";
        let (class, mut cx) = load("form_class", text, true).unwrap();
        class.begin(&mut cx, 10).unwrap();
        assert_eq!(
            class.call(&mut cx, "f", &[Str::from("abc")]),
            Ok(Called::Code(13))
        );
        assert_eq!(class.call(&mut cx, "n", &[]), Ok(Called::Code(1)), "None is true");
        assert_eq!(class.call(&mut cx, "mod_init", &[]), Ok(Called::Missing));
        let (module, mut cx) = load("form_module", "def f(a):\n    return a == 'x'\n", false).unwrap();
        assert_eq!(module.call(&mut cx, "f", &[Str::from("x")]), Ok(Called::Code(1)));
        assert_eq!(module.call(&mut cx, "f", &[Str::from("y")]), Ok(Called::Code(0)));
    }

    #[test]
    fn each_has_variables_of_its_own() {
        let text = "n = 0\ndef f():\n    global n\n    n += 1\n    return n\n";
        let (one, mut cx) = load("own_variables", text, false).unwrap();
        let (other, _) = load("own_variables", text, false).unwrap();
        assert_eq!(one.call(&mut cx, "f", &[]), Ok(Called::Code(1)));
        assert_eq!(one.call(&mut cx, "f", &[]), Ok(Called::Code(2)));
        assert_eq!(other.call(&mut cx, "f", &[]), Ok(Called::Code(1)));
    }

    #[test]
    fn errors_have_file_line_and_traceback() {
        let text = "def g():\n    raise ValueError('mine')\ndef f():\n    g()\ndef s():\n    return 'x'\n";
        let (module, mut cx) = load("errors", text, false).unwrap();
        let failure = module.call(&mut cx, "f", &[]).unwrap_err().0;
        for part in ["ValueError: mine", "/tmp/errors.py\", line 2", "line 4, in f"] {
            assert!(failure.contains(part), "{failure}");
        }
        assert!(module.call(&mut cx, "s", &[]).is_err(), "no code");
        let syntax = load("errors", "def (", false).err().unwrap().0;
        assert!(
            syntax.contains("SyntaxError") && syntax.contains("line 1"),
            "{syntax}"
        );
        assert!(load("errors", "a\0b", false).is_err());
    }

    #[test]
    fn an_endless_script_is_stopped_and_the_next_runs() {
        let text = "def f():\n    while True:\n        try:\n            while True:\n                pass\n        \
                    except Exception:\n            pass\ndef ok():\n    return 7\ndef deep():\n    return deep()\n";
        let (module, mut cx) = load("endless", text, false).unwrap();
        let failure = module.call(&mut cx, "f", &[]).unwrap_err().0;
        assert!(
            failure.contains("300 ms") && failure.contains("endless.py"),
            "{failure}"
        );
        assert_eq!(module.call(&mut cx, "ok", &[]), Ok(Called::Code(7)));
        assert!(
            module
                .call(&mut cx, "deep", &[])
                .unwrap_err()
                .0
                .contains("RecursionError")
        );
    }

    #[test]
    fn exit_ends_the_script_and_is_no_error() {
        let text = "import KSR\ndef f():\n    try:\n        KSR.x.exit()\n    except Exception:\n        return -1\n    return -2\n";
        let (module, mut cx) = load("exits", text, false).unwrap();
        assert_eq!(module.call(&mut cx, "f", &[]), Ok(Called::Code(1)));
    }

    #[test]
    fn texts_are_bytes() {
        let text = "def f(a):\n    return len(a.encode('utf-8', 'surrogateescape'))\n";
        let (module, mut cx) = load("bytes", text, false).unwrap();
        assert_eq!(
            module.call(&mut cx, "f", &[Str::copy(b"a\xff\0b")]),
            Ok(Called::Code(4))
        );
    }
}
