//! Listeners and own names as the configuration states them.

use std::net::IpAddr;

use kahea_sip::Transport;

use super::{
    Globals,
    kind::{GlobalKind, GlobalType, GlobalValue},
    words::{text, wrong},
};
use crate::{BindError, Str, Value};

/// The host part of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenHost {
    /// An address; the unspecified one (`0.0.0.0`, `[::]`) binds all of its family.
    Ip(IpAddr),
    /// An interface (all its addresses), or a host name (all that it resolves to at start).
    Name(Str),
    /// `*` or `any`: every address of every interface.
    Any,
}

impl ListenHost {
    /// From text: an address with or without brackets, `any`, `*`, or a name.
    pub fn parse(text: &str) -> ListenHost {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse() {
            Ok(ip) => ListenHost::Ip(ip),
            Err(_) if text == "*" || text.eq_ignore_ascii_case("any") => ListenHost::Any,
            Err(_) => ListenHost::Name(Str::from(text)),
        }
    }
}

/// What is told to peers in place of a listener's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// A name or an address.
    pub host: Str,
    /// The listener's own where not stated.
    pub port: Option<u16>,
    /// The listener's own where not stated.
    pub transport: Option<Transport>,
}

/// One address of a `listen` line, or a `socket` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// Without one the listener takes UDP and TCP.
    pub transport: Option<Transport>,
    /// Where.
    pub host: ListenHost,
    /// `port` of the configuration, or that of the transport, where not stated.
    pub port: Option<u16>,
    /// The last port of a range, `5060-5068`; a range of one where not stated.
    pub last_port: Option<u16>,
    /// What is told to peers.
    pub advertise: Option<Advertise>,
    /// For `$fsn` and its like.
    pub name: Option<Str>,
    /// The action group that handles its messages.
    pub agname: Option<Str>,
    /// An address that the machine may not have at the moment.
    pub is_virtual: bool,
    /// Workers of its own; from the block, or from `socket_workers` before the line.
    pub workers: Option<i64>,
    /// The routing domain of the kernel.
    pub vrf: Option<Str>,
    /// The interface that joins the multicast group; from `mcast` before the line.
    pub mcast: Option<Str>,
}

impl ListenSpec {
    /// A listener with nothing but an address.
    pub fn new(transport: Option<Transport>, host: ListenHost, port: Option<u16>) -> ListenSpec {
        ListenSpec {
            transport,
            host,
            port,
            last_port: None,
            advertise: None,
            name: None,
            agname: None,
            is_virtual: false,
            workers: None,
            vrf: None,
            mcast: None,
        }
    }

    /// One listener for each port of the range. The name gets the port behind it, and the advertised port goes along.
    ///
    /// # Errors
    /// The range is upside down, or the advertised ports do not fit.
    pub fn each_port(self) -> Result<Vec<ListenSpec>, BindError> {
        let (Some(first), Some(last)) = (self.port, self.last_port) else {
            return Ok(vec![self]);
        };
        if last < first {
            let error = BindError::new(format!("takes a range of ports, not {first}-{last}"));
            return Err(error.help("write the lower port first"));
        }
        (first..=last).map(|port| self.at_port(first, port)).collect()
    }

    fn at_port(&self, first: u16, port: u16) -> Result<ListenSpec, BindError> {
        let offset = port.saturating_sub(first);
        let mut one = self.clone();
        one.port = Some(port);
        one.last_port = None;
        one.name = self.name.as_ref().map(|name| Str::from(format!("{name}{port}")));
        if let Some(advertised) = one.advertise.as_mut().and_then(|told| told.port.as_mut()) {
            *advertised = advertised.checked_add(offset).ok_or_else(|| {
                BindError::new("advertises ports beyond 65535").help("advertise a lower first port")
            })?;
        }
        Ok(one)
    }
}

impl GlobalType for Vec<ListenSpec> {
    const KIND: GlobalKind = GlobalKind::Listen;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        match value {
            GlobalValue::Listen(specs) => specs
                .into_iter()
                .map(ListenSpec::each_port)
                .collect::<Result<Vec<_>, _>>()
                .map(|each| each.into_iter().flatten().collect()),
            GlobalValue::Str(text) | GlobalValue::Ident(text) => {
                Ok(vec![ListenSpec::new(None, ListenHost::parse(&text.text()), None)])
            }
            GlobalValue::Ip(ip) => Ok(vec![ListenSpec::new(None, ListenHost::Ip(ip), None)]),
            other => Err(wrong("[proto:]address[:port]", &other)),
        }
    }
    fn show(&self) -> Value {
        Value::Int(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }
}

/// A `listen` line adds to those before it, and uses up `mcast` and `socket_workers`, as in Kamailio.
pub(super) fn add_listen(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    let mut specs = Vec::<ListenSpec>::read(value)?;
    let (mcast, workers) = (globals.mcast.take(), globals.socket_workers.take());
    for spec in &mut specs {
        spec.mcast = mcast.clone();
        spec.workers = spec.workers.or(workers);
    }
    globals.listen.append(&mut specs);
    Ok(())
}

/// One name of an `alias` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasSpec {
    /// Any where not stated.
    pub transport: Option<Transport>,
    /// A name or an address.
    pub host: Str,
    /// Any where not stated.
    pub port: Option<u16>,
}

impl GlobalType for Vec<AliasSpec> {
    const KIND: GlobalKind = GlobalKind::Aliases;
    fn read(value: GlobalValue) -> Result<Self, BindError> {
        if let GlobalValue::Aliases(specs) = value {
            return Ok(specs);
        }
        let host = text(&value).map_err(|_| wrong("[proto:]host[:port]", &value))?;
        Ok(vec![AliasSpec {
            transport: None,
            host,
            port: None,
        }])
    }
    fn show(&self) -> Value {
        Value::Int(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }
}

/// An `alias` line adds to those before it.
pub(super) fn add_alias(globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
    globals.alias.append(&mut Vec::<AliasSpec>::read(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{super::find, *};

    fn listen(globals: &mut Globals, spec: ListenSpec) {
        find("listen")
            .unwrap()
            .set(globals, GlobalValue::Listen(vec![spec]))
            .unwrap();
    }

    #[test]
    fn lines_add_up_and_use_up_what_stands_before_them() {
        let mut globals = Globals::default();
        let set = |globals: &mut Globals, name, value| find(name).unwrap().set(globals, value).unwrap();
        set(&mut globals, "mcast", GlobalValue::Str(Str::from_static("eth1")));
        set(&mut globals, "socket_workers", GlobalValue::Int(2));
        let spec = ListenSpec::new(Some(Transport::Udp), ListenHost::parse("224.0.1.75"), Some(5060));
        listen(&mut globals, spec.clone());
        listen(&mut globals, spec);
        let [first, second] = globals.listen.as_slice() else {
            panic!("two listeners")
        };
        assert_eq!((first.mcast.is_some(), first.workers), (true, Some(2)));
        assert_eq!((second.mcast.is_some(), second.workers), (false, None));
    }

    #[test]
    fn a_range_of_ports_is_one_listener_each() {
        let mut globals = Globals::default();
        let mut spec = ListenSpec::new(Some(Transport::Udp), ListenHost::parse("[::1]"), Some(5060));
        spec.last_port = Some(5062);
        spec.name = Some(Str::from_static("s"));
        spec.advertise = Some(Advertise {
            host: Str::from_static("example.com"),
            port: Some(6060),
            transport: None,
        });
        listen(&mut globals, spec.clone());
        assert_eq!(globals.listen.len(), 3);
        let last = globals.listen.last().unwrap();
        assert_eq!(last.name.as_deref(), Some(b"s5062".as_slice()));
        assert_eq!(last.advertise.as_ref().and_then(|told| told.port), Some(6062));
        spec.last_port = Some(5000);
        assert!(spec.each_port().is_err());
    }

    #[test]
    fn domain_is_another_word_for_alias() {
        let mut globals = Globals::default();
        let value = GlobalValue::Ident(Str::from_static("example.com"));
        find("domain").unwrap().set(&mut globals, value.clone()).unwrap();
        find("alias").unwrap().set(&mut globals, value).unwrap();
        assert_eq!(globals.alias.len(), 2);
    }
}
