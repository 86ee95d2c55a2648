//! `save()`: takes a REGISTER.

use std::{rc::Rc, sync::Arc};

use kahea_module::{
    Cx, Fault, Lit, Ret, RouteKind, Str, Worker,
    log::{self, Level},
};

use super::{
    Inner, Registrar,
    live::Live,
    refusal::Refusal,
    reply::{self, LastOutcome, Told},
    request::{self, Around, Asked, Options, Registration, Wanted},
    table::Table,
    xavps,
};
use crate::usrloc::{self, Contact, Domain, Draft, Edit, Edited, Matching, Mode, Now, Part, Turn};

/// The flags of `save()`.
const MEMORY_ONLY: i64 = 0x01;
const NO_REPLY: i64 = 0x02;
const ONE_CONTACT: i64 = 0x04;
const NO_RANGE: i64 = 0x08;
const REPLY_HEADERS: i64 = 0x10;

/// What `save()` returns.
const INSERTED: i64 = 1;
const UPDATED: i64 = 2;
const DELETED: i64 = 3;
const LISTED: i64 = 4;

/// The q that `set_q_override()` gave.
#[derive(Debug, Default)]
pub(crate) struct QOverride(pub Option<i64>);

/// What happens to the contacts, once they are locked.
struct Plan {
    asked: Asked,
    one: bool,
    most: u32,
    matching: Matching,
    cseq_delay: u32,
    now: u32,
}

/// All that the reply needs of a `save()` under way.
struct Pending {
    flags: i64,
    live: Live,
    options: Options,
    path: Option<Str>,
    now: u32,
    lists: bool,
}

pub(super) fn save(
    m: &Registrar,
    cx: &mut Cx,
    table: Lit<Table>,
    flags: Option<i64>,
    uri: Option<Str>,
) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    m.inner.clone().save(cx, &domain, flags.unwrap_or(0), uri)
}

impl Inner {
    fn save(self: Arc<Self>, cx: &mut Cx, domain: &Arc<Domain>, flags: i64, uri: Option<Str>) -> Ret {
        let settings = self.service.settings();
        if flags & MEMORY_ONLY != 0 && settings.mode == Mode::DatabaseOnly {
            return Fault::script(
                "save() with flag 1 keeps contacts in memory alone, where db_mode 3 has none",
            )
            .into();
        }
        let live = self.live.get(cx);
        let received = self.fixed.received.clone().and_then(|var| var.get(cx).str());
        let around = Around {
            fixed: &self.fixed,
            live: &live,
            received: received.unwrap_or_default(),
            uri,
            randomly: flags & NO_RANGE == 0,
            q: cx.extra_ref::<QOverride>().and_then(|q| q.0),
            use_domain: settings.use_domain,
            nat_flag: settings.nat_flag,
            server_id: settings.server_id,
            attributes: settings.attributes.as_ref(),
        };
        let read = request::read(cx, &around, || self.service.ruid());
        let now = usrloc::now(&cx.worker);
        let mut pending = Pending {
            flags,
            live,
            options: Options::default(),
            path: None,
            now,
            lists: true,
        };
        match read {
            Ok(registration) => self.apply(cx, domain, registration, pending),
            Err(refusal) => {
                pending.lists = false;
                let nothing = Edited {
                    result: Err(refusal),
                    contacts: usrloc::Contacts::new(),
                };
                self.finish(cx, pending, Ok(nothing))
            }
        }
    }

    fn apply(
        self: Arc<Self>,
        cx: &mut Cx,
        domain: &Arc<Domain>,
        registration: Registration,
        mut pending: Pending,
    ) -> Ret {
        let settings = self.service.settings();
        let Registration {
            aor,
            asked,
            options,
            path,
        } = registration;
        pending.options = options;
        pending.path = path;
        let class = self.fixed.xavp_cfg.as_ref();
        let most = xavps::number(cx, class, b"max_contacts");
        let plan = Plan {
            asked,
            one: pending.flags & ONE_CONTACT != 0,
            most: most.map_or(pending.live.max_contacts, |most| {
                u32::try_from(most.max(0)).unwrap_or(u32::MAX)
            }),
            matching: settings.matching,
            cseq_delay: settings.cseq_delay,
            now: pending.now,
        };
        let memory_only = pending.flags & MEMORY_ONLY != 0;
        let worker: Rc<Worker> = cx.worker.clone();
        let change = move |edit: &mut Edit<'_>| plan.run(edit);
        match self.service.edit(&worker, domain, &aor, memory_only, change) {
            Now::Ready(edited) => self.finish(cx, pending, edited),
            Now::Later(edited) => Ret::wait(move |cx| {
                Box::pin(async move {
                    let edited = edited.await;
                    self.finish(cx, pending, edited)
                })
            }),
        }
    }

    /// Counts it, and replies.
    fn finish(
        &self,
        cx: &mut Cx,
        pending: Pending,
        edited: Result<Edited<Result<i64, Refusal>>, Fault>,
    ) -> Ret {
        let edited = edited.unwrap_or_else(|fault| {
            log::write(
                Level::Error,
                "registrar",
                format_args!("a registration was not taken: {fault}"),
            );
            Edited {
                result: Err(Refusal::Database),
                contacts: usrloc::Contacts::new(),
            }
        });
        let told = Told {
            fixed: &self.fixed,
            live: &pending.live,
            options: pending.options,
            path: pending.path.as_ref(),
            now: pending.now,
        };
        let outcome = match edited.result {
            Ok(_) => {
                self.counters.accepted.inc();
                self.give_all_details(cx, &edited.contacts, pending.now);
                told.accepted(cx, &edited.contacts)
            }
            Err(refusal) => {
                self.counters.rejected.inc();
                told.refused(cx, refusal, &edited.contacts)
            }
        };
        let code = edited.result.unwrap_or_else(Refusal::code);
        self.reply(cx, pending.flags, outcome);
        code.into()
    }

    fn give_all_details(&self, cx: &mut Cx, contacts: &[Contact], now: u32) {
        if self.fixed.xavp_rcd.is_some() {
            xavps::forget(cx, self.fixed.xavp_rcd.as_ref());
            for contact in contacts.iter().filter(|contact| contact.is_valid(now)) {
                xavps::give_details(&self.fixed, cx, contact, now);
            }
        }
    }

    /// Replies at once, or keeps the reply for `reg_send_reply()`. A reply route has nobody to reply to.
    fn reply(&self, cx: &mut Cx, flags: i64, mut outcome: reply::Outcome) {
        if !cx.msg.is_request() || cx.route == RouteKind::Reply {
            return;
        }
        if flags & NO_REPLY == 0 {
            reply::send(&self.stateful, cx, &outcome);
            return;
        }
        if flags & REPLY_HEADERS != 0 {
            let lines = outcome
                .lines
                .iter()
                .cloned()
                .map(kahea_module::ReplyExtra::Header);
            cx.reply_extra.extend(lines);
            outcome.added = true;
        }
        cx.extra::<LastOutcome>().0 = Some(outcome);
    }
}

/// `reg_send_reply()`.
pub(super) fn reg_send_reply(m: &Registrar, cx: &mut Cx) -> Ret {
    let outcome = cx.extra::<LastOutcome>().0.take().unwrap_or_default();
    reply::send(&m.inner.stateful, cx, &outcome)
}

/// `KSR.registrar.set_q_override()`: from 0 to 1.
pub(super) fn set_q_override(_: &Registrar, cx: &mut Cx, q: Str) -> Result<bool, Fault> {
    let q: Option<f64> = q.as_utf8().and_then(|text| text.trim().parse().ok());
    match q.filter(|q| (0.0..=1.0).contains(q)) {
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1,000")]
        Some(q) => {
            cx.extra::<QOverride>().0 = Some((q * 1000.0).round() as i64);
            Ok(true)
        }
        None => Err(Fault::script("q is a number from 0 to 1")),
    }
}

impl Plan {
    /// Under the lock: all that is asked for, or nothing of it.
    fn run(self, edit: &mut Edit<'_>) -> Result<i64, Refusal> {
        match &self.asked {
            Asked::List => Ok(LISTED),
            Asked::RemoveAll => {
                edit.remove_if(|_| true);
                Ok(DELETED)
            }
            Asked::Change(Err(refusal)) => Err(*refusal),
            Asked::Change(Ok(wanted)) => {
                self.check(edit.contacts(), wanted)?;
                Ok(self.change(edit, wanted))
            }
        }
    }

    fn check(&self, contacts: &[Contact], wanted: &[Wanted]) -> Result<(), Refusal> {
        let valid = contacts
            .iter()
            .filter(|contact| contact.is_valid(self.now))
            .count();
        let mut count = valid;
        for Wanted { contact, seconds } in wanted {
            let known = self
                .matching
                .find(contacts, contact)
                .and_then(|at| contacts.get(at));
            match known {
                Some(known) if Turn::of(known, contact, self.cseq_delay) == Turn::Older => {
                    return Err(Refusal::CSeq);
                }
                Some(known) if *seconds == 0 && known.is_valid(self.now) => count = count.saturating_sub(1),
                Some(_) => {}
                None if *seconds > 0 => count = count.saturating_add(1),
                None => {}
            }
        }
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        match !self.one && most > 0 && count > most {
            true => Err(Refusal::TooMany),
            false => Ok(()),
        }
    }

    fn change(&self, edit: &mut Edit<'_>, wanted: &[Wanted]) -> i64 {
        let mut code = INSERTED;
        for Wanted { contact, seconds } in wanted {
            match self.matching.find(edit.contacts(), contact) {
                Some(at) => {
                    let Some(known) = edit.contacts().get(at).cloned() else {
                        continue;
                    };
                    if Turn::of(&known, contact, self.cseq_delay) != Turn::Newer {
                        continue;
                    }
                    match *seconds {
                        0 => {
                            edit.remove(at);
                            code = DELETED;
                        }
                        _ => {
                            self.refresh(edit, at, &known, contact);
                            code = UPDATED;
                        }
                    }
                }
                None if *seconds > 0 => {
                    if self.one {
                        edit.remove_if(|_| true);
                    }
                    edit.insert(contact.clone());
                    code = INSERTED;
                }
                None => continue,
            }
            if self.one {
                break;
            }
        }
        code
    }

    fn refresh(&self, edit: &mut Edit<'_>, at: usize, known: &Contact, contact: &Contact) {
        let same_instance = known.instance().is_some() && known.instance() == contact.instance();
        let mut draft: Draft<'_> = contact.draft().with(Part::Ruid, known.ruid());
        if self.matching == Matching::CallId && !same_instance {
            // A registration by another way, or from another address, does not move the contact.
            draft.set(Part::Address, known.address());
        }
        let Ok(fresh) = Contact::new(&draft) else { return };
        edit.replace(at, fresh);
        let others = |other: &Contact| other.ruid() != known.ruid();
        if self.one {
            edit.remove_if(others);
        } else if same_instance && known.call_id() != contact.call_id() {
            // A new Call-ID means that the user agent was started again: its other flows are gone (RFC 5626 section 6).
            edit.remove_if(|other| others(other) && other.instance() == known.instance());
        }
    }
}

#[cfg(test)]
mod tests;
