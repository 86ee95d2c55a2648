//! Flags of messages, branches, scripts and AVPs.

use kahea_module::{
    Arg, ArgKind, ArgSource, Bind, BindError, Cx, Decl, Fault, Lit, Str, Value,
    arg::Literal,
    avp::{AvpClass, AvpName},
    state::ScriptFlags,
};

use super::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.func(
        "setflag",
        ["flag"],
        setflag,
        "Sets a flag of the message, a number from 0 to 31 or a name.",
    )
    .example("setflag(3);");
    d.func("resetflag", ["flag"], resetflag, "Takes a flag off the message.");
    d.func("isflagset", ["flag"], isflagset, "The message has the flag.")
        .example("if (isflagset(3)) { exit; }");
    let doc = "Sets a flag of the newest AVP of that name.";
    d.func("setavpflag", ["avp", "flag"], setavpflag, doc);
    let doc = "Takes a flag off the newest AVP of that name.";
    d.func("resetavpflag", ["avp", "flag"], resetavpflag, doc);
    let doc = "The newest AVP of that name has the flag.";
    d.func("isavpflagset", ["avp", "flag"], isavpflagset, doc);
    declare_kemi(d);
}

fn declare_kemi(d: &mut Decl<Core>) {
    let flag = ["flag"];
    d.kemi_func("", "setflag", flag, ksr_setflag, "Sets a flag of the message.");
    d.kemi_func(
        "",
        "resetflag",
        flag,
        ksr_resetflag,
        "Takes a flag off the message.",
    );
    d.kemi_func("", "isflagset", flag, ksr_isflagset, "The message has the flag.");
    d.kemi_func("", "setbflag", flag, setbflag, "Sets a flag of the first branch.");
    d.kemi_func(
        "",
        "resetbflag",
        flag,
        resetbflag,
        "Takes a flag off the first branch.",
    );
    d.kemi_func(
        "",
        "isbflagset",
        flag,
        isbflagset,
        "The first branch has the flag.",
    );
    let of_branch = ["flag", "branch"];
    d.kemi_func("", "setbiflag", of_branch, setbiflag, "Sets a flag of a branch.");
    d.kemi_func(
        "",
        "resetbiflag",
        of_branch,
        resetbiflag,
        "Takes a flag off a branch.",
    );
    d.kemi_func(
        "",
        "isbiflagset",
        of_branch,
        isbiflagset,
        "The branch has the flag.",
    );
    d.kemi_func("", "setsflag", flag, setsflag, "Sets a script flag.");
    d.kemi_func("", "resetsflag", flag, resetsflag, "Takes a script flag off.");
    d.kemi_func("", "issflagset", flag, issflagset, "The script flag is set.");
}

/// The bit of a flag, from a number or a declared name.
#[derive(Debug)]
struct Flag(u32);

impl Literal for Flag {
    const WHAT: &'static str = "a flag: a number from 0 to 31, or a name declared with flags";
    fn parse(text: &str, bind: &dyn Bind) -> Result<Flag, BindError> {
        let text = text.trim();
        let number = text.parse::<i64>().ok();
        let bit = match number {
            Some(number) => bit(number),
            None => bind.flag(text).and_then(|n| bit(n.into())),
        };
        bit.map(Flag).ok_or_else(|| {
            let error = BindError::new(match number {
                Some(number) => format!("there is no flag {number}"),
                None => format!("there is no flag named {text}"),
            });
            error.help("write a number from 0 to 31, or declare the name: flags NAME:5")
        })
    }
}

fn bit(flag: i64) -> Option<u32> {
    u32::try_from(flag).ok().and_then(|n| 1u32.checked_shl(n))
}

fn setflag(_: &Core, cx: &mut Cx, flag: Lit<Flag>) {
    cx.flags |= flag.0;
}

fn resetflag(_: &Core, cx: &mut Cx, flag: Lit<Flag>) {
    cx.flags &= !flag.0;
}

fn isflagset(_: &Core, cx: &mut Cx, flag: Lit<Flag>) -> bool {
    cx.flags & flag.0 != 0
}

/// Changes or tests a set of flags; false for a flag that there is not.
fn with_bit(flag: i64, then: impl FnOnce(u32) -> bool) -> bool {
    bit(flag).is_some_and(then)
}

fn set(flags: &mut u32, flag: i64) -> bool {
    with_bit(flag, |bit| {
        *flags |= bit;
        true
    })
}

fn reset(flags: &mut u32, flag: i64) -> bool {
    with_bit(flag, |bit| {
        *flags &= !bit;
        true
    })
}

fn is_set(flags: u32, flag: i64) -> bool {
    with_bit(flag, |bit| flags & bit != 0)
}

fn ksr_setflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    set(&mut cx.flags, flag)
}

fn ksr_resetflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    reset(&mut cx.flags, flag)
}

fn ksr_isflagset(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    is_set(cx.flags, flag)
}

fn setbflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    set(&mut cx.target.flags, flag)
}

fn resetbflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    reset(&mut cx.target.flags, flag)
}

fn isbflagset(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    is_set(cx.target.flags, flag)
}

/// The flags of a branch: 0 is the first one, the others follow in the destination set.
fn branch_flags(cx: &mut Cx, branch: i64) -> Option<&mut u32> {
    match usize::try_from(branch).ok()?.checked_sub(1) {
        None => Some(&mut cx.target.flags),
        Some(at) => cx.branches.get_mut(at).map(|branch| &mut branch.flags),
    }
}

fn setbiflag(_: &Core, cx: &mut Cx, flag: i64, branch: i64) -> bool {
    branch_flags(cx, branch).is_some_and(|flags| set(flags, flag))
}

fn resetbiflag(_: &Core, cx: &mut Cx, flag: i64, branch: i64) -> bool {
    branch_flags(cx, branch).is_some_and(|flags| reset(flags, flag))
}

fn isbiflagset(_: &Core, cx: &mut Cx, flag: i64, branch: i64) -> bool {
    branch_flags(cx, branch).is_some_and(|flags| is_set(*flags, flag))
}

fn setsflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    set(&mut cx.extra::<ScriptFlags>().0, flag)
}

fn resetsflag(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    reset(&mut cx.extra::<ScriptFlags>().0, flag)
}

fn issflagset(_: &Core, cx: &mut Cx, flag: i64) -> bool {
    is_set(cx.extra::<ScriptFlags>().0, flag)
}

/// An AVP by its spelling: `$avp(x)`, `$avp(s:x)`, `$avp(i:5)`, `$f.x`, `$tu.x`; the variable itself, not its value.
#[derive(Clone, Debug, PartialEq)]
struct AvpRef {
    class: AvpClass,
    name: AvpName,
}

impl AvpRef {
    fn parse(text: &str) -> Result<AvpRef, BindError> {
        let wrong = || {
            let error = BindError::new(format!("'{text}' is no AVP"));
            error.help("write $avp(name), or $f.name and its like")
        };
        let bare = text.trim().strip_prefix('$').ok_or_else(wrong)?;
        let bare = bare
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .unwrap_or(bare);
        if let Some(name) = bare.strip_prefix("avp(").and_then(|rest| rest.strip_suffix(')')) {
            return AvpRef::of(AvpClass::FromUser, name).ok_or_else(wrong);
        }
        let (class, name) = bare.split_once('.').ok_or_else(wrong)?;
        let class = match class {
            "f" | "fu" => AvpClass::FromUser,
            "t" | "tu" => AvpClass::ToUser,
            "fd" => AvpClass::FromDomain,
            "td" => AvpClass::ToDomain,
            "fr" => AvpClass::FromUri,
            "tr" => AvpClass::ToUri,
            "g" => AvpClass::Global,
            _ => return Err(wrong()),
        };
        AvpRef::of(class, name).ok_or_else(wrong)
    }

    fn of(class: AvpClass, name: &str) -> Option<AvpRef> {
        let name = match name.split_once(':') {
            Some(("i", number)) => AvpName::Int(number.parse().ok()?),
            Some(("s", text)) => AvpName::Str(Str::from(text)),
            _ if name.is_empty() => return None,
            _ => AvpName::Str(Str::from(name)),
        };
        Some(AvpRef { class, name })
    }
}

impl Arg for AvpRef {
    const KIND: ArgKind = ArgKind::Literal("an AVP such as $avp(name)");
    type Fixed = AvpRef;

    fn fix(source: Option<&ArgSource>, _: &dyn Bind) -> Result<AvpRef, BindError> {
        match source {
            Some(ArgSource::Var(var)) => AvpRef::parse(&var.text().text()),
            Some(ArgSource::Text(text)) => AvpRef::parse(&text.text()),
            _ => Err(BindError::new("an AVP is needed here").help("write $avp(name)")),
        }
    }

    fn get(fixed: &AvpRef, _: &mut Cx) -> Result<AvpRef, Fault> {
        Ok(fixed.clone())
    }

    fn from_value(value: Option<Value>, _: &mut Cx) -> Result<AvpRef, Fault> {
        let text = value.unwrap_or_default().str_or_empty();
        AvpRef::parse(&text.text()).map_err(|error| Fault::script(error.message))
    }
}

fn avp_flags(cx: &mut Cx, avp: &AvpRef) -> Option<u32> {
    cx.avps.all(avp.class, &avp.name).next().map(|avp| avp.flags)
}

fn change_avp(cx: &mut Cx, avp: &AvpRef, change: impl FnOnce(&mut u32)) -> bool {
    match cx.avps.all_mut(avp.class, &avp.name).next() {
        Some(found) => {
            change(&mut found.flags);
            true
        }
        None => false,
    }
}

fn setavpflag(_: &Core, cx: &mut Cx, avp: AvpRef, flag: Lit<Flag>) -> bool {
    change_avp(cx, &avp, |flags| *flags |= flag.0)
}

fn resetavpflag(_: &Core, cx: &mut Cx, avp: AvpRef, flag: Lit<Flag>) -> bool {
    change_avp(cx, &avp, |flags| *flags &= !flag.0)
}

fn isavpflagset(_: &Core, cx: &mut Cx, avp: AvpRef, flag: Lit<Flag>) -> bool {
    avp_flags(cx, &avp).is_some_and(|flags| flags & flag.0 != 0)
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Target,
        testing::{FakeBind, Server},
    };

    use super::*;

    fn flag(text: &'static str, cx: &mut Cx) -> Lit<Flag> {
        Lit::from_value(Some(Value::Str(Str::from_static(text))), cx).expect("a flag")
    }

    #[test]
    fn flags_are_bits() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let three = flag("3", &mut cx);
        let last = flag("31", &mut cx);
        setflag(&core, &mut cx, three.clone());
        setflag(&core, &mut cx, last);
        assert_eq!(cx.flags, 2_147_483_656);
        resetflag(&core, &mut cx, three.clone());
        assert!(!isflagset(&core, &mut cx, three));
        assert!(ksr_isflagset(&core, &mut cx, 31));
        assert!(!ksr_setflag(&core, &mut cx, 32) && !ksr_setflag(&core, &mut cx, -1));
    }

    #[test]
    fn flags_that_there_are_not_are_refused_at_load() {
        let bind = FakeBind::default();
        for text in ["32", "-1", "NOPE"] {
            let error = Flag::parse(text, &bind).expect_err("no flag");
            assert!(error.help.is_some(), "{}", error.message);
        }
    }

    #[test]
    fn branches_have_flags_of_their_own() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        cx.branches.push(Target::default());
        assert!(setbiflag(&core, &mut cx, 2, 1));
        assert!(!isbflagset(&core, &mut cx, 2));
        assert!(isbiflagset(&core, &mut cx, 2, 1));
        assert!(setbflag(&core, &mut cx, 2) && isbiflagset(&core, &mut cx, 2, 0));
        assert!(!setbiflag(&core, &mut cx, 2, 2));
        assert!(setsflag(&core, &mut cx, 0) && issflagset(&core, &mut cx, 0));
        assert!(resetsflag(&core, &mut cx, 0) && !issflagset(&core, &mut cx, 0));
    }

    #[test]
    fn avps_have_flags_where_they_exist() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let avp = AvpRef::parse("$f.y").expect("an AVP");
        let one = flag("1", &mut cx);
        assert!(!setavpflag(&core, &mut cx, avp.clone(), one.clone()));
        cx.avps.add(avp.class, avp.name.clone(), Value::Int(1));
        assert!(setavpflag(&core, &mut cx, avp.clone(), one.clone()));
        assert!(isavpflagset(&core, &mut cx, avp.clone(), one.clone()));
        assert!(resetavpflag(&core, &mut cx, avp.clone(), one.clone()));
        assert!(!isavpflagset(&core, &mut cx, avp, one));
    }

    #[test]
    fn avps_are_named_in_each_of_their_spellings() {
        let name = |text| AvpRef::parse(text).map(|avp| avp.name);
        assert_eq!(name("$avp(i:5)"), Ok(AvpName::Int(5)));
        assert_eq!(name("$avp(s:x)"), name("$(avp(x))"));
        assert_eq!(
            AvpRef::parse("$td.x").map(|avp| avp.class),
            Ok(AvpClass::ToDomain)
        );
        assert!(AvpRef::parse("$ru").is_err() && AvpRef::parse("x").is_err());
    }
}
