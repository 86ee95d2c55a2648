//! Functions of the native script that run Lua.

use kahea_kemi::as_function;
use kahea_module::{Cx, Decl, Fault, Ret, Str};

use super::AppLua;
use crate::call::What;

/// Declares them.
pub fn declare(d: &mut Decl<AppLua>) {
    let doc = "Reads a Lua file and runs it in the interpreter of this worker.";
    d.func("lua_dofile", ["path"], dofile, doc)
        .kemi(1, "dofile")
        .waits()
        .example("lua_dofile(\"/etc/kahea/do.lua\");");
    let doc = "Runs a Lua text.";
    d.func("lua_dostring", ["text"], dostring, doc)
        .kemi(1, "dostring")
        .waits()
        .example("lua_dostring(\"KSR.info('hello')\");");
    let doc = "Runs a Lua text, as lua_dostring() does.";
    d.func("lua_runstring", ["text"], dostring, doc)
        .kemi(1, "runstring")
        .waits()
        .example("lua_runstring(\"KSR.info('hello')\");");
    let doc = "Runs a function of the loaded Lua scripts with up to three texts.";
    d.func("lua_run", ["function", "first", "second", "third"], run, doc)
        .kemi(1, "run")
        .kemi(2, "run_p1")
        .kemi(3, "run_p2")
        .kemi(4, "run_p3")
        .waits()
        .example("lua_run(\"on_request\", \"$ru\");");
}

fn run(
    m: &AppLua,
    cx: &mut Cx,
    function: Str,
    first: Option<Str>,
    second: Option<Str>,
    third: Option<Str>,
) -> Ret {
    let args = [first, second, third].into_iter().flatten().collect();
    let what = What::Named {
        name: function,
        optional: false,
    };
    match m.call(cx, what, args) {
        Ok(call) => as_function(cx, call),
        Err(fault) => fault.into(),
    }
}

fn dostring(m: &AppLua, cx: &mut Cx, text: Str) -> Ret {
    run_text(m, cx, &format!("={}", text.text()), &text)
}

fn run_text(m: &AppLua, cx: &mut Cx, name: &str, text: &Str) -> Ret {
    let called = m.state(cx).and_then(|state| {
        let function = state
            .compile(name, text)
            .map_err(|error| kahea_kemi::one_line(&error))?;
        m.call(cx, What::Function(function), Vec::new())
    });
    match called {
        Ok(call) => as_function(cx, call),
        Err(fault) => fault.into(),
    }
}

fn dofile(_: &AppLua, _: &mut Cx, path: Str) -> Ret {
    Ret::wait(move |cx| {
        Box::pin(async move {
            let text = read(cx.bind().beside(&path.text())).await;
            let config = cx.config().clone();
            let Some(module) = config.modules.get::<AppLua>() else {
                return Fault::script("app_lua is not loaded").into();
            };
            match (module.get(), text) {
                (Ok(m), Ok(text)) => run_text(m, cx, &format!("@{path}"), &text),
                (Err(fault), _) | (_, Err(fault)) => fault.into(),
            }
        })
    })
}

/// Reads a file without keeping the worker.
pub async fn read(path: String) -> Result<Str, Fault> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name("lua-read".to_owned()).spawn({
        let path = path.clone();
        move || drop(sender.send(std::fs::read(path)))
    });
    started.map_err(|error| Fault::limit(format!("no thread to read {path}: {error}")))?;
    match receiver.await {
        Ok(Ok(text)) => Ok(Str::from(text)),
        Ok(Err(error)) => Err(Fault::script(format!("cannot read {path}: {error}"))),
        Err(_) => Err(Fault::script(format!("cannot read {path}"))),
    }
}
