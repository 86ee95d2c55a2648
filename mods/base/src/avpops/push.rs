//! `avp_pushto()`: values into the Request-URI, the destination URI, or a branch.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Str, Target, Value, arg::Literal};

use super::{
    Avpops,
    names::{Letters, Operand, split},
    routes,
};
use crate::uri_edit::{self, Part};

/// Declares the function.
pub fn declare(d: &mut Decl<Avpops>) {
    d.func(
        "avp_pushto",
        ["destination", "variable"],
        avp_pushto,
        "Writes the newest value of an AVP, with `/g` every value, or another variable, to $ru, $ru/username, $ru/domain, $du, or as a branch to $br.",
    )
    .routes(routes())
    .example("avp_pushto(\"$ru/domain\", \"$avp(x)\");");
}

enum Destination {
    Ruri(Part),
    Duri,
    Branch,
}

impl Literal for Destination {
    const WHAT: &'static str = "$ru, $ru/username, $ru/domain, $du or $br";

    fn parse(text: &str, _: &dyn Bind) -> Result<Destination, BindError> {
        Ok(match text.trim() {
            "$ru" | "$ruri" => Destination::Ruri(Part::Uri),
            "$ru/username" | "$ruri/username" => Destination::Ruri(Part::User),
            "$ru/domain" | "$ruri/domain" => Destination::Ruri(Part::Host),
            "$du" | "$duri" => Destination::Duri,
            "$br" | "$branch" => Destination::Branch,
            other => {
                return Err(BindError::new(format!("nothing can be pushed to '{other}'"))
                    .help("write $ru, $ru/username, $ru/domain, $du or $br"));
            }
        })
    }
}

struct Source {
    value: Operand,
    all: bool,
}

impl Literal for Source {
    const WHAT: &'static str = "a variable, with /g for all values of an AVP";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Source, BindError> {
        let parts = split(text.trim());
        let (value, flags) = match parts.as_slice() {
            [value] => (*value, ""),
            [value, flags] => (*value, *flags),
            _ => return Err(BindError::new(format!("'{text}' is no variable"))),
        };
        if !value.starts_with('$') {
            return Err(BindError::new(format!("'{value}' is no variable")).help("write $avp(name)"));
        }
        Ok(Source {
            value: Operand::parse(value, bind)?,
            all: Letters::parse(flags, "g")?.has(0),
        })
    }
}

fn avp_pushto(m: &Avpops, cx: &mut Cx, to: Lit<Destination>, source: Lit<Source>) -> Result<bool, Fault> {
    let mut values = source.value.values(m.aliases(cx), cx)?;
    if !source.all {
        values.truncate(1);
    }
    for value in &values {
        match &*to {
            Destination::Ruri(part) => uri_edit::set(cx, *part, &value.str_or_empty())?,
            Destination::Duri => cx.target.dst_uri = Some(uri(value)?).filter(|uri| !uri.is_empty()),
            Destination::Branch => {
                // As in Kamailio, the empty text makes a branch with the Request-URI in force.
                let ruri = Some(uri(value)?).filter(|uri| !uri.is_empty());
                let ruri = ruri.unwrap_or_else(|| cx.ruri());
                cx.branches.push(Target {
                    ruri: Some(ruri),
                    ..Target::default()
                });
            }
        }
    }
    Ok(!values.is_empty())
}

/// A whole URI is a text.
fn uri(value: &Value) -> Result<Str, Fault> {
    match value {
        Value::Str(text) => Ok(text.clone()),
        other => Err(Fault::script(format!("'{other}' is no URI"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avpops::names::CLASS;
    use kahea_module::{Arg, avp::AvpName, testing::Server};

    #[test]
    fn values_go_where_they_are_sent() {
        let mut cx = Server::default().invite();
        for (name, value) in [
            ("u", "carol"),
            ("d", "example.net"),
            ("uri", "sip:x@y"),
            ("uri", "sip:z@y"),
            ("bad", "nonsense"),
        ] {
            cx.avps
                .add(CLASS, AvpName::Str(Str::from(name)), Value::from(value));
        }
        let push = |cx: &mut Cx, to: &str, from: &str| {
            let lit = |text: &str| Some(Value::Str(Str::from(text)));
            let to = Lit::from_value(lit(to), cx).unwrap();
            let from = Lit::from_value(lit(from), cx).unwrap();
            avp_pushto(&Avpops::default(), cx, to, from)
        };
        assert_eq!(push(&mut cx, "$ru/username", "$avp(u)"), Ok(true));
        assert_eq!(push(&mut cx, "$ru/domain", "$avp(d)"), Ok(true));
        assert_eq!(cx.ruri(), "sip:carol@example.net:5070;transport=udp");
        assert_eq!(push(&mut cx, "$du", "$avp(uri)"), Ok(true));
        assert_eq!(cx.target.dst_uri, Some(Str::from("sip:z@y")));
        assert_eq!(push(&mut cx, "$br", "$avp(uri)/g"), Ok(true));
        assert_eq!(cx.branches.len(), 2);
        assert_eq!(push(&mut cx, "$ru", "$avp(none)"), Ok(false));
        assert!(push(&mut cx, "$ru", "$avp(bad)").is_err());
    }
}
