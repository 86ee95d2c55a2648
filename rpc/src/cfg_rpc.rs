//! Module `cfg_rpc`: run-time parameters by command: shown, set, prepared for later, with instances of groups.

use kahea_module::{
    Decl, Env, InitError, Module, Str, Value,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    settings::Settings,
};
use parking_lot::Mutex;

/// The module.
pub struct CfgRpc {
    prepared: Mutex<Vec<Change>>,
}

/// A parameter, or that of an instance of its group.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    group: Str,
    id: Option<u32>,
    name: Str,
}

/// A change; without a value the instance follows its group again.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    place: Place,
    value: Option<Value>,
}

/// Changes that may be prepared at a time.
const MOST_PREPARED: usize = 1000;

impl Module for CfgRpc {
    const NAME: &'static str = "cfg_rpc";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        d.rpc(
            "cfg.list",
            list,
            "The parameters, as group: name; of one group where it is named.",
        )
        .list();
        d.rpc(
            "cfg.get",
            get,
            "The value of a parameter, or all of a group: group, name.",
        );
        let doc = "What a parameter means and of which type it is: group, name.";
        d.rpc("cfg.help", help, doc);
        setting(d);
        preparing(d);
        let doc = "Gives the parameters of a group the values of the configuration again: group.";
        d.rpc("cfg.reset", reset, doc);
        d.rpc(
            "cfg.add_group_inst",
            add_instance,
            "Makes an instance of a group: group[id].",
        );
        d.rpc(
            "cfg.del_group_inst",
            remove_instance,
            "Removes an instance of a group: group[id].",
        );
    }

    fn init(_: (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(CfgRpc {
            prepared: Mutex::default(),
        })
    }
}

fn setting(d: &mut Decl<CfgRpc>) {
    let doc = "Sets a parameter to a number: group or group[id], name, number.";
    for name in ["cfg.seti", "cfg.set_now_int"] {
        d.rpc(name, |_, call| int_change(call, apply), doc);
    }
    let doc = "Sets a parameter to a text: group or group[id], name, text.";
    for name in ["cfg.sets", "cfg.set_now_string"] {
        d.rpc(name, |_, call| text_change(call, apply), doc);
    }
    let doc = "Sets a parameter to a number or a text: group or group[id], name, value.";
    d.rpc("cfg.set", |_, call| any_change(call, apply), doc);
    let doc = "Takes the value of an instance away; it follows its group again: group[id], name.";
    d.rpc("cfg.del", |_, call| deletion(call, apply), doc);
}

fn preparing(d: &mut Decl<CfgRpc>) {
    let doc = "Prepares to set a parameter to a number: group or group[id], name, number.";
    d.rpc(
        "cfg.set_delayed_int",
        |m, call| int_change(call, |s, change| m.prepare(s, change)),
        doc,
    );
    let doc = "Prepares to set a parameter to a text: group or group[id], name, text.";
    d.rpc(
        "cfg.set_delayed_string",
        |m, call| text_change(call, |s, change| m.prepare(s, change)),
        doc,
    );
    let doc = "Prepares to set a parameter to a number or a text: group or group[id], name, value.";
    d.rpc(
        "cfg.set_delayed",
        |m, call| any_change(call, |s, change| m.prepare(s, change)),
        doc,
    );
    let doc = "Prepares to take the value of an instance away: group[id], name.";
    d.rpc(
        "cfg.del_delayed",
        |m, call| deletion(call, |s, change| m.prepare(s, change)),
        doc,
    );
    d.rpc("cfg.commit", commit, "Makes all prepared changes.");
    d.rpc("cfg.rollback", rollback, "Drops all prepared changes.");
    d.rpc("cfg.diff", diff, "The prepared changes.");
}

fn refused(text: &'static str) -> RpcFault {
    RpcFault::new(400, Str::from_static(text))
}

const NOT_READ: &str = "Failed to get the variable";
const NOT_SET: &str = "Failed to set the variable";
const NOT_DELETED: &str = "Failed to delete the value";

/// `group` or `group[id]`. A bracket that is not closed belongs to the name.
fn group_and_id(text: &Str) -> Result<(Str, Option<u32>), RpcFault> {
    let wrong = || refused("Wrong group syntax. Use either \"group\", or \"group[id]\"");
    let Some(open) = memchr::memchr(b'[', text).filter(|_| text.ends_with(b"]")) else {
        return Ok((text.clone(), None));
    };
    let (group, id) = text.split_at_checked(open).ok_or_else(wrong)?;
    let id = id.strip_prefix(b"[").and_then(|id| id.strip_suffix(b"]"));
    let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
    Ok((text.share(group), Some(id.ok_or_else(wrong)?)))
}

/// `group[id]`.
fn instance(text: &Str) -> Result<(Str, u32), RpcFault> {
    match group_and_id(text) {
        Ok((group, Some(id))) => Ok((group, id)),
        Ok((_, None)) | Err(_) => Err(refused("Wrong group syntax. Use \"group[id]\"")),
    }
}

impl Place {
    fn read(call: &mut RpcCall) -> Result<Place, RpcFault> {
        let (group, name) = (call.text()?, call.text()?);
        let (group, id) = group_and_id(&group)?;
        Ok(Place { group, id, name })
    }

    /// The value here, which of an instance is that of its group where it has none of its own.
    fn value(&self, settings: &Settings) -> Option<Value> {
        let own = match self.id {
            Some(id) if !settings.has_instance(&self.group, id) => return None,
            Some(id) => settings.get(format!("{}[{id}]", self.group).as_bytes(), &self.name),
            None => None,
        };
        own.or_else(|| settings.get(&self.group, &self.name))
    }
}

fn apply(settings: &Settings, change: Change) -> Result<(), RpcFault> {
    let Change { place, value } = change;
    let failed = if value.is_some() { NOT_SET } else { NOT_DELETED };
    let done = match (place.id, value) {
        (Some(id), value) => settings.set_in_instance(&place.group, id, &place.name, value),
        (None, Some(value)) => settings
            .find(&place.group, &place.name)
            .and_then(|setting| setting.fit(value))
            .is_some_and(|value| settings.set(&place.group, &place.name, value)),
        (None, None) => false,
    };
    done.then_some(()).ok_or_else(|| refused(failed))
}

impl CfgRpc {
    fn prepare(&self, settings: &Settings, change: Change) -> Result<(), RpcFault> {
        let failed = if change.value.is_some() {
            NOT_SET
        } else {
            NOT_DELETED
        };
        let Change { place, value } = change;
        if place.value(settings).is_none() {
            return Err(refused(failed));
        }
        let value = match value {
            None => None,
            Some(value) => {
                let fitting = settings
                    .find(&place.group, &place.name)
                    .and_then(|setting| setting.fit(value));
                Some(fitting.ok_or_else(|| refused(failed))?)
            }
        };
        let mut prepared = self.prepared.lock();
        if prepared.len() >= MOST_PREPARED {
            return Err(refused(
                "Too many changes are prepared: commit them or roll them back",
            ));
        }
        prepared.push(Change { place, value });
        Ok(())
    }
}

fn int_change(call: &mut RpcCall, make: impl FnOnce(&Settings, Change) -> Result<(), RpcFault>) -> RpcResult {
    let (group, name, n) = (call.text()?, call.text()?, call.int()?);
    change(call, group, name, Value::Int(n), make)
}

fn text_change(
    call: &mut RpcCall,
    make: impl FnOnce(&Settings, Change) -> Result<(), RpcFault>,
) -> RpcResult {
    let (group, name, text) = (call.text()?, call.text()?, call.text()?);
    change(call, group, name, Value::Str(text), make)
}

fn any_change(call: &mut RpcCall, make: impl FnOnce(&Settings, Change) -> Result<(), RpcFault>) -> RpcResult {
    let (group, name) = (call.text()?, call.text()?);
    let value = match call.next_value() {
        Some(RpcValue::Int(n)) => Value::Int(n),
        Some(other) => Value::Str(other.into_text().ok_or_else(|| refused(NOT_SET))?),
        None => Value::Str(call.text()?),
    };
    change(call, group, name, value, make)
}

fn change(
    call: &RpcCall,
    group: Str,
    name: Str,
    value: Value,
    make: impl FnOnce(&Settings, Change) -> Result<(), RpcFault>,
) -> RpcResult {
    let (group, id) = group_and_id(&group)?;
    let change = Change {
        place: Place { group, id, name },
        value: Some(value),
    };
    make(&call.worker.config.settings, change).map(|()| Vec::new())
}

fn deletion(call: &mut RpcCall, make: impl FnOnce(&Settings, Change) -> Result<(), RpcFault>) -> RpcResult {
    let (group, name) = (call.text()?, call.text()?);
    let (group, id) = instance(&group)?;
    let change = Change {
        place: Place {
            group,
            id: Some(id),
            name,
        },
        value: None,
    };
    make(&call.worker.config.settings, change).map(|()| Vec::new())
}

fn list(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let wanted = call.optional_text()?;
    let settings = &call.worker.config.settings;
    let mut rows = Vec::new();
    for group in settings.groups() {
        if wanted.as_ref().is_none_or(|wanted| *wanted == group) {
            let row = |(name, _)| RpcValue::from(format!("{group}: {name}"));
            rows.extend(settings.group(&group).into_iter().map(row));
        }
    }
    Ok(rows)
}

fn get(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let failed = |_| RpcFault::new(500, "Failed to get the parameters");
    let group = call.text().map_err(failed)?;
    let name = call.optional_text().map_err(failed)?;
    let (group, id) = group_and_id(&group)?;
    let settings = &call.worker.config.settings;
    let value = |name: Str| {
        let group = group.clone();
        Place { group, id, name }.value(settings)
    };
    if let Some(name) = name {
        let value = value(name).ok_or_else(|| refused(NOT_READ))?;
        return Ok(vec![RpcValue::from(value)]);
    }
    if id.is_some_and(|id| !settings.has_instance(&group, id)) {
        return Err(refused(NOT_READ));
    }
    let members = settings
        .group(&group)
        .into_iter()
        .filter_map(|(name, _)| Some((name.clone(), RpcValue::from(value(name)?))));
    Ok(vec![RpcValue::Struct(members.collect())])
}

fn help(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let place = Place::read(call)?;
    let setting = call.worker.config.settings.find(&place.group, &place.name);
    let setting = setting.ok_or_else(|| refused("Failed to get the variable description"))?;
    let kind = match setting.initial {
        Value::Int(_) => "(parameter type is integer)",
        Value::Str(_) | Value::Null => "(parameter type is string)",
    };
    Ok(vec![setting.doc.into(), kind.into()])
}

fn reset(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let group = call.text()?;
    // As in Kamailio, of a group that there is not nothing has to be reset.
    call.worker.config.settings.reset(&group);
    Ok(Vec::new())
}

fn add_instance(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let (group, id) = instance(&call.text()?)?;
    match call.worker.config.settings.add_instance(&group, id) {
        true => Ok(Vec::new()),
        false => Err(refused("Failed to add the group instance")),
    }
}

fn remove_instance(_: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let (group, id) = instance(&call.text()?)?;
    match call.worker.config.settings.remove_instance(&group, id) {
        true => Ok(Vec::new()),
        false => Err(refused("Failed to delete the group instance")),
    }
}

/// All of them, be one refused by now: an instance may have gone since.
fn commit(m: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let prepared = std::mem::take(&mut *m.prepared.lock());
    let settings = &call.worker.config.settings;
    let refused = prepared
        .into_iter()
        .filter_map(|change| apply(settings, change).err())
        .last();
    match refused {
        None => Ok(Vec::new()),
        Some(fault) => Err(fault),
    }
}

fn rollback(m: &CfgRpc, _: &mut RpcCall) -> RpcResult {
    m.prepared.lock().clear();
    Ok(Vec::new())
}

fn diff(m: &CfgRpc, call: &mut RpcCall) -> RpcResult {
    let settings = &call.worker.config.settings;
    let row = |change: &Change| {
        let Change { place, value } = change;
        let old = place.value(settings).unwrap_or_default();
        let followed = || settings.get(&place.group, &place.name).unwrap_or_default();
        let new = value.clone().unwrap_or_else(followed);
        let mut members = vec![(Str::from_static("group name"), RpcValue::Str(place.group.clone()))];
        if let Some(id) = place.id {
            members.push((Str::from_static("group id"), RpcValue::Int(i64::from(id))));
        }
        members.push((
            Str::from_static("variable name"),
            RpcValue::Str(place.name.clone()),
        ));
        members.push((Str::from_static("old value"), RpcValue::from(old)));
        members.push((Str::from_static("new value"), RpcValue::from(new)));
        RpcValue::Struct(members)
    };
    Ok(m.prepared.lock().iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    struct Client {
        module: CfgRpc,
        server: Server,
    }

    impl Client {
        fn new() -> Client {
            let server = Server::new(|config| {
                let settings = &config.settings;
                settings.declare("mail", "limit", Value::Int(5), "most calls", false);
                settings.declare("mail", "host", Value::Str(Str::from_static("a")), "", false);
                settings.declare("mail", "fixed", Value::Int(1), "", true);
                settings.bound("mail", "limit", 0, 10);
            });
            Client {
                module: CfgRpc {
                    prepared: Mutex::default(),
                },
                server,
            }
        }

        fn call(&self, run: impl FnOnce(&CfgRpc, &mut RpcCall) -> RpcResult, args: &[RpcValue]) -> RpcResult {
            run(
                &self.module,
                &mut RpcCall::new(self.server.worker.clone(), args.to_vec()),
            )
        }

        fn limit(&self, group: &str) -> RpcResult {
            self.call(get, &[group.into(), "limit".into()])
        }
    }

    #[test]
    fn numbers_and_texts_fit_the_parameter() {
        let client = Client::new();
        let set = |name: &str, value: RpcValue| {
            client
                .call(
                    |_, call| any_change(call, apply),
                    &["mail".into(), name.into(), value],
                )
                .is_ok()
        };
        assert!(set("limit", 7.into()) && set("limit", "8".into()) && set("host", 9.into()));
        assert!(!set("limit", 11.into()) && !set("limit", "x".into()) && !set("fixed", 2.into()));
        assert!(!set("limit", RpcValue::Array(Vec::new())));
        assert_eq!(client.limit("mail"), Ok(vec![8.into()]));
        assert_eq!(
            client.call(get, &["mail".into(), "host".into()]),
            Ok(vec!["9".into()])
        );
    }

    #[test]
    fn groups_may_be_instances() {
        let read = |text: &str| group_and_id(&Str::from(text));
        assert_eq!(read("a"), Ok(("a".into(), None)));
        assert_eq!(read("a[5]"), Ok(("a".into(), Some(5))));
        assert_eq!(read("a[5"), Ok(("a[5".into(), None)));
        for text in ["a[]", "a[x]", "a[-1]", "a[99999999999]", "a[1][2]"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(instance(&Str::from_static("a")).is_err());
    }

    #[test]
    fn prepared_changes_wait_for_the_commit() {
        let client = Client::new();
        let later = |value: i64| {
            let args = ["mail".into(), "limit".into(), value.into()];
            client.call(
                |m, call| int_change(call, |s, change| m.prepare(s, change)),
                &args,
            )
        };
        assert!(later(9).is_ok() && later(11).is_err());
        assert_eq!(client.limit("mail"), Ok(vec![5.into()]));
        assert_eq!(client.call(diff, &[]).map(|rows| rows.len()), Ok(1));
        assert!(client.call(commit, &[]).is_ok());
        assert_eq!(client.limit("mail"), Ok(vec![9.into()]));
        assert!(later(3).is_ok() && client.call(rollback, &[]).is_ok());
        assert_eq!(client.call(diff, &[]), Ok(vec![]));
        assert!(client.call(reset, &["mail".into()]).is_ok());
        assert_eq!(client.limit("mail"), Ok(vec![5.into()]));
        (0..MOST_PREPARED).for_each(|_| assert!(later(1).is_ok()));
        assert!(later(1).is_err(), "prepared changes are bounded");
    }

    #[test]
    fn a_change_whose_instance_is_gone_is_told() {
        let client = Client::new();
        let one = ["mail[1]".into()];
        assert!(client.call(add_instance, &one).is_ok());
        let args = ["mail[1]".into(), "limit".into(), 3.into()];
        let prepare = |m: &CfgRpc, call: &mut RpcCall| int_change(call, |s, change| m.prepare(s, change));
        assert!(client.call(prepare, &args).is_ok());
        assert!(client.call(remove_instance, &one).is_ok());
        assert!(client.call(commit, &[]).is_err());
    }
}
