//! The suite's command line: run, record, show and diff cases.

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kahea_conform::case::Case;
use kahea_conform::server::ServerCommand;
use kahea_conform::suite::{self, Failure};

const HELP: &str = "\
usage: kahea-conform VERB [--server CMD] [--jobs N] [--waiting] [FILTER...]

  run      compare each case's transcript with the recorded one
  record   write the transcripts, each only if two runs of its case agree
  show     print the transcripts of a server
  diff     print where --server and --other differ, both run now
  list     print the cases

  --server CMD   the server (run, show: target/debug/kahea; record: kamailio)
  --other CMD    the second server of diff (default: target/debug/kahea)
  --jobs N       cases at once
  --waiting      also the cases that wait for a module which is not there yet
  --log          with show: the server's whole log too
  FILTER         part of a case's name, or the path of a case";

struct Options {
    verb: String,
    server: Option<String>,
    other: Option<String>,
    jobs: usize,
    waiting: bool,
    log: bool,
    filters: Vec<String>,
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        say(HELP);
        return ExitCode::from(2);
    };
    match select(&options) {
        Ok(cases) if cases.is_empty() => {
            say("no case has such a name");
            ExitCode::FAILURE
        }
        Ok(cases) => work(&options, &cases),
        Err(error) => {
            say(error);
            ExitCode::FAILURE
        }
    }
}

fn options() -> Option<Options> {
    let mut args = std::env::args().skip(1);
    let verb = args
        .next()
        .filter(|v| ["run", "record", "show", "diff", "list"].contains(&v.as_str()))?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let jobs = if suite::networks_available() { cores * 4 } else { 1 };
    let mut out = Options {
        verb,
        server: None,
        other: None,
        jobs,
        waiting: false,
        log: false,
        filters: Vec::new(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--server" => out.server = Some(args.next()?),
            "--other" => out.other = Some(args.next()?),
            "--jobs" => out.jobs = args.next()?.parse().ok().filter(|n| *n > 0)?,
            "--waiting" => out.waiting = true,
            "--log" => out.log = true,
            _ if arg.starts_with("--") => return None,
            _ => out.filters.push(arg),
        }
    }
    Some(out)
}

/// The cases that the filters name; those that wait are counted aloud, never left out in silence.
fn select(options: &Options) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    let (paths, names): (Vec<&String>, Vec<&String>) = options
        .filters
        .iter()
        .partition(|f| f.ends_with(".case") && Path::new(f).exists());
    for path in &paths {
        let path = Path::new(path);
        let root = path.parent().unwrap_or(Path::new("."));
        cases.push(Case::load(root, path).map_err(|e| e.to_string())?);
    }
    if paths.is_empty() || !names.is_empty() {
        let all = suite::load(&suite::cases_folder()).map_err(|e| e.to_string())?;
        let named = |case: &Case| names.is_empty() || names.iter().any(|n| case.name.contains(n.as_str()));
        cases.extend(all.into_iter().filter(named));
    }
    if options.waiting || !["run", "diff"].contains(&options.verb.as_str()) {
        return Ok(cases);
    }
    if let Some(line) = suite::waiting_line(&cases) {
        say(line);
    }
    cases.retain(|case| case.settings.waits.is_empty());
    Ok(cases)
}

fn work(options: &Options, cases: &[Case]) -> ExitCode {
    if options.verb == "list" {
        for case in cases {
            let about = case.about.lines().next().unwrap_or_default();
            let waits = &case.settings.waits;
            let waits = if waits.is_empty() {
                String::new()
            } else {
                format!(" [waits for {}]", waits.join(" "))
            };
            say(format_args!("{:<44} {about}{waits}", case.name));
        }
        return ExitCode::SUCCESS;
    }
    if !suite::networks_available() {
        say("no network namespaces here (they need root): the cases run one at a time");
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let passed = one(options, case);
                    if let (false, Ok(mut failed)) = (passed, failed.lock()) {
                        *failed += 1;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or(cases.len());
    if options.verb != "show" {
        say(format_args!("{} passed, {failed} failed", cases.len() - failed));
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Does what the verb asks with one case and says how it went.
fn one(options: &Options, case: &Case) -> bool {
    let reference = if options.verb == "record" || options.verb == "diff" {
        "kamailio"
    } else {
        "target/debug/kahea"
    };
    let server = ServerCommand::parse(options.server.as_deref().unwrap_or(reference));
    let (word, result) = match options.verb.as_str() {
        "record" => ("recorded", suite::record(case, &server)),
        "show" => return show(options, case, &server),
        "diff" => {
            let other = ServerCommand::parse(options.other.as_deref().unwrap_or("target/debug/kahea"));
            ("same", diff(case, &server, &other))
        }
        _ => ("ok", suite::check(case, &server)),
    };
    match &result {
        Ok(()) => say(format_args!("{word:<8} {}", case.name)),
        Err(failure) => say(format_args!("FAILED   {}\n{failure}", case.name)),
    }
    result.is_ok()
}

fn show(options: &Options, case: &Case, server: &ServerCommand) -> bool {
    match suite::run(case, server) {
        Ok(outcome) => {
            let log = if options.log { outcome.log.as_str() } else { "" };
            say(format_args!("{}{log}", outcome.transcript));
            true
        }
        Err(why) => {
            say(format_args!("FAILED   {}: {why}", case.name));
            false
        }
    }
}

fn diff(case: &Case, server: &ServerCommand, other: &ServerCommand) -> Result<(), Failure> {
    let a = suite::run(case, server).map_err(Failure::Broken)?;
    let b = suite::run(case, other).map_err(Failure::Broken)?;
    if a.transcript == b.transcript {
        return Ok(());
    }
    let diff = suite::unified(
        &a.transcript,
        &b.transcript,
        &server.0.join(" "),
        &other.0.join(" "),
    );
    Err(Failure::Differs { diff, log: b.log })
}

/// Prints a line; a reader that has gone away is no error of ours.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
