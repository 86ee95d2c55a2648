//! Errors of SQLite, by who can repair them.

use kahea_db::Error;
use rusqlite::{Error as Sqlite, ErrorCode};

/// What it means for a statement.
pub(crate) fn of(error: &Sqlite) -> Error {
    let text = error.to_string();
    let Sqlite::SqliteFailure(failure, _) = error else {
        return Error::Refused(text);
    };
    match failure.code {
        ErrorCode::ConstraintViolation => Error::Constraint(text),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Unavailable(format!(
            "{text}; another process holds the file longer than db_set_busy_timeout allows"
        )),
        ErrorCode::CannotOpen | ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt => {
            Error::Unavailable(text)
        }
        ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory => Error::Unavailable(text),
        ErrorCode::OperationInterrupted => Error::Lost(text),
        _ => Error::Refused(text),
    }
}
