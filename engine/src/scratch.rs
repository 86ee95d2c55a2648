//! A worker for trying things on: it has the configuration, runs routes, and reaches nobody.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use kahea_module::{DnsRecord, DnsType, Fault, Hop, Net, Str, Targets, Worker, ret::LocalFuture};
use kahea_sip::{ConnectionId, Destination, ListenerId, Transport};

use crate::{generation::Generation, runner::Runner};

/// A worker of that configuration outside of the running ones.
pub fn worker(generation: &Arc<Generation>) -> Rc<Worker> {
    let runner = Rc::new(Runner::new(
        generation.program.clone(),
        generation.prefix.clone(),
        &generation.config.shared.stats.latencies,
    ));
    let worker = Rc::new(Worker::new(
        0,
        generation.config.clone(),
        Rc::new(Nobody),
        runner.clone(),
        1,
    ));
    runner.bind(&worker);
    worker
}

/// A network without anyone in it.
struct Nobody;

fn nobody() -> Fault {
    Fault::script("nothing is sent or asked while scripts are tried")
}

impl Net for Nobody {
    fn send(&self, _: &Destination, _: Str) -> Result<(), Fault> {
        Err(nobody())
    }

    fn listener_for(&self, _: SocketAddr, _: Transport, preferred: Option<ListenerId>) -> Option<ListenerId> {
        preferred
    }

    fn resolve_now(&self, _: &Hop) -> Option<Result<Targets, Fault>> {
        Some(Err(nobody()))
    }

    fn resolve(&self, _: Hop) -> LocalFuture<'static, Result<Targets, Fault>> {
        Box::pin(async { Err(nobody()) })
    }

    fn lookup_now(&self, _: &[u8], _: DnsType) -> Option<Result<Vec<DnsRecord>, Fault>> {
        Some(Err(nobody()))
    }

    fn lookup(&self, _: Str, _: DnsType) -> LocalFuture<'static, Result<Vec<DnsRecord>, Fault>> {
        Box::pin(async { Err(nobody()) })
    }

    fn connection_to(&self, _: SocketAddr, _: Transport) -> Option<ConnectionId> {
        None
    }

    fn add_alias(&self, _: ConnectionId, _: u16) -> bool {
        false
    }

    fn close(&self, _: ConnectionId) {}

    fn block(&self, _: SocketAddr, _: Transport, _: Option<Duration>) -> bool {
        false
    }

    fn unblock(&self, _: SocketAddr, _: Transport) -> bool {
        false
    }

    fn is_blocked(&self, _: SocketAddr, _: Transport) -> bool {
        false
    }
}
