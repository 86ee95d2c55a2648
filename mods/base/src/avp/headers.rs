//! Attributes into headers and replies, and header fields into attributes.

use kahea_module::{
    Cx, Decl, FAILURE, Fault, Lit, REQUEST, ReplyExtra, Str, Value, avp::AvpName, value::parse_int,
};
use kahea_sip::{EditTag, HeaderId, Place, Span};

use super::{Attribute, Avp, everywhere};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avp>) {
    let names = ["header", "attribute"];
    d.func("insert_attr_hf", names, insert_attr_hf, "Adds a header with each value of an attribute, which has the header's name where none is given: in front of the first header of that name, else behind the others; the oldest value comes first.")
        .routes(REQUEST | FAILURE)
        .example("insert_attr_hf(\"Route\", \"$my_route\");");
    d.func("append_attr_hf", names, append_attr_hf, "Adds a header with each value of an attribute, which has the header's name where none is given, behind the others; the newest value comes first.")
        .routes(REQUEST | FAILURE)
        .example("append_attr_hf(\"X-Account\", \"$account\");");
    d.func(
        "replace_attr_hf",
        names,
        replace_attr_hf,
        "Puts headers with the values of an attribute, the newest first, in the place of all headers of that name.",
    )
    .routes(REQUEST | FAILURE);
    d.func(
        "attr_to_reply",
        names,
        attr_to_reply,
        "Adds a header with each value of an attribute, the oldest first, to the replies made here.",
    )
    .routes(REQUEST | FAILURE);
    let names = ["header", "prefix"];
    d.func("hdr_body2attrs", names, hdr_body2attrs, "Reads `name=value,name=value` from headers into attributes prefix+name; `Header/i` takes numbers alone, `Header/s` texts.")
        .routes(everywhere());
    d.func("hdr_body2attrs2", names, hdr_body2attrs2, "Reads `name=value,value;name=value` from headers into attributes prefix+name, with #0, #1, … where there are several values.")
        .routes(everywhere());
}

/// The header's name and the lines with the attribute's values, the newest first.
fn lines(cx: &mut Cx, header: &Str, attribute: Option<Lit<Attribute>>) -> Result<(EditTag, Vec<Str>), Fault> {
    let bare = header.strip_prefix(b"$").unwrap_or(header);
    let name = header.share(bare);
    let values = match attribute {
        Some(attribute) => attribute.texts(cx)?,
        None => Attribute(AvpName::Str(name.clone())).texts(cx)?,
    };
    if name.is_empty() || name.iter().any(|b| !b.is_ascii_graphic() || *b == b':') {
        return Err(Fault::script(format!("'{header}' is no name of a header")));
    }
    let mut lines = Vec::with_capacity(values.len());
    for value in values {
        // A line end would let the value add headers of its own.
        if value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(Fault::script(format!(
                "the value for the header {name} holds a line end"
            )));
        }
        let line = Str::from([&*name, b": ", &value, b"\r\n"].concat());
        cx.spend_bytes(line.len())?;
        lines.push(line);
    }
    Ok((EditTag::Header(HeaderId::parse(&name)), lines))
}

/// The lines of the headers of a name, as received.
fn present(cx: &Cx, header: &Str) -> Vec<Span> {
    let bare = header.strip_prefix(b"$").unwrap_or(header);
    cx.msg.named(bare).map(|header| header.line).collect()
}

fn insert_attr_hf(
    _: &Avp,
    cx: &mut Cx,
    header: Str,
    attribute: Option<Lit<Attribute>>,
) -> Result<bool, Fault> {
    let (tag, lines) = lines(cx, &header, attribute)?;
    let (at, place) = match present(cx, &header).first() {
        Some(first) => (first.start(), Place::Before),
        None => (cx.msg.headers_end(), Place::After),
    };
    for line in lines.into_iter().rev() {
        cx.edits.insert(at, place, line, tag);
    }
    Ok(true)
}

fn append_attr_hf(
    _: &Avp,
    cx: &mut Cx,
    header: Str,
    attribute: Option<Lit<Attribute>>,
) -> Result<bool, Fault> {
    let (tag, lines) = lines(cx, &header, attribute)?;
    let at = cx.msg.headers_end();
    for line in lines {
        cx.edits.insert(at, Place::After, line, tag);
    }
    Ok(true)
}

fn replace_attr_hf(
    _: &Avp,
    cx: &mut Cx,
    header: Str,
    attribute: Option<Lit<Attribute>>,
) -> Result<bool, Fault> {
    let (tag, lines) = lines(cx, &header, attribute)?;
    let mut old = present(cx, &header).into_iter();
    match old.next() {
        Some(first) => {
            let text: Vec<u8> = lines.iter().flat_map(|line| line.iter().copied()).collect();
            cx.edits.replace(first, Str::from(text), tag);
        }
        None => {
            let at = cx.msg.headers_end();
            for line in lines {
                cx.edits.insert(at, Place::After, line, tag);
            }
        }
    }
    for span in old {
        cx.edits.remove(span, tag);
    }
    Ok(true)
}

fn attr_to_reply(
    _: &Avp,
    cx: &mut Cx,
    header: Str,
    attribute: Option<Lit<Attribute>>,
) -> Result<bool, Fault> {
    let (_, lines) = lines(cx, &header, attribute)?;
    cx.reply_extra
        .extend(lines.into_iter().rev().map(ReplyExtra::Header));
    Ok(true)
}

/// Which values are taken.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Numbers,
    Texts,
}

/// `Header`, `Header/i`, `Header/s`.
fn header_kind(text: &Str) -> (Str, Kind) {
    let (name, kind) = match &**text {
        [name @ .., b'/', b'i' | b'I'] => (name, Kind::Numbers),
        [name @ .., b'/', b's' | b'S'] => (name, Kind::Texts),
        name => (name, Kind::Any),
    };
    (text.share(name), kind)
}

/// The values of all headers of the name.
fn bodies(cx: &Cx, name: &Str) -> Vec<Str> {
    cx.msg
        .named(name)
        .map(|header| cx.msg.value_text(header))
        .collect()
}

/// What stands in quotes is text, digits or not.
fn store(cx: &mut Cx, name: Vec<u8>, value: &[u8], kind: Kind) -> Result<(), Fault> {
    let text = unquoted(value);
    let number = (text.len() == value.len()).then(|| parse_int(text)).flatten();
    let value = match (number, kind) {
        (Some(n), Kind::Any | Kind::Numbers) => Value::Int(n),
        (None, Kind::Any | Kind::Texts) => Value::Str(Str::copy(text)),
        _ => return Ok(()),
    };
    Attribute(AvpName::Str(Str::from(name))).add(cx, value)
}

fn hdr_body2attrs(_: &Avp, cx: &mut Cx, header: Str, prefix: Str) -> Result<bool, Fault> {
    let (name, kind) = header_kind(&header);
    for body in bodies(cx, &name) {
        for field in pieces(&body, b',') {
            let Some((name, value)) = halves(field) else {
                continue;
            };
            store(cx, [&*prefix, name].concat(), value, kind)?;
        }
    }
    Ok(true)
}

fn hdr_body2attrs2(_: &Avp, cx: &mut Cx, header: Str, prefix: Str) -> Result<bool, Fault> {
    let (name, kind) = header_kind(&header);
    for body in bodies(cx, &name) {
        for field in pieces(&body, b';') {
            let Some((name, values)) = halves(field) else {
                continue;
            };
            let values = pieces(values, b',');
            let several = values.len() > 1;
            for (value, number) in values.into_iter().zip(0u32..) {
                let mut full = [&*prefix, name].concat();
                if several {
                    full.extend_from_slice(format!("#{number}").as_bytes());
                }
                store(cx, full, value, kind)?;
            }
        }
    }
    Ok(true)
}

/// Splits outside of quotes; without blanks around.
fn pieces(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut out, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'"' if !escaped => quoted = !quoted,
            byte if *byte == separator && !quoted => {
                out.push(text.get(start..at).unwrap_or_default().trim_ascii());
                start = at.saturating_add(1);
            }
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    out.push(text.get(start..).unwrap_or_default().trim_ascii());
    out
}

fn halves(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = field.iter().position(|byte| *byte == b'=')?;
    let name = field.get(..at)?.trim_ascii();
    let value = field.get(at.checked_add(1)?..)?.trim_ascii();
    (!name.is_empty()).then_some((name, value))
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avp::{
        CLASS,
        tests::{AVP, lit, with},
    };
    use kahea_module::{
        Index,
        testing::{INVITE, Server},
    };

    fn built(cx: &Cx) -> String {
        let mut out = Vec::new();
        kahea_sip::build::edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn attributes_become_headers() {
        let mut cx = with(&[
            ("X-One", "1"),
            ("User-Agent", "other"),
            ("v", "val"),
            ("evil", "a\r\nX: y"),
        ]);
        assert_eq!(append_attr_hf(&AVP, &mut cx, Str::from("X-One"), None), Ok(true));
        assert_eq!(
            replace_attr_hf(&AVP, &mut cx, Str::from("User-Agent"), None),
            Ok(true)
        );
        let v = lit(&mut cx, "$v");
        assert_eq!(
            replace_attr_hf(&AVP, &mut cx, Str::from("Subject"), Some(v)),
            Ok(true)
        );
        let v = lit(&mut cx, "$v");
        assert_eq!(
            attr_to_reply(&AVP, &mut cx, Str::from("X-Reply"), Some(v)),
            Ok(true)
        );
        assert!(matches!(&cx.reply_extra[..], [ReplyExtra::Header(line)] if *line == "X-Reply: val\r\n"));
        assert!(append_attr_hf(&AVP, &mut cx, Str::from("X-None"), None).is_err());
        let evil = lit(&mut cx, "$evil");
        assert!(append_attr_hf(&AVP, &mut cx, Str::from("X-Evil"), Some(evil)).is_err());
        let text = built(&cx);
        assert!(
            text.contains("\r\nX-One: 1\r\n") && text.contains("\r\nUser-Agent: other\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nSubject: val\r\n") && !text.contains("phone"),
            "{text}"
        );
    }

    #[test]
    fn inserted_headers_stand_before_their_like() {
        let mut cx = with(&[("m", "old"), ("m", "new")]);
        for name in ["User-Agent", "X-New"] {
            let m = lit(&mut cx, "$m");
            assert_eq!(insert_attr_hf(&AVP, &mut cx, Str::from(name), Some(m)), Ok(true));
        }
        let text = built(&cx);
        assert!(
            text.contains("\r\nUser-Agent: old\r\nUser-Agent: new\r\nUser-Agent: "),
            "{text}"
        );
        assert!(text.contains("\r\nX-New: old\r\nX-New: new\r\n"), "{text}");
    }

    #[test]
    fn header_fields_become_attributes() {
        let headers = "X-Stat: a=1,b=two,c=\"3\", d = 4\nX-Stat2: a=1,2;b=three;c=\"4,5\"\nMax-Forwards";
        let mut cx = Server::default().message(&INVITE.replacen("Max-Forwards", headers, 1));
        let read = |cx: &mut Cx, header: &str, prefix: &str| {
            hdr_body2attrs(&AVP, cx, Str::from(header), Str::from(prefix)).unwrap();
        };
        read(&mut cx, "X-Stat", "s_");
        read(&mut cx, "X-Stat/i", "i_");
        read(&mut cx, "X-Stat/s", "t_");
        hdr_body2attrs2(&AVP, &mut cx, Str::from("X-Stat2"), Str::from("u_")).unwrap();
        let get = |name: &str| cx.avps.get(CLASS, &AvpName::Str(Str::from(name)), Index::None);
        assert_eq!(
            (get("s_a"), get("s_b"), get("s_d")),
            (Value::Int(1), Value::from("two"), Value::Int(4))
        );
        assert_eq!((get("i_a"), get("i_b")), (Value::Int(1), Value::Null));
        assert_eq!((get("t_a"), get("t_b")), (Value::Null, Value::from("two")));
        assert_eq!((get("i_c"), get("t_c")), (Value::Null, Value::from("3")));
        assert_eq!((get("u_a#0"), get("u_a#1")), (Value::Int(1), Value::Int(2)));
        assert_eq!(
            (get("u_b"), get("u_c")),
            (Value::from("three"), Value::from("4,5"))
        );
    }
}
