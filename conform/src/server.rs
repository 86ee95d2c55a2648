//! The server under test: started with Kamailio's command line, watched until its port is open, ended by its pid.

#![expect(unsafe_code, reason = "kill(2) and prctl(2) have no safe form in std")]

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::case::Settings;

/// How to start a server: program and first arguments.
#[derive(Debug, Clone)]
pub struct ServerCommand(pub Vec<String>);

impl ServerCommand {
    /// Splits a command line at spaces.
    pub fn parse(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    /// Whether this is Kamailio, by the name of the program.
    pub fn is_reference(&self) -> bool {
        self.0
            .first()
            .is_some_and(|program| Path::new(program).ends_with("kamailio"))
    }

    /// The program with its first arguments, in the environment that every case has.
    pub fn command(&self, settings: &Settings) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().map_or("kamailio", String::as_str));
        command
            .args(words)
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command.envs(settings.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running server; it and its children are ended when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ended: Option<ExitStatus>,
}

const START_LIMIT: Duration = Duration::from_secs(15);
const STOP_ALONE_LIMIT: Duration = Duration::from_millis(1500);
const STOP_LIMIT: Duration = Duration::from_secs(8);
/// Polls without a new socket after which a server has opened all of them.
const SETTLED_POLLS: u32 = 4;
const POLL: Duration = Duration::from_millis(4);

/// The case wants one process for each listener of Kamailio, so that its log has one order: one worker of ours.
fn has_one_child(tmp: &Path) -> bool {
    let text = std::fs::read_to_string(tmp.join("kamailio.cfg")).unwrap_or_default();
    text.lines().any(|line| {
        let line: String = line.split_whitespace().collect();
        line == "children=1"
    })
}

impl Server {
    /// Starts the server on `{tmp}/kamailio.cfg` with its log in `{tmp}/log`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(
        command: &ServerCommand,
        tmp: &Path,
        args: &[String],
        settings: &Settings,
    ) -> io::Result<Self> {
        let log = File::create(tmp.join("log"))?;
        let mut start = command.command(settings);
        start
            .arg("-f")
            .arg(tmp.join("kamailio.cfg"))
            .args(["-DD", "-E", "-w"])
            .arg(tmp)
            .arg("-Y")
            .arg(tmp);
        start
            .arg("-P")
            .arg(tmp.join("pid"))
            .args(["-m", "128", "-M", "16"])
            .args(args);
        if !command.is_reference() && has_one_child(tmp) {
            start.args(["--workers", "1"]);
        }
        start.stdout(log.try_clone()?).stderr(log).process_group(0);
        // SAFETY: prctl with PR_SET_PDEATHSIG is async-signal-safe and touches no memory of ours.
        unsafe {
            start.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        Ok(Self {
            child: start.spawn()?,
            ended: None,
        })
    }

    /// Waits until something listens on the port and no further socket has appeared for a moment; false when the server
    /// ended before, or never opened it.
    pub fn ready(&mut self, port: u16) -> bool {
        let until = Instant::now() + START_LIMIT;
        let mut before = Vec::new();
        let mut same = 0;
        while self.exit().is_none() && Instant::now() < until {
            let now = local_addresses();
            same = if now == before { same + 1 } else { 0 };
            if same >= SETTLED_POLLS && is_bound(&now, port) {
                return true;
            }
            before = now;
            std::thread::sleep(POLL);
        }
        false
    }

    /// How the server ended, if it has.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Sends a signal by its name (`HUP`, `TERM`, `USR1`, ...).
    ///
    /// # Errors
    /// The name is not one of those known, or the process is gone.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let number = match name {
            "HUP" => libc::SIGHUP,
            "INT" => libc::SIGINT,
            "TERM" => libc::SIGTERM,
            "USR1" => libc::SIGUSR1,
            "USR2" => libc::SIGUSR2,
            _ => return Err(io::Error::other(format!("unknown signal {name}"))),
        };
        self.kill(false, number)
    }

    /// Asks the server to end and waits; false when it had to be killed.
    pub fn stop(&mut self) -> bool {
        if self.exit().is_some() {
            return true;
        }
        let mut asked = self.kill(false, libc::SIGTERM).is_ok() && self.ended_within(STOP_ALONE_LIMIT);
        if !asked {
            // Kamailio loses the signal for children that are still starting: tell the whole group, as systemd does.
            asked = self.kill(true, libc::SIGTERM).is_ok() && self.ended_within(STOP_LIMIT);
        }
        if !asked {
            // Children that outlive their parent are in its group.
            let _ = self.kill(true, libc::SIGKILL);
            self.ended_within(STOP_LIMIT);
        }
        asked
    }

    fn ended_within(&mut self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.exit().is_none() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(POLL);
        }
        true
    }

    fn kill(&self, group: bool, signal: i32) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        // SAFETY: kill takes two numbers; the child has not been waited for, so its pid is still its own.
        match unsafe { libc::kill(if group { -pid } else { pid }, signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `0`, or the signal's number with a minus sign, as shells and scripts count.
pub fn exit_number(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| status.signal().map_or(-1, |signal| -signal))
}

/// Local addresses of all UDP and TCP sockets of this thread's network, as the kernel writes them.
fn local_addresses() -> Vec<String> {
    let mut out = Vec::new();
    for table in ["udp", "tcp", "udp6", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        let addresses = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().nth(1));
        out.extend(addresses.map(|address| format!("{table} {address}")));
    }
    out
}

fn is_bound(addresses: &[String], port: u16) -> bool {
    let suffix = format!(":{port:04X}");
    addresses.iter().any(|address| address.ends_with(&suffix))
}

/// Whether a datagram waits at a UDP socket of this thread's network other than those on the ports of the scenario.
pub fn has_backlog(own_ports: &[u16]) -> bool {
    let own: Vec<String> = own_ports.iter().map(|port| format!(":{port:04X}")).collect();
    ["udp", "udp6"].iter().any(|table| {
        let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            let address = columns.next().unwrap_or_default();
            let waiting = columns
                .nth(2)
                .and_then(|q| q.split_once(':'))
                .is_some_and(|(_, rx)| rx != "00000000");
            waiting && !own.iter().any(|port| address.ends_with(port))
        })
    })
}
