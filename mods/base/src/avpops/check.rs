//! `is_avp_set()` and `avp_check()`.

use std::cmp::Ordering;

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Regex, Str, Value, arg::Literal, xavp::XValue};

use super::{
    Avpops,
    names::{AvpSpec, Letters, Operand, split},
    routes,
};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avpops>) {
    d.func(
        "is_avp_set",
        ["avp"],
        is_avp_set,
        "True where the AVP has a value; `/s` a text, `/n` a number, `/e` an empty text.",
    )
    .routes(routes())
    .example("is_avp_set(\"$avp(x)/s\");");
    d.func(
        "avp_check",
        ["variable", "test"],
        avp_check,
        "Compares a variable: `operator/value/flags`, operators eq ne lt le gt ge re fm and or xor, flag g for all values of an AVP, i to ignore case.",
    )
    .routes(routes())
    .kemi(2, "avp_check")
    .example("avp_check(\"$avp(x)\", \"eq/i:5/g\");");
}

/// `$avp(x)/flags`.
struct SetTest {
    avp: AvpSpec,
    flags: Letters,
}

impl Literal for SetTest {
    const WHAT: &'static str = "an AVP, $avp(name) or $avp(name)/flags with flags e, s, n";

    fn parse(text: &str, bind: &dyn Bind) -> Result<SetTest, BindError> {
        let parts = split(text);
        let (avp, flags) = match parts.as_slice() {
            [avp] => (*avp, ""),
            [avp, flags] => (*avp, *flags),
            _ => return Err(BindError::new(format!("'{text}' is no AVP with flags"))),
        };
        Ok(SetTest {
            avp: AvpSpec::parse(avp, bind)?,
            flags: Letters::parse(flags, "esn")?,
        })
    }
}

fn is_avp_set(m: &Avpops, cx: &mut Cx, test: Lit<SetTest>) -> Result<bool, Fault> {
    let values = test.avp.resolve(m.aliases(cx), cx)?.values(cx);
    let (empty, text, number) = (test.flags.has(0), test.flags.has(1), test.flags.has(2));
    Ok(values.iter().any(|value| match value {
        Value::Null => false,
        Value::Int(_) => (number || !text) && !empty,
        Value::Str(s) => (text || !number) && (!empty || s.is_empty()),
    }))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Regex,
    Glob,
    And,
    Or,
    Xor,
}

/// What stands on the left.
enum Left {
    Operand(Operand),
    /// `$xavp(root[i]=>field[*])`.
    Fields {
        root: Str,
        at: usize,
        field: Str,
    },
}

impl Literal for Left {
    const WHAT: &'static str = "a variable";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Left, BindError> {
        let text = text.trim();
        if !text.starts_with('$') {
            return Err(BindError::new(format!("'{text}' is no variable")).help("write $avp(name)"));
        }
        match fields(text) {
            Some(fields) => Ok(fields),
            None => Operand::parse(text, bind).map(Left::Operand),
        }
    }
}

/// Reads `$xavp(root[i]=>field[*])`.
fn fields(text: &str) -> Option<Left> {
    let inner = text.strip_prefix("$xavp(")?.strip_suffix("[*])")?;
    let (root, field) = inner.split_once("=>")?;
    let (root, at) = match root.split_once('[') {
        Some((root, at)) => (root, at.strip_suffix(']')?.parse().ok()?),
        None => (root, 0),
    };
    Some(Left::Fields {
        root: Str::from(root),
        at,
        field: Str::from(field),
    })
}

impl Left {
    fn values(&self, m: &Avpops, cx: &mut Cx) -> Result<Vec<Value>, Fault> {
        match self {
            Left::Operand(operand) => operand.values(m.aliases(cx), cx),
            Left::Fields { root, at, field } => Ok(match cx.xavps.get(root, *at).map(|xavp| &xavp.value) {
                Some(XValue::List(list)) => list.all(field).map(|xavp| xavp.value.value()).collect(),
                _ => Vec::new(),
            }),
        }
    }
}

/// `operator/value/flags`.
struct Test {
    operator: Operator,
    value: Operand,
    /// For [`Operator::Regex`] with a fixed value.
    regex: Option<Regex>,
    all: bool,
    ignore_case: bool,
}

impl Literal for Test {
    const WHAT: &'static str = "a test operator/value/flags, such as eq/i:5/g";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Test, BindError> {
        let wrong = || {
            BindError::new(format!("'{text}' is no test"))
                .help("write operator/value or operator/value/flags, such as eq/i:5/g")
        };
        let (operator, rest) = text.split_once('/').ok_or_else(wrong)?;
        let operator = match operator.trim().to_ascii_lowercase().as_str() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "re" => Operator::Regex,
            "fm" => Operator::Glob,
            "and" => Operator::And,
            "or" => Operator::Or,
            "xor" => Operator::Xor,
            _ => return Err(wrong()),
        };
        let (value, flags) = match split(rest).as_slice() {
            [value] => (*value, ""),
            [value, flags] => (*value, *flags),
            _ => return Err(wrong()),
        };
        let value = Operand::parse(value, bind)?;
        let flags = Letters::parse(flags, "gi")?;
        let regex = match (&value, operator) {
            (Operand::Value(Value::Str(pattern)), Operator::Regex) => {
                Some(Regex::new(pattern).map_err(|error| BindError::new(error.to_string()))?)
            }
            _ => None,
        };
        Ok(Test {
            operator,
            value,
            regex,
            all: flags.has(0),
            ignore_case: flags.has(1),
        })
    }
}

fn avp_check(m: &Avpops, cx: &mut Cx, left: Lit<Left>, test: Lit<Test>) -> Result<bool, Fault> {
    let mut left = left.values(m, cx)?;
    let mut right = test.value.values(m.aliases(cx), cx)?;
    if !test.all {
        left.truncate(1);
        right.truncate(1);
    }
    for a in &left {
        for b in &right {
            if holds(cx, &test, a, b)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn holds(cx: &Cx, test: &Test, left: &Value, right: &Value) -> Result<bool, Fault> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Ok(numbers(test.operator, *a, *b)),
        (Value::Str(a), Value::Str(b)) => texts(cx, test, a, b),
        _ => {
            kahea_module::error!(
                "avpops",
                "avp_check() compares a number with a text: '{left}', '{right}'."
            );
            Ok(false)
        }
    }
}

fn numbers(operator: Operator, a: i64, b: i64) -> bool {
    match operator {
        Operator::And => a & b != 0,
        Operator::Or => a | b != 0,
        Operator::Xor => a ^ b != 0,
        Operator::Regex | Operator::Glob => false,
        operator => ordered(operator, a.cmp(&b)),
    }
}

fn ordered(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        _ => false,
    }
}

fn texts(cx: &Cx, test: &Test, a: &Str, b: &Str) -> Result<bool, Fault> {
    Ok(match test.operator {
        Operator::Regex => match &test.regex {
            Some(regex) => regex.is_match(a),
            None => cx.regex(b)?.is_match(a),
        },
        Operator::Glob => glob(b, a),
        Operator::And | Operator::Or | Operator::Xor => false,
        operator if test.ignore_case => {
            ordered(operator, a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()))
        }
        operator => ordered(operator, a.cmp(b)),
    })
}

/// A shell pattern (fnmatch): `*`, `?`, `[a-z]`, `[!a]`, `\` before a character. Linear in the product of both lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where to go on when a match fails: behind the last star, with one character more eaten by it.
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = p {
            back = Some((rest, t));
            p = rest;
            continue;
        }
        match (one(p, t), t) {
            (Some(rest), [_, more @ ..]) => (p, t) = (rest, more),
            (_, []) if p.is_empty() => return true,
            _ => match back {
                Some((after, [_, more @ ..])) => {
                    back = Some((after, more));
                    (p, t) = (after, more);
                }
                _ => return false,
            },
        }
    }
}

/// The pattern behind its first element, where that fits the first character of the text.
fn one<'p>(pattern: &'p [u8], text: &[u8]) -> Option<&'p [u8]> {
    let c = *text.first()?;
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => set(rest, c),
        [b'\\', escaped, rest @ ..] => (*escaped == c).then_some(rest),
        [plain, rest @ ..] => (*plain == c).then_some(rest),
        [] => None,
    }
}

/// The pattern behind `]`, where the set before it holds the character.
fn set(pattern: &[u8], c: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'!' | b'^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let (mut found, mut first) = (false, true);
    loop {
        rest = match rest {
            [b']', after @ ..] if !first => return (found != negated).then_some(after),
            [low, b'-', high, after @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&c);
                after
            }
            [member, after @ ..] => {
                found |= *member == c;
                after
            }
            [] => return None,
        };
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avpops::names::CLASS;
    use kahea_module::{avp::AvpName, testing::Server};

    fn cx() -> Cx {
        let mut cx = Server::default().invite();
        for (name, value) in [
            ("n", Value::Int(5)),
            ("n", Value::Int(12)),
            ("s", Value::from("alice@example.org")),
            ("s", Value::from("Bob")),
            ("e", Value::EMPTY),
        ] {
            cx.avps.add(CLASS, AvpName::Str(Str::from(name)), value);
        }
        cx
    }

    fn lit<T: Literal>(cx: &mut Cx, text: &str) -> Lit<T> {
        use kahea_module::Arg;
        Lit::from_value(Some(Value::Str(Str::from(text))), cx).unwrap()
    }

    fn check(left: &str, test: &str) -> bool {
        let mut cx = cx();
        let (left, test) = (lit(&mut cx, left), lit(&mut cx, test));
        avp_check(&Avpops::default(), &mut cx, left, test).unwrap()
    }

    #[test]
    fn avps_are_set_by_kind() {
        let mut cx = cx();
        let mut is = |text: &str| {
            let test = lit(&mut cx, text);
            is_avp_set(&Avpops::default(), &mut cx, test).unwrap()
        };
        for yes in [
            "$avp(n)",
            "$avp(n)/n",
            "$avp(s)/s",
            "$avp(e)/e",
            "$avp(e)/s",
            "$avp(e)",
        ] {
            assert!(is(yes), "{yes}");
        }
        for no in ["$avp(none)", "$avp(n)/s", "$avp(s)/n", "$avp(n)/e"] {
            assert!(!is(no), "{no}");
        }
    }

    #[test]
    fn numbers_and_texts_compare() {
        for test in [
            "eq/i:12", "eq/i:5/g", "lt/i:13", "le/i:12", "gt/i:11", "eq/i:0xc", "and/i:4", "lt/i:6/g",
        ] {
            assert!(check("$avp(n)", test), "{test}");
        }
        for test in [
            "eq/i:5",
            "ne/i:12",
            "lt/i:12",
            "gt/i:12/g",
            "and/i:1",
            "xor/i:12",
            "eq/s:12",
            "re/^1",
        ] {
            assert!(!check("$avp(n)", test), "{test}");
        }
        for test in [
            "eq/s:Bob",
            "eq/bob/i",
            "re/.*@example.org/g",
            "re/^bob",
            "fm/B*",
            "fm/*@ex?mple.*/g",
            "lt/Cob",
        ] {
            assert!(check("$avp(s)", test), "{test}");
        }
        for test in [
            "eq/bob",
            "re/.*@example.org",
            "fm/b*",
            "fm/b*/i",
            "gt/Cob",
            "eq/i:5",
            "eq/$avp(none)",
        ] {
            assert!(!check("$avp(s)", test), "{test}");
        }
        assert!(check("$avp(n)", "eq/$avp(n)") && !check("$avp(none)", "eq/i:1"));
    }

    #[test]
    fn shell_patterns() {
        for (pattern, text) in [
            ("*", ""),
            ("a*c", "abbc"),
            ("[a-c]?", "bx"),
            ("[!a]", "b"),
            ("\\*", "*"),
            ("*a*b", "xaab"),
        ] {
            assert!(glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a*c", "abb"), ("[a", "a"), ("?", "")] {
            assert!(!glob(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
