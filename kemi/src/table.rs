//! The `KSR` tree of one configuration.

use std::{collections::BTreeMap, fmt};

use kahea_module::{
    ArgKind, Config, Cx, Fault, Parameter, Ret, RouteId, RouteKinds, Value,
    func::{Caller, FuncDecl},
    log,
    registry::{Loaded, ModuleDecl, Registry},
    ret::{Given, Later},
    rpc::RpcValue,
};

use crate::{Returns, modf, returns};

/// Everything under `KSR`.
pub struct Table {
    groups: Vec<Group>,
    entries: Vec<Entry>,
}

/// The functions under one name: `KSR.tm`, or `KSR` itself.
pub struct Group {
    /// `tm`; empty for `KSR` itself.
    pub name: &'static str,
    /// Its functions, as places in [`Table::entries`], by their names.
    pub entries: Vec<usize>,
}

/// A function that scripts can call, with all numbers of arguments that it takes.
pub struct Entry {
    /// `tm` of `KSR.tm.t_relay`; empty for `KSR.<name>`.
    pub module: &'static str,
    /// `t_relay`.
    pub name: &'static str,
    /// What scripts get from it.
    pub returns: Returns,
    /// It can suspend the message; others answer at once, or with a fault.
    pub waits: bool,
    /// Where it may be called.
    pub routes: RouteKinds,
    /// One sentence.
    pub doc: &'static str,
    overloads: Vec<Overload>,
    any: Option<AnyCount>,
}

/// A form of a function with a fixed number of arguments.
struct Overload {
    count: usize,
    parameters: Vec<Parameter>,
    caller: Caller,
}

/// Takes any number of arguments (`KSR.x.modf`).
type AnyCount = fn(&mut Cx, Vec<Value>) -> Ret;

/// How a call went.
pub enum Answer {
    /// It is done; the value for the script.
    Now(RpcValue),
    /// It has to wait; [`Entry::answer`] takes what comes of it.
    Later(Later),
}

/// The call itself is wrong: to be raised as the language raises errors.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    /// What is wrong with it, and the forms that the function has.
    pub text: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for CallError {}

impl Table {
    /// Of the loaded modules.
    pub fn of(config: &Config) -> Table {
        Table::over(&config.registry, &config.modules)
    }

    /// Of all modules of this build, for listings: none of them is started.
    pub fn of_all(registry: &Registry) -> Table {
        let mut all = Loaded::default();
        for module in registry.modules() {
            all.add(&module.prepare());
        }
        Table::over(registry, &all)
    }

    /// Of these modules of the registry.
    pub fn over(registry: &Registry, loaded: &Loaded) -> Table {
        let mut named: BTreeMap<(&'static str, &'static str), Entry> = BTreeMap::new();
        for (name, slot) in loaded.iter() {
            let Some(module) = registry.module(name) else {
                continue;
            };
            for (decl, kemi) in names(module) {
                let entry = named
                    .entry((kemi.module, kemi.name))
                    .or_insert_with(|| Entry::new(kemi.module, kemi.name, decl));
                entry.add(kemi.count, decl, decl.caller(slot));
            }
        }
        named.insert(("x", "modf"), Entry::modf());
        Table::grouped(named)
    }

    fn grouped(named: BTreeMap<(&'static str, &'static str), Entry>) -> Table {
        let (mut groups, mut entries) = (Vec::<Group>::new(), Vec::new());
        for ((module, _), entry) in named {
            if groups.last().is_none_or(|group| group.name != module) {
                groups.push(Group {
                    name: module,
                    entries: Vec::new(),
                });
            }
            if let Some(group) = groups.last_mut() {
                group.entries.push(entries.len());
            }
            entries.push(entry);
        }
        Table { groups, entries }
    }

    /// All functions, ordered by group and name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// `KSR` itself first, then its modules by name.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The functions of a group.
    pub fn members<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Entry> {
        group.entries.iter().filter_map(|at| self.entries.get(*at))
    }
}

/// The functions of a module that embedded languages have, with each of their names.
fn names(module: &ModuleDecl) -> impl Iterator<Item = (&FuncDecl, &kahea_module::func::KemiName)> {
    module
        .funcs
        .iter()
        .flat_map(|func| func.kemi.iter().map(move |kemi| (func, kemi)))
}

impl Entry {
    fn new(module: &'static str, name: &'static str, decl: &FuncDecl) -> Entry {
        Entry {
            module,
            name,
            returns: returns::of(module, name),
            waits: decl.waits,
            routes: decl.routes,
            doc: decl.doc,
            overloads: Vec::new(),
            any: None,
        }
    }

    fn modf() -> Entry {
        Entry {
            module: "x",
            name: "modf",
            returns: Returns::Code,
            waits: true,
            routes: kahea_module::ANY,
            doc: "Runs a function of the native script, named first, with its arguments.",
            overloads: Vec::new(),
            any: Some(modf::call),
        }
    }

    fn add(&mut self, count: usize, decl: &FuncDecl, caller: Caller) {
        self.waits |= decl.waits;
        // The module that was loaded last has the name, as in the native script.
        self.overloads.retain(|known| known.count != count);
        self.overloads.push(Overload {
            count,
            parameters: decl.parameters.clone(),
            caller,
        });
        self.overloads.sort_by_key(|overload| overload.count);
    }

    /// `KSR.tm.t_relay`.
    pub fn full_name(&self) -> String {
        match self.module {
            "" => format!("KSR.{}", self.name),
            module => format!("KSR.{module}.{}", self.name),
        }
    }

    /// The numbers of arguments that it takes; `None`: any.
    pub fn counts(&self) -> Option<Vec<usize>> {
        match self.any {
            Some(_) => None,
            None => Some(self.overloads.iter().map(|overload| overload.count).collect()),
        }
    }

    /// The parameters of the form with that many arguments.
    pub fn parameters(&self, count: usize) -> &[Parameter] {
        self.overload(count).map_or(&[], |overload| {
            overload.parameters.get(..count).unwrap_or(&overload.parameters)
        })
    }

    fn overload(&self, count: usize) -> Option<&Overload> {
        self.overloads.iter().find(|overload| overload.count == count)
    }

    /// Each form that it has: `KSR.tm.t_relay()`, `KSR.pv.sets(str name, str value)`.
    pub fn signatures(&self) -> Vec<String> {
        if self.any.is_some() {
            return vec![format!("{}(str function, ...)", self.full_name())];
        }
        let form = |overload: &Overload| {
            let parameters: Vec<String> = overload
                .parameters
                .iter()
                .take(overload.count)
                .map(|parameter| format!("{} {}", kind(parameter.kind), parameter.name))
                .collect();
            format!("{}({})", self.full_name(), parameters.join(", "))
        };
        self.overloads.iter().map(form).collect()
    }

    /// Calls it.
    ///
    /// # Errors
    /// No form has that many arguments, or one is of a kind that it cannot take.
    pub fn call(&self, cx: &mut Cx, values: Vec<Value>) -> Result<Answer, CallError> {
        if let Some(any) = self.any {
            let ret = any(cx, values);
            return Ok(self.answer(cx, ret));
        }
        let Some(overload) = self.overload(values.len()) else {
            let count = values.len();
            let s = if count == 1 { "" } else { "s" };
            return Err(self.error(&format!("it does not take {count} argument{s}")));
        };
        for (at, (parameter, value)) in overload.parameters.iter().zip(&values).enumerate() {
            if let Some(wrong) = misfit(parameter.kind, value) {
                let (at, name) = (at.saturating_add(1), parameter.name);
                return Err(self.error(&format!("argument {at} ({name}) must be {wrong}")));
            }
        }
        let ret = overload.caller.call(cx, values);
        Ok(self.answer(cx, ret))
    }

    /// What the answer of a function is worth, be it that of a call or of the wait that followed it.
    pub fn answer(&self, cx: &mut Cx, ret: Ret) -> Answer {
        match ret {
            Ret::Wait(later) => Answer::Later(later),
            Ret::Route(route) => Answer::Later(run_route(route)),
            ret => Answer::Now(self.finish(cx, ret)),
        }
    }

    fn finish(&self, cx: &mut Cx, ret: Ret) -> RpcValue {
        let code = match ret {
            Ret::Code(code) => code,
            Ret::Fault(fault) => {
                report(&self.full_name(), &fault);
                fault.code
            }
            // Whoever waits has waited for these, too.
            Ret::Route(_) | Ret::Wait(_) => -1,
        };
        cx.rc = code;
        match self.returns {
            Returns::Code => RpcValue::Int(code),
            Returns::Bool => RpcValue::Bool(code > 0),
            Returns::Nothing => RpcValue::Null,
            Returns::Value => Given::take(cx).unwrap_or(RpcValue::Null),
        }
    }

    fn error(&self, what: &str) -> CallError {
        CallError {
            text: format!(
                "{}: {what}; write {}",
                self.full_name(),
                self.signatures().join(" or ")
            ),
        }
    }
}

/// Waits for a route of the native script; its return code is the answer.
fn run_route(route: RouteId) -> Later {
    Box::new(move |cx| {
        Box::pin(async move {
            let engine = cx.worker.engine.clone();
            Ret::Code(engine.run(cx, route).await.code)
        })
    })
}

/// Logs what a function could not do, under its own name.
pub(crate) fn report(name: &str, fault: &Fault) {
    log::write(
        fault.blame.level(),
        "<core>",
        format_args!("{name}: {}", fault.text),
    );
}

fn kind(kind: ArgKind) -> &'static str {
    match kind {
        ArgKind::Int => "int",
        ArgKind::Value => "any",
        ArgKind::Str | ArgKind::Var | ArgKind::Regex | ArgKind::Literal(_) => "str",
    }
}

/// What the argument must be, where the value is not it.
fn misfit(kind: ArgKind, value: &Value) -> Option<&'static str> {
    match kind {
        ArgKind::Int if value.int().is_none() => Some("a number"),
        ArgKind::Str | ArgKind::Var | ArgKind::Regex | ArgKind::Literal(_) if value.is_null() => {
            Some("a string, not null")
        }
        _ => None,
    }
}
