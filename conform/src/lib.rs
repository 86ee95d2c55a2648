//! The end-to-end suite: cases of a configuration and a scenario, with transcripts recorded from Kamailio.
//!
//! A case sees a server only from outside: messages on the wire, RPC answers, the lines that the script logs. It knows
//! none of our crates, so that the same file runs against Kamailio and against Kahea. `README.md` describes the format.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runner blocks its own thread and reads the machine's clock"
)]

pub mod case;
pub mod digest;
pub mod endpoint;
pub mod engine;
pub mod message;
pub mod netns;
pub mod normalise;
pub mod play;
pub mod scenario;
pub mod server;
pub mod suite;
pub mod text;
pub mod transcript;
pub mod web;
