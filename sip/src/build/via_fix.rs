//! Noting in the topmost Via where a request came from.

use std::{
    fmt,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

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

/// The parameters for [`ViaFix`], kept while the patches borrow them; empty where none is due.
#[derive(Debug, Default)]
pub(super) struct ViaNotes {
    /// `;received=192.0.2.1`
    received: Vec<u8>,
    /// `;rport=5060`
    rport: Vec<u8>,
}

const RECEIVED: &[u8] = b";received=";
const RPORT: &[u8] = b";rport=";

impl ViaNotes {
    pub fn new(message: &Message, via: &ViaParts, fix: ViaFix) -> ViaNotes {
        let asked = via.rport.is_some() || fix.force_rport;
        let mut notes = ViaNotes::default();
        if via.rport.is_some() || !is_host(message.bytes(via.host), fix.source) {
            notes.received = written(RECEIVED, format_args!("{}", fix.source.ip().to_canonical()));
        }
        if asked {
            notes.rport = written(RPORT, format_args!("{}", fix.source.port()));
        }
        notes
    }

    /// In place where the parameter is there, else at `at`, `rport` before `received`.
    pub fn patches<'a>(&'a self, via: &ViaParts, at: u32, more: &mut More<'a>) {
        let notes = [
            (via.rport, RPORT, &self.rport),
            (via.received, RECEIVED, &self.received),
        ];
        for (param, prefix, text) in notes {
            let Some(value) = text.strip_prefix(prefix) else {
                continue;
            };
            more.push(match param {
                Some(Param { value: Some(old), .. }) => Patch::replace(old, value),
                // Behind a name alone goes the equals sign too: `rport` becomes `rport=5060`.
                Some(Param { name, .. }) => Patch::replace(name, text.get(1..).unwrap_or_default()),
                None => Patch::replace(Span::at(at), text),
            });
        }
    }
}

fn written(prefix: &[u8], value: fmt::Arguments<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(prefix);
    // Writing to a vector cannot fail.
    let _written: io::Result<()> = text.write_fmt(value);
    text
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
