//! db_sqlite on real files, through the pool as modules use it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests measure and wait in real time")]

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kahea_db::{Database, Databases, Error, Limits, Op, Query, Row, Statement, Value, schema, sql::Dialect};
use kahea_db_sqlite::{Settings, SqliteDriver};
use kahea_module::{Str, stats::Stats};

struct Opened {
    database: Database,
    // Its thread must outlive the handle.
    _databases: Databases,
}

fn open(path: &Path, params: &str) -> Opened {
    let databases = Databases::default();
    databases.register("sqlite", Arc::new(SqliteDriver::new(Settings::default())));
    let url = format!("sqlite://{}{params}", path.display());
    let database = databases
        .open(&url, Limits::default(), &Stats::default())
        .unwrap();
    Opened {
        database,
        _databases: databases,
    }
}

fn create(database: &Database, table: &str) {
    for statement in schema::table(table).unwrap().create(Dialect::Sqlite) {
        database.sql_blocking(&statement).unwrap();
    }
}

#[test]
fn values_come_back_as_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    database
        .sql_blocking("create table v (i integer, r real, t varchar(20), b blob, d datetime, n int)")
        .unwrap();
    let names = ["i", "r", "t", "b", "d", "n"];
    let row: Row = vec![
        Value::Int(i64::MIN),
        Value::Real(0.25),
        Value::Text(Str::from("it's \u{e4} \"line\"\n")),
        Value::Blob(Str::copy(b"\0\xff'")),
        Value::Time(1_795_284_859),
        Value::Null,
    ];
    let insert = Query::insert("v", &names).build();
    let done = database.run_blocking(&insert, row.clone()).unwrap();
    assert_eq!((done.affected, done.last_id), (1, Some(1)));
    let all = database
        .run_blocking(&Query::select("v", &names).build(), Vec::new())
        .unwrap();
    assert_eq!(all.rows, [row]);
    let found: Vec<String> = all.columns.iter().map(|name| name.text().into_owned()).collect();
    assert_eq!(found, names);
    let later = Query::select("v", &["i"]).when("d", Op::Ge).build();
    assert_eq!(
        database
            .run_blocking(&later, vec![Value::Time(1_795_284_859)])
            .unwrap()
            .rows
            .len(),
        1
    );
    assert_eq!(
        database
            .run_blocking(&later, vec![Value::Time(1_795_284_860)])
            .unwrap()
            .rows
            .len(),
        0
    );
}

#[test]
fn every_kind_of_query_does_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    create(&database, "version");
    let columns = ["table_name", "table_version"];
    let run = |query: Query, values: Vec<Value>| database.run_blocking(&query.build(), values);
    for (name, n) in [("a", 1), ("b", 2), ("c", 3)] {
        run(
            Query::insert("version", &columns),
            vec![name.into(), Value::Int(n)],
        )
        .unwrap();
    }
    let twice = run(
        Query::insert("version", &columns),
        vec!["a".into(), Value::Int(9)],
    );
    assert!(matches!(twice, Err(Error::Constraint(_))), "{twice:?}");
    let changed = run(
        Query::update("version", &["table_version"]).when("table_version", Op::Gt),
        vec![Value::Int(7), Value::Int(1)],
    );
    assert_eq!(changed.unwrap().affected, 2);
    run(
        Query::replace("version", &columns, &["table_name"]),
        vec!["a".into(), Value::Int(8)],
    )
    .unwrap();
    run(
        Query::upsert("version", &columns, &["table_name"]),
        vec!["b".into(), Value::Int(5)],
    )
    .unwrap();
    run(
        Query::upsert("version", &columns, &["table_name"]),
        vec!["d".into(), Value::Int(4)],
    )
    .unwrap();
    assert_eq!(
        run(Query::delete("version").when_eq("table_name"), vec!["c".into()])
            .unwrap()
            .affected,
        1
    );
    let left = run(
        Query::select("version", &columns)
            .order_by_desc("table_version")
            .limit(2),
        Vec::new(),
    )
    .unwrap();
    assert_eq!(
        left.rows,
        [["a".into(), Value::Int(8)], ["b".into(), Value::Int(5)]]
    );
}

#[test]
fn transactions_are_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    create(&database, "version");
    let insert = Query::insert("version", &["table_name"]).build();
    let row = |name: &str| Statement::Query(insert.clone(), vec![name.into()]);
    database.run_all_blocking(vec![row("a"), row("b")]).unwrap();
    let broken = database.run_all_blocking(vec![row("c"), row("a")]);
    assert!(matches!(broken, Err(Error::Constraint(_))));
    let count = database.sql_blocking("select count(*) from version").unwrap();
    assert_eq!(count.single(), Some(&Value::Int(2)));
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    create(&database, "version");
    let refusal = |sql: &str| match database.sql_blocking(sql) {
        Err(Error::Refused(why)) => why,
        other => panic!("{sql}: {other:?}"),
    };
    assert!(refusal("select * from nosuch").contains("no such table: nosuch"));
    assert!(refusal("select nope from version").contains("no such column: nope"));
    assert!(refusal("selct 1").contains("syntax error"));
    assert!(refusal(" -- nothing").contains("no statement"));
    let short = Query::select("version", &[]).when_eq("table_name").build();
    assert!(matches!(
        database.run_blocking(&short, Vec::new()),
        Err(Error::Refused(_))
    ));
    // Only the first statement runs, so that nothing can be appended to it.
    database.sql_blocking("select 1; drop table version").unwrap();
    database.sql_blocking("select * from version").unwrap();
}

#[test]
fn large_tables_are_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    create(&database, "version");
    let fill = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) \
                insert into version (table_name, table_version) select 't' || i, i from n";
    assert_eq!(database.sql_blocking(fill).unwrap().affected, 20_000);
    let sum = Arc::new(AtomicUsize::new(0));
    let add = sum.clone();
    let all = Query::select("version", &["table_version"]).build();
    let each = move |row: Row| {
        add.fetch_add(usize::try_from(row[0].int().unwrap()).unwrap(), Relaxed);
    };
    database
        .load(&all, Vec::new(), Duration::from_secs(30), each)
        .unwrap();
    assert_eq!(sum.load(Relaxed), 200_010_000);
}

#[test]
fn a_file_for_reading_only_refuses_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    create(&open(&path, "").database, "version");
    let Opened { database, _databases } = open(&path, "?readonly=1");
    database.sql_blocking("select * from version").unwrap();
    let refused = database.sql_blocking("delete from version");
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
}

#[test]
fn a_lock_of_another_process_costs_the_busy_timeout_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let Opened { database, _databases } = open(&path, "?busy_timeout=200");
    create(&database, "version");
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let start = Instant::now();
    let refused = database.sql_blocking("delete from version");
    assert!(
        matches!(&refused, Err(Error::Unavailable(why)) if why.contains("locked")),
        "{refused:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    database.sql_blocking("select * from version").unwrap();
    other.execute_batch("commit").unwrap();
    database.sql_blocking("delete from version").unwrap();
}

#[test]
fn a_statement_that_runs_too_long_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let databases = Databases::default();
    databases.register("sqlite", Arc::new(SqliteDriver::default()));
    let limits = Limits {
        statement: Duration::from_millis(200),
        ..Limits::default()
    };
    let url = format!("sqlite://{}/a.db", folder.path().display());
    let database = databases.open(&url, limits, &Stats::default()).unwrap();
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    assert!(matches!(database.sql_blocking(endless), Err(Error::Timeout(_))));
    assert_eq!(
        database.sql_blocking("select 1").unwrap().single(),
        Some(&Value::Int(1))
    );
}

#[test]
fn a_folder_that_is_missing_says_so_at_the_start() {
    let databases = Databases::default();
    databases.register("sqlite", Arc::new(SqliteDriver::default()));
    let Err(error) = databases.open(
        "sqlite:///nosuch/folder/a.db",
        Limits::default(),
        &Stats::default(),
    ) else {
        panic!("it opened");
    };
    assert!(error.message.contains("unable to open database file"), "{error}");
}

#[test]
fn committed_rows_outlive_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let Opened { database, _databases } = open(&path, "");
    create(&database, "version");
    let insert = Query::insert("version", &["table_name"]).build();
    let done = Arc::new(Mutex::new(Vec::new()));
    for n in 0..50 {
        let (done, name) = (done.clone(), format!("t{n}"));
        let statement = Statement::Query(insert.clone(), vec![name.as_str().into()]);
        database.run_later(statement, move |answer| {
            if answer.is_ok() {
                done.lock().unwrap().push(name);
            }
        });
    }
    while done.lock().unwrap().len() < 50 {
        std::thread::sleep(Duration::from_millis(5));
    }
    // What a kill leaves behind: the files as they are now, log included.
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(
            format!("{}{suffix}", path.display()),
            format!("{}{suffix}", copy.display()),
        )
        .unwrap();
    }
    let after = open(&copy, "");
    let count = after
        .database
        .sql_blocking("select count(*) from version")
        .unwrap();
    assert_eq!(count.single(), Some(&Value::Int(50)));
}

#[test]
fn databases_made_by_kamdbctl_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder.path().join("a.db"), "");
    kahea_db_testing::suite::packaged(&opened.database, "db_sqlite");
}

#[test]
fn tables_are_made_checked_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let Opened { database, _databases } = open(&folder.path().join("a.db"), "");
    let wanted = schema::upkeep::named(&["standard".to_owned()]).unwrap();
    assert_eq!(
        schema::upkeep::create(&database, &wanted).unwrap().len(),
        wanted.len()
    );
    assert_eq!(
        schema::upkeep::create(&database, &wanted).unwrap().len(),
        0,
        "they are there"
    );
    assert_eq!(schema::upkeep::check(&database).unwrap(), []);
    for change in [
        "alter table location drop column keepalive",
        "alter table acc drop column time",
        "drop table pdt",
        "delete from version where table_name = 'silo'",
        "update version set table_version = 99 where table_name = 'domain'",
    ] {
        database.sql_blocking(change).unwrap();
    }
    let found: Vec<String> = schema::upkeep::check(&database)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 5, "{found:#?}");
    schema::upkeep::upgrade(&database).unwrap();
    let left: Vec<String> = schema::upkeep::check(&database)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left.len(), 2, "{left:#?}");
    assert!(
        left[0].contains("table acc has no column time") && left[1].contains("made for a newer server"),
        "{left:#?}"
    );
}
