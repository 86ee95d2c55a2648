//! Transactions of SIP (RFC 3261 section 17, RFC 6026), without sockets and without a clock.
//!
//! [`Transaction`] is what a proxy keeps for a request that it forwards: one server machine towards the caller and one
//! client machine for each branch. It is told what happened and when, and answers with [`Action`]s. Nothing in here
//! sends, waits or reads the time, so every run can be repeated.
//!
//! [`Key`] finds the transaction that a request belongs to; [`Wheel`] holds the timers of many of them.

#![forbid(unsafe_code)]

mod choice;
mod client;
mod key;
mod server;
mod time;
mod transaction;
mod wheel;

pub use self::{
    choice::{Choice, Priorities},
    client::{CancelMethod, Client, ClientEvent, ClientSend, ClientState, ClientStep, ClientTell, Outcome},
    key::{Key, Matching},
    server::{Server, ServerEvent, ServerState, ServerStep},
    time::{Time, Timing},
    transaction::{Action, Actions, BranchId, Policy, Transaction},
    wheel::Wheel,
};
