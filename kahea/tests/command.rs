//! The command line without a running server: checks, lists, questions, start errors.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{fs, net::UdpSocket};

use common::{Place, finish, kahea};

#[test]
fn a_good_configuration_passes_the_check() {
    let place = Place::new();
    let mut command = kahea();
    command.args(["-c", "-f"]).arg(place.config());
    let (code, _, errors) = finish(command);
    assert_eq!((code, errors.as_str()), (0, "config file ok, exiting...\n"));
}

#[test]
fn every_mistake_is_shown_and_the_code_is_kamailios() {
    let place = Place::new();
    place.script("sl_send_replay(\"200\", \"x\"); route(NOWHERE);");
    let mut command = kahea();
    command.args(["-c", "-f"]).arg(place.config());
    let (code, _, errors) = finish(command);
    assert_eq!(code, 255);
    assert!(
        errors.contains("sl_send_replay") && errors.contains("NOWHERE"),
        "{errors}"
    );
}

#[test]
fn check_has_three_forms() {
    let place = Place::new();
    place.script("sl_send_replay(\"200\", \"x\");");
    let run = |format: &str| {
        let mut command = kahea();
        command
            .arg("check")
            .arg(place.config())
            .args(["--format", format]);
        finish(command)
    };
    let (code, full, _) = run("full");
    assert!(code == 255 && full.contains('^'), "{full}");
    let (_, line, _) = run("line");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("a.cfg:9:"), "{line}");
    let (_, json, _) = run("json");
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list[0]["code"], "E0301");
}

#[test]
fn warnings_do_not_fail_a_check() {
    let place = Place::new();
    place.script("exit; sl_send_reply(\"200\", \"x\");");
    let mut command = kahea();
    command
        .arg("check")
        .arg(place.config())
        .args(["--format", "line"]);
    let (code, text, _) = finish(command);
    assert!(code == 0 && text.contains("W0314"), "{code} {text}");
}

#[test]
fn definitions_of_the_command_line_count() {
    let place = Place::new();
    fs::write(
        place.config(),
        "#!ifdef BAD\nnonsense=1\n#!endif\nrequest_route { exit; }\n",
    )
    .unwrap();
    let run = |args: &[&str]| {
        let mut command = kahea();
        command.args(args).args(["-c", "-f"]).arg(place.config());
        finish(command).0
    };
    assert_eq!(run(&[]), 0);
    assert_eq!(run(&["-A", "BAD"]), 255);
    assert_eq!(run(&["-ABAD=1"]), 255);
}

#[test]
fn the_preprocessed_configuration_is_printed() {
    let place = Place::new();
    fs::write(place.file("more.cfg"), "debug=1 # a word\n").unwrap();
    fs::write(place.config(), "#!define X 7\n#!ifdef Y\nport=1\n#!endif\ninclude_file \"more.cfg\"\nserver_id=X\nrequest_route { exit; }\n").unwrap();
    let mut command = kahea();
    command.args(["--cfg-print", "-f"]).arg(place.config());
    let (code, text, errors) = finish(command);
    assert_eq!((code, errors.as_str()), (0, ""));
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words.join(""), "debug=1server_id=7request_route{exit;}");
}

#[test]
fn bad_options_end_with_a_sentence() {
    for (args, part) in [
        (&["-Z"][..], "Unknown option '-Z'"),
        (&["-f"], "requires an argument"),
        (&["-m", "x"], "bad shmem"),
    ] {
        let mut command = kahea();
        command.args(args);
        let (code, _, errors) = finish(command);
        assert!(code == 255 && errors.contains(part), "{code} {errors}");
    }
}

#[test]
fn questions_are_answered() {
    for (args, part) in [
        (&["-v"][..], "version: kahea "),
        (&["-h"], "-DDD"),
        (&["-I"], "epoll"),
        (&["explain", "e0301"], "unknown function"),
        (&["list", "functions"], "sl: sl_send_reply("),
    ] {
        let mut command = kahea();
        command.args(args);
        let (code, text, _) = finish(command);
        assert!(code == 0 && text.contains(part), "{args:?}: {code} {text}");
    }
}

#[test]
fn the_whole_list_is_json() {
    let mut command = kahea();
    command.args(["list", "--json"]);
    let (code, text, _) = finish(command);
    let lists: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    let modules = lists["modules"].as_array().unwrap();
    assert!(modules.iter().any(|module| module["name"] == "sl"));
    assert!(
        lists["globals"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == "listen")
    );
}

#[test]
fn each_list_is_json_too() {
    for what in [
        "modules",
        "functions",
        "params",
        "pvs",
        "transformations",
        "rpc",
        "kemi",
        "events",
        "stats",
    ] {
        let mut command = kahea();
        command.args(["list", what, "--json"]);
        let (code, text, _) = finish(command);
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(code == 0 && !rows.as_array().unwrap().is_empty(), "{what}");
    }
}

#[test]
fn a_port_in_use_is_named_with_its_line_and_a_remedy() {
    let place = Place::new();
    let _other = UdpSocket::bind(("127.0.0.1", place.port)).unwrap();
    let mut command = place.command();
    command.args(["-DD", "-E"]);
    let (code, _, errors) = finish(command);
    assert_eq!(code, 255);
    assert!(
        errors.contains(&format!("cannot listen on udp:127.0.0.1:{}", place.port)),
        "{errors}"
    );
    assert!(
        errors.contains("a.cfg:4:") && errors.contains("in use"),
        "{errors}"
    );
}

#[test]
fn a_missing_interface_is_named() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["-DD", "-E", "-l", "udp:no-such-interface:5060"]);
    let (code, _, errors) = finish(command);
    assert!(
        code == 255 && errors.contains("no-such-interface") && errors.contains("the interfaces are"),
        "{errors}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let mut command = kahea();
    command.args(["-f", "/nonexistent/a.cfg"]);
    let (code, _, errors) = finish(command);
    assert!(
        code == 255 && errors.contains("/nonexistent/a.cfg") && errors.contains("no such file"),
        "{errors}"
    );
}
