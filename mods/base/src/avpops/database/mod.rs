//! `avp_db_*()`: AVPs in a database.

mod functions;
mod spec;

use kahea_db::Database;
use kahea_module::{BindError, Decl, Env, Fault, InitError, Str, Value};

use super::{Avpops, routes};

/// The parameters of the module; all are about its table.
pub struct Params {
    db_url: Option<Str>,
    avp_table: Option<Str>,
    use_domain: bool,
    uuid_column: Str,
    attribute_column: Str,
    value_column: Str,
    type_column: Str,
    username_column: Str,
    domain_column: Str,
    db_scheme: Vec<Scheme>,
}

impl Default for Params {
    fn default() -> Params {
        Params {
            db_url: None,
            avp_table: None,
            use_domain: false,
            uuid_column: Str::from_static("uuid"),
            attribute_column: Str::from_static("attribute"),
            value_column: Str::from_static("value"),
            type_column: Str::from_static("type"),
            username_column: Str::from_static("username"),
            domain_column: Str::from_static("domain"),
            db_scheme: Vec::new(),
        }
    }
}

impl Params {
    /// Opens the database, where there is one.
    ///
    /// # Errors
    /// A URL without a table, or the database cannot be reached.
    pub fn open(self, env: &Env<'_>) -> Result<Option<Store>, InitError> {
        let Some(url) = self.db_url else {
            return Ok(None);
        };
        let Some(table) = self.avp_table else {
            return Err(InitError::new("avpops has a db_url but no avp_table")
                .help("add modparam(\"avpops\", \"avp_table\", \"usr_preferences\")"));
        };
        Ok(Some(Store {
            database: Database::open(env, &url.text())?,
            table,
            use_domain: self.use_domain,
            uuid_column: self.uuid_column,
            attribute_column: self.attribute_column,
            value_column: self.value_column,
            type_column: self.type_column,
            username_column: self.username_column,
            domain_column: self.domain_column,
            schemes: self.db_scheme,
        }))
    }
}

/// The database, its table, and the names of its columns.
pub struct Store {
    database: Database,
    table: Str,
    use_domain: bool,
    uuid_column: Str,
    attribute_column: Str,
    value_column: Str,
    type_column: Str,
    username_column: Str,
    domain_column: Str,
    schemes: Vec<Scheme>,
}

/// A column of another table that is loaded into an AVP. Columns that it does not name are those of the module.
#[derive(Clone, Debug, Default, PartialEq)]
struct Scheme {
    name: Str,
    table: Option<Str>,
    uuid: Option<Str>,
    username: Option<Str>,
    domain: Option<Str>,
    value: Option<Str>,
    /// The value is a number.
    is_number: bool,
}

impl Scheme {
    fn parse(text: &str) -> Result<Scheme, BindError> {
        let wrong = |what: String| {
            BindError::new(what)
                .help("write name:table=subscriber;uuid_col=uuid;value_col=first_name;value_type=string")
        };
        let (name, elements) = text
            .split_once(':')
            .ok_or_else(|| wrong(format!("'{text}' is no scheme")))?;
        let mut out = Scheme {
            name: Str::from(name.trim()),
            ..Scheme::default()
        };
        for element in elements
            .split(';')
            .map(str::trim)
            .filter(|element| !element.is_empty())
        {
            let (key, value) = element
                .split_once('=')
                .ok_or_else(|| wrong(format!("'{element}' has no value")))?;
            let (key, value) = (key.trim(), value.trim());
            let text = Some(Str::from(value));
            match (key, value) {
                ("table", _) => out.table = text,
                ("uuid_col", _) => out.uuid = text,
                ("username_col", _) => out.username = text,
                ("domain_col", _) => out.domain = text,
                ("value_col", _) => out.value = text,
                ("value_type", "integer") => out.is_number = true,
                ("value_type", "string") => out.is_number = false,
                ("value_type", other) => {
                    return Err(wrong(format!("value_type={other} is neither integer nor string")));
                }
                (other, _) => return Err(wrong(format!("a scheme has no element {other}"))),
            }
        }
        Ok(out)
    }
}

impl Avpops {
    fn store(&self, function: &str) -> Result<&std::sync::Arc<Store>, Fault> {
        self.database.as_ref().ok_or_else(|| {
            Fault::backend(format!(
                "{function}() needs a database: set db_url and avp_table of avpops"
            ))
        })
    }
}

/// Declares parameters and functions.
pub fn declare(d: &mut Decl<Avpops>) {
    d.param(
        "db_url",
        |p| &mut p.db_url,
        "The database of avp_db_load() and its siblings, `mysql://user:password@host/name`.",
    );
    d.param(
        "avp_table",
        |p| &mut p.avp_table,
        "The table with the AVPs; needed where db_url is set.",
    );
    d.param(
        "use_domain",
        |p| &mut p.use_domain,
        "Whether the domain of a URI is part of the key, where not 0.",
    );
    d.param(
        "uuid_column",
        |p| &mut p.uuid_column,
        "The column with the unique id of the user.",
    );
    d.param(
        "attribute_column",
        |p| &mut p.attribute_column,
        "The column with the name of the AVP.",
    );
    d.param(
        "value_column",
        |p| &mut p.value_column,
        "The column with the value of the AVP.",
    );
    d.param("type_column", |p| &mut p.type_column, "The column with the type: 0 text named by a text, 1 number named by a text, 2 and 3 the same named by a number.");
    d.param(
        "username_column",
        |p| &mut p.username_column,
        "The column with the user.",
    );
    d.param(
        "domain_column",
        |p| &mut p.domain_column,
        "The column with the domain.",
    );
    d.param_fn(
        "db_scheme",
        "string",
        |params, value: &Value, _| {
            params.db_scheme.push(Scheme::parse(&value.str_or_empty().text())?);
            Ok(())
        },
        "Another table, `name:table=subscriber;uuid_col=uuid;value_col=first_name;value_type=string`; may be given several times.",
    );
    functions(d);
}

fn functions(d: &mut Decl<Avpops>) {
    let names = ["source", "avp"];
    d.func(
        "avp_db_load",
        names,
        functions::load,
        "Loads AVPs of a user or domain from the database; false where there are none.",
    )
    .routes(routes())
    .waits();
    d.func(
        "avp_db_store",
        names,
        functions::store,
        "Stores AVPs of a user or domain that were not loaded or stored before; false where there are none.",
    )
    .routes(routes())
    .waits();
    d.func(
        "avp_db_delete",
        names,
        functions::delete,
        "Deletes AVPs of a user or domain from the database.",
    )
    .routes(routes())
    .waits();
    d.func(
        "avp_db_query",
        ["query", "avps"],
        functions::query,
        "Runs SQL and puts the columns into these AVPs, or $avp(i:1), $avp(i:2), …; -2 where there are no rows.",
    )
    .routes(routes())
    .waits();
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use kahea_db::{Rows, Statement, Value as DbValue, testing::fake};
    use kahea_module::{
        Cx, Lit, Literal, Ret,
        avp::{AvpClass, AvpName},
        testing::Server,
    };
    use parking_lot::Mutex;

    use super::{
        spec::{Source, What},
        *,
    };

    type Seen = Arc<Mutex<Vec<(String, Vec<DbValue>)>>>;

    fn avpops(rows: Rows) -> (Avpops, Seen) {
        let seen = Seen::default();
        let log = seen.clone();
        let database = fake(move |statement| {
            if let Statement::Query(query, values) = statement {
                let text = query.sql(kahea_db::sql::Dialect::Sqlite).to_string();
                log.lock().push((text, values.clone()));
            }
            Ok(rows.clone())
        });
        let name = Str::from_static;
        let store = Store {
            database,
            table: name("usr_preferences"),
            use_domain: true,
            uuid_column: name("uuid"),
            attribute_column: name("attribute"),
            value_column: name("value"),
            type_column: name("type"),
            username_column: name("username"),
            domain_column: name("domain"),
            schemes: vec![
                Scheme::parse("age:table=subscriber;value_col=age;value_type=integer").expect("a scheme"),
            ],
        };
        let module = Avpops {
            database: Some(Arc::new(store)),
            aliases: OnceLock::new(),
        };
        (module, seen)
    }

    fn lit<T: Literal>(cx: &mut Cx, text: &str) -> Lit<T> {
        let value = Some(Value::Str(Str::from(text)));
        <Lit<T> as kahea_module::Arg>::from_value(value, cx).expect("it is read")
    }

    async fn run(cx: &mut Cx, asked: Result<Ret, Fault>) -> i64 {
        match asked {
            Ok(Ret::Wait(later)) => match later(cx).await {
                Ret::Code(code) => code,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_stored_is_not_stored_again() {
        let (m, seen) = avpops(Rows::default());
        let mut cx = Server::default().invite();
        for n in [5, 6] {
            cx.avps
                .add(AvpClass::FromUser, AvpName::Int(n), Value::from("it's"));
        }
        let (source, what) = (lit::<Source>(&mut cx, "sip:a@b/uri"), lit::<What>(&mut cx, "i"));
        let asked = functions::store(&m, &mut cx, source.clone(), what.clone());
        assert_eq!(run(&mut cx, asked).await, 1);
        let asked = functions::store(&m, &mut cx, source, what);
        assert_eq!(run(&mut cx, asked).await, -1);
        let seen = seen.lock();
        assert_eq!(seen.len(), 2);
        let (text, values) = &seen[0];
        assert!(
            text.contains("(\"username\", \"domain\", \"attribute\", \"value\", \"type\")"),
            "{text}"
        );
        assert_eq!(
            *values,
            ["a".into(), "b".into(), "6".into(), "it's".into(), DbValue::Int(2)]
        );
    }

    #[tokio::test]
    async fn only_names_of_a_kind_are_deleted() {
        let (m, seen) = avpops(Rows::default());
        let mut cx = Server::default().invite();
        for (what, wanted) in [
            ("i", "\"type\" >= ?"),
            ("s", "\"type\" < ?"),
            ("a", "\"uuid\" = ?"),
        ] {
            let (source, what) = (lit::<Source>(&mut cx, "id"), lit::<What>(&mut cx, what));
            let asked = functions::delete(&m, &mut cx, source, what);
            assert_eq!(run(&mut cx, asked).await, 1);
            let text = seen.lock().last().expect("a statement").0.clone();
            assert!(text.starts_with("DELETE") && text.ends_with(wanted), "{text}");
        }
    }

    #[tokio::test]
    async fn a_scheme_gives_its_column() {
        let rows = Rows::from(vec![vec![DbValue::from("33")]]);
        let (m, seen) = avpops(rows);
        let mut cx = Server::default().invite();
        let source = lit::<Source>(&mut cx, "id");
        let what = lit::<What>(&mut cx, "$avp(age)/$age");
        let asked = functions::load(&m, &mut cx, source, what);
        assert_eq!(run(&mut cx, asked).await, 1);
        assert_eq!(
            seen.lock()[0].0,
            "SELECT \"age\" FROM \"subscriber\" WHERE \"uuid\" = ?"
        );
        let name = AvpName::Str(Str::from("age"));
        assert_eq!(
            cx.avps.get(AvpClass::FromUser, &name, kahea_module::Index::None),
            Value::Int(33)
        );
    }

    #[test]
    fn without_a_database_the_fault_says_so() {
        let m = Avpops::default();
        let mut cx = Server::default().invite();
        let (source, what) = (lit::<Source>(&mut cx, "id"), lit::<What>(&mut cx, "a"));
        let fault = functions::load(&m, &mut cx, source, what).expect_err("no database");
        assert!(fault.text.text().contains("db_url"));
        for broken in ["x", "x:table", "x:nope=1", "x:value_type=float"] {
            assert!(Scheme::parse(broken).is_err(), "{broken}");
        }
    }
}
