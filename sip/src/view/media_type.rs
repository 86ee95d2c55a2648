//! Content-Type (RFC 3261 20.15) and the media ranges of Accept (20.1).

use super::{
    Malformed, Params,
    scan::{self, Nesting},
};

/// A media type: `multipart/mixed;boundary=x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The whole value, without blanks around it.
    pub raw: &'a [u8],
    /// The type, compared in any case; `*` in Accept.
    pub kind: &'a [u8],
    /// The subtype, compared in any case; `*` in Accept.
    pub subtype: &'a [u8],
    /// The parameters, without the first `;`.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Reads `type/subtype[;params]`.
    ///
    /// # Errors
    /// No type, no subtype, or text that is no parameter.
    pub fn parse(text: &'a [u8]) -> Result<MediaType<'a>, Malformed> {
        let raw = scan::trim(text);
        let (value, params) = scan::value_and_params(raw);
        let (kind, subtype) = scan::split_once(value, b'/');
        let (kind, subtype) = (
            scan::trim_end(kind),
            scan::trim_start(subtype.unwrap_or_default()),
        );
        let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(|b| scan::is_token(*b));
        if !is_token(kind) || !is_token(subtype) {
            return Err(Malformed::new(
                "media type that is not type/subtype",
                scan::offset(text, raw),
            ));
        }
        Ok(MediaType {
            raw,
            kind,
            subtype,
            params,
        })
    }

    /// It is `kind/subtype`, in any case and with any parameters.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind.as_bytes())
            && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// It matches the `range` of an Accept header, in which `*` stands for all.
    pub fn matches(&self, range: &MediaType<'_>) -> bool {
        let part = |own: &[u8], theirs: &[u8]| theirs == b"*" || own.eq_ignore_ascii_case(theirs);
        part(self.kind, range.kind) && part(self.subtype, range.subtype)
    }

    /// The boundary of a multipart type, without quotes; `None` where it is absent or empty.
    ///
    /// Escapes in it stay: no boundary that RFC 2046 5.1.1 allows has one.
    pub fn boundary(&self) -> Option<&'a [u8]> {
        let value = self.params.value("boundary")?;
        let inner = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""))
            .unwrap_or(value);
        Some(inner).filter(|inner| !inner.is_empty())
    }
}

/// Walks the media ranges of an Accept header.
#[derive(Clone, Debug)]
pub struct MediaTypes<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> MediaTypes<'a> {
    /// The media ranges of `text`.
    pub const fn new(text: &'a [u8]) -> MediaTypes<'a> {
        MediaTypes { text, at: 0 }
    }
}

impl<'a> Iterator for MediaTypes<'a> {
    type Item = Result<MediaType<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let element = scan::next_element(self.text, &mut self.at, Nesting::Header)?;
        Some(element.and_then(|(start, piece)| MediaType::parse(piece).map_err(|e| e.shifted(start))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_types() {
        let sdp = MediaType::parse(b" Application / SDP ; charset = \"utf-8\"").unwrap();
        assert!(sdp.is("application", "sdp") && !sdp.is("application", "sd"));
        assert_eq!(sdp.params.get("Charset").unwrap().unquoted().as_ref(), b"utf-8");
        let multi = MediaType::parse(b"multipart/mixed;boundary=\"a b;c\"").unwrap();
        assert_eq!(multi.boundary(), Some(&b"a b;c"[..]));
        assert_eq!(
            MediaType::parse(b"multipart/mixed;boundary=\"\"")
                .unwrap()
                .boundary(),
            None
        );
        for bad in ["", "text", "/sdp", "text/", "text/a b", "a/b/c"] {
            assert!(MediaType::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn accept() {
        let ranges: Result<Vec<_>, _> = MediaTypes::new(b"application/sdp;level=1, text/*;q=0.5").collect();
        let ranges = ranges.unwrap();
        let html = MediaType::parse(b"text/html").unwrap();
        assert!(!html.matches(&ranges[0]) && html.matches(&ranges[1]));
        assert_eq!(MediaTypes::new(b"a/b, c").nth(1).unwrap().unwrap_err().at, 5);
    }
}
