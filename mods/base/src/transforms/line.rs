//! `{line.…}`: a text as lines.

use kahea_module::{Decl, Module, Str, TransformKind, Value};

use super::{
    args, on_text,
    text::{length, position},
};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "line", "count", "How many lines there are; null for the empty text.",
        |text| unless_empty(text, |text| length(lines(text).count()));
    );
    d.transform(
        "line",
        "at",
        &["pos"],
        TransformKind::Raw(|raw, bind| {
            args::by_number(raw, bind, |text, at| unless_empty(text, |text| line_at(text, at)))
        }),
        "The line at a position, from 0; negative counts from the end.",
    );
    d.transform(
        "line",
        "sw",
        &["match"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, starting_with)),
        "The first line that starts with a text; empty where there is none.",
    );
}

fn unless_empty(text: &Str, run: impl FnOnce(&Str) -> Value) -> Value {
    if text.is_empty() { Value::Null } else { run(text) }
}

/// The lines without their line ends (CRLF or LF); nothing behind the last line end is no line.
fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn line_at(text: &Str, at: i64) -> Value {
    let line = position(at, lines(text).count()).and_then(|at| lines(text).nth(at));
    Value::Str(line.map(|line| text.share(line)).unwrap_or_default())
}

fn starting_with(text: &Str, wanted: &[u8]) -> Value {
    unless_empty(text, |text| {
        let line = lines(text).find(|line| line.starts_with(wanted));
        Value::Str(line.map(|line| text.share(line)).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    const LINES: &str = "one\r\ntwo\n\nfour\r\n";

    #[test]
    fn lines_are_counted_without_the_end() {
        assert_eq!(apply(LINES, "line.count"), Value::Int(4));
        assert_eq!(apply("\n", "line.count"), Value::Int(1));
        assert_eq!(apply("", "line.count"), Value::Null);
    }

    #[test]
    fn lines_are_found_by_place_and_start() {
        assert_eq!(text(LINES, "line.at,1"), "two");
        assert_eq!(text(LINES, "line.at,2"), "");
        assert_eq!(text(LINES, "line.at,-1"), "four");
        assert_eq!(text(LINES, "line.at,9"), "");
        assert_eq!(text(LINES, "line.sw, two"), "two");
        assert_eq!(text(LINES, "line.sw,zz"), "");
        assert_eq!(apply("", "line.sw,a"), Value::Null);
    }
}
