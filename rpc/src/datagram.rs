//! Sockets of datagrams, of both kinds.

use std::{future::Future, io, time::Duration};

use tokio::net::{UdpSocket, UnixDatagram};

/// A socket of datagrams.
pub trait Datagrams: Send + Sync + 'static {
    /// A sender that can be answered.
    type From: Send + Sync;

    /// Waits for a datagram.
    fn receive(&self, buffer: &mut [u8]) -> impl Future<Output = io::Result<(usize, Self::From)>> + Send;

    /// Sends one.
    fn send(&self, bytes: &[u8], to: &Self::From) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits for a datagram; after an error that lasts for a second, and gives none.
    fn receive_or_wait(
        &self,
        module: &str,
        buffer: &mut [u8],
    ) -> impl Future<Output = Option<(usize, Self::From)>> + Send {
        async move {
            match self.receive(buffer).await {
                Ok(received) => Some(received),
                // What an earlier answer ran into.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
                Err(error) => {
                    kahea_module::error!(module, "No datagram can be received: {error}.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    None
                }
            }
        }
    }
}

impl Datagrams for UdpSocket {
    type From = std::net::SocketAddr;

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::From)> {
        self.recv_from(buffer).await
    }

    async fn send(&self, bytes: &[u8], to: &Self::From) -> io::Result<()> {
        self.send_to(bytes, to).await.map(drop)
    }
}

impl Datagrams for UnixDatagram {
    type From = tokio::net::unix::SocketAddr;

    async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Self::From)> {
        self.recv_from(buffer).await
    }

    async fn send(&self, bytes: &[u8], to: &Self::From) -> io::Result<()> {
        match to.as_pathname() {
            Some(path) => self.send_to(bytes, path).await.map(drop),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}
