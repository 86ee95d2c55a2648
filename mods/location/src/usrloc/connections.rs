//! Which addresses of record have contacts that came over a connection, for `handle_lost_tcp`.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use kahea_sip::ConnectionId;
use parking_lot::Mutex;
use smallvec::SmallVec;

type Aors = SmallVec<[u32; 2]>;

/// By connection: the hashes of addresses. Only contacts over connections are in it, and only where someone asks for
/// lost ones, which is what empties it.
#[derive(Default)]
pub(crate) struct Connections {
    kept: AtomicBool,
    aors: Mutex<HashMap<ConnectionId, Aors, foldhash::quality::RandomState>>,
}

impl Connections {
    /// Connections are noted from now on, or not any more.
    pub fn keep(&self, yes: bool) {
        self.kept.store(yes, Relaxed);
        if !yes {
            self.aors.lock().clear();
        }
    }

    /// A contact came over a connection.
    pub fn insert(&self, connection: Option<ConnectionId>, aor: u32) {
        let Some(connection) = connection.filter(|_| self.kept.load(Relaxed)) else {
            return;
        };
        let mut all = self.aors.lock();
        let aors = all.entry(connection).or_default();
        if !aors.contains(&aor) {
            aors.push(aor);
        }
    }

    /// The connections that `is_open` does not know any more, with their addresses; they are taken out.
    pub fn take_lost(&self, is_open: impl Fn(ConnectionId) -> bool) -> Vec<(ConnectionId, Aors)> {
        let known: Vec<ConnectionId> = self.aors.lock().keys().copied().collect();
        let lost: Vec<_> = known.into_iter().filter(|id| !is_open(*id)).collect();
        let mut all = self.aors.lock();
        let taken = lost.into_iter().map(|id| (id, all.remove(&id)));
        taken.filter_map(|(id, aors)| Some((id, aors?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_connections_are_given_once() {
        let connections = Connections::default();
        connections.insert(Some(ConnectionId(3)), 1);
        connections.keep(true);
        connections.insert(Some(ConnectionId(1)), 7);
        connections.insert(Some(ConnectionId(1)), 7);
        connections.insert(Some(ConnectionId(2)), 8);
        connections.insert(None, 9);
        let lost = connections.take_lost(|id| id != ConnectionId(1));
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].1.as_slice(), [7]);
        assert!(connections.take_lost(|id| id != ConnectionId(1)).is_empty());
    }
}
