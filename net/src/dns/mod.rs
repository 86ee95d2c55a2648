//! DNS for SIP: RFC 3263 over a cache of its own, plain look-ups, and the list of destinations to avoid.

mod blocklist;
mod cache;
mod hosts;
mod locate;
mod random;
mod record;
mod resolver;
mod wire;

pub use self::{
    blocklist::{BlockEntry, BlockReason, Blocklist},
    record::{Naptr, Record, RecordData, RecordKind, Srv},
    resolver::{CacheEntry, Query, ResolveError, Resolver, Target, Targets},
};
