//! Results of a message, `$dbr()` and `$sqlrows()`.
//!
//! Kamailio keeps results in the process, where the next message finds them. Here they belong to the message: while it
//! waits for a database, others run on its worker.

use kahea_db::{Answer, Rows};
use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Given, Named, Naming, Str, Value, Var, value::parse_int,
};

use super::{Sqlops, connection::Connection, query::script_value};

pub(super) fn declare(d: &mut Decl<Sqlops>) {
    d.func("sql_result_free", ["result"], free, "Forgets a result.")
        .kemi(1, "sql_result_free");
    d.var_named(
        "dbr",
        Naming::Required,
        Named {
            parse: Part::parse,
            get: |_, cx, part, _| part.get(cx),
            set: None,
            raw: true,
        },
        "A result of sql_query(): ra=>rows, ra=>cols, ra=>[ROW,COLUMN], ra=>colname[COLUMN].",
    );
    d.var_named(
        "sqlrows",
        Naming::Required,
        Named {
            parse: |name, _| Ok(Str::from(name.trim())),
            get: |m, cx, name, _| affected(m, cx, name),
            set: None,
            raw: false,
        },
        "How many rows the last query of this message on that connection was about; -1 where it failed.",
    );
    kemi(d);
}

fn kemi(d: &mut Decl<Sqlops>) {
    d.kemi_func(
        "sqlops",
        "sql_num_rows",
        ["result"],
        num_rows,
        "How many rows a result has.",
    );
    d.kemi_func(
        "sqlops",
        "sql_num_columns",
        ["result"],
        num_columns,
        "How many columns a result has.",
    );
    d.kemi_func(
        "sqlops",
        "sql_is_null",
        ["result", "row", "column"],
        is_null,
        "The value at that place is NULL, or there is none.",
    );
    d.kemi_func(
        "sqlops",
        "sql_result_get",
        ["result", "row", "column"],
        get,
        "The value at that place, null for NULL.",
    );
    d.kemi_func(
        "sqlops",
        "sql_result_gete",
        ["result", "row", "column"],
        gete,
        "The value at that place, an empty text for NULL.",
    );
    d.kemi_func(
        "sqlops",
        "sql_result_getz",
        ["result", "row", "column"],
        getz,
        "The value at that place, 0 for NULL.",
    );
}

/// What the queries of a message gave.
#[derive(Default)]
pub(super) struct Results {
    /// By name; a message has few.
    named: Vec<(Str, Rows)>,
    /// Rows that the last query on a connection was about; `$null` where its database does not count.
    affected: Vec<(Str, Value)>,
}

impl Results {
    pub fn of(cx: &mut Cx) -> &mut Results {
        cx.extra::<Results>()
    }

    pub fn rows(&self, name: &Str) -> Option<&Rows> {
        self.named
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, rows)| rows)
    }

    pub fn put(&mut self, name: &Str, rows: Rows) {
        self.remove(name);
        self.named.push((name.clone(), rows));
    }

    fn remove(&mut self, name: &Str) {
        self.named.retain(|(known, _)| known != name);
    }

    /// Forgets what stood under a name, and makes sure that there is room for it.
    pub fn make_room(&mut self, name: &Str, most: usize) -> Result<(), Fault> {
        self.remove(name);
        if self.named.len() >= most {
            return Err(Fault::script(format!(
                "the message holds {most} results already: free one with sql_result_free(), or raise results_maxsize"
            )));
        }
        Ok(())
    }

    /// Notes how many rows a query was about.
    pub fn note(&mut self, connection: &Connection, answer: &Answer) {
        let count = match answer {
            _ if !connection.counts => Value::Null,
            Ok(rows) if !rows.columns.is_empty() => number(rows.rows.len()),
            Ok(rows) => Value::Int(i64::try_from(rows.affected).unwrap_or(i64::MAX)),
            Err(_) => Value::Int(-1),
        };
        self.affected.retain(|(known, _)| *known != connection.name);
        self.affected.push((connection.name.clone(), count));
    }
}

fn number(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn affected(m: &Sqlops, cx: &mut Cx, name: &Str) -> Value {
    let known = &Results::of(cx).affected;
    match known.iter().find(|(known, _)| known == name) {
        Some((_, count)) => count.clone(),
        None if m.connections.contains_key(name) => Value::Int(0),
        None => Value::Null,
    }
}

fn free(_: &Sqlops, cx: &mut Cx, name: Str) -> bool {
    Results::of(cx).remove(&name);
    true
}

/// A number in `[ROW,COLUMN]`.
enum Place {
    Fixed(i64),
    Var(Var),
}

impl Place {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Place, BindError> {
        let text = text.trim();
        if text.starts_with('$') {
            return bind.var(text).map(Place::Var);
        }
        parse_int(text.as_bytes())
            .map(Place::Fixed)
            .ok_or_else(|| wrong(&format!("'{text}' is neither a number nor a variable")))
    }

    fn get(&self, cx: &mut Cx) -> Option<i64> {
        match self {
            Place::Fixed(n) => Some(*n),
            Place::Var(var) => var.get(cx).int(),
        }
    }
}

fn wrong(what: &str) -> BindError {
    BindError::new(what).help("write ra=>rows, ra=>cols, ra=>[ROW,COLUMN] or ra=>colname[COLUMN]")
}

enum Key {
    Rows,
    Columns,
    Cell(Place, Place),
    Name(Place),
}

/// The inside of `$dbr()`.
struct Part {
    result: Str,
    key: Key,
}

impl Part {
    fn parse(text: &str, bind: &dyn Bind) -> Result<Part, BindError> {
        let (result, key) = text
            .split_once("=>")
            .ok_or_else(|| wrong("a result and a key are needed"))?;
        let key = key.trim();
        let inside = |key: &'_ str, before: &str| {
            let rest = key.strip_prefix(before)?.trim().strip_prefix('[')?;
            rest.strip_suffix(']').map(str::to_owned)
        };
        let key = if key == "rows" {
            Key::Rows
        } else if key == "cols" {
            Key::Columns
        } else if let Some(column) = inside(key, "colname") {
            Key::Name(Place::parse(&column, bind)?)
        } else if let Some(cell) = inside(key, "") {
            let comma = top_comma(&cell).ok_or_else(|| wrong("a row and a column are needed"))?;
            let (row, column) = cell.split_at(comma);
            Key::Cell(
                Place::parse(row, bind)?,
                Place::parse(column.trim_start_matches(','), bind)?,
            )
        } else {
            return Err(wrong(&format!("'{key}' is no key of a result")));
        };
        Ok(Part {
            result: Str::from(result.trim()),
            key,
        })
    }

    fn get(&self, cx: &mut Cx) -> Value {
        match &self.key {
            Key::Rows => number(
                Results::of(cx)
                    .rows(&self.result)
                    .map_or(0, |rows| rows.rows.len()),
            ),
            Key::Columns => number(
                Results::of(cx)
                    .rows(&self.result)
                    .map_or(0, |rows| rows.columns.len()),
            ),
            Key::Cell(row, column) => {
                let (row, column) = (row.get(cx), column.get(cx));
                row.zip(column)
                    .and_then(|(row, column)| cell(cx, &self.result, row, column))
                    .unwrap_or_default()
            }
            Key::Name(column) => {
                let at = column.get(cx).and_then(|n| usize::try_from(n).ok());
                let rows = Results::of(cx).rows(&self.result);
                let name = rows.zip(at).and_then(|(rows, at)| rows.columns.get(at).cloned());
                name.into()
            }
        }
    }
}

/// The comma outside of parentheses.
fn top_comma(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '(' | '{' | '[' => depth = depth.saturating_add(1),
            ')' | '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}

fn cell(cx: &mut Cx, result: &Str, row: i64, column: i64) -> Option<Value> {
    let rows = Results::of(cx).rows(result)?;
    let row = rows.rows.get(usize::try_from(row).ok()?)?;
    row.get(usize::try_from(column).ok()?).map(script_value)
}

fn num_rows(_: &Sqlops, cx: &mut Cx, name: Str) -> i64 {
    let rows = Results::of(cx).rows(&name).map_or(0, |rows| rows.rows.len());
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn num_columns(_: &Sqlops, cx: &mut Cx, name: Str) -> i64 {
    let columns = Results::of(cx).rows(&name).map_or(0, |rows| rows.columns.len());
    i64::try_from(columns).unwrap_or(i64::MAX)
}

fn is_null(_: &Sqlops, cx: &mut Cx, name: Str, row: i64, column: i64) -> bool {
    cell(cx, &name, row, column).is_none_or(|value| value.is_null())
}

fn get(_: &Sqlops, cx: &mut Cx, name: Str, row: i64, column: i64) -> bool {
    give(cx, &name, row, column, Value::Null)
}

fn gete(_: &Sqlops, cx: &mut Cx, name: Str, row: i64, column: i64) -> bool {
    give(cx, &name, row, column, Value::EMPTY)
}

fn getz(_: &Sqlops, cx: &mut Cx, name: Str, row: i64, column: i64) -> bool {
    give(cx, &name, row, column, Value::Int(0))
}

fn give(cx: &mut Cx, name: &Str, row: i64, column: i64, null: Value) -> bool {
    let found = cell(cx, name, row, column);
    let there = found.is_some();
    let value = match found {
        None | Some(Value::Null) => null,
        Some(value) => value,
    };
    Given::set(cx, value);
    there
}

#[cfg(test)]
mod tests {
    use kahea_db::Value as DbValue;
    use kahea_module::{testing::FakeBind, testing::Server};

    use super::*;
    use crate::sqlops::tests::sqlops;

    fn rows() -> Rows {
        Rows {
            columns: [Str::from("id"), Str::from("f")].into(),
            rows: vec![
                vec![DbValue::Int(1), DbValue::Real(1.5)],
                vec![DbValue::Int(2), DbValue::Null],
            ],
            ..Rows::default()
        }
    }

    #[test]
    fn every_part_of_a_result_is_read() {
        let (bind, mut cx) = (FakeBind::default(), Server::default().invite());
        Results::of(&mut cx).put(&Str::from("ra"), rows());
        let var = bind.var("$var(i)").expect("a variable");
        var.set(&mut cx, Value::Int(1)).expect("it is set");
        let mut read = |text: &str| Part::parse(text, &bind).expect("a part").get(&mut cx).to_string();
        let parts = [
            "ra=>rows",
            "ra=>cols",
            "ra=>[0,0]",
            "ra=>[$var(i), 0]",
            "ra=>[0,$var(i)]",
            "ra=>[1,1]",
        ];
        assert_eq!(parts.map(&mut read), ["2", "2", "1", "2", "1.5", "<null>"]);
        let odd = [
            "ra=>colname[1]",
            "ra=>colname[-1]",
            "ra=>[9,0]",
            "ra=>[0,-1]",
            "rb=>rows",
            "rb=>[0,0]",
        ];
        assert_eq!(
            odd.map(&mut read),
            ["f", "<null>", "<null>", "<null>", "0", "<null>"]
        );
        for broken in ["ra", "ra=>x", "ra=>[1]", "ra=>[a,b]", "ra=>colname[]"] {
            assert!(Part::parse(broken, &bind).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_message_holds_so_many_results() {
        let mut cx = Server::default().invite();
        let results = Results::of(&mut cx);
        for name in ["a", "b"] {
            results.make_room(&Str::from(name), 2).expect("room");
            results.put(&Str::from(name), rows());
        }
        assert!(results.make_room(&Str::from("c"), 2).is_err());
        assert!(results.make_room(&Str::from("a"), 2).is_ok());
        assert!(results.rows(&Str::from("a")).is_none());
    }

    #[test]
    fn rows_are_counted_by_connection() {
        let m = sqlops(|_| Ok(Rows::default()));
        let mut cx = Server::default().invite();
        let ca = Str::from("ca");
        assert_eq!(affected(&m, &mut cx, &ca), Value::Int(0));
        assert_eq!(affected(&m, &mut cx, &Str::from("cb")), Value::Null);
        let changed = Rows {
            affected: 3,
            ..Rows::default()
        };
        let connection = m.connection(b"ca").expect("a connection").clone();
        for (answer, wanted) in [
            (Ok(changed), 3),
            (Ok(rows()), 2),
            (Err(kahea_db::Error::Overloaded), -1),
        ] {
            Results::of(&mut cx).note(&connection, &answer);
            assert_eq!(affected(&m, &mut cx, &ca), Value::Int(wanted));
        }
    }
}
