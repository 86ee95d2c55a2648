//! What the functions of the text family take that is read at load: header names, method lists, regular expressions.

use std::ops::Deref;

use kahea_module::{Bind, BindError, Cx, Fault, Format, Literal, Regex, Str};
use kahea_sip::{Header, HeaderId, Message, Method};

/// A header's name; all spellings of one header are the same.
#[derive(Clone, Debug)]
pub struct HeaderName(Str);

impl HeaderName {
    /// From text known only now; a trailing colon is no part of it.
    pub fn new(name: &Str) -> HeaderName {
        let trimmed = name.trim_ascii();
        HeaderName(name.share(trimmed.strip_suffix(b":").unwrap_or(trimmed)))
    }

    /// The headers of this name, in the order of the message.
    pub fn of<'a>(&'a self, msg: &'a Message) -> impl DoubleEndedIterator<Item = &'a Header> {
        msg.named(&self.0)
    }

    /// Which header it is.
    pub fn id(&self) -> HeaderId {
        HeaderId::parse(&self.0)
    }

    /// As written.
    pub fn text(&self) -> &Str {
        &self.0
    }
}

impl Literal for HeaderName {
    const WHAT: &'static str = "a header name";
    fn parse(text: &str, _: &dyn Bind) -> Result<HeaderName, BindError> {
        let name = HeaderName::new(&Str::from(text));
        match name.0.is_empty() {
            true => Err(BindError::new("the header name is empty")),
            false => Ok(name),
        }
    }
}

/// An expression in which `^` and `$` match at line ends and `.` matches none: the manner of most text functions.
#[derive(Clone, Debug)]
pub struct LineRegex(Regex);

impl LineRegex {
    /// From text known only now.
    ///
    /// # Errors
    /// It is no valid expression.
    pub fn new(pattern: &[u8]) -> Result<LineRegex, Fault> {
        Regex::with(pattern, true, true)
            .map(LineRegex)
            .map_err(|error| Fault::script(error.to_string()))
    }
}

impl Deref for LineRegex {
    type Target = Regex;
    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl Literal for LineRegex {
    const WHAT: &'static str = "a POSIX extended regular expression, matched line by line";
    fn parse(text: &str, _: &dyn Bind) -> Result<LineRegex, BindError> {
        Ok(LineRegex::new(text.as_bytes())?)
    }
}

/// `INVITE|ACK`, or a text with variables that gives such a list.
#[derive(Debug)]
pub enum Methods {
    /// Known at load.
    Fixed(MethodList),
    /// Read at each call.
    Format(Format),
}

/// A list of methods.
#[derive(Debug, Default)]
pub struct MethodList {
    known: Vec<Method>,
    others: Vec<Str>,
}

impl MethodList {
    fn new(text: &[u8]) -> MethodList {
        let mut list = MethodList::default();
        for name in text
            .split(|b| *b == b'|')
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty())
        {
            match Method::parse(&name.to_ascii_uppercase()) {
                Method::Other => list.others.push(Str::copy(name)),
                known => list.known.push(known),
            }
        }
        list
    }

    fn has(&self, msg: &Message) -> bool {
        match msg.method() {
            Method::Other => {
                let name = msg.method_text();
                !name.is_empty() && self.others.iter().any(|other| other.eq_ignore_ascii_case(name))
            }
            known => self.known.contains(&known),
        }
    }
}

impl Methods {
    /// The message's method, for a reply the CSeq's, is in the list.
    pub fn matches(&self, cx: &mut Cx) -> bool {
        match self {
            Methods::Fixed(list) => list.has(&cx.msg),
            Methods::Format(format) => MethodList::new(&format.text(cx)).has(&cx.msg),
        }
    }
}

impl Literal for Methods {
    const WHAT: &'static str = "a list of methods such as INVITE|ACK";
    fn parse(text: &str, bind: &dyn Bind) -> Result<Methods, BindError> {
        if text.contains('$') {
            return bind.format(text).map(Methods::Format);
        }
        let list = MethodList::new(text.as_bytes());
        match list.known.is_empty() && list.others.is_empty() {
            true => {
                Err(BindError::new("the list of methods is empty").help("write \"INVITE\" or \"INVITE|ACK\""))
            }
            false => Ok(Methods::Fixed(list)),
        }
    }
}

/// Which of several: `a` all, `f` the first, `l` the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `a`.
    All,
    /// `f`.
    First,
    /// `l`.
    Last,
}

impl Which {
    /// Those of `items` that are meant.
    pub fn pick<T>(self, mut items: Vec<T>) -> Vec<T> {
        match self {
            Which::All => {}
            Which::First => items.truncate(1),
            Which::Last => {
                let last = items.pop();
                items.clear();
                items.extend(last);
            }
        }
        items
    }

    /// From text known only now.
    ///
    /// # Errors
    /// It begins with none of the three letters.
    pub fn of(text: &[u8]) -> Result<Which, Fault> {
        match text.first().map(u8::to_ascii_lowercase) {
            Some(b'a') => Ok(Which::All),
            Some(b'f') => Ok(Which::First),
            Some(b'l') => Ok(Which::Last),
            _ => Err(Fault::script(
                "the mode must be 'a' (all), 'f' (first) or 'l' (last)",
            )),
        }
    }
}

impl Literal for Which {
    const WHAT: &'static str = "'a' (all), 'f' (first) or 'l' (last)";
    fn parse(text: &str, _: &dyn Bind) -> Result<Which, BindError> {
        Ok(Which::of(text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn methods_are_known_in_any_case_and_strangers_by_text() {
        let bind = FakeBind::default();
        let mut cx = Server::default().invite();
        let is = |cx: &mut Cx, text: &str| Methods::parse(text, &bind).unwrap().matches(cx);
        assert!(is(&mut cx, "ACK|invite"));
        assert!(!is(&mut cx, "INFO"));
        assert!(!is(&mut cx, "FOO|BAR"));
        let mut cx = Server::default().message("FOO sip:a@b SIP/2.0\nCSeq: 1 FOO\n\n");
        assert!(is(&mut cx, "BYE|foo"));
        let mut cx = Server::default().message("SIP/2.0 200 OK\nCSeq: 1 BYE\n\n");
        assert!(is(&mut cx, "BYE"));
        assert!(Methods::parse(" | ", &bind).is_err());
    }

    #[test]
    fn which_picks() {
        assert_eq!(Which::Last.pick(vec![1, 2, 3]), [3]);
        assert_eq!(Which::First.pick(vec![1, 2, 3]), [1]);
        assert!(Which::of(b"x").is_err());
    }
}
