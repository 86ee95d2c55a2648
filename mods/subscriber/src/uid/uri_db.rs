//! Module `uid_uri_db`: the ids of users by their URIs.

use std::sync::Arc;

use kahea_db::{Database, Query, Value as Column};
use kahea_module::{
    Cx, Decl, Env, FAILURE, Format, Index, InitError, Lit, Module, REQUEST, Ret, Str, Value,
    avp::{AvpClass, AvpName},
};
use kahea_sip::view::{Scheme, Uri};

use super::{
    attributes::{Attribute, IS_FROM, IS_TO, Named, flags, is_active},
    domain::Domains,
};
use crate::{queries, who::Who};

/// The module.
pub struct UidUriDb {
    database: Database,
    query: Arc<Query>,
    domains: Option<Arc<Domains>>,
}

/// Its parameters.
pub struct Params {
    db_url: Str,
    uri_table: Str,
    uid_column: Str,
    did_column: Str,
    username_column: Str,
    flags_column: Str,
    scheme_column: Str,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            uri_table: Str::from_static("uid_uri"),
            uid_column: Str::from_static("uid"),
            did_column: Str::from_static("did"),
            username_column: Str::from_static("username"),
            flags_column: Str::from_static("flags"),
            scheme_column: Str::from_static("scheme"),
        }
    }
}

impl Module for UidUriDb {
    const NAME: &'static str = "uid_uri_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "lookup_user",
            ["uri"],
            lookup,
            "The URI in From, To or Request-URI belongs to a user, whose id becomes the attribute uid; lookup_domain() must have found the domain.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .example("lookup_user(\"From\");");
        d.func(
            "lookup_user",
            ["attribute", "uri"],
            lookup_uri,
            "The URI belongs to a user, whose id becomes this attribute.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .example("lookup_user(\"$tu.uid\", \"$ru\");");
        d.func(
            "check_uri",
            ["uri"],
            check,
            "The URI in From, To or Request-URI belongs to a user.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .example("check_uri(\"From\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<UidUriDb, InitError> {
        let [uid, did, user, flags, scheme] = [
            &params.uid_column,
            &params.did_column,
            &params.username_column,
            &params.flags_column,
            &params.scheme_column,
        ]
        .map(Str::text);
        Ok(UidUriDb {
            database: queries::open(env, &params.db_url, &[(&params.uri_table, 3)])?,
            query: Query::select(&params.uri_table.text(), &[&uid, &flags])
                .when_eq(&user)
                .when_eq(&did)
                .when_eq(&scheme)
                .build(),
            domains: env.service::<Domains>(),
        })
    }
}

fn params(d: &mut Decl<UidUriDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("uri_table", |p| &mut p.uri_table, "The table of URIs.");
    d.param("uid_column", |p| &mut p.uid_column, "The column of ids of users.");
    d.param(
        "did_column",
        |p| &mut p.did_column,
        "The column of ids of domains.",
    );
    d.param(
        "username_column",
        |p| &mut p.username_column,
        "The column of users.",
    );
    d.param("flags_column", |p| &mut p.flags_column, "The column of flags.");
    d.param(
        "scheme_column",
        |p| &mut p.scheme_column,
        "The column of schemes.",
    );
}

/// What is asked for: a URI in parts.
struct Asked {
    user: Str,
    host: Str,
    scheme: &'static str,
}

impl Asked {
    fn of(text: &Str) -> Option<Asked> {
        let uri = Uri::parse(text).ok()?;
        let scheme = match uri.scheme {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Tels => "tels",
            Scheme::Urn | Scheme::Other => return None,
        };
        Some(Asked {
            user: text.share(uri.user),
            host: text.share(uri.host),
            scheme,
        })
    }
}

impl UidUriDb {
    /// The statement's values.
    fn values(asked: &Asked, did: &Str) -> Vec<Column> {
        vec![
            Column::Text(asked.user.detach()),
            Column::Text(did.detach()),
            asked.scheme.into(),
        ]
    }
}

/// The user that the rows name, by the flag that this use needs.
fn user(rows: &kahea_db::Rows, to: bool) -> Option<Str> {
    let needed = if to { IS_TO } else { IS_FROM };
    let fits = |row: &&kahea_db::Row| is_active(flags(row, 1)) && flags(row, 1) & needed != 0;
    rows.rows.iter().find(fits)?.first()?.text()
}

/// The URI of a header, whether it is the receiver's, and the id of its domain.
fn named(cx: &mut Cx, who: &Who) -> Option<(Asked, bool, Str)> {
    let share = |cx: &Cx, uri: &[u8]| cx.msg.buffer().share(uri);
    let (text, to) = match who {
        Who::From => (share(cx, cx.from().ok()?.uri), false),
        Who::To => (share(cx, cx.to().ok()?.uri), true),
        Who::Target => (cx.ruri(), true),
        Who::Credentials | Who::Var(_) => return None,
    };
    let class = if to {
        AvpClass::ToDomain
    } else {
        AvpClass::FromDomain
    };
    let name = AvpName::Str(Str::from_static("did"));
    let did = cx.avps.get(class, &name, Index::None).str()?;
    Some((Asked::of(&text)?, to, did))
}

fn lookup(m: &UidUriDb, cx: &mut Cx, who: Lit<Who>) -> Ret {
    let Some((asked, to, did)) = named(cx, &who) else {
        return Ret::FALSE;
    };
    let class = if to { AvpClass::ToUser } else { AvpClass::FromUser };
    find(m, asked, did, to, Some((class, Str::from_static("uid"))))
}

fn check(m: &UidUriDb, cx: &mut Cx, who: Lit<Who>) -> Ret {
    match named(cx, &who) {
        Some((asked, to, did)) => find(m, asked, did, to, None),
        None => Ret::FALSE,
    }
}

fn find(m: &UidUriDb, asked: Asked, did: Str, to: bool, give: Option<(AvpClass, Str)>) -> Ret {
    if asked.user.is_empty() {
        return Ret::FALSE;
    }
    let (database, query) = (m.database.clone(), m.query.clone());
    Ret::wait(move |cx| {
        Box::pin(async move {
            let rows = match database.run(&query, UidUriDb::values(&asked, &did)).await {
                Ok(rows) => rows,
                Err(error) => return queries::failed(&database, &error).into(),
            };
            match (user(&rows, to), give) {
                (None, _) => Ret::FALSE,
                (Some(_), None) => Ret::TRUE,
                (Some(uid), Some((class, name))) => {
                    cx.avps
                        .remove(|avp| avp.class == class && avp.name == AvpName::Str(name.clone()));
                    let value = Value::Str(uid);
                    Attribute { name, value }.add(cx, class, 0).map(|()| true).into()
                }
            }
        })
    })
}

fn lookup_uri(m: &UidUriDb, cx: &mut Cx, attribute: Lit<Named>, uri: Format) -> Ret {
    let Some(asked) = Asked::of(&uri.text(cx)) else {
        return Ret::FALSE;
    };
    let Some(domains) = m.domains.clone() else {
        return kahea_module::Fault::script(
            "lookup_user() of a URI needs the module uid_domain, loaded before uid_uri_db",
        )
        .into();
    };
    let (database, query) = (m.database.clone(), m.query.clone());
    let (class, name, to) = (attribute.track.0, attribute.name.clone(), attribute.track.is_to());
    Ret::wait(move |cx| {
        Box::pin(async move {
            let found = async {
                let Some(did) = domains.id(&asked.host).await? else {
                    return Ok(None);
                };
                let rows = database.run(&query, UidUriDb::values(&asked, &did)).await?;
                Ok(user(&rows, to))
            };
            match found.await {
                Ok(Some(uid)) => {
                    cx.avps
                        .remove(|avp| avp.class == class && avp.name == AvpName::Str(name.clone()));
                    let value = Value::Str(uid);
                    Attribute { name, value }.add(cx, class, 0).map(|()| true).into()
                }
                Ok(None) => Ret::FALSE,
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::Rows;

    use super::*;

    #[test]
    fn flags_say_what_a_uri_is_for() {
        let rows = |flags: i64| Rows::from(vec![vec!["u1".into(), Column::Int(flags)]]);
        assert_eq!(user(&rows(9), true), Some("u1".into()));
        assert_eq!(user(&rows(9), false), None);
        assert_eq!(user(&rows(17), false), Some("u1".into()));
        assert_eq!(user(&rows(63), true), None);
        assert_eq!(user(&rows(0), true), None);
    }

    #[test]
    fn the_scheme_is_part_of_the_question() {
        let asked = Asked::of(&"sips:a@h:5061".into()).unwrap();
        assert_eq!(
            (asked.user, asked.host, asked.scheme),
            ("a".into(), "h".into(), "sips")
        );
        assert!(Asked::of(&"nonsense".into()).is_none());
    }
}
