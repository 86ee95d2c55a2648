//! The one list of global parameters: field, type, default, doc and effect. Defaults are Kamailio 6's.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
};

use kahea_sip::Transport;

use super::{
    Effect::{self, Later, NotHere, Works},
    GlobalDecl,
    kind::{AsyncGroup, Facility, GlobalKind, GlobalType, HexStyle},
    listen::{AliasSpec, ListenSpec, add_alias, add_listen},
    setters::{
        add_async_group, set_accept_protocols, set_group, set_separator, set_tos, set_udp_mtu_try_proto,
        set_user,
    },
    words::{assign, assign_in, yes_or_no},
};
use crate::{Str, Value};

/// Numbers that cannot be negative.
const FROM_0: RangeInclusive<i64> = 0..=2_147_483_647;
/// Numbers of which there must be one at least.
const FROM_1: RangeInclusive<i64> = 1..=2_147_483_647;
/// Numbers where -1 stands for none or for the system's choice.
const FROM_MINUS_1: RangeInclusive<i64> = -1..=2_147_483_647;
const PORT: RangeInclusive<i64> = 1..=65_535;

const ONE_PROCESS: Effect = NotHere("there is one process with one worker for each core");
const NO_POOL: Effect =
    NotHere("memory comes from the system and is checked by the language, there is no pool");
const NO_COPY: Effect = NotHere("messages share the buffer they came in");
const TLS_MODULE: Effect = NotHere("TLS is configured by the parameters of the tls module");
const SCTP: Effect = Later("SCTP");
const SCHEDULING: Effect =
    NotHere("nothing here waits on a thread that needs a priority; give one by the service manager");
const KEMI: Effect = Later("embedded languages");

/// One parameter a row: `field as "name" ["alias"]: Type = default, in range, fn setter, effect;`.
macro_rules! globals {
    (
        $(
            $(#[doc = $doc:literal])+
            $field:ident $(as $shown:literal)? $([$($alias:literal),+])? : $type:ty = $default:expr,
                $(in $range:expr,)? $(fn $set:path,)? $effect:expr;
        )+
        extra $($row:expr,)+
    ) => {
        /// Global parameters; each field has the name of its parameter, and its default before the configuration is read.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Globals {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for Globals {
            fn default() -> Globals {
                Globals { $($field: $default,)+ }
            }
        }

        static TABLE: &[GlobalDecl] = &[
            $(GlobalDecl {
                name: first!($($shown,)? stringify!($field)),
                aliases: &[$($($alias),+)?],
                kind: <$type as GlobalType>::KIND,
                doc: concat!($($doc),+).trim_ascii(),
                effect: $effect,
                set: setter!($field $(in $range)? $(fn $set)?),
                get: |globals| globals.$field.show(),
            },)+
            $($row,)+
        ];
    };
}

macro_rules! first {
    ($first:expr $(, $more:expr)*) => {
        $first
    };
}

macro_rules! setter {
    ($field:ident) => {
        |globals, value| assign(&mut globals.$field, value)
    };
    ($field:ident in $range:expr) => {
        |globals, value| assign_in(&mut globals.$field, &value, $range)
    };
    ($field:ident fn $set:path) => {
        $set
    };
}

/// Every global parameter.
pub fn table() -> &'static [GlobalDecl] {
    TABLE
}

globals! {
    // Sockets and addresses
    /// Address to listen on; each line adds one, and none at all means every address of every interface.
    listen ["socket"]: Vec<ListenSpec> = Vec::new(), fn add_listen, Works;
    /// Name or address that counts as `myself`; each line adds one.
    alias ["domain"]: Vec<AliasSpec> = Vec::new(), fn add_alias, Works;
    /// Port of listeners that state none.
    port: i64 = 5060, in PORT, Works;
    /// Port of TLS listeners that state none.
    tls_port_no: i64 = 5061, in PORT, Works;
    /// Host that Via shows in place of the listener's address.
    advertised_address: Option<Str> = None, Works;
    /// Port that Via shows in place of the listener's.
    advertised_port: Option<i64> = None, in PORT, Works;
    /// Adds the names found by a reverse look-up of the own addresses to `myself`.
    auto_aliases ["auto_domains"]: bool = true, Works;
    /// Listens on every IPv6 address too where there is no `listen` line.
    auto_bind_ipv6: bool = false, Works;
    /// Link-local IPv6 addresses: 1 listens on them with the scope of their interface, 2 leaves them out.
    bind_ipv6_link_local: i64 = 0, in 0..=2, Works;
    /// Binds addresses that the machine does not have: 0 no, 1 yes, 2 or more yes where the system allows.
    ip_free_bind ["ipfreebind", "ip_nonlocal_bind"]: i64 = 0, in FROM_0, Works;
    /// How IPv6 addresses are written: `c` short, `a` in full, `A` in full and upper case.
    ipv6_hex_style: HexStyle = HexStyle::Compact, NotHere("addresses are written short, in small letters (RFC 5952 section 4)");
    /// Picks the sending listener by the system's route to the destination.
    mhomed: bool = false, Works;
    /// Interface that joins the multicast group of the next `listen` line.
    mcast: Option<Str> = None, Works;
    /// Own multicast packets come back.
    mcast_loopback: bool = false, Works;
    /// Time to live of multicast packets in hops, -1 leaves the system's.
    mcast_ttl: i64 = -1, in -1..=255, Works;
    /// Type of service of what is sent: 0 to 255, or a name such as `IPTOS_LOWDELAY`.
    tos: i64 = 0x10, fn set_tos, Works;
    /// Don't-fragment bit of packets: 0 never, 1 always, 2 by the path MTU that the system knows.
    pmtu_discovery: i64 = 0, in 0..=2, Works;
    /// Workers of the next `listen` line, in place of `children`.
    socket_workers: Option<i64> = None, in FROM_1, ONE_PROCESS;
    /// Largest receive buffer asked of the system for a UDP socket, in bytes.
    maxbuffer: i64 = 262_144, in FROM_0, Works;
    /// Largest send buffer asked of the system for a UDP socket, in bytes.
    maxsndbuffer: i64 = 262_144, in FROM_0, Works;

    // UDP
    /// Requests longer than this many bytes leave by `udp_mtu_try_proto`, 0 switches that off.
    udp_mtu: i64 = 0, in 0..=65_535, Works;
    /// Transport of requests that are longer than `udp_mtu`.
    udp_mtu_try_proto: Option<Transport> = None, fn set_udp_mtu_try_proto, Works;
    /// UDP is received by processes (0), threads (1) or both, by socket (2).
    udp_receiver_mode: i64 = 0, in 0..=2, ONE_PROCESS;
    /// PROXY headers in front of UDP packets: 0 none, 1 HAProxy's, 2 the simple one, 3 both.
    udp_accept_proxy: i64 = 0, in 0..=3, Later("PROXY headers over UDP");
    /// Sends UDP through raw sockets.
    udp4_raw: i64 = 0, in -1..=1, NotHere("the system's socket calls used here are as fast");
    /// MTU of packets sent through raw sockets, in bytes.
    udp4_raw_mtu: i64 = 1500, in FROM_0, NotHere("see udp4_raw");
    /// Time to live of packets sent through raw sockets in hops, -1 leaves the system's.
    udp4_raw_ttl: i64 = -1, in -1..=255, NotHere("see udp4_raw");

    // TCP
    /// Neither listens nor connects over TCP.
    disable_tcp: bool = false, Works;
    /// Processes that read TCP connections.
    tcp_children: Option<i64> = None, in FROM_0, ONE_PROCESS;
    /// A TLS connection is read by threads of the main process.
    tcp_main_threads: i64 = 0, in FROM_0, ONE_PROCESS;
    /// `;alias` in a Via lets requests to its port use the connection.
    tcp_accept_aliases: bool = false, Works;
    /// Every connection begins with a PROXY header of HAProxy, version 1 or 2.
    tcp_accept_haproxy: bool = false, Works;
    /// Takes HEP version 3 packets over TCP.
    tcp_accept_hep3: bool = false, Later("the sipcapture module");
    /// Connections from one address, 0 or less is no limit.
    tcp_accept_iplimit: i64 = 1024, Works;
    /// A message without Content-Length has no body, instead of being an error.
    tcp_accept_no_cl: bool = false, Works;
    /// What else may come over TCP, a sum or a list: http (4), ws (8), msrp (16), hep (32), stun (64), haproxy (128).
    tcp_accept_protocols ["tcp_accept_protos"]: i64 = 92, fn set_accept_protocols, Later("other protocols over TCP");
    /// Refuses a second connection from the same address and port.
    tcp_accept_unique: i64 = 0, in FROM_0, Works;
    /// Queues what cannot be written at once.
    tcp_buf_write ["tcp_async"]: bool = true, NotHere("no write ever waits, so it is always on");
    /// Seconds between checks of connections for data that does not come.
    tcp_check_timer: i64 = 10, in FROM_0, NotHere("every connection has its own deadline, nothing is scanned");
    /// Copies what is received before the message is handled.
    tcp_clone_rcvbuf: i64 = 0, in 0..=1, NO_COPY;
    /// Closes connections with a reset.
    tcp_close_rst: bool = false, Works;
    /// Bytes that may wait for one connection; more close it.
    tcp_conn_wq_max: i64 = 32_768, in FROM_0, Works;
    /// Seconds after which a connection that does not come about is given up.
    tcp_connect_timeout: i64 = 10, in FROM_MINUS_1, Works;
    /// Seconds after which an idle connection is closed, -1 is never.
    tcp_connection_lifetime: i64 = 120, in FROM_MINUS_1, Works;
    /// 1 also compares the local port when an open connection is looked for.
    tcp_connection_match: i64 = 0, in 0..=1, Works;
    /// Answers two line ends with one (RFC 5626 section 4.4.1).
    tcp_crlf_ping: bool = true, Works;
    /// Seconds that the system waits for the first data before it reports a connection, 0 is off.
    tcp_defer_accept: i64 = 0, in FROM_0, Works;
    /// The first acknowledgement waits for data.
    tcp_delayed_ack: bool = true, NotHere("the system's own rule is used");
    /// Each process keeps descriptors of connections.
    tcp_fd_cache: bool = true, ONE_PROCESS;
    /// Lets the system probe idle connections.
    tcp_keepalive: bool = true, Works;
    /// Probes before a connection is given up, 0 leaves the system's.
    tcp_keepcnt: i64 = 0, in FROM_0, Works;
    /// Idle seconds before the first probe, 0 leaves the system's.
    tcp_keepidle: i64 = 0, in FROM_0, Works;
    /// Seconds between probes, 0 leaves the system's.
    tcp_keepintvl: i64 = 0, in FROM_0, Works;
    /// Seconds that a closed connection stays in FIN_WAIT2, 0 leaves the system's.
    tcp_linger2: i64 = 0, in FROM_0, Works;
    /// Connections that the system holds until they are accepted.
    tcp_listen_backlog: i64 = 1024, in FROM_1, Works;
    /// Most open connections; more are refused.
    tcp_max_connections: i64 = 2048, in FROM_0, Works;
    /// Seconds within which a new connection must send its first data.
    tcp_msg_data_timeout: i64 = 20, in FROM_0, Works;
    /// Seconds within which a message must be complete.
    tcp_msg_read_timeout: i64 = 20, in FROM_0, Works;
    /// Never opens connections.
    tcp_no_connect: bool = false, Works;
    /// How the system is asked for events.
    tcp_poll_method: Option<Str> = None, NotHere("it is always epoll");
    /// Bytes that are read at once.
    tcp_rd_buf_size: i64 = 16_384, in 1..=16_777_216, Works;
    /// Outgoing connections leave from the listener's own port.
    tcp_reuse_port: bool = false, Works;
    /// 1 keeps a connection open whose message made the script fail.
    tcp_script_mode: i64 = 0, in 0..=1, NotHere("the sender is told by a 500, and the connection, which others may share, always stays open");
    /// Seconds after which a connection is closed whose peer takes nothing of what is queued.
    tcp_send_timeout: i64 = 10, in FROM_MINUS_1, Works;
    /// Local address of outgoing IPv4 connections.
    tcp_source_ipv4: Option<Ipv4Addr> = None, Works;
    /// Local address of outgoing IPv6 connections.
    tcp_source_ipv6: Option<Ipv6Addr> = None, Works;
    /// Retransmissions of SYN, 0 leaves the system's.
    tcp_syncnt: i64 = 0, in FROM_0, Works;
    /// Milliseconds that Kamailio waits for the PROXY header of a connection.
    tcp_wait_data: i64 = 5000, in FROM_0, NotHere("tcp_msg_data_timeout rules all first data");
    /// Bytes of a block of queued data.
    tcp_wq_blk_size: i64 = 2100, in FROM_1, NotHere("what is queued is shared, not copied into blocks");
    /// Bytes that may wait for all connections together.
    tcp_wq_max: i64 = 10_485_760, in FROM_0, Works;

    // TLS
    /// Neither listens nor connects over TLS.
    disable_tls ["tls_disable"]: bool = true, Later("TLS");
    /// Most open TLS connections.
    tls_max_connections: i64 = 2048, in FROM_0, Later("TLS");
    /// One connection for each TLS domain to the same address and port.
    tls_connection_match_domain: i64 = 0, in 0..=1, Later("TLS");
    /// How OpenSSL is kept apart between processes: 0, 1 or 2.
    tls_threads_mode: i64 = 0, in 0..=2, NotHere("TLS is not OpenSSL here");
    /// File of trusted certificates.
    tls_ca_list: Option<Str> = None, TLS_MODULE;
    /// File of the certificate.
    tls_certificate: Option<Str> = None, TLS_MODULE;
    /// File of the private key.
    tls_private_key: Option<Str> = None, TLS_MODULE;
    /// Seconds for the handshake.
    tls_handshake_timeout: Option<i64> = None, TLS_MODULE;
    /// Seconds for sending.
    tls_send_timeout: Option<i64> = None, TLS_MODULE;
    /// Version of the protocol.
    tls_method: Option<Str> = None, TLS_MODULE;
    /// Peers must show a certificate.
    tls_require_certificate: bool = false, TLS_MODULE;
    /// Certificates of peers are verified.
    tls_verify: bool = false, TLS_MODULE;
    /// Level of log lines about TLS.
    tlslog ["tls_log"]: Option<i64> = None, TLS_MODULE;

    // DNS
    /// Looks up the host of Via to decide whether `received` is added.
    dns: bool = false, NotHere("a Via with a name or another address always gets received (RFC 3261 section 18.2.1), no message waits for a look-up");
    /// Looks up the name of the source address to decide whether `received` is added.
    rev_dns ["dns_rev_via"]: bool = false, NotHere("see dns");
    /// Asks for IPv6 addresses where a name has no IPv4 address.
    dns_try_ipv6: bool = true, Works;
    /// Asks for NAPTR records first (RFC 3263).
    dns_try_naptr: bool = false, Works;
    /// Chooses among transports of NAPTR records by the own preference alone.
    dns_naptr_ignore_rfc: bool = true, Works;
    /// Preference of UDP among NAPTR records, higher wins and negative means never.
    dns_udp_pref ["dns_udp_preference"]: i64 = 30, Works;
    /// Preference of TCP among NAPTR records.
    dns_tcp_pref ["dns_tcp_preference"]: i64 = 20, Works;
    /// Preference of TLS among NAPTR records.
    dns_tls_pref ["dns_tls_preference"]: i64 = 10, Works;
    /// Preference of SCTP among NAPTR records.
    dns_sctp_pref ["dns_sctp_preference"]: i64 = 20, SCTP;
    /// Chooses among SRV records of one priority by weight.
    dns_srv_lb ["dns_srv_loadbalancing"]: bool = false, Works;
    /// Seconds before a question is asked again, -1 leaves the system's.
    dns_retr_time: i64 = -1, in FROM_MINUS_1, Works;
    /// Times that a question is asked again, -1 leaves the system's.
    dns_retr_no: i64 = -1, in FROM_MINUS_1, Works;
    /// How many servers of `resolv.conf` are asked, -1 means all.
    dns_servers_no: i64 = -1, in FROM_MINUS_1, Works;
    /// Tries the search list of `resolv.conf`.
    dns_use_search_list: bool = true, Works;
    /// Checks that an answer found through the search list is of a domain in it.
    dns_search_full_match: bool = true, NotHere("an answer is only taken for the name that was asked");
    /// Milliseconds after which a look-up counts as slow, 0 is off.
    dns_slow_query_ms: i64 = 0, in FROM_0, Works;
    /// Keeps answers of DNS.
    use_dns_cache ["dns_use_cache"]: bool = true, Works;
    /// Tries the next address where one fails.
    use_dns_failover ["dns_use_failover"]: bool = false, NotHere("the next address is always tried where sending to one fails at once");
    /// Makes the cache at start.
    dns_cache_init: bool = true, NotHere("the cache costs nothing while it is empty");
    /// Addresses that are asked for: 1 IPv4 only, 2 IPv6 only, 4 IPv6 first; a sum.
    dns_cache_flags: i64 = 0, in 0..=7, Works;
    /// Seconds that an answer is kept at least.
    dns_cache_min_ttl: i64 = 0, in FROM_0, Works;
    /// Seconds that an answer is kept at most, -1 is no limit.
    dns_cache_max_ttl: i64 = -1, in FROM_MINUS_1, Works;
    /// Seconds that a failure is kept, 0 is not at all.
    dns_cache_negative_ttl: i64 = 60, in FROM_0, Works;
    /// Kilobytes that the cache may take.
    dns_cache_mem: i64 = 500, in FROM_0, Works;
    /// Seconds between sweeps of old answers.
    dns_cache_gc_interval: i64 = 120, in FROM_0, Works;
    /// Makes room for new answers by dropping some that are still good.
    dns_cache_del_nonexp ["dns_cache_delete_nonexpired"]: bool = false, Works;
    /// Which of two answers to one question is kept: 0 either, 1 the old, 2 the new, 3 the one that lasts longer.
    dns_cache_rec_pref: i64 = 0, in 0..=3, NotHere("the newest answer is always kept");

    // Destinations that fail
    /// Remembers destinations that fail, and avoids them.
    use_dst_blocklist: bool = false, Works;
    /// Makes the list at start.
    dst_blocklist_init: bool = true, NotHere("the list costs nothing while it is empty");
    /// Seconds that a destination is avoided.
    dst_blocklist_expire ["dst_blocklist_ttl"]: i64 = 60, in FROM_0, Works;
    /// Seconds between sweeps of old entries.
    dst_blocklist_gc_interval: i64 = 60, in FROM_0, NotHere("entries count no longer once they expire, and leave when the list is full");
    /// Kilobytes that the list may take.
    dst_blocklist_mem: i64 = 250, in FROM_0, Works;
    /// Reasons that do not count over UDP, a sum of bits.
    dst_blocklist_udp_imask: i64 = 0, in FROM_0, Works;
    /// Reasons that do not count over TCP, a sum of bits.
    dst_blocklist_tcp_imask: i64 = 0, in FROM_0, Works;
    /// Reasons that do not count over TLS, a sum of bits.
    dst_blocklist_tls_imask: i64 = 0, in FROM_0, Works;
    /// Reasons that do not count over SCTP, a sum of bits.
    dst_blocklist_sctp_imask: i64 = 0, in FROM_0, SCTP;

    // Log
    /// Lines up to this level are written, from -5 (ALERT) to 3 (DEBUG).
    debug: i64 = 0, Works;
    /// Writes log lines to standard error instead of syslog.
    log_stderror: bool = false, Works;
    /// Facility of syslog.
    log_facility: Facility = Facility::DAEMON, Works;
    /// Tag of syslog lines, in place of the program's name.
    log_name: Option<Str> = None, Works;
    /// Text with variables in front of each line that is written while a message is handled.
    log_prefix: Option<Str> = None, Works;
    /// The prefix is worked out once a message (0) or for each line (1).
    log_prefix_mode: i64 = 0, in 0..=1, Works;
    /// Colours the lines on standard error.
    log_color: bool = false, Works;
    /// Form of log lines: `json` for JSON objects, else Kamailio's plain lines.
    log_engine_type: Option<Str> = None, Works;
    /// Letters that shape JSON lines: `a`, `A`, `j`, `M`, `N`, `p` and `U`, as in Kamailio.
    log_engine_data: Option<Str> = None, Works;
    /// Level of lines about what peers do wrong: messages and replies that cannot be handled.
    corelog ["core_log"]: i64 = -1, Works;
    /// Level of lines about messages that cannot be read.
    sip_parser_log: i64 = 0, Works;
    /// Such a message is shown in one line.
    sip_parser_log_oneline: i64 = 0, in 0..=1, Works;
    /// Level of lines about how long the script took for a message.
    latency_cfg_log: i64 = 3, Works;
    /// Level of lines about actions and database operations beyond their limit.
    latency_log: i64 = -1, Works;
    /// Microseconds that one action of the script may take, 0 is no limit.
    latency_limit_action: i64 = 0, in FROM_0, Works;
    /// Microseconds from which on the script's time is logged, 0: always.
    latency_limit_cfg: i64 = 0, in FROM_0, Works;
    /// Microseconds that a database operation may take, 0 is no limit.
    latency_limit_db: i64 = 0, in FROM_0, Later("databases");
    /// Shows the compiled routes and buffer sizes at start.
    verbose_startup: bool = false, NotHere("kahea check shows what a configuration means");

    // Memory
    /// Megabytes of memory.
    shm ["shm_mem", "shm_mem_size"]: i64 = 64, in FROM_1, NO_POOL;
    /// Takes all memory at start.
    shm_force_alloc: bool = false, NO_POOL;
    /// Keeps the process out of the swap.
    mlock_pages: bool = false, NO_POOL;
    /// Level of lines about each allocation.
    memdbg ["mem_dbg"]: i64 = 4, NO_POOL;
    /// Level of lines about memory in use at the end.
    memlog ["mem_log"]: i64 = 4, NO_POOL;
    /// Bytes added to each allocation.
    mem_add_size: i64 = 0, in FROM_0, NO_POOL;
    /// Joins free blocks.
    mem_join: i64 = 1, in FROM_0, NO_POOL;
    /// Goes on after a block was freed twice.
    mem_safety: i64 = 1, in FROM_0, NO_POOL;
    /// What a dump shows: 0 free blocks, 1 used ones too.
    mem_status_mode: i64 = 0, in FROM_0, NO_POOL;
    /// What is shown of memory at the end, a sum of bits.
    mem_summary: i64 = 12, in FROM_0, NO_POOL;
    /// Bytes of the buffer for texts with variables.
    pv_buffer_size: i64 = 8192, in FROM_1, NotHere("texts take the room they need");
    /// Buffers for texts with variables.
    pv_buffer_slots: i64 = 10, in FROM_1, NotHere("texts take the room they need");
    /// Names of variables kept by each process before a warning.
    pv_cache_limit: i64 = 2048, in FROM_0, NotHere("variables are prepared at load, nothing is cached by name");
    /// What happens beyond `pv_cache_limit`.
    pv_cache_action: i64 = 0, in FROM_0, NotHere("variables are prepared at load, nothing is cached by name");
    /// Bytes added to a message that a transaction keeps.
    msg_clone_extra_size: i64 = 0, in FROM_0, NO_COPY;
    /// Bytes of the buffer for database queries.
    sql_buffer_size: i64 = 65_535, in FROM_1, NotHere("queries take the room they need");

    // Limits of messages and scripts
    /// Longest message in bytes.
    msg_recv_max_size: i64 = 32_767, in FROM_1, Works;
    /// Most branches of a request.
    max_branches: i64 = 12, in 1..=30, Works;
    /// Deepest nesting of routes.
    max_recursive_level: i64 = 256, in FROM_1, Works;
    /// Rounds of a `while`, 0 is no limit but that of the message.
    max_while_loops: i64 = 100, in FROM_0, Works;
    /// Seconds between two runs of a reload command.
    rpc_exec_delta: i64 = 0, in FROM_0, Later("limits of RPC commands");
    /// Locks for RPC commands.
    rpc_exec_locks: i64 = 0, in FROM_0, NotHere("commands take the locks of what they touch");
    /// How locks for RPC commands are taken.
    rpc_exec_locks_mode: i64 = 0, in FROM_0, NotHere("commands take the locks of what they touch");
    /// Locks that keep messages of one call in order.
    route_locks_size: i64 = 0, in FROM_0, NotHere("messages of one call are handled in the order they came");

    // What is written into messages
    /// Adds `rport` to the Via of every request received, as `force_rport()` does.
    force_rport ["add_rport"]: bool = false, Works;
    /// Adds `rport` to the own Via, as `add_local_rport()` does.
    local_rport: bool = false, Works;
    /// Replies made here go to the address in Via instead of where the request came from.
    reply_to_via: bool = false, Works;
    /// The whole Server header of replies made here, name included.
    server_header: Option<Str> = None, Works;
    /// Adds a Server header to replies made here.
    server_signature: bool = true, Works;
    /// The whole User-Agent header of requests made here, name included.
    user_agent_header: Option<Str> = None, Later("requests made by this server");
    /// Number of this server among its like.
    server_id: i64 = 0, Works;
    /// Adds a Warning header with details to replies made here.
    sip_warning: bool = false, Works;
    /// XAVP whose fields become parameters of the own Via.
    xavp_via_params: Option<Str> = None, Works;
    /// XAVP whose fields `address` and `port` become those of the own Via.
    xavp_via_fields: Option<Str> = None, Works;
    /// XAVP whose fields become parameters of the first Via of replies.
    xavp_via_reply_params: Option<Str> = None, Works;

    // How messages are read and routed
    /// Drops replies whose first Via is not of this server.
    check_via: bool = false, Works;
    /// Refuses requests with repeated or unreadable From, To, Call-ID or CSeq (1), or leaves them to the script (0).
    sip_parser_mode: i64 = 1, in 0..=1, Works;
    /// Characters allowed in the host of a URI besides those of the grammar.
    uri_host_extra_chars: Str = Str::EMPTY, Later("further characters in hosts and header names");
    /// Characters allowed in header names besides those of the grammar.
    hdr_name_extra_chars: Str = Str::EMPTY, Later("further characters in hosts and header names");
    /// Takes a `sip:` URI with `user=phone` for a telephone number: `$rU` and its like are the number without its parameters.
    phone2tel: bool = true, Works;
    /// Lets replies of HTTP through as if they were of SIP.
    http_reply_hack ["http_reply_parse"]: bool = false, Later("HTTP over the SIP port");
    /// Notes the time at which each message was received.
    msg_time: i64 = 1, in 0..=1, NotHere("the time is always noted");
    /// Applies changes of the message before its transaction is made.
    msg_apply_changes_mode: bool = false, Later("the tm module");
    /// Runs `onsend_route` for replies too.
    onsend_route_reply: i64 = 0, in 0..=1, Works;
    /// Runs `event_route[core:msg-received]`: 0 never, 1 for whole messages, 2 for bare data, 3 for both.
    received_route_mode: i64 = 0, in 0..=3, Works;
    /// Negative values of a route are false (0), or as true as any other but 0 (1).
    return_mode: i64 = 0, in 0..=1, Works;

    // Process
    /// Processes for each UDP listener.
    children: i64 = 8, in FROM_1, ONE_PROCESS;
    /// Leaves the terminal and runs in the background.
    fork: bool = true, Works;
    /// Microseconds between starts of processes.
    fork_delay: i64 = 0, in FROM_0, ONE_PROCESS;
    /// Microseconds after the start of each module.
    modinit_delay: i64 = 0, in FROM_0, NotHere("modules open connections as they need them");
    /// Waits for the first worker before the others start.
    wait_worker1_mode: i64 = 0, in FROM_0, ONE_PROCESS;
    /// Microseconds to wait for the first worker.
    wait_worker1_time: i64 = 4_000_000, in FROM_0, ONE_PROCESS;
    /// Microseconds between looks at the first worker.
    wait_worker1_usleep: i64 = 100_000, in FROM_0, ONE_PROCESS;
    /// Root directory of the server.
    chroot: Option<Str> = None, Works;
    /// User that the server runs as once its sockets are open, a name or a number.
    user ["uid"]: Option<Str> = None, fn set_user, Works;
    /// Group that the server runs as once its sockets are open, a name or a number.
    group ["gid"]: Option<Str> = None, fn set_group, Works;
    /// Directory of sockets and pipes for commands.
    rundir ["run_dir"]: Str = Str::from_static("/run/kamailio"), Works;
    /// Working directory.
    workdir ["wdir"]: Option<Str> = None, Works;
    /// Writes no core file after a crash.
    disable_core_dump: bool = false, Works;
    /// Most open files, where the system's limit is lower; -1 leaves it.
    open_files_limit: i64 = -1, in FROM_MINUS_1, Works;
    /// Seconds that the end may take, 0 is no limit.
    exit_timeout ["ser_kill_timeout"]: i64 = 60, in FROM_0, Works;
    /// Processes with a real-time priority, a sum of bits.
    real_time: i64 = 0, in 0..=7, SCHEDULING;
    /// Scheduling policy of all but the timers.
    rt_policy: i64 = 0, in 0..=3, SCHEDULING;
    /// Priority of all but the timers.
    rt_prio: i64 = 0, in FROM_0, SCHEDULING;
    /// Scheduling policy of the fast timer.
    rt_timer1_policy ["rt_ftimer_policy"]: i64 = 0, in 0..=3, SCHEDULING;
    /// Priority of the fast timer.
    rt_timer1_prio ["rt_fast_timer_prio", "rt_ftimer_prio"]: i64 = 0, in FROM_0, SCHEDULING;
    /// Scheduling policy of the slow timer.
    rt_timer2_policy ["rt_stimer_policy"]: i64 = 0, in 0..=3, SCHEDULING;
    /// Priority of the slow timer.
    rt_timer2_prio ["rt_stimer_prio"]: i64 = 0, in FROM_0, SCHEDULING;

    // Tasks, statistics, database
    /// Tasks may be given to the group `default`; above 0 the number has no meaning, every worker takes tasks.
    async_workers: i64 = 0, in FROM_0, Works;
    /// A further group of workers for tasks, `name=x;workers=4`; every worker is in it, whatever the number.
    async_workers_group: Vec<AsyncGroup> = Vec::new(), fn add_async_group, Works;
    /// The socket of the group does not block.
    async_nonblock: i64 = 0, in 0..=1, ONE_PROCESS;
    /// Microseconds between tasks of the group.
    async_usleep: i64 = 0, in FROM_0, ONE_PROCESS;
    /// Event route that runs for events of type, key and value.
    async_tkv_evcb: Str = Str::EMPTY, Works;
    /// Group of workers that runs it.
    async_tkv_gname: Str = Str::EMPTY, Works;
    /// Character between the parts of a statistic's name.
    stats_name_separator: Str = Str::from_static("_"), fn set_separator, Later("statistics of single location tables");
    /// Table of the versions of other tables.
    version_table: Str = Str::from_static("version"), Later("databases");

    // Set as coreparam[…]
    /// Source of random numbers that guard nothing, `rand` or `fast`.
    random_engine as "coreparam[random_engine]": Option<Str> = None, NotHere("there is one, and secrets never come from it");
    /// Checks the list of timers.
    timer_sanity_check as "coreparam[timer_sanity_check]": i64 = 0, in 0..=1, NotHere("the list of timers cannot be broken");
    /// Text at the head of unique identifiers.
    iuid as "coreparam[iuid]": Option<Str> = None, Later("identifiers that modules make");

    // Names of functions in scripts of embedded languages
    /// Function in place of `request_route`.
    kemi_request_route_callback as "kemi.request_route_callback": Str = Str::from_static("ksr_request_route"), KEMI;
    /// Function in place of `reply_route`.
    kemi_reply_route_callback as "kemi.reply_route_callback": Str = Str::from_static("ksr_reply_route"), KEMI;
    /// Function in place of `onsend_route`.
    kemi_onsend_route_callback as "kemi.onsend_route_callback": Str = Str::from_static("ksr_onsend_route"), KEMI;
    /// Function in place of `event_route[core:msg-received]`.
    kemi_received_route_callback as "kemi.received_route_callback": Str = Str::from_static("none"), KEMI;
    /// Function in place of `event_route[core:pre-routing]`.
    kemi_pre_routing_callback as "kemi.pre_routing_callback": Str = Str::from_static("none"), KEMI;
    /// Function in place of event routes that modules name no function for.
    kemi_event_route_callback as "kemi.event_route_callback": Str = Str::from_static("none"), KEMI;

    // SCTP; -1 leaves the system's choice
    /// Listens on SCTP: 0 no, 1 yes, 2 where the system can.
    enable_sctp: i64 = 2, in 0..=2, SCTP;
    /// Processes for each SCTP listener.
    sctp_children: Option<i64> = None, in FROM_0, ONE_PROCESS;
    /// Bytes of the receive buffer.
    sctp_socket_rcvbuf ["sctp_socket_receive_buffer"]: i64 = 0, in FROM_0, SCTP;
    /// Bytes of the send buffer.
    sctp_socket_sndbuf ["sctp_socket_send_buffer"]: i64 = 0, in FROM_0, SCTP;
    /// Seconds after which an idle association is closed.
    sctp_autoclose: i64 = 180, in FROM_0, SCTP;
    /// Milliseconds after which an unsent message is dropped.
    sctp_send_ttl: i64 = 32_000, in FROM_0, SCTP;
    /// Times that a message is sent again over a new association.
    sctp_send_retries: i64 = 0, in FROM_0, SCTP;
    /// Keeps track of associations.
    sctp_assoc_tracking: bool = true, SCTP;
    /// Replies go back over the association of the request.
    sctp_assoc_reuse: bool = true, SCTP;
    /// Most associations.
    sctp_max_assocs: i64 = -1, in FROM_MINUS_1, SCTP;
    /// First timeout of a retransmission in milliseconds.
    sctp_srto_initial: i64 = 0, in FROM_0, SCTP;
    /// Longest timeout of a retransmission in milliseconds.
    sctp_srto_max: i64 = 0, in FROM_0, SCTP;
    /// Shortest timeout of a retransmission in milliseconds.
    sctp_srto_min: i64 = 0, in FROM_0, SCTP;
    /// Retransmissions before an association is given up.
    sctp_asocmaxrxt: i64 = 0, in FROM_0, SCTP;
    /// Retransmissions of INIT.
    sctp_init_max_attempts: i64 = 0, in FROM_0, SCTP;
    /// Longest timeout of an INIT in milliseconds.
    sctp_init_max_timeo: i64 = 0, in FROM_0, SCTP;
    /// Milliseconds between heartbeats, -1 is none.
    sctp_hbinterval: i64 = 0, in FROM_MINUS_1, SCTP;
    /// Retransmissions before a path is given up.
    sctp_pathmaxrxt: i64 = 0, in FROM_0, SCTP;
    /// Milliseconds before packets are acknowledged.
    sctp_sack_delay: i64 = 0, in FROM_0, SCTP;
    /// Packets before they are acknowledged.
    sctp_sack_freq: i64 = 0, in FROM_0, SCTP;
    /// Most packets in one burst.
    sctp_max_burst: i64 = 0, in FROM_0, SCTP;

    extra
    GlobalDecl {
        name: "enable_tls",
        aliases: &["tls_enable"],
        kind: GlobalKind::Bool,
        doc: "Listens and connects over TLS; the opposite of `disable_tls`.",
        effect: Later("TLS"),
        set: |globals, value| yes_or_no(&value).map(|yes| globals.disable_tls = !yes),
        get: |globals| Value::Int(i64::from(!globals.disable_tls)),
    },
    GlobalDecl {
        name: "disable_sctp",
        aliases: &[],
        kind: GlobalKind::Bool,
        doc: "Neither listens nor connects over SCTP; the opposite of `enable_sctp`.",
        effect: SCTP,
        set: |globals, value| yes_or_no(&value).map(|yes| globals.enable_sctp = i64::from(!yes)),
        get: |globals| Value::Int(i64::from(globals.enable_sctp == 0)),
    },
}
