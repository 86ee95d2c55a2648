//! A network of a test's own: the test runs itself again in a namespace where it may have any address, and where names
//! are what it says.

#![allow(dead_code)] // reason: each test binary uses a part of it

pub mod dns;

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Set in the run inside of the namespace.
const INSIDE: &str = "KAHEA_TEST_INSIDE";

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Where a test stands.
pub enum Side {
    /// In the namespace: do the test.
    Inside,
    /// Outside: it ran inside, or it cannot here.
    Done,
}

/// Runs this test in a namespace of its own. Without root it is left out, loudly.
pub fn enter(test: &str) -> Side {
    if std::env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"]);
        return Side::Inside;
    }
    let probe = Command::new("unshare")
        .args(["--net", "--mount", "ip", "link", "set", "lo", "up"])
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("LEFT OUT: {test} needs root, unshare and ip for a network of its own");
        return Side::Done;
    }
    let output = Command::new("unshare")
        .args(["--net", "--mount", "--kill-child", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "in the namespace:\n{text}");
    assert!(
        text.contains("1 passed"),
        "the test did not run in the namespace:\n{text}"
    );
    Side::Done
}

/// Runs a command that must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program} {arguments:?}"
    );
}

/// Gives the namespace an address.
pub fn add_address(address: &str) {
    run("ip", &["address", "add", &format!("{address}/32"), "dev", "lo"]);
}

/// Has names asked of 127.0.0.1.
pub fn use_own_names(place: &Path) {
    let file = place.join("resolv.conf");
    fs::write(&file, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n").unwrap();
    run("mount", &["--bind", &file.to_string_lossy(), "/etc/resolv.conf"]);
}

/// A directory that goes with the test.
pub struct Place(PathBuf);

impl Place {
    pub fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("kahea-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running process with its output in a file; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn start(command: &mut Command, log: PathBuf) -> Process {
        let file = fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process { child, log }
    }

    /// Starts the server as Kamailio is started, and waits until it listens.
    pub fn server(config: &Path, place: &Place) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kahea"));
        command.args(["-DD", "-E", "--workers", "1", "-f"]).arg(config);
        command.arg("-Y").arg(place.path());
        let server = Process::start(&mut command, place.file("log"));
        server.shows("Listening on");
        server
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }

    /// Waits until its output has this text.
    pub fn shows(&self, text: &str) {
        let until = Instant::now() + LIMIT;
        while !self.log().contains(text) {
            let log = self.log.display();
            assert!(
                Instant::now() < until,
                "{log} never showed \"{text}\":\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A caller or callee over UDP.
pub struct Peer {
    socket: UdpSocket,
}

/// A message, as far as tests look.
#[derive(Clone, Debug)]
pub struct Sip(pub String);

impl Sip {
    /// The first line.
    pub fn first(&self) -> &str {
        self.0.lines().next().unwrap_or_default()
    }

    /// The status of a reply.
    pub fn status(&self) -> Option<u16> {
        self.first().strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// Every line of a header, whole.
    pub fn lines(&self, name: &str) -> Vec<&str> {
        let start = format!("{name}:");
        self.0.lines().filter(|line| line.starts_with(&start)).collect()
    }

    /// The value of the first.
    pub fn value(&self, name: &str) -> &str {
        let line = self.lines(name).first().copied().unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    }
}

impl Peer {
    pub fn at(address: &str) -> Peer {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Peer { socket }
    }

    pub fn send(&self, to: &str, text: &str) {
        self.socket.send_to(text.as_bytes(), to).unwrap();
    }

    /// The next message and where it came from; `None` when none comes in that time.
    pub fn next_within(&self, time: Duration) -> Option<(Sip, std::net::SocketAddr)> {
        let mut buffer = [0; 9000];
        self.socket.set_read_timeout(Some(time)).unwrap();
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        Some((Sip(String::from_utf8_lossy(&buffer[..length]).into_owned()), from))
    }

    /// The next message that fits; others are passed over.
    pub fn expect(&self, what: &str, fits: impl Fn(&Sip) -> bool) -> Sip {
        let until = Instant::now() + LIMIT;
        while Instant::now() < until {
            if let Some((message, _)) = self.next_within(LIMIT)
                && fits(&message)
            {
                return message;
            }
        }
        panic!("{what} did not come");
    }

    pub fn expect_status(&self, status: u16) -> Sip {
        self.expect(&status.to_string(), |message| message.status() == Some(status))
    }

    pub fn expect_request(&self, method: &str) -> Sip {
        self.expect(method, |message| {
            message.first().starts_with(&format!("{method} "))
        })
    }

    /// Answers a request to where it came from.
    pub fn answer(&self, to: &str, request: &Sip, status: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From"] {
            request
                .lines(name)
                .iter()
                .for_each(|line| text += &format!("{line}\r\n"));
        }
        let own = self.socket.local_addr().unwrap();
        let tag = if request.value("To").contains(";tag=") {
            ""
        } else {
            ";tag=callee"
        };
        text += &format!(
            "To: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:callee@{own}>\r\nContent-Length: 0\r\n\r\n",
            request.value("To"),
            request.value("Call-ID"),
            request.value("CSeq")
        );
        self.send(to, &text);
    }

    /// A request of this peer; `more` are whole header lines.
    pub fn request(&self, method: &str, uri: &str, call: &str, more: &str) -> String {
        let own = self.socket.local_addr().unwrap();
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{call}{method};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:caller@{own}>;tag=caller\r\nTo: <{uri}>\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:caller@{own}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
    }

    /// The ACK to a reply; `uri` is that of the INVITE for a refusal, else the Contact.
    pub fn ack(&self, reply: &Sip, uri: &str, branch: &str) -> String {
        let own = self.socket.local_addr().unwrap();
        format!(
            "ACK {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            reply.value("From"),
            reply.value("To"),
            reply.value("Call-ID")
        )
    }
}
