//! `KSR.is_INVITE()` and its like: what the message is and how it came.

use std::net::SocketAddr;

use kahea_module::{Cx, Decl, Str};
use kahea_sip::{Method, Transport};

use crate::core_module::Core;

const METHODS: [(&str, Method, &str); 19] = [
    ("is_INVITE", Method::Invite, "The method is INVITE."),
    ("is_ACK", Method::Ack, "The method is ACK."),
    ("is_BYE", Method::Bye, "The method is BYE."),
    ("is_CANCEL", Method::Cancel, "The method is CANCEL."),
    ("is_REGISTER", Method::Register, "The method is REGISTER."),
    ("is_OPTIONS", Method::Options, "The method is OPTIONS."),
    ("is_SUBSCRIBE", Method::Subscribe, "The method is SUBSCRIBE."),
    ("is_PUBLISH", Method::Publish, "The method is PUBLISH."),
    ("is_NOTIFY", Method::Notify, "The method is NOTIFY."),
    ("is_REFER", Method::Refer, "The method is REFER."),
    ("is_INFO", Method::Info, "The method is INFO."),
    ("is_UPDATE", Method::Update, "The method is UPDATE."),
    ("is_PRACK", Method::Prack, "The method is PRACK."),
    ("is_MESSAGE", Method::Message, "The method is MESSAGE."),
    ("is_KDMQ", Method::Kdmq, "The method is KDMQ."),
    ("is_GET", Method::Get, "The method is GET."),
    ("is_POST", Method::Post, "The method is POST."),
    ("is_PUT", Method::Put, "The method is PUT."),
    ("is_DELETE", Method::Delete, "The method is DELETE."),
];

/// `is_` name, `to_` name, transports, and the sentence about each.
const TRANSPORTS: [(&str, &str, &[Transport], &str, &str); 7] = [
    (
        "is_UDP",
        "to_UDP",
        &[Transport::Udp],
        "The message came over UDP.",
        "The message leaves over UDP.",
    ),
    (
        "is_TCP",
        "to_TCP",
        &[Transport::Tcp],
        "The message came over TCP.",
        "The message leaves over TCP.",
    ),
    (
        "is_TLS",
        "to_TLS",
        &[Transport::Tls],
        "The message came over TLS.",
        "The message leaves over TLS.",
    ),
    (
        "is_SCTP",
        "to_SCTP",
        &[Transport::Sctp],
        "The message came over SCTP.",
        "The message leaves over SCTP.",
    ),
    (
        "is_WS",
        "to_WS",
        &[Transport::Ws],
        "The message came over WebSocket without TLS.",
        "The message leaves over WebSocket without TLS.",
    ),
    (
        "is_WSS",
        "to_WSS",
        &[Transport::Wss],
        "The message came over WebSocket with TLS.",
        "The message leaves over WebSocket with TLS.",
    ),
    (
        "is_WSX",
        "to_WSX",
        &[Transport::Ws, Transport::Wss],
        "The message came over WebSocket.",
        "The message leaves over WebSocket.",
    ),
];

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    for (name, method, doc) in METHODS {
        d.kemi_func(
            "",
            name,
            [],
            move |_: &Core, cx: &mut Cx| cx.method() == method,
            doc,
        );
    }
    d.kemi_func(
        "",
        "is_method",
        ["method"],
        is_method,
        "The method is this one, or one of INVITE|ACK.",
    );
    d.kemi_func(
        "",
        "is_method_in",
        ["letters"],
        is_method_in,
        "The method is one of those that the letters stand for.",
    );
    declare_transports(d);
    let source4 = |_: &Core, cx: &mut Cx| cx.received.source.is_ipv4();
    d.kemi_func("", "is_IPv4", [], source4, "The message came over IPv4.");
    let source6 = |_: &Core, cx: &mut Cx| cx.received.source.is_ipv6();
    d.kemi_func("", "is_IPv6", [], source6, "The message came over IPv6.");
    let to4 = |_: &Core, cx: &mut Cx| leaving(cx).is_some_and(|(to, _)| to.is_ipv4());
    d.kemi_func("", "to_IPv4", [], to4, "The message leaves over IPv4.");
    let to6 = |_: &Core, cx: &mut Cx| leaving(cx).is_some_and(|(to, _)| to.is_ipv6());
    d.kemi_func("", "to_IPv6", [], to6, "The message leaves over IPv6.");
    let port = |_: &Core, cx: &mut Cx, port: i64| i64::from(cx.received.source.port()) == port;
    d.kemi_func(
        "",
        "is_src_port",
        ["port"],
        port,
        "The message came from this port.",
    );
    let port = |_: &Core, cx: &mut Cx, port: i64| i64::from(cx.received.local.port()) == port;
    d.kemi_func(
        "",
        "is_dst_port",
        ["port"],
        port,
        "The message came to this port.",
    );
}

fn declare_transports(d: &mut Decl<Core>) {
    for (is, to, set, came, leaves) in TRANSPORTS {
        let test = move |_: &Core, cx: &mut Cx| set.contains(&cx.received.transport);
        d.kemi_func("", is, [], test, came);
        let test =
            move |_: &Core, cx: &mut Cx| leaving(cx).is_some_and(|(_, transport)| set.contains(&transport));
        d.kemi_func("", to, [], test, leaves);
    }
    let stream = |_: &Core, cx: &mut Cx| cx.received.transport.is_stream();
    d.kemi_func(
        "",
        "is_TCPX",
        [],
        stream,
        "The message came over a connection: TCP, TLS or WebSocket.",
    );
    d.kemi_func(
        "",
        "is_proto",
        ["letters"],
        is_proto,
        "The message came over one of the transports that the letters stand for.",
    );
}

/// Where the message is about to go, in `onsend_route`.
fn leaving(cx: &Cx) -> Option<(SocketAddr, Transport)> {
    cx.sending
        .as_ref()
        .map(|sending| (sending.to.to, sending.to.transport))
}

fn is_method(_: &Core, cx: &mut Cx, method: Str) -> bool {
    let own = cx.msg.method_text();
    let mut names = method.split(|byte| *byte == b'|').map(<[u8]>::trim_ascii);
    names.any(|name| !name.is_empty() && own.eq_ignore_ascii_case(name))
}

fn is_method_in(_: &Core, cx: &mut Cx, letters: Str) -> bool {
    let letter = match cx.method() {
        Method::Invite => b'I',
        Method::Ack => b'A',
        Method::Bye => b'B',
        Method::Cancel => b'C',
        Method::Register => b'R',
        Method::Message => b'M',
        Method::Options => b'O',
        Method::Refer => b'F',
        Method::Subscribe => b'S',
        Method::Publish => b'P',
        Method::Notify => b'N',
        Method::Update => b'U',
        Method::Kdmq => b'K',
        Method::Get => b'G',
        Method::Post => b'T',
        Method::Put => b'V',
        Method::Delete => b'D',
        Method::Info | Method::Prack | Method::Other => return false,
    };
    letters.contains(&letter)
}

fn is_proto(_: &Core, cx: &mut Cx, letters: Str) -> bool {
    let letter = match cx.received.transport {
        Transport::Tls => b'E',
        Transport::Sctp => b'S',
        Transport::Tcp => b'T',
        Transport::Udp => b'U',
        Transport::Ws => b'V',
        Transport::Wss => b'W',
        Transport::None => return false,
    };
    letters.iter().any(|own| own.eq_ignore_ascii_case(&letter))
}

#[cfg(test)]
mod tests {
    use kahea_module::{Ret, Sending, Value, testing::Server};
    use kahea_sip::{Destination, SendFlags};

    use super::*;

    /// Calls a function as an embedded language does.
    fn ksr(cx: &mut Cx, name: &str, values: Vec<Value>) -> bool {
        let decl = kahea_module::registry::ModuleDecl::of::<Core>();
        let func = decl
            .funcs
            .iter()
            .find(|func| func.name == name)
            .expect("a function");
        let slot: std::sync::Arc<dyn std::any::Any + Send + Sync> =
            std::sync::Arc::new(std::sync::OnceLock::from(Core::for_tests()));
        matches!(func.call(&slot, cx, values), Ret::Code(1))
    }

    #[test]
    fn methods_are_told_by_name_and_by_letter() {
        let mut cx = Server::default().invite();
        assert!(ksr(&mut cx, "is_INVITE", vec![]) && !ksr(&mut cx, "is_BYE", vec![]));
        let text = |text| vec![Value::Str(Str::from_static(text))];
        assert!(ksr(&mut cx, "is_method", text("INVITE")) && ksr(&mut cx, "is_method", text("invite")));
        assert!(ksr(&mut cx, "is_method", text("BYE|INVITE")) && !ksr(&mut cx, "is_method", text("BYE|ACK")));
        assert!(ksr(&mut cx, "is_method_in", text("ABI")) && !ksr(&mut cx, "is_method_in", text("ABC")));
    }

    #[test]
    fn transports_are_told_both_ways() {
        let mut cx = Server::default().invite();
        assert!(ksr(&mut cx, "is_UDP", vec![]) && !ksr(&mut cx, "is_TCPX", vec![]));
        assert!(ksr(&mut cx, "is_proto", vec![Value::Str(Str::from_static("eu"))]));
        assert!(ksr(&mut cx, "is_IPv4", vec![]) && !ksr(&mut cx, "is_IPv6", vec![]));
        assert!(ksr(&mut cx, "is_src_port", vec![Value::Int(5061)]));
        assert!(ksr(&mut cx, "is_dst_port", vec![Value::Int(5060)]));
        assert!(!ksr(&mut cx, "to_TCP", vec![]) && !ksr(&mut cx, "to_IPv6", vec![]));
        cx.sending = Some(Sending {
            to: Destination {
                to: "[::1]:5060".parse().expect("an address"),
                transport: Transport::Tcp,
                listener: None,
                connection: None,
                flags: SendFlags::default(),
            },
            from: "[::1]:5060".parse().expect("an address"),
            data: Str::EMPTY,
        });
        assert!(ksr(&mut cx, "to_TCP", vec![]) && ksr(&mut cx, "to_IPv6", vec![]));
        assert!(!ksr(&mut cx, "to_WSX", vec![]));
    }
}
