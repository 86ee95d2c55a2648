//! Datagrams from a socket of one's own: a thread reads them, a task of a worker takes them.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Weak},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use kahea_module::Str;
use parking_lot::Mutex;

/// A datagram and its sender.
pub type Datagram = (Str, SocketAddr);

/// Datagrams that wait; more are dropped, as the kernel drops them where a socket is not read.
const KEPT: usize = 1024;

#[derive(Default)]
struct State {
    waiting: VecDeque<Datagram>,
    waker: Option<Waker>,
    /// Who may take them: a reload hands them to the new configuration.
    owner: u64,
}

/// Datagrams of one socket.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
}

impl Inbox {
    /// Binds a socket and starts to read it; the thread ends once nobody holds the inbox.
    pub fn open(address: SocketAddr) -> io::Result<Arc<Inbox>> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let inbox = Arc::new(Inbox::default());
        let weak = Arc::downgrade(&inbox);
        thread::Builder::new()
            .name(format!("evrexec {address}"))
            .spawn(move || read(&socket, &weak))?;
        Ok(inbox)
    }

    /// Takes the inbox over from whoever had it; what the old owner waits for ends.
    pub fn own(&self) -> u64 {
        let mut state = self.state.lock();
        state.owner = state.owner.wrapping_add(1);
        let owner = state.owner;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        owner
    }

    /// The next datagram; `None` once somebody else owns the inbox.
    pub async fn next(&self, owner: u64) -> Option<Datagram> {
        poll_fn(|task| {
            let mut state = self.state.lock();
            if state.owner != owner {
                return Poll::Ready(None);
            }
            match state.waiting.pop_front() {
                Some(datagram) => Poll::Ready(Some(datagram)),
                None => {
                    state.waker = Some(task.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    fn put(&self, datagram: Datagram) {
        let mut state = self.state.lock();
        if state.waiting.len() < KEPT {
            state.waiting.push_back(datagram);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

fn read(socket: &UdpSocket, inbox: &Weak<Inbox>) {
    let mut buffer = vec![0; 65_535];
    loop {
        let read = socket.recv_from(&mut buffer);
        let Some(inbox) = inbox.upgrade() else {
            return;
        };
        // An error is the end of the wait, or of one peer that is gone: the next read tells more.
        if let Ok((length, from)) = read
            && let Some(data) = buffer.get(..length)
        {
            inbox.put((Str::copy(data), from));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Context};

    use super::*;

    fn poll(inbox: &Inbox, owner: u64) -> Poll<Option<Datagram>> {
        pin!(inbox.next(owner)).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn datagrams_come_in_order_to_the_last_owner_only() {
        let from: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let inbox = Inbox::default();
        let first = inbox.own();
        assert_eq!(poll(&inbox, first), Poll::Pending);
        inbox.put((Str::from("a"), from));
        inbox.put((Str::from("b"), from));
        assert_eq!(poll(&inbox, first), Poll::Ready(Some((Str::from("a"), from))));
        let second = inbox.own();
        assert_eq!(poll(&inbox, first), Poll::Ready(None));
        assert_eq!(poll(&inbox, second), Poll::Ready(Some((Str::from("b"), from))));
    }

    #[test]
    fn an_inbox_that_nobody_reads_is_bounded() {
        let from: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let inbox = Inbox::default();
        for _ in 0..2 * KEPT {
            inbox.put((Str::EMPTY, from));
        }
        assert_eq!(inbox.state.lock().waiting.len(), KEPT);
    }
}
