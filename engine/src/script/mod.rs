//! Script workers: threads for scripts that cannot be suspended (Python, JavaScript, …).
//!
//! Where the configuration has such a language the workers that read sockets only frame messages and put them into one
//! [`Queue`]; script workers take them from there. A script runs outside of its worker's runtime (`Still`), so that a
//! function that waits holds this thread alone, while the worker's timers and tasks go on.

mod crew;
mod glance;
mod queue;
mod still;

pub use self::{
    crew::{Crew, Entrance},
    queue::Queue,
    still::{apart, at_once, stand, standing},
};
