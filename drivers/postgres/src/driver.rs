//! The driver: what a URL says becomes a connection.

use std::{str::FromStr, time::Duration};

use kahea_db::{BoxFuture, Connection, Driver, Error, Features, Url, sql::Dialect};
use tokio_postgres::{Config, NoTls};

use crate::{connection::Wire, error};

/// Connections of a pool.
const CONNECTIONS: usize = 32;
/// Where packages put the socket of a server on this machine.
const SOCKETS: &str = "/var/run/postgresql";

/// What the parameters of the module say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// For a connection, for an answer, and for each further row of it.
    pub timeout: Option<Duration>,
    /// Silence after which TCP asks whether the server is there.
    pub keepalive: Option<Duration>,
    /// Connection parameters by their names in libpq.
    pub parameters: Vec<(String, String)>,
}

impl Settings {
    /// Whether the connection parameters are known.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), String> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<Config, String> {
        let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
        let words = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}='{}' ", quoted(value)));
        let mut config =
            Config::from_str(&words.collect::<String>()).map_err(|problem| full_text(&problem))?;
        config.keepalives(self.keepalive.is_some());
        if let Some(idle) = self.keepalive {
            config.keepalives_idle(idle);
        }
        if let (Some(limit), None) = (self.timeout, config.get_connect_timeout()) {
            config.connect_timeout(limit);
        }
        Ok(config)
    }

    /// What the URL says counts before the parameters.
    fn config_for(&self, url: &Url) -> Result<Config, String> {
        let mut config = self.config()?;
        match url.host.trim_start_matches('[').trim_end_matches(']') {
            "" if config.get_hosts().is_empty() => config.host(url.param("host").unwrap_or(SOCKETS)),
            "" => &mut config,
            host => config.host(host),
        };
        if let Some(port) = url
            .port
            .or_else(|| url.param("port").and_then(|port| port.parse().ok()))
        {
            config.port(port);
        }
        if let Some(user) = &url.user {
            config.user(user);
        }
        if let Some(password) = &url.password {
            config.password(password);
        }
        if !url.database.is_empty() {
            config.dbname(&url.database);
        }
        if config.get_application_name().is_none() {
            config.application_name("kahea");
        }
        Ok(config)
    }
}

fn full_text(problem: &tokio_postgres::Error) -> String {
    match std::error::Error::source(problem) {
        Some(source) => format!("{problem}: {source}"),
        None => problem.to_string(),
    }
}

/// The driver of `postgres://user:password@host:port/database`.
#[derive(Debug, Default)]
pub struct PostgresDriver {
    settings: Settings,
}

impl PostgresDriver {
    /// With the settings of its module.
    pub fn new(settings: Settings) -> PostgresDriver {
        PostgresDriver { settings }
    }
}

impl Driver for PostgresDriver {
    fn module(&self) -> &'static str {
        "db_postgres"
    }

    fn features(&self, _url: &Url) -> Features {
        Features {
            dialect: Some(Dialect::Postgres),
            replaces: true,
            counts: true,
            last_id: false,
            connections: CONNECTIONS,
        }
    }

    fn connect<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Box<dyn Connection>, Error>> {
        Box::pin(async move {
            let config = self.settings.config_for(url).map_err(Error::Unavailable)?;
            let (client, connection) = config
                .connect(NoTls)
                .await
                .map_err(|problem| error::of_connection(&problem))?;
            // Moves bytes until the client is dropped; how it ends the statement under way is told.
            tokio::spawn(async move { drop(connection.await) });
            Ok(Box::new(Wire::new(client, self.settings.timeout)) as Box<dyn Connection>)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn config(url: &str, parameters: &[(&str, &str)]) -> Config {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let settings = Settings {
            parameters,
            ..Settings::default()
        };
        settings
            .config_for(&Url::parse(url).expect("it is a URL"))
            .expect("it is a configuration")
    }

    #[test]
    fn urls_and_parameters_come_together() {
        let config = config(
            "postgres://u:p'w\\@[::1]:5433/k",
            &[("connect_timeout", "15"), ("options", "-c x='y'")],
        );
        assert_eq!(config.get_hosts(), [Host::Tcp("::1".to_owned())]);
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(
            (config.get_user(), config.get_password()),
            (Some("u"), Some(b"p'w\\".as_slice()))
        );
        assert_eq!(config.get_dbname(), Some("k"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(15)));
        assert_eq!(config.get_options(), Some("-c x='y'"));
    }

    #[test]
    fn without_a_host_the_socket_is_meant() {
        let config = config("postgres://u:p@/k", &[]);
        assert_eq!(config.get_hosts(), [Host::Unix(SOCKETS.into())]);
    }

    #[test]
    fn unknown_parameters_are_named() {
        let settings = Settings {
            parameters: vec![("nosuch".to_owned(), "1".to_owned())],
            ..Settings::default()
        };
        assert!(settings.check().is_err_and(|why| why.contains("nosuch")));
    }
}
