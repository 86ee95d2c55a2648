//! The driver of `redis://user:password@host:port/database`.

use std::{collections::HashMap, sync::Arc};

use kahea_db::{BoxFuture, Connection, Driver, Error, Features, Url};
use kahea_module::Str;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, aio::MultiplexedConnection,
};

use crate::{
    connection::Wire,
    keys::{AllKeys, Keys},
    schema::{self, Columns},
};

/// Connections of a pool: each carries one statement at a time, which may ask several times.
const CONNECTIONS: usize = 4;

/// What the parameters of the module say.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) keys: AllKeys,
    /// Tables of files in `schema_path`.
    pub(crate) tables: HashMap<String, Columns>,
    /// Hashes lead to rows, not sets.
    pub(crate) hashes: bool,
    pub(crate) hash_value: Str,
    /// In seconds.
    pub(crate) hash_expires: Option<u64>,
    pub(crate) longest_key: Option<usize>,
    pub(crate) password: Str,
    pub(crate) sentinels: Vec<(String, u16)>,
    pub(crate) master: Str,
}

impl Default for Settings {
    fn default() -> Settings {
        let version = Keys {
            entry: vec!["table_name".to_owned()],
            maps: Vec::new(),
        };
        Settings {
            keys: AllKeys::from([("version".to_owned(), version)]),
            tables: HashMap::new(),
            hashes: false,
            hash_value: Str::from_static("DUMMY"),
            hash_expires: None,
            longest_key: None,
            password: Str::EMPTY,
            sentinels: Vec::new(),
            master: Str::from_static("mymaster"),
        }
    }
}

impl Settings {
    /// With the keys of one more `keys` parameter.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn with_keys(mut self, text: &str) -> Result<Settings, kahea_module::BindError> {
        crate::keys::read(text, &mut self.keys)?;
        Ok(self)
    }

    /// With hashes that lead to rows, in place of sets.
    pub fn with_hashes(self) -> Settings {
        Settings { hashes: true, ..self }
    }

    /// The columns of a table.
    pub(crate) fn columns(&self, table: &str) -> Option<Columns> {
        self.tables.get(table).cloned().or_else(|| schema::known(table))
    }
}

/// The driver of `redis://user:password@host:port/database`.
pub struct RedisDriver {
    settings: Arc<Settings>,
}

impl Default for RedisDriver {
    fn default() -> RedisDriver {
        RedisDriver::new(Settings::default())
    }
}

impl RedisDriver {
    /// With the settings of its module.
    pub fn new(settings: Settings) -> RedisDriver {
        RedisDriver {
            settings: Arc::new(settings),
        }
    }

    fn login(&self, url: &Url) -> Result<RedisConnectionInfo, Error> {
        let database: i64 = match url.database.as_str() {
            "" => 0,
            text => text
                .parse()
                .map_err(|_| Error::Unavailable(format!("\"{text}\" is no number of a Redis database")))?,
        };
        let mut login = RedisConnectionInfo::default().set_db(database);
        if let Some(user) = url.user.as_deref().filter(|user| !user.is_empty()) {
            login = login.set_username(user);
        }
        let own = self.settings.password.text();
        let password = url.password.as_deref().filter(|password| !password.is_empty());
        if let Some(password) = password.or(Some(own.as_ref()).filter(|own| !own.is_empty())) {
            login = login.set_password(password);
        }
        Ok(login)
    }

    async fn open(&self, url: &Url) -> Result<MultiplexedConnection, Error> {
        if url.host.contains(',') {
            return Err(Error::Unavailable(
                "a list of hosts means a Redis cluster, which db_redis cannot use; name one server, or sentinels".to_owned(),
            ));
        }
        let login = self.login(url)?;
        if self.settings.sentinels.is_empty() {
            let host = url.host.trim_start_matches('[').trim_end_matches(']');
            let host = if host.is_empty() { "127.0.0.1" } else { host };
            return connect(host, url.port.unwrap_or(6379), login).await;
        }
        let (host, port) = self.master().await?;
        connect(&host, port, login).await
    }

    /// Where the sentinels say that the master is: the first that answers is believed.
    async fn master(&self) -> Result<(String, u16), Error> {
        let mut last = Error::Unavailable("there are no sentinels".to_owned());
        for (host, port) in &self.settings.sentinels {
            let asked = async {
                let mut sentinel = connect(host, *port, RedisConnectionInfo::default()).await?;
                let mut question = redis::cmd("SENTINEL");
                question
                    .arg("get-master-addr-by-name")
                    .arg(self.settings.master.as_bytes());
                let answer: Option<(String, u16)> = question
                    .query_async(&mut sentinel)
                    .await
                    .map_err(|problem| of_connection(&problem))?;
                let unknown = || format!("sentinel {host}:{port} knows no master {}", self.settings.master);
                answer.ok_or_else(|| Error::Unavailable(unknown()))
            };
            match asked.await {
                Ok(place) => return Ok(place),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn connect(host: &str, port: u16, login: RedisConnectionInfo) -> Result<MultiplexedConnection, Error> {
    let address = ConnectionAddr::Tcp(host.to_owned(), port);
    let place = address
        .into_connection_info()
        .map_err(|problem| of_connection(&problem))?;
    let client = Client::open(place.set_redis_settings(login)).map_err(|problem| of_connection(&problem))?;
    // The pool has the deadlines.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let opened = client.get_multiplexed_async_connection_with_config(&config).await;
    opened.map_err(|problem| of_connection(&problem))
}

fn of_connection(problem: &RedisError) -> Error {
    Error::Unavailable(problem.to_string())
}

/// What an error means for a statement.
pub(crate) fn of_statement(problem: &RedisError) -> Error {
    let text = problem.to_string();
    match problem.kind() {
        ErrorKind::Io | ErrorKind::Parse => Error::Lost(text),
        _ if problem.is_connection_dropped() || problem.is_unrecoverable_error() => Error::Lost(text),
        _ if text.contains("LOADING") || text.contains("MASTERDOWN") || text.contains("READONLY") => {
            Error::Unavailable(text)
        }
        _ => Error::Refused(text),
    }
}

impl Driver for RedisDriver {
    fn module(&self) -> &'static str {
        "db_redis"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            dialect: None,
            replaces: true,
            counts: true,
            last_id: false,
            connections: CONNECTIONS,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        Box::pin(async move {
            let connection = self.open(url).await?;
            Ok(Box::new(Wire::new(connection, self.settings.clone())) as Box<dyn Connection>)
        })
    }
}
