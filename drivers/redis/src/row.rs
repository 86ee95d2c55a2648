//! Values in hashes, and conditions on them.

use std::{cmp::Ordering, collections::HashMap};

use kahea_db::{Op, Query, Value, parse_time, time_text};
use kahea_module::Str;

use crate::schema::{Columns, Kind};

/// The fields of a row by column; those that are NULL are missing.
pub(crate) type Fields = HashMap<String, Vec<u8>>;

/// As it stands in a hash; `None` is NULL, which has no field.
pub(crate) fn to_field(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Int(n) => Some(n.to_string().into_bytes()),
        Value::Real(n) => Some(format!("{n:.6}").into_bytes()),
        Value::Time(unix) => Some(time_text(*unix).into_bytes()),
        Value::Text(text) | Value::Blob(text) => Some(text.as_bytes().to_vec()),
    }
}

/// The value of a field, as the column holds it.
pub(crate) fn from_field(field: Option<&Vec<u8>>, kind: Kind) -> Value {
    let Some(field) = field else {
        return Value::Null;
    };
    let text = || std::str::from_utf8(field).ok().map(str::trim);
    let read = match kind {
        Kind::Text => return Value::Text(Str::copy(field)),
        Kind::Int => text().and_then(|text| {
            text.parse()
                .map(Value::Int)
                .ok()
                .or_else(|| parse_time(text).map(Value::Time))
        }),
        Kind::Double => text().and_then(|text| text.parse().ok()).map(Value::Real),
        Kind::Time => text()
            .and_then(|text| text.parse().ok().or_else(|| parse_time(text)))
            .map(Value::Time),
    };
    // An empty field of a number is what Kamailio writes for NULL.
    read.unwrap_or(Value::Null)
}

/// What a column holds; text where the table is not known.
pub(crate) fn kind_of(columns: &Columns, name: &str) -> Option<Kind> {
    columns
        .iter()
        .find(|(column, _)| column == name)
        .map(|(_, kind)| *kind)
}

/// A condition on a column.
pub(crate) struct Test {
    pub(crate) column: String,
    kind: Kind,
    pub(crate) op: Op,
    pub(crate) value: Value,
}

impl Test {
    pub(crate) fn fits(&self, fields: &Fields) -> bool {
        let stored = from_field(fields.get(&self.column), self.kind);
        match self.op {
            Op::IsNull => stored.is_null(),
            Op::NotNull => !stored.is_null(),
            op => compared(&stored, &self.value, self.kind).is_some_and(|ordering| match op {
                Op::Eq => ordering.is_eq(),
                Op::Ne => ordering.is_ne(),
                Op::Lt => ordering.is_lt(),
                Op::Le => ordering.is_le(),
                Op::Gt => ordering.is_gt(),
                Op::Ge => ordering.is_ge(),
                Op::Bits => {
                    matches!((stored.int(), self.value.int()), (Some(one), Some(two)) if one & two != 0)
                }
                Op::IsNull | Op::NotNull => false,
            }),
        }
    }
}

/// The conditions of a query; `Err` names a column that the table has not.
pub(crate) fn tests(query: &Query, columns: &Columns, values: &[Value]) -> Result<Vec<Test>, String> {
    let mut values = values.iter();
    let test = |(column, op): &(Str, Op)| {
        let name = column.text().into_owned();
        let kind = kind_of(columns, &name).ok_or_else(|| name.clone())?;
        let value = if op.takes_value() {
            values.next().cloned()
        } else {
            None
        };
        Ok(Test {
            column: name,
            kind,
            op: *op,
            value: value.unwrap_or_default(),
        })
    };
    query.conditions().iter().map(test).collect()
}

pub(crate) fn compared(one: &Value, two: &Value, kind: Kind) -> Option<Ordering> {
    match kind {
        Kind::Text => Some(one.text()?.as_bytes().cmp(two.text()?.as_bytes())),
        Kind::Int | Kind::Time => Some(one.time()?.cmp(&two.time()?)),
        Kind::Double => one.real()?.partial_cmp(&two.real()?),
    }
}

/// NULL comes first.
pub(crate) fn sorted(one: &Value, two: &Value, kind: Kind) -> Ordering {
    match (one.is_null(), two.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => compared(one, two, kind).unwrap_or(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_spelt_as_kamailio_spells_them() {
        assert_eq!(
            to_field(&Value::Real(-1.0)).as_deref(),
            Some(b"-1.000000".as_slice())
        );
        assert_eq!(
            to_field(&Value::Time(1_795_280_700)),
            Some(time_text(1_795_280_700).into_bytes())
        );
        assert_eq!(to_field(&Value::Null), None);
        let field = |text: &str, kind| from_field(Some(&text.as_bytes().to_vec()), kind);
        assert_eq!(field("-1.000000", Kind::Double), Value::Real(-1.0));
        let date = parse_time("2026-11-21 19:18:52").expect("it is a date");
        assert_eq!(field("2026-11-21 19:18:52", Kind::Time), Value::Time(date));
        assert_eq!(field("1795280700", Kind::Time), Value::Time(1_795_280_700));
        assert_eq!(field("2026-11-21 19:18:52", Kind::Int), Value::Time(date));
        assert_eq!(field("", Kind::Int), Value::Null);
        assert_eq!(field("", Kind::Text), Value::from(""));
        assert_eq!(from_field(None, Kind::Text), Value::Null);
    }

    #[test]
    fn conditions_compare_by_the_kind_of_the_column() {
        let columns: Columns = vec![("n".to_owned(), Kind::Int), ("s".to_owned(), Kind::Text)];
        let fields: Fields = [("n".to_owned(), b"10".to_vec())].into();
        let fits = |op, value: Value| {
            let query = Query::select("t", &[]).when("n", op);
            tests(&query, &columns, &[value])
                .expect("the column is there")
                .iter()
                .all(|test| test.fits(&fields))
        };
        assert!(
            fits(Op::Gt, Value::Int(9)) && fits(Op::Eq, Value::from("10")) && fits(Op::Bits, Value::Int(2))
        );
        assert!(!fits(Op::Lt, Value::Int(9)));
        let missing = tests(&Query::select("t", &[]).when("s", Op::IsNull), &columns, &[]);
        assert!(missing.is_ok_and(|tests| tests.iter().all(|test| test.fits(&fields))));
        assert_eq!(
            tests(&Query::select("t", &[]).when_eq("x"), &columns, &[]).err(),
            Some("x".to_owned())
        );
    }
}
