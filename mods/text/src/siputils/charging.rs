//! P-Charging-Vector (RFC 7315 sections 4.6 and 5.6).

use kahea_module::{Bind, BindError, Cx, Fault, Index, Str, Value};
use kahea_sip::{EditTag, HeaderId, Place, view::ChargingVector};

use super::SipUtils;

/// What the script did to the header of the message.
#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Received,
    Removed,
    Made(Str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    Value,
    GeneratedAt,
    Originating,
    Terminating,
    Status,
}

pub(super) fn parse(name: &str, _: &dyn Bind) -> Result<Part, BindError> {
    Ok(match name {
        "all" => Part::All,
        "value" => Part::Value,
        "genaddr" => Part::GeneratedAt,
        "orig" => Part::Originating,
        "term" => Part::Terminating,
        "status" => Part::Status,
        _ => {
            return Err(BindError::new(format!("$pcv has no part '{name}'"))
                .help("write all, value, genaddr, orig, term or status"));
        }
    })
}

pub(super) fn get(_: &SipUtils, cx: &mut Cx, part: &Part, _: Index) -> Value {
    let state = cx.extra_ref::<State>().cloned().unwrap_or_default();
    let text = match &state {
        State::Received => received(cx),
        State::Removed => None,
        State::Made(text) => Some(text.clone()),
    };
    if *part == Part::Status {
        return Value::Int(match (&state, &text) {
            (State::Received, None) => 0,
            (State::Received, Some(_)) => 1,
            (State::Removed, _) => 2,
            (State::Made(_), _) => 4,
        });
    }
    let Some(text) = text else {
        return Value::Null;
    };
    let Ok(vector) = ChargingVector::parse(&text) else {
        return Value::Null;
    };
    let share = |piece: std::borrow::Cow<'_, [u8]>| text.share(&piece);
    match part {
        Part::All => Value::Str(text.clone()),
        Part::Value => Value::Str(share(vector.icid_value())),
        Part::GeneratedAt => vector.icid_generated_at().map(share).into(),
        Part::Originating => vector.orig_ioi().map(share).into(),
        Part::Terminating => vector.term_ioi().map(share).into(),
        Part::Status => Value::Null,
    }
}

const NAME: &[u8] = b"P-Charging-Vector";

fn received(cx: &Cx) -> Option<Str> {
    let header = cx.msg.named(NAME).next()?;
    Some(cx.msg.value_text(header))
}

pub(super) fn change(_: &SipUtils, cx: &mut Cx, flags: Str) -> Result<bool, Fault> {
    let (mut remove, mut make) = (false, false);
    for flag in flags.iter() {
        match flag.to_ascii_lowercase() {
            b'r' => remove = true,
            b'g' => make = true,
            b'f' => (remove, make) = (true, true),
            other => {
                return Err(Fault::script(format!(
                    "sip_p_charging_vector has no flag '{}': write r, g or f",
                    char::from(other)
                )));
            }
        }
    }
    if remove {
        take_out(cx);
    }
    if make && !is_there(cx) {
        add(cx);
    }
    Ok(true)
}

fn is_there(cx: &Cx) -> bool {
    match cx.extra_ref::<State>() {
        Some(State::Made(_)) => true,
        Some(State::Removed) => false,
        Some(State::Received) | None => received(cx).is_some(),
    }
}

fn take_out(cx: &mut Cx) {
    let lines: Vec<_> = cx.msg.named(NAME).map(|header| header.line).collect();
    for line in lines {
        if !cx.edits.is_removed(line) {
            cx.edits.remove(line, EditTag::Header(HeaderId::Other));
        }
    }
    if let State::Made(text) = cx.extra::<State>().clone() {
        let line = line_of(&text);
        let own = cx
            .edits
            .iter()
            .find(|(_, edit)| edit.insert == Some(line.clone().into()));
        if let Some(id) = own.map(|(id, _)| id) {
            cx.edits.undo(id);
        }
    }
    *cx.extra::<State>() = State::Removed;
}

fn add(cx: &mut Cx) {
    let (high, low) = (cx.worker.random(), cx.worker.random());
    let text = Str::from(format!(
        "icid-value={high:016X}{low:016X};icid-generated-at={}",
        cx.received.local.ip()
    ));
    let tag = EditTag::Header(HeaderId::Other);
    cx.edits
        .insert(cx.msg.headers_end(), Place::After, line_of(&text), tag);
    *cx.extra::<State>() = State::Made(text);
}

fn line_of(text: &[u8]) -> Str {
    Str::from([NAME, b": ", text, b"\r\n"].concat())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{INVITE, Server};
    use kahea_sip::build::edited;

    use super::{super::tests::started, *};

    fn with(line: &str) -> Cx {
        Server::default().message(&INVITE.replacen("\nMax-F", &format!("\n{line}\nMax-F"), 1))
    }

    fn show(cx: &mut Cx, part: Part) -> Value {
        get(&started(), cx, &part, Index::None)
    }

    fn vectors(cx: &Cx) -> usize {
        let mut out = Vec::new();
        edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        String::from_utf8(out)
            .unwrap()
            .matches("P-Charging-Vector")
            .count()
    }

    #[test]
    fn a_received_vector_is_taken_apart() {
        let cx =
            &mut with("P-Charging-Vector: icid-value=\"abc;d\";icid-generated-at=1.2.3.4;orig-ioi=home1.net");
        assert_eq!(
            (show(cx, Part::Value), show(cx, Part::GeneratedAt)),
            ("abc;d".into(), "1.2.3.4".into())
        );
        assert_eq!(
            (show(cx, Part::Originating), show(cx, Part::Terminating)),
            ("home1.net".into(), Value::Null)
        );
        assert_eq!(show(cx, Part::Status), 1.into());
        let none = &mut with("X: y");
        assert_eq!(
            (show(none, Part::All), show(none, Part::Status)),
            (Value::Null, 0.into())
        );
    }

    #[test]
    fn vectors_are_made_and_removed() {
        let m = &started();
        let cx = &mut with("P-Charging-Vector: icid-value=abc");
        assert_eq!(change(m, cx, Str::from("g")), Ok(true));
        assert_eq!((show(cx, Part::Value), vectors(cx)), ("abc".into(), 1));
        assert_eq!(change(m, cx, Str::from("r")), Ok(true));
        assert_eq!((show(cx, Part::All), vectors(cx)), (Value::Null, 0));
        assert_eq!(change(m, cx, Str::from("f")), Ok(true));
        let first = show(cx, Part::Value);
        assert_eq!(
            (show(cx, Part::GeneratedAt), show(cx, Part::Status), vectors(cx)),
            ("127.0.0.1".into(), 4.into(), 1)
        );
        assert_eq!(change(m, cx, Str::from("f")), Ok(true));
        assert!(show(cx, Part::Value) != first && vectors(cx) == 1);
        assert!(change(m, cx, Str::from("x")).is_err());
    }
}
