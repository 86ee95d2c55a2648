//! The calls that are tracked.

use std::collections::HashMap;

use kahea_module::{Fault, Str, regex::Regex};

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Its INVITE came.
    Init,
    /// It rings.
    Progress,
    /// It was answered.
    Answered,
    /// The answer was acknowledged.
    Confirmed,
    /// It ended by BYE.
    Terminated,
    /// It ended without an answer.
    NotAnswered,
}

impl State {
    /// In this order in statistics.
    pub const ALL: [State; 6] = [
        State::Init,
        State::Progress,
        State::Answered,
        State::Confirmed,
        State::Terminated,
        State::NotAnswered,
    ];

    /// For commands.
    pub fn name(self) -> &'static str {
        match self {
            State::Init => "init",
            State::Progress => "progress",
            State::Answered => "answered",
            State::Confirmed => "confirmed",
            State::Terminated => "terminated",
            State::NotAnswered => "notanswered",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, State::Terminated | State::NotAnswered)
    }

    /// What becomes of it.
    fn after(self, event: Event) -> State {
        match (self, event) {
            (State::Init, Event::Reply(101..=199)) => State::Progress,
            (State::Init | State::Progress, Event::Reply(200..=299)) => State::Answered,
            (State::Init | State::Progress, Event::Reply(300..) | Event::Cancel) => State::NotAnswered,
            // Another attempt for the same call (serial forking) is answered.
            (State::NotAnswered, Event::Reply(200..=299)) => State::Answered,
            (State::Answered, Event::Ack) => State::Confirmed,
            (state, Event::Bye) if !state.is_over() => State::Terminated,
            (state, _) => state,
        }
    }
}

/// What happened to a call.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A reply to its INVITE.
    Reply(u16),
    /// ACK.
    Ack,
    /// BYE.
    Bye,
    /// CANCEL.
    Cancel,
}

/// Seconds for which calls are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetimes {
    /// Once answered.
    pub active: u32,
    /// Before.
    pub init: u32,
    /// After the end.
    pub finish: u32,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// As `dlgs_init()` had it.
    pub src: Str,
    /// The same.
    pub dst: Str,
    /// The same.
    pub data: Str,
    /// How far it has come.
    pub state: State,
    /// Seconds since 1970 when it began.
    pub began: i64,
    /// And when its state changed.
    pub changed: i64,
    /// `dlgs_tags_add()`.
    pub tags: Vec<Str>,
}

impl Dialog {
    /// One that begins.
    pub fn new(src: Str, dst: Str, data: Str, now: i64) -> Dialog {
        Dialog {
            src,
            dst,
            data,
            state: State::Init,
            began: now,
            changed: now,
            tags: Vec::new(),
        }
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Caller.
    Src,
    /// Callee.
    Dst,
    /// Data.
    Data,
    /// Nothing: every call fits.
    Any,
}

impl Field {
    /// By name.
    pub fn of(name: &str) -> Option<Field> {
        match name {
            "src" => Some(Field::Src),
            "dst" => Some(Field::Dst),
            "data" => Some(Field::Data),
            "any" => Some(Field::Any),
            _ => None,
        }
    }
}

enum Test {
    Equal(Str),
    Differs(Str),
    Starts(Str),
    Fits(Regex),
}

/// Which calls are meant.
pub struct Filter {
    field: Field,
    test: Test,
}

impl Filter {
    /// By the operators of `dlgs_count()`: `eq`, `ne`, `re`, `sw`, `fm`.
    ///
    /// # Errors
    /// There is no such operator, or the expression is none.
    pub fn new(
        field: Field,
        op: &str,
        data: &Str,
        regex: impl Fn(&[u8]) -> Result<Regex, Fault>,
    ) -> Result<Filter, Fault> {
        let test = match op {
            "eq" => Test::Equal(data.clone()),
            "ne" => Test::Differs(data.clone()),
            "sw" => Test::Starts(data.clone()),
            "re" if field != Field::Any => Test::Fits(regex(data)?),
            "fm" if field != Field::Any => Test::Fits(regex(&of_wildcards(data))?),
            "re" | "fm" => Test::Equal(Str::EMPTY),
            _ => {
                return Err(Fault::script(format!(
                    "there is no operator '{op}': compare with eq, ne, re, sw or fm"
                )));
            }
        };
        Ok(Filter { field, test })
    }

    /// The call is meant.
    pub fn fits(&self, dialog: &Dialog) -> bool {
        let value = match self.field {
            Field::Any => return true,
            Field::Src => &dialog.src,
            Field::Dst => &dialog.dst,
            Field::Data => &dialog.data,
        };
        match &self.test {
            Test::Equal(data) => value == data,
            Test::Differs(data) => value != data,
            Test::Starts(data) => value.starts_with(data),
            Test::Fits(regex) => regex.is_match(value),
        }
    }
}

/// The expression that means what a pattern with `*` and `?` means.
fn of_wildcards(pattern: &[u8]) -> Vec<u8> {
    let mut out = b"^".to_vec();
    for byte in pattern {
        match byte {
            b'*' => out.extend_from_slice(b".*"),
            b'?' => out.push(b'.'),
            byte if byte.is_ascii_alphanumeric() || !byte.is_ascii() => out.push(*byte),
            byte => out.extend_from_slice(&[b'[', *byte, b']']),
        }
        // These cannot stand alone in brackets.
        for (open, escaped) in [(&b"[^]"[..], &b"\\^"[..]), (b"[\\]", b"\\\\")] {
            if out.ends_with(open) {
                out.truncate(out.len().saturating_sub(open.len()));
                out.extend_from_slice(escaped);
            }
        }
    }
    out.push(b'$');
    out
}

/// All calls, by Call-ID. It outlives reloads.
#[derive(Default)]
pub struct Book {
    /// How long they are kept.
    pub lifetimes: Lifetimes,
    dialogs: HashMap<Str, Dialog>,
}

impl Book {
    /// Notes a call unless it is there already: later attempts belong to the first.
    pub fn begin(&mut self, call_id: Str, dialog: Dialog) {
        self.dialogs.entry(call_id).or_insert(dialog);
    }

    /// Notes what happened; false where the call is not known.
    pub fn note(&mut self, call_id: &[u8], event: Event, now: i64) -> bool {
        let Some(dialog) = self.dialogs.get_mut(call_id) else {
            return false;
        };
        let state = dialog.state.after(event);
        if state != dialog.state {
            dialog.state = state;
            dialog.changed = now;
        }
        true
    }

    /// Puts a tag on a call or takes it off; false where the call, or the tag to take off, is not there.
    pub fn tag(&mut self, call_id: &[u8], tag: &Str, on: bool) -> bool {
        let Some(dialog) = self.dialogs.get_mut(call_id) else {
            return false;
        };
        let at = dialog.tags.iter().position(|known| known == tag);
        match (at, on) {
            (None, true) => dialog.tags.push(tag.detach()),
            (Some(at), false) => {
                dialog.tags.remove(at);
            }
            (Some(_), true) => {}
            (None, false) => return false,
        }
        true
    }

    fn running(&self) -> impl Iterator<Item = &Dialog> {
        self.dialogs.values().filter(|dialog| !dialog.state.is_over())
    }

    /// How many calls go on that a filter means.
    pub fn count(&self, filter: &Filter) -> usize {
        self.running().filter(|dialog| filter.fits(dialog)).count()
    }

    /// How many calls go on with a tag.
    pub fn tagged(&self, tag: &[u8]) -> usize {
        let has = |dialog: &&Dialog| dialog.tags.iter().any(|known| **known == *tag);
        self.running().filter(has).count()
    }

    /// How many calls there are in a state.
    pub fn in_state(&self, state: State) -> usize {
        self.dialogs
            .values()
            .filter(|dialog| dialog.state == state)
            .count()
    }

    /// All of them with their Call-IDs, the oldest first.
    pub fn all(&self) -> Vec<(&Str, &Dialog)> {
        let mut all: Vec<_> = self.dialogs.iter().collect();
        all.sort_by_key(|(call_id, dialog)| (dialog.began, (*call_id).clone()));
        all
    }

    /// Forgets those that were kept long enough.
    pub fn sweep(&mut self, now: i64) {
        let lifetimes = self.lifetimes;
        self.dialogs.retain(|_, dialog| {
            let life = match dialog.state {
                State::Init | State::Progress => lifetimes.init,
                State::Answered | State::Confirmed => lifetimes.active,
                State::Terminated | State::NotAnswered => lifetimes.finish,
            };
            now.saturating_sub(dialog.changed) <= life.into()
        });
        self.dialogs.shrink_to(self.dialogs.len().saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_from_state_to_state() {
        let path = |events: &[Event]| {
            events
                .iter()
                .fold(State::Init, |state, event| state.after(*event))
        };
        let (ring, ok, busy) = (Event::Reply(180), Event::Reply(200), Event::Reply(486));
        assert_eq!(path(&[Event::Reply(100)]), State::Init);
        assert_eq!(path(&[ring, ok, Event::Ack]), State::Confirmed);
        assert_eq!(path(&[ring, ok, Event::Ack, Event::Bye, ok]), State::Terminated);
        assert_eq!(path(&[ring, busy]), State::NotAnswered);
        assert_eq!(path(&[busy, ok]), State::Answered);
        assert_eq!(path(&[ring, Event::Cancel, busy]), State::NotAnswered);
    }

    #[test]
    fn wildcards_mean_what_they_say() {
        let fits = |pattern: &'static str, text: &'static str| {
            let regex = |text: &[u8]| Regex::new(text).map_err(|error| Fault::script(error.to_string()));
            let filter = Filter::new(Field::Src, "fm", &pattern.into(), regex).unwrap();
            filter.fits(&Dialog::new(text.into(), Str::EMPTY, Str::EMPTY, 0))
        };
        assert!(fits("sip:*@h.x", "sip:bob@h.x") && !fits("sip:*@h.x", "sip:bob@h-x"));
        assert!(fits("a?c", "abc") && !fits("a?c", "abbc"));
        assert!(fits("^\\]", "^\\]") && fits("[a", "[a"));
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut book = Book {
            lifetimes: Lifetimes {
                active: 100,
                init: 10,
                finish: 5,
            },
            ..Book::default()
        };
        let dialog = || Dialog::new("a".into(), "b".into(), "c".into(), 0);
        book.begin("1".into(), dialog());
        book.begin("2".into(), dialog());
        book.note(b"2", Event::Reply(200), 1);
        book.sweep(10);
        assert_eq!(book.all().len(), 2);
        book.sweep(11);
        assert_eq!(book.all().len(), 1);
        book.sweep(102);
        assert!(book.all().is_empty());
    }
}
