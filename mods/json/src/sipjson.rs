//! Module `sipjson`: what is known of a message, as one JSON object whose members bear the names of variables.

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Str, Value, Var};
use kahea_sip::{HeaderId, view::Uri};

use crate::document::{Style, escaped};

/// The module. It keeps nothing.
pub struct SipJson;

impl Module for SipJson {
    const NAME: &'static str = "sipjson";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        d.func(
            "sj_serialize",
            ["groups", "result"],
            |_: &SipJson, cx: &mut Cx, groups: Str, result: Var| serialize(cx, &groups, &result),
            "Writes the message's attributes as an object; B adds the body, c the CSeq number, t the To URI, 0 nothing.",
        )
        .kemi(2, "sj_serialize")
        .example("sj_serialize(\"0B\", \"$var(json)\");");
    }

    fn init((): (), _: &mut Env<'_>) -> Result<SipJson, InitError> {
        Ok(SipJson)
    }
}

fn serialize(cx: &mut Cx, groups: &Str, result: &Var) -> Result<bool, Fault> {
    if groups.is_empty() {
        return Err(Fault::script(
            "sj_serialize() needs its groups: write \"0\" for none",
        ));
    }
    let mut out = Object::new();
    out.usual(cx);
    for group in groups.iter() {
        match group {
            b'B' => out.text("rb", cx.msg.body()),
            b'c' => {
                let number = cx.msg.cseq().map_or(0, |(number, _)| number);
                out.text("cs", number.to_string().as_bytes());
            }
            b't' => {
                let (user, domain) = parts(cx.to().map(|to| to.uri).unwrap_or_default());
                out.text("tU", user);
                out.text("td", domain);
            }
            _ => {}
        }
    }
    let text = out.end();
    cx.spend_bytes(text.len())?;
    result.set(cx, Value::Str(text))?;
    Ok(true)
}

/// User and host of a URI; both empty where it has none.
fn parts(uri: &[u8]) -> (&[u8], &[u8]) {
    Uri::parse(uri).map_or_else(|_| Default::default(), |uri| (uri.user, uri.host))
}

/// An object as it is written.
struct Object(Vec<u8>);

impl Object {
    fn new() -> Object {
        Object(Vec::with_capacity(512))
    }

    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, text: &[u8]) {
        self.name(name);
        self.0.push(b'"');
        // Bytes that are no UTF-8 are no JSON.
        escaped(
            String::from_utf8_lossy(text).as_bytes(),
            Style::Compact,
            &mut self.0,
        );
        self.0.push(b'"');
    }

    fn number(&mut self, name: &str, n: u32) {
        self.name(name);
        self.0.extend_from_slice(n.to_string().as_bytes());
    }

    fn end(mut self) -> Str {
        self.0.push(b'}');
        Str::from(self.0)
    }

    /// What is there without being asked for.
    fn usual(&mut self, cx: &Cx) {
        let reply = cx.msg.status();
        // The other way round than $mt, as Kamailio has it.
        self.number("mt", if reply.is_some() { 1 } else { 2 });

        self.text("rm", cx.msg.method_text());
        let (from, at) = (cx.received.source, cx.received.local);
        self.text("pr", cx.received.transport.to_string().as_bytes());
        self.text("si", from.ip().to_string().as_bytes());
        self.number("sp", from.port().into());
        self.text("Ri", at.ip().to_string().as_bytes());
        self.number("Rp", at.port().into());
        let uri = cx.ruri();
        let (user, domain) = parts(&uri);
        self.text("ru", &uri);
        self.text("rU", user);
        self.text("rd", domain);
        let port = Uri::parse(&uri).ok().and_then(|uri| uri.port);
        self.number("rp", port.unwrap_or(0).into());
        self.number("rs", reply.unwrap_or(0).into());
        self.text("rr", cx.msg.reason().unwrap_or_default());
        let (user, domain) = parts(cx.from().map(|from| from.uri).unwrap_or_default());
        self.text("fU", user);
        self.text("fd", domain);
        let agent = cx.msg.first(HeaderId::UserAgent);
        self.text("ua", agent.map_or(&b""[..], |header| cx.msg.value(header)));
        self.text("ci", cx.msg.call_id().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn a_reply_shows_its_status() {
        let cx = Server::default()
            .message("SIP/2.0 486 Busy \"x\"\nCSeq: 7 INVITE\nTo: <sip:b@h2>\nFrom: \"q\" <sip:a@h1>;tag=1\nCall-ID: c\n\n");
        let mut out = Object::new();
        out.usual(&cx);
        let text = out.end();
        assert!(
            text.text()
                .contains("\"rs\":486,\"rr\":\"Busy \\\"x\\\"\",\"fU\":\"a\",\"fd\":\"h1\""),
            "{text}"
        );
    }

    #[test]
    fn bytes_that_are_no_text_do_not_break_the_object() {
        let mut out = Object::new();
        out.text("rb", b"a\xff\x01\"");
        assert_eq!(out.end().text(), "{\"rb\":\"a\u{fffd}\\u0001\\\"\"}");
    }
}
