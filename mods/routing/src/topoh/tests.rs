//! A dialog through the server, byte by byte, and hostile bytes.

use std::sync::Arc;

use kahea_module::{RouteId, Str, testing::Server};
use kahea_sip::{Destination, Limits, Message};
use proptest::prelude::*;

use super::{Masking, Params, masking, read};

const HOST: &[u8] = b"127.0.0.8";

struct Proxy {
    server: Server,
    masking: Arc<Masking>,
}

fn proxy(change: impl FnOnce(&mut Params)) -> Proxy {
    let mut params = Params {
        mask_key: Some(Str::from("a secret")),
        mask_callid: true,
        ..Params::default()
    };
    change(&mut params);
    Proxy {
        server: Server::default(),
        masking: Arc::new(masking(params).unwrap()),
    }
}

fn lines(text: &str) -> String {
    format!("{}\r\n\r\n", text.trim().replace('\n', "\r\n"))
}

fn parse(data: &Str) -> Message {
    Message::parse(data.clone(), &Limits::default()).unwrap_or_else(|error| panic!("{error}: {data}"))
}

impl Proxy {
    fn comes(&self, text: &str) -> String {
        self.comes_raw(&Str::from(lines(text)))
    }

    fn comes_raw(&self, data: &Str) -> String {
        let identity = &self.server.worker.config.identity;
        let plain = self.masking.incoming(&parse(data), identity, HOST);
        plain.text().into_owned()
    }

    fn leaves(&self, text: &str) -> String {
        let identity = &self.server.worker.config.identity;
        let msg = parse(&Str::from(text));
        self.masking.outgoing(&msg, identity, HOST).text().into_owned()
    }
}

/// The value of the first header line of that name, or of the n-th.
fn value(message: &str, name: &str, at: usize) -> String {
    let lines = message
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    lines
        .skip(at)
        .map(str::to_owned)
        .next()
        .unwrap_or_else(|| panic!("no {name} {at}: {message}"))
}

const INVITE: &str = "INVITE sip:bob@10.0.0.2 SIP/2.0
Via: SIP/2.0/TCP 10.0.0.1:5061;branch=z9hG4bKa;rport
Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb
Record-Route: <sip:10.0.0.1;lr>,<sip:10.0.0.9:5070;transport=tcp;lr>
From: <sip:alice@example.com>;tag=ft1
To: <sip:bob@example.com>
Call-ID: c1@10.0.0.1
CSeq: 1 INVITE
Contact: \"A, l\" <sip:alice@10.0.0.9>;q=1, sip:alice@10.0.0.10;expires=3";

/// What the script does: its own Via and Record-Route on top.
fn relayed(text: &str) -> String {
    text.replacen(
        "Via:",
        "Record-Route: <sip:127.0.0.1;lr;ftag=ft1>\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKown\r\nVia:",
        1,
    )
}

/// The INVITE as the callee gets it.
fn invite_out(proxy: &Proxy) -> String {
    proxy.leaves(&relayed(&proxy.comes(INVITE)))
}

fn reply_of(invite: &str, record_route: &str) -> String {
    let head = "SIP/2.0 200 OK\r\n".to_owned() + record_route;
    let kept = invite.lines().skip(1).filter(|line| !line.starts_with("Contact"));
    let rest: Vec<&str> = kept.take_while(|line| !line.is_empty()).collect();
    format!(
        "{head}{}\r\nContact: <sip:bob@10.0.0.2>\r\n\r\n",
        rest.join("\r\n")
    )
}

#[test]
fn what_came_is_noted_and_nothing_else_changes() {
    let proxy = proxy(|_| {});
    let plain = proxy.comes(INVITE);
    let without = plain.replace(";TH=div", "").replace("TH: dih\r\n", "");
    assert_eq!(without, lines(INVITE));
    assert_eq!(
        value(&plain, "Via", 0),
        "SIP/2.0/TCP 10.0.0.1:5061;TH=div;branch=z9hG4bKa;rport"
    );
    assert_eq!(value(&plain, "TH", 0), "dih");
}

#[test]
fn the_callee_sees_this_server_only() {
    let out = invite_out(&proxy(|_| {}));
    assert!(!out.contains("10.0.0.1") && !out.contains("10.0.0.9"), "{out}");
    assert!(!out.contains("TH"), "{out}");
    assert_eq!(value(&out, "Via", 0), "SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKown");
    for at in [1, 2] {
        let via = value(&out, "Via", at);
        assert!(
            via.starts_with("SIP/2.0/UDP 127.0.0.8;branch=z9hG4bKsr-"),
            "{via}"
        );
    }
    assert_eq!(value(&out, "Record-Route", 0), "<sip:127.0.0.1;lr;ftag=ft1>");
    assert!(value(&out, "Record-Route", 1).starts_with("<sip:127.0.0.8;line=sr-"));
    let contact = value(&out, "Contact", 0);
    assert!(
        contact.starts_with("\"A, l\" <sip:127.0.0.8;line=sr-"),
        "{contact}"
    );
    // An address without brackets gets them: its URI has parameters now.
    assert!(contact.contains(">;q=1, <sip:127.0.0.8;line=sr-"), "{contact}");
    assert!(contact.ends_with(">;expires=3"), "{contact}");
    assert!(value(&out, "Call-ID", 0).starts_with("!!:"));
}

#[test]
fn the_reply_goes_back_with_the_far_side_masked() {
    let proxy = proxy(|_| {});
    let reply = reply_of(&invite_out(&proxy), "Record-Route: <sip:10.9.9.9;lr>\r\n");
    let plain = proxy.comes_raw(&Str::from(reply));
    assert_eq!(value(&plain, "Call-ID", 0), "c1@10.0.0.1");
    assert_eq!(value(&plain, "TH", 0), "uch");
    assert_eq!(value(&plain, "Record-Route", 0), "<sip:10.9.9.9;lr>");
    assert_eq!(value(&plain, "Contact", 0), "<sip:bob@10.0.0.2>");
    let own_via = "Via: SIP/2.0/UDP 127.0.0.1;TH=ucv;branch=z9hG4bKown\r\n";
    assert!(plain.contains(own_via), "{plain}");
    let out = proxy.leaves(&plain.replace(own_via, ""));
    assert_eq!(
        value(&out, "Via", 0),
        "SIP/2.0/TCP 10.0.0.1:5061;branch=z9hG4bKa;rport"
    );
    assert_eq!(value(&out, "Via", 1), "SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb");
    assert!(value(&out, "Record-Route", 0).starts_with("<sip:127.0.0.8;line=sr-"));
    assert_eq!(value(&out, "Record-Route", 1), "<sip:127.0.0.1;lr;ftag=ft1>");
    assert_eq!(
        value(&out, "Record-Route", 2),
        "<sip:10.0.0.1;lr>,<sip:10.0.0.9:5070;transport=tcp;lr>"
    );
    assert!(value(&out, "Contact", 0).starts_with("<sip:127.0.0.8;line=sr-"));
    assert!(!out.contains("TH") && !out.contains("10.0.0.2") && !out.contains("10.9.9.9"));
}

/// A request of the callee inside the dialog, by what its INVITE said.
fn from_callee(invite: &str, line: &str) -> String {
    let uri = |name: &str, at| {
        let text = value(invite, name, at);
        let start = text.find('<').unwrap() + 1;
        text[start..text.find('>').unwrap()].to_owned()
    };
    format!(
        "{line} {} SIP/2.0
Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKc
Route: <sip:127.0.0.1;lr;ftag=ft1>,<{}>
From: <sip:bob@example.com>;tag=uas
To: <sip:alice@example.com>;tag=ft1
Call-ID: {}
CSeq: 2 BYE
Refer-To: <{}>",
        uri("Contact", 0),
        uri("Record-Route", 1),
        value(invite, "Call-ID", 0),
        uri("Contact", 0),
    )
}

#[test]
fn a_request_of_the_callee_finds_its_way() {
    let proxy = proxy(|_| {});
    let plain = proxy.comes(&from_callee(&invite_out(&proxy), "BYE"));
    assert!(plain.starts_with("BYE sip:alice@10.0.0.9 SIP/2.0\r\n"), "{plain}");
    assert_eq!(
        value(&plain, "Route", 0),
        "<sip:127.0.0.1;lr;ftag=ft1>,<sip:10.0.0.1;lr>"
    );
    assert_eq!(value(&plain, "Refer-To", 0), "<sip:alice@10.0.0.9>");
    assert_eq!(value(&plain, "TH", 0), "uch");
    let out = proxy.leaves(&relayed(&plain));
    assert_eq!(value(&out, "Call-ID", 0), "c1@10.0.0.1");
    assert!(!out.contains("10.0.0.2"), "{out}");
    // Its reply comes without a masked Call-ID and leaves with one.
    let reply = proxy.comes_raw(&Str::from(reply_of(&out, "")));
    assert_eq!(value(&reply, "TH", 0), "dch");
    let own_via = "Via: SIP/2.0/UDP 127.0.0.1;TH=dcv;branch=z9hG4bKown\r\n";
    let back = proxy.leaves(&reply.replace(own_via, ""));
    let invite = invite_out(&proxy);
    assert_eq!(value(&back, "Call-ID", 0), value(&invite, "Call-ID", 0));
}

#[test]
fn replies_made_here_only_lose_the_notes() {
    let proxy = proxy(|_| {});
    let local = |via: &str| {
        lines(&format!(
            "SIP/2.0 404 Not Found\nVia: SIP/2.0/UDP 10.0.0.1;TH={via};branch=z9hG4bKa\nContact: <sip:x@10.0.0.5>\n\
             From: <sip:a@a>;tag=1\nTo: <sip:b@b>;tag=2\nCall-ID: c1\nCSeq: 1 BYE"
        ))
    };
    let down = proxy.leaves(&local("dcv"));
    assert_eq!(down, local("dcv").replace(";TH=dcv", ""));
    let up = proxy.leaves(&local("ucv"));
    assert!(value(&up, "Call-ID", 0).starts_with("!!:"));
    assert_eq!(value(&up, "Contact", 0), "<sip:x@10.0.0.5>");
}

#[test]
fn requests_made_here_are_masked_where_they_belong_to_one() {
    let proxy = proxy(|_| {});
    let local = |method: &str| {
        let via = INVITE
            .replacen("INVITE", method, 2)
            .replace("1 INVITE", &format!("1 {method}"));
        lines(&via)
    };
    assert!(value(&proxy.leaves(&local("CANCEL")), "Call-ID", 0).starts_with("!!:"));
    assert_eq!(proxy.leaves(&local("OPTIONS")), local("OPTIONS"));
}

#[test]
fn notes_of_a_peer_do_not_count() {
    let proxy = proxy(|_| {});
    let hostile = INVITE
        .replace(";branch=z9hG4bKa", ";TH=ucv;branch=z9hG4bKa;th=ucv")
        .replace("To:", "TH: uch\nTo:");
    assert_eq!(proxy.comes(&hostile), proxy.comes(INVITE));
}

#[test]
fn redirects_are_left_where_the_mode_says_so() {
    let reply = "SIP/2.0 302 Moved\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKown\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa\n\
         Contact: <sip:x@10.0.0.5>\nFrom: <sip:a@a>;tag=1\nTo: <sip:b@b>;tag=2\nCall-ID: c1\nCSeq: 1 INVITE";
    let contact = |mode| {
        let proxy = proxy(|params| params.mask_mode = mode);
        value(&proxy.leaves(&proxy.comes(reply)), "Contact", 0)
    };
    assert_eq!(contact(1), "<sip:x@10.0.0.5>");
    assert!(contact(0).starts_with("<sip:127.0.0.8;line=sr-"));
}

#[test]
fn a_uri_with_another_beginning_is_left_where_prefixes_are_checked() {
    let checked = |on| proxy(|params| params.uri_prefix_checks = on);
    let invite = invite_out(&checked(true));
    let bye = from_callee(&invite, "BYE");
    assert!(checked(true).comes(&bye).starts_with("BYE sip:alice@10.0.0.9 "));
    let altered = bye.replacen("127.0.0.8;", "127.0.0.8:5060;", 1);
    assert!(
        checked(false)
            .comes(&altered)
            .starts_with("BYE sip:alice@10.0.0.9 ")
    );
    assert!(
        checked(true)
            .comes(&altered)
            .starts_with("BYE sip:127.0.0.8:5060;")
    );
}

#[test]
fn what_does_not_unmask_stays() {
    let proxy = proxy(|_| {});
    let invite = invite_out(&proxy);
    let cut = from_callee(&invite, "BYE")
        .replace("line=sr-", "line=sr-A")
        .replace("!!:", "!!:A");
    let plain = proxy.comes(&cut);
    let without = plain.replace(";TH=ucv", "").replace("TH: uch\r\n", "");
    assert_eq!(without, lines(&cut));
}

#[test]
fn registrations_and_publications_are_spared() {
    for method in ["REGISTER", "PUBLISH"] {
        let text = INVITE.replace("INVITE", method);
        assert!(read(&Str::from(lines(&text))).is_none());
    }
    assert!(read(&Str::from(lines(INVITE))).is_some());
    assert!(read(&Str::from("no SIP")).is_none());
}

#[test]
fn parameters_are_checked() {
    let refused = |change: fn(&mut Params)| {
        let mut params = Params::default();
        change(&mut params);
        masking(params).is_err()
    };
    assert!(!refused(|_| {}));
    assert!(refused(|p| p.mask_ip = Str::from("proxy")));
    assert!(refused(|p| p.uparam_name = Str::from("a;b")));
    assert!(refused(|p| p.vparam_name = Str::EMPTY));
    assert!(refused(|p| {
        p.mask_callid = true;
        p.callid_prefix = Str::EMPTY;
    }));
    let six = masking(Params {
        mask_ip: Str::from("2001:db8::1"),
        ..Params::default()
    });
    assert_eq!(six.unwrap().host, Some(Str::from("[2001:db8::1]")));
}

#[test]
fn without_a_mask_address_the_listener_shows() {
    let proxy = proxy(|params| params.mask_ip = Str::EMPTY);
    let mut listener = proxy.server.worker.config.identity.listeners[0].clone();
    let local = listener.address;
    assert_eq!(proxy.masking.host(Some(&listener), local), "127.0.0.1");
    listener.advertised = Some((Str::from("proxy.example.com"), 5060));
    assert_eq!(proxy.masking.host(Some(&listener), local), "proxy.example.com");
}

proptest! {
    /// Whatever a peer writes into these places: nothing panics, and what leaves is still a message.
    #[test]
    fn hostile_bytes_do_no_harm(
        uri in "[ -~]{0,40}",
        via in "[ -~]{0,40}",
        route in "[ -~]{0,60}",
        id in "[ -~]{1,20}",
        raw in any::<Vec<u8>>(),
    ) {
        let proxy = proxy(|_| {});
        let identity = &proxy.server.worker.config.identity;
        let text = lines(&format!(
            "BYE sip:127.0.0.8;line=sr-{uri} SIP/2.0\nVia: {via}\nVia: SIP/2.0/UDP a;{via},{via}\nRoute: {route}\n\
             Record-Route: {route}\nContact: {route}\nTH: {id}\nCall-ID: !!:{id}\nFrom: {route}\nTo: {uri}\nCSeq: 1 BYE"
        ));
        let mut hostile = text.clone().into_bytes();
        hostile.extend_from_slice(&raw);
        for data in [Str::from(text), Str::from(hostile), Str::from(raw)] {
            let Ok(msg) = Message::parse(data, &Limits::default()) else { continue };
            let plain = proxy.masking.incoming(&msg, identity, HOST);
            let again = parse(&plain);
            let out = proxy.masking.outgoing(&again, identity, HOST);
            let out = parse(&out);
            prop_assert_eq!(out.body(), msg.body());
            prop_assert_eq!(out.named(b"TH").count(), 0);
        }
    }
}

#[test]
fn call_ids_are_masked_for_other_modules() {
    let masking = proxy(|params| params.use_mode = 1).masking;
    let masked = masking.mask_call_id(b"c1@10.0.0.1");
    assert!(masked.starts_with(b"!!:"));
    assert_eq!(masking.unmask_call_id(&masked), Some(Str::from("c1@10.0.0.1")));
    assert_eq!(masking.unmask_call_id(b"!!:c1"), None);
    assert_eq!(masking.unmask_call_id(b"c1@10.0.0.1"), None);
}

#[test]
fn faulty_requests_are_left_where_checks_are_asked_for() {
    let proxy = proxy(|_| {});
    let received = proxy.server.invite().received;
    let faulty = Str::from(lines(&INVITE.replace("CSeq: 1", "CSeq: x")));
    let seen = |strict| {
        super::unmask(
            &proxy.masking,
            strict,
            &proxy.server.worker,
            &received,
            faulty.clone(),
        )
    };
    assert_eq!(seen(true), faulty);
    assert_ne!(seen(false), faulty);
}

#[test]
fn event_routes_run_on_what_leaves_but_not_within_themselves() {
    let proxy = proxy(|_| {});
    let gate = super::Gate {
        outgoing: Some(RouteId(1)),
        sending: Some(RouteId(2)),
        strict: false,
    };
    let to = Destination {
        to: "127.0.0.9:5070".parse().unwrap(),
        transport: kahea_sip::Transport::Udp,
        listener: None,
        connection: None,
        flags: kahea_sip::SendFlags::default(),
    };
    let plain = Str::from(relayed(&proxy.comes(INVITE)));
    let leaves = || super::mask(&proxy.masking, &gate, &proxy.server.worker, &to, plain.clone());
    let out = leaves();
    assert_eq!(*proxy.server.engine.ran.borrow(), [RouteId(1), RouteId(2)]);
    assert_eq!(out.text(), proxy.leaves(&plain.text()));
    let run = super::Run::begin();
    assert_eq!(leaves(), out);
    drop(run);
    assert_eq!(proxy.server.engine.ran.borrow().len(), 2);
    leaves();
    assert_eq!(proxy.server.engine.ran.borrow().len(), 4);
}

#[test]
fn what_the_server_makes_for_a_branch_has_the_call_id_of_its_side() {
    let proxy = proxy(|_| {});
    let cancel = |mark: &str| {
        let text = format!(
            "CANCEL sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP p;branch=z9hG4bK1\nFrom: <sip:a@h>;tag=1\n\
             To: <sip:b@h>\nCall-ID: plain\nCSeq: 7 CANCEL\n{mark}Content-Length: 0"
        );
        let sent = proxy.leaves(&lines(&text));
        assert!(!sent.contains("\nTH:"), "the mark leaves the server: {sent}");
        value(&sent, "Call-ID", 0)
    };
    // A request that went to the callee, and one to the caller, who knows the Call-ID as it is.
    assert_ne!(cancel("TH: dch\n"), "plain");
    assert_eq!(cancel("TH: uch\n"), "plain");
    assert_ne!(cancel(""), "plain", "without a mark, as before");
}
