//! A captured message as the values of a row.

use std::{net::SocketAddr, time::SystemTime};

use kahea_db::Value;
use kahea_module::{Cx, Str};
use kahea_sip::{
    HeaderId, Message, Transport,
    view::{NameAddr, Uri, Via},
};

use super::tables::Pick;
use crate::{hep, shot::protocol};

/// The names of the columns of messages, in the order of the values, and of the parameters that change them.
pub const COLUMNS: [(&str, &str); 44] = [
    ("date_column", "date"),
    ("micro_ts_column", "micro_ts"),
    ("method_column", "method"),
    ("correlation_column", "correlation_id"),
    ("reply_reason_column", "reply_reason"),
    ("ruri_column", "ruri"),
    ("ruri_user_column", "ruri_user"),
    ("ruri_domain_column", "ruri_domain"),
    ("from_user_column", "from_user"),
    ("from_domain_column", "from_domain"),
    ("from_tag_column", "from_tag"),
    ("to_user_column", "to_user"),
    ("to_domain_column", "to_domain"),
    ("to_tag_column", "to_tag"),
    ("pid_user_column", "pid_user"),
    ("contact_user_column", "contact_user"),
    ("auth_user_column", "auth_user"),
    ("callid_column", "callid"),
    ("callid_aleg_column", "callid_aleg"),
    ("via_1_column", "via_1"),
    ("via_1_branch_column", "via_1_branch"),
    ("cseq_column", "cseq"),
    ("diversion_column", "diversion"),
    ("reason_column", "reason"),
    ("content_type_column", "content_type"),
    ("authorization_column", "auth"),
    ("user_agent_column", "user_agent"),
    ("source_ip_column", "source_ip"),
    ("source_port_column", "source_port"),
    ("destination_ip_column", "destination_ip"),
    ("destination_port_column", "destination_port"),
    ("contact_ip_column", "contact_ip"),
    ("contact_port_column", "contact_port"),
    ("originator_ip_column", "originator_ip"),
    ("originator_port_column", "originator_port"),
    ("proto_column", "proto"),
    ("family_column", "family"),
    ("rtp_stat_column", "rtp_stat"),
    ("type_column", "type"),
    ("node_column", "node"),
    ("custom_field1_column", "custom_field1"),
    ("custom_field2_column", "custom_field2"),
    ("custom_field3_column", "custom_field3"),
    ("msg_column", "msg"),
];

/// The columns of reports, by their places among [`COLUMNS`]: date, micro_ts, correlation_id, source, destination, proto,
/// family, type, node, msg.
pub const REPORT: [usize; 12] = [0, 1, 3, 27, 28, 29, 30, 35, 36, 38, 39, 43];

/// What of a message goes where the parameters say.
pub struct Extras {
    /// Headers with the Call-ID of the other leg; the first that is there counts.
    pub call_id_aleg: Vec<Str>,
    /// Headers of the three fields of one's own.
    pub custom: [Str; 3],
    /// The name of this node.
    pub node: Str,
}

/// The packet that a message came in, where it came by HEP.
#[derive(Default)]
pub struct Captured(pub Option<hep::Packet>);

/// Its bytes, to be sent on as they came.
#[derive(Default)]
pub struct Original(pub Str);

/// When and where a message was seen.
struct Seen {
    seconds: i64,
    micros: i64,
    source: SocketAddr,
    destination: SocketAddr,
    protocol: u8,
    correlation: Option<Str>,
    node: Str,
}

impl Seen {
    fn of(cx: &Cx, extras: &Extras) -> Seen {
        let received = &cx.received;
        let since = received
            .at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let own = Seen {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            micros: since.subsec_micros().into(),
            source: received.source,
            destination: received.local,
            protocol: protocol(received.transport),
            correlation: None,
            node: extras.node.clone(),
        };
        let Some(packet) = cx
            .extra_ref::<Captured>()
            .and_then(|captured| captured.0.as_ref())
        else {
            return own;
        };
        let timed = packet.seconds != 0;
        let node = match packet.capture_id {
            0 => own.node,
            id => Str::from(format!("{}:{id}", own.node)),
        };
        Seen {
            seconds: if timed { packet.seconds.into() } else { own.seconds },
            micros: if timed { packet.micros.into() } else { own.micros },
            source: packet.source,
            destination: packet.destination,
            protocol: packet.protocol,
            correlation: packet.correlation.clone(),
            node,
        }
    }

    fn micro_ts(&self) -> Value {
        Value::Int(self.seconds.saturating_mul(1_000_000).saturating_add(self.micros))
    }

    /// By Kamailio's numbers of transports.
    fn protocol(&self) -> Value {
        let transport = match self.protocol {
            hep::TCP => Transport::Tcp,
            hep::SCTP => Transport::Sctp,
            _ => Transport::Udp,
        };
        Value::Int(transport.number())
    }

    fn family(&self) -> Value {
        Value::Int(if self.source.is_ipv4() { 2 } else { 10 })
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::Text(Str::copy(bytes))
}

fn ip(address: SocketAddr) -> Value {
    Value::Text(Str::from(address.ip().to_canonical().to_string()))
}

fn port(address: SocketAddr) -> Value {
    Value::Int(address.port().into())
}

/// Header values of a message.
struct Head<'a>(&'a Message);

impl<'a> Head<'a> {
    fn first(&self, id: HeaderId) -> &'a [u8] {
        self.0.first(id).map_or(b"", |header| self.0.value(header))
    }

    fn named(&self, name: &[u8]) -> &'a [u8] {
        self.0
            .named(name)
            .next()
            .map_or(b"", |header| self.0.value(header))
    }

    /// User, host and tag of an address.
    fn address(&self, value: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let Ok(addr) = NameAddr::parse(value) else {
            return (b"", b"", b"");
        };
        let tag = addr.tag().unwrap_or_default();
        match Uri::parse(addr.uri) {
            Ok(uri) => (uri.user, uri.host, tag),
            Err(_) => (b"", b"", tag),
        }
    }

    /// The user of `Digest username="…"`.
    fn auth_user(&self) -> &'a [u8] {
        let value = [HeaderId::ProxyAuthorization, HeaderId::Authorization]
            .iter()
            .map(|id| self.first(*id))
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let mark = b"username=\"";
        let at = value
            .windows(mark.len())
            .position(|part| part.eq_ignore_ascii_case(mark));
        let rest = at
            .and_then(|at| value.get(at.saturating_add(mark.len())..))
            .unwrap_or_default();
        rest.split(|byte| *byte == b'"').next().unwrap_or_default()
    }
}

/// Users of a message, for the choice of its table.
pub fn pick(message: &Message, random: u64) -> Pick<'_> {
    let head = Head(message);
    Pick {
        call_id: message.call_id().unwrap_or_default(),
        from_user: head.address(head.first(HeaderId::From)).0,
        to_user: head.address(head.first(HeaderId::To)).0,
        random,
    }
}

/// The values of a message.
pub fn message(cx: &Cx, extras: &Extras) -> Vec<Value> {
    let (message, seen) = (&cx.msg, Seen::of(cx, extras));
    let head = Head(message);
    let (from_user, from_domain, from_tag) = head.address(head.first(HeaderId::From));
    let (to_user, to_domain, to_tag) = head.address(head.first(HeaderId::To));
    let ruri = message.uri().unwrap_or_default();
    let (ruri_user, ruri_domain) = Uri::parse(ruri).map_or((&b""[..], &b""[..]), |uri| (uri.user, uri.host));
    let method = match message.status() {
        Some(status) => text(status.to_string().as_bytes()),
        None => text(message.method_text()),
    };
    let identity = [
        &b"P-Asserted-Identity"[..],
        b"P-Preferred-Identity",
        b"Remote-Party-ID",
    ];
    let identity = identity
        .iter()
        .map(|name| head.named(name))
        .find(|value| !value.is_empty());
    let contact = head.first(HeaderId::Contact);
    let (contact_user, contact_host, _) = head.address(contact);
    let contact_port = NameAddr::parse(contact)
        .ok()
        .and_then(|addr| Uri::parse(addr.uri).ok()?.port)
        .unwrap_or(0);
    let via = head.first(HeaderId::Via);
    let branch = Via::parse(via)
        .ok()
        .and_then(|via| via.branch())
        .unwrap_or_default();
    let aleg = extras
        .call_id_aleg
        .iter()
        .map(|name| head.named(name))
        .find(|value| !value.is_empty());
    let correlation = seen
        .correlation
        .clone()
        .unwrap_or_else(|| Str::copy(message.call_id().unwrap_or_default()));
    let [custom1, custom2, custom3] = &extras.custom;
    vec![
        Value::Time(seen.seconds),
        seen.micro_ts(),
        method,
        text(&correlation),
        text(message.reason().unwrap_or_default()),
        text(ruri),
        text(ruri_user),
        text(ruri_domain),
        text(from_user),
        text(from_domain),
        text(from_tag),
        text(to_user),
        text(to_domain),
        text(to_tag),
        text(head.address(identity.unwrap_or_default()).0),
        text(contact_user),
        text(head.auth_user()),
        text(message.call_id().unwrap_or_default()),
        text(aleg.unwrap_or_default()),
        text(via),
        text(branch),
        text(head.first(HeaderId::CSeq)),
        text(head.named(b"Diversion")),
        text(head.named(b"Reason")),
        text(head.first(HeaderId::ContentType)),
        text(match head.first(HeaderId::ProxyAuthorization) {
            b"" => head.first(HeaderId::Authorization),
            value => value,
        }),
        text(head.first(HeaderId::UserAgent)),
        ip(seen.source),
        port(seen.source),
        ip(seen.destination),
        port(seen.destination),
        text(contact_host),
        Value::Int(contact_port.into()),
        Value::Text(Str::EMPTY),
        Value::Int(0),
        seen.protocol(),
        seen.family(),
        text(match head.named(b"P-RTP-Stat") {
            b"" => head.named(b"X-RTP-Stat"),
            value => value,
        }),
        Value::Int(if message.is_request() { 1 } else { 2 }),
        Value::Text(seen.node.detach()),
        text(head.named(custom1)),
        text(head.named(custom2)),
        text(head.named(custom3)),
        text(message.buffer()),
    ]
}

/// The values of a report.
pub fn report(cx: &Cx, extras: &Extras, correlation: Option<&Str>, data: Option<&Str>) -> Vec<Value> {
    let seen = Seen::of(cx, extras);
    let payload = cx
        .extra_ref::<Captured>()
        .and_then(|captured| Some(captured.0.as_ref()?.payload.clone()));
    let payload = payload.unwrap_or_else(|| cx.msg.buffer().clone());
    let correlation = correlation.or(seen.correlation.as_ref()).cloned();
    vec![
        Value::Time(seen.seconds),
        seen.micro_ts(),
        text(&correlation.unwrap_or_default()),
        ip(seen.source),
        port(seen.source),
        ip(seen.destination),
        port(seen.destination),
        seen.protocol(),
        seen.family(),
        // A report is neither a request nor a reply.
        Value::Int(0),
        Value::Text(seen.node.detach()),
        text(data.unwrap_or(&payload)),
    ]
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn extras() -> Extras {
        Extras {
            call_id_aleg: vec![Str::from("X-CID")],
            custom: ["Mac", "IP", "Port"].map(Str::from),
            node: Str::from("homer01"),
        }
    }

    #[test]
    fn there_is_a_value_for_each_column() {
        let server = Server::default();
        let cx = server.invite();
        let values = message(&cx, &extras());
        assert_eq!(values.len(), COLUMNS.len());
        let of = |name: &str| {
            let at = COLUMNS.iter().position(|(_, column)| *column == name).unwrap();
            values[at].clone()
        };
        assert_eq!(of("method"), text(b"INVITE"));
        assert_eq!(
            (of("from_user"), of("to_domain")),
            (text(b"alice"), text(b"example.com"))
        );
        assert_eq!(
            (of("via_1_branch"), of("contact_port")),
            (text(b"z9hG4bK776asdhds"), Value::Int(5061))
        );
        assert_eq!(
            (of("source_port"), of("proto"), of("family")),
            (Value::Int(5061), Value::Int(1), Value::Int(2))
        );
        assert_eq!(of("node"), text(b"homer01"));
        assert_eq!(report(&cx, &extras(), None, None).len(), REPORT.len());
    }

    #[test]
    fn what_hep_says_counts_more_than_how_it_came() {
        let server = Server::default();
        let mut cx = server.invite();
        let packet = hep::Packet {
            seconds: 100,
            micros: 5,
            capture_id: 234,
            correlation: Some(Str::from("corr")),
            ..hep::Packet::new(
                "10.0.0.1:1".parse().unwrap(),
                "10.0.0.2:2".parse().unwrap(),
                hep::TCP,
                Str::from("x"),
            )
        };
        cx.extra::<Captured>().0 = Some(packet);
        let values = message(&cx, &extras());
        assert_eq!(values[..2], [Value::Time(100), Value::Int(100_000_005)]);
        assert_eq!((&values[3], &values[27]), (&text(b"corr"), &text(b"10.0.0.1")));
        assert_eq!(values[39], text(b"homer01:234"));
        let report = report(&cx, &extras(), Some(&Str::from("id")), Some(&Str::from("{}")));
        assert_eq!((&report[2], &report[11]), (&text(b"id"), &text(b"{}")));
    }
}
