//! Records as this server keeps them: the kinds that SIP and the `ipops` functions use, with all their fields.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// The kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// RFC 1035.
    A,
    /// RFC 3596.
    Aaaa,
    /// RFC 2782.
    Srv,
    /// RFC 3403.
    Naptr,
    /// RFC 1035.
    Ptr,
    /// RFC 1035.
    Txt,
    /// RFC 1035.
    Cname,
}

impl RecordKind {
    /// The name in upper case, as RPC commands print it.
    pub const fn name(self) -> &'static str {
        match self {
            RecordKind::A => "A",
            RecordKind::Aaaa => "AAAA",
            RecordKind::Srv => "SRV",
            RecordKind::Naptr => "NAPTR",
            RecordKind::Ptr => "PTR",
            RecordKind::Txt => "TXT",
            RecordKind::Cname => "CNAME",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds it may be kept, as the server gave it.
    pub ttl: u32,
    /// What it says.
    pub data: RecordData,
}

/// The content of a [`Record`]. Names are in lower case and without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A service.
    Srv(Srv),
    /// A rewriting rule.
    Naptr(Naptr),
    /// A host name.
    Ptr(Arc<str>),
    /// Text, its pieces joined.
    Txt(Arc<[u8]>),
    /// Another name.
    Cname(Arc<str>),
}

/// RFC 2782.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among those of one priority.
    pub weight: u16,
    /// Port of the service.
    pub port: u16,
    /// Host of the service.
    pub target: Arc<str>,
}

/// RFC 3403.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among those of one order.
    pub preference: u16,
    /// `s`, `a`, `u`, `p` or none.
    pub flags: Arc<str>,
    /// `SIP+D2U` and the like.
    pub services: Arc<str>,
    /// A substitution expression, or empty.
    pub regexp: Arc<str>,
    /// The next name, or empty.
    pub replacement: Arc<str>,
}
