//! `loadmodule` and `modparam`.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kahea_diag::{Diagnostic, Diagnostics, SourceMap, Span, closest, codes};
use kahea_module::{
    Str, Value,
    registry::{ModuleDecl, Registry},
};

use super::{
    BUILT_IN, Binder, Starting,
    body::{NOWHERE, bind_problem},
    usage::Usage,
};
use crate::{
    ast::{ConfigFile, ItemKind, ModParam, ParamValue, Text},
    bygone,
    known::{self, Kind},
};

/// The modules that the configuration loads, built-in ones first.
pub(super) fn load(
    config: &ConfigFile,
    registry: &Arc<Registry>,
    absent: &mut HashSet<String>,
    diagnostics: &mut Diagnostics,
) -> Vec<Starting> {
    let mut modules: Vec<Starting> = BUILT_IN
        .iter()
        .filter_map(|name| registry.module(name))
        .map(|decl| Starting {
            pending: decl.prepare(),
            span: NOWHERE,
        })
        .collect();
    for item in &config.items {
        let ItemKind::LoadModule(line) = &item.kind else {
            continue;
        };
        let written = module_name(&line.name);
        let name = renamed(&written, line.name.span, diagnostics).to_owned();
        let Some(decl) = registry
            .module(&name)
            .filter(|decl| !BUILT_IN.contains(&decl.name))
        else {
            diagnostics.push(unknown_module(&name, line.name.span, registry));
            absent.insert(name);
            continue;
        };
        if let Some(first) = modules.iter().find(|module| module.pending.name() == decl.name) {
            if name != written {
                continue;
            }
            let problem = Diagnostic::warning(
                codes::MODULE_TWICE,
                line.name.span,
                format!("module {name} is loaded twice"),
            );
            diagnostics.push(
                problem
                    .related(first.span, "first loaded here")
                    .help("take one of the two lines out"),
            );
            continue;
        }
        modules.push(Starting {
            pending: decl.prepare(),
            span: item.span,
        });
    }
    modules
}

/// Loads the modules of functions that were part of the core, for configurations from that time.
pub(super) fn load_moved(
    calls: &HashMap<Box<str>, Span>,
    sources: &SourceMap,
    registry: &Arc<Registry>,
    modules: &mut Vec<Starting>,
    diagnostics: &mut Diagnostics,
) {
    let mut found: Vec<(Span, &str, &str)> = bygone::MOVED
        .iter()
        .filter_map(|(name, module)| Some((*calls.get(*name)?, *name, *module)))
        .collect();
    found.sort_by_cached_key(|(span, ..)| sources.reading_order(*span));
    let mut problem: Option<Diagnostic> = None;
    for (span, name, module) in found {
        let is_loaded = modules.iter().any(|starting| starting.pending.name() == module);
        let (false, Some(decl)) = (is_loaded, registry.module(module)) else {
            continue;
        };
        let message = format!("{name}() is in module {module} by now, which is loaded for it");
        let so_far = match problem {
            None => Diagnostic::warning(codes::LOADED_UNASKED, span, message),
            Some(problem) => problem.related(span, message),
        };
        problem = Some(so_far.help(format!("add loadmodule \"{module}.so\"")));
        modules.push(Starting {
            pending: decl.prepare(),
            span,
        });
    }
    if let Some(problem) = problem {
        diagnostics.push(problem);
    }
}

/// The name that a module has by now, with a warning where it is another.
fn renamed<'a>(name: &'a str, span: Span, diagnostics: &mut Diagnostics) -> &'a str {
    let Some(now) = bygone::module_now(name) else {
        return name;
    };
    let message = format!("module {name} is {now} by now");
    let problem = Diagnostic::warning(codes::NO_LONGER_USED, span, message);
    diagnostics.push(problem.help(format!("write loadmodule \"{now}.so\"")));
    now
}

/// `/usr/lib/kamailio/modules/tm.so` and `tm` are both `tm`.
fn module_name(text: &Text) -> String {
    let whole = text.value.text();
    let file = whole.rsplit('/').next().unwrap_or(&whole);
    file.strip_suffix(".so").unwrap_or(file).to_owned()
}

fn unknown_module(name: &str, span: Span, registry: &Registry) -> Diagnostic {
    if known::is_old_module(name) {
        let message = format!("module {name} belongs to an earlier version of Kamailio and is not loaded");
        return Diagnostic::warning(codes::NO_LONGER_USED, span, message).help("take the line out");
    }
    if known::is_module(name) {
        let message = format!("module {name} is not available yet");
        return Diagnostic::error(codes::NOT_SUPPORTED, span, message)
            .help("`kahea list modules` shows the modules of this build");
    }
    let names = registry
        .modules()
        .iter()
        .map(|module| module.name)
        .chain(known::all(Kind::Module));
    Diagnostic::error(codes::UNKNOWN_MODULE, span, format!("unknown module {name}"))
        .did_you_mean(closest(name, names))
}

/// Hands the `modparam` lines to the modules.
pub(super) fn parameters(
    config: &ConfigFile,
    binder: &Arc<Binder>,
    modules: &mut [Starting],
    usage: &mut Usage,
    diagnostics: &mut Diagnostics,
) -> Vec<(Str, Str, Value)> {
    let mut taken = Vec::new();
    for item in &config.items {
        let ItemKind::ModParam(line) = &item.kind else {
            continue;
        };
        let Some(value) = value(line, binder, diagnostics) else {
            continue;
        };
        if let Value::Str(text) = &value {
            // Parameters name routes (`timer` of rtimer, `event_callback`).
            text.split(|byte| matches!(byte, b';' | b'=' | b','))
                .for_each(|part| usage.text(part.trim_ascii()));
        }
        for name in line.modules.value.text().split('|') {
            let name = name.trim();
            one(name, line, &value, binder, modules, diagnostics);
            let now = bygone::module_now(name).unwrap_or(name);
            taken.push((Str::from(now), line.name.value.clone(), value.clone()));
        }
    }
    taken
}

fn value(line: &ModParam, binder: &Binder, diagnostics: &mut Diagnostics) -> Option<Value> {
    match &line.value {
        ParamValue::Int(n, _) => Some(Value::Int(*n)),
        ParamValue::Str(text) if line.evaluated => at_load(&text.value, text.span, binder, diagnostics),
        ParamValue::Str(text) => Some(Value::Str(text.value.clone())),
        ParamValue::Pv(pv) => at_load(&Str::from(&*pv.raw), pv.span, binder, diagnostics),
        ParamValue::Error(_) => None,
    }
}

/// `modparamx`: variables that have a value without a message (`$def`, `$env`, `$version`).
fn at_load(text: &Str, span: Span, binder: &Binder, diagnostics: &mut Diagnostics) -> Option<Value> {
    match binder.at_load(&text.text()) {
        Ok(text) => Some(Value::Str(text)),
        Err(error) => {
            diagnostics.push(bind_problem(span, error));
            None
        }
    }
}

fn one(
    written: &str,
    line: &ModParam,
    value: &Value,
    binder: &Arc<Binder>,
    modules: &mut [Starting],
    diagnostics: &mut Diagnostics,
) {
    let name = bygone::module_now(written).unwrap_or(written);
    let Some(module) = modules.iter_mut().find(|module| module.pending.name() == name) else {
        if let Some(problem) = not_loaded(name, line, binder.registry()) {
            diagnostics.push(problem);
        }
        return;
    };
    let Some(decl) = binder.registry().module(name) else {
        return;
    };
    let param = line.name.value.text();
    let Some(_) = decl
        .params
        .iter()
        .find(|p| p.name == param || p.aliases.contains(&&*param))
    else {
        diagnostics.push(match name == written {
            true => unknown_parameter(decl, &param, line.name.span),
            false => unused_parameter(written, &param, line.name.span),
        });
        return;
    };
    if let Err(error) = decl.set(&mut module.pending, &param, value, &**binder) {
        let span = match &line.value {
            ParamValue::Int(_, span) | ParamValue::Error(span) => *span,
            ParamValue::Str(text) => text.span,
            ParamValue::Pv(pv) => pv.span,
        };
        let problem = Diagnostic::error(codes::BAD_PARAMETER, span, error.message);
        let problem = problem.related(line.name.span, format!("parameter {param} of module {name}"));
        diagnostics.push(match error.help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
}

fn not_loaded(name: &str, line: &ModParam, registry: &Registry) -> Option<Diagnostic> {
    let span = line.modules.span;
    if registry.module(name).is_some() {
        let problem = Diagnostic::error(
            codes::MODULE_NOT_LOADED,
            span,
            format!("module {name} is not loaded"),
        );
        return Some(problem.help(format!("add loadmodule \"{name}.so\" before this line")));
    }
    // A module that is not available has its diagnostic at the loadmodule line already.
    if known::is_module(name) {
        return None;
    }
    let names = registry
        .modules()
        .iter()
        .map(|module| module.name)
        .chain(known::all(Kind::Module));
    Some(
        Diagnostic::error(codes::UNKNOWN_MODULE, span, format!("unknown module {name}"))
            .did_you_mean(closest(name, names)),
    )
}

fn unused_parameter(module: &str, param: &str, span: Span) -> Diagnostic {
    let message = format!("parameter {param} of module {module} has no effect any more");
    Diagnostic::warning(codes::NO_LONGER_USED, span, message).help("take the line out")
}

fn unknown_parameter(decl: &ModuleDecl, param: &str, span: Span) -> Diagnostic {
    if known::modules_with(Kind::OldParam, param).contains(&decl.name) {
        return unused_parameter(decl.name, param, span);
    }
    let names = decl.params.iter().map(|param| param.name);
    let close = closest(param, names);
    let message = format!("module {} has no parameter {param}", decl.name);
    let mut problem = Diagnostic::error(codes::UNKNOWN_PARAMETER, span, message).did_you_mean(close);
    let others = known::modules_with(Kind::Param, param);
    if close.is_none() && !others.is_empty() {
        problem = problem.help(format!("module {} has one of that name", others.join(", ")));
    }
    problem
}
