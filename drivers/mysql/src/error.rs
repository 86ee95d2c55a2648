//! Errors of the server and the client library, by who can repair them.

use kahea_db::Error;
use mysql_async::Error as Mysql;

/// A row breaks a rule of its table.
const CONSTRAINTS: &[u16] = &[
    1022, 1048, 1062, 1169, 1216, 1217, 1364, 1451, 1452, 1557, 1586, 1761, 1762, 3819, 4025,
];
/// Nothing was done, and another attempt may go well: too many connections, a lock not had in time, a deadlock.
const PASSING: &[u16] = &[1040, 1203, 1205, 1213];
/// The server ends, or the connection was ended by hand.
const ENDING: &[u16] = &[1053, 1152, 1317, 1927, 4031];
/// The statement cannot be prepared, only run as text.
pub(crate) const NOT_PREPARABLE: u16 = 1295;

/// What an error means for a statement.
pub(crate) fn of_statement(error: Mysql) -> Error {
    match error {
        Mysql::Server(server) => {
            let text = format!("{} ({})", server.message, server.code);
            match server.code {
                code if CONSTRAINTS.contains(&code) => Error::Constraint(text),
                code if PASSING.contains(&code) => Error::Unavailable(text),
                code if ENDING.contains(&code) => Error::Lost(text),
                _ => Error::Refused(text),
            }
        }
        other => Error::Lost(other.to_string()),
    }
}

/// What an error means for a connection that was to be opened.
pub(crate) fn of_connection(error: Mysql) -> Error {
    Error::Unavailable(match error {
        Mysql::Server(server) => format!("{} ({})", server.message, server.code),
        other => other.to_string(),
    })
}

/// Not the statement's fault.
pub(crate) fn is_ours(error: &Error) -> bool {
    error.breaks_connection()
}
