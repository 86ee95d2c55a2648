//! What this build has, as data: `kahea list --json`, the reference manual and the coverage check are made from it.

use kahea_module::{
    ArgKind, EventDecl, FuncDecl, Naming, Parameter, RouteKind, StatDecl, TransformDecl,
    Value as ScriptValue, VarDecl,
    func::KemiName,
    globals::{self, Effect, GlobalDecl},
    param::ParamInfo,
    registry::{ModuleDecl, Registry},
    rpc::RpcDecl,
};
use serde_json::{Value, json};

/// Every module with all its rows, and the global parameters: `{"modules": […], "globals": […]}`.
pub fn json(registry: &Registry) -> Value {
    let defaults = globals::Globals::default();
    let globals = globals::table().iter().map(|row| global(row, &defaults));
    json!({
        "modules": registry.modules().iter().map(module).collect::<Vec<_>>(),
        "globals": globals.collect::<Vec<_>>(),
    })
}

/// One module.
pub fn module(module: &ModuleDecl) -> Value {
    json!({
        "name": module.name,
        "params": module.params.iter().map(param).collect::<Vec<_>>(),
        "functions": module.funcs.iter().map(function).collect::<Vec<_>>(),
        "pvs": module.vars.iter().map(variable).collect::<Vec<_>>(),
        "transformations": module.transforms.iter().map(transformation).collect::<Vec<_>>(),
        "rpc": module.rpcs.iter().map(command).collect::<Vec<_>>(),
        "events": module.events.iter().map(event).collect::<Vec<_>>(),
        "stats": module.stats.iter().map(stat).collect::<Vec<_>>(),
    })
}

fn param(param: &ParamInfo) -> Value {
    json!({
        "name": param.name,
        "aliases": param.aliases,
        "type": param.kind,
        "live": param.live,
        "doc": param.doc,
    })
}

fn function(func: &FuncDecl) -> Value {
    json!({
        "name": func.name,
        "native": func.native,
        "signature": func.signature(),
        "min": func.min_args(),
        "max": func.max_args(),
        "parameters": func.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "routes": func.routes.iter().map(RouteKind::keyword).collect::<Vec<_>>(),
        "kemi": func.kemi.iter().map(kemi).collect::<Vec<_>>(),
        "waits": func.waits,
        "examples": func.examples,
        "doc": func.doc,
    })
}

fn parameter(parameter: &Parameter) -> Value {
    let kind = match parameter.kind {
        ArgKind::Int => "int",
        ArgKind::Str => "string",
        ArgKind::Value => "value",
        ArgKind::Var => "variable",
        ArgKind::Regex => "regex",
        ArgKind::Literal(what) => what,
    };
    json!({
        "name": parameter.name,
        "type": kind,
        "optional": parameter.optional,
        "variadic": parameter.variadic,
    })
}

fn kemi(name: &KemiName) -> Value {
    let path = match name.module {
        "" => format!("KSR.{}", name.name),
        module => format!("KSR.{module}.{}", name.name),
    };
    json!({ "path": path, "arguments": name.count })
}

fn variable(var: &VarDecl) -> Value {
    let naming = match var.naming {
        Naming::None => "none",
        Naming::Required => "required",
        Naming::Optional => "optional",
    };
    json!({ "name": format!("${}", var.name), "naming": naming, "writable": var.writable, "doc": var.doc })
}

fn transformation(transform: &TransformDecl) -> Value {
    let name = format!("{{{}.{}}}", transform.class, transform.name);
    json!({ "name": name, "arguments": transform.args, "doc": transform.doc })
}

fn command(rpc: &RpcDecl) -> Value {
    json!({ "name": rpc.name, "doc": rpc.doc })
}

fn event(event: &EventDecl) -> Value {
    json!({ "name": event.name, "doc": event.doc })
}

fn stat(stat: &StatDecl) -> Value {
    json!({ "group": stat.group, "name": stat.name, "doc": stat.doc })
}

fn global(row: &GlobalDecl, defaults: &globals::Globals) -> Value {
    let (effect, why) = match row.effect {
        Effect::Works => ("works", None),
        Effect::NotHere(why) => ("no meaning here", Some(why)),
        Effect::Later(part) => ("later", Some(part)),
    };
    let default = match row.value(defaults) {
        ScriptValue::Null => Value::Null,
        ScriptValue::Int(n) => n.into(),
        ScriptValue::Str(text) => text.text().into(),
    };
    json!({
        "name": row.name,
        "aliases": row.aliases,
        "type": format!("{:?}", row.kind).to_lowercase(),
        "default": default,
        "effect": effect,
        "why": why,
        "doc": row.doc,
    })
}

#[cfg(test)]
mod tests {
    use kahea_module::{Cx, Decl, Env, InitError, Module, REQUEST, Ret, Str, modules};

    use super::*;

    struct Sample;

    impl Module for Sample {
        const NAME: &'static str = "sample";
        type Params = Option<i64>;

        fn declare(d: &mut Decl<Self>) {
            d.param("depth", |depth| depth, "How deep.")
                .alias("old_depth")
                .live();
            d.func("dig", ["where", "depth"], dig, "Digs.")
                .routes(REQUEST)
                .kemi_as(2, "", "dig");
            d.var("hole", |_, _, _| ScriptValue::Null, "The hole.");
            d.event("sample:deep", "It is deep.");
            d.stat("holes", "Holes dug.");
        }

        fn init(_: Option<i64>, _: &mut Env<'_>) -> Result<Sample, InitError> {
            Ok(Sample)
        }
    }

    fn dig(_: &Sample, _: &mut Cx, _: Str, _: Option<i64>) -> Ret {
        Ret::Code(1)
    }

    #[test]
    fn a_module_is_listed_with_all_that_it_declares() {
        let listed = json(&Registry::new(modules![Sample]));
        let module = &listed["modules"][0];
        assert_eq!(module["params"][0]["aliases"], json!(["old_depth"]));
        let dig = &module["functions"][0];
        assert_eq!(dig["signature"], "dig(where[, depth])");
        assert_eq!((&dig["min"], &dig["max"]), (&json!(1), &json!(2)));
        assert_eq!(dig["routes"], json!(["request_route"]));
        assert_eq!(dig["kemi"], json!([{ "path": "KSR.dig", "arguments": 2 }]));
        assert_eq!(dig["parameters"][1]["type"], "int");
        assert_eq!(module["pvs"][0]["name"], "$hole");
        assert_eq!(module["events"][0]["name"], "sample:deep");
        assert_eq!(module["stats"][0]["group"], "sample");
    }

    #[test]
    fn globals_say_what_they_do() {
        let listed = json(&Registry::default());
        let globals = listed["globals"].as_array().unwrap();
        let children = globals.iter().find(|row| row["name"] == "children").unwrap();
        assert_eq!(children["type"], "int");
        assert!(
            globals
                .iter()
                .all(|row| row["effect"] == "works" || row["why"].is_string())
        );
    }
}
