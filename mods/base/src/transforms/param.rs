//! `{param.…}`: lists such as `a=1;b="two";c`.

use std::sync::Arc;

use kahea_module::{
    Bind, BindError, Cx, Decl, Module, Str, TransformArg, TransformKind, Value, transform::BoundTransform,
};

use super::{
    args::{self, Number},
    text::{length, position},
    with_text,
};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    let named = &["name", "delimiter"];
    let indexed = &["index", "delimiter"];
    d.transform(
        "param",
        "value",
        named,
        TransformKind::Raw(|raw, bind| by_name(raw, bind, value_of)),
        "The value of the last parameter of that name, unquoted; empty where there is none.",
    );
    d.transform(
        "param",
        "in",
        named,
        TransformKind::Raw(|raw, bind| by_name(raw, bind, contains)),
        "1 where a parameter of that name is in the list, else 0.",
    );
    d.transform(
        "param",
        "valueat",
        indexed,
        TransformKind::Raw(|raw, bind| by_index(raw, bind, |p| p.value)),
        "The value of the parameter at a position, from 0; negative counts from the end.",
    );
    d.transform(
        "param",
        "name",
        indexed,
        TransformKind::Raw(|raw, bind| by_index(raw, bind, |p| p.name)),
        "The name of the parameter at a position, from 0; negative counts from the end.",
    );
    d.transform(
        "param",
        "count",
        &["delimiter"],
        TransformKind::Raw(count_bind),
        "How many parameters there are.",
    );
}

struct Param<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

fn delimiter_of(raw: Option<&str>) -> Result<u8, BindError> {
    match raw.map(|raw| (raw, raw.as_bytes())) {
        None | Some(("", _)) => Ok(b';'),
        Some((_, [c])) if *c != b',' => Ok(*c),
        Some((raw, _)) => match raw.trim().as_bytes() {
            [c] if *c != b',' => Ok(*c),
            _ => Err(BindError::new(format!("'{raw}' cannot divide parameters"))
                .help("write one character that is no comma")),
        },
    }
}

fn by_name(
    raw: &str,
    bind: &dyn Bind,
    read: fn(&Str, &[Param<'_>], &[u8]) -> Value,
) -> Result<BoundTransform, BindError> {
    let (name, delimiter) = args::split_first(raw);
    let (name, delimiter) = (args::text_arg(name, bind)?, delimiter_of(delimiter)?);
    if matches!(&name, TransformArg::Text(text) if text.is_empty()) {
        return Err(BindError::new("the name of the parameter is missing"));
    }
    Ok(Arc::new(move |cx: &mut Cx, value| {
        let Some(name) = name.value(cx).str() else {
            return Value::Null;
        };
        with_text(&value, |text| {
            parse(text, delimiter).map_or(Value::Null, |params| read(text, &params, &name))
        })
    }))
}

fn by_index(
    raw: &str,
    bind: &dyn Bind,
    part: for<'a> fn(&Param<'a>) -> &'a [u8],
) -> Result<BoundTransform, BindError> {
    let (index, delimiter) = args::split_first(raw);
    let (index, delimiter) = (Number::parse(index, bind)?, delimiter_of(delimiter)?);
    Ok(Arc::new(move |cx: &mut Cx, value| {
        let Some(index) = index.get(cx) else {
            return Value::Null;
        };
        with_text(&value, |text| {
            let Some(params) = parse(text, delimiter) else {
                return Value::Null;
            };
            let param = position(index, params.len()).and_then(|at| params.get(at));
            Value::Str(param.map(|param| text.share(part(param))).unwrap_or_default())
        })
    }))
}

fn count_bind(raw: &str, _: &dyn Bind) -> Result<BoundTransform, BindError> {
    let delimiter = delimiter_of(Some(raw))?;
    Ok(Arc::new(move |_, value| {
        with_text(&value, |text| {
            parse(text, delimiter).map_or(Value::Null, |params| length(params.len()))
        })
    }))
}

fn value_of(text: &Str, params: &[Param<'_>], name: &[u8]) -> Value {
    let param = params.iter().rfind(|param| param.name.eq_ignore_ascii_case(name));
    Value::Str(param.map(|param| text.share(param.value)).unwrap_or_default())
}

fn contains(_: &Str, params: &[Param<'_>], name: &[u8]) -> Value {
    params
        .iter()
        .any(|param| param.name.eq_ignore_ascii_case(name))
        .into()
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|b| is_space(**b)).count();
    text.get(blanks..).unwrap_or_default()
}

/// Up to the first byte that `stops`, and from there on.
fn until(text: &[u8], stops: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| stops(*b)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, b""))
}

/// The list up to its end or a comma; `None` for the empty text and for what is no such list.
fn parse(text: &[u8], delimiter: u8) -> Option<Vec<Param<'_>>> {
    let mut out = Vec::new();
    let mut rest = trim_start(text);
    if text.is_empty() || rest == [delimiter] {
        return None;
    }
    loop {
        let (param, after) = one(rest, delimiter)?;
        out.push(param);
        let after = trim_start(after);
        match after {
            [] | [b',', ..] => return Some(out),
            [b, behind @ ..] if *b == delimiter => {
                if behind.is_empty() {
                    return Some(out);
                }
                rest = trim_start(behind);
                if rest.is_empty() {
                    return None;
                }
            }
            _ => return None,
        }
    }
}

/// One parameter and what follows it.
fn one(text: &[u8], delimiter: u8) -> Option<(Param<'_>, &[u8])> {
    let ends_name = |b: u8| is_space(b) || matches!(b, b'=' | b',') || b == delimiter;
    let (name, rest) = until(text, ends_name);
    let Some(value) = trim_start(rest).strip_prefix(b"=") else {
        return Some((Param { name, value: b"" }, rest));
    };
    let value = trim_start(value);
    let (value, rest) = match value {
        [quote @ (b'"' | b'\''), inner @ ..] => {
            let (value, rest) = until(inner, |b| b == *quote);
            (value, rest.get(1..)?)
        }
        _ => {
            let (value, rest) = until(value, |b| is_space(b) || b == b',' || b == delimiter);
            if value.is_empty() {
                return None;
            }
            (value, rest)
        }
    };
    Some((Param { name, value }, rest))
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, refused, text};

    const LIST: &str = "a=1;b=\"two words\";flag;c=x%20y; d = 4 ";

    #[test]
    fn values_are_found_by_name_and_place() {
        assert_eq!(text(LIST, "param.value,b"), "two words");
        assert_eq!(text(LIST, "param.value, A"), "1");
        assert_eq!(text(LIST, "param.value,d"), "4");
        assert_eq!(text(LIST, "param.value,none"), "");
        assert_eq!(text(LIST, "param.valueat,-2"), "x%20y");
        assert_eq!(text(LIST, "param.valueat,9"), "");
        assert_eq!(text(LIST, "param.name,2"), "flag");
        assert_eq!(apply(LIST, "param.in,flag"), Value::Int(1));
        assert_eq!(apply(LIST, "param.in,none"), Value::Int(0));
        assert_eq!(apply(LIST, "param.count"), Value::Int(5));
    }

    #[test]
    fn other_delimiters_divide() {
        assert_eq!(text("a=1&b=2&c", "param.value,b,&"), "2");
        assert_eq!(apply("a=1&b=2&c", "param.count,&"), Value::Int(3));
        assert_eq!(text("a=1;b=2&c=3", "param.value,a,&"), "1;b=2");
        assert!(refused("param.value,b,ab").contains("cannot divide"));
    }

    #[test]
    fn odd_lists_are_read_as_kamailio_reads_them() {
        assert_eq!(apply("a=1;;b=2;", "param.count"), Value::Int(3));
        assert_eq!(text("a=1;a=2", "param.value,a"), "2");
        assert_eq!(text("b='z;w'; d=e=f", "param.value,b"), "z;w");
        assert_eq!(text("b='z;w'; d=e=f", "param.value,d"), "e=f");
        assert_eq!(text("Hello, World", "param.name,0"), "Hello");
        assert_eq!(apply("  ", "param.count"), Value::Int(1));
        for broken in ["", ";", "a=;b=2", "a=1 x;b", "a=\"open;b=2", "a=1; ", "a b"] {
            assert_eq!(apply(broken, "param.count"), Value::Null, "{broken}");
        }
    }
}
