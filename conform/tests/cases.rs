//! Each case of the suite as one test, run against Kahea.
//!
//! `KAHEA_BIN` names the server's command; without it the newest `kahea` of this workspace's target folder is used,
//! built first unless nextest runs the tests (which starts a process per case, and so expects it to be built).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use kahea_conform::server::ServerCommand;
use kahea_conform::suite;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cases = match suite::load(&suite::cases_folder()) {
        Ok(cases) => cases,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    if !arguments.list && !arguments.exact {
        announce(&cases);
    }
    // A case mostly waits for packets, so more of them than cores may run at once.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    arguments.test_threads =
        arguments
            .test_threads
            .or(Some(if suite::networks_available() { cores * 4 } else { 1 }));
    let server = if arguments.list {
        Err("not needed to list".into())
    } else {
        server()
    };
    let server = Arc::new(server);
    let trials = cases.into_iter().map(|case| {
        let server = Arc::clone(&server);
        let waits = case.settings.waits.join(" ");
        let kind = if waits.is_empty() {
            String::new()
        } else {
            format!("waits for {waits}")
        };
        let ignored = !waits.is_empty();
        let name = case.name.clone();
        let test = move || {
            let command = server.as_ref().as_ref().map_err(Failed::from)?;
            suite::check(&case, command).map_err(Failed::from)
        };
        Trial::test(name, test).with_kind(kind).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn announce(cases: &[kahea_conform::case::Case]) {
    if let Some(line) = suite::waiting_line(cases) {
        say(&line);
    }
    if !suite::networks_available() {
        say("no network namespaces here (they need root): the cases run one at a time");
    }
}

/// Tells the person at the terminal; a stderr that has gone away is no failure of a case.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn server() -> Result<ServerCommand, String> {
    if let Some(words) = std::env::var("KAHEA_BIN").ok().filter(|words| !words.is_empty()) {
        return Ok(ServerCommand::parse(&words));
    }
    if std::env::var_os("NEXTEST").is_none() {
        build()?;
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let newest = ["debug", "release"]
        .iter()
        .map(|profile| target.join(profile).join("kahea"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    let path: PathBuf = newest
        .map(|(_, path)| path)
        .ok_or("no kahea: build it (cargo build -p kahea) or set KAHEA_BIN")?;
    Ok(ServerCommand(vec![path.to_string_lossy().into_owned()]))
}

fn build() -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "kahea"])
        .status();
    match built {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build -p kahea: {status}")),
        Err(error) => Err(format!("cargo build -p kahea: {error}")),
    }
}
