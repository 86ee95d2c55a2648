//! Destination, "myself", texts into variables, the log level of a worker.

use kahea_module::{Cx, Decl, Fault, Format, Str, Value, VarRef, log};
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
    d.func(
        "isdsturiset",
        [],
        isdsturiset,
        "True where a destination URI is set.",
    );
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

fn pv_printf(_: &Kex, cx: &mut Cx, variable: VarRef, text: Format) -> Result<bool, Fault> {
    let text = text.text(cx);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kex::tests::kex;
    use kahea_module::{config::Alias, testing::Server};

    #[test]
    fn the_destination_can_be_set_and_taken_away() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        assert!(!isdsturiset(&kex, &mut cx));
        assert!(setdsturi(&kex, &mut cx, Str::from("sip:10.0.0.10")) && isdsturiset(&kex, &mut cx));
        assert!(resetdsturi(&kex, &mut cx) && !isdsturiset(&kex, &mut cx));
    }

    #[test]
    fn texts_are_evaluated_into_variables() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        let bind = cx.bind();
        let (from, to) = (bind.var("$var(a)").unwrap(), bind.var("$var(b)").unwrap());
        from.set(&mut cx, Value::from("bob")).unwrap();
        let text = bind.format("user $var(a)").unwrap();
        assert_eq!(pv_printf(&kex, &mut cx, to.clone(), text), Ok(true));
        assert_eq!(to.get(&mut cx), Value::from("user bob"));
    }

    #[test]
    fn myself_compares_what_the_uri_states() {
        let server = Server::new(|config| {
            config.identity.aliases.push(Alias {
                transport: Transport::None,
                host: Str::from("alias.example.com"),
                port: 0,
            });
        });
        let (kex, mut cx) = (kex(), server.invite());
        let mut is = |uri: &str| is_myself(&kex, &mut cx, Str::from(uri));
        for uri in [
            "127.0.0.1",
            "sip:127.0.0.1",
            "sip:127.0.0.1:5060",
            "sip:x@alias.example.com",
            "alias.example.com",
            "sips:127.0.0.1",
            "sip:127.0.0.1:5060;transport=udp",
        ] {
            assert!(is(uri), "{uri}");
        }
        for uri in [
            "127.0.0.2",
            "sip:127.0.0.1:5061",
            "sip:127.0.0.1;transport=tcp",
            "tel:123",
            "",
            "<sip:127.0.0.1>",
            "127.0.0.1:5060",
            "sip:",
        ] {
            assert!(!is(uri), "{uri}");
        }
        assert!(is_myhost(
            &kex,
            &mut cx,
            Str::from("sip:127.0.0.1:5061;transport=tcp")
        ));
    }

    #[test]
    fn the_level_of_this_worker_can_differ() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        let before = log::level();
        assert!(setdebug(&kex, &mut cx, 3));
        assert_eq!(log::level(), 3);
        assert!(resetdebug(&kex, &mut cx));
        assert_eq!(log::level(), before);
    }
}
