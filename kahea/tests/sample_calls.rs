//! Debian's sample proxies carry calls: each file runs unchanged, in a network that has the addresses and names that it
//! speaks of, and does what it promises.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods
)] // reason: a test

mod network;

use std::{net::Ipv4Addr, path::PathBuf, time::Duration};

use network::{
    Peer, Place, Process, Side, Sip, add_address,
    dns::{Dns, Record},
    enter, use_own_names,
};

const SAMPLES: &str = "/usr/share/doc/kamailio/examples";

/// Soon, but late enough for a busy machine.
const SOON: Duration = Duration::from_millis(600);

fn sample(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(SAMPLES).join(name);
    if !path.exists() {
        println!(
            "LEFT OUT: {} is not there: apt-get install kamailio",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// Starts a sample in this namespace.
fn started(name: &str) -> Option<(Process, Place)> {
    let config = sample(name)?;
    let place = Place::new("sample");
    let server = Process::server(&config, &place);
    Some((server, place))
}

/// The caller of a refused INVITE acknowledges.
fn acknowledge(caller: &Peer, server: &str, refusal: &Sip, uri: &str, call: &str) {
    caller.send(server, &caller.ack(refusal, uri, &format!("{call}INVITE")));
}

fn registers(caller: &Peer, server: &str) {
    caller.send(server, &caller.request("REGISTER", "sip:iptel.org", "reg", ""));
    assert_eq!(caller.expect_status(200).first(), "SIP/2.0 200 ok");
}

/// Redirects to two contacts.
fn redirects(file: &str, domain: &str) {
    let Some((_server, _place)) = started(file) else {
        return;
    };
    let (caller, server) = (Peer::at("127.0.0.1:5071"), "127.0.0.1:5060");
    registers(&caller, server);
    caller.send(server, &caller.request("INVITE", "sip:bob@127.0.0.1", "call", ""));
    let reply = caller.expect_status(300);
    assert_eq!(reply.first(), "SIP/2.0 300 Redirect");
    let contacts = reply.lines("Contact").join(" ");
    for user in ["parallel", "redirect"] {
        assert!(
            contacts.contains(&format!("<sip:{user}@{domain}:9>")),
            "{contacts}"
        );
    }
}

#[test]
fn mixed_redirect() {
    if let Side::Inside = enter("mixed_redirect") {
        redirects("mixed/redirect.cfg", "iptel.org");
    }
}

#[test]
fn kamailio_redirect() {
    if let Side::Inside = enter("kamailio_redirect") {
        redirects("kamailio/redirect.cfg", "siphub.net");
    }
}

#[test]
fn mixed_uas() {
    let Side::Inside = enter("mixed_uas") else { return };
    let Some((_server, _place)) = started("mixed/uas.cfg") else {
        return;
    };
    let (caller, server) = (Peer::at("127.0.0.1:5071"), "127.0.0.1:5060");
    registers(&caller, server);
    for (user, wanted) in [
        ("a", "409 Bizzar Error"),
        ("bob", "699 I don't want to chat with you"),
    ] {
        let uri = format!("sip:{user}@127.0.0.1");
        caller.send(server, &caller.request("INVITE", &uri, user, ""));
        let status = wanted[..3].parse().unwrap();
        let reply = caller.expect_status(status);
        assert_eq!(reply.first(), format!("SIP/2.0 {wanted}"));
        // It is repeated until its ACK comes.
        assert_eq!(caller.expect_status(status).first(), reply.first());
        acknowledge(&caller, server, &reply, &uri, user);
        while caller
            .next_within(SOON)
            .is_some_and(|(late, _)| late.value("Call-ID") == user)
        {}
        assert!(
            caller.next_within(SOON).is_none(),
            "after its ACK it is not repeated"
        );
    }
}

/// Writes down what comes, and answers nothing.
fn logs(file: &str, server: &str, domain: &str) {
    let Some((running, _place)) = started(file) else {
        return;
    };
    let caller = Peer::at("127.0.0.1:5071");
    caller.send(server, &caller.request("REGISTER", "sip:elsewhere.org", "1", ""));
    caller.send(
        server,
        &caller.request("OPTIONS", &format!("sip:bob@{domain}"), "2", ""),
    );
    for line in [
        "non-REGISTER received",
        &format!("request for {domain} received"),
        "request for other domain received",
    ] {
        network::wait_for(line, || running.log().contains(line).then_some(()));
    }
    assert!(running.log().matches("REGISTER received").count() >= 2);
    assert!(caller.next_within(SOON).is_none(), "it answers nothing");
}

#[test]
fn mixed_logging() {
    if let Side::Inside = enter("mixed_logging") {
        add_address("192.168.2.16");
        logs("mixed/logging.cfg", "192.168.2.16:5060", "iptel.org");
    }
}

#[test]
fn kamailio_logging() {
    if let Side::Inside = enter("kamailio_logging") {
        logs("kamailio/logging.cfg", "127.0.0.1:5060", "siphub.net");
    }
}

#[test]
fn mixed_ccdiversion() {
    let Side::Inside = enter("mixed_ccdiversion") else {
        return;
    };
    let Some((_server, _place)) = started("mixed/ccdiversion.cfg") else {
        return;
    };
    // The server listens at the addresses that it found: these are the gateways'.
    add_address("192.168.10.10");
    let (caller, server) = (Peer::at("127.0.0.1:5071"), "127.0.0.1:5060");
    let (busy, other) = (Peer::at("127.0.0.1:5081"), Peer::at("192.168.10.10:5060"));
    let uri = "sip:5000@127.0.0.1:5081";
    caller.send(server, &caller.request("INVITE", uri, "call", ""));
    let invite = busy.expect_request("INVITE");
    busy.answer(server, &invite, "486 Busy Here");
    busy.expect_request("ACK");
    let diverted = other.expect_request("INVITE");
    assert_eq!(diverted.first(), "INVITE sip:6000@192.168.10.10 SIP/2.0");
    assert_eq!(diverted.lines("CC-Diversion").len(), 1, "{}", diverted.0);
    assert_eq!(diverted.value("CC-Diversion"), uri);
    other.answer(server, &diverted, "200 OK");
    let answer = caller.expect_status(200);
    assert!(answer.value("Contact").contains("192.168.10.10:5060"));
    caller.send(server, &caller.ack(&answer, "sip:callee@192.168.10.10", "ack"));
    other.expect_request("ACK");
}

/// Two destinations at once, and one after the other when they refuse.
fn forks(file: &str, domain: &'static str) {
    let place = Place::new("names");
    use_own_names(place.path());
    let _names = Dns::start(vec![(domain, Record::A(Ipv4Addr::new(192, 168, 20, 1)))]);
    let Some((_server, _place)) = started(file) else {
        return;
    };
    add_address("192.168.20.1");
    let (caller, server) = (Peer::at("127.0.0.1:5071"), "127.0.0.1:5060");
    registers(&caller, server);
    let (main, discard) = (Peer::at("192.168.20.1:5060"), Peer::at("192.168.20.1:9"));
    let refuse_all = std::thread::spawn(move || {
        while let Some((request, from)) = discard.next_within(Duration::from_secs(15)) {
            if request.first().starts_with("INVITE") {
                assert!(request.first().contains("parallel@"), "{}", request.first());
                discard.answer(&from.to_string(), &request, "404 Not Found");
            }
        }
    });
    // The sample gives each destination 10 ms: a slow machine needs more than one attempt.
    let answered = (0..40).any(|attempt| call_foo(&caller, &main, server, domain, &format!("call{attempt}")));
    assert!(answered, "no call got through");
    drop(main);
    drop(caller);
    refuse_all.join().unwrap();
}

/// One call that is refused by all but the last destination; true where the caller got its 200.
fn call_foo(caller: &Peer, main: &Peer, server: &str, domain: &str, call: &str) -> bool {
    caller.send(server, &caller.request("INVITE", "sip:bob@127.0.0.1", call, ""));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let invite = main.expect("an INVITE", |request| {
            request.first().starts_with("INVITE") && request.value("Call-ID") == call
        });
        let line = invite.first().to_owned();
        let last = line.contains("foo@");
        main.answer(server, &invite, if last { "200 OK" } else { "404 Not Found" });
        if seen.last() != Some(&line) {
            seen.push(line);
        }
    }
    let wanted = ["nobody", "nonsense", "foo"].map(|user| format!("INVITE sip:{user}@{domain} SIP/2.0"));
    assert_eq!(seen, wanted);
    let fits =
        |reply: &Sip| reply.value("Call-ID") == call && reply.status().is_some_and(|status| status >= 200);
    let answer = caller.expect("a final reply", fits);
    if answer.status() != Some(200) {
        acknowledge(caller, server, &answer, "sip:bob@127.0.0.1", call);
        std::thread::sleep(SOON);
        while caller.next_within(Duration::from_millis(1)).is_some() {}
        return false;
    }
    true
}

#[test]
fn mixed_onr() {
    if let Side::Inside = enter("mixed_onr") {
        forks("mixed/onr.cfg", "iptel.org");
    }
}

#[test]
fn kamailio_fork() {
    if let Side::Inside = enter("kamailio_fork") {
        forks("kamailio/fork.cfg", "kamailio.org");
    }
}

/// Tries another destination when the first refuses.
fn tries_another(file: &str) {
    add_address("192.168.2.16");
    let Some((_server, _place)) = started(file) else {
        return;
    };
    let (caller, server) = (Peer::at("127.0.0.1:5071"), "192.168.2.16:5060");
    let callee = Peer::at("192.168.2.16:5064");
    registers(&caller, server);
    caller.send(
        server,
        &caller.request("INVITE", "sip:bob@192.168.2.16", "call", ""),
    );
    let first = callee.expect_request("INVITE");
    assert_eq!(first.first(), "INVITE sip:xxx@192.168.2.16:5064 SIP/2.0");
    callee.answer(server, &first, "486 Busy Here");
    callee.expect_request("ACK");
    let second = callee.expect_request("INVITE");
    assert_eq!(second.first(), "INVITE sip:yyy@192.168.2.16:5064 SIP/2.0");
    callee.answer(server, &second, "180 Ringing");
    caller.expect_status(180);
    callee.answer(server, &second, "200 OK");
    let answer = caller.expect_status(200);
    caller.send(
        server,
        &caller.ack(&answer, "sip:callee@192.168.2.16:5064", "ack"),
    );
    callee.expect_request("ACK");
    let bye = caller.request("BYE", "sip:callee@192.168.2.16:5064", "call", "");
    caller.send(server, &bye);
    let bye = callee.expect_request("BYE");
    callee.answer(server, &bye, "200 Bye");
    assert_eq!(
        caller
            .expect("the answer to BYE", |reply| reply.value("CSeq").ends_with("BYE"))
            .first(),
        "SIP/2.0 200 Bye"
    );
    let many_hops = caller
        .request("INVITE", "sip:bob@192.168.2.16", "loop", "")
        .replace("Max-Forwards: 70", "Max-Forwards: 0");
    caller.send(server, &many_hops);
    assert_eq!(caller.expect_status(483).first(), "SIP/2.0 483 Too Many Hops");
}

#[test]
fn mixed_serial_183() {
    if let Side::Inside = enter("mixed_serial_183") {
        tries_another("mixed/serial_183.cfg");
    }
}

#[test]
fn kamailio_serial_183() {
    if let Side::Inside = enter("kamailio_serial_183") {
        tries_another("kamailio/serial_183.cfg");
    }
}
