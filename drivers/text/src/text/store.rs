//! The tables in memory, one for each file in use; they outlive reloads of the configuration.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use kahea_db::{Error, Rows};
use kahea_module::{Str, error, warning};
use parking_lot::Mutex;

use super::{
    engine::{self, Request},
    table::{Format, Table},
};

/// All tables in use.
#[derive(Default)]
pub(crate) struct Store {
    files: Mutex<HashMap<PathBuf, Loaded>>,
}

struct Loaded {
    table: Table,
    /// When the file was changed last, as far as this process knows.
    stamp: Option<SystemTime>,
    changed: bool,
    format: Format,
}

/// What a statement did.
pub(crate) struct Outcome {
    pub(crate) rows: Rows,
    /// The table as it was before, where it was asked for and the statement changed something.
    pub(crate) before: Option<Table>,
}

impl Store {
    /// Runs a statement on a table of a folder; `fresh` reads a file again that has changed.
    ///
    /// # Errors
    /// The file cannot be read, or the table refuses the statement.
    pub(crate) fn run(
        &self,
        folder: &str,
        request: &Request,
        format: &Format,
        fresh: bool,
        keep_before: bool,
    ) -> Result<Outcome, Error> {
        let path = path_of(folder, &request.table)?;
        let mut files = self.files.lock();
        let loaded = file(&mut files, &path, format, fresh)?;
        let before = (keep_before && request.work.changes()).then(|| loaded.table.clone());
        let rows = engine::run(&mut loaded.table, request)?;
        loaded.changed |= rows.affected > 0;
        Ok(Outcome { rows, before })
    }

    /// Puts a table back as it was.
    pub(crate) fn restore(&self, folder: &str, name: &Str, table: Table) {
        let Ok(path) = path_of(folder, name) else {
            return;
        };
        if let Some(loaded) = self.files.lock().get_mut(&path) {
            loaded.table = table;
            loaded.changed = true;
        }
    }

    /// Looks at a table.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn show<T>(
        &self,
        folder: &str,
        name: &Str,
        format: &Format,
        look: impl FnOnce(&Table) -> T,
    ) -> Result<T, Error> {
        let path = path_of(folder, name)?;
        Ok(look(&file(&mut self.files.lock(), &path, format, false)?.table))
    }

    /// Writes every changed table to its file. A file that cannot be written stays changed, and is tried again.
    pub(crate) fn write_out(&self) {
        for (path, loaded) in self.files.lock().iter_mut().filter(|(_, loaded)| loaded.changed) {
            match write(path, &loaded.table.write(&loaded.format)) {
                Ok(stamp) => {
                    loaded.stamp = stamp;
                    loaded.changed = false;
                }
                Err(problem) => error!("db_text", "{}: it cannot be written: {problem}\n", path.display()),
            }
        }
    }
}

/// The file of a table. Names that lead elsewhere are refused.
fn path_of(folder: &str, name: &Str) -> Result<PathBuf, Error> {
    let text = name.as_utf8().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
    match text.is_empty() || text.starts_with('.') || !text.bytes().all(plain) {
        true => Err(Error::Refused(format!("\"{name}\" is no name of a table"))),
        false => Ok(Path::new(folder).join(text)),
    }
}

fn file<'a>(
    files: &'a mut HashMap<PathBuf, Loaded>,
    path: &Path,
    format: &Format,
    fresh: bool,
) -> Result<&'a mut Loaded, Error> {
    let stale = match files.get(path) {
        None => true,
        Some(loaded) if fresh && stamp(path).is_some_and(|now| Some(now) != loaded.stamp) => {
            if loaded.changed {
                warning!(
                    "db_text",
                    "{}: read again, changes that were not written are lost\n",
                    path.display()
                );
            }
            true
        }
        Some(_) => false,
    };
    if stale {
        let loaded = read(path, format)?;
        files.insert(path.to_owned(), loaded);
    }
    files
        .get_mut(path)
        .ok_or_else(|| Error::Refused("the table was taken away".to_owned()))
}

fn stamp(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

fn read(path: &Path, format: &Format) -> Result<Loaded, Error> {
    let stamp = stamp(path);
    let text = fs::read(path).map_err(|problem| match problem.kind() {
        io::ErrorKind::NotFound => Error::Refused(format!("there is no table {}", path.display())),
        _ => Error::Unavailable(format!("{} cannot be read: {problem}", path.display())),
    })?;
    let table =
        Table::read(&text, format).map_err(|why| Error::Refused(format!("{}: {why}", path.display())))?;
    Ok(Loaded {
        table,
        stamp,
        changed: false,
        format: *format,
    })
}

/// Beside the old file first: whatever happens, one of the two is whole.
fn write(path: &Path, content: &[u8]) -> io::Result<Option<SystemTime>> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let beside = path.with_file_name(format!(".{name}.new"));
    fs::write(&beside, content)?;
    if let Ok(data) = fs::metadata(path) {
        fs::set_permissions(&beside, data.permissions())?;
    }
    fs::rename(&beside, path)?;
    Ok(stamp(path))
}
