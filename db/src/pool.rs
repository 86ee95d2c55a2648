//! Connections to one database, and the statements that wait for them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use kahea_module::{
    error, info,
    latency::Latency,
    stats::{Counter, Stats},
};
use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Connection, Done, Driver, Error, Rows, Sink, State, Statement, Url,
    driver::Collect,
    health::{Change, Health},
};

/// Bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one statement, from when it is sent.
    pub statement: Duration,
    /// For one connection to be opened.
    pub connect: Duration,
    /// Statements that may wait; more are refused.
    pub waiting: usize,
    /// Connections; at most as many as the driver finds worth having. One is opened where the others are busy, so a
    /// database that answers at once has few, and a slow one as many as it takes to keep it busy.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            statement: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            waiting: 50_000,
            connections: 32,
        }
    }
}

/// A connection that has been idle for so long is asked before a statement that must not run twice.
const STALE: Duration = Duration::from_secs(1);

pub(crate) type Reply = Result<Rows, Error>;

/// Who waits for the answer.
pub(crate) enum Waiter {
    Task(oneshot::Sender<Reply>),
    Thread(mpsc::SyncSender<Reply>),
    Call(Box<dyn FnOnce(Reply) + Send>),
}

impl Waiter {
    fn tell(self, reply: Reply) {
        match self {
            // A waiter that has gone away does not want to know.
            Waiter::Task(sender) => drop(sender.send(reply)),
            Waiter::Thread(sender) => drop(sender.send(reply)),
            Waiter::Call(call) => call(reply),
        }
    }

    fn has_left(&self) -> bool {
        matches!(self, Waiter::Task(sender) if sender.is_closed())
    }
}

/// What a connection is to do.
pub(crate) enum Work {
    One(Statement),
    Stream(Statement, Box<dyn Sink>),
    /// All or none, where the database can.
    All(Vec<Statement>),
}

impl Work {
    fn is_repeatable(&self) -> bool {
        match self {
            Work::One(statement) => statement.is_repeatable(),
            Work::Stream(..) => false,
            Work::All(statements) => statements.iter().all(Statement::is_repeatable),
        }
    }
}

pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) waiter: Waiter,
    /// For this job alone, in place of [`Limits::statement`].
    pub(crate) deadline: Option<Duration>,
}

struct Figures {
    statements: Counter,
    failed: Counter,
    timeouts: Counter,
    connects: Counter,
    refused: Counter,
}

impl Figures {
    fn new(stats: &Stats) -> Figures {
        let counter = |name, doc| stats.counter("db", name, doc);
        Figures {
            statements: counter("statements", "Statements given to a database."),
            failed: counter(
                "failed_statements",
                "Statements that a database refused or did not answer.",
            ),
            timeouts: counter("timeouts", "Statements that a database did not answer in time."),
            connects: counter("connects", "Connections opened to databases."),
            refused: counter(
                "refused_statements",
                "Statements refused because the database was away or too many waited.",
            ),
        }
    }
}

/// What the tasks of a pool share.
struct Inner {
    url: Url,
    driver: RwLock<Arc<dyn Driver>>,
    limits: Limits,
    queue: Mutex<VecDeque<Job>>,
    work_there: Notify,
    closed: AtomicBool,
    health: Mutex<Health>,
    spare: Mutex<Option<Box<dyn Connection>>>,
    figures: Figures,
    latency: Latency,
}

/// The connections to one URL. Dropped, it ends once its statements are done.
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.closed.store(true, Relaxed);
        self.inner.work_there.notify_waiters();
        self.inner.work_there.notify_one();
    }
}

impl Pool {
    pub(crate) fn new(
        url: Url,
        driver: Arc<dyn Driver>,
        limits: Limits,
        stats: &Stats,
        handle: &Handle,
    ) -> Pool {
        let latency = stats.latencies.of("db", &[("url", &url.to_string())]);
        let connections = driver.features(&url).connections.min(limits.connections).max(1);
        let inner = Arc::new(Inner {
            url,
            driver: RwLock::new(driver),
            limits,
            queue: Mutex::default(),
            work_there: Notify::new(),
            closed: AtomicBool::new(false),
            health: Mutex::new(Health::new(Instant::now())),
            spare: Mutex::default(),
            figures: Figures::new(stats),
            latency,
        });
        for _ in 0..connections {
            handle.spawn(slot(inner.clone()));
        }
        Pool { inner }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.inner.url
    }

    pub(crate) fn limits(&self) -> Limits {
        self.inner.limits
    }

    pub(crate) fn driver(&self) -> Arc<dyn Driver> {
        self.inner.driver.read().clone()
    }

    /// New connections are made by this driver: a reload may have brought other settings.
    pub(crate) fn use_driver(&self, driver: Arc<dyn Driver>) {
        *self.inner.driver.write() = driver;
    }

    pub(crate) fn state(&self) -> State {
        self.inner.health.lock().state()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.inner.queue.lock().len()
    }

    /// Queues a job, or answers it at once where the database is away.
    pub(crate) fn submit(&self, job: Job) {
        let inner = &self.inner;
        inner.figures.statements.inc();
        let refusal = inner.refusal();
        let job = match refusal {
            None => {
                let mut queue = inner.queue.lock();
                if queue.len() < inner.limits.waiting {
                    queue.push_back(job);
                    drop(queue);
                    // The slot that was busy last has an open connection; the others need not open theirs.
                    inner.work_there.notify_last();
                    return;
                }
                (job, Error::Overloaded)
            }
            Some(error) => (job, error),
        };
        inner.figures.refused.inc();
        job.0.waiter.tell(Err(job.1));
    }
}

/// Serves jobs over one connection, opened when first needed.
async fn slot(inner: Arc<Inner>) {
    let mut line = Line {
        connection: None,
        used: Instant::now(),
    };
    while let Some(job) = inner.next_job().await {
        if !job.waiter.has_left() {
            inner.serve(job, &mut line).await;
        }
    }
}

/// A slot's connection.
struct Line {
    connection: Option<Box<dyn Connection>>,
    used: Instant,
}

impl Inner {
    /// Why statements are refused now.
    fn refusal(&self) -> Option<Error> {
        let health = self.health.lock();
        (health.state() == State::Down).then(|| Error::Unavailable(health.why().to_owned()))
    }

    async fn next_job(&self) -> Option<Job> {
        loop {
            // Made before the queue is looked at, so that no wake-up falls between.
            let notified = self.work_there.notified();
            let job = self.queue.lock().pop_front();
            match job {
                Some(job) => return Some(job),
                None if self.closed.load(Relaxed) => {
                    // The others are to end too.
                    self.work_there.notify_one();
                    return None;
                }
                None => notified.await,
            }
        }
    }

    async fn serve(self: &Arc<Self>, job: Job, line: &mut Line) {
        let Job {
            mut work,
            waiter,
            deadline,
        } = job;
        let began = self.latency.start();
        let reply = self
            .attempts(&mut work, deadline.unwrap_or(self.limits.statement), line)
            .await;
        self.latency.end(began);
        if reply.is_err() {
            self.figures.failed.inc();
        }
        waiter.tell(reply);
    }

    /// Tries it, and once more on a new connection where an old one turned out to be broken.
    async fn attempts(self: &Arc<Self>, work: &mut Work, deadline: Duration, line: &mut Line) -> Reply {
        let mut was_open = self.fresh_enough(work.is_repeatable(), line).await?;
        loop {
            let Some(connection) = line.connection.as_mut() else {
                return Err(Error::Unavailable("no connection".to_owned()));
            };
            let outcome = timeout(deadline, perform(connection.as_mut(), work)).await;
            line.used = Instant::now();
            let error = match outcome {
                Ok(Ok(rows)) => {
                    self.note_answer();
                    return Ok(rows);
                }
                Ok(Err(error)) => error,
                Err(_) => Error::Timeout(deadline),
            };
            if !error.breaks_connection() {
                self.note_answer();
                return Err(error);
            }
            line.connection = None;
            self.note_break(&error);
            if !was_open || !work.is_repeatable() || matches!(error, Error::Timeout(_)) {
                return Err(error);
            }
            was_open = false;
            line.connection = Some(self.connect().await?);
        }
    }

    /// Sees to it that there is a connection; true where it was there before.
    async fn fresh_enough(self: &Arc<Self>, repeatable: bool, line: &mut Line) -> Result<bool, Error> {
        if let Some(connection) = line.connection.as_mut() {
            let is_fresh = line.used.elapsed() < STALE || repeatable;
            if is_fresh || matches!(timeout(self.limits.connect, connection.ping()).await, Ok(Ok(()))) {
                return Ok(true);
            }
            line.connection = None;
        }
        line.connection = Some(self.connect().await?);
        Ok(false)
    }

    async fn connect(self: &Arc<Self>) -> Result<Box<dyn Connection>, Error> {
        if let Some(connection) = self.spare.lock().take() {
            return Ok(connection);
        }
        // Where another slot found that the server is away, this one need not wait for the same.
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let opened = self.open().await;
        if let Err(error) = &opened {
            self.note_unreachable(error);
        }
        opened
    }

    async fn open(&self) -> Result<Box<dyn Connection>, Error> {
        let driver = self.driver.read().clone();
        let opened = timeout(self.limits.connect, driver.connect(&self.url)).await;
        self.figures.connects.inc();
        opened.unwrap_or_else(|_| {
            let after = self.limits.connect;
            Err(Error::Unavailable(format!("no connection within {after:?}")))
        })
    }

    fn note_answer(&self) {
        let change = self.health.lock().answered();
        self.report(change, "");
    }

    fn note_break(self: &Arc<Self>, error: &Error) {
        if let Error::Timeout(_) = error {
            self.figures.timeouts.inc();
            let change = self.health.lock().timed_out(Instant::now(), error.to_string());
            self.went_down(change, error);
        }
    }

    fn note_unreachable(self: &Arc<Self>, error: &Error) {
        let why = match error {
            Error::Unavailable(why) => why.clone(),
            other => other.to_string(),
        };
        let change = self.health.lock().unreachable(Instant::now(), why);
        self.went_down(change, error);
    }

    fn went_down(self: &Arc<Self>, change: Option<Change>, error: &Error) {
        if change == Some(Change::WentDown) {
            tokio::spawn(probe(self.clone()));
            self.fail_waiting(error);
        }
        self.report(change, &error.to_string());
    }

    /// Answers those who wait: the breaker says so once, not each after its own deadline.
    fn fail_waiting(&self, error: &Error) {
        let waiting = std::mem::take(&mut *self.queue.lock());
        for job in waiting {
            self.figures.refused.inc();
            job.waiter.tell(Err(Error::Unavailable(error.to_string())));
        }
    }

    fn report(&self, change: Option<Change>, why: &str) {
        let url = &self.url;
        match change {
            Some(Change::WentDown) => error!(
                "db",
                "{url}: {why}; statements are refused at once until it is back, tried every {:?} at most\n",
                Duration::from_secs(2)
            ),
            Some(Change::CameUp) => info!("db", "{url}: the database is back\n"),
            None => {}
        }
    }
}

/// Tries to reach a server that is away.
async fn probe(inner: Arc<Inner>) {
    while !inner.closed.load(Relaxed) {
        let due = inner.health.lock().next_attempt();
        sleep_until(due).await;
        let reached = match inner.open().await {
            Ok(mut connection) => match timeout(inner.limits.connect, connection.ping()).await {
                Ok(Ok(())) => Ok(connection),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::Timeout(inner.limits.connect)),
            },
            Err(error) => Err(error),
        };
        match reached {
            Ok(connection) => {
                *inner.spare.lock() = Some(connection);
                inner.note_answer();
                return;
            }
            Err(error) => drop(inner.health.lock().unreachable(Instant::now(), error.to_string())),
        }
    }
}

async fn perform(connection: &mut dyn Connection, work: &mut Work) -> Reply {
    match work {
        Work::One(statement) => {
            let mut rows = Collect::default();
            let done = connection.run(statement, &mut rows).await?;
            Ok(rows.finish(done))
        }
        Work::Stream(statement, sink) => {
            let done = connection.run(statement, sink.as_mut()).await?;
            Ok(Collect::default().finish(done))
        }
        Work::All(statements) => all_or_none(connection, statements).await,
    }
}

async fn all_or_none(connection: &mut dyn Connection, statements: &[Statement]) -> Reply {
    connection.begin().await?;
    let mut total = Done::default();
    for statement in statements {
        let mut rows = Collect::default();
        match connection.run(statement, &mut rows).await {
            Ok(done) => {
                total.affected = total.affected.saturating_add(done.affected);
                total.last_id = done.last_id.or(total.last_id);
            }
            Err(error) => {
                if !error.breaks_connection() {
                    connection.rollback().await?;
                }
                return Err(error);
            }
        }
    }
    connection.commit().await?;
    Ok(Collect::default().finish(total))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use kahea_module::Str;

    use super::*;
    use crate::{BoxFuture, Features, Value, sql::Dialect};

    /// A server that can be switched off, and that hangs or breaks on demand.
    #[derive(Default)]
    struct Server {
        away: AtomicBool,
        hangs: AtomicBool,
        breaks: AtomicUsize,
        connects: AtomicUsize,
        ran: AtomicUsize,
        /// Connections worth having; 0 is 1.
        worth: AtomicUsize,
    }

    struct Rig(Arc<Server>);

    impl Driver for Rig {
        fn module(&self) -> &'static str {
            "db_rig"
        }

        fn features(&self, _url: &Url) -> Features {
            Features {
                dialect: Some(Dialect::Sqlite),
                replaces: true,
                counts: true,
                last_id: true,
                connections: self.0.worth.load(Relaxed),
            }
        }

        fn connect<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
            let server = self.0.clone();
            Box::pin(async move {
                server.connects.fetch_add(1, Relaxed);
                match server.away.load(Relaxed) {
                    true => Err(Error::Unavailable("connection refused".to_owned())),
                    false => Ok(Box::new(Wire(server)) as Box<dyn Connection>),
                }
            })
        }
    }

    struct Wire(Arc<Server>);

    impl Wire {
        async fn answer(&self) -> Result<Done, Error> {
            if self.0.hangs.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            if self.0.away.load(Relaxed) {
                return Err(Error::Lost("reset by peer".to_owned()));
            }
            if self
                .0
                .breaks
                .fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                return Err(Error::Lost("broken pipe".to_owned()));
            }
            Ok(Done::default())
        }
    }

    impl Connection for Wire {
        fn run<'a>(
            &'a mut self,
            _statement: &'a Statement,
            sink: &'a mut dyn Sink,
        ) -> BoxFuture<'a, Result<Done, Error>> {
            Box::pin(async move {
                let done = self.answer().await?;
                self.0.ran.fetch_add(1, Relaxed);
                sink.columns(&[Str::from("n")]);
                sink.row(vec![Value::Int(1)]);
                Ok(done)
            })
        }

        fn ping(&mut self) -> BoxFuture<'_, Result<(), Error>> {
            Box::pin(async { self.answer().await.map(drop) })
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

    fn pool(server: &Arc<Server>) -> Pool {
        let url = Url::parse("rig://").unwrap();
        let limits = Limits {
            waiting: 2,
            ..Limits::default()
        };
        Pool::new(
            url,
            Arc::new(Rig(server.clone())),
            limits,
            &Stats::default(),
            &Handle::current(),
        )
    }

    async fn ask(pool: &Pool, text: &str) -> Reply {
        let (sender, receiver) = oneshot::channel();
        pool.submit(Job {
            work: Work::One(Statement::Sql(Str::from(text), Vec::new())),
            waiter: Waiter::Task(sender),
            deadline: None,
        });
        receiver.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_replaced_unseen() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        assert_eq!(ask(&pool, "select 1").await.unwrap().rows, [[Value::Int(1)]]);
        server.breaks.store(1, Relaxed);
        assert!(ask(&pool, "select 1").await.is_ok());
        assert_eq!(server.connects.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_opened_where_the_others_are_busy() {
        let server = Arc::new(Server::default());
        server.worth.store(4, Relaxed);
        let pool = pool(&server);
        for _ in 0..20 {
            assert!(ask(&pool, "select 1").await.is_ok());
        }
        // Whoever has its answer may ask again before the connection is seen to be free.
        assert!(server.connects.load(Relaxed) <= 2);
        server.hangs.store(true, Relaxed);
        assert!(!futures_of(&pool, 3).await.contains(&true));
        assert!(server.connects.load(Relaxed) >= 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_not_run_twice_does_not() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        assert!(ask(&pool, "select 1").await.is_ok());
        server.breaks.store(1, Relaxed);
        assert!(matches!(
            ask(&pool, "insert into acc values (1)").await,
            Err(Error::Lost(_))
        ));
        // After a pause the connection is asked first, so that nothing is lost.
        assert!(ask(&pool, "select 1").await.is_ok());
        tokio::time::advance(STALE * 2).await;
        server.breaks.store(1, Relaxed);
        assert!(ask(&pool, "insert into acc values (1)").await.is_ok());
        assert_eq!(server.ran.load(Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_costs_nobody_time_and_is_found_again() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        server.away.store(true, Relaxed);
        assert!(matches!(ask(&pool, "select 1").await, Err(Error::Unavailable(_))));
        let before = Instant::now();
        for _ in 0..100 {
            assert!(matches!(ask(&pool, "select 1").await, Err(Error::Unavailable(_))));
        }
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(pool.state(), State::Down);
        server.away.store(false, Relaxed);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(pool.state(), State::Up);
        assert!(ask(&pool, "select 1").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_is_given_up_after_its_deadlines() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        server.hangs.store(true, Relaxed);
        let before = Instant::now();
        for _ in 0..3 {
            assert!(matches!(ask(&pool, "select 1").await, Err(Error::Timeout(_))));
        }
        assert_eq!(before.elapsed(), Duration::from_secs(15));
        assert_eq!(pool.state(), State::Down);
        assert!(matches!(ask(&pool, "select 1").await, Err(Error::Unavailable(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_may_wait_are_refused() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        server.hangs.store(true, Relaxed);
        let asked = futures_of(&pool, 4).await;
        assert_eq!(asked, [false, false, false, true]);
    }

    /// Which of so many statements were refused as too many; the first is taken by the connection, two wait.
    async fn futures_of(pool: &Pool, count: usize) -> Vec<bool> {
        let mut waiting = Vec::new();
        for _ in 0..count {
            let (sender, receiver) = oneshot::channel();
            let work = Work::One(Statement::Sql(Str::from("select 1"), Vec::new()));
            pool.submit(Job {
                work,
                waiter: Waiter::Task(sender),
                deadline: None,
            });
            tokio::task::yield_now().await;
            waiting.push(receiver);
        }
        let mut refused = Vec::new();
        for mut receiver in waiting {
            refused.push(matches!(receiver.try_recv(), Ok(Err(Error::Overloaded))));
        }
        refused
    }

    #[tokio::test(start_paused = true)]
    async fn a_pool_that_is_dropped_does_its_work_first() {
        let server = Arc::new(Server::default());
        let pool = pool(&server);
        let (sender, receiver) = oneshot::channel();
        pool.submit(Job {
            work: Work::All(vec![Statement::Sql(Str::from("insert 1"), Vec::new())]),
            waiter: Waiter::Task(sender),
            deadline: None,
        });
        drop(pool);
        assert!(receiver.await.unwrap().is_ok());
        assert_eq!(server.ran.load(Relaxed), 1);
    }
}
