//! Noting in the topmost Via where a request came from.

use std::{
    fmt,
    io::{Cursor, Write},
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
    received: Note,
    /// `;rport=5060`
    rport: Note,
}

/// A parameter, without an allocation: each reply and each forwarded request has two.
#[derive(Debug)]
struct Note(Cursor<[u8; NOTE]>);

impl Default for Note {
    fn default() -> Note {
        Note(Cursor::new([0; NOTE]))
    }
}

/// `;received=` and the longest IPv6 address take 49 bytes.
const NOTE: usize = 64;

impl Note {
    fn new(prefix: &[u8], value: fmt::Arguments<'_>) -> Note {
        let mut text = Note::default().0;
        let written = text.write_all(prefix).and_then(|()| text.write_fmt(value));
        // Half an address would be worse than none.
        written.map(|()| Note(text)).unwrap_or_default()
    }

    fn text(&self) -> &[u8] {
        let len = usize::try_from(self.0.position()).unwrap_or_default();
        self.0.get_ref().get(..len).unwrap_or_default()
    }
}

const RECEIVED: &[u8] = b";received=";
const RPORT: &[u8] = b";rport=";

impl ViaNotes {
    pub fn new(message: &Message, via: &ViaParts, fix: ViaFix) -> ViaNotes {
        let asked = via.rport.is_some();
        let mut notes = ViaNotes::default();
        // RFC 3581 section 4 wants `received` beside an `rport` that was asked for, even where it tells nothing new.
        if asked || !is_host(message.bytes(via.host), fix.source) {
            notes.received = Note::new(RECEIVED, format_args!("{}", fix.source.ip().to_canonical()));
        }
        if asked || fix.force_rport {
            notes.rport = Note::new(RPORT, format_args!("{}", fix.source.port()));
        }
        notes
    }

    /// In place where the parameter is there, else at `at`, `rport` before `received`.
    pub fn patches<'a>(&'a self, via: &ViaParts, at: u32, more: &mut More<'a>) {
        let notes = [
            (via.rport, RPORT, self.rport.text()),
            (via.received, RECEIVED, self.received.text()),
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
