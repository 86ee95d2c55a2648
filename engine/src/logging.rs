//! Where log lines go: standard error in Kamailio's form.

use std::io::Write;

use kahea_module::log::{Line, Sink};

/// Kamailio's `-E` form: ` 4(711) INFO: <script>: text`.
#[derive(Debug, Default)]
pub struct Stderr;

impl Sink for Stderr {
    fn write(&self, line: &Line<'_>) {
        let mut out = Vec::with_capacity(line.text.len().saturating_add(48));
        format(line, &mut out);
        // A reader that is gone is no reason to stop; nothing else can be done about it here.
        let _ = std::io::stderr().lock().write_all(&out);
    }
}

/// Adds the line with its head; a line end too, unless the script's text goes out as it is.
pub fn format(line: &Line<'_>, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{:2}({}) {}: ",
        line.worker,
        std::process::id(),
        line.level.name()
    );
    out.extend_from_slice(line.prefix);
    if line.script {
        out.extend_from_slice(line.text);
        return;
    }
    if !line.module.is_empty() {
        out.extend_from_slice(line.module.as_bytes());
        out.extend_from_slice(b": ");
    }
    for byte in line.text {
        match byte {
            b'\t' | b' '..=b'~' | 0x80.. => out.push(*byte),
            control => {
                let _ = write!(out, "\\x{control:02x}");
            }
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use kahea_module::log::Level;

    use super::*;

    fn line<'a>(text: &'a [u8], script: bool) -> Line<'a> {
        Line {
            level: Level::Info,
            facility: None,
            module: "core",
            prefix: b"",
            text,
            script,
            worker: 4,
        }
    }

    #[test]
    fn lines_have_kamailios_head_and_show_control_characters() {
        let mut out = Vec::new();
        format(&line(b"a\nb\x1b[2J", false), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            format!(" 4({}) INFO: core: a\\x0ab\\x1b[2J\n", std::process::id())
        );
    }

    #[test]
    fn script_lines_go_out_as_they_are() {
        let mut out = Vec::new();
        format(&line(b"<script>: hello\n", true), &mut out);
        assert!(out.ends_with(b" INFO: <script>: hello\n"));
    }
}
