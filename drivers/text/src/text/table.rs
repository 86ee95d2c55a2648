//! A table in a text file: its columns in the first line, `name(type,attribute)`, and a row in each further line.

use kahea_db::{Row, Value, parse_time};
use kahea_module::Str;

/// How files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Between fields.
    pub delimiter: u8,
    /// An empty field of a text column is the empty text, not NULL.
    pub empty_text: bool,
    /// A file with more rows is refused.
    pub most_rows: usize,
}

impl Default for Format {
    fn default() -> Format {
        Format {
            delimiter: b':',
            empty_text: false,
            most_rows: 100_000,
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Whole numbers; moments are seconds since 1970.
    Int,
    /// Fractions, written with two decimals.
    Double,
    Text,
}

/// A column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: Str,
    /// As it stands in the file, brackets included.
    pub(crate) declared: Str,
    pub(crate) kind: Kind,
    pub(crate) null: bool,
    /// Numbered where no value is given.
    pub(crate) auto: bool,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// Where a column stands; upper and lower case are the same.
    pub(crate) fn place(&self, name: &[u8]) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub(crate) fn read(text: &[u8], format: &Format) -> Result<Table, String> {
        let mut lines = text
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let head = lines.next().unwrap_or_default();
        let words = head
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let columns: Vec<Column> = words
            .map(column)
            .collect::<Result<_, _>>()
            .map_err(|why| format!("line 1: {why}"))?;
        if columns.is_empty() {
            return Err(
                "line 1: there are no columns; write for example id(int,auto) name(string)".to_owned(),
            );
        }
        let mut rows = Vec::new();
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            if rows.len() >= format.most_rows {
                return Err(format!(
                    "it has more than {} rows; raise max_result_rows",
                    format.most_rows
                ));
            }
            let place = |why| format!("line {}: {why}", number.saturating_add(2));
            rows.push(row(line, &columns, format).map_err(place)?);
        }
        Ok(Table { columns, rows })
    }

    /// The content of the file.
    pub(crate) fn write(&self, format: &Format) -> Vec<u8> {
        let mut out = self.head();
        out.push(b'\n');
        for row in &self.rows {
            self.write_row(row, format, &mut out);
            out.push(b'\n');
        }
        out
    }

    /// The line with the columns.
    pub(crate) fn head(&self) -> Vec<u8> {
        let words: Vec<&[u8]> = self
            .columns
            .iter()
            .map(|column| column.declared.as_bytes())
            .collect();
        words.join(&b' ')
    }

    /// A row without the end of the line.
    pub(crate) fn write_row(&self, row: &Row, format: &Format, out: &mut Vec<u8>) {
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                out.push(format.delimiter);
            }
            match value {
                Value::Null => {}
                Value::Int(n) | Value::Time(n) => out.extend_from_slice(n.to_string().as_bytes()),
                Value::Real(n) => out.extend_from_slice(format!("{n:.2}").as_bytes()),
                Value::Text(text) | Value::Blob(text) => escape(text.as_bytes(), format.delimiter, out),
            }
        }
    }
}

fn escape(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    for &byte in text {
        let letter = match byte {
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            b'\\' => b'\\',
            0 => b'0',
            byte if byte == delimiter => byte,
            byte => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

/// `name(type,attribute,…)`
fn column(word: &[u8]) -> Result<Column, String> {
    let text = String::from_utf8_lossy(word);
    let wrong = || format!("\"{text}\" is no column; write name(type) or name(type,null)");
    let (name, rest) = text.split_once('(').ok_or_else(wrong)?;
    let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
    let mut parts = inside.split(',');
    let kind = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "int" | "integer" | "time" | "datetime" | "timestamp" | "date" => Kind::Int,
        "double" | "float" | "real" => Kind::Double,
        "str" | "string" | "text" | "blob" => Kind::Text,
        other => {
            return Err(format!(
                "column {name} has the type {other}; there are int, double and string"
            ));
        }
    };
    let mut column = Column {
        name: Str::from(name),
        declared: Str::copy(word),
        kind,
        null: false,
        auto: false,
    };
    for attribute in parts {
        match attribute {
            "null" => column.null = true,
            "auto" if kind == Kind::Int => column.auto = true,
            other => {
                return Err(format!(
                    "column {name} is {other}; a column can be null, and a number auto"
                ));
            }
        }
    }
    match name.is_empty() {
        true => Err(wrong()),
        false => Ok(column),
    }
}

fn row(line: &[u8], columns: &[Column], format: &Format) -> Result<Row, String> {
    let fields = fields(line, format.delimiter)?;
    if fields.len() != columns.len() {
        return Err(format!("{} fields for {} columns", fields.len(), columns.len()));
    }
    fields
        .into_iter()
        .zip(columns)
        .map(|(field, column)| value(field, column, format))
        .collect()
}

fn fields(line: &[u8], delimiter: u8) -> Result<Vec<Vec<u8>>, String> {
    let mut fields = vec![Vec::new()];
    let mut bytes = line.iter();
    while let Some(&byte) = bytes.next() {
        let Some(field) = fields.last_mut() else {
            break;
        };
        match byte {
            b'\\' => field.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(&other) if other == b'\\' || other == delimiter => other,
                Some(&other) => return Err(format!("\\{} stands for nothing", char::from(other))),
                None => return Err("it ends in a backslash".to_owned()),
            }),
            byte if byte == delimiter => fields.push(Vec::new()),
            byte => field.push(byte),
        }
    }
    Ok(fields)
}

fn value(field: Vec<u8>, column: &Column, format: &Format) -> Result<Value, String> {
    let name = column.name.text();
    if field.is_empty() {
        // A text that must not be NULL can only be empty: that is how empty texts are written.
        return match column.kind {
            Kind::Text if format.empty_text || !column.null => Ok(Value::Text(Str::EMPTY)),
            _ if column.null || column.auto => Ok(Value::Null),
            _ => Err(format!("column {name} must not be empty")),
        };
    }
    let text = || std::str::from_utf8(&field).ok().map(str::trim);
    let number = match column.kind {
        Kind::Text => return Ok(Value::Text(Str::from(field))),
        Kind::Int => text()
            .and_then(|text| text.parse().ok().or_else(|| parse_time(text)))
            .map(Value::Int),
        Kind::Double => text().and_then(|text| text.parse().ok()).map(Value::Real),
    };
    number.ok_or_else(|| {
        format!(
            "column {name} holds \"{}\", which is no number",
            String::from_utf8_lossy(&field)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        delimiter: b':',
        empty_text: false,
        most_rows: 3,
    };

    fn read(text: &str) -> Result<Table, String> {
        Table::read(text.as_bytes(), &FORMAT)
    }

    #[test]
    fn a_file_is_read_and_written_as_kamailio_does() {
        let text = "id(int,auto) s(str) n(int,null) f(double) t(str,null)\n1:a\\tb\\:c\\\\d\\n:5:0.34:\n2:\\0x:-7:-3.75:zz\n3:s3::2.5:q\n";
        let table = read(text).expect("it is a table");
        let second = &table.rows[1];
        assert_eq!(second[1], Value::Text(Str::copy(b"\0x")));
        assert_eq!(table.rows[0][1], Value::from("a\tb:c\\d\n"));
        assert_eq!(table.rows[0][4], Value::Null);
        assert_eq!((&second[2], &second[3]), (&Value::Int(-7), &Value::Real(-3.75)));
        let written = String::from_utf8(table.write(&FORMAT)).expect("it is text");
        assert_eq!(written, text.replace("2.5:q", "2.50:q"));
        assert_eq!(read(&written), Ok(table));
    }

    #[test]
    fn the_files_of_the_package_are_read() {
        for table in kahea_db::schema::tables() {
            let table = read(&(table.text_header() + "\n")).expect("it is a table");
            assert_eq!(table.columns.iter().filter(|column| column.auto).count(), 1);
        }
    }

    #[test]
    fn empty_texts_survive() {
        let table = read("a(string) b(string,null)\n:\n").expect("it is a table");
        assert_eq!(table.rows, [[Value::from(""), Value::Null]]);
        let both = Format {
            empty_text: true,
            ..FORMAT
        };
        let table = Table::read(b"a(string) b(string,null)\n:\n", &both).expect("it is a table");
        assert_eq!(table.rows, [[Value::from(""), Value::from("")]]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, why) in [
            ("", "line 1: there are no columns"),
            ("a", "line 1: \"a\" is no column"),
            ("a(money)", "has the type money"),
            ("a(string,auto)", "column a is auto"),
            ("a(int) b(int)\n1:2\n1", "line 3: 1 fields for 2 columns"),
            ("a(int)\nx", "line 2: column a holds \"x\""),
            ("a(int)\n1\n\n:\n", "line 4: 2 fields"),
            ("a(string)\n\\q", "line 2: \\q stands for nothing"),
            ("a(string)\nx\\", "ends in a backslash"),
            ("a(int)\n1\n2\n3\n4", "more than 3 rows"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
