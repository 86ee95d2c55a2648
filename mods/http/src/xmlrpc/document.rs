//! Documents of XML-RPC: requests read, answers written in the form that Kamailio's clients know.

use kahea_module::{
    Str,
    rpc::{RpcFault, RpcValue},
};

use crate::xml::{self, Element, escape};

/// How texts are read and written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// CR is written as a reference.
    pub escape_cr: bool,
    /// Two LF are read as CR LF.
    pub double_lf: bool,
}

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its name.
    pub method: String,
    /// Its arguments.
    pub args: Vec<RpcValue>,
}

/// Reads a request.
///
/// # Errors
/// It is no document of XML, or none of XML-RPC; in one sentence.
pub fn read(body: &[u8], style: Style) -> Result<Request, String> {
    let root = xml::parse(body).map_err(|error| error.to_string())?;
    if root.name != "methodCall" {
        return Err(format!("the document is a {}", root.name));
    }
    let method = root.text_of("methodName").filter(|name| !name.is_empty());
    let method = method.ok_or("the name of the method is missing")?.to_owned();
    let params = root.child("params");
    let values = params.into_iter().flat_map(|params| params.all("param"));
    let args = values
        .map(|param| value(param.child("value").ok_or("a parameter has no value")?, style))
        .collect::<Result<_, String>>()?;
    Ok(Request { method, args })
}

/// What stands in a `value`: without a type it is a text.
fn value(element: &Element, style: Style) -> Result<RpcValue, String> {
    let Some(typed) = element.children.first() else {
        return Ok(text(&element.text, style));
    };
    let plain = typed.text.trim();
    Ok(match typed.name.as_str() {
        "string" => text(&typed.text, style),
        "i4" | "int" | "i8" => RpcValue::Int(plain.parse().map_err(|_| format!("{plain:?} is no number"))?),
        "boolean" => match plain {
            "0" | "false" => RpcValue::Int(0),
            "1" | "true" => RpcValue::Int(1),
            _ => return Err(format!("{plain:?} is neither true nor false")),
        },
        "double" => {
            let number: f64 = plain.parse().map_err(|_| format!("{plain:?} is no number"))?;
            RpcValue::Double(number)
        }
        "dateTime.iso8601" => RpcValue::from(plain),
        "base64" => RpcValue::Str(Str::from(
            base64(plain).ok_or("what is said to be base64 is none")?,
        )),
        "nil" => RpcValue::Null,
        "array" => {
            let data = typed.child("data").ok_or("an array has no data")?;
            RpcValue::Array(
                data.all("value")
                    .map(|one| value(one, style))
                    .collect::<Result<_, _>>()?,
            )
        }
        "struct" => RpcValue::Struct(
            typed
                .all("member")
                .map(|one| member(one, style))
                .collect::<Result<_, _>>()?,
        ),
        other => return Err(format!("{other} is no type")),
    })
}

fn member(element: &Element, style: Style) -> Result<(Str, RpcValue), String> {
    let name = element.text_of("name").ok_or("a member has no name")?;
    let own = element.child("value").ok_or("a member has no value")?;
    Ok((Str::from(name), value(own, style)?))
}

fn text(text: &str, style: Style) -> RpcValue {
    match style.double_lf {
        true => RpcValue::from(text.replace("\n\n", "\r\n")),
        false => RpcValue::from(text),
    }
}

/// RFC 4648 section 4; space in it does not count.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for byte in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let six = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        held = held.saturating_add(6);
        if held >= 8 {
            held = held.saturating_sub(8);
            out.push(u8::try_from(bits >> held & 0xff).unwrap_or(0));
        }
    }
    Some(out)
}

const BEGIN: &str = "<?xml version=\"1.0\"?>\n<methodResponse>\n";

/// The answer of a command: one value as it is, a list or several values as an array.
pub fn answer(values: &[RpcValue], list: bool, style: Style) -> Str {
    let mut out = format!("{BEGIN}<params>\n<param>\n<value>");
    match values {
        [] if !list => {}
        [one] if !list => {
            write(one, style, &mut out);
            out.push('\n');
        }
        many => {
            out.push_str("<array><data>\n");
            for one in many {
                out.push_str("<value>");
                write(one, style, &mut out);
                out.push_str("</value>\n");
            }
            out.push_str("</data></array>");
        }
    }
    out.push_str("</value>\n</param>\n</params>\n</methodResponse>");
    Str::from(out)
}

/// The answer of a command that failed.
pub fn fault(fault: &RpcFault, style: Style) -> Str {
    let mut out = format!(
        "{BEGIN}<fault>\n<value>\n<struct>\n<member>\n<name>faultCode</name>\n<value><int>{}</int></value>\n</member>\n\
         <member>\n<name>faultString</name>\n<value><string>",
        fault.code
    );
    escape(&fault.text.text(), style.escape_cr, &mut out);
    out.push_str("</string></value>\n</member>\n</struct>\n</value>\n</fault>\n</methodResponse>");
    Str::from(out)
}

fn write(value: &RpcValue, style: Style, out: &mut String) {
    match value {
        RpcValue::Null => {}
        RpcValue::Bool(yes) => out.push_str(if *yes {
            "<boolean>1</boolean>"
        } else {
            "<boolean>0</boolean>"
        }),
        // The number of XML-RPC has 32 bits; a larger one would break readers.
        RpcValue::Int(n) if i32::try_from(*n).is_err() => out.push_str(&format!("<double>{n}</double>")),
        RpcValue::Int(n) => out.push_str(&format!("<int>{n}</int>")),
        RpcValue::Double(n) => out.push_str(&format!("<double>{n:.6}</double>")),
        RpcValue::Str(text) => {
            out.push_str("<string>");
            escape(&text.text(), style.escape_cr, out);
            out.push_str("</string>");
        }
        RpcValue::Array(items) => {
            out.push_str("<array><data>");
            for item in items {
                out.push_str("<value>");
                write(item, style, out);
                out.push_str("</value>");
            }
            out.push_str("</data></array>");
        }
        RpcValue::Struct(members) | RpcValue::Named(members) => {
            out.push_str("<struct>");
            for (name, value) in members {
                out.push_str("<member><name>");
                escape(&name.text(), style.escape_cr, out);
                out.push_str("</name><value>");
                write(value, style, out);
                out.push_str("</value></member>");
            }
            out.push_str("</struct>");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(values: &str) -> String {
        format!(
            "<?xml version='1.0'?><methodCall><methodName> a.b </methodName><params>{values}</params></methodCall>"
        )
    }

    fn one(text: &str) -> Result<RpcValue, String> {
        let body = call(&format!("<param><value>{text}</value></param>"));
        read(body.as_bytes(), Style::default()).map(|mut request| request.args.remove(0))
    }

    #[test]
    fn every_type_is_read() {
        assert_eq!(one("plain"), Ok("plain".into()));
        assert_eq!(one("<string>a&amp;b &#65;</string>"), Ok("a&b A".into()));
        assert_eq!(one("<i4> -5 </i4>"), Ok(RpcValue::Int(-5)));
        assert_eq!(one("<boolean>1</boolean>"), Ok(RpcValue::Int(1)));
        assert_eq!(one("<double>1.5</double>"), Ok(RpcValue::Double(1.5)));
        assert_eq!(one("<base64>eW91\nIQ==</base64>"), Ok("you!".into()));
        assert_eq!(one("<nil/>"), Ok(RpcValue::Null));
        let list = "<array><data><value><int>1</int></value><value>x</value></data></array>";
        assert_eq!(one(list), Ok(RpcValue::Array(vec![RpcValue::Int(1), "x".into()])));
        let member = "<struct><member><name>n</name><value><i4>1</i4></value></member></struct>";
        assert_eq!(one(member), Ok(RpcValue::members([("n", RpcValue::Int(1))])));
        for wrong in [
            "<i4>abc</i4>",
            "<boolean>2</boolean>",
            "<odd/>",
            "<base64>*</base64>",
            "<array/>",
            "<double/>",
        ] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "",
            "<methodCall/>",
            "<other/>",
            "<methodCall><methodName/></methodCall>",
        ] {
            assert!(read(text.as_bytes(), Style::default()).is_err(), "{text}");
        }
        assert!(read(call("<param/>").as_bytes(), Style::default()).is_err());
        let none = read(
            b"<methodCall><methodName>a</methodName></methodCall>",
            Style::default(),
        );
        assert_eq!(none.map(|request| request.args), Ok(vec![]));
    }

    #[test]
    fn lines_are_read_and_written_as_asked() {
        let style = Style {
            escape_cr: true,
            double_lf: true,
        };
        let body = call("<param><value>a\n\nb</value></param>");
        let request = read(body.as_bytes(), style).expect("a request");
        assert_eq!(request.args, ["a\r\nb".into()]);
        let text = answer(&request.args, true, style);
        assert!(text.text().contains("<string>a&#xD;\nb</string>"), "{text}");
    }

    #[test]
    fn answers_have_kamailios_form() {
        let style = Style::default();
        let flat = answer(&[RpcValue::Int(2)], false, style);
        assert_eq!(
            flat.text(),
            "<?xml version=\"1.0\"?>\n<methodResponse>\n<params>\n<param>\n<value><int>2</int>\n</value>\n</param>\n\
             </params>\n</methodResponse>"
        );
        assert!(answer(&[], false, style).text().contains("<value></value>"));
        assert!(
            answer(&[], true, style)
                .text()
                .contains("<array><data>\n</data></array>")
        );
    }

    proptest! {
        #[test]
        fn no_body_does_harm(values in "[<>/a-z&;0-9 ]{0,200}") {
            let _ = read(call(&values).as_bytes(), Style::default());
            let _ = read(values.as_bytes(), Style::default());
        }
    }
}
