//! db_text, db_flatstore and db_cluster on real files, through the pool as modules use it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests wait in real time")]

use std::{fs, path::Path, sync::Arc, thread::sleep, time::Duration};

use kahea_db::{Database, Error, Limits, Query, Statement, TableVersion, Value, check_table, schema};
use kahea_db_testing::suite::{self, Opened};
use kahea_db_text::{FlatDriver, FlatSettings, Format, TextDriver};

const TABLE: &str = "id(int,auto) s(string) n(int,null) f(double)\n1:one:5:0.50\n2:two::1.50\n";

fn open(folder: &Path, driver: &Arc<TextDriver>) -> Opened {
    let url = format!("text://{}", folder.display());
    suite::open("text", driver.clone(), &url, Limits::default()).unwrap()
}

fn names(database: &Database) -> Vec<String> {
    let rows = database
        .run_blocking(&Query::select("m", &["s"]).build(), Vec::new())
        .unwrap()
        .rows;
    rows.iter()
        .map(|row| row[0].text().unwrap().text().into_owned())
        .collect()
}

#[test]
fn changes_are_in_the_file_soon() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m");
    fs::write(&file, TABLE).unwrap();
    let driver = Arc::new(TextDriver::default());
    let opened = open(folder.path(), &driver);
    let insert = Query::insert("m", &["s", "f"]).build();
    let done = opened
        .database
        .run_blocking(&insert, vec!["a:b\n".into(), Value::Real(2.0)])
        .unwrap();
    assert_eq!(done.last_id, Some(3));
    opened
        .database
        .sql_blocking("update m set n = 7 where s = 'two'")
        .unwrap();
    for _ in 0..500 {
        if fs::read_to_string(&file)
            .unwrap()
            .ends_with("2:two:7:1.50\n3:a\\:b\\n::2.00\n")
        {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("{}", fs::read_to_string(&file).unwrap());
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m"), TABLE).unwrap();
    let opened = open(folder.path(), &Arc::new(TextDriver::default()));
    let insert = Query::insert("m", &["s", "f"]).build();
    let row = |s: &str, f: Value| Statement::Query(insert.clone(), vec![s.into(), f]);
    let outcome = opened
        .database
        .run_all_blocking(vec![row("a", Value::Real(1.0)), row("b", Value::Null)]);
    assert!(matches!(outcome, Err(Error::Constraint(_))), "{outcome:?}");
    assert_eq!(names(&opened.database), ["one", "two"]);
    opened
        .database
        .run_all_blocking(vec![row("a", Value::Real(1.0)), row("b", Value::Int(2))])
        .unwrap();
    assert_eq!(names(&opened.database), ["one", "two", "a", "b"]);
}

#[test]
fn files_that_change_are_read_again_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m");
    for (fresh, expected) in [(false, "one"), (true, "uno")] {
        fs::write(&file, TABLE).unwrap();
        let driver = Arc::new(TextDriver::with_format(Format::default(), fresh));
        let opened = open(folder.path(), &driver);
        assert_eq!(names(&opened.database)[0], "one");
        sleep(Duration::from_millis(20));
        fs::write(&file, TABLE.replace("one", "uno")).unwrap();
        assert_eq!(names(&opened.database)[0], expected);
    }
}

#[test]
fn the_databases_of_the_package_and_of_kahea_db_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<&schema::Table> = schema::tables().iter().collect();
    assert_eq!(
        schema::upkeep::create_text(folder.path(), &all).unwrap().len(),
        82
    );
    let opened = open(folder.path(), &Arc::new(TextDriver::default()));
    assert_eq!(schema::upkeep::check(&opened.database).unwrap(), []);
    let wanted = TableVersion {
        versions: "version",
        table: "location",
        accepted: &[9],
    };
    check_table(&opened.database, wanted).unwrap();
    let package = Path::new("/usr/share/kamailio/dbtext/kamailio");
    if package.is_dir() {
        let opened = open(package, &Arc::new(TextDriver::default()));
        check_table(&opened.database, wanted).unwrap();
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("m"), "a(int)\n1\nx\n").unwrap();
    let opened = open(folder.path(), &Arc::new(TextDriver::default()));
    let why = |sql: &str| opened.database.sql_blocking(sql).unwrap_err().to_string();
    assert!(why("select * from m").contains("line 3: column a holds \"x\""));
    assert!(why("select * from nosuch").contains("there is no table"));
    assert!(why("select * from `../m`").contains("is no name of a table"));
    let missing = suite::open(
        "text",
        Arc::new(TextDriver::default()),
        "text:///nosuch",
        Limits::default(),
    );
    assert!(missing.is_err_and(|error| error.message.contains("there is no folder /nosuch")));
}

#[test]
fn rows_of_flatstore_follow_a_rotation_into_a_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let driver = Arc::new(FlatDriver::with_settings(FlatSettings::default()));
    let url = format!("flatstore:{}", folder.path().display());
    let opened = suite::open("flatstore", driver.clone(), &url, Limits::default()).unwrap();
    let insert = Query::insert("acc", &["method", "time", "reason"]).build();
    let add = |n: i64| {
        let row = vec!["INVITE".into(), Value::Time(n), "a|b".into()];
        opened.database.run_blocking(&insert, row).unwrap();
    };
    add(1);
    add(2);
    let file = folder.path().join("acc_1.log");
    let old = folder.path().join("acc_1.old");
    fs::rename(&file, &old).unwrap();
    add(3);
    assert_eq!(
        fs::read_to_string(&old).unwrap().lines().count(),
        3,
        "still the renamed file"
    );
    driver.rotate();
    add(4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "INVITE|4|a%7Cb\n");
    let refused = opened
        .database
        .run_blocking(&Query::select("acc", &[]).build(), Vec::new());
    assert!(matches!(refused, Err(Error::Unsupported(_))));
}
