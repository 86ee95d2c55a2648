//! Warning, RFC 3261 20.43: `307 isi.edu "Session parameter 'foo' not understood"`.

use std::borrow::Cow;

use super::{
    Malformed,
    scan::{self, Nesting},
    unquote,
};

/// A remark about a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// The whole remark, without blanks around it.
    pub raw: &'a [u8],
    /// Three digits.
    pub code: u16,
    /// Who makes the remark: a host with its port, or a pseudonym.
    pub agent: &'a [u8],
    /// The text as it is written, quotes included.
    pub quoted_text: &'a [u8],
}

impl<'a> Warning<'a> {
    /// Reads one remark; [`Warnings`] walks a header with several.
    ///
    /// # Errors
    /// No code of three digits, no agent, or no text in quotes.
    pub fn parse(text: &'a [u8]) -> Result<Warning<'a>, Malformed> {
        let raw = scan::trim(text);
        let fault = |what, piece| Malformed::new(what, scan::offset(text, piece));
        let (code, rest) = word(raw);
        let code_number = Some(code).filter(|code| code.len() == 3).and_then(scan::number);
        let code = code_number.ok_or(fault("warning without a code of three digits", code))?;
        let (agent, quoted_text) = word(rest);
        let closes =
            quoted_text.first() == Some(&b'"') && scan::quoted_end(quoted_text, 0) == Some(quoted_text.len());
        if agent.is_empty() || !closes {
            return Err(fault("warning without agent and text", quoted_text));
        }
        Ok(Warning {
            raw,
            code,
            agent,
            quoted_text,
        })
    }

    /// The text without quotes and escapes.
    pub fn text(&self) -> Cow<'a, [u8]> {
        unquote(self.quoted_text)
    }
}

/// The text up to the first blank, and what follows the blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| scan::is_lws(*b)).unwrap_or(text.len());
    (scan::before(text, end), scan::trim_start(scan::after(text, end)))
}

/// Walks the remarks of one header.
#[derive(Clone, Debug)]
pub struct Warnings<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Warnings<'a> {
    /// The remarks of `text`.
    pub const fn new(text: &'a [u8]) -> Warnings<'a> {
        Warnings { text, at: 0 }
    }
}

impl<'a> Iterator for Warnings<'a> {
    type Item = Result<Warning<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = scan::next_element(self.text, &mut self.at, Nesting::Header)?;
        Some(element.and_then(|(start, piece)| Warning::parse(piece).map_err(|e| e.shifted(start))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_remarks() {
        // RFC 4475 3.1.1.13 has a code of four digits: it is for the element that reads it, a proxy passes it on.
        let text = b"307 isi.edu:5060  \"Session parameter 'foo', \\\"bar\\\"\",\r\n 399 x \"\", 1812 overture \"In Progress\"";
        let found: Vec<_> = Warnings::new(text).collect();
        let first = found[0].unwrap();
        assert_eq!((first.code, first.agent), (307, &b"isi.edu:5060"[..]));
        assert_eq!(first.text().as_ref(), b"Session parameter 'foo', \"bar\"");
        assert_eq!(found[1].unwrap().text().as_ref(), b"");
        assert!(found[2].is_err());
        for bad in [
            "",
            "307",
            "307 a",
            "307 \"text\"",
            "307 a \"open",
            "307 a \"b\" c",
        ] {
            assert!(Warning::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
