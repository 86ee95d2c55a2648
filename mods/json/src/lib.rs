//! Modules of the JSON family: documents in scripts, and what is routed or asked by them.
#![forbid(unsafe_code)]

mod document;
mod jansson;
mod json;
mod sipjson;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![jansson::Jansson, json::Json, sipjson::SipJson]
}
