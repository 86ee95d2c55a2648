//! `{nameaddr.…}` and `{tobody.…}`: addresses such as `"Alice" <sip:alice@example.com>;tag=1`.

use kahea_module::{Decl, Module, Str, Value};
use kahea_sip::view::{NameAddr, Uri};

use super::{on_text, text::length};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "nameaddr",
        "name", "The display name as it is written, up to the bracket.", |text| read(text, |a| a.name);
        "uri", "The URI; without brackets the whole text.", |text| read(text, |a| a.uri);
        "len", "The length of name and URI, brackets included.", |text| match (text.is_empty(), split(text)) {
            (true, _) => Value::Null,
            (false, address) => length(address.length),
        };
    );
    on_text!(d, "tobody",
        "uri", "The URI.", |text| body(text, |b| Some(b.uri));
        "tag", "The tag parameter.", |text| body(text, |b| b.params.value("tag"));
        "user", "The user of the URI.", |text| uri(text, |uri| uri.user);
        "host", "The host of the URI.", |text| uri(text, |uri| uri.host);
        "params", "The parameters behind the URI.", |text| {
            body(text, |b| Some(b.params.raw.trim_ascii_start().strip_prefix(b";").unwrap_or(b.params.raw).trim_ascii()))
        };
        "display", "The display name as it is written.", |text| body(text, |b| Some(b.display));
    );
}

struct Split<'a> {
    name: &'a [u8],
    uri: &'a [u8],
    length: usize,
}

fn read<'a>(text: &'a Str, part: impl FnOnce(Split<'a>) -> &'a [u8]) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    Value::Str(text.share(part(split(text))))
}

/// Leaves blanks and the parameters of an address without brackets where they are.
fn split(text: &[u8]) -> Split<'_> {
    let Some(open) = opening(text) else {
        return Split {
            name: b"",
            uri: text,
            length: text.len(),
        };
    };
    let name = text.get(..open).unwrap_or_default();
    let inside = text.get(open.saturating_add(1)..).unwrap_or_default();
    match memchr::memchr(b'>', inside) {
        Some(end) => Split {
            name,
            uri: inside.get(..end).unwrap_or_default(),
            length: open.saturating_add(end).saturating_add(2),
        },
        None => Split {
            name,
            uri: b"",
            length: 0,
        },
    }
}

/// The first `<` that is not inside quotes.
fn opening(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, b) in text.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Null where the text is no address; empty where the part is absent.
fn body(text: &Str, part: impl for<'a> FnOnce(&NameAddr<'a>) -> Option<&'a [u8]>) -> Value {
    let Ok(address) = NameAddr::parse(text) else {
        return Value::Null;
    };
    if Uri::parse(address.uri).is_err() {
        return Value::Null;
    }
    Value::Str(text.share(part(&address).unwrap_or_default()))
}

fn uri(text: &Str, part: impl for<'a> FnOnce(&Uri<'a>) -> &'a [u8]) -> Value {
    let address = NameAddr::parse(text);
    match address.as_ref().map(|address| Uri::parse(address.uri)) {
        Ok(Ok(uri)) => Value::Str(text.share(part(&uri))),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    const FULL: &str = "\"Alice A.\" <sip:alice@example.com;x=y>;tag=t1;q=0.5";

    #[test]
    fn nameaddr_splits_without_judging() {
        assert_eq!(text(FULL, "nameaddr.name"), "\"Alice A.\" ");
        assert_eq!(text(FULL, "nameaddr.uri"), "sip:alice@example.com;x=y");
        assert_eq!(apply(FULL, "nameaddr.len"), Value::Int(38));
        assert_eq!(text("not a uri", "nameaddr.uri"), "not a uri");
        assert_eq!(text("\"x\\\"<y\" <sip:a@b.c>", "nameaddr.uri"), "sip:a@b.c");
        assert_eq!(text("x <sip:a@b.c", "nameaddr.uri"), "");
        assert_eq!(apply("x <sip:a@b.c", "nameaddr.len"), Value::Int(0));
        assert_eq!(apply("", "nameaddr.name"), Value::Null);
    }

    #[test]
    fn tobody_reads_an_address() {
        for (step, want) in [
            ("tobody.uri", "sip:alice@example.com;x=y"),
            ("tobody.tag", "t1"),
            ("tobody.user", "alice"),
            ("tobody.host", "example.com"),
            ("tobody.params", "tag=t1;q=0.5"),
            ("tobody.display", "\"Alice A.\""),
        ] {
            assert_eq!(text(FULL, step), want, "{step}");
        }
        assert_eq!(text("sip:bob@example.com;tag=t2", "tobody.params"), "tag=t2");
        assert_eq!(text("sip:bob@example.com", "tobody.tag"), "");
        assert_eq!(apply("Hello, World", "tobody.uri"), Value::Null);
        assert_eq!(apply("", "tobody.uri"), Value::Null);
    }
}
