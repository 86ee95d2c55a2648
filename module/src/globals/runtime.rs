//! Which global parameters change at run time, under which group and name.

use super::{Globals, find};
use crate::Value;

/// A parameter of the run-time groups `core`, `tcp` and `sctp`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeSetting {
    /// `core`, `tcp` or `sctp`.
    pub group: &'static str,
    /// Its name there; in the group `core` that of the global parameter.
    pub name: &'static str,
    /// What the configuration says.
    pub value: Value,
    /// One sentence.
    pub doc: &'static str,
    /// Can only be changed by a restart.
    pub read_only: bool,
}

/// Of the group `core`, under the name of the global parameter.
const CORE: [&str; 55] = [
    "debug",
    "log_facility",
    "memdbg",
    "use_dst_blocklist",
    "dst_blocklist_expire",
    "dst_blocklist_mem",
    "dst_blocklist_udp_imask",
    "dst_blocklist_tcp_imask",
    "dst_blocklist_tls_imask",
    "dst_blocklist_sctp_imask",
    "dns_try_ipv6",
    "dns_try_naptr",
    "dns_udp_pref",
    "dns_tcp_pref",
    "dns_tls_pref",
    "dns_sctp_pref",
    "dns_retr_time",
    "dns_slow_query_ms",
    "dns_retr_no",
    "dns_servers_no",
    "dns_use_search_list",
    "dns_search_full_match",
    "dns_naptr_ignore_rfc",
    "use_dns_cache",
    "dns_cache_flags",
    "use_dns_failover",
    "dns_srv_lb",
    "dns_cache_negative_ttl",
    "dns_cache_min_ttl",
    "dns_cache_max_ttl",
    "dns_cache_mem",
    "dns_cache_del_nonexp",
    "dns_cache_rec_pref",
    "max_while_loops",
    "udp_mtu",
    "udp_mtu_try_proto",
    "udp4_raw",
    "udp4_raw_mtu",
    "udp4_raw_ttl",
    "force_rport",
    "memlog",
    "mem_summary",
    "mem_safety",
    "mem_join",
    "mem_status_mode",
    "sip_parser_log_oneline",
    "sip_parser_log",
    "corelog",
    "latency_cfg_log",
    "latency_log",
    "latency_limit_db",
    "latency_limit_action",
    "latency_limit_cfg",
    "pv_cache_limit",
    "pv_cache_action",
];

/// Commands in the form of parameters: setting one does something.
const TRIGGERS: [(&str, &str); 4] = [
    ("dns_reinit", "Reads resolv.conf again."),
    (
        "mem_dump_pkg",
        "Logs the memory of a process; there is no pool to show here.",
    ),
    (
        "mem_dump_shm",
        "Logs the shared memory; there is no pool to show here.",
    ),
    (
        "pv_cache_dump",
        "Logs the cache of variables; there is none here.",
    ),
];

/// Of the group `tcp`: name there, global parameter, read-only.
const TCP: [(&str, &str, bool); 26] = [
    ("connect_timeout", "tcp_connect_timeout", false),
    ("send_timeout", "tcp_send_timeout", false),
    ("connection_lifetime", "tcp_connection_lifetime", false),
    ("max_connections", "tcp_max_connections", false),
    ("max_tls_connections", "tls_max_connections", false),
    ("no_connect", "tcp_no_connect", false),
    ("fd_cache", "tcp_fd_cache", true),
    ("async", "tcp_buf_write", true),
    ("conn_wq_max", "tcp_conn_wq_max", false),
    ("wq_max", "tcp_wq_max", false),
    ("defer_accept", "tcp_defer_accept", true),
    ("delayed_ack", "tcp_delayed_ack", false),
    ("syncnt", "tcp_syncnt", false),
    ("linger2", "tcp_linger2", false),
    ("keepalive", "tcp_keepalive", false),
    ("keepidle", "tcp_keepidle", false),
    ("keepintvl", "tcp_keepintvl", false),
    ("keepcnt", "tcp_keepcnt", false),
    ("crlf_ping", "tcp_crlf_ping", false),
    ("accept_aliases", "tcp_accept_aliases", false),
    ("accept_no_cl", "tcp_accept_no_cl", false),
    ("reuse_port", "tcp_reuse_port", false),
    ("wait_data_ms", "tcp_wait_data", false),
    ("close_rst", "tcp_close_rst", true),
    ("rd_buf_size", "tcp_rd_buf_size", false),
    ("wq_blk_size", "tcp_wq_blk_size", false),
];

/// Of the group `tcp` without a global parameter: name, value, doc, read-only.
const TCP_FIXED: [(&str, i64, &str, bool); 3] = [
    (
        "connect_wait",
        1,
        "A message waits for the connection in the making.",
        true,
    ),
    (
        "alias_flags",
        1,
        "What happens where an alias exists: 1 the new one wins.",
        false,
    ),
    (
        "new_conn_alias_flags",
        2,
        "What happens where the alias of a new connection exists: 2 the old one stays.",
        false,
    ),
];

/// Of the group `sctp`: those of the global parameters with the same name behind `sctp_`.
const SCTP: [&str; 19] = [
    "sctp_socket_rcvbuf",
    "sctp_socket_sndbuf",
    "sctp_autoclose",
    "sctp_send_ttl",
    "sctp_send_retries",
    "sctp_assoc_tracking",
    "sctp_assoc_reuse",
    "sctp_max_assocs",
    "sctp_srto_initial",
    "sctp_srto_max",
    "sctp_srto_min",
    "sctp_asocmaxrxt",
    "sctp_init_max_attempts",
    "sctp_init_max_timeo",
    "sctp_hbinterval",
    "sctp_pathmaxrxt",
    "sctp_sack_delay",
    "sctp_sack_freq",
    "sctp_max_burst",
];

impl Globals {
    /// The parameters that the `cfg.*` commands see, with what the configuration says.
    pub fn runtime_settings(&self) -> Vec<RuntimeSetting> {
        let core = CORE
            .iter()
            .filter_map(|name| self.runtime("core", name, name, false));
        let triggers = TRIGGERS.iter().map(|(name, doc)| RuntimeSetting {
            group: "core",
            name,
            value: Value::Int(0),
            doc,
            read_only: false,
        });
        let tcp = TCP
            .iter()
            .filter_map(|(name, global, fixed)| self.runtime("tcp", name, global, *fixed));
        let tcp_fixed = TCP_FIXED
            .iter()
            .map(|(name, value, doc, read_only)| RuntimeSetting {
                group: "tcp",
                name,
                value: Value::Int(*value),
                doc,
                read_only: *read_only,
            });
        let sctp = SCTP.iter().filter_map(|global| {
            let name = global.strip_prefix("sctp_")?;
            let fixed = name.starts_with("socket_");
            self.runtime("sctp", name, global, fixed)
        });
        core.chain(triggers)
            .chain(tcp)
            .chain(tcp_fixed)
            .chain(sctp)
            .collect()
    }

    fn runtime(
        &self,
        group: &'static str,
        name: &'static str,
        global: &str,
        read_only: bool,
    ) -> Option<RuntimeSetting> {
        let row = find(global)?;
        let value = match name {
            "log_facility" => Value::Int(i64::from(self.log_facility.code())),
            "udp_mtu_try_proto" => Value::Int(transport_number(self)),
            _ => row.value(self),
        };
        Some(RuntimeSetting {
            group,
            name,
            value,
            doc: row.doc,
            read_only,
        })
    }
}

/// Kamailio's numbers: 0 none, 1 UDP, 2 TCP, 3 TLS, 4 SCTP.
fn transport_number(globals: &Globals) -> i64 {
    match globals.udp_mtu_try_proto {
        None => 0,
        Some(transport) => ["", "udp", "tcp", "tls", "sctp"]
            .iter()
            .position(|name| *name == transport.name())
            .and_then(|at| i64::try_from(at).ok())
            .unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_setting_has_its_parameter() {
        let settings = Globals::default().runtime_settings();
        let total = CORE.len() + TRIGGERS.len() + TCP.len() + TCP_FIXED.len() + SCTP.len();
        assert_eq!(settings.len(), total);
        let of = |group, name| {
            settings
                .iter()
                .find(|setting| (setting.group, setting.name) == (group, name))
                .map(|setting| setting.value.clone())
        };
        assert_eq!(of("core", "debug"), Some(Value::Int(0)));
        assert_eq!(of("core", "log_facility"), Some(Value::Int(24)));
        assert_eq!(of("tcp", "rd_buf_size"), Some(Value::Int(16_384)));
        assert_eq!(of("sctp", "autoclose"), Some(Value::Int(180)));
        assert!(settings.iter().all(|setting| setting.value != Value::Null));
    }
}
