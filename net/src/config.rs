//! [`NetConfig`]: every global parameter of Kamailio that governs sockets, connections and DNS, under its own name.

use std::net::{Ipv4Addr, Ipv6Addr};

use kahea_sip::Transport;

/// The network part of a configuration; field names are Kamailio's global parameters.
///
/// Times are in seconds and sizes in bytes unless the field says otherwise. Values come checked for type by the
/// language layer; ranges are clamped where they are used.
#[derive(Clone, Debug, PartialEq)]
pub struct NetConfig {
    /// `listen=` and `socket={…}`. Empty means every interface address, UDP and TCP, as in Kamailio.
    pub listen: Vec<ListenSpec>,
    /// `port`: for listeners without one. Default 5060 (5061 for TLS).
    pub port: Option<u16>,
    /// `disable_tcp`: no TCP listeners and no TCP connections.
    pub disable_tcp: bool,
    /// `advertised_address` and `advertised_port`: for listeners without an `advertise` of their own.
    pub advertised_address: Option<String>,
    /// See [`NetConfig::advertised_address`].
    pub advertised_port: Option<u16>,
    /// `auto_bind_ipv6`: the automatic listeners take IPv6 addresses too.
    pub auto_bind_ipv6: bool,
    /// `bind_ipv6_link_local`: 1 lets IPv6 link-local addresses be listened on (with their scope).
    pub bind_ipv6_link_local: i64,
    /// `mhomed`: pick the sending listener by the kernel's route to the destination.
    pub mhomed: bool,
    /// `tos`: IP type of service / IPv6 traffic class of what is sent, 0–255. Default 0x10.
    pub tos: i64,
    /// `pmtu_discovery`: set the don't-fragment bit on UDP.
    pub pmtu_discovery: bool,
    /// `ip_free_bind`: 1 binds addresses that this host does not have (yet).
    pub ip_free_bind: i64,
    /// `mcast`: interface for multicast listeners.
    pub mcast: Option<String>,
    /// `mcast_loopback`: own multicast packets come back.
    pub mcast_loopback: bool,
    /// `mcast_ttl`: 0–255; -1 leaves the system's.
    pub mcast_ttl: i64,
    /// `maxbuffer`: largest UDP receive buffer asked of the kernel.
    pub maxbuffer: usize,
    /// `maxsndbuffer`: largest UDP send buffer asked of the kernel; 0 leaves the system's.
    pub maxsndbuffer: usize,
    /// `msg_recv_max_size`: longest message that a stream connection may carry. Default 32,767.
    pub msg_recv_max_size: usize,
    /// `udp_mtu`: requests longer than this go over `udp_mtu_try_proto` instead; 0 is off. Applied by the engine.
    pub udp_mtu: usize,
    /// `udp_mtu_try_proto`: see `udp_mtu`.
    pub udp_mtu_try_proto: Transport,
    /// `udp4_raw`: no meaning here: raw sockets saved a slow kernel path that `sendmmsg` does not take.
    pub udp4_raw: i64,
    /// `udp4_raw_mtu`: no meaning here, see `udp4_raw`.
    pub udp4_raw_mtu: i64,
    /// `udp4_raw_ttl`: no meaning here, see `udp4_raw`.
    pub udp4_raw_ttl: i64,
    /// The `tcp_*` parameters.
    pub tcp: TcpConfig,
    /// The `dns_*` parameters.
    pub dns: DnsConfig,
    /// The `dst_blocklist_*` parameters.
    pub blocklist: BlocklistConfig,
}

impl Default for NetConfig {
    fn default() -> NetConfig {
        NetConfig {
            listen: Vec::new(),
            port: None,
            disable_tcp: false,
            advertised_address: None,
            advertised_port: None,
            auto_bind_ipv6: false,
            bind_ipv6_link_local: 0,
            mhomed: false,
            tos: 0x10,
            pmtu_discovery: false,
            ip_free_bind: 0,
            mcast: None,
            mcast_loopback: false,
            mcast_ttl: -1,
            maxbuffer: 256 * 1024,
            maxsndbuffer: 0,
            msg_recv_max_size: 32_767,
            udp_mtu: 0,
            udp_mtu_try_proto: Transport::None,
            udp4_raw: 0,
            udp4_raw_mtu: 0,
            udp4_raw_ttl: -1,
            tcp: TcpConfig::default(),
            dns: DnsConfig::default(),
            blocklist: BlocklistConfig::default(),
        }
    }
}

/// One `listen=` line or `socket={…}` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// The transport; `None` stands for a line without one, which listens on UDP and TCP.
    pub transport: Transport,
    /// What to bind.
    pub address: ListenAddress,
    /// The port; `None` takes `port` or the transport's own. 0 lets the kernel pick one (for tests).
    pub port: Option<u16>,
    /// `advertise`: the host and port that Via, Record-Route and `$RAi` show.
    pub advertise: Option<(String, Option<u16>)>,
    /// `name`: for `$fsn`, `$fs` by name, `force_send_socket_name`.
    pub name: Option<String>,
    /// `virtual`: an address that this host may not have at the moment; it is bound freely.
    pub r#virtual: bool,
    /// `agname`: the action group that handles its messages.
    pub agname: Option<String>,
    /// `workers` or `socket_workers`: no meaning here: every worker reads every listener. Kept for the listing.
    pub workers: Option<u32>,
    /// `vrf`: the device that the socket is bound to.
    pub vrf: Option<String>,
}

impl ListenSpec {
    /// A plain listener.
    pub fn new(transport: Transport, address: ListenAddress, port: Option<u16>) -> ListenSpec {
        ListenSpec {
            transport,
            address,
            port,
            advertise: None,
            name: None,
            r#virtual: false,
            agname: None,
            workers: None,
            vrf: None,
        }
    }
}

/// The address part of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address; the unspecified one (`0.0.0.0`, `[::]`) binds all.
    Ip(std::net::IpAddr),
    /// An interface name (all its addresses) or else a host name (all it resolves to at start).
    Name(String),
    /// `*` or `any`: every address of every interface.
    Any,
}

impl ListenAddress {
    /// Reads an address as written in a config: an IP with or without brackets, `any`, `*`, a name.
    pub fn parse(text: &str) -> ListenAddress {
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse() {
            Ok(ip) => ListenAddress::Ip(ip),
            Err(_) if text == "*" || text.eq_ignore_ascii_case("any") => ListenAddress::Any,
            Err(_) => ListenAddress::Name(text.to_owned()),
        }
    }
}

/// The `tcp_*` parameters, without the prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpConfig {
    /// `tcp_max_connections`: more are refused. Default 2,048.
    pub max_connections: usize,
    /// `tcp_connection_lifetime`: an idle connection is closed after this long. Default 120 s; -1 never.
    pub connection_lifetime: i64,
    /// `tcp_connect_timeout`. Default 10 s.
    pub connect_timeout: i64,
    /// `tcp_send_timeout`: a peer that takes no byte of what is queued for this long is disconnected. Default 10 s.
    pub send_timeout: i64,
    /// `tcp_accept_aliases`: `;alias` in a Via adds the sent-by port as an alias. Acted on by the engine.
    pub accept_aliases: bool,
    /// `tcp_keepalive`: `SO_KEEPALIVE`. Default on.
    pub keepalive: bool,
    /// `tcp_keepidle`: idle seconds before the first probe; 0 leaves the system's.
    pub keepidle: i64,
    /// `tcp_keepintvl`: seconds between probes; 0 leaves the system's.
    pub keepintvl: i64,
    /// `tcp_keepcnt`: probes before the connection is given up; 0 leaves the system's.
    pub keepcnt: i64,
    /// `tcp_crlf_ping`: answer a double CRLF with a CRLF (RFC 5626 section 4.4.1). Default on.
    pub crlf_ping: bool,
    /// `tcp_buf_write`, `tcp_async`: no meaning here: writes never block.
    pub buf_write: bool,
    /// `tcp_conn_wq_max`: bytes queued for one connection. Default 32 kB.
    pub conn_wq_max: usize,
    /// `tcp_wq_max`: bytes queued for all connections. Default 10 MB.
    pub wq_max: usize,
    /// `tcp_wq_blk_size`: no meaning here: queued messages are shared, not copied into blocks.
    pub wq_blk_size: usize,
    /// `tcp_rd_buf_size`: bytes read at once. Default 16,384.
    pub rd_buf_size: usize,
    /// `tcp_no_connect`: never open connections.
    pub no_connect: bool,
    /// `tcp_accept_no_cl`: a message without Content-Length has no body, instead of an error.
    pub accept_no_cl: bool,
    /// `tcp_accept_unique`: refuse a second connection from the same address and port.
    pub accept_unique: bool,
    /// `tcp_accept_iplimit`: connections from one address. Default 1,024; 0 is no limit.
    pub accept_iplimit: usize,
    /// `tcp_accept_hep3`: no meaning yet: HEP over TCP comes with `sipcapture`.
    pub accept_hep3: bool,
    /// `tcp_accept_haproxy`: every connection must begin with a PROXY header, version 1 or 2.
    pub accept_haproxy: bool,
    /// `tcp_listen_backlog`. Default 1,024.
    pub listen_backlog: i32,
    /// `tcp_defer_accept`: seconds (Linux) that the kernel waits for the first data before it tells us; 0 is off.
    pub defer_accept: i64,
    /// `tcp_delayed_ack`: no meaning here: the kernel's own rule is used.
    pub delayed_ack: bool,
    /// `tcp_syncnt`: SYN retransmissions; 0 leaves the system's.
    pub syncnt: i64,
    /// `tcp_linger2`: seconds in FIN_WAIT2; 0 leaves the system's.
    pub linger2: i64,
    /// `tcp_close_rst`: close with a reset.
    pub close_rst: bool,
    /// `tcp_reuse_port`: outgoing connections leave from the listener's own port.
    pub reuse_port: bool,
    /// `tcp_source_ipv4`: local address of outgoing connections.
    pub source_ipv4: Option<Ipv4Addr>,
    /// `tcp_source_ipv6`: local address of outgoing connections.
    pub source_ipv6: Option<Ipv6Addr>,
    /// `tcp_connection_match`: 1 also compares the local port when an open connection is looked for.
    pub connection_match: i64,
    /// `tcp_msg_read_timeout`: a message that has begun must be complete within this. Default 20 s.
    pub msg_read_timeout: i64,
    /// `tcp_msg_data_timeout`: a new incoming connection must send its first data within this. Default 20 s.
    pub msg_data_timeout: i64,
    /// `tcp_check_timer`: no meaning here: every connection has its own deadline, nothing is scanned.
    pub check_timer: i64,
    /// `tcp_wait_data`: milliseconds Kamailio waits for data to be sent over a connection in the making; no meaning
    /// here: the data waits in the queue, and `tcp_connect_timeout` rules.
    pub wait_data: i64,
    /// `tcp_fd_cache`: no meaning here: there is one process.
    pub fd_cache: bool,
    /// `tcp_poll_method`: no meaning here: always epoll.
    pub poll_method: Option<String>,
    /// `tcp_clone_rcvbuf`: no meaning here: messages share the buffer they came in.
    pub clone_rcvbuf: i64,
    /// `tcp_children`: no meaning here: every worker serves its own connections.
    pub children: Option<u32>,
    /// `tcp_main_threads`: no meaning here, see `tcp_children`.
    pub main_threads: i64,
    /// `tcp_script_mode`: 1 closes a connection whose message made the script fail. Acted on by the engine.
    pub script_mode: i64,
}

impl Default for TcpConfig {
    fn default() -> TcpConfig {
        TcpConfig {
            max_connections: 2048,
            connection_lifetime: 120,
            connect_timeout: 10,
            send_timeout: 10,
            accept_aliases: false,
            keepalive: true,
            keepidle: 0,
            keepintvl: 0,
            keepcnt: 0,
            crlf_ping: true,
            buf_write: true,
            conn_wq_max: 32 * 1024,
            wq_max: 10 * 1024 * 1024,
            wq_blk_size: 2100,
            rd_buf_size: 16_384,
            no_connect: false,
            accept_no_cl: false,
            accept_unique: false,
            accept_iplimit: 1024,
            accept_hep3: false,
            accept_haproxy: false,
            listen_backlog: 1024,
            defer_accept: 0,
            delayed_ack: true,
            syncnt: 0,
            linger2: 0,
            close_rst: false,
            reuse_port: false,
            source_ipv4: None,
            source_ipv6: None,
            connection_match: 0,
            msg_read_timeout: 20,
            msg_data_timeout: 20,
            check_timer: 10,
            wait_data: 5000,
            fd_cache: true,
            poll_method: None,
            clone_rcvbuf: 0,
            children: None,
            main_threads: 0,
            script_mode: 0,
        }
    }
}

/// The `dns_*` parameters, without the prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct DnsConfig {
    /// `dns`: look up names for `received` checks of Via; acted on by the engine.
    pub dns: bool,
    /// `rev_dns`, `dns_rev_via`: the same with reverse look-ups.
    pub rev_dns: bool,
    /// `dns_try_ipv6`: ask for AAAA where there is no A. Default on.
    pub try_ipv6: bool,
    /// `dns_try_naptr`: RFC 3263 with NAPTR. Default off.
    pub try_naptr: bool,
    /// `dns_naptr_ignore_rfc`: choose among NAPTR transports by our own preference only. Default on.
    pub naptr_ignore_rfc: bool,
    /// `dns_udp_pref`: preference of UDP among NAPTR results; higher wins, negative never. Default 30.
    pub udp_pref: i64,
    /// `dns_tcp_pref`: the same for TCP. Default 20.
    pub tcp_pref: i64,
    /// `dns_tls_pref`: the same for TLS. Default 10.
    pub tls_pref: i64,
    /// `dns_sctp_pref`: the same for SCTP. Default 20; without effect until SCTP listeners exist.
    pub sctp_pref: i64,
    /// `dns_srv_lb`: choose among SRV records of one priority by weight. Default off: highest weight first.
    pub srv_lb: bool,
    /// `dns_retr_time`: seconds for one try at one server. Default: the system's (5).
    pub retr_time: Option<i64>,
    /// `dns_retr_no`: tries. Default: the system's (2).
    pub retr_no: Option<i64>,
    /// `dns_servers_no`: how many servers of `resolv.conf` are used. Default: all.
    pub servers_no: Option<i64>,
    /// `dns_use_search_list`: apply the search list of `resolv.conf`. Default on.
    pub use_search_list: bool,
    /// `dns_search_full_match`: no meaning here: an answer is always taken for the name that was asked.
    pub search_full_match: bool,
    /// `dns_slow_query_ms`: look-ups that took longer are counted as slow; 0 is off.
    pub slow_query_ms: i64,
    /// `use_dns_cache`. Default on. Off means that only look-ups under way are shared.
    pub use_dns_cache: bool,
    /// `use_dns_failover`: the next address is tried when one fails; acted on by the engine. Default off.
    pub use_dns_failover: bool,
    /// `dns_cache_init`: no meaning here: the cache costs nothing while it is empty.
    pub cache_init: bool,
    /// `dns_cache_flags`: 1 IPv4 only, 2 IPv6 only, 4 prefer IPv6.
    pub cache_flags: i64,
    /// `dns_cache_min_ttl`. Default 0.
    pub cache_min_ttl: i64,
    /// `dns_cache_max_ttl`. Default 2^31-1 in Kamailio; here no cap either.
    pub cache_max_ttl: i64,
    /// `dns_cache_negative_ttl`: seconds that a failure is remembered. Default 60.
    pub cache_negative_ttl: i64,
    /// `dns_cache_mem`: kilobytes; when full, answers are not kept, or see `cache_del_nonexp`. Default 500.
    pub cache_mem: usize,
    /// `dns_cache_gc_interval`: seconds between sweeps of expired entries. Default 120.
    pub cache_gc_interval: i64,
    /// `dns_cache_del_nonexp`: make room by deleting the entry that expires soonest. Default off.
    pub cache_del_nonexp: bool,
    /// `dns_cache_rec_pref`: 0 nothing, 1 the oldest, 2 the newest answer wins; here the newest always does.
    pub cache_rec_pref: i64,
}

impl Default for DnsConfig {
    fn default() -> DnsConfig {
        DnsConfig {
            dns: false,
            rev_dns: false,
            try_ipv6: true,
            try_naptr: false,
            naptr_ignore_rfc: true,
            udp_pref: 30,
            tcp_pref: 20,
            tls_pref: 10,
            sctp_pref: 20,
            srv_lb: false,
            retr_time: None,
            retr_no: None,
            servers_no: None,
            use_search_list: true,
            search_full_match: true,
            slow_query_ms: 0,
            use_dns_cache: true,
            use_dns_failover: false,
            cache_init: true,
            cache_flags: 0,
            cache_min_ttl: 0,
            cache_max_ttl: i64::MAX,
            cache_negative_ttl: 60,
            cache_mem: 500,
            cache_gc_interval: 120,
            cache_del_nonexp: false,
            cache_rec_pref: 0,
        }
    }
}

/// The destination blocklist's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct BlocklistConfig {
    /// `use_dst_blocklist`: failing destinations are remembered and avoided. Default off.
    pub use_dst_blocklist: bool,
    /// `dst_blocklist_init`: no meaning here: the list costs nothing while it is empty.
    pub init: bool,
    /// `dst_blocklist_expire`: seconds. Default 60.
    pub expire: i64,
    /// `dst_blocklist_mem`: kilobytes; no entry is added beyond it. Default 250.
    pub mem: usize,
    /// `dst_blocklist_gc_interval`: seconds between sweeps. Default 60.
    pub gc_interval: i64,
    /// `dst_blocklist_udp_imask`: which errors are ignored, see [`crate::dns::BlockReason`].
    pub udp_imask: i64,
    /// `dst_blocklist_tcp_imask`.
    pub tcp_imask: i64,
    /// `dst_blocklist_tls_imask`.
    pub tls_imask: i64,
    /// `dst_blocklist_sctp_imask`.
    pub sctp_imask: i64,
}

impl Default for BlocklistConfig {
    fn default() -> BlocklistConfig {
        BlocklistConfig {
            use_dst_blocklist: false,
            init: true,
            expire: 60,
            mem: 250,
            gc_interval: 60,
            udp_imask: 0,
            tcp_imask: 0,
            tls_imask: 0,
            sctp_imask: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written() {
        assert_eq!(
            ListenAddress::parse("10.0.0.1"),
            ListenAddress::Ip([10, 0, 0, 1].into())
        );
        assert_eq!(
            ListenAddress::parse("[::1]"),
            ListenAddress::Ip(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(ListenAddress::parse("*"), ListenAddress::Any);
        assert_eq!(ListenAddress::parse("eth0"), ListenAddress::Name("eth0".into()));
    }
}
