//! What the server keeps when nobody says where: one folder, one SQLite database with the tables of users and contacts.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use kahea_db::{
    Database, Limits, Value,
    schema::{self, upkeep},
    sql::Dialect,
};
use kahea_module::{Str, stats::Stats};

/// The realm and domain of users of the built-in configuration: it serves one domain, whatever its address is called.
pub const REALM: &str = "kahea";

/// The tables of the built-in configuration, besides the one of versions.
const TABLES: [&str; 2] = ["subscriber", "location"];

/// `KAHEA_DATA`; else `/var/lib/kahea` for root, and a folder of the user's own for others.
pub fn folder() -> PathBuf {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(folder) = named("KAHEA_DATA") {
        return folder;
    }
    if nix::unistd::Uid::effective().is_root() {
        return PathBuf::from("/var/lib/kahea");
    }
    match (named("XDG_DATA_HOME"), named("HOME")) {
        (Some(data), _) => data.join("kahea"),
        (None, Some(home)) => home.join(".local/share/kahea"),
        (None, None) => PathBuf::from("kahea-data"),
    }
}

/// The URL of the database in that folder.
pub fn url(folder: &Path) -> String {
    let full = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    format!("sqlite:///{}/kahea.db", full.display())
}

/// Makes the folder and its database where they are missing, readable by nobody else; nothing is changed that is there.
///
/// # Errors
/// One line with place and cause.
pub fn prepare(folder: &Path) -> Result<Database, String> {
    let problem = |error: std::io::Error| {
        let place = folder.display();
        format!("{place}: {error}; name another folder in the environment variable KAHEA_DATA")
    };
    let mut builder = fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(problem)?;
    let database = open(&url(folder))?;
    let file = folder.join("kahea.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).map_err(problem)?;
    make(&database, &TABLES).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(database)
}

/// Opens a database outside the server, for a command.
///
/// # Errors
/// One line with place, cause and remedy.
pub fn open(url: &str) -> Result<Database, String> {
    let databases = crate::command::drivers();
    let opened = databases.open(url, Limits::default(), &Stats::default());
    // Its thread serves the handle to the end of the process.
    std::mem::forget(databases);
    opened.map_err(|error| match &error.help {
        Some(help) => format!("{error}; {help}"),
        None => error.to_string(),
    })
}

/// The same, and makes sure that it has a table of users; an SQLite file that is new gets one.
///
/// # Errors
/// As [`open`].
pub fn open_with_users(url: &str) -> Result<Database, String> {
    let database = open(url)?;
    if database.features().dialect == Some(Dialect::Sqlite) {
        make(&database, &["subscriber"]).map_err(|error| format!("{}: {error}", database.url()))?;
    }
    Ok(database)
}

/// Makes those of these tables that are missing, and the table of versions.
fn make(database: &Database, names: &[&str]) -> Result<(), kahea_db::Error> {
    let tables: Vec<_> = names.iter().filter_map(|name| schema::table(name)).collect();
    upkeep::create(database, &tables).map(drop)
}

/// A password that nobody guesses: 60 random bits or more, in letters and digits that cannot be confused.
///
/// # Errors
/// The system has no random numbers.
pub fn new_password() -> Result<String, String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789+";
    let mut random = [0u8; 14];
    getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
    let letter = |byte: &u8| {
        LETTERS
            .get(usize::from(byte & 31))
            .copied()
            .map_or('x', char::from)
    };
    Ok(random.iter().map(letter).collect())
}

/// The text of a column, or nothing.
pub fn text(row: &[Value], at: usize) -> Str {
    row.get(at).and_then(Value::text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_made_once_and_for_its_owner_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        let database = prepare(&folder).unwrap();
        database
            .sql_blocking("insert into subscriber (username, domain) values ('alice', 'kahea')")
            .unwrap();
        let again = prepare(&folder).unwrap();
        let users = again.sql_blocking("select username from subscriber").unwrap();
        assert_eq!(users.rows.len(), 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("kahea.db"))), (0o700, 0o600));
    }

    #[test]
    fn passwords_differ() {
        let (one, two) = (new_password().unwrap(), new_password().unwrap());
        assert_eq!(one.len(), 14);
        assert_ne!(one, two);
    }
}
