//! Script functions: from a plain Rust function to what the native script and the embedded languages call.

use std::{any::Any, sync::Arc};

use crate::{
    Arg, ArgKind, ArgSource, Bind, BindError, Cx, Fault, Ret, RouteKinds, Value,
    registry::{self, Handle},
};

/// A call with its arguments prepared.
pub type BoundFunc = Box<dyn Fn(&mut Cx) -> Ret + Send + Sync>;

type Slot = Arc<dyn Any + Send + Sync>;
type BindFn = Box<dyn Fn(&Slot, &[ArgSource], &dyn Bind) -> Result<BoundFunc, ArgError> + Send + Sync>;
type CallFn = Arc<dyn Fn(&Slot, &mut Cx, Vec<Value>) -> Ret + Send + Sync>;

/// An argument does not fit.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgError {
    /// Which one, from 0; `None`: the call as a whole.
    pub argument: Option<usize>,
    /// What is wrong.
    pub error: BindError,
}

/// One parameter of a function, for listings and the checker.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name in the manual.
    pub name: &'static str,
    /// What it takes.
    pub kind: ArgKind,
    /// May be left out.
    pub optional: bool,
    /// Takes all that follow.
    pub variadic: bool,
}

/// A function with its module, to be called with values.
#[derive(Clone)]
pub struct Caller {
    module: Slot,
    call: CallFn,
}

impl Caller {
    /// Calls it.
    pub fn call(&self, cx: &mut Cx, values: Vec<Value>) -> Ret {
        (self.call)(&self.module, cx, values)
    }
}

/// A name in the embedded languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KemiName {
    /// `KSR.<module>.`; empty for `KSR.<name>`.
    pub module: &'static str,
    /// The name.
    pub name: &'static str,
    /// With how many arguments.
    pub count: usize,
}

/// The declaration of a script function.
pub struct FuncDecl {
    /// In the native script.
    pub name: &'static str,
    /// Visible in the native script; otherwise in the embedded languages only.
    pub native: bool,
    /// In order.
    pub parameters: Vec<Parameter>,
    /// Where it may be called.
    pub routes: RouteKinds,
    /// One sentence.
    pub doc: &'static str,
    /// Names in the embedded languages.
    pub kemi: Vec<KemiName>,
    /// Script fragments that compile in every allowed route.
    pub examples: Vec<&'static str>,
    /// Can suspend the message, so that it has no place in `onsend_route` and `event_route[network:msg]`.
    pub waits: bool,
    pub(crate) bind: BindFn,
    pub(crate) call: CallFn,
}

impl FuncDecl {
    /// The fewest arguments.
    pub fn min_args(&self) -> usize {
        self.parameters.iter().filter(|p| !p.optional).count()
    }

    /// The most arguments; `None` without a limit.
    pub fn max_args(&self) -> Option<usize> {
        (!self.parameters.iter().any(|p| p.variadic)).then_some(self.parameters.len())
    }

    /// Takes that many arguments.
    pub fn takes(&self, count: usize) -> bool {
        count >= self.min_args() && self.max_args().is_none_or(|max| count <= max)
    }

    /// Prepares a call of the native script; `module` is the declaring module's slot.
    ///
    /// # Errors
    /// An argument cannot be right.
    pub fn bind(&self, module: &Slot, sources: &[ArgSource], bind: &dyn Bind) -> Result<BoundFunc, ArgError> {
        (self.bind)(module, sources, bind)
    }

    /// Calls it with values, as embedded languages do.
    pub fn call(&self, module: &Slot, cx: &mut Cx, values: Vec<Value>) -> Ret {
        (self.call)(module, cx, values)
    }

    /// The same with the module's place looked up before: what a table of an embedded language holds.
    pub fn caller(&self, module: &Slot) -> Caller {
        Caller {
            module: module.clone(),
            call: self.call.clone(),
        }
    }

    /// `name(a, b [, c])`.
    pub fn signature(&self) -> String {
        let mut out = format!("{}(", self.name);
        for (i, parameter) in self.parameters.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            let dots = if parameter.variadic { "..." } else { "" };
            match parameter.optional {
                true => out.push_str(&format!("[{comma}{}{dots}]", parameter.name)),
                false => out.push_str(&format!("{comma}{}", parameter.name)),
            }
        }
        out.push(')');
        out
    }
}

/// A Rust function that can be a script function: `fn(&Module, &mut Cx, A, B, …) -> impl Into<Ret>`,
/// each of `A, B, …` an [`Arg`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no script function of this module",
    note = "a script function is `fn(&Module, &mut Cx, args…) -> impl Into<Ret>` with at most six args, each of a type that implements `Arg`"
)]
pub trait Handler<M, Args>: Send + Sync + 'static {
    /// Its parameters; `names` as given in the declaration.
    fn parameters(names: &[&'static str]) -> Vec<Parameter>;
    /// Prepares calls of the native script.
    fn into_parts(self) -> (BindParts, CallParts);
}

/// Prepares native calls of one handler.
pub struct BindParts(pub(crate) BindFn);
/// Calls one handler with values.
pub struct CallParts(pub(crate) CallFn);

fn parameter<A: Arg>(names: &[&'static str], at: usize) -> Parameter {
    Parameter {
        name: names.get(at).copied().unwrap_or("?"),
        kind: A::KIND,
        optional: A::OPTIONAL,
        variadic: A::VARIADIC,
    }
}

fn whole_call(error: BindError) -> ArgError {
    ArgError {
        argument: None,
        error,
    }
}

macro_rules! handlers {
    ($($arg:ident $fixed:ident $at:literal),*) => {
        impl<M, F, R, $($arg),*> Handler<M, ($($arg,)*)> for F
        where
            M: Send + Sync + 'static,
            F: Fn(&M, &mut Cx, $($arg),*) -> R + Clone + Send + Sync + 'static,
            R: Into<Ret>,
            $($arg: Arg,)*
        {
            fn parameters(names: &[&'static str]) -> Vec<Parameter> {
                let _ = names;
                vec![$(parameter::<$arg>(names, $at)),*]
            }

            #[allow(non_snake_case, unused_variables, unused_mut)]
            fn into_parts(self) -> (BindParts, CallParts) {
                let handler = self.clone();
                let bind: BindFn = Box::new(move |slot, sources, bind| {
                    let handle = Handle::<M>::of(slot).map_err(whole_call)?;
                    let mut sources = sources.iter();
                    $(let $fixed = <$arg as Arg>::take(&mut sources, bind)
                        .map_err(|error| ArgError { argument: Some($at), error })?;)*
                    if sources.next().is_some() {
                        return Err(whole_call(BindError::new("too many arguments")));
                    }
                    let handler = handler.clone();
                    Ok(Box::new(move |cx: &mut Cx| {
                        let module = match handle.get() {
                            Ok(module) => module,
                            Err(fault) => return Ret::Fault(fault),
                        };
                        $(let $arg = match <$arg as Arg>::get(&$fixed, cx) {
                            Ok(value) => value,
                            Err(fault) => return Ret::Fault(at_argument($at, fault)),
                        };)*
                        handler(module, cx, $($arg),*).into()
                    }))
                });
                let handler = self;
                let call: CallFn = Arc::new(move |slot, cx, values| {
                    let module = match registry::instance::<M>(slot) {
                        Ok(module) => module,
                        Err(fault) => return Ret::Fault(fault),
                    };
                    let mut values = values.into_iter();
                    $(let $arg = match <$arg as Arg>::take_values(&mut values, cx) {
                        Ok(value) => value,
                        Err(fault) => return Ret::Fault(at_argument($at, fault)),
                    };)*
                    if values.next().is_some() {
                        return Ret::Fault(Fault::script("too many arguments"));
                    }
                    handler(module, cx, $($arg),*).into()
                });
                (BindParts(bind), CallParts(call))
            }
        }
    };
}

fn at_argument(at: usize, fault: Fault) -> Fault {
    Fault {
        text: format!("argument {}: {}", at.saturating_add(1), fault.text).into(),
        ..fault
    }
}

handlers!();
handlers!(A fixed_a 0);
handlers!(A fixed_a 0, B fixed_b 1);
handlers!(A fixed_a 0, B fixed_b 1, C fixed_c 2);
handlers!(A fixed_a 0, B fixed_b 1, C fixed_c 2, D fixed_d 3);
handlers!(A fixed_a 0, B fixed_b 1, C fixed_c 2, D fixed_d 3, E fixed_e 4);
handlers!(A fixed_a 0, B fixed_b 1, C fixed_c 2, D fixed_d 3, E fixed_e 4, G fixed_g 5);
