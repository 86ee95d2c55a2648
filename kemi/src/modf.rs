//! `KSR.x.modf()`: a function of the native script with its arguments, from an embedded language.

use kahea_module::{ArgSource, Cx, Fault, Ret, Str, Value, log};

/// Calls the function that the first value names; arguments are read as the native script reads them, variables and all.
///
/// Its code is the answer. A function that ends the script with 0 in the native language answers 0 here.
pub fn call(cx: &mut Cx, values: Vec<Value>) -> Ret {
    let mut values = values.into_iter();
    let name = values.next().unwrap_or_default().str_or_empty();
    let mut sources = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Value::Int(n) => sources.push(ArgSource::Int(n)),
            Value::Str(text) => sources.push(ArgSource::Text(text)),
            Value::Null => return Fault::script("KSR.x.modf: an argument is null").into(),
        }
    }
    match bound(cx, &name, &sources) {
        Ok(call) => call(cx),
        Err(fault) => fault.into(),
    }
}

fn bound(cx: &Cx, name: &Str, sources: &[ArgSource]) -> Result<kahea_module::func::BoundFunc, Fault> {
    let config = cx.config();
    let text = name.text();
    let count = sources.len();
    // The last loaded module has the name, as in the native script.
    let mut found = None;
    for (module, slot) in config.modules.iter() {
        let decl = config
            .registry
            .module(module)
            .and_then(|module| module.func(&text, count));
        if let Some(decl) = decl {
            found = Some((decl, slot));
        }
    }
    let Some((decl, slot)) = found else {
        return Err(Fault::script(format!(
            "KSR.x.modf: no loaded module has a function {text}() with {count} arguments"
        )));
    };
    log::write(
        log::Level::Debug,
        "<core>",
        format_args!("KSR.x.modf: {}", decl.signature()),
    );
    decl.bind(slot, sources, &*config.bind).map_err(|wrong| {
        let message = wrong.error.message;
        Fault::script(match wrong.argument {
            Some(at) => format!(
                "KSR.x.modf: {text}(), argument {}: {message}",
                at.saturating_add(1)
            ),
            None => format!("KSR.x.modf: {text}(): {message}"),
        })
    })
}
