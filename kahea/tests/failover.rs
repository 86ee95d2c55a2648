//! Destinations that are several addresses, do not answer, refuse, or do not exist: each call has its defined end, and no
//! transaction is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)] // reason: a test

mod network;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use network::{
    Peer, Place, Process, Side, Sip, add_address,
    dns::{Dns, Record},
    enter, use_own_names, wait_for,
};

const SERVER: &str = "127.0.0.1:5060";

/// The first and second machine behind the name, and one that nobody ever hears from.
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 168, 30, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 168, 30, 2);
const HOLE: &str = "192.168.99.9";

/// A proxy that relays every request, and tells how many transactions it has.
fn config(more: &str) -> String {
    format!(
        "debug=2\nauto_aliases=no\nlisten=udp:{SERVER}\nlisten=tcp:{SERVER}\nuse_dns_failover=yes\n{more}\n\
         loadmodule \"pv\"\nloadmodule \"sl\"\nloadmodule \"tm\"\nloadmodule \"tmx\"\nloadmodule \"counters\"\n\
         modparam(\"tm\", \"fr_timer\", 400)\nmodparam(\"tm\", \"wt_timer\", 300)\n\
         request_route {{\n\
             if ($rU == \"count\") {{ sl_send_reply(\"200\", \"has $stat(inuse_transactions)\"); exit; }}\n\
             t_relay();\n\
         }}\n"
    )
}

/// The proxy in this namespace, names and their servers.
struct Net {
    _server: Process,
    _names: Dns,
    _place: Place,
    caller: Peer,
}

impl Net {
    fn new(more: &str, params: &str) -> Net {
        let place = Place::new("failover");
        use_own_names(place.path());
        add_address(&FIRST.to_string());
        add_address(&SECOND.to_string());
        let srv = |priority, target| Record::Srv(priority, 1, 5070, target);
        let names = Dns::start(vec![
            ("_sip._udp.pbx.test", srv(20, "second.pbx.test")),
            ("_sip._udp.pbx.test", srv(10, "first.pbx.test")),
            ("first.pbx.test", Record::A(FIRST)),
            ("second.pbx.test", Record::A(SECOND)),
        ]);
        let file = place.file("a.cfg");
        fs::write(
            &file,
            config(more).replace("request_route", &format!("{params}\nrequest_route")),
        )
        .unwrap();
        let server = Process::server(&file, &place);
        Net {
            _server: server,
            _names: names,
            _place: place,
            caller: Peer::at("127.0.0.1:5071"),
        }
    }

    fn call(&self, uri: &str, call: &str) {
        self.caller
            .send(SERVER, &self.caller.request("INVITE", uri, call, ""));
    }

    /// The call's final reply, acknowledged.
    fn result(&self, uri: &str, call: &str) -> Sip {
        let fits = |reply: &Sip| {
            reply.value("Call-ID") == call && reply.status().is_some_and(|status| status >= 200)
        };
        let reply = self.caller.expect("a final reply", fits);
        // The ACK to a 2xx is for whoever answered, that to a refusal for the next hop.
        let (uri, branch) = if reply.status() == Some(200) {
            (reply.value("Contact").trim_matches(['<', '>']), "ack".to_owned())
        } else {
            (uri, format!("{call}INVITE"))
        };
        self.caller.send(SERVER, &self.caller.ack(&reply, uri, &branch));
        reply
    }

    /// No transaction is left.
    fn is_empty(&self) {
        let mut asked = 0;
        wait_for("the end of all transactions", || {
            asked += 1;
            self.caller.send(
                SERVER,
                &self
                    .caller
                    .request("OPTIONS", "sip:count@127.0.0.1", &format!("count{asked}"), ""),
            );
            let reply = self
                .caller
                .expect("the count", |reply| reply.value("CSeq").ends_with("OPTIONS"));
            std::thread::sleep(Duration::from_millis(50));
            (reply.first() == "SIP/2.0 200 has 0").then_some(())
        });
    }
}

fn machine(address: Ipv4Addr) -> Peer {
    Peer::at(&format!("{address}:5070"))
}

const URI: &str = "sip:bob@pbx.test";

#[test]
fn the_next_server_is_asked_when_the_first_is_silent_or_overloaded() {
    let Side::Inside = enter("the_next_server_is_asked_when_the_first_is_silent_or_overloaded") else {
        return;
    };
    let net = Net::new("", "");
    let (first, second) = (machine(FIRST), machine(SECOND));
    // Silence: fr_timer.
    let start = Instant::now();
    net.call(URI, "silent");
    first.expect_request("INVITE");
    let invite = second.expect_request("INVITE");
    assert!(
        start.elapsed() >= Duration::from_millis(380),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(invite.first(), "INVITE sip:bob@pbx.test SIP/2.0");
    second.answer(SERVER, &invite, "200 OK");
    assert_eq!(net.result(URI, "silent").status(), Some(200));
    // 503: at once.
    net.call(URI, "overload");
    let invite = first.expect("the INVITE", |request| request.value("Call-ID") == "overload");
    first.answer(SERVER, &invite, "503 Busy");
    let invite = second.expect("the INVITE", |request| {
        request.first().starts_with("INVITE") && request.value("Call-ID") == "overload"
    });
    second.answer(SERVER, &invite, "200 OK");
    assert_eq!(net.result(URI, "overload").status(), Some(200));
    // Any other refusal is the answer.
    net.call(URI, "busy");
    let invite = first.expect("the INVITE", |request| request.value("Call-ID") == "busy");
    first.answer(SERVER, &invite, "486 Busy Here");
    assert_eq!(net.result(URI, "busy").status(), Some(486));
    net.is_empty();
}

#[test]
fn further_codes_and_classes_lead_to_the_next_server() {
    let Side::Inside = enter("further_codes_and_classes_lead_to_the_next_server") else {
        return;
    };
    let net = Net::new(
        "",
        "modparam(\"tm\", \"failover_reply_codes\", \"code=502;class=4\")",
    );
    let (first, second) = (machine(FIRST), machine(SECOND));
    for (call, status) in [
        ("code", "502 Bad Gateway"),
        ("class", "480 Away"),
        ("other", "504 Late"),
    ] {
        net.call(URI, call);
        let fits = |request: &Sip| request.first().starts_with("INVITE") && request.value("Call-ID") == call;
        let invite = first.expect("the INVITE", fits);
        first.answer(SERVER, &invite, status);
        if call != "other" {
            let invite = second.expect("the INVITE", fits);
            second.answer(SERVER, &invite, "200 OK");
        }
        let wanted = if call == "other" { 504 } else { 200 };
        assert_eq!(net.result(URI, call).status(), Some(wanted), "{call}");
    }
    net.is_empty();
}

#[test]
fn a_server_on_the_blocklist_is_passed_over() {
    let Side::Inside = enter("a_server_on_the_blocklist_is_passed_over") else {
        return;
    };
    let net = Net::new("use_dst_blocklist=yes", "");
    let (first, second) = (machine(FIRST), machine(SECOND));
    net.call(URI, "one");
    first.expect_request("INVITE");
    let invite = second.expect_request("INVITE");
    second.answer(SERVER, &invite, "200 OK");
    assert_eq!(net.result(URI, "one").status(), Some(200));
    // It is known to be silent now: nobody waits for it again.
    net.call(URI, "two");
    let fits = |request: &Sip| request.first().starts_with("INVITE") && request.value("Call-ID") == "two";
    let invite = second.expect("the INVITE", fits);
    second.answer(SERVER, &invite, "200 OK");
    assert_eq!(net.result(URI, "two").status(), Some(200));
    while let Some((late, _)) = first.next_within(Duration::from_millis(100)) {
        assert_ne!(
            late.value("Call-ID"),
            "two",
            "the first was asked again: {}",
            late.0
        );
    }
    // With every address on the list the call fails at once.
    let alone = format!("sip:bob@{FIRST}:5070");
    net.call(&alone, "three");
    assert_eq!(net.result(&alone, "three").status(), Some(477));
    net.is_empty();
}

#[test]
fn each_dead_end_has_its_answer() {
    let Side::Inside = enter("each_dead_end_has_its_answer") else {
        return;
    };
    let net = Net::new("", "");
    // Whoever is there takes everything and says nothing.
    add_address(HOLE);
    let _udp = Peer::at(&format!("{HOLE}:5060"));
    let _tcp = TcpListener::bind(format!("{HOLE}:5060")).unwrap();
    for (call, uri, wanted) in [
        ("hole", format!("sip:bob@{HOLE}"), [408, 408]),
        ("nobody", "sip:bob@127.0.0.1:5999".to_owned(), [408, 477]),
        (
            "refused",
            "sip:bob@127.0.0.1:5999;transport=tcp".to_owned(),
            [408, 477],
        ),
        ("tcphole", format!("sip:bob@{HOLE};transport=tcp"), [408, 477]),
        ("name", "sip:bob@nowhere.test".to_owned(), [478, 478]),
    ] {
        let start = Instant::now();
        net.call(&uri, call);
        let status = net.result(&uri, call).status().unwrap();
        assert!(wanted.contains(&status), "{call}: {status}");
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "{call}: {:?}",
            start.elapsed()
        );
    }
    net.is_empty();
}
