//! `t_suspend()` and `t_continue()`.

use kahea_module::{Cx, Decl, Fault, Lit, Ret};

use super::{Tmx, block::Block};
use crate::tm::{
    cell::Cell,
    suspend::{self, Entry},
};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_suspend",
        [],
        t_suspend,
        "Sets the message aside in its transaction, which is begun where there is none, until t_continue(); the script \
         goes on and should end.",
    )
    .kemi(0, "t_suspend")
    .example("if (t_suspend()) { exit; }");
    d.func(
        "t_continue",
        ["index", "label", "route"],
        t_continue,
        "Runs route[route] on the message that t_suspend() set aside in the transaction with this $T(id_index) and \
         $T(id_label).",
    )
    .kemi(3, "t_continue");
}

fn t_suspend(m: &Tmx, cx: &mut Cx) -> Result<Ret, Fault> {
    suspend::suspend(&m.core, cx)
}

/// The transaction that a script names.
///
/// # Errors
/// There is none.
pub fn named(m: &Tmx, index: i64, label: i64) -> Result<std::sync::Arc<Cell>, Fault> {
    let both = u32::try_from(index).ok().zip(u32::try_from(label).ok());
    both.and_then(|(index, label)| m.core.table.get_short(index, label))
        .ok_or_else(|| Fault::script(format!("there is no transaction [{index}:{label}]")))
}

fn t_continue(m: &Tmx, cx: &mut Cx, index: i64, label: i64, route: Lit<Block>) -> Result<bool, Fault> {
    let cell = named(m, index, label)?;
    let route = route.of(cx, &cell.config)?;
    // The route runs in the middle of this one, on the same `$var` values.
    let vars = cx.vars.clone();
    *cx.worker.vars.borrow_mut() = vars;
    let found = suspend::resume(&cell, &cx.worker, Entry::Route(route), None);
    let after = std::mem::take(&mut *cx.worker.vars.borrow_mut());
    if !after.is_empty() {
        cx.vars = after;
    }
    if !found {
        return Err(Fault::script(format!(
            "the transaction [{index}:{label}] is not suspended"
        )));
    }
    Ok(true)
}
