//! Module `acc_json`: records of `acc` as JSON objects, in queues of `mqueue` and in syslog.

mod object;
mod syslog;

use std::sync::Arc;

use kahea_mods_base::mqueue::Queues;
use kahea_module::{Cx, Decl, Env, InitError, Module, Str, error, log::Level};

use self::syslog::Syslog;
use crate::acc::{Accounting, Backend, Event, Extras, Legs, Record, TimeMode, facility, mask};

/// The module.
pub struct AccJson;

/// Its parameters.
pub struct Params {
    acc_flag: i64,
    acc_missed_flag: i64,
    acc_extra: Str,
    acc_pre_encoded_prefix: Option<Str>,
    acc_time_mode: i64,
    acc_time_format: Str,
    acc_log_level: i64,
    acc_log_facility: Option<Str>,
    acc_output_mqueue: Option<Str>,
    acc_output_syslog: i64,
    cdr: Cdr,
}

/// How records of calls are made: what the module `dialog` finds here once it is loaded behind `acc_json`.
#[derive(Clone, Debug)]
pub struct Cdr {
    /// Records of calls are made.
    pub enable: bool,
    /// Further values: name=$variable, separated by semicolons.
    pub extra: Str,
    /// Names that begin so have values that are JSON already.
    pub pre_encoded_prefix: Option<Str>,
    /// No record is made for a dialog that has this dialog variable.
    pub skip: Option<Str>,
    /// Dialogs that ran out make records too.
    pub expired_dlg_enable: bool,
    /// The level of records in syslog.
    pub log_level: i64,
    /// The facility of records in syslog.
    pub log_facility: Option<Str>,
    /// The queue that records go to.
    pub output_mqueue: Option<Str>,
    /// Records go to syslog where above 0.
    pub output_syslog: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            acc_flag: -1,
            acc_missed_flag: -1,
            acc_extra: Str::EMPTY,
            acc_pre_encoded_prefix: None,
            acc_time_mode: 0,
            acc_time_format: Str::from_static("%Y-%m-%d %H:%M:%S"),
            acc_log_level: 1,
            acc_log_facility: None,
            acc_output_mqueue: None,
            acc_output_syslog: -1,
            cdr: Cdr {
                enable: false,
                extra: Str::EMPTY,
                pre_encoded_prefix: None,
                skip: None,
                expired_dlg_enable: false,
                log_level: 1,
                log_facility: None,
                output_mqueue: None,
                output_syslog: -1,
            },
        }
    }
}

impl Module for AccJson {
    const NAME: &'static str = "acc_json";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        transactions(d);
        calls(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<AccJson, InitError> {
        let accounting = env.service::<Accounting>().ok_or_else(|| {
            InitError::new("acc_json needs the module acc").help("put loadmodule \"acc.so\" before it")
        })?;
        if params.cdr.enable && !env.bind.has_module("dialog") {
            return Err(
                InitError::new("cdr_enable needs the module dialog").help("add loadmodule \"dialog.so\"")
            );
        }
        accounting.add(Arc::new(objects(&params, env)?));
        env.provide(Arc::new(params.cdr));
        Ok(AccJson)
    }
}

fn transactions(d: &mut Decl<AccJson>) {
    d.param(
        "acc_flag",
        |p| &mut p.acc_flag,
        "The message flag under which a transaction is accounted; -1 for none.",
    );
    d.param(
        "acc_missed_flag",
        |p| &mut p.acc_missed_flag,
        "The message flag under which missed calls are accounted; -1 for none.",
    );
    d.param(
        "acc_extra",
        |p| &mut p.acc_extra,
        "Further members: name=$variable, separated by semicolons.",
    );
    d.param(
        "acc_pre_encoded_prefix",
        |p| &mut p.acc_pre_encoded_prefix,
        "Members whose names begin so have values that are JSON already.",
    )
    .alias("acc_json_pre_encoded_prefix");
    d.param(
        "acc_time_mode",
        |p| &mut p.acc_time_mode,
        "The time is: 0 or 1 seconds, 2 seconds with milliseconds, 3 a form of local time, 4 one of UTC.",
    );
    d.param(
        "acc_time_format",
        |p| &mut p.acc_time_format,
        "The form of the time in modes 3 and 4, as strftime(3) takes it.",
    );
    d.param(
        "acc_log_level",
        |p| &mut p.acc_log_level,
        "The level in syslog, as `debug` counts them.",
    );
    d.param(
        "acc_log_facility",
        |p| &mut p.acc_log_facility,
        "The facility of syslog(3).",
    );
    d.param(
        "acc_output_mqueue",
        |p| &mut p.acc_output_mqueue,
        "The queue of mqueue that objects go to.",
    );
    d.param(
        "acc_output_syslog",
        |p| &mut p.acc_output_syslog,
        "Objects go to syslog where above 0, whatever the server's own log goes to.",
    );
}

fn calls(d: &mut Decl<AccJson>) {
    d.param(
        "cdr_enable",
        |p| &mut p.cdr.enable,
        "Records of calls are made when a dialog ends; needs dialog.",
    );
    d.param(
        "cdr_extra",
        |p| &mut p.cdr.extra,
        "Further members of records of calls.",
    );
    d.param(
        "cdr_pre_encoded_prefix",
        |p| &mut p.cdr.pre_encoded_prefix,
        "Members of records of calls whose names begin so have values that are JSON already.",
    )
    .alias("cdr_json_pre_encoded_prefix");
    d.param(
        "cdr_skip",
        |p| &mut p.cdr.skip,
        "No record is made for a dialog that has this dialog variable.",
    );
    d.param(
        "cdr_expired_dlg_enable",
        |p| &mut p.cdr.expired_dlg_enable,
        "Dialogs that ran out make records too.",
    );
    d.param(
        "cdr_log_level",
        |p| &mut p.cdr.log_level,
        "The level of records of calls in syslog.",
    );
    d.param(
        "cdr_log_facility",
        |p| &mut p.cdr.log_facility,
        "The facility of records of calls in syslog.",
    );
    d.param(
        "cdr_output_mqueue",
        |p| &mut p.cdr.output_mqueue,
        "The queue that records of calls go to.",
    );
    d.param(
        "cdr_output_syslog",
        |p| &mut p.cdr.output_syslog,
        "Records of calls go to syslog where above 0.",
    );
}

fn objects(params: &Params, env: &Env<'_>) -> Result<Objects, InitError> {
    let queue = params.acc_output_mqueue.clone().and_then(|name| {
        let queues = env.service::<Queues>().filter(|queues| queues.has(&name));
        if queues.is_none() {
            error!(
                "acc_json",
                "There is no queue {name}, so nothing is added to it: load mqueue before acc_json, with modparam(\"mqueue\", \"mqueue\", \"name={name}\")."
            );
        }
        Some((queues?, name))
    });
    let syslog = (params.acc_output_syslog > 0).then(|| {
        facility("acc_log_facility", params.acc_log_facility.as_ref())
            .map(|facility| Syslog::new(facility, Level::from_number(params.acc_log_level)))
    });
    let objects = Objects {
        flag: mask("acc_flag", params.acc_flag)?,
        missed_flag: mask("acc_missed_flag", params.acc_missed_flag)?,
        extras: Extras::parse("acc_extra", &params.acc_extra.text(), i64::MAX, &*env.bind)?,
        encoded: params
            .acc_pre_encoded_prefix
            .clone()
            .filter(|prefix| !prefix.is_empty()),
        time: TimeMode::new(params.acc_time_mode, params.acc_time_format.clone()),
        queue,
        syslog: syslog.transpose()?,
    };
    if objects.flag | objects.missed_flag != 0 && objects.queue.is_none() && objects.syslog.is_none() {
        error!(
            "acc_json",
            "Records go nowhere: set acc_output_mqueue or acc_output_syslog."
        );
    }
    Ok(objects)
}

/// Writes each record as an object.
struct Objects {
    flag: u32,
    missed_flag: u32,
    extras: Extras,
    /// Names that begin so have values that are JSON already.
    encoded: Option<Str>,
    time: TimeMode,
    queue: Option<(Arc<Queues>, Str)>,
    syslog: Option<Syslog>,
}

impl Backend for Objects {
    fn flag(&self) -> u32 {
        self.flag
    }

    fn missed_flag(&self) -> u32 {
        self.missed_flag
    }

    fn account(&self, cx: &mut Cx, _: Event, record: &Record, legs: &Legs) {
        let text = self.text(cx, record, legs);
        if let Some(syslog) = &self.syslog {
            syslog.send(text.as_bytes());
        }
        if let Some((queues, name)) = &self.queue {
            queues.add(name, Str::from_static("acc"), Str::from(text));
        }
    }
}
