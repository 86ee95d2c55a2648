//! The types that global parameters have, and how each is read from what the configuration says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kahea_sip::Transport;

use super::{
    listen::{AliasSpec, ListenSpec},
    words::{address, number, text, transport, wrong, yes_or_no},
};
use crate::{BindError, Str, Value};

/// What stands at the right of the equals sign, as the parser found it.
#[derive(Clone, Debug, PartialEq)]
pub enum GlobalValue {
    /// A number; the words of truth may come as 1 and 0 or as [`GlobalValue::Ident`].
    Int(i64),
    /// A string, escapes done.
    Str(Str),
    /// A word without quotes.
    Ident(Str),
    /// An address without quotes.
    Ip(IpAddr),
    /// The listeners of one `listen` line or `socket` block.
    Listen(Vec<ListenSpec>),
    /// The names of one `alias` line.
    Aliases(Vec<AliasSpec>),
}

/// What a parameter takes, for the parser, the checker and listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKind {
    /// A number; words of truth count as 1 and 0.
    Int,
    /// `yes` or `no` and their like, or a number.
    Bool,
    /// A string; a word will do.
    Str,
    /// A word or string of a form of its own, such as `LOG_LOCAL0`.
    Word,
    /// An IP address.
    Address,
    /// A transport.
    Proto,
    /// Listeners.
    Listen,
    /// Own names.
    Aliases,
}

/// A type of a field of [`Globals`](super::Globals).
pub trait GlobalType: Sized {
    /// What it takes.
    const KIND: GlobalKind;
    /// Reads it; the error begins with "takes".
    fn read(value: GlobalValue) -> Result<Self, BindError>;
    /// As scripts and commands see it.
    fn show(&self) -> Value;
}

impl GlobalType for i64 {
    const KIND: GlobalKind = GlobalKind::Int;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        number(&value)
    }
    fn show(&self) -> Value {
        Value::Int(*self)
    }
}

impl GlobalType for bool {
    const KIND: GlobalKind = GlobalKind::Bool;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        yes_or_no(&value)
    }
    fn show(&self) -> Value {
        Value::Int(i64::from(*self))
    }
}

impl GlobalType for Str {
    const KIND: GlobalKind = GlobalKind::Str;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        text(&value)
    }
    fn show(&self) -> Value {
        Value::Str(self.clone())
    }
}

impl GlobalType for Ipv4Addr {
    const KIND: GlobalKind = GlobalKind::Address;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        match address(&value)? {
            IpAddr::V4(ip) => Ok(ip),
            IpAddr::V6(_) => Err(wrong("an IPv4 address", &value)),
        }
    }
    fn show(&self) -> Value {
        Value::Str(Str::from(self.to_string()))
    }
}

impl GlobalType for Ipv6Addr {
    const KIND: GlobalKind = GlobalKind::Address;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        match address(&value)? {
            IpAddr::V6(ip) => Ok(ip),
            IpAddr::V4(_) => Err(wrong("an IPv6 address", &value)),
        }
    }
    fn show(&self) -> Value {
        Value::Str(Str::from(self.to_string()))
    }
}

impl GlobalType for Transport {
    const KIND: GlobalKind = GlobalKind::Proto;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        transport(&value)
    }
    fn show(&self) -> Value {
        Value::Str(Str::from_static(self.name()))
    }
}

impl<T: GlobalType> GlobalType for Option<T> {
    const KIND: GlobalKind = T::KIND;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        T::read(value).map(Some)
    }
    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::show)
    }
}

/// A syslog facility.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(i32);

const FACILITIES: [(&str, i32); 20] = [
    ("KERN", libc::LOG_KERN),
    ("USER", libc::LOG_USER),
    ("MAIL", libc::LOG_MAIL),
    ("DAEMON", libc::LOG_DAEMON),
    ("AUTH", libc::LOG_AUTH),
    ("SYSLOG", libc::LOG_SYSLOG),
    ("LPR", libc::LOG_LPR),
    ("NEWS", libc::LOG_NEWS),
    ("UUCP", libc::LOG_UUCP),
    ("CRON", libc::LOG_CRON),
    ("AUTHPRIV", libc::LOG_AUTHPRIV),
    ("FTP", libc::LOG_FTP),
    ("LOCAL0", libc::LOG_LOCAL0),
    ("LOCAL1", libc::LOG_LOCAL1),
    ("LOCAL2", libc::LOG_LOCAL2),
    ("LOCAL3", libc::LOG_LOCAL3),
    ("LOCAL4", libc::LOG_LOCAL4),
    ("LOCAL5", libc::LOG_LOCAL5),
    ("LOCAL6", libc::LOG_LOCAL6),
    ("LOCAL7", libc::LOG_LOCAL7),
];

impl Facility {
    /// `LOG_DAEMON`, Kamailio's default.
    pub const DAEMON: Facility = Facility(libc::LOG_DAEMON);

    /// From `LOG_LOCAL0`; the prefix may be missing.
    pub fn parse(name: &str) -> Option<Facility> {
        let name = name.to_ascii_uppercase();
        let bare = name.strip_prefix("LOG_").unwrap_or(&name);
        FACILITIES
            .iter()
            .find(|(known, _)| *known == bare)
            .map(|(_, code)| Facility(*code))
    }

    /// The number of syslog(3), already shifted.
    pub const fn code(self) -> i32 {
        self.0
    }

    /// `LOG_LOCAL0`.
    pub fn name(self) -> String {
        let found = FACILITIES.iter().find(|(_, code)| *code == self.0);
        found.map_or_else(String::new, |(name, _)| format!("LOG_{name}"))
    }
}

impl GlobalType for Facility {
    const KIND: GlobalKind = GlobalKind::Word;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        let remedy =
            "write one of LOG_DAEMON, LOG_USER, LOG_LOCAL0 to LOG_LOCAL7, or another name of syslog(3)";
        let name = text(&value).map_err(|_| wrong("a syslog facility", &value).help(remedy))?;
        Facility::parse(&name.text()).ok_or_else(|| wrong("a syslog facility", &value).help(remedy))
    }
    fn show(&self) -> Value {
        Value::Str(Str::from(self.name()))
    }
}

/// How addresses of IPv6 are written into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HexStyle {
    /// `c`: compressed, lower case (RFC 5952).
    Compact,
    /// `a`: all eight groups, lower case.
    FullLower,
    /// `A`: all eight groups, upper case.
    FullUpper,
}

impl GlobalType for HexStyle {
    const KIND: GlobalKind = GlobalKind::Word;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        match text(&value).as_deref() {
            Ok(b"c") => Ok(HexStyle::Compact),
            Ok(b"a") => Ok(HexStyle::FullLower),
            Ok(b"A") => Ok(HexStyle::FullUpper),
            _ => Err(wrong("\"c\", \"a\" or \"A\"", &value)),
        }
    }
    fn show(&self) -> Value {
        Value::Str(Str::from_static(match self {
            HexStyle::Compact => "c",
            HexStyle::FullLower => "a",
            HexStyle::FullUpper => "A",
        }))
    }
}

/// A group of workers for `async` and `sworker`: `name=x;workers=4;nonblock=0;usleep=0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncGroup {
    /// Its name; `default` is that of `async_workers`.
    pub name: Str,
    /// How many workers.
    pub workers: i64,
    /// Kamailio's socket does not block; no meaning here.
    pub nonblock: bool,
    /// Microseconds that Kamailio sleeps between tasks; no meaning here.
    pub usleep: i64,
}

impl AsyncGroup {
    fn parse(spec: &str) -> Result<AsyncGroup, BindError> {
        let mut group = AsyncGroup {
            name: Str::EMPTY,
            workers: 1,
            nonblock: false,
            usleep: 0,
        };
        for part in spec.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            let number = || value.parse::<i64>().ok().filter(|n| *n >= 0);
            match (key, number()) {
                ("name", _) if !value.is_empty() => group.name = Str::from(value),
                ("workers", Some(n)) if n > 0 => group.workers = n,
                ("nonblock", Some(n)) => group.nonblock = n != 0,
                ("usleep", Some(n)) => group.usleep = n,
                _ => {
                    let error = BindError::new(format!("does not understand {part}"));
                    return Err(error.help("write \"name=x;workers=4;nonblock=0;usleep=0\""));
                }
            }
        }
        if group.name.is_empty() {
            return Err(BindError::new("needs a name for the group").help("begin with \"name=x;\""));
        }
        Ok(group)
    }
}

/// Each assignment adds a group.
impl GlobalType for Vec<AsyncGroup> {
    const KIND: GlobalKind = GlobalKind::Word;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        AsyncGroup::parse(&text(&value)?.text()).map(|group| vec![group])
    }
    fn show(&self) -> Value {
        let names: Vec<String> = self.iter().map(|group| group.name.text().into_owned()).collect();
        Value::Str(Str::from(names.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &'static str) -> GlobalValue {
        GlobalValue::Str(Str::from_static(text))
    }

    #[test]
    fn facilities_are_those_of_syslog() {
        assert_eq!(
            Facility::parse("LOG_LOCAL0").map(Facility::code),
            Some(libc::LOG_LOCAL0)
        );
        assert_eq!(
            Facility::parse("local7").map(Facility::name).as_deref(),
            Some("LOG_LOCAL7")
        );
        assert!(Facility::read(string("LOG_LOCAL9")).is_err());
    }

    #[test]
    fn a_group_of_workers_needs_a_name() {
        let group = AsyncGroup::parse("name=reg;workers=4;nonblock=1;usleep=10").unwrap();
        assert_eq!((group.workers, group.nonblock, group.usleep), (4, true, 10));
        assert!(AsyncGroup::parse("workers=4").is_err());
        assert!(AsyncGroup::parse("name=x;workers=many").is_err());
    }

    #[test]
    fn families_are_told_apart() {
        assert!(Ipv4Addr::read(string("::1")).is_err());
        assert!(Ipv6Addr::read(string("127.0.0.1")).is_err());
        assert_eq!(HexStyle::read(string("A")), Ok(HexStyle::FullUpper));
    }
}
