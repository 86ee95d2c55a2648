//! Connections as scripts name them.

use std::sync::{Arc, OnceLock};

use kahea_db::{Database, sql::Dialect};
use kahea_module::{Arg, ArgKind, ArgSource, Bind, BindError, Cx, Fault, Format, Str, Value, arg::Fixed};

use super::Sqlops;

/// A connection. Cloning gives another handle.
#[derive(Clone)]
pub(super) struct Connection {
    pub name: Str,
    pub database: Database,
    /// What it speaks, for the reading of literals.
    pub dialect: Dialect,
    /// It tells how many rows a statement changed.
    pub counts: bool,
}

impl Connection {
    pub fn new(name: Str, database: Database) -> Connection {
        let features = database.features();
        Connection {
            name,
            dialect: features.dialect.unwrap_or(Dialect::Sqlite),
            counts: features.counts,
            database,
        }
    }
}

/// The name of a connection as the argument of a function; one that the script names directly is looked up once.
pub(super) struct ConnectionArg(Arc<ConnectionName>);

struct ConnectionName {
    name: Str,
    found: OnceLock<Connection>,
}

impl ConnectionArg {
    fn of(name: Str) -> ConnectionArg {
        ConnectionArg(Arc::new(ConnectionName {
            name,
            found: OnceLock::new(),
        }))
    }

    pub fn resolve(&self, m: &Sqlops) -> Result<&Connection, Fault> {
        if let Some(connection) = self.0.found.get() {
            return Ok(connection);
        }
        let connection = m.connection(&self.0.name)?.clone();
        Ok(self.0.found.get_or_init(|| connection))
    }
}

impl Arg for ConnectionArg {
    const KIND: ArgKind = ArgKind::Str;
    type Fixed = Fixed<ConnectionArg>;

    fn fix(source: Option<&ArgSource>, bind: &dyn Bind) -> Result<Self::Fixed, BindError> {
        let format = <Format as Arg>::fix(source, bind)?;
        Ok(match format.as_constant() {
            Some(name) => Fixed::Known(ConnectionArg::of(name)),
            None => Fixed::Format(format),
        })
    }

    fn get(fixed: &Self::Fixed, cx: &mut Cx) -> Result<Self, Fault> {
        Ok(match fixed {
            Fixed::Known(known) => ConnectionArg(known.0.clone()),
            Fixed::Format(format) => ConnectionArg::of(format.text(cx)),
            Fixed::Var(var) => ConnectionArg::of(var.get(cx).str_or_empty()),
            Fixed::Expr(expr) => ConnectionArg::of(expr(cx).str_or_empty()),
        })
    }

    fn from_value(value: Option<Value>, cx: &mut Cx) -> Result<Self, Fault> {
        <Str as Arg>::from_value(value, cx).map(ConnectionArg::of)
    }
}
