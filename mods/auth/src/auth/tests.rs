//! Challenges answered by a phone that lives in the test.

use std::{sync::Arc, time::Duration};

use kahea_module::{Cx, ReplyExtra, Ret, Str, Value, testing::Server};

use super::{
    Auth, challenge,
    counts::{Counts, Sizes},
    functions,
    nonce::{Ages, Checks, Nonces},
    service::{Secret, Service, Side, Verdict},
};
use crate::digest::{self, Algorithm, Count, Protection};

pub(crate) fn service(change: impl FnOnce(&mut Service)) -> Auth {
    let ages = Ages {
        expire: 300,
        drift: 3,
    };
    let text = Str::from_static;
    let mut service = Service {
        nonces: Nonces::new(b"the secret of the tests", Checks::default(), ages),
        counts: None,
        nonce_count: false,
        one_time: false,
        algorithms: Vec::new(),
        realm_prefix: Str::EMPTY,
        use_domain: false,
        add_info: false,
        qop: None,
        headers: [text("WWW-Authenticate"), text("Proxy-Authenticate")],
        avp: text("digest_challenge"),
        stateful: None,
    };
    change(&mut service);
    Auth {
        service: Arc::new(service),
    }
}

/// A module over a service that another one holds.
pub(crate) fn over(service: Arc<Service>) -> Auth {
    Auth { service }
}

fn counting() -> Option<Arc<Counts>> {
    Some(Arc::new(Counts::new(Sizes {
        counts: Some(8),
        once: Some(8),
        pools: 0,
    })))
}

/// The text of the last reply.
fn replied(server: &Server) -> String {
    let sent = server.net.sent.borrow();
    sent.last()
        .map(|(_, data)| data.text().into_owned())
        .unwrap_or_default()
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.split(&format!("{name}=\""))
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default()
}

/// What a phone shows.
pub(crate) struct Phone {
    pub(crate) algorithm: Algorithm,
    pub(crate) named: bool,
    pub(crate) password: &'static str,
    pub(crate) realm: &'static str,
    pub(crate) uri: &'static str,
    pub(crate) qop: Option<&'static str>,
    pub(crate) nc: &'static str,
}

pub(crate) const PHONE: Phone = Phone {
    algorithm: Algorithm::Md5,
    named: false,
    password: "secret",
    realm: "example.com",
    uri: "sip:example.com",
    qop: None,
    nc: "00000001",
};

impl Phone {
    /// A REGISTER that answers the nonce.
    pub(crate) fn register(&self, server: &Server, nonce: &str) -> Cx {
        let ha1 = self
            .algorithm
            .hash(&[b"alice", self.realm.as_bytes(), self.password.as_bytes()]);
        let count = self.qop.map(|qop| Count {
            qop: qop.as_bytes(),
            nc: self.nc.as_bytes(),
            cnonce: b"c",
        });
        let protection = match count {
            None => Protection::None,
            Some(count) if count.qop == b"auth-int" => Protection::AuthInt(count, b"body"),
            Some(count) => Protection::Auth(count),
        };
        let hex = digest::response(
            self.algorithm,
            &ha1,
            nonce.as_bytes(),
            b"REGISTER",
            self.uri.as_bytes(),
            protection,
        );
        let mut line = format!(
            "Digest username=\"alice\", realm=\"{}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{}\"",
            self.realm,
            self.uri,
            String::from_utf8_lossy(hex.as_bytes())
        );
        if self.named {
            line += &format!(", algorithm={}", self.algorithm.name());
        }
        if let Some(qop) = self.qop {
            line += &format!(", qop={qop}, nc={}, cnonce=\"c\"", self.nc);
        }
        server.message(&register(&format!("Authorization: {line}\n")))
    }
}

fn register(extra: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1\nFrom: <sip:alice@example.com>;tag=1\nTo: <sip:alice@example.com>\nCall-ID: 1\nCSeq: 1 REGISTER\n{extra}Content-Length: 4\n\nbody"
    )
}

fn check(m: &Auth, cx: &mut Cx, password: &str) -> i64 {
    functions::pv_www(m, cx, "example.com".into(), password.into(), 0, None).code()
}

/// Challenges a first request; the nonce.
pub(crate) fn nonce(m: &Auth, server: &Server) -> String {
    let mut cx = server.message(&register(""));
    assert_eq!(check(m, &mut cx, "secret"), -5);
    let ret = challenge::www_challenge(m, &mut cx, "example.com".into(), Value::Int(0), None);
    assert!(matches!(ret, Ret::Code(1)) && cx.reply_extra.is_empty());
    value(&replied(server), "nonce").to_owned()
}

#[test]
fn a_phone_is_challenged_and_accepted() {
    let server = Server::default();
    let m = service(|_| {});
    let nonce = nonce(&m, &server);
    assert!(replied(&server).starts_with("SIP/2.0 401 Unauthorized\r\n"));
    let mut cx = PHONE.register(&server, &nonce);
    assert_eq!(check(&m, &mut cx, "secret"), 1);
    assert_eq!(check(&m, &mut cx, "other"), -2);
    let ha1 = Algorithm::Md5.hash(&[b"alice", b"example.com", b"secret"]);
    let ha1 = Str::copy(ha1.as_bytes());
    assert_eq!(
        functions::pv_www(&m, &mut cx, "example.com".into(), ha1, 1, None).code(),
        1
    );
    assert_eq!(functions::consume_credentials(&m, &mut cx), Ok(true));
    assert!(
        cx.edits
            .is_removed(cx.msg.first(kahea_sip::HeaderId::Authorization).unwrap().line)
    );
    assert!(functions::consume_credentials(&m, &mut server.invite()).is_err());
}

#[test]
fn what_is_wrong_is_challenged_again() {
    let server = Server::default();
    let m = service(|_| {});
    let nonce = nonce(&m, &server);
    let code = |phone: Phone, nonce: &str| check(&m, &mut phone.register(&server, nonce), "secret");
    assert_eq!(
        code(
            Phone {
                realm: "other.com",
                ..PHONE
            },
            &nonce
        ),
        -5
    );
    assert_eq!(
        code(
            Phone {
                password: "wrong",
                ..PHONE
            },
            &nonce
        ),
        -2
    );
    assert_eq!(code(PHONE, "made up"), -1);
    assert_eq!(code(PHONE, &nonce.to_ascii_lowercase()), -4);
    assert_eq!(
        code(
            Phone {
                algorithm: Algorithm::Sha256,
                ..PHONE
            },
            &nonce
        ),
        -1
    );
    assert_eq!(
        code(
            Phone {
                qop: Some("auth"),
                nc: "",
                ..PHONE
            },
            &nonce
        ),
        -1
    );
    server.engine.advance(Duration::from_secs(301));
    assert_eq!(code(PHONE, &nonce), -4);
}

#[test]
fn a_stale_nonce_is_told_in_the_next_challenge_and_only_there() {
    let server = Server::default();
    let m = service(|_| {});
    let nonce = nonce(&m, &server);
    server.engine.advance(Duration::from_secs(301));
    let mut cx = PHONE.register(&server, &nonce);
    assert_eq!(check(&m, &mut cx, "secret"), -4);
    challenge::www_challenge(&m, &mut cx, "example.com".into(), Value::Int(1), None);
    assert!(
        replied(&server).contains("qop=\"auth\", stale=true\r\n"),
        "{}",
        replied(&server)
    );
    let fresh = value(&replied(&server), "nonce").to_owned();
    let mut cx = Phone {
        password: "wrong",
        ..PHONE
    }
    .register(&server, &fresh);
    assert_eq!(check(&m, &mut cx, "secret"), -2);
    challenge::www_challenge(&m, &mut cx, "example.com".into(), Value::Int(0), None);
    assert!(!replied(&server).contains("stale"));
}

#[test]
fn a_nonce_bound_to_its_uri_serves_no_other() {
    let server = Server::default();
    let ages = Ages {
        expire: 300,
        drift: 3,
    };
    let checks = Checks {
        register: 1,
        ..Checks::default()
    };
    let m = service(|service| service.nonces = Nonces::new(b"secret", checks, ages));
    let nonce = nonce(&m, &server);
    assert_eq!(check(&m, &mut PHONE.register(&server, &nonce), "secret"), 1);
    let other = register("").replace("REGISTER sip:example.com", "REGISTER sip:other.com");
    let line = PHONE.register(&server, &nonce);
    let line = line
        .msg
        .first(kahea_sip::HeaderId::Authorization)
        .map(|header| line.msg.value_text(header))
        .unwrap();
    let moved = other.replace(
        "Content-Length",
        &format!("Authorization: {line}\nContent-Length"),
    );
    assert_eq!(check(&m, &mut server.message(&moved), "secret"), -4);
}

#[test]
fn counts_must_grow_and_a_nonce_without_them_is_used_once() {
    let server = Server::default();
    let m = service(|service| {
        service.nonce_count = true;
        service.one_time = true;
        service.counts = counting();
    });
    let first = nonce(&m, &server);
    let code = |phone: Phone, nonce: &str| check(&m, &mut phone.register(&server, nonce), "secret");
    let counted = |nc| Phone {
        qop: Some("auth"),
        nc,
        ..PHONE
    };
    assert_eq!(code(counted("00000001"), &first), 1);
    assert_eq!(code(counted("00000001"), &first), -4);
    assert_eq!(code(counted("00000003"), &first), 1);
    assert_eq!(code(counted("00000002"), &first), -4);
    assert_eq!(code(counted("00000100"), &first), -4);
    assert_eq!(
        code(
            Phone {
                password: "wrong",
                ..counted("00000004")
            },
            &first
        ),
        -2
    );
    assert_eq!(
        code(counted("00000004"), &first),
        -4,
        "the wrong password used it up"
    );
    assert_eq!(code(counted("5"), &first), -1);
    let second = nonce(&m, &server);
    assert_eq!((code(PHONE, &second), code(PHONE, &second)), (1, -6));
}

#[test]
fn flag_32_keeps_the_count_for_the_right_password() {
    let server = Server::default();
    let m = service(|service| {
        service.nonce_count = true;
        service.counts = counting();
    });
    let nonce = nonce(&m, &server);
    let code = |password: &str| {
        let phone = Phone {
            qop: Some("auth"),
            ..PHONE
        };
        let mut cx = phone.register(&server, &nonce);
        functions::pv_www(&m, &mut cx, "example.com".into(), password.into(), 32, None).code()
    };
    assert_eq!((code("wrong"), code("secret"), code("secret")), (-2, 1, -4));
}

#[test]
fn the_body_counts_with_auth_int() {
    let server = Server::default();
    let m = service(|_| {});
    let nonce = nonce(&m, &server);
    let phone = Phone {
        qop: Some("auth-int"),
        ..PHONE
    };
    assert_eq!(check(&m, &mut phone.register(&server, &nonce), "secret"), 1);
    let cx = phone.register(&server, &nonce);
    let changed = cx
        .msg
        .buffer()
        .text()
        .replace("\r\n\r\nbody", "\r\n\r\nBODY")
        .replace("\r\n", "\n");
    assert_eq!(check(&m, &mut server.message(&changed), "secret"), -2);
}

#[test]
fn every_algorithm_is_offered_and_accepted() {
    let server = Server::default();
    let m = service(|service| {
        service.algorithms = vec![Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5]
    });
    let nonce = nonce(&m, &server);
    let lines: Vec<String> = replied(&server)
        .lines()
        .filter(|line| line.starts_with("WWW-A"))
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), 3);
    for (line, name) in lines.iter().zip(["SHA-512-256", "SHA-256", "MD5"]) {
        assert!(line.ends_with(&format!("algorithm={name}")), "{line}");
    }
    for algorithm in [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5] {
        let phone = Phone {
            algorithm,
            named: true,
            ..PHONE
        };
        assert_eq!(
            check(&m, &mut phone.register(&server, &nonce), "secret"),
            1,
            "{algorithm:?}"
        );
    }
    assert_eq!(
        check(&m, &mut PHONE.register(&server, &nonce), "secret"),
        1,
        "MD5 need not be named"
    );
    let phone = Phone {
        algorithm: Algorithm::Sha512,
        named: true,
        ..PHONE
    };
    assert_eq!(
        check(&m, &mut phone.register(&server, &nonce), "secret"),
        -1,
        "not offered"
    );
}

#[test]
fn the_script_chooses_algorithms_for_its_message() {
    let server = Server::default();
    let m = service(|_| {});
    let mut cx = server.message(&register(""));
    assert!(challenge::auth_algorithm(&m, &mut cx, "SHA-3".into()).is_err());
    assert_eq!(challenge::auth_algorithm(&m, &mut cx, "SHA-256".into()), Ok(true));
    challenge::auth_challenge(&m, &mut cx, "example.com".into(), Value::Int(0), None);
    assert!(replied(&server).contains("algorithm=SHA-256"));
    challenge::proxy_challenge(
        &m,
        &mut cx,
        "example.com".into(),
        "0".into(),
        Some("SHA-512,MD5".into()),
    );
    assert_eq!(replied(&server).matches("Proxy-Authenticate: ").count(), 2);
}

#[test]
fn challenges_that_cannot_be_are_answered_with_500_unless_the_flags_forbid_it() {
    let server = Server::default();
    let m = service(|_| {});
    let mut cx = server.message(&register(""));
    let code = |ret| match ret {
        Ret::Fault(fault) => fault.code,
        other => panic!("{other:?}"),
    };
    let sent = || server.net.sent.borrow().len();
    assert_eq!(
        code(challenge::www_challenge(
            &m,
            &mut cx,
            "".into(),
            Value::Int(4),
            None
        )),
        -1
    );
    assert_eq!(sent(), 0);
    assert_eq!(
        code(challenge::www_challenge(
            &m,
            &mut cx,
            Value::Null,
            Value::Int(4),
            None
        )),
        -1
    );
    assert_eq!(
        code(challenge::www_challenge(
            &m,
            &mut cx,
            "r".into(),
            "x".into(),
            None
        )),
        -1
    );
    assert_eq!(sent(), 2);
    assert!(replied(&server).starts_with("SIP/2.0 500 "));
}

#[test]
fn a_realm_cannot_break_out_of_its_line() {
    let server = Server::default();
    let m = service(|_| {});
    let mut cx = server.message(&register(""));
    challenge::www_challenge(&m, &mut cx, "a\"b\\\r\nEvil: 1".into(), Value::Int(0), None);
    assert!(
        replied(&server).contains("Digest realm=\"a\\\"b\\\\Evil: 1\", nonce="),
        "{}",
        replied(&server)
    );
}

#[test]
fn accepted_requests_are_answered_with_proof() {
    let server = Server::default();
    let m = service(|service| service.add_info = true);
    let nonce = nonce(&m, &server);
    let mut cx = Phone {
        qop: Some("auth"),
        ..PHONE
    }
    .register(&server, &nonce);
    assert_eq!(check(&m, &mut cx, "secret"), 1);
    let [ReplyExtra::Header(line)] = &cx.reply_extra[..] else {
        panic!()
    };
    let ha1 = Algorithm::Md5.hash(&[b"alice", b"example.com", b"secret"]);
    let count = Count {
        qop: b"auth",
        nc: b"00000001",
        cnonce: b"c",
    };
    let proof = digest::response(
        Algorithm::Md5,
        &ha1,
        nonce.as_bytes(),
        b"",
        b"sip:example.com",
        Protection::Auth(count),
    );
    let proof = String::from_utf8_lossy(proof.as_bytes());
    let expected = format!(
        "Authentication-Info: nextnonce=\"{nonce}\", qop=auth, rspauth=\"{proof}\", cnonce=\"c\", nc=00000001\r\n"
    );
    assert_eq!(line.text(), expected);
}

#[test]
fn acks_cancels_and_pracks_need_no_credentials() {
    let server = Server::default();
    let m = service(|_| {});
    for method in ["ACK", "CANCEL", "PRACK"] {
        let mut cx = server.message(&register("").replace("REGISTER", method));
        assert_eq!(check(&m, &mut cx, "secret"), 1, "{method}");
    }
    let mut cx = server.message(&register("").replace("REGISTER", "ACK"));
    assert!(matches!(
        challenge::auth_challenge(&m, &mut cx, "r".into(), Value::Int(0), None),
        Ret::Code(1)
    ));
    assert!(server.net.sent.borrow().is_empty());
}

#[test]
fn users_are_compared_with_what_the_request_is_about() {
    let server = Server::default();
    let m = service(|_| {});
    let code = |text: &str, domain| {
        m.service
            .is_own_user(&server.message(text), b"alice", domain)
            .code()
    };
    let own = register("");
    assert_eq!(code(&own, true), 1);
    let to = own.replace("To: <sip:alice@example.com>", "To: <sip:alice@other.com>");
    assert_eq!((code(&to, false), code(&to, true)), (1, -8));
    assert_eq!(
        code(&own.replace("From: <sip:alice@", "From: <sip:bob@"), false),
        -8
    );
    let publish = own
        .replace("REGISTER", "PUBLISH")
        .replace("PUBLISH sip:example.com", "PUBLISH sip:alice@example.com");
    assert_eq!(code(&publish, true), 1);
    assert_eq!(
        code(&publish.replace("PUBLISH sip:alice", "PUBLISH sip:eve"), false),
        -8
    );
    let options = own
        .replace("REGISTER", "OPTIONS")
        .replace("To: <sip:alice@", "To: <sip:bob@");
    assert_eq!(code(&options, true), 1);
}

#[test]
fn a_missing_user_takes_the_same_steps() {
    let server = Server::default();
    let m = service(|_| {});
    let nonce = nonce(&m, &server);
    let mut cx = PHONE.register(&server, &nonce);
    let shown = m
        .service
        .shown(&mut cx, b"example.com", Side::Server, Default::default())
        .unwrap()
        .unwrap();
    assert_eq!(m.service.check_nobody(&mut cx, &shown), Verdict::UnknownUser);
    assert_eq!(
        m.service.check(&mut cx, &shown, None, Secret::Ha1(b"not a hash")),
        Verdict::WrongPassword
    );
    assert_eq!(
        (shown.user(), shown.domain(), shown.realm().clone()),
        ("alice".into(), None, "example.com".into())
    );
}

/// Starts the module's service over what outlives reloads of this server.
fn started(server: &Server, params: super::Params) -> Auth {
    let config = &server.worker.config;
    let mut env = kahea_module::Env {
        bind: config.bind.clone(),
        globals: &config.globals,
        shared: config.shared.clone(),
        hooks: &mut Default::default(),
        identity: &mut Default::default(),
        settings: &config.settings,
        services: &mut Default::default(),
        module: "auth",
        read_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    Auth {
        service: Arc::new(params.service(&mut env).unwrap()),
    }
}

#[test]
fn nonces_and_what_is_known_of_them_survive_a_reload() {
    let server = Server::default();
    let start = || started(&server, super::Params::counting());
    let m = start();
    let nonce = nonce(&m, &server);
    let code = |m: &Auth, nc| {
        let phone = Phone {
            qop: Some("auth"),
            nc,
            ..PHONE
        };
        check(m, &mut phone.register(&server, &nonce), "secret")
    };
    assert_eq!(code(&m, "00000001"), 1);
    let m = start();
    assert_eq!(code(&m, "00000001"), -4, "a replay behind a reload");
    assert_eq!(code(&m, "00000002"), 1, "the nonce itself goes on");
    let elsewhere = started(&Server::default(), super::Params::counting());
    assert_eq!(code(&elsewhere, "00000003"), -4, "another process");
}
