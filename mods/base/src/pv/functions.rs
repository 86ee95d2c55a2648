//! Functions on variables of any kind, and what embedded languages have instead of `$var()`, `$shv()` and `$avp()`.

use kahea_module::{
    Cx, Decl, Fault, Given, Index, Str, Value, VarRef,
    avp::{AvpClass, AvpName},
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    value::parse_int,
};

use super::{Pv, avps, script_vars};

/// Declares the functions and RPC commands.
pub fn declare(d: &mut Decl<Pv>) {
    d.func(
        "pv_isset",
        ["variable"],
        |_: &Pv, cx: &mut Cx, var: VarRef| !var.get(cx).is_null(),
        "True where the variable has a value.",
    )
    .example(r#"if (pv_isset("$avp(s:x)")) { exit; }"#);
    d.func(
        "pv_unset",
        ["variable"],
        pv_unset,
        "Assigns `$null` to the variable.",
    )
    .example(r#"pv_unset("$avp(s:x)");"#);
    d.func(
        "is_int",
        ["variable"],
        is_int,
        "True where the variable holds a number.",
    )
    .example(r#"if (is_int("$var(foo)")) { exit; }"#);
    d.func(
        "typeof",
        ["variable", "type"],
        type_of,
        "True where the value is of the type `int`, `str` or `null`.",
    )
    .example(r#"if (typeof("$var(foo)", "str")) { exit; }"#);
    d.func(
        "not_empty",
        ["variable"],
        not_empty,
        "True where the variable holds a text that is not empty.",
    )
    .example(r#"if (not_empty("$var(foo)")) { exit; }"#);
    d.func(
        "pv_evalx",
        ["result", "text"],
        evaluate,
        "Evaluates the variables in a text twice and assigns the result.",
    )
    .kemi_as(2, "pvx", "evalx")
    .example(r#"pv_evalx("$var(z)", "$var(y) one");"#);
    kemi_script_vars(d);
    kemi_avps(d);
    d.rpc("pv.shvGet", shv_get, "Shows a shared variable, or all of them.");
    d.rpc(
        "pv.shvSet",
        shv_set,
        "Sets a shared variable: name, type (`int` or `str`), value.",
    );
}

fn kemi_script_vars(d: &mut Decl<Pv>) {
    d.kemi_func(
        "pvx",
        "var_get",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| var_get(cx, &name),
        "The value of `$var(name)`.",
    );
    d.kemi_func(
        "pvx",
        "var_seti",
        ["name", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, value: i64| {
            script_vars::set_by_name(cx, &name.text(), Value::Int(value))
        },
        "Sets `$var(name)` to a number.",
    );
    d.kemi_func(
        "pvx",
        "var_sets",
        ["name", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, value: Str| {
            script_vars::set_by_name(cx, &name.text(), Value::Str(value))
        },
        "Sets `$var(name)` to a text.",
    );
    d.kemi_func(
        "pvx",
        "shv_get",
        ["name"],
        |m: &Pv, cx: &mut Cx, name: Str| give(cx, m.shared.get(&name).into()),
        "The value of `$shv(name)`.",
    );
    d.kemi_func(
        "pvx",
        "shv_seti",
        ["name", "value"],
        |m: &Pv, _: &mut Cx, name: Str, value: i64| m.shared.set(&name, Value::Int(value)),
        "Sets `$shv(name)` to a number.",
    );
    d.kemi_func(
        "pvx",
        "shv_sets",
        ["name", "value"],
        |m: &Pv, _: &mut Cx, name: Str, value: Str| m.shared.set(&name, Value::Str(value)),
        "Sets `$shv(name)` to a text.",
    );
    d.kemi_func(
        "pvx",
        "shvinc_get",
        ["name"],
        |m: &Pv, cx: &mut Cx, name: Str| give(cx, m.shared.increment(&name).into()),
        "Adds 1 to `$shv(name)`; the sum.",
    );
}

fn kemi_avps(d: &mut Decl<Pv>) {
    d.kemi_func(
        "pvx",
        "avp_seti",
        ["name", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, value: i64| {
            avps::assign(cx, AvpName::Str(name), Index::None, Value::Int(value))
        },
        "Adds a number to the AVPs of a name.",
    );
    d.kemi_func(
        "pvx",
        "avp_sets",
        ["name", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, value: Str| {
            avps::assign(cx, AvpName::Str(name), Index::None, Value::Str(value))
        },
        "Adds a text to the AVPs of a name.",
    );
    d.kemi_func(
        "pvx",
        "avp_get",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| {
            let value = avp(cx, name);
            give(cx, value.into())
        },
        "The newest AVP of a name.",
    );
    d.kemi_func(
        "pvx",
        "avp_gete",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| {
            let value = avp(cx, name);
            give(
                cx,
                if value.is_null() {
                    RpcValue::Str(Str::EMPTY)
                } else {
                    value.into()
                },
            )
        },
        "The newest AVP of a name, an empty text where there is none.",
    );
    d.kemi_func(
        "pvx",
        "avp_getw",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| {
            let value = avp(cx, name);
            give(
                cx,
                if value.is_null() {
                    RpcValue::from("<null>")
                } else {
                    value.into()
                },
            )
        },
        "The newest AVP of a name, the text `<null>` where there is none.",
    );
    d.kemi_func(
        "pvx",
        "avp_rm",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| avps::assign(cx, AvpName::Str(name), Index::None, Value::Null),
        "Takes the newest AVP of a name away.",
    );
    d.kemi_func(
        "pvx",
        "avp_is_null",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| avp(cx, name).is_null(),
        "True where a name has no AVP.",
    );
}

/// Leaves a value for the embedded language that called.
pub fn give(cx: &mut Cx, value: RpcValue) -> bool {
    Given::set(cx, value);
    true
}

fn avp(cx: &Cx, name: Str) -> Value {
    cx.avps.get(AvpClass::FromUser, &AvpName::Str(name), Index::None)
}

fn var_get(cx: &mut Cx, name: &Str) -> Result<bool, Fault> {
    let bind = cx.bind();
    let slot = script_vars::slot(&name.text(), &*bind).map_err(|error| Fault::script(error.message))?;
    let value = script_vars::get(cx, slot);
    Ok(give(cx, value.into()))
}

fn pv_unset(_: &Pv, cx: &mut Cx, var: VarRef) -> Result<bool, Fault> {
    // As in Kamailio it is no mistake to unset what cannot be assigned.
    if var.is_writable() {
        var.set(cx, Value::Null)?;
    }
    Ok(true)
}

/// Variables that Kamailio yields as text and as number at once.
const NUMERIC_TEXTS: [&str; 5] = ["$rp", "$op", "$dp", "$nh(p)", "$(rp)"];

fn is_int(_: &Pv, cx: &mut Cx, var: VarRef) -> bool {
    match var.get(cx) {
        Value::Int(_) => true,
        Value::Null => false,
        Value::Str(text) => {
            let spelling = var.text();
            NUMERIC_TEXTS.iter().any(|name| spelling == name) && parse_int(&text).is_some()
        }
    }
}

fn type_of(_: &Pv, cx: &mut Cx, var: VarRef, kind: Str) -> Result<bool, Fault> {
    let value = var.get(cx);
    match &*kind {
        b"int" => Ok(matches!(value, Value::Int(_))),
        b"str" => Ok(matches!(value, Value::Str(_))),
        b"null" => Ok(value.is_null()),
        _ => Err(Fault::script(format!(
            "there is no type '{kind}': use int, str or null"
        ))),
    }
}

fn not_empty(_: &Pv, cx: &mut Cx, var: VarRef) -> bool {
    matches!(var.get(cx), Value::Str(text) if !text.is_empty())
}

fn evaluate(_: &Pv, cx: &mut Cx, out: VarRef, text: Str) -> Result<bool, Fault> {
    let bind = cx.bind();
    let format = bind
        .format(&text.text())
        .map_err(|error| Fault::script(error.message))?;
    let value = format.text(cx);
    out.set(cx, Value::Str(value))?;
    Ok(true)
}

fn entry(name: Str, value: Value) -> RpcValue {
    let kind = if matches!(value, Value::Int(_)) {
        "int"
    } else {
        "string"
    };
    RpcValue::members([
        ("name", RpcValue::Str(name)),
        ("type", RpcValue::from(kind)),
        ("value", RpcValue::from(value)),
    ])
}

fn shv_get(m: &Pv, call: &mut RpcCall) -> RpcResult {
    if let Some(name) = call.optional_text()? {
        let value = m
            .shared
            .find(&name)
            .ok_or_else(|| RpcFault::new(404, "Variable not found"))?;
        return Ok(vec![entry(name, value)]);
    }
    let all = m.shared.all();
    let items = all
        .into_iter()
        .map(|(name, value)| (Str::from_static("shv"), entry(name, value)))
        .collect();
    Ok(vec![RpcValue::members([("items", RpcValue::Struct(items))])])
}

fn shv_set(m: &Pv, call: &mut RpcCall) -> RpcResult {
    let missing = |what: &str| RpcFault::new(500, format!("Missing {what} (Parameters: varname type value)"));
    let name = call.optional_text()?.ok_or_else(|| missing("varname"))?;
    let kind = call.optional_text()?.ok_or_else(|| missing("parameter type"))?;
    let value = match &*kind {
        b"int" => call
            .int()
            .map(Value::Int)
            .map_err(|_| missing("integer parameter value"))?,
        b"str" => Value::Str(
            call.optional_text()?
                .ok_or_else(|| missing("string parameter value"))?,
        ),
        _ => return Err(RpcFault::new(500, "Unknown parameter type (Types: int or str)")),
    };
    m.shared.set(&name, value);
    Ok(vec![RpcValue::from("Ok. Variable set to new value.")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{Var, testing::Server};

    fn var(value: Value) -> Var {
        Var::new(Str::from_static("$x"), move |_| value.clone(), None)
    }

    #[test]
    fn kinds_of_values() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        let mut kind =
            |value: Value, kind: &'static str| type_of(&m, &mut cx, var(value), Str::from_static(kind));
        assert_eq!(kind(Value::Int(1), "int"), Ok(true));
        assert_eq!(kind(Value::from("1"), "int"), Ok(false));
        assert_eq!(kind(Value::Null, "null"), Ok(true));
        assert!(kind(Value::Null, "float").is_err());
        assert!(is_int(&m, &mut cx, var(Value::Int(1))));
        assert!(!is_int(&m, &mut cx, var(Value::from("15"))));
        let port = Var::new(Str::from_static("$rp"), |_| Value::from("5060"), None);
        assert!(is_int(&m, &mut cx, port));
        assert!(!not_empty(&m, &mut cx, var(Value::Int(1))));
        assert!(not_empty(&m, &mut cx, var(Value::from("x"))));
    }

    #[test]
    fn a_text_is_evaluated_a_second_time() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        script_vars::set_by_name(&mut cx, "ev", Value::from("test")).expect("a name");
        let out = cx.bind().var("$var(ev_out)").expect("a variable");
        assert_eq!(
            evaluate(&m, &mut cx, out.clone(), Str::from("$var(ev) one")),
            Ok(true)
        );
        assert_eq!(out.get(&mut cx), Value::from("test one"));
    }

    #[test]
    fn shared_variables_over_rpc() {
        let (server, m) = (Server::default(), Pv::default());
        let call = |args: &[&str]| {
            let args = args.iter().map(|arg| RpcValue::from(*arg)).collect();
            RpcCall::new(server.worker.clone(), args)
        };
        assert!(shv_set(&m, &mut call(&["debug", "int", "3"])).is_ok());
        let shown = shv_get(&m, &mut call(&["debug"])).expect("it is there");
        assert_eq!(shown, [entry(Str::from("debug"), Value::Int(3))]);
        assert_eq!(
            shv_get(&m, &mut call(&["nope"])).map_err(|fault| fault.code),
            Err(404)
        );
        assert_eq!(
            shv_set(&m, &mut call(&["debug", "foo", "1"])).map_err(|fault| fault.code),
            Err(500)
        );
        assert_eq!(
            shv_set(&m, &mut call(&["debug", "int", "abc"])).map_err(|fault| fault.code),
            Err(500)
        );
    }
}
