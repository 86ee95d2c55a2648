//! `KSR.pvx.xavp_*`, `xavu_*`, `xavi_*`: what embedded languages have instead of the variables.

use kahea_module::{
    Cx, Decl, Fault, Str, Value,
    rpc::RpcValue,
    xavp::{XValue, Xavps},
};

use super::{Family, copy, tree};
use crate::pv::{Pv, functions::give};

/// Declares the functions of all three families.
pub fn declare(d: &mut Decl<Pv>) {
    xavp(d);
    xavu(d);
    xavi(d);
}

/// The rows that each family has; the names are `<family>_<row>`.
macro_rules! family {
    ($d:ident, $family:expr, $name:literal) => {
        $d.kemi_func(
            "pvx",
            concat!($name, "_seti"),
            ["name", "value"],
            |_: &Pv, cx: &mut Cx, name: Str, value: i64| add(cx, $family, name, Value::Int(value)),
            "Adds a number under a name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_sets"),
            ["name", "value"],
            |_: &Pv, cx: &mut Cx, name: Str, value: Str| add(cx, $family, name, Value::Str(value)),
            "Adds a text under a name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_get"),
            ["name"],
            |_: &Pv, cx: &mut Cx, name: Str| {
                let value = value(cx, $family, &name);
                give(cx, value)
            },
            "The newest value of a name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_gete"),
            ["name"],
            |_: &Pv, cx: &mut Cx, name: Str| {
                let value = value(cx, $family, &name);
                give(cx, or_empty(value))
            },
            "The newest value of a name, an empty text where there is none.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_getw"),
            ["name"],
            |_: &Pv, cx: &mut Cx, name: Str| {
                let value = value(cx, $family, &name);
                give(cx, or_null_text(value))
            },
            "The newest value of a name, the text `<null>` where there is none.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_is_null"),
            ["name"],
            |_: &Pv, cx: &mut Cx, name: Str| value(cx, $family, &name) == RpcValue::Null,
            "True where a name has no value.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_child_get"),
            ["name", "field"],
            |_: &Pv, cx: &mut Cx, name: Str, field: Str| {
                let value = child(cx, $family, &name, &field);
                give(cx, value)
            },
            "A field of the newest value of a name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_child_gete"),
            ["name", "field"],
            |_: &Pv, cx: &mut Cx, name: Str, field: Str| {
                let value = child(cx, $family, &name, &field);
                give(cx, or_empty(value))
            },
            "A field, an empty text where there is none.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_child_getw"),
            ["name", "field"],
            |_: &Pv, cx: &mut Cx, name: Str, field: Str| {
                let value = child(cx, $family, &name, &field);
                give(cx, or_null_text(value))
            },
            "A field, the text `<null>` where there is none.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_child_is_null"),
            ["name", "field"],
            |_: &Pv, cx: &mut Cx, name: Str, field: Str| child(cx, $family, &name, &field) == RpcValue::Null,
            "True where a name has no such field.",
        );
    };
}

/// The rows of families with several values of a name.
macro_rules! lists {
    ($d:ident, $family:expr, $name:literal) => {
        $d.kemi_func(
            "pvx",
            concat!($name, "_getd"),
            ["name"],
            |_: &Pv, cx: &mut Cx, name: Str| {
                let all = dictionaries(cx, $family, &name);
                give(cx, all)
            },
            "Every value of a name as a list of its fields by name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_getd_p1"),
            ["name", "index"],
            |_: &Pv, cx: &mut Cx, name: Str, index: i64| {
                let one = dictionary_at(cx, $family, &name, index);
                give(cx, one)
            },
            "The fields of one value of a name.",
        );
        $d.kemi_func(
            "pvx",
            concat!($name, "_get_keys"),
            ["name", "index"],
            |_: &Pv, cx: &mut Cx, name: Str, index: i64| {
                let keys = keys(cx, $family, &name, index);
                give(cx, keys)
            },
            "The names of the fields of one value of a name.",
        );
    };
}

fn xavp(d: &mut Decl<Pv>) {
    family!(d, Family::Xavp, "xavp");
    lists!(d, Family::Xavp, "xavp");
}

fn xavi(d: &mut Decl<Pv>) {
    family!(d, Family::Xavi, "xavi");
    lists!(d, Family::Xavi, "xavi");
}

fn xavu(d: &mut Decl<Pv>) {
    family!(d, Family::Xavu, "xavu");
    d.kemi_func(
        "pvx",
        "xavu_rm",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| copy::remove(cx, Family::Xavu, &name),
        "Takes the value of a name away.",
    );
    d.kemi_func(
        "pvx",
        "xavu_child_rm",
        ["name", "field"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str| copy::remove_child(cx, Family::Xavu, &name, &field),
        "Takes a field away.",
    );
    d.kemi_func(
        "pvx",
        "xavu_child_seti",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: i64| {
            copy::set_child(cx, Family::Xavu, &name, &field, Value::Int(value))
        },
        "Sets a field to a number.",
    );
    d.kemi_func(
        "pvx",
        "xavu_child_sets",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: Str| {
            copy::set_child(cx, Family::Xavu, &name, &field, Value::Str(value))
        },
        "Sets a field to a text.",
    );
}

fn add(cx: &mut Cx, family: Family, name: Str, value: Value) -> Result<bool, Fault> {
    cx.spend_bytes(std::mem::size_of::<kahea_module::xavp::Xavp>())?;
    let list = family.list_mut(cx);
    match family {
        Family::Xavu => tree::put(list, &name, value),
        Family::Xavp | Family::Xavi => list.add(name, XValue::from(value)),
    }
    Ok(true)
}

fn value(cx: &Cx, family: Family, name: &Str) -> RpcValue {
    family
        .list(cx)
        .get(name, 0)
        .map_or(RpcValue::Null, |xavp| plain(&xavp.value))
}

fn child(cx: &Cx, family: Family, name: &Str, field: &Str) -> RpcValue {
    tree::children(family.list(cx), name)
        .and_then(|fields| fields.get(field, 0))
        .map_or(RpcValue::Null, |xavp| plain(&xavp.value))
}

fn plain(value: &XValue) -> RpcValue {
    RpcValue::from(value.value())
}

fn or_empty(value: RpcValue) -> RpcValue {
    if value == RpcValue::Null {
        RpcValue::Str(Str::EMPTY)
    } else {
        value
    }
}

fn or_null_text(value: RpcValue) -> RpcValue {
    if value == RpcValue::Null {
        RpcValue::from("<null>")
    } else {
        value
    }
}

/// Fields by name, each with the list of its values, newest first.
fn dictionary(fields: &Xavps) -> RpcValue {
    let mut members: Vec<(Str, RpcValue)> = Vec::new();
    for field in fields.iter() {
        let value = match &field.value {
            XValue::List(children) => dictionary(children),
            other => plain(other),
        };
        match members.iter_mut().find(|(name, _)| *name == field.name) {
            Some((_, RpcValue::Array(values))) => values.push(value),
            _ => members.push((field.name.clone(), RpcValue::Array(vec![value]))),
        }
    }
    RpcValue::Struct(members)
}

fn with_fields<'a>(cx: &'a Cx, family: Family, name: &'a Str) -> impl Iterator<Item = &'a Xavps> {
    family.list(cx).all(name).filter_map(|xavp| match &xavp.value {
        XValue::List(fields) => Some(fields),
        _ => None,
    })
}

fn dictionaries(cx: &Cx, family: Family, name: &Str) -> RpcValue {
    RpcValue::Array(with_fields(cx, family, name).map(dictionary).collect())
}

fn nth<'a>(cx: &'a Cx, family: Family, name: &'a Str, index: i64) -> Option<&'a Xavps> {
    let at = usize::try_from(index).ok()?;
    match &family.list(cx).get(name, at)?.value {
        XValue::List(fields) => Some(fields),
        _ => None,
    }
}

fn dictionary_at(cx: &Cx, family: Family, name: &Str, index: i64) -> RpcValue {
    nth(cx, family, name, index).map_or(RpcValue::Null, dictionary)
}

fn keys(cx: &Cx, family: Family, name: &Str, index: i64) -> RpcValue {
    let Some(fields) = nth(cx, family, name, index) else {
        return RpcValue::Null;
    };
    let mut names: Vec<Str> = Vec::new();
    for field in fields.iter() {
        if !names.contains(&field.name) {
            names.push(field.name.clone());
        }
    }
    RpcValue::Array(names.into_iter().map(RpcValue::Str).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn values_are_given_in_the_asked_form() {
        let mut cx = Server::default().invite();
        let name = Str::from("a");
        add(&mut cx, Family::Xavp, name.clone(), Value::Int(1)).expect("budget");
        add(&mut cx, Family::Xavp, name.clone(), Value::Int(2)).expect("budget");
        assert_eq!(value(&cx, Family::Xavp, &name), RpcValue::Int(2));
        assert_eq!(cx.xavps.count(b"a"), 2);
        add(&mut cx, Family::Xavu, name.clone(), Value::Int(1)).expect("budget");
        add(&mut cx, Family::Xavu, name.clone(), Value::Int(2)).expect("budget");
        assert_eq!(cx.xavus.count(b"a"), 1);
        let none = value(&cx, Family::Xavi, &name);
        assert_eq!(or_empty(none.clone()), RpcValue::Str(Str::EMPTY));
        assert_eq!(or_null_text(none), RpcValue::from("<null>"));
    }

    #[test]
    fn dictionaries_group_the_values_of_a_name() {
        let mut cx = Server::default().invite();
        let mut fields = Xavps::new();
        for n in 1..=2 {
            fields.add(Str::from("v"), XValue::Int(n));
        }
        let name = Str::from("r");
        cx.xavps.add(name.clone(), XValue::List(fields));
        let inner = RpcValue::members([("v", RpcValue::Array(vec![RpcValue::Int(2), RpcValue::Int(1)]))]);
        assert_eq!(dictionary_at(&cx, Family::Xavp, &name, 0), inner);
        assert_eq!(
            dictionaries(&cx, Family::Xavp, &name),
            RpcValue::Array(vec![inner])
        );
        assert_eq!(
            keys(&cx, Family::Xavp, &name, 0),
            RpcValue::Array(vec![RpcValue::from("v")])
        );
        assert_eq!(keys(&cx, Family::Xavp, &name, 1), RpcValue::Null);
    }
}
