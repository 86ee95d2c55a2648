//! Module `statistics`: counters that the script names and moves.

use std::collections::HashMap;

use kahea_module::{
    ANY, BRANCH, BindError, Cx, Decl, Env, FAILURE, Fault, InitError, Module, REPLY, REQUEST, Str,
    stats::Counter,
};

/// The module.
pub struct Statistics {
    variables: HashMap<Str, Variable>,
}

struct Variable {
    counter: Counter,
    resets: bool,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    variables: Vec<Str>,
}

impl Module for Statistics {
    const NAME: &'static str = "statistics";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param_fn(
            "variable",
            "string",
            |params, value, _| {
                let text = value.str().filter(|text| !text.is_empty());
                params
                    .variables
                    .push(text.ok_or_else(|| BindError::new("the name of a statistic is needed"))?);
                Ok(())
            },
            "A statistic of the group script; NAME/no_reset cannot be reset. May be given several times.",
        );
        d.func(
            "update_stat",
            ["variable", "value"],
            update_stat,
            "Adds a number, which may be negative.",
        )
        .routes(ANY)
        .kemi(2, "update_stat")
        .example("update_stat(\"calls\", \"+1\");");
        d.func(
            "reset_stat",
            ["variable"],
            reset_stat,
            "Sets a statistic to 0, where it was not declared no_reset.",
        )
        .routes(REQUEST | REPLY | FAILURE | BRANCH)
        .kemi(1, "reset_stat");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let mut variables = HashMap::new();
        for text in params.variables {
            let mut parts = text.split(|b| *b == b'/');
            let name = Str::copy(parts.next().unwrap_or_default().trim_ascii());
            let mut resets = true;
            for flag in parts {
                if flag.trim_ascii() != b"no_reset" {
                    return Err(InitError::new(format!("'{text}' has an unknown flag"))
                        .help("write NAME or NAME/no_reset"));
                }
                resets = false;
            }
            let counter = env
                .shared
                .stats
                .counter("script", &name.text(), "A statistic of the script.");
            variables.insert(name, Variable { counter, resets });
        }
        Ok(Statistics { variables })
    }
}

impl Statistics {
    fn find(&self, name: &Str) -> Result<&Variable, Fault> {
        self.variables.get(name).ok_or_else(|| {
            Fault::script(format!(
                "the statistic {name} is not defined: add modparam(\"statistics\", \"variable\", \"{name}\")"
            ))
        })
    }
}

fn update_stat(m: &Statistics, _: &mut Cx, name: Str, by: i64) -> Result<bool, Fault> {
    m.find(&name)?.counter.add(by);
    Ok(true)
}

fn reset_stat(m: &Statistics, _: &mut Cx, name: Str) -> Result<bool, Fault> {
    let variable = m.find(&name)?;
    if variable.resets {
        variable.counter.reset();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn figures_move_and_some_do_not_reset() {
        let variable = |resets| Variable {
            counter: Counter::default(),
            resets,
        };
        let variables = [
            (Str::from("a"), variable(true)),
            (Str::from("b"), variable(false)),
        ]
        .into();
        let m = Statistics { variables };
        let mut cx = Server::default().invite();
        for name in ["a", "b"] {
            update_stat(&m, &mut cx, Str::from(name), 3).expect("known");
            update_stat(&m, &mut cx, Str::from(name), -1).expect("known");
            reset_stat(&m, &mut cx, Str::from(name)).expect("known");
        }
        assert_eq!(m.variables[&b"a"[..]].counter.get(), 0);
        assert_eq!(m.variables[&b"b"[..]].counter.get(), 2);
        assert!(update_stat(&m, &mut cx, Str::from("none"), 1).is_err());
    }
}
