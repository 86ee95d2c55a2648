//! `{sql.val}`, `{sql.val.int}`, `{sql.val.str}`: a value as a literal of SQL, quotes and all.
//!
//! The transformation does not know for which database it writes. What it makes is one literal in all of them: a quote
//! is doubled, which every dialect reads so, and a backslash too, for those that escape with it. Kamailio writes `\'`,
//! which ends the literal in SQLite and PostgreSQL.

use kahea_module::{Cx, Decl, TransformKind, Value};

use super::Sqlops;

pub(super) fn declare(d: &mut Decl<Sqlops>) {
    d.transform(
        "sql",
        "val",
        &[],
        TransformKind::Args(0, 0, |_: &mut Cx, value, _| literal(&value, "NULL")),
        "As a literal of SQL: a number, a text in quotes, or NULL.",
    );
    d.transform(
        "sql",
        "val.int",
        &[],
        TransformKind::Args(0, 0, |_: &mut Cx, value, _| literal(&value, "0")),
        "As a literal of SQL, 0 for $null.",
    );
    d.transform(
        "sql",
        "val.str",
        &[],
        TransformKind::Args(0, 0, |_: &mut Cx, value, _| literal(&value, "''")),
        "As a literal of SQL, an empty text for $null.",
    );
}

fn literal(value: &Value, null: &'static str) -> Value {
    match value {
        Value::Null => Value::from(null),
        Value::Int(n) => Value::from(n.to_string()),
        Value::Str(text) => {
            let mut out = Vec::with_capacity(text.len().saturating_add(2));
            out.push(b'\'');
            for &byte in text.iter() {
                match byte {
                    0 => out.extend_from_slice(b"\\0"),
                    b'\'' | b'\\' => out.extend_from_slice(&[byte, byte]),
                    _ => out.push(byte),
                }
            }
            out.push(b'\'');
            Value::from(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_db::sql::Dialect;

    use super::*;

    #[test]
    fn values_are_literals() {
        let text = |value: Value| literal(&value, "NULL").to_string();
        assert_eq!(text(Value::Int(-4)), "-4");
        assert_eq!(text(Value::Null), "NULL");
        assert_eq!(text(Value::from("it's")), "'it''s'");
        assert_eq!(text(Value::EMPTY), "''");
    }

    #[test]
    fn a_literal_is_one_in_every_dialect() {
        for attack in ["' OR 1 --", "\\' OR 1 --", "\\", "'", "\\\\'", "a\0'", "''"] {
            let Value::Str(made) = literal(&Value::from(attack), "NULL") else {
                panic!("a text");
            };
            let inside = &made[1..made.len() - 1];
            for dialect in [Dialect::Sqlite, Dialect::Mysql, Dialect::Postgres] {
                assert!(dialect.is_inert(inside), "{dialect:?} {attack}");
            }
        }
    }
}
