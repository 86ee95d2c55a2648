//! `avp_op()`: arithmetic on AVPs.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Lit, Value, arg::Literal};

use super::{
    Avpops,
    names::{AvpSpec, Letters, Operand, split},
    routes,
};

/// Declares the function.
pub fn declare(d: &mut Decl<Avpops>) {
    d.func(
        "avp_op",
        ["avps", "operation"],
        avp_op,
        "Works out every number of an AVP with a value: `source[/destination]`, `operator/value/flags`, operators add sub mul div mod and or xor not; flag d deletes the source.",
    )
    .routes(routes())
    .example("avp_op(\"$avp(x)/$avp(y)\", \"add/i:3\");");
}

/// `source[/destination]`.
struct Places {
    source: AvpSpec,
    target: Option<AvpSpec>,
}

impl Literal for Places {
    const WHAT: &'static str = "AVPs, $avp(source) or $avp(source)/$avp(destination)";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Places, BindError> {
        match split(text).as_slice() {
            [source] => Ok(Places {
                source: AvpSpec::parse(source, bind)?,
                target: None,
            }),
            [source, target] => Ok(Places {
                source: AvpSpec::parse(source, bind)?,
                target: Some(AvpSpec::parse(target, bind)?),
            }),
            _ => Err(BindError::new(format!("'{text}' are no AVPs"))),
        }
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    And,
    Or,
    Xor,
    Not,
}

struct Operation {
    operator: Operator,
    value: Operand,
    delete: bool,
}

impl Literal for Operation {
    const WHAT: &'static str = "an operation operator/value/flags, such as add/i:3";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Operation, BindError> {
        let wrong = || {
            BindError::new(format!("'{text}' is no operation"))
                .help("write operator/value or operator/value/flags, such as add/i:3")
        };
        let (operator, rest) = text.split_once('/').ok_or_else(wrong)?;
        let operator = match operator.trim().to_ascii_lowercase().as_str() {
            "add" => Operator::Add,
            "sub" => Operator::Sub,
            "mul" => Operator::Mul,
            "div" => Operator::Div,
            "mod" => Operator::Mod,
            "and" => Operator::And,
            "or" => Operator::Or,
            "xor" => Operator::Xor,
            "not" => Operator::Not,
            _ => return Err(wrong()),
        };
        let (value, flags) = match split(rest).as_slice() {
            [value] => (*value, ""),
            [value, flags] => (*value, *flags),
            _ => return Err(wrong()),
        };
        // Flag g is taken and has no effect: as in Kamailio every number of the source is worked on anyway.
        Ok(Operation {
            operator,
            value: Operand::parse(value, bind)?,
            delete: Letters::parse(flags, "gd")?.has(1),
        })
    }
}

impl Operator {
    /// Wraps where the result does not fit; a division by 0 gives 0.
    fn run(self, a: i64, b: i64) -> i64 {
        let quotient = |result: Option<i64>| {
            result.unwrap_or_else(|| {
                kahea_module::error!("avpops", "avp_op() divides {a} by {b}: the result is 0.");
                0
            })
        };
        match self {
            Operator::Add => a.wrapping_add(b),
            Operator::Sub => a.wrapping_sub(b),
            Operator::Mul => a.wrapping_mul(b),
            Operator::Div => quotient(a.checked_div(b)),
            Operator::Mod => quotient(a.checked_rem(b)),
            Operator::And => a & b,
            Operator::Or => a | b,
            Operator::Xor => a ^ b,
            Operator::Not => !b,
        }
    }
}

fn avp_op(m: &Avpops, cx: &mut Cx, places: Lit<Places>, operation: Lit<Operation>) -> Result<bool, Fault> {
    let source = places.source.resolve(m.aliases(cx), cx)?;
    let target = match &places.target {
        Some(target) => target.resolve(m.aliases(cx), cx)?,
        None => source.clone(),
    };
    let numbers: Vec<i64> = source
        .values(cx)
        .iter()
        .filter_map(|value| match value {
            Value::Int(n) => Some(*n),
            _ => None,
        })
        .collect();
    let right = operation.value.values(m.aliases(cx), cx)?;
    let (false, Some(Value::Int(right))) = (numbers.is_empty(), right.first()) else {
        return Ok(false);
    };
    if operation.delete {
        let named = source.clone();
        cx.avps
            .remove(|avp| named.matches(avp) && matches!(avp.value, Value::Int(_)));
    }
    for number in numbers {
        target.add(cx, Value::Int(operation.operator.run(number, *right)))?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avpops::names::CLASS;
    use kahea_module::{Arg, Str, avp::AvpName, testing::Server};

    fn op(places: &str, operation: &str) -> (bool, String, String) {
        let mut cx = Server::default().invite();
        let name = |name: &str| AvpName::Str(Str::from(name));
        for n in [5, 7, 12] {
            cx.avps.add(CLASS, name("n"), Value::Int(n));
        }
        cx.avps.add(CLASS, name("s"), Value::from("abc"));
        let text = |text: &str| Some(Value::Str(Str::from(text)));
        let places = Lit::from_value(text(places), &mut cx).unwrap();
        let operation = Lit::from_value(text(operation), &mut cx).unwrap();
        let done = avp_op(&Avpops::default(), &mut cx, places, operation).unwrap();
        let list = |n: &str| {
            let name = name(n);
            let all = cx.avps.all(CLASS, &name);
            all.map(|avp| avp.value.to_string()).collect::<Vec<_>>().join(" ")
        };
        (done, list("n"), list("r"))
    }

    #[test]
    fn results_come_before_what_was_there() {
        assert_eq!(op("$avp(n)", "add/i:3").1, "8 10 15 12 7 5");
        assert_eq!(op("$avp(n)", "sub/i:20/d").1, "-15 -13 -8");
        assert_eq!(
            op("$avp(n)/$avp(r)", "add/i:0x10/d"),
            (true, String::new(), "21 23 28".to_owned())
        );
    }

    #[test]
    fn every_operator_counts_as_kamailios() {
        for (operation, want) in [
            ("div/i:2", "2 3 6"),
            ("mod/i:3/g", "2 1 0"),
            ("div/i:0", "0 0 0"),
            ("and/i:6", "4 6 4"),
            ("or/i:9", "13 15 13"),
            ("xor/i:3", "6 4 15"),
            ("not/i:0", "-1 -1 -1"),
            ("mul/i:2", "10 14 24"),
        ] {
            assert_eq!(op("$avp(n)/$avp(r)", operation).2, want, "{operation}");
        }
    }

    #[test]
    fn texts_are_no_numbers() {
        assert!(!op("$avp(s)/$avp(r)", "add/i:1").0 && !op("$avp(none)", "add/i:1").0);
        assert!(!op("$avp(n)", "add/$avp(s)").0);
        assert_eq!(Operator::Div.run(i64::MIN, -1), 0);
    }
}
