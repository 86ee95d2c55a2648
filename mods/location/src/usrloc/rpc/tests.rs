use std::{future::Future, task::Context};

use kahea_module::testing::Server;

use super::{
    super::{Domain, Service, Settings, domain::Domains},
    *,
};

/// Futures that never wait, because there is no database.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    match future
        .as_mut()
        .poll(&mut Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the command waits"),
    }
}

struct Bench {
    server: Server,
    usrloc: Usrloc,
    domain: Arc<Domain>,
}

fn bench() -> Bench {
    let server = Server::default();
    let shared = &server.worker.config.shared;
    let domains = Domains::of(shared);
    let domain = domains.open(&Str::from("location"), 2, &shared.stats);
    let service = Service::new(Settings::default(), domains, None);
    let usrloc = Usrloc {
        service: Arc::new(service),
    };
    Bench {
        server,
        usrloc,
        domain,
    }
}

impl Bench {
    fn call(
        &self,
        command: for<'a> fn(&'a Usrloc, &'a mut RpcCall) -> Answer<'a>,
        args: &[&str],
    ) -> RpcResult {
        let args = args.iter().map(|arg| RpcValue::from(*arg)).collect();
        let mut call = RpcCall::new(self.server.worker.clone(), args);
        now(command(&self.usrloc, &mut call))
    }
}

fn member<'a>(value: &'a RpcValue, path: &[&str]) -> Option<&'a RpcValue> {
    path.iter().try_fold(value, |value, name| match value {
        RpcValue::Struct(members) => members.iter().find(|(known, _)| known == name).map(|(_, v)| v),
        // `Contact:0` is the first member of that name.
        RpcValue::Named(items) => {
            let (kind, at) = name.split_once(':')?;
            let found = items.get(at.parse::<usize>().ok()?)?;
            (found.0 == kind).then_some(&found.1)
        }
        _ => None,
    })
}

const ADD: [&str; 9] = [
    "location",
    "dora",
    "sip:dora@192.0.2.1",
    "600",
    "0.5",
    "<sip:10.0.0.1;lr>",
    "0",
    "64",
    "5",
];

#[test]
fn contacts_are_added_shown_and_removed() {
    let bench = bench();
    assert_eq!(bench.call(add, &ADD), Ok(vec![]));
    let mut more = ADD.to_vec();
    more[2] = "sip:dora@192.0.2.2";
    more[4] = "-1";
    more.extend([".", "udp:127.0.0.1:5060"]);
    assert_eq!(bench.call(add, &more), Ok(vec![]));
    let shown = bench.call(lookup, &["location", "dora"]).unwrap();
    let at = |path: &[&str]| member(&shown[0], path).cloned();
    assert_eq!(at(&["AoR"]), Some("dora".into()));
    assert_eq!(at(&["Contacts", "Contact:0", "Q"]), Some(RpcValue::Double(0.5)));
    assert_eq!(
        at(&["Contacts", "Contact:0", "Expires"]),
        Some(RpcValue::Int(600))
    );
    assert_eq!(at(&["Contacts", "Contact:0", "CFlags"]), Some(RpcValue::Int(64)));
    assert_eq!(
        at(&["Contacts", "Contact:0", "Received"]),
        Some("[not set]".into())
    );
    assert_eq!(at(&["Contacts", "Contact:0", "State"]), Some("CS_NEW".into()));
    assert_eq!(at(&["Contacts", "Contact:1", "Q"]), Some(RpcValue::Int(-1)));
    let removed = bench.call(remove_contact, &["location", "dora", "sip:dora@192.0.2.1"]);
    assert_eq!(removed, Ok(vec![]));
    assert_eq!(bench.domain.in_memory(b"dora").len(), 1);
    assert_eq!(bench.call(remove, &["location", "dora"]), Ok(vec![]));
    assert_eq!(bench.call(remove, &["location", "dora"]), Ok(vec![]));
    assert!(bench.domain.in_memory(b"dora").is_empty());
}

#[test]
fn a_second_add_changes_the_contact_and_keeps_its_identifier() {
    let bench = bench();
    bench.call(add, &ADD).unwrap();
    let ruid = bench.domain.in_memory(b"dora")[0].ruid().to_vec();
    let mut again = ADD;
    again[3] = "0";
    bench.call(add, &again).unwrap();
    let known = bench.domain.in_memory(b"dora");
    assert_eq!((known.len(), known[0].ruid(), known[0].expires()), (1, &*ruid, 0));
}

#[test]
fn refusals_are_those_of_kamailio() {
    let bench = bench();
    let refused = |answer: RpcResult| {
        answer
            .map_err(|fault| (fault.code, fault.text.to_string()))
            .unwrap_err()
    };
    let few = "Not enough parameters (table and AOR to lookup)".to_owned();
    assert_eq!(refused(bench.call(lookup, &["location"])), (500, few));
    assert_eq!(
        refused(bench.call(lookup, &["location", "bob"])),
        (500, "AOR not found in location table".to_owned())
    );
    assert_eq!(
        refused(bench.call(lookup, &["other", "bob"])),
        (500, "Domain table not found".to_owned())
    );
    assert_eq!(
        refused(bench.call(remove_contact, &["location", "bob", "sip:x@y"])),
        (404, "AOR not found".to_owned())
    );
    bench.call(add, &ADD).unwrap();
    assert_eq!(
        refused(bench.call(remove_contact, &["location", "dora", "sip:x@y"])),
        (404, "Contact not found".to_owned())
    );
    assert_eq!(
        refused(bench.call(add, &ADD[..5])),
        (500, "Not enough parameters or wrong format".to_owned())
    );
    let counted = bench.call(|m, call| count(m, call, Count::Users), &["location"]);
    assert_eq!(
        refused(counted),
        (500, "Command is not supported in db_mode=0".to_owned())
    );
}

#[test]
fn the_dump_has_all_tables() {
    let bench = bench();
    bench.call(add, &ADD).unwrap();
    let all = bench.call(dump, &[]).unwrap();
    let domain = member(&all[0], &["Domains", "Domain:0"]).unwrap();
    assert_eq!(member(domain, &["Domain"]), Some(&"location".into()));
    assert_eq!(member(domain, &["Size"]), Some(&RpcValue::Int(4)));
    assert_eq!(member(domain, &["Stats", "Records"]), Some(&RpcValue::Int(1)));
    let address = ["AoRs", "Info:0", "Contacts", "Contact:0", "Address"];
    assert_eq!(member(domain, &address), Some(&"sip:dora@192.0.2.1".into()));
    let brief = bench.call(dump, &["brief"]).unwrap();
    let aor = member(&brief[0], &["Domains", "Domain:0", "AoRs", "AoR:0"]);
    assert_eq!(aor, Some(&"dora".into()));
}
