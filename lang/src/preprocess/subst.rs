//! `#!subst` and its kin: changes to the strings of a configuration.

use std::ops::Range;

use kahea_diag::Span;

use crate::source::{Pattern, Sources};

/// A rule of the form `/pattern/replacement/flags`, with any character as the delimiter.
pub(super) struct Rule {
    finder: Finder,
    replacement: Vec<Part>,
    global: bool,
    /// Where it was written; `None` for the command line.
    pub(super) defined: Option<Span>,
}

enum Finder {
    Literal { text: Vec<u8>, ignore_case: bool },
    Regex(Box<dyn Pattern>),
}

enum Part {
    Text(Vec<u8>),
    Group(usize),
}

/// The three fields of a rule as written.
pub(super) struct Fields<'a> {
    pub(super) pattern: &'a str,
    pub(super) replacement: &'a str,
    flags: &'a str,
}

/// Splits a rule; a delimiter behind a backslash belongs to its field.
pub(super) fn split(rule: &str) -> Result<Fields<'_>, String> {
    let form = || String::from("the form is /pattern/replacement/flags");
    let delimiter = rule.chars().next().ok_or_else(form)?;
    let body = rule.get(delimiter.len_utf8()..).ok_or_else(form)?;
    let (pattern, rest) = field(body, delimiter).ok_or_else(form)?;
    let (replacement, flags) = field(rest, delimiter).ok_or_else(form)?;
    if pattern.is_empty() {
        return Err(String::from("the pattern is empty"));
    }
    if let Some(flag) = flags.trim().chars().find(|flag| !"isg".contains(*flag)) {
        return Err(format!("`{flag}` is no flag; there are i, s and g"));
    }
    Ok(Fields {
        pattern,
        replacement,
        flags,
    })
}

fn field(text: &str, delimiter: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == delimiter && !escaped {
            return Some((text.get(..at)?, text.get(at.saturating_add(c.len_utf8())..)?));
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

impl Rule {
    pub(super) fn new(
        fields: &Fields<'_>,
        sources: &dyn Sources,
        defined: Option<Span>,
    ) -> Result<Rule, String> {
        let ignore_case = fields.flags.contains('i');
        let is_special = |c: char| "\\.[]{}()*+?|^$".contains(c);
        let finder = if fields.pattern.contains(is_special) {
            Finder::Regex(sources.regex(fields.pattern, ignore_case)?)
        } else {
            Finder::Literal {
                text: fields.pattern.as_bytes().to_vec(),
                ignore_case,
            }
        };
        let replacement = parts(fields.replacement);
        Ok(Rule {
            finder,
            replacement,
            global: fields.flags.contains('g'),
            defined,
        })
    }

    /// The changed text; `None` where nothing matches.
    pub(super) fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut copied = 0;
        let mut from = 0;
        while from <= text.len() {
            let Some(groups) = self.finder.find(text, from) else {
                break;
            };
            let Some(whole) = groups.first().cloned().flatten() else {
                break;
            };
            out.extend_from_slice(text.get(copied..whole.start).unwrap_or_default());
            self.replace(text, &groups, &mut out);
            copied = whole.end;
            // An empty match must not be found again.
            from = if whole.is_empty() {
                whole.end.saturating_add(1)
            } else {
                whole.end
            };
            if !self.global || out.len() > super::MAX_TEXT {
                break;
            }
        }
        if copied == 0 && out.is_empty() {
            return None;
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        Some(out)
    }

    fn replace(&self, text: &[u8], groups: &[Option<Range<usize>>], out: &mut Vec<u8>) {
        for part in &self.replacement {
            match part {
                Part::Text(bytes) => out.extend_from_slice(bytes),
                Part::Group(number) => {
                    let range = groups.get(*number).cloned().flatten().unwrap_or(0..0);
                    out.extend_from_slice(text.get(range).unwrap_or_default());
                }
            }
        }
    }
}

impl Finder {
    fn find(&self, text: &[u8], start: usize) -> Option<Vec<Option<Range<usize>>>> {
        match self {
            Finder::Regex(pattern) => pattern.find(text, start),
            Finder::Literal {
                text: wanted,
                ignore_case,
            } => {
                let is_here = |window: &[u8]| {
                    if *ignore_case {
                        window.eq_ignore_ascii_case(wanted)
                    } else {
                        window == wanted.as_slice()
                    }
                };
                let found = text
                    .get(start..)?
                    .windows(wanted.len().max(1))
                    .position(is_here)?;
                let at = start.saturating_add(found);
                Some(vec![Some(at..at.saturating_add(wanted.len()))])
            }
        }
    }
}

/// `\1` is a group, `\n` and its like are what they are in strings, a backslash before anything else stands for that.
fn parts(replacement: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut bytes = replacement.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(digit @ b'0'..=b'9') => {
                parts.push(Part::Text(std::mem::take(&mut plain)));
                parts.push(Part::Group(usize::from(digit.saturating_sub(b'0'))));
            }
            Some(b'n') => plain.push(b'\n'),
            Some(b'r') => plain.push(b'\r'),
            Some(b't') => plain.push(b'\t'),
            Some(other) => plain.push(other),
            None => plain.push(b'\\'),
        }
    }
    parts.push(Part::Text(plain));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;

    #[track_caller]
    fn changed(rule: &str, text: &str) -> Option<String> {
        let fields = split(rule).unwrap();
        let rule = Rule::new(&fields, &Memory::default(), None).unwrap();
        rule.apply(text.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn literal_rules() {
        assert_eq!(changed("/FOO/bar/", "FOO FOO").as_deref(), Some("bar FOO"));
        assert_eq!(changed("!FOO!bar!g", "FOO FOO").as_deref(), Some("bar bar"));
        assert_eq!(changed("!foo!bar!ig", "Foo FOO").as_deref(), Some("bar bar"));
        assert_eq!(changed("/FOO/a\\/b\\n/", "xFOO").as_deref(), Some("xa/b\n"));
        assert_eq!(changed("/FOO//g", "FOO").as_deref(), Some(""));
        assert_eq!(changed("/FOO/x/", "none"), None);
    }

    #[test]
    fn malformed_rules() {
        for rule in ["", "/", "/a", "/a/b", "//b/", "/a/b/q"] {
            assert!(split(rule).is_err(), "{rule}");
        }
        let fields = split("/a+/b/").unwrap();
        assert!(Rule::new(&fields, &Memory::default(), None).is_err());
    }
}
