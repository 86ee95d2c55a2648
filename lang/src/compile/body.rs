//! Route blocks: statements to steps, calls to prepared calls.

use kahea_diag::{Diagnostic, Diagnostics, SourceMap, Span, codes};
use kahea_module::{BindError, RouteKind, Str, Var, arg::ArgSource, func::ArgError};

use super::{
    Binder,
    expr::{as_argument, constant_text, has_call, is_constant},
    usage::Usage,
};
use crate::{
    ast::{
        Address, Arg, ArgKind, AssignTarget, Block, Call, CaseLabel, Expr, ExprKind, Host, Keyword, Port,
        Stmt, StmtKind, Text,
    },
    program::{self, CaseTest, Op, Program, Pure, Switch},
    pv,
};

/// One route block under work.
pub(super) struct Body<'a> {
    pub(super) binder: &'a Binder,
    pub(super) program: &'a mut Program,
    pub(super) diagnostics: &'a mut Diagnostics,
    pub(super) sources: &'a SourceMap,
    pub(super) usage: &'a mut Usage,
    pub(super) kind: RouteKind,
    pub(super) named: bool,
    code: Vec<Op>,
    spans: Vec<Span>,
    /// Steps of `break` statements that wait for the end of their loop or switch.
    breaks: Vec<Breakable>,
    /// Statements that are no calls.
    marks: Vec<(u32, Span, &'static str)>,
    /// The steps of inner blocks.
    blocks: Vec<std::ops::Range<u32>>,
}

struct Breakable {
    jumps: Vec<usize>,
    /// A `while`, whose code is that of its last round; a `switch` has always 1.
    is_loop: bool,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        binder: &'a Binder,
        program: &'a mut Program,
        diagnostics: &'a mut Diagnostics,
        sources: &'a SourceMap,
        usage: &'a mut Usage,
        kind: RouteKind,
        named: bool,
    ) -> Body<'a> {
        Body {
            binder,
            program,
            diagnostics,
            sources,
            usage,
            kind,
            named,
            code: Vec::new(),
            spans: Vec::new(),
            breaks: Vec::new(),
            marks: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The finished block.
    pub(super) fn finish(mut self, name: Str, block: &Block) -> program::Route {
        self.block(&block.stmts);
        let end = block.span.unwrap_or(NOWHERE);
        self.emit(Op::End, end);
        let (file, _) = self.sources.locate(self.sources.written(end));
        let file = Str::from(file);
        let line_of = |span: Span| self.sources.locate(self.sources.written(span)).1.line;
        let lines = self.spans.iter().map(|span| line_of(*span)).collect();
        let marks = self.marks.iter().map(|(at, span, name)| program::Mark {
            at: *at,
            line: line_of(*span),
            name,
        });
        let marks = marks.collect();
        program::Route {
            kind: self.kind,
            name,
            code: self.code,
            spans: self.spans,
            lines,
            file,
            marks,
            blocks: self.blocks,
        }
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Runs a binding step; its error becomes a diagnostic at `span`.
    pub(super) fn bound<T>(
        &mut self,
        span: Span,
        step: impl FnOnce(&Binder) -> Result<T, BindError>,
    ) -> Option<T> {
        match step(self.binder) {
            Ok(value) => Some(value),
            Err(error) => {
                if !error.covered {
                    self.report(bind_problem(span, error));
                }
                None
            }
        }
    }

    pub(super) fn emit(&mut self, op: Op, span: Span) -> usize {
        self.code.push(op);
        self.spans.push(span);
        self.code.len().saturating_sub(1)
    }

    fn here(&self) -> u32 {
        index(self.code.len())
    }

    /// Makes the jump at that step go to where the code is now.
    pub(super) fn land(&mut self, jump: usize) {
        let here = self.here();
        if let Some(
            Op::Jump(to)
            | Op::JumpFalse(to)
            | Op::JumpUnless(to)
            | Op::JumpTrue(to)
            | Op::LoopCount(to)
            | Op::LoopNext(to),
        ) = self.code.get_mut(jump)
        {
            *to = here;
        }
    }

    pub(super) fn add_expr(&mut self, pure: Pure) -> u32 {
        self.program.exprs.push(pure);
        index(self.program.exprs.len().saturating_sub(1))
    }

    fn block(&mut self, stmts: &[Stmt]) {
        let mut left = None;
        for stmt in stmts {
            if let Some(by) = left
                && !matches!(stmt.kind, StmtKind::Empty | StmtKind::Error)
            {
                let problem = Diagnostic::warning(codes::UNREACHABLE, stmt.span, "this statement never runs");
                self.report(
                    problem
                        .label("never reached")
                        .related(by, "the block is left here in every case"),
                );
                left = None;
            }
            self.stmt(stmt);
            if leaves(stmt) {
                left = Some(stmt.span);
            }
        }
    }

    /// The steps that `emit` makes are a block of their own.
    fn inner(&mut self, emit: impl FnOnce(&mut Self)) {
        let from = self.here();
        emit(self);
        self.blocks.push(from..self.here());
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let span = stmt.span;
        if let Some(name) = trace_name(&stmt.kind) {
            let here = self.here();
            self.marks.push((here, span, name));
        }
        match &stmt.kind {
            StmtKind::Block(block) => self.block(&block.stmts),
            StmtKind::If {
                cond,
                then,
                otherwise,
            } => self.if_else(cond, then, otherwise.as_deref()),
            StmtKind::While { cond, body } => self.while_loop(cond, body, span),
            StmtKind::Switch { value, cases } => self.switch(value, cases, span),
            StmtKind::Break => self.break_out(span),
            StmtKind::Return(value) => self.leave(value.as_ref(), span, Op::Return, true),
            StmtKind::Exit(value) => self.leave(value.as_ref(), span, Op::Exit, false),
            StmtKind::Drop(value) => self.leave(value.as_ref(), span, Op::Drop, false),
            StmtKind::Assign { target, value } => self.assign(target, value, span),
            StmtKind::Call(call) => self.call(call),
            StmtKind::Empty | StmtKind::Error => {}
        }
    }

    fn if_else(&mut self, cond: &Expr, then: &Stmt, otherwise: Option<&Stmt>) {
        if is_constant(cond) {
            let problem =
                Diagnostic::warning(codes::CONSTANT_CONDITION, cond.span, "the condition is constant");
            self.report(problem.label("always has the same value"));
        }
        self.test(cond);
        let to_else = self.emit(Op::JumpUnless(0), cond.span);
        self.inner(|body| body.stmt(then));
        match otherwise {
            None => self.land(to_else),
            Some(otherwise) => {
                let to_end = self.emit(Op::Jump(0), otherwise.span);
                self.land(to_else);
                self.inner(|body| body.stmt(otherwise));
                self.land(to_end);
            }
        }
    }

    fn while_loop(&mut self, cond: &Expr, body: &Stmt, span: Span) {
        self.emit(Op::LoopEnter, span);
        let top = self.here();
        self.test(cond);
        let out = self.emit(Op::JumpUnless(0), cond.span);
        let limit = self.emit(Op::LoopCount(0), span);
        self.breaks.push(Breakable {
            jumps: Vec::new(),
            is_loop: true,
        });
        self.inner(|this| this.stmt(body));
        self.emit(Op::LoopNext(top), span);
        self.land(out);
        self.land(limit);
        self.land_breaks();
        self.emit(Op::LoopLeave, span);
    }

    fn land_breaks(&mut self) {
        for jump in self.breaks.pop().map(|b| b.jumps).unwrap_or_default() {
            self.land(jump);
        }
    }

    fn break_out(&mut self, span: Span) {
        if self.breaks.is_empty() {
            // Scripts of old leave every block so: one finding for each is enough.
            if !self.code.iter().any(|op| matches!(op, Op::Break)) {
                let problem =
                    Diagnostic::warning(codes::BREAK_OUTSIDE, span, "break outside of while and switch");
                self.report(
                    problem
                        .label("leaves the route block")
                        .help("write return; it says what happens"),
                );
            }
            self.emit(Op::Break, span);
            return;
        }
        let is_loop = self.breaks.last().is_some_and(|breakable| breakable.is_loop);
        let jump = self.emit(if is_loop { Op::LoopNext(0) } else { Op::Jump(0) }, span);
        if let Some(breakable) = self.breaks.last_mut() {
            breakable.jumps.push(jump);
        }
    }

    fn switch(&mut self, value: &Expr, cases: &[crate::ast::Case], span: Span) {
        self.push_operand(value);
        let id = self.program.switches.len();
        self.program.switches.push(Switch {
            cases: Vec::new(),
            otherwise: 0,
        });
        self.emit(Op::Switch(index(id)), span);
        self.breaks.push(Breakable {
            jumps: Vec::new(),
            is_loop: false,
        });
        let mut table = Vec::new();
        let mut otherwise = None;
        for case in cases {
            let at = self.here();
            match &case.label {
                CaseLabel::Default => otherwise = Some(at),
                CaseLabel::Value(expr) => table.extend(self.case_test(expr).map(|test| (test, at))),
                CaseLabel::Regex { pattern } => {
                    let regex = self.bound(pattern.span, |_| {
                        kahea_module::Regex::new(&pattern.value)
                            .map_err(|error| BindError::new(error.to_string()))
                    });
                    table.extend(regex.map(|regex| (CaseTest::Regex(regex), at)));
                }
            }
            self.inner(|body| body.block(&case.body));
        }
        self.land_breaks();
        let end = self.here();
        if let Some(switch) = self.program.switches.get_mut(id) {
            switch.cases = table;
            switch.otherwise = otherwise.unwrap_or(end);
        }
    }

    fn case_test(&mut self, expr: &Expr) -> Option<CaseTest> {
        match (&expr.kind, constant_text(expr)) {
            (ExprKind::Int(n), _) => Some(CaseTest::Int(*n)),
            (_, Some(text)) => Some(CaseTest::Str(text)),
            (ExprKind::Unary(crate::ast::UnaryOp::Neg, inner), None) => match inner.kind {
                ExprKind::Int(n) => Some(CaseTest::Int(n.wrapping_neg())),
                _ => self.no_constant(expr.span),
            },
            _ => self.no_constant(expr.span),
        }
    }

    fn no_constant(&mut self, span: Span) -> Option<CaseTest> {
        let problem = Diagnostic::error(codes::EMPTY_SWITCH_VALUE, span, "a case needs a constant");
        self.report(problem.help("write a number, a string or a /regex/"));
        None
    }

    fn leave(&mut self, value: Option<&Expr>, span: Span, op: fn(u32) -> Op, returns: bool) {
        if let (
            true,
            Some(Expr {
                kind: ExprKind::Str(_),
                span,
            }),
        ) = (returns, value)
        {
            let problem = Diagnostic::error(codes::TYPE_MISMATCH, *span, "a route returns a number");
            self.report(problem.label("a string").help("write the number without quotes"));
        }
        // `return -3;` is one step; a value with calls in it is worked out on the stack first.
        match value {
            Some(expr) if has_call(expr) => {
                self.push(expr);
                if returns {
                    self.emit(Op::ReturnPop, span);
                    return;
                }
                self.emit(Op::PopTest, span);
                let one = self.add_expr(Pure::Const(1.into()));
                self.emit(op(one), span);
            }
            Some(expr) => {
                if let Some(pure) = self.pure(expr) {
                    let id = self.add_expr(pure);
                    self.emit(op(id), span);
                }
            }
            None => {
                let id = self.add_expr(Pure::Const(1.into()));
                self.emit(op(id), span);
            }
        }
    }

    pub(super) fn assign(&mut self, target: &AssignTarget, value: &Expr, span: Span) {
        let var = self.target(target, span);
        if has_call(value) {
            self.push(value);
            if let Some(var) = var {
                let id = self.add_target(var);
                self.emit(Op::AssignPop(id), span);
            }
            return;
        }
        if let (Some(pure), Some(var)) = (self.pure(value), var) {
            let (id, expr) = (self.add_target(var), self.add_expr(pure));
            self.emit(Op::Assign(id, expr), span);
        }
    }

    fn add_target(&mut self, var: Var) -> u32 {
        self.program.targets.push(var);
        index(self.program.targets.len().saturating_sub(1))
    }

    fn target(&mut self, target: &AssignTarget, span: Span) -> Option<Var> {
        let (var, place) = match target {
            AssignTarget::Pv(pv) => {
                self.usage.assigned(pv);
                (self.bound(pv.span, |binder| binder.pv(pv))?, pv.span)
            }
            AssignTarget::Select(select) => {
                let problem =
                    Diagnostic::error(codes::NOT_ASSIGNABLE, select.span, "selects cannot be assigned");
                self.report(problem.help("assign to a pseudo-variable such as $var(x)"));
                return None;
            }
        };
        if !var.is_writable() {
            let message = format!("{} cannot be assigned", var.text());
            let problem = Diagnostic::error(codes::READ_ONLY_VARIABLE, place, message).label("read-only");
            self.report(problem.related(span, "in this assignment"));
            return None;
        }
        Some(var)
    }

    /// A call of a function, an action or a route.
    pub(super) fn call(&mut self, call: &Call) {
        if &*call.name.text == "route" {
            return self.route_call(call);
        }
        let Some(sources) = self.arguments(call) else {
            return;
        };
        let Some((module, func, slot)) = self.find(call, sources.len()) else {
            return;
        };
        match func.bind(&slot, &sources, self.binder) {
            Ok(run) => {
                self.program.calls.push(program::Call {
                    name: func.name,
                    arguments: sources.len(),
                    run,
                });
                let id = index(self.program.calls.len().saturating_sub(1));
                let op = if module == "core" {
                    Op::Action(id)
                } else {
                    Op::Call(id)
                };
                self.emit(op, call.span);
            }
            Err(problem) => self.bad_argument(call, func.signature(), problem),
        }
    }

    fn bad_argument(&mut self, call: &Call, signature: String, problem: ArgError) {
        if problem.error.covered {
            return;
        }
        let arg = problem.argument.and_then(|at| call.args.get(at));
        if let Some(Arg {
            kind:
                ArgKind::Expr(Expr {
                    kind: ExprKind::Str(text),
                    ..
                }),
            ..
        }) = arg
            && self.bad_variables(text)
        {
            return;
        }
        let diagnostic = bind_problem(arg.map_or(call.span, |arg| arg.span), problem.error);
        self.report(diagnostic.related(call.name.span, format!("argument of {signature}")));
    }

    /// Reports every variable of a text that cannot be compiled, each at its own place.
    fn bad_variables(&mut self, text: &Text) -> bool {
        let mut problems = Diagnostics::new();
        let pieces = pv::format(text, &mut problems);
        let mut any = !problems.is_empty();
        for piece in &pieces {
            if let pv::Piece::Pv(pv) = piece
                && let Err(error) = self.binder.pv(pv)
            {
                any = true;
                if !error.covered {
                    problems.push(bind_problem(pv.span, error));
                }
            }
        }
        self.diagnostics.append(problems);
        any
    }

    fn arguments(&mut self, call: &Call) -> Option<Vec<ArgSource>> {
        let mut sources = Vec::with_capacity(call.args.len());
        let mut complete = true;
        for arg in &call.args {
            match self.argument(arg) {
                Some(source) => sources.push(source),
                None => complete = false,
            }
        }
        complete.then_some(sources)
    }

    fn argument(&mut self, arg: &Arg) -> Option<ArgSource> {
        let expr = match &arg.kind {
            ArgKind::Address(address) => return Some(ArgSource::Text(Str::from(address_text(address)))),
            ArgKind::Empty => return Some(ArgSource::Text(Str::EMPTY)),
            ArgKind::Expr(expr) => expr,
        };
        match &expr.kind {
            ExprKind::Str(text) => {
                self.usage.text(&text.value);
                Some(ArgSource::Text(text.value.clone()))
            }
            ExprKind::Name(name) | ExprKind::Proto(name) => {
                self.usage.text(name.as_bytes());
                Some(ArgSource::Text(Str::from(&**name)))
            }
            ExprKind::Ip(ip) => Some(ArgSource::Text(Str::from(ip.to_string()))),
            ExprKind::Keyword(Keyword::UriHost) => Some(ArgSource::Text(Str::from_static("uri:host"))),
            ExprKind::Keyword(Keyword::UriPort) => Some(ArgSource::Text(Str::from_static("uri:port"))),
            ExprKind::Int(n) => Some(ArgSource::Int(*n)),
            ExprKind::Unary(crate::ast::UnaryOp::Neg, inner) if matches!(inner.kind, ExprKind::Int(_)) => {
                let ExprKind::Int(n) = inner.kind else { return None };
                Some(ArgSource::Int(n.wrapping_neg()))
            }
            ExprKind::Pv(pv) => {
                // The function may write it.
                self.usage.assigned(pv);
                self.bound(expr.span, |binder| binder.pv(pv)).map(ArgSource::Var)
            }
            _ if has_call(expr) => {
                let problem =
                    Diagnostic::error(codes::BAD_ARGUMENT, expr.span, "a call cannot be an argument");
                self.report(problem.help("assign its result to a variable first: $var(x) = f();"));
                None
            }
            _ => self.pure(expr).map(|pure| ArgSource::Expr(as_argument(pure))),
        }
    }

    fn route_call(&mut self, call: &Call) {
        let arg = match call.args.as_slice() {
            [
                Arg {
                    kind: ArgKind::Expr(expr),
                    ..
                },
            ] => expr,
            _ => {
                let problem =
                    Diagnostic::error(codes::WRONG_ARGUMENT_COUNT, call.span, "route() takes one name");
                self.report(problem.help("write route(NAME);"));
                return;
            }
        };
        let name = constant_text(arg).or_else(|| match &arg.kind {
            ExprKind::Int(n) => Some(Str::from(n.to_string())),
            _ => None,
        });
        match name {
            Some(name) => self.named_route(&name, arg.span, call.span),
            None => {
                self.usage.dynamic_route();
                if let Some(pure) = self.pure(arg) {
                    let id = self.add_expr(pure);
                    self.emit(Op::RouteNamed(id), call.span);
                }
            }
        }
    }

    fn named_route(&mut self, name: &Str, place: Span, span: Span) {
        self.usage.text(name);
        if let Some(id) = self.program.names.get(RouteKind::Request, name) {
            self.emit(Op::Route(id), span);
            return;
        }
        let names: Vec<String> = self
            .program
            .names
            .iter()
            .filter(|(kind, name, _)| *kind == RouteKind::Request && !name.is_empty())
            .map(|(_, name, _)| name.text().into_owned())
            .collect();
        let close = kahea_diag::closest(&name.text(), names.iter().map(String::as_str));
        let problem = Diagnostic::error(codes::UNKNOWN_ROUTE, place, format!("there is no route[{name}]"));
        self.report(problem.label("unknown route block").did_you_mean(close));
    }
}

/// The place of what stands nowhere.
pub(super) const NOWHERE: Span = Span::new(kahea_diag::FileId::ROOT, 0, 0);

pub(super) fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The name of a statement that is no call, as Kamailio's traces have it.
fn trace_name(kind: &StmtKind) -> Option<&'static str> {
    Some(match kind {
        StmtKind::If { .. } => "if",
        StmtKind::While { .. } => "while",
        StmtKind::Switch { .. } => "case",
        StmtKind::Break => "break",
        StmtKind::Return(_) => "return",
        StmtKind::Exit(_) => "exit",
        StmtKind::Drop(_) => "drop",
        StmtKind::Assign { .. } => "assign",
        StmtKind::Block(_) | StmtKind::Call(_) | StmtKind::Empty | StmtKind::Error => return None,
    })
}

/// The statement leaves its block in every case.
fn leaves(stmt: &Stmt) -> bool {
    match &stmt.kind {
        StmtKind::Return(_) | StmtKind::Exit(_) | StmtKind::Drop(_) | StmtKind::Break => true,
        StmtKind::Block(block) => block.stmts.iter().any(leaves),
        StmtKind::If {
            then,
            otherwise: Some(otherwise),
            ..
        } => leaves(then) && leaves(otherwise),
        _ => false,
    }
}

/// `proto:host:port` of an address argument.
fn address_text(address: &Address) -> String {
    let mut out = String::new();
    if let Some(proto) = &address.proto {
        out.push_str(&proto.text);
        out.push(':');
    }
    match address.hosts.first() {
        Some(Host::Ip(ip, _)) if ip.is_ipv6() => out.push_str(&format!("[{ip}]")),
        Some(Host::Ip(ip, _)) => out.push_str(&ip.to_string()),
        Some(Host::Name(name)) => out.push_str(&name.text),
        Some(Host::Str(text)) => out.push_str(&text.value.text()),
        Some(Host::Any(_)) | None => out.push('*'),
    }
    if let Some(Port::Number(port, _)) = address.port {
        out.push_str(&format!(":{port}"));
    }
    out
}

/// An error of a name or argument as a diagnostic.
pub(super) fn bind_problem(span: Span, error: BindError) -> Diagnostic {
    let code = if error.message.starts_with("unknown variable") {
        codes::UNKNOWN_VARIABLE
    } else if error.message.starts_with("unknown transformation") {
        codes::UNKNOWN_TRANSFORMATION
    } else if error.message.contains("regular expression") {
        codes::BAD_REGEX
    } else {
        codes::BAD_ARGUMENT
    };
    let problem = Diagnostic::error(code, span, error.message);
    match error.help {
        Some(help) => problem.help(help),
        None => problem,
    }
}
