//! `name-addr` and `addr-spec` with parameters (RFC 3261 20.10, 25.1): From, To, Contact, Route, Path, Diversion, …

use std::borrow::Cow;

use super::{
    Malformed, Params, Uri, percent_decode,
    scan::{self, Nesting},
    unquote,
};

/// One address of a header: `"Alice" <sip:alice@example.com>;tag=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The whole address with its parameters, without blanks around it.
    pub raw: &'a [u8],
    /// The display name as it is written, quotes included; empty where there is none.
    pub display: &'a [u8],
    /// The text of the URI; `*` in a Contact that stands for all.
    pub uri: &'a [u8],
    /// The URI stands in `<>`.
    pub bracketed: bool,
    /// The parameters of the header field.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one address; all of `text` belongs to it.
    ///
    /// Without brackets the URI ends at the first `;`, so its parameters are those of the header (RFC 3261 20.10).
    ///
    /// # Errors
    /// A quote or `<` that does not close, no URI or one with a blank in it, or text that is neither name, URI nor parameter.
    pub fn parse(text: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let raw = scan::trim(text);
        NameAddr::read(raw).map_err(|error| error.shifted(scan::offset(text, raw)))
    }

    fn read(raw: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let Some(open) = opening_bracket(raw)? else {
            return NameAddr::bare(raw);
        };
        let close = memchr::memchr(b'>', scan::after(raw, open))
            .map(|length| open + length)
            .ok_or(Malformed::new("'<' that does not close", open))?;
        let uri = scan::trim(scan::cut(raw, open + 1, close));
        if uri.is_empty() {
            return Err(Malformed::new("no URI in '<>'", open));
        }
        if let Some(at) = uri.iter().position(|b| scan::is_lws(*b)) {
            return Err(Malformed::new("blank in a URI", scan::offset(raw, uri) + at));
        }
        let display = scan::trim_end(scan::before(raw, open));
        let params = params(raw, close + 1)?;
        Ok(NameAddr {
            raw,
            display,
            uri,
            bracketed: true,
            params,
        })
    }

    /// An address without brackets.
    fn bare(raw: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let length = raw
            .iter()
            .position(|b| *b == b';' || scan::is_lws(*b))
            .unwrap_or(raw.len());
        let uri = scan::before(raw, length);
        if uri.is_empty() {
            return Err(Malformed::new("no URI", 0));
        }
        if let Some(at) = uri.iter().position(|b| matches!(b, b'"' | b'<' | b'>')) {
            return Err(Malformed::new("quote or bracket in a URI", at));
        }
        Ok(NameAddr {
            raw,
            display: scan::before(raw, 0),
            uri,
            bracketed: false,
            params: params(raw, length)?,
        })
    }

    /// The display name without quotes and escapes.
    pub fn unquoted(&self) -> Cow<'a, [u8]> {
        unquote(self.display)
    }

    /// The URI, taken apart.
    ///
    /// # Errors
    /// Those of [`Uri::parse`].
    pub fn parse_uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::parse(self.uri).map_err(|error| error.shifted(scan::offset(self.raw, self.uri)))
    }

    /// The URI with its brackets: what an edit of the URI replaces when the new one needs brackets.
    pub fn uri_with_brackets(&self) -> &'a [u8] {
        if !self.bracketed {
            return self.uri;
        }
        let display_end = scan::offset(self.raw, self.display) + self.display.len();
        let uri_end = scan::offset(self.raw, self.uri) + self.uri.len();
        let tail = scan::after(self.raw, uri_end);
        let close = memchr::memchr(b'>', tail).map_or(uri_end, |length| uri_end + length + 1);
        scan::trim(scan::cut(self.raw, display_end, close))
    }

    /// `;tag=`; `None` where it is absent or empty.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// `;q=` in thousandths, 0 to 1000.
    ///
    /// # Errors
    /// A value that is no number from 0 to 1 with at most three places.
    pub fn q(&self) -> Result<Option<u16>, Malformed> {
        let Some(text) = self.params.value("q") else {
            return Ok(None);
        };
        thousandths(text).map(Some).ok_or(Malformed::new(
            "q that is no number from 0 to 1",
            scan::offset(self.raw, text),
        ))
    }

    /// `;expires=` in seconds; a number beyond 32 bits counts as the largest one (RFC 3261 20.19).
    ///
    /// # Errors
    /// A value that is no number.
    pub fn expires(&self) -> Result<Option<u32>, Malformed> {
        let Some(text) = self.params.value("expires") else {
            return Ok(None);
        };
        scan::delta_seconds(&unquote(text))
            .map(Some)
            .ok_or(Malformed::new(
                "expires that is no number",
                scan::offset(self.raw, text),
            ))
    }

    /// `;+sip.instance=` without its quotes (RFC 5626).
    pub fn instance(&self) -> Option<Cow<'a, [u8]>> {
        self.params.get("+sip.instance").map(|param| param.unquoted())
    }

    /// `;reg-id=` (RFC 5626).
    pub fn reg_id(&self) -> Option<u32> {
        scan::number(self.params.value("reg-id")?)
    }

    /// The Contact `*` that stands for all (RFC 3261 10.2.2).
    pub fn is_star(&self) -> bool {
        self.uri == b"*" && !self.bracketed && self.display.is_empty()
    }

    /// The headers that a Refer-To URI carries for the new request, such as Replaces, by `name`, unescaped.
    pub fn uri_header(&self, name: &str) -> Option<Vec<u8>> {
        let uri = self.parse_uri().ok()?;
        Some(percent_decode(uri.header_list().value(name)?).into_owned())
    }
}

/// `qvalue` of RFC 3261 25.1 in thousandths.
pub(crate) fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = scan::split_once(text, b'.');
    let fraction = fraction.unwrap_or_default();
    if fraction.len() > 3 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: u16 = if whole.is_empty() {
        0
    } else {
        scan::number(whole).filter(|n| *n <= 1)?
    };
    let mut value = whole * 1000;
    for (byte, weight) in fraction.iter().zip([100, 10, 1]) {
        value += byte.is_ascii_digit().then(|| u16::from(byte - b'0') * weight)?;
    }
    (value <= 1000).then_some(value)
}

/// Where the `<` of the URI stands; `None` for an address without brackets, whose parameters may hold some.
fn opening_bracket(raw: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    let (mut colon, mut bare) = (false, false);
    while let Some(&byte) = raw.get(at) {
        match byte {
            b'<' => return Ok(Some(at)),
            b'"' => {
                at = scan::quoted_end(raw, at).ok_or(Malformed::new("quote that does not close", at))?;
                continue;
            }
            // `sip:a@b;x=<y>` has its URI before the `;`, `Hans; Müller <sip:a@b>` a name.
            b':' if !colon => {
                colon = true;
                bare = scan::before(raw, at).iter().all(|b| scan::is_token(*b));
            }
            b';' if bare => return Ok(None),
            _ => {}
        }
        at += 1;
    }
    Ok(None)
}

/// The parameters from `from` on: blanks, then nothing or `;` and the list, which is given without that `;`.
fn params(raw: &[u8], from: usize) -> Result<Params<'_>, Malformed> {
    let rest = scan::trim_start(scan::after(raw, from));
    match rest {
        [] => Ok(Params::header(rest)),
        [b';', list @ ..] => Ok(Params::header(list)),
        _ => Err(Malformed::new(
            "text after the URI that is no parameter",
            scan::offset(raw, rest),
        )),
    }
}

/// Walks a header value with several addresses separated by commas.
#[derive(Clone, Debug)]
pub struct Addrs<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Addrs<'a> {
    /// The addresses of `text`: empty elements are passed over; after an error the walk ends.
    pub const fn new(text: &'a [u8]) -> Addrs<'a> {
        Addrs { text, at: 0 }
    }
}

impl<'a> Iterator for Addrs<'a> {
    type Item = Result<NameAddr<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (start, piece) = match scan::next_element(self.text, &mut self.at, Nesting::Header)? {
            Ok(element) => element,
            Err(error) => return Some(Err(error)),
        };
        let parsed = NameAddr::parse(piece).map_err(|error| error.shifted(start));
        if parsed.is_err() {
            self.at = self.text.len();
        }
        Some(parsed)
    }
}

/// The value of one Contact header (RFC 3261 20.10).
#[derive(Clone, Debug)]
pub enum Contacts<'a> {
    /// `*`: all bindings, in a REGISTER that removes them.
    Star,
    /// Addresses.
    List(Addrs<'a>),
}

impl<'a> Contacts<'a> {
    /// Reads a Contact value; the addresses are read when walked.
    pub fn parse(text: &'a [u8]) -> Contacts<'a> {
        if scan::trim(text) == b"*" {
            Contacts::Star
        } else {
            Contacts::List(Addrs::new(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::range_in;
    use proptest::prelude::*;

    fn addr(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn takes_addresses_apart() {
        let text = "\"A. G. \\\"Bell\\\"\" <sip:agb@bell.example;lr> ;tag=a48s;x=\"<;>\"";
        let from = addr(text);
        assert_eq!(from.unquoted().as_ref(), b"A. G. \"Bell\"");
        assert_eq!(
            (from.uri, from.bracketed),
            (&b"sip:agb@bell.example;lr"[..], true)
        );
        assert_eq!(from.tag(), Some(&b"a48s"[..]));
        assert_eq!(from.params.get("x").unwrap().unquoted().as_ref(), b"<;>");
        assert_eq!(range_in(text.as_bytes(), from.display), Some(0..16));
        assert_eq!(from.uri_with_brackets(), b"<sip:agb@bell.example;lr>");
        let bare = addr("sip:+12125551212@server.phone2net.com;tag=887s");
        assert_eq!(
            (bare.display, bare.uri),
            (&b""[..], &b"sip:+12125551212@server.phone2net.com"[..])
        );
        assert_eq!(
            (bare.tag(), bare.uri_with_brackets()),
            (Some(&b"887s"[..]), bare.uri)
        );
        assert_eq!(
            addr("Anonymous <sip:c8oqz84zk7z@privacy.org>").display,
            b"Anonymous"
        );
        assert_eq!(addr("<tel:+1>").parse_uri().unwrap().user, b"+1");
    }

    /// RFC 4475 3.1.1.1 (wsinv), 3.1.1.6 (esc02), 3.1.1.7 (lwsdisp), 3.1.2.x and what phones send.
    #[test]
    fn odd_addresses() {
        let to = addr("sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n");
        assert_eq!(to.tag(), Some(&b"1918181833n"[..]));
        let from = addr("\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8");
        assert_eq!(
            (from.unquoted().as_ref(), from.tag()),
            (&b"J Rosenberg \\\""[..], Some(&b"98asjd8"[..]))
        );
        let contact = addr(
            "\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33",
        );
        assert_eq!(contact.q(), Ok(Some(330)));
        assert_eq!(contact.params.value("newparam"), Some(&b"newvalue"[..]));
        assert_eq!(addr("caller<sip:caller@example.com>;tag=323").display, b"caller");
        assert_eq!(addr("Hans; M\u{fc}ller: x <sip:a@b>").uri, b"sip:a@b");
        assert_eq!(
            NameAddr::parse(b"\xff\xfe <sip:a@b>").unwrap().display,
            b"\xff\xfe"
        );
        let unbracketed = addr("sip:a@b;x=<sip:c@d>;tag=1");
        assert_eq!(
            (unbracketed.uri, unbracketed.tag()),
            (&b"sip:a@b"[..], Some(&b"1"[..]))
        );
        let ruri = addr("<sip:a@b?Replaces=1%40x%3Bto-tag%3D2>");
        assert_eq!(ruri.uri_header("replaces").unwrap(), b"1@x;to-tag=2");
        assert_eq!(addr("<sip:a@b>;tag=").tag(), None);
    }

    #[test]
    fn refuses_what_has_no_meaning() {
        // The first is RFC 4475 3.1.2.6 (baddn).
        for (bad, at) in [
            ("\"Mr. J. User <sip:j.user@example.com>", 0),
            ("Alice <sip:a@b", 6),
            ("", 0),
            (" <>", 1),
            ("<sip:a@b> x", 10),
            ("Alice sip:a@b", 6),
            (";tag=1", 0),
            ("\"Alice\"", 0),
            ("sip:a@b>", 7),
            ("\"A\" <sip:a b@c>", 10),
        ] {
            assert_eq!(NameAddr::parse(bad.as_bytes()).unwrap_err().at, at, "{bad}");
        }
    }

    #[test]
    fn several_addresses() {
        let text = "\"a,b\" <sip:a,b@c>;x=\",\",, sip:d@e;q=1.0 ,<sip:f@g>";
        let uris: Vec<_> = Addrs::new(text.as_bytes()).map(|a| a.unwrap().uri).collect();
        assert_eq!(uris, [&b"sip:a,b@c"[..], b"sip:d@e", b"sip:f@g"]);
        let mut broken = Addrs::new(b"<sip:a@b>, \"open, <sip:c@d>");
        assert!(broken.next().unwrap().is_ok());
        assert_eq!(broken.next().unwrap().unwrap_err().at, 11);
        assert!(broken.next().is_none());
        assert!(matches!(Contacts::parse(b" * "), Contacts::Star));
        assert!(addr("*").is_star() && !addr("<*>").is_star());
        let Contacts::List(list) =
            Contacts::parse(b"<sip:a@b>;expires=\"60\";+sip.instance=\"<urn:x>\";reg-id=1")
        else {
            panic!("a list")
        };
        let contact = list.last().unwrap().unwrap();
        assert_eq!((contact.expires(), contact.reg_id()), (Ok(Some(60)), Some(1)));
        assert_eq!(contact.instance().unwrap().as_ref(), b"<urn:x>");
        assert_eq!(
            addr("<sip:a@b>;expires=99999999999999999999").expires(),
            Ok(Some(u32::MAX))
        );
        assert!(addr("<sip:a@b>;expires=soon").expires().is_err());
    }

    #[test]
    fn q_in_thousandths() {
        for (text, value) in [
            ("1", Some(1000)),
            ("0.7", Some(700)),
            ("1.000", Some(1000)),
            (".5", Some(500)),
            ("0.", Some(0)),
            ("1.001", None),
            ("2", None),
            ("0.1234", None),
            ("-1", None),
            (".", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text.as_bytes()), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_parts_of_the_input(text in "[ \"\\\\<>;,=a:@*\r\n]{0,24}") {
            for addr in Addrs::new(text.as_bytes()).flatten() {
                for piece in [addr.raw, addr.display, addr.uri, addr.params.raw, addr.uri_with_brackets()] {
                    prop_assert!(range_in(text.as_bytes(), piece).is_some());
                }
                prop_assert_eq!(NameAddr::parse(addr.raw), Ok(addr));
                let again = [addr.display, b" <", addr.uri, b">;", addr.params.raw].concat();
                let again = NameAddr::parse(&again);
                prop_assert!(again.is_ok_and(|a| a.uri == addr.uri && a.display == addr.display));
            }
        }
    }
}
