//! What the network layer tells the engine, and what a send comes to.

use std::{fmt, io, net::SocketAddr};

use kahea_sip::{ConnectionId, Destination, ListenerId, Received, Str, Transport};

/// Takes what a worker receives. Called on that worker's thread, one message at a time.
///
/// One sink per worker, so it needs no lock: it starts the script and returns; what has to wait is spawned with
/// [`tokio::task::spawn_local`]. Messages of one connection or one UDP peer come in their order.
pub trait Sink: 'static {
    /// One datagram or one frame of a stream.
    fn message(&self, data: Str, received: Received);

    /// Something else happened.
    fn event(&self, event: NetEvent);
}

/// Something other than a message.
#[derive(Clone, Debug)]
pub enum NetEvent {
    /// A connection is up.
    Connected {
        /// Which.
        connection: ConnectionId,
        /// Over which transport.
        transport: Transport,
        /// The other side.
        peer: SocketAddr,
        /// This side.
        local: SocketAddr,
        /// The listener that accepted it; `None` where we opened it.
        accepted_by: Option<ListenerId>,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Over which transport.
        transport: Transport,
        /// The other side.
        peer: SocketAddr,
        /// This side.
        local: SocketAddr,
        /// Why.
        reason: CloseReason,
    },
    /// A message that was taken for sending will not leave: one event for each message.
    SendFailed {
        /// Where it was to go; `connection` is the one that failed.
        destination: Destination,
        /// The message.
        data: Str,
        /// Why.
        error: SendError,
    },
    /// A stream carried something that is not SIP. It is closed once what is queued was sent: a reply to
    /// `received.connection` from inside this call still leaves.
    BadFrame {
        /// What had been read, at most [`BAD_FRAME_HEAD`] bytes of it.
        head: Str,
        /// From where.
        received: Received,
        /// What is wrong with it, in one sentence.
        reason: String,
        /// The status to answer with, where an answer is due.
        reply: Option<(u16, &'static str)>,
    },
    /// A whole STUN message came over a stream (RFC 5626 section 4.4.2).
    Stun {
        /// The message.
        data: Str,
        /// From where.
        received: Received,
    },
    /// A keepalive of RFC 5626 section 4.4.1 came in (and was answered, where that is configured).
    Keepalive {
        /// At which connection.
        connection: ConnectionId,
    },
}

/// See [`NetEvent::BadFrame`].
pub const BAD_FRAME_HEAD: usize = 4096;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it.
    Peer,
    /// The peer reset it, or the network failed.
    Reset,
    /// Idle for `tcp_connection_lifetime`.
    Idle,
    /// The peer did not read for `tcp_send_timeout`.
    SendTimeout,
    /// More was queued than `tcp_conn_wq_max`.
    QueueFull,
    /// No data, or half a message, for too long.
    ReadTimeout,
    /// It carried something that is not SIP.
    BadFrame,
    /// It could not be opened.
    ConnectFailed,
    /// Closed on request: [`kahea_sip::SendFlags::close`], a script or an operator.
    Local,
    /// The server stops.
    Shutdown,
}

impl CloseReason {
    /// One word for logs and `$tcp(…)`.
    pub const fn name(self) -> &'static str {
        match self {
            CloseReason::Peer => "closed",
            CloseReason::Reset => "reset",
            CloseReason::Idle => "timeout",
            CloseReason::SendTimeout => "send timeout",
            CloseReason::QueueFull => "queue full",
            CloseReason::ReadTimeout => "read timeout",
            CloseReason::BadFrame => "bad frame",
            CloseReason::ConnectFailed => "connect failed",
            CloseReason::Local => "closed here",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

/// What became of a message that was accepted for sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// It waits for the end of the receive batch, or the kernel has it (UDP).
    Sent,
    /// It is queued at this connection, open or opening.
    Queued(ConnectionId),
}

/// Why a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No listener of this transport and address family: nothing to send from.
    NoListener(Transport, SocketAddr),
    /// The transport does not exist in this build.
    Unsupported(Transport),
    /// There is no open connection and opening one is not allowed (`tcp_no_connect`, send flags).
    NoConnection(SocketAddr),
    /// `tcp_max_connections` is reached.
    TooManyConnections,
    /// The write queue of the connection or of all connections is full.
    QueueFull,
    /// The connection could not be opened: the reason of the system.
    Connect(io::ErrorKind, String),
    /// The connection ended before the message was sent.
    Closed(CloseReason),
    /// The kernel refused the datagram.
    Io(io::ErrorKind, String),
    /// Longer than a datagram can be.
    TooLong(usize),
    /// The server stops.
    Shutdown,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::NoListener(transport, to) => {
                let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
                write!(
                    f,
                    "no {transport} listener on {family} to send to {to} from; add a `listen` line"
                )
            }
            SendError::Unsupported(transport) => {
                write!(f, "transport {transport} is not available in this build")
            }
            SendError::NoConnection(to) => {
                write!(f, "no open connection to {to} and opening one is not allowed")
            }
            SendError::TooManyConnections => f.write_str("tcp_max_connections reached"),
            SendError::QueueFull => f.write_str("write queue full (tcp_conn_wq_max, tcp_wq_max)"),
            SendError::Connect(_, text) => write!(f, "connection failed: {text}"),
            SendError::Closed(reason) => write!(
                f,
                "connection ended before the message was sent: {}",
                reason.name()
            ),
            SendError::Io(_, text) => write!(f, "send failed: {text}"),
            SendError::TooLong(length) => write!(f, "{length} bytes do not fit in a datagram"),
            SendError::Shutdown => f.write_str("the server is stopping"),
        }
    }
}

impl std::error::Error for SendError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let to = "[::1]:5060".parse().unwrap();
        let text = SendError::NoListener(Transport::Tcp, to).to_string();
        assert!(
            text.contains("tcp") && text.contains("IPv6") && text.contains("listen"),
            "{text}"
        );
    }
}
