//! Values as the protocol carries them: to the server as texts, which fit columns of every type, and back in the
//! binary forms of the types.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use kahea_db::{Value, local_seconds, time_text};
use kahea_module::Str;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

type Problem = Box<dyn StdError + Sync + Send>;

/// The seconds from 1970 to 2000, where PostgreSQL's time begins.
const BEGINNING: i64 = 946_684_800;
const DAY: i64 = 86_400;
const MICROSECONDS: i64 = 1_000_000;

/// A value for a placeholder.
#[derive(Debug)]
pub(crate) struct Bound<'a>(pub(crate) &'a Value);

fn is_integer(kind: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8, Type::OID].contains(kind)
}

fn is_number(kind: &Type) -> bool {
    is_integer(kind) || [Type::FLOAT4, Type::FLOAT8, Type::NUMERIC].contains(kind)
}

fn is_time(kind: &Type) -> bool {
    [Type::TIMESTAMP, Type::TIMESTAMPTZ, Type::DATE].contains(kind)
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Problem> {
        let hex = |bytes: &Str, out: &mut BytesMut| {
            out.put_slice(b"\\x");
            bytes
                .as_bytes()
                .iter()
                .for_each(|byte| out.put_slice(format!("{byte:02x}").as_bytes()));
        };
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Text(text) | Value::Blob(text) if *kind == Type::BYTEA => hex(text, out),
            Value::Text(text) | Value::Blob(text) => out.put_slice(text.as_bytes()),
            Value::Int(n) if is_time(kind) => out.put_slice(time_text(*n).as_bytes()),
            Value::Int(n) => out.put_slice(n.to_string().as_bytes()),
            Value::Real(n) if is_integer(kind) => out.put_slice(format!("{n:.0}").as_bytes()),
            Value::Real(n) => out.put_slice(n.to_string().as_bytes()),
            Value::Time(unix) if is_number(kind) => out.put_slice(unix.to_string().as_bytes()),
            Value::Time(unix) => out.put_slice(time_text(*unix).as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    fn encode_format(&self, _kind: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// A value of a row.
pub(crate) struct Read(pub(crate) Value);

impl<'a> FromSql<'a> for Read {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Read, Problem> {
        Ok(Read(read(kind, raw)?))
    }

    fn from_sql_null(_kind: &Type) -> Result<Read, Problem> {
        Ok(Read(Value::Null))
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }
}

fn read(kind: &Type, raw: &[u8]) -> Result<Value, Problem> {
    Ok(match *kind {
        Type::BOOL => Value::Int(i64::from(raw != [0])),
        Type::INT2 => Value::Int(i64::from(i16::from_be_bytes(raw.try_into()?))),
        Type::INT4 => Value::Int(i64::from(i32::from_be_bytes(raw.try_into()?))),
        Type::OID => Value::Int(i64::from(u32::from_be_bytes(raw.try_into()?))),
        Type::INT8 => Value::Int(i64::from_be_bytes(raw.try_into()?)),
        // The shortest figure that means the same, so that 0.1 does not become 0.10000000149011612.
        Type::FLOAT4 => Value::Real(f32::from_be_bytes(raw.try_into()?).to_string().parse()?),
        Type::FLOAT8 => Value::Real(f64::from_be_bytes(raw.try_into()?)),
        Type::NUMERIC => Value::Real(numeric(raw)?),
        Type::TIMESTAMP => moment(i64::from_be_bytes(raw.try_into()?), local_seconds),
        Type::TIMESTAMPTZ => moment(i64::from_be_bytes(raw.try_into()?), Some),
        Type::DATE => {
            let days = i64::from(i32::from_be_bytes(raw.try_into()?));
            moment(
                days.saturating_mul(DAY).saturating_mul(MICROSECONDS),
                local_seconds,
            )
        }
        Type::TIME => Value::from(time_of_day(i64::from_be_bytes(raw.try_into()?)).as_str()),
        Type::UUID => Value::from(uuid(raw).as_str()),
        Type::JSONB => Value::Text(Str::copy(raw.get(1..).unwrap_or_default())),
        Type::VOID => Value::Null,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML => Value::Text(Str::copy(raw)),
        _ if matches!(kind.kind(), Kind::Enum(_)) || kind.name() == "citext" => Value::Text(Str::copy(raw)),
        _ => Value::Blob(Str::copy(raw)),
    })
}

/// Microseconds since 2000; `infinity` is as late as can be.
fn moment(micros: i64, to_unix: fn(i64) -> Option<i64>) -> Value {
    let seconds = micros.div_euclid(MICROSECONDS).saturating_add(BEGINNING);
    Value::Time(to_unix(seconds).unwrap_or(seconds))
}

fn time_of_day(micros: i64) -> String {
    let seconds = micros.div_euclid(MICROSECONDS);
    let (hours, minutes) = (seconds.div_euclid(3600), seconds.div_euclid(60).rem_euclid(60));
    format!("{hours:02}:{minutes:02}:{:02}", seconds.rem_euclid(60))
}

fn uuid(raw: &[u8]) -> String {
    let mut out = String::new();
    for (at, byte) in raw.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            out.push('-');
        }
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Digits of base 10,000, the weight of the first one, the sign.
fn numeric(raw: &[u8]) -> Result<f64, Problem> {
    let mut words = raw
        .chunks_exact(2)
        .map(|pair| pair.try_into().map(i16::from_be_bytes));
    let mut word = || {
        words
            .next()
            .ok_or("a number is cut short")?
            .map_err(Problem::from)
    };
    let (count, weight, sign, _scale) = (word()?, word()?, word()?, word()?);
    let mut sum = 0.0f64;
    for at in 0..count.max(0) {
        let exponent = i32::from(weight).saturating_sub(i32::from(at)).saturating_mul(4);
        sum += f64::from(word()?) * 10f64.powi(exponent);
    }
    // Adding powers leaves traces in the last digits.
    let sum: f64 = format!("{sum:.12e}").parse()?;
    Ok(match sign {
        0 => sum,
        0x4000 => -sum,
        _ => f64::NAN,
    })
}

#[cfg(test)]
mod tests {
    use kahea_db::parse_time;

    use super::*;

    fn sent(value: Value, kind: Type) -> Vec<u8> {
        let mut out = BytesMut::new();
        Bound(&value)
            .to_sql(&kind, &mut out)
            .expect("every value can be sent");
        out.to_vec()
    }

    #[test]
    fn values_take_the_spelling_of_the_column() {
        assert_eq!(sent(Value::Int(17), Type::VARCHAR), b"17");
        assert_eq!(sent(Value::Time(17), Type::INT4), b"17");
        assert_eq!(sent(Value::Real(2.5), Type::INT4), b"2");
        assert_eq!(sent(Value::Blob(Str::copy(b"\0\xff")), Type::BYTEA), b"\\x00ff");
        assert_eq!(
            sent(Value::Time(1_795_280_700), Type::TIMESTAMP),
            time_text(1_795_280_700).into_bytes()
        );
        assert_eq!(
            sent(Value::Int(1_795_280_700), Type::TIMESTAMP),
            time_text(1_795_280_700).into_bytes()
        );
    }

    #[test]
    fn answers_are_read_by_their_types() {
        let value = |kind: Type, raw: &[u8]| read(&kind, raw).expect("it can be read");
        assert_eq!(value(Type::INT2, &[0xff, 0xfe]), Value::Int(-2));
        assert_eq!(value(Type::BOOL, &[1]), Value::Int(1));
        assert_eq!(value(Type::FLOAT4, &0.1f32.to_be_bytes()), Value::Real(0.1));
        let since_2000 = (1_795_280_700 - BEGINNING) * MICROSECONDS;
        assert_eq!(
            value(Type::TIMESTAMPTZ, &since_2000.to_be_bytes()),
            Value::Time(1_795_280_700)
        );
        let local = parse_time("2026-11-21 17:05:00").expect("it is a date");
        assert_eq!(
            value(Type::TIMESTAMP, &since_2000.to_be_bytes()),
            Value::Time(local)
        );
        assert_eq!(
            value(Type::TIME, &(3_661 * MICROSECONDS).to_be_bytes()),
            Value::from("01:01:01")
        );
        assert!(read(&Type::INT4, &[1]).is_err());
    }

    #[test]
    fn numbers_of_any_length_are_read() {
        // 12345.678 is 1, 2345 before the point and 6780 behind it.
        let raw: Vec<u8> = [3i16, 1, 0, 3, 1, 2345, 6780]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        assert_eq!(numeric(&raw).ok(), Some(12_345.678));
        let negative: Vec<u8> = [1i16, 0, 0x4000, 0, 7]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        assert_eq!(numeric(&negative).ok(), Some(-7.0));
        assert!(numeric(&raw[..5]).is_err() && numeric(&raw[..10]).is_err());
    }
}
