//! What configurations of earlier versions carry runs: actions of the old core without their module, `len_gt`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use common::{Place, ask};

#[test]
fn functions_of_the_old_core_run_without_loadmodule() {
    let place = Place::new();
    place.script(
        "if (len_gt(10) && !len_gt(max_len)) { setbflag(6); }\n\
         if (isbflagset(6) && append_branch(\"sip:b@127.0.0.1:5070\")) { sl_send_reply(\"200\", \"old\"); }",
    );
    let server = place.start(&[]);
    assert_eq!(ask(place.port).as_deref(), Some("SIP/2.0 200 old"));
    assert!(server.stop().success());
    let log = place.log();
    assert!(
        log.contains("W0510") && log.contains("add loadmodule \"kex.so\""),
        "{log}"
    );
}

#[test]
fn the_length_test_is_that_of_the_message() {
    let place = Place::new();
    place.script(
        "if (len_gt(100000)) { sl_send_reply(\"500\", \"x\"); } else { sl_send_reply(\"200\", \"short\"); }",
    );
    let _server = place.start(&[]);
    assert_eq!(ask(place.port).as_deref(), Some("SIP/2.0 200 short"));
}
