//! JSON-RPC documents: requests read, answers written in the form that Kamailio's clients know.

use std::borrow::Cow;

use kahea_module::{
    Str,
    rpc::{RpcAnswer, RpcFault, RpcValue},
};
use serde_json::Value as Json;

/// The longest request.
pub const LONGEST: usize = 65_535;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The command.
    pub method: String,
    /// Its arguments; named ones count in the order in which they stand.
    pub args: Vec<RpcValue>,
    /// The client's mark; a text or a number.
    pub id: Option<Json>,
    /// The pipe of the answer (`reply_name`).
    pub reply: Option<String>,
}

/// What is wrong with a request, and the parts of it that an answer needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// What the client is told.
    pub fault: RpcFault,
    /// The client's mark, where it can be read.
    pub id: Option<Json>,
    /// The pipe of the answer, where it can be read.
    pub reply: Option<String>,
}

/// Reads a request.
///
/// # Errors
/// It is no JSON, or no request of JSON-RPC 2.0.
#[expect(clippy::result_large_err, reason = "it is answered at once, and seldom comes")]
pub fn read(text: &[u8]) -> Result<Request, Malformed> {
    match serde_json::from_slice(&escaped(text)) {
        Ok(document) => request(&document),
        Err(error) => Err(Malformed {
            fault: RpcFault::new(-32700, format!("no JSON: {error}")),
            id: None,
            reply: None,
        }),
    }
}

/// The same document with the control characters inside of its texts escaped: JSON forbids them there, but `kamctl ping` sends
/// the line ends of SIP headers that way.
pub fn escaped(text: &[u8]) -> Cow<'_, [u8]> {
    let mut scan = InText::default();
    if !text.iter().any(|byte| scan.takes(*byte) && *byte < b' ') {
        return Cow::Borrowed(text);
    }
    let mut scan = InText::default();
    let mut out = Vec::with_capacity(text.len().saturating_add(16));
    for byte in text {
        match scan.takes(*byte) && *byte < b' ' {
            true => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            false => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// How much of `text` made the first `length` bytes of [`escaped`].
pub fn unescaped_length(text: &[u8], length: usize) -> usize {
    let mut scan = InText::default();
    let mut made = 0_usize;
    let begins = text.iter().position(|byte| {
        let reached = made >= length;
        made = made.saturating_add(if scan.takes(*byte) && *byte < b' ' { 6 } else { 1 });
        reached
    });
    begins.unwrap_or(text.len())
}

/// Goes through a JSON document and knows what is inside of a text.
#[derive(Default)]
struct InText {
    inside: bool,
    after_backslash: bool,
}

impl InText {
    /// The next byte is inside of a text, its quotation marks included.
    fn takes(&mut self, byte: u8) -> bool {
        let was = self.inside;
        match byte {
            _ if self.after_backslash => self.after_backslash = false,
            b'\\' if self.inside => self.after_backslash = true,
            b'"' => self.inside = !self.inside,
            _ => {}
        }
        was || self.inside
    }
}

/// A request of a document that was read.
///
/// # Errors
/// It is no request of JSON-RPC 2.0.
#[expect(clippy::result_large_err, reason = "it is answered at once, and seldom comes")]
pub fn request(document: &Json) -> Result<Request, Malformed> {
    let id = document.get("id").filter(|id| id.is_number() || id.is_string());
    let reply = document.get("reply_name").and_then(Json::as_str);
    let (id, reply) = (id.cloned(), reply.map(str::to_owned));
    let refuse = |text: &str| Malformed {
        fault: RpcFault::new(-32600, text),
        id: id.clone(),
        reply: reply.clone(),
    };
    if document.get("jsonrpc").and_then(Json::as_str) != Some("2.0") {
        return Err(refuse("the member jsonrpc is missing or not \"2.0\""));
    }
    let Some(method) = document.get("method").and_then(Json::as_str) else {
        return Err(refuse("the member method is missing or no text"));
    };
    let args = match document.get("params") {
        Some(Json::Array(items)) => items.iter().map(argument).collect(),
        Some(Json::Object(members)) => members.values().map(argument).collect(),
        Some(Json::Null) | None => Vec::new(),
        Some(_) => return Err(refuse("the member params is no array and no object")),
    };
    Ok(Request {
        method: method.to_owned(),
        args,
        id: id.clone(),
        reply: reply.clone(),
    })
}

fn argument(value: &Json) -> RpcValue {
    match value {
        Json::Null => RpcValue::Null,
        Json::Bool(yes) => RpcValue::Bool(*yes),
        Json::Number(n) => match n.as_i64() {
            Some(n) => RpcValue::Int(n),
            None => RpcValue::Double(n.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => RpcValue::from(text.as_str()),
        Json::Array(items) => RpcValue::Array(items.iter().map(argument).collect()),
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| (Str::from(name.as_str()), argument(value));
            RpcValue::Struct(members.iter().map(member).collect())
        }
    }
}

/// An unknown command, in Kamailio's words.
pub fn unknown() -> RpcFault {
    RpcFault::new(500, "Method Not Found")
}

/// The document of an answer.
pub fn answer(done: Result<RpcAnswer, RpcFault>, id: Option<&Json>, pretty: bool) -> Str {
    let outcome = match done {
        Ok(RpcAnswer {
            result: Ok(values),
            list,
        }) => ("result", result(values, list)),
        Ok(RpcAnswer {
            result: Err(fault), ..
        })
        | Err(fault) => {
            let members = [
                ("code", RpcValue::Int(fault.code)),
                ("message", RpcValue::Str(fault.text)),
            ];
            ("error", RpcValue::members(members))
        }
    };
    let mut members = vec![
        (Str::from_static("jsonrpc"), RpcValue::from("2.0")),
        (Str::from_static(outcome.0), outcome.1),
    ];
    if let Some(id) = id {
        members.push((Str::from_static("id"), argument(id)));
    }
    let mut printer = Printer {
        out: Vec::new(),
        pretty,
    };
    printer.value(&RpcValue::Struct(members), 0);
    Str::from(printer.out)
}

/// A list as an array; else one value as it is, several as an array, none as an empty object.
fn result(values: Vec<RpcValue>, list: bool) -> RpcValue {
    if list {
        return RpcValue::Array(values);
    }
    match <[RpcValue; 1]>::try_from(values) {
        Ok([one]) => one,
        Err(values) if values.is_empty() => {
            RpcValue::Struct(values.into_iter().map(|one| (Str::EMPTY, one)).collect())
        }
        Err(values) => RpcValue::Array(values),
    }
}

/// Six places, or none where there is nothing behind the point.
fn fraction(n: f64) -> String {
    // Beyond this not every whole number is a float of its own.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match n.fract() == 0.0 && n.abs() <= WHOLE {
        true => format!("{n:.0}"),
        false => format!("{n:.6}"),
    }
}

/// Writes JSON with tabs: members on lines of their own, the items of arrays on one line.
struct Printer {
    out: Vec<u8>,
    pretty: bool,
}

impl Printer {
    fn value(&mut self, value: &RpcValue, depth: usize) {
        match value {
            RpcValue::Null => self.out.extend_from_slice(b"null"),
            RpcValue::Bool(yes) => self.out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            RpcValue::Int(n) => self.out.extend_from_slice(n.to_string().as_bytes()),
            RpcValue::Double(n) if n.is_finite() => self.out.extend_from_slice(fraction(*n).as_bytes()),
            RpcValue::Double(_) => self.out.extend_from_slice(b"null"),
            RpcValue::Str(text) => self.text(text),
            RpcValue::Struct(members) => self.object(members, depth),
            RpcValue::Named(items) => self.array(items, depth, |printer, item, depth| {
                printer.object(std::slice::from_ref(item), depth);
            }),
            RpcValue::Array(items) => self.array(items, depth, Printer::value),
        }
    }

    fn array<T>(&mut self, items: &[T], depth: usize, print: impl Fn(&mut Printer, &T, usize)) {
        self.out.push(b'[');
        for (n, item) in items.iter().enumerate() {
            if n > 0 {
                self.out.extend_from_slice(if self.pretty { b", " } else { b"," });
            }
            print(self, item, depth.saturating_add(1));
        }
        self.out.push(b']');
    }

    fn object(&mut self, members: &[(Str, RpcValue)], depth: usize) {
        let inner = depth.saturating_add(1);
        self.out.push(b'{');
        for (n, (name, value)) in members.iter().enumerate() {
            if n > 0 {
                self.out.push(b',');
            }
            self.line(inner);
            self.text(name);
            self.out
                .extend_from_slice(if self.pretty { b":\t" } else { b":" });
            self.value(value, inner);
        }
        self.line(depth);
        self.out.push(b'}');
    }

    fn line(&mut self, depth: usize) {
        if self.pretty {
            self.out.push(b'\n');
            self.out.extend(std::iter::repeat_n(b'\t', depth));
        }
    }

    /// What is no UTF-8 is replaced: the document has to be read by others.
    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for one in String::from_utf8_lossy(text).chars() {
            match one {
                '"' => self.out.extend_from_slice(b"\\\""),
                '\\' => self.out.extend_from_slice(b"\\\\"),
                '\n' => self.out.extend_from_slice(b"\\n"),
                '\r' => self.out.extend_from_slice(b"\\r"),
                '\t' => self.out.extend_from_slice(b"\\t"),
                '\u{8}' => self.out.extend_from_slice(b"\\b"),
                '\u{c}' => self.out.extend_from_slice(b"\\f"),
                control if control < ' ' => {
                    let escaped = format!("\\u{:04x}", u32::from(control));
                    self.out.extend_from_slice(escaped.as_bytes());
                }
                other => self
                    .out
                    .extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(values: Vec<RpcValue>, list: bool, pretty: bool) -> String {
        let done = Ok(RpcAnswer {
            result: Ok(values),
            list,
        });
        answer(done, Some(&json!(1)), pretty).text().into_owned()
    }

    #[test]
    fn answers_look_as_kamailios() {
        let row = |n| RpcValue::members([("IDX", RpcValue::Int(n)), ("DSC", "timer".into())]);
        let expected = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t[{\n\t\t\t\"IDX\":\t0,\n\t\t\t\"DSC\":\t\"timer\"\n\t\t}, \
                        {\n\t\t\t\"IDX\":\t1,\n\t\t\t\"DSC\":\t\"timer\"\n\t\t}],\n\t\"id\":\t1\n}";
        assert_eq!(shown(vec![row(0), row(1)], true, true), expected);
        let expected = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t\t\"IDX\":\t0,\n\t\t\"DSC\":\t\"timer\"\n\t},\n\t\"id\":\t1\n}";
        assert_eq!(shown(vec![row(0)], false, true), expected);
        let expected = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t},\n\t\"id\":\t1\n}";
        assert_eq!(shown(vec![], false, true), expected);
        assert_eq!(
            shown(vec![], true, false),
            r#"{"jsonrpc":"2.0","result":[],"id":1}"#
        );
        assert_eq!(
            shown(vec!["v".into()], false, false),
            r#"{"jsonrpc":"2.0","result":"v","id":1}"#
        );
        assert_eq!(
            shown(vec!["v".into()], true, false),
            r#"{"jsonrpc":"2.0","result":["v"],"id":1}"#
        );
        let sockets = RpcValue::named("socket", [RpcValue::Int(1), RpcValue::Int(2)]);
        let expected = r#"{"jsonrpc":"2.0","result":[{"socket":1},{"socket":2}],"id":1}"#;
        assert_eq!(shown(vec![sockets], false, false), expected);
    }

    #[test]
    fn refusals_have_code_and_text() {
        let refused = answer(Err(unknown()), None, false);
        assert_eq!(
            refused.text(),
            r#"{"jsonrpc":"2.0","error":{"code":500,"message":"Method Not Found"}}"#
        );
    }

    #[test]
    fn what_is_written_is_json() {
        let odd = "a\"b\\c/\n\t\u{1}é€\u{7f}";
        let text = shown(
            vec![odd.into(), RpcValue::Double(1.5), RpcValue::Null],
            false,
            true,
        );
        let read: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(read["result"], json!([odd, 1.5, null]));
        assert_eq!(
            [1.0, -3.0, 0.5, 1e20].map(fraction),
            ["1", "-3", "0.500000", "100000000000000000000.000000"]
        );
        let bytes = shown(vec![Str::copy(b"\xff").into()], false, true);
        assert!(serde_json::from_str::<Json>(&bytes).is_ok());
    }

    #[test]
    fn requests_are_read() {
        let text = br#"{"jsonrpc":"2.0","method":"a.b","params":{"x":1,"y":[true,null,2.5]},"id":"i","reply_name":"r"}"#;
        let request = read(text).unwrap();
        assert_eq!((&*request.method, request.reply.as_deref()), ("a.b", Some("r")));
        assert_eq!(request.id, Some(json!("i")));
        let list = vec![RpcValue::Bool(true), RpcValue::Null, RpcValue::Double(2.5)];
        assert_eq!(request.args, [RpcValue::Int(1), RpcValue::Array(list)]);
    }

    #[test]
    fn line_ends_in_texts_are_taken() {
        let text = b"{\"jsonrpc\":\"2.0\",\n\"method\":\"a\",\"params\":[\"From:x\r\nTo:\\\"y\\\"\r\n\"]}";
        let request = read(text).unwrap();
        assert_eq!(request.args, [RpcValue::from("From:x\r\nTo:\"y\"\r\n")]);
        let used = escaped(b"{\"a\":\"\n\n\"}").len();
        assert_eq!(unescaped_length(b"{\"a\":\"\n\n\"}{", used), 10);
        assert!(matches!(escaped(b"{ \"a\" :\n1}"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        let code = |text: &str| read(text.as_bytes()).unwrap_err().fault.code;
        for text in [
            "{}",
            "[]",
            "5",
            r#"{"jsonrpc":"1.0","method":"a"}"#,
            r#"{"jsonrpc":"2.0"}"#,
            r#"{"jsonrpc":"2.0","method":5}"#,
            r#"{"jsonrpc":"2.0","method":"a","params":5}"#,
            r#"[{"jsonrpc":"2.0","method":"a"}]"#,
        ] {
            assert_eq!(code(text), -32600, "{text}");
        }
        for text in ["", "garbage", "{\"jsonrpc\":", "\u{0}"] {
            assert_eq!(code(text), -32700, "{text}");
        }
        let wrong = read(br#"{"jsonrpc":"1.0","id":7,"reply_name":"r"}"#).unwrap_err();
        assert_eq!((wrong.id, wrong.reply.as_deref()), (Some(json!(7)), Some("r")));
        assert!(read(&vec![b'['; 60_000]).is_err(), "nesting is bounded");
    }
}
