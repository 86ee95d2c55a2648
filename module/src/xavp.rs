//! XAVPs: `$xavp(a[0]=>b)`, trees of named values. `$xavu` keeps one value a name, `$xavi` ignores the case of names.

use crate::{Str, Value};

/// What an XAVP holds.
#[derive(Clone, Debug, PartialEq)]
pub enum XValue {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// A text.
    Str(Str),
    /// Fields.
    List(Xavps),
}

impl XValue {
    /// As a script value; a list has none of its own (Kamailio prints `<<xavp:0x…>>` with its address; here the address is 0).
    pub fn value(&self) -> Value {
        match self {
            XValue::Null => Value::Null,
            XValue::Int(n) => Value::Int(*n),
            XValue::Str(text) => Value::Str(text.clone()),
            XValue::List(_) => Value::from("<<xavp:0x0>>"),
        }
    }
}

impl From<Value> for XValue {
    fn from(value: Value) -> XValue {
        match value {
            Value::Null => XValue::Null,
            Value::Int(n) => XValue::Int(n),
            Value::Str(text) => XValue::Str(text),
        }
    }
}

/// One named value.
#[derive(Clone, Debug, PartialEq)]
pub struct Xavp {
    /// Its name.
    pub name: Str,
    /// Its value.
    pub value: XValue,
}

/// A list of named values; the newest of a name comes first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Xavps {
    /// Oldest first.
    list: Vec<Xavp>,
    ignore_case: bool,
}

impl Xavps {
    /// A list whose names differ in more than case (`$xavp`, `$xavu`).
    pub const fn new() -> Xavps {
        Xavps {
            list: Vec::new(),
            ignore_case: false,
        }
    }

    /// A list that ignores the case of names (`$xavi`).
    pub const fn ignoring_case() -> Xavps {
        Xavps {
            list: Vec::new(),
            ignore_case: true,
        }
    }

    /// An empty list of the same manner.
    pub fn sibling(&self) -> Xavps {
        Xavps {
            list: Vec::new(),
            ignore_case: self.ignore_case,
        }
    }

    fn same(&self, a: &[u8], b: &[u8]) -> bool {
        if self.ignore_case {
            a.eq_ignore_ascii_case(b)
        } else {
            a == b
        }
    }

    /// Newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Xavp> {
        self.list.iter().rev()
    }

    /// Those of a name, newest first.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Xavp> {
        self.iter().filter(move |xavp| self.same(&xavp.name, name))
    }

    /// How many of a name.
    pub fn count(&self, name: &[u8]) -> usize {
        self.all(name).count()
    }

    fn place(&self, name: &[u8], at: usize) -> Option<usize> {
        self.list
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, xavp)| self.same(&xavp.name, name))
            .map(|(place, _)| place)
            .nth(at)
    }

    /// The `at`-th newest of a name.
    pub fn get(&self, name: &[u8], at: usize) -> Option<&Xavp> {
        self.place(name, at).and_then(|place| self.list.get(place))
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, name: &[u8], at: usize) -> Option<&mut Xavp> {
        self.place(name, at).and_then(|place| self.list.get_mut(place))
    }

    /// Adds one before the others.
    pub fn add(&mut self, name: Str, value: XValue) {
        self.list.push(Xavp { name, value });
    }

    /// Adds one behind all others.
    pub fn add_last(&mut self, name: Str, value: XValue) {
        self.list.insert(0, Xavp { name, value });
    }

    /// Takes away the `at`-th newest of a name.
    pub fn remove(&mut self, name: &[u8], at: usize) -> Option<Xavp> {
        self.place(name, at).map(|place| self.list.remove(place))
    }

    /// Takes away all of a name; how many.
    pub fn remove_all(&mut self, name: &[u8]) -> usize {
        let before = self.list.len();
        let ignore_case = self.ignore_case;
        self.list.retain(|xavp| {
            if ignore_case {
                !xavp.name.eq_ignore_ascii_case(name)
            } else {
                *xavp.name != *name
            }
        });
        before.saturating_sub(self.list.len())
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Without any.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_newest_first() {
        let mut list = Xavps::new();
        list.add(Str::from("a"), XValue::Int(1));
        list.add(Str::from("b"), XValue::Int(2));
        list.add(Str::from("a"), XValue::Int(3));
        assert_eq!(list.get(b"a", 0).map(|x| &x.value), Some(&XValue::Int(3)));
        assert_eq!(list.get(b"a", 1).map(|x| &x.value), Some(&XValue::Int(1)));
        assert!(list.get(b"A", 0).is_none());
        list.remove(b"a", 0);
        assert_eq!(list.count(b"a"), 1);
    }

    #[test]
    fn xavi_ignores_case() {
        let mut list = Xavps::ignoring_case();
        list.add(Str::from("Via"), XValue::Int(1));
        assert_eq!(list.count(b"VIA"), 1);
        assert_eq!(list.remove_all(b"via"), 1);
    }
}
