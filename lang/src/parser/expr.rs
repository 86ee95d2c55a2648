//! Expressions, by precedence climbing.

use std::net::IpAddr;

use kahea_diag::{Diagnostic, Span, codes};

use super::{Failed, MAX_CHAIN, Parser, Result, address::transport, truth_word};
use crate::{
    ast::{
        Arg, ArgKind, AssignTarget, BinaryOp, Call, CastType, Expr, ExprKind, Ident, Intrinsic, Keyword,
        Select, SelectPart, Text, UnaryOp,
    },
    lexer::Tok,
};

/// How tightly an operator binds; all are left-associative.
const EQUALITY: u8 = 8;
const UNARY: u8 = 12;

fn binary_op(kind: &Tok) -> Option<(BinaryOp, u8)> {
    let op = match kind {
        Tok::Punct(text) => *text,
        Tok::Ident(word) => word.as_ref(),
        _ => return None,
    };
    Some(match op {
        "||" | "or" => (BinaryOp::Or, 1),
        "&&" | "and" => (BinaryOp::And, 2),
        "|" => (BinaryOp::BitOr, 3),
        "&" => (BinaryOp::BitAnd, 4),
        "^" => (BinaryOp::BitXor, 5),
        "<<" => (BinaryOp::ShiftLeft, 6),
        ">>" => (BinaryOp::ShiftRight, 7),
        "==" => (BinaryOp::Equal, EQUALITY),
        "!=" => (BinaryOp::Differ, EQUALITY),
        "=~" => (BinaryOp::Match, EQUALITY),
        "eq" => (BinaryOp::StrEqual, EQUALITY),
        "ne" => (BinaryOp::StrDiffer, EQUALITY),
        "ieq" => (BinaryOp::IntEqual, EQUALITY),
        "ine" => (BinaryOp::IntDiffer, EQUALITY),
        "<" => (BinaryOp::Less, 9),
        "<=" => (BinaryOp::LessEqual, 9),
        ">" => (BinaryOp::Greater, 9),
        ">=" => (BinaryOp::GreaterEqual, 9),
        "+" => (BinaryOp::Add, 10),
        "-" => (BinaryOp::Sub, 10),
        "*" => (BinaryOp::Mul, 11),
        "/" => (BinaryOp::Div, 11),
        "mod" => (BinaryOp::Mod, 11),
        "." => (BinaryOp::Concat, 15),
        _ => return None,
    })
}

fn keyword(word: &str) -> Option<Keyword> {
    Some(match word {
        "method" => Keyword::Method,
        "uri" => Keyword::Uri,
        "status" => Keyword::Status,
        "from_uri" => Keyword::FromUri,
        "to_uri" => Keyword::ToUri,
        "src_ip" => Keyword::SrcIp,
        "src_port" => Keyword::SrcPort,
        "dst_ip" => Keyword::DstIp,
        "dst_port" => Keyword::DstPort,
        "snd_ip" => Keyword::SndIp,
        "to_ip" => Keyword::ToIp,
        "snd_port" => Keyword::SndPort,
        "to_port" => Keyword::ToPort,
        "snd_proto" | "to_proto" => Keyword::SndProto,
        "snd_af" | "to_af" => Keyword::SndAf,
        "proto" => Keyword::Proto,
        "af" => Keyword::Af,
        "max_len" => Keyword::MaxLen,
        _ => return None,
    })
}

/// Actions of the core whose arguments are addresses.
const ADDRESS_ACTIONS: &[&str] = &[
    "forward",
    "forward_udp",
    "forward_tcp",
    "forward_tls",
    "forward_sctp",
    "force_send_socket",
    "set_advertised_address",
];

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr> {
        self.nested(|parser| parser.binary(0))
    }

    /// An expression of operators that bind tighter than `least`.
    fn binary(&mut self, least: u8) -> Result<Expr> {
        let mut left = self.unary()?;
        let mut count = 0_usize;
        loop {
            self.refuse_foreign_operator()?;
            let Some((op, level)) = binary_op(self.peek()).filter(|(_, level)| *level > least) else {
                return Ok(left);
            };
            count = count.saturating_add(1);
            if count > MAX_CHAIN {
                self.too_deep();
                return Err(Failed);
            }
            let op_span = self.span();
            self.bump();
            let right = self.nested(|parser| parser.binary(level))?;
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Binary {
                    op,
                    op_span,
                    left: Box::new(left),
                    right: Box::new(right),
                },
                span,
            };
        }
    }

    /// Operators of other languages that are often written.
    fn refuse_foreign_operator(&mut self) -> Result<()> {
        let (length, help) = match (self.peek(), self.peek_at(1)) {
            (Tok::Punct("!"), Tok::Punct("~")) => (2, "write `!(left =~ right)`"),
            (Tok::Punct("%"), _) => (1, "the remainder is written `mod`"),
            _ => return Ok(()),
        };
        let span = if length == 2 {
            self.span().to(self.span_at(1))
        } else {
            self.span()
        };
        let shown = String::from_utf8_lossy(self.sources.slice(span)).into_owned();
        let message = format!("`{shown}` is no operator");
        self.diagnostics
            .push(Diagnostic::error(codes::UNEXPECTED_TOKEN, span, message).help(help));
        Err(Failed)
    }

    fn unary(&mut self) -> Result<Expr> {
        let start = self.span();
        let op = match self.peek() {
            Tok::Punct("!") => UnaryOp::Not,
            Tok::Ident(word) if word.as_ref() == "not" => UnaryOp::Not,
            Tok::Punct("-") => UnaryOp::Neg,
            Tok::Punct("+") => UnaryOp::Plus,
            Tok::Punct("~") => UnaryOp::BitNot,
            _ => return self.primary(),
        };
        self.bump();
        let operand = self.nested(|parser| parser.binary(UNARY))?;
        let span = start.to(operand.span);
        let kind = match (op, &operand.kind) {
            (UnaryOp::Neg, ExprKind::Int(number)) => ExprKind::Int(number.saturating_neg()),
            _ => ExprKind::Unary(op, Box::new(operand)),
        };
        Ok(Expr { kind, span })
    }

    fn primary(&mut self) -> Result<Expr> {
        let span = self.span();
        let kind = match self.peek() {
            Tok::Int(number) => ExprKind::Int(*number),
            Tok::Str(text) => ExprKind::Str((**text).clone()),
            Tok::Pv(pv) => ExprKind::Pv(pv.clone()),
            Tok::Ip(address) => {
                let address = *address;
                self.bump();
                return self.network(address, span);
            }
            Tok::Punct("[") if matches!(self.peek_at(1), Tok::Ip(_)) => return self.bracketed_address(),
            Tok::Punct("@") => {
                let select = self.select()?;
                let span = select.span;
                return Ok(Expr {
                    kind: ExprKind::Select(select),
                    span,
                });
            }
            Tok::Punct("(") => return self.parenthesis(),
            Tok::Punct("{") => return self.assignment_block(),
            Tok::Ident(word) => {
                let word = word.clone();
                return self.word_expr(&word);
            }
            Tok::NumWord(word) => {
                let message = format!("`{word}` is neither a number nor a word");
                self.error(codes::BAD_NUMBER, span, message);
                self.bump();
                return Ok(Expr {
                    kind: ExprKind::Error,
                    span,
                });
            }
            Tok::Bad => {
                self.bump();
                return Ok(Expr {
                    kind: ExprKind::Error,
                    span,
                });
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.bump();
        Ok(Expr { kind, span })
    }

    /// A cast, or an expression in parentheses.
    fn parenthesis(&mut self) -> Result<Expr> {
        let open = self.span();
        let cast = match self.word_at(1) {
            Some("int") => Some(CastType::Int),
            Some("str") => Some(CastType::Str),
            _ => None,
        };
        if let Some(cast) = cast.filter(|_| self.is_at(2, ")")) {
            self.at = self.at.saturating_add(3);
            let operand = self.nested(|parser| parser.binary(14))?;
            let span = open.to(operand.span);
            return Ok(Expr {
                kind: ExprKind::Cast(cast, Box::new(operand)),
                span,
            });
        }
        self.bump();
        let mut inner = self.expr()?;
        // `if ($x = 1)` assigns and tests, and is most often a slip.
        if self.is("=")
            && let Some(target) = target_of(&inner)
        {
            let at = self.span();
            self.bump();
            let value = self.expr()?;
            self.diagnostics.push(
                Diagnostic::warning(codes::SUSPICIOUS, at, "assignment in a condition")
                    .help("`==` compares; put the assignment in a statement of its own if it is meant"),
            );
            let span = inner.span.to(value.span);
            inner = Expr {
                kind: ExprKind::Assign(Box::new(target), Box::new(value)),
                span,
            };
        }
        self.close(")", open)?;
        Ok(inner)
    }

    /// `{ $x = 1; }`
    fn assignment_block(&mut self) -> Result<Expr> {
        let open = self.span();
        self.bump();
        let left = self.unary()?;
        let Some(target) = target_of(&left) else {
            return Err(self.unexpected("an assignment in braces"));
        };
        self.expect("=", "of the assignment")?;
        let value = self.expr()?;
        self.eat(";");
        let end = self.close("}", open)?;
        Ok(Expr {
            kind: ExprKind::Assign(Box::new(target), Box::new(value)),
            span: open.to(end),
        })
    }

    fn network(&mut self, address: IpAddr, start: Span) -> Result<Expr> {
        if !self.is("/") {
            return Ok(Expr {
                kind: ExprKind::Ip(address),
                span: start,
            });
        }
        let span = start.to(self.span_at(1));
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match self.peek_at(1) {
            Tok::Int(number) => u8::try_from(*number).ok().filter(|prefix| *prefix <= most),
            Tok::Ip(mask) => mask_length(*mask).filter(|_| mask.is_ipv4() == address.is_ipv4()),
            _ => {
                self.bump();
                return Err(self.unexpected("the length of a prefix or a mask"));
            }
        };
        self.bump();
        self.bump();
        let Some(prefix) = prefix else {
            self.diagnostics.push(
                Diagnostic::error(codes::BAD_ADDRESS, span, "malformed network").help(format!(
                    "a prefix has 0 to {most} bits, a mask has its ones at the left"
                )),
            );
            return Ok(Expr {
                kind: ExprKind::Error,
                span,
            });
        };
        Ok(Expr {
            kind: ExprKind::Net { address, prefix },
            span,
        })
    }

    fn bracketed_address(&mut self) -> Result<Expr> {
        let open = self.span();
        self.bump();
        let Tok::Ip(address) = *self.peek() else {
            return Err(self.unexpected("an IPv6 address"));
        };
        self.bump();
        let end = self.close("]", open)?;
        self.network(address, open.to(end))
    }

    fn word_expr(&mut self, word: &str) -> Result<Expr> {
        let span = self.span();
        let colon = |parser: &Self, second: &str| parser.is_at(1, ":") && parser.word_at(2) == Some(second);
        let field = match word {
            "msg" if colon(self, "len") => Some(Keyword::MsgLen),
            "uri" if colon(self, "host") => Some(Keyword::UriHost),
            "uri" if colon(self, "port") => Some(Keyword::UriPort),
            _ => None,
        };
        if let Some(field) = field {
            let span = span.to(self.span_at(2));
            self.at = self.at.saturating_add(3);
            return self.comparison(Expr {
                kind: ExprKind::Keyword(field),
                span,
            });
        }
        if self.is_at(1, "(") {
            return self.call_expr(word);
        }
        let kind = match word {
            "defined" => {
                self.bump();
                let operand = self.nested(|parser| parser.binary(13))?;
                let span = span.to(operand.span);
                return Ok(Expr {
                    kind: ExprKind::Intrinsic(Intrinsic::Defined, vec![operand]),
                    span,
                });
            }
            "myself" => ExprKind::Myself,
            _ => match (keyword(word), truth_word(word)) {
                (Some(field), _) => ExprKind::Keyword(field),
                (None, Some(number)) => ExprKind::Int(number),
                (None, None) => ExprKind::Name(word.into()),
            },
        };
        self.bump();
        let expr = Expr { kind, span };
        match expr.kind {
            ExprKind::Keyword(_) | ExprKind::Myself => self.comparison(expr),
            _ => Ok(expr),
        }
    }

    /// An old keyword and its comparison are one operand, so that `!uri == myself` negates the whole.
    fn comparison(&mut self, left: Expr) -> Result<Expr> {
        let op = binary_op(self.peek()).filter(|(_, level)| (EQUALITY..=9).contains(level));
        let Some((op, level)) = op else { return Ok(left) };
        let op_span = self.span();
        self.bump();
        let right = match self.old_operand(&left) {
            Some(operand) => operand,
            None => self.nested(|parser| parser.binary(level))?,
        };
        let span = left.span.to(right.span);
        let kind = ExprKind::Binary {
            op,
            op_span,
            left: Box::new(left),
            right: Box::new(right),
        };
        Ok(Expr { kind, span })
    }

    /// Words that have a meaning only at the right of an old keyword: transports, families, hosts.
    fn old_operand(&mut self, left: &Expr) -> Option<Expr> {
        let span = self.span();
        let word = self.word()?;
        let kind = match left.kind {
            ExprKind::Keyword(Keyword::Proto | Keyword::SndProto) => ExprKind::Proto(transport(word)?.into()),
            ExprKind::Keyword(Keyword::Af | Keyword::SndAf) => match word.to_ascii_lowercase().as_str() {
                "inet" | "ipv4" => ExprKind::Family(4),
                "inet6" | "ipv6" => ExprKind::Family(6),
                _ => return None,
            },
            ExprKind::Keyword(_)
                if matches!(self.peek_at(1), Tok::Punct("." | "-")) && self.is_adjacent(1) =>
            {
                let name = self.host_name();
                return Some(Expr {
                    kind: ExprKind::Name(name.text),
                    span: name.span,
                });
            }
            _ => return None,
        };
        self.bump();
        Some(Expr { kind, span })
    }

    fn call_expr(&mut self, word: &str) -> Result<Expr> {
        let intrinsic = match word {
            "strlen" => Some(Intrinsic::StrLen),
            "strempty" => Some(Intrinsic::StrEmpty),
            "defined" => Some(Intrinsic::Defined),
            "selval" => Some(Intrinsic::SelVal),
            _ => None,
        };
        let start = self.span();
        let Some(intrinsic) = intrinsic else {
            let mut call = self.call()?;
            let span = call.span;
            if word == "len_gt"
                && call.args.len() == 1
                && let Some(Arg {
                    kind: ArgKind::Expr(limit),
                    ..
                }) = call.args.pop()
            {
                return Ok(self.longer_than(call.name.span, limit, span));
            }
            return Ok(Expr {
                kind: ExprKind::Call(Box::new(call)),
                span,
            });
        };
        self.bump();
        let open = self.span();
        self.bump();
        let mut operands = vec![self.expr()?];
        while intrinsic == Intrinsic::SelVal && self.eat(",") {
            operands.push(self.expr()?);
        }
        let end = self.close(")", open)?;
        let span = start.to(end);
        if intrinsic == Intrinsic::SelVal && operands.len() != 3 {
            self.error(
                codes::WRONG_ARGUMENT_COUNT,
                span,
                "selval takes a condition and two values",
            );
        }
        Ok(Expr {
            kind: ExprKind::Intrinsic(intrinsic, operands),
            span,
        })
    }

    /// `len_gt(N)`, a test of the first versions, is `msg:len > N`.
    fn longer_than(&mut self, name: Span, limit: Expr, span: Span) -> Expr {
        let problem = Diagnostic::warning(codes::NO_LONGER_USED, name, "len_gt() is msg:len > by now");
        let written = String::from_utf8_lossy(self.sources.slice(limit.span));
        self.diagnostics
            .push(problem.help(format!("write msg:len > {written}")));
        let len = Expr {
            kind: ExprKind::Keyword(Keyword::MsgLen),
            span: name,
        };
        Expr {
            kind: ExprKind::Binary {
                op: BinaryOp::Greater,
                op_span: name,
                left: Box::new(len),
                right: Box::new(limit),
            },
            span,
        }
    }

    /// A call; the cursor stands at the name and a parenthesis follows.
    pub(super) fn call(&mut self) -> Result<Call> {
        let name = self.ident("the name of a function")?;
        let open = self.span();
        self.bump();
        let takes_address = ADDRESS_ACTIONS.contains(&name.text.as_ref());
        let mut args = Vec::new();
        if !self.is(")") {
            loop {
                args.push(self.argument(takes_address)?);
                if !self.eat(",") {
                    break;
                }
            }
        }
        let end = self.close(")", open)?;
        self.calls.entry(name.text.clone()).or_insert(name.span);
        Ok(Call {
            span: name.span.to(end),
            name,
            args,
            parens: true,
        })
    }

    fn argument(&mut self, takes_address: bool) -> Result<Arg> {
        let start = self.span();
        if self.is(",") || self.is(")") {
            return Ok(Arg {
                kind: ArgKind::Empty,
                span: start.before(),
            });
        }
        let is_lone = self.is_at(1, ",") || self.is_at(1, ")");
        let begins_address = match self.peek() {
            Tok::Int(_) | Tok::Str(_) => !is_lone,
            Tok::Ident(word) => !(word.as_ref() == "uri" && self.is_at(1, ":")),
            Tok::Ip(_) | Tok::NumWord(_) | Tok::Punct("[" | "*") => true,
            _ => false,
        };
        if takes_address && begins_address {
            let address = self.address()?;
            let span = address.span;
            return Ok(Arg {
                kind: ArgKind::Address(address),
                span,
            });
        }
        let expr = self.expr()?;
        Ok(Arg {
            span: start.to(self.last_span()),
            kind: ArgKind::Expr(expr),
        })
    }

    pub(super) fn select(&mut self) -> Result<Select> {
        let start = self.span();
        self.bump();
        let mut parts = Vec::new();
        parts.push(SelectPart::Name(self.ident("the name of a select")?));
        loop {
            if self.is(".") && matches!(self.peek_at(1), Tok::Ident(_) | Tok::NumWord(_) | Tok::Int(_)) {
                self.bump();
                let part = Ident::new(self.written(), self.span());
                self.bump();
                parts.push(SelectPart::Name(part));
            } else if self.is("[") {
                parts.push(self.select_index()?);
            } else {
                break;
            }
        }
        Ok(Select {
            parts,
            span: start.to(self.last_span()),
        })
    }

    fn select_index(&mut self) -> Result<SelectPart> {
        let open = self.span();
        self.bump();
        let span = self.span();
        let part = match self.peek() {
            Tok::Str(text) => SelectPart::Name(name_of(text)),
            Tok::Ident(word) => SelectPart::Name(Ident::new(word.clone(), span)),
            Tok::Punct("%" | "*") => SelectPart::Any(span),
            _ => match self.integer() {
                Some((number, span)) => {
                    self.close("]", open)?;
                    return Ok(SelectPart::Index(number, span));
                }
                None => {
                    let message = format!("{} is no index of a select", self.peek());
                    self.error(codes::BAD_SELECT, span, message);
                    return Err(Failed);
                }
            },
        };
        self.bump();
        self.close("]", open)?;
        Ok(part)
    }
}

fn name_of(text: &Text) -> Ident {
    Ident::new(text.value.text(), text.span)
}

/// What an expression is as the left side of an assignment.
pub(super) fn target_of(expr: &Expr) -> Option<AssignTarget> {
    match &expr.kind {
        ExprKind::Pv(pv) => Some(AssignTarget::Pv(pv.clone())),
        ExprKind::Select(select) => Some(AssignTarget::Select(select.clone())),
        _ => None,
    }
}

/// Number of ones of a mask that has them all at the left.
fn mask_length(mask: IpAddr) -> Option<u8> {
    let (ones, zeros, width) = match mask {
        IpAddr::V4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().trailing_zeros(), 32),
        IpAddr::V6(mask) => (
            mask.to_bits().leading_ones(),
            mask.to_bits().trailing_zeros(),
            128,
        ),
    };
    u8::try_from(ones)
        .ok()
        .filter(|_| ones.saturating_add(zeros) == width || ones == width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let length = |text: &str| mask_length(text.parse().unwrap());
        assert_eq!(length("255.255.255.0"), Some(24));
        assert_eq!(length("255.255.255.255"), Some(32));
        assert_eq!(length("0.0.0.0"), Some(0));
        assert_eq!(length("255.0.255.0"), None);
        assert_eq!(length("ffff:ffff::"), Some(32));
    }
}
