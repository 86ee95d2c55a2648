use kahea_module::{
    Listener, Outgoing,
    config::Config,
    testing::{FakeBind, Server},
};
use kahea_sip::{ListenerId, Received, Transport};

use super::*;

/// Listeners: 0 at 127.0.0.1:5060, 1 at 127.0.0.1:5062, 2 over TLS at 127.0.0.1:5061 with the name "edge".
fn server() -> Server {
    Server::new(|config: &mut Config| {
        let first = config.identity.listeners[0].clone();
        config.identity.listeners.push(Listener {
            id: ListenerId(1),
            address: "127.0.0.1:5062".parse().unwrap(),
            ..first.clone()
        });
        config.identity.listeners.push(Listener {
            id: ListenerId(2),
            transport: Transport::Tls,
            address: "127.0.0.1:5061".parse().unwrap(),
            name: Some(Str::from_static("edge")),
            ..first
        });
    })
}

fn rr(change: impl FnOnce(&mut Setup)) -> Rr {
    let mut setup = Setup {
        append_fromtag: true,
        double: Double::WhereNeeded,
        full_lr: false,
        add_username: false,
        socket_mismatch_warning: true,
        custom_user_avp: None,
        force_send_socket: false,
        ignore_sips: false,
        sockname_mode: false,
        outbound: None,
    };
    change(&mut setup);
    Rr {
        service: Arc::new(Service::new(Arc::new(setup))),
        loose_only: false,
    }
}

fn request(server: &Server, ruri: &str, to_tag: &str, routes: &[&str]) -> Cx {
    let routes: String = routes.iter().map(|route| format!("Route: {route}\n")).collect();
    server.message(&format!(
        "BYE {ruri} SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1\n{routes}\
         From: <sip:a@b.org>;tag=ft1\nTo: <sip:c@d.org>{to_tag}\nCall-ID: 1\nCSeq: 2 BYE\nContent-Length: 0\n"
    ))
}

/// The headers of that name as the message would leave by this listener.
fn headers(cx: &Cx, listener: usize, name: &str) -> Vec<String> {
    let listener = &cx.config().identity.listeners[listener];
    let way = Outgoing::new(cx, listener, listener.transport, cx.received.source);
    let late = &mut |id, out: &mut Vec<u8>| cx.late.resolve(id, &way, out);
    let mut out = Vec::new();
    kahea_sip::build::edited(&cx.msg, &cx.edits, late, &mut out);
    let text = String::from_utf8(out).unwrap();
    let prefix = format!("{name}: ");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        .collect()
}

fn du(cx: &Cx) -> Option<String> {
    cx.target.dst_uri.as_ref().map(|uri| uri.to_string())
}

const OWN: &str = "<sip:127.0.0.1;lr;ftag=ft1;a=1>";
const HOP: &str = "<sip:10.0.0.9:5070;lr>";

#[test]
fn one_header_on_one_side_and_two_across() {
    let server = server();
    let m = rr(|setup| setup.sockname_mode = true);
    let mut cx = server.invite();
    record_route(&m, &mut cx, Some("p=1".into())).unwrap();
    add_rr_param(&m, &mut cx, ";q=2".into()).unwrap();
    let tail = "lr;ftag=1928301774;p=1;q=2>";
    assert_eq!(
        headers(&cx, 0, "Record-Route"),
        [format!("<sip:127.0.0.1;{tail}")]
    );
    assert_eq!(
        headers(&cx, 1, "Record-Route"),
        [
            format!("<sip:127.0.0.1:5062;r2=on;{tail}"),
            format!("<sip:127.0.0.1;r2=on;{tail}")
        ]
    );
    assert_eq!(
        headers(&cx, 2, "Record-Route")[0],
        format!("<sip:127.0.0.1;transport=tls;sn=edge;r2=on;{tail}")
    );
}

#[test]
fn a_second_time_is_refused_until_the_first_is_taken_back() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = server.invite();
    record_route(&m, &mut cx, None).unwrap();
    assert!(record_route(&m, &mut cx, None).is_err());
    assert!(record_route_preset(&m, &mut cx, "192.0.2.1".into(), None).is_err());
    assert!(m.service.is_recorded(&cx));
    remove_record_route(&m, &mut cx);
    assert!(headers(&cx, 1, "Record-Route").is_empty());
    record_route_preset(&m, &mut cx, "192.0.2.1".into(), Some("192.0.2.2;r2=on".into())).unwrap();
    assert_eq!(headers(&cx, 0, "Record-Route").len(), 2);
}

#[test]
fn a_branch_keeps_its_headers_to_itself() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = server.invite();
    add_rr_param(&m, &mut cx, ";all=1".into()).unwrap();
    let (edits, late) = (cx.edits.clone(), cx.late.clone());
    record_route(&m, &mut cx, Some(";branch=1".into())).unwrap();
    assert!(headers(&cx, 0, "Record-Route")[0].ends_with(";branch=1;all=1>"));
    cx.edits = edits;
    cx.late = late;
    assert!(!m.service.is_recorded(&cx));
    record_route(&m, &mut cx, Some(";branch=2".into())).unwrap();
    add_rr_param(&m, &mut cx, ";more=1".into()).unwrap();
    assert!(headers(&cx, 0, "Record-Route")[0].ends_with(";branch=2;all=1;more=1>"));
}

#[test]
fn no_argument_breaks_the_header() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = server.invite();
    let bad = || Str::from(";a=1\r\nX: 1");
    assert!(record_route(&m, &mut cx, Some(bad())).is_err());
    assert!(record_route_preset(&m, &mut cx, bad(), None).is_err());
    assert!(record_route_advertised_address(&m, &mut cx, bad()).is_err());
    assert!(add_rr_param(&m, &mut cx, bad()).is_err());
    let never = rr(|setup| setup.double = Double::Never);
    assert!(record_route_preset(&never, &mut cx, "a".into(), Some("b".into())).is_err());
    assert!(cx.edits.is_empty());
}

#[test]
fn the_own_value_leaves_and_the_next_is_the_destination() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &[OWN, HOP]);
    assert_eq!(loose_route(&m, &mut cx), Ok(1));
    assert_eq!(du(&cx).as_deref(), Some("sip:10.0.0.9:5070;lr"));
    assert_eq!(headers(&cx, 0, "Route"), [HOP]);
    assert!(rr_next_hop_route(&m, &mut cx));
    assert!(check_route_param(
        &m,
        &mut cx,
        Regex::new(b"^;lr.*;a=1$").unwrap()
    ));
    assert_eq!(m.service.route_param(&cx, b"a"), Some(Str::from("1")));
    assert_eq!(m.service.route_param(&cx, b"lr"), Some(Str::EMPTY));
}

#[test]
fn an_initial_request_for_this_server_alone_is_preloaded() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = request(&server, "sip:c@10.0.0.3", "", &[OWN]);
    assert_eq!(loose_route(&m, &mut cx), Ok(-3));
    assert!(headers(&cx, 0, "Route").is_empty());
    let mut cx = request(&server, "sip:c@10.0.0.3", "", &[OWN]);
    assert_eq!(loose_route_preloaded(&m, &mut cx), Ok(true));
    let mut cx = request(&server, "sip:c@10.0.0.3", "", &[]);
    assert_eq!(loose_route(&m, &mut cx), Ok(-1));
}

#[test]
fn both_halves_of_a_pair_leave_and_the_second_chooses_the_listener() {
    let server = server();
    let m = rr(|_| {});
    let (near, far) = ("<sip:127.0.0.1:5062;r2=on;lr>", "<sip:127.0.0.1;r2=on;lr>");
    for routes in [
        vec![far, near, HOP],
        vec!["<sip:127.0.0.1;r2=on;lr>, <sip:127.0.0.1:5062;r2=on;lr>", HOP],
    ] {
        let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &routes);
        assert_eq!(loose_route(&m, &mut cx), Ok(1));
        assert_eq!(headers(&cx, 0, "Route"), [HOP]);
        assert_eq!(cx.target.send_socket, Some(ListenerId(1)));
    }
    let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &[near, HOP]);
    assert_eq!(loose_route(&m, &mut cx), Ok(1));
    assert_eq!(
        du(&cx).as_deref(),
        Some("sip:10.0.0.9:5070;lr"),
        "a foreign hop is no half of ours"
    );
}

#[test]
fn strict_routers_before_and_behind() {
    let server = server();
    let m = rr(|_| {});
    let mut cx = request(
        &server,
        "sip:c@10.0.0.3",
        ";tag=uas",
        &["<sip:127.0.0.1;lr>, <sip:10.0.0.9;x=1>, <sip:10.0.0.8;lr>"],
    );
    assert_eq!(loose_route(&m, &mut cx), Ok(1));
    assert_eq!(cx.ruri(), "sip:10.0.0.9;x=1");
    assert_eq!(
        headers(&cx, 0, "Route"),
        ["<sip:10.0.0.8;lr>", "<sip:c@10.0.0.3>"]
    );
    let mut cx = request(
        &server,
        "sip:127.0.0.1;lr;a=1",
        ";tag=uas",
        &["<sip:10.0.0.9;lr>, <sip:c@10.0.0.3>"],
    );
    assert_eq!(loose_route(&m, &mut cx), Ok(1));
    assert_eq!(
        (cx.ruri(), du(&cx).as_deref()),
        ("sip:c@10.0.0.3".into(), Some("sip:10.0.0.9;lr"))
    );
    assert_eq!(headers(&cx, 0, "Route"), ["<sip:10.0.0.9;lr>"]);
    let mut cx = request(&server, "sip:127.0.0.1", ";tag=uas", &["<sip:127.0.0.1;lr>", HOP]);
    assert_eq!(loose_route_mode(&m, &mut cx, 1), Ok(1));
    assert_eq!(cx.ruri(), "sip:127.0.0.1");
}

#[test]
fn values_that_cannot_be_read_are_the_peers_fault() {
    let server = server();
    let m = rr(|_| {});
    for route in [
        "<nothing>",
        "sip:127.0.0.1;lr",
        "<sip:127.0.0.1;lr>,",
        "",
        "<sip:127.0.0.1:99999;lr>",
        "<sip:127.0.0.1;lr",
        "\"<sip:127.0.0.1;lr>",
        "<>",
        ",",
    ] {
        for (ruri, tag) in [("sip:c@10.0.0.3", ""), ("sip:127.0.0.1;r2=on", ";tag=uas")] {
            let mut cx = request(&server, ruri, tag, &[route]);
            let fault = loose_route(&m, &mut cx).unwrap_err();
            assert_eq!(
                (fault.blame, fault.code),
                (kahea_module::Blame::Peer, -1),
                "{route}"
            );
        }
    }
}

#[test]
fn the_direction_follows_the_from_tag() {
    let server = server();
    let m = rr(|_| {});
    for (route, up) in [
        (OWN, false),
        ("<sip:127.0.0.1;lr;ftag=other>", true),
        ("<sip:127.0.0.1;lr;ftag=>", false),
        ("<sip:10.0.0.1;lr;ftag=other>", false),
    ] {
        let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &[route]);
        assert_eq!(
            is_direction(&m, &mut cx, "upstream".into()),
            Ok(up),
            "before: {route}"
        );
        loose_route(&m, &mut cx).unwrap();
        assert_eq!(is_direction(&m, &mut cx, "UPSTREAM".into()), Ok(up), "{route}");
        let caller = if up { "uas" } else { "ft1" };
        assert_eq!(state::initial_tag(&cx, m.setup(), false), Some(caller.into()));
        assert!(is_direction(&m, &mut cx, "sideways".into()).is_err());
    }
}

#[test]
fn hooks_see_the_parameters_of_the_value_that_left() {
    let server = server();
    let m = rr(|_| {});
    m.service.on_route(Arc::new(|cx: &mut Cx, params: &Str| {
        cx.target.dst_uri = Some(Str::from([b"sip:hook;", &**params].concat()));
    }));
    let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &[OWN, HOP]);
    loose_route(&m, &mut cx).unwrap();
    assert_eq!(du(&cx).as_deref(), Some("sip:hook;lr;ftag=ft1;a=1"));
    let mut cx = request(&server, "sip:c@10.0.0.3", ";tag=uas", &[HOP]);
    loose_route(&m, &mut cx).unwrap();
    assert_eq!(du(&cx).as_deref(), Some("sip:10.0.0.9:5070;lr"));
}

#[test]
fn a_flow_token_leads_to_its_flow_and_a_forged_one_nowhere() {
    let server = server();
    let outbound = Arc::new(outbound::Service::for_tests());
    let m = rr(|setup| setup.outbound = Some(outbound.clone()));
    let flow = Received {
        source: "192.0.2.7:7777".parse().unwrap(),
        local: "127.0.0.1:5062".parse().unwrap(),
        listener: ListenerId(1),
        ..server.invite().received
    };
    let token = outbound.token(&flow);
    let mut cx = request(
        &server,
        "sip:c@10.0.0.3",
        "",
        &[&format!("<sip:{token}@127.0.0.1:5062;lr>")],
    );
    assert_eq!(loose_route(&m, &mut cx), Ok(2));
    assert_eq!(du(&cx).as_deref(), Some("sip:192.0.2.7:7777;transport=udp"));
    assert_eq!(cx.target.send_socket, Some(ListenerId(1)));
    // From the flow itself the token is no destination.
    let mut cx = request(
        &server,
        "sip:c@10.0.0.3",
        ";tag=1",
        &[&format!("<sip:{token}@127.0.0.1:5062;lr>")],
    );
    cx.received = flow;
    assert_eq!((loose_route(&m, &mut cx), du(&cx)), (Ok(1), None));
    let forged = token.text().replacen(|c: char| c.is_ascii_lowercase(), "Z", 1);
    let mut cx = request(
        &server,
        "sip:c@10.0.0.3",
        "",
        &[&format!("<sip:{forged}@127.0.0.1:5062;lr>")],
    );
    assert_eq!(loose_route(&m, &mut cx).unwrap_err().code, -2);
    assert_eq!(du(&cx), None);
}

#[test]
fn the_user_comes_from_the_avp_or_the_request() {
    let server = server();
    let var = FakeBind::default();
    let custom = kahea_module::Bind::var(&var, "$var(u)").unwrap();
    let m = rr(|setup| {
        setup.add_username = true;
        setup.custom_user_avp = Some(custom.clone());
    });
    let mut cx = server.invite();
    custom.set(&mut cx, Value::from("")).unwrap();
    record_route(&m, &mut cx, None).unwrap();
    assert!(headers(&cx, 0, "Record-Route")[0].starts_with("<sip:bob@127.0.0.1;lr"));
    let mut cx = server.invite();
    custom.set(&mut cx, Value::from("mob")).unwrap();
    record_route(&m, &mut cx, None).unwrap();
    assert!(headers(&cx, 0, "Record-Route")[0].starts_with("<sip:mob@127.0.0.1;lr"));
}
