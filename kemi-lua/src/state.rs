//! One interpreter: LuaJIT with the `KSR` tree and the scripts loaded.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use kahea_kemi::{EXIT, Table};
use kahea_module::{Cx, InitError, Str, Worker};
use mlua::{Function, Lua, LuaOptions, StdLib, Thread, Value};

use crate::{
    entry::{self, Kept, pending},
    slot::Slot,
    watch::Watch,
};

/// The texts of scripts as they were read.
pub struct Sources {
    /// Grows with each reload.
    pub version: u64,
    /// Path and text, in the order of `modparam` lines.
    pub files: Vec<(Str, Str)>,
}

/// What an interpreter may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that its values take at most.
    pub memory: usize,
    /// Milliseconds that a script runs at most between two waits.
    pub time: u64,
}

/// An interpreter with scripts; on one thread.
pub struct State {
    // Dropped first: its functions point into `bound`.
    threads: RefCell<Vec<Thread>>,
    serve: Function,
    lua: Lua,
    /// The running message.
    pub slot: Rc<Slot>,
    /// Stops scripts that run for ever.
    pub watch: Watch,
    _bound: Kept,
}

/// Coroutines that are kept for further messages.
const KEPT_THREADS: usize = 64;

impl State {
    /// Makes an interpreter and runs the top level of each script, on a message of the server's own.
    ///
    /// # Errors
    /// A script does not compile or fails.
    pub fn new(
        worker: &Rc<Worker>,
        table: &Arc<Table>,
        sources: &Sources,
        limits: Limits,
    ) -> Result<State, InitError> {
        let state = State::bare(table, limits)
            .map_err(|error| InitError::new(format!("LuaJIT does not start: {error}")))?;
        let mut cx = Cx::faked(worker.clone()).map_err(|fault| InitError::new(fault.text.text()))?;
        let mut problem = None;
        for (path, text) in &sources.files {
            if let Err(error) = state.run_text(&mut cx, &path.text(), text) {
                problem = Some(InitError::new(error));
                break;
            }
        }
        cx.finish();
        match problem {
            None => Ok(state),
            Some(error) => Err(error),
        }
    }

    fn bare(table: &Arc<Table>, limits: Limits) -> mlua::Result<State> {
        let lua = full();
        let slot = Rc::new(Slot::new(table.clone()));
        let mut bound = Vec::with_capacity(table.entries().len());
        let set_drop = table
            .entries()
            .iter()
            .position(|entry| entry.module.is_empty() && entry.name == "set_drop");
        let set_drop = set_drop
            .map(|at| entry::function(&lua, &slot, Some(at), &mut bound))
            .transpose()?;
        let finish = entry::function(&lua, &slot, None, &mut bound)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=kahea");
        let (serve, waiting, leave): (Function, Function, mlua::Table) =
            prelude.call((pending(), finish, set_drop, EXIT))?;
        let ksr = tree(&lua, &slot, &waiting, &mut bound)?;
        let x: mlua::Table = ksr.raw_get("x")?;
        for pair in leave.pairs::<mlua::LuaString, Function>() {
            let (name, function) = pair?;
            x.raw_set(name, function)?;
        }
        lua.globals().raw_set("KSR", ksr)?;
        lua.set_memory_limit(limits.memory)?;
        Ok(State {
            threads: RefCell::default(),
            serve,
            watch: Watch::new(&lua, limits.time)?,
            lua,
            slot,
            _bound: bound,
        })
    }

    /// Compiles and runs a text in which nothing may wait.
    ///
    /// # Errors
    /// The error with its traceback.
    pub fn run_text(&self, cx: &mut Cx, name: &str, text: &[u8]) -> Result<(), String> {
        let chunk = self.lua.load(text).set_name(format!("@{name}")).into_function();
        let chunk = chunk.map_err(|error| message(&error))?;
        let thread = self.thread().map_err(|error| message(&error))?;
        match self.resume(cx, &thread, (chunk,)) {
            Came::Done(Ok(())) => {
                self.keep(thread);
                Ok(())
            }
            Came::Done(Err(text)) if text == EXIT => Ok(()),
            Came::Done(Err(text)) | Came::Broken(text) => Err(text),
            Came::Waits => {
                self.slot.waiting.take();
                Err(format!(
                    "{name}: a function that has to wait cannot be called while the script is loaded"
                ))
            }
        }
    }

    /// Compiles a text as a function.
    ///
    /// # Errors
    /// It is no Lua.
    pub fn compile(&self, name: &str, text: &[u8]) -> Result<Function, String> {
        self.lua
            .load(text)
            .set_name(name)
            .into_function()
            .map_err(|error| message(&error))
    }

    /// The global function of that name, with dots for tables.
    pub fn function(&self, name: &str) -> Option<Function> {
        let (tables, last) = match name.rsplit_once('.') {
            None => return self.lua.globals().raw_get(name).ok(),
            Some(parts) => parts,
        };
        let mut table = self.lua.globals();
        for part in tables.split('.') {
            table = table.raw_get(part).ok()?;
        }
        table.raw_get(last).ok()
    }

    /// A coroutine that waits for a function to run.
    ///
    /// # Errors
    /// Out of memory.
    pub fn thread(&self) -> mlua::Result<Thread> {
        match self.threads.borrow_mut().pop() {
            Some(thread) => Ok(thread),
            None => self.lua.create_thread(self.serve.clone()),
        }
    }

    /// Takes a coroutine back that has come to its end in good order.
    pub fn keep(&self, thread: Thread) {
        let mut threads = self.threads.borrow_mut();
        if threads.len() < KEPT_THREADS {
            threads.push(thread);
        }
    }

    /// Runs a coroutine until it has ended or waits.
    pub fn resume(&self, cx: &mut Cx, thread: &Thread, args: impl mlua::IntoLuaMulti) -> Came {
        let watched = self.watch.begin();
        let result: mlua::Result<(Value, Value, Value)> = self.slot.run_on(cx, || thread.resume(args));
        drop(watched);
        match result {
            Ok((Value::Boolean(true), Value::Boolean(true), _)) => Came::Done(Ok(())),
            Ok((Value::Boolean(true), _, problem)) => Came::Done(Err(text_of(&problem))),
            Ok((Value::LightUserData(_), _, _)) => Came::Waits,
            Ok(_) => Came::Broken("coroutine.yield() was called outside of a coroutine".to_owned()),
            Err(error) => Came::Broken(message(&error)),
        }
    }

    /// A Lua string.
    ///
    /// # Errors
    /// Out of memory.
    pub fn text(&self, bytes: &[u8]) -> mlua::Result<Value> {
        self.lua.create_string(bytes).map(Value::String)
    }
}

/// How far a coroutine came.
pub enum Came {
    /// Its function has ended, well or with an error and its traceback; the coroutine is ready for another.
    Done(Result<(), String>),
    /// It waits; the slot says for what.
    Waits,
    /// It cannot go on.
    Broken(String),
}

#[expect(
    unsafe_code,
    reason = "scripts of the operator have all of Lua, C modules and debug library included, as in Kamailio"
)]
fn full() -> Lua {
    // With these options pcall and xpcall stay Lua's own, which let a coroutine wait inside.
    let options = LuaOptions::new().catch_rust_panics(true);
    // SAFETY: what such a script does to the process is the operator's doing; nothing of the network is run as Lua.
    unsafe { Lua::unsafe_new_with(StdLib::ALL, options) }
}

/// `KSR` with its tables.
fn tree(lua: &Lua, slot: &Rc<Slot>, waiting: &Function, bound: &mut Kept) -> mlua::Result<mlua::Table> {
    let ksr = lua.create_table()?;
    for group in slot.table.groups() {
        let table = match group.name {
            "" => ksr.clone(),
            name => {
                let table = lua.create_table()?;
                ksr.raw_set(name, &table)?;
                table
            }
        };
        for at in &group.entries {
            let Some(entry) = slot.table.entries().get(*at) else {
                continue;
            };
            let mut function = entry::function(lua, slot, Some(*at), bound)?;
            if entry.waits {
                function = waiting.call(function)?;
            }
            table.raw_set(entry.name, function)?;
        }
    }
    Ok(ksr)
}

fn text_of(problem: &Value) -> String {
    match problem {
        Value::String(text) => text.to_string_lossy(),
        Value::Error(error) => message(error),
        other => format!("an error of type {}", other.type_name()),
    }
}

/// The text of an error as Lua has it.
pub fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::RuntimeError(message) | mlua::Error::MemoryError(message) => message.clone(),
        other => other.to_string(),
    }
}
