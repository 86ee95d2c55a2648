//! KEMI: what all embedded languages share. One [`Table`] of the `KSR` tree, made by walking the registry once for each
//! configuration; calls through it cost no look-up by name.
//!
//! A language crate makes its own objects from the table (`KSR.<name>`, `KSR.<module>.<name>`), each bound to an
//! [`Entry`]; to carry out a call it picks the overload by the number of arguments and hands values over:
//!
//! ```text
//! match entry.call(cx, values) {
//!     Ok(Answer::Now(value)) => …,              // convert it
//!     Ok(Answer::Later(later)) => …,            // wait, then entry.answer(cx, ret)
//!     Err(error) => …,                          // raise error.to_string()
//! }
//! ```

mod api;
pub mod check;
mod embed;
pub mod held;
mod modf;
mod returns;
pub mod stubs;
mod table;

pub use self::{
    api::api_list,
    embed::{EXIT, as_function, one_line},
    returns::Returns,
    table::{Answer, CallError, Entry, Group, Table},
};
