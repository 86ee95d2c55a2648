//! Headers: `$hdr()`, `$hfl()`, their counts, and the variables of single well-known headers.

use kahea_module::{Bind, BindError, Cx, Decl, Index, Named, Naming, Str, Value};
use kahea_sip::{
    Header, HeaderId,
    view::{Addrs, Contacts, NameAddr, Params, Vias},
};
use smallvec::SmallVec;

use super::{
    Pv,
    text::{body_of, count, filled, first_header, header_value, piece},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    d.var_named("hdr", Naming::Required, named(hdr), "The value of a header; an index picks one of several, `[*]` joins all, the name `*` means every header.");
    d.var_named(
        "hdrc",
        Naming::Required,
        named(|_, cx, name, _| count(name.all(cx).len())),
        "How many headers of that name there are.",
    );
    d.var_named("hfl", Naming::Required, named(hfl), "The same as `$hdr()`, but values that share one header and are divided by commas count one by one (Contact, Via, Route, …).");
    d.var_named(
        "hflc",
        Naming::Required,
        named(hflc),
        "How many values a header has, those divided by commas counted one by one.",
    );
    d.var(
        "ci",
        |_, cx, _| header_value(cx, HeaderId::CallId),
        "The Call-ID.",
    );
    d.var(
        "cl",
        |_, cx, _| cx.msg.content_length().into(),
        "The value of Content-Length.",
    );
    d.var("cs", |_, cx, _| cseq(cx), "The number in CSeq as it is written.");
    d.var(
        "csb",
        |_, cx, _| header_value(cx, HeaderId::CSeq),
        "The value of CSeq.",
    );
    d.var(
        "cT",
        |_, cx, _| header_value(cx, HeaderId::ContentType),
        "The value of Content-Type.",
    );
    d.var(
        "ua",
        |_, cx, _| header_value(cx, HeaderId::UserAgent),
        "The value of User-Agent.",
    );
    contact(d);
}

fn contact(d: &mut Decl<Pv>) {
    d.var(
        "ct",
        |_, cx, _| header_value(cx, HeaderId::Contact),
        "The value of the first Contact header.",
    );
    d.var(
        "cts",
        |_, cx, _| Value::Int(first_contact(cx).is_some_and(|contact| contact == b"*").into()),
        "1 where Contact is `*`, else 0.",
    );
    d.var(
        "ctu",
        |_, cx, _| first_contact_uri(cx),
        "The URI of the first Contact.",
    );
    d.var_named(
        "expires",
        Naming::Required,
        Named {
            parse: |name, _| match name {
                "min" => Ok(u32::min as fn(u32, u32) -> u32),
                "max" => Ok(u32::max as fn(u32, u32) -> u32),
                _ => Err(BindError::new(format!("$expires() has no '{name}'")).help("use min or max")),
            },
            get: |_, cx, pick, _| expires(cx, *pick),
            set: None,
            raw: false,
        },
        "The shortest (`min`) or longest (`max`) expiry of the Contacts in seconds; the Expires header where no Contact states one.",
    );
}

fn cseq(cx: &Cx) -> Value {
    let number =
        first_header(cx, HeaderId::CSeq).and_then(|value| value.split(u8::is_ascii_whitespace).next());
    number.map_or(Value::Null, |number| filled(cx, number))
}

fn first_contact(cx: &Cx) -> Option<&[u8]> {
    first_header(cx, HeaderId::Contact).map(<[u8]>::trim_ascii)
}

fn first_contact_uri(cx: &Cx) -> Value {
    match first_contact(cx).map(Contacts::parse) {
        Some(Contacts::List(mut list)) => match list.next() {
            Some(Ok(contact)) => piece(cx, contact.uri),
            _ => Value::Null,
        },
        Some(Contacts::Star) | None => Value::Null,
    }
}

fn expires(cx: &Cx, pick: fn(u32, u32) -> u32) -> Value {
    let general = first_header(cx, HeaderId::Expires)
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok());
    let mut found = None;
    for header in cx.msg.all(HeaderId::Contact) {
        let Contacts::List(list) = Contacts::parse(cx.msg.value(header)) else {
            return general.into();
        };
        for contact in list.flatten() {
            if let Some(seconds) = contact.expires().ok().flatten().or(general) {
                found = Some(found.map_or(seconds, |other| pick(other, seconds)));
            }
        }
    }
    found.or(general).into()
}

/// The name in `$hdr(name)`.
#[derive(Clone, Debug)]
struct HeaderName {
    id: HeaderId,
    /// `None` for `*`.
    text: Option<Str>,
}

type Found<'m> = SmallVec<[&'m Header; 8]>;

impl HeaderName {
    fn parse(name: &str, _: &dyn Bind) -> Result<HeaderName, BindError> {
        let name = name.trim();
        if name.is_empty() {
            return Err(BindError::new("a header name is missing"));
        }
        Ok(HeaderName {
            id: HeaderId::parse(name.as_bytes()),
            text: (name != "*").then(|| Str::from(name)),
        })
    }

    fn first<'m>(&self, cx: &'m Cx) -> Option<&'m Header> {
        match (&self.text, self.id) {
            (None, _) => cx.msg.headers().first(),
            (Some(name), HeaderId::Other) => cx.msg.named(name).next(),
            (Some(_), id) => cx.msg.first(id),
        }
    }

    fn all<'m>(&self, cx: &'m Cx) -> Found<'m> {
        match (&self.text, self.id) {
            (None, _) => cx.msg.headers().iter().collect(),
            (Some(name), HeaderId::Other) => cx.msg.named(name).collect(),
            (Some(_), id) => cx.msg.all(id).collect(),
        }
    }
}

fn named(get: fn(&Pv, &mut Cx, &HeaderName, Index) -> Value) -> Named<Pv, HeaderName> {
    Named {
        parse: HeaderName::parse,
        get,
        set: None,
        raw: false,
    }
}

fn hdr(_: &Pv, cx: &mut Cx, name: &HeaderName, index: Index) -> Value {
    match index {
        Index::None | Index::At(0) => name.first(cx).map_or(Value::Null, |header| body_of(cx, header)),
        Index::At(_) => {
            let all = name.all(cx);
            let found = index.pick(all.len()).and_then(|at| all.get(at));
            found.map_or(Value::Null, |header| body_of(cx, header))
        }
        Index::All => {
            let all = name.all(cx);
            joined(all.iter().map(|header| cx.msg.value(header)))
        }
    }
}

/// Joins with commas; `$null` without any.
fn joined<'a>(values: impl Iterator<Item = &'a [u8]>) -> Value {
    let mut out: Option<Vec<u8>> = None;
    for value in values {
        match &mut out {
            None => out = Some(value.to_vec()),
            Some(out) => {
                out.push(b',');
                out.extend_from_slice(value);
            }
        }
    }
    out.into()
}

/// The values of a header whose grammar is a list, one by one.
fn list<'m>(cx: &'m Cx, name: &HeaderName) -> Option<Vec<&'m [u8]>> {
    let split: fn(&'m [u8]) -> Vec<&'m [u8]> = match name.id {
        HeaderId::Via => |value| Vias::new(value).flatten().map(|via| via.raw).collect(),
        // As in Kamailio the last contact of a header comes first.
        HeaderId::Contact => |value| match Contacts::parse(value) {
            Contacts::Star => vec![value],
            Contacts::List(list) => {
                let mut all: Vec<&[u8]> = list.flatten().map(|addr| addr.raw).collect();
                all.reverse();
                all
            }
        },
        HeaderId::Route
        | HeaderId::RecordRoute
        | HeaderId::Diversion
        | HeaderId::PAssertedIdentity
        | HeaderId::PPreferredIdentity => |value| Addrs::new(value).flatten().map(|addr| addr.raw).collect(),
        _ => return None,
    };
    Some(
        name.all(cx)
            .iter()
            .flat_map(|header| split(cx.msg.value(header)))
            .collect(),
    )
}

fn hfl(m: &Pv, cx: &mut Cx, name: &HeaderName, index: Index) -> Value {
    let at = match index {
        Index::None => Some(0),
        // Unlike `$hdr()` it does not count from the end.
        Index::At(at) => usize::try_from(at).ok(),
        Index::All => return hdr(m, cx, name, index),
    };
    let Some(values) = list(cx, name) else {
        return hdr(m, cx, name, index);
    };
    let found = at.and_then(|at| values.get(at));
    found.map_or(Value::Null, |value| piece(cx, value))
}

fn hflc(_: &Pv, cx: &mut Cx, name: &HeaderName, _: Index) -> Value {
    match list(cx, name) {
        Some(values) => count(values.len()),
        None => count(name.all(cx).len()),
    }
}

/// How many values a header whose grammar is a list has.
pub fn list_length(cx: &Cx, id: HeaderId) -> usize {
    cx.msg
        .all(id)
        .map(|header| Addrs::new(cx.msg.value(header)).flatten().count())
        .sum()
}

/// The first address of a header.
pub fn first_addr(cx: &Cx, id: HeaderId) -> Option<NameAddr<'_>> {
    Addrs::new(first_header(cx, id)?).next()?.ok()
}

/// The URI of a header's first address.
pub fn addr_uri(cx: &Cx, id: HeaderId) -> Value {
    first_addr(cx, id).map_or(Value::Null, |addr| piece(cx, addr.uri))
}

/// A parameter of a header's first address, quotes included.
pub fn addr_param(cx: &Cx, id: HeaderId, name: &str) -> Value {
    let value = |params: Params<'_>| params.value(name).map(|value| piece(cx, value));
    first_addr(cx, id)
        .and_then(|addr| value(addr.params))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    const TEXT: &str = "REGISTER sip:h SIP/2.0
Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b;branch=z9hG4bK2
v: SIP/2.0/TLS c;branch=z9hG4bK3
From: <sip:a@h>;tag=1
To: <sip:b@h>
Call-ID: c
CSeq: 007 REGISTER
Contact: <sip:x@1.1.1.1>;expires=60, <sip:y@1.1.1.1>
m: <sip:z@1.1.1.1>;expires=300
Expires: 30
X-A: one
x-a: two

";

    fn name(text: &str) -> HeaderName {
        HeaderName::parse(text, &FakeBind::default()).expect("a name")
    }

    #[test]
    fn headers_are_found_by_name_form_and_index() {
        let mut cx = Server::default().message(TEXT);
        let mut get = |text: &str, index| super::hdr(&Pv::default(), &mut cx, &name(text), index);
        assert_eq!(get("X-A", Index::None), Value::from("one"));
        assert_eq!(get("x-a", Index::At(-1)), Value::from("two"));
        assert_eq!(get("x-a", Index::At(2)), Value::Null);
        assert_eq!(get("x-a", Index::All), Value::from("one,two"));
        assert_eq!(get("i", Index::None), Value::from("c"));
        assert_eq!(get("*", Index::At(-1)), Value::from("two"));
        assert_eq!(get("None", Index::All), Value::Null);
    }

    #[test]
    fn lists_are_taken_apart() {
        let mut cx = Server::default().message(TEXT);
        let m = Pv::default();
        assert_eq!(
            hfl(&m, &mut cx, &name("Via"), Index::At(1)),
            Value::from("SIP/2.0/TCP b;branch=z9hG4bK2")
        );
        assert_eq!(
            hfl(&m, &mut cx, &name("Contact"), Index::At(0)),
            Value::from("<sip:y@1.1.1.1>")
        );
        assert_eq!(hflc(&m, &mut cx, &name("v"), Index::None), Value::Int(3));
        assert_eq!(hflc(&m, &mut cx, &name("X-A"), Index::None), Value::Int(2));
        assert_eq!(hfl(&m, &mut cx, &name("X-A"), Index::At(1)), Value::from("two"));
    }

    #[test]
    fn expiry_is_taken_from_contacts_then_from_the_header() {
        let cx = Server::default().message(TEXT);
        assert_eq!(expires(&cx, u32::min), Value::Int(30));
        assert_eq!(expires(&cx, u32::max), Value::Int(300));
        let star = Server::default().message(&TEXT.replace(
            "Contact: <sip:x@1.1.1.1>;expires=60, <sip:y@1.1.1.1>\nm: <sip:z@1.1.1.1>;expires=300",
            "Contact: *",
        ));
        assert_eq!(expires(&star, u32::min), Value::Int(30));
        assert_eq!(cseq(&star), Value::from("007"));
    }
}
