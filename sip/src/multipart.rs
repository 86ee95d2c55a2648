//! Multipart bodies, RFC 2046 5.1 (with RFC 5621 for SIP): parts by their place in the body, nothing copied.

use memchr::memmem::Finder;

use crate::view::{Malformed, MediaType, scan};

/// A multipart body, cut at its boundary as it is walked.
#[derive(Clone, Debug)]
pub struct Multipart<'a> {
    /// The whole body.
    pub body: &'a [u8],
    boundary: &'a [u8],
}

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// From the start of the delimiter line before it up to the next one: what an edit removes.
    pub whole: &'a [u8],
    /// The headers with their line ends, without the empty line.
    pub headers: &'a [u8],
    /// The content, without the line end before the next delimiter, which belongs to that.
    pub body: &'a [u8],
}

impl<'a> Multipart<'a> {
    /// The parts of `body` by the boundary in the value of its Content-Type.
    ///
    /// # Errors
    /// A type that is not `multipart/…`, or one without a boundary.
    pub fn parse(content_type: &'a [u8], body: &'a [u8]) -> Result<Multipart<'a>, Malformed> {
        let kind = MediaType::parse(content_type)?;
        if !kind.kind.eq_ignore_ascii_case(b"multipart") {
            return Err(Malformed::new("media type that is not multipart", 0));
        }
        let boundary = kind
            .boundary()
            .ok_or(Malformed::new("multipart without a boundary", content_type.len()))?;
        Ok(Multipart { body, boundary })
    }

    /// The parts of `body` at `boundary`, which is given without its leading dashes.
    pub const fn new(boundary: &'a [u8], body: &'a [u8]) -> Multipart<'a> {
        Multipart { body, boundary }
    }

    /// The parts in order. A missing last delimiter is passed over: the last part runs to the end.
    pub fn parts(&self) -> Parts<'a> {
        let mut delimiters = Delimiters::new(self);
        Parts {
            body: self.body,
            next: delimiters.next(),
            delimiters,
        }
    }

    /// The text before the first delimiter, the whole body where there is none.
    pub fn preamble(&self) -> &'a [u8] {
        let end = Delimiters::new(self)
            .next()
            .map_or(self.body.len(), |delimiter| delimiter.start);
        scan::before(self.body, end)
    }

    /// The text after the last delimiter (`--boundary--`); empty where that is missing.
    pub fn epilogue(&self) -> &'a [u8] {
        let close = Delimiters::new(self).find(|delimiter| delimiter.closes);
        scan::after(
            self.body,
            close.map_or(self.body.len(), |delimiter| delimiter.end),
        )
    }

    /// Where a new last part is inserted: at the closing delimiter, or at the end where that is missing.
    pub fn insert_at(&self) -> usize {
        Delimiters::new(self)
            .find(|delimiter| delimiter.closes)
            .map_or(self.body.len(), |d| d.start)
    }

    /// The first part of type `kind/subtype`.
    pub fn find(&self, kind: &str, subtype: &str) -> Option<Part<'a>> {
        self.parts()
            .find(|part| part.media_type().is_some_and(|media| media.is(kind, subtype)))
    }
}

impl<'a> Part<'a> {
    /// The value of the first header called `name` (in any case) with its folding, without blanks around it.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        headers(self.headers)
            .find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of Content-Type, `c` in its compact form.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.header("Content-Type").or_else(|| self.header("c"))
    }

    /// Content-Type, taken apart; `None` where it is absent or malformed.
    pub fn media_type(&self) -> Option<MediaType<'a>> {
        MediaType::parse(self.content_type()?).ok()
    }

    /// The value of Content-Disposition.
    pub fn content_disposition(&self) -> Option<&'a [u8]> {
        self.header("Content-Disposition")
    }

    /// The value of Content-ID, brackets included.
    pub fn content_id(&self) -> Option<&'a [u8]> {
        self.header("Content-ID")
    }
}

/// The headers of a part: name and value.
fn headers(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = header_end(rest);
            let (line, tail) = (scan::before(rest, end), scan::after(rest, end));
            rest = tail;
            if let (name, Some(value)) = scan::split_once(line, b':') {
                return Some((scan::trim(name), scan::trim(value)));
            }
        }
        None
    })
}

/// Past the line end of the first header: one that no blank follows.
fn header_end(text: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', text)
        .map(|at| at + 1)
        .find(|end| !matches!(text.get(*end), Some(b' ' | b'\t')))
        .unwrap_or(text.len())
}

/// A delimiter line.
#[derive(Clone, Copy, Debug)]
struct Delimiter {
    /// At the line end before it, which belongs to it (RFC 2046 5.1.1).
    start: usize,
    /// At its first dash.
    dashes: usize,
    /// Past its own line end.
    end: usize,
    /// It ends the body.
    closes: bool,
}

/// Walks the delimiter lines, the closing one last.
#[derive(Clone, Debug)]
struct Delimiters<'a> {
    body: &'a [u8],
    boundary: &'a [u8],
    finder: Finder<'a>,
    at: usize,
}

impl<'a> Delimiters<'a> {
    fn new(multipart: &Multipart<'a>) -> Delimiters<'a> {
        Delimiters {
            body: multipart.body,
            boundary: multipart.boundary,
            finder: Finder::new(multipart.boundary),
            at: 0,
        }
    }

    /// The delimiter whose boundary text begins at `name`, if it is one.
    fn delimiter(&self, name: usize) -> Option<Delimiter> {
        let head = scan::before(self.body, name).strip_suffix(b"--")?;
        let dashes = head.len();
        let start = match head {
            [] => 0,
            [.., b'\r', b'\n'] => dashes - 2,
            [.., b'\n'] => dashes - 1,
            _ => return None,
        };
        let tail = scan::after(self.body, name + self.boundary.len());
        let (closes, padding) = match tail.strip_prefix(b"--") {
            Some(padding) => (true, padding),
            None => (false, tail),
        };
        let blanks = padding.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let line_end = match scan::after(padding, blanks) {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            [] => 0,
            // Text after the closing dashes is an epilogue on the same line.
            _ if closes => 0,
            _ => return None,
        };
        let end = self.body.len() - padding.len() + blanks + line_end;
        Some(Delimiter {
            start,
            dashes,
            end,
            closes,
        })
    }
}

impl Iterator for Delimiters<'_> {
    type Item = Delimiter;

    fn next(&mut self) -> Option<Delimiter> {
        if self.boundary.is_empty() {
            return None;
        }
        while let Some(found) = self.finder.find(scan::after(self.body, self.at)) {
            let name = self.at + found;
            match self.delimiter(name) {
                Some(delimiter) => {
                    // The line end of a delimiter may be the start of the next one.
                    self.at = if delimiter.closes {
                        self.body.len()
                    } else {
                        name + self.boundary.len()
                    };
                    return Some(delimiter);
                }
                None => self.at = name + 1,
            }
        }
        self.at = self.body.len();
        None
    }
}

/// Walks the parts of a [`Multipart`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    body: &'a [u8],
    next: Option<Delimiter>,
    delimiters: Delimiters<'a>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let opening = self.next.take().filter(|delimiter| !delimiter.closes)?;
        self.next = self.delimiters.next();
        let (end, next) = self
            .next
            .map_or((self.body.len(), self.body.len()), |d| (d.start, d.dashes));
        let text = scan::cut(self.body, opening.end, end);
        let (headers, body) = split_headers(text);
        Some(Part {
            whole: scan::cut(self.body, opening.dashes, next),
            headers,
            body,
        })
    }
}

/// Splits a part at its first empty line; without one all of it is headers.
fn split_headers(text: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    loop {
        let line = scan::after(text, start);
        let end = match line {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => match memchr::memchr(b'\n', line) {
                Some(at) => {
                    start += at + 1;
                    continue;
                }
                None => return (text, scan::after(text, text.len())),
            },
        };
        return (scan::before(text, start), scan::after(text, start + end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::range_in;
    use proptest::prelude::*;

    const BODY: &str = "preamble --b1\r\n--b1\r\nContent-Type: application/sdp\r\nContent-ID:\r\n <1@x>\r\n\r\nv=0\r\n--b10\r\n\r\n--b1 \t\r\n\
        c: text/plain;x=1\r\n\r\n\r\n--b1\r\n\r\nno headers\r\n--b1--\r\nepilogue\r\n--b1\r\n";

    fn multipart() -> Multipart<'static> {
        Multipart::parse(b"multipart/mixed; boundary=\"b1\"", BODY.as_bytes()).unwrap()
    }

    #[test]
    fn parts_and_what_is_around_them() {
        let parts: Vec<_> = multipart().parts().collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].body, b"v=0\r\n--b10\r\n");
        assert_eq!(parts[0].content_id(), Some(&b"<1@x>"[..]));
        assert_eq!(
            parts[0].headers,
            b"Content-Type: application/sdp\r\nContent-ID:\r\n <1@x>\r\n"
        );
        assert_eq!(
            (parts[1].content_type(), parts[1].body),
            (Some(&b"text/plain;x=1"[..]), &b""[..])
        );
        assert_eq!((parts[2].headers, parts[2].body), (&b""[..], &b"no headers"[..]));
        assert_eq!(parts[2].whole, b"--b1\r\n\r\nno headers\r\n");
        assert_eq!(multipart().preamble(), b"preamble --b1");
        assert_eq!(multipart().epilogue(), b"epilogue\r\n--b1\r\n");
        assert!(BODY[multipart().insert_at()..].starts_with("\r\n--b1--"));
        assert_eq!(multipart().find("Text", "Plain"), Some(parts[1]));
        assert_eq!(multipart().find("text", "html"), None);
    }

    #[test]
    fn broken_bodies() {
        let open = Multipart::new(b"x", b"--x\nA: b\n\nbody");
        let parts: Vec<_> = open.parts().collect();
        assert_eq!(
            (parts.len(), parts[0].body, parts[0].header("a")),
            (1, &b"body"[..], Some(&b"b"[..]))
        );
        assert_eq!((open.epilogue(), open.insert_at()), (&b""[..], 14));
        let none = Multipart::new(b"x", b"no delimiter");
        assert_eq!((none.parts().count(), none.preamble()), (0, &b"no delimiter"[..]));
        assert_eq!(Multipart::new(b"", b"--\r\n--\r\n").parts().count(), 0);
        let adjacent: Vec<_> = Multipart::new(b"x", b"--x\r\n--x\r\n--x--").parts().collect();
        assert_eq!(
            (adjacent.len(), adjacent[0].body, adjacent[1].whole),
            (2, &b""[..], &b"--x\r\n"[..])
        );
        for bad in [
            "multipart/mixed",
            "application/sdp;boundary=x",
            "",
            "multipart/mixed;boundary=",
        ] {
            assert!(Multipart::parse(bad.as_bytes(), b"").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_parts_make_up_the_body(text in "((--b|--b--|a: b|x)?(\r\n|\n|))*") {
            let multipart = Multipart::new(b"b", text.as_bytes());
            let place = |piece| range_in(text.as_bytes(), piece).unwrap();
            let mut end = None;
            for part in multipart.parts() {
                let whole = place(part.whole);
                prop_assert!(end.is_none_or(|end| end == whole.start));
                prop_assert!(whole.contains(&place(part.headers).start) || part.headers.is_empty());
                prop_assert!(place(part.body).end <= whole.end);
                end = Some(whole.end);
            }
            prop_assert!(place(multipart.preamble()).end <= multipart.insert_at());
            prop_assert_eq!(place(multipart.epilogue()).end, text.len());
        }
    }
}
