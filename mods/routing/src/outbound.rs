//! Module `outbound`: flow tokens for edge proxies (RFC 5626 section 5), which path and rr write and rr reads.
//!
//! A token is a keyed hash of the flow and the flow itself: transport, local and remote address. So any server that has
//! the secret and the address can follow it, and nobody else can make one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use kahea_module::{
    Cx, Decl, EVENT, Env, Fault, InitError, Module, REQUEST, Str, Value,
    log::{self, Level},
};
use kahea_sip::{
    HeaderId, Method, Received, Transport,
    view::{Addrs, Contacts, Uri},
};
use sha1::{Digest, Sha1};

/// The module's instance.
pub struct Outbound {
    service: Arc<Service>,
}

/// Its parameters.
pub struct Params {
    force_outbound_flag: i64,
    force_no_outbound_flag: i64,
    flow_token_secret: Option<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            force_outbound_flag: -1,
            force_no_outbound_flag: -1,
            flow_token_secret: None,
        }
    }
}

impl Module for Outbound {
    const NAME: &'static str = "outbound";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "force_outbound_flag",
            |p| &mut p.force_outbound_flag,
            "The message flag that makes path and rr add flow tokens whatever the request says.",
        );
        d.param(
            "force_no_outbound_flag",
            |p| &mut p.force_no_outbound_flag,
            "The message flag that keeps path and rr from adding flow tokens.",
        );
        d.param(
            "flow_token_secret",
            |p| &mut p.flow_token_secret,
            "The secret that tokens are sealed with; without it one is drawn at start, and a restart breaks flows.",
        );
        d.func(
            "check_flow_token",
            [],
            check_flow_token,
            "Checks the token in the topmost Route URI: 1 for one of this server, -1 for a forged one, -2 for none.",
        )
        .routes(REQUEST | EVENT)
        .example("if (!check_flow_token()) xlog(\"no flow\\n\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Outbound, InitError> {
        let service = Arc::new(Service {
            force: flag(params.force_outbound_flag, "force_outbound_flag")?,
            forbid: flag(params.force_no_outbound_flag, "force_no_outbound_flag")?,
            key: key(env, params.flow_token_secret.as_ref()),
        });
        if !env.bind.has_module("stun") {
            log::write(
                Level::Warning,
                "outbound",
                format_args!("flows over UDP need STUN keep-alives: load the module stun too"),
            );
        }
        env.settings.declare(
            "outbound",
            "outbound_enabled",
            Value::Int(1),
            "Flow tokens are written and read.",
            true,
        );
        env.provide(service.clone());
        Ok(Outbound { service })
    }
}

fn flag(number: i64, name: &str) -> Result<Option<u32>, InitError> {
    match number {
        -1 => Ok(None),
        0..=31 => Ok(u32::try_from(number).ok().and_then(|bit| 1u32.checked_shl(bit))),
        _ => Err(
            InitError::new(format!("{name} is {number}, which is no message flag"))
                .help("give a number from 0 to 31, or -1 for none"),
        ),
    }
}

/// Drawn once for the life of the process, so that a reload keeps flows.
struct Drawn([u8; 20]);

fn key(env: &Env<'_>, secret: Option<&Str>) -> [u8; 20] {
    match secret {
        Some(secret) => Sha1::digest(secret).into(),
        None => {
            let drawn = env.shared.keep(|| {
                let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
                Drawn(Sha1::digest([one.into_bytes(), two.into_bytes()].concat()).into())
            });
            drawn.0
        }
    }
}

/// What outbound does for path and rr.
pub struct Service {
    force: Option<u32>,
    forbid: Option<u32>,
    key: [u8; 20],
}

/// The bytes of the keyed hash that a token has: HMAC-SHA1-80, as RFC 5626 section 5.2 suggests.
const SEAL: usize = 10;

impl Service {
    #[cfg(test)]
    pub(crate) fn for_tests() -> Service {
        Service {
            force: None,
            forbid: None,
            key: Sha1::digest(b"secret").into(),
        }
    }

    /// The request came straight from a user agent that wants its flow used (RFC 5626 sections 5.1 and 5.3): a REGISTER
    /// with `reg-id`, another with `ob` in its Contact or topmost Route URI.
    pub fn wants_flow(&self, cx: &Cx) -> bool {
        if self.forbid.is_some_and(|flag| cx.flags & flag != 0) {
            return false;
        }
        if self.force.is_some_and(|flag| cx.flags & flag != 0) {
            return true;
        }
        if !cx.msg.is_request() || cx.msg.vias().nth(1).is_some() {
            return false;
        }
        match cx.method() {
            Method::Register => contact(cx, |addr, _| addr.reg_id().is_some_and(|id| id > 0)),
            _ => contact(cx, |_, uri| uri.ob()) || route_has_ob(cx),
        }
    }

    /// The token of the flow that a message came by.
    pub fn token(&self, received: &Received) -> Str {
        let flow = Flow {
            transport: received.transport,
            local: received.local,
            peer: received.source,
        };
        let data = flow.bytes();
        let mut token = self.seal(&data).to_vec();
        token.extend_from_slice(&data);
        Str::from(base64(&token))
    }

    /// The flow of a token; `None` where the text is none.
    ///
    /// # Errors
    /// It has the form of a token, but was not made with this server's secret.
    pub fn flow(&self, token: &[u8]) -> Result<Option<Flow>, Fault> {
        let Some(bytes) = unbase64(token) else {
            return Ok(None);
        };
        let Some((seal, data)) = bytes.split_at_checked(SEAL) else {
            return Ok(None);
        };
        let Some(flow) = Flow::read(data) else {
            return Ok(None);
        };
        // Every byte is compared, so that time tells nothing about the seal.
        let differs = self
            .seal(data)
            .iter()
            .zip(seal)
            .fold(0, |all, (one, other)| all | (one ^ other));
        match differs {
            0 => Ok(Some(flow)),
            _ => Err(Fault::peer(
                "a flow token was not made by this server: it is forged, or made before a restart without flow_token_secret",
            )),
        }
    }

    /// HMAC (RFC 2104) with SHA-1, cut to 80 bits.
    fn seal(&self, data: &[u8]) -> [u8; SEAL] {
        let pad = |byte: u8| -> [u8; 64] {
            let mut block = [byte; 64];
            for (place, key) in block.iter_mut().zip(self.key) {
                *place ^= key;
            }
            block
        };
        let inner = Sha1::new().chain_update(pad(0x36)).chain_update(data).finalize();
        let outer = Sha1::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
        let mut seal = [0; SEAL];
        for (place, byte) in seal.iter_mut().zip(outer) {
            *place = byte;
        }
        seal
    }
}

/// One flow: a pair of addresses and a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The transport.
    pub transport: Transport,
    /// This server's side.
    pub local: SocketAddr,
    /// The user agent's side.
    pub peer: SocketAddr,
}

impl Flow {
    /// A byte with the family in its top bit and the transport below, then both addresses with their ports.
    fn bytes(&self) -> Vec<u8> {
        let family = u8::from(self.local.is_ipv6()) << 7;
        let transport = u8::try_from(self.transport.number()).unwrap_or(0);
        let mut out = vec![family | transport];
        for side in [self.local, self.peer] {
            match side.ip() {
                IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
            }
            out.extend_from_slice(&side.port().to_be_bytes());
        }
        out
    }

    fn read(data: &[u8]) -> Option<Flow> {
        use Transport::*;
        let (first, rest) = data.split_first()?;
        let transport = [Udp, Tcp, Tls, Sctp, Ws, Wss]
            .into_iter()
            .find(|transport| transport.number() == i64::from(first & 0x7f))?;
        let v6 = first & 0x80 != 0;
        let half = if v6 { 18 } else { 6 };
        let (local, peer) = rest.split_at_checked(half)?;
        Some(Flow {
            transport,
            local: address(local, v6)?,
            peer: address(peer, v6)?,
        })
    }

    /// The message came by this flow.
    pub fn is_of(&self, received: &Received) -> bool {
        self.transport == received.transport && self.peer == received.source
    }

    /// Sends the message down this flow: from its listener to its peer, over an existing connection only.
    pub fn follow(&self, cx: &mut Cx) {
        let (ip, port) = (self.local.ip().to_string(), self.local.port());
        let listener = cx
            .config()
            .identity
            .listener_of(ip.as_bytes(), port, self.transport);
        if let Some(id) = listener.map(|listener| listener.id) {
            cx.target.send_socket = Some(id);
        }
        let uri = format!("sip:{};transport={}", self.peer, self.transport.uri_name());
        cx.target.dst_uri = Some(Str::from(uri));
        if self.transport.is_stream() {
            cx.target.connection = cx.worker.net.connection_to(self.peer, self.transport);
            cx.forward_flags.no_connect = true;
        }
    }
}

fn address(bytes: &[u8], v6: bool) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_at_checked(if v6 { 16 } else { 4 })?;
    let ip = match v6 {
        true => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
        false => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(port.try_into().ok()?)))
}

/// A Contact holds; one that cannot be read holds nothing.
fn contact(cx: &Cx, holds: impl Fn(&kahea_sip::view::NameAddr<'_>, &Uri<'_>) -> bool) -> bool {
    cx.msg.all(HeaderId::Contact).any(|header| {
        let Contacts::List(list) = Contacts::parse(cx.msg.value(header)) else {
            return false;
        };
        list.filter_map(Result::ok)
            .any(|addr| addr.parse_uri().is_ok_and(|uri| holds(&addr, &uri)))
    })
}

fn top_route<R>(cx: &Cx, read: impl FnOnce(&Uri<'_>) -> R) -> Option<R> {
    let header = cx.msg.first(HeaderId::Route)?;
    let addr = Addrs::new(cx.msg.value(header)).next()?.ok()?;
    addr.parse_uri().ok().map(|uri| read(&uri))
}

fn route_has_ob(cx: &Cx) -> bool {
    top_route(cx, |uri| uri.ob()).unwrap_or(false)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 section 4, with padding: every character may stand in the user part of a URI.
fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(3) {
        let bits = [16u32, 8, 0]
            .iter()
            .zip(chunk)
            .fold(0u32, |all, (shift, byte)| all | u32::from(*byte) << shift);
        for (place, shift) in [18u32, 12, 6, 0].iter().enumerate() {
            let digit = usize::try_from(bits >> shift & 0x3f).unwrap_or(0);
            let known = DIGITS.get(digit).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { known } else { b'=' });
        }
    }
    out
}

fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if text.is_empty() || !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = text.get(..text.len().checked_sub(padding).filter(|_| padding < 3)?)?;
    for chunk in body.chunks(4) {
        let mut bits = 0u32;
        for (digit, shift) in chunk.iter().zip([18u32, 12, 6, 0]) {
            let value = DIGITS.iter().position(|known| known == digit)?;
            bits |= u32::try_from(value).ok()? << shift;
        }
        let full = chunk.len().saturating_sub(1);
        let bytes = bits.to_be_bytes();
        out.extend(bytes.iter().skip(1).take(full));
    }
    Some(out)
}

fn check_flow_token(m: &Outbound, cx: &mut Cx) -> Result<i64, Fault> {
    let user = top_route(cx, |uri| Str::copy(uri.user)).filter(|user| !user.is_empty());
    let Some(user) = user else {
        return Ok(-2);
    };
    Ok(m.service.flow(&user)?.map_or(-2, |_| 1))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn asks(method: &str, lines: &str) -> bool {
        let cx = Server::default().message(&format!(
            "{method} sip:b@b.org SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1\n{lines}\
             From: <sip:a@b.org>;tag=1\nTo: <sip:b@b.org>\nCall-ID: 1\nCSeq: 1 {method}\n"
        ));
        Service::for_tests().wants_flow(&cx)
    }

    #[test]
    fn only_the_first_hop_of_a_user_agent_that_asks_gets_a_token() {
        let via = "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2\n";
        let registration = "Contact: <sip:a@127.0.0.1>;reg-id=1\n";
        assert!(asks("REGISTER", registration));
        assert!(!asks("REGISTER", &format!("{via}{registration}")));
        assert!(!asks("REGISTER", "Contact: <sip:a@127.0.0.1;ob>\n"));
        assert!(asks("INVITE", "Contact: <sip:a@127.0.0.1;ob>\n"));
        assert!(asks("INVITE", "Route: <sip:127.0.0.1;lr;ob>\n"));
        assert!(!asks("INVITE", "Contact: *\nRoute: <\n"));
    }

    #[test]
    fn tokens_of_both_families_are_read_again() {
        let service = Service::for_tests();
        for (local, peer) in [
            ("127.0.0.1:5060", "192.0.2.1:40000"),
            ("[::1]:5061", "[2001:db8::1]:1"),
        ] {
            let received = Received {
                source: peer.parse().unwrap(),
                local: local.parse().unwrap(),
                transport: Transport::Tls,
                ..Server::default().invite().received
            };
            let flow = service.flow(&service.token(&received)).unwrap().unwrap();
            assert_eq!((flow.local, flow.peer), (received.local, received.source));
            assert!(flow.is_of(&received));
        }
    }

    #[test]
    fn other_texts_are_no_tokens_and_changed_ones_are_forged() {
        let service = Service::for_tests();
        let token = service.token(&Server::default().invite().received);
        for text in [
            &b""[..],
            b"alice",
            b"alic",
            b"====",
            b"a===",
            b"AAAAAAAAAAAAAAAAAAAA",
            b"\xff\xff\xff\xff",
        ] {
            assert_eq!(service.flow(text).ok().flatten(), None);
        }
        for at in 0..token.len() {
            let mut changed = token.to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(!matches!(service.flow(&changed), Ok(Some(_))), "{at}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded.as_bytes());
            assert_eq!(unbase64(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn the_topmost_route_is_checked() {
        let server = Server::default();
        let m = Outbound {
            service: Arc::new(Service::for_tests()),
        };
        let code = |user: &str| {
            let text = kahea_module::testing::INVITE.replacen(
                "Via:",
                &format!("Route: <sip:{user}127.0.0.1;lr>\nVia:"),
                1,
            );
            check_flow_token(&m, &mut server.message(&text))
        };
        let token = m.service.token(&server.invite().received);
        assert_eq!(code(&format!("{token}@")), Ok(1));
        assert_eq!((code(""), code("alice@")), (Ok(-2), Ok(-2)));
        let forged = token.text().replacen(|c: char| c.is_ascii_lowercase(), "Z", 1);
        assert_eq!(code(&format!("{forged}@")).unwrap_err().code, -1);
        assert_eq!(check_flow_token(&m, &mut server.invite()), Ok(-2));
    }
}
