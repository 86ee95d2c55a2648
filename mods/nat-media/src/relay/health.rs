//! The health of a relay: one machine, told of what happened and when.
//!
//! ```text
//!            silent                    until is over
//!   Up ───────────────▶ Down(until) ───────────────▶ (may be probed)
//!   ▲ ◀─────────────── answered ──────────────────────────┘
//!   │ any: switched off ▶ Off ── switched on ▶ Down(now), to be probed
//! ```

use std::time::{Duration, Instant};

/// The state of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Was not asked yet; taken to be well.
    Untested,
    /// Answered the last time.
    Up,
    /// Did not answer, and is left alone until then.
    Down {
        /// When it may be probed.
        until: Instant,
    },
    /// Switched off by a command or the database.
    Off,
}

/// What happened to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It answered a ping or a command.
    Answered,
    /// It did not answer; it is left alone for so long.
    Silent {
        /// When that was noticed.
        now: Instant,
        /// How long it is left alone.
        pause: Duration,
    },
    /// A command or the database switched it off.
    SwitchedOff,
    /// A command or the database switched it on.
    SwitchedOn {
        /// When.
        now: Instant,
    },
}

/// What can be done with a relay now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Ask it.
    Ask,
    /// Ping it first.
    Probe,
    /// Leave it alone.
    Skip,
}

impl Health {
    /// The state after an event. Answers and silence do not switch on what was switched off.
    #[must_use]
    pub fn after(self, event: Event) -> Health {
        match (self, event) {
            (_, Event::SwitchedOff) => Health::Off,
            (Health::Off, Event::SwitchedOn { now }) => Health::Down { until: now },
            (known, Event::SwitchedOn { .. }) => known,
            (Health::Off, _) => Health::Off,
            (_, Event::Answered) => Health::Up,
            (_, Event::Silent { now, pause }) => Health::Down {
                until: now.checked_add(pause).unwrap_or(now),
            },
        }
    }

    /// What can be done with it at that time.
    pub fn usage(self, now: Instant) -> Use {
        match self {
            Health::Untested | Health::Up => Use::Ask,
            Health::Down { until } if until <= now => Use::Probe,
            Health::Down { .. } | Health::Off => Use::Skip,
        }
    }

    /// Seconds until it may be probed; 0 where it is well.
    pub fn seconds_left(self, now: Instant) -> u64 {
        match self {
            Health::Down { until } => until.saturating_duration_since(now).as_secs(),
            Health::Untested | Health::Up | Health::Off => 0,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for the test's clock")]
mod tests {
    use super::*;

    #[test]
    fn silence_passes_and_an_answer_ends_it() {
        let now = Instant::now();
        let pause = Duration::from_secs(60);
        let down = Health::Untested.after(Event::Silent { now, pause });
        assert_eq!(down.usage(now), Use::Skip);
        assert_eq!(down.seconds_left(now), 60);
        let later = now + pause;
        assert_eq!(down.usage(later), Use::Probe);
        assert_eq!(down.after(Event::Answered), Health::Up);
        let again = down.after(Event::Silent { now: later, pause });
        assert_eq!(again.usage(later), Use::Skip);
    }

    #[test]
    fn only_a_switch_turns_on_what_a_switch_turned_off() {
        let now = Instant::now();
        let pause = Duration::from_secs(60);
        let events = [Event::Answered, Event::Silent { now, pause }];
        for state in [
            Health::Untested,
            Health::Up,
            Health::Down { until: now },
            Health::Off,
        ] {
            let off = state.after(Event::SwitchedOff);
            assert_eq!(off, Health::Off);
            assert!(events.iter().all(|event| off.after(*event) == Health::Off));
            assert_eq!(off.usage(now + pause), Use::Skip);
            assert_eq!(off.after(Event::SwitchedOn { now }).usage(now), Use::Probe);
        }
        assert_eq!(Health::Up.after(Event::SwitchedOn { now }), Health::Up);
    }
}
