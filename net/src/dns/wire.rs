//! Asking name servers, by way of hickory: it does the wire, retries and the change to TCP; policy is ours.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_proto::rr::{RData, RecordType};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    system_conf,
};

use super::{Naptr, Record, RecordData, RecordKind, ResolveError, Srv, cache::Answer};
use crate::DnsConfig;

/// Look-ups at the servers of one configuration.
pub struct Wire {
    resolver: TokioResolver,
}

/// Queries under way at one server before it counts as busy.
const AT_ONCE: usize = 4096;

impl Wire {
    /// With the servers of `/etc/resolv.conf`, or those given.
    pub fn new(config: &DnsConfig, servers: Option<&[SocketAddr]>) -> Result<Wire, String> {
        let (mut system, mut options) = match servers {
            Some(list) => (with_servers(list), ResolverOpts::default()),
            None => system_conf::read_system_conf().map_err(|error| error.to_string())?,
        };
        if let Some(most) = config.servers_no.and_then(|n| usize::try_from(n).ok()) {
            let (domain, search, mut names) = system.into_parts();
            names.truncate(most);
            system = ResolverConfig::from_parts(domain, search, names);
        }
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = AT_ONCE;
        options.preserve_intermediates = true;
        if let Some(seconds) = config.retr_time.and_then(|s| u64::try_from(s).ok()) {
            options.timeout = Duration::from_secs(seconds.max(1));
        }
        if let Some(tries) = config.retr_no.and_then(|n| usize::try_from(n).ok()) {
            options.attempts = tries.min(10);
        }
        let mut builder = TokioResolver::builder_with_config(system, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(Wire {
            resolver: builder.build().map_err(|error| error.to_string())?,
        })
    }

    /// Asks; never an empty list.
    pub async fn ask(&self, name: &str, kind: RecordKind, search: bool) -> Answer {
        let shown: Arc<str> = name.into();
        let absolute = if search && name.contains(|c| c != '.') {
            name.to_owned()
        } else {
            format!("{name}.")
        };
        let answer = self.resolver.lookup(absolute, record_type(kind)).await;
        let records: Vec<Record> = match &answer {
            Ok(lookup) => lookup.answers().iter().filter_map(|r| record(r, kind)).collect(),
            Err(error) => return Err(fault(error, shown)),
        };
        if records.is_empty() {
            Err(ResolveError::NotFound(shown))
        } else {
            Ok(records.into())
        }
    }
}

fn with_servers(list: &[SocketAddr]) -> ResolverConfig {
    let server = |address: &SocketAddr| {
        let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
        udp.port = address.port();
        tcp.port = address.port();
        NameServerConfig::new(address.ip(), true, vec![udp, tcp])
    };
    ResolverConfig::from_name_servers(list.iter().map(server).collect())
}

fn fault(error: &NetError, name: Arc<str>) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::Timeout(name),
        NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NotFound(name),
        NetError::Proto(_) => ResolveError::BadName(name),
        other => ResolveError::Server(name, other.to_string().into()),
    }
}

fn record_type(kind: RecordKind) -> RecordType {
    match kind {
        RecordKind::A => RecordType::A,
        RecordKind::Aaaa => RecordType::AAAA,
        RecordKind::Srv => RecordType::SRV,
        RecordKind::Naptr => RecordType::NAPTR,
        RecordKind::Ptr => RecordType::PTR,
        RecordKind::Txt => RecordType::TXT,
        RecordKind::Cname => RecordType::CNAME,
    }
}

fn record(record: &hickory_proto::rr::Record, kind: RecordKind) -> Option<Record> {
    let data = match (&record.data, kind) {
        (RData::A(a), RecordKind::A) => RecordData::A(a.0),
        (RData::AAAA(a), RecordKind::Aaaa) => RecordData::Aaaa(a.0),
        (RData::SRV(srv), RecordKind::Srv) => RecordData::Srv(Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: name_text(&srv.target),
        }),
        (RData::NAPTR(naptr), RecordKind::Naptr) => RecordData::Naptr(Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: text(&naptr.flags),
            services: text(&naptr.services),
            regexp: text(&naptr.regexp),
            replacement: name_text(&naptr.replacement),
        }),
        (RData::PTR(ptr), RecordKind::Ptr) => RecordData::Ptr(name_text(&ptr.0)),
        (RData::TXT(txt), RecordKind::Txt) => RecordData::Txt(txt.txt_data.concat().into()),
        (RData::CNAME(name), RecordKind::Cname) => RecordData::Cname(name_text(&name.0)),
        _ => return None,
    };
    Some(Record {
        ttl: record.ttl,
        data,
    })
}

fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

fn name_text(name: &hickory_proto::rr::Name) -> Arc<str> {
    let mut text = name.to_ascii();
    text.make_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).into()
}
