//! `$xavp()`, `$xavu()`, `$xavi()` and everything that works on them.

mod copy;
mod explode;
mod kemi;
mod path;
mod print;
mod tree;

use kahea_module::{
    Cx, Decl, Fault, Index, Named, Naming, Value,
    xavp::{XValue, Xavps},
};

pub use self::path::Path;
use super::Pv;

/// One of the three trees of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `$xavp()`: several values of a name.
    Xavp,
    /// `$xavu()`: one value of a name.
    Xavu,
    /// `$xavi()`: several values of a name, whose case does not matter.
    Xavi,
}

impl Family {
    /// Its values.
    pub fn list(self, cx: &Cx) -> &Xavps {
        match self {
            Family::Xavp => &cx.xavps,
            Family::Xavu => &cx.xavus,
            Family::Xavi => &cx.xavis,
        }
    }

    /// The same, to change them.
    pub fn list_mut(self, cx: &mut Cx) -> &mut Xavps {
        match self {
            Family::Xavp => &mut cx.xavps,
            Family::Xavu => &mut cx.xavus,
            Family::Xavi => &mut cx.xavis,
        }
    }

    /// As in logs.
    pub fn name(self) -> &'static str {
        match self {
            Family::Xavp => "XAVP",
            Family::Xavu => "XAVU",
            Family::Xavi => "XAVI",
        }
    }
}

/// Declares variables and functions.
pub fn declare(d: &mut Decl<Pv>) {
    d.var_named("xavp", Naming::Required, named(|_, cx, path, _| get(cx, Family::Xavp, path), |_, cx, path, _, v| set(cx, Family::Xavp, path, v)), "A value or, by `=>`, a field of a value of the message and its transaction; `[n]` picks one of several, newest first.");
    d.var_named(
        "xavu",
        Naming::Required,
        named(
            |_, cx, path, _| get(cx, Family::Xavu, path),
            |_, cx, path, _, v| set(cx, Family::Xavu, path, v),
        ),
        "The same with a single value for each name.",
    );
    d.var_named(
        "xavi",
        Naming::Required,
        named(
            |_, cx, path, _| get(cx, Family::Xavi, path),
            |_, cx, path, _, v| set(cx, Family::Xavi, path, v),
        ),
        "The same as `$xavp()`, without regard to the case of names.",
    );
    copy::declare(d);
    explode::declare(d);
    print::declare(d);
    kemi::declare(d);
}

fn named(
    get: fn(&Pv, &mut Cx, &Path, Index) -> Value,
    set: fn(&Pv, &mut Cx, &Path, Index, Value) -> Result<(), Fault>,
) -> Named<Pv, Path> {
    Named {
        parse: Path::parse,
        get,
        set: Some(set),
        raw: true,
    }
}

fn get(cx: &mut Cx, family: Family, path: &Path) -> Value {
    let steps = path.steps(cx);
    tree::find(family.list(cx), &steps).map_or(Value::Null, XValue::value)
}

fn set(cx: &mut Cx, family: Family, path: &Path, value: Value) -> Result<(), Fault> {
    let steps = path.steps(cx);
    cx.spend_bytes(std::mem::size_of::<kahea_module::xavp::Xavp>())?;
    let list = family.list_mut(cx);
    match family {
        Family::Xavu => tree::assign_unique(list, &steps, value),
        Family::Xavp | Family::Xavi => tree::assign(list, &steps, value),
    }
}

/// How many values a path means, for `$cnt()`.
pub fn count(cx: &mut Cx, family: Family, path: &Path) -> usize {
    let steps = path.steps(cx);
    tree::count(family.list(cx), &steps)
}
