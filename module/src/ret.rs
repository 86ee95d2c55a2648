//! What a script function answers, and why it could not.

use std::{fmt, future::Future, pin::Pin};

use crate::{Cx, RouteId, Str, log::Level, rpc::RpcValue};

/// A future that stays on its worker.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The rest of a function that has to wait: takes the message again and goes on with it.
pub type Later = Box<dyn for<'a> FnOnce(&'a mut Cx) -> LocalFuture<'a, Ret>>;

/// The answer of a script function.
pub enum Ret {
    /// The return code: above 0 is true, below is false, 0 ends the script (as in Kamailio).
    Code(i64),
    /// Run this route; its return code is the function's.
    Route(RouteId),
    /// The function has to wait; the interpreter suspends the message.
    Wait(Later),
    /// It could not: logged with the place of the call, counted, and false with the fault's code.
    Fault(Fault),
}

impl Ret {
    /// True (1).
    pub const TRUE: Ret = Ret::Code(1);
    /// False (-1).
    pub const FALSE: Ret = Ret::Code(-1);
    /// Ends the script (0).
    pub const EXIT: Ret = Ret::Code(0);

    /// Goes on asynchronously: `Ret::wait(move |cx| Box::pin(async move { … }))`.
    pub fn wait(rest: impl for<'a> FnOnce(&'a mut Cx) -> LocalFuture<'a, Ret> + 'static) -> Ret {
        Ret::Wait(Box::new(rest))
    }
}

impl fmt::Debug for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ret::Code(code) => write!(f, "Code({code})"),
            Ret::Route(route) => write!(f, "{route:?}"),
            Ret::Wait(_) => f.write_str("Wait"),
            Ret::Fault(fault) => write!(f, "{fault:?}"),
        }
    }
}

impl From<bool> for Ret {
    fn from(yes: bool) -> Ret {
        if yes { Ret::TRUE } else { Ret::FALSE }
    }
}

impl From<i64> for Ret {
    fn from(code: i64) -> Ret {
        Ret::Code(code)
    }
}

impl From<()> for Ret {
    fn from((): ()) -> Ret {
        Ret::TRUE
    }
}

impl From<Fault> for Ret {
    fn from(fault: Fault) -> Ret {
        Ret::Fault(fault)
    }
}

impl<T: Into<Ret>> From<Result<T, Fault>> for Ret {
    fn from(result: Result<T, Fault>) -> Ret {
        match result {
            Ok(value) => value.into(),
            Err(fault) => Ret::Fault(fault),
        }
    }
}

/// What a function gives an embedded language besides its code (`KSR.pv.get()`, Kamailio's `xval`): the function sets
/// it, and the language takes it after the call.
#[derive(Debug, Default)]
pub struct Given(Option<RpcValue>);

impl Given {
    /// Gives a value.
    pub fn set(cx: &mut Cx, value: impl Into<RpcValue>) {
        cx.extra::<Given>().0 = Some(value.into());
    }

    /// What the last function gave, once; `None` where it gave nothing.
    pub fn take(cx: &mut Cx) -> Option<RpcValue> {
        cx.extra::<Given>().0.take()
    }
}

/// Who is to blame, which decides the log level and the SIP reply where one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer sent something that cannot be read (logged at INFO; 400).
    Peer,
    /// The script asked for something impossible (ERROR; 500).
    Script,
    /// A backend is missing or slow (ERROR; 503).
    Backend,
    /// A limit was reached (WARNING; 503).
    Limit,
    /// This server is wrong (CRITICAL; 500).
    Ours,
}

impl Blame {
    /// The level at which it is logged.
    pub fn level(self) -> Level {
        match self {
            Blame::Peer => Level::Info,
            Blame::Limit => Level::Warning,
            Blame::Script | Blame::Backend => Level::Error,
            Blame::Ours => Level::Critical,
        }
    }
}

/// A function or a variable could not do its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Who is to blame.
    pub blame: Blame,
    /// What happened, with the remedy where there is one; one line.
    pub text: Str,
    /// The return code that the script sees; below 0.
    pub code: i64,
}

impl Fault {
    /// A fault with return code -1.
    pub fn new(blame: Blame, text: impl Into<Str>) -> Fault {
        Fault {
            blame,
            text: text.into(),
            code: -1,
        }
    }

    /// The peer's message cannot be read.
    pub fn peer(text: impl Into<Str>) -> Fault {
        Fault::new(Blame::Peer, text)
    }

    /// The script asks for something impossible.
    pub fn script(text: impl Into<Str>) -> Fault {
        Fault::new(Blame::Script, text)
    }

    /// A backend failed.
    pub fn backend(text: impl Into<Str>) -> Fault {
        Fault::new(Blame::Backend, text)
    }

    /// A limit was reached.
    pub fn limit(text: impl Into<Str>) -> Fault {
        Fault::new(Blame::Limit, text)
    }

    /// The same with another return code (below 0).
    pub fn code(mut self, code: i64) -> Fault {
        self.code = code;
        self
    }

    /// The SIP reply that tells the peer, where one is due.
    pub fn reply(&self) -> (u16, &'static str) {
        match self.blame {
            Blame::Peer => (400, "Bad Request"),
            Blame::Script | Blame::Ours => (500, "Server Internal Error"),
            Blame::Backend | Blame::Limit => (503, "Service Unavailable"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl std::error::Error for Fault {}
