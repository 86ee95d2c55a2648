//! `avp_db_load()`, `avp_db_store()`, `avp_db_delete()`, `avp_db_query()`.

use std::sync::Arc;

use kahea_db::{
    Query, Row, Rows, Statement, Value as DbValue,
    script::{self, Unsafe},
    sql::Dialect,
};
use kahea_module::{
    Bind, BindError, Cx, Fault, Format, Lit, Literal, Ret, Str, Value,
    avp::{Avp, AvpName},
    warning,
};

use super::{
    super::{
        Avpops,
        names::{AvpSpec, CLASS, Named},
    },
    Store,
    spec::{IN_DATABASE, Owner, Source, What, avp_of, name_text, type_of},
};

/// What a call is about, looked up.
struct Call {
    store: Arc<Store>,
    what: Lit<What>,
    named: Option<Named>,
    owner: Owner,
}

impl Call {
    fn new(m: &Avpops, cx: &mut Cx, function: &str, source: &Source, what: Lit<What>) -> Result<Call, Fault> {
        let store = m.store(function)?.clone();
        let scheme = what.scheme(&store)?;
        let owner = source.owner(&store, scheme, cx)?;
        let named = what.named(m.aliases(cx), cx)?;
        Ok(Call {
            store,
            what,
            named,
            owner,
        })
    }
}

/// Waits for a count of AVPs; true where there are any.
fn wait_for_count(count: impl AsyncFnOnce(&mut Cx) -> Result<usize, Fault> + 'static) -> Ret {
    Ret::wait(move |cx| Box::pin(async move { count(cx).await.map(|count| count > 0).into() }))
}

pub(super) fn load(m: &Avpops, cx: &mut Cx, source: Lit<Source>, what: Lit<What>) -> Result<Ret, Fault> {
    let call = Call::new(m, cx, "avp_db_load", &source, what)?;
    Ok(wait_for_count(async move |cx: &mut Cx| load_now(cx, call).await))
}

async fn load_now(cx: &mut Cx, call: Call) -> Result<usize, Fault> {
    let Call {
        store,
        what,
        named,
        owner,
    } = call;
    let scheme = what.scheme(&store)?;
    let columns: Vec<&Str> = match scheme {
        Some(scheme) => vec![scheme.value.as_ref().unwrap_or(&store.value_column)],
        None => vec![&store.value_column, &store.attribute_column, &store.type_column],
    };
    let make = |table: &str| {
        let names: Vec<_> = columns.iter().map(|name| name.text()).collect();
        Query::select(table, &names.iter().map(|name| &**name).collect::<Vec<_>>())
    };
    let (query, values) = what.query(&store, scheme, named.as_ref(), owner, make);
    let rows = store.database.run(&query, values).await?;
    let flags = what.flags(named.as_ref()) | IN_DATABASE;
    let mut count = 0_usize;
    for row in &rows.rows {
        let loaded = match (scheme, &named) {
            (Some(scheme), Some(named)) => {
                of_scheme(row, scheme.is_number).map(|value| (named.name.clone(), value))
            }
            _ => of_table(row),
        };
        match loaded {
            Some((name, value)) => {
                add(cx, name, value, flags)?;
                count = count.saturating_add(1);
            }
            None => warning!(
                "avpops",
                "A row of table {} holds no value of its type: it is left out.",
                query.table()
            ),
        }
    }
    Ok(count)
}

fn of_scheme(row: &Row, is_number: bool) -> Option<Value> {
    let value = row.first()?;
    match is_number {
        true => value.int().map(Value::Int),
        false => value.text().map(Value::Str),
    }
}

fn of_table(row: &Row) -> Option<(AvpName, Value)> {
    match row.as_slice() {
        [value, attribute, kind] => avp_of(attribute, kind, value),
        _ => None,
    }
}

fn add(cx: &mut Cx, name: AvpName, value: Value, flags: u32) -> Result<(), Fault> {
    cx.spend_bytes(size_of::<Avp>())?;
    cx.avps.add(CLASS, name.clone(), value);
    if let Some(avp) = cx.avps.all_mut(CLASS, &name).next() {
        avp.flags = flags;
    }
    Ok(())
}

pub(super) fn store(m: &Avpops, cx: &mut Cx, source: Lit<Source>, what: Lit<What>) -> Result<Ret, Fault> {
    let call = Call::new(m, cx, "avp_db_store", &source, what)?;
    Ok(wait_for_count(async move |cx: &mut Cx| store_now(cx, call).await))
}

/// Stores what the database does not hold yet.
async fn store_now(cx: &mut Cx, call: Call) -> Result<usize, Fault> {
    let Call {
        store,
        what,
        named,
        owner,
    } = call;
    let scheme = what.scheme(&store)?;
    let fresh = |avp: &Avp| avp.flags & IN_DATABASE == 0 && what.picks(avp, named.as_ref());
    let avps: Vec<Avp> = cx.avps.iter().filter(|avp| fresh(avp)).cloned().collect();
    let columns: Vec<&Str> = match scheme {
        Some(scheme) => vec![scheme.value.as_ref().unwrap_or(&store.value_column)],
        None => vec![&store.attribute_column, &store.value_column, &store.type_column],
    };
    let insert = what.insert(&store, scheme, &owner, &columns);
    let statement = |avp: &Avp| {
        let mut values: Vec<DbValue> = owner.iter().map(|(_, value)| value.clone()).collect();
        let value = DbValue::Text(avp.value.str_or_empty());
        match scheme {
            Some(_) => values.push(value),
            None => values.extend([
                DbValue::Text(name_text(&avp.name)),
                value,
                DbValue::Int(type_of(avp)),
            ]),
        }
        Statement::Query(insert.clone(), values)
    };
    if avps.is_empty() {
        return Ok(0);
    }
    store
        .database
        .run_all(avps.iter().map(statement).collect())
        .await?;
    for stored in &avps {
        for avp in cx.avps.all_mut(stored.class, &stored.name) {
            if avp.value == stored.value {
                avp.flags |= IN_DATABASE;
            }
        }
    }
    Ok(avps.len())
}

pub(super) fn delete(m: &Avpops, cx: &mut Cx, source: Lit<Source>, what: Lit<What>) -> Result<Ret, Fault> {
    let Call {
        store,
        what,
        named,
        owner,
    } = Call::new(m, cx, "avp_db_delete", &source, what)?;
    let scheme = what.scheme(&store)?;
    let (query, values) = what.query(&store, scheme, named.as_ref(), owner, Query::delete);
    Ok(Ret::wait(move |_| {
        Box::pin(async move {
            match store.database.run(&query, values).await {
                Ok(_) => Ret::TRUE,
                Err(error) => Fault::from(error).into(),
            }
        })
    }))
}

/// Where the columns of a query go: `$avp(a);$avp(b)`.
pub(super) struct Targets(Vec<AvpSpec>);

impl Literal for Targets {
    const WHAT: &'static str = "AVPs such as $avp(a);$avp(b)";

    fn parse(text: &str, bind: &dyn Bind) -> Result<Targets, BindError> {
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        let specs = parts
            .map(|part| AvpSpec::parse(part, bind))
            .collect::<Result<Vec<_>, _>>()?;
        match specs.is_empty() {
            true => Err(BindError::new("no AVP is named").help("write $avp(a);$avp(b)")),
            false => Ok(Targets(specs)),
        }
    }
}

pub(super) fn query(
    m: &Avpops,
    cx: &mut Cx,
    query: Format,
    targets: Option<Lit<Targets>>,
) -> Result<Ret, Fault> {
    let store = m.store("avp_db_query")?.clone();
    let dialect = store.database.features().dialect.unwrap_or(Dialect::Sqlite);
    let text = script::sql_of(&query, dialect, Unsafe::Escape, cx)?;
    let aliases = m.aliases(cx).clone();
    let specs = targets.iter().flat_map(|targets| targets.0.iter());
    let named = specs
        .map(|spec| spec.resolve(&aliases, cx))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            match store.database.sql(text, Vec::new()).await {
                Ok(rows) if rows.rows.is_empty() => Ret::Code(-2),
                Ok(rows) => take(cx, &rows, &named).map(|()| true).into(),
                Err(error) => Fault::from(error).into(),
            }
        })
    }))
}

/// The first row becomes the newest values; NULL, and columns that no AVP is named for, are left out.
fn take(cx: &mut Cx, rows: &Rows, named: &[Named]) -> Result<(), Fault> {
    for row in rows.rows.iter().rev() {
        for (at, value) in row.iter().enumerate() {
            let value = match value {
                DbValue::Null => continue,
                DbValue::Int(n) | DbValue::Time(n) => Value::Int(*n),
                other => other.text().into(),
            };
            match (named.get(at), named.is_empty()) {
                (Some(named), _) => named.add(cx, value)?,
                (None, true) => {
                    let number = i64::try_from(at.saturating_add(1)).unwrap_or(i64::MAX);
                    add(cx, AvpName::Int(number), value, 0)?;
                }
                (None, false) => {}
            }
        }
    }
    Ok(())
}
