//! JavaScript: `app_jsdt` over QuickJS, which cannot be suspended, so that its scripts run on script workers.

mod interpreter;
mod ksr;
mod module;
mod require;
mod value;

use kahea_module::registry::ModuleDecl;

pub use self::module::AppJsdt;

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    kahea_module::modules![AppJsdt]
}
