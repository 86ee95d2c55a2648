//! `$ulc(profile=>attribute)`, and the functions that fill and empty profiles.

use kahea_module::{Bind, BindError, Cx, Fault, Given, Index, Lit, Ret, Str, Value, xavp::XValue};

use super::{Registrar, table::Table};
use crate::usrloc::{Contact, Profile, Profiles};

/// An attribute of a profile or of one of its contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Aor,
    Domain,
    AorHash,
    Count,
    Address,
    Path,
    Received,
    Expires,
    CallId,
    Q,
    Cseq,
    Flags,
    Cflags,
    UserAgent,
    Socket,
    Modified,
    Methods,
    Ruid,
    RegId,
    Instance,
    Connection,
    ServerId,
}

const NAMES: [(&str, Attribute); 22] = [
    ("aor", Attribute::Aor),
    ("domain", Attribute::Domain),
    ("aorhash", Attribute::AorHash),
    ("count", Attribute::Count),
    ("addr", Attribute::Address),
    ("path", Attribute::Path),
    ("received", Attribute::Received),
    ("expires", Attribute::Expires),
    ("callid", Attribute::CallId),
    ("q", Attribute::Q),
    ("cseq", Attribute::Cseq),
    ("flags", Attribute::Flags),
    ("cflags", Attribute::Cflags),
    ("user_agent", Attribute::UserAgent),
    ("socket", Attribute::Socket),
    ("modified", Attribute::Modified),
    ("methods", Attribute::Methods),
    ("ruid", Attribute::Ruid),
    ("regid", Attribute::RegId),
    ("instance", Attribute::Instance),
    ("conid", Attribute::Connection),
    ("server_id", Attribute::ServerId),
];

impl Attribute {
    fn parse(name: &str) -> Option<Attribute> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, attribute)| *attribute)
    }

    /// Of the profile itself; `None` for an attribute of a contact.
    fn of_profile(self, profile: &Profile) -> Option<Value> {
        Some(match self {
            Attribute::Aor => Value::Str(profile.aor.clone()),
            Attribute::Domain => Value::Str(profile.domain.name().clone()),
            Attribute::AorHash => Value::from(profile.domain.hash(&profile.aor)),
            Attribute::Count => Value::Int(i64::try_from(profile.contacts.len()).unwrap_or(i64::MAX)),
            _ => return None,
        })
    }

    fn of_contact(self, contact: &Contact) -> Value {
        let text = |text: &[u8]| Value::Str(contact.whole().share(text));
        match self {
            Attribute::Address => text(contact.address()),
            Attribute::Path => contact.path().map_or(Value::EMPTY, text),
            Attribute::Received => contact.received().map_or(Value::EMPTY, text),
            Attribute::Expires => contact.expires().into(),
            Attribute::CallId => text(contact.call_id()),
            Attribute::Q => Value::Int(contact.q().map_or(-1, i64::from)),
            Attribute::Cseq => contact.cseq().into(),
            Attribute::Flags => contact.flags().into(),
            Attribute::Cflags => contact.cflags().into(),
            Attribute::UserAgent => text(contact.user_agent()),
            Attribute::Socket => contact.socket().map_or(Value::Null, text),
            Attribute::Modified => contact.modified().into(),
            Attribute::Methods => contact.methods().into(),
            Attribute::Ruid => text(contact.ruid()),
            Attribute::RegId => contact.reg_id().into(),
            Attribute::Instance => contact.instance().map_or(Value::Null, text),
            Attribute::Connection => {
                let id = contact.connection().and_then(|id| i64::try_from(id.0).ok());
                id.map_or(Value::Null, Value::Int)
            }
            Attribute::ServerId => contact.server_id().into(),
            Attribute::Aor | Attribute::Domain | Attribute::AorHash | Attribute::Count => Value::Null,
        }
    }
}

/// The inner name of `$ulc()`.
pub(super) struct Name {
    profile: Str,
    attribute: Attribute,
}

pub(super) fn parse(text: &str, _: &dyn Bind) -> Result<Name, BindError> {
    let wrong = |message: String| {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        BindError::new(message).help(format!(
            "write $ulc(profile=>attribute) with one of {}",
            names.join(", ")
        ))
    };
    let (profile, attribute) = text
        .split_once("=>")
        .ok_or_else(|| wrong(format!("'{text}' names no attribute of a profile")))?;
    let known = Attribute::parse(attribute.trim());
    Ok(Name {
        profile: Str::from(profile.trim()),
        attribute: known.ok_or_else(|| wrong(format!("a contact has no attribute '{attribute}'")))?,
    })
}

fn value(cx: &Cx, profile: &[u8], attribute: Attribute, at: usize) -> Value {
    let Some(profile) = cx.extra_ref::<Profiles>().and_then(|all| all.get(profile)) else {
        return Value::Null;
    };
    attribute.of_profile(profile).unwrap_or_else(|| {
        let contact = profile.contacts.get(at);
        contact.map_or(Value::Null, |contact| attribute.of_contact(contact))
    })
}

/// Below 0, and without a number, the first contact is meant.
pub(super) fn get(_: &Registrar, cx: &mut Cx, name: &Name, index: Index) -> Value {
    let at = match index {
        Index::At(at) => usize::try_from(at).unwrap_or(0),
        Index::None | Index::All => 0,
    };
    value(cx, &name.profile, name.attribute, at)
}

/// A profile can be emptied by `$null`; its contacts are changed by other means.
pub(super) fn set(_: &Registrar, cx: &mut Cx, name: &Name, _: Index, value: Value) -> Result<(), Fault> {
    match value {
        Value::Null => {
            cx.extra::<Profiles>().remove(&name.profile);
            Ok(())
        }
        _ => Err(Fault::script(
            "$ulc() shows contacts; only $null can be assigned, which empties the profile",
        )),
    }
}

pub(super) fn reg_fetch_contacts(
    m: &Registrar,
    cx: &mut Cx,
    table: Lit<Table>,
    uri: Str,
    profile: Str,
) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    cx.extra::<Profiles>().remove(&profile);
    let rules = m.inner.live.get(cx).rules(m.inner.service.settings().use_domain);
    let Ok(aor) = rules.aor(&uri) else {
        return Ret::FALSE;
    };
    let (of, key) = (domain.clone(), aor.clone());
    m.inner.with_contacts(cx, &domain, &aor, move |_, cx, contacts| {
        if contacts.is_empty() {
            return Ret::FALSE;
        }
        cx.extra::<Profiles>().set(Profile {
            name: profile,
            domain: of,
            aor: key,
            contacts,
        });
        Ret::TRUE
    })
}

pub(super) fn reg_free_contacts(_: &Registrar, cx: &mut Cx, profile: Str) -> bool {
    cx.extra::<Profiles>().remove(&profile);
    true
}

/// `KSR.registrar.ulc_rget()`: an attribute of the profile.
pub(super) fn ulc_rget(m: &Registrar, cx: &mut Cx, profile: Str, attribute: Str) -> bool {
    ulc_cget(m, cx, profile, attribute, 0)
}

/// `KSR.registrar.ulc_cget()`: an attribute of a contact.
pub(super) fn ulc_cget(_: &Registrar, cx: &mut Cx, profile: Str, attribute: Str, at: i64) -> bool {
    let at = usize::try_from(at).unwrap_or(0);
    let attribute = attribute.as_utf8().and_then(Attribute::parse);
    let value = attribute.map_or(Value::Null, |attribute| value(cx, &profile, attribute, at));
    let known = !value.is_null();
    Given::set(cx, value);
    known
}

/// `lookup_xavp()`: the record and its contacts as xavps.
pub(super) fn lookup_xavp(
    m: &Registrar,
    cx: &mut Cx,
    table: Lit<Table>,
    uri: Str,
    record: Str,
    contacts_name: Str,
) -> Ret {
    let domain = match table.domain(&m.inner.service) {
        Ok(domain) => domain.clone(),
        Err(fault) => return fault.into(),
    };
    if record.is_empty() || contacts_name.is_empty() {
        return Fault::script("lookup_xavp() needs names of xavps").into();
    }
    let rules = m.inner.live.get(cx).rules(m.inner.service.settings().use_domain);
    let Ok(aor) = rules.aor(&uri) else {
        return Ret::Code(-3);
    };
    let (of, key) = (domain.clone(), aor.clone());
    m.inner.with_contacts(cx, &domain, &aor, move |_, cx, contacts| {
        cx.xavps.remove_all(&record);
        cx.xavps.remove_all(&contacts_name);
        if contacts.is_empty() {
            return Ret::FALSE;
        }
        let profile = Profile {
            name: Str::EMPTY,
            domain: of,
            aor: key,
            contacts,
        };
        let mut fields = cx.xavps.sibling();
        for (name, attribute) in NAMES {
            if let Some(value) = attribute.of_profile(&profile) {
                fields.add(Str::from_static(name), XValue::from(value));
            }
        }
        cx.xavps.add(record, XValue::List(fields));
        for contact in &profile.contacts {
            let mut fields = cx.xavps.sibling();
            for (name, attribute) in NAMES {
                let value = attribute.of_contact(contact);
                if !value.is_null() {
                    fields.add(Str::from_static(name), XValue::from(value));
                }
            }
            cx.xavps.add_last(contacts_name.clone(), XValue::List(fields));
        }
        Ret::TRUE
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn names_are_checked_at_load() {
        let bind = Server::default().invite().bind();
        let name = parse("c => addr", &*bind).map(|name| (name.profile, name.attribute));
        assert_eq!(name.unwrap(), (Str::from("c"), Attribute::Address));
        for wrong in ["c", "c=>nothing", ""] {
            assert!(parse(wrong, &*bind).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_profile_that_was_not_fetched_is_null() {
        let mut cx = Server::default().invite();
        assert_eq!(value(&cx, b"c", Attribute::Aor, 0), Value::Null);
        cx.extra::<Profiles>().remove(b"c");
    }
}
