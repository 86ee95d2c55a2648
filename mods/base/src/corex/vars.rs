//! `$cfg(key)` and `$atkv(key)`.

use kahea_module::{Bind, BindError, Cx, Decl, Index, Named, Naming, RouteKind, Str, Value};

use super::Corex;

/// An event of type, key and value, in the route that runs for it (`event_route[core:tkv]`).
#[derive(Default)]
pub struct TypeKeyValue {
    /// Its type.
    pub kind: i64,
    /// Its key.
    pub key: Str,
    /// Its value.
    pub value: Str,
    /// The group of workers that it was given to.
    pub group: Str,
}

#[derive(Clone, Copy)]
enum Field {
    Kind,
    Key,
    Value,
    Group,
}

impl Field {
    fn parse(text: &str, _: &dyn Bind) -> Result<Field, BindError> {
        match text {
            "type" => Ok(Field::Kind),
            "key" => Ok(Field::Key),
            "val" => Ok(Field::Value),
            "gname" => Ok(Field::Group),
            _ => Err(BindError::new(format!("$atkv has no '{text}'"))
                .help("write $atkv(type), $atkv(key), $atkv(val) or $atkv(gname)")),
        }
    }

    fn of(self, event: &TypeKeyValue) -> Value {
        match self {
            Field::Kind => Value::Int(event.kind),
            Field::Key => event.key.clone().into(),
            Field::Value => event.value.clone().into(),
            Field::Group => event.group.clone().into(),
        }
    }
}

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
            parse: Field::parse,
            get: |_, cx, field, _| {
                cx.extra_ref::<TypeKeyValue>()
                    .map_or(Value::Null, |event| field.of(event))
            },
            set: None,
            raw: false,
        },
        "Of the event that the route runs for (async_tkv_emit()): its type, key, value, group; $null in other routes.",
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
