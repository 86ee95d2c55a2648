//! Memory of the process, for figures that Kamailio takes from its own shared-memory pool.
//!
//! This server has no pool of its own: `total` is the memory of the machine that the process may have, `used` what it
//! holds resident, and both come from the kernel.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Bytes, read from the kernel at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Of the machine.
    pub total: i64,
    /// Of the machine, still available.
    pub free: i64,
    /// Resident memory of the process without what it shares with files.
    pub used: i64,
    /// Resident memory of the process.
    pub real_used: i64,
    /// The most that was resident.
    pub max_used: i64,
}

static MOST: AtomicI64 = AtomicI64::new(0);

/// The size of a page on every Linux that this server is built for reports through statm in these units.
const PAGE: i64 = 4096;

/// The figures now; zeros where the kernel does not give them.
///
/// The files are of /proc: reading them does not wait for a disk.
pub fn now() -> Memory {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = parse(&statm, &meminfo);
    let max_used = MOST.fetch_max(memory.real_used, Relaxed).max(memory.real_used);
    Memory { max_used, ..memory }
}

fn parse(statm: &str, meminfo: &str) -> Memory {
    let page = |at: usize| {
        let number = statm.split_ascii_whitespace().nth(at);
        number
            .and_then(|n| n.parse::<i64>().ok())
            .unwrap_or(0)
            .saturating_mul(PAGE)
    };
    let kilobytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
        number
            .and_then(|n| n.parse::<i64>().ok())
            .unwrap_or(0)
            .saturating_mul(1024)
    };
    Memory {
        total: kilobytes("MemTotal:"),
        free: kilobytes("MemAvailable:"),
        used: page(1).saturating_sub(page(2)),
        real_used: page(1),
        max_used: page(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_become_bytes() {
        let memory = parse(
            "2000 1000 400 1 0 500 0\n",
            "MemTotal:  8 kB\nMemAvailable:\t4 kB\n",
        );
        assert_eq!((memory.total, memory.free), (8192, 4096));
        assert_eq!((memory.real_used, memory.used), (1000 * PAGE, 600 * PAGE));
        assert_eq!(parse("", ""), Memory::default());
    }

    #[test]
    fn this_process_has_memory() {
        let memory = now();
        assert!(memory.real_used > 0 && memory.max_used >= memory.real_used);
    }
}
