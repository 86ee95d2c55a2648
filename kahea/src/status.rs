//! The state of the server, for the log (SIGUSR1).

use kahea_engine::{Server, logging::Log};
use kahea_module::log::{Level, Line, emit};

/// Connections that are listed one by one.
const LISTED: usize = 100;

/// Writes it to the log, whatever the level of the log is.
pub fn dump(server: &Server, log: &Log) {
    for text in lines(server, log) {
        emit(&Line {
            level: Level::Notice,
            facility: None,
            module: "<core>",
            prefix: b"",
            place: None,
            text: text.as_bytes(),
            script: false,
            worker: kahea_module::log::worker(),
        });
    }
}

fn lines(server: &Server, log: &Log) -> Vec<String> {
    let net = server.net();
    let mut lines = vec![
        format!(
            "state: {} workers, configuration number {}",
            server.workers(),
            server.generation()
        ),
        format!("state: memory: {}", memory()),
        format!("state: {} log lines lost", log.lost()),
    ];
    lines.extend(
        net.listeners()
            .iter()
            .map(|listener| format!("state: listens on {listener}")),
    );
    let connections = net.connections();
    lines.push(format!("state: {} connections", connections.len()));
    lines.extend(connections.iter().take(LISTED).map(|one| {
        format!(
            "state: connection {:?}: {} {} to {}, worker {}, {} bytes queued, {} s old",
            one.id, one.transport, one.local, one.peer, one.worker, one.queued, one.age
        )
    }));
    for row in net.stats().rows() {
        lines.push(format!(
            "state: {}.{} = {}",
            row.group,
            row.name,
            row.counter.value()
        ));
    }
    let stats = &server.shared().stats;
    for group in stats.groups() {
        for (name, stat) in stats.group(&group).unwrap_or_default() {
            lines.push(format!("state: {group}.{name} = {}", stat.get()));
        }
    }
    lines
}

/// What the system says about this process.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = ["VmRSS:", "VmHWM:", "RssAnon:", "Threads:"];
    let words = status
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    let words: Vec<String> = words
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_that_of_this_process() {
        let text = super::memory();
        assert!(text.contains("VmRSS: ") && text.contains("Threads: "), "{text}");
    }
}
