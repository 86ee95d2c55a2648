//! All cases of a folder: which of them run, against what, and how their transcripts compare.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use similar::TextDiff;

use crate::case::{Case, CaseError};
use crate::netns;
use crate::play::{self, Outcome};
use crate::server::ServerCommand;

/// The folder with the cases of this crate.
pub fn cases_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// All cases below a folder, in the order of their names.
///
/// # Errors
/// A folder or a case cannot be read.
pub fn load(root: &Path) -> Result<Vec<Case>, CaseError> {
    let mut paths = Vec::new();
    collect(root, &mut paths)?;
    paths.sort();
    paths.iter().map(|path| Case::load(root, path)).collect()
}

fn collect(folder: &Path, out: &mut Vec<PathBuf>) -> Result<(), CaseError> {
    let read = |error| CaseError::Read(folder.into(), error);
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.is_dir() {
            collect(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "case") {
            out.push(path);
        }
    }
    Ok(())
}

/// Why a case did not pass.
#[derive(Debug)]
pub enum Failure {
    /// The case could not be run at all, or nothing is recorded for it.
    Broken(String),
    /// The transcript differs from the one recorded.
    Differs {
        /// The unified diff.
        diff: String,
        /// The end of the server's log.
        log: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::Differs { diff, log } => write!(f, "{diff}--- end of the server's log\n{log}"),
        }
    }
}

/// Runs a case in a network of its own, or alone where that is not permitted.
///
/// # Errors
/// The case could not be run.
pub fn run(case: &Case, command: &ServerCommand) -> Result<Outcome, String> {
    if !networks_available() {
        let lock = lock().map_err(|e| format!("cannot lock the suite: {e}"))?;
        let outcome = play::play(case, command);
        drop(lock);
        return outcome;
    }
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            netns::enter_own_network().map_err(|e| format!("no network of its own: {e}"))?;
            play::play(case, command)
        });
        run.join().unwrap_or_else(|_| Err("the runner panicked".into()))
    })
}

/// Whether each case gets a network of its own here; asked of the system once.
pub fn networks_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(netns::available)
}

/// Held by the one case that may run where all share a network, across processes too.
fn lock() -> io::Result<File> {
    let file = File::create(std::env::temp_dir().join("kahea-conform.lock"))?;
    file.lock()?;
    Ok(file)
}

/// Runs a case and compares its transcript with the recorded one.
///
/// # Errors
/// Says what differs, or why there is nothing to compare.
pub fn check(case: &Case, command: &ServerCommand) -> Result<(), Failure> {
    let path = case.transcript_path_for(command);
    let recorded = fs::read_to_string(&path)
        .map_err(|e| Failure::Broken(format!("no transcript {}: {e}", path.display())))?;
    let outcome = run(case, command).map_err(Failure::Broken)?;
    if outcome.transcript == recorded {
        return Ok(());
    }
    let diff = unified(&recorded, &outcome.transcript, "recorded", "under test");
    Err(Failure::Differs {
        diff,
        log: tail(&outcome.log, 25),
    })
}

/// Runs a case until two runs agree on its transcript, and writes that beside the case.
///
/// # Errors
/// The runs differ, or the case stopped half way.
pub fn record(case: &Case, command: &ServerCommand) -> Result<(), Failure> {
    let first = run(case, command).map_err(Failure::Broken)?;
    let second = run(case, command).map_err(Failure::Broken)?;
    if first.transcript != second.transcript {
        let diff = unified(&first.transcript, &second.transcript, "first run", "second run");
        return Err(Failure::Differs {
            diff,
            log: tail(&second.log, 10),
        });
    }
    if first.broken {
        return Err(Failure::Differs {
            diff: first.transcript,
            log: tail(&first.log, 25),
        });
    }
    fs::write(case.transcript_path_for(command), first.transcript).map_err(|e| Failure::Broken(e.to_string()))
}

/// The unified diff of two transcripts.
pub fn unified(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    TextDiff::from_lines(old, new)
        .unified_diff()
        .context_radius(2)
        .header(old_name, new_name)
        .to_string()
}

/// `N waiting for tm (9), rr (3)`, or nothing when no case waits.
pub fn waiting_line(cases: &[Case]) -> Option<String> {
    let waiting: Vec<&Case> = cases
        .iter()
        .filter(|case| !case.settings.waits.is_empty())
        .collect();
    if waiting.is_empty() {
        return None;
    }
    let mut names: Vec<&str> = waiting
        .iter()
        .flat_map(|c| c.settings.waits.iter().map(String::as_str))
        .collect();
    names.sort_unstable();
    let counted: Vec<String> = names
        .chunk_by(|a, b| a == b)
        .filter_map(|chunk| chunk.first().map(|name| format!("{name} ({})", chunk.len())))
        .collect();
    Some(format!(
        "{} cases wait for what is not there yet: {}",
        waiting.len(),
        counted.join(", ")
    ))
}

fn tail(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_crate_is_well_formed_and_recorded() {
        let root = cases_folder();
        let cases = load(&root).unwrap_or_else(|error| panic!("{error}"));
        for case in &cases {
            assert!(case.transcript_path().exists(), "{} has no transcript", case.name);
            assert!(!case.about.is_empty(), "{} does not say what it shows", case.name);
            let ours = case.path.with_extension("ours.txt").exists();
            assert_eq!(
                ours,
                case.settings.deviates.is_some(),
                "{}: `deviates:` and ours.txt go together",
                case.name
            );
            let later = case.name.starts_with("later/");
            assert_eq!(
                later,
                !case.settings.waits.is_empty(),
                "{}: later/ and `waits:` go together",
                case.name
            );
        }
    }

    #[test]
    fn waiting_cases_are_counted_by_what_they_wait_for() {
        let text = |waits: &str| format!("== settings\nwaits: {waits}\n== scenario\nsleep 1ms\n");
        let case = |waits| Case::parse("n", Path::new("n"), &text(waits)).unwrap();
        let line = waiting_line(&[case("tm rr"), case("tm")]).unwrap();
        assert_eq!(line, "2 cases wait for what is not there yet: rr (1), tm (2)");
        assert_eq!(waiting_line(&[case("")]), None);
    }
}
