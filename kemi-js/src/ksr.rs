//! The object `KSR`.

use std::{cell::Cell, rc::Rc, sync::Arc};

use kahea_kemi::{EXIT, Entry, Returns, Table, held};
use kahea_module::{Value, state::DropRequested};
use rquickjs::{Ctx, Error, Exception, Function, Object, Result, Value as JsValue, function::Rest, qjs};

use crate::value;

/// `KSR.x.exit()` or `KSR.x.drop()` was called: the error on its way is no error.
pub type Ended = Rc<Cell<bool>>;

/// Makes `KSR` and puts it among the globals.
pub fn install<'js>(ctx: &Ctx<'js>, table: &Arc<Table>, ended: &Ended) -> Result<()> {
    let root = Object::new(ctx.clone())?;
    for group in table.groups() {
        let place = match group.name {
            "" => root.clone(),
            name => {
                let place = Object::new(ctx.clone())?;
                root.set(name, place.clone())?;
                place
            }
        };
        for at in &group.entries {
            let Some(name) = table.entries().get(*at).map(|entry| entry.name) else {
                continue;
            };
            let (table, at) = (table.clone(), *at);
            let run = move |ctx: Ctx<'js>, args: Rest<JsValue<'js>>| match table.entries().get(at) {
                Some(entry) => call(&ctx, entry, &args.0),
                None => Err(Error::Unknown),
            };
            place.set(name, Function::new(ctx.clone(), run)?.with_name(name)?)?;
        }
    }
    install_ends(ctx, &root, ended)?;
    ctx.globals().set("KSR", root)
}

/// `KSR.x.exit()` and `KSR.x.drop()`: they unwind the script, and no `catch` holds them up.
fn install_ends<'js>(ctx: &Ctx<'js>, root: &Object<'js>, ended: &Ended) -> Result<()> {
    let place: Object<'js> = match root.get::<_, Option<Object<'js>>>("x")? {
        Some(place) => place,
        None => {
            let place = Object::new(ctx.clone())?;
            root.set("x", place.clone())?;
            place
        }
    };
    for (name, drops) in [("exit", false), ("drop", true)] {
        let ended = ended.clone();
        let run = move |ctx: Ctx<'js>| -> Result<()> {
            if drops {
                held::current(|cx| cx.extra::<DropRequested>().0 = true);
            }
            ended.set(true);
            Err(uncatchable(&ctx, EXIT))
        };
        place.set(name, Function::new(ctx.clone(), run)?.with_name(name)?)?;
    }
    Ok(())
}

/// An error that ends the script whatever it catches.
pub fn uncatchable(ctx: &Ctx<'_>, text: &str) -> Error {
    match Exception::from_message(ctx.clone(), text) {
        Ok(exception) => {
            let value = exception.into_object().into_value();
            // SAFETY: the value is a live error object of this very context.
            #[expect(unsafe_code, reason = "rquickjs has no function for it")]
            unsafe {
                qjs::JS_SetUncatchableError(ctx.as_raw().as_ptr(), value.as_raw());
            }
            ctx.throw(value)
        }
        Err(error) => error,
    }
}

fn call<'js>(ctx: &Ctx<'js>, entry: &Entry, args: &[JsValue<'js>]) -> Result<JsValue<'js>> {
    let mut values = Vec::with_capacity(args.len());
    for (at, arg) in args.iter().enumerate() {
        match value::argument(arg) {
            Ok(value) => values.push(value),
            Err(kind) => {
                let at = at.saturating_add(1);
                let text = format!(
                    "{}: argument {at} must be a string or a number, not {kind}; write {}",
                    entry.full_name(),
                    entry.signatures().join(" or ")
                );
                return Err(Exception::throw_type(ctx, &text));
            }
        }
    }
    match run(entry, values) {
        Ok(_) if entry.returns == Returns::Nothing => Ok(JsValue::new_undefined(ctx.clone())),
        Ok(given) => value::result(ctx, given),
        Err(text) => Err(Exception::throw_type(ctx, &text)),
    }
}

fn run(entry: &Entry, values: Vec<Value>) -> std::result::Result<kahea_module::rpc::RpcValue, String> {
    held::call(entry, values, |wait| wait())
}
