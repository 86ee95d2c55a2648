//! Iterators: `sht_iterator_start()` to `sht_iterator_end()`, `$shtitkey`, `$shtitval`.
//!
//! An iterator walks the keys that the table had when it was started, in the order of Kamailio's slots. It locks
//! nothing, so the table may be changed meanwhile: items that are gone are left out, values are those of the moment.

use std::sync::Arc;

use kahea_module::{Cx, Decl, Fault, Named, Naming, Str, Value};

use super::{
    Htable,
    contents::Moment,
    table::{Table, TableArg, now},
};

/// As in Kamailio.
const MOST: usize = 4;

pub(super) fn declare(d: &mut Decl<Htable>) {
    d.func(
        "sht_iterator_start",
        ["iterator", "table"],
        start,
        "Begins to walk a table under that name; at most 4 at once.",
    )
    .kemi(2, "sht_iterator_start");
    d.func("sht_iterator_end", ["iterator"], end, "Ends an iterator.")
        .kemi(1, "sht_iterator_end");
    d.func(
        "sht_iterator_next",
        ["iterator"],
        next,
        "Goes to the next item, the first one after the start; false where there is none.",
    )
    .kemi(1, "sht_iterator_next");
    d.func(
        "sht_iterator_rm",
        ["iterator"],
        rm,
        "Removes the current item and goes to the next; -2 where there is none.",
    )
    .kemi(1, "sht_iterator_rm");
    d.func(
        "sht_iterator_sets",
        ["iterator", "value"],
        sets,
        "Sets the current item to a string.",
    )
    .kemi(2, "sht_iterator_sets");
    d.func(
        "sht_iterator_seti",
        ["iterator", "value"],
        seti,
        "Sets the current item to a number.",
    )
    .kemi(2, "sht_iterator_seti");
    d.func(
        "sht_iterator_setex",
        ["iterator", "seconds"],
        setex,
        "Sets the seconds until the current item expires.",
    )
    .kemi(2, "sht_iterator_setex");
}

pub(super) fn declare_vars(d: &mut Decl<Htable>) {
    d.var_named(
        "shtitkey",
        Naming::Required,
        Named {
            parse: |name, _| Ok(Str::from(name.trim())),
            get: |_, cx, name, _| current(cx, name).map(|(key, _)| key).into(),
            set: None,
            raw: false,
        },
        "The key of an iterator's current item.",
    );
    d.var_named(
        "shtitval",
        Naming::Required,
        Named {
            parse: |name, _| Ok(Str::from(name.trim())),
            get: |_, cx, name, _| current(cx, name).map_or(Value::Null, |(_, value)| value),
            set: None,
            raw: false,
        },
        "The value of an iterator's current item.",
    );
}

struct Iterator {
    name: Str,
    table: Arc<Table>,
    keys: Vec<Str>,
    next: usize,
    current: Option<(Str, Value)>,
}

impl Iterator {
    /// Goes to the next key that is still there; from the end to the start.
    fn advance(&mut self, now: Moment) -> bool {
        let contents = &self.table.contents;
        while let Some(key) = self.keys.get(self.next) {
            self.next = self.next.saturating_add(1);
            if let Some(value) = contents.get(contents.key(key), now) {
                self.current = Some((key.clone(), value));
                return true;
            }
        }
        self.next = 0;
        self.current = None;
        false
    }

    fn item(&mut self) -> Result<&mut (Str, Value), Fault> {
        let name = self.name.clone();
        self.current.as_mut().ok_or_else(|| {
            Fault::script(format!(
                "the iterator {name} stands at no item: call sht_iterator_next(\"{name}\") first"
            ))
        })
    }

    fn set(&mut self, value: Value, now: Moment) -> Result<bool, Fault> {
        let table = self.table.clone();
        let (key, current) = self.item()?;
        table.set(table.contents.key(key), value.clone(), now);
        *current = value;
        Ok(true)
    }
}

/// The iterators of a message.
#[derive(Default)]
struct Iterators(Vec<Iterator>);

impl Iterators {
    fn get<'a>(cx: &'a mut Cx, name: &Str) -> Result<&'a mut Iterator, Fault> {
        let all = &mut cx.extra::<Iterators>().0;
        all.iter_mut().find(|one| one.name == *name).ok_or_else(|| {
            Fault::script(format!(
                "there is no iterator {name}: call sht_iterator_start(\"{name}\", TABLE) first"
            ))
        })
    }
}

fn current(cx: &mut Cx, name: &Str) -> Option<(Str, Value)> {
    let all = &cx.extra::<Iterators>().0;
    all.iter().find(|one| one.name == *name)?.current.clone()
}

fn start(m: &Htable, cx: &mut Cx, name: Str, table: TableArg) -> Result<bool, Fault> {
    let table = table.resolve(m)?.clone();
    let items = table.in_order(now(cx));
    cx.spend_bytes(items.len().saturating_mul(size_of::<Str>()))?;
    let fresh = Iterator {
        name: name.detach(),
        table,
        keys: items.into_iter().map(|(_, item)| item.key).collect(),
        next: 0,
        current: None,
    };
    let all = &mut cx.extra::<Iterators>().0;
    all.retain(|one| one.name != name);
    if all.len() >= MOST {
        return Err(Fault::script(format!(
            "there are {MOST} iterators already: end one with sht_iterator_end()"
        )));
    }
    all.push(fresh);
    Ok(true)
}

fn end(_: &Htable, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    Iterators::get(cx, &name)?;
    cx.extra::<Iterators>().0.retain(|one| one.name != name);
    Ok(true)
}

fn next(_: &Htable, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let now = now(cx);
    Ok(Iterators::get(cx, &name)?.advance(now))
}

fn rm(_: &Htable, cx: &mut Cx, name: Str) -> Result<i64, Fault> {
    let now = now(cx);
    let iterator = Iterators::get(cx, &name)?;
    let key = iterator.item()?.0.clone();
    let contents = &iterator.table.contents;
    contents.remove(contents.key(&key), now);
    Ok(if iterator.advance(now) { 1 } else { -2 })
}

fn sets(_: &Htable, cx: &mut Cx, name: Str, value: Str) -> Result<bool, Fault> {
    let now = now(cx);
    Iterators::get(cx, &name)?.set(Value::Str(value.detach()), now)
}

fn seti(_: &Htable, cx: &mut Cx, name: Str, value: i64) -> Result<bool, Fault> {
    let now = now(cx);
    Iterators::get(cx, &name)?.set(Value::Int(value), now)
}

fn setex(_: &Htable, cx: &mut Cx, name: Str, seconds: i64) -> Result<bool, Fault> {
    let now = now(cx);
    let iterator = Iterators::get(cx, &name)?;
    let key = iterator.item()?.0.clone();
    let table = &iterator.table;
    table.expire(table.contents.key(&key), seconds, now);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::{Arg, testing::Server};

    use super::*;
    use crate::htable::tests::htable;

    #[test]
    fn items_come_in_the_order_of_slots_and_changes_do_no_harm() {
        let m = htable(&["a=>size=3"]);
        let mut cx = Server::default().invite();
        let table = m.tables[0].clone();
        for key in ["one", "two", "three", "four", "five"] {
            let key = Str::from(key);
            table.set(table.contents.key(&key), Value::Int(1), 1);
        }
        let name = || Str::from("i");
        let arg = TableArg::from_value(Some(Value::from("a")), &mut cx).expect("a table");
        start(&m, &mut cx, name(), arg).expect("it starts");
        let mut seen = Vec::new();
        while next(&m, &mut cx, name()) == Ok(true) {
            let (key, _) = current(&mut cx, &name()).expect("an item");
            if key == "four" {
                let gone = Str::from("three");
                table.contents.remove(table.contents.key(&gone), 1);
            }
            seen.push(key.to_string());
        }
        assert_eq!(seen, ["two", "four", "five", "one"]);
        assert_eq!(next(&m, &mut cx, name()), Ok(true));
        assert_eq!(end(&m, &mut cx, name()), Ok(true));
        assert!(end(&m, &mut cx, name()).is_err());
    }
}
