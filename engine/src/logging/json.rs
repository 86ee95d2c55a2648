//! JSON log lines with the members of Kamailio's JSON log engine, except for the name of the function in C; file and line are those of the configuration.

use std::io::Write;

use kahea_module::log::Line;

/// What `log_engine_data` asks for; unknown letters are passed over, as in Kamailio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// `a`: the prefix has a member of its own even where it is empty; `A`: it has none at all.
    pub prefix: PrefixMember,
    /// `j`: prefix and message that are JSON objects themselves go in as such.
    pub nested: bool,
    /// `M`: the line end of the message is left out.
    pub trim: bool,
    /// `N`: the object ends with a line end on syslog too.
    pub line_end: bool,
    /// `p`: the prefix goes into the object as it is; it begins with a comma.
    pub raw_prefix: bool,
    /// `U`: behind `@cee:`, for readers of the Common Event Expression.
    pub cee: bool,
}

/// Whether the prefix is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrefixMember {
    /// Where there is one.
    #[default]
    Present,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Shape {
    /// Reads the letters.
    pub fn parse(data: &str) -> Shape {
        let mut shape = Shape::default();
        for letter in data.chars() {
            match letter {
                'a' => shape.prefix = PrefixMember::Always,
                'A' => shape.prefix = PrefixMember::Never,
                'j' => shape.nested = true,
                'M' => shape.trim = true,
                'N' => shape.line_end = true,
                'p' => shape.raw_prefix = true,
                'U' => shape.cee = true,
                _ => {}
            }
        }
        shape
    }
}

/// Adds the line as one JSON object with a line end.
pub fn format(line: &Line<'_>, shape: Shape, out: &mut Vec<u8>) {
    if shape.cee {
        out.extend_from_slice(b"@cee: ");
    }
    let own = kahea_module::log::level_name();
    let (pid, level) = (std::process::id(), own.as_deref().unwrap_or(line.level.name()));
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "{{ \"idx\": {}, \"pid\": {pid}, \"level\": \"{level}\", \"module\": ",
        line.worker
    );
    text(
        if line.module.is_empty() {
            b"core"
        } else {
            line.module.as_bytes()
        },
        out,
    );
    if let Some((file, number)) = line.place {
        out.extend_from_slice(b", \"file\": ");
        text(file, out);
        let _ = write!(out, ", \"line\": {number}");
    }
    let shown = match shape.prefix {
        PrefixMember::Always => true,
        PrefixMember::Present => !line.prefix.is_empty(),
        PrefixMember::Never => false,
    };
    if shape.raw_prefix {
        out.extend_from_slice(line.prefix);
    } else if shown {
        out.extend_from_slice(b", \"logprefix\": ");
        member(line.prefix, shape.nested, out);
    }
    out.extend_from_slice(b", \"message\": ");
    let message = match shape.trim {
        true => line.text.strip_suffix(b"\n").unwrap_or(line.text),
        false => line.text,
    };
    member(message, shape.nested, out);
    out.extend_from_slice(b" }\n");
}

fn member(value: &[u8], nested: bool, out: &mut Vec<u8>) {
    let is_object =
        nested && value.starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok();
    match is_object {
        true => out.extend_from_slice(value),
        false => text(value, out),
    }
}

/// A JSON string; bytes that are no UTF-8 become U+FFFD.
fn text(value: &[u8], out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &*String::from_utf8_lossy(value));
}

#[cfg(test)]
mod tests {
    use kahea_module::log::Level;

    use super::*;

    fn show(text: &[u8], prefix: &[u8], data: &str) -> String {
        let line = Line {
            level: Level::Error,
            facility: None,
            module: "sl",
            prefix,
            place: Some((b"a.cfg", 7)),
            text,
            script: false,
            worker: 2,
        };
        let mut out = Vec::new();
        format(&line, Shape::parse(data), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_json_whatever_the_text() {
        let shown = show(b"bad \"x\"\n\xff\x1b", b"", "M");
        let value: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(value["level"], "ERROR");
        assert_eq!(value["module"], "sl");
        assert_eq!(value["message"], "bad \"x\"\n\u{fffd}\u{1b}");
        assert_eq!((&value["file"], &value["line"]), (&"a.cfg".into(), &7.into()));
        assert!(value.get("logprefix").is_none());
    }

    #[test]
    fn letters_shape_them() {
        let read = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
        assert_eq!(read(show(b"x\n", b"", "M"))["message"], "x");
        assert_eq!(read(show(b"x", b"p", ""))["logprefix"], "p");
        assert!(read(show(b"x", b"p", "A")).get("logprefix").is_none());
        assert_eq!(read(show(b"x", b", \"callid\": \"7\"", "p"))["callid"], "7");
        assert_eq!(read(show(b"{\"a\":1}", b"", "j"))["message"]["a"], 1);
        assert_eq!(read(show(b"{\"a\":", b"", "j"))["message"], "{\"a\":");
        assert!(show(b"x", b"", "U").starts_with("@cee: {"));
    }
}
