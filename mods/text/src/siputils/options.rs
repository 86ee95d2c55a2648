//! `options_reply()`.

use kahea_module::{Cx, ReplyExtra, Ret, Str, proxy};
use kahea_sip::Method;

use super::{Params, SipUtils};

/// The headers of the answer, made once.
pub(super) struct Lines(Str);

impl Lines {
    pub(super) fn new(params: &Params) -> Lines {
        Lines(Str::from(format!(
            "Accept: {}\r\nAccept-Encoding: {}\r\nAccept-Language: {}\r\nSupported: {}\r\n",
            params.options_accept,
            params.options_accept_encoding,
            params.options_accept_language,
            params.options_support,
        )))
    }
}

pub(super) fn reply(m: &SipUtils, cx: &mut Cx) -> Ret {
    let own = cx.with_ruri(|uri| uri.is_ok_and(|uri| uri.user.is_empty()));
    if cx.method() != Method::Options || !cx.msg.is_request() || !own {
        return Ret::FALSE;
    }
    cx.reply_extra.push(ReplyExtra::Header(m.options.0.clone()));
    let sent = proxy::reply_to(cx, 200, b"OK");
    cx.reply_extra.pop();
    sent.map(|()| true).into()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::{super::tests::started, *};

    #[test]
    fn only_options_without_a_user_are_answered() {
        let server = Server::default();
        let text = INVITE.replace("INVITE", "OPTIONS");
        let mut cx = server.message(&text);
        assert!(matches!(reply(&started(), &mut cx), Ret::Code(-1)));
        cx.target.ruri = Some(Str::from("sip:127.0.0.1"));
        assert!(matches!(reply(&started(), &mut cx), Ret::Code(1)));
        let sent = server.net.sent.borrow();
        let answer = sent[0].1.text().into_owned();
        assert!(answer.starts_with("SIP/2.0 200 OK\r\n") && sent.len() == 1);
        assert!(
            answer.contains("\r\nAccept: */*\r\nAccept-Encoding: \r\nAccept-Language: en\r\nSupported: \r\n")
        );
        assert!(cx.reply_extra.is_empty());
    }
}
