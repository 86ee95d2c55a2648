//! The tasks of this workspace: `cargo xtask TASK`.

mod ci;
mod counts;
mod coverage;
mod layers;
mod listing;
mod reference;
mod shell;
mod tidy;
mod tools;

use std::process::ExitCode;

use crate::shell::{Outcome, say};

const HELP: &str = "\
usage: cargo xtask TASK

  ci                    everything that must hold before a change is taken; ends with the tests
  layers                which crate may depend on which
  tidy                  sizes of files and functions, words and paths that may not stay
  coverage [--bless]    what Kamailio's modules have and ours lack: docs/coverage/missing.txt
  reference [--check]   writes (or compares) docs/reference from the declarations
  counts [--bless]      instructions of fixed work against bench/counts.toml (needs valgrind)";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["ci"] => ci::run(),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["coverage"] => coverage::run(false),
        ["coverage", "--bless"] => coverage::run(true),
        ["reference"] => reference::run(false),
        ["reference", "--check"] => reference::run(true),
        ["counts"] => counts::run(false),
        ["counts", "--bless"] => counts::run(true),
        [] | ["help" | "--help" | "-h"] => {
            say(HELP);
            Ok(())
        }
        _ => Err(format!("no such task: {}\n\n{HELP}", words.join(" "))),
    };
    finish(outcome)
}

fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(problem.trim_end());
            ExitCode::FAILURE
        }
    }
}
