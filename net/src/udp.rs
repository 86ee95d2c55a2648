//! UDP: batches in, batches out, and a bounded queue for when the kernel's buffer is full.

use std::{cell::RefCell, collections::VecDeque, io, net::SocketAddr, os::fd::AsFd, rc::Rc, sync::Arc};

use kahea_sip::{Received, Str, Transport};
use parking_lot::Mutex;
use socket2::Socket;
use tokio::sync::Notify;

use crate::{
    ListenerInfo, NetStats, SendError, SendOutcome, Sink, Worker, clock,
    sys::{self, Batch, Datagram},
};

/// Datagrams kept for a socket whose kernel buffer is full; more are dropped, as the kernel would.
const BACKLOG: usize = 1024;

/// The longest payload that an IPv4 datagram can carry.
pub const MAX_DATAGRAM: usize = 65_507;

/// One worker's socket of a UDP listener.
#[derive(Debug)]
pub struct UdpEnd {
    socket: Arc<Socket>,
    backlog: Mutex<VecDeque<(SocketAddr, Str)>>,
    refilled: Notify,
}

impl UdpEnd {
    /// Around a bound, non-blocking socket.
    pub fn new(socket: Socket) -> UdpEnd {
        UdpEnd {
            socket: Arc::new(socket),
            backlog: Mutex::default(),
            refilled: Notify::new(),
        }
    }

    /// Sends one datagram now, or queues it behind others. Never waits.
    pub fn send(&self, to: SocketAddr, data: Str, stats: &NetStats) -> Result<SendOutcome, SendError> {
        if !self.backlog.lock().is_empty() {
            return self.queue(to, data, stats);
        }
        match self.socket.send_to(&data, &to.into()) {
            Ok(_) => {
                stats.udp_sent.increment();
                Ok(SendOutcome::Sent)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.queue(to, data, stats),
            Err(error) => {
                stats.udp_send_errors.increment();
                Err(SendError::Io(error.kind(), error.to_string()))
            }
        }
    }

    fn queue(&self, to: SocketAddr, data: Str, stats: &NetStats) -> Result<SendOutcome, SendError> {
        let mut backlog = self.backlog.lock();
        if backlog.len() >= BACKLOG {
            stats.udp_send_dropped.increment();
            return Err(SendError::QueueFull);
        }
        backlog.push_back((to, data));
        stats.udp_send_queued.increment();
        self.refilled.notify_one();
        Ok(SendOutcome::Sent)
    }

    /// Sends several datagrams with as few calls as possible; `failed` hears of each that the kernel refused.
    pub fn send_batch(
        &self,
        mut items: &[(SocketAddr, Str)],
        stats: &NetStats,
        mut failed: impl FnMut(&(SocketAddr, Str), SendError),
    ) {
        while let [first, rest @ ..] = items {
            if !self.backlog.lock().is_empty() {
                items = rest;
                if let Err(error) = self.queue(first.0, first.1.clone(), stats) {
                    failed(first, error);
                }
                continue;
            }
            match sys::send_many(self.socket.as_fd(), items.iter().map(|(to, data)| (*to, data))) {
                Ok(count) => {
                    stats.udp_sent.add(count as u64);
                    items = items.get(count..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    items = rest;
                    if let Err(error) = self.queue(first.0, first.1.clone(), stats) {
                        failed(first, error);
                    }
                }
                Err(error) => {
                    items = rest;
                    stats.udp_send_errors.increment();
                    failed(first, SendError::Io(error.kind(), error.to_string()));
                }
            }
        }
    }

    /// Sends what is queued until the kernel's buffer is full again; true when the queue is empty.
    fn drain(&self, stats: &NetStats) -> io::Result<bool> {
        let mut backlog = self.backlog.lock();
        while let Some((to, data)) = backlog.front() {
            match self.socket.send_to(data, &(*to).into()) {
                Ok(_) => stats.udp_sent.increment(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => stats.udp_send_errors.increment(),
            }
            backlog.pop_front();
        }
        backlog.shrink_to(BATCH_KEEP);
        Ok(true)
    }
}

/// Queue slots kept when it is empty.
const BATCH_KEEP: usize = 32;

/// Receives at one socket until the task is dropped.
pub async fn serve(
    worker: Worker,
    listener: Arc<ListenerInfo>,
    end: Arc<UdpEnd>,
    batch: Rc<RefCell<Batch>>,
    sink: Rc<dyn Sink>,
    reads: bool,
) -> io::Result<()> {
    let fd = sys::watch(end.socket.clone())?;
    let stats = worker.net().stats().clone();
    loop {
        tokio::select! {
            ready = fd.readable(), if reads => {
                let mut ready = ready?;
                let read = worker.receiving(|| {
                    let mut batch = batch.borrow_mut();
                    batch.receive(end.socket.as_fd(), |datagram| deliver(datagram, &listener, &stats, &*sink))
                });
                match read {
                    // A batch that is not full has met the end of the queue: the next datagram wakes us again.
                    Ok(count) if count < sys::BATCH => ready.clear_ready(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                    Ok(_) | Err(_) => {}
                }
                drop(ready);
                tokio::task::coop::consume_budget().await;
            }
            () = end.refilled.notified() => loop {
                let mut ready = fd.writable().await?;
                match end.drain(&stats) {
                    Ok(_) => break,
                    Err(_) => ready.clear_ready(),
                }
            },
        }
    }
}

fn deliver(datagram: Datagram<'_>, listener: &ListenerInfo, stats: &NetStats, sink: &dyn Sink) {
    stats.udp_received.increment();
    if datagram.truncated {
        stats.udp_truncated.increment();
        return;
    }
    let local = SocketAddr::new(datagram.local.unwrap_or(listener.address), listener.port);
    let received = Received {
        source: datagram.source,
        local,
        transport: Transport::Udp,
        listener: listener.id,
        connection: None,
        at: clock::wall(),
    };
    sink.message(Str::copy(datagram.data), received);
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts_and_draining_keeps_the_order() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.set_nonblocking(true).unwrap();
        let (end, stats) = (UdpEnd::new(socket), NetStats::default());
        let to = receiver.local_addr().unwrap();
        for i in 0..BACKLOG {
            end.queue(to, Str::from(i.to_string()), &stats).unwrap();
        }
        assert_eq!(end.send(to, Str::from("late"), &stats), Err(SendError::QueueFull));
        assert_eq!(stats.udp_send_dropped.value(), 1);
        assert!(end.drain(&stats).unwrap());
        let mut buffer = [0; 16];
        for i in 0..10 {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], i.to_string().as_bytes());
        }
    }

    #[test]
    fn a_refused_datagram_is_reported_and_the_rest_leaves() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.set_nonblocking(true).unwrap();
        let (end, stats) = (UdpEnd::new(socket), NetStats::default());
        let to = receiver.local_addr().unwrap();
        let long = Str::from(vec![0u8; MAX_DATAGRAM + 100]);
        let items = [(to, Str::from("one")), (to, long), (to, Str::from("two"))];
        let mut errors = 0;
        end.send_batch(&items, &stats, |item, _| {
            assert!(item.1.len() > MAX_DATAGRAM);
            errors += 1;
        });
        assert_eq!((errors, stats.udp_sent.value()), (1, 2));
    }
}
