//! Functions on the message as a whole: changes applied, another status, fewer headers.

use kahea_module::{Cx, Fault, Lit, Ret, RouteKind, Str, Value, late::built};
use kahea_sip::{EditTag, Edits, FirstLine, HeaderId, Limits, Message};

use super::{Textopsx, glob};
use crate::textops::{arg::LineRegex, headers};

/// How many Record-Route headers there will be is only known when the message leaves.
fn records_routes(edits: &Edits) -> bool {
    edits.iter().any(|(_, edit)| {
        edit.tag == EditTag::Header(HeaderId::RecordRoute)
            && matches!(edit.insert, Some(kahea_sip::Insert::Late(_)))
    })
}

fn changed(cx: &mut Cx) -> Result<Message, Fault> {
    if records_routes(&cx.edits) {
        return Err(Fault::script(
            "Record-Route headers depend on the way out: apply the changes before record_route()",
        ));
    }
    // Texts that depend on the way out are those of the listener that the script forced, else of the one it came to.
    let text = built(cx, cx.target.send_socket.unwrap_or(cx.received.listener));
    cx.spend_bytes(text.len())?;
    Message::parse(text, &Limits::default())
        .map_err(|error| Fault::script(format!("with its changes the message cannot be read: {error}")))
}

/// Makes `msg` the message; changes recorded for the old one are gone.
fn put(cx: &mut Cx, msg: Message) {
    cx.msg = msg;
    cx.edits.clear();
    cx.late.clear();
    cx.target.ruri = None;
}

pub(super) fn msg_apply_changes(_: &Textopsx, cx: &mut Cx) -> Result<bool, Fault> {
    if cx.edits.is_empty() && cx.target.ruri.is_none() {
        return Ok(true);
    }
    let msg = changed(cx)?;
    put(cx, msg);
    Ok(true)
}

pub(super) fn msg_changed_route(_: &Textopsx, cx: &mut Cx, name: Str) -> Ret {
    let bind = cx.bind();
    let route = bind
        .route(RouteKind::Request, &name.text())
        .or_else(|| bind.route(RouteKind::Event, &name.text()));
    let Some(route) = route else {
        return Fault::script(format!("there is no route[{name}]")).into();
    };
    Ret::wait(move |cx| {
        Box::pin(async move {
            let msg = match changed(cx) {
                Ok(msg) => msg,
                Err(fault) => return Ret::Fault(fault),
            };
            let msg = std::mem::replace(&mut cx.msg, msg);
            let edits = std::mem::take(&mut cx.edits);
            let ruri = cx.target.ruri.take();
            let engine = cx.worker.engine.clone();
            engine.run(cx, route).await;
            cx.msg = msg;
            cx.edits = edits;
            cx.target.ruri = ruri;
            Ret::TRUE
        })
    })
}

pub(super) fn msg_set_buffer(_: &Textopsx, cx: &mut Cx, text: Str) -> Result<bool, Fault> {
    cx.spend_bytes(text.len())?;
    let msg = Message::parse(text.detach(), &Limits::default())
        .map_err(|error| Fault::script(format!("the text is no SIP message: {error}")))?;
    if msg.is_request() != cx.msg.is_request() {
        return Err(Fault::script(
            "a request cannot take the place of a reply, nor a reply that of a request",
        ));
    }
    put(cx, msg);
    Ok(true)
}

/// Changes the code in the message itself, so that `$rs` tells the new one; the reason when the reply leaves.
fn change_status(cx: &mut Cx, code: i64, reason: Option<Str>) -> Result<bool, Fault> {
    let FirstLine::Reply {
        status,
        status_text,
        reason: old_reason,
        ..
    } = *cx.msg.first_line()
    else {
        return Err(Fault::script("only a reply has a status: this is a request"));
    };
    let new = u16::try_from(code).ok().filter(|code| (100..700).contains(code));
    let new =
        new.ok_or_else(|| Fault::script(format!("{code} is no status code: give one from 100 to 699")))?;
    if (new < 300 || status < 300) && new / 100 != status / 100 {
        return Err(Fault::script(format!(
            "{status} cannot become {new}: provisional and positive replies keep their class"
        )));
    }
    if new != status {
        let mut bytes = cx.msg.buffer().to_vec();
        if let Some(place) = bytes.get_mut(status_text.range()) {
            place.copy_from_slice(new.to_string().as_bytes());
        }
        cx.msg = Message::parse(Str::from(bytes), &Limits::default()).map_err(|error| {
            Fault::script(format!("with the new status the reply cannot be read: {error}"))
        })?;
    }
    if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
        let earlier = cx
            .edits
            .iter()
            .find(|(_, edit)| edit.removed == old_reason)
            .map(|(id, _)| id);
        earlier.map(|id| cx.edits.undo(id));
        cx.edits.replace(old_reason, reason, EditTag::Other);
    }
    Ok(true)
}

pub(super) fn change_reply_status(_: &Textopsx, cx: &mut Cx, code: i64, reason: Str) -> Result<bool, Fault> {
    change_status(cx, code, Some(reason))
}

pub(super) fn change_reply_status_code(_: &Textopsx, cx: &mut Cx, code: i64) -> Result<bool, Fault> {
    change_status(cx, code, None)
}

pub(super) fn remove_body(_: &Textopsx, cx: &mut Cx) -> bool {
    let body = cx.msg.body_span();
    let ours: Vec<_> = cx
        .edits
        .iter()
        .filter(|(_, edit)| edit.tag == EditTag::Body)
        .map(|(id, _)| id)
        .collect();
    for id in ours {
        cx.edits.undo(id);
    }
    if !body.is_empty() {
        cx.edits.remove(body, EditTag::Body);
    }
    true
}

const fn needed(id: HeaderId) -> bool {
    matches!(
        id,
        HeaderId::Via
            | HeaderId::From
            | HeaderId::To
            | HeaderId::CallId
            | HeaderId::CSeq
            | HeaderId::ContentLength
            | HeaderId::ContentType
            | HeaderId::MaxForwards
            | HeaderId::Contact
            | HeaderId::Route
            | HeaderId::RecordRoute
    )
}

/// Never true, whatever it removed: scripts of Kamailio know it so.
pub(super) fn keep_hf(_: &Textopsx, cx: &mut Cx, keep: Option<Lit<LineRegex>>) -> bool {
    headers::remove_where(cx, |cx, header| {
        let kept = keep
            .as_ref()
            .is_some_and(|keep| keep.is_match(cx.msg.bytes(header.name)));
        !needed(header.id) && !kept
    });
    false
}

pub(super) fn fnmatch(_: &Textopsx, _: &mut Cx, text: Str, pattern: Str, flags: Option<Value>) -> bool {
    let flags = flags.unwrap_or_default().str_or_empty();
    glob::matches(
        &pattern,
        &text,
        flags.iter().any(|flag| matches!(flag, b'i' | b'I')),
    )
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;
    use crate::textops::tests::{built as text_of, lit, request, with_body};

    #[test]
    fn changes_are_seen_once_applied() {
        let cx = &mut request("X-A: 1\nX-B: 2\nContent-Length: 0\n");
        headers::append(cx, "P-A: 1\r\n".into()).unwrap();
        headers::remove_where(cx, |_, header| header.id == HeaderId::Other);
        cx.set_ruri("sip:new@h".into()).unwrap();
        assert_eq!(msg_apply_changes(&Textopsx, cx), Ok(true));
        assert_eq!(cx.msg.named(b"P-A").count(), 1);
        assert_eq!(cx.msg.named(b"X-A").count(), 0);
        assert_eq!(
            (cx.msg.uri(), cx.ruri()),
            (Some(&b"sip:new@h"[..]), "sip:new@h".into())
        );
        assert!(cx.edits.is_empty());
    }

    #[test]
    fn another_message_of_the_same_kind_takes_the_place() {
        let cx = &mut request("X-A: 1\n");
        let other = "INVITE sip:x@y SIP/2.0\r\nX-A: 2\r\n\r\n";
        assert_eq!(msg_set_buffer(&Textopsx, cx, other.into()), Ok(true));
        assert_eq!(cx.ruri(), "sip:x@y");
        assert!(msg_set_buffer(&Textopsx, cx, "garbage".into()).is_err());
        assert!(msg_set_buffer(&Textopsx, cx, "SIP/2.0 200 OK\r\n\r\n".into()).is_err());
        assert_eq!(cx.ruri(), "sip:x@y");
    }

    #[test]
    fn a_reply_gets_another_status_of_an_allowed_class() {
        let cx = &mut Server::default().message("SIP/2.0 603 Decline\nCSeq: 1 INVITE\n");
        assert_eq!(
            change_reply_status(&Textopsx, cx, 404, "Not here".into()),
            Ok(true)
        );
        assert_eq!(
            change_reply_status(&Textopsx, cx, 404, "Not Found".into()),
            Ok(true)
        );
        assert_eq!(cx.msg.status(), Some(404));
        assert!(text_of(cx).starts_with("SIP/2.0 404 Not Found\r\n"));
        assert!(change_reply_status_code(&Textopsx, cx, 200).is_err());
        assert!(change_reply_status_code(&Textopsx, cx, 99).is_err());
        assert!(change_reply_status_code(&Textopsx, &mut request("X: 1\n"), 404).is_err());
    }

    #[test]
    fn headers_that_routing_needs_are_kept() {
        let cx = &mut with_body(
            "From: <sip:a@b>\nX-A: 1\nUser-Agent: x\nContent-Length: 2\n",
            "hi",
        );
        assert!(!keep_hf(&Textopsx, cx, Some(lit("^x-"))));
        assert!(remove_body(&Textopsx, cx));
        let text = text_of(cx);
        assert_eq!(
            text,
            "INVITE sip:bob@b.org SIP/2.0\r\nFrom: <sip:a@b>\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn patterns_ignore_case_on_demand() {
        let cx = &mut request("X: 1\n");
        assert!(!fnmatch(&Textopsx, cx, "ABC".into(), "a*".into(), None));
        assert!(fnmatch(
            &Textopsx,
            cx,
            "ABC".into(),
            "a*".into(),
            Some("i".into())
        ));
    }
}
