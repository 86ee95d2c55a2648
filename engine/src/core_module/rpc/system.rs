//! `system.*`: the commands themselves.

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcDecl, RpcFault, RpcResult, RpcValue},
};

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc("system.listMethods", list_methods, "The names of all commands.")
        .list();
    d.rpc("system.methodHelp", method_help, "What a command does.");
    d.rpc(
        "system.methodSignature",
        method_signature,
        "Refused, as in Kamailio: commands do not state their arguments.",
    );
}

fn commands(call: &RpcCall) -> impl Iterator<Item = &RpcDecl> {
    let config = &call.worker.config;
    let loaded = config.modules.iter().map(|(name, _)| name);
    loaded
        .filter_map(|name| config.registry.module(name))
        .flat_map(|module| &module.rpcs)
}

fn list_methods(_: &Core, call: &mut RpcCall) -> RpcResult {
    let mut names: Vec<&str> = commands(call).map(|command| command.name).collect();
    names.sort_unstable();
    Ok(names.into_iter().map(RpcValue::from).collect())
}

fn method_help(_: &Core, call: &mut RpcCall) -> RpcResult {
    let expected = |_| RpcFault::new(400, "Method Name Expected");
    let name = call.text().map_err(expected)?;
    let found = commands(call).find(|command| name == command.name);
    match found {
        Some(command) => Ok(vec![command.doc.into()]),
        None => Err(RpcFault::new(400, "command not found")),
    }
}

fn method_signature(_: &Core, _: &mut RpcCall) -> RpcResult {
    Err(RpcFault::new(500, "Not Implemented Yet"))
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
    fn commands_of_loaded_modules_are_known() {
        let decl = ModuleDecl::of::<Core>();
        let pending = decl.prepare();
        let server = Server::new(|config| {
            config.modules.add(&pending);
            config.registry = Arc::new(Registry::new(vec![decl]));
        });
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        let names = client.run("system.listMethods").expect("names");
        assert_eq!(names.len(), 65);
        assert_eq!(names.first(), Some(&RpcValue::from("core.aliases_list")));
        assert!(client.run("system.methodHelp core.uptime").is_ok());
        let code = |line| client.run(line).map_err(|fault| fault.code);
        assert_eq!(code("system.methodHelp nope.nope"), Err(400));
        assert_eq!(code("system.methodSignature core.uptime"), Err(500));
    }
}
