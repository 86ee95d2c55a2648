//! Functions on texts alone.

use kahea_module::{Cx, Fault, Str};

use super::Textops;

/// Where `piece` begins in `text`.
pub fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    text.windows(piece.len()).position(|window| window == piece)
}

fn items<'a>(list: &'a [u8], separator: &[u8]) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Fault> {
    let [separator] = *separator else {
        return Err(Fault::script("the separator of the list must be one character"));
    };
    let items = list.split(move |b| *b == separator).map(<[u8]>::trim_ascii);
    Ok(items.filter(|item| !item.is_empty()))
}

pub(super) fn in_list(_: &Textops, _: &mut Cx, text: Str, list: Str, separator: Str) -> Result<bool, Fault> {
    Ok(items(&list, &separator)?.any(|item| item == &*text))
}

pub(super) fn in_list_prefix(
    _: &Textops,
    _: &mut Cx,
    text: Str,
    list: Str,
    separator: Str,
) -> Result<bool, Fault> {
    Ok(items(&list, &separator)?.any(|item| text.starts_with(item)))
}

pub(super) fn cmp_str(_: &Textops, _: &mut Cx, a: Str, b: Str) -> bool {
    a == b
}

pub(super) fn cmp_istr(_: &Textops, _: &mut Cx, a: Str, b: Str) -> bool {
    a.eq_ignore_ascii_case(&b)
}

/// -1: the text is shorter than the piece; -2: it is another.
fn outcome(text: &[u8], piece: &[u8], holds: bool) -> i64 {
    match holds {
        true => 1,
        false if text.len() < piece.len() => -1,
        false => -2,
    }
}

pub(super) fn starts_with(_: &Textops, _: &mut Cx, text: Str, prefix: Str) -> i64 {
    outcome(&text, &prefix, text.starts_with(&prefix))
}

pub(super) fn ends_with(_: &Textops, _: &mut Cx, text: Str, suffix: Str) -> i64 {
    outcome(&text, &suffix, text.ends_with(&suffix))
}

/// The place of the first byte found, counted from 1, so that it is true for the script.
fn place(at: Option<usize>) -> i64 {
    at.and_then(|at| i64::try_from(at).ok()?.checked_add(1))
        .unwrap_or(-1)
}

pub(super) fn str_find(_: &Textops, _: &mut Cx, text: Str, piece: Str) -> i64 {
    place(find(&text, &piece))
}

pub(super) fn str_ifind(_: &Textops, _: &mut Cx, text: Str, piece: Str) -> i64 {
    place(find(&text.to_ascii_lowercase(), &piece.to_ascii_lowercase()))
}

pub(super) fn str_any_in(_: &Textops, _: &mut Cx, text: Str, set: Str) -> bool {
    text.iter().any(|b| set.contains(b))
}

pub(super) fn str_all_in(_: &Textops, _: &mut Cx, text: Str, set: Str) -> bool {
    !text.is_empty() && text.iter().all(|b| set.contains(b))
}

/// Bytes from pairs of hexadecimal digits; blanks between them are passed over.
pub(super) fn from_hex(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bad = || Fault::script("the text is not made of pairs of hexadecimal digits");
    let digits: Vec<u8> = text
        .iter()
        .filter(|b| !b.is_ascii_whitespace())
        .copied()
        .collect();
    digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Ok(digit(high).ok_or_else(bad)? << 4 | digit(low).ok_or_else(bad)?),
            _ => Err(bad()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn lists_are_trimmed_and_have_no_empty_items() {
        let cx = &mut Server::default().invite();
        let mut list = |f: fn(&Textops, &mut Cx, Str, Str, Str) -> Result<bool, Fault>, a: &str, b: &str| {
            f(&Textops, cx, a.into(), b.into(), ",".into()).unwrap()
        };
        assert!(list(in_list, "fi", "dk,fi,no") && list(in_list, "x y", " x y , z"));
        assert!(!list(in_list, "f", "dk,fi") && !list(in_list, "", "a,,b"));
        assert!(list(in_list_prefix, "final", "dk,fi") && !list(in_list_prefix, "f", "dk,fi"));
        assert!(in_list(&Textops, cx, "a".into(), "a".into(), "::".into()).is_err());
    }

    #[test]
    fn finding_counts_from_one() {
        let cx = &mut Server::default().invite();
        assert_eq!(str_find(&Textops, cx, "abcabc".into(), "c".into()), 3);
        assert_eq!(str_find(&Textops, cx, "abc".into(), "C".into()), -1);
        assert_eq!(str_ifind(&Textops, cx, "ABC".into(), "b".into()), 2);
        assert_eq!(starts_with(&Textops, cx, "ab".into(), "".into()), 1);
        assert_eq!(starts_with(&Textops, cx, "ab".into(), "abc".into()), -1);
        assert_eq!(starts_with(&Textops, cx, "ab".into(), "b".into()), -2);
        assert!(str_all_in(&Textops, cx, "123".into(), "0123456789".into()));
        assert!(!str_all_in(&Textops, cx, "12a".into(), "0123456789".into()));
        assert!(str_any_in(&Textops, cx, "xx1".into(), "0123456789".into()));
    }

    #[test]
    fn hexadecimal_texts() {
        assert_eq!(from_hex(b"6b 61 6D").unwrap(), b"kam");
        assert!(from_hex(b"6").is_err() && from_hex(b"6x").is_err());
    }
}
