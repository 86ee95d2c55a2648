//! RPC commands: values in, values out; transports come from elsewhere.

use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

use crate::{Cx, Ret, Str, Worker, ret::LocalFuture};

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
    /// Elements that have names, which repeat: to `kamcmd` members of a struct, in JSON an array of structs of one member.
    Named(Vec<(Str, RpcValue)>),
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

    /// Elements of one name.
    pub fn named(name: &str, items: impl IntoIterator<Item = RpcValue>) -> RpcValue {
        let name = Str::from(name);
        RpcValue::Named(items.into_iter().map(|item| (name.clone(), item)).collect())
    }

    /// Text, numbers printed; `None` for what is no plain value.
    pub fn into_text(self) -> Option<Str> {
        match self {
            RpcValue::Str(text) => Some(text),
            RpcValue::Int(n) => Some(crate::value::int_text(n)),
            RpcValue::Double(n) => Some(Str::from(n.to_string())),
            RpcValue::Bool(yes) => Some(Str::from_static(if yes { "1" } else { "0" })),
            RpcValue::Null | RpcValue::Struct(_) | RpcValue::Named(_) | RpcValue::Array(_) => None,
        }
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

/// How a command came, which decides how its arguments are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RpcVia {
    /// From this server's own control socket, or from elsewhere in the process.
    #[default]
    Control,
    /// BINRPC (module `ctl`): a number is no text and a text no number, unless they are to be converted.
    Binrpc {
        /// `autoconversion` of ctl.
        convert: bool,
    },
    /// The line protocol of module `ctl`: all arguments are texts.
    Lines,
    /// JSON-RPC (module `jsonrpcs`).
    Json,
    /// XML-RPC (module `xmlrpc`): as BINRPC.
    Xml {
        /// `autoconversion` of xmlrpc.
        convert: bool,
    },
    /// The HTML pages of module `xhttp_rpc`: all arguments are texts.
    Html,
}

impl RpcVia {
    fn converts(self) -> bool {
        !matches!(
            self,
            RpcVia::Binrpc { convert: false } | RpcVia::Xml { convert: false }
        )
    }
}

/// One command under way.
pub struct RpcCall {
    /// The worker that runs it: configuration, statistics, network.
    pub worker: Rc<Worker>,
    /// How it came.
    pub via: RpcVia,
    args: std::vec::IntoIter<RpcValue>,
    at: usize,
}

impl RpcCall {
    /// With its arguments.
    pub fn new(worker: Rc<Worker>, args: Vec<RpcValue>) -> RpcCall {
        RpcCall {
            worker,
            via: RpcVia::default(),
            args: args.into_iter(),
            at: 0,
        }
    }

    /// The same, having come that way.
    pub fn came(mut self, via: RpcVia) -> RpcCall {
        self.via = via;
        self
    }

    /// How many arguments are left.
    pub fn remaining(&self) -> usize {
        self.args.len()
    }

    /// The next argument, whatever it is.
    pub fn next_value(&mut self) -> Option<RpcValue> {
        self.at = self.at.saturating_add(1);
        self.args.next()
    }

    /// The next argument as text. Numbers are printed, but for clients that say what is a text and what a number.
    ///
    /// # Errors
    /// 400 where it is missing or of another type.
    pub fn text(&mut self) -> Result<Str, RpcFault> {
        self.optional_text()?.ok_or_else(|| self.missing("string"))
    }

    /// The same where it may be left out.
    ///
    /// # Errors
    /// 400 where it is of another type.
    pub fn optional_text(&mut self) -> Result<Option<Str>, RpcFault> {
        match self.next_value() {
            None | Some(RpcValue::Null) => Ok(None),
            Some(value @ RpcValue::Str(_)) => Ok(value.into_text()),
            Some(value) if self.via.converts() => {
                value.into_text().map(Some).ok_or_else(|| self.mismatch("string"))
            }
            Some(_) => Err(self.mismatch("string")),
        }
    }

    /// The next argument as text, where the command takes any plain value from every client; may be left out.
    ///
    /// # Errors
    /// 400 where it is a struct or an array.
    pub fn optional_plain(&mut self) -> Result<Option<Str>, RpcFault> {
        match self.next_value() {
            None | Some(RpcValue::Null) => Ok(None),
            Some(value) => value.into_text().map(Some).ok_or_else(|| self.mismatch("string")),
        }
    }

    /// The next argument as a number. Text is read, but for clients that say what is a text and what a number.
    ///
    /// # Errors
    /// 400 where it is missing or no number.
    pub fn int(&mut self) -> Result<i64, RpcFault> {
        self.optional_int()?.ok_or_else(|| self.missing("integer"))
    }

    /// The same where it may be left out.
    ///
    /// # Errors
    /// 400 where it is no number.
    pub fn optional_int(&mut self) -> Result<Option<i64>, RpcFault> {
        let read = match self.next_value() {
            None | Some(RpcValue::Null) => return Ok(None),
            Some(RpcValue::Int(n)) => Some(n),
            Some(_) if !self.via.converts() => None,
            Some(RpcValue::Str(text)) => crate::value::parse_int(&text),
            Some(RpcValue::Bool(yes)) => Some(i64::from(yes)),
            // A cast of a float saturates.
            Some(RpcValue::Double(n)) if n.is_finite() => Some(n as i64),
            Some(_) => None,
        };
        read.map(Some).ok_or_else(|| self.mismatch("integer"))
    }

    /// Kamailio counts arguments from 0.
    fn refuse(&self, kind: &str, reason: &str) -> RpcFault {
        let at = self.at.saturating_sub(1);
        RpcFault::new(
            400,
            format!("error at parameter {at}: expected {kind} type but {reason}"),
        )
    }

    fn mismatch(&self, kind: &str) -> RpcFault {
        self.refuse(kind, "record doesn't match type")
    }

    fn missing(&self, kind: &str) -> RpcFault {
        self.refuse(kind, "end of packet encountered")
    }
}

/// Runs a command of a loaded module on this worker; `None` where there is none of that name.
pub async fn run(worker: Rc<Worker>, method: &str, args: Vec<RpcValue>, via: RpcVia) -> Option<RpcAnswer> {
    let config = worker.config.clone();
    let (rpc, slot) = config.modules.iter().find_map(|(name, slot)| {
        let rpcs = &config.registry.module(name)?.rpcs;
        rpcs.iter().find(|rpc| rpc.name == method).map(|rpc| (rpc, slot))
    })?;
    let mut call = RpcCall::new(worker, args).came(via);
    let result = rpc.run(slot, &mut call).await;
    Some(RpcAnswer {
        result,
        list: rpc.list,
    })
}

/// Runs a command for a message and goes on with its answer: at once where it answers at once, as most do.
pub fn run_for(
    cx: &mut Cx,
    (method, args, via): (String, Vec<RpcValue>, RpcVia),
    then: impl FnOnce(&mut Cx, Option<RpcAnswer>) -> Ret + 'static,
) -> Ret {
    let worker = cx.worker.clone();
    let mut running: LocalFuture<'static, Option<RpcAnswer>> =
        Box::pin(async move { run(worker, &method, args, via).await });
    match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => then(cx, done),
        Poll::Pending => Ret::wait(move |cx| {
            Box::pin(async move {
                let done = running.await;
                then(cx, done)
            })
        }),
    }
}

/// What a command answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcAnswer {
    /// Its values, or why there are none.
    pub result: RpcResult,
    /// Its values are a list, be there one or none of them.
    pub list: bool,
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
    /// It answers with a list of values, which tells JSON clients to expect an array.
    pub list: bool,
    pub(crate) run: RpcHandler,
}

impl RpcDecl {
    /// Runs it; `module` is the declaring module's slot.
    pub fn run<'a>(&'a self, module: &'a Slot, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
        (self.run)(module, call)
    }
}

/// Adds to the command just declared.
pub struct RpcRow<'a> {
    pub(crate) rpcs: &'a mut Vec<RpcDecl>,
}

impl RpcRow<'_> {
    /// It answers with a list, as Kamailio marks such commands.
    pub fn list(self) -> Self {
        if let Some(last) = self.rpcs.last_mut() {
            last.list = true;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(via: RpcVia, args: Vec<RpcValue>) -> RpcCall {
        RpcCall::new(crate::testing::Server::default().worker, args).came(via)
    }

    #[test]
    fn clients_that_name_types_are_taken_at_their_word() {
        let strict = RpcVia::Binrpc { convert: false };
        let text = |fault: RpcFault| fault.text.text().into_owned();
        let mut wrong = call(strict, vec!["a".into(), "5".into(), RpcValue::Int(5)]);
        assert_eq!(wrong.text(), Ok("a".into()));
        let refused = "error at parameter 1: expected integer type but record doesn't match type";
        assert_eq!(wrong.int().map_err(text), Err(refused.to_owned()));
        let refused = "error at parameter 2: expected string type but record doesn't match type";
        assert_eq!(wrong.optional_text().map_err(text), Err(refused.to_owned()));
        let refused = "error at parameter 3: expected integer type but end of packet encountered";
        assert_eq!(wrong.int().map_err(text), Err(refused.to_owned()));
        assert_eq!(wrong.optional_int(), Ok(None));
        assert_eq!(
            call(strict, vec![RpcValue::Int(5)]).optional_plain(),
            Ok(Some("5".into()))
        );
    }

    #[test]
    fn others_have_numbers_and_texts_converted() {
        for via in [
            RpcVia::Control,
            RpcVia::Json,
            RpcVia::Lines,
            RpcVia::Binrpc { convert: true },
        ] {
            let args = vec!["5".into(), RpcValue::Int(5), RpcValue::Double(2.9), "x".into()];
            let mut call = call(via, args);
            assert_eq!(call.int(), Ok(5));
            assert_eq!(call.text(), Ok("5".into()));
            assert_eq!(call.int(), Ok(2));
            assert!(call.int().is_err());
        }
    }
}
