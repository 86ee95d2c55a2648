//! Module `uid_auth_db`: digest authentication over SER's table `uid_credentials`, which gives the user's uid too.
//!
//! Its return codes are SER's: 1, -1 not authenticated, -2 the database failed, -3 the credentials cannot be read, and
//! -4, -5, -6 as everywhere. Whenever it is not 1 the AVP of the `auth` module (`$avp(digest_challenge)`) has a challenge.

use std::{collections::HashMap, sync::Arc};

use kahea_db::{Database, Query, Row, Value as Column};
use kahea_module::{
    Cx, Decl, Env, Fault, Index, InitError, Module, REQUEST, Ret, Str, Value, Var,
    avp::{AvpClass, AvpName},
};
use parking_lot::RwLock;

use crate::{
    auth::{How, Secret, Service, Shown, Side, Verdict},
    auth_db::loaded,
};

/// The bit of a row that counts for this server.
const FOR_SERVER: i64 = 1;
/// The bit of a row that is switched off.
const DISABLED: i64 = 2;

/// How many tables may be named.
const MOST_TABLES: usize = 64;

/// The module's instance.
pub struct UidAuthDb {
    store: Arc<Store>,
}

/// The parameters.
pub struct Params {
    db_url: Str,
    username_column: Str,
    did_column: Str,
    realm_column: Str,
    password_column: Str,
    password_column_2: Str,
    plain_password_column: Str,
    flags_column: Str,
    calculate_ha1: bool,
    load_credentials: Str,
    use_did: bool,
    check_all_ha1: bool,
}

impl Default for Params {
    fn default() -> Params {
        let text = Str::from_static;
        Params {
            db_url: text("mysql://kamailioro:kamailioro@localhost/kamailio"),
            username_column: text("auth_username"),
            did_column: text("did"),
            realm_column: text("realm"),
            password_column: text("ha1"),
            password_column_2: text("ha1b"),
            plain_password_column: text("password"),
            flags_column: text("flags"),
            calculate_ha1: false,
            load_credentials: text("uid"),
            use_did: false,
            check_all_ha1: false,
        }
    }
}

impl Module for UidAuthDb {
    const NAME: &'static str = "uid_auth_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        let text = "Checks the credentials of Authorization against a table; where they do not hold, the AVP digest_challenge has a challenge.";
        d.func("www_authenticate", ["realm", "table"], www, text)
            .routes(REQUEST)
            .waits();
        d.func("www_authorize", ["realm", "table"], www, text)
            .routes(REQUEST)
            .waits();
        let text = "Checks the credentials of Proxy-Authorization against a table; where they do not hold, the AVP digest_challenge has a challenge.";
        d.func("proxy_authenticate", ["realm", "table"], proxy, text)
            .routes(REQUEST)
            .waits();
        d.func("proxy_authorize", ["realm", "table"], proxy, text)
            .routes(REQUEST)
            .waits();
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UidAuthDb, InitError> {
        let auth = env.service::<Service>().ok_or_else(|| {
            InitError::new("uid_auth_db needs the auth module")
                .help("add loadmodule \"auth.so\" before uid_auth_db")
        })?;
        let database = Database::open(env, &params.db_url.text())?;
        let (variables, columns) = loaded(&params.load_credentials, env)?.into_iter().unzip();
        Ok(UidAuthDb {
            store: Arc::new(Store {
                auth,
                database,
                variables,
                columns,
                params,
                tables: RwLock::default(),
            }),
        })
    }
}

fn params(d: &mut Decl<UidAuthDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param(
        "username_column",
        |p| &mut p.username_column,
        "The column of user names.",
    );
    d.param(
        "did_column",
        |p| &mut p.did_column,
        "The column of domain identifiers.",
    );
    d.param("realm_column", |p| &mut p.realm_column, "The column of realms.");
    d.param(
        "password_column",
        |p| &mut p.password_column,
        "The column of HA1s.",
    );
    d.param(
        "password_column_2",
        |p| &mut p.password_column_2,
        "The column of HA1s made with the domain in the user name.",
    );
    d.param(
        "plain_password_column",
        |p| &mut p.plain_password_column,
        "The column of passwords, for calculate_ha1.",
    );
    d.param(
        "flags_column",
        |p| &mut p.flags_column,
        "The column of flags: 1 the row is for this server, 2 it is switched off.",
    );
    d.param(
        "calculate_ha1",
        |p| &mut p.calculate_ha1,
        "Passwords are read, not HA1s.",
    );
    d.param(
        "load_credentials",
        |p| &mut p.load_credentials,
        "What else is read of a user: `$avp(x)=column;column;…`.",
    );
    d.param("use_did", |p| &mut p.use_did, "Users are those of a domain identifier, $avp(did) of the To or From domain or else _default, in place of the realm.");
    d.param(
        "check_all_ha1",
        |p| &mut p.check_all_ha1,
        "Where a user has several rows, all are tried, not the first alone.",
    );
}

/// The queries of a table: for user names without and with a domain.
type Queries = Arc<[Arc<Query>; 2]>;

struct Store {
    auth: Arc<Service>,
    database: Database,
    variables: Vec<Var>,
    columns: Vec<Str>,
    params: Params,
    tables: RwLock<HashMap<Str, Queries>>,
}

impl Store {
    fn queries(&self, table: &Str) -> Result<Queries, Fault> {
        if let Some(known) = self.tables.read().get(table) {
            return Ok(known.clone());
        }
        let mut tables = self.tables.write();
        if table.is_empty() || tables.len() >= MOST_TABLES {
            return Err(Fault::limit(format!(
                "'{table}': no name of a table, or more than {MOST_TABLES} were named"
            )));
        }
        let p = &self.params;
        let passwords = if p.calculate_ha1 {
            [&p.plain_password_column, &p.plain_password_column]
        } else {
            [&p.password_column, &p.password_column_2]
        };
        let owner = if p.use_did { &p.did_column } else { &p.realm_column };
        let made: Queries = Arc::new(passwords.map(|password| {
            let first = [password, &p.flags_column];
            let names: Vec<String> = first
                .into_iter()
                .chain(&self.columns)
                .map(|name| name.text().into_owned())
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let query = Query::select(&table.text(), &names);
            query
                .when_eq(&p.username_column.text())
                .when_eq(&owner.text())
                .build()
        }));
        Ok(tables.entry(table.detach()).or_insert(made).clone())
    }

    /// The domain identifier that `lookup_domain()` of `uid_domain` left.
    fn did(&self, cx: &Cx) -> Str {
        let name = AvpName::Str(Str::from_static("did"));
        let classes = [AvpClass::ToDomain, AvpClass::FromDomain];
        let found = classes
            .into_iter()
            .find_map(|class| cx.avps.get(class, &name, Index::None).str());
        found.unwrap_or_else(|| Str::from_static("_default"))
    }

    async fn rows(&self, cx: &Cx, shown: &Shown, table: &Str) -> Result<Vec<Row>, Fault> {
        let queries = self.queries(table)?;
        let [plain, with_domain] = &*queries;
        let query = if shown.domain().is_some() {
            with_domain
        } else {
            plain
        };
        let owner = if self.params.use_did {
            self.did(cx)
        } else {
            shown.realm().clone()
        };
        let values = vec![Column::Text(shown.user()), Column::Text(owner)];
        let rows = self.database.run(query, values).await.map_err(|error| {
            Fault::backend(format!("{}: table {table}: {error}", self.database.url())).code(-2)
        })?;
        let usable = |row: &Row| {
            let flags = row.get(1).and_then(Column::int).unwrap_or(0);
            flags & FOR_SERVER != 0 && flags & DISABLED == 0
        };
        Ok(rows.rows.into_iter().filter(usable).collect())
    }

    async fn check(&self, cx: &mut Cx, shown: &Shown, table: &Str) -> Result<Verdict, Fault> {
        let rows = self.rows(cx, shown, table).await?;
        if rows.is_empty() {
            return Ok(self.auth.check_nobody(cx, shown));
        }
        let most = if self.params.check_all_ha1 { rows.len() } else { 1 };
        for row in rows.iter().take(most) {
            let password = row.first().and_then(Column::text).unwrap_or_default();
            let secret = if self.params.calculate_ha1 {
                Secret::Password(&password)
            } else {
                Secret::Ha1(&password)
            };
            if self.auth.check(cx, shown, None, secret) == Verdict::Accepted {
                self.give(cx, row)?;
                return Ok(Verdict::Accepted);
            }
        }
        Ok(Verdict::WrongPassword)
    }

    fn give(&self, cx: &mut Cx, row: &Row) -> Result<(), Fault> {
        for (var, column) in self.variables.iter().zip(row.iter().skip(2)) {
            let value = match column {
                Column::Null => continue,
                Column::Int(n) => Value::Int(*n),
                other => other.text().map_or(Value::Null, Value::Str),
            };
            var.set(cx, value)?;
        }
        Ok(())
    }

    /// SER's code of a verdict, with the challenge where it is due.
    fn answer(&self, cx: &mut Cx, side: Side, realm: &Str, verdict: Verdict) -> Ret {
        let code = match verdict {
            Verdict::Accepted => return Ret::TRUE,
            Verdict::WrongPassword | Verdict::UnknownUser => -1,
            Verdict::Failed => -3,
            other => other.code(),
        };
        self.auth.leave_challenge(cx, side, realm);
        code.into()
    }
}

fn authenticate(m: &UidAuthDb, cx: &mut Cx, side: Side, realm: Str, table: Str) -> Ret {
    let shown = match m.store.auth.shown(cx, &realm, side, How::default()) {
        Ok(Some(shown)) => shown,
        Ok(None) => return Ret::TRUE,
        Err(verdict) => return m.store.answer(cx, side, &realm, verdict),
    };
    let store = m.store.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match store.check(cx, &shown, &table).await {
                Ok(verdict) => store.answer(cx, side, &realm, verdict),
                Err(fault) => fault.into(),
            }
        })
    })
}

fn www(m: &UidAuthDb, cx: &mut Cx, realm: Str, table: Str) -> Ret {
    authenticate(m, cx, Side::Server, realm, table)
}

fn proxy(m: &UidAuthDb, cx: &mut Cx, realm: Str, table: Str) -> Ret {
    authenticate(m, cx, Side::Proxy, realm, table)
}
