//! The running message of an interpreter: where functions of `KSR` find it.
#![expect(
    unsafe_code,
    reason = "Lua cannot carry a Rust borrow: the message's address waits here while its script runs"
)]

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use kahea_kemi::Table;
use kahea_module::{Cx, ret::Later, rpc::RpcValue};

/// What a script left behind when it had to wait.
pub struct Waiting {
    /// What is waited for.
    pub later: Later,
    /// The function, as its place in the table.
    pub entry: usize,
}

/// One for each interpreter; on its thread alone.
pub struct Slot {
    /// The functions.
    pub table: Arc<Table>,
    cx: Cell<*mut Cx>,
    /// The function that has to wait, between a call and the yield that follows.
    pub waiting: RefCell<Option<Waiting>>,
    /// The value that the function had waited for.
    pub answer: RefCell<Option<RpcValue>>,
}

impl Slot {
    /// Without a message.
    pub fn new(table: Arc<Table>) -> Slot {
        Slot {
            table,
            cx: Cell::new(std::ptr::null_mut()),
            waiting: RefCell::default(),
            answer: RefCell::default(),
        }
    }

    /// Runs Lua code on a message: functions of `KSR` that it calls work on it.
    pub fn run_on<T>(&self, cx: &mut Cx, run: impl FnOnce() -> T) -> T {
        struct Restore<'a>(&'a Cell<*mut Cx>, *mut Cx);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _outer = Restore(&self.cx, self.cx.replace(std::ptr::from_mut(cx)));
        run()
    }

    /// Works on the running message; `None` where none runs.
    pub fn with<T>(&self, work: impl FnOnce(&mut Cx) -> T) -> Option<T> {
        // Taken out while in use, so that there is never a second reference: code that runs scripts from within a
        // function puts the message in again by `run_on`.
        let cx = self.cx.replace(std::ptr::null_mut());
        struct PutBack<'a>(&'a Cell<*mut Cx>, *mut Cx);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _back = PutBack(&self.cx, cx);
        // SAFETY: not null only within `run_on`, which holds the one `&mut Cx` that this pointer came from for as long
        // as Lua runs and does not use it meanwhile; the slot stays on one thread; and it is null while in use here.
        unsafe { cx.as_mut() }.map(work)
    }
}
