//! The functions that reply.

use kahea_module::{Cx, Fault, ReplyExtra, Ret, Str, Value, proxy};
use kahea_sip::{EditId, EditTag, FirstLine, Method};

use super::{Sl, redirect};

/// What Kamailio says when nothing better is known.
const ERROR: &str = "I'm terribly sorry, server error occurred (1/SL)";

/// The status and reason that a script means, with what to answer where it gives none. As in Kamailio the status may be
/// any of three digits.
///
/// # Errors
/// It is no status.
pub fn status(code: &Value, reason: &Value, default: (u16, &Str)) -> Result<(u16, Str), Fault> {
    let (default_code, default_reason) = default;
    let status = match code.int() {
        Some(code) => u16::try_from(code)
            .ok()
            .filter(|code| (100..1000).contains(code))
            .ok_or_else(|| Fault::script(format!("{code} is no status code: give one from 100 to 999")))?,
        None => default_code,
    };
    Ok((status, reason.str().unwrap_or_else(|| default_reason.clone())))
}

impl Sl {
    fn status(&self, code: &Value, reason: &Value) -> Result<(u16, Str), Fault> {
        status(code, reason, (self.default_code, &self.default_reason))
    }

    fn stateless(&self, cx: &mut Cx, status: u16, reason: Str) -> Ret {
        if !cx.msg.is_request() {
            return Fault::script("only a request can be answered: this is a reply").into();
        }
        if cx.msg.method() == Method::Ack {
            return Fault::script("an ACK is never answered").into();
        }
        let ret = match (300..400).contains(&status) {
            true => self.redirect(cx, status, reason),
            false => proxy::reply(cx, status, reason),
        };
        match &ret {
            Ret::Code(code) if *code > 0 => self.counters.sent(status),
            _ => self.counters.failures.inc(),
        }
        ret
    }

    /// A 3xx reply: its Contact is the destination set, written here for the sake of `rich_redirect`.
    fn redirect(&self, cx: &mut Cx, status: u16, reason: Str) -> Ret {
        let contact = redirect::contact(cx, self.rich).map(ReplyExtra::Header);
        let branches = std::mem::take(&mut cx.branches);
        let extras = cx.reply_extra.len();
        cx.reply_extra.extend(contact);
        let ret = proxy::reply(cx, status, reason);
        cx.reply_extra.truncate(extras);
        cx.branches = branches;
        ret
    }

    fn reply(&self, cx: &mut Cx, status: u16, reason: Str) -> Ret {
        let stateful = self.service().and_then(|tm| tm.reply(cx, status, &reason));
        stateful.unwrap_or_else(|| self.stateless(cx, status, reason))
    }
}

pub(super) fn sl_send_reply(m: &Sl, cx: &mut Cx, code: Value, reason: Value) -> Ret {
    match m.status(&code, &reason) {
        Ok((status, reason)) => m.stateless(cx, status, reason),
        Err(fault) => fault.into(),
    }
}

pub(super) fn send_reply(m: &Sl, cx: &mut Cx, code: Value, reason: Value) -> Ret {
    match m.status(&code, &reason) {
        Ok((status, reason)) => m.reply(cx, status, reason),
        Err(fault) => fault.into(),
    }
}

pub(super) fn send_reply_mode(m: &Sl, cx: &mut Cx, code: Value, reason: Value, mode: i64) -> Ret {
    cx.reply_flags.no_connect |= mode & 1 != 0;
    cx.reply_flags.close |= mode & 2 != 0;
    send_reply(m, cx, code, reason)
}

pub(super) fn sl_reply_error(m: &Sl, cx: &mut Cx) -> Ret {
    let ret = m.stateless(cx, 500, Str::from_static(ERROR));
    if let Ret::Code(1..) = ret {
        m.counters.errors.inc();
    }
    ret
}

pub(super) fn send_reply_error(m: &Sl, cx: &mut Cx) -> Ret {
    let stateful = m.service().and_then(|tm| tm.reply_error(cx));
    stateful.unwrap_or_else(|| sl_reply_error(m, cx))
}

pub(super) fn sl_forward_reply(_: &Sl, cx: &mut Cx, code: Option<Value>, reason: Option<Value>) -> Ret {
    let edits = match change_status(cx, code.as_ref(), reason) {
        Ok(edits) => edits,
        Err(fault) => return fault.into(),
    };
    match proxy::forward_reply(cx) {
        Ret::Wait(later) => Ret::wait(move |cx| {
            Box::pin(async move {
                let ret = later(cx).await;
                undo(cx, edits);
                ret
            })
        }),
        ret => {
            undo(cx, edits);
            ret
        }
    }
}

type StatusEdits = [Option<EditId>; 2];

/// Lets this copy leave with another status line.
fn change_status(cx: &mut Cx, code: Option<&Value>, reason: Option<Value>) -> Result<StatusEdits, Fault> {
    let FirstLine::Reply {
        status,
        status_text,
        reason: old_reason,
        ..
    } = *cx.msg.first_line()
    else {
        return Err(Fault::script(
            "only a reply can be forwarded as one: this is a request",
        ));
    };
    let mut edits = StatusEdits::default();
    if let Some(code) = code.filter(|code| !code.str_or_empty().is_empty()) {
        let new = code.int().and_then(|code| u16::try_from(code).ok());
        let new = new.filter(|new| new / 100 == status / 100).ok_or_else(|| {
            Fault::script(format!(
                "{code} cannot stand for {status}: give a code of the same class"
            ))
        })?;
        edits = [
            Some(
                cx.edits
                    .replace(status_text, Str::from(new.to_string()), EditTag::Other),
            ),
            None,
        ];
    }
    if let Some(reason) = reason
        .and_then(|reason| reason.str())
        .filter(|reason| !reason.is_empty())
    {
        let [first, _] = edits;
        edits = [first, Some(cx.edits.replace(old_reason, reason, EditTag::Other))];
    }
    Ok(edits)
}

fn undo(cx: &mut Cx, edits: StatusEdits) {
    for edit in edits.into_iter().flatten() {
        cx.edits.undo(edit);
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{Server, code};

    use super::{super::tests::module, *};

    fn sent(server: &Server) -> String {
        server
            .net
            .sent
            .borrow()
            .last()
            .map(|(_, data)| data.text().into_owned())
            .unwrap_or_default()
    }

    #[test]
    fn replies_are_sent_and_counted() {
        let server = Server::default();
        let (m, mut cx) = (module(&server), server.invite());
        assert_eq!(
            code(sl_send_reply(&m, &mut cx, "404".into(), "Not here".into())),
            1
        );
        assert!(sent(&server).starts_with("SIP/2.0 404 Not here\r\n"));
        assert_eq!(code(send_reply(&m, &mut cx, "what".into(), Value::Null)), 1);
        assert!(sent(&server).starts_with("SIP/2.0 500 Internal Server Error\r\n"));
        assert_eq!(code(sl_send_reply(&m, &mut cx, Value::Int(99), "low".into())), -1);
        assert_eq!(code(sl_reply_error(&m, &mut cx)), 1);
        let stat = |name: &str| {
            server
                .worker
                .config
                .shared
                .stats
                .get(b"sl", name.as_bytes())
                .unwrap()
                .get()
        };
        assert_eq!(
            (stat("sent_replies"), stat("404_replies"), stat("500_replies")),
            (3, 1, 2)
        );
        assert_eq!((stat("sent_err_replies"), stat("failures")), (1, 0));
    }

    #[test]
    fn redirections_carry_the_destination_set_once() {
        let server = Server::default();
        let (m, mut cx) = (module(&server), server.invite());
        cx.target.ruri = Some("sip:new@h".into());
        assert_eq!(
            code(sl_send_reply(&m, &mut cx, Value::Int(302), "Moved".into())),
            1
        );
        assert!(sent(&server).contains("Contact: <sip:new@h>\r\n"));
        assert!(cx.reply_extra.is_empty());
    }

    #[test]
    fn the_mode_sets_how_the_reply_is_sent() {
        let server = Server::default();
        let (m, mut cx) = (module(&server), server.invite());
        assert_eq!(
            code(send_reply_mode(&m, &mut cx, Value::Int(486), "Busy".into(), 3)),
            1
        );
        let sent = server.net.sent.borrow();
        assert!(sent[0].0.flags.close && sent[0].0.flags.no_connect);
    }

    #[test]
    fn a_reply_goes_on_with_another_code_of_its_class() {
        let server = Server::default();
        let reply = "SIP/2.0 408 Timeout\nVia: SIP/2.0/UDP 127.0.0.1;branch=z1\nVia: SIP/2.0/UDP 127.0.0.7:5080;branch=z2\nCSeq: 1 INVITE\n";
        let (m, mut cx) = (module(&server), server.message(reply));
        let ret = sl_forward_reply(&m, &mut cx, Some("404".into()), Some("Not found".into()));
        assert_eq!(code(ret), 1);
        assert!(sent(&server).starts_with("SIP/2.0 404 Not found\r\nVia: SIP/2.0/UDP 127.0.0.7"));
        assert!(cx.edits.is_empty(), "the reply itself stays as it came");
        assert_eq!(
            code(sl_forward_reply(&m, &mut cx, Some(Value::Int(200)), None)),
            -1
        );
        assert_eq!(code(sl_send_reply(&m, &mut cx, Value::Int(200), "OK".into())), -1);
    }
}
