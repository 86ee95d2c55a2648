//! What was acknowledged is there after the server was killed: contacts in each `db_mode`, as the mode promises.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use common::{Phone, Place, finish, kahea, status, wait_for};
use nix::sys::signal::Signal;

/// A registrar over SQLite with this `db_mode`, whose timer writes every second.
fn registrar(mode: u8) -> Place {
    let place = Place::new();
    let database = format!("sqlite:///{}", place.file("location.db").display());
    let mut create = kahea();
    create.args(["db", "create", &database]);
    let (code, out, err) = finish(create);
    assert_eq!(code, 0, "{out}{err}");
    let text = format!(
        "debug=2\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\nloadmodule \"sl\"\nloadmodule \"pv\"\n\
         loadmodule \"db_sqlite\"\nloadmodule \"usrloc\"\nloadmodule \"registrar\"\n\
         modparam(\"usrloc\", \"db_url\", \"{database}\")\nmodparam(\"usrloc\", \"db_mode\", {mode})\n\
         modparam(\"usrloc\", \"timer_interval\", 1)\n\
         request_route {{\n    if ($rm == \"OPTIONS\") {{ sl_send_reply(\"200\", \"Alive\"); exit; }}\n    save(\"location\");\n}}\n",
        place.port
    );
    fs::write(place.config(), text).unwrap();
    place
}

/// The answer to a REGISTER with or without a contact; `None` where it is not 200.
fn register(phone: &Phone, user: &str, contact: Option<&str>) -> Option<String> {
    let line = contact.map_or(String::new(), |uri| format!("Contact: <{uri}>;expires=600\r\n"));
    let call = format!("{user}-{}", phone.port());
    let reply = phone.try_ask("REGISTER", user, &call, &line)?;
    (status(&reply) == "200").then_some(reply)
}

fn uri(user: &str) -> String {
    format!("sip:{user}@192.0.2.7:5060")
}

/// Users register one after the other until the server dies; those with an answer.
fn register_until(port: u16, ended: &AtomicBool, acknowledged: &Mutex<Vec<String>>, thread: usize) {
    let phone = Phone::of(port).hasty(Duration::from_secs(1));
    for n in 0.. {
        if ended.load(Relaxed) {
            return;
        }
        let user = format!("u{thread}-{n}");
        if register(&phone, &user, Some(&uri(&user))).is_some() {
            acknowledged.lock().unwrap().push(user);
        }
    }
}

/// Kills the server in the middle of registrations; `settled` says whether it has time to write what it acknowledged.
fn survives(mode: u8, settled: bool) {
    let place = registrar(mode);
    let server = place.start(&[]);
    let (ended, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let phones: Vec<_> = (0..4)
        .map(|n| {
            let (port, ended, acknowledged) = (place.port, ended.clone(), acknowledged.clone());
            thread::spawn(move || register_until(port, &ended, &acknowledged, n))
        })
        .collect();
    wait_for("registrations", || {
        (acknowledged.lock().unwrap().len() > 200).then_some(())
    });
    let promised = acknowledged.lock().unwrap().clone();
    if settled {
        // Two rounds of the timer: what was acknowledged before the first is written by the second.
        thread::sleep(Duration::from_millis(2_500));
    }
    server.signal(Signal::SIGKILL);
    ended.store(true, Relaxed);
    phones.into_iter().for_each(|phone| phone.join().unwrap());
    drop(server);
    let promised = match settled {
        true => promised,
        false => acknowledged.lock().unwrap().clone(),
    };
    let server = place.start(&[]);
    let phone = Phone::of(place.port);
    for user in &promised {
        let reply = register(&phone, user, None).unwrap_or_else(|| panic!("{user} has no answer"));
        assert!(
            reply.contains(&uri(user)),
            "the contact of {user} is lost in mode {mode}:\n{reply}"
        );
    }
    assert!(server.stop().success(), "{}", place.log());
}

#[test]
fn write_through_keeps_every_contact_that_was_acknowledged() {
    survives(1, false);
}

#[test]
fn write_back_keeps_every_contact_that_the_timer_had_time_for() {
    survives(2, true);
}

#[test]
fn the_database_alone_keeps_every_contact_that_was_acknowledged() {
    survives(3, false);
}
