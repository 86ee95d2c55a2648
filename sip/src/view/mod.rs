//! Typed views of header values: borrowed, lazy, without copies.
//!
//! Every view is made by `X::parse(&[u8])`, holds sub-slices of what it was given and keeps the whole of it as `raw`.
//! A caller can so share a piece ([`crate::Str::share`]) or edit the message by the piece's place ([`range_in`]).
//! Views take what phones send (folding, blanks, raw bytes, unknown parameters) and refuse only what has no meaning.

mod auth;
mod challenge;
mod charging_vector;
mod credentials;
mod cseq;
mod equivalence;
mod escape;
mod event;
mod expires;
mod fuzz;
mod identity;
mod media_type;
mod nameaddr;
mod params;
mod rack;
mod reason;
mod replaces;
pub(crate) mod scan;
mod tokens;
mod uri;
mod via;
mod warning;

use std::{error, fmt, ops::Range};

pub use self::{
    auth::{Algorithm, Qop},
    challenge::{Challenge, Challenges},
    charging_vector::ChargingVector,
    credentials::Credentials,
    cseq::CSeq,
    escape::{param_escape, percent_decode, quote, unquote, user_escape},
    event::{Event, SubscriptionState},
    expires::{Expires, MaxForwards, RetryAfter, SessionExpires},
    fuzz::{fuzz_views, sdp as fuzz_sdp, uris as fuzz_uris},
    identity::Identity,
    media_type::{MediaType, MediaTypes},
    nameaddr::{Addrs, Contacts, NameAddr},
    params::{Param, Params, ParamsIter},
    rack::{RAck, RSeq},
    reason::{Reason, Reasons},
    replaces::Replaces,
    tokens::Tokens,
    uri::{Scheme, Uri},
    via::{Rport, Via, Vias},
    warning::{Warning, Warnings},
};

/// A value that its grammar gives no meaning to: the peer's fault, answered with 400 where an answer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong, as a phrase: `no host`, `port above 65535`.
    pub what: &'static str,
    /// Where, in bytes from the start of the text that was parsed.
    pub at: usize,
}

impl Malformed {
    pub(crate) const fn new(what: &'static str, at: usize) -> Malformed {
        Malformed { what, at }
    }

    /// The same fault seen from a text in which the parsed one starts `by` bytes later.
    pub const fn shifted(self, by: usize) -> Malformed {
        Malformed {
            what: self.what,
            at: self.at.saturating_add(by),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl error::Error for Malformed {}

/// Where `piece` lies in `outer`; `None` where it is not a part of it.
///
/// Views keep empty pieces in place too, so that text can be inserted there.
pub fn range_in(outer: &[u8], piece: &[u8]) -> Option<Range<usize>> {
    let start = piece.as_ptr().addr().checked_sub(outer.as_ptr().addr())?;
    let end = start.checked_add(piece.len())?;
    (end <= outer.len()).then_some(start..end)
}
