//! Names of the script to compiled accessors: the implementation of [`Bind`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kahea_diag::{Diagnostics, FileId, Span, closest};
use kahea_module::{
    Bind, BindError, Format, Index, Piece, RouteId, RouteKind, Str, TransformDecl, Var, VarDecl,
    language::Callback,
    registry::{Loaded, ModuleDecl, Registry},
    var::{IndexSource, VarUse},
};
use parking_lot::Mutex;

use crate::{
    ast::Text,
    known::{self, Kind},
    program::RouteNames,
    pv::{self, Pv, Transformation},
};

/// Names that a script makes up as it runs could be without end.
const MOST_CALLBACKS: usize = 4096;

/// Compiles variables and formats against the loaded modules.
pub struct Binder {
    registry: Arc<Registry>,
    loaded: Loaded,
    absent: HashSet<String>,
    routes: Arc<RouteNames>,
    /// Functions of the embedded language that `cfgengine` names; `None` for the native language.
    callbacks: Option<Mutex<Vec<Arc<Callback>>>>,
    defines: HashMap<String, Str>,
    flags: HashMap<String, u8>,
    slots: Mutex<HashMap<String, usize>>,
    noted: Mutex<Vec<(&'static str, Str)>>,
    /// Variables that were compiled, by their spelling.
    used: Mutex<HashMap<String, Var>>,
    env: fn(&str) -> Option<String>,
    file: Option<Box<str>>,
}

impl Binder {
    /// Over the loaded modules and the script's names.
    pub fn new(
        registry: Arc<Registry>,
        loaded: Loaded,
        absent: HashSet<String>,
        routes: Arc<RouteNames>,
        defines: HashMap<String, Str>,
        flags: HashMap<String, u8>,
    ) -> Binder {
        Binder {
            registry,
            loaded,
            absent,
            routes,
            callbacks: None,
            defines,
            flags,
            slots: Mutex::default(),
            noted: Mutex::default(),
            used: Mutex::default(),
            env: |name| std::env::var(name).ok(),
            file: None,
        }
    }

    /// An embedded language routes messages: names without a block are those of its functions.
    pub fn embedded(mut self, embedded: bool) -> Binder {
        self.callbacks = embedded.then(Mutex::default);
        self
    }

    /// For the configuration file at this path.
    pub fn reading(mut self, path: Option<&str>) -> Binder {
        self.file = path.map(Box::from);
        self
    }

    /// The declarations of the loaded modules, the last loaded first.
    pub fn modules(&self) -> impl Iterator<Item = &ModuleDecl> {
        let mut names: Vec<_> = self.loaded.iter().map(|(name, _)| name).collect();
        names.reverse();
        names.into_iter().filter_map(|name| self.registry.module(name))
    }

    /// The loaded modules.
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The names defined by `#!define` and their values.
    pub fn defines(&self) -> impl Iterator<Item = (&str, &Str)> {
        self.defines.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All modules.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    fn find_var(&self, name: &str) -> Option<(&ModuleDecl, &VarDecl)> {
        self.modules().find_map(|module| {
            module
                .vars
                .iter()
                .find(|var| var.name == name)
                .map(|var| (module, var))
        })
    }

    fn find_transform(&self, class: &str, name: &str) -> Option<&TransformDecl> {
        self.modules().find_map(|module| {
            module
                .transforms
                .iter()
                .find(|t| t.class == class && t.name == name)
        })
    }

    /// Compiles a variable of the syntax tree.
    ///
    /// # Errors
    /// It, or something in it, is unknown.
    pub fn pv(&self, pv: &Pv) -> Result<Var, BindError> {
        let (module, decl) = self
            .find_var(&pv.name.text)
            .ok_or_else(|| self.unknown_var(&pv.name.text))?;
        let slot = self
            .loaded
            .slot(module.name)
            .ok_or_else(|| BindError::new("its module is not loaded"))?;
        let inner = pv.inner.as_ref().map(|inner| inner.raw.value.text());
        let index = match &pv.index {
            None => IndexSource::Fixed(Index::None),
            Some(pv::Index::Int(n, _)) => IndexSource::Fixed(Index::At(*n)),
            Some(pv::Index::All(_)) => IndexSource::Fixed(Index::All),
            Some(pv::Index::Pv(inner)) => IndexSource::Var(self.pv(inner)?),
        };
        let usage = VarUse {
            text: &pv.raw,
            inner: inner.as_deref(),
            index,
            bind: self,
        };
        let mut var = decl.bind(slot, &usage)?;
        if pv.index.is_none() && pv.transformations.is_empty() {
            self.note(&var);
        }
        for step in &pv.transformations {
            var = self.transformed(var, step, &pv.raw)?;
        }
        Ok(var)
    }

    /// Keeps a variable for [`Bind::variables`]; names that are made at run time do not add up.
    fn note(&self, var: &Var) {
        const MOST: usize = 4096;
        let mut used = self.used.lock();
        if used.len() < MOST {
            used.entry(var.text().text().into_owned())
                .or_insert_with(|| var.clone());
        }
    }

    fn transformed(&self, var: Var, step: &Transformation, raw: &str) -> Result<Var, BindError> {
        let decl = self
            .find_transform(&step.class.text, &step.name.text)
            .ok_or_else(|| self.unknown_transform(&step.class.text, &step.name.text))?;
        let args = step.args.as_ref().map(|args| args.value.text());
        let run = decl.bind(args.as_deref(), self)?;
        Ok(var.map(Str::from(raw), move |cx, value| run(cx, value)))
    }

    fn unknown_var(&self, name: &str) -> BindError {
        let mut error = BindError::new(format!("unknown variable ${name}"));
        error.covered = self.is_covered(Kind::Var, name);
        match self.missing_module(Kind::Var, name) {
            Some(help) => error.help(help),
            None => {
                let names = self
                    .modules()
                    .flat_map(|module| module.vars.iter().map(|var| var.name));
                match closest(name, names) {
                    Some(close) => error.help(format!("did you mean ${close}?")),
                    None => error,
                }
            }
        }
    }

    fn unknown_transform(&self, class: &str, name: &str) -> BindError {
        let full = format!("{class}.{name}");
        let mut error = BindError::new(format!("unknown transformation {{{full}}}"));
        error.covered = self.is_covered(Kind::Transformation, &full);
        match self.missing_module(Kind::Transformation, &full) {
            Some(help) => error.help(help),
            None => {
                let names: Vec<String> = self
                    .modules()
                    .flat_map(|module| {
                        module
                            .transforms
                            .iter()
                            .map(|t| format!("{}.{}", t.class, t.name))
                    })
                    .collect();
                match closest(&full, names.iter().map(String::as_str)) {
                    Some(close) => error.help(format!("did you mean {{{close}}}?")),
                    None => error,
                }
            }
        }
    }

    /// A text with variables that have a value without a message: `$def(x)`, `$defn(x)`, `$env(X)` (`modparamx`).
    ///
    /// # Errors
    /// Any other variable, or an unknown one.
    pub fn at_load(&self, text: &str) -> Result<Str, BindError> {
        let mut problems = Diagnostics::new();
        let pieces = pv::format(&whole(text), &mut problems);
        if let Some(error) = first_problem(&problems) {
            return Err(error);
        }
        let mut out = Vec::new();
        for piece in pieces {
            match piece {
                pv::Piece::Text(text) => out.extend_from_slice(&text.value),
                pv::Piece::Pv(pv) => out.extend_from_slice(&self.value_at_load(&pv)?),
            }
        }
        Ok(Str::from(out))
    }

    fn value_at_load(&self, pv: &Pv) -> Result<Str, BindError> {
        let name = pv
            .inner
            .as_ref()
            .map(|inner| inner.raw.value.text())
            .unwrap_or_default();
        let plain = pv.transformations.is_empty() && pv.index.is_none();
        match &*pv.name.text {
            "def" | "defn" | "defv" | "defs" if plain => self.defines.get(&*name).cloned().ok_or_else(|| {
                BindError::new(format!("{name} is not defined")).help(format!("add #!define {name} value"))
            }),
            "env" | "envn" if plain => (self.env)(&name)
                .map(Str::from)
                .ok_or_else(|| BindError::new(format!("the environment has no {name}"))),
            _ => Err(
                BindError::new(format!("{} has no value before a message comes", pv.raw))
                    .help("modparamx can use $def(name) and $env(NAME)"),
            ),
        }
    }

    /// The name belongs to a module that the configuration loads and this build does not have: its `loadmodule` line
    /// has the finding already.
    pub fn is_covered(&self, kind: Kind, name: &str) -> bool {
        known::modules_with(kind, name)
            .iter()
            .any(|module| self.absent.contains(*module))
    }

    /// The module is loaded by the configuration and not available.
    pub fn is_absent(&self, module: &str) -> bool {
        self.absent.contains(module)
    }

    /// What to load so that the name exists.
    pub fn missing_module(&self, kind: Kind, name: &str) -> Option<String> {
        let modules: Vec<&str> = known::modules_with(kind, name)
            .iter()
            .filter(|module| !self.loaded.has(module))
            .copied()
            .collect();
        let first = modules.first()?;
        if *first == "core" {
            return None;
        }
        let here = modules
            .iter()
            .find(|module| self.registry.module(module).is_some());
        Some(match here {
            Some(module) => format!("it belongs to module {module}: add loadmodule \"{module}.so\""),
            None => format!(
                "it belongs to module {}, which this server does not have yet",
                modules.join(", ")
            ),
        })
    }
}

fn whole(text: &str) -> Text {
    Text::verbatim(Str::from(text), Span::new(FileId::ROOT, 0, 0))
}

fn first_problem(diagnostics: &Diagnostics) -> Option<BindError> {
    diagnostics.iter().next().map(|problem| BindError {
        covered: false,
        message: problem.message.clone(),
        help: problem.help.first().cloned(),
    })
}

impl Bind for Binder {
    fn format(&self, text: &str) -> Result<Format, BindError> {
        if !text.contains('$') {
            return Ok(Format::constant(text));
        }
        let mut problems = Diagnostics::new();
        let parsed = pv::format(&whole(text), &mut problems);
        if let Some(error) = first_problem(&problems) {
            return Err(error);
        }
        let mut pieces = Vec::with_capacity(parsed.len());
        for piece in parsed {
            pieces.push(match piece {
                pv::Piece::Text(text) => Piece::Text(text.value),
                pv::Piece::Pv(pv) => Piece::Var(self.pv(&pv)?),
            });
        }
        Ok(Format::new(pieces))
    }

    fn var(&self, text: &str) -> Result<Var, BindError> {
        let mut problems = Diagnostics::new();
        match pv::parse(&whole(text), &mut problems) {
            Some(pv) => self.pv(&pv),
            None => Err(first_problem(&problems)
                .unwrap_or_else(|| BindError::new(format!("'{text}' is no variable")))
                .help("write a variable such as $var(name)")),
        }
    }

    fn route(&self, kind: RouteKind, name: &str) -> Option<RouteId> {
        let native = self.routes.get(kind, name.as_bytes());
        // Names of events have a colon, those of functions have none.
        let function = || self.callback(kind, name).filter(|_| !name.contains(':'));
        native.or_else(function)
    }

    fn callback(&self, kind: RouteKind, function: &str) -> Option<RouteId> {
        if function.is_empty() || function == "none" {
            return None;
        }
        let mut known = self.callbacks.as_ref()?.lock();
        let at = known
            .iter()
            .position(|callback| callback.kind == kind && *callback.name == *function.as_bytes());
        let id = u32::try_from(at.unwrap_or(known.len())).ok()?;
        if at.is_none() {
            if known.len() >= MOST_CALLBACKS {
                return None;
            }
            known.push(Arc::new(Callback {
                id,
                name: Str::from(function),
                kind,
                optional: matches!(kind, RouteKind::CoreReply | RouteKind::OnSend),
            }));
        }
        Some(RouteId::of_callback(id))
    }

    fn callback_of(&self, route: RouteId) -> Option<Arc<Callback>> {
        let at = usize::try_from(route.callback()?).ok()?;
        self.callbacks.as_ref()?.lock().get(at).cloned()
    }

    fn has_module(&self, name: &str) -> bool {
        self.loaded.has(name)
    }

    fn variables(&self) -> Vec<Var> {
        self.used.lock().values().cloned().collect()
    }

    fn var_slot(&self, name: &str) -> usize {
        let mut slots = self.slots.lock();
        let next = slots.len();
        *slots.entry(name.to_owned()).or_insert(next)
    }

    fn define(&self, name: &str) -> Option<Str> {
        self.defines.get(name).cloned()
    }

    fn flag(&self, name: &str) -> Option<u8> {
        self.flags.get(name).copied()
    }

    fn note(&self, topic: &'static str, name: &str) {
        let mut noted = self.noted.lock();
        if !noted
            .iter()
            .any(|(known, text)| *known == topic && *text == *name)
        {
            noted.push((topic, Str::from(name)));
        }
    }

    fn noted(&self, topic: &str) -> Vec<Str> {
        let noted = self.noted.lock();
        let of_topic = noted.iter().filter(|(known, _)| *known == topic);
        of_topic.map(|(_, name)| name.clone()).collect()
    }

    fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}
