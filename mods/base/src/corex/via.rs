//! What the Via of this server gets besides the usual.

use kahea_module::{Cx, Decl, Fault, MessageFlags};

use super::Corex;

/// Declares the functions.
pub fn declare(d: &mut Decl<Corex>) {
    d.func(
        "via_add_srvid",
        ["on"],
        |_: &Corex, cx: &mut Cx, on: i64| switch(cx, MessageFlags::ADD_SRVID, on),
        "Whether this server's Via gets `srvid` with the value of `server_id`, where that is not 0.",
    )
    .kemi(1, "via_add_srvid");
    d.func(
        "via_add_xavp_params",
        ["on"],
        |_: &Corex, cx: &mut Cx, on: i64| switch(cx, MessageFlags::ADD_XAVP_VIA_PARAMS, on),
        "Whether this server's Via gets the fields of the xavp that `xavp_via_params` names as parameters.",
    )
    .kemi(1, "via_add_xavp_params");
    d.func(
        "via_use_xavp_fields",
        ["on"],
        |_: &Corex, cx: &mut Cx, on: i64| switch(cx, MessageFlags::USE_XAVP_VIA_FIELDS, on),
        "Whether address and port of this server's Via come from the fields of the xavp that `xavp_via_fields` names.",
    )
    .kemi(1, "via_use_xavp_fields");
    d.func(
        "via_reply_add_xavp_params",
        ["on"],
        |_: &Corex, cx: &mut Cx, on: i64| switch(cx, MessageFlags::ADD_XAVP_VIA_REPLY_PARAMS, on),
        "Whether the topmost Via of replies gets the fields of the xavp that `xavp_via_reply_params` names as parameters.",
    )
    .kemi(1, "via_reply_add_xavp_params");
}

fn switch(cx: &mut Cx, flag: MessageFlags, on: i64) -> Result<bool, Fault> {
    cx.iflags.set(flag, on != 0);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{
        Str, proxy,
        testing::Server,
        xavp::{XValue, Xavps},
    };
    use kahea_sip::Transport;

    fn via(server: &Server, cx: &Cx) -> String {
        let mut out = Vec::new();
        let listener = &server.worker.config.identity.listeners[0];
        proxy::own_via(cx, listener, Transport::Udp, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_via_gets_what_was_asked_for() {
        let server = Server::new(|config| {
            config.globals.server_id = 7;
            config.globals.xavp_via_params = Some(Str::from("p"));
            config.globals.xavp_via_fields = Some(Str::from("f"));
        });
        let mut cx = server.invite();
        let mut params = Xavps::new();
        params.add(Str::from("one"), XValue::Str(Str::from("1")));
        cx.xavps.add(Str::from("p"), XValue::List(params));
        let mut fields = Xavps::new();
        fields.add(Str::from("address"), XValue::Str(Str::from("10.10.10.10")));
        fields.add(Str::from("port"), XValue::Str(Str::from("5099")));
        cx.xavps.add(Str::from("f"), XValue::List(fields));
        assert!(via(&server, &cx).starts_with("Via: SIP/2.0/UDP 127.0.0.1;branch="));
        for flag in [
            MessageFlags::ADD_SRVID,
            MessageFlags::ADD_XAVP_VIA_PARAMS,
            MessageFlags::USE_XAVP_VIA_FIELDS,
        ] {
            assert_eq!(switch(&mut cx, flag, 1), Ok(true));
        }
        let text = via(&server, &cx);
        assert!(
            text.starts_with("Via: SIP/2.0/UDP 10.10.10.10:5099;branch="),
            "{text}"
        );
        assert!(text.contains(";srvid=7") && text.contains(";one=1"), "{text}");
        assert_eq!(switch(&mut cx, MessageFlags::ADD_SRVID, 0), Ok(true));
        assert!(!via(&server, &cx).contains("srvid"));
    }

    #[test]
    fn replies_get_parameters_too() {
        let server = Server::new(|config| config.globals.xavp_via_reply_params = Some(Str::from("r")));
        let mut cx = server.invite();
        let mut params = Xavps::new();
        params.add(Str::from("myval"), XValue::Str(Str::from("xyz")));
        cx.xavps.add(Str::from("r"), XValue::List(params));
        switch(&mut cx, MessageFlags::ADD_XAVP_VIA_REPLY_PARAMS, 1).unwrap();
        proxy::reply_to(&mut cx, 404, b"Not Found").unwrap();
        let text = server.net.sent.borrow()[0].1.text().into_owned();
        let line = text.lines().find(|line| line.starts_with("Via:")).unwrap();
        assert!(line.ends_with(";myval=xyz"), "{line}");
    }
}
