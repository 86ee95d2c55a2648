//! One interpreter with its scripts loaded. It stays on its thread.

use std::{
    cell::{Cell, OnceCell},
    fmt,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use kahea_kemi::{Table, held};
use kahea_module::{Cx, Str};
use rquickjs::{
    CaughtError, Context, Ctx, Function, Result as JsResult, Runtime, Value as JsValue, function::Args,
};

use crate::{
    ksr::{self, Ended},
    require::{self, eval},
    value,
};

/// What an interpreter may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of its objects.
    pub memory: usize,
    /// Time on the processor of one run.
    pub time: Duration,
}

/// A script as it was read.
#[derive(Debug, Default)]
pub struct Source {
    /// Its path; empty where there is none.
    pub file: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// A script failed: what it threw, and where.
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
    /// By itself, or by `KSR.x.exit()`.
    Ended,
    /// There is no such function.
    Missing,
}

/// Bytes of the thread's stack that scripts may take.
const STACK: usize = 1 << 20;

/// An interpreter. Contexts go before their runtime.
pub struct Interpreter {
    /// Of the loaded script.
    main: Context,
    /// Of `jsdt_dofile()` and `jsdt_dostring()`.
    side: OnceCell<Context>,
    runtime: Runtime,
    /// Runs of scripts that are on the stack.
    depth: Cell<u32>,
    budget: Rc<Budget>,
    ended: Ended,
    table: Arc<Table>,
    home: String,
    with_require: bool,
}

/// Until when scripts may run.
#[derive(Default)]
struct Budget {
    /// Of the thread's time on the processor; `None`: without end.
    until: Cell<Option<Duration>>,
    time: Duration,
    over: Cell<bool>,
}

impl Interpreter {
    /// With a script loaded: its top level runs on `cx`.
    ///
    /// # Errors
    /// The script cannot be read, or throws.
    pub fn new(
        source: &Source,
        table: &Arc<Table>,
        limits: Limits,
        with_require: bool,
        cx: &mut Cx,
    ) -> Result<Interpreter, Failure> {
        let ours = |error: rquickjs::Error| Failure(format!("an interpreter cannot be made: {error}"));
        let runtime = Runtime::new().map_err(ours)?;
        runtime.set_memory_limit(limits.memory);
        runtime.set_max_stack_size(STACK);
        let budget = Rc::new(Budget {
            time: limits.time,
            ..Budget::default()
        });
        let watched = budget.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || watched.is_over())));
        let home = Path::new(&source.file).parent().unwrap_or(Path::new(""));
        let main = Context::full(&runtime).map_err(ours)?;
        let interpreter = Interpreter {
            main,
            side: OnceCell::new(),
            runtime,
            depth: Cell::new(0),
            budget,
            ended: Ended::default(),
            table: table.clone(),
            home: home.to_string_lossy().into_owned(),
            with_require,
        };
        interpreter.prepare(&interpreter.main)?;
        interpreter.eval(cx, &interpreter.main, &source.text, &source.file)?;
        Ok(interpreter)
    }

    fn prepare(&self, context: &Context) -> Result<(), Failure> {
        self.within(context, |ctx| {
            ksr::install(ctx, &self.table, &self.ended)?;
            match self.with_require {
                true => require::install(ctx, Path::new(&self.home)),
                false => Ok(()),
            }
        })
        .map(drop)
    }

    /// Calls a function of the loaded script.
    ///
    /// # Errors
    /// It throws.
    pub fn call(&self, cx: &mut Cx, name: &str, arguments: &[Str]) -> Result<Called, Failure> {
        let mut called = Called::Ended;
        self.run(cx, &self.main, |ctx| {
            let Some(function) = function(ctx, name)? else {
                called = Called::Missing;
                return Ok(());
            };
            let mut args = Args::new(ctx.clone(), arguments.len());
            for argument in arguments {
                args.push_arg(value::string(ctx, argument)?)?;
            }
            function.call_arg::<JsValue<'_>>(args).map(drop)
        })?;
        Ok(called)
    }

    /// Runs a text beside the loaded script, where it sees its functions.
    ///
    /// # Errors
    /// It is no JavaScript, or throws.
    pub fn run_text(&self, cx: &mut Cx, text: &[u8]) -> Result<(), Failure> {
        self.eval(cx, &self.main, text, "jsdt_runstring")
    }

    /// Runs a text apart from the loaded script, among what was run so before.
    ///
    /// # Errors
    /// It is no JavaScript, or throws.
    pub fn run_apart(&self, cx: &mut Cx, text: &[u8], file: &str) -> Result<(), Failure> {
        if self.side.get().is_none() {
            let made = match self.depth.get() {
                0 => Context::full(&self.runtime),
                // The runtime is locked by the run under way.
                _ => {
                    return Err(Failure(
                        "jsdt_dofile() and jsdt_dostring() do not run from inside of a script".to_owned(),
                    ));
                }
            };
            let context = made.map_err(|error| Failure(format!("a context cannot be made: {error}")))?;
            self.prepare(&context)?;
            // Nobody else makes one meanwhile.
            let _ = self.side.set(context);
        }
        match self.side.get() {
            Some(context) => self.eval(cx, context, text, file),
            None => Ok(()),
        }
    }

    fn eval(&self, cx: &mut Cx, context: &Context, text: &[u8], file: &str) -> Result<(), Failure> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        self.run(cx, context, |ctx| eval::<JsValue<'_>>(ctx, text, file).map(drop))
    }

    /// Runs something on a message, within the budget of a run.
    fn run(
        &self,
        cx: &mut Cx,
        context: &Context,
        work: impl for<'js> FnOnce(&Ctx<'js>) -> JsResult<()>,
    ) -> Result<(), Failure> {
        let endless = cx.budget.steps == u64::MAX;
        let before = self.budget.begin(endless);
        let ended = self.ended.replace(false);
        let result = held::with_current(cx, || {
            self.within(context, |ctx| {
                let result = work(ctx);
                // What promises have left to do belongs to this message.
                while result.is_ok() && !self.ended.get() && ctx.execute_pending_job() {}
                result
            })
        });
        let by_exit = self.ended.replace(ended);
        let over = self.budget.over.replace(false);
        self.budget.until.set(before);
        match result {
            Err(_) if by_exit => Ok(()),
            Err(failure) if over => Err(Failure(format!(
                "the script was stopped: it ran for more than {} ms; {failure}",
                self.budget.time.as_millis()
            ))),
            other => other,
        }
    }

    fn within(
        &self,
        context: &Context,
        work: impl for<'js> FnOnce(&Ctx<'js>) -> JsResult<()>,
    ) -> Result<(), Failure> {
        let depth = self.depth.get();
        self.depth.set(depth.saturating_add(1));
        let caught = |ctx: Ctx<'_>| {
            let result = work(&ctx);
            result.map_err(|error| failure(CaughtError::from_error(&ctx, error)))
        };
        let result = if depth == 0 {
            context.with(caught)
        } else {
            // SAFETY: the runtime is locked by the run of a script further down this thread's stack, which called a
            // function of ours; the context is one of that runtime, and lives as long as this interpreter.
            #[expect(
                unsafe_code,
                reason = "a script that a function of a script runs enters the same runtime again"
            )]
            let ctx = unsafe { Ctx::from_raw(context.as_raw()) };
            caught(ctx)
        };
        self.depth.set(depth);
        result
    }

    /// Bytes that its objects take.
    pub fn memory(&self) -> i64 {
        match self.depth.get() {
            0 => self.runtime.memory_usage().memory_used_size,
            _ => 0,
        }
    }
}

impl Budget {
    /// A run begins; what was in force before.
    fn begin(&self, endless: bool) -> Option<Duration> {
        let until = held::thread_time().saturating_add(self.time);
        self.until.replace((!endless).then_some(until))
    }

    fn is_over(&self) -> bool {
        let over = self.until.get().is_some_and(|until| held::thread_time() > until);
        self.over.set(over);
        over
    }
}

/// A function by its name; `a.b` is a member.
fn function<'js>(ctx: &Ctx<'js>, name: &str) -> JsResult<Option<Function<'js>>> {
    let mut place = ctx.globals().into_value();
    for part in name.split('.') {
        let Some(object) = place.as_object() else {
            return Ok(None);
        };
        place = object.get(part)?;
    }
    // Functions that `let` or `const` name are no members of the global object.
    if place.is_undefined() && is_name(name) {
        place = eval(
            ctx,
            format!("typeof {name} === 'function' ? {name} : undefined"),
            "call",
        )?;
    }
    Ok(place.into_function())
}

fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    let first = |letter: u8| letter.is_ascii_alphabetic() || letter == b'_' || letter == b'$';
    letters.next().is_some_and(first) && letters.all(|letter| first(letter) || letter.is_ascii_digit())
}

/// What was thrown in one line: its message, and where it came from.
fn failure(error: CaughtError<'_>) -> Failure {
    match error {
        CaughtError::Error(error) => Failure(error.to_string()),
        CaughtError::Value(value) => {
            let text = value.as_string().and_then(|text| text.to_string().ok());
            Failure(format!(
                "uncaught {}",
                text.unwrap_or_else(|| format!("{value:?}"))
            ))
        }
        CaughtError::Exception(error) => {
            let name: Option<String> = error.as_object().get("name").ok();
            let mut text = name.unwrap_or_else(|| "Error".to_owned());
            if let Some(message) = error.message().filter(|message| !message.is_empty()) {
                text.push_str(": ");
                text.push_str(&message);
            }
            for line in error.stack().unwrap_or_default().lines().map(str::trim) {
                if !line.is_empty() {
                    text.push_str("; ");
                    text.push_str(line);
                }
            }
            Failure(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    const LIMITS: Limits = Limits {
        memory: 8 << 20,
        time: Duration::from_millis(200),
    };

    fn load(text: &str) -> Result<(Interpreter, Cx), Failure> {
        let mut cx = Server::default().invite();
        let source = Source {
            file: "/tmp/routes.js".to_owned(),
            text: text.as_bytes().to_vec(),
        };
        let table = Arc::new(Table::of(cx.config()));
        let interpreter = Interpreter::new(&source, &table, LIMITS, true, &mut cx)?;
        Ok((interpreter, cx))
    }

    fn fails(text: &str) -> String {
        let (interpreter, mut cx) = load(text).unwrap();
        let failure = interpreter.call(&mut cx, "f", &[]).unwrap_err();
        assert_eq!(
            interpreter.call(&mut cx, "ok", &[]),
            Ok(Called::Ended),
            "it goes on"
        );
        failure.0
    }

    #[test]
    fn functions_run_with_their_arguments() {
        let text = "var seen = ''; function f(a, b) { seen += a + b; } const g = () => { if (seen !== 'xy') throw 1; };";
        let (interpreter, mut cx) = load(text).unwrap();
        let args = [Str::from("x"), Str::from("y")];
        assert_eq!(interpreter.call(&mut cx, "f", &args), Ok(Called::Ended));
        assert_eq!(interpreter.call(&mut cx, "g", &[]), Ok(Called::Ended));
        assert_eq!(interpreter.call(&mut cx, "nope", &[]), Ok(Called::Missing));
        assert_eq!(interpreter.call(&mut cx, "f.g.h", &[]), Ok(Called::Missing));
    }

    #[test]
    fn errors_name_file_and_line() {
        let text = "function ok() {}\nfunction f() {\n  throw new TypeError('mine');\n}\n";
        let failure = fails(text);
        assert!(failure.starts_with("TypeError: mine"), "{failure}");
        assert!(failure.contains("/tmp/routes.js:3"), "{failure}");
        let syntax = load("function {").err().unwrap().0;
        assert!(
            syntax.contains("SyntaxError") && syntax.contains("/tmp/routes.js:1"),
            "{syntax}"
        );
    }

    #[test]
    fn endless_loops_recursion_and_hogs_are_stopped() {
        let tail = "\nfunction ok() {}";
        let endless = fails(&format!(
            "function f() {{ for (;;) {{ try {{ for (;;) {{}} }} catch (e) {{}} }} }}{tail}"
        ));
        assert!(
            endless.contains("200 ms") && endless.contains("routes.js:1"),
            "{endless}"
        );
        let deep = fails(&format!("function f() {{ f(); }}{tail}"));
        assert!(deep.contains("stack"), "{deep}");
        let hog = fails(&format!(
            "function f() {{ var a = []; for (;;) a.push(new Array(1000).fill(1)); }}{tail}"
        ));
        assert!(hog.contains("memory"), "{hog}");
    }

    #[test]
    fn exit_cannot_be_caught_and_is_no_error() {
        let text = "var n = 0; function f() { try { KSR.x.exit(); } catch (e) { n = 1; } finally { n += 0; } n = 2; }
                    function g() { if (n !== 0) throw new Error('went on: ' + n); }";
        let (interpreter, mut cx) = load(text).unwrap();
        assert_eq!(interpreter.call(&mut cx, "f", &[]), Ok(Called::Ended));
        assert_eq!(interpreter.call(&mut cx, "g", &[]), Ok(Called::Ended));
    }

    #[test]
    fn texts_that_are_run_apart_do_not_see_the_script() {
        let (interpreter, mut cx) = load("var mine = 1;").unwrap();
        assert_eq!(
            interpreter.run_text(&mut cx, b"if (mine !== 1) throw 1; var two = 2;"),
            Ok(())
        );
        assert_eq!(
            interpreter.run_apart(&mut cx, b"var side = typeof mine;", "a"),
            Ok(())
        );
        assert_eq!(
            interpreter.run_apart(&mut cx, b"if (side !== 'undefined') throw new Error(side);", "b"),
            Ok(())
        );
        assert!(interpreter.run_apart(&mut cx, b"syntax error", "b").is_err());
    }
}
