//! Module `xhttp`: HTTP beside SIP on the same ports, answered by `event_route[xhttp:request]`.
//!
//! `tcp_accept_no_cl` is not needed for it here: HTTP without a length has no body (RFC 9112 section 6.3). Framing and
//! what is refused are in [`kahea_sip::http`].

use std::sync::Arc;

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, Given, InitError, Module, REQUEST, RouteId, Str, TransformKind, Value, proxy,
};

use crate::request::{Gate, as_sip, enter, in_turn};

/// The module.
pub struct Xhttp;

/// Its parameters.
#[derive(Default)]
pub struct Params {
    url_match: Option<Str>,
    url_skip: Option<Str>,
    event_callback: Option<Str>,
}

/// The route of requests.
pub const ROUTE: &str = "xhttp:request";

impl Module for Xhttp {
    const NAME: &'static str = "xhttp";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        let doc = "The event route runs only for targets that this regular expression matches.";
        d.param("url_match", |p| &mut p.url_match, doc);
        let doc = "The event route does not run for targets that this regular expression matches.";
        d.param("url_skip", |p| &mut p.url_skip, doc);
        let doc = "The function of an embedded language that takes requests in the place of event_route[xhttp:request].";
        d.param("event_callback", |p| &mut p.event_callback, doc);
        let doc = "Answers the HTTP request in work; empty content types are left out.";
        d.func("xhttp_reply", ["code", "reason", "ctype", "body"], reply, doc)
            .routes(REQUEST | EVENT)
            .kemi(4, "xhttp_reply")
            .example(r#"xhttp_reply("200", "OK", "text/html", "<html><body>$si:$sp</body></html>");"#);
        d.kemi_func(
            "xhttp",
            "get_hu",
            [],
            give_target,
            "The target of the HTTP request.",
        );
        d.var(
            "hu",
            |_, cx, _| target(cx),
            "The target of the HTTP request, as the client wrote it.",
        );
        transformations(d);
        d.event(ROUTE, "For each HTTP request that comes over a SIP port.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let gate = Gate::new(params.url_match.as_ref(), params.url_skip.as_ref())?;
        let route = callback(env, params.event_callback.as_ref())?;
        env.hooks.take_http.push(Arc::new(move |mut cx| {
            if !gate.takes(&cx) {
                return Some(cx);
            }
            if let Err(fault) = as_sip(&mut cx, None) {
                kahea_module::info!("xhttp", "Dropped an HTTP request: {fault}.");
                cx.finish();
                return None;
            }
            enter(&mut cx, ROUTE);
            in_turn(cx, route);
            None
        }));
        Ok(Xhttp)
    }
}

fn transformations(d: &mut Decl<Xhttp>) {
    d.transform(
        "url",
        "path",
        &[],
        TransformKind::Args(0, 0, |_, value, _| part(value, |url| url.0)),
        "The path of a target: what stands before the question mark.",
    );
    d.transform(
        "url",
        "querystring",
        &[],
        TransformKind::Args(0, 0, |_, value, _| part(value, |url| url.1)),
        "The query of a target: what stands behind the question mark.",
    );
}

/// A part of a target, path and query.
fn part(value: Value, choose: for<'a> fn((&'a [u8], &'a [u8])) -> &'a [u8]) -> Value {
    let Value::Str(text) = value else {
        return Value::Null;
    };
    let at = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
    let (path, rest) = text.split_at_checked(at).unwrap_or_default();
    Value::Str(text.share(choose((path, rest.get(1..).unwrap_or_default()))))
}

/// The event route, or the function of an embedded language.
fn callback(env: &Env<'_>, function: Option<&Str>) -> Result<RouteId, InitError> {
    let event = || {
        env.event_route(ROUTE).ok_or_else(|| {
            InitError::new(format!("there is no event_route[{ROUTE}]"))
                .help("write one, or do not load the module")
        })
    };
    match function.filter(|name| !name.is_empty()) {
        None => event(),
        Some(name) => match env.bind.route(kahea_module::RouteKind::Event, &name.text()) {
            Some(route) => Ok(route),
            None => event().map_err(|_| {
                InitError::new(format!(
                    "event_callback {name} is no function of an embedded language"
                ))
            }),
        },
    }
}

fn target(cx: &Cx) -> Value {
    match cx.msg.uri() {
        Some(uri) if cx.msg.is_http() => Value::Str(cx.msg.buffer().share(uri)),
        _ => Value::Null,
    }
}

fn give_target(_: &Xhttp, cx: &mut Cx) -> bool {
    let value = target(cx);
    Given::set(cx, value);
    true
}

/// `xhttp_reply(code, reason, ctype, body)`.
fn reply(_: &Xhttp, cx: &mut Cx, code: i64, reason: Str, ctype: Str, body: Str) -> Result<bool, Fault> {
    let status = u16::try_from(code)
        .ok()
        .filter(|code| (100..=700).contains(code))
        .ok_or_else(|| Fault::script(format!("xhttp_reply(): {code} is no status from 100 to 700")))?;
    if reason.is_empty() {
        return Err(Fault::script("xhttp_reply(): the reason is empty"));
    }
    if !cx.msg.is_http() {
        return Err(Fault::script("xhttp_reply(): the message is not HTTP"));
    }
    let split = |text: &Str| text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if split(&reason) || split(&ctype) {
        return Err(Fault::script(
            "xhttp_reply(): reason and content type have no line ends",
        ));
    }
    proxy::http::respond(cx, status, &reason, &ctype, body).map(|()| true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn targets_have_a_path_and_a_query() {
        let of = |text: &str| {
            let value = || Value::Str(text.into());
            (part(value(), |url| url.0), part(value(), |url| url.1))
        };
        let texts = |path: &str, query: &str| (Value::Str(path.into()), Value::Str(query.into()));
        assert_eq!(of("/a/b?c=d&e?f"), texts("/a/b", "c=d&e?f"));
        assert_eq!((of("/a"), of("/a?")), (texts("/a", ""), texts("/a", "")));
        assert_eq!(part(Value::Int(5), |url| url.0), Value::Null);
    }

    #[test]
    fn replies_are_checked() {
        let server = Server::default();
        let get = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        let call = |code, reason: &str, ctype: &str| {
            let mut cx = server.message(get);
            reply(&Xhttp, &mut cx, code, reason.into(), ctype.into(), "x".into())
        };
        assert!(call(200, "OK", "text/plain").is_ok() && call(700, "Odd", "").is_ok());
        assert!(call(99, "OK", "").is_err() && call(701, "OK", "").is_err() && call(200, "", "").is_err());
        assert!(call(200, "OK\r\nX: y", "").is_err() && call(200, "OK", "a\nb").is_err());
        let mut invite = server.invite();
        assert!(reply(&Xhttp, &mut invite, 200, "OK".into(), Str::EMPTY, Str::EMPTY).is_err());
        assert_eq!(target(&invite), Value::Null);
        assert_eq!(target(&server.message(get)), Value::Str("/a".into()));
    }
}
