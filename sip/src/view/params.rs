//! Parameters: `;name=value` in headers and URIs, `,name=value` in credentials, `&name=value` in URI headers.

use std::{borrow::Cow, ops::Range};

use super::{
    range_in,
    scan::{self, Nesting},
    unquote,
};

/// A list of parameters (RFC 3261 25.1, `generic-param`, `uri-parameter`, `auth-param`, `header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params<'a> {
    /// The text, with or without a leading separator.
    pub raw: &'a [u8],
    separator: u8,
    nesting: Nesting,
}

impl<'a> Params<'a> {
    /// Parameters of a header: separated by `;`, with quoted strings.
    pub const fn header(raw: &'a [u8]) -> Params<'a> {
        Params {
            raw,
            separator: b';',
            nesting: Nesting::Header,
        }
    }

    /// Parameters of a URI: separated by `;`, a quote is a byte like others.
    pub const fn uri(raw: &'a [u8]) -> Params<'a> {
        Params {
            raw,
            separator: b';',
            nesting: Nesting::Flat,
        }
    }

    /// Headers of a URI: separated by `&`.
    pub const fn uri_headers(raw: &'a [u8]) -> Params<'a> {
        Params {
            raw,
            separator: b'&',
            nesting: Nesting::Flat,
        }
    }

    /// Parameters of a challenge or credentials: separated by `,`, with quoted strings.
    pub const fn auth(raw: &'a [u8]) -> Params<'a> {
        Params {
            raw,
            separator: b',',
            nesting: Nesting::Header,
        }
    }

    /// Parameters with another `separator`, in which quoted strings count where `quoting`.
    pub const fn new(raw: &'a [u8], separator: u8, quoting: bool) -> Params<'a> {
        Params {
            raw,
            separator,
            nesting: if quoting { Nesting::Header } else { Nesting::Flat },
        }
    }

    /// No parameter at all.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All parameters in order; empty ones (`;;`) are passed over.
    pub const fn iter(&self) -> ParamsIter<'a> {
        ParamsIter { params: *self, at: 0 }
    }

    /// The first parameter called `name`, in any case.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<Param<'a>> {
        let name = name.as_ref();
        self.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter called `name` as it is written; `None` where it is absent or has none.
    pub fn value(&self, name: impl AsRef<[u8]>) -> Option<&'a [u8]> {
        self.get(name)?.value
    }

    /// What to take out of `outer`, the text that this list is a part of, so that `param` and its separator are gone.
    pub fn removal(&self, outer: &[u8], param: &Param<'_>) -> Option<Range<usize>> {
        let Range { start, end } = range_in(outer, param.whole)?;
        let own = param.whole.first() == Some(&self.separator);
        // The separator before the first parameter is not a part of the list in most views.
        let before = scan::trim_end(scan::before(outer, start)).strip_suffix(&[self.separator]);
        let start = before.filter(|_| !own).map_or(start, |before| before.len());
        Some(start..end)
    }

    /// A parameter called `name` is there, with or without a value.
    pub fn has(&self, name: impl AsRef<[u8]>) -> bool {
        self.get(name).is_some()
    }
}

impl<'a> IntoIterator for Params<'a> {
    type Item = Param<'a>;
    type IntoIter = ParamsIter<'a>;
    fn into_iter(self) -> ParamsIter<'a> {
        self.iter()
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// From the separator before it (where there is one) up to the next: what an edit removes.
    pub whole: &'a [u8],
    /// From the first byte of the name to the last of the value.
    pub raw: &'a [u8],
    /// The name as it is written; compare without regard to case.
    pub name: &'a [u8],
    /// The value as it is written, quotes included; `None` without `=`.
    pub value: Option<&'a [u8]>,
}

impl<'a> Param<'a> {
    /// The value without quotes and escapes; empty where there is none.
    pub fn unquoted(&self) -> Cow<'a, [u8]> {
        unquote(self.value.unwrap_or_default())
    }
}

/// Walks [`Params`].
#[derive(Clone, Debug)]
pub struct ParamsIter<'a> {
    params: Params<'a>,
    at: usize,
}

impl<'a> Iterator for ParamsIter<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Param<'a>> {
        let Params {
            raw: text,
            separator,
            nesting,
        } = self.params;
        while self.at < text.len() {
            let start = self.at;
            let first = if text.get(start) == Some(&separator) {
                start + 1
            } else {
                start
            };
            // What does not close runs to the end: a parameter list has no way to refuse.
            let end = scan::find(text, first, nesting, |b| b == separator).unwrap_or(text.len());
            self.at = end;
            let raw = scan::trim(scan::cut(text, first, end));
            if !raw.is_empty() {
                let (name, value) = scan::split_once(raw, b'=');
                return Some(Param {
                    whole: scan::cut(text, start, end),
                    raw,
                    name: scan::trim_end(name),
                    value: value.map(scan::trim_start),
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_what_phones_send() {
        let text = b";tag = a1 ;; lr;q=\"x;\\\";y\"\r\n ; e=;=v";
        let params = Params::header(text);
        let seen: Vec<_> = params.iter().map(|p| (p.name, p.value)).collect();
        assert_eq!(
            seen,
            [
                (&b"tag"[..], Some(&b"a1"[..])),
                (b"lr", None),
                (b"q", Some(b"\"x;\\\";y\"")),
                (b"e", Some(b"")),
                (b"", Some(b"v"))
            ]
        );
        assert_eq!(params.get("Q").unwrap().unquoted().as_ref(), b"x;\";y");
        assert_eq!(params.value("TAG"), Some(&b"a1"[..]));
        assert!(params.has("lr") && !params.has("l"));
    }

    #[test]
    fn removal_takes_the_separator_too() {
        let text = "<sip:a@b> ; tag=1 ;x;lr";
        let addr = crate::view::NameAddr::parse(text.as_bytes()).unwrap();
        let place = |name: &str| {
            addr.params
                .removal(text.as_bytes(), &addr.params.get(name).unwrap())
        };
        assert_eq!(
            (place("tag"), place("x"), place("lr")),
            (Some(10..18), Some(18..20), Some(20..23))
        );
        // Pieces of another buffer have no place in this one.
        assert_eq!(
            addr.params.removal(b"elsewhere", &addr.params.get("x").unwrap()),
            None
        );
    }

    #[test]
    fn other_separators_and_the_place_of_a_parameter() {
        let text = b"a=1&b=\"2&c";
        assert_eq!(Params::uri_headers(text).iter().count(), 3);
        let b = Params::uri_headers(text).get("b").unwrap();
        assert_eq!(range_in(text, b.whole), Some(3..8));
        assert_eq!(range_in(text, b.raw), Some(4..8));
        assert_eq!(Params::auth(b"a=\"1,2\", b=3").iter().count(), 2);
        assert!(Params::header(b" ; ;").is_empty());
        assert_eq!(Params::header(b"a=\"open;b").iter().count(), 1);
    }
}
