//! `$avp()` and the `avp_aliases` parameter.

use std::collections::HashMap;

use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Format, Index, Named, Naming, Str, Value, Var,
    avp::{AvpClass, AvpName},
    value::parse_int,
};

use super::Pv;

/// Declares the variable.
pub fn declare(d: &mut Decl<Pv>) {
    d.var_named(
        "avp",
        Naming::Required,
        Named {
            parse: AvpRef::parse,
            get: |m, cx, name, index| name.resolve(&m.aliases, cx).map_or(Value::Null, |name| read(cx, &name, index)),
            set: Some(|m, cx, name, index, value| {
                let name = name.resolve(&m.aliases, cx).ok_or_else(|| Fault::script("the name of the AVP is $null"))?;
                assign(cx, name, index, value)
            }),
            raw: true,
        },
        "An attribute of the message and its transaction: `s:name`, `i:number`, a name or alias, or a variable that holds one. Assigning adds a value in front; `[*]` replaces all; `$null` takes the newest away.",
    );
}

/// Aliases of AVP names.
pub type Aliases = HashMap<Str, AvpName>;

/// The name in `$avp(name)`.
#[derive(Clone, Debug)]
pub enum AvpRef {
    /// Fixed, with `s:` or `i:`.
    Name(AvpName),
    /// Fixed, perhaps an alias.
    Plain(AvpName),
    /// The value of a variable: a number names a number.
    Var(Var),
    /// A text with variables in it.
    Format(Format),
}

impl AvpRef {
    /// Reads what stands between the parentheses.
    ///
    /// # Errors
    /// No name, or an unknown variable in it.
    pub fn parse(text: &str, bind: &dyn Bind) -> Result<AvpRef, BindError> {
        let text = text.trim();
        if text.starts_with('$')
            && let Ok(var) = bind.var(text)
        {
            return Ok(AvpRef::Var(var));
        }
        if text.contains('$') {
            return bind.format(text).map(AvpRef::Format);
        }
        fixed(text)
    }

    /// The name now; `None` where the variable is `$null`.
    pub fn resolve(&self, aliases: &Aliases, cx: &mut Cx) -> Option<AvpName> {
        match self {
            AvpRef::Name(name) => Some(name.clone()),
            AvpRef::Plain(name) => Some(alias(aliases, name)),
            AvpRef::Var(var) => match var.get(cx) {
                Value::Null => None,
                Value::Int(n) => Some(AvpName::Int(n)),
                Value::Str(text) => Some(AvpName::Str(text)),
            },
            AvpRef::Format(format) => {
                let text = format.text(cx);
                fixed(&text.text()).ok()?.resolve(aliases, cx)
            }
        }
    }
}

fn fixed(text: &str) -> Result<AvpRef, BindError> {
    if let Some(number) = text.strip_prefix("i:") {
        let id = parse_int(number.trim().as_bytes()).ok_or_else(|| {
            BindError::new(format!("'{number}' is no number of an AVP"))
                .help("write $avp(i:NUMBER) or $avp(s:NAME)")
        })?;
        return Ok(AvpRef::Name(AvpName::Int(id)));
    }
    let (name, is_plain) = match text.strip_prefix("s:") {
        Some(name) => (name.trim(), false),
        None => (text, true),
    };
    if name.is_empty() {
        return Err(BindError::new("the name of the AVP is missing"));
    }
    let name = AvpName::Str(Str::from(name));
    Ok(if is_plain {
        AvpRef::Plain(name)
    } else {
        AvpRef::Name(name)
    })
}

fn alias(aliases: &Aliases, name: &AvpName) -> AvpName {
    match name {
        AvpName::Str(text) if !aliases.is_empty() => aliases.get(text).unwrap_or(name).clone(),
        _ => name.clone(),
    }
}

/// Where a name is looked up: what belongs to the user goes before what belongs to the domain, and that before what
/// belongs to all.
const READ: [AvpClass; 4] = [
    AvpClass::FromUser,
    AvpClass::FromUri,
    AvpClass::FromDomain,
    AvpClass::Global,
];

/// The first list that has the name.
fn list_with(cx: &Cx, name: &AvpName) -> AvpClass {
    let mut lists = READ.into_iter();
    lists
        .find(|class| cx.avps.all(*class, name).next().is_some())
        .unwrap_or_default()
}

/// The value of an AVP; with `[*]` all values, joined.
pub fn read(cx: &Cx, name: &AvpName, index: Index) -> Value {
    let class = list_with(cx, name);
    match index {
        Index::All => {}
        // As in Kamailio an index below 0 finds nothing but the newest value.
        Index::At(..0) if index.pick(cx.avps.all(class, name).count()) != Some(0) => return Value::Null,
        index => return cx.avps.get(class, name, index),
    }
    let mut out: Option<Vec<u8>> = None;
    for avp in cx.avps.all(class, name) {
        match &mut out {
            None => avp.value.push_to(out.insert(Vec::new())),
            Some(out) => {
                out.extend_from_slice(b", ");
                avp.value.push_to(out);
            }
        }
    }
    out.into()
}

/// How many values an AVP has.
pub fn count(cx: &Cx, name: &AvpName) -> usize {
    cx.avps.all(AvpClass::FromUser, name).count()
}

/// Assigns an AVP.
///
/// # Errors
/// The message's memory budget is used up.
pub fn assign(cx: &mut Cx, name: AvpName, index: Index, value: Value) -> Result<(), Fault> {
    const CLASS: AvpClass = AvpClass::FromUser;
    if index == Index::All {
        cx.avps.remove(|avp| avp.class == CLASS && avp.name == name);
    }
    match value {
        // As in Kamailio $null takes the newest away, whatever number the index has.
        Value::Null if index != Index::All => {
            cx.avps.remove_at(CLASS, &name, 0);
        }
        Value::Null => {}
        value => {
            cx.spend_bytes(std::mem::size_of::<kahea_module::avp::Avp>())?;
            cx.avps.add(CLASS, name, value);
        }
    }
    Ok(())
}

/// Reads `avp_aliases`: `email=s:email_addr;tmp=i:100`.
///
/// # Errors
/// It has another form.
pub fn parse_aliases(text: &str) -> Result<Aliases, BindError> {
    let mut aliases = Aliases::new();
    for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let wrong = || {
            BindError::new(format!("'{entry}' is no alias of an AVP"))
                .help("write alias=s:name or alias=i:number")
        };
        let (name, target) = entry.split_once('=').ok_or_else(wrong)?;
        let target = match fixed(target.trim()) {
            Ok(AvpRef::Name(target) | AvpRef::Plain(target)) => target,
            _ => return Err(wrong()),
        };
        aliases.insert(Str::from(name.trim()), target);
    }
    Ok(aliases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::{FakeBind, Server};

    fn name(text: &str) -> AvpName {
        AvpName::Str(Str::from(text))
    }

    #[test]
    fn values_pile_up_and_go_newest_first() {
        let mut cx = Server::default().invite();
        for value in [Value::Int(1), Value::from("two"), Value::Int(3)] {
            assign(&mut cx, name("x"), Index::None, value).expect("budget");
        }
        assert_eq!(read(&cx, &name("x"), Index::All), Value::from("3, two, 1"));
        assign(&mut cx, name("x"), Index::At(1), Value::Null).expect("budget");
        assert_eq!(read(&cx, &name("x"), Index::All), Value::from("two, 1"));
        assign(&mut cx, name("x"), Index::All, Value::from("all")).expect("budget");
        assert_eq!(read(&cx, &name("x"), Index::All), Value::from("all"));
        assign(&mut cx, name("x"), Index::All, Value::Null).expect("budget");
        assert_eq!(read(&cx, &name("x"), Index::All), Value::Null);
    }

    #[test]
    fn names_have_forms_and_aliases() {
        let mut cx = Server::default().invite();
        let bind = FakeBind::default();
        let aliases = parse_aliases("email=s:email_addr;tmp=i:100").expect("aliases");
        let mut resolve = |text: &str| {
            AvpRef::parse(text, &bind)
                .expect("a name")
                .resolve(&aliases, &mut cx)
        };
        assert_eq!(resolve("email"), Some(name("email_addr")));
        assert_eq!(resolve("s:email"), Some(name("email")));
        assert_eq!(resolve("tmp"), Some(AvpName::Int(100)));
        assert_eq!(resolve("7"), Some(name("7")));
        assert_eq!(resolve("$var(n)"), Some(AvpName::Int(0)));
        assert!(AvpRef::parse("i:x", &bind).is_err());
        assert!(AvpRef::parse("", &bind).is_err());
        assert!(parse_aliases("email").is_err());
    }
}
