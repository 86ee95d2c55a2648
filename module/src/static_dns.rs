//! DNS records that the configuration gives (`dns_cache`, `dns_file` of corex): modules add them, the network's resolver
//! takes them up.

use std::net::IpAddr;

use parking_lot::RwLock;

use crate::{DnsRecord, DnsType, Str};

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticRecord {
    /// The name that it answers.
    pub name: Str,
    /// What it answers with: [`DnsRecord::Address`] or [`DnsRecord::Srv`].
    pub record: DnsRecord,
    /// Seconds that it is valid.
    pub ttl: u32,
    /// Says that the name does not resolve.
    pub unresolvable: bool,
    /// Never times out and is never overwritten.
    pub permanent: bool,
}

impl StaticRecord {
    /// The question that it answers.
    pub fn kind(&self) -> DnsType {
        match &self.record {
            DnsRecord::Address(IpAddr::V4(_)) => DnsType::A,
            DnsRecord::Address(IpAddr::V6(_)) => DnsType::Aaaa,
            DnsRecord::Srv { .. } => DnsType::Srv,
            DnsRecord::Naptr { .. } => DnsType::Naptr,
            DnsRecord::Name(_) => DnsType::Ptr,
            DnsRecord::Text(_) => DnsType::Txt,
        }
    }
}

/// All records of the configuration in force: kept with [`Shared::keep`](crate::config::Shared::keep), read by the
/// network layer after the modules have started.
#[derive(Default)]
pub struct StaticDns {
    records: RwLock<Vec<StaticRecord>>,
}

impl StaticDns {
    /// Puts these records in the place of those of the configuration before.
    pub fn replace(&self, records: Vec<StaticRecord>) {
        *self.records.write() = records;
    }

    /// The records.
    pub fn records(&self) -> Vec<StaticRecord> {
        self.records.read().clone()
    }
}
