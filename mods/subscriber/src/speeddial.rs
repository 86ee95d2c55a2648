//! Module `speeddial`: short numbers of each user, in a database.

use kahea_db::{Database, Query, Value};
use kahea_module::{Cx, Decl, Env, InitError, Module, REQUEST, Ret, Str, error};
use kahea_sip::view::{Scheme, Uri};

use crate::{
    queries::{self, ByTable},
    who::Account,
};

/// The module.
pub struct Speeddial {
    database: Database,
    query: ByTable,
    domains: Domains,
    domain_prefix: Str,
}

/// Which domains must fit besides the users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Domains {
    None,
    Owner,
    Both,
}

/// Its parameters.
#[derive(Clone)]
pub struct Params {
    db_url: Str,
    user_column: Str,
    domain_column: Str,
    sd_user_column: Str,
    sd_domain_column: Str,
    new_uri_column: Str,
    domain_prefix: Str,
    use_domain: i64,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            user_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            sd_user_column: Str::from_static("sd_username"),
            sd_domain_column: Str::from_static("sd_domain"),
            new_uri_column: Str::from_static("new_uri"),
            domain_prefix: Str::EMPTY,
            use_domain: 0,
        }
    }
}

impl Module for Speeddial {
    const NAME: &'static str = "speeddial";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "sd_lookup",
            ["table", "owner"],
            lookup,
            "Looks the user of the Request-URI up among the short numbers of the owner, the user in From unless another URI is given, and replaces the Request-URI.",
        )
        .routes(REQUEST)
        .waits()
        .kemi(1, "lookup")
        .kemi(2, "lookup_owner")
        .example("sd_lookup(\"speed_dial\", \"sip:alice@example.com\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Speeddial, InitError> {
        let domains = match params.use_domain {
            0 => Domains::None,
            1 => Domains::Owner,
            2 => Domains::Both,
            other => {
                return Err(InitError::new(format!("use_domain is {other}"))
                    .help("give 0 for no domain, 1 for that of the owner, 2 for that of the number too"));
            }
        };
        Ok(Speeddial {
            database: queries::open(env, &params.db_url, &[])?,
            domain_prefix: params.domain_prefix.clone(),
            query: query(params, domains),
            domains,
        })
    }
}

fn params(d: &mut Decl<Speeddial>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("user_column", |p| &mut p.user_column, "The column of owners.");
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column of owners' domains.",
    );
    d.param(
        "sd_user_column",
        |p| &mut p.sd_user_column,
        "The column of short numbers.",
    );
    d.param(
        "sd_domain_column",
        |p| &mut p.sd_domain_column,
        "The column of the domains of short numbers.",
    );
    d.param(
        "new_uri_column",
        |p| &mut p.new_uri_column,
        "The column of addresses.",
    );
    d.param(
        "domain_prefix",
        |p| &mut p.domain_prefix,
        "Is taken off the owner's domain, where it begins so.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "Which domains must fit: 0 none, 1 the owner's, 2 that of the short number too.",
    );
}

fn query(params: Params, domains: Domains) -> ByTable {
    ByTable::new(move |table| {
        let query = Query::select(table, &[&params.new_uri_column.text()])
            .when_eq(&params.user_column.text())
            .when_eq(&params.sd_user_column.text());
        let query = match domains {
            Domains::None => query,
            Domains::Owner => query.when_eq(&params.domain_column.text()),
            Domains::Both => query
                .when_eq(&params.domain_column.text())
                .when_eq(&params.sd_domain_column.text()),
        };
        query.limit(1)
    })
}

impl Speeddial {
    fn values(&self, owner: &Account, number: &Account) -> Vec<Value> {
        let text = |text: &Str| Value::Text(text.detach());
        let mut values = vec![text(&owner.user), text(&number.user)];
        if self.domains != Domains::None {
            values.push(text(&owner.host));
        }
        if self.domains == Domains::Both {
            values.push(text(&number.host));
        }
        values
    }
}

fn lookup(m: &Speeddial, cx: &mut Cx, table: Str, owner: Option<Str>) -> Ret {
    let owner = match &owner {
        Some(uri) => Account::of_uri(uri),
        None => Account::of_from(cx),
    };
    let named = |account: &Account| !account.user.is_empty();
    let number = Account::of_uri(&cx.ruri()).filter(named);
    let (Some(owner), Some(number)) = (owner.filter(named), number) else {
        return Ret::FALSE;
    };
    let query = match m.query.on(&table) {
        Ok(query) => query,
        Err(fault) => return fault.into(),
    };
    let values = m.values(&owner.without_prefix(&m.domain_prefix), &number);
    let database = m.database.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            let rows = match database.run(&query, values).await {
                Ok(rows) => rows,
                Err(error) => return queries::failed(&database, &error).into(),
            };
            let Some(text) = rows.single().and_then(Value::text) else {
                return Ret::FALSE;
            };
            match address(&text) {
                Some(uri) => cx.set_ruri(uri).map(|()| true).into(),
                None => {
                    error!("speeddial", "The address '{text}' in table {table} is no URI.");
                    Ret::FALSE
                }
            }
        })
    })
}

/// The URI that a row stands for: `sip:` may be missing.
fn address(text: &Str) -> Option<Str> {
    match Uri::parse(text) {
        Ok(uri) if uri.scheme != Scheme::Other => return Some(text.clone()),
        _ => {}
    }
    let with_scheme = [b"sip:".as_slice(), text].concat();
    Uri::parse(&with_scheme).is_ok().then(|| Str::from(with_scheme))
}

#[cfg(test)]
mod tests {
    use kahea_db::testing::fake;

    use super::*;

    #[test]
    fn a_scheme_is_added_where_it_is_missing() {
        assert_eq!(address(&"sip:a@h".into()), Some("sip:a@h".into()));
        assert_eq!(address(&"a@h".into()), Some("sip:a@h".into()));
        assert_eq!(address(&"tel:+123".into()), Some("tel:+123".into()));
        assert_eq!(address(&"".into()), None);
        assert_eq!(address(&"a@h\r\nX: y".into()), None);
    }

    #[test]
    fn domains_are_asked_for_as_the_parameter_says() {
        let account = |uri: &'static str| Account::of_uri(&uri.into()).unwrap();
        for (domains, count) in [(Domains::None, 2), (Domains::Owner, 3), (Domains::Both, 4)] {
            let m = Speeddial {
                database: fake(|_| Ok(kahea_db::Rows::default())),
                query: query(Params::default(), domains),
                domains,
                domain_prefix: Str::EMPTY,
            };
            assert_eq!(m.values(&account("sip:a@h"), &account("sip:1@i")).len(), count);
            assert_eq!(m.query.on(&"t".into()).unwrap().value_count(), count);
        }
    }
}
