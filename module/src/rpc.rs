//! RPC commands: values in, values out; transports come from elsewhere.

use std::rc::Rc;

use crate::{Str, Worker, ret::LocalFuture};

/// A value of an RPC request or answer.
#[derive(Clone, Debug, PartialEq)]
pub enum RpcValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A fraction.
    Double(f64),
    /// A text.
    Str(Str),
    /// Named members, in order.
    Struct(Vec<(Str, RpcValue)>),
    /// Elements.
    Array(Vec<RpcValue>),
}

impl RpcValue {
    /// A struct of members.
    pub fn members<const N: usize>(members: [(&str, RpcValue); N]) -> RpcValue {
        RpcValue::Struct(
            members
                .into_iter()
                .map(|(name, value)| (Str::from(name), value))
                .collect(),
        )
    }
}

impl From<i64> for RpcValue {
    fn from(n: i64) -> RpcValue {
        RpcValue::Int(n)
    }
}

impl From<Str> for RpcValue {
    fn from(text: Str) -> RpcValue {
        RpcValue::Str(text)
    }
}

impl From<&str> for RpcValue {
    fn from(text: &str) -> RpcValue {
        RpcValue::Str(Str::from(text))
    }
}

impl From<String> for RpcValue {
    fn from(text: String) -> RpcValue {
        RpcValue::Str(Str::from(text))
    }
}

impl From<crate::Value> for RpcValue {
    fn from(value: crate::Value) -> RpcValue {
        match value {
            crate::Value::Null => RpcValue::Null,
            crate::Value::Int(n) => RpcValue::Int(n),
            crate::Value::Str(text) => RpcValue::Str(text),
        }
    }
}

/// A refusal: the code and text that Kamailio's clients see.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcFault {
    /// 400 bad arguments, 404 not found, 500 failure, …
    pub code: i64,
    /// One sentence.
    pub text: Str,
}

impl RpcFault {
    /// With code and text.
    pub fn new(code: i64, text: impl Into<Str>) -> RpcFault {
        RpcFault {
            code,
            text: text.into(),
        }
    }
}

/// An answer: Kamailio's commands may return several values one after another.
pub type RpcResult = Result<Vec<RpcValue>, RpcFault>;

/// One command under way.
pub struct RpcCall {
    /// The worker that runs it: configuration, statistics, network.
    pub worker: Rc<Worker>,
    args: std::vec::IntoIter<RpcValue>,
}

impl RpcCall {
    /// With its arguments.
    pub fn new(worker: Rc<Worker>, args: Vec<RpcValue>) -> RpcCall {
        RpcCall {
            worker,
            args: args.into_iter(),
        }
    }

    /// How many arguments are left.
    pub fn remaining(&self) -> usize {
        self.args.len()
    }

    /// The next argument, whatever it is.
    pub fn next_value(&mut self) -> Option<RpcValue> {
        self.args.next()
    }

    /// The next argument as text; numbers are printed.
    ///
    /// # Errors
    /// 400 where it is missing or no plain value.
    pub fn text(&mut self) -> Result<Str, RpcFault> {
        self.optional_text()?
            .ok_or_else(|| RpcFault::new(400, "Too few parameters"))
    }

    /// The same where it may be left out.
    ///
    /// # Errors
    /// 400 where it is no plain value.
    pub fn optional_text(&mut self) -> Result<Option<Str>, RpcFault> {
        match self.args.next() {
            None | Some(RpcValue::Null) => Ok(None),
            Some(RpcValue::Str(text)) => Ok(Some(text)),
            Some(RpcValue::Int(n)) => Ok(Some(crate::value::int_text(n))),
            Some(RpcValue::Double(n)) => Ok(Some(Str::from(n.to_string()))),
            Some(RpcValue::Bool(yes)) => Ok(Some(Str::from_static(if yes { "1" } else { "0" }))),
            Some(RpcValue::Struct(_) | RpcValue::Array(_)) => {
                Err(RpcFault::new(400, "Invalid parameter type"))
            }
        }
    }

    /// The next argument as a number; text is read.
    ///
    /// # Errors
    /// 400 where it is missing or no number.
    pub fn int(&mut self) -> Result<i64, RpcFault> {
        self.optional_int()?
            .ok_or_else(|| RpcFault::new(400, "Too few parameters"))
    }

    /// The same where it may be left out.
    ///
    /// # Errors
    /// 400 where it is no number.
    pub fn optional_int(&mut self) -> Result<Option<i64>, RpcFault> {
        match self.args.next() {
            Some(RpcValue::Int(n)) => Ok(Some(n)),
            Some(RpcValue::Str(text)) => match crate::value::parse_int(&text) {
                Some(n) => Ok(Some(n)),
                None => Err(RpcFault::new(400, "Invalid parameter type: a number is needed")),
            },
            None | Some(RpcValue::Null) => Ok(None),
            Some(_) => Err(RpcFault::new(400, "Invalid parameter type: a number is needed")),
        }
    }
}

/// How a command runs.
pub(crate) enum RpcRun<M> {
    Now(fn(&M, &mut RpcCall) -> RpcResult),
    Waits(for<'a> fn(&'a M, &'a mut RpcCall) -> LocalFuture<'a, RpcResult>),
}

type Slot = std::sync::Arc<dyn std::any::Any + Send + Sync>;
pub(crate) type RpcHandler =
    Box<dyn for<'a> Fn(&'a Slot, &'a mut RpcCall) -> LocalFuture<'a, RpcResult> + Send + Sync>;

/// The declaration of an RPC command.
pub struct RpcDecl {
    /// `module.command`.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    pub(crate) run: RpcHandler,
}

impl RpcDecl {
    /// Runs it; `module` is the declaring module's slot.
    pub fn run<'a>(&'a self, module: &'a Slot, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
        (self.run)(module, call)
    }
}
