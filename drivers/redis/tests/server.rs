//! db_redis against a real Redis, which the test starts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait in real time")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kahea_db::{
    Answer, Database, Error, Limits, Op, Query, Row, State, TableVersion, Value, check_table, parse_time,
};
use kahea_db_redis::{RedisDriver, Settings};
use kahea_db_testing::{
    Gate, Redis, Traffic,
    suite::{self, Opened},
};

const KEYS: &str =
    "location=entry:ruid&usrdom:username,domain&timer:partition,keepalive;acc=entry:callid,time";

fn open_with(port: u16, settings: Settings) -> Opened {
    let url = format!("redis://127.0.0.1:{port}/5");
    suite::open(
        "redis",
        Arc::new(RedisDriver::new(settings)),
        &url,
        Limits::default(),
    )
    .unwrap()
}

fn open(port: u16) -> Opened {
    open_with(port, Settings::default().with_keys(KEYS).unwrap())
}

fn run(database: &Database, query: Query, values: Vec<Value>) -> Answer {
    database.run_blocking(&query.build(), values)
}

const COLUMNS: [&str; 7] = [
    "ruid",
    "username",
    "domain",
    "expires",
    "q",
    "partition",
    "keepalive",
];

fn contact(ruid: &str, user: &str, expires: i64) -> Row {
    vec![
        ruid.into(),
        user.into(),
        "example.org".into(),
        Value::Time(expires),
        Value::Real(-1.0),
        Value::Int(0),
        Value::Int(1),
    ]
}

#[test]
fn rows_and_maps_are_kept_as_kamailio_keeps_them() {
    let server = Redis::start();
    let opened = open(server.port());
    let database = &opened.database;
    let noon = parse_time("2026-11-21 12:00:00").unwrap();
    for (n, user) in ["alice", "alice", "bob"].iter().enumerate() {
        let row = contact(&format!("r{n}"), user, noon + i64::try_from(n).unwrap());
        run(database, Query::insert("location", &COLUMNS), row).unwrap();
    }
    let cli = |args: &[&str]| server.command(&[&["-n", "5"], args].concat());
    assert_eq!(
        cli(&["hget", "location:entry::r1", "expires"]).trim(),
        "2026-11-21 12:00:01"
    );
    assert_eq!(cli(&["hget", "location:entry::r1", "q"]).trim(), "-1.000000");
    let mut members: Vec<String> = cli(&["smembers", "location:usrdom::alice:example.org"])
        .lines()
        .map(str::to_owned)
        .collect();
    members.sort();
    assert_eq!(members, ["location:entry::r0", "location:entry::r1"]);
    assert!(cli(&["smembers", "location::index::usrdom"]).contains("location:usrdom::bob:example.org"));

    let of_user = || {
        Query::select("location", &["ruid", "expires", "received"])
            .when_eq("username")
            .when_eq("domain")
            .order_by_desc("expires")
    };
    let found = run(database, of_user(), vec!["alice".into(), "example.org".into()]).unwrap();
    assert_eq!(
        found.rows,
        [
            ["r1".into(), Value::Time(noon + 1), Value::Null],
            ["r0".into(), Value::Time(noon), Value::Null]
        ]
    );
    let by_key = Query::select("location", &["username"]).when_eq("ruid");
    assert_eq!(
        run(database, by_key, vec!["r2".into()]).unwrap().rows,
        [["bob".into()]]
    );
    let expired = Query::select("location", &["ruid"])
        .when("expires", Op::Le)
        .when_eq("partition")
        .when_eq("keepalive");
    let found = run(
        database,
        expired,
        vec![Value::Time(noon), Value::Int(0), Value::Int(1)],
    )
    .unwrap();
    assert_eq!(found.rows, [["r0".into()]]);
    let scanned = Query::select("location", &["ruid"])
        .when("q", Op::Lt)
        .order_by("ruid")
        .limit(2);
    assert_eq!(
        run(database, scanned, vec![Value::Int(0)]).unwrap().rows,
        [["r0".into()], ["r1".into()]]
    );

    let renamed = Query::update("location", &["username", "received"]).when_eq("ruid");
    assert_eq!(
        run(database, renamed, vec!["carol".into(), Value::Null, "r1".into()])
            .unwrap()
            .affected,
        1
    );
    assert_eq!(
        run(database, of_user(), vec!["carol".into(), "example.org".into()])
            .unwrap()
            .rows
            .len(),
        1
    );
    assert_eq!(
        run(database, of_user(), vec!["alice".into(), "example.org".into()])
            .unwrap()
            .rows
            .len(),
        1
    );
    let replace = Query::replace("location", &COLUMNS, &["ruid"]);
    run(database, replace, contact("r1", "dave", noon)).unwrap();
    assert_eq!(cli(&["exists", "location:usrdom::carol:example.org"]).trim(), "0");

    let delete = Query::delete("location").when("expires", Op::Le);
    assert_eq!(
        run(database, delete, vec![Value::Time(noon + 5)])
            .unwrap()
            .affected,
        3
    );
    assert_eq!(cli(&["keys", "*"]).trim(), "", "nothing is left behind");
}

#[test]
fn what_is_missing_is_named_and_versions_count() {
    let server = Redis::start_with_password();
    let url = format!("redis://:redisrw@127.0.0.1:{}/5", server.port());
    let driver = || Arc::new(RedisDriver::new(Settings::default().with_keys(KEYS).unwrap()));
    let opened = suite::open("redis", driver(), &url, Limits::default()).unwrap();
    let database = &opened.database;
    let wrong = url.replace("redisrw", "wrong");
    let refusal = match suite::open("redis", driver(), &wrong, Limits::default()) {
        Ok(_) => panic!("it opened"),
        Err(error) => error.message,
    };
    assert!(
        refusal.to_lowercase().contains("password") && !refusal.contains("wrong@"),
        "{refusal}"
    );
    let why = |outcome: Answer| match outcome {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(why(run(database, Query::select("nosuch", &["a"]), Vec::new())).contains("no table nosuch"));
    assert!(why(run(database, Query::select("location", &["nope"]), Vec::new())).contains("no column nope"));
    let keyless = Query::insert("htable", &["key_name"]);
    assert!(why(run(database, keyless, vec!["k".into()])).contains("rows of table htable have no keys"));
    let short = Query::insert("acc", &["method", "callid"]);
    assert!(
        why(run(database, short, vec!["INVITE".into(), "c".into()]))
            .contains("needs values for callid, time")
    );
    assert!(matches!(
        database.sql_blocking("select 1"),
        Err(Error::Unsupported(_))
    ));
    let wanted = TableVersion {
        versions: "version",
        table: "location",
        accepted: &[9],
    };
    assert!(check_table(database, wanted).is_err());
    server.command(&[
        "-n",
        "5",
        "hmset",
        "version:entry::location",
        "table_name",
        "location",
        "table_version",
        "9",
    ]);
    check_table(database, wanted).unwrap();
}

#[test]
fn hashes_lead_to_rows_as_sets_do() {
    let server = Redis::start();
    let opened = open_with(
        server.port(),
        Settings::default().with_keys(KEYS).unwrap().with_hashes(),
    );
    run(
        &opened.database,
        Query::insert("location", &COLUMNS),
        contact("r0", "alice", 0),
    )
    .unwrap();
    let key = "location:usrdom::alice:example.org";
    assert_eq!(
        server
            .command(&["-n", "5", "hget", key, "location:entry::r0"])
            .trim(),
        "DUMMY"
    );
    let of_user = Query::select("location", &["ruid"])
        .when_eq("username")
        .when_eq("domain");
    assert_eq!(
        run(
            &opened.database,
            of_user,
            vec!["alice".into(), "example.org".into()]
        )
        .unwrap()
        .rows,
        [["r0".into()]]
    );
    run(&opened.database, Query::delete("location"), Vec::new()).unwrap();
    assert_eq!(server.command(&["-n", "5", "keys", "*"]).trim(), "");
}

#[test]
fn a_server_that_dies_or_hangs_is_found_again_with_its_rows() {
    let mut server = Redis::start();
    let gate = Gate::to(server.port());
    let url = format!("redis://127.0.0.1:{}/5", gate.port());
    let driver = Arc::new(RedisDriver::new(Settings::default().with_keys(KEYS).unwrap()));
    let opened = suite::open("redis", driver, &url, suite::hasty()).unwrap();
    let database = &opened.database;
    run(
        database,
        Query::insert("location", &COLUMNS),
        contact("r0", "alice", 0),
    )
    .unwrap();
    server.kill();
    let count = || {
        run(
            database,
            Query::select("location", &["ruid"]).when_eq("ruid"),
            vec!["r0".into()],
        )
    };
    assert!(count().is_err());
    server.restart();
    suite::wait_until_up(database, || count().is_ok());
    assert_eq!(count().unwrap().rows.len(), 1, "acknowledged, so it is there");
    gate.set(Traffic::BlackHole);
    let start = Instant::now();
    assert!(matches!(count(), Err(Error::Timeout(_) | Error::Unavailable(_))));
    assert!(start.elapsed() < Duration::from_secs(3));
    while database.state() == State::Up {
        assert!(count().is_err());
    }
    gate.set(Traffic::Passes);
    suite::wait_until_up(database, || count().is_ok());
    assert_eq!(count().unwrap().rows.len(), 1);
}
