//! Vias: `$via0()`, `$via1()`, `$viaZ()`, and where a reply goes: `$rpl()`.

use kahea_module::{Bind, BindError, Cx, Decl, Index, Named, Naming, Str, Value};
use kahea_sip::{
    HeaderId, Transport,
    view::{Rport, Via},
};

use super::{
    Pv, address,
    text::{count, piece},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    d.var_named("via0", Naming::Required, named(|_, cx, field, _| read(cx, 0, *field)), "A part of the first Via: `host`, `port`, `proto`, `protoid`, `branch`, `rport`, `received`, `params`, `i`, `oc`, `ocval`, `ocseq`, `ocalgo` or `ocvalidity`.");
    d.var_named(
        "via1",
        Naming::Required,
        named(|_, cx, field, _| read(cx, 1, *field)),
        "A part of the second Via, as `$via0()`.",
    );
    d.var_named(
        "viaZ",
        Naming::Required,
        named(|_, cx, field, _| last(cx, *field)),
        "A part of the last Via, as `$via0()`.",
    );
    d.var_named("rpl", Naming::Required, Named { parse: Answer::parse, get: answer, set: None, raw: false }, "Where a reply goes after the second Via: `duri`, `dhost`, `dport`, `dproto`, `dprotoid`; `cntvia` and `cntrr` count Vias and Record-Routes. `$null` in requests.");
}

/// The parts of a Via.
#[derive(Clone, Copy, Debug)]
enum Field {
    Host,
    Port,
    Proto,
    ProtoId,
    Branch,
    Rport,
    Received,
    Params,
    /// A parameter (RFC 7339).
    Param(&'static str),
}

fn named(get: fn(&Pv, &mut Cx, &Field, Index) -> Value) -> Named<Pv, Field> {
    Named {
        parse: field,
        get,
        set: None,
        raw: false,
    }
}

fn field(name: &str, _: &dyn Bind) -> Result<Field, BindError> {
    Ok(match name {
        "host" => Field::Host,
        "port" => Field::Port,
        "proto" => Field::Proto,
        "protoid" => Field::ProtoId,
        "branch" => Field::Branch,
        "rport" => Field::Rport,
        "received" => Field::Received,
        "params" => Field::Params,
        "i" => Field::Param("i"),
        "oc" | "ocval" | "oc-val" => Field::Param("oc"),
        "ocseq" | "oc-seq" => Field::Param("oc-seq"),
        "ocalgo" | "oc-algo" => Field::Param("oc-algo"),
        "ocvalidity" | "oc-validity" => Field::Param("oc-validity"),
        _ => {
            return Err(BindError::new(format!("a Via has no part '{name}'")).help(
                "use host, port, proto, protoid, branch, rport, received, params, i, oc, ocval, ocseq, ocalgo or ocvalidity",
            ));
        }
    })
}

fn read(cx: &Cx, at: usize, field: Field) -> Value {
    let hop = cx.msg.vias().nth(at);
    hop.map_or(Value::Null, |hop| part(cx, cx.msg.bytes(hop.span), field))
}

fn last(cx: &Cx, field: Field) -> Value {
    let hop = cx.msg.vias().last();
    hop.map_or(Value::Null, |hop| part(cx, cx.msg.bytes(hop.span), field))
}

fn part(cx: &Cx, hop: &[u8], field: Field) -> Value {
    let Ok(via) = Via::parse(hop) else {
        return Value::Null;
    };
    let text = |text: Option<&[u8]>| text.map_or(Value::Null, |text| piece(cx, text));
    match field {
        Field::Host => piece(cx, via.host),
        Field::Port => via.port.unwrap_or(5060).into(),
        Field::Proto => piece(cx, via.transport_text),
        Field::ProtoId => Value::Int(via.transport.number()),
        Field::Branch => text(via.branch()),
        Field::Rport => text(via.params.value("rport").filter(|port| !port.is_empty())),
        Field::Received => text(via.received()),
        Field::Params => text(Some(via.params.raw).filter(|params| !params.is_empty())),
        Field::Param(name) => text(via.params.value(name)),
    }
}

/// Where a reply goes.
pub struct ReplyHop {
    /// `received`, or the host of `sent-by`.
    pub host: Str,
    /// `rport`, or the port of `sent-by`.
    pub port: u16,
    /// The transport of the Via.
    pub transport: Transport,
}

impl ReplyHop {
    /// As a SIP URI; the transport is always stated.
    pub fn uri(&self) -> String {
        address::uri(self.transport, &self.host.text(), self.port, true)
    }
}

/// The address in the second Via of a reply.
pub fn reply_destination(cx: &Cx) -> Option<ReplyHop> {
    let hop = cx.msg.is_reply().then(|| cx.msg.vias().nth(1)).flatten()?;
    let via = Via::parse(cx.msg.bytes(hop.span)).ok()?;
    let port = match via.rport() {
        Some(Rport::Port(port)) => port,
        _ => via.port.unwrap_or_else(|| via.transport.default_port()),
    };
    Some(ReplyHop {
        host: cx.msg.buffer().share(via.received().unwrap_or(via.host)),
        port,
        transport: via.transport,
    })
}

/// The parts of `$rpl()`.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Uri,
    Host,
    Port,
    Proto,
    ProtoId,
    Vias,
    RecordRoutes,
}

impl Answer {
    fn parse(name: &str, _: &dyn Bind) -> Result<Answer, BindError> {
        Ok(match name {
            "duri" => Answer::Uri,
            "dhost" => Answer::Host,
            "dport" => Answer::Port,
            "dproto" => Answer::Proto,
            "dprotoid" => Answer::ProtoId,
            "cntvia" => Answer::Vias,
            "cntrr" => Answer::RecordRoutes,
            _ => {
                return Err(BindError::new(format!("$rpl() has no part '{name}'"))
                    .help("use duri, dhost, dport, dproto, dprotoid, cntvia or cntrr"));
            }
        })
    }
}

fn answer(_: &Pv, cx: &mut Cx, part: &Answer, _: Index) -> Value {
    if cx.msg.is_request() {
        return Value::Null;
    }
    match part {
        Answer::Vias => count(cx.msg.vias().count()),
        Answer::RecordRoutes => count(super::headers::list_length(cx, HeaderId::RecordRoute)),
        part => reply_destination(cx).map_or(Value::Null, |hop| match part {
            Answer::Uri => Value::from(hop.uri()),
            Answer::Host => Value::Str(hop.host),
            Answer::Port => hop.port.into(),
            Answer::Proto => Value::from(hop.transport.name()),
            _ => Value::Int(hop.transport.number()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    const REPLY: &str = "SIP/2.0 183 Session Progress
Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK776;oc=20;oc-algo=\"loss\", SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKabc;received=10.9.9.9;rport=77
Record-Route: <sip:a;lr>, <sip:b;lr>
CSeq: 5 INVITE

";

    #[test]
    fn hops_are_found_by_place() {
        let cx = Server::default().message(REPLY);
        let field = |name: &str| super::field(name, &FakeBind::default()).expect("a part");
        assert_eq!(read(&cx, 0, field("port")), Value::Int(5060));
        assert_eq!(read(&cx, 0, field("oc")), Value::from("20"));
        assert_eq!(read(&cx, 0, field("ocseq")), Value::Null);
        assert_eq!(read(&cx, 1, field("proto")), Value::from("TCP"));
        assert_eq!(last(&cx, field("rport")), Value::from("77"));
        assert_eq!(read(&cx, 2, field("host")), Value::Null);
    }

    #[test]
    fn a_reply_goes_to_the_second_via() {
        let mut cx = Server::default().message(REPLY);
        let mut get = |part| answer(&Pv::default(), &mut cx, &part, Index::None);
        assert_eq!(get(Answer::Uri), Value::from("sip:10.9.9.9:77;transport=tcp"));
        assert_eq!(get(Answer::ProtoId), Value::Int(2));
        assert_eq!(get(Answer::Vias), Value::Int(2));
        assert_eq!(get(Answer::RecordRoutes), Value::Int(2));
        let mut request = Server::default().invite();
        assert_eq!(
            answer(&Pv::default(), &mut request, &Answer::Vias, Index::None),
            Value::Null
        );
    }
}
