//! `$sht`, `$shtex`, `$shtcn`, `$shtcv`, `$shtinc`, `$shtdec`, `$shtrecord`.

use kahea_module::{
    BindError, Cx, Decl, Fault, Index, Named, Naming, Regex, Str, Value, error, value::parse_int,
};

use super::{
    Htable,
    contents::{Item, Key},
    iterators,
    table::{ItemName, Table, now},
};

pub(super) fn declare(d: &mut Decl<Htable>) {
    items(d);
    counts(d);
    d.var_named(
        "shtrecord",
        Naming::Required,
        Named {
            parse: record_part,
            get: |_, cx, part, _| Record::of(cx).part(part),
            set: None,
            raw: false,
        },
        "The key or the value of the item that expired, in event_route[htable:expired:TABLE].",
    );
    iterators::declare_vars(d);
}

fn items(d: &mut Decl<Htable>) {
    d.var_named(
        "sht",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| read(m, cx, name, |table, key, cx| table.get(key, now(cx))),
            set: Some(set),
            raw: true,
        },
        "An item of a table; $null removes it.",
    );
    d.var_named(
        "shtex",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| {
                read(m, cx, name, |table, key, cx| {
                    Value::Int(table.remaining(key, now(cx)))
                })
            },
            set: Some(expire),
            raw: true,
        },
        "Seconds until an item expires; 0: never.",
    );
    d.var_named(
        "shtinc",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| read(m, cx, name, |table, key, cx| table.add(key, 1, now(cx))),
            set: None,
            raw: true,
        },
        "Adds one to an item in one step and gives the new number.",
    );
    d.var_named(
        "shtdec",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| read(m, cx, name, |table, key, cx| table.add(key, -1, now(cx))),
            set: None,
            raw: true,
        },
        "Takes one from an item in one step and gives the new number.",
    );
}

fn counts(d: &mut Decl<Htable>) {
    d.var_named(
        "shtcn",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| count(m, cx, name, |test, item| test.fits_text(&item.key)),
            set: None,
            raw: true,
        },
        "How many keys match: ~~regex, ~%ending, ==text, ** for all.",
    );
    d.var_named(
        "shtcv",
        Naming::Required,
        Named {
            parse: ItemName::parse,
            get: |m, cx, name, _| count(m, cx, name, |test, item| test.fits_value(&item.value)),
            set: None,
            raw: true,
        },
        "How many values match: ~~regex, ~%ending, ==text, eqNUMBER, ** for all.",
    );
}

fn read(
    m: &Htable,
    cx: &mut Cx,
    name: &ItemName,
    work: impl FnOnce(&Table, Key<'_>, &mut Cx) -> Value,
) -> Value {
    name.with(m, cx, work).unwrap_or_else(|fault| {
        error!("htable", "{fault}.");
        Value::Null
    })
}

fn set(m: &Htable, cx: &mut Cx, name: &ItemName, _: Index, value: Value) -> Result<(), Fault> {
    name.with(m, cx, |table, key, cx| table.set(key, value, now(cx)))
}

fn expire(m: &Htable, cx: &mut Cx, name: &ItemName, _: Index, value: Value) -> Result<(), Fault> {
    let seconds = match &value {
        Value::Null => 0,
        value => value
            .int()
            .ok_or_else(|| Fault::script(format!("$shtex takes seconds, not '{value}'")))?,
    };
    name.with(m, cx, |table, key, cx| {
        table.expire(key, seconds, now(cx));
    })
}

/// What `$shtcn` and `$shtcv` count.
enum Test {
    All,
    Regex(Regex),
    Ending(Str),
    Equal(Str),
    Number(i64),
}

impl Test {
    fn read(text: &Str, cx: &Cx) -> Result<Option<Test>, Fault> {
        let (operator, rest) = text.split_at_checked(2).unwrap_or((&[], text));
        let operand = Str::copy(rest);
        Ok(match operator {
            b"**" => Some(Test::All),
            _ if operand.is_empty() => None,
            b"~~" => Some(Test::Regex(cx.regex(&operand)?)),
            b"~%" => Some(Test::Ending(operand)),
            b"==" => Some(Test::Equal(operand)),
            b"eq" if parse_int(&operand).is_some() => parse_int(&operand).map(Test::Number),
            _ => Some(Test::Regex(cx.regex(text)?)),
        })
    }

    fn fits_text(&self, text: &Str) -> bool {
        match self {
            Test::All => true,
            Test::Regex(regex) => regex.is_match(text),
            Test::Ending(ending) => text.ends_with(ending),
            Test::Equal(wanted) => text == wanted,
            Test::Number(_) => false,
        }
    }

    fn fits_value(&self, value: &Value) -> bool {
        match (self, value) {
            (Test::All, _) => true,
            (Test::Number(wanted), Value::Int(n)) => wanted == n,
            (_, Value::Str(text)) => self.fits_text(text),
            _ => false,
        }
    }
}

fn count(m: &Htable, cx: &mut Cx, name: &ItemName, fits: impl Fn(&Test, &Item) -> bool) -> Value {
    let text = name.key_text(cx);
    let counted = name.table(m).and_then(|table| {
        let Some(test) = Test::read(&text, cx)? else {
            return Ok(0);
        };
        let mut count = 0_i64;
        table.contents.visit(now(cx), |item| {
            count = count.saturating_add(fits(&test, item).into());
            true
        });
        Ok(count)
    });
    Value::Int(counted.unwrap_or_else(|fault| {
        error!("htable", "{fault}.");
        0
    }))
}

/// The item that expired, while its event route runs.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub key: Value,
    pub value: Value,
}

impl Default for Record {
    /// Elsewhere both are empty, as in Kamailio.
    fn default() -> Record {
        Record {
            key: Value::EMPTY,
            value: Value::EMPTY,
        }
    }
}

enum Part {
    Key,
    Value,
}

impl Record {
    fn of(cx: &mut Cx) -> Record {
        cx.extra::<Record>().clone()
    }

    fn part(self, part: &Part) -> Value {
        match part {
            Part::Key => self.key,
            Part::Value => self.value,
        }
    }
}

fn record_part(name: &str, _: &dyn kahea_module::Bind) -> Result<Part, BindError> {
    match name.trim() {
        "key" => Ok(Part::Key),
        "value" => Ok(Part::Value),
        other => Err(BindError::new(format!("an expired item has no {other}"))
            .help("write $shtrecord(key) or $shtrecord(value)")),
    }
}
