//! Arguments of transformations: read once at load, refused there where they cannot be right.

use std::sync::Arc;

use kahea_module::{
    Bind, BindError, Cx, Str, TransformArg, Value,
    transform::{BoundTransform, raw_arg},
};

use super::with_text;

/// A number, or a variable that holds one.
pub(super) enum Number {
    Fixed(i64),
    Var(TransformArg),
}

impl Number {
    pub(super) fn parse(raw: &str, bind: &dyn Bind) -> Result<Number, BindError> {
        let raw = raw.trim();
        if raw.starts_with('$') {
            return raw_arg(raw, bind).map(Number::Var);
        }
        let n = kahea_module::value::parse_int(raw.as_bytes());
        n.map(Number::Fixed).ok_or_else(|| {
            BindError::new(format!("'{raw}' is not a number"))
                .help("write a number, or a variable that holds one")
        })
    }

    /// `None` where the variable holds no number.
    pub(super) fn get(&self, cx: &mut Cx) -> Option<i64> {
        match self {
            Number::Fixed(n) => Some(*n),
            Number::Var(var) => var.value(cx).int(),
        }
    }
}

/// A text argument: blanks before it do not count.
pub(super) fn text_arg(raw: &str, bind: &dyn Bind) -> Result<TransformArg, BindError> {
    let trimmed = raw.trim_start_matches([' ', '\t']);
    raw_arg(if trimmed.is_empty() { raw } else { trimmed }, bind)
}

/// The first argument and what follows its comma; commas inside of a variable do not count.
pub(super) fn split_first(raw: &str) -> (&str, Option<&str>) {
    let is_variable = raw.trim_start().starts_with('$');
    let mut depth = 0_usize;
    for (at, c) in raw.char_indices() {
        match c {
            '(' | '{' if is_variable => depth = depth.saturating_add(1),
            ')' | '}' if is_variable => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return (raw.get(..at).unwrap_or(raw), raw.get(at.saturating_add(1)..)),
            _ => {}
        }
    }
    (raw, None)
}

/// The rest behind the first comma, or the error that an argument is missing.
pub(super) fn second<'a>(rest: Option<&'a str>, what: &str) -> Result<&'a str, BindError> {
    rest.ok_or_else(|| BindError::new(format!("the transformation needs a further argument: {what}")))
}

/// For one number.
pub(super) fn by_number(
    raw: &str,
    bind: &dyn Bind,
    run: fn(&Str, i64) -> Value,
) -> Result<BoundTransform, BindError> {
    let number = Number::parse(raw, bind)?;
    Ok(Arc::new(move |cx: &mut Cx, value| match number.get(cx) {
        Some(n) => with_text(&value, |text| run(text, n)),
        None => Value::Null,
    }))
}

/// For one number that may be left out.
pub(super) fn by_optional_number(
    raw: &str,
    bind: &dyn Bind,
    otherwise: i64,
    run: fn(&Str, i64) -> Value,
) -> Result<BoundTransform, BindError> {
    if raw.trim().is_empty() {
        return Ok(Arc::new(move |_, value| {
            with_text(&value, |text| run(text, otherwise))
        }));
    }
    by_number(raw, bind, run)
}

/// For two numbers.
pub(super) fn by_numbers(
    raw: &str,
    bind: &dyn Bind,
    run: fn(&Str, i64, i64) -> Value,
) -> Result<BoundTransform, BindError> {
    let (first, rest) = split_first(raw);
    let first = Number::parse(first, bind)?;
    let other = Number::parse(second(rest, "a number")?, bind)?;
    Ok(Arc::new(move |cx: &mut Cx, value| {
        match (first.get(cx), other.get(cx)) {
            (Some(a), Some(b)) => with_text(&value, |text| run(text, a, b)),
            _ => Value::Null,
        }
    }))
}

/// For one text that takes up all that stands there, commas too.
pub(super) fn by_text(
    raw: &str,
    bind: &dyn Bind,
    run: fn(&Str, &[u8]) -> Value,
) -> Result<BoundTransform, BindError> {
    match text_arg(raw, bind)? {
        TransformArg::Text(fixed) => Ok(Arc::new(move |_, value| {
            with_text(&value, |text| run(text, &fixed))
        })),
        TransformArg::Var(var) => Ok(Arc::new(move |cx: &mut Cx, value| {
            let argument = var.get(cx);
            if argument.is_null() {
                return Value::Null;
            }
            with_text(&value, |text| run(text, &argument.str_or_empty()))
        })),
    }
}

/// Two texts.
pub(super) fn by_texts(
    raw: &str,
    bind: &dyn Bind,
    run: fn(&Str, &[u8], &[u8]) -> Value,
) -> Result<BoundTransform, BindError> {
    let (first, rest) = split_first(raw);
    let first = text_arg(first, bind)?;
    let other = text_arg(second(rest, "a text")?, bind)?;
    Ok(Arc::new(move |cx: &mut Cx, value| {
        let (a, b) = (first.value(cx), other.value(cx));
        if a.is_null() || b.is_null() {
            return Value::Null;
        }
        with_text(&value, |text| run(text, &a.str_or_empty(), &b.str_or_empty()))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_inside_variables_do_not_divide() {
        assert_eq!(split_first("a,b,c"), ("a", Some("b,c")));
        assert_eq!(
            split_first("$(var(x){s.select,1,,}),b"),
            ("$(var(x){s.select,1,,})", Some("b"))
        );
        assert_eq!(split_first("(,b"), ("(", Some("b")));
        assert_eq!(split_first("a"), ("a", None));
    }
}
