//! Renderers: [`full`] for people, [`line()`] for editors and logs, [`json`] for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::{Diagnostic, Label, SourceMap, Span};

/// `file:line:column: error[E0102]: message`, without a line end.
pub fn line(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let (file, at) = sources.locate(diagnostic.primary.span);
    let Diagnostic {
        severity,
        code,
        message,
        ..
    } = diagnostic;
    format!(
        "{file}:{}:{}: {}[{code}]: {message}",
        at.line,
        at.column,
        severity.word()
    )
}

/// The message, the source lines with carets, how the file came to be read, the notes and remedies; ends with a line end.
///
/// ```text
/// error[E0211]: missing `;` after `exit`
///   --> b.cfg:3:9
///    |
///  3 |     exit
///    |         ^ expected `;`
///    = in file included from a.cfg:12
///    = help: end the statement with `;`
/// ```
pub fn full(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let primary = sources.written(diagnostic.primary.span);
    let labels = labels_of(diagnostic, sources);
    let width = labels
        .iter()
        .map(|(label, _)| line_of(sources, label.span).to_string().len())
        .max()
        .unwrap_or(1);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}[{}]: {}",
        diagnostic.severity.word(),
        diagnostic.code,
        diagnostic.message
    );
    let mut shown = None;
    for (label, is_primary) in &labels {
        let (file, at) = sources.locate(label.span);
        if shown != Some(label.span.file) {
            let arrow = if label.span.file == primary.file && shown.is_none() {
                "-->"
            } else {
                ":::"
            };
            let place = if shown.is_none() {
                sources.locate(primary).1
            } else {
                at
            };
            let name = if shown.is_none() {
                sources.locate(primary).0
            } else {
                file
            };
            let _ = writeln!(
                out,
                "{:width$} {arrow} {name}:{}:{}",
                "", place.line, place.column
            );
            let _ = writeln!(out, "{:width$} |", "");
        }
        shown = Some(label.span.file);
        write_label(&mut out, label, *is_primary, width, sources);
    }
    let chain = sources.include_chain(primary);
    for by in chain.iter().take(MAX_INCLUDERS) {
        let (file, at) = sources.locate(*by);
        let _ = writeln!(out, "{:width$} = in file included from {file}:{}", "", at.line);
    }
    if let Some(more) = chain.len().checked_sub(MAX_INCLUDERS).filter(|more| *more > 0) {
        let _ = writeln!(out, "{:width$} = and {more} more", "");
    }
    for note in &diagnostic.notes {
        let _ = writeln!(out, "{:width$} = note: {note}", "");
    }
    for help in &diagnostic.help {
        let _ = writeln!(out, "{:width$} = help: {help}", "");
    }
    out
}

/// The labels to show, in the primary's file first and there by line; places of definitions are added.
fn labels_of(diagnostic: &Diagnostic, sources: &SourceMap) -> Vec<(Label, bool)> {
    let written = |label: &Label| Label {
        span: sources.written(label.span),
        text: label.text.clone(),
    };
    let primary = written(&diagnostic.primary);
    let mut labels = vec![(primary.clone(), true)];
    labels.extend(diagnostic.secondary.iter().map(|label| (written(label), false)));
    for (name, defined) in sources.definitions(diagnostic.primary.span) {
        if let Some(span) = defined {
            labels.push((
                Label {
                    span: sources.written(span),
                    text: format!("`{name}` comes from here"),
                },
                false,
            ));
        }
    }
    labels.sort_by_key(|(label, _)| {
        (
            label.span.file != primary.span.file,
            label.span.file,
            label.span.start,
        )
    });
    labels
}

fn line_of(sources: &SourceMap, span: Span) -> u32 {
    sources.locate(span).1.line
}

/// Most lines of the include chain that are shown.
const MAX_INCLUDERS: usize = 4;

/// Longest source line that is shown, in characters.
const MAX_COLUMNS: usize = 160;

fn write_label(out: &mut String, label: &Label, is_primary: bool, width: usize, sources: &SourceMap) {
    let Some(file) = sources.file(label.span.file) else {
        return;
    };
    let start = file.position(label.span.start);
    let end = file.position(label.span.end);
    let text = String::from_utf8_lossy(file.line(start.line)).replace('\t', " ");
    let length = text.chars().count();
    let first = (start.column as usize).saturating_sub(1);
    let last = if end.line == start.line {
        (end.column as usize).saturating_sub(1)
    } else {
        length
    };
    let skipped = if first > MAX_COLUMNS / 2 && length > MAX_COLUMNS {
        first.saturating_sub(40)
    } else {
        0
    };
    let visible: String = printable(text.chars().skip(skipped).take(MAX_COLUMNS));
    let indent = first.saturating_sub(skipped).min(MAX_COLUMNS);
    let marks = last
        .saturating_sub(first)
        .clamp(1, MAX_COLUMNS.saturating_sub(indent).max(1));
    let mark = if is_primary { "^" } else { "-" };
    let _ = writeln!(out, "{:>width$} | {}", start.line, visible.trim_end());
    let pointer = format!(
        "{:width$} | {:indent$}{} {}",
        "",
        "",
        mark.repeat(marks),
        label.text
    );
    let _ = writeln!(out, "{}", pointer.trim_end());
}

/// Control characters must not reach a terminal.
fn printable(text: impl Iterator<Item = char>) -> String {
    text.map(|c| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    })
    .collect()
}

/// All findings as a JSON array, ordered by place.
///
/// Each is an object with `file`, `line`, `col`, `end_line`, `end_col` (from 1), `severity`, `code`, `message`, `label`,
/// `help`, `notes` and `related`, which lists further places in the same form with a `message`.
pub fn json<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, sources: &SourceMap) -> String {
    let rows: Vec<_> = diagnostics
        .into_iter()
        .map(|item| JsonDiagnostic::of(item, sources))
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_else(|_| String::from("[]"))
}

#[derive(Serialize)]
struct JsonPlace<'a> {
    file: &'a str,
    line: u32,
    col: u32,
    end_line: u32,
    end_col: u32,
}

impl<'a> JsonPlace<'a> {
    fn of(span: Span, sources: &'a SourceMap) -> JsonPlace<'a> {
        let place = sources.written(span);
        let (file, start) = sources.locate(place);
        let end = sources
            .file(place.file)
            .map_or(start, |text| text.position(place.end));
        JsonPlace {
            file,
            line: start.line,
            col: start.column,
            end_line: end.line,
            end_col: end.column,
        }
    }
}

#[derive(Serialize)]
struct JsonRelated<'a> {
    #[serde(flatten)]
    place: JsonPlace<'a>,
    message: String,
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    #[serde(flatten)]
    place: JsonPlace<'a>,
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    label: &'a str,
    help: &'a [String],
    notes: &'a [String],
    related: Vec<JsonRelated<'a>>,
}

impl<'a> JsonDiagnostic<'a> {
    fn of(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> JsonDiagnostic<'a> {
        let related = |span, message| JsonRelated {
            place: JsonPlace::of(span, sources),
            message,
        };
        let span = diagnostic.primary.span;
        let mut others: Vec<_> = diagnostic
            .secondary
            .iter()
            .map(|label| related(label.span, label.text.clone()))
            .collect();
        for (name, defined) in sources.definitions(span) {
            others.extend(defined.map(|place| related(place, format!("`{name}` comes from here"))));
        }
        for by in sources.include_chain(span) {
            others.push(related(by, String::from("file included from here")));
        }
        JsonDiagnostic {
            place: JsonPlace::of(span, sources),
            severity: diagnostic.severity.word(),
            code: diagnostic.code.as_str(),
            message: &diagnostic.message,
            label: &diagnostic.primary.text,
            help: &diagnostic.help,
            notes: &diagnostic.notes,
            related: others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, codes};

    #[test]
    fn include_chain_and_definition() {
        let mut map = SourceMap::new();
        let root = map.add(
            "a.cfg",
            *b"#!define X y z\ninclude_file \"b.cfg\"\n",
            Origin::Root,
        );
        let by = Span::new(root, 28, 35);
        let inner = map.add("b.cfg", *b"\n\tX = \x1b[31m1\n", Origin::Included { by });
        let used = Span::new(inner, 2, 3);
        let defined = Some(Span::new(root, 9, 10));
        let made = map.add("X", *b"y z", Origin::Expansion { used, defined });
        let found = Diagnostic::error(
            codes::UNEXPECTED_TOKEN,
            Span::new(made, 2, 3),
            "expected `=`, found `z`",
        )
        .label("here")
        .did_you_mean(Some("w"))
        .note("a fact");
        assert_eq!(
            line(&found, &map),
            "b.cfg:2:2: error[E0210]: expected `=`, found `z`"
        );
        let expected = "error[E0210]: expected `=`, found `z`\n --> b.cfg:2:2\n  |\n2 |  X = \u{fffd}[31m1\n  |  ^ here\n  \
                        ::: a.cfg:1:10\n  |\n1 | #!define X y z\n  |          - `X` comes from here\n  \
                        = in file included from a.cfg:2\n  = note: a fact\n  = help: did you mean `w`?\n";
        let normal = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert_eq!(normal(&full(&found, &map)), normal(expected));
        let rows: serde_json::Value = serde_json::from_str(&json([&found], &map)).unwrap();
        assert_eq!(rows[0]["file"], "b.cfg");
        assert_eq!((&rows[0]["line"], &rows[0]["end_col"]), (&2.into(), &3.into()));
        assert_eq!(rows[0]["related"][0]["file"], "a.cfg");
        assert_eq!(rows[0]["help"][0], "did you mean `w`?");
    }

    #[test]
    fn one_finding_per_mistake() {
        let mut map = SourceMap::new();
        let root = map.add("a.cfg", *b"abc", Origin::Root);
        let at = |start, end| Span::new(root, start, end);
        let mut all = crate::Diagnostics::new();
        assert!(all.push(Diagnostic::error(codes::BAD_VALUE, at(2, 3), "second")));
        assert!(!all.push(Diagnostic::error(codes::BAD_VALUE, at(2, 3), "same")));
        assert!(!all.push(Diagnostic::error(
            codes::UNEXPECTED_TOKEN,
            at(2, 2),
            "follows from it"
        )));
        assert!(all.push(Diagnostic::warning(codes::SUSPICIOUS, at(0, 1), "first")));
        let order: Vec<_> = all
            .sorted(&map)
            .iter()
            .map(|item| item.message.as_str())
            .collect();
        assert_eq!(order, ["first", "second"]);
        assert!(all.has_errors() && all.error_count() == 1);
    }
}
