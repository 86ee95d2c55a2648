//! Variables that belong to no module: `$rc`, `$def()`, `$env()`, `$null`. Always loaded.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, Index, InitError, Module, Named, Naming, Str, Value, Var,
    value::parse_int,
};

/// The pseudo-module of the core's own variables.
pub struct CoreVars {
    environment: HashMap<Str, Str>,
    unique: AtomicU64,
}

impl Module for CoreVars {
    const NAME: &'static str = "core-pv";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        for name in ["?", "rc", "retcode"] {
            d.var(
                name,
                |_, cx, _| Value::Int(cx.rc),
                "The return code of the last function.",
            );
        }
        d.var("null", |_, _, _| Value::Null, "No value.");
        d.var(
            "iuid",
            CoreVars::unique_id,
            "An identifier that no other reading yields.",
        );
        d.var_named(
            "sel",
            Naming::Required,
            Named {
                parse: super::select::parse,
                get: |_, cx, select: &Var, _| select.get(cx),
                set: None,
                raw: true,
            },
            "A select; the language's `@via[1].host` is `$sel(via[1].host)`, with or without module pv.",
        );
        d.var_named(
            "env",
            Naming::Required,
            named(CoreVars::text),
            "An environment variable of the server as it was at start.",
        );
        d.var_named(
            "envn",
            Naming::Required,
            named(CoreVars::number),
            "The number in an environment variable.",
        );
        d.var_named(
            "def",
            Naming::Required,
            define(|_, _, text, _| text.clone().into()),
            "The text of a `#!define` as it is written, quotes included; `$null` where there is none.",
        );
        d.var_named(
            "defn",
            Naming::Required,
            define(defined_number),
            "The number of a `#!define`, its text where that is no number, 0 where there is none.",
        );
        d.var_named(
            "defv",
            Naming::Required,
            define(|_, _, text, _| text.as_ref().map(|text| text.share(unquoted(text))).into()),
            "The text of a `#!define` without the quotes around it.",
        );
        d.var_named(
            "defs",
            Naming::Required,
            define(|_, _, text, _| text.as_ref().map_or(Value::Null, quoted)),
            "The text of a `#!define` in quotes.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Self, InitError> {
        let environment = std::env::vars_os()
            .map(|(name, value)| {
                (
                    Str::copy(name.as_encoded_bytes()),
                    Str::copy(value.as_encoded_bytes()),
                )
            })
            .collect();
        Ok(CoreVars {
            environment,
            unique: AtomicU64::new(0),
        })
    }
}

impl CoreVars {
    fn text(&self, _: &mut Cx, name: &Str, _: Index) -> Value {
        self.environment.get(name).cloned().into()
    }

    fn number(&self, _: &mut Cx, name: &Str, _: Index) -> Value {
        self.environment
            .get(name)
            .map(|text| parse_int(text).unwrap_or(0))
            .into()
    }

    fn unique_id(&self, cx: &mut Cx, _: Index) -> Value {
        let number = self.unique.fetch_add(1, Relaxed);
        let shared = &cx.config().shared;
        Value::from(format!(
            "{:x}-{:x}-{:x}-{:x}",
            cx.worker.unix_time(),
            shared.pid,
            cx.config().generation,
            number
        ))
    }
}

fn named(get: fn(&CoreVars, &mut Cx, &Str, Index) -> Value) -> Named<CoreVars, Str> {
    Named {
        parse: |name, _| Ok(Str::from(name)),
        get,
        set: None,
        raw: false,
    }
}

/// A define is looked up when the script is read: only its value is left then.
fn parse_define(name: &str, bind: &dyn Bind) -> Result<Option<Str>, BindError> {
    Ok(bind.define(name.trim()))
}

fn defined_number(_: &CoreVars, _: &mut Cx, text: &Option<Str>, _: Index) -> Value {
    match text {
        Some(text) => parse_int(text).map_or_else(|| text.clone().into(), Value::Int),
        None => Value::Int(0),
    }
}

fn define(get: fn(&CoreVars, &mut Cx, &Option<Str>, Index) -> Value) -> Named<CoreVars, Option<Str>> {
    Named {
        parse: parse_define,
        get,
        set: None,
        raw: true,
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inner @ .., b'"'] | [b'\'', inner @ .., b'\''] => inner,
        all => all,
    }
}

fn quoted(text: &Str) -> Value {
    if unquoted(text).len() < text.len() {
        return Value::Str(text.clone());
    }
    Value::from([b"\"", &text[..], b"\""].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_defines_come_and_go() {
        assert_eq!(unquoted(b"\"qq x\""), b"qq x");
        assert_eq!(unquoted(b"'sq'"), b"sq");
        assert_eq!(unquoted(b"abc"), b"abc");
        assert_eq!(quoted(&Str::from("abc")), Value::from("\"abc\""));
        assert_eq!(quoted(&Str::from("'sq'")), Value::from("'sq'"));
    }
}
