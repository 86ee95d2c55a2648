//! Module `usrloc`: the location tables, in memory or in a database or in both.

mod backend;
mod columns;
pub(crate) mod common;
mod connections;
mod contact;
mod domain;
mod expired;
mod keepalive;
mod order;
mod params;
mod rows;
mod rpc;
mod ruids;
mod service;
mod shards;
mod store;
mod sweep;
mod table;
#[doc(hidden)]
pub mod testing;

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kahea_db::{Database, TableVersion, check_table};
use kahea_module::{Decl, Env, InitError, Module, Str, Worker, config::Periodic, notice};

pub(crate) use self::{
    backend::Backend,
    common::{Common, HasCommon},
    domain::Domains,
    params::out_of_range,
    rows::Form,
    store::{Count, Layout, Store},
    sweep::Plan,
    table::Unwritten,
};
use self::{params::Params, sweep::Sweep};

pub use self::{
    contact::{ALL_METHODS, Contact, Contacts, Draft, Part, State, TooLong},
    domain::Domain,
    expired::{Profile, Profiles},
    order::{Matching, Order, Turn},
    service::{Callback, Edited, Filter, Mode, Now, Service, Settings},
    table::{Change, Changes, Edit},
};

/// Under which topic functions note the tables that the script names ([`kahea_module::Bind::note`]).
pub const TABLES: &str = "usrloc.table";

/// The version of `location` that this module is written for.
const LOCATION: &[i64] = &[9];
/// The version of `location_attrs`.
const ATTRIBUTES: &[i64] = &[1];

/// The time as contacts have it: seconds since 1970.
pub fn now(worker: &Worker) -> u32 {
    u32::try_from(worker.unix_time()).unwrap_or(u32::MAX)
}

/// The module's instance.
pub struct Usrloc {
    service: Arc<Service>,
}

impl Module for Usrloc {
    const NAME: &'static str = "usrloc";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        rpc::declare(d);
        d.event(
            "usrloc:contact-expired",
            "A contact has ended; $ulc(exp=>...) shows it.",
        );
        d.stat("registered_users", "Addresses of record in all location tables.");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Usrloc, InitError> {
        let settings = params.settings(env.globals.server_id)?;
        let domains = Domains::of(&env.shared);
        let store = open_store(&params, &settings, &domains, env)?;
        let (mode, order) = (settings.mode, settings.order);
        let backend = store.clone().map(|store| -> Arc<dyn Backend> { store });
        let service = Arc::new(Service::new(settings, domains.clone(), backend));
        open_tables(&params, &service, store.as_deref(), env)?;
        count_users(domains, env);
        if mode != Mode::DatabaseOnly && params.skip_remote_socket {
            drop_foreign(&service, order, env);
        }
        let plan = Plan {
            parts: number("timer_procs", params.timer_procs, 64)?,
            lost_connections: params.handle_lost_tcp,
            close_connections: params.close_expired_tcp,
            clean: params.db_timer_clean,
            delay: number("rm_expired_delay", params.rm_expired_delay, u32::MAX)?,
        };
        begin_timer(params.timer_interval, plan, &service, env)?;
        keepalive::begin(&params, &service, env)?;
        let ending = service.clone();
        env.hooks
            .stop
            .push(Arc::new(move || sweep::flush_at_end(&ending)));
        env.provide(service.clone());
        Ok(Usrloc { service })
    }
}

fn open_store(
    params: &Params,
    settings: &Settings,
    domains: &Domains,
    env: &Env<'_>,
) -> Result<Option<Arc<Store>>, InitError> {
    if settings.mode == Mode::Memory {
        return Ok(None);
    }
    let database = Database::open(env, &params.db_url.text())?;
    let layout = Layout {
        columns: params.common.columns.clone(),
        form: Form {
            use_domain: params.common.use_domain,
            numeric_times: params.expires_type != 0,
            utc: false,
        },
        by_ruid: params.db_ops_ruid == 1,
        attributes: settings.attributes.is_some(),
        process: Str::from(domains.prefix("uloc", settings.server_id.into())),
        server_id: params.server_id_filter.then_some(settings.server_id),
    };
    Ok(Some(Arc::new(Store::new(database, layout))))
}

/// Makes the tables that the script names, and reads them where the mode says so.
fn open_tables(
    params: &Params,
    service: &Arc<Service>,
    store: Option<&Store>,
    env: &Env<'_>,
) -> Result<(), InitError> {
    let bits = params.bits()?;
    let mut names = env.bind.noted(TABLES);
    names.extend(params.preload.iter().cloned());
    for name in names {
        let domain = service.domains.open(&name, bits, &env.shared.stats);
        domain.table.connections.keep(params.handle_lost_tcp);
        let Some(store) = store else { continue };
        if params.version_table {
            check_versions(store, &name, env)?;
        }
        let mode = service.settings().mode;
        let reads = match mode {
            Mode::WriteThrough | Mode::WriteBack => params.db_load,
            Mode::LoadOnly => true,
            Mode::Memory | Mode::DatabaseOnly => false,
        };
        if reads && !domain.loaded.swap(true, Relaxed) {
            load(params, service, store, &domain)?;
        }
    }
    Ok(())
}

fn check_versions(store: &Store, name: &Str, env: &Env<'_>) -> Result<(), InitError> {
    let versions = env.globals.version_table.text();
    let table = name.text();
    let wanted = |table, accepted| TableVersion {
        versions: &versions,
        table,
        accepted,
    };
    check_table(store.database(), wanted(&table, LOCATION))?;
    if store.layout().attributes {
        check_table(store.database(), wanted(&format!("{table}_attrs"), ATTRIBUTES))?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "at start there is no worker whose clock could be asked"
)]
fn load(params: &Params, service: &Service, store: &Store, domain: &Arc<Domain>) -> Result<(), InitError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    let clean = params.db_clean_tcp;
    let streams = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let passed = streams.clone();
    let skip = move |contact: &Contact| {
        let skipped = clean && is_over_stream(contact);
        if skipped {
            passed.lock().push(contact.clone());
        }
        skipped
    };
    let count = store
        .load(domain, service.settings().order, now, skip)
        .map_err(|error| {
            domain.loaded.store(false, Relaxed);
            InitError::new(format!(
                "{}: table {} cannot be read: {error}",
                store.database().url(),
                domain.name()
            ))
        })?;
    notice!("usrloc", "{count} contacts are in table {}.", domain.name());
    let gone = std::mem::take(&mut *streams.lock());
    if service.settings().mode != Mode::LoadOnly {
        domain.table.put_back(Unwritten {
            contacts: Vec::new(),
            gone,
        });
    }
    Ok(())
}

/// The contact registered over a connection, which did not outlive the server.
fn is_over_stream(contact: &Contact) -> bool {
    let stream =
        |text: &[u8]| kahea_sip::Transport::parse(text).is_some_and(|transport| transport.is_stream());
    let socket = contact
        .socket()
        .and_then(|text| text.split(|b| *b == b':').next());
    let uri = kahea_sip::view::Uri::parse(contact.address());
    socket.is_some_and(stream) || uri.is_ok_and(|uri| uri.transport().is_stream())
}

/// Removes contacts at sockets of other servers from memory, once the own sockets are known.
fn drop_foreign(service: &Arc<Service>, order: Order, env: &mut Env<'_>) {
    let service = service.clone();
    let done = AtomicBool::new(false);
    env.hooks.worker_start.push(Arc::new(move |worker| {
        if worker.index != 0 || done.swap(true, Relaxed) {
            return;
        }
        let listeners = &worker.config.identity.listeners;
        let own = |socket: &[u8]| listeners.iter().any(|listener| *listener.text == *socket);
        let foreign = |contact: &Contact| contact.socket().is_some_and(|socket| !own(socket));
        for domain in service.domains() {
            for contact in (0..domain.slices()).flat_map(|at| domain.slice(at, foreign)) {
                let remove = |edit: &mut Edit<'_>| edit.remove_if(foreign);
                domain
                    .table
                    .edit(contact.aor(), order, table::Writing::No, remove);
            }
        }
    }));
}

/// A parameter from 0 to `most`.
pub(crate) fn number<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
    name: &str,
    value: i64,
    most: T,
) -> Result<T, InitError> {
    match T::try_from(value) {
        Ok(number) if number <= most => Ok(number),
        _ => Err(out_of_range(name, value, &format!("a number from 0 to {most}"))),
    }
}

/// The statistic over all tables.
pub(crate) fn count_users(domains: Arc<Domains>, env: &Env<'_>) {
    let doc = "Addresses of record in all location tables.";
    let count = Arc::new(move || domains.users());
    env.shared
        .stats
        .computed("usrloc", "registered_users", doc, count);
}

/// Starts the timer of this configuration.
pub(crate) fn begin_timer(
    interval: i64,
    plan: Plan,
    service: &Arc<Service>,
    env: &mut Env<'_>,
) -> Result<(), InitError> {
    let seconds = u64::try_from(interval)
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| out_of_range("timer_interval", interval, "seconds, 1 or more"))?;
    if let Some(route) = env.event_route("usrloc:contact-expired") {
        service.on_expired(route);
    }
    let sweep = Arc::new(Sweep {
        service: service.clone(),
        plan,
        busy: AtomicBool::new(false),
    });
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("usrloc"),
        every: Duration::from_secs(seconds),
        run: Arc::new(move |worker| sweep.begin(worker)),
    });
    Ok(())
}
