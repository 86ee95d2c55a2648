//! Replaces what two correct servers may do differently by names that are the same in every run.

use std::collections::HashMap;

/// Normalises the texts of one transcript; the same branch or tag gets the same name throughout.
#[derive(Debug)]
pub struct Normaliser {
    tmp: String,
    hide_long_numbers: bool,
    /// Expiry times are rounded to the next ten seconds.
    pub hide_expiry: bool,
    seen: HashMap<(&'static str, String), String>,
    counts: HashMap<&'static str, usize>,
}

impl Normaliser {
    /// A normaliser for a case that ran in the folder `tmp`.
    pub fn new(tmp: &str, hide_long_numbers: bool) -> Self {
        Self {
            tmp: tmp.into(),
            hide_long_numbers,
            hide_expiry: false,
            seen: HashMap::new(),
            counts: HashMap::new(),
        }
    }

    /// The text with folder, branches, tags, secrets, server name, dates and connection numbers replaced.
    pub fn text(&mut self, text: &str) -> String {
        let text = text.replace(&self.tmp, "{tmp}");
        let text = self.values(
            &text,
            &["branch=z9hG4bK", "\"via-branch\":\"z9hG4bK"],
            "branch",
            |_| false,
        );
        let text = self.values(&text, &[";tag=", ";ftag=", ";totag="], "tag", is_case_tag);
        let text = self.ruids(&text);
        let text = if self.hide_expiry { expiry(&text) } else { text };
        let text = addresses(&secrets(&text));
        let text = text.split('\n').map(line).collect::<Vec<_>>().join("\n");
        let text = accounting(&text);
        if self.hide_long_numbers {
            long_numbers(&text)
        } else {
            text
        }
    }

    /// Names the value that follows each of the markers, unless `keep` knows it as one of the case's own.
    fn values(&mut self, text: &str, markers: &[&str], kind: &'static str, keep: fn(&str) -> bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = markers.iter().filter_map(|m| Some(rest.find(m)? + m.len())).min() {
            let (before, after) = rest.split_at(at);
            let end = after.find(ends_value).unwrap_or(after.len());
            let (value, after) = after.split_at(end);
            out.push_str(before);
            if value.is_empty() || keep(value) {
                out.push_str(value);
            } else {
                out.push_str(&self.name(kind, value));
            }
            rest = after;
        }
        out + rest
    }

    /// Identifiers of location records, `uloc-START-PID-COUNT` and its like.
    fn ruids(&mut self, text: &str) -> String {
        let mut out = text.to_owned();
        for prefix in ["uloc-", "ulcx-", "ksrulka-"] {
            out = self.identifiers(&out, prefix);
        }
        out
    }

    fn identifiers(&mut self, text: &str, prefix: &str) -> String {
        let mut parts = text.split(prefix);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(|c: char| !c.is_ascii_hexdigit() && !matches!(c, '-' | '.'))
                .unwrap_or(part.len());
            let (value, rest) = part.split_at(end);
            out.push_str(&self.name("ruid", value));
            out.push_str(rest);
        }
        out
    }

    fn name(&mut self, kind: &'static str, value: &str) -> String {
        let count = self.counts.entry(kind).or_insert(0);
        let name = self.seen.entry((kind, value.to_owned())).or_insert_with(|| {
            *count += 1;
            format!("<{kind}{count}>")
        });
        name.clone()
    }
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, ';' | ',' | '>' | '"' | '\'' | ']')
}

/// Tags that a case chose itself: `ft1`, `uas...`, or a few small letters with at most one digit.
fn is_case_tag(value: &str) -> bool {
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let word = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let letters = value.trim_end_matches(|c: char| c.is_ascii_digit());
    value.strip_prefix("ft").is_some_and(digits)
        || value.strip_prefix("uas").is_some_and(word)
        || ((2..=8).contains(&letters.len())
            && letters.bytes().all(|b| b.is_ascii_lowercase())
            && value.len() - letters.len() <= 1)
}

/// Hides the quoted values of digest parameters that are random or derived from such.
fn secrets(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let names = ["nonce=\"", "opaque=\"", "response=\"", "rspauth=\""];
    while let Some(at) = names.iter().filter_map(|n| Some(rest.find(n)? + n.len())).min() {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        rest = after;
        if let Some(end) = rest.find('"').filter(|end| *end > 0) {
            out.push_str("<secret>");
            rest = rest.split_at(end).1;
        }
    }
    out + rest
}

/// The pointer that Kamailio prints for a container, `<<xavp:0x7f..>>`.
fn addresses(text: &str) -> String {
    let mut parts = text.split("<<xavp:0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        out.push_str("<<xavp:<address>");
        out.push_str(rest);
    }
    out
}

/// A line of accounting, `ACC: transaction answered: timestamp=1700000000;...`, without its times and without the tags
/// of replies that the server made: Kamailio writes those at some times only.
fn accounting(text: &str) -> String {
    match text.split_once(";method=") {
        Some((times, rest)) if times.starts_with("ACC: ") => {
            let rest: Vec<&str> = rest.split(';').map(without_made_tag).collect();
            format!("{};method={}", without_digits(times), rest.join(";"))
        }
        _ => text.to_owned(),
    }
}

fn without_made_tag(field: &str) -> &str {
    match field.split_once('=') {
        Some((name @ ("from_tag" | "to_tag"), tag)) if !is_case_tag(tag) => {
            field.get(..=name.len()).unwrap_or(field)
        }
        _ => field,
    }
}

/// Each number replaced.
fn without_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        out.push_str(before);
        out.push_str("<time>");
        rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

fn line(line: &str) -> String {
    let (line, end) = line.strip_suffix('\r').map_or((line, ""), |line| (line, "\r"));
    if let Some(text) = header_line(line) {
        return text + end;
    }
    let text = dates(&connection(&product(line)));
    let text = match text.find("pid=").or_else(|| text.find("req_src_ip=")) {
        Some(at) if text.contains(" req_src_port=") => format!("{}<warning>", text.split_at(at).0),
        _ => text,
    };
    text + end
}

/// `Server:`, `User-Agent:` of the server itself, and `Date:`.
fn header_line(line: &str) -> Option<String> {
    let (name, value) = line.split_once(": ")?;
    let lower = value.to_ascii_lowercase();
    let own = lower.starts_with("kamailio") || lower.starts_with("kahea");
    match name.to_ascii_lowercase().as_str() {
        "server" | "user-agent" if own => Some(format!("{name}: <server>")),
        "date" => Some("Date: <date>".into()),
        "call-id" if is_made_call_id(value) => Some(format!("{name}: <call>")),
        _ => None,
    }
}

/// A Call-ID that a server made for a request of its own: 16 hexadecimal digits, a number, and the host.
fn is_made_call_id(value: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    value
        .split_once('-')
        .and_then(|(random, rest)| Some((random, rest.split_once('@')?.0)))
        .is_some_and(|(random, number)| random.len() == 16 && hex(random) && hex(number))
}

/// `kamailio (5.6.3 (x86_64/linux))` and its like anywhere in a line.
fn product(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    for name in ["kamailio ", "kahea "] {
        for (at, _) in lower.match_indices(name) {
            let after = line.get(at + name.len()..).unwrap_or_default();
            let version = after.strip_prefix('(').unwrap_or(after);
            let digits = version
                .split(['.', ' ', ')', '-'])
                .take(2)
                .all(|n| n.parse::<u32>().is_ok());
            if digits {
                let end = version
                    .find(' ')
                    .map_or(after.len(), |e| e + after.len() - version.len());
                let tail = after.get(end..).unwrap_or_default();
                let platform = tail
                    .strip_prefix(" (")
                    .and_then(|t| t.find(')'))
                    .map_or(0, |e| e + 3);
                let rest = tail.get(platform..).unwrap_or_default();
                let rest = if platform > 0 {
                    rest.strip_prefix(')').unwrap_or(rest)
                } else {
                    rest
                };
                return format!("{}<server>{rest}", line.get(..at).unwrap_or_default());
            }
        }
    }
    line.to_owned()
}

/// The number of a connection that the server puts into a Via.
fn connection(line: &str) -> String {
    let via = ["via:", "v:"]
        .iter()
        .any(|p| line.get(..p.len()).is_some_and(|l| l.eq_ignore_ascii_case(p)));
    let Some((before, after)) = line.split_once(";i=").filter(|_| via) else {
        return line.to_owned();
    };
    let end = after
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(after.len());
    format!("{before};i=<conn>{}", after.split_at(end).1)
}

/// A text from a weekday to the end of its line or quote that holds a clock time.
fn dates(line: &str) -> String {
    for day in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] {
        for (at, _) in line.match_indices(day) {
            let (before, found) = line.split_at(at);
            let bounded = !before.ends_with(|c: char| c.is_alphanumeric());
            let end = found.find(['"', '<', '>']).unwrap_or(found.len());
            let (date, rest) = found.split_at(end);
            let spaced = date.get(3..).is_some_and(|d| d.starts_with([' ', ',']));
            if bounded && spaced && has_clock(date) {
                return format!("{before}<date>{}", dates(rest));
            }
        }
    }
    line.to_owned()
}

fn has_clock(text: &str) -> bool {
    text.as_bytes().windows(8).any(|w| {
        w.iter().enumerate().all(|(i, b)| {
            if matches!(i, 2 | 5) {
                *b == b':'
            } else {
                b.is_ascii_digit()
            }
        })
    })
}

/// The numbers behind `expires` and what separates them from it, to the next ten.
fn expiry(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find("expires") {
        let (before, after) = rest.split_at(at + "expires".len());
        out.push_str(before);
        let start = after
            .find(|c: char| !matches!(c, '=' | ':' | ' '))
            .unwrap_or(after.len());
        let (separator, after) = after.split_at(start);
        out.push_str(separator);
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, after) = after.split_at(end);
        match digits.parse::<u64>() {
            Ok(seconds) => out.push_str(&(seconds.saturating_add(5) / 10 * 10).to_string()),
            Err(_) => out.push_str(digits),
        }
        rest = after;
    }
    out + rest
}

fn long_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    let flush = |digits: &mut String, out: &mut String| {
        // A hash can be any number: few have less than nine digits, but some do.
        let hides = digits.len() >= 9 || !digits.is_empty() && out.ends_with("HashID: ");
        out.push_str(if hides { "<number>" } else { digits });
        digits.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            flush(&mut digits, &mut out);
            out.push(c);
        }
    }
    flush(&mut digits, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        Normaliser::new("/tmp/x1", true).text(text)
    }

    #[test]
    fn branches_and_tags_keep_their_identity() {
        let text = "Via: a;branch=z9hG4bKq.1;rport\nVia: b;branch=z9hG4bKz\nVia: c;branch=z9hG4bKq.1";
        assert_eq!(
            normal(text),
            "Via: a;branch=z9hG4bK<branch1>;rport\nVia: b;branch=z9hG4bK<branch2>\nVia: c;branch=z9hG4bK<branch1>"
        );
        assert_eq!(
            normal("T: x;tag=ft1 y;tag=uasB z;tag=ab1 w;tag=6ab.77"),
            "T: x;tag=ft1 y;tag=uasB z;tag=ab1 w;tag=<tag1>"
        );
    }

    #[test]
    fn location_records() {
        let text = "gr=uloc-65a-1f-2 uloc-65a-1f-3;uloc-65a-1f-2";
        assert_eq!(normal(text), "gr=<ruid1> <ruid2>;<ruid1>");
        let mut hiding = Normaliser::new("/tmp/x1", false);
        hiding.hide_expiry = true;
        assert_eq!(
            hiding.text("c;expires=599;q=1, Expires: 604"),
            "c;expires=600;q=1, Expires: 600"
        );
    }

    #[test]
    fn call_ids_of_servers_are_hidden() {
        assert_eq!(
            normal("Call-ID: 058f77c33bdc7e6a-5634@127.0.0.1"),
            "Call-ID: <call>"
        );
        assert_eq!(normal("Call-ID: c1@case"), "Call-ID: c1@case");
    }

    #[test]
    fn accounting_has_no_time_and_no_tags() {
        assert_eq!(
            normal(
                "ACC: call missed: timestamp=1700000000;method=INVITE;from_tag=ft1;to_tag=6ab.77;code=404"
            ),
            "ACC: call missed: timestamp=<time>;method=INVITE;from_tag=ft1;to_tag=;code=404"
        );
    }

    #[test]
    fn servers_and_dates() {
        assert_eq!(
            normal("Server: kamailio (5.6.3 (x86_64/linux))"),
            "Server: <server>"
        );
        assert_eq!(normal("User-Agent: Kahea 0.1"), "User-Agent: <server>");
        assert_eq!(normal("User-Agent: phone"), "User-Agent: phone");
        assert_eq!(
            normal("is kamailio (5.6.3 (x86_64/linux)) now"),
            "is <server> now"
        );
        assert_eq!(normal("Date: Sat, 21 Nov 2026 11:48:49 GMT"), "Date: <date>");
        assert_eq!(normal("at Sat Nov 21 11:48:49 2026"), "at <date>");
        assert_eq!(normal("Sunny 11 days"), "Sunny 11 days");
    }

    #[test]
    fn secrets_folders_and_numbers() {
        assert_eq!(
            normal("nonce=\"abc\", cnonce=\"d\", realm=\"r\", rspauth=\"1\""),
            "nonce=\"<secret>\", cnonce=\"<secret>\", realm=\"r\", rspauth=\"<secret>\""
        );
        assert_eq!(normal("[<<xavp:0x7f41c1103d30>>]"), "[<<xavp:<address>>>]");
        assert_eq!(
            normal("/tmp/x1/cfg 123456789 12345678"),
            "{tmp}/cfg <number> 12345678"
        );
        assert_eq!(
            normal("Via: SIP/2.0/TCP h;i=a1;rport"),
            "Via: SIP/2.0/TCP h;i=<conn>;rport"
        );
        assert_eq!(
            normal("Warning: 392 h \"Noisy feedback tells:  pid=1 req_src_ip=1.2.3.4 req_src_port=5 in\""),
            "Warning: 392 h \"Noisy feedback tells:  <warning>"
        );
    }
}
