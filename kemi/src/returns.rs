//! What kind of value each function gives scripts.

use std::{collections::HashMap, sync::OnceLock};

/// What a script gets from a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// The return code, as in the native script.
    Code,
    /// True where the code is above 0.
    Bool,
    /// Nothing.
    Nothing,
    /// A value of its own: text, number, list, or null.
    Value,
}

const TABLE: &str = include_str!("returns.txt");

/// Of the function with this name behind `KSR.`.
pub(crate) fn of(module: &str, name: &str) -> Returns {
    static KINDS: OnceLock<HashMap<&'static str, Returns>> = OnceLock::new();
    let kinds = KINDS.get_or_init(|| TABLE.lines().filter_map(row).collect());
    let known = match module {
        "" => kinds.get(name),
        _ => kinds.get(format!("{module}.{name}").as_str()),
    };
    known.copied().unwrap_or(Returns::Code)
}

fn row(line: &'static str) -> Option<(&'static str, Returns)> {
    let (kind, name) = line.split_once(' ')?;
    let kind = match kind {
        "bool" => Returns::Bool,
        "none" => Returns::Nothing,
        "xval" => Returns::Value,
        _ => return None,
    };
    Some((name, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_those_of_kamailio() {
        assert_eq!(of("", "is_method"), Returns::Bool);
        assert_eq!(of("", "info"), Returns::Nothing);
        assert_eq!(of("pv", "get"), Returns::Value);
        assert_eq!(of("tm", "t_relay"), Returns::Code);
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert!(rows.into_iter().all(|line| row(line).is_some()));
    }
}
