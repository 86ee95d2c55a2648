//! `ts_append()` and its kin: the contacts of a user that wait in a location table.

use std::sync::Arc;

use kahea_mods_location::usrloc::{self, Contact, Domain, Now, Service};
use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Lit, Ret, Str, Target,
    arg::Literal,
    route::{FAILURE, REQUEST},
};
use kahea_sip::view::Uri;

use super::{Name, Tsilo};
use crate::tm::{cell::Cell, external::first_contact, local::socket, more_branches::append};

/// A location table that the script names.
pub struct Table(Str);

impl Literal for Table {
    const WHAT: &'static str = "the name of a location table";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Table, BindError> {
        // usrloc opens it before the first message.
        bind.note(usrloc::TABLES, text);
        Ok(Table(Str::from(text)))
    }
}

/// Declares the functions.
pub fn declare(d: &mut Decl<Tsilo>) {
    let here = REQUEST | FAILURE;
    d.func(
        "ts_append",
        ["domain", "uri"],
        |m: &Tsilo, cx: &mut Cx, table: Lit<Table>, uri: Str| {
            let cells = m.cells(&uri)?;
            ring(m, cx, &table, &uri, cells, None)
        },
        "Relays the transactions stored for the user to those of its contacts in the location table that they do not \
         ring yet; needs the module usrloc.",
    )
    .routes(here)
    .waits()
    .kemi(2, "ts_append");
    d.func(
        "ts_append_to",
        ["index", "label", "domain", "uri"],
        append_to,
        "Relays the transaction of this name to those contacts of its user, or of the URI, that it does not ring yet; \
         needs the module usrloc.",
    )
    .routes(here)
    .waits()
    .kemi(3, "ts_append_to")
    .kemi(4, "ts_append_to_uri");
    d.func(
        "ts_append_by_contact",
        ["domain", "uri", "contact"],
        by_contact,
        "Relays the transactions stored for the user to one of its contacts: the one given, or the first of this \
         REGISTER; needs the module usrloc.",
    )
    .routes(here)
    .waits()
    .kemi(2, "ts_append_by_contact")
    .kemi(3, "ts_append_by_contact_uri");
}

fn append_to(
    m: &Tsilo,
    cx: &mut Cx,
    index: i64,
    label: i64,
    table: Lit<Table>,
    uri: Option<Str>,
) -> Result<Ret, Fault> {
    let number =
        |value: i64| u32::try_from(value).map_err(|_| Fault::script(format!("{value} names no transaction")));
    let name: Name = (number(index)?, number(label)?);
    let Some(cell) = m.alive(name) else {
        return Ok(Ret::FALSE);
    };
    let uri = match uri {
        Some(uri) => uri,
        None => Str::copy(cell.message()?.uri().unwrap_or_default()),
    };
    ring(m, cx, &table, &uri, vec![cell], None)
}

fn by_contact(
    m: &Tsilo,
    cx: &mut Cx,
    table: Lit<Table>,
    uri: Str,
    contact: Option<Str>,
) -> Result<Ret, Fault> {
    let contact = contact.or_else(|| first_contact(cx)).ok_or_else(|| {
        Fault::script("the request has no Contact: give ts_append_by_contact() the URI of one")
    })?;
    let cells = m.cells(&uri)?;
    ring(m, cx, &table, &uri, cells, Some(contact))
}

/// Relays the transactions to the user's contacts, `only` to one where that is given.
fn ring(
    m: &Tsilo,
    cx: &mut Cx,
    table: &Table,
    uri: &Str,
    cells: Vec<Arc<Cell>>,
    only: Option<Str>,
) -> Result<Ret, Fault> {
    let service = m.location.clone().ok_or_else(|| {
        Fault::script("this needs the module usrloc: load it before tsilo, or call ts_append_branches()")
    })?;
    let domain = service
        .domain(&table.0)
        .ok_or_else(|| Fault::script(format!("there is no location table '{}'", table.0)))?;
    if cells.is_empty() {
        return Ok(Ret::FALSE);
    }
    let aor = aor(&service, uri)?;
    let (now, added) = (cx.worker.unix_time(), m.added.clone());
    let now = u32::try_from(now).unwrap_or(u32::MAX);
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let contacts = match contacts(&service, &domain, &aor).await {
                Ok(contacts) => contacts,
                Err(fault) => return Ret::Fault(fault),
            };
            let fits = |contact: &&Contact| {
                contact.is_valid(now) && only.as_deref().is_none_or(|only| contact.address() == only)
            };
            let targets: Vec<Target> = contacts
                .iter()
                .filter(fits)
                .map(|contact| target(cx, contact))
                .collect();
            let mut any = false;
            for cell in cells {
                let fresh = fresh(&cell, &targets);
                let count = i64::try_from(fresh.len()).unwrap_or(i64::MAX);
                match append(&cell, &cx.worker, fresh).await {
                    Ok(true) => {
                        any = true;
                        added.add(count);
                    }
                    Ok(false) => {}
                    Err(fault) => return Ret::Fault(fault),
                }
            }
            any.into()
        })
    }))
}

async fn contacts(
    service: &Arc<Service>,
    domain: &Arc<Domain>,
    aor: &Str,
) -> Result<usrloc::Contacts, Fault> {
    match service.contacts(domain, aor) {
        Now::Ready(known) => known,
        Now::Later(asked) => asked.await,
    }
}

/// The address of record of a URI, as usrloc keeps it.
fn aor(service: &Service, uri: &Str) -> Result<Str, Fault> {
    let parsed = Uri::parse(uri).map_err(|error| Fault::script(format!("'{uri}' is no URI: {error}")))?;
    let user = parsed.user_without_params();
    if !service.settings().use_domain {
        return Ok(Str::copy(user));
    }
    Ok(Str::from(
        [user, b"@", &parsed.host.to_ascii_lowercase()].concat(),
    ))
}

fn target(cx: &Cx, contact: &Contact) -> Target {
    let whole = contact.whole();
    let part = |text: &[u8]| whole.share(text);
    let listener = contact.socket().map(part);
    Target {
        ruri: Some(part(contact.address())),
        dst_uri: contact.received().map(part),
        path: contact.path().map(part),
        send_socket: listener.and_then(|text| socket(&cx.worker, &text).ok().flatten()),
        flags: contact.cflags(),
        q: contact.q(),
        instance: contact.instance().map(part),
        reg_id: contact.reg_id(),
        ruid: Some(part(contact.ruid())),
        location_ua: Some(part(contact.user_agent())),
        connection: contact.connection(),
    }
}

/// The targets that the transaction does not ring yet.
fn fresh(cell: &Cell, targets: &[Target]) -> Vec<Target> {
    let state = cell.state.lock();
    let rings = |target: &Target| {
        state
            .branches
            .iter()
            .any(|branch| branch.target.ruri == target.ruri || branch.target.ruid() == target.ruid.as_ref())
    };
    targets.iter().filter(|target| !rings(target)).cloned().collect()
}
