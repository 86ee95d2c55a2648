//! Errors of the server and the client library, by who can repair them.

use kahea_db::Error;
use tokio_postgres::{Error as Postgres, error::SqlState};

/// What an error means for a statement.
pub(crate) fn of_statement(error: &Postgres) -> Error {
    let Some(db) = error.as_db_error() else {
        // Without an answer of the server it is a value that does not fit, or the connection.
        return match error.is_closed() || is_io(error) {
            true => Error::Lost(text(error)),
            false => Error::Refused(text(error)),
        };
    };
    let text = match db.detail() {
        Some(detail) => format!("{}: {detail} ({})", db.message(), db.code().code()),
        None => format!("{} ({})", db.message(), db.code().code()),
    };
    let code = db.code();
    let passing = [
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    match code.code().get(..2) {
        Some("23") => Error::Constraint(text),
        // 57014 is a statement that was cancelled, by a timeout or by hand.
        Some("08" | "57") => Error::Lost(text),
        _ if passing.contains(code) => Error::Unavailable(text),
        _ => Error::Refused(text),
    }
}

/// What an error means for a connection that was to be opened.
pub(crate) fn of_connection(error: &Postgres) -> Error {
    Error::Unavailable(match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => text(error),
    })
}

fn is_io(error: &Postgres) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

fn text(error: &Postgres) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
