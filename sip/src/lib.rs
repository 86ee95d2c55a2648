//! SIP on the wire: message bytes, header index, lazy typed views, edit list, serialiser. No I/O, no clock.
#![forbid(unsafe_code)]

pub mod build;
pub mod date;
mod edits;
mod error;
mod fault;
pub mod flow;
pub mod framing;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod header;
pub mod http;
mod message;
mod method;
pub mod multipart;
mod parse;
pub mod sdp;
mod span;
mod str;
mod via_hops;
mod via_parts;
pub mod view;

pub use self::{
    edits::{Edit, EditId, EditTag, Edits, Insert, Late, LateId, Place},
    error::{Limits, ParseError, ParseErrorKind},
    fault::Fault,
    flow::{ConnectionId, Destination, ListenerId, Received, SendFlags, Transport},
    header::HeaderId,
    message::{FirstLine, Header, Message},
    method::Method,
    span::Span,
    str::Str,
    via_hops::{ViaHop, Vias},
};
