//! Writes the collected headers back: only what differs from the message is changed, so that all else stays as it came.

use kahea_module::{Cx, Fault, Str, Value};
use kahea_sip::{EditTag, FirstLine, Header, HeaderId, Place};

use super::{
    PvHeaders,
    store::{Status, key},
};
use crate::textops::headers;

pub(super) fn apply(m: &PvHeaders, cx: &mut Cx) -> Result<bool, Fault> {
    let Some(fields) = m.fields(cx) else {
        return Ok(false);
    };
    let mut names: Vec<Str> = Vec::new();
    for field in fields.iter() {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&field.name)) {
            names.push(field.name.clone());
        }
    }
    for name in names {
        let left_alone = m.skips(&name) || matches!(HeaderId::parse(&name), HeaderId::From | HeaderId::To);
        if !left_alone {
            apply_header(m, cx, &name)?;
        }
    }
    apply_status(cx);
    Ok(true)
}

fn apply_header(m: &PvHeaders, cx: &mut Cx, name: &Str) -> Result<(), Fault> {
    let present: Vec<Header> = cx
        .msg
        .headers()
        .iter()
        .filter(|h| key(cx.msg.bytes(h.name)).eq_ignore_ascii_case(name))
        .copied()
        .collect();
    let mut wanted: Vec<Value> = m.values(cx, name).unwrap_or_default();
    let mut last = None;
    for header in &present {
        let own = m.split(cx.msg.bytes(header.name), &cx.msg.value_text(header));
        let rest = wanted.split_off(own.len().min(wanted.len()));
        let kept: Vec<Str> = wanted.iter().filter_map(Value::str).collect();
        wanted = rest;
        last = Some(header.line.end());
        match kept.is_empty() {
            true => headers::remove_header(cx, header),
            false if kept != own => {
                cx.spend_bytes(kept.iter().map(|value| value.len()).sum())?;
                let text = lines(cx.msg.bytes(header.name), &kept)?;
                cx.edits.replace(header.line, text, EditTag::Header(header.id));
            }
            false => {}
        }
    }
    let added: Vec<Str> = wanted.iter().filter_map(Value::str).collect();
    if added.is_empty() {
        return Ok(());
    }
    cx.spend_bytes(added.iter().map(|value| value.len()).sum())?;
    let text = lines(name, &added)?;
    let at = last.unwrap_or(cx.msg.headers_end());
    cx.edits
        .insert(at, Place::After, text, EditTag::Header(HeaderId::parse(name)));
    Ok(())
}

/// A line for each value.
fn lines(name: &[u8], values: &[Str]) -> Result<Str, Fault> {
    let mut out = Vec::new();
    for value in values {
        let folded = value
            .windows(2)
            .all(|pair| !matches!(pair, [b'\n', next] if !matches!(next, b' ' | b'\t')));
        if !folded || value.ends_with(b"\n") {
            return Err(Fault::script(format!(
                "the value of {} holds a line end",
                String::from_utf8_lossy(name)
            )));
        }
        out.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    Ok(Str::from(out))
}

fn apply_status(cx: &mut Cx) {
    let FirstLine::Reply {
        status_text, reason, ..
    } = *cx.msg.first_line()
    else {
        return;
    };
    let status = std::mem::take(cx.extra::<Status>());
    if let Some(code) = status.code {
        cx.edits
            .replace(status_text, Str::from(code.to_string()), EditTag::Other);
    }
    if let Some(text) = status.reason {
        cx.edits.replace(reason, text, EditTag::Other);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{functions::*, tests::module, vars};
    use super::*;
    use crate::textops::tests::{built, request};
    use kahea_module::{Index, testing::Server};

    #[test]
    fn only_what_changed_is_written() {
        let (m, cx) = (module(), &mut request("X-A : one\nX-B: b\nx-a: two\nX-S: p,q\n"));
        assert_eq!(apply(&m, cx), Ok(false));
        collect(&m, cx);
        assert_eq!(apply(&m, cx), Ok(true));
        assert!(cx.edits.is_empty());
        append(&m, cx, "X-A".into(), "three".into()).unwrap();
        append(&m, cx, "X-New".into(), "n".into()).unwrap();
        append(&m, cx, "X-Null".into(), Value::Null).unwrap();
        assert!(remove(&m, cx, "X-A".into(), Some(0)) && remove(&m, cx, "X-S".into(), Some(0)));
        assert_eq!(apply(&m, cx), Ok(true));
        let expected =
            "INVITE sip:bob@b.org SIP/2.0\r\nX-B: b\r\nx-a: two\r\nX-A: three\r\nX-S: q\r\nX-New: n\r\n\r\n";
        assert_eq!(built(cx), expected);
        modify(&m, cx, "X-B".into(), "a\r\nEvil: 1".into(), None).unwrap();
        assert!(apply(&m, cx).is_err());
    }

    #[test]
    fn a_reply_gets_its_status() {
        let (m, cx) = (
            module(),
            &mut Server::default().message("SIP/2.0 486 Busy\nX-A: 1\n"),
        );
        collect(&m, cx);
        vars::set_status(&m, cx, Index::None, Value::Int(600)).unwrap();
        vars::set_reason(&m, cx, Index::None, "Busy Everywhere".into()).unwrap();
        assert_eq!(apply(&m, cx), Ok(true));
        assert!(built(cx).starts_with("SIP/2.0 600 Busy Everywhere\r\n"));
    }
}
