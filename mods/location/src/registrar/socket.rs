//! The socket that is kept with a contact.

use kahea_module::{Cx, Fault, Listener, Str};
use kahea_sip::{EditTag, HeaderId, Place, Transport};

use super::{Registrar, params::Fixed, xavps};

/// The socket that the message came to, in the words of tables; the one that a header or xavp names where it may.
pub(crate) fn of_message(fixed: &Fixed, cx: &Cx) -> Str {
    let named = named(fixed, cx);
    let listener = named.or_else(|| cx.config().identity.listener(cx.received.listener));
    match listener {
        Some(listener) => text(listener, fixed.sock_mode),
        None => Str::EMPTY,
    }
}

fn text(listener: &Listener, advertised: bool) -> Str {
    match &listener.advertised {
        Some((host, port)) if advertised => {
            let port = match port {
                0 => listener.address.port(),
                port => *port,
            };
            Str::from(format!("{}:{host}:{port}", listener.transport))
        }
        _ => listener.text.clone(),
    }
}

fn named<'a>(fixed: &Fixed, cx: &'a Cx) -> Option<&'a Listener> {
    if let Some(socket) = xavps::text(cx, fixed.xavp_cfg.as_ref(), b"socket") {
        return find(cx, &socket);
    }
    let (mask, name) = fixed.sock_header.as_ref()?;
    if cx.flags & mask == 0 {
        return None;
    }
    let header = cx.msg.named(name).next()?;
    find(cx, cx.msg.value(header))
}

/// The listener of `proto:host:port`, or of `host:port`; by its own or its advertised address.
pub(crate) fn find<'a>(cx: &'a Cx, socket: &[u8]) -> Option<&'a Listener> {
    let socket = socket.trim_ascii();
    let first = socket.split(|byte| *byte == b':').next()?;
    let (transport, address) = match Transport::parse(first) {
        Some(transport) => (transport, socket.get(first.len().checked_add(1)?..)?),
        None => (Transport::Udp, socket),
    };
    let at = address.iter().rposition(|byte| *byte == b':');
    let v6 = address.ends_with(b"]");
    let (host, port) = match at.filter(|_| !v6) {
        Some(at) => {
            let port = std::str::from_utf8(address.get(at.checked_add(1)?..)?).ok()?;
            (address.get(..at)?, port.parse().ok()?)
        }
        None => (address, 0),
    };
    match host.is_empty() {
        true => None,
        false => cx.config().identity.listener_of(host, port, transport),
    }
}

/// `add_sock_hdr()`.
pub(super) fn add_sock_hdr(_: &Registrar, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    if name.is_empty() || !name.iter().all(token) {
        return Err(Fault::script(format!("'{name}' is no name of a header")));
    }
    let listener = cx.config().identity.listener(cx.received.listener);
    let Some(socket) = listener.map(|listener| listener.text.clone()) else {
        return Err(Fault::script("the message did not come to a socket"));
    };
    let line = [&*name, b": ", &socket, b"\r\n"].concat();
    let tag = EditTag::Header(HeaderId::parse(&name));
    let end = cx.msg.headers_end();
    cx.edits.insert(end, Place::After, Str::from(line), tag);
    Ok(true)
}
