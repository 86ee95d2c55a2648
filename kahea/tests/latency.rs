//! What took long is in the log: `latency_limit_action`, `latency_limit_cfg` and the levels of their lines.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::fs;

use common::{Place, ask};

/// The log of a server with these settings after it has answered requests by a script that waits twice.
fn log_with(settings: &str) -> String {
    let place = Place::new();
    let text = format!(
        "debug=2\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\n{settings}\n\
         loadmodule \"sl\"\nloadmodule \"cfgutils\"\n\
         request_route {{\n    route(SLOW);\n    sl_send_reply(\"200\", \"OK\");\n}}\n\
         route[SLOW] {{\n    usleep(\"200000\");\n    setflag(1);\n}}\n",
        place.port
    );
    fs::write(place.config(), text).unwrap();
    let server = place.start(&[]);
    assert!(ask(place.port).is_some());
    assert!(server.stop().success());
    place.log()
}

/// The lines that contain a text.
fn lines<'a>(log: &'a str, part: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(part)).collect()
}

#[test]
fn slow_actions_are_logged_with_their_place() {
    let log = log_with("latency_limit_action=150000\nlatency_log=1");
    let function = lines(&log, "a.cfg:14] took too long [");
    assert!(!function.is_empty(), "{log}");
    assert!(
        function
            .iter()
            .all(|line| line.contains("NOTICE: <core>: alert - action [usleep] cfg [")),
        "{log}"
    );
    let route = lines(&log, "alert - action [route] cfg [");
    assert!(
        !route.is_empty() && route.iter().all(|line| line.contains("a.cfg:10]")),
        "{log}"
    );
    assert!(lines(&log, "[setflag]").is_empty(), "{log}");
}

#[test]
fn no_limit_no_lines_about_actions() {
    let log = log_with("latency_log=1");
    assert!(lines(&log, "took too long").is_empty(), "{log}");
}

#[test]
fn actions_below_the_log_level_are_not_shown() {
    let log = log_with("latency_limit_action=150000\nlatency_log=3");
    assert!(lines(&log, "took too long").is_empty(), "{log}");
}

#[test]
fn the_time_of_the_script_is_logged_at_its_level() {
    let log = log_with("latency_cfg_log=2");
    let all = lines(&log, "INFO: <core>: request-route executed in: 2");
    assert!(
        !all.is_empty() && all.iter().all(|line| line.ends_with(" usec")),
        "{log}"
    );
    assert!(lines(&log_with(""), "executed in").is_empty());
    assert!(
        lines(
            &log_with("latency_cfg_log=2\nlatency_limit_cfg=15000000"),
            "executed in"
        )
        .is_empty()
    );
}
