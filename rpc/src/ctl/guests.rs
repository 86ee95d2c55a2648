//! The open connections of clients: how many there are, who they are, and who has to go for a new one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{task::AbortHandle, time::Instant};

use crate::door::Address;

/// The most connections at a time.
const MOST: usize = 128;

/// A connection.
pub struct Guest {
    /// `binrpc` or `fifo`.
    pub protocol: &'static str,
    /// Where it came in.
    pub door: Address,
    /// Address and port of the client; unix sockets have none.
    pub peer: (String, String),
    heard: Instant,
    task: Option<AbortHandle>,
}

impl Guest {
    /// One that comes in now.
    pub fn new(protocol: &'static str, door: Address, peer: (String, String)) -> Guest {
        Guest {
            protocol,
            door,
            peer,
            heard: Instant::now(),
            task: None,
        }
    }
}

/// All of them, in the order in which they came.
#[derive(Default)]
pub struct Guests {
    all: Mutex<BTreeMap<u64, Guest>>,
    next: AtomicU64,
}

impl Guests {
    /// Takes one in. Where there are too many, the one that was silent for longest is cut off.
    pub fn enter(self: &Arc<Guests>, guest: Guest) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut all = self.all.lock();
        while all.len() >= MOST {
            let Some((silent, _)) = all.iter().min_by_key(|(_, guest)| guest.heard) else {
                break;
            };
            let silent = *silent;
            if let Some(task) = all.remove(&silent).and_then(|guest| guest.task) {
                task.abort();
            }
        }
        all.insert(number, guest);
        Seat {
            guests: self.clone(),
            number,
        }
    }

    /// Names the task that talks to it.
    pub fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(guest) = self.all.lock().get_mut(&number) {
            guest.task = Some(task);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.lock().len()
    }

    /// Shows each, in the order in which they came.
    pub fn each(&self, show: impl FnMut(&Guest)) {
        self.all.lock().values().for_each(show);
    }
}

/// The place of one connection; it is free again when this is dropped.
pub struct Seat {
    guests: Arc<Guests>,
    /// Its number.
    pub number: u64,
}

impl Seat {
    /// It has said something.
    pub fn heard(&self) {
        if let Some(guest) = self.guests.all.lock().get_mut(&self.number) {
            guest.heard = Instant::now();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.all.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn guest() -> Guest {
        let door = Address::UnixStream("/tmp/x".into());
        Guest::new("binrpc", door, (String::new(), String::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_one_makes_room() {
        let guests = Arc::new(Guests::default());
        let mut seats = Vec::new();
        for _ in 0..MOST {
            seats.push(guests.enter(guest()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let hanging = tokio::spawn(std::future::pending::<()>());
        guests.served_by(seats[1].number, hanging.abort_handle());
        seats[0].heard();
        let newest = guests.enter(guest());
        assert_eq!(guests.count(), MOST);
        assert!(hanging.await.unwrap_err().is_cancelled());
        drop((newest, seats));
        assert_eq!(guests.count(), 0);
    }
}
