//! Commands that answer with what they are given.

use std::time::Duration;

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult, RpcValue},
};

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc("core.echo", echo, "Answers with its arguments.").list();
    let doc = "Answers with its arguments, no sooner than rpc_exec_delta seconds after the last time.";
    d.rpc("core.echo_delta", echo_delta, doc).list();
    d.rpc(
        "core.printi",
        printi,
        "Answers with its arguments, which are numbers.",
    )
    .list();
    d.rpc(
        "core.prints",
        prints,
        "Answers with its arguments, which are texts.",
    )
    .list();
}

fn echo(_: &Core, call: &mut RpcCall) -> RpcResult {
    let mut answer = Vec::new();
    while call.remaining() > 0 {
        answer.extend(call.optional_plain()?.map(RpcValue::Str));
    }
    Ok(answer)
}

fn echo_delta(core: &Core, call: &mut RpcCall) -> RpcResult {
    let delta = call.worker.config.globals.rpc_exec_delta;
    let now = call.worker.engine.now();
    let mut last = core.rpc.last_echo.lock();
    let wait = Duration::from_secs(u64::try_from(delta).unwrap_or(0));
    if last.is_some_and(|last| now.duration_since(last) < wait) {
        let text = format!("The command ran less than {delta} seconds ago (rpc_exec_delta)");
        return Err(RpcFault::new(500, text));
    }
    *last = Some(now);
    drop(last);
    echo(core, call)
}

fn printi(_: &Core, call: &mut RpcCall) -> RpcResult {
    let mut answer = Vec::new();
    while let Some(n) = call.optional_int()? {
        answer.push(RpcValue::Int(n));
    }
    Ok(answer)
}

fn prints(_: &Core, call: &mut RpcCall) -> RpcResult {
    let mut answer = Vec::new();
    while let Some(text) = call.optional_text()? {
        answer.push(RpcValue::Str(text));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    #[test]
    fn arguments_come_back() {
        let client = Client::new(FakeControl::default());
        let back = vec!["a".into(), "3".into(), "x:y".into()];
        assert_eq!(client.run("core.echo a 3 x:y"), Ok(back));
        assert_eq!(client.run("core.echo"), Ok(vec![]));
        assert_eq!(client.run("core.printi 5"), Ok(vec![RpcValue::Int(5)]));
        assert_eq!(client.run("core.prints abc"), Ok(vec!["abc".into()]));
        assert!(client.run("core.printi abc").is_err());
    }

    #[test]
    fn a_limited_command_waits_for_its_time() {
        let server = Server::new(|config| config.globals.rpc_exec_delta = 5);
        let client = Client::with(Core::for_tests(), server.worker.clone(), Default::default());
        assert!(client.run("core.echo_delta a").is_ok());
        assert!(client.run("core.echo_delta a").is_err());
        server.engine.advance(Duration::from_secs(5));
        assert!(client.run("core.echo_delta a").is_ok());
    }
}
