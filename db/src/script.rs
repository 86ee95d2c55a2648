//! SQL that a script writes with variables in it: what a variable brings can never end the literal that it stands in.
//!
//! `select * from t where name = '$fU'` is read as a database would read it. A value inside a literal, or inside a
//! quoted name, goes out byte for byte where it is inert there (the script has escaped it, or it needs no escaping);
//! where it is not, it is escaped or the query refused, as the caller wants it. A value outside of literals is SQL of the script's own and goes out as it is.

use kahea_module::{Cx, Fault, Format, Piece, Str, Value};

use crate::sql::Dialect;

/// What becomes of a value that would end the literal that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsafe {
    /// It is escaped, and arrives as it is.
    Escape,
    /// The query is refused; in Kamailio it would mostly fail for its syntax.
    Refuse,
}

/// The SQL of a script's text, for a database of this dialect.
///
/// # Errors
/// A value would end its literal and is to be refused.
/// A value stands behind a single backslash inside a literal, or brings the end of a dollar-quoted one: there is no way
/// to make it harmless there.
pub fn sql_of(format: &Format, dialect: Dialect, policy: Unsafe, cx: &mut Cx) -> Result<Str, Fault> {
    if let Some(text) = format.as_constant() {
        return Ok(text);
    }
    if let Some(var) = format.as_var() {
        return Ok(var.get(cx).str_or_empty());
    }
    let mut out = Vec::with_capacity(256);
    let mut reader = Reader::new(dialect, policy);
    for piece in format.pieces() {
        match piece {
            Piece::Text(text) => {
                reader.read(text);
                out.extend_from_slice(text);
            }
            Piece::Var(var) => {
                let value = match var.get(cx) {
                    Value::Null => Str::copy(var.null_text()),
                    value => value.str_or_empty(),
                };
                reader.add_value(&value, &mut out)?;
            }
        }
    }
    Ok(Str::from(out))
}

/// Where in SQL the reader stands.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    /// Outside of everything quoted.
    Plain,
    /// Inside of a literal or name between this quote; backslashes escape or not.
    Quoted { quote: u8, backslash: bool },
    /// Behind a backslash that escapes, inside of such a literal.
    Escaped { quote: u8 },
    /// Inside of a literal of PostgreSQL between this tag, `$` included.
    Dollar(Vec<u8>),
    /// Up to the end of the line.
    Line,
    /// Up to `*/`, so many deep.
    Block(u32),
}

struct Reader {
    dialect: Dialect,
    policy: Unsafe,
    place: Place,
    /// The bytes before, as far as they decide what a quote means.
    before: [u8; 2],
}

impl Reader {
    fn new(dialect: Dialect, policy: Unsafe) -> Reader {
        Reader {
            dialect,
            policy,
            place: Place::Plain,
            before: [b' ', b' '],
        }
    }

    /// Reads a part of the statement.
    fn read(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            let used = self.step(byte, after);
            let (taken, left) = rest.split_at_checked(used.max(1)).unwrap_or((rest, &[]));
            for &byte in taken {
                self.before = [self.before[1], byte];
            }
            rest = left;
        }
    }

    /// Reads one byte, or several that belong together; returns how many.
    fn step(&mut self, byte: u8, after: &[u8]) -> usize {
        let next = after.first().copied();
        match &mut self.place {
            Place::Plain => return self.open(byte, after),
            Place::Quoted { quote, backslash } => {
                if byte == b'\\' && *backslash {
                    self.place = Place::Escaped { quote: *quote };
                } else if byte == *quote {
                    if next == Some(byte) {
                        return 2;
                    }
                    self.place = Place::Plain;
                }
            }
            Place::Escaped { quote } => {
                self.place = Place::Quoted {
                    quote: *quote,
                    backslash: true,
                };
            }
            Place::Dollar(tag) => {
                if byte == b'$' && [&[byte], after].concat().starts_with(tag) {
                    let length = tag.len();
                    self.place = Place::Plain;
                    return length;
                }
            }
            Place::Line if byte == b'\n' => self.place = Place::Plain,
            Place::Line => {}
            Place::Block(depth) => match (byte, next) {
                (b'*', Some(b'/')) => {
                    *depth = depth.saturating_sub(1);
                    if *depth == 0 {
                        self.place = Place::Plain;
                    }
                    return 2;
                }
                (b'/', Some(b'*')) if self.dialect == Dialect::Postgres => {
                    *depth = depth.saturating_add(1);
                    return 2;
                }
                _ => {}
            },
        }
        1
    }

    fn open(&mut self, byte: u8, after: &[u8]) -> usize {
        let next = after.first().copied();
        let mysql = self.dialect == Dialect::Mysql;
        match (byte, next) {
            (b'\'', _) => self.quoted(byte, mysql || self.is_escape_literal()),
            (b'"', _) => self.quoted(byte, mysql),
            (b'`', _) if self.dialect != Dialect::Postgres => self.quoted(byte, false),
            (b'[', _) if self.dialect == Dialect::Sqlite => self.quoted(b']', false),
            (b'-', Some(b'-')) if !mysql || begins_comment(after) => self.place = Place::Line,
            (b'#', _) if mysql => self.place = Place::Line,
            // What stands in `/*! … */` is run.
            (b'/', Some(b'*')) if !(mysql && matches!(after.get(1), Some(b'!' | b'M'))) => {
                self.place = Place::Block(1);
                return 2;
            }
            (b'$', _) if self.dialect == Dialect::Postgres && !is_of_name(self.before[1]) => {
                if let Some(tag) = dollar_tag(after) {
                    let length = tag.len();
                    self.place = Place::Dollar(tag);
                    return length;
                }
            }
            _ => {}
        }
        1
    }

    fn quoted(&mut self, quote: u8, backslash: bool) {
        self.place = Place::Quoted { quote, backslash };
    }

    /// `E'…'` of PostgreSQL, whose backslashes escape.
    fn is_escape_literal(&self) -> bool {
        let [outer, inner] = self.before;
        self.dialect == Dialect::Postgres && inner.eq_ignore_ascii_case(&b'e') && !is_of_name(outer)
    }

    /// Adds the value of a variable.
    fn add_value(&mut self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match &self.place {
            Place::Quoted { quote, backslash } => {
                if is_inert(value, *quote, *backslash) {
                    out.extend_from_slice(value);
                } else if self.policy == Unsafe::Refuse {
                    return Err(Fault::peer(
                        "a value would end the literal of the query that it stands in: put {s.escape.common} or {sql.val} behind the variable, or set escape_values=1",
                    ));
                } else {
                    escape(value, *quote, *backslash, out);
                }
            }
            Place::Escaped { .. } => {
                return Err(Fault::script(
                    "a variable stands behind a backslash inside a literal of the query: take the backslash away",
                ));
            }
            Place::Dollar(tag) => {
                if contains(value, tag) {
                    return Err(Fault::peer(
                        "a value would end the dollar-quoted literal of the query that it stands in",
                    ));
                }
                out.extend_from_slice(value);
            }
            // A line end would let the value out of the comment.
            Place::Line => out.extend(value.iter().filter(|byte| !matches!(byte, b'\n' | b'\r'))),
            Place::Block(_) => {
                out.extend(value.iter().filter(|byte| !matches!(byte, b'*' | b'/')));
            }
            Place::Plain => {
                self.read(value);
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }
}

/// In MySQL two dashes begin a comment where a blank follows; `after` is what stands behind the first.
fn begins_comment(after: &[u8]) -> bool {
    after
        .get(1)
        .is_none_or(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// `$tag$` or `$$`, of what stands behind the first dollar.
fn dollar_tag(after: &[u8]) -> Option<Vec<u8>> {
    let end = after
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let name = after.get(..end)?;
    let is_tag = after.get(end) == Some(&b'$') && !name.first().is_some_and(u8::is_ascii_digit);
    is_tag.then(|| [b"$", name, b"$"].concat())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// Between these quotes the text neither ends the literal nor changes what comes behind it.
fn is_inert(text: &[u8], quote: u8, backslash: bool) -> bool {
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let fine = match byte {
            0 => false,
            byte if byte == quote => rest.next() == Some(&quote),
            b'\\' if backslash => rest.next().is_some_and(|next| *next != 0),
            _ => true,
        };
        if !fine {
            return false;
        }
    }
    true
}

/// NUL has no place in any of the dialects' literals; MySQL can write it.
fn escape(text: &[u8], quote: u8, backslash: bool, out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            0 if backslash => out.extend_from_slice(b"\\0"),
            0 => {}
            b'\\' if backslash => out.extend_from_slice(b"\\\\"),
            byte if byte == quote => out.extend_from_slice(&[quote, quote]),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{testing::FakeBind, testing::Server};

    use super::*;

    const ALL: [Dialect; 3] = [Dialect::Sqlite, Dialect::Mysql, Dialect::Postgres];

    const ATTACKS: [&str; 16] = [
        "' OR '1'='1",
        "'; DROP TABLE t; --",
        "\\",
        "\\'",
        "\\\\'",
        "\\'; DELETE FROM t; -- ",
        "''",
        "'''",
        "x'",
        "'x",
        "' UNION SELECT password FROM subscriber /*",
        "\" OR \"\"=\"",
        "` OR 1",
        "*/ OR 1 --",
        "nul\0'",
        "$$; DROP TABLE t; $$",
    ];

    fn sql(text: &str, dialect: Dialect, values: &[&str]) -> Result<String, Fault> {
        let server = Server::new(|config| {
            config.bind = std::sync::Arc::new(FakeBind::default());
        });
        let mut cx = server.invite();
        let bind = cx.bind();
        let format = bind.format(text).expect("a format");
        for (at, value) in values.iter().enumerate() {
            let var = bind.var(&format!("$var({at})")).expect("a variable");
            var.set(&mut cx, Value::from((*value).to_owned()))
                .expect("it is set");
        }
        sql_of(&format, dialect, Unsafe::Escape, &mut cx).map(|sql| sql.text().into_owned())
    }

    /// How the database reads the statement: its parts outside of literals and comments.
    fn skeleton(text: &str, dialect: Dialect) -> String {
        let mut reader = Reader::new(dialect, Unsafe::Escape);
        let mut out = String::new();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let was = reader.place.clone();
            let used = reader.step(bytes[at], &bytes[at + 1..]).max(1);
            for &byte in &bytes[at..at + used] {
                reader.before = [reader.before[1], byte];
            }
            if was == Place::Plain && reader.place == Place::Plain {
                out.push_str(&text[at..at + used]);
            } else if was == Place::Plain {
                out.push('?');
            }
            at += used;
        }
        assert!(
            matches!(reader.place, Place::Plain | Place::Line),
            "{dialect:?}: {text}"
        );
        out
    }

    #[test]
    fn no_value_ends_its_literal() {
        for dialect in ALL {
            for attack in ATTACKS {
                let text = "select * from t where a = '$var(0)' and b = 'x$var(0)y$var(1)' order by c";
                let made = sql(text, dialect, &[attack, attack]).expect("a statement");
                let wanted = "select * from t where a = ? and b = ? order by c";
                assert_eq!(skeleton(&made, dialect), wanted, "{dialect:?} {attack}: {made}");
            }
        }
    }

    #[test]
    fn quoted_names_and_own_literals_hold_too() {
        let texts = [
            (Dialect::Mysql, "select `$var(0)` from t where a = \"$var(0)\""),
            (
                Dialect::Sqlite,
                "select [$var(0)], `$var(0)` from t where a = \"$var(0)\"",
            ),
            (
                Dialect::Postgres,
                "select \"$var(0)\" from t where a = E'$var(0)' and b = e'it\\'s $var(0)'",
            ),
        ];
        for (dialect, text) in texts {
            let wanted = skeleton(&sql(text, dialect, &["plain"]).expect("a statement"), dialect);
            for attack in ATTACKS.iter().chain(&["] or 1"]) {
                let made = sql(text, dialect, &[attack]).expect("a statement");
                assert_eq!(skeleton(&made, dialect), wanted, "{dialect:?} {attack}: {made}");
            }
        }
    }

    #[test]
    fn what_is_inert_goes_out_byte_for_byte() {
        let text = "insert into t values ('$var(0)')";
        for (dialect, value) in [
            (Dialect::Mysql, "O\\'Brien"),
            (Dialect::Mysql, "back\\\\slash"),
            (Dialect::Sqlite, "O''Brien"),
            (Dialect::Sqlite, "back\\slash"),
            (Dialect::Postgres, "ends in \\"),
            (Dialect::Postgres, "say \"hi\""),
        ] {
            assert_eq!(
                sql(text, dialect, &[value]).expect("a statement"),
                text.replace("$var(0)", value)
            );
        }
        let escaped = sql(text, Dialect::Sqlite, &["O'Brien"]).expect("a statement");
        assert_eq!(escaped, "insert into t values ('O''Brien')");
        let escaped = sql(text, Dialect::Mysql, &["a\\"]).expect("a statement");
        assert_eq!(escaped, "insert into t values ('a\\\\')");
    }

    #[test]
    fn a_value_may_be_refused_instead() {
        let mut cx = Server::new(|config| config.bind = std::sync::Arc::new(FakeBind::default())).invite();
        let bind = cx.bind();
        let format = bind.format("select '$var(a)'").expect("a format");
        let var = bind.var("$var(a)").expect("a variable");
        for (dialect, value, refused) in [
            (Dialect::Sqlite, "O'Brien", true),
            (Dialect::Sqlite, "O\\'Brien", true),
            (Dialect::Mysql, "O\\'Brien", false),
            (Dialect::Postgres, "O''Brien", false),
            (Dialect::Mysql, "harmless", false),
        ] {
            var.set(&mut cx, Value::from(value)).expect("it is set");
            let made = sql_of(&format, dialect, Unsafe::Refuse, &mut cx);
            assert_eq!(made.is_err(), refused, "{dialect:?} {value}");
        }
    }

    #[test]
    fn comments_hold_their_values() {
        for dialect in ALL {
            let made =
                sql("select 1 -- $var(0)\n from t", dialect, &["x\n; drop table t"]).expect("a statement");
            assert_eq!(skeleton(&made, dialect), "select 1 ? from t");
            let made =
                sql("select /* $var(0) */ 1 from t", dialect, &["*/ drop table t /*"]).expect("a statement");
            assert_eq!(skeleton(&made, dialect), "select ? 1 from t");
        }
    }

    #[test]
    fn what_only_looks_like_a_comment_is_none() {
        for text in [
            "select 5--1, '$var(0)'",
            "select /*! 1, */ '$var(0)'",
            "select a$b$c, '$var(0)'",
        ] {
            let dialect = if text.contains('$') && text.contains("a$b") {
                Dialect::Postgres
            } else {
                Dialect::Mysql
            };
            let made = sql(text, dialect, &["x'; drop"]).expect("a statement");
            assert_eq!(made, text.replace("$var(0)", "x''; drop"));
        }
    }

    #[test]
    fn sql_in_variables_is_the_script_s_own() {
        let whole = sql("$var(0)", Dialect::Sqlite, &["select 'x' from t"]).expect("a statement");
        assert_eq!(whole, "select 'x' from t");
        let part = sql(
            "select * from t where $var(0) and b = '$var(1)'",
            Dialect::Sqlite,
            &["a = 'x'", "y'z"],
        );
        assert_eq!(
            part.expect("a statement"),
            "select * from t where a = 'x' and b = 'y''z'"
        );
    }

    #[test]
    fn what_cannot_be_made_harmless_is_refused() {
        assert!(sql("select 'a\\$var(0)'", Dialect::Mysql, &["x"]).is_err());
        assert!(sql("select $$x $var(0) x$$", Dialect::Postgres, &["$$"]).is_err());
        assert!(sql("select $a$x $var(0) x$a$", Dialect::Postgres, &["$$"]).is_ok());
        assert_eq!(
            sql("select 'a\\$var(0)'", Dialect::Sqlite, &["x"]).expect("ordinary there"),
            "select 'a\\x'"
        );
    }
}
