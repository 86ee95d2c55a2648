//! RPC commands `dbg.*`.

use std::sync::atomic::Ordering::Relaxed;

use kahea_module::{
    Decl,
    ret::LocalFuture,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};
use tokio::sync::oneshot;

use super::{
    Debugger,
    levels::{self, Levels},
    state::Command,
};

pub(super) fn declare(d: &mut Decl<Debugger>) {
    d.rpc("dbg.ls", ls, "The workers: 1 traces, 2 holds messages; and how many it holds. A worker's pid is its column in the log.");
    d.rpc(
        "dbg.trace",
        trace,
        "Switches traces on or off, for a worker or all.",
    );
    d.rpc_waits(
        "dbg.bp",
        bp,
        "Breakpoints: on, off, keep, release, next, move, show, eval, log.",
    );
    d.rpc("dbg.mod_level", set_mod_level, "Sets the log level of a module.");
    d.rpc(
        "dbg.set_mod_level",
        set_mod_level,
        "Sets the log level of a module.",
    );
    d.rpc("dbg.get_mod_level", get_mod_level, "The log level of a module.");
    d.rpc(
        "dbg.set_mod_facility",
        set_mod_facility,
        "Sets the syslog facility of a module.",
    );
    d.rpc(
        "dbg.get_mod_facility",
        get_mod_facility,
        "The syslog facility of a module.",
    );
    d.rpc(
        "dbg.reset_msgid",
        reset_msgid,
        "Counts messages from 1 again, where reset_msgid=1 allows it.",
    );
}

fn pid(call: &mut RpcCall) -> Result<Option<usize>, RpcFault> {
    call.optional_int()?
        .map(|n| usize::try_from(n).map_err(|_| RpcFault::new(500, "No such pid")))
        .transpose()
}

fn ls(m: &Debugger, call: &mut RpcCall) -> RpcResult {
    let wanted = pid(call)?;
    let mut out = Vec::new();
    m.state.each(wanted, |number, worker| {
        let int = |n: usize| RpcValue::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let set = i64::from(worker.trace) | i64::from(worker.breakpoints) << 1;
        out.push(RpcValue::members([
            ("entry", int(out.len())),
            ("pid", int(number)),
            ("set", RpcValue::Int(set)),
            ("state", RpcValue::Int((!worker.held.is_empty()).into())),
            ("in.pid", RpcValue::Int(0)),
            ("in.cmd", RpcValue::Int(0)),
        ]));
    });
    Ok(out)
}

fn switched(found: bool) -> RpcResult {
    match found {
        true => Ok(vec![RpcValue::from("200 ok")]),
        false => Err(RpcFault::new(500, "No such pid")),
    }
}

fn trace(m: &Debugger, call: &mut RpcCall) -> RpcResult {
    let command = call.text()?;
    let on = match command.as_bytes() {
        b"on" => true,
        b"off" => false,
        _ => return Err(RpcFault::new(500, "Unknown command: write on or off")),
    };
    let wanted = pid(call)?;
    switched(m.state.each(wanted, |_, worker| worker.trace = on))
}

fn bp<'a>(m: &'a Debugger, call: &'a mut RpcCall) -> LocalFuture<'a, RpcResult> {
    Box::pin(async move {
        let command = call.text()?;
        let wanted = pid(call)?;
        let needed = || wanted.ok_or_else(|| RpcFault::new(500, "A pid is needed"));
        match command.as_bytes() {
            b"on" => switched(m.state.each(wanted, |_, worker| worker.breakpoints = true)),
            b"off" => switched(m.state.each(wanted, |_, worker| worker.breakpoints = false)),
            b"keep" => {
                let kept = needed()?;
                switched(
                    m.state
                        .each(None, |number, worker| worker.breakpoints &= number == kept),
                )
            }
            b"release" => switched(m.state.each(wanted, |_, worker| {
                worker.breakpoints &= !worker.held.is_empty();
            })),
            b"next" => ask(m, needed()?, Command::Next).await,
            b"move" => ask(m, needed()?, Command::Move).await,
            b"show" => ask(m, needed()?, Command::Show).await,
            b"eval" => {
                let var = call.text()?.text().into_owned();
                ask(m, needed()?, Command::Eval(var)).await
            }
            b"log" => {
                let var = call.text()?.text().into_owned();
                ask(m, needed()?, Command::Log(var)).await
            }
            _ => Err(RpcFault::new(500, "Unknown command")),
        }
    })
}

/// Asks the message that a worker holds longest.
async fn ask(m: &Debugger, worker: usize, command: Command) -> RpcResult {
    let mut held = None;
    m.state.each(Some(worker), |_, worker| {
        held = worker.held.first().map(|(_, sender)| sender.clone());
    });
    let held = held.ok_or_else(|| RpcFault::new(500, "This worker holds no message"))?;
    let (answer, asked) = oneshot::channel();
    held.send((command, answer))
        .map_err(|_| RpcFault::new(500, "The message is gone"))?;
    match tokio::time::timeout(m.state.patience, asked).await {
        Ok(Ok(text)) => Ok(vec![RpcValue::from(text)]),
        Ok(Err(_)) => Err(RpcFault::new(500, "The message is gone")),
        Err(_) => Err(RpcFault::new(500, "The message does not answer")),
    }
}

fn levels_of(call: &RpcCall) -> std::sync::Arc<Levels> {
    call.worker.config.shared.keep(Levels::default)
}

fn set_mod_level(_: &Debugger, call: &mut RpcCall) -> RpcResult {
    let module = call.text()?.text().into_owned();
    let level = call.int()?;
    let config = call.worker.config.clone();
    levels_of(call).change(&config.settings, |all| {
        all.levels.insert(module, level);
    });
    Ok(vec![RpcValue::from("200 ok")])
}

fn get_mod_level(_: &Debugger, call: &mut RpcCall) -> RpcResult {
    let module = call.text()?.text().into_owned();
    let known = levels_of(call).get().levels.get(&module).copied();
    let level = known.unwrap_or_else(kahea_module::log::level);
    Ok(vec![RpcValue::members([(module.as_str(), RpcValue::Int(level))])])
}

fn set_mod_facility(_: &Debugger, call: &mut RpcCall) -> RpcResult {
    let module = call.text()?.text().into_owned();
    let facility = levels::facility(&call.text()?.text()).ok_or_else(|| {
        RpcFault::new(
            500,
            "Unknown facility: write LOG_LOCAL0 or another name of syslog(3)",
        )
    })?;
    let config = call.worker.config.clone();
    levels_of(call).change(&config.settings, |all| {
        all.facilities.insert(module, facility);
    });
    Ok(vec![RpcValue::from("200 ok")])
}

fn get_mod_facility(_: &Debugger, call: &mut RpcCall) -> RpcResult {
    let module = call.text()?.text().into_owned();
    let known = levels_of(call).get().facilities.get(&module).copied();
    let name = known.map_or_else(|| "LOG_DAEMON".to_owned(), levels::facility_name);
    Ok(vec![RpcValue::members([(module.as_str(), RpcValue::from(name))])])
}

fn reset_msgid(m: &Debugger, call: &mut RpcCall) -> RpcResult {
    if !m.reset_msgid {
        return Err(RpcFault::new(
            500,
            "Message id reset is disabled: set reset_msgid=1",
        ));
    }
    call.worker.config.shared.number_resets.fetch_add(1, Relaxed);
    Ok(vec![RpcValue::from("200 ok")])
}
