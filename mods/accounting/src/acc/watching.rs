//! Which transactions are accounted, and when.

use std::sync::{Arc, OnceLock};

use kahea_mods_routing::rr;
use kahea_mods_transaction::tm::watch::{Events, Reply, Transaction, Watcher};
use kahea_module::{Cx, Str, debug};
use kahea_sip::{HeaderId, Method};
use parking_lot::Mutex;

use super::{
    Backend, Legs,
    record::{Event, Record, Result},
};

/// What the parameters say about when to account.
#[derive(Default)]
pub struct Rules {
    /// Provisional replies with a body count as answers.
    pub early_media: bool,
    /// ACKs to 2xx replies.
    pub acks: bool,
    /// CANCELs.
    pub cancels: bool,
    /// The flag under which transactions with a negative reply count as answered, as a mask.
    pub failed: u32,
    /// Statuses that do not, all the same.
    pub filter: Vec<u16>,
    /// The flag under which a transaction is followed although no other is set, as a mask.
    pub prepare: u32,
    /// Every transaction is followed.
    pub prepare_always: bool,
    /// The reason comes from the Reason header of the reply, where it has one.
    pub reason_header: bool,
    /// Knows which way a request goes, where From and To are exchanged.
    pub direction: Option<Arc<rr::Service>>,
}

/// Follows transactions, and has backends write their records. Other modules add backends of their own.
pub struct Accounting {
    rules: Rules,
    legs: Legs,
    starting: Mutex<Vec<Arc<dyn Backend>>>,
    /// Complete as soon as the first request comes.
    all: OnceLock<Backends>,
}

struct Backends {
    list: Box<[Arc<dyn Backend>]>,
    answered: u32,
    missed: u32,
}

/// What is kept with a transaction that is followed.
#[derive(Clone, Copy, Default)]
struct Followed {
    yes: bool,
    /// From the callee to the caller.
    upstream: bool,
    /// The status of the branch that was accounted as missed last, and the flags that this used up.
    spent: (u16, u32),
}

impl Accounting {
    /// By these rules.
    pub fn new(rules: Rules, legs: Legs) -> Accounting {
        Accounting {
            rules,
            legs,
            starting: Mutex::default(),
            all: OnceLock::new(),
        }
    }

    /// Adds a backend, while modules start; false later, when it is of no effect.
    pub fn add(&self, backend: Arc<dyn Backend>) -> bool {
        if self.all.get().is_some() {
            return false;
        }
        self.starting.lock().push(backend);
        true
    }

    /// The legs of calls.
    pub fn legs(&self) -> &Legs {
        &self.legs
    }

    fn backends(&self) -> &Backends {
        self.all.get_or_init(|| {
            let list: Box<[_]> = std::mem::take(&mut *self.starting.lock()).into();
            let or = |mask: fn(&Arc<dyn Backend>) -> u32| list.iter().map(mask).fold(0, |all, one| all | one);
            Backends {
                answered: or(|backend| backend.flag()),
                missed: or(|backend| backend.missed_flag()),
                list,
            }
        })
    }

    /// Writes a record wherever one of these flags asks for it.
    fn account(&self, cx: &mut Cx, event: Event, result: &Result, flags: u32, upstream: bool) {
        let record = match Record::of(cx, result, upstream) {
            Ok(record) => record,
            Err(fault) => return debug!("acc", "A transaction is not accounted: {fault}."),
        };
        for backend in &self.backends().list {
            let mask = match event {
                Event::Missed => backend.missed_flag(),
                Event::Answered | Event::Acknowledged | Event::Requested => backend.flag(),
            };
            if flags & mask != 0 {
                backend.account(cx, event, &record, &self.legs);
            }
        }
    }

    /// Accounts a missed call; its flags are used up. Where a failure route answers the call with another status than
    /// its branch had, both are missed.
    fn missed(&self, tx: &mut Transaction<'_>, reply: &Reply<'_>, followed: Followed) {
        let (status, spent) = followed.spent;
        let again = if reply.made.is_some() && reply.status != status {
            spent
        } else {
            0
        };
        let flags = tx.flags() | again;
        let missed = self.backends().missed;
        if flags & missed == 0 {
            return;
        }
        let result = self.result(reply);
        with_branch(tx, reply, |cx| {
            self.account(cx, Event::Missed, &result, flags, followed.upstream);
            cx.flags &= !missed;
        });
    }

    fn result(&self, reply: &Reply<'_>) -> Result {
        let Some((message, _)) = reply.received else {
            return Result::own(reply.status, Some(reply.to_tag()).filter(|tag| !tag.is_empty()));
        };
        let header = self
            .rules
            .reason_header
            .then(|| message.named(b"Reason").next())
            .flatten()
            .map(|header| message.value(header).trim_ascii());
        Result {
            status: Some(reply.status),
            reason: message.buffer().share(header.unwrap_or(reply.reason)),
            to_tag: Some(reply.to_tag()),
        }
    }

    /// A reply of this kind makes the transaction count as answered.
    fn counts(&self, reply: &Reply<'_>, method: Method, flags: u32) -> bool {
        match reply.status {
            ..200 => {
                self.rules.early_media
                    && method == Method::Invite
                    && reply
                        .received
                        .is_some_and(|(message, _)| !message.body().is_empty())
            }
            200..300 => !reply.repeated,
            status => flags & self.rules.failed != 0 && !self.rules.filter.contains(&status),
        }
    }
}

/// Looks at the request with the Request-URI of the branch that the reply is from.
fn with_branch(tx: &mut Transaction<'_>, reply: &Reply<'_>, look: impl FnOnce(&mut Cx)) {
    let uri = reply.branch.and_then(|branch| tx.branch_uri(branch));
    tx.request(|cx| {
        let Some(uri) = uri else { return look(cx) };
        let before = cx.target.ruri.replace(uri);
        look(cx);
        cx.target.ruri = before;
    });
}

impl Watcher for Accounting {
    fn wants(&self) -> Events {
        let events = Events::BEGUN.and(Events::REPLIED).and(Events::FAILED);
        if self.rules.acks {
            events.and(Events::ACKNOWLEDGED)
        } else {
            events
        }
    }

    fn begun(&self, tx: &mut Transaction<'_>) {
        let backends = self.backends();
        if backends.list.is_empty() || (tx.method() == Method::Cancel && !self.rules.cancels) {
            return;
        }
        let asked = backends.answered | backends.missed | self.rules.prepare;
        if tx.flags() & asked == 0 && !self.rules.prepare_always {
            return;
        }
        let upstream = self.rules.direction.as_ref().is_some_and(|rr| {
            tx.request(|cx| is_in_dialog(cx) && rr.direction(cx) == rr::Direction::Upstream)
                .unwrap_or(false)
        });
        tx.keep(|followed: &mut Followed| {
            *followed = Followed {
                yes: true,
                upstream,
                spent: (0, 0),
            };
        });
    }

    fn replied(&self, tx: &mut Transaction<'_>, reply: &Reply<'_>) {
        if reply.status < 200 && !self.rules.early_media {
            return;
        }
        let Some(followed) = tx.kept::<Followed>().filter(|followed| followed.yes) else {
            return;
        };
        if reply.status >= 300 && tx.method() == Method::Invite {
            self.missed(tx, reply, followed);
        }
        let flags = tx.flags();
        if flags & self.backends().answered == 0 || !self.counts(reply, tx.method(), flags) {
            return;
        }
        let result = self.result(reply);
        with_branch(tx, reply, |cx| {
            self.account(cx, Event::Answered, &result, flags, followed.upstream);
        });
    }

    fn failed(&self, tx: &mut Transaction<'_>, reply: &Reply<'_>) {
        if tx.method() != Method::Invite {
            return;
        }
        if let Some(followed) = tx.kept::<Followed>().filter(|followed| followed.yes) {
            let spent = (reply.status, tx.flags() & self.backends().missed);
            tx.keep(|followed: &mut Followed| followed.spent = spent);
            self.missed(tx, reply, followed);
        }
    }

    fn acknowledged(&self, tx: &mut Transaction<'_>, ack: &mut Cx) {
        let Some(followed) = tx.kept::<Followed>().filter(|followed| followed.yes) else {
            return;
        };
        let result = Result::own(tx.status(), None);
        self.account(ack, Event::Acknowledged, &result, tx.flags(), followed.upstream);
    }
}

fn is_in_dialog(cx: &Cx) -> bool {
    cx.msg.has(HeaderId::To)
        && cx
            .to()
            .is_ok_and(|to| to.tag().is_some_and(|tag| !tag.is_empty()))
}

/// The mask of a flag's number; 0 where it is not set.
///
/// # Errors
/// It is no flag of messages.
pub fn mask(param: &str, flag: i64) -> std::result::Result<u32, kahea_module::InitError> {
    match u32::try_from(flag) {
        Err(_) => Ok(0),
        Ok(number) => 1u32.checked_shl(number).ok_or_else(|| {
            kahea_module::InitError::new(format!("{param} is {flag}"))
                .help("give the number of a message flag, 0 to 31, or -1 for none")
        }),
    }
}

/// The statuses of `failed_filter`: `404,407`.
///
/// # Errors
/// One is none, or no negative one.
pub fn filter(text: &Str) -> std::result::Result<Vec<u16>, kahea_module::InitError> {
    let text = text.text();
    let codes = text.split(',').map(str::trim).filter(|code| !code.is_empty());
    let read = |code: &str| {
        code.parse::<u16>()
            .ok()
            .filter(|code| (300..=999).contains(code))
            .ok_or_else(|| {
                kahea_module::InitError::new(format!("failed_filter: '{code}' is no status of a failure"))
                    .help("give statuses from 300 to 999, separated by commas")
            })
    };
    codes.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_filters_are_checked() {
        assert_eq!(mask("log_flag", -1).unwrap(), 0);
        assert_eq!(mask("log_flag", 31).unwrap(), 1 << 31);
        assert!(mask("log_flag", 32).is_err());
        assert_eq!(filter(&"404, 407".into()).unwrap(), [404, 407]);
        assert!(filter(&"404,abc".into()).is_err());
        assert!(filter(&"200".into()).is_err());
    }

    fn reply(status: u16, repeated: bool) -> Reply<'static> {
        Reply {
            status,
            reason: b"",
            received: None,
            made: None,
            branch: None,
            repeated,
        }
    }

    #[test]
    fn negative_replies_count_where_asked_for_and_not_filtered() {
        let rules = Rules {
            failed: 8,
            filter: vec![404],
            ..Rules::default()
        };
        let accounting = Accounting::new(rules, Legs::default());
        assert!(accounting.counts(&reply(200, false), Method::Bye, 0));
        assert!(!accounting.counts(&reply(200, true), Method::Invite, 0));
        assert!(!accounting.counts(&reply(486, false), Method::Invite, 0));
        assert!(accounting.counts(&reply(486, false), Method::Invite, 8));
        assert!(!accounting.counts(&reply(404, false), Method::Invite, 8));
        assert!(!accounting.counts(&reply(183, false), Method::Invite, 8));
    }
}
