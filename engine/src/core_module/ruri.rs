//! Actions that rewrite the Request-URI.

use kahea_module::{Cx, Decl, Fault, Lit, Str, warning};
use kahea_sip::view::{Scheme, Uri};

use super::{Core, aliased};

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    aliased(
        d,
        &["rewriteuri", "seturi"],
        ["uri"],
        rewriteuri,
        "Sets the Request-URI.",
        Some((1, "seturi")),
    );
    aliased(
        d,
        &["rewriteuser", "setuser", "setu"],
        ["user"],
        rewriteuser,
        "Sets the user of the Request-URI; an empty one takes it away.",
        Some((1, "setuser")),
    );
    aliased(
        d,
        &["rewriteuserpass", "setuserpass", "setup"],
        ["userpass"],
        rewriteuserpass,
        "Sets user and password of the Request-URI.",
        None,
    );
    aliased(
        d,
        &["rewritehost", "sethost", "seth"],
        ["host"],
        rewritehost,
        "Sets the host of the Request-URI; its port stays.",
        Some((1, "sethost")),
    );
    aliased(
        d,
        &["rewritehostport", "sethostport", "sethp"],
        ["hostport"],
        rewritehostport,
        "Sets host and port of the Request-URI; without a port in the argument there is none.",
        None,
    );
    aliased(
        d,
        &["rewritehostporttrans", "sethostporttrans", "sethpt"],
        ["hostport"],
        rewritehostporttrans,
        "Sets host, port and transport of the Request-URI, `1.2.3.4:5061;transport=tls`.",
        None,
    );
    aliased(
        d,
        &["rewriteport", "setport", "setp"],
        ["port"],
        rewriteport,
        "Sets the port of the Request-URI; an empty one takes it away.",
        None,
    );
    d.func(
        "prefix",
        ["text"],
        prefix,
        "Puts a text before the user of the Request-URI.",
    )
    .example(r#"prefix("00");"#);
    d.func(
        "strip",
        ["count"],
        strip,
        "Takes characters off the start of the user of the Request-URI.",
    )
    .example("strip(2);");
    d.func(
        "strip_tail",
        ["count"],
        strip_tail,
        "Takes characters off the end of the user of the Request-URI.",
    )
    .example("strip_tail(2);");
    d.func(
        "userphone",
        [],
        userphone,
        "Adds `user=phone` to the Request-URI where it has no `user` parameter.",
    );
    d.func(
        "revert_uri",
        [],
        revert_uri,
        "Sets the Request-URI back to what was received.",
    );
}

pub(super) fn rewriteuri(_: &Core, cx: &mut Cx, uri: Lit<Str>) -> Result<(), Fault> {
    cx.set_ruri(Str::clone(&uri))
}

pub(super) fn rewriteuser(_: &Core, cx: &mut Cx, user: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.user = user.to_vec();
        Ok(())
    })
}

fn rewriteuserpass(_: &Core, cx: &mut Cx, userpass: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.user = userpass.to_vec();
        parts.password = None;
        Ok(())
    })
}

pub(super) fn rewritehost(_: &Core, cx: &mut Cx, host: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.telephone_to_sip();
        parts.host = host.to_vec();
        Ok(())
    })
}

fn rewritehostport(_: &Core, cx: &mut Cx, hostport: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.telephone_to_sip();
        parts.host = hostport.to_vec();
        parts.port = Vec::new();
        Ok(())
    })
}

fn rewritehostporttrans(_: &Core, cx: &mut Cx, hostport: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.telephone_to_sip();
        parts.host = hostport.to_vec();
        parts.port = Vec::new();
        parts.drop_param(b"transport");
        Ok(())
    })
}

fn rewriteport(_: &Core, cx: &mut Cx, port: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        if parts.telephone {
            return Err(Fault::script("a tel: URI has no port to set"));
        }
        parts.port = port.to_vec();
        Ok(())
    })
}

fn prefix(_: &Core, cx: &mut Cx, text: Lit<Str>) -> Result<(), Fault> {
    change(cx, |parts| {
        parts.user.splice(0..0, text.iter().copied());
        Ok(())
    })
}

fn strip(_: &Core, cx: &mut Cx, count: i64) -> Result<(), Fault> {
    let count = characters(count)?;
    change(cx, |parts| {
        warn_too_long("strip", count, &parts.user);
        parts.user.drain(..count.min(parts.user.len()));
        Ok(())
    })
}

fn strip_tail(_: &Core, cx: &mut Cx, count: i64) -> Result<(), Fault> {
    let count = characters(count)?;
    change(cx, |parts| {
        warn_too_long("strip_tail", count, &parts.user);
        parts.user.truncate(parts.user.len().saturating_sub(count));
        Ok(())
    })
}

fn characters(count: i64) -> Result<usize, Fault> {
    usize::try_from(count).map_err(|_| Fault::script(format!("{count} characters cannot be taken away")))
}

fn warn_too_long(function: &str, count: usize, user: &[u8]) {
    if count > user.len() {
        let user = String::from_utf8_lossy(user);
        warning!("core", "{function}({count}) takes all of the user '{user}'.");
    }
}

fn userphone(_: &Core, cx: &mut Cx) -> Result<(), Fault> {
    let needless = cx.with_ruri(|uri| {
        uri.map(|uri| uri.has_param("user") || !matches!(uri.scheme, Scheme::Sip | Scheme::Sips))
            .unwrap_or(false)
    });
    if needless {
        return Ok(());
    }
    change(cx, |parts| {
        parts.params.extend_from_slice(b";user=phone");
        Ok(())
    })
}

fn revert_uri(_: &Core, cx: &mut Cx) {
    cx.target.ruri = None;
}

/// The pieces of a Request-URI, each to be replaced as a whole.
struct Parts {
    telephone: bool,
    scheme: Vec<u8>,
    user: Vec<u8>,
    password: Option<Vec<u8>>,
    host: Vec<u8>,
    port: Vec<u8>,
    /// Each with its semicolon.
    params: Vec<u8>,
    headers: Option<Vec<u8>>,
}

impl Parts {
    fn of(uri: &Uri<'_>) -> Parts {
        let mut params = uri.params.raw.to_vec();
        if !params.is_empty() && params.first() != Some(&b';') {
            params.insert(0, b';');
        }
        Parts {
            telephone: matches!(uri.scheme, Scheme::Tel | Scheme::Tels),
            scheme: uri.scheme_text.to_vec(),
            user: uri.user.to_vec(),
            password: uri.password.map(<[u8]>::to_vec),
            host: uri.host.to_vec(),
            port: uri.port_text.to_vec(),
            params,
            headers: uri.headers.map(<[u8]>::to_vec),
        }
    }

    /// A number becomes the user of a SIP URI once it gets a host (RFC 3261 section 19.1.6).
    fn telephone_to_sip(&mut self) {
        if !self.telephone {
            return;
        }
        self.telephone = false;
        self.scheme = match self.scheme.eq_ignore_ascii_case(b"tels") {
            true => b"sips".to_vec(),
            false => b"sip".to_vec(),
        };
        self.user.append(&mut self.params);
        self.params = b";user=phone".to_vec();
    }

    fn drop_param(&mut self, name: &[u8]) {
        let kept = self
            .params
            .split(|byte| *byte == b';')
            .filter(|param| !param.is_empty())
            .filter(|param| {
                let own = param.split(|byte| *byte == b'=').next().unwrap_or_default();
                !own.eq_ignore_ascii_case(name)
            });
        self.params = kept.flat_map(|param| [b";", param].concat()).collect();
    }

    fn into_uri(self) -> Vec<u8> {
        let mut out = self.scheme;
        out.push(b':');
        let has_user = !self.user.is_empty();
        out.extend_from_slice(&self.user);
        if !self.telephone {
            if let Some(password) = self.password.filter(|_| has_user) {
                out.push(b':');
                out.extend_from_slice(&password);
            }
            if has_user {
                out.push(b'@');
            }
            out.extend_from_slice(&self.host);
            if !self.port.is_empty() {
                out.push(b':');
                out.extend_from_slice(&self.port);
            }
        }
        out.extend_from_slice(&self.params);
        if let Some(headers) = self.headers {
            out.push(b'?');
            out.extend_from_slice(&headers);
        }
        out
    }
}

fn change(cx: &mut Cx, change: impl FnOnce(&mut Parts) -> Result<(), Fault>) -> Result<(), Fault> {
    let old = cx.ruri();
    let uri = Uri::parse(&old)
        .map_err(|error| Fault::peer(format!("the Request-URI '{old}' cannot be read: {error}")))?;
    let mut parts = Parts::of(&uri);
    change(&mut parts)?;
    cx.set_ruri(Str::from(parts.into_uri()))
}

#[cfg(test)]
mod tests {
    use kahea_module::{Arg, Value, testing::Server};

    use super::*;

    fn lit(cx: &mut Cx, text: &'static str) -> Lit<Str> {
        Lit::from_value(Some(Value::Str(Str::from_static(text))), cx).expect("a literal")
    }

    /// Runs an action on a request for `uri`.
    fn on(uri: &str, action: impl FnOnce(&mut Cx) -> Result<(), Fault>) -> Result<String, String> {
        let mut cx = Server::default().invite();
        cx.target.ruri = Some(Str::from(uri));
        action(&mut cx).map_err(|fault| fault.text.text().into_owned())?;
        Ok(cx.ruri().text().into_owned())
    }

    const FULL: &str = "sip:bob:pass@dom.example.com:5080;transport=udp;lr?h=1";

    /// As Kamailio 5.6.3 prints them.
    #[test]
    fn each_action_changes_its_part_alone() {
        let core = Core::for_tests();
        type Action = fn(&Core, &mut Cx, Lit<Str>) -> Result<(), Fault>;
        let cases: [(Action, &'static str, &str); 12] = [
            (
                rewritehost,
                "h.example.com",
                "sip:bob:pass@h.example.com:5080;transport=udp;lr?h=1",
            ),
            (
                rewritehostport,
                "1.2.3.4:5090",
                "sip:bob:pass@1.2.3.4:5090;transport=udp;lr?h=1",
            ),
            (
                rewritehostport,
                "1.2.3.4",
                "sip:bob:pass@1.2.3.4;transport=udp;lr?h=1",
            ),
            (
                rewritehostporttrans,
                "1.2.3.4:5091;transport=tls",
                "sip:bob:pass@1.2.3.4:5091;transport=tls;lr?h=1",
            ),
            (rewritehostporttrans, "1.2.3.4", "sip:bob:pass@1.2.3.4;lr?h=1"),
            (
                rewriteport,
                "5099",
                "sip:bob:pass@dom.example.com:5099;transport=udp;lr?h=1",
            ),
            (
                rewriteport,
                "",
                "sip:bob:pass@dom.example.com;transport=udp;lr?h=1",
            ),
            (
                rewriteuser,
                "joe",
                "sip:joe:pass@dom.example.com:5080;transport=udp;lr?h=1",
            ),
            (rewriteuser, "", "sip:dom.example.com:5080;transport=udp;lr?h=1"),
            (
                rewriteuserpass,
                "us:secret",
                "sip:us:secret@dom.example.com:5080;transport=udp;lr?h=1",
            ),
            (
                prefix,
                "00",
                "sip:00bob:pass@dom.example.com:5080;transport=udp;lr?h=1",
            ),
            (rewriteuri, "sip:$rU@x.com", "sip:$rU@x.com"),
        ];
        for (action, argument, wanted) in cases {
            let got = on(FULL, |cx| {
                let argument = lit(cx, argument);
                action(&core, cx, argument)
            });
            assert_eq!(got.as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn strip_takes_what_there_is() {
        let core = Core::for_tests();
        let strip = |uri, n| on(uri, |cx| strip(&core, cx, n));
        let tail = |uri, n| on(uri, |cx| strip_tail(&core, cx, n));
        assert_eq!(strip("sips:bob@[::1]", 2).as_deref(), Ok("sips:b@[::1]"));
        assert_eq!(strip("sips:bob@[::1]", 100).as_deref(), Ok("sips:[::1]"));
        assert_eq!(tail("sips:bob@[::1]", 2).as_deref(), Ok("sips:b@[::1]"));
        assert_eq!(strip("sip:127.0.0.1;x=y", 1).as_deref(), Ok("sip:127.0.0.1;x=y"));
        assert_eq!(
            strip("tel:+12345;phone-context=x", 2).as_deref(),
            Ok("tel:2345;phone-context=x")
        );
        assert_eq!(
            tail("tel:+12345;phone-context=x", 2).as_deref(),
            Ok("tel:+123;phone-context=x")
        );
        assert!(strip("sips:bob@[::1]", -1).is_err());
    }

    #[test]
    fn numbers_become_users_when_they_get_a_host() {
        let core = Core::for_tests();
        let host = on("tel:+12345;phone-context=x", |cx| {
            let host = lit(cx, "1.1.1.1");
            rewritehost(&core, cx, host)
        });
        assert_eq!(
            host.as_deref(),
            Ok("sip:+12345;phone-context=x@1.1.1.1;user=phone")
        );
        let port = on("tel:+12345", |cx| {
            let port = lit(cx, "5099");
            rewriteport(&core, cx, port)
        });
        assert!(port.is_err());
    }

    #[test]
    fn userphone_is_added_once_and_before_the_headers() {
        let core = Core::for_tests();
        let got = on(FULL, |cx| {
            userphone(&core, cx).and_then(|()| userphone(&core, cx))
        });
        let wanted = "sip:bob:pass@dom.example.com:5080;transport=udp;lr;user=phone?h=1";
        assert_eq!(got.as_deref(), Ok(wanted));
        assert_eq!(on("tel:+1", |cx| userphone(&core, cx)).as_deref(), Ok("tel:+1"));
    }

    /// Kamailio takes these and loses the Request-URI; here the old one stays.
    #[test]
    fn what_is_no_uri_is_refused() {
        let core = Core::for_tests();
        let mut cx = Server::default().invite();
        let before = cx.ruri();
        for (action, argument) in [
            (
                rewritehost as fn(&Core, &mut Cx, Lit<Str>) -> Result<(), Fault>,
                "",
            ),
            (rewriteport, "abc"),
            (rewriteuri, "bad uri"),
        ] {
            let argument = lit(&mut cx, argument);
            assert!(action(&core, &mut cx, argument).is_err());
            assert_eq!(cx.ruri(), before);
        }
        rewriteuri(&core, &mut cx, lit(&mut Server::default().invite(), "sip:x@y")).expect("a URI");
        revert_uri(&core, &mut cx);
        assert_eq!(cx.ruri(), before);
    }
}
