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
    pub fn touch(&self, span: Span) -> bool {
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
        apply(&self.plan(), message.buffer(), range, out, late);
    }

    /// The edits that take effect, in the order of their places.
    pub(crate) fn plan(&self) -> Plan<'_> {
        let mut plan: Plan<'_> = self.iter().map(|(_, edit)| edit).collect();
        drop_swallowed(&mut plan);
        plan
    }
}

/// Edits in the order of their places.
pub(crate) type Plan<'a> = SmallVec<[&'a Edit; 16]>;

/// Brings `plan` into the order of places and drops edits that lie within a larger removal.
fn drop_swallowed(plan: &mut Plan<'_>) {
    plan.sort_by_key(|edit| (edit.removed.start(), u32::MAX - edit.removed.end()));
    let mut widest = Span::default();
    let mut reach = Span::default();
    plan.retain(|edit| {
        let span = edit.removed;
        if span.start() != reach.start() || widest.is_empty() {
            // Only removals that begin before this place can swallow a text at it.
            reach = Span::at(span.start());
        }
        let swallowed = if span.is_empty() {
            widest.start() < span.start() && span.start() < widest.end()
        } else {
            widest != span && widest.contains(span)
        };
        if span.end() > widest.end() {
            widest = span;
        }
        !swallowed
    });
    plan.sort_by_key(|edit| (edit.removed.start(), edit.place));
}

/// Writes `range` of `buffer` with the planned edits applied.
pub(crate) fn apply(plan: &[&Edit], buffer: &[u8], range: Range<u32>, out: &mut Vec<u8>, late: Late<'_>) {
    let range = Span::new(range.start, range.end);
    let mut written = range.start();
    for edit in plan {
        let at = edit.removed.start();
        if at > range.end() {
            break;
        }
        if at >= range.start() {
            if at > written {
                out.extend_from_slice(Span::new(written, at).of_bytes(buffer));
                written = at;
            }
            match &edit.insert {
                Some(Insert::Text(text)) => out.extend_from_slice(text),
                Some(Insert::Late(id)) => late(*id, out),
                None => {}
            }
        }
        written = written.max(edit.removed.end());
    }
    if written < range.end() {
        out.extend_from_slice(Span::new(written, range.end()).of_bytes(buffer));
    }
}
