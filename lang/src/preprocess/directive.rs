//! What each directive does.

use std::sync::Arc;

use kahea_diag::{Diagnostic, Span, closest, codes};

use super::{Condition, Define, Preprocessor, condition, subst};
use crate::lexer::{Directive, is_word};

impl Preprocessor<'_> {
    /// Carries out a directive; in a part that does not count only conditions matter.
    pub(super) fn directive(&mut self, directive: Directive, at: Span, is_active: bool) {
        match directive {
            Directive::Include | Directive::Import if is_active => {
                return self.include(at, directive == Directive::Import);
            }
            _ => {}
        }
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let (line, place) = frame.lexer.rest_of_line();
        match directive {
            Directive::IfDef | Directive::IfNdef | Directive::IfExp => {
                self.begin_condition(directive, at, &line, place, is_active);
            }
            Directive::Else => self.else_condition(at),
            Directive::EndIf => self.end_condition(at),
            _ if !is_active => {}
            Directive::Define | Directive::TryDefine | Directive::Redefine => {
                if let Some((name, value)) = self.name_and_rest(&line, at, place) {
                    self.define(&name, Some(value), directive, place.part(0, name.len()));
                }
            }
            Directive::Undefine | Directive::TryUndefine => self.undefine(directive, &line, at, place),
            Directive::Subst | Directive::SubstDef | Directive::SubstDefs => {
                let unquoted = line
                    .strip_prefix(b"\"")
                    .map(|rest| rest.strip_suffix(b"\"").unwrap_or(rest));
                match unquoted {
                    Some(rule) => self.substitution(directive, rule, place),
                    None => self.malformed(at, place, "the rule belongs in double quotes"),
                }
            }
            Directive::DefExp | Directive::DefExps => self.define_expression(directive, &line, at, place),
            Directive::DefEnv | Directive::DefEnvs | Directive::TryDefEnv | Directive::TryDefEnvs => {
                self.define_environment(directive, &line, at, place);
            }
            Directive::ConfigType | Directive::Include | Directive::Import => {}
        }
    }

    fn begin_condition(&mut self, kind: Directive, at: Span, line: &[u8], place: Span, enclosing: bool) {
        let begun = at.to(place);
        let mut condition = Condition {
            begun,
            active: false,
            enclosing,
            otherwise: None,
        };
        if enclosing {
            condition.active = match kind {
                Directive::IfExp => self.expression(line, place).is_some_and(|value| value.is_true()),
                _ => match self.name_and_rest(line, at, place) {
                    Some((name, _)) => self.defines.contains_key(name.as_str()) == (kind == Directive::IfDef),
                    None => false,
                },
            };
        }
        self.conditions.push(condition);
    }

    fn else_condition(&mut self, at: Span) {
        let Some(condition) = self.conditions.last_mut() else {
            self.diagnostics.push(
                Diagnostic::error(codes::STRAY_ELSE, at, "`#!else` without a condition")
                    .help("remove it, or add the `#!ifdef` that it belongs to"),
            );
            return;
        };
        if let Some(first) = condition.otherwise {
            self.diagnostics.push(
                Diagnostic::error(codes::STRAY_ELSE, at, "second `#!else` of a condition")
                    .related(condition.begun, "the condition")
                    .related(first, "its first `#!else`"),
            );
            return;
        }
        condition.otherwise = Some(at);
        condition.active = condition.enclosing && !condition.active;
    }

    fn end_condition(&mut self, at: Span) {
        if self.conditions.pop().is_none() {
            self.diagnostics.push(
                Diagnostic::error(codes::STRAY_ENDIF, at, "`#!endif` without a condition")
                    .help("remove it, or add the `#!ifdef` that it belongs to"),
            );
        }
    }

    fn malformed(&mut self, at: Span, place: Span, message: &str) {
        let span = if place.is_empty() { at } else { place };
        self.diagnostics
            .push(Diagnostic::error(codes::BAD_DIRECTIVE, span, message));
    }

    /// The name at the start of a line, and what follows it.
    fn name_and_rest(&mut self, line: &[u8], at: Span, place: Span) -> Option<(String, Vec<u8>)> {
        let length = line.iter().take_while(|byte| is_word(**byte)).count();
        let name = line.get(..length).unwrap_or_default();
        if name.is_empty() {
            self.malformed(at, place, "name missing: letters, digits and `_`");
            return None;
        }
        let rest = line.get(length..).unwrap_or_default().trim_ascii_start().to_vec();
        Some((String::from_utf8_lossy(name).into_owned(), rest))
    }

    fn define(&mut self, name: &str, value: Option<Vec<u8>>, kind: Directive, place: Span) {
        let value = value.filter(|value| !value.is_empty()).map(Arc::from);
        if let Some(first) = self.defines.get(name)
            && kind != Directive::Redefine
        {
            if matches!(
                kind,
                Directive::TryDefine | Directive::TryDefEnv | Directive::TryDefEnvs
            ) {
                return;
            }
            let found = Diagnostic::error(
                codes::DUPLICATE_DEFINE,
                place,
                format!("`{name}` is defined twice"),
            )
            .help("`#!redefine` replaces the value, `#!trydefine` keeps the first one");
            let found = match first.defined {
                Some(span) => found.related(span, "first defined here"),
                None => found.note("it was defined on the command line, or is always defined"),
            };
            self.diagnostics.push(found);
            return;
        }
        self.defines.insert(
            name.into(),
            Define {
                value,
                defined: Some(place),
            },
        );
    }

    fn undefine(&mut self, kind: Directive, line: &[u8], at: Span, place: Span) {
        let Some((name, _)) = self.name_and_rest(line, at, place) else {
            return;
        };
        if self.defines.remove(name.as_str()).is_none() && kind == Directive::Undefine {
            let names = self.defines.keys().map(AsRef::as_ref);
            let message = format!("`{name}` is not defined");
            let found = Diagnostic::warning(codes::UNDEFINED_NAME, place, message)
                .did_you_mean(closest(&name, names))
                .help("`#!tryundefine` says nothing about a missing name");
            self.diagnostics.push(found);
        }
    }

    /// A rule without its quotes.
    pub(super) fn substitution(&mut self, kind: Directive, rule: &[u8], place: Span) {
        let text = String::from_utf8_lossy(rule).into_owned();
        let made = subst::split(&text)
            .and_then(|fields| Ok((subst::Rule::new(&fields, self.sources, Some(place))?, fields)));
        let (rule, fields) = match made {
            Ok(made) => made,
            Err(message) => {
                self.diagnostics
                    .push(Diagnostic::error(codes::BAD_SUBST, place, message));
                return;
            }
        };
        self.rules.push(rule);
        let value = match kind {
            Directive::SubstDef => fields.replacement.to_owned(),
            Directive::SubstDefs => format!("\"{}\"", fields.replacement),
            _ => return,
        };
        self.define(fields.pattern, Some(value.into_bytes()), kind, place);
    }

    fn expression(&mut self, line: &[u8], place: Span) -> Option<condition::Value> {
        let text = String::from_utf8_lossy(line).into_owned();
        let lookup = |name: &str| {
            let define = self.defines.get(name)?;
            Some(
                define
                    .value
                    .as_deref()
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .unwrap_or_default(),
            )
        };
        match condition::evaluate(&text, &lookup) {
            Ok(value) => Some(value),
            Err((at, message)) => {
                let span = place.part(at, at.saturating_add(1));
                self.diagnostics.push(
                    Diagnostic::error(
                        codes::BAD_CONDITION,
                        span,
                        format!("expression cannot be evaluated: {message}"),
                    )
                    .note("the condition counts as false"),
                );
                None
            }
        }
    }

    fn define_expression(&mut self, kind: Directive, line: &[u8], at: Span, place: Span) {
        let Some((name, text)) = self.name_and_rest(line, at, place) else {
            return;
        };
        let skipped = line.len().saturating_sub(text.len());
        let Some(value) = self.expression(&text, place.part(skipped, place.len())) else {
            return;
        };
        let value = if kind == Directive::DefExps {
            format!("\"{value}\"")
        } else {
            value.to_string()
        };
        self.define(
            &name,
            Some(value.into_bytes()),
            Directive::Define,
            place.part(0, name.len()),
        );
    }

    /// `NAME`, or `NAME=VARIABLE`.
    fn define_environment(&mut self, kind: Directive, line: &[u8], at: Span, place: Span) {
        let Some((name, rest)) = self.name_and_rest(line, at, place) else {
            return;
        };
        let variable = match rest.strip_prefix(b"=") {
            Some(variable) => String::from_utf8_lossy(variable.trim_ascii()).into_owned(),
            None => name.clone(),
        };
        let Some(value) = self.sources.env(&variable) else {
            if matches!(kind, Directive::DefEnv | Directive::DefEnvs) {
                self.diagnostics.push(
                    Diagnostic::error(
                        codes::ENV_MISSING,
                        place,
                        format!("environment variable `{variable}` is not set"),
                    )
                    .help("set it, or use `#!trydefenv` and test with `#!ifdef`"),
                );
            }
            return;
        };
        let quoted = matches!(kind, Directive::DefEnvs | Directive::TryDefEnvs);
        let value = if quoted { format!("\"{value}\"") } else { value };
        self.define(&name, Some(value.into_bytes()), kind, place.part(0, name.len()));
    }
}
