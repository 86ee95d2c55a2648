//! The driver of `cluster://name`.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use kahea_db::{
    Answer, BoxFuture, Connection, Database, Databases, Done, Driver, Error, Features, Kind, Limits, Rows,
    Sink, Statement, Url,
};
use kahea_module::config::Shared;

use super::members::{self, Cluster, Member, now};

/// Connections of a pool: each only hands statements on.
const CONNECTIONS: usize = 32;

/// The driver of `cluster://name`.
pub struct ClusterDriver {
    clusters: Vec<Arc<Cluster>>,
    databases: Weak<Databases>,
    shared: Weak<Shared>,
}

impl ClusterDriver {
    pub(crate) fn new(
        clusters: Vec<Arc<Cluster>>,
        databases: &Arc<Databases>,
        shared: &Arc<Shared>,
    ) -> ClusterDriver {
        ClusterDriver {
            clusters,
            databases: Arc::downgrade(databases),
            shared: Arc::downgrade(shared),
        }
    }

    fn open(&self, url: &Url) -> Result<Arc<Cluster>, Error> {
        let unavailable = |why: String| Error::Unavailable(why);
        let cluster = members::find(&self.clusters, &url.host).ok_or_else(|| {
            unavailable(format!(
                "there is no cluster {}; define it by the parameter cluster of db_cluster",
                url.host
            ))
        })?;
        let ended = || unavailable("the server ends".to_owned());
        let databases = self.databases.upgrade().ok_or_else(ended)?;
        let shared = self.shared.upgrade().ok_or_else(ended)?;
        for member in cluster.members.iter().filter(|member| !member.is_open()) {
            let opened = databases.open_later(member.url.as_written(), Limits::default(), &shared.stats);
            let database =
                opened.map_err(|error| unavailable(format!("connection {}: {error}", member.name)))?;
            // Another connection of the pool may have been faster.
            drop(member.database().set(database));
        }
        Ok(cluster)
    }
}

impl Driver for ClusterDriver {
    fn module(&self) -> &'static str {
        "db_cluster"
    }

    /// Those that all connections have; the dialect of the first.
    fn features(&self, url: &Url) -> Features {
        let none = Features {
            dialect: None,
            replaces: true,
            counts: true,
            last_id: true,
            connections: CONNECTIONS,
        };
        let (Some(cluster), Some(databases)) =
            (members::find(&self.clusters, &url.host), self.databases.upgrade())
        else {
            return none;
        };
        let of = |member: &Member| Some(databases.driver(&member.url.scheme).ok()?.features(&member.url));
        let mut all = cluster.members.iter().filter_map(of);
        let first = all.next().unwrap_or(none);
        all.fold(
            Features {
                connections: CONNECTIONS,
                ..first
            },
            |sum, one| Features {
                replaces: sum.replaces && one.replaces,
                counts: sum.counts && one.counts,
                last_id: sum.last_id && one.last_id,
                ..sum
            },
        )
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        Box::pin(async move {
            let cluster = self.open(url)?;
            Ok(Box::new(Line {
                cluster,
                transaction: None,
            }) as Box<dyn Connection>)
        })
    }
}

/// What is to be done on a connection.
#[derive(Clone)]
enum Work {
    One(Statement),
    All(Vec<Statement>),
}

impl Work {
    async fn on(self, database: &Database) -> Answer {
        match self {
            Work::One(Statement::Query(query, values)) => database.run(&query, values).await,
            Work::One(Statement::Sql(text, values)) => database.sql(text, values).await,
            Work::All(statements) => database.run_all(statements).await,
        }
    }
}

struct Line {
    cluster: Arc<Cluster>,
    /// Within a transaction: what is to be done at its end.
    transaction: Option<Vec<Statement>>,
}

/// SQL of a script counts as reading, whatever it does, as in Kamailio.
fn writes(statement: &Statement) -> bool {
    matches!(statement, Statement::Query(query, _) if query.kind() != Kind::Select)
}

impl Line {
    async fn perform(&self, work: Work, writes: bool) -> Answer {
        let mut last = Error::Unavailable(format!(
            "every connection of cluster {} is left alone",
            self.cluster.name
        ));
        for step in self.cluster.steps(writes) {
            let mut done: Option<Rows> = None;
            let mut under_way = Vec::new();
            for member in step.members {
                if !step.together {
                    match self.attempt(member, work.clone()).await {
                        Ok(rows) => return Ok(rows),
                        Err(error) => last = error,
                    }
                    continue;
                }
                under_way.push((member, self.start(member, work.clone())));
            }
            for (member, (begun, answer)) in under_way {
                let answer = answer
                    .await
                    .unwrap_or_else(|_| Err(Error::Lost("the server ends".to_owned())));
                match self.judged(member, begun, answer) {
                    Ok(rows) => done = done.or(Some(rows)),
                    Err(error) => last = error,
                }
            }
            if let Some(rows) = done {
                return Ok(rows);
            }
        }
        Err(last)
    }

    async fn attempt(&self, member: &Member, work: Work) -> Answer {
        let Some(database) = member.database().get() else {
            return Err(Error::Unavailable(format!(
                "connection {} is not open",
                member.name
            )));
        };
        let begun = now();
        self.judged(member, begun, work.on(database).await)
    }

    /// Begins on a connection without waiting for the others.
    fn start(&self, member: &Member, work: Work) -> (Instant, tokio::task::JoinHandle<Answer>) {
        let (database, name) = (member.database().get().cloned(), member.name.clone());
        let task = tokio::spawn(async move {
            match database {
                Some(database) => work.on(&database).await,
                None => Err(Error::Unavailable(format!("connection {name} is not open"))),
            }
        });
        (now(), task)
    }

    /// A server that is away or hangs is left alone; one that refuses a statement is there.
    fn judged(&self, member: &Member, begun: Instant, answer: Answer) -> Answer {
        if answer.as_ref().is_err_and(Error::is_passing) {
            self.cluster
                .failed(member, now().saturating_duration_since(begun));
        }
        answer
    }

    async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Connection for Line {
    fn run<'a>(
        &'a mut self,
        statement: &'a Statement,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Done, Error>> {
        Box::pin(async move {
            if let Some(transaction) = &mut self.transaction {
                transaction.push(statement.clone());
                return Ok(Done::default());
            }
            let rows = self
                .perform(Work::One(statement.clone()), writes(statement))
                .await?;
            if !rows.columns.is_empty() {
                sink.columns(&rows.columns);
            }
            rows.rows.into_iter().for_each(|row| sink.row(row));
            Ok(Done {
                affected: rows.affected,
                last_id: rows.last_id,
            })
        })
    }

    fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.ready())
    }

    fn begin(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.transaction = Some(Vec::new());
        Box::pin(self.ready())
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        let statements = self.transaction.take().unwrap_or_default();
        Box::pin(async move {
            match statements.is_empty() {
                true => Ok(()),
                false => self.perform(Work::All(statements), true).await.map(drop),
            }
        })
    }

    fn rollback(&mut self) -> BoxFuture<'_, Result<(), Error>> {
        self.transaction = None;
        Box::pin(self.ready())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use kahea_db::{Query, Value};
    use kahea_db_sqlite::SqliteDriver;

    use super::{super::config, *};

    struct Rig {
        folder: tempfile::TempDir,
        cluster: Arc<Cluster>,
        database: Database,
        // They must outlive the handle.
        _databases: Arc<Databases>,
        _shared: Arc<Shared>,
    }

    /// A cluster of the connections `c1`, `c2` and `gone`, whose folder does not exist.
    fn rig(definition: &str) -> Rig {
        let folder = tempfile::tempdir().expect("there is room");
        let url = |name: &str| format!("{name}=>sqlite://{}/{name}.db", folder.path().display());
        let given = [
            url("c1"),
            url("c2"),
            "gone=>sqlite:///nosuch/folder/a.db".to_owned(),
        ];
        let given: Vec<config::Given> = given
            .iter()
            .filter_map(|text| config::connection(text).ok())
            .collect();
        for name in ["c1", "c2"] {
            let file = rusqlite(&folder.path().join(format!("{name}.db")));
            file.database
                .sql_blocking("create table t (n integer primary key)")
                .expect("it is new");
        }
        let definition = config::cluster(definition, &given).expect("it is a cluster");
        let limits = members::Limits {
            inactive: Duration::from_secs(60),
            longest: Duration::ZERO,
            started: now(),
        };
        let cluster = Arc::new(Cluster::new(definition, limits));
        let databases = Arc::new(Databases::default());
        let shared = Arc::new(Shared::new(std::time::SystemTime::UNIX_EPOCH, now(), Vec::new()));
        databases.register("sqlite", Arc::new(SqliteDriver::default()));
        let driver = ClusterDriver::new(vec![cluster.clone()], &databases, &shared);
        databases.register("cluster", Arc::new(driver));
        let database = databases
            .open("cluster://k", Limits::default(), &shared.stats)
            .expect("it opens");
        Rig {
            folder,
            cluster,
            database,
            _databases: databases,
            _shared: shared,
        }
    }

    fn rusqlite(path: &Path) -> kahea_db_testing::suite::Opened {
        let url = format!("sqlite://{}", path.display());
        let driver = Arc::new(SqliteDriver::default());
        kahea_db_testing::suite::open("sqlite", driver, &url, Limits::default()).expect("it opens")
    }

    impl Rig {
        fn rows(&self, name: &str) -> Vec<i64> {
            let file = rusqlite(&self.folder.path().join(format!("{name}.db")));
            let rows = file
                .database
                .sql_blocking("select n from t order by n")
                .expect("it is there")
                .rows;
            rows.iter().filter_map(|row| row.first()?.int()).collect()
        }

        fn add(&self, n: i64) -> Answer {
            self.database
                .run_blocking(&Query::insert("t", &["n"]).build(), vec![Value::Int(n)])
        }

        fn read(&self) -> Answer {
            self.database
                .run_blocking(&Query::select("t", &["n"]).order_by("n").build(), Vec::new())
        }
    }

    #[test]
    fn parallel_writes_go_to_all_and_reading_to_one() {
        let rig = rig("k=>c1=9s9p;c2=8s9p");
        rig.add(1).expect("both take it");
        assert_eq!((rig.rows("c1"), rig.rows("c2")), (vec![1], vec![1]));
        assert_eq!(rig.read().expect("the first has it").rows, [[Value::Int(1)]]);
    }

    #[test]
    fn one_that_is_away_is_left_alone_and_the_next_takes_its_place() {
        let rig = rig("k=>gone=9s9s;c1=8s8s;c2=7s7s");
        rig.add(1).expect("the second takes it");
        assert_eq!((rig.rows("c1"), rig.rows("c2")), (vec![1], vec![]));
        assert!(
            rig.cluster
                .members
                .first()
                .is_some_and(|gone| rig.cluster.is_paused(gone))
        );
        assert_eq!(rig.read().expect("the second has it").rows, [[Value::Int(1)]]);
    }

    #[test]
    fn writes_take_turns_where_the_cluster_says_so() {
        let rig = rig("k=>c1=9s9r;c2=9s9r");
        (1..=4).for_each(|n| drop(rig.add(n)));
        let (one, two) = (rig.rows("c1").len(), rig.rows("c2").len());
        assert_eq!((one, two), (2, 2));
    }

    #[test]
    fn refusals_do_not_take_a_connection_out() {
        let rig = rig("k=>c1=9s9s");
        rig.add(1).expect("it is new");
        assert!(matches!(rig.add(1), Err(Error::Constraint(_))));
        assert!(rig.database.sql_blocking("select nope from t").is_err());
        rig.add(2).expect("it is still used");
    }

    #[test]
    fn transactions_are_whole_on_each_connection() {
        let rig = rig("k=>c1=9s9p;c2=9s9p");
        let insert = Query::insert("t", &["n"]).build();
        let row = |n: i64| Statement::Query(insert.clone(), vec![Value::Int(n)]);
        rig.database
            .run_all_blocking(vec![row(1), row(2)])
            .expect("they are new");
        assert!(rig.database.run_all_blocking(vec![row(3), row(1)]).is_err());
        assert_eq!((rig.rows("c1"), rig.rows("c2")), (vec![1, 2], vec![1, 2]));
    }

    #[test]
    fn a_cluster_that_is_not_defined_says_so() {
        let rig = rig("k=>c1=9s9s");
        let outcome = rig
            ._databases
            .open("cluster://other", Limits::default(), &rig._shared.stats);
        assert!(outcome.is_err_and(|error| error.message.contains("there is no cluster other")));
    }
}
