//! db_mysql against a real MariaDB, which the test starts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait in real time")]

use std::{fs, sync::Arc, time::Duration};

use kahea_db::{Error, Limits, Query, TableVersion, Value, check_table, schema, sql::Dialect};
use kahea_db_mysql::{MysqlDriver, Settings};
use kahea_db_testing::{
    Gate, MariaDb,
    suite::{self, Opened},
};
use kahea_module::{InitError, stats::Counter};

fn opened(url: &str, settings: Settings, limits: Limits) -> Result<Opened, InitError> {
    let driver = MysqlDriver::new(settings, Counter::default());
    suite::open("mysql", Arc::new(driver), url, limits)
}

fn open(url: &str) -> Opened {
    opened(url, Settings::default(), suite::patient()).unwrap()
}

fn message(outcome: Result<Opened, InitError>) -> String {
    match outcome {
        Ok(_) => panic!("it opened"),
        Err(error) => error.message,
    }
}

#[test]
fn queries_logins_and_versions() {
    let server = MariaDb::start();
    let url = server.url(server.port());
    let Opened {
        database,
        databases: _databases,
    } = open(&url);
    suite::values(
        &database,
        "create table v (i bigint, r float, t varchar(200), b blob, d datetime, n int) default charset utf8mb4",
    );
    suite::create(&database, Dialect::Mysql, "version");
    suite::queries(&database);
    suite::transactions(&database);
    suite::streaming(&database);
    suite::refusals(&database);
    types(&database);
    settings(&server);
    logins(&server);
    versions(&database);
}

fn types(database: &kahea_db::Database) {
    let text = "select cast(1.50 as decimal(5,2)), cast(7 as unsigned), 5, date('2026-01-02'), null, \
                time('25:00:01'), 'x', x'00ff', cast(0.1 as float)";
    let found = database.sql_blocking(text).unwrap();
    let row = &found.rows[0];
    assert_eq!(row[0], Value::Real(1.5));
    assert_eq!(row[1], Value::Int(7));
    assert_eq!(row[2].int(), Some(5));
    assert_eq!(
        row[3],
        Value::Time(kahea_db::parse_time("2026-01-02 00:00:00").unwrap())
    );
    assert_eq!(row[4], Value::Null);
    assert_eq!(row[5], Value::from("25:00:01"));
    assert_eq!(row[6], Value::from("x"));
    assert_eq!(row[7].text().unwrap().as_bytes(), b"\0\xff");
    assert_eq!(row[8], Value::Real(0.1));
    let appended = database.sql_blocking("select 1; drop table version");
    assert!(matches!(appended, Err(Error::Refused(_))), "{appended:?}");
    database
        .sql_blocking("create procedure twice() begin select 1; select 2; end")
        .unwrap();
    assert_eq!(
        database.sql_blocking("call twice()").unwrap().rows,
        [[Value::Int(1)]]
    );
    assert_eq!(database.sql_blocking("select 3").unwrap().rows, [[Value::Int(3)]]);
}

fn settings(server: &MariaDb) {
    let url = server.url(server.port());
    let found = opened(&url, Settings::default().with_found_rows(), Limits::default()).unwrap();
    let insert = Query::insert("version", &["table_name", "table_version"]).build();
    found
        .database
        .run_blocking(&insert, vec!["same".into(), Value::Int(1)])
        .unwrap();
    let update = "update version set table_version = 1 where table_name = 'same'";
    assert_eq!(found.database.sql_blocking(update).unwrap().affected, 1);
    assert_eq!(open(&url).database.sql_blocking(update).unwrap().affected, 0);
    found.database.sql_blocking("delete from version").unwrap();

    server.sql("set global time_zone = '+03:00'");
    let zoned = opened(
        &url,
        Settings::default().with_server_timezone(),
        Limits::default(),
    )
    .unwrap();
    zoned
        .database
        .sql_blocking("create table moments (t datetime)")
        .unwrap();
    let insert = Query::insert("moments", &["t"]).build();
    zoned
        .database
        .run_blocking(&insert, vec![Value::Time(1_795_280_700)])
        .unwrap();
    assert_eq!(
        server.sql("select t from kamailio.moments").trim(),
        "2026-11-21 20:05:00"
    );
    server.sql("set global time_zone = 'SYSTEM'");
}

fn logins(server: &MariaDb) {
    let port = server.port();
    let wrong = format!("mysql://kamailio:wrong@127.0.0.1:{port}/kamailio");
    let refusal = message(opened(&wrong, Settings::default(), Limits::default()));
    assert!(refusal.contains("Access denied for user 'kamailio'"), "{refusal}");
    assert!(
        !refusal.contains("wrong@"),
        "the password is not shown: {refusal}"
    );
    let nosuch = format!("{}x", server.url(port));
    let refusal = message(opened(&nosuch, Settings::default(), Limits::default()));
    assert!(refusal.contains("Unknown database 'kamailiox'"), "{refusal}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.cnf");
    let options = format!(
        "[client]\nsocket = /nosuch\n[kamailio]\nsocket = {}\nuser = {}\npassword = '{}'\ndefault-character-set = utf8mb4\n",
        server.socket().display(),
        server.user(),
        server.password()
    );
    fs::write(&file, options).unwrap();
    let grouped = || Settings::default().with_option_file(&file);
    let by_group = opened("mysql://[kamailio]/kamailio", grouped(), Limits::default()).unwrap();
    assert!(by_group.database.sql_blocking("select user()").is_ok());
    let over_tcp = format!("mysql://[kamailio]127.0.0.1:{port}/kamailio");
    opened(&over_tcp, grouped(), Limits::default()).unwrap();
}

fn versions(database: &kahea_db::Database) {
    let wanted = TableVersion {
        versions: "version",
        table: "location",
        accepted: &[9],
    };
    let unknown = check_table(database, wanted).unwrap_err();
    assert!(unknown.message.contains("no row for table location"), "{unknown}");
    let insert = Query::insert("version", &["table_name", "table_version"]).build();
    database
        .run_blocking(&insert, vec!["location".into(), Value::Int(8)])
        .unwrap();
    let old = check_table(database, wanted).unwrap_err();
    assert!(
        old.message.contains("has version 8, this server needs 9"),
        "{old}"
    );
    assert!(
        !format!("{old:?}").contains("kama:il"),
        "the password is not shown: {old:?}"
    );
}

#[test]
fn connections_are_encrypted_as_the_mode_says() {
    let server = MariaDb::start_with_tls();
    let url = server.url(server.port());
    let authority = || Some(server.certificate());
    let cipher = |mode, authority| {
        let settings = Settings::default().with_tls(mode, authority).unwrap();
        let opened = opened(&url, settings, Limits::default()).map_err(|error| error.message)?;
        let status = opened
            .database
            .sql_blocking("show session status like 'Ssl_cipher'")
            .unwrap();
        Ok::<String, String>(status.rows[0][1].text().unwrap().text().into_owned())
    };
    for (mode, authority, encrypted) in [
        (0, None, false),
        (1, None, false),
        (2, None, true),
        (3, None, true),
        (4, authority(), true),
        (5, authority(), true),
    ] {
        assert_eq!(
            cipher(mode, authority).map(|name| !name.is_empty()),
            Ok(encrypted),
            "mode {mode}"
        );
    }
    for mode in [4, 5] {
        let refused = cipher(mode, None);
        assert!(
            refused.as_ref().is_err_and(|why| why.contains("ertificate")),
            "mode {mode}: {refused:?}"
        );
    }
    assert!(Settings::default().with_tls(6, None).is_none());
    let plain = MariaDb::start();
    let preferred = |mode| Settings::default().with_tls(mode, None).unwrap();
    assert!(opened(&plain.url(plain.port()), preferred(2), Limits::default()).is_ok());
    assert!(opened(&plain.url(plain.port()), preferred(3), Limits::default()).is_err());
}

#[test]
fn every_table_of_kamailio_is_taken() {
    let server = MariaDb::start();
    let opened = open(&server.url(server.port()));
    for table in schema::tables() {
        suite::create(&opened.database, Dialect::Mysql, table.name);
        opened.database.sql_blocking(&table.insert_version()).unwrap();
    }
    let columns = Query::select("version", &["table_name", "table_version"])
        .order_by("id")
        .build();
    let rows = opened.database.run_blocking(&columns, Vec::new()).unwrap().rows;
    assert_eq!(rows.len(), schema::tables().len());
    assert_eq!(rows[1], ["acc".into(), Value::Int(5)]);
}

#[test]
fn databases_made_by_kamdbctl_are_used_as_they_are() {
    let server = MariaDb::start();
    suite::packaged(&open(&server.url(server.port())).database, "mysql");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_dies() {
    let mut server = MariaDb::start();
    let opened = open(&server.url(server.port()));
    suite::survives_death(
        &opened.database,
        Dialect::Mysql,
        &mut server,
        MariaDb::kill,
        MariaDb::restart,
    );
}

#[test]
fn a_server_that_hangs_costs_a_deadline_and_is_found_again() {
    let server = MariaDb::start();
    let gate = Gate::to(server.port());
    let opened = opened(&server.url(gate.port()), Settings::default(), suite::hasty()).unwrap();
    suite::hangs(&opened.database, &gate);
    let own = Settings::default().with_statement_timeout(Duration::from_millis(150));
    let own = self::opened(&server.url(gate.port()), own, Limits::default()).unwrap();
    let late = own.database.sql_blocking("select sleep(2)");
    assert_eq!(late, Err(Error::Timeout(Duration::from_millis(150))));
}
