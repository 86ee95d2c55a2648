//! Values of commands to and from JSON.

use std::collections::HashSet;

use kahea_module::{Str, rpc::RpcValue};
use serde_json::{Map, Number, Value as Json};

/// As JSON; bytes that are no UTF-8 become U+FFFD. Members of one name become an array under it.
pub fn to_json(value: &RpcValue) -> Json {
    match value {
        RpcValue::Null => Json::Null,
        RpcValue::Bool(yes) => Json::Bool(*yes),
        RpcValue::Int(n) => Json::from(*n),
        RpcValue::Double(n) => Number::from_f64(*n).map_or(Json::Null, Json::Number),
        RpcValue::Str(text) => Json::String(text.text().into_owned()),
        RpcValue::Struct(members) => object(members),
        RpcValue::Named(items) => Json::Array(
            items
                .iter()
                .map(|item| object(std::slice::from_ref(item)))
                .collect(),
        ),
        RpcValue::Array(items) => Json::Array(items.iter().map(to_json).collect()),
    }
}

fn object(members: &[(Str, RpcValue)]) -> Json {
    let mut out = Map::new();
    let mut repeated = HashSet::new();
    for (name, value) in members {
        let (key, json) = (name.text(), to_json(value));
        match out.get_mut(&*key) {
            None => {
                out.insert(key.into_owned(), json);
            }
            Some(Json::Array(list)) if repeated.contains(name) => list.push(json),
            Some(first) => {
                *first = Json::Array(vec![first.take(), json]);
                repeated.insert(name);
            }
        }
    }
    Json::Object(out)
}

/// From JSON; numbers beyond 64 bits become fractions.
pub fn from_json(value: &Json) -> RpcValue {
    match value {
        Json::Null => RpcValue::Null,
        Json::Bool(yes) => RpcValue::Bool(*yes),
        Json::Number(n) => match n.as_i64() {
            Some(n) => RpcValue::Int(n),
            None => RpcValue::Double(n.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => RpcValue::from(text.as_str()),
        Json::Array(items) => RpcValue::Array(items.iter().map(from_json).collect()),
        Json::Object(members) => RpcValue::Struct(
            members
                .iter()
                .map(|(name, value)| (Str::from(name.as_str()), from_json(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_there_and_back() {
        let text = r#"{"a":[1,-2.5,true,null],"b":{"c":"d"}}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(to_json(&from_json(&json)), json);
        assert_eq!(to_json(&from_json(&json)).to_string(), text);
    }

    #[test]
    fn members_of_one_name_become_an_array() {
        let member = |name: &str, value: RpcValue| (Str::from(name), value);
        let list = RpcValue::Array(vec![RpcValue::Int(1)]);
        let value = RpcValue::Struct(vec![
            member("s", list.clone()),
            member("t", list.clone()),
            member("s", RpcValue::Int(2)),
            member("s", list),
        ]);
        assert_eq!(to_json(&value).to_string(), r#"{"s":[[1],2,[1]],"t":[1]}"#);
    }
}
