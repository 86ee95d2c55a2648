//! The connections of a cluster: which are used, in which order, and which are left alone for a while.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_db::{Database, Url};
use kahea_module::{Str, warning};
use parking_lot::Mutex;

use super::config::{Definition, Mode, Rank, Usage};

/// When connections are left alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For so long.
    pub(crate) inactive: Duration,
    /// A failure that came sooner does not count.
    pub(crate) longest: Duration,
    /// When the server started, from where `ticks` count.
    pub(crate) started: Instant,
}

/// A cluster.
pub(crate) struct Cluster {
    pub(crate) name: String,
    pub(crate) members: Vec<Member>,
    limits: Limits,
    turn: AtomicUsize,
}

/// A connection of a cluster.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) url: Url,
    usage: Usage,
    paused_until: Mutex<Option<Instant>>,
    database: OnceLock<Database>,
}

impl Member {
    /// The database, once it was needed.
    pub(crate) fn database(&self) -> &OnceLock<Database> {
        &self.database
    }

    pub(crate) fn is_open(&self) -> bool {
        self.database.get().is_some()
    }

    fn rank(&self, writes: bool) -> Rank {
        if writes { self.usage.write } else { self.usage.read }
    }
}

/// Connections of one priority.
pub(crate) struct Step<'a> {
    /// All of them at once, or one after the other until one succeeds.
    pub(crate) together: bool,
    pub(crate) members: Vec<&'a Member>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "databases are far from any message, and have no clock handed in"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Cluster {
    pub(crate) fn new(definition: Definition, limits: Limits) -> Cluster {
        let member = |(given, usage): (super::config::Given, Usage)| Member {
            name: given.name,
            url: given.url,
            usage,
            paused_until: Mutex::default(),
            database: OnceLock::new(),
        };
        let members = definition.members.into_iter().map(member).collect();
        Cluster {
            name: definition.name,
            members,
            limits,
            turn: AtomicUsize::new(0),
        }
    }

    pub(crate) fn member(&self, name: &Str) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.name.as_bytes() == name.as_bytes())
    }

    /// The connections to be tried, best first. The first one of a priority says how the others share the work.
    pub(crate) fn steps(&self, writes: bool) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        for priority in (1..=9).rev() {
            let ranked = self
                .members
                .iter()
                .filter(|member| member.rank(writes).priority == priority);
            let mut members: Vec<&Member> = ranked.filter(|member| !self.is_paused(member)).collect();
            let Some(mode) = members.first().map(|member| member.rank(writes).mode) else {
                continue;
            };
            if mode == Mode::RoundRobin {
                let turn = self
                    .turn
                    .fetch_add(1, Relaxed)
                    .checked_rem(members.len())
                    .unwrap_or(0);
                members.rotate_left(turn);
            }
            steps.push(Step {
                together: mode == Mode::Parallel,
                members,
            });
        }
        steps
    }

    pub(crate) fn is_paused(&self, member: &Member) -> bool {
        member.paused_until.lock().is_some_and(|until| now() < until)
    }

    /// In seconds since the server started; 0 where it is used.
    pub(crate) fn paused_until(&self, member: &Member) -> i64 {
        let until = member.paused_until.lock().filter(|until| now() < *until);
        let since = until.map(|until| until.saturating_duration_since(self.limits.started).as_secs());
        since.map_or(0, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
    }

    /// The connection failed after this time.
    pub(crate) fn failed(&self, member: &Member, took: Duration) {
        if took < self.limits.longest || self.limits.inactive.is_zero() {
            return;
        }
        let until = now().checked_add(self.limits.inactive);
        let was = std::mem::replace(&mut *member.paused_until.lock(), until);
        if was.is_none_or(|until| until <= now()) {
            let (cluster, name, pause) = (&self.name, &member.name, self.limits.inactive);
            warning!(
                "db_cluster",
                "{cluster}: connection {name} failed and is left alone for {pause:?}\n"
            );
        }
    }

    /// Leaves a connection alone; false where it is the last one.
    pub(crate) fn pause_by_hand(&self, member: &Member, time: Duration) -> bool {
        let others = self.members.iter().filter(|other| other.name != member.name);
        if others.filter(|other| !self.is_paused(other)).count() == 0 {
            return false;
        }
        *member.paused_until.lock() = now().checked_add(time);
        true
    }

    pub(crate) fn resume(&self, member: &Member) {
        *member.paused_until.lock() = None;
    }
}

/// By name.
pub(crate) fn find(clusters: &[Arc<Cluster>], name: &str) -> Option<Arc<Cluster>> {
    clusters.iter().find(|cluster| cluster.name == name).cloned()
}

#[cfg(test)]
mod tests {
    use super::{super::config, *};

    fn cluster(text: &str) -> Cluster {
        let given: Vec<config::Given> = ["a", "b", "c"]
            .iter()
            .filter_map(|name| config::connection(&format!("{name}=>text:///{name}")).ok())
            .collect();
        let limits = Limits {
            inactive: Duration::from_secs(60),
            longest: Duration::ZERO,
            started: now(),
        };
        Cluster::new(config::cluster(text, &given).expect("it is a cluster"), limits)
    }

    fn order(cluster: &Cluster, writes: bool) -> Vec<(bool, String)> {
        let names = |step: &Step<'_>| {
            step.members
                .iter()
                .map(|member| member.name.as_str())
                .collect::<String>()
        };
        cluster
            .steps(writes)
            .iter()
            .map(|step| (step.together, names(step)))
            .collect()
    }

    #[test]
    fn priorities_and_modes_decide() {
        let cluster = cluster("k=>a=5s8p;b=9r8p;c=9r0s");
        assert_eq!(order(&cluster, true), [(true, "ab".to_owned())]);
        assert_eq!(
            order(&cluster, false),
            [(false, "bc".to_owned()), (false, "a".to_owned())]
        );
        assert_eq!(order(&cluster, false)[0].1, "cb", "in turn");
    }

    #[test]
    fn what_failed_is_left_alone_for_a_while() {
        let cluster = cluster("k=>a=9s9s;b=9s9s");
        let a = &cluster.members[0];
        cluster.failed(a, Duration::ZERO);
        assert_eq!(order(&cluster, false)[0].1, "b");
        assert!(cluster.paused_until(a) >= 59);
        assert!(
            !cluster.pause_by_hand(&cluster.members[1], Duration::from_secs(9)),
            "it is the last one"
        );
        cluster.resume(a);
        assert!(cluster.pause_by_hand(&cluster.members[1], Duration::from_secs(9)));
        assert_eq!(order(&cluster, false)[0].1, "a");
        cluster.resume(&cluster.members[1]);
        let patient = Cluster {
            limits: Limits {
                longest: Duration::from_secs(5),
                ..cluster.limits
            },
            ..cluster
        };
        patient.failed(&patient.members[0], Duration::from_secs(1));
        assert_eq!(order(&patient, false)[0].1, "ab", "it failed too fast to be away");
    }
}
