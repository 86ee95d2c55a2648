//! The checks: the nonce first, then the database, then the password.

use std::sync::Arc;

use kahea_db::{Database, Row, Value as Column};
use kahea_module::{Cx, Fault, Lit, Ret, Str, Value, Var};
use kahea_sip::{Method, view::Uri};

use super::{
    AuthDb,
    table::{Found, Named},
};
use crate::auth::{How, Secret, Service, Shown, Side, Verdict};

/// Where users are, and how they are read.
pub(super) struct Store {
    pub(super) auth: Arc<Service>,
    pub(super) database: Database,
    pub(super) loaded: Loaded,
    pub(super) found: Found,
    /// Passwords are in the clear.
    pub(super) plain: bool,
    pub(super) use_domain: bool,
    pub(super) always_load: bool,
}

/// The variables that take further columns, in their order.
pub(crate) struct Loaded(pub(super) Vec<Var>);

impl Loaded {
    /// Gives a row's columns behind the password to the variables; what is NULL or empty leaves its variable alone.
    fn give(&self, cx: &mut Cx, row: &[Column]) -> Result<(), Fault> {
        for (var, column) in self.0.iter().zip(row.iter().skip(1)) {
            let value = match column {
                Column::Null => continue,
                Column::Int(n) => Value::Int(*n),
                other => match other.text().filter(|text| !text.is_empty()) {
                    Some(text) => Value::Str(text),
                    None => continue,
                },
            };
            var.set(cx, value)?;
        }
        Ok(())
    }
}

impl Store {
    /// The first row of a user.
    async fn user(
        &self,
        cx: &mut Cx,
        table: &Named,
        user: Str,
        domain: Option<Str>,
        second: bool,
    ) -> Result<Option<Row>, Fault> {
        let queries = self.found.queries(cx, table)?;
        let query = queries.get(domain.is_some(), second);
        let mut values = vec![Column::Text(user)];
        values.extend(domain.map(Column::Text));
        let rows = self.database.run(query, values).await.map_err(|error| {
            Fault::backend(format!(
                "{}: table {}: {error}",
                self.database.url(),
                query.table()
            ))
        })?;
        Ok(rows.rows.into_iter().next())
    }

    /// Judges the password of credentials whose nonce holds.
    async fn check(&self, cx: &mut Cx, shown: &Shown, call: &Call) -> Result<Verdict, Fault> {
        let domain = shown.domain();
        let second = !self.plain && domain.is_some();
        let domain = self
            .use_domain
            .then(|| domain.unwrap_or_else(|| shown.realm().clone()));
        let Some(row) = self.user(cx, &call.table, shown.user(), domain, second).await? else {
            return Ok(self.auth.check_nobody(cx, shown));
        };
        let Some(password) = row.first().and_then(Column::text) else {
            return Err(Fault::backend(format!(
                "the password of {} is NULL",
                shown.username()
            )));
        };
        let secret = if self.plain {
            Secret::Password(&password)
        } else {
            Secret::Ha1(&password)
        };
        let verdict = self.auth.check(cx, shown, call.method.as_deref(), secret);
        if verdict == Verdict::Accepted || self.always_load {
            self.loaded.give(cx, &row)?;
        }
        Ok(verdict)
    }
}

/// One call of a function that checks.
struct Call {
    table: Lit<Named>,
    method: Option<Str>,
    /// The flags of `auth_check()`.
    flags: i64,
}

fn authenticate(m: &AuthDb, cx: &mut Cx, side: Side, realm: &Str, call: Call) -> Ret {
    let shown = match m.store.auth.shown(cx, realm, side, How::default()) {
        Ok(Some(shown)) => shown,
        Ok(None) => return Verdict::Accepted.into(),
        Err(verdict) => return verdict.into(),
    };
    let store = m.store.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match store.check(cx, &shown, &call).await {
                Ok(Verdict::Accepted) => store.own_user(cx, &shown, call.flags).into(),
                Ok(verdict) => verdict.into(),
                Err(fault) => fault.into(),
            }
        })
    })
}

impl Store {
    /// What the flags of `auth_check()` ask for beside the password.
    fn own_user(&self, cx: &Cx, shown: &Shown, flags: i64) -> Verdict {
        let anonymous = [
            Method::Invite,
            Method::Bye,
            Method::Prack,
            Method::Update,
            Method::Message,
        ];
        if flags & 1 == 0 || flags & 2 != 0 && anonymous.contains(&cx.msg.method()) {
            return Verdict::Accepted;
        }
        self.auth.is_own_user(cx, &shown.user(), self.use_domain)
    }
}

pub(super) fn www(m: &AuthDb, cx: &mut Cx, realm: Str, table: Lit<Named>, method: Option<Str>) -> Ret {
    let call = Call {
        table,
        method,
        flags: 0,
    };
    authenticate(m, cx, Side::Server, &realm, call)
}

pub(super) fn www_authorize(m: &AuthDb, cx: &mut Cx, realm: Str, table: Lit<Named>) -> Ret {
    www(m, cx, realm, table, None)
}

pub(super) fn proxy(m: &AuthDb, cx: &mut Cx, realm: Str, table: Lit<Named>) -> Ret {
    let call = Call {
        table,
        method: None,
        flags: 0,
    };
    authenticate(m, cx, Side::Proxy, &realm, call)
}

pub(super) fn auth_check(m: &AuthDb, cx: &mut Cx, realm: Str, table: Lit<Named>, flags: i64) -> Ret {
    let side = Side::of(cx);
    let call = Call {
        table,
        method: None,
        flags,
    };
    authenticate(m, cx, side, &realm, call)
}

pub(super) fn is_subscriber(m: &AuthDb, _: &mut Cx, uri: Str, table: Lit<Named>, flags: i64) -> Ret {
    let (user, domain) = match Uri::parse(&uri) {
        Ok(parsed) => (uri.share(parsed.user), uri.share(parsed.host)),
        Err(error) => return Fault::script(format!("'{uri}' is no URI: {error}")).into(),
    };
    let domain = (flags & 1 != 0).then_some(domain);
    let store = m.store.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match store.user(cx, &table, user, domain, false).await {
                Ok(None) => Ret::Code(-2),
                Ok(Some(row)) if flags & 2 == 0 => store.loaded.give(cx, &row).map(|()| true).into(),
                Ok(Some(_)) => Ret::TRUE,
                Err(fault) => fault.into(),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::{Error, Rows, Statement, testing::fake};
    use kahea_module::{
        Literal,
        testing::{self, Server},
    };

    use super::{super::table::Columns, *};
    use crate::auth::tests::{PHONE, Phone, nonce, service};

    fn module(answer: impl Fn(&Statement) -> Result<Rows, Error> + Send + Sync + 'static) -> AuthDb {
        let text = Str::from_static;
        let columns = Columns {
            user: text("username"),
            domain: text("domain"),
            password: text("password"),
            password_2: text("ha1b"),
            loaded: Vec::new(),
        };
        let store = Store {
            auth: service(|_| {}).service.clone(),
            database: fake(answer),
            loaded: Loaded(Vec::new()),
            found: Found::new(columns),
            plain: true,
            use_domain: false,
            always_load: false,
        };
        AuthDb {
            store: Arc::new(store),
        }
    }

    /// Runs a call to its end, on a runtime as workers have one.
    fn code(cx: &mut Cx, ret: Ret) -> i64 {
        let Ret::Wait(later) = ret else {
            return testing::code(ret);
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        testing::code(runtime.block_on(later(cx)))
    }

    fn table(cx: &Cx) -> Lit<Named> {
        let source = kahea_module::ArgSource::Text("subscriber".into());
        let bind = cx.bind();
        assert!(Named::parse("", &*bind).is_err());
        let fixed = <Lit<Named> as kahea_module::Arg>::fix(Some(&source), &*bind).unwrap();
        let mut other = Server::default().invite();
        <Lit<Named> as kahea_module::Arg>::get(&fixed, &mut other).unwrap()
    }

    fn registered(m: &AuthDb, phone: &Phone) -> i64 {
        let server = Server::default();
        let auth = crate::auth::tests::over(m.store.auth.clone());
        let nonce = nonce(&auth, &server);
        let mut cx = phone.register(&server, &nonce);
        let table = table(&cx);
        let ret = auth_check(m, &mut cx, "example.com".into(), table, 1);
        code(&mut cx, ret)
    }

    #[test]
    fn passwords_come_from_the_database() {
        let m = module(|statement| {
            let Statement::Query(_, values) = statement else {
                panic!()
            };
            let rows = if values[0] == Column::from("alice") {
                vec![vec![Column::from("secret")]]
            } else {
                vec![]
            };
            Ok(Rows::from(rows))
        });
        assert_eq!(registered(&m, &PHONE), 1);
        assert_eq!(
            registered(
                &m,
                &Phone {
                    password: "wrong",
                    ..PHONE
                }
            ),
            -2
        );
        let nobody = module(|_| Ok(Rows::default()));
        assert_eq!(registered(&nobody, &PHONE), -3);
    }

    #[test]
    fn a_database_that_is_away_or_has_no_such_table_fails_the_check() {
        for error in [
            Error::Unavailable("down".into()),
            Error::Refused("no such table".into()),
        ] {
            let m = module(move |_| Err(error.clone()));
            assert_eq!(registered(&m, &PHONE), -1);
            let mut cx = Server::default().invite();
            let table = table(&cx);
            let ret = is_subscriber(&m, &mut cx, "sip:alice@example.com".into(), table, 0);
            assert_eq!(code(&mut cx, ret), -1);
        }
    }
}
