//! Module `msilo`: messages for users who are away, kept in a database and sent when they come (RFC 3428).

mod notice;
mod params;
mod sending;
mod storing;

use std::{collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use kahea_db::{Database, Op, Query, Value};
use kahea_mods_transaction::tm::uac::Requests;
use kahea_module::{
    Bind, Decl, Env, FAILURE, Format, InitError, Module, REQUEST, Str, Var, Worker, config::Periodic, error,
    stats::Counter,
};
use parking_lot::Mutex;

pub use self::params::Params;
use self::{notice::Notice, params::Columns};
use crate::queries;

/// The module.
pub struct Msilo {
    silo: Arc<Silo>,
    notice: Option<Notice>,
    extra: Format,
    /// When to send, and header lines to keep.
    send_time: Option<Var>,
    headers: Option<Var>,
    expire_time: i64,
    max_messages: u64,
}

/// The store, and how messages leave it: what timers share with functions.
struct Silo {
    database: Database,
    queries: Queries,
    requests: Arc<Requests>,
    proxy: Option<Str>,
    add_date: bool,
    add_contact: bool,
    keep_call_id: bool,
    /// Messages that are on their way; in the life of the process, so that a reload sends none twice.
    under_way: Arc<UnderWay>,
    counters: Counters,
}

/// Numbers of messages.
#[derive(Default)]
struct UnderWay(Mutex<HashSet<i64>>);

struct Counters {
    stored: Counter,
    dumped: Counter,
    failed: Counter,
    reminders: Counter,
    failed_reminders: Counter,
}

/// All statements.
struct Queries {
    store: Arc<Query>,
    count: Arc<Query>,
    of_user: Arc<Query>,
    due: Arc<Query>,
    delete: Arc<Query>,
    clean: Arc<Query>,
}

impl Module for Msilo {
    const NAME: &'static str = "msilo";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions(d);
        d.stat("stored_messages", "Messages that were stored.");
        d.stat("dumped_messages", "Messages that were sent and accepted.");
        d.stat(
            "failed_messages",
            "Messages that were sent and not accepted; they stay.",
        );
        d.stat(
            "dumped_reminders",
            "Messages that were sent in time and accepted.",
        );
        d.stat(
            "failed_reminders",
            "Messages that were sent in time and not accepted; they stay.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Msilo, InitError> {
        let silo = Arc::new(silo(&params, env)?);
        let bind = env.bind.clone();
        timers(&params, &silo, env)?;
        Ok(Msilo {
            notice: Notice::new(&params, &*bind)?,
            extra: bind.format(&params.extra_hdrs.text())?,
            send_time: avp("snd_time_avp", &params.snd_time_avp, &*bind)?,
            headers: avp("extra_hdrs_avp", &params.extra_hdrs_avp, &*bind)?,
            expire_time: params.expire_time,
            max_messages: u64::try_from(params.max_messages).unwrap_or(0),
            silo,
        })
    }
}

fn functions(d: &mut Decl<Msilo>) {
    d.func(
        "m_store",
        ["owner"],
        storing::store,
        "Keeps the message for the user of the Request-URI, or of the URI given.",
    )
    .routes(REQUEST | FAILURE)
    .waits()
    .kemi(0, "mstore")
    .kemi(1, "mstore_uri")
    .example("m_store(\"$tu\");");
    d.func(
        "m_store_addrs",
        ["owner", "source", "destination"],
        storing::store_addrs,
        "Keeps the message for the user of a URI, with other addresses of sender and receiver than From and To.",
    )
    .routes(REQUEST | FAILURE)
    .waits()
    .kemi(3, "mstore_addrs")
    .example("m_store_addrs(\"$tu\", \"$fu\", \"$tu\");");
    d.func(
        "m_dump",
        ["owner"],
        sending::dump,
        "Sends what is kept for the user in To, or of the URI given; false for a REGISTER that takes contacts away.",
    )
    .routes(REQUEST)
    .waits()
    .kemi(0, "mdump")
    .kemi(1, "mdump_uri")
    .example("m_dump(\"$fu\");");
}

fn avp(param: &str, text: &Str, bind: &dyn Bind) -> Result<Option<Var>, InitError> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = text.text();
    if !name.starts_with("$avp(") && !name.starts_with("$(avp(") {
        return Err(InitError::new(format!("{param}: '{name}' is no AVP")).help("write $avp(name)"));
    }
    Ok(Some(bind.var(&name)?))
}

fn silo(params: &Params, env: &Env<'_>) -> Result<Silo, InitError> {
    let requests = env.service::<Requests>().ok_or_else(|| {
        InitError::new("msilo needs the module tm").help("put loadmodule \"tm.so\" before it")
    })?;
    Ok(Silo {
        database: queries::open(env, &params.db_url, &[(&params.db_table, 8)])?,
        queries: Queries::new(&params.db_table.text(), &params.columns, params.use_mode == 1),
        requests,
        proxy: params.outbound_proxy.clone().filter(|proxy| !proxy.is_empty()),
        add_date: params.add_date,
        add_contact: params.add_contact,
        keep_call_id: params.use_mode == 1,
        under_way: env.shared.keep(UnderWay::default),
        counters: Counters {
            stored: env.counter("stored_messages"),
            dumped: env.counter("dumped_messages"),
            failed: env.counter("failed_messages"),
            reminders: env.counter("dumped_reminders"),
            failed_reminders: env.counter("failed_reminders"),
        },
    })
}

impl Queries {
    fn new(table: &str, columns: &Columns, call_ids: bool) -> Queries {
        let names = |list: &[&Str]| {
            list.iter()
                .map(|name| name.text().into_owned())
                .collect::<Vec<_>>()
        };
        let message = names(&[
            &columns.id,
            &columns.from,
            &columns.user,
            &columns.host,
            &columns.received,
            &columns.send,
            &columns.content_type,
            &columns.body,
            &columns.headers,
            &columns.call_id,
        ]);
        let mut written = names(&[
            &columns.from,
            &columns.to,
            &columns.user,
            &columns.host,
            &columns.received,
            &columns.expires,
            &columns.send,
            &columns.content_type,
            &columns.body,
            &columns.headers,
            &columns.status,
        ]);
        if call_ids {
            written.push(columns.call_id.text().into_owned());
        }
        let message: Vec<&str> = message.iter().map(String::as_str).collect();
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        let (user, host, send) = (columns.user.text(), columns.host.text(), columns.send.text());
        Queries {
            store: Query::insert(table, &written).build(),
            count: Query::select(table, &[&columns.id.text()])
                .when_eq(&user)
                .when_eq(&host)
                .build(),
            of_user: Query::select(table, &message)
                .when_eq(&user)
                .when_eq(&host)
                .when_eq(&send)
                .order_by(&columns.id.text())
                .build(),
            due: Query::select(table, &message)
                .when(&send, Op::Gt)
                .when(&send, Op::Le)
                .order_by(&columns.id.text())
                .build(),
            delete: Query::delete(table).when_eq(&columns.id.text()).build(),
            clean: Query::delete(table).when(&columns.expires.text(), Op::Lt).build(),
        }
    }
}

/// Old messages go; those whose time has come are sent.
fn timers(params: &Params, silo: &Arc<Silo>, env: &mut Env<'_>) -> Result<(), InitError> {
    let every = |param: &str, seconds: i64| {
        u64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
            .ok_or_else(|| InitError::new(format!("{param} is {seconds}")).help("give seconds above 0"))
    };
    let clean = every("check_time", params.check_time)?
        .saturating_mul(u32::try_from(params.clean_period.max(1)).unwrap_or(u32::MAX));
    let here = silo.clone();
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("msilo clean"),
        every: clean,
        run: Arc::new(move |worker| here.clean(worker)),
    });
    if params.reminder.is_empty() || params.send_time == 0 {
        return Ok(());
    }
    let (here, from) = (silo.clone(), params.reminder.clone());
    env.hooks.periodic.push(Periodic {
        name: Str::from_static("msilo reminders"),
        every: every("send_time", params.send_time)?,
        run: Arc::new(move |worker| sending::remind(&here, worker, &from)),
    });
    Ok(())
}

impl Silo {
    fn clean(&self, worker: &Rc<Worker>) {
        let values = vec![Value::Int(worker.unix_time())];
        let statement = kahea_db::Statement::Query(self.queries.clean.clone(), values);
        self.database.run_later(statement, |answer| {
            if let Err(error) = answer {
                error!("msilo", "Old messages were not thrown away: {error}.");
            }
        });
    }
}
