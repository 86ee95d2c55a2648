//! Module `log_systemd`: lines and structured events to the journal of systemd, in its native protocol.

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    sync::Arc,
};

use kahea_module::{
    Cx, Decl, Env, Fault, InitError, Module, Str,
    log::{self, Level, Line, Sink},
    stats::Counter,
    xavp::{XValue, Xavps},
};
use nix::sys::{
    memfd::{MFdFlags, memfd_create},
    socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The module.
pub struct LogSystemd {
    journal: Arc<Journal>,
}

/// Sends entries to the journal; one that it does not take at once is lost and counted.
struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    lost: Counter,
}

/// An entry: fields of a name and a value each.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    /// Adds a field. Values with line ends go with their length, so that no value can forge a field.
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        if value.contains(&b'\n') {
            let length = u64::try_from(value.len()).unwrap_or(u64::MAX);
            self.0.push(b'\n');
            self.0.extend_from_slice(&length.to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

/// The journal takes names of capital letters, digits and underscores, of 64 at most, that begin with a letter.
fn is_field_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_uppercase()) && name.bytes().all(rest)
}

/// The number of syslog(3) of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::Alert => 1,
        Level::Bug | Level::Critical | Level::Critical2 => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

impl Journal {
    fn new(path: &Path, lost: Counter) -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Journal {
            socket,
            path: path.to_owned(),
            lost,
        })
    }

    fn send(&self, entry: &Entry) -> bool {
        let sent = match self.socket.send_to(&entry.0, &self.path) {
            // Too long for a datagram: the journal reads it from a file without a name.
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EMSGSIZE as i32) => {
                self.send_file(entry)
            }
            done => done.map(drop),
        };
        if sent.is_err() {
            self.lost.inc();
        }
        sent.is_ok()
    }

    fn send_file(&self, entry: &Entry) -> io::Result<()> {
        let file = memfd_create(
            c"kahea-journal",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )?;
        let mut rest: &[u8] = &entry.0;
        while !rest.is_empty() {
            let written = nix::unistd::write(&file, rest)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        let seals = nix::fcntl::SealFlag::all();
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_ADD_SEALS(seals))?;
        let files = [file.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&files)];
        let to = UnixAddr::new(&self.path)?;
        sendmsg(
            self.socket.as_raw_fd(),
            &[],
            &control,
            MsgFlags::empty(),
            Some(&to),
        )?;
        Ok(())
    }

    fn print(&self, level: u8, text: &[u8]) -> bool {
        let mut entry = Entry::default();
        entry.field("PRIORITY", level.to_string().as_bytes());
        entry.field("SYSLOG_IDENTIFIER", b"kahea");
        entry.field("MESSAGE", text);
        self.send(&entry)
    }
}

impl Sink for Journal {
    fn write(&self, line: &Line<'_>) {
        let mut text = Vec::with_capacity(line.text.len().saturating_add(64));
        log::said(line, &mut text);
        let mut entry = Entry::default();
        entry.field("PRIORITY", priority(line.level).to_string().as_bytes());
        entry.field("SYSLOG_IDENTIFIER", b"kahea");
        if let Some((file, at)) = line.place {
            entry.field("CODE_FILE", file);
            entry.field("CODE_LINE", at.to_string().as_bytes());
        }
        entry.field("MESSAGE", text.trim_ascii_end());
        self.send(&entry);
    }
}

impl Module for LogSystemd {
    const NAME: &'static str = "log_systemd";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        let doc = "Writes a text to the journal at a level (LOG_INFO, INFO, or a number of syslog).";
        d.func("sd_journal_print", ["level", "text"], print, doc)
            .kemi(2, "sd_journal_print")
            .example("sd_journal_print(\"LOG_INFO\", \"the request is for $ru\");");
        let doc = "Writes an entry of the fields of an xavp (MESSAGE, PRIORITY, …) to the journal; names that the journal does not take are left out.";
        d.func("sd_journal_send_xavp", ["xavp"], send_xavp, doc)
            .kemi(1, "sd_journal_send_xavp")
            .kemi(1, "sd_journal_send_xvap")
            .example("sd_journal_send_xavp(\"event\");");
        d.stat("lost_lines", "Lines and entries that the journal did not take.");
    }

    fn init(_: (), env: &mut Env<'_>) -> Result<Self, InitError> {
        let broken = |error: io::Error| InitError::new(format!("no socket for the journal: {error}"));
        let journal = Journal::new(Path::new(SOCKET), env.counter("lost_lines")).map_err(broken)?;
        let journal = Arc::new(journal);
        let engine = env
            .globals
            .log_engine_type
            .as_ref()
            .map(|text| text.text().into_owned());
        if engine.as_deref() == Some("systemd") {
            let own = journal.clone();
            env.hooks.worker_start.push(Arc::new(move |worker| {
                if worker.index == 0 {
                    log::set_engine(Some(own.clone()));
                }
            }));
            env.hooks.stop.push(Arc::new(|| log::set_engine(None)));
        }
        Ok(LogSystemd { journal })
    }
}

fn level(text: &str) -> Option<u8> {
    if let Ok(n) = text.trim().parse::<u8>() {
        return (n <= 7).then_some(n);
    }
    let name = text.trim().to_ascii_uppercase();
    let name = name.strip_prefix("LOG_").unwrap_or(&name);
    Some(match name {
        "EMERG" => 0,
        "ALERT" => 1,
        "CRIT" => 2,
        "ERR" => 3,
        "WARNING" | "WARN" => 4,
        "NOTICE" => 5,
        "INFO" => 6,
        "DEBUG" | "DBG" => 7,
        _ => return None,
    })
}

fn print(m: &LogSystemd, _: &mut Cx, wanted: Str, text: Str) -> Result<bool, Fault> {
    let level = level(&wanted.text()).ok_or_else(|| {
        Fault::script(format!(
            "'{wanted}' is no level of the journal; write LOG_INFO, LOG_ERR, …"
        ))
    })?;
    Ok(m.journal.print(level, &text))
}

fn send_xavp(m: &LogSystemd, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let fields = match cx.xavps.get(&name, 0).map(|found| &found.value) {
        Some(XValue::List(fields)) => fields,
        Some(_) => return Err(Fault::script(format!("$xavp({name}) has no fields"))),
        None => return Ok(false),
    };
    match entry_of(fields) {
        Some(entry) => Ok(m.journal.send(&entry)),
        None => Ok(false),
    }
}

/// `None` where there is no field that the journal would take.
fn entry_of(fields: &Xavps) -> Option<Entry> {
    let mut entry = Entry::default();
    for field in fields.iter() {
        let (name, value) = (field.name.text(), field.value.value().str());
        if let Some(value) = value.filter(|_| is_field_name(&name)) {
            entry.field(&name, &value);
        }
    }
    (!entry.0.is_empty()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use kahea_module::stats::Stats;

    use super::*;

    fn journal(folder: &Path) -> (UnixDatagram, Journal) {
        let path = folder.join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver
            .set_read_timeout(Some(std::time::Duration::from_secs(10)))
            .unwrap();
        let lost = Stats::default().counter("log_systemd", "lost_lines", "");
        (receiver, Journal::new(&path, lost).unwrap())
    }

    #[test]
    fn values_with_line_ends_have_their_length() {
        let folder = tempfile::tempdir().unwrap();
        let (receiver, journal) = journal(folder.path());
        assert!(journal.print(6, b"plain"));
        let mut buffer = [0; 512];
        let length = receiver.recv(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            b"PRIORITY=6\nSYSLOG_IDENTIFIER=kahea\nMESSAGE=plain\n"
        );
        assert!(journal.print(3, b"a\nPRIORITY=0"));
        let length = receiver.recv(&mut buffer).unwrap();
        let expected = b"PRIORITY=3\nSYSLOG_IDENTIFIER=kahea\nMESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n";
        assert_eq!(&buffer[..length], &expected[..]);
    }

    #[test]
    fn a_journal_that_is_away_costs_a_line() {
        let lost = Stats::default().counter("log_systemd", "lost_lines", "");
        let journal = Journal::new(Path::new("/nonexistent/socket"), lost.clone()).unwrap();
        assert!(!journal.print(6, b"x"));
        assert_eq!(lost.get(), 1);
    }

    #[test]
    fn long_entries_go_as_files() {
        let folder = tempfile::tempdir().unwrap();
        let (_receiver, journal) = journal(folder.path());
        assert!(journal.print(6, &vec![b'x'; 1 << 20]));
        assert_eq!(journal.lost.get(), 0);
    }

    #[test]
    fn names_and_levels_are_the_journals() {
        assert!(is_field_name("SIP_CALL_ID") && is_field_name("X1"));
        assert!(
            ["_PID", "lower", "", "A-B", "1A"]
                .iter()
                .all(|name| !is_field_name(name))
        );
        assert_eq!(
            (
                level("LOG_INFO"),
                level("err"),
                level("7"),
                level("8"),
                level("x")
            ),
            (Some(6), Some(3), Some(7), None, None)
        );
    }
}
