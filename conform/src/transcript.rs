//! What a run of a case gave, in the order in which the scenario saw it, and the script's log at the end.

use crate::message::{Message, long_name};
use crate::normalise::Normaliser;
use crate::text;

/// One entry of a transcript.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum Entry {
    /// An endpoint received a message.
    Message {
        who: String,
        message: Message,
        exact: bool,
    },
    /// An endpoint received a message of which only the first line matters.
    Brief { who: String, first: String },
    /// An endpoint waited in vain.
    Nothing { who: String },
    /// Anything else, under a label.
    Note { label: String, text: String },
}

/// Writes entries and the script's lines of the log as the text that is recorded and compared.
pub fn render(entries: &[Entry], log: &str, normaliser: &mut Normaliser) -> String {
    let mut out = String::new();
    for entry in entries {
        let text = match entry {
            Entry::Nothing { who } => format!("--- {who}: nothing"),
            Entry::Brief { who, first } => format!("--- {who}: {}", normaliser.text(first)),
            Entry::Note { label, text } => {
                format!("--- {}\n{}", normaliser.text(label), normaliser.text(text))
            }
            Entry::Message { who, message, exact } => {
                format!(
                    "--- {who} received\n{}",
                    message_text(message, *exact, normaliser)
                )
            }
        };
        out.push_str(&text::visible(&text));
        out.push('\n');
    }
    out.push_str("--- script log\n");
    for line in script_lines(log) {
        out.push_str(&text::visible(&normaliser.text(&line)));
        out.push('\n');
    }
    out
}

/// Headers stand in the order of their names, those of one name in their own order, unless `exact`.
fn message_text(message: &Message, exact: bool, normaliser: &mut Normaliser) -> String {
    let lines = message.headers.iter().map(|(name, value)| {
        let name = if exact { name } else { long_name(name) };
        normaliser.text(&format!("{name}: {value}"))
    });
    let mut lines: Vec<String> = lines.collect();
    if !exact {
        lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_lowercase());
    }
    let first = normaliser.text(&message.first);
    let body = normaliser.text(&message.body);
    format!("{first}\n{}\n\n{body}", lines.join("\n"))
}

/// The lines that the script logged. A record begins at a prefix such as ` 4(711) INFO: `, also in mid-line, as an
/// xlog without a line end leaves the next record on its line.
pub fn script_lines(log: &str) -> Vec<String> {
    let marks = records(log);
    let mut out = Vec::new();
    for (index, (_, start)) in marks.iter().enumerate() {
        let end = marks.get(index + 1).map_or(log.len(), |(begin, _)| *begin);
        let record = log.get(*start..end).unwrap_or_default();
        let record = record.strip_prefix(' ').unwrap_or(record);
        let record = without_context(record);
        let Some(text) = record.strip_prefix("<script>:").or_else(|| accounting(record)) else {
            continue;
        };
        let text = text
            .strip_prefix(' ')
            .unwrap_or(text)
            .trim_end()
            .replace("\r\n", "\n");
        out.extend(text.split('\n').map(str::to_owned));
    }
    out
}

/// The text of a record that `acc` writes about a transaction, which is for others to read as a script's line is.
fn accounting(record: &str) -> Option<&str> {
    let at = record.find("ACC: ").filter(|_| record.starts_with("acc"))?;
    record.get(at..)
}

/// The text after a `{...} ` that `log_prefix` put before it.
fn without_context(record: &str) -> &str {
    let inner = record.strip_prefix('{').and_then(|r| r.split_once("} "));
    inner
        .filter(|_| !record.starts_with("<script>"))
        .map_or(record, |(_, rest)| rest)
}

/// Begin of each record's prefix and of its text.
fn records(log: &str) -> Vec<(usize, usize)> {
    const LEVELS: [&str; 8] = [
        "ALERT", "BUG", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG",
    ];
    let mut out = Vec::new();
    for (close, _) in log.match_indices(") ") {
        let (before, after) = (
            log.get(..close).unwrap_or_default(),
            log.get(close + 2..).unwrap_or_default(),
        );
        let Some(level) = LEVELS
            .iter()
            .find(|l| after.strip_prefix(**l).is_some_and(|r| r.starts_with(':')))
        else {
            continue;
        };
        let digits = |t: &str| t.len() - t.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let pid = digits(before);
        let Some(open) = before.get(..before.len() - pid).and_then(|b| b.strip_suffix('(')) else {
            continue;
        };
        let rank = digits(open);
        if pid > 0 && rank > 0 {
            let begin = open
                .get(..open.len() - rank)
                .unwrap_or_default()
                .trim_end_matches(' ')
                .len();
            out.push((begin, close + 2 + level.len() + 1));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_lines_are_found_in_mid_line_too() {
        let log = " 0(1) INFO: <core> [x.c:1]: no\n 4(711) INFO: <script>: one\n 4(711) ERROR: {1 2 INVITE c1} <script>: two\nmore\n 5(7) NOTICE: <script>: open 5(7) INFO: <script>: next\n";
        assert_eq!(script_lines(log), ["one", "two", "more", "open", "next"]);
    }

    #[test]
    fn lines_of_accounting_are_found() {
        let log = " 1(7) NOTICE: {1 1 INVITE c1} acc [acc.c:281]: acc_log_request(): ACC: call missed: timestamp=1;code=404\n 1(7) INFO: acc: begun\n";
        assert_eq!(script_lines(log), ["ACC: call missed: timestamp=1;code=404"]);
    }

    #[test]
    fn messages_are_sorted_by_header_name() {
        let message = Message::parse(b"SIP/2.0 200 OK\r\nVia: 1\r\nf: x\r\nVia: 2\r\n\r\nb");
        let mut normaliser = Normaliser::new("/nowhere", false);
        let entries = [
            Entry::Message {
                who: "alice".into(),
                message,
                exact: false,
            },
            Entry::Nothing { who: "bob".into() },
        ];
        let text = render(&entries, "", &mut normaliser);
        assert_eq!(
            text,
            "--- alice received\nSIP/2.0 200 OK\nFrom: x\nVia: 1\nVia: 2\n\nb\n--- bob: nothing\n--- script log\n"
        );
    }
}
