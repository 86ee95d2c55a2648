//! `app_python3s`: functions of the script's own module, without a message argument.

use std::{sync::Arc, time::Duration};

use kahea_module::{Cx, Decl, Env, InitError, Module, Ret, Str};

use crate::{
    classic::ktest,
    namespace::Form,
    scripts::{Python, Scripts},
};

/// The module.
pub struct AppPython3s {
    scripts: Arc<Scripts<1>>,
}

/// Parameters of `app_python3s`.
pub struct Params {
    load: Str,
    script_init: Str,
    script_child_init: Str,
    threads_mode: i64,
    time: i64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            load: Str::from_static("/usr/local/etc/kamailio/handler.py"),
            script_init: Str::EMPTY,
            script_child_init: Str::EMPTY,
            threads_mode: 0,
            time: 5000,
        }
    }
}

impl Module for AppPython3s {
    const NAME: &'static str = "app_python3s";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param("load", |p| &mut p.load, "The Python file to load.");
        d.param(
            "script_init",
            |p| &mut p.script_init,
            "The function that is called when the script is loaded.",
        );
        d.param(
            "script_child_init",
            |p| &mut p.script_child_init,
            "The function that is called on each worker, with its rank.",
        );
        d.param(
            "threads_mode",
            |p| &mut p.threads_mode,
            "No meaning here: Python's lock is always released while a function waits.",
        );
        d.param(
            "time",
            |p| &mut p.time,
            "Milliseconds on the processor after which a run of a script is stopped.",
        );
        let doc = "Runs a function of the script, with a text where one is given.";
        d.func("app_python3s_exec", ["function", "argument"], exec, doc)
            .kemi(1, "exec")
            .kemi(1, "execx")
            .kemi(2, "exec_p1")
            .example(r#"app_python3s_exec("greet", "$rU");"#)
            .waits();
        d.kemi_func(
            "",
            "ktest",
            ["text"],
            ktest::<Self>,
            "Writes a text at level INFO.",
        );
        let doc = "Reads the script again; one that fails changes nothing.";
        d.rpc("app_python3s.reload", |m, call| m.scripts.reload(call), doc);
        d.rpc("app_python3s.list", |m, _| m.scripts.list(), "The loaded script.");
        let doc = "The functions that scripts can call.";
        d.rpc("app_python3s.api_list", |m, call| m.scripts.api_list(call), doc);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let form = Form {
            module: Self::NAME,
            classic: false,
            init: params.script_init.text().into_owned(),
            child_init: params.script_child_init.text().into_owned(),
            time: Duration::from_millis(u64::try_from(params.time).unwrap_or(0).max(1)),
        };
        let scripts = Scripts::new(&params.load, form, env)?;
        env.hooks.languages.push(Arc::new(Python(scripts.clone())));
        Ok(AppPython3s { scripts })
    }
}

fn exec(m: &AppPython3s, cx: &mut Cx, name: Str, argument: Option<Str>) -> Ret {
    m.scripts.exec(cx, &name, argument)
}
