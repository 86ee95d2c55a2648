//! `rand_event()` and its probability, `$RANDOM`, and the global flags.

use std::sync::atomic::Ordering::Relaxed;

use kahea_module::{Cx, Decl, Fault, Index, Value};

use super::Cfgutils;

pub(super) fn declare(d: &mut Decl<Cfgutils>) {
    d.func("rand_event", [], rand_event, "True with the set probability.")
        .kemi(0, "rand_event");
    d.func(
        "rand_set_prob",
        ["probability"],
        rand_set_prob,
        "Sets the probability, 0 to 100 percent.",
    )
    .kemi(1, "rand_set_prob");
    d.func(
        "rand_reset_prob",
        [],
        |m: &Cfgutils, _: &mut Cx| m.probability.store(m.initial_probability, Relaxed),
        "Sets the probability back to initial_probability.",
    )
    .kemi(0, "rand_reset_prob");
    d.func(
        "rand_get_prob",
        [],
        |m: &Cfgutils, _: &mut Cx| m.probability.load(Relaxed),
        "Returns the probability in percent; 0 ends the script, as in Kamailio.",
    )
    .kemi(0, "rand_get_prob");
    d.func(
        "set_gflag",
        ["flag"],
        |m: &Cfgutils, _: &mut Cx, flag: i64| {
            m.flags.0.fetch_or(bit(flag)?, Relaxed);
            Ok::<bool, Fault>(true)
        },
        "Sets a global flag, 0 to 31.",
    );
    d.func(
        "reset_gflag",
        ["flag"],
        |m: &Cfgutils, _: &mut Cx, flag: i64| {
            m.flags.0.fetch_and(!bit(flag)?, Relaxed);
            Ok::<bool, Fault>(true)
        },
        "Resets a global flag, 0 to 31.",
    );
    d.func(
        "is_gflag",
        ["flag"],
        |m: &Cfgutils, _: &mut Cx, flag: i64| Ok::<bool, Fault>(m.flags() & bit(flag)? != 0),
        "True where a global flag, 0 to 31, is set.",
    );
    d.var(
        "RANDOM",
        |_, cx: &mut Cx, _: Index| Value::Int(below(cx, 1 << 31)),
        "A random number from 0 to 2^31 - 1.",
    );
}

fn below(cx: &Cx, limit: u64) -> i64 {
    let random = cx.worker.random().checked_rem(limit).unwrap_or(0);
    i64::try_from(random).unwrap_or(0)
}

fn rand_event(m: &Cfgutils, cx: &mut Cx) -> bool {
    below(cx, 100) < m.probability.load(Relaxed)
}

fn rand_set_prob(m: &Cfgutils, _: &mut Cx, percent: i64) -> Result<bool, Fault> {
    if !(0..=100).contains(&percent) {
        return Err(Fault::script(format!(
            "{percent} is no percentage: give 0 to 100"
        )));
    }
    m.probability.store(percent, Relaxed);
    Ok(true)
}

fn bit(flag: i64) -> Result<u32, Fault> {
    let bit = u32::try_from(flag).ok().and_then(|flag| 1_u32.checked_shl(flag));
    bit.ok_or_else(|| Fault::script(format!("there is no global flag {flag}: give 0 to 31")))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn certainty_and_impossibility() {
        let (m, mut cx) = (Cfgutils::for_tests(0), Server::default().invite());
        assert_eq!(rand_set_prob(&m, &mut cx, 100), Ok(true));
        assert!((0..200).all(|_| rand_event(&m, &mut cx)));
        assert_eq!(rand_set_prob(&m, &mut cx, 0), Ok(true));
        assert!(!(0..200).any(|_| rand_event(&m, &mut cx)));
        assert!(rand_set_prob(&m, &mut cx, 101).is_err());
    }

    #[test]
    fn flags_are_0_to_31() {
        assert_eq!(bit(31), Ok(1 << 31));
        assert!(bit(32).is_err() && bit(-1).is_err());
    }
}
