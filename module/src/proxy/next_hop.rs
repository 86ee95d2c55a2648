//! The next hop of a request: destination URI, Request-URI, or what the script names.

use kahea_sip::{
    Transport,
    view::{Scheme, Uri},
};

use crate::{Cx, Fault, Hop, Str};

/// Where the request goes as things stand: `$du`, else `$ru`.
///
/// # Errors
/// The URI cannot be read or names no SIP host.
pub fn next_hop(cx: &Cx) -> Result<Hop, Fault> {
    match &cx.target.dst_uri {
        Some(uri) => hop_of_uri(uri),
        None => hop_of_uri(&cx.ruri()),
    }
}

/// The hop that a URI names: `maddr`, host, port, transport (RFC 3263 section 4).
///
/// # Errors
/// The URI cannot be read or names no SIP host.
pub fn hop_of_uri(uri: &Str) -> Result<Hop, Fault> {
    let parsed =
        Uri::parse(uri).map_err(|error| Fault::peer(format!("'{uri}' names no destination: {error}")))?;
    let secure = match parsed.scheme {
        Scheme::Sip => false,
        Scheme::Sips => true,
        _ => return Err(Fault::script(format!("'{uri}' is no SIP address to send to")).code(-478)),
    };
    let host = parsed.maddr().unwrap_or(parsed.host);
    let stated = parsed.transport();
    let transport = if secure && matches!(stated, Transport::None | Transport::Tcp) {
        Transport::Tls
    } else {
        stated
    };
    Ok(Hop {
        host: uri.share(host),
        port: parsed.port,
        transport,
        secure,
    })
}

/// `host` and `port` as `forward("host", port)` has them.
pub fn hop_of_parts(host: Str, port: Option<u16>, transport: Transport) -> Hop {
    let transport = if transport == Transport::None {
        Transport::Udp
    } else {
        transport
    };
    Hop {
        host,
        port,
        transport,
        secure: transport == Transport::Tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_gives_host_port_and_transport() {
        let hop = hop_of_uri(&Str::from("sip:bob@example.com:5070;transport=tcp")).unwrap();
        assert_eq!(
            (&*hop.host.text(), hop.port, hop.transport),
            ("example.com", Some(5070), Transport::Tcp)
        );
        let hop = hop_of_uri(&Str::from("sips:bob@example.com;maddr=192.0.2.1")).unwrap();
        assert_eq!(
            (&*hop.host.text(), hop.transport, hop.secure),
            ("192.0.2.1", Transport::Tls, true)
        );
        assert!(hop_of_uri(&Str::from("tel:+123")).is_err() && hop_of_uri(&Str::from("junk")).is_err());
    }
}
