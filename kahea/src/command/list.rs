//! `kahea list`: what this build has, from the one declaration of each thing.

use std::process::ExitCode;

use clap::ValueEnum;
use kahea_module::{
    FuncDecl, Naming,
    registry::{ModuleDecl, Registry},
};
use serde_json::{Value as Json, json};

use crate::out;

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Modules.
    Modules,
    /// Functions of the native script.
    Functions,
    /// Parameters of modules.
    Params,
    /// Pseudo-variables.
    Pvs,
    /// Transformations.
    Transformations,
    /// Commands.
    Rpc,
    /// Functions of embedded languages.
    Kemi,
    /// Event routes.
    Events,
    /// Statistics.
    Stats,
}

const ALL: [What; 9] = [
    What::Modules,
    What::Functions,
    What::Params,
    What::Pvs,
    What::Transformations,
    What::Rpc,
    What::Kemi,
    What::Events,
    What::Stats,
];

/// Prints one list, or all of them; as JSON an array of rows, or modules with their rows and the global parameters.
pub fn run(what: Option<What>, json: bool) -> ExitCode {
    let registry = crate::modules::registry();
    out::print(&match (what, json) {
        (Some(what), true) => format!("{:#}\n", Json::Array(rows(&registry, what))),
        (None, true) => format!("{:#}\n", kahea_engine::listing::json(&registry)),
        (Some(what), false) => text(&registry, what),
        (None, false) => ALL
            .into_iter()
            .map(|what| format!("{}:\n{}\n", name(what), text(&registry, what)))
            .collect(),
    });
    ExitCode::SUCCESS
}

fn name(what: What) -> String {
    format!("{what:?}").to_ascii_lowercase()
}

fn text(registry: &Registry, what: What) -> String {
    rows(registry, what).iter().map(line).collect()
}

/// `module: what it is: what it does`.
fn line(row: &Json) -> String {
    let member = |name: &str| row.get(name).and_then(Json::as_str);
    let title = ["signature", "path", "variable", "transformation", "name"]
        .into_iter()
        .find_map(member);
    let title = title.unwrap_or_default();
    let doc = member("doc").unwrap_or_default();
    match member("module") {
        Some(module) => format!("{module}: {title}: {doc}\n"),
        None => {
            let count = |name: &str| row.get(name).and_then(Json::as_u64).unwrap_or(0);
            let (functions, params, variables) = (count("functions"), count("params"), count("pvs"));
            format!("{title}: {functions} functions, {params} parameters, {variables} variables\n")
        }
    }
}

fn rows(registry: &Registry, what: What) -> Vec<Json> {
    registry
        .modules()
        .iter()
        .flat_map(|module| module_rows(module, what))
        .collect()
}

fn module_rows(module: &ModuleDecl, what: What) -> Vec<Json> {
    let own = module.name;
    match what {
        What::Modules => vec![json!({
            "name": own,
            "functions": module.funcs.iter().filter(|func| func.native).count(),
            "params": module.params.len(),
            "pvs": module.vars.len(),
            "transformations": module.transforms.len(),
            "rpc": module.rpcs.len(),
            "kemi": module.funcs.iter().map(|func| func.kemi.len()).sum::<usize>(),
            "events": module.events.len(),
            "stats": module.stats.len(),
        })],
        What::Functions => module
            .funcs
            .iter()
            .filter(|func| func.native)
            .map(|func| function(own, func))
            .collect(),
        What::Params => {
            let row = |param: &kahea_module::param::ParamInfo| {
                json!({"module": own, "name": param.name, "aliases": param.aliases, "type": param.kind,
                    "live": param.live, "doc": param.doc})
            };
            module.params.iter().map(row).collect()
        }
        What::Pvs => module.vars.iter().map(|var| variable(own, var)).collect(),
        What::Transformations => {
            let row = |one: &kahea_module::TransformDecl| {
                json!({"module": own, "class": one.class, "name": one.name, "args": one.args,
                    "transformation": format!("{{{}.{}}}", one.class, one.name), "doc": one.doc})
            };
            module.transforms.iter().map(row).collect()
        }
        What::Rpc => module
            .rpcs
            .iter()
            .map(|rpc| json!({"module": own, "name": rpc.name, "doc": rpc.doc}))
            .collect(),
        What::Kemi => module.funcs.iter().flat_map(|func| kemi(own, func)).collect(),
        What::Events => module
            .events
            .iter()
            .map(|one| json!({"module": own, "name": one.name, "doc": one.doc}))
            .collect(),
        What::Stats => {
            let stats = module.stats.iter();
            stats
                .map(|one| json!({"module": own, "group": one.group, "name": one.name, "doc": one.doc}))
                .collect()
        }
    }
}

fn function(module: &str, func: &FuncDecl) -> Json {
    let parameters: Vec<Json> = func.parameters.iter().map(|one| {
        json!({"name": one.name, "type": format!("{:?}", one.kind), "optional": one.optional, "variadic": one.variadic})
    }).collect();
    let kemi: Vec<Json> = kemi_names(func)
        .map(|(path, count)| json!({"path": path, "count": count}))
        .collect();
    json!({
        "module": module,
        "name": func.name,
        "signature": func.signature(),
        "min_args": func.min_args(),
        "max_args": func.max_args(),
        "parameters": parameters,
        "routes": func.routes.iter().map(|kind| kind.keyword()).collect::<Vec<_>>(),
        "waits": func.waits,
        "kemi": kemi,
        "examples": func.examples,
        "doc": func.doc,
    })
}

fn kemi_names(func: &FuncDecl) -> impl Iterator<Item = (String, usize)> + '_ {
    func.kemi.iter().map(|own| match own.module {
        "" => (format!("KSR.{}", own.name), own.count),
        module => (format!("KSR.{module}.{}", own.name), own.count),
    })
}

fn kemi(module: &'static str, func: &FuncDecl) -> Vec<Json> {
    let row = |(path, count): (String, usize)| {
        json!({"module": module, "path": path, "count": count, "function": func.name, "native": func.native,
            "doc": func.doc})
    };
    kemi_names(func).map(row).collect()
}

fn variable(module: &str, var: &kahea_module::VarDecl) -> Json {
    let (naming, shown) = match var.naming {
        Naming::None => ("none", format!("${}", var.name)),
        Naming::Required => ("required", format!("${}(name)", var.name)),
        Naming::Optional => ("optional", format!("${}[(name)]", var.name)),
    };
    json!({"module": module, "name": var.name, "variable": shown, "inner_name": naming, "writable": var.writable,
        "doc": var.doc})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_all_that_is_declared() {
        let registry = crate::modules::registry();
        let functions = rows(&registry, What::Functions);
        let reply = functions
            .iter()
            .find(|row| row["name"] == "sl_send_reply")
            .unwrap();
        assert_eq!(
            (&reply["module"], &reply["min_args"], &reply["max_args"]),
            (&json!("sl"), &json!(2), &json!(2))
        );
        assert!(
            reply["routes"]
                .as_array()
                .unwrap()
                .contains(&json!("request_route"))
        );
        let kemi = rows(&registry, What::Kemi);
        assert!(
            kemi.iter()
                .any(|row| row["path"] == "KSR.maxfwd.process_maxfwd" && row["count"] == 1)
        );
        for what in ALL {
            let list = rows(&registry, what);
            assert!(
                list.iter()
                    .all(|row| row.get("name").or(row.get("path")).is_some()),
                "{what:?}"
            );
        }
        assert!(text(&registry, What::Modules).contains("sl: "));
    }
}
