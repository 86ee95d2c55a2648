//! Relays, and sets of them to choose from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

use kahea_module::Str;
use parking_lot::{Mutex, RwLock};

use super::{
    health::{Event, Health, Use},
    wire::Address,
};

/// A relay.
#[derive(Debug)]
pub struct Node {
    /// As the configuration or the database names it.
    pub url: Str,
    /// Where it is.
    pub address: Address,
    /// The number of its set.
    pub set: i64,
    /// Its place among all, from 0.
    pub index: usize,
    weight: AtomicU32,
    health: Mutex<Health>,
    /// Is in the configuration or the database still.
    shown: AtomicBool,
}

impl Node {
    /// Its share of the calls; 0 takes none.
    pub fn weight(&self) -> u32 {
        self.weight.load(Relaxed)
    }

    /// Its state.
    pub fn health(&self) -> Health {
        *self.health.lock()
    }

    /// Tells it what happened; gives the state before and after.
    pub fn tell(&self, event: Event) -> (Health, Health) {
        let mut health = self.health.lock();
        let before = *health;
        *health = before.after(event);
        (before, *health)
    }

    /// Is in the configuration or the database still; others only finish their calls.
    pub fn is_shown(&self) -> bool {
        self.shown.load(Relaxed)
    }

    /// What can be done with it now.
    pub fn usage(&self, now: Instant) -> Use {
        match self.is_shown() {
            true => self.health().usage(now),
            false => Use::Skip,
        }
    }
}

/// A relay as the configuration or a row of the database states it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The number of the set.
    pub set: i64,
    /// Its URL.
    pub url: Str,
    /// Where it is.
    pub address: Address,
    /// Its share of the calls.
    pub weight: u32,
    /// Switched off.
    pub disabled: bool,
}

/// All relays of a module. Survives reloads with what is known of their health.
#[derive(Debug, Default)]
pub struct Nodes {
    list: RwLock<Vec<Arc<Node>>>,
}

impl Nodes {
    /// Takes over what the configuration or the database says now: relays that are known keep their health, others come
    /// in, and those that are not named any more are hidden.
    pub fn update(&self, rows: &[Row], now: Instant) {
        let mut list = self.list.write();
        let is = |node: &Node, row: &Row| node.set == row.set && node.url == row.url;
        for node in list.iter() {
            if !rows.iter().any(|row| is(node, row)) {
                node.shown.store(false, Relaxed);
            }
        }
        for row in rows {
            let known = list.iter().find(|node| is(node, row));
            match known {
                Some(node) => {
                    node.weight.store(row.weight, Relaxed);
                    node.shown.store(true, Relaxed);
                    let event = match row.disabled {
                        true => Event::SwitchedOff,
                        false => Event::SwitchedOn { now },
                    };
                    node.tell(event);
                }
                None => {
                    let index = list.len();
                    list.push(Arc::new(Node::new(row, index)));
                }
            }
        }
    }

    /// All that are shown, in the order of their sets and rows.
    pub fn shown(&self) -> Vec<Arc<Node>> {
        let list = self.list.read();
        list.iter().filter(|node| node.is_shown()).cloned().collect()
    }

    /// Those of a set, hidden ones too.
    pub fn of_set(&self, set: i64) -> Vec<Arc<Node>> {
        let list = self.list.read();
        list.iter().filter(|node| node.set == set).cloned().collect()
    }

    /// There is such a set.
    pub fn has_set(&self, set: i64) -> bool {
        self.list
            .read()
            .iter()
            .any(|node| node.set == set && node.is_shown())
    }

    /// By its place.
    pub fn at(&self, index: usize) -> Option<Arc<Node>> {
        self.list.read().get(index).cloned()
    }
}

impl Node {
    fn new(row: &Row, index: usize) -> Node {
        let health = match row.disabled {
            true => Health::Off,
            false => Health::Untested,
        };
        Node {
            url: row.url.clone(),
            address: row.address.clone(),
            set: row.set,
            index,
            weight: AtomicU32::new(row.weight),
            health: Mutex::new(health),
            shown: AtomicBool::new(true),
        }
    }
}

/// The node that a hash falls on, each having a share as large as its weight; `None` where all shares are 0.
pub fn pick(nodes: &[Arc<Node>], hash: u32) -> Option<&Arc<Node>> {
    let total = nodes
        .iter()
        .fold(0_u32, |total, node| total.saturating_add(node.weight()));
    let mut rest = hash.checked_rem(total)?;
    nodes.iter().find(|node| match rest.checked_sub(node.weight()) {
        Some(left) => {
            rest = left;
            false
        }
        None => true,
    })
}

/// The `set == url url=weight …` lines of a socket parameter.
///
/// # Errors
/// Says what cannot be read.
pub fn parse_sockets(
    line: &str,
    default_set: i64,
    address: impl Fn(&str) -> Result<Address, String>,
) -> Result<Vec<Row>, String> {
    let (set, list) = match line.split_once("==") {
        Some((set, list)) => {
            let number = set.trim().parse::<i64>().ok().filter(|set| *set >= 0);
            (
                number.ok_or_else(|| format!("'{}' is no number of a set", set.trim()))?,
                list,
            )
        }
        None => (default_set, line),
    };
    let mut rows = Vec::new();
    for word in list.split_whitespace() {
        let (word, disabled) = match word.strip_suffix(";disabled") {
            Some(word) => (word, true),
            None => (word, false),
        };
        let (url, weight) = match word.rsplit_once('=') {
            Some((url, weight)) => {
                let weight = weight.parse::<u32>();
                (
                    url,
                    weight.map_err(|_| format!("the weight of '{word}' is no number"))?,
                )
            }
            None => (word, 1),
        };
        rows.push(Row {
            set,
            url: Str::from(url),
            address: address(url)?,
            weight,
            disabled,
        });
    }
    Ok(rows)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for the test's clock")]
mod tests {
    use super::*;

    fn rows(line: &str) -> Vec<Row> {
        parse_sockets(line, 0, Address::parse_ng).unwrap()
    }

    #[test]
    fn lines_have_sets_and_weights() {
        let all = rows("2 == udp:127.0.0.1:1=3  udp:127.0.0.1:2;disabled ws://h:80/ng");
        let seen: Vec<_> = all
            .iter()
            .map(|row| (row.set, row.weight, row.disabled))
            .collect();
        assert_eq!(seen, [(2, 3, false), (2, 1, true), (2, 1, false)]);
        assert_eq!(rows("udp:127.0.0.1:1")[0].set, 0);
        for bad in ["x == udp:h:1", "-1 == udp:h:1", "udp:h:1=x", "sctp:h:1", "udp:h"] {
            assert!(parse_sockets(bad, 0, Address::parse_ng).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let nodes = Nodes::default();
        nodes.update(&rows("udp:h:1=2 udp:h:2 udp:h:3=0"), Instant::now());
        let all = nodes.shown();
        let picked: Vec<usize> = (0..6).map(|hash| pick(&all, hash).unwrap().index).collect();
        assert_eq!(picked, [0, 0, 1, 0, 0, 1]);
        assert!(pick(&all[2..], 5).is_none());
        assert!(pick(&[], 5).is_none());
    }

    #[test]
    fn an_update_keeps_health_and_hides_what_is_gone() {
        let now = Instant::now();
        let nodes = Nodes::default();
        nodes.update(&rows("udp:h:1 udp:h:2"), now);
        nodes.at(0).unwrap().tell(Event::Answered);
        nodes.update(&rows("udp:h:1=5 udp:h:3"), now);
        let shown: Vec<String> = nodes.shown().iter().map(|node| node.url.to_string()).collect();
        assert_eq!(shown, ["udp:h:1", "udp:h:3"]);
        assert_eq!(
            (nodes.at(0).unwrap().weight(), nodes.at(0).unwrap().health()),
            (5, Health::Up)
        );
        assert_eq!(nodes.at(1).unwrap().usage(now), Use::Skip);
        assert_eq!(nodes.of_set(0).len(), 3);
        nodes.update(&rows("udp:h:2;disabled"), now);
        assert_eq!(nodes.at(1).unwrap().health(), Health::Off);
    }
}
