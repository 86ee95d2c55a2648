//! The task of one connection: reads when there is something, writes when there is room, ends at deadlines.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use kahea_sip::{Received, Str, framing::Frame};
use tokio::time::Instant;

use super::{
    codec::{Codec, Fault},
    connection::{Connection, lifetime},
    haproxy, queue,
    stream::Stream,
};
use crate::{
    BAD_FRAME_HEAD, CloseReason, NetEvent, SendError, Sink, TcpConfig, Worker, clock, worker::Counted,
};

/// After the peer has ended its direction, replies may still leave for this long.
const HALF_CLOSED: Duration = Duration::from_secs(5);

/// After our last byte, what the peer still sends is read and dropped for this long, so that the system's reset does
/// not overtake our reply.
const DRAIN: Duration = Duration::from_secs(2);

/// Messages up to this size get an allocation of their own; longer ones share the read buffer.
const COPY_UP_TO: usize = 4096;

/// Stands for no deadline; far, but not so far that adding to it overflows.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// What a connection's task works with.
pub struct Context {
    /// The worker that owns the connection.
    pub worker: Worker,
    /// Where messages go.
    pub sink: Rc<dyn Sink>,
    /// The settings at the time the connection came up.
    pub config: Arc<crate::NetConfig>,
    /// Keeps a shutdown waiting.
    _counted: Counted,
}

impl Context {
    /// For a connection that begins now.
    pub fn new(worker: &Worker, sink: &Rc<dyn Sink>) -> Context {
        let counted = worker.count();
        Context {
            worker: worker.clone(),
            sink: sink.clone(),
            config: worker.net().config(),
            _counted: counted,
        }
    }
}

/// Serves a connection to its end and takes it out of the table.
pub async fn run<S: Stream, C: Codec>(context: &Context, connection: &Arc<Connection>, stream: &S, codec: C) {
    let mut task = Task::new(context, connection, stream, codec);
    let reason = task.serve().await;
    drop(task);
    settle(context, connection, reason);
    if context.config.tcp.close_rst {
        stream.abort_on_close();
        return;
    }
    stream.finish();
    if matches!(reason, CloseReason::BadFrame | CloseReason::Local) {
        // Boxed: it is rare, and its room would be part of every idle connection.
        Box::pin(drain(stream)).await;
    }
}

/// Takes a connection out of the table and says what became of it and its queue.
pub fn settle(context: &Context, connection: &Arc<Connection>, reason: CloseReason) {
    let net = context.worker.net();
    // Before the table lets go of it: nobody may give a dying connection another alias.
    connection.state.lock().dead = true;
    net.table().remove(connection);
    let (failed, info) = {
        let mut state = connection.state.lock();
        state.closing = Some((reason, false));
        net.stats()
            .current_write_queue_size
            .subtract(state.queue.bytes() as u64);
        (state.queue.fail(), (state.peer, state.local))
    };
    let counter = match reason {
        CloseReason::Idle => Some(&net.stats().con_timeout),
        CloseReason::Reset => Some(&net.stats().con_reset),
        CloseReason::SendTimeout => Some(&net.stats().send_timeout),
        CloseReason::ReadTimeout => Some(&net.stats().read_timeout),
        CloseReason::BadFrame => Some(&net.stats().framing_errors),
        _ => None,
    };
    counter.inspect(|c| c.increment());
    net.stats().current_opened_connections.subtract(1);
    let (peer, local) = info;
    fail_all(context, connection, failed, &SendError::Closed(reason));
    let (id, transport) = (connection.id, connection.transport);
    context.sink.event(NetEvent::Closed {
        connection: id,
        transport,
        peer,
        local,
        reason,
    });
}

/// Tells of each message that was not sent.
pub fn fail_all(
    context: &Context,
    connection: &Connection,
    failed: Vec<(kahea_sip::Destination, Str)>,
    error: &SendError,
) {
    for (mut destination, data) in failed {
        destination.connection = Some(connection.id);
        context.sink.event(NetEvent::SendFailed {
            destination,
            data,
            error: error.clone(),
        });
    }
}

async fn drain(stream: &impl Stream) {
    let mut waste = BytesMut::with_capacity(1024);
    let all = async {
        while stream.readable().await.is_ok() {
            waste.clear();
            match stream.try_read(&mut waste) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN, all).await;
}

struct Task<'a, S, C> {
    context: &'a Context,
    connection: &'a Arc<Connection>,
    stream: &'a S,
    codec: C,
    /// Present only while a frame is incomplete.
    buffer: Option<BytesMut>,
    /// The peer's and our address as messages show them: those of the PROXY header, where there is one.
    addresses: (SocketAddr, SocketAddr),
    expect_proxy: bool,
    /// Writing must wait for room.
    blocked: bool,
    /// Since when no byte of the queue went out.
    stalled: Option<Instant>,
    /// When the incomplete message began.
    partial: Option<Instant>,
    /// Nothing was received yet.
    silent: bool,
    /// When the reading side ended.
    ended: Option<Instant>,
    /// A message came in and nothing went out since.
    unanswered: bool,
}

impl<'a, S: Stream, C: Codec> Task<'a, S, C> {
    fn new(context: &'a Context, connection: &'a Arc<Connection>, stream: &'a S, codec: C) -> Task<'a, S, C> {
        let addresses = {
            let state = connection.state.lock();
            (state.peer, state.local)
        };
        Task {
            context,
            connection,
            stream,
            codec,
            buffer: None,
            addresses,
            expect_proxy: connection.accepted && context.config.tcp.accept_haproxy,
            blocked: false,
            stalled: None,
            partial: None,
            silent: true,
            ended: None,
            unanswered: false,
        }
    }

    fn config(&self) -> &'a TcpConfig {
        &self.context.config.tcp
    }

    async fn serve(&mut self) -> CloseReason {
        let mut armed = self.deadline().0;
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(armed));
        loop {
            if let Some(reason) = self.flush().or_else(|| self.finished()) {
                return reason;
            }
            let next = self.deadline().0;
            if next < armed {
                armed = next;
                sleep.as_mut().reset(armed);
            }
            tokio::select! {
                () = self.connection.wake.notified() => {}
                ready = self.stream.writable(), if self.blocked => {
                    self.blocked = false;
                    if ready.is_err() {
                        return CloseReason::Reset;
                    }
                }
                ready = self.stream.readable(), if self.ended.is_none() => {
                    // Readiness alone does not count as work for tokio: without this, a flood would starve others.
                    tokio::task::coop::consume_budget().await;
                    if let Some(reason) = ready.map_or(Some(CloseReason::Reset), |()| self.read()) {
                        return reason;
                    }
                }
                () = &mut sleep => {
                    let (at, reason) = self.deadline();
                    if at <= Instant::now() {
                        return reason;
                    }
                    armed = at;
                    sleep.as_mut().reset(armed);
                }
            }
        }
    }

    /// The nearest deadline and what happens then. A deadline that moves on (the idle one, with every message) does not
    /// touch the timer: when it fires, it is set anew.
    fn deadline(&self) -> (Instant, CloseReason) {
        let config = self.config();
        let now = Instant::now();
        let (active, life, since) = {
            let state = self.connection.state.lock();
            (state.active, state.lifetime, state.since)
        };
        let after = |from: Option<Instant>, seconds: i64| Some(from? + lifetime(seconds)?.min(NEVER));
        let first = (self.silent && self.connection.accepted).then_some(since);
        let candidates = [
            (life.map(|life| active + life.min(NEVER)), CloseReason::Idle),
            (after(self.stalled, config.send_timeout), CloseReason::SendTimeout),
            (
                after(self.partial, config.msg_read_timeout),
                CloseReason::ReadTimeout,
            ),
            (after(first, config.msg_data_timeout), CloseReason::ReadTimeout),
            (self.ended.map(|at| at + HALF_CLOSED), CloseReason::Peer),
        ];
        let set = candidates
            .into_iter()
            .filter_map(|(at, reason)| Some((at?, reason)));
        set.min_by_key(|(at, _)| *at)
            .unwrap_or((now + NEVER, CloseReason::Idle))
    }

    /// Writes what is queued as far as it goes.
    fn flush(&mut self) -> Option<CloseReason> {
        if self.blocked {
            return None;
        }
        loop {
            let pieces = self.connection.state.lock().queue.pieces();
            if pieces.is_empty() {
                self.stalled = None;
                return None;
            }
            match self.stream.try_write(&queue::slices(&pieces)) {
                Ok(count) => self.written(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.stalled.get_or_insert_with(Instant::now);
                    return None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Some(CloseReason::Reset),
            }
        }
    }

    fn written(&mut self, count: usize) {
        self.stalled = None;
        self.unanswered = false;
        let mut state = self.connection.state.lock();
        state.queue.advance(count);
        if self.ended.is_some() && state.closing.is_none() {
            state.closing = Some((CloseReason::Peer, true));
        }
        state.active = Instant::now();
        self.context
            .worker
            .net()
            .stats()
            .current_write_queue_size
            .subtract(count as u64);
    }

    /// Somebody asked for the end, and nothing is left to be sent.
    fn finished(&self) -> Option<CloseReason> {
        let state = self.connection.state.lock();
        let (reason, flush) = state.closing?;
        (!flush || state.queue.is_empty()).then_some(reason)
    }

    /// Reads once and hands on what is complete.
    fn read(&mut self) -> Option<CloseReason> {
        let size = self.config().rd_buf_size.clamp(1024, 1 << 20);
        let mut buffer = self
            .buffer
            .take()
            .unwrap_or_else(|| self.context.worker.take_buffer(size));
        if buffer.capacity() - buffer.len() < size / 4 {
            buffer.reserve(size);
        }
        let outcome = match self.stream.try_read(&mut buffer) {
            Ok(0) => return self.peer_ended(buffer),
            Ok(_) => {
                self.silent = false;
                self.connection.state.lock().active = Instant::now();
                self.frames(&mut buffer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => Some(CloseReason::Reset),
        };
        if buffer.is_empty() {
            self.context.worker.keep_buffer(buffer, size);
        } else {
            self.buffer = Some(buffer);
        }
        outcome
    }

    /// The end of the stream: nobody finds the connection by address any more, and replies have a moment to leave.
    fn peer_ended(&mut self, rest: BytesMut) -> Option<CloseReason> {
        self.partial = None;
        let worker = &self.context.worker;
        worker.net().table().hide(self.connection);
        self.ended = Some(Instant::now());
        if !rest.is_empty() || !self.unanswered {
            self.connection.close(CloseReason::Peer, true);
        }
        None
    }

    fn frames(&mut self, buffer: &mut BytesMut) -> Option<CloseReason> {
        if self.expect_proxy {
            match haproxy::parse(buffer) {
                Ok(None) => {
                    self.partial.get_or_insert_with(Instant::now);
                    return None;
                }
                Ok(Some(header)) => {
                    buffer.advance(header.length);
                    self.addresses = header.addresses.unwrap_or(self.addresses);
                    self.expect_proxy = false;
                }
                Err(reason) => return self.bad_frame(buffer, reason.into()),
            }
        }
        let worker = self.context.worker.clone();
        worker.receiving(|| self.cut(buffer))
    }

    fn cut(&mut self, buffer: &mut BytesMut) -> Option<CloseReason> {
        let mut any = false;
        loop {
            match self.codec.next(buffer) {
                Ok(Some(Frame::Message(data))) => {
                    any = true;
                    self.unanswered = true;
                    self.context.worker.net().stats().received.increment();
                    let data = if data.len() <= COPY_UP_TO {
                        Str::copy(&data)
                    } else {
                        Str::from(data)
                    };
                    self.context.sink.message(data, self.received());
                }
                Ok(Some(Frame::Ping)) => self.pong(),
                Ok(Some(Frame::Pong)) => self.keepalive(),
                Ok(Some(Frame::Continue)) => self.go_on(),
                Ok(Some(Frame::Stun(data))) => {
                    self.unanswered = true;
                    self.context.sink.event(NetEvent::Stun {
                        data: data.into(),
                        received: self.received(),
                    });
                }
                Ok(None) => break,
                Err(fault) => return self.bad_frame(buffer, fault),
            }
        }
        let begun = buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        match (begun, any) {
            (false, _) => self.partial = None,
            (true, true) => self.partial = Some(Instant::now()),
            (true, false) => {
                self.partial.get_or_insert_with(Instant::now);
            }
        }
        None
    }

    fn received(&self) -> Received {
        Received {
            source: self.addresses.0,
            local: self.addresses.1,
            transport: self.connection.transport,
            listener: self.connection.listener,
            connection: Some(self.connection.id),
            at: clock::wall(),
        }
    }

    fn pong(&mut self) {
        let stats = self.context.worker.net().stats();
        if self.config().crlf_ping {
            stats.pings.increment();
            let _ = self
                .connection
                .queue(Str::from_static("\r\n"), None, self.config(), stats);
        }
        self.keepalive();
    }

    /// An HTTP client may send its body (RFC 9110 section 10.1.1).
    fn go_on(&mut self) {
        let stats = self.context.worker.net().stats();
        let text = Str::from_static("HTTP/1.1 100 Continue\r\n\r\n");
        let _ = self.connection.queue(text, None, self.config(), stats);
    }

    fn keepalive(&self) {
        self.context.sink.event(NetEvent::Keepalive {
            connection: self.connection.id,
        });
    }

    fn bad_frame(&mut self, buffer: &mut BytesMut, fault: Fault) -> Option<CloseReason> {
        let head = Str::copy(buffer.get(..buffer.len().min(BAD_FRAME_HEAD)).unwrap_or_default());
        buffer.clear();
        self.ended = Some(Instant::now());
        self.partial = None;
        self.context.sink.event(NetEvent::BadFrame {
            head,
            received: self.received(),
            reason: fault.reason,
            reply: fault.reply,
        });
        self.connection.close(CloseReason::BadFrame, true);
        None
    }
}
