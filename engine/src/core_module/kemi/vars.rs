//! `KSR.pv.*`: pseudo-variables by their name at run time.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, Weak},
};

use kahea_module::{Config, Cx, Decl, Fault, Str, Value, Var, ret::Given};

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    let name = ["name"];
    d.kemi_func("pv", "get", name, get, "The value of a variable.");
    d.kemi_func(
        "pv",
        "gete",
        name,
        gete,
        "The value of a variable, or an empty text for `$null`.",
    );
    d.kemi_func(
        "pv",
        "getw",
        name,
        getw,
        "The value of a variable, or `<null>` for `$null`.",
    );
    let doc = "The value of a variable as a number; 0 where it is none.";
    d.kemi_func("pv", "geti", name, geti, doc);
    d.kemi_func(
        "pv",
        "getl",
        name,
        get,
        "The value of a variable, a long number whole.",
    );
    let or = ["name", "otherwise"];
    d.kemi_func(
        "pv",
        "getvn",
        or,
        getvn,
        "The value of a variable, or a number for `$null`.",
    );
    d.kemi_func(
        "pv",
        "getvs",
        or,
        getvs,
        "The value of a variable, or a text for `$null`.",
    );
    let to = ["name", "value"];
    d.kemi_func("pv", "seti", to, set_int, "Sets a variable to a number.");
    d.kemi_func("pv", "setl", to, set_int, "Sets a variable to a long number.");
    d.kemi_func("pv", "sets", to, sets, "Sets a variable to a text.");
    d.kemi_func("pv", "unset", name, unset, "Sets a variable to `$null`.");
    d.kemi_func("pv", "is_null", name, is_null, "The variable is `$null`.");
}

/// What `getw` answers for `$null`.
pub(super) fn shown_null() -> Value {
    Value::Str(Str::from_static("<null>"))
}

/// Names that a script makes up as it runs could be without end.
const KEPT: usize = 4096;

/// Variables of one worker by their names, as long as its configuration lives.
#[derive(Default)]
struct Cache {
    config: Weak<Config>,
    vars: HashMap<Str, Var>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

fn var(cx: &Cx, name: &Str) -> Result<Var, Fault> {
    let config = Arc::downgrade(cx.config());
    let known = CACHE.with_borrow_mut(|cache| {
        if !cache.config.ptr_eq(&config) {
            *cache = Cache {
                config: config.clone(),
                vars: HashMap::new(),
            };
        }
        cache.vars.get(&**name).cloned()
    });
    if let Some(var) = known {
        return Ok(var);
    }
    let var = cx
        .bind()
        .var(&name.text())
        .map_err(|error| Fault::script(format!("{name}: {}", error.message)))?;
    CACHE.with_borrow_mut(|cache| {
        if cache.vars.len() >= KEPT {
            cache.vars.clear();
        }
        cache.vars.insert(name.detach(), var.clone());
    });
    Ok(var)
}

fn answer(cx: &mut Cx, name: &Str, or: Value) -> Result<(), Fault> {
    let value = match var(cx, name)?.get(cx) {
        Value::Null => or,
        value => value,
    };
    Given::set(cx, value);
    Ok(())
}

fn get(_: &Core, cx: &mut Cx, name: Str) -> Result<(), Fault> {
    answer(cx, &name, Value::Null)
}

fn gete(_: &Core, cx: &mut Cx, name: Str) -> Result<(), Fault> {
    answer(cx, &name, Value::EMPTY)
}

fn getw(_: &Core, cx: &mut Cx, name: Str) -> Result<(), Fault> {
    answer(cx, &name, shown_null())
}

fn getvn(_: &Core, cx: &mut Cx, name: Str, otherwise: i64) -> Result<(), Fault> {
    answer(cx, &name, Value::Int(otherwise))
}

fn getvs(_: &Core, cx: &mut Cx, name: Str, otherwise: Str) -> Result<(), Fault> {
    answer(cx, &name, Value::Str(otherwise))
}

fn geti(_: &Core, cx: &mut Cx, name: Str) -> Result<i64, Fault> {
    Ok(var(cx, &name)?.get(cx).int().unwrap_or(0))
}

fn set_int(_: &Core, cx: &mut Cx, name: Str, value: i64) -> Result<(), Fault> {
    var(cx, &name)?.set(cx, Value::Int(value))
}

fn sets(_: &Core, cx: &mut Cx, name: Str, value: Str) -> Result<(), Fault> {
    var(cx, &name)?.set(cx, Value::Str(value))
}

fn unset(_: &Core, cx: &mut Cx, name: Str) -> Result<(), Fault> {
    var(cx, &name)?.set(cx, Value::Null)
}

fn is_null(_: &Core, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    Ok(var(cx, &name)?.get(cx).is_null())
}

#[cfg(test)]
mod tests {
    use kahea_module::{rpc::RpcValue, testing::Server};

    use super::*;

    #[test]
    fn variables_are_set_read_and_unset_by_name() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let x = || Str::from_static("$var(x)");
        let taken = |cx: &mut Cx| Given::take(cx).expect("an answer");
        set_int(&core, &mut cx, x(), 7).expect("set");
        assert_eq!(geti(&core, &mut cx, x()), Ok(7));
        sets(&core, &mut cx, x(), Str::from_static("abc")).expect("set");
        assert_eq!(geti(&core, &mut cx, x()), Ok(0));
        get(&core, &mut cx, x()).expect("get");
        assert_eq!(taken(&mut cx), RpcValue::from("abc"));
        unset(&core, &mut cx, x()).expect("unset");
        assert_eq!(is_null(&core, &mut cx, x()), Ok(true));
        getw(&core, &mut cx, x()).expect("getw");
        assert_eq!(taken(&mut cx), RpcValue::from(shown_null()));
        getvn(&core, &mut cx, x(), 5).expect("getvn");
        assert_eq!(taken(&mut cx), RpcValue::Int(5));
        assert!(get(&core, &mut cx, Str::from_static("$nope")).is_err());
    }

    /// A name means what the configuration of the message says, not what an older one said.
    #[test]
    fn the_cache_ends_with_its_configuration() {
        let core = Core::for_tests();
        let first = Server::default();
        let mut cx = first.invite();
        set_int(&core, &mut cx, Str::from_static("$var(a)"), 1).expect("set");
        let second = Server::default();
        let mut cx = second.invite();
        set_int(&core, &mut cx, Str::from_static("$var(b)"), 2).expect("set");
        assert_eq!(geti(&core, &mut cx, Str::from_static("$var(a)")), Ok(0));
        assert_eq!(geti(&core, &mut cx, Str::from_static("$var(b)")), Ok(2));
    }
}
