//! SIGHUP under load with a changed, then a broken, then the old configuration: no request is lost or misrouted.

#![expect(
    clippy::disallowed_methods,
    reason = "a test of the real server waits for it by the real clock"
)]

use std::{
    collections::HashMap,
    fs,
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Answers every request with a reason that names the configuration.
fn config(port: u16, name: &str) -> String {
    format!(
        "#!KAMAILIO\ndebug=0\nlog_stderror=yes\nlisten=udp:127.0.0.1:{port}\nauto_aliases=no\nloadmodule \"sl.so\"\n\
         loadmodule \"pv.so\"\nrequest_route {{ sl_send_reply(\"200\", \"{name} $rU\"); }}\n"
    )
}

struct Server(Child);

impl Server {
    fn start(folder: &Path) -> Server {
        let child = Command::new(env!("CARGO_BIN_EXE_kahea"))
            .args(["-f", "kahea.cfg", "-DD", "-E", "-Y"])
            .arg(folder)
            .current_dir(folder)
            .stderr(Stdio::from(
                fs::File::create(folder.join("log")).expect("the log file"),
            ))
            .spawn()
            .expect("kahea starts");
        Server(child)
    }

    fn hang_up(&self) {
        let done = Command::new("kill")
            .args(["-HUP", &self.0.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(done.success(), "the server is gone");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child is ours and not yet waited for, so its number is still its own.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("its address").port()
}

fn request(number: u32, port: u16) -> String {
    format!(
        "OPTIONS sip:u{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:u{number}@127.0.0.1>\r\nCall-ID: c{number}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The reason phrase of the next answer.
fn answer(socket: &UdpSocket) -> Option<String> {
    let mut buffer = [0u8; 4096];
    let len = socket.recv(&mut buffer).ok()?;
    let text = String::from_utf8_lossy(buffer.get(..len)?).into_owned();
    text.lines()
        .next()?
        .strip_prefix("SIP/2.0 200 ")
        .map(str::to_owned)
}

/// One request and its answer's reason phrase.
fn ask(socket: &UdpSocket, number: u32, own: u16) -> Option<String> {
    socket.send(request(number, own).as_bytes()).ok()?;
    answer(socket)
}

/// Requests under way at once.
const WINDOW: u32 = 64;

/// Sends a window of requests and takes their answers: each exactly one, all to their own request. Counts them by the
/// configuration that answered.
fn window(socket: &UdpSocket, own: u16, next: &mut u32) -> HashMap<String, u32> {
    let first = *next + 1;
    *next += WINDOW;
    for number in first..=*next {
        socket
            .send(request(number, own).as_bytes())
            .expect("the request leaves");
    }
    let mut open: Vec<String> = (first..=*next).map(|number| format!("u{number}")).collect();
    let mut from = HashMap::new();
    while !open.is_empty() {
        let answer = answer(socket).expect("every request is answered");
        let (name, user) = answer.split_once(' ').expect("two words");
        let at = open
            .iter()
            .position(|waiting| waiting == user)
            .expect("an answer to an open request");
        open.swap_remove(at);
        *from.entry(name.to_owned()).or_default() += 1;
    }
    from
}

/// Keeps the load up until all answers come from that configuration, or the time is over.
fn load_until(socket: &UdpSocket, own: u16, name: &str, seen: &mut HashMap<String, u32>, next: &mut u32) {
    let until = Instant::now()
        .checked_add(Duration::from_secs(10))
        .expect("a later time");
    loop {
        let from = window(socket, own, next);
        let arrived = from.len() == 1 && from.contains_key(name);
        for (name, count) in from {
            *seen.entry(name).or_default() += count;
        }
        if arrived {
            return;
        }
        assert!(Instant::now() < until, "not {name} after 10 s");
    }
}

#[test]
fn no_request_is_lost_or_misrouted_by_reloads_under_load() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let file = folder.path().join("kahea.cfg");
    fs::write(&file, config(port, "old")).expect("the first configuration");
    let server = Server::start(folder.path());

    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(("127.0.0.1", port)).expect("the server's address");
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let own = socket.local_addr().expect("an address").port();
    let started = Instant::now();
    while ask(&socket, 0, own).is_none() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "the server does not start"
        );
        thread::sleep(Duration::from_millis(20));
    }

    let (mut seen, mut next) = (HashMap::new(), 0);
    load_until(&socket, own, "old", &mut seen, &mut next);
    fs::write(&file, config(port, "new")).expect("the second configuration");
    server.hang_up();
    load_until(&socket, own, "new", &mut seen, &mut next);

    // A broken one changes nothing: the log says so, and all that time the answers come from the one in force.
    fs::write(
        &file,
        config(port, "broken").replace("sl_send_reply", "sl_send_replay"),
    )
    .expect("the broken one");
    server.hang_up();
    let log = folder.path().join("log");
    while !fs::read_to_string(&log)
        .expect("the log")
        .contains("stays in force")
    {
        load_until(&socket, own, "new", &mut seen, &mut next);
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the broken configuration is not refused"
        );
    }
    assert!(!seen.contains_key("broken"));

    fs::write(&file, config(port, "old")).expect("the old configuration");
    server.hang_up();
    load_until(&socket, own, "old", &mut seen, &mut next);
    // Each answer above was matched to its request; nothing waits unread.
    socket.set_nonblocking(true).expect("nonblocking");
    let mut rest = [0u8; 64];
    assert!(socket.recv(&mut rest).is_err(), "an answer too many");
}
