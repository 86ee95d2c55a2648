//! Module `jansson`: reads and changes JSON documents by path.

mod path;
mod xavp;

use kahea_module::{Cx, Decl, Env, Fault, InitError, Module, Str, Value, Var};

use self::path::{At, Path};
use crate::document::{Dialect, Node, Number, Style, significant};

/// The module. It keeps nothing.
pub struct Jansson;

impl Module for Jansson {
    const NAME: &'static str = "jansson";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        getters(d);
        d.func(
            "jansson_set",
            ["type", "path", "value", "document"],
            |_: &Jansson, cx: &mut Cx, kind: Str, path: Str, value: Str, document: Var| {
                change(cx, &document, |root| set(root, &path, typed(&kind, &value)?))
            },
            "Puts a value at a path of the document in a variable; objects on the way are made. Types: integer, real, \
             string, object, array, true, false, null, and short forms.",
        )
        .example("jansson_set(\"string\", \"caller.name\", \"$fU\", \"$var(doc)\");");
        d.func(
            "jansson_append",
            ["type", "path", "value", "document"],
            |_: &Jansson, cx: &mut Cx, kind: Str, path: Str, value: Str, document: Var| {
                change(cx, &document, |root| append(root, &path, typed(&kind, &value)?))
            },
            "Adds a value to the array at a path, or the members of an object to the object there.",
        );
        d.func(
            "jansson_xdecode",
            ["document", "xavp"],
            |_: &Jansson, cx: &mut Cx, text: Str, name: Str| xavp::decode(cx, &text, name),
            "Adds an xavp with the members of the object, or one for each object of the array.",
        );
        d.func(
            "jansson_xencode",
            ["xavp", "result"],
            |_: &Jansson, cx: &mut Cx, name: Str, result: Var| xavp::encode(cx, &name, &result),
            "Writes the fields of an xavp as an object.",
        );
    }

    fn init((): (), _: &mut Env<'_>) -> Result<Jansson, InitError> {
        Ok(Jansson)
    }
}

fn getters(d: &mut Decl<Jansson>) {
    d.func(
        "jansson_get",
        ["path", "document", "result"],
        |_: &Jansson, cx: &mut Cx, path: Str, text: Str, result: Var| get(cx, &path, &text, &result),
        "Copies what is at a path (a.b[0].c) of a document; false where nothing is there.",
    )
    .kemi(3, "get")
    .example("if (jansson_get(\"user.name\", \"$rb\", \"$var(name)\")) { return; }");
    d.func(
        "jansson_pv_get",
        ["path", "document", "result"],
        |_: &Jansson, cx: &mut Cx, path: Str, document: Var, result: Var| {
            let text = document.get(cx).str_or_empty();
            get(cx, &path, &text, &result)
        },
        "As jansson_get(), with the document in a variable.",
    );
    d.func(
        "jansson_get_field",
        ["document", "name", "result"],
        |_: &Jansson, cx: &mut Cx, text: Str, name: Str, result: Var| {
            let document = read(&text)?;
            Ok::<_, Fault>(document.member(&name).is_some_and(|node| give(cx, node, &result)))
        },
        "Copies the member of that name, dots and all, of an object.",
    );
    d.func(
        "jansson_array_size",
        ["path", "document", "result"],
        |_: &Jansson, cx: &mut Cx, path: Str, text: Str, result: Var| {
            let document = read(&text)?;
            let Some(Node::Array(items)) = Path(&path).find(&document) else {
                return Ok::<_, Fault>(false);
            };
            let size = i64::try_from(items.len()).unwrap_or(i64::MAX);
            Ok(give(cx, &Node::int(size), &result))
        },
        "How many items the array at a path has.",
    );
}

fn read(text: &[u8]) -> Result<Node, Fault> {
    Node::read(text, Dialect::Strict)
        .map_err(|error| Fault::peer(format!("the JSON document cannot be read: {error}")))
}

fn get(cx: &mut Cx, path: &Str, text: &Str, result: &Var) -> Result<bool, Fault> {
    let document = read(text)?;
    Ok(Path(path)
        .find(&document)
        .is_some_and(|node| give(cx, node, result)))
}

/// What a script sees of a value: texts and numbers as such, true and false as 1 and 0, the rest as a document.
fn value(node: &Node) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(yes) => Value::Int(i64::from(*yes)),
        Node::Number(Number::Int(n)) => match i64::try_from(*n) {
            Ok(n) => Value::Int(n),
            Err(_) => Value::from(n.to_string()),
        },
        Node::Number(Number::Real(n, _)) => Value::from(significant(*n, 15)),
        Node::Text(text) => Value::Str(text.clone()),
        Node::Array(_) | Node::Object(_) => Value::Str(node.text(Style::Compact)),
    }
}

/// A variable that refuses the value stays as it is, as in Kamailio.
fn give(cx: &mut Cx, node: &Node, result: &Var) -> bool {
    if let Err(fault) = result.set(cx, value(node)) {
        kahea_module::debug!("jansson", "{} keeps its value: {fault}", result.text());
    }
    true
}

/// The value that a type and a text name.
fn typed(kind: &[u8], text: &Str) -> Result<Node, Fault> {
    let wrong = |what: &str| Fault::script(format!("'{text}' is no {what}"));
    let words = text.text();
    Ok(match kind {
        b"true" => Node::Bool(true),
        b"false" => Node::Bool(false),
        b"null" => Node::Null,
        b"string" | b"str" => match text.as_utf8() {
            Some(_) => Node::Text(text.clone()),
            None => return Err(wrong("UTF-8")),
        },
        b"integer" | b"int" => Node::Number(Number::Int(integer(&words).ok_or_else(|| wrong("integer"))?)),
        b"real" => {
            let n: f64 = words.trim().parse().map_err(|_| wrong("real number"))?;
            match n.is_finite() {
                true => Node::Number(Number::Real(n, None)),
                false => return Err(wrong("real number of this size")),
            }
        }
        b"object" | b"obj" | b"array" => {
            let node = read(text)?;
            let is_array = matches!(node, Node::Array(_));
            if is_array != (kind == b"array") {
                return Err(wrong(if is_array { "object" } else { "array" }));
            }
            node
        }
        _ => {
            let kind = String::from_utf8_lossy(kind);
            return Err(Fault::script(format!(
                "there is no JSON type '{kind}': write integer, real, string, object, array, true, false or null"
            )));
        }
    })
}

/// As C reads it: blanks before it do not count, and what is too large is the largest.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim_start();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let end = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(text.parse::<i64>().unwrap_or(end).into())
}

fn change(
    cx: &mut Cx,
    document: &Var,
    change: impl FnOnce(&mut Node) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    let text = document.get(cx).str_or_empty();
    let mut root = read(&text)?;
    change(&mut root)?;
    let text = root.text(Style::Compact);
    cx.spend_bytes(text.len())?;
    document.set(cx, Value::Str(text))?;
    Ok(true)
}

fn nowhere(path: &[u8]) -> Fault {
    Fault::script(format!(
        "the document has no place '{}'",
        String::from_utf8_lossy(path)
    ))
}

fn set(root: &mut Node, path: &[u8], new: Node) -> Result<(), Fault> {
    match Path(path).place(root, true) {
        Some(At::Node(node)) => *node = new,
        Some(At::New(members, name)) => {
            members.insert(Str::copy(name), new);
        }
        Some(At::Root(_)) | None => return Err(nowhere(path)),
    }
    Ok(())
}

fn append(root: &mut Node, path: &[u8], new: Node) -> Result<(), Fault> {
    // An item of an array is replaced, as Kamailio does.
    if path.ends_with(b"]") {
        return set(root, path, new);
    }
    let found = match Path(path).place(root, false) {
        Some(At::Root(node) | At::Node(node)) => node,
        Some(At::New(..)) | None => return Err(nowhere(path)),
    };
    match (found, new) {
        (Node::Array(items), new) => items.push(new),
        (Node::Object(members), Node::Object(more)) => members.extend(more),
        _ => {
            return Err(Fault::script(
                "values are appended to arrays, and the members of objects to objects",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(text: &str, run: impl FnOnce(&mut Node) -> Result<(), Fault>) -> Option<String> {
        let mut root = read(text.as_bytes()).expect("a document");
        run(&mut root).ok()?;
        Some(root.text(Style::Compact).text().into_owned())
    }

    fn one(kind: &str, text: &str) -> Node {
        typed(kind.as_bytes(), &Str::from(text)).expect("a value")
    }

    #[test]
    fn values_are_put_at_places() {
        let put = |text, path: &str| changed(text, |root| set(root, path.as_bytes(), Node::int(7)));
        assert_eq!(put("{}", "a.b.c"), Some("{\"a\":{\"b\":{\"c\":7}}}".into()));
        assert_eq!(put("{\"l\":[1,2]}", "l[1]"), Some("{\"l\":[1,7]}".into()));
        for (text, path) in [
            ("{\"l\":[1,2]}", "l[2]"),
            ("{}", ""),
            ("{\"b\":2}", "b.c"),
            ("{}", "l[0]"),
        ] {
            assert_eq!(put(text, path), None, "{text} {path}");
        }
    }

    #[test]
    fn arrays_and_objects_take_more() {
        let add = |text, path: &str, node| changed(text, |root| append(root, path.as_bytes(), node));
        assert_eq!(add("[]", "", Node::int(1)), Some("[1]".into()));
        let more = one("obj", "{\"a\":1,\"b\":100}");
        let merged = "{\"b\":100,\"c\":3,\"a\":1}";
        assert_eq!(add("{\"b\":2,\"c\":3}", "", more), Some(merged.into()));
        assert_eq!(add("{\"b\":2}", "", Node::int(1)), None);
        assert_eq!(add("{\"b\":2}", "none", Node::int(1)), None);
        assert_eq!(add("[[1]]", "[0]", Node::int(2)), Some("[2]".into()));
    }

    #[test]
    fn types_are_checked() {
        assert_eq!(one("int", " 5"), Node::int(5));
        assert_eq!(one("integer", "9223372036854775808"), Node::int(i64::MAX));
        assert_eq!(one("real", "2").text(Style::Compact), Str::from("2.0"));
        for (kind, text) in [
            ("int", "12abc"),
            ("int", ""),
            ("real", "abc"),
            ("real", "1e400"),
            ("obj", "[1]"),
            ("array", "{}"),
            ("obj", "{"),
            ("strange", "1"),
        ] {
            assert!(typed(kind.as_bytes(), &Str::from(text)).is_err(), "{kind} {text}");
        }
        assert!(typed(b"str", &Str::copy(b"\xff")).is_err());
    }
}
