//! `modparam.*`: parameters of modules.

use kahea_module::{
    Decl, Str, Value,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::members;
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc(
        "modparam.list",
        list,
        "The parameters of a module, with their types.",
    );
    let doc = "The number that the configuration sets a parameter to: module, parameter.";
    d.rpc("modparam.getn", getn, doc);
    let doc = "The text that the configuration sets a parameter to: module, parameter.";
    d.rpc("modparam.gets", gets, doc);
    let doc = "Refused: parameters are read at load; change the configuration and reload it.";
    d.rpc("modparam.setn", setn, doc);
}

fn no_module(name: &Str) -> RpcFault {
    RpcFault::new(404, format!("The module {name} is not loaded"))
}

fn list(_: &Core, call: &mut RpcCall) -> RpcResult {
    let name = call.text()?;
    let config = &call.worker.config;
    let module = config
        .modules
        .has(&name.text())
        .then(|| config.registry.module(&name.text()))
        .flatten()
        .ok_or_else(|| no_module(&name))?;
    let row = |param: &kahea_module::param::ParamInfo| {
        members(vec![("name", param.name.into()), ("type", param.kind.into())])
    };
    Ok(module.params.iter().map(row).collect())
}

/// The last `modparam` line for it.
fn value(core: &Core, call: &mut RpcCall) -> Result<Value, RpcFault> {
    let (module, name) = (call.text()?, call.text()?);
    let params = core.rpc.modparams.0.read();
    let found = params
        .iter()
        .rfind(|(of, own, _)| *of == module && *own == name)
        .map(|(_, _, value)| value.clone());
    found.ok_or_else(|| RpcFault::new(404, format!("The configuration does not set {module}.{name}")))
}

fn getn(core: &Core, call: &mut RpcCall) -> RpcResult {
    match value(core, call)? {
        Value::Int(n) => Ok(vec![RpcValue::Int(n)]),
        _ => Err(RpcFault::new(400, "The parameter is not a number")),
    }
}

fn gets(core: &Core, call: &mut RpcCall) -> RpcResult {
    match value(core, call)? {
        Value::Str(text) => Ok(vec![RpcValue::Str(text)]),
        _ => Err(RpcFault::new(400, "The parameter is not a text")),
    }
}

fn setn(_: &Core, _: &mut RpcCall) -> RpcResult {
    let text = "Parameters are read at load: change the configuration and reload it";
    Err(RpcFault::new(500, text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kahea_module::{
        registry::{ModuleDecl, Registry},
        testing::Server,
    };

    use super::{super::testing::Client, *};

    #[test]
    fn what_the_configuration_sets_is_told() {
        let core = Core::for_tests();
        let set = |name, value| (Str::from_static("xlog"), Str::from_static(name), value);
        core.rpc.modparams.set(vec![
            set("buf_size", Value::Int(1)),
            set("buf_size", Value::Int(5000)),
            set("prefix", Value::Str(Str::from_static("abc"))),
        ]);
        let client = Client::with(core, Server::default().worker, Default::default());
        assert_eq!(
            client.run("modparam.getn xlog buf_size"),
            Ok(vec![RpcValue::Int(5000)])
        );
        assert_eq!(client.run("modparam.gets xlog prefix"), Ok(vec!["abc".into()]));
        let code = |line| client.run(line).map_err(|fault| fault.code);
        assert_eq!(code("modparam.getn xlog prefix"), Err(400));
        assert_eq!(code("modparam.gets xlog nope"), Err(404));
        assert_eq!(code("modparam.setn xlog buf_size 10"), Err(500));
    }

    #[test]
    fn modules_are_listed_where_they_are_loaded() {
        let decl = ModuleDecl::of::<Core>();
        let pending = decl.prepare();
        let server = Server::new(|config| {
            config.modules.add(&pending);
            config.registry = Arc::new(Registry::new(vec![decl]));
        });
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        assert_eq!(client.run("modparam.list core"), Ok(vec![]));
        assert_eq!(
            client.run("modparam.list nomod").map_err(|fault| fault.code),
            Err(404)
        );
    }
}
