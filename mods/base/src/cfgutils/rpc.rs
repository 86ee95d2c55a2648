//! The commands `cfgutils.*`.

use std::sync::atomic::Ordering::Relaxed;

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use md5::{Digest, Md5};

use super::Cfgutils;

pub(super) fn declare(d: &mut Decl<Cfgutils>) {
    d.rpc(
        "cfgutils.rand_set_prob",
        set_prob,
        "Sets the probability of rand_event(), 0 to 100 percent.",
    );
    d.rpc(
        "cfgutils.rand_reset_prob",
        reset_prob,
        "Sets the probability back to initial_probability.",
    );
    d.rpc(
        "cfgutils.rand_get_prob",
        get_prob,
        "The probability of rand_event().",
    );
    d.rpc(
        "cfgutils.get_config_hash",
        get_hash,
        "The MD5 sum of hash_file at start.",
    );
    d.rpc(
        "cfgutils.check_config_hash",
        check_hash,
        "Tells whether hash_file is as it was at start.",
    );
    d.rpc(
        "cfgutils.set_gflag",
        set_flags,
        "Sets the global flags of a mask.",
    );
    d.rpc(
        "cfgutils.reset_gflag",
        reset_flags,
        "Resets the global flags of a mask.",
    );
    d.rpc(
        "cfgutils.is_gflag",
        are_set,
        "TRUE where all global flags of a mask are set.",
    );
    d.rpc("cfgutils.get_gflags", get_flags, "The mask of the global flags.");
}

fn set_prob(m: &Cfgutils, call: &mut RpcCall) -> RpcResult {
    let percent = call
        .optional_int()
        .ok()
        .flatten()
        .ok_or_else(|| RpcFault::new(500, "Invalid Parameters"))?;
    if !(0..=100).contains(&percent) {
        return Err(RpcFault::new(500, "Invalid Percent"));
    }
    m.probability.store(percent, Relaxed);
    Ok(Vec::new())
}

fn reset_prob(m: &Cfgutils, _: &mut RpcCall) -> RpcResult {
    m.probability.store(m.initial_probability, Relaxed);
    Ok(Vec::new())
}

fn get_prob(m: &Cfgutils, _: &mut RpcCall) -> RpcResult {
    Ok(vec![RpcValue::from(format!(
        "actual probability: {} percent",
        m.probability.load(Relaxed)
    ))])
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}

fn get_hash(m: &Cfgutils, _: &mut RpcCall) -> RpcResult {
    let (_, sum) = m
        .hash
        .as_ref()
        .ok_or_else(|| RpcFault::new(404, "No hash file"))?;
    Ok(vec![RpcValue::from(hex(sum))])
}

fn check_hash(m: &Cfgutils, _: &mut RpcCall) -> RpcResult {
    let (path, sum) = m
        .hash
        .as_ref()
        .ok_or_else(|| RpcFault::new(404, "No hash file"))?;
    let now = std::fs::read(&*path.text())
        .map_err(|error| RpcFault::new(500, format!("Failed to hash the file: {error}")))?;
    match Md5::digest(now)[..] == sum[..] {
        true => Ok(vec![RpcValue::from("Identical hash")]),
        false => Err(RpcFault::new(400, "Different hash")),
    }
}

fn mask(call: &mut RpcCall) -> Result<u32, RpcFault> {
    let mask = call
        .optional_int()
        .ok()
        .flatten()
        .and_then(|n| u32::try_from(n).ok());
    mask.ok_or_else(|| RpcFault::new(500, "Invalid Parameters"))
}

fn set_flags(m: &Cfgutils, call: &mut RpcCall) -> RpcResult {
    m.flags.0.fetch_or(mask(call)?, Relaxed);
    Ok(Vec::new())
}

fn reset_flags(m: &Cfgutils, call: &mut RpcCall) -> RpcResult {
    m.flags.0.fetch_and(!mask(call)?, Relaxed);
    Ok(Vec::new())
}

fn are_set(m: &Cfgutils, call: &mut RpcCall) -> RpcResult {
    let mask = mask(call)?;
    let all = m.flags() & mask == mask;
    Ok(vec![RpcValue::from(if all { "TRUE" } else { "FALSE" })])
}

fn get_flags(m: &Cfgutils, _: &mut RpcCall) -> RpcResult {
    let flags = m.flags();
    Ok(vec![RpcValue::from(format!("0x{flags:x} ({flags})"))])
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn commands_answer_as_kamailios() {
        let (m, server) = (Cfgutils::for_tests(0), Server::default());
        let call = |args: &[&str]| {
            RpcCall::new(
                server.worker.clone(),
                args.iter().map(|a| RpcValue::from(*a)).collect(),
            )
        };
        assert_eq!(
            set_prob(&m, &mut call(&["120"])).unwrap_err().text,
            "Invalid Percent"
        );
        assert_eq!(set_prob(&m, &mut call(&["20"])), Ok(vec![]));
        assert_eq!(
            get_prob(&m, &mut call(&[])),
            Ok(vec![RpcValue::from("actual probability: 20 percent")])
        );
        assert_eq!(set_flags(&m, &mut call(&["5"])), Ok(vec![]));
        assert_eq!(are_set(&m, &mut call(&["4"])), Ok(vec![RpcValue::from("TRUE")]));
        assert_eq!(are_set(&m, &mut call(&["8"])), Ok(vec![RpcValue::from("FALSE")]));
        assert_eq!(get_flags(&m, &mut call(&[])), Ok(vec![RpcValue::from("0x5 (5)")]));
        assert_eq!(are_set(&m, &mut call(&["x"])).unwrap_err().code, 500);
    }
}
