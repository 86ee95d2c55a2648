//! Memory figures: the group `shmem`, and the commands `pkg.*` and `mod.*`.

use std::sync::Arc;

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
    stats::Stats,
};

use super::Kex;
use crate::memory::{self, Memory};

type Figure = fn(&Memory) -> i64;

/// The statistics of the group `shmem`.
const FIGURES: [(&str, &str, Figure); 6] = [
    ("total_size", "Memory of the machine, bytes.", |m| m.total),
    ("used_size", "Memory that only this process holds, bytes.", |m| {
        m.used
    }),
    ("real_used_size", "Resident memory of this process, bytes.", |m| {
        m.real_used
    }),
    (
        "max_used_size",
        "The most resident memory of this process that was seen, bytes.",
        |m| m.max_used,
    ),
    (
        "free_size",
        "Memory of the machine that is available, bytes.",
        |m| m.free,
    ),
    (
        "fragments",
        "Always 0: the system's allocator does not count its fragments.",
        |_| 0,
    ),
];

/// Declares statistics and commands.
pub fn declare(d: &mut Decl<Kex>) {
    for (name, doc, _) in FIGURES {
        d.stat_in("shmem", name, doc);
    }
    d.rpc(
        "pkg.stats",
        pkg_stats,
        "Memory of each process; workers are threads here, so there is one: `pid N`, `rank N` or `index N` picks it.",
    ).list();
    d.rpc(
        "pkg.info",
        pkg_info,
        "The memory manager and the memory that there is; this server takes its memory from the system's allocator.",
    );
    for name in ["mod.stats", "mod.mem_stats", "mod.mem_statsx"] {
        d.rpc(
            name,
            mod_stats,
            "Memory by module: `all` gives that of the process; the allocator does not know which module holds what, so a module's total is 0.",
        );
    }
}

/// Puts the figures into the place of the counters that the declaration made.
pub fn register(stats: &Stats) {
    for (name, doc, figure) in FIGURES {
        stats.computed("shmem", name, doc, Arc::new(move || figure(&memory::now())));
    }
}

fn pkg_stats(_: &Kex, call: &mut RpcCall) -> RpcResult {
    let pid = i64::from(call.worker.config.shared.pid);
    if let Some(filter) = call.optional_text()? {
        let wanted = call.int()?;
        let (own, missing) = match &*filter {
            b"pid" => (pid, "No such pid"),
            b"rank" => (0, "No such rank"),
            b"index" => (0, "No such index"),
            _ => return Err(RpcFault::new(500, "Invalid filter type")),
        };
        if wanted != own {
            return Err(RpcFault::new(500, missing));
        }
    }
    let memory = memory::now();
    Ok(vec![RpcValue::members([
        ("entry", 0.into()),
        ("pid", pid.into()),
        ("rank", 0.into()),
        ("used", memory.used.into()),
        ("free", memory.free.into()),
        ("real_used", memory.real_used.into()),
        ("total_size", memory.total.into()),
        ("total_frags", 0.into()),
        ("desc", "the process with all its workers".into()),
    ])])
}

fn pkg_info(_: &Kex, _: &mut RpcCall) -> RpcResult {
    Ok(vec![RpcValue::members([
        ("name", "system".into()),
        ("size", memory::now().total.into()),
    ])])
}

fn mod_stats(_: &Kex, call: &mut RpcCall) -> RpcResult {
    let missing = |what: &'static str| move || RpcFault::new(500, what);
    let module = call
        .optional_text()?
        .ok_or_else(missing("Module name or \"all\" needed"))?;
    let kind = call
        .optional_text()?
        .ok_or_else(missing("\"pkg\" or \"shm\" or \"all\" needed"))?;
    let total = match &*module {
        b"all" => memory::now().real_used,
        _ => 0,
    };
    let mut out = vec![RpcValue::from(format!("Module: {module}"))];
    if matches!(&*kind, b"pkg" | b"all") {
        out.push(RpcValue::members([("Total", 0.into())]));
    }
    if matches!(&*kind, b"shm" | b"all") {
        out.push(RpcValue::members([("Total", total.into())]));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kex::tests::kex;
    use kahea_module::testing::Server;

    fn call(server: &Server, args: Vec<RpcValue>) -> RpcCall {
        RpcCall::new(server.worker.clone(), args)
    }

    #[test]
    fn memory_figures_are_read_when_asked_for() {
        let stats = Stats::default();
        register(&stats);
        let get = |name: &str| stats.get(b"shmem", name.as_bytes()).unwrap();
        assert!(get("real_used_size").get() > 0 && get("total_size").get() > 0);
        assert!(!get("real_used_size").reset());
    }

    #[test]
    fn there_is_one_process() {
        let server = Server::default();
        let run = |args| pkg_stats(&kex(), &mut call(&server, args));
        assert_eq!(run(Vec::new()).unwrap().len(), 1);
        assert_eq!(run(vec!["index".into(), 0.into()]).unwrap().len(), 1);
        let refused = |args| run(args).unwrap_err().text.text().into_owned();
        assert_eq!(refused(vec!["pid".into(), 999_999_999.into()]), "No such pid");
        assert_eq!(refused(vec!["nothing".into(), 1.into()]), "Invalid filter type");
    }

    #[test]
    fn module_figures_need_a_module_and_a_kind() {
        let server = Server::default();
        let run = |args| mod_stats(&kex(), &mut call(&server, args));
        assert_eq!(run(Vec::new()).unwrap_err().code, 500);
        assert_eq!(run(vec!["kex".into(), "all".into()]).unwrap().len(), 3);
        assert_eq!(
            run(vec!["kex".into(), "bad".into()]).unwrap(),
            ["Module: kex".into()]
        );
    }
}
