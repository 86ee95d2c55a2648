//! [`Edits`]: what a script changes in a message, recorded while it runs and applied when the message is built.
//!
//! Positions are offsets into the message as it was received, as Kamailio's lumps are: a later edit does not see
//! an earlier one. At one offset, texts placed after what ends there come before texts placed before what begins
//! there, and texts of one kind come in the order in which they were recorded.

use std::ops::Range;

use smallvec::SmallVec;

use crate::{HeaderId, Message, Span, Str, span::offset};

/// The handle of one recorded edit, for [`Edits::undo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EditId(u32);

/// The name of a text that is known only when the message is built, such as the address of the sending socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LateId(pub u16);

/// Writes the text of a [`LateId`] at the end of the buffer.
pub type Late<'a> = &'a mut dyn FnMut(LateId, &mut Vec<u8>);

/// On which side of an offset a text goes: this decides the order where several meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// Belongs behind what ends at the offset (`append_hf`).
    After,
    /// Belongs in front of what begins at the offset (`insert_hf`, replacements).
    Before,
}

/// What an edit is about, so that functions find their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EditTag {
    /// Adds, changes or removes this header.
    Header(HeaderId),
    /// Changes the body.
    Body,
    /// Anything else.
    #[default]
    Other,
}

/// A text that an edit puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insert {
    /// This text.
    Text(Str),
    /// A text asked for when the message is built.
    Late(LateId),
}

impl From<Str> for Insert {
    fn from(text: Str) -> Insert {
        Insert::Text(text)
    }
}

impl From<LateId> for Insert {
    fn from(id: LateId) -> Insert {
        Insert::Late(id)
    }
}

/// One edit: the bytes of `removed` leave, `insert` comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The bytes taken out; empty, at the place of insertion, where nothing is.
    pub removed: Span,
    /// What comes in, if anything.
    pub insert: Option<Insert>,
    /// On which side of the start of `removed` it comes in.
    pub place: Place,
    /// What the edit is about.
    pub tag: EditTag,
}

/// The list of edits of one message. Empty ones cost no allocation.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// Undone edits stay as `None`, so that handles remain valid.
    list: Vec<Option<Edit>>,
}

impl Edits {
    /// No edits.
    pub const fn new() -> Edits {
        Edits { list: Vec::new() }
    }

    /// Whether the message is built as it came.
    pub fn is_empty(&self) -> bool {
        self.list.iter().all(Option::is_none)
    }

    /// Forgets all edits; their handles must not be used again.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// Takes the bytes of `span` out.
    pub fn remove(&mut self, span: Span, tag: EditTag) -> EditId {
        self.push(Edit {
            removed: span,
            insert: None,
            place: Place::Before,
            tag,
        })
    }

    /// Puts `text` in at the offset `at`.
    pub fn insert(&mut self, at: u32, place: Place, text: impl Into<Insert>, tag: EditTag) -> EditId {
        self.push(Edit {
            removed: Span::at(at),
            insert: Some(text.into()),
            place,
            tag,
        })
    }

    /// Puts `text` in the place of the bytes of `span`.
    pub fn replace(&mut self, span: Span, text: impl Into<Insert>, tag: EditTag) -> EditId {
        self.push(Edit {
            removed: span,
            insert: Some(text.into()),
            place: Place::Before,
            tag,
        })
    }

    /// Records `edit` behind the others.
    pub fn push(&mut self, edit: Edit) -> EditId {
        let id = EditId(offset(self.list.len()));
        self.list.push(Some(edit));
        id
    }

    /// Takes one edit back and returns it; `None` where it is gone already.
    pub fn undo(&mut self, id: EditId) -> Option<Edit> {
        self.list.get_mut(id.0 as usize)?.take()
    }

    /// The edit of this handle, unless undone.
    pub fn get(&self, id: EditId) -> Option<&Edit> {
        self.list.get(id.0 as usize)?.as_ref()
    }

    /// For changing an edit in place, such as the text that an earlier call put in.
    pub fn get_mut(&mut self, id: EditId) -> Option<&mut Edit> {
        self.list.get_mut(id.0 as usize)?.as_mut()
    }

    /// Whether one edit removes every byte of `span`, as `remove_hf` does with a header's line. Never for an empty span.
    pub fn is_removed(&self, span: Span) -> bool {
        !span.is_empty() && self.iter().any(|(_, edit)| edit.removed.contains(span))
    }

    /// The edits in the order in which they were recorded.
    pub fn iter(&self) -> impl Iterator<Item = (EditId, &Edit)> {
        self.list
            .iter()
            .enumerate()
            .filter_map(|(index, edit)| Some((EditId(offset(index)), edit.as_ref()?)))
    }

    /// Whether an edit touches a byte of the body or puts text into it.
    pub fn touches(&self, span: Span) -> bool {
        self.iter().any(|(_, edit)| {
            edit.removed.overlaps(span)
                || edit.insert.is_some()
                    && span.start() <= edit.removed.start()
                    && edit.removed.end() <= span.end()
        })
    }

    /// Writes the bytes of `range` of the message to `out` with the edits applied.
    ///
    /// Every byte that no edit removed is written once and in order. Removals may overlap. An edit whose place lies
    /// within a larger removal vanishes with it: what it was about is gone. A text at the very start or end of
    /// `range` belongs to the range.
    pub fn apply(&self, message: &Message, out: &mut Vec<u8>, range: Range<u32>, late: Late<'_>) {
        self.plan([])
            .write(message.buffer(), Span::new(range.start, range.end), out, late);
    }

    /// The edits that take effect, with `more` recorded behind them.
    pub(crate) fn plan<'a>(&'a self, more: impl IntoIterator<Item = Patch<'a>>) -> Plan<'a> {
        let mut patches: SmallVec<[Patch<'a>; 12]> = self.iter().map(|(_, edit)| Patch::from(edit)).collect();
        patches.extend(more);
        drop_swallowed(&mut patches);
        patches.sort_by_key(|patch| (patch.removed.start(), patch.place));
        Plan { patches }
    }
}

/// What a patch puts in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    Nothing,
    Text(&'a [u8]),
    Late(LateId),
}

/// An edit, or one that the serialiser makes, with its text borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patch<'a> {
    pub removed: Span,
    pub piece: Piece<'a>,
    pub place: Place,
}

impl<'a> Patch<'a> {
    /// `text` in the place of `removed`.
    pub fn replace(removed: Span, text: &'a [u8]) -> Patch<'a> {
        Patch {
            removed,
            piece: Piece::Text(text),
            place: Place::Before,
        }
    }

    /// Nothing in the place of `removed`.
    pub fn remove(removed: Span) -> Patch<'a> {
        Patch {
            removed,
            piece: Piece::Nothing,
            place: Place::Before,
        }
    }
}

impl<'a> From<&'a Edit> for Patch<'a> {
    fn from(edit: &'a Edit) -> Patch<'a> {
        let piece = match &edit.insert {
            None => Piece::Nothing,
            Some(Insert::Text(text)) => Piece::Text(text),
            Some(Insert::Late(id)) => Piece::Late(*id),
        };
        Patch {
            removed: edit.removed,
            piece,
            place: edit.place,
        }
    }
}

/// Patches in the order of their places.
pub(crate) struct Plan<'a> {
    patches: SmallVec<[Patch<'a>; 12]>,
}

impl<'a> Plan<'a> {
    /// Keeps those patches for which `keep` holds.
    pub fn retain(&mut self, keep: impl Fn(&Patch<'a>) -> bool) {
        self.patches.retain(|patch| keep(patch));
    }

    /// Writes `range` of `buffer` with the patches applied.
    pub fn write(&self, buffer: &[u8], range: Span, out: &mut Vec<u8>, late: Late<'_>) {
        let mut written = range.start();
        for patch in &self.patches {
            let at = patch.removed.start();
            if at > range.end() {
                break;
            }
            if at >= range.start() {
                if at > written {
                    out.extend_from_slice(Span::new(written, at).of_bytes(buffer));
                    written = at;
                }
                match patch.piece {
                    Piece::Nothing => {}
                    Piece::Text(text) => out.extend_from_slice(text),
                    Piece::Late(id) => late(id, out),
                }
            }
            written = written.max(patch.removed.end());
        }
        if written < range.end() {
            out.extend_from_slice(Span::new(written, range.end()).of_bytes(buffer));
        }
    }
}

/// Drops patches whose place lies within a larger removal: strictly inside it for a text alone, and anywhere in it
/// for a removal, but not where two remove the very same bytes.
fn drop_swallowed(patches: &mut SmallVec<[Patch<'_>; 12]>) {
    if patches.iter().all(|patch| patch.removed.is_empty()) {
        return;
    }
    let mut order: SmallVec<[(Span, usize); 12]> = patches
        .iter()
        .enumerate()
        .map(|(index, patch)| (patch.removed, index))
        .collect();
    order.sort_by_key(|(span, _)| (span.start(), u32::MAX - span.end()));
    let mut swallowed: SmallVec<[bool; 64]> = SmallVec::from_elem(false, patches.len());
    // Where removals reach that begin before this place, and the longest one that begins at it.
    let (mut reach, mut here) = (0, Span::at(0));
    for (span, index) in order {
        if span.start() != here.start() {
            reach = reach.max(here.end());
            here = span;
        }
        let inside = if span.is_empty() {
            reach > span.start()
        } else {
            reach >= span.end() || here.end() > span.end()
        };
        if let Some(slot) = swallowed.get_mut(index) {
            *slot = inside;
        }
    }
    let mut flags = swallowed.into_iter();
    patches.retain(|_| !flags.next().unwrap_or(false));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    const TEXT: &str = "OPTIONS sip:a SIP/2.0\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\nbody";

    fn message() -> Message {
        Message::parse(Str::from(TEXT), &Limits::default()).expect("a message")
    }

    fn built(edits: &Edits) -> String {
        let mut out = Vec::new();
        let mut late =
            |id: LateId, out: &mut Vec<u8>| out.extend_from_slice(format!("L: {}\r\n", id.0).as_bytes());
        edits.apply(&message(), &mut out, 0..TEXT.len() as u32, &mut late);
        String::from_utf8(out).expect("text")
    }

    fn line(index: usize) -> Span {
        message().headers()[index].line
    }

    const TAG: EditTag = EditTag::Other;

    #[test]
    fn no_edits_change_nothing() {
        assert_eq!(built(&Edits::new()), TEXT);
        assert!(Edits::new().is_empty());
    }

    #[test]
    fn texts_at_one_place_come_as_recorded_and_after_comes_before_before() {
        let mut edits = Edits::new();
        let end = line(0).end();
        edits.insert(end, Place::Before, Str::from("X: 1\r\n"), TAG);
        edits.insert(end, Place::After, Str::from("Y: 1\r\n"), TAG);
        edits.insert(end, Place::Before, LateId(7), TAG);
        edits.insert(end, Place::After, Str::from("Z: 1\r\n"), TAG);
        let want = TEXT.replace("A: 1\r\n", "A: 1\r\nY: 1\r\nZ: 1\r\nX: 1\r\nL: 7\r\n");
        assert_eq!(built(&edits), want);
    }

    #[test]
    fn a_header_removed_twice_leaves_once_and_neighbours_stay() {
        let mut edits = Edits::new();
        edits.insert(line(1).start(), Place::Before, Str::from("X: 1\r\n"), TAG);
        let first = edits.remove(line(1), EditTag::Header(HeaderId::Other));
        edits.remove(line(1), TAG);
        edits.insert(line(1).end(), Place::After, Str::from("Y: 1\r\n"), TAG);
        assert_eq!(built(&edits), TEXT.replace("B: 2\r\n", "X: 1\r\nY: 1\r\n"));
        assert!(edits.is_removed(line(1)) && !edits.is_removed(line(2)));
        assert_eq!(
            edits.undo(first).map(|edit| edit.tag),
            Some(EditTag::Header(HeaderId::Other))
        );
        assert!(edits.undo(first).is_none());
        assert!(edits.is_removed(line(1)));
    }

    #[test]
    fn a_change_inside_a_removed_header_vanishes_with_it() {
        for swap in [false, true] {
            let value = message().headers()[1].value;
            let mut edits = Edits::new();
            if swap {
                edits.remove(line(1), TAG);
            }
            edits.replace(value, Str::from("changed"), TAG);
            edits.insert(value.end(), Place::Before, Str::from(";more"), TAG);
            if !swap {
                edits.remove(line(1), TAG);
            }
            assert_eq!(built(&edits), TEXT.replace("B: 2\r\n", ""));
        }
    }

    #[test]
    fn one_span_replaced_twice_holds_both_texts_as_in_kamailio() {
        let value = message().headers()[2].value;
        let mut edits = Edits::new();
        edits.replace(value, Str::from("zed"), TAG);
        edits.replace(value, Str::from("zad"), TAG);
        assert_eq!(built(&edits), TEXT.replace("C: 3", "C: zedzad"));
    }

    #[test]
    fn half_overlapping_removals_leave_what_nobody_removed() {
        let mut edits = Edits::new();
        edits.replace(Span::new(0, 10), Str::from("<1>"), TAG);
        edits.replace(Span::new(5, 15), Str::from("<2>"), TAG);
        assert_eq!(built(&edits), format!("<1><2>{}", &TEXT[15..]));
    }

    #[test]
    fn touching_is_seen_for_the_body_only() {
        let body = message().body_span();
        let mut edits = Edits::new();
        edits.remove(line(0), TAG);
        assert!(!edits.touches(body));
        let id = edits.insert(body.end(), Place::After, Str::from("!"), EditTag::Body);
        assert!(edits.touches(body));
        assert!(matches!(edits.get(id), Some(edit) if edit.tag == EditTag::Body));
        edits.clear();
        assert!(edits.is_empty());
    }
}
