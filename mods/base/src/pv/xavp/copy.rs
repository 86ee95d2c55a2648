//! Functions that copy, move, set and take away whole values.

use kahea_module::{BRANCH, Cx, Decl, FAILURE, Fault, Index, REQUEST, Str, Value, xavp::XValue};

use super::{Family, tree};
use crate::pv::{Pv, address, script_vars};

/// Declares the functions.
pub fn declare(d: &mut Decl<Pv>) {
    d.func("xavp_copy", ["source", "index", "destination", "place"], xavp_copy, "Copies one `$xavp()` behind those of another name, or over the one at a place; false where one of them does not exist.")
        .kemi_as(3, "pvx", "xavp_copy")
        .kemi_as(4, "pvx", "xavp_copy_dst")
        .example(r#"xavp_copy("a", "0", "b");"#);
    d.func(
        "xavp_lshift",
        ["name", "index"],
        xavp_lshift,
        "Rotates the `$xavp()` values of a name until the one at the index is the first.",
    )
    .kemi_as(2, "pvx", "xavp_lshift")
    .example(r#"xavp_lshift("n", "1");"#);
    d.func(
        "xavp_push_dst",
        ["name"],
        xavp_push_dst,
        "Sets R-URI, destination URI and socket from the fields `uri`, `dsturi` and `socket` of a `$xavp()`.",
    )
    .routes(REQUEST | FAILURE | BRANCH)
    .kemi_as(1, "pvx", "xavp_push_dst")
    .example(r#"xavp_push_dst("dst");"#);
    removals(d);
    children(d);
    d.func(
        "pv_var_to_xavp",
        ["variable", "name"],
        var_to_xavp,
        "Copies a `$var()`, or with `*` all of them, to fields of a fresh `$xavp()`.",
    )
    .kemi_as(2, "pvx", "pv_var_to_xavp")
    .example(r#"pv_var_to_xavp("*", "vars");"#);
    d.func(
        "pv_xavp_to_var",
        ["name"],
        xavp_to_var,
        "Copies the fields of a `$xavp()` to `$var()`s of their names.",
    )
    .kemi_as(1, "pvx", "pv_xavp_to_var")
    .example(r#"pv_xavp_to_var("vars");"#);
}

fn removals(d: &mut Decl<Pv>) {
    d.func(
        "xavp_rm",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| remove(cx, Family::Xavp, &name),
        "Takes the newest `$xavp()` of a name away.",
    )
    .kemi_as(1, "pvx", "xavp_rm");
    d.func(
        "xavi_rm",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| remove(cx, Family::Xavi, &name),
        "Takes the newest `$xavi()` of a name away.",
    )
    .kemi_as(1, "pvx", "xavi_rm");
    d.func(
        "xavp_rm_all",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| remove_all(cx, Family::Xavp, &name),
        "Takes every `$xavp()` of a name away.",
    )
    .kemi_as(1, "pvx", "xavp_rm_all");
    d.func(
        "xavi_rm_all",
        ["name"],
        |_: &Pv, cx: &mut Cx, name: Str| remove_all(cx, Family::Xavi, &name),
        "Takes every `$xavi()` of a name away.",
    )
    .kemi_as(1, "pvx", "xavi_rm_all");
    d.func(
        "xavp_child_rm",
        ["name", "field"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str| remove_child(cx, Family::Xavp, &name, &field),
        "Takes a field of the newest `$xavp()` of a name away.",
    )
    .kemi_as(2, "pvx", "xavp_child_rm");
    d.func(
        "xavi_child_rm",
        ["name", "field"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str| remove_child(cx, Family::Xavi, &name, &field),
        "Takes a field of the newest `$xavi()` of a name away.",
    )
    .kemi_as(2, "pvx", "xavi_child_rm");
}

fn children(d: &mut Decl<Pv>) {
    d.func(
        "xavp_child_seti",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: i64| {
            set_child(cx, Family::Xavp, &name, &field, Value::Int(value))
        },
        "Sets a field of a `$xavp()` to a number.",
    )
    .kemi_as(3, "pvx", "xavp_child_seti");
    d.func(
        "xavi_child_seti",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: i64| {
            set_child(cx, Family::Xavi, &name, &field, Value::Int(value))
        },
        "Sets a field of a `$xavi()` to a number.",
    )
    .kemi_as(3, "pvx", "xavi_child_seti");
    d.func(
        "xavp_child_sets",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: Str| {
            set_child(cx, Family::Xavp, &name, &field, Value::Str(value))
        },
        "Sets a field of a `$xavp()` to a text.",
    )
    .kemi_as(3, "pvx", "xavp_child_sets");
    d.func(
        "xavi_child_sets",
        ["name", "field", "value"],
        |_: &Pv, cx: &mut Cx, name: Str, field: Str, value: Str| {
            set_child(cx, Family::Xavi, &name, &field, Value::Str(value))
        },
        "Sets a field of a `$xavi()` to a text.",
    )
    .kemi_as(3, "pvx", "xavi_child_sets");
}

fn xavp_copy(
    _: &Pv,
    cx: &mut Cx,
    source: Str,
    index: i64,
    destination: Str,
    place: Option<i64>,
) -> Result<bool, Fault> {
    let list = &mut cx.xavps;
    let at = Index::At(index).pick(list.count(&source));
    let Some(value) = at
        .and_then(|at| list.get(&source, at))
        .map(|xavp| xavp.value.clone())
    else {
        return Err(Fault::script(format!(
            "there is no $xavp({source}[{index}]) to copy"
        )));
    };
    let Some(place) = place else {
        list.add_last(destination, value);
        return Ok(true);
    };
    let at = Index::At(place).pick(list.count(&destination));
    match at.and_then(|at| list.get_mut(&destination, at)) {
        Some(xavp) => {
            xavp.value = value;
            Ok(true)
        }
        None => Err(Fault::script(format!(
            "there is no $xavp({destination}[{place}]) to replace"
        ))),
    }
}

fn xavp_lshift(_: &Pv, cx: &mut Cx, name: Str, index: i64) -> bool {
    let list = &mut cx.xavps;
    let mut values: Vec<XValue> = list.all(&name).map(|xavp| xavp.value.clone()).collect();
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
    let by = index
        .checked_rem_euclid(count)
        .and_then(|by| usize::try_from(by).ok());
    let Some(by) = by else { return false };
    values.rotate_left(by);
    for (at, value) in values.into_iter().enumerate() {
        if let Some(xavp) = list.get_mut(&name, at) {
            xavp.value = value;
        }
    }
    true
}

fn xavp_push_dst(_: &Pv, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let Some(fields) = tree::children(&cx.xavps, &name) else {
        return Ok(false);
    };
    let field = |name: &str| match fields.get(name.as_bytes(), 0).map(|xavp| &xavp.value) {
        Some(XValue::Str(text)) if !text.is_empty() => Some(text.clone()),
        _ => None,
    };
    let (uri, destination, socket) = (field("uri"), field("dsturi"), field("socket"));
    if let Some(uri) = uri {
        cx.set_ruri(uri)?;
    }
    if destination.is_some() {
        cx.target.dst_uri = destination;
    }
    if let Some(socket) = socket {
        cx.target.send_socket = Some(address::find_socket(cx, &socket)?);
    }
    Ok(true)
}

/// Takes the newest value of a name away; of `$xavu()` the only one.
pub fn remove(cx: &mut Cx, family: Family, name: &Str) -> bool {
    family.list_mut(cx).remove(name, 0);
    true
}

fn remove_all(cx: &mut Cx, family: Family, name: &Str) -> bool {
    family.list_mut(cx).remove_all(name);
    true
}

/// Takes a field away.
pub fn remove_child(cx: &mut Cx, family: Family, name: &Str, field: &Str) -> bool {
    if let Some(XValue::List(children)) = family.list_mut(cx).get_mut(name, 0).map(|xavp| &mut xavp.value) {
        children.remove(field, 0);
    }
    true
}

/// Sets a field.
pub fn set_child(cx: &mut Cx, family: Family, name: &Str, field: &Str, value: Value) -> Result<bool, Fault> {
    cx.spend_bytes(std::mem::size_of::<kahea_module::xavp::Xavp>())?;
    Ok(tree::put_child(family.list_mut(cx), name, field, value))
}

fn var_to_xavp(_: &Pv, cx: &mut Cx, variable: Str, name: Str) -> Result<bool, Fault> {
    cx.xavps.remove_all(&name);
    let bind = cx.bind();
    let known = script_vars::names();
    let wanted = match &*variable.text() {
        "*" => known,
        one if known.iter().any(|name| name == one) => vec![one.to_owned()],
        one => return Err(Fault::script(format!("there is no $var({one})"))),
    };
    let mut fields = cx.xavps.sibling();
    for variable in wanted {
        let slot = script_vars::slot(&variable, &*bind).map_err(|error| Fault::script(error.message))?;
        cx.spend_bytes(std::mem::size_of::<kahea_module::xavp::Xavp>())?;
        fields.add(Str::from(variable), XValue::from(script_vars::get(cx, slot)));
    }
    cx.xavps.add(name, XValue::List(fields));
    Ok(true)
}

fn xavp_to_var(_: &Pv, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let Some(fields) = tree::children(&cx.xavps, &name) else {
        return Err(Fault::script(format!("there is no $xavp({name}) with fields")));
    };
    // Oldest first, so that the newest of a name is what stays.
    let mut values: Vec<(Str, Value)> = fields
        .iter()
        .map(|xavp| (xavp.name.clone(), xavp.value.value()))
        .collect();
    values.reverse();
    for (name, value) in values {
        script_vars::set_by_name(cx, &name.text(), value)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn ints(cx: &Cx, name: &str) -> Vec<i64> {
        cx.xavps
            .all(name.as_bytes())
            .filter_map(|xavp| xavp.value.value().int())
            .collect()
    }

    fn cx() -> Cx {
        let mut cx = Server::default().invite();
        for n in [10, 20, 30] {
            cx.xavps.add(Str::from("n"), XValue::Int(n));
        }
        cx
    }

    #[test]
    fn copies_go_behind_or_over_others() {
        let (mut cx, m) = (cx(), Pv::default());
        let name = |text: &str| Str::from(text);
        for index in [2, 1, 0] {
            assert_eq!(
                xavp_copy(&m, &mut cx, name("n"), index, name("b"), None),
                Ok(true)
            );
        }
        assert_eq!(ints(&cx, "b"), [10, 20, 30]);
        assert_eq!(xavp_copy(&m, &mut cx, name("n"), 0, name("b"), Some(1)), Ok(true));
        assert_eq!(ints(&cx, "b"), [10, 30, 30]);
        assert!(xavp_copy(&m, &mut cx, name("n"), 9, name("b"), None).is_err());
        assert!(xavp_copy(&m, &mut cx, name("n"), 0, name("zz"), Some(0)).is_err());
    }

    #[test]
    fn values_rotate() {
        let (mut cx, m) = (cx(), Pv::default());
        assert!(xavp_lshift(&m, &mut cx, Str::from("n"), 1));
        assert_eq!(ints(&cx, "n"), [20, 10, 30]);
        assert!(xavp_lshift(&m, &mut cx, Str::from("n"), -1));
        assert_eq!(ints(&cx, "n"), [30, 20, 10]);
        assert!(xavp_lshift(&m, &mut cx, Str::from("n"), 4));
        assert_eq!(ints(&cx, "n"), [20, 10, 30]);
        assert!(!xavp_lshift(&m, &mut cx, Str::from("none"), 1));
    }

    #[test]
    fn fields_set_the_destination() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        assert_eq!(xavp_push_dst(&m, &mut cx, Str::from("dst")), Ok(false));
        for (field, value) in [
            ("uri", "sip:a@b"),
            ("dsturi", "sip:p"),
            ("socket", "udp:127.0.0.1:5060"),
        ] {
            set_child(
                &mut cx,
                Family::Xavp,
                &Str::from("dst"),
                &Str::from(field),
                Value::from(value),
            )
            .expect("budget");
        }
        assert_eq!(xavp_push_dst(&m, &mut cx, Str::from("dst")), Ok(true));
        assert_eq!(
            (cx.ruri(), cx.target.dst_uri.clone()),
            (Str::from("sip:a@b"), Some(Str::from("sip:p")))
        );
        assert!(cx.target.send_socket.is_some());
    }

    #[test]
    fn fields_become_variables_and_back() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        script_vars::set_by_name(&mut cx, "copy_temp", Value::Int(3)).expect("a name");
        assert_eq!(
            var_to_xavp(&m, &mut cx, Str::from("copy_temp"), Str::from("ok")),
            Ok(true)
        );
        set_child(
            &mut cx,
            Family::Xavp,
            &Str::from("ok"),
            &Str::from("copy_foo"),
            Value::from("f"),
        )
        .expect("budget");
        script_vars::set_by_name(&mut cx, "copy_temp", Value::Int(9)).expect("a name");
        assert_eq!(xavp_to_var(&m, &mut cx, Str::from("ok")), Ok(true));
        let bind = cx.bind();
        let slot = script_vars::slot("copy_temp", &*bind).expect("a name");
        assert_eq!(script_vars::get(&cx, slot), Value::Int(3));
        assert!(var_to_xavp(&m, &mut cx, Str::from("no_such_variable"), Str::from("ok")).is_err());
        assert!(xavp_to_var(&m, &mut cx, Str::from("nope")).is_err());
    }
}
