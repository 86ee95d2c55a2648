//! `avp_subst()` and `avp_subst_pv()`.

use kahea_module::subst::Subst;
use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Str, Value, arg::Literal};

use super::{
    Avpops,
    names::{AvpSpec, Letters, split},
    routes,
};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avpops>) {
    d.func(
        "avp_subst",
        ["avps", "substitution"],
        avp_subst,
        "Substitutes in an AVP, `source[/destination[/flags]]`: the newest text that matches, with g all; d deletes the source.",
    )
    .routes(routes())
    .example("avp_subst(\"$avp(x)/$avp(y)/g\", \"/a/b/g\");");
    d.func(
        "avp_subst_pv",
        ["avps", "substitution"],
        avp_subst_pv,
        "As avp_subst(), with variables in the whole substitution.",
    )
    .routes(routes());
}

struct Places {
    source: AvpSpec,
    target: Option<AvpSpec>,
    delete: bool,
    all: bool,
}

impl Literal for Places {
    const WHAT: &'static str = "AVPs, $avp(source)[/$avp(destination)[/flags]] with flags g, d";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Places, BindError> {
        let (source, target, flags) = match split(text).as_slice() {
            [source] => (*source, "", ""),
            [source, target] => (*source, *target, ""),
            [source, target, flags] => (*source, *target, *flags),
            _ => return Err(BindError::new(format!("'{text}' are no AVPs"))),
        };
        let flags = Letters::parse(flags, "gd")?;
        Ok(Places {
            source: AvpSpec::parse(source, bind)?,
            target: (!target.is_empty())
                .then(|| AvpSpec::parse(target, bind))
                .transpose()?,
            all: flags.has(0),
            delete: flags.has(1),
        })
    }
}

fn avp_subst(m: &Avpops, cx: &mut Cx, places: Lit<Places>, subst: Lit<Subst>) -> Result<bool, Fault> {
    run(m, cx, &places, &subst)
}

fn avp_subst_pv(m: &Avpops, cx: &mut Cx, places: Lit<Places>, subst: Str) -> Result<bool, Fault> {
    let bind = cx.bind();
    let subst = Subst::parse(&subst.text(), &*bind).map_err(|error| Fault::script(error.message).code(-3))?;
    run(m, cx, &places, &subst)
}

fn run(m: &Avpops, cx: &mut Cx, places: &Places, subst: &Subst) -> Result<bool, Fault> {
    let source = places.source.resolve(m.aliases(cx), cx)?;
    let target = match &places.target {
        Some(target) => target.resolve(m.aliases(cx), cx)?,
        None => source.clone(),
    };
    let replace = places.delete || places.target.is_none();
    let texts: Vec<Str> = source
        .values(cx)
        .into_iter()
        .filter_map(|value| match value {
            Value::Str(text) => Some(text),
            _ => None,
        })
        .collect();
    let mut done = false;
    for text in texts {
        let Some(new) = subst.run(cx, &text)? else {
            continue;
        };
        done = true;
        if replace {
            let named = source.clone();
            let mut all = cx.avps.all(super::names::CLASS, &named.name);
            let place = all.position(|avp| named.matches(avp) && avp.value == Value::Str(text.clone()));
            drop(all);
            if let Some(at) = place {
                cx.avps.remove_at(super::names::CLASS, &named.name, at);
            }
        }
        target.add(cx, Value::Str(new))?;
        if !places.all {
            break;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avpops::names::CLASS;
    use kahea_module::{Arg, avp::AvpName, testing::Server};

    fn subst(places: &str, subst: &str) -> (Result<bool, Fault>, String, String) {
        let mut cx = Server::default().invite();
        let name = |name: &str| AvpName::Str(Str::from(name));
        for value in [
            Value::Int(5),
            Value::from("alice@example.org"),
            Value::from("bob@example.com"),
        ] {
            cx.avps.add(CLASS, name("s"), value);
        }
        let places = Lit::from_value(Some(Value::Str(Str::from(places))), &mut cx).unwrap();
        let done = avp_subst_pv(&Avpops::default(), &mut cx, places, Str::from(subst));
        let list = |n: &str| {
            let name = name(n);
            let all = cx.avps.all(CLASS, &name);
            all.map(|avp| avp.value.to_string()).collect::<Vec<_>>().join(" ")
        };
        (done, list("s"), list("r"))
    }

    #[test]
    fn the_newest_match_is_replaced() {
        let (done, s, _) = subst("$avp(s)", "/(.*)@(.*)/\\1@h/");
        assert_eq!((done, s.as_str()), (Ok(true), "bob@h alice@example.org 5"));
        let (done, s, _) = subst("$avp(s)", "/nomatch/x/");
        assert_eq!(
            (done, s.as_str()),
            (Ok(false), "bob@example.com alice@example.org 5")
        );
    }

    #[test]
    fn a_destination_gets_the_results() {
        let (_, s, r) = subst("$avp(s)/$avp(r)/g", "/e/E/g");
        assert_eq!(
            (s.as_str(), r.as_str()),
            (
                "bob@example.com alice@example.org 5",
                "alicE@ExamplE.org bob@ExamplE.com"
            )
        );
        let (_, s, r) = subst("$avp(s)/$avp(r)/gd", "/(.)(.)/\\2\\1/");
        assert_eq!(
            (s.as_str(), r.as_str()),
            ("5", "laice@example.org obb@example.com")
        );
    }

    #[test]
    fn nonsense_is_a_fault_of_its_own() {
        assert_eq!(subst("$avp(s)", "nonsense").0.unwrap_err().code, -3);
    }
}
