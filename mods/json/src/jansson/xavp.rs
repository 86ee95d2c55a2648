//! Between objects and xavps: `jansson_xdecode()`, `jansson_xencode()`.

use indexmap::IndexMap;
use kahea_module::{
    Cx, Fault, Str, Value, Var,
    xavp::{XValue, Xavps},
};

use super::{read, value};
use crate::document::{Node, Number, Style};

/// The members of an object as one xavp, or of each object of an array.
pub fn decode(cx: &mut Cx, text: &Str, name: Str) -> Result<bool, Fault> {
    cx.spend_bytes(text.len())?;
    match read(text)? {
        Node::Object(members) => {
            let fields = fields(&cx.xavps, &members);
            cx.xavps.add(name, fields);
        }
        Node::Array(items) => {
            let objects: Option<Vec<_>> = items
                .iter()
                .map(|item| match item {
                    Node::Object(members) => Some(fields(&cx.xavps, members)),
                    _ => None,
                })
                .collect();
            // As in Kamailio an array of other things makes an xavp without fields.
            let objects = objects.unwrap_or_else(|| vec![XValue::List(cx.xavps.sibling())]);
            for object in objects {
                cx.xavps.add_last(name.clone(), object);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn fields(like: &Xavps, members: &IndexMap<Str, Node>) -> XValue {
    let mut fields = like.sibling();
    for (name, node) in members {
        fields.add(name.clone(), value(node).into());
    }
    XValue::List(fields)
}

/// The fields of an xavp as an object, the newest first.
pub fn encode(cx: &mut Cx, name: &Str, result: &Var) -> Result<bool, Fault> {
    let Some(XValue::List(fields)) = cx.xavps.get(name, 0).map(|xavp| &xavp.value) else {
        return Err(Fault::script(format!("there is no xavp {name} with fields")));
    };
    let mut members: IndexMap<Str, Node> = IndexMap::new();
    for field in fields.iter() {
        let node = match &field.value {
            XValue::Null => Node::Null,
            XValue::Int(n) => Node::Number(Number::Int((*n).into())),
            XValue::Str(text) if text.as_utf8().is_some() => Node::Text(text.clone()),
            XValue::Str(_) => {
                return Err(Fault::script(format!(
                    "$xavp({name}=>{}) is not UTF-8, which JSON texts are",
                    field.name
                )));
            }
            // Fields of fields have no form in it, as in Kamailio.
            XValue::List(_) => continue,
        };
        members.insert(field.name.clone(), node);
    }
    let text = Node::Object(members).text(Style::Plain);
    cx.spend_bytes(text.len())?;
    result.set(cx, Value::Str(text))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn members_become_fields() {
        let mut cx = Server::default().invite();
        let text = Str::from("{\"t\":true,\"r\":1.5,\"n\":null,\"o\":{\"x\":1}}");
        assert_eq!(decode(&mut cx, &text, Str::from("js")), Ok(true));
        let Some(XValue::List(fields)) = cx.xavps.get(b"js", 0).map(|xavp| &xavp.value) else {
            panic!("no xavp")
        };
        let of = |name: &str| fields.get(name.as_bytes(), 0).map(|field| field.value.clone());
        assert_eq!(of("t"), Some(XValue::Int(1)));
        assert_eq!(of("r"), Some(XValue::Str("1.5".into())));
        assert_eq!(of("n"), Some(XValue::Null));
        assert_eq!(of("o"), Some(XValue::Str("{\"x\":1}".into())));
    }

    #[test]
    fn arrays_keep_their_order() {
        let mut cx = Server::default().invite();
        let text = Str::from("[{\"i\":1},{\"i\":2}]");
        assert_eq!(decode(&mut cx, &text, Str::from("l")), Ok(true));
        let second = cx.xavps.get(b"l", 1).map(|xavp| xavp.value.clone());
        let Some(XValue::List(second)) = second else {
            panic!("no second xavp")
        };
        assert_eq!(
            second.get(b"i", 0).map(|field| field.value.clone()),
            Some(XValue::Int(2))
        );
        assert!(decode(&mut cx, &Str::from("{"), Str::from("l")).is_err());
    }
}
