//! Noting in the topmost Via where a request came from.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::{
    Message, Span,
    edits::Patch,
    via_parts::{Param, ViaParts},
};

/// Patches of the serialiser itself: request URI, Via, two Via parameters, Content-Length.
pub(super) type More<'a> = SmallVec<[Patch<'a>; 6]>;

/// What a proxy notes in the topmost Via of a request (RFC 3261 section 18.2.1, RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaFix {
    /// Where the request came from.
    pub source: SocketAddr,
    /// Add `rport` even where the sender did not ask for it (`force_rport()`).
    pub force_rport: bool,
}

/// The texts for [`ViaFix`], kept while the patches borrow them.
#[derive(Debug, Default)]
pub(super) struct ViaNotes {
    received: Vec<u8>,
    rport: Vec<u8>,
    /// The number at the end of `rport`.
    port: Vec<u8>,
    address: Vec<u8>,
}

impl ViaNotes {
    pub fn new(message: &Message, via: &ViaParts, fix: ViaFix) -> ViaNotes {
        let ask = via.rport.is_some() || fix.force_rport;
        let mut notes = ViaNotes::default();
        if ask || !is_host(message.bytes(via.host), fix.source) {
            notes.address = fix.source.ip().to_canonical().to_string().into_bytes();
            notes.received = [b";received=", notes.address.as_slice()].concat();
        }
        if ask {
            notes.port = fix.source.port().to_string().into_bytes();
            notes.rport = [b";rport=", notes.port.as_slice()].concat();
        }
        notes
    }

    /// In place where the parameter is there, else at `at`, `rport` before `received`.
    pub fn patches<'a>(&'a self, via: &ViaParts, at: u32, more: &mut More<'a>) {
        let mut note =
            |param: Option<Param>, name: &'static [u8], value: &'a [u8], whole: &'a [u8]| match param {
                _ if value.is_empty() => {}
                Some(Param { value: Some(old), .. }) => more.push(Patch::replace(old, value)),
                // Written anew as one piece: `rport` becomes `rport=5060`.
                Some(Param { name: old, .. }) => {
                    more.push(Patch::replace(old, whole.get(1..).unwrap_or(name)))
                }
                None => more.push(Patch::replace(Span::at(at), whole)),
            };
        note(via.rport, b"rport", &self.port, &self.rport);
        note(via.received, b"received", &self.address, &self.received);
    }
}

/// Whether a Via's host is literally this address.
fn is_host(host: &[u8], source: SocketAddr) -> bool {
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    std::str::from_utf8(host)
        .ok()
        .and_then(|host| host.parse::<IpAddr>().ok())
        .is_some_and(|ip| ip.to_canonical() == source.ip().to_canonical())
}
