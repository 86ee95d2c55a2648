//! Module `alias_db`: other addresses of users, in a database.

use kahea_db::{Database, Query, Rows, Value};
use kahea_module::{
    Arg, ArgKind, ArgSource, BRANCH, Bind, BindError, Cx, Decl, EVENT, Env, FAILURE, Fault, InitError, Lit,
    Module, REPLY, REQUEST, Ret, Str, Target, Var, arg::Literal, error,
};
use kahea_sip::view::Uri;

use crate::{
    queries::{self, ByTable},
    who::Account,
};

/// The module.
pub struct AliasDb {
    database: Database,
    /// By the alias: without and with its domain.
    forth: [ByTable; 2],
    /// By the user: without and with the domain.
    back: [ByTable; 2],
    use_domain: bool,
    domain_prefix: Str,
}

/// Its parameters.
#[derive(Clone)]
pub struct Params {
    db_url: Str,
    user_column: Str,
    domain_column: Str,
    alias_user_column: Str,
    alias_domain_column: Str,
    use_domain: bool,
    domain_prefix: Str,
    append_branches: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: Str::from_static(queries::READ_ONLY_URL),
            user_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            alias_user_column: Str::from_static("alias_username"),
            alias_domain_column: Str::from_static("alias_domain"),
            use_domain: false,
            domain_prefix: Str::EMPTY,
            append_branches: false,
        }
    }
}

impl Module for AliasDb {
    const NAME: &'static str = "alias_db";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params(d);
        d.func(
            "alias_db_lookup",
            ["table", "flags"],
            lookup,
            "Looks the Request-URI up among the aliases of a table and replaces it with the user's address; flags: d without the domain, u with it, r from the user to the alias.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .kemi(1, "lookup")
        .kemi(2, "lookup_ex")
        .example("alias_db_lookup(\"dbaliases\", \"rd\");");
        d.func(
            "alias_db_find",
            ["table", "input", "output", "flags"],
            find,
            "Looks the URI in a variable up among the aliases of a table and writes the user's address to another one; flags as in alias_db_lookup().",
        )
        .routes(REQUEST | FAILURE | BRANCH | REPLY | EVENT)
        .waits()
        .example("alias_db_find(\"dbaliases\", \"$var(a)\", \"$var(b)\", \"r\");");
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<AliasDb, InitError> {
        let database = queries::open(env, &params.db_url, &[])?;
        Ok(AliasDb {
            database,
            forth: [by_table(&params, false, false), by_table(&params, false, true)],
            back: [by_table(&params, true, false), by_table(&params, true, true)],
            use_domain: params.use_domain,
            domain_prefix: params.domain_prefix,
        })
    }
}

fn params(d: &mut Decl<AliasDb>) {
    d.param("db_url", |p| &mut p.db_url, "The database.");
    d.param("user_column", |p| &mut p.user_column, "The column of users.");
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column of users' domains.",
    );
    d.param(
        "alias_user_column",
        |p| &mut p.alias_user_column,
        "The column of the users in aliases.",
    );
    d.param(
        "alias_domain_column",
        |p| &mut p.alias_domain_column,
        "The column of the domains in aliases.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "The domain must fit too, where no flag says otherwise.",
    );
    d.param(
        "domain_prefix",
        |p| &mut p.domain_prefix,
        "Is taken off the domain that is looked up, where it begins so.",
    );
    d.param(
        "append_branches",
        |p| &mut p.append_branches,
        "All addresses of an alias are taken: further ones become branches, or further values of the variable.",
    );
}

fn by_table(params: &Params, reverse: bool, with_domain: bool) -> ByTable {
    let params = params.clone();
    ByTable::new(move |table| {
        let user = [params.user_column.text(), params.domain_column.text()];
        let alias = [params.alias_user_column.text(), params.alias_domain_column.text()];
        let (wanted, given) = if reverse { (alias, user) } else { (user, alias) };
        let [name, domain] = &given;
        let query = Query::select(table, &wanted.each_ref().map(AsRef::as_ref)).when_eq(name);
        let query = if with_domain { query.when_eq(domain) } else { query };
        if params.append_branches {
            query
        } else {
            query.limit(1)
        }
    })
}

/// Flags of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    reverse: bool,
    with_domain: Option<bool>,
}

impl Literal for Flags {
    const WHAT: &'static str = "flags: d, u, r";

    fn parse(text: &str, _: &dyn Bind) -> Result<Flags, BindError> {
        let mut flags = Flags::default();
        for flag in text.chars() {
            match flag {
                'd' => flags.with_domain = Some(false),
                'u' => flags.with_domain = Some(true),
                'r' => flags.reverse = true,
                other => {
                    return Err(BindError::new(format!("there is no flag {other}"))
                        .help("give d (without the domain), u (with it), r (reverse), or several of them"));
                }
            }
        }
        Ok(flags)
    }
}

/// A variable that addresses can be written to: an AVP or a script variable.
struct Output(Var);

impl Output {
    fn check(var: Var) -> Result<Output, BindError> {
        let name = var.text().text().trim_start_matches(['$', '(']).to_owned();
        let fits = ["avp(", "var(", "xavp(", "shv("]
            .iter()
            .any(|kind| name.starts_with(kind));
        if fits && var.is_writable() {
            return Ok(Output(var));
        }
        Err(
            BindError::new(format!("an address cannot be written to {}", var.text()))
                .help("give $avp(name) or $var(name)"),
        )
    }
}

impl Arg for Output {
    const KIND: ArgKind = ArgKind::Var;
    type Fixed = Var;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Var, BindError> {
        Output::check(Var::fix(source, bind)?).map(|output| output.0)
    }

    fn get(fixed: &Var, _: &mut Cx) -> Result<Output, Fault> {
        Ok(Output(fixed.clone()))
    }

    fn from_value(value: Option<kahea_module::Value>, cx: &mut Cx) -> Result<Output, Fault> {
        Output::check(Var::from_value(value, cx)?).map_err(|error| Fault::script(error.message))
    }
}

impl AliasDb {
    /// The query for a URI with its values; `None` where the URI has no user.
    fn ask(&self, table: &Str, uri: &Str, flags: Option<Lit<Flags>>) -> Result<Option<Asked>, Fault> {
        let flags = flags.map_or(Flags::default(), |flags| *flags);
        let with_domain = flags.with_domain.unwrap_or(self.use_domain);
        let account = match Account::of_uri(uri) {
            Some(account) if !account.user.is_empty() => account.without_prefix(&self.domain_prefix),
            _ => return Ok(None),
        };
        let [plain, exact] = if flags.reverse { &self.back } else { &self.forth };
        let query = if with_domain { exact } else { plain }.on(table)?;
        let mut values = vec![Value::Text(account.user.detach())];
        if with_domain {
            values.push(Value::Text(account.host.detach()));
        }
        Ok(Some((query, values)))
    }
}

type Asked = (std::sync::Arc<Query>, Vec<Value>);

/// The addresses in the rows; those that make no URI are left out.
fn addresses(rows: &Rows) -> Vec<Str> {
    let address = |row: &kahea_db::Row| {
        let text = |at: usize| row.get(at).and_then(Value::text).unwrap_or_default();
        let (user, domain) = (text(0), text(1));
        let uri = [b"sip:".as_slice(), &user, b"@", &domain].concat();
        if user.is_empty() || Uri::parse(&uri).is_err() {
            error!(
                "alias_db",
                "A row has user '{user}' and domain '{domain}', which make no address."
            );
            return None;
        }
        Some(Str::from(uri))
    };
    rows.rows.iter().filter_map(address).collect()
}

fn lookup(m: &AliasDb, cx: &mut Cx, table: Str, flags: Option<Lit<Flags>>) -> Ret {
    let asked = match m.ask(&table, &cx.ruri(), flags) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Ret::FALSE,
        Err(fault) => return fault.into(),
    };
    find_then(m, asked, |cx, found| {
        let mut found = found.into_iter();
        let Some(first) = found.next() else {
            return Ret::FALSE;
        };
        if let Err(fault) = cx.set_ruri(first) {
            return fault.into();
        }
        cx.branches.extend(found.map(|uri| Target {
            ruri: Some(uri),
            q: Some(0),
            ..Target::default()
        }));
        Ret::TRUE
    })
}

fn find(m: &AliasDb, cx: &mut Cx, table: Str, input: Var, output: Output, flags: Option<Lit<Flags>>) -> Ret {
    let Some(uri) = input.get(cx).str() else {
        return Ret::FALSE;
    };
    let asked = match m.ask(&table, &uri, flags) {
        Ok(Some(asked)) => asked,
        Ok(None) => return Ret::FALSE,
        Err(fault) => return fault.into(),
    };
    find_then(m, asked, move |cx, found| {
        let any = !found.is_empty();
        for uri in found {
            if let Err(fault) = output.0.set(cx, uri.into()) {
                return fault.into();
            }
        }
        any.into()
    })
}

fn find_then(
    m: &AliasDb,
    (query, values): Asked,
    then: impl FnOnce(&mut Cx, Vec<Str>) -> Ret + 'static,
) -> Ret {
    let database = m.database.clone();
    Ret::wait(move |cx| {
        Box::pin(async move {
            match database.run(&query, values).await {
                Ok(rows) => then(cx, addresses(&rows)),
                Err(error) => queries::failed(&database, &error).into(),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::testing::fake;
    use kahea_module::testing::FakeBind;

    use super::*;

    fn module(params: Params) -> AliasDb {
        AliasDb {
            database: fake(|_| Ok(Rows::default())),
            forth: [by_table(&params, false, false), by_table(&params, false, true)],
            back: [by_table(&params, true, false), by_table(&params, true, true)],
            use_domain: params.use_domain,
            domain_prefix: params.domain_prefix,
        }
    }

    #[test]
    fn flags_are_letters() {
        let bind = FakeBind::default();
        let rd = Flags::parse("rd", &bind).unwrap();
        assert_eq!((rd.reverse, rd.with_domain), (true, Some(false)));
        assert!(Flags::parse("x", &bind).is_err());
        assert_eq!(Flags::parse("", &bind).unwrap(), Flags::default());
    }

    #[test]
    fn values_are_bound_and_the_prefix_is_taken_off() {
        let m = module(Params {
            use_domain: true,
            domain_prefix: "sip.".into(),
            ..Params::default()
        });
        let (query, values) = m
            .ask(&"t".into(), &"sip:a'b@sip.h".into(), None)
            .unwrap()
            .unwrap();
        assert_eq!(values, [Value::from("a'b"), Value::from("h")]);
        assert_eq!(query.conditions().len(), 2);
        assert_eq!(query.most(), Some(1));
        assert!(m.ask(&"t".into(), &"sip:h".into(), None).unwrap().is_none());
        assert!(m.ask(&Str::EMPTY, &"sip:a@h".into(), None).is_err());
    }

    #[test]
    fn only_rows_that_make_addresses_count() {
        let row = |user: &'static str, domain: &'static str| vec![Value::from(user), Value::from(domain)];
        let rows = Rows::from(vec![row("", "h"), row("a", ""), row("b", "h")]);
        assert_eq!(addresses(&rows), ["sip:b@h"]);
    }

    #[test]
    fn addresses_go_to_script_variables_only() {
        let bind = FakeBind::default();
        let source = ArgSource::Text("$var(x)".into());
        assert!(Output::fix(Some(&source), &bind).is_ok());
        let fixed = Var::new("$ru".into(), |cx| cx.ruri().into(), None);
        assert!(Output::check(fixed).is_err());
    }
}
