//! Questions about users: `registered()`, `unregister()`, `reg_from_user()`.

use std::{net::SocketAddr, sync::Arc};

use kahea_module::{Cx, Fault, Lit, Ret, Str};
use kahea_sip::{Transport, view::Uri};

use super::{Inner, Registrar, table::Table, xavps};
use crate::usrloc::{self, Contact, Contacts, Domain, Edit, Now};

/// `match_option` of `registered()`.
const BY_CALL_ID: i64 = 1;
const BY_RECEIVED: i64 = 2;
const BY_CONTACT: i64 = 4;
/// `match_action` of `registered()`.
const GIVE_FIELDS: i64 = 1;
const NO_DETAILS: i64 = 2;
/// `mode` of `reg_from_user()`.
const ANY_PORT: i64 = 1;
const ANY_TRANSPORT: i64 = 2;

impl Inner {
    /// The address of record of a URI of the script; of the Request-URI, or of To in a reply, without one.
    fn aor_of(&self, cx: &Cx, uri: Option<Str>) -> Option<Str> {
        let rules = self.live.get(cx).rules(self.service.settings().use_domain);
        let uri = match uri {
            Some(uri) => uri,
            None if cx.msg.is_request() => cx.ruri(),
            None => Str::copy(cx.to().ok()?.uri),
        };
        rules.aor(&uri).ok()
    }

    /// Goes on with the valid contacts of an address of record, now or when the database has answered.
    pub(super) fn with_contacts(
        self: &Arc<Self>,
        cx: &mut Cx,
        domain: &Arc<Domain>,
        aor: &Str,
        then: impl FnOnce(&Inner, &mut Cx, Contacts) -> Ret + 'static,
    ) -> Ret {
        let ended = self.live.get(cx).use_expired_contacts;
        let valid = move |cx: &Cx, mut contacts: Contacts| {
            let now = usrloc::now(&cx.worker);
            contacts.retain(|contact| ended || contact.is_valid(now));
            contacts
        };
        match self.service.contacts(domain, aor) {
            Now::Ready(Ok(contacts)) => {
                let contacts = valid(cx, contacts);
                then(self, cx, contacts)
            }
            Now::Ready(Err(fault)) => fault.into(),
            Now::Later(found) => {
                let inner = self.clone();
                Ret::wait(move |cx| {
                    Box::pin(async move {
                        match found.await {
                            Ok(contacts) => {
                                let contacts = valid(cx, contacts);
                                then(&inner, cx, contacts)
                            }
                            Err(fault) => fault.into(),
                        }
                    })
                })
            }
        }
    }
}

pub(super) fn registered(
    m: &Registrar,
    cx: &mut Cx,
    table: Lit<Table>,
    uri: Option<Str>,
    option: Option<i64>,
    action: Option<i64>,
) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    let Some(aor) = m.inner.aor_of(cx, uri) else {
        return Ret::FALSE;
    };
    let (option, action) = (option.unwrap_or(0), action.unwrap_or(0));
    m.inner
        .with_contacts(cx, &domain, &aor, move |inner, cx, contacts| {
            xavps::forget(cx, inner.fixed.xavp_rcd.as_ref());
            let matched = contacts
                .iter()
                .find(|contact| inner.is_meant(cx, option, contact));
            let Some(contact) = matched else {
                return Ret::FALSE;
            };
            if action & GIVE_FIELDS != 0 {
                let class = inner.service.settings().attributes.as_ref();
                xavps::forget(cx, class);
                xavps::give_fields(cx, class, contact);
            }
            if action & NO_DETAILS == 0 {
                let now = usrloc::now(&cx.worker);
                xavps::give_details(&inner.fixed, cx, contact, now);
            }
            Ret::TRUE
        })
}

impl Inner {
    /// The contact has what `xavp_cfg` names; what it does not name does not count.
    fn is_meant(&self, cx: &Cx, option: i64, contact: &Contact) -> bool {
        let class = self.fixed.xavp_cfg.as_ref();
        let same = |bit: i64, name: &[u8], own: &[u8]| {
            let wanted = xavps::text(cx, class, name).filter(|_| option & bit != 0);
            wanted.is_none_or(|wanted| *wanted == *own)
        };
        same(BY_CALL_ID, b"match_callid", contact.call_id())
            && same(
                BY_RECEIVED,
                b"match_received",
                contact.received().unwrap_or_default(),
            )
            && same(BY_CONTACT, b"match_contact", contact.address())
    }
}

/// What `unregister()` returns besides 1.
const NO_ADDRESS: i64 = -1;
const FAILED: i64 = -2;
const NO_CONTACT: i64 = -3;

pub(super) fn unregister(m: &Registrar, cx: &mut Cx, table: Lit<Table>, uri: Str, ruid: Option<Str>) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    let ruid = ruid.filter(|ruid| !ruid.is_empty());
    match (uri.is_empty(), ruid) {
        (true, Some(ruid)) => m.inner.clone().unregister_ruid(cx, domain, ruid),
        (_, ruid) => match m.inner.aor_of(cx, Some(uri)) {
            Some(aor) => m.inner.remove(cx, &domain, &aor, ruid),
            None => NO_ADDRESS.into(),
        },
    }
}

impl Inner {
    fn remove(self: &Arc<Self>, cx: &Cx, domain: &Arc<Domain>, aor: &Str, ruid: Option<Str>) -> Ret {
        let change = move |edit: &mut Edit<'_>| match &ruid {
            None => {
                edit.remove_if(|_| true);
                true
            }
            Some(ruid) => {
                let at = edit.contacts().iter().position(|known| *known.ruid() == **ruid);
                if let Some(at) = at {
                    edit.remove(at);
                }
                at.is_some()
            }
        };
        let code = |removed: bool| if removed { 1 } else { NO_CONTACT };
        let failed = |fault: Fault| Ret::Fault(fault.code(FAILED));
        match self.service.edit(&cx.worker.clone(), domain, aor, false, change) {
            Now::Ready(Ok(edited)) => code(edited.result).into(),
            Now::Ready(Err(fault)) => failed(fault),
            Now::Later(edited) => Ret::wait(move |_| {
                Box::pin(async move {
                    match edited.await {
                        Ok(edited) => code(edited.result).into(),
                        Err(fault) => failed(fault),
                    }
                })
            }),
        }
    }

    /// Without an address the identifier alone must do, which Kamailio allows in db_mode 3 only.
    fn unregister_ruid(self: Arc<Self>, _: &Cx, domain: Arc<Domain>, ruid: Str) -> Ret {
        match self.service.by_ruid(&domain, &ruid) {
            Now::Ready(_) => FAILED.into(),
            Now::Later(found) => Ret::wait(move |cx| {
                Box::pin(async move {
                    let aor = match found.await {
                        Ok(Some(contact)) => Str::copy(contact.aor()),
                        Ok(None) => return NO_CONTACT.into(),
                        Err(fault) => return Ret::Fault(fault.code(FAILED)),
                    };
                    match self.remove(cx, &domain, &aor, Some(ruid)) {
                        Ret::Wait(later) => later(cx).await,
                        ret => ret,
                    }
                })
            }),
        }
    }
}

pub(super) fn reg_from_user(m: &Registrar, cx: &mut Cx, table: Lit<Table>, uri: Str, mode: i64) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    let Some(aor) = m.inner.aor_of(cx, Some(uri)) else {
        return Ret::FALSE;
    };
    let (source, transport) = (cx.received.source, cx.received.transport);
    m.inner.with_contacts(cx, &domain, &aor, move |_, _, contacts| {
        contacts
            .iter()
            .any(|contact| is_from(contact, source, transport, mode))
            .into()
    })
}

/// The contact is at that address.
fn is_from(contact: &Contact, source: SocketAddr, transport: Transport, mode: i64) -> bool {
    let text = contact.received().unwrap_or(contact.address());
    let Ok(uri) = Uri::parse(text) else {
        return false;
    };
    let own = match uri.transport() {
        Transport::None => Transport::Udp,
        transport => transport,
    };
    let port = uri.port.unwrap_or(own.default_port());
    uri.host_ip() == Some(source.ip())
        && (mode & ANY_PORT != 0 || port == source.port())
        && (mode & ANY_TRANSPORT != 0 || own == transport)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usrloc::{Draft, Part};

    #[test]
    fn a_contact_is_where_its_register_came_from() {
        let draft = Draft::default()
            .with(Part::Address, b"sip:alice@10.0.0.1")
            .with(Part::Received, b"sip:192.0.2.1:7777;transport=tcp");
        let contact = Contact::new(&draft).unwrap();
        let is = |source: &str, transport, mode| is_from(&contact, source.parse().unwrap(), transport, mode);
        assert!(is("192.0.2.1:7777", Transport::Tcp, 0));
        assert!(!is("192.0.2.1:7777", Transport::Udp, 0));
        assert!(is("192.0.2.1:7777", Transport::Udp, ANY_TRANSPORT));
        assert!(!is("192.0.2.1:1", Transport::Tcp, 0));
        assert!(is("192.0.2.1:1", Transport::Tcp, ANY_PORT));
        assert!(!is("10.0.0.1:5060", Transport::Udp, ANY_PORT | ANY_TRANSPORT));
    }
}
