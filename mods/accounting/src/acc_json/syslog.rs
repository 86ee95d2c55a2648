//! Lines straight to the daemon of syslog(3), wherever the server's own log goes.

use std::os::unix::net::UnixDatagram;

use kahea_module::log::Level;

/// Where the daemon listens.
const SOCKET: &str = "/dev/log";

/// A way to the daemon. A line that it does not take at once is lost, as with any log: nothing waits here.
pub struct Syslog {
    priority: i32,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    /// With a facility of syslog(3), already shifted, and a level.
    pub fn new(facility: i32, level: Level) -> Syslog {
        let socket = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        Syslog {
            priority: facility | severity(level),
            socket: socket.ok(),
        }
    }

    /// Sends a line.
    pub fn send(&self, text: &[u8]) {
        let head = format!("<{}>kahea[{}]: ", self.priority, std::process::id());
        let line = [head.as_bytes(), text].concat();
        if let Some(socket) = &self.socket {
            // Nobody is there, or is too slow: the line is lost.
            let _ = socket.send_to(&line, SOCKET);
        }
    }
}

/// The severity of syslog(3).
fn severity(level: Level) -> i32 {
    match level {
        Level::Alert | Level::Bug => libc::LOG_ALERT,
        Level::Critical2 | Level::Critical => libc::LOG_CRIT,
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
    fn the_priority_is_facility_and_severity() {
        assert_eq!(Syslog::new(libc::LOG_LOCAL0, Level::Info).priority, 134);
        assert_eq!(Syslog::new(libc::LOG_DAEMON, Level::Notice).priority, 29);
    }

    #[test]
    fn a_missing_daemon_is_no_failure() {
        Syslog::new(libc::LOG_DAEMON, Level::Notice).send(b"{}");
    }
}
