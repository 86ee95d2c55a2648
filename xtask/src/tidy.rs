//! What clippy does not see: sizes of files and functions, words and paths that may not stay.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::shell::{Outcome, root, say};

/// Lines of a file: beyond the second number the check fails, beyond the first it counts.
const FILE_LINES: (usize, usize) = (600, 1_000);
/// The same of a function.
const FUNCTION_LINES: (usize, usize) = (40, 100);

/// Places that may be larger, by file and function (empty: the file), each with its reason.
const LARGER: &[(&str, &str, &str)] = &[(
    "lang/src/ast/sexpr.rs",
    "of_item",
    "one arm for each kind of item, nothing else",
)];

/// Put together here so that this file may be read by its own check.
const WORDS: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it, or leave it out"),
    (concat!("unimpl", "emented!("), "finish it, or leave it out"),
    (
        concat!("for ", "now"),
        "say what holds, and write the rest into an issue",
    ),
    (concat!("/wo", "rk/"), "a path of somebody's machine"),
    (concat!("/ro", "ot/"), "a path of somebody's machine"),
];

/// Kinds of files whose lines may not end in spaces. Transcripts, messages and snapshots are data: byte for byte.
const TRIMMED: &[&str] = &["rs", "md", "toml"];

/// What was found.
#[derive(Default)]
struct Findings {
    problems: Vec<String>,
    files: usize,
    long_files: usize,
    functions: usize,
    long_functions: usize,
}

/// Checks every source and document of the workspace.
pub fn run() -> Outcome {
    let root = root();
    let mut paths = Vec::new();
    walk(&root, &mut paths).map_err(|error| format!("reading the workspace: {error}"))?;
    paths.sort();
    let mut findings = Findings::default();
    for path in &paths {
        let name = path.strip_prefix(&root).unwrap_or(path).display().to_string();
        // What is no UTF-8 is test data.
        if let Ok(text) = fs::read_to_string(path) {
            check(&name, &text, &mut findings);
        }
    }
    say(format!(
        "tidy: {} Rust files, {} of them over {} lines; {} functions, {} of them over {} lines",
        findings.files,
        findings.long_files,
        FILE_LINES.0,
        findings.functions,
        findings.long_functions,
        FUNCTION_LINES.0
    ));
    match findings.problems.is_empty() {
        true => Ok(()),
        false => Err(findings.problems.join("\n")),
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            let hidden = name.starts_with('.') && ![".ci", ".config", ".cargo"].contains(&&*name);
            if !hidden && !["target", "corpus", "artifacts"].contains(&&*name) {
                walk(&entry.path(), paths)?;
            }
        } else if !name.ends_with(".lock") {
            paths.push(entry.path());
        }
    }
    Ok(())
}

fn check(name: &str, text: &str, findings: &mut Findings) {
    let kind = name.rsplit('.').next().unwrap_or_default();
    if TRIMMED.contains(&kind) {
        words(name, text, findings);
    }
    if kind == "rs" {
        sizes(name, text, findings);
    }
}

fn words(name: &str, text: &str, findings: &mut Findings) {
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t']) {
            findings
                .problems
                .push(format!("{name}:{number}: spaces at the end of the line"));
        }
        for (word, remedy) in WORDS {
            if line.contains(word) {
                findings
                    .problems
                    .push(format!("{name}:{number}: \"{word}\": {remedy}"));
            }
        }
    }
}

fn sizes(name: &str, text: &str, findings: &mut Findings) {
    let lines = text.lines().count();
    findings.files += 1;
    findings.long_files += usize::from(lines > FILE_LINES.0);
    if lines > FILE_LINES.1 && !may_be_larger(name, "") {
        let most = FILE_LINES.1;
        findings.problems.push(format!(
            "{name}: {lines} lines, more than {most}: one idea per file"
        ));
    }
    for function in functions(text) {
        findings.functions += 1;
        findings.long_functions += usize::from(function.lines > FUNCTION_LINES.0);
        if function.lines > FUNCTION_LINES.1 && !may_be_larger(name, function.name) {
            findings.problems.push(format!(
                "{name}:{}: fn {} has {} lines, more than {}: divide it",
                function.start, function.name, function.lines, FUNCTION_LINES.1
            ));
        }
    }
}

fn may_be_larger(file: &str, function: &str) -> bool {
    LARGER
        .iter()
        .any(|(path, name, _)| *path == file && *name == function)
}

#[derive(Debug, PartialEq, Eq)]
struct Function<'a> {
    name: &'a str,
    /// From 1.
    start: usize,
    lines: usize,
}

/// The functions of a formatted file: rustfmt closes a body with a brace as deep as its `fn` line.
fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let body = line.trim_start();
        let indent = line.len() - body.len();
        let is_end = |line: &&&str| line.len() == indent + 1 && line.ends_with('}');
        let is_only_declared =
            |line: &&&str| line.ends_with(';') && line.len() - line.trim_start().len() <= indent;
        let rest = || lines.iter().skip(at);
        let end = match body.ends_with('}') || body.ends_with(';') {
            true => Some(0),
            false => rest().position(|line| is_end(&line) || is_only_declared(&line)),
        };
        let lines = end.map_or(rest().count(), |end| end + 1);
        found.push(Function {
            name,
            start: at + 1,
            lines,
        });
    }
    found
}

/// The name where a line begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if let Some(after) = rest.strip_prefix("pub(") {
        rest = after.split_once(") ")?.1;
    }
    for word in ["pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_fn_to_brace() {
        let text = "\
pub(crate) async fn long(
    a: u8,
) -> u8 {
    if a > 1 {
        return 1;
    }
    a
}

impl X {
    const fn short() -> u8 { 1 }
    fn declared(&self);
    fn over_two_lines(
        &self,
    ) -> u8;
    fn inner(&self) {
        work();
    }
}
";
        let found = functions(text);
        let sizes: Vec<_> = found.iter().map(|f| (f.name, f.start, f.lines)).collect();
        assert_eq!(
            sizes,
            [
                ("long", 1, 8),
                ("short", 11, 1),
                ("declared", 12, 1),
                ("over_two_lines", 13, 3),
                ("inner", 16, 3)
            ]
        );
    }

    #[test]
    fn long_functions_and_files_are_problems() {
        let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    work();\n".repeat(lines));
        let problems = |text: &str| {
            let mut findings = Findings::default();
            check("a/b.rs", text, &mut findings);
            (findings.problems, findings.long_functions)
        };
        assert_eq!(problems(&body(98)), (vec![], 1));
        assert_eq!(
            problems(&body(99)).0,
            ["a/b.rs:1: fn f has 101 lines, more than 100: divide it"]
        );
        assert_eq!(problems(&"use x;\n".repeat(1_000)).0, [""; 0]);
        assert_eq!(
            problems(&"use x;\n".repeat(1_001)).0,
            ["a/b.rs: 1001 lines, more than 1000: one idea per file"]
        );
    }

    #[test]
    fn banned_words_and_spaces_are_named_with_their_line() {
        let mut findings = Findings::default();
        check(
            "x.md",
            &format!("good\n{}bar\nspace \n", concat!("see /wo", "rk/")),
            &mut findings,
        );
        assert_eq!(findings.problems.len(), 2);
        assert!(
            findings.problems[0].starts_with("x.md:2: "),
            "{}",
            findings.problems[0]
        );
        assert_eq!(findings.problems[1], "x.md:3: spaces at the end of the line");
        check("x.txt", "recorded \n", &mut findings);
        assert_eq!(findings.problems.len(), 2);
    }
}
