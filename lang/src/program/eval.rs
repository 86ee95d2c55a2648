//! Expressions without calls, and the conversions that Kamailio makes between numbers and texts.
//!
//! Rules, as the reference shows them: the left operand's type decides; `$null` takes the type of the other side
//! (0 or the empty text); a text that is no number counts as 0; a condition is true when its number is above 0.

use std::net::IpAddr;

use kahea_module::{Cx, Fault, Regex, Value, Var, value::parse_int};

/// An operator on values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `.`
    Concat,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `mod`
    Mod,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `==`
    Equal,
    /// `!=`
    Differ,
    /// `eq`
    StrEqual,
    /// `ne`
    StrDiffer,
    /// `ieq`
    IntEqual,
    /// `ine`
    IntDiffer,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `=~`
    Match,
    /// `and`, both sides evaluated already
    And,
    /// `or`, both sides evaluated already
    Or,
    /// `!`
    Not,
    /// `-`
    Neg,
    /// `~`
    BitNot,
    /// `(int)`
    ToInt,
    /// `(str)`
    ToStr,
    /// `strlen()`
    StrLen,
    /// `strempty()`
    StrEmpty,
    /// `defined`
    Defined,
}

/// An expression without calls.
pub enum Pure {
    /// A constant.
    Const(Value),
    /// A variable, a select or an old keyword.
    Var(Var),
    /// An operator before its operand.
    Unary(Operator, Box<Pure>),
    /// An operator between its operands.
    Binary(Operator, Box<Pure>, Box<Pure>),
    /// `=~` with a constant pattern.
    Matches(Box<Pure>, Regex),
    /// `and`, `or` with the right side only where needed.
    Logic {
        /// `and`; otherwise `or`.
        and: bool,
        /// The left side.
        left: Box<Pure>,
        /// The right side.
        right: Box<Pure>,
    },
    /// `selval(condition, a, b)`
    Choose(Box<[Pure; 3]>),
    /// A test on the message that is no value: `src_ip==10.0.0.0/8`, `uri==myself`.
    Test(Test),
}

/// A test that looks at the message by itself.
pub enum Test {
    /// An address against a network.
    InNet {
        /// Reads the address.
        read: fn(&Cx) -> Option<IpAddr>,
        /// The network.
        net: IpAddr,
        /// Bits of it.
        prefix: u8,
        /// `!=`
        negate: bool,
    },
    /// Anything else.
    Custom(Box<dyn Fn(&mut Cx) -> bool + Send + Sync>),
}

impl Test {
    fn holds(&self, cx: &mut Cx) -> bool {
        match self {
            Test::InNet {
                read,
                net,
                prefix,
                negate,
            } => read(cx).is_some_and(|ip| in_net(ip, *net, *prefix)) != *negate,
            Test::Custom(test) => test(cx),
        }
    }
}

/// The address lies in the network. An IPv4-mapped IPv6 address counts as its IPv4 address.
pub fn in_net(ip: IpAddr, net: IpAddr, prefix: u8) -> bool {
    match (ip.to_canonical(), net.to_canonical()) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => {
            let shift = 32u32.saturating_sub(prefix.into());
            u32::from(ip).checked_shr(shift).unwrap_or(0) == u32::from(net).checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) => {
            let shift = 128u32.saturating_sub(prefix.into());
            u128::from(ip).checked_shr(shift).unwrap_or(0) == u128::from(net).checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

impl Pure {
    /// Its value now.
    ///
    /// # Errors
    /// A division by zero, an invalid pattern.
    pub fn value(&self, cx: &mut Cx) -> Result<Value, Fault> {
        Ok(match self {
            Pure::Const(value) => value.clone(),
            Pure::Var(var) => var.get(cx),
            Pure::Unary(op, operand) => unary(*op, &operand.value(cx)?),
            Pure::Binary(op, left, right) => {
                let left = left.value(cx)?;
                let right = right.value(cx)?;
                binary(*op, &left, &right, cx)?
            }
            Pure::Matches(..) | Pure::Logic { .. } | Pure::Test(_) => Value::from(self.truth(cx)?),
            Pure::Choose(parts) => {
                let [condition, yes, no] = &**parts;
                if condition.truth(cx)? {
                    yes.value(cx)?
                } else {
                    no.value(cx)?
                }
            }
        })
    }

    /// Whether it is true now.
    ///
    /// # Errors
    /// As [`Pure::value`].
    pub fn truth(&self, cx: &mut Cx) -> Result<bool, Fault> {
        match self {
            Pure::Matches(left, regex) => Ok(regex.is_match(&left.value(cx)?.str_or_empty())),
            Pure::Logic { and, left, right } => {
                let left = left.truth(cx)?;
                if left == *and { right.truth(cx) } else { Ok(left) }
            }
            Pure::Test(test) => Ok(test.holds(cx)),
            Pure::Binary(op, left, right) if op.compares() => {
                let left = left.value(cx)?;
                let right = right.value(cx)?;
                compare(*op, &left, &right, cx)
            }
            other => Ok(is_true(&other.value(cx)?)),
        }
    }
}

impl Operator {
    /// Yields a truth.
    pub const fn compares(self) -> bool {
        use Operator::*;
        matches!(
            self,
            Equal
                | Differ
                | StrEqual
                | StrDiffer
                | IntEqual
                | IntDiffer
                | Less
                | LessEqual
                | Greater
                | GreaterEqual
                | Match
        )
    }
}

/// A condition holds when its number is above 0.
pub fn is_true(value: &Value) -> bool {
    to_int(value) > 0
}

/// As a number: `$null` and texts that are none are 0.
pub fn to_int(value: &Value) -> i64 {
    match value {
        Value::Null => 0,
        Value::Int(n) => *n,
        Value::Str(text) => parse_int(text).unwrap_or(0),
    }
}

/// An operator with one operand.
pub fn unary(op: Operator, value: &Value) -> Value {
    match op {
        Operator::Not => Value::from(!is_true(value)),
        Operator::Neg => Value::Int(to_int(value).wrapping_neg()),
        Operator::BitNot => Value::Int(!to_int(value)),
        Operator::ToStr => Value::Str(value.str_or_empty()),
        Operator::StrLen => Value::Int(i64::try_from(value.str_or_empty().len()).unwrap_or(i64::MAX)),
        Operator::StrEmpty => Value::from(value.str_or_empty().is_empty()),
        Operator::Defined => Value::from(!value.is_null()),
        _ => Value::Int(to_int(value)),
    }
}

/// An operator with two operands.
///
/// # Errors
/// A division by zero, an invalid pattern.
pub fn binary(op: Operator, left: &Value, right: &Value, cx: &mut Cx) -> Result<Value, Fault> {
    use Operator::*;
    if op.compares() {
        return compare(op, left, right, cx).map(Value::from);
    }
    if op == Concat || (op == Add && joins(left, right)) {
        return concat(left, right, cx);
    }
    let (a, b) = (to_int(left), to_int(right));
    let by_zero = || Fault::script("division by zero");
    let shift = u32::try_from(b).ok();
    Ok(Value::Int(match op {
        Add => a.wrapping_add(b),
        Sub => a.wrapping_sub(b),
        Mul => a.wrapping_mul(b),
        Div if b == 0 => return Err(by_zero()),
        Div => a.wrapping_div(b),
        Mod if b == 0 => return Err(by_zero()),
        Mod => a.wrapping_rem(b),
        BitAnd => a & b,
        BitOr => a | b,
        BitXor => a ^ b,
        ShiftLeft => shift.and_then(|by| a.checked_shl(by)).unwrap_or(0),
        ShiftRight => shift.and_then(|by| a.checked_shr(by)).unwrap_or(0),
        And => i64::from(a > 0 && b > 0),
        Or => i64::from(a > 0 || b > 0),
        _ => 0,
    }))
}

/// `+` joins texts where the left side is one, or is `$null` and the right side is one.
fn joins(left: &Value, right: &Value) -> bool {
    match left {
        Value::Str(_) => true,
        Value::Int(_) => false,
        Value::Null => !matches!(right, Value::Int(_)),
    }
}

fn concat(left: &Value, right: &Value, cx: &mut Cx) -> Result<Value, Fault> {
    let mut out = Vec::with_capacity(64);
    left.push_to(&mut out);
    right.push_to(&mut out);
    cx.spend_bytes(out.len())?;
    Ok(Value::from(out))
}

fn compare(op: Operator, left: &Value, right: &Value, cx: &mut Cx) -> Result<bool, Fault> {
    use Operator::*;
    Ok(match op {
        Equal => equal(left, right),
        Differ => !equal(left, right),
        StrEqual => str_equal(left, right),
        StrDiffer => !str_equal(left, right),
        IntEqual => to_int(left) == to_int(right),
        IntDiffer => to_int(left) != to_int(right),
        Less => to_int(left) < to_int(right),
        LessEqual => to_int(left) <= to_int(right),
        Greater => to_int(left) > to_int(right),
        GreaterEqual => to_int(left) >= to_int(right),
        _ if right.is_null() => false,
        _ => cx.regex(&right.str_or_empty())?.is_match(&left.str_or_empty()),
    })
}

/// `==`: a value never equals `$null` on the right, and `$null` on the left is 0 or the empty text.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (_, Value::Null) => false,
        (Value::Null, Value::Int(b)) => *b == 0,
        (Value::Null, Value::Str(b)) => b.is_empty(),
        (Value::Int(a), b) => b.int() == Some(*a),
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Str(a), Value::Int(b)) => *a == kahea_module::value::int_text(*b),
    }
}

/// `eq`: as texts.
fn str_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Null, Value::Null) => true,
        (_, Value::Null) => false,
        (a, b) => a.str_or_empty() == b.str_or_empty(),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn text(value: &'static str) -> Value {
        Value::from(value)
    }

    #[test]
    fn the_left_operand_decides() {
        let mut cx = Server::default().invite();
        let mut add = |a: Value, b: Value| binary(Operator::Add, &a, &b, &mut cx).unwrap();
        assert_eq!(add(text("5"), Value::Int(3)), text("53"));
        assert_eq!(add(Value::Int(3), text("5")), Value::Int(8));
        assert_eq!(add(Value::Null, Value::Int(3)), Value::Int(3));
        assert_eq!(add(Value::Null, text("x")), text("x"));
        assert_eq!(add(text("x"), Value::Null), text("x"));
    }

    #[test]
    fn null_equals_zero_and_the_empty_text() {
        assert!(equal(&Value::Null, &Value::Int(0)) && equal(&Value::Null, &text("")));
        assert!(!equal(&text(""), &Value::Null) && !equal(&Value::Int(0), &text("")));
        assert!(equal(&Value::Int(3), &text("3")) && equal(&text("5"), &Value::Int(5)));
        assert!(!equal(&text("abc"), &text("ABC")));
    }

    #[test]
    fn conditions_want_more_than_zero() {
        assert!(is_true(&text("1")) && !is_true(&text("abc")) && !is_true(&Value::Int(-1)));
    }

    #[test]
    fn divisions_by_zero_are_faults_and_the_rest_wraps() {
        let mut cx = Server::default().invite();
        assert!(binary(Operator::Div, &Value::Int(1), &Value::Int(0), &mut cx).is_err());
        let min = binary(Operator::Div, &Value::Int(i64::MIN), &Value::Int(-1), &mut cx);
        assert_eq!(min, Ok(Value::Int(i64::MIN)));
    }

    #[test]
    fn networks_compare_by_prefix() {
        let ip = |t: &str| t.parse().unwrap();
        assert!(in_net(ip("10.1.2.3"), ip("10.0.0.0"), 8) && !in_net(ip("11.1.2.3"), ip("10.0.0.0"), 8));
        assert!(in_net(ip("1.2.3.4"), ip("9.9.9.9"), 0));
        assert!(in_net(ip("::ffff:10.0.0.1"), ip("10.0.0.1"), 32));
    }
}
