//! Addresses and ports of SDP.

use std::net::IpAddr;

use kahea_module::{Cx, Fault, Str, value::parse_int};
use kahea_sip::{EditTag, Span, sdp::Sdp};

use super::Mangler;
use crate::textops::body::sdp_of;

/// A network: an address and how many of its bits count.
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// From `10.0.0.0/8`, `10.0.0.0/255.0.0.0` or a single address.
    fn parse(text: &str) -> Option<Network> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(a, m)| (a, Some(m)));
        let address: IpAddr = address.trim().parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match (mask.map(str::trim), address) {
            (None, _) => width,
            (Some(mask), _) if !mask.contains(['.', ':']) => {
                mask.parse().ok().filter(|bits| *bits <= width)?
            }
            (Some(mask), IpAddr::V4(_)) => {
                let mask = u32::from(mask.parse::<std::net::Ipv4Addr>().ok()?);
                (mask.leading_ones() == mask.count_ones()).then(|| mask.leading_ones())?
            }
            (Some(mask), IpAddr::V6(_)) => {
                let mask = u128::from(mask.parse::<std::net::Ipv6Addr>().ok()?);
                (mask.leading_ones() == mask.count_ones()).then(|| mask.leading_ones())?
            }
        };
        Some(Network { address, bits })
    }

    fn has(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let rest = 32u32.saturating_sub(self.bits);
                (u32::from(own) ^ u32::from(ip)).checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let rest = 128u32.saturating_sub(self.bits);
                (u128::from(own) ^ u128::from(ip)).checked_shr(rest).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

fn session(cx: &Cx) -> Result<Sdp<'_>, Fault> {
    let text = sdp_of(cx).ok_or_else(|| Fault::script("the message has no SDP"))?;
    Sdp::parse(text).map_err(|error| Fault::peer(format!("the SDP cannot be read: {error}")).code(-2))
}

/// Puts a text in the place of each, undoing what an earlier call put there; 1 and how many there are.
fn replace(cx: &mut Cx, places: Vec<(Span, Str)>) -> i64 {
    let count = i64::try_from(places.len()).unwrap_or(i64::MAX);
    for (place, text) in places {
        let earlier = cx
            .edits
            .iter()
            .find(|(_, edit)| edit.removed == place && edit.tag == EditTag::Body);
        if let Some(id) = earlier.map(|(id, _)| id) {
            cx.edits.undo(id);
        }
        cx.edits.replace(place, text, EditTag::Body);
    }
    count.saturating_add(1)
}

pub(super) fn sdp_mangle_ip(_: &Mangler, cx: &mut Cx, network: Str, address: Str) -> Result<i64, Fault> {
    let network = Network::parse(&network.text()).ok_or_else(|| {
        Fault::script(format!(
            "'{network}' is no network: write 10.0.0.0/8 or 10.0.0.0/255.0.0.0"
        ))
        .code(-2)
    })?;
    if address.is_empty()
        || address
            .iter()
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
    {
        return Err(Fault::script(format!("'{address}' cannot be an address in SDP")).code(-2));
    }
    let sdp = session(cx)?;
    let own = sdp.media().filter_map(|media| media.own_connection());
    let places = sdp.connection().into_iter().chain(own);
    let places = places.filter(|connection| connection.ip().is_some_and(|ip| network.has(ip)));
    let places = places.filter_map(|connection| Span::within(cx.msg.buffer(), connection.address));
    let places = places.map(|place| (place, address.clone())).collect();
    drop(sdp);
    Ok(replace(cx, places))
}

/// A number with a sign is added, one without is the new port, as in Kamailio. Rejected streams (port 0) stay so.
pub(super) fn sdp_mangle_port(_: &Mangler, cx: &mut Cx, offset: Str) -> Result<i64, Fault> {
    let relative = matches!(offset.first(), Some(b'+' | b'-'));
    let number = parse_int(offset.trim_ascii()).filter(|n| (-65535..=65535).contains(n));
    let number = number.ok_or_else(|| {
        Fault::script(format!(
            "'{offset}' is no offset of a port: give a number from -65535 to 65535"
        ))
        .code(-3)
    })?;
    if number == 0 {
        return Ok(1);
    }
    let mut places = Vec::new();
    for media in session(cx)?.media().filter(|media| !media.is_disabled()) {
        let Some(old) = media.port else { continue };
        let new = if relative {
            i64::from(old).saturating_add(number)
        } else {
            number
        };
        if !(1..=65535).contains(&new) {
            return Err(
                Fault::script(format!("port {old} and {number} make {new}, which is no port")).code(-4),
            );
        }
        let place = Span::within(cx.msg.buffer(), media.port_text);
        places.extend(place.map(|place| (place, Str::from(new.to_string()))));
    }
    Ok(replace(cx, places))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textops::tests::{body_of, request, with_body};

    const M: Mangler = Mangler { separator: b'*' };
    const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\nm=video 5000/2 RTP/AVP 1\r\nc=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\n";

    fn message() -> Cx {
        with_body(
            &format!("Content-Type: application/sdp\nContent-Length: {}\n", SDP.len()),
            SDP,
        )
    }

    #[test]
    fn addresses_of_a_network_are_replaced() {
        let cx = &mut message();
        assert_eq!(
            sdp_mangle_ip(&M, cx, "10.0.0.0/255.0.0.0".into(), "9.9.9.9".into()),
            Ok(2)
        );
        assert_eq!(
            sdp_mangle_ip(&M, cx, "10.0.0.0/8".into(), "8.8.8.8".into()),
            Ok(2)
        );
        assert_eq!(
            sdp_mangle_ip(&M, cx, "172.16.0.0/12".into(), "9.9.9.9".into()),
            Ok(1)
        );
        assert!(body_of(cx).contains("10.0.0.1\r\ns=-\r\nc=IN IP4 8.8.8.8\r\n"));
        assert!(sdp_mangle_ip(&M, cx, "10.0.0.0/255.0.255.0".into(), "9.9.9.9".into()).is_err());
        assert!(sdp_mangle_ip(&M, cx, "0.0.0.0/0".into(), "9.9\r\n".into()).is_err());
        assert_eq!(sdp_mangle_ip(&M, cx, "0.0.0.0/0".into(), "7.7.7.7".into()), Ok(3));
        assert!(sdp_mangle_ip(&M, &mut request("X: 1\n"), "0.0.0.0/0".into(), "9.9.9.9".into()).is_err());
    }

    #[test]
    fn ports_are_moved_or_set() {
        let cx = &mut message();
        assert_eq!(sdp_mangle_port(&M, cx, "-1000".into()), Ok(3));
        assert!(body_of(cx).contains("m=audio 3000 RTP") && body_of(cx).contains("m=video 4000/2 RTP"));
        assert!(body_of(cx).contains("m=audio 0 RTP"));
        assert_eq!(sdp_mangle_port(&M, cx, "1000".into()), Ok(3));
        assert!(body_of(cx).contains("m=audio 1000 RTP"));
        assert_eq!(sdp_mangle_port(&M, cx, "70000".into()).unwrap_err().code, -3);
        assert_eq!(sdp_mangle_port(&M, cx, "-4500".into()).unwrap_err().code, -4);
        assert_eq!(sdp_mangle_port(&M, cx, "0".into()), Ok(1));
    }
}
