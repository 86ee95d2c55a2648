//! Modules whose model, Kamailio 5.6.3, runs with MariaDB alone: what they answer and store is what it was seen to.
//!
//! Needs the package mariadb-server; `cargo xtask ci` installs it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods
)] // reason: a test

mod common;

use std::fs;

use common::{Phone, Place, finish, kahea, status};
use kahea_db_testing::MariaDb;

fn config(place: &Place, text: &str) {
    let head = format!(
        "debug=2\nauto_aliases=no\ndisable_tcp=yes\nlisten=udp:127.0.0.1:{}\nloadmodule \"sl\"\nloadmodule \"pv\"\nloadmodule \"xlog\"\n",
        place.port
    );
    fs::write(place.config(), head + text).unwrap();
}

fn create(url: &str, what: &str) {
    let mut command = kahea();
    command.args(["db", "create", url, what]);
    let (code, out, err) = finish(command);
    assert_eq!(code, 0, "{out}{err}");
}

/// Four databases in two groups, and a master that names them.
fn partitions(server: &MariaDb) -> (String, [String; 4]) {
    let own = server.url(server.port());
    let url = |name: &str| own.strip_suffix("kamailio").unwrap().to_owned() + name;
    let parts = ["p1", "p2", "p3", "p4"].map(url);
    for name in ["p1", "p2", "p3", "p4"] {
        server.sql(&format!("create database {name}"));
    }
    parts.iter().for_each(|part| create(part, "usrloc"));
    let rows: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(at, part)| format!("({}, {}, '{part}')", at / 2 + 1, at % 2 + 1))
        .collect();
    server.sql(&format!(
        "create table kamailio.locdb (id int not null, no int not null, url varchar(255), status int default 1, \
         failover datetime default '1971-01-01', spare int default 0, errors int default 0, rg int default 0); \
         insert into kamailio.locdb (id, no, url) values {}",
        rows.join(", ")
    ));
    (url("kamailio"), parts)
}

#[test]
fn locations_are_spread_over_databases_as_kamailio_spreads_them() {
    let server = MariaDb::start();
    let (master, _) = partitions(&server);
    let place = Place::new();
    config(
        &place,
        &format!(
            "loadmodule \"db_mysql\"\nloadmodule \"p_usrloc\"\nloadmodule \"registrar\"\n\
             modparam(\"p_usrloc\", \"write_db_url\", \"{master}\")\nmodparam(\"p_usrloc\", \"read_db_url\", \"{master}\")\n\
             modparam(\"p_usrloc\", \"default_db_url\", \"{master}\")\nmodparam(\"p_usrloc\", \"write_on_db\", 1)\n\
             modparam(\"p_usrloc\", \"write_on_master_db\", 1)\nmodparam(\"p_usrloc\", \"db_err_threshold\", 3)\n\
             request_route {{\n    if ($rm == \"REGISTER\") {{ save(\"location\"); exit; }}\n\
                 if ($rU != \"a\" && !lookup(\"location\")) {{ sl_send_reply(\"404\", \"Nobody\"); exit; }}\n\
                 sl_send_reply(\"200\", \"$ru\");\n}}\n"
        ),
    );
    let _server = place.start(&[]);
    let phone = Phone::of(place.port);
    let mut calls = 0;
    let mut ask = |method: &str, user: &str, more: &str| {
        calls += 1;
        phone.ask(method, user, &format!("{user}-{calls}"), more)
    };
    let contact = |user: &str| format!("Contact: <sip:{user}@192.0.2.1:5071>;expires=600\r\n");
    for user in ["alice", "bob", "dave"] {
        assert_eq!(status(&ask("REGISTER", user, &contact(user))), "200");
        let found = ask("OPTIONS", user, "");
        assert!(
            found.starts_with(&format!("SIP/2.0 200 sip:{user}@192.0.2.1:5071")),
            "{found}"
        );
    }
    assert_eq!(status(&ask("OPTIONS", "none", "")), "404");
    let users = |part: &str| server.sql(&format!("select username from {part}.location order by username"));
    for part in ["p1", "p2"] {
        assert_eq!(users(part), "bob\ndave\n");
    }
    for part in ["p3", "p4"] {
        assert_eq!(users(part), "alice\n");
    }
    let gone = ask("REGISTER", "bob", "Contact: *\r\nExpires: 0\r\n");
    assert_eq!(status(&gone), "200");
    assert_eq!(
        (users("p1"), users("p2")),
        ("dave\n".to_owned(), "dave\n".to_owned())
    );
}
