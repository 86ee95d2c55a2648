//! What DNS answered, for `$dns`, `$srvquery`, `$naptrquery` and `$ptrquery`. Kept with the message.

use std::net::IpAddr;

use kahea_module::{Bind, BindError, Cx, Index, Str, Value};

use super::IpOps;

/// A service record.
#[derive(Clone, Debug)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: Str,
}

/// A naming authority pointer.
#[derive(Clone, Debug)]
pub(super) struct Naptr {
    pub(super) order: u16,
    pub(super) preference: u16,
    pub(super) flags: Str,
    pub(super) services: Str,
    pub(super) regexp: Str,
    pub(super) replacement: Str,
}

/// The answers of one kind by the script's ids.
#[derive(Debug)]
pub(super) struct Kept<T>(Vec<(Str, Vec<T>)>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Vec::new())
    }
}

impl<T> Kept<T> {
    /// In the place of an earlier answer of the id.
    pub(super) fn keep(&mut self, id: Str, records: Vec<T>) {
        self.0.retain(|(known, _)| *known != id);
        self.0.push((id, records));
    }

    fn get(&self, id: &[u8]) -> Option<&[T]> {
        let (_, records) = self.0.iter().find(|(known, _)| **known == *id)?;
        Some(records)
    }
}

/// The answers to a message's questions.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) addresses: Kept<IpAddr>,
    pub(super) srv: Kept<Srv>,
    pub(super) naptr: Kept<Naptr>,
    pub(super) names: Kept<Str>,
}

impl Answers {
    pub(super) fn of(cx: &mut Cx) -> &mut Answers {
        cx.extra()
    }
}

/// `id=>key[index]`.
#[derive(Clone, Debug)]
pub(super) struct Part<K> {
    id: Str,
    key: K,
    index: Index,
}

fn parse<K: Copy>(name: &str, keys: &[(&str, K)]) -> Result<Part<K>, BindError> {
    let wrong = || {
        let known: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
        BindError::new(format!("'{name}' is not of the form id=>key[index]"))
            .help(format!("the keys are {}", known.join(", ")))
    };
    let (id, key) = name.split_once("=>").ok_or_else(wrong)?;
    let (key, index) = match key.trim().split_once('[') {
        None => (key.trim(), Index::None),
        Some((key, index)) => {
            let number = index
                .strip_suffix(']')
                .and_then(|index| index.trim().parse().ok());
            (key, Index::At(number.ok_or_else(wrong)?))
        }
    };
    let (_, key) = keys.iter().find(|(known, _)| *known == key).ok_or_else(wrong)?;
    Ok(Part {
        id: Str::from(id.trim()),
        key: *key,
        index,
    })
}

impl<K> Part<K> {
    /// The record that the index means.
    fn pick<'a, T>(&self, records: &'a [T]) -> Option<&'a T> {
        records.get(self.index.pick(records.len())?)
    }
}

fn count<T>(records: &[T]) -> Value {
    Value::Int(i64::try_from(records.len()).unwrap_or(i64::MAX))
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AddressKey {
    Count,
    HasV4,
    HasV6,
    Address,
    Family,
}

pub(super) fn parse_addresses(name: &str, _: &dyn Bind) -> Result<Part<AddressKey>, BindError> {
    parse(
        name,
        &[
            ("count", AddressKey::Count),
            ("ipv4", AddressKey::HasV4),
            ("ipv6", AddressKey::HasV6),
            ("addr", AddressKey::Address),
            ("type", AddressKey::Family),
        ],
    )
}

pub(super) fn address(_: &IpOps, cx: &mut Cx, part: &Part<AddressKey>, _: Index) -> Value {
    let ips = Answers::of(cx).addresses.get(&part.id);
    let Some(ips) = ips.filter(|ips| !ips.is_empty()) else {
        return Value::Null;
    };
    match part.key {
        AddressKey::Count => count(ips),
        AddressKey::HasV4 => ips.iter().any(IpAddr::is_ipv4).into(),
        AddressKey::HasV6 => ips.iter().any(IpAddr::is_ipv6).into(),
        AddressKey::Address => part.pick(ips).map(ToString::to_string).into(),
        AddressKey::Family => part.pick(ips).map(|ip| if ip.is_ipv4() { 4 } else { 6 }).into(),
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum SrvKey {
    Count,
    Port,
    Priority,
    Target,
    Weight,
}

pub(super) fn parse_srv(name: &str, _: &dyn Bind) -> Result<Part<SrvKey>, BindError> {
    parse(
        name,
        &[
            ("count", SrvKey::Count),
            ("port", SrvKey::Port),
            ("priority", SrvKey::Priority),
            ("target", SrvKey::Target),
            ("weight", SrvKey::Weight),
        ],
    )
}

pub(super) fn srv(_: &IpOps, cx: &mut Cx, part: &Part<SrvKey>, _: Index) -> Value {
    let Some(records) = Answers::of(cx).srv.get(&part.id) else {
        return Value::Null;
    };
    let found = part.pick(records);
    match part.key {
        SrvKey::Count => count(records),
        SrvKey::Port => found.map(|srv| srv.port).into(),
        SrvKey::Priority => found.map(|srv| srv.priority).into(),
        SrvKey::Target => found.map(|srv| srv.target.clone()).into(),
        SrvKey::Weight => found.map(|srv| srv.weight).into(),
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NaptrKey {
    Count,
    Order,
    Preference,
    Flags,
    Services,
    Regexp,
    Replacement,
}

pub(super) fn parse_naptr(name: &str, _: &dyn Bind) -> Result<Part<NaptrKey>, BindError> {
    parse(
        name,
        &[
            ("count", NaptrKey::Count),
            ("order", NaptrKey::Order),
            ("pref", NaptrKey::Preference),
            ("flags", NaptrKey::Flags),
            ("services", NaptrKey::Services),
            ("regex", NaptrKey::Regexp),
            ("replace", NaptrKey::Replacement),
        ],
    )
}

pub(super) fn naptr(_: &IpOps, cx: &mut Cx, part: &Part<NaptrKey>, _: Index) -> Value {
    let Some(records) = Answers::of(cx).naptr.get(&part.id) else {
        return Value::Null;
    };
    let found = part.pick(records);
    match part.key {
        NaptrKey::Count => count(records),
        NaptrKey::Order => found.map(|naptr| naptr.order).into(),
        NaptrKey::Preference => found.map(|naptr| naptr.preference).into(),
        NaptrKey::Flags => found.map(|naptr| naptr.flags.clone()).into(),
        NaptrKey::Services => found.map(|naptr| naptr.services.clone()).into(),
        NaptrKey::Regexp => found.map(|naptr| naptr.regexp.clone()).into(),
        NaptrKey::Replacement => found.map(|naptr| naptr.replacement.clone()).into(),
    }
}

pub(super) fn parse_ptr(name: &str, _: &dyn Bind) -> Result<Part<()>, BindError> {
    parse(name, &[("hostname", ())])
}

pub(super) fn ptr(_: &IpOps, cx: &mut Cx, part: &Part<()>, _: Index) -> Value {
    let names = Answers::of(cx).names.get(&part.id);
    names.and_then(|names| part.pick(names).cloned()).into()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::FakeBind;

    use super::*;

    #[test]
    fn wrong_names_are_refused() {
        let bind = FakeBind::default();
        for wrong in ["x", "x=>", "x=>hostname", "x=>addr[", "x=>addr[a]", "=addr"] {
            assert!(parse_addresses(wrong, &bind).is_err(), "{wrong}");
        }
        let part = parse_srv(" x => port[ 3 ] ", &bind).unwrap();
        assert_eq!((part.id, part.index), (Str::from("x"), Index::At(3)));
    }
}
