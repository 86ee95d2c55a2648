//! Values that a configuration adds to records: `log_name=$variable;…`, and the legs of a call.

use kahea_mods_base::pv::avps::{Aliases, AvpRef};
use kahea_module::{
    Bind, Cx, InitError, Str, Value, Var,
    avp::{AvpClass, AvpName},
};

/// A list of names and variables, as `log_extra` and `db_extra` have them.
#[derive(Clone, Debug, Default)]
pub struct Extras(Vec<(Str, Var)>);

impl Extras {
    /// Reads `name=$variable;name=$variable`, at most so many; `param` is named in the error.
    ///
    /// # Errors
    /// It has another form, holds an unknown variable, or too many.
    pub fn parse(param: &str, text: &str, most: i64, bind: &dyn Bind) -> Result<Extras, InitError> {
        let mut extras = Vec::new();
        for (name, variable) in pairs(param, text)? {
            let var = bind.var(variable).map_err(|error| {
                InitError::new(format!("{param}: '{name}': {}", error.message))
                    .help(format!("write {param} as \"name=$variable;name=$variable\""))
            })?;
            extras.push((Str::from(name), var));
        }
        if i64::try_from(extras.len()).unwrap_or(i64::MAX) > most {
            return Err(
                InitError::new(format!("{param} has {} values, {most} are allowed", extras.len()))
                    .help("raise acc_extra_size"),
            );
        }
        Ok(Extras(extras))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Str> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The names with the variables' values now.
    pub fn values<'a>(&'a self, cx: &'a mut Cx) -> impl Iterator<Item = (&'a Str, Value)> {
        self.0.iter().map(|(name, var)| (name, var.get(cx)))
    }
}

/// Takes the list apart. Semicolons in parentheses belong to variables.
fn pairs<'t>(param: &str, text: &'t str) -> Result<Vec<(&'t str, &'t str)>, InitError> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = end_of(rest);
        let (one, after) = rest.split_at(end);
        let pair = one.split_once('=').map(|(name, var)| (name.trim(), var.trim()));
        match pair {
            Some((name, var)) if !name.is_empty() && !var.is_empty() => out.push((name, var)),
            _ => {
                return Err(
                    InitError::new(format!("{param}: '{}' is no name=$variable", one.trim()))
                        .help(format!("write {param} as \"name=$variable;name=$variable\"")),
                );
            }
        }
        rest = after.strip_prefix(';').unwrap_or(after).trim_start();
    }
    Ok(out)
}

fn end_of(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth = depth.saturating_add(1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The values of each leg of a call (`multi_leg_info`): the first values of all AVPs make the first leg, and so on.
#[derive(Clone, Debug, Default)]
pub struct Legs(Vec<(Str, AvpRef)>);

impl Legs {
    /// Reads `name=$avp(a);name=$avp(b)`.
    ///
    /// # Errors
    /// It has another form, or holds variables that are no AVPs.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<Legs, InitError> {
        let mut legs = Vec::new();
        for (name, variable) in pairs("multi_leg_info", text)? {
            let inner = variable
                .strip_prefix("$avp(")
                .and_then(|rest| rest.strip_suffix(')'));
            let refused = |why: &str| {
                InitError::new(format!("multi_leg_info: '{variable}' {why}"))
                    .help("write it as \"name=$avp(first);name=$avp(second)\"")
            };
            let inner = inner.ok_or_else(|| refused("is no AVP"))?;
            let avp = AvpRef::parse(inner, bind).map_err(|error| refused(&error.message))?;
            legs.push((Str::from(name), avp));
        }
        Ok(Legs(legs))
    }

    /// There are none: the parameter is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &Str> {
        self.0.iter().map(|(name, _)| name)
    }

    /// The values of each leg, in the order of [`Legs::names`]; `$null` where an AVP has fewer. One leg at least.
    pub fn rows(&self, cx: &mut Cx) -> Vec<Vec<Value>> {
        let lists: Vec<Vec<Value>> = self
            .0
            .iter()
            .map(|(_, avp)| match avp.resolve(&Aliases::new(), cx) {
                Some(name) => all(cx, &name),
                None => Vec::new(),
            })
            .collect();
        let count = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let row = |at: usize| {
            lists
                .iter()
                .map(|list| list.get(at).cloned().unwrap_or_default())
                .collect()
        };
        (0..count).map(row).collect()
    }
}

fn all(cx: &Cx, name: &AvpName) -> Vec<Value> {
    let values = cx.avps.all(AvpClass::FromUser, name);
    values.map(|avp| avp.value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn a_list_is_taken_apart_outside_of_parentheses() {
        let found = pairs("x", " a = $var(a;b) ; b=$(hdr(X){s.len}) ;").unwrap();
        assert_eq!(found, [("a", "$var(a;b)"), ("b", "$(hdr(X){s.len})")]);
        assert!(pairs("x", "a=$var(a);b").is_err());
        assert!(pairs("x", "=$var(a)").is_err());
        assert!(pairs("x", "").unwrap().is_empty());
    }

    #[test]
    fn too_many_values_are_refused() {
        let bind = FakeBind::default();
        assert!(Extras::parse("log_extra", "a=$var(a);b=$var(b)", 2, &bind).is_ok());
        let refused = Extras::parse("log_extra", "a=$var(a);b=$var(b)", 1, &bind).unwrap_err();
        assert!(refused.message.contains("2 values"));
        assert!(Extras::parse("log_extra", "a=text", 9, &bind).is_err());
    }

    #[test]
    fn legs_are_as_many_as_the_longest_list() {
        let bind = FakeBind::default();
        let legs = Legs::parse("src=$avp(src);n=$avp(i:7)", &bind).unwrap();
        let mut cx = Server::default().invite();
        assert_eq!(legs.rows(&mut cx), [[Value::Null, Value::Null]]);
        let add = |cx: &mut Cx, name, value| cx.avps.add(AvpClass::FromUser, name, value);
        add(&mut cx, AvpName::Str("src".into()), "a".into());
        add(&mut cx, AvpName::Int(7), Value::Int(1));
        add(&mut cx, AvpName::Int(7), Value::Int(2));
        assert_eq!(
            legs.rows(&mut cx),
            [["a".into(), Value::Int(2)], [Value::Null, Value::Int(1)]]
        );
        assert!(Legs::parse("src=$var(x)", &bind).is_err());
    }
}
