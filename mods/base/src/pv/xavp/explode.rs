//! Texts to fields and back: parameter lists and lists of words.

use kahea_module::{
    Cx, Decl, Fault, Str, Value, VarRef,
    value::push_int,
    xavp::{XValue, Xavps},
};
use kahea_sip::view::Params;

use super::{Family, tree};
use crate::pv::Pv;

/// Declares the functions.
pub fn declare(d: &mut Decl<Pv>) {
    d.func(
        "xavp_params_explode",
        ["params", "name"],
        |_: &Pv, cx: &mut Cx, text: Str, name: Str| xavp_explode(cx, &text, b';', &name),
        "Makes a `$xavp()` with a field for each parameter of `a=b;c=d`.",
    )
    .kemi_as(2, "pvx", "xavp_params_explode")
    .example(r#"xavp_params_explode("a=b;c=d", "x");"#);
    d.func(
        "xavp_xparams_explode",
        ["params", "separator", "name"],
        xparams_explode,
        "The same with another character between the parameters.",
    )
    .kemi_as(3, "pvx", "xavp_xparams_explode")
    .example(r#"xavp_xparams_explode("a=b,c=d", ",", "x");"#);
    d.func(
        "xavp_params_implode",
        ["name", "result"],
        |_: &Pv, cx: &mut Cx, name: Str, out: VarRef| implode(cx, Family::Xavp, &name, &out, false),
        "Writes the fields of a `$xavp()` as `a=b;c=d;` to a variable.",
    )
    .kemi_as(2, "pvx", "xavp_params_implode")
    .example(r#"xavp_params_implode("x", "$var(out)");"#);
    d.func(
        "xavp_params_implode_qval",
        ["name", "result"],
        |_: &Pv, cx: &mut Cx, name: Str, out: VarRef| implode(cx, Family::Xavp, &name, &out, true),
        "The same with texts in double quotes.",
    )
    .kemi_as(2, "pvx", "xavp_params_implode_qval")
    .example(r#"xavp_params_implode_qval("x", "$var(out)");"#);
    d.func(
        "xavu_params_explode",
        ["params", "name"],
        xavu_explode,
        "Sets a field of a `$xavu()` for each parameter of `a=b;c=d`.",
    )
    .kemi_as(2, "pvx", "xavu_params_explode")
    .example(r#"xavu_params_explode("a=b;c=d", "x");"#);
    d.func(
        "xavu_params_implode",
        ["name", "result"],
        |_: &Pv, cx: &mut Cx, name: Str, out: VarRef| implode(cx, Family::Xavu, &name, &out, false),
        "Writes the fields of a `$xavu()` as `a=b;c=d;` to a variable.",
    )
    .kemi_as(2, "pvx", "xavu_params_implode")
    .example(r#"xavu_params_implode("x", "$var(out)");"#);
    d.func(
        "xavp_slist_explode",
        ["list", "separators", "mode", "name"],
        slist_explode,
        "Makes a `$xavp()` whose fields `v` are the words between separator characters; mode `t` trims them.",
    )
    .kemi_as(4, "pvx", "xavp_slist_explode")
    .example(r#"xavp_slist_explode("a=b; c=d;", "=;", "t", "x");"#);
}

/// The parameters of a text with their values unquoted.
fn parse(cx: &mut Cx, text: &Str, separator: u8) -> Result<Vec<(Str, Value)>, Fault> {
    let params = Params::new(text, separator, true);
    let fields: Vec<(Str, Value)> = params
        .iter()
        .map(|param| (text.share(param.name), Value::Str(text.share(&param.unquoted()))))
        .collect();
    if fields.is_empty() {
        return Err(Fault::script(format!("'{text}' holds no parameters")));
    }
    cx.spend_bytes(
        fields
            .len()
            .saturating_mul(std::mem::size_of::<kahea_module::xavp::Xavp>()),
    )?;
    Ok(fields)
}

fn xavp_explode(cx: &mut Cx, text: &Str, separator: u8, name: &Str) -> Result<bool, Fault> {
    let mut children = cx.xavps.sibling();
    for (name, value) in parse(cx, text, separator)? {
        children.add_last(name, XValue::from(value));
    }
    cx.xavps.add(name.clone(), XValue::List(children));
    Ok(true)
}

fn xparams_explode(_: &Pv, cx: &mut Cx, text: Str, separator: Str, name: Str) -> Result<bool, Fault> {
    match separator.first() {
        Some(separator) => xavp_explode(cx, &text, *separator, &name),
        None => Err(Fault::script("the separator is empty")),
    }
}

fn xavu_explode(_: &Pv, cx: &mut Cx, text: Str, name: Str) -> Result<bool, Fault> {
    let fields = parse(cx, &text, b';')?;
    // From the last on, so that the first ends up in front.
    Ok(fields
        .into_iter()
        .rev()
        .all(|(field, value)| tree::put_child(&mut cx.xavus, &name, &field, value)))
}

fn implode(cx: &mut Cx, family: Family, name: &Str, out: &VarRef, quoted: bool) -> Result<bool, Fault> {
    let Some(fields) = tree::children(family.list(cx), name) else {
        return Ok(false);
    };
    let text = joined(fields, quoted);
    if text.is_empty() {
        return Ok(false);
    }
    out.set(cx, Value::from(text))?;
    Ok(true)
}

fn joined(fields: &Xavps, quoted: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields.iter() {
        let start = out.len();
        out.extend_from_slice(&field.name);
        let bare = matches!(&field.value, XValue::Str(text) if text.is_empty());
        if !bare {
            out.push(b'=');
        }
        match &field.value {
            XValue::Str(_) if bare => {}
            XValue::Int(n) => push_int(*n, &mut out),
            XValue::Str(text) if quoted => {
                out.push(b'"');
                out.extend_from_slice(text);
                out.push(b'"');
            }
            XValue::Str(text) => out.extend_from_slice(text),
            XValue::Null | XValue::List(_) => {
                out.truncate(start);
                continue;
            }
        }
        out.push(b';');
    }
    out
}

fn slist_explode(
    _: &Pv,
    cx: &mut Cx,
    list: Str,
    separators: Str,
    mode: Str,
    name: Str,
) -> Result<bool, Fault> {
    if list.is_empty() || separators.is_empty() {
        return Err(Fault::script("the list or the separators are empty"));
    }
    let trims = mode.contains(&b't') || mode.contains(&b'T');
    let words: Vec<&[u8]> = list
        .split(|byte| separators.contains(byte))
        .map(|word| if trims { word.trim_ascii() } else { word })
        .filter(|word| !word.is_empty())
        .collect();
    cx.spend_bytes(
        words
            .len()
            .saturating_mul(std::mem::size_of::<kahea_module::xavp::Xavp>()),
    )?;
    let mut children = cx.xavps.sibling();
    // Newest first is first word first.
    for word in words.into_iter().rev() {
        children.add(Str::from_static("v"), XValue::Str(list.share(word)));
    }
    cx.xavps.add(name, XValue::List(children));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    fn field(list: &Xavps, name: &str, field: &str, at: usize) -> Option<Value> {
        let fields = tree::children(list, name.as_bytes())?;
        fields.get(field.as_bytes(), at).map(|xavp| xavp.value.value())
    }

    #[test]
    fn parameters_become_fields_in_order() {
        let mut cx = Server::default().invite();
        assert_eq!(
            xavp_explode(&mut cx, &text("a=b;c=d;e=\"f g\";h"), b';', &text("x")),
            Ok(true)
        );
        assert_eq!(field(&cx.xavps, "x", "e", 0), Some(Value::from("f g")));
        assert_eq!(field(&cx.xavps, "x", "h", 0), Some(Value::EMPTY));
        let fields = tree::children(&cx.xavps, b"x").expect("fields");
        assert_eq!(joined(fields, false), b"a=b;c=d;e=f g;h;");
        assert!(xavp_explode(&mut cx, &text(""), b';', &text("x")).is_err());
        assert!(xavp_explode(&mut cx, &text(";;"), b';', &text("x")).is_err());
    }

    #[test]
    fn xavu_fields_stay_beside_new_ones() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        assert_eq!(xavu_explode(&m, &mut cx, text("a=b;c=d"), text("x")), Ok(true));
        assert_eq!(xavu_explode(&m, &mut cx, text("k=1"), text("x")), Ok(true));
        assert_eq!(field(&cx.xavus, "x", "a", 0), Some(Value::from("b")));
        let fields = tree::children(&cx.xavus, b"x").expect("fields");
        assert_eq!(joined(fields, true), b"k=\"1\";a=\"b\";c=\"d\";");
    }

    #[test]
    fn words_are_numbered_from_the_first() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        assert_eq!(
            slist_explode(&m, &mut cx, text("a=b; c=d;"), text("=;"), text("t"), text("l")),
            Ok(true)
        );
        assert_eq!(field(&cx.xavps, "l", "v", 0), Some(Value::from("a")));
        assert_eq!(field(&cx.xavps, "l", "v", 2), Some(Value::from("c")));
        assert_eq!(field(&cx.xavps, "l", "v", 4), None);
        assert!(slist_explode(&m, &mut cx, text(""), text(","), text("t"), text("l")).is_err());
    }
}
