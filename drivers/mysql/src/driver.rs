//! The driver: what a URL says becomes a connection.

use std::{collections::HashMap, net::Ipv6Addr, path::Path, time::Duration};

use kahea_db::{BoxFuture, Connection, Driver, Error, Features, Url, sql::Dialect};
use kahea_module::stats::Counter;
use mysql_async::{Conn, DriverError, Error as Mysql, Opts, OptsBuilder, SslOpts};

use crate::{Settings, connection::Wire, error, option_file, settings::TlsMode};

/// Connections of a pool.
const CONNECTIONS: usize = 32;
/// Statements that each connection keeps prepared.
const KEPT: usize = 256;
/// The largest packet that is sent or taken: what a MEDIUMTEXT can hold.
const LARGEST: usize = 16 << 20;
/// Where servers put the socket that `localhost` means.
const SOCKETS: &[&str] = &[
    "/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// The driver of `mysql://user:password@host:port/database`.
pub struct MysqlDriver {
    settings: Settings,
    errors: Counter,
}

impl MysqlDriver {
    /// With the settings of its module, counting what fails.
    pub fn new(settings: Settings, errors: Counter) -> MysqlDriver {
        MysqlDriver { settings, errors }
    }

    async fn open(&self, url: &Url) -> Result<Conn, Error> {
        let place = place(url, &self.settings).await?;
        let plain = || Opts::from(self.options(&place));
        if self.settings.tls == TlsMode::Disabled {
            return connect(plain()).await.map_err(error::of_connection);
        }
        let encrypted = self.options(&place).ssl_opts(self.tls());
        match connect(encrypted.into()).await {
            Err(Mysql::Driver(DriverError::NoClientSslFlagFromServer))
                if self.settings.tls == TlsMode::Preferred =>
            {
                connect(plain()).await.map_err(error::of_connection)
            }
            opened => opened.map_err(error::of_connection),
        }
    }

    fn options(&self, place: &Place) -> OptsBuilder {
        let mut names: Vec<String> = Vec::new();
        names.extend(
            place
                .character_set
                .as_ref()
                .map(|set| format!("SET NAMES '{set}'")),
        );
        OptsBuilder::default()
            .ip_or_hostname(place.host.clone())
            .tcp_port(place.port)
            .socket(place.socket.clone())
            .user(place.user.clone())
            .pass(place.password.clone())
            .db_name(place.database.clone())
            .init(names)
            .prefer_socket(false)
            .tcp_keepalive(self.settings.keepalive)
            .tcp_nodelay(true)
            .client_found_rows(self.settings.found_rows)
            .stmt_cache_size(KEPT)
            // Known, these need not be asked for.
            .max_allowed_packet(Some(LARGEST))
            .wait_timeout(Some(usize::MAX >> 1))
    }

    fn tls(&self) -> SslOpts {
        let mut tls = SslOpts::default();
        if let Some(file) = &self.settings.tls_authorities {
            tls = tls.with_root_certs(vec![file.clone().into()]);
        }
        match self.settings.tls {
            TlsMode::VerifyIdentity => tls,
            TlsMode::VerifyAuthority => tls.with_danger_skip_domain_validation(true),
            _ => tls
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        }
    }
}

async fn connect(options: Opts) -> Result<Conn, Mysql> {
    Conn::new(options).await
}

impl Driver for MysqlDriver {
    fn module(&self) -> &'static str {
        "db_mysql"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            dialect: Some(Dialect::Mysql),
            replaces: true,
            counts: true,
            last_id: true,
            connections: CONNECTIONS,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        Box::pin(async move {
            let opened = within(self.settings.connect, self.open(url)).await;
            match opened {
                Ok(conn) => Ok(
                    Box::new(Wire::new(conn, self.settings.clone(), self.errors.clone()))
                        as Box<dyn Connection>,
                ),
                Err(error) => {
                    self.errors.inc();
                    Err(error)
                }
            }
        })
    }
}

/// With a deadline of its own.
async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(limit) = limit else {
        return work.await;
    };
    let late = |_| {
        Err(Error::Unavailable(format!(
            "no connection within {limit:?} (db_mysql's connect_timeout)"
        )))
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(late)
}

/// Where a server is and as whom to log in.
#[derive(Debug, Default, PartialEq)]
struct Place {
    host: String,
    port: u16,
    socket: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    character_set: Option<String>,
}

async fn place(url: &Url, settings: &Settings) -> Result<Place, Error> {
    let (group, host) = group_of(&url.host);
    let options = match group {
        None => HashMap::new(),
        Some(group) => {
            let (files, group) = (settings.option_files.clone(), group.to_owned());
            let read = tokio::task::spawn_blocking(move || option_file::options(&files, &group));
            read.await
                .map_err(|_| Error::Unavailable("the option files could not be read".to_owned()))?
        }
    };
    Ok(placed(url, host, &options, |path| Path::new(path).exists()))
}

/// `[group]`, `[group]host`, `[group]:port`, `host`, `[::1]`.
fn group_of(host: &str) -> (Option<&str>, &str) {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((group, rest)) if group.parse::<Ipv6Addr>().is_err() => (Some(group), rest),
        Some((address, "")) => (None, address),
        _ => (None, host),
    }
}

/// What the URL says counts before what the group says.
fn placed(url: &Url, host: &str, options: &HashMap<String, String>, exists: impl Fn(&str) -> bool) -> Place {
    let option = |name: &str| options.get(name).filter(|value| !value.is_empty()).cloned();
    let own = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let named = own(host).or_else(|| option("host"));
    let port = url
        .port
        .or_else(|| option("port").and_then(|port| port.parse().ok()));
    let is_local = named.as_deref().is_none_or(|host| host == "localhost");
    let socket = url
        .param("socket")
        .map(str::to_owned)
        .or_else(|| option("socket"))
        .or_else(|| {
            let standard = SOCKETS.iter().find(|path| exists(path));
            standard.filter(|_| port.is_none()).map(|path| (*path).to_owned())
        });
    let host = match named.as_deref() {
        None | Some("localhost") => "127.0.0.1".to_owned(),
        Some(host) => host.to_owned(),
    };
    Place {
        host,
        port: port.unwrap_or(3306),
        socket: socket.filter(|_| is_local),
        user: url.user.clone().or_else(|| option("user")),
        password: url.password.clone().or_else(|| option("password")),
        database: own(&url.database).or_else(|| option("database")),
        character_set: option("default_character_set")
            .filter(|set| set.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, options: &[(&str, &str)], socket: bool) -> Place {
        let url = Url::parse(text).expect("it is a URL");
        let (_, host) = group_of(&url.host);
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        placed(&url, host, &options, |path| {
            socket && path == "/run/mysqld/mysqld.sock"
        })
    }

    #[test]
    fn every_form_of_the_host_is_read() {
        for (host, expected) in [
            ("[kamailio]", (Some("kamailio"), "")),
            ("[kamailio]db.example.org", (Some("kamailio"), "db.example.org")),
            ("[::1]", (None, "::1")),
            ("db", (None, "db")),
            ("", (None, "")),
        ] {
            assert_eq!(group_of(host), expected, "{host}");
        }
    }

    #[test]
    fn the_url_counts_before_the_group() {
        let options = [
            ("user", "g"),
            ("password", "gp"),
            ("host", "gh"),
            ("port", "3310"),
        ];
        let place = of("mysql://u:p@[kamailio]h:3307/k", &options, false);
        assert_eq!((place.host.as_str(), place.port), ("h", 3307));
        assert_eq!(
            (place.user.as_deref(), place.password.as_deref()),
            (Some("u"), Some("p"))
        );
        let place = of("mysql://[kamailio]/k", &options, false);
        assert_eq!((place.host.as_str(), place.port), ("gh", 3310));
        assert_eq!(
            (place.user.as_deref(), place.database.as_deref()),
            (Some("g"), Some("k"))
        );
    }

    #[test]
    fn localhost_is_the_socket_where_there_is_one() {
        let socket = Some("/run/mysqld/mysqld.sock".to_owned());
        assert_eq!(of("mysql://u:p@localhost/k", &[], true).socket, socket);
        assert_eq!(of("mysql://u:p@localhost/k", &[], false).socket, None);
        assert_eq!(of("mysql://u:p@localhost:3307/k", &[], true).socket, None);
        assert_eq!(of("mysql://u:p@db/k", &[], true).socket, None);
        let given = of("mysql://[kamailio]/k", &[("socket", "/run/other")], true);
        assert_eq!(given.socket.as_deref(), Some("/run/other"));
    }
}
