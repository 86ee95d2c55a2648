//! Opening connections, and the options that all TCP sockets get.

use std::{io, net::SocketAddr, os::fd::AsFd, rc::Rc, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use super::{codec, connection::Connection, connection::lifetime, task};
use crate::{CloseReason, NetConfig, NetEvent, SendError, Sink, Worker, bind, sys};

/// Opens a connection that is in the table already, with its first messages queued, and serves it.
pub async fn run(
    worker: Worker,
    connection: Arc<Connection>,
    source: Option<SocketAddr>,
    sink: Rc<dyn Sink>,
) {
    let context = task::Context::new(&worker, &sink);
    let config = context.config.clone();
    let peer = connection.state.lock().peer;
    let limit = lifetime(config.tcp.connect_timeout).unwrap_or(Duration::from_secs(10));
    // Boxed: its room would stay part of the idle connection.
    let attempt = Box::pin(tokio::time::timeout(limit, connect(peer, source, &config))).await;
    let stream = match attempt {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return give_up(&context, &connection, &error),
        Err(_) => {
            let late = io::Error::new(io::ErrorKind::TimedOut, "no answer within tcp_connect_timeout");
            return give_up(&context, &connection, &late);
        }
    };
    let local = stream.local_addr().unwrap_or(peer);
    {
        let mut state = connection.state.lock();
        state.local = local;
        state.connecting = false;
        state.since = Instant::now();
        state.active = state.since;
    }
    let stats = worker.net().stats();
    stats.connect_success.increment();
    stats.established.increment();
    stats.current_opened_connections.increment();
    let (id, transport) = (connection.id, connection.transport);
    context.sink.event(NetEvent::Connected {
        connection: id,
        transport,
        peer,
        local,
        accepted_by: None,
    });
    let codec = codec::sip(&context.config);
    task::run(&context, &connection, &stream, codec).await;
}

async fn connect(peer: SocketAddr, source: Option<SocketAddr>, config: &NetConfig) -> io::Result<TcpStream> {
    let socket = if peer.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if let Ok(count) = i32::try_from(config.tcp.syncnt)
        && count > 0
    {
        let _ = sys::set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_SYNCNT, count);
    }
    if let Some(source) = source {
        if config.tcp.reuse_port && source.port() != 0 {
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
        }
        socket.bind(source)?;
    }
    let stream = socket.connect(peer).await?;
    tune(&stream, peer, config);
    Ok(stream)
}

fn give_up(context: &task::Context, connection: &Arc<Connection>, error: &io::Error) {
    let net = context.worker.net();
    net.stats().connect_failed.increment();
    connection.state.lock().dead = true;
    net.table().remove(connection);
    let failed = {
        let mut state = connection.state.lock();
        state.closing = Some((CloseReason::ConnectFailed, false));
        net.stats()
            .current_write_queue_size
            .subtract(state.queue.bytes() as u64);
        state.queue.fail()
    };
    let error = SendError::Connect(error.kind(), error.to_string());
    task::fail_all(context, connection, failed, &error);
}

/// Sets the options of a connected socket. They only tune: a failure is no reason to lose the connection.
pub fn tune(stream: &TcpStream, peer: SocketAddr, config: &NetConfig) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    bind::set_tos(&socket, peer, config.tos);
    let tcp = &config.tcp;
    if tcp.keepalive {
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = lifetime(tcp.keepidle).filter(|d| !d.is_zero()) {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = lifetime(tcp.keepintvl).filter(|d| !d.is_zero()) {
            keepalive = keepalive.with_interval(interval);
        }
        if let Ok(count @ 1..) = u32::try_from(tcp.keepcnt) {
            keepalive = keepalive.with_retries(count);
        }
        let _ = socket
            .set_keepalive(true)
            .and_then(|()| socket.set_tcp_keepalive(&keepalive));
    }
    if let Ok(linger @ 1..) = i32::try_from(tcp.linger2) {
        let _ = sys::set_option(stream.as_fd(), libc::IPPROTO_TCP, libc::TCP_LINGER2, linger);
    }
}
