//! `core.shmmem` and `core.sfmalloc`: memory, as far as it compares with Kamailio's.

use kahea_module::{
    Decl,
    rpc::{RpcCall, RpcFault, RpcResult},
};

use super::{int, members};
use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.rpc(
        "core.shmmem",
        shmmem,
        "Memory of the process in bytes, or in the unit given (b, k, m, g); the total is that of shm_mem_size.",
    );
    d.rpc(
        "core.sfmalloc",
        sfmalloc,
        "Refused: Kamailio's sf memory manager is not here.",
    );
}

fn shmmem(_: &Core, call: &mut RpcCall) -> RpcResult {
    let unit = call.optional_text()?;
    let shift = match unit.as_deref() {
        None | Some(b"b") => 0u32,
        Some(b"k") => 10,
        Some(b"m") => 20,
        Some(b"g") => 30,
        Some(_) => return Err(RpcFault::new(500, "bad param, (use b|k|m|g)")),
    };
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| RpcFault::new(500, format!("The memory in use is not known: {error}")))?;
    let total = call.worker.config.globals.shm.saturating_mul(1 << 20);
    let (used, most) = (kilobytes(&status, "VmRSS:"), kilobytes(&status, "VmHWM:"));
    let show = |bytes: i64| int(bytes.checked_shr(shift).unwrap_or(0));
    Ok(vec![members(vec![
        ("total", show(total)),
        ("free", show(total.saturating_sub(used).max(0))),
        ("used", show(used)),
        ("real_used", show(used)),
        ("max_used", show(most)),
        ("fragments", int(0)),
    ])])
}

/// A line of `/proc/self/status` in bytes; 0 where it is missing.
fn kilobytes(status: &str, name: &str) -> i64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok())
        .map_or(0, |kilobytes| kilobytes.saturating_mul(1024))
}

fn sfmalloc(_: &Core, _: &mut RpcCall) -> RpcResult {
    Err(RpcFault::new(
        500,
        "There is no sf memory manager here; see core.shmmem",
    ))
}

#[cfg(test)]
mod tests {
    use kahea_module::rpc::RpcValue;

    use super::{super::testing::Client, *};
    use crate::core_module::net_control::fake::FakeControl;

    #[test]
    fn memory_is_shown_in_the_wanted_unit() {
        let client = Client::new(FakeControl::default());
        assert_eq!(client.member("core.shmmem", &["total"]), RpcValue::Int(64 << 20));
        assert_eq!(client.member("core.shmmem m", &["total"]), RpcValue::Int(64));
        let RpcValue::Int(used) = client.member("core.shmmem k", &["used"]) else {
            panic!("a number")
        };
        assert!(used > 0);
        assert_eq!(client.run("core.shmmem x").map_err(|fault| fault.code), Err(500));
        assert!(client.run("core.sfmalloc").is_err());
    }

    #[test]
    fn lines_of_the_status_file_are_found_by_name() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), 1 << 20);
        assert_eq!(kilobytes(status, "VmNot:"), 0);
    }
}
