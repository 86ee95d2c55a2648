//! [`Worker`]: the network layer of one thread.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use hashbrown::HashMap;
use kahea_sip::{Destination, ListenerId, SendFlags, Str, Transport};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, spawn_local},
};

use crate::{
    Net, NetEvent, SendError, SendOutcome, Sink,
    listener::{Ends, Listener},
    net::Dial,
    sys::Batch,
    tcp::{accept, dial},
    udp,
};

/// The network layer of one worker thread. Cheap to clone; stays on its thread.
#[derive(Clone)]
pub struct Worker {
    net: Arc<Net>,
    local: Rc<Local>,
}

struct Local {
    index: usize,
    /// A receive batch is being handled: datagrams are collected.
    receiving: Cell<bool>,
    outgoing: RefCell<Vec<Outgoing>>,
    buffers: RefCell<Vec<BytesMut>>,
    sink: RefCell<Option<Rc<dyn Sink>>>,
    connections: Cell<usize>,
}

/// A connection of this worker, for as long as it is held.
pub(crate) struct Counted(Rc<Local>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}

/// Datagrams that leave from one listener.
struct Outgoing {
    listener: Arc<Listener>,
    items: Vec<(SocketAddr, Str)>,
}

/// Read buffers kept for the next connection that has something.
const BUFFERS: usize = 8;

impl Worker {
    pub(crate) fn new(net: Arc<Net>, index: usize) -> Worker {
        let local = Local {
            index,
            receiving: Cell::new(false),
            outgoing: RefCell::default(),
            buffers: RefCell::default(),
            sink: RefCell::default(),
            connections: Cell::new(0),
        };
        Worker {
            net,
            local: Rc::new(local),
        }
    }

    /// Receives until [`Net::shutdown`], handing everything to `sink`. Await it inside a `LocalSet` (or a local
    /// runtime) of a current-thread runtime with I/O and time enabled.
    pub async fn run(&self, sink: Rc<dyn Sink>) -> io::Result<()> {
        let taken = || io::Error::other("this worker runs already, or there are fewer workers");
        let mut dials = self.net.take_dials(self.local.index).ok_or_else(taken)?;
        *self.local.sink.borrow_mut() = Some(sink.clone());
        let mut changes = self.net.watch();
        let mut running = HashMap::new();
        let batch = Rc::new(RefCell::new(Batch::new()));
        loop {
            if changes.borrow_and_update().stopping {
                break;
            }
            self.follow(&mut running, &batch, &sink)?;
            tokio::select! {
                changed = changes.changed() => changed.map_err(io::Error::other)?,
                Some(Dial { connection, source }) = dials.recv() => {
                    self.spawn(dial::run(self.clone(), connection, source, sink.clone()));
                }
            }
        }
        running.into_values().for_each(|task: AbortHandle| task.abort());
        self.wait_for_connections().await;
        *self.local.sink.borrow_mut() = None;
        Ok(())
    }

    /// Starts what is new among the listeners and stops what is gone.
    fn follow(
        &self,
        running: &mut HashMap<ListenerId, AbortHandle>,
        batch: &Rc<RefCell<Batch>>,
        sink: &Rc<dyn Sink>,
    ) -> io::Result<()> {
        let listeners = self.net.open_listeners();
        running.retain(|id, task| {
            let stays = listeners.open(*id).is_some();
            if !stays {
                task.abort();
            }
            stays
        });
        for listener in listeners.iter() {
            if !running.contains_key(&listener.info.id)
                && let Some(task) = self.start(listener, batch, sink)?
            {
                running.insert(listener.info.id, task);
            }
        }
        Ok(())
    }

    fn start(
        &self,
        listener: &Listener,
        batch: &Rc<RefCell<Batch>>,
        sink: &Rc<dyn Sink>,
    ) -> io::Result<Option<AbortHandle>> {
        let (worker, info, sink) = (self.clone(), listener.info.clone(), sink.clone());
        let index = self.local.index;
        match &*listener.ends {
            Ends::Udp(ends) => {
                let Some(end) = ends.get(index).or(ends.first()).cloned() else {
                    return Ok(None);
                };
                let reads = index < ends.len();
                let batch = batch.clone();
                let task =
                    spawn_local(async move { udp::serve(worker, info, end, batch, sink, reads).await });
                Ok(Some(task.abort_handle()))
            }
            Ends::Tcp(ends) => {
                let Some(socket) = ends.get(index).and_then(|end| end.lock().take()) else {
                    return Ok(None);
                };
                let socket = TcpListener::from_std(socket.into())?;
                Ok(Some(
                    spawn_local(accept::serve(worker, info.id, socket, sink)).abort_handle(),
                ))
            }
        }
    }

    async fn wait_for_connections(&self) {
        let seconds = u64::try_from(self.net.config().tcp.send_timeout).unwrap_or(10);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds.min(60));
        while self.local.connections.get() > 0 && tokio::time::Instant::now() < deadline {
            for connection in self.net.connections() {
                self.net.close(connection.id, crate::CloseReason::Shutdown);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends. Datagrams sent from inside [`Sink::message`] leave together when the receive batch is done; at other times
    /// they leave at once. Never waits.
    pub fn send(&self, destination: &Destination, data: Str) -> Result<SendOutcome, SendError> {
        if destination.transport != Transport::Udp {
            return self.net.send_stream(destination, data, self.local.index);
        }
        let listener = self.net.udp_listener(destination, &data)?;
        if !self.local.receiving.get() {
            let end = listener
                .udp(self.local.index)
                .ok_or(SendError::Unsupported(Transport::Udp))?;
            return end.send(destination.to, data, self.net.stats());
        }
        let mut outgoing = self.local.outgoing.borrow_mut();
        match outgoing
            .iter_mut()
            .find(|o| o.listener.info.id == listener.info.id)
        {
            Some(known) => known.items.push((destination.to, data)),
            None => outgoing.push(Outgoing {
                listener,
                items: vec![(destination.to, data)],
            }),
        }
        Ok(SendOutcome::Sent)
    }

    /// Runs `receive` with datagrams being collected, then sends them.
    pub(crate) fn receiving<T>(&self, receive: impl FnOnce() -> T) -> T {
        struct Reset<'a>(&'a Cell<bool>);
        impl Drop for Reset<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.local.receiving.set(true);
        let reset = Reset(&self.local.receiving);
        let result = receive();
        drop(reset);
        self.flush();
        result
    }

    /// Sends what was collected so far; done by itself after each receive batch.
    pub fn flush(&self) {
        let mut outgoing = self.local.outgoing.borrow_mut();
        let mut failed = Vec::new();
        for Outgoing { listener, items } in outgoing.iter_mut().filter(|o| !o.items.is_empty()) {
            if let Some(end) = listener.udp(self.local.index) {
                let note =
                    |item: &(SocketAddr, Str), error| failed.push((listener.info.id, item.clone(), error));
                end.send_batch(items, self.net.stats(), note);
            }
            items.clear();
        }
        outgoing.retain(|o| Arc::strong_count(&o.listener) > 1);
        drop(outgoing);
        let sink = self.local.sink.borrow().clone();
        let Some(sink) = sink else { return };
        for (listener, (to, data), error) in failed {
            let destination = Destination {
                to,
                transport: Transport::Udp,
                listener: Some(listener),
                connection: None,
                flags: SendFlags::default(),
            };
            sink.event(NetEvent::SendFailed {
                destination,
                data,
                error,
            });
        }
    }

    /// Which worker this is.
    pub fn index(&self) -> usize {
        self.local.index
    }

    /// The shared part.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }

    /// Starts the task of a connection. The task owns a [`Counted`], so that a shutdown can wait for it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        spawn_local(task);
    }

    /// Counts a connection until it is dropped.
    pub(crate) fn count(&self) -> Counted {
        self.local
            .connections
            .set(self.local.connections.get().saturating_add(1));
        Counted(self.local.clone())
    }

    /// A read buffer from the pool, or a new one.
    pub(crate) fn take_buffer(&self, size: usize) -> BytesMut {
        let pooled = self.local.buffers.borrow_mut().pop();
        pooled.unwrap_or_else(|| BytesMut::with_capacity(size))
    }

    /// Puts an empty buffer back where it is worth keeping.
    pub(crate) fn keep_buffer(&self, buffer: BytesMut, size: usize) {
        let mut buffers = self.local.buffers.borrow_mut();
        if buffers.len() < BUFFERS
            && buffer.capacity() >= size / 4
            && buffer.capacity() <= size.saturating_mul(2)
        {
            buffers.push(buffer);
        }
    }
}
