//! The variables of a message as JSON: what `dbg_pv_dump()` logs and reports of `cfgt` hold.

use kahea_module::{Cx, Str, Value, avp::AvpName, xavp::XValue, xavp::Xavps};
use serde_json::{Map, Value as Json};

/// Variables without a value too.
pub const NULLS: i64 = 1;
/// `$avp()`.
pub const AVPS: i64 = 2;
/// `$var()`.
pub const SCRIPT: i64 = 4;
/// `$xavp()`.
pub const XAVPS: i64 = 8;
/// All other variables that the script names.
pub const OTHER: i64 = 16;
/// Everything.
pub const ALL: i64 = 32;

/// Reading these changes something.
const WITH_EFFECT: [&str; 2] = ["$shtinc(", "$shtdec("];

/// The variables that the mask asks for, by name.
pub fn variables(cx: &mut Cx, mask: i64) -> Json {
    let wants = |bit| mask & (bit | ALL) != 0;
    let mut out = Map::new();
    let mut named = cx.bind().variables();
    named.sort_by(|one, other| one.text().cmp(other.text()));
    for var in named {
        let text = var.text().text().into_owned();
        let bit = match text.as_str() {
            text if text.starts_with("$var(") => SCRIPT,
            text if text.starts_with("$avp(") || text.starts_with("$xavp(") => continue,
            text if WITH_EFFECT.iter().any(|start| text.starts_with(start)) => continue,
            _ => OTHER,
        };
        if !wants(bit) {
            continue;
        }
        match var.get(cx) {
            Value::Null if !wants(NULLS) => {}
            value => drop(out.insert(text, json(&value))),
        }
    }
    if wants(AVPS) {
        avps(cx, &mut out);
    }
    if wants(XAVPS) {
        xavps(&cx.xavps, &mut out);
    }
    Json::Object(out)
}

fn json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(n) => Json::from(*n),
        Value::Str(text) => Json::from(text.text()),
    }
}

fn avps(cx: &Cx, out: &mut Map<String, Json>) {
    for avp in cx.avps.iter() {
        let name = match &avp.name {
            AvpName::Int(n) => format!("$avp(i:{n})"),
            AvpName::Str(text) => format!("$avp({text})"),
        };
        push(out, name, json(&avp.value));
    }
}

/// Adds to the list of that name.
fn push(out: &mut Map<String, Json>, name: String, value: Json) {
    let list = out.entry(name).or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(list) = list {
        list.push(value);
    }
}

fn xavps(all: &Xavps, out: &mut Map<String, Json>) {
    for xavp in all.iter() {
        push(out, format!("$xavp({})", xavp.name), xvalue(&xavp.value));
    }
}

fn xvalue(value: &XValue) -> Json {
    match value {
        XValue::List(fields) => {
            let mut out = Map::new();
            for field in fields.iter() {
                push(&mut out, field.name.text().into_owned(), xvalue(&field.value));
            }
            Json::Object(out)
        }
        plain => json(&plain.value()),
    }
}

/// A JSON text as Kamailio's reports are laid out: tabs, a member to a line, arrays in one line.
pub fn laid_out(value: &Json) -> String {
    let mut out = String::new();
    lay_out(value, 0, &mut out);
    out
}

fn lay_out(value: &Json, depth: usize, out: &mut String) {
    match value {
        Json::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                lay_out(item, depth.saturating_add(1), out);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push_str("{\n");
            for (at, (name, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push_str(",\n");
                }
                out.extend(std::iter::repeat_n('\t', depth.saturating_add(1)));
                out.push_str(&Json::from(name.as_str()).to_string());
                out.push_str(":\t");
                lay_out(value, depth.saturating_add(1), out);
            }
            if !members.is_empty() {
                out.push('\n');
            }
            out.extend(std::iter::repeat_n('\t', depth));
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// A text as a JSON string; bytes that are no UTF-8 are replaced.
pub fn string(text: &Str) -> Json {
    Json::from(text.text())
}

#[cfg(test)]
mod tests {
    use kahea_module::{avp::AvpClass, testing::Server};

    use super::*;

    #[test]
    fn lists_keep_their_order_and_masks_choose() {
        let mut cx = Server::default().invite();
        for n in [2, 3] {
            cx.avps
                .add(AvpClass::FromUser, AvpName::Str(Str::from("more")), Value::Int(n));
        }
        cx.avps
            .add(AvpClass::FromUser, AvpName::Int(7), Value::from("seven"));
        let mut fields = Xavps::new();
        fields.add(Str::from("a"), XValue::Int(1));
        fields.add(Str::from("a"), XValue::Int(2));
        cx.xavps.add(Str::from("x"), XValue::List(fields));
        let text = |cx: &mut Cx, mask| variables(cx, mask).to_string();
        assert_eq!(
            text(&mut cx, AVPS),
            r#"{"$avp(i:7)":["seven"],"$avp(more)":[3,2]}"#
        );
        assert_eq!(text(&mut cx, XAVPS), r#"{"$xavp(x)":[{"a":[2,1]}]}"#);
        assert_eq!(text(&mut cx, 0), "{}");
        assert!(text(&mut cx, ALL).contains("$xavp(x)"));
    }

    #[test]
    fn the_layout_is_that_of_kamailio() {
        let value: Json = serde_json::from_str(r#"{"flow":[{"start|X":{"$var(a)":1,"$avp(l)":["two",1]}},{}],"sip_in":["a\r\n\"b\""],"sip_out":[]}"#)
            .expect("JSON");
        let wanted = "{\n\t\"flow\":\t[{\n\t\t\t\"start|X\":\t{\n\t\t\t\t\"$var(a)\":\t1,\n\t\t\t\t\"$avp(l)\":\t[\"two\", 1]\n\t\t\t}\n\t\t}, {\n\t\t}],\n\t\"sip_in\":\t[\"a\\r\\n\\\"b\\\"\"],\n\t\"sip_out\":\t[]\n}";
        assert_eq!(laid_out(&value), wanted);
    }
}
