//! Opening listeners: from the lines of a configuration to bound sockets, or to errors that say what helps.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, OwnedFd},
};

use kahea_sip::Transport;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    BindError, ListenAddress, ListenSpec, NetConfig,
    sys::{self, Interface},
};

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the line, `None` for automatic listeners.
    pub index: Option<usize>,
    /// The line, or one made up for an automatic listener.
    pub spec: ListenSpec,
    /// UDP or TCP.
    pub transport: Transport,
    /// Where; port 0 lets the kernel pick.
    pub address: SocketAddr,
}

impl Place {
    fn error(&self, cause: impl Into<String>, remedy: impl Into<String>) -> BindError {
        let listener = format!("{}:{}", self.transport, self.address);
        BindError {
            listener,
            index: self.index,
            cause: cause.into(),
            remedy: remedy.into(),
        }
    }
}

/// Every address that `config` wants listened on, in its order and without duplicates, with what is wrong beside.
pub fn places(config: &NetConfig, interfaces: &[Interface]) -> (Vec<Place>, Vec<BindError>) {
    let automatic;
    let (specs, auto) = if config.listen.is_empty() {
        automatic = [ListenSpec::new(Transport::None, ListenAddress::Any, None)];
        (&automatic[..], true)
    } else {
        (&config.listen[..], false)
    };
    let (mut places, mut errors) = (Vec::<Place>::new(), Vec::new());
    for (index, spec) in specs.iter().enumerate() {
        let index = (!auto).then_some(index);
        match addresses(config, spec, interfaces) {
            Ok(found) => {
                for (transport, address) in found {
                    let known =
                        |p: &Place| p.transport == transport && p.address == address && address.port() != 0;
                    if !places.iter().any(known) {
                        places.push(Place {
                            index,
                            spec: spec.clone(),
                            transport,
                            address,
                        });
                    }
                }
            }
            Err((cause, remedy)) => {
                errors.push(BindError {
                    listener: written(spec),
                    index,
                    cause,
                    remedy,
                });
            }
        }
    }
    (places, errors)
}

/// The listener as a configuration would have it.
pub fn written(spec: &ListenSpec) -> String {
    let host = match &spec.address {
        ListenAddress::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        ListenAddress::Ip(ip) => ip.to_string(),
        ListenAddress::Name(name) => name.clone(),
        ListenAddress::Any => "any".into(),
    };
    let transport = match spec.transport {
        Transport::None => String::new(),
        transport => format!("{transport}:"),
    };
    match spec.port {
        Some(port) => format!("{transport}{host}:{port}"),
        None => format!("{transport}{host}"),
    }
}

type Fault = (String, String);

fn addresses(
    config: &NetConfig,
    spec: &ListenSpec,
    interfaces: &[Interface],
) -> Result<Vec<(Transport, SocketAddr)>, Fault> {
    let transports = match spec.transport {
        Transport::None if config.disable_tcp => vec![Transport::Udp],
        Transport::None => vec![Transport::Udp, Transport::Tcp],
        Transport::Tcp if config.disable_tcp => return Ok(Vec::new()),
        Transport::Udp | Transport::Tcp => vec![spec.transport],
        other => {
            let cause = format!("the transport {other} is not in this build yet");
            return Err((cause, "take the line out, or use udp or tcp".into()));
        }
    };
    let hosts = hosts(config, spec, interfaces)?;
    let mut found = Vec::new();
    for transport in transports {
        let port = spec.port.or(config.port).unwrap_or(transport.default_port());
        found.extend(hosts.iter().map(|host| {
            let mut address = *host;
            address.set_port(port);
            (transport, address)
        }));
    }
    Ok(found)
}

fn hosts(config: &NetConfig, spec: &ListenSpec, interfaces: &[Interface]) -> Result<Vec<SocketAddr>, Fault> {
    match &spec.address {
        ListenAddress::Ip(ip) => {
            let scoped = interfaces.iter().map(|i| i.address).find(|a| a.ip() == *ip);
            Ok(vec![scoped.unwrap_or(SocketAddr::new(*ip, 0))])
        }
        ListenAddress::Any => {
            let usable = |i: &&Interface| {
                i.up && (i.address.is_ipv4() || config.auto_bind_ipv6) && bindable(config, i)
            };
            Ok(interfaces.iter().filter(usable).map(|i| i.address).collect())
        }
        ListenAddress::Name(name) => {
            let own = interfaces
                .iter()
                .filter(|i| i.name == *name && bindable(config, i));
            let own: Vec<SocketAddr> = own.map(|i| i.address).collect();
            if own.is_empty() {
                by_name(name, interfaces)
            } else {
                Ok(own)
            }
        }
    }
}

fn bindable(config: &NetConfig, interface: &Interface) -> bool {
    match interface.address.ip() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => config.bind_ipv6_link_local != 0,
        _ => true,
    }
}

/// Not an interface: a host name, looked up once at start, where waiting harms nobody.
#[expect(
    clippy::disallowed_methods,
    reason = "runs at start and on the reload thread, before any message"
)]
fn by_name(name: &str, interfaces: &[Interface]) -> Result<Vec<SocketAddr>, Fault> {
    use std::net::ToSocketAddrs;
    let found: Vec<SocketAddr> = (name, 0)
        .to_socket_addrs()
        .map(Iterator::collect)
        .unwrap_or_default();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut names: Vec<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
    names.dedup();
    let cause =
        format!("`{name}` is neither an interface with a usable address nor a host name that resolves");
    Err((cause, format!("the interfaces are: {}", names.join(", "))))
}

/// Opens the sockets of one listener, one for each worker. Returns them with the port (where 0 was asked for).
pub fn open(
    config: &NetConfig,
    place: &Place,
    workers: usize,
    inherited: &mut Vec<OwnedFd>,
) -> Result<(Vec<Socket>, u16), BindError> {
    if let Some(fd) = take_inherited(place, inherited) {
        return share(fd, config, place, workers).map_err(|error| explain(place, &error));
    }
    probe(config, place).map_err(|error| explain(place, &error))?;
    let mut place = place.clone();
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers.max(1) {
        let socket = socket(config, &place, true).map_err(|error| explain(&place, &error))?;
        let local = socket.local_addr().ok().and_then(|a| a.as_socket());
        place
            .address
            .set_port(local.map_or(place.address.port(), |a| a.port()));
        sockets.push(socket);
    }
    Ok((sockets, place.address.port()))
}

/// Several sockets on one port would also join those of another server with the same owner: a bind without
/// `SO_REUSEPORT` finds out first.
fn probe(config: &NetConfig, place: &Place) -> io::Result<()> {
    if place.address.port() == 0 || place.address.ip().is_multicast() {
        return Ok(());
    }
    socket(config, place, false).map(drop)
}

fn socket(config: &NetConfig, place: &Place, serve: bool) -> io::Result<Socket> {
    let (kind, protocol) = kind(place.transport);
    let socket = Socket::new(Domain::for_address(place.address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if place.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if config.ip_free_bind == 1 || place.spec.r#virtual {
        free_bind(&socket, place.address)?;
    }
    if let Some(device) = &place.spec.vrf {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    if place.transport == Transport::Tcp {
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(serve)?;
    socket.bind(&place.address.into())?;
    if serve {
        prepare(config, place, &socket)?;
    }
    Ok(socket)
}

fn kind(transport: Transport) -> (Type, Protocol) {
    match transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        _ => (Type::STREAM, Protocol::TCP),
    }
}

fn free_bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        return sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_FREEBIND, 1);
    }
    sys::set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_FREEBIND, 1)
}

/// The options of a bound socket. Those that only tune are tried, and their failure is no reason not to serve.
fn prepare(config: &NetConfig, place: &Place, socket: &Socket) -> io::Result<()> {
    set_tos(socket, place.address, config.tos);
    if place.transport == Transport::Udp {
        return prepare_udp(config, place, socket);
    }
    if config.tcp.defer_accept > 0 {
        let _ = sys::set_option(
            socket.as_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            config.tcp.defer_accept as i32,
        );
    }
    socket.listen(config.tcp.listen_backlog.max(1))
}

/// Sets type of service (IPv4) or traffic class (IPv6).
pub fn set_tos(socket: &Socket, address: SocketAddr, tos: i64) {
    let Ok(tos) = i32::try_from(tos) else { return };
    let (level, name) = match address {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    };
    let _ = sys::set_option(socket.as_fd(), level, name, tos);
}

fn prepare_udp(config: &NetConfig, place: &Place, socket: &Socket) -> io::Result<()> {
    grow(
        config.maxbuffer,
        |size| socket.set_recv_buffer_size(size),
        || socket.recv_buffer_size(),
    );
    grow(
        config.maxsndbuffer,
        |size| socket.set_send_buffer_size(size),
        || socket.send_buffer_size(),
    );
    let v4 = place.address.is_ipv4();
    if place.address.ip().is_unspecified() {
        let (level, name) = if v4 {
            (libc::IPPROTO_IP, libc::IP_PKTINFO)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
        };
        sys::set_option(socket.as_fd(), level, name, 1)?;
    }
    let discovery = if config.pmtu_discovery {
        libc::IP_PMTUDISC_DO
    } else {
        libc::IP_PMTUDISC_DONT
    };
    if v4 {
        let _ = sys::set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, discovery);
    }
    join_group(config, place, socket)
}

/// Asks for a buffer of `size` bytes where the present one is smaller.
fn grow(size: usize, set: impl Fn(usize) -> io::Result<()>, now: impl Fn() -> io::Result<usize>) {
    if now().is_ok_and(|present| present < size) {
        let _ = set(size);
    }
}

fn join_group(config: &NetConfig, place: &Place, socket: &Socket) -> io::Result<()> {
    let ttl = u32::try_from(config.mcast_ttl).ok().filter(|t| *t <= 255);
    let device = config.mcast.as_deref();
    match place.address.ip() {
        IpAddr::V4(group) if group.is_multicast() => {
            let own = device.and_then(interface_v4).unwrap_or(Ipv4Addr::UNSPECIFIED);
            socket.join_multicast_v4(&group, &own)?;
            socket.set_multicast_loop_v4(config.mcast_loopback)?;
            ttl.map_or(Ok(()), |ttl| socket.set_multicast_ttl_v4(ttl))
        }
        IpAddr::V6(group) if group.is_multicast() => {
            socket.join_multicast_v6(&group, device.map_or(0, interface_scope))?;
            socket.set_multicast_loop_v6(config.mcast_loopback)?;
            ttl.map_or(Ok(()), |ttl| socket.set_multicast_hops_v6(ttl))
        }
        _ => Ok(()),
    }
}

fn interface_v4(name: &str) -> Option<Ipv4Addr> {
    let list = sys::interfaces().ok()?;
    list.into_iter()
        .filter(|i| i.name == name)
        .find_map(|i| match i.address.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
}

fn interface_scope(name: &str) -> u32 {
    let list = sys::interfaces().unwrap_or_default();
    let scope = |i: Interface| match i.address {
        SocketAddr::V6(a) if i.name == name && a.scope_id() != 0 => Some(a.scope_id()),
        _ => None,
    };
    list.into_iter().find_map(scope).unwrap_or(0)
}

fn take_inherited(place: &Place, inherited: &mut Vec<OwnedFd>) -> Option<OwnedFd> {
    let fits = |fd: &OwnedFd| {
        let socket = socket2::SockRef::from(fd);
        let bound = socket.local_addr().ok().and_then(|a| a.as_socket());
        bound == Some(place.address)
            && socket
                .r#type()
                .is_ok_and(|kind| kind == self::kind(place.transport).0)
    };
    let at = inherited.iter().position(fits)?;
    Some(inherited.swap_remove(at))
}

/// An inherited socket has no siblings: every worker accepts from the one TCP socket; UDP is read by the first worker
/// alone (the order of a peer's datagrams would be lost otherwise) and written by all.
fn share(fd: OwnedFd, config: &NetConfig, place: &Place, workers: usize) -> io::Result<(Vec<Socket>, u16)> {
    let socket = Socket::from(fd);
    socket.set_nonblocking(true)?;
    set_tos(&socket, place.address, config.tos);
    if place.transport == Transport::Tcp {
        socket.listen(config.tcp.listen_backlog.max(1))?;
        let copies: io::Result<Vec<Socket>> = (1..workers.max(1)).map(|_| socket.try_clone()).collect();
        let mut sockets = copies?;
        sockets.push(socket);
        return Ok((sockets, place.address.port()));
    }
    prepare_udp(config, place, &socket)?;
    Ok((vec![socket], place.address.port()))
}

fn explain(place: &Place, error: &io::Error) -> BindError {
    let address = place.address;
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            let owner = crate::owner::of(place.transport, address);
            let by = owner.map_or("another process".into(), |o| o.to_string());
            place.error(
                format!("the port is in use by {by}"),
                "stop it, or choose another port or address",
            )
        }
        Some(libc::EACCES) => place.error(
            format!("no permission for port {}", address.port()),
            "start as root or with the capability CAP_NET_BIND_SERVICE, or use a port above 1023",
        ),
        Some(libc::EADDRNOTAVAIL) => place.error(
            format!("this host has no address {}", address.ip()),
            format!(
                "use one of its own ({}), or `virtual`, or ip_free_bind=1",
                own_addresses()
            ),
        ),
        Some(libc::EAFNOSUPPORT) => place.error("this host has no IPv6", "take the line out, or enable IPv6"),
        Some(libc::EMFILE | libc::ENFILE) => place.error(
            "no file descriptors are left",
            "raise open_files_limit or the system's limit",
        ),
        _ => place.error(error.to_string(), "check address, interface and permissions"),
    }
}

fn own_addresses() -> String {
    let list = sys::interfaces().unwrap_or_default();
    let own: Vec<String> = list
        .iter()
        .filter(|i| i.up)
        .map(|i| i.address.ip().to_string())
        .collect();
    own.join(", ")
}

/// The address that the kernel would send from to reach `to`; asks the routing table, sends nothing.
pub fn route_source(to: SocketAddr) -> Option<IpAddr> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, address: &str) -> Interface {
        let address = SocketAddr::new(address.parse().unwrap(), 0);
        Interface {
            name: name.into(),
            address,
            up: true,
            loopback: name == "lo",
        }
    }

    fn two() -> Vec<Interface> {
        vec![
            interface("lo", "127.0.0.1"),
            interface("eth0", "192.0.2.1"),
            interface("eth0", "2001:db8::1"),
            interface("eth0", "fe80::1"),
        ]
    }

    fn shown(config: &NetConfig) -> Vec<String> {
        let (places, errors) = places(config, &two());
        assert_eq!(errors, []);
        places
            .iter()
            .map(|p| format!("{}:{}", p.transport, p.address))
            .collect()
    }

    #[test]
    fn without_listen_every_ipv4_address_is_taken_for_udp_and_tcp() {
        let mut config = NetConfig::default();
        let v4 = [
            "udp:127.0.0.1:5060",
            "udp:192.0.2.1:5060",
            "tcp:127.0.0.1:5060",
            "tcp:192.0.2.1:5060",
        ];
        assert_eq!(shown(&config), v4);
        config.auto_bind_ipv6 = true;
        config.disable_tcp = true;
        config.port = Some(5070);
        assert_eq!(
            shown(&config),
            [
                "udp:127.0.0.1:5070",
                "udp:192.0.2.1:5070",
                "udp:[2001:db8::1]:5070"
            ]
        );
    }

    #[test]
    fn interfaces_hosts_and_duplicates() {
        let spec = |t, a: &str, p| ListenSpec::new(t, ListenAddress::parse(a), p);
        let listen = vec![
            spec(Transport::Udp, "eth0", Some(5062)),
            spec(Transport::Udp, "192.0.2.1", Some(5062)),
            spec(Transport::Tcp, "[2001:db8::1]", None),
        ];
        let config = NetConfig {
            listen,
            ..NetConfig::default()
        };
        assert_eq!(
            shown(&config),
            [
                "udp:192.0.2.1:5062",
                "udp:[2001:db8::1]:5062",
                "tcp:[2001:db8::1]:5060"
            ]
        );
    }

    #[test]
    fn a_missing_interface_names_those_there_are_and_tls_is_refused_by_name() {
        let listen = vec![
            ListenSpec::new(
                Transport::Udp,
                ListenAddress::parse("no-such-interface.invalid"),
                Some(5060),
            ),
            ListenSpec::new(Transport::Tls, ListenAddress::parse("192.0.2.1"), Some(5061)),
        ];
        let (places, errors) = places(
            &NetConfig {
                listen,
                ..NetConfig::default()
            },
            &two(),
        );
        assert!(places.is_empty());
        assert_eq!(errors[0].index, Some(0));
        assert!(
            errors[0].to_string().contains("the interfaces are: lo, eth0"),
            "{}",
            errors[0]
        );
        assert!(
            errors[1].to_string().contains("tls:192.0.2.1:5061"),
            "{}",
            errors[1]
        );
    }

    #[test]
    fn a_port_in_use_names_its_owner() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let listen = vec![ListenSpec::new(
            Transport::Udp,
            ListenAddress::parse("127.0.0.1"),
            Some(taken.local_addr().unwrap().port()),
        )];
        let config = NetConfig {
            listen,
            ..NetConfig::default()
        };
        let (places, _) = places(&config, &two());
        let error = open(&config, &places[0], 2, &mut Vec::new())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("in use by") && error.contains(&std::process::id().to_string()),
            "{error}"
        );
    }
}
