//! Python: `app_python3` and `app_python3s` over the machine's own CPython, whose scripts run on script workers. Its lock is
//! released while a function waits.

mod classic;
mod ksr;
mod message;
mod namespace;
mod scripts;
mod simple;
mod value;
mod visits;
mod watchdog;

use kahea_module::registry::ModuleDecl;

pub use self::{classic::AppPython3, simple::AppPython3s};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    kahea_module::modules![AppPython3, AppPython3s]
}
