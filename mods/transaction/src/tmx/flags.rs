//! Flags handed to the transaction before it is relayed: `t_flush_flags()` and its kin.

use kahea_module::{Cx, Decl, Fault};

use super::Tmx;
use crate::tm::attached::{self, Role};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_flush_flags",
        [],
        t_flush_flags,
        "The transaction takes over the message's flags as they are now.",
    )
    .kemi(0, "t_flush_flags");
    d.func(
        "t_flush_xflags",
        [],
        t_flush_xflags,
        "The transaction takes over the message's extended flags as they are now.",
    )
    .kemi(0, "t_flush_xflags");
    d.func(
        "t_vbflag_set",
        ["flag"],
        |_: &Tmx, cx: &mut Cx, flag: i64| change(cx, flag, |all, bit| *all |= bit),
        "Sets a Via-related flag, 0 to 63, of the transaction's request.",
    );
    d.func(
        "t_vbflag_reset",
        ["flag"],
        |_: &Tmx, cx: &mut Cx, flag: i64| change(cx, flag, |all, bit| *all &= !bit),
        "Clears a Via-related flag of the transaction's request.",
    );
    d.func(
        "t_vbflag_is_set",
        ["flag"],
        t_vbflag_is_set,
        "The Via-related flag of the transaction's request is set.",
    );
}

fn no_transaction() -> Fault {
    Fault::script("the message has no transaction: t_newtran() or t_relay() begin one")
}

fn t_flush_flags(_: &Tmx, cx: &mut Cx) -> Result<bool, Fault> {
    let cell = attached::cell(cx).ok_or_else(no_transaction)?;
    *cell.state.lock().context.flags_mut() = cx.flags;
    Ok(true)
}

fn t_flush_xflags(_: &Tmx, cx: &mut Cx) -> Result<bool, Fault> {
    let cell = attached::cell(cx).ok_or_else(no_transaction)?;
    *cell.state.lock().context.xflags_mut() = cx.xflags;
    Ok(true)
}

fn bit(flag: i64) -> Result<u64, Fault> {
    u32::try_from(flag)
        .ok()
        .and_then(|flag| 1_u64.checked_shl(flag))
        .ok_or_else(|| Fault::script(format!("there is no flag {flag}: give a number from 0 to 63")))
}

/// In the request's own route there are two of them, the message's and that of the transaction.
fn change(cx: &mut Cx, flag: i64, apply: fn(&mut u64, u64)) -> Result<bool, Fault> {
    let bit = bit(flag)?;
    let cell = attached::cell(cx).ok_or_else(no_transaction)?;
    if matches!(attached::role(cx), Role::Request) {
        apply(cell.state.lock().context.vbflags_mut(), bit);
    }
    apply(&mut cx.vbflags, bit);
    Ok(true)
}

fn t_vbflag_is_set(_: &Tmx, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    let bit = bit(flag)?;
    let cell = attached::cell(cx).ok_or_else(no_transaction)?;
    let flags = if matches!(attached::role(cx), Role::Request) {
        *cell.state.lock().context.vbflags_mut()
    } else {
        cx.vbflags
    };
    Ok(flags & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_sixty_four() {
        assert_eq!(bit(0), Ok(1));
        assert_eq!(bit(63), Ok(1 << 63));
        for none in [-1, 64, i64::MAX] {
            assert!(bit(none).is_err(), "{none}");
        }
    }
}
