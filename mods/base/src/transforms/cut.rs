//! `{s.…}`: parts of a text.

use std::sync::Arc;

use kahea_module::{Bind, BindError, Cx, Decl, Module, Str, TransformKind, Value, transform::BoundTransform};

use super::{
    MAX_RESULT,
    args::{self, Number},
    text::position,
    with_text,
};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    d.transform("s", "substr", &["offset", "length"],
        TransformKind::Raw(|raw, bind| args::by_numbers(raw, bind, substr)),
        "The part at an offset (negative: from the end) of a length (0: up to the end); null outside of the text.");
    d.transform("s", "select", &["index", "separator"], TransformKind::Raw(select_bind),
        "The field of that index (negative: from the end), divided by a character; \\s is any blank, \\w a blank.");
    for name in ["selectws", "selectsw"] {
        d.transform(
            "s",
            name,
            &["index"],
            TransformKind::Raw(|raw, bind| {
                args::by_number(raw, bind, |text, index| select(text, index, &is_blank))
            }),
            "The field of that index (negative: from the end), divided by any blank, tab or line end.",
        );
    }
    d.transform(
        "s",
        "strip",
        &["len"],
        TransformKind::Raw(|raw, bind| args::by_number(raw, bind, strip)),
        "Without the first len bytes.",
    );
    d.transform(
        "s",
        "striptail",
        &["len"],
        TransformKind::Raw(|raw, bind| args::by_number(raw, bind, strip_tail)),
        "Without the last len bytes.",
    );
    d.transform(
        "s",
        "stripto",
        &["c"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, strip_to)),
        "From the first c on; empty where there is none.",
    );
    declare_sides(d);
    d.transform(
        "s",
        "prefixes",
        &["len"],
        TransformKind::Raw(|raw, bind| {
            args::by_optional_number(raw, bind, 0, |text, most| prefixes(text, most, b""))
        }),
        "All its prefixes with commas between, the shortest first, up to a length where one is given.",
    );
    d.transform(
        "s",
        "prefixes.quoted",
        &["len"],
        TransformKind::Raw(|raw, bind| {
            args::by_optional_number(raw, bind, 0, |text, most| prefixes(text, most, b"'"))
        }),
        "All its prefixes in single quotes with commas between, up to a length where one is given.",
    );
}

fn declare_sides<M: Module>(d: &mut Decl<M>) {
    d.transform(
        "s",
        "before",
        &["x"],
        TransformKind::Raw(|raw, bind| {
            args::by_text(raw, bind, |text, x| side(text, x, first, Side::Before))
        }),
        "What stands before the first x; all where there is none.",
    );
    d.transform(
        "s",
        "after",
        &["x"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, |text, x| side(text, x, first, Side::After))),
        "What stands after the first x; empty where there is none.",
    );
    d.transform(
        "s",
        "rbefore",
        &["x"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, |text, x| side(text, x, last, Side::Before))),
        "What stands before the last x; all where there is none.",
    );
    d.transform(
        "s",
        "rafter",
        &["x"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, |text, x| side(text, x, last, Side::After))),
        "What stands after the last x; empty where there is none.",
    );
}

fn substr(text: &Str, offset: i64, length: i64) -> Value {
    let Some(start) = position(offset, text.len()) else {
        return if text.is_empty() {
            Value::EMPTY
        } else {
            Value::Null
        };
    };
    let Ok(length) = usize::try_from(length) else {
        return Value::Null;
    };
    let end = match length {
        0 => text.len(),
        length => start.saturating_add(length).min(text.len()),
    };
    Value::Str(text.share(text.get(start..end).unwrap_or_default()))
}

/// What divides the fields of `{s.select}`.
type Divides = dyn Fn(u8) -> bool + Send + Sync;

fn select_bind(raw: &str, bind: &dyn Bind) -> Result<BoundTransform, BindError> {
    let (index, separator) = args::split_first(raw);
    let index = Number::parse(index, bind)?;
    let divides = separator_of(args::second(separator, "the separator")?)?;
    Ok(Arc::new(move |cx: &mut Cx, value| match index.get(cx) {
        Some(index) => with_text(&value, |text| select(text, index, &*divides)),
        None => Value::Null,
    }))
}

fn separator_of(raw: &str) -> Result<Box<Divides>, BindError> {
    let one = |c: u8| -> Box<Divides> { Box::new(move |b| b == c) };
    Ok(match raw.as_bytes() {
        b"\\\\" => one(b'\\'),
        b"\\t" => one(b'\t'),
        b"\\n" => one(b'\n'),
        b"\\r" => one(b'\r'),
        b"\\w" => one(b' '),
        b"\\s" => Box::new(is_blank),
        [c] => one(*c),
        _ => {
            return Err(
                BindError::new(format!("'{raw}' cannot be the separator of {{s.select}}"))
                    .help("write one character, or \\\\, \\t, \\n, \\r, \\w (blank) or \\s (any blank)"),
            );
        }
    })
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn select(text: &Str, index: i64, divides: &dyn Fn(u8) -> bool) -> Value {
    let mut fields = text.split(|b| divides(*b));
    let field = match usize::try_from(index) {
        Ok(at) => fields.nth(at),
        Err(_) => usize::try_from(index.unsigned_abs().saturating_sub(1))
            .ok()
            .and_then(|at| fields.rev().nth(at)),
    };
    Value::Str(field.map(|field| text.share(field)).unwrap_or_default())
}

fn strip(text: &Str, length: i64) -> Value {
    let length = usize::try_from(length).unwrap_or(0);
    Value::Str(text.share(text.get(length..).unwrap_or_default()))
}

fn strip_tail(text: &Str, length: i64) -> Value {
    let left = text.len().saturating_sub(usize::try_from(length).unwrap_or(0));
    Value::Str(text.share(text.get(..left).unwrap_or_default()))
}

fn strip_to(text: &Str, wanted: &[u8]) -> Value {
    let from = first(text, wanted).and_then(|at| text.get(at..));
    Value::Str(text.share(from.unwrap_or_default()))
}

/// The place of the first byte of `wanted`.
fn first(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memchr(*wanted.first()?, text)
}

/// The last place of the first byte of `wanted`.
fn last(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memrchr(*wanted.first()?, text)
}

enum Side {
    Before,
    After,
}

fn side(text: &Str, x: &[u8], find: fn(&[u8], &[u8]) -> Option<usize>, side: Side) -> Value {
    let part = match (find(text, x), side) {
        (Some(at), Side::Before) => text.get(..at),
        (Some(at), Side::After) => text.get(at.saturating_add(1)..),
        (None, Side::Before) => return Value::Str(text.clone()),
        (None, Side::After) => None,
    };
    Value::Str(text.share(part.unwrap_or_default()))
}

fn prefixes(text: &Str, most: i64, quote: &[u8]) -> Value {
    let most = match usize::try_from(most) {
        Ok(most) if most > 0 => most.min(text.len()),
        _ => text.len(),
    };
    let bytes = most.saturating_mul(most.saturating_add(1)) / 2;
    if bytes > MAX_RESULT {
        return Value::Null;
    }
    let mut out = Vec::with_capacity(bytes.saturating_add(most.saturating_mul(3)));
    for length in 1..=most {
        if length > 1 {
            out.push(b',');
        }
        out.extend_from_slice(quote);
        out.extend_from_slice(text.get(..length).unwrap_or_default());
        out.extend_from_slice(quote);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, refused, text};

    const HELLO: &str = "Hello, World";

    #[test]
    fn substr_is_null_outside_of_the_text() {
        assert_eq!(text(HELLO, "s.substr,-5,3"), "Wor");
        assert_eq!(text(HELLO, "s.substr,7,0"), "World");
        assert_eq!(text(HELLO, "s.substr, 1 , 3 "), "ell");
        assert_eq!(text(HELLO, "s.substr,0,100"), HELLO);
        assert_eq!(apply(HELLO, "s.substr,12,0"), Value::Null);
        assert_eq!(apply(HELLO, "s.substr,-20,2"), Value::Null);
        assert!(refused("s.substr,2").contains("further argument"));
    }

    #[test]
    fn fields_are_counted_from_both_ends() {
        assert_eq!(text("a,b,,d", "s.select,1,,"), "b");
        assert_eq!(text("a,b,,d", "s.select,-1,,"), "d");
        assert_eq!(text("a,b,,d", "s.select,-5,,"), "");
        assert_eq!(text("a,b,,d", "s.select,2,,"), "");
        assert_eq!(text("a b", "s.select,1, "), "b");
        assert_eq!(text("a\tb", "s.select,1,\\t"), "b");
        assert_eq!(text("a\tb c", "s.selectws,2"), "c");
        assert!(refused("s.select,0,lo").contains("separator"));
        assert!(refused("s.select,0,").contains("separator"));
    }

    #[test]
    fn ends_are_stripped() {
        assert_eq!(text(HELLO, "s.strip,2"), "llo, World");
        assert_eq!(text(HELLO, "s.strip,-1"), HELLO);
        assert_eq!(text(HELLO, "s.strip,100"), "");
        assert_eq!(text(HELLO, "s.striptail,2"), "Hello, Wor");
        assert_eq!(text(HELLO, "s.stripto,lo"), "llo, World");
        assert_eq!(text(HELLO, "s.stripto,Z"), "");
    }

    #[test]
    fn sides_of_a_character() {
        assert_eq!(text(HELLO, "s.before,,"), "Hello");
        assert_eq!(text(HELLO, "s.after,Z"), "");
        assert_eq!(text(HELLO, "s.before,Z"), HELLO);
        assert_eq!(text("abcdefcgh", "s.rbefore,c"), "abcdef");
        assert_eq!(text("abcdefcgh", "s.rafter,c"), "gh");
    }

    #[test]
    fn prefixes_are_listed() {
        assert_eq!(text("012", "s.prefixes"), "0,01,012");
        assert_eq!(text("012", "s.prefixes,2"), "0,01");
        assert_eq!(text("01", "s.prefixes.quoted,100"), "'0','01'");
        assert_eq!(text("", "s.prefixes"), "");
    }
}
