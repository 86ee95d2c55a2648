//! Counters of the network layer.

use std::sync::atomic::{AtomicU64, Ordering};

/// One counter or gauge.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `amount`.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes `amount` away, for gauges. Never goes below zero.
    pub fn subtract(&self, amount: u64) {
        let floor = |value: u64| Some(value.saturating_sub(amount));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, floor);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Back to zero; gauges must not be reset.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $group:literal $field:ident: $kind:ident,)*) => {
        /// The counters; names and groups are Kamailio's where it has them.
        #[derive(Debug, Default)]
        pub struct NetStats { $($(#[doc = $doc])+ pub $field: Counter,)* }

        impl NetStats {
            /// Every counter, for registration with the statistics framework.
            pub fn rows(&self) -> Vec<StatRow<'_>> {
                vec![$(StatRow {
                    group: $group,
                    name: stringify!($field),
                    gauge: stats!(@gauge $kind),
                    doc: concat!($($doc),+).trim_ascii(),
                    counter: &self.$field,
                }),*]
            }
        }
    };
    (@gauge gauge) => { true };
    (@gauge count) => { false };
}

/// One row of [`NetStats::rows`].
#[derive(Clone, Copy, Debug)]
pub struct StatRow<'a> {
    /// Kamailio's group.
    pub group: &'static str,
    /// The name in that group.
    pub name: &'static str,
    /// A gauge cannot be reset.
    pub gauge: bool,
    /// One sentence.
    pub doc: &'static str,
    /// The value.
    pub counter: &'a Counter,
}

stats! {
    /// Connections reset by the peer.
    "tcp" con_reset: count,
    /// Connections closed because they were idle for `tcp_connection_lifetime`.
    "tcp" con_timeout: count,
    /// Outgoing connections that failed.
    "tcp" connect_failed: count,
    /// Outgoing connections that came up.
    "tcp" connect_success: count,
    /// Connections open now.
    "tcp" current_opened_connections: gauge,
    /// Bytes queued for all connections now.
    "tcp" current_write_queue_size: gauge,
    /// Connections that came up, in and out.
    "tcp" established: count,
    /// Connections refused because of a limit.
    "tcp" local_reject: count,
    /// Incoming connections accepted.
    "tcp" passive_open: count,
    /// Connections closed because the peer did not read within `tcp_send_timeout`.
    "tcp" send_timeout: count,
    /// Connections closed, or messages refused, because a write queue was full.
    "tcp" sendq_full: count,
    /// Messages received over connections.
    "tcp" received: count,
    /// Messages handed to connections.
    "tcp" sent: count,
    /// CRLF keepalives answered.
    "tcp" pings: count,
    /// Connections closed because what they carried was not SIP.
    "tcp" framing_errors: count,
    /// Connections closed because a message or the first data did not come in time.
    "tcp" read_timeout: count,
    /// Datagrams received.
    "udp" udp_received: count,
    /// Datagrams sent.
    "udp" udp_sent: count,
    /// Datagrams that the kernel refused.
    "udp" udp_send_errors: count,
    /// Datagrams queued because the socket's buffer was full.
    "udp" udp_send_queued: count,
    /// Datagrams dropped because that queue was full too.
    "udp" udp_send_dropped: count,
    /// Datagrams cut off because they were longer than the buffer, dropped.
    "udp" udp_truncated: count,
    /// Look-ups that failed.
    "dns" failed_dns_request: count,
    /// Look-ups slower than `dns_slow_query_ms`.
    "dns" slow_dns_request: count,
    /// Look-ups sent to a server.
    "dns" dns_requests: count,
    /// Answers taken from the cache.
    "dns" dns_cache_hits: count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_carry_names_docs_and_live_values() {
        let stats = NetStats::default();
        stats.con_timeout.increment();
        stats.current_opened_connections.subtract(1);
        let rows = stats.rows();
        let row = rows.iter().find(|r| r.name == "con_timeout").unwrap();
        assert_eq!((row.group, row.gauge, row.counter.value()), ("tcp", false, 1));
        assert!(rows.iter().all(|r| !r.doc.is_empty()));
        assert_eq!(stats.current_opened_connections.value(), 0);
    }
}
