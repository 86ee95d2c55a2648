//! Module `htable`: tables of keys and values that all workers share; their content survives a reload.

mod contents;
mod define;
mod expiry;
mod functions;
mod hash;
mod iterators;
mod locks;
mod rpc;
mod store;
mod table;
mod vars;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use kahea_module::{BindError, Decl, Env, Fault, InitError, Module, Str, warning};
use parking_lot::Mutex;

use self::{
    contents::{Contents, Item, Moment},
    define::Definition,
    hash::core_case_hash,
    locks::Locks,
    store::{Layout, Store},
    table::Table,
};

/// The module.
pub struct Htable {
    /// In the order of their definition.
    tables: Vec<Arc<Table>>,
    by_name: HashMap<Str, usize, RandomState>,
    store: Option<Store>,
}

/// Tables by name: what a reload hands on.
#[derive(Default)]
struct Kept(Mutex<HashMap<Str, KeptTable>>);

#[derive(Clone, Default)]
struct KeptTable {
    contents: Arc<Contents>,
    locks: Arc<Locks>,
    /// It has been filled from the database.
    loaded: Arc<AtomicBool>,
}

/// A table that is not loaded yet, and where to note that it is.
type Fresh = (Arc<Table>, Arc<AtomicBool>);

/// Its parameters.
pub struct Params {
    tables: Vec<Definition>,
    db_url: Option<Str>,
    key_name_column: Str,
    key_type_column: Str,
    value_type_column: Str,
    key_value_column: Str,
    expires_column: Str,
    array_size_suffix: Str,
    fetch_rows: i64,
    timer_interval: i64,
    db_expires: bool,
    enable_dmq: bool,
    dmq_init_sync: bool,
    dmq_peer_id: Str,
    timer_procs: i64,
    event_callback: Option<Str>,
    event_callback_mode: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            tables: Vec::new(),
            db_url: None,
            key_name_column: Str::from_static("key_name"),
            key_type_column: Str::from_static("key_type"),
            value_type_column: Str::from_static("value_type"),
            key_value_column: Str::from_static("key_value"),
            expires_column: Str::from_static("expires"),
            array_size_suffix: Str::from_static("::size"),
            fetch_rows: 100,
            timer_interval: 20,
            db_expires: false,
            enable_dmq: false,
            dmq_init_sync: false,
            dmq_peer_id: Str::from_static("htable"),
            timer_procs: 0,
            event_callback: None,
            event_callback_mode: 0,
        }
    }
}

impl Module for Htable {
    const NAME: &'static str = "htable";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        database_params(d);
        replication_params(d);
        functions::declare(d);
        iterators::declare(d);
        vars::declare(d);
        rpc::declare(d);
        d.event("htable:mod-init", "Once, before the first message: fills tables.");
        d.event(
            "htable:expired:<name>",
            "An item of that table has expired; see $shtrecord.",
        );
        d.event(
            "htable:reloaded:<name>",
            "RPC htable.reload has read that table anew.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.enable_dmq {
            warning!(
                "htable",
                "enable_dmq: tables are not replicated, this server has no module dmq yet."
            );
        }
        let every = u64::try_from(params.timer_interval).unwrap_or(0).max(1);
        let store = match &params.db_url {
            Some(url) => Some(Store::open(env, &url.text(), layout(&params))?),
            None => None,
        };
        let waits = params.event_callback_mode == 1;
        let (htable, fresh) = Htable::new(params.tables, &env.shared.keep(Kept::default), store);
        expiry::start(env, &htable.tables, Duration::from_secs(every));
        expiry::at_start(env, waits);
        htable.load(fresh)?;
        htable.save_at_end(env);
        Ok(htable)
    }
}

fn layout(params: &Params) -> Layout {
    Layout {
        key_name: params.key_name_column.clone(),
        key_type: params.key_type_column.clone(),
        value_type: params.value_type_column.clone(),
        key_value: params.key_value_column.clone(),
        expires: params.expires_column.clone(),
        array_suffix: params.array_size_suffix.clone(),
        with_expires: params.db_expires,
    }
}

fn params(d: &mut Decl<Htable>) {
    d.param_fn(
        "htable",
        "string",
        |params, value, _| {
            let definition = Definition::parse(&value.str_or_empty().text())?;
            if params.tables.iter().any(|known| known.name == definition.name) {
                return Err(BindError::new(format!("table {} is defined already", definition.name))
                    .help("take one of the two lines out"));
            }
            params.tables.push(definition);
            Ok(())
        },
        "A table: name=>size=N;autoexpire=SECONDS;initval=N;updateexpire=0|1;dbtable=NAME;cols='KEY,VALUE,…';colnull='TEXT';dbmode=0|1;dmqreplicate=0|1. The size says in which order items are walked and which keys share a lock; it limits nothing.",
    );
    d.param(
        "timer_interval",
        |p| &mut p.timer_interval,
        "Seconds between sweeps for expired items.",
    );
    d.param(
        "timer_procs",
        |p| &mut p.timer_procs,
        "Without meaning here: expired items are found without a scan, in small portions between messages.",
    );
    d.param(
        "event_callback",
        |p| &mut p.event_callback,
        "The function of an embedded language that events call; embedded languages come with a later version, until then event routes run.",
    );
    d.param(
        "event_callback_mode",
        |p| &mut p.event_callback_mode,
        "When event_route[htable:mod-init] runs: 0 before the first message, where it may not wait; 1 on the first worker, where it may wait for a database.",
    );
}

fn database_params(d: &mut Decl<Htable>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database that tables are loaded from and written to.",
    );
    d.param(
        "key_name_column",
        |p| &mut p.key_name_column,
        "The column of keys.",
    );
    d.param(
        "key_type_column",
        |p| &mut p.key_type_column,
        "The column of key types: 0 plain, 1 element of an array.",
    );
    d.param(
        "value_type_column",
        |p| &mut p.value_type_column,
        "The column of value types: 0 string, 1 number.",
    );
    d.param(
        "key_value_column",
        |p| &mut p.key_value_column,
        "The column of values.",
    );
    d.param(
        "expires_column",
        |p| &mut p.expires_column,
        "The column of the time of expiry, in seconds since 1970.",
    );
    d.param(
        "array_size_suffix",
        |p| &mut p.array_size_suffix,
        "What is put behind an array's name for the key that holds its length.",
    );
    d.param(
        "fetch_rows",
        |p| &mut p.fetch_rows,
        "Without meaning here: rows are read as they come, in constant memory.",
    );
    d.param(
        "db_expires",
        |p| &mut p.db_expires,
        "Load and store when items expire, in tables with autoexpire.",
    );
}

fn replication_params(d: &mut Decl<Htable>) {
    d.param(
        "enable_dmq",
        |p| &mut p.enable_dmq,
        "Replicate tables with dmqreplicate=1; a warning only, until module dmq is there.",
    );
    d.param(
        "dmq_init_sync",
        |p| &mut p.dmq_init_sync,
        "Ask other nodes for their items at start; of no effect until module dmq is there.",
    );
    d.param(
        "dmq_peer_id",
        |p| &mut p.dmq_peer_id,
        "The name of the replication peer; of no effect until module dmq is there.",
    );
}

impl Htable {
    /// With the tables of a configuration, and those that are not loaded yet.
    fn new(definitions: Vec<Definition>, kept: &Kept, store: Option<Store>) -> (Htable, Vec<Fresh>) {
        let mut all = kept.0.lock();
        let mut fresh = Vec::new();
        let mut tables = Vec::new();
        for definition in definitions {
            let kept = all.entry(definition.name.clone()).or_default().clone();
            let table = Arc::new(Table {
                definition,
                contents: kept.contents,
                locks: kept.locks,
            });
            if !kept.loaded.load(Acquire) {
                fresh.push((table.clone(), kept.loaded));
            }
            tables.push(table);
        }
        let by_name = tables
            .iter()
            .enumerate()
            .map(|(at, table)| (table.name().clone(), at))
            .collect();
        let htable = Htable {
            tables,
            by_name,
            store,
        };
        (htable, fresh)
    }

    /// Loads the tables that are new; those that were there before a reload keep what they hold.
    fn load(&self, fresh: Vec<Fresh>) -> Result<(), InitError> {
        for (table, loaded) in fresh {
            match &self.store {
                Some(store) => store.load(&table)?,
                None if table.definition.dbtable.is_some() => warning!(
                    "htable",
                    "Table {} has a dbtable but there is no db_url: it is not loaded.",
                    table.name()
                ),
                None => {}
            }
            loaded.store(true, Release);
        }
        Ok(())
    }

    fn save_at_end(&self, env: &mut Env<'_>) {
        let Some(store) = self.store.clone() else { return };
        let tables: Vec<_> = self
            .tables
            .iter()
            .filter(|table| table.definition.dbmode && table.definition.cols.is_empty())
            .cloned()
            .collect();
        if !tables.is_empty() {
            env.hooks.stop.push(Arc::new(move || {
                tables.iter().for_each(|table| store.save_at_end(table))
            }));
        }
    }

    fn find(&self, name: &[u8]) -> Option<&Arc<Table>> {
        self.by_name.get(name).and_then(|at| self.tables.get(*at))
    }

    fn table(&self, name: &Str) -> Result<&Arc<Table>, Fault> {
        self.find(name).ok_or_else(|| {
            Fault::script(format!(
                "there is no table {name}: add modparam(\"htable\", \"htable\", \"{name}=>size=8;\")"
            ))
        })
    }
}

impl Table {
    /// All items with their slots, in the order of Kamailio's slots.
    fn in_order(&self, now: Moment) -> Vec<(u64, Item)> {
        let mask = self.definition.slots().saturating_sub(1);
        let mut items: Vec<(u32, Item)> = self
            .contents
            .all(now)
            .into_iter()
            .map(|item| (core_case_hash(&item.key), item))
            .collect();
        items.sort_by(|(one, a), (other, b)| {
            let slots = (u64::from(*one) & mask).cmp(&(u64::from(*other) & mask));
            slots.then(one.cmp(other)).then_with(|| a.key.cmp(&b.key))
        });
        items
            .into_iter()
            .map(|(hash, item)| (u64::from(hash) & mask, item))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Value,
        testing::{FakeBind, Server},
    };

    use super::*;

    /// A module with these tables.
    pub(super) fn htable(definitions: &[&str]) -> Htable {
        let parse = |text: &&str| Definition::parse(text).expect("a definition");
        let definitions = definitions.iter().map(parse).collect();
        Htable::new(definitions, &Kept::default(), None).0
    }

    #[test]
    fn contents_outlive_a_reload() {
        let kept = Kept::default();
        let define = |text: &str| vec![Definition::parse(text).expect("a definition")];
        let (one, fresh) = Htable::new(define("a=>size=4"), &kept, None);
        assert_eq!(fresh.len(), 1);
        one.load(fresh).expect("there is nothing to load");
        let key = Str::from("k");
        one.tables[0].set(one.tables[0].contents.key(&key), Value::Int(7), 1);
        let (other, fresh) = Htable::new(define("a=>size=8;initval=3"), &kept, None);
        assert!(fresh.is_empty());
        let table = &other.tables[0];
        assert_eq!(table.get(table.contents.key(&key), 1), Value::Int(7));
        let none = Str::from("none");
        assert_eq!(table.get(table.contents.key(&none), 1), Value::Int(3));
    }

    #[test]
    fn a_name_is_looked_up_once() {
        let m = htable(&["a=>size=4"]);
        let mut cx = Server::default().invite();
        let name = table::ItemName::parse("a=>k", &FakeBind::default()).expect("a name");
        let first = Arc::as_ptr(name.table(&m).expect("a table"));
        name.with(&m, &mut cx, |table, key, _| table.set(key, Value::Int(1), 1))
            .expect("it is set");
        let empty = htable(&[]);
        assert_eq!(Arc::as_ptr(name.table(&empty).expect("still found")), first);
    }

    #[test]
    fn numbers_are_counted_and_strings_are_not() {
        let m = htable(&["a=>size=4", "b=>size=4;initval=7"]);
        let (a, b) = (&m.tables[0], &m.tables[1]);
        let key = Str::from("n");
        assert_eq!(a.add(a.contents.key(&key), 1, 1), Value::Null);
        assert_eq!(b.add(b.contents.key(&key), 1, 1), Value::Int(8));
        assert_eq!(b.add(b.contents.key(&key), -2, 1), Value::Int(6));
        a.set(a.contents.key(&key), Value::from("41"), 1);
        assert_eq!(a.add(a.contents.key(&key), 1, 1), Value::Null);
        assert_eq!(a.get(a.contents.key(&key), 1), Value::from("41"));
    }
}
