//! The scenario language: one step per line, words as in a shell, texts of several lines as here-documents.
//!
//! The README of this crate describes the steps. Everything that can be wrong with a line is found when the case is
//! read, before any server starts.

use std::time::Duration;

use crate::{digest, engine::Answers, text};

/// A step and the line of the case file on which it stands.
#[derive(Debug, Clone)]
pub struct Line {
    /// Line number in the case file, from 1.
    pub number: usize,
    /// What to do.
    pub step: Step,
}

/// One step of a scenario. Texts may hold `{tmp}`, `{server}`, `{cfg}` and `{ENDPOINT:Header}`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant's sentence says what its fields are")]
pub enum Step {
    /// Makes a peer.
    Endpoint {
        name: String,
        kind: Kind,
        port: u16,
        host: String,
        server: Option<String>,
    },
    /// Sends a well-formed request; `fields` change the template.
    Request {
        who: String,
        method: String,
        uri: String,
        fields: Vec<(String, String)>,
    },
    /// Sends the same with an answer to a digest challenge; `answer` changes the answer.
    Auth {
        who: String,
        method: String,
        uri: String,
        fields: Vec<(String, String)>,
        answer: Vec<(String, String)>,
    },
    /// Sends a text with CRLF line ends and `LEN` filled in, or with `bytes` exactly what stands there.
    Send {
        who: String,
        text: String,
        bytes: bool,
        to: Option<String>,
    },
    /// Waits for the request or reply named; what comes before it stays in the transcript.
    Expect { who: String, what: String, look: Look },
    /// Waits for any message.
    Receive { who: String, look: Look },
    /// Waits for bytes that need not be SIP.
    Data { who: String, timeout: Duration },
    /// Answers a request that was received under that method or name.
    Reply {
        who: String,
        request: String,
        code: u16,
        reason: String,
        fields: Vec<(String, String)>,
    },
    /// Answers as a web server the request that came last.
    Http {
        who: String,
        code: u16,
        reason: String,
        fields: Vec<(String, String)>,
    },
    /// Nothing may arrive for that long at the endpoints named, or at any.
    Quiet { who: Vec<String>, time: Duration },
    /// Reads and forgets until nothing came for that long.
    Drain { who: String, time: Duration },
    /// Changes what a media engine answers.
    Answers { who: String, answers: Answers },
    /// Shows what a media engine was asked, once it was asked nothing for that long.
    Commands { who: String, quiet: Duration },
    /// Closes the socket of an endpoint.
    Close { who: String },
    /// Waits until the other side has closed the connection.
    Closed { who: String, timeout: Duration },
    /// Puts a text into the transcript.
    Note { label: String, text: String },
    /// Waits.
    Sleep(Duration),
    /// Waits until the server has read all that was sent over UDP and its log has stopped growing.
    Settle,
    /// Sends a signal to the server, by its name without SIG.
    Signal(String),
    /// Replaces a file of the case's folder (`cfg` is the configuration) by one of its `== file` sections.
    Rewrite { file: String, with: String },
    /// Runs a command; its output and exit code, or only the code, go to the transcript.
    Run { words: Vec<String>, output: bool },
    /// Runs a command again and again until it prints this, for what a server does behind an answer.
    Until { printed: String, words: Vec<String> },
    /// Runs an RPC command through kamcmd.
    Rpc { words: Vec<String> },
}

/// The transport of an endpoint, and who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A UDP socket.
    Udp,
    /// A TCP connection to the server.
    Tcp,
    /// A TCP listener that takes the first connection of the server.
    TcpListen,
    /// A web server: it takes any number of connections, one after the other, and answers when the scenario says so.
    Http,
}

/// How long to wait for a message and what of it goes to the transcript.
#[derive(Debug, Clone)]
pub struct Look {
    /// The longest wait.
    pub timeout: Duration,
    /// What is written down.
    pub view: View,
    /// The name under which the message can be answered later.
    pub name: Option<String>,
}

/// What of a received message the transcript shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The whole message.
    Full,
    /// Its first line.
    Brief,
    /// The message as it came: header order and spelling too.
    Exact,
    /// Nothing.
    Hidden,
}

/// Reads the lines of a scenario; `first` is the number of the first one in its file.
///
/// # Errors
/// Line number and reason.
pub fn parse(first: usize, text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    let mut out = Vec::new();
    while let Some((index, line)) = lines.next() {
        let number = first + index;
        let fail = |why: String| (number, why);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let mut words = words(line).map_err(fail)?;
        for word in &mut words {
            here_document(word, &mut lines).map_err(fail)?;
        }
        out.push(Line {
            number,
            step: step(words).map_err(fail)?,
        });
    }
    Ok(out)
}

/// Reads `300ms`, `2s`, or a bare number of seconds such as `0.4`.
///
/// # Errors
/// Says what was expected.
pub fn duration(word: &str) -> Result<Duration, String> {
    let (digits, unit) = match word.strip_suffix("ms") {
        Some(digits) => (digits, 0.001),
        None => (word.strip_suffix('s').unwrap_or(word), 1.0),
    };
    let value: f64 = digits
        .parse()
        .map_err(|_| format!("`{word}` is no duration such as 300ms or 2s"))?;
    Duration::try_from_secs_f64(value * unit).map_err(|_| format!("`{word}` is no duration"))
}

/// Splits a line into words; `"..."` knows escapes, `'...'` does not, and both may stand after `key=`.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let mut word = String::new();
        while let Some(c) = rest.chars().next().filter(|c| !c.is_whitespace()) {
            rest = match c {
                '"' => quoted(rest, &mut word)?,
                '\'' => {
                    let inner = rest.get(1..).and_then(|r| r.split_once('\''));
                    let (text, after) = inner.ok_or("a ' that does not end")?;
                    word.push_str(text);
                    after
                }
                _ => {
                    word.push(c);
                    rest.get(c.len_utf8()..).unwrap_or_default()
                }
            };
        }
        out.push(word);
        rest = rest.trim_start();
    }
    Ok(out)
}

fn quoted<'a>(rest: &'a str, word: &mut String) -> Result<&'a str, String> {
    let inner = rest.get(1..).unwrap_or_default();
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            '"' if !escaped => {
                word.push_str(&text::unescape(inner.get(..at).unwrap_or_default())?);
                return Ok(inner.get(at + 1..).unwrap_or_default());
            }
            _ => escaped = c == '\\' && !escaped,
        }
    }
    Err("a \" that does not end".into())
}

/// Replaces a word that ends in `<<MARK` by the lines up to MARK, escapes resolved; `<<=MARK` leaves them alone.
fn here_document<'a>(
    word: &mut String,
    lines: &mut impl Iterator<Item = (usize, &'a str)>,
) -> Result<(), String> {
    let Some((before, mark)) = word.rsplit_once("<<") else {
        return Ok(());
    };
    let (plain, mark) = mark.strip_prefix('=').map_or((false, mark), |mark| (true, mark));
    if mark.is_empty() || !mark.chars().all(|c| c.is_ascii_uppercase()) {
        return Ok(());
    }
    let mut content = String::new();
    loop {
        let (_, line) = lines
            .next()
            .ok_or_else(|| format!("no line `{mark}` ends the text"))?;
        if line == mark {
            break;
        }
        content.push_str(line);
        content.push('\n');
    }
    let content = if plain { content } else { text::unescape(&content)? };
    *word = format!("{before}{content}");
    Ok(())
}

/// The words of a line, taken one after the other.
struct Words {
    rest: std::vec::IntoIter<String>,
}

impl Words {
    fn next(&mut self, what: &str) -> Result<String, String> {
        self.rest.next().ok_or_else(|| format!("{what} is missing"))
    }

    fn parsed<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("`{word}` is no {what}"))
    }

    fn duration_or(&mut self, default: Duration) -> Result<Duration, String> {
        self.rest.next().map_or(Ok(default), |word| duration(&word))
    }

    fn remaining(self) -> Vec<String> {
        self.rest.collect()
    }
}

const EXPECT_TIMEOUT: Duration = Duration::from_secs(3);
const COMMANDS_QUIET: Duration = Duration::from_millis(150);
const QUIET_TIME: Duration = Duration::from_millis(300);

fn step(words: Vec<String>) -> Result<Step, String> {
    let mut words = Words {
        rest: words.into_iter(),
    };
    let first = words.next("a step")?;
    Ok(match first.as_str() {
        "endpoint" => endpoint(words)?,
        "quiet" => quiet(words)?,
        "note" => Step::Note {
            label: words.next("a label")?,
            text: words.remaining().join(" "),
        },
        "sleep" => Step::Sleep(duration(&words.next("a duration")?)?),
        "settle" => Step::Settle,
        "signal" => Step::Signal(words.next("the name of a signal")?),
        "rewrite" => Step::Rewrite {
            file: words.next("a file")?,
            with: words.next("the name of a `== file`")?,
        },
        "run" => Step::Run {
            words: words.remaining(),
            output: true,
        },
        "exitcode" => Step::Run {
            words: words.remaining(),
            output: false,
        },
        "until" => Step::Until {
            printed: words.next("what the command prints")?,
            words: words.remaining(),
        },
        "rpc" => Step::Rpc {
            words: words.remaining(),
        },
        _ => act(first, words)?,
    })
}

/// `NAME verb ...`: what an endpoint does.
fn act(who: String, mut words: Words) -> Result<Step, String> {
    let verb = words.next("what the endpoint does")?;
    Ok(match verb.as_str() {
        "request" => Step::Request {
            who,
            method: words.next("a method")?,
            uri: words.next("a URI")?,
            fields: fields(words, REQUEST_FIELDS)?,
        },
        "auth" => auth(who, words)?,
        "send" | "bytes" => {
            let text = words.next("a text")?;
            let to = fields(words, &["to"])?.into_iter().next().map(|(_, to)| to);
            Step::Send {
                who,
                text,
                bytes: verb == "bytes",
                to,
            }
        }
        "expect" => Step::Expect {
            who,
            what: words.next("a method or code")?,
            look: look(words)?,
        },
        "receive" => Step::Receive {
            who,
            look: look(words)?,
        },
        "nothing" => quiet_one(who, &mut words)?,
        "data" => Step::Data {
            who,
            timeout: words.duration_or(EXPECT_TIMEOUT)?,
        },
        "reply" => reply(who, words)?,
        "http" => http(who, words)?,
        "drain" => Step::Drain {
            who,
            time: words.duration_or(QUIET_TIME)?,
        },
        "answers" => Step::Answers {
            who,
            answers: Answers::parse(&words.remaining().join(" ")),
        },
        "commands" => Step::Commands {
            who,
            quiet: words.duration_or(COMMANDS_QUIET)?,
        },
        "close" => Step::Close { who },
        "closed" => Step::Closed {
            who,
            timeout: words.duration_or(EXPECT_TIMEOUT)?,
        },
        other => return Err(format!("unknown step `{who} {other}`")),
    })
}

const REQUEST_FIELDS: &[&str] = &[
    "name", "callid", "cseq", "branch", "n", "to_tag", "from_tag", "extra", "body", "proto", "hostport",
    "domain", "to", "port",
];

/// `alice auth REGISTER sip:example.com user=alice password=secret n=2`: keys of the answer beside those of the request.
fn auth(who: String, mut words: Words) -> Result<Step, String> {
    let (method, uri) = (words.next("a method")?, words.next("a URI")?);
    let known = [REQUEST_FIELDS, digest::FIELDS].concat();
    let (answer, fields) = fields(words, &known)?
        .into_iter()
        .partition(|(key, _)| digest::FIELDS.contains(&key.as_str()));
    Ok(Step::Auth {
        who,
        method,
        uri,
        fields,
        answer,
    })
}

fn quiet_one(who: String, words: &mut Words) -> Result<Step, String> {
    Ok(Step::Quiet {
        who: vec![who],
        time: words.duration_or(QUIET_TIME)?,
    })
}

fn endpoint(mut words: Words) -> Result<Step, String> {
    let name = words.next("a name")?;
    let proto = words.next("udp or tcp")?;
    let mut next = words.next("a port")?;
    let kind = match (proto.as_str(), next.as_str()) {
        ("udp", _) => Kind::Udp,
        ("tcp", "listen") => {
            next = words.next("a port")?;
            Kind::TcpListen
        }
        ("tcp", _) => Kind::Tcp,
        ("http", _) => Kind::Http,
        _ => return Err(format!("`{proto}` is neither udp, tcp nor http")),
    };
    let port = next.parse().map_err(|_| format!("`{next}` is no port"))?;
    let (mut host, mut server) = ("127.0.0.1".to_owned(), None);
    for word in words.remaining() {
        match word.strip_prefix("server=") {
            Some(address) => server = Some(address.to_owned()),
            None => host = word,
        }
    }
    Ok(Step::Endpoint {
        name,
        kind,
        port,
        host,
        server,
    })
}

fn quiet(words: Words) -> Result<Step, String> {
    let (mut who, mut time) = (Vec::new(), QUIET_TIME);
    for word in words.remaining() {
        match duration(&word) {
            Ok(value) => time = value,
            Err(_) => who.push(word),
        }
    }
    Ok(Step::Quiet { who, time })
}

fn look(words: Words) -> Result<Look, String> {
    let mut look = Look {
        timeout: EXPECT_TIMEOUT,
        view: View::Full,
        name: None,
    };
    let mut rest = words.rest;
    while let Some(word) = rest.next() {
        match word.as_str() {
            "brief" => look.view = View::Brief,
            "exact" => look.view = View::Exact,
            "hidden" => look.view = View::Hidden,
            "as" => look.name = Some(rest.next().ok_or("a name is missing after `as`")?),
            _ => look.timeout = duration(&word)?,
        }
    }
    Ok(look)
}

/// `bob reply INVITE 180 Some Reason key=value...`
fn reply(who: String, mut words: Words) -> Result<Step, String> {
    let request = words.next("a method or name")?;
    let (code, reason, fields) = status(words, REPLY_FIELDS)?;
    Ok(Step::Reply {
        who,
        request,
        code,
        reason,
        fields,
    })
}

/// `web http 404 Not Found key=value...`
fn http(who: String, words: Words) -> Result<Step, String> {
    let (code, reason, fields) = status(words, &["extra", "body"])?;
    Ok(Step::Http {
        who,
        code,
        reason,
        fields,
    })
}

type Status = (u16, String, Vec<(String, String)>);

/// A status code, a reason of any number of words, and fields.
fn status(mut words: Words, known: &[&str]) -> Result<Status, String> {
    let code: u16 = words.parsed("status code")?;
    let (mut reason, mut rest) = (Vec::new(), Vec::new());
    for word in words.remaining() {
        let field = word.split_once('=').is_some_and(|(key, _)| known.contains(&key));
        if field { rest.push(word) } else { reason.push(word) }
    }
    let reason = if reason.is_empty() {
        "OK".to_owned()
    } else {
        reason.join(" ")
    };
    let fields = fields(
        Words {
            rest: rest.into_iter(),
        },
        known,
    )?;
    Ok((code, reason, fields))
}

const REPLY_FIELDS: &[&str] = &["extra", "body", "tag", "contact"];

fn fields(words: Words, known: &[&str]) -> Result<Vec<(String, String)>, String> {
    words
        .remaining()
        .into_iter()
        .map(|word| {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("`{word}` is no key=value"))?;
            if !known.contains(&key) {
                return Err(format!("unknown key `{key}`; known: {}", known.join(", ")));
            }
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Step {
        parse(1, line).unwrap().remove(0).step
    }

    #[test]
    fn words_and_quotes() {
        assert_eq!(
            words(r#"a "b \"c\x41" d='e "f' g"#).unwrap(),
            ["a", "b \"cA", "d=e \"f", "g"]
        );
        assert!(words("\"open").is_err());
    }

    #[test]
    fn endpoints() {
        let Step::Endpoint { kind, port, host, .. } = one("endpoint bob tcp listen 5071 127.0.0.2") else {
            panic!()
        };
        assert_eq!((kind, port, host.as_str()), (Kind::TcpListen, 5071, "127.0.0.2"));
        assert!(parse(1, "endpoint bob sctp 5071").is_err());
    }

    #[test]
    fn here_documents_resolve_escapes_unless_told_not_to() {
        let Step::Send { text, .. } = one("alice send <<END\na\\x41\nb\nEND\n") else {
            panic!()
        };
        assert_eq!(text, "aA\nb\n");
        let Step::Send { text, bytes, .. } = one("alice bytes <<=END\na\\x41\nEND\n") else {
            panic!()
        };
        assert_eq!((text.as_str(), bytes), ("a\\x41\n", true));
        assert_eq!(parse(7, "alice send <<END\n").unwrap_err().0, 7);
    }

    #[test]
    fn replies_take_a_reason_of_several_words() {
        let Step::Reply {
            code, reason, fields, ..
        } = one("bob reply INVITE 486 Busy Here tag=x")
        else {
            panic!()
        };
        assert_eq!((code, reason.as_str()), (486, "Busy Here"));
        assert_eq!(fields, [("tag".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn answers_to_challenges_take_keys_of_both_kinds() {
        let Step::Auth { fields, answer, .. } = one("alice auth OPTIONS sip:x n=2 user=a nc=00000002") else {
            panic!()
        };
        assert_eq!(fields, [("n".to_owned(), "2".to_owned())]);
        assert_eq!(answer.len(), 2);
        assert!(parse(1, "alice auth OPTIONS sip:x colour=red").is_err());
    }

    #[test]
    fn unknown_words_are_refused() {
        assert!(parse(1, "alice dance").is_err());
        assert!(parse(1, "alice request OPTIONS sip:x colour=red").is_err());
        assert!(parse(1, "alice expect 200 soon").is_err());
    }
}
