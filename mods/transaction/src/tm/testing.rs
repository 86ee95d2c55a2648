//! For unit tests: the modules of this family in a server without sockets.

use std::sync::Arc;

use kahea_module::{
    Env, Module,
    config::{Hooks, Identity},
    registry::Services,
    testing::Server,
};

use super::{Tm, core::Core, params::Params};
use crate::{asynchronous, tmx};

/// The modules, started.
pub struct Bench {
    /// The server.
    pub server: Server,
    /// What `tm` keeps.
    pub core: Arc<Core>,
    /// Module `tmx`.
    pub tmx: tmx::Tmx,
    /// Module `async`.
    pub waits: asynchronous::Async,
}

impl Bench {
    /// With default parameters, but for those of `async`.
    pub fn new(waits: asynchronous::Params) -> Bench {
        let server = Server::default();
        let config = server.worker.config.clone();
        let (mut hooks, mut identity, mut services) =
            (Hooks::default(), Identity::default(), Services::default());
        let mut env = Env {
            bind: config.bind.clone(),
            globals: &config.globals,
            shared: config.shared.clone(),
            hooks: &mut hooks,
            identity: &mut identity,
            settings: &config.settings,
            services: &mut services,
            module: "tm",
            read_file: &|path| std::fs::read(path),
        };
        Tm::init(Params::default(), &mut env).expect("tm starts");
        let core = env.service::<Core>().expect("tm publishes itself");
        let tmx = tmx::Tmx::init(tmx::Params::default(), &mut env).expect("tmx starts");
        let waits = asynchronous::Async::init(waits, &mut env).expect("async starts");
        Bench {
            server,
            core,
            tmx,
            waits,
        }
    }

    /// The first lines of what was sent since the last time.
    pub fn sent(&self) -> Vec<String> {
        let packets = self.server.net.sent.take();
        let first = |data: &kahea_module::Str| data.text().lines().next().unwrap_or_default().to_owned();
        packets.iter().map(|(_, data)| first(data)).collect()
    }
}

impl Default for Bench {
    fn default() -> Bench {
        Bench::new(asynchronous::Params::default())
    }
}
