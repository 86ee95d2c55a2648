//! AVPs: `$avp(name)`, lists of values bound to the message and later to its transaction.

use crate::{Str, Value, var::Index};

/// The name of an AVP: a number or a text; `i:5` and `s:foo` in the script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AvpName {
    /// `$avp(i:5)`.
    Int(i64),
    /// `$avp(s:foo)`, `$avp(foo)`.
    Str(Str),
}

/// Which user or side an AVP belongs to (SER's attribute classes). Kamailio's `$avp()` uses the from-user list unless a prefix says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AvpClass {
    /// `$f.x`, `$fu.x`, and `$avp(x)`.
    #[default]
    FromUser,
    /// `$tu.x`, `$t.x`.
    ToUser,
    /// `$fd.x`.
    FromDomain,
    /// `$td.x`.
    ToDomain,
    /// `$fr.x`: of the URI in From.
    FromUri,
    /// `$tr.x`: of the URI in To.
    ToUri,
    /// `$g.x`.
    Global,
}

/// One AVP.
#[derive(Clone, Debug, PartialEq)]
pub struct Avp {
    /// Its list.
    pub class: AvpClass,
    /// Its name.
    pub name: AvpName,
    /// Its value; never `$null`.
    pub value: Value,
    /// User flags (`setavpflag`).
    pub flags: u32,
}

/// The AVPs of a message. The newest of a name comes first, as in Kamailio.
#[derive(Clone, Debug, Default)]
pub struct Avps {
    list: Vec<Avp>,
}

impl Avps {
    /// Puts a value before the others of its name.
    pub fn add(&mut self, class: AvpClass, name: AvpName, value: Value) {
        self.list.push(Avp {
            class,
            name,
            value,
            flags: 0,
        });
    }

    /// The AVPs of a name, newest first.
    pub fn all<'a>(&'a self, class: AvpClass, name: &'a AvpName) -> impl Iterator<Item = &'a Avp> {
        self.list
            .iter()
            .rev()
            .filter(move |avp| avp.class == class && avp.name == *name)
    }

    /// The same, to change them.
    pub fn all_mut<'a>(
        &'a mut self,
        class: AvpClass,
        name: &'a AvpName,
    ) -> impl Iterator<Item = &'a mut Avp> {
        self.list
            .iter_mut()
            .rev()
            .filter(move |avp| avp.class == class && avp.name == *name)
    }

    /// Every AVP, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Avp> {
        self.list.iter().rev()
    }

    /// The newest value, or that at the index; `$null` where there is none.
    pub fn get(&self, class: AvpClass, name: &AvpName, index: Index) -> Value {
        let at = match index {
            Index::None | Index::At(0) => Some(0),
            index => index.pick(self.all(class, name).count()),
        };
        at.and_then(|at| self.all(class, name).nth(at))
            .map_or(Value::Null, |avp| avp.value.clone())
    }

    /// Takes away those that `gone` picks; how many.
    pub fn remove(&mut self, gone: impl Fn(&Avp) -> bool) -> usize {
        let before = self.list.len();
        self.list.retain(|avp| !gone(avp));
        before.saturating_sub(self.list.len())
    }

    /// Takes away one of a name by its place, newest first.
    pub fn remove_at(&mut self, class: AvpClass, name: &AvpName, at: usize) -> bool {
        let found = self
            .list
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, avp)| avp.class == class && avp.name == *name)
            .map(|(place, _)| place)
            .nth(at);
        found.map(|place| self.list.remove(place)).is_some()
    }

    /// Without any.
    pub fn clear(&mut self) {
        self.list.clear();
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_indexes_count_from_it() {
        let name = AvpName::Str(Str::from_static("x"));
        let mut avps = Avps::default();
        for n in 1..=3 {
            avps.add(AvpClass::FromUser, name.clone(), Value::Int(n));
        }
        assert_eq!(avps.get(AvpClass::FromUser, &name, Index::None), Value::Int(3));
        assert_eq!(avps.get(AvpClass::FromUser, &name, Index::At(2)), Value::Int(1));
        assert_eq!(avps.get(AvpClass::FromUser, &name, Index::At(-1)), Value::Int(1));
        assert!(avps.remove_at(AvpClass::FromUser, &name, 0));
        assert_eq!(avps.get(AvpClass::FromUser, &name, Index::None), Value::Int(2));
        assert_eq!(avps.get(AvpClass::ToUser, &name, Index::None), Value::Null);
    }
}
