//! The registry: every module there is, its declarations, and the instances of one configuration.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    Bind, BindError, Decl, Fault, FuncDecl, Module, RouteId, RouteKind, TransformDecl, Value, VarDecl,
    config::{Hooks, Identity, Shared},
    decl::{EventDecl, StatDecl},
    globals::Globals,
    param::{ParamDecl, ParamInfo},
    rpc::RpcDecl,
    settings::Settings,
    stats::Counter,
};

type Slot = Arc<dyn Any + Send + Sync>;

/// A module's place in a configuration: filled when it starts, so that calls can be prepared before.
pub struct Handle<M>(Arc<OnceLock<M>>);

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

impl<M: Send + Sync + 'static> Handle<M> {
    pub(crate) fn of(slot: &Slot) -> Result<Handle<M>, BindError> {
        match slot.clone().downcast::<OnceLock<M>>() {
            Ok(cell) => Ok(Handle(cell)),
            Err(_) => Err(BindError::new(
                "the declaration belongs to another module (a defect of this server)",
            )),
        }
    }

    /// The instance.
    ///
    /// # Errors
    /// The module is not started.
    pub fn get(&self) -> Result<&M, Fault> {
        self.0
            .get()
            .ok_or_else(|| Fault::new(crate::Blame::Ours, "the module is not started"))
    }
}

/// The instance in a module's place, without taking a share of it.
pub(crate) fn instance<M: Send + Sync + 'static>(slot: &Slot) -> Result<&M, Fault> {
    slot.downcast_ref::<OnceLock<M>>()
        .and_then(OnceLock::get)
        .ok_or_else(|| Fault::new(crate::Blame::Ours, "the module is not started"))
}

/// A module does not start.
#[derive(Clone, Debug)]
pub struct InitError {
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl InitError {
    /// Without a remedy yet.
    pub fn new(message: impl Into<String>) -> InitError {
        InitError {
            message: message.into(),
            help: None,
        }
    }

    /// With the remedy.
    pub fn help(mut self, help: impl Into<String>) -> InitError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InitError {}

impl From<BindError> for InitError {
    fn from(error: BindError) -> InitError {
        InitError {
            message: error.message,
            help: error.help,
        }
    }
}

/// What modules published, by type.
pub type Services = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// What a module finds around it when it starts.
pub struct Env<'a> {
    /// Compiles formats and variables that stand in parameters, and finds routes.
    pub bind: Arc<dyn Bind>,
    /// Global parameters.
    pub globals: &'a Globals,
    /// Outlives reloads.
    pub shared: Arc<Shared>,
    /// To be filled with what the module does to messages.
    pub hooks: &'a mut Hooks,
    /// Who this server is; modules may add tests.
    pub identity: &'a mut Identity,
    /// Run-time parameters.
    pub settings: &'a Settings,
    /// What modules publish for each other.
    pub services: &'a mut Services,
    /// The module that starts.
    pub module: &'static str,
    /// Reads files at start and reload (`hash_file`, `regex` groups); the embedding decides from where.
    pub read_file: &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>,
}

impl Env<'_> {
    /// The counter of a declared statistic in the module's own group; goes on over reloads.
    pub fn counter(&self, name: &'static str) -> Counter {
        self.shared.stats.counter(self.module, name, "")
    }

    /// An event route, where the script has it.
    pub fn event_route(&self, name: &str) -> Option<RouteId> {
        self.bind.route(RouteKind::Event, name)
    }

    /// Publishes something for modules that are loaded later.
    pub fn provide<T: Send + Sync + 'static>(&mut self, service: Arc<T>) {
        self.services.insert(TypeId::of::<T>(), service);
    }

    /// What an earlier module published.
    pub fn service<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.services
            .get(&TypeId::of::<T>())
            .cloned()
            .and_then(|any| any.downcast().ok())
    }
}

/// A module that is going to be started: its parameters as they come in.
pub struct Pending {
    name: &'static str,
    first: bool,
    params: Box<dyn Any>,
    slot: Slot,
}

impl Pending {
    /// Where calls of this module will find it.
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// The module's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// It starts before the others ([`Module::FIRST`]).
    pub fn starts_first(&self) -> bool {
        self.first
    }
}

type SetFn = Box<dyn Fn(&mut Pending, &str, &Value, &dyn Bind) -> Result<(), BindError> + Send + Sync>;
type InitFn = Box<dyn Fn(Pending, &mut Env<'_>) -> Result<(), InitError> + Send + Sync>;

/// All that is known of one module.
pub struct ModuleDecl {
    /// As in `loadmodule`.
    pub name: &'static str,
    /// Parameters.
    pub params: Vec<ParamInfo>,
    /// Functions, those of embedded languages included.
    pub funcs: Vec<FuncDecl>,
    /// Variables.
    pub vars: Vec<VarDecl>,
    /// Transformations.
    pub transforms: Vec<TransformDecl>,
    /// RPC commands.
    pub rpcs: Vec<RpcDecl>,
    /// Event routes.
    pub events: Vec<EventDecl>,
    /// Statistics.
    pub stats: Vec<StatDecl>,
    prepare: fn() -> Pending,
    set: SetFn,
    init: InitFn,
}

impl ModuleDecl {
    /// The declaration of `M`; family crates list their modules with [`modules!`](crate::modules).
    pub fn of<M: Module>() -> ModuleDecl {
        let Decl {
            params,
            funcs,
            vars,
            transforms,
            rpcs,
            events,
            stats,
        } = Decl::<M>::collect();
        let infos = params.iter().map(|param| param.info.clone()).collect();
        ModuleDecl {
            name: M::NAME,
            params: infos,
            funcs,
            vars,
            transforms,
            rpcs,
            events,
            stats,
            prepare: prepare::<M>,
            set: Box::new(move |pending, name, value, bind| set::<M>(&params, pending, name, value, bind)),
            init: Box::new(init::<M>),
        }
    }

    /// Begins to load it.
    pub fn prepare(&self) -> Pending {
        (self.prepare)()
    }

    /// Takes a `modparam` line.
    ///
    /// # Errors
    /// No such parameter, or the value does not fit.
    pub fn set(
        &self,
        pending: &mut Pending,
        name: &str,
        value: &Value,
        bind: &dyn Bind,
    ) -> Result<(), BindError> {
        (self.set)(pending, name, value, bind)
    }

    /// Starts it.
    ///
    /// # Errors
    /// As [`Module::init`].
    pub fn init(&self, pending: Pending, env: &mut Env<'_>) -> Result<(), InitError> {
        env.module = self.name;
        for stat in &self.stats {
            env.shared.stats.counter(stat.group, stat.name, stat.doc);
        }
        (self.init)(pending, env)
    }

    /// Puts an instance into a place without a start, for tests of what calls its functions.
    #[cfg(any(test, feature = "testing"))]
    pub fn init_bare<M: Module>(&self, pending: Pending, module: M) {
        let cell = pending.slot.downcast::<OnceLock<M>>();
        assert!(
            cell.is_ok_and(|cell| cell.set(module).is_ok()),
            "an empty place of this module"
        );
    }

    /// The function of that name that takes so many arguments, in the native script.
    pub fn func(&self, name: &str, count: usize) -> Option<&FuncDecl> {
        self.funcs
            .iter()
            .find(|func| func.native && func.name == name && func.takes(count))
    }
}

fn prepare<M: Module>() -> Pending {
    Pending {
        name: M::NAME,
        first: M::FIRST,
        params: Box::new(M::Params::default()),
        slot: Arc::new(OnceLock::<M>::new()),
    }
}

fn set<M: Module>(
    params: &[ParamDecl<M::Params>],
    pending: &mut Pending,
    name: &str,
    value: &Value,
    bind: &dyn Bind,
) -> Result<(), BindError> {
    let Some(param) = params.iter().find(|param| param.answers_to(name)) else {
        return Err(BindError::new(format!(
            "module {} has no parameter {name}",
            M::NAME
        )));
    };
    match pending.params.downcast_mut() {
        Some(all) => (param.assign)(all, value, bind),
        None => Err(BindError::new(
            "the parameters belong to another module (a defect of this server)",
        )),
    }
}

fn init<M: Module>(pending: Pending, env: &mut Env<'_>) -> Result<(), InitError> {
    let ours = || InitError::new("the module's place belongs to another module (a defect of this server)");
    let params = pending.params.downcast::<M::Params>().map_err(|_| ours())?;
    let cell = pending.slot.downcast::<OnceLock<M>>().map_err(|_| ours())?;
    let module = M::init(*params, env)?;
    cell.set(module).map_err(|_| ours())
}

/// Lists the modules of a family crate.
#[macro_export]
macro_rules! modules {
    ($($module:ty),* $(,)?) => { vec![$($crate::registry::ModuleDecl::of::<$module>()),*] };
}

/// Every module that this build has.
#[derive(Default)]
pub struct Registry {
    modules: Vec<ModuleDecl>,
    by_name: HashMap<&'static str, usize>,
}

impl Registry {
    /// Of the families' lists.
    pub fn new(modules: Vec<ModuleDecl>) -> Registry {
        let by_name = modules
            .iter()
            .enumerate()
            .map(|(at, module)| (module.name, at))
            .collect();
        Registry { modules, by_name }
    }

    /// All modules.
    pub fn modules(&self) -> &[ModuleDecl] {
        &self.modules
    }

    /// By name.
    pub fn module(&self, name: &str) -> Option<&ModuleDecl> {
        self.by_name.get(name).and_then(|at| self.modules.get(*at))
    }
}

/// The loaded modules of one configuration.
#[derive(Clone, Default)]
pub struct Loaded {
    list: Vec<(&'static str, Slot)>,
}

impl Loaded {
    /// Adds a module.
    pub fn add(&mut self, pending: &Pending) {
        self.list.push((pending.name, pending.slot.clone()));
    }

    /// In load order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Slot)> {
        self.list.iter().map(|(name, slot)| (*name, slot))
    }

    /// A module's place.
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.list
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, slot)| slot)
    }

    /// Is loaded.
    pub fn has(&self, name: &str) -> bool {
        self.slot(name).is_some()
    }

    /// A module's instance, once it is started.
    pub fn get<M: Module>(&self) -> Option<Handle<M>> {
        self.slot(M::NAME).and_then(|slot| Handle::of(slot).ok())
    }
}
