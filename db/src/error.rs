//! What can go wrong with a statement, by who can repair it.

use std::{fmt, time::Duration};

use kahea_module::Fault;

/// Why a statement has no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The server cannot be reached, or refuses the login. Nothing was done.
    Unavailable(String),
    /// The server did not answer in time; whether it did the work is not known.
    Timeout(Duration),
    /// The connection broke while the statement ran; whether the work was done is not known.
    Lost(String),
    /// The server refuses the statement: a table or column is missing, the text is wrong, a right is missing.
    Refused(String),
    /// A row of that key is there already, or another constraint of the table forbids it.
    Constraint(String),
    /// The driver has no such statement.
    Unsupported(&'static str),
    /// More statements wait than are allowed to.
    Overloaded,
}

impl Error {
    /// Another attempt may succeed without anybody repairing something.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Error::Unavailable(_) | Error::Timeout(_) | Error::Lost(_) | Error::Overloaded
        )
    }

    /// The connection cannot be used any more.
    pub fn breaks_connection(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Timeout(_) | Error::Lost(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unavailable(why) => write!(f, "the database is not available: {why}"),
            Error::Timeout(after) => write!(f, "the database did not answer within {after:?}"),
            Error::Lost(why) => write!(f, "the connection to the database was lost: {why}"),
            Error::Refused(why) => write!(f, "the database refuses the statement: {why}"),
            Error::Constraint(why) => write!(f, "the row breaks a rule of its table: {why}"),
            Error::Unsupported(what) => write!(f, "this kind of database has no {what}"),
            Error::Overloaded => f.write_str("too many statements wait for the database"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::backend(error.to_string())
    }
}
