//! Expressions: to a pure tree where no function is called in them, else to steps on the stack.

use std::sync::Arc;

use kahea_diag::{Diagnostic, Span, codes};
use kahea_module::{BindError, Regex, Str, Value, Var};

use super::{Body, keyword};
use crate::{
    ast::{BinaryOp, CastType, Expr, ExprKind, Intrinsic, Keyword, Select, SelectPart, UnaryOp},
    program::{Op, Operator, Pure, Test},
};

/// What is known of an expression's type before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Int,
    Str,
    Unknown,
}

impl Body<'_> {
    /// The pure tree of an expression; `None` where it has a call in it or is malformed.
    pub(super) fn pure(&mut self, expr: &Expr) -> Option<Pure> {
        if has_call(expr) {
            return None;
        }
        self.pure_tree(expr)
    }

    fn pure_tree(&mut self, expr: &Expr) -> Option<Pure> {
        Some(match &expr.kind {
            ExprKind::Int(n) => Pure::Const(Value::Int(*n)),
            ExprKind::Str(text) => Pure::Const(Value::Str(text.value.clone())),
            ExprKind::Name(name) | ExprKind::Proto(name) => Pure::Const(Value::from(name.to_string())),
            ExprKind::Ip(ip) => Pure::Const(Value::from(ip.to_string())),
            ExprKind::Family(family) => Pure::Const(Value::Int((*family).into())),
            ExprKind::Net { address, prefix } => Pure::Const(Value::from(format!("{address}/{prefix}"))),
            ExprKind::Keyword(word) => Pure::Var(keyword::variable(*word)),
            ExprKind::Pv(pv) => {
                self.usage.read(pv);
                Pure::Var(self.bound(expr.span, |binder| binder.pv(pv))?)
            }
            ExprKind::Select(select) => Pure::Var(self.select(select)?),
            ExprKind::Myself => {
                let problem =
                    Diagnostic::error(codes::TYPE_MISMATCH, expr.span, "myself can only be compared");
                self.report(problem.help("write uri==myself, or another field == myself"));
                return None;
            }
            ExprKind::Unary(UnaryOp::Plus, operand) => self.pure_tree(operand)?,
            ExprKind::Unary(op, operand) => {
                Pure::Unary(unary_operator(*op), Box::new(self.pure_tree(operand)?))
            }
            ExprKind::Cast(to, operand) => {
                Pure::Unary(cast_operator(*to), Box::new(self.pure_tree(operand)?))
            }
            ExprKind::Intrinsic(which, operands) => self.intrinsic(*which, operands)?,
            ExprKind::Binary { op, left, right, .. } => self.binary(*op, left, right, expr.span)?,
            ExprKind::Call(_) | ExprKind::Assign(..) | ExprKind::Error => return None,
        })
    }

    fn intrinsic(&mut self, which: Intrinsic, operands: &[Expr]) -> Option<Pure> {
        let op = match which {
            Intrinsic::StrLen => Operator::StrLen,
            Intrinsic::StrEmpty => Operator::StrEmpty,
            Intrinsic::Defined => Operator::Defined,
            Intrinsic::SelVal => {
                let [condition, yes, no] = operands else {
                    return None;
                };
                let parts = [
                    self.pure_tree(condition)?,
                    self.pure_tree(yes)?,
                    self.pure_tree(no)?,
                ];
                return Some(Pure::Choose(Box::new(parts)));
            }
        };
        let operand = operands.first()?;
        Some(Pure::Unary(op, Box::new(self.pure_tree(operand)?)))
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) -> Option<Pure> {
        if let Some(test) = self.message_test(op, left, right) {
            return Some(test);
        }
        self.check_types(op, left, right, span);
        let (a, b) = (self.pure_tree(left), self.pure_tree(right));
        let (a, b) = (a?, b?);
        Some(match (op, b) {
            (BinaryOp::And | BinaryOp::Or, b) => Pure::Logic {
                and: op == BinaryOp::And,
                left: Box::new(a),
                right: Box::new(b),
            },
            (BinaryOp::Match, Pure::Const(pattern)) => {
                Pure::Matches(Box::new(a), self.regex(&pattern, right.span)?)
            }
            (op, b) => Pure::Binary(operator(op), Box::new(a), Box::new(b)),
        })
    }

    fn regex(&mut self, pattern: &Value, span: Span) -> Option<Regex> {
        self.bound(span, |_| {
            Regex::new(&pattern.str_or_empty()).map_err(|error| BindError::new(error.to_string()))
        })
    }

    /// Comparisons of old keywords that are no comparison of values.
    fn message_test(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Option<Pure> {
        let negate = match op {
            BinaryOp::Equal => false,
            BinaryOp::Differ => true,
            _ => return None,
        };
        let (left, right) = if matches!(left.kind, ExprKind::Myself) {
            (right, left)
        } else {
            (left, right)
        };
        match (&left.kind, &right.kind) {
            (ExprKind::Keyword(word), ExprKind::Myself) => {
                let word = *word;
                Some(custom(move |cx| keyword::is_myself(word, cx) != negate))
            }
            (_, ExprKind::Myself) => {
                let value = self.pure_tree(left)?;
                Some(custom(move |cx| {
                    value
                        .value(cx)
                        .is_ok_and(|value| keyword::value_is_myself(&value, cx))
                        != negate
                }))
            }
            (ExprKind::Keyword(word), ExprKind::Ip(ip)) => network(*word, *ip, 128, negate),
            (ExprKind::Keyword(word), ExprKind::Net { address, prefix }) => {
                network(*word, *address, *prefix, negate)
            }
            (ExprKind::Keyword(word), ExprKind::Str(text)) if keyword::address(*word).is_some() => {
                let (ip, prefix) = parse_network(&text.value.text())?;
                network(*word, ip, prefix, negate)
            }
            (ExprKind::Keyword(word), ExprKind::Str(_)) if keyword::is_number(*word) => {
                let problem = Diagnostic::warning(
                    codes::CONSTANT_CONDITION,
                    right.span,
                    "a number never equals a string",
                );
                self.report(problem.label("a string").help("write the number without quotes"));
                Some(custom(move |_| negate))
            }
            (
                ExprKind::Keyword(word @ (Keyword::Proto | Keyword::SndProto)),
                ExprKind::Proto(name) | ExprKind::Name(name),
            ) => {
                let (var, name) = (keyword::variable(*word), name.clone());
                Some(custom(move |cx| {
                    keyword::same_transport(&var.get(cx), &name) != negate
                }))
            }
            _ => None,
        }
    }

    /// Constants of a type that the operator cannot take, as Kamailio's parser refuses them.
    fn check_types(&mut self, op: BinaryOp, left: &Expr, right: &Expr, span: Span) {
        let (a, b) = (type_of(left), type_of(right));
        let wants_int = |expr: &Expr| matches!(expr.kind, ExprKind::Str(_));
        let wrong = match op {
            BinaryOp::Add | BinaryOp::Equal | BinaryOp::Differ => {
                (a == Type::Int && wants_int(right)).then_some(right)
            }
            BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::BitAnd
            | BinaryOp::BitOr
            | BinaryOp::BitXor
            | BinaryOp::ShiftLeft
            | BinaryOp::ShiftRight
            | BinaryOp::Less
            | BinaryOp::LessEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterEqual => [left, right].into_iter().find(|expr| wants_int(expr)),
            _ => None,
        };
        if let Some(expr) = wrong {
            let problem = Diagnostic::error(
                codes::TYPE_MISMATCH,
                expr.span,
                "a number is needed here, not a string",
            );
            self.report(
                problem
                    .label("a string")
                    .help("write (int) before it, or turn the operands round"),
            );
        } else if matches!(op, BinaryOp::Div | BinaryOp::Mod) && matches!(right.kind, ExprKind::Int(0)) {
            self.report(
                Diagnostic::warning(codes::DIVISION_BY_ZERO, span, "division by zero").label("always fails"),
            );
        } else if is_constant(left) && is_constant(right) && operator(op).compares() && b != Type::Unknown {
            let problem = Diagnostic::warning(codes::CONSTANT_CONDITION, span, "both sides are constant");
            self.report(problem.label("always has the same value"));
        }
    }

    fn select(&mut self, select: &Select) -> Option<Var> {
        let mut text = String::from("@");
        for (at, part) in select.parts.iter().enumerate() {
            match part {
                SelectPart::Name(name) if at == 0 => text.push_str(&name.text),
                SelectPart::Name(name) if is_word(&name.text) => {
                    text.push('.');
                    text.push_str(&name.text);
                }
                SelectPart::Name(name) => text.push_str(&format!("[\"{}\"]", name.text)),
                SelectPart::Index(n, _) => text.push_str(&format!("[{n}]")),
                SelectPart::Any(_) => text.push_str("[%]"),
            }
        }
        let name = text.strip_prefix('@').unwrap_or(&text).to_owned();
        self.bound(select.span, |binder| {
            kahea_module::Bind::var(binder, &format!("$sel({name})"))
        })
    }

    /// Steps that leave the expression's value on the stack.
    pub(super) fn push(&mut self, expr: &Expr) {
        if !has_call(expr) {
            if let Some(pure) = self.pure_tree(expr) {
                let id = self.add_expr(pure);
                self.emit(Op::Push(id), expr.span);
            }
            return;
        }
        match &expr.kind {
            ExprKind::Call(call) => {
                self.call(call);
                self.emit(Op::PushAcc, expr.span);
            }
            ExprKind::Binary {
                op: BinaryOp::And | BinaryOp::Or,
                ..
            }
            | ExprKind::Unary(UnaryOp::Not, _) => {
                self.test(expr);
                self.emit(Op::PushAcc, expr.span);
            }
            ExprKind::Binary { op, left, right, .. } => {
                self.check_types(*op, left, right, expr.span);
                self.push_operand(left);
                self.push_operand(right);
                self.emit(Op::Binary(operator(*op)), expr.span);
            }
            ExprKind::Unary(op, operand) => {
                self.push_operand(operand);
                self.emit(Op::Unary(unary_operator(*op)), expr.span);
            }
            ExprKind::Cast(to, operand) => {
                self.push_operand(operand);
                self.emit(Op::Unary(cast_operator(*to)), expr.span);
            }
            ExprKind::Intrinsic(which, operands) => self.push_intrinsic(*which, operands, expr.span),
            ExprKind::Assign(target, value) => {
                self.assign(target, value, expr.span);
                self.emit(Op::PushAcc, expr.span);
            }
            _ => {}
        }
    }

    /// An operand inside a larger expression: a call counts as its truth there (1 or 0), as in Kamailio.
    pub(super) fn push_operand(&mut self, expr: &Expr) {
        if let ExprKind::Call(call) = &expr.kind {
            self.call(call);
            self.emit(Op::Truth, expr.span);
            self.emit(Op::PushAcc, expr.span);
        } else {
            self.push(expr);
        }
    }

    fn push_intrinsic(&mut self, which: Intrinsic, operands: &[Expr], span: Span) {
        let op = match which {
            Intrinsic::StrLen => Operator::StrLen,
            Intrinsic::StrEmpty => Operator::StrEmpty,
            Intrinsic::Defined => Operator::Defined,
            Intrinsic::SelVal => {
                let [condition, yes, no] = operands else { return };
                self.test(condition);
                let to_no = self.emit(Op::JumpFalse(0), span);
                self.push(yes);
                let to_end = self.emit(Op::Jump(0), span);
                self.land(to_no);
                self.push(no);
                self.land(to_end);
                return;
            }
        };
        if let Some(operand) = operands.first() {
            self.push_operand(operand);
            self.emit(Op::Unary(op), span);
        }
    }

    /// Steps that leave the expression's truth in the accumulator.
    pub(super) fn test(&mut self, expr: &Expr) {
        if !has_call(expr) {
            if let Some(pure) = self.pure_tree(expr) {
                let id = self.add_expr(pure);
                self.emit(Op::Test(id), expr.span);
            }
            return;
        }
        match &expr.kind {
            // A call alone: the code itself, so that $rc has it; jumps ask whether it is above 0.
            ExprKind::Call(call) => self.call(call),
            ExprKind::Unary(UnaryOp::Not, operand) => {
                self.test(operand);
                self.emit(Op::Not, expr.span);
            }
            ExprKind::Binary {
                op: op @ (BinaryOp::And | BinaryOp::Or),
                left,
                right,
                ..
            } => {
                self.test(left);
                let jump = if *op == BinaryOp::And {
                    Op::JumpFalse(0)
                } else {
                    Op::JumpTrue(0)
                };
                let over = self.emit(jump, expr.span);
                self.test(right);
                self.land(over);
                self.emit(Op::Truth, expr.span);
            }
            ExprKind::Assign(target, value) => self.assign(target, value, expr.span),
            _ => {
                self.push(expr);
                self.emit(Op::PopTest, expr.span);
            }
        }
    }
}

fn custom(test: impl Fn(&mut kahea_module::Cx) -> bool + Send + Sync + 'static) -> Pure {
    Pure::Test(Test::Custom(Box::new(test)))
}

fn network(word: Keyword, net: std::net::IpAddr, prefix: u8, negate: bool) -> Option<Pure> {
    let read = keyword::address(word)?;
    let prefix = if net.is_ipv4() {
        prefix.min(32)
    } else {
        prefix.min(128)
    };
    Some(Pure::Test(Test::InNet {
        read,
        net,
        prefix,
        negate,
    }))
}

fn parse_network(text: &str) -> Option<(std::net::IpAddr, u8)> {
    let (ip, prefix) = text.split_once('/').unwrap_or((text, "128"));
    Some((ip.trim_matches(['[', ']']).parse().ok()?, prefix.parse().ok()?))
}

/// A function or route is called somewhere in it.
pub(super) fn has_call(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Call(_) | ExprKind::Assign(..) => true,
        ExprKind::Unary(_, operand) | ExprKind::Cast(_, operand) => has_call(operand),
        ExprKind::Binary { left, right, .. } => has_call(left) || has_call(right),
        ExprKind::Intrinsic(_, operands) => operands.iter().any(has_call),
        _ => false,
    }
}

/// Has the same value at all times.
pub(super) fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Str(_) | ExprKind::Name(_) | ExprKind::Proto(_) | ExprKind::Ip(_) => {
            true
        }
        ExprKind::Unary(_, operand) | ExprKind::Cast(_, operand) => is_constant(operand),
        ExprKind::Binary { left, right, .. } => is_constant(left) && is_constant(right),
        _ => false,
    }
}

fn type_of(expr: &Expr) -> Type {
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Family(_) | ExprKind::Unary(..) | ExprKind::Cast(CastType::Int, _) => {
            Type::Int
        }
        ExprKind::Str(_) | ExprKind::Cast(CastType::Str, _) => Type::Str,
        ExprKind::Binary {
            op: BinaryOp::Add,
            left,
            ..
        } => type_of(left),
        ExprKind::Binary {
            op: BinaryOp::Concat, ..
        } => Type::Str,
        ExprKind::Binary { .. } => Type::Int,
        ExprKind::Intrinsic(Intrinsic::StrLen | Intrinsic::StrEmpty | Intrinsic::Defined, _) => Type::Int,
        _ => Type::Unknown,
    }
}

fn unary_operator(op: UnaryOp) -> Operator {
    match op {
        UnaryOp::Not => Operator::Not,
        UnaryOp::Neg => Operator::Neg,
        UnaryOp::BitNot => Operator::BitNot,
        UnaryOp::Plus => Operator::ToInt,
    }
}

fn cast_operator(to: CastType) -> Operator {
    match to {
        CastType::Int => Operator::ToInt,
        CastType::Str => Operator::ToStr,
    }
}

fn operator(op: BinaryOp) -> Operator {
    match op {
        BinaryOp::Or => Operator::Or,
        BinaryOp::And => Operator::And,
        BinaryOp::BitOr => Operator::BitOr,
        BinaryOp::BitAnd => Operator::BitAnd,
        BinaryOp::BitXor => Operator::BitXor,
        BinaryOp::ShiftLeft => Operator::ShiftLeft,
        BinaryOp::ShiftRight => Operator::ShiftRight,
        BinaryOp::Equal => Operator::Equal,
        BinaryOp::Differ => Operator::Differ,
        BinaryOp::StrEqual => Operator::StrEqual,
        BinaryOp::StrDiffer => Operator::StrDiffer,
        BinaryOp::IntEqual => Operator::IntEqual,
        BinaryOp::IntDiffer => Operator::IntDiffer,
        BinaryOp::Match => Operator::Match,
        BinaryOp::Less => Operator::Less,
        BinaryOp::LessEqual => Operator::LessEqual,
        BinaryOp::Greater => Operator::Greater,
        BinaryOp::GreaterEqual => Operator::GreaterEqual,
        BinaryOp::Add => Operator::Add,
        BinaryOp::Sub => Operator::Sub,
        BinaryOp::Mul => Operator::Mul,
        BinaryOp::Div => Operator::Div,
        BinaryOp::Mod => Operator::Mod,
        BinaryOp::Concat => Operator::Concat,
    }
}

/// An expression as the argument of a function.
pub(super) fn as_argument(pure: Pure) -> Arc<dyn Fn(&mut kahea_module::Cx) -> Value + Send + Sync> {
    Arc::new(move |cx| pure.value(cx).unwrap_or(Value::Null))
}

/// A constant's text, for arguments.
pub(super) fn constant_text(expr: &Expr) -> Option<Str> {
    match &expr.kind {
        ExprKind::Str(text) => Some(text.value.clone()),
        ExprKind::Name(name) | ExprKind::Proto(name) => Some(Str::from(&**name)),
        ExprKind::Ip(ip) => Some(Str::from(ip.to_string())),
        ExprKind::Binary {
            op: BinaryOp::Add | BinaryOp::Concat,
            left,
            right,
            ..
        } => Some(Str::from(
            [&*constant_text(left)?, &*constant_text(right)?].concat(),
        )),
        _ => None,
    }
}

/// Can stand in a select without brackets and quotes.
fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
