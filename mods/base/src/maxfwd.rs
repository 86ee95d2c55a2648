//! Module `maxfwd`: adds, counts down and checks Max-Forwards (RFC 3261 section 16.6 step 3).

use kahea_module::{BRANCH, Cx, Decl, EVENT, Env, FAILURE, Fault, InitError, Module, REQUEST, Str, Value};
use kahea_sip::{EditId, EditTag, HeaderId, Place};

/// The module's instance.
pub struct Maxfwd;

/// Its parameters.
pub struct Params {
    max_limit: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params { max_limit: 70 }
    }
}

impl Module for Maxfwd {
    const NAME: &'static str = "maxfwd";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "max_limit",
            |p| &mut p.max_limit,
            "The highest value that leaves this server, 1 to 256.",
        )
        .live();
        const PROCESS: &str = "Counts Max-Forwards down, or adds it with this value: 1, 2 where added, -1 where it is 0, -2 where it is no number.";
        d.func("maxfwd_process", ["max_value"], process, PROCESS)
            .routes(REQUEST | EVENT)
            .example("if (!maxfwd_process(\"10\")) { exit; }");
        d.func("mf_process_maxfwd_header", ["max_value"], process, PROCESS)
            .routes(REQUEST | EVENT);
        d.func("process_maxfwd", ["max_value"], process, PROCESS)
            .routes(REQUEST | EVENT)
            .kemi(1, "process_maxfwd");
        const LESS: &str = "True where Max-Forwards, as it will leave, is below this value: -1 where it is not, -2 where there is none, -3 where it is no number.";
        let anywhere = REQUEST | FAILURE | BRANCH | EVENT;
        d.func("is_maxfwd_lt", ["max_value"], is_less, LESS)
            .routes(anywhere)
            .kemi(1, "is_maxfwd_lt");
        d.func("maxfwd_at_least", ["max_value"], is_less, LESS)
            .routes(anywhere);
        d.func("mf_lowlimit", ["max_value"], is_less, LESS)
            .routes(anywhere);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Maxfwd, InitError> {
        if !(1..=256).contains(&params.max_limit) {
            return Err(InitError::new(format!(
                "max_limit is {}, not between 1 and 256",
                params.max_limit
            ))
            .help("RFC 3261 recommends 70"));
        }
        let limit = Value::Int(params.max_limit);
        env.settings.declare(
            "maxfwd",
            "max_limit",
            limit,
            "The highest value that leaves this server.",
            false,
        );
        Ok(Maxfwd)
    }
}

/// What the module did to the message: the value that leaves, and the edit that puts it in.
#[derive(Default)]
struct Counted {
    /// The message that the edit belongs to; `msg_apply_changes()` makes another.
    buffer: Str,
    now: Option<(i64, EditId)>,
}

fn counted(cx: &mut Cx) -> Option<(i64, EditId)> {
    let buffer = cx.msg.buffer().clone();
    let counted = cx.extra::<Counted>();
    let (value, edit) = counted.now?;
    let same = counted.buffer.as_ptr() == buffer.as_ptr();
    (same && cx.edits.get(edit).is_some()).then_some((value, edit))
}

/// The value that leaves; `Ok(None)` without a header.
fn value(cx: &mut Cx) -> Result<Option<i64>, ()> {
    if let Some((value, _)) = counted(cx) {
        return Ok(Some(value));
    }
    let Some(header) = cx.msg.first(HeaderId::MaxForwards) else {
        return Ok(None);
    };
    let digits = cx.msg.value(header);
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    kahea_module::value::parse_int(digits).map(Some).ok_or(())
}

fn process(_: &Maxfwd, cx: &mut Cx, max_value: i64) -> Result<i64, Fault> {
    let limit = cx
        .config()
        .settings
        .get(b"maxfwd", b"max_limit")
        .and_then(|value| value.int())
        .unwrap_or(70);
    match value(cx) {
        Err(()) => {
            kahea_module::info!("maxfwd", "The Max-Forwards header of the request is no number.");
            Ok(-2)
        }
        Ok(Some(0)) => Ok(-1),
        Ok(Some(n)) => {
            put(cx, n.saturating_sub(1).min(limit));
            Ok(1)
        }
        Ok(None) if max_value < 0 => Err(Fault::script("Max-Forwards cannot be below 0").code(-2)),
        Ok(None) => {
            put(cx, max_value);
            Ok(2)
        }
    }
}

/// Lets this value leave.
fn put(cx: &mut Cx, value: i64) {
    let tag = EditTag::Header(HeaderId::MaxForwards);
    if let Some((_, old)) = counted(cx) {
        cx.edits.undo(old);
    }
    let edit = match cx.msg.first(HeaderId::MaxForwards).map(|header| header.value) {
        Some(place) => cx.edits.replace(place, kahea_module::value::int_text(value), tag),
        None => {
            let line = Str::from(format!("Max-Forwards: {value}\r\n"));
            cx.edits.insert(cx.msg.headers_start(), Place::Before, line, tag)
        }
    };
    let buffer = cx.msg.buffer().clone();
    *cx.extra::<Counted>() = Counted {
        buffer,
        now: Some((value, edit)),
    };
}

fn is_less(_: &Maxfwd, cx: &mut Cx, max_value: i64) -> i64 {
    match value(cx) {
        Err(()) => -3,
        Ok(None) => -2,
        Ok(Some(n)) if n < max_value => 1,
        Ok(Some(_)) => -1,
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn request(header: &str) -> Cx {
        Server::default().message(&format!(
            "OPTIONS sip:a@b SIP/2.0\nCall-ID: 1\n{header}CSeq: 1 OPTIONS\n\n"
        ))
    }

    fn built(cx: &Cx) -> String {
        let mut out = Vec::new();
        let end = cx.msg.span().end();
        cx.edits.apply(&cx.msg, &mut out, 0..end, &mut |_, _| {});
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn counts_down_once_for_each_call_and_never_above_the_limit() {
        let mut cx = request("Max-Forwards: 12\n");
        assert_eq!(is_less(&Maxfwd, &mut cx, 12), -1);
        assert_eq!(process(&Maxfwd, &mut cx, 10), Ok(1));
        assert_eq!(is_less(&Maxfwd, &mut cx, 12), 1);
        assert_eq!(process(&Maxfwd, &mut cx, 10), Ok(1));
        assert!(built(&cx).contains("Max-Forwards: 10\r\nCSeq"));
        let mut cx = request("Max-Forwards: 200\n");
        assert_eq!(process(&Maxfwd, &mut cx, 10), Ok(1));
        assert!(built(&cx).contains("Max-Forwards: 70\r\n"));
    }

    #[test]
    fn adds_a_missing_header_and_refuses_zero_and_garbage() {
        let mut cx = request("");
        assert_eq!(is_less(&Maxfwd, &mut cx, 10), -2);
        assert_eq!(process(&Maxfwd, &mut cx, 10), Ok(2));
        assert!(built(&cx).contains("SIP/2.0\r\nMax-Forwards: 10\r\nCall-ID"));
        assert_eq!(process(&Maxfwd, &mut request("Max-Forwards: 0\n"), 10), Ok(-1));
        let mut cx = request("Max-Forwards: abc\n");
        assert_eq!(
            (process(&Maxfwd, &mut cx, 10), is_less(&Maxfwd, &mut cx, 10)),
            (Ok(-2), -3)
        );
    }
}
