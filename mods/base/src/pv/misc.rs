//! Constants, versions, counts, statistics and settings.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Format, Index, Named, Naming, Str, Value, Var};

use super::{
    Pv,
    avps::{self, AvpRef},
    text::count,
    xavp::{self, Family, Path},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    characters(d);
    versions(d);
    settings(d);
    d.var_named(
        "sel",
        Naming::Required,
        Named {
            parse: super::select::parse,
            get: |_, cx, select: &Var, _| select.get(cx),
            set: None,
            raw: true,
        },
        "A select: `$sel(via[1].host)` is `@via[1].host`.",
    );
    d.var_named(
        "_s",
        Naming::Required,
        Named {
            parse: |text, bind| bind.format(text),
            get: |_, cx, format: &Format, _| Value::Str(format.text(cx)),
            set: None,
            raw: true,
        },
        "The text in the parentheses with its variables evaluated.",
    );
    d.var_named(
        "cnt",
        Naming::Required,
        Named {
            parse: Counted::parse,
            get: counted,
            set: None,
            raw: true,
        },
        "How many values `$avp(x)`, `$xavp(x)` or `$xavi(x)` has.",
    );
    d.var(
        "pp",
        |_, cx, _| cx.config().shared.pid.into(),
        "The process number of the server.",
    );
    d.var("true", |_, _, _| Value::Int(1), "1.");
    for (name, doc) in [
        (
            "err.class",
            "The class of the last parse error; `$null`, since messages with errors do not reach the script.",
        ),
        (
            "err.level",
            "The severity of the last parse error; `$null`, since messages with errors do not reach the script.",
        ),
        (
            "err.info",
            "The text of the last parse error; `$null`, since messages with errors do not reach the script.",
        ),
        (
            "err.rcode",
            "The reply code for the last parse error; `$null`, since messages with errors do not reach the script.",
        ),
        (
            "err.rreason",
            "The reply reason for the last parse error; `$null`, since messages with errors do not reach the script.",
        ),
    ] {
        d.var(name, |_, _, _| Value::Null, doc);
    }
}

fn characters(d: &mut Decl<Pv>) {
    d.var("En", |_, _, _| Value::from("\n"), "A line feed.");
    d.var("Er", |_, _, _| Value::from("\r"), "A carriage return.");
    d.var("Et", |_, _, _| Value::from("\t"), "A tab.");
    d.var("Es", |_, _, _| Value::from(" "), "A blank.");
    d.var("Ec", |_, _, _| Value::from(","), "A comma.");
    d.var("Eq", |_, _, _| Value::from("\""), "A double quote.");
    d.var("Ek", |_, _, _| Value::from("'"), "A single quote.");
    d.var("Ei", |_, _, _| Value::from(":"), "A colon.");
    d.var("Ej", |_, _, _| Value::from(";"), "A semicolon.");
    d.var("Eb", |_, _, _| Value::from("\\"), "A backslash.");
    d.var("Ev", |_, _, _| Value::from("`"), "A back tick.");
}

/// The version of Kamailio whose language and modules this server has; scripts compare it.
const LANGUAGE: (&str, i64) = ("6.1.0", 6_001_000);

fn versions(d: &mut Decl<Pv>) {
    d.var_named(
        "version",
        Naming::Required,
        Named {
            parse: version,
            get: |_, _, text: &Str, _| Value::Str(text.clone()),
            set: None,
            raw: false,
        },
        "The version of the server: `num`, `full` or `hash`.",
    );
    d.var_named(
        "ksr",
        Naming::Required,
        Named {
            parse: language,
            get: |_, _, value: &Value, _| value.clone(),
            set: None,
            raw: false,
        },
        "The version of Kamailio whose language this is: `ver`, or `verval` as a number.",
    );
    d.var_named("K", Naming::Required, Named { parse: constant, get: |_, _, n: &i64, _| Value::Int(*n), set: None, raw: false }, "The number of a transport or address family: `UDP`, `TCP`, `TLS`, `SCTP`, `WS`, `WSS`, `IPv4`, `IPv6`.");
}

fn settings(d: &mut Decl<Pv>) {
    d.var(
        "sid",
        |_, cx, _| Value::Int(cx.config().globals.server_id),
        "The server's id, the global parameter `server_id`.",
    );
    d.var_named(
        "stat",
        Naming::Required,
        Named {
            parse: |name, _| Ok(Str::from(name)),
            get: statistic,
            set: None,
            raw: false,
        },
        "A statistic by its name.",
    );
    d.var_named(
        "ccp",
        Naming::Required,
        Named {
            parse: Setting::parse,
            get: Setting::get,
            set: Some(Setting::set),
            raw: false,
        },
        "A run-time parameter `group.name`.",
    );
}

fn version(name: &str, _: &dyn Bind) -> Result<Str, BindError> {
    let number = env!("CARGO_PKG_VERSION");
    Ok(match name {
        "num" => Str::from_static(number),
        "full" => Str::from(format!(
            "kahea {number} ({}/{})",
            std::env::consts::ARCH,
            std::env::consts::OS
        )),
        // Builds carry no mark of their source.
        "hash" => Str::from_static("unknown"),
        _ => {
            return Err(
                BindError::new(format!("$version() has no part '{name}'")).help("use num, full or hash")
            );
        }
    })
}

fn language(name: &str, _: &dyn Bind) -> Result<Value, BindError> {
    match name {
        "ver" => Ok(Value::from(LANGUAGE.0)),
        "verval" => Ok(Value::Int(LANGUAGE.1)),
        _ => Err(BindError::new(format!("$ksr() has no part '{name}'")).help("use ver or verval")),
    }
}

fn constant(name: &str, _: &dyn Bind) -> Result<i64, BindError> {
    use kahea_sip::Transport;
    if let Some(transport) = Transport::parse(name.as_bytes()) {
        return Ok(transport.number());
    }
    match name {
        "IPv4" | "IP4" | "INET" => Ok(2),
        "IPv6" | "IP6" | "INET6" => Ok(10),
        _ => Err(BindError::new(format!("there is no constant '{name}'"))
            .help("use UDP, TCP, TLS, SCTP, WS, WSS, IPv4 or IPv6")),
    }
}

fn statistic(_: &Pv, cx: &mut Cx, name: &Str, _: Index) -> Value {
    let stat = cx.config().shared.stats.find(name);
    stat.map(|stat| stat.get()).into()
}

/// `group.name`.
struct Setting {
    group: Str,
    name: Str,
}

impl Setting {
    fn parse(text: &str, _: &dyn Bind) -> Result<Setting, BindError> {
        let (group, name) = text
            .split_once('.')
            .filter(|(group, name)| !group.is_empty() && !name.is_empty())
            .ok_or_else(|| BindError::new(format!("'{text}' is no parameter")).help("write group.name"))?;
        Ok(Setting {
            group: Str::from(group),
            name: Str::from(name),
        })
    }

    fn get(_: &Pv, cx: &mut Cx, setting: &Setting, _: Index) -> Value {
        cx.config().settings.get(&setting.group, &setting.name).into()
    }

    fn set(_: &Pv, cx: &mut Cx, setting: &Setting, _: Index, value: Value) -> Result<(), Fault> {
        // It outlives the message whose buffer it may share.
        let value = match value {
            Value::Str(text) => Value::Str(text.detach()),
            value => value,
        };
        if cx.config().settings.set(&setting.group, &setting.name, value) {
            return Ok(());
        }
        Err(Fault::script(format!(
            "{}.{} cannot be set: there is no such parameter, or it takes another type",
            setting.group, setting.name
        )))
    }
}

/// What `$cnt()` counts.
enum Counted {
    Avp(AvpRef),
    Tree(Family, Path),
}

impl Counted {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Counted, BindError> {
        let wrong = || {
            BindError::new(format!("'{text}' has no values to count"))
                .help("write $cnt($avp(name)) or $cnt($xavp(name))")
        };
        let inner = text.trim().strip_prefix('$').ok_or_else(wrong)?;
        // `$(avp(x)[*])` means the same as `$avp(x)`.
        let inner = match inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
            Some(inner) => inner.strip_suffix("[*]").unwrap_or(inner),
            None => inner,
        };
        let (class, name) = inner
            .strip_suffix(')')
            .and_then(|inner| inner.split_once('('))
            .ok_or_else(wrong)?;
        Ok(match class {
            "avp" => Counted::Avp(AvpRef::parse(name, bind)?),
            "xavp" => Counted::Tree(Family::Xavp, Path::parse(name, bind)?),
            "xavu" => Counted::Tree(Family::Xavu, Path::parse(name, bind)?),
            "xavi" => Counted::Tree(Family::Xavi, Path::parse(name, bind)?),
            _ => return Err(wrong()),
        })
    }
}

fn counted(m: &Pv, cx: &mut Cx, what: &Counted, _: Index) -> Value {
    match what {
        Counted::Avp(name) => match name.resolve(&m.aliases, cx) {
            Some(name) => count(avps::count(cx, &name)),
            None => Value::Int(0),
        },
        Counted::Tree(family, path) => count(xavp::count(cx, *family, path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{
        avp::{AvpClass, AvpName},
        testing::{FakeBind, Server},
        xavp::XValue,
    };

    #[test]
    fn values_are_counted() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        for n in 0..3 {
            cx.avps
                .add(AvpClass::FromUser, AvpName::Str(Str::from("x")), Value::Int(n));
            cx.xavis.add(Str::from("Y"), XValue::Int(n));
        }
        let mut get = |text: &str| {
            let what = Counted::parse(text, &FakeBind::default()).expect("countable");
            counted(&m, &mut cx, &what, Index::None)
        };
        assert_eq!(get("$avp(x)"), Value::Int(3));
        assert_eq!(get("$(avp(s:x)[*])"), Value::Int(3));
        assert_eq!(get("$xavi(y[1])"), Value::Int(1));
        assert_eq!(get("$xavp(y)"), Value::Int(0));
        assert!(Counted::parse("$ru", &FakeBind::default()).is_err());
    }

    #[test]
    fn settings_are_read_and_set() {
        let (mut cx, m) = (Server::default().invite(), Pv::default());
        cx.config()
            .settings
            .declare("gv", "ival", Value::Int(10), "ten", false);
        let setting = Setting::parse("gv.ival", &FakeBind::default()).expect("a name");
        Setting::set(&m, &mut cx, &setting, Index::None, Value::Int(11)).expect("a number");
        assert_eq!(Setting::get(&m, &mut cx, &setting, Index::None), Value::Int(11));
        assert!(Setting::set(&m, &mut cx, &setting, Index::None, Value::from("x")).is_err());
        assert!(Setting::parse("gv", &FakeBind::default()).is_err());
    }

    #[test]
    fn constants_have_the_systems_numbers() {
        assert_eq!(constant("WSS", &FakeBind::default()), Ok(6));
        assert_eq!(constant("IPv6", &FakeBind::default()), Ok(10));
        assert!(constant("X25", &FakeBind::default()).is_err());
    }
}
