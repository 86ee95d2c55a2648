//! What kind of message it is, and where in a call's way it is.

use kahea_module::{Cx, Str};
use kahea_sip::{
    HeaderId, Transport,
    date::Date,
    view::{Addrs, Tokens},
};

use super::SipUtils;

/// Who has shown by credentials to be the sender; modules that check credentials set it ([`Cx::extra`]).
#[derive(Clone, Debug, Default)]
pub struct AuthorizedUser(pub Option<Str>);

pub(super) fn is_request(_: &SipUtils, cx: &mut Cx) -> bool {
    cx.msg.is_request()
}

pub(super) fn is_reply(_: &SipUtils, cx: &mut Cx) -> bool {
    cx.msg.is_reply()
}

pub(super) fn is_sip(_: &SipUtils, cx: &mut Cx) -> bool {
    !cx.msg.is_http()
}

pub(super) fn is_http(_: &SipUtils, cx: &mut Cx) -> bool {
    cx.msg.is_http()
}

pub(super) fn has_totag(_: &SipUtils, cx: &mut Cx) -> bool {
    cx.to().is_ok_and(|to| to.tag().is_some())
}

pub(super) fn is_user(_: &SipUtils, cx: &mut Cx, user: Str) -> bool {
    let known = cx
        .extra_ref::<AuthorizedUser>()
        .and_then(|known| known.0.as_ref());
    known.is_some_and(|known| *known == *user)
}

pub(super) fn parse_headers(_: &SipUtils, _: &mut Cx) -> bool {
    true
}

pub(super) fn is_supported(_: &SipUtils, cx: &mut Cx, option: Str) -> bool {
    let mut headers = cx.msg.all(HeaderId::Supported);
    headers.any(|header| Tokens::new(cx.msg.value(header)).contains(&option))
}

pub(super) fn is_first_hop(_: &SipUtils, cx: &mut Cx, mode: Option<i64>) -> bool {
    if cx.msg.is_request() {
        return cx.msg.vias().count() == 1;
    }
    let Some(header) = cx.msg.first(HeaderId::RecordRoute) else {
        return false;
    };
    let Some(Ok(top)) = Addrs::new(cx.msg.value(header)).next() else {
        return false;
    };
    let Ok(uri) = top.parse_uri() else {
        return false;
    };
    let own = cx
        .config()
        .identity
        .is_myself(uri.host, uri.port.unwrap_or(0), Transport::None);
    // A reply from the very address that the route names has gone round in a circle.
    let from = cx.received.source;
    let port = uri.port.unwrap_or(5060);
    let looped = || {
        uri.host_ip()
            .is_none_or(|ip| ip == from.ip() && port == from.port())
    };
    own && (mode == Some(1) || !looped())
}

pub(super) fn hdr_date_check(_: &SipUtils, cx: &mut Cx, seconds: i64) -> i64 {
    let date = cx.msg.first(HeaderId::Date);
    let Some(Ok(date)) = date.map(|header| Date::parse(cx.msg.value(header))) else {
        return -1;
    };
    let age = cx.worker.unix_time().saturating_sub(date.unix());
    if age > seconds { -4 } else { 1 }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};

    use super::{super::tests::started, *};

    fn with(line: &str) -> Cx {
        Server::default().message(&INVITE.replacen("\nMax-F", &format!("\n{line}\nMax-F"), 1))
    }

    #[test]
    fn kinds_of_messages() {
        let (m, cx) = (&started(), &mut with("Supported: path, 100rel\nk: timer"));
        assert!(is_request(m, cx) && !is_reply(m, cx) && is_sip(m, cx) && !is_http(m, cx));
        assert!(!has_totag(m, cx) && is_first_hop(m, cx, None) && parse_headers(m, cx));
        for (option, wanted) in [("path", true), ("TIMER", true), ("gruu", false)] {
            assert_eq!(is_supported(m, cx, Str::from(option)), wanted);
        }
        assert!(!is_user(m, cx, Str::from("alice")));
        cx.extra::<AuthorizedUser>().0 = Some(Str::from("alice"));
        assert!(is_user(m, cx, Str::from("alice")) && !is_user(m, cx, Str::from("Alice")));
        assert!(!is_first_hop(
            m,
            &mut with("Via: SIP/2.0/UDP h;branch=z9hG4bKy"),
            None
        ));
    }

    #[test]
    fn replies_tell_by_record_route() {
        let server = Server::default();
        for (route, port, mode, wanted) in [
            ("<sip:127.0.0.1;lr>", 5061, None, true),
            ("<sip:127.0.0.1;lr>", 5060, None, false),
            ("<sip:127.0.0.1;lr>", 5060, Some(1), true),
            ("<sip:127.0.0.2;lr>", 5061, Some(1), false),
        ] {
            let mut cx = server.message(&format!(
                "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\nRecord-Route: {route}\nFrom: <sip:a@b>;tag=1\n\
                 To: <sip:b@c>;tag=2\nCall-ID: 1\nCSeq: 1 INVITE\nContent-Length: 0\n"
            ));
            cx.received.source = std::net::SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(is_first_hop(&started(), &mut cx, mode), wanted);
        }
    }

    #[test]
    fn dates_grow_old() {
        let m = &started();
        let date = "Date: Wed, 31 Dec 2025 23:59:30 GMT";
        assert_eq!(hdr_date_check(m, &mut with(date), 30), 1);
        assert_eq!(hdr_date_check(m, &mut with(date), 29), -4);
        assert_eq!(hdr_date_check(m, &mut with("Date: junk"), 10), -1);
        assert_eq!(hdr_date_check(m, &mut with("X: y"), 10), -1);
    }
}
