//! Scripts in an interpreter over a few functions of a module made for this.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use kahea_kemi::Table;
use kahea_module::{
    Cx, Decl, Env, InitError, Module, Outcome, Ret, Str, Value,
    language::{Call, Step},
    registry::{Loaded, Registry},
    ret::{Given, Later},
    testing::Server,
};

use crate::{
    call::{LuaCall, What},
    state::{Limits, Sources, State},
};

struct Sample;

thread_local! {
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn seen() -> Vec<String> {
    SEEN.take()
}

impl Module for Sample {
    const NAME: &'static str = "sample";
    type Params = ();

    fn declare(d: &mut Decl<Sample>) {
        d.kemi_func(
            "",
            "info",
            ["text"],
            |_: &Sample, _: &mut Cx, text: Str| note(&text),
            "Notes.",
        );
        d.kemi_func(
            "pv",
            "get",
            ["name"],
            |_: &Sample, cx: &mut Cx, name: Value| Given::set(cx, name),
            "Gives back.",
        );
        d.kemi_func(
            "sample",
            "add",
            ["a", "b"],
            |_: &Sample, _: &mut Cx, a: i64, b: i64| a.saturating_add(b),
            "Adds.",
        );
        d.kemi_func("", "is_method", ["method"], is_method, "The method is this.");
        d.kemi_func("sample", "later", ["code"], later, "Answers later.")
            .waits();
        d.kemi_func(
            "",
            "set_drop",
            [],
            |_: &Sample, cx: &mut Cx| {
                cx.extra::<kahea_module::state::DropRequested>().0 = true;
            },
            "Drops.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Sample, InitError> {
        Ok(Sample)
    }
}

fn note(text: &Str) {
    SEEN.with_borrow_mut(|seen| seen.push(text.text().into_owned()));
}

fn is_method(_: &Sample, cx: &mut Cx, method: Str) -> bool {
    cx.msg.method() == kahea_sip::Method::Invite && *method == *b"INVITE"
}

fn later(_: &Sample, _: &mut Cx, code: i64) -> Ret {
    Ret::wait(move |_| Box::pin(async move { Ret::Code(code) }))
}

const LIMITS: Limits = Limits {
    memory: 64 << 20,
    time: 300,
};

fn server() -> Server {
    let decl = kahea_module::registry::ModuleDecl::of::<Sample>();
    Server::new(|config| {
        let pending = decl.prepare();
        let mut loaded = Loaded::default();
        loaded.add(&pending);
        decl.init_bare(pending, Sample);
        config.registry = Arc::new(Registry::new(vec![decl]));
        config.modules = loaded;
    })
}

fn load(server: &Server, text: &str) -> Result<Rc<State>, InitError> {
    let table = Arc::new(Table::of(&server.worker.config));
    let sources = Sources {
        version: 1,
        files: vec![(Str::from_static("/x/a.lua"), Str::from(text))],
    };
    State::new(&server.worker, &table, &sources, LIMITS).map(Rc::new)
}

fn call(state: &Rc<State>) -> LuaCall {
    let name = Str::from_static("ksr_request_route");
    LuaCall::new(
        state.clone(),
        What::Named {
            name,
            optional: false,
        },
        Vec::new(),
    )
}

/// Runs `ksr_request_route` to its end, waits included.
fn run(server: &Server, state: &Rc<State>) -> Result<Outcome, String> {
    let mut cx = server.invite();
    let mut call = call(state);
    let mut step = call.run(&mut cx);
    loop {
        match step {
            Step::Done(outcome) => return Ok(outcome),
            Step::Stopped(fault) => return Err(fault.text.text().into_owned()),
            Step::Wait(later) => {
                let ret = ready(&mut cx, later);
                step = call.resume(&mut cx, ret);
            }
        }
    }
}

fn ready(cx: &mut Cx, later: Later) -> Ret {
    let mut future = later(cx);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ret) => ret,
        Poll::Pending => panic!("it is ready at once"),
    }
}

fn body(text: &str) -> (Server, Result<Outcome, String>) {
    let server = server();
    seen();
    let script = format!("function ksr_request_route()\n{text}\nend\n");
    let state = load(&server, &script).unwrap_or_else(|error| panic!("{error}"));
    let result = run(&server, &state);
    (server, result)
}

fn fails_with(text: &str) -> String {
    body(text).1.expect_err("the script fails")
}

#[test]
fn values_go_in_and_come_out() {
    let (_, result) = body(
        r##"
        KSR.info(tostring(KSR.sample.add(2, 3)) .. " " .. tostring(KSR.sample.add("4", 5.9)));
        KSR.info(tostring(KSR.is_method("INVITE")) .. " " .. tostring(KSR.is_method("BYE")));
        KSR.info(tostring(KSR.pv.get(nil)) .. " " .. KSR.pv.get("a\0b"):len() .. " " .. type(KSR.pv.get(7)));
        KSR.info(tostring(#KSR.pv.get(("x"):rep(1048576))) .. " " .. KSR.pv.get(1.5));
        KSR.info(tostring(KSR.info("nothing")));
        "##,
    );
    result.expect("it runs");
    assert_eq!(
        seen(),
        [
            "5 9",
            "true false",
            "nil 3 number",
            "1048576 1.5",
            "nothing",
            "true"
        ]
    );
}

#[test]
fn wrong_calls_are_errors_with_the_signature_file_and_line() {
    let error = fails_with("KSR.sample.add(1)");
    assert!(
        error.starts_with("/x/a.lua:2: KSR.sample.add: it does not take 1 argument"),
        "{error}"
    );
    assert!(error.contains("KSR.sample.add(int a, int b)"), "{error}");
    assert!(error.contains("traceback"), "{error}");
    let error = fails_with("KSR.info(nil)");
    assert!(
        error.contains("argument 1 (text) must be a string, not null"),
        "{error}"
    );
    let error = fails_with("KSR.sample.add({}, 1)");
    assert!(error.contains("not a table"), "{error}");
    let error = fails_with("KSR.nope.nothing()");
    assert!(error.contains("nope"), "{error}");
    let error = fails_with("local function f() return 1 + f() end f()");
    assert!(error.contains("stack overflow"), "{error}");
    let (_, caught) = body("local ok, what = pcall(KSR.info) KSR.info(tostring(ok)) KSR.info(what)");
    caught.expect("it was caught");
    assert_eq!(seen().first().map(String::as_str), Some("false"));
}

#[test]
fn exit_and_drop_leave_the_script_from_any_depth() {
    let (_, result) = body("local function f() KSR.x.exit() end f() KSR.info('never')");
    let outcome = result.expect("it ends");
    assert!(outcome.exit && !outcome.drop && seen().is_empty());
    let (_, result) = body("KSR.x.drop() KSR.info('never')");
    let outcome = result.expect("it ends");
    assert!(outcome.exit && outcome.drop && seen().is_empty());
}

#[test]
fn functions_that_wait_suspend_and_go_on_in_calls_pcall_and_coroutines() {
    let (_, result) = body(
        r#"
        KSR.info("a" .. KSR.sample.later(7));
        pcall(function() KSR.info("b" .. KSR.sample.later(-1)) end);
        local co = coroutine.create(function(x)
            local y = coroutine.yield(KSR.sample.later(x));
            return KSR.sample.later(y);
        end);
        local ok, first = coroutine.resume(co, 5);
        local _, second = coroutine.resume(co, 6);
        KSR.info(first .. " " .. second);
        for n in coroutine.wrap(function() coroutine.yield(KSR.sample.later(8)) end) do KSR.info("w" .. n) break end
        "#,
    );
    result.expect("it ends");
    assert_eq!(seen(), ["a7", "b-1", "5 6", "w8"]);
    let error = fails_with(r#"("x"):gsub("x", function() return KSR.sample.later(1) end)"#);
    assert!(error.contains("yield across C-call boundary"), "{error}");
}

/// Two messages in one interpreter, one of which waits meanwhile.
#[test]
fn messages_do_not_meet() {
    let server = server();
    seen();
    let script = "function ksr_request_route() local v = KSR.sample.later(3) KSR.info('got ' .. v) end";
    let state = load(&server, script).expect("it loads");
    let (mut one, mut two) = (server.invite(), server.invite());
    let (mut first, mut second) = (call(&state), call(&state));
    let Step::Wait(later_one) = first.run(&mut one) else {
        panic!("it waits")
    };
    let Step::Wait(later_two) = second.run(&mut two) else {
        panic!("it waits")
    };
    let _ = ready(&mut two, later_two);
    let _ = ready(&mut one, later_one);
    assert!(matches!(first.resume(&mut one, Ret::Code(1)), Step::Done(_)));
    assert!(matches!(second.resume(&mut two, Ret::Code(2)), Step::Done(_)));
    assert_eq!(seen(), ["got 1", "got 2"]);
    drop(call(&state));
    assert!(run(&server, &state).is_ok());
}

#[test]
fn a_message_given_up_in_the_middle_of_a_wait_leaves_nothing() {
    let server = server();
    let state = load(&server, "function ksr_request_route() KSR.sample.later(3) end").expect("it loads");
    let mut cx = server.invite();
    let mut under_way = call(&state);
    assert!(matches!(under_way.run(&mut cx), Step::Wait(_)));
    drop(under_way);
    assert!(run(&server, &state).is_ok());
}

#[test]
fn scripts_that_do_not_end_or_take_all_memory_are_stopped() {
    let error = fails_with("while true do end");
    assert!(
        error.contains("script_timeout") && error.contains("/x/a.lua:2"),
        "{error}"
    );
    let error = fails_with("while true do pcall(function() while true do end end) end");
    assert!(error.contains("script_timeout"), "{error}");
    let error = fails_with("local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end");
    assert!(error.contains("not enough memory"), "{error}");
    let (server, result) = body("KSR.info('still here')");
    assert!(result.is_ok() && server.worker.index == 0);
}

#[test]
fn scripts_that_cannot_be_loaded_say_where() {
    let server = server();
    let error = load(&server, "function f(\n")
        .map(drop)
        .expect_err("a syntax error");
    assert!(error.message.contains("a.lua:"), "{error}");
    let error = load(&server, "local x = nil + 1")
        .map(drop)
        .expect_err("it fails");
    assert!(error.message.contains("/x/a.lua:1:"), "{error}");
    let error = load(&server, "KSR.sample.later(1)")
        .map(drop)
        .expect_err("it waits");
    assert!(error.message.contains("while the script is loaded"), "{error}");
    seen();
    load(&server, "KSR.info('at the top')")
        .map(drop)
        .expect("it loads");
    assert_eq!(seen(), ["at the top"]);
    let state = load(&server, "x = 1").expect("it loads");
    assert!(
        run(&server, &state)
            .expect_err("no such function")
            .contains("ksr_request_route")
    );
}
