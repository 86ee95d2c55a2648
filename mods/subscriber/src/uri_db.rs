//! Module `uri_db`: whether a URI belongs to a user, by credentials, the table of users or one of their URIs.

use std::sync::Arc;

use kahea_db::{Database, Query, Value};
use kahea_module::{
    Cx, Decl, EVENT, Env, Format, InitError, Module, REQUEST, Ret, Str, authorized::Authorized, error,
};

use crate::{queries, who::Account};

/// Return codes, as scripts know them.
mod code {
    /// A URI cannot be read.
    pub const UNREADABLE: i64 = -1;
    /// There are no credentials that were found right.
    pub const NO_CREDENTIALS: i64 = -2;
    /// The URI has no user, or the database could not tell whether it exists.
    pub const NO_USER: i64 = -4;
    /// There is no such user.
    pub const NOT_FOUND: i64 = -5;
    /// The database could not tell whether the URI is the user's.
    pub const NOT_ASKED: i64 = -8;
    /// The URI is none of the user's.
    pub const NOT_OWN: i64 = -9;
    /// The user is another one.
    pub const OTHER_USER: i64 = -10;
}

/// The module.
pub struct UriDb {
    database: Database,
    /// Whether there is a user, or a URI, of that name.
    exists: Arc<Query>,
    /// Whether a URI is a user's; `None` without the table of URIs.
    owns: Option<Arc<Query>>,
    use_domain: bool,
}

/// Its parameters.
pub struct Params {
    db_url: Str,
    db_table: Str,
    user_column: Str,
    domain_column: Str,
    uriuser_column: Str,
    use_uri_table: bool,
    use_domain: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            db_table: Str::from_static("subscriber"),
            user_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            uriuser_column: Str::from_static("uri_user"),
            use_uri_table: false,
            use_domain: false,
        }
    }
}

impl Module for UriDb {
    const NAME: &'static str = "uri_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "check_to",
            [],
            |m: &UriDb, cx: &mut Cx| check(m, cx, Account::of_to(cx)),
            "The user in To is the one whose credentials were found right, or has the URI in the table of URIs.",
        )
        .routes(REQUEST)
        .waits()
        .kemi(0, "check_to")
        .example("if (!check_to()) { drop; }");
        d.func(
            "check_from",
            [],
            |m: &UriDb, cx: &mut Cx| check(m, cx, Account::of_from(cx)),
            "The user in From is the one whose credentials were found right, or has the URI in the table of URIs.",
        )
        .routes(REQUEST)
        .waits()
        .kemi(0, "check_from")
        .example("if (!check_from()) { drop; }");
        d.func(
            "check_uri",
            ["uri"],
            |m: &UriDb, cx: &mut Cx, uri: Str| check(m, cx, Account::of_uri(&uri)),
            "The user in the URI is the one whose credentials were found right, or has the URI in the table of URIs.",
        )
        .routes(REQUEST)
        .waits()
        .kemi(1, "check_uri");
        d.func(
            "check_uri",
            ["uri", "user", "realm"],
            check_uri_of,
            "The same for a user and realm that the script knows.",
        )
        .routes(REQUEST)
        .waits()
        .kemi(3, "check_uri_realm")
        .example("check_uri(\"$fu\", \"$au\", \"$ar\");");
        d.func(
            "does_uri_exist",
            [],
            does_uri_exist,
            "The user in the Request-URI exists, by the table of users or of URIs; -5 where not.",
        )
        .routes(REQUEST | EVENT)
        .waits()
        .kemi(0, "does_uri_exist")
        .example("if (!does_uri_exist()) { drop; }");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UriDb, InitError> {
        let url = if params.db_url.is_empty() {
            Str::from_static(queries::READ_ONLY_URL)
        } else {
            params.db_url.clone()
        };
        let version = if params.use_uri_table { 1 } else { 7 };
        let database = queries::open(env, &url, &[(&params.db_table, version)])?;
        let [table, user, domain, uri_user] = [
            &params.db_table,
            &params.user_column,
            &params.domain_column,
            &params.uriuser_column,
        ]
        .map(Str::text);
        let name = if params.use_uri_table { &uri_user } else { &user };
        let exists = Query::select(&table, &[name]).when_eq(name).limit(1);
        let owns = Query::select(&table, &[&uri_user])
            .when_eq(&user)
            .when_eq(&domain)
            .when_eq(&uri_user)
            .limit(1);
        Ok(UriDb {
            database,
            exists: if params.use_domain {
                exists.when_eq(&domain).build()
            } else {
                exists.build()
            },
            owns: params.use_uri_table.then(|| owns.build()),
            use_domain: params.use_domain,
        })
    }
}

fn params(d: &mut Decl<UriDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("db_table", |p| &mut p.db_table, "The table of users, or of URIs.");
    d.param("user_column", |p| &mut p.user_column, "The column of users.");
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column of domains.",
    );
    d.param(
        "uriuser_column",
        |p| &mut p.uriuser_column,
        "The column of the users in URIs.",
    );
    d.param(
        "use_uri_table",
        |p| &mut p.use_uri_table,
        "The table is one of URIs.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "does_uri_exist() looks at the domain too.",
    );
}

fn check(m: &UriDb, cx: &mut Cx, account: Option<Account>) -> Ret {
    let owner = Authorized::of(cx).map(|known| {
        let domain = known.domain.as_ref().unwrap_or(&known.realm);
        (known.user.clone(), domain.clone())
    });
    match account {
        None => Ret::Code(code::UNREADABLE),
        Some(account) if account.user.is_empty() => Ret::Code(code::NO_USER),
        Some(account) => match owner {
            Some((user, realm)) => belongs(m, &account, &user, &realm),
            None => Ret::Code(code::NO_CREDENTIALS),
        },
    }
}

fn check_uri_of(m: &UriDb, cx: &mut Cx, uri: Format, user: Format, realm: Format) -> Ret {
    let Some(account) = Account::of_uri(&uri.text(cx)) else {
        return Ret::Code(code::UNREADABLE);
    };
    let (user, realm) = (user.text(cx), realm.text(cx));
    if user.is_empty() || realm.is_empty() {
        return Ret::Code(code::NO_CREDENTIALS);
    }
    if account.user.is_empty() {
        return Ret::Code(code::NO_USER);
    }
    belongs(m, &account, &user, &realm)
}

/// The URI is the user's.
fn belongs(m: &UriDb, account: &Account, user: &Str, realm: &Str) -> Ret {
    let Some(query) = m.owns.clone() else {
        let same = account.user.eq_ignore_ascii_case(user);
        return Ret::Code(if same { 1 } else { code::OTHER_USER });
    };
    let values = [user, realm, &account.user].map(|text| Value::Text(text.detach()));
    ask(m, query, values.into(), code::NOT_OWN, code::NOT_ASKED)
}

fn does_uri_exist(m: &UriDb, cx: &mut Cx) -> Ret {
    let Some(account) = Account::of_uri(&cx.ruri()) else {
        return Ret::Code(code::UNREADABLE);
    };
    let mut values = vec![Value::Text(account.user.detach())];
    if m.use_domain {
        values.push(Value::Text(account.host.detach()));
    }
    ask(m, m.exists.clone(), values, code::NOT_FOUND, code::NO_USER)
}

/// True where there is a row, else one of the codes.
fn ask(m: &UriDb, query: Arc<Query>, values: Vec<Value>, none: i64, failed: i64) -> Ret {
    let database = m.database.clone();
    Ret::wait(move |_| {
        Box::pin(async move {
            match database.run(&query, values).await {
                Ok(rows) if rows.rows.is_empty() => Ret::Code(none),
                Ok(_) => Ret::TRUE,
                Err(error) => {
                    error!("uri_db", "{}: {error}.", database.url());
                    Ret::Code(failed)
                }
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::testing::fake;
    use kahea_module::testing::Server;

    use super::*;

    fn module() -> UriDb {
        UriDb {
            database: fake(|_| Ok(kahea_db::Rows::default())),
            exists: Query::select("subscriber", &["username"])
                .when_eq("username")
                .build(),
            owns: None,
            use_domain: false,
        }
    }

    fn coded(ret: Ret) -> i64 {
        match ret {
            Ret::Code(code) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_a_table_of_uris_the_user_decides() {
        let m = module();
        let mut cx = Server::default().invite();
        let call = |cx: &mut Cx, uri: &'static str, user: &'static str| {
            let [uri, user, realm] = [uri, user, "r"].map(Format::constant);
            coded(check_uri_of(&m, cx, uri, user, realm))
        };
        assert_eq!(call(&mut cx, "sip:ALICE@h", "alice"), 1);
        assert_eq!(call(&mut cx, "sip:alice@h", "bob"), code::OTHER_USER);
        assert_eq!(call(&mut cx, "sip:h", "bob"), code::NO_USER);
        assert_eq!(call(&mut cx, "nonsense", "bob"), code::UNREADABLE);
        assert_eq!(call(&mut cx, "sip:alice@h", ""), code::NO_CREDENTIALS);
    }

    #[test]
    fn credentials_must_have_been_found_right() {
        let m = module();
        let mut cx = Server::default().invite();
        let from = Account::of_from(&cx);
        assert_eq!(coded(check(&m, &mut cx, from.clone())), code::NO_CREDENTIALS);
        let alice = Authorized {
            user: "alice".into(),
            domain: None,
            realm: "example.org".into(),
        };
        alice.note(&mut cx);
        assert_eq!(coded(check(&m, &mut cx, from)), 1);
        let to = Account::of_to(&cx);
        assert_eq!(coded(check(&m, &mut cx, to)), code::OTHER_USER);
    }
}
