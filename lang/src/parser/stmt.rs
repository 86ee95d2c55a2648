//! Statements.

use kahea_diag::{Diagnostic, Span, codes};
use kahea_sip::Str;

use super::{Failed, MAX_CHAIN, Parser, Result, expr::target_of};
use crate::{
    ast::{Block, Call, Case, CaseLabel, Expr, ExprKind, Ident, Stmt, StmtKind, Text},
    lexer::Tok,
};

/// Actions of the core that may stand without parentheses.
const BARE_ACTIONS: &[&str] = &[
    "force_rport",
    "add_rport",
    "add_local_rport",
    "force_tcp_alias",
    "add_tcp_alias",
    "revert_uri",
    "set_forward_close",
    "set_forward_no_connect",
    "set_reply_close",
    "set_reply_no_connect",
];

impl Parser<'_> {
    /// `{ … }`; what is missing is reported, what is there is kept.
    pub(super) fn block(&mut self) -> Result<Block> {
        let open = self.expect("{", "that begins the block")?;
        self.nested(|parser| Ok(parser.block_body(open)))
    }

    fn block_body(&mut self, open: Span) -> Block {
        let mut stmts = Vec::new();
        loop {
            if self.is("}") {
                let end = self.span();
                self.bump();
                return Block {
                    stmts,
                    span: Some(open.to(end)),
                };
            }
            if *self.peek() == Tok::End || self.begins_item() {
                self.unclosed_block(open);
                return Block {
                    stmts,
                    span: Some(open.to(self.last_span())),
                };
            }
            stmts.push(self.stmt());
        }
    }

    /// Reports the innermost of several unclosed blocks only.
    fn unclosed_block(&mut self, open: Span) {
        if self.gave_up_at == Some(self.at) || self.is_known_fault() {
            return;
        }
        self.gave_up_at = Some(self.at);
        let found =
            Diagnostic::error(codes::UNCLOSED_BRACE, open, "brace is never closed").label("opened here");
        let found = match self.peek() {
            Tok::End => found.related(self.last_span().after(), "the configuration ends here"),
            _ => found.related(self.span(), "this belongs outside of all blocks"),
        };
        self.diagnostics.push(found.help("add the missing `}`"));
    }

    /// A statement; a malformed one is reported and stepped over.
    pub(super) fn stmt(&mut self) -> Stmt {
        let start = self.span();
        let before = self.at;
        let kind = self.nested(Self::stmt_kind).unwrap_or_else(|Failed| {
            if self.at == before && !self.is("}") {
                self.bump();
            }
            // What failed may have read its own end already.
            if self.at == before || !self.is_behind_stmt() {
                self.recover();
            }
            StmtKind::Error
        });
        Stmt {
            kind,
            span: start.to(self.last_span()),
        }
    }

    fn is_behind_stmt(&self) -> bool {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        last.is_some_and(|token| token.kind == Tok::Punct(";"))
    }

    fn stmt_kind(&mut self) -> Result<StmtKind> {
        match self.peek() {
            Tok::Punct(";") => {
                self.bump();
                Ok(StmtKind::Empty)
            }
            Tok::Punct("{") => Ok(StmtKind::Block(self.block()?)),
            Tok::Pv(_) | Tok::Punct("@") => self.assignment(),
            Tok::Ident(word) => {
                let word = word.clone();
                self.word_stmt(&word)
            }
            _ => Err(self.unexpected("a statement")),
        }
    }

    fn word_stmt(&mut self, word: &str) -> Result<StmtKind> {
        match word {
            "if" => self.if_stmt(),
            "while" => {
                self.bump();
                let cond = self.expr()?;
                let body = Box::new(self.body("while")?);
                Ok(StmtKind::While { cond, body })
            }
            "switch" => self.switch(),
            "break" => {
                self.bump();
                self.empty_parens()?;
                self.semicolon("break")?;
                Ok(StmtKind::Break)
            }
            "return" => Ok(StmtKind::Return(self.leave("return")?)),
            "exit" => Ok(StmtKind::Exit(self.leave("exit")?)),
            "drop" => Ok(StmtKind::Drop(self.leave("drop")?)),
            "case" | "default" if !self.is_at(1, "(") => {
                let message = format!("`{word}` outside of a switch");
                self.error(codes::MISPLACED_CASE, self.span(), message);
                Err(Failed)
            }
            "else" => {
                self.diagnostics.push(
                    Diagnostic::error(codes::UNEXPECTED_TOKEN, self.span(), "`else` without an `if`").help(
                        "an `if` takes one statement; put several in `{ }`, without a `;` before `else`",
                    ),
                );
                self.bump();
                self.stmt();
                Ok(StmtKind::Error)
            }
            _ => self.call_stmt(word),
        }
    }

    fn if_stmt(&mut self) -> Result<StmtKind> {
        let mut branches = Vec::new();
        let mut otherwise = None;
        loop {
            let start = self.span();
            self.bump();
            let cond = self.expr()?;
            let then = Box::new(self.body("if")?);
            branches.push((start, cond, then));
            if !self.is_word("else") {
                break;
            }
            self.bump();
            if !self.is_word("if") {
                otherwise = Some(Box::new(self.body("else")?));
                break;
            }
            if branches.len() >= MAX_CHAIN {
                self.too_deep();
                return Err(Failed);
            }
        }
        let end = self.last_span();
        let mut result = None;
        while let Some((start, cond, then)) = branches.pop() {
            let kind = StmtKind::If {
                cond,
                then,
                otherwise: otherwise.take(),
            };
            if branches.is_empty() {
                result = Some(kind);
            } else {
                otherwise = Some(Box::new(Stmt {
                    kind,
                    span: start.to(end),
                }));
            }
        }
        result.ok_or(Failed)
    }

    /// The statement after a condition.
    fn body(&mut self, owner: &str) -> Result<Stmt> {
        if matches!(self.peek(), Tok::Punct("}") | Tok::End) {
            return Err(self.unexpected(&format!("a statement after `{owner}`")));
        }
        if !matches!(
            self.peek(),
            Tok::Ident(_) | Tok::Pv(_) | Tok::Punct("{" | ";" | "@")
        ) {
            return Err(self.unexpected(&format!("an operator or the statement of `{owner}`")));
        }
        Ok(self.stmt())
    }

    fn empty_parens(&mut self) -> Result<()> {
        let open = self.span();
        if self.eat("(") {
            self.close(")", open)?;
        }
        Ok(())
    }

    /// `return`, `return 1`, `return()`, `return(1)`.
    fn leave(&mut self, word: &str) -> Result<Option<Expr>> {
        self.bump();
        if self.is("(") && self.is_at(1, ")") {
            self.bump();
            self.bump();
        }
        if self.is(";") || self.is("}") || self.at_statement_end() {
            self.semicolon(word)?;
            return Ok(None);
        }
        let value = self.expr()?;
        self.semicolon("the value")?;
        Ok(Some(value))
    }

    /// Whether what comes next cannot be a value but begins another statement, on a line of its own.
    fn at_statement_end(&self) -> bool {
        *self.peek() == Tok::End || (self.at_new_line() && !matches!(self.peek(), Tok::Punct("(")))
    }

    /// The `;` of a statement. A missing one is reported where it belongs, and reading goes on as if it were there.
    fn semicolon(&mut self, after: &str) -> Result<()> {
        if self.eat(";") {
            return Ok(());
        }
        if self.is_known_fault() {
            return Err(Failed);
        }
        let last = self.last_span();
        if self.at_new_line()
            || matches!(
                self.peek(),
                Tok::Punct("}") | Tok::End | Tok::Ident(_) | Tok::Pv(_)
            )
        {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::MISSING_SEMICOLON,
                    last.after(),
                    format!("missing `;` after {}", quoted(after)),
                )
                .help("a statement ends with `;`"),
            );
            return Ok(());
        }
        Err(self.unexpected(&format!("`;` after {}", quoted(after))))
    }

    fn assignment(&mut self) -> Result<StmtKind> {
        let start = self.span();
        let (target, what) = match self.peek() {
            Tok::Pv(pv) => {
                let expr = Expr {
                    kind: ExprKind::Pv(pv.clone()),
                    span: start,
                };
                self.bump();
                (target_of(&expr), "variable")
            }
            _ => {
                let select = self.select()?;
                (
                    target_of(&Expr {
                        span: select.span,
                        kind: ExprKind::Select(select),
                    }),
                    "select",
                )
            }
        };
        if !self.is("=") {
            let message = format!("expected `=` after the {what}, found {}", self.peek());
            let found = Diagnostic::error(codes::UNEXPECTED_TOKEN, self.span(), message).related(
                start.to(self.last_span()),
                "a statement that begins so assigns a value",
            );
            let found = if self.is("==") {
                found.help("`=` assigns, `==` compares")
            } else {
                found
            };
            self.diagnostics.push(found);
            return Err(Failed);
        }
        self.bump();
        let value = self.expr()?;
        self.semicolon("the value")?;
        target
            .map(|target| StmtKind::Assign { target, value })
            .ok_or(Failed)
    }

    fn call_stmt(&mut self, word: &str) -> Result<StmtKind> {
        if self.is_at(1, "(") {
            let call = self.call()?;
            self.semicolon(&format!("`{word}(…)`"))?;
            return Ok(StmtKind::Call(call));
        }
        let name = Ident::new(word, self.span());
        if BARE_ACTIONS.contains(&word) {
            self.bump();
            self.semicolon(word)?;
            return Ok(StmtKind::Call(Call {
                span: name.span,
                name,
                args: Vec::new(),
                parens: false,
            }));
        }
        self.bump();
        if self.is("=") {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::NOT_ASSIGNABLE,
                    name.span,
                    format!("`{word}` cannot be assigned to"),
                )
                .label("neither a variable nor a select")
                .help(format!("a script variable is written `$var({word})`")),
            );
            return Err(Failed);
        }
        self.diagnostics.push(
            Diagnostic::error(
                codes::UNEXPECTED_TOKEN,
                self.span(),
                format!("expected `(` after `{word}`, found {}", self.peek()),
            )
            .related(name.span, "taken for the name of a function")
            .help(format!("a call is written `{word}();`")),
        );
        Err(Failed)
    }

    fn switch(&mut self) -> Result<StmtKind> {
        self.bump();
        let value = self.expr()?;
        let open = self.expect("{", "after the value of the switch")?;
        let mut cases: Vec<Case> = Vec::new();
        loop {
            match self.peek() {
                Tok::Punct("}") => {
                    self.bump();
                    return Ok(StmtKind::Switch { value, cases });
                }
                Tok::Punct(";") => self.bump(),
                Tok::Ident(word) if matches!(word.as_ref(), "case" | "default") => match self.case() {
                    Ok(case) => cases.push(case),
                    Err(Failed) => self.skip_to_case(),
                },
                _ if *self.peek() == Tok::End || self.begins_item() => {
                    self.unclosed_block(open);
                    return Ok(StmtKind::Switch { value, cases });
                }
                _ => {
                    let _ = self.unexpected("`case` or `default`");
                    self.skip_to_case();
                }
            }
        }
    }

    fn skip_to_case(&mut self) {
        while !self.at_case_end() {
            let before = self.at;
            self.recover();
            if self.at == before {
                self.bump();
            }
        }
    }

    fn at_case_end(&self) -> bool {
        matches!(self.peek(), Tok::Punct("}") | Tok::End)
            || self.is_word("case")
            || (self.is_word("default") && self.is_at(1, ":"))
            || self.begins_item()
    }

    fn case(&mut self) -> Result<Case> {
        let start = self.span();
        let is_default = self.is_word("default");
        self.bump();
        let label = if is_default {
            CaseLabel::Default
        } else if self.is("/") {
            CaseLabel::Regex {
                pattern: self.case_regex()?,
            }
        } else if self.is(":") {
            self.error(
                codes::EMPTY_SWITCH_VALUE,
                self.span(),
                "value missing after `case`",
            );
            return Err(Failed);
        } else {
            CaseLabel::Value(self.expr()?)
        };
        let end = self.expect(":", "after the label")?;
        let mut body = Vec::new();
        while !self.at_case_end() {
            body.push(self.stmt());
        }
        Ok(Case {
            label,
            body,
            span: start.to(end),
        })
    }

    /// `/"regex"`, or `/regex/` on one line.
    fn case_regex(&mut self) -> Result<Text> {
        let slash = self.span();
        self.bump();
        if let Tok::Str(text) = self.peek() {
            let text = (**text).clone();
            self.bump();
            self.eat("/");
            return Ok(text);
        }
        let Some(file) = self.sources.file(slash.file) else {
            return Err(Failed);
        };
        let text = file.text().get(slash.end as usize..).unwrap_or_default();
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Some(length) = closing_slash(line) else {
            self.diagnostics.push(
                Diagnostic::error(codes::BAD_REGEX, slash, "regular expression is never closed")
                    .help("write it as /\"regex\" or /regex/"),
            );
            return Err(Failed);
        };
        let whole = Span {
            end: slash.start.saturating_add(u32::MAX / 2),
            ..slash
        };
        let place = whole.part(1, length.saturating_add(1));
        let pattern = Text::verbatim(Str::copy(line.get(..length).unwrap_or_default()), place);
        // Steps over the words that the lexer made of the pattern, up to and with the closing slash.
        while self.span().file == slash.file && self.span().start <= place.end && *self.peek() != Tok::End {
            self.bump();
        }
        Ok(pattern)
    }
}

/// Where the slash is that no backslash stands before.
fn closing_slash(line: &[u8]) -> Option<usize> {
    let mut escaped = false;
    line.iter().position(|byte| {
        let is_end = *byte == b'/' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        is_end
    })
}

fn quoted(text: &str) -> String {
    if text.contains(' ') || text.contains('`') {
        text.to_owned()
    } else {
        format!("`{text}`")
    }
}
