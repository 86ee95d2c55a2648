//! db_postgres against a real PostgreSQL, which the test starts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait in real time")]

use std::{sync::Arc, time::Duration};

use kahea_db::{
    Database, Error, Limits, Query, TableVersion, Value, check_table, parse_time, schema, sql::Dialect,
};
use kahea_db_postgres::{PostgresDriver, Settings};
use kahea_db_testing::{
    Gate, Postgres,
    suite::{self, Opened},
};
use kahea_module::InitError;

fn opened(url: &str, settings: Settings, limits: Limits) -> Result<Opened, InitError> {
    suite::open("postgres", Arc::new(PostgresDriver::new(settings)), url, limits)
}

fn open(url: &str) -> Opened {
    opened(url, Settings::default(), suite::patient()).unwrap()
}

#[test]
fn queries_logins_and_versions() {
    let server = Postgres::start();
    let Opened {
        database,
        databases: _databases,
    } = open(&server.url(server.port()));
    suite::values(
        &database,
        "create table v (i bigint, r real, t varchar(200), b bytea, d timestamp without time zone, n integer)",
    );
    suite::create(&database, Dialect::Postgres, "version");
    suite::queries(&database);
    suite::transactions(&database);
    suite::streaming(&database);
    suite::refusals(&database);
    types(&database);
    tables_that_change(&database);
    logins(&server);
    versions(&database);
}

fn types(database: &Database) {
    let text = "select 12345.678::numeric, true, 0.1::real, timestamptz '2026-11-21 17:05:00Z', date '2026-01-02', \
                null, 'x'::name, '\\x00ff'::bytea, '{\"a\": 1}'::jsonb, time '01:02:03', 7::smallint";
    let found = database.sql_blocking(text).unwrap();
    let row = &found.rows[0];
    assert_eq!(
        row[..4],
        [
            Value::Real(12_345.678),
            Value::Int(1),
            Value::Real(0.1),
            Value::Time(1_795_280_700)
        ]
    );
    assert_eq!(row[4], Value::Time(parse_time("2026-01-02 00:00:00").unwrap()));
    assert_eq!(row[5..7], [Value::Null, Value::from("x")]);
    assert_eq!(row[7].text().unwrap().as_bytes(), b"\0\xff");
    assert_eq!(
        row[8..],
        [Value::from("{\"a\": 1}"), Value::from("01:02:03"), Value::Int(7)]
    );
    let appended = database.sql_blocking("select 1; drop table version");
    assert!(matches!(appended, Err(Error::Refused(_))), "{appended:?}");
}

fn tables_that_change(database: &Database) {
    let all = Query::select("changing", &[]).build();
    database
        .sql_blocking("create table changing (a integer)")
        .unwrap();
    assert_eq!(database.run_blocking(&all, Vec::new()).unwrap().columns.len(), 1);
    database
        .sql_blocking("alter table changing add column b integer")
        .unwrap();
    assert_eq!(database.run_blocking(&all, Vec::new()).unwrap().columns.len(), 2);
    // No unique index says which row is replaced.
    let replace = Query::replace("changing", &["a", "b"], &["a"]).build();
    for b in [1, 2] {
        database
            .run_blocking(&replace, vec![Value::Int(7), Value::Int(b)])
            .unwrap();
    }
    assert_eq!(
        database.run_blocking(&all, Vec::new()).unwrap().rows,
        [[Value::Int(7), Value::Int(2)]]
    );
}

fn logins(server: &Postgres) {
    let port = server.port();
    let refusal = |url: &str, settings| match opened(url, settings, Limits::default()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.message,
    };
    let wrong = refusal(
        &format!("postgres://kamailio:wrong@127.0.0.1:{port}/kamailio"),
        Settings::default(),
    );
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    assert!(!wrong.contains("wrong@"), "the password is not shown: {wrong}");
    let nosuch = refusal(&format!("{}x", server.url(port)), Settings::default());
    assert!(
        nosuch.contains("database \"kamailiox\" does not exist"),
        "{nosuch}"
    );
    let parameters = vec![("application_name".to_owned(), "it's me".to_owned())];
    let settings = Settings {
        parameters,
        ..Settings::default()
    };
    let url = format!(
        "postgres://{}:{}@/kamailio?host={}&port={port}",
        server.user(),
        server.password(),
        server.socket_folder().display()
    );
    let named = opened(&url, settings, Limits::default()).unwrap();
    let name = named
        .database
        .sql_blocking("select current_setting('application_name')")
        .unwrap();
    assert_eq!(name.single(), Some(&Value::from("it's me")));
}

fn versions(database: &Database) {
    let wanted = TableVersion {
        versions: "version",
        table: "location",
        accepted: &[9],
    };
    let insert = Query::insert("version", &["table_name", "table_version"]).build();
    database
        .run_blocking(&insert, vec!["location".into(), Value::Int(8)])
        .unwrap();
    let old = check_table(database, wanted).unwrap_err();
    assert!(
        old.message.contains("has version 8, this server needs 9"),
        "{old}"
    );
}

#[test]
fn every_table_of_kamailio_is_taken() {
    let server = Postgres::start();
    let opened = open(&server.url(server.port()));
    let database = &opened.database;
    let all: Vec<&schema::Table> = schema::tables().iter().collect();
    assert_eq!(schema::upkeep::create(database, &all).unwrap().len(), all.len());
    assert_eq!(schema::upkeep::check(database).unwrap(), []);
    database
        .sql_blocking("alter table location drop column keepalive")
        .unwrap();
    database.sql_blocking("alter table acc drop column time").unwrap();
    database.sql_blocking("drop table watchers").unwrap();
    database
        .sql_blocking("delete from version where table_name = 'htable'")
        .unwrap();
    database
        .sql_blocking("update version set table_version = 8 where table_name = 'location'")
        .unwrap();
    let found: Vec<String> = schema::upkeep::check(database)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 5, "{found:#?}");
    let steps = schema::upkeep::upgrade(database).unwrap();
    assert_eq!(steps.len(), 4, "{steps:#?}");
    let left = schema::upkeep::check(database).unwrap();
    assert!(
        left.len() == 1 && left[0].to_string().contains("table acc has no column time"),
        "{left:?}"
    );
}

#[test]
fn databases_made_by_kamdbctl_are_used_as_they_are() {
    let server = Postgres::start();
    suite::packaged(&open(&server.url(server.port())).database, "postgres");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_dies() {
    let mut server = Postgres::start();
    let opened = open(&server.url(server.port()));
    suite::survives_death(
        &opened.database,
        Dialect::Postgres,
        &mut server,
        Postgres::kill,
        Postgres::restart,
    );
}

#[test]
fn a_server_that_hangs_costs_a_deadline_and_is_found_again() {
    let server = Postgres::start();
    let gate = Gate::to(server.port());
    let opened = opened(&server.url(gate.port()), Settings::default(), suite::hasty()).unwrap();
    suite::hangs(&opened.database, &gate);
    let settings = Settings {
        timeout: Some(Duration::from_millis(150)),
        ..Settings::default()
    };
    let own = self::opened(&server.url(server.port()), settings, Limits::default()).unwrap();
    assert_eq!(
        own.database.sql_blocking("select pg_sleep(2)"),
        Err(Error::Timeout(Duration::from_millis(150)))
    );
}
