//! Instructions that fixed work takes, counted by valgrind and held against `bench/counts.toml`: unlike time they are
//! the same on every run, so that a step backwards shows.

use std::{collections::BTreeMap, fmt::Write, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{
    shell::{Outcome, cargo, has, output, read, say, write},
    tools,
};

const FILE: &str = "bench/counts.toml";
const HEAD: &str = "\
# Instructions of one round of fixed work, release build, counted by callgrind.
# `cargo xtask counts` fails where a number grows by more than 10 %; `--bless` writes what it counted.
";

/// What is counted: the bench that does it, and its name there.
const CASES: &[(&str, &str)] = &[
    ("parse", "parse"),
    ("parse", "forward"),
    ("views", "Uri::parse"),
    ("views", "Via::parse"),
    ("views", "NameAddr::parse and tag"),
    ("script", "calls"),
    ("script", "options"),
    ("script", "empty"),
];

/// Rounds of the longer run; the shorter has a tenth, so that what a program does at its start cancels out.
const ROUNDS: u64 = 2_000;

/// Counts and compares, or writes.
pub fn run(bless: bool) -> Outcome {
    ensure_valgrind()?;
    let programs = build()?;
    let mut counts = BTreeMap::new();
    for (bench, case) in CASES {
        let program = programs
            .get(*bench)
            .ok_or_else(|| format!("cargo bench built no {bench}"))?;
        counts.insert((*case).to_owned(), count(program, case)?);
    }
    let known = parse(&read(FILE).unwrap_or_default())?;
    for (case, count) in &counts {
        say(format!("{case:26} {count:8} {}", change(known.get(case), *count)));
    }
    if bless {
        return write(FILE, &render(&counts));
    }
    let problems = problems(&known, &counts);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

/// The bench programs by name.
fn build() -> Result<BTreeMap<String, PathBuf>, String> {
    let mut command = cargo();
    command.args(["bench", "--quiet", "--no-run", "--message-format", "json"]);
    command.args(["--package", "kahea-sip", "--package", "kahea-engine"]);
    for bench in ["parse", "views", "script"] {
        command.args(["--bench", bench]);
    }
    let mut programs = BTreeMap::new();
    for line in output(&mut command)?.lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let text = |path: &str| message.pointer(path).and_then(Value::as_str);
        if let (Some("bench"), Some(name), Some(path)) =
            (text("/target/kind/0"), text("/target/name"), text("/executable"))
        {
            programs.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(programs)
}

/// Instructions of one round.
fn count(program: &PathBuf, case: &str) -> Result<u64, String> {
    let short = ROUNDS / 10;
    let (all, few) = (
        collected(program, case, ROUNDS)?,
        collected(program, case, short)?,
    );
    Ok(all.saturating_sub(few) / (ROUNDS - short))
}

/// Instructions of a whole run.
fn collected(program: &PathBuf, case: &str, rounds: u64) -> Result<u64, String> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .arg(case)
        .arg(rounds.to_string());
    let result = command.output().map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&result.stderr);
    let line = report.lines().find_map(|line| line.split_once("Collected : "));
    let number = line.and_then(|(_, number)| number.trim().parse().ok());
    match number {
        Some(number) if result.status.success() => Ok(number),
        _ => Err(format!(
            "valgrind {} {case}: {}\n{report}",
            program.display(),
            result.status
        )),
    }
}

/// Installs valgrind where it may.
pub fn ensure_valgrind() -> Outcome {
    if has("valgrind") {
        return Ok(());
    }
    let ask = "valgrind counts the instructions and is not there: apt-get install valgrind";
    tools::install(&["valgrind"], &[], ask)
}

fn parse(text: &str) -> Result<BTreeMap<String, u64>, String> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once(" = ")?;
            Some((name.trim_matches('"').to_owned(), count.parse().ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{FILE}: a line that is not `\"name\" = number`"))
}

fn render(counts: &BTreeMap<String, u64>) -> String {
    let mut out = String::from(HEAD);
    for (case, count) in counts {
        let _ = writeln!(out, "\"{case}\" = {count}");
    }
    out
}

fn change(known: Option<&u64>, count: u64) -> String {
    match known {
        Some(known) if *known > 0 => {
            let percent = (count as f64 / *known as f64 - 1.0) * 100.0;
            format!("{percent:+.1} %")
        }
        _ => "new".to_owned(),
    }
}

fn problems(known: &BTreeMap<String, u64>, counts: &BTreeMap<String, u64>) -> Vec<String> {
    let mut problems = Vec::new();
    for (case, count) in counts {
        match known.get(case) {
            None => problems.push(format!("{case} is not in {FILE}: `cargo xtask counts --bless`")),
            Some(known) if *count > known + known / 10 => {
                problems.push(format!(
                    "{case} takes {count} instructions, {known} before: more than a tenth over"
                ));
            }
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, u64)]) -> BTreeMap<String, u64> {
        rows.iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn a_tenth_more_is_borne_and_no_more() {
        let known = counts(&[("parse", 1_000)]);
        assert_eq!(problems(&known, &counts(&[("parse", 1_100)])), [""; 0]);
        let grown = problems(&known, &counts(&[("parse", 1_101)]));
        assert_eq!(
            grown,
            ["parse takes 1101 instructions, 1000 before: more than a tenth over"]
        );
        assert_eq!(problems(&known, &counts(&[("parse", 10)])), [""; 0]);
        assert_eq!(problems(&known, &counts(&[("new", 1)])).len(), 1);
    }

    #[test]
    fn the_file_comes_back_as_written() {
        let known = counts(&[("Uri::parse", 420), ("NameAddr::parse and tag", 7)]);
        assert_eq!(parse(&render(&known)).unwrap(), known);
        assert!(parse("x = y").is_err());
    }
}
