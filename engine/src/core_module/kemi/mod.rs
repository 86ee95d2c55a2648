//! The `KSR.*` functions of the core that have no twin in the native script.

mod content;
mod headers;
mod identity;
mod message;
mod target;
mod vars;
mod write;

use kahea_module::Decl;

use super::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    write::declare(d);
    identity::declare(d);
    message::declare(d);
    target::declare(d);
    headers::declare(d);
    vars::declare(d);
}
