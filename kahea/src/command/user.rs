//! `kahea user`: who may register.

use std::{net::IpAddr, process::ExitCode};

use clap::{Args, Subcommand};
use kahea_db::{Database, Query, Value};
use md5::{Digest, Md5};

use crate::{FAILED, data, out};

/// What is done.
#[derive(Subcommand)]
pub enum Action {
    /// Adds a user, and says what to type into a phone.
    Add {
        /// The user's name; with @DOMAIN for a server of several domains.
        name: String,
        /// The password; a random one where it is left out.
        #[arg(long)]
        password: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Gives a user another password.
    Passwd {
        /// The user's name.
        name: String,
        /// The password; a random one where it is left out.
        #[arg(long)]
        password: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Takes a user away.
    Remove {
        /// The user's name.
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Lists the users.
    List {
        #[command(flatten)]
        place: Place,
    },
}

/// Whose users are meant.
#[derive(Args)]
pub struct Place {
    /// The database of a configuration of your own (its db_url), with the table subscriber; else that of the built-in
    /// configuration. There the password is kept as kamctl does, beside its hashes.
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// The domain, which is the realm too, of names that have none.
    #[arg(long)]
    domain: Option<String>,
}

impl Place {
    fn open(&self) -> Result<Database, String> {
        match &self.db {
            Some(url) => data::open_with_users(url),
            None => data::prepare(&data::folder()),
        }
    }

    /// The name and domain of a user.
    fn user(&self, name: &str) -> Result<User, String> {
        let (name, domain) = match (name.split_once('@'), &self.domain, &self.db) {
            (Some((name, domain)), _, _) => (name, domain.to_owned()),
            (None, Some(domain), _) => (name, domain.clone()),
            (None, None, None) => (name, data::REALM.to_owned()),
            (None, None, Some(_)) => {
                return Err(format!(
                    "{name} has no domain; write {name}@DOMAIN or --domain DOMAIN"
                ));
            }
        };
        let is_fine = |text: &str| !text.is_empty() && !text.contains([':', '"', '@', ' ', '<', '>', '\\']);
        match is_fine(name) && is_fine(&domain) && !name.chars().any(char::is_control) {
            true => Ok(User {
                name: name.to_owned(),
                domain,
            }),
            false => Err(format!(
                "{name}@{domain} is no name that a SIP URI can carry as it is"
            )),
        }
    }
}

struct User {
    name: String,
    domain: String,
}

impl User {
    /// The columns password, ha1 and ha1b.
    fn secrets(&self, password: &str, plain: bool) -> [Value; 3] {
        let User { name, domain } = self;
        let hash = |user: &str| {
            let hash = Md5::digest(format!("{user}:{domain}:{password}"));
            let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            Value::from(hex.as_str())
        };
        [
            Value::from(if plain { password } else { "" }),
            hash(name),
            hash(&format!("{name}@{domain}")),
        ]
    }

    fn key(&self) -> [Value; 2] {
        [Value::from(self.name.as_str()), Value::from(self.domain.as_str())]
    }
}

/// Does it.
pub fn run(action: Action) -> ExitCode {
    let result = match action {
        Action::Add {
            name,
            password,
            place,
        } => set(&name, password, &place, false),
        Action::Passwd {
            name,
            password,
            place,
        } => set(&name, password, &place, true),
        Action::Remove { name, place } => remove(&name, &place),
        Action::List { place } => list(&place),
    };
    match result {
        Ok(text) => {
            out::print(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            out::complain(&format!("{problem}\n"));
            ExitCode::from(FAILED)
        }
    }
}

fn set(name: &str, password: Option<String>, place: &Place, is_there: bool) -> Result<String, String> {
    let user = place.user(name)?;
    let password = match password {
        Some(password) => password,
        None => data::new_password()?,
    };
    let database = place.open()?;
    let known = known(&database, &user)?;
    let (name, domain) = (&user.name, &user.domain);
    if known && !is_there {
        return Err(format!(
            "{name}@{domain} is there already; kahea user passwd gives it another password"
        ));
    }
    if !known && is_there {
        return Err(format!(
            "there is no user {name}@{domain}; kahea user add makes one"
        ));
    }
    let secrets = user.secrets(&password, place.db.is_some());
    let (query, values): (_, Vec<Value>) = match is_there {
        true => (
            Query::update("subscriber", &["password", "ha1", "ha1b"])
                .when_eq("username")
                .when_eq("domain"),
            secrets.into_iter().chain(user.key()).collect(),
        ),
        false => (
            Query::insert("subscriber", &["username", "domain", "password", "ha1", "ha1b"]),
            user.key().into_iter().chain(secrets).collect(),
        ),
    };
    run_one(&database, query, values)?;
    Ok(what_to_type(&user, &password, place.db.is_none()))
}

fn known(database: &Database, user: &User) -> Result<bool, String> {
    let query = Query::select("subscriber", &["username"])
        .when_eq("username")
        .when_eq("domain");
    let rows = run_one(database, query, user.key().to_vec())?;
    Ok(rows.first().is_some())
}

fn run_one(database: &Database, query: Query, values: Vec<Value>) -> Result<kahea_db::Rows, String> {
    database
        .run_blocking(&query.build(), values)
        .map_err(|error| format!("{}: {error}", database.url()))
}

fn remove(name: &str, place: &Place) -> Result<String, String> {
    let user = place.user(name)?;
    let query = Query::delete("subscriber").when_eq("username").when_eq("domain");
    let done = run_one(&place.open()?, query, user.key().to_vec())?;
    match done.affected {
        0 => Err(format!("there is no user {}@{}", user.name, user.domain)),
        _ => Ok(format!(
            "{}@{} is removed; its registrations end by themselves\n",
            user.name, user.domain
        )),
    }
}

fn list(place: &Place) -> Result<String, String> {
    let query = Query::select("subscriber", &["username", "domain"]).order_by("username");
    let rows = run_one(&place.open()?, query, Vec::new())?;
    let line = |row: &Vec<Value>| match (data::text(row, 0).text(), data::text(row, 1).text()) {
        (name, domain) if place.db.is_none() && domain == data::REALM => format!("{name}\n"),
        (name, domain) => format!("{name}@{domain}\n"),
    };
    Ok(rows.rows.iter().map(line).collect())
}

fn what_to_type(user: &User, password: &str, built_in: bool) -> String {
    let User { name, domain } = user;
    let address = match built_in {
        true => own_addresses(),
        false => domain.clone(),
    };
    let first = address.split(" or ").next().unwrap_or(domain);
    format!(
        "Type into the phone of {name}:\n\
         \x20   User name        {name}   (authentication name as well)\n\
         \x20   Password         {password}\n\
         \x20   Domain, server   {address}   (port 5060, UDP or TCP)\n\
         Others call it as    sip:{name}@{first}\n"
    )
}

/// The addresses at which phones reach this machine.
fn own_addresses() -> String {
    let mut found: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
        .into_iter()
        .flatten()
        .filter_map(|interface| interface.address)
        .filter_map(|address| {
            let four = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
            four.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
        })
        .filter(|ip| !ip.is_loopback() && !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    found.sort();
    found.dedup();
    let shown: Vec<String> = found
        .iter()
        .map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        })
        .collect();
    match shown.is_empty() {
        true => "127.0.0.1".to_owned(),
        false => shown.join(" or "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(db: Option<&str>, domain: Option<&str>) -> Place {
        Place {
            db: db.map(str::to_owned),
            domain: domain.map(str::to_owned),
        }
    }

    #[test]
    fn hashes_are_those_of_kamctl() {
        let user = place(Some("sqlite:///x"), None)
            .user("alice@example.com")
            .ok()
            .unwrap();
        let [password, ha1, ha1b] = user.secrets("secret", true);
        assert_eq!(password, Value::from("secret"));
        assert_eq!(ha1, Value::from("b1726872c344b6dc8365b774f8fd6412"));
        assert_eq!(ha1b, Value::from("c79656e4f06dbae9fdf6727654273c65"));
        assert_eq!(user.secrets("secret", false)[0], Value::from(""));
    }

    #[test]
    fn names_need_a_domain_only_in_databases_of_others() {
        assert!(place(Some("sqlite:///x"), None).user("alice").is_err());
        let domain = |place: Place, name: &str| place.user(name).map(|user| user.domain).ok();
        assert_eq!(domain(place(None, None), "alice").as_deref(), Some("kahea"));
        assert_eq!(
            domain(place(Some("x"), Some("a.org")), "alice").as_deref(),
            Some("a.org")
        );
    }

    #[test]
    fn names_that_no_uri_carries_are_refused() {
        for name in ["", "a b", "a:b", "<a>", "a\"b", "a\u{7}", "@x"] {
            assert!(place(None, None).user(name).is_err(), "{name:?}");
        }
    }
}
