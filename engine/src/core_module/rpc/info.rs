//! What this server is: `core.version`, `core.info`, `core.runinfo`, `core.uptime`, `core.flags`, `core.modules`, `core.ppdefines`.

use std::time::SystemTime;

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcResult, RpcValue},
};
use kahea_sip::date::Date;

use super::{int, members};
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc("core.version", version, "Name and version of the server.");
    d.rpc("core.info", info, "How the server was built.");
    d.rpc(
        "core.runinfo",
        runinfo,
        "How the server was built and since when it runs.",
    );
    d.rpc(
        "core.uptime",
        uptime,
        "Since when the server runs; dates are GMT, the uptime is in seconds.",
    );
    d.rpc("core.flags", flags, "What the server was built with.");
    d.rpc("core.modules", modules, "The loaded modules, the last one first.")
        .list();
    d.rpc(
        "core.ppdefines",
        ppdefines,
        "The names that the preprocessor knows.",
    )
    .list();
    d.rpc(
        "core.ppdefines_full",
        ppdefines_full,
        "The names that the preprocessor knows, with their values.",
    )
    .list();
}

/// What is known of the build.
pub struct BuildInfo;

impl BuildInfo {
    /// The name of the server.
    pub const NAME: &'static str = "kahea";
    /// Its version.
    pub const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    /// The processor and system that it runs on, as in the Server header.
    pub const PLATFORM: (&'static str, &'static str) = (std::env::consts::ARCH, std::env::consts::OS);
    /// The revision of its sources, where the build names one.
    pub const REVISION: &'static str = match option_env!("KAHEA_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    };
    /// The compiler, where the build names one.
    pub const COMPILER: &'static str = match option_env!("KAHEA_COMPILER") {
        Some(compiler) => compiler,
        None => "rustc",
    };

    /// `kahea 0.1.0 (x86_64/linux)`.
    pub fn full() -> String {
        let (processor, system) = BuildInfo::PLATFORM;
        format!(
            "{} {} ({processor}/{system})",
            BuildInfo::NAME,
            BuildInfo::VERSION
        )
    }
}

/// In Kamailio's words where there is the same.
const FLAGS: &str = "USE_TCP, USE_MCAST, USE_DNS_CACHE, USE_DNS_FAILOVER, USE_NAPTR, USE_DST_BLOCKLIST";

fn version(_: &Core, _: &mut RpcCall) -> RpcResult {
    Ok(vec![BuildInfo::full().into()])
}

fn info(_: &Core, _: &mut RpcCall) -> RpcResult {
    Ok(vec![members(vec![
        ("version", BuildInfo::full().into()),
        ("id", BuildInfo::REVISION.into()),
        ("compiler", BuildInfo::COMPILER.into()),
        ("compiled", "".into()),
        ("flags", FLAGS.into()),
    ])])
}

fn flags(_: &Core, _: &mut RpcCall) -> RpcResult {
    Ok(vec![FLAGS.into()])
}

/// `Sat Nov 21 12:28:00 2026`, as the C library writes times.
fn c_time(unix: i64) -> String {
    let text = Date::from_unix(unix).to_string();
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        [weekday, day, month, year, time, ..] => {
            let (weekday, day) = (weekday.trim_end_matches(','), day.trim_start_matches('0'));
            format!("{weekday} {month} {day:>2} {time} {year}")
        }
        _ => text,
    }
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Now, the start, and the seconds between them.
fn times(call: &RpcCall) -> (i64, i64, i64) {
    let shared = &call.worker.config.shared;
    let passed = call.worker.engine.now().duration_since(shared.started_at);
    (
        call.worker.unix_time(),
        unix(shared.started),
        i64::try_from(passed.as_secs()).unwrap_or(i64::MAX),
    )
}

fn uptime(_: &Core, call: &mut RpcCall) -> RpcResult {
    let (now, since, seconds) = times(call);
    Ok(vec![members(vec![
        ("now", c_time(now).into()),
        ("up_since", c_time(since).into()),
        ("uptime", RpcValue::Int(seconds)),
    ])])
}

fn runinfo(_: &Core, call: &mut RpcCall) -> RpcResult {
    let (now, since, seconds) = times(call);
    let part = |unit: i64, of: i64| {
        seconds
            .checked_div(unit)
            .unwrap_or(0)
            .checked_rem(of)
            .unwrap_or(0)
    };
    let (days, hours, minutes) = (part(86_400, i64::MAX), part(3600, 24), part(60, 60));
    let spelt = format!("{days}d {hours}h {minutes}m {}s", part(1, 60));
    Ok(vec![members(vec![
        ("name", BuildInfo::NAME.into()),
        ("version", BuildInfo::VERSION.into()),
        ("sourceid", BuildInfo::REVISION.into()),
        ("compiler", BuildInfo::COMPILER.into()),
        ("compiled", "".into()),
        ("time_now", c_time(now).into()),
        ("time_started", c_time(since).into()),
        ("uptime_secs", int(seconds)),
        ("utime_days", spelt.into()),
    ])])
}

fn modules(_: &Core, call: &mut RpcCall) -> RpcResult {
    let mut names: Vec<&str> = call.worker.config.modules.iter().map(|(name, _)| name).collect();
    names.retain(|name| !matches!(*name, "core" | "core-pv"));
    Ok(names.into_iter().rev().map(RpcValue::from).collect())
}

fn ppdefines(core: &Core, _: &mut RpcCall) -> RpcResult {
    let defines = core.rpc.defines.0.read();
    Ok(defines.iter().map(|(name, _)| name.clone().into()).collect())
}

fn ppdefines_full(core: &Core, _: &mut RpcCall) -> RpcResult {
    let defines = core.rpc.defines.0.read();
    let row = |(name, value): &(_, Option<_>)| {
        let value = value
            .clone()
            .map_or_else(|| RpcValue::from("none"), RpcValue::Str);
        members(vec![
            ("name", RpcValue::Str(kahea_module::Str::clone(name))),
            ("type", RpcValue::Int(0)),
            ("value", value),
        ])
    };
    Ok(defines.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use kahea_module::Str;

    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    #[test]
    fn times_are_written_as_the_c_library_does() {
        assert_eq!(c_time(1_767_225_600), "Thu Jan  1 00:00:00 2026");
        assert_eq!(c_time(1_795_263_721), "Sat Nov 21 12:22:01 2026");
    }

    #[test]
    fn the_uptime_follows_the_clock() {
        let server = kahea_module::testing::Server::default();
        server.engine.advance(std::time::Duration::from_secs(90_061));
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        assert_eq!(client.member("core.uptime", &["uptime"]), RpcValue::Int(90_061));
        let spelt = client.member("core.runinfo", &["utime_days"]);
        assert_eq!(spelt, RpcValue::from("1d 1h 1m 1s"));
    }

    #[test]
    fn defines_are_listed_with_their_values() {
        let core = Core::for_tests();
        let bar = Some(Str::from_static("bar"));
        core.rpc.defines.set(vec![
            (Str::from_static("FOO"), bar),
            (Str::from_static("BAZ"), None),
        ]);
        let server = kahea_module::testing::Server::default();
        let client = Client::with(core, server.worker.clone(), Default::default());
        assert_eq!(client.run("core.ppdefines"), Ok(vec!["FOO".into(), "BAZ".into()]));
        assert_eq!(
            client.member("core.ppdefines_full", &["value"]),
            RpcValue::from("bar")
        );
    }

    #[test]
    fn the_version_names_the_platform() {
        let client = Client::new(FakeControl::default());
        let RpcValue::Str(version) = client.member("core.info", &["version"]) else {
            panic!("a text")
        };
        assert!(version.text().starts_with("kahea ") && version.text().contains('/'));
    }
}
