//! What every record holds, wherever it is written.

use std::time::{Duration, SystemTime};

use kahea_mods_base::pv::clock::Calendar;
use kahea_module::{Cx, Fault, Format, Str, value::int_text};
use kahea_sip::HeaderId;

use super::{Legs, reasons};

/// Why something is accounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transaction got its final reply.
    Answered,
    /// A branch of a call, or the call, was not answered.
    Missed,
    /// The ACK to a 2xx passed.
    Acknowledged,
    /// The script said so.
    Requested,
}

impl Event {
    /// What lines begin with.
    pub fn text(self) -> &'static str {
        match self {
            Event::Answered => "ACC: transaction answered: ",
            Event::Missed => "ACC: call missed: ",
            Event::Acknowledged => "ACC: request acknowledged: ",
            Event::Requested => "ACC: request accounted: ",
        }
    }
}

/// The result that is accounted.
#[derive(Clone, Debug, Default)]
pub struct Result {
    /// The status; `None` where a script gave none.
    pub status: Option<u16>,
    /// The reason phrase.
    pub reason: Str,
    /// The tag in To where it is not that of the request.
    pub to_tag: Option<Str>,
}

impl Result {
    /// A status of this server's own.
    pub fn own(status: u16, to_tag: Option<Str>) -> Result {
        Result {
            status: Some(status),
            reason: Str::from_static(reasons::of(status)),
            to_tag,
        }
    }

    /// What a script says: `404 Not found`, or a text without a status.
    pub fn of_comment(comment: &Format, cx: &mut Cx) -> Result {
        let text = comment.text(cx);
        let status = match text.as_bytes() {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', ..] => {
                [a, b, c].into_iter().fold(0u16, |sum, digit| {
                    sum.saturating_mul(10)
                        .saturating_add(u16::from(digit.wrapping_sub(b'0')))
                })
            }
            _ => {
                return Result {
                    reason: text,
                    ..Result::default()
                };
            }
        };
        let rest = text.as_bytes().get(3..).unwrap_or_default().trim_ascii_start();
        Result {
            status: Some(status),
            reason: text.share(rest),
            to_tag: None,
        }
    }
}

/// A moment, as the wall clock shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Microseconds, below 1,000,000.
    pub micros: u32,
}

impl Moment {
    /// Of the system's clock.
    pub fn of(time: SystemTime) -> Moment {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Moment {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            micros: since.subsec_micros(),
        }
    }

    /// `1700000000.123`.
    pub fn with_millis(self) -> String {
        format!("{}.{:03}", self.seconds, self.micros / 1000)
    }

    /// The same as a number.
    pub fn fraction(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 have far fewer than 52 bits"
        )]
        let seconds = self.seconds as f64;
        seconds + f64::from(self.micros / 1000) / 1000.0
    }
}

/// How else the time is written (`time_mode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    /// Not at all.
    #[default]
    Plain,
    /// Seconds and microseconds in two values.
    Micros,
    /// Seconds with milliseconds.
    Millis,
    /// In the form of `strftime(3)`, in the server's time zone.
    Local(Str),
    /// In the form of `strftime(3)`, in UTC.
    Utc(Str),
}

impl TimeMode {
    /// Of the parameters' numbers; one that is not known is mode 0, as in Kamailio.
    pub fn new(mode: i64, format: Str) -> TimeMode {
        match mode {
            1 => TimeMode::Micros,
            2 => TimeMode::Millis,
            3 => TimeMode::Local(format),
            4 => TimeMode::Utc(format),
            _ => TimeMode::Plain,
        }
    }

    /// The text of modes 3 and 4.
    pub fn text(&self, moment: Moment) -> Option<String> {
        match self {
            TimeMode::Local(format) => Some(Calendar::local(moment.seconds).format(&format.text())),
            TimeMode::Utc(format) => Some(Calendar::utc(moment.seconds).format(&format.text())),
            TimeMode::Plain | TimeMode::Micros | TimeMode::Millis => None,
        }
    }
}

/// What is accounted of every request.
#[derive(Clone, Debug)]
pub struct Record {
    /// The method of the request, in a reply that of CSeq.
    pub method: Str,
    /// The tag in From; of the caller where directions are detected.
    pub from_tag: Str,
    /// The tag in To.
    pub to_tag: Str,
    /// Call-ID.
    pub call_id: Str,
    /// Three digits; empty where there is no status.
    pub code: Str,
    /// The reason phrase.
    pub reason: Str,
    /// When.
    pub at: Moment,
}

impl Record {
    /// Of a message with its result; `swapped`: the request goes from the callee to the caller.
    ///
    /// # Errors
    /// The message has no From, To or Call-ID.
    pub fn of(cx: &Cx, result: &Result, swapped: bool) -> std::result::Result<Record, Fault> {
        let share = |text: Option<&[u8]>| text.map_or(Str::EMPTY, |text| cx.msg.buffer().share(text));
        let (from, to) = (cx.from()?, cx.to()?);
        let call_id = cx.msg.first(HeaderId::CallId).map(|header| cx.msg.value(header));
        if call_id.is_none() {
            return Err(Fault::peer("the message has no Call-ID header"));
        }
        let mut from_tag = share(from.tag());
        let mut to_tag = match &result.to_tag {
            Some(tag) => tag.clone(),
            None => share(to.tag()),
        };
        if swapped {
            std::mem::swap(&mut from_tag, &mut to_tag);
        }
        Ok(Record {
            method: method(cx),
            from_tag,
            to_tag,
            call_id: share(call_id),
            code: result.status.map_or(Str::EMPTY, |status| int_text(status.into())),
            reason: result.reason.clone(),
            at: Moment::of(cx.time()),
        })
    }
}

fn method(cx: &Cx) -> Str {
    if cx.msg.is_request() {
        return cx.msg.buffer().share(cx.msg.method_text());
    }
    match cx.msg.cseq() {
        Some((_, method)) => cx.msg.text(method),
        None => Str::EMPTY,
    }
}

/// Somewhere that records are written to.
pub trait Backend: Send + Sync {
    /// The flags under which answered transactions are written, as a mask; 0 for never.
    fn flag(&self) -> u32;

    /// The flags under which missed calls are written, as a mask.
    fn missed_flag(&self) -> u32;

    /// Writes a record; values of the message are read now. Must not block.
    fn account(&self, cx: &mut Cx, event: Event, record: &Record, legs: &Legs);
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn comment(text: &str) -> (Option<u16>, String) {
        let mut cx = Server::default().invite();
        let result = Result::of_comment(&Format::constant(text), &mut cx);
        (result.status, result.reason.text().into_owned())
    }

    #[test]
    fn a_comment_may_begin_with_a_status() {
        assert_eq!(comment("404 Not found"), (Some(404), "Not found".into()));
        assert_eq!(comment("404"), (Some(404), String::new()));
        assert_eq!(comment("404Not found"), (Some(404), "Not found".into()));
        assert_eq!(comment("1000 high"), (Some(100), "0 high".into()));
        assert_eq!(comment("  200   OK  "), (None, "  200   OK  ".into()));
        assert_eq!(comment("99 low"), (None, "99 low".into()));
        assert_eq!(comment(""), (None, String::new()));
    }

    #[test]
    fn a_record_takes_tags_from_the_message_and_the_result() {
        let cx = Server::default().invite();
        let record = Record::of(&cx, &Result::own(486, Some("b".into())), false).unwrap();
        assert_eq!(
            (record.from_tag.clone(), record.to_tag),
            ("1928301774".into(), "b".into())
        );
        assert_eq!((record.code, record.reason), ("486".into(), "Busy Here".into()));
        let swapped = Record::of(&cx, &Result::own(486, Some("b".into())), true).unwrap();
        assert_eq!((swapped.from_tag, swapped.to_tag), ("b".into(), record.from_tag));
    }

    #[test]
    fn times_are_written_in_four_ways() {
        let moment = Moment {
            seconds: 1_767_225_600,
            micros: 7_654,
        };
        assert_eq!(moment.with_millis(), "1767225600.007");
        assert!((moment.fraction() - 1_767_225_600.007).abs() < 1e-6);
        let mode = TimeMode::new(4, "%Y-%m-%d".into());
        assert_eq!(mode.text(moment).as_deref(), Some("2026-01-01"));
        assert_eq!(TimeMode::new(7, "%Y".into()), TimeMode::Plain);
        assert_eq!(TimeMode::Micros.text(moment), None);
    }
}
