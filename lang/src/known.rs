//! What Kamailio knows, by name: to tell a misspelt name from one whose module is not loaded or not here yet.

use std::{collections::HashMap, sync::LazyLock};

static TABLE: &str = include_str!("../data/known.tsv");

/// The kind of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A module.
    Module,
    /// A module of an earlier version, gone by now.
    Old,
    /// A function.
    Function,
    /// A module parameter.
    Param,
    /// A pseudo-variable.
    Var,
    /// A transformation, `class.name`.
    Transformation,
    /// A global parameter of an earlier version.
    OldGlobal,
    /// A module parameter of an earlier version that live configurations still carry.
    OldParam,
}

type Names = HashMap<Kind, HashMap<&'static str, Vec<&'static str>>>;

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names::new();
    for row in TABLE.lines() {
        let mut fields = row.split('\t');
        let kind = match fields.next() {
            Some("module") => Kind::Module,
            Some("old") => Kind::Old,
            Some("function") => Kind::Function,
            Some("param") => Kind::Param,
            Some("var") => Kind::Var,
            Some("transformation") => Kind::Transformation,
            Some("oldparam") => Kind::OldParam,
            Some("oldglobal") => Kind::OldGlobal,
            _ => continue,
        };
        if let (Some(name), Some(module)) = (fields.next(), fields.next()) {
            names
                .entry(kind)
                .or_default()
                .entry(name)
                .or_default()
                .push(module);
        }
    }
    names
});

/// The modules of Kamailio that have this name; empty where none has.
pub fn modules_with(kind: Kind, name: &str) -> &'static [&'static str] {
    NAMES
        .get(&kind)
        .and_then(|names| names.get(name))
        .map_or(&[], Vec::as_slice)
}

/// Kamailio has, or had, this module.
pub fn is_module(name: &str) -> bool {
    !modules_with(Kind::Module, name).is_empty() || is_old_module(name)
}

/// An earlier version of Kamailio had this module.
pub fn is_old_module(name: &str) -> bool {
    !modules_with(Kind::Old, name).is_empty()
}

/// All names of a kind.
pub fn all(kind: Kind) -> impl Iterator<Item = &'static str> {
    NAMES
        .get(&kind)
        .into_iter()
        .flat_map(|names| names.keys().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_modules() {
        assert_eq!(modules_with(Kind::Function, "t_relay"), ["tm"]);
        assert!(modules_with(Kind::Var, "ru").contains(&"pv"));
        assert!(is_module("tm") && is_old_module("mi_fifo") && !is_module("tn"));
        assert!(modules_with(Kind::Function, "no_such").is_empty());
    }
}
