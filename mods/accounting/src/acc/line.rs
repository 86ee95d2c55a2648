//! Records as lines of the log.

use std::io::Write;

use kahea_module::{
    Cx, Str,
    log::{self, Level, Line},
};

use super::{Backend, Event, Extras, Legs, Record, TimeMode};

/// Writes each record as one line.
pub struct Lines {
    /// Under which flag, as a mask.
    pub flag: u32,
    /// Under which flag missed calls, as a mask.
    pub missed_flag: u32,
    /// At this level.
    pub level: Level,
    /// To this facility of syslog(3).
    pub facility: i32,
    /// Further values.
    pub extras: Extras,
    /// How else the time is written.
    pub time: TimeMode,
    /// The name of the second time.
    pub time_attr: Str,
    /// The name of the microseconds.
    pub time_exten: Str,
}

impl Lines {
    /// The line of a record.
    fn text(&self, cx: &mut Cx, event: Event, record: &Record, legs: &Legs) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(event.text().as_bytes());
        // Writing to a Vec cannot fail.
        let _ = write!(out, "timestamp={}", record.at.seconds);
        self.push_time(record, &mut out);
        for (name, value) in [
            ("method", &record.method),
            ("from_tag", &record.from_tag),
            ("to_tag", &record.to_tag),
            ("call_id", &record.call_id),
            ("code", &record.code),
            ("reason", &record.reason),
        ] {
            push(&mut out, name.as_bytes(), value);
        }
        for (name, value) in self.extras.values(cx) {
            push(&mut out, name, b"");
            value.push_to(&mut out);
        }
        if !legs.is_empty() {
            for row in legs.rows(cx) {
                for (name, value) in legs.names().zip(row) {
                    push(&mut out, name, b"");
                    value.push_to(&mut out);
                }
            }
        }
        out
    }

    fn push_time(&self, record: &Record, out: &mut Vec<u8>) {
        match &self.time {
            TimeMode::Plain => {}
            TimeMode::Micros => push(out, &self.time_exten, record.at.micros.to_string().as_bytes()),
            TimeMode::Millis => push(out, &self.time_attr, record.at.with_millis().as_bytes()),
            mode @ (TimeMode::Local(_) | TimeMode::Utc(_)) => {
                let text = mode.text(record.at).unwrap_or_default();
                push(out, &self.time_attr, text.as_bytes());
            }
        }
    }
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.push(b';');
    out.extend_from_slice(name);
    out.push(b'=');
    out.extend_from_slice(value);
}

impl Backend for Lines {
    fn flag(&self) -> u32 {
        self.flag
    }

    fn missed_flag(&self) -> u32 {
        self.missed_flag
    }

    fn account(&self, cx: &mut Cx, event: Event, record: &Record, legs: &Legs) {
        if !log::shows(self.level) {
            return;
        }
        let text = self.text(cx, event, record, legs);
        log::emit(&Line {
            level: self.level,
            facility: Some(self.facility),
            module: "acc",
            prefix: b"",
            place: None,
            text: &text,
            script: false,
            worker: log::worker(),
        });
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;
    use crate::acc::record::Result;

    fn lines(time: TimeMode) -> Lines {
        Lines {
            flag: 2,
            missed_flag: 4,
            level: Level::Notice,
            facility: 0,
            extras: Extras::parse("log_extra", "a=$var(a);b=$var(b)", 64, &FakeBind::default()).unwrap(),
            time,
            time_attr: "when".into(),
            time_exten: "usec".into(),
        }
    }

    fn text(time: TimeMode, legs: &Legs) -> String {
        let mut cx = Server::default().invite();
        cx.vars = vec!["x;y".into()];
        let record = Record::of(&cx, &Result::own(404, None), false).unwrap();
        String::from_utf8(lines(time).text(&mut cx, Event::Missed, &record, legs)).unwrap()
    }

    #[test]
    fn a_line_has_the_fields_in_kamailios_order() {
        assert_eq!(
            text(TimeMode::Plain, &Legs::default()),
            "ACC: call missed: timestamp=1767225600;method=INVITE;from_tag=1928301774;to_tag=;call_id=a84b4c76e66710@127.0.0.1;code=404;reason=Not Found;a=x;y;b=0"
        );
    }

    #[test]
    fn modes_add_times_and_legs_come_last() {
        let legs = Legs::parse("src=$avp(src)", &FakeBind::default()).unwrap();
        assert!(text(TimeMode::Micros, &legs).contains(";usec=0;method="));
        assert!(text(TimeMode::Millis, &legs).contains(";when=1767225600.000;method="));
        assert!(text(TimeMode::Utc("%Y".into()), &legs).contains(";when=2026;method="));
        assert!(text(TimeMode::Plain, &legs).ends_with(";src="));
    }
}
