//! The RPC commands `ul.*`.

use std::{sync::Arc, time::Duration};

use kahea_module::{
    Decl, Fault, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{
    Edit, Mode, Now, Order, Usrloc,
    contact::{ALL_METHODS, Contact, Contacts, Draft, Part},
    domain::Domain,
    service::Edited,
    store::Count,
    sweep,
};

/// Shards between two pauses of a dump.
const STEP: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

type Answer<'a> = LocalFuture<'a, RpcResult>;

/// Declares them.
pub(super) fn declare(d: &mut Decl<Usrloc>) {
    d.rpc_waits(
        "ul.dump",
        dump,
        "All contacts of all tables; with the word brief the addresses of record alone.",
    );
    d.rpc_waits(
        "ul.lookup",
        lookup,
        "The contacts of an address of record: table, address.",
    );
    d.rpc_waits(
        "ul.rm",
        remove,
        "Removes an address of record with its contacts: table, address.",
    );
    d.rpc_waits(
        "ul.rm_contact",
        remove_contact,
        "Removes a contact: table, address, URI.",
    );
    d.rpc_waits(
        "ul.flush",
        flush,
        "Writes what is to be written to the database now.",
    );
    d.rpc_waits("ul.add", add, "Adds or changes a contact: table, address, URI, seconds until it ends (0: never), q, path, flags, branch flags, methods, and if wanted received address and socket; 0 or a dot stands for no path.");
    d.rpc_waits(
        "ul.db_users",
        |m, call| count(m, call, Count::Users),
        "How many addresses of record have contacts in a table of the database.",
    );
    d.rpc_waits(
        "ul.db_contacts",
        |m, call| count(m, call, Count::Contacts),
        "How many contacts of a table of the database have not ended.",
    );
    d.rpc_waits(
        "ul.db_expired_contacts",
        |m, call| count(m, call, Count::Expired),
        "How many contacts of a table of the database have ended.",
    );
}

fn refused(fault: Fault) -> RpcFault {
    RpcFault::new(500, fault.text)
}

async fn ready<T>(now: Now<T>) -> T {
    match now {
        Now::Ready(value) => value,
        Now::Later(value) => value.await,
    }
}

impl Usrloc {
    /// The table of the first argument, and the address of the second as tables have it.
    fn address(&self, call: &mut RpcCall, wanted: &'static str) -> Result<(Arc<Domain>, Str), RpcFault> {
        let few = |_| RpcFault::new(500, format!("Not enough parameters ({wanted})"));
        let table = call.text().map_err(few)?;
        let aor = call.text().map_err(few)?;
        Ok((self.table(&table)?, self.aor(aor)))
    }

    fn table(&self, name: &[u8]) -> Result<Arc<Domain>, RpcFault> {
        let known = self.service.domain(name);
        known.ok_or_else(|| RpcFault::new(500, "Domain table not found"))
    }

    fn aor(&self, aor: Str) -> Str {
        let at = aor.iter().position(|byte| *byte == b'@');
        match at.filter(|_| !self.service.settings().use_domain) {
            Some(at) => aor.share(aor.get(..at).unwrap_or_default()),
            None => aor,
        }
    }

    async fn change<R: 'static>(
        &self,
        call: &RpcCall,
        domain: &Arc<Domain>,
        aor: &Str,
        change: impl FnOnce(&mut Edit<'_>) -> R + 'static,
    ) -> Result<Edited<R>, RpcFault> {
        let edit = self.service.edit(&call.worker, domain, aor, false, change);
        ready(edit).await.map_err(refused)
    }
}

/// A contact as the commands show it.
fn shown(contact: &Contact, now: u32) -> RpcValue {
    let text = |bytes: &[u8]| RpcValue::Str(Str::copy(bytes));
    let optional = |bytes: Option<&[u8]>| bytes.map_or_else(|| RpcValue::from("[not set]"), text);
    let number = |n: u32| RpcValue::Int(n.into());
    let expires = match contact.seconds_left(now) {
        None => RpcValue::from("permanent"),
        Some(0) => RpcValue::from("expired"),
        Some(left) => number(left),
    };
    let q = match contact.q() {
        None => RpcValue::Int(-1),
        Some(q) => RpcValue::Double(f64::from(q) / 1000.0),
    };
    let methods = match contact.methods() {
        ALL_METHODS => RpcValue::Int(-1),
        methods => number(methods),
    };
    let connection = contact.connection().and_then(|id| i64::try_from(id.0).ok());
    RpcValue::members([
        ("Address", text(contact.address())),
        ("Expires", expires),
        ("Q", q),
        ("Call-ID", text(contact.call_id())),
        ("CSeq", number(contact.cseq())),
        (
            "User-Agent",
            optional(Some(contact.user_agent()).filter(|agent| !agent.is_empty())),
        ),
        ("Received", optional(contact.received())),
        ("Path", optional(contact.path())),
        ("State", RpcValue::from(contact.state().text())),
        ("Flags", number(contact.flags())),
        ("CFlags", number(contact.cflags())),
        ("Socket", optional(contact.socket())),
        ("Methods", methods),
        ("Ruid", text(contact.ruid())),
        ("Instance", optional(contact.instance())),
        ("Reg-Id", number(contact.reg_id())),
        ("Server-Id", RpcValue::Int(contact.server_id().into())),
        ("Tcpconn-Id", RpcValue::Int(connection.unwrap_or(-1))),
        ("Keepalive", RpcValue::Int(0)),
        ("Last-Keepalive", number(contact.last_answer())),
        ("KA-Roundtrip", number(contact.round_trip())),
        ("Last-Modified", number(contact.modified())),
    ])
}

fn list(contacts: &[Contact], now: u32) -> RpcValue {
    RpcValue::named("Contact", contacts.iter().map(|contact| shown(contact, now)))
}

/// The records of a table, taken with pauses; those of the database where nothing is in memory.
async fn records(m: &Usrloc, call: &RpcCall, domain: &Arc<Domain>) -> Result<Vec<(u32, Contacts)>, RpcFault> {
    let mut out: Vec<(u32, Contacts)> = Vec::new();
    if m.service.settings().mode != Mode::DatabaseOnly {
        for at in 0..domain.slices() {
            out.extend(domain.table.records_of(at));
            if at.checked_rem(STEP) == Some(STEP.saturating_sub(1)) {
                call.worker.engine.sleep(PAUSE).await;
            }
        }
        return Ok(out);
    }
    let filter = super::Filter::default();
    let all = ready(m.service.all(domain, filter, super::now(&call.worker))).await;
    let mut by_aor = std::collections::BTreeMap::<Str, Contacts>::new();
    for contact in all.map_err(refused)? {
        let contacts = by_aor.entry(Str::copy(contact.aor())).or_default();
        Order::Preference.insert(contacts, contact);
    }
    out.extend(
        by_aor
            .into_iter()
            .map(|(aor, contacts)| (domain.hash(&aor), contacts)),
    );
    Ok(out)
}

fn dump<'a>(m: &'a Usrloc, call: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        let brief = call.optional_text()?.is_some_and(|word| word == "brief");
        let now = super::now(&call.worker);
        let mut domains = Vec::new();
        for domain in m.service.domains() {
            let mut aors = Vec::new();
            for (hash, contacts) in records(m, call, &domain).await? {
                let aor = contacts
                    .first()
                    .map_or(Str::EMPTY, |contact| Str::copy(contact.aor()));
                let aor = RpcValue::Str(aor);
                aors.push(match brief {
                    true => aor,
                    false => RpcValue::members([
                        ("AoR", aor),
                        ("HashID", RpcValue::Int(hash.into())),
                        ("Contacts", list(&contacts, now)),
                    ]),
                });
            }
            let aors = RpcValue::named(if brief { "AoR" } else { "Info" }, aors);
            domains.push(table(&domain, aors));
        }
        let domains = RpcValue::named("Domain", domains);
        Ok(vec![RpcValue::members([("Domains", domains)])])
    })
}

fn table(domain: &Domain, aors: RpcValue) -> RpcValue {
    let size = |n: usize| RpcValue::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let (records, most) = domain.table.fill();
    RpcValue::members([
        ("Domain", RpcValue::Str(domain.name().clone())),
        ("Size", size(domain.slices())),
        ("AoRs", aors),
        (
            "Stats",
            RpcValue::members([("Records", size(records)), ("Max-Slots", size(most))]),
        ),
    ])
}

fn lookup<'a>(m: &'a Usrloc, call: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        let (domain, aor) = m.address(call, "table and AOR to lookup")?;
        let now = super::now(&call.worker);
        let contacts = ready(m.service.contacts(&domain, &aor)).await.map_err(refused)?;
        let valid: Contacts = contacts
            .into_iter()
            .filter(|contact| contact.is_valid(now))
            .collect();
        if valid.is_empty() {
            return Err(RpcFault::new(500, "AOR not found in location table"));
        }
        Ok(vec![RpcValue::members([
            ("AoR", RpcValue::Str(aor)),
            ("Contacts", list(&valid, now)),
        ])])
    })
}

fn remove<'a>(m: &'a Usrloc, call: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        let (domain, aor) = m.address(call, "table and AOR to lookup")?;
        m.change(call, &domain, &aor, |edit| edit.remove_if(|_| true))
            .await?;
        Ok(Vec::new())
    })
}

fn remove_contact<'a>(m: &'a Usrloc, call: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        let wanted = "table, AOR and contact";
        let (domain, aor) = m.address(call, wanted)?;
        let few = |_| RpcFault::new(500, format!("Not enough parameters ({wanted})"));
        let address = call.text().map_err(few)?;
        let removed = m.change(call, &domain, &aor, move |edit| {
            if edit.contacts().is_empty() {
                return None;
            }
            let at = edit
                .contacts()
                .iter()
                .position(|known| *known.address() == *address);
            if let Some(at) = at {
                edit.remove(at);
            }
            Some(at.is_some())
        });
        match removed.await?.result {
            None => Err(RpcFault::new(404, "AOR not found")),
            Some(false) => Err(RpcFault::new(404, "Contact not found")),
            Some(true) => Ok(Vec::new()),
        }
    })
}

fn flush<'a>(m: &'a Usrloc, _: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        if let Some(store) = &m.service.store
            && m.service.writing() == super::table::Writing::Later
        {
            for domain in m.service.domains() {
                let written = sweep::flush(&**store, &domain).await;
                written.map_err(|error| RpcFault::new(500, error.to_string()))?;
            }
        }
        Ok(Vec::new())
    })
}

/// An argument that clients send as a text or as a number.
fn plain(call: &mut RpcCall) -> Result<Str, RpcFault> {
    let absent = || RpcFault::new(500, "Not enough parameters or wrong format");
    call.optional_plain()?.ok_or_else(absent)
}

/// What `ul.add` is told.
struct Added {
    address: Str,
    expires: u32,
    q: Option<u16>,
    path: Str,
    flags: u32,
    cflags: u32,
    methods: u32,
    received: Str,
    socket: Str,
}

impl Added {
    fn read(call: &mut RpcCall, now: u32) -> Result<Added, RpcFault> {
        let absent = |text: Str| match &*text {
            b"0" | b"." => Str::EMPTY,
            _ => text,
        };
        let number = |n: i64| u32::try_from(n).unwrap_or(ALL_METHODS);
        let address = call.text()?;
        let seconds = call.int()?;
        let expires = match u32::try_from(seconds) {
            Ok(0) => 0,
            Ok(seconds) => now.saturating_add(seconds).max(1),
            Err(_) => now,
        };
        Ok(Added {
            address,
            expires,
            q: thousandths(&plain(call)?)?,
            path: absent(plain(call)?),
            flags: number(call.int()?),
            cflags: number(call.int()?),
            methods: number(call.int()?),
            received: absent(call.optional_plain()?.unwrap_or_default()),
            socket: absent(call.optional_plain()?.unwrap_or_default()),
        })
    }

    fn contact(&self, aor: &[u8], ruid: &str, now: u32, server_id: i32) -> Result<Contact, RpcFault> {
        let draft = Draft {
            expires: self.expires,
            modified: now,
            cseq: 1,
            q: self.q,
            flags: self.flags,
            cflags: self.cflags,
            methods: self.methods,
            server_id,
            ..Draft::default()
        };
        let draft = draft
            .with(Part::Aor, aor)
            .with(Part::Address, &self.address)
            .with(Part::Received, &self.received)
            .with(Part::Path, &self.path)
            .with(Part::UserAgent, b"kahea RPC")
            .with(Part::CallId, b"ul.add@kahea.rpc")
            .with(Part::Ruid, ruid.as_bytes())
            .with(Part::Socket, &self.socket);
        Contact::new(&draft).map_err(|error| RpcFault::new(400, error.to_string()))
    }
}

fn thousandths(text: &[u8]) -> Result<Option<u16>, RpcFault> {
    let q: Option<f64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    match q {
        Some(q) if q < 0.0 => Ok(None),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 1,000"
        )]
        Some(q) if q <= 1.0 => Ok(Some((q * 1000.0).round() as u16)),
        _ => Err(RpcFault::new(400, "q is no number from 0 to 1")),
    }
}

fn add<'a>(m: &'a Usrloc, call: &'a mut RpcCall) -> Answer<'a> {
    Box::pin(async move {
        let few = |_| RpcFault::new(500, "Not enough parameters or wrong format");
        let table = call.text().map_err(few)?;
        let aor = m.aor(call.text().map_err(few)?);
        let now = super::now(&call.worker);
        let added = Added::read(call, now).map_err(few)?;
        let domain = m.table(&table)?;
        let settings = m.service.settings();
        let ruid = m.service.domains.ruid("ulcx", settings.server_id.into());
        let contact = added.contact(&aor, &ruid, now, settings.server_id)?;
        let matching = settings.matching;
        let changed = m.change(call, &domain, &aor, move |edit| {
            match matching.find(edit.contacts(), &contact) {
                None => edit.insert(contact),
                Some(at) => {
                    let known = edit.contacts().get(at).map(|known| known.ruid().to_vec());
                    let same = known.unwrap_or_default();
                    let draft = contact.draft().with(Part::Ruid, &same);
                    if let Ok(contact) = Contact::new(&draft) {
                        edit.replace(at, contact);
                    }
                }
            }
        });
        changed.await?;
        Ok(Vec::new())
    })
}

fn count<'a>(m: &'a Usrloc, call: &'a mut RpcCall, what: Count) -> Answer<'a> {
    Box::pin(async move {
        let Some(store) = &m.service.store else {
            let text = format!(
                "Command is not supported in db_mode={}",
                m.service.settings().mode.number()
            );
            return Err(RpcFault::new(500, text));
        };
        let few = |_| RpcFault::new(500, "Not enough parameters (table to lookup)");
        let table = call.text().map_err(few)?;
        let counted = store.count(&table, what, super::now(&call.worker)).await;
        let counted = counted.map_err(|error| RpcFault::new(500, error.to_string()))?;
        Ok(vec![RpcValue::Int(counted)])
    })
}

#[cfg(test)]
mod tests;
