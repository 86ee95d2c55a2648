//! The Via of forwarded requests.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    net::IpAddr,
};

use kahea_sip::{HeaderId, Transport, view};

use crate::{Cx, Listener, MessageFlags, Value, value::push_int, xavp::XValue};

/// The branch of a statelessly forwarded request: the same for retransmissions, another for every other request
/// (RFC 3261 section 16.11).
pub fn branch(cx: &Cx) -> [u8; 16] {
    let mut hash = foldhash::quality::FixedState::with_seed(0x6b61_6865_6100).build_hasher();
    match cx.msg.vias().next() {
        Some(hop) => cx.msg.bytes(hop.span).hash(&mut hash),
        None => cx.msg.uri().hash(&mut hash),
    }
    cx.msg.call_id().hash(&mut hash);
    cx.msg.cseq().map(|(number, _)| number).hash(&mut hash);
    cx.msg
        .first(HeaderId::From)
        .map(|header| cx.msg.value(header))
        .hash(&mut hash);
    cx.target.ruri.hash(&mut hash);
    hex(hash.finish())
}

/// Sixteen hexadecimal digits.
pub(super) fn hex(n: u64) -> [u8; 16] {
    let mut out = [b'0'; 16];
    for (place, digit) in out.iter_mut().zip((0..16u32).rev()) {
        let nibble = n.checked_shr(digit.saturating_mul(4)).unwrap_or(0) & 0xf;
        *place = b"0123456789abcdef"
            .get(usize::try_from(nibble).unwrap_or(0))
            .copied()
            .unwrap_or(b'0');
    }
    out
}

/// Adds the Via line of this server for a request that leaves from `from` over `transport`.
pub fn own_via(cx: &Cx, from: &Listener, transport: Transport, out: &mut Vec<u8>) {
    own_via_branch(cx, from, transport, 0, out);
}

/// The same for the branch of this number, which ends the branch parameter.
pub fn own_via_branch(cx: &Cx, from: &Listener, transport: Transport, number: u32, out: &mut Vec<u8>) {
    let mut text = Vec::with_capacity(24);
    text.extend_from_slice(&branch(cx));
    text.push(b'.');
    push_int(number.into(), &mut text);
    own_via_text(cx, from, transport, &text, out);
}

/// The same with this text behind the cookie of the branch parameter.
pub fn own_via_text(cx: &Cx, from: &Listener, transport: Transport, branch: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Via: SIP/2.0/");
    out.extend_from_slice(transport.via_name().as_bytes());
    out.push(b' ');
    sent_by(cx, from, transport, out);
    out.extend_from_slice(b";branch=z9hG4bK");
    out.extend_from_slice(branch);
    if cx.local_rport || cx.config().globals.local_rport {
        out.extend_from_slice(b";rport");
    }
    if let Some(connection) = cx.received.connection {
        use std::io::Write;
        // Finds the caller's connection again when the reply comes. Writing to a Vec cannot fail.
        let _ = write!(out, ";i={:x}", connection.0);
    }
    if transport.is_stream() && cx.config().globals.tcp_accept_aliases {
        out.extend_from_slice(b";alias");
    }
    if cx.iflags.has(MessageFlags::ADD_SRVID) && cx.config().globals.server_id != 0 {
        out.extend_from_slice(b";srvid=");
        push_int(cx.config().globals.server_id, out);
    }
    if cx.iflags.has(MessageFlags::ADD_XAVP_VIA_PARAMS)
        && let Some(name) = &cx.config().globals.xavp_via_params
    {
        xavp_params(cx, name, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields of an xavp as parameters, `;name=value`.
pub(super) fn xavp_params(cx: &Cx, name: &[u8], out: &mut Vec<u8>) {
    let Some(XValue::List(fields)) = cx.xavps.get(name, 0).map(|xavp| &xavp.value) else {
        return;
    };
    for field in fields.iter() {
        let (XValue::Int(_) | XValue::Str(_)) = &field.value else {
            continue;
        };
        out.push(b';');
        out.extend_from_slice(&field.name);
        out.push(b'=');
        field.value.value().push_to(out);
    }
}

/// A field of the xavp that `xavp_via_fields` names, where the script wants it used.
fn via_field(cx: &Cx, field: &[u8]) -> Option<Value> {
    let name = cx.config().globals.xavp_via_fields.as_ref()?;
    let wanted = cx.iflags.has(MessageFlags::USE_XAVP_VIA_FIELDS);
    match wanted
        .then(|| cx.xavps.get(name, 0))
        .flatten()
        .map(|xavp| &xavp.value)
    {
        Some(XValue::List(fields)) => fields.get(field, 0).map(|field| field.value.value()),
        _ => None,
    }
}

/// The host and, where it is not the default, the port that peers should answer to.
fn sent_by(cx: &Cx, from: &Listener, transport: Transport, out: &mut Vec<u8>) {
    let globals = &cx.config().globals;
    let listener = from.advertised.as_ref();
    let field = via_field(cx, b"address").and_then(|value| value.str());
    let host = field
        .as_ref()
        .or(cx.advertised_host.as_ref())
        .or(globals.advertised_address.as_ref())
        .or(listener.map(|(host, _)| host));
    match (host, from.address.ip()) {
        (Some(host), _) => out.extend_from_slice(host),
        (None, IpAddr::V4(ip)) => out.extend_from_slice(ip.to_string().as_bytes()),
        (None, IpAddr::V6(ip)) => out.extend_from_slice(format!("[{ip}]").as_bytes()),
    }
    let stated = listener.map(|(_, port)| *port).filter(|port| *port != 0);
    let global = globals.advertised_port.and_then(|port| u16::try_from(port).ok());
    let field = via_field(cx, b"port").and_then(|value| u16::try_from(value.int()?).ok());
    let port = field
        .or(cx.advertised_port)
        .or(global)
        .or(stated)
        .unwrap_or(from.address.port());
    if port != transport.default_port() {
        out.push(b':');
        push_int(port.into(), out);
    }
}

/// The connection that our own Via of a reply names with `i`.
pub(super) fn connection_of(via: &view::Via<'_>) -> Option<kahea_sip::ConnectionId> {
    let text = std::str::from_utf8(via.i()?).ok()?;
    u64::from_str_radix(text, 16).ok().map(kahea_sip::ConnectionId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    #[test]
    fn retransmissions_have_one_branch_and_other_requests_another() {
        let server = Server::default();
        let (one, again) = (server.invite(), server.invite());
        assert_eq!(branch(&one), branch(&again));
        let text = crate::testing::INVITE.replace("314159", "314160");
        assert_ne!(branch(&one), branch(&server.message(&text)));
    }

    #[test]
    fn the_default_port_is_left_out() {
        let server = Server::default();
        let cx = server.invite();
        let mut out = Vec::new();
        own_via(&cx, &cx.config().identity.listeners[0], Transport::Udp, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK") && text.ends_with(".0\r\n"),
            "{text}"
        );
    }
}
