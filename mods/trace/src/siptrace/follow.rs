//! Transactions and calls whose messages are traced: known by their Call-ID and CSeq number, or by their Call-ID alone.
//! What passes on the wire is held against them, so that nothing that tm sends or takes is missed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_module::Str;
use kahea_sip::{Message, Method};
use parking_lot::Mutex;

use super::Order;
use crate::shot::Direction;

/// Transactions and calls that are followed at a time.
const MOST: usize = 100_000;
/// How long a transaction may go without a final reply.
const UNANSWERED: Duration = Duration::from_secs(3600);
/// How long repetitions may come after it.
const ANSWERED: Duration = Duration::from_secs(32);
/// How long a call may last.
const CALL: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    call_id: Str,
    /// `None` for a call.
    cseq: Option<u32>,
}

struct Entry {
    order: Arc<Order>,
    method: Method,
    /// The answer was no 2xx, so that an ACK belongs to the transaction.
    negative: bool,
    until: Instant,
}

/// All of them.
#[derive(Default)]
pub struct Followed {
    entries: Mutex<HashMap<Key, Entry>>,
    count: AtomicUsize,
}

impl Followed {
    /// There are none: the wire need not be looked at.
    pub fn is_empty(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    /// Follows the transaction of a request, or its call; false where it has no name or too many are followed.
    pub fn begin(&self, request: &Message, order: Arc<Order>, call: bool, now: Instant) -> bool {
        let (Some(call_id), Some((cseq, _))) = (request.call_id(), request.cseq()) else {
            return false;
        };
        let key = Key {
            call_id: Str::copy(call_id),
            cseq: (!call).then_some(cseq),
        };
        let entry = Entry {
            order,
            method: request.method(),
            negative: false,
            until: now
                .checked_add(if call { CALL } else { UNANSWERED })
                .unwrap_or(now),
        };
        let mut entries = self.entries.lock();
        let fits = entries.len() < MOST || entries.contains_key(&key);
        if fits {
            entries.insert(key, entry);
            self.count.store(entries.len(), Relaxed);
        }
        fits
    }

    /// What to do with a message that passes, where it belongs to what is followed.
    pub fn order_of(&self, message: &Message, direction: Direction, now: Instant) -> Option<Arc<Order>> {
        let (call_id, (cseq, method)) = (message.call_id()?, message.cseq()?);
        let method = Method::parse(message.bytes(method));
        let mut entries = self.entries.lock();
        let mut key = Key {
            call_id: Str::copy(call_id),
            cseq: Some(cseq),
        };
        let found = match entries.get_mut(&key) {
            Some(entry) => entry,
            None => {
                key.cseq = None;
                let entry = entries.get_mut(&key)?;
                if method == Method::Bye && message.status().is_some_and(|status| status >= 200) {
                    entry.until = later(now, ANSWERED);
                }
                return Some(entry.order.clone());
            }
        };
        let wanted = found.takes(message, method, direction);
        if let Some(status) = message.status()
            && status >= 200
            && method == found.method
            && direction == Direction::Out
        {
            found.negative = status >= 300;
            found.until = later(now, ANSWERED);
        }
        wanted.then(|| found.order.clone())
    }

    /// Forgets what has ended.
    pub fn purge(&self, now: Instant) {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.until > now);
        self.count.store(entries.len(), Relaxed);
    }
}

fn later(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or(now)
}

impl Entry {
    /// The message belongs to the transaction: replies both ways, requests that leave, the ACK to a negative answer, a CANCEL.
    /// Requests that are repeated to this server are not told again.
    fn takes(&self, message: &Message, method: Method, direction: Direction) -> bool {
        match (message.is_request(), direction) {
            (false, _) => method == self.method || method == Method::Cancel,
            (true, Direction::Out) => method != Method::Ack || self.negative,
            (true, Direction::In) => match method {
                Method::Ack => self.negative,
                Method::Cancel => self.method == Method::Invite,
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_sip::Limits;

    use super::*;

    fn message(first: &str, cseq: &str) -> Message {
        let text = format!(
            "{first}\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
             Call-ID: one\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Str::from(text), &Limits::default()).unwrap()
    }

    fn order() -> Arc<Order> {
        Arc::new(Order::default())
    }

    #[test]
    fn a_transaction_is_followed_to_its_ack() {
        let (followed, now) = (Followed::default(), Instant::now());
        let invite = message("INVITE sip:b SIP/2.0", "1 INVITE");
        assert!(followed.is_empty());
        assert!(followed.begin(&invite, order(), false, now) && !followed.is_empty());
        let takes = |first: &str, cseq: &str, direction| {
            followed.order_of(&message(first, cseq), direction, now).is_some()
        };
        assert!(
            !takes("INVITE sip:b SIP/2.0", "1 INVITE", Direction::In),
            "a repetition"
        );
        assert!(takes("INVITE sip:b SIP/2.0", "1 INVITE", Direction::Out));
        assert!(
            !takes("ACK sip:b SIP/2.0", "1 ACK", Direction::In),
            "there is no answer yet"
        );
        assert!(takes("SIP/2.0 180 Ringing", "1 INVITE", Direction::In));
        assert!(takes("CANCEL sip:b SIP/2.0", "1 CANCEL", Direction::In));
        assert!(takes("SIP/2.0 487 Gone", "1 INVITE", Direction::Out));
        assert!(takes("ACK sip:b SIP/2.0", "1 ACK", Direction::In));
        assert!(
            !takes("BYE sip:b SIP/2.0", "2 BYE", Direction::Out),
            "another transaction"
        );
        followed.purge(now + ANSWERED + Duration::from_secs(1));
        assert!(followed.is_empty());
    }

    #[test]
    fn a_call_is_followed_to_its_bye() {
        let (followed, now) = (Followed::default(), Instant::now());
        followed.begin(&message("INVITE sip:b SIP/2.0", "1 INVITE"), order(), true, now);
        let takes = |first: &str, cseq: &str, direction| {
            followed.order_of(&message(first, cseq), direction, now).is_some()
        };
        assert!(takes("SIP/2.0 200 OK", "1 INVITE", Direction::In));
        assert!(takes("ACK sip:b SIP/2.0", "1 ACK", Direction::In));
        assert!(takes("BYE sip:b SIP/2.0", "2 BYE", Direction::In));
        followed.purge(now + Duration::from_secs(100));
        assert!(!followed.is_empty());
        assert!(takes("SIP/2.0 200 OK", "2 BYE", Direction::Out));
        followed.purge(now + Duration::from_secs(100));
        assert!(followed.is_empty());
    }

    #[test]
    fn calls_without_a_name_and_too_many_are_refused() {
        let (followed, now) = (Followed::default(), Instant::now());
        let nameless = Message::parse(
            Str::from("OPTIONS sip:a SIP/2.0\r\nCSeq: 1 OPTIONS\r\n\r\n"),
            &Limits::default(),
        );
        if let Ok(nameless) = nameless {
            assert!(!followed.begin(&nameless, order(), false, now));
        }
        for n in 0..=MOST {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nCall-ID: {n}\r\nCSeq: 1 OPTIONS\r\n\r\n");
            let request = Message::parse(Str::from(text), &Limits::default()).unwrap();
            assert_eq!(followed.begin(&request, order(), false, now), n < MOST);
        }
    }
}
