//! Walks over the headers and over the lines of the body, each known by a name of the script's choice.

use kahea_module::{Bind, BindError, Cx, Fault, Index, Named, Str, Value, ret::Given};
use kahea_sip::{EditTag, Header, Place, Span};

use super::Textopsx;
use crate::textops::headers;

/// How many walks of one kind a message can have at once.
const MOST: usize = 64;

/// One walk.
struct Walk {
    name: Str,
    /// The message that it walks; `msg_apply_changes()` makes another.
    buffer: Str,
    /// The present place; `None` before the first.
    at: Option<usize>,
}

#[derive(Default)]
struct Headers(Vec<Walk>);

#[derive(Default)]
struct Lines(Vec<Walk>);

fn start(walks: &mut Vec<Walk>, name: Str, buffer: Str) -> Result<bool, Fault> {
    walks.retain(|walk| walk.name != name);
    if walks.len() >= MOST {
        return Err(Fault::limit(format!(
            "{MOST} iterators are open: end those that are done"
        )));
    }
    walks.push(Walk {
        name,
        buffer,
        at: None,
    });
    Ok(true)
}

fn end(walks: &mut Vec<Walk>, name: &Str) -> bool {
    let before = walks.len();
    walks.retain(|walk| walk.name != *name);
    walks.len() < before
}

fn find<'a>(walks: &'a mut [Walk], name: &[u8], buffer: &Str) -> Option<&'a mut Walk> {
    walks
        .iter_mut()
        .find(|walk| *walk.name == *name && walk.buffer.as_ptr() == buffer.as_ptr())
}

/// Goes to the next of `len` places.
fn forward(walk: &mut Walk, len: usize) -> bool {
    let next = walk.at.map_or(0, |at| at.saturating_add(1));
    walk.at = Some(next.min(len));
    next < len
}

pub(super) fn hf_start(_: &Textopsx, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let buffer = cx.msg.buffer().clone();
    start(&mut cx.extra::<Headers>().0, name, buffer)
}

pub(super) fn hf_end(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    end(&mut cx.extra::<Headers>().0, &name)
}

pub(super) fn hf_next(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    let (len, buffer) = (cx.msg.headers().len(), cx.msg.buffer().clone());
    find(&mut cx.extra::<Headers>().0, &name, &buffer).is_some_and(|walk| forward(walk, len))
}

pub(super) fn hf_prev(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    let buffer = cx.msg.buffer().clone();
    let Some(walk) = find(&mut cx.extra::<Headers>().0, &name, &buffer) else {
        return false;
    };
    walk.at = walk.at.and_then(|at| at.checked_sub(1));
    walk.at.is_some()
}

fn header(cx: &mut Cx, name: &[u8]) -> Option<Header> {
    let buffer = cx.msg.buffer().clone();
    let at = find(&mut cx.extra::<Headers>().0, name, &buffer)?.at?;
    cx.msg.headers().get(at).copied()
}

pub(super) fn hf_rm(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    let Some(header) = header(cx, &name) else {
        return false;
    };
    headers::remove_header(cx, &header);
    true
}

fn hf_put(cx: &mut Cx, name: &Str, text: Str, place: Place) -> Result<bool, Fault> {
    let Some(header) = header(cx, name) else {
        return Ok(false);
    };
    if text.trim_ascii().is_empty() {
        return Err(Fault::script("the header is empty"));
    }
    let at = match place {
        Place::After => header.line.end(),
        Place::Before => header.line.start(),
    };
    cx.spend_bytes(text.len())?;
    let text = headers::lines(text);
    let tag = headers::tag(&text);
    cx.edits.insert(at, place, text, tag);
    Ok(true)
}

pub(super) fn hf_append(_: &Textopsx, cx: &mut Cx, name: Str, text: Str) -> Result<bool, Fault> {
    hf_put(cx, &name, text, Place::After)
}

pub(super) fn hf_insert(_: &Textopsx, cx: &mut Cx, name: Str, text: Str) -> Result<bool, Fault> {
    hf_put(cx, &name, text, Place::Before)
}

pub(super) fn bl_start(_: &Textopsx, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    if cx.msg.body().is_empty() {
        return Ok(false);
    }
    let buffer = cx.msg.buffer().clone();
    start(&mut cx.extra::<Lines>().0, name, buffer)
}

pub(super) fn bl_end(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    end(&mut cx.extra::<Lines>().0, &name)
}

/// Lines are walked by their offset in the body: a place is where a line begins.
pub(super) fn bl_next(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    let next = match line(cx, &name) {
        Some(line) => line.end().saturating_sub(cx.msg.body_span().start()),
        None => 0,
    };
    let (len, buffer) = (cx.msg.body().len(), cx.msg.buffer().clone());
    let Some(walk) = find(&mut cx.extra::<Lines>().0, &name, &buffer) else {
        return false;
    };
    let ended = walk.at.is_some_and(|at| at >= len);
    let next = if ended { len } else { next as usize };
    walk.at = Some(next);
    next < len
}

fn line(cx: &mut Cx, name: &[u8]) -> Option<Span> {
    let buffer = cx.msg.buffer().clone();
    let at = find(&mut cx.extra::<Lines>().0, name, &buffer)?.at?;
    let text = cx.msg.body().get(at..)?.split_inclusive(|b| *b == b'\n').next()?;
    Span::within(cx.msg.buffer(), text)
}

pub(super) fn bl_rm(_: &Textopsx, cx: &mut Cx, name: Str) -> bool {
    let Some(line) = line(cx, &name) else { return false };
    if !cx.edits.is_removed(line) {
        cx.edits.remove(line, EditTag::Body);
    }
    true
}

fn bl_put(cx: &mut Cx, name: &Str, text: Str, place: Place) -> Result<bool, Fault> {
    let Some(line) = line(cx, name) else {
        return Ok(false);
    };
    let at = match place {
        Place::After => line.end(),
        Place::Before => line.start(),
    };
    cx.spend_bytes(text.len())?;
    cx.edits.insert(at, place, text, EditTag::Body);
    Ok(true)
}

pub(super) fn bl_append(_: &Textopsx, cx: &mut Cx, name: Str, text: Str) -> Result<bool, Fault> {
    bl_put(cx, &name, text, Place::After)
}

pub(super) fn bl_insert(_: &Textopsx, cx: &mut Cx, name: Str, text: Str) -> Result<bool, Fault> {
    bl_put(cx, &name, text, Place::Before)
}

/// A variable that is named after an iterator.
pub(super) fn named(get: fn(&Textopsx, &mut Cx, &Str, Index) -> Value) -> Named<Textopsx, Str> {
    fn parse(name: &str, _: &dyn Bind) -> Result<Str, BindError> {
        match name.is_empty() {
            true => Err(BindError::new("the iterator has no name")),
            false => Ok(Str::from(name)),
        }
    }
    Named {
        parse,
        get,
        set: None,
        raw: false,
    }
}

pub(super) fn hf_name(_: &Textopsx, cx: &mut Cx, name: &Str, _: Index) -> Value {
    header(cx, name).map(|header| cx.msg.text(header.name)).into()
}

pub(super) fn hf_body(_: &Textopsx, cx: &mut Cx, name: &Str, _: Index) -> Value {
    header(cx, name).map(|header| cx.msg.value_text(&header)).into()
}

pub(super) fn bl_value(_: &Textopsx, cx: &mut Cx, name: &Str, _: Index) -> Value {
    line(cx, name).map(|line| cx.msg.text(line)).into()
}

/// Gives embedded languages what the variable of that iterator holds.
pub(super) fn give(m: &Textopsx, cx: &mut Cx, name: &Str, get: fn(&Textopsx, &mut Cx, &Str, Index) -> Value) {
    let value = get(m, cx, name, Index::None);
    Given::set(cx, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textops::tests::{body_of, built, request, with_body};

    #[test]
    fn headers_are_walked_both_ways_and_changed_in_place() {
        let (m, cx) = (&Textopsx, &mut request("X-A: 1\nX-B: 2\n"));
        let i = || Str::from("i");
        assert!(!hf_next(m, cx, i()) && !hf_rm(m, cx, i()));
        assert_eq!(hf_start(m, cx, i()), Ok(true));
        assert_eq!(hf_name(m, cx, &i(), Index::None), Value::Null);
        assert!(hf_next(m, cx, i()) && hf_next(m, cx, i()));
        assert_eq!(hf_name(m, cx, &i(), Index::None), "X-B".into());
        give(m, cx, &i(), hf_body);
        assert_eq!(Given::take(cx), Some("2".into()));
        assert!(hf_prev(m, cx, i()));
        assert_eq!(hf_body(m, cx, &i(), Index::None), "1".into());
        assert_eq!(hf_insert(m, cx, i(), "P-I: 1\r\n".into()), Ok(true));
        assert_eq!(hf_append(m, cx, i(), "P-J: 1".into()), Ok(true));
        assert!(hf_rm(m, cx, i()) && hf_next(m, cx, i()) && !hf_next(m, cx, i()) && !hf_next(m, cx, i()));
        assert!(hf_end(m, cx, i()) && !hf_end(m, cx, i()));
        assert!(
            built(cx).contains("\r\nP-I: 1\r\nP-J: 1\r\nX-B: 2\r\n"),
            "{}",
            built(cx)
        );
    }

    #[test]
    fn lines_of_the_body_are_walked() {
        let (m, cx) = (&Textopsx, &mut with_body("X: 1\n", "v=0\r\ns=-\r\nm=a"));
        let b = || Str::from("b");
        assert_eq!(bl_start(m, cx, b()), Ok(true));
        let mut seen = Vec::new();
        while bl_next(m, cx, b()) {
            let line = bl_value(m, cx, &b(), Index::None).str_or_empty();
            if line.starts_with(b"s") {
                assert!(bl_rm(m, cx, b()));
                assert_eq!(bl_insert(m, cx, b(), "i=1\r\n".into()), Ok(true));
            }
            seen.push(line.text().into_owned());
        }
        assert_eq!(seen, ["v=0\r\n", "s=-\r\n", "m=a"]);
        assert!(!bl_next(m, cx, b()) && bl_end(m, cx, b()));
        assert_eq!(body_of(cx), "v=0\r\ni=1\r\nm=a");
        assert_eq!(bl_start(m, &mut request("X: 1\n"), b()), Ok(false));
    }
}
