//! Runs a transformation of this folder on a value, for the unit tests.

use kahea_module::{
    Decl, Env, InitError, Module, TransformDecl, Value, registry::ModuleDecl, testing::Server,
};

struct All;

impl Module for All {
    const NAME: &'static str = "all";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        super::declare(d);
        super::declare_sock(d);
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(All)
    }
}

/// `value{step}`, with `$var(…)` in arguments allowed.
pub(super) fn apply(value: impl Into<Value>, step: &str) -> Value {
    let server = Server::default();
    let mut cx = server.invite();
    run(&mut cx, value.into(), step).unwrap_or_else(|error| panic!("{step}: {error}"))
}

/// The message of the error with which `step` is refused at load.
pub(super) fn refused(step: &str) -> String {
    let server = Server::default();
    let mut cx = server.invite();
    run(&mut cx, Value::EMPTY, step).expect_err(step)
}

fn run(cx: &mut kahea_module::Cx, value: Value, step: &str) -> Result<Value, String> {
    let decl = ModuleDecl::of::<All>();
    let (full, args) = match step.split_once(',') {
        Some((full, args)) => (full, Some(args)),
        None => (step, None),
    };
    let (class, name) = full.split_once('.').expect("class.name");
    let find = |t: &&TransformDecl| t.class == class && t.name == name;
    let transform = decl
        .transforms
        .iter()
        .find(find)
        .expect("a declared transformation");
    let bind = cx.bind();
    let bound = transform.bind(args, &*bind).map_err(|error| error.message)?;
    Ok(bound(cx, value))
}

/// The text of `value{step}`.
pub(super) fn text(value: &str, step: &str) -> String {
    match apply(Value::from(value.to_owned()), step) {
        Value::Null => "$null".to_owned(),
        value => value.str_or_empty().text().into_owned(),
    }
}
