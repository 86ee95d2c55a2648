//! RFC 3263: from a host of a URI to the addresses to try. Without I/O: it says which records it lacks.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use kahea_sip::Transport;

use super::{
    Naptr, Query, Record, RecordData, RecordKind, ResolveError, Srv, Target,
    cache::{Answer, normal},
    random::Random,
};
use crate::DnsConfig;

/// What [`locate`] comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Located {
    /// Where to send, best first.
    Found(Vec<Target>),
    /// These records are needed first.
    Need(Vec<(String, RecordKind)>),
    /// There is nowhere to send to.
    Failed(ResolveError),
}

/// Transports that NAPTR and SRV may choose for a URI that names none: those this build can send over.
const AVAILABLE: &[Transport] = &[Transport::Udp, Transport::Tcp];

/// Addresses of one answer that are used; more would only keep a failing call busy.
const MOST: usize = 64;

/// Works out the targets of `query` from what `lookup` knows.
pub fn locate(
    query: Query<'_>,
    config: &DnsConfig,
    random: &mut Random,
    lookup: &dyn Fn(&str, RecordKind) -> Option<Answer>,
) -> Located {
    let host = query
        .host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(query.host);
    let stated = match query.transport {
        Transport::None if query.secure => Transport::Tls,
        Transport::Tcp if query.secure => Transport::Tls,
        Transport::Ws if query.secure => Transport::Wss,
        transport => transport,
    };
    let fallback = if stated == Transport::None {
        Transport::Udp
    } else {
        stated
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        let address = SocketAddr::new(ip, query.port.unwrap_or(fallback.default_port()));
        return Located::Found(vec![Target {
            address,
            transport: fallback,
        }]);
    }
    let host = normal(host);
    if !is_name(&host) {
        return Located::Failed(ResolveError::BadName(query.host.into()));
    }
    let mut work = Work {
        config,
        random,
        lookup,
        need: Vec::new(),
        found: Vec::new(),
        fault: None,
    };
    match query.port {
        Some(port) => work.addresses(&host, port, fallback),
        None => work.services(&host, stated, fallback),
    }
    work.finish(&host)
}

/// A host name by its length and characters (RFC 1123, with the underscore that services use).
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = !label.is_empty() && label.len() <= 63;
        fits && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') || b >= 0x80)
    };
    !name.is_empty() && name.len() <= 253 && name.split('.').all(label)
}

struct Work<'a> {
    config: &'a DnsConfig,
    random: &'a mut Random,
    lookup: &'a dyn Fn(&str, RecordKind) -> Option<Answer>,
    need: Vec<(String, RecordKind)>,
    found: Vec<Target>,
    fault: Option<ResolveError>,
}

impl Work<'_> {
    fn finish(self, host: &str) -> Located {
        if !self.need.is_empty() {
            return Located::Need(self.need);
        }
        if self.found.is_empty() {
            return Located::Failed(self.fault.unwrap_or_else(|| ResolveError::NotFound(host.into())));
        }
        Located::Found(self.found)
    }

    /// The records, or none; what is not known yet and what failed is noted.
    fn ask(&mut self, name: &str, kind: RecordKind) -> Arc<[Record]> {
        match (self.lookup)(name, kind) {
            Some(Ok(records)) => return records,
            Some(Err(fault)) => {
                let worse = self.fault.is_none() || !matches!(fault, ResolveError::NotFound(_));
                if worse {
                    self.fault = Some(fault);
                }
            }
            None => {
                if !self.need.iter().any(|(n, k)| n == name && *k == kind) {
                    self.need.push((name.to_owned(), kind));
                }
            }
        }
        Arc::new([])
    }

    /// No port in the URI: NAPTR where enabled, then SRV, then the address of the host itself.
    fn services(&mut self, host: &str, stated: Transport, fallback: Transport) {
        if stated == Transport::None && self.config.try_naptr {
            self.naptr(host);
        }
        if self.found.is_empty() && self.need.is_empty() {
            for transport in self.candidates(stated) {
                if let Some(name) = service_name(host, transport) {
                    self.srv(&name, transport);
                }
            }
        }
        if self.found.is_empty() && self.need.is_empty() {
            self.addresses(host, fallback.default_port(), fallback);
        }
    }

    /// The transports whose SRV records are asked for.
    fn candidates(&self, stated: Transport) -> Vec<Transport> {
        if stated != Transport::None {
            return vec![stated];
        }
        let mut list: Vec<Transport> = AVAILABLE
            .iter()
            .copied()
            .filter(|t| self.preference(*t) >= 0)
            .collect();
        list.sort_by_key(|transport| std::cmp::Reverse(self.preference(*transport)));
        list
    }

    fn preference(&self, transport: Transport) -> i64 {
        match transport {
            Transport::Udp => self.config.udp_pref,
            Transport::Tcp => self.config.tcp_pref,
            Transport::Tls => self.config.tls_pref,
            Transport::Sctp => self.config.sctp_pref,
            _ => -1,
        }
    }

    /// RFC 3263 section 4.1. With `dns_naptr_ignore_rfc` our preference rules alone, else the domain's order comes first.
    fn naptr(&mut self, host: &str) {
        let records = self.ask(host, RecordKind::Naptr);
        let usable = |record: &Record| match &record.data {
            RecordData::Naptr(naptr) => Some((naptr_transport(naptr)?, naptr.clone())),
            _ => None,
        };
        let mut rules: Vec<(Transport, Naptr)> = records.iter().filter_map(usable).collect();
        rules.retain(|(transport, _)| AVAILABLE.contains(transport) && self.preference(*transport) >= 0);
        rules.sort_by_key(|(transport, rule)| {
            let ours = std::cmp::Reverse(self.preference(*transport));
            let theirs = (rule.order, rule.preference);
            if self.config.naptr_ignore_rfc {
                (None, ours, theirs)
            } else {
                (Some(theirs), ours, theirs)
            }
        });
        for (transport, rule) in rules {
            self.srv(&rule.replacement, transport);
        }
    }

    fn srv(&mut self, name: &str, transport: Transport) {
        let records = self.ask(name, RecordKind::Srv);
        let list = records.iter().filter_map(|record| match &record.data {
            RecordData::Srv(srv) => Some(srv.clone()),
            _ => None,
        });
        for srv in order(list.collect(), self.config.srv_lb, self.random) {
            // RFC 2782: a target of "." says that the service is decidedly not available.
            if !srv.target.is_empty() {
                self.addresses(&srv.target, srv.port, transport);
            }
        }
    }

    fn addresses(&mut self, host: &str, port: u16, transport: Transport) {
        const V4_ONLY: i64 = 1;
        const V6_ONLY: i64 = 2;
        const PREFER_V6: i64 = 4;
        let flags = self.config.cache_flags;
        let kinds: &[RecordKind] = if flags & V4_ONLY != 0 || (!self.config.try_ipv6 && flags & V6_ONLY == 0)
        {
            &[RecordKind::A]
        } else if flags & V6_ONLY != 0 {
            &[RecordKind::Aaaa]
        } else if flags & PREFER_V6 != 0 {
            &[RecordKind::Aaaa, RecordKind::A]
        } else {
            &[RecordKind::A, RecordKind::Aaaa]
        };
        for kind in kinds {
            let (before, waiting) = (self.found.len(), self.need.len());
            for record in self.ask(host, *kind).iter() {
                let ip: IpAddr = match record.data {
                    RecordData::A(ip) => ip.into(),
                    RecordData::Aaaa(ip) => ip.into(),
                    _ => continue,
                };
                let target = Target {
                    address: SocketAddr::new(ip, port),
                    transport,
                };
                if self.found.len() < MOST && !self.found.contains(&target) {
                    self.found.push(target);
                }
            }
            if self.found.len() > before || self.need.len() > waiting {
                return;
            }
        }
    }
}

fn service_name(host: &str, transport: Transport) -> Option<String> {
    match transport {
        Transport::Udp => Some(format!("_sip._udp.{host}")),
        Transport::Tcp => Some(format!("_sip._tcp.{host}")),
        Transport::Tls => Some(format!("_sips._tcp.{host}")),
        Transport::Sctp => Some(format!("_sip._sctp.{host}")),
        Transport::Ws | Transport::Wss | Transport::None => None,
    }
}

fn naptr_transport(naptr: &Naptr) -> Option<Transport> {
    if !naptr.flags.eq_ignore_ascii_case("s") || naptr.replacement.is_empty() {
        return None;
    }
    match naptr.services.to_ascii_uppercase().as_str() {
        "SIP+D2U" => Some(Transport::Udp),
        "SIP+D2T" => Some(Transport::Tcp),
        "SIPS+D2T" => Some(Transport::Tls),
        "SIP+D2S" => Some(Transport::Sctp),
        _ => None,
    }
}

/// The order to try services in: RFC 2782 with `balance`, else the higher weight first.
pub fn order(mut list: Vec<Srv>, balance: bool, random: &mut Random) -> Vec<Srv> {
    if !balance {
        list.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
        return list;
    }
    // RFC 2782: those of weight 0 stand first, so that they are seldom chosen but can be.
    list.sort_by_key(|srv| (srv.priority, srv.weight != 0));
    let mut ordered = Vec::with_capacity(list.len());
    while let Some(priority) = list.first().map(|srv| srv.priority) {
        let group = list.iter().take_while(|srv| srv.priority == priority);
        let total: u32 = group.map(|srv| u32::from(srv.weight)).sum();
        let chosen = random.up_to(total);
        let mut sum = 0u32;
        let at = list.iter().position(|srv| {
            sum = sum.saturating_add(srv.weight.into());
            sum >= chosen
        });
        ordered.push(list.remove(at.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use hashbrown::HashMap;

    use super::*;

    #[derive(Default)]
    struct Zone(HashMap<(String, RecordKind), Vec<RecordData>>);

    impl Zone {
        fn a(mut self, name: &str, ip: [u8; 4]) -> Zone {
            self.put(name, RecordKind::A, RecordData::A(ip.into()));
            self
        }

        fn srv(mut self, name: &str, (priority, weight): (u16, u16), port: u16, target: &str) -> Zone {
            let srv = Srv {
                priority,
                weight,
                port,
                target: target.into(),
            };
            self.put(name, RecordKind::Srv, RecordData::Srv(srv));
            self
        }

        fn naptr(mut self, name: &str, order: u16, services: &str, replacement: &str) -> Zone {
            let naptr = Naptr {
                order,
                preference: 10,
                flags: "s".into(),
                services: services.into(),
                regexp: "".into(),
                replacement: replacement.into(),
            };
            self.put(name, RecordKind::Naptr, RecordData::Naptr(naptr));
            self
        }

        fn put(&mut self, name: &str, kind: RecordKind, data: RecordData) {
            self.0.entry((name.to_owned(), kind)).or_default().push(data);
        }

        fn ask(&self, name: &str, kind: RecordKind) -> Option<Answer> {
            let found = self.0.get(&(name.to_owned(), kind));
            let records = found.map(|list| {
                list.iter()
                    .map(|d| Record {
                        ttl: 60,
                        data: d.clone(),
                    })
                    .collect()
            });
            Some(records.ok_or_else(|| ResolveError::NotFound(name.into())))
        }

        fn locate(&self, query: Query<'_>, config: &DnsConfig) -> Vec<String> {
            let mut random = Random::new(1);
            match super::locate(query, config, &mut random, &|name, kind| self.ask(name, kind)) {
                Located::Found(list) => list
                    .iter()
                    .map(|t| format!("{}:{}", t.transport, t.address))
                    .collect(),
                other => vec![format!("{other:?}")],
            }
        }
    }

    fn query(host: &str, port: Option<u16>, transport: Transport) -> Query<'_> {
        Query {
            host,
            port,
            transport,
            secure: false,
        }
    }

    fn zone() -> Zone {
        Zone::default()
            .a("example.com", [192, 0, 2, 1])
            .a("one.example.com", [192, 0, 2, 11])
            .a("two.example.com", [192, 0, 2, 12])
            .srv("_sip._udp.example.com", (10, 5), 5061, "two.example.com")
            .srv("_sip._udp.example.com", (5, 0), 5062, "one.example.com")
            .srv("_sip._tcp.example.com", (1, 0), 5063, "one.example.com")
            .naptr("example.com", 1, "SIP+D2T", "_sip._tcp.example.com")
            .naptr("example.com", 2, "SIP+D2U", "_sip._udp.example.com")
    }

    #[test]
    fn addresses_and_ports_need_no_records() {
        let (zone, config) = (Zone::default(), DnsConfig::default());
        assert_eq!(
            zone.locate(query("192.0.2.9", None, Transport::None), &config),
            ["udp:192.0.2.9:5060"]
        );
        assert_eq!(
            zone.locate(query("[::1]", Some(7), Transport::Tcp), &config),
            ["tcp:[::1]:7"]
        );
        let sips = Query {
            secure: true,
            ..query("::1", None, Transport::None)
        };
        assert_eq!(zone.locate(sips, &config), ["tls:[::1]:5061"]);
    }

    #[test]
    fn a_port_means_the_host_itself_and_none_means_srv_in_order() {
        let (zone, config) = (zone(), DnsConfig::default());
        assert_eq!(
            zone.locate(query("Example.com", Some(5070), Transport::Udp), &config),
            ["udp:192.0.2.1:5070"]
        );
        let udp = ["udp:192.0.2.11:5062", "udp:192.0.2.12:5061"];
        assert_eq!(
            zone.locate(query("example.com.", None, Transport::Udp), &config),
            udp
        );
        let any = zone.locate(query("example.com", None, Transport::None), &config);
        assert_eq!(
            any,
            [
                "udp:192.0.2.11:5062",
                "udp:192.0.2.12:5061",
                "tcp:192.0.2.11:5063"
            ]
        );
        assert_eq!(
            zone.locate(query("one.example.com", None, Transport::Tcp), &config),
            ["tcp:192.0.2.11:5060"]
        );
    }

    #[test]
    fn naptr_follows_our_preference_or_the_domains_order() {
        let ours = DnsConfig {
            try_naptr: true,
            ..DnsConfig::default()
        };
        assert_eq!(
            zone().locate(query("example.com", None, Transport::None), &ours)[0],
            "udp:192.0.2.11:5062"
        );
        let theirs = DnsConfig {
            naptr_ignore_rfc: false,
            ..ours.clone()
        };
        assert_eq!(
            zone().locate(query("example.com", None, Transport::None), &theirs)[0],
            "tcp:192.0.2.11:5063"
        );
        let never_udp = DnsConfig { udp_pref: -1, ..ours };
        assert_eq!(
            zone().locate(query("example.com", None, Transport::None), &never_udp),
            ["tcp:192.0.2.11:5063"]
        );
    }

    #[test]
    fn what_is_missing_is_named_all_at_once() {
        let known = zone();
        let lookup = |name: &str, kind| {
            if kind == RecordKind::Srv {
                known.ask(name, kind)
            } else {
                None
            }
        };
        let wanted = query("example.com", None, Transport::Udp);
        let located = locate(wanted, &DnsConfig::default(), &mut Random::new(1), &lookup);
        let needs = vec![
            ("one.example.com".into(), RecordKind::A),
            ("two.example.com".into(), RecordKind::A),
        ];
        assert_eq!(located, Located::Need(needs));
    }

    #[test]
    fn hostile_names_are_refused_and_the_worst_fault_is_told() {
        let long = "a.".repeat(127) + "a";
        for bad in ["", "a..b", "a b", "a\0b", "a/b", &"x".repeat(64), &long, "[]"] {
            let located = zone().locate(query(bad, None, Transport::Udp), &DnsConfig::default());
            assert!(located[0].contains("BadName"), "{bad:?}: {located:?}");
        }
        let lookup = |name: &str, kind| match kind {
            RecordKind::Srv => Some(Err(ResolveError::Timeout(name.into()))),
            _ => Some(Err(ResolveError::NotFound(name.into()))),
        };
        let wanted = query("example.com", None, Transport::Udp);
        let located = locate(wanted, &DnsConfig::default(), &mut Random::new(1), &lookup);
        assert!(
            matches!(located, Located::Failed(ResolveError::Timeout(_))),
            "{located:?}"
        );
    }

    #[test]
    fn weights_share_the_load() {
        let srv = |weight, target: &str| Srv {
            priority: 1,
            weight,
            port: 1,
            target: target.into(),
        };
        let mut random = Random::new(3);
        let mut first = HashMap::new();
        for _ in 0..4000 {
            let list = vec![srv(75, "big"), srv(25, "small"), srv(0, "zero")];
            let ordered = order(list, true, &mut random);
            assert_eq!(ordered.len(), 3);
            *first.entry(ordered[0].target.to_string()).or_insert(0) += 1;
        }
        assert!((2800..3200).contains(&first["big"]), "{first:?}");
        assert!((1..150).contains(first.get("zero").unwrap_or(&0)), "{first:?}");
        let fixed = order(vec![srv(1, "b"), srv(9, "a")], false, &mut random);
        assert_eq!(&*fixed[0].target, "a");
    }
}
