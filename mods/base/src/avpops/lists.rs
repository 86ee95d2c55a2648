//! `avp_copy()`, `avp_delete()`, `avp_print()`.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Value, arg::Literal, avp::AvpName};

use super::{
    Avpops,
    names::{AvpSpec, CLASS, Letters, script_flags, split},
    routes,
};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avpops>) {
    d.func(
        "avp_copy",
        ["from", "to"],
        avp_copy,
        "Copies an AVP to another name: the newest value, with `/g` all; `/d` deletes the source, `/n` makes numbers, `/s` texts.",
    )
    .kemi(2, "avp_copy")
    .example("avp_copy(\"$avp(old)\", \"$avp(new)/gd\");");
    d.func(
        "avp_delete",
        ["avp"],
        avp_delete,
        "Deletes the newest value of an AVP, with `/g` all; `i`, `s` or `a` deletes all AVPs named by numbers, by texts, or both.",
    )
    .routes(routes())
    .example("avp_delete(\"$avp(x)/g\");");
    d.func(
        "avp_print",
        [],
        avp_print,
        "Writes all AVPs of the message to the log.",
    )
    .routes(routes());
}

struct Source(AvpSpec);

impl Literal for Source {
    const WHAT: &'static str = "an AVP, $avp(name)";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Source, BindError> {
        AvpSpec::parse(text, bind).map(Source)
    }
}

struct Copy {
    to: AvpSpec,
    all: bool,
    delete: bool,
    number: bool,
    text: bool,
}

impl Literal for Copy {
    const WHAT: &'static str = "an AVP, $avp(name) or $avp(name)/flags with flags g, d, n, s";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Copy, BindError> {
        let parts = split(text);
        let (to, flags) = match parts.as_slice() {
            [to] => (*to, ""),
            [to, flags] => (*to, *flags),
            _ => return Err(BindError::new(format!("'{text}' is no AVP with flags"))),
        };
        let flags = Letters::parse(flags, "gdns")?;
        Ok(Copy {
            to: AvpSpec::parse(to, bind)?,
            all: flags.has(0),
            delete: flags.has(1),
            number: flags.has(2),
            text: flags.has(3),
        })
    }
}

fn avp_copy(m: &Avpops, cx: &mut Cx, from: Lit<Source>, copy: Lit<Copy>) -> Result<bool, Fault> {
    let source = from.0.resolve(m.aliases(cx), cx)?;
    let target = copy.to.resolve(m.aliases(cx), cx)?;
    let mut values = source.values(cx);
    if !copy.all {
        values.truncate(1);
    }
    let values: Vec<Value> = values
        .into_iter()
        .map(|value| converted(value, &copy))
        .collect::<Result<_, _>>()?;
    if values.is_empty() {
        return Ok(false);
    }
    if copy.delete && copy.all {
        source.remove_all(cx);
    } else if copy.delete {
        source.remove_newest(cx);
    }
    for value in values {
        target.add(cx, value)?;
    }
    Ok(true)
}

fn converted(value: Value, copy: &Copy) -> Result<Value, Fault> {
    if copy.number {
        return value
            .int()
            .map(Value::Int)
            .ok_or_else(|| Fault::script(format!("avp_copy() cannot make a number of '{value}'")));
    }
    Ok(match value {
        Value::Int(n) if copy.text => Value::Str(kahea_module::value::int_text(n)),
        value => value,
    })
}

enum Gone {
    One { avp: AvpSpec, all: bool },
    Kind { numbers: bool, texts: bool, flags: u32 },
}

impl Literal for Gone {
    const WHAT: &'static str = "an AVP, $avp(name) or $avp(name)/g, or the kind of names i, s, a";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Gone, BindError> {
        let parts = split(text.trim());
        let (what, flags) = match parts.as_slice() {
            [what] => (*what, ""),
            [what, flags] => (*what, *flags),
            _ => return Err(BindError::new(format!("'{text}' is no AVP with flags"))),
        };
        let all = Letters::parse(flags, "g")?.has(0);
        if what.starts_with('$') {
            let avp = AvpSpec::parse(what, bind)?;
            return Ok(Gone::One { avp, all });
        }
        let mut letters = what.chars();
        let (numbers, texts) = match letters.next().map(|c| c.to_ascii_lowercase()) {
            Some('i') => (true, false),
            Some('s') => (false, true),
            Some('a') => (true, true),
            _ => {
                return Err(BindError::new(format!("'{text}' is no AVP")).help("write $avp(name), i, s or a"));
            }
        };
        let flags = script_flags(letters.as_str())?;
        Ok(Gone::Kind {
            numbers,
            texts,
            flags,
        })
    }
}

fn avp_delete(m: &Avpops, cx: &mut Cx, gone: Lit<Gone>) -> Result<bool, Fault> {
    match &*gone {
        Gone::One { avp, all } => {
            let name = avp.resolve(m.aliases(cx), cx)?;
            Ok(if *all {
                name.remove_all(cx) > 0
            } else {
                name.remove_newest(cx)
            })
        }
        Gone::Kind {
            numbers,
            texts,
            flags,
        } => {
            let removed = cx.avps.remove(|avp| {
                let kind = match avp.name {
                    AvpName::Int(_) => *numbers,
                    AvpName::Str(_) => *texts,
                };
                avp.class == CLASS && kind && (*flags == 0 || avp.flags & flags != 0)
            });
            Ok(removed > 0)
        }
    }
}

fn avp_print(_: &Avpops, cx: &mut Cx) -> bool {
    for avp in cx.avps.iter() {
        let name = match &avp.name {
            AvpName::Int(n) => format!("i:{n}"),
            AvpName::Str(name) => format!("s:{name}"),
        };
        match &avp.value {
            Value::Int(n) => kahea_module::info!("avpops", "AVP {name} flags {:#06x} number {n}", avp.flags),
            value => kahea_module::info!("avpops", "AVP {name} flags {:#06x} text '{value}'", avp.flags),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{Arg, Str, testing::Server};

    struct Lists(Cx);

    impl Lists {
        fn new() -> Lists {
            let mut lists = Lists(Server::default().invite());
            for n in [5, 7, 12] {
                lists.add("n", Value::Int(n));
            }
            lists.add("s", Value::from("Bob"));
            lists
        }

        fn add(&mut self, name: &str, value: Value) {
            self.0.avps.add(CLASS, AvpName::Str(Str::from(name)), value);
        }

        fn get(&self, name: &str) -> String {
            let name = AvpName::Str(Str::from(name));
            let all = self.0.avps.all(CLASS, &name);
            all.map(|avp| avp.value.to_string()).collect::<Vec<_>>().join(" ")
        }

        fn lit<T: Literal>(&mut self, text: &str) -> Lit<T> {
            Lit::from_value(Some(Value::Str(Str::from(text))), &mut self.0).unwrap()
        }

        fn copy(&mut self, from: &str, to: &str) -> Result<bool, Fault> {
            let (from, to) = (self.lit(from), self.lit(to));
            avp_copy(&Avpops::default(), &mut self.0, from, to)
        }

        fn delete(&mut self, what: &str) -> bool {
            let gone = self.lit(what);
            avp_delete(&Avpops::default(), &mut self.0, gone).unwrap()
        }
    }

    #[test]
    fn copies_turn_lists_around_and_convert() {
        let mut lists = Lists::new();
        assert_eq!(lists.copy("$avp(n)", "$avp(r)"), Ok(true));
        assert_eq!(lists.copy("$avp(n)", "$avp(r)/g"), Ok(true));
        assert_eq!(lists.get("r"), "5 7 12 12");
        assert_eq!(lists.copy("$avp(r)", "$avp(o)/gd"), Ok(true));
        assert_eq!(
            (lists.get("r"), lists.get("o")),
            (String::new(), "12 12 7 5".to_owned())
        );
        assert_eq!(lists.copy("$avp(none)", "$avp(o)"), Ok(false));
        assert!(lists.copy("$avp(s)", "$avp(r)/n").is_err());
        assert_eq!(lists.copy("$avp(n)", "$avp(r)/d"), Ok(true));
        assert_eq!(
            (lists.get("n"), lists.get("r")),
            ("7 5".to_owned(), "12".to_owned())
        );
    }

    #[test]
    fn deleting_takes_one_or_all() {
        let mut lists = Lists::new();
        assert!(lists.delete("$avp(n)"));
        assert_eq!(lists.get("n"), "7 5");
        assert!(lists.delete("$avp(n)/g") && !lists.delete("$avp(n)/g"));
        lists.0.avps.add(CLASS, AvpName::Int(10), Value::Int(1));
        assert!(lists.delete("i") && !lists.delete("i"));
        assert_eq!(lists.get("s"), "Bob");
        assert!(!lists.delete("s3"));
        assert!(lists.delete("a") && lists.0.avps.is_empty());
        assert!(avp_print(&Avpops::default(), &mut lists.0));
    }
}
