//! Script flags and branch flags by number.

use kahea_module::{Cx, Decl, Fault};

use super::Kex;
use crate::pv::ScriptFlags;

/// Declares the functions.
pub fn declare(d: &mut Decl<Kex>) {
    d.func("setsflag", ["flag"], setsflag, "Sets a script flag, 0 to 31.")
        .example("setsflag(\"3\");");
    d.func(
        "issflagset",
        ["flag"],
        issflagset,
        "True where the script flag is set.",
    );
    d.func("resetsflag", ["flag"], resetsflag, "Clears a script flag.");
    d.func(
        "setbflag",
        ["flag", "branch"],
        setbflag,
        "Sets a branch flag, 0 to 31; branch 0 is the Request-URI, 1 the first added branch.",
    )
    .example("setbflag(\"3\", \"0\");");
    d.func(
        "isbflagset",
        ["flag", "branch"],
        isbflagset,
        "True where the branch flag is set.",
    );
    d.func(
        "resetbflag",
        ["flag", "branch"],
        resetbflag,
        "Clears a branch flag.",
    );
}

fn bit(flag: i64) -> Result<u32, Fault> {
    u32::try_from(flag)
        .ok()
        .and_then(|flag| 1u32.checked_shl(flag))
        .ok_or_else(|| Fault::script(format!("{flag} is no flag: it must lie between 0 and 31")))
}

fn branch_flags(cx: &mut Cx, branch: Option<i64>) -> Result<&mut u32, Fault> {
    let number = branch.unwrap_or(0);
    let target = match usize::try_from(number) {
        Ok(0) => Some(&mut cx.target),
        Ok(at) => cx.branches.get_mut(at.saturating_sub(1)),
        Err(_) => None,
    };
    target
        .map(|target| &mut target.flags)
        .ok_or_else(|| Fault::script(format!("the request has no branch {number}")))
}

fn setsflag(_: &Kex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.extra::<ScriptFlags>().0 |= bit(flag)?;
    Ok(true)
}

fn issflagset(_: &Kex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    Ok(cx.extra::<ScriptFlags>().0 & bit(flag)? != 0)
}

fn resetsflag(_: &Kex, cx: &mut Cx, flag: i64) -> Result<bool, Fault> {
    cx.extra::<ScriptFlags>().0 &= !bit(flag)?;
    Ok(true)
}

fn setbflag(_: &Kex, cx: &mut Cx, flag: i64, branch: Option<i64>) -> Result<bool, Fault> {
    *branch_flags(cx, branch)? |= bit(flag)?;
    Ok(true)
}

fn isbflagset(_: &Kex, cx: &mut Cx, flag: i64, branch: Option<i64>) -> Result<bool, Fault> {
    Ok(*branch_flags(cx, branch)? & bit(flag)? != 0)
}

fn resetbflag(_: &Kex, cx: &mut Cx, flag: i64, branch: Option<i64>) -> Result<bool, Fault> {
    *branch_flags(cx, branch)? &= !bit(flag)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kex::tests::kex;
    use kahea_module::{Target, testing::Server};

    #[test]
    fn script_flags_are_thirty_two() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        assert_eq!(setsflag(&kex, &mut cx, 31), Ok(true));
        assert_eq!(issflagset(&kex, &mut cx, 31), Ok(true));
        assert_eq!(resetsflag(&kex, &mut cx, 31), Ok(true));
        assert_eq!(issflagset(&kex, &mut cx, 31), Ok(false));
        assert!(setsflag(&kex, &mut cx, 32).is_err() && setsflag(&kex, &mut cx, -1).is_err());
    }

    #[test]
    fn branch_flags_belong_to_branches_that_are_there() {
        let (kex, mut cx) = (kex(), Server::default().invite());
        assert_eq!(setbflag(&kex, &mut cx, 3, None), Ok(true));
        assert_eq!(isbflagset(&kex, &mut cx, 3, Some(0)), Ok(true));
        assert!(setbflag(&kex, &mut cx, 4, Some(1)).is_err());
        cx.branches.push(Target::default());
        assert_eq!(setbflag(&kex, &mut cx, 4, Some(1)), Ok(true));
        assert_eq!(isbflagset(&kex, &mut cx, 4, Some(1)), Ok(true));
        assert_eq!(resetbflag(&kex, &mut cx, 4, Some(1)), Ok(true));
        assert_eq!(isbflagset(&kex, &mut cx, 4, Some(1)), Ok(false));
        assert!(isbflagset(&kex, &mut cx, 3, Some(-1)).is_err());
    }
}
