//! The SQL of db_text: SELECT, INSERT, REPLACE, UPDATE and DELETE on one table.

use kahea_db::{Error, Op, Value};
use kahea_module::Str;

use super::engine::{Filter, Request, Work};

/// Conditions in brackets within brackets, at most so deep.
const DEEPEST: usize = 50;

/// Reads a statement; `values` are those of its placeholders.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn parse(text: &[u8], values: &[Value]) -> Result<Request, Error> {
    let tokens = tokens(text)?;
    let mut reader = Reader {
        tokens: tokens.into_iter().peekable(),
        values: values.iter(),
        depth: 0,
    };
    let request = reader.statement()?;
    reader.take(b';');
    match (reader.tokens.next(), reader.values.next()) {
        (Some(token), _) => Err(reader.wrong("the end of the statement", Some(&token))),
        (None, Some(_)) => Err(Error::Refused(
            "there are more values than placeholders".to_owned(),
        )),
        (None, None) => Ok(request),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(Str),
    /// Between quotes.
    Text(Str),
    Number(Str),
    Symbol(u8),
    /// `<>`, `<=`, `>=`, `!=`
    Pair([u8; 2]),
}

fn tokens(text: &[u8]) -> Result<Vec<Token>, Error> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((&first, more)) = rest.split_first() {
        rest = match first {
            b' ' | b'\t' | b'\r' | b'\n' => more,
            b'\'' | b'"' => {
                let (inside, after) = quoted(more, first)?;
                out.push(Token::Text(inside));
                after
            }
            b'`' => {
                let (inside, after) = quoted(more, first)?;
                out.push(Token::Word(inside));
                after
            }
            b'0'..=b'9' | b'.' | b'-' => {
                let length = 1usize.saturating_add(run(more, |b| b.is_ascii_digit() || b == b'.'));
                let (number, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                out.push(Token::Number(Str::copy(number)));
                after
            }
            b'<' | b'>' | b'!' => match more.split_first() {
                Some((&second @ (b'=' | b'>'), after)) => {
                    out.push(Token::Pair([first, second]));
                    after
                }
                _ => {
                    out.push(Token::Symbol(first));
                    more
                }
            },
            b'(' | b')' | b',' | b'*' | b'=' | b'?' | b';' => {
                out.push(Token::Symbol(first));
                more
            }
            _ => {
                let length = run(rest, |b| b.is_ascii_alphanumeric() || b"_-.$".contains(&b));
                if length == 0 {
                    return Err(Error::Refused(format!(
                        "syntax error at \"{}\"",
                        String::from_utf8_lossy(rest)
                    )));
                }
                let (word, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                out.push(Token::Word(Str::copy(word)));
                after
            }
        };
    }
    Ok(out)
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(**byte)).count()
}

/// Up to the closing quote; a doubled quote is one.
fn quoted(text: &[u8], quote: u8) -> Result<(Str, &[u8]), Error> {
    let mut inside = Vec::new();
    let mut rest = text;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        if byte != quote {
            inside.push(byte);
        } else if more.first() == Some(&quote) {
            inside.push(quote);
            rest = more.get(1..).unwrap_or_default();
        } else {
            return Ok((Str::from(inside), rest));
        }
    }
    Err(Error::Refused(
        "syntax error: a text has no closing quote".to_owned(),
    ))
}

struct Reader<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    values: std::slice::Iter<'a, Value>,
    depth: usize,
}

impl Reader<'_> {
    fn wrong(&self, wanted: &str, found: Option<&Token>) -> Error {
        let found = match found {
            None => "the end".to_owned(),
            Some(Token::Word(text) | Token::Text(text) | Token::Number(text)) => format!("\"{text}\""),
            Some(Token::Symbol(byte)) => format!("\"{}\"", char::from(*byte)),
            Some(Token::Pair([one, two])) => format!("\"{}{}\"", char::from(*one), char::from(*two)),
        };
        Error::Refused(format!("syntax error: {wanted} was expected, {found} was found"))
    }

    fn take(&mut self, symbol: u8) -> bool {
        self.tokens
            .next_if(|token| *token == Token::Symbol(symbol))
            .is_some()
    }

    fn need(&mut self, symbol: u8) -> Result<(), Error> {
        match self.take(symbol) {
            true => Ok(()),
            false => Err(self.wrong(&format!("\"{}\"", char::from(symbol)), self.tokens.clone().peek())),
        }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_it = |token: &Token| matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(wanted.as_bytes()));
        self.tokens.next_if(is_it).is_some()
    }

    fn need_word(&mut self, wanted: &str) -> Result<(), Error> {
        match self.take_word(wanted) {
            true => Ok(()),
            false => Err(self.wrong(wanted, self.tokens.clone().peek())),
        }
    }

    fn name(&mut self) -> Result<Str, Error> {
        match self.tokens.next() {
            Some(Token::Word(name)) => Ok(name),
            other => Err(self.wrong("a name", other.as_ref())),
        }
    }

    fn value(&mut self) -> Result<Value, Error> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(Value::Text(text)),
            Some(Token::Number(text)) => {
                let digits = text.as_utf8().unwrap_or_default();
                let number = digits
                    .parse()
                    .map(Value::Int)
                    .or_else(|_| digits.parse().map(Value::Real));
                number.map_err(|_| self.wrong("a number", Some(&Token::Number(text))))
            }
            Some(Token::Word(word)) if word.eq_ignore_ascii_case(b"null") => Ok(Value::Null),
            // As in Kamailio a text of one word needs no quotes.
            Some(Token::Word(word)) => Ok(Value::Text(word)),
            Some(Token::Symbol(b'?')) => match self.values.next() {
                Some(value) => Ok(value.clone()),
                None => Err(Error::Refused(
                    "there are more placeholders than values".to_owned(),
                )),
            },
            other => Err(self.wrong("a value", other.as_ref())),
        }
    }

    fn statement(&mut self) -> Result<Request, Error> {
        if self.take_word("select") {
            self.select()
        } else if self.take_word("insert") {
            self.insert(false)
        } else if self.take_word("replace") {
            self.insert(true)
        } else if self.take_word("update") {
            let table = self.name()?;
            self.need_word("set")?;
            let values = self.assignments()?;
            let filter = self.filter()?;
            Ok(Request {
                table,
                work: Work::Update { values, filter },
            })
        } else if self.take_word("delete") {
            self.need_word("from")?;
            let table = self.name()?;
            let filter = self.filter()?;
            Ok(Request {
                table,
                work: Work::Delete(filter),
            })
        } else {
            Err(self.wrong(
                "SELECT, INSERT, REPLACE, UPDATE or DELETE",
                self.tokens.clone().peek(),
            ))
        }
    }

    fn select(&mut self) -> Result<Request, Error> {
        let columns = match self.take(b'*') {
            true => Vec::new(),
            false => self.names()?,
        };
        self.need_word("from")?;
        let table = self.name()?;
        let filter = self.filter()?;
        let mut order = Vec::new();
        if self.take_word("order") {
            self.need_word("by")?;
            loop {
                let column = self.name()?;
                let descending = self.take_word("desc");
                if !descending {
                    self.take_word("asc");
                }
                order.push((column, descending));
                if !self.take(b',') {
                    break;
                }
            }
        }
        let most = match self.take_word("limit") {
            false => None,
            true => match self.value()?.int().and_then(|n| usize::try_from(n).ok()) {
                Some(most) => Some(most),
                None => return Err(self.wrong("a number of rows", None)),
            },
        };
        Ok(Request {
            table,
            work: Work::Select {
                columns,
                filter,
                order,
                most,
            },
        })
    }

    fn insert(&mut self, replaces: bool) -> Result<Request, Error> {
        self.need_word("into")?;
        let table = self.name()?;
        self.need(b'(')?;
        let columns = self.names()?;
        self.need(b')')?;
        self.need_word("values")?;
        self.need(b'(')?;
        let mut given = Vec::new();
        loop {
            given.push(self.value()?);
            if !self.take(b',') {
                break;
            }
        }
        self.need(b')')?;
        if columns.len() != given.len() {
            let (columns, given) = (columns.len(), given.len());
            return Err(Error::Refused(format!(
                "syntax error: {given} values for {columns} columns"
            )));
        }
        let keys = columns.first().cloned().into_iter().collect();
        let values = columns.into_iter().zip(given).collect();
        let work = match replaces {
            true => Work::Replace { values, keys },
            false => Work::Insert(values),
        };
        Ok(Request { table, work })
    }

    fn names(&mut self) -> Result<Vec<Str>, Error> {
        let mut names = vec![self.name()?];
        while self.take(b',') {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn assignments(&mut self) -> Result<Vec<(Str, Value)>, Error> {
        let mut out = Vec::new();
        loop {
            let column = self.name()?;
            self.need(b'=')?;
            out.push((column, self.value()?));
            if !self.take(b',') {
                return Ok(out);
            }
        }
    }

    fn filter(&mut self) -> Result<Filter, Error> {
        match self.take_word("where") {
            true => self.any(),
            false => Ok(Filter::EVERYTHING),
        }
    }

    fn any(&mut self) -> Result<Filter, Error> {
        let mut filters = vec![self.all()?];
        while self.take_word("or") {
            filters.push(self.all()?);
        }
        Ok(Filter::Any(filters))
    }

    fn all(&mut self) -> Result<Filter, Error> {
        let mut filters = vec![self.test()?];
        while self.take_word("and") {
            filters.push(self.test()?);
        }
        Ok(Filter::All(filters))
    }

    fn test(&mut self) -> Result<Filter, Error> {
        if self.take(b'(') {
            self.depth = self.depth.saturating_add(1);
            if self.depth > DEEPEST {
                return Err(Error::Refused(
                    "syntax error: too many brackets within brackets".to_owned(),
                ));
            }
            let inside = self.any()?;
            self.need(b')')?;
            self.depth = self.depth.saturating_sub(1);
            return Ok(inside);
        }
        let column = self.name()?;
        if self.take_word("is") {
            let op = if self.take_word("not") {
                Op::NotNull
            } else {
                Op::IsNull
            };
            self.need_word("null")?;
            return Ok(Filter::Test(column, op, Value::Null));
        }
        if self.take_word("like") {
            let pattern = self.value()?.text().unwrap_or_default();
            return Ok(Filter::Like(column, pattern));
        }
        let op = match self.tokens.next() {
            Some(Token::Symbol(b'=')) => Op::Eq,
            Some(Token::Symbol(b'<')) => Op::Lt,
            Some(Token::Symbol(b'>')) => Op::Gt,
            Some(Token::Pair([b'<', b'>'] | [b'!', b'='])) => Op::Ne,
            Some(Token::Pair([b'<', b'='])) => Op::Le,
            Some(Token::Pair([b'>', b'='])) => Op::Ge,
            other => return Err(self.wrong("=, <, >, <=, >=, <>, IS or LIKE", other.as_ref())),
        };
        Ok(Filter::Test(column, op, self.value()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_all_kinds_are_read() {
        let request = parse(
            b"SELECT a, `b` FROM t WHERE a = ? and b <= -1.5 ORDER BY a DESC, b LIMIT 3;",
            &[Value::Int(7)],
        );
        let expected = Work::Select {
            columns: vec![Str::from("a"), Str::from("b")],
            filter: Filter::Any(vec![Filter::All(vec![
                Filter::Test(Str::from("a"), Op::Eq, Value::Int(7)),
                Filter::Test(Str::from("b"), Op::Le, Value::Real(-1.5)),
            ])]),
            order: vec![(Str::from("a"), true), (Str::from("b"), false)],
            most: Some(3),
        };
        assert_eq!(
            request,
            Ok(Request {
                table: Str::from("t"),
                work: expected
            })
        );
        for text in [
            "insert into t (a) values ('x')",
            "replace into t (a, b) values (1, null)",
            "update t set a = 1, b = 'c'",
            "delete from t",
        ] {
            assert!(parse(text.as_bytes(), &[]).is_ok(), "{text}");
        }
    }

    #[test]
    fn texts_cannot_end_early() {
        let request = parse(b"delete from t where a = 'x'' or a <> '''", &[]);
        let test = Filter::Test(Str::from("a"), Op::Eq, Value::from("x' or a <> '"));
        assert_eq!(
            request.map(|r| r.work),
            Ok(Work::Delete(Filter::Any(vec![Filter::All(vec![test])])))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("junk", "SELECT, INSERT"),
            ("select a, from t", "from"),
            ("select a from t where a ~ 1", "syntax error at"),
            ("select a from t where a", "the end was found"),
            ("delete from t where a = 'x", "no closing quote"),
            ("insert into t (a, b) values (1)", "1 values for 2 columns"),
            ("select a from t where a = ?", "more placeholders than values"),
            ("delete from t; delete from u", "the end of the statement"),
            ("select a from t limit x", "a number of rows"),
            ("update t set a 1", "\"=\""),
        ] {
            let error = parse(text.as_bytes(), &[]).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = format!(
            "select a from t where {}a = 1{}",
            "(".repeat(1000),
            ")".repeat(1000)
        );
        assert!(parse(deep.as_bytes(), &[]).is_err());
    }
}
