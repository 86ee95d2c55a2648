//! Whether a database is to be asked: one state machine for each pool, told what happened and when.

use std::time::Duration;

use tokio::time::Instant;

/// Whether statements are sent to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They are.
    Up,
    /// They are refused at once; one connection tries every so often.
    Down,
}

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It came back.
    CameUp,
    /// It went away.
    WentDown,
}

/// Timeouts in a row that mean that the server hangs.
const TIMEOUTS: u32 = 3;
/// Between attempts to reach a server that is away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Health {
    state: State,
    timeouts: u32,
    pause: Duration,
    next_attempt: Instant,
    why: String,
}

impl Health {
    pub(crate) fn new(now: Instant) -> Health {
        Health {
            state: State::Up,
            timeouts: 0,
            pause: FIRST_PAUSE,
            next_attempt: now,
            why: String::new(),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// What it is down for.
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// When the next attempt is due.
    pub(crate) fn next_attempt(&self) -> Instant {
        self.next_attempt
    }

    /// The server answered, if only with a refusal.
    pub(crate) fn answered(&mut self) -> Option<Change> {
        self.timeouts = 0;
        self.pause = FIRST_PAUSE;
        let was = std::mem::replace(&mut self.state, State::Up);
        (was == State::Down).then_some(Change::CameUp)
    }

    /// A connection could not be made.
    pub(crate) fn unreachable(&mut self, now: Instant, why: String) -> Option<Change> {
        let was = std::mem::replace(&mut self.state, State::Down);
        self.pause = match was {
            State::Up => FIRST_PAUSE,
            State::Down => self.pause.saturating_mul(2).min(LONGEST_PAUSE),
        };
        self.next_attempt = now + self.pause;
        self.why = why;
        (was == State::Up).then_some(Change::WentDown)
    }

    /// A statement had no answer in time.
    pub(crate) fn timed_out(&mut self, now: Instant, why: String) -> Option<Change> {
        self.timeouts = self.timeouts.saturating_add(1);
        match self.timeouts >= TIMEOUTS {
            true => self.unreachable(now, why),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_takes_it_down_and_pauses_grow() {
        let start = Instant::now();
        let mut health = Health::new(start);
        assert_eq!(
            health.unreachable(start, "refused".into()),
            Some(Change::WentDown)
        );
        assert_eq!(health.next_attempt() - start, FIRST_PAUSE);
        assert_eq!(health.unreachable(start, "refused".into()), None);
        assert_eq!(health.next_attempt() - start, FIRST_PAUSE * 2);
        (0..20).for_each(|_| assert_eq!(health.unreachable(start, "refused".into()), None));
        assert_eq!(health.next_attempt() - start, LONGEST_PAUSE);
        assert_eq!(health.answered(), Some(Change::CameUp));
        assert_eq!((health.state(), health.pause), (State::Up, FIRST_PAUSE));
    }

    #[test]
    fn one_slow_statement_is_not_an_outage() {
        let now = Instant::now();
        let mut health = Health::new(now);
        assert_eq!(health.timed_out(now, "slow".into()), None);
        assert_eq!(health.answered(), None);
        assert_eq!(health.timed_out(now, "slow".into()), None);
        assert_eq!(health.timed_out(now, "slow".into()), None);
        assert_eq!(health.timed_out(now, "slow".into()), Some(Change::WentDown));
        assert_eq!(health.state(), State::Down);
    }
}
