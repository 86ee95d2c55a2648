//! `ipops`: tests of IP addresses, and DNS questions of the script.

mod address;
mod detail;
mod dns;
mod host;
mod records;
mod subnet;

use kahea_module::{Decl, FuncRow, InitError, Module, Named, Naming, registry::Env};

/// The module, started.
pub struct IpOps {
    host: host::Host,
}

impl Module for IpOps {
    const NAME: &'static str = "ipops";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        declare_tests(d);
        declare_details(d);
        declare_comparisons(d);
        declare_matches(d);
        declare_queries(d);
        declare_vars(d);
    }

    fn init((): (), env: &mut Env<'_>) -> Result<Self, InitError> {
        Ok(IpOps {
            host: host::Host::read(env.read_file),
        })
    }
}

fn declare_tests(d: &mut Decl<IpOps>) {
    d.func(
        "is_ip",
        ["ip"],
        address::is_ip,
        "An IPv4 or IPv6 address, the latter with or without brackets.",
    )
    .kemi(1, "is_ip")
    .example("if (is_ip(\"192.0.2.1\")) { xlog(\"an address\\n\"); }");
    d.func(
        "is_pure_ip",
        ["ip"],
        address::is_pure_ip,
        "An IPv4 or IPv6 address without brackets.",
    )
    .kemi(1, "is_pure_ip");
    d.func("is_ipv4", ["ip"], address::is_ipv4, "An IPv4 address.")
        .kemi(1, "is_ip4");
    d.func(
        "is_ipv6",
        ["ip"],
        address::is_ipv6,
        "An IPv6 address without brackets.",
    )
    .kemi(1, "is_ip6");
    d.func(
        "is_ipv6_reference",
        ["ip"],
        address::is_ipv6_reference,
        "An IPv6 address in brackets.",
    )
    .kemi(1, "is_ip6_reference");
    d.func(
        "ip_type",
        ["ip"],
        address::ip_type,
        "1 IPv4, 2 IPv6, 3 IPv6 in brackets, -1 no address.",
    )
    .kemi(1, "ip_type");
    d.func(
        "is_ip_rfc1918",
        ["ip"],
        address::is_rfc1918,
        "A private IPv4 address of RFC 1918.",
    )
    .kemi(1, "is_ip_rfc1918");
}

fn declare_details(d: &mut Decl<IpOps>) {
    d.func(
        "detailed_ip_type",
        ["ip", "result"],
        detail::any,
        "Stores the kind of an address, such as PRIVATE, MULTICAST or LINK-LOCAL-UNICAST.",
    )
    .kemi(2, "detailed_ip_type");
    d.func(
        "detailed_ipv4_type",
        ["ip", "result"],
        detail::v4,
        "Stores the kind of an IPv4 address.",
    )
    .kemi(2, "detailed_ipv4_type");
    d.func(
        "detailed_ipv6_type",
        ["ip", "result"],
        detail::v6,
        "Stores the kind of an IPv6 address, with or without brackets.",
    )
    .kemi(2, "detailed_ipv6_type");
}

fn declare_comparisons(d: &mut Decl<IpOps>) {
    d.func(
        "compare_ips",
        ["ip1", "ip2"],
        address::compare,
        "The two are one address, brackets or not.",
    )
    .kemi(2, "compare_ips");
    d.func(
        "compare_pure_ips",
        ["ip1", "ip2"],
        address::compare_pure,
        "The two are one address, none of them in brackets.",
    )
    .kemi(2, "compare_pure_ips");
    d.func(
        "is_in_subnet",
        ["ip", "subnets"],
        subnet::is_in,
        "The address is in one of the subnets, `address/bits` or single addresses, separated by commas.",
    )
    .kemi(2, "is_in_subnet")
    .kemi(2, "ip_is_in_subnet")
    .example("if (is_in_subnet(\"10.0.123.123\", \"10.0.0.0/16,192.168.0.0/24\")) { xlog(\"ours\\n\"); }");
}

const ADDRESS_CODES: &str = "The host has the address by DNS: -1 it has others, -3 the address is none, -4 the host does \
                             not resolve. All its addresses are compared.";

fn declare_matches(d: &mut Decl<IpOps>) {
    d.func("dns_sys_match_ip", ["host", "ip"], dns::matches, ADDRESS_CODES)
        .kemi(2, "dns_sys_match_ip")
        .waits();
    d.func("dns_int_match_ip", ["host", "ip"], dns::matches, ADDRESS_CODES)
        .kemi(2, "dns_int_match_ip")
        .waits();
}

fn declare_queries(d: &mut Decl<IpOps>) {
    let waits = |row: FuncRow<'_>, name| {
        row.kemi(2, name).waits();
    };
    let row = d.func(
        "dns_query",
        ["host", "pvid"],
        dns::query,
        "Asks for the addresses of a host and keeps them for `$dns(pvid=>…)`; -4 where it does not resolve.",
    );
    waits(
        row.example("if (dns_query(\"example.com\", \"x\")) { xlog(\"it resolves\\n\"); }"),
        "dns_query",
    );
    let row = d.func(
        "srv_query",
        ["name", "pvid"],
        dns::srv,
        "Asks for SRV records and keeps them in the order of RFC 2782 for `$srvquery(pvid=>…)`.",
    );
    waits(row, "srv_query");
    let row = d.func(
        "naptr_query",
        ["domain", "pvid"],
        dns::naptr,
        "Asks for NAPTR records and keeps them by order and preference for `$naptrquery(pvid=>…)`.",
    );
    waits(row, "naptr_query");
    let row = d.func(
        "ptr_query",
        ["ip", "pvid"],
        dns::ptr,
        "Asks for the name of an address and keeps it for `$ptrquery(pvid=>hostname)`; -1 where it has none.",
    );
    waits(row, "ptr_query");
    d.func(
        "dns_set_local_ttl",
        ["seconds"],
        dns::set_local_ttl,
        "Accepted without effect: answers are kept as long as their own DNS records say, as with 0 in Kamailio; \
         false below 0.",
    )
    .kemi(1, "dns_set_local_ttl");
}

fn declare_vars(d: &mut Decl<IpOps>) {
    d.var_named(
        "dns",
        Naming::Required,
        Named {
            parse: records::parse_addresses,
            get: records::address,
            set: None,
            raw: false,
        },
        "The addresses of dns_query(): `id=>count`, `ipv4`, `ipv6` (1 where there is one), `addr[i]`, `type[i]` (4 or 6).",
    );
    d.var_named(
        "srvquery",
        Naming::Required,
        Named {
            parse: records::parse_srv,
            get: records::srv,
            set: None,
            raw: false,
        },
        "The records of srv_query(): `id=>count`, `port[i]`, `priority[i]`, `target[i]`, `weight[i]`.",
    );
    d.var_named(
        "naptrquery",
        Naming::Required,
        Named {
            parse: records::parse_naptr,
            get: records::naptr,
            set: None,
            raw: false,
        },
        "The records of naptr_query(): `id=>count`, `order[i]`, `pref[i]`, `flags[i]`, `services[i]`, `regex[i]`, `replace[i]`.",
    );
    d.var_named(
        "ptrquery",
        Naming::Required,
        Named {
            parse: records::parse_ptr,
            get: records::ptr,
            set: None,
            raw: false,
        },
        "The name that ptr_query() found: `id=>hostname`.",
    );
    d.var_named(
        "HN",
        Naming::Required,
        Named {
            parse: host::parse,
            get: host::get,
            set: None,
            raw: false,
        },
        "This machine: `n` its host name, `f` with its domain, `d` the domain, `i` its address by the hosts file.",
    );
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The module on a machine without a name.
    pub(crate) fn started() -> IpOps {
        IpOps {
            host: host::Host::default(),
        }
    }
}
