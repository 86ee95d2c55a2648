//! Module `cfgt`: a JSON report of each message, for tests of configurations: the routes that it went through with the
//! variables of each, the message, and what was sent.
//!
//! Reports are switched on by `cfgtest` of module `debugger`. Files are written beside the workers.

mod report;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
};

use kahea_module::{
    Decl, Env, InitError, Module, Str,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use parking_lot::Mutex;

use crate::dump;

/// What `cfgtest` of module `debugger` switches on.
#[derive(Default)]
pub struct Switch(AtomicBool);

impl Switch {
    /// Reports are written from now on.
    pub fn on(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// The module.
pub struct Cfgt {
    shared: Arc<Reports>,
}

/// What all workers share.
struct Reports {
    switch: Arc<Switch>,
    basedir: String,
    mask: AtomicI64,
    prefix: Str,
    skip_unknown: bool,
    route_log: bool,
    /// The last number of each scenario.
    numbers: Mutex<BTreeMap<String, u64>>,
}

/// Its parameters.
pub struct Params {
    basedir: Str,
    mask: i64,
    callid_prefix: Str,
    skip_unknown: bool,
    route_log: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            basedir: Str::from_static("/tmp"),
            mask: dump::ALL,
            callid_prefix: Str::from_static("NGCP%"),
            skip_unknown: false,
            route_log: false,
        }
    }
}

impl Module for Cfgt {
    const NAME: &'static str = "cfgt";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "basedir",
            |p| &mut p.basedir,
            "The folder of the reports, SCENARIO/NUMBER.json in it; it must exist.",
        );
        d.param(
            "mask",
            |p| &mut p.mask,
            "Which variables reports hold: 1 those without value too, 2 AVPs, 4 $var, 8 xavps, 16 others, 32 all.",
        );
        d.param(
            "callid_prefix",
            |p| &mut p.callid_prefix,
            "What the Call-ID of a test begins with; its last character ends the scenario's name behind it too.",
        );
        d.param(
            "skip_unknown",
            |p| &mut p.skip_unknown,
            "No reports of messages without that prefix, which otherwise are of the scenario unknown.",
        );
        d.param(
            "route_log",
            |p| &mut p.route_log,
            "Log at INFO how routes begin and end.",
        );
        d.rpc("cfgt.list", list, "The scenarios and their last numbers.");
        d.rpc("cfgt.mask", mask, "Sets which variables reports hold.");
        d.rpc_waits(
            "cfgt.clean",
            clean,
            "Removes the reports of a scenario, or of all.",
        );
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Self, InitError> {
        if params.callid_prefix.is_empty() {
            return Err(InitError::new("callid_prefix is empty").help("write a prefix such as NGCP%"));
        }
        let switch = Arc::new(Switch::default());
        env.provide(switch.clone());
        let shared = Arc::new(Reports {
            switch,
            basedir: params.basedir.text().into_owned(),
            mask: AtomicI64::new(params.mask),
            prefix: params.callid_prefix,
            skip_unknown: params.skip_unknown,
            route_log: params.route_log,
            numbers: Mutex::default(),
        });
        report::start(env, &shared);
        Ok(Cfgt { shared })
    }
}

/// Messages without the prefix.
const UNKNOWN: &str = "unknown";

impl Reports {
    /// The scenario of a Call-ID. A name that could leave the folder is none.
    fn scenario(&self, call_id: &[u8]) -> Option<String> {
        let end = self.prefix.last()?;
        let name = call_id
            .strip_prefix(&*self.prefix)
            .and_then(|rest| rest.split(|byte| byte == end).next())
            .and_then(|name| std::str::from_utf8(name).ok())
            .filter(|name| is_safe(name));
        match name {
            Some(name) => Some(name.to_owned()),
            None if self.skip_unknown => None,
            None => Some(UNKNOWN.to_owned()),
        }
    }

    fn next_number(&self, scenario: &str) -> u64 {
        let mut numbers = self.numbers.lock();
        let number = numbers.entry(scenario.to_owned()).or_default();
        *number = number.saturating_add(1);
        *number
    }
}

fn is_safe(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain)
}

fn list(m: &Cfgt, _: &mut RpcCall) -> RpcResult {
    let numbers = m.shared.numbers.lock();
    let row = |(name, number): (&String, &u64)| {
        RpcValue::members([
            ("uuid", RpcValue::from(name.as_str())),
            ("msgid", RpcValue::Int(i64::try_from(*number).unwrap_or(i64::MAX))),
        ])
    };
    Ok(numbers.iter().map(row).collect())
}

fn mask(m: &Cfgt, call: &mut RpcCall) -> RpcResult {
    m.shared.mask.store(call.int()?, Relaxed);
    Ok(Vec::new())
}

fn clean<'a>(m: &'a Cfgt, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let wanted = call.text()?.text().into_owned();
        let gone: Vec<String> = {
            let mut numbers = m.shared.numbers.lock();
            let gone = numbers
                .keys()
                .filter(|name| wanted == "all" || **name == wanted)
                .cloned()
                .collect::<Vec<_>>();
            numbers.retain(|name, _| !gone.contains(name));
            gone
        };
        if gone.is_empty() && wanted != "all" {
            return Err(RpcFault::new(500, "There are no reports of that name"));
        }
        let basedir = m.shared.basedir.clone();
        let remove = move || {
            for name in gone {
                match std::fs::remove_dir_all(format!("{basedir}/{name}")) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(format!("{basedir}/{name} cannot be removed: {error}"));
                    }
                    _ => {}
                }
            }
            Ok(())
        };
        match tokio::task::spawn_blocking(remove).await {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(why)) => Err(RpcFault::new(500, why)),
            Err(error) => Err(RpcFault::new(500, error.to_string())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_stay_in_their_folder() {
        let reports = |skip_unknown| Reports {
            switch: Arc::default(),
            basedir: String::new(),
            mask: AtomicI64::new(0),
            prefix: Str::from("TRACE%"),
            skip_unknown,
            route_log: false,
            numbers: Mutex::default(),
        };
        let all = reports(false);
        let named = |call_id: &str| all.scenario(call_id.as_bytes()).expect("a name");
        assert_eq!(named("TRACE%one%1@host"), "one");
        assert_eq!(named("TRACE%two"), "two");
        for odd in [
            "other",
            "TRACE%",
            "TRACE%..%1",
            "TRACE%a/b%1",
            "TRACE%.x%",
            "TRACE%a\0b%",
        ] {
            assert_eq!(named(odd), UNKNOWN, "{odd}");
            assert_eq!(reports(true).scenario(odd.as_bytes()), None);
        }
        assert_eq!(
            (
                all.next_number("one"),
                all.next_number("one"),
                all.next_number("two")
            ),
            (1, 2, 1)
        );
    }
}
