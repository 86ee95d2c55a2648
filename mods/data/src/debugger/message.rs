//! `dbg_sip_msg()`: the message as it would leave now.

use kahea_module::{
    Bind, BindError, Cx, Lit, Literal,
    late::built,
    log::{self, Level, Line},
};
use kahea_sip::Insert;

use super::{Debugger, LevelArg, levels};

/// A syslog facility as an argument.
pub(super) struct Facility(i32);

impl Literal for Facility {
    const WHAT: &'static str = "a syslog facility such as LOG_LOCAL0";

    fn parse(text: &str, _: &dyn Bind) -> Result<Facility, BindError> {
        levels::facility(text)
            .map(Facility)
            .ok_or_else(|| BindError::new(format!("'{text}' is no syslog facility")).help("write LOG_LOCAL0"))
    }
}

pub(super) fn sip_msg(
    m: &Debugger,
    cx: &mut Cx,
    level: Option<LevelArg>,
    facility: Option<Lit<Facility>>,
) -> bool {
    let level = level.map_or(Level::Info, |level| level.0);
    if !log::shows_of(level, "debugger") {
        return true;
    }
    let line = cx.place().map_or(0, |place| place.line);
    let text = format!("debugger: CONFIG LINE {line}\n{}\n", report(cx));
    log::emit(&Line {
        level,
        facility: facility.map(|facility| facility.0).or(m.shown.facility),
        module: "",
        prefix: b"",
        place: None,
        text: text.as_bytes(),
        script: true,
        worker: log::worker(),
    });
    true
}

fn report(cx: &Cx) -> String {
    let (headers, body) = differences(cx);
    format!(
        "------------------------- START OF SIP message debug --------------------------\n{}\
         ------------------------------ SIP header diffs -------------------------------\n{headers}\
         ------------------------------- SIP body diffs --------------------------------\n{body}\
         -------------------------- END OF SIP message debug ---------------------------",
        built(cx, cx.received.listener)
    )
}

/// What was taken away, with a minus sign, and what was added: of the headers, and of the body.
fn differences(cx: &Cx) -> (String, String) {
    let (mut headers, mut body) = (String::new(), String::new());
    let buffer = cx.msg.buffer();
    let body_start = cx.msg.body_span().start();
    for (_, edit) in cx.edits.iter() {
        let out = match edit.removed.start() >= body_start && body_start > 0 {
            true => &mut body,
            false => &mut headers,
        };
        if !edit.removed.is_empty() {
            out.push_str("- ");
            out.push_str(&String::from_utf8_lossy(edit.removed.of_bytes(buffer)));
            end_line(out);
        }
        match &edit.insert {
            Some(Insert::Text(text)) => {
                out.push_str(&text.text());
                end_line(out);
            }
            Some(Insert::Late(_)) => out.push_str("(made when the message leaves)\n"),
            None => {}
        }
    }
    (headers, body)
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::{EditTag, HeaderId};

    use super::*;

    #[test]
    fn changes_are_shown_and_the_message_stays() {
        let mut cx = Server::default().invite();
        let before = cx.msg.buffer().clone();
        let agent = cx.msg.first(HeaderId::UserAgent).expect("a User-Agent");
        let line = agent.line;
        cx.edits.remove(line, EditTag::Header(HeaderId::UserAgent));
        let text = report(&cx);
        assert!(text.contains("- User-Agent: phone\r\n"), "{text}");
        assert!(!built(&cx, cx.received.listener).text().contains("User-Agent"));
        assert_eq!(*cx.msg.buffer(), before);
    }
}
