//! Destination, "myself", texts into variables, the log level of a worker.

use kahea_module::{ArgKind, Cx, Decl, Fault, Str, Value, VarRef, log};
use kahea_sip::{Transport, view::Uri};

use super::Kex;

/// Declares the functions.
pub fn declare(d: &mut Decl<Kex>) {
    d.func(
        "setdsturi",
        ["uri"],
        setdsturi,
        "Sets where the request is sent to, as an assignment to $du does.",
    )
    .example("setdsturi(\"sip:10.0.0.10\");");
    d.func("resetdsturi", [], resetdsturi, "Takes the destination URI away.");
    d.func("isdsturiset", [], isdsturiset, "True where a destination URI is set.");
    for name in ["pv_printf", "avp_printf"] {
        d.func(
            name,
            ["variable", "text"],
            pv_printf,
            "Evaluates a text with variables and assigns it to a variable.",
        )
        .example("pv_printf(\"$var(x)\", \"called\");");
    }
    for name in ["is_myself", "is_myhost"] {
        let run = if name == "is_myself" { is_myself } else { is_myhost };
        d.func(
            name,
            ["uri"],
            run,
            "True where a URI or host is this server; is_myhost() looks at the host alone, without port and transport.",
        )
        .example("is_myself(\"127.0.0.1\");");
    }
    d.func(
        "setdebug",
        ["level"],
        setdebug,
        "Sets the log level of this worker alone.",
    )
    .kemi(1, "setdebug");
    d.func(
        "resetdebug",
        [],
        resetdebug,
        "Gives this worker the log level of the configuration back.",
    )
    .kemi(0, "resetdebug");
}

fn setdsturi(_: &Kex, cx: &mut Cx, uri: Str) -> bool {
    cx.target.dst_uri = (!uri.is_empty()).then_some(uri);
    true
}

fn resetdsturi(_: &Kex, cx: &mut Cx) -> bool {
    cx.target.dst_uri = None;
    true
}

fn isdsturiset(_: &Kex, cx: &mut Cx) -> bool {
    cx.target.dst_uri.is_some()
}

fn pv_printf(_: &Kex, cx: &mut Cx, variable: VarRef, text: PrintText) -> Result<bool, Fault> {
    let text = text.0.text(cx);
    cx.spend_bytes(text.len())?;
    variable.set(cx, Value::Str(text))?;
    Ok(true)
}

fn is_myself(_: &Kex, cx: &mut Cx, uri: Str) -> bool {
    ours(cx, &uri, true)
}

fn is_myhost(_: &Kex, cx: &mut Cx, uri: Str) -> bool {
    ours(cx, &uri, false)
}

fn ours(cx: &Cx, uri: &Str, whole: bool) -> bool {
    let identity = &cx.config().identity;
    let has_scheme = uri
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"sip:") || start.eq_ignore_ascii_case(b"sips"));
    if !has_scheme {
        return !uri.is_empty() && identity.is_myself(uri, 0, Transport::None);
    }
    match Uri::parse(uri) {
        Ok(uri) if whole => identity.is_myself(uri.host, uri.port.unwrap_or(0), uri.transport()),
        Ok(uri) => identity.is_myself(uri.host, 0, Transport::None),
        Err(_) => false,
    }
}

fn setdebug(_: &Kex, _: &mut Cx, level: i64) -> bool {
    log::set_local_level(Some(level));
    true
}

fn resetdebug(_: &Kex, _: &mut Cx) -> bool {
    log::set_local_level(None);
    true
}
