//! The one declaration of a module: what native scripts, embedded languages, `modparam`, RPC, listings, manual and
//! checker know of it.

use std::{any::Any, sync::Arc};

use crate::{
    Bind, BindError, Cx, Fault, FuncDecl, Handler, Index, InitError, RouteKinds, TransformDecl,
    TransformKind, Value,
    func::{BindParts, CallParts, KemiName},
    param::{Assign, ParamDecl, ParamInfo, ParamValue},
    registry::{Env, Handle},
    ret::LocalFuture,
    route::ANY,
    rpc::{RpcCall, RpcDecl, RpcResult, RpcRow, RpcRun},
    var::{Named, Naming, VarDecl, bind_named, bind_plain},
};

/// A Kamailio module.
pub trait Module: Send + Sync + Sized + 'static {
    /// As in `loadmodule "NAME.so"`.
    const NAME: &'static str;
    /// It starts before modules that are not like it, wherever its `loadmodule` line stands: database drivers.
    const FIRST: bool = false;
    /// Its parameters, with their defaults.
    type Params: Default + 'static;

    /// Says what it has. Pure: called for listings too, without a configuration.
    fn declare(d: &mut Decl<Self>);

    /// Starts it.
    ///
    /// # Errors
    /// The parameters do not fit together, or something that it needs is missing.
    fn init(params: Self::Params, env: &mut Env<'_>) -> Result<Self, InitError>;
}

/// An event route that the module runs.
#[derive(Clone, Copy, Debug)]
pub struct EventDecl {
    /// `module:event`.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// A statistic of the module.
#[derive(Clone, Copy, Debug)]
pub struct StatDecl {
    /// Its group; mostly the module's name.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
}

/// Everything a module declares.
pub struct Decl<M: Module> {
    pub(crate) params: Vec<ParamDecl<M::Params>>,
    pub(crate) funcs: Vec<FuncDecl>,
    pub(crate) vars: Vec<VarDecl>,
    pub(crate) transforms: Vec<TransformDecl>,
    pub(crate) rpcs: Vec<RpcDecl>,
    pub(crate) events: Vec<EventDecl>,
    pub(crate) stats: Vec<StatDecl>,
}

impl<M: Module> Decl<M> {
    pub(crate) fn collect() -> Decl<M> {
        let mut decl = Decl {
            params: Vec::new(),
            funcs: Vec::new(),
            vars: Vec::new(),
            transforms: Vec::new(),
            rpcs: Vec::new(),
            events: Vec::new(),
            stats: Vec::new(),
        };
        M::declare(&mut decl);
        decl
    }

    /// A parameter that is a field of [`Module::Params`].
    pub fn param<T: ParamValue>(
        &mut self,
        name: &'static str,
        field: fn(&mut M::Params) -> &mut T,
        doc: &'static str,
    ) -> ParamRow<'_, M::Params> {
        self.param_row(
            name,
            T::TYPE,
            doc,
            Box::new(move |params, value, _| field(params).assign(value)),
        )
    }

    /// A parameter with a reader of its own, called once for each `modparam` line; `kind` is `int` or `string`.
    pub fn param_fn(
        &mut self,
        name: &'static str,
        kind: &'static str,
        assign: fn(&mut M::Params, &Value, &dyn Bind) -> Result<(), BindError>,
        doc: &'static str,
    ) -> ParamRow<'_, M::Params> {
        self.param_row(name, kind, doc, Box::new(assign))
    }

    fn param_row(
        &mut self,
        name: &'static str,
        kind: &'static str,
        doc: &'static str,
        assign: Assign<M::Params>,
    ) -> ParamRow<'_, M::Params> {
        let info = ParamInfo {
            name,
            aliases: Vec::new(),
            kind,
            doc,
            live: false,
        };
        self.params.push(ParamDecl { info, assign });
        ParamRow {
            params: &mut self.params,
        }
    }

    /// A function of the native script; `names` are its parameters' names in the manual.
    ///
    /// The same name may be declared again with other numbers of arguments.
    pub fn func<Args, H: Handler<M, Args>, const N: usize>(
        &mut self,
        name: &'static str,
        names: [&'static str; N],
        handler: H,
        doc: &'static str,
    ) -> FuncRow<'_> {
        self.func_row(name, true, H::parameters(&names), handler, doc)
    }

    /// A function that only embedded languages have, as `KSR.<module>.<name>`; `module` is empty for `KSR.<name>`.
    pub fn kemi_func<Args, H: Handler<M, Args>, const N: usize>(
        &mut self,
        module: &'static str,
        name: &'static str,
        names: [&'static str; N],
        handler: H,
        doc: &'static str,
    ) -> FuncRow<'_> {
        self.func_row(name, false, H::parameters(&names), handler, doc)
            .kemi_as(N, module, name)
    }

    fn func_row<Args, H: Handler<M, Args>>(
        &mut self,
        name: &'static str,
        native: bool,
        parameters: Vec<crate::Parameter>,
        handler: H,
        doc: &'static str,
    ) -> FuncRow<'_> {
        let (BindParts(bind), CallParts(call)) = handler.into_parts();
        self.funcs.push(FuncDecl {
            name,
            native,
            parameters,
            routes: ANY,
            doc,
            kemi: Vec::new(),
            examples: Vec::new(),
            waits: false,
            bind,
            call,
        });
        FuncRow {
            funcs: &mut self.funcs,
            module: M::NAME,
        }
    }

    /// A variable without an inner name, read-only.
    pub fn var(&mut self, name: &'static str, get: fn(&M, &mut Cx, Index) -> Value, doc: &'static str) {
        self.vars.push(VarDecl {
            name,
            naming: Naming::None,
            writable: false,
            doc,
            bind: bind_plain(get, None),
        });
    }

    /// A variable without an inner name that can be assigned.
    pub fn var_rw(
        &mut self,
        name: &'static str,
        get: fn(&M, &mut Cx, Index) -> Value,
        set: fn(&M, &mut Cx, Index, Value) -> Result<(), Fault>,
        doc: &'static str,
    ) {
        self.vars.push(VarDecl {
            name,
            naming: Naming::None,
            writable: true,
            doc,
            bind: bind_plain(get, Some(set)),
        });
    }

    /// A variable with an inner name, `$name(inner)`.
    pub fn var_named<N: Send + Sync + 'static>(
        &mut self,
        name: &'static str,
        naming: Naming,
        named: Named<M, N>,
        doc: &'static str,
    ) {
        let writable = named.set.is_some();
        self.vars.push(VarDecl {
            name,
            naming,
            writable,
            doc,
            bind: bind_named(named, naming),
        });
    }

    /// A transformation `{class.name,args}`.
    pub fn transform(
        &mut self,
        class: &'static str,
        name: &'static str,
        args: &'static [&'static str],
        kind: TransformKind,
        doc: &'static str,
    ) {
        self.transforms.push(TransformDecl {
            class,
            name,
            args,
            doc,
            kind,
        });
    }

    /// An RPC command; `name` is the full name, `module.command`.
    pub fn rpc(
        &mut self,
        name: &'static str,
        run: fn(&M, &mut RpcCall) -> RpcResult,
        doc: &'static str,
    ) -> RpcRow<'_> {
        self.rpc_row(name, RpcRun::Now(run), doc)
    }

    /// An RPC command that waits.
    pub fn rpc_waits(
        &mut self,
        name: &'static str,
        run: for<'a> fn(&'a M, &'a mut RpcCall) -> LocalFuture<'a, RpcResult>,
        doc: &'static str,
    ) -> RpcRow<'_> {
        self.rpc_row(name, RpcRun::Waits(run), doc)
    }

    fn rpc_row(&mut self, name: &'static str, run: RpcRun<M>, doc: &'static str) -> RpcRow<'_> {
        let run = Arc::new(run);
        self.rpcs.push(RpcDecl {
            name,
            doc,
            list: false,
            run: Box::new(move |slot, call| run_rpc(slot, call, run.clone())),
        });
        RpcRow { rpcs: &mut self.rpcs }
    }

    /// An event route that the module runs.
    pub fn event(&mut self, name: &'static str, doc: &'static str) {
        self.events.push(EventDecl { name, doc });
    }

    /// A statistic in the module's own group; its counter comes from [`Env::counter`].
    pub fn stat(&mut self, name: &'static str, doc: &'static str) {
        self.stat_in(M::NAME, name, doc);
    }

    /// A statistic in another group.
    pub fn stat_in(&mut self, group: &'static str, name: &'static str, doc: &'static str) {
        self.stats.push(StatDecl { group, name, doc });
    }
}

fn run_rpc<'a, M: Module>(
    slot: &'a Arc<dyn Any + Send + Sync>,
    call: &'a mut RpcCall,
    run: Arc<RpcRun<M>>,
) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let stopped = |_| crate::rpc::RpcFault::new(500, "the module is not started");
        let handle = Handle::<M>::of(slot).map_err(stopped)?;
        let module = handle
            .get()
            .map_err(|fault| crate::rpc::RpcFault::new(500, fault.text))?;
        match &*run {
            RpcRun::Now(run) => run(module, call),
            RpcRun::Waits(run) => run(module, call).await,
        }
    })
}

/// Adds to the parameter just declared.
pub struct ParamRow<'a, P> {
    params: &'a mut Vec<ParamDecl<P>>,
}

impl<P> ParamRow<'_, P> {
    /// Changes with a reload.
    pub fn live(self) -> Self {
        if let Some(last) = self.params.last_mut() {
            last.info.live = true;
        }
        self
    }

    /// A name it has in another version of Kamailio.
    pub fn alias(self, name: &'static str) -> Self {
        if let Some(last) = self.params.last_mut() {
            last.info.aliases.push(name);
        }
        self
    }
}

/// Adds to the function just declared.
pub struct FuncRow<'a> {
    funcs: &'a mut Vec<FuncDecl>,
    module: &'static str,
}

impl FuncRow<'_> {
    fn last(&mut self, change: impl FnOnce(&mut FuncDecl)) {
        if let Some(last) = self.funcs.last_mut() {
            change(last);
        }
    }

    /// Where it may be called; without this everywhere.
    pub fn routes(mut self, routes: RouteKinds) -> Self {
        self.last(|func| func.routes = routes);
        self
    }

    /// Its name in embedded languages with that many arguments, `KSR.<module>.<name>`.
    pub fn kemi(self, count: usize, name: &'static str) -> Self {
        let module = self.module;
        self.kemi_as(count, module, name)
    }

    /// The same under another module name (`pvx`); empty for `KSR.<name>`.
    pub fn kemi_as(mut self, count: usize, module: &'static str, name: &'static str) -> Self {
        self.last(|func| func.kemi.push(KemiName { module, name, count }));
        self
    }

    /// A script fragment that compiles in every route where the function is allowed.
    pub fn example(mut self, text: &'static str) -> Self {
        self.last(|func| func.examples.push(text));
        self
    }

    /// Can suspend the message.
    pub fn waits(mut self) -> Self {
        self.last(|func| func.waits = true);
        self
    }
}
