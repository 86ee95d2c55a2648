//! The commands of the core. Names, order and spelling of what they answer are Kamailio's, because tools read them.

mod blocklist;
mod connections;
mod dns;
mod echo;
mod info;
mod memory;
mod modparam;
mod process;
mod sockets;
mod system;
mod udp_proxy;

use std::{sync::Arc, time::Instant};

use kahea_module::{
    Decl, Str, Value,
    registry::Env,
    rpc::{RpcCall, RpcResult, RpcValue},
};
use parking_lot::{Mutex, RwLock};

pub use self::info::BuildInfo;
use super::Core;
use crate::control::ProcessSlot;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    info::declare(d);
    process::declare(d);
    memory::declare(d);
    echo::declare(d);
    sockets::declare(d);
    connections::declare(d);
    dns::declare(d);
    blocklist::declare(d);
    modparam::declare(d);
    system::declare(d);
    udp_proxy::declare(d);
}

/// What commands keep.
pub struct State {
    defines: Arc<Defines>,
    modparams: Arc<ModParams>,
    last_echo: Mutex<Option<Instant>>,
    process: Arc<ProcessSlot>,
}

impl State {
    /// At start and reload.
    pub fn new(env: &Env<'_>) -> State {
        State {
            defines: env.shared.keep(Defines::default),
            modparams: env.shared.keep(ModParams::default),
            last_echo: Mutex::default(),
            process: env.shared.keep(ProcessSlot::default),
        }
    }

    #[cfg(test)]
    pub fn for_tests() -> State {
        State {
            defines: Arc::default(),
            modparams: Arc::default(),
            last_echo: Mutex::default(),
            process: Arc::default(),
        }
    }
}

/// The `#!define` lines of the configuration, for `core.ppdefines`; the server sets them at each load.
#[derive(Default)]
pub struct Defines(RwLock<Vec<(Str, Option<Str>)>>);

impl Defines {
    /// Replaces all of them: name, and value where there is one.
    pub fn set(&self, defines: Vec<(Str, Option<Str>)>) {
        *self.0.write() = defines;
    }
}

/// The `modparam` lines of the configuration, for `modparam.*`; the server sets them at each load.
#[derive(Default)]
pub struct ModParams(RwLock<Vec<(Str, Str, Value)>>);

impl ModParams {
    /// Replaces all of them: module, parameter, value, in the order of the configuration.
    pub fn set(&self, params: Vec<(Str, Str, Value)>) {
        *self.0.write() = params;
    }
}

/// A struct.
fn members(members: Vec<(&str, RpcValue)>) -> RpcValue {
    let named = members.into_iter().map(|(name, value)| (Str::from(name), value));
    RpcValue::Struct(named.collect())
}

/// Elements with names that may repeat.
fn named(items: Vec<(&str, RpcValue)>) -> RpcValue {
    let named = items.into_iter().map(|(name, value)| (Str::from(name), value));
    RpcValue::Named(named.collect())
}

/// A switch of the group `core` as it is now.
fn is_on(call: &RpcCall, name: &str, configured: bool) -> bool {
    match call.worker.config.settings.get(b"core", name.as_bytes()) {
        Some(value) => value != Value::Int(0),
        None => configured,
    }
}

/// The figures of a group of statistics.
fn figures(call: &RpcCall, group: &[u8]) -> RpcResult {
    let stats = call.worker.config.shared.stats.group(group).unwrap_or_default();
    let rows = stats
        .into_iter()
        .map(|(name, stat)| (name, RpcValue::Int(stat.get())));
    Ok(vec![RpcValue::Struct(rows.collect())])
}

fn int(n: impl TryInto<i64>) -> RpcValue {
    RpcValue::Int(n.try_into().unwrap_or(i64::MAX))
}

fn yes_no(yes: bool) -> RpcValue {
    RpcValue::from(if yes { "yes" } else { "no" })
}

#[cfg(test)]
mod testing {
    //! Runs commands as a client does.

    use std::{
        any::Any,
        future::Future,
        pin::pin,
        rc::Rc,
        sync::{Arc, OnceLock},
        task::{Context, Poll, Waker},
    };

    use kahea_module::{
        Worker,
        registry::ModuleDecl,
        rpc::{RpcCall, RpcResult, RpcValue},
        testing::Server,
    };

    use super::super::{Core, net_control::fake::FakeControl};

    /// A server whose core has a network of lists.
    pub struct Client {
        pub worker: Rc<Worker>,
        pub control: Arc<FakeControl>,
        slot: Arc<dyn Any + Send + Sync>,
        decl: ModuleDecl,
    }

    impl Client {
        pub fn new(control: FakeControl) -> Client {
            let control = Arc::new(control);
            let core = Core::for_tests();
            core.net.attach(control.clone());
            let server = Server::new(|config| config.globals.use_dst_blocklist = true);
            Client::with(core, server.worker, control)
        }

        pub fn with(core: Core, worker: Rc<Worker>, control: Arc<FakeControl>) -> Client {
            Client {
                worker,
                control,
                slot: Arc::new(OnceLock::from(core)),
                decl: ModuleDecl::of::<Core>(),
            }
        }

        /// Words that are numbers go as numbers, as kamcmd sends them.
        pub fn run(&self, line: &str) -> RpcResult {
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default();
            let args = words
                .map(|word| word.parse().map_or_else(|_| RpcValue::from(word), RpcValue::Int))
                .collect();
            let row = self.decl.rpcs.iter().find(|row| row.name == name);
            let mut call = RpcCall::new(self.worker.clone(), args);
            let answer = row.expect("a command").run(&self.slot, &mut call);
            match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => answer,
                Poll::Pending => panic!("{line} waits"),
            }
        }

        /// The member of that name in the first struct, by way of further structs.
        pub fn member(&self, line: &str, path: &[&str]) -> RpcValue {
            let mut value = self.run(line).expect(line).into_iter().next().expect(line);
            for name in path {
                let (RpcValue::Struct(members) | RpcValue::Named(members)) = value else {
                    panic!("{name} in {value:?}")
                };
                let found = members.into_iter().find(|(own, _)| own == name);
                value = found.unwrap_or_else(|| panic!("no {name}")).1;
            }
            value
        }
    }
}
