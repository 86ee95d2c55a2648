//! What statements do to a table.

use std::cmp::Ordering;

use kahea_db::{Done, Error, Kind as What, Op, Query, Row, Rows, Value, schema};
use kahea_module::Str;

use super::table::{Column, Kind, Table};

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) table: Str,
    pub(crate) work: Work,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    Select {
        /// All where empty.
        columns: Vec<Str>,
        filter: Filter,
        /// Columns, and whether descending.
        order: Vec<(Str, bool)>,
        most: Option<usize>,
    },
    Insert(Vec<(Str, Value)>),
    /// Changes the row with the same keys, or adds one.
    Replace {
        values: Vec<(Str, Value)>,
        keys: Vec<Str>,
    },
    Update {
        values: Vec<(Str, Value)>,
        filter: Filter,
    },
    Delete(Filter),
}

impl Work {
    pub(crate) fn changes(&self) -> bool {
        !matches!(self, Work::Select { .. })
    }
}

/// Which rows are meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    Test(Str, Op, Value),
    /// `LIKE` with `%` and `_`.
    Like(Str, Str),
    All(Vec<Filter>),
    Any(Vec<Filter>),
}

impl Filter {
    pub(crate) const EVERYTHING: Filter = Filter::All(Vec::new());
}

impl Request {
    /// Of a query and its values.
    ///
    /// # Errors
    /// The number of values is wrong.
    pub(crate) fn of(query: &Query, values: &[Value]) -> Result<Request, Error> {
        if values.len() != query.value_count() {
            let (takes, given) = (query.value_count(), values.len());
            return Err(Error::Refused(format!(
                "the statement takes {takes} values, {given} were given"
            )));
        }
        let written = match query.kind() {
            What::Select | What::Delete => 0,
            _ => query.columns().len(),
        };
        let (written, tested) = values.split_at_checked(written).unwrap_or((values, &[]));
        let assigned = || {
            query
                .columns()
                .iter()
                .cloned()
                .zip(written.iter().cloned())
                .collect()
        };
        let mut tested = tested.iter();
        let tests = query.conditions().iter().map(|(column, op)| {
            let value = if op.takes_value() {
                tested.next().cloned()
            } else {
                None
            };
            Filter::Test(column.clone(), *op, value.unwrap_or_default())
        });
        let filter = Filter::All(tests.collect());
        let work = match query.kind() {
            What::Select => Work::Select {
                columns: query.columns().to_vec(),
                filter,
                order: query
                    .order()
                    .map(|(column, descending)| (column.clone(), descending))
                    .into_iter()
                    .collect(),
                most: query
                    .most()
                    .map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            },
            What::Insert => Work::Insert(assigned()),
            What::Replace | What::Upsert => Work::Replace {
                values: assigned(),
                keys: query.keys().to_vec(),
            },
            What::Update => Work::Update {
                values: assigned(),
                filter,
            },
            What::Delete => Work::Delete(filter),
        };
        Ok(Request {
            table: query.table().clone(),
            work,
        })
    }
}

/// Runs a statement on its table.
///
/// # Errors
/// A column is missing, or a value does not fit.
pub(crate) fn run(table: &mut Table, request: &Request) -> Result<Rows, Error> {
    let name = &request.table;
    let done = match &request.work {
        Work::Select {
            columns,
            filter,
            order,
            most,
        } => return select(table, name, columns, filter, order, *most),
        Work::Insert(values) => {
            let row = new_row(table, name, values)?;
            insert(table, row)
        }
        Work::Replace { values, keys } => replace(table, name, values, keys)?,
        Work::Update { values, filter } => {
            let filter = Bound::of(table, name, filter)?;
            update(table, name, values, |row| filter.fits(row))?
        }
        Work::Delete(filter) => {
            let filter = Bound::of(table, name, filter)?;
            let before = table.rows.len();
            table.rows.retain(|row| !filter.fits(row));
            changed(before.saturating_sub(table.rows.len()))
        }
    };
    Ok(Rows {
        affected: done.affected,
        last_id: done.last_id,
        ..Rows::default()
    })
}

fn changed(rows: usize) -> Done {
    Done {
        affected: u64::try_from(rows).unwrap_or(u64::MAX),
        last_id: None,
    }
}

fn place(table: &Table, name: &Str, column: &Str) -> Result<usize, Error> {
    let missing = || Error::Refused(format!("table {name} has no column {column}"));
    table.place(column.as_bytes()).ok_or_else(missing)
}

fn places(table: &Table, name: &Str, columns: &[Str]) -> Result<Vec<usize>, Error> {
    columns.iter().map(|column| place(table, name, column)).collect()
}

fn select(
    table: &Table,
    name: &Str,
    columns: &[Str],
    filter: &Filter,
    order: &[(Str, bool)],
    most: Option<usize>,
) -> Result<Rows, Error> {
    let shown = match columns {
        [] => (0..table.columns.len()).collect(),
        some => places(table, name, some)?,
    };
    let filter = Bound::of(table, name, filter)?;
    let mut found: Vec<&Row> = table.rows.iter().filter(|row| filter.fits(row)).collect();
    for (column, descending) in order.iter().rev() {
        let at = place(table, name, column)?;
        found.sort_by(|one, two| {
            let ordering = sorted(one.get(at), two.get(at));
            if *descending { ordering.reverse() } else { ordering }
        });
    }
    found.truncate(most.unwrap_or(usize::MAX));
    let pick = |row: &&Row| {
        shown
            .iter()
            .map(|at| row.get(*at).cloned().unwrap_or_default())
            .collect()
    };
    Ok(Rows {
        columns: shown
            .iter()
            .filter_map(|at| table.columns.get(*at))
            .map(|column| column.name.clone())
            .collect(),
        rows: found.iter().map(pick).collect(),
        ..Rows::default()
    })
}

/// NULL comes first.
fn sorted(one: Option<&Value>, two: Option<&Value>) -> Ordering {
    match (one, two) {
        (Some(Value::Null) | None, Some(Value::Null) | None) => Ordering::Equal,
        (Some(Value::Null) | None, _) => Ordering::Less,
        (_, Some(Value::Null) | None) => Ordering::Greater,
        (Some(one), Some(two)) => compared(one, two).unwrap_or(Ordering::Equal),
    }
}

fn compared(one: &Value, two: &Value) -> Option<Ordering> {
    match (one, two) {
        (Value::Int(one), Value::Int(two)) => Some(one.cmp(two)),
        (Value::Real(one), Value::Real(two)) => one.partial_cmp(two),
        (Value::Text(one), Value::Text(two)) => Some(one.as_bytes().cmp(two.as_bytes())),
        _ => None,
    }
}

/// A row of these values; the others are numbered, NULL, or the default of Kamailio's table of that name.
fn new_row(table: &Table, name: &Str, values: &[(Str, Value)]) -> Result<Row, Error> {
    let mut given: Vec<Option<&Value>> = vec![None; table.columns.len()];
    for (column, value) in values {
        if let Some(slot) = given.get_mut(place(table, name, column)?) {
            *slot = Some(value);
        }
    }
    let known = schema::table(&name.text());
    let mut row = Row::with_capacity(given.len());
    for (at, (value, column)) in given.into_iter().zip(&table.columns).enumerate() {
        row.push(match value {
            Some(Value::Null) | None if column.auto => next_number(table, at),
            None if column.null => Value::Null,
            None => default_of(known, column).ok_or_else(|| no_null(name, column))?,
            Some(value) => fitting(value, column, name)?,
        });
    }
    Ok(row)
}

fn next_number(table: &Table, at: usize) -> Value {
    let numbers = table.rows.iter().filter_map(|row| row.get(at)?.int());
    Value::Int(numbers.max().unwrap_or(0).saturating_add(1))
}

fn default_of(known: Option<&schema::Table>, column: &Column) -> Option<Value> {
    let default = known?.column(&column.name.text())?.default?;
    let plain = Value::from(default.trim_matches('\''));
    match column.kind {
        Kind::Text => Some(plain),
        Kind::Int => plain.time().map(Value::Int),
        Kind::Double => plain.real().map(Value::Real),
    }
}

fn no_null(table: &Str, column: &Column) -> Error {
    Error::Constraint(format!(
        "column {} of table {table} must have a value",
        column.name
    ))
}

/// The value as the column holds it.
fn fitting(value: &Value, column: &Column, table: &Str) -> Result<Value, Error> {
    if value.is_null() {
        return match column.null {
            true => Ok(Value::Null),
            false => Err(no_null(table, column)),
        };
    }
    let fit = converted(value, column.kind);
    fit.ok_or_else(|| {
        let shown = value.text().unwrap_or_default();
        Error::Refused(format!(
            "column {} of table {table} takes a number, not \"{shown}\"",
            column.name
        ))
    })
}

fn converted(value: &Value, kind: Kind) -> Option<Value> {
    match kind {
        Kind::Int => value.time().map(Value::Int),
        Kind::Double => value.real().map(Value::Real),
        Kind::Text => value.text().map(Value::Text),
    }
}

fn insert(table: &mut Table, row: Row) -> Done {
    let auto = table.columns.iter().position(|column| column.auto);
    let last_id = auto.and_then(|at| row.get(at)).and_then(Value::int);
    table.rows.push(row);
    Done { affected: 1, last_id }
}

fn replace(table: &mut Table, name: &Str, values: &[(Str, Value)], keys: &[Str]) -> Result<Done, Error> {
    let tests = values
        .iter()
        .filter(|(column, _)| keys.iter().any(|key| key.eq_ignore_ascii_case(column)));
    let tests: Vec<Filter> = tests
        .map(|(column, value)| Filter::Test(column.clone(), Op::Eq, value.clone()))
        .collect();
    if !tests.is_empty() {
        let filter = Bound::of(table, name, &Filter::All(tests))?;
        let done = update(table, name, values, |row| filter.fits(row))?;
        if done.affected > 0 {
            return Ok(done);
        }
    }
    let row = new_row(table, name, values)?;
    Ok(insert(table, row))
}

fn update(
    table: &mut Table,
    name: &Str,
    values: &[(Str, Value)],
    meant: impl Fn(&Row) -> bool,
) -> Result<Done, Error> {
    let mut assignments = Vec::new();
    for (column, value) in values {
        let at = place(table, name, column)?;
        if let Some(column) = table.columns.get(at) {
            assignments.push((at, fitting(value, column, name)?));
        }
    }
    let mut count = 0usize;
    for row in table.rows.iter_mut().filter(|row| meant(row)) {
        count = count.saturating_add(1);
        for (at, value) in &assignments {
            if let Some(slot) = row.get_mut(*at) {
                *slot = value.clone();
            }
        }
    }
    Ok(changed(count))
}

/// A filter whose columns were found.
enum Bound {
    Test(usize, Op, Option<Value>),
    Like(usize, Str),
    All(Vec<Bound>),
    Any(Vec<Bound>),
}

impl Bound {
    fn of(table: &Table, name: &Str, filter: &Filter) -> Result<Bound, Error> {
        let several = |filters: &[Filter]| -> Result<Vec<Bound>, Error> {
            filters.iter().map(|one| Bound::of(table, name, one)).collect()
        };
        Ok(match filter {
            Filter::Test(column, op, value) => {
                let at = place(table, name, column)?;
                let kind = table.columns.get(at).map_or(Kind::Text, |column| column.kind);
                Bound::Test(at, *op, converted(value, kind))
            }
            Filter::Like(column, pattern) => Bound::Like(place(table, name, column)?, pattern.clone()),
            Filter::All(filters) => Bound::All(several(filters)?),
            Filter::Any(filters) => Bound::Any(several(filters)?),
        })
    }

    fn fits(&self, row: &Row) -> bool {
        match self {
            Bound::All(filters) => filters.iter().all(|filter| filter.fits(row)),
            Bound::Any(filters) => filters.iter().any(|filter| filter.fits(row)),
            Bound::Like(at, pattern) => match row.get(*at).and_then(Value::text) {
                Some(text) => like(text.as_bytes(), pattern.as_bytes()),
                None => false,
            },
            Bound::Test(at, op, value) => test(row.get(*at).unwrap_or(&Value::Null), *op, value.as_ref()),
        }
    }
}

fn test(stored: &Value, op: Op, value: Option<&Value>) -> bool {
    match op {
        Op::IsNull => return stored.is_null(),
        Op::NotNull => return !stored.is_null(),
        _ => {}
    }
    // As in Kamailio, NULL is less than every value.
    let ordering = match (stored.is_null(), value) {
        (true, Some(_)) => Some(Ordering::Less),
        (false, Some(value)) => compared(stored, value),
        (_, None) => None,
    };
    let Some(ordering) = ordering else {
        return op == Op::Ne;
    };
    match op {
        Op::Eq => ordering.is_eq(),
        Op::Ne => ordering.is_ne(),
        Op::Lt => ordering.is_lt(),
        Op::Le => ordering.is_le(),
        Op::Gt => ordering.is_gt(),
        Op::Ge => ordering.is_ge(),
        Op::Bits => matches!((stored, value), (Value::Int(one), Some(Value::Int(two))) if one & two != 0),
        Op::IsNull | Op::NotNull => false,
    }
}

/// Upper and lower case are the same, as in the databases that db_text stands in for.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    // Where to go on after a `%` that has to take one byte more.
    let (mut text, mut pattern, mut again) = (text, pattern, None);
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'%', rest)), _) => {
                pattern = rest;
                again = Some((rest, text));
            }
            (Some((wanted, rest)), Some((byte, more)))
                if *wanted == b'_' || wanted.eq_ignore_ascii_case(byte) =>
            {
                (pattern, text) = (rest, more);
            }
            (None, None) => return true,
            _ => match again {
                Some((rest, from)) if !from.is_empty() => {
                    let from = from.get(1..).unwrap_or_default();
                    (pattern, text) = (rest, from);
                    again = Some((rest, from));
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{sql, table::Format},
        *,
    };

    fn table() -> Table {
        let text = "id(int,auto) s(string) n(int,null) f(double)\n1:one:5:0.5\n2:two::1.5\n7:seven:-3:2.5\n";
        Table::read(text.as_bytes(), &Format::default()).expect("it is a table")
    }

    fn ask(table: &mut Table, text: &str) -> Result<Rows, Error> {
        run(table, &sql::parse(text.as_bytes(), &[])?)
    }

    fn names(text: &str) -> Vec<String> {
        let rows = ask(&mut table(), text).expect("it is a statement").rows;
        rows.iter()
            .map(|row| row[0].text().expect("it is a text").text().into_owned())
            .collect()
    }

    #[test]
    fn rows_are_found() {
        assert_eq!(names("select s from m where n > 1"), ["one"]);
        assert_eq!(names("select S from m where n <> 5"), ["two", "seven"]);
        assert_eq!(
            names("select s from m where n <= -7"),
            ["two"],
            "NULL comes before all numbers"
        );
        assert_eq!(
            names("select s from m where n is null or (f >= 2 and id = 7)"),
            ["two", "seven"]
        );
        assert_eq!(
            names("select s from m where s like '%E%e_' or s like 'tw_'"),
            ["two", "seven"]
        );
        assert_eq!(names("select s from m order by n desc limit 2"), ["one", "seven"]);
        assert_eq!(names("select s from m order by n, s"), ["two", "seven", "one"]);
        assert_eq!(
            ask(&mut table(), "select * from m").map(|rows| rows.columns.len()),
            Ok(4)
        );
    }

    #[test]
    fn rows_are_changed() {
        let mut table = table();
        let done = ask(&mut table, "insert into m (s, f) values ('it''s', 3)").expect("it fits");
        assert_eq!((done.affected, done.last_id), (1, Some(8)));
        assert_eq!(
            ask(&mut table, "update m set n = 9 where s = 'it''s' or id < 2").map(|d| d.affected),
            Ok(2)
        );
        assert_eq!(
            ask(&mut table, "delete from m where n is null").map(|d| d.affected),
            Ok(1)
        );
        let left = ask(&mut table, "select id from m where n = 9").expect("it is a statement");
        assert_eq!(left.rows, [[Value::Int(1)], [Value::Int(8)]]);
    }

    #[test]
    fn rows_are_replaced_by_their_keys() {
        let mut table = table();
        for (n, rows) in [(4, 3), (6, 3)] {
            let query = Query::replace("m", &["s", "n", "f"], &["s"]);
            let request =
                Request::of(&query, &["one".into(), Value::Int(n), Value::Int(0)]).expect("values are there");
            run(&mut table, &request).expect("it fits");
            assert_eq!(table.rows.len(), rows);
            assert_eq!(table.rows[0][2], Value::Int(n));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut table = table();
        let mut why = |text: &str| ask(&mut table, text).unwrap_err().to_string();
        assert!(why("select nope from m").contains("table m has no column nope"));
        assert!(why("insert into m (s) values ('x')").contains("column f of table m must have a value"));
        assert!(why("update m set f = null").contains("column f of table m must have a value"));
        assert!(why("update m set n = 'x'").contains("takes a number, not \"x\""));
        assert!(why("delete from m where nope = 1").contains("no column nope"));
    }

    #[test]
    fn tables_of_kamailio_have_their_defaults() {
        let header = schema::table("location").expect("it is there").text_header() + "\n";
        let mut table = Table::read(header.as_bytes(), &Format::default()).expect("it is a table");
        let text = "insert into location (ruid, username) values ('r1', 'alice')";
        ask(&mut table, text).expect("the others have defaults");
        assert_eq!(
            table.rows[0][table.place(b"callid").expect("it is there")],
            Value::from("Default-Call-ID")
        );
    }
}
