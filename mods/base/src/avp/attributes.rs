//! Making, testing, changing and showing attributes.

use kahea_module::subst::Subst;
use kahea_module::{
    Cx, Decl, Fault, Lit, Str, Value,
    avp::{AvpClass, AvpName},
};

use super::{Attribute, Avp, CLASS, everywhere, xl::Xl};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avp>) {
    making(d);
    testing(d);
    let attribute = ["attribute"];
    d.func(
        "print_attr",
        attribute,
        print_attr,
        "Writes an attribute to the log.",
    )
    .routes(everywhere());
    d.func(
        "dump_attrs",
        ["track"],
        dump_attrs,
        "Writes all attributes to the log; the argument, a list of SER's tracks, makes no difference.",
    )
    .routes(everywhere());
    d.func(
        "subst_attr",
        ["attribute", "substitution"],
        subst_attr,
        "Substitutes in an attribute, `/expression/replacement/flags`; false where nothing matches.",
    )
    .routes(everywhere())
    .example("subst_attr(\"$uri\", \"/^tel:/sip:/\");");
    for name in ["del_attr", "del_attrs"] {
        d.func(name, attribute, del_attr, "Deletes all values of an attribute.")
            .routes(everywhere())
            .example("del_attr(\"$uri\");");
    }
}

fn making(d: &mut Decl<Avp>) {
    let names = ["attribute", "value"];
    d.func("set_iattr", names, set_iattr, "Adds a number to an attribute.")
        .routes(everywhere())
        .example("set_iattr(\"fr_inv_timer\", \"60\");");
    for name in ["set_sattr", "set_attr"] {
        d.func(name, names, set_sattr, "Adds a text to an attribute.")
            .routes(everywhere());
    }
    d.func(
        "flags2attr",
        ["attribute"],
        flags2attr,
        "Adds the flags of the message to an attribute, as a number.",
    )
    .routes(everywhere());
    d.func(
        "xlset_attr",
        ["attribute", "text"],
        xlset_attr,
        "Adds a text with %-variables to an attribute.",
    )
    .routes(everywhere());
    d.func(
        "xlfix_attr",
        ["attribute"],
        xlfix_attr,
        "Evaluates the %-variables in the value of an attribute.",
    )
    .routes(everywhere());
}

fn testing(d: &mut Decl<Avp>) {
    d.func(
        "attr_exists",
        ["attribute"],
        attr_exists,
        "True where the attribute has a value.",
    )
    .routes(everywhere())
    .example("attr_exists(\"saved_ruri\");");
    d.func(
        "attr_equals",
        ["attribute", "value"],
        attr_equals,
        "True where the attribute has this value, compared as text.",
    )
    .routes(everywhere());
    d.func(
        "attr_equals_xl",
        ["attribute", "text"],
        attr_equals_xl,
        "True where the attribute has the value of this text with %-variables.",
    )
    .routes(everywhere());
}

/// The attribute of a name that may come from a variable.
fn named(name: &Str) -> Attribute {
    let bare = name.strip_prefix(b"$").unwrap_or(name);
    Attribute(AvpName::Str(name.share(bare)))
}

fn set_iattr(_: &Avp, cx: &mut Cx, name: Str, value: i64) -> Result<bool, Fault> {
    named(&name).add(cx, Value::Int(value))?;
    Ok(true)
}

fn set_sattr(_: &Avp, cx: &mut Cx, name: Str, value: Str) -> Result<bool, Fault> {
    named(&name).add(cx, Value::Str(value))?;
    Ok(true)
}

fn flags2attr(_: &Avp, cx: &mut Cx, attribute: Lit<Attribute>) -> Result<bool, Fault> {
    let flags = Value::from(cx.flags);
    attribute.add(cx, flags)?;
    Ok(true)
}

fn xlset_attr(m: &Avp, cx: &mut Cx, attribute: Lit<Attribute>, text: Lit<Xl>) -> Result<bool, Fault> {
    let text = text.text(m, cx)?;
    attribute.add(cx, Value::Str(text))?;
    Ok(true)
}

fn xlfix_attr(m: &Avp, cx: &mut Cx, attribute: Lit<Attribute>) -> Result<bool, Fault> {
    use kahea_module::arg::Literal;
    let text = attribute.text(cx)?;
    let bind = cx.bind();
    let fixed = Xl::parse(&text.text(), &*bind)
        .map_err(|error| Fault::script(error.message))?
        .text(m, cx)?;
    replace(cx, &attribute, fixed)
}

/// Puts a text in the place of the newest value.
fn replace(cx: &mut Cx, attribute: &Attribute, text: Str) -> Result<bool, Fault> {
    cx.spend_bytes(text.len())?;
    if let Some(avp) = cx.avps.all_mut(CLASS, &attribute.0).next() {
        avp.value = Value::Str(text);
    }
    Ok(true)
}

fn attr_exists(_: &Avp, cx: &mut Cx, name: Str) -> bool {
    named(&name).value(cx).is_some()
}

fn attr_equals(_: &Avp, cx: &mut Cx, name: Str, value: Str) -> bool {
    has_value(cx, &named(&name), &value)
}

fn attr_equals_xl(m: &Avp, cx: &mut Cx, attribute: Lit<Attribute>, text: Lit<Xl>) -> Result<bool, Fault> {
    let wanted = text.text(m, cx)?;
    Ok(has_value(cx, &attribute, &wanted))
}

fn has_value(cx: &Cx, attribute: &Attribute, wanted: &Str) -> bool {
    let mut all = cx.avps.all(CLASS, &attribute.0);
    all.any(|avp| avp.value.str_or_empty() == *wanted)
}

fn print_attr(_: &Avp, cx: &mut Cx, attribute: Lit<Attribute>) -> Result<bool, Fault> {
    let text = attribute.text(cx)?;
    if let AvpName::Str(name) = &attribute.0 {
        kahea_module::info!("avp", "AVP: '${name}'={text}");
    }
    Ok(true)
}

fn dump_attrs(_: &Avp, cx: &mut Cx, _track: Option<Str>) -> bool {
    const CLASSES: [(AvpClass, &str); 7] = [
        (AvpClass::Global, "class=GLOBAL"),
        (AvpClass::FromDomain, "track=FROM class=DOMAIN"),
        (AvpClass::ToDomain, "track=TO class=DOMAIN"),
        (AvpClass::FromUser, "track=FROM class=USER"),
        (AvpClass::ToUser, "track=TO class=USER"),
        (AvpClass::FromUri, "track=FROM class=URI"),
        (AvpClass::ToUri, "track=TO class=URI"),
    ];
    for (class, title) in CLASSES {
        kahea_module::info!("avp", "{title}");
        for avp in cx.avps.iter().filter(|avp| avp.class == class) {
            match &avp.name {
                AvpName::Int(n) => kahea_module::info!("avp", "AVP[{n}]=\"{}\"", avp.value),
                AvpName::Str(name) => kahea_module::info!("avp", "AVP[\"{name}\"]=\"{}\"", avp.value),
            }
        }
    }
    true
}

fn subst_attr(_: &Avp, cx: &mut Cx, attribute: Lit<Attribute>, subst: Lit<Subst>) -> Result<bool, Fault> {
    let text = attribute.text(cx)?;
    match subst.run(cx, &text)? {
        Some(new) => replace(cx, &attribute, new),
        None => Ok(false),
    }
}

fn del_attr(_: &Avp, cx: &mut Cx, attribute: Lit<Attribute>) -> bool {
    cx.avps
        .remove(|avp| avp.class == CLASS && avp.name == attribute.0);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avp::tests::{AVP, lit, with};

    fn newest(cx: &Cx, name: &str) -> Option<Value> {
        named(&Str::from(name)).value(cx)
    }

    #[test]
    fn attributes_are_made_and_tested() {
        let mut cx = with(&[]);
        let text = |text: &str| Str::from(text);
        assert_eq!(set_iattr(&AVP, &mut cx, text("a"), 60), Ok(true));
        assert_eq!(set_sattr(&AVP, &mut cx, text("b"), text("1234")), Ok(true));
        assert!(attr_exists(&AVP, &mut cx, text("$a")) && !attr_exists(&AVP, &mut cx, text("none")));
        assert!(attr_equals(&AVP, &mut cx, text("a"), text("60")));
        assert!(!attr_equals(&AVP, &mut cx, text("b"), text("12345")));
        cx.flags = 10;
        let fl = lit(&mut cx, "$fl");
        assert_eq!(flags2attr(&AVP, &mut cx, fl), Ok(true));
        assert_eq!(newest(&cx, "fl"), Some(Value::Int(10)));
    }

    #[test]
    fn attributes_are_changed_and_deleted() {
        let mut cx = with(&[("b", "old"), ("b", "m %% x")]);
        let b = lit(&mut cx, "$b");
        assert_eq!(xlfix_attr(&AVP, &mut cx, b), Ok(true));
        assert_eq!(newest(&cx, "b"), Some(Value::from("m % x")));
        let (b, subst) = (lit(&mut cx, "$b"), lit(&mut cx, "/m (.*)/[\\1]/"));
        assert_eq!(subst_attr(&AVP, &mut cx, b, subst), Ok(true));
        assert_eq!(newest(&cx, "b"), Some(Value::from("[% x]")));
        let (b, subst) = (lit(&mut cx, "$b"), lit(&mut cx, "/nomatch/x/"));
        assert_eq!(subst_attr(&AVP, &mut cx, b, subst), Ok(false));
        let none = lit(&mut cx, "$none");
        assert!(print_attr(&AVP, &mut cx, none).is_err() && dump_attrs(&AVP, &mut cx, None));
        let b = lit(&mut cx, "$b");
        assert!(del_attr(&AVP, &mut cx, b) && newest(&cx, "b").is_none());
    }

    #[test]
    fn texts_with_percent_variables() {
        let mut cx = with(&[]);
        let (a, text) = (lit(&mut cx, "$a"), lit(&mut cx, "100%%"));
        assert_eq!(xlset_attr(&AVP, &mut cx, a, text), Ok(true));
        let (a, text) = (lit(&mut cx, "$a"), lit(&mut cx, "100%%"));
        assert_eq!(attr_equals_xl(&AVP, &mut cx, a, text), Ok(true));
    }

    #[test]
    fn texts_that_do_not_fit_are_refused() {
        let mut cx = with(&[]);
        for (length, fits) in [(255, true), (256, false)] {
            let (a, text) = (lit(&mut cx, "$a"), lit(&mut cx, &"x".repeat(length)));
            assert_eq!(xlset_attr(&AVP, &mut cx, a, text).is_ok(), fits, "{length}");
        }
    }
}
