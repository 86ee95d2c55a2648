//! The functions of `acc`: records that a script asks for.

use kahea_module::{ANY, Cx, Decl, Fault, Format, Ret};

use super::{
    Acc, Backend,
    record::{Event, Record, Result},
};

/// Declares them.
pub fn declare(d: &mut Decl<Acc>) {
    d.func(
        "acc_log_request",
        ["comment"],
        log_request,
        "Writes a record of the message to the log; the comment is its status and reason, or a reason alone.",
    )
    .routes(ANY)
    .kemi(1, "acc_log_request")
    .example("acc_log_request(\"404 Not found\");");
    d.func(
        "acc_db_request",
        ["comment", "table"],
        db_request,
        "Writes a record of the message to a table of the database; false where that fails.",
    )
    .routes(ANY)
    .waits()
    .kemi(2, "acc_db_request")
    .example("acc_db_request(\"404 Not found\", \"acc\");");
    d.func(
        "acc_request",
        ["comment", "table"],
        request,
        "Writes a record of the message to the log, and to a table where there is a database.",
    )
    .routes(ANY)
    .waits()
    .kemi(2, "acc_request")
    .example("acc_request(\"100 Received\", \"acc\");");
}

fn record(cx: &mut Cx, comment: &Format) -> std::result::Result<Record, Fault> {
    let result = Result::of_comment(comment, cx);
    Record::of(cx, &result, false)
}

fn log_request(m: &Acc, cx: &mut Cx, comment: Format) -> std::result::Result<bool, Fault> {
    let record = record(cx, &comment)?;
    m.lines
        .account(cx, Event::Requested, &record, m.accounting.legs());
    Ok(true)
}

fn db_request(m: &Acc, cx: &mut Cx, comment: Format, table: Format) -> Ret {
    match record(cx, &comment) {
        Ok(record) => insert(m, cx, &record, &table),
        Err(fault) => fault.into(),
    }
}

fn request(m: &Acc, cx: &mut Cx, comment: Format, table: Format) -> Ret {
    let record = match record(cx, &comment) {
        Ok(record) => record,
        Err(fault) => return fault.into(),
    };
    m.lines
        .account(cx, Event::Requested, &record, m.accounting.legs());
    if m.rows.is_none() {
        return Ret::TRUE;
    }
    insert(m, cx, &record, &table)
}

fn insert(m: &Acc, cx: &mut Cx, record: &Record, table: &Format) -> Ret {
    let Some(rows) = &m.rows else {
        return Fault::script("acc has no database: set the parameter db_url").into();
    };
    let table = table.text(cx);
    let statements = match rows.statements(cx, &table, record, m.accounting.legs()) {
        Ok(statements) => statements,
        Err(fault) => return fault.into(),
    };
    let database = rows.database().clone();
    Ret::wait(move |_| {
        Box::pin(async move {
            match database.run_all(statements).await {
                Ok(_) => Ret::TRUE,
                Err(error) => {
                    Fault::backend(format!("the record was not written to {table}: {error}")).into()
                }
            }
        })
    })
}
