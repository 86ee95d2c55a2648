//! The driver of `flatstore:/folder`.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use kahea_db::{
    BoxFuture, Connection, Done, Driver, Error, Features, Kind, Query, Sink, Statement, Url, Value,
};
use kahea_module::Str;
use parking_lot::Mutex;

/// Rows that are gathered are in their file after this time.
const DELAY: Duration = Duration::from_secs(1);

/// How rows are written.
#[derive(Clone, Debug, PartialEq)]
pub struct FlatSettings {
    /// Each row at once.
    pub flush: bool,
    /// Delimiters in values become `%XX`.
    pub encode: bool,
    /// Between values.
    pub field: u8,
    /// Behind a row.
    pub record: u8,
    /// Before delimiters in values that are not encoded.
    pub escape: u8,
    /// How names of files end.
    pub suffix: Str,
}

impl Default for FlatSettings {
    fn default() -> FlatSettings {
        FlatSettings {
            flush: true,
            encode: true,
            field: b'|',
            record: b'\n',
            escape: b'\\',
            suffix: Str::from_static(".log"),
        }
    }
}

impl FlatSettings {
    /// A row as it stands in the file.
    fn line(&self, values: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(self.field);
            }
            match value {
                Value::Null => {}
                Value::Int(n) | Value::Time(n) => out.extend_from_slice(n.to_string().as_bytes()),
                Value::Real(n) => out.extend_from_slice(format!("{n:.6}").as_bytes()),
                Value::Text(text) | Value::Blob(text) => self.text(text.as_bytes(), &mut out),
            }
        }
        out.push(self.record);
        out
    }

    /// A value cannot end its field or its row.
    fn text(&self, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            let delimits = byte == self.field || byte == self.record;
            if delimits && self.encode {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                if delimits || (!self.encode && byte == self.escape) {
                    out.push(self.escape);
                }
                out.push(byte);
            }
        }
    }
}

/// The open files; they outlive reloads of the configuration.
#[derive(Default)]
pub(crate) struct Files {
    open: Mutex<HashMap<PathBuf, Open>>,
    /// How many times files were to be opened anew.
    rotations: AtomicU64,
}

struct Open {
    file: BufWriter<File>,
    rotation: u64,
    flushed: SystemTime,
}

impl Files {
    /// The next row of each table opens its file anew. Does not wait for the disk.
    pub(crate) fn rotate(&self) {
        self.rotations.fetch_add(1, Relaxed);
    }

    /// Writes out what was gathered and closes all files.
    pub(crate) fn close(&self) {
        for (path, mut open) in self.open.lock().drain() {
            if let Err(problem) = open.file.flush() {
                kahea_module::error!("db_flatstore", "{}: {problem}\n", path.display());
            }
        }
    }

    fn add(&self, path: &Path, line: &[u8], flush: bool, now: SystemTime) -> io::Result<()> {
        let rotation = self.rotations.load(Relaxed);
        let mut all = self.open.lock();
        if all.get(path).is_some_and(|open| open.rotation != rotation)
            && let Some(mut old) = all.remove(path)
        {
            old.file.flush()?;
        }
        if !all.contains_key(path) {
            let file = File::options().create(true).append(true).open(path)?;
            all.insert(
                path.to_owned(),
                Open {
                    file: BufWriter::new(file),
                    rotation,
                    flushed: now,
                },
            );
        }
        let Some(open) = all.get_mut(path) else {
            return Ok(());
        };
        open.file.write_all(line)?;
        let waited = now.duration_since(open.flushed).unwrap_or(DELAY);
        if flush || waited >= DELAY {
            open.file.flush()?;
            open.flushed = now;
        }
        Ok(())
    }
}

/// The driver of `flatstore:/folder`. It adds rows and does nothing else.
#[derive(Clone, Default)]
pub struct FlatDriver {
    settings: Arc<FlatSettings>,
    files: Arc<Files>,
}

impl FlatDriver {
    pub(crate) fn new(settings: FlatSettings, files: Arc<Files>) -> FlatDriver {
        FlatDriver {
            settings: Arc::new(settings),
            files,
        }
    }

    /// With these settings, and files of its own.
    pub fn with_settings(settings: FlatSettings) -> FlatDriver {
        FlatDriver::new(settings, Arc::default())
    }

    /// The next row of each table opens its file anew.
    pub fn rotate(&self) {
        self.files.rotate();
    }
}

impl Driver for FlatDriver {
    fn module(&self) -> &'static str {
        "db_flatstore"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            dialect: None,
            replaces: false,
            counts: true,
            last_id: false,
            connections: 1,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        let folder = PathBuf::from(url.path());
        let driver = self.clone();
        Box::pin(async move {
            let there = folder.clone();
            match waiting(move || fs::metadata(there).is_ok_and(|data| data.is_dir())).await? {
                true => Ok(Box::new(Folder { folder, driver }) as Box<dyn Connection>),
                false => Err(Error::Unavailable(format!(
                    "there is no folder {}",
                    folder.display()
                ))),
            }
        })
    }
}

/// On a thread that may wait for the disk.
async fn waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::Lost("the thread for files ended".to_owned()))
}

struct Folder {
    folder: PathBuf,
    driver: FlatDriver,
}

impl Folder {
    /// `TABLE_1.log`: where Kamailio has a file for each process, there is one.
    fn path(&self, query: &Query) -> Result<PathBuf, Error> {
        let table = query.table().as_utf8().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
        match table.is_empty() || table.starts_with('.') || !table.bytes().all(plain) {
            true => Err(Error::Refused(format!("\"{table}\" is no name of a table"))),
            false => Ok(self
                .folder
                .join(format!("{table}_1{}", self.driver.settings.suffix))),
        }
    }
}

impl Connection for Folder {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        _sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            let (query, values) = match statement {
                Statement::Query(query, values) if query.kind() == Kind::Insert => (query, values),
                _ => return Err(Error::Unsupported("statements but INSERT: it is db_flatstore")),
            };
            let (path, line) = (self.path(query)?, self.driver.settings.line(values));
            let FlatDriver { settings, files } = self.driver.clone();
            let shown = path.display().to_string();
            let added = waiting(move || files.add(&path, &line, settings.flush, now()));
            match added.await? {
                Ok(()) => Ok(Done {
                    affected: 1,
                    last_id: None,
                }),
                Err(problem) => Err(Error::Unavailable(format!("{shown}: {problem}"))),
            }
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "only how long rows were gathered is measured, far from any message"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_kamailio_does() {
        let values = [
            Value::from("OPTIONS"),
            Value::Null,
            Value::Time(1_795_284_859),
            Value::Real(1.5),
            Value::from("a|b%d"),
        ];
        let line = FlatSettings::default().line(&values);
        assert_eq!(
            String::from_utf8_lossy(&line),
            "OPTIONS||1795284859|1.500000|a%7Cb%d\n"
        );
    }

    #[test]
    fn no_value_can_end_its_row() {
        let value = [Value::from("a|b\nc\\d")];
        let encoded = FlatSettings::default().line(&value);
        assert_eq!(encoded, b"a%7Cb%0Ac\\d\n");
        let escaped = FlatSettings {
            encode: false,
            ..FlatSettings::default()
        }
        .line(&value);
        assert_eq!(escaped, b"a\\|b\\\nc\\\\d\n");
    }
}
