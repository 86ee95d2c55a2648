//! Looking up the function of a call, and saying well why there is none.

use std::{any::Any, sync::Arc};

use kahea_diag::{Diagnostic, Span, closest, codes};
use kahea_module::{EVENT, FuncDecl, REQUEST, RouteKind, RouteKinds};

use super::{Binder, body::Body};
use crate::{
    ast::Call,
    bygone::{self, Gone},
    known::Kind,
};

/// Module, declaration, and the module's place.
type Found<'a> = (&'static str, &'a FuncDecl, Arc<dyn Any + Send + Sync>);

impl<'a> Body<'a> {
    /// The declaration that a call means, with its module's place.
    pub(super) fn find(&mut self, call: &Call, count: usize) -> Option<Found<'a>> {
        let name = &*call.name.text;
        let binder = self.binder;
        let named = || {
            binder
                .modules()
                .flat_map(|module| module.funcs.iter().map(move |func| (module, func)))
                .filter(move |(_, func)| func.native && func.name == name)
        };
        let Some((_, first)) = named().next() else {
            self.unknown_function(call);
            return None;
        };
        let Some((module, func)) = named().find(|(_, func)| func.takes(count)) else {
            self.wrong_count(
                call,
                count,
                &named().map(|(_, func)| func.signature()).collect::<Vec<_>>(),
            );
            return None;
        };
        if !self.allowed(func.routes) {
            self.wrong_route(call, first);
            return None;
        }
        if func.waits && self.kind == RouteKind::OnSend {
            let message = format!("{name}() can wait, which onsend_route cannot");
            let problem = Diagnostic::error(codes::WRONG_ROUTE_KIND, call.name.span, message);
            self.report(problem.help("call it in request_route or branch_route, before the message is sent"));
            return None;
        }
        let slot = binder.loaded().slot(module.name)?.clone();
        Some((module.name, func, slot))
    }

    fn allowed(&self, routes: RouteKinds) -> bool {
        let kind = self.kind;
        // Event routes run as request routes in Kamailio, and `route[X]` blocks are called from all kinds.
        routes.has(kind)
            || (kind == RouteKind::Event && (routes.has(RouteKind::Request) || routes == EVENT))
            || (kind == RouteKind::CoreReply && routes.has(RouteKind::Reply))
            || (kind == RouteKind::Request && self.named && routes != REQUEST)
    }

    fn unknown_function(&mut self, call: &Call) {
        let name = &*call.name.text;
        if self.binder.is_covered(Kind::Function, name) {
            return;
        }
        if let Some(row) = bygone::gone_function(name) {
            let problem = gone(row, call.name.span, self.binder);
            self.report(problem);
            return;
        }
        let message = format!("unknown function {name}()");
        let mut problem = Diagnostic::error(codes::UNKNOWN_FUNCTION, call.name.span, message);
        problem = match self.binder.missing_module(Kind::Function, name) {
            Some(help) => problem.help(help),
            None => {
                let names = self
                    .binder
                    .modules()
                    .flat_map(|module| module.funcs.iter().filter(|f| f.native).map(|f| f.name));
                problem.did_you_mean(closest(name, names))
            }
        };
        self.report(problem);
    }

    fn wrong_count(&mut self, call: &Call, count: usize, signatures: &[String]) {
        let name = &call.name.text;
        let message = format!(
            "{name}() does not take {count} argument{}",
            if count == 1 { "" } else { "s" }
        );
        let problem = Diagnostic::error(codes::WRONG_ARGUMENT_COUNT, call.span, message);
        self.report(problem.help(format!("write {}", signatures.join(" or "))));
    }

    fn wrong_route(&mut self, call: &Call, func: &FuncDecl) {
        let kinds: Vec<&str> = func.routes.iter().map(RouteKind::keyword).collect();
        let message = format!("{}() is not allowed in {}", func.name, self.kind.keyword());
        let problem = Diagnostic::error(codes::WRONG_ROUTE_KIND, call.name.span, message);
        self.report(problem.help(format!("it can be used in {}", kinds.join(", "))));
    }
}

/// A call of a function that is gone: nothing is wrong with it where all that lacks is the module of its replacement.
fn gone(row: &Gone, span: Span, binder: &Binder) -> Diagnostic {
    let name = row.name;
    let message = format!("{name}() belonged to {}", row.was);
    let Some(instead) = row.instead else {
        return Diagnostic::error(codes::FUNCTION_GONE, span, message)
            .help("nothing took its place: take the call out");
    };
    let Some(module) = instead.module else {
        return Diagnostic::error(codes::FUNCTION_GONE, span, message)
            .help(format!("write {}", instead.call));
    };
    let write = format!("write {}, of module {module}", instead.call);
    if binder.registry().module(module).is_some() {
        return Diagnostic::error(codes::FUNCTION_GONE, span, message).help(write);
    }
    let message = format!("{message}; its replacement is not available yet");
    Diagnostic::error(codes::NOT_SUPPORTED, span, message).help(write)
}
