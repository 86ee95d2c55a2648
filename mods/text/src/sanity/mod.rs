//! `sanity`: checks of what a well-made SIP message has, with the reply that a bad request gets.

mod auth;
mod checks;
mod sizes;
mod uris;

use kahea_module::{
    BindError, Cx, Decl, Fault, InitError, Module, REPLY, REQUEST, ReplyExtra, Ret, Str, proxy, registry::Env,
};
use kahea_sip::Method;

/// The module, started.
pub struct Sanity {
    params: Params,
    supported: Vec<Str>,
}

/// The parameters of the module.
pub struct Params {
    default_checks: i64,
    uri_checks: i64,
    sizes: sizes::Sizes,
    proxy_require: Str,
    autodrop: bool,
    noreply: bool,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            default_checks: 3047,
            uri_checks: 7,
            sizes: sizes::Sizes::default(),
            proxy_require: Str::EMPTY,
            autodrop: true,
            noreply: false,
        }
    }
}

/// Why a message fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: u16,
    reason: Str,
    /// A further header of the reply, with its line end.
    header: Option<Str>,
    /// Kamailio sends no reply for it.
    silent: bool,
}

impl Failure {
    /// 400 with this phrase.
    fn bad(reason: &'static str) -> Failure {
        Failure::of(400, reason)
    }

    fn of(status: u16, reason: &'static str) -> Failure {
        Failure {
            status,
            reason: Str::from_static(reason),
            header: None,
            silent: false,
        }
    }

    /// False without a reply.
    fn silent() -> Failure {
        Failure {
            silent: true,
            ..Failure::default()
        }
    }
}

/// What `sanity_reply()` sends where no check named anything better.
impl Default for Failure {
    fn default() -> Self {
        Failure::of(500, "Server Sanity Failure")
    }
}

/// The failure of the last check with `noreply`, for `sanity_reply()`.
#[derive(Default)]
struct Last(Failure);

impl Module for Sanity {
    const NAME: &'static str = "sanity";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        declare_params(d);
        declare_sizes(d);
        d.func(
            "sanity_check",
            ["checks", "uri_checks"],
            check,
            "Makes the checks whose numbers the sum holds, by default those of default_checks; a request that fails one \
             gets a reply, and with autodrop the script ends.",
        )
        .routes(REQUEST | REPLY)
        .kemi(0, "sanity_check_defaults")
        .kemi(2, "sanity_check")
        .example("if (!sanity_check(\"17895\", \"7\")) { exit; }");
        d.func(
            "sanity_reply",
            [],
            reply,
            "Sends the reply that the last failed check is due, where noreply kept it back.",
        )
        .routes(REQUEST | REPLY)
        .kemi(0, "sanity_reply");
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(Sanity::new(params))
    }
}

fn declare_params(d: &mut Decl<Sanity>) {
    d.param(
        "default_checks",
        |p| &mut p.default_checks,
        "The sum of the checks that sanity_check() without arguments makes: 1 version, 2 scheme of the Request-URI, 4 \
         required headers, 8 and 16 (nothing is left of them: a Via of another version or transport is refused or \
         allowed before), 32 CSeq method, 64 CSeq number, 128 Content-Length, 256 Expires, 512 Proxy-Require, 1024 URIs, \
         2048 credentials, 4096 tags stated twice, 8192 Authorization, 16384 first Via.",
    );
    d.param(
        "uri_checks",
        |p| &mut p.uri_checks,
        "The sum of the URIs that check 1024 reads: 1 Request-URI, 2 From, 4 To, 8 Contact.",
    );
    d.param_fn(
        "proxy_require",
        "string",
        |params, value, _| {
            params.proxy_require = value
                .str()
                .ok_or_else(|| BindError::new("a list of option tags is needed"))?;
            Ok(())
        },
        "The option tags, separated by commas, that check 512 lets pass in Proxy-Require.",
    );
    d.param(
        "autodrop",
        |p| &mut p.autodrop,
        "1: the script ends when a check fails; 0: sanity_check() is false.",
    );
    d.param(
        "noreply",
        |p| &mut p.noreply,
        "1: no reply is sent until the script calls sanity_reply().",
    );
}

fn declare_sizes(d: &mut Decl<Sanity>) {
    d.param(
        "size_checks",
        |p| &mut p.sizes.checks,
        "The sum of the sizes that every sanity_check() compares: 1 message, 2 method, 4 Request-URI, 8 From URI, 16 To \
         URI, 32 Contact URIs, 64 Route URIs, 128 Path URIs, 256 P-Asserted-Identity URIs, 512 each header, 1024 all \
         headers, 2048 body.",
    );
    d.param(
        "size_message",
        |p| &mut p.sizes.message,
        "The most bytes of the message.",
    );
    d.param(
        "size_method",
        |p| &mut p.sizes.method,
        "The most bytes of the method.",
    );
    d.param(
        "size_ruri",
        |p| &mut p.sizes.ruri,
        "The most bytes of the Request-URI.",
    );
    d.param(
        "size_from_uri",
        |p| &mut p.sizes.from_uri,
        "The most bytes of the URI in From.",
    );
    d.param(
        "size_to_uri",
        |p| &mut p.sizes.to_uri,
        "The most bytes of the URI in To.",
    );
    d.param(
        "size_contact_uri",
        |p| &mut p.sizes.contact_uri,
        "The most bytes of each URI in Contact.",
    );
    d.param(
        "size_route_uri",
        |p| &mut p.sizes.route_uri,
        "The most bytes of each URI in Route.",
    );
    d.param(
        "size_path_uri",
        |p| &mut p.sizes.path_uri,
        "The most bytes of each URI in Path.",
    );
    d.param(
        "size_pai_uri",
        |p| &mut p.sizes.pai_uri,
        "The most bytes of each URI in P-Asserted-Identity.",
    );
    d.param(
        "size_header",
        |p| &mut p.sizes.header,
        "The most bytes of one header with its name.",
    );
    d.param(
        "size_headers",
        |p| &mut p.sizes.headers,
        "The most bytes of all headers together.",
    );
    d.param("size_body", |p| &mut p.sizes.body, "The most bytes of the body.");
}

impl Sanity {
    fn new(params: Params) -> Sanity {
        let tags = params.proxy_require.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        let supported = tags.filter(|tag| !tag.is_empty()).map(Str::copy).collect();
        Sanity { params, supported }
    }

    fn run(&self, cx: &Cx, checks: i64, uris: i64) -> Result<(), Failure> {
        sizes::check(&self.params.sizes, cx)?;
        if checks & checks::KNOWN == 0 {
            // Kamailio fails where it makes no check at all.
            return Err(Failure::silent());
        }
        checks::run(self, cx, checks, uris)
    }
}

fn check(m: &Sanity, cx: &mut Cx, checks: Option<i64>, uris: Option<i64>) -> Result<i64, Fault> {
    let checks = checks.unwrap_or(m.params.default_checks);
    let uris = uris.unwrap_or(m.params.uri_checks);
    let Err(failure) = m.run(cx, checks, uris) else {
        return Ok(1);
    };
    if m.params.noreply {
        cx.extra::<Last>().0 = failure;
    } else if !failure.silent {
        send(cx, &failure)?;
    }
    Ok(if m.params.autodrop { 0 } else { -1 })
}

fn reply(m: &Sanity, cx: &mut Cx) -> Ret {
    if !m.params.noreply {
        return Ret::TRUE;
    }
    let failure = std::mem::take(&mut cx.extra::<Last>().0);
    send(cx, &failure).map(|()| true).into()
}

/// A reply or an ACK gets none.
fn send(cx: &mut Cx, failure: &Failure) -> Result<(), Fault> {
    if !cx.msg.is_request() || cx.method() == Method::Ack {
        return Ok(());
    }
    let header = failure.header.clone().map(ReplyExtra::Header);
    let extra = header.is_some();
    cx.reply_extra.extend(header);
    let sent = proxy::reply_to(cx, failure.status, &failure.reason);
    if extra {
        cx.reply_extra.pop();
    }
    sent
}

#[cfg(test)]
pub(crate) mod tests {
    use kahea_module::testing::Server;

    use super::*;

    /// A request with these lines instead of, or besides, the usual ones.
    pub(crate) fn request(server: &Server, lines: &[&str]) -> Cx {
        let mut text: Vec<&str> = vec![
            "OPTIONS sip:x@127.0.0.1 SIP/2.0",
            "Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKs;rport",
            "From: <sip:a@b>;tag=ft1",
            "To: <sip:c@d>",
            "Call-ID: s1",
            "CSeq: 1 OPTIONS",
            "Content-Length: 0",
        ];
        for line in lines {
            let name = |line: &str| line.split([':', ' ']).next().map(str::to_owned);
            match text.iter_mut().find(|known| name(known) == name(line)) {
                Some(known) => *known = line,
                None => text.push(line),
            }
        }
        server.message(&text.join("\n"))
    }

    /// With proxy_require "foo, bar", without autodrop.
    pub(crate) fn started(change: impl FnOnce(&mut Params)) -> Sanity {
        let mut params = Params {
            autodrop: false,
            proxy_require: Str::from_static("foo, bar"),
            ..Params::default()
        };
        change(&mut params);
        Sanity::new(params)
    }

    fn replies(server: &Server) -> Vec<String> {
        let sent = server.net.sent.borrow();
        let texts = sent.iter().map(|(_, data)| data.text().into_owned());
        texts
            .map(|text| text.lines().next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn a_bad_request_is_answered_and_the_script_ends_or_not() {
        let server = Server::default();
        let bad = || request(&server, &["Expires: abc"]);
        assert_eq!(check(&started(|_| {}), &mut bad(), None, None), Ok(-1));
        assert_eq!(
            check(&started(|p| p.autodrop = true), &mut bad(), None, None),
            Ok(0)
        );
        assert_eq!(replies(&server), ["SIP/2.0 400 Expires value is illegal"; 2]);
        assert_eq!(check(&started(|_| {}), &mut bad(), Some(3), None), Ok(1));
        assert_eq!(check(&started(|_| {}), &mut bad(), Some(32768), None), Ok(-1));
    }

    #[test]
    fn a_reply_kept_back_is_sent_on_demand() {
        let server = Server::default();
        let m = started(|p| p.noreply = true);
        let mut cx = request(&server, &["Proxy-Require: foo,baz"]);
        assert_eq!(check(&m, &mut cx, None, None), Ok(-1));
        assert!(replies(&server).is_empty());
        assert!(matches!(reply(&m, &mut cx), Ret::Code(1)));
        let text = server.net.sent.borrow()[0].1.text().into_owned();
        assert!(text.starts_with("SIP/2.0 420 Bad Proxy Require Extension\r\n"));
        assert!(text.contains("\r\nUnsupported: baz\r\n") && cx.reply_extra.is_empty());
        assert!(matches!(reply(&m, &mut request(&server, &[])), Ret::Code(1)));
        assert_eq!(replies(&server)[1], "SIP/2.0 500 Server Sanity Failure");
    }

    #[test]
    fn acks_and_replies_are_not_answered() {
        let server = Server::default();
        let m = started(|_| {});
        let mut ack = request(&server, &["Expires: abc"]);
        ack = server.message(
            &ack.msg
                .buffer()
                .text()
                .replace("\r\n", "\n")
                .replace("OPTIONS", "ACK"),
        );
        assert_eq!(check(&m, &mut ack, None, None), Ok(-1));
        let reply = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\n\
                     Call-ID: 1\nCSeq: 1 OPTIONS\nContent-Length: 0\nExpires: abc\n";
        assert_eq!(check(&m, &mut server.message(reply), Some(256), None), Ok(-1));
        assert!(replies(&server).is_empty());
    }
}
