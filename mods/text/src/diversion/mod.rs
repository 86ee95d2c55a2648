//! Module `diversion`: adds Diversion headers (RFC 5806), the newest on top.

use kahea_module::{BRANCH, Cx, Decl, EVENT, Env, FAILURE, Fault, InitError, Module, REQUEST, Str};
use kahea_sip::{EditId, EditTag, HeaderId, Insert, Place, view::Uri};

/// The module's instance.
pub struct Diversion {
    suffix: Str,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    suffix: Str,
}

impl Module for Diversion {
    const NAME: &'static str = "diversion";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "suffix",
            |p| &mut p.suffix,
            "What follows the reason, such as \";privacy=off\".",
        );
        d.func(
            "add_diversion",
            ["reason", "uri"],
            add_diversion,
            "Adds a Diversion header above those that are there; without a URI with the received Request-URI.",
        )
        .routes(REQUEST | FAILURE | BRANCH | EVENT)
        .kemi(1, "add_diversion")
        .kemi(2, "add_diversion_uri")
        .example("add_diversion(\"user-busy\");");
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Diversion, InitError> {
        Ok(Diversion {
            suffix: params.suffix,
        })
    }
}

/// The edit that holds what was added to this message.
#[derive(Default)]
struct Added {
    buffer: Str,
    edit: Option<EditId>,
}

fn add_diversion(m: &Diversion, cx: &mut Cx, reason: Str, uri: Option<Str>) -> Result<bool, Fault> {
    let uri = uri.unwrap_or_else(|| Str::copy(cx.msg.uri().unwrap_or_default()));
    if let Err(error) = Uri::parse(&uri) {
        return Err(Fault::script(format!(
            "'{uri}' cannot be the URI of a Diversion header: {error}"
        )));
    }
    if reason.iter().any(|b| b.is_ascii_control()) {
        return Err(Fault::script(
            "the reason of a Diversion header holds a control character",
        ));
    }
    let line = [
        b"Diversion: <",
        &*uri,
        b">;reason=",
        &*reason,
        &*m.suffix,
        b"\r\n",
    ]
    .concat();
    cx.spend_bytes(line.len())?;
    put(cx, line);
    Ok(true)
}

/// Adds the line before those added earlier, which stand before the first Diversion header that came.
fn put(cx: &mut Cx, line: Vec<u8>) {
    let buffer = cx.msg.buffer().clone();
    let added = cx.extra::<Added>();
    let earlier = added.edit.filter(|_| added.buffer.as_ptr() == buffer.as_ptr());
    if let Some(edit) = earlier.and_then(|id| cx.edits.get_mut(id))
        && let Some(Insert::Text(text)) = &edit.insert
    {
        edit.insert = Some(Insert::Text(Str::from([&*line, &**text].concat())));
        return;
    }
    let first = cx
        .msg
        .named(b"Diversion")
        .next()
        .map(|header| header.line.start());
    let tag = EditTag::Header(HeaderId::Diversion);
    let id = match first {
        Some(at) => cx.edits.insert(at, Place::Before, Str::from(line), tag),
        None => cx
            .edits
            .insert(cx.msg.headers_end(), Place::After, Str::from(line), tag),
    };
    *cx.extra::<Added>() = Added {
        buffer,
        edit: Some(id),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textops::tests::{built, request};

    #[test]
    fn the_newest_comes_first() {
        let m = &Diversion {
            suffix: ";privacy=off".into(),
        };
        let cx = &mut request("X-A: 1\nDiversion: <sip:1@h>\nX-B: 2\n");
        assert_eq!(add_diversion(m, cx, "user-busy".into(), None), Ok(true));
        assert_eq!(
            add_diversion(m, cx, "unconditional".into(), Some("sip:8@h".into())),
            Ok(true)
        );
        assert!(add_diversion(m, cx, "x".into(), Some("nonsense".into())).is_err());
        assert!(add_diversion(m, cx, "x\r\nEvil: 1".into(), None).is_err());
        let expected = "X-A: 1\r\nDiversion: <sip:8@h>;reason=unconditional;privacy=off\r\n\
            Diversion: <sip:bob@b.org>;reason=user-busy;privacy=off\r\nDiversion: <sip:1@h>\r\nX-B: 2\r\n";
        assert!(built(cx).contains(expected), "{}", built(cx));
        let cx = &mut request("X-A: 1\n");
        assert_eq!(add_diversion(m, cx, "away".into(), None), Ok(true));
        assert!(built(cx).ends_with("X-A: 1\r\nDiversion: <sip:bob@b.org>;reason=away;privacy=off\r\n\r\n"));
    }
}
