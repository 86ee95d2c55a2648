//! The message as a whole: first line, body, buffer, flags.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Index, Named, Naming, Str, Value};
use kahea_sip::{FirstLine, Limits, Message, Span};

use super::{
    Pv,
    text::{count, number_only, piece, text_only},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    first_line(d);
    buffer(d);
    flags(d);
    d.var_named("msg", Naming::Required, Named { parse: Part::parse, get: part, set: None, raw: false }, "A stretch of the message: `buf`, `len`, `fline`, `hdrs`, `hdrs_len`, `hdrc`, `body`, `body_len`, `fpart` (up to the headers' end), `lpart` (from the first header on).");
    d.var_named("msgbuf", Naming::Required, Named { parse: Position::parse, get: byte, set: Some(set_byte), raw: true }, "The character at a position of the message's buffer, from 0; an assignment changes the message at once.");
}

fn first_line(d: &mut Decl<Pv>) {
    d.var(
        "rm",
        |_, cx, _| method(cx),
        "The method; of a reply that of its CSeq.",
    );
    d.var(
        "rmid",
        |_, cx, _| cx.method().bit().into(),
        "Kamailio's number of the method: INVITE 1, CANCEL 2, ACK 4, BYE 8, …",
    );
    d.var(
        "rv",
        |_, cx, _| piece(cx, cx.msg.bytes(cx.msg.version())),
        "The protocol version.",
    );
    d.var(
        "rs",
        |_, cx, _| status(cx),
        "The status code of a reply; `$null` in requests.",
    );
    d.var(
        "rsi",
        |_, cx, _| Value::Int(cx.msg.status().unwrap_or(0).into()),
        "The status code of a reply as a number; 0 in requests.",
    );
    d.var(
        "rr",
        |_, cx, _| cx.msg.reason().map_or(Value::Null, |reason| piece(cx, reason)),
        "The reason phrase of a reply; `$null` in requests.",
    );
    d.var(
        "mt",
        |_, cx, _| Value::Int(if cx.msg.is_request() { 1 } else { 2 }),
        "1 for a request, 2 for a reply.",
    );
    d.var(
        "mts",
        |_, cx, _| Value::from(if cx.msg.is_request() { "rq" } else { "rp" }),
        "`rq` for a request, `rp` for a reply.",
    );
}

fn buffer(d: &mut Decl<Pv>) {
    d.var("rb", |_, cx, _| piece(cx, cx.msg.body()), "The body.");
    d.var(
        "bs",
        |_, cx, _| count(cx.msg.body().len()),
        "The length of the body.",
    );
    d.var(
        "mb",
        |_, cx, _| Value::Str(raw(cx)),
        "The message as it was received.",
    );
    d.var(
        "ml",
        |_, cx, _| count(raw(cx).len()),
        "The length of the message.",
    );
    d.var(
        "mbu",
        |_, cx, _| updated(cx),
        "The message with all changes applied.",
    );
    d.var(
        "mi",
        |_, cx, _| Value::Int(i64::try_from(cx.number).unwrap_or(i64::MAX)),
        "The number of the message: counts from 1 in each worker.",
    );
}

fn flags(d: &mut Decl<Pv>) {
    d.var_rw(
        "mf",
        |_, cx, _| cx.flags.into(),
        |_, cx, _, v| assign(&mut cx.flags, &v, "$mf"),
        "The message flags as a number.",
    );
    d.var_rw(
        "mF",
        |_, cx, _| hex(cx.flags),
        |_, cx, _, v| assign(&mut cx.flags, &v, "$mF"),
        "The message flags in hexadecimal, eight digits.",
    );
    d.var_rw(
        "bf",
        |_, cx, _| cx.target.flags.into(),
        |_, cx, _, v| assign(&mut cx.target.flags, &v, "$bf"),
        "The branch flags of the first branch as a number.",
    );
    d.var_rw(
        "bF",
        |_, cx, _| hex(cx.target.flags),
        |_, cx, _, v| assign(&mut cx.target.flags, &v, "$bF"),
        "The branch flags of the first branch in hexadecimal, eight digits.",
    );
    d.var_rw(
        "sf",
        |_, cx, _| cx.extra::<ScriptFlags>().0.into(),
        |_, cx, _, v| assign(&mut cx.extra::<ScriptFlags>().0, &v, "$sf"),
        "The script flags as a number.",
    );
    d.var_rw(
        "sF",
        |_, cx, _| hex(cx.extra::<ScriptFlags>().0),
        |_, cx, _, v| assign(&mut cx.extra::<ScriptFlags>().0, &v, "$sF"),
        "The script flags in hexadecimal, eight digits.",
    );
    d.var_named(
        "Mf",
        Naming::Required,
        Named {
            parse: flag,
            get: |_, cx, bit, _| is_set(cx.flags, *bit),
            set: Some(|_, cx, bit, _, v| set_bit(&mut cx.flags, *bit, &v)),
            raw: false,
        },
        "1 where the message flag of that number is set, else 0.",
    );
    d.var_named(
        "Bf",
        Naming::Required,
        Named {
            parse: flag,
            get: |_, cx, bit, _| is_set(cx.target.flags, *bit),
            set: Some(|_, cx, bit, _, v| set_bit(&mut cx.target.flags, *bit, &v)),
            raw: false,
        },
        "1 where the branch flag of that number is set, else 0.",
    );
    d.var_named(
        "Sf",
        Naming::Required,
        Named {
            parse: flag,
            get: |_, cx, bit, _| is_set(cx.extra::<ScriptFlags>().0, *bit),
            set: Some(|_, cx, bit, _, v| set_bit(&mut cx.extra::<ScriptFlags>().0, *bit, &v)),
            raw: false,
        },
        "1 where the script flag of that number is set, else 0.",
    );
}

/// `$sf`; `setsflag()` and its like work on the same figure.
pub use kahea_module::state::ScriptFlags;

/// The buffer that the script sees: the received message, or raw data in an event route.
fn raw(cx: &Cx) -> Str {
    cx.raw.clone().unwrap_or_else(|| cx.msg.buffer().clone())
}

fn method(cx: &Cx) -> Value {
    super::text::filled(cx, cx.msg.method_text())
}

fn status(cx: &Cx) -> Value {
    cx.msg.status().into()
}

/// The message with its changes: edits, and the Request-URI.
pub fn updated(cx: &Cx) -> Value {
    let unchanged = cx.edits.is_empty() && cx.target.ruri.is_none();
    if unchanged {
        return Value::Str(raw(cx));
    }
    let whole = cx.msg.span();
    let mut out = Vec::with_capacity(whole.len().saturating_add(128));
    let mut from = whole.start();
    if let (FirstLine::Request { uri, .. }, Some(changed)) = (cx.msg.first_line(), &cx.target.ruri) {
        out.extend_from_slice(cx.msg.bytes(Span::new(from, uri.start())));
        out.extend_from_slice(changed);
        from = uri.end();
    }
    cx.edits
        .apply(&cx.msg, &mut out, from..whole.end(), &mut |_, _| {});
    Value::from(out)
}

fn hex(flags: u32) -> Value {
    Value::from(format!("{flags:08x}"))
}

fn assign(flags: &mut u32, value: &Value, name: &str) -> Result<(), Fault> {
    let n = number_only(value, name)?;
    *flags = u32::try_from(n & i64::from(u32::MAX)).unwrap_or(0);
    Ok(())
}

fn flag(name: &str, bind: &dyn Bind) -> Result<u32, BindError> {
    let number = name
        .parse::<u32>()
        .ok()
        .or_else(|| bind.flag(name).map(u32::from));
    number.filter(|bit| *bit < 32).ok_or_else(|| {
        BindError::new(format!("'{name}' is no flag"))
            .help("use a number from 0 to 31 or a name declared with flags")
    })
}

fn is_set(flags: u32, bit: u32) -> Value {
    Value::Int((flags.checked_shr(bit).unwrap_or(0) & 1).into())
}

fn set_bit(flags: &mut u32, bit: u32, value: &Value) -> Result<(), Fault> {
    let mask = 1u32.checked_shl(bit).unwrap_or(0);
    if number_only(value, "a flag")? == 0 {
        *flags &= !mask;
    } else {
        *flags |= mask;
    }
    Ok(())
}

/// The parts of `$msg()`.
#[derive(Clone, Copy, Debug)]
enum Part {
    Buffer,
    Length,
    FirstLine,
    Headers,
    HeadersLength,
    HeaderCount,
    Body,
    BodyLength,
    Opening,
    Closing,
}

impl Part {
    fn parse(name: &str, _: &dyn Bind) -> Result<Part, BindError> {
        Ok(match name {
            "buf" => Part::Buffer,
            "len" => Part::Length,
            "fline" => Part::FirstLine,
            "hdrs" => Part::Headers,
            "hdrs_len" => Part::HeadersLength,
            "hdrc" => Part::HeaderCount,
            "body" => Part::Body,
            "body_len" => Part::BodyLength,
            "fpart" => Part::Opening,
            "lpart" => Part::Closing,
            _ => {
                return Err(BindError::new(format!("$msg() has no part '{name}'"))
                    .help("use buf, len, fline, hdrs, hdrs_len, hdrc, body, body_len, fpart or lpart"));
            }
        })
    }
}

fn part(_: &Pv, cx: &mut Cx, part: &Part, _: Index) -> Value {
    let msg = &cx.msg;
    let end = u32::try_from(msg.buffer().len()).unwrap_or(u32::MAX);
    let headers = headers_span(msg);
    let text = |span: Span| Value::Str(msg.text(span));
    match part {
        Part::Buffer => Value::Str(msg.buffer().clone()),
        Part::Length => count(msg.buffer().len()),
        Part::FirstLine => text(msg.first_line_span()),
        Part::Headers => text(headers),
        Part::HeadersLength => count(headers.len()),
        Part::HeaderCount => count(msg.headers().len()),
        Part::Body => text(msg.body_span()),
        Part::BodyLength => count(msg.body_span().len()),
        Part::Opening => text(Span::new(msg.span().start(), headers.end())),
        Part::Closing => text(Span::new(msg.headers_start(), end)),
    }
}

/// All headers without the last one's line end.
fn headers_span(msg: &Message) -> Span {
    let span = Span::new(msg.headers_start(), msg.headers_end());
    let kept = msg.bytes(span).trim_ascii_end().len();
    Span::new(
        span.start(),
        span.start()
            .saturating_add(u32::try_from(kept).unwrap_or(u32::MAX)),
    )
}

/// The position in `$msgbuf(n)`.
enum Position {
    Fixed(usize),
    Var(kahea_module::Var),
}

impl Position {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Position, BindError> {
        if text.starts_with('$') {
            return bind.var(text).map(Position::Var);
        }
        text.parse().map(Position::Fixed).map_err(|_| {
            BindError::new(format!("'{text}' is no position in a message"))
                .help("use a number from 0 or a variable that holds one")
        })
    }

    fn value(&self, cx: &mut Cx) -> Option<usize> {
        match self {
            Position::Fixed(at) => Some(*at),
            Position::Var(var) => usize::try_from(var.get(cx).int()?).ok(),
        }
    }
}

fn byte(_: &Pv, cx: &mut Cx, at: &Position, _: Index) -> Value {
    let at = at.value(cx);
    let byte = at.and_then(|at| cx.msg.buffer().get(at));
    byte.map_or(Value::Null, |byte| piece(cx, std::slice::from_ref(byte)))
}

fn set_byte(_: &Pv, cx: &mut Cx, at: &Position, _: Index, value: Value) -> Result<(), Fault> {
    let at = at.value(cx);
    let text = text_only(value, "$msgbuf()")?;
    let new = *text
        .first()
        .ok_or_else(|| Fault::script("$msgbuf() takes a character"))?;
    let mut bytes = cx.msg.buffer().to_vec();
    let place = at.and_then(|at| bytes.get_mut(at));
    *place.ok_or_else(|| Fault::script("the position is behind the end of the message"))? = new;
    // The length stays, so recorded edits keep their places.
    cx.msg = Message::parse(Str::from(bytes), &Limits::default())
        .map_err(|error| Fault::script(format!("$msgbuf() would leave no SIP message: {error}")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    #[test]
    fn flags_are_numbers_and_bits() {
        let mut flags = 5;
        set_bit(&mut flags, 1, &Value::Int(1)).expect("a number");
        assert_eq!(flags, 7);
        assert_eq!(is_set(flags, 3), Value::Int(0));
        assert_eq!(hex(flags), Value::from("00000007"));
        assert!(assign(&mut flags, &Value::from("7"), "$mf").is_err());
        assign(&mut flags, &Value::Null, "$mf").expect("null");
        assert_eq!(flags, 0);
        assert!(flag("32", &FakeBind::default()).is_err());
    }

    #[test]
    fn parts_of_the_message() {
        let mut cx = Server::default()
            .message("OPTIONS sip:h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nX: y\n\nbody");
        let mut get = |name: &str| {
            let name = Part::parse(name, &FakeBind::default()).expect("a part");
            part(&Pv::default(), &mut cx, &name, Index::None)
        };
        assert_eq!(get("fline"), Value::from("OPTIONS sip:h SIP/2.0"));
        assert_eq!(
            get("hdrs"),
            Value::from("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nX: y")
        );
        assert_eq!(get("hdrc"), Value::Int(2));
        assert_eq!(get("body_len"), Value::Int(4));
        assert_eq!(get("fpart").str_or_empty().len(), 63);
        assert_eq!(
            get("lpart"),
            Value::from("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nX: y\r\n\r\nbody")
        );
    }

    #[test]
    fn a_character_of_the_buffer_can_be_changed() {
        let mut cx = Server::default().invite();
        let m = Pv::default();
        set_byte(&m, &mut cx, &Position::Fixed(0), Index::None, Value::from("J")).expect("in range");
        assert_eq!(method(&cx), Value::from("JNVITE"));
        assert_eq!(
            byte(&m, &mut cx, &Position::Fixed(1), Index::None),
            Value::from("N")
        );
        assert!(
            set_byte(
                &m,
                &mut cx,
                &Position::Fixed(99_999),
                Index::None,
                Value::from("J")
            )
            .is_err()
        );
        assert_eq!(
            byte(&m, &mut cx, &Position::Fixed(99_999), Index::None),
            Value::Null
        );
    }

    #[test]
    fn changes_show_in_the_updated_buffer() {
        let mut cx = Server::default().message("OPTIONS sip:h SIP/2.0\nX: y\n\n");
        cx.set_ruri(Str::from("sip:other@h")).expect("a URI");
        let header = cx.msg.headers()[0];
        cx.edits.remove(header.line, kahea_sip::EditTag::Other);
        assert_eq!(updated(&cx), Value::from("OPTIONS sip:other@h SIP/2.0\r\n\r\n"));
    }
}
