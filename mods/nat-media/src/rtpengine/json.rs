//! An answer as JSON, in the two forms that Kamailio writes.

use super::bencode::Value;

/// Compact, or with a member on each line.
pub fn write(value: &Value, pretty: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    match pretty {
        true => write_pretty(value, 0, &mut out),
        false => write_compact(value, &mut out),
    }
    out
}

/// Bytes that are no UTF-8 become replacement characters: JSON has no others.
fn push_text(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    out.extend_from_slice(serde_json::Value::from(text.as_ref()).to_string().as_bytes());
}

fn write_compact(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Int(number) => kahea_module::value::push_int(*number, out),
        Value::Text(text) => push_text(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_compact(item, out);
            }
            out.push(b']');
        }
        Value::Dict(members) => {
            out.push(b'{');
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                push_text(key, out);
                out.push(b':');
                write_compact(value, out);
            }
            out.push(b'}');
        }
    }
}

fn tabs(count: usize, out: &mut Vec<u8>) {
    out.extend(std::iter::repeat_n(b'\t', count));
}

/// The elements of an array stand on one line, those of an object each on their own.
fn write_pretty(value: &Value, depth: usize, out: &mut Vec<u8>) {
    let deeper = depth.saturating_add(1);
    match value {
        Value::Int(_) | Value::Text(_) => write_compact(value, out),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                write_pretty(item, deeper, out);
            }
            out.push(b']');
        }
        Value::Dict(members) => {
            out.extend_from_slice(b"{\n");
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b",\n");
                }
                tabs(deeper, out);
                push_text(key, out);
                out.extend_from_slice(b":\t");
                write_pretty(value, deeper, out);
            }
            if !members.is_empty() {
                out.push(b'\n');
            }
            tabs(depth, out);
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::Str;

    use super::*;

    #[test]
    fn both_forms_are_kamailios() {
        let value = Value::parse(&Str::from("d1:ai1e1:bd1:cld1:d2:\"xeeee")).unwrap();
        let text = |pretty| String::from_utf8(write(&value, pretty)).unwrap();
        assert_eq!(text(false), r#"{"a":1,"b":{"c":[{"d":"\"x"}]}}"#);
        assert_eq!(
            text(true),
            "{\n\t\"a\":\t1,\n\t\"b\":\t{\n\t\t\"c\":\t[{\n\t\t\t\t\"d\":\t\"\\\"x\"\n\t\t\t}]\n\t}\n}"
        );
    }
}
