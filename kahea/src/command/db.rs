//! `kahea db`: makes the tables of Kamailio in a database, finds what is wrong with them, and repairs it.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;
use kahea_db::{
    Database, Databases, Limits, Url,
    schema::{Table, upkeep},
    sql::Dialect,
};
use kahea_module::stats::{Counter, Stats};

use crate::{FAILED, out};

/// For a statement: making an index of a large table takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Subcommand)]
pub enum What {
    /// Makes tables that are not there, and the database where it is missing.
    Create {
        /// The database, as db_url names it: sqlite:///var/lib/kahea/kahea.db, mysql://user:password@host/database.
        url: String,
        /// Sets (standard, presence, extra, dbuid, all), groups (usrloc, acc, ...) or tables.
        #[arg(default_value = "standard")]
        tables: Vec<String>,
    },
    /// Says what is wrong with the tables; ends with 0, or with 255 where something is.
    Check {
        /// The database, as db_url names it.
        url: String,
    },
    /// Makes missing tables, adds missing columns and raises versions, where no row can be hurt.
    Upgrade {
        /// The database, as db_url names it.
        url: String,
    },
}

/// Runs the command.
pub fn run(what: What) -> ExitCode {
    let outcome = match what {
        What::Create { url, tables } => create(&url, &tables),
        What::Check { url } => check(&url),
        What::Upgrade { url } => upgrade(&url),
    };
    match outcome {
        Ok((text, code)) => {
            out::print(&text);
            code
        }
        Err(problem) => {
            out::complain(&format!("{problem}\n"));
            ExitCode::from(FAILED)
        }
    }
}

type Outcome = Result<(String, ExitCode), String>;

fn create(url: &str, names: &[String]) -> Outcome {
    let unknown = |name| {
        format!(
            "there is no set, group or table {name}; write standard, presence, extra, dbuid, all, or a name of Kamailio's"
        )
    };
    let wanted = upkeep::named(names).map_err(unknown)?;
    let parsed = Url::parse(url)?;
    let made = match parsed.scheme.as_str() {
        "text" => upkeep::create_text(Path::new(parsed.path()), &wanted)
            .map_err(|error| format!("{parsed}: the files cannot be written: {error}"))?,
        _ => create_tables(&parsed, &wanted)?,
    };
    Ok(match made.is_empty() {
        true => (
            format!("{parsed}: all tables are there already\n"),
            ExitCode::SUCCESS,
        ),
        false => (
            format!("{parsed}: made {} tables: {}\n", made.len(), made.join(" ")),
            ExitCode::SUCCESS,
        ),
    })
}

fn create_tables(url: &Url, wanted: &[&'static Table]) -> Result<Vec<&'static str>, String> {
    let databases = drivers();
    let database = match open(&databases, url.as_written()) {
        Ok(database) => database,
        Err(problem) => create_database(&databases, url).map_err(|why| why.unwrap_or(problem))?,
    };
    if database.features().dialect.is_none() {
        upkeep::note_versions(&database, wanted).map_err(|error| format!("{url}: {error}"))?;
        return Ok(wanted.iter().map(|table| table.name).collect());
    }
    upkeep::create(&database, wanted).map_err(|error| format!("{url}: {error}"))
}

/// Makes the database itself on a server that has none of that name; `None` where that is not what is wrong.
fn create_database(databases: &Databases, url: &Url) -> Result<Database, Option<String>> {
    let elsewhere = match url.scheme.as_str() {
        "mysql" => "",
        "postgres" | "postgresql" => "postgres",
        _ => return Err(None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if url.database.is_empty() || !url.database.bytes().all(plain) {
        return Err(None);
    }
    let written = url.as_written();
    let at = written.rfind(&format!("/{}", url.database)).ok_or(None)?;
    let server = format!("{}/{elsewhere}", written.get(..at).ok_or(None)?);
    let server = open(databases, &server).map_err(|_| None)?;
    let name = match server.features().dialect {
        Some(Dialect::Mysql) => format!("`{}`", url.database),
        _ => format!("\"{}\"", url.database),
    };
    server
        .sql_blocking(&format!("CREATE DATABASE {name}"))
        .map_err(|error| Some(format!("{url}: the database cannot be made: {error}")))?;
    open(databases, written).map_err(Some)
}

fn check(url: &str) -> Outcome {
    let databases = drivers();
    let database = open(&databases, url)?;
    let findings = upkeep::check(&database).map_err(|error| format!("{}: {error}", database.url()))?;
    if findings.is_empty() {
        return Ok((
            format!("{}: all tables are as they should be\n", database.url()),
            ExitCode::SUCCESS,
        ));
    }
    let lines: String = findings
        .iter()
        .map(|finding| format!("{}: {finding}\n", database.url()))
        .collect();
    Ok((lines, ExitCode::from(FAILED)))
}

fn upgrade(url: &str) -> Outcome {
    if Url::parse(url)?.scheme == "text" {
        return Err(format!(
            "{url}: columns of text files are added by hand; kahea db create makes missing tables"
        ));
    }
    let databases = drivers();
    let database = open(&databases, url)?;
    let failed = |error| format!("{}: {error}", database.url());
    let done = upkeep::upgrade(&database).map_err(failed)?;
    let left = upkeep::check(&database).map_err(failed)?;
    let mut text: String = done
        .iter()
        .map(|step| format!("{}: {step}\n", database.url()))
        .collect();
    if left.is_empty() {
        text.push_str(&format!("{}: all tables are as they should be\n", database.url()));
        return Ok((text, ExitCode::SUCCESS));
    }
    text.extend(
        left.iter()
            .map(|finding| format!("{}: {finding}\n", database.url())),
    );
    Ok((text, ExitCode::from(FAILED)))
}

/// Every driver, with the settings that its module has without parameters.
pub fn drivers() -> Databases {
    let databases = Databases::default();
    databases.register("sqlite", Arc::new(kahea_db_sqlite::SqliteDriver::default()));
    let mysql = kahea_db_mysql::MysqlDriver::new(kahea_db_mysql::Settings::default(), Counter::default());
    databases.register("mysql", Arc::new(mysql));
    let postgres = Arc::new(kahea_db_postgres::PostgresDriver::default());
    databases.register("postgres", postgres.clone());
    databases.register("postgresql", postgres);
    databases.register("redis", Arc::new(kahea_db_redis::RedisDriver::default()));
    databases.register("text", Arc::new(kahea_db_text::TextDriver::default()));
    databases
}

fn open(databases: &Databases, url: &str) -> Result<Database, String> {
    let limits = Limits {
        statement: PATIENCE,
        connections: 1,
        ..Limits::default()
    };
    databases
        .open(url, limits, &Stats::default())
        .map_err(|error| error.message)
}
