//! All databases of the process.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak},
};

use kahea_module::{InitError, registry::Env, stats::Stats};
use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{Database, Driver, Limits, Url, pool::Pool};

/// The drivers that were loaded, and a pool for each URL in use. One in the life of the process, kept over reloads.
#[derive(Default)]
pub struct Databases {
    drivers: RwLock<HashMap<&'static str, Arc<dyn Driver>>>,
    pools: Mutex<HashMap<String, Weak<Pool>>>,
    runtime: Mutex<Option<Background>>,
}

/// The thread that talks to databases. It ends with the process, and waits for nobody then.
struct Background(Option<Runtime>);

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Databases {
    /// Those of this process.
    pub fn of(env: &Env<'_>) -> Arc<Databases> {
        env.shared.keep(Databases::default)
    }

    /// Makes a driver answer for a scheme; a later one of the same scheme takes its place.
    pub fn register(&self, scheme: &'static str, driver: Arc<dyn Driver>) {
        self.drivers.write().insert(scheme, driver);
    }

    /// The driver of a scheme.
    ///
    /// # Errors
    /// None is loaded.
    pub fn driver(&self, scheme: &str) -> Result<Arc<dyn Driver>, InitError> {
        let drivers = self.drivers.read();
        drivers.get(scheme).cloned().ok_or_else(|| {
            InitError::new(format!("no loaded module answers for {scheme} databases")).help(format!(
                "add a line before this one: loadmodule \"db_{scheme}.so\""
            ))
        })
    }

    /// A database, without connecting to it yet; all who ask for one URL share its connections.
    ///
    /// # Errors
    /// The URL cannot be read, or no driver is loaded for it.
    pub fn open_later(&self, url: &str, limits: Limits, stats: &Stats) -> Result<Database, InitError> {
        let url = Url::parse(url).map_err(InitError::new)?;
        let driver = self.driver(&url.scheme)?;
        let mut pools = self.pools.lock();
        pools.retain(|_, pool| pool.strong_count() > 0);
        let key = format!("{} {limits:?}", url.as_written());
        if let Some(pool) = pools.get(&key).and_then(Weak::upgrade) {
            pool.use_driver(driver);
            return Ok(Database::new(pool));
        }
        let handle = self.handle().map_err(|error| {
            InitError::new(format!("the thread for databases cannot be started: {error}"))
        })?;
        let pool = Arc::new(Pool::new(url, driver, limits, stats, &handle));
        pools.insert(key, Arc::downgrade(&pool));
        Ok(Database::new(pool))
    }

    /// A database that answers now.
    ///
    /// # Errors
    /// As [`Databases::open_later`], or the database cannot be reached.
    pub fn open(&self, url: &str, limits: Limits, stats: &Stats) -> Result<Database, InitError> {
        let database = self.open_later(url, limits, stats)?;
        database.reach().map_err(|error| {
            InitError::new(format!("{}: {error}", database.url()))
                .help("start the database, or correct the URL; `kahea db check URL` tries it")
        })?;
        Ok(database)
    }

    /// Every database in use, for statistics.
    pub fn in_use(&self) -> Vec<Database> {
        let pools = self.pools.lock();
        pools
            .values()
            .filter_map(Weak::upgrade)
            .map(Database::new)
            .collect()
    }

    fn handle(&self) -> io::Result<Handle> {
        let mut runtime = self.runtime.lock();
        if let Some(Background(Some(running))) = &*runtime {
            return Ok(running.handle().clone());
        }
        let made = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("db")
            .enable_all()
            .build()?;
        let handle = made.handle().clone();
        *runtime = Some(Background(Some(made)));
        Ok(handle)
    }
}
