//! The line protocol of the `fifo` parameter of ctl.
//!
//! A request is `:method:reply` and one argument a line, ended by an empty line; `reply` names the pipe of the answer and is
//! empty over sockets. An answer is `200 OK` or the code and text of the refusal, then one value a line.

use kahea_module::{
    Str,
    rpc::{RpcResult, RpcValue},
};

/// The longest request.
pub const LONGEST: usize = 65_535;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command.
    pub method: String,
    /// The pipe of the answer; empty over sockets.
    pub reply: String,
    /// Its arguments.
    pub args: Vec<RpcValue>,
}

/// The bytes are no request; what ended it was found all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Takes one request off the beginning: its bytes without the empty line that ends it, and how many bytes that are. `None`
/// where the end is not there yet.
pub fn split(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let mut begin = 0usize;
    loop {
        let rest = bytes.get(begin..)?;
        let end = memchr::memchr(b'\n', rest)?;
        let after = begin.saturating_add(end).saturating_add(1);
        if rest
            .get(..end)
            .is_some_and(|line| line.trim_ascii_end().is_empty())
        {
            return Some((bytes.get(..begin)?, after));
        }
        begin = after;
    }
}

/// Reads a request.
///
/// # Errors
/// The first line is not of the form.
pub fn read(request: &[u8]) -> Result<Request, Malformed> {
    let text = String::from_utf8_lossy(request);
    let mut lines = text.lines();
    let first = lines.next().and_then(|line| line.trim_end().strip_prefix(':'));
    let (method, reply) = first.and_then(|line| line.split_once(':')).ok_or(Malformed)?;
    Ok(Request {
        method: method.to_owned(),
        reply: reply.to_owned(),
        args: lines
            .map(|line| RpcValue::from(unescape(line.trim_end_matches('\r'))))
            .collect(),
    })
}

fn unescape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(one) = chars.next() {
        if one != '\\' {
            out.push(one);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('0') => out.push('\0'),
            Some('c') => out.push(','),
            Some('o') => out.push(':'),
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

/// The text of an answer.
pub fn answer(result: &RpcResult) -> Vec<u8> {
    let mut out = Vec::new();
    match result {
        Ok(values) => {
            out.extend_from_slice(b"200 OK\n");
            for value in values {
                push(value, false, &mut out);
                out.push(b'\n');
            }
        }
        Err(fault) => {
            out.extend_from_slice(format!("{} ", fault.code).as_bytes());
            push_text(&fault.text, false, &mut out);
            out.push(b'\n');
        }
    }
    out
}

fn push(value: &RpcValue, inside: bool, out: &mut Vec<u8>) {
    match value {
        RpcValue::Struct(members) | RpcValue::Named(members) if inside => {
            bracketed(b"{}", out, |out| push_members(members, out))
        }
        RpcValue::Struct(members) | RpcValue::Named(members) => push_members(members, out),
        RpcValue::Array(items) => bracketed(b"[]", out, |out| {
            for (n, item) in items.iter().enumerate() {
                separate(n, out);
                push(item, true, out);
            }
        }),
        plain => push_text(&plain.clone().into_text().unwrap_or_default(), inside, out),
    }
}

fn bracketed(brackets: &[u8; 2], out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let [open, close] = *brackets;
    out.push(open);
    fill(out);
    out.push(close);
}

fn push_members(members: &[(Str, RpcValue)], out: &mut Vec<u8>) {
    for (n, (name, value)) in members.iter().enumerate() {
        separate(n, out);
        push_text(name, true, out);
        out.push(b':');
        push(value, true, out);
    }
}

fn separate(n: usize, out: &mut Vec<u8>) {
    if n > 0 {
        out.push(b',');
    }
}

/// What would end a line, or a value inside of one, is escaped.
fn push_text(text: &[u8], inside: bool, out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\0' => out.extend_from_slice(b"\\0"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b',' if inside => out.extend_from_slice(b"\\c"),
            b':' if inside => out.extend_from_slice(b"\\o"),
            other => out.push(*other),
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::rpc::RpcFault;

    use super::*;

    #[test]
    fn requests_end_with_an_empty_line() {
        assert_eq!(split(b":a:b\nx\n\n:c"), Some((&b":a:b\nx\n"[..], 8)));
        assert_eq!(split(b":a:b\r\n\r\n"), Some((&b":a:b\r\n"[..], 8)));
        assert_eq!(split(b":a:b\nx\n"), None);
        assert_eq!(split(b""), None);
        assert_eq!(split(b"\n"), Some((&b""[..], 1)));
    }

    #[test]
    fn requests_name_the_command_and_the_pipe() {
        let request = read(b":core.echo:answer\na b\n5\nx\\ny\\\\\\o\n").unwrap();
        assert_eq!((&*request.method, &*request.reply), ("core.echo", "answer"));
        assert_eq!(request.args, ["a b".into(), "5".into(), "x\ny\\:".into()]);
        assert!(read(b":core.version:\n").unwrap().args.is_empty());
        for bytes in [&b"garbage\n"[..], b":core.version\n", b"", b"\xff\xfe"] {
            assert_eq!(read(bytes), Err(Malformed));
        }
    }

    #[test]
    fn answers_are_lines() {
        let uptime = RpcValue::members([("now", "18:24, or so".into()), ("uptime", RpcValue::Int(52))]);
        let list = RpcValue::Array(vec![1.into(), "b".into()]);
        let nested = RpcValue::members([("s", uptime.clone()), ("l", list)]);
        let values = vec!["a\nb:c".into(), RpcValue::Int(-5), uptime, nested];
        let expected = "200 OK\na\\nb:c\n-5\nnow:18\\o24\\c or so,uptime:52\ns:{now:18\\o24\\c or so,uptime:52},l:[1,b]\n";
        assert_eq!(String::from_utf8(answer(&Ok(values))).unwrap(), expected);
        let refused = answer(&Err(RpcFault::new(500, "no\nway")));
        assert_eq!(refused, b"500 no\\nway\n");
    }
}
