//! Everything that must hold before a change is taken, from the cheapest check to the tests.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use crate::{
    counts, coverage, layers, reference,
    shell::{Outcome, cargo, run as run_command, say},
    tidy, tools,
};

/// A step: its name and what it does.
type Step = (&'static str, fn() -> Outcome);

/// The tests come last, so that their runner's summary ends the output.
const STEPS: &[Step] = &[
    ("tools", tools::ensure),
    ("format", || cargo_step(&["fmt", "--all", "--check"])),
    ("layers", layers::run),
    ("tidy", tidy::run),
    ("clippy", || {
        cargo_step(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    }),
    ("doc", doc),
    ("build", || {
        cargo_step(&["build", "--quiet", "--package", "kahea"])
    }),
    ("reference", || reference::run(true)),
    ("coverage", || coverage::run(false)),
    ("counts", || counts::run(false)),
    ("tests", tests),
];

/// Runs every step, also after one has failed.
pub fn run() -> Outcome {
    let mut failed = Vec::new();
    let mut table = String::new();
    for (name, step) in STEPS {
        if *name == "tests" {
            say(&table);
        }
        say(format!("--- {name}"));
        let (outcome, time) = timed(*step);
        let _ = writeln!(
            table,
            "{name:10} {:6.1} s  {}",
            time.as_secs_f64(),
            if outcome.is_ok() { "ok" } else { "FAILED" }
        );
        if let Err(problem) = outcome {
            say(problem);
            failed.push(*name);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("{table}\nFAILED: {}", failed.join(", ")))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a task of the workspace tells its user how long it takes"
)]
fn timed(step: fn() -> Outcome) -> (Outcome, Duration) {
    let start = Instant::now();
    (step(), start.elapsed())
}

fn cargo_step(words: &[&str]) -> Outcome {
    run_command(cargo().args(words))
}

fn doc() -> Outcome {
    let words = [
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--document-private-items",
    ];
    run_command(cargo().args(words).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Unit tests, property tests, the smoke run of the fuzz targets and the end-to-end suite, each case a test.
fn tests() -> Outcome {
    let nextest = cargo().args(["nextest", "--version"]).output();
    if nextest.is_ok_and(|output| output.status.success()) {
        return cargo_step(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    }
    say("cargo-nextest is not there: `cargo test` runs the same tests, one program after the other");
    cargo_step(&["test", "--workspace", "--no-fail-fast"])
}
