//! `lookup()` and its kin: from an address of record to contacts.

use std::sync::Arc;

use kahea_module::{Cx, Fault, Lit, Ret, Str, Target};
use kahea_sip::{
    ListenerId, Transport,
    view::{Addrs, Uri, percent_decode},
};

use super::{Inner, Registrar, live::Live, reply::bare, socket, table::Table, xavps};
use crate::usrloc::{self, Contact, Contacts, Domain, Now};

/// What `lookup()` returns besides 1.
const NOT_FOUND: i64 = -1;
const NOT_ALLOWED: i64 = -2;
const FAILED: i64 = -3;

/// Whom a URI means.
enum Wanted {
    /// All contacts of an address of record.
    Address(Str),
    /// Those of one instance (a public GRUU).
    Instance(Str, Str),
    /// One contact (a temporary GRUU).
    Contact(Str),
}

/// Contacts, or the return code that says why there are none.
type Found = Result<Contacts, i64>;

/// What is done with contacts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first is the Request-URI, the others are branches.
    Target,
    /// All are branches.
    Branches,
}

pub(super) fn lookup(m: &Registrar, cx: &mut Cx, table: Lit<Table>, uri: Option<Str>) -> Ret {
    m.inner.clone().look(cx, &table, uri, Place::Target)
}

pub(super) fn lookup_to_dset(m: &Registrar, cx: &mut Cx, table: Lit<Table>, uri: Option<Str>) -> Ret {
    m.inner.clone().look(cx, &table, uri, Place::Branches)
}

/// Looks for the Request-URI, then for each branch that has nothing but a URI.
pub(super) fn lookup_branches(m: &Registrar, cx: &mut Cx, table: Lit<Table>) -> Ret {
    let inner = m.inner.clone();
    let domain = match table.domain(&inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    let live = inner.live.get(cx);
    let branches = cx.branches.len();
    if !inner.service.settings().mode_waits() {
        let found = ready(inner.find(cx, &domain, &live, &cx.ruri()));
        let mut code = inner.place(cx, &live, Place::Target, found);
        for at in 0..branches {
            let Some(uri) = plain_branch(cx, at) else { continue };
            let found = ready(inner.find(cx, &domain, &live, &uri));
            code = code.max(inner.place_branch(cx, &live, at, found));
        }
        return code.into();
    }
    Ret::wait(move |cx| {
        Box::pin(async move {
            let uri = cx.ruri();
            let found = wait(inner.find(cx, &domain, &live, &uri)).await;
            let mut code = inner.place(cx, &live, Place::Target, found);
            for at in 0..branches {
                let Some(uri) = plain_branch(cx, at) else { continue };
                let found = wait(inner.find(cx, &domain, &live, &uri)).await;
                code = code.max(inner.place_branch(cx, &live, at, found));
            }
            code.into()
        })
    })
}

/// The URI of a branch that has nothing else.
fn plain_branch(cx: &Cx, at: usize) -> Option<Str> {
    let branch = cx.branches.get(at)?;
    let plain = branch.dst_uri.is_none() && branch.path.is_none() && branch.ruid.is_none();
    branch.ruri.clone().filter(|_| plain)
}

/// The answer of a search that asks no database.
fn ready(found: Now<Found>) -> Found {
    match found {
        Now::Ready(found) => found,
        Now::Later(_) => Err(FAILED),
    }
}

async fn wait(found: Now<Found>) -> Found {
    match found {
        Now::Ready(found) => found,
        Now::Later(found) => found.await,
    }
}

impl Inner {
    fn look(self: Arc<Self>, cx: &mut Cx, table: &Table, uri: Option<Str>, place: Place) -> Ret {
        let domain = match table.domain(&self.service) {
            Ok(domain) => domain.clone(),
            Err(fault) => return fault.into(),
        };
        let uri = match uri {
            Some(uri) if uri.is_empty() => return NOT_FOUND.into(),
            Some(uri) => uri,
            None => cx.ruri(),
        };
        let live = self.live.get(cx);
        match self.find(cx, &domain, &live, &uri) {
            Now::Ready(found) => self.place(cx, &live, place, found).into(),
            Now::Later(found) => Ret::wait(move |cx| {
                Box::pin(async move {
                    let found = found.await;
                    self.place(cx, &live, place, found).into()
                })
            }),
        }
    }

    /// The contacts that a URI means, ended ones too.
    fn find(self: &Arc<Self>, cx: &Cx, domain: &Arc<Domain>, live: &Live, uri: &Str) -> Now<Found> {
        let wanted = match self.wanted(cx, live, uri) {
            Ok(wanted) => wanted,
            Err(code) => return Now::Ready(Err(code)),
        };
        match wanted {
            Wanted::Address(aor) => finding(self.service.contacts(domain, &aor), |contacts| contacts),
            Wanted::Instance(aor, instance) => {
                finding(self.service.contacts(domain, &aor), move |mut contacts| {
                    contacts.retain(|contact| contact.instance().map(bare) == Some(bare(&instance)));
                    contacts
                })
            }
            Wanted::Contact(ruid) => finding(self.service.by_ruid(domain, &ruid), |contact| {
                contact.into_iter().collect()
            }),
        }
    }

    fn wanted(&self, _: &Cx, live: &Live, text: &Str) -> Result<Wanted, i64> {
        let uri = Uri::parse(text).map_err(|_| FAILED)?;
        let aor = || {
            let rules = live.rules(self.service.settings().use_domain);
            rules.of_uri(&uri).map_err(|_| FAILED)
        };
        if !self.fixed.gruu || !uri.has_param("gr") {
            return aor().map(Wanted::Address);
        }
        match uri.gr().filter(|instance| !instance.is_empty()) {
            Some(instance) => Ok(Wanted::Instance(aor()?, Str::from(&*percent_decode(instance)))),
            None => {
                let end = uri.user.iter().rposition(|byte| *byte == b'-').ok_or(FAILED)?;
                Ok(Wanted::Contact(Str::copy(
                    uri.user.get(..end).unwrap_or_default(),
                )))
            }
        }
    }

    /// The contacts that may be used now, for this message; or why there are none.
    fn usable(&self, cx: &Cx, live: &Live, found: Found) -> Found {
        let mut contacts = found?;
        let now = usrloc::now(&cx.worker);
        let flags = match self.fixed.filter_flags {
            true => xavps::number(cx, self.fixed.xavp_cfg.as_ref(), b"rlf_bflags"),
            false => None,
        };
        let flags = flags.and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0);
        contacts.retain(|contact| {
            let connected = |id| !self.fixed.filter_connections || cx.worker.net.is_open(id);
            (live.use_expired_contacts || contact.is_valid(now))
                && (flags == 0 || contact.cflags() & flags != 0)
                && contact.connection().is_none_or(connected)
        });
        if contacts.is_empty() {
            return Err(NOT_FOUND);
        }
        if self.fixed.method_filtering && cx.msg.is_request() && cx.to().is_ok_and(|to| to.tag().is_none()) {
            let method = cx.method().bit();
            contacts.retain(|contact| contact.methods() & method != 0);
        }
        match contacts.is_empty() {
            true => Err(NOT_ALLOWED),
            false => Ok(contacts),
        }
    }

    /// Puts contacts where they are wanted; the return code.
    fn place(&self, cx: &mut Cx, live: &Live, place: Place, found: Found) -> i64 {
        let contacts = match self.usable(cx, live, found) {
            Ok(contacts) => contacts,
            Err(code) => return code,
        };
        self.forget(cx);
        let mut rest = contacts.iter();
        if place == Place::Target
            && let Some(first) = rest.next()
        {
            let target = self.target(cx, first);
            cx.target = target;
            let now = usrloc::now(&cx.worker);
            xavps::give_details(&self.fixed, cx, first, now);
            self.give_fields(cx, first);
            if !live.append_branches {
                return 1;
            }
        }
        for contact in rest {
            self.append(cx, contact);
        }
        1
    }

    /// Puts the first contact in the place of a branch, and others behind all branches.
    fn place_branch(&self, cx: &mut Cx, live: &Live, at: usize, found: Found) -> i64 {
        let contacts = match self.usable(cx, live, found) {
            Ok(contacts) => contacts,
            Err(code) => return code,
        };
        let mut rest = contacts.iter();
        if let Some(first) = rest.next() {
            let target = self.target(cx, first);
            if let Some(branch) = cx.branches.get_mut(at) {
                *branch = target;
            }
            self.give_fields(cx, first);
        }
        for contact in rest.filter(|_| live.append_branches) {
            self.append(cx, contact);
        }
        1
    }

    fn append(&self, cx: &mut Cx, contact: &Contact) {
        let most = usize::try_from(cx.config().globals.max_branches).unwrap_or(usize::MAX);
        if cx.branches.len() < most {
            let target = self.target(cx, contact);
            cx.branches.push(target);
            self.give_fields(cx, contact);
        }
    }

    fn forget(&self, cx: &mut Cx) {
        xavps::forget(cx, self.fixed.xavp_rcd.as_ref());
        xavps::forget(cx, self.service.settings().attributes.as_ref());
    }

    fn give_fields(&self, cx: &mut Cx, contact: &Contact) {
        xavps::give_fields(cx, self.service.settings().attributes.as_ref(), contact);
    }

    /// A contact as a target, its texts shared with the table.
    fn target(&self, cx: &Cx, contact: &Contact) -> Target {
        let whole = contact.whole();
        let path = contact.path().map(|path| self.without_own_hop(cx, path));
        let path = path.filter(|path| !path.is_empty());
        let hop = path.and_then(|path| Addrs::new(path).next()?.ok());
        let dst_uri = hop.map(|hop| hop.uri).or_else(|| {
            // A Path that led here only is used up; without one the way back is known.
            contact.received().filter(|_| contact.path().is_none())
        });
        Target {
            ruri: Some(whole.share(contact.address())),
            dst_uri: dst_uri.map(|uri| whole.share(uri)),
            path: path.map(|path| whole.share(path)),
            send_socket: contact.socket().and_then(|text| listener(cx, text)),
            flags: contact.cflags(),
            q: contact.q(),
            instance: contact.instance().map(|text| whole.share(text)),
            reg_id: contact.reg_id(),
            ruid: Some(whole.share(contact.ruid())),
            location_ua: Some(contact.user_agent())
                .filter(|agent| !agent.is_empty())
                .map(|agent| whole.share(agent)),
            connection: contact.connection(),
        }
    }

    /// With `path_check_local`, the path behind a first hop that is this server.
    fn without_own_hop<'a>(&self, cx: &Cx, path: &'a [u8]) -> &'a [u8] {
        if !self.fixed.path_check_local {
            return path;
        }
        let mut hops = Addrs::new(path);
        let Some(Ok(first)) = hops.next() else { return path };
        let Ok(uri) = first.parse_uri() else { return path };
        let transport = match uri.transport() {
            Transport::None => Transport::Udp,
            transport => transport,
        };
        let identity = &cx.config().identity;
        match identity.is_myself(uri.host, uri.port.unwrap_or(5060), transport) {
            false => path,
            true => match hops.next() {
                Some(Ok(next)) => {
                    let range = kahea_sip::view::range_in(path, next.raw);
                    range
                        .and_then(|range| path.get(range.start..))
                        .unwrap_or_default()
                }
                _ => b"",
            },
        }
    }
}

fn listener(cx: &Cx, text: &[u8]) -> Option<ListenerId> {
    let own = cx
        .config()
        .identity
        .listeners
        .iter()
        .find(|own| *own.text == *text);
    own.or_else(|| socket::find(cx, text)).map(|listener| listener.id)
}

/// Goes on with what a search gave, now or later.
fn finding<T: 'static>(now: Now<Result<T, Fault>>, then: impl FnOnce(T) -> Contacts + 'static) -> Now<Found> {
    match now {
        Now::Ready(found) => Now::Ready(found.map(then).map_err(|_| FAILED)),
        Now::Later(found) => Now::Later(Box::pin(async move {
            found.await.map(then).map_err(|fault| {
                kahea_module::error!("registrar", "Contacts cannot be looked up: {fault}.");
                FAILED
            })
        })),
    }
}
