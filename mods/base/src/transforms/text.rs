//! `{s.…}`: length, numbers, case, counting, replacing.

use kahea_module::{Decl, Module, Str, TransformKind, Value, value::parse_int};

use super::{MAX_RESULT, args, on_text};
use crate::pv::clock::Calendar;

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "s",
        "len", "The length in bytes.", |s| length(s.len());
        "int", "The number that the text is; null where it is none.", decimal;
        "intv", "The number that the text is, as a number without a text; null where it is none.", decimal;
        "tolower", "In lower case (ASCII letters).", |s| s.to_ascii_lowercase().into();
        "toupper", "In upper case (ASCII letters).", |s| s.to_ascii_uppercase().into();
        "numeric", "Its digits alone.", |s| only(s, u8::is_ascii_digit);
        "unquote", "Without the same quotes, double or single, around it.", |s| unwrap(s, &[*b"\"\"", *b"''"]);
        "unbracket", "Without the brackets around it: (), [], {} or <>.",
            |s| unwrap(s, &[*b"()", *b"[]", *b"{}", *b"<>"]);
    );
    d.transform(
        "s",
        "count",
        &["c"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, count)),
        "How many times the character c is in it.",
    );
    d.transform(
        "s",
        "replace",
        &["match", "repl"],
        TransformKind::Raw(|raw, bind| args::by_texts(raw, bind, replace)),
        "With every match replaced by repl; both may be variables.",
    );
    d.transform(
        "s",
        "rm",
        &["match"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, |text, wanted| replace(text, wanted, b""))),
        "Without every match, a text or a variable.",
    );
    d.transform(
        "s",
        "charat",
        &["pos"],
        TransformKind::Raw(|raw, bind| args::by_number(raw, bind, char_at)),
        "The character (byte) at a position, from 0; negative counts from the end.",
    );
    for name in ["byteat", "byte"] {
        d.transform(
            "s",
            name,
            &["pos"],
            TransformKind::Raw(|raw, bind| args::by_number(raw, bind, byte_at)),
            "The number of the byte at a position, from 0; negative counts from the end.",
        );
    }
    d.transform(
        "s",
        "ftime",
        &["format"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, ftime)),
        "The value, seconds since 1970, in local time in the form of strftime(3).",
    );
    declare_lines(d);
}

fn declare_lines<M: Module>(d: &mut Decl<M>) {
    d.transform(
        "s",
        "fmtlines",
        &["n", "m"],
        TransformKind::Raw(|raw, bind| args::by_numbers(raw, bind, |text, n, m| fold(text, n, m, b' '))),
        "In lines of n bytes that end with CRLF, each further one after m blanks.",
    );
    d.transform(
        "s",
        "fmtlinet",
        &["n", "m"],
        TransformKind::Raw(|raw, bind| args::by_numbers(raw, bind, |text, n, m| fold(text, n, m, b'\t'))),
        "In lines of n bytes that end with CRLF, each further one after m tabs.",
    );
}

/// A length or count as a value.
pub(super) fn length(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// Unlike elsewhere, hexadecimal is no number here.
fn decimal(text: &Str) -> Value {
    parse_int(text)
        .filter(|_| !text.contains(&b'x') && !text.contains(&b'X'))
        .into()
}

fn only(text: &Str, keep: fn(&u8) -> bool) -> Value {
    if text.iter().all(keep) {
        return Value::Str(text.clone());
    }
    text.iter().copied().filter(keep).collect::<Vec<u8>>().into()
}

fn unwrap(text: &Str, pairs: &[[u8; 2]]) -> Value {
    let inner = match &**text {
        [open, inner @ .., close] if pairs.contains(&[*open, *close]) => inner,
        whole => whole,
    };
    Value::Str(text.share(inner))
}

fn count(text: &Str, wanted: &[u8]) -> Value {
    let found = wanted
        .first()
        .map_or(0, |c| text.iter().filter(|b| *b == c).count());
    length(found)
}

fn replace(text: &Str, wanted: &[u8], with: &[u8]) -> Value {
    if wanted.is_empty() {
        return Value::Str(text.clone());
    }
    let limit = text.len().max(MAX_RESULT);
    let finder = memchr::memmem::Finder::new(wanted);
    let mut out = Vec::new();
    let mut rest: &[u8] = text;
    while let Some(at) = finder.find(rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        out.extend_from_slice(with);
        rest = rest.get(at.saturating_add(wanted.len())..).unwrap_or_default();
        if out.len() > limit {
            return Value::Null;
        }
    }
    if rest.len() == text.len() {
        return Value::Str(text.clone());
    }
    out.extend_from_slice(rest);
    out.into()
}

/// The index from either end.
pub(super) fn position(at: i64, length: usize) -> Option<usize> {
    kahea_module::Index::At(at).pick(length)
}

fn char_at(text: &Str, at: i64) -> Value {
    let byte = position(at, text.len()).and_then(|at| text.get(at));
    byte.map(|byte| Value::Str(text.share(std::slice::from_ref(byte))))
        .unwrap_or_default()
}

fn byte_at(text: &Str, at: i64) -> Value {
    let byte = position(at, text.len()).and_then(|at| text.get(at));
    byte.map(|byte| Value::Int((*byte).into())).unwrap_or_default()
}

fn ftime(text: &Str, format: &[u8]) -> Value {
    let unix = if text.is_empty() { Some(0) } else { parse_int(text) };
    match unix {
        Some(unix) => Calendar::local(unix)
            .format(&String::from_utf8_lossy(format))
            .into(),
        None => Value::Null,
    }
}

fn fold(text: &Str, width: i64, indent: i64, blank: u8) -> Value {
    let (Ok(width), Ok(indent)) = (usize::try_from(width), usize::try_from(indent)) else {
        return Value::Null;
    };
    if width == 0 || indent > MAX_RESULT {
        return Value::Null;
    }
    let lines = text.len().div_ceil(width);
    let added = lines.saturating_sub(1).saturating_mul(indent.saturating_add(2));
    if added > 0 && text.len().saturating_add(added) > MAX_RESULT {
        return Value::Null;
    }
    let separator = [b"\r\n".as_slice(), &vec![blank; indent]].concat();
    text.chunks(width).collect::<Vec<_>>().join(&*separator).into()
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, refused, text};

    #[test]
    fn lengths_and_numbers() {
        assert_eq!(apply("ČAU", "s.len"), Value::Int(4));
        assert_eq!(apply("0123", "s.int"), Value::Int(123));
        assert_eq!(apply("12abc", "s.int"), Value::Null);
        assert_eq!(apply("+12", "s.int"), Value::Int(12));
        assert_eq!(apply("0x10", "s.int"), Value::Null);
        assert_eq!(text("+1 (23) 4-5", "s.numeric"), "12345");
        assert_eq!(text("ČAU", "s.tolower"), "Čau");
    }

    #[test]
    fn quotes_and_brackets_go_only_in_pairs() {
        assert_eq!(text("'x'", "s.unquote"), "x");
        assert_eq!(text("'x\"", "s.unquote"), "'x\"");
        assert_eq!(text("\"", "s.unquote"), "\"");
        assert_eq!(text("{x}", "s.unbracket"), "x");
        assert_eq!(text("[x>", "s.unbracket"), "[x>");
    }

    #[test]
    fn replacing_counts_and_positions() {
        assert_eq!(text("Hello, World", "s.replace, l, L"), "HeLLo, WorLd");
        assert_eq!(text("Hello, World", "s.replace,o,"), "Hell, Wrld");
        assert_eq!(text("Hello, World", "s.rm,lo"), "Hel, World");
        assert_eq!(text("Hello", "s.rm,"), "Hello");
        assert_eq!(apply("a,b,", "s.count,,"), Value::Int(2));
        assert_eq!(apply("Hello", "s.count,ll"), Value::Int(2));
        assert_eq!(apply("Hello", "s.count,"), Value::Int(0));
        assert_eq!(text("abc", "s.charat,-1"), "c");
        assert_eq!(apply("abc", "s.byteat,0"), Value::Int(97));
        assert_eq!(apply("abc", "s.charat,3"), Value::Null);
        assert!(refused("s.charat,x").contains("not a number"));
    }

    #[test]
    fn lines_are_folded_at_the_width() {
        assert_eq!(text("abcdefgh", "s.fmtlines,4,2"), "abcd\r\n  efgh");
        assert_eq!(text("abcdefg", "s.fmtlinet,3,1"), "abc\r\n\tdef\r\n\tg");
        assert_eq!(text("abc", "s.fmtlines,100,1"), "abc");
        assert_eq!(apply("abc", "s.fmtlines,0,1"), Value::Null);
    }

    #[test]
    fn times_are_formatted() {
        assert_eq!(text("1700000000", "s.ftime,%s"), "1700000000");
        assert_eq!(apply("x", "s.ftime,%Y"), Value::Null);
    }
}
