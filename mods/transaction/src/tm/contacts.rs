//! Serial forking: the destination set kept in xavps and tried group by group (`t_load_contacts()` and its kin).
//!
//! Contacts lie in the xavp of `contacts_avp`, the preferred ones first; the last one of a group of equal preference
//! has [`LAST_OF_GROUP`] in its field `q_flag`. Scripts read and write these fields.

use kahea_module::{
    Cx, Decl, Fault, Str, Target,
    route::{EVENT, FAILURE, REQUEST},
    xavp::{XValue, Xavps},
};
use kahea_sip::ConnectionId;

use super::{
    Tm,
    attached::{self, Attached, Role, UsedTarget},
    relay,
};

/// What `q_flag` holds where the next contact has a lower preference.
const LAST_OF_GROUP: i64 = 4;

/// Nothing is left.
const NOTHING_LEFT: i64 = -2;

/// The names of the xavps.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `contacts_avp`.
    pub contacts: Option<Str>,
    /// `contact_flows_avp`.
    pub flows: Option<Str>,
    /// `xavp_contact`: what usrloc knows of each contact, in the order of the destination set.
    pub attributes: Option<Str>,
}

/// Declares the functions.
pub fn declare(d: &mut Decl<Tm>) {
    d.func("t_load_contacts", ["mode"], t_load_contacts, "Moves the destination set to the contacts_avp, ordered by q; with mode 1 in an order drawn by lot, q being the weight.")
        .routes(REQUEST | FAILURE | EVENT)
        .kemi(0, "t_load_contacts")
        .kemi(1, "ki_t_load_contacts_mode")
        .example("if (!t_load_contacts()) { sl_send_reply(\"500\", \"No contacts\"); exit; }");
    d.func("t_next_contacts", [], t_next_contacts, "Makes the contacts of highest preference the destination set, one for each +sip.instance; -2 where none is left.")
        .routes(REQUEST | FAILURE | EVENT)
        .kemi(0, "t_next_contacts");
    d.func(
        "t_next_contact_flow",
        [],
        t_next_contact_flow,
        "Adds the next flow of the +sip.instance whose branch failed as a branch; -2 where there is none.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_next_contact_flow");
}

fn named<'a>(name: Option<&'a Str>, parameter: &str) -> Result<&'a Str, Fault> {
    name.ok_or_else(|| {
        Fault::script(format!(
            "the parameter {parameter} of tm is not set: modparam(\"tm\", \"{parameter}\", \"tm_contacts\")"
        ))
    })
}

/// One contact on its way from the destination set to the xavp.
struct Contact {
    target: Target,
    attributes: Option<XValue>,
}

impl Contact {
    /// Thousandths; below every stated one where none is.
    fn q(&self) -> i32 {
        self.target.q.map_or(-1, i32::from)
    }
}

fn t_load_contacts(m: &Tm, cx: &mut Cx, mode: Option<i64>) -> Result<bool, Fault> {
    let names = &m.core.options().further.names;
    let name = named(names.contacts.as_ref(), "contacts_avp")?;
    if cx.branches.is_empty() {
        return Ok(true);
    }
    let mut contacts = destination_set(cx, names.attributes.as_ref());
    match mode {
        None | Some(0) => contacts.sort_by_key(Contact::q),
        Some(1) => contacts = drawn(contacts, || cx.worker.random()),
        Some(mode) => {
            return Err(Fault::script(format!(
                "t_load_contacts() has the modes 0 and 1, not {mode}"
            )));
        }
    }
    let mut below = None;
    for contact in contacts {
        let q = contact.q();
        let alone = mode == Some(1) && below.is_some();
        let last = alone || below.is_some_and(|below| below < q);
        below = Some(q);
        let fields = record(cx, &contact, names, last);
        cx.xavps.add(name.clone(), XValue::List(fields));
    }
    cx.target.flags = 0;
    // $ru is one of the contacts now, no branch of its own.
    let used = UsedTarget::of(cx);
    cx.extra::<Attached>().used = Some(used);
    Ok(true)
}

/// Takes the branches, and before them the Request-URI unless it was relayed already.
fn destination_set(cx: &mut Cx, attributes: Option<&Str>) -> Vec<Contact> {
    let fresh = relay::is_fresh(cx);
    let first = fresh.then(|| Target {
        ruri: Some(cx.ruri()),
        ..cx.target.clone()
    });
    let branches = std::mem::take(&mut cx.branches);
    let targets = first.into_iter().chain(branches);
    targets
        .map(|target| Contact {
            target,
            attributes: attributes.and_then(|name| cx.xavps.remove(name, 0).map(|known| known.value)),
        })
        .collect()
}

/// The order of mode 1, least preferred first: by lot with q as the weight, those without a weight behind all others.
fn drawn(contacts: Vec<Contact>, mut random: impl FnMut() -> u64) -> Vec<Contact> {
    let (mut weighted, rest): (Vec<Contact>, Vec<Contact>) =
        contacts.into_iter().partition(|contact| contact.q() > 0);
    let mut chosen = Vec::with_capacity(weighted.len());
    while !weighted.is_empty() {
        let weight = |contact: &Contact| u64::try_from(contact.q()).unwrap_or(0);
        let sum = weighted.iter().map(weight).sum::<u64>().max(1);
        let mut lot = random().checked_rem(sum).unwrap_or(0);
        let at = weighted.iter().position(|contact| {
            let own = weight(contact);
            let hit = lot < own;
            lot = lot.saturating_sub(own);
            hit
        });
        chosen.push(weighted.remove(at.unwrap_or(0)));
    }
    chosen.extend(rest);
    chosen.reverse();
    chosen
}

/// A contact as fields of an xavp.
fn record(cx: &Cx, contact: &Contact, names: &Names, last: bool) -> Xavps {
    let target = &contact.target;
    let mut fields = cx.xavps.sibling();
    let mut add = |name: &'static str, value: Option<XValue>| {
        if let Some(value) = value {
            fields.add(Str::from_static(name), value);
        }
    };
    let text = |text: &Option<Str>| text.clone().map(XValue::Str);
    add("uri", text(&target.ruri));
    add("dst_uri", text(&target.dst_uri));
    add("path", text(&target.path));
    let socket = target
        .send_socket
        .and_then(|id| cx.config().identity.listener(id));
    add("sock", socket.map(|listener| XValue::Str(listener.text.clone())));
    add("instance", text(&target.instance));
    let reg_id = (target.reg_id != 0).then_some(target.reg_id);
    add("reg_id", reg_id.map(|id| XValue::Int(id.into())));
    add("flags", Some(XValue::Int(target.flags.into())));
    add("q_flag", Some(XValue::Int(if last { LAST_OF_GROUP } else { 0 })));
    add("ruid", text(&target.ruid));
    add("ua", text(&target.location_ua));
    let connection = target.connection.and_then(|id| i64::try_from(id.0).ok());
    add("otcpid", connection.map(XValue::Int));
    if let (Some(name), Some(value)) = (&names.attributes, &contact.attributes) {
        fields.add(name.clone(), value.clone());
    }
    fields
}

fn text_of(fields: &Xavps, name: &[u8]) -> Option<Str> {
    match &fields.get(name, 0)?.value {
        XValue::Str(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

fn number_of(fields: &Xavps, name: &[u8]) -> Option<i64> {
    match fields.get(name, 0)?.value {
        XValue::Int(number) => Some(number),
        _ => None,
    }
}

/// The target that a record stands for; `None` without a URI.
fn target(cx: &Cx, fields: &Xavps) -> Option<Target> {
    // A copy of its own, so that it counts as set anew.
    let uri = Str::copy(&text_of(fields, b"uri")?);
    let socket = text_of(fields, b"sock").and_then(|text| {
        let listeners = &cx.config().identity.listeners;
        listeners.iter().find(|listener| listener.text == text)
    });
    let number = |name: &[u8]| number_of(fields, name);
    Some(Target {
        ruri: Some(uri),
        dst_uri: text_of(fields, b"dst_uri"),
        path: text_of(fields, b"path"),
        send_socket: socket.map(|listener| listener.id),
        flags: number(b"flags").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        q: Some(0),
        instance: text_of(fields, b"instance"),
        reg_id: number(b"reg_id").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        ruid: text_of(fields, b"ruid"),
        location_ua: text_of(fields, b"ua"),
        connection: number(b"otcpid")
            .and_then(|n| u64::try_from(n).ok())
            .map(ConnectionId),
    })
}

/// Takes the first contact out; `None` where none is left.
fn take(cx: &mut Cx, name: &Str) -> Option<Xavps> {
    loop {
        if let XValue::List(fields) = cx.xavps.remove(name, 0)?.value {
            return Some(fields);
        }
    }
}

fn t_next_contacts(m: &Tm, cx: &mut Cx) -> Result<i64, Fault> {
    let names = &m.core.options().further.names;
    let name = named(names.contacts.as_ref(), "contacts_avp")?;
    let flows = named(names.flows.as_ref(), "contact_flows_avp")?;
    let Some(first) = take(cx, name) else {
        return Ok(NOTHING_LEFT);
    };
    cx.xavps.remove_all(flows);
    let mut group = Group::default();
    let mut ended = group.put(cx, first, names, flows);
    while !ended && let Some(next) = take(cx, name) {
        ended = group.put(cx, next, names, flows);
    }
    let mut targets = group.targets.into_iter();
    let Some(first) = targets.next() else {
        return Err(Fault::script(format!(
            "$xavp({name}) holds a contact without the field uri"
        )));
    };
    cx.target = Target { q: None, ..first };
    cx.branches.extend(targets);
    cx.extra::<Attached>().used = None;
    *cx.extra::<Option<UsedTarget>>() = None;
    if let Some(name) = &names.attributes {
        cx.xavps.remove_all(name);
        for value in group.attributes.into_iter().rev() {
            cx.xavps.add(name.clone(), value);
        }
    }
    Ok(1)
}

/// The contacts to be tried together.
#[derive(Default)]
struct Group {
    targets: Vec<Target>,
    attributes: Vec<XValue>,
}

impl Group {
    /// Puts a contact in, or with the flows where its instance is there already. True where it ends the group.
    fn put(&mut self, cx: &mut Cx, mut fields: Xavps, names: &Names, flows: &Str) -> bool {
        let last = number_of(&fields, b"q_flag").is_some_and(|flag| flag != 0);
        let instance = text_of(&fields, b"instance");
        let known = |target: &Target| instance.is_some() && target.instance == instance;
        if self.targets.iter().any(known) {
            fields.remove_all(b"q_flag");
            cx.xavps.add(flows.clone(), XValue::List(fields));
        } else if let Some(target) = target(cx, &fields) {
            let attributes = names.attributes.as_ref().and_then(|name| fields.remove(name, 0));
            self.attributes
                .push(attributes.map_or(XValue::Null, |known| known.value));
            self.targets.push(target);
        }
        last
    }
}

fn t_next_contact_flow(m: &Tm, cx: &mut Cx) -> Result<i64, Fault> {
    let names = &m.core.options().further.names;
    let flows = named(names.flows.as_ref(), "contact_flows_avp")?;
    let failed = failed_instance(cx);
    let is_it = |fields: &XValue| match fields {
        XValue::List(fields) => failed.is_some() && text_of(fields, b"instance") == failed,
        _ => false,
    };
    let Some(at) = cx.xavps.all(flows).position(|flow| is_it(&flow.value)) else {
        return Ok(NOTHING_LEFT);
    };
    let Some(XValue::List(fields)) = cx.xavps.remove(flows, at).map(|flow| flow.value) else {
        return Ok(NOTHING_LEFT);
    };
    let branch = target(cx, &fields)
        .ok_or_else(|| Fault::script(format!("$xavp({flows}) holds a flow without the field uri")))?;
    cx.branches.push(branch);
    Ok(1)
}

/// The +sip.instance of the branch that the route is about.
fn failed_instance(cx: &Cx) -> Option<Str> {
    let (Role::BranchFailure(branch) | Role::Failure(branch)) = attached::role(cx) else {
        return None;
    };
    let cell = attached::cell(cx)?;
    let state = cell.state.lock();
    state.branches.get(branch.index())?.target.instance().cloned()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn contact(uri: &'static str, q: Option<u16>) -> Contact {
        let target = Target {
            ruri: Some(Str::from_static(uri)),
            q,
            ..Target::default()
        };
        Contact {
            target,
            attributes: None,
        }
    }

    #[test]
    fn a_contact_comes_out_of_its_record_as_it_went_in() {
        let cx = Server::default().invite();
        let mut known = contact("sip:a@b", Some(700));
        known.target.dst_uri = Some("sip:c".into());
        known.target.flags = 6;
        known.target.instance = Some("<urn:uuid:1>".into());
        known.target.send_socket = Some(cx.received.listener);
        let fields = record(&cx, &known, &Names::default(), true);
        assert_eq!(number_of(&fields, b"q_flag"), Some(LAST_OF_GROUP));
        assert_eq!(text_of(&fields, b"sock"), Some("udp:127.0.0.1:5060".into()));
        let back = target(&cx, &fields).unwrap();
        assert_eq!(back.ruri, known.target.ruri);
        assert_eq!(back.dst_uri, known.target.dst_uri);
        assert_eq!((back.flags, back.q), (6, Some(0)));
        assert_eq!(back.send_socket, known.target.send_socket);
    }

    #[test]
    fn contacts_of_one_instance_become_flows() {
        let mut cx = Server::default().invite();
        let (names, flows) = (Names::default(), Str::from_static("flows"));
        let mut group = Group::default();
        for (uri, last) in [("sip:1@a", false), ("sip:2@a", false), ("sip:3@a", true)] {
            let mut known = contact(uri, None);
            known.target.instance = (uri != "sip:2@a").then(|| "<urn:uuid:1>".into());
            let fields = record(&cx, &known, &names, last);
            assert_eq!(group.put(&mut cx, fields, &names, &flows), last);
        }
        assert_eq!(group.targets.len(), 2);
        assert_eq!(cx.xavps.count(&flows), 1);
    }

    #[test]
    fn a_lot_prefers_weights_and_puts_none_last() {
        let contacts = || {
            vec![
                contact("sip:none@a", None),
                contact("sip:zero@a", Some(0)),
                contact("sip:heavy@a", Some(999)),
                contact("sip:light@a", Some(1)),
            ]
        };
        let order = |lot: u64| -> Vec<String> {
            let drawn = drawn(contacts(), || lot);
            let uri = |contact: &Contact| contact.target.ruri.as_ref().unwrap().text().into_owned();
            drawn.iter().rev().map(uri).collect()
        };
        assert_eq!(
            order(0),
            ["sip:heavy@a", "sip:light@a", "sip:none@a", "sip:zero@a"]
        );
        assert_eq!(
            order(999),
            ["sip:light@a", "sip:heavy@a", "sip:none@a", "sip:zero@a"]
        );
    }
}
