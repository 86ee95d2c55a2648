//! The budget of time of scripts: one thread looks at all interpreters now and then, and stops a script that does not
//! end. A script that ends in time pays two stores.
#![expect(
    unsafe_code,
    reason = "a running interpreter can be reached by a signal only, whose handler sets a hook of Lua"
)]

use std::{
    cell::Cell,
    ffi::c_int,
    ptr,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use mlua::{Lua, ffi};
use parking_lot::Mutex;

/// Between two looks, in milliseconds.
const TICK: u64 = 100;
/// Instructions between two errors raised: what the error handler of the script's caller may take.
const RESPITE: c_int = 10_000;

/// What the watching thread sees of one interpreter.
struct Beat {
    /// Odd while a script runs; grows at each begin and end.
    count: AtomicU64,
    /// The count that is to be stopped.
    stop: AtomicU64,
    /// A hook may be set.
    hooked: AtomicBool,
    /// The interpreter's thread.
    thread: libc::pthread_t,
    /// Looks at one count that are too many.
    patience: u64,
}

static BEATS: Mutex<Vec<Arc<Beat>>> = Mutex::new(Vec::new());

thread_local! {
    /// The interpreter in work on this thread; read by the signal handler.
    static CURRENT: Cell<(*mut ffi::lua_State, *const Beat)> = const { Cell::new((ptr::null_mut(), ptr::null())) };
}

/// Watches one interpreter, from its own thread.
pub struct Watch {
    state: *mut ffi::lua_State,
    beat: Arc<Beat>,
}

impl Watch {
    /// Lets scripts run for so many milliseconds between two waits.
    ///
    /// # Errors
    /// Lua is out of memory.
    pub fn new(lua: &Lua, milliseconds: u64) -> mlua::Result<Watch> {
        start();
        let mut state = ptr::null_mut();
        // SAFETY: only the address is kept; the watch is dropped with the interpreter.
        unsafe { lua.exec_raw::<()>((), |own| state = own)? };
        let beat = Arc::new(Beat {
            count: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            hooked: AtomicBool::new(false),
            // SAFETY: it only reads the caller's own identity.
            thread: unsafe { libc::pthread_self() },
            patience: milliseconds.div_ceil(TICK).max(1),
        });
        BEATS.lock().push(beat.clone());
        Ok(Watch { state, beat })
    }

    /// A script begins to run; it ends with what this returns.
    pub fn begin(&self) -> Running<'_> {
        let outer = CURRENT.replace((self.state, Arc::as_ptr(&self.beat)));
        // A script that a script of the same interpreter runs is a part of it.
        let nested = ptr::eq(outer.1, Arc::as_ptr(&self.beat));
        if !nested {
            self.beat.count.fetch_add(1, Relaxed);
        }
        Running {
            watch: self,
            outer,
            nested,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        BEATS.lock().retain(|beat| !Arc::ptr_eq(beat, &self.beat));
    }
}

/// A script runs.
pub struct Running<'a> {
    watch: &'a Watch,
    outer: (*mut ffi::lua_State, *const Beat),
    nested: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.nested {
            self.watch.beat.count.fetch_add(1, Relaxed);
            if self.watch.beat.hooked.load(Relaxed) {
                self.watch.beat.hooked.store(false, Relaxed);
                // SAFETY: the interpreter is alive, and its thread is this one.
                unsafe { ffi::lua_sethook(self.watch.state, None, 0, 0) };
            }
        }
        CURRENT.set(self.outer);
    }
}

fn signal() -> c_int {
    libc::SIGRTMIN().saturating_add(7)
}

/// Starts the watching thread, once.
fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // SAFETY: the action is whole, and its handler does only what may be done in one: it reads constants of the
        // thread and calls lua_sethook, which is made for signal handlers.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = stop as extern "C" fn(c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal(), &raw const action, ptr::null_mut());
        }
        let named = std::thread::Builder::new().name("lua-watch".to_owned());
        if let Err(error) = named.spawn(watch) {
            kahea_module::error!("app_lua", "Scripts run without a limit of time: {error}.");
        }
    });
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, which does nothing but look now and then"
)]
fn watch() {
    let mut seen: Vec<(*const Beat, u64, u64)> = Vec::new();
    loop {
        std::thread::sleep(Duration::from_millis(TICK));
        let beats = BEATS.lock();
        seen.retain(|(known, ..)| beats.iter().any(|beat| ptr::eq(*known, Arc::as_ptr(beat))));
        for beat in beats.iter() {
            let count = beat.count.load(Relaxed);
            let own = Arc::as_ptr(beat);
            let looks = match seen.iter_mut().find(|(known, ..)| ptr::eq(*known, own)) {
                Some((_, last, looks)) => {
                    *looks = if *last == count {
                        looks.saturating_add(1)
                    } else {
                        0
                    };
                    *last = count;
                    *looks
                }
                None => {
                    seen.push((own, count, 0));
                    0
                }
            };
            if count % 2 == 1 && looks >= beat.patience {
                beat.stop.store(count, Relaxed);
                // SAFETY: the thread has not ended: its interpreter, which is in the list, would have left it before.
                unsafe { libc::pthread_kill(beat.thread, signal()) };
            }
        }
    }
}

/// The signal handler, on the thread of the script.
extern "C" fn stop(_: c_int) {
    let (state, beat) = CURRENT.get();
    // SAFETY: set while the interpreter runs on this very thread, and so alive.
    let Some(beat) = (unsafe { beat.as_ref() }) else {
        return;
    };
    if beat.stop.load(Relaxed) == beat.count.load(Relaxed) {
        beat.hooked.store(true, Relaxed);
        // SAFETY: as above; lua_sethook may be called from signal handlers.
        unsafe { ffi::lua_sethook(state, Some(stopped), ffi::LUA_MASKCOUNT, 1) };
    }
}

/// Runs in the script's place as soon as it is stopped.
unsafe extern "C-unwind" fn stopped(state: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls this with the state that runs; nothing here has a destructor.
    unsafe {
        ffi::lua_sethook(state, Some(stopped), ffi::LUA_MASKCOUNT, RESPITE);
        let text =
            c"the script was stopped: it ran longer than modparam(\"app_lua\", \"script_timeout\") allows";
        ffi::luaL_where(state, 0);
        ffi::lua_pushstring(state, text.as_ptr());
        ffi::lua_concat(state, 2);
        ffi::lua_error(state);
    }
}
