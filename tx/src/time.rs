//! Time as the machines see it: a number that only grows, handed in by the caller.

/// A moment in milliseconds since some start that the caller chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later than every moment: a timer that does not run.
    pub const NEVER: Time = Time(u64::MAX);

    /// The moment `milliseconds` later.
    #[must_use]
    pub fn after(self, milliseconds: u32) -> Time {
        Time(self.0.saturating_add(milliseconds.into()))
    }

    /// Milliseconds from `earlier` to this moment; 0 where it is not earlier.
    pub fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The timers of one transaction in milliseconds, named and meant as the parameters of Kamailio's module tm.
///
/// | here | RFC 3261, RFC 6026 |
/// |---|---|
/// | `retr_timer1`, growing to `retr_timer2` | A, E, G |
/// | `fr_timer` | B, F, H |
/// | `fr_inv_timer` | C |
/// | `wt_timer` | D, I, J, K, L, M |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First retransmission interval (T1); 0: nothing is sent twice.
    pub retr_timer1: u32,
    /// Longest retransmission interval (T2).
    pub retr_timer2: u32,
    /// For the first reply to an INVITE, the final reply to anything else, the reply to a CANCEL, and the ACK.
    pub fr_timer: u32,
    /// For the final reply to an INVITE once a provisional one came.
    pub fr_inv_timer: u32,
    /// How long an answered transaction is remembered.
    pub wt_timer: u32,
    /// The longest life of an INVITE transaction without a final reply; 0: no bound.
    pub max_inv_lifetime: u32,
    /// The same of any other.
    pub max_noninv_lifetime: u32,
    /// Each provisional reply starts `fr_inv_timer` anew, not only one with a higher code.
    pub restart_fr_on_each_reply: bool,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            retr_timer1: 500,
            retr_timer2: 4_000,
            fr_timer: 30_000,
            fr_inv_timer: 120_000,
            wt_timer: 5_000,
            max_inv_lifetime: 180_000,
            max_noninv_lifetime: 32_000,
            restart_fr_on_each_reply: true,
        }
    }
}

impl Timing {
    /// The interval that follows `interval`.
    pub(crate) fn next_interval(&self, interval: u32) -> u32 {
        interval.saturating_mul(2).min(self.retr_timer2)
    }

    /// When a transaction that begins at `now` has to have its final reply.
    pub(crate) fn lifetime(&self, now: Time, invite: bool) -> Time {
        let longest = if invite {
            self.max_inv_lifetime
        } else {
            self.max_noninv_lifetime
        };
        if longest == 0 {
            Time::NEVER
        } else {
            now.after(longest)
        }
    }
}

/// A message that is sent again until something stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    /// When next.
    pub at: Time,
    interval: u32,
}

impl Repeat {
    /// Not sent again.
    pub const STOPPED: Repeat = Repeat {
        at: Time::NEVER,
        interval: 0,
    };

    /// Sent just now, over a transport that may lose it.
    pub fn start(now: Time, timing: &Timing) -> Repeat {
        Repeat::every(now, timing.retr_timer1)
    }

    /// Sent again just now.
    pub fn next(&mut self, now: Time, timing: &Timing) {
        *self = Repeat::every(now, timing.next_interval(self.interval));
    }

    /// Without an interval nothing is repeated; it would never stop.
    fn every(now: Time, interval: u32) -> Repeat {
        if interval == 0 {
            return Repeat::STOPPED;
        }
        Repeat {
            at: now.after(interval),
            interval,
        }
    }

    /// Begins anew with the intervals of `timing`, unless it was stopped.
    pub fn anew(&mut self, now: Time, timing: &Timing) {
        if self.at != Time::NEVER {
            *self = Repeat::start(now, timing);
        }
    }

    /// From now on at the longest interval (RFC 3261 section 17.1.2.2, state Proceeding).
    pub fn slow(&mut self, timing: &Timing) {
        if self.at != Time::NEVER {
            self.interval = timing.retr_timer2;
        }
    }

    /// Its time has come.
    pub fn due(&self, now: Time) -> bool {
        self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_up_to_the_longest() {
        let timing = Timing::default();
        let mut repeat = Repeat::start(Time(0), &timing);
        let mut moments = Vec::new();
        for _ in 0..6 {
            let now = repeat.at;
            moments.push(now.0);
            repeat.next(now, &timing);
        }
        assert_eq!(moments, [500, 1_500, 3_500, 7_500, 11_500, 15_500]);
    }

    #[test]
    fn without_an_interval_nothing_is_repeated() {
        let mut timing = Timing {
            retr_timer1: 0,
            ..Timing::default()
        };
        assert_eq!(Repeat::start(Time(7), &timing), Repeat::STOPPED);
        timing = Timing {
            retr_timer2: 0,
            ..Timing::default()
        };
        let mut repeat = Repeat::start(Time(0), &timing);
        assert_eq!(repeat.at, Time(500));
        repeat.next(Time(500), &timing);
        assert_eq!(repeat, Repeat::STOPPED);
    }

    #[test]
    fn a_lifetime_of_nothing_is_no_bound() {
        let timing = Timing {
            max_inv_lifetime: 0,
            ..Timing::default()
        };
        assert_eq!(timing.lifetime(Time(5), true), Time::NEVER);
        assert_eq!(timing.lifetime(Time(5), false), Time(32_005));
    }
}
