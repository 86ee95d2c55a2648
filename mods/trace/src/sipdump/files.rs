//! The files of a dump, written by a thread of their own: text with metadata, packet capture, or both; a new one now and
//! then, old ones removed.
#![allow(clippy::disallowed_methods)] // reason: the clock of a thread of its own, which no message waits for

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

use kahea_module::{Str, stats::Counter};

use super::pcap;
use crate::shot::{Shot, end_text};

/// Messages that wait to be written at most.
const WAITING: usize = 8192;
/// Bytes of them.
const BYTES: usize = 32 << 20;
/// How long what is written stays in memory.
const FLUSH: Duration = Duration::from_millis(200);
/// How often old files are looked for.
const CLEANING: Duration = Duration::from_secs(600);

/// How files are written.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub folder: PathBuf,
    /// What their names begin with.
    pub prefix: String,
    /// What names of files that may be removed begin with, where that is not `prefix`.
    pub clean_prefix: Option<String>,
    /// A new file after that long.
    pub rotate: Duration,
    /// Files older than that are removed.
    pub age: Option<Duration>,
    /// Text files.
    pub text: bool,
    /// Packet captures.
    pub pcap: bool,
    /// Packets have a header that says what the text form does.
    pub header: bool,
    /// The version of this server, for the metadata.
    pub version: String,
}

/// A message with its tag.
pub struct Item {
    /// The message.
    pub shot: Shot,
    /// `rcv`, `snd`, or what the script says.
    pub tag: Str,
    /// The worker that saw it.
    pub worker: usize,
}

/// Takes messages to the thread.
pub struct Files {
    queue: SyncSender<Item>,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl Files {
    /// Starts the thread.
    ///
    /// # Errors
    /// The folder cannot be written to, or there is no thread.
    pub fn start(plan: Plan, dropped: Counter) -> io::Result<Files> {
        // Told at start, where somebody looks.
        let mut pen = Pen::open(&plan, SystemTime::now())?;
        let (queue, taken) = sync_channel(WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let (own, count) = (waiting.clone(), dropped.clone());
        std::thread::Builder::new()
            .name("sipdump".to_owned())
            .spawn(move || {
                let mut cleaned = None;
                while write_on(&plan, &mut pen, &taken, &own, &count) {
                    if cleaned.is_none_or(|at: Instant| at.elapsed() >= CLEANING) {
                        clean(&plan, SystemTime::now());
                        cleaned = Some(Instant::now());
                    }
                }
            })?;
        Ok(Files {
            queue,
            waiting,
            dropped,
        })
    }

    /// Hands a message over; never waits. False where too many wait already.
    pub fn put(&self, item: Item) -> bool {
        let size = item.shot.data.len();
        let waiting = self.waiting.fetch_add(size, Relaxed);
        let fits = waiting.saturating_add(size) <= BYTES && self.queue.try_send(item).is_ok();
        if !fits {
            self.waiting.fetch_sub(size, Relaxed);
            self.dropped.inc();
        }
        fits
    }
}

/// Writes what comes for a while; false once nobody can send any more.
fn write_on(
    plan: &Plan,
    pen: &mut Pen,
    taken: &Receiver<Item>,
    waiting: &AtomicUsize,
    dropped: &Counter,
) -> bool {
    let until = Instant::now().checked_add(FLUSH);
    loop {
        let left = until.map_or(FLUSH, |until| until.saturating_duration_since(Instant::now()));
        match taken.recv_timeout(left) {
            Ok(item) => {
                waiting.fetch_sub(item.shot.data.len(), Relaxed);
                if pen.write(plan, &item).is_err() {
                    dropped.inc();
                }
            }
            Err(RecvTimeoutError::Timeout) => return pen.flush(plan),
            Err(RecvTimeoutError::Disconnected) => {
                pen.flush(plan);
                return false;
            }
        }
        if left.is_zero() {
            return pen.flush(plan);
        }
    }
}

/// The files in work.
struct Pen {
    text: Option<BufWriter<File>>,
    pcap: Option<BufWriter<File>>,
    since: SystemTime,
    failed: bool,
}

fn name(plan: &Plan, at: SystemTime, extension: &str) -> PathBuf {
    let text = date(at).replace(':', "-").replace(' ', "--");
    plan.folder.join(format!("{}{text}.{extension}", plan.prefix))
}

fn create(path: &Path) -> io::Result<BufWriter<File>> {
    use std::os::unix::fs::OpenOptionsExt;
    // What phones and users said is for the server's user alone.
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    Ok(BufWriter::new(options.open(path)?))
}

impl Pen {
    fn open(plan: &Plan, at: SystemTime) -> io::Result<Pen> {
        let mut pen = Pen {
            text: None,
            pcap: None,
            since: at,
            failed: false,
        };
        if plan.text {
            pen.text = Some(create(&name(plan, at, "data"))?);
            let mut meta = create(&name(plan, at, "meta"))?;
            let pid = std::process::id();
            writeln!(
                meta,
                "v: 1.0\nversion: {}\nstart: {}\nnrprocs: 1\nprocess: 0 {pid} server",
                plan.version,
                date(at)
            )?;
            meta.flush()?;
        }
        if plan.pcap {
            let path = name(plan, at, "pcap");
            let mut file = create(&path)?;
            if fs::metadata(&path)?.len() == 0 {
                file.write_all(&pcap::HEAD)?;
            }
            pen.pcap = Some(file);
        }
        Ok(pen)
    }

    fn write(&mut self, plan: &Plan, item: &Item) -> io::Result<()> {
        let now = SystemTime::now();
        let age = now.duration_since(self.since).unwrap_or_default();
        if !plan.rotate.is_zero() && age >= plan.rotate || self.failed {
            self.flush(plan);
            *self = Pen::open(plan, now)?;
        }
        let done = self.write_item(plan, item);
        self.failed = done.is_err();
        done
    }

    fn write_item(&mut self, plan: &Plan, item: &Item) -> io::Result<()> {
        if let Some(file) = &mut self.text {
            file.write_all(&text(item))?;
        }
        if let Some(file) = &mut self.pcap {
            let payload = match plan.header {
                true => pcap::with_header(&item.shot, &meta_line(item)),
                false => item.shot.data.to_vec(),
            };
            file.write_all(&pcap::packet(&item.shot, &payload))?;
        }
        Ok(())
    }

    /// Always true: a disk that is full is found again with the next message.
    fn flush(&mut self, plan: &Plan) -> bool {
        for file in [&mut self.text, &mut self.pcap].into_iter().flatten() {
            if let Err(error) = file.flush()
                && !std::mem::replace(&mut self.failed, true)
            {
                kahea_module::error!(
                    "sipdump",
                    "Messages cannot be written in {}: {error}.",
                    plan.folder.display()
                );
            }
        }
        true
    }
}

fn stamp(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:06}", since.as_secs(), since.subsec_micros())
}

/// Local time, as in tables.
fn date(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    kahea_db::time_text(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// What the header of a packet says.
fn meta_line(item: &Item) -> String {
    let shot = &item.shot;
    format!(
        "pid={} rank={} tag={} src={} dst={} time={}",
        std::process::id(),
        item.worker,
        clean_tag(&item.tag),
        end_text(shot.transport, shot.from),
        end_text(shot.transport, shot.to),
        stamp(shot.at),
    )
}

/// Tags are of the script's making and must not break a line.
fn clean_tag(tag: &[u8]) -> String {
    String::from_utf8_lossy(tag).replace(|one: char| one.is_control(), "_")
}

/// A message in the text form.
pub(super) fn text(item: &Item) -> Vec<u8> {
    let shot = &item.shot;
    let mut out = format!(
        "====================\ntag: {}\npid: {}\nprocess: {}\ntime: {}\ndate: {}\nproto: {} {}\nsrcip: {}\nsrcport: {}\ndstip: {}\ndstport: {}\n~~~~~~~~~~~~~~~~~~~~\n",
        clean_tag(&item.tag),
        std::process::id(),
        item.worker,
        stamp(shot.at),
        date(shot.at),
        shot.transport.name(),
        if shot.from.ip().to_canonical().is_ipv4() { "ipv4" } else { "ipv6" },
        shot.from.ip().to_canonical(),
        shot.from.port(),
        shot.to.ip().to_canonical(),
        shot.to.port(),
    )
    .into_bytes();
    out.extend_from_slice(&shot.data);
    out.extend_from_slice(b"||||||||||||||||||||\n");
    out
}

/// Removes files of this module that are too old.
fn clean(plan: &Plan, now: SystemTime) {
    let (Some(age), Ok(files)) = (plan.age, fs::read_dir(&plan.folder)) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        let prefix = plan.clean_prefix.as_deref().unwrap_or(&plan.prefix);
        let ours =
            name.starts_with(prefix) && [".data", ".meta", ".pcap"].iter().any(|end| name.ends_with(end));
        let modified = file
            .metadata()
            .ok()
            .filter(|about| about.is_file())
            .and_then(|about| about.modified().ok());
        let old = modified
            .and_then(|at| now.duration_since(at).ok())
            .is_some_and(|passed| passed > age);
        if ours
            && old
            && let Err(error) = fs::remove_file(file.path())
        {
            kahea_module::warning!("sipdump", "The old file {name} stays: {error}.");
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{stats::Stats, testing::Server};

    use super::*;

    fn plan(folder: &Path) -> Plan {
        Plan {
            folder: folder.to_owned(),
            prefix: "dump-".to_owned(),
            clean_prefix: None,
            rotate: Duration::from_secs(7200),
            age: Some(Duration::from_secs(60)),
            text: true,
            pcap: true,
            header: false,
            version: "test".to_owned(),
        }
    }

    fn item() -> Item {
        let server = Server::default();
        let cx = server.invite();
        Item {
            shot: Shot::of(&cx),
            tag: Str::from("a\nb"),
            worker: 1,
        }
    }

    fn read(folder: &Path, extension: &str) -> Vec<u8> {
        let mut all = Vec::new();
        for file in fs::read_dir(folder).unwrap().flatten() {
            if file.path().extension().is_some_and(|end| end == extension) {
                all.extend(fs::read(file.path()).unwrap());
            }
        }
        all
    }

    #[test]
    fn messages_are_written_without_anybody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let dropped = Stats::default().counter("sipdump", "dropped", "");
        let files = Files::start(plan(folder.path()), dropped.clone()).unwrap();
        for _ in 0..100 {
            assert!(files.put(item()));
        }
        let until = Instant::now() + Duration::from_secs(10);
        let size = item().shot.data.len();
        while read(folder.path(), "pcap").len() < 24 + 100 * (16 + 28 + size) {
            assert!(Instant::now() < until, "nothing was written");
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = String::from_utf8(read(folder.path(), "data")).unwrap();
        assert_eq!(text.matches("tag: a_b\n").count(), 100);
        assert!(text.contains("srcip: 127.0.0.1\nsrcport: 5061\n"));
        assert!(!read(folder.path(), "meta").is_empty());
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn old_files_go_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["dump-old.data", "dump-old.txt", "other.data"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        clean(&plan(folder.path()), SystemTime::now() + Duration::from_secs(61));
        let left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .map(|file| file.file_name())
            .collect();
        assert_eq!(left.len(), 2);
        assert!(!folder.path().join("dump-old.data").exists());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let dropped = Stats::default().counter("sipdump", "dropped", "");
        assert!(Files::start(plan(Path::new("/nonexistent/folder")), dropped).is_err());
    }
}
