//! Which of several final replies the caller gets (RFC 3261 section 16.7 step 6, with Kamailio's order of preference).

use crate::{
    client::{Client, Outcome},
    transaction::BranchId,
};

/// What there is to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A branch may still answer.
    Pending,
    /// There is no branch to choose from.
    None,
    /// This branch's result is the best.
    Best(BranchId),
}

/// How results compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priorities {
    /// Added to the rank of results that no reply stands behind (`faked_reply_prio`): positive ones come later.
    pub faked: i32,
}

impl Priorities {
    /// The rank of a status: the lowest wins.
    ///
    /// A 6xx ends the search, so it comes first after a 2xx. Among the 4xx those come first that let the caller try
    /// again with more (401, 407, 415, 420, 484); the others by their number, a 408 like any (`faked` can put it later).
    pub fn rank(self, outcome: Outcome) -> Option<i32> {
        let status = i32::from(outcome.status()?);
        let rest = status.rem_euclid(100);
        let rank = match status.div_euclid(100) {
            1 => 11_000_i32.saturating_add(rest),
            2 => rest,
            6 => 1_000_i32.saturating_add(rest),
            3 => 3_000_i32.saturating_add(rest),
            4 => 4_000_i32.saturating_add(rank_of_4xx(rest)),
            5 => 5_000_i32.saturating_add(rest),
            _ => 32_000,
        };
        let faked = if outcome.is_faked() { self.faked } else { 0 };
        Some(rank.saturating_add(faked))
    }

    /// The best of the branches from `first` on.
    pub fn choose(self, clients: &[Client], first: usize) -> Choice {
        let mut best: Option<(i32, usize)> = None;
        let counting = clients.iter().enumerate().skip(first);
        for (at, client) in counting.filter(|(_, client)| !client.is_withdrawn()) {
            let Some(rank) = self.rank(client.outcome()) else {
                return Choice::Pending;
            };
            if best.is_none_or(|(lowest, _)| rank < lowest) {
                best = Some((rank, at));
            }
        }
        best.map_or(Choice::None, |(_, at)| Choice::Best(BranchId::at(at)))
    }
}

const fn rank_of_4xx(rest: i32) -> i32 {
    match rest {
        1 | 7 | 15 | 20 | 84 => rest,
        _ => rest.saturating_add(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientEvent, Time, Timing};

    fn best(statuses: &[u16]) -> u16 {
        let clients: Vec<Client> = statuses.iter().map(|status| finished(*status)).collect();
        match Priorities::default().choose(&clients, 0) {
            Choice::Best(branch) => statuses[branch.index()],
            other => panic!("{other:?}"),
        }
    }

    fn finished(status: u16) -> Client {
        let timing = Timing::default();
        let mut client = Client::new(true);
        client.on(Time(0), ClientEvent::Sent { reliable: true }, &timing);
        client.on(Time(0), ClientEvent::Reply(status), &timing);
        client
    }

    #[test]
    fn the_order_of_preference() {
        assert_eq!(best(&[404, 603]), 603);
        assert_eq!(best(&[500, 404]), 404);
        assert_eq!(best(&[404, 302]), 302);
        assert_eq!(best(&[400, 407]), 407);
        assert_eq!(best(&[480, 408]), 408);
        assert_eq!(best(&[408, 404]), 404);
        assert_eq!(best(&[500, 408]), 408);
        assert_eq!(best(&[408, 500]), 408);
        assert_eq!(best(&[484, 400]), 484);
        assert_eq!(best(&[486, 404, 404]), 404);
        assert_eq!(best(&[503, 408]), 408);
    }

    #[test]
    fn a_branch_without_a_result_keeps_everyone_waiting() {
        let clients = [finished(404), Client::new(true)];
        assert_eq!(Priorities::default().choose(&clients, 0), Choice::Pending);
        assert_eq!(Priorities::default().choose(&clients[..1], 1), Choice::None);
    }

    #[test]
    fn results_without_a_reply_can_be_put_last() {
        let timing = Timing::default();
        let mut silent = Client::new(true);
        silent.on(Time(0), ClientEvent::Sent { reliable: true }, &timing);
        silent.on(Time(30_000), ClientEvent::Tick, &timing);
        let clients = [finished(480), silent];
        assert_eq!(
            Priorities::default().choose(&clients, 0),
            Choice::Best(BranchId::at(1))
        );
        let later = Priorities { faked: 2_000 };
        assert_eq!(later.choose(&clients, 0), Choice::Best(BranchId::at(0)));
    }
}
