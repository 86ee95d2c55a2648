//! Lines to the syslog daemon of the machine (RFC 3164) over its datagram socket.

use std::{os::unix::net::UnixDatagram, path::PathBuf, time::SystemTime};

use kahea_module::log::Level;

use super::clock;

/// The connection to the daemon; opened again where it was restarted.
pub struct Syslog {
    device: PathBuf,
    socket: Option<UnixDatagram>,
}

/// What goes into one datagram; the rest of a longer line is cut.
const LONGEST: usize = 8192;

impl Syslog {
    /// Over the socket at that path.
    pub fn new(device: PathBuf) -> Syslog {
        Syslog { device, socket: None }
    }

    /// Opens the connection; without a daemon it is tried again with each line.
    pub fn connect(&mut self) {
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(&self.device)?;
            std::io::Result::Ok(socket)
        };
        self.socket = open().ok();
    }

    /// Sends a line; false where nobody takes it at once.
    pub fn write(&mut self, facility: i32, level: Level, ident: &str, text: &[u8]) -> bool {
        let packet = packet(facility, level, ident, text);
        if self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.send(&packet).is_ok())
        {
            return true;
        }
        self.connect();
        self.socket
            .as_ref()
            .is_some_and(|socket| socket.send(&packet).is_ok())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the stamp of a log line is the wall clock's"
)]
fn packet(facility: i32, level: Level, ident: &str, text: &[u8]) -> Vec<u8> {
    let priority = facility | severity(level);
    let stamp = clock::stamp(SystemTime::now());
    let mut out = format!("<{priority}>{stamp} {ident}[{}]: ", std::process::id()).into_bytes();
    out.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
    out.truncate(LONGEST);
    out
}

/// The severity of syslog(3).
const fn severity(level: Level) -> i32 {
    match level {
        Level::Alert => libc::LOG_ALERT,
        Level::Bug | Level::Critical | Level::Critical2 => libc::LOG_CRIT,
        Level::Error => libc::LOG_ERR,
        Level::Warning => libc::LOG_WARNING,
        Level::Notice => libc::LOG_NOTICE,
        Level::Info => libc::LOG_INFO,
        Level::Debug => libc::LOG_DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_the_daemon_and_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("log");
        let mut syslog = Syslog::new(device.clone());
        assert!(!syslog.write(libc::LOG_LOCAL0, Level::Info, "kahea", b"nobody"));
        for _ in 0..2 {
            let daemon = UnixDatagram::bind(&device).unwrap();
            assert!(syslog.write(libc::LOG_LOCAL0, Level::Info, "kahea", b"INFO: hello\n"));
            let mut buffer = [0; 200];
            let length = daemon.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(text.starts_with("<134>"), "{text}");
            assert!(
                text.ends_with(&format!(" kahea[{}]: INFO: hello", std::process::id())),
                "{text}"
            );
            drop(daemon);
            std::fs::remove_file(&device).unwrap();
        }
    }

    #[test]
    fn a_daemon_that_reads_nothing_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("log");
        let _daemon = UnixDatagram::bind(&device).unwrap();
        let mut syslog = Syslog::new(device);
        let refused = (0..100_000).find(|_| !syslog.write(libc::LOG_DAEMON, Level::Info, "kahea", b"x"));
        assert!(refused.is_some());
    }
}
