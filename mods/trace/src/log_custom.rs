//! Module `log_custom`: lines of the log as UDP datagrams, where `log_engine_type` is `udp`.
#![allow(clippy::disallowed_methods)] // reason: an address that is looked up at start

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs, UdpSocket},
    sync::Arc,
};

use kahea_module::{
    Cx, Decl, Env, Fault, InitError, Module, Str,
    log::{self, Line, Sink},
    stats::Counter,
};

/// The module.
pub struct LogCustom {
    out: Option<Arc<Datagrams>>,
}

/// Sends lines; one that the system does not take at once is lost and counted.
struct Datagrams {
    socket: UdpSocket,
    lost: Counter,
}

impl Datagrams {
    fn open(to: SocketAddr, lost: Counter) -> io::Result<Datagrams> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Datagrams { socket, lost })
    }

    fn send(&self, text: &[u8]) -> bool {
        let sent = match self.socket.send(text) {
            // That nobody listened to an earlier line is told with this one, which was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.socket.send(text),
            done => done,
        };
        if sent.is_err() {
            self.lost.inc();
        }
        sent.is_ok()
    }
}

impl Sink for Datagrams {
    fn write(&self, line: &Line<'_>) {
        let mut out = format!("({}) ", std::process::id()).into_bytes();
        log::body(line, &mut out);
        if !line.script {
            out.push(b'\n');
        }
        self.send(&out);
    }
}

impl Module for LogCustom {
    const NAME: &'static str = "log_custom";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        let doc = "Sends a text to the address of log_engine_data as a datagram.";
        d.func("log_udp", ["text"], log_udp, doc)
            .kemi(1, "log_udp")
            .example("log_udp(\"the request is for $ru\\n\");");
        d.stat("lost_lines", "Lines that could not be sent.");
    }

    fn init(_: (), env: &mut Env<'_>) -> Result<Self, InitError> {
        let text = |text: &Option<Str>| text.as_ref().map(|text| text.text().into_owned());
        if text(&env.globals.log_engine_type).as_deref() != Some("udp") {
            return Ok(LogCustom { out: None });
        }
        let data = text(&env.globals.log_engine_data).unwrap_or_default();
        let wrong = |reason: String| {
            InitError::new(format!(
                "log_engine_data: lines cannot be sent to '{data}': {reason}"
            ))
            .help("write address:port, such as 127.0.0.1:514")
        };
        let address = data
            .trim_start_matches("udp:")
            .to_socket_addrs()
            .map_err(|error| wrong(error.to_string()))?
            .next();
        let address = address.ok_or_else(|| wrong("it has no address".to_owned()))?;
        let out =
            Datagrams::open(address, env.counter("lost_lines")).map_err(|error| wrong(error.to_string()))?;
        let out = Arc::new(out);
        let own = out.clone();
        // Not before all modules have started, as a start that fails has to be told where it always is.
        env.hooks.worker_start.push(Arc::new(move |worker| {
            if worker.index == 0 {
                log::set_engine(Some(own.clone()));
            }
        }));
        env.hooks.stop.push(Arc::new(|| log::set_engine(None)));
        Ok(LogCustom { out: Some(out) })
    }
}

fn log_udp(m: &LogCustom, _: &mut Cx, text: Str) -> Result<bool, Fault> {
    match &m.out {
        Some(out) => Ok(out.send(&text)),
        None => Err(Fault::script(
            "log_udp needs log_engine_type=\"udp\" and log_engine_data=\"address:port\"",
        )),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{log::Level, stats::Stats};

    use super::*;

    #[test]
    fn lines_have_kamailios_form() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver
            .set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .unwrap();
        let lost = Stats::default().counter("log_custom", "lost_lines", "");
        let out = Datagrams::open(receiver.local_addr().unwrap(), lost).unwrap();
        let mut line = Line {
            level: Level::Error,
            facility: None,
            module: "",
            prefix: b"{cid1} ",
            place: None,
            text: b"<script>: error line\n",
            script: true,
            worker: 0,
        };
        out.write(&line);
        line.script = false;
        line.module = "tm";
        line.text = b"a\nforged";
        out.write(&line);
        let mut buffer = [0; 256];
        let pid = std::process::id();
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&buffer[..length]),
            format!("({pid}) ERROR: {{cid1}} <script>: error line\n")
        );
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&buffer[..length]),
            format!("({pid}) ERROR: {{cid1}} tm: a\\x0aforged\n")
        );
    }
}
