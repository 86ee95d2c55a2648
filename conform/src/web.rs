//! A web server as a peer: the server under test asks it, the scenario answers.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::endpoint::{self, Received};

/// How long to look at one connection before looking for another.
const GLANCE: Duration = Duration::from_millis(5);

/// A listener, and the connection that came last.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    connection: Option<(TcpStream, SocketAddr)>,
    buffer: Vec<u8>,
}

impl Web {
    /// Listens.
    ///
    /// # Errors
    /// The address is taken.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let listener = endpoint::listen(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connection: None,
            buffer: Vec::new(),
        })
    }

    /// The next request, of the connection in use or of a new one.
    ///
    /// # Errors
    /// The listener fails.
    pub fn request(&mut self, until: Instant) -> io::Result<Received> {
        loop {
            self.accept()?;
            if let Some((stream, peer)) = &mut self.connection {
                match endpoint::chunk(stream, GLANCE, *peer)? {
                    Received::Data(more, _) => self.buffer.extend_from_slice(&more),
                    Received::End => self.connection = None,
                    Received::Nothing => {}
                }
            } else {
                std::thread::sleep(GLANCE);
            }
            if let (Some((_, peer)), Some(request)) =
                (&self.connection, endpoint::take_frame(&mut self.buffer))
            {
                return Ok(Received::Data(request, *peer));
            }
            if Instant::now() >= until {
                return Ok(Received::Nothing);
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        match self.listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                self.connection = Some((stream, peer));
                self.buffer.clear();
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sends bytes over the connection in use.
    ///
    /// # Errors
    /// There is none, or it has broken.
    pub fn send(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.connection {
            Some((stream, _)) => stream.write_all(data),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Closes the connection in use.
    pub fn hang_up(&mut self) {
        if let Some((stream, _)) = self.connection.take() {
            // The peer may have closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A response with its length; `extra` holds further header lines.
pub fn answer(code: u16, reason: &str, extra: &str, body: &str) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {code} {reason}\r\n");
    for line in extra.lines().filter(|line| !line.is_empty()) {
        out.push_str(line);
        out.push_str("\r\n");
    }
    out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn one_connection_after_another_is_taken() {
        let probe = TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).unwrap();
        let own = probe.local_addr().unwrap();
        drop(probe);
        let mut web = Web::open(own).unwrap();
        for body in ["one", "two"] {
            let mut client = TcpStream::connect(own).unwrap();
            let request = format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{body}");
            client.write_all(request.as_bytes()).unwrap();
            let until = Instant::now() + Duration::from_secs(2);
            let Received::Data(data, _) = web.request(until).unwrap() else {
                panic!()
            };
            assert_eq!(data, request.as_bytes());
            web.send(&answer(200, "OK", "X: y\n", body)).unwrap();
            let mut got = vec![0; 48];
            client.read_exact(&mut got).unwrap();
            assert_eq!(
                got,
                format!("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 3\r\n\r\n{body}").as_bytes()
            );
        }
        assert!(matches!(
            web.request(Instant::now() + Duration::from_millis(20)).unwrap(),
            Received::Nothing
        ));
    }
}
