//! The messages that wait for a script worker.
//!
//! Those of one Call-ID are handled in the order in which they came: while a worker is busy with one, all that comes
//! with the same goes to it. Any idle worker takes what is not bound so.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use kahea_module::{Str, stats::Counter};
use kahea_net::NetEvent;
use kahea_sip::Received;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::glance::Glance;

/// What a worker that reads sockets hands on.
pub enum Item {
    /// A framed message.
    Message(Str, Received),
    /// Something else that happened on the network.
    Event(NetEvent),
}

/// An item in the hands of a worker, until [`Queue::done`].
pub struct Taken {
    /// It.
    pub item: Item,
    call: Option<u64>,
}

/// The queue of all script workers.
pub struct Queue {
    state: Mutex<State>,
    wake: Vec<Notify>,
    hasher: RandomState,
    full: Counter,
    limit: usize,
}

struct State {
    shared: VecDeque<Taken>,
    /// Of each worker.
    bound: Vec<VecDeque<Taken>>,
    idle: Vec<bool>,
    /// Of the Call-IDs that are in work, by their hashes.
    busy: HashMap<u64, Busy>,
    waiting: usize,
    closed: bool,
}

/// A Call-ID in work.
#[derive(Clone, Copy)]
struct Busy {
    /// The worker that is busy with it.
    owner: usize,
    /// Its items in that worker's hands or queue.
    count: usize,
}

/// Items that wait for each worker at most, on average: about what it handles in a second.
const PER_WORKER: usize = 2048;

impl Queue {
    /// For that many workers; `full` counts what found no place.
    pub fn new(workers: usize, full: Counter) -> Queue {
        Queue::bounded(workers, full, workers.saturating_mul(PER_WORKER))
    }

    fn bounded(workers: usize, full: Counter, limit: usize) -> Queue {
        let state = State {
            shared: VecDeque::new(),
            bound: (0..workers).map(|_| VecDeque::new()).collect(),
            idle: vec![false; workers],
            busy: HashMap::new(),
            waiting: 0,
            closed: false,
        };
        Queue {
            state: Mutex::new(state),
            wake: (0..workers).map(|_| Notify::new()).collect(),
            hasher: RandomState::default(),
            full,
            limit,
        }
    }

    /// Puts a message in. A full queue drops it; the last quarter is for replies and requests inside of dialogs.
    pub fn message(&self, data: Str, received: Received) {
        let glance = Glance::of(&data);
        let call = glance.call_hash(&self.hasher);
        let limit = if glance.begins {
            self.limit / 4 * 3
        } else {
            self.limit
        };
        let item = Item::Message(data, received);
        self.put(Taken { item, call }, limit);
    }

    /// Puts an event in.
    pub fn event(&self, event: NetEvent) {
        let item = Item::Event(event);
        self.put(Taken { item, call: None }, self.limit);
    }

    fn put(&self, taken: Taken, limit: usize) {
        let woken = {
            let mut state = self.state.lock();
            if state.closed || state.waiting >= limit {
                self.full.inc();
                return;
            }
            state.waiting = state.waiting.saturating_add(1);
            state.put(taken)
        };
        if let Some(notify) = woken.and_then(|worker| self.wake.get(worker)) {
            notify.notify_one();
        }
    }

    /// The next item for a worker; without one it counts as idle.
    pub fn take(&self, worker: usize) -> Option<Taken> {
        let mut state = self.state.lock();
        let taken = state.take(worker);
        if let Some(idle) = state.idle.get_mut(worker) {
            *idle = taken.is_none();
        }
        if taken.is_some() {
            state.waiting = state.waiting.saturating_sub(1);
        }
        taken
    }

    /// An item has been dealt with.
    pub fn done(&self, call: Option<u64>) {
        let Some(call) = call else { return };
        let mut state = self.state.lock();
        let Some(busy) = state.busy.get_mut(&call) else {
            return;
        };
        busy.count = busy.count.saturating_sub(1);
        if busy.count == 0 {
            state.busy.remove(&call);
        }
    }

    /// Waits until there may be something for an idle worker.
    pub async fn wait(&self, worker: usize) {
        match self.wake.get(worker) {
            Some(notify) => notify.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Takes nothing in any more.
    pub fn close(&self) {
        self.state.lock().closed = true;
    }

    /// How many items wait.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.state.lock().waiting
    }
}

impl Taken {
    /// The item, and what [`Queue::done`] is to be told.
    pub fn into_parts(self) -> (Item, Option<u64>) {
        (self.item, self.call)
    }
}

impl State {
    /// Puts it where it belongs; a worker to be woken.
    fn put(&mut self, taken: Taken) -> Option<usize> {
        if let Some(taken) = self.hand_on(taken, None) {
            self.shared.push_back(taken);
            let idle = self.idle.iter().position(|idle| *idle)?;
            if let Some(idle) = self.idle.get_mut(idle) {
                *idle = false;
            }
            return Some(idle);
        }
        None
    }

    /// Puts an item behind others of its Call-ID, where another worker than `but` is busy with those.
    fn hand_on(&mut self, taken: Taken, but: Option<usize>) -> Option<Taken> {
        let Some(busy) = taken.call.and_then(|call| self.busy.get_mut(&call)) else {
            return Some(taken);
        };
        if Some(busy.owner) == but {
            return Some(taken);
        }
        busy.count = busy.count.saturating_add(1);
        match self.bound.get_mut(busy.owner) {
            Some(queue) => {
                queue.push_back(taken);
                None
            }
            None => Some(taken),
        }
    }

    fn take(&mut self, worker: usize) -> Option<Taken> {
        if let Some(taken) = self.bound.get_mut(worker)?.pop_front() {
            return Some(taken);
        }
        while let Some(taken) = self.shared.pop_front() {
            let Some(taken) = self.hand_on(taken, Some(worker)) else {
                continue;
            };
            if let Some(call) = taken.call {
                let free = Busy {
                    owner: worker,
                    count: 0,
                };
                let busy = self.busy.entry(call).or_insert(free);
                busy.count = busy.count.saturating_add(1);
            }
            return Some(taken);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use kahea_sip::{ListenerId, Transport};

    use super::*;

    fn from() -> Received {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Received {
            source: address,
            local: address,
            transport: Transport::Udp,
            listener: ListenerId(0),
            connection: None,
            at: std::time::SystemTime::UNIX_EPOCH,
        }
    }

    fn put(queue: &Queue, call: &str, number: u32) {
        let text = format!(
            "BYE sip:b SIP/2.0\r\nTo: <sip:b>;tag=1\r\nCall-ID: {call}\r\nCSeq: {number} BYE\r\n\r\n"
        );
        queue.message(Str::from(text), from());
    }

    fn took(queue: &Queue, worker: usize) -> Option<(String, Option<u64>)> {
        let (item, call) = queue.take(worker)?.into_parts();
        match item {
            Item::Message(data, _) => {
                let text = data.text().into_owned();
                let wanted = |line: &&str| line.starts_with("Call-ID") || line.starts_with("CSeq");
                let words = text
                    .lines()
                    .filter(wanted)
                    .map(|line| line.split(' ').nth(1).unwrap());
                Some((words.collect::<Vec<_>>().join("/"), call))
            }
            Item::Event(_) => None,
        }
    }

    #[test]
    fn a_call_stays_with_the_worker_that_is_busy_with_it() {
        let queue = Queue::new(2, Counter::default());
        put(&queue, "a", 1);
        put(&queue, "a", 2);
        put(&queue, "b", 1);
        let (first, slot) = took(&queue, 0).unwrap();
        assert_eq!(first, "a/1");
        assert_eq!(took(&queue, 1).unwrap().0, "b/1", "a/2 was passed over");
        put(&queue, "a", 3);
        assert!(took(&queue, 1).is_none());
        queue.done(slot);
        let (second, slot) = took(&queue, 0).unwrap();
        assert_eq!(second, "a/2");
        queue.done(slot);
        let (third, slot) = took(&queue, 0).unwrap();
        assert_eq!(third, "a/3");
        queue.done(slot);
        put(&queue, "a", 4);
        assert_eq!(
            took(&queue, 1).unwrap().0,
            "a/4",
            "nobody is busy with it any more"
        );
    }

    #[test]
    fn a_full_queue_counts_and_keeps_room_for_dialogs() {
        let full = Counter::default();
        let queue = Queue::bounded(1, full.clone(), 4);
        for number in 0..9 {
            let text = format!("INVITE sip:b SIP/2.0\r\nTo: <sip:b>\r\nCall-ID: {number}\r\n\r\n");
            queue.message(Str::from(text), from());
        }
        assert_eq!((queue.len(), full.get()), (3, 6));
        put(&queue, "dialog", 1);
        put(&queue, "dialog", 2);
        assert_eq!((queue.len(), full.get()), (4, 7));
        queue.take(0).unwrap();
        queue.close();
        put(&queue, "dialog", 3);
        assert_eq!((queue.len(), full.get()), (3, 8));
    }

    #[test]
    fn no_call_is_ever_reordered_by_busy_workers() {
        let queue = std::sync::Arc::new(Queue::bounded(3, Counter::default(), 1 << 20));
        for number in 0..3000 {
            put(&queue, &format!("call{}", number % 7), number);
        }
        let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (queue, seen) = (queue.clone(), seen.clone());
                scope.spawn(move || {
                    while queue.len() > 0 {
                        if let Some((text, slot)) = took(&queue, worker) {
                            seen.lock().push(text);
                            queue.done(slot);
                        }
                    }
                });
            }
        });
        let seen = seen.lock();
        assert_eq!(seen.len(), 3000);
        for call in 0..7 {
            let prefix = format!("call{call}/");
            let order = seen.iter().filter_map(|text| text.strip_prefix(&prefix));
            let order: Vec<u32> = order.map(|number| number.parse().unwrap()).collect();
            assert!(order.is_sorted(), "call {call}");
        }
    }
}
