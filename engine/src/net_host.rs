//! The network as script functions see it, over the network crate.

use std::{net::SocketAddr, time::Duration};

use kahea_module::{DnsRecord, DnsType, Fault, Hop, Net, Str, Targets, latency::Latency, ret::LocalFuture};
use kahea_net::{
    CloseReason, SendError, Worker,
    dns::{BlockReason, Query, RecordData, RecordKind, ResolveError},
};
use kahea_sip::{ConnectionId, Destination, ListenerId, Transport};
use tokio::runtime::Handle;

/// One worker's view of the network.
pub struct NetHost {
    worker: Worker,
    /// Of names that are asked for.
    latency: Latency,
    /// Where names are resolved, if not here: what one worker asks may be what another waits for, so that nobody must ask
    /// whose thread may stand still.
    errands: Option<Handle>,
}

impl NetHost {
    /// Over that worker's sockets; `latency` is of names that are asked for.
    pub fn new(worker: Worker, latency: Latency) -> NetHost {
        NetHost {
            worker,
            latency,
            errands: None,
        }
    }

    /// The same for a thread that may stand still.
    pub fn standing(worker: Worker, latency: Latency, errands: Handle) -> NetHost {
        NetHost {
            errands: Some(errands),
            ..NetHost::new(worker, latency)
        }
    }

    /// Asks where the answer is not held up.
    fn ask<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> LocalFuture<'static, Result<T, Fault>> {
        match &self.errands {
            None => Box::pin(question),
            Some(errands) => {
                let task = errands.spawn(question);
                Box::pin(async move {
                    let gone = |_| Err(Fault::backend("the question to DNS was given up"));
                    task.await.unwrap_or_else(gone)
                })
            }
        }
    }

    /// The sockets.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }
}

impl Net for NetHost {
    fn send(&self, to: &Destination, data: Str) -> Result<(), Fault> {
        self.worker
            .send(to, data)
            .map(drop)
            .map_err(|error| send_fault(&error))
    }

    fn listener_for(
        &self,
        to: SocketAddr,
        transport: Transport,
        preferred: Option<ListenerId>,
    ) -> Option<ListenerId> {
        let fits = |id: &ListenerId| {
            self.worker.net().listener(*id).is_some_and(|listener| {
                listener.transport == transport && listener.address.is_ipv4() == to.is_ipv4()
            })
        };
        preferred
            .filter(fits)
            .or_else(|| self.worker.net().choose_listener(transport, to))
    }

    fn resolve_now(&self, hop: &Hop) -> Option<Result<Targets, Fault>> {
        let host = hop.host.text();
        let answer = self.worker.net().resolver().try_resolve(query(hop, &host))?;
        Some(
            answer
                .map(|targets| list(&targets))
                .map_err(|error| resolve_fault(&error)),
        )
    }

    fn resolve(&self, hop: Hop) -> LocalFuture<'static, Result<Targets, Fault>> {
        let (net, latency) = (self.worker.net().clone(), self.latency.clone());
        self.ask(async move {
            let host = hop.host.text();
            let began = latency.start();
            let answer = net.resolver().resolve(query(&hop, &host)).await;
            latency.end(began);
            answer
                .map(|targets| list(&targets))
                .map_err(|error| resolve_fault(&error))
        })
    }

    fn lookup_now(&self, name: &[u8], kind: DnsType) -> Option<Result<Vec<DnsRecord>, Fault>> {
        let name = String::from_utf8_lossy(name);
        let answer = self
            .worker
            .net()
            .resolver()
            .try_lookup(&name, record_kind(kind))?;
        Some(
            answer
                .map(|all| records(&all))
                .map_err(|error| resolve_fault(&error)),
        )
    }

    fn lookup(&self, name: Str, kind: DnsType) -> LocalFuture<'static, Result<Vec<DnsRecord>, Fault>> {
        let (net, latency) = (self.worker.net().clone(), self.latency.clone());
        self.ask(async move {
            let began = latency.start();
            let answer = net.resolver().lookup(&name.text(), record_kind(kind)).await;
            latency.end(began);
            answer
                .map(|all| records(&all))
                .map_err(|error| resolve_fault(&error))
        })
    }

    fn connection_to(&self, peer: SocketAddr, transport: Transport) -> Option<ConnectionId> {
        self.worker.net().find_connection(transport, peer)
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.worker.net().is_open(connection)
    }

    fn add_alias(&self, connection: ConnectionId, port: u16) -> bool {
        self.worker.net().add_alias(connection, port)
    }

    fn block(&self, to: SocketAddr, transport: Transport, life: Option<Duration>) -> bool {
        self.worker
            .net()
            .blocklist()
            .add(to, transport, BlockReason::Admin, life)
    }

    fn unblock(&self, to: SocketAddr, transport: Transport) -> bool {
        self.worker.net().blocklist().remove(to, transport)
    }

    fn is_blocked(&self, to: SocketAddr, transport: Transport) -> bool {
        self.worker.net().blocklist().check(to, transport).is_some()
    }

    fn close(&self, connection: ConnectionId) {
        self.worker.net().close(connection, CloseReason::Local);
    }
}

fn query<'a>(hop: &Hop, host: &'a str) -> Query<'a> {
    Query {
        host,
        port: hop.port,
        transport: hop.transport,
        secure: hop.secure,
    }
}

fn list(targets: &kahea_net::dns::Targets) -> Targets {
    targets
        .iter()
        .map(|target| (target.address, target.transport))
        .collect()
}

fn send_fault(error: &SendError) -> Fault {
    match error {
        SendError::QueueFull | SendError::TooManyConnections => Fault::limit(error.to_string()),
        SendError::NoListener(..) | SendError::Unsupported(_) | SendError::TooLong(_) => {
            Fault::script(error.to_string())
        }
        _ => Fault::backend(error.to_string()),
    }
}

fn resolve_fault(error: &ResolveError) -> Fault {
    Fault::backend(error.to_string()).code(-478)
}

fn record_kind(kind: DnsType) -> RecordKind {
    match kind {
        DnsType::A => RecordKind::A,
        DnsType::Aaaa => RecordKind::Aaaa,
        DnsType::Srv => RecordKind::Srv,
        DnsType::Naptr => RecordKind::Naptr,
        DnsType::Ptr => RecordKind::Ptr,
        DnsType::Txt => RecordKind::Txt,
    }
}

fn records(all: &[kahea_net::dns::Record]) -> Vec<DnsRecord> {
    all.iter().filter_map(|record| one(&record.data)).collect()
}

fn one(data: &RecordData) -> Option<DnsRecord> {
    Some(match data {
        RecordData::A(ip) => DnsRecord::Address((*ip).into()),
        RecordData::Aaaa(ip) => DnsRecord::Address((*ip).into()),
        RecordData::Srv(srv) => DnsRecord::Srv {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: Str::from(&*srv.target),
        },
        RecordData::Naptr(naptr) => DnsRecord::Naptr {
            order: naptr.order,
            preference: naptr.preference,
            flags: Str::from(&*naptr.flags),
            services: Str::from(&*naptr.services),
            regexp: Str::from(&*naptr.regexp),
            replacement: Str::from(&*naptr.replacement),
        },
        RecordData::Ptr(name) => DnsRecord::Name(Str::from(&**name)),
        RecordData::Txt(text) => DnsRecord::Text(Str::from(&**text)),
        _ => return None,
    })
}
