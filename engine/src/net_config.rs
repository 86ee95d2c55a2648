//! Global parameters to the configuration of the network layer.

use kahea_module::{
    Str,
    globals::{Globals, ListenHost, ListenSpec},
};
use kahea_net::{BlocklistConfig, DnsConfig, ListenAddress, NetConfig, TcpConfig};
use kahea_sip::Transport;

/// What the network layer is to do: every global parameter that governs sockets, connections and DNS.
pub fn net_config(globals: &Globals) -> NetConfig {
    NetConfig {
        listen: globals.listen.iter().map(|spec| listen(globals, spec)).collect(),
        port: number(globals.port),
        disable_tcp: globals.disable_tcp,
        advertised_address: text(globals.advertised_address.as_ref()),
        advertised_port: globals.advertised_port.and_then(number),
        auto_bind_ipv6: globals.auto_bind_ipv6,
        bind_ipv6_link_local: globals.bind_ipv6_link_local,
        mhomed: globals.mhomed,
        tos: globals.tos,
        pmtu_discovery: globals.pmtu_discovery != 0,
        ip_free_bind: globals.ip_free_bind,
        mcast: text(multicast_interface(globals)),
        mcast_loopback: globals.mcast_loopback,
        mcast_ttl: globals.mcast_ttl,
        maxbuffer: size(globals.maxbuffer),
        maxsndbuffer: size(globals.maxsndbuffer),
        msg_recv_max_size: size(globals.msg_recv_max_size),
        udp_mtu: size(globals.udp_mtu),
        udp_mtu_try_proto: globals.udp_mtu_try_proto.unwrap_or(Transport::None),
        udp4_raw: globals.udp4_raw,
        udp4_raw_mtu: globals.udp4_raw_mtu,
        udp4_raw_ttl: globals.udp4_raw_ttl,
        tcp: tcp(globals),
        dns: dns(globals),
        blocklist: blocklist(globals),
    }
}

/// `mcast` belongs to the `listen` line behind it; the network layer has one interface for all groups, the first named.
fn multicast_interface(globals: &Globals) -> Option<&Str> {
    let of_lines = globals.listen.iter().find_map(|spec| spec.mcast.as_ref());
    of_lines.or(globals.mcast.as_ref())
}

fn tcp(globals: &Globals) -> TcpConfig {
    TcpConfig {
        max_connections: size(globals.tcp_max_connections),
        connection_lifetime: globals.tcp_connection_lifetime,
        connect_timeout: globals.tcp_connect_timeout,
        send_timeout: globals.tcp_send_timeout,
        accept_aliases: globals.tcp_accept_aliases,
        keepalive: globals.tcp_keepalive,
        keepidle: globals.tcp_keepidle,
        keepintvl: globals.tcp_keepintvl,
        keepcnt: globals.tcp_keepcnt,
        crlf_ping: globals.tcp_crlf_ping,
        buf_write: globals.tcp_buf_write,
        conn_wq_max: size(globals.tcp_conn_wq_max),
        wq_max: size(globals.tcp_wq_max),
        wq_blk_size: size(globals.tcp_wq_blk_size),
        rd_buf_size: size(globals.tcp_rd_buf_size),
        no_connect: globals.tcp_no_connect,
        accept_no_cl: globals.tcp_accept_no_cl,
        accept_unique: globals.tcp_accept_unique != 0,
        accept_iplimit: size(globals.tcp_accept_iplimit),
        accept_hep3: globals.tcp_accept_hep3,
        accept_haproxy: globals.tcp_accept_haproxy,
        listen_backlog: i32::try_from(globals.tcp_listen_backlog).unwrap_or(i32::MAX),
        defer_accept: globals.tcp_defer_accept,
        delayed_ack: globals.tcp_delayed_ack,
        syncnt: globals.tcp_syncnt,
        linger2: globals.tcp_linger2,
        close_rst: globals.tcp_close_rst,
        reuse_port: globals.tcp_reuse_port,
        source_ipv4: globals.tcp_source_ipv4,
        source_ipv6: globals.tcp_source_ipv6,
        connection_match: globals.tcp_connection_match,
        msg_read_timeout: globals.tcp_msg_read_timeout,
        msg_data_timeout: globals.tcp_msg_data_timeout,
        check_timer: globals.tcp_check_timer,
        wait_data: globals.tcp_wait_data,
        fd_cache: globals.tcp_fd_cache,
        poll_method: text(globals.tcp_poll_method.as_ref()),
        clone_rcvbuf: globals.tcp_clone_rcvbuf,
        children: globals.tcp_children.and_then(|count| u32::try_from(count).ok()),
        main_threads: globals.tcp_main_threads,
        script_mode: globals.tcp_script_mode,
    }
}

fn dns(globals: &Globals) -> DnsConfig {
    DnsConfig {
        dns: globals.dns,
        rev_dns: globals.rev_dns,
        try_ipv6: globals.dns_try_ipv6,
        try_naptr: globals.dns_try_naptr,
        naptr_ignore_rfc: globals.dns_naptr_ignore_rfc,
        udp_pref: globals.dns_udp_pref,
        tcp_pref: globals.dns_tcp_pref,
        tls_pref: globals.dns_tls_pref,
        sctp_pref: globals.dns_sctp_pref,
        srv_lb: globals.dns_srv_lb,
        retr_time: stated(globals.dns_retr_time),
        retr_no: stated(globals.dns_retr_no),
        servers_no: stated(globals.dns_servers_no),
        use_search_list: globals.dns_use_search_list,
        search_full_match: globals.dns_search_full_match,
        slow_query_ms: globals.dns_slow_query_ms,
        use_dns_cache: globals.use_dns_cache,
        use_dns_failover: globals.use_dns_failover,
        cache_init: globals.dns_cache_init,
        cache_flags: globals.dns_cache_flags,
        cache_min_ttl: globals.dns_cache_min_ttl,
        cache_max_ttl: stated(globals.dns_cache_max_ttl).unwrap_or(i64::MAX),
        cache_negative_ttl: globals.dns_cache_negative_ttl,
        cache_mem: size(globals.dns_cache_mem),
        cache_gc_interval: globals.dns_cache_gc_interval,
        cache_del_nonexp: globals.dns_cache_del_nonexp,
        cache_rec_pref: globals.dns_cache_rec_pref,
    }
}

fn blocklist(globals: &Globals) -> BlocklistConfig {
    BlocklistConfig {
        use_dst_blocklist: globals.use_dst_blocklist,
        init: globals.dst_blocklist_init,
        expire: globals.dst_blocklist_expire,
        mem: size(globals.dst_blocklist_mem),
        gc_interval: globals.dst_blocklist_gc_interval,
        udp_imask: globals.dst_blocklist_udp_imask,
        tcp_imask: globals.dst_blocklist_tcp_imask,
        tls_imask: globals.dst_blocklist_tls_imask,
        sctp_imask: globals.dst_blocklist_sctp_imask,
    }
}

fn listen(globals: &Globals, spec: &ListenSpec) -> kahea_net::ListenSpec {
    let address = match &spec.host {
        ListenHost::Ip(ip) => ListenAddress::Ip(*ip),
        ListenHost::Name(name) => ListenAddress::Name(name.text().into_owned()),
        ListenHost::Any => ListenAddress::Any,
    };
    let transport = spec.transport.unwrap_or(Transport::None);
    let secure = matches!(transport, Transport::Tls | Transport::Wss);
    let port = spec
        .port
        .or_else(|| secure.then(|| number(globals.tls_port_no)).flatten());
    kahea_net::ListenSpec {
        transport,
        address,
        port,
        advertise: spec
            .advertise
            .as_ref()
            .map(|own| (own.host.text().into_owned(), own.port)),
        name: text(spec.name.as_ref()),
        r#virtual: spec.is_virtual,
        agname: text(spec.agname.as_ref()),
        workers: spec.workers.and_then(|count| u32::try_from(count).ok()),
        vrf: text(spec.vrf.as_ref()),
    }
}

fn text(text: Option<&Str>) -> Option<String> {
    text.map(|text| text.text().into_owned())
}

/// A size or count; "0 or less" is 0.
fn size(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn number(n: i64) -> Option<u16> {
    u16::try_from(n).ok()
}

/// `None` where -1 leaves the choice to the system.
fn stated(n: i64) -> Option<i64> {
    (n >= 0).then_some(n)
}

#[cfg(test)]
mod tests {
    use kahea_module::globals::{self, GlobalKind, GlobalValue};

    use super::*;

    /// A value that is not the default.
    fn other(name: &str, kind: GlobalKind, now: &kahea_module::Value) -> GlobalValue {
        let n = now.int().unwrap_or(0);
        match (name, kind) {
            ("tcp_source_ipv4", _) => GlobalValue::Ip([127, 0, 0, 9].into()),
            ("tcp_source_ipv6", _) => GlobalValue::Ip("::9".parse().unwrap()),
            ("udp_mtu_try_proto", _) => GlobalValue::Ident("tcp".into()),
            ("tcp_rd_buf_size" | "msg_recv_max_size" | "tcp_conn_wq_max", _) => GlobalValue::Int(n + 1),
            (_, GlobalKind::Bool) => GlobalValue::Int(i64::from(n == 0)),
            (_, GlobalKind::Str) => GlobalValue::Str("other".into()),
            (_, GlobalKind::Listen) => {
                let host = ListenHost::Ip([127, 0, 0, 1].into());
                GlobalValue::Listen(vec![ListenSpec::new(Some(Transport::Udp), host, Some(5070))])
            }
            _ => GlobalValue::Int(if n == 1 { 0 } else { 1 }),
        }
    }

    /// Parameters with these beginnings belong to the network, except for what others act on.
    fn governs_network(name: &str) -> bool {
        const ELSEWHERE: [&str; 2] = ["tcp_accept_protocols", "tcp_children"];
        const OTHERS: [&str; 22] = [
            "listen",
            "port",
            "disable_tcp",
            "advertised_address",
            "advertised_port",
            "auto_bind_ipv6",
            "bind_ipv6_link_local",
            "mhomed",
            "tos",
            "pmtu_discovery",
            "ip_free_bind",
            "mcast",
            "mcast_loopback",
            "mcast_ttl",
            "maxbuffer",
            "maxsndbuffer",
            "msg_recv_max_size",
            "rev_dns",
            "use_dns_cache",
            "use_dns_failover",
            "use_dst_blocklist",
            "dns",
        ];
        let family = ["tcp_", "dns_", "dst_blocklist_", "udp_mtu", "udp4_"];
        !ELSEWHERE.contains(&name)
            && (OTHERS.contains(&name) || family.iter().any(|prefix| name.starts_with(prefix)))
    }

    #[test]
    fn every_parameter_of_the_network_reaches_it() {
        let default = net_config(&Globals::default());
        let mut seen = 0;
        for row in globals::table().iter().filter(|row| governs_network(row.name)) {
            let mut changed = Globals::default();
            let value = other(row.name, row.kind, &row.value(&changed));
            row.set(&mut changed, value.clone())
                .unwrap_or_else(|error| panic!("{} = {value:?}: {}", row.name, error.message));
            assert_ne!(net_config(&changed), default, "{} is not mapped", row.name);
            seen += 1;
        }
        assert!(seen > 80, "{seen}");
    }

    #[test]
    fn defaults_of_both_sides_agree_but_for_what_the_script_language_states() {
        let mapped = net_config(&Globals::default());
        let own = NetConfig {
            port: mapped.port,
            maxsndbuffer: 262_144,
            udp4_raw_mtu: 1500,
            ..NetConfig::default()
        };
        assert_eq!(mapped, own);
        assert_eq!(mapped.port, Some(5060));
    }

    #[test]
    fn tls_listeners_have_a_port_of_their_own() {
        let mut globals = Globals {
            port: 5070,
            ..Globals::default()
        };
        let host = ListenHost::Any;
        globals
            .listen
            .push(ListenSpec::new(Some(Transport::Tls), host.clone(), None));
        globals
            .listen
            .push(ListenSpec::new(Some(Transport::Udp), host, None));
        let ports: Vec<_> = net_config(&globals).listen.iter().map(|spec| spec.port).collect();
        assert_eq!(ports, [Some(5061), None]);
    }
}
