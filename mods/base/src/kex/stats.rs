//! The statistics of the core, and the `stats.*` commands that show and reset those of all modules.

use kahea_module::{
    Decl, Str,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    stats::{Stat, Stats},
};

use super::Kex;

/// The statistics of the core that the inventory lists, with what they count.
const CORE: [(&str, &str); 61] = [
    ("bad_URIs_rcvd", "URIs that cannot be read."),
    ("bad_msg_hdr", "Messages with a header that cannot be read."),
    ("drop_replies", "Replies that were dropped."),
    ("drop_requests", "Requests that were dropped."),
    ("err_replies", "Replies whose work failed."),
    ("err_requests", "Requests whose work failed."),
    ("fwd_replies", "Replies sent on."),
    ("fwd_requests", "Requests sent on."),
    ("rcv_replies", "Replies received."),
    ("rcv_replies_18x", "Replies from 180 to 189 received."),
    ("rcv_replies_1xx", "Provisional replies received."),
    ("rcv_replies_2xx", "Replies of success received."),
    ("rcv_replies_3xx", "Redirections received."),
    ("rcv_replies_400", "Replies 400 received."),
    ("rcv_replies_401", "Replies 401 received."),
    ("rcv_replies_402", "Replies 402 received."),
    ("rcv_replies_403", "Replies 403 received."),
    ("rcv_replies_404", "Replies 404 received."),
    ("rcv_replies_405", "Replies 405 received."),
    ("rcv_replies_406", "Replies 406 received."),
    ("rcv_replies_407", "Replies 407 received."),
    ("rcv_replies_408", "Replies 408 received."),
    ("rcv_replies_409", "Replies 409 received."),
    ("rcv_replies_410", "Replies 410 received."),
    ("rcv_replies_411", "Replies 411 received."),
    ("rcv_replies_413", "Replies 413 received."),
    ("rcv_replies_414", "Replies 414 received."),
    ("rcv_replies_415", "Replies 415 received."),
    ("rcv_replies_420", "Replies 420 received."),
    ("rcv_replies_480", "Replies 480 received."),
    ("rcv_replies_481", "Replies 481 received."),
    ("rcv_replies_482", "Replies 482 received."),
    ("rcv_replies_483", "Replies 483 received."),
    ("rcv_replies_484", "Replies 484 received."),
    ("rcv_replies_485", "Replies 485 received."),
    ("rcv_replies_486", "Replies 486 received."),
    ("rcv_replies_487", "Replies 487 received."),
    ("rcv_replies_488", "Replies 488 received."),
    ("rcv_replies_489", "Replies 489 received."),
    ("rcv_replies_491", "Replies 491 received."),
    ("rcv_replies_493", "Replies 493 received."),
    ("rcv_replies_4xx", "Failures by the request received."),
    ("rcv_replies_5xx", "Failures of servers received."),
    ("rcv_replies_6xx", "Global failures received."),
    ("rcv_requests", "Requests received."),
    ("rcv_requests_ack", "ACK requests received."),
    ("rcv_requests_bye", "BYE requests received."),
    ("rcv_requests_cancel", "CANCEL requests received."),
    ("rcv_requests_info", "INFO requests received."),
    ("rcv_requests_invite", "INVITE requests received."),
    ("rcv_requests_kdmq", "KDMQ requests received."),
    ("rcv_requests_message", "MESSAGE requests received."),
    ("rcv_requests_notify", "NOTIFY requests received."),
    ("rcv_requests_options", "OPTIONS requests received."),
    ("rcv_requests_prack", "PRACK requests received."),
    ("rcv_requests_publish", "PUBLISH requests received."),
    ("rcv_requests_refer", "REFER requests received."),
    ("rcv_requests_register", "REGISTER requests received."),
    ("rcv_requests_subscribe", "SUBSCRIBE requests received."),
    ("rcv_requests_update", "UPDATE requests received."),
    ("unsupported_methods", "Requests of an unknown method."),
];

/// Declares statistics and commands.
pub fn declare(d: &mut Decl<Kex>) {
    for (name, doc) in CORE {
        d.stat_in("core", name, doc);
    }
    d.rpc(
        "stats.get_statistics",
        get_statistics,
        "Lists statistics as `group:name = value`: all, of a group (`group:`), or by name.",
    )
    .list();
    d.rpc(
        "stats.fetch",
        |_, call| fetch(call, |n| RpcValue::from(n.to_string())),
        "Gives statistics as a struct of texts: all, of a group (`group:`), or by name (`name`, `group.name`).",
    );
    d.rpc(
        "stats.fetchn",
        |_, call| fetch(call, RpcValue::from),
        "Gives statistics as a struct of numbers: all, of a group (`group:`), or by name (`name`, `group.name`).",
    );
    d.rpc(
        "stats.reset_statistics",
        reset_statistics,
        "Sets statistics to 0: all, of a group (`group:`), or by name.",
    );
    d.rpc(
        "stats.clear_statistics",
        clear_statistics,
        "Sets statistics to 0 and lists them as `group:name = 0 (value before)`.",
    )
    .list();
}

struct Picked {
    group: Str,
    name: Str,
    stat: Stat,
}

/// All statistics that the arguments of the call name, in the order of the arguments.
fn picked(call: &mut RpcCall, dotted: bool) -> Result<Vec<Picked>, RpcFault> {
    if call.remaining() == 0 {
        return Err(RpcFault::new(400, "Please provide which stats to retrieve"));
    }
    let worker = call.worker.clone();
    let stats = &worker.config.shared.stats;
    let mut out = Vec::new();
    while let Some(wanted) = call.optional_text()? {
        pick(stats, &wanted, dotted, &mut out);
    }
    Ok(out)
}

fn pick(stats: &Stats, wanted: &Str, dotted: bool, out: &mut Vec<Picked>) {
    if **wanted == *b"all" {
        for group in stats.groups() {
            whole_group(stats, &group, out);
        }
    } else if let Some(group) = wanted.strip_suffix(b":") {
        whole_group(stats, &Str::copy(group), out);
    } else if let Some((group, name)) = dotted.then(|| parts(wanted)).flatten() {
        out.extend(one(stats, group, name));
    } else {
        let group = stats
            .groups()
            .into_iter()
            .find(|group| stats.get(group, wanted).is_some());
        out.extend(group.and_then(|group| one(stats, &group, wanted)));
    }
}

/// `group.name` or `group:name`.
fn parts(wanted: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = wanted.iter().position(|byte| matches!(byte, b'.' | b':'))?;
    Some((wanted.get(..at)?, wanted.get(at.checked_add(1)?..)?))
}

fn one(stats: &Stats, group: &[u8], name: &[u8]) -> Option<Picked> {
    Some(Picked {
        group: Str::copy(group),
        name: Str::copy(name),
        stat: stats.get(group, name)?,
    })
}

fn whole_group(stats: &Stats, group: &Str, out: &mut Vec<Picked>) {
    let all = stats.group(group).unwrap_or_default();
    out.extend(all.into_iter().map(|(name, stat)| Picked {
        group: group.clone(),
        name,
        stat,
    }));
}

fn get_statistics(_: &Kex, call: &mut RpcCall) -> RpcResult {
    let line = |picked: Picked| format!("{}:{} = {}", picked.group, picked.name, picked.stat.get());
    let all = picked(call, false)?;
    Ok(all.into_iter().map(|picked| line(picked).into()).collect())
}

fn fetch(call: &mut RpcCall, value: fn(i64) -> RpcValue) -> RpcResult {
    let all = picked(call, true)?;
    let member = |picked: Picked| {
        let name = Str::from(format!("{}.{}", picked.group, picked.name));
        (name, value(picked.stat.get()))
    };
    Ok(vec![RpcValue::Struct(all.into_iter().map(member).collect())])
}

fn reset_statistics(_: &Kex, call: &mut RpcCall) -> RpcResult {
    for picked in picked(call, false)? {
        picked.stat.reset();
    }
    Ok(Vec::new())
}

fn clear_statistics(_: &Kex, call: &mut RpcCall) -> RpcResult {
    let line = |picked: Picked| {
        let before = picked.stat.get();
        match picked.stat.reset() {
            true => format!(
                "{}:{} = {} ({before})",
                picked.group,
                picked.name,
                picked.stat.get()
            ),
            false => format!("{}:{} = {before}", picked.group, picked.name),
        }
    };
    let all = picked(call, false)?;
    Ok(all.into_iter().map(|picked| line(picked).into()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kex::tests::kex;
    use kahea_module::{core_stats::CoreStats, testing::Server};

    fn server() -> Server {
        let server = Server::default();
        let core = CoreStats::new(&server.worker.config.shared.stats);
        core.rcv_requests.add(7);
        core.rcv_replies.add(6);
        server
    }

    fn call(server: &Server, args: &[&str]) -> RpcCall {
        let args = args.iter().map(|arg| RpcValue::from(*arg)).collect();
        RpcCall::new(server.worker.clone(), args)
    }

    #[test]
    fn every_declared_statistic_is_one_that_the_engine_counts() {
        let names = CoreStats::names();
        for (name, _) in CORE {
            assert!(names.contains(&name.to_owned()), "{name}");
        }
    }

    #[test]
    fn statistics_are_found_by_name_group_and_all() {
        let server = server();
        let get = |args: &[&str]| get_statistics(&kex(), &mut call(&server, args)).unwrap();
        assert_eq!(get(&["rcv_requests"]), ["core:rcv_requests = 7".into()]);
        assert_eq!(get(&["nothing", "core.rcv_requests", "nothing:"]), []);
        assert!(get(&["core:"]).len() > 60 && get(&["all"]).len() >= get(&["core:"]).len());
        let fault = get_statistics(&kex(), &mut call(&server, &[])).unwrap_err();
        assert_eq!(fault.code, 400);
    }

    #[test]
    fn fetched_statistics_are_members() {
        let server = server();
        let fetched = fetch(
            &mut call(&server, &["core:rcv_requests", "core.rcv_replies"]),
            RpcValue::from,
        );
        let want = RpcValue::members([("core.rcv_requests", 7.into()), ("core.rcv_replies", 6.into())]);
        assert_eq!(fetched, Ok(vec![want]));
        let none = fetch(&mut call(&server, &["nothing"]), RpcValue::from);
        assert_eq!(none, Ok(vec![RpcValue::Struct(Vec::new())]));
    }

    #[test]
    fn clearing_shows_what_was_there() {
        let server = server();
        let cleared = clear_statistics(&kex(), &mut call(&server, &["rcv_requests"])).unwrap();
        assert_eq!(cleared, ["core:rcv_requests = 0 (7)".into()]);
        reset_statistics(&kex(), &mut call(&server, &["core:"])).unwrap();
        let left = get_statistics(&kex(), &mut call(&server, &["rcv_replies"])).unwrap();
        assert_eq!(left, ["core:rcv_replies = 0".into()]);
    }
}
