//! Measures what this layer costs: `cargo run --release -p kahea-net --example measure`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool that prints its findings"
)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use kahea_net::{Inherited, ListenAddress, ListenSpec, Net, NetConfig, NetEvent, Sink, Worker};
use kahea_sip::{Destination, Received, SendFlags, Str, Transport};

const PACKETS: usize = 400_000;
const WINDOW: usize = 64;
const CONNECTIONS: usize = 5_000;

fn main() {
    let (net, server, cpu) = start();
    let at = |transport| {
        net.listeners()
            .iter()
            .find(|l| l.transport == transport)
            .unwrap()
            .socket_addr()
    };
    udp(at(Transport::Udp), &cpu);
    tcp(at(Transport::Tcp));
    net.shutdown();
    server.join().unwrap();
}

struct Echo(Worker);

impl Sink for Echo {
    fn message(&self, data: Str, received: Received) {
        let destination = Destination {
            to: received.source,
            transport: received.transport,
            listener: Some(received.listener),
            connection: received.connection,
            flags: SendFlags::default(),
        };
        let _ = self.0.send(&destination, data);
    }

    fn event(&self, _: NetEvent) {}
}

type Cpu = Box<dyn Fn() -> u64>;

/// Starts a worker; the last value tells the nanoseconds its thread has run.
fn start() -> (Arc<Net>, thread::JoinHandle<()>, Cpu) {
    let spec = ListenSpec::new(Transport::None, ListenAddress::parse("127.0.0.1"), Some(0));
    let mut config = NetConfig {
        listen: vec![spec],
        ..NetConfig::default()
    };
    config.tcp.max_connections = 100_000;
    config.tcp.accept_iplimit = 0;
    let net = Net::bind(config, 1, Inherited::default()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let shared = net.clone();
    let server = thread::spawn(move || {
        sender
            .send(std::fs::read_link("/proc/thread-self").unwrap())
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let worker = shared.worker(0);
            worker.run(Rc::new(Echo(worker.clone()))).await.unwrap();
        });
    });
    let path = std::path::Path::new("/proc")
        .join(receiver.recv().unwrap())
        .join("schedstat");
    let cpu = move || {
        std::fs::read_to_string(&path)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    (net, server, Box::new(cpu))
}

fn udp(server: SocketAddr, cpu: &Cpu) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let packet = [b'x'; 700];
    let mut buffer = [0; 2048];
    let (mut sent, mut got) = (0, 0);
    let before = cpu();
    while got < PACKETS {
        while sent < PACKETS && sent - got < WINDOW {
            socket.send_to(&packet, server).unwrap();
            sent += 1;
        }
        match socket.recv_from(&mut buffer) {
            Ok(_) => got += 1,
            Err(_) => break,
        }
    }
    let spent = (cpu() - before) as f64 / got.max(1) as f64;
    println!(
        "UDP echo of 700 bytes: {:.2} us of server CPU a packet, {got} of {PACKETS} came back",
        spent / 1000.0
    );
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn tcp(server: SocketAddr) {
    let text = b"OPTIONS sip:a@example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";
    let connect = || {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.write_all(text).unwrap();
        stream.read_exact(&mut [0; 56]).unwrap();
        stream
    };
    let _warm: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let before = resident();
    let streams: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect()).collect();
    let each = (resident() - before) / streams.len();
    println!("idle TCP connection after one message and its answer: {each} bytes resident");
}
