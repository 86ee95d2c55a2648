//! `$cfg(key)` and `$atkv(key)`.

use kahea_module::{BindError, Cx, Decl, Index, Named, Naming, RouteKind, Str, Value};

use super::Corex;

#[derive(Clone, Copy)]
enum Place {
    Line,
    Name,
    File,
    Route,
}

/// Declares the variables.
pub fn declare(d: &mut Decl<Corex>) {
    d.var_named(
        "cfg",
        Naming::Required,
        Named {
            parse: |text, _| match text {
                "line" => Ok(Place::Line),
                "name" => Ok(Place::Name),
                "file" => Ok(Place::File),
                "route" => Ok(Place::Route),
                _ => Err(BindError::new(format!("$cfg has no '{text}'"))
                    .help("write $cfg(line), $cfg(name), $cfg(file) or $cfg(route)")),
            },
            get: cfg,
            set: None,
            raw: false,
        },
        "The place of the script in work: line, name or file of the configuration, route.",
    );
    d.var_named(
        "atkv",
        Naming::Required,
        Named {
            parse: |text, _| match text {
                "type" | "key" | "val" | "gname" => Ok(()),
                _ => Err(BindError::new(format!("$atkv has no '{text}'"))
                    .help("write $atkv(type), $atkv(key), $atkv(val) or $atkv(gname)")),
            },
            // Tasks of this kind come from the async module, whose routes set nothing here yet.
            get: |_, _, (), _| Value::Null,
            set: None,
            raw: false,
        },
        "Of the asynchronous task that runs the route: its type, key, value, group; $null in other routes.",
    );
}

/// What the running route block is called, as Kamailio prints it.
fn route(cx: &Cx) -> Str {
    let block = cx.place().map(|place| place.route).unwrap_or_default();
    let name = if block.is_empty() {
        cx.route_name.clone()
    } else {
        block
    };
    match cx.route {
        RouteKind::Request if name.is_empty() => Str::from_static("DEFAULT_ROUTE"),
        RouteKind::CoreReply if name.is_empty() => Str::from_static("DEFAULT_ONREPLY"),
        RouteKind::OnSend if name.is_empty() => Str::from_static("DEFAULT_SEND"),
        _ => name,
    }
}

fn cfg(_: &Corex, cx: &mut Cx, place: &Place, _: Index) -> Value {
    match place {
        Place::Route => route(cx).into(),
        Place::Line => cx.place().map(|place| i64::from(place.line)).into(),
        Place::Name | Place::File => cx.place().map(|place| place.file).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{RouteId, route::ScriptStep, testing::Server};

    #[test]
    fn the_place_is_what_the_interpreter_says() {
        let mut cx = Server::default().invite();
        assert_eq!(
            cfg(&Corex, &mut cx, &Place::Route, Index::None),
            Value::from("DEFAULT_ROUTE")
        );
        assert_eq!(cfg(&Corex, &mut cx, &Place::Line, Index::None), Value::Null);
        cx.step = ScriptStep {
            route: RouteId(0),
            at: 26,
        };
        assert_eq!(cfg(&Corex, &mut cx, &Place::Line, Index::None), Value::Int(26));
        assert_eq!(
            cfg(&Corex, &mut cx, &Place::Name, Index::None),
            Value::from("kamailio.cfg")
        );
    }
}
