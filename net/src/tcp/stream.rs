//! [`Stream`]: what a connection's task needs of a socket, so that TLS can stand in for TCP.

use std::{
    future::Future,
    io::{self, IoSlice},
};

use bytes::BytesMut;
use tokio::net::TcpStream;

/// A byte stream that is polled without handing it a buffer: an idle connection holds no memory for reading.
pub trait Stream {
    /// Completes when reading may bring something.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;

    /// Completes when writing may succeed.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;

    /// Reads what is there into the spare room of `buffer`; zero is the end of the stream.
    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize>;

    /// Writes as much as goes.
    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends the stream towards the peer.
    fn finish(&self);

    /// Makes the coming close a reset.
    fn abort_on_close(&self);
}

impl Stream for TcpStream {
    fn readable(&self) -> impl Future<Output = io::Result<()>> {
        TcpStream::readable(self)
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> {
        TcpStream::writable(self)
    }

    fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        self.try_read_buf(buffer)
    }

    fn try_write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(parts)
    }

    fn finish(&self) {
        let _ = socket2::SockRef::from(self).shutdown(std::net::Shutdown::Write);
    }

    fn abort_on_close(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(std::time::Duration::ZERO));
    }
}
