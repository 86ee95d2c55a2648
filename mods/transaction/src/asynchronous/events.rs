//! Events of type, key and value: `async_tkv_emit()`, for `event_route[core:tkv]`.

use kahea_mods_base::corex::TypeKeyValue;
use kahea_module::{Cx, Decl, Fault, RouteKind, Str};

use super::{Async, group, tasks};

/// Declares them.
pub fn declare(d: &mut Decl<Async>) {
    d.func(
        "async_tkv_emit",
        ["type", "key", "value"],
        async_tkv_emit,
        "Runs the event route of async_tkv_evcb as a task of the group async_tkv_gname, with $atkv(type), $atkv(key) \
         and $atkv(val).",
    );
}

fn async_tkv_emit(_: &Async, cx: &mut Cx, kind: i64, key: Str, value: Str) -> Result<bool, Fault> {
    let globals = &cx.config().globals;
    let (name, route) = (globals.async_tkv_gname.clone(), globals.async_tkv_evcb.clone());
    if name.is_empty() || route.is_empty() {
        return Err(Fault::script(
            "nobody takes the event: set async_tkv_gname and async_tkv_evcb",
        ));
    }
    group(cx, &name)?;
    let route = cx
        .config()
        .bind
        .route(RouteKind::Event, &route.text())
        .ok_or_else(|| Fault::script(format!("there is no event_route[{route}] (async_tkv_evcb)")))?;
    tasks::alone(cx, route, move |cx| {
        *cx.extra::<TypeKeyValue>() = TypeKeyValue {
            kind,
            key,
            value,
            group: name,
        };
    });
    Ok(true)
}
