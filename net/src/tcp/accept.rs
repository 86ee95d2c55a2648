//! Accepting connections at one listener on one worker.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use kahea_sip::{ListenerId, Transport};
use tokio::net::{TcpListener, TcpStream};

use super::{connection::Connection, dial, task};
use crate::{NetEvent, Sink, Worker};

/// Pause after an error that will not go away at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped.
pub async fn serve(worker: Worker, listener: ListenerId, socket: TcpListener, sink: Rc<dyn Sink>) {
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => admit(&worker, listener, stream, peer, &sink),
            Err(error) if gone_before_accepted(&error) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn gone_before_accepted(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Takes a connection in, or drops it where a limit is reached.
fn admit(worker: &Worker, listener: ListenerId, stream: TcpStream, peer: SocketAddr, sink: &Rc<dyn Sink>) {
    let net = worker.net();
    let config = net.config();
    let table = net.table();
    let taken = config.tcp.accept_unique && table.find(Transport::Tcp, peer, |_| true).is_some();
    if taken || !table.reserve(config.tcp.max_connections) {
        net.stats().local_reject.increment();
        return;
    }
    let Ok(local) = stream.local_addr() else {
        return table.release();
    };
    if !table.admit(peer.ip(), config.tcp.accept_iplimit) {
        table.release();
        net.stats().local_reject.increment();
        return;
    }
    dial::tune(&stream, peer, &config);
    let id = table.next_id();
    let ends = (peer, local);
    let connection = Arc::new(Connection::new(
        id,
        Transport::Tcp,
        worker.index(),
        listener,
        true,
        ends,
        &config.tcp,
    ));
    table.insert(&connection);
    net.stats().passive_open.increment();
    net.stats().established.increment();
    net.stats().current_opened_connections.increment();
    let context = task::Context::new(worker, sink);
    worker.spawn(async move {
        let event = NetEvent::Connected {
            connection: id,
            transport: Transport::Tcp,
            peer,
            local,
            accepted_by: Some(listener),
        };
        context.sink.event(event);
        let codec = super::codec::sip(&context.config);
        task::run(&context, &connection, &stream, codec).await;
        context.worker.net().table().dismiss(peer.ip());
    });
}
