//! The framework file of `xhttp_pi`: databases, tables and commands.

use std::{collections::HashMap, sync::Arc};

use kahea_db::{Database, Op, Query, Value, parse_time};
use kahea_module::Str;
use kahea_sip::view::Uri;

use crate::xml::{self, Element};

/// Everything that a framework file says.
pub struct Framework {
    /// The groups of commands, in the order of the file.
    pub groups: Vec<Group>,
}

/// A `mod`.
pub struct Group {
    /// Its name in the menu.
    pub name: String,
    /// Its commands.
    pub commands: Vec<Arc<Command>>,
}

/// A `cmd`.
pub struct Command {
    /// Its name in the menu.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What is compared, and how.
    pub clause: Vec<(Field, Op)>,
    /// What is read or written.
    pub query: Vec<Field>,
    /// Where it is done.
    pub database: Database,
    /// The statement, without values.
    pub statement: Arc<Query>,
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `DB1_QUERY`.
    Query,
    /// `DB1_INSERT`.
    Insert,
    /// `DB1_DELETE`.
    Delete,
    /// `DB1_UPDATE`.
    Update,
    /// `DB1_REPLACE`.
    Replace,
}

/// A `col` of a command.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name of its column.
    pub name: String,
    kind: Type,
    check: Option<Check>,
    /// The only values that it takes, with their names.
    pub choices: Vec<(String, String)>,
    /// The command that a value leads to.
    pub link: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Int,
    Double,
    Text,
    Time,
    Blob,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Ip4,
    Uri,
    UriIp4,
    HostPort,
    Ip4Port,
}

struct Table {
    name: String,
    database: Database,
    columns: HashMap<String, (Type, Option<Check>)>,
}

/// How operators are written.
pub fn sign(op: Op) -> &'static str {
    match op {
        Op::Ne => "!=",
        Op::Lt => "<",
        Op::Le => "<=",
        Op::Gt => ">",
        Op::Ge => ">=",
        _ => "=",
    }
}

/// Opens the database of a URL.
pub type Open<'a> = &'a dyn Fn(&str) -> Result<Database, String>;

impl Framework {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn read(text: &[u8], open: Open<'_>) -> Result<Framework, String> {
        let root = xml::parse(text).map_err(|error| error.to_string())?;
        if root.name != "framework" {
            return Err(format!("the document is a {}, not a framework", root.name));
        }
        let mut databases = HashMap::new();
        for own in root.all("db_url") {
            let id = own.attribute("id").ok_or("a db_url has no id")?;
            databases.insert(id.to_owned(), open(own.text.trim())?);
        }
        let mut tables = HashMap::new();
        for own in root.all("db_table") {
            let id = own.attribute("id").ok_or("a db_table has no id")?;
            let table = table(own, &databases).map_err(|error| format!("table {id}: {error}"))?;
            tables.insert(id.to_owned(), table);
        }
        let groups = root
            .all("mod")
            .map(|own| group(own, &tables))
            .collect::<Result<_, _>>()?;
        Ok(Framework { groups })
    }
}

fn part<'a>(element: &'a Element, name: &str) -> Result<&'a str, String> {
    element
        .text_of(name)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| format!("{name} is missing"))
}

fn table(element: &Element, databases: &HashMap<String, Database>) -> Result<Table, String> {
    let id = part(element, "db_url_id")?;
    let database = databases
        .get(id)
        .ok_or_else(|| format!("there is no db_url {id}"))?;
    let mut columns = HashMap::new();
    for column in element.all("column") {
        let kind = match part(column, "type")? {
            "DB1_INT" | "DB1_BIGINT" | "DB1_BITMAP" => Type::Int,
            "DB1_DOUBLE" => Type::Double,
            "DB1_STRING" | "DB1_STR" => Type::Text,
            "DB1_DATETIME" => Type::Time,
            "DB1_BLOB" => Type::Blob,
            other => return Err(format!("{other} is no type of a column")),
        };
        let check = match column.text_of("validation") {
            None | Some("") => None,
            Some("IPV4") => Some(Check::Ip4),
            Some("URI") => Some(Check::Uri),
            Some("URI_IPV4HOST") => Some(Check::UriIp4),
            Some("P_HOST_PORT") => Some(Check::HostPort),
            Some("P_IPV4_PORT") => Some(Check::Ip4Port),
            Some(other) => return Err(format!("{other} is no validation")),
        };
        columns.insert(part(column, "field")?.to_owned(), (kind, check));
    }
    Ok(Table {
        name: part(element, "table_name")?.to_owned(),
        database: database.clone(),
        columns,
    })
}

fn group(element: &Element, tables: &HashMap<String, Table>) -> Result<Group, String> {
    let name = part(element, "mod_name")
        .map_err(|error| format!("a mod: {error}"))?
        .to_owned();
    let commands = element
        .all("cmd")
        .map(|own| command(own, tables).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("mod {name}: {error}"))?;
    Ok(Group { name, commands })
}

fn command(element: &Element, tables: &HashMap<String, Table>) -> Result<Command, String> {
    let name = part(element, "cmd_name")?.to_owned();
    let about = |error: String| format!("cmd {name}: {error}");
    let id = part(element, "db_table_id").map_err(about)?;
    let table = tables
        .get(id)
        .ok_or_else(|| about(format!("there is no db_table {id}")))?;
    let kind = match part(element, "cmd_type").map_err(about)? {
        "DB1_QUERY" => Kind::Query,
        "DB1_INSERT" => Kind::Insert,
        "DB1_DELETE" => Kind::Delete,
        "DB1_UPDATE" => Kind::Update,
        "DB1_REPLACE" => Kind::Replace,
        other => return Err(about(format!("{other} is no type of a command"))),
    };
    let columns = |name: &str| element.child(name).into_iter().flat_map(|list| list.all("col"));
    let clause = columns("clause_cols")
        .map(|col| Ok((field(col, table)?, operator(part(col, "operator")?)?)))
        .collect::<Result<Vec<_>, String>>()
        .map_err(about)?;
    let query = columns("query_cols")
        .map(|col| field(col, table))
        .collect::<Result<Vec<_>, String>>()
        .map_err(about)?;
    let order = columns("order_by_cols")
        .map(|col| field(col, table))
        .collect::<Result<Vec<_>, String>>()
        .map_err(about)?;
    let statement = statement(kind, table, &clause, &query, order.first()).map_err(about)?;
    Ok(Command {
        name: name.clone(),
        kind,
        clause,
        query,
        database: table.database.clone(),
        statement,
    })
}

fn operator(text: &str) -> Result<Op, String> {
    Ok(match text {
        "=" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        other => return Err(format!("{other} is no operator")),
    })
}

fn field(element: &Element, table: &Table) -> Result<Field, String> {
    let name = part(element, "field")?.to_owned();
    let (kind, check) = table
        .columns
        .get(&name)
        .copied()
        .ok_or_else(|| format!("table {} has no column {name}", table.name))?;
    let choice = |value: &Element| {
        let text = value.text.trim().to_owned();
        (
            value.attribute("id").map_or_else(|| text.clone(), str::to_owned),
            text,
        )
    };
    Ok(Field {
        name,
        kind,
        check,
        choices: element.all("value").map(choice).collect(),
        link: element.text_of("link_cmd").map(str::to_owned),
    })
}

fn statement(
    kind: Kind,
    table: &Table,
    clause: &[(Field, Op)],
    query: &[Field],
    order: Option<&Field>,
) -> Result<Arc<Query>, String> {
    let columns: Vec<&str> = query.iter().map(|field| field.name.as_str()).collect();
    let needs = |what: &str, there: bool| {
        if there {
            Ok(())
        } else {
            Err(format!("{what} are missing"))
        }
    };
    let mut made = match kind {
        Kind::Query => {
            needs("query_cols", !query.is_empty())?;
            Query::select(&table.name, &columns)
        }
        Kind::Insert | Kind::Replace => {
            needs("query_cols", !query.is_empty())?;
            match kind {
                Kind::Insert => Query::insert(&table.name, &columns),
                // The first column is the key, as in the tables of Kamailio.
                _ => Query::replace(&table.name, &columns, columns.get(..1).unwrap_or_default()),
            }
        }
        Kind::Update => {
            needs("query_cols", !query.is_empty())?;
            Query::update(&table.name, &columns)
        }
        Kind::Delete => {
            needs("clause_cols", !clause.is_empty())?;
            Query::delete(&table.name)
        }
    };
    for (field, op) in clause {
        made = made.when(&field.name, *op);
    }
    if let (Kind::Query, Some(order)) = (kind, order) {
        made = made.order_by(&order.name);
    }
    Ok(made.build())
}

impl Field {
    /// The value of a text that a client sent; `None` where the column does not take it.
    pub fn value(&self, text: &str) -> Option<Value> {
        if !self.choices.is_empty() && !self.choices.iter().any(|(_, value)| value == text) {
            return None;
        }
        if self.check.is_some_and(|check| !check.holds(text)) {
            return None;
        }
        Some(match self.kind {
            Type::Int => Value::Int(text.trim().parse().ok()?),
            Type::Double => Value::Real(
                text.trim()
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())?,
            ),
            Type::Text => Value::Text(Str::from(text)),
            Type::Time => Value::Time(parse_time(text)?),
            Type::Blob => Value::Blob(Str::from(text)),
        })
    }
}

impl Check {
    fn holds(self, text: &str) -> bool {
        let is_ip4 = |text: &str| text.parse::<std::net::Ipv4Addr>().is_ok();
        match self {
            Check::Ip4 => is_ip4(text),
            Check::Uri => Uri::parse(text.as_bytes()).is_ok(),
            Check::UriIp4 => {
                Uri::parse(text.as_bytes()).is_ok_and(|uri| std::str::from_utf8(uri.host).is_ok_and(is_ip4))
            }
            Check::HostPort => host_port(text).is_some(),
            Check::Ip4Port => host_port(text).is_some_and(is_ip4),
        }
    }
}

/// The host of `[proto:]host[:port]`.
fn host_port(text: &str) -> Option<&str> {
    let rest = match text.split_once(':') {
        Some((proto, rest)) if ["udp", "tcp", "tls", "sctp"].contains(&proto) => rest,
        _ => text,
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let number = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let mark = |one: char| one.is_ascii_alphanumeric() || matches!(one, '.' | '-' | '_');
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(mark),
    };
    (is_host && port.is_none_or(number)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        assert!(Check::HostPort.holds("udp:example.org:5060") && Check::HostPort.holds("[::1]:5060"));
        assert!(Check::HostPort.holds("example.org") && !Check::HostPort.holds("a b"));
        assert!(!Check::HostPort.holds("a:0") && !Check::HostPort.holds("a:b") && !Check::HostPort.holds(""));
        assert!(Check::Ip4Port.holds("tcp:127.0.0.1:5060") && !Check::Ip4Port.holds("example.org"));
        assert!(Check::Uri.holds("sip:a@b") && !Check::Uri.holds("nouri"));
        assert!(Check::UriIp4.holds("sip:a@127.0.0.1") && !Check::UriIp4.holds("sip:a@b"));
        let field = |kind, choices: &[(&str, &str)]| Field {
            name: "n".to_owned(),
            kind,
            check: None,
            choices: choices
                .iter()
                .map(|(id, value)| ((*id).to_owned(), (*value).to_owned()))
                .collect(),
            link: None,
        };
        assert_eq!(field(Type::Int, &[]).value("5"), Some(Value::Int(5)));
        assert_eq!(field(Type::Int, &[]).value("abc"), None);
        assert_eq!(field(Type::Int, &[("on", "1")]).value("2"), None);
        assert_eq!(field(Type::Int, &[("on", "1")]).value("1"), Some(Value::Int(1)));
    }

    #[test]
    fn what_is_no_framework_is_refused() {
        let open = |_: &str| Err("no database here".to_owned());
        for text in [
            "",
            "<other/>",
            "<framework><db_url>x</db_url></framework>",
            "<framework><db_url id='a'>x</db_url></framework>",
            "<framework><db_table id='t'/></framework>",
            "<framework><mod/></framework>",
            "<framework><mod><mod_name>m</mod_name><cmd><cmd_name>c</cmd_name></cmd></mod></framework>",
        ] {
            assert!(Framework::read(text.as_bytes(), &open).is_err(), "{text}");
        }
        assert!(Framework::read(b"<framework/>", &open).is_ok_and(|own| own.groups.is_empty()));
    }
}
