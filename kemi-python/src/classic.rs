//! `app_python3`: functions take the message first, and may be methods of the object that `mod_init()` gives.

use std::{sync::Arc, time::Duration};

use kahea_module::{Cx, Decl, Env, InitError, Module, Ret, Str, log};

use crate::{
    namespace::Form,
    scripts::{Python, Scripts},
};

/// The module.
pub struct AppPython3 {
    scripts: Arc<Scripts<0>>,
}

/// Parameters of `app_python3`.
pub struct Params {
    load: Str,
    init: Str,
    child_init: Str,
    threads_mode: i64,
    time: i64,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            load: Str::from_static("/usr/local/etc/kamailio/handler.py"),
            init: Str::from_static("mod_init"),
            child_init: Str::from_static("child_init"),
            threads_mode: 0,
            time: 5000,
        }
    }
}

impl Module for AppPython3 {
    const NAME: &'static str = "app_python3";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param("load", |p| &mut p.load, "The Python file to load.")
            .alias("script_name");
        d.param(
            "mod_init_function",
            |p| &mut p.init,
            "The function that is called when the script is loaded; the object that it gives has the functions.",
        );
        d.param(
            "child_init_method",
            |p| &mut p.child_init,
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
        let doc = "Runs a function of the script, with a text behind the message where one is given.";
        d.func("python_exec", ["function", "argument"], exec, doc)
            .kemi(1, "exec")
            .kemi(1, "execx")
            .kemi(2, "exec_p1")
            .example(r#"python_exec("greet", "$rU");"#)
            .waits();
        d.kemi_func(
            "",
            "ktest",
            ["text"],
            ktest::<Self>,
            "Writes a text at level INFO.",
        );
        let doc = "Reads the script again; one that fails changes nothing.";
        d.rpc("app_python.reload", |m, call| m.scripts.reload(call), doc);
        d.rpc("app_python3.reload", |m, call| m.scripts.reload(call), doc);
        d.rpc("app_python.list", |m, _| m.scripts.list(), "The loaded script.");
        d.rpc("app_python3.list", |m, _| m.scripts.list(), "The loaded script.");
        let doc = "The functions that scripts can call.";
        d.rpc("app_python.api_list", |m, call| m.scripts.api_list(call), doc);
        d.rpc("app_python3.api_list", |m, call| m.scripts.api_list(call), doc);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        let form = Form {
            module: Self::NAME,
            classic: true,
            init: params.init.text().into_owned(),
            child_init: params.child_init.text().into_owned(),
            time: Duration::from_millis(u64::try_from(params.time).unwrap_or(0).max(1)),
        };
        let scripts = Scripts::new(&params.load, form, env)?;
        env.hooks.languages.push(Arc::new(Python(scripts.clone())));
        Ok(AppPython3 { scripts })
    }
}

fn exec(m: &AppPython3, cx: &mut Cx, name: Str, argument: Option<Str>) -> Ret {
    m.scripts.exec(cx, &name, argument)
}

/// `KSR.ktest()`, with which the bindings of Kamailio are tried.
pub fn ktest<M>(_: &M, _: &mut Cx, text: Str) {
    log::write(log::Level::Info, "app_python3", format_args!("{text}"));
}
