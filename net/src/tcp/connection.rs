//! [`Connection`]: what the server knows of a connection, open to every thread.

use std::{net::SocketAddr, time::Duration};

use kahea_sip::{ConnectionId, Destination, ListenerId, Str, Transport};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::queue::Queue;
use crate::{CloseReason, ConnectionInfo, NetStats, SendError, TcpConfig};

/// One connection of the table.
#[derive(Debug)]
pub struct Connection {
    /// Its number.
    pub id: ConnectionId,
    /// Its transport.
    pub transport: Transport,
    /// The worker that owns the socket.
    pub worker: usize,
    /// The listener that accepted it, or that we dialled from.
    pub listener: ListenerId,
    /// It was accepted, not dialled.
    pub accepted: bool,
    /// What changes; held for moments only, never over an await.
    pub state: Mutex<State>,
    /// Tells the task that there is something to write or a reason to close.
    pub wake: Notify,
}

/// The changing part of a [`Connection`].
#[derive(Debug)]
pub struct State {
    /// The other side, as the table has it.
    pub peer: SocketAddr,
    /// This side.
    pub local: SocketAddr,
    /// Other addresses of the peer.
    pub aliases: Vec<SocketAddr>,
    /// What waits to be sent.
    pub queue: Queue,
    /// It is not up yet.
    pub connecting: bool,
    /// It ends for this reason, once the queue is empty where `true`.
    pub closing: Option<(CloseReason, bool)>,
    /// The task is gone: nothing may be queued any more.
    pub dead: bool,
    /// How long it may be idle.
    pub lifetime: Option<Duration>,
    /// When it came up.
    pub since: Instant,
    /// When something was last sent or received.
    pub active: Instant,
}

impl Connection {
    /// A connection that is up, or being opened.
    pub fn new(
        id: ConnectionId,
        transport: Transport,
        worker: usize,
        listener: ListenerId,
        accepted: bool,
        (peer, local): (SocketAddr, SocketAddr),
        config: &TcpConfig,
    ) -> Connection {
        let now = Instant::now();
        let state = State {
            peer,
            local,
            aliases: Vec::new(),
            queue: Queue::default(),
            connecting: !accepted,
            closing: None,
            dead: false,
            lifetime: lifetime(config.connection_lifetime),
            since: now,
            active: now,
        };
        Connection {
            id,
            transport,
            worker,
            listener,
            accepted,
            state: Mutex::new(state),
            wake: Notify::new(),
        }
    }

    /// Queues a message. A queue that grows over `tcp_conn_wq_max` ends the connection: the peer does not read.
    pub fn queue(
        &self,
        message: Str,
        destination: Option<Destination>,
        config: &TcpConfig,
        stats: &NetStats,
    ) -> Result<(), SendError> {
        let mut state = self.state.lock();
        if state.dead || state.closing.is_some_and(|(_, flush)| !flush) {
            return Err(SendError::Closed(
                state.closing.map_or(CloseReason::Local, |(reason, _)| reason),
            ));
        }
        let waiting = state.queue.bytes();
        if waiting > 0 && waiting.saturating_add(message.len()) > config.conn_wq_max {
            stats.sendq_full.increment();
            if !state.connecting {
                state.closing = Some((CloseReason::QueueFull, false));
                self.wake.notify_one();
            }
            return Err(SendError::QueueFull);
        }
        let total = stats
            .current_write_queue_size
            .value()
            .saturating_add(message.len() as u64);
        if total > config.wq_max as u64 {
            stats.sendq_full.increment();
            return Err(SendError::QueueFull);
        }
        stats.current_write_queue_size.add(message.len() as u64);
        if destination.is_some_and(|d| d.flags.close) && state.closing.is_none() {
            state.closing = Some((CloseReason::Local, true));
        }
        state.queue.push(message, destination);
        self.wake.notify_one();
        Ok(())
    }

    /// Asks the task to end; `flush` lets it send what is queued first. The first reason stays.
    pub fn close(&self, reason: CloseReason, flush: bool) {
        let mut state = self.state.lock();
        match &mut state.closing {
            Some((_, flushing)) => *flushing &= flush,
            none => *none = Some((reason, flush)),
        }
        self.wake.notify_one();
    }

    /// For listings.
    pub fn info(&self) -> ConnectionInfo {
        let state = self.state.lock();
        let expires = state
            .lifetime
            .map(|life| life.saturating_sub(state.active.elapsed()).as_secs());
        ConnectionInfo {
            id: self.id,
            transport: self.transport,
            peer: state.peer,
            local: state.local,
            accepted_by: self.accepted.then_some(self.listener),
            worker: self.worker,
            connecting: state.connecting,
            queued: state.queue.bytes(),
            aliases: state.aliases.clone(),
            age: state.since.elapsed().as_secs(),
            expires_in: expires,
        }
    }
}

/// Seconds of a parameter as a duration; negative is never.
pub fn lifetime(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(config: &TcpConfig) -> Connection {
        let at = "127.0.0.1:5060".parse().unwrap();
        Connection::new(
            ConnectionId(1),
            Transport::Tcp,
            0,
            ListenerId(0),
            true,
            (at, at),
            config,
        )
    }

    #[tokio::test]
    async fn a_queue_over_its_limit_ends_the_connection() {
        let config = TcpConfig {
            conn_wq_max: 10,
            ..TcpConfig::default()
        };
        let (connection, stats) = (connection(&config), NetStats::default());
        let push = |text: &str| connection.queue(Str::from(text), None, &config, &stats);
        assert_eq!(push("a first message may be longer"), Ok(()));
        assert_eq!(push("x"), Err(SendError::QueueFull));
        assert_eq!(push("x"), Err(SendError::Closed(CloseReason::QueueFull)));
        assert_eq!(stats.sendq_full.value(), 1);
    }

    #[tokio::test]
    async fn the_limit_of_all_queues_refuses_and_keeps_the_connection() {
        let config = TcpConfig {
            wq_max: 3,
            ..TcpConfig::default()
        };
        let (connection, stats) = (connection(&config), NetStats::default());
        let push = |text: &str| connection.queue(Str::from(text), None, &config, &stats);
        assert_eq!(push("four"), Err(SendError::QueueFull));
        assert_eq!(push("two"), Ok(()));
        assert_eq!(connection.info().queued, 3);
    }
}
