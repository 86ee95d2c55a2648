//! What a message carries through the script so that it is masked rightly on its way out: `TH`, as a header and as a
//! parameter of the topmost Via. Neither leaves the server.

use kahea_sip::{Message, Span, view::Via};

use super::patches::Patches;

/// The name of header and parameter.
const NAME: &[u8] = b"TH";

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As the request that began the dialog.
    Down,
    /// Against it.
    Up,
}

impl Way {
    /// The other one.
    pub fn flipped(self) -> Way {
        match self {
            Way::Down => Way::Up,
            Way::Up => Way::Down,
        }
    }

    fn letter(self) -> u8 {
        match self {
            Way::Down => b'd',
            Way::Up => b'u',
        }
    }

    fn of(cookie: &[u8]) -> Option<Way> {
        match cookie {
            [b'd', _, _] => Some(Way::Down),
            [b'u', _, _] => Some(Way::Up),
            _ => None,
        }
    }
}

/// Notes in a message that came which way it goes, and whether it begins a dialog.
pub fn add(msg: &Message, way: Way, initial: bool, patches: &mut Patches) {
    strip_headers(msg, patches);
    let kind = if initial { b'i' } else { b'c' };
    let mut header = NAME.to_vec();
    header.extend_from_slice(&[b':', b' ', way.letter(), kind, b'h', b'\r', b'\n']);
    patches.insert(msg.headers_end(), header);
    let Some((hop, via)) = top(msg) else { return };
    let mut param = b";".to_vec();
    param.extend_from_slice(NAME);
    param.extend_from_slice(&[b'=', way.letter(), kind, b'v']);
    let place = behind_sent_by(msg, hop, &via);
    // What a peer put there under this name would be taken for ours.
    let foreign: Vec<Span> = params(msg, hop, &via).collect();
    if let Some(at) = place {
        patches.insert(at, param);
        foreign.into_iter().for_each(|span| patches.remove(span));
    }
}

/// Takes header and parameter out of a message that leaves.
pub fn strip(msg: &Message, patches: &mut Patches) {
    strip_headers(msg, patches);
    if let Some((hop, via)) = top(msg) {
        params(msg, hop, &via).for_each(|span| patches.remove(span));
    }
}

fn strip_headers(msg: &Message, patches: &mut Patches) {
    msg.named(NAME).for_each(|header| patches.remove(header.line));
}

/// What the header of a message says; none: it was made here.
pub fn in_header(msg: &Message) -> Option<Way> {
    msg.named(NAME).find_map(|header| Way::of(msg.value(header)))
}

/// What the topmost Via says.
pub fn in_via(msg: &Message) -> Option<Way> {
    top(msg).and_then(|(_, via)| of_via(&via))
}

/// What a Via says.
pub fn of_via(via: &Via<'_>) -> Option<Way> {
    via.params.value(NAME).and_then(Way::of)
}

fn top(msg: &Message) -> Option<(Span, Via<'_>)> {
    let hop = msg.vias().next()?.span;
    Some((hop, Via::parse(msg.bytes(hop)).ok()?))
}

fn behind_sent_by(msg: &Message, hop: Span, via: &Via<'_>) -> Option<u32> {
    let last = if via.port_text.is_empty() {
        via.host
    } else {
        via.port_text
    };
    within(msg, hop, last).map(Span::end)
}

fn params<'a>(msg: &'a Message, hop: Span, via: &Via<'a>) -> impl Iterator<Item = Span> + 'a {
    let list = via.params;
    let whole = msg.bytes(hop);
    list.iter()
        .filter(|param| param.name.eq_ignore_ascii_case(NAME))
        .filter_map(move |param| {
            let range = list.removal(whole, &param)?;
            within(msg, hop, whole.get(range)?)
        })
}

/// Where a piece of `outer` lies in the message.
pub fn within(msg: &Message, outer: Span, piece: &[u8]) -> Option<Span> {
    let inner = Span::within(msg.bytes(outer), piece)?;
    Some(Span::new(
        outer.start().checked_add(inner.start())?,
        outer.start().checked_add(inner.end())?,
    ))
}
