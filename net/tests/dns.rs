//! DNS against a small server of our own on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::{
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{A, NAPTR, SRV, TXT},
    },
};
use kahea_net::{
    DnsConfig, NetStats,
    dns::{Query, RecordData, RecordKind, ResolveError, Resolver},
};
use kahea_sip::Transport;
use tokio::net::UdpSocket;

type Zone = Vec<(&'static str, RData)>;

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

/// Serves `zone`; names that begin with `silent` get no answer, others that are missing get NXDOMAIN.
async fn server(zone: Zone) -> Server {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let asked: Arc<Mutex<Vec<(String, RecordType)>>> = Arc::default();
    let log = asked.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(query) = Message::from_vec(&buffer[..length]) else {
                continue;
            };
            if let Some(answer) = answer(&query, &zone, &log) {
                let _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        }
    });
    Server { address, asked }
}

fn answer(query: &Message, zone: &Zone, log: &Mutex<Vec<(String, RecordType)>>) -> Option<Message> {
    let question = query.queries.first()?.clone();
    let name = question.name().to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.').to_owned();
    log.lock().unwrap().push((name.clone(), question.query_type()));
    if name.starts_with("silent") {
        return None;
    }
    let mut reply = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.add_query(question.clone());
    let found = zone
        .iter()
        .filter(|(n, data)| *n == name && data.record_type() == question.query_type());
    for (_, data) in found {
        reply.add_answer(Record::from_rdata(question.name().clone(), 60, data.clone()));
    }
    if reply.answers.is_empty() {
        reply.metadata.response_code = ResponseCode::NXDomain;
    }
    Some(reply)
}

fn name(text: &str) -> Name {
    Name::from_str(&format!("{text}.")).unwrap()
}

fn a(ip: [u8; 4]) -> RData {
    RData::A(A(ip.into()))
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(target)))
}

fn zone() -> Zone {
    let naptr = |order, services: &str, to: &str| {
        RData::NAPTR(NAPTR::new(
            order,
            1,
            b"s"[..].into(),
            services.as_bytes().into(),
            Box::default(),
            name(to),
        ))
    };
    vec![
        ("example.com", a([192, 0, 2, 1])),
        ("example.com", naptr(1, "SIP+D2T", "_sip._tcp.example.com")),
        (
            "example.com",
            RData::TXT(TXT::new(vec!["v=1 ".into(), "x".into()])),
        ),
        ("_sip._tcp.example.com", srv(20, 0, 5064, "backup.example.com")),
        ("_sip._tcp.example.com", srv(10, 1, 5063, "one.example.com")),
        ("_sip._tcp.example.com", srv(10, 9, 5062, "two.example.com")),
        ("backup.example.com", a([192, 0, 2, 9])),
        ("one.example.com", a([192, 0, 2, 11])),
        ("two.example.com", a([192, 0, 2, 12])),
    ]
}

fn resolver(server: &Server, config: DnsConfig) -> (Resolver, Arc<NetStats>) {
    let stats = Arc::new(NetStats::default());
    let config = DnsConfig {
        use_search_list: false,
        ..config
    };
    let hosts = "192.0.2.77 here.example.com";
    (
        Resolver::with_servers(&config, Some(vec![server.address]), hosts, stats.clone(), 1),
        stats,
    )
}

fn quick() -> DnsConfig {
    DnsConfig {
        retr_time: Some(1),
        retr_no: Some(0),
        ..DnsConfig::default()
    }
}

fn query(host: &str, transport: Transport) -> Query<'_> {
    Query {
        host,
        port: None,
        transport,
        secure: false,
    }
}

async fn targets(resolver: &Resolver, query: Query<'_>) -> Vec<String> {
    let found = resolver.resolve(query).await.unwrap();
    found
        .iter()
        .map(|t| format!("{}:{}", t.transport, t.address))
        .collect()
}

#[tokio::test]
async fn naptr_srv_and_addresses_give_the_failover_order() {
    let server = server(zone()).await;
    let (resolver, stats) = resolver(
        &server,
        DnsConfig {
            try_naptr: true,
            ..quick()
        },
    );
    let wanted = query("example.com", Transport::None);
    assert!(resolver.try_resolve(wanted).is_none(), "nothing is known yet");
    let expected = ["tcp:192.0.2.12:5062", "tcp:192.0.2.11:5063", "tcp:192.0.2.9:5064"];
    assert_eq!(targets(&resolver, wanted).await, expected);
    let asked = server.asked.lock().unwrap().len();
    let again = resolver.try_resolve(wanted).unwrap().unwrap();
    assert_eq!(again.first().unwrap().address.to_string(), "192.0.2.12:5062");
    assert_eq!(
        server.asked.lock().unwrap().len(),
        asked,
        "the second answer came from the cache"
    );
    assert_eq!(stats.dns_requests.value(), 5);
}

#[tokio::test]
async fn hosts_literals_and_added_records_ask_nobody() {
    let server = server(Vec::new()).await;
    let (resolver, _) = resolver(&server, quick());
    let port = |host| Query {
        port: Some(5070),
        ..query(host, Transport::Udp)
    };
    let at_once = |host| {
        resolver
            .try_resolve(port(host))
            .unwrap()
            .unwrap()
            .first()
            .unwrap()
            .address
            .to_string()
    };
    assert_eq!(at_once("192.0.2.5"), "192.0.2.5:5070");
    assert_eq!(at_once("Here.Example.com"), "192.0.2.77:5070");
    let record = kahea_net::dns::Record {
        ttl: 0,
        data: RecordData::A([192, 0, 2, 8].into()),
    };
    resolver.add("added.example.com", RecordKind::A, vec![record], None);
    assert_eq!(at_once("added.example.com"), "192.0.2.8:5070");
    assert_eq!(resolver.entries().len(), 1);
    assert!(resolver.delete("added.example.com", RecordKind::A));
    assert!(resolver.try_resolve(port("added.example.com")).is_none());
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn many_who_ask_the_same_share_one_question_and_failures_are_remembered() {
    let server = server(zone()).await;
    let (resolver, stats) = resolver(&server, quick());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let resolver = resolver.clone();
        tasks.spawn(async move { resolver.lookup("one.example.com", RecordKind::A).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(server.asked.lock().unwrap().len(), 1);
    for _ in 0..3 {
        let missing = resolver.lookup("missing.example.com", RecordKind::A).await;
        assert_eq!(missing, Err(ResolveError::NotFound("missing.example.com".into())));
    }
    assert_eq!(
        (stats.dns_requests.value(), stats.failed_dns_request.value()),
        (2, 1)
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_delays_only_its_own_names() {
    let server = server(zone()).await;
    let (resolver, _) = resolver(&server, quick());
    let slow = {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.lookup("silent.example.com", RecordKind::A).await })
    };
    let began = tokio::time::Instant::now();
    resolver.lookup("two.example.com", RecordKind::A).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
    let outcome = slow.await.unwrap();
    assert!(
        matches!(outcome, Err(ResolveError::Timeout(_) | ResolveError::Server(..))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn records_come_with_all_their_fields() {
    let server = server(zone()).await;
    let (resolver, _) = resolver(
        &server,
        DnsConfig {
            use_dns_cache: false,
            ..quick()
        },
    );
    let naptr = resolver.lookup("example.com", RecordKind::Naptr).await.unwrap();
    let RecordData::Naptr(rule) = &naptr[0].data else {
        panic!("{naptr:?}")
    };
    assert_eq!(
        (rule.order, rule.preference, &*rule.flags, &*rule.services),
        (1, 1, "s", "SIP+D2T")
    );
    assert_eq!(&*rule.replacement, "_sip._tcp.example.com");
    let txt = resolver.lookup("example.com", RecordKind::Txt).await.unwrap();
    assert_eq!(txt[0].data, RecordData::Txt((*b"v=1 x").into()));
    let list = resolver
        .lookup("_sip._tcp.example.com", RecordKind::Srv)
        .await
        .unwrap();
    assert_eq!((list.len(), list[0].ttl), (3, 60));
    assert!(resolver.entries().is_empty(), "the cache is off");
    assert_eq!(
        targets(&resolver, query("one.example.com", Transport::Udp)).await,
        ["udp:192.0.2.11:5060"]
    );
}
