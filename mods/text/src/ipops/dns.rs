//! DNS questions: answered at once from the cache, else the message waits.

use std::{cmp::Reverse, net::IpAddr};

use kahea_module::{Cx, DnsRecord, DnsType, Fault, Ret, Str};

use super::{
    IpOps, address,
    records::{Answers, Naptr, Srv},
};

type Answer = Result<Vec<DnsRecord>, Fault>;

/// Asks, and goes on with the answers in the order of the questions.
fn ask(
    cx: &mut Cx,
    questions: Vec<(Str, DnsType)>,
    then: impl FnOnce(&mut Cx, Vec<Answer>) -> Ret + 'static,
) -> Ret {
    let known: Option<Vec<Answer>> = questions
        .iter()
        .map(|(name, kind)| cx.worker.net.lookup_now(name, *kind))
        .collect();
    match known {
        Some(answers) => then(cx, answers),
        None => Ret::wait(move |cx| {
            Box::pin(async move {
                let mut answers = Vec::with_capacity(questions.len());
                for (name, kind) in questions {
                    let net = cx.worker.net.clone();
                    answers.push(net.lookup(name, kind).await);
                }
                then(cx, answers)
            })
        }),
    }
}

/// The addresses of a host, IPv4 first; at once where the host is an address.
fn addresses(cx: &mut Cx, host: &Str, then: impl FnOnce(&mut Cx, Vec<IpAddr>) -> Ret + 'static) -> Ret {
    if let Some(ip) = address::any(host) {
        return then(cx, vec![ip]);
    }
    let host = host.detach();
    let questions = vec![(host.clone(), DnsType::A), (host, DnsType::Aaaa)];
    ask(cx, questions, move |cx, answers| {
        let records = answers.into_iter().flatten().flatten();
        let ips = records.filter_map(|record| match record {
            DnsRecord::Address(ip) => Some(ip),
            _ => None,
        });
        let ips = ips.collect();
        then(cx, ips)
    })
}

pub(super) fn matches(_: &IpOps, cx: &mut Cx, host: Str, ip: Str) -> Ret {
    let Some(wanted) = address::any(&ip) else {
        return Ret::Code(-3);
    };
    addresses(cx, &host, move |_, ips| {
        Ret::Code(match ips {
            ips if ips.is_empty() => -4,
            ips if ips.contains(&wanted) => 1,
            _ => -1,
        })
    })
}

pub(super) fn query(_: &IpOps, cx: &mut Cx, host: Str, id: Str) -> Ret {
    let id = id.detach();
    addresses(cx, &host, move |cx, ips| {
        let code = if ips.is_empty() { -4 } else { 1 };
        Answers::of(cx).addresses.keep(id, ips);
        Ret::Code(code)
    })
}

pub(super) fn srv(_: &IpOps, cx: &mut Cx, name: Str, id: Str) -> Ret {
    let id = id.detach();
    ask(cx, vec![(name.detach(), DnsType::Srv)], move |cx, answers| {
        let records = answers.into_iter().flatten().flatten();
        let found = records.filter_map(|record| match record {
            DnsRecord::Srv {
                priority,
                weight,
                port,
                target,
            } => Some(Srv {
                priority,
                weight,
                port,
                target,
            }),
            _ => None,
        });
        let found = in_turn(found.collect(), || cx.worker.random());
        Answers::of(cx).srv.keep(id, found);
        Ret::TRUE
    })
}

/// By priority; among equals each is drawn with the chance that its weight gives it (RFC 2782).
fn in_turn(mut left: Vec<Srv>, random: impl Fn() -> u64) -> Vec<Srv> {
    left.sort_by_key(|srv| (Reverse(srv.priority), srv.weight));
    let mut out = Vec::with_capacity(left.len());
    while let Some(priority) = left.last().map(|srv| srv.priority) {
        let first = left.iter().position(|srv| srv.priority == priority).unwrap_or(0);
        let group = left.iter().skip(first);
        let total: u64 = group.clone().map(|srv| u64::from(srv.weight)).sum();
        let drawn = random().checked_rem(total.saturating_add(1)).unwrap_or(0);
        let mut sum = 0u64;
        let at = group.into_iter().position(|srv| {
            sum = sum.saturating_add(srv.weight.into());
            sum >= drawn
        });
        out.push(left.remove(first.saturating_add(at.unwrap_or(0))));
    }
    out
}

pub(super) fn naptr(_: &IpOps, cx: &mut Cx, domain: Str, id: Str) -> Ret {
    let id = id.detach();
    ask(cx, vec![(domain.detach(), DnsType::Naptr)], move |cx, answers| {
        let records = answers.into_iter().flatten().flatten();
        let mut found: Vec<Naptr> = records.filter_map(naptr_of).collect();
        found.sort_by_key(|naptr| (naptr.order, naptr.preference));
        Answers::of(cx).naptr.keep(id, found);
        Ret::TRUE
    })
}

fn naptr_of(record: DnsRecord) -> Option<Naptr> {
    match record {
        DnsRecord::Naptr {
            order,
            preference,
            flags,
            services,
            regexp,
            replacement,
        } => Some(Naptr {
            order,
            preference,
            flags,
            services,
            regexp,
            replacement,
        }),
        _ => None,
    }
}

pub(super) fn ptr(_: &IpOps, cx: &mut Cx, ip: Str, id: Str) -> Ret {
    let id = id.detach();
    let Some(ip) = address::any(&ip) else {
        Answers::of(cx).names.keep(id, Vec::new());
        return Ret::FALSE;
    };
    ask(cx, vec![(reverse(ip), DnsType::Ptr)], move |cx, answers| {
        let records = answers.into_iter().flatten().flatten();
        let names: Vec<Str> = records
            .filter_map(|record| match record {
                DnsRecord::Name(name) => Some(name),
                _ => None,
            })
            .collect();
        let found = !names.is_empty();
        Answers::of(cx).names.keep(id, names);
        found.into()
    })
}

/// The name under which DNS keeps the name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(ip: IpAddr) -> Str {
    let mut out = String::new();
    match ip {
        IpAddr::V4(ip) => {
            for octet in ip.octets().iter().rev() {
                out.push_str(&format!("{octet}."));
            }
            out.push_str("in-addr.arpa");
        }
        IpAddr::V6(ip) => {
            for octet in ip.octets().iter().rev() {
                out.push_str(&format!("{:x}.{:x}.", octet & 15, octet >> 4));
            }
            out.push_str("ip6.arpa");
        }
    }
    Str::from(out)
}

pub(super) fn set_local_ttl(_: &IpOps, _: &mut Cx, seconds: i64) -> bool {
    seconds >= 0
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Index, Value,
        testing::{FakeBind, Server},
    };

    use super::{
        super::{records, tests::started},
        *,
    };

    fn code(ret: Ret) -> i64 {
        match ret {
            Ret::Code(code) => code,
            other => panic!("{other:?}"),
        }
    }

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    #[test]
    fn addresses_are_kept_and_compared() {
        let server = Server::default();
        let v4 = DnsRecord::Address("192.0.2.1".parse().unwrap());
        let v6 = DnsRecord::Address("2001:db8::1".parse().unwrap());
        server
            .net
            .records
            .borrow_mut()
            .insert((text("h.example"), DnsType::A), vec![v4]);
        server
            .net
            .records
            .borrow_mut()
            .insert((text("h.example"), DnsType::Aaaa), vec![v6]);
        let (m, cx) = (&started(), &mut server.invite());
        assert_eq!(code(query(m, cx, text("h.example"), text("x"))), 1);
        let show = |cx: &mut Cx, name: &str| {
            let part = records::parse_addresses(name, &FakeBind::default()).unwrap();
            records::address(&started(), cx, &part, Index::None)
        };
        assert_eq!(
            (show(cx, "x=>count"), show(cx, "x=>ipv4"), show(cx, "x=>ipv6")),
            (2.into(), 1.into(), 1.into())
        );
        assert_eq!(
            (show(cx, "x=>addr"), show(cx, "x=>type[1]")),
            ("192.0.2.1".into(), 6.into())
        );
        assert_eq!(
            (show(cx, "x=>addr[-1]"), show(cx, "x=>addr[2]")),
            ("2001:db8::1".into(), Value::Null)
        );
        assert!(show(cx, "y=>count").is_null());
        for (host, ip, wanted) in [
            ("h.example", "192.0.2.1", 1),
            ("h.example", "[2001:db8::1]", 1),
            ("h.example", "192.0.2.2", -1),
            ("nowhere.invalid", "192.0.2.1", -4),
            ("h.example", "junk", -3),
            ("::1", "127.0.0.1", -1),
        ] {
            assert_eq!(code(matches(m, cx, text(host), text(ip))), wanted, "{host} {ip}");
        }
        assert_eq!(code(query(m, cx, text("nowhere.invalid"), text("x"))), -4);
        assert!(show(cx, "x=>count").is_null() && set_local_ttl(m, cx, 5) && !set_local_ttl(m, cx, -1));
    }

    #[test]
    fn names_of_addresses() {
        let server = Server::default();
        let name = "1.2.0.192.in-addr.arpa";
        let answer = vec![DnsRecord::Name(text("h.example"))];
        server
            .net
            .records
            .borrow_mut()
            .insert((text(name), DnsType::Ptr), answer);
        let (m, cx) = (&started(), &mut server.invite());
        assert_eq!(code(ptr(m, cx, text("192.0.2.1"), text("p"))), 1);
        let part = records::parse_ptr("p=>hostname", &FakeBind::default()).unwrap();
        assert_eq!(records::ptr(m, cx, &part, Index::None), "h.example".into());
        assert_eq!(code(ptr(m, cx, text("192.0.2.2"), text("p"))), -1);
        assert!(records::ptr(m, cx, &part, Index::None).is_null());
        assert_eq!(code(ptr(m, cx, text("junk"), text("p"))), -1);
        let long = reverse("2001:db8::1".parse().unwrap());
        assert!(long.starts_with(b"1.0.0.0.") && long.ends_with(b".8.b.d.0.1.0.0.2.ip6.arpa"));
    }

    #[test]
    fn services_come_in_their_turn() {
        let srv = |priority, weight, port| Srv {
            priority,
            weight,
            port,
            target: Str::EMPTY,
        };
        let all = || vec![srv(20, 0, 1), srv(10, 0, 2), srv(10, 90, 3)];
        let ports = |random: u64| {
            in_turn(all(), || random)
                .iter()
                .map(|srv| srv.port)
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(0), [2, 3, 1]);
        assert_eq!(ports(50), [3, 2, 1]);
    }

    #[test]
    fn services_are_kept() {
        let server = Server::default();
        let record = DnsRecord::Srv {
            priority: 1,
            weight: 2,
            port: 5060,
            target: text("a.example"),
        };
        server
            .net
            .records
            .borrow_mut()
            .insert((text("_sip._udp.x"), DnsType::Srv), vec![record]);
        let naptr_record = DnsRecord::Naptr {
            order: 7,
            preference: 8,
            flags: text("S"),
            services: text("SIP+D2U"),
            regexp: Str::EMPTY,
            replacement: text("_sip._udp.x"),
        };
        server
            .net
            .records
            .borrow_mut()
            .insert((text("x"), DnsType::Naptr), vec![naptr_record]);
        let (m, cx) = (&started(), &mut server.invite());
        assert_eq!(
            (
                code(srv(m, cx, text("_sip._udp.x"), text("s"))),
                code(naptr(m, cx, text("x"), text("n")))
            ),
            (1, 1)
        );
        for (name, wanted) in [
            ("s=>count", Value::Int(1)),
            ("s=>port[0]", 5060.into()),
            ("s=>target", "a.example".into()),
            ("s=>weight[1]", Value::Null),
        ] {
            let part = records::parse_srv(name, &FakeBind::default()).unwrap();
            assert_eq!(records::srv(m, cx, &part, Index::None), wanted, "{name}");
        }
        for (name, wanted) in [
            ("n=>order", Value::Int(7)),
            ("n=>pref[0]", 8.into()),
            ("n=>services[0]", "SIP+D2U".into()),
            ("n=>replace[0]", "_sip._udp.x".into()),
            ("n=>regex[0]", Value::EMPTY),
        ] {
            let part = records::parse_naptr(name, &FakeBind::default()).unwrap();
            assert_eq!(records::naptr(m, cx, &part, Index::None), wanted, "{name}");
        }
        assert_eq!(code(srv(m, cx, text("_none._udp.x"), text("s"))), 1);
        let part = records::parse_srv("s=>count", &FakeBind::default()).unwrap();
        assert_eq!(records::srv(m, cx, &part, Index::None), 0.into());
    }
}
