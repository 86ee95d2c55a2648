//! The peers of a scenario: blocking sockets with a deadline per read.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::scenario::Kind;
use crate::web::Web;

/// A peer of the server.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name in the scenario.
    pub name: String,
    /// Its own address.
    pub address: SocketAddr,
    server: SocketAddr,
    wire: Wire,
}

#[derive(Debug)]
enum Wire {
    Udp(UdpSocket),
    Listening(TcpListener),
    Tcp { stream: TcpStream, buffer: Vec<u8> },
    Http(Web),
    Closed,
}

/// What a read gave.
#[derive(Debug)]
pub enum Received {
    /// A datagram or a framed message, and who sent it.
    Data(Vec<u8>, SocketAddr),
    /// The connection has ended.
    End,
    /// The time is over.
    Nothing,
}

impl Endpoint {
    /// Opens the socket; a TCP client is connected when this returns.
    ///
    /// # Errors
    /// The address is taken, or the server refuses the connection.
    pub fn open(name: &str, kind: Kind, host: IpAddr, port: u16, server: SocketAddr) -> io::Result<Self> {
        let address = SocketAddr::new(host, port);
        let wire = match kind {
            Kind::Udp => Wire::Udp(UdpSocket::bind(address)?),
            Kind::TcpListen => Wire::Listening(listen(address)?),
            Kind::Http => Wire::Http(Web::open(address)?),
            Kind::Tcp => Wire::Tcp {
                stream: connect(address, server)?,
                buffer: Vec::new(),
            },
        };
        Ok(Self {
            name: name.into(),
            address,
            server,
            wire,
        })
    }

    /// `UDP` or `TCP`, as a Via names it.
    pub fn proto(&self) -> &'static str {
        if matches!(self.wire, Wire::Udp(_)) {
            "UDP"
        } else {
            "TCP"
        }
    }

    /// Sends bytes to the server, or over UDP to another address.
    ///
    /// # Errors
    /// The system refuses, or there is no connection.
    pub fn send(&mut self, data: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        match &mut self.wire {
            Wire::Udp(socket) => socket.send_to(data, to.unwrap_or(self.server)).map(|_| ()),
            Wire::Tcp { stream, .. } => stream.write_all(data),
            Wire::Http(web) => web.send(data),
            Wire::Listening(_) | Wire::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The next message: a datagram, or what Content-Length frames on a connection. Keepalives are passed over.
    ///
    /// # Errors
    /// The socket fails for another reason than time or the end of a connection.
    pub fn receive(&mut self, timeout: Duration) -> io::Result<Received> {
        self.read(timeout, true)
    }

    /// The next datagram, or whatever a connection gives in one read.
    ///
    /// # Errors
    /// As [`Endpoint::receive`].
    pub fn receive_raw(&mut self, timeout: Duration) -> io::Result<Received> {
        self.read(timeout, false)
    }

    /// Closes the socket; of a web server only the connection in use.
    pub fn close(&mut self) {
        if let Wire::Http(web) = &mut self.wire {
            return web.hang_up();
        }
        if let Wire::Tcp { stream, .. } = &self.wire {
            // The peer may have closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.wire = Wire::Closed;
    }

    fn read(&mut self, timeout: Duration, framed: bool) -> io::Result<Received> {
        let until = Instant::now() + timeout;
        loop {
            let left = until
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            self.accept(left)?;
            let got = match &mut self.wire {
                Wire::Udp(socket) => datagram(socket, left)?,
                Wire::Tcp { stream, buffer } if framed => frame(stream, buffer, until, self.server)?,
                Wire::Tcp { stream, .. } => chunk(stream, left, self.server)?,
                Wire::Http(web) => web.request(until)?,
                Wire::Listening(_) | Wire::Closed => Received::Nothing,
            };
            match got {
                Received::Data(data, _) if framed && is_keepalive(&data) => {}
                got => return Ok(got),
            }
        }
    }

    /// Takes the connection that a listening endpoint waits for, if one comes in time.
    fn accept(&mut self, timeout: Duration) -> io::Result<()> {
        let Wire::Listening(listener) = &self.wire else {
            return Ok(());
        };
        let until = Instant::now() + timeout;
        listener.set_nonblocking(true)?;
        loop {
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(false)?;
                    self.server = peer;
                    self.wire = Wire::Tcp {
                        stream,
                        buffer: Vec::new(),
                    };
                    return Ok(());
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if Instant::now() >= until => return Ok(()),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(16)?;
    Ok(socket.into())
}

/// Connects from a fixed address. A refusal is tried again for a while: servers open their TCP sockets last.
fn connect(address: SocketAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        match socket.connect_timeout(&SockAddr::from(server), Duration::from_secs(3)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => {
                done?;
                socket.set_tcp_nodelay(true)?;
                return Ok(socket.into());
            }
        }
    }
}

fn datagram(socket: &UdpSocket, timeout: Duration) -> io::Result<Received> {
    socket.set_read_timeout(Some(timeout))?;
    let mut buffer = vec![0; 65_536];
    match socket.recv_from(&mut buffer) {
        Ok((length, peer)) => {
            buffer.truncate(length);
            Ok(Received::Data(buffer, peer))
        }
        Err(error) => quiet(error),
    }
}

pub(crate) fn chunk(stream: &mut TcpStream, timeout: Duration, peer: SocketAddr) -> io::Result<Received> {
    stream.set_read_timeout(Some(timeout))?;
    let mut buffer = vec![0; 65_536];
    match stream.read(&mut buffer) {
        Ok(0) => Ok(Received::End),
        Ok(length) => {
            buffer.truncate(length);
            Ok(Received::Data(buffer, peer))
        }
        Err(error) => quiet(error),
    }
}

fn frame(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    until: Instant,
    peer: SocketAddr,
) -> io::Result<Received> {
    loop {
        if let Some(message) = take_frame(buffer) {
            return Ok(Received::Data(message, peer));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Received::Nothing);
        }
        match chunk(stream, left, peer)? {
            Received::Data(more, _) => buffer.extend_from_slice(&more),
            other => return Ok(other),
        }
    }
}

/// Removes the first complete message from a buffer; without a Content-Length it ends with its headers.
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let start = buffer.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
    let head = buffer.get(start..)?.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(buffer.get(start..start + head)?).into_owned();
    let length = text.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let hit = ["content-length", "l"]
            .iter()
            .any(|n| name.trim().eq_ignore_ascii_case(n));
        hit.then(|| value.trim().parse::<usize>().unwrap_or(0))
    });
    let end = start
        .checked_add(head)?
        .checked_add(4)?
        .checked_add(length.unwrap_or(0))?;
    let message = buffer.get(start..end)?.to_vec();
    buffer.drain(..end);
    Some(message)
}

fn is_keepalive(data: &[u8]) -> bool {
    data.iter().all(|b| matches!(b, b'\r' | b'\n' | b'\0' | b' '))
}

fn quiet(error: io::Error) -> io::Result<Received> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
            Ok(Received::Nothing)
        }
        // A port of ours was unreachable for an earlier datagram: no news about this one.
        io::ErrorKind::ConnectionRefused => Ok(Received::Nothing),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(Received::End),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_content_length() {
        let mut buffer = b"\r\n\r\nA sip:x SIP/2.0\r\nl : 3\r\n\r\nabcB sip:y SIP/2.0\r\n\r\nC".to_vec();
        assert_eq!(
            take_frame(&mut buffer).unwrap(),
            b"A sip:x SIP/2.0\r\nl : 3\r\n\r\nabc"
        );
        assert_eq!(take_frame(&mut buffer).unwrap(), b"B sip:y SIP/2.0\r\n\r\n");
        assert_eq!(take_frame(&mut buffer), None);
        assert_eq!(buffer, b"C");
    }

    #[test]
    fn a_listener_takes_the_first_connection() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let probe = TcpListener::bind((host, 0)).unwrap();
        let port = probe.local_addr().unwrap().port();
        drop(probe);
        let own = SocketAddr::new(host, port);
        let mut bob = Endpoint::open("bob", Kind::TcpListen, host, port, own).unwrap();
        let mut client = TcpStream::connect(own).unwrap();
        client.write_all(b"A sip:x SIP/2.0\r\n\r\n").unwrap();
        assert!(matches!(
            bob.receive(Duration::from_secs(2)).unwrap(),
            Received::Data(..)
        ));
        drop(client);
        assert!(matches!(
            bob.receive(Duration::from_secs(2)).unwrap(),
            Received::End
        ));
    }
}
