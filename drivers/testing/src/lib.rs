//! For tests: real database servers, started in a temporary folder and ended with their handle; a gate between client
//! and server that can hold traffic back; and one suite of checks that every driver passes.
//!
//! Servers are those of the system. Where one is not installed, starting it fails and says which package has it.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and wait in real time"
)]

mod gate;
mod mariadb;
mod postgres;
mod process;
mod redis;
pub mod suite;

pub use self::{
    gate::{Gate, Traffic},
    mariadb::MariaDb,
    postgres::Postgres,
    redis::Redis,
};
