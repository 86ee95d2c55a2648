//! `kahea reload` and `kahea rpc`: commands for the running server, over its control socket.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde_json::{Value as Json, json};

use crate::{FAILED, out};

/// A reload of a large configuration takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lets the server read its configuration again, and shows what it found.
pub fn reload(dir: &Path) -> ExitCode {
    match call(dir, "core.reload", Vec::new()) {
        Ok(answer) => {
            let failed = answer.get("error");
            let data = failed
                .and_then(|error| error.get("data"))
                .or_else(|| answer.get("result"));
            if let Some(text) = data.and_then(|data| data.get("text")).and_then(Json::as_str) {
                out::complain(text);
            }
            match failed {
                Some(error) => {
                    let text = error
                        .get("message")
                        .and_then(Json::as_str)
                        .unwrap_or("the reload failed");
                    out::complain(&format!("{text}\n"));
                    ExitCode::from(FAILED)
                }
                None => {
                    let number = data
                        .and_then(|data| data.get("generation"))
                        .and_then(Json::as_u64)
                        .unwrap_or(0);
                    out::print(&format!("configuration {number} is in force\n"));
                    ExitCode::SUCCESS
                }
            }
        }
        Err(problem) => unreachable(dir, &problem),
    }
}

/// Runs a command and prints its answer.
pub fn rpc(dir: &Path, method: &str, args: &[String]) -> ExitCode {
    let args = args.iter().map(|arg| argument(arg)).collect();
    match call(dir, method, args) {
        Ok(answer) => match answer.get("error") {
            Some(error) => {
                let code = error.get("code").and_then(Json::as_i64).unwrap_or(0);
                let text = error.get("message").and_then(Json::as_str).unwrap_or_default();
                out::complain(&format!("error: {code} - {text}\n"));
                ExitCode::from(FAILED)
            }
            None => {
                out::print(&shown(answer.get("result").unwrap_or(&Json::Null)));
                ExitCode::SUCCESS
            }
        },
        Err(problem) => unreachable(dir, &problem),
    }
}

fn unreachable(dir: &Path, problem: &io::Error) -> ExitCode {
    let path = dir.join("kahea.sock");
    let remedy = match problem.kind() {
        io::ErrorKind::PermissionDenied => "run this as the user of the server, or as root",
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "is the server running? name its runtime directory with -Y"
        }
        _ => "look into the log of the server",
    };
    out::complain(&format!(
        "no answer from {}: {problem}; {remedy}\n",
        path.display()
    ));
    ExitCode::from(FAILED)
}

fn call(dir: &Path, method: &str, args: Vec<Json>) -> io::Result<Json> {
    let mut stream = UnixStream::connect(dir.join("kahea.sock"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = json!({"jsonrpc": "2.0", "method": method, "params": args, "id": 1});
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whole numbers are numbers, as in kamcmd.
fn argument(text: &str) -> Json {
    match text.strip_prefix("s:") {
        Some(text) => json!(text),
        None => text
            .parse::<i64>()
            .map_or_else(|_| json!(text), |number| json!(number)),
    }
}

fn shown(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => format!("{text}\n"),
        Json::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(shown).collect()
        }
        other => format!("{other:#}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_types_of_kamcmd() {
        assert_eq!(argument("12"), json!(12));
        assert_eq!(argument("s:12"), json!("12"));
        assert_eq!(argument("a b"), json!("a b"));
    }

    #[test]
    fn plain_answers_are_plain_lines() {
        assert_eq!(shown(&json!("x")), "x\n");
        assert_eq!(shown(&json!(["a", 1])), "a\n1\n");
        assert_eq!(shown(&Json::Null), "");
        assert!(shown(&json!({"a": 1})).contains("\"a\": 1"));
    }
}
