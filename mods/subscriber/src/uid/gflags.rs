//! Module `uid_gflags`: flags and attributes of the whole server.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use kahea_db::{Database, Query, Rows, Statement, Value as Column};
use kahea_module::{
    Cx, Decl, Env, FAILURE, Fault, InitError, Module, REPLY, REQUEST, Ret, RouteKinds, Str,
    avp::{AvpClass, AvpName},
    config::Flow,
    error,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::attributes::Attribute;
use crate::queries;

/// The attribute that holds the flags.
const FLAGS: &str = "gflags";

/// The module.
pub struct UidGflags {
    flags: Arc<Flags>,
    store: Option<Store>,
}

/// The flags, in the life of the process.
struct Flags(AtomicU32);

/// The attributes that all messages have.
#[derive(Default)]
struct Attributes(ArcSwap<Vec<Attribute>>);

struct Store {
    database: Database,
    load: Arc<Query>,
    delete: Arc<Query>,
    insert: Arc<Query>,
    attributes: Arc<Attributes>,
}

/// Its parameters.
pub struct Params {
    initial: i64,
    db_url: Str,
    load_global_attrs: bool,
    global_attrs_table: Str,
    global_attrs_name: Str,
    global_attrs_type: Str,
    global_attrs_value: Str,
    global_attrs_flags: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            initial: 0,
            db_url: Str::from_static("mysql://kamailio:kamailiorw@localhost/kamailio"),
            load_global_attrs: false,
            global_attrs_table: Str::from_static("uid_global_attrs"),
            global_attrs_name: Str::from_static("name"),
            global_attrs_type: Str::from_static("type"),
            global_attrs_value: Str::from_static("value"),
            global_attrs_flags: Str::from_static("flags"),
        }
    }
}

/// Where its functions may be called.
fn routes() -> RouteKinds {
    REQUEST | FAILURE | REPLY
}

impl Module for UidGflags {
    const NAME: &'static str = "uid_gflags";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func("set_ugflag", ["flag"], set, "Sets a flag of the server, 0 to 31.")
            .routes(routes())
            .example("set_ugflag(\"2\");");
        d.func("reset_ugflag", ["flag"], reset, "Resets a flag of the server.")
            .routes(routes())
            .example("reset_ugflag(\"2\");");
        d.func("is_ugflag", ["flag"], is_set, "A flag of the server is set.")
            .routes(routes())
            .example("if (is_ugflag(\"2\")) { xlog(\"set\\n\"); }");
        d.func(
            "flush_ugflags",
            [],
            flush,
            "Writes the flags to the database; false without load_global_attrs.",
        )
        .routes(routes())
        .waits()
        .example("flush_ugflags();");
        d.rpc("gflags.set", rpc_set, "Sets a flag of the server.");
        d.rpc("gflags.reset", rpc_reset, "Resets a flag of the server.");
        d.rpc(
            "gflags.is_set",
            rpc_is_set,
            "Whether a flag of the server is set.",
        );
        d.rpc("gflags.dump", rpc_dump, "All flags of the server, from 0.");
        d.rpc_waits("gflags.flush", rpc_flush, "Writes the flags to the database.");
        d.rpc_waits(
            "global.reload",
            rpc_reload,
            "Reads the attributes of all messages again.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UidGflags, InitError> {
        let initial = u32::try_from(params.initial).map_err(|_| {
            InitError::new(format!(
                "initial is {}, which is no set of 32 flags",
                params.initial
            ))
        })?;
        let store = params
            .load_global_attrs
            .then(|| Store::open(&params, env))
            .transpose()?;
        let kept = store.as_ref().and_then(Store::flags);
        let flags = env.shared.keep(|| Flags(AtomicU32::new(kept.unwrap_or(initial))));
        if let Some(store) = &store {
            let attributes = store.attributes.clone();
            let add: Arc<dyn Fn(&mut Cx) -> Flow + Send + Sync> = Arc::new(move |cx| {
                give(cx, &attributes);
                Flow::Continue
            });
            env.hooks.request.push(add.clone());
            env.hooks.reply.push(add);
        }
        Ok(UidGflags { flags, store })
    }
}

fn params(d: &mut Decl<UidGflags>) {
    d.param(
        "initial",
        |p| &mut p.initial,
        "The flags at start, a bit for each; those in the database go before.",
    );
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database, with load_global_attrs.",
    );
    d.param(
        "load_global_attrs",
        |p| &mut p.load_global_attrs,
        "Attributes of all messages, and the flags, are read from the database.",
    );
    d.param(
        "global_attrs_table",
        |p| &mut p.global_attrs_table,
        "The table of attributes.",
    );
    d.param(
        "global_attrs_name",
        |p| &mut p.global_attrs_name,
        "The column of names.",
    );
    d.param(
        "global_attrs_type",
        |p| &mut p.global_attrs_type,
        "The column of types: 0 numbers, 2 texts.",
    );
    d.param(
        "global_attrs_value",
        |p| &mut p.global_attrs_value,
        "The column of values.",
    );
    d.param(
        "global_attrs_flags",
        |p| &mut p.global_attrs_flags,
        "The column of flags.",
    );
}

fn give(cx: &mut Cx, attributes: &Attributes) {
    for attribute in attributes.0.load().iter() {
        let name = AvpName::Str(attribute.name.clone());
        cx.avps.add(AvpClass::Global, name, attribute.value.clone());
    }
}

impl Store {
    fn open(params: &Params, env: &Env<'_>) -> Result<Store, InitError> {
        let [table, name, kind, value, flags] = [
            &params.global_attrs_table,
            &params.global_attrs_name,
            &params.global_attrs_type,
            &params.global_attrs_value,
            &params.global_attrs_flags,
        ]
        .map(Str::text);
        let columns = [&*name, &*kind, &*value, &*flags];
        let store = Store {
            database: queries::open(env, &params.db_url, &[(&params.global_attrs_table, 1)])?,
            load: Query::select(&table, &columns).build(),
            delete: Query::delete(&table).when_eq(&name).build(),
            insert: Query::insert(&table, &columns).build(),
            attributes: Arc::default(),
        };
        let failed = |why: String| InitError::new(format!("table {table}: {why}"));
        let rows = store
            .database
            .run_blocking(&store.load, Vec::new())
            .map_err(|error| failed(error.to_string()))?;
        store.attributes.0.store(Arc::new(read(&rows).map_err(failed)?));
        Ok(store)
    }

    /// The flags among the attributes.
    fn flags(&self) -> Option<u32> {
        let attributes = self.attributes.0.load();
        let known = attributes
            .iter()
            .find(|attribute| *attribute.name == *FLAGS.as_bytes())?;
        u32::try_from(known.value.int()?).ok()
    }

    /// The statements that write the flags.
    fn flush(&self, flags: u32) -> Vec<Statement> {
        let name = Column::from(FLAGS);
        let row = vec![
            name.clone(),
            Column::Int(0),
            Column::Text(Str::from(flags.to_string())),
            Column::Int(1),
        ];
        vec![
            Statement::Query(self.delete.clone(), vec![name]),
            Statement::Query(self.insert.clone(), row),
        ]
    }
}

fn read(rows: &Rows) -> Result<Vec<Attribute>, String> {
    let read = rows.rows.iter().map(|row| Attribute::of(row, 0));
    read.filter_map(Result::transpose).collect()
}

/// The bit of a flag.
fn bit(flag: i64) -> Option<u32> {
    1u32.checked_shl(u32::try_from(flag).ok()?)
}

fn bit_or_fault(flag: i64) -> Result<u32, Fault> {
    bit(flag).ok_or_else(|| Fault::script(format!("there is no flag {flag}: flags are 0 to 31")))
}

fn set(m: &UidGflags, _: &mut Cx, flag: i64) -> Result<bool, Fault> {
    m.flags.0.fetch_or(bit_or_fault(flag)?, Relaxed);
    Ok(true)
}

fn reset(m: &UidGflags, _: &mut Cx, flag: i64) -> Result<bool, Fault> {
    m.flags.0.fetch_and(!bit_or_fault(flag)?, Relaxed);
    Ok(true)
}

fn is_set(m: &UidGflags, _: &mut Cx, flag: i64) -> Result<bool, Fault> {
    Ok(m.flags.0.load(Relaxed) & bit_or_fault(flag)? != 0)
}

fn flush(m: &UidGflags, _: &mut Cx) -> Ret {
    let Some(store) = &m.store else {
        error!("uid_gflags", "flush_ugflags() needs load_global_attrs.");
        return Ret::FALSE;
    };
    let (database, statements) = (store.database.clone(), store.flush(m.flags.0.load(Relaxed)));
    Ret::wait(move |_| {
        Box::pin(async move {
            match database.run_all(statements).await {
                Ok(_) => Ret::TRUE,
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

fn rpc_bit(call: &mut RpcCall) -> Result<u32, RpcFault> {
    bit(call.int()?).ok_or_else(|| RpcFault::new(400, "Flag number out of range"))
}

fn rpc_set(m: &UidGflags, call: &mut RpcCall) -> RpcResult {
    m.flags.0.fetch_or(rpc_bit(call)?, Relaxed);
    Ok(Vec::new())
}

fn rpc_reset(m: &UidGflags, call: &mut RpcCall) -> RpcResult {
    m.flags.0.fetch_and(!rpc_bit(call)?, Relaxed);
    Ok(Vec::new())
}

fn rpc_is_set(m: &UidGflags, call: &mut RpcCall) -> RpcResult {
    let on = m.flags.0.load(Relaxed) & rpc_bit(call)? != 0;
    Ok(vec![RpcValue::Bool(on)])
}

fn rpc_dump(m: &UidGflags, _: &mut RpcCall) -> RpcResult {
    let flags = m.flags.0.load(Relaxed);
    let on = |flag: u32| RpcValue::Bool(flags.checked_shr(flag).unwrap_or(0) & 1 != 0);
    Ok((0..32).map(on).collect())
}

fn rpc_flush<'a>(m: &'a UidGflags, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let store = m.store.as_ref().ok_or_else(without_database)?;
        let statements = store.flush(m.flags.0.load(Relaxed));
        match store.database.run_all(statements).await {
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(RpcFault::new(500, format!("Failed to write the flags: {error}"))),
        }
    })
}

fn rpc_reload<'a>(m: &'a UidGflags, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let store = m.store.as_ref().ok_or_else(without_database)?;
        let rows = store.database.run(&store.load, Vec::new()).await;
        let rows = rows.map_err(|error| RpcFault::new(500, format!("Failed to read: {error}")))?;
        let attributes = read(&rows).map_err(|why| RpcFault::new(500, format!("Failed to read: {why}")))?;
        store.attributes.0.store(Arc::new(attributes));
        Ok(Vec::new())
    })
}

fn without_database() -> RpcFault {
    RpcFault::new(400, "Set load_global_attrs to use the database")
}

#[cfg(test)]
mod tests {
    use kahea_module::{Value, avp::Avp, testing::Server};

    use super::*;

    fn module(flags: u32) -> UidGflags {
        UidGflags {
            flags: Arc::new(Flags(AtomicU32::new(flags))),
            store: None,
        }
    }

    #[test]
    fn flags_are_set_and_reset() {
        let (m, mut cx) = (module(5), Server::default().invite());
        assert_eq!(is_set(&m, &mut cx, 0), Ok(true));
        assert_eq!(is_set(&m, &mut cx, 1), Ok(false));
        set(&m, &mut cx, 31).unwrap();
        reset(&m, &mut cx, 0).unwrap();
        assert_eq!(m.flags.0.load(Relaxed), (1 << 31) | 4);
        assert!(set(&m, &mut cx, 32).is_err());
        assert!(is_set(&m, &mut cx, -1).is_err());
    }

    #[test]
    fn messages_have_the_attributes_of_the_server() {
        let attributes = Attributes::default();
        let one = Attribute {
            name: "a".into(),
            value: Value::Int(1),
        };
        attributes.0.store(Arc::new(vec![one]));
        let mut cx = Server::default().invite();
        give(&mut cx, &attributes);
        let globals = cx.avps.iter().filter(|avp: &&Avp| avp.class == AvpClass::Global);
        assert_eq!(globals.count(), 1);
    }
}
