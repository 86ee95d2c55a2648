//! Module `xmlrpc`: commands over XML-RPC on SIP's stream ports.

mod document;

use std::sync::Arc;

use kahea_module::{
    BindError, Cx, Decl, EVENT, Env, Fault, InitError, Module, Named, Naming, REQUEST, Ret, RouteId,
    RouteKind, Str, Value, proxy,
    rpc::{self, RpcAnswer, RpcFault, RpcValue, RpcVia},
};

use self::document::{Request, Style};
use crate::request::{Gate, as_sip, in_turn};

/// The module.
pub struct Xmlrpc {
    convert: bool,
    style: Style,
}

/// Its parameters.
pub struct Params {
    route: Option<Str>,
    autoconversion: bool,
    escape_cr: bool,
    double_lf_to_crlf: bool,
    mode: i64,
    url_match: Option<Str>,
    url_skip: Option<Str>,
    event_callback: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            route: None,
            autoconversion: false,
            escape_cr: true,
            double_lf_to_crlf: false,
            mode: 0,
            url_match: None,
            url_skip: None,
            event_callback: None,
        }
    }
}

/// A target that functions of SIP can read.
const TARGET: &[u8] = b"sip:127.0.0.1:9";

impl Module for Xmlrpc {
    const NAME: &'static str = "xmlrpc";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        let doc = "Runs the command that the body of the HTTP request names, and answers it.";
        d.func("dispatch_rpc", [], dispatch, doc)
            .routes(REQUEST | EVENT)
            .kemi(0, "dispatch_rpc")
            .waits();
        let doc =
            "Answers the HTTP request without a command: a fault from code 300 on, below that the number 1.";
        d.func("xmlrpc_reply", ["code", "reason"], reply, doc)
            .routes(REQUEST | EVENT)
            .kemi(2, "xmlrpc_reply");
        let part = Named {
            parse: |name, _| match name {
                "method" => Ok(()),
                _ => Err(BindError::new(format!("$xmlrpc has no {name}")).help("it has method")),
            },
            get: |_: &Xmlrpc, cx: &mut Cx, (): &(), _| method(cx),
            set: None,
            raw: false,
        };
        let doc = "Of the request of XML-RPC in the body: method. The selects @xmlrpc.method read it.";
        d.var_named("xmlrpc", Naming::Required, part, doc);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.mode == 0 {
            let gate = Gate::new(params.url_match.as_ref(), params.url_skip.as_ref())?;
            let (kind, route) = route(&params, env)?;
            env.hooks
                .take_http
                .push(Arc::new(move |cx| take(cx, &gate, kind, route)));
        }
        Ok(Xmlrpc {
            convert: params.autoconversion,
            style: Style {
                escape_cr: params.escape_cr,
                double_lf: params.double_lf_to_crlf,
            },
        })
    }
}

fn params(d: &mut Decl<Xmlrpc>) {
    let doc = "The route of requests; request_route where it is not given.";
    d.param("route", |p| &mut p.route, doc);
    let doc = "Arguments of another type than the command expects are converted.";
    d.param("autoconversion", |p| &mut p.autoconversion, doc);
    let doc = "A CR in an answer is written as &#xD;, since readers of XML drop others.";
    d.param("escape_cr", |p| &mut p.escape_cr, doc);
    let doc = "Two LF in a text argument become CR LF, for clients that cannot send CR.";
    d.param("double_lf_to_crlf", |p| &mut p.double_lf_to_crlf, doc);
    let doc = "1: requests are not taken; the script calls dispatch_rpc() in event_route[xhttp:request].";
    d.param("mode", |p| &mut p.mode, doc);
    let doc = "Requests are taken only for targets that this regular expression matches.";
    d.param("url_match", |p| &mut p.url_match, doc);
    let doc = "Requests are not taken for targets that this regular expression matches.";
    d.param("url_skip", |p| &mut p.url_skip, doc);
    let doc = "The function of an embedded language that takes requests in the place of the route.";
    d.param("event_callback", |p| &mut p.event_callback, doc);
}

fn route(params: &Params, env: &Env<'_>) -> Result<(RouteKind, RouteId), InitError> {
    if let Some(name) = params.event_callback.as_ref().filter(|name| !name.is_empty()) {
        let found = env.event_route(&name.text());
        return found.map(|route| (RouteKind::Event, route)).ok_or_else(|| {
            InitError::new(format!(
                "event_callback {name} is no function of an embedded language"
            ))
        });
    }
    let found = match &params.route {
        Some(name) => env.bind.route(RouteKind::Request, &name.text()),
        None => env.bind.route(RouteKind::Request, ""),
    };
    found.map(|route| (RouteKind::Request, route)).ok_or_else(|| {
        let name = params
            .route
            .as_ref()
            .map_or_else(|| "request_route".into(), |name| format!("route[{name}]"));
        InitError::new(format!("there is no {name}")).help("name one in the parameter route")
    })
}

fn take(mut cx: Cx, gate: &Gate, kind: RouteKind, route: RouteId) -> Option<Cx> {
    if !matches!(cx.msg.method_text(), b"GET" | b"POST") || !gate.takes(&cx) {
        return Some(cx);
    }
    if let Err(fault) = as_sip(&mut cx, Some(TARGET)) {
        kahea_module::info!("xmlrpc", "Dropped an HTTP request: {fault}.");
        cx.finish();
        return None;
    }
    cx.route = kind;
    in_turn(cx, route);
    None
}

fn method(cx: &mut Cx) -> Value {
    let read = document::read(cx.msg.body(), Style::default());
    read.map_or(Value::Null, |request| Value::Str(request.method.into()))
}

/// `dispatch_rpc()`.
fn dispatch(m: &Xmlrpc, cx: &mut Cx) -> Result<Ret, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("dispatch_rpc(): the message is not HTTP"));
    }
    let style = m.style;
    let request = match document::read(cx.msg.body(), style) {
        Ok(request) => request,
        Err(error) => {
            kahea_module::info!("xmlrpc", "A request that is none: {error}.");
            let fault = RpcFault::new(400, "Invalid XML-RPC Document");
            return respond(cx, Err(fault), style).map(Ret::from);
        }
    };
    let Request { method, args } = request;
    // No command has a signature: their arguments differ from call to call.
    if method == "system.methodSignature" {
        let fault = RpcFault::new(500, "Not Implemented Yet");
        return respond(cx, Err(fault), style).map(Ret::from);
    }
    let order = (method, args, RpcVia::Xml { convert: m.convert });
    Ok(rpc::run_for(cx, order, move |cx, done| {
        let done = done.ok_or_else(|| RpcFault::new(500, "Method Not Found"));
        respond(cx, done, style).into()
    }))
}

fn respond(cx: &mut Cx, done: Result<RpcAnswer, RpcFault>, style: Style) -> Result<bool, Fault> {
    let document = match done {
        Ok(RpcAnswer {
            result: Ok(values),
            list,
        }) => document::answer(&values, list, style),
        Ok(RpcAnswer {
            result: Err(fault), ..
        })
        | Err(fault) => document::fault(&fault, style),
    };
    proxy::http::respond(cx, 200, b"OK", b"", document).map(|()| true)
}

/// `xmlrpc_reply(code, reason)`.
fn reply(m: &Xmlrpc, cx: &mut Cx, code: i64, reason: Str) -> Result<bool, Fault> {
    if !cx.msg.is_http() {
        return Err(Fault::script("xmlrpc_reply(): the message is not HTTP"));
    }
    let done = match code {
        300.. => Err(RpcFault::new(code, reason)),
        _ => Ok(RpcAnswer {
            result: Ok(vec![RpcValue::Int(1)]),
            list: false,
        }),
    };
    respond(cx, done, m.style)
}
