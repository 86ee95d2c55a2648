use std::time::{Instant, UNIX_EPOCH};

use kahea_db::{Connection, Done, Driver, Features, Sink, Statement, Url, sql::Dialect};
use parking_lot::Mutex;

use super::*;
use crate::usrloc::{Common, Draft, Form, Part};

/// Databases by host: which are away, which refuse everything, and what they were told.
#[derive(Default)]
struct World {
    away: Mutex<Vec<String>>,
    refuses: Mutex<Vec<String>>,
    told: Mutex<Vec<(String, String)>>,
}

struct FakeDriver(Arc<World>);

struct FakeConnection(Arc<World>, String);

impl Driver for FakeDriver {
    fn module(&self) -> &'static str {
        "db_fake"
    }

    fn features(&self, _: &Url) -> Features {
        Features {
            dialect: Some(Dialect::Sqlite),
            replaces: true,
            counts: true,
            last_id: false,
            connections: 1,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        let connection = FakeConnection(self.0.clone(), url.host.clone());
        Box::pin(async { Ok(Box::new(connection) as Box<dyn Connection>) })
    }
}

impl Connection for FakeConnection {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        _: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            if self.0.away.lock().contains(&self.1) {
                return Err(Error::Lost("away".to_owned()));
            }
            if self.0.refuses.lock().contains(&self.1) {
                return Err(Error::Refused("no such table".to_owned()));
            }
            let Statement::Query(query, _) = statement else {
                return Err(Error::Unsupported("SQL"));
            };
            let what = format!("{:?} {}", query.kind(), query.table());
            self.0.told.lock().push((self.1.clone(), what));
            Ok(Done::default())
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.ping()
    }
}

fn row(id: i64, number: i64, host: &str, status: i64) -> Row {
    vec![
        Value::Int(id),
        Value::Int(number),
        Value::from(&*format!("fake://{host}/x")),
        Value::Int(status),
        Value::Int(0),
        Value::Time(NEVER),
        Value::Int(0),
        Value::Int(0),
    ]
}

fn cluster(world: &Arc<World>) -> Cluster {
    let databases = Arc::new(Databases::default());
    databases.register("fake", Arc::new(FakeDriver(world.clone())));
    #[expect(clippy::disallowed_methods, reason = "an origin for the server's start")]
    let shared = Arc::new(Shared::new(UNIX_EPOCH, Instant::now(), Vec::new()));
    let open = |host: &str| {
        let url = format!("fake://{host}/x");
        databases
            .open_later(&url, Limits::default(), &shared.stats)
            .unwrap()
    };
    let cluster = Cluster::new(Parts {
        master: Master::default(),
        read: open("master"),
        write: Some(open("master")),
        writes: true,
        domain_counts: true,
        layout: Layout {
            columns: Common::default().columns,
            form: Form {
                use_domain: true,
                ..Form::default()
            },
            by_ruid: true,
            attributes: false,
            process: Str::EMPTY,
            server_id: None,
        },
        tuning: Tuning {
            threshold: AtomicI64::new(1),
            ..Tuning::default()
        },
        databases,
        shared,
    });
    let rows = vec![
        row(1, 1, "a1", 1),
        row(1, 2, "a2", 1),
        row(2, 1, "b1", 1),
        row(2, 2, "b2", 1),
    ];
    assert_eq!(cluster.take(rows), 4);
    cluster
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn unwritten(aor: &str) -> Unwritten {
    let draft = Draft::default()
        .with(Part::Aor, aor.as_bytes())
        .with(Part::Ruid, b"1");
    Unwritten {
        contacts: vec![Contact::new(&draft).unwrap()],
        gone: Vec::new(),
    }
}

#[test]
fn a_contact_is_written_to_both_databases_of_its_group_and_read_from_one() {
    let world = Arc::new(World::default());
    let cluster = cluster(&world);
    let table = Str::from("location");
    run(cluster.write_all(&table, &unwritten("alice@example.com"))).unwrap();
    let hosts: Vec<String> = world.told.lock().iter().map(|(host, _)| host.clone()).collect();
    assert_eq!(hosts.len(), 2);
    assert_eq!(hosts[0][..1], hosts[1][..1]);
    world.told.lock().clear();
    run(cluster.fetch(&table, b"alice@example.com")).unwrap();
    let told = world.told.lock();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0[..1], hosts[0][..1]);
}

#[test]
fn addresses_are_spread_over_the_groups() {
    let cluster = cluster(&Arc::new(World::default()));
    let groups: Vec<i64> = (0..20)
        .map(|n| cluster.of_aor(format!("user{n}@example.com").as_bytes())[0].id)
        .collect();
    assert!(groups.contains(&1) && groups.contains(&2));
}

#[test]
fn a_database_that_fails_is_passed_over_and_turned_off() {
    let world = Arc::new(World::default());
    let cluster = cluster(&world);
    let table = Str::from("location");
    let group = cluster.of_aor(b"alice@example.com")[0].id;
    let first = if group == 1 { "a1" } else { "b1" };
    world.away.lock().push(first.to_owned());
    for _ in 0..3 {
        assert!(run(cluster.fetch(&table, b"alice@example.com")).is_ok());
    }
    let node = cluster.of_aor(b"alice@example.com")[0].clone();
    assert_eq!(node.status, Status::Off);
    let told = world.told.lock();
    assert!(
        told.iter()
            .any(|(host, what)| host == "master" && what.starts_with("Update"))
    );
}

#[test]
fn a_write_that_one_database_misses_is_not_acknowledged_until_that_one_is_off() {
    let world = Arc::new(World::default());
    let cluster = cluster(&world);
    cluster.tuning.threshold.store(2, Relaxed);
    let table = Str::from("location");
    let alice = unwritten("alice@example.com");
    let group = cluster.of_aor(b"alice@example.com")[0].id;
    let first = if group == 1 { "a1" } else { "b1" };
    world.refuses.lock().push(first.to_owned());
    assert!(
        run(cluster.write_all(&table, &alice)).is_err(),
        "it would be read from there"
    );
    assert_eq!(cluster.of_aor(b"alice@example.com")[0].status, Status::On);
    assert!(run(cluster.write_all(&table, &alice)).is_ok());
    assert_eq!(cluster.of_aor(b"alice@example.com")[0].status, Status::Off);
    assert!(run(cluster.write_all(&table, &alice)).is_ok());
}

#[test]
fn what_every_database_refuses_turns_none_off() {
    let world = Arc::new(World::default());
    let cluster = cluster(&world);
    world
        .refuses
        .lock()
        .extend(["a1", "a2", "b1", "b2"].map(str::to_owned));
    let table = Str::from("location");
    for _ in 0..3 {
        assert!(run(cluster.write_all(&table, &unwritten("alice@example.com"))).is_err());
        assert!(run(cluster.fetch(&table, b"alice@example.com")).is_err());
    }
    let nodes = cluster.nodes.read();
    assert!(nodes.iter().all(|node| node.status == Status::On));
}

#[test]
fn nothing_is_acknowledged_that_no_database_took() {
    let world = Arc::new(World::default());
    let cluster = cluster(&world);
    world
        .away
        .lock()
        .extend(["a1", "a2", "b1", "b2"].map(str::to_owned));
    let table = Str::from("location");
    assert!(run(cluster.write_all(&table, &unwritten("alice@example.com"))).is_err());
    assert!(run(cluster.fetch(&table, b"alice@example.com")).is_err());
}
