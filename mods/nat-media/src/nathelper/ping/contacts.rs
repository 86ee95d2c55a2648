//! The contacts of usrloc, one part after the other.

use std::{collections::VecDeque, rc::Rc, sync::Arc};

use kahea_mods_location::usrloc::{self, Contact, Domain, Filter, Mode, Now, Service};
use kahea_module::{Str, Worker, debug};
use parking_lot::Mutex;

use super::{build::Bound, rounds::Contacts};

/// usrloc, as the pings see it.
pub(super) struct Located {
    service: Arc<Service>,
    /// Only contacts of this server (`filter_server_id`).
    own_only: bool,
    /// What is left of this round, where contacts are in the database alone.
    left: Arc<Mutex<VecDeque<Bound>>>,
}

impl Located {
    pub fn new(service: Arc<Service>, own_only: bool) -> Located {
        Located {
            service,
            own_only,
            left: Arc::default(),
        }
    }

    /// From memory: a slice holds as many parts as there are ticks between it and the next.
    fn in_memory(&self, worker: &Worker, part: u64, parts: u64, now: u32) -> Vec<Bound> {
        let mut out = Vec::new();
        for domain in self.service.domains() {
            let slices = u64::try_from(domain.slices()).unwrap_or(1).max(1);
            for at in 0..slices {
                let first = at.saturating_mul(parts) / slices;
                let next = at.saturating_add(1).saturating_mul(parts) / slices;
                let width = next.saturating_sub(first).max(1);
                let Some(turn) = part.checked_sub(first).filter(|turn| *turn < width) else {
                    continue;
                };
                let wanted = |contact: &Contact| {
                    contact.is_valid(now)
                        && self.is_own(contact)
                        && u64::from(domain.hash(contact.ruid())) % width == turn
                };
                let slice = domain.slice(usize::try_from(at).unwrap_or(usize::MAX), wanted);
                out.extend(slice.iter().map(|contact| bound(worker, contact)));
            }
        }
        out
    }

    fn is_own(&self, contact: &Contact) -> bool {
        !self.own_only || contact.server_id() == self.service.settings().server_id
    }

    /// From the database: all are fetched as a round begins, and taken in equal numbers.
    fn fetched(&self, worker: &Rc<Worker>, part: u64, parts: u64, now: u32) -> Vec<Bound> {
        if part == 0 {
            for domain in self.service.domains() {
                self.fetch(worker, &domain, now);
            }
        }
        let mut left = self.left.lock();
        let ticks = usize::try_from(parts.saturating_sub(part)).unwrap_or(1).max(1);
        let count = left.len().div_ceil(ticks);
        left.drain(..count).collect()
    }

    fn fetch(&self, worker: &Rc<Worker>, domain: &Arc<Domain>, now: u32) {
        let fetched = match self.service.all(domain, Filter::default(), now) {
            Now::Ready(fetched) => return self.keep(worker, fetched.unwrap_or_default()),
            Now::Later(fetched) => fetched,
        };
        let (left, service, own_only) = (self.left.clone(), self.service.clone(), self.own_only);
        let (on, engine) = (worker.clone(), worker.engine.clone());
        engine.spawn(Box::pin(async move {
            let here = Located {
                service,
                own_only,
                left,
            };
            match fetched.await {
                Ok(contacts) => here.keep(&on, contacts),
                Err(fault) => debug!("nathelper", "No contacts to ping: {fault}."),
            }
        }));
    }

    fn keep(&self, worker: &Worker, contacts: Vec<Contact>) {
        let own = contacts.iter().filter(|contact| self.is_own(contact));
        let bounds: Vec<Bound> = own.map(|contact| bound(worker, contact)).collect();
        self.left.lock().extend(bounds);
    }
}

fn bound(worker: &Worker, contact: &Contact) -> Bound {
    let whole = contact.whole();
    let share = |piece: &[u8]| whole.share(piece);
    let socket = contact.socket().unwrap_or_default();
    let listeners = &worker.config.identity.listeners;
    Bound {
        uri: share(contact.address()),
        received: share(contact.received().unwrap_or_default()),
        path: share(contact.path().unwrap_or_default()),
        flags: contact.cflags(),
        ruid: share(contact.ruid()),
        listener: listeners
            .iter()
            .find(|listener| *listener.text == *socket)
            .map(|listener| listener.id),
        connection: contact.connection(),
    }
}

impl Contacts for Located {
    fn due(&self, worker: &Rc<Worker>, part: u64, parts: u64) -> Vec<Bound> {
        let now = usrloc::now(worker);
        match self.service.settings().mode {
            Mode::DatabaseOnly => self.fetched(worker, part, parts, now),
            _ => self.in_memory(worker, part, parts, now),
        }
    }

    fn nat_flag(&self) -> u32 {
        self.service.settings().nat_flag
    }

    fn answered(&self, worker: &Rc<Worker>, ruid: &Str) {
        let now = usrloc::now(worker);
        for domain in self.service.domains() {
            if domain.answered(ruid, now, 0) {
                return;
            }
        }
    }

    fn remove(&self, worker: &Rc<Worker>, ruid: &Str) {
        let now = usrloc::now(worker);
        for domain in self.service.domains() {
            if let Some(contact) = domain.by_ruid(ruid) {
                domain.end(&contact, now);
            }
        }
    }
}
