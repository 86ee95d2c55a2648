//! Where commands are taken: `unixs:/run/kamailio/kamailio_ctl`, `udp:localhost:2046`, `fifo:/tmp/fifo`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A unix stream socket.
    UnixStream(PathBuf),
    /// A unix datagram socket.
    UnixDatagram(PathBuf),
    /// A named pipe.
    Fifo(PathBuf),
    /// UDP.
    Udp(SocketAddr),
    /// TCP.
    Tcp(SocketAddr),
}

/// What an address without a protocol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// A path is a unix stream socket, what else a UDP address.
    Socket,
    /// A path is a unix datagram socket, what else a UDP address.
    Datagram,
    /// A named pipe.
    Fifo,
}

impl Address {
    /// Reads it; paths that are not absolute are below `rundir`. Names are looked up at once.
    ///
    /// # Errors
    /// It is no address, or the name is not known; one sentence.
    pub fn read(text: &str, bare: Bare, rundir: &str) -> Result<Address, String> {
        let path = |text: &str| match text.is_empty() {
            true => Err("the path is missing".to_owned()),
            false => Ok(Path::new(rundir).join(text)),
        };
        let (protocol, rest) = match text.split_once(':') {
            Some((protocol, rest)) if !protocol.contains('/') => (protocol, rest),
            _ => ("", text),
        };
        match protocol {
            "unix" | "unixs" => path(rest).map(Address::UnixStream),
            "unixd" => path(rest).map(Address::UnixDatagram),
            "fifo" => path(rest).map(Address::Fifo),
            "udp" => host_and_port(rest).map(Address::Udp),
            "tcp" => host_and_port(rest).map(Address::Tcp),
            _ => match bare {
                Bare::Fifo => path(text).map(Address::Fifo),
                Bare::Socket if text.contains('/') => path(text).map(Address::UnixStream),
                Bare::Datagram if text.contains('/') || !text.contains(':') => {
                    path(text).map(Address::UnixDatagram)
                }
                Bare::Socket | Bare::Datagram => host_and_port(text).map(Address::Udp),
            },
        }
    }

    /// The file that it makes.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Address::UnixStream(path) | Address::UnixDatagram(path) | Address::Fifo(path) => Some(path),
            Address::Udp(_) | Address::Tcp(_) => None,
        }
    }

    /// The kind, in Kamailio's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Address::UnixStream(_) => "unix_stream",
            Address::UnixDatagram(_) => "unix_dgram",
            Address::Fifo(_) => "fifo",
            Address::Udp(_) => "udp",
            Address::Tcp(_) => "tcp",
        }
    }

    /// Path or IP address, and port where there is one.
    pub fn parts(&self) -> (String, String) {
        match self {
            Address::UnixStream(path) | Address::UnixDatagram(path) | Address::Fifo(path) => {
                (path.display().to_string(), String::new())
            }
            Address::Udp(at) | Address::Tcp(at) => (at.ip().to_string(), at.port().to_string()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Udp(at) | Address::Tcp(at) => write!(f, "{}:{at}", self.kind()),
            _ => write!(f, "{}:{}", self.kind(), self.parts().0),
        }
    }
}

/// `host:port`, `*:port`, `port`.
#[expect(
    clippy::disallowed_methods,
    reason = "a configuration starts on a thread that may wait, and names are few"
)]
fn host_and_port(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port),
        Some(_) => (text, ""),
        None => ("", text),
    };
    let port: u16 = port
        .parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("{text} has no port"))?;
    if matches!(host, "" | "*") {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, port).to_socket_addrs();
    let mut found = found.map_err(|error| format!("{host} is not known: {error}"))?;
    found.next().ok_or_else(|| format!("{host} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        Address::read(text, Bare::Socket, "/run/kahea")
    }

    #[test]
    fn the_forms_of_the_manual_are_read() {
        let udp = |text: &str| Ok(Address::Udp(text.parse().unwrap()));
        let tcp = |text: &str| Ok(Address::Tcp(text.parse().unwrap()));
        let stream = |text: &str| Ok(Address::UnixStream(text.into()));
        assert_eq!(read("unix:/tmp/a"), stream("/tmp/a"));
        assert_eq!(read("unixs:/tmp/a"), stream("/tmp/a"));
        assert_eq!(read("/tmp/a"), stream("/tmp/a"));
        assert_eq!(read("/tmp/a:b"), stream("/tmp/a:b"));
        assert_eq!(read("unixs:ctl"), stream("/run/kahea/ctl"));
        assert_eq!(read("unixd:/tmp/a"), Ok(Address::UnixDatagram("/tmp/a".into())));
        assert_eq!(read("fifo:/tmp/a"), Ok(Address::Fifo("/tmp/a".into())));
        assert_eq!(read("udp:127.0.0.1:2046"), udp("127.0.0.1:2046"));
        assert_eq!(read("127.0.0.1:2046"), udp("127.0.0.1:2046"));
        assert_eq!(read("tcp:3012"), tcp("0.0.0.0:3012"));
        assert_eq!(read("udp:*:3012"), udp("0.0.0.0:3012"));
        assert_eq!(read("tcp:[::1]:3012"), tcp("[::1]:3012"));
        let fifo = Address::read("udp:*:2050", Bare::Fifo, "/run");
        assert_eq!(fifo, udp("0.0.0.0:2050"));
        let fifo = Address::read("/tmp/f", Bare::Fifo, "/run");
        assert_eq!(fifo, Ok(Address::Fifo("/tmp/f".into())));
        let socket = Address::read("rpc.sock", Bare::Datagram, "/run");
        assert_eq!(socket, Ok(Address::UnixDatagram("/run/rpc.sock".into())));
        let socket = Address::read("udp:127.0.0.1:8090", Bare::Datagram, "/run");
        assert_eq!(socket, udp("127.0.0.1:8090"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "unix:",
            "udp:",
            "tcp:host",
            "udp:127.0.0.1:0",
            "udp:127.0.0.1:99999",
            "tcp:::1",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
