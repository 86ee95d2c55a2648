//! Commands by BINRPC, lines and JSON-RPC: clients that hang or send nonsense harm nobody, sockets survive a reload, and go
//! with the configuration.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixDatagram, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

use common::{Place, Running, ask, wait_for};
use nix::sys::signal::Signal;

/// A configuration with all ways in.
fn configure(place: &Place, sockets: &str) {
    let text = format!(
        "debug=1\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\nloadmodule \"sl\"\nloadmodule \"ctl\"\n\
         loadmodule \"jsonrpcs\"\nloadmodule \"cfg_rpc\"\n{sockets}\nmodparam(\"jsonrpcs\", \"fifo_name\", \"rpc.fifo\")\n\
         modparam(\"jsonrpcs\", \"dgram_socket\", \"rpc.sock\")\nrequest_route {{\n    sl_send_reply(\"200\", \"one\");\n}}\n",
        place.port
    );
    fs::write(place.config(), text).unwrap();
}

const SOCKETS: &str = "modparam(\"ctl\", \"binrpc\", \"unixs:ctl\")\nmodparam(\"ctl\", \"binrpc\", \"unixd:ctl_d\")\n\
                       modparam(\"ctl\", \"fifo\", \"unixs:lines\")\nmodparam(\"ctl\", \"fifo\", \"fifo\")";

fn start() -> (Place, Running) {
    let place = Place::new();
    configure(&place, SOCKETS);
    let server = place.start(&[]);
    (place, server)
}

fn packet(method: &str, arguments: &[u8]) -> Vec<u8> {
    let mut body = vec![0x91, u8::try_from(method.len() + 1).unwrap()];
    body.extend_from_slice(method.as_bytes());
    body.push(0);
    body.extend_from_slice(arguments);
    let mut packet = vec![0xa1, 0x07];
    packet.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(&[1, 2, 3, 4]);
    packet.extend_from_slice(&body);
    packet
}

fn connect(path: &Path) -> UnixStream {
    let client = wait_for("the socket", || UnixStream::connect(path).ok());
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client
}

/// The kind of the answer: 1 for a reply, 3 for a fault.
fn call(client: &mut UnixStream, packet: &[u8]) -> (u8, Vec<u8>) {
    client.write_all(packet).unwrap();
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0xa1);
    let (length, cookie) = (usize::from(head[1] >> 2 & 3) + 1, usize::from(head[1] & 3) + 1);
    let mut rest = vec![0; length + cookie];
    client.read_exact(&mut rest).unwrap();
    let size = rest[..length]
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    assert_eq!(rest[length..], [1, 2, 3, 4]);
    let mut body = vec![0; size];
    client.read_exact(&mut body).unwrap();
    (head[1] >> 4, body)
}

fn resident(server: &Running) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
}

/// A thousand commands and a hundred thousand packets that are none: the server answers after them as before, and is not
/// larger than after the first of them.
#[test]
fn nonsense_leaves_the_server_as_it_was() {
    let (place, server) = start();
    let mut random = Random(42);
    let mut client = connect(&place.file("ctl"));
    let methods = [
        "core.echo",
        "core.version",
        "core.uptime",
        "none.at_all",
        "core.printi",
        "cfg.get",
        "ctl.listen",
    ];
    for _ in 0..1000 {
        let mut arguments = Vec::new();
        for _ in 0..random.below(4) {
            match random.below(3) {
                0 => arguments.extend_from_slice(&[0x10, u8::try_from(random.below(255) + 1).unwrap()]),
                1 => arguments.extend_from_slice(b"\x51core\x00"),
                _ => arguments.extend_from_slice(b"\x03\x25a\x00\x10\x01\x83"),
            }
        }
        let (kind, _) = call(
            &mut client,
            &packet(methods[random.below(methods.len())], &arguments),
        );
        assert!(kind == 1 || kind == 3);
    }
    let socket = UnixDatagram::bind(place.file("client")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut after_some = 0;
    let mut sent = 0;
    let mut buffer = [0; 2048];
    while sent < 100_000 {
        let mut bytes = packet(
            methods[random.below(methods.len())],
            b"\x10\x05\x51core\x00\x03\x25a\x00\x10\x01\x83",
        );
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
                _ => bytes.insert(at, u8::try_from(random.below(256)).unwrap()),
            }
        }
        let to = if random.below(4) == 0 { "rpc.sock" } else { "ctl_d" };
        while socket.send_to(&bytes, place.file(to)).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        while socket.recv(&mut buffer).is_ok() {}
        sent += 1;
        if sent % 100 == 0 {
            let mut stream = connect(&place.file(if random.below(2) == 0 { "ctl" } else { "lines" }));
            // The server may have closed it by then.
            let _ = stream.write_all(&bytes);
        }
        if sent == 20_000 {
            after_some = resident(&server);
        }
    }
    assert_eq!(ask(place.port).as_deref(), Some("SIP/2.0 200 one"));
    let (kind, _) = call(&mut client, &packet("core.version", b""));
    assert_eq!(kind, 1, "the client of before is served");
    let grown = resident(&server).saturating_sub(after_some);
    assert!(grown < 4096, "{grown} kB more after 80,000 further packets");
}

#[test]
fn clients_that_hang_hold_nobody_up() {
    let (place, _server) = start();
    let good = packet("core.version", b"");
    let mut hanging = Vec::new();
    for n in 0..200 {
        let mut client = connect(&place.file("ctl"));
        // Half a packet, or many commands whose answers nobody reads.
        match n % 2 {
            0 => client.write_all(&good[..good.len() - 3]).unwrap(),
            _ => {
                client.set_nonblocking(true).unwrap();
                while client
                    .write(&packet("system.listMethods", b""))
                    .is_ok_and(|n| n > 0)
                {}
            }
        }
        hanging.push(client);
        if n % 50 == 49 {
            let begun = Instant::now();
            let (kind, _) = call(&mut connect(&place.file("ctl")), &good);
            assert!(kind == 1 && begun.elapsed() < Duration::from_secs(5), "after {n}");
            assert_eq!(ask(place.port).as_deref(), Some("SIP/2.0 200 one"));
        }
    }
}

#[test]
fn sockets_survive_a_reload_and_go_with_the_configuration() {
    let (place, server) = start();
    let mode = |name: &str| fs::metadata(place.file(name)).unwrap().permissions().mode() & 0o777;
    let mut client = connect(&place.file("ctl"));
    assert_eq!(
        (mode("ctl"), mode("ctl_d"), mode("fifo"), mode("rpc.sock")),
        (0o600, 0o600, 0o600, 0o660)
    );
    assert!(
        fs::metadata(place.file("rpc.fifo"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
    let kept = "modparam(\"ctl\", \"binrpc\", \"unixs:ctl\")\nmodparam(\"ctl\", \"binrpc\", \"unixs:second\")\n\
                modparam(\"ctl\", \"mode\", 0666)";
    configure(&place, kept);
    server.signal(Signal::SIGHUP);
    wait_for("the new socket", || {
        UnixStream::connect(place.file("second")).ok()
    });
    wait_for("the end of the old socket", || {
        (!place.file("ctl_d").exists()).then_some(())
    });
    assert!(!place.file("lines").exists() && !place.file("fifo").exists());
    assert_eq!(
        (mode("ctl"), mode("second")),
        (0o664, 0o664),
        "never for others to write"
    );
    let (kind, _) = call(&mut client, &packet("core.version", b""));
    assert_eq!(kind, 1, "the client of before is served");
    fs::write(place.config(), "nonsense").unwrap();
    server.signal(Signal::SIGHUP);
    wait_for("the complaint", || {
        place.log().contains("the old one stays in force").then_some(())
    });
    let (kind, _) = call(&mut connect(&place.file("second")), &packet("core.version", b""));
    assert_eq!(kind, 1, "a broken configuration changes nothing");
    assert_eq!(server.stop().code(), Some(0));
    for name in ["ctl", "second", "rpc.sock", "rpc.fifo"] {
        assert!(!place.file(name).exists(), "{name}");
    }
}

#[test]
fn settings_that_are_set_take_effect() {
    let (place, _server) = start();
    let mut client = connect(&place.file("ctl"));
    let (kind, _) = call(
        &mut client,
        &packet("cfg.seti", b"\x51core\x00\x61debug\x00\x10\x03"),
    );
    assert_eq!(kind, 1);
    assert_eq!(
        call(&mut client, &packet("cfg.get", b"\x51core\x00\x61debug\x00")),
        (1, vec![0x10, 3])
    );
    let (kind, body) = call(
        &mut client,
        &packet("cfg.seti", b"\x51core\x00\x61debug\x00\x21x\x00"),
    );
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(
        kind == 3 && text.contains("error at parameter 2: expected integer type"),
        "{text}"
    );
}

#[test]
fn lines_are_answered_over_sockets_and_pipes() {
    let (place, _server) = start();
    let mut client = connect(&place.file("lines"));
    client
        .write_all(b":core.echo:\na b\n5\n\n:none.at_all:\n\ngarbage\n\n")
        .unwrap();
    let expected =
        "200 OK\na b\n5\n500 Command 'none.at_all' not found\n400 a request begins with :command:reply\n";
    let mut text = vec![0; expected.len()];
    client.read_exact(&mut text).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), expected);
    let name = format!("kahea-test-{}", std::process::id());
    let answer = Path::new("/tmp").join(&name);
    nix::unistd::mkfifo(&answer, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = answer.clone();
    let reading = std::thread::spawn(move || fs::read_to_string(reader).unwrap());
    let request = format!(":core.echo:{name}\nx\n\n");
    fs::OpenOptions::new()
        .write(true)
        .open(place.file("fifo"))
        .unwrap()
        .write_all(request.as_bytes())
        .unwrap();
    let text = reading.join().unwrap();
    fs::remove_file(answer).unwrap();
    assert_eq!(text, "200 OK\nx\n");
}
