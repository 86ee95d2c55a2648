//! What the pages of `xhttp_rpc` and `xhttp_pi` have in common, in the form of Kamailio's; and the parts of targets.

use std::fmt::Write as _;

/// A page that is being written.
pub struct Page {
    /// What it holds so far.
    pub out: String,
}

const STYLE: &str = "body{margin:0;}body,p,div,td,th,tr,form,ol,ul,li,input,textarea,select,a{font-family:\"lucida grande\",verdana,geneva,arial,helvetica,sans-serif;font-size:14px;}a:hover{text-decoration:none;}a{text-decoration:underline;}.foot{padding-top:40px;font-size:10px;color:#333333;}.foot a{font-size:10px;color:#000000;}table.center{margin-left:auto;margin-right:auto;}\n";
/// A table of pages.
pub const TABLE: &str = "<table border=\"0\" cellpadding=\"3\" cellspacing=\"0\" width=\"90%\"><tbody>\n";
/// Its end.
pub const TABLE_END: &str = "</tbody></table>\n";

impl Page {
    /// Begins a page; `head` is HTML.
    pub fn new(title: &str, head: &str) -> Page {
        let title = escaped(title);
        let mut out = format!("<html><head><title>{title}</title><style type=\"text/css\">{STYLE}");
        out.push_str(
            "</style><meta http-equiv=\"Expires\" content=\"0\"><meta http-equiv=\"Pragma\" content=\"no-cache\"></head>\
             <body alink=\"#000000\" bgcolor=\"#ffffff\" link=\"#000000\" text=\"#000000\" vlink=\"#000000\">\
             <table cellspacing=\"0\" cellpadding=\"5\" width=\"100%\" border=\"0\"><tr bgcolor=\"#BBDDFF\">\
             <td colspan=2 valign=\"top\" align=\"left\" bgcolor=\"#EFF7FF\" width=\"100%\"><br/>",
        );
        out.push_str(head);
        out.push_str("<br/></td></tr></table>\n<center>\n");
        Page { out }
    }

    /// The line of groups, the open one in bold.
    pub fn menu<'a>(&mut self, root: &str, groups: impl Iterator<Item = &'a str>, open: Option<&str>) {
        self.out
            .push_str("<table border=\"0\" cellpadding=\"3\" cellspacing=\"0\"><tbody><tr>\n");
        for group in groups {
            let link = format!(
                "<a href='/{}/{}'>{}</a>",
                escaped(root),
                encoded(group),
                escaped(group)
            );
            let _ = match open == Some(group) {
                true => writeln!(self.out, "<td><b>{link}</b><td>"),
                false => writeln!(self.out, "<td>{link}<td>"),
            };
        }
        self.out.push_str("</tr></tbody></table>\n");
    }

    /// The end of the page.
    pub fn end(mut self, foot: &str) -> String {
        self.out.push_str(
            "\n</center>\n<div align=\"center\" class=\"foot\" style=\"margin:20px auto\"><span style='margin-left:5px;'></span>",
        );
        self.out.push_str(foot);
        self.out.push_str("</div></body></html>");
        self.out
    }
}

/// Text within HTML, also between quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// Text as a segment of a path (RFC 3986 section 3.3).
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// Decodes percent signs, and `+` as space where the text is of a form; `None` where a percent sign stands for nothing.
pub fn decoded(text: &str, form: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                high << 4 | low
            }
            b'+' if form => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The parts of a target below `root`, decoded, and its query. `None` where it is not below it, or cannot be decoded.
pub fn below(target: &[u8], root: &str) -> Option<(Vec<String>, Option<String>)> {
    let target = std::str::from_utf8(target).ok()?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let rest = path.strip_prefix('/')?.strip_prefix(root)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    let parts = rest.split('/').filter(|part| !part.is_empty());
    let parts = parts
        .map(|part| decoded(part, false))
        .collect::<Option<Vec<_>>>()?;
    Some((parts, query))
}

/// The fields of a form; those that cannot be decoded are left out.
pub fn fields(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter_map(|field| {
        let (name, value) = field.split_once('=')?;
        Some((decoded(name, true)?, decoded(value, true)?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        let of = |target: &str| below(target.as_bytes(), "rpc");
        assert_eq!(of("/rpc"), Some((vec![], None)));
        let parts = vec!["a b".to_owned(), "c".to_owned()];
        assert_eq!(of("/rpc/a%20b/c?arg=x"), Some((parts, Some("arg=x".to_owned()))));
        assert_eq!(
            (of("/rpcs"), of("/other"), of("/rpc/%zz"), of("/rpc/%")),
            (None, None, None, None)
        );
        let fields: Vec<_> = fields("a=1+2&b=%3C&c&d=%").collect();
        assert_eq!(
            fields,
            [
                ("a".to_owned(), "1 2".to_owned()),
                ("b".to_owned(), "<".to_owned())
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC*") {
            prop_assert_eq!(decoded(&encoded(&text), false), Some(text.clone()));
            let safe = escaped(&text);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
        }

        #[test]
        fn no_target_does_harm(target in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = below(&target, "rpc");
        }
    }
}
