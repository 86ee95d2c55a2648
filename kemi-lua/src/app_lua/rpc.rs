//! RPC commands: `app_lua.list`, `app_lua.reload`, `app_lua.api_list`.

use std::sync::{Arc, atomic::Ordering::Release};

use kahea_kemi::Returns;
use kahea_module::{
    Decl, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{AppLua, functions::read};
use crate::state::Sources;

/// Declares them.
pub fn declare(d: &mut Decl<AppLua>) {
    d.rpc("app_lua.list", list, "The scripts that were loaded.");
    d.rpc_waits(
        "app_lua.reload",
        reload,
        "Loads the scripts again, or the one with the given number; at an error nothing changes.",
    );
    d.rpc("app_lua.api_list", api_list, "All functions under KSR.");
}

fn list(m: &AppLua, _: &mut RpcCall) -> RpcResult {
    let sources = m.shared.current();
    if sources.files.is_empty() {
        return Err(RpcFault::new(500, "No script loaded"));
    }
    let line = |(at, (path, _)): (usize, &(Str, Str))| Str::from(format!("{at}: [{path}]")).into();
    Ok(sources.files.iter().enumerate().map(line).collect())
}

fn reload<'a>(m: &'a AppLua, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        if !m.shared.may_reload {
            return Err(RpcFault::new(
                500,
                "Reload is disabled by modparam(\"app_lua\", \"reload\", 0)",
            ));
        }
        let before = m.shared.current();
        let wanted = call.optional_int()?;
        let mut files = Vec::with_capacity(before.files.len());
        let mut found = wanted.is_none();
        for (at, (path, text)) in (0i64..).zip(&before.files) {
            let again = wanted.is_none_or(|number| number == at);
            found |= again;
            let text = match again {
                true => read(path.text().into_owned())
                    .await
                    .map_err(|fault| RpcFault::new(500, fault.text))?,
                false => text.clone(),
            };
            files.push((path.clone(), text));
        }
        if !found {
            return Err(RpcFault::new(404, "There is no script with that number"));
        }
        let after = Sources {
            version: before.version.saturating_add(1),
            files,
        };
        // On trial in an interpreter of its own.
        if let Err(error) = m.shared.load(&call.worker, &after) {
            return Err(RpcFault::new(500, format!("Nothing changed: {}", error.message)));
        }
        let version = after.version;
        *m.shared.sources.write() = Arc::new(after);
        m.shared.version.store(version, Release);
        Ok(Vec::new())
    })
}

fn api_list(m: &AppLua, call: &mut RpcCall) -> RpcResult {
    let table = m.shared.table(&call.worker.config);
    let mut functions = Vec::new();
    for entry in table.entries() {
        let returns = match entry.returns {
            Returns::Code => "int",
            Returns::Bool => "bool",
            Returns::Nothing => "none",
            Returns::Value => "xval",
        };
        for signature in entry.signatures() {
            let params = signature
                .split_once('(')
                .map_or("", |(_, params)| params.trim_end_matches(')'));
            functions.push(RpcValue::members([
                ("ret", returns.into()),
                ("module", entry.module.into()),
                ("name", entry.name.into()),
                ("params", Str::from(params).into()),
            ]));
        }
    }
    let size = i64::try_from(functions.len()).unwrap_or(i64::MAX);
    let methods = RpcValue::Array(vec![RpcValue::named("func", functions)]);
    Ok(vec![RpcValue::members([
        ("msize", size.into()),
        ("methods", methods),
    ])])
}
