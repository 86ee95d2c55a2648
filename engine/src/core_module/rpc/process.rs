//! The process: `core.ps`, `core.psx`, `core.psa`, `core.pwd`, `core.arg`, `core.kill`.

use kahea_module::{
    Decl,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use super::{int, members};
use crate::{control, core_module::Core};

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc(
        "core.ps",
        ps,
        "Number and task of each thread; all have the number of the one process.",
    )
    .list();
    d.rpc("core.psx", psx, "The same with names.").list();
    d.rpc("core.psa", psa, "The same with status and rank.").list();
    d.rpc("core.pwd", pwd, "The working directory.").list();
    d.rpc("core.arg", arg, "The command line.").list();
    d.rpc_waits(
        "core.kill",
        kill,
        "Sends a signal to the server, SIGTERM without an argument.",
    );
    d.rpc_waits(
        "core.reload",
        reload,
        "Reads the configuration again; an unusable one leaves the old one in force.",
    );
}

fn reload<'a>(core: &'a Core, _: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let process = core.rpc.process.get();
        let process = process.ok_or_else(|| RpcFault::new(500, "this server cannot reload"))?;
        match control::reload(process).await {
            Ok(answer) => Ok(vec![control::from_json(&answer)]),
            Err((code, text, _)) => Err(RpcFault::new(code, text)),
        }
    })
}

/// Index, number, rank and task of each.
fn threads(core: &Core, call: &RpcCall) -> Vec<(usize, i64, i64, String)> {
    let pid = i64::from(call.worker.config.shared.pid);
    let workers = core.net.get().map_or(1, |net| net.workers());
    let main = (0, pid, 0, "main process".to_owned());
    let worker = |n: usize| {
        let index = n.saturating_add(1);
        (
            index,
            pid,
            i64::try_from(index).unwrap_or(i64::MAX),
            format!("worker child={n}"),
        )
    };
    std::iter::once(main).chain((0..workers).map(worker)).collect()
}

fn ps(core: &Core, call: &mut RpcCall) -> RpcResult {
    let rows = threads(core, call).into_iter();
    Ok(rows
        .flat_map(|(_, pid, _, task)| [RpcValue::Int(pid), task.into()])
        .collect())
}

fn psx(core: &Core, call: &mut RpcCall) -> RpcResult {
    let row = |(index, pid, _, task): (usize, i64, i64, String)| {
        members(vec![("IDX", int(index)), ("PID", int(pid)), ("DSC", task.into())])
    };
    Ok(threads(core, call).into_iter().map(row).collect())
}

fn psa(core: &Core, call: &mut RpcCall) -> RpcResult {
    let row = |(index, pid, rank, task): (usize, i64, i64, String)| {
        members(vec![
            ("index", int(index)),
            ("pid", int(pid)),
            ("status", RpcValue::Int(1)),
            ("rank", int(rank)),
            ("description", task.into()),
        ])
    };
    Ok(threads(core, call).into_iter().map(row).collect())
}

fn pwd(_: &Core, _: &mut RpcCall) -> RpcResult {
    match std::env::current_dir() {
        Ok(path) => Ok(vec![path.to_string_lossy().into_owned().into()]),
        Err(error) => Err(RpcFault::new(
            500,
            format!("The working directory is not known: {error}"),
        )),
    }
}

fn arg(_: &Core, call: &mut RpcCall) -> RpcResult {
    let args = call.worker.config.shared.args.iter();
    Ok(args.map(|arg| arg.as_str().into()).collect())
}

const SIGTERM: i64 = 15;

fn kill<'a>(_: &'a Core, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let signal = call.optional_int()?.unwrap_or(SIGTERM);
        if !(1..=64).contains(&signal) {
            return Err(RpcFault::new(400, format!("There is no signal {signal}")));
        }
        let pid = call.worker.config.shared.pid.to_string();
        let sent = tokio::process::Command::new("kill")
            .args([format!("-{signal}"), pid])
            .status()
            .await;
        match sent {
            Ok(status) if status.success() => Ok(Vec::new()),
            Ok(status) => Err(RpcFault::new(500, format!("kill ended with {status}"))),
            Err(error) => Err(RpcFault::new(500, format!("kill did not run: {error}"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    #[test]
    fn every_worker_has_a_row() {
        let client = Client::new(FakeControl::default());
        let pid = RpcValue::Int(i64::from(std::process::id()));
        assert_eq!(client.member("core.psx", &["PID"]), pid);
        assert_eq!(client.run("core.psx").map(|rows| rows.len()), Ok(3));
        assert_eq!(client.run("core.psa").map(|rows| rows.len()), Ok(3));
        assert_eq!(client.run("core.ps").map(|rows| rows.len()), Ok(6));
        assert!(matches!(
            client.run("core.pwd").as_deref(),
            Ok([RpcValue::Str(_)])
        ));
    }

    #[test]
    fn signals_that_there_are_not_are_refused() {
        let client = Client::new(FakeControl::default());
        assert_eq!(client.run("core.kill 99").map_err(|fault| fault.code), Err(400));
        assert_eq!(client.run("core.kill abc").map_err(|fault| fault.code), Err(400));
    }
}
