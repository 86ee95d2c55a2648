//! Module `counters`: counters in groups for the script, and commands over the statistics of all modules.

use std::collections::HashMap;

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, FAILURE, Fault, InitError, Lit, Literal, Module, ONSEND, REPLY, REQUEST,
    Str,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    stats::{Counter, Stat},
};

/// The module.
pub struct Counters {
    group: Str,
    counters: HashMap<Str, HashMap<Str, Counter>>,
}

/// Its parameters.
pub struct Params {
    group: Str,
    counters: Vec<Str>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            group: Str::from_static("script"),
            counters: Vec::new(),
        }
    }
}

/// `[group.]name`.
#[derive(Clone, Debug, PartialEq)]
struct CounterName {
    group: Option<Str>,
    name: Str,
}

impl Literal for CounterName {
    const WHAT: &'static str = "the name of a counter, [group.]name";

    fn parse(text: &str, _: &dyn Bind) -> Result<CounterName, BindError> {
        let (group, name) = match text.split_once('.') {
            Some((group, name)) => (Some(Str::from(group.trim())), name.trim()),
            None => (None, text.trim()),
        };
        if name.is_empty() {
            return Err(
                BindError::new("the name of the counter is missing").help("write \"group.name\" or \"name\"")
            );
        }
        Ok(CounterName {
            group,
            name: Str::from(name),
        })
    }
}

impl Module for Counters {
    const NAME: &'static str = "counters";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "script_cnt_grp_name",
            |p| &mut p.group,
            "The group of counters that are named without one.",
        );
        d.param(
            "script_counter",
            |p| &mut p.counters,
            "A counter, [group.]name, a description behind a blank or colon. May be given several times.",
        );
        let routes = REQUEST | FAILURE | REPLY | ONSEND;
        d.func(
            "cnt_inc",
            ["name"],
            |m: &Counters, cx: &mut Cx, name| cnt_add(m, cx, name, 1),
            "Adds 1 to a counter.",
        )
        .routes(routes)
        .kemi(1, "inc");
        d.func(
            "cnt_add",
            ["name", "number"],
            cnt_add,
            "Adds a number to a counter.",
        )
        .routes(routes)
        .kemi(2, "add");
        d.func("cnt_reset", ["name"], cnt_reset, "Sets a counter to 0.")
            .routes(routes)
            .kemi(1, "reset");
        rpcs(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let mut counters: HashMap<Str, HashMap<Str, Counter>> = HashMap::new();
        for text in &params.counters {
            let (name, doc) = described(&text.text(), &*env.bind)?;
            let group = name.group.unwrap_or_else(|| params.group.clone());
            let counter = env.shared.stats.counter(&group.text(), &name.name.text(), &doc);
            counters.entry(group).or_default().insert(name.name, counter);
        }
        Ok(Counters {
            group: params.group,
            counters,
        })
    }
}

fn rpcs(d: &mut Decl<Counters>) {
    d.rpc("cnt.get", get, "The value of a counter: group, name.");
    d.rpc(
        "cnt.get_raw",
        get,
        "The value of a counter as it is stored, which is the same here.",
    );
    d.rpc("cnt.reset", reset, "Sets a counter to 0: group, name.");
    d.rpc("cnt.help", help, "The description of a counter: group, name.");
    for name in ["cnt.list_groups", "cnt.grps_list"] {
        d.rpc(name, list_groups, "The names of all groups.").list();
    }
    for name in ["cnt.list_vars", "cnt.var_list"] {
        d.rpc(name, list_vars, "The names of a group's counters.").list();
    }
    for name in ["cnt.get_vars", "cnt.grp_get_all"] {
        d.rpc(name, get_vars, "The names and values of a group's counters.");
    }
}

/// `[group.]name[( |:)description]`.
fn described(text: &str, bind: &dyn Bind) -> Result<(CounterName, String), BindError> {
    let (name, doc) = text
        .trim()
        .split_once([' ', ':'])
        .unwrap_or((text, "custom script counter."));
    Ok((CounterName::parse(name, bind)?, doc.trim().to_owned()))
}

impl Counters {
    fn find(&self, name: &CounterName) -> Result<&Counter, Fault> {
        let group = name.group.as_ref().unwrap_or(&self.group);
        self.counters.get(group).and_then(|names| names.get(&name.name)).ok_or_else(|| {
            let name = &name.name;
            Fault::script(format!(
                "the counter {group}.{name} is not defined: add modparam(\"counters\", \"script_counter\", \"{group}.{name}\")"
            ))
        })
    }
}

fn cnt_add(m: &Counters, _: &mut Cx, name: Lit<CounterName>, by: i64) -> Result<bool, Fault> {
    m.find(&name)?.add(by);
    Ok(true)
}

fn cnt_reset(m: &Counters, _: &mut Cx, name: Lit<CounterName>) -> Result<bool, Fault> {
    m.find(&name)?.reset();
    Ok(true)
}

fn stat(call: &mut RpcCall) -> Result<Stat, RpcFault> {
    let (group, name) = (call.text()?, call.text()?);
    let stats = &call.worker.config.shared.stats;
    stats
        .get(&group, &name)
        .ok_or_else(|| RpcFault::new(400, format!("non-existent counter {group}.{name}")))
}

fn get(_: &Counters, call: &mut RpcCall) -> RpcResult {
    Ok(vec![RpcValue::Int(stat(call)?.get())])
}

fn reset(_: &Counters, call: &mut RpcCall) -> RpcResult {
    match stat(call)?.reset() {
        true => Ok(Vec::new()),
        false => Err(RpcFault::new(
            400,
            "the counter is worked out when read and cannot be reset",
        )),
    }
}

fn help(_: &Counters, call: &mut RpcCall) -> RpcResult {
    Ok(vec![RpcValue::Str(stat(call)?.doc)])
}

fn list_groups(_: &Counters, call: &mut RpcCall) -> RpcResult {
    Ok(call
        .worker
        .config
        .shared
        .stats
        .groups()
        .into_iter()
        .map(RpcValue::Str)
        .collect())
}

fn group(call: &mut RpcCall) -> Result<Vec<(Str, Stat)>, RpcFault> {
    let group = call.text()?;
    Ok(call.worker.config.shared.stats.group(&group).unwrap_or_default())
}

fn list_vars(_: &Counters, call: &mut RpcCall) -> RpcResult {
    Ok(group(call)?
        .into_iter()
        .map(|(name, _)| RpcValue::Str(name))
        .collect())
}

fn get_vars(_: &Counters, call: &mut RpcCall) -> RpcResult {
    let members = group(call)?
        .into_iter()
        .map(|(name, stat)| (name, RpcValue::Int(stat.get())));
    Ok(vec![RpcValue::Struct(members.collect())])
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn declarations_have_group_name_and_description() {
        let bind = FakeBind::default();
        let read = |text| {
            described(text, &bind).map(|(n, doc)| (n.group.map(|g| g.to_string()), n.name.to_string(), doc))
        };
        assert_eq!(
            read("foo"),
            Ok((None, "foo".into(), "custom script counter.".into()))
        );
        assert_eq!(
            read("test.x:another example"),
            Ok((Some("test".into()), "x".into(), "another example".into()))
        );
        assert!(read("test.").is_err());
    }

    #[test]
    fn commands_see_every_statistic() {
        let server = Server::default();
        let counter = server.worker.config.shared.stats.counter("g", "n", "Doc.");
        counter.add(5);
        let m = Counters {
            group: Str::from("script"),
            counters: HashMap::new(),
        };
        let call = |args: &[&str]| {
            RpcCall::new(
                server.worker.clone(),
                args.iter().map(|a| RpcValue::from(*a)).collect(),
            )
        };
        assert_eq!(get(&m, &mut call(&["g", "n"])), Ok(vec![RpcValue::Int(5)]));
        assert_eq!(help(&m, &mut call(&["g", "n"])), Ok(vec![RpcValue::from("Doc.")]));
        assert_eq!(reset(&m, &mut call(&["g", "n"])), Ok(vec![]));
        assert_eq!(counter.get(), 0);
        assert_eq!(get(&m, &mut call(&["g", "x"])).unwrap_err().code, 400);
        assert_eq!(list_vars(&m, &mut call(&["g"])), Ok(vec![RpcValue::from("n")]));
    }
}
