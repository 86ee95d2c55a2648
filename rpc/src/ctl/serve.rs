//! Talks to clients: one task for each connection, so that none holds another up.

use std::{io, sync::Arc, time::Duration};

use kahea_module::rpc::{RpcAnswer, RpcFault, RpcVia};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UdpSocket, UnixDatagram, UnixListener},
    sync::Semaphore,
    time::timeout,
};

use super::{House, guests::Guest};
use crate::{
    binrpc::{self, Header, PacketKind, Reader},
    datagram::Datagrams,
    desk::Undone,
    door::{Address, Door, Opened, open_for_reading, open_for_reply},
    lines,
};

/// How long a client may leave a request half sent, or take nothing of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may say nothing at all.
const IDLE: Duration = Duration::from_secs(3600);
/// Datagrams of one socket that are in work; more are dropped.
const IN_WORK: usize = 32;
/// Where the pipes of answers are.
const REPLY_FOLDER: &str = "/tmp";

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// BINRPC.
    Binrpc,
    /// Lines.
    Lines,
}

impl Protocol {
    /// The name of the parameter that asks for it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Binrpc => "binrpc",
            Protocol::Lines => "fifo",
        }
    }
}

/// Serves a door as long as it is open; nothing where it is served already.
pub fn open(house: &Arc<House>, door: &Arc<Door>, protocol: Protocol) {
    let Some(opened) = door.take() else {
        return;
    };
    let place = Place {
        house: house.clone(),
        address: door.address.clone(),
        protocol,
    };
    let weak = Arc::downgrade(door);
    house.desk.spawn(async move {
        let address = place.address.clone();
        let task = tokio::spawn(place.serve(opened));
        match weak.upgrade() {
            Some(door) => door.served_by(task.abort_handle()),
            None => task.abort(),
        }
        if let Ok(Err(error)) = task.await {
            kahea_module::error!("ctl", "Commands are not taken at {address} any more: {error}.");
        }
    });
}

#[derive(Clone)]
struct Place {
    house: Arc<House>,
    address: Address,
    protocol: Protocol,
}

/// What is to be sent, and whether that is the end of the connection.
struct Answer {
    bytes: Vec<u8>,
    last: bool,
}

impl Place {
    async fn serve(self, opened: Opened) -> io::Result<()> {
        match opened {
            Opened::UnixStream(listener) => self.take_unix(UnixListener::from_std(listener)?).await,
            Opened::Tcp(listener) => self.take_tcp(TcpListener::from_std(listener)?).await,
            Opened::UnixDatagram(socket) => self.take_datagrams(UnixDatagram::from_std(socket)?).await,
            Opened::Udp(socket) => self.take_datagrams(UdpSocket::from_std(socket)?).await,
            Opened::Fifo(path) => {
                let mut pipe = open_for_reading(&path)?;
                loop {
                    // Writers share the pipe: after what is no request the rest of it is thrown away.
                    let _ = self.read_pipe(&mut pipe).await;
                }
            }
        }
    }

    async fn take_unix(&self, listener: UnixListener) -> io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let peer = ("<anonymous unix socket>".to_owned(), String::new());
                    self.welcome(client, peer);
                }
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    async fn take_tcp(&self, listener: TcpListener) -> io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((client, from)) => {
                    let peer = (from.ip().to_string(), from.port().to_string());
                    self.welcome(client, peer);
                }
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    /// Out of file descriptors, mostly: that passes.
    async fn wait_after(&self, error: &io::Error) {
        kahea_module::error!("ctl", "{} takes no client: {error}.", self.address);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    fn welcome(&self, client: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: (String, String)) {
        let guest = Guest::new(self.protocol.name(), self.address.clone(), peer);
        let seat = self.house.guests.enter(guest);
        let (place, number) = (self.clone(), seat.number);
        let task = tokio::spawn(async move {
            // A client that is gone needs no answer.
            let _ = place.talk(client, || seat.heard()).await;
            drop(seat);
        });
        self.house.guests.served_by(number, task.abort_handle());
    }

    async fn talk(
        &self,
        mut client: impl AsyncRead + AsyncWrite + Unpin,
        heard: impl Fn(),
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            while let Some((request, used)) = self.whole(&buffer)? {
                let answer = self.answer(request).await;
                buffer.drain(..used);
                send(&mut client, &answer.bytes).await?;
                if answer.last {
                    return Ok(());
                }
            }
            let limit = if buffer.is_empty() { IDLE } else { PATIENCE };
            let read = timeout(limit, client.read_buf(&mut buffer)).await;
            match read.map_err(|_| io::ErrorKind::TimedOut)?? {
                0 => return Ok(()),
                _ => heard(),
            }
        }
    }

    /// The first whole request of what was read, and its length; what cannot become one counts as one.
    fn whole<'a>(&self, buffer: &'a [u8]) -> io::Result<Option<(&'a [u8], usize)>> {
        match self.protocol {
            Protocol::Binrpc => match Header::read(buffer) {
                Ok(Some(header)) => Ok(buffer
                    .get(..header.packet())
                    .map(|packet| (packet, header.packet()))),
                Ok(None) => Ok(None),
                Err(_) => Ok(Some((buffer, buffer.len()))),
            },
            Protocol::Lines => match lines::split(buffer) {
                Some(found) => Ok(Some(found)),
                None if buffer.len() > lines::LONGEST => Err(io::ErrorKind::InvalidData.into()),
                None => Ok(None),
            },
        }
    }

    async fn answer(&self, request: &[u8]) -> Answer {
        match self.protocol {
            Protocol::Binrpc => self.answer_packet(request).await,
            Protocol::Lines => {
                let (_, bytes) = self.answer_lines(request).await;
                Answer { bytes, last: false }
            }
        }
    }

    async fn answer_packet(&self, packet: &[u8]) -> Answer {
        let settings = *self.house.settings.lock();
        let refuse = |cookie, code, text: String| Answer {
            bytes: binrpc::fault(cookie, &RpcFault::new(code, text)),
            last: true,
        };
        let corrupt = |cookie| refuse(cookie, 400, "bad request: corrupted packet".to_owned());
        let Ok(Some(header)) = Header::read(packet) else {
            return corrupt(0);
        };
        let Some(body) = packet.get(header.header..header.packet()) else {
            return corrupt(header.cookie);
        };
        if header.kind != PacketKind::Request {
            return corrupt(header.cookie);
        }
        let mut reader = Reader::new(body);
        let method = match reader.method() {
            Ok(method) => method,
            Err(wrong) => {
                return refuse(
                    header.cookie,
                    400,
                    format!("bad request method: {}", wrong.text()),
                );
            }
        };
        let result = match reader.values() {
            Ok(args) => {
                let via = RpcVia::Binrpc {
                    convert: settings.convert,
                };
                let done = self.house.desk.call(method.clone(), args, via).await;
                result(done, || RpcFault::new(500, format!("command {method} not found")))
            }
            Err((at, wrong)) => {
                let text = format!("error at parameter {at}: expected any type but {}", wrong.text());
                Err(RpcFault::new(400, text))
            }
        };
        let reply = result
            .and_then(|values| binrpc::reply(header.cookie, &values, settings.sizes).map_err(RpcFault::from));
        Answer {
            bytes: reply.unwrap_or_else(|fault| binrpc::fault(header.cookie, &fault)),
            last: false,
        }
    }

    /// The pipe that is to have the answer, and the answer.
    async fn answer_lines(&self, request: &[u8]) -> (String, Vec<u8>) {
        if request.trim_ascii().is_empty() {
            return (String::new(), Vec::new());
        }
        let Ok(request) = lines::read(request) else {
            let fault = RpcFault::new(400, "a request begins with :command:reply");
            return (String::new(), lines::answer(&Err(fault)));
        };
        let method = request.method;
        let done = self
            .house
            .desk
            .call(method.clone(), request.args, RpcVia::Lines)
            .await;
        let result = result(done, || {
            RpcFault::new(500, format!("Command '{method}' not found"))
        });
        (request.reply, lines::answer(&result))
    }

    async fn take_datagrams(self, socket: impl Datagrams) -> io::Result<()> {
        let socket = Arc::new(socket);
        let places = Arc::new(Semaphore::new(IN_WORK));
        let mut buffer = vec![0; binrpc::LONGEST.saturating_add(16)];
        loop {
            let Some((length, from)) = socket.receive_or_wait("ctl", &mut buffer).await else {
                continue;
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let request = buffer.get(..length).unwrap_or_default().to_vec();
            let (own, socket) = (self.clone(), socket.clone());
            tokio::spawn(async move {
                let request = match own.protocol {
                    Protocol::Binrpc => &*request,
                    // Over datagrams the end of the datagram is an end too.
                    Protocol::Lines => lines::split(&request).map_or(&*request, |(found, _)| found),
                };
                let answer = own.answer(request).await;
                // A client that takes no answer, or has no address, goes without.
                let _ = timeout(PATIENCE, socket.send(&answer.bytes, &from)).await;
                drop(place);
            });
        }
    }

    /// Reads requests off a pipe; ends where something in it is no request.
    async fn read_pipe(&self, pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            while let Some((request, used)) = self.whole(&buffer)? {
                let (reply, bytes) = self.answer_lines(request).await;
                buffer.drain(..used);
                if !reply.is_empty() {
                    tokio::spawn(deliver(reply, bytes));
                }
            }
            if buffer.is_empty() {
                pipe.read_buf(&mut buffer).await?;
            } else {
                // Half a request: its writer has ended, or is about to go on.
                let read = timeout(PATIENCE, pipe.read_buf(&mut buffer)).await;
                read.map_err(|_| io::ErrorKind::TimedOut)??;
            }
        }
    }
}

async fn deliver(name: String, bytes: Vec<u8>) {
    let sent = match open_for_reply(REPLY_FOLDER.as_ref(), &name).await {
        Ok(mut pipe) => send(&mut pipe, &bytes).await,
        Err(error) => Err(error),
    };
    if let Err(error) = sent {
        kahea_module::error!("ctl", "No answer to the pipe {name} in {REPLY_FOLDER}: {error}.");
    }
}

async fn send(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, client.write_all(bytes))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

/// What the command answered, or what the client is told instead.
fn result(
    done: Result<RpcAnswer, Undone>,
    unknown: impl FnOnce() -> RpcFault,
) -> kahea_module::rpc::RpcResult {
    match done {
        Ok(answer) => answer.result,
        Err(undone) => Err(undone.fault(unknown)),
    }
}
