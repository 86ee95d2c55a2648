//! From the syntax tree to a program: names looked up, arguments prepared, everything wrong reported.

mod bind;
mod body;
mod expr;
mod find;
mod keyword;
mod modules;
mod settings;
mod usage;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kahea_diag::{Diagnostic, Diagnostics, FileId, SourceMap, Span, codes};
use kahea_module::{
    RouteId, RouteKind, Str, Value,
    globals::Globals,
    registry::{Loaded, Pending, Registry},
};

pub use self::bind::Binder;
use self::{body::Body, usage::Usage};
use crate::{
    ast::{self, ConfigFile, ItemKind, RouteBlock},
    parser::Parsed,
    preprocess::Define,
    program::{Program, RouteNames},
};

/// A module that the configuration loads, with its parameters, not yet started.
pub struct Starting {
    /// The module.
    pub pending: Pending,
    /// Its `loadmodule` line.
    pub span: Span,
}

/// A parameter of the script's own: `group.name = value desc "text"`.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomSetting {
    /// Before the dot.
    pub group: Str,
    /// After the dot.
    pub name: Str,
    /// A number or a text.
    pub value: Value,
    /// What it is for.
    pub doc: Str,
}

/// A configuration, read and checked. It can start when [`Diagnostics::has_errors`] is false.
pub struct Compiled {
    /// Global parameters.
    pub globals: Globals,
    /// Route blocks.
    pub program: Program,
    /// Compiles names at start and at run time.
    pub binder: Arc<Binder>,
    /// Modules in load order.
    pub modules: Vec<Starting>,
    /// Their places.
    pub loaded: Loaded,
    /// `modparam` lines that were taken: module, parameter, value.
    pub params: Vec<(Str, Str, Value)>,
    /// Own parameters.
    pub custom: Vec<CustomSetting>,
    /// `cfgengine`, where not the native language.
    pub engine: Option<(Str, Span)>,
    /// All that was found.
    pub diagnostics: Diagnostics,
    /// All texts.
    pub sources: SourceMap,
}

/// Modules that are there without `loadmodule`: the core's own declarations.
pub const BUILT_IN: &[&str] = &["core", "core-pv"];

/// Compiles a configuration that was read.
pub fn compile(parsed: Parsed, registry: &Arc<Registry>) -> Compiled {
    let Parsed {
        config,
        sources,
        mut diagnostics,
        defines,
        calls,
    } = parsed;
    let defines = texts(&defines);
    let mut absent = HashSet::new();
    let mut modules = modules::load(&config, registry, &mut absent, &mut diagnostics);
    modules::load_moved(&calls, &sources, registry, &mut modules, &mut diagnostics);
    let mut loaded = Loaded::default();
    modules.iter().for_each(|starting| loaded.add(&starting.pending));
    let (names, blocks) = name_routes(&config, &mut diagnostics);
    let names = Arc::new(names);
    let flags = flags(&config, &mut diagnostics);
    let file = sources.file(FileId::ROOT).map(|file| file.name());
    let binder = Binder::new(
        registry.clone(),
        loaded.clone(),
        absent,
        names.clone(),
        defines,
        flags,
    );
    let engine = engine(&config);
    let binder = Arc::new(binder.reading(file).embedded(engine.is_some()));
    let mut usage = Usage::default();
    let globals = settings::globals(&config, &mut diagnostics);
    let params = modules::parameters(&config, &binder, &mut modules, &mut usage, &mut diagnostics);
    let mut program = Program {
        names,
        ..Program::default()
    };
    for (kind, name, block) in &blocks {
        let body = Body::new(
            &binder,
            &mut program,
            &mut diagnostics,
            &sources,
            &mut usage,
            *kind,
            !name.is_empty(),
        );
        let route = body.finish(name.clone(), &block.body);
        program.routes.push(route);
    }
    unused(&blocks, &binder, &usage, engine.is_some(), &mut diagnostics);
    let custom = settings::custom(&config);
    Compiled {
        globals,
        program,
        binder,
        modules,
        loaded,
        params,
        custom,
        engine,
        diagnostics,
        sources,
    }
}

/// The defines as `$def()` shows them.
fn texts(defines: &HashMap<Box<str>, Define>) -> HashMap<String, Str> {
    let text = |define: &Define| define.value.as_deref().map_or(Str::EMPTY, Str::copy);
    defines
        .iter()
        .map(|(name, define)| (name.to_string(), text(define)))
        .collect()
}

fn engine(config: &ConfigFile) -> Option<(Str, Span)> {
    config.items.iter().rev().find_map(|item| match &item.kind {
        ItemKind::CfgEngine(text) if *text.value != *b"native" && *text.value != *b"default" => {
            Some((text.value.clone(), text.span))
        }
        _ => None,
    })
}

type Blocks<'a> = Vec<(RouteKind, Str, &'a RouteBlock)>;

/// Gives each route block its number.
fn name_routes<'a>(config: &'a ConfigFile, diagnostics: &mut Diagnostics) -> (RouteNames, Blocks<'a>) {
    let mut names = RouteNames::default();
    let mut blocks: Blocks<'a> = Vec::new();
    for item in &config.items {
        let ItemKind::Route(block) = &item.kind else {
            continue;
        };
        let kind = kind_of(block.kind, block.name.is_some());
        let name = block
            .name
            .as_ref()
            .map_or(Str::EMPTY, |name| Str::from(&*name.text));
        // `route[0]` is the request route of old scripts, and `onreply_route[0]` the reply route.
        let old_main = *name == *b"0" && matches!(kind, RouteKind::Request);
        let name = if old_main { Str::EMPTY } else { name };
        let id = RouteId(body::index(blocks.len()));
        if let Some(earlier) = names.add(kind, name.clone(), id) {
            let first = usize::try_from(earlier.0)
                .ok()
                .and_then(|at| blocks.get(at))
                .map(|(_, _, block)| block.head);
            let what = block_name(kind, &name);
            let problem = Diagnostic::error(
                codes::DUPLICATE_ROUTE,
                block.head,
                format!("{what} is defined twice"),
            );
            let problem = problem.help("give the second block another name, or join the two");
            diagnostics.push(match first {
                Some(first) => problem.related(first, "first defined here"),
                None => problem,
            });
        }
        blocks.push((kind, name, block));
    }
    (names, blocks)
}

/// As the script writes its head.
fn block_name(kind: RouteKind, name: &Str) -> String {
    match kind {
        _ if name.is_empty() => kind.keyword().to_owned(),
        RouteKind::Request => format!("route[{name}]"),
        _ => format!("{}[{name}]", kind.keyword()),
    }
}

fn kind_of(kind: ast::RouteKind, named: bool) -> RouteKind {
    match kind {
        ast::RouteKind::Request | ast::RouteKind::Sub => RouteKind::Request,
        ast::RouteKind::Failure => RouteKind::Failure,
        ast::RouteKind::Reply => RouteKind::CoreReply,
        ast::RouteKind::OnReply if named => RouteKind::Reply,
        ast::RouteKind::OnReply => RouteKind::CoreReply,
        ast::RouteKind::Branch => RouteKind::Branch,
        ast::RouteKind::OnSend => RouteKind::OnSend,
        ast::RouteKind::Event => RouteKind::Event,
    }
}

/// The numbers of named flags: as given, else the lowest that is free.
fn flags(config: &ConfigFile, diagnostics: &mut Diagnostics) -> HashMap<String, u8> {
    let declared = || {
        config.items.iter().flat_map(|item| match &item.kind {
            ItemKind::Flags(flags) | ItemKind::AvpFlags(flags) => flags.as_slice(),
            _ => &[],
        })
    };
    let mut flags = HashMap::new();
    for flag in declared() {
        let Some((number, span)) = flag.number else {
            continue;
        };
        match u8::try_from(number).ok().filter(|n| *n < 32) {
            Some(number) => {
                flags.insert(flag.name.text.to_string(), number);
            }
            None => {
                let message = format!("flag {} cannot have the number {number}", flag.name.text);
                diagnostics
                    .push(Diagnostic::error(codes::UNKNOWN_FLAG, span, message).help("flags are 0 to 31"));
            }
        }
    }
    for flag in declared().filter(|flag| flag.number.is_none()) {
        let free = (0..32).rev().find(|n| !flags.values().any(|used| used == n));
        if let (Some(number), false) = (free, flags.contains_key(&*flag.name.text)) {
            flags.insert(flag.name.text.to_string(), number);
        }
    }
    flags
}

/// Findings about the whole: blocks that nothing runs, variables that nothing sets.
fn unused(
    blocks: &Blocks<'_>,
    binder: &Binder,
    usage: &Usage,
    embedded: bool,
    diagnostics: &mut Diagnostics,
) {
    for (kind, name, block) in blocks {
        match kind {
            RouteKind::Event => unknown_event(name, block, binder, usage, diagnostics),
            _ if name.is_empty() || embedded || !usage.is_unused(name) => {}
            _ => {
                let message = format!("{} is never called", block_name(*kind, name));
                let problem = Diagnostic::warning(codes::UNUSED_ROUTE, block.head, message);
                diagnostics.push(problem.help("call it, or take it out"));
            }
        }
    }
    for (name, span) in usage.never_set() {
        let problem = Diagnostic::warning(
            codes::SUSPICIOUS,
            span,
            format!("$var({name}) is read and never set"),
        );
        diagnostics.push(
            problem
                .label("always 0 here")
                .help("assign it first, or check its spelling"),
        );
    }
}

fn unknown_event(
    name: &Str,
    block: &RouteBlock,
    binder: &Binder,
    usage: &Usage,
    diagnostics: &mut Diagnostics,
) {
    let text = name.text();
    let events: Vec<&str> = binder
        .modules()
        .flat_map(|module| module.events.iter().map(|event| event.name))
        .collect();
    let known = events.iter().any(|event| match event.split_once(['*', '<']) {
        Some((start, _)) => text.starts_with(start),
        None => *event == text,
    });
    let group = text.split(':').next().unwrap_or_default();
    if known || binder.is_absent(group) || !usage.is_unused(name) {
        return;
    }
    let problem = Diagnostic::warning(
        codes::UNKNOWN_EVENT,
        block.head,
        format!("event_route[{text}] never runs"),
    );
    let loaded = kahea_module::Bind::has_module(binder, group);
    diagnostics.push(if !loaded && crate::known::is_module(group) {
        problem.help(format!("module {group} is not loaded"))
    } else {
        problem.did_you_mean(kahea_diag::closest(&text, events))
    });
}
