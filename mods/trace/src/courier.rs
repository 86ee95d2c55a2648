//! Takes packets to collectors on a thread of its own: what the workers hand over waits in a queue that is bounded in
//! packets and bytes, and is thrown away and counted where the queue is full or nobody takes it.
#![allow(clippy::disallowed_methods)] // reason: the clock of a thread of its own, which no message waits for

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_module::{Str, config::Shared, stats::Counter};
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    time::timeout,
};

/// Packets that wait at most.
const PACKETS: usize = 16_384;
/// Bytes that wait at most.
const BYTES: usize = 32 << 20;
/// Packets that wait for one TCP connection at most.
const PER_CONNECTION: usize = 4096;
/// How long a collector may leave a packet on the way, or a connection unmade.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a UDP socket may be full.
const FULL: Duration = Duration::from_millis(100);
/// How long the address of a name is taken for granted, and how long a collector that failed is left alone.
const KNOWN: Duration = Duration::from_secs(60);
const ALONE: Duration = Duration::from_secs(1);

/// Where packets go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Over TCP; else UDP.
    pub tcp: bool,
    /// The own address that they leave from; the system chooses where there is none.
    pub from: Option<IpAddr>,
}

impl Address {
    /// Of a SIP URI: its host, port (5060 where it has none) and transport. `None` where it is no such URI, or its transport is
    /// neither UDP nor TCP.
    pub fn of_uri(uri: &[u8], from: Option<IpAddr>) -> Option<Address> {
        let uri = kahea_sip::view::Uri::parse(uri).ok()?;
        let tcp = match uri.transport() {
            kahea_sip::Transport::None | kahea_sip::Transport::Udp => false,
            kahea_sip::Transport::Tcp => true,
            _ => return None,
        };
        let host = std::str::from_utf8(uri.host).ok()?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = uri.port.unwrap_or(5060);
        (!host.is_empty() && port != 0).then(|| Address {
            host: host.to_owned(),
            port,
            tcp,
            from,
        })
    }
}

struct Parcel {
    to: Arc<Address>,
    data: Vec<u8>,
}

/// Hands packets to the thread. One in the life of the process.
pub struct Courier {
    queue: mpsc::Sender<Parcel>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

#[derive(Default)]
struct Kept(Mutex<Option<Arc<Courier>>>);

impl Courier {
    /// The courier of this process; its thread starts at first use.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn of(shared: &Shared) -> io::Result<Arc<Courier>> {
        let kept = shared.keep(Kept::default);
        let mut place = kept.0.lock();
        if let Some(courier) = &*place {
            return Ok(courier.clone());
        }
        let doc = "Packets for collectors that were thrown away: too many waited, or nobody took them.";
        let dropped = shared.stats.counter("trace", "dropped_packets", doc);
        let courier = Arc::new(Courier::start(dropped)?);
        *place = Some(courier.clone());
        Ok(courier)
    }

    fn start(dropped: Counter) -> io::Result<Courier> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (queue, taken) = mpsc::channel(PACKETS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (own, count) = (waiting.clone(), dropped.clone());
        std::thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || {
                runtime.block_on(Round::new(count).run(taken, &own));
            })?;
        Ok(Courier {
            queue,
            waiting,
            dropped,
        })
    }

    /// Takes a packet on its way; never waits. False where it was thrown away.
    pub fn send(&self, to: &Arc<Address>, data: Vec<u8>) -> bool {
        let size = data.len();
        let waiting = self.waiting.fetch_add(size, Relaxed);
        let fits = waiting.saturating_add(size) <= BYTES;
        let sent = fits && self.queue.try_send(Parcel { to: to.clone(), data }).is_ok();
        if !sent {
            self.waiting.fetch_sub(size, Relaxed);
            self.dropped.inc();
        }
        sent
    }
}

/// What the thread knows.
struct Round {
    names: HashMap<(String, u16), (Option<SocketAddr>, Instant)>,
    sockets: HashMap<IpAddr, UdpSocket>,
    connections: HashMap<Arc<Address>, mpsc::Sender<Vec<u8>>>,
    dropped: Counter,
}

impl Round {
    fn new(dropped: Counter) -> Round {
        Round {
            names: HashMap::new(),
            sockets: HashMap::new(),
            connections: HashMap::new(),
            dropped,
        }
    }

    async fn run(mut self, mut taken: mpsc::Receiver<Parcel>, waiting: &AtomicUsize) {
        while let Some(Parcel { to, data }) = taken.recv().await {
            let size = data.len();
            let went = if to.tcp {
                self.by_connection(&to, data)
            } else {
                self.by_datagram(&to, &data).await.is_ok()
            };
            waiting.fetch_sub(size, Relaxed);
            if !went {
                self.dropped.inc();
            }
        }
    }

    /// The address of a name, from the last minute where it was asked for then.
    async fn resolve(&mut self, to: &Address) -> io::Result<SocketAddr> {
        if let Ok(ip) = to.host.parse() {
            return Ok(SocketAddr::new(ip, to.port));
        }
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let key = (to.host.clone(), to.port);
        if let Some((address, at)) = self.names.get(&key)
            && at.elapsed() < KNOWN
        {
            return address.ok_or_else(missing);
        }
        let address = look_up(to).await.ok();
        self.names.insert(key, (address, Instant::now()));
        address.ok_or_else(missing)
    }

    async fn by_datagram(&mut self, to: &Address, data: &[u8]) -> io::Result<()> {
        let address = self.resolve(to).await?;
        let any = match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let from = to
            .from
            .filter(|from| from.is_ipv4() == address.is_ipv4())
            .unwrap_or(any);
        let socket = match self.sockets.entry(from) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(UdpSocket::bind(SocketAddr::new(from, 0)).await?)
            }
        };
        match socket.try_send_to(data, address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let late = |_| io::Error::from(io::ErrorKind::TimedOut);
                timeout(FULL, socket.send_to(data, address))
                    .await
                    .map_err(late)?
                    .map(drop)
            }
            // The collector's answer to an earlier packet: nobody listens there. This one was not sent yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket.try_send_to(data, address).map(drop)
            }
            done => done.map(drop),
        }
    }

    fn by_connection(&mut self, to: &Arc<Address>, data: Vec<u8>) -> bool {
        let queue = self.connections.entry(to.clone()).or_insert_with(|| {
            let (queue, taken) = mpsc::channel(PER_CONNECTION);
            tokio::spawn(connection(to.clone(), taken, self.dropped.clone()));
            queue
        });
        queue.try_send(data).is_ok()
    }
}

async fn look_up(to: &Address) -> io::Result<SocketAddr> {
    let found = timeout(PATIENCE, tokio::net::lookup_host((to.host.as_str(), to.port)));
    let mut found = found
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    found.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// One connection, made again where it broke; what comes while it is not there is thrown away.
async fn connection(to: Arc<Address>, mut taken: mpsc::Receiver<Vec<u8>>, dropped: Counter) {
    let mut stream = None;
    let mut failed: Option<Instant> = None;
    while let Some(data) = taken.recv().await {
        if stream.is_none() && failed.is_none_or(|at| at.elapsed() >= ALONE) {
            stream = connect(&to).await.ok();
            failed = stream.is_none().then(Instant::now);
        }
        let sent = match &mut stream {
            Some(stream) => matches!(timeout(PATIENCE, write(stream, &data)).await, Ok(Ok(()))),
            None => false,
        };
        if !sent {
            dropped.inc();
            if stream.take().is_some() {
                failed = Some(Instant::now());
            }
        }
    }
}

async fn write(stream: &mut TcpStream, data: &[u8]) -> io::Result<()> {
    // A collector that closed is noticed before the packet goes into nothing.
    match stream.try_read(&mut [0; 512]) {
        Ok(0) => return Err(io::ErrorKind::ConnectionReset.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        Ok(_) | Err(_) => {}
    }
    stream.write_all(data).await
}

async fn connect(to: &Address) -> io::Result<TcpStream> {
    let address = match to.host.parse() {
        Ok(ip) => SocketAddr::new(ip, to.port),
        Err(_) => look_up(to).await?,
    };
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    if let Some(from) = to.from.filter(|from| from.is_ipv4() == address.is_ipv4()) {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let made = timeout(PATIENCE, socket.connect(address)).await;
    let stream = made.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The own IP address that a configuration names for packets: of a socket's URI or a socket's name.
pub fn own_address(uri: &Str) -> Option<IpAddr> {
    let address = Address::of_uri(uri, None)?;
    address.host.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, UdpSocket as Blocking},
    };

    use super::*;

    fn courier() -> Courier {
        Courier::start(kahea_module::stats::Stats::default().counter("trace", "dropped", "")).unwrap()
    }

    fn to(port: u16, tcp: bool) -> Arc<Address> {
        Arc::new(Address {
            host: "127.0.0.1".to_owned(),
            port,
            tcp,
            from: None,
        })
    }

    #[test]
    fn addresses_come_from_uris() {
        let of = |uri: &str| Address::of_uri(uri.as_bytes(), None);
        let plain = of("sip:10.0.0.1:9060").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.tcp),
            ("10.0.0.1", 9060, false)
        );
        let six = of("sip:[2001:db8::1];transport=tcp").unwrap();
        assert_eq!(
            (six.host.as_str(), six.port, six.tcp),
            ("2001:db8::1", 5060, true)
        );
        assert_eq!(of("sip:a;transport=ws"), None);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn packets_arrive_over_udp_and_tcp_in_their_order() {
        let courier = courier();
        let receiver = Blocking::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (udp, tcp) = (
            receiver.local_addr().unwrap().port(),
            listener.local_addr().unwrap().port(),
        );
        for text in ["one", "two"] {
            assert!(courier.send(&to(udp, false), text.into()));
            assert!(courier.send(&to(tcp, true), text.into()));
        }
        let mut buffer = [0; 16];
        for text in ["one", "two"] {
            let length = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], text.as_bytes());
        }
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 6];
        stream.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"onetwo");
    }

    #[test]
    fn a_collector_that_reads_nothing_costs_bounded_memory() {
        let courier = courier();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = to(listener.local_addr().unwrap().port(), true);
        let begun = Instant::now();
        for _ in 0..100_000 {
            courier.send(&to, vec![b'x'; 4096]);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "nobody waits for a collector"
        );
        assert!(courier.dropped.get() > 0);
        assert!(courier.waiting.load(Relaxed) <= BYTES);
    }
}
