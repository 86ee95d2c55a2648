//! The commands `dlgs.*`.

use kahea_module::{
    Decl, Str,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{
    Dlgs,
    book::{Dialog, Field, Filter, State},
};

/// Declares them.
pub fn declare(d: &mut Decl<Dlgs>) {
    d.rpc(
        "dlgs.list",
        |m, _| Ok(rows(m, whole, |_| true)),
        "Every call with all that is known of it.",
    );
    d.rpc(
        "dlgs.briefing",
        |m, _| Ok(rows(m, brief, |_| true)),
        "Every call in few words.",
    );
    d.rpc(
        "dlgs.get",
        get,
        "The first call that fits: field, operator and data as those of dlgs_count().",
    );
    d.rpc(
        "dlgs.getall",
        getall,
        "Every call that fits: field, operator and data as those of dlgs_count().",
    );
    d.rpc(
        "dlgs.count",
        count,
        "How many calls go on that fit: field, operator and data as those of dlgs_count().",
    );
    d.rpc("dlgs.stats", stats, "How many calls there are in each state.");
}

fn rows(m: &Dlgs, row: fn(&Str, &Dialog) -> RpcValue, wanted: impl Fn(&Dialog) -> bool) -> Vec<RpcValue> {
    let book = m.book.lock();
    let all = book.all().into_iter().filter(|(_, dialog)| wanted(dialog));
    all.map(|(call_id, dialog)| row(call_id, dialog)).collect()
}

fn brief(call_id: &Str, dialog: &Dialog) -> RpcValue {
    RpcValue::members([
        ("callid", call_id.clone().into()),
        ("src", dialog.src.clone().into()),
        ("dst", dialog.dst.clone().into()),
        ("state", dialog.state.name().into()),
    ])
}

fn whole(call_id: &Str, dialog: &Dialog) -> RpcValue {
    let tags = dialog.tags.iter().cloned().map(RpcValue::from).collect();
    RpcValue::members([
        ("callid", call_id.clone().into()),
        ("src", dialog.src.clone().into()),
        ("dst", dialog.dst.clone().into()),
        ("data", dialog.data.clone().into()),
        ("state", dialog.state.name().into()),
        ("ts_init", dialog.began.into()),
        ("ts_state", dialog.changed.into()),
        ("tags", RpcValue::Array(tags)),
    ])
}

fn filter(call: &mut RpcCall) -> Result<Filter, RpcFault> {
    let (field, op, data) = (call.text()?, call.text()?, call.text()?);
    let field =
        Field::of(&field.text()).ok_or_else(|| RpcFault::new(400, "Invalid field: src, dst, data or any"))?;
    let worker = call.worker.clone();
    Filter::new(field, &op.text(), &data, |text| worker.regex(text))
        .map_err(|fault| RpcFault::new(400, fault.text))
}

fn getall(m: &Dlgs, call: &mut RpcCall) -> RpcResult {
    let filter = filter(call)?;
    Ok(rows(m, whole, |dialog| filter.fits(dialog)))
}

fn get(m: &Dlgs, call: &mut RpcCall) -> RpcResult {
    let mut found = getall(m, call)?;
    found.truncate(1);
    Ok(found)
}

fn count(m: &Dlgs, call: &mut RpcCall) -> RpcResult {
    let filter = filter(call)?;
    let count = m.book.lock().count(&filter);
    Ok(vec![RpcValue::members([("count", number(count))])])
}

fn number(count: usize) -> RpcValue {
    RpcValue::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn stats(m: &Dlgs, _: &mut RpcCall) -> RpcResult {
    let book = m.book.lock();
    let members = State::ALL.map(|state| (state.name(), number(book.in_state(state))));
    Ok(vec![RpcValue::members(members)])
}
