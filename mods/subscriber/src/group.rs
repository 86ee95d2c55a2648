//! Module `group`: groups of users, in a table of users and in one of regular expressions.

use std::sync::Arc;

use kahea_db::{Database, Query, Value};
use kahea_module::{
    BRANCH, Cx, Decl, EVENT, Env, FAILURE, InitError, Lit, Module, REQUEST, Regex, Ret, RouteKinds, Str, Var,
    error,
};

use crate::{
    queries,
    who::{Account, Who},
};

/// The database could not tell.
const NOT_ASKED: i64 = -5;
/// Not a member.
const NOT_IN: i64 = -6;

/// The module.
pub struct Group {
    database: Database,
    members: Arc<Query>,
    use_domain: bool,
    /// The last row of the table first.
    expressions: Option<Vec<(Regex, i64)>>,
    multiple: bool,
}

/// Its parameters.
pub struct Params {
    db_url: Str,
    table: Str,
    user_column: Str,
    domain_column: Str,
    group_column: Str,
    use_domain: bool,
    re_table: Str,
    re_exp_column: Str,
    re_gid_column: Str,
    multiple_gid: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            table: Str::from_static("grp"),
            user_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            group_column: Str::from_static("grp"),
            use_domain: false,
            re_table: Str::EMPTY,
            re_exp_column: Str::from_static("reg_exp"),
            re_gid_column: Str::from_static("group_id"),
            multiple_gid: true,
        }
    }
}

/// Where its functions may be called.
fn routes() -> RouteKinds {
    REQUEST | FAILURE | BRANCH | EVENT
}

impl Module for Group {
    const NAME: &'static str = "group";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "is_user_in",
            ["user", "group"],
            is_user_in,
            "The user of Request-URI, To, From, Credentials, or the URI in an AVP, is a member of the group; -6 where not.",
        )
        .routes(routes())
        .waits()
        .kemi(2, "is_user_in")
        .example("if (is_user_in(\"From\", \"ld\")) { xlog(\"long distance\\n\"); }");
        d.func(
            "get_user_group",
            ["user", "output"],
            get_user_group,
            "Writes the groups whose expressions match sip:user@host to a variable, and returns how many there are.",
        )
        .routes(routes())
        .example("get_user_group(\"From\", \"$avp(gid)\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Group, InitError> {
        let mut tables = vec![(&params.table, 2)];
        if !params.re_table.is_empty() {
            tables.push((&params.re_table, 1));
        }
        let database = queries::open(env, &params.db_url, &tables)?;
        let members = Query::select(&params.table.text(), &[&params.group_column.text()])
            .when_eq(&params.user_column.text())
            .when_eq(&params.group_column.text());
        let members = if params.use_domain {
            members.when_eq(&params.domain_column.text())
        } else {
            members
        };
        let expressions = (!params.re_table.is_empty())
            .then(|| expressions(&params, &database))
            .transpose()?;
        Ok(Group {
            database,
            members: members.limit(1).build(),
            use_domain: params.use_domain,
            expressions,
            multiple: params.multiple_gid,
        })
    }
}

fn params(d: &mut Decl<Group>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("table", |p| &mut p.table, "The table of members.");
    d.param("user_column", |p| &mut p.user_column, "The column of users.");
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column of domains.",
    );
    d.param("group_column", |p| &mut p.group_column, "The column of groups.");
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "The domain of a member must fit too.",
    );
    d.param(
        "re_table",
        |p| &mut p.re_table,
        "The table of regular expressions, read at start; none where empty.",
    );
    d.param(
        "re_exp_column",
        |p| &mut p.re_exp_column,
        "The column of expressions.",
    );
    d.param(
        "re_gid_column",
        |p| &mut p.re_gid_column,
        "The column of the numbers of groups.",
    );
    d.param(
        "multiple_gid",
        |p| &mut p.multiple_gid,
        "All groups that match are given, not the first one only.",
    );
}

fn expressions(params: &Params, database: &Database) -> Result<Vec<(Regex, i64)>, InitError> {
    let columns = [&*params.re_exp_column.text(), &*params.re_gid_column.text()];
    let query = Query::select(&params.re_table.text(), &columns).build();
    let failed = |why: String| InitError::new(format!("table {}: {why}", params.re_table));
    let rows = database
        .run_blocking(&query, Vec::new())
        .map_err(|error| failed(error.to_string()))?;
    let mut out = Vec::with_capacity(rows.rows.len());
    for row in rows.rows.iter().rev() {
        let pattern = row.first().and_then(Value::text).filter(|text| !text.is_empty());
        let group = row.get(1).and_then(Value::int);
        let (Some(pattern), Some(group)) = (pattern, group) else {
            return Err(failed("a row has no expression or no group".to_owned()));
        };
        let regex = Regex::new(&pattern)
            .map_err(|error| failed(error.to_string()).help("correct the expression in the table"))?;
        out.push((regex, group));
    }
    Ok(out)
}

fn is_user_in(m: &Group, cx: &mut Cx, who: Lit<Who>, group: Str) -> Ret {
    let Some(account) = who.account(cx).filter(|account| !account.user.is_empty()) else {
        return Ret::FALSE;
    };
    let text = |text: &Str| Value::Text(text.detach());
    let mut values = vec![text(&account.user), text(&group)];
    if m.use_domain {
        values.push(text(&account.host));
    }
    let (database, query) = (m.database.clone(), m.members.clone());
    Ret::wait(move |_| {
        Box::pin(async move {
            match database.run(&query, values).await {
                Ok(rows) if rows.rows.is_empty() => Ret::Code(NOT_IN),
                Ok(_) => Ret::TRUE,
                Err(error) => queries::failed(&database, &error).code(NOT_ASKED).into(),
            }
        })
    })
}

fn get_user_group(m: &Group, cx: &mut Cx, who: Lit<Who>, output: Var) -> Ret {
    let Some(expressions) = &m.expressions else {
        error!("group", "get_user_group() needs the parameter re_table.");
        return Ret::FALSE;
    };
    let Some(account) = who.account(cx).filter(|account| !account.user.is_empty()) else {
        return Ret::FALSE;
    };
    let groups = matches(expressions, &account, m.multiple);
    for group in &groups {
        if let Err(fault) = output.set(cx, (*group).into()) {
            return fault.into();
        }
    }
    match i64::try_from(groups.len()) {
        Ok(0) | Err(_) => Ret::FALSE,
        Ok(count) => Ret::Code(count),
    }
}

/// The groups of `sip:user@host`, all of them or the first.
fn matches(expressions: &[(Regex, i64)], account: &Account, all: bool) -> Vec<i64> {
    let uri = [b"sip:".as_slice(), &account.user, b"@", &account.host].concat();
    let fitting = expressions.iter().filter(|(regex, _)| regex.is_match(&uri));
    let groups = fitting.map(|(_, group)| *group);
    groups.take(if all { usize::MAX } else { 1 }).collect()
}

#[cfg(test)]
mod tests {
    use kahea_db::{Rows, testing::fake};

    use super::*;

    fn read(rows: Vec<Vec<Value>>) -> Result<Vec<(Regex, i64)>, InitError> {
        let database = fake(move |_| Ok(Rows::from(rows.clone())));
        let params = Params {
            re_table: "re_grp".into(),
            ..Params::default()
        };
        expressions(&params, &database)
    }

    #[test]
    fn the_last_row_is_asked_first() {
        let row = |pattern: &'static str, group: i64| vec![Value::from(pattern), Value::Int(group)];
        let known = read(vec![row("^sip:a", 1), row("h$", 2), row("^sip:A@H$", 3)]).unwrap();
        let account = Account::of_uri(&"sip:a@h:5070".into()).unwrap();
        assert_eq!(matches(&known, &account, true), [3, 2, 1]);
        assert_eq!(matches(&known, &account, false), [3]);
        let other = Account::of_uri(&"sip:b@i".into()).unwrap();
        assert!(matches(&known, &other, true).is_empty());
    }

    #[test]
    fn a_broken_expression_is_refused_at_start() {
        assert!(read(vec![vec![Value::from("("), Value::Int(1)]]).is_err());
        assert!(read(vec![vec![Value::Null, Value::Int(1)]]).is_err());
        assert!(read(vec![]).unwrap().is_empty());
    }
}
