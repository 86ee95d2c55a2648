use kahea_module::{
    ReplyExtra,
    testing::{FakeBind, Server},
};

use super::{
    super::{Counters, live::LiveCache, params::Params},
    *,
};
use crate::usrloc::testing;

struct Bench {
    server: Server,
    inner: Arc<Inner>,
    domain: Arc<Domain>,
}

fn bench(change: impl FnOnce(&mut Params)) -> Bench {
    let mut params = Params::default();
    change(&mut params);
    let server = Server::new(|config| {
        let int = kahea_module::Value::Int;
        for (name, value) in [
            ("default_expires", params.default_expires),
            ("min_expires", params.min_expires),
            ("max_expires", params.max_expires),
            ("max_contacts", params.max_contacts),
            ("retry_after", params.retry_after),
            ("default_q", params.default_q),
            ("append_branches", params.append_branches),
        ] {
            config.settings.declare("registrar", name, int(value), "", false);
        }
    });
    let shared = &server.worker.config.shared;
    let (service, domain) = testing::memory(shared, "location");
    let inner = Inner {
        service,
        fixed: params.fixed(&FakeBind::default()).unwrap(),
        live: LiveCache::new(&shared.stats, &server.worker.config.settings),
        stateful: Arc::default(),
        counters: Counters {
            accepted: shared.stats.counter("registrar", "accepted_regs", ""),
            rejected: shared.stats.counter("registrar", "rejected_regs", ""),
        },
    };
    Bench {
        inner: Arc::new(inner),
        server,
        domain,
    }
}

impl Bench {
    fn register(&self, cseq: u32, flags: i64, lines: &str) -> i64 {
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK{cseq}\n\
             From: <sip:alice@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: c\nCSeq: {cseq} REGISTER\n{lines}\n"
        );
        let mut cx = self.server.message(&text);
        match self.inner.clone().save(&mut cx, &self.domain, flags, None) {
            Ret::Code(code) => code,
            other => panic!("{other:?}"),
        }
    }

    fn reply(&self) -> String {
        self.server
            .net
            .sent
            .borrow()
            .last()
            .unwrap()
            .1
            .text()
            .into_owned()
    }
}

#[test]
fn the_reply_lists_what_is_registered() {
    let bench = bench(|_| {});
    assert_eq!(
        bench.register(1, 0, "Contact: <sip:a@192.0.2.1>;q=0.5;expires=300"),
        INSERTED
    );
    assert!(
        bench
            .reply()
            .contains("Contact: <sip:a@192.0.2.1>;q=0.5;expires=300\r\n")
    );
    assert_eq!(
        bench.register(2, 0, "Contact: <sip:a@192.0.2.1>;expires=600"),
        UPDATED
    );
    assert_eq!(bench.register(3, 0, ""), LISTED);
    assert!(
        bench
            .reply()
            .contains("Contact: <sip:a@192.0.2.1>;expires=600\r\n")
    );
    assert_eq!(bench.register(4, 0, "Contact: *\nExpires: 0"), DELETED);
    assert!(!bench.reply().contains("Contact:"));
    assert_eq!(bench.inner.counters.accepted.get(), 4);
}

#[test]
fn a_refused_request_changes_nothing() {
    let bench = bench(|params| params.max_contacts = 1);
    bench.register(5, 0, "Contact: <sip:a@192.0.2.1>");
    let refused = [
        (4, "Contact: <sip:a@192.0.2.1>;expires=0", "400", -1),
        (
            6,
            "Contact: <sip:a@192.0.2.1>;expires=0, <sip:b@192.0.2.1>;q=7",
            "400",
            -1,
        ),
        (7, "Contact: <sip:b@192.0.2.1>", "503", -2),
        (8, "Contact: *", "400", -1),
        (9, "Contact: <sip:b", "400", -1),
    ];
    for (cseq, lines, status, code) in refused {
        assert_eq!(bench.register(cseq, 0, lines), code, "{lines}");
        assert!(
            bench.reply().starts_with(&format!("SIP/2.0 {status} ")),
            "{lines}"
        );
        assert_eq!(bench.domain.slices(), 1024);
        assert_eq!(bench.register(20 + cseq, 0, ""), LISTED);
        assert!(
            bench
                .reply()
                .contains("Contact: <sip:a@192.0.2.1>;expires=3600\r\n"),
            "{lines}"
        );
    }
}

#[test]
fn replies_wait_for_reg_send_reply() {
    let bench = bench(|_| {});
    assert_eq!(
        bench.register(1, NO_REPLY, "Contact: <sip:a@192.0.2.1>"),
        INSERTED
    );
    assert!(bench.server.net.sent.borrow().is_empty());
    let mut cx = bench.server.invite();
    bench.inner.reply(
        &mut cx,
        NO_REPLY | REPLY_HEADERS,
        reply::Outcome {
            lines: vec![Str::from("Contact: <sip:x@y>\r\n")],
            ..reply::Outcome::default()
        },
    );
    assert!(matches!(&cx.reply_extra[..], [ReplyExtra::Header(line)] if *line == "Contact: <sip:x@y>\r\n"));
    let kept = cx.extra::<LastOutcome>().0.take().unwrap();
    reply::send(&bench.inner.stateful, &mut cx, &kept);
    assert_eq!(bench.reply().matches("Contact: <sip:x@y>").count(), 1);
}

#[test]
fn a_hostile_contact_is_kept_as_text_or_refused() {
    let bench = bench(|_| {});
    for (at, contact) in [
        "<sip:a@192.0.2.1>;expires=18446744073709551616",
        "<sip:a@192.0.2.1>;q=1.0000000000000000001",
        "<sip:a@192.0.2.1>;+sip.instance=\"<urn:\\\"x>\"",
        "<sip:a@192.0.2.1>;reg-id=4294967297;+sip.instance=\"x\"",
        "\"unclosed <sip:a@192.0.2.1>",
        "<>",
        ",,,",
    ]
    .iter()
    .enumerate()
    {
        let cseq = u32::try_from(at).unwrap() + 1;
        let code = bench.register(cseq, 0, &format!("Contact: {contact}\nSupported: gruu, outbound"));
        assert!((-1..=4).contains(&code), "{contact}");
        assert!(bench.reply().starts_with("SIP/2.0 "), "{contact}");
    }
}
