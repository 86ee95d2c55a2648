//! Pseudo-variables: `$name(inner)`, `$(name(inner)[index]{class.function,argument})`, and format strings with them.

mod shape;

use std::ops::Range;

use kahea_diag::{Diagnostic, Diagnostics, Span, codes};

use self::shape::{Fault, Shape};
use crate::ast::{Ident, Text};

/// A pseudo-variable as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Pv {
    /// The name without `$`, dots included: `ru`, `err.class`, `T_req`, `?`.
    pub name: Ident,
    /// What stands in the parentheses after the name; `None` without parentheses.
    pub inner: Option<Inner>,
    /// What stands in the brackets.
    pub index: Option<Index>,
    /// In the order they apply.
    pub transformations: Vec<Transformation>,
    /// The whole text, `$` included, as it was written.
    pub raw: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// What stands in the parentheses of a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Inner {
    /// Just as written.
    pub raw: Text,
    /// The variables in it, each with its range of bytes in `raw`; meant for names such as `$var($var(x))`.
    pub nested: Vec<(Range<usize>, Pv)>,
}

/// The index of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// `[2]`, `[-1]`
    Int(i64, Span),
    /// `[*]`
    All(Span),
    /// `[$var(i)]`
    Pv(Box<Pv>),
}

/// A transformation: `{s.substr,0,$var(n)}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformation {
    /// The class: `s`, `uri`, `re`.
    pub class: Ident,
    /// The function, dots included: `len`, `encode.hexa`.
    pub name: Ident,
    /// All that follows the first comma, as written; `None` without one.
    pub args: Option<Text>,
    /// With the braces.
    pub span: Span,
}

/// A part of a format string.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Plain text, `$$` already made `$`.
    Text(Text),
    /// A variable.
    Pv(Pv),
}

/// Length in bytes of the variable at the start of a script's text, whose first byte is `$`.
///
/// What is malformed extends to where it most likely ends, so that reading goes on behind it.
pub(crate) fn extent(text: &[u8]) -> usize {
    // In a script a variable does not go over many lines; this bounds the search for a missing parenthesis.
    const FAR: usize = 4_096;
    let text = text.get(..text.len().min(FAR)).unwrap_or_default();
    if let Ok(shape) = shape::read(text, 0, 0) {
        return shape.end;
    }
    let line = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let mut depth = 0_usize;
    for (offset, byte) in text.get(..line).unwrap_or_default().iter().enumerate() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' if depth <= 1 => return offset.saturating_add(usize::from(depth == 1)),
            b')' => depth = depth.saturating_sub(1),
            b';' | b'"' => return offset,
            byte if depth == 0 && offset > 0 && !byte.is_ascii_alphanumeric() => return offset,
            _ => {}
        }
    }
    line
}

/// A variable that takes up the whole of `text`; `None` with a diagnostic where it does not.
pub fn parse(text: &Text, diagnostics: &mut Diagnostics) -> Option<Pv> {
    match shape::read(&text.value, 0, 0) {
        Ok(shape) if shape.end == text.value.len() => build(text, 0, &shape, diagnostics, 0),
        Ok(shape) => {
            let place = text.place(shape.end, text.value.len());
            diagnostics.push(Diagnostic::error(
                codes::BAD_VARIABLE,
                place,
                "text after a variable",
            ));
            None
        }
        Err(fault) => {
            report(text, &fault, diagnostics);
            None
        }
    }
}

/// Splits a format string, such as the text of `xlog`, into plain text and variables.
///
/// A malformed variable is reported and left out.
pub fn format(text: &Text, diagnostics: &mut Diagnostics) -> Vec<Piece> {
    let bytes = &text.value;
    let mut pieces = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'$'))
    {
        let dollar = at.saturating_add(found);
        let next = dollar.saturating_add(1);
        if bytes.get(next) == Some(&b'$') {
            // The first of the two stands for itself.
            push_plain(text, plain, next, &mut pieces);
            at = next.saturating_add(1);
            plain = at;
            continue;
        }
        push_plain(text, plain, dollar, &mut pieces);
        match shape::read(bytes, dollar, 0) {
            Ok(shape) => {
                pieces.extend(build(text, dollar, &shape, diagnostics, 0).map(Piece::Pv));
                at = shape.end;
            }
            Err(fault) => {
                report(text, &fault, diagnostics);
                at = if fault.unclosed {
                    bytes.len()
                } else {
                    fault.at.end.max(next)
                };
            }
        }
        plain = at;
    }
    push_plain(text, plain, bytes.len(), &mut pieces);
    pieces
}

fn push_plain(text: &Text, from: usize, to: usize, pieces: &mut Vec<Piece>) {
    if from < to {
        pieces.push(Piece::Text(text.part(from, to)));
    }
}

fn report(text: &Text, fault: &Fault, diagnostics: &mut Diagnostics) {
    let place = text.place(fault.at.start, fault.at.end);
    diagnostics.push(Diagnostic::error(codes::BAD_VARIABLE, place, fault.message).help(fault.help));
}

fn build(
    text: &Text,
    start: usize,
    shape: &Shape,
    diagnostics: &mut Diagnostics,
    depth: usize,
) -> Option<Pv> {
    let index = match &shape.index {
        Some(range) => Some(index(text, range, diagnostics, depth)?),
        None => None,
    };
    let mut transformations = Vec::with_capacity(shape.transformations.len());
    for range in &shape.transformations {
        transformations.push(transformation(text, range, diagnostics)?);
    }
    let whole = text.part(start, shape.end);
    Some(Pv {
        name: ident(text, shape.name.clone()),
        inner: shape
            .inner
            .clone()
            .map(|range| inner(text, range, diagnostics, depth)),
        index,
        transformations,
        raw: whole.value.text().into(),
        span: whole.span,
    })
}

fn ident(text: &Text, range: Range<usize>) -> Ident {
    let part = text.part(range.start, range.end);
    Ident::new(part.value.text(), part.span)
}

fn inner(text: &Text, range: Range<usize>, diagnostics: &mut Diagnostics, depth: usize) -> Inner {
    let raw = text.part(range.start, range.end);
    let mut nested = Vec::new();
    let mut at = 0;
    while let Some(found) = raw
        .value
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'$'))
    {
        let dollar = at.saturating_add(found);
        at = dollar.saturating_add(1);
        // A dollar that begins no variable is an ordinary character of a name.
        let Ok(shape) = shape::read(&raw.value, dollar, depth.saturating_add(1)) else {
            continue;
        };
        at = shape.end;
        if let Some(pv) = build(&raw, dollar, &shape, diagnostics, depth.saturating_add(1)) {
            nested.push((dollar..shape.end, pv));
        }
    }
    Inner { raw, nested }
}

fn index(text: &Text, range: &Range<usize>, diagnostics: &mut Diagnostics, depth: usize) -> Option<Index> {
    let part = text.part(range.start, range.end);
    let bytes = part.value.as_bytes();
    if bytes == b"*" {
        return Some(Index::All(part.span));
    }
    if bytes.first() == Some(&b'$') {
        return match shape::read(bytes, 0, depth.saturating_add(1)) {
            Ok(shape) if shape.end == bytes.len() => {
                let pv = build(&part, 0, &shape, diagnostics, depth.saturating_add(1))?;
                Some(Index::Pv(Box::new(pv)))
            }
            _ => bad_index(&part, diagnostics),
        };
    }
    match part
        .value
        .as_utf8()
        .map(str::trim)
        .and_then(|digits| digits.parse().ok())
    {
        Some(number) => Some(Index::Int(number, part.span)),
        None => bad_index(&part, diagnostics),
    }
}

fn bad_index(part: &Text, diagnostics: &mut Diagnostics) -> Option<Index> {
    let message = format!("`{}` is no index", part.value.text());
    diagnostics.push(
        Diagnostic::error(codes::BAD_VARIABLE, part.span, message).help(
            "an index is a number, counted from 0 or with `-` from the end, `*` for all, or a variable",
        ),
    );
    None
}

fn transformation(
    text: &Text,
    range: &Range<usize>,
    diagnostics: &mut Diagnostics,
) -> Option<Transformation> {
    let whole = text.part(range.start, range.end);
    let bytes = whole.value.as_bytes();
    let comma = bytes.iter().position(|byte| *byte == b',');
    let head = bytes.get(..comma.unwrap_or(bytes.len())).unwrap_or_default();
    let dot = head.iter().position(|byte| *byte == b'.').filter(|dot| *dot > 0);
    let Some(dot) = dot.filter(|dot| dot.saturating_add(1) < head.len()) else {
        let message = format!("`{{{}}}` is no transformation", whole.value.text());
        diagnostics.push(
            Diagnostic::error(codes::BAD_VARIABLE, whole.span, message)
                .help("the form is {class.function} or {class.function,argument}"),
        );
        return None;
    };
    Some(Transformation {
        class: ident(&whole, 0..dot),
        name: ident(&whole, dot.saturating_add(1)..head.len()),
        args: comma.map(|comma| whole.part(comma.saturating_add(1), bytes.len())),
        span: whole.span,
    })
}

#[cfg(test)]
mod tests {
    use kahea_diag::FileId;
    use kahea_sip::Str;

    use super::*;

    fn text(value: &str) -> Text {
        let end = u32::try_from(value.len()).unwrap();
        Text::verbatim(Str::copy(value.as_bytes()), Span::new(FileId::ROOT, 0, end))
    }

    /// Each piece in a compact form, and the messages.
    fn split(value: &str) -> (Vec<String>, Vec<String>) {
        let mut diagnostics = Diagnostics::new();
        let show = |piece: &Piece| match piece {
            Piece::Text(text) => format!("{:?}", text.value.text()),
            Piece::Pv(pv) => show_pv(pv),
        };
        let pieces = format(&text(value), &mut diagnostics).iter().map(show).collect();
        (
            pieces,
            diagnostics.iter().map(|item| item.message.clone()).collect(),
        )
    }

    fn show_pv(pv: &Pv) -> String {
        let mut out = pv.name.text.to_string();
        if let Some(inner) = &pv.inner {
            out += &format!("({})", inner.raw.value.text());
            for (range, nested) in &inner.nested {
                out += &format!("@{}<{}>", range.start, show_pv(nested));
            }
        }
        match &pv.index {
            Some(Index::Int(number, _)) => out += &format!("[{number}]"),
            Some(Index::All(_)) => out += "[*]",
            Some(Index::Pv(pv)) => out += &format!("[{}]", show_pv(pv)),
            None => {}
        }
        for tr in &pv.transformations {
            let args = tr
                .args
                .as_ref()
                .map(|args| format!(" {}", args.value.text()))
                .unwrap_or_default();
            out += &format!("|{}.{}{args}", tr.class.text, tr.name.text);
        }
        out
    }

    #[track_caller]
    fn splits(value: &str, expected: &[&str]) {
        let (pieces, messages) = split(value);
        assert_eq!(pieces, expected);
        assert!(messages.is_empty(), "{messages:?}");
    }

    #[track_caller]
    fn fails(value: &str, expected: &str) {
        let (_, messages) = split(value);
        assert!(
            messages.len() == 1 && messages[0].contains(expected),
            "{messages:?}"
        );
    }

    #[test]
    fn format_strings() {
        splits("plain", &["\"plain\""]);
        splits("", &[]);
        splits("a$$b", &["\"a$\"", "\"b\""]);
        splits("$fU/$ru,x", &["fU", "\"/\"", "ru", "\",x\""]);
        splits("bye $rU.", &["\"bye \"", "rU", "\".\""]);
        splits(
            "$err.class-$T_req($ru)",
            &["err.class", "\"-\"", "T_req($ru)@0<ru>"],
        );
        splits("$var(x)$var(y)", &["var(x)", "var(y)"]);
        splits("$var(x){s.len}", &["var(x)", "\"{s.len}\""]);
        splits("$avp(a)[1]", &["avp(a)", "\"[1]\""]);
        splits("$? $(?)", &["?", "\" \"", "?"]);
    }

    #[test]
    fn wrapped_variables() {
        splits("$(avp(a)[-1])$(avp(a)[*])", &["avp(a)[-1]", "avp(a)[*]"]);
        splits("$(avp(a)[$var(i)])", &["avp(a)[var(i)]"]);
        splits(
            "$(var(x){s.substr,0,$(var(y){s.len})}{s.len} )",
            &["var(x)|s.substr 0,$(var(y){s.len})|s.len"],
        );
        splits("$(ru{re.subst,/a{2}/b/})", &["ru|re.subst /a{2}/b/"]);
        splits("$(rU{s.select,0,{})", &["rU|s.select 0,{"]);
        splits("$(rU{s.encode.hexa})", &["rU|s.encode.hexa"]);
        splits("$(rU{s.select,1,})", &["rU|s.select 1,"]);
        splits("$sht(a=>$ci::$var(x))", &["sht(a=>$ci::$var(x))@3<ci>@8<var(x)>"]);
        splits("$hdr(X-(a)-b)", &["hdr(X-(a)-b)"]);
    }

    #[test]
    fn malformed() {
        fails("end $", "name missing");
        fails("end $ x", "name missing");
        fails("$(var(x)", "never closed");
        fails("$var(x", "never closed");
        fails("$( var(x))", "name missing");
        fails("$(var(x) {s.len})", "unexpected character");
        fails("$(var(x){len})", "no transformation");
        fails("$(var(x)[a])", "no index");
        fails("$(var(x){s.len}", "never closed");
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "$(var(x){s.rm,".repeat(2_000) + "x" + &"})".repeat(2_000);
        let mut diagnostics = Diagnostics::new();
        format(&text(&deep), &mut diagnostics);
        let deep = "$var(".repeat(2_000) + "x" + &")".repeat(2_000);
        format(&text(&deep), &mut diagnostics);
    }

    #[test]
    fn extents() {
        assert_eq!(extent(b"$ru == 1"), 3);
        assert_eq!(extent(b"$(ru{s.len}) == 1"), 12);
        assert_eq!(extent(b"$? == 1"), 2);
        assert_eq!(extent(b"$(ru{s.len) == 1;\nx}"), 11);
        assert_eq!(extent(b"$ == 1"), 1);
        assert_eq!(extent(b"$"), 1);
    }
}
