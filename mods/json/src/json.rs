//! Module `json`: members of objects, as texts.

use std::sync::{Arc, OnceLock};

use kahea_module::{
    Bind, BindError, Cx, Decl, Env, Fault, InitError, Module, Str, TransformArg, TransformKind, Value, Var,
    transform::{BoundTransform, raw_arg},
};

use crate::document::{Dialect, Node, Style, escaped};

/// The module.
pub struct Json {
    /// Stands for a dot in the names of `{json.parse}`, whose own dots divide names.
    dot: u8,
}

/// Its parameters.
#[derive(Default)]
pub struct Params {
    escape_char: Option<Str>,
}

/// The default of `json_escape_char`.
const DOT: u8 = b'%';

impl Module for Json {
    const NAME: &'static str = "json";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "json_escape_char",
            |p| &mut p.escape_char,
            "The character that stands for a dot in a name of {json.parse}.",
        );
        d.func(
            "json_get_field",
            ["document", "name", "result"],
            |_: &Json, cx: &mut Cx, text: Str, name: Str, result: Var| {
                member(cx, &text, &name, &result, |node| node.text(Style::Spaced))
            },
            "Copies a member of an object as JSON: texts in quotes.",
        );
        d.func(
            "json_get_string",
            ["document", "name", "result"],
            |_: &Json, cx: &mut Cx, text: Str, name: Str, result: Var| {
                member(cx, &text, &name, &result, plain)
            },
            "Copies a member of an object: texts as they are, the rest as JSON.",
        );
        d.transform(
            "json",
            "parse",
            &["name"],
            TransformKind::Raw(|name, bind| parse(name, bind)),
            "The member of that name of the object, or of an object in it: a.b. A % in a name stands for a dot.",
        );
        d.transform(
            "json",
            "parsex",
            &["path"],
            TransformKind::Raw(|name, bind| parse(name, bind)),
            "As {json.parse}, with variables in the path.",
        );
        d.transform(
            "json",
            "encode",
            &[],
            TransformKind::Args(0, 0, |_, value, _| {
                let mut out = Vec::new();
                escaped(&value.str_or_empty(), Style::Spaced, &mut out);
                Value::Str(Str::from(out))
            }),
            "The text with the escapes that it needs between the quotes of a JSON text.",
        );
    }

    fn init(params: Params, _: &mut Env<'_>) -> Result<Json, InitError> {
        let dot = match params.escape_char.as_deref() {
            None => DOT,
            Some([one]) => *one,
            Some(_) => {
                return Err(InitError::new("json_escape_char is not one character").help("write \"%\""));
            }
        };
        Ok(Json { dot })
    }
}

fn member(cx: &mut Cx, text: &Str, name: &Str, result: &Var, show: fn(&Node) -> Str) -> Result<bool, Fault> {
    let document = Node::read(text, Dialect::Loose)
        .map_err(|error| Fault::peer(format!("the JSON document cannot be read: {error}")))?;
    let Some(node) = document.member(name).filter(|node| **node != Node::Null) else {
        return Ok(false);
    };
    let shown = show(node);
    cx.spend_bytes(shown.len())?;
    result.set(cx, Value::Str(shown))?;
    Ok(true)
}

fn plain(node: &Node) -> Str {
    match node {
        Node::Text(text) => text.clone(),
        other => other.text(Style::Spaced),
    }
}

fn parse(path: &str, bind: &dyn Bind) -> Result<BoundTransform, BindError> {
    if path.is_empty() {
        return Err(BindError::new("{json.parse} needs the name of a member").help("write {json.parse,name}"));
    }
    Ok(match raw_arg(path, bind)? {
        TransformArg::Text(path) => {
            // The character for a dot is known once the module runs.
            let names = OnceLock::new();
            Arc::new(move |cx, value| {
                let names = names.get_or_init(|| names_of(&path, dot(cx)));
                find(&value, names)
            })
        }
        TransformArg::Var(path) => Arc::new(move |cx, value| {
            let path = path.get(cx).str_or_empty();
            find(&value, &names_of(&path, dot(cx)))
        }),
    })
}

fn dot(cx: &Cx) -> u8 {
    let module = cx.config().modules.get::<Json>();
    module
        .and_then(|module| module.get().ok().map(|module| module.dot))
        .unwrap_or(DOT)
}

fn names_of(path: &[u8], dot: u8) -> Vec<Vec<u8>> {
    let real = |byte: &u8| if *byte == dot { b'.' } else { *byte };
    path.split(|byte| *byte == b'.')
        .map(|name| name.iter().map(real).collect())
        .collect()
}

fn find(value: &Value, names: &[Vec<u8>]) -> Value {
    let Some(document) = value
        .str()
        .and_then(|text| Node::read(&text, Dialect::Loose).ok())
    else {
        return Value::Null;
    };
    let found = names.iter().try_fold(&document, |node, name| node.member(name));
    match found {
        None | Some(Node::Null) => Value::Null,
        Some(node) => Value::Str(plain(node)),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};

    use super::*;

    #[test]
    fn names_lead_into_objects() {
        let bind = FakeBind::default();
        let mut cx = Server::default().invite();
        let mut at = |path: &str| {
            let step = parse(path, &bind).expect("a path");
            step(&mut cx, Value::from("{'o':{'x':[1]},'a.b':'y','n':null}"))
        };
        assert_eq!(at("o.x"), Value::from("[ 1 ]"));
        assert_eq!(at("a%b"), Value::from("y"));
        for none in ["a.b", "n", "none", "o.x.y"] {
            assert_eq!(at(none), Value::Null, "{none}");
        }
        assert!(parse("", &bind).is_err());
        assert_eq!(names_of(b"a~b.c", b'~'), [b"a.b".to_vec(), b"c".to_vec()]);
    }
}
