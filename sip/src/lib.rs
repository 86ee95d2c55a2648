//! SIP on the wire: message bytes, header index, lazy typed views, edit list, serialiser. No I/O, no clock.
#![forbid(unsafe_code)]

pub mod date;
pub mod flow;
pub mod multipart;
pub mod sdp;
mod str;
pub mod view;

pub use self::{
    flow::{ConnectionId, Destination, ListenerId, Received, SendFlags, Transport},
    str::Str,
};
