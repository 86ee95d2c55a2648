//! A server in a directory of its own, with a port that the system picks.

#![allow(dead_code)] // reason: each test binary uses a part of it

use std::{
    fs,
    io::Read,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The program under test.
pub fn kahea() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kahea"));
    command
        .env_remove("NOTIFY_SOCKET")
        .env_remove("LISTEN_FDS")
        .stdin(Stdio::null());
    command
}

/// A free UDP port of the loopback address.
pub fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits until something is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A directory with a configuration for one port.
pub struct Place {
    dir: tempfile::TempDir,
    pub port: u16,
}

impl Place {
    pub fn new() -> Place {
        let place = Place {
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
        };
        place.answers("one");
        place
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.file("a.cfg")
    }

    /// Writes a configuration whose requests are answered by 200 with this reason.
    pub fn answers(&self, reason: &str) {
        self.script(&format!("sl_send_reply(\"200\", \"{reason}\");"));
    }

    pub fn script(&self, body: &str) {
        let text = format!(
            "debug=2\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\nloadmodule \"sl\"\n\
             loadmodule \"pv\"\nloadmodule \"xlog\"\nrequest_route {{\n    {body}\n}}\n",
            self.port
        );
        fs::write(self.config(), text).unwrap();
    }

    /// The server's command line with what every test needs.
    pub fn command(&self) -> Command {
        let mut command = kahea();
        command
            .arg("-f")
            .arg(self.config())
            .arg("-Y")
            .arg(self.path())
            .args(["--workers", "2"]);
        command
    }

    /// Starts it in the foreground and waits for an answer.
    pub fn start(&self, more: &[&str]) -> Running {
        let mut command = self.command();
        command.args(["-DD", "-E"]).args(more);
        self.run(command)
    }

    pub fn run(&self, mut command: Command) -> Running {
        let log = fs::File::create(self.file("log")).unwrap();
        let child = command
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let running = Running { child };
        wait_for("an answer", || ask(self.port));
        running
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }
}

/// A running server; killed when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Ends it by SIGTERM.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        wait_for("the end of the server", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends OPTIONS; the status line of the answer.
pub fn ask(port: u16) -> Option<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let own = socket.local_addr().unwrap();
    let request = format!(
        "OPTIONS sip:a@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{0}\r\nMax-Forwards: 70\r\n\
         From: <sip:t@{own}>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: {0}@{own}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        own.port()
    );
    socket.send_to(request.as_bytes(), ("127.0.0.1", port)).ok()?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    text.lines().next().map(str::to_owned)
}

/// Runs a command to its end: code, standard output, standard error.
pub fn finish(mut command: Command) -> (i32, String, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = out.read_to_end(&mut text);
        text
    });
    let mut errors = Vec::new();
    let _ = err.read_to_end(&mut errors);
    let status = wait_for("the end of the command", || child.try_wait().unwrap());
    let text = reader.join().unwrap();
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), lossy(text), lossy(errors))
}

/// A phone that asks a server, one request after the other.
pub struct Phone {
    socket: UdpSocket,
    server: u16,
}

impl Phone {
    pub fn of(server: u16) -> Phone {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Phone { socket, server }
    }

    /// It gives up after this time.
    pub fn hasty(self, time: Duration) -> Phone {
        self.socket.set_read_timeout(Some(time)).unwrap();
        self
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// The answer to a request from and to this user, or nothing; `more` are whole header lines, and a body behind an
    /// empty one.
    pub fn try_ask(&self, method: &str, user: &str, call: &str, more: &str) -> Option<String> {
        let (own, server) = (self.socket.local_addr().unwrap(), self.server);
        let (headers, body) = more.split_once("\r\n\r\n").unwrap_or((more, ""));
        let gap = if headers.is_empty() || headers.ends_with("\r\n") {
            ""
        } else {
            "\r\n"
        };
        let text = format!(
            "{method} sip:{user}@127.0.0.1:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{call}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@127.0.0.1>;tag={call}\r\nTo: <sip:{user}@127.0.0.1>\r\n\
             Call-ID: {call}\r\nCSeq: 1 {method}\r\n{headers}{gap}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket
            .send_to(text.as_bytes(), ("127.0.0.1", server))
            .unwrap();
        let mut buffer = [0; 8192];
        loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            let reply = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if reply.contains(&format!("Call-ID: {call}\r\n")) {
                return Some(reply);
            }
        }
    }

    /// The answer, which has to come.
    pub fn ask(&self, method: &str, user: &str, call: &str, more: &str) -> String {
        self.try_ask(method, user, call, more)
            .unwrap_or_else(|| panic!("no answer to {method} {call}"))
    }
}

/// The status code of a reply.
pub fn status(reply: &str) -> &str {
    reply.get(8..11).unwrap_or_default()
}
