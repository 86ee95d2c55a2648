//! Header values taken apart: the comma list, and the parameters of one value.

use std::ops::Range;

/// The offsets of a separator that stands in neither a quoted string nor angle brackets.
fn separators(text: &[u8], separator: u8) -> Vec<usize> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    let mut out = Vec::new();
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            _ if quoted => {}
            b'<' => angle = true,
            b'>' => angle = false,
            _ if byte == separator && !angle => out.push(at),
            _ => {}
        }
    }
    out
}

/// Without blanks and line ends at both ends.
fn trimmed(text: &[u8], range: Range<usize>) -> Range<usize> {
    let piece = text.get(range.clone()).unwrap_or_default();
    let front = piece.len().saturating_sub(piece.trim_ascii_start().len());
    let back = piece.len().saturating_sub(piece.trim_ascii_end().len());
    let start = range.start.saturating_add(front).min(range.end);
    start..range.end.saturating_sub(back).max(start)
}

/// One element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// The element itself.
    pub value: Range<usize>,
    /// With the separator that goes when the element goes: the one behind the first, the one before others.
    pub whole: Range<usize>,
}

/// The elements of a list, empty ones included.
pub(crate) fn elements(text: &[u8], separator: u8) -> Vec<Element> {
    let commas = separators(text, separator);
    let starts = std::iter::once(0).chain(commas.iter().map(|at| at.saturating_add(1)));
    let ends = commas.iter().copied().chain(std::iter::once(text.len()));
    let several = !commas.is_empty();
    starts
        .zip(ends)
        .enumerate()
        .map(|(at, (start, end))| {
            let value = trimmed(text, start..end);
            let whole = match at {
                0 if several => value.start..end.saturating_add(1),
                0 => value.clone(),
                _ => start.saturating_sub(1)..value.end,
            };
            Element { value, whole }
        })
        .collect()
}

/// A parameter of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Param {
    /// Its name.
    pub name: Range<usize>,
    /// Behind the `=`, or an empty range at the end of the name.
    pub value: Range<usize>,
    /// With the separator that goes when the parameter goes.
    pub whole: Range<usize>,
}

/// The parameters of `value` in `text`: after each `;`, or, in credentials, after the scheme and divided by commas.
pub(super) fn params(text: &[u8], value: &Range<usize>, credentials: bool) -> Vec<Param> {
    let piece = text.get(value.clone()).unwrap_or_default();
    let shift =
        |range: &Range<usize>| range.start.saturating_add(value.start)..range.end.saturating_add(value.start);
    let (separator, skip) = if credentials {
        (b',', scheme_len(piece))
    } else {
        (b';', 0)
    };
    let list = piece.get(skip..).unwrap_or_default();
    elements(list, separator)
        .into_iter()
        .skip(usize::from(!credentials))
        .map(|element| {
            let by = |range: &Range<usize>| {
                shift(&(range.start.saturating_add(skip)..range.end.saturating_add(skip)))
            };
            let text = list.get(element.value.clone()).unwrap_or_default();
            let equals = text.iter().position(|b| *b == b'=');
            let start = element.value.start;
            let name_end = start.saturating_add(equals.unwrap_or(text.len()));
            let value_start = equals.map_or(name_end, |at| start.saturating_add(at).saturating_add(1));
            Param {
                name: by(&trimmed(list, start..name_end)),
                value: by(&trimmed(list, value_start..element.value.end)),
                whole: by(&element.whole),
            }
        })
        .collect()
}

/// The length of `Digest ` in credentials.
fn scheme_len(text: &[u8]) -> usize {
    let token = text
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'-')
        .count();
    let blanks = text
        .get(token..)
        .unwrap_or_default()
        .iter()
        .take_while(|b| b.is_ascii_whitespace())
        .count();
    if blanks == 0 {
        0
    } else {
        token.saturating_add(blanks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_outside_of_quotes_and_brackets() {
        let text = b"\"a,b\" <sip:c,d@e>;x=1,\r\n f ,g";
        let seen: Vec<_> = elements(text, b',')
            .iter()
            .map(|e| &text[e.value.clone()])
            .collect();
        assert_eq!(seen, [&b"\"a,b\" <sip:c,d@e>;x=1"[..], b"f", b"g"]);
        let wholes: Vec<_> = elements(b"a,\r\n b", b',').into_iter().map(|e| e.whole).collect();
        assert_eq!(wholes, [0..2, 1..6]);
    }

    #[test]
    fn parameters_of_both_kinds() {
        let text = b"<sip:a;lr@b>;tag=1 ; lr";
        let all = params(text, &(0..text.len()), false);
        let names: Vec<_> = all
            .iter()
            .map(|p| (&text[p.name.clone()], &text[p.value.clone()]))
            .collect();
        assert_eq!(names, [(&b"tag"[..], &b"1"[..]), (b"lr", b"")]);
        assert_eq!(&text[all[0].whole.clone()], b";tag=1");
        let text = b"Digest realm=\"a,b\", nonce=x";
        let all = params(text, &(0..text.len()), true);
        let names: Vec<_> = all
            .iter()
            .map(|p| (&text[p.name.clone()], &text[p.value.clone()]))
            .collect();
        assert_eq!(names, [(&b"realm"[..], &b"\"a,b\""[..]), (b"nonce", b"x")]);
        assert_eq!(&text[all[0].whole.clone()], b"realm=\"a,b\",");
    }
}
