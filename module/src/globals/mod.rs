//! Global parameters: what may stand as `name = value` at the top of a configuration.
//!
//! [`table`] has one row for each, and [`Globals`] one field; both come from the one list in `list.rs`.

mod kind;
mod list;
mod listen;
mod runtime;
mod setters;
mod words;

use crate::{BindError, Value};

pub use self::{
    kind::{AsyncGroup, Facility, GlobalKind, GlobalValue, HexStyle},
    list::{Globals, table},
    listen::{Advertise, AliasSpec, ListenHost, ListenSpec},
    runtime::RuntimeSetting,
    words::truth,
};

/// What a parameter does in this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// What it does in Kamailio.
    Works,
    /// It is accepted, and has no meaning here; the text says why.
    NotHere(&'static str),
    /// It is accepted, and works once this part of the server exists.
    Later(&'static str),
}

/// One global parameter.
pub struct GlobalDecl {
    /// As scripts write it; `coreparam[x]` for those that are set so, `kemi.x` for those with a group.
    pub name: &'static str,
    /// Its other spellings.
    pub aliases: &'static [&'static str],
    /// What stands at the right of the equals sign.
    pub kind: GlobalKind,
    /// One sentence, with the unit.
    pub doc: &'static str,
    /// Whether it does something.
    pub effect: Effect,
    set: fn(&mut Globals, GlobalValue) -> Result<(), BindError>,
    get: fn(&Globals) -> Value,
}

impl GlobalDecl {
    /// Has this name or alias.
    pub fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// Assigns.
    ///
    /// # Errors
    /// The value is of another kind or out of range; the error names the parameter and what it takes.
    pub fn set(&self, globals: &mut Globals, value: GlobalValue) -> Result<(), BindError> {
        (self.set)(globals, value).map_err(|error| BindError {
            covered: error.covered,
            message: format!("{} {}", self.name, error.message),
            help: error.help,
        })
    }

    /// The value now, for listings and the run-time settings; null where nothing is set.
    pub fn value(&self, globals: &Globals) -> Value {
        (self.get)(globals)
    }
}

/// The parameter of this name or alias.
pub fn find(name: &str) -> Option<&'static GlobalDecl> {
    table().iter().find(|row| row.answers_to(name))
}

/// Every name and alias, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    table()
        .iter()
        .flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Str;

    /// Names and aliases of Kamailio 6.2's grammar, one parameter a line.
    const INVENTORY: &str = include_str!("inventory.txt");

    #[test]
    fn every_parameter_of_kamailio_is_known_under_each_of_its_names() {
        for line in INVENTORY.lines() {
            let mut found = line.split(' ').map(|name| (name, find(name)));
            let (first, row) = found.next().unwrap();
            let row = row.unwrap_or_else(|| panic!("{first} is missing"));
            for (alias, other) in found {
                let other = other.unwrap_or_else(|| panic!("{alias} is missing"));
                assert_eq!(row.name, other.name, "{alias} stands for another parameter");
            }
        }
    }

    #[test]
    fn no_parameter_is_invented_or_listed_twice() {
        let known: HashSet<&str> = INVENTORY.split_whitespace().collect();
        let mut seen = HashSet::new();
        for name in names() {
            assert!(known.contains(name), "{name} is no parameter of Kamailio");
            assert!(seen.insert(name), "{name} is listed twice");
        }
        assert_eq!(seen.len(), known.len());
    }

    #[test]
    fn every_row_says_what_it_is() {
        for row in table() {
            assert!(
                row.doc.ends_with('.') && row.doc.len() > 15,
                "{}: {:?}",
                row.name,
                row.doc
            );
            assert!(!row.doc.contains("  "), "{}: {:?}", row.name, row.doc);
            if let Effect::NotHere(why) | Effect::Later(why) = row.effect {
                assert!(!why.is_empty() && !why.ends_with('.'), "{}: {why:?}", row.name);
            }
        }
    }

    /// A value that is none of the defaults goes in and comes out of every parameter that takes numbers or texts.
    #[test]
    fn what_is_set_is_what_is_read() {
        for row in table() {
            let mut globals = Globals::default();
            let before = row.value(&globals);
            let value = match (row.kind, &before) {
                (GlobalKind::Bool, Value::Int(n)) => GlobalValue::Int(i64::from(*n == 0)),
                (GlobalKind::Int, Value::Int(1)) => GlobalValue::Int(0),
                (GlobalKind::Int, _) => GlobalValue::Int(1),
                (GlobalKind::Str, _) => GlobalValue::Str(Str::from_static("x")),
                _ => continue,
            };
            row.set(&mut globals, value)
                .unwrap_or_else(|error| panic!("{error}"));
            assert_ne!(row.value(&globals), before, "{} did not change", row.name);
        }
    }

    #[test]
    fn errors_name_the_parameter_and_the_remedy() {
        let mut globals = Globals::default();
        let error = find("children")
            .unwrap()
            .set(&mut globals, GlobalValue::Str(Str::from_static("4")))
            .unwrap_err();
        assert_eq!(error.message, "children takes a number, not a string");
        assert_eq!(error.help.as_deref(), Some("write 4 without quotes"));
        let error = find("max_branches")
            .unwrap()
            .set(&mut globals, GlobalValue::Int(31))
            .unwrap_err();
        assert_eq!(error.message, "max_branches takes a number from 1 to 30, not 31");
    }
}
