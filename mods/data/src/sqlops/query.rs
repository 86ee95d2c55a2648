//! `sql_query()`, `sql_xquery()`, `sql_pvquery()`, `sql_query_async()`.

use kahea_db::{Answer, Error, Rows, Statement, Value as DbValue, script};
use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Format, Lit, Literal, Ret, Str, Value, Var, error,
    xavp::{XValue, Xavps},
};

use super::{
    Sqlops,
    connection::{Connection, ConnectionArg},
    results::Results,
};

pub(super) fn declare(d: &mut Decl<Sqlops>) {
    d.func(
        "sql_query",
        ["connection", "query", "result"],
        query,
        "Runs SQL and keeps its rows for $dbr: 1 with rows, 2 without, 3 where no result is named, -1 where it failed, -2 where the database is away.",
    )
    .kemi(3, "sql_query")
    .kemi(2, "sql_query")
    .waits()
    .example("sql_query(\"ca\", \"select 1\", \"ra\");");
    d.func(
        "sql_xquery",
        ["connection", "query", "xavp"],
        xquery,
        "Runs SQL and puts each row into the xavp, with a field for each column.",
    )
    .kemi(3, "sql_xquery")
    .waits();
    d.func(
        "sql_pvquery",
        ["connection", "query", "variables"],
        pvquery,
        "Runs SQL and assigns the columns to these variables, the last row first.",
    )
    .kemi(3, "sql_pvquery")
    .waits();
    d.func(
        "sql_query_async",
        ["connection", "query"],
        query_async,
        "Runs SQL beside the script, which does not wait for it; an error is logged.",
    )
    .kemi(2, "sql_query_async");
}

/// A query that is ready to be sent.
struct Prepared {
    connection: Connection,
    text: Str,
    /// Of the text, for logs.
    shown: String,
}

impl Prepared {
    fn new(m: &Sqlops, cx: &mut Cx, connection: &ConnectionArg, query: &Format) -> Result<Prepared, Fault> {
        let connection = connection.resolve(m)?.clone();
        let text = script::sql_of(query, connection.dialect, m.policy, cx)?;
        if text.as_bytes().trim_ascii().is_empty() {
            return Err(Fault::script("the query is empty"));
        }
        let shown = m.shown(&text);
        Ok(Prepared {
            connection,
            text,
            shown,
        })
    }

    /// Waits for the answer, and notes how many rows it was about.
    async fn run(self, cx: &mut Cx) -> Result<Rows, Fault> {
        let Prepared {
            connection,
            text,
            shown,
        } = self;
        let answer = connection.database.sql(text, Vec::new()).await;
        Results::of(cx).note(&connection, &answer);
        answer.map_err(|error| fault(&connection, &shown, &error))
    }
}

fn fault(connection: &Connection, shown: &str, error: &Error) -> Fault {
    let text = format!("connection {}: {error} [{shown}]", connection.name);
    let code = if matches!(error, Error::Unavailable(_)) {
        -2
    } else {
        -1
    };
    let fault = match error.is_passing() {
        true => Fault::backend(text),
        false => Fault::script(text),
    };
    fault.code(code)
}

fn query(
    m: &Sqlops,
    cx: &mut Cx,
    connection: ConnectionArg,
    query: Format,
    result: Option<Str>,
) -> Result<Ret, Fault> {
    if let Some(name) = &result {
        Results::of(cx).make_room(name, m.results_maxsize)?;
    }
    let prepared = Prepared::new(m, cx, &connection, &query)?;
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            match prepared.run(cx).await {
                Ok(rows) => keep(cx, result, rows).into(),
                Err(fault) => fault.into(),
            }
        })
    }))
}

fn keep(cx: &mut Cx, result: Option<Str>, rows: Rows) -> i64 {
    let none = rows.rows.is_empty();
    match result {
        _ if none => 2,
        None => 3,
        Some(name) => {
            Results::of(cx).put(&name, rows);
            1
        }
    }
}

fn xquery(
    m: &Sqlops,
    cx: &mut Cx,
    connection: ConnectionArg,
    query: Format,
    xavp: Str,
) -> Result<Ret, Fault> {
    let prepared = Prepared::new(m, cx, &connection, &query)?;
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            match prepared.run(cx).await {
                Ok(rows) => add_rows(cx, &xavp, &rows).into(),
                Err(fault) => fault.into(),
            }
        })
    }))
}

/// Each row stands before those that were there, the first one first.
fn add_rows(cx: &mut Cx, name: &Str, rows: &Rows) -> i64 {
    for row in rows.rows.iter().rev() {
        let mut fields = Xavps::new();
        for (column, value) in rows.columns.iter().zip(row).rev() {
            fields.add(column.clone(), XValue::from(script_value(value)));
        }
        cx.xavps.add(name.clone(), XValue::List(fields));
    }
    if rows.rows.is_empty() { 2 } else { 1 }
}

/// Variables, divided by commas or semicolons.
struct Targets(Vec<Target>);

struct Target {
    var: Var,
    /// NULL leaves an AVP as it is.
    is_avp: bool,
}

impl Literal for Targets {
    const WHAT: &'static str = "variables such as $var(a), $avp(b)";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Targets, BindError> {
        let mut out = Vec::new();
        for name in split(text) {
            let var = bind.var(name)?;
            if !var.is_writable() {
                return Err(
                    BindError::new(format!("{name} cannot be assigned")).help("name another variable")
                );
            }
            let is_avp = name.starts_with("$avp(") || name.starts_with("$(avp(");
            out.push(Target { var, is_avp });
        }
        match out.is_empty() {
            true => Err(BindError::new("no variable is named").help("write $var(a), $avp(b)")),
            false => Ok(Targets(out)),
        }
    }
}

/// At commas and semicolons outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let parts = text.split(move |c: char| {
        match c {
            '(' | '{' | '[' => depth = depth.saturating_add(1),
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            ',' | ';' if depth == 0 => return true,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn pvquery(
    m: &Sqlops,
    cx: &mut Cx,
    connection: ConnectionArg,
    query: Format,
    targets: Lit<Targets>,
) -> Result<Ret, Fault> {
    let prepared = Prepared::new(m, cx, &connection, &query)?;
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            match prepared.run(cx).await {
                Ok(rows) => assign(cx, &targets, &rows).into(),
                Err(fault) => fault.into(),
            }
        })
    }))
}

fn assign(cx: &mut Cx, targets: &Targets, rows: &Rows) -> Result<i64, Fault> {
    if rows.rows.is_empty() {
        return Ok(2);
    }
    let (columns, variables) = (rows.columns.len(), targets.0.len());
    if columns > variables {
        return Err(Fault::script(format!(
            "the query gives {columns} columns and {variables} variables are named"
        )));
    }
    for row in rows.rows.iter().rev() {
        for (target, value) in targets.0.iter().zip(row) {
            match script_value(value) {
                Value::Null if target.is_avp => {}
                value => target.var.set(cx, value)?,
            }
        }
    }
    Ok(1)
}

fn query_async(m: &Sqlops, cx: &mut Cx, connection: ConnectionArg, query: Format) -> Result<bool, Fault> {
    let Prepared {
        connection,
        text,
        shown,
    } = Prepared::new(m, cx, &connection, &query)?;
    let done = {
        let connection = connection.clone();
        move |answer: Answer| {
            if let Err(problem) = answer {
                error!("sqlops", "{}.", fault(&connection, &shown, &problem));
            }
        }
    };
    // The text outlives the message.
    let statement = Statement::Sql(text.detach(), Vec::new());
    connection.database.run_later(statement, done);
    Ok(true)
}

/// A value of a column as scripts see it: moments are seconds since 1970, fractions are text.
pub(super) fn script_value(value: &DbValue) -> Value {
    match value {
        DbValue::Null => Value::Null,
        DbValue::Int(n) | DbValue::Time(n) => Value::Int(*n),
        DbValue::Real(_) => value.text().into(),
        DbValue::Text(text) | DbValue::Blob(text) => Value::Str(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{Arg, Index, avp::AvpClass, avp::AvpName, testing::FakeBind, testing::Server};

    use super::*;
    use crate::sqlops::tests::sqlops;

    fn rows() -> Rows {
        Rows {
            columns: [Str::from("id"), Str::from("name")].into(),
            rows: vec![
                vec![DbValue::Int(1), DbValue::from("one")],
                vec![DbValue::Int(2), DbValue::Null],
            ],
            affected: 0,
            last_id: None,
        }
    }

    #[tokio::test]
    async fn codes_tell_rows_results_and_errors() {
        let m = sqlops(|statement| match statement {
            Statement::Sql(text, _) if *text == "rows" => Ok(rows()),
            Statement::Sql(text, _) if *text == "away" => Err(Error::Unavailable("no".into())),
            Statement::Sql(text, _) if *text == "bad" => Err(Error::Refused("syntax".into())),
            _ => Ok(Rows::default()),
        });
        let mut cx = Server::default().invite();
        let cases = [
            ("rows", Some("ra"), 1),
            ("rows", None, 3),
            ("update", Some("ra"), 2),
            ("update", None, 2),
            ("bad", Some("ra"), -1),
            ("away", Some("ra"), -2),
        ];
        for (text, result, wanted) in cases {
            let connection = ConnectionArg::from_value(Some(Value::from("ca")), &mut cx).expect("a name");
            let asked = query(
                &m,
                &mut cx,
                connection,
                Format::constant(text),
                result.map(Str::from),
            );
            let Ok(Ret::Wait(later)) = asked else {
                panic!("{text} has to wait");
            };
            let code = match later(&mut cx).await {
                Ret::Code(code) => code,
                Ret::Fault(fault) => fault.code,
                other => panic!("{other:?}"),
            };
            assert_eq!(code, wanted, "{text}");
        }
        assert_eq!(
            cx.extra::<Results>()
                .rows(&Str::from("ra"))
                .map(|rows| rows.rows.len()),
            None
        );
    }

    #[test]
    fn an_unknown_connection_and_an_empty_query_are_refused() {
        let m = sqlops(|_| Ok(rows()));
        let mut cx = Server::default().invite();
        let mut ask = |connection: &'static str, text: &'static str| {
            let connection =
                ConnectionArg::from_value(Some(Value::from(connection)), &mut cx).expect("a name");
            query(&m, &mut cx, connection, Format::constant(text), None).map(|_| ())
        };
        assert!(ask("cb", "select 1").is_err());
        assert!(ask("ca", "  ").is_err());
        assert!(ask("ca", "select 1").is_ok());
    }

    #[test]
    fn rows_become_xavps_before_those_that_are_there() {
        let mut cx = Server::default().invite();
        let name = Str::from("ra");
        cx.xavps.add(name.clone(), XValue::Int(9));
        assert_eq!(add_rows(&mut cx, &name, &rows()), 1);
        let field = |cx: &Cx, at: usize, field: &[u8]| match &cx.xavps.get(b"ra", at).expect("a row").value {
            XValue::List(fields) => fields.get(field, 0).expect("a field").value.clone(),
            other => other.clone(),
        };
        assert_eq!(field(&cx, 0, b"name"), XValue::Str(Str::from("one")));
        assert_eq!(field(&cx, 1, b"id"), XValue::Int(2));
        assert_eq!(field(&cx, 1, b"name"), XValue::Null);
        assert_eq!(field(&cx, 2, b""), XValue::Int(9));
        assert_eq!(add_rows(&mut cx, &name, &Rows::default()), 2);
    }

    #[test]
    fn variables_take_the_first_row_last() {
        let bind = FakeBind::default();
        let mut cx = Server::default().invite();
        let targets = Targets::parse("$var(a); $var(b)", &bind).expect("variables");
        assert_eq!(assign(&mut cx, &targets, &rows()), Ok(1));
        let get = |cx: &mut Cx, name: &str| bind.var(name).expect("a variable").get(cx);
        assert_eq!(get(&mut cx, "$var(a)"), Value::Int(1));
        assert_eq!(get(&mut cx, "$var(b)"), Value::from("one"));
        let few = Targets::parse("$var(a)", &bind).expect("variables");
        assert!(assign(&mut cx, &few, &rows()).is_err());
        assert_eq!(assign(&mut cx, &few, &Rows::default()), Ok(2));
        assert!(Targets::parse("", &bind).is_err());
        assert_eq!(
            split("$var(a), $(avp(x)[0]);$xavp(a[0]=>b)"),
            ["$var(a)", "$(avp(x)[0])", "$xavp(a[0]=>b)"]
        );
        let name = AvpName::Str(Str::from("none"));
        assert_eq!(cx.avps.get(AvpClass::FromUser, &name, Index::None), Value::Null);
    }
}
