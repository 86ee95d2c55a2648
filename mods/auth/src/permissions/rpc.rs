//! The commands of `permissions`.

use std::time::Duration;

use kahea_module::{
    Decl, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{
    Permissions,
    table::{Place, Record},
};

pub(super) fn declare(d: &mut Decl<Permissions>) {
    d.rpc_waits(
        "permissions.addressReload",
        address_reload,
        "Loads the addresses anew; messages see the old ones or the new ones.",
    );
    d.rpc("permissions.addressDump", address_dump, "Lists single addresses.");
    d.rpc("permissions.subnetDump", subnet_dump, "Lists subnets.")
        .list();
    d.rpc("permissions.domainDump", domain_dump, "Lists names.");
    d.rpc_waits(
        "permissions.trustedReload",
        trusted_reload,
        "Loads the trusted rules anew.",
    );
    d.rpc(
        "permissions.trustedDump",
        trusted_dump,
        "Lists the trusted rules.",
    );
    d.rpc(
        "permissions.testUri",
        test_uri,
        "Whether the rule files of a base name allow a URI and a contact.",
    );
    d.rpc(
        "permissions.allowUri",
        test_uri,
        "Whether the rule files of a base name allow a URI and a contact.",
    );
}

impl Permissions {
    /// Refuses a reload that comes too soon behind the last.
    fn may_reload(&self, call: &RpcCall) -> Result<(), RpcFault> {
        let now = call.worker.engine.now();
        let mut last = self.reloaded.lock();
        let soon = |last| now.saturating_duration_since(last) < Duration::from_secs(self.reload_delta);
        if last.is_some_and(soon) {
            return Err(RpcFault::new(500, "ongoing reload"));
        }
        *last = Some(now);
        Ok(())
    }
}

fn reloaded(result: Result<(), String>) -> RpcResult {
    match result {
        Ok(()) => Ok(vec!["Reload OK".into()]),
        Err(why) => Err(RpcFault::new(500, format!("Reload failed: {why}"))),
    }
}

fn address_reload<'a>(m: &'a Permissions, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        m.may_reload(call)?;
        reloaded(m.addresses.reload().await)
    })
}

fn trusted_reload<'a>(m: &'a Permissions, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        m.may_reload(call)?;
        reloaded(m.trusted.reload().await)
    })
}

/// One value for each record of a kind, with its number in its list under `key`.
fn dump(m: &Permissions, key: &str, place_key: &str, wanted: fn(&Place) -> bool) -> RpcResult {
    let table = m.addresses.table();
    let mut records: Vec<&Record> = table
        .records
        .iter()
        .filter(|record| wanted(&record.place))
        .collect();
    records.sort_by_key(|record| record.group);
    let values = records.into_iter().enumerate().map(|(at, record)| {
        let (place, mask) = record.place.text();
        let mut item = vec![(Str::from(place_key), RpcValue::Str(place))];
        item.extend(mask.map(|mask| (Str::from_static("mask"), RpcValue::Int(i64::from(mask)))));
        item.push((Str::from_static("port"), RpcValue::Int(i64::from(record.port))));
        let tag = record.tag.clone().unwrap_or_else(|| Str::from_static("NULL"));
        item.push((Str::from_static("tag"), RpcValue::Str(tag)));
        RpcValue::members([
            (key, RpcValue::Int(i64::try_from(at).unwrap_or(i64::MAX))),
            ("group", RpcValue::Int(i64::from(record.group))),
            ("item", RpcValue::Struct(item)),
        ])
    });
    Ok(values.collect())
}

fn address_dump(m: &Permissions, _: &mut RpcCall) -> RpcResult {
    dump(m, "table", "ip", |place| matches!(place, Place::Host(_)))
}

fn subnet_dump(m: &Permissions, _: &mut RpcCall) -> RpcResult {
    dump(m, "id", "ip", |place| matches!(place, Place::Subnet(..)))
}

fn domain_dump(m: &Permissions, _: &mut RpcCall) -> RpcResult {
    dump(m, "table", "domain_name", |place| matches!(place, Place::Name(_)))
}

fn trusted_dump(m: &Permissions, _: &mut RpcCall) -> RpcResult {
    let cache = m
        .trusted
        .cache()
        .ok_or_else(|| RpcFault::new(500, "No trusted table"))?;
    let rules = cache
        .dump()
        .into_iter()
        .enumerate()
        .map(|(at, [source, protocol, from, ruri, tag])| {
            RpcValue::members([
                ("table", RpcValue::Int(i64::try_from(at).unwrap_or(i64::MAX))),
                (
                    "item",
                    RpcValue::members([
                        ("ip", RpcValue::Str(source)),
                        ("proto", RpcValue::Str(protocol)),
                        ("pattern", RpcValue::Str(from)),
                        ("ruri_pattern", RpcValue::Str(ruri)),
                        ("tag", RpcValue::Str(tag)),
                    ]),
                ),
            ])
        });
    Ok(rules.collect())
}

fn test_uri(m: &Permissions, call: &mut RpcCall) -> RpcResult {
    let missing = || RpcFault::new(500, "Not enough parameters (basename, URI and contact)");
    let mut next = || call.optional_text()?.ok_or_else(missing);
    let (base, uri, contact) = (next()?, next()?, next()?);
    let allowed = m
        .files
        .named(&base)
        .is_some_and(|pair| pair.allows(&uri, &contact));
    Ok(vec![if allowed { "Allowed" } else { "Denied" }.into()])
}
