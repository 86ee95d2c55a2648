//! The parameters of `acc`.

use kahea_module::{Decl, Str};

use super::{Acc, rows::Columns};

/// Parameters; see their declarations.
pub struct Params {
    pub(super) early_media: bool,
    pub(super) failed_transaction_flag: i64,
    pub(super) failed_filter: Option<Str>,
    pub(super) report_ack: bool,
    pub(super) report_cancels: bool,
    pub(super) multi_leg_info: Str,
    pub(super) detect_direction: bool,
    pub(super) acc_prepare_flag: i64,
    pub(super) acc_prepare_always: bool,
    pub(super) reason_from_hf: bool,
    pub(super) acc_extra_nullable: bool,
    pub(super) log_flag: i64,
    pub(super) log_missed_flag: i64,
    pub(super) log_level: i64,
    pub(super) log_facility: Option<Str>,
    pub(super) log_extra: Str,
    pub(super) db_flag: i64,
    pub(super) db_missed_flag: i64,
    pub(super) db_extra: Str,
    pub(super) db_url: Str,
    pub(super) db_table_acc: Str,
    pub(super) db_table_missed_calls: Str,
    pub(super) db_version_check: bool,
    pub(super) db_insert_mode: i64,
    pub(super) time_mode: i64,
    pub(super) time_attr: Str,
    pub(super) time_exten: Str,
    pub(super) time_format: Str,
    pub(super) clone_msg: bool,
    pub(super) acc_extra_size: i64,
    pub(super) columns: Columns,
    pub(super) cdr: Cdr,
}

/// How records of calls are made: what the module `dialog` finds here once it is loaded behind `acc`.
#[derive(Clone, Debug)]
pub struct Cdr {
    /// Records of calls, made when a dialog ends; needs dialog.
    pub enable: bool,
    /// No record is made for a dialog that has this dialog variable.
    pub skip: Option<Str>,
    /// Records of calls go to the log.
    pub log_enable: bool,
    /// A call begins when it is answered, not when it is set up.
    pub start_on_confirmed: bool,
    /// The facility of syslog(3) that records of calls go to.
    pub facility: Option<Str>,
    /// Further values of records of calls: name=$variable, separated by semicolons.
    pub extra: Str,
    /// A further value of a call that is $null is written to the database as NULL.
    pub extra_nullable: bool,
    /// The name of the time of the beginning.
    pub start_id: Str,
    /// The name of the time of the end.
    pub end_id: Str,
    /// The name of the duration.
    pub duration_id: Str,
    /// Where the duration comes from: 0 the difference of both times, 1 a monotonic clock.
    pub duration_mode: i64,
    /// Dialogs that ran out make records too.
    pub expired_dlg_enable: bool,
    /// The table of records of calls; none where empty.
    pub table: Str,
    /// Calls that were not answered make records too.
    pub on_failed: bool,
    /// The most further values that cdr_extra may have.
    pub extra_size: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            early_media: false,
            failed_transaction_flag: -1,
            failed_filter: None,
            report_ack: false,
            report_cancels: false,
            multi_leg_info: Str::EMPTY,
            detect_direction: false,
            acc_prepare_flag: -1,
            acc_prepare_always: false,
            reason_from_hf: false,
            acc_extra_nullable: false,
            log_flag: -1,
            log_missed_flag: -1,
            log_level: 1,
            log_facility: None,
            log_extra: Str::EMPTY,
            db_flag: -1,
            db_missed_flag: -1,
            db_extra: Str::EMPTY,
            db_url: Str::EMPTY,
            db_table_acc: Str::from_static("acc"),
            db_table_missed_calls: Str::from_static("missed_calls"),
            db_version_check: true,
            db_insert_mode: 0,
            time_mode: 0,
            time_attr: Str::from_static("time_attr"),
            time_exten: Str::from_static("time_exten"),
            time_format: Str::from_static("%Y-%m-%d %H:%M:%S"),
            clone_msg: true,
            acc_extra_size: 64,
            columns: Columns::default(),
            cdr: Cdr::default(),
        }
    }
}

impl Default for Cdr {
    fn default() -> Cdr {
        Cdr {
            enable: false,
            skip: None,
            log_enable: true,
            start_on_confirmed: false,
            facility: None,
            extra: Str::EMPTY,
            extra_nullable: false,
            start_id: Str::from_static("start_time"),
            end_id: Str::from_static("end_time"),
            duration_id: Str::from_static("duration"),
            duration_mode: 1,
            expired_dlg_enable: false,
            table: Str::EMPTY,
            on_failed: true,
            extra_size: 64,
        }
    }
}

/// Declares them.
pub fn declare(d: &mut Decl<Acc>) {
    what(d);
    whereto(d);
    columns(d);
    times(d);
    calls(d);
}

fn what(d: &mut Decl<Acc>) {
    d.param(
        "early_media",
        |p| &mut p.early_media,
        "Provisional replies to an INVITE that have a body are accounted too.",
    );
    d.param("failed_transaction_flag", |p| &mut p.failed_transaction_flag, "The message flag under which transactions that end with a negative reply are accounted too; -1 for none.");
    d.param(
        "failed_filter",
        |p| &mut p.failed_filter,
        "Negative statuses that are not accounted all the same, separated by commas.",
    );
    d.param(
        "report_ack",
        |p| &mut p.report_ack,
        "ACKs to 2xx replies are accounted.",
    );
    d.param(
        "report_cancels",
        |p| &mut p.report_cancels,
        "CANCELs are accounted.",
    );
    d.param(
        "multi_leg_info",
        |p| &mut p.multi_leg_info,
        "The values of a call's legs: name=$avp(x), separated by semicolons.",
    );
    d.param(
        "detect_direction",
        |p| &mut p.detect_direction,
        "In requests from callee to caller the tags of From and To are exchanged; needs rr.",
    );
    d.param("acc_prepare_flag", |p| &mut p.acc_prepare_flag, "The message flag under which a transaction is followed although flags for accounting may be set only later; -1 for none.");
    d.param(
        "acc_prepare_always",
        |p| &mut p.acc_prepare_always,
        "Every transaction is followed, whatever flags the request has.",
    );
    d.param(
        "reason_from_hf",
        |p| &mut p.reason_from_hf,
        "The reason is that of the first Reason header of the reply, where it has one.",
    );
    d.param(
        "acc_extra_nullable",
        |p| &mut p.acc_extra_nullable,
        "A further value that is $null is written to the database as NULL, not as an empty text.",
    );
}

fn whereto(d: &mut Decl<Acc>) {
    d.param(
        "log_flag",
        |p| &mut p.log_flag,
        "The message flag under which a transaction is accounted in the log; -1 for none.",
    );
    d.param(
        "log_missed_flag",
        |p| &mut p.log_missed_flag,
        "The message flag under which missed calls are accounted in the log; -1 for none.",
    );
    d.param(
        "log_level",
        |p| &mut p.log_level,
        "The level of lines, as `debug` counts them.",
    );
    d.param(
        "log_facility",
        |p| &mut p.log_facility,
        "The facility of syslog(3) that lines go to.",
    );
    d.param(
        "log_extra",
        |p| &mut p.log_extra,
        "Further values of lines: name=$variable, separated by semicolons.",
    );
    d.param(
        "db_flag",
        |p| &mut p.db_flag,
        "The message flag under which a transaction is accounted in the database; -1 for none.",
    );
    d.param(
        "db_missed_flag",
        |p| &mut p.db_missed_flag,
        "The message flag under which missed calls are accounted in the database; -1 for none.",
    );
    d.param(
        "db_extra",
        |p| &mut p.db_extra,
        "Further columns of rows: column=$variable, separated by semicolons.",
    );
    d.param("db_url", |p| &mut p.db_url, "The database; none where empty.");
    d.param(
        "db_table_acc",
        |p| &mut p.db_table_acc,
        "The table of transactions; it may have variables in it.",
    );
    d.param(
        "db_table_missed_calls",
        |p| &mut p.db_table_missed_calls,
        "The table of missed calls; it may have variables in it.",
    );
}

fn columns(d: &mut Decl<Acc>) {
    d.param(
        "db_version_check",
        |p| &mut p.db_version_check,
        "The versions of the tables are checked at start, where their names have no variables.",
    );
    d.param(
        "acc_method_column",
        |p| &mut p.columns.method,
        "The column of the method.",
    );
    d.param(
        "acc_from_tag_column",
        |p| &mut p.columns.from_tag,
        "The column of the tag in From.",
    );
    d.param(
        "acc_to_tag_column",
        |p| &mut p.columns.to_tag,
        "The column of the tag in To.",
    );
    d.param(
        "acc_callid_column",
        |p| &mut p.columns.call_id,
        "The column of Call-ID.",
    );
    d.param(
        "acc_sip_code_column",
        |p| &mut p.columns.code,
        "The column of the status.",
    );
    d.param(
        "acc_sip_reason_column",
        |p| &mut p.columns.reason,
        "The column of the reason phrase.",
    );
    d.param(
        "acc_time_column",
        |p| &mut p.columns.time,
        "The column of the time.",
    );
    d.param("db_insert_mode", |p| &mut p.db_insert_mode, "0 for plain, 1 for delayed, 2 for asynchronous inserts; no row is waited for here in any of them, except by acc_db_request() and acc_request().");
}

fn times(d: &mut Decl<Acc>) {
    d.param("time_mode", |p| &mut p.time_mode, "How else the time is written: 1 seconds and microseconds, 2 seconds with milliseconds, 3 in a form of local time, 4 in one of UTC.");
    d.param(
        "time_attr",
        |p| &mut p.time_attr,
        "The name or column of the second time.",
    );
    d.param(
        "time_exten",
        |p| &mut p.time_exten,
        "The name or column of the microseconds.",
    );
    d.param(
        "time_format",
        |p| &mut p.time_format,
        "The form of the time in modes 3 and 4, as strftime(3) takes it.",
    );
    d.param(
        "clone_msg",
        |p| &mut p.clone_msg,
        "Without meaning here: values are always read from a request of the transaction's own.",
    );
    d.param(
        "acc_extra_size",
        |p| &mut p.acc_extra_size,
        "The most further values that log_extra and db_extra may have.",
    );
}

fn calls(d: &mut Decl<Acc>) {
    d.param(
        "cdr_enable",
        |p| &mut p.cdr.enable,
        "Records of calls, made when a dialog ends; needs dialog.",
    );
    d.param(
        "cdr_skip",
        |p| &mut p.cdr.skip,
        "No record is made for a dialog that has this dialog variable.",
    );
    d.param(
        "cdr_log_enable",
        |p| &mut p.cdr.log_enable,
        "Records of calls go to the log.",
    );
    d.param(
        "cdr_start_on_confirmed",
        |p| &mut p.cdr.start_on_confirmed,
        "A call begins when it is answered, not when it is set up.",
    );
    d.param(
        "cdr_facility",
        |p| &mut p.cdr.facility,
        "The facility of syslog(3) that records of calls go to.",
    );
    d.param(
        "cdr_extra",
        |p| &mut p.cdr.extra,
        "Further values of records of calls: name=$variable, separated by semicolons.",
    );
    d.param(
        "cdr_extra_nullable",
        |p| &mut p.cdr.extra_nullable,
        "A further value of a call that is $null is written to the database as NULL.",
    );
    d.param(
        "cdr_start_id",
        |p| &mut p.cdr.start_id,
        "The name of the time of the beginning.",
    );
    d.param(
        "cdr_end_id",
        |p| &mut p.cdr.end_id,
        "The name of the time of the end.",
    );
    d.param(
        "cdr_duration_id",
        |p| &mut p.cdr.duration_id,
        "The name of the duration.",
    );
    d.param(
        "cdr_duration_mode",
        |p| &mut p.cdr.duration_mode,
        "Where the duration comes from: 0 the difference of both times, 1 a monotonic clock.",
    );
    d.param(
        "cdr_expired_dlg_enable",
        |p| &mut p.cdr.expired_dlg_enable,
        "Dialogs that ran out make records too.",
    );
    d.param(
        "cdrs_table",
        |p| &mut p.cdr.table,
        "The table of records of calls; none where empty.",
    );
    d.param(
        "cdr_on_failed",
        |p| &mut p.cdr.on_failed,
        "Calls that were not answered make records too.",
    );
    d.param(
        "cdr_extra_size",
        |p| &mut p.cdr.extra_size,
        "The most further values that cdr_extra may have.",
    );
}
