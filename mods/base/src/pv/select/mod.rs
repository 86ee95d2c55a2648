//! Selects, `@via[1].host` and `$sel(via[1].host)`: read-only paths into the message, SER's forerunner of pseudo-variables.
//!
//! A select is read once, at load: its words become a chain of closures that yields a text.

mod addr;
mod auth;
mod headers;
mod hf_value;
mod message;
mod system;
mod uri;

use std::sync::Arc;

use kahea_module::{Bind, BindError, Cx, Str, Value, Var};

/// Yields a text of the message, or nothing.
pub type Read = Arc<dyn Fn(&mut Cx) -> Option<Str> + Send + Sync>;

/// One word of a select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// `.host`, `["X-Name"]`.
    Name(String),
    /// `[2]`, `.2`.
    Index(i64),
}

/// Reads a select, with or without its `@`.
///
/// # Errors
/// It is malformed, or there is no such select.
pub fn parse(text: &str, bind: &dyn Bind) -> Result<Var, BindError> {
    let path = text.trim();
    let path = path.strip_prefix('@').unwrap_or(path);
    let words = words(path)?;
    let read = root(&words, bind).ok_or_else(|| {
        BindError::new(format!("there is no select @{path}"))
            .help("see the list of selects; most have a pseudo-variable with the same value")
    })?;
    let get = move |cx: &mut Cx| read(cx).map_or(Value::Null, Value::Str);
    Ok(Var::new(Str::from(format!("@{path}")), get, None))
}

/// Divides `via[1].params.x` and `msg.header["X-Name"]` into words.
fn words(path: &str) -> Result<Vec<Word>, BindError> {
    let wrong = |what: &str| {
        BindError::new(format!("@{path}: {what}")).help("write @name.part, @name[n] or @name[\"text\"]")
    };
    let mut words = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner).ok_or_else(|| wrong("a bracket does not close"))?;
            let (inside, after) = inner.split_at(end);
            words.push(
                bracketed(inside.trim())
                    .ok_or_else(|| wrong("neither a number nor a quoted text in brackets"))?,
            );
            rest = after.strip_prefix(']').unwrap_or(after);
            continue;
        }
        let name = rest.strip_prefix('.').unwrap_or(rest);
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (word, after) = name.split_at(end);
        if word.is_empty()
            || !word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-%:".contains(&b))
        {
            return Err(wrong("a name is missing"));
        }
        words.push(match word.parse() {
            Ok(n) if !words.is_empty() => Word::Index(n),
            _ => Word::Name(word.to_owned()),
        });
        rest = after;
    }
    match words.first() {
        Some(Word::Name(_)) => Ok(words),
        _ => Err(wrong("it does not begin with a name")),
    }
}

/// Where the bracket closes; one inside of quotes does not count.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|b| {
        quoted ^= b == b'"';
        b == b']' && !quoted
    })
}

fn bracketed(text: &str) -> Option<Word> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(name) => Some(Word::Name(name.to_owned())),
        None => text.parse().ok().map(Word::Index),
    }
}

/// The words as names, for matching; an index is `None`.
fn name(word: &Word) -> Option<&str> {
    match word {
        Word::Name(name) => Some(name),
        Word::Index(_) => None,
    }
}

/// Takes an index off the front of the words.
fn index(words: &[Word]) -> (Option<i64>, &[Word]) {
    match words {
        [Word::Index(n), rest @ ..] => (Some(*n), rest),
        _ => (None, words),
    }
}

/// The place that an index means among `len`: selects count from 1, from the end below 0.
fn place(index: Option<i64>, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = match index.unwrap_or(1) {
        n if n < 0 => len.checked_add(n)?,
        n => n.checked_sub(1)?,
    };
    usize::try_from(at).ok().filter(|_| at < len)
}

fn root(words: &[Word], bind: &dyn Bind) -> Option<Read> {
    let (first, rest) = words.split_first()?;
    let first = name(first)?;
    headers::root(first, rest)
        .or_else(|| message::root(first, rest))
        .or_else(|| system::root(first, rest, bind))
        .or_else(|| auth::root(first, rest))
        .or_else(|| hf_value::root(first, rest))
        .or_else(|| of_module(first, rest, bind))
}

/// Selects of other modules stand for a pseudo-variable of theirs.
fn of_module(first: &str, rest: &[Word], bind: &dyn Bind) -> Option<Read> {
    let var = match (first, rest) {
        ("xmlrpc", [Word::Name(part)]) if part == "method" => bind.var("$xmlrpc(method)").ok()?,
        _ => return None,
    };
    Some(Arc::new(move |cx| match var.get(cx) {
        Value::Str(text) => Some(text),
        Value::Int(_) | Value::Null => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    const TEXT: &str = "INVITE sip:bob:pw@example.com:5070;transport=tcp;x=y?h=v SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776;rport
Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKabc;received=10.9.9.9, SIP/2.0/TLS h.example.org:5071;branch=z9hG4bKdef
From: \"Alice\" <sip:alice@example.org>;tag=1928
To: Bob B <sips:bob@example.com>;tag=tt1
Call-ID: a84b4c76e66710@127.0.0.1
CSeq: 314159 INVITE
Contact: \"Al\" <sip:alice@127.0.0.1:5061>;q=0.7;expires=300
Event: dialog;id=5
X-Dup: d1
X-Dup: d2
P-Asserted-Identity: \"Pai\" <sip:pai@x.org>
Authorization: Digest username=\"au@ad\", realm=\"realm.org\", nonce=\"n\"
Content-Type: application/sdp

v=0\r
o=- 1 1 IN IP4 1.1.1.1\r
";

    fn get(text: &str) -> Option<String> {
        let mut cx = Server::default().message(TEXT);
        cx.target.dst_uri = Some(Str::from("sip:d@127.0.0.9:5071"));
        let var = parse(text, &FakeBind::default()).unwrap_or_else(|error| panic!("{text}: {error}"));
        var.get(&mut cx).str().map(|text| text.to_string())
    }

    #[test]
    fn values_are_those_of_the_reference() {
        let expected = [
            ("@via", "SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776;rport"),
            ("@via[2].host", "10.0.0.1"),
            ("@v[-1].transport", "TLS"),
            ("@via[2].received", "10.9.9.9"),
            ("@from.name", "\"Alice\""),
            ("@f.tag", "1928"),
            ("@to.uri.hostport", "example.com:5061"),
            ("@to.uri.transport", "tls"),
            ("@contact.q", "0.7"),
            ("@contact.uri.port", "5061"),
            ("@m.params[\"expires\"]", "300"),
            ("@ruri.params", "transport=tcp;x=y"),
            ("@ruri.params.x", "y"),
            ("@ruri.pwd", "pw"),
            ("@next_hop.hostport", "127.0.0.9:5071"),
            ("@cseq.num", "314159"),
            ("@event", "dialog"),
            ("@method", "INVITE"),
            ("@msg.header[\"X-Dup\"][2]", "d2"),
            ("@msg.header.x_dup", "d1"),
            ("@msg.h[\"P-Asserted-Identity\"].nameaddr.uri.host", "x.org"),
            (
                "@msg.first_line",
                "INVITE sip:bob:pw@example.com:5070;transport=tcp;x=y?h=v SIP/2.0",
            ),
            ("@msg.body.sdp.line.v", "0"),
            ("@msg.req.version", "SIP/2.0"),
            ("@msg.type", "1"),
            ("@authorization[\"realm.org\"].username.user", "au"),
            ("@received.proto_ip_port", "udp:127.0.0.1:5060"),
            ("@src.ip_port", "127.0.0.1:5061"),
            ("@branch.count", "0"),
            ("@hf_value.x_dup", "d1,d2"),
            ("@hf_value.x_dup[-1]", "d2"),
            ("@hf_value.p_asserted_identity.uri.user", "pai"),
            ("@hf_value[\"Contact\"][1].p.q", "0.7"),
            ("@hf_value_exists.x_dup.d2", "1"),
            ("@ruri.type", "sip"),
            ("@via.1", "SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK776;rport"),
        ];
        for (select, value) in expected {
            assert_eq!(get(select).as_deref(), Some(value), "{select}");
        }
    }

    #[test]
    fn what_is_not_there_is_null() {
        for select in [
            "via[9].host",
            "ruri.params.nope",
            "msg.res.code",
            "to.params.x",
            "authorization[\"nope\"].realm",
            "min_se",
            "branch.uri[0].host",
        ] {
            assert_eq!(get(select), None, "{select}");
        }
    }

    #[test]
    fn unknown_and_broken_selects_are_refused() {
        for bad in [
            "@",
            "@nope",
            "@via[",
            "@via[x]",
            "@from.nope",
            "@ruri..host",
            "@[1]",
            "@msg.header[\"X\"].nope",
            "@dst",
            "@sys",
        ] {
            assert!(parse(bad, &FakeBind::default()).is_err(), "{bad}");
        }
    }
}
