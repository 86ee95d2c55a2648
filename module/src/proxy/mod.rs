//! Stateless proxying (RFC 3261 section 16.11): local replies, forwarded requests and replies, and sending as such.

mod forward;
pub mod http;
mod next_hop;
mod relay;
mod reply;
mod send;
mod via;

pub use self::{
    forward::{build_request, forward, forward_to, forward_with, resolve_then},
    next_hop::{hop_of_parts, hop_of_uri, next_hop},
    relay::{build_relayed, forward_reply},
    reply::{Redirect, build_reply, is_local_tag, local_tag, reply, reply_destination, reply_to},
    send::{deliver, send_raw},
    via::{branch, own_via, own_via_branch, own_via_text},
};
