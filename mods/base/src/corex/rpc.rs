//! RPC commands: sockets, aliases, the log level, memory.

use kahea_module::{
    Decl, Listener, Str, Value, Worker, log,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use kahea_sip::Transport;

use super::Corex;
use crate::memory;

/// Declares the commands.
pub fn declare(d: &mut Decl<Corex>) {
    d.rpc(
        "corex.list_sockets",
        list_sockets,
        "Lists the sockets that this server listens on.",
    )
    .list();
    d.rpc(
        "corex.list_aliases",
        list_aliases,
        "Lists the aliases that are \"myself\" besides the sockets.",
    )
    .list();
    d.rpc(
        "corex.debug",
        debug,
        "Without an argument gives the log level, with one sets it.",
    );
    for name in ["corex.shm_status", "corex.shm_summary"] {
        d.rpc(
            name,
            log_memory,
            "Writes the memory of the process, as the kernel counts it, to the log.",
        );
    }
    d.rpc(
        "corex.pkg_summary",
        pkg_summary,
        "Writes the memory of the process to the log: `pid N` or `idx N` picks a process of Kamailio; here all workers share one.",
    );
    d.rpc(
        "shm.info",
        shm_info,
        "The memory manager and the memory that there is; this server takes its memory from the system's allocator.",
    );
    d.rpc(
        "shm.stats",
        shm_stats,
        "Bytes of memory of the process, as the kernel counts them.",
    );
    for name in ["shm.report", "shm.rprint"] {
        d.rpc(
            name,
            shm_report,
            "Bytes of memory of the process, as the kernel counts them, in the form of Kamailio's report.",
        );
    }
}

fn list_sockets(_: &Corex, call: &mut RpcCall) -> RpcResult {
    let worker = call.worker.clone();
    let mhomed = worker.config.globals.mhomed;
    Ok(worker
        .config
        .identity
        .listeners
        .iter()
        .map(|listener| socket(listener, mhomed))
        .collect())
}

fn yes(is: bool) -> RpcValue {
    RpcValue::from(if is { "yes" } else { "no" })
}

fn socket(listener: &Listener, mhomed: bool) -> RpcValue {
    let ip = match listener.address {
        std::net::SocketAddr::V4(address) => address.ip().to_string(),
        std::net::SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let or_dash = |text: Option<&Str>| text.cloned().unwrap_or_else(|| Str::from_static("-"));
    RpcValue::members([
        ("PROTO", listener.transport.name().into()),
        ("NAME", ip.as_str().into()),
        ("ADDRLIST", RpcValue::members([("ADDR", ip.as_str().into())])),
        ("PORT", listener.address.port().to_string().into()),
        ("MCAST", yes(listener.multicast)),
        ("MHOMED", yes(mhomed)),
        ("VIRTUAL", yes(listener.is_virtual)),
        ("SOCKNAME", or_dash(listener.name.as_ref()).into()),
        (
            "ADVERTISE",
            or_dash(listener.advertised.as_ref().map(|(host, _)| host)).into(),
        ),
    ])
}

fn list_aliases(_: &Corex, call: &mut RpcCall) -> RpcResult {
    // The newest comes first, as in Kamailio.
    let aliases = call.worker.config.identity.aliases.iter().rev();
    Ok(aliases
        .map(|alias| {
            let proto = match alias.transport {
                Transport::None => "*",
                transport => transport.name(),
            };
            RpcValue::members([
                ("PROTO", proto.into()),
                ("ADDR", alias.host.clone().into()),
                ("PORT", i64::from(alias.port).into()),
            ])
        })
        .collect())
}

fn debug(_: &Corex, call: &mut RpcCall) -> RpcResult {
    let old = log::level();
    Ok(vec![match call.optional_int()? {
        None => RpcValue::members([("debug", old.into())]),
        Some(new) => {
            log::set_level(new);
            call.worker
                .config
                .settings
                .set(b"core", b"debug", Value::Int(new));
            RpcValue::members([("old", old.into()), ("new", new.into())])
        }
    }])
}

fn write_memory() {
    let memory = memory::now();
    kahea_module::log_at!(
        log::Level::Notice,
        "corex",
        "Memory of the process: {} bytes resident, {} of its own, {} at most; the machine has {}, {} available.",
        memory.real_used,
        memory.used,
        memory.max_used,
        memory.total,
        memory.free,
    );
}

fn log_memory(_: &Corex, _: &mut RpcCall) -> RpcResult {
    write_memory();
    Ok(Vec::new())
}

fn pkg_summary(_: &Corex, call: &mut RpcCall) -> RpcResult {
    let missing = || RpcFault::new(400, "Selector and value not provided");
    let selector = call.optional_text()?.ok_or_else(missing)?;
    let value = call.optional_int()?.ok_or_else(missing)?;
    let ours = match &*selector {
        b"pid" => value == i64::from(call.worker.config.shared.pid),
        b"idx" => value == index(&call.worker),
        _ => return Err(RpcFault::new(500, "Unsupported selector type")),
    };
    if ours {
        write_memory();
    }
    Ok(Vec::new())
}

fn index(worker: &Worker) -> i64 {
    i64::try_from(worker.index).unwrap_or(i64::MAX)
}

fn shm_info(_: &Corex, _: &mut RpcCall) -> RpcResult {
    Ok(vec![RpcValue::members([
        ("name", "system".into()),
        ("size", memory::now().total.into()),
    ])])
}

fn shm_stats(_: &Corex, _: &mut RpcCall) -> RpcResult {
    let memory = memory::now();
    Ok(vec![RpcValue::members([
        ("total", memory.total.into()),
        ("free", memory.free.into()),
        ("used", memory.used.into()),
        ("real_used", memory.real_used.into()),
        ("max_used", memory.max_used.into()),
        ("fragments", 0.into()),
    ])])
}

fn shm_report(_: &Corex, _: &mut RpcCall) -> RpcResult {
    let memory = memory::now();
    Ok(vec![RpcValue::members([
        ("total_size", memory.total.into()),
        ("free_size_s", memory.free.into()),
        ("used_size_s", memory.used.into()),
        ("real_used_s", memory.real_used.into()),
        ("max_used_s", memory.max_used.into()),
        ("free_frags", 0.into()),
        ("used_frags", 0.into()),
        ("total_frags", 0.into()),
    ])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::{config::Alias, testing::Server};

    fn call(server: &Server, args: Vec<RpcValue>) -> RpcCall {
        RpcCall::new(server.worker.clone(), args)
    }

    fn member(value: &RpcValue, name: &str) -> RpcValue {
        let RpcValue::Struct(members) = value else {
            panic!("{value:?}")
        };
        members
            .iter()
            .find(|(known, _)| *known == *name)
            .unwrap()
            .1
            .clone()
    }

    #[test]
    fn sockets_and_aliases_have_kamailios_shape() {
        let server = Server::new(|config| {
            config.identity.aliases.push(Alias {
                transport: Transport::None,
                host: Str::from("example.com"),
                port: 0,
            });
        });
        let sockets = list_sockets(&Corex, &mut call(&server, Vec::new())).unwrap();
        assert_eq!(member(&sockets[0], "PROTO"), "udp".into());
        assert_eq!(member(&sockets[0], "SOCKNAME"), "-".into());
        let list = member(&sockets[0], "ADDRLIST");
        assert_eq!(member(&list, "ADDR"), "127.0.0.1".into());
        let aliases = list_aliases(&Corex, &mut call(&server, Vec::new())).unwrap();
        assert_eq!(member(&aliases[0], "PROTO"), "*".into());
        assert_eq!(member(&aliases[0], "PORT"), 0.into());
    }

    #[test]
    fn a_summary_wants_a_selector_and_a_value() {
        let server = Server::default();
        let refused = |args: Vec<RpcValue>| pkg_summary(&Corex, &mut call(&server, args)).unwrap_err();
        assert_eq!(refused(Vec::new()).code, 400);
        assert_eq!(refused(vec!["idx".into()]).code, 400);
        assert_eq!(refused(vec!["bad".into(), 1.into()]).code, 500);
        assert_eq!(
            pkg_summary(&Corex, &mut call(&server, vec!["idx".into(), 0.into()])),
            Ok(Vec::new())
        );
    }

    #[test]
    fn memory_is_what_the_kernel_says() {
        let server = Server::default();
        let stats = shm_stats(&Corex, &mut call(&server, Vec::new())).unwrap();
        assert!(matches!(member(&stats[0], "real_used"), RpcValue::Int(n) if n > 0));
        let report = shm_report(&Corex, &mut call(&server, Vec::new())).unwrap();
        assert!(matches!(member(&report[0], "total_size"), RpcValue::Int(n) if n > 0));
    }
}
