//! JSON-RPC over named pipes, datagrams and TCP.

use std::{io, path::Path, sync::Arc, time::Duration};

use kahea_module::{Str, rpc::RpcVia};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram},
    sync::Semaphore,
    time::timeout,
};

use super::{
    House,
    text::{self, LONGEST, Malformed, Request},
};
use crate::{
    datagram::Datagrams,
    door::{Door, Opened, open_for_reading, open_for_reply},
};

/// How long a client may leave a request half sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a TCP client may say nothing at all.
const IDLE: Duration = Duration::from_secs(3600);
/// Requests of one socket that are in work, or TCP clients.
const IN_WORK: usize = 32;

/// Serves a door as long as it is open; nothing where it is served already.
pub fn open(house: &Arc<House>, door: &Arc<Door>) {
    let Some(opened) = door.take() else {
        return;
    };
    let (own, address, weak) = (house.clone(), door.address.clone(), Arc::downgrade(door));
    house.desk.spawn(async move {
        let task = tokio::spawn(serve(own, opened));
        match weak.upgrade() {
            Some(door) => door.served_by(task.abort_handle()),
            None => task.abort(),
        }
        if let Ok(Err(error)) = task.await {
            kahea_module::error!(
                "jsonrpcs",
                "Commands are not taken at {address} any more: {error}."
            );
        }
    });
}

async fn serve(house: Arc<House>, opened: Opened) -> io::Result<()> {
    match opened {
        Opened::Fifo(path) => {
            let mut pipe = open_for_reading(&path)?;
            loop {
                // Writers share the pipe: after what is no request the rest of it is thrown away.
                let _ = read_pipe(&house, &mut pipe).await;
            }
        }
        Opened::UnixDatagram(socket) => take_datagrams(house, UnixDatagram::from_std(socket)?).await,
        Opened::Udp(socket) => take_datagrams(house, UdpSocket::from_std(socket)?).await,
        Opened::Tcp(listener) => take_clients(house, TcpListener::from_std(listener)?).await,
        Opened::UnixStream(_) => Err(io::Error::other("JSON-RPC does not go over unix stream sockets")),
    }
}

/// Runs a request; the answer, and the pipe that is to have it.
async fn run(house: &House, request: Result<Request, Malformed>) -> (Str, Option<String>) {
    let pretty = house.settings.lock().pretty;
    match request {
        Ok(Request {
            method,
            args,
            id,
            reply,
        }) => {
            let done = house.desk.call(method, args, RpcVia::Json).await;
            let done = done.map_err(|undone| undone.fault(text::unknown));
            (text::answer(done, id.as_ref(), pretty), reply)
        }
        Err(Malformed { fault, id, reply }) => (text::answer(Err(fault), id.as_ref(), pretty), reply),
    }
}

/// The first document of what was read, and its length. `None` where it does not end yet.
///
/// # Errors
/// It is no JSON.
fn document(buffer: &[u8]) -> Result<Option<(Json, usize)>, serde_json::Error> {
    let escaped = text::escaped(buffer);
    let mut documents = serde_json::Deserializer::from_slice(&escaped).into_iter();
    match documents.next() {
        Some(Ok(document)) => {
            let used = text::unescaped_length(buffer, documents.byte_offset());
            Ok(Some((document, used)))
        }
        Some(Err(error)) if !error.is_eof() => Err(error),
        Some(Err(_)) | None => Ok(None),
    }
}

async fn fill(
    input: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    idle: Duration,
) -> io::Result<usize> {
    if buffer.len() > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let limit = if buffer.trim_ascii().is_empty() {
        idle
    } else {
        PATIENCE
    };
    timeout(limit, input.read_buf(buffer))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

/// Reads requests off a pipe; ends where something in it is no JSON or half a request stays alone.
async fn read_pipe(house: &Arc<House>, pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        while let Some((found, used)) = document(&buffer)? {
            buffer.drain(..used);
            let own = house.clone();
            let (answer, reply) = run(&own, text::request(&found)).await;
            if let Some(name) = reply {
                tokio::spawn(async move { deliver(&own, &name, &answer).await });
            }
        }
        fill(pipe, &mut buffer, IDLE).await?;
    }
}

async fn deliver(house: &House, name: &str, answer: &[u8]) {
    let folder = house.settings.lock().reply_folder.clone();
    let sent = match open_for_reply(Path::new(&*folder.text()), name).await {
        Ok(mut pipe) => timeout(PATIENCE, pipe.write_all(answer))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        kahea_module::error!("jsonrpcs", "No answer to the pipe {name} in {folder}: {error}.");
    }
}

async fn take_datagrams(house: Arc<House>, socket: impl Datagrams) -> io::Result<()> {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(IN_WORK));
    let mut buffer = vec![0; LONGEST];
    loop {
        let Some((length, from)) = socket.receive_or_wait("jsonrpcs", &mut buffer).await else {
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let request = text::read(first(buffer.get(..length).unwrap_or_default()));
        let (own, socket) = (house.clone(), socket.clone());
        tokio::spawn(async move {
            let (answer, _) = run(&own, request).await;
            let limit = own.settings.lock().patience;
            // A client that takes no answer, or has no address, goes without.
            let _ = timeout(limit, socket.send(&answer, &from)).await;
            drop(place);
        });
    }
}

/// As in Kamailio, what stands behind the first document does not count.
fn first(datagram: &[u8]) -> &[u8] {
    match document(datagram) {
        Ok(Some((_, used))) => datagram.get(..used).unwrap_or(datagram),
        Ok(None) | Err(_) => datagram,
    }
}

async fn take_clients(house: Arc<House>, listener: TcpListener) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(IN_WORK));
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                kahea_module::error!("jsonrpcs", "No client over TCP: {error}.");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            continue;
        };
        let own = house.clone();
        tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = talk(&own, client).await;
            drop(place);
        });
    }
}

async fn talk(house: &House, mut client: TcpStream) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        loop {
            let request = match document(&buffer) {
                Ok(Some((found, used))) => {
                    buffer.drain(..used);
                    text::request(&found)
                }
                Ok(None) => break,
                Err(_) => text::read(&std::mem::take(&mut buffer)),
            };
            let (answer, _) = run(house, request).await;
            let sent = timeout(PATIENCE, client.write_all(&answer)).await;
            sent.map_err(|_| io::ErrorKind::TimedOut)??;
        }
        if fill(&mut client, &mut buffer, IDLE).await? == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_end_where_they_end() {
        let used = |text: &str| document(text.as_bytes()).map(|found| found.map(|(_, used)| used));
        assert_eq!(used(r#" {"a":1}{"b":2}"#).unwrap(), Some(8));
        assert_eq!(used("[1] rest").unwrap(), Some(3));
        assert_eq!(used("{\"a\":\"\r\n\"} {").unwrap(), Some(10));
        assert_eq!(used(r#"{"a":"#).unwrap(), None);
        assert_eq!(used(" \n").unwrap(), None);
        assert!(used("garbage").is_err());
        assert_eq!(first(br#"{"a":1} xx"#), br#"{"a":1}"#);
        assert_eq!(first(b"xx"), b"xx");
    }
}
