//! Lua: `cfgengine "lua"` and module `app_lua`, by LuaJIT.
//!
//! Each worker has an interpreter of its own. A callback runs as a Lua coroutine on the worker that read the message;
//! a function that has to wait suspends it, and the worker goes on with other messages.

mod app_lua;
mod call;
mod entry;
mod slot;
mod state;
mod syntax;
#[cfg(test)]
mod tests;
mod watch;

use kahea_module::registry::ModuleDecl;

pub use self::syntax::{SyntaxError, check_syntax};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    kahea_module::modules![app_lua::AppLua]
}
