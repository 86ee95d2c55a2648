//! Database URLs as `db_url` writes them.

use std::fmt;

/// `scheme://user:password@host:port/database?parameters`, and the file forms `text:///path`, `sqlite:///path`,
/// `cluster://name`.
///
/// User and password are taken literally, as Kamailio takes them: nothing in them is percent-encoded, and the last `@`
/// before the first `/` behind it ends them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: String,
    /// `mysql`, `postgres`, `sqlite`, `text`, …; without a leading `db_`.
    pub scheme: String,
    /// The user, where there is one.
    pub user: Option<String>,
    /// The password, where there is one.
    pub password: Option<String>,
    /// The host; empty where the URL names a file or a local socket.
    pub host: String,
    /// The port, where it is given.
    pub port: Option<u16>,
    /// What stands behind the `/` after the host, without parameters.
    pub database: String,
    /// `name=value` behind the `?`.
    pub params: Vec<(String, String)>,
}

impl Url {
    /// Reads a URL.
    ///
    /// # Errors
    /// One line that says what is missing.
    pub fn parse(text: &str) -> Result<Url, String> {
        let problem = |what: &str| format!("\"{}\" is not a database URL: {what}", hidden(text));
        let (scheme, rest) = text.split_once(':').ok_or_else(|| {
            problem("it has no scheme; write for example mysql://user:password@host/database")
        })?;
        let scheme = scheme.strip_prefix("db_").unwrap_or(scheme);
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(problem("its scheme is no name"));
        }
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (user, password, rest) = credentials(rest);
        let (place, params) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !port.ends_with(']') => {
                let port = port
                    .parse()
                    .map_err(|_| problem("its port is no number up to 65535"))?;
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let params = params
            .split('&')
            .filter(|param| !param.is_empty())
            .map(|param| param.split_once('=').unwrap_or((param, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Url {
            text: text.to_owned(),
            scheme: scheme.to_ascii_lowercase(),
            user,
            password,
            host: host.to_owned(),
            port,
            database: database.to_owned(),
            params,
        })
    }

    /// As it was written, with its password.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// For drivers of files: all behind the scheme, as a path. `text:///etc/db` and `text:/etc/db` are `/etc/db`;
    /// `text://data/db` is `data/db`, relative to the working directory.
    pub fn path(&self) -> &str {
        let rest = self.text.split_once(':').map_or("", |(_, rest)| rest);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        rest.split_once('?').map_or(rest, |(path, _)| path)
    }

    /// A parameter behind the `?`.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn credentials(rest: &str) -> (Option<String>, Option<String>, &str) {
    // A password may hold `/` and `@`: what counts is the last `@`, unless it stands in the path of a file.
    let Some((before, after)) = rest.rsplit_once('@').filter(|_| !rest.starts_with('/')) else {
        return (None, None, rest);
    };
    match before.split_once(':') {
        Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned()), after),
        None => (Some(before.to_owned()), None, after),
    }
}

/// The text with its password hidden.
fn hidden(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    let start = before.find("://").map_or(0, |at| at + 3);
    match before.get(start..).and_then(|user| user.find(':')) {
        Some(colon) => format!("{}:***@{after}", before.get(..start + colon).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Without the password: URLs stand in logs and answers.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hidden(&self.text))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_url_has_its_parts() {
        let url = Url::parse("mysql://kamailio:kama:il/r@w@db.example.org:3307/kamailio?timeout=2").unwrap();
        assert_eq!(url.scheme, "mysql");
        assert_eq!(url.user.as_deref(), Some("kamailio"));
        assert_eq!(url.password.as_deref(), Some("kama:il/r@w"));
        assert_eq!((url.host.as_str(), url.port), ("db.example.org", Some(3307)));
        assert_eq!(url.database, "kamailio");
        assert_eq!(url.param("timeout"), Some("2"));
    }

    #[test]
    fn files_are_paths() {
        for text in ["sqlite:///var/lib/kahea.db", "db_sqlite:/var/lib/kahea.db"] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.scheme.as_str(), url.path()), ("sqlite", "/var/lib/kahea.db"));
        }
        assert_eq!(Url::parse("text://conf/db").unwrap().path(), "conf/db");
        assert_eq!(Url::parse("cluster://k1").unwrap().host, "k1");
    }

    #[test]
    fn addresses_in_brackets_keep_their_colons() {
        let url = Url::parse("postgres://u:p@[::1]:5432/k").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("[::1]", Some(5432)));
        assert_eq!(Url::parse("postgres://u:p@[::1]/k").unwrap().host, "[::1]");
    }

    #[test]
    fn a_host_may_be_left_out() {
        let url = Url::parse("postgres://u:p@/k").unwrap();
        assert_eq!(
            (url.user.as_deref(), url.host.as_str(), url.database.as_str()),
            (Some("u"), "", "k")
        );
        assert_eq!(Url::parse("sqlite:///var/a@/b.db").unwrap().user, None);
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = Url::parse("mysql://root:secret@localhost/k").unwrap();
        assert_eq!(url.to_string(), "mysql://root:***@localhost/k");
        assert!(
            !Url::parse("mysql://root:secret@h:99999/k")
                .unwrap_err()
                .contains("secret")
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Url::parse("").is_err());
        assert!(Url::parse("kamailio").is_err());
        assert!(Url::parse("://x").is_err());
    }
}
