//! The wall clock: this layer is one of the two that may read it.

use std::time::SystemTime;

/// Now. Everything else in this crate uses tokio's clock, which tests can move.
#[expect(
    clippy::disallowed_methods,
    reason = "net hands the time of receipt to the layers above"
)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
