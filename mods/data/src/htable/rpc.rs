//! RPC commands `htable.*`.

use std::{collections::HashMap, sync::Arc};

use kahea_module::{
    Decl, Str, Value,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{
    Htable,
    contents::{Item, Life},
    expiry,
    table::{Table, moment_of},
};

pub(super) fn declare(d: &mut Decl<Htable>) {
    d.rpc("htable.get", get, "One item of a table.");
    d.rpc("htable.delete", delete, "Removes an item.");
    d.rpc("htable.sets", sets, "Sets an item to a string.");
    d.rpc("htable.seti", seti, "Sets an item to a number.");
    d.rpc("htable.setex", setex, "Sets the seconds until an item expires.");
    d.rpc(
        "htable.setxs",
        setxs,
        "Sets an item to a string that expires in so many seconds.",
    );
    d.rpc(
        "htable.setxi",
        setxi,
        "Sets an item to a number that expires in so many seconds.",
    );
    d.rpc("htable.dump", dump, "All items of a table, by slot.")
        .list();
    d.rpc("htable.flush", flush, "Removes all items of a table.");
    d.rpc("htable.listTables", list, "The tables and their settings.")
        .list();
    d.rpc(
        "htable.stats",
        stats,
        "How many items each table has, and how they spread over slots.",
    )
    .list();
    d.rpc_waits("htable.reload", reload, "Reads a table from the database anew.");
    d.rpc_waits("htable.store", store, "Writes a table to the database.");
    d.rpc(
        "htable.dmqsync",
        no_peers,
        "Asks other nodes for their items; refused, since there is no replication yet.",
    );
    d.rpc(
        "htable.dmqresync",
        no_peers,
        "Asks other nodes for their items; refused, since there is no replication yet.",
    );
}

const NO_TABLE: &str = "No such htable";

fn find<'a>(m: &'a Htable, call: &mut RpcCall, missing: &str) -> Result<&'a Arc<Table>, RpcFault> {
    let name = call.optional_text()?.ok_or_else(|| RpcFault::new(500, missing))?;
    m.find(&name).ok_or_else(|| RpcFault::new(500, NO_TABLE))
}

fn text(call: &mut RpcCall, missing: &str) -> Result<Str, RpcFault> {
    call.optional_text()?.ok_or_else(|| RpcFault::new(500, missing))
}

/// A value to be kept as text, which clients that know numbers may send as one.
fn plain(call: &mut RpcCall, missing: &str) -> Result<Str, RpcFault> {
    call.optional_plain()?.ok_or_else(|| RpcFault::new(500, missing))
}

fn number(call: &mut RpcCall, missing: &str) -> Result<i64, RpcFault> {
    call.optional_int()?.ok_or_else(|| RpcFault::new(500, missing))
}

fn said(text: &'static str) -> RpcResult {
    Ok(vec![RpcValue::from(text)])
}

const KEY: &str = "Not enough parameters (htable name and key name)";
const KEY_VALUE: &str = "Not enough parameters (htable name, key name and value)";
const KEY_VALUE_EXPIRE: &str = "Not enough parameters (htable name, key name, value and expire)";
const SET: &str = "Ok. Key set to new value.";

fn get(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY)?;
    let key = text(call, KEY)?;
    let now = moment_of(&call.worker);
    let item = table
        .contents
        .item(table.contents.key(&key), now)
        .ok_or_else(|| RpcFault::new(500, "Key name doesn't exist in htable."))?;
    let is_text = matches!(item.value, Value::Str(_));
    let expire = match item.expires {
        0 => Str::from_static("NEVER"),
        moment => {
            let left = i64::try_from(moment.saturating_sub(now).div_ceil(1000)).unwrap_or(i64::MAX);
            Str::from(kahea_db::time_text(call.worker.unix_time().saturating_add(left)))
        }
    };
    let members = RpcValue::members([
        ("name", item.key.into()),
        ("value", item.value.into()),
        ("flags", RpcValue::Int(if is_text { 2 } else { 0 })),
        ("expire", expire.into()),
    ]);
    Ok(vec![RpcValue::members([("item", members)])])
}

fn delete(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY)?;
    let key = text(call, KEY)?;
    match table
        .contents
        .remove(table.contents.key(&key), moment_of(&call.worker))
    {
        true => said("Ok. Key deleted."),
        false => Err(RpcFault::new(404, "Key not found in htable.")),
    }
}

fn sets(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY_VALUE)?;
    let (key, value) = (text(call, KEY_VALUE)?, plain(call, KEY_VALUE)?);
    table.set(
        table.contents.key(&key),
        Value::Str(value),
        moment_of(&call.worker),
    );
    said(SET)
}

fn seti(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY_VALUE)?;
    let (key, value) = (text(call, KEY_VALUE)?, number(call, KEY_VALUE)?);
    table.set(
        table.contents.key(&key),
        Value::Int(value),
        moment_of(&call.worker),
    );
    said(SET)
}

fn setex(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(
        m,
        call,
        "Not enough parameters (htable name, key name and expire)",
    )?;
    let key = text(call, "Not enough parameters (htable name, key name and expire)")?;
    let seconds = number(call, "Not enough parameters (htable name, key name and expire)")?;
    table.expire(table.contents.key(&key), seconds, moment_of(&call.worker));
    said("Ok")
}

fn setxs(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY_VALUE_EXPIRE)?;
    let (key, value) = (text(call, KEY_VALUE_EXPIRE)?, text(call, KEY_VALUE_EXPIRE)?);
    set_for(table, call, &key, Value::Str(value))
}

fn setxi(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, KEY_VALUE_EXPIRE)?;
    let (key, value) = (text(call, KEY_VALUE_EXPIRE)?, number(call, KEY_VALUE_EXPIRE)?);
    set_for(table, call, &key, Value::Int(value))
}

fn set_for(table: &Table, call: &mut RpcCall, key: &Str, value: Value) -> RpcResult {
    let seconds = number(call, KEY_VALUE_EXPIRE)?;
    let now = moment_of(&call.worker);
    let life: Life = table.life_of(seconds, now);
    table.contents.set(table.contents.key(key), value, life, now);
    said(SET)
}

fn dump(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let table = find(m, call, "No htable name given")?;
    let items = table.in_order(moment_of(&call.worker));
    let slots = items.chunk_by(|(one, _), (other, _)| one == other);
    Ok(slots.map(slot_value).collect())
}

fn slot_value(items: &[(u64, Item)]) -> RpcValue {
    let entry = items.first().map_or(0, |(slot, _)| *slot);
    let shown = items.iter().map(|(_, item)| {
        let kind = if matches!(item.value, Value::Str(_)) {
            "str"
        } else {
            "int"
        };
        RpcValue::members([
            ("name", item.key.clone().into()),
            ("value", item.value.clone().into()),
            ("type", kind.into()),
        ])
    });
    RpcValue::members([
        ("entry", count(entry)),
        ("size", count(u64::try_from(items.len()).unwrap_or(u64::MAX))),
        ("slot", RpcValue::Array(shown.collect())),
    ])
}

fn count(n: u64) -> RpcValue {
    RpcValue::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn flush(m: &Htable, call: &mut RpcCall) -> RpcResult {
    find(m, call, "No htable name given")?.contents.clear();
    said("Ok. Htable flushed.")
}

fn list(m: &Htable, _: &mut RpcCall) -> RpcResult {
    let show = |table: &Arc<Table>| {
        let definition = &table.definition;
        RpcValue::members([
            ("name", table.name().clone().into()),
            ("dbtable", definition.dbtable.clone().unwrap_or_default().into()),
            ("dbmode", RpcValue::Int(definition.dbmode.into())),
            ("expire", count(definition.autoexpire)),
            ("updateexpire", RpcValue::Int(definition.updateexpire.into())),
            ("size", count(definition.slots())),
            ("dmqreplicate", RpcValue::Int(definition.dmqreplicate.into())),
        ])
    };
    // Kamailio lists the table that was defined last first.
    Ok(m.tables.iter().rev().map(show).collect())
}

fn stats(m: &Htable, call: &mut RpcCall) -> RpcResult {
    let now = moment_of(&call.worker);
    let show = |table: &Arc<Table>| {
        let mut slots: HashMap<u64, u64> = HashMap::new();
        let mut all = 0_u64;
        table.contents.visit(now, |item| {
            all = all.saturating_add(1);
            let slot = slots.entry(table.slot(&item.key)).or_default();
            *slot = slot.saturating_add(1);
            true
        });
        let used = u64::try_from(slots.len()).unwrap_or(u64::MAX);
        let least = match used < table.definition.slots() {
            true => 0,
            false => slots.values().copied().min().unwrap_or(0),
        };
        RpcValue::members([
            ("name", table.name().clone().into()),
            ("slots", count(table.definition.slots())),
            ("all", count(all)),
            ("min", count(least)),
            ("max", count(slots.values().copied().max().unwrap_or(0))),
        ])
    };
    Ok(m.tables.iter().rev().map(show).collect())
}

const NO_DATABASE: &str = "No database htable";

fn reload<'a>(m: &'a Htable, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let table = find(m, call, "No htable name given")?;
        let (Some(store), Some(name)) = (&m.store, &table.definition.dbtable) else {
            return Err(RpcFault::new(500, NO_DATABASE));
        };
        store
            .reload(table, name)
            .await
            .map_err(|error| RpcFault::new(500, error.to_string()))?;
        let event = format!("htable:reloaded:{}", table.name());
        if let Some(route) = call.worker.config.event_route(&event) {
            expiry::run_route(&call.worker, route).await;
        }
        said("Ok. Htable reloaded.")
    })
}

fn store<'a>(m: &'a Htable, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let table = find(m, call, "No htable name given")?;
        let (Some(store), Some(name)) = (&m.store, &table.definition.dbtable) else {
            return Err(RpcFault::new(500, NO_DATABASE));
        };
        if !table.definition.cols.is_empty() {
            return Err(RpcFault::new(500, "A table with cols cannot be written"));
        }
        store
            .save(table, name)
            .await
            .map_err(|error| RpcFault::new(500, error.to_string()))?;
        said("Ok. Htable successfully stored to DB.")
    })
}

fn no_peers(_: &Htable, _: &mut RpcCall) -> RpcResult {
    Err(RpcFault::new(500, "DMQ is not enabled"))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;
    use crate::htable::tests::htable;

    fn ask(m: &Htable, run: fn(&Htable, &mut RpcCall) -> RpcResult, args: &[&str]) -> RpcResult {
        let args = args.iter().map(|arg| RpcValue::from(*arg)).collect();
        run(m, &mut RpcCall::new(Server::default().worker, args))
    }

    #[test]
    fn items_are_set_shown_and_deleted() {
        let m = htable(&["a=>size=4", "b=>size=2;autoexpire=5"]);
        assert_eq!(ask(&m, sets, &["a", "x", "text"]), said(SET));
        assert_eq!(ask(&m, seti, &["a", "y", "12"]), said(SET));
        assert_eq!(ask(&m, setxi, &["b", "z", "1", "50"]), said(SET));
        let shown = format!("{:?}", ask(&m, get, &["a", "y"]).expect("an item"));
        assert!(shown.contains("Int(12)") && shown.contains("NEVER"), "{shown}");
        let shown = format!("{:?}", ask(&m, get, &["b", "z"]).expect("an item"));
        assert!(shown.contains("2026-01-01 00:00:50"), "{shown}");
        assert_eq!(ask(&m, delete, &["a", "x"]), said("Ok. Key deleted."));
        assert_eq!(ask(&m, delete, &["a", "x"]).unwrap_err().code, 404);
        assert_eq!(ask(&m, get, &["none", "x"]).unwrap_err().text, NO_TABLE);
        assert_eq!(ask(&m, get, &["a"]).unwrap_err().text, KEY);
    }

    #[test]
    fn dumps_and_figures_go_by_slot() {
        let m = htable(&["b=>size=2"]);
        for key in ["s1", "s5", "s4"] {
            ask(&m, sets, &["b", key, "1"]).expect("it is set");
        }
        let dumped = ask(&m, dump, &["b"]).expect("a dump");
        assert_eq!(dumped.len(), 2);
        let text = format!("{dumped:?}");
        assert!(
            text.find("s5").expect("s5") < text.find("s1").expect("s1"),
            "{text}"
        );
        let RpcValue::Struct(figures) = &ask(&m, stats, &[]).expect("figures")[0] else {
            panic!("a struct");
        };
        let numbers: Vec<_> = figures.iter().skip(1).map(|(_, value)| value.clone()).collect();
        assert_eq!(numbers, [4, 3, 0, 2].map(RpcValue::Int));
    }
}
