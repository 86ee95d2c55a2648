//! Calls of every kind through the stateful proxy: each gets its final answer, and nothing is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    collections::HashMap,
    fs,
    net::UdpSocket,
    time::{Duration, Instant},
};

use common::{LIMIT, Place, kahea, wait_for};

/// Calls at once.
const CALLS: usize = 200;

/// What the callee does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Answered,
    Refused,
    Silent,
    Cancelled,
    Options,
}

impl Kind {
    fn of(call: usize) -> Kind {
        [
            Kind::Answered,
            Kind::Refused,
            Kind::Silent,
            Kind::Cancelled,
            Kind::Options,
        ][call % 5]
    }

    fn expected(self) -> &'static str {
        match self {
            Kind::Answered | Kind::Options => "200",
            Kind::Refused => "486",
            Kind::Silent => "408",
            Kind::Cancelled => "487",
        }
    }
}

fn config(port: u16, callee: u16) -> String {
    format!(
        "debug=1\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{port}\n\
         loadmodule \"pv\"\nloadmodule \"sl\"\nloadmodule \"tm\"\nloadmodule \"counters\"\nloadmodule \"siputils\"\n\
         modparam(\"tm\", \"fr_timer\", 1500)\nmodparam(\"tm\", \"wt_timer\", 300)\n\
         request_route {{\n\
             if (!($rU =~ \"^c\")) {{ sl_send_reply(\"200\", \"one\"); exit; }}\n\
             if (method == \"CANCEL\") {{ if (t_check_trans()) t_relay(); exit; }}\n\
             t_check_trans();\n\
             if (method == \"ACK\") exit;\n\
             $du = \"sip:127.0.0.1:{callee}\";\n\
             t_relay();\n\
         }}\n"
    )
}

fn request(method: &str, call: usize, from: u16) -> String {
    format!(
        "{method} sip:c{call}@callee SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{from};branch=z9hG4bKcall{call}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:caller@x>;tag=f{call}\r\nTo: <sip:c{call}@callee>\r\nCall-ID: {call}@test\r\n\
         CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The reply to a request, with the headers that a reply takes over.
fn reply(request: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "From" | "Call-ID" | "CSeq" => text.push_str(&format!("{line}\r\n")),
            "To" => text.push_str(&format!("{line};tag=callee\r\n")),
            _ => {}
        }
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix))
        .unwrap_or_default()
}

fn call_of(text: &str) -> usize {
    header(text, "Call-ID")
        .split('@')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// The callee's part: what it says to a request.
fn respond(text: &str) -> Vec<String> {
    let method = text.split(' ').next().unwrap();
    match (method, Kind::of(call_of(text))) {
        ("ACK", _) | ("INVITE", Kind::Silent) => Vec::new(),
        ("INVITE", Kind::Answered) => vec![reply(text, "180 Ringing"), reply(text, "200 OK")],
        ("INVITE", Kind::Refused) => vec![reply(text, "486 Busy Here")],
        ("INVITE", _) => vec![reply(text, "180 Ringing")],
        ("CANCEL", _) => vec![
            reply(text, "200 OK"),
            reply(text, "487 Request Terminated").replace("1 CANCEL", "1 INVITE"),
        ],
        _ => vec![reply(text, "200 OK")],
    }
}

#[test]
fn every_call_ends_and_nothing_is_left() {
    let place = Place::new();
    let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
    let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&caller, &callee] {
        socket.set_nonblocking(true).unwrap();
    }
    let from = caller.local_addr().unwrap().port();
    fs::write(
        place.config(),
        config(place.port, callee.local_addr().unwrap().port()),
    )
    .unwrap();
    let _server = place.start(&[]);
    let server = ("127.0.0.1", place.port);
    for call in 0..CALLS {
        let method = if Kind::of(call) == Kind::Options {
            "OPTIONS"
        } else {
            "INVITE"
        };
        caller
            .send_to(request(method, call, from).as_bytes(), server)
            .unwrap();
    }
    let mut finals: HashMap<usize, String> = HashMap::new();
    let until = Instant::now() + LIMIT;
    let mut buffer = [0; 4096];
    while finals.len() < CALLS {
        assert!(Instant::now() < until, "{} of {CALLS} calls ended", finals.len());
        let mut idle = true;
        if let Ok((length, source)) = callee.recv_from(&mut buffer) {
            idle = false;
            for answer in respond(std::str::from_utf8(&buffer[..length]).unwrap()) {
                callee.send_to(answer.as_bytes(), source).unwrap();
            }
        }
        if let Ok(length) = caller.recv(&mut buffer) {
            idle = false;
            let text = std::str::from_utf8(&buffer[..length]).unwrap();
            let (status, call) = (&text[8..11], call_of(text));
            let cancels = header(text, "CSeq").ends_with("CANCEL");
            if status == "180" && Kind::of(call) == Kind::Cancelled {
                caller
                    .send_to(request("CANCEL", call, from).as_bytes(), server)
                    .unwrap();
            }
            if status >= "200" && !cancels {
                finals.insert(call, status.to_owned());
                let ack = request("ACK", call, from).replace(
                    &format!("To: <sip:c{call}@callee>"),
                    &format!("To: {}", header(text, "To")),
                );
                caller.send_to(ack.as_bytes(), server).unwrap();
            }
        }
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    for (call, status) in &finals {
        assert_eq!(status, Kind::of(*call).expected(), "call {call}");
    }
    wait_for("the end of every transaction", || {
        let mut command = kahea();
        command.args(["rpc", "-Y"]).arg(place.path());
        command.args(["cnt.get", "tmx", "inuse_transactions"]);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text.trim() == "0").then_some(())
    });
}
