//! What every driver of an SQL database passes.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use kahea_db::{
    Answer, Database, Databases, Driver, Error, Limits, Op, Query, Row, State, Statement, TableVersion,
    Value, check_table,
    schema::{
        self, Set,
        upkeep::{self, Problem},
    },
    sql::Dialect,
};
use kahea_module::{InitError, Str, stats::Stats};

use crate::{Gate, Traffic};

/// A database and the thread that it needs.
pub struct Opened {
    /// The database.
    pub database: Database,
    /// All databases of the test.
    pub databases: Databases,
}

/// Opens a database by a driver, which answers for the scheme of the URL.
///
/// # Errors
/// The database cannot be reached.
pub fn open(
    scheme: &'static str,
    driver: Arc<dyn Driver>,
    url: &str,
    limits: Limits,
) -> Result<Opened, InitError> {
    let databases = Databases::default();
    databases.register(scheme, driver);
    let database = databases.open(url, limits, &Stats::default())?;
    Ok(Opened { database, databases })
}

/// What a busy machine does not break: how slow it is is not what most tests look for.
pub fn patient() -> Limits {
    Limits {
        statement: Duration::from_secs(60),
        connect: Duration::from_secs(20),
        ..Limits::default()
    }
}

/// Short enough for a test, long enough for a busy machine.
pub fn hasty() -> Limits {
    Limits {
        statement: Duration::from_millis(500),
        connect: Duration::from_secs(2),
        ..Limits::default()
    }
}

/// Makes one of Kamailio's tables.
///
/// # Panics
/// The database refuses it.
pub fn create(database: &Database, dialect: Dialect, table: &str) {
    for statement in schema::table(table).unwrap().create(dialect) {
        database.sql_blocking(&statement).unwrap();
    }
}

fn run(database: &Database, query: Query, values: Vec<Value>) -> Answer {
    database.run_blocking(&query.build(), values)
}

/// Every kind of value comes back as it went in; `table` is the statement that makes a table `v` with columns for an
/// integer of 64 bits, a fraction, a text, bytes, a date with time, and an integer that may be NULL.
///
/// # Panics
/// One does not.
pub fn values(database: &Database, table: &str) {
    database.sql_blocking(table).unwrap();
    let names = ["i", "r", "t", "b", "d", "n"];
    let row: Row = vec![
        Value::Int(i64::MIN),
        Value::Real(0.25),
        Value::Text(Str::from("it's \u{e4} \\' \"line\"\n")),
        Value::Blob(Str::copy(b"\0\xff'")),
        Value::Time(1_795_284_859),
        Value::Null,
    ];
    assert_eq!(
        run(database, Query::insert("v", &names), row.clone())
            .unwrap()
            .affected,
        1
    );
    let all = run(database, Query::select("v", &names), Vec::new()).unwrap();
    assert_eq!(all.rows, [row]);
    let found: Vec<String> = all.columns.iter().map(|name| name.text().into_owned()).collect();
    assert_eq!(found, names);
    let since = |unix| {
        let query = Query::select("v", &["i"]).when("d", Op::Ge);
        run(database, query, vec![Value::Time(unix)]).unwrap().rows.len()
    };
    assert_eq!((since(1_795_284_859), since(1_795_284_860)), (1, 0));
    // Values of a similar kind fit as well: numbers as texts, texts as numbers.
    let similar = vec![
        Value::from("17"),
        Value::Int(2),
        Value::Int(5),
        Value::from("x"),
        Value::Time(0),
        Value::from("4"),
    ];
    run(database, Query::insert("v", &names), similar).unwrap();
    let query = Query::select("v", &["i", "r", "t", "n"])
        .when_eq("n")
        .when("d", Op::NotNull);
    let found = run(database, query, vec![Value::from("4")]).unwrap();
    assert_eq!(
        found.rows,
        [[Value::Int(17), Value::Real(2.0), Value::from("5"), Value::Int(4)]]
    );
}

/// Every kind of query does its work, on Kamailio's table `version`, which must be there and empty.
///
/// # Panics
/// One does not.
pub fn queries(database: &Database) {
    let columns = ["table_name", "table_version"];
    for (name, n) in [("a", 1), ("b", 2), ("c", 3)] {
        run(
            database,
            Query::insert("version", &columns),
            vec![name.into(), Value::Int(n)],
        )
        .unwrap();
    }
    let twice = run(
        database,
        Query::insert("version", &columns),
        vec!["a".into(), Value::Int(9)],
    );
    assert!(matches!(twice, Err(Error::Constraint(_))), "{twice:?}");
    let update = Query::update("version", &["table_version"]).when("table_version", Op::Gt);
    assert_eq!(
        run(database, update, vec![Value::Int(7), Value::Int(1)])
            .unwrap()
            .affected,
        2
    );
    let replace = Query::replace("version", &columns, &["table_name"]);
    run(database, replace, vec!["a".into(), Value::Int(8)]).unwrap();
    let upsert = || Query::upsert("version", &columns, &["table_name"]);
    run(database, upsert(), vec!["b".into(), Value::Int(5)]).unwrap();
    run(database, upsert(), vec!["d".into(), Value::Int(4)]).unwrap();
    let delete = Query::delete("version").when_eq("table_name");
    assert_eq!(run(database, delete, vec!["c".into()]).unwrap().affected, 1);
    let bits = Query::select("version", &["table_name"]).when("table_version", Op::Bits);
    assert_eq!(
        run(database, bits, vec![Value::Int(1)]).unwrap().rows,
        [["b".into()]]
    );
    let best = Query::select("version", &columns)
        .order_by_desc("table_version")
        .limit(2);
    let left = run(database, best, Vec::new()).unwrap();
    assert_eq!(
        left.rows,
        [["a".into(), Value::Int(8)], ["b".into(), Value::Int(5)]]
    );
    run(database, Query::delete("version"), Vec::new()).unwrap();
}

/// Transactions happen whole or not at all; `version` must be there and empty.
///
/// # Panics
/// One does not.
pub fn transactions(database: &Database) {
    let insert = Query::insert("version", &["table_name"]).build();
    let row = |name: &str| Statement::Query(insert.clone(), vec![name.into()]);
    database.run_all_blocking(vec![row("a"), row("b")]).unwrap();
    let broken = database.run_all_blocking(vec![row("c"), row("a")]);
    assert!(matches!(broken, Err(Error::Constraint(_))), "{broken:?}");
    let count = database.sql_blocking("select count(*) from version").unwrap();
    assert_eq!(count.single(), Some(&Value::Int(2)));
    run(database, Query::delete("version"), Vec::new()).unwrap();
}

/// Twenty thousand rows come one by one; `version` must be there and empty.
///
/// # Panics
/// One is missing.
pub fn streaming(database: &Database) {
    let insert = Query::insert("version", &["table_name", "table_version"]).build();
    for thousand in 0..20 {
        let row = |n: i64| {
            Statement::Query(
                insert.clone(),
                vec![format!("t{n}").as_str().into(), Value::Int(n)],
            )
        };
        let rows = (thousand * 1000..(thousand + 1) * 1000).map(row).collect();
        assert_eq!(database.run_all_blocking(rows).unwrap().affected, 1000);
    }
    let sum = Arc::new(AtomicUsize::new(0));
    let add = sum.clone();
    let each = move |row: Row| {
        add.fetch_add(usize::try_from(row[0].int().unwrap()).unwrap(), Relaxed);
    };
    let all = Query::select("version", &["table_version"]).build();
    database
        .load(&all, Vec::new(), Duration::from_secs(30), each)
        .unwrap();
    assert_eq!(sum.load(Relaxed), 199_990_000);
    run(database, Query::delete("version"), Vec::new()).unwrap();
}

/// The texts of refusals name what is missing; `version` must be there.
///
/// # Panics
/// One does not.
pub fn refusals(database: &Database) {
    let refusal = |sql: &str| match database.sql_blocking(sql) {
        Err(Error::Refused(why)) => why,
        other => panic!("{sql}: {other:?}"),
    };
    assert!(refusal("select * from nosuch").contains("nosuch"));
    assert!(refusal("select nope from version").contains("nope"));
    assert!(refusal("selct 1").contains("syntax"));
    let missing = run(database, Query::select("version", &["nope"]), Vec::new());
    assert!(matches!(missing, Err(Error::Refused(_))), "{missing:?}");
    let short = run(
        database,
        Query::select("version", &[]).when_eq("table_name"),
        Vec::new(),
    );
    assert!(matches!(short, Err(Error::Refused(_))), "{short:?}");
    // What is wrong with one statement does not hurt the next.
    database.sql_blocking("select 1").unwrap();
}

/// A database made by the files of Kamailio's package (`folder` is `mysql`, `postgres` or `db_sqlite`) is used as it is:
/// what is older than this server's tables is found and repaired. Does nothing where the package is not installed.
///
/// # Panics
/// Something else is found, or it cannot be repaired.
pub fn packaged(database: &Database, folder: &str) {
    let folder = Path::new("/usr/share/kamailio").join(folder);
    if !folder.is_dir() {
        return;
    }
    let mut groups: Vec<&str> = schema::tables()
        .iter()
        .filter(|table| table.set != Set::Other)
        .map(|table| table.group)
        .collect();
    groups.dedup();
    for group in groups {
        let file = std::fs::read_to_string(folder.join(format!("{group}-create.sql"))).unwrap();
        for statement in file
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
        {
            database
                .sql_blocking(statement)
                .unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }
    let location = TableVersion {
        versions: "version",
        table: "location",
        accepted: &[9],
    };
    check_table(database, location).unwrap();
    let found: Vec<(&str, Problem)> = upkeep::check(database)
        .unwrap()
        .into_iter()
        .map(|finding| (finding.table, finding.problem))
        .collect();
    let column = Problem::NoColumn {
        column: "contact_user",
        can_be_added: true,
    };
    let version = Problem::Version { found: 5, needed: 6 };
    assert_eq!(found, [("uacreg", column), ("uacreg", version)]);
    let contact = Query::insert("location", &["ruid", "username", "contact", "expires"]);
    let row = vec![
        "r1".into(),
        "alice".into(),
        "sip:alice@127.0.0.1".into(),
        Value::Time(1_795_284_859),
    ];
    run(database, contact, row).unwrap();
    upkeep::upgrade(database).unwrap();
    assert_eq!(upkeep::check(database).unwrap(), []);
    let read = Query::select(
        "location",
        &["username", "expires", "callid", "q", "last_modified"],
    )
    .when_eq("ruid");
    let rows = run(database, read, vec!["r1".into()]).unwrap().rows;
    let modified = Value::Time(kahea_db::parse_time("2000-01-01 00:00:01").unwrap());
    let expected = [
        "alice".into(),
        Value::Time(1_795_284_859),
        "Default-Call-ID".into(),
        Value::Real(1.0),
        modified,
    ];
    assert_eq!(rows, [expected]);
}

/// Every row that was acknowledged is there after the server was killed in the middle of it and began again; meanwhile
/// statements are refused. `version` is made here.
///
/// # Panics
/// One is lost.
pub fn survives_death<S>(
    database: &Database,
    dialect: Dialect,
    server: &mut S,
    kill: impl FnOnce(&mut S),
    restart: impl FnOnce(&mut S),
) {
    create(database, dialect, "version");
    let insert = Query::insert("version", &["table_name"]).build();
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let send = |from: i64, to: i64| {
        for n in from..to {
            let (acknowledged, name) = (acknowledged.clone(), format!("t{n}"));
            let row = Statement::Query(insert.clone(), vec![name.as_str().into()]);
            database.run_later(row, move |answer| {
                if answer.is_ok() {
                    acknowledged.lock().unwrap().push(name);
                }
            });
        }
    };
    let wait_for = |count: usize| {
        while acknowledged.lock().unwrap().len() < count {
            sleep(Duration::from_millis(1));
        }
    };
    send(1000, 3000);
    wait_for(100);
    kill(server);
    let start = Instant::now();
    let refused = database.sql_blocking("select 1");
    assert!(
        matches!(refused, Err(Error::Unavailable(_) | Error::Lost(_))),
        "{refused:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(4));
    restart(server);
    wait_until_up(database, || database.sql_blocking("select 1").is_ok());
    let before = acknowledged.lock().unwrap().len();
    send(5000, 5100);
    wait_for(before + 100);
    let all = run(database, Query::select("version", &["table_name"]), Vec::new()).unwrap();
    let stored: HashSet<String> = all
        .rows
        .iter()
        .map(|row| row[0].text().unwrap().text().into_owned())
        .collect();
    for name in acknowledged.lock().unwrap().iter() {
        assert!(stored.contains(name), "{name} was acknowledged and is lost");
    }
}

/// Waits until the server is up again, and `answers`.
///
/// # Panics
/// It does not within half a minute.
pub fn wait_until_up(database: &Database, answers: impl Fn() -> bool) {
    let start = Instant::now();
    while database.state() != State::Up || !answers() {
        assert!(start.elapsed() < Duration::from_secs(30), "it is not found again");
        sleep(Duration::from_millis(20));
    }
}

/// A server that hangs costs each statement its deadline, then nothing, and is found again; the database was opened with
/// [`hasty`] limits through the gate.
///
/// # Panics
/// It costs more, or stays away.
pub fn hangs(database: &Database, gate: &Gate) {
    gate.set(Traffic::Slow(Duration::from_millis(50)));
    database.sql_blocking("select 1").unwrap();
    gate.set(Traffic::BlackHole);
    let start = Instant::now();
    let late = database.sql_blocking("select 1");
    assert!(
        matches!(late, Err(Error::Timeout(_) | Error::Unavailable(_))),
        "{late:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    while database.state() == State::Up {
        assert!(database.sql_blocking("select 1").is_err());
    }
    let start = Instant::now();
    (0..100).for_each(|_| assert!(database.sql_blocking("select 1").is_err()));
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "refusals cost no time"
    );
    gate.set(Traffic::Passes);
    wait_until_up(database, || database.sql_blocking("select 1").is_ok());
}
