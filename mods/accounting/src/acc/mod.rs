//! Module `acc`: records of transactions, in the log and in database tables.

mod extra;
mod functions;
mod line;
mod params;
mod reasons;
mod record;
mod rows;
mod watching;

use std::{sync::Arc, time::Duration};

use kahea_db::{Database, TableVersion, check_table};
use kahea_mods_routing::rr;
use kahea_mods_transaction::tm::watch::Watchers;
use kahea_module::{Decl, Env, Format, InitError, Module, Str, error, globals::Facility, log::Level};

pub use self::{
    extra::{Extras, Legs},
    params::{Cdr, Params},
    record::{Backend, Event, Moment, Record, TimeMode},
    watching::{Accounting, mask},
};
use self::{
    line::Lines,
    rows::{Layout, Rows},
    watching::Rules,
};

/// How long the end of the server waits for the database.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The module.
pub struct Acc {
    accounting: Arc<Accounting>,
    lines: Arc<Lines>,
    rows: Option<Arc<Rows>>,
}

impl Module for Acc {
    const NAME: &'static str = "acc";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        functions::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Acc, InitError> {
        need_modules(&params, env)?;
        let legs = Legs::parse(&params.multi_leg_info.text(), &*env.bind)?;
        let lines = Arc::new(lines(&params, env)?);
        let rows = rows(&params, &legs, env)?.map(Arc::new);
        let accounting = Arc::new(Accounting::new(rules(&params, env)?, legs));
        accounting.add(lines.clone());
        if let Some(rows) = &rows {
            accounting.add(rows.clone());
            let pending = rows.pending();
            env.hooks.stop.push(Arc::new(move || write_out(&pending)));
        }
        let watchers = Watchers::of(env);
        if !watchers.add(accounting.clone()) {
            return Err(InitError::new(
                "acc starts after the first request (a defect of this server)",
            ));
        }
        env.provide(accounting.clone());
        env.provide(Arc::new(params.cdr));
        Ok(Acc {
            accounting,
            lines,
            rows,
        })
    }
}

/// Lets the database have what it was given before the server ends.
fn write_out(pending: &rows::Pending) {
    let left = pending.wait(LAST_WAIT);
    if left > 0 {
        error!(
            "acc",
            "The database did not take {left} records before the server ended."
        );
    }
}

fn need_modules(params: &Params, env: &Env<'_>) -> Result<(), InitError> {
    let need = |name: &str, why: &str| {
        if env.bind.has_module(name) {
            return Ok(());
        }
        Err(InitError::new(format!("acc needs the module {name}{why}"))
            .help(format!("add loadmodule \"{name}.so\"")))
    };
    need("tm", "")?;
    if params.detect_direction {
        need("rr", " for detect_direction")?;
    }
    if params.cdr.enable {
        need("dialog", " for cdr_enable")?;
    }
    Ok(())
}

fn rules(params: &Params, env: &Env<'_>) -> Result<Rules, InitError> {
    let direction = match (params.detect_direction, env.service::<rr::Service>()) {
        (false, _) => None,
        (true, Some(service)) => Some(service),
        (true, None) => {
            return Err(InitError::new("detect_direction needs rr, which starts later")
                .help("put loadmodule \"rr.so\" before loadmodule \"acc.so\""));
        }
    };
    Ok(Rules {
        early_media: params.early_media,
        acks: params.report_ack,
        cancels: params.report_cancels,
        failed: mask("failed_transaction_flag", params.failed_transaction_flag)?,
        filter: watching::filter(&params.failed_filter.clone().unwrap_or_default())?,
        prepare: mask("acc_prepare_flag", params.acc_prepare_flag)?,
        prepare_always: params.acc_prepare_always,
        reason_header: params.reason_from_hf,
        direction,
    })
}

fn lines(params: &Params, env: &Env<'_>) -> Result<Lines, InitError> {
    Ok(Lines {
        flag: mask("log_flag", params.log_flag)?,
        missed_flag: mask("log_missed_flag", params.log_missed_flag)?,
        level: Level::from_number(params.log_level),
        facility: facility("log_facility", params.log_facility.as_ref())?,
        extras: Extras::parse(
            "log_extra",
            &params.log_extra.text(),
            params.acc_extra_size,
            &*env.bind,
        )?,
        time: time_mode(params),
        time_attr: params.time_attr.clone(),
        time_exten: params.time_exten.clone(),
    })
}

fn time_mode(params: &Params) -> TimeMode {
    if !(0..=4).contains(&params.time_mode) {
        error!(
            "acc",
            "time_mode {} is none of 0 to 4; 0 is used.", params.time_mode
        );
    }
    TimeMode::new(params.time_mode, params.time_format.clone())
}

/// The number of a facility; `LOG_DAEMON` where none is given.
///
/// # Errors
/// There is none of this name.
pub fn facility(param: &str, name: Option<&Str>) -> Result<i32, InitError> {
    let Some(name) = name else {
        return Ok(Facility::DAEMON.code());
    };
    Facility::parse(&name.text()).map(Facility::code).ok_or_else(|| {
        InitError::new(format!("{param}: '{name}' is no facility of syslog"))
            .help("write LOG_DAEMON, LOG_USER, or one of LOG_LOCAL0 to LOG_LOCAL7")
    })
}

fn rows(params: &Params, legs: &Legs, env: &Env<'_>) -> Result<Option<Rows>, InitError> {
    let extras = Extras::parse(
        "db_extra",
        &params.db_extra.text(),
        params.acc_extra_size,
        &*env.bind,
    )?;
    if params.db_url.is_empty() {
        return Ok(None);
    }
    if !(0..=2).contains(&params.db_insert_mode) {
        return Err(
            InitError::new(format!("db_insert_mode is {}", params.db_insert_mode)).help("give 0, 1 or 2"),
        );
    }
    let database = Database::open(env, &params.db_url.text())?;
    let table = |name: &Str, version: i64| -> Result<Format, InitError> {
        let format = env.bind.format(&name.text())?;
        if params.db_version_check && format.as_constant().is_some() {
            check_table(
                &database,
                TableVersion {
                    versions: &env.globals.version_table.text(),
                    table: &name.text(),
                    accepted: &[version],
                },
            )?;
        }
        Ok(format)
    };
    let tables = (
        table(&params.db_table_acc, 5)?,
        table(&params.db_table_missed_calls, 4)?,
    );
    let flags = (
        mask("db_flag", params.db_flag)?,
        mask("db_missed_flag", params.db_missed_flag)?,
    );
    let layout = Layout {
        columns: params.columns.clone(),
        extras,
        nullable: params.acc_extra_nullable,
        time: TimeMode::new(params.time_mode, params.time_format.clone()),
        time_attr: params.time_attr.clone(),
        time_exten: params.time_exten.clone(),
        legs: legs.names().cloned().collect(),
    };
    Ok(Some(Rows::new(database, flags, tables, layout)))
}
