//! The running process: signals, reload, background, privileges, systemd, the control socket.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::{
        fd::AsFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    process::Command,
};

use common::{LIMIT, Place, ask, finish, kahea, wait_for};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};

fn ok(reason: &str) -> Option<String> {
    Some(format!("SIP/2.0 200 {reason}"))
}

#[test]
fn term_ends_the_server_cleanly() {
    let place = Place::new();
    let pid_file = place.file("pid");
    let server = place.start(&["-P", pid_file.to_str().unwrap()]);
    assert_eq!(
        fs::read_to_string(&pid_file).unwrap().trim(),
        server.pid().to_string()
    );
    assert!(place.file("kahea.sock").exists());
    assert_eq!(server.stop().code(), Some(0));
    assert!(!pid_file.exists() && !place.file("kahea.sock").exists());
    assert!(place.log().contains("Listening on "), "{}", place.log());
    assert!(
        place
            .log()
            .contains(" NOTICE: <core>: Thank you for flying kahea!!!"),
        "{}",
        place.log()
    );
}

#[test]
fn hangup_reads_the_configuration_again() {
    let place = Place::new();
    let server = place.start(&[]);
    place.answers("two");
    server.signal(Signal::SIGHUP);
    wait_for("the second configuration", || {
        ask(place.port).filter(|line| Some(line) == ok("two").as_ref())
    });
    place.script("sl_send_reply(\"200\" \"three\");");
    server.signal(Signal::SIGHUP);
    wait_for("the complaint", || {
        place.log().contains("the old one stays in force").then_some(())
    });
    assert_eq!(ask(place.port), ok("two"));
    assert!(place.log().contains("a.cfg:9:"), "{}", place.log());
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn user1_shows_the_state() {
    let place = Place::new();
    let server = place.start(&[]);
    server.signal(Signal::SIGUSR1);
    wait_for("the state", || {
        place.log().contains("state: core.rcv_requests").then_some(())
    });
    let log = place.log();
    assert!(
        log.contains("state: 2 workers, configuration number 1") && log.contains("VmRSS"),
        "{log}"
    );
}

#[test]
fn reload_by_command_tells_what_is_wrong() {
    let place = Place::new();
    let _server = place.start(&[]);
    wait_for("the control socket", || {
        UnixStream::connect(place.file("kahea.sock")).ok()
    });
    let reload = || {
        let mut command = kahea();
        command.args(["reload", "-Y"]).arg(place.path());
        finish(command)
    };
    place.answers("two");
    let (code, text, _) = reload();
    assert_eq!((code, text.as_str()), (0, "configuration 2 is in force\n"));
    assert_eq!(ask(place.port), ok("two"));
    place.script("nonsense();");
    let (code, _, errors) = reload();
    assert!(
        code == 255 && errors.contains("nonsense") && errors.contains('^'),
        "{code} {errors}"
    );
    assert_eq!(ask(place.port), ok("two"));
}

#[test]
fn the_control_socket_belongs_to_its_owner_and_survives_bad_clients() {
    let place = Place::new();
    let _server = place.start(&[]);
    wait_for("the socket", || place.file("kahea.sock").exists().then_some(()));
    let path = place.file("kahea.sock");
    wait_for("the control socket", || UnixStream::connect(&path).ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut hanging = UnixStream::connect(&path).unwrap();
    hanging.write_all(b"{\"jsonrpc\"").unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"no json\n{\"id\":2}\n{\"method\":\"no.such\",\"id\":3}\n{\"method\":\"system.listMethods\",\"id\":\"x\"}\n").unwrap();
    let answers: Vec<serde_json::Value> = BufReader::new(stream)
        .lines()
        .take(4)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer["error"]["code"].as_i64())
        .collect();
    assert_eq!(codes, [Some(-32700), Some(-32600), Some(-32601), None]);
    assert_eq!(answers[3]["id"], "x");
    assert!(
        answers[3]["result"]
            .as_array()
            .unwrap()
            .contains(&"core.version".into())
    );
}

#[test]
fn the_daemon_is_ready_when_the_command_ends() {
    let place = Place::new();
    let pid_file = place.file("pid");
    let mut command = place.command();
    command.arg("-P").arg(&pid_file);
    let (code, text, errors) = finish(command);
    assert_eq!(code, 0, "{errors}");
    assert!(text.contains("Listening on"), "{text}");
    assert_eq!(ask(place.port), ok("one"));
    let pid = Pid::from_raw(fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    wait_for("the end of the daemon", || (!pid_file.exists()).then_some(()));
}

#[test]
fn a_daemon_that_cannot_start_says_so_in_the_terminal() {
    let place = Place::new();
    let _other = std::net::UdpSocket::bind(("127.0.0.1", place.port)).unwrap();
    let (code, _, errors) = finish(place.command());
    assert!(code == 255 && errors.contains("in use"), "{code} {errors}");
}

#[test]
fn privileges_are_dropped_and_sockets_kept() {
    if !Uid::effective().is_root() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run_dir = place.file("run");
    let server = place.start(&["-u", "nobody", "-Y", run_dir.to_str().unwrap()]);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let ids = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace()
            .skip(1)
            .map(|word| word.parse::<u32>().unwrap())
            .collect::<Vec<_>>()
    };
    assert!(
        ids("Uid:").iter().all(|id| *id == nobody.uid.as_raw()),
        "{status}"
    );
    assert!(
        ids("Gid:").iter().all(|id| *id == nobody.gid.as_raw()),
        "{status}"
    );
    assert_eq!(ask(place.port), ok("one"));
    place.answers("two");
    server.signal(Signal::SIGHUP);
    wait_for("the second configuration", || {
        ask(place.port).filter(|line| Some(line) == ok("two").as_ref())
    });
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn an_unknown_user_stops_the_start() {
    let place = Place::new();
    let mut command = place.command();
    command.args(["-DD", "-E", "-u", "no-such-user"]);
    let (code, _, errors) = finish(command);
    assert!(
        code == 255 && errors.contains("there is no user no-such-user"),
        "{errors}"
    );
}

#[test]
fn systemd_hears_how_the_server_is() {
    let place = Place::new();
    let path = place.file("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(LIMIT)).unwrap();
    let mut command = place.command();
    command
        .args(["-DD", "-E"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000");
    let server = place.run(command);
    let hear = |wanted: &str| {
        wait_for(wanted, || {
            let mut buffer = [0; 512];
            let length = systemd.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            text.lines().any(|line| line.starts_with(wanted)).then_some(())
        });
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    server.signal(Signal::SIGHUP);
    hear("RELOADING=1");
    hear("READY=1");
    server.signal(Signal::SIGTERM);
    hear("STOPPING=1");
    drop(server);
}

#[test]
fn sockets_of_systemd_are_used() {
    let place = Place::new();
    let socket = std::net::UdpSocket::bind(("127.0.0.1", place.port)).unwrap();
    // The shell puts the socket where systemd does, and names the process that it becomes.
    let inherited = socket.as_fd().try_clone_to_owned().unwrap();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_kahea"))
        .arg("-f")
        .arg(place.config())
        .arg("-Y")
        .arg(place.path())
        .args(["-DD", "-E", "--workers", "2"])
        .stdin(std::process::Stdio::from(inherited));
    let server = place.run(command);
    assert_eq!(ask(place.port), ok("one"), "{}", place.log());
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn lines_of_the_script_have_kamailios_form_and_the_prefix() {
    let place = Place::new();
    place.script("xlog(\"L_INFO\", \"hello $rm\\n\"); sl_send_reply(\"200\", \"one\");");
    let text = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), format!("log_prefix=\"{{$rm $cs}} \"\n{text}")).unwrap();
    let server = place.start(&[]);
    wait_for("the line", || place.log().contains("hello OPTIONS").then_some(()));
    let log = place.log();
    let line = log.lines().find(|line| line.contains("hello OPTIONS")).unwrap();
    let (head, rest) = line.split_once(") INFO: ").unwrap();
    assert!(
        head.trim_start().ends_with(&format!("({}", server.pid())),
        "{line}"
    );
    assert_eq!(rest, "{OPTIONS 1} <script>: hello OPTIONS");
}

#[test]
fn lines_are_json_where_that_is_wanted() {
    let place = Place::new();
    place.script("xlog(\"L_INFO\", \"say \\\"hi\\\"\\n\"); sl_send_reply(\"200\", \"one\");");
    let _server = place.start(&["--log-engine=json:M"]);
    let line = wait_for("the line", || {
        place
            .log()
            .lines()
            .find(|line| line.contains("hi"))
            .map(str::to_owned)
    });
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&value["level"], &value["message"]),
        (&"INFO".into(), &"<script>: say \"hi\"".into())
    );
}

#[test]
fn json_lines_name_the_place_in_the_configuration() {
    let place = Place::new();
    place.script("xlog(\"L_INFO\", \"said here\\n\"); $ru = \"garbage\"; sl_send_reply(\"200\", \"one\");");
    let _server = place.start(&["--log-engine=json:M"]);
    let lines = wait_for("the lines", || {
        let log = place.log();
        let found: Vec<serde_json::Value> = log
            .lines()
            .filter(|line| line.contains("said here") || line.contains("\"ERROR\""))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (found.len() >= 2).then_some(found)
    });
    let config = place.config();
    for line in &lines {
        assert_eq!(line["file"], config.to_str().unwrap(), "{line}");
        assert_eq!(line["line"], 9, "{line}");
    }
}

#[test]
fn the_prefix_is_worked_out_anew_and_kept_while_a_function_waits() {
    let place = Place::new();
    place.script(
        "$var(step) = 1; xlog(\"L_INFO\", \"first\\n\"); $var(step) = 2;\n    \
         forward(\"127.0.0.1\", 9); usleep(\"1000\"); xlog(\"L_INFO\", \"second\\n\"); sl_send_reply(\"200\", \"one\");",
    );
    let text = fs::read_to_string(place.config()).unwrap();
    let head = "log_prefix=\"{$var(step)} \"\nlog_prefix_mode=1\nloadmodule \"cfgutils\"\n";
    fs::write(place.config(), format!("{head}{text}")).unwrap();
    let _server = place.start(&[]);
    wait_for("the lines", || place.log().contains("second").then_some(()));
    let log = place.log();
    assert!(log.contains(" INFO: {1} <script>: first"), "{log}");
    assert!(log.contains(" INFO: {2} <script>: second"), "{log}");
}

#[test]
fn timers_go_on_over_a_reload_and_none_runs_twice() {
    let place = Place::new();
    let write = |word: &str| {
        place.answers(word);
        let text = fs::read_to_string(place.config()).unwrap();
        let timer = format!(
            "loadmodule \"rtimer\"\nmodparam(\"rtimer\", \"timer\", \"name=t;interval=50000u;mode=1;\")\n\
             modparam(\"rtimer\", \"exec\", \"timer=t;route=TICK\")\n\
             route[TICK] {{ xlog(\"L_INFO\", \"tick {word}\\n\"); }}\n"
        );
        fs::write(place.config(), format!("{text}{timer}")).unwrap();
    };
    let ticks = |word: &str| place.log().matches(&format!("tick {word}\n")).count();
    write("one");
    let server = place.start(&[]);
    wait_for("ticks", || (ticks("one") >= 3).then_some(()));
    for word in ["two", "three", "four"] {
        write(word);
        server.signal(Signal::SIGHUP);
        wait_for("ticks", || (ticks(word) >= 3).then_some(()));
    }
    let (old, from) = (ticks("one") + ticks("two") + ticks("three"), ticks("four"));
    let begun = std::time::Instant::now();
    wait_for("more ticks", || (ticks("four") >= from + 20).then_some(()));
    let took = begun.elapsed();
    assert_eq!(
        ticks("one") + ticks("two") + ticks("three"),
        old,
        "an old timer still runs"
    );
    // Twenty intervals of 50 ms are a second; two timers would need half of it.
    assert!(took > std::time::Duration::from_millis(800), "{took:?}");
}

/// The first line of the answer to these bytes, where one comes within half a second.
fn told(port: u16, text: &str) -> Option<String> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_millis(500)))
        .unwrap();
    let via = format!("127.0.0.1:{}", socket.local_addr().unwrap().port());
    let bytes = text.replace("{via}", &via).replace('\n', "\r\n");
    socket.send_to(bytes.as_bytes(), ("127.0.0.1", port)).unwrap();
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    answer.lines().next().map(str::to_owned)
}

#[test]
fn levels_of_lines_about_bad_messages_and_the_mode_of_the_parser() {
    let twice = "OPTIONS sip:a@b SIP/2.0\nVia: SIP/2.0/UDP {via};branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\n\
        From: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: 1\nCSeq: 1 OPTIONS\nContent-Length: 0\n\n";
    let start = |globals: &str| {
        let place = Place::new();
        let text = fs::read_to_string(place.config()).unwrap();
        fs::write(place.config(), format!("{globals}{text}")).unwrap();
        let server = place.start(&[]);
        (place, server)
    };
    let (place, _server) = start("");
    assert_eq!(
        told(place.port, twice).as_deref(),
        Some("SIP/2.0 400 Repeated From Header")
    );
    assert!(told(place.port, "nonsense\n\n").is_none());
    let log = place.log();
    assert!(log.contains(" ERROR: <core>: Bad request from "), "{log}");
    assert!(log.contains(" WARNING: <core>: Bad message from "), "{log}");

    let (place, _server) =
        start("sip_parser_mode=0\nsip_parser_log=2\nsip_parser_log_oneline=1\ncorelog=3\n");
    assert_eq!(told(place.port, twice), ok("one"));
    assert!(told(place.port, "nonsense\n\n").is_none());
    let log = place.log();
    let shown = log
        .lines()
        .find(|line| line.contains("Bad message from "))
        .unwrap();
    assert!(
        shown.contains(" INFO: ") && shown.contains(": nonsense\\x0d\\x0a"),
        "{shown}"
    );
    assert!(!log.contains("Bad request from "), "{log}");
}

#[test]
fn reload_is_a_command_among_others() {
    let mut command = kahea();
    command.args(["list", "rpc"]);
    let (_, text, _) = finish(command);
    assert!(text.contains("core.reload"), "{text}");
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let place = Place::new();
    place.script("$var(x) = $rm; xlog(\"L_INFO\", \"line of some length $rm $rm $rm $rm $rm $rm $rm $rm\\n\"); sl_send_reply(\"200\", \"one\");");
    let mut command = place.command();
    command
        .args(["-DD", "-E"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _pipe = child.stderr.take().unwrap();
    wait_for("an answer", || ask(place.port));
    for _ in 0..1500 {
        assert_eq!(ask(place.port), ok("one"));
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let status = wait_for("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}
