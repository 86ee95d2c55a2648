//! Asking a relay: one question, one answer, over UDP, TCP, a unix socket or WebSocket.
//!
//! A question borrows a socket of its worker's thread, so that answers find whom they are for without a task in
//! between; answers that come too late have another cookie and are passed over.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use kahea_module::{Hop, Str, Worker};
use kahea_sip::Transport;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket, UnixStream},
};

use super::ws::{self, WebSocket};

/// Where a relay is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Datagrams.
    Udp(Place),
    /// A stream of questions and answers.
    Tcp(Place),
    /// WebSocket messages (RFC 6455) at this path.
    Ws(Place, Str),
    /// A unix stream socket, a connection for each question.
    Unix(PathBuf),
}

/// Host and port, and the family where it is stated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// A name or an address, an IPv6 one without brackets.
    pub host: Str,
    /// Its port.
    pub port: u16,
    /// Only IPv6 addresses will do.
    pub v6: bool,
}

impl Place {
    fn parse(text: &str, v6: bool) -> Result<Place, String> {
        let wrong = || format!("'{text}' is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Place {
            host: Str::from(host),
            port,
            v6,
        })
    }

    /// Its address.
    ///
    /// # Errors
    /// The name has none.
    pub async fn resolve(&self, worker: &Worker) -> Result<SocketAddr, Silence> {
        if let Some(Ok(ip)) = self.host.as_utf8().map(str::parse::<IpAddr>) {
            return Ok(SocketAddr::new(ip, self.port));
        }
        let hop = Hop {
            host: self.host.clone(),
            port: Some(self.port),
            transport: Transport::Udp,
            secure: false,
        };
        let found = match worker.net.resolve_now(&hop) {
            Some(found) => found,
            None => worker.net.resolve(hop).await,
        };
        let all = found.map_err(|fault| Silence(fault.text.to_string()))?;
        let fits = |(address, _): &&(SocketAddr, Transport)| !self.v6 || address.is_ipv6();
        match all.iter().find(fits) {
            Some((address, _)) => Ok(*address),
            None => Err(Silence(format!("{} has no IPv6 address", self.host))),
        }
    }
}

impl Address {
    /// As `rtpengine_sock` has it: `udp:HOST:PORT`, `udp6:`, `tcp:`, `tcp6:`, `ws://HOST:PORT/PATH`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse_ng(url: &str) -> Result<Address, String> {
        if let Some(rest) = url.strip_prefix("ws://") {
            let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
            let place = match place.rsplit_once(':') {
                Some(_) => Place::parse(place, false)?,
                None => Place::parse(&format!("{place}:80"), false)?,
            };
            let path = Str::from(format!("/{path}"));
            return Ok(Address::Ws(place, path));
        }
        match url.split_once(':') {
            Some(("udp", rest)) => Place::parse(rest, false).map(Address::Udp),
            Some(("udp6", rest)) => Place::parse(rest, true).map(Address::Udp),
            Some(("tcp", rest)) => Place::parse(rest, false).map(Address::Tcp),
            Some(("tcp6", rest)) => Place::parse(rest, true).map(Address::Tcp),
            Some(("wss", _)) => Err(format!(
                "'{url}': WebSocket over TLS is not available; use ws:// on a network that is safe"
            )),
            _ => Err(format!(
                "'{url}' begins with none of udp:, udp6:, tcp:, tcp6:, ws://"
            )),
        }
    }

    /// As `rtpproxy_sock` has it: `udp:HOST:PORT`, `udp6:`, `unix:PATH`, or a path.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse_rtpproxy(url: &str) -> Result<Address, String> {
        match url.split_once(':') {
            Some(("udp", rest)) => Place::parse(rest, false).map(Address::Udp),
            Some(("udp6", rest)) => Place::parse(rest, true).map(Address::Udp),
            Some(("unix", path)) if !path.is_empty() => Ok(Address::Unix(PathBuf::from(path))),
            None if url.starts_with('/') => Ok(Address::Unix(PathBuf::from(url))),
            _ => Err(format!("'{url}' begins with none of udp:, udp6:, unix: and /")),
        }
    }
}

/// A relay gave no answer; why.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence(pub String);

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Silence {
        Silence(error.to_string())
    }
}

/// How sockets to relays are opened, and how long an answer may take.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// For each attempt.
    pub timeout: Duration,
    /// Attempts; at least one is made.
    pub attempts: u32,
    /// Type of service of what is sent.
    pub tos: Option<u8>,
    /// The own address to send from.
    pub from: Option<IpAddr>,
}

/// Decides whether bytes that came are a whole answer: `None` while more is needed, `Some(false)` for rubbish.
pub type IsWhole = fn(&[u8]) -> Option<bool>;

const LARGEST: usize = 65_535;
/// Sockets that a thread keeps for each relay.
const KEPT: usize = 16;

type Key = (SocketAddr, Option<IpAddr>, Option<u8>);

/// Sockets that no question has borrowed.
#[derive(Default)]
struct Idle {
    udp: HashMap<Key, Vec<UdpSocket>>,
    tcp: HashMap<Key, Vec<TcpStream>>,
    ws: HashMap<(Key, Str), Vec<WebSocket>>,
}

thread_local! {
    static IDLE: RefCell<Idle> = RefCell::default();
}

/// Asks a relay: `cookie` and a space go before the question, and are taken off the answer. Over a unix socket there
/// is no cookie.
///
/// # Errors
/// It gave no answer within all attempts.
pub async fn ask(
    worker: &Rc<Worker>,
    address: &Address,
    manner: &Manner,
    cookie: &str,
    question: &[u8],
    is_whole: IsWhole,
) -> Result<Str, Silence> {
    let data = [cookie.as_bytes(), b" ", question].concat();
    match address {
        Address::Udp(place) => {
            let to = place.resolve(worker).await?;
            over_udp(to, manner, cookie, &data).await
        }
        Address::Tcp(place) => {
            let to = place.resolve(worker).await?;
            let whole = patience(manner);
            within(whole, over_tcp(to, manner, cookie, &data, is_whole)).await
        }
        Address::Ws(place, path) => {
            let to = place.resolve(worker).await?;
            within(patience(manner), over_ws(to, place, path, manner, cookie, &data)).await
        }
        Address::Unix(path) => {
            let exchange = over_unix(path, question);
            within(patience(manner), exchange).await
        }
    }
}

/// Streams are not asked again: TCP sees to that.
fn patience(manner: &Manner) -> Duration {
    manner.timeout.saturating_mul(manner.attempts.max(1))
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Silence>>) -> Result<T, Silence> {
    match tokio::time::timeout(time, work).await {
        Ok(done) => done,
        Err(_) => Err(Silence(format!("no answer within {} ms", time.as_millis()))),
    }
}

async fn over_udp(to: SocketAddr, manner: &Manner, cookie: &str, data: &[u8]) -> Result<Str, Silence> {
    let key = (to, manner.from, manner.tos);
    let idle = IDLE.with_borrow_mut(|idle| idle.udp.get_mut(&key).and_then(Vec::pop));
    let socket = match idle {
        Some(socket) => socket,
        None => udp_socket(to, manner)?,
    };
    let mut last = Silence(String::new());
    for _ in 0..manner.attempts.max(1) {
        match within(manner.timeout, attempt(&socket, cookie, data)).await {
            Ok(answer) => {
                IDLE.with_borrow_mut(|idle| put_back(idle.udp.entry(key).or_default(), socket));
                return Ok(answer);
            }
            Err(silence) => last = silence,
        }
    }
    Err(last)
}

fn put_back<T>(list: &mut Vec<T>, socket: T) {
    if list.len() < KEPT {
        list.push(socket);
    }
}

async fn attempt(socket: &UdpSocket, cookie: &str, data: &[u8]) -> Result<Str, Silence> {
    // What an earlier question left behind (its port was closed) is no news about this one.
    if let Err(error) = socket.send(data).await
        && error.kind() != io::ErrorKind::ConnectionRefused
    {
        return Err(error.into());
    }
    let mut buffer = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if let Some(body) = of_cookie(answer, cookie) {
            return Ok(Str::copy(body));
        }
    }
}

/// The answer behind its cookie; `None` where it answers another question.
fn of_cookie<'a>(answer: &'a [u8], cookie: &str) -> Option<&'a [u8]> {
    answer.strip_prefix(cookie.as_bytes())?.strip_prefix(b" ")
}

fn udp_socket(to: SocketAddr, manner: &Manner) -> Result<UdpSocket, Silence> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(tos) = manner.tos {
        // A refusal costs the priority and nothing else; there is no such option for IPv6 here.
        let _ = socket.set_tos_v4(u32::from(tos));
    }
    if let Some(from) = manner.from {
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    }
    socket.connect(&SockAddr::from(to))?;
    Ok(UdpSocket::from_std(socket.into())?)
}

async fn over_tcp(
    to: SocketAddr,
    manner: &Manner,
    cookie: &str,
    data: &[u8],
    is_whole: IsWhole,
) -> Result<Str, Silence> {
    let key = (to, manner.from, manner.tos);
    let idle = IDLE.with_borrow_mut(|idle| idle.tcp.get_mut(&key).and_then(Vec::pop));
    // A connection that the relay has closed since is worth a second attempt.
    if let Some(mut stream) = idle
        && let Ok(answer) = stream_exchange(&mut stream, cookie, data, is_whole).await
    {
        IDLE.with_borrow_mut(|idle| put_back(idle.tcp.entry(key).or_default(), stream));
        return Ok(answer);
    }
    let mut stream = tcp_stream(to, manner).await?;
    let answer = stream_exchange(&mut stream, cookie, data, is_whole).await?;
    IDLE.with_borrow_mut(|idle| put_back(idle.tcp.entry(key).or_default(), stream));
    Ok(answer)
}

/// A connection to a relay.
async fn tcp_stream(to: SocketAddr, manner: &Manner) -> Result<TcpStream, Silence> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(from) = manner.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn stream_exchange(
    stream: &mut TcpStream,
    cookie: &str,
    data: &[u8],
    is_whole: IsWhole,
) -> Result<Str, Silence> {
    stream.write_all(data).await?;
    let mut buffer = Vec::with_capacity(4_096);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Silence("the connection was closed".to_owned()));
        }
        if buffer.len() > LARGEST {
            return Err(Silence("the answer is too long".to_owned()));
        }
        let Some(space) = buffer.iter().position(|byte| *byte == b' ') else {
            continue;
        };
        let body = buffer.get(space.saturating_add(1)..).unwrap_or_default();
        match is_whole(body) {
            None => continue,
            Some(false) => return Err(Silence("the answer cannot be read".to_owned())),
            Some(true) => {}
        }
        if let Some(body) = of_cookie(&buffer, cookie) {
            return Ok(Str::copy(body));
        }
        buffer.clear();
    }
}

async fn over_ws(
    to: SocketAddr,
    place: &Place,
    path: &Str,
    manner: &Manner,
    cookie: &str,
    data: &[u8],
) -> Result<Str, Silence> {
    let key = ((to, manner.from, manner.tos), path.clone());
    let idle = IDLE.with_borrow_mut(|idle| idle.ws.get_mut(&key).and_then(Vec::pop));
    if let Some(mut socket) = idle
        && let Ok(answer) = ws_exchange(&mut socket, cookie, data).await
    {
        IDLE.with_borrow_mut(|idle| put_back(idle.ws.entry(key).or_default(), socket));
        return Ok(answer);
    }
    let stream = tcp_stream(to, manner).await?;
    let host = format!("{}:{}", place.host, place.port);
    let mut socket = WebSocket::connect(stream, &host, &path.text(), ws::NG_PROTOCOL).await?;
    let answer = ws_exchange(&mut socket, cookie, data).await?;
    IDLE.with_borrow_mut(|idle| put_back(idle.ws.entry(key).or_default(), socket));
    Ok(answer)
}

async fn ws_exchange(socket: &mut WebSocket, cookie: &str, data: &[u8]) -> Result<Str, Silence> {
    socket.send(data).await?;
    loop {
        let message = socket.receive(LARGEST).await?;
        if let Some(body) = of_cookie(&message, cookie) {
            return Ok(Str::copy(body));
        }
    }
}

/// rtpproxy closes the connection behind its answer.
async fn over_unix(path: &PathBuf, question: &[u8]) -> Result<Str, Silence> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(question).await?;
    let mut buffer = Vec::with_capacity(256);
    loop {
        let count = stream.read_buf(&mut buffer).await?;
        if count == 0 || buffer.ends_with(b"\n") {
            break;
        }
        if buffer.len() > LARGEST {
            return Err(Silence("the answer is too long".to_owned()));
        }
    }
    match buffer.is_empty() {
        true => Err(Silence("the connection was closed without an answer".to_owned())),
        false => Ok(Str::from(buffer)),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn manner(attempts: u32) -> Manner {
        Manner {
            timeout: Duration::from_millis(60),
            attempts,
            ..Manner::default()
        }
    }

    fn udp(port: u16) -> Address {
        Address::parse_ng(&format!("udp:127.0.0.1:{port}")).unwrap()
    }

    #[test]
    fn addresses_are_read() {
        let place = |text: &str| Address::parse_ng(text).is_ok();
        assert!(
            place("udp:localhost:2223")
                && place("udp6:fe80::1:9999")
                && place("udp6:[::1]:9")
                && place("tcp:h:1")
        );
        assert_eq!(
            Address::parse_ng("ws://h/ng").unwrap(),
            Address::Ws(
                Place {
                    host: "h".into(),
                    port: 80,
                    v6: false
                },
                "/ng".into()
            )
        );
        for bad in [
            "",
            "udp",
            "udp:",
            "udp:h",
            "udp:h:0",
            "udp:h:70000",
            "udp::5",
            "http://h",
            "wss://h:1/",
        ] {
            assert!(!place(bad), "{bad}");
        }
        assert!(Address::parse_rtpproxy("unix:/tmp/x").is_ok() && Address::parse_rtpproxy("/tmp/x").is_ok());
        assert!(Address::parse_rtpproxy("tcp:h:1").is_err());
    }

    #[tokio::test]
    async fn late_answers_are_passed_over_and_questions_repeated() {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = relay.local_addr().unwrap().port();
        let played = async {
            let mut buffer = [0; 100];
            let (_, _) = relay.recv_from(&mut buffer).await.unwrap();
            let (length, peer) = relay.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"c1 hello");
            relay.send_to(b"c0 late", peer).await.unwrap();
            relay.send_to(b"c1 answer", peer).await.unwrap();
        };
        let server = Server::default();
        let (address, manner) = (udp(port), manner(2));
        let asking = ask(&server.worker, &address, &manner, "c1", b"hello", |_| Some(true));
        let (asked, ()) = tokio::join!(asking, played);
        assert_eq!(asked, Ok(Str::from("answer")));
    }

    #[tokio::test]
    async fn silence_ends_after_all_attempts() {
        let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = relay.local_addr().unwrap().port();
        let server = Server::default();
        let asked = ask(&server.worker, &udp(port), &manner(3), "c", b"x", |_| Some(true)).await;
        assert!(asked.is_err());
        let mut buffer = [0; 10];
        for _ in 0..3 {
            assert_eq!(relay.try_recv_from(&mut buffer).unwrap().0, 3);
        }
        assert!(relay.try_recv_from(&mut buffer).is_err());
    }

    #[tokio::test]
    async fn a_unix_socket_is_asked_without_a_cookie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let relay = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 10];
            let length = stream.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"V\n");
            stream.write_all(b"20040107\n").await.unwrap();
        };
        let server = Server::default();
        let address = Address::Unix(path.clone());
        let manner = manner(1);
        let asking = ask(&server.worker, &address, &manner, "c", b"V\n", |_| Some(true));
        let (answer, ()) = tokio::join!(asking, relay);
        assert_eq!(answer, Ok(Str::from("20040107\n")));
    }
}
