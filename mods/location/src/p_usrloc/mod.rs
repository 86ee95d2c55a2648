//! Module `p_usrloc`: usrloc over several databases (db_mode 3 alone). It gives registrar the same service.

mod cluster;
mod crc;
mod params;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use kahea_db::{BoxFuture, Database, Databases, Error};
use kahea_module::{Decl, Env, InitError, Module, Str, Value, Worker, config::Periodic, notice};

use self::{
    cluster::{Cluster, Parts, Tuning},
    params::{Kinds, Params},
};
use crate::usrloc::{
    Backend, Contact, Count, Domains, Layout, Plan, Service, Store, TABLES, Unwritten, begin_timer,
    count_users,
};

/// The module's instance.
pub struct PUsrloc {
    _service: Arc<Service>,
}

impl Module for PUsrloc {
    const NAME: &'static str = "p_usrloc";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        d.event(
            "usrloc:contact-expired",
            "A contact has ended; $ulc(exp=>...) shows it.",
        );
        d.stat(
            "registered_users",
            "Addresses of record in memory: none, since p_usrloc keeps them in databases.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<PUsrloc, InitError> {
        if env.service::<Service>().is_some() {
            return Err(InitError::new("p_usrloc and usrloc cannot be loaded together")
                .help("take out one of the two loadmodule lines"));
        }
        let settings = params.settings(env.globals.server_id)?;
        declare_settings(&params, env);
        let domains = Domains::of(&env.shared);
        let process = domains.prefix("uloc", settings.server_id.into());
        let layout = params.layout(Str::from(process));
        let mut names = env.bind.noted(TABLES);
        names.extend(params.preload.iter().cloned());
        let cluster = match names.iter().any(|name| params.kinds.is_cluster(name)) {
            true => Some(open_cluster(&params, &layout, env)?),
            false => None,
        };
        let single = match names.iter().all(|name| params.kinds.is_cluster(name)) {
            true => None,
            false => {
                let database = Database::open(env, &params.default_db_url.text())?;
                Some(Store::new(database, layout))
            }
        };
        let backend = Arc::new(Tables {
            kinds: params.kinds.clone(),
            single,
            cluster: cluster.clone(),
        });
        let service = Arc::new(Service::new(settings, domains.clone(), Some(backend)));
        for name in &names {
            domains.open(name, 0, &env.shared.stats);
        }
        count_users(domains, env);
        begin_timer(60, Plan::default(), &service, env)?;
        if let Some(cluster) = cluster {
            begin_checks(cluster, &params, env);
        }
        env.provide(service.clone());
        Ok(PUsrloc { _service: service })
    }
}

/// What changes at run time, and what only says how it is.
fn declare_settings(params: &Params, env: &Env<'_>) {
    let rows = [
        (
            "expire_time",
            params.expire_time,
            "Seconds until a database that was turned on is read again.",
            false,
        ),
        (
            "db_err_threshold",
            params.db_err_threshold,
            "Errors after which a database is turned off.",
            false,
        ),
        (
            "failover_level",
            params.failover_level,
            "1 turns a database off, 2 puts a spare in its place.",
            false,
        ),
        (
            "db_ops_ruid",
            params.db_ops_ruid,
            "How rows are found; changes with a reload.",
            true,
        ),
        (
            "db_update_as_insert",
            i64::from(params.db_update_as_insert),
            "Has no effect.",
            true,
        ),
        (
            "matching_mode",
            params.matching_mode,
            "How contacts are matched; changes with a reload.",
            true,
        ),
        (
            "utc_timestamps",
            i64::from(params.utc_timestamps),
            "Times are in UTC; changes with a reload.",
            true,
        ),
    ];
    for (name, value, doc, read_only) in rows {
        env.settings
            .declare("p_usrloc", name, Value::Int(value), doc, read_only);
    }
}

fn open_cluster(params: &Params, layout: &Layout, env: &Env<'_>) -> Result<Arc<Cluster>, InitError> {
    let read = Database::open(env, &params.read_db_url.text())?;
    let write = match params.write_on_master_db || params.mdb_availability_control {
        true => Some(Database::open_later(env, &params.write_db_url.text())?),
        false => None,
    };
    let since = env.shared.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    let cluster = Arc::new(Cluster::new(Parts {
        master: params.master.clone(),
        read: read.clone(),
        write,
        writes: params.write_on_db,
        domain_counts: params.use_domain_crc32,
        layout: layout.clone(),
        tuning: Tuning {
            expire_time: AtomicI64::new(params.expire_time),
            threshold: AtomicI64::new(params.db_err_threshold),
            failover_level: AtomicI64::new(params.failover_level),
            now: AtomicU32::new(now),
        },
        databases: Databases::of(env),
        shared: env.shared.clone(),
    }));
    let rows = read
        .run_blocking(&cluster.query().build(), Vec::new())
        .map_err(|error| {
            InitError::new(format!(
                "{}: the table {} that names the databases cannot be read: {error}",
                read.url(),
                params.master.table
            ))
        })?;
    match cluster.take(rows.rows) {
        0 => Err(
            InitError::new(format!("the table {} names no database", params.master.table))
                .help("add two rows for each group: id, no, url, status 1"),
        ),
        count => {
            notice!("p_usrloc", "Locations are spread over {count} databases.");
            Ok(cluster)
        }
    }
}

fn begin_checks(cluster: Arc<Cluster>, params: &Params, env: &mut Env<'_>) {
    let seconds = u64::try_from(params.db_retry_interval).unwrap_or(10).max(1);
    let busy = Arc::new(AtomicBool::new(false));
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("p_usrloc"),
        every: Duration::from_secs(seconds),
        run: Arc::new(move |worker| {
            if busy.swap(true, Relaxed) {
                return;
            }
            tune(&cluster, worker);
            let (cluster, busy, now) = (cluster.clone(), busy.clone(), worker.unix_time());
            worker.engine.spawn(Box::pin(async move {
                cluster.check(u32::try_from(now).unwrap_or(u32::MAX)).await;
                busy.store(false, Relaxed);
            }));
        }),
    });
}

fn tune(cluster: &Cluster, worker: &Worker) {
    let tuning = &cluster.tuning;
    let places = [
        ("expire_time", &tuning.expire_time),
        ("db_err_threshold", &tuning.threshold),
        ("failover_level", &tuning.failover_level),
    ];
    for (name, place) in places {
        let value = worker.config.settings.get(b"p_usrloc", name.as_bytes());
        if let Some(value) = value.and_then(|value| value.int()) {
            place.store(value, Relaxed);
        }
    }
}

/// The tables, each in one database or in the cluster.
struct Tables {
    kinds: Kinds,
    single: Option<Store>,
    cluster: Option<Arc<Cluster>>,
}

impl Tables {
    fn of(&self, table: &Str) -> Result<&dyn Backend, Error> {
        let found: Option<&dyn Backend> = match self.kinds.is_cluster(table) {
            true => self.cluster.as_deref().map(|cluster| cluster as &dyn Backend),
            false => self.single.as_ref().map(|store| store as &dyn Backend),
        };
        found.ok_or_else(|| Error::Refused(format!("table {table} was not named when the server started")))
    }
}

impl Backend for Tables {
    fn fetch<'a>(&'a self, table: &'a Str, aor: &'a [u8]) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move { self.of(table)?.fetch(table, aor).await })
    }

    fn fetch_ruid<'a>(
        &'a self,
        table: &'a Str,
        ruid: &'a Str,
    ) -> BoxFuture<'a, Result<Option<Contact>, Error>> {
        Box::pin(async move { self.of(table)?.fetch_ruid(table, ruid).await })
    }

    fn fetch_all<'a>(
        &'a self,
        table: &'a Str,
        flags: u32,
        now: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move { self.of(table)?.fetch_all(table, flags, now).await })
    }

    fn fetch_expired<'a>(
        &'a self,
        table: &'a Str,
        before: u32,
    ) -> BoxFuture<'a, Result<Vec<Contact>, Error>> {
        Box::pin(async move { self.of(table)?.fetch_expired(table, before).await })
    }

    fn clean<'a>(&'a self, table: &'a Str, before: u32) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.of(table)?.clean(table, before).await })
    }

    fn write_all<'a>(&'a self, table: &'a Str, unwritten: &'a Unwritten) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move { self.of(table)?.write_all(table, unwritten).await })
    }

    fn count<'a>(&'a self, table: &'a Str, what: Count, now: u32) -> BoxFuture<'a, Result<i64, Error>> {
        Box::pin(async move { self.of(table)?.count(table, what, now).await })
    }
}
