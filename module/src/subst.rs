//! Substitution expressions `/re/replacement/flags`: `subst*()`, and `{re.subst,…}`.

use std::{ops::Range, sync::Arc};

use crate::{
    Bind, BindError, Cx, Fault, Format, Literal, Regex, Str, Value, regex::Captures,
    transform::BoundTransform,
};

/// A substitution, compiled.
#[derive(Debug)]
pub struct Subst {
    regex: Regex,
    replacement: Vec<Part>,
    global: bool,
}

#[derive(Debug)]
enum Part {
    /// As it is.
    Text(Str),
    /// `\0`–`\9`.
    Group(usize),
    /// `\u`: the Request-URI.
    Ruri,
    /// With variables.
    Format(Format),
}

/// Where something is replaced, and by what.
pub type Replacement = (Range<usize>, Str);

impl Literal for Subst {
    const WHAT: &'static str = "a substitution /expression/replacement/flags";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Subst, BindError> {
        let mut chars = text.chars();
        let delimiter = chars
            .next()
            .filter(|c| !c.is_alphanumeric() && *c != '\\' && !c.is_whitespace());
        let (Some(delimiter), rest) = (delimiter, chars.as_str()) else {
            return Err(form(text));
        };
        let (pattern, rest) = until(rest, delimiter).ok_or_else(|| form(text))?;
        let (replacement, flags) = until(rest, delimiter).ok_or_else(|| form(text))?;
        let mut subst = (false, false, true);
        for flag in flags.chars() {
            match flag {
                'i' => subst.0 = true,
                'g' => subst.1 = true,
                's' => subst.2 = false,
                _ => {
                    return Err(BindError::new(format!(
                        "unknown flag '{flag}' in the substitution '{text}'"
                    ))
                    .help("flags are i (ignore case), g (all matches), s ('.' matches line ends too)"));
                }
            }
        }
        let (ignore_case, global, lines) = subst;
        let regex = Regex::with(unescape(pattern, delimiter).as_bytes(), ignore_case, lines)
            .map_err(|error| BindError::new(error.to_string()))?;
        Ok(Subst {
            regex,
            replacement: parts(replacement, delimiter, bind)?,
            global,
        })
    }
}

fn form(text: &str) -> BindError {
    BindError::new(format!("'{text}' is no substitution")).help("write /expression/replacement/flags")
}

/// Splits at the first delimiter that is not escaped.
fn until(text: &str, delimiter: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == delimiter && !escaped {
            return Some((text.get(..at)?, text.get(at.checked_add(c.len_utf8())?..)?));
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// `\/` stands for `/` alone where `/` is the delimiter; other escapes are the expression's own.
fn unescape(pattern: &str, delimiter: char) -> String {
    // A delimiter that has a meaning in expressions keeps its backslash: `|a\|b|c|` means the letter.
    if "^.[$()|*+?{\\".contains(delimiter) {
        return pattern.to_owned();
    }
    pattern.replace(&format!("\\{delimiter}"), &delimiter.to_string())
}

fn parts(text: &str, delimiter: char, bind: &dyn Bind) -> Result<Vec<Part>, BindError> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let escaped = match chars.next() {
            Some('u') => Part::Ruri,
            Some(digit @ '0'..='9') => Part::Group(usize::from(u8::try_from(digit).unwrap_or(b'0') & 0x0f)),
            Some('n') => Part::Text(Str::from_static("\n")),
            Some('r') => Part::Text(Str::from_static("\r")),
            Some('t') => Part::Text(Str::from_static("\t")),
            Some(other) if other == delimiter || other == '\\' || other == '$' => {
                Part::Text(Str::from(other.to_string()))
            }
            Some(other) => Part::Text(Str::from(format!("\\{other}"))),
            None => Part::Text(Str::from_static("\\")),
        };
        push_plain(&mut out, &mut plain, bind)?;
        out.push(escaped);
    }
    push_plain(&mut out, &mut plain, bind)?;
    Ok(out)
}

fn push_plain(out: &mut Vec<Part>, plain: &mut String, bind: &dyn Bind) -> Result<(), BindError> {
    if plain.is_empty() {
        return Ok(());
    }
    let text = std::mem::take(plain);
    out.push(match text.contains('$') {
        true => Part::Format(bind.format(&text)?),
        false => Part::Text(Str::from(text)),
    });
    Ok(())
}

impl Subst {
    /// The matches in `text` and what stands in their place.
    ///
    /// # Errors
    /// The result is beyond the message's memory budget.
    pub fn replacements(&self, cx: &mut Cx, text: &[u8]) -> Result<Vec<Replacement>, Fault> {
        let limit = if self.global { usize::MAX } else { 1 };
        let found: Vec<Captures> = self.regex.find_all(text).take(limit).collect();
        let mut out = Vec::with_capacity(found.len());
        for groups in found {
            let Some((start, end)) = groups.first().copied().flatten() else {
                continue;
            };
            let new = self.evaluate(cx, text, &groups);
            cx.spend_bytes(new.len())?;
            out.push((start..end, new));
        }
        Ok(out)
    }

    fn evaluate(&self, cx: &mut Cx, text: &[u8], groups: &Captures) -> Str {
        if let [Part::Text(text)] = self.replacement.as_slice() {
            return text.clone();
        }
        let mut out = Vec::new();
        for part in &self.replacement {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(n) => {
                    let range = groups.get(*n).copied().flatten();
                    out.extend_from_slice(range.and_then(|(a, b)| text.get(a..b)).unwrap_or_default());
                }
                Part::Ruri => out.extend_from_slice(&cx.ruri()),
                Part::Format(format) => format.push_to(cx, &mut out),
            }
        }
        Str::from(out)
    }

    /// The text with its matches replaced; `None` where there are none.
    ///
    /// # Errors
    /// As [`Subst::replacements`].
    pub fn run(&self, cx: &mut Cx, text: &[u8]) -> Result<Option<Str>, Fault> {
        let found = self.replacements(cx, text)?;
        if found.is_empty() {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (range, new) in found {
            out.extend_from_slice(text.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(&new);
            at = range.end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        Ok(Some(Str::from(out)))
    }
}

/// `{re.subst,/re/replacement/flags}`.
///
/// # Errors
/// It is no substitution.
pub fn transformation(args: &str, bind: &dyn Bind) -> Result<BoundTransform, BindError> {
    let subst = Subst::parse(args, bind)?;
    Ok(Arc::new(move |cx: &mut Cx, value: Value| {
        let Some(text) = value.str() else {
            return Value::Null;
        };
        // As in Kamailio an empty text stays empty, whatever the expression matches.
        if text.is_empty() {
            return Value::Str(text);
        }
        match subst.run(cx, &text) {
            Ok(Some(new)) => Value::Str(new),
            Ok(None) => Value::Str(text),
            Err(fault) => {
                crate::warning!("textops", "A substitution is given up: {}.", fault.text);
                Value::Null
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{FakeBind, Server};

    use super::*;

    fn run(expression: &str, text: &str) -> Option<String> {
        let mut cx = Server::default().invite();
        let subst = Subst::parse(expression, &FakeBind::default()).unwrap();
        subst
            .run(&mut cx, text.as_bytes())
            .unwrap()
            .map(|new| new.text().into_owned())
    }

    #[test]
    fn groups_flags_and_delimiters() {
        assert_eq!(
            run("/^sip:([^@]+)@(.*)$/sip:9\\1@\\2;o=\\0/", "sip:a@b").unwrap(),
            "sip:9a@b;o=sip:a@b"
        );
        assert_eq!(run("#A#al\\#x#ig", "a.a").unwrap(), "al#x.al#x");
        assert_eq!(run("/a/b/", "aa").unwrap(), "ba");
        assert_eq!(run("/a/b/", "x"), None);
        assert_eq!(run("/a\\/b/c/", "a/b").unwrap(), "c");
        assert_eq!(run("/x*/-/g", "ab").unwrap(), "-a-b-");
        assert_eq!(run("/a/\\\\\\n/", "a").unwrap(), "\\\n");
        assert_eq!(
            run("/$/\\u/", "").unwrap(),
            "sip:bob@example.com:5070;transport=udp"
        );
    }

    #[test]
    fn lines_unless_told_otherwise() {
        assert_eq!(run("/^b$/x/", "a\nb\nc").unwrap(), "a\nx\nc");
        assert_eq!(run("/a.b/x/", "a\nb"), None);
        assert_eq!(run("/a.b/x/s", "a\nb").unwrap(), "x");
    }

    #[test]
    fn variables_in_the_replacement() {
        let mut cx = Server::default().invite();
        let bind = cx.bind();
        let subst = Subst::parse("/a/[$var(x)]\\$/", &*bind).unwrap();
        assert_eq!(subst.run(&mut cx, b"a").unwrap().unwrap(), "[0]$");
    }

    #[test]
    fn what_is_no_substitution() {
        for bad in ["", "/a/b", "aXbXcX", "/a/b/q", "/(/b/"] {
            assert!(Subst::parse(bad, &FakeBind::default()).is_err(), "{bad}");
        }
    }
}
